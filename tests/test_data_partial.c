/* test_data_partial.c - part of a JPEG equals that part of the whole, to the byte, by
 * libjpeg and by our own decoder, by every set of kernels; which files go which way. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <string.h>

#include "tests/test_decoder.h"
#include "tests/test_set.h"

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
    tcase_add_test(edges, tiny_pictures_have_parts_too);
    tcase_add_test(edges, damage_is_judged_as_libjpeg_judges_it);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
