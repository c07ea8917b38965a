/* spatter.c - spatter: drops of water or of mud on the lens. Follows Hendrycks and
 * Dietterich 2019, make_imagenet_c.py: blobs of a blurred field of noise; mud covers,
 * water shines by its distance to the edges of the drops. The operations on the drops:
 * edges.c. */
#include "corrupt/parts_internal.h"

enum { LOC, SD, SIGMA, THRESHOLD, STRENGTH, KIND };
enum { WATER, MUD };
enum { CANNY_LOW = 50, CANNY_HIGH = 150, FARTHEST = 20 /* pixels */ };

static const float mud_colour[3] = {63.0f / 255.0f, 42.0f / 255.0f, 20.0f / 255.0f};
/* pale turquoise */
static const float water_colour[3] = {175.0f / 255.0f, 238.0f / 255.0f, 238.0f / 255.0f};

/* clip(x (1 - m) + m colour), m the blurred mask where it is at least 0.8 */
static base_status throw_mud(corrupt_job *job, float *layer, base_error *err)
{
    const size_t count = job->height * job->width;
    const float threshold = (float)job->params[THRESHOLD];

    for (size_t i = 0; i < count; i++)
        layer[i] = layer[i] > threshold ? 1.0f : 0.0f;
    const base_status status =
        corrupt_gauss_plane(job, layer, job->height, job->width, job->params[STRENGTH],
                            CORRUPT_BORDER_NEAREST, 4.0, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        const float m = layer[i] < 0.8f ? 0.0f : layer[i];
        const unsigned char *in = job->in + 3 * i;
        unsigned char *out = job->out + 3 * i;
        out[0] = corrupt_byte_f32(in[0] / 255.0f * (1.0f - m) + m * mud_colour[0]);
        out[1] = corrupt_byte_f32(in[1] / 255.0f * (1.0f - m) + m * mud_colour[1]);
        out[2] = corrupt_byte_f32(in[2] / 255.0f * (1.0f - m) + m * mud_colour[2]);
    }
    return BASE_OK;
}

/* Mean of 3 x 3, reflect-101, of distances cut at 20 pixels, then cut to whole pixels.
 * OpenCV means in f64 and f32; the values are multiples of 1/65536, and no mean comes
 * near enough to a whole pixel to tell. */
static void whole_pixels(unsigned char *out, int32_t *distance, size_t height, size_t width)
{
    const int32_t farthest = FARTHEST * 65536, nine = 9 * 65536;

    for (size_t i = 0; i < height * width; i++)
        distance[i] = distance[i] < farthest ? distance[i] : farthest;
    for (size_t y = 0; y < height; y++) {
        const int32_t *row = distance + y * width;
        const int32_t *above = y > 0 ? row - width : height > 1 ? row + width : row;
        const int32_t *below = y + 1 < height ? row + width : y > 0 ? row - width : row;
        const size_t last = width - 1;
        unsigned char *to = out + y * width;
        for (size_t x = 1; x < last; x++)
            to[x] = (unsigned char)((above[x - 1] + above[x] + above[x + 1] + row[x - 1] +
                                     row[x] + row[x + 1] + below[x - 1] + below[x] +
                                     below[x + 1]) /
                                    nine);
        for (size_t end = 0; end < 2; end++) { /* the mirror counts one neighbour twice */
            const size_t x = end == 0 ? 0 : last;
            const size_t near = last == 0 ? 0 : end == 0 ? 1 : last - 1;
            to[x] = (unsigned char)((above[x] + row[x] + below[x] +
                                     2 * (above[near] + row[near] + below[near])) /
                                    nine);
        }
    }
}

/* clip(x + m colour), m = strength * drops * relief / its greatest value */
static base_status pour_water(corrupt_job *job, const float *layer, base_error *err)
{
    const size_t height = job->height, width = job->width, count = height * width;
    unsigned char *drops = corrupt_scratch(job, count, 1, err);
    unsigned char *depth = corrupt_scratch(job, count, 1, err);
    unsigned char *relief = corrupt_scratch(job, count, 1, err);
    int32_t *distance = corrupt_scratch(job, count, sizeof *distance, err);
    uint16_t *shine = (uint16_t *)distance; /* when the distances are used up */
    uint32_t most = 0;

    if (!drops || !depth || !relief || !distance)
        return BASE_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        drops[i] = corrupt_byte_f32(layer[i]);
    base_status status =
        corrupt_canny(job, depth, drops, height, width, CANNY_LOW, CANNY_HIGH, err);
    if (status == BASE_OK)
        status = corrupt_chamfer(job, distance, depth, height, width, err);
    if (status != BASE_OK)
        return status;
    whole_pixels(depth, distance, height, width);
    corrupt_equalise(depth, count);
    corrupt_relief(relief, depth, height, width);
    corrupt_mean_3x3(depth, relief, height, width);

    for (size_t i = 0; i < count; i++) {
        const uint32_t product = (uint32_t)drops[i] * depth[i];
        shine[i] = (uint16_t)product;
        most = product > most ? product : most;
    }
    const float per_most = most > 0 ? 1.0f / (float)most : 0.0f;
    const float strength = (float)job->params[STRENGTH] * per_most;
    for (size_t i = 0; i < count; i++) {
        const float m = (float)shine[i] * strength;
        const unsigned char *in = job->in + 3 * i;
        unsigned char *out = job->out + 3 * i;
        out[0] = corrupt_byte_f32(in[0] / 255.0f + m * water_colour[0]);
        out[1] = corrupt_byte_f32(in[1] / 255.0f + m * water_colour[1]);
        out[2] = corrupt_byte_f32(in[2] / 255.0f + m * water_colour[2]);
    }
    return BASE_OK;
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t count = job->height * job->width;
    const float loc = (float)job->params[LOC], sd = (float)job->params[SD];
    const float threshold = (float)job->params[THRESHOLD];
    float *layer = corrupt_scratch(job, count, sizeof *layer, err);

    if (!layer)
        return BASE_NO_MEMORY;
    corrupt_random_normal(layer, count, &job->rng);
    for (size_t i = 0; i < count; i++)
        layer[i] = loc + sd * layer[i];
    const base_status status =
        corrupt_gauss_plane(job, layer, job->height, job->width, job->params[SIGMA],
                            CORRUPT_BORDER_NEAREST, 4.0, err);
    if (status != BASE_OK)
        return status;
    if (job->params[KIND] == (double)MUD)
        return throw_mud(job, layer, err);
    for (size_t i = 0; i < count; i++)
        layer[i] = layer[i] < threshold ? 0.0f : layer[i];
    return pour_water(job, layer, err);
}

const corrupt_entry corrupt_spatter = {
    .name = "spatter",
    .summary = "drops of water or mud on the lens",
    .group = CORRUPT_GROUP_EXTRA,
    .random = true,
    .params =
        {
            [CORRUPT_PRESET_224] = {{{.65, .3, 4, .69, .6, WATER}},
                                    {{.65, .3, 3, .68, .6, WATER}},
                                    {{.65, .3, 2, .68, .5, WATER}},
                                    {{.65, .3, 1, .65, 1.5, MUD}},
                                    {{.67, .4, 1, .65, 1.5, MUD}}},
            [CORRUPT_PRESET_299] = {{{.65, .3, 4, .69, .9, WATER}},
                                    {{.65, .3, 3.5, .68, .9, WATER}},
                                    {{.65, .3, 3, .68, .8, WATER}},
                                    {{.65, .3, 1.2, .65, 1.8, MUD}},
                                    {{.67, .4, 1.2, .65, 1.8, MUD}}},
            [CORRUPT_PRESET_64] = {{{.62, .1, .7, .7, .6, WATER}},
                                   {{.65, .1, .8, .7, .6, WATER}},
                                   {{.65, .3, 1, .69, .6, WATER}},
                                   {{.65, .1, .7, .68, .6, MUD}},
                                   {{.65, .1, .5, .67, .6, MUD}}},
            [CORRUPT_PRESET_32] = {{{.62, .1, .7, .7, .5, WATER}},
                                   {{.65, .1, .8, .7, .5, WATER}},
                                   {{.65, .3, 1, .69, .5, WATER}},
                                   {{.65, .1, .7, .69, .6, MUD}},
                                   {{.65, .1, .5, .68, .6, MUD}}},
        },
    .apply = apply,
};
