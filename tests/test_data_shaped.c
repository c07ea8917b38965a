/* test_data_shaped.c - files shaped on the way equal files decoded and shaped then, by
 * every set of kernels; decoding at a scale is near it. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <string.h>

#include "tests/test_decoder.h"
#include "tests/test_set.h"

static void check_shaped(const unsigned char *bytes, size_t size, const data_image *whole,
                         const shape_rule *rule, const data_kernels *kernels, uint64_t draw)
{
    data_decoder *decoder = decoder_make(kernels, false);
    data_scratch on_the_way = {0}, then = {0};
    data_image got = {0}, source = {0}, expected = {0};
    base_rng first = base_rng_make(draw, BASE_PURPOSE_TEST, 0, 0, 0), second = first;
    data_health health;
    base_error err = {0};

    ck_assert_int_eq(data_resize_use_kernels(&on_the_way, kernels, NULL), BASE_OK);
    ck_assert_int_eq(data_resize_use_kernels(&then, data_kernels_at(0), NULL), BASE_OK);
    ck_assert_msg(data_shape_file(&got, &health, decoder, bytes, size, rule, &first,
                                  &on_the_way, NULL, 0, &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_int_eq(data_image_reserve(&source, whole->width, whole->height, 3, NULL),
                     BASE_OK);
    memcpy(source.pixels, whole->pixels, whole->width * whole->height * 3);
    ck_assert_int_eq(data_image_convert(&source, rule->channels, NULL), BASE_OK);
    ck_assert_int_eq(data_shape_image(&expected, &source, rule, &second, &then, NULL),
                     BASE_OK);
    ck_assert_uint_eq(got.width, rule->size);
    ck_assert_uint_eq(got.channels, rule->channels);
    ck_assert_mem_eq(got.pixels, expected.pixels, rule->size * rule->size * rule->channels);
    ck_assert_uint_eq(base_rng_u64(&first), base_rng_u64(&second));
    data_image_destroy(&got);
    data_image_destroy(&source);
    data_image_destroy(&expected);
    data_scratch_destroy(&on_the_way);
    data_scratch_destroy(&then);
    data_decoder_destroy(decoder);
}

START_TEST(shaping_on_the_way_equals_shaping_the_whole)
{
    static const data_crop crops[] = {DATA_CROP_RANDOM, DATA_CROP_PADDED, DATA_CROP_EVAL};
    static const size_t sides[][2] = {{131, 90}, {32, 32}, {40, 300}, {17, 9}};
    data_augment augment = data_loader_defaults().augment;

    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[s], sides[s][0], sides[s][1], 90);
        data_image whole = whole_by_libjpeg(bytes, size);
        for (uint64_t i = 0; i < 24; i++) {
            shape_rule rule = {.augment = i % 4 < 3 ? &augment : NULL,
                               .resize = i % 5 == 0 ? 0 : 36,
                               .size = 32,
                               .channels = i % 7 == 0 ? 1 : 3,
                               .filter = i % 2 ? DATA_FILTER_BICUBIC : DATA_FILTER_BILINEAR,
                               .exact = true};
            augment.crop = crops[i % 3];
            for (size_t set = 0; data_kernels_at(set); set++)
                check_shaped(bytes, size, &whole, &rule, data_kernels_at(set), i);
        }
        data_image_destroy(&whole);
        free(bytes);
    }
}
END_TEST

START_TEST(strong_reductions_are_the_same_for_all_kernels)
{
    const shape_rule rule = {.resize = 8, .size = 8, .channels = 3, .exact = true};
    unsigned char *bytes;
    const size_t size = jpeg_make(&bytes, &jpeg_kinds[1], 1000, 700, 60);
    data_image whole = whole_by_libjpeg(bytes, size);

    for (size_t set = 0; data_kernels_at(set); set++)
        check_shaped(bytes, size, &whole, &rule, data_kernels_at(set), 0);
    data_image_destroy(&whole);
    free(bytes);
}
END_TEST

/* A scaled decode is close to the exact one, and only used where pixels are left over. */
START_TEST(scaled_decoding_is_near_and_only_where_pixels_are_left_over)
{
    const data_augment augment = {.crop = DATA_CROP_EVAL};
    data_decoder *decoder = decoder_make(NULL, false);
    data_scratch scratch = {0};
    data_image image[2] = {{0}, {0}};
    data_health health;

    jpeg_smooth = true;
    for (size_t k = 0; k < JPEG_KINDS; k++) {
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[k], 640, 520, 95);
        for (size_t side = 32; side <= 256; side *= 2) {
            for (int exact = 0; exact < 2; exact++) {
                const shape_rule rule = {.augment = &augment,
                                         .resize = side,
                                         .size = side,
                                         .channels = 3,
                                         .exact = exact};
                base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
                ck_assert_int_eq(data_shape_file(&image[exact], &health, decoder, bytes,
                                                 size, &rule, &rng, &scratch, NULL, 0,
                                                 NULL),
                                 BASE_OK);
            }
            double sum = 0;
            for (size_t i = 0; i < side * side * 3; i++)
                sum += abs((int)image[0].pixels[i] - (int)image[1].pixels[i]);
            ck_assert_msg(sum / (double)(side * side * 3) < 2.0, "%s to %zu: %g",
                          jpeg_kinds[k].name, side, sum / (double)(side * side * 3));
        }
        free(bytes);
    }
    const shape four = {.box = {0, 0, 896, 1000}, .width = 224, .height = 224};
    const shape nearly = {.box = {0, 0, 895, 1000}, .width = 224, .height = 224};
    const shape smaller = {.box = {0, 0, 447, 1000}, .width = 224, .height = 224};
    ck_assert_uint_eq(data_shape_scale(&four), 2);
    ck_assert_uint_eq(data_shape_scale(&nearly), 4);
    ck_assert_uint_eq(data_shape_scale(&smaller), 8);
    data_image_destroy(&image[0]);
    data_image_destroy(&image[1]);
    data_scratch_destroy(&scratch);
    data_decoder_destroy(decoder);
}
END_TEST

/* So are the parts that are cut out at random, wherever they begin and end. */
START_TEST(scaled_parts_are_near_the_exact_ones)
{
    const data_augment augment = {.crop = DATA_CROP_RANDOM,
                                  .area_low = 0.3,
                                  .area_high = 0.9,
                                  .ratio_low = 0.75,
                                  .ratio_high = 1.3};
    data_decoder *decoder = decoder_make(NULL, false);
    data_scratch scratch = {0};
    data_image image[2] = {{0}, {0}};
    data_health health;
    unsigned char *bytes;
    double all = 0;

    jpeg_smooth = true;
    const size_t size = jpeg_make(&bytes, &jpeg_kinds[1], 643, 517, 95);
    for (uint64_t draw = 0; draw < 12; draw++) {
        const size_t side = draw % 3 == 0 ? 96 : 32 + draw;
        for (int exact = 0; exact < 2; exact++) {
            const shape_rule rule = {
                .augment = &augment, .size = side, .channels = 3, .exact = exact};
            base_rng rng = base_rng_make(draw, BASE_PURPOSE_TEST, 0, 0, 0);
            ck_assert_int_eq(data_shape_file(&image[exact], &health, decoder, bytes, size,
                                             &rule, &rng, &scratch, NULL, 0, NULL),
                             BASE_OK);
        }
        double sum = 0;
        for (size_t i = 0; i < side * side * 3; i++)
            sum += abs((int)image[0].pixels[i] - (int)image[1].pixels[i]);
        ck_assert_msg(sum / (double)(side * side * 3) < 5.0, "draw %d to %zu: %g",
                      (int)draw, side, sum / (double)(side * side * 3));
        all += sum;
    }
    ck_assert(all > 0); /* scaled indeed */
    free(bytes);
    data_image_destroy(&image[0]);
    data_image_destroy(&image[1]);
    data_scratch_destroy(&scratch);
    data_decoder_destroy(decoder);
}
END_TEST

/* A padded crop may miss the picture: zeros then, whatever was there before. */
START_TEST(a_crop_beside_the_picture_is_black)
{
    const data_augment augment = {.crop = DATA_CROP_PADDED, .padding = 40};
    const shape_rule rule = {.augment = &augment, .size = 16, .channels = 3, .exact = true};
    data_decoder *decoder = decoder_make(NULL, false);
    data_scratch scratch = {0};
    data_image file = {0}, picture = {0};
    data_health health;
    size_t bytes, empty = 0, partly = 0;
    unsigned char *png = set_png(&bytes, 20, 16, 3);

    ck_assert_int_eq(data_decode(&picture, &health, decoder, png, bytes, NULL, 0, NULL),
                     BASE_OK);
    for (uint64_t draw = 0; draw < 40; draw++) {
        base_rng rng = base_rng_make(draw, BASE_PURPOSE_TEST, 0, 0, 0), again = rng,
                 third = rng;
        const shape s = data_shape_of(20, 16, &rule, &third);
        data_image image = {0};
        if (file.pixels)
            memset(file.pixels, 9, 16 * 16 * 3);
        ck_assert_int_eq(data_shape_file(&file, &health, decoder, png, bytes, &rule, &rng,
                                         &scratch, NULL, 0, NULL),
                         BASE_OK);
        ck_assert_int_eq(data_shape_image(&image, &picture, &rule, &again, &scratch, NULL),
                         BASE_OK);
        size_t black = 0;
        for (size_t i = 0; i < 16 * 16 * 3; i++) {
            ck_assert_uint_eq(image.pixels[i], file.pixels[i]);
            black += file.pixels[i] == 0;
        }
        ck_assert(!s.empty || black == 16 * 16 * 3);
        ck_assert(s.empty || black >= (256 - s.part.width * s.part.height) * 3);
        ck_assert(s.empty || s.part.width < 2 || s.part.height < 2 || black < 16 * 16 * 3);
        empty += s.empty;
        partly += !s.empty;
        data_image_destroy(&image);
    }
    ck_assert(empty > 5 && partly > 2);
    data_image_destroy(&file);
    data_image_destroy(&picture);
    data_scratch_destroy(&scratch);
    data_decoder_destroy(decoder);
    base_free(png);
}
END_TEST

START_TEST(normalising_by_arithmetic_equals_the_table)
{
    static const float means[][3] = {{0.485f, 0.456f, 0.406f},
                                     {0.5f, 0.5f, 0.5f},
                                     {0.48145466f, 0.4578275f, 0.40821073f},
                                     {0.4914f, 0.4822f, 0.4465f}};
    static const float stds[][3] = {{0.229f, 0.224f, 0.225f},
                                    {0.5f, 0.5f, 0.5f},
                                    {0.26862954f, 0.26130258f, 0.27577711f},
                                    {0.2470f, 0.2435f, 0.2616f}};
    data_image image = {0};
    float *planes[2] = {base_alloc(3 * 53 * 41, sizeof(float)),
                        base_alloc(3 * 53 * 41, sizeof(float))};

    ck_assert_int_eq(data_image_reserve(&image, 53, 41, 3, NULL), BASE_OK);
    for (size_t i = 0; i < 53 * 41 * 3; i++)
        image.pixels[i] = jpeg_value(i, i / 7, 1);
    for (size_t m = 0; m < 4; m++) {
        for (size_t set = 0; data_kernels_at(set); set++) {
            data_normaliser by;
            data_normaliser_make(&by, means[m], stds[m], 3, data_kernels_at(set));
            ck_assert(set == 0 || by.kernels); /* it was found exact for all these */
            data_normaliser_run(planes[0], &image, &by);
            data_normalise(planes[1], &image, by.table);
            ck_assert_mem_eq(planes[0], planes[1], 3 * 53 * 41 * sizeof(float));
        }
    }
    data_image_destroy(&image);
    base_free(planes[0]);
    base_free(planes[1]);
}
END_TEST

/* Blocks whose products are all as large as is taken, with the signs that let one sample's
 * sum grow most in both passes: 32 bits hold it (the sanitizers look), and all kernels
 * agree. One step more is left to libjpeg. */
START_TEST(reduced_blocks_hold_the_largest_products)
{
    enum { MOST = 1448, BLOCKS = 4 };
    static const int sign[4][8] = {{1, 1, 1, 1, 1, -1, -1, -1},
                                   {1, -1, 1, -1, 1, 1, -1, 1},
                                   {1, 1, -1, -1, 1, 1, 1, -1},
                                   {1, -1, -1, 1, 1, -1, 1, 1}};
    _Alignas(64) static int16_t coefs[BLOCKS * SCAN_COEFS];
    _Alignas(64) static uint16_t quant[SCAN_COEFS];
    unsigned char out[2][4 * 4 * BLOCKS];

    for (size_t k = 0; k < SCAN_COEFS; k++)
        quant[k] = 1;
    for (size_t pattern = 0; pattern < 16; pattern++) {
        for (size_t i = 0; i < BLOCKS * SCAN_COEFS; i++)
            coefs[i] = (int16_t)(MOST * sign[pattern / 4][i % SCAN_COEFS / 8] *
                                 sign[pattern % 4][i % 8]);
        for (size_t side = 1; side <= 4; side *= 2) {
            memset(out, 0, sizeof out);
            for (size_t set = 0; data_kernels_at(set); set++) {
                const data_kernels *kernels = data_kernels_at(set);
                ck_assert(kernels->idct_small(out[set > 0], 4 * BLOCKS, coefs, quant,
                                              BLOCKS, side));
                if (set > 0)
                    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
                quant[0]++; /* the first coefficient goes beyond */
                ck_assert(
                    !kernels->idct_small(out[1], 4 * BLOCKS, coefs, quant, BLOCKS, side));
                quant[0]--;
                memset(out[1], 0, sizeof out[1]);
            }
        }
    }
}
END_TEST

/* The best set of this processor is the last one; all of them are others. */
START_TEST(the_last_set_is_used)
{
    size_t sets = 0;

    for (; data_kernels_at(sets); sets++)
        ck_assert(sets == 0 || data_kernels_at(sets) != data_kernels_at(sets - 1));
    ck_assert_ptr_eq(data_kernels_get(), data_kernels_at(sets - 1));
}
END_TEST

/* Grey pictures of a decoder's rows: each value from its own three. */
START_TEST(rows_become_grey_value_by_value)
{
    const shape_rule grey = {.size = 8, .channels = 1}, colour = {.size = 8, .channels = 3};
    data_scratch scratch = {0};
    size_t bytes;
    unsigned char *png = set_png(&bytes, 11, 9, 5);

    for (size_t set = 0; data_kernels_at(set); set++) {
        data_decoder *decoder = decoder_make(data_kernels_at(set), false);
        data_image a = {0}, b = {0};
        data_health health;
        ck_assert_int_eq(data_shape_file(&a, &health, decoder, png, bytes, &grey, NULL,
                                         &scratch, NULL, 0, NULL),
                         BASE_OK);
        ck_assert_int_eq(data_shape_file(&b, &health, decoder, png, bytes, &colour, NULL,
                                         &scratch, NULL, 0, NULL),
                         BASE_OK);
        ck_assert_uint_eq(a.channels, 1);
        for (size_t i = 0; i < 64; i++) {
            const unsigned char *p = b.pixels + 3 * i;
            const unsigned luma =
                (19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 32768u) >> 16;
            ck_assert_uint_eq(a.pixels[i], luma);
        }
        data_image_destroy(&a);
        data_image_destroy(&b);
        data_decoder_destroy(decoder);
    }
    data_scratch_destroy(&scratch);
    base_free(png);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data shaped");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_set_timeout(core, 120);
    tcase_set_timeout(edges, 120);
    tcase_add_test(core, shaping_on_the_way_equals_shaping_the_whole);
    tcase_add_test(core, scaled_decoding_is_near_and_only_where_pixels_are_left_over);
    tcase_add_test(core, normalising_by_arithmetic_equals_the_table);
    tcase_add_test(edges, strong_reductions_are_the_same_for_all_kernels);
    tcase_add_test(edges, reduced_blocks_hold_the_largest_products);
    tcase_add_test(core, the_last_set_is_used);
    tcase_add_test(core, scaled_parts_are_near_the_exact_ones);
    tcase_add_test(core, a_crop_beside_the_picture_is_black);
    tcase_add_test(core, rows_become_grey_value_by_value);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
