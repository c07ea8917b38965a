/* test_corrupt_weather.c - fog's plasma on maps worked by hand, what fog and snow do to
 * flat pictures, frost's pictures as they are picked, cut, shrunk and enlarged, and the
 * procedural ones against the originals' figures. */
#include <math.h>
#include <pthread.h>

#include "corrupt/parts_internal.h"
#include "corrupt/textures_internal.h"
#include "tests/test_corrupt.h"
#include "tests/test_corrupt_features.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* f32 sums of a few values in 0..1. */
#define NEAR_F32 1e-6

static test_corrupt rig;

static void open_rig(void)
{
    rig = test_corrupt_open(NULL);
}

static void close_rig(void)
{
    test_corrupt_close(&rig);
}

/* ---- fog ----------------------------------------------------------------------------- */

static void check_map(const float *map, const double *expected, double high, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_double_eq_tol((double)map[i], expected[i] / high, NEAR_F32);
}

/* The amplitude is wobble squared, 10^4: the centre 0.75 -> 5000; its row neighbour
 * (5000 + 5000)/4 = 2500, 0.5 adds 0; its column neighbour 2500 + 0.25 -> 2500 - 5000.
 * Then 2500 up and over 7500. */
START_TEST(plasma_of_two_cells_is_worked_by_hand)
{
    float map[4] = {0.9f, 0.5f, 0.25f, 0.75f};

    corrupt_plasma(map, 2, 2.0);
    check_map(map, (const double[]){2500, 5000, 0, 7500}, 7500, 4);
}
END_TEST

/* Uniforms of 0.5 add nothing but at (2, 2), 5000, and (1, 1), where decay 2 left 2500 /
 * 2. Everything else are means of four, and (1, 1) itself is (0 + 2500 + 2500 + 5000)/4
 * + 1250. */
START_TEST(plasma_of_four_cells_is_worked_by_hand)
{
    static const double expected[16] = {0,      2187.5, 2500,   1875, /**/
                                        2187.5, 3750,   3437.5, 2500, /**/
                                        2500,   3437.5, 5000,   3125, /**/
                                        1875,   2500,   3125,   2500};
    float map[16];

    for (int i = 0; i < 16; i++)
        map[i] = 0.5f;
    map[10] = map[5] = 0.75f;
    corrupt_plasma(map, 4, 2.0);
    check_map(map, expected, 5000, 16);
}
END_TEST

START_TEST(plasma_of_one_cell_is_nothing)
{
    float map[4] = {0.7f};

    corrupt_plasma(map, 1, 2.0);
    ck_assert(map[0] == 0.0f);
    for (int i = 0; i < 4; i++)
        map[i] = 0.5f; /* flat: no division by a range of 0 */
    corrupt_plasma(map, 2, 2.0);
    for (int i = 0; i < 4; i++)
        ck_assert(map[i] == 0.0f);
}
END_TEST

enum { HEIGHT = 63, WIDTH = 64, SAMPLES = HEIGHT * WIDTH * 3 };

/* White: (1 + 1.5 p)/2.5, from 102 to 255, and the map of 64 x 64 ends in the row that
 * is cut. Black: the brightest sample is 0, and so is all. */
START_TEST(fog_keeps_the_brightest_level)
{
    unsigned char in[SAMPLES], out[SAMPLES];
    unsigned char least = 255, most = 0;

    memset(in, 255, sizeof in);
    test_corrupt_apply(&rig, out, in, HEIGHT, WIDTH, CORRUPT_KIND_FOG, 1, 5);
    for (size_t i = 0; i < SAMPLES; i += 3) {
        ck_assert(out[i] == out[i + 1] && out[i] == out[i + 2]);
        least = out[i] < least ? out[i] : least;
        most = out[i] > most ? out[i] : most;
    }
    ck_assert(least >= 102 && least < 125);
    ck_assert_uint_gt(most, 230);
    memset(in, 0, sizeof in);
    test_corrupt_apply(&rig, out, in, HEIGHT, WIDTH, CORRUPT_KIND_FOG, 1, 5);
    for (size_t i = 0; i < SAMPLES; i++)
        ck_assert_uint_eq(out[i], 0);
}
END_TEST

/* ---- snow ---------------------------------------------------------------------------- */

/* The layer and the layer turned by 180 degrees: on a flat picture the outcome is its
 * own half turn. Between the flakes of severity 5, black is 0.45 * 0.5 = 57.375. */
START_TEST(snow_falls_from_both_ends)
{
    unsigned char in[SAMPLES] = {0}, out[SAMPLES];
    size_t plain = 0, flakes = 0;

    for (int severity = 1; severity <= 5; severity++) {
        test_corrupt_apply(&rig, out, in, HEIGHT, WIDTH, CORRUPT_KIND_SNOW, severity, 7);
        for (size_t i = 0; i < SAMPLES; i++)
            ck_assert_uint_eq(out[i], out[SAMPLES - 1 - i]);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        ck_assert_uint_ge(out[i], 57);
        plain += out[i] == 57;
        flakes += out[i] > 57 + 32;
    }
    ck_assert_uint_gt(flakes, 100);
    ck_assert_uint_gt(plain + flakes, 100);
}
END_TEST

/* ---- frost, handed in ---------------------------------------------------------------- */

enum { TALL = 13, WIDE = 12 };

/* Picture k: value(k, y, x) in red, 7 in green and blue. */
static unsigned char value(int k, int y, int x)
{
    return (unsigned char)(4 * (k + 5 * (x % 3 + 3 * (y % 4))));
}

static corrupt_config handed_in(unsigned char pixels[CORRUPT_FROST_COUNT][TALL * WIDE * 3])
{
    corrupt_config config = corrupt_config_defaults();

    for (int k = 0; k < CORRUPT_FROST_COUNT; k++) {
        for (int i = 0; i < TALL * WIDE; i++) {
            pixels[k][3 * i] = value(k, i / WIDE, i % WIDE);
            pixels[k][3 * i + 1] = pixels[k][3 * i + 2] = 7;
        }
        config.frost[k] = (corrupt_texture){pixels[k], TALL, WIDE};
    }
    return config;
}

/* Pieces of 10 x 10: rows 0..2 (13 - 10 - 1) and columns 0..1 of five pictures, 30
 * pieces and no other; each is missed by 900 draws with a chance of 10^-13. Black plus
 * 0.4 of 4 n is 1.6 n, cut. */
START_TEST(frost_cuts_every_piece_of_every_picture)
{
    unsigned char pixels[CORRUPT_FROST_COUNT][TALL * WIDE * 3];
    const corrupt_config config = handed_in(pixels);
    test_corrupt t = test_corrupt_open(&config);
    unsigned char in[300] = {0}, out[300];
    int seen[60] = {0};

    memset(pixels, 255, sizeof pixels); /* the set has its own copies */
    ck_assert_str_eq(corrupt_set_frost(t.set), "originals");
    for (uint64_t key = 0; key < 900; key++) {
        test_corrupt_apply(&t, out, in, 10, 10, CORRUPT_KIND_FROST, 1, key);
        const int n = (out[0] * 5 + 7) / 8, k = n % 5, left = n / 5 % 3, top = n / 15;
        ck_assert(left < 2 && top < 3);
        seen[n]++;
        for (int i = 0; i < 100; i++)
            ck_assert_uint_eq(out[3 * i], value(k, top + i / 10, left + i % 10) * 4 / 10);
    }
    for (int n = 0; n < 60; n++)
        ck_assert((seen[n] > 0) == (n / 5 % 3 < 2 && n / 15 < 3));
    test_corrupt_close(&t);
}
END_TEST

/* 0.7 * 10 + 0.7 * 100 = 77; 0.6 * 10 + 0.75 * 100 = 81; above 255 cut. */
START_TEST(frost_is_a_weighted_sum)
{
    unsigned char flat[4 * 4 * 3], in[6] = {10, 10, 10, 255, 0, 200}, out[6];
    corrupt_config config = corrupt_config_defaults();

    memset(flat, 100, sizeof flat);
    for (int k = 0; k < CORRUPT_FROST_COUNT; k++)
        config.frost[k] = (corrupt_texture){flat, 4, 4};
    test_corrupt t = test_corrupt_open(&config);
    test_corrupt_apply(&t, out, in, 1, 2, CORRUPT_KIND_FROST, 3, 0);
    ck_assert_uint_eq(out[0], 77);
    ck_assert_uint_eq(out[3], 248); /* 178.5 + 70 */
    ck_assert_uint_eq(out[4], 70);
    test_corrupt_apply(&t, out, in, 1, 2, CORRUPT_KIND_FROST, 5, 0);
    ck_assert_uint_eq(out[0], 81);
    test_corrupt_apply(&t, out, in, 1, 2, CORRUPT_KIND_FROST, 1, 0);
    ck_assert_uint_eq(out[3], 255);
    test_corrupt_close(&t);
}
END_TEST

/* A slope of 10 a pixel, 10 pixels: at 0.2 two pixels that sample 0.5 * 5 - 0.5 = 2 and
 * 7; at 0.3 three, at 1.1667, 4.5 and 7.8333. No mean over what is skipped. */
static void check_shrunk(corrupt_preset preset, size_t side, const unsigned char *expected)
{
    unsigned char slope[10 * 10 * 3];
    corrupt_config config = corrupt_config_defaults();
    corrupt_textures *textures = NULL;
    corrupt_picture picture;

    config.preset = preset;
    for (int i = 0; i < 300; i++)
        slope[i] = (unsigned char)(i % 3 == 0   ? i / 3 % 10 * 10
                                   : i % 3 == 1 ? i / 30 * 10
                                                : 9);
    for (int k = 0; k < CORRUPT_FROST_COUNT; k++)
        config.frost[k] = (corrupt_texture){slope, 10, 10};
    ck_assert_int_eq(corrupt_textures_create(&textures, &config, NULL), BASE_OK);
    ck_assert_int_eq(corrupt_textures_get(&picture, textures, 4, NULL), BASE_OK);
    ck_assert_uint_eq(picture.height, side);
    ck_assert_uint_eq(picture.width, side);
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            ck_assert_uint_eq(picture.pixels[(y * side + x) * 3], expected[x]);
            ck_assert_uint_eq(picture.pixels[(y * side + x) * 3 + 1], expected[y]);
            ck_assert_uint_eq(picture.pixels[(y * side + x) * 3 + 2], 9);
        }
    }
    corrupt_textures_destroy(textures);
}

START_TEST(small_presets_shrink_the_pictures)
{
    check_shrunk(CORRUPT_PRESET_32, 2, (const unsigned char[]){20, 70});
    check_shrunk(CORRUPT_PRESET_64, 3, (const unsigned char[]){12, 45, 78});
    check_shrunk(CORRUPT_PRESET_224, 10,
                 (const unsigned char[]){0, 10, 20, 30, 40, 50, 60, 70, 80, 90});
}
END_TEST

/* Keys 1981, "Cubic convolution interpolation", a = -0.75. */
static double keys_weight(double away)
{
    const double d = fabs(away), a = -0.75;

    return d < 1   ? (a + 2) * d * d * d - (a + 3) * d * d + 1
           : d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a
                   : 0;
}

enum { H = 41, W = 26, TALLER = 46, WIDER = 42 };

/* Red of picture k at a place of it enlarged to TALLER x WIDER; beyond its border the
 * last row and column go on. */
static double grown(unsigned char pixels[TALL * WIDE * 3], int y, int x)
{
    const double down = (y + 0.5) * TALL / TALLER - 0.5,
                 across = (x + 0.5) * WIDE / WIDER - 0.5;
    double sum = 0;

    for (int i = -3; i < TALL + 3; i++) {
        for (int j = -3; j < WIDE + 3; j++) {
            const int row = i < 0      ? 0
                            : i < TALL ? i
                                       : TALL - 1,
                      column = j < 0      ? 0
                               : j < WIDE ? j
                                          : WIDE - 1;
            sum += keys_weight(i - down) * keys_weight(j - across) *
                   pixels[3 * (row * WIDE + column)];
        }
    }
    return fmin(fmax(sum, 0), 255);
}

/* Whether red of out is 0.7 times the piece at (top, left), rounded before and cut
 * after. */
static bool is_piece(const unsigned char *out, double whole[TALLER][WIDER], int top,
                     int left)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            if (fabs(out[3 * (y * W + x)] - 0.7 * whole[top + y][left + x]) > 1.5)
                return false;
    return true;
}

/* A picture that is smaller than the image grows until it covers 1.1 times the image, by
 * 41/13 * 1.1 = 3.47; of it every piece is cut; a flat channel stays flat. */
START_TEST(pictures_that_are_too_small_grow)
{
    static double whole[CORRUPT_FROST_COUNT][TALLER][WIDER];
    unsigned char pixels[CORRUPT_FROST_COUNT][TALL * WIDE * 3], in[H * W * 3] = {0},
                                                                           out[H * W * 3];
    corrupt_config config = handed_in(pixels);
    bool seen[CORRUPT_FROST_COUNT + TALLER + WIDER] = {false};

    for (int k = 0; k < CORRUPT_FROST_COUNT; k++) {
        for (int i = 0; i < TALL * WIDE; i++)
            pixels[k][3 * i] = (unsigned char)(i * i * 7 + 40 * k + i % WIDE * 31);
        for (int i = 0; i < TALLER * WIDER; i++)
            whole[k][i / WIDER][i % WIDER] = grown(pixels[k], i / WIDER, i % WIDER);
    }
    test_corrupt t = test_corrupt_open(&config);
    for (uint64_t key = 0; key < 200; key++) {
        int found = 0;
        test_corrupt_apply(&t, out, in, H, W, CORRUPT_KIND_FROST, 3, key);
        for (int i = 0; i < H * W; i++)
            ck_assert_uint_eq(out[3 * i + 1], 4); /* 0.7 * 7 */
        for (int n = 0; n < CORRUPT_FROST_COUNT * TALLER * WIDER; n++) {
            const int k = n / (TALLER * WIDER), top = n / WIDER % TALLER, left = n % WIDER;
            if (top > TALLER - H || left > WIDER - W || !is_piece(out, whole[k], top, left))
                continue;
            seen[k] = seen[CORRUPT_FROST_COUNT + top] = true;
            seen[CORRUPT_FROST_COUNT + TALLER + left] = true;
            found++;
        }
        ck_assert_int_eq(found, 1);
        test_corrupt_apply(&t, out, in, TALL, WIDE, CORRUPT_KIND_FROST, 3, key);
        for (int i = 0; i < TALL * WIDE; i++)
            ck_assert_uint_eq(out[3 * i + 2], 4);
    }
    for (int k = 0; k < CORRUPT_FROST_COUNT; k++)
        ck_assert(seen[k]);
    for (int top = 0; top < TALLER; top++)
        ck_assert(seen[CORRUPT_FROST_COUNT + top] == (top < TALLER - H));
    for (int left = 0; left < WIDER; left++)
        ck_assert(seen[CORRUPT_FROST_COUNT + TALLER + left] == (left < WIDER - W));
    test_corrupt_close(&t);
    for (int k = 0; k < CORRUPT_FROST_COUNT; k++)
        config.frost[k] = (corrupt_texture){pixels[k], 1, 1};
    t = test_corrupt_open(&config);
    test_corrupt_apply(&t, out, in, H, W, CORRUPT_KIND_FROST, 3, 0);
    ck_assert_uint_eq(out[1], 4);
    test_corrupt_apply(&t, out, in, 1, 1, CORRUPT_KIND_FROST, 3, 0);
    ck_assert_uint_eq(out[1], 4);
    test_corrupt_close(&t);
}
END_TEST

START_TEST(frost_pictures_come_all_or_none)
{
    unsigned char pixels[CORRUPT_FROST_COUNT][TALL * WIDE * 3];
    corrupt_config config = handed_in(pixels);
    corrupt_set *set = NULL;

    config.frost[3].pixels = NULL;
    ck_assert_int_ne(corrupt_set_create(&set, &config, NULL), BASE_OK);
    ck_assert_ptr_null(set);
}
END_TEST

/* ---- frost, procedural --------------------------------------------------------------- */

/* The originals in crops of 224: means of red, green, blue, power of the luma in four
 * bands. */
static const struct {
    double mean[3], band[4];
} originals[CORRUPT_FROST_COUNT] = {{{75, 147, 164}, {153, 15, 34, 46}},
                                    {{198, 202, 212}, {215, 63, 66, 58}},
                                    {{198, 202, 212}, {215, 63, 66, 58}},
                                    {{145, 160, 173}, {239, 99, 172, 179}},
                                    {{98, 109, 121}, {586, 196, 201, 254}}};

START_TEST(procedural_frost_has_the_figures_of_the_originals)
{
    /* offsets spread evenly over all that are drawn */
    enum { CROP = 224, GRID = 3, CROPS = GRID * GRID, LAST = CORRUPT_FROST_SIDE - CROP };
    static double luma[CROP * CROP];
    corrupt_textures *textures = NULL;
    const corrupt_config config = corrupt_config_defaults();

    ck_assert_int_eq(corrupt_textures_create(&textures, &config, NULL), BASE_OK);
    ck_assert_str_eq(corrupt_textures_name(textures), "procedural v1");
    for (size_t k = 0; k < CORRUPT_FROST_COUNT; k++) {
        double mean[3] = {0}, band[4] = {0};
        corrupt_picture picture;
        ck_assert_int_eq(corrupt_textures_get(&picture, textures, k, NULL), BASE_OK);
        ck_assert_uint_ge(picture.height, 512);
        ck_assert_uint_ge(picture.width, 512);
        for (size_t crop = 0; crop < CROPS; crop++) {
            const size_t top = (2 * (crop / GRID) + 1) * LAST / (2 * GRID);
            const size_t left = (2 * (crop % GRID) + 1) * LAST / (2 * GRID);
            double one[4];
            for (size_t y = 0; y < CROP; y++) {
                const unsigned char *row =
                    picture.pixels + ((top + y) * picture.width + left) * 3;
                for (size_t x = 0; x < CROP; x++) {
                    luma[y * CROP + x] = test_luma(row + 3 * x);
                    for (size_t c = 0; c < 3; c++)
                        mean[c] += row[3 * x + c] / (double)(CROP * CROP * CROPS);
                }
            }
            test_bands(one, luma, CROP, CROP);
            for (int b = 0; b < 4; b++)
                band[b] += one[b] / CROPS;
        }
        for (int c = 0; c < 3; c++)
            ck_assert_msg(fabs(mean[c] - originals[k].mean[c]) <= 8.0,
                          "picture %zu: mean %d is %.1f", k + 1, c, mean[c]);
        for (int b = 0; b < 4; b++) {
            const double ratio = band[b] / originals[k].band[b];
            ck_assert_msg(ratio <= 1.5 && ratio >= 1.0 / 1.5,
                          "picture %zu: band %d is %.2f times", k + 1, b, ratio);
        }
    }
    corrupt_textures_destroy(textures);
}
END_TEST

/* Version 1 for ever. The hash is of the bytes as 64-bit words, lowest byte first. */
START_TEST(procedural_frost_has_its_bytes)
{
    static const uint64_t expected[CORRUPT_FROST_COUNT] = {
        UINT64_C(0x7b7c8d2dce7f3709), UINT64_C(0x93b2d5a89ebb9c2e),
        UINT64_C(0xebdfc07da622d7fd), UINT64_C(0x620ae689e966572c),
        UINT64_C(0x648063f17d7ca24f)};
    enum { BYTES = CORRUPT_FROST_SIDE * CORRUPT_FROST_SIDE * 3 };
    unsigned char *pixels = base_alloc(BYTES, 1);

    for (size_t k = 0; k < CORRUPT_FROST_COUNT; k++) {
        uint64_t hash = 0;
        ck_assert_int_eq(corrupt_frost_texture(pixels, k, NULL), BASE_OK);
        for (size_t i = 0; i < BYTES; i += 8) {
            uint64_t word = 0;
            for (size_t j = 0; j < 8; j++)
                word |= (uint64_t)pixels[i + j] << 8 * j;
            hash = base_key((const uint64_t[2]){hash, word}, 2);
        }
        ck_assert_msg(hash == expected[k], "picture %zu has 0x%016llx", k + 1,
                      (unsigned long long)hash);
    }
    base_free(pixels);
}
END_TEST

static void *first_frost(void *set)
{
    unsigned char in[64 * 3] = {0}, *out = base_alloc(64, 3);
    corrupt_worker *worker = NULL;

    if (corrupt_worker_create(&worker, set, NULL) != BASE_OK ||
        corrupt_apply(worker, out, in, 8, 8, CORRUPT_KIND_FROST, 5, 1, NULL) != BASE_OK) {
        base_free(out);
        out = NULL;
    }
    corrupt_worker_destroy(worker);
    return out;
}

START_TEST(the_first_frost_may_come_from_several_threads)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    unsigned char *out[THREADS];

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, first_frost, rig.set), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_nonnull(result);
        out[i] = result;
    }
    for (int i = 1; i < THREADS; i++) {
        ck_assert_mem_eq(out[i], out[0], 64 * 3);
        base_free(out[i]);
    }
    base_free(out[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt weather");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, open_rig, close_rig);
    tcase_add_test(core, plasma_of_two_cells_is_worked_by_hand);
    tcase_add_test(core, plasma_of_four_cells_is_worked_by_hand);
    tcase_add_test(core, fog_keeps_the_brightest_level);
    tcase_add_test(core, snow_falls_from_both_ends);
    tcase_add_test(core, frost_cuts_every_piece_of_every_picture);
    tcase_add_test(core, frost_is_a_weighted_sum);
    tcase_add_test(core, small_presets_shrink_the_pictures);
    tcase_add_test(core, pictures_that_are_too_small_grow);
    tcase_add_test(core, procedural_frost_has_the_figures_of_the_originals);
    tcase_add_test(core, procedural_frost_has_its_bytes);
    tcase_add_test(core, the_first_frost_may_come_from_several_threads);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, open_rig, close_rig);
    tcase_add_test(limits, plasma_of_one_cell_is_nothing);
    tcase_add_test(limits, frost_pictures_come_all_or_none);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
