/* corrupt.h - ImageNet-C in C: a clean 8-bit image in, a corrupted 8-bit image out.
 *
 *     base_error err = {0};
 *     corrupt_set *set = NULL;
 *     corrupt_worker *worker = NULL;
 *     corrupt_config config = corrupt_config_defaults();
 *     if (corrupt_set_create(&set, &config, &err) != BASE_OK ||
 *         corrupt_worker_create(&worker, set, &err) != BASE_OK)
 *         return app_fail(&err);
 *     if (corrupt_apply(worker, out, in, 224, 224, CORRUPT_KIND_FOG, 3,
 *                       corrupt_name_key("a/b.JPEG"), &err) != BASE_OK)
 *         return app_fail(&err);
 *     corrupt_worker_destroy(worker);
 *     corrupt_set_destroy(set);
 *
 * Follows the public scripts of Hendrycks and Dietterich 2019, "Benchmarking Neural Network
 * Robustness to Common Corruptions and Perturbations" (ICLR), their slips included: what
 * they published is the benchmark. Images are [H, W, 3], 8-bit sRGB, rows top to bottom,
 * packed. Every random number is keyed by (seed, corruption, severity, image key): an image
 * looks the same alone, in any order, on any thread and on any processor. */
#ifndef CORRUPT_CORRUPT_H
#define CORRUPT_CORRUPT_H

#include "base/base.h"

/* ---- what there is ------------------------------------------------------------------- */

/* In the order of the paper; the first fifteen are the benchmark, the last four for
 * validation. The numbers are part of every random stream: never renumber, only add. */
typedef enum corrupt_kind {
    CORRUPT_KIND_GAUSSIAN_NOISE,
    CORRUPT_KIND_SHOT_NOISE,
    CORRUPT_KIND_IMPULSE_NOISE,
    CORRUPT_KIND_DEFOCUS_BLUR,
    CORRUPT_KIND_GLASS_BLUR,
    CORRUPT_KIND_MOTION_BLUR,
    CORRUPT_KIND_ZOOM_BLUR,
    CORRUPT_KIND_SNOW,
    CORRUPT_KIND_FROST,
    CORRUPT_KIND_FOG,
    CORRUPT_KIND_BRIGHTNESS,
    CORRUPT_KIND_CONTRAST,
    CORRUPT_KIND_ELASTIC_TRANSFORM,
    CORRUPT_KIND_PIXELATE,
    CORRUPT_KIND_JPEG_COMPRESSION,
    CORRUPT_KIND_SPECKLE_NOISE,
    CORRUPT_KIND_GAUSSIAN_BLUR,
    CORRUPT_KIND_SPATTER,
    CORRUPT_KIND_SATURATE,
    CORRUPT_KIND_COUNT
} corrupt_kind;

enum {
    CORRUPT_BENCH_COUNT = 15, /* kinds 0..14 are those of mCE */
    CORRUPT_SEVERITY_MAX = 5, /* severities are 1..5 */
    CORRUPT_SIDE_MAX = 16384  /* pixels a side */
};

/* One corruption at one severity. */
typedef struct corrupt_pair {
    corrupt_kind kind;
    int severity; /* 1..5 */
} corrupt_pair;

typedef enum corrupt_group {
    CORRUPT_GROUP_NOISE,
    CORRUPT_GROUP_BLUR,
    CORRUPT_GROUP_WEATHER,
    CORRUPT_GROUP_DIGITAL,
    CORRUPT_GROUP_EXTRA
} corrupt_group;

/* "gaussian_noise": the name of the folder in ImageNet-C. For ever. */
const char *corrupt_kind_name(corrupt_kind kind);
/* One line for --help: what it does. */
const char *corrupt_kind_summary(corrupt_kind kind);
corrupt_group corrupt_kind_group(corrupt_kind kind);
const char *corrupt_group_name(corrupt_group group); /* "noise" */
/* Whether the outcome depends on the seed. */
bool corrupt_kind_is_random(corrupt_kind kind);
/* False (out untouched) for an unknown name. */
bool corrupt_kind_find(corrupt_kind *out, const char *name);

/* AlexNet's published top-1 error 0..1 on a benchmark corruption (the paper's table; NaN
 * for the extra ones), and on clean images: what mCE divides by. */
double corrupt_alexnet_error(corrupt_kind kind, int severity);
#define CORRUPT_ALEXNET_CLEAN 0.4348

/* ---- settings ------------------------------------------------------------------------ */

/* Which published table of parameters; never interpolated. */
typedef enum corrupt_preset {
    CORRUPT_PRESET_224, /* ImageNet-C */
    CORRUPT_PRESET_299, /* Inception's */
    CORRUPT_PRESET_64,  /* Tiny-ImageNet-C */
    CORRUPT_PRESET_32,  /* CIFAR-10-C, CIFAR-100-C */
    CORRUPT_PRESET_COUNT
} corrupt_preset;

const char *corrupt_preset_name(corrupt_preset preset); /* "224" */
size_t corrupt_preset_side(corrupt_preset preset);      /* 224 */
/* The table whose images are nearest to this size, by the side of a square of the same
 * area; the larger of two that are as near. */
corrupt_preset corrupt_preset_of_size(size_t height, size_t width);

/* A frost photograph: [height, width, 3], 8 bit, borrowed while the set is created. */
typedef struct corrupt_texture {
    const unsigned char *pixels;
    size_t height, width;
} corrupt_texture;

enum { CORRUPT_FROST_COUNT = 5 }; /* frost1 .. frost5: the scripts never draw the sixth */

typedef struct corrupt_config {
    corrupt_preset preset;
    uint64_t seed;
    /* The originals frost1 .. frost5 in order, or all pixels NULL: procedural textures v1,
     * whose numbers are not comparable with published ones (corrupt_set_frost says
     * which). */
    corrupt_texture frost[CORRUPT_FROST_COUNT];
} corrupt_config;

/* Preset 224, seed 0, procedural frost. */
corrupt_config corrupt_config_defaults(void);

/* ---- work ---------------------------------------------------------------------------- */

/* What all threads share and only read: tables, textures. */
typedef struct corrupt_set corrupt_set;
/* config is checked and copied, textures too. The caller destroys *out. */
base_status corrupt_set_create(corrupt_set **out, const corrupt_config *config,
                               base_error *err);
void corrupt_set_destroy(corrupt_set *set);
/* "procedural v1" or "originals". For ever. */
const char *corrupt_set_frost(const corrupt_set *set);

/* Scratch memory of one thread; the set must outlive it. It grows with the first images of
 * a size and is then reused: no allocation an image. */
typedef struct corrupt_worker corrupt_worker;
base_status corrupt_worker_create(corrupt_worker **out, const corrupt_set *set,
                                  base_error *err);
void corrupt_worker_destroy(corrupt_worker *worker);

/* 64-bit key of an image's name, "CLASS/FILE": what names the image in every random
 * stream. */
uint64_t corrupt_name_key(const char *name);

/* out [height, width, 3] from in [height, width, 3]; out must not overlap in. Sides 1 ..
 * CORRUPT_SIDE_MAX; severity 1..5. Sizes that a corruption cannot do are BASE_UNSUPPORTED
 * with one line that says which; else it fails only for want of memory. out is undefined on
 * failure. */
base_status corrupt_apply(corrupt_worker *worker, unsigned char *out,
                          const unsigned char *in, size_t height, size_t width,
                          corrupt_kind kind, int severity, uint64_t image_key,
                          base_error *err);

/* The step that ImageNet-C's stored files went through: JPEG at the quality (1..100; 85
 * there), 4:2:0, and decoded again. out may be in. */
base_status corrupt_jpeg_roundtrip(corrupt_worker *worker, unsigned char *out,
                                   const unsigned char *in, size_t height, size_t width,
                                   int quality, base_error *err);
/* The JPEG file itself (optimised Huffman tables), borrowed until the worker's next
 * call. */
base_status corrupt_jpeg_encode(corrupt_worker *worker, const unsigned char **bytes,
                                size_t *size, const unsigned char *in, size_t height,
                                size_t width, int quality, base_error *err);

/* ---- metrics ------------------------------------------------------------------------- */

/* Top-1 errors 0..1 of a model, by kind and severity (index severity - 1); NaN: not
 * measured. */
typedef struct corrupt_errors {
    double clean;
    double error[CORRUPT_KIND_COUNT][CORRUPT_SEVERITY_MAX];
} corrupt_errors;

/* Hendrycks and Dietterich 2019, section 4.3, all fractions (1 = AlexNet's). NaN where a
 * needed error was not measured: CE needs all five severities, mCE all fifteen
 * corruptions. */
double corrupt_ce(const corrupt_errors *errors, corrupt_kind kind);
double corrupt_relative_ce(const corrupt_errors *errors, corrupt_kind kind,
                           double alexnet_clean);
double corrupt_mce(const corrupt_errors *errors);
double corrupt_relative_mce(const corrupt_errors *errors, double alexnet_clean);
/* Mean error over the measured severities of a kind; over the fifteen (unnormalised
 * mCE). */
double corrupt_mean_error(const corrupt_errors *errors, corrupt_kind kind);
double corrupt_bench_error(const corrupt_errors *errors);

/* ---- as people write them ------------------------------------------------------------ */

enum { CORRUPT_PAIRS_MAX = CORRUPT_KIND_COUNT * CORRUPT_SEVERITY_MAX };

/* Adds the kinds of a list ("fog,noise") of names and groups (noise, blur, weather,
 * digital, extra, bench, all) to kinds; sets *clean for "clean". BASE_USAGE names the word
 * and the nearest known one. */
base_status corrupt_kinds_add(bool kinds[CORRUPT_KIND_COUNT], bool *clean, const char *list,
                              base_error *err);
/* Adds the severities of "3", "1-3", "1,5". */
base_status corrupt_severities_add(bool severities[CORRUPT_SEVERITY_MAX + 1],
                                   const char *list, base_error *err);

/* ---- a worker for each thread -------------------------------------------------------- */

typedef struct corrupt_crew {
    corrupt_set *set;
    corrupt_preset preset;
    size_t
        nearest_to; /* pixels a side that the preset was chosen for and is not of; 0: none to tell */
    corrupt_worker **worker; /* [count] */
    size_t count;
    uint64_t frost_key; /* of the photographs' pixels, 0: procedural */
} corrupt_crew;

base_status corrupt_crew_open(corrupt_crew *out, const corrupt_config *config,
                              size_t workers, base_error *err);
/* Tries every pair once on pictures of size x size, so that what cannot be done is refused
 * before the work begins, and later only memory can fail. */
base_status corrupt_crew_check(const corrupt_crew *crew, const corrupt_pair *pairs,
                               size_t count, size_t size, base_error *err);
void corrupt_crew_close(corrupt_crew *crew); /* zeroed is fine */

#endif
