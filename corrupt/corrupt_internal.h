/* corrupt_internal.h - what the files of corrupt/ share: the entry of a corruption, the job
 * that it is given, and the building blocks (random fields, filters, zoom, motion, colour).
 * Private to corrupt/ and its tests.
 *
 * A corruption is one file with one corrupt_entry, one line in table.c, one in meson.build.
 *
 * Every file of an algorithm is compiled once per instruction set (meson.build): plain C
 * loops that the compiler turns into vectors, with -ffp-contract=off and no reassociation,
 * so that all of them give the same bytes. Two rules keep this true: no function of libm
 * but sqrt, floor, ceil, fabs and their like (exp, sin ... differ between processors:
 * math.c has its own), and no lane count in the order of a sum. A non-static name of such a
 * file is listed in "instruction sets" below. */
#ifndef CORRUPT_CORRUPT_INTERNAL_H
#define CORRUPT_CORRUPT_INTERNAL_H

#include "corrupt/corrupt.h"

/* ---- instruction sets -------------------------------------------------------------------
 * corrupt_fog becomes corrupt_fog_avx512 in the build for that set. */
#ifndef CORRUPT_SET
#define CORRUPT_SET base /* tests and the files that are compiled once */
#endif
#define CORRUPT_PASTE(name, set) name##_##set
#define CORRUPT_PASTE_VALUES(name, set) CORRUPT_PASTE(name, set)
#define CORRUPT_FOR_SET(name) CORRUPT_PASTE_VALUES(name, CORRUPT_SET)

/* The corruptions. */
#define corrupt_gaussian_noise CORRUPT_FOR_SET(corrupt_gaussian_noise)
#define corrupt_shot_noise CORRUPT_FOR_SET(corrupt_shot_noise)
#define corrupt_impulse_noise CORRUPT_FOR_SET(corrupt_impulse_noise)
#define corrupt_defocus_blur CORRUPT_FOR_SET(corrupt_defocus_blur)
#define corrupt_glass_blur CORRUPT_FOR_SET(corrupt_glass_blur)
#define corrupt_motion_blur CORRUPT_FOR_SET(corrupt_motion_blur)
#define corrupt_zoom_blur CORRUPT_FOR_SET(corrupt_zoom_blur)
#define corrupt_snow CORRUPT_FOR_SET(corrupt_snow)
#define corrupt_frost CORRUPT_FOR_SET(corrupt_frost)
#define corrupt_fog CORRUPT_FOR_SET(corrupt_fog)
#define corrupt_brightness CORRUPT_FOR_SET(corrupt_brightness)
#define corrupt_contrast CORRUPT_FOR_SET(corrupt_contrast)
#define corrupt_elastic_transform CORRUPT_FOR_SET(corrupt_elastic_transform)
#define corrupt_pixelate CORRUPT_FOR_SET(corrupt_pixelate)
#define corrupt_jpeg_compression CORRUPT_FOR_SET(corrupt_jpeg_compression)
#define corrupt_speckle_noise CORRUPT_FOR_SET(corrupt_speckle_noise)
#define corrupt_gaussian_blur CORRUPT_FOR_SET(corrupt_gaussian_blur)
#define corrupt_spatter CORRUPT_FOR_SET(corrupt_spatter)
#define corrupt_saturate CORRUPT_FOR_SET(corrupt_saturate)
#define corrupt_table CORRUPT_FOR_SET(corrupt_table)
/* The building blocks. */
#define corrupt_exp CORRUPT_FOR_SET(corrupt_exp)
#define corrupt_cos_sin CORRUPT_FOR_SET(corrupt_cos_sin)
#define corrupt_random_words CORRUPT_FOR_SET(corrupt_random_words)
#define corrupt_random_uniform CORRUPT_FOR_SET(corrupt_random_uniform)
#define corrupt_random_normal CORRUPT_FOR_SET(corrupt_random_normal)
#define corrupt_gauss_bytes CORRUPT_FOR_SET(corrupt_gauss_bytes)
#define corrupt_gauss_plane CORRUPT_FOR_SET(corrupt_gauss_plane)
#define corrupt_zoom_axis_make CORRUPT_FOR_SET(corrupt_zoom_axis_make)
#define corrupt_zoom_plane CORRUPT_FOR_SET(corrupt_zoom_plane)
#define corrupt_motion CORRUPT_FOR_SET(corrupt_motion)

/* Short vectors of the set's own length for the loops whose sums must stay in registers:
 * GCC's and Clang's extension. Load and store by memcpy. */
#if defined(__AVX512F__)
#define CORRUPT_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define CORRUPT_VECTOR_BYTES 32
#else
#define CORRUPT_VECTOR_BYTES 16
#endif
enum {
    CORRUPT_F64S = CORRUPT_VECTOR_BYTES / 8,
    CORRUPT_F32S = CORRUPT_VECTOR_BYTES / 4,
    CORRUPT_U16S = CORRUPT_VECTOR_BYTES / 2
};
typedef double corrupt_f64s __attribute__((vector_size(CORRUPT_VECTOR_BYTES)));
typedef float corrupt_f32s __attribute__((vector_size(CORRUPT_VECTOR_BYTES)));
typedef uint64_t corrupt_u64s __attribute__((vector_size(CORRUPT_VECTOR_BYTES)));
typedef uint16_t corrupt_u16s __attribute__((vector_size(CORRUPT_VECTOR_BYTES)));
/* As many integers as there are f64 in a vector. */
typedef int32_t corrupt_i32s_of_f64 __attribute__((vector_size(CORRUPT_VECTOR_BYTES / 2)));
typedef uint32_t corrupt_u32s_of_u64 __attribute__((vector_size(CORRUPT_VECTOR_BYTES / 2)));
typedef uint16_t corrupt_u16s_of_f64 __attribute__((vector_size(CORRUPT_VECTOR_BYTES / 4)));
/* A pixel. */
typedef float corrupt_f32x4 __attribute__((vector_size(16)));

/* ---- the table ----------------------------------------------------------------------- */

enum { CORRUPT_PARAMS_MAX = 8 };

/* The numbers of one severity, in the order of the design's tables; unused ones are 0. */
typedef struct corrupt_params {
    double at[CORRUPT_PARAMS_MAX];
} corrupt_params;

/* One image on its way. */
typedef struct corrupt_job {
    corrupt_worker *worker;
    const corrupt_set *set;
    unsigned char *out;      /* [height, width, 3] */
    const unsigned char *in; /* [height, width, 3] */
    size_t height, width;
    corrupt_preset preset;
    int severity;         /* 1..5 */
    const double *params; /* [CORRUPT_PARAMS_MAX] of this preset and severity */
    base_rng rng;         /* the stream of (seed, kind, severity, image key) */
} corrupt_job;

typedef struct corrupt_entry {
    const char *name, *summary;
    corrupt_group group;
    bool random;
    corrupt_params params[CORRUPT_PRESET_COUNT][CORRUPT_SEVERITY_MAX];
    double alexnet[CORRUPT_SEVERITY_MAX]; /* 0: not in the benchmark */
    base_status (*apply)(corrupt_job *job, base_error *err);
    /* Optional, for tables that the images of a severity share: prepare_bytes says how many
     * bytes, prepare fills them once when the set is made, corrupt_prepared gives them to
     * apply. */
    size_t (*prepare_bytes)(const double *params);
    void (*prepare)(void *table, const double *params);
} corrupt_entry;

extern const corrupt_entry corrupt_gaussian_noise, corrupt_shot_noise,
    corrupt_impulse_noise, corrupt_defocus_blur, corrupt_glass_blur, corrupt_motion_blur,
    corrupt_zoom_blur, corrupt_snow, corrupt_frost, corrupt_fog, corrupt_brightness,
    corrupt_contrast, corrupt_elastic_transform, corrupt_pixelate, corrupt_jpeg_compression,
    corrupt_speckle_noise, corrupt_gaussian_blur, corrupt_spatter, corrupt_saturate;

/* All corruptions of one instruction set, by kind (table.c). */
extern const corrupt_entry *const corrupt_table[CORRUPT_KIND_COUNT];

/* ---- what a corruption is given (set.c) ---------------------------------------------- */

/* Scratch of count * bytes_each, aligned to 64, not zeroed, valid until the job ends. NULL
 * with err filled when memory is short. Allocates only while the worker has not seen such
 * an image before. */
void *corrupt_scratch(corrupt_job *job, size_t count, size_t bytes_each, base_error *err);
/* The scratch taken after mark was read may be used again. */
size_t corrupt_scratch_mark(const corrupt_job *job);
void corrupt_scratch_rewind(corrupt_job *job, size_t mark);
/* What the entry's prepare filled for this severity. */
const void *corrupt_prepared(const corrupt_job *job, corrupt_kind kind);

/* Frost's pictures (textures.c): made once a set, read by all threads. */
typedef struct corrupt_textures corrupt_textures;
base_status corrupt_textures_create(corrupt_textures **out, const corrupt_config *config,
                                    base_error *err);
void corrupt_textures_destroy(corrupt_textures *textures);
/* "procedural v1" or "originals". */
const char *corrupt_textures_name(const corrupt_textures *textures);
corrupt_textures *corrupt_set_textures(const corrupt_set *set);

/* The JPEG coder and decoder of one worker (codec.c); made with the worker. */
typedef struct corrupt_codec corrupt_codec;
base_status corrupt_codec_create(corrupt_codec **out, base_error *err);
void corrupt_codec_destroy(corrupt_codec *codec);
corrupt_codec *corrupt_worker_codec(corrupt_worker *worker);

/* Makes the set use one build of the kernels, "base", "avx2" or "avx512", instead of the
 * best one; false when this processor or this build has no such. For tests. */
bool corrupt_set_instructions(corrupt_set *set, const char *name);
const char *corrupt_set_instructions_name(const corrupt_set *set);

/* ---- numbers ------------------------------------------------------------------------- */

/* clip(r, 0, 1) * 255, cut to 8 bits: the scripts' rule, never rounding. r is not NaN. */
static inline unsigned char corrupt_byte(double r)
{
    const double low = r > 0.0 ? r : 0.0;
    const double both = low < 1.0 ? low : 1.0;

    return (unsigned char)(int32_t)(both * 255.0);
}

static inline unsigned char corrupt_byte_f32(float r)
{
    const float low = r > 0.0f ? r : 0.0f;
    const float both = low < 1.0f ? low : 1.0f;

    return (unsigned char)(int32_t)(both * 255.0f);
}

/* Luma of a colour in floats: the weights of OpenCV's grey. */
static inline float corrupt_grey(float red, float green, float blue)
{
    return 0.299f * red + 0.587f * green + 0.114f * blue;
}

/* e^x to about one unit in the last place, -745 <= x <= 709; the same bits everywhere
 * (math.c). */
double corrupt_exp(double x);
/* Cosine and sine of an angle in degrees, |degrees| <= 36000; multiples of 90 are exact. */
void corrupt_cos_sin(double *cosine, double *sine, double degrees);

/* ---- random fields (random.c) -----------------------------------------------------------
 * In runs of 64 values from sixteen Philox blocks: value 16 w + b of a run is word w of
 * block b. Each call starts at a fresh run, so a field may be drawn in pieces of a multiple
 * of 64. */

void corrupt_random_words(uint32_t *out, size_t count, base_rng *rng);
/* Multiples of 2^-24 in [0, 1). */
void corrupt_random_uniform(float *out, size_t count, base_rng *rng);
/* Standard normal (Box-Muller in f32 on 32-bit uniforms: |value| < 6.8). */
void corrupt_random_normal(float *out, size_t count, base_rng *rng);

/* ---- filters (gauss.c) --------------------------------------------------------------- */

typedef enum corrupt_border {
    CORRUPT_BORDER_NEAREST,  /* a a | a b c d | d d */
    CORRUPT_BORDER_SYMMETRIC /* b a | a b c d | d c */
} corrupt_border;

/* trunc(255 clip(G(sigma) x)), x = v / 255, T = 4, nearest, in f64 in the order of scipy:
 * bit-equal to it. out and in [height, width, channels], may be the same. */
base_status corrupt_gauss_bytes(corrupt_job *job, unsigned char *out,
                                const unsigned char *in, size_t height, size_t width,
                                size_t channels, double sigma, base_error *err);
/* G(sigma; border, truncate) of a plane [height, width] in place, in f32. */
base_status corrupt_gauss_plane(corrupt_job *job, float *plane, size_t height, size_t width,
                                double sigma, corrupt_border border, double truncate,
                                base_error *err);

/* ---- zoom (zoom.c) ------------------------------------------------------------------- */

/* Where the outputs of one axis of the clipped zoom sample the input: output k is
 * (1 - part[k]) * in[at[k]] + part[k] * in[at[k] + 1]; at[k] + 1 < extent, or part[k] is
 * 0. */
typedef struct corrupt_zoom_axis {
    uint32_t *at;
    float *part;
} corrupt_zoom_axis;

/* zoom >= 1; the arrays [extent] come from the scratch. */
base_status corrupt_zoom_axis_make(corrupt_zoom_axis *out, corrupt_job *job, size_t extent,
                                   double zoom, base_error *err);
/* Z(plane, zoom): out and in [height, width], apart. */
base_status corrupt_zoom_plane(corrupt_job *job, float *out, const float *in, size_t height,
                               size_t width, double zoom, base_error *err);

/* ---- motion (motion.c) --------------------------------------------------------------- */

/* M(in, radius, sigma, angle in degrees), bit-equal to ImageMagick. out and in
 * [height, width, channels], apart; 1 or 3 channels. */
base_status corrupt_motion(corrupt_job *job, unsigned char *out, const unsigned char *in,
                           size_t height, size_t width, size_t channels, double radius,
                           double sigma, double angle, base_error *err);

#endif
