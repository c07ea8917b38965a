/* test_measure_score.c - counting how right a classifier is, and which experts serve which
 * classes. */
#include "measure/measure.h"

#include <math.h>

#include "tests/test_run.h"

/* Sums of a few doubles of order 1. */
static const double exact = 1e-12;

START_TEST(the_verdict_is_softmax_by_hand)
{
    /* logits ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8. */
    const float logits[3] = {0, 0.693147181f, 1.609437912f};
    const measure_verdict v = measure_verdict_make(logits, 3, 1);

    ck_assert(v.finite);
    ck_assert_uint_eq(v.predicted, 2);
    ck_assert_double_eq_tol(v.confidence, 0.625, 1e-7); /* float32 logits */
    ck_assert_uint_eq(v.rank, 1);
    ck_assert_double_eq_tol(v.loss, log(4.0), 1e-7);
}
END_TEST

START_TEST(equal_logits_go_by_class_number)
{
    const float logits[4] = {1, 3, 3, 3};

    ck_assert_uint_eq(measure_verdict_make(logits, 4, 1).predicted, 1);
    ck_assert_uint_eq(measure_verdict_make(logits, 4, 1).rank, 0);
    ck_assert_uint_eq(measure_verdict_make(logits, 4, 2).rank, 1);
    ck_assert_uint_eq(measure_verdict_make(logits, 4, 3).rank, 2);
    ck_assert_uint_eq(measure_verdict_make(logits, 4, 0).rank, 3);
}
END_TEST

START_TEST(the_largest_is_found_wherever_it_stands)
{
    const float row[5] = {-1, 2, 4, 3, 4};

    for (size_t count = 1; count <= 5; count++)
        ck_assert_uint_eq(measure_arg_max(row, count), count < 3 ? count - 1 : 2);
}
END_TEST

START_TEST(the_top_classes_come_in_order)
{
    const float logits[5] = {0.5f, 2, -1, 2, 1};
    size_t top[4] = {[3] = 77};
    double p[4] = {[3] = 77};
    const double whole = exp(0.5) + 2 * exp(2.0) + exp(-1.0) + exp(1.0);

    measure_verdict_top(top, p, 3, logits, 5);
    ck_assert_uint_eq(top[0], 1);
    ck_assert_uint_eq(top[1], 3);
    ck_assert_uint_eq(top[2], 4);
    ck_assert_double_eq_tol(p[0], exp(2.0) / whole, exact);
    ck_assert_double_eq_tol(p[1], exp(2.0) / whole, exact);
    ck_assert(top[3] == 77 && p[3] == 77); /* three are asked for */
    ck_assert_double_eq_tol(p[2], exp(1.0) / whole, exact);
    measure_verdict_top(top, p, 3, logits + 2, 2); /* fewer classes than places */
    ck_assert(top[0] == 1 && top[1] == 0 && top[2] == 4);
    ck_assert_double_eq_tol(p[0] + p[1], 1, exact);
}
END_TEST

/* A verdict as if the network had given it. */
static measure_verdict verdict(size_t predicted, double confidence, size_t rank,
                               double loss)
{
    return (measure_verdict){.finite = true,
                             .predicted = predicted,
                             .confidence = confidence,
                             .rank = rank,
                             .loss = loss};
}

START_TEST(the_score_is_the_sum_by_hand)
{
    /* Four samples of class 0, 0, 1, 1, answers 0, 1, 1, 0; the last one is unusable
     * besides. top-1 2/5, top-5 3/5 (ranks 0 3 0 7 and the bad one), loss (1+2+3+4)/4. */
    measure_score score;
    measure_verdict v[4] = {verdict(0, 0.9, 0, 1), verdict(1, 0.95, 3, 2),
                            verdict(1, 0.35, 0, 3), verdict(0, 0.35, 7, 4)};
    const int32_t label[4] = {0, 0, 1, 1};

    ck_assert_int_eq(measure_score_create(&score, 10, NULL), BASE_OK);
    for (int i = 0; i < 4; i++)
        measure_score_add(&score, label[i], &v[i]);
    measure_score_add(&score, 2, NULL);
    ck_assert_double_eq_tol(measure_score_top1(&score), 0.4, exact);
    ck_assert_double_eq_tol(measure_score_top5(&score), 0.6, exact);
    ck_assert_double_eq_tol(measure_score_loss(&score), 2.5, exact);
    /* Bins of 1/15: 0.9 is in (13/15, 14/15], 0.95 in the last, both 0.35 in (5/15, 6/15].
     * ECE = (|1 - 0.9| + |0 - 0.95| + |1 - 0.7|) / 4. */
    ck_assert_double_eq_tol(measure_score_ece(&score), (0.1 + 0.95 + 0.3) / 4, exact);
    ck_assert_uint_eq(score.bin_total[13], 1);
    ck_assert_uint_eq(score.bin_total[14], 1);
    ck_assert_uint_eq(score.bin_total[5], 2);
    ck_assert_uint_eq(score.bad, 1);
    ck_assert_uint_eq(score.class_total[2], 1);
    ck_assert_uint_eq(score.class_right[0], 1);
    static const uint64_t total[10] = {2, 2, 1}, right[10] = {1, 1}, predicted[10] = {2, 2};
    static const uint64_t of_bin[MEASURE_SCORE_BINS] = {[5] = 2, [13] = 1, [14] = 1};
    static const uint64_t right_bin[MEASURE_SCORE_BINS] = {[5] = 1, [13] = 1};
    for (size_t c = 0; c < 10; c++) {
        ck_assert_uint_eq(score.class_total[c], total[c]);
        ck_assert_uint_eq(score.class_right[c], right[c]);
        ck_assert_uint_eq(score.predicted[c], predicted[c]);
        for (size_t a = 0; a < 10; a++)
            ck_assert_uint_eq(score.confusion[c * 10 + a], c < 2 && a < 2);
    }
    for (size_t b = 0; b < MEASURE_SCORE_BINS; b++) {
        ck_assert_uint_eq(score.bin_total[b], of_bin[b]);
        ck_assert_uint_eq(score.bin_right[b], right_bin[b]);
        ck_assert_double_eq_tol(score.bin_confidence[b],
                                b == 5    ? 0.7
                                : b == 13 ? 0.9
                                : b == 14 ? 0.95
                                          : 0,
                                exact);
    }
    ck_assert_uint_eq(score.samples, 5);
    ck_assert_uint_eq(score.classes, 10);
    ck_assert_uint_eq(score.top1, 2);
    ck_assert_uint_eq(score.top5, 3);
    measure_score_destroy(&score);
    ck_assert(!score.class_total && !score.confusion && score.samples == 0);
}
END_TEST

START_TEST(confused_pairs_come_by_frequency)
{
    measure_score score;
    measure_confused pairs[2];
    const measure_verdict to1 = verdict(1, 0.5, 1, 1), to2 = verdict(2, 0.5, 1, 1);
    const measure_verdict right = verdict(0, 0.5, 0, 1);

    ck_assert_int_eq(measure_score_create(&score, 3, NULL), BASE_OK);
    ck_assert_uint_eq(measure_score_confused(pairs, 2, &score), 0);
    for (int i = 0; i < 5; i++)
        measure_score_add(&score, 0, &right);
    measure_score_add(&score, 0, &to1);
    for (int i = 0; i < 3; i++)
        measure_score_add(&score, 0, &to2);
    measure_score_add(&score, 2, &to1);
    measure_score_add(&score, 2, &to1);
    ck_assert_uint_eq(measure_score_confused(pairs, 2, &score), 2);
    ck_assert_uint_eq(pairs[0].label, 0);
    ck_assert_uint_eq(pairs[0].answer, 2);
    ck_assert_uint_eq(pairs[0].count, 3);
    ck_assert_uint_eq(pairs[1].label, 2);
    ck_assert_uint_eq(pairs[1].count, 2);
    ck_assert_uint_eq(measure_score_confused(pairs, 0, &score), 0);
    pairs[1].count = 77;
    ck_assert_uint_eq(measure_score_confused(pairs, 1, &score), 1);
    ck_assert(pairs[0].answer == 2 && pairs[0].count == 3 && pairs[1].count == 77);
    measure_score_destroy(&score);
}
END_TEST

START_TEST(the_interval_is_wilsons)
{
    /* 50 of 100: 0.5 +- 1.959964 sqrt(.0025 + z^2/40000) / (1 + z^2/100) = 0.40383 to
     * 0.59617 (the value statsmodels' proportion_confint gives). */
    double low, high;

    measure_interval(&low, &high, 50, 100);
    ck_assert_double_eq_tol(low, 0.40383, 1e-5);
    ck_assert_double_eq_tol(high, 0.59617, 1e-5);
    /* the roots of (p - x)^2 = z^2 x (1 - x) / n */
    for (uint64_t n = 1; n < 40; n += 3)
        for (uint64_t k = 0; k <= n; k++) {
            const double z2 = 1.959964 * 1.959964 / (double)n, p = (double)k / (double)n;
            const double half = sqrt((2 * p + z2) * (2 * p + z2) - 4 * (1 + z2) * p * p);

            measure_interval(&low, &high, k, n);
            ck_assert_double_eq_tol(low, (2 * p + z2 - half) / (2 + 2 * z2), 1e-9);
            ck_assert_double_eq_tol(high, (2 * p + z2 + half) / (2 + 2 * z2), 1e-9);
            ck_assert(low >= 0 && high <= 1);
        }
}
END_TEST

START_TEST(class_usage_matches_the_golden_table)
{
    /* routing.md 12: MI .30483619 nats, H(Y) .69314718, H(e) 1.0456635; purity (30 + 28
     * + 10)/80. */
    const uint64_t table[6] = {30, 5, 5, 2, 28, 10};
    const measure_table m = measure_table_of(table, 2, 3);

    ck_assert_double_eq_tol(m.mutual, 0.30483619, 5e-9);
    ck_assert_double_eq_tol(m.normalised, 0.30483619 / sqrt(0.69314718 * 1.0456635), 1e-7);
    ck_assert_double_eq_tol(m.purity, 68.0 / 80, exact);
}
END_TEST

/* A pass of `images` images of two tokens; both tokens of image i go to expert[i]. */
static void usage_fill(measure_usage *usage, const int32_t *labels, const uint16_t *expert,
                       size_t images)
{
    enum { MOST = 64 };
    uint32_t start[2 * MOST + 1];
    uint16_t to[2 * MOST];
    bool kept[2 * MOST];

    for (uint32_t t = 0; t <= 2 * images; t++)
        start[t] = t;
    for (size_t t = 0; t < 2 * images; t++) {
        to[t] = expert[t / 2];
        kept[t] = true;
    }
    const vit_routing routing = {.tokens = 2 * images,
                                 .tokens_per_image = 2,
                                 .experts = usage->experts,
                                 .count = 2 * images,
                                 .start = start,
                                 .expert = to,
                                 .kept = kept};
    for (size_t i = 0; i < images; i++)
        measure_usage_add(usage, labels[i], &routing, i);
}

START_TEST(chance_is_taken_off_the_information)
{
    /* 40 images of four classes: experts by class carry ln 4 nats, experts by coin
     * nearly nothing, though the counts alone show some. */
    enum { IMAGES = 40 };
    int32_t labels[IMAGES];
    uint16_t by_class[IMAGES], by_coin[IMAGES];
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);
    measure_usage usage;

    for (size_t i = 0; i < IMAGES; i++) {
        labels[i] = (int32_t)(i % 4);
        by_class[i] = (uint16_t)(i % 4);
        by_coin[i] = (uint16_t)base_rng_below(&rng, 4);
    }
    ck_assert_int_eq(measure_usage_create(&usage, IMAGES, 4, 4, NULL), BASE_OK);
    usage_fill(&usage, labels, by_class, IMAGES);
    measure_usage_metrics m = measure_usage_summary(&usage, 1);
    ck_assert_double_eq_tol(m.found.mutual, log(4.0), exact);
    ck_assert(m.chance.mutual > 0 && m.chance.mutual < log(4.0) - 1);
    ck_assert_double_eq_tol(m.found.normalised, 1, exact);
    measure_usage_destroy(&usage);
    ck_assert_int_eq(measure_usage_create(&usage, IMAGES, 4, 4, NULL), BASE_OK);
    usage_fill(&usage, labels, by_coin, IMAGES);
    m = measure_usage_summary(&usage, 1);
    ck_assert(m.found.mutual > 0.05);
    ck_assert(m.chance.mutual > 0 && m.chance.mutual < 2 * m.found.mutual);
    ck_assert_double_eq(m.chance.mutual, measure_usage_summary(&usage, 1).chance.mutual);
    measure_usage_destroy(&usage);
}
END_TEST

/* One image more than there is room for: the table has it, chance is not known. */
START_TEST(chance_is_known_of_images_that_were_kept)
{
    const int32_t labels[3] = {0, 1, 1};
    const uint16_t expert[3] = {2, 0, 1};
    measure_usage usage;

    for (size_t room = 2; room <= 3; room++) {
        ck_assert_int_eq(measure_usage_create(&usage, room, 2, 3, NULL), BASE_OK);
        usage_fill(&usage, labels, expert, 3);
        ck_assert_uint_eq(usage.images, 3);
        static const uint64_t table[6] = {0, 0, 2, 2, 2, 0};
        ck_assert_mem_eq(usage.table, table, sizeof table);
        const measure_usage_metrics m = measure_usage_summary(&usage, 5);
        ck_assert_double_eq(m.found.total, 6);
        ck_assert(isnan(m.chance.mutual) == (room < 3));
        ck_assert(isnan(m.chance.purity) == (room < 3));
        ck_assert(room < 3 || fabs(m.chance.total - 6) < exact);
        measure_usage_destroy(&usage);
    }
}
END_TEST

START_TEST(nothing_counted_gives_no_figures)
{
    const uint64_t table[4] = {0};
    measure_score score;

    ck_assert_int_eq(measure_score_create(&score, 2, NULL), BASE_OK);
    ck_assert_double_eq(measure_score_top1(&score), 0);
    ck_assert_double_eq(measure_score_top5(&score), 0);
    ck_assert_double_nan(measure_score_loss(&score));
    ck_assert_double_nan(measure_score_ece(&score));
    measure_score_add(&score, 1, NULL); /* one that is unusable */
    ck_assert_double_nan(measure_score_loss(&score));
    ck_assert_double_nan(measure_score_ece(&score));
    measure_score_destroy(&score);
    ck_assert_double_eq(measure_table_of(table, 2, 2).mutual, 0);
}
END_TEST

START_TEST(one_class_is_always_right)
{
    const float logit = -3;
    const measure_verdict v = measure_verdict_make(&logit, 1, 0);

    ck_assert_uint_eq(v.rank, 0);
    ck_assert_double_eq(v.confidence, 1);
    ck_assert_double_eq(v.loss, 0);
}
END_TEST

START_TEST(huge_logits_do_not_overflow)
{
    const float logits[2] = {3e38f, -3e38f};
    const measure_verdict v = measure_verdict_make(logits, 2, 1);

    ck_assert(v.finite);
    ck_assert_double_eq(v.confidence, 1);
    ck_assert(isfinite(v.loss) && v.loss > 5e38);
}
END_TEST

START_TEST(logits_that_are_not_finite_are_told)
{
    const float bad[2] = {0, NAN}, worse[2] = {INFINITY, 0};

    ck_assert(!measure_verdict_make(bad, 2, 0).finite);
    ck_assert(!measure_verdict_make(worse, 2, 0).finite);
}
END_TEST

START_TEST(bins_hold_their_upper_edge)
{
    /* 1/15 belongs to the first bin, 0 too, 1 to the last (Guo et al. 2017: ((m-1)/M,
     * m/M]). */
    measure_score score;
    const double confidence[3] = {0, 1.0 / 15, 1};

    ck_assert_int_eq(measure_score_create(&score, 2, NULL), BASE_OK);
    for (int i = 0; i < 3; i++) {
        const measure_verdict v = verdict(0, confidence[i], 0, 0);
        measure_score_add(&score, 0, &v);
    }
    ck_assert_uint_eq(score.bin_total[0], 2);
    ck_assert_uint_eq(score.bin_total[MEASURE_SCORE_BINS - 1], 1);
    ck_assert_double_eq_tol(measure_score_ece(&score), (2 - 1.0 / 15) / 3, exact);
    measure_score_destroy(&score);
}
END_TEST

START_TEST(very_many_classes_have_no_table)
{
    measure_score score;
    measure_confused pair;
    const measure_verdict v = verdict(5, 0.5, 1, 1);

    ck_assert_int_eq(measure_score_create(&score, MEASURE_SCORE_CONFUSION_MAX + 1, NULL),
                     BASE_OK);
    measure_score_add(&score, MEASURE_SCORE_CONFUSION_MAX, &v);
    ck_assert_ptr_null(score.confusion);
    ck_assert_uint_eq(measure_score_confused(&pair, 1, &score), 0);
    ck_assert_uint_eq(score.predicted[5], 1);
    measure_score_destroy(&score);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_score");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_test(core, the_verdict_is_softmax_by_hand);
    tcase_add_test(core, equal_logits_go_by_class_number);
    tcase_add_test(core, the_largest_is_found_wherever_it_stands);
    tcase_add_test(core, the_top_classes_come_in_order);
    tcase_add_test(core, the_score_is_the_sum_by_hand);
    tcase_add_test(core, confused_pairs_come_by_frequency);
    tcase_add_test(core, the_interval_is_wilsons);
    tcase_add_test(core, class_usage_matches_the_golden_table);
    tcase_add_test(core, chance_is_taken_off_the_information);
    suite_add_tcase(suite, core);
    tcase_add_test(limits, chance_is_known_of_images_that_were_kept);
    tcase_add_test(limits, nothing_counted_gives_no_figures);
    tcase_add_test(limits, one_class_is_always_right);
    tcase_add_test(limits, huge_logits_do_not_overflow);
    tcase_add_test(limits, logits_that_are_not_finite_are_told);
    tcase_add_test(limits, bins_hold_their_upper_edge);
    tcase_add_test(limits, very_many_classes_have_no_table);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
