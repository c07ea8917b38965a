/* test_measure_shift.c - what a change of an image did to its routing, on tokens whose
 * experts are written down here. */
#include <math.h>

#include "measure/measure.h"
#include "tests/test_run.h"

enum { EXPERTS = 3, TOKENS = 4, IMAGES = 2 };

static measure_trace clean, other;

static void setup(void)
{
    const size_t tokens = (size_t)IMAGES * TOKENS;

    ck_assert_int_eq(measure_trace_create(&clean, 1, tokens, EXPERTS, NULL), BASE_OK);
    ck_assert_int_eq(measure_trace_create(&other, 1, tokens, EXPERTS, NULL), BASE_OK);
    clean.tokens_per_image = other.tokens_per_image = TOKENS;
}

static void teardown(void)
{
    measure_trace_destroy(&clean);
    measure_trace_destroy(&other);
}

/* Token t of the second image: its experts as bits and their probabilities. */
static void token_set(measure_trace *trace, size_t t, uint64_t mask, double p0, double p1,
                      double p2)
{
    const size_t at = TOKENS + t;

    trace->mask[at * MEASURE_MASK_WORDS] = mask;
    trace->first[at] = (int16_t)(mask ? __builtin_ctzll(mask) : -1);
    trace->probs[at * EXPERTS] = p0;
    trace->probs[at * EXPERTS + 1] = p1;
    trace->probs[at * EXPERTS + 2] = p2;
}

/* 0 to 1; 0 and 1 to 0 alone; stays with 2; none at all. */
static void tokens_set(void)
{
    token_set(&clean, 0, 1, 1, 0, 0);
    token_set(&other, 0, 2, 0, 1, 0);
    token_set(&clean, 1, 3, 0.5, 0.5, 0);
    token_set(&other, 1, 1, 1, 0, 0);
    token_set(&clean, 2, 4, 0, 0, 1);
    token_set(&other, 2, 4, 0, 0, 1);
    token_set(&clean, 3, 0, 0, 0, 1);
    token_set(&other, 3, 0, 0, 0, 1);
}

START_TEST(experts_lose_the_tokens_that_they_had_when_clean)
{
    static const double had[] = {2, 1, 1}, has[] = {1, 1, 1}, left[] = {1, 1, 0};
    measure_shift all = {0}, part = {0};

    tokens_set();
    const double change = measure_shift_add(&all, &part, &clean, &other, 1);
    for (size_t e = 0; e < EXPERTS; e++) {
        ck_assert_double_eq(all.usage[0][e], had[e]);
        ck_assert_double_eq(all.usage[1][e], has[e]);
        ck_assert_double_eq(all.left[e], left[e]);
        ck_assert_double_eq(part.left[e], left[e]);
    }
    ck_assert_double_eq(all.tokens, 4);
    ck_assert_double_eq(all.empty, 1);
    ck_assert_double_eq(all.changed, 2);
    ck_assert_double_eq(all.top1_changed, 1);
    ck_assert_double_eq_tol(all.iou, 1.5, 1e-12); /* 0, 1/2, 1 */
    ck_assert_double_eq_tol(change, 0.5, 1e-12);
    ck_assert_double_eq_tol(all.gate_l1, 3, 1e-12); /* 2, 1 */
    ck_assert_double_eq_tol(all.entropy[0], log(2), 1e-12);
    ck_assert_double_eq_tol(all.entropy[1], 0, 1e-12);
    /* log 2, and the mean of KL((1/2, 1/2), m) and KL((1, 0), m), m = (3/4, 1/4) */
    ck_assert_double_eq_tol(
        all.js, log(2) + 0.25 * log(2.0 / 3) + 0.25 * log(2) + 0.5 * log(4.0 / 3), 1e-12);
}
END_TEST

START_TEST(the_way_back_is_another_way)
{
    static const double left[] = {0, 1, 0}; /* 0 gains, 1 loses */
    measure_shift all = {0};

    tokens_set();
    measure_shift_add(&all, NULL, &other, &clean, 1);
    for (size_t e = 0; e < EXPERTS; e++)
        ck_assert_double_eq(all.left[e], left[e]);
    ck_assert(isnan(measure_shift_add(&all, NULL, &clean, &clean, 0))); /* no experts */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_shift");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, experts_lose_the_tokens_that_they_had_when_clean);
    tcase_add_test(core, the_way_back_is_another_way);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
