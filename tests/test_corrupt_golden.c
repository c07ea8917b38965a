/* test_corrupt_golden.c - all corruptions at severities 1, 3 and 5 against the outputs of
 * the published scripts, where those are at hand: below the folder named by VMOE_SHARED.
 * Sample by sample for the deterministic ones; for the others by features beside the
 * reference's own spread from seed to seed. And typical errors, which must fail. Leaves
 * with 77 without the pictures. */
#include <math.h>
#include <stdlib.h>

#include "data/data.h"
#include "tests/test_corrupt.h"
#include "tests/test_corrupt_features.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { SIDE = 224, SAMPLES = SIDE * SIDE * 3, PICTURES = 4, SEVERITIES = 3 };

/* One file: |difference| <= ONE_SPREADS sd + 2 allowances; RARE of all may lie beyond, none
 * beyond HARD times that. Means over files: |difference| <= MEAN_SPREADS standard errors +
 * 1 allowance. */
#define ONE_SPREADS 8.0
#define RARE 0.01
#define HARD 3.0
#define MEAN_SPREADS 5.0

typedef struct spread {
    double mean, sd; /* of the reference's seeds */
    bool known;
} spread;

static const char *const pictures[PICTURES] = {
    "n01537544_indigo_bunting", "n02106030_collie", "n04442312_toaster", "n12144580_corn"};
static const int severities[SEVERITIES] = {1, 3, 5};
static const char *shared;
static unsigned char clean[PICTURES][SAMPLES], candidate[SAMPLES], golden[SAMPLES];
static spread spreads[CORRUPT_KIND_COUNT][PICTURES][SEVERITIES][FEATURE_COUNT];
static test_corrupt rig;

/* ---- files --------------------------------------------------------------------------- */

static void load(unsigned char *pixels, const char *kind, int severity, const char *picture)
{
    const data_decode_limits limits = {1 << 20, 1 << 22};
    data_decoder *decoder = NULL;
    data_health health;
    data_image image = {0};
    base_error err = {0};
    char *path = severity
                     ? base_text("%s/golden/corruptions/%s/%d/%s.png", shared, kind,
                                 severity, picture)
                     : base_text("%s/golden/corruptions/%s/%s.png", shared, kind, picture);

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, &err), BASE_OK);
    ck_assert_msg(data_image_load(&image, &health, decoder, path, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_uint_eq(image.width, SIDE);
    ck_assert_uint_eq(image.height, SIDE);
    ck_assert_uint_eq(image.channels, 3);
    memcpy(pixels, image.pixels, SAMPLES);
    data_image_destroy(&image);
    data_decoder_destroy(decoder);
    base_free(path);
}

static int find(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0)
            return i;
    }
    return -1;
}

/* One line of stats.tsv: file, corruption, severity, feature, mean, sd, min, max, seeds. */
static void read_line(char *line)
{
    char *field[9] = {line};
    int fields = 1;
    corrupt_kind kind;
    double number[4];

    for (char *at = line; *at && fields < 9; at++) {
        if (*at == '\t') {
            *at = 0;
            field[fields++] = at + 1;
        }
    }
    ck_assert_int_eq(fields, 9);
    for (int i = 0; i < 4; i++)
        ck_assert(base_parse_real(&number[i], field[4 + i]));
    ck_assert(corrupt_kind_find(&kind, field[1]));
    const int picture = find(field[0], pictures, PICTURES);
    const int severity = find(field[2], (const char *const[]){"1", "3", "5"}, SEVERITIES);
    ck_assert(picture >= 0 && severity >= 0);
    for (int f = 0; f < FEATURE_COUNT; f++) {
        if (strcmp(field[3], test_features[f].name) == 0)
            spreads[kind][picture][severity][f] =
                (spread){number[0], fmax(number[1], (number[3] - number[2]) / 4.0), true};
    }
}

static void read_all(void)
{
    char *path = base_text("%s/golden/corruptions/stats.tsv", shared), *text, *next;
    size_t bytes;

    for (int p = 0; p < PICTURES; p++)
        load(clean[p], "clean", 0, pictures[p]);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 24, NULL), BASE_OK);
    for (char *line = strchr(text, '\n') + 1; *line;
         line = next) { /* without the heading */
        next = strchr(line, '\n');
        ck_assert_ptr_nonnull(next);
        *next++ = 0;
        read_line(line);
    }
    base_free(text);
    base_free(path);
    rig = test_corrupt_open(NULL);
}

static void close_all(void)
{
    test_corrupt_close(&rig);
}

/* ---- judgement ----------------------------------------------------------------------- */

/* Makes candidate [SAMPLES] for a picture. */
typedef void (*maker)(int kind, int severity, int picture);

static void corrupted(int kind, int severity, int picture)
{
    test_corrupt_apply(&rig, candidate, clean[picture], SIDE, SIDE, kind, severity,
                       corrupt_name_key(pictures[picture]));
}

/* By kind; severity 0: judged by features. */
static const struct exact {
    int most, ceiling; /* levels: all but a share, all */
    double share, mean;
} exact[CORRUPT_KIND_COUNT] = {
    [CORRUPT_KIND_DEFOCUS_BLUR] = {1, 2, .0005, .05},
    [CORRUPT_KIND_ZOOM_BLUR] = {1, 2, .0005, .05},
    [CORRUPT_KIND_GAUSSIAN_BLUR] = {1, 2, .0005, .05},
    [CORRUPT_KIND_CONTRAST] = {1, 2, .0005, .05},
    [CORRUPT_KIND_BRIGHTNESS] = {1, 2, .0005, .12},
    [CORRUPT_KIND_SATURATE] = {1, 4, .005, .35},
    [CORRUPT_KIND_PIXELATE] = {1, 1, 0.0, .02},
    [CORRUPT_KIND_JPEG_COMPRESSION] = {2, 48, .04, .25},
};

static bool judge_samples(char text[256], int kind, maker make)
{
    const struct exact *limit = &exact[kind];

    for (int p = 0; p < PICTURES; p++) {
        for (int s = 0; s < SEVERITIES; s++) {
            int most = 0, above = 0;
            load(golden, corrupt_kind_name((corrupt_kind)kind), severities[s], pictures[p]);
            make(kind, severities[s], p);
            for (int i = 0; i < SAMPLES; i++) {
                const int d = abs(candidate[i] - golden[i]);
                most = d > most ? d : most;
                above += d > limit->most;
            }
            const double mean = test_corrupt_distance(candidate, golden, SAMPLES);
            if (most > limit->ceiling || above > limit->share * SAMPLES ||
                mean > limit->mean) {
                snprintf(text, 256, "%s %d of %s: most %d, %d above %d, mean %.3f",
                         corrupt_kind_name((corrupt_kind)kind), severities[s], pictures[p],
                         most, above, limit->most, mean);
                return false;
            }
        }
    }
    return true;
}

/* Without the photographs frost is asked for colour, weight and roughness only. */
static bool asked(int kind, int feature, bool photographs)
{
    return kind != CORRUPT_KIND_FROST || photographs ||
           (feature >= FEATURE_MEAN && feature < FEATURE_STD) || feature == FEATURE_MAD ||
           (feature >= FEATURE_LBAND && feature < FEATURE_RBAND) ||
           feature == FEATURE_USLOPE;
}

/* Sums over files of the difference and of the variance. */
typedef struct files_sum {
    double difference, variance;
    int files;
} files_sum;

static void files_add(files_sum *sum, double difference, double sd)
{
    sum->difference += difference;
    sum->variance += sd * sd;
    sum->files++;
}

static bool judge_features(char text[256], int kind, maker make, bool photographs)
{
    static files_sum sums[SEVERITIES + 1][FEATURE_COUNT];
    const char *name = corrupt_kind_name((corrupt_kind)kind);
    int all = 0, beyond = 0;

    memset(sums, 0, sizeof sums);
    for (int s = 0; s < SEVERITIES; s++) {
        for (int p = 0; p < PICTURES; p++) {
            double found[FEATURE_COUNT];
            make(kind, severities[s], p);
            test_feature_vector(found, candidate, clean[p], SIDE, SIDE);
            for (int f = 0; f < FEATURE_COUNT; f++) {
                const spread *known = &spreads[kind][p][s][f];
                if (!known->known || !asked(kind, f, photographs))
                    continue;
                const double limit =
                    ONE_SPREADS * known->sd + 2.0 * test_features[f].allowance;
                const double d = found[f] - known->mean, cut = fmin(fmax(d, -limit), limit);
                all++;
                beyond += fabs(d) > limit;
                files_add(&sums[s][f], cut, known->sd);
                files_add(&sums[SEVERITIES][f], cut, known->sd);
                if (fabs(d) > HARD * limit) {
                    snprintf(text, 256, "%s %d of %s: %s %.4g, expected %.4g +- %.2g", name,
                             severities[s], pictures[p], test_features[f].name, found[f],
                             known->mean, known->sd);
                    return false;
                }
            }
        }
    }
    ck_assert_msg(all > 0, "no statistics of %s", name);
    if (beyond > RARE * all) {
        snprintf(text, 256, "%s: %d of %d features beyond their limit", name, beyond, all);
        return false;
    }
    for (int s = 0; s <= SEVERITIES; s++) {
        for (int f = 0; f < FEATURE_COUNT; f++) {
            const files_sum *sum = &sums[s][f];
            if (sum->files &&
                fabs(sum->difference) > MEAN_SPREADS * sqrt(sum->variance) +
                                            test_features[f].allowance * sum->files) {
                snprintf(text, 256, "%s: mean of %s off by %.4g", name,
                         test_features[f].name, sum->difference / sum->files);
                return false;
            }
        }
    }
    return true;
}

static bool judge(char text[256], int kind, maker make)
{
    text[0] = 0;
    return exact[kind].ceiling ? judge_samples(text, kind, make)
                               : judge_features(text, kind, make, false);
}

START_TEST(outputs_pass_the_acceptance)
{
    char text[256];

    ck_assert_msg(judge(text, _i, corrupted), "%s", text);
}
END_TEST

/* The reference's spread is of other seeds: no seed of ours may be special. */
START_TEST(another_seed_passes_too)
{
    corrupt_config config = corrupt_config_defaults();
    char text[256];

    if (exact[_i].ceiling)
        return;
    test_corrupt_close(&rig);
    config.seed = 20261122;
    rig = test_corrupt_open(&config);
    ck_assert_msg(judge(text, _i, corrupted), "%s", text);
}
END_TEST

START_TEST(frost_with_the_photographs_passes_in_full)
{
    static const char *const files[CORRUPT_FROST_COUNT] = {
        "frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"};
    const data_decode_limits limits = {1 << 24, 1 << 24};
    corrupt_config config = corrupt_config_defaults();
    data_image image[CORRUPT_FROST_COUNT] = {0};
    data_decoder *decoder = NULL;
    data_health health;
    char text[256] = "";

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    for (int i = 0; i < CORRUPT_FROST_COUNT; i++) {
        char *path = base_text("%s/data/frost/%s", shared, files[i]);
        const base_status status =
            data_image_load(&image[i], &health, decoder, path, &rig.err);
        base_free(path);
        if (status != BASE_OK)
            goto done; /* the pictures are asked for apart */
        config.frost[i] =
            (corrupt_texture){image[i].pixels, image[i].height, image[i].width};
    }
    test_corrupt_close(&rig);
    rig = test_corrupt_open(&config);
    ck_assert_str_eq(corrupt_set_frost(rig.set), "originals");
    ck_assert_msg(judge_features(text, CORRUPT_KIND_FROST, corrupted, true), "%s", text);
done:
    for (int i = 0; i < CORRUPT_FROST_COUNT; i++)
        data_image_destroy(&image[i]);
    data_decoder_destroy(decoder);
}
END_TEST

/* ---- errors that must be seen -------------------------------------------------------- */

static void untouched(int kind, int severity, int picture)
{
    (void)kind;
    (void)severity;
    memcpy(candidate, clean[picture], SAMPLES);
}

/* The warp of elastic_transform varies so much from seed to seed that 1 and 2, and 3 and 4,
 * cannot be told apart on twelve pictures: two severities on. */
static int steps_of(int kind)
{
    return kind == CORRUPT_KIND_ELASTIC_TRANSFORM ? 2 : 1;
}

static void too_strong(int kind, int severity, int picture)
{
    const int strong = severity + steps_of(kind);

    corrupted(kind, strong < 5 ? strong : 5, picture);
}

static void too_weak(int kind, int severity, int picture)
{
    const int weak = severity - steps_of(kind);

    corrupted(kind, weak > 1 ? weak : 1, picture);
}

static base_rng picture_rng(int severity, int picture)
{
    return base_rng_make(1, BASE_PURPOSE_TEST, (uint64_t)severity, (uint64_t)picture, 0);
}

static void impulse_per_pixel(int kind, int severity, int picture)
{
    base_rng rng = picture_rng(severity, picture);
    const double share =
        corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1].at[0];

    memcpy(candidate, clean[picture], SAMPLES);
    for (int i = 0; i < SAMPLES; i += 3) {
        const double u = base_rng_uniform(&rng);
        if (u < share)
            memset(candidate + i, u < share / 2.0 ? 0 : 255, 3);
    }
}

static void one_plane_for_all_channels(int kind, int severity, int picture)
{
    base_rng rng = picture_rng(severity, picture);
    const double sd = corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1].at[0];
    double n = 0.0;

    for (int i = 0; i < SAMPLES; i++) {
        n = i % 3 == 0 ? base_rng_normal(&rng) : n;
        candidate[i] = corrupt_byte(clean[picture][i] / 255.0 + sd * n);
    }
}

static void shot_noise_as_normal(int kind, int severity, int picture)
{
    base_rng rng = picture_rng(severity, picture);
    const double c = corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1].at[0];

    for (int i = 0; i < SAMPLES; i++) {
        const double x = clean[picture][i] / 255.0;
        candidate[i] = corrupt_byte(x + sqrt(x / c) * base_rng_normal(&rng));
    }
}

static void mirror(unsigned char *pixels)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE * 3 / 2; x++) {
            unsigned char *a = &pixels[(y * SIDE + x / 3) * 3 + x % 3];
            unsigned char *b = &pixels[(y * SIDE + SIDE - 1 - x / 3) * 3 + x % 3];
            const unsigned char kept = *a;
            *a = *b;
            *b = kept;
        }
    }
}

static void motion_reversed(int kind, int severity, int picture)
{
    static unsigned char kept[SAMPLES];

    memcpy(kept, clean[picture], SAMPLES);
    mirror(clean[picture]);
    corrupted(kind, severity, picture);
    memcpy(clean[picture], kept, SAMPLES);
    mirror(candidate);
}

static void motion_symmetric(int kind, int severity, int picture)
{
    static unsigned char one[SAMPLES];

    corrupted(kind, severity, picture);
    memcpy(one, candidate, SAMPLES);
    motion_reversed(kind, severity, picture);
    for (int i = 0; i < SAMPLES; i++)
        candidate[i] = (unsigned char)((one[i] + candidate[i]) / 2);
}

/* As corrupted, with one of its numbers changed. */
static void with_param(int kind, int severity, int picture, int which, double value)
{
    corrupt_params params = corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1];
    base_error err = {0};

    params.at[which] = value;
    corrupt_job job = {.worker = rig.worker,
                       .set = rig.set,
                       .out = candidate,
                       .in = clean[picture],
                       .height = SIDE,
                       .width = SIDE,
                       .preset = CORRUPT_PRESET_224,
                       .severity = severity,
                       .params = params.at,
                       .rng = picture_rng(severity, picture)};
    ck_assert_msg(corrupt_table[kind]->apply(&job, &err) == BASE_OK, "%s", err.text);
}

/* The reference's amplitude is the square of a number that falls by decay: it falls by
 * decay^2. */
static void fog_with_linear_amplitude(int kind, int severity, int picture)
{
    with_param(kind, severity, picture, 1,
               sqrt(corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1].at[1]));
}

static void elastic_without_affine_part(int kind, int severity, int picture)
{
    with_param(kind, severity, picture, 2, 0.0);
}

/* What the script means, and does not do. */
static void glass_as_a_swap(int kind, int severity, int picture)
{
    const double *params = corrupt_table[kind]->params[CORRUPT_PRESET_224][severity - 1].at;
    base_rng rng = picture_rng(severity, picture);
    corrupt_job job = test_corrupt_job(&rig, 0);
    const int d = (int)params[1];
    const uint64_t offsets = 2 * (uint64_t)d;
    unsigned char kept[3];

    ck_assert_int_eq(corrupt_gauss_bytes(&job, candidate, clean[picture], SIDE, SIDE, 3,
                                         params[0], &rig.err),
                     BASE_OK);
    for (int pass = 0; pass < (int)params[2]; pass++) {
        for (int h = SIDE - d; h > d; h--) {
            for (int w = SIDE - d; w > d; w--) {
                const int dx = (int)base_rng_below(&rng, offsets) - d;
                const int dy = (int)base_rng_below(&rng, offsets) - d;
                unsigned char *a = &candidate[(h * SIDE + w) * 3];
                unsigned char *b = &candidate[((h + dy) * SIDE + w + dx) * 3];
                memcpy(kept, a, 3);
                memcpy(a, b, 3);
                memcpy(b, kept, 3);
            }
        }
    }
    ck_assert_int_eq(
        corrupt_gauss_bytes(&job, candidate, candidate, SIDE, SIDE, 3, params[0], &rig.err),
        BASE_OK);
}

START_TEST(clean_and_neighbouring_severities_fail)
{
    char text[256];

    ck_assert_msg(!judge(text, _i, untouched), "%s: clean",
                  corrupt_kind_name((corrupt_kind)_i));
    ck_assert_msg(!judge(text, _i, too_strong), "%s: too strong",
                  corrupt_kind_name((corrupt_kind)_i));
    ck_assert_msg(!judge(text, _i, too_weak), "%s: too weak",
                  corrupt_kind_name((corrupt_kind)_i));
}
END_TEST

static const struct fault {
    int kind;
    maker make;
    const char *name;
} faults[] = {
    {CORRUPT_KIND_IMPULSE_NOISE, impulse_per_pixel, "impulses a pixel, not a sample"},
    {CORRUPT_KIND_GAUSSIAN_NOISE, one_plane_for_all_channels, "one plane of noise"},
    {CORRUPT_KIND_SHOT_NOISE, shot_noise_as_normal, "photons as normal noise"},
    {CORRUPT_KIND_MOTION_BLUR, motion_reversed, "the streak reversed"},
    {CORRUPT_KIND_MOTION_BLUR, motion_symmetric, "the streak to both sides"},
    {CORRUPT_KIND_GLASS_BLUR, glass_as_a_swap, "pixels swapped"},
    {CORRUPT_KIND_FOG, fog_with_linear_amplitude, "linear amplitude of the plasma"},
    {CORRUPT_KIND_ELASTIC_TRANSFORM, elastic_without_affine_part, "no affine part"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

START_TEST(typical_errors_fail)
{
    char text[256];

    ck_assert_msg(!judge(text, faults[_i].kind, faults[_i].make), "%s passes",
                  faults[_i].name);
}
END_TEST

int main(void)
{
    shared = getenv("VMOE_SHARED");
    if (!shared || !*shared)
        return TEST_SKIP;

    Suite *suite = suite_create("corrupt golden");
    TCase *core = test_case("Core");
    tcase_set_timeout(core, 300);
    tcase_add_checked_fixture(core, read_all, close_all);
    tcase_add_loop_test(core, outputs_pass_the_acceptance, 0, CORRUPT_KIND_COUNT);
    tcase_add_loop_test(core, another_seed_passes_too, 0, CORRUPT_KIND_COUNT);
    tcase_add_test(core, frost_with_the_photographs_passes_in_full);
    suite_add_tcase(suite, core);
    TCase *limits = test_case("Faults");
    tcase_set_timeout(limits, 300);
    tcase_add_checked_fixture(limits, read_all, close_all);
    tcase_add_loop_test(limits, clean_and_neighbouring_severities_fail, 0,
                        CORRUPT_KIND_COUNT);
    tcase_add_loop_test(limits, typical_errors_fail, 0, FAULTS);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
