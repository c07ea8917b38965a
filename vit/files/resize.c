/* resize.c - a network for another input size: its position embedding resampled. As
 * timm's resample_abs_pos_embed, which is torch's interpolate(mode = bicubic, antialias
 * = True, align_corners = False): Keys 1981 cubic with a = -0.5 (torch uses -0.75 only
 * without antialias), half-pixel centres, the filter widened by the scale when
 * shrinking, weights normalised to sum 1 at the borders. Separable: columns first, then
 * rows. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "vit/model_internal.h"

static const double cubic_a = -0.5;
static const double cubic_reach = 2.0;

static double cubic(double x)
{
    const double a = cubic_a;
    const double d = fabs(x);

    if (d < 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

/* Weights of output i over inputs *first .. *first + count - 1 into weight; returns
 * count. */
static size_t taps(double *weight, size_t *first, size_t i, size_t new_side,
                   size_t old_side)
{
    const double scale = (double)old_side / (double)new_side;
    const double stretch = scale > 1 ? scale : 1;
    const double centre = scale * ((double)i + 0.5);
    const double reach = cubic_reach * stretch;
    const double low = floor(centre - reach + 0.5);
    const double high = floor(centre + reach + 0.5);
    const size_t from = low > 0 ? (size_t)low : 0;
    const size_t to = high < (double)old_side ? (size_t)high : old_side;
    double sum = 0;

    for (size_t j = from; j < to; j++)
        sum += weight[j - from] = cubic(((double)j - centre + 0.5) / stretch);
    for (size_t j = from; j < to; j++)
        weight[j - from] /= sum;
    *first = from;
    return to - from;
}

/* out [outer, new_side, inner] from in [outer, old_side, inner]; weight: room for
 * old_side. */
static void resample_axis(float *out, size_t new_side, const float *in, size_t old_side,
                          size_t outer, size_t inner, double *weight)
{
    for (size_t i = 0; i < new_side; i++) {
        size_t first = 0;
        const size_t count = taps(weight, &first, i, new_side, old_side);
        for (size_t o = 0; o < outer; o++) {
            float *to = out + (o * new_side + i) * inner;
            const float *from = in + (o * old_side + first) * inner;
            for (size_t d = 0; d < inner; d++) {
                double sum = 0;
                for (size_t j = 0; j < count; j++)
                    sum += weight[j] * (double)from[j * inner + d];
                to[d] = (float)sum;
            }
        }
    }
}

base_status vit_position_resample(float *out, size_t new_side, const float *in,
                                  size_t old_side, size_t width, base_error *err)
{
    float *half = base_alloc(old_side * new_side, width * sizeof *half);
    double *weight = base_alloc(old_side, sizeof *weight);
    const bool good = half && weight;

    if (good) {
        resample_axis(half, new_side, in, old_side, old_side, width, weight);
        resample_axis(out, new_side, half, old_side, 1, new_side * width, weight);
    }
    base_free(weight);
    base_free(half);
    return good ? BASE_OK
                : base_fail(err, BASE_NO_MEMORY,
                            "no memory to resample the position embedding");
}

/* One parameter of the same name into another network; only pos_embed may have another
 * shape. */
static base_status carry_over(vit_model *to, const vit_parameter *p, const vit_model *from,
                              base_error *err)
{
    const vit_parameter *old = vit_model_parameter_find(from, p->name);
    const size_t width = (size_t)to->config.width;
    const size_t kept = vit_config_prefix(&to->config) * width; /* of no patch */
    float *out = to->weights + p->offset;
    const float *in = from->weights + old->offset;

    if (old->count == p->count) {
        memcpy(out, in, p->count * sizeof *out);
        return BASE_OK;
    }
    memcpy(out, in, kept * sizeof *out);
    return vit_position_resample(
        out + kept, (size_t)(to->config.image / to->config.patch), in + kept,
        (size_t)(from->config.image / from->config.patch), width, err);
}

base_status vit_model_resize(vit_model **out, const vit_model *model, int image,
                             base_error *err)
{
    vit_model *m = NULL;
    vit_config config = model->config;

    const vit_router *router = vit_router_find(config.moe.router.name);
    if (router && router->settle && vit_config_is_sparse(&config))
        router->settle(&config);
    config.image = image;
    config.crop = image;
    /* The margin of the evaluation crop keeps its share. vit_model_create refuses odd
     * sizes. */
    const double share = (double)image / (double)model->config.image;
    config.resize = (int)fmax(0, fmin(config.resize * share + 0.5, INT_MAX));
    base_status status = vit_model_create(&m, &config, err);
    for (size_t i = 0; status == BASE_OK && i < m->count; i++)
        status = carry_over(m, &m->parameter[i], model, err);
    if (status == BASE_OK && model->label)
        status = vit_model_labels_set(m, (const char *const *)model->label,
                                      (size_t)config.classes, err);
    if (status == BASE_OK) {
        m->origins = model->origins;
        *out = m;
    } else {
        vit_model_destroy(m);
    }
    return status;
}
