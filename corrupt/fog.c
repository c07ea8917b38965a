/* fog.c - fog: a plasma fractal added to the image. Follows Hendrycks and Dietterich
 * 2019, make_imagenet_c.py, whose fractal is the diamond-square algorithm (Fournier,
 * Fussell, Carpenter 1982) on a torus with an amplitude that falls by decay squared a
 * level. Relied on elsewhere: which cell a random number belongs to. */
#include "corrupt/parts_internal.h"

/* A cell becomes the mean of four plus amplitude * (2 u - 1), where u is what it holds. */
static inline float grow(float u, float a, float b, float c, float d, float amplitude)
{
    return 0.25f * (a + b + c + d) + amplitude * (2.0f * u - 1.0f);
}

/* One halving of the step: the centres of the squares, then the middles of their sides. */
static void refine(float *map, size_t side, size_t step, float amplitude)
{
    const size_t half = step / 2, mask = side - 1;

    for (size_t i = 0; i < side; i += step) {
        const float *top = map + i * side, *bottom = map + ((i + step) & mask) * side;
        float *to = map + (i + half) * side + half;
        size_t j = 0;
        for (; j + step < side; j += step)
            to[j] =
                grow(to[j], top[j], bottom[j], top[j + step], bottom[j + step], amplitude);
        to[j] = grow(to[j], top[j], bottom[j], top[0], bottom[0], amplitude);
    }
    for (size_t i = 0; i < side; i += step) {
        const float *above = map + ((i - half) & mask) * side + half;
        const float *below = map + (i + half) * side + half;
        const float *left = map + i * side;
        float *to = map + i * side + half;
        size_t j = 0;
        for (; j + step < side; j += step)
            to[j] = grow(to[j], below[j], above[j], left[j], left[j + step], amplitude);
        to[j] = grow(to[j], below[j], above[j], left[j], left[0], amplitude);
    }
    for (size_t i = 0; i < side; i += step) {
        const float *above = map + i * side, *below = map + ((i + step) & mask) * side;
        float *to = map + (i + half) * side;
        const float *right = to + half;
        to[0] = grow(to[0], right[0], right[side - step], above[0], below[0], amplitude);
        for (size_t j = step; j < side; j += step)
            to[j] = grow(to[j], right[j], right[j - step], above[j], below[j], amplitude);
    }
}

void corrupt_plasma(float *map, size_t side, double decay)
{
    const size_t count = side * side;
    double wobble = 100.0;
    float low = 0.0f, high = 0.0f;

    map[0] = 0.0f;
    for (size_t step = side; step >= 2; step /= 2) {
        refine(map, side, step, (float)(wobble * wobble));
        wobble /= decay;
    }
    for (size_t i = 0; i < count; i++) {
        low = map[i] < low ? map[i] : low;
        high = map[i] > high ? map[i] : high;
    }
    const float scale = high > low ? 1.0f / (high - low) : 0.0f;
    for (size_t i = 0; i < count; i++)
        map[i] = (map[i] - low) * scale;
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width, samples = height * width * 3;
    size_t side = 1;
    unsigned char most = 0;

    while (side < height || side < width)
        side *= 2;
    float *map = corrupt_scratch(job, side * side, sizeof *map, err);
    if (!map)
        return BASE_NO_MEMORY;
    corrupt_random_uniform(map, side * side, &job->rng);
    corrupt_plasma(map, side, job->params[1]);

    for (size_t i = 0; i < samples; i++)
        most = job->in[i] > most ? job->in[i] : most;
    const double high = most / 255.0;
    const float thickness = (float)job->params[0];
    const float scale = (float)(high / (high + job->params[0]));
    for (size_t y = 0; y < height; y++) {
        const float *fog = map + y * side;
        const unsigned char *in = job->in + y * width * 3;
        unsigned char *out = job->out + y * width * 3;
        for (size_t x = 0; x < width; x++) {
            const float add = thickness * fog[x];
            out[3 * x] = corrupt_byte_f32((in[3 * x] / 255.0f + add) * scale);
            out[3 * x + 1] = corrupt_byte_f32((in[3 * x + 1] / 255.0f + add) * scale);
            out[3 * x + 2] = corrupt_byte_f32((in[3 * x + 2] / 255.0f + add) * scale);
        }
    }
    return BASE_OK;
}

/* Thickness, decay. */
const corrupt_entry corrupt_fog = {
    .name = "fog",
    .summary = "a plasma fractal laid over the image",
    .group = CORRUPT_GROUP_WEATHER,
    .random = true,
    .params =
        {
            [CORRUPT_PRESET_224] =
                {{{1.5, 2}}, {{2, 2}}, {{2.5, 1.7}}, {{2.5, 1.5}}, {{3, 1.4}}},
            [CORRUPT_PRESET_299] =
                {{{1.5, 2}}, {{2, 2}}, {{2.5, 1.8}}, {{2.5, 1.6}}, {{3, 1.5}}},
            [CORRUPT_PRESET_64] =
                {{{.4, 3}}, {{.7, 3}}, {{1, 2.5}}, {{1.5, 2}}, {{2, 1.75}}},
            [CORRUPT_PRESET_32] =
                {{{.2, 3}}, {{.5, 3}}, {{.75, 2.5}}, {{1, 2}}, {{1.5, 1.75}}},
        },
    .alexnet = {.67474, .76050, .84378, .87260, .94500},
    .apply = apply,
};
