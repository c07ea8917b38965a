/* test_data_partial.c - part of a JPEG equals that part of the whole, to the byte, by
 * libjpeg and by our own decoder, by every set of kernels; and files shaped on the way
 * equal files decoded and shaped then. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <string.h>

#include "tests/test_jpeg.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static const data_decode_limits limits = {.max_pixels = 1 << 24, .max_file_bytes = 1 << 24};

/* Rows as they are handed out. */
typedef struct rows {
    unsigned char *pixels; /* RGB */
    size_t width, height, taken;
} rows;

static void rows_take(void *user, const unsigned char *rgbx)
{
    rows *r = user;

    ck_assert_uint_lt(r->taken, r->height);
    for (size_t x = 0; x < r->width; x++)
        memcpy(r->pixels + (r->taken * r->width + x) * 3, rgbx + 4 * x, 3);
    r->taken++;
}

static void rows_again(void *user)
{
    ((rows *)user)->taken = 0;
}

static data_decoder *decoder_make(const data_kernels *kernels, bool libjpeg_only)
{
    data_decoder *decoder = NULL;

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    data_decode_choose(decoder, kernels, libjpeg_only);
    return decoder;
}

static data_image whole_by_libjpeg(const unsigned char *bytes, size_t size)
{
    data_decoder *decoder = decoder_make(NULL, true);
    data_image image = {0};
    data_health health;
    base_error err = {0};

    ck_assert_msg(data_decode(&image, &health, decoder, bytes, size, NULL, 0, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_int_eq(health, DATA_HEALTH_OK);
    data_decoder_destroy(decoder);
    return image;
}

static data_box random_part(size_t width, size_t height, base_rng *rng)
{
    data_box box;

    box.left = (size_t)base_rng_below(rng, width);
    box.top = (size_t)base_rng_below(rng, height);
    box.width = 1 + (size_t)base_rng_below(rng, width - box.left);
    box.height = 1 + (size_t)base_rng_below(rng, height - box.top);
    return box;
}

static void check_part(data_decoder *decoder, const data_image *whole, unsigned eighths,
                       const unsigned char *bytes, size_t size, data_box box, bool to_end,
                       const char *name)
{
    rows r = {.width = box.width, .height = box.height};
    const decode_want want = {.left = box.left,
                              .top = box.top,
                              .width = box.width,
                              .height = box.height,
                              .eighths = eighths,
                              .whole = to_end,
                              .take = rows_take,
                              .rewind = rows_again,
                              .user = &r};
    decode_note note;
    size_t width, height;
    base_error err = {0};

    r.pixels = base_alloc(box.width * box.height, 3);
    ck_assert_int_eq(data_decode_open(&width, &height, decoder, bytes, size, &err),
                     BASE_OK);
    ck_assert_uint_eq(data_decode_scaled(width, eighths), whole->width);
    ck_assert_uint_eq(data_decode_scaled(height, eighths), whole->height);
    ck_assert_msg(data_decode_rows(&want, &note, decoder, &err) == BASE_OK, "%s", err.text);
    data_decode_close(decoder);
    ck_assert_int_eq(note.health, DATA_HEALTH_OK);
    ck_assert_uint_eq(r.taken, box.height);
    for (size_t y = 0; y < box.height; y++)
        ck_assert_msg(memcmp(r.pixels + y * box.width * 3,
                             whole->pixels + ((box.top + y) * whole->width + box.left) * 3,
                             box.width * 3) == 0,
                      "%s %zux%zu: row %zu of %zu+%zu %zux%zu", name, width, height, y,
                      box.left, box.top, box.width, box.height);
    base_free(r.pixels);
}

/* One file through one decoder: all of it, its corners, and parts at random. */
static void check_parts(data_decoder *decoder, const data_image *whole,
                        const unsigned char *bytes, size_t size, const char *name)
{
    const size_t w = whole->width, h = whole->height;
    const data_box fixed[] = {{0, 0, w, h},
                              {0, 0, 1, 1},
                              {w - 1, h - 1, 1, 1},
                              {0, h - 1, w, 1},
                              {w - 1, 0, 1, h},
                              {w / 2, 0, w - w / 2, h},
                              {0, h / 2, w, h - h / 2}};
    base_rng rng = base_rng_make(w, BASE_PURPOSE_TEST, h, size, 0);

    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        check_part(decoder, whole, 8, bytes, size, fixed[i], i % 2 == 0, name);
    for (int i = 0; i < 6; i++)
        check_part(decoder, whole, 8, bytes, size, random_part(w, h, &rng), i % 2, name);
}

static void check_size(size_t width, size_t height, int quality)
{
    for (size_t k = 0; k < JPEG_KINDS; k++) {
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[k], width, height, quality);
        data_image whole = whole_by_libjpeg(bytes, size);
        for (size_t set = 0; data_kernels_at(set); set++) {
            data_decoder *decoder = decoder_make(data_kernels_at(set), false);
            check_parts(decoder, &whole, bytes, size, jpeg_kinds[k].name);
            data_decoder_destroy(decoder);
        }
        data_decoder *decoder = decoder_make(NULL, true);
        check_parts(decoder, &whole, bytes, size, jpeg_kinds[k].name);
        data_decoder_destroy(decoder);
        data_image_destroy(&whole);
        free(bytes);
    }
}

START_TEST(a_part_equals_that_part_of_the_whole)
{
    check_size(97, 83, 90);
    check_size(64, 48, 30);
    check_size(130, 35, 100);
}
END_TEST

/* The whole at a scale by the decoder itself, by one part of full size. */
static data_image whole_at_scale(data_decoder *decoder, const unsigned char *bytes,
                                 size_t size, unsigned eighths)
{
    data_image image = {0};
    rows r = {0};
    decode_want want = {.eighths = eighths,
                        .whole = true,
                        .take = rows_take,
                        .rewind = rows_again,
                        .user = &r};
    decode_note note;
    size_t width, height;

    ck_assert_int_eq(data_decode_open(&width, &height, decoder, bytes, size, NULL),
                     BASE_OK);
    want.width = r.width = data_decode_scaled(width, eighths);
    want.height = r.height = data_decode_scaled(height, eighths);
    ck_assert_int_eq(data_image_reserve(&image, r.width, r.height, 3, NULL), BASE_OK);
    r.pixels = image.pixels;
    ck_assert_int_eq(data_decode_rows(&want, &note, decoder, NULL), BASE_OK);
    data_decode_close(decoder);
    return image;
}

START_TEST(a_part_at_a_scale_equals_that_part_of_the_whole)
{
    data_decoder *decoder = decoder_make(NULL, false), *slow = decoder_make(NULL, true);

    for (size_t k = 0; k < JPEG_KINDS; k++) {
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[k], 197, 150, 90);
        for (unsigned eighths = 4; eighths >= 1; eighths /= 2) {
            data_image whole = whole_at_scale(slow, bytes, size, eighths);
            const data_box all = {0, 0, whole.width, whole.height};
            for (size_t set = 0; data_kernels_at(set); set++) {
                data_decode_choose(decoder, data_kernels_at(set), false);
                check_part(decoder, &whole, eighths, bytes, size, all, true,
                           jpeg_kinds[k].name);
            }
            base_rng rng = base_rng_make(k, BASE_PURPOSE_TEST, eighths, 0, 0);
            for (int i = 0; i < 12; i++)
                check_part(decoder, &whole, eighths, bytes, size,
                           random_part(whole.width, whole.height, &rng), i % 2,
                           jpeg_kinds[k].name);
            data_image_destroy(&whole);
        }
        free(bytes);
    }
    ck_assert_uint_gt(data_decode_quick_count(decoder), 5 * 3 * 12);
    data_decoder_destroy(decoder);
    data_decoder_destroy(slow);
}
END_TEST

START_TEST(tiny_pictures_have_parts_too)
{
    static const size_t sides[][2] = {{1, 1}, {2, 3}, {4, 4}, {5, 17}, {9, 8}, {16, 1}};

    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        check_size(sides[i][0], sides[i][1], 75);
}
END_TEST

START_TEST(clean_baseline_files_do_not_need_libjpeg)
{
    static const bool quick[JPEG_KINDS] = {true, true,  true,  false, true,  true,
                                           true, false, false, false, false, false};

    for (size_t k = 0; k < JPEG_KINDS; k++) {
        data_decoder *decoder = decoder_make(NULL, false);
        data_image image = {0};
        data_health health;
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[k], 40, 40, 85);
        for (uint64_t n = 1; n <= 2; n++) { /* the second time with tables that are there */
            ck_assert_int_eq(
                data_decode(&image, &health, decoder, bytes, size, NULL, 0, NULL), BASE_OK);
            ck_assert_msg(data_decode_quick_count(decoder) == (quick[k] ? n : 0), "%s, %d",
                          jpeg_kinds[k].name, (int)n);
        }
        data_image_destroy(&image);
        data_decoder_destroy(decoder);
        free(bytes);
    }
}
END_TEST

/* What cameras and editors put in front changes nothing, unless it casts doubt on the
 * colours. */
START_TEST(segments_of_applications_do_not_need_libjpeg)
{
    static const struct {
        const char *bytes;
        size_t count;
        bool quick, bare; /* without the JFIF of libjpeg */
    } cases[] = {
        {"\xff\xe1\0\x0c"
         "Exif\0\0MM\0*",
         14, true, false},
        {"\xff\xe2\0\x0f"
         "ICC_PROFILE\0\1",
         17, true, false},
        {"\xff\xed\0\x04xy", 6, true, false},
        {"\xff\xfe\0\x07hello", 9, true, false},
        {"\xff\xe0\0\x04xy", 6, true, false}, /* JFIF by another name */
        {"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0", 18, true, false},
        {"\xff\xe0\0\x10JFIF\0\2\1\0\0\1\0\1\0\0", 18, false, false},
        {"\xff\xee\0\x0e"
         "Adobe\0d\0\0\0\0\1",
         16, true, false},
        {"\xff\xee\0\x0e"
         "Adobe\0d\0\0\0\0\0",
         16, true, false}, /* JFIF's word counts */
        {"\xff\xee\0\x0e"
         "Adobe\0d\0\0\0\0\1",
         16, true, true},
        {"\xff\xee\0\x0e"
         "Adobe\0d\0\0\0\0\0",
         16, false, true}, /* RGB */
        {"\xff\xed\0\x04xy", 6, true, true},
    };

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        data_decoder *decoder = decoder_make(NULL, false), *slow = decoder_make(NULL, true);
        data_image a = {0}, b = {0};
        data_health health;
        unsigned char *bytes, more[8192];
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[1], 40, 40, 85);
        const size_t count = cases[k].count, from = cases[k].bare ? 2 + 18 : 2;
        const size_t all = 2 + count + size - from;
        ck_assert_uint_le(size + count, sizeof more);
        memcpy(more, bytes, 2);
        memcpy(more + 2, cases[k].bytes, count);
        memcpy(more + 2 + count, bytes + from, size - from);
        ck_assert_int_eq(data_decode(&a, &health, decoder, more, all, NULL, 0, NULL),
                         BASE_OK);
        ck_assert_int_eq(data_decode(&b, &health, slow, more, all, NULL, 0, NULL), BASE_OK);
        ck_assert_msg(data_decode_quick_count(decoder) == cases[k].quick, "case %zu", k);
        ck_assert_mem_eq(a.pixels, b.pixels, 40 * 40 * 3);
        data_image_destroy(&a);
        data_image_destroy(&b);
        data_decoder_destroy(decoder);
        data_decoder_destroy(slow);
        free(bytes);
    }
}
END_TEST

/* Whatever is wrong with a file, both ways say the same. */
START_TEST(damage_is_judged_as_libjpeg_judges_it)
{
    data_decoder *quick = decoder_make(NULL, false), *slow = decoder_make(NULL, true);
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);
    data_image a = {0}, b = {0};
    data_health of_a, of_b;
    char note_a[200], note_b[200];
    size_t odd = 0;

    for (size_t k = 0; k < JPEG_KINDS; k++) {
        unsigned char *bytes;
        const size_t size = jpeg_make(&bytes, &jpeg_kinds[k], 50, 34, 80);
        for (int i = 0; i < 120; i++) {
            const size_t at = (size_t)base_rng_below(&rng, size), kept = bytes[at];
            const bool cut = i % 4 == 0;
            base_error err_a = {0}, err_b = {0};
            bytes[at] = (unsigned char)base_rng_below(&rng, 256);
            const size_t left = cut ? at : size;
            const base_status status_a =
                data_decode(&a, &of_a, quick, bytes, left, note_a, sizeof note_a, &err_a);
            const base_status status_b =
                data_decode(&b, &of_b, slow, bytes, left, note_b, sizeof note_b, &err_b);
            ck_assert_int_eq(status_a, status_b);
            ck_assert_int_eq(of_a, of_b);
            ck_assert_str_eq(err_a.text, err_b.text);
            ck_assert_str_eq(note_a, note_b);
            odd += of_a != DATA_HEALTH_OK;
            if (status_a == BASE_OK) {
                ck_assert_uint_eq(a.width, b.width);
                ck_assert_uint_eq(a.height, b.height);
                ck_assert_msg(memcmp(a.pixels, b.pixels, a.width * a.height * 3) == 0,
                              "%s: byte %zu from %zu to %d", jpeg_kinds[k].name, at, kept,
                              bytes[at]);
            }
            bytes[at] = (unsigned char)kept;
        }
        free(bytes);
    }
    ck_assert_uint_gt(odd, 100);
    data_image_destroy(&a);
    data_image_destroy(&b);
    data_decoder_destroy(quick);
    data_decoder_destroy(slow);
}
END_TEST

/* ---- shaping on the way -------------------------------------------------------------- */

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
    Suite *suite = suite_create("data partial");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_set_timeout(core, 120);
    tcase_set_timeout(edges, 120);
    tcase_add_test(core, a_part_equals_that_part_of_the_whole);
    tcase_add_test(core, a_part_at_a_scale_equals_that_part_of_the_whole);
    tcase_add_test(core, clean_baseline_files_do_not_need_libjpeg);
    tcase_add_test(core, segments_of_applications_do_not_need_libjpeg);
    tcase_add_test(core, shaping_on_the_way_equals_shaping_the_whole);
    tcase_add_test(core, scaled_decoding_is_near_and_only_where_pixels_are_left_over);
    tcase_add_test(core, normalising_by_arithmetic_equals_the_table);
    tcase_add_test(edges, tiny_pictures_have_parts_too);
    tcase_add_test(edges, damage_is_judged_as_libjpeg_judges_it);
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
