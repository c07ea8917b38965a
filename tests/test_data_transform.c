/* test_data_transform.c - evaluation preprocessing against torchvision on Pillow images,
 * channels and normalisation. The table comes from reference/make_pixels.py. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <math.h>
#include <string.h>

#include "tests/test_picture.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static const struct {
    size_t width, height, resize, crop;
    const char *bilinear, *bicubic;
} cases[] = {
    {40, 30, 20, 16, "035378adc36a2606", "0fc2745223f09fea"},
    {30, 40, 20, 16, "5f8b2776b6ff5146", "ea50880a1be86dbd"},
    {40, 30, 0, 16, "0de7336ea8f4aff6", "0de7336ea8f4aff6"},
    {40, 30, 0, 36, "a9a1342f365d67d1", "a9a1342f365d67d1"},
    {40, 30, 0, 48, "994932fe28261a99", "994932fe28261a99"},
    {31, 31, 0, 30, "8348709880af41fe", "8348709880af41fe"},
    {33, 33, 0, 30, "24f6d3ba6242f04b", "24f6d3ba6242f04b"},
    {35, 35, 0, 30, "24f6d3ba6242f04b", "24f6d3ba6242f04b"},
    {37, 37, 0, 30, "67a448af0545cbf9", "67a448af0545cbf9"},
    {61, 30, 0, 30, "89b2b29201e1e041", "89b2b29201e1e041"},
    {20, 20, 20, 20, "bc107b7714d01c4a", "bc107b7714d01c4a"},
    {20, 21, 20, 20, "bc107b7714d01c4a", "bc107b7714d01c4a"},
    {60, 1, 12, 8, "0edf22657bee698a", "6bff3a838bf70fda"},
    {1, 1, 16, 14, "b2d65869778df877", "b2d65869778df877"},
    {37, 50, 25, 22, "dbafce7eecba4535", "e7797e7d91f5e1e7"},
    {50, 37, 25, 25, "785fca36ab8306d2", "8a4cc07b95a9cbde"},
    {37, 50, 20, 28, "020996e56c9ded4c", "d9540913ed60a952"},
    {9, 7, 0, 12, "26aa599f7e5d79e9", "26aa599f7e5d79e9"},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(each_evaluation_transform_equals_torchvision)
{
    data_image in = picture_make(cases[_i].width, cases[_i].height, 3), out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(data_eval_transform(&out, &in, cases[_i].resize, cases[_i].crop,
                                         DATA_FILTER_BILINEAR, &scratch, NULL),
                     BASE_OK);
    ck_assert_uint_eq(out.width, cases[_i].crop);
    ck_assert_uint_eq(out.height, cases[_i].crop);
    picture_check(&out, cases[_i].bilinear);
    ck_assert_int_eq(data_eval_transform(&out, &in, cases[_i].resize, cases[_i].crop,
                                         DATA_FILTER_BICUBIC, &scratch, NULL),
                     BASE_OK);
    picture_check(&out, cases[_i].bicubic);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* timm's crop_mode = squash: both sides to resize, then the centre. */
START_TEST(squash_is_a_resize_of_both_sides_and_a_crop)
{
    data_image in = picture_make(37, 21, 3), whole = {0}, out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_resize(&whole, &in, NULL, 18, 18, NULL, DATA_FILTER_BICUBIC, &scratch, NULL),
        BASE_OK);
    ck_assert_int_eq(
        data_eval_squash(&out, &in, 18, 16, DATA_FILTER_BICUBIC, &scratch, NULL), BASE_OK);
    ck_assert_uint_eq(out.width, 16);
    for (size_t y = 0; y < 16; y++)
        ck_assert_mem_eq(out.pixels + 3 * 16 * y, whole.pixels + 3 * (18 * (y + 1) + 1),
                         3 * 16);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&whole);
    data_image_destroy(&out);
}
END_TEST

/* Offsets (1, 3, 5, 7, 31) / 2 become 0, 2, 2, 4, 16 (Python rounds halves to even). */
START_TEST(half_offsets_round_to_even)
{
    const size_t odd[5] = {1, 3, 5, 7, 31}, offset[5] = {0, 2, 2, 4, 16};

    for (size_t i = 0; i < 5; i++) {
        data_image in = picture_make(20 + odd[i], 20, 3), out = {0};
        data_scratch scratch = {0};
        data_eval_transform(&out, &in, 0, 20, DATA_FILTER_BILINEAR, &scratch, NULL);
        ck_assert_mem_eq(out.pixels, in.pixels + 3 * offset[i], 3 * 20);
        data_scratch_destroy(&scratch);
        data_image_destroy(&in);
        data_image_destroy(&out);
    }
}
END_TEST

/* Red 255: (19595 * 255 + 32768) >> 16 = 76; green 150, blue 29 likewise (Pillow's
 * convert('L')). */
/* One side of a centre crop as torchvision has it (area: as V-MoE has it). */
static void check_side(size_t side, size_t crop, bool area, size_t first, size_t count,
                       size_t pad)
{
    if (side < crop) {
        ck_assert(pad == (crop - side) / 2 && count == side && first == 0);
        return;
    }
    const double half = (double)(side - crop) / 2;
    ck_assert(pad == 0 && count == crop);
    ck_assert_uint_eq(first, (size_t)(area ? floor(half) : nearbyint(half)));
}

/* The shapes of evaluation by their formulas, for odd and extreme sides. */
START_TEST(shapes_of_evaluation_follow_their_formulas)
{
    static const size_t sides[] = {1, 2, 7, 31, 32, 33, 100, 223, 224, 225, 500, 1001};
    static const size_t resizes[] = {0, 1, 9, 32, 33, 256};
    static const size_t crops[] = {1, 8, 31, 32, 224};
    enum { SIDES = sizeof sides / sizeof *sides };

    for (size_t i = 0; i < SIDES * SIDES; i++) {
        const size_t w = sides[i / SIDES], h = sides[i % SIDES], less = w < h ? w : h;
        for (size_t k = 0; k < 6 * 5 * 3; k++) {
            const size_t resize = resizes[k % 6], crop = crops[k / 6 % 5];
            const bool squash = k / 30 == 1, area = k / 30 == 2;
            const shape_rule rule = {.resize = resize,
                                     .size = crop,
                                     .channels = 3,
                                     .filter =
                                         area ? DATA_FILTER_AREA : DATA_FILTER_BICUBIC,
                                     .squash = squash};
            const shape s = data_shape_of(w, h, &rule, NULL);
            const float factor = (float)resize / (float)less;
            const size_t wide = resize == 0 ? w
                                : squash    ? resize
                                : area      ? (size_t)nearbyintf((float)w * factor)
                                            : resize * w / less;
            const size_t tall = resize == 0 ? h
                                : squash    ? resize
                                : area      ? (size_t)nearbyintf((float)h * factor)
                                            : resize * h / less;
            ck_assert_uint_eq(s.width, wide);
            ck_assert_uint_eq(s.height, tall);
            ck_assert(s.box.left == 0 && s.box.top == 0 && s.box.width == w &&
                      s.box.height == h && !s.flip && !s.empty);
            check_side(wide, crop, area, s.part.left, s.part.width, s.left);
            check_side(tall, crop, area, s.part.top, s.part.height, s.top);
        }
    }
}
END_TEST

START_TEST(filters_have_their_words)
{
    static const char *const words[] = {"bilinear", "bicubic", "area", "bilinear-plain"};
    data_filter filter = DATA_FILTER_AREA;

    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(data_filter_name((data_filter)i), words[i]);
        ck_assert(data_filter_parse(&filter, words[i]));
        ck_assert_int_eq(filter, (int)i);
    }
    ck_assert(!data_filter_parse(&filter, "nearest"));
    ck_assert(!data_filter_parse(&filter, ""));
    ck_assert_int_eq(filter, DATA_FILTER_BILINEAR_PLAIN);
    ck_assert_str_eq(DATA_FILTERS, "bilinear|bicubic|area|bilinear-plain");
}
END_TEST

START_TEST(grey_is_pillows_luma)
{
    const unsigned char rgb[5][3] = {
        {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}, {10, 200, 90}};
    const unsigned char wanted[5] = {76, 150, 29, 255,
                                     131}; /* 2.99 + 117.4 + 10.26 = 130.65 */
    data_image image = {0};

    data_image_reserve(&image, 5, 1, 3, NULL);
    memcpy(image.pixels, rgb, sizeof rgb);
    ck_assert_int_eq(data_image_convert(&image, 1, NULL), BASE_OK);
    ck_assert_uint_eq(image.channels, 1);
    ck_assert_mem_eq(image.pixels, wanted, 5);
    data_image_destroy(&image);
}
END_TEST

START_TEST(grey_becomes_three_equal_channels_in_place)
{
    data_image image = picture_make(7, 5, 1);
    const size_t before = image.capacity_bytes;

    ck_assert_int_eq(data_image_convert(&image, 1, NULL), BASE_OK); /* nothing to do */
    ck_assert_uint_eq(image.capacity_bytes, before);
    for (int round = 0; round < 2; round++) { /* the second time without new memory */
        ck_assert_int_eq(data_image_convert(&image, 3, NULL), BASE_OK);
        ck_assert_uint_eq(image.channels, 3);
        for (size_t i = 0; i < 7 * 5 * 3; i++)
            ck_assert_uint_eq(image.pixels[i], picture_value(i / 3 % 7, i / 3 / 7, 0));
        data_image_convert(&image, 1, NULL); /* the luma of equal channels is their value */
    }
    data_image_destroy(&image);
}
END_TEST

/* torch: torch.tensor(levels, dtype=torch.uint8).float().div(255).sub(mean).div(std), as
 * float.hex of the results. At the two levels in the middle a product with 1/255 would
 * differ. */
START_TEST(normalised_values_equal_torch_to_the_bit)
{
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    const size_t levels[4] = {0, 55, 196, 255};
    const float wanted[3][4] = {
        {-0x1.0f177a0000000p+1f, -0x1.2d11200000000p+0f, 0x1.3d11780000000p+0f,
         0x1.1fdc3a0000000p+1f},
        {-0x1.0492480000000p+1f, -0x1.12a4ee0000000p+0f, 0x1.6549dc0000000p+0f,
         0x1.36db6e0000000p+1f},
        {-0x1.cdf0120000000p+0f, -0x1.b111c60000000p-1f, 0x1.9c96ea0000000p+0f,
         0x1.51eb860000000p+1f},
    };
    float table[3 * 256];

    data_normalise_table(table, mean, std, 3);
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 0; i < 4; i++)
            ck_assert(table[c * 256 + levels[i]] == wanted[c][i]);
    }
}
END_TEST

START_TEST(planes_hold_the_channels_one_after_the_other)
{
    const float mean[3] = {0.0f, 0.5f, 1.0f}, std[3] = {1.0f, 0.5f, 2.0f};
    float table[3 * 256], planes[3 * 6 * 4];

    data_normalise_table(table, mean, std, 3);
    for (size_t channels = 1; channels <= 3; channels += 2) {
        data_image image = picture_make(6, 4, channels);
        data_normalise(planes, &image, table);
        for (size_t i = 0; i < channels * 24; i++) {
            const size_t c = i / 24, at = i % 24;
            ck_assert(planes[i] == table[c * 256 + image.pixels[at * channels + c]]);
        }
        data_image_destroy(&image);
    }
}
END_TEST

START_TEST(planes_become_the_picture_again)
{
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    const float plain[4] = {-1.0f, 0.25f, 0.502f, 2.0f}; /* 63.75, 128.01, cut */
    float table[3 * 256], planes[3 * 5 * 5];
    data_image back = {0};

    data_normalise_table(table, mean, std, 3);
    for (size_t channels = 1; channels <= 3; channels += 2) {
        data_image image = picture_make(5, 5, channels);
        data_normalise(planes, &image, table);
        ck_assert_int_eq(data_image_from(&back, planes, channels, 5, mean, std, NULL),
                         BASE_OK);
        ck_assert_uint_eq(back.channels, channels);
        ck_assert_mem_eq(back.pixels, image.pixels, channels * 25);
        data_image_destroy(&image);
    }
    ck_assert_int_eq(data_image_from(&back, plain, 1, 2, NULL, NULL, NULL), BASE_OK);
    ck_assert_mem_eq(back.pixels, ((unsigned char[4]){0, 64, 128, 255}), 4);
    data_image_destroy(&back);
}
END_TEST

/* 600 x 1 at 256 would be 153600 x 256 pixels: only the crop may be made. */
START_TEST(a_very_wide_picture_needs_little_memory)
{
    data_image in = picture_make(600, 1, 3), out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_eval_transform(&out, &in, 256, 224, DATA_FILTER_BICUBIC, &scratch, NULL),
        BASE_OK);
    ck_assert_uint_eq(out.width, 224);
    ck_assert_uint_le(scratch.image.capacity_bytes, 224 * 224 * 3);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

START_TEST(an_image_too_large_for_memory_is_refused_and_left_as_it_was)
{
    data_image image = picture_make(3, 3, 3);
    base_error err = {0};

    ck_assert_int_eq(data_image_reserve(&image, SIZE_MAX / 2, 3, 3, &err), BASE_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "no memory for an image of"));
    ck_assert_uint_eq(image.width, 3);
    ck_assert_uint_eq(image.pixels[3], picture_value(1, 0, 0));
    data_image_destroy(&image);
    data_image_destroy(&image);
    data_image_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data transform");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_add_loop_test(core, each_evaluation_transform_equals_torchvision, 0, CASES);
    tcase_add_test(core, squash_is_a_resize_of_both_sides_and_a_crop);
    tcase_add_test(core, half_offsets_round_to_even);
    tcase_add_test(core, shapes_of_evaluation_follow_their_formulas);
    tcase_add_test(core, filters_have_their_words);
    tcase_add_test(core, grey_is_pillows_luma);
    tcase_add_test(core, grey_becomes_three_equal_channels_in_place);
    tcase_add_test(core, normalised_values_equal_torch_to_the_bit);
    tcase_add_test(core, planes_hold_the_channels_one_after_the_other);
    tcase_add_test(core, planes_become_the_picture_again);
    tcase_add_test(edges, a_very_wide_picture_needs_little_memory);
    tcase_add_test(edges, an_image_too_large_for_memory_is_refused_and_left_as_it_was);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
