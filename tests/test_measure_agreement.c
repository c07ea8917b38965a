/* test_measure_agreement.c - the agreement of two passes by brute force, and what routers
 * saw of tokens. */
#include <math.h>
#include <string.h>

#include "measure/measure.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

enum { IMAGES = 3, FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE };

/* Counts what measure_trace_compare adds, from copies of both routings. */
typedef struct choice {
    bool has[16];
    int first;
    double probs[16];
} choice;

static choice choice_of(const vit_routing *r, size_t t)
{
    choice c = {.first = -1};

    for (size_t a = r->start[t]; a < r->start[t + 1]; a++) {
        if (!r->kept[a])
            continue;
        c.first = c.first < 0 ? r->expert[a] : c.first;
        c.has[r->expert[a]] = true;
    }
    for (size_t e = 0; e < r->experts; e++)
        c.probs[e] = r->probs[t * r->experts + e];
    return c;
}

START_TEST(agreement_is_what_counting_says)
{
    base_error err = {0};
    vit_config config = sample_config(true);
    vit_model *network = NULL;
    vit_run *run = NULL;
    static float images[2][IMAGES * FLOATS];
    float logits[IMAGES * SAMPLE_CLASSES];
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);
    measure_trace trace;
    measure_agreement same[1] = {{.tokens = {0}}}, other[1] = {{.tokens = {0}}};
    choice before[256];

    config.moe.eval_capacity = 1; /* some tokens lose their experts */
    for (size_t i = 0; i < IMAGES * FLOATS; i++) {
        images[0][i] = (float)base_rng_normal(&rng);
        images[1][i] = images[0][i] + 3.0f * (float)base_rng_normal(&rng);
    }
    ck_assert_int_eq(vit_model_create(&network, &config, &err), BASE_OK);
    vit_model_init(network, 7);
    ck_assert_int_eq(
        vit_run_create(&run, network, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, images[0], IMAGES, &(vit_step){0}, &err),
                     BASE_OK);
    vit_routing r = vit_run_routing(run, 0);
    ck_assert_uint_le(r.tokens, 256);
    ck_assert_int_eq(measure_trace_create(&trace, 1, r.tokens, r.experts, &err), BASE_OK);
    measure_trace_take(&trace, run);
    for (size_t t = 0; t < r.tokens; t++) {
        uint64_t bits = 0;

        before[t] = choice_of(&r, t);
        for (size_t e = 0; e < r.experts; e++)
            bits |= (uint64_t)before[t].has[e] << e;
        ck_assert_uint_eq(trace.mask[t * MEASURE_MASK_WORDS], bits);
        ck_assert_uint_eq(trace.mask[t * MEASURE_MASK_WORDS + 1], 0);
        ck_assert_int_eq(trace.first[t], before[t].first);
        ck_assert_mem_eq(trace.probs + t * r.experts, before[t].probs,
                         r.experts * sizeof(double));
    }
    ck_assert_uint_eq(trace.tokens_per_image, r.tokens_per_image);
    for (size_t i = 0; i < IMAGES; i++)
        measure_trace_compare(same, &trace, run, i, false);

    ck_assert_int_eq(vit_run_forward(run, logits, images[1], IMAGES, &(vit_step){0}, &err),
                     BASE_OK);
    r = vit_run_routing(run, 0);
    double overlap = 0, first = 0, moved = 0, empty = 0;
    for (size_t t = 0; t < r.tokens; t++) {
        const choice b = choice_of(&r, t), a = before[t];
        int both = 0, any = 0;

        for (size_t e = 0; e < r.experts; e++) {
            both += a.has[e] && b.has[e];
            any += a.has[e] || b.has[e];
            moved += fabs(a.probs[e] - b.probs[e]) / 2;
        }
        overlap += any ? (double)both / any : 0;
        first += a.first == b.first;
        empty += a.first < 0;
    }
    for (size_t i = 0; i < IMAGES; i++) { /* made and dropped, of the changed pass */
        static measure_shift shift[VIT_DEPTH_MAX];
        double made = 0, dropped = 0;

        memset(shift, 0, sizeof shift);
        measure_shift_assigned(shift, 1, run, i);
        for (size_t t = i * r.tokens_per_image; t < (i + 1) * r.tokens_per_image; t++)
            for (size_t a = r.start[t]; a < r.start[t + 1]; a++) {
                made++;
                dropped += !r.kept[a];
            }
        ck_assert_double_eq(shift[0].assigned[1], made);
        ck_assert_double_eq(shift[0].dropped[1], dropped);
        ck_assert_double_eq(shift[0].assigned[0] + shift[0].dropped[0], 0);
        ck_assert_double_gt(made, dropped);
    }
    measure_trace_compare(other, &trace, run, 0, true);
    measure_trace_compare(other, &trace, run, 1, false);
    measure_trace_compare(other, &trace, run, 2, true);
    const double tokens = (double)r.tokens;
    ck_assert_double_eq(other->tokens[0], tokens / 3);
    ck_assert_double_eq(other->tokens[1], 2 * tokens / 3);
    const measure_agreement_means m = measure_agreement_all(other),
                                  s = measure_agreement_all(same);
    ck_assert_double_eq_tol(m.overlap, overlap / tokens, 1e-12);
    ck_assert_double_eq_tol(m.first, first / tokens, 1e-12);
    ck_assert_double_eq_tol(m.moved, moved / tokens, 1e-12);
    ck_assert_double_lt(m.overlap, 1);
    /* With itself: all but the tokens that no expert kept, which have no overlap. */
    ck_assert_double_eq_tol(s.overlap, 1 - empty / tokens, 1e-12);
    ck_assert_double_eq(s.first, 1);
    ck_assert_double_eq(s.moved, 0);
    ck_assert(isnan(measure_agreement_of(same, 1).overlap));
    /* a cell of one layer counts the same */
    measure_cell cell;
    vit_usage load = {0};
    ck_assert_int_eq(
        measure_cell_create(&cell, (corrupt_pair){CORRUPT_KIND_FOG, 1}, 3, 1, &err),
        BASE_OK);
    measure_cell_pass(&cell, run, NULL);
    vit_usage_add(&load, &r);
    ck_assert_double_eq(cell.load[0].tokens, tokens);
    ck_assert_double_eq(cell.load[0].dropped, load.dropped);
    ck_assert_mem_eq(cell.load[0].load, load.load, sizeof load.load);
    for (size_t i = 0; i < IMAGES; i++)
        measure_cell_compare(&cell, i != 1, &trace, run, i);
    ck_assert_mem_eq(&cell.agreement[0], other, sizeof *other);
    ck_assert_uint_eq(cell.compared, IMAGES);
    ck_assert_uint_eq(cell.flipped, IMAGES - 1);
    measure_cell_destroy(&cell);
    measure_trace_destroy(&trace);
    vit_run_destroy(run);
    vit_model_destroy(network);
}
END_TEST

/* What is told of a layer's tokens is what probes and maps say of their rows. */
static void layer_is(const measure_tokens *t, size_t l, size_t experts)
{
    enum { POINTS = 5 };
    const float *x = t->x + l * t->room * t->width;
    float some[POINTS * 8], pca[2 * POINTS], tsne[2 * POINTS];
    double variance[2], total, divergence;
    measure_tokens_layer layer;
    measure_probe p;

    ck_assert_uint_eq(t->width, 8);
    ck_assert_int_eq(
        measure_tokens_layer_make(&layer, t, l, POINTS, experts, SAMPLE_CLASSES, NULL),
        BASE_OK);
    ck_assert_uint_eq(layer.of_label.train_count + layer.of_label.test_count, t->count);
    for (int of_label = 0; of_label < 2; of_label++) {
        const measure_probe *q = of_label ? &layer.of_label : &layer.of_expert;

        ck_assert_int_eq(
            measure_probe_fit(&p, x, of_label ? t->label : t->expert + l * t->room, t->held,
                              t->count, t->width, of_label ? SAMPLE_CLASSES : experts,
                              MEASURE_PROBE_L2, NULL),
            BASE_OK);
        ck_assert_uint_eq(p.train_count, q->train_count);
        ck_assert_uint_eq(p.test_count, q->test_count);
        ck_assert(p.train == q->train || (isnan(p.train) && isnan(q->train)));
        ck_assert(p.test == q->test || (isnan(p.test) && isnan(q->test)));
        ck_assert(p.chance == q->chance || (isnan(p.chance) && isnan(q->chance)));
        ck_assert_double_eq(p.loss, q->loss);
    }
    for (size_t i = 0; i < POINTS; i++) {
        ck_assert_uint_eq(measure_tokens_point(t, i, POINTS), i * t->count / POINTS);
        memcpy(some + i * 8, x + measure_tokens_point(t, i, POINTS) * 8, 8 * sizeof *x);
    }
    ck_assert_int_eq(measure_pca(pca, variance, &total, some, POINTS, 8, 2, NULL), BASE_OK);
    ck_assert_int_eq(
        measure_tsne(tsne, &divergence, some, POINTS, 8, &(measure_tsne_options){0}, NULL),
        BASE_OK);
    ck_assert_mem_eq(layer.pca, pca, sizeof pca);
    ck_assert_mem_eq(layer.tsne, tsne, sizeof tsne);
    ck_assert_mem_eq(layer.variance, variance, sizeof variance);
    ck_assert(layer.total == total && layer.divergence == divergence);
    ck_assert(layer.variance[0] >= layer.variance[1] && layer.variance[1] > 0);
    measure_tokens_layer_destroy(&layer);
}

/* Twelve of 12 tokens: all of three images; half of them are spread over all three. What
 * was seen stands where it is said to, layer by layer; which tokens, and which images are
 * held out, hangs on seed and sample alone. */
START_TEST(tokens_are_spread_over_the_images)
{
    base_error err = {0};
    vit_config config = sample_config(true);
    vit_model *network = NULL;
    vit_run *run = NULL;
    static float images[IMAGES * FLOATS];
    float logits[IMAGES * SAMPLE_CLASSES];
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);
    measure_tokens t;
    const size_t rooms[] = {6, 12, 1000};
    enum { SEED = 3, NUMBER = 40 };

    for (size_t i = 0; i < IMAGES * FLOATS; i++)
        images[i] = (float)base_rng_normal(&rng);
    ck_assert_int_eq(vit_config_layers_set(&config, "0,1", &err), BASE_OK);
    ck_assert_int_eq(vit_model_create(&network, &config, &err), BASE_OK);
    vit_model_init(network, 7);
    ck_assert_int_eq(vit_run_create(&run, network, IMAGES, VIT_MODE_INPUT_GRADIENT,
                                    VIT_PRECISION_FP32, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err),
                     BASE_OK);
    for (size_t turn = 0; turn < 3; turn++) {
        size_t of_image[IMAGES] = {0};

        ck_assert_int_eq(
            measure_tokens_create(&t, &config, IMAGES, rooms[turn], SEED, &err), BASE_OK);
        ck_assert_uint_eq(t.patches, 4);
        ck_assert_uint_eq(t.layers, 2);
        ck_assert_uint_eq(t.first, 1); /* behind the class token */
        ck_assert_uint_eq(t.room, turn == 0 ? 6 : 12);
        for (uint32_t i = 0; i < IMAGES; i++)
            measure_tokens_add(&t, run, i, NUMBER + i, (int32_t)i, i == 1);
        ck_assert_uint_eq(t.count, turn == 0 ? 6 : 12);
        ck_assert_uint_eq(t.seen, IMAGES);
        for (size_t i = 0; i < t.count; i++) {
            const uint32_t image = t.sample[i] - NUMBER;
            uint32_t order[4];

            rng = base_rng_make(SEED, BASE_PURPOSE_SUBSET, t.sample[i], 0, 14);
            base_rng_permutation(&rng, order, 4);
            ck_assert_uint_eq(t.patch[i], order[of_image[image]]);
            of_image[image]++;
            ck_assert_int_eq(t.label[i], (int32_t)image);
            ck_assert(t.right[i] == (image == 1));
            ck_assert(t.held[i] ==
                      (base_key((uint64_t[]){t.sample[i], 15}, 2) % MEASURE_HELD_OUT == 0));
            for (size_t l = 0; l < 2; l++) {
                const vit_routing r = vit_run_routing(run, l);
                const float *x = vit_run_router_input(run, l);
                const size_t at = image * r.tokens_per_image + 1 + t.patch[i],
                             row = l * t.room + i;

                ck_assert_int_eq(t.expert[row], r.expert[r.start[at]]);
                ck_assert(memcmp(t.x + row * t.width, x + at * t.width,
                                 t.width * sizeof *x) == 0);
            }
        }
        for (size_t i = 0; i < IMAGES; i++)
            ck_assert_uint_eq(of_image[i], turn == 0 ? 2 : 4);
        for (size_t l = 0; l < 2; l++)
            layer_is(&t, l, 4);
        measure_tokens_destroy(&t);
    }
    vit_run_destroy(run);
    vit_model_destroy(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_agreement");
    TCase *core = tcase_create("Core");

    tcase_add_test(core, agreement_is_what_counting_says);
    tcase_add_test(core, tokens_are_spread_over_the_images);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
