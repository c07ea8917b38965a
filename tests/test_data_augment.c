/* test_data_augment.c - crops, flips, erasing, mixing: the draws, their order and what
 * comes of them. The tables come from reference/make_pixels.py, which draws the same
 * numbers in Python. */
#include "data/data_internal.h"

#include <math.h>
#include <string.h>

#include "tests/test_picture.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { SEED = 7, SAMPLES = 3 };

/* Sums of a few products in fp32. */
static const double mix_tolerance = 1e-6;

static const data_augment random_crop = {.crop = DATA_CROP_RANDOM,
                                         .area_low = 0.08,
                                         .area_high = 1.0,
                                         .ratio_low = 3.0 / 4.0,
                                         .ratio_high = 4.0 / 3.0,
                                         .flip = 0.5};

static const struct {
    size_t width, height, size;
    const char *digest[SAMPLES];
} crops[] = {
    {40, 30, 24, {"80df5d04606f9344", "c42e6167264194dd", "f0397f3687658e3a"}},
    {30, 40, 24, {"3655991141ca391b", "5e49f8e110764d1c", "2c9fe8e001dad8c7"}},
    {64, 64, 32, {"5840fa0f2824ed6b", "8d032d58a3908a9a", "53169a8803699a7e"}},
    {200, 3, 16, {"b1dc1e731aeb7b99", "b1dc1e731aeb7b99", "b1dc1e731aeb7b99"}},
    {3, 200, 16, {"d43e7da8187f3112", "d43e7da8187f3112", "d43e7da8187f3112"}},
    {1, 1, 8, {"228d5c5273c4db7e", "228d5c5273c4db7e", "228d5c5273c4db7e"}},
    {9, 5, 4, {"87c5c676c181fa21", "a8ee6271effed70b", "762e9e77d177dca2"}},
    {300, 200, 56, {"095db5b2634d293f", "a4176d8fe5b76d9f", "70f55e77df1bbb73"}},
};

static const struct {
    size_t width, height, size;
    int padding;
    const char *digest[SAMPLES];
} padded[] = {
    {16, 16, 16, 2, {"95573cc94df7dc7c", "3d168b1b433745ee", "3d168b1b433745ee"}},
    {32, 32, 32, 4, {"55e80407aaebbc72", "1aaabba5388e175b", "0561ce53531b891d"}},
    {20, 14, 12, 3, {"a1b0ad4dff010dd3", "aa3cf3e385b45005", "a22c687cfc46fa39"}},
    {6, 6, 6, 9, {"77133f431d5e12dd", "77133f431d5e12dd", "77133f431d5e12dd"}},
    {8, 8, 8, 0, {"83252d02b7289f13", "83252d02b7289f13", "83252d02b7289f13"}},
};

static const struct {
    uint64_t sample;
    size_t size, top, left, height, width;
} erasures[] = {
    {0, 32, 0, 0, 0, 0},    {1, 32, 0, 0, 0, 0},   {2, 32, 14, 21, 11, 7},
    {3, 32, 4, 13, 10, 13}, {4, 32, 18, 8, 14, 7}, {5, 32, 2, 20, 28, 9},
    {6, 32, 9, 0, 9, 22},   {7, 32, 6, 4, 11, 27}, {0, 8, 0, 0, 0, 0},
    {1, 8, 0, 0, 0, 0},     {2, 8, 4, 5, 3, 2},    {3, 8, 1, 4, 2, 3},
    {4, 8, 5, 2, 3, 2},     {5, 8, 1, 5, 7, 2},    {6, 8, 2, 0, 2, 5},
    {7, 8, 1, 1, 3, 7},     {0, 3, 0, 0, 0, 0},    {1, 3, 0, 0, 0, 0},
    {2, 3, 2, 2, 1, 1},     {3, 3, 0, 2, 1, 1},    {4, 3, 2, 0, 1, 1},
    {5, 3, 0, 0, 2, 1},     {6, 3, 1, 0, 1, 2},    {7, 3, 0, 1, 1, 1},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static base_rng sample_stream(uint64_t epoch, uint64_t sample)
{
    return base_rng_make(SEED, BASE_PURPOSE_AUGMENT, epoch, sample, 0);
}

START_TEST(random_crops_are_those_of_torchvisions_rule)
{
    data_scratch scratch = {0};
    data_image out = {0};

    for (size_t i = 0; i < COUNT(crops); i++) {
        data_image in = picture_make(crops[i].width, crops[i].height, 3);
        for (uint64_t sample = 0; sample < SAMPLES; sample++) {
            base_rng rng = sample_stream(2, sample);
            ck_assert_int_eq(data_train_transform(&out, &in, &random_crop, 0, crops[i].size,
                                                  DATA_FILTER_BILINEAR, &rng, &scratch,
                                                  NULL),
                             BASE_OK);
            picture_check(&out, crops[i].digest[sample]);
        }
        data_image_destroy(&in);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&out);
}
END_TEST

START_TEST(padded_crops_are_zero_outside_the_picture)
{
    data_scratch scratch = {0};
    data_image out = {0};

    for (size_t i = 0; i < COUNT(padded); i++) {
        const data_augment augment = {
            .crop = DATA_CROP_PADDED, .padding = padded[i].padding, .flip = 0.5};
        data_image in = picture_make(padded[i].width, padded[i].height, 3);
        for (uint64_t sample = 0; sample < SAMPLES; sample++) {
            base_rng rng = sample_stream(2, sample);
            ck_assert_int_eq(data_train_transform(&out, &in, &augment, 0, padded[i].size,
                                                  DATA_FILTER_BILINEAR, &rng, &scratch,
                                                  NULL),
                             BASE_OK);
            picture_check(&out, padded[i].digest[sample]);
        }
        data_image_destroy(&in);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&out);
}
END_TEST

START_TEST(a_flip_mirrors_rows_and_only_when_asked_for)
{
    data_scratch scratch = {0};
    data_image in = picture_make(5, 5, 3), out = {0};

    for (int on = 0; on <= 1; on++) {
        const data_augment augment = {.crop = DATA_CROP_EVAL, .flip = on};
        base_rng rng = sample_stream(0, 0), untouched = rng;
        data_train_transform(&out, &in, &augment, 0, 5, DATA_FILTER_BILINEAR, &rng,
                             &scratch, NULL);
        for (size_t y = 0; y < 5; y++) {
            for (size_t x = 0; x < 5; x++)
                ck_assert_mem_eq(out.pixels + (y * 5 + x) * 3,
                                 in.pixels + (y * 5 + (on ? 4 - x : x)) * 3, 3);
        }
        if (!on) /* and then nothing is drawn */
            ck_assert_mem_eq(&rng, &untouched, sizeof rng);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

static bool inside(size_t at, size_t from, size_t count)
{
    return at >= from && at < from + count;
}

START_TEST(erasing_clears_the_rectangle_that_was_drawn)
{
    const data_augment augment = {.erase = 0.75};
    float planes[3 * 32 * 32];

    for (size_t i = 0; i < COUNT(erasures); i++) {
        const size_t size = erasures[i].size;
        base_rng rng = sample_stream(3, erasures[i].sample);
        for (size_t k = 0; k < 3 * size * size; k++)
            planes[k] = 1.0f;
        data_erase(planes, 3, size, &augment, &rng);
        for (size_t k = 0; k < 3 * size * size; k++) {
            const size_t y = k / size % size, x = k % size;
            const bool erased = inside(y, erasures[i].top, erasures[i].height) &&
                                inside(x, erasures[i].left, erasures[i].width);
            ck_assert(planes[k] == (erased ? 0.0f : 1.0f));
        }
    }
}
END_TEST

START_TEST(erasing_with_noise_fills_in_normal_numbers)
{
    const data_augment augment = {.erase = 1.0, .erase_noise = true};
    float planes[3 * 32 * 32];
    double sum = 0.0, squares = 0.0, count = 0.0;

    for (uint64_t sample = 0; sample < 40; sample++) {
        base_rng rng = sample_stream(4, sample);
        memset(planes, 0, sizeof planes);
        data_erase(planes, 3, 32, &augment, &rng);
        for (size_t k = 0; k < 3 * 32 * 32; k++) {
            const double v = (double)planes[k];
            sum += v;
            squares += v * v;
            count += v != 0.0;
        }
    }
    ck_assert_double_ge(count,
                        40 * 3 * 0.02 * 32 * 32); /* every sample, at least its share */
    /* some 20000 values: mean within 5 / sqrt(20000), variance likewise */
    ck_assert_double_eq_tol(sum / count, 0.0, 0.04);
    ck_assert_double_eq_tol(squares / count, 1.0, 0.05);
}
END_TEST

/* images [count, channels, size, size]: sample i is the constant i + 1. labels[i] = 10
 * i. */
static void batch_fill(float *images, int32_t *labels, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++) {
        labels[i] = (int32_t)(10 * i);
        for (size_t k = 0; k < step; k++)
            images[i * step + k] = (float)(i + 1);
    }
}

START_TEST(mixup_blends_each_sample_with_its_mirror)
{
    const data_augment augment = {.mixup = 0.8, .mix_probability = 1.0};
    enum { B = 5, STEP = 3 * 4 * 4 };
    float images[B * STEP], weight[B];
    int32_t labels[B], labels_b[B];

    for (uint64_t batch = 0; batch < 20; batch++) {
        base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 0, batch, 0), again = rng;
        const double expected = base_rng_beta(&again, 0.8);
        batch_fill(images, labels, B, STEP);
        data_mix_batch(images, labels_b, weight, labels, B, 3, 4, &augment, &rng);
        for (size_t i = 0; i < B; i++) {
            const double w = (double)weight[i];
            ck_assert_double_eq_tol(w, expected, mix_tolerance);
            ck_assert_int_eq(labels_b[i], labels[B - 1 - i]);
            /* w (i + 1) + (1 - w) (B - i) */
            const double value = w * (double)(i + 1) + (1.0 - w) * (double)(B - i);
            for (size_t k = 0; k < STEP; k++)
                ck_assert_double_eq_tol((double)images[i * STEP + k], value,
                                        B * mix_tolerance);
        }
    }
}
END_TEST

START_TEST(cutmix_swaps_a_box_and_weighs_by_what_is_left)
{
    const data_augment augment = {.cutmix = 1.0, .mix_probability = 1.0};
    enum { B = 4, SIDE = 9, STEP = 2 * SIDE * SIDE };
    float images[B * STEP], weight[B];
    int32_t labels[B], labels_b[B];
    bool some = false;

    for (uint64_t batch = 0; batch < 50; batch++) {
        base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 0, batch, 0), again = rng;
        batch_fill(images, labels, B, STEP);
        data_mix_batch(images, labels_b, weight, labels, B, 2, SIDE, &augment, &rng);
        /* The box once more, in its words: side trunc(W sqrt(1 - lam)), row and column of
         * the centre, half a side to each direction, cut at the edges. */
        const double lambda = base_rng_beta(&again, 1.0);
        const long half = (long)(SIDE * sqrt(1.0 - lambda)) / 2;
        const long row = (long)base_rng_below(&again, SIDE);
        const long column = (long)base_rng_below(&again, SIDE);
        for (size_t i = 0; i < B; i++) {
            long moved = 0;
            for (size_t k = 0; k < STEP; k++) {
                const long y = (long)(k / SIDE % SIDE), x = (long)(k % SIDE);
                const bool in_box = y >= row - half && y < row + half &&
                                    x >= column - half && x < column + half;
                const size_t from = in_box ? B - 1 - i : i;
                ck_assert(images[i * STEP + k] == (float)(from + 1));
                moved += in_box;
            }
            const double left = 1.0 - (double)moved / STEP;
            ck_assert_double_eq_tol((double)weight[i], left, mix_tolerance);
            ck_assert_int_eq(labels_b[i], labels[B - 1 - i]);
            some = some || moved > 0;
        }
    }
    ck_assert(some);
}
END_TEST

START_TEST(neighbours_are_mixed_as_torchvision_and_vmoe_do)
{
    enum { SIDE = 23, STEP = 3 * SIDE * SIDE, MOST = 5 }; /* more values than go at once */
    static float images[MOST * STEP];
    float weight[MOST];
    int32_t labels[MOST], labels_b[MOST];

    for (int cut = 0; cut < 2; cut++) {
        for (uint64_t turn = 0; turn < 60; turn++) {
            const bool next = turn % 2 == 1;
            const size_t count = 1 + turn % MOST;
            const data_augment augment = {.mixup = cut ? 0 : 0.5,
                                          .cutmix = cut ? 1 : 0,
                                          .mix_style =
                                              next ? DATA_MIX_VMOE : DATA_MIX_TORCHVISION,
                                          .mix_probability = 1};
            base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 1, turn, 0), again = rng;
            double own = base_rng_beta(&again, cut ? 1 : 0.5);
            const long half = (long)(SIDE * sqrt(1.0 - own)) / 2;
            const long row = (long)base_rng_below(&again, SIDE);
            const long column = (long)base_rng_below(&again, SIDE);
            if (next && own < 0.5 && !cut)
                own = 1 - own;
            batch_fill(images, labels, count, STEP);
            data_mix_batch(images, labels_b, weight, labels, count, 3, SIDE, &augment,
                           &rng);
            for (size_t i = 0; i < count; i++) {
                const size_t other = next ? (i + 1) % count : (i + count - 1) % count;
                ck_assert_int_eq(labels_b[i], labels[other]);
                if (!cut)
                    ck_assert_double_eq_tol((double)weight[i], own, mix_tolerance);
                for (size_t k = 0; k < STEP; k++) {
                    const long y = (long)(k / SIDE % SIDE), x = (long)(k % SIDE);
                    const bool in_box = y >= row - half && y < row + half &&
                                        x >= column - half && x < column + half;
                    const double w = cut ? (in_box ? 0 : 1) : own;
                    ck_assert_double_eq_tol((double)images[i * STEP + k],
                                            w * (double)(i + 1) +
                                                (1 - w) * (double)(other + 1),
                                            MOST * mix_tolerance);
                }
            }
        }
    }
}
END_TEST

START_TEST(vmoes_own_weight_is_the_larger)
{
    const data_augment augment = {
        .mixup = 0.2, .mix_style = DATA_MIX_VMOE, .mix_probability = 1};
    float images[4], weight[4];
    int32_t labels[4], labels_b[4];
    double sum = 0;

    for (uint64_t turn = 0; turn < 2000; turn++) {
        base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 2, turn, 0);
        batch_fill(images, labels, 4, 1);
        data_mix_batch(images, labels_b, weight, labels, 4, 1, 1, &augment, &rng);
        ck_assert(weight[0] >= 0.5f && weight[0] <= 1.0f);
        sum += (double)weight[0];
    }
    /* The mean of max(x, 1 - x), x from Beta(0.2, 0.2), is P(Beta(1.2, 0.2) > 0.5);
     * the deviation of 2000 draws is 0.0031. */
    ck_assert_double_eq_tol(sum / 2000, 0.8988, 0.01);
}
END_TEST

START_TEST(both_are_chosen_about_equally_often)
{
    const data_augment augment = {.mixup = 1.0, .cutmix = 1.0, .mix_probability = 0.5};
    float images[2 * 16], weight[2];
    int32_t labels[2], labels_b[2];
    int none = 0, mixed = 0, cut = 0;

    for (uint64_t batch = 0; batch < 2000; batch++) {
        base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 1, batch, 0), again = rng;
        batch_fill(images, labels, 2, 16);
        data_mix_batch(images, labels_b, weight, labels, 2, 1, 4, &augment, &rng);
        /* whether, then which, then how much */
        const bool any = base_rng_uniform(&again) < 0.5;
        const bool boxed = any && base_rng_uniform(&again) < 0.5;
        const double own = any ? base_rng_beta(&again, 1.0) : 1.0;
        ck_assert_int_eq(labels_b[0] != labels[0], any);
        ck_assert(boxed || fabs((double)weight[0] - own) < mix_tolerance);
        bool fraction = false;
        for (size_t k = 0; k < 32; k++)
            fraction = fraction || (images[k] != 1.0f && images[k] != 2.0f);
        if (labels_b[0] == labels[0])
            none++;
        else if (fraction)
            mixed++;
        else
            cut++;
    }
    /* binomial: 1000 +- 112 and 500 +- 97 are five standard deviations */
    ck_assert_int_le(abs(none - 1000), 112);
    ck_assert_int_le(abs(mixed - 500), 97);
    ck_assert_int_le(abs(cut - 500), 97);
}
END_TEST

START_TEST(nothing_asked_for_draws_and_changes_nothing)
{
    const data_augment off = {.mix_probability = 1.0};
    float images[3 * 16], weight[3];
    int32_t labels[3], labels_b[3];
    base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 0, 0, 0), untouched = rng;

    batch_fill(images, labels, 3, 16);
    data_mix_batch(images, labels_b, weight, labels, 3, 1, 4, &off, &rng);
    data_erase(images, 1, 4, &off, &rng);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(labels_b[i], labels[i]);
        ck_assert(weight[i] == 1.0f);
        ck_assert(images[i * 16] == (float)(i + 1));
    }
    ck_assert_mem_eq(&rng, &untouched, sizeof rng);
}
END_TEST

START_TEST(a_batch_of_one_mixes_with_itself)
{
    const data_augment augment = {.mixup = 1.0, .mix_probability = 1.0};
    float image[16], weight;
    int32_t label, label_b;
    base_rng rng = base_rng_make(SEED, BASE_PURPOSE_MIX, 0, 0, 0);

    batch_fill(image, &label, 1, 16);
    data_mix_batch(image, &label_b, &weight, &label, 1, 1, 4, &augment, &rng);
    ck_assert_int_eq(label_b, label);
    for (size_t k = 0; k < 16; k++)
        ck_assert(image[k] == 1.0f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data augment");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_add_test(core, random_crops_are_those_of_torchvisions_rule);
    tcase_add_test(core, padded_crops_are_zero_outside_the_picture);
    tcase_add_test(core, a_flip_mirrors_rows_and_only_when_asked_for);
    tcase_add_test(core, erasing_clears_the_rectangle_that_was_drawn);
    tcase_add_test(core, erasing_with_noise_fills_in_normal_numbers);
    tcase_add_test(core, mixup_blends_each_sample_with_its_mirror);
    tcase_add_test(core, cutmix_swaps_a_box_and_weighs_by_what_is_left);
    tcase_add_test(core, neighbours_are_mixed_as_torchvision_and_vmoe_do);
    tcase_add_test(core, vmoes_own_weight_is_the_larger);
    tcase_add_test(core, both_are_chosen_about_equally_often);
    tcase_add_test(edges, nothing_asked_for_draws_and_changes_nothing);
    tcase_add_test(edges, a_batch_of_one_mixes_with_itself);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
