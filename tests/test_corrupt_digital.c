/* test_corrupt_digital.c - brightness, saturate, contrast, pixelate, jpeg_compression
 * and elastic_transform on cases worked by hand or by scikit-image 0.26 and numpy, and
 * their limits. */
#include <math.h>

#include "corrupt/parts_internal.h"
#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* Cut cosine series lose 0.35 % of a field's deviation on average (field.c), a single
 * field up to thrice that. */
#define FIELD_CUT 0.01
/* f32 sums of some hundred products. */
#define NEAR_F32 1e-5

static test_corrupt rig;

static void open_rig(void)
{
    rig = test_corrupt_open(NULL);
}

static void close_rig(void)
{
    test_corrupt_close(&rig);
}

static void check_bytes(const unsigned char *out, const unsigned char *expected,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(out[i] == expected[i], "byte %zu is %d, expected %d", i, out[i],
                      expected[i]);
}

/* ---- colour -------------------------------------------------------------------------- */

enum { COLOURS = 12 };
/* greys, ties of two channels, hues before and after red, black and white */
static const unsigned char colours[COLOURS][3] = {
    {200, 100, 50},  {100, 100, 100}, {200, 0, 100}, {200, 200, 0},
    {0, 200, 200},   {200, 0, 200},   {13, 250, 77}, {0, 0, 0},
    {255, 255, 255}, {77, 78, 250},   {1, 0, 0},     {254, 255, 255}};

/* More than one piece of the loop, with a rest. */
static void check_colours(int kind, int severity, const unsigned char expected[COLOURS][3])
{
    enum { TIMES = 55 };
    unsigned char in[TIMES * COLOURS][3], out[TIMES * COLOURS][3];

    for (int i = 0; i < TIMES; i++)
        memcpy(in[i * COLOURS], colours, sizeof colours);
    test_corrupt_apply(&rig, *out, *in, TIMES, COLOURS, kind, severity, 0);
    for (int i = 0; i < TIMES; i++)
        check_bytes(out[i * COLOURS], *expected, sizeof colours);
}

/* 200 100 50: V = 200/255 + 0.1, S = 0.75, f = 1/3: 225.5, 112.75, 56.375, cut. */
START_TEST(brightness_adds_to_the_value)
{
    static const unsigned char by_1[COLOURS][3] = {
        {225, 112, 56},  {125, 125, 125}, {225, 0, 112}, {225, 225, 0},
        {0, 225, 225},   {225, 0, 225},   {13, 255, 78}, {25, 25, 25},
        {255, 255, 255}, {78, 79, 255},   {26, 0, 0},    {254, 255, 255}};
    static const unsigned char by_5[COLOURS][3] = {
        {255, 127, 63},  {227, 227, 227}, {255, 0, 127}, {255, 255, 0},
        {0, 255, 255},   {255, 0, 255},   {13, 255, 78}, {127, 127, 127},
        {255, 255, 255}, {78, 79, 255},   {128, 0, 0},   {254, 255, 255}};

    check_colours(CORRUPT_KIND_BRIGHTNESS, 1, by_1);
    check_colours(CORRUPT_KIND_BRIGHTNESS, 5, by_5);
}
END_TEST

/* Grey has hue 0, so an offset tints it red. */
START_TEST(saturate_scales_and_tints_grey_red)
{
    static const unsigned char by_1[COLOURS][3] = {
        {200, 170, 155}, {100, 100, 100}, {200, 139, 170}, {200, 200, 139},
        {139, 200, 200}, {200, 139, 200}, {178, 250, 198}, {0, 0, 0},
        {255, 255, 255}, {198, 198, 250}, {1, 0, 0},       {254, 255, 255}};
    static const unsigned char by_4[COLOURS][3] = {
        {200, 66, 0},    {100, 90, 90}, {200, 0, 100}, {200, 200, 0},
        {0, 200, 200},   {200, 0, 200}, {0, 250, 67},  {0, 0, 0},
        {255, 229, 229}, {0, 1, 250},   {1, 0, 0},     {224, 255, 255}};

    check_colours(CORRUPT_KIND_SATURATE, 1, by_1);
    check_colours(CORRUPT_KIND_SATURATE, 4, by_4);
}
END_TEST

/* Means 100, 15, 255. */
START_TEST(contrast_draws_towards_the_mean_of_a_channel)
{
    static const unsigned char in[6] = {0, 10, 255, 200, 20, 255};
    static const unsigned char expected[5][6] = {{60, 13, 255, 140, 17, 255},
                                                 {70, 13, 255, 130, 16, 255},
                                                 {80, 14, 255, 120, 16, 255},
                                                 {89, 14, 255, 110, 15, 255},
                                                 {95, 14, 255, 105, 15, 255}};
    unsigned char out[6];

    for (int s = 1; s <= 5; s++) {
        test_corrupt_apply(&rig, out, in, 1, 2, CORRUPT_KIND_CONTRAST, s, 0);
        check_bytes(out, expected[s - 1], sizeof out);
    }
}
END_TEST

/* ---- pixelate ------------------------------------------------------------------------ */

/* The red channel; the others are 7. */
static void check_pixelate(const unsigned char *in, const unsigned char *expected,
                           size_t height, size_t width, int severity)
{
    unsigned char rgb[64 * 3] = {0}, out[64 * 3];

    for (size_t i = 0; i < height * width; i++) {
        rgb[3 * i] = in[i];
        rgb[3 * i + 1] = rgb[3 * i + 2] = 7;
    }
    test_corrupt_apply(&rig, out, rgb, height, width, CORRUPT_KIND_PIXELATE, severity, 0);
    for (size_t i = 0; i < height * width; i++) {
        ck_assert_uint_eq(out[3 * i], expected[i]);
        ck_assert_uint_eq(out[3 * i + 1], 7);
    }
}

/* Half of 2 x 4: along x (1+2)/2 -> 2, (10+20)/2 = 15, (1+1)/2 = 1, (10+11)/2 -> 11;
 * then along y (2+1)/2 -> 2, (15+11)/2 = 13: each mean is rounded, halves up. */
START_TEST(pixelate_rounds_after_each_axis)
{
    static const unsigned char in[8] = {1, 2, 10, 20, 1, 1, 10, 11};
    static const unsigned char expected[8] = {2, 2, 13, 13, 2, 2, 13, 13};

    check_pixelate(in, expected, 2, 4, 2);
}
END_TEST

/* 0.4 of 5 is 2: a pixel whose middle is an end of two boxes of 2.5 belongs to the first;
 * columns take 0 0 1 1 1. */
START_TEST(pixelate_gives_a_pixel_between_boxes_to_the_left)
{
    static const unsigned char in[5] = {0, 30, 60, 90, 120};
    static const unsigned char expected[5] = {30, 30, 105, 105, 105};

    check_pixelate(in, expected, 1, 5, 3);
}
END_TEST

/* 0.6 of 5 is 3: boxes of 5/3 pixels have the whole pixels {0, 1}, {2}, {3, 4};
 * enlarged, columns take floor((x + 0.5) 3/5) = 0 0 1 2 2. */
START_TEST(pixelate_takes_whole_pixels)
{
    static const unsigned char in[5] = {10, 21, 50, 7, 8};
    static const unsigned char expected[5] = {16, 16, 50, 8, 8};

    check_pixelate(in, expected, 1, 5, 1);
}
END_TEST

/* 0.6 of 11 is 6: box 2 ends at the middle of pixel 5 to the last bit, which Pillow's 1
 * / scale pushes out. */
START_TEST(pixelate_rounds_the_ends_of_boxes_as_pillow)
{
    static const unsigned char in[11] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110};
    static const unsigned char expected[11] = {15, 15, 35, 35,  50, 65,
                                               65, 85, 85, 105, 105};

    check_pixelate(in, expected, 1, 11, 1);
}
END_TEST

/* ---- jpeg ---------------------------------------------------------------------------- */

/* Where a marker's segment begins, behind its two bytes. */
static const unsigned char *find_marker(const unsigned char *bytes, size_t size, int marker,
                                        int which)
{
    for (size_t at = 2; at + 4 < size;) {
        ck_assert_uint_eq(bytes[at], 0xff);
        if (bytes[at + 1] == marker && which-- == 0)
            return bytes + at + 2;
        at += 2 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
    }
    return NULL;
}

/* Annex K scaled: S = 5000 / q below 50, else 200 - 2q; (16 S + 50) / 100 and (11 S +
 * 50) / 100 lead the luma table, 17 and 18 the chroma table. */
static void check_tables(int quality, int luma_0, int luma_1, int chroma_0, int chroma_1)
{
    unsigned char in[20 * 40 * 3];
    const unsigned char *bytes = NULL;
    size_t size = 0;

    test_corrupt_picture(in, 20, 40);
    ck_assert_int_eq(
        corrupt_jpeg_encode(rig.worker, &bytes, &size, in, 20, 40, quality, &rig.err),
        BASE_OK);
    ck_assert(bytes[0] == 0xff && bytes[1] == 0xd8);
    ck_assert(bytes[size - 2] == 0xff && bytes[size - 1] == 0xd9);
    const unsigned char *luma = find_marker(bytes, size, 0xdb, 0);
    const unsigned char *chroma = find_marker(bytes, size, 0xdb, 1);
    ck_assert_ptr_nonnull(luma);
    ck_assert_ptr_nonnull(chroma);
    ck_assert_int_eq(luma[3], luma_0);
    ck_assert_int_eq(luma[4], luma_1);
    ck_assert_int_eq(chroma[3], chroma_0);
    ck_assert_int_eq(chroma[4], chroma_1);
    /* baseline, 8 bit, 20 x 40, three components of 2 x 2, 1 x 1, 1 x 1 */
    const unsigned char *frame = find_marker(bytes, size, 0xc0, 0);
    static const unsigned char wanted[] = {0,    17, 8, 0,    20, 0, 40,   3, 1,
                                           0x22, 0,  2, 0x11, 1,  3, 0x11, 1};
    ck_assert_ptr_nonnull(frame);
    check_bytes(frame, wanted, sizeof wanted);
    /* not the Huffman table that everybody has: made for this picture */
    const unsigned char *codes = find_marker(bytes, size, 0xc4, 0);
    static const unsigned char everybodys[] = {0, 0, 1, 5, 1, 1, 1, 1, 1,
                                               1, 0, 0, 0, 0, 0, 0, 0};
    ck_assert_ptr_nonnull(codes);
    ck_assert_mem_ne(codes + 2, everybodys, sizeof everybodys);
}

START_TEST(jpeg_has_the_scaled_tables_of_annex_k)
{
    check_tables(85, 5, 3, 5, 5);
    check_tables(25, 32, 22, 34, 36);
    check_tables(7, 114, 79, 121, 129);
    check_tables(1, 255, 255, 255, 255);
    check_tables(100, 1, 1, 1, 1);
}
END_TEST

START_TEST(jpeg_is_the_same_whatever_went_before)
{
    enum { HEIGHT = 37, WIDTH = 50, BYTES = HEIGHT * WIDTH * 3 };
    unsigned char in[BYTES], flat[BYTES], first[BYTES], out[BYTES], file[BYTES];
    const unsigned char *bytes;
    size_t size, file_size;

    test_corrupt_picture(in, HEIGHT, WIDTH);
    memset(flat, 90, sizeof flat);
    ck_assert_int_eq(
        corrupt_jpeg_roundtrip(rig.worker, first, in, HEIGHT, WIDTH, 85, &rig.err),
        BASE_OK);
    ck_assert_int_eq(corrupt_jpeg_encode(rig.worker, &bytes, &file_size, in, HEIGHT, WIDTH,
                                         85, &rig.err),
                     BASE_OK);
    memcpy(file, bytes, file_size);
    /* tables made for a flat picture know few symbols */
    ck_assert_int_eq(
        corrupt_jpeg_encode(rig.worker, &bytes, &size, flat, HEIGHT, WIDTH, 85, &rig.err),
        BASE_OK);
    ck_assert_uint_lt(size, file_size);
    ck_assert_int_eq(
        corrupt_jpeg_roundtrip(rig.worker, out, in, HEIGHT, WIDTH, 85, &rig.err), BASE_OK);
    check_bytes(out, first, sizeof out);
    ck_assert_int_eq(
        corrupt_jpeg_encode(rig.worker, &bytes, &size, in, HEIGHT, WIDTH, 85, &rig.err),
        BASE_OK);
    ck_assert_uint_eq(size, file_size);
    check_bytes(bytes, file, size);
    /* in place */
    memcpy(out, in, sizeof out);
    ck_assert_int_eq(
        corrupt_jpeg_roundtrip(rig.worker, out, out, HEIGHT, WIDTH, 85, &rig.err), BASE_OK);
    check_bytes(out, first, sizeof out);
    /* a severity is a quality */
    unsigned char low[BYTES];
    ck_assert_int_eq(
        corrupt_jpeg_roundtrip(rig.worker, low, in, HEIGHT, WIDTH, 25, &rig.err), BASE_OK);
    test_corrupt_apply(&rig, out, in, HEIGHT, WIDTH, CORRUPT_KIND_JPEG_COMPRESSION, 1, 0);
    check_bytes(out, low, sizeof out);
}
END_TEST

/* libjpeg's memory grows to a larger picture and is then one block. */
START_TEST(jpeg_is_the_same_in_memory_that_grew)
{
    enum { LARGE = 420, SMALL = 30 };
    static unsigned char in[LARGE * LARGE * 3], out[2][LARGE * LARGE * 3];
    static const size_t sides[] = {SMALL, LARGE, SMALL, LARGE};
    uint64_t taken = 0;

    test_corrupt_picture(in, LARGE, LARGE);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 4; i++) {
            test_corrupt fresh = test_corrupt_open(NULL);
            const unsigned char *bytes[2];
            size_t size[2];
            const uint64_t before = base_alloc_count();
            ck_assert_int_eq(corrupt_jpeg_encode(rig.worker, &bytes[0], &size[0], in,
                                                 sides[i], sides[i], 90, &rig.err),
                             BASE_OK);
            ck_assert_int_eq(corrupt_jpeg_roundtrip(rig.worker, out[0], in, sides[i],
                                                    sides[i], 90, &rig.err),
                             BASE_OK);
            taken += round > 0 ? base_alloc_count() - before : 0;
            ck_assert_int_eq(corrupt_jpeg_encode(rig.worker, &bytes[0], &size[0], in,
                                                 sides[i], sides[i], 90, &rig.err),
                             BASE_OK);
            ck_assert_int_eq(corrupt_jpeg_encode(fresh.worker, &bytes[1], &size[1], in,
                                                 sides[i], sides[i], 90, &rig.err),
                             BASE_OK);
            ck_assert_uint_eq(size[0], size[1]);
            ck_assert_mem_eq(bytes[0], bytes[1], size[0]);
            ck_assert_int_eq(corrupt_jpeg_roundtrip(fresh.worker, out[1], in, sides[i],
                                                    sides[i], 90, &rig.err),
                             BASE_OK);
            ck_assert_mem_eq(out[0], out[1], sides[i] * sides[i] * 3);
            test_corrupt_close(&fresh);
        }
    }
    ck_assert_uint_eq(taken, 0); /* after the first round none */
}
END_TEST

START_TEST(jpeg_grows_and_refuses)
{
    /* noise at quality 100 needs more than the first 64 KiB */
    enum { SIDE = 240 };
    static unsigned char in[SIDE * SIDE * 3], out[SIDE * SIDE * 3];
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    const unsigned char *bytes;
    size_t size;

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)base_rng_u32(&rng);
    ck_assert_int_eq(
        corrupt_jpeg_encode(rig.worker, &bytes, &size, in, SIDE, SIDE, 100, &rig.err),
        BASE_OK);
    ck_assert_uint_gt(size, 65536);
    ck_assert_int_eq(corrupt_jpeg_roundtrip(rig.worker, out, in, 1, 1, 85, &rig.err),
                     BASE_OK);
    ck_assert_int_eq(corrupt_jpeg_roundtrip(rig.worker, out, in, SIDE, SIDE, 0, &rig.err),
                     BASE_USAGE);
    ck_assert_str_eq(rig.err.text, "JPEG quality 0, expected 1 to 100");
    ck_assert_int_eq(
        corrupt_jpeg_encode(rig.worker, &bytes, &size, in, SIDE, SIDE, 101, NULL),
        BASE_USAGE);
    ck_assert_int_eq(corrupt_jpeg_roundtrip(rig.worker, out, in, 0, SIDE, 85, &rig.err),
                     BASE_UNSUPPORTED);
    ck_assert_int_eq(
        corrupt_jpeg_roundtrip(rig.worker, out, in, 1, CORRUPT_SIDE_MAX + 1, 85, &rig.err),
        BASE_UNSUPPORTED);
}
END_TEST

/* ---- elastic ------------------------------------------------------------------------- */

/* x' = 2x - y + 5, y' = x + 3y + 7 at three points. */
START_TEST(an_affine_map_takes_its_points)
{
    static const double places[][3][2] = {{{0, 0}, {1, 0}, {0, 1}},
                                          {{3, -2}, {7, 5}, {-4, 11}},
                                          {{0.5, 8}, {8, 0.5}, {9, 7}}};
    static const double expected[6] = {2, -1, 5, 1, 3, 7};
    double from[3][2], to[3][2], m[6];

    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        memcpy(from, places[p], sizeof from);
        for (int i = 0; i < 3; i++) {
            to[i][0] = 2 * from[i][0] - from[i][1] + 5;
            to[i][1] = from[i][0] + 3 * from[i][1] + 7;
        }
        ck_assert(corrupt_affine(m, from, to));
        for (int i = 0; i < 6; i++)
            ck_assert_double_eq_tol(m[i], expected[i], 1e-12);
        for (int k = 0; k < 2; k++)
            from[2][k] = 2 * from[1][k] - from[0][k]; /* on a line */
        ck_assert(!corrupt_affine(m, from, to));
    }
}
END_TEST

/* One row of 0 10 20 30 in three rows, under x' = scale x + shift. */
static void check_warp(double scale, double shift, const double expected[4])
{
    const double m[6] = {scale, 0, shift, 0, 1, 0};
    float in[3 * 4 * 4], out[3 * 4 * 4];

    for (int i = 0; i < 3 * 4; i++)
        for (int c = 0; c < 4; c++)
            in[4 * i + c] = (float)(10 * (i % 4) + c);
    corrupt_job job = test_corrupt_job(&rig, 1);
    ck_assert_int_eq(corrupt_warp(&job, out, in, 3, 4, m, &rig.err), BASE_OK);
    for (int i = 0; i < 3 * 4; i++)
        for (int c = 0; c < 3; c++)
            ck_assert_double_eq_tol((double)out[4 * i + c], expected[i % 4] + c, NEAR_F32);
}

START_TEST(a_warp_samples_between_pixels_and_mirrors_at_the_border)
{
    check_warp(1, 0, (const double[]){0, 10, 20, 30});
    /* two to the right: -2, -1 are 2, 1 */
    check_warp(1, 2, (const double[]){20, 10, 0, 10});
    /* ten to the left: 10 .. 13 with a period of 6 are 2 (of 4), 1, 0, 1 */
    check_warp(1, -10, (const double[]){20, 10, 0, 10});
    /* a quarter to the left */
    check_warp(1, -0.25, (const double[]){2.5, 12.5, 22.5, 27.5});
    /* 1/128 is nearer to 0 than to 1/32 */
    check_warp(1, -1.0 / 128, (const double[]){0, 10, 20, 30});
    check_warp(1, -1.0 / 40, (const double[]){0.3125, 10.3125, 20.3125, 29.6875});
    /* twice as wide */
    check_warp(2, 0, (const double[]){0, 5, 10, 15});
    /* without an inverse everything is the corner */
    check_warp(0, 0, (const double[]){0, 0, 0, 0});
}
END_TEST

static void draw_field(float *field, size_t count, uint64_t seed)
{
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < count; i++)
        field[i] = (float)(2.0 * base_rng_uniform(&rng) - 1.0);
}

/* The wide filters' way against the sum over all taps, relative to the field's
 * deviation. */
static void check_field(size_t height, size_t width, double sigma, double allowed)
{
    float field[96 * 96], plain[96 * 96];
    corrupt_job job = test_corrupt_job(&rig, 1);
    double difference = 0.0, all = 0.0;

    draw_field(field, height * width, height);
    memcpy(plain, field, height * width * sizeof *field);
    ck_assert_int_eq(
        corrupt_smooth_field(&job, field, height, width, sigma, 7.0f, &rig.err), BASE_OK);
    ck_assert_int_eq(corrupt_gauss_plane(&job, plain, height, width, sigma,
                                         CORRUPT_BORDER_SYMMETRIC, 3.0, &rig.err),
                     BASE_OK);
    for (size_t i = 0; i < height * width; i++) {
        const double d = (double)field[i] - 7.0 * (double)plain[i];
        difference += d * d;
        all += 49.0 * (double)plain[i] * (double)plain[i];
    }
    ck_assert_double_lt(sqrt(difference / all), allowed);
}

START_TEST(a_wide_filter_equals_its_cosines)
{
    check_field(96, 80, 10, FIELD_CUT);
    check_field(61, 96, 19.52, FIELD_CUT);
    check_field(96, 96, 170.8, FIELD_CUT);
    check_field(90, 3, 170.8, FIELD_CUT);
    check_field(5, 7, 2.44, FIELD_CUT);
    check_field(64, 64, 1.92, NEAR_F32); /* by taps */
}
END_TEST

START_TEST(a_constant_field_stays)
{
    float field[40 * 30];
    corrupt_job job = test_corrupt_job(&rig, 1);

    for (size_t i = 0; i < 40 * 30; i++)
        field[i] = 0.25f;
    ck_assert_int_eq(corrupt_smooth_field(&job, field, 40, 30, 170.8, 488.0f, &rig.err),
                     BASE_OK);
    for (size_t i = 0; i < 40 * 30; i++)
        ck_assert_double_eq_tol((double)field[i], 122.0, 1e-3);
}
END_TEST

START_TEST(elastic_needs_three_pixels_a_side)
{
    unsigned char in[3 * 3 * 3], out[3 * 3 * 3];

    test_corrupt_picture(in, 3, 3);
    ck_assert_int_eq(corrupt_apply(rig.worker, out, in, 2, 3,
                                   CORRUPT_KIND_ELASTIC_TRANSFORM, 1, 0, &rig.err),
                     BASE_UNSUPPORTED);
    ck_assert_str_eq(rig.err.text,
                     "elastic_transform of an image of 3 x 2, expected at least "
                     "3 pixels a side");
    test_corrupt_apply(&rig, out, in, 3, 3, CORRUPT_KIND_ELASTIC_TRANSFORM, 1, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt digital");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, open_rig, close_rig);
    tcase_add_test(core, brightness_adds_to_the_value);
    tcase_add_test(core, saturate_scales_and_tints_grey_red);
    tcase_add_test(core, contrast_draws_towards_the_mean_of_a_channel);
    tcase_add_test(core, pixelate_rounds_after_each_axis);
    tcase_add_test(core, pixelate_gives_a_pixel_between_boxes_to_the_left);
    tcase_add_test(core, pixelate_takes_whole_pixels);
    tcase_add_test(core, pixelate_rounds_the_ends_of_boxes_as_pillow);
    tcase_add_test(core, jpeg_has_the_scaled_tables_of_annex_k);
    tcase_add_test(core, jpeg_is_the_same_whatever_went_before);
    tcase_add_test(core, jpeg_is_the_same_in_memory_that_grew);
    tcase_add_test(core, an_affine_map_takes_its_points);
    tcase_add_test(core, a_warp_samples_between_pixels_and_mirrors_at_the_border);
    tcase_add_test(core, a_wide_filter_equals_its_cosines);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, open_rig, close_rig);
    tcase_add_test(limits, jpeg_grows_and_refuses);
    tcase_add_test(limits, a_constant_field_stays);
    tcase_add_test(limits, elastic_needs_three_pixels_a_side);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
