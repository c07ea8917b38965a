/* test_corrupt_scores.c - all corruptions at all severities on a picture made of integers,
 * against an independent model on other libraries (tests/reference/corrupt_model.py, its
 * figures in tests/golden/corruptions.tsv): distance from the clean picture, mean and
 * standard deviation; and the distance grows with the severity as it does there. Needs no
 * data. */
#include <math.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { SIDE = 224, SAMPLES = SIDE * SIDE * 3, FIGURES = 3, KEYS = 4 };

/* Deterministic ones: single samples that fall beside a whole number. Random ones: spreads
 * of one picture, estimated from 32 seeds, and half a level cut off in the noises' f32. */
#define EXACT 0.01
#define SPREADS 5.0
#define ALLOWANCE 0.1

typedef struct figure {
    double mean, sd;
} figure;

static unsigned char clean[SAMPLES], out[SAMPLES];
static figure known[CORRUPT_KIND_COUNT][CORRUPT_SEVERITY_MAX][FIGURES];
static test_corrupt rig;

/* Splits at tabs in place. */
static int split(char *line, char **field, int most)
{
    int fields = 0;

    for (char *at = line; fields < most; at++) {
        field[fields++] = at;
        at = strchr(at, '\t');
        if (!at)
            break;
        *at = 0;
    }
    return fields;
}

static void read_figures(void)
{
    char *path = base_text("%s/golden/corruptions.tsv", getenv("VMOE_TESTS")), *text, *next;
    size_t bytes;
    int lines = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    for (char *line = text; *line; line = next) {
        char *field[2 + 2 * FIGURES];
        corrupt_kind kind;
        int64_t severity;
        next = strchr(line, '\n');
        ck_assert_ptr_nonnull(next);
        *next++ = 0;
        if (*line == '#')
            continue;
        ck_assert_int_eq(split(line, field, 2 + 2 * FIGURES), 2 + 2 * FIGURES);
        ck_assert(corrupt_kind_find(&kind, field[0]));
        ck_assert(base_parse_int(&severity, field[1]) && severity >= 1 && severity <= 5);
        for (int f = 0; f < FIGURES; f++) {
            figure *to = &known[kind][severity - 1][f];
            ck_assert(base_parse_real(&to->mean, field[2 + 2 * f]));
            ck_assert(base_parse_real(&to->sd, field[3 + 2 * f]));
        }
        lines++;
    }
    ck_assert_int_eq(lines, CORRUPT_KIND_COUNT * CORRUPT_SEVERITY_MAX);
    base_free(text);
    base_free(path);
}

/* The five frost pictures of the model. */
static void open_rig(void)
{
    corrupt_config config = corrupt_config_defaults();
    unsigned char *pixels[CORRUPT_FROST_COUNT];

    read_figures();
    test_corrupt_picture(clean, SIDE, SIDE);
    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++) {
        const size_t height = 240 + 16 * i, width = 300 + 8 * i;
        pixels[i] = base_alloc(height * width, 3);
        test_corrupt_picture(pixels[i], height, width);
        config.frost[i] = (corrupt_texture){pixels[i], height, width};
    }
    rig = test_corrupt_open(&config);
    for (int i = 0; i < CORRUPT_FROST_COUNT; i++)
        base_free(pixels[i]);
}

static void close_rig(void)
{
    test_corrupt_close(&rig);
}

static void measure(double found[FIGURES], const unsigned char *pixels)
{
    double sum = 0.0, squares = 0.0;

    for (int i = 0; i < SAMPLES; i++) {
        sum += pixels[i];
        squares += (double)pixels[i] * pixels[i];
    }
    found[0] = test_corrupt_distance(pixels, clean, SAMPLES);
    found[1] = sum / SAMPLES;
    found[2] = sqrt(squares / SAMPLES - found[1] * found[1]);
}

/* Means over KEYS images of random ones. */
static void measure_kind(double found[FIGURES], int kind, int severity)
{
    const int keys = corrupt_kind_is_random((corrupt_kind)kind) ? KEYS : 1;

    memset(found, 0, FIGURES * sizeof *found);
    for (int key = 0; key < keys; key++) {
        double one[FIGURES];
        test_corrupt_apply(&rig, out, clean, SIDE, SIDE, kind, severity, (uint64_t)key);
        measure(one, out);
        for (int f = 0; f < FIGURES; f++)
            found[f] += one[f] / keys;
    }
}

START_TEST(figures_are_the_models)
{
    static const char *const names[FIGURES] = {"distance", "mean", "standard deviation"};

    for (int severity = 1; severity <= CORRUPT_SEVERITY_MAX; severity++) {
        double found[FIGURES];
        measure_kind(found, _i, severity);
        for (int f = 0; f < FIGURES; f++) {
            const figure *model = &known[_i][severity - 1][f];
            const double near =
                model->sd > 0.0 ? SPREADS * model->sd / sqrt(KEYS) + ALLOWANCE : EXACT;
            ck_assert_msg(fabs(found[f] - model->mean) <= near,
                          "%s %d: %s %.4f, the model has %.4f +- %.4f",
                          corrupt_kind_name((corrupt_kind)_i), severity, names[f], found[f],
                          model->mean, model->sd);
        }
    }
}
END_TEST

/* Every pair of severities whose distances differ clearly in the model differs in the same
 * sense here. */
START_TEST(severity_matters_as_in_the_model)
{
    double distance[CORRUPT_SEVERITY_MAX], found[FIGURES];
    int clear = 0;

    for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++) {
        measure_kind(found, _i, s + 1);
        distance[s] = found[0];
    }
    for (int a = 0; a < CORRUPT_SEVERITY_MAX; a++) {
        for (int b = a + 1; b < CORRUPT_SEVERITY_MAX; b++) {
            const figure *low = &known[_i][a][0], *high = &known[_i][b][0];
            const double grows = high->mean - low->mean;
            if (fabs(grows) <= 3.0 * hypot(low->sd, high->sd))
                continue;
            clear++;
            ck_assert_msg((distance[b] - distance[a]) * grows > 0.0,
                          "%s: %.3f at %d, %.3f at %d", corrupt_kind_name((corrupt_kind)_i),
                          distance[a], a + 1, distance[b], b + 1);
        }
    }
    ck_assert_int_ge(clear, 1);
}
END_TEST

/* In the paper's sense, for those whose parameters are one scale: not elastic_transform,
 * whose first two severities are another warp, nor saturate, which takes colour away and
 * then adds it, nor frost and fog, which depend on the draw. */
START_TEST(distance_grows_with_severity)
{
    static const int kinds[] = {CORRUPT_KIND_GAUSSIAN_NOISE, CORRUPT_KIND_SHOT_NOISE,
                                CORRUPT_KIND_IMPULSE_NOISE,  CORRUPT_KIND_DEFOCUS_BLUR,
                                CORRUPT_KIND_MOTION_BLUR,    CORRUPT_KIND_ZOOM_BLUR,
                                CORRUPT_KIND_BRIGHTNESS,     CORRUPT_KIND_CONTRAST,
                                CORRUPT_KIND_PIXELATE,       CORRUPT_KIND_JPEG_COMPRESSION,
                                CORRUPT_KIND_SPECKLE_NOISE,  CORRUPT_KIND_GAUSSIAN_BLUR,
                                CORRUPT_KIND_SPATTER};
    double found[FIGURES];

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        double last = 0.0;
        for (int severity = 1; severity <= CORRUPT_SEVERITY_MAX; severity++) {
            measure_kind(found, kinds[i], severity);
            ck_assert_msg(found[0] > last, "%s %d",
                          corrupt_kind_name((corrupt_kind)kinds[i]), severity);
            last = found[0];
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt scores");
    TCase *core = test_case("Core");
    tcase_add_checked_fixture(core, open_rig, close_rig);
    tcase_add_loop_test(core, figures_are_the_models, 0, CORRUPT_KIND_COUNT);
    tcase_add_loop_test(core, severity_matters_as_in_the_model, 0, CORRUPT_KIND_COUNT);
    tcase_add_test(core, distance_grows_with_severity);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
