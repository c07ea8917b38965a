/* frost_texture.c - procedural pictures of frost, version 1, in place of photographs that
 * are not ours: clouds of value noise, ice ferns that grow and branch at 60 degrees, grain.
 * The power in each band of frequencies and the mean colours are those of the five
 * originals (the design's section 6; a test holds them to it), the shapes are not. Nothing
 * here is free to change: a version is a data set.
 *
 * The plane is a torus of SIDE x SIDE, so a picture has no edge. Arithmetic is f32 in a
 * fixed order, no libm but sqrtf and floorf: the same bytes everywhere. */
#include "corrupt/textures_internal.h"

#include <math.h>
#include <string.h>

enum { SIDE = CORRUPT_FROST_SIDE, CELLS = SIDE * SIDE, BANDS = 4, OCTAVES = 4 };

/* The streams of version 1: purpose CORRUPT, a = this, b = picture. */
static const uint64_t version_key = UINT64_C(0x66726f73742e7631); /* "frost.v1" */

typedef struct recipe {
    float mean[3];         /* red, green, blue */
    float octave[OCTAVES]; /* share of noise with cells of 256, 128, 64, 32 pixels */
    float band[BANDS];     /* deviation of each layer: clouds, then ferns coarse to fine */
    float mist;            /* deviation of noise with cells of 8 pixels */
    int ferns;
    float longest; /* of stems, pixels */
    float gap;     /* between branches, pixels */
    float sign;    /* ferns bright (1) or dark (-1) */
    float grain;   /* deviation of the noise in the ferns' plane */
} recipe;

static const recipe recipes[CORRUPT_FROST_COUNT] = {
    {.mean = {65.4f, 137.4f, 154.4f},
     .octave = {8, 2, 1, 1},
     .band = {14.26f, 2.74f, 3.13f, 5.86f},
     .mist = 4.38f,
     .ferns = 160,
     .longest = 90,
     .gap = 7,
     .sign = 1,
     .grain = 0.3f},
    {.mean = {199.4f, 203.4f, 213.4f},
     .octave = {3, 1, 1, 1},
     .band = {11.15f, 7.64f, 1.43f, 7.42f},
     .mist = 12.24f,
     .ferns = 180,
     .longest = 140,
     .gap = 6,
     .sign = -1,
     .grain = 0.3f},
    {.mean = {204.7f, 208.7f, 218.8f},
     .octave = {3, 1, 1, 1},
     .band = {13.57f, 7.27f, 0.71f, 6.72f},
     .mist = 11.61f,
     .ferns = 180,
     .longest = 140,
     .gap = 6,
     .sign = -1,
     .grain = 0.3f},
    {.mean = {139.6f, 154.6f, 167.7f},
     .octave = {3, 1, 1, 1},
     .band = {13.26f, 8.63f, 5.22f, 11.59f},
     .mist = 13.83f,
     .ferns = 200,
     .longest = 130,
     .gap = 6,
     .sign = 1,
     .grain = 0.3f},
    {.mean = {106.8f, 117.8f, 129.8f},
     .octave = {4, 1, 1, 1},
     .band = {23.57f, 12.60f, 1.38f, 15.02f},
     .mist = 20.15f,
     .ferns = 170,
     .longest = 150,
     .gap = 7,
     .sign = 1,
     .grain = 0.3f},
};

/* ---- layers -------------------------------------------------------------------------- */

/* Mean 0 and the given standard deviation. */
static void normalise(float *plane, float deviation)
{
    double sum = 0.0, squares = 0.0;

    for (size_t i = 0; i < CELLS; i++) {
        sum += (double)plane[i];
        squares += (double)plane[i] * (double)plane[i];
    }
    const double mean = sum / CELLS;
    const float scale = deviation / (float)sqrt(squares / CELLS - mean * mean);
    for (size_t i = 0; i < CELLS; i++)
        plane[i] = (plane[i] - (float)mean) * scale;
}

/* Adds weight times noise that is random on a lattice of that many pixels, smooth
 * between. */
static void add_noise(float *plane, size_t cell, float weight, base_rng *rng)
{
    enum { FINEST = SIDE / 8 };
    const size_t count = SIDE / cell;
    float lattice[FINEST][FINEST], row[FINEST], blend[SIDE];

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            lattice[i][j] = (float)(2.0 * base_rng_uniform(rng) - 1.0) * weight;
    for (size_t i = 0; i < cell; i++) {
        const float t = (float)i / (float)cell;
        blend[i] = t * t * (3.0f - 2.0f * t);
    }
    for (size_t y = 0; y < SIDE; y++) {
        const float *above = lattice[y / cell], *below = lattice[(y / cell + 1) % count];
        const float down = blend[y % cell];
        for (size_t j = 0; j < count; j++)
            row[j] = above[j] + (below[j] - above[j]) * down;
        for (size_t x = 0; x < SIDE; x++) {
            const float left = row[x / cell], right = row[(x / cell + 1) % count];
            plane[y * SIDE + x] += left + (right - left) * blend[x % cell];
        }
    }
}

/* Light spread over the four nearest cells. */
static inline void splat(float *plane, float x, float y, float light)
{
    const float fx = floorf(x), fy = floorf(y);
    const float right = x - fx, low = y - fy;
    const size_t left_at = (size_t)(int32_t)fx & (SIDE - 1),
                 right_at = (left_at + 1) & (SIDE - 1);
    const size_t top = ((size_t)(int32_t)fy & (SIDE - 1)) * SIDE;
    const size_t bottom = (((size_t)(int32_t)fy + 1) & (SIDE - 1)) * SIDE;

    plane[top + left_at] += light * (1.0f - right) * (1.0f - low);
    plane[top + right_at] += light * right * (1.0f - low);
    plane[bottom + left_at] += light * (1.0f - right) * low;
    plane[bottom + right_at] += light * right * low;
}

/* A needle from (x, y) along the unit vector (dx, dy) that thins out, with needles of
 * the next order to both sides; bend: turn in radians a pixel. */
static void grow(float *plane, float x, float y, float dx, float dy, float length,
                 float light, float bend, float gap, int order, base_rng *rng)
{
    enum { LAST_ORDER = 2 };
    const float step = 0.75f, half = 0.5f, sine = 0.8660254f; /* of 60 degrees */
    const float shortest = 3.0f;
    float next = gap * (float)base_rng_uniform(rng);

    for (int i = 0; (float)i * step < length; i++) {
        const float walked = (float)i * step, left = 1.0f - walked / length;
        splat(plane, x, y, light * (0.3f + 0.7f * left));
        if (order < LAST_ORDER && walked >= next) {
            const float twig =
                (length - walked) * (0.3f + 0.3f * (float)base_rng_uniform(rng));
            next += gap * (float)(0.5 + base_rng_uniform(rng));
            if (twig >= shortest) {
                grow(plane, x, y, half * dx - sine * dy, sine * dx + half * dy, twig,
                     light * 0.75f, bend, gap * 1.2f, order + 1, rng);
                grow(plane, x, y, half * dx + sine * dy, half * dy - sine * dx, twig,
                     light * 0.75f, -bend, gap * 1.2f, order + 1, rng);
            }
        }
        x += step * dx;
        y += step * dy;
        const float tx = dx - bend * step * dy, ty = dy + bend * step * dx;
        const float norm = sqrtf(tx * tx + ty * ty);
        dx = tx / norm;
        dy = ty / norm;
    }
}

static void add_ferns(float *plane, const recipe *how, base_rng *rng)
{
    for (int i = 0; i < how->ferns; i++) {
        const float x = (float)(SIDE * base_rng_uniform(rng));
        const float y = (float)(SIDE * base_rng_uniform(rng));
        const float length = how->longest * (float)(0.3 + 0.7 * base_rng_uniform(rng));
        const float light = (float)(0.4 + 0.6 * base_rng_uniform(rng));
        const float bend = (float)(0.02 * base_rng_uniform(rng) - 0.01);
        double cosine, sine;
        corrupt_cos_sin(&cosine, &sine, 360.0 * base_rng_uniform(rng));
        grow(plane, x, y, (float)cosine, (float)sine, length, how->sign * light, bend,
             how->gap, 0, rng);
    }
}

/* One pass of weights 1/4, 1/2, 1/4 along x and along y; work is as large as plane. */
static void smooth(float *plane, float *work)
{
    const float side = 0.25f, middle = 0.5f;

    for (size_t y = 0; y < SIDE; y++) {
        const float *in = plane + y * SIDE;
        float *out = work + y * SIDE;
        out[0] = middle * in[0] + side * (in[SIDE - 1] + in[1]);
        for (size_t x = 1; x + 1 < SIDE; x++)
            out[x] = middle * in[x] + side * (in[x - 1] + in[x + 1]);
        out[SIDE - 1] = middle * in[SIDE - 1] + side * (in[SIDE - 2] + in[0]);
    }
    for (size_t y = 0; y < SIDE; y++) {
        const float *in = work + y * SIDE;
        const float *above = work + ((y + SIDE - 1) % SIDE) * SIDE;
        const float *below = work + (y + 1) % SIDE * SIDE;
        for (size_t x = 0; x < SIDE; x++)
            plane[y * SIDE + x] = middle * in[x] + side * (above[x] + below[x]);
    }
}

/* ---- a picture ----------------------------------------------------------------------- */

static void add(float *to, const float *from)
{
    for (size_t i = 0; i < CELLS; i++)
        to[i] += from[i];
}

/* luma: clouds, mist, and the ferns' plane split by ever wider filters, each layer at
 * its power. The other three are scratch [CELLS]. */
static void make_luma(float *luma, float *plane, float *before, float *work,
                      const recipe *how, base_rng *rng)
{
    /* of weights 1/4, 1/2, 1/4: deviations of 0.7, 1.4 and 2.8 pixels, all passes so far
     * together */
    static const int passes[BANDS] = {0, 12, 3, 1};

    memset(luma, 0, CELLS * sizeof *luma);
    for (size_t k = 0; k < OCTAVES; k++)
        add_noise(luma, (size_t)256 >> k, how->octave[k], rng);
    normalise(luma, how->band[0]);
    memset(before, 0, CELLS * sizeof *before);
    add_noise(before, 8, 1.0f, rng);
    normalise(before, how->mist);
    add(luma, before);

    memset(plane, 0, CELLS * sizeof *plane);
    add_ferns(plane, how, rng);
    normalise(plane, 1.0f);
    corrupt_random_normal(work, CELLS, rng);
    for (size_t i = 0; i < CELLS; i++)
        plane[i] += how->grain * work[i];
    for (size_t band = BANDS - 1; band > 0; band--) {
        memcpy(before, plane, CELLS * sizeof *before);
        for (int i = 0; i < passes[band]; i++)
            smooth(plane, work);
        for (size_t i = 0; i < CELLS; i++)
            before[i] -= plane[i];
        normalise(before, how->band[band]);
        add(luma, before);
    }
}

base_status corrupt_frost_texture(unsigned char *out, size_t index, base_error *err)
{
    enum { PLANES = 4 };
    const recipe *how = &recipes[index];
    base_rng rng = base_rng_make(0, BASE_PURPOSE_CORRUPT, version_key, index, 0);
    float *planes = base_alloc((size_t)PLANES * CELLS, sizeof *planes);

    if (!planes)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the pictures of frost");
    make_luma(planes, planes + CELLS, planes + 2 * CELLS, planes + 3 * CELLS, how, &rng);
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 0; i < CELLS; i++) {
            const float value = planes[i] + how->mean[c] + 0.5f;
            const float low = value > 0.0f ? value : 0.0f;
            out[3 * i + c] = (unsigned char)(int32_t)(low < 255.0f ? low : 255.0f);
        }
    }
    base_free(planes);
    return BASE_OK;
}
