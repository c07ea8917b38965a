/* test_vit_kernels_layout.c - weights in blocks are where oneDNN's documentation of
 * BA16a<width>b and BA16a<width>b2a puts them, zeros around them, for every set of kernels
 * that runs here. */
#include <check.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "vit/vit_internal.h"

enum { OUT_MOST = 130, IN_MOST = 300, ROOM = 192 * 320 + 1 };

static _Alignas(64) float forward[ROOM];
static _Alignas(64) uint16_t forward_half[ROOM], backward_half[ROOM];
static float w[OUT_MOST * IN_MOST];

static size_t up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* Where number (k, n) of B [K, N] lies: [N / width][K / (16 side)][16][width][side] */
static size_t place(size_t k, size_t n, size_t most_k, size_t width, size_t side)
{
    const size_t deep = 16 * side, blocks = up(most_k, deep) / deep;

    return ((n / width * blocks + k / deep) * 16 + k % deep / side) * width * side +
           n % width * side + k % side;
}

static uint16_t half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16); /* exact: few digits */
}

static void check_shape(const vit_kernels *set, size_t out, size_t in, size_t wf, size_t wb)
{
    const vit_operand_kernels *fp32 = &set->operand[VIT_PRECISION_FP32];
    const vit_operand_kernels *bf16 = &set->operand[VIT_PRECISION_BF16];

    for (size_t i = 0; i < out * in; i++)
        w[i] = (float)(i % 127 + 1) * (i % 2 ? 1.0f : -1.0f);
    memset(forward, 0xff, sizeof forward);
    memset(forward_half, 0xff, sizeof forward_half);
    memset(backward_half, 0xff, sizeof backward_half);
    for (size_t first = 0; first < up(out, 64); first += 32) {
        fp32->pack_rows(forward, NULL, w, first, out, in, wf, 0);
        bf16->pack_rows(forward_half, backward_half, w, first, out, in, wf, wb);
    }
    size_t wrong = 0;
    for (size_t k = 0; k < up(in, 32); k++)
        for (size_t n = 0; n < up(out, wf); n++) {
            const float x = k < in && n < out ? w[n * in + k] : 0.0f;
            wrong += forward_half[place(k, n, in, wf, 2)] != half(x);
            wrong += k < up(in, 16) && forward[place(k, n, in, wf, 1)] != x;
        }
    for (size_t k = 0; k < up(out, 32); k++)
        for (size_t n = 0; n < up(in, wb); n++) {
            const float x = k < out && n < in ? w[k * in + n] : 0.0f;
            wrong += backward_half[place(k, n, out, wb, 2)] != half(x);
        }
    ck_assert_msg(wrong == 0, "%s: %zu numbers of W [%zu, %zu] elsewhere, widths %zu, %zu",
                  set->isa, wrong, out, in, wf, wb);
    /* nothing behind them is touched */
    ck_assert_uint_eq(forward_half[up(in, 32) * up(out, wf)], 0xffff);
    ck_assert_uint_eq(backward_half[up(out, 32) * up(in, wb)], 0xffff);
    uint32_t behind;
    memcpy(&behind, &forward[up(in, 16) * up(out, wf)], sizeof behind);
    ck_assert_uint_eq(behind, 0xffffffff);
}

START_TEST(weights_lie_in_blocks_with_zeros_around)
{
    static const size_t outs[] = {1, 16, 31, 64, OUT_MOST};
    static const size_t ins[] = {1, 33, 48, IN_MOST};
    static const size_t widths[] = {16, 32, 64};

    for (size_t i = 0; vit_kernels_at(i); i++)
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++)
            for (size_t j = 0; j < sizeof ins / sizeof *ins; j++)
                for (size_t v = 0; v < 9; v++)
                    check_shape(vit_kernels_at(i), outs[o], ins[j], widths[v / 3],
                                widths[v % 3]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit kernels layout");
    TCase *core = test_case_of_threads("core");

    tcase_add_test(core, weights_lie_in_blocks_with_zeros_around);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
