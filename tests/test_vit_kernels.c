/* test_vit_kernels.c - the vectorised loops of every instruction set that runs here against
 * plain double arithmetic and the C library, at lengths that fill no vector and numbers of
 * rows that fill no group, for every number of bf16, and with NaN, which must survive. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "vit/vit_internal.h"

enum { MOST = 1000 };
static const size_t lengths[] = {1, 3, 16, 37, 192, MOST};
/* fp32 rounding of a few operations; erf's formula is good to 1.5e-7. */
static const double close_enough = 5e-7;

static float x[MOST], y[MOST], z[MOST], w[MOST];
static const vit_kernels *k;
static const vit_operand_kernels *o; /* fp32 */

enum { SETS = 4 };

/* False: there is no set i here. */
static bool use_set(int i)
{
    k = vit_kernels_at((size_t)i);
    if (k)
        o = &k->operand[VIT_PRECISION_FP32];
    return k != NULL;
}

static void setup(void)
{
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
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
    if (!use_set(_i))
        return;
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
    if (!use_set(_i))
        return;
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
    if (!use_set(_i))
        return;
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
    if (!use_set(_i))
        return;
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
    if (!use_set(_i))
        return;
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
    if (!use_set(_i))
        return;
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

/* Distance of the bf16 numbers around v. */
static double bf16_unit(double v)
{
    int exponent;

    frexp(v, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 8);
}

/* `size` of what was added up to `expected`, which an approximation may miss by a part of
 * it; half a unit is rounding; what has an exponential below 2^-126 in it may be 0. */
static void check_bf16(uint16_t found, double expected, double part, double size,
                       const char *what, size_t i)
{
    float f;
    numbers_of(&f, &found, 1, VIT_PRECISION_BF16);
    const double allowed = 0.501 * bf16_unit(expected) + part * size + 0x1p-118;
    ck_assert_msg(fabs((double)f - expected) <= allowed, "%s at %zu: %.9g, expected %.9g",
                  what, i, (double)f, expected);
}

/* An eighth of half a bf16 unit at most. */
static const double short_form = 2.5e-4;

/* Loops on rounded operands against the fp32 loops on the same numbers: rounded once, and
 * exp and erf in shorter forms. */
START_TEST(bf16_loops_round_the_fp32_results)
{
    if (!use_set(_i))
        return;
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
        memcpy(out, other, sizeof out);
        memcpy(result, second, sizeof result);
        half->gelu_backward(out, made, in, ALL, form);
        o->gelu_backward(result, again, wide, ALL, form);
        for (size_t i = 0; i < ALL; i++) {
            /* far out on the left fp32 is exact to 1e-7 of 1, bf16 to a part of the
             * result */
            check_bf16(made[i], (double)again[i], short_form,
                       fmax(fabs((double)again[i]), 1e-3), "gelu", i);
            check_bf16(out[i], (double)result[i], short_form, fabs((double)second[i]),
                       "its gradient", i);
        }
        half->gelu(out, in, ALL, form);
        ck_assert_mem_eq(out, made, sizeof out);
    }
    half->column_sum(sums[0], in, ROWS, N);
    o->column_sum(sums[1], wide, ROWS, N);
    ck_assert_mem_eq(sums[0], sums[1], sizeof sums[0]);
    memcpy(again, y, sizeof again);
    memcpy(wide, y, sizeof wide);
    half->softmax(out, again, ROWS, N, 0.25f);
    o->softmax(result, wide, ROWS, N, 0.25f);
    for (size_t i = 0; i < ALL; i++)
        check_bf16(out[i], (double)result[i], short_form, (double)result[i], "softmax", i);
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

/* GELU and its slope by the formula; parts: the sum of the slope's terms without their
 * signs. */
static double gelu_exactly(double v, int tanh_form, double *slope, double *parts)
{
    if (tanh_form) {
        const double u = sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
        const double s = 1 / (1 + exp(-2 * u));
        const double t = 2 * v * s * (1 / (1 + exp(2 * u))) * sqrt(2 / M_PI) *
                         (1 + 3 * 0.044715 * v * v);
        *slope = s + t;
        *parts = s + fabs(t);
        return v * s;
    }
    const double cdf = 0.5 * erfc(-v / sqrt(2));
    const double t = v * exp(-0.5 * v * v) / sqrt(2 * M_PI);
    *slope = cdf + t;
    *parts = cdf + fabs(t);
    return v * cdf;
}

START_TEST(gelu_of_every_bf16_number_is_as_exact_as_its_kind)
{
    if (!use_set(_i))
        return;
    enum { ALL = 65536 };
    static uint16_t in[ALL], a[ALL], d[ALL];
    static float wide[ALL], again[ALL], slopes[ALL];
    const vit_operand_kernels *half = &k->operand[VIT_PRECISION_BF16];
    const uint16_t one = 0x3f80;

    for (int form = 0; form < 2; form++) {
        for (size_t i = 0; i < ALL; i++) {
            in[i] = (uint16_t)i;
            d[i] = one;
            slopes[i] = 1;
        }
        numbers_of(wide, in, ALL, VIT_PRECISION_BF16);
        half->gelu_backward(d, a, in, ALL, form);
        o->gelu_backward(slopes, again, wide, ALL, form);
        for (size_t i = 0; i < ALL; i++) {
            double slope, parts;
            if (!isfinite(wide[i]) || fabs((double)wide[i]) > 1e18)
                continue;
            const double v = (double)wide[i];
            const double expected = gelu_exactly(v, form, &slope, &parts);
            check_bf16(a[i], expected, short_form, fabs(expected), "gelu", i);
            check_bf16(d[i], slope, short_form, parts, "its slope", i);
            ck_assert_double_eq_tol((double)again[i], expected, 2e-7 * fmax(1, fabs(v)));
            /* the tanh form: exp of an argument of 10 that is rounded */
            ck_assert_double_eq_tol((double)slopes[i], slope, form ? 3e-6 : 3e-7);
        }
    }
}
END_TEST

/* Every upper half with lower halves around the middle, as bf16 and for files. */
START_TEST(rounding_is_exact_for_every_number)
{
    if (!use_set(_i))
        return;
    enum { ALL = 65536 };
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    static float in[ALL];
    static uint16_t out[ALL], file[ALL];

    for (size_t l = 0; l < sizeof low / sizeof low[0]; l++) {
        for (uint32_t i = 0; i < ALL; i++) {
            const uint32_t bits = i << 16 | low[l];
            memcpy(in + i, &bits, sizeof bits);
        }
        k->to_bf16(file, in, ALL);
        k->operand[VIT_PRECISION_BF16].round(out, 1.0f, in, ALL);
        for (uint32_t i = 0; i < ALL; i++) {
            if (isnan(in[i])) {
                ck_assert((file[i] & 0x7fffu) > 0x7f80u && (out[i] & 0x7fffu) > 0x7f80u);
                continue;
            }
            const uint32_t up = low[l] > 0x8000u || (low[l] == 0x8000u && i % 2 == 1);
            ck_assert_uint_eq(file[i], i + up);
            if (out[i] != file[i]) { /* 0 of its sign: allowed below 2^-126 */
                ck_assert_uint_lt(i & 0x7fffu, 0x0080u);
                ck_assert_uint_eq(out[i], i & 0x8000u);
            }
        }
    }
}
END_TEST

/* All rows at once as each row alone, to the bit, whatever the length: rows are worked on
 * in groups. */
START_TEST(rows_do_not_depend_on_their_neighbours)
{
    if (!use_set(_i))
        return;
    enum { ROWS = 7, WIDEST = 70 };
    for (int precision = 0; precision < 2; precision++) {
        const vit_operand_kernels *of = &k->operand[precision];
        const size_t bytes = precision == VIT_PRECISION_BF16 ? 2 : 4;
        for (size_t n = 1; n <= WIDEST; n++) {
            unsigned char all[4][ROWS * WIDEST * 4] = {{0}}, row[4][WIDEST * 4] = {{0}};
            float s[ROWS * WIDEST], mean[2][ROWS], rstd[2][ROWS];
            memcpy(s, x, sizeof s);
            of->softmax(all[0], s, ROWS, n, 0.5f);
            of->softmax_backward(all[1], y, all[0], ROWS, n, 0.5f);
            of->norm(all[2], mean[0], rstd[0], y, w, z, ROWS, n, 1e-6f);
            memcpy(all[3], x, ROWS * n * sizeof *x);
            k->norm_backward((float *)all[3], NULL, NULL, y, z, mean[0], rstd[0], w, ROWS,
                             n);
            for (size_t r = 0; r < ROWS; r++) {
                memcpy(s, x + r * n, n * sizeof *s);
                of->softmax(row[0], s, 1, n, 0.5f);
                of->softmax_backward(row[1], y + r * n, row[0], 1, n, 0.5f);
                of->norm(row[2], mean[1], rstd[1], y + r * n, w, z, 1, n, 1e-6f);
                memcpy(row[3], x + r * n, n * sizeof *x);
                k->norm_backward((float *)row[3], NULL, NULL, y + r * n, z + r * n, mean[1],
                                 rstd[1], w, 1, n);
                for (int j = 0; j < 4; j++) {
                    const size_t of_row = n * (j == 3 ? sizeof(float) : bytes);
                    ck_assert_mem_eq(all[j] + r * of_row, row[j], of_row);
                }
            }
        }
    }
}
END_TEST

START_TEST(norm_backward_equals_the_formula)
{
    if (!use_set(_i))
        return;
    enum { ROWS = 5 };
    for (size_t n = 2; n <= 70; n += 17) {
        float d[ROWS * 70], d_gamma[70], d_beta[70], mean[ROWS], rstd[ROWS], out[ROWS * 70];
        double to_gamma[70] = {0}, to_beta[70] = {0};
        o->norm(out, mean, rstd, x, w, z, ROWS, n, 1e-6f);
        memcpy(d, z, sizeof d);
        for (size_t i = 0; i < n; i++)
            d_gamma[i] = d_beta[i] = 1;
        k->norm_backward(d, d_gamma, d_beta, y, x, mean, rstd, w, ROWS, n);
        for (size_t r = 0; r < ROWS; r++) {
            double s1 = 0, s2 = 0;
            for (size_t i = 0; i < n; i++) {
                const double g = (double)y[r * n + i] * (double)w[i];
                const double h = ((double)x[r * n + i] - (double)mean[r]) * (double)rstd[r];
                s1 += g / (double)n;
                s2 += g * h / (double)n;
                to_gamma[i] += (double)y[r * n + i] * h;
                to_beta[i] += (double)y[r * n + i];
            }
            for (size_t i = 0; i < n; i++) {
                const size_t at = r * n + i;
                const double h = ((double)x[at] - (double)mean[r]) * (double)rstd[r];
                const double slope =
                    (double)rstd[r] * ((double)y[at] * (double)w[i] - s1 - h * s2);
                ck_assert_double_eq_tol((double)d[at], (double)z[at] + slope,
                                        1e-5 * (1 + (double)rstd[r]));
            }
        }
        for (size_t i = 0; i < n; i++) {
            ck_assert_double_eq_tol((double)d_gamma[i], 1 + to_gamma[i], 1e-5);
            ck_assert_double_eq_tol((double)d_beta[i], 1 + to_beta[i], 1e-5);
        }
    }
}
END_TEST

/* A place in whole vectors, in the last of them, behind them, and first of all. */
START_TEST(nan_anywhere_fills_its_row_and_no_other)
{
    if (!use_set(_i))
        return;
    enum { ROWS = 6, N = 53 };
    for (int precision = 0; precision < 2; precision++) {
        const vit_operand_kernels *of = &k->operand[precision];
        for (size_t at = 0; at < N; at++) {
            float in[ROWS * N], s[ROWS * N], v[ROWS * N], mean[ROWS], rstd[ROWS];
            uint32_t p[ROWS * N], out[ROWS * N];
            memcpy(in, x, sizeof in);
            in[3 * N + at] = NAN;
            memcpy(s, in, sizeof s);
            of->softmax(p, s, ROWS, N, 1.0f);
            for (int j = 0; j < 2; j++) {
                numbers_of(v, p, ROWS * N, (vit_precision)precision);
                for (size_t i = 0; i < ROWS * N; i++)
                    ck_assert_int_eq(isnan(v[i]) != 0, i / N == 3);
                of->norm(p, mean, rstd, in, w, z, ROWS, N, 1e-6f);
            }
            of->round(p, 1.0f, w, ROWS * N);
            of->softmax_backward(out, in, p, ROWS, N, 1.0f);
            numbers_of(v, out, ROWS * N, (vit_precision)precision);
            for (size_t i = 0; i < ROWS * N; i++)
                ck_assert_int_eq(isnan(v[i]) != 0, i / N == 3);
        }
    }
}
END_TEST

START_TEST(nan_survives_every_kernel)
{
    if (!use_set(_i))
        return;
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
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    tcase_add_checked_fixture(core, setup, NULL);
    tcase_add_checked_fixture(limits, setup, NULL);
    tcase_add_loop_test(core, gelu_equals_the_formula, 0, SETS);
    tcase_add_loop_test(core, softmax_and_its_gradient_equal_the_formula, 0, SETS);
    tcase_add_loop_test(core, norm_equals_the_formula, 0, SETS);
    tcase_add_loop_test(core, bf16_rounds_to_nearest_even, 0, SETS);
    tcase_add_loop_test(core, bf16_loops_round_the_fp32_results, 0, SETS);
    tcase_add_loop_test(core, gelu_of_every_bf16_number_is_as_exact_as_its_kind, 0, SETS);
    tcase_add_loop_test(core, rounding_is_exact_for_every_number, 0, SETS);
    tcase_add_loop_test(core, rows_do_not_depend_on_their_neighbours, 0, SETS);
    tcase_add_loop_test(core, norm_backward_equals_the_formula, 0, SETS);
    tcase_add_loop_test(limits, nan_anywhere_fills_its_row_and_no_other, 0, SETS);
    tcase_add_loop_test(core, normals_are_the_documented_draws, 0, SETS);
    tcase_add_loop_test(core, sums_and_products_equal_the_formula, 0, SETS);
    tcase_add_loop_test(limits, nan_survives_every_kernel, 0, SETS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
