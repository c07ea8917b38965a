/* test_vit_kernels.c - the vectorised loops against plain double arithmetic and the C library, at
 * lengths that fill no vector, and with NaN, which must survive. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/test_run.h"
#include "vit/vit_internal.h"

enum { MOST = 1000 };
static const size_t lengths[] = {1, 3, 16, 37, 192, MOST};
/* fp32 rounding of a few operations; erf's formula is good to 1.5e-7. */
static const double close_enough = 5e-7;

static float x[MOST], y[MOST], z[MOST], w[MOST];
static const vit_kernels *k;
static const vit_operand_kernels *o; /* fp32 */

static void setup(void)
{
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    k = vit_kernels_get();
    o = &k->operand[VIT_PRECISION_FP32];
    for (size_t i = 0; i < MOST; i++) {
        x[i] = (float)(3 * base_rng_normal(&rng));
        y[i] = (float)base_rng_normal(&rng);
        z[i] = (float)(0.1 * base_rng_normal(&rng));
        w[i] = (float)(1 + 0.1 * base_rng_normal(&rng));
    }
    x[0] = -60.0f;
}

static void check_near(float found, double expected, const char *what, size_t i)
{
    ck_assert_msg(fabs((double)found - expected) <= close_enough * fmax(1, fabs(expected)),
                  "%s at %zu: %.9g, expected %.9g", what, i, (double)found, expected);
}

static double gelu_of(double v, int tanh_form, double *slope)
{
    const double h = 1e-5;
    double out[3];
    for (int s = -1; s <= 1; s++) {
        const double u = v + s * h;
        out[s + 1] = tanh_form
                         ? 0.5 * u * (1 + tanh(sqrt(2 / M_PI) * (u + 0.044715 * u * u * u)))
                         : 0.5 * u * erfc(-u / sqrt(2));
    }
    *slope = (out[2] - out[0]) / (2 * h);
    return out[1];
}

START_TEST(gelu_equals_the_formula)
{
    for (int form = 0; form < 2; form++) {
        float a[MOST], again[MOST], d[MOST];
        o->gelu(a, x, MOST, form);
        for (size_t i = 0; i < MOST; i++)
            d[i] = 1;
        o->gelu_backward(d, again, x, MOST, form);
        ck_assert_mem_eq(a, again, sizeof a);
        for (size_t i = 0; i < MOST; i++) {
            double slope;
            check_near(a[i], gelu_of((double)x[i], form, &slope), "gelu", i);
            ck_assert_double_eq_tol((double)d[i], slope, 2e-6);
        }
    }
}
END_TEST

START_TEST(softmax_and_its_gradient_equal_the_formula)
{
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        const size_t n = lengths[l];
        const float scale = 0.5f;
        float s[MOST], p[MOST], d[MOST];
        double top = -INFINITY, sum = 0, inner = 0;
        for (size_t i = 0; i < MOST; i++)
            s[i] = x[i] / scale;
        o->softmax(p, s, 1, n, scale);
        o->softmax_backward(d, y, p, 1, n, scale);
        for (size_t i = 0; i < n; i++)
            top = fmax(top, (double)x[i]);
        for (size_t i = 0; i < n; i++)
            sum += exp((double)x[i] - top);
        for (size_t i = 0; i < n; i++)
            inner += (double)y[i] * exp((double)x[i] - top) / sum;
        for (size_t i = 0; i < n; i++) {
            const double expected = exp((double)x[i] - top) / sum;
            check_near(p[i], expected, "softmax", i);
            check_near(d[i], (double)scale * expected * ((double)y[i] - inner),
                       "softmax backward", i);
        }
    }
}
END_TEST

START_TEST(norm_equals_the_formula)
{
    for (size_t l = 1; l < sizeof lengths / sizeof lengths[0]; l++) {
        const size_t n = lengths[l];
        float out[MOST], mean, rstd;
        double mu = 0, var = 0;
        o->norm(out, &mean, &rstd, y, w, z, 1, n, 1e-6f);
        for (size_t i = 0; i < n; i++)
            mu += (double)y[i] / (double)n;
        for (size_t i = 0; i < n; i++)
            var += ((double)y[i] - mu) * ((double)y[i] - mu) / (double)n;
        for (size_t i = 0; i < n; i++)
            check_near(out[i],
                       ((double)y[i] - mu) / sqrt(var + 1e-6) * (double)w[i] + (double)z[i],
                       "norm", i);
        check_near(mean, mu, "mean", 0);
    }
}
END_TEST

START_TEST(bf16_rounds_to_nearest_even)
{
    const float in[] = {1.0f, 1.00390625f, 1.01171875f, -1.0f,
                        0.0f, 3.4e38f,     INFINITY,    NAN};
    const uint16_t expected[] = {0x3f80, 0x3f80, 0x3f82, 0xbf80, 0, 0x7f80, 0x7f80};
    uint16_t out[8];
    k->to_bf16(out, in, 8);
    for (size_t i = 0; i < 7; i++)
        ck_assert_uint_eq(out[i], expected[i]);
    ck_assert_uint_eq(out[7] & 0x7f80u, 0x7f80u);
    ck_assert_uint_ne(out[7] & 0x7fu, 0);
}
END_TEST

START_TEST(normals_are_the_documented_draws)
{
    enum { ROWS = 20000, N = 7 };
    static float out[ROWS * N];
    const uint32_t key[2] = {7, 9};
    const uint64_t first = 0xfffffff0u; /* rows cross the 32-bit word */
    double mean = 0, square = 0, fourth = 0;
    k->normals(out, ROWS, N, key, first);
    for (size_t i = 0; i < ROWS * N; i++) {
        const uint64_t row = first + i / N;
        const size_t j = i % N;
        uint32_t word[4];
        base_philox4x32(
            word,
            (const uint32_t[]){(uint32_t)row, (uint32_t)(row >> 32), (uint32_t)(j / 4), 0},
            key);
        const size_t pair = j % 4 / 2 * 2;
        const double u = ldexp(word[pair] >> 8, -24), v = ldexp(word[pair + 1] >> 8, -24);
        const double expected =
            sqrt(-2 * log(1 - u)) * (j % 2 ? sin(2 * M_PI * v) : cos(2 * M_PI * v));
        ck_assert_double_eq_tol((double)out[i], expected, 3e-6);
        mean += (double)out[i];
        square += pow((double)out[i], 2);
        fourth += pow((double)out[i], 4);
    }
    ck_assert_double_eq_tol(mean / (ROWS * N), 0, 0.01);
    ck_assert_double_eq_tol(square / (ROWS * N), 1, 0.02);
    ck_assert_double_eq_tol(fourth / (ROWS * N), 3, 0.15);
}
END_TEST

START_TEST(sums_and_products_equal_the_formula)
{
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        const size_t n = lengths[l];
        double inner = 0, squares = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            inner += (double)x[i] * (double)y[i];
            squares += (double)x[i] * (double)x[i];
            size += fabs((double)x[i] * (double)y[i]);
        }
        ck_assert_double_eq_tol((double)o->dot(x, y, n), inner, 2e-6 * size);
        ck_assert_double_eq_tol(k->sum_squares(x, n), squares, 1e-9 * squares);
    }
}
END_TEST

/* The numbers that operands of this precision stand for. */
static void numbers_of(float *out, const void *operands, size_t n, vit_precision precision)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = precision == VIT_PRECISION_BF16
                                  ? (uint32_t)((const uint16_t *)operands)[i] << 16
                                  : ((const uint32_t *)operands)[i];
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* Each loop on rounded operands gives the fp32 loop's result on the same numbers, rounded once. */
START_TEST(bf16_loops_round_the_fp32_results)
{
    enum { ROWS = 6, N = 37, ALL = ROWS * N };
    const vit_operand_kernels *half = &k->operand[VIT_PRECISION_BF16];
    uint16_t in[ALL], other[ALL], out[ALL], made[ALL], expected[ALL];
    float wide[ALL], second[ALL], result[ALL], again[ALL], sums[2][N] = {{0}};
    float mean[ROWS], rstd[ROWS];

    half->round(in, 1.0f, x, ALL);
    half->round(other, 1.0f, y, ALL);
    numbers_of(wide, in, ALL, VIT_PRECISION_BF16);
    numbers_of(second, other, ALL, VIT_PRECISION_BF16);

    half->norm(out, mean, rstd, y, w, z, ROWS, N, 1e-6f);
    o->norm(result, mean, rstd, y, w, z, ROWS, N, 1e-6f);
    k->to_bf16(expected, result, ALL);
    ck_assert_mem_eq(out, expected, sizeof out);
    for (int form = 0; form < 2; form++) {
        half->gelu(out, in, ALL, form);
        o->gelu(result, wide, ALL, form);
        k->to_bf16(expected, result, ALL);
        ck_assert_mem_eq(out, expected, sizeof out);
        memcpy(out, other, sizeof out);
        memcpy(result, second, sizeof result);
        half->gelu_backward(out, made, in, ALL, form);
        o->gelu_backward(result, again, wide, ALL, form);
        ck_assert_mem_eq(made, expected, sizeof made);
        k->to_bf16(expected, result, ALL);
        ck_assert_mem_eq(out, expected, sizeof out);
    }
    half->column_sum(sums[0], in, ROWS, N);
    o->column_sum(sums[1], wide, ROWS, N);
    ck_assert_mem_eq(sums[0], sums[1], sizeof sums[0]);
    memcpy(again, y, sizeof again);
    memcpy(wide, y, sizeof wide);
    half->softmax(out, again, ROWS, N, 0.25f);
    o->softmax(result, wide, ROWS, N, 0.25f);
    k->to_bf16(expected, result, ALL);
    ck_assert_mem_eq(out, expected, sizeof out);
    numbers_of(wide, out, ALL, VIT_PRECISION_BF16);
    half->softmax_backward(made, z, out, ROWS, N, 0.25f);
    o->softmax_backward(result, z, wide, ROWS, N, 0.25f);
    k->to_bf16(expected, result, ALL);
    ck_assert_mem_eq(made, expected, sizeof made);
    memcpy(out, other, sizeof out);
    half->multiply(out, w, ALL);
    o->multiply(second, w, ALL);
    k->to_bf16(expected, second, ALL);
    ck_assert_mem_eq(out, expected, sizeof out);
    numbers_of(second, other, ALL, VIT_PRECISION_BF16);
    memcpy(result, z, sizeof result);
    memcpy(again, z, sizeof again);
    half->axpy(result, 0.5f, other, ALL);
    o->axpy(again, 0.5f, second, ALL);
    ck_assert_mem_eq(result, again, sizeof again);
    ck_assert_double_eq_tol((double)half->dot(z, other, ALL),
                            (double)o->dot(z, second, ALL), 1e-4);
}
END_TEST

START_TEST(nan_survives_every_kernel)
{
    for (int precision = 0; precision < 2; precision++) {
        const vit_operand_kernels *of = &k->operand[precision];
        float v[40], h[40], other[40], mean, rstd;
        uint32_t a[40], d[40], made[40];
        for (int form = 0; form < 2; form++) {
            memset(h, 0, sizeof h);
            h[33] = NAN;
            of->round(a, 1.0f, h, 40);
            of->round(d, 1.0f, w, 40);
            of->gelu_backward(d, made, a, 40, form);
            of->gelu(a, a, 40, form);
            numbers_of(v, a, 40, (vit_precision)precision);
            ck_assert(isnan(v[33]));
            numbers_of(v, d, 40, (vit_precision)precision);
            ck_assert(isnan(v[33]));
            numbers_of(v, made, 40, (vit_precision)precision);
            ck_assert(isnan(v[33]));
        }
        of->norm(a, &mean, &rstd, h, w, z, 1, 40, 1e-6f);
        numbers_of(v, a, 40, (vit_precision)precision);
        ck_assert(isnan(v[0]));
        memcpy(other, h, sizeof other);
        of->softmax(a, other, 1, 40, 1.0f);
        numbers_of(v, a, 40, (vit_precision)precision);
        ck_assert(isnan(v[0]));
        ck_assert(isnan(v[33]));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_kernels");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");
    tcase_add_checked_fixture(core, setup, NULL);
    tcase_add_checked_fixture(limits, setup, NULL);
    tcase_add_test(core, gelu_equals_the_formula);
    tcase_add_test(core, softmax_and_its_gradient_equal_the_formula);
    tcase_add_test(core, norm_equals_the_formula);
    tcase_add_test(core, bf16_rounds_to_nearest_even);
    tcase_add_test(core, bf16_loops_round_the_fp32_results);
    tcase_add_test(core, normals_are_the_documented_draws);
    tcase_add_test(core, sums_and_products_equal_the_formula);
    tcase_add_test(limits, nan_survives_every_kernel);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
