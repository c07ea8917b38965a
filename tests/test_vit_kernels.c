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

static void setup(void)
{
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    k = vit_kernels_get();
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
        float h[MOST], a[MOST], d[MOST];
        memcpy(h, x, sizeof h);
        k->bias_gelu(a, h, y, 1, MOST, form);
        for (size_t i = 0; i < MOST; i++)
            d[i] = 1;
        k->gelu_backward(d, h, MOST, form);
        for (size_t i = 0; i < MOST; i++) {
            double slope;
            ck_assert_double_eq((double)h[i], (double)(x[i] + y[i]));
            check_near(a[i], gelu_of((double)h[i], form, &slope), "gelu", i);
            ck_assert_double_eq_tol((double)d[i], slope, 2e-6);
        }
    }
}
END_TEST

START_TEST(softmax_and_its_gradient_equal_the_formula)
{
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        const size_t n = lengths[l];
        float p[MOST], d[MOST];
        double top = -INFINITY, sum = 0, inner = 0;
        memcpy(p, x, sizeof p);
        memcpy(d, y, sizeof d);
        k->softmax(p, 1, n, n);
        k->softmax_backward(d, p, 1, n, n);
        for (size_t i = 0; i < n; i++)
            top = fmax(top, (double)x[i]);
        for (size_t i = 0; i < n; i++)
            sum += exp((double)x[i] - top);
        for (size_t i = 0; i < n; i++)
            inner += (double)y[i] * exp((double)x[i] - top) / sum;
        for (size_t i = 0; i < n; i++) {
            const double expected = exp((double)x[i] - top) / sum;
            check_near(p[i], expected, "softmax", i);
            check_near(d[i], expected * ((double)y[i] - inner), "softmax backward", i);
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
        k->norm(out, &mean, &rstd, y, w, z, 1, n, 1e-6f);
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
        ck_assert_double_eq_tol((double)k->dot(x, y, n), inner, 2e-6 * size);
        ck_assert_double_eq_tol(k->sum_squares(x, n), squares, 1e-9 * squares);
    }
}
END_TEST

START_TEST(nan_survives_every_kernel)
{
    float v[40], h[40], mean, rstd;
    for (int form = 0; form < 2; form++) {
        memset(v, 0, sizeof v);
        memset(h, 0, sizeof h);
        h[33] = NAN;
        k->bias_gelu(v, h, z, 1, 40, form);
        ck_assert(isnan(v[33]));
        v[33] = 1;
        k->gelu_backward(v, h, 40, form);
        ck_assert(isnan(v[33]));
    }
    memset(h, 0, sizeof h);
    h[33] = NAN;
    k->norm(v, &mean, &rstd, h, w, z, 1, 40, 1e-6f);
    ck_assert(isnan(v[0]));
    k->softmax(h, 1, 40, 40);
    ck_assert(isnan(h[0]));
    ck_assert(isnan(h[33]));
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
    tcase_add_test(core, normals_are_the_documented_draws);
    tcase_add_test(core, sums_and_products_equal_the_formula);
    tcase_add_test(limits, nan_survives_every_kernel);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
