/* test_corrupt_random.c - the bulk random fields against single Philox blocks and against
 * their laws; e^x and the sines against the C library. */
#include <math.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { RUN = 64, MANY = 1 << 18 };

static base_rng stream(uint64_t a)
{
    return base_rng_make(5, BASE_PURPOSE_TEST, a, 0, 0);
}

START_TEST(words_are_those_of_the_blocks)
{
    uint32_t words[3 * RUN], single[4];
    base_rng rng = stream(1);
    const base_rng start = rng;

    corrupt_random_words(words, 3 * RUN, &rng);
    for (uint32_t i = 0; i < 3 * RUN; i++) {
        const uint32_t block = i / RUN * 16 + i % 16, word = i % RUN / 16;
        base_philox4x32(single, (const uint32_t[4]){block}, start.key);
        ck_assert_uint_eq(words[i], single[word]);
    }
    ck_assert_uint_eq(rng.counter[0], 3 * 16);
}
END_TEST

START_TEST(the_counter_carries)
{
    uint32_t words[RUN], single[4];
    base_rng rng = stream(1);

    rng.counter[0] = UINT32_MAX - 3;
    corrupt_random_words(words, RUN, &rng);
    base_philox4x32(single, (const uint32_t[4]){2, 1}, rng.key);
    ck_assert_uint_eq(words[6], single[0]);
    ck_assert_uint_eq(rng.counter[0], 12);
    ck_assert_uint_eq(rng.counter[1], 1);
}
END_TEST

START_TEST(a_field_may_be_drawn_in_pieces)
{
    float whole[500], pieces[500];

    base_rng rng = stream(2);
    corrupt_random_normal(whole, 500, &rng);
    rng = stream(2);
    corrupt_random_normal(pieces, 128, &rng);
    corrupt_random_normal(pieces + 128, 372, &rng);
    ck_assert_mem_eq(whole, pieces, sizeof whole);
}
END_TEST

START_TEST(normals_are_box_and_mullers)
{
    const double pi = 3.14159265358979323846;
    uint32_t words[RUN];
    float normals[RUN];

    for (uint64_t a = 0; a < 200; a++) {
        base_rng rng = stream(a);
        corrupt_random_words(words, RUN, &rng);
        rng = stream(a);
        corrupt_random_normal(normals, RUN, &rng);
        for (int i = 0; i < RUN / 2; i++) {
            const double u = ((words[i] >> 1) + 0.5) * 0x1p-31;
            const double radius = sqrt(-2.0 * log(u));
            const uint32_t turn = words[RUN / 2 + i];
            const double angle = 2.0 * pi * turn * 0x1p-32;
            /* f32: 24 bits of u near 1 leave 2^-24 of the logarithm, hence 3e-4 of a small
             * radius */
            const double near = radius < 0.01 ? 4e-4 : 4e-6;
            ck_assert_double_eq_tol((double)normals[i], radius * cos(angle), near);
            ck_assert_double_eq_tol((double)normals[RUN / 2 + i], radius * sin(angle),
                                    near);
        }
    }
}
END_TEST

/* Moments within five standard errors, and the tail beyond three. */
START_TEST(normals_have_their_moments)
{
    static float n[MANY];
    double sum[4] = {0};
    int beyond = 0;

    base_rng rng = stream(3);
    corrupt_random_normal(n, MANY, &rng);
    double product = 0.0; /* neighbours, and the two of one pair, are independent */
    double pair = 0.0;
    for (int i = 0; i < MANY; i++) {
        double power = 1.0;
        for (int p = 0; p < 4; p++)
            sum[p] += power *= (double)n[i];
        beyond += fabsf(n[i]) > 3.0f;
        product += i > 0 ? (double)n[i] * (double)n[i - 1] : 0.0;
        pair += i % 64 < 32 ? (double)n[i] * (double)n[i + 32] : 0.0;
    }
    const double root = sqrt(MANY);
    ck_assert_double_eq_tol(sum[0] / MANY, 0.0, 5.0 / root);
    ck_assert_double_eq_tol(sum[1] / MANY, 1.0, 5.0 * sqrt(2.0) / root);
    ck_assert_double_eq_tol(sum[2] / MANY, 0.0, 5.0 * sqrt(15.0) / root);
    ck_assert_double_eq_tol(sum[3] / MANY, 3.0, 5.0 * sqrt(96.0) / root);
    ck_assert_double_eq_tol(product / MANY, 0.0, 5.0 / root);
    ck_assert_double_eq_tol(pair / (0.5 * MANY), 0.0, 5.0 * sqrt(2.0) / root);
    ck_assert_double_eq_tol(beyond, 0.0026998 * MANY, 5.0 * sqrt(0.0027 * MANY));
}
END_TEST

START_TEST(uniforms_are_flat)
{
    static float u[MANY];
    int bins[64] = {0};

    base_rng rng = stream(4);
    corrupt_random_uniform(u, MANY, &rng);
    for (int i = 0; i < MANY; i++) {
        ck_assert(u[i] >= 0.0f && u[i] < 1.0f);
        bins[(int)(u[i] * 64.0f)]++;
    }
    double chi = 0.0;
    for (int i = 0; i < 64; i++)
        chi += (bins[i] - MANY / 64.0) * (bins[i] - MANY / 64.0) / (MANY / 64.0);
    ck_assert_double_lt(chi, 63.0 + 5.0 * sqrt(2.0 * 63.0));
}
END_TEST

START_TEST(exp_is_near_the_last_bit)
{
    for (int i = 0; i < 1950; i++) {
        const double x = -740.0 + 0.737 * i;
        const double known = exp(x);
        /* one unit in the last place; the smallest have fewer bits */
        ck_assert_double_eq_tol(corrupt_exp(x), known, known * 2.3e-16 + 1e-323);
    }
    ck_assert_double_eq(corrupt_exp(0.0), 1.0);
    ck_assert_double_eq(corrupt_exp(-800.0), 0.0);
}
END_TEST

START_TEST(sines_are_near_and_quarters_exact)
{
    double c, s;

    for (int i = 0; i < 3900; i++) {
        const double degrees = -720.0 + 0.37 * i;
        const double t = degrees * (3.14159265358979323846 / 180.0);
        corrupt_cos_sin(&c, &s, degrees);
        ck_assert_double_eq_tol(c, cos(t), 2e-15); /* the library's argument is rounded */
        ck_assert_double_eq_tol(s, sin(t), 2e-15);
    }
    corrupt_cos_sin(&c, &s, -90.0);
    ck_assert(c == 0.0 && s == -1.0);
    corrupt_cos_sin(&c, &s, 180.0);
    ck_assert(c == -1.0 && s == 0.0);
}
END_TEST

START_TEST(no_value_asks_for_nothing)
{
    base_rng rng = stream(6);
    const base_rng before = rng;

    corrupt_random_words(NULL, 0, &rng);
    corrupt_random_normal(NULL, 0, &rng);
    corrupt_random_uniform(NULL, 0, &rng);
    ck_assert_mem_eq(&rng, &before, sizeof rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt random");
    TCase *core = test_case("Core");
    tcase_add_test(core, words_are_those_of_the_blocks);
    tcase_add_test(core, a_field_may_be_drawn_in_pieces);
    tcase_add_test(core, normals_are_box_and_mullers);
    tcase_add_test(core, normals_have_their_moments);
    tcase_add_test(core, uniforms_are_flat);
    tcase_add_test(core, exp_is_near_the_last_bit);
    tcase_add_test(core, sines_are_near_and_quarters_exact);
    suite_add_tcase(suite, core);
    TCase *limits = test_case("Limits");
    tcase_add_test(limits, the_counter_carries);
    tcase_add_test(limits, no_value_asks_for_nothing);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
