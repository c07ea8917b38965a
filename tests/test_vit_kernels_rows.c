/* test_vit_kernels_rows.c - rows that are copied and matrices that are transposed arrive
 * whole, into and out of wider rows, of which nothing else is touched. */
#include <check.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "vit/vit_internal.h"

enum { LD_FROM = 70, LD_TO = 67, ROOM = 70 * 70 };
static const size_t sizes[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 65};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* a[r][c], 0 outside [rows, n] */
#define EXPECTED(a, r, c, rows, n) ((r) < (rows) && (c) < (n) ? (a)[(r)*LD_FROM + (c)] : 0)

START_TEST(rows_of_every_length_arrive)
{
    static uint32_t wide_from[ROOM], wide_to[ROOM];
    static uint16_t half_from[ROOM], half_to[ROOM];
    const vit_operand_kernels *wide = &vit_kernels_get()->operand[VIT_PRECISION_FP32];
    const vit_operand_kernels *half = &vit_kernels_get()->operand[VIT_PRECISION_BF16];

    for (size_t i = 0; i < ROOM; i++) {
        wide_from[i] = (uint32_t)(1 + i) * 2654435761u; /* NaN among them */
        half_from[i] = (uint16_t)(1 + i);
    }
    for (size_t a = 0; a < SIZES * SIZES * 2; a++) {
        const size_t rows = sizes[a / 2 / SIZES], n = sizes[a / 2 % SIZES];
        const bool turned = a % 2;

        memset(wide_to, 0, sizeof wide_to);
        memset(half_to, 0, sizeof half_to);
        (turned ? wide->transpose : wide->copy)(wide_to, LD_TO, wide_from, LD_FROM, rows,
                                                n);
        (turned ? half->transpose : half->copy)(half_to, LD_TO, half_from, LD_FROM, rows,
                                                n);
        for (size_t i = 0; i < LD_TO * LD_TO; i++) {
            const size_t x = i / LD_TO, y = i % LD_TO;
            const size_t r = turned ? y : x, c = turned ? x : y;

            ck_assert_uint_eq(wide_to[i], EXPECTED(wide_from, r, c, rows, n));
            ck_assert_uint_eq(half_to[i], EXPECTED(half_from, r, c, rows, n));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit kernels rows");
    TCase *core = test_case_of_threads("core");

    tcase_add_test(core, rows_of_every_length_arrive);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
