/* measure.c - how bf16 products compare with fp32 ones on this processor. Having
 * instructions for bf16 does not make them faster: Xeons with AVX512_BF16 and no AMX take
 * longer with them, because operands have to be made first. Free to change: sizes and
 * number of rounds. */
#include <string.h>

#include "vit/vit_internal.h"

/* A layer as large as those of small networks, whose weights fit the caches; the odd round
 * count has a middle. */
enum { ROWS = 128, WIDTH = 384, ROUNDS = 5 };

/* Fills exec for one layer; false when there is no memory or oneDNN refuses. */
static bool layer_open(vit_exec *exec, const vit_linear *layer, vit_precision precision)
{
    const vit_products_plan plan = {.precision = precision,
                                    .threads = 1,
                                    .backward = true,
                                    .linears = layer,
                                    .count = 1};

    if (vit_products_create(&exec->products, &plan, NULL) != BASE_OK)
        return false;
    vit_products_refresh(exec, 0, SIZE_MAX, 1);
    return true;
}

/* Seconds of the layer forward and backward. */
static double layer_time(vit_exec *exec, const void *x, void *y, void *d)
{
    const double begin = base_seconds();

    vit_linear_forward(exec, 0, ROWS, x, y, false);
    vit_linear_backward(exec, 0, ROWS, y, d, false);
    return base_seconds() - begin;
}

double vit_bf16_gain(void)
{
    float *block = base_alloc(WIDTH * WIDTH + 3 * ROWS * WIDTH, sizeof *block);
    vit_exec exec[2] = {0};
    double best[2] = {0, 0};
    const vit_linear layer = {block, NULL, WIDTH, WIDTH};
    const bool good = block && vit_bf16_available() &&
                      layer_open(&exec[0], &layer, VIT_PRECISION_FP32) &&
                      layer_open(&exec[1], &layer, VIT_PRECISION_BF16);

    for (int round = 0; good && round <= ROUNDS;
         round++) { /* in turn; the first one warms up */
        for (int p = 0; p < 2; p++) {
            float *x = block + WIDTH * WIDTH; /* zeros: products take as long with them */
            const double seconds =
                layer_time(&exec[p], x, x + ROWS * WIDTH, x + 2 * ROWS * WIDTH);
            if (round > 0 && (best[p] == 0 || seconds < best[p]))
                best[p] = seconds;
        }
    }
    const bool failed = atomic_load(&exec[0].failed) || atomic_load(&exec[1].failed);
    vit_products_destroy(exec[0].products);
    vit_products_destroy(exec[1].products);
    base_free(block);
    return good && !failed && best[1] > 0 ? best[0] / best[1] : 0;
}
