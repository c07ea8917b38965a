/* test_base_random.c - Philox against its published answers, the keyed streams against an
 * independent Python calculation (integers exactly), and their distributions. */
#include "base/base.h"

#include <math.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* Random123 1.14 (Salmon et al. 2011), tests/kat_vectors, lines "philox4x32 10". */
START_TEST(philox_gives_the_published_answers)
{
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } known[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        base_philox4x32(out, known[i].counter, known[i].key);
        ck_assert_mem_eq(out, known[i].answer, sizeof out);
    }
}
END_TEST

/* data.md section 3: mix(0), mix(1), key(1, 2, 3); mix(0) is SplitMix64's first number. */
START_TEST(keys_are_the_published_hash)
{
    const uint64_t values[] = {1, 2, 3}, zero = 0;

    ck_assert_uint_eq(base_key(&zero, 1), UINT64_C(0xe220a8397b1dcdaf));
    ck_assert_uint_eq(base_key(values, 1), UINT64_C(0x910a2dec89025cc1));
    ck_assert_uint_eq(base_key(values, 3), UINT64_C(0xd0734750fde362b3));
    ck_assert_uint_eq(base_key(NULL, 0), 0);
}
END_TEST

static base_rng test_stream(uint64_t a)
{
    return base_rng_make(1, BASE_PURPOSE_TEST, a, 3, 4);
}

START_TEST(streams_give_the_calculated_numbers)
{
    static const uint32_t words[] = {0xd5fd586e, 0x3ac3db33, 0x3d210fb9,
                                     0x805d90ef, 0x8cc91512, 0x66240d09};
    static const uint64_t longs[] = {UINT64_C(0x3ac3db33d5fd586e),
                                     UINT64_C(0x805d90ef3d210fb9),
                                     UINT64_C(0x66240d098cc91512)};
    static const double uniforms[] = {0.22955102935337857, 0.5014277061537805,
                                      0.39898759349015145};
    static const uint64_t small[] = {3, 7, 5, 11, 6, 11, 8, 12, 9, 6, 9, 12};
    static const uint64_t large[] = {
        UINT64_C(7624868213163366715), UINT64_C(7440388509963271334),
        UINT64_C(5723140062550976128), UINT64_C(4228600927271201031)};
    base_rng rng = test_stream(2);

    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(base_rng_u32(&rng), words[i]);
    rng = test_stream(2);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(base_rng_u64(&rng), longs[i]);
    rng = test_stream(2);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(base_rng_uniform(&rng), uniforms[i]);
    rng = test_stream(2);
    for (int i = 0; i < 12; i++)
        ck_assert_uint_eq(base_rng_below(&rng, 14), small[i]);
    rng = test_stream(2); /* about every second number is rejected */
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(base_rng_below(&rng, (UINT64_C(1) << 63) + 1), large[i]);
    rng = test_stream(2); /* log and cos may differ in the last bit between C libraries */
    ck_assert_double_eq_tol(base_rng_normal(&rng), -0.7221646219245657, 1e-14);
    ck_assert_double_eq_tol(base_rng_normal(&rng), 0.46764160753433853, 1e-14);
}
END_TEST

START_TEST(permutations_are_the_calculated_ones)
{
    static const uint32_t first[] = {3, 9, 8, 5, 7, 1, 4, 0, 6, 2};
    static const uint32_t second[] = {2, 4, 8, 1, 9, 5, 0, 7, 6, 3};
    static const uint32_t head[] = {176, 215, 785, 233, 981, 463, 514, 851};
    static const uint32_t tail[] = {669, 335, 397, 820};
    uint32_t out[1000];
    bool seen[1000] = {0};

    base_rng rng = base_rng_make(1, BASE_PURPOSE_ORDER, 0, 0, 0);
    base_rng_permutation(&rng, out, 10);
    ck_assert_mem_eq(out, first, sizeof first);
    rng = base_rng_make(1, BASE_PURPOSE_ORDER, 1, 0, 0);
    base_rng_permutation(&rng, out, 10);
    ck_assert_mem_eq(out, second, sizeof second);
    rng = base_rng_make(42, BASE_PURPOSE_ORDER, 3, 0, 0);
    base_rng_permutation(&rng, out, 1000);
    ck_assert_mem_eq(out, head, sizeof head);
    ck_assert_mem_eq(out + 996, tail, sizeof tail);
    for (size_t i = 0; i < 1000; i++) {
        ck_assert(out[i] < 1000 && !seen[out[i]]);
        seen[out[i]] = true;
    }
}
END_TEST

START_TEST(a_copied_stream_repeats_the_original)
{
    base_rng rng = test_stream(9);

    base_rng_u32(&rng);
    base_rng copy = rng;
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(base_rng_u64(&rng), base_rng_u64(&copy));
}
END_TEST

START_TEST(every_part_of_the_key_changes_the_stream)
{
    base_rng streams[] = {
        base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0),
        base_rng_make(0, BASE_PURPOSE_TEST, 1, 0, 0),
        base_rng_make(0, BASE_PURPOSE_TEST, 0, 1, 0),
        base_rng_make(0, BASE_PURPOSE_TEST, 0, 0, 1),
        base_rng_make(0, BASE_PURPOSE_INIT, 0, 0, 0),
        base_rng_make(0, BASE_PURPOSE_TEST, 0, 0, 0),
    };
    const size_t count = sizeof streams / sizeof streams[0];

    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            ck_assert(memcmp(streams[i].key, streams[j].key, sizeof streams[i].key) != 0);
}
END_TEST

enum { DRAWS = 20000 };
/* Largest distance of the empirical from the true distribution that one sample of DRAWS
 * shows once in a million: sqrt(ln(2e6) / (2 DRAWS)) (Massart 1990). The streams are fixed:
 * no flicker. */
static const double ks_limit = 0.01905;

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance; values are sorted in place and replaced by cdf(value). */
static double ks_distance(double *values, double (*cdf)(double))
{
    double largest = 0;

    for (size_t i = 0; i < DRAWS; i++)
        values[i] = cdf(values[i]);
    qsort(values, DRAWS, sizeof values[0], compare_doubles);
    for (size_t i = 0; i < DRAWS; i++) {
        largest = fmax(largest, fabs(values[i] - (double)i / DRAWS));
        largest = fmax(largest, fabs(values[i] - (double)(i + 1) / DRAWS));
    }
    return largest;
}

static double cdf_uniform(double x)
{
    return x;
}

static double cdf_normal(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double cdf_arcsine(double x) /* Beta(1/2, 1/2) */
{
    return 2.0 / acos(-1.0) * asin(sqrt(x));
}

static double cdf_beta_2(double x) /* Beta(2, 2): 6 x (1 - x) integrated */
{
    return x * x * (3.0 - 2.0 * x);
}

START_TEST(uniform_normal_and_beta_have_their_distributions)
{
    static double values[DRAWS];
    base_rng rng = test_stream(5);

    for (size_t i = 0; i < DRAWS; i++) {
        values[i] = base_rng_uniform(&rng);
        ck_assert(values[i] >= 0.0 && values[i] < 1.0);
    }
    ck_assert_double_lt(ks_distance(values, cdf_uniform), ks_limit);
    for (size_t i = 0; i < DRAWS; i++)
        values[i] = base_rng_normal(&rng);
    ck_assert_double_lt(ks_distance(values, cdf_normal), ks_limit);
    for (size_t i = 0; i < DRAWS; i++)
        values[i] = base_rng_beta(&rng, 0.5);
    ck_assert_double_lt(ks_distance(values, cdf_arcsine), ks_limit);
    for (size_t i = 0; i < DRAWS; i++)
        values[i] = base_rng_beta(&rng, 1.0);
    ck_assert_double_lt(ks_distance(values, cdf_uniform), ks_limit);
    for (size_t i = 0; i < DRAWS; i++)
        values[i] = base_rng_beta(&rng, 2.0);
    ck_assert_double_lt(ks_distance(values, cdf_beta_2), ks_limit);
}
END_TEST

START_TEST(below_is_even)
{
    enum { LIMIT = 7, EACH = 10000 };
    size_t count[LIMIT] = {0};
    base_rng rng = test_stream(6);
    double chi = 0;

    for (size_t i = 0; i < LIMIT * EACH; i++)
        count[base_rng_below(&rng, LIMIT)]++;
    for (size_t i = 0; i < LIMIT; i++)
        chi += pow((double)count[i] - EACH, 2) / EACH;
    ck_assert_double_lt(chi, 38.3); /* 6 degrees of freedom, once in a million */
}
END_TEST

START_TEST(the_counter_carries)
{
    base_rng rng = {.key = {1, 2}, .counter = {0xffffffff, 0xffffffff, 5, 0}};
    const uint32_t next[4] = {0, 0, 6, 0};

    base_rng_u32(&rng);
    ck_assert_mem_eq(rng.counter, next, sizeof next);
}
END_TEST

START_TEST(extreme_arguments_stay_in_range)
{
    static const double shapes[] = {1e-300, 1e-6, 0.01, 0.999, 1e3, 1e12};
    base_rng rng = test_stream(8);
    uint32_t one = 9;

    ck_assert_uint_eq(base_rng_below(&rng, 1), 0);
    base_rng_below(&rng, UINT64_MAX);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        double sum = 0, squares = 0;
        for (int n = 0; n < 4000; n++) {
            const double x = base_rng_beta(&rng, shapes[i]);
            ck_assert(x >= 0.0 && x <= 1.0);
            sum += x - 0.5;
            squares += (x - 0.5) * (x - 0.5);
        }
        const double deviation = sqrt(0.25 / (2.0 * shapes[i] + 1.0));
        ck_assert_double_lt(fabs(sum / 4000), 5.0 * deviation / sqrt(4000.0));
        ck_assert_double_eq_tol(sqrt(squares / 4000) / deviation, 1.0, 0.06);
    }
    base_rng_permutation(&rng, &one, 1);
    ck_assert_uint_eq(one, 0);
    base_rng_permutation(&rng, NULL, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_random");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, philox_gives_the_published_answers);
    tcase_add_test(core, keys_are_the_published_hash);
    tcase_add_test(core, streams_give_the_calculated_numbers);
    tcase_add_test(core, permutations_are_the_calculated_ones);
    tcase_add_test(core, a_copied_stream_repeats_the_original);
    tcase_add_test(core, every_part_of_the_key_changes_the_stream);
    tcase_add_test(core, uniform_normal_and_beta_have_their_distributions);
    tcase_add_test(core, below_is_even);
    tcase_add_test(limits, the_counter_carries);
    tcase_add_test(limits, extreme_arguments_stay_in_range);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
