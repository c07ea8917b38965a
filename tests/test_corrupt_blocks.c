/* test_corrupt_blocks.c - the building blocks: filters and zoom against their definitions
 * written out, motion blur against ImageMagick's answer, the disk's sum, glass blur's
 * copies, and the laws of the noises. */
#include <math.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* f32 sums of up to 1025 products of numbers below 1. */
#define NEAR_F32 2e-6

static test_corrupt rig;

static void open_rig(void)
{
    rig = test_corrupt_open(NULL);
}

static void close_rig(void)
{
    test_corrupt_close(&rig);
}

/* ---- scratch memory ------------------------------------------------------------------ */

/* Pieces are aligned, no two share a byte, and what was taken after a mark is taken
 * again. */
START_TEST(scratch_is_taken_back_to_a_mark)
{
    enum { PIECES = 40 };
    corrupt_job job = test_corrupt_job(&rig, 5);
    unsigned char *piece[PIECES] = {NULL};
    size_t bytes[PIECES], mark[PIECES];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < PIECES; i++) {
            bytes[i] = 1 + i * i * (i % 5) * (i % 7 == 3 ? 40 : 1);
            mark[i] = corrupt_scratch_mark(&job);
            unsigned char *at = corrupt_scratch(&job, bytes[i], 1, NULL);
            ck_assert_ptr_nonnull(at);
            ck_assert_uint_eq((uintptr_t)at % 64, 0);
            ck_assert_msg(round == 0 || at == piece[i], "piece %zu of round %d", i, round);
            piece[i] = at;
            memset(at, (int)i + 1, bytes[i]);
            if (i % 3 == 2) { /* the last two once more */
                corrupt_scratch_rewind(&job, mark[i - 1]);
                ck_assert_uint_eq(corrupt_scratch_mark(&job), mark[i - 1]);
                ck_assert_ptr_eq(corrupt_scratch(&job, bytes[i - 1], 1, NULL),
                                 piece[i - 1]);
                ck_assert_ptr_eq(corrupt_scratch(&job, 1, bytes[i], NULL), piece[i]);
            }
        }
        size_t lost = 0;
        for (size_t i = 0; i < PIECES; i++)
            for (size_t k = 0; k < bytes[i]; k++)
                lost += piece[i][k] != i + 1;
        ck_assert_uint_eq(lost, 0);
        corrupt_scratch_rewind(&job, mark[0]);
    }
    ck_assert_uint_eq(mark[0], 0);
    ck_assert_ptr_null(corrupt_scratch(&job, SIZE_MAX / 2, 3, &rig.err));
    ck_assert_str_eq(rig.err.text, "no memory to corrupt an image of 1 x 1");
}
END_TEST

/* ---- filters ------------------------------------------------------------------------- */

static double plain_tap(int i, double sigma, int radius)
{
    double sum = 0.0;

    for (int j = -radius; j <= radius; j++)
        sum += exp(-j * j / (2.0 * sigma * sigma));
    return exp(-i * i / (2.0 * sigma * sigma)) / sum;
}

static int plain_border(int i, int n, corrupt_border border)
{
    while (i < 0 || i >= n) {
        if (border == CORRUPT_BORDER_NEAREST)
            i = i < 0 ? 0 : n - 1;
        else
            i = i < 0 ? -1 - i : 2 * n - 1 - i;
    }
    return i;
}

/* Both passes in f64, sample by sample. */
static void plain_gauss(double *plane, int height, int width, double sigma,
                        corrupt_border border, double truncate)
{
    static double copy[64 * 64];
    const int radius = (int)floor(truncate * sigma + 0.5);

    for (int along_x = 0; along_x < 2; along_x++) {
        memcpy(copy, plane, (size_t)(height * width) * sizeof *plane);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                double sum = 0.0;
                for (int i = -radius; i <= radius; i++) {
                    const int fy = along_x ? y : plain_border(y + i, height, border);
                    const int fx = along_x ? plain_border(x + i, width, border) : x;
                    sum += plain_tap(i, sigma, radius) * copy[fy * width + fx];
                }
                plane[y * width + x] = sum;
            }
        }
    }
}

static void check_plane(size_t height, size_t width, double sigma, corrupt_border border,
                        double truncate)
{
    float plane[64 * 64];
    double plain[64 * 64];
    corrupt_job job = test_corrupt_job(&rig, height * 64 + width);

    corrupt_random_uniform(plane, height * width, &job.rng);
    for (size_t i = 0; i < height * width; i++)
        plain[i] = (double)plane[i];
    ck_assert_int_eq(
        corrupt_gauss_plane(&job, plane, height, width, sigma, border, truncate, &rig.err),
        BASE_OK);
    plain_gauss(plain, (int)height, (int)width, sigma, border, truncate);
    for (size_t i = 0; i < height * width; i++)
        ck_assert_double_eq_tol((double)plane[i], plain[i], NEAR_F32);
}

/* Short kernels, kernels longer than the ring, than one side, than both. */
START_TEST(a_filtered_plane_is_the_sum_of_its_definition)
{
    check_plane(20, 33, 1.0, CORRUPT_BORDER_NEAREST, 4.0);
    check_plane(33, 20, 2.44, CORRUPT_BORDER_SYMMETRIC, 3.0);
    check_plane(12, 40, 3.0, CORRUPT_BORDER_SYMMETRIC, 4.0);
    check_plane(40, 12, 3.0, CORRUPT_BORDER_NEAREST, 4.0);
    check_plane(9, 11, 19.52, CORRUPT_BORDER_SYMMETRIC, 3.0);
    check_plane(1, 1, 2.0, CORRUPT_BORDER_SYMMETRIC, 3.0);
    check_plane(1, 30, 2.0, CORRUPT_BORDER_NEAREST, 4.0);
}
END_TEST

START_TEST(filtered_bytes_are_cut_not_rounded)
{
    enum { H = 24, W = 45, SAMPLES = H * W * 3 };
    unsigned char in[SAMPLES], out[SAMPLES];
    double plain[H * W];
    corrupt_job job = test_corrupt_job(&rig, 1);
    uint32_t words[SAMPLES];

    corrupt_random_words(words, SAMPLES, &job.rng);
    for (int i = 0; i < SAMPLES; i++)
        in[i] = (unsigned char)words[i];
    for (int s = 0; s < 3; s++) {
        const double sigma = (const double[]){0.7, 1.5, 6.0}[s];
        ck_assert_int_eq(corrupt_gauss_bytes(&job, out, in, H, W, 3, sigma, &rig.err),
                         BASE_OK);
        for (int c = 0; c < 3; c++) {
            for (int i = 0; i < H * W; i++)
                plain[i] = in[i * 3 + c];
            plain_gauss(plain, H, W, sigma, CORRUPT_BORDER_NEAREST, 4.0);
            for (int i = 0; i < H * W; i++) /* no value of noise is a whole number */
                ck_assert_int_eq(out[i * 3 + c], (int)plain[i]);
        }
        unsigned char same[SAMPLES]; /* in place */
        memcpy(same, in, SAMPLES);
        ck_assert_int_eq(corrupt_gauss_bytes(&job, same, same, H, W, 3, sigma, &rig.err),
                         BASE_OK);
        ck_assert_mem_eq(same, out, SAMPLES);
    }
    ck_assert_int_eq(corrupt_gauss_bytes(&job, out, in, H, W, 3, 0.05, &rig.err), BASE_OK);
    ck_assert_mem_eq(out, in, SAMPLES); /* radius 0 */
}
END_TEST

/* ---- zoom ---------------------------------------------------------------------------- */

/* corruptions.md 2.2: for 224, the side that is cut and the side it is enlarged to. */
START_TEST(zooms_of_224_are_the_published_ones)
{
    static const struct {
        double zoom;
        int cut, enlarged;
    } known[] = {{1.01, 222, 224}, {1.03, 218, 225}, {1.11, 202, 224},
                 {1.3, 173, 225},  {2, 112, 224},    {2.5, 90, 225},
                 {3, 75, 225},     {4, 56, 224},     {4.5, 50, 225}};
    corrupt_job job = test_corrupt_job(&rig, 1);

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        corrupt_zoom_axis axis;
        ck_assert_int_eq(corrupt_zoom_axis_make(&axis, &job, 224, known[i].zoom, &rig.err),
                         BASE_OK);
        const int top = (224 - known[i].cut) / 2, trim = (known[i].enlarged - 224) / 2;
        for (int k = 0; k < 224; k++) {
            const double at =
                top + (k + trim) * (known[i].cut - 1.0) / (known[i].enlarged - 1.0);
            ck_assert_double_eq_tol(axis.at[k] + (double)axis.part[k], at, 1e-5);
            ck_assert(axis.at[k] + 1 < 224 || axis.part[k] == 0.0f);
        }
    }
}
END_TEST

START_TEST(a_zoomed_plane_is_linear_between_its_samples)
{
    enum { H = 31, W = 46 };
    float in[H * W], out[H * W];
    corrupt_job job = test_corrupt_job(&rig, 2);
    corrupt_zoom_axis rows, columns;

    corrupt_random_uniform(in, H * W, &job.rng);
    ck_assert_int_eq(corrupt_zoom_plane(&job, out, in, H, W, 1.0, &rig.err), BASE_OK);
    ck_assert_mem_eq(out, in, sizeof in);
    ck_assert_int_eq(corrupt_zoom_plane(&job, out, in, H, W, 2.5, &rig.err), BASE_OK);
    ck_assert_int_eq(corrupt_zoom_axis_make(&rows, &job, H, 2.5, &rig.err), BASE_OK);
    ck_assert_int_eq(corrupt_zoom_axis_make(&columns, &job, W, 2.5, &rig.err), BASE_OK);
    for (size_t y = 0; y < H; y++) {
        for (size_t x = 0; x < W; x++) {
            const float *a = in + rows.at[y] * W + columns.at[x];
            const float *b = rows.part[y] > 0.0f ? a + W : a;
            const size_t next = columns.part[x] > 0.0f;
            const float top = a[0] + columns.part[x] * (a[next] - a[0]);
            const float bottom = b[0] + columns.part[x] * (b[next] - b[0]);
            ck_assert_double_eq_tol((double)out[y * W + x],
                                    (double)(top + rows.part[y] * (bottom - top)), 1e-6);
        }
    }
}
END_TEST

/* ---- motion -------------------------------------------------------------------------- */

/* corruptions.md 2.4: what ImageMagick 6.9 makes of a white dot. */
START_TEST(a_dot_becomes_imagemagicks_streak)
{
    enum { H = 40, W = 50 };
    static const struct {
        int y, x, value;
    } known[] = {{20, 30, 84}, {20, 29, 74}, {19, 28, 51},
                 {19, 27, 27}, {18, 27, 11}, {18, 26, 3}};

    for (size_t channels = 1; channels <= 3; channels += 2) {
        unsigned char in[H * W * 3] = {0}, out[H * W * 3];
        corrupt_job job = test_corrupt_job(&rig, 3);
        size_t lit = 0;
        memset(in + (20 * W + 30) * channels, 255, channels);
        ck_assert_int_eq(
            corrupt_motion(&job, out, in, H, W, channels, 5.0, 2.0, 30.0, &rig.err),
            BASE_OK);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            for (size_t c = 0; c < channels; c++)
                ck_assert_int_eq(out[(size_t)(known[i].y * W + known[i].x) * channels + c],
                                 known[i].value);
        }
        for (size_t i = 0; i < H * W * channels; i++)
            lit += out[i] > 0;
        ck_assert_uint_eq(lit, channels * sizeof known / sizeof *known);
    }
}
END_TEST

/* ---- corruptions --------------------------------------------------------------------- */

static void constant(unsigned char *picture, size_t count, int level)
{
    memset(picture, level, count);
}

/* corruptions.md 2.3: the mirrored border makes the disk of radius 8 sum to 1.012975 and
 * that of radius 10 to 1.010786; 200 * 1.012975 = 202.6, 200 * 1.010786 = 202.2, and white
 * stays white. */
START_TEST(large_disks_brighten_a_little)
{
    enum { SIDE = 40, SAMPLES = SIDE * SIDE * 3 };
    unsigned char in[SAMPLES], out[SAMPLES];

    for (int s = 4; s <= 5; s++) {
        constant(in, SAMPLES, 200);
        test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_DEFOCUS_BLUR, s, 0);
        for (int i = 0; i < SAMPLES; i++)
            ck_assert_int_eq(out[i], 202);
        constant(in, SAMPLES, 255);
        test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_DEFOCUS_BLUR, s, 0);
        for (int i = 0; i < SAMPLES; i++)
            ck_assert_int_eq(out[i], 255);
    }
}
END_TEST

/* Radius 3: 29 cells of weight 1/29 without smoothing to speak of. A white dot of 255 gives
 * trunc(255 / 29) = 8 on a disk of 29 pixels. */
START_TEST(a_dot_becomes_a_disk)
{
    enum { SIDE = 41, AT = 12 }; /* the 17 rows that are kept move on past it */
    unsigned char in[SIDE * SIDE * 3] = {0}, out[SIDE * SIDE * 3];

    memset(in + (AT * SIDE + AT) * 3, 255, 3);
    test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_DEFOCUS_BLUR, 1, 0);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const bool inside = (x - AT) * (x - AT) + (y - AT) * (y - AT) <= 9;
            for (int c = 0; c < 3; c++)
                ck_assert_int_eq(out[(y * SIDE + x) * 3 + c], inside ? 8 : 0);
        }
    }
}
END_TEST

/* Preset 32, severity 1: sigma .05 filters nothing, one pass with offsets -1 and 0. Each
 * pixel holds its own number. */
START_TEST(glass_copies_from_above_and_left_and_spares_the_frame)
{
    enum { SIDE = 15, D = 1 };
    corrupt_config config = corrupt_config_defaults();
    config.preset = CORRUPT_PRESET_32;
    test_corrupt t = test_corrupt_open(&config);
    unsigned char in[SIDE * SIDE * 3], out[SIDE * SIDE * 3];
    int moved[2][2] = {{0}};

    for (int i = 0; i < SIDE * SIDE; i++)
        memset(in + i * 3, i, 3);
    for (uint64_t key = 0; key < 100; key++) {
        test_corrupt_apply(&t, out, in, SIDE, SIDE, CORRUPT_KIND_GLASS_BLUR, 1, key);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                const int from = out[(y * SIDE + x) * 3];
                const int dy = from / SIDE - y, dx = from % SIDE - x;
                if (y <= D || y > SIDE - D || x <= D || x > SIDE - D) {
                    ck_assert_int_eq(from, y * SIDE + x);
                } else {
                    ck_assert(dy >= -1 && dy <= 0 && dx >= -1 && dx <= 0);
                    moved[-dy][-dx]++;
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) /* 13 x 13 x 100 copies, a quarter each: sd 56 */
        ck_assert_int_lt(abs(moved[i / 2][i % 2] - 13 * 13 * 25), 5 * 57);
    test_corrupt_close(&t);
}
END_TEST

/* Flat pictures: the share of every byte against the Poisson law, level by level; chi
 * square. */
START_TEST(shot_noise_is_poisson)
{
    enum { SIDE = 128, SAMPLES = SIDE * SIDE * 3 };
    static unsigned char in[SAMPLES], out[SAMPLES];
    static const double photons[] = {60, 25, 12, 5, 3};
    static const int levels[] = {1, 30, 128, 254, 255};

    for (int s = 1; s <= 5; s++) {
        for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
            const double c = photons[s - 1], mean = levels[l] / 255.0 * c;
            double expected[256] = {0}, found[256] = {0}, chi = 0.0;
            int cells = -1;
            constant(in, SAMPLES, levels[l]);
            test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_SHOT_NOISE, s, l);
            for (int i = 0; i < SAMPLES; i++)
                found[out[i]] += 1.0;
            for (int k = 0; k < 300; k++)
                expected[k < c ? (int)(k / c * 255.0) : 255] +=
                    SAMPLES * exp(k * log(mean) - mean - lgamma(k + 1.0));
            for (int b = 0; b < 256; b++) {
                if (expected[b] == 0.0)
                    ck_assert_double_eq(found[b], 0.0);
                if (expected[b] < 5.0)
                    continue;
                chi += (found[b] - expected[b]) * (found[b] - expected[b]) / expected[b];
                cells++;
            }
            ck_assert_double_lt(chi, cells + 6.0 * sqrt(2.0 * cells + 2.0));
        }
    }
    constant(in, SAMPLES, 0);
    test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_SHOT_NOISE, 5, 0);
    ck_assert_mem_eq(out, in, SAMPLES); /* no light, no photons */
}
END_TEST

/* Share p of the samples, half black and half white, each channel on its own: both of two
 * channels fail with p^2. */
START_TEST(impulses_hit_single_samples)
{
    enum { SIDE = 200, PIXELS = SIDE * SIDE };
    static unsigned char in[PIXELS * 3], out[PIXELS * 3];
    static const double share[] = {.03, .06, .09, .17, .27};

    constant(in, PIXELS * 3, 128);
    for (int s = 1; s <= 5; s++) {
        const double p = share[s - 1];
        int black = 0, white = 0, both = 0;
        test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_IMPULSE_NOISE, s, 9);
        for (int i = 0; i < PIXELS * 3; i++) {
            black += out[i] == 0;
            white += out[i] == 255;
            ck_assert(out[i] == 0 || out[i] == 128 || out[i] == 255);
        }
        for (int i = 0; i < PIXELS; i++)
            both += out[i * 3] != 128 && out[i * 3 + 1] != 128;
        ck_assert_double_eq_tol(black, PIXELS * 1.5 * p, 5.0 * sqrt(PIXELS * 1.5 * p));
        ck_assert_double_eq_tol(white, PIXELS * 1.5 * p, 5.0 * sqrt(PIXELS * 1.5 * p));
        ck_assert_double_eq_tol(both, PIXELS * p * p, 5.0 * sqrt(PIXELS * p * p));
    }
}
END_TEST

/* Around 128 no sample is clipped: mean 127.5 (cut to 8 bits) and the sd of the table;
 * speckle's is times 128 / 255. */
START_TEST(normal_noise_has_its_width)
{
    enum { SIDE = 200, SAMPLES = SIDE * SIDE * 3 };
    static unsigned char in[SAMPLES], out[SAMPLES];
    static const struct {
        int kind;
        double sd;
    } noise[] = {{CORRUPT_KIND_GAUSSIAN_NOISE, .08 * 255},
                 {CORRUPT_KIND_SPECKLE_NOISE, .15 * 128}};

    constant(in, SAMPLES, 128);
    for (size_t n = 0; n < 2; n++) {
        double sum = 0.0, squares = 0.0;
        test_corrupt_apply(&rig, out, in, SIDE, SIDE, noise[n].kind, 1, 4);
        for (int i = 0; i < SAMPLES; i++) {
            sum += out[i];
            squares += (out[i] - 127.5) * (out[i] - 127.5);
        }
        const double sd = noise[n].sd;
        ck_assert_double_eq_tol(sum / SAMPLES, 127.5, 5.0 * sd / sqrt(SAMPLES));
        ck_assert_double_eq_tol(sqrt(squares / SAMPLES), sqrt(sd * sd + 1.0 / 12.0),
                                5.0 * sd / sqrt(2.0 * SAMPLES));
    }
}
END_TEST

/* Correlation of the noise of one image at two severities, and of two kinds of noise: five
 * standard errors of independent ones; one stream for both would give nearly 1. */
START_TEST(kinds_and_severities_have_streams_of_their_own)
{
    enum { SIDE = 100, SAMPLES = SIDE * SIDE * 3 };
    static unsigned char in[SAMPLES], out[3][SAMPLES];
    double sum[3] = {0};

    constant(in, SAMPLES, 128);
    test_corrupt_apply(&rig, out[0], in, SIDE, SIDE, CORRUPT_KIND_GAUSSIAN_NOISE, 1, 4);
    test_corrupt_apply(&rig, out[1], in, SIDE, SIDE, CORRUPT_KIND_GAUSSIAN_NOISE, 2, 4);
    test_corrupt_apply(&rig, out[2], in, SIDE, SIDE, CORRUPT_KIND_SPECKLE_NOISE, 1, 4);
    for (int i = 0; i < SAMPLES; i++) {
        for (int a = 0; a < 3; a++) {
            const int b = (a + 1) % 3;
            sum[a] += (out[a][i] - 127.5) * (out[b][i] - 127.5);
        }
    }
    const double sd[3] = {.08 * 255, .12 * 255, .15 * 128};
    for (int a = 0; a < 3; a++)
        ck_assert_double_eq_tol(sum[a] / SAMPLES / (sd[a] * sd[(a + 1) % 3]), 0.0,
                                5.0 / sqrt(SAMPLES));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt blocks");
    TCase *core = test_case("Core");
    tcase_add_checked_fixture(core, open_rig, close_rig);
    tcase_add_test(core, scratch_is_taken_back_to_a_mark);
    tcase_add_test(core, a_filtered_plane_is_the_sum_of_its_definition);
    tcase_add_test(core, filtered_bytes_are_cut_not_rounded);
    tcase_add_test(core, zooms_of_224_are_the_published_ones);
    tcase_add_test(core, a_zoomed_plane_is_linear_between_its_samples);
    tcase_add_test(core, a_dot_becomes_imagemagicks_streak);
    tcase_add_test(core, large_disks_brighten_a_little);
    tcase_add_test(core, a_dot_becomes_a_disk);
    tcase_add_test(core, glass_copies_from_above_and_left_and_spares_the_frame);
    tcase_add_test(core, shot_noise_is_poisson);
    tcase_add_test(core, impulses_hit_single_samples);
    tcase_add_test(core, normal_noise_has_its_width);
    tcase_add_test(core, kinds_and_severities_have_streams_of_their_own);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
