/* contrast.c - the contrast of two views of the same tokens: each token shall be closer to
 * its own other view than to those of the others. Follows van den Oord et al. 2018,
 * "Representation learning with contrastive predictive coding" (InfoNCE, cosine
 * similarity). dl_ij = (softmax_ij - [i = j]) / S. Products are single precision, sums over
 * a row double; losses are added in the order of the rows. */
#include "vit/routers/contrast_internal.h"

#include <math.h>
#include <string.h>

void vit_contrast_plan(vit_contrast *out, base_arena *arena,
                       const vit_contrast_shape *shape)
{
    const size_t s = shape->rows, d = shape->width;

    out->first = base_arena_take(arena, s * d, sizeof(float));
    out->second = base_arena_take(arena, s * d, sizeof(float));
    out->first_inverse = base_arena_take(arena, s, sizeof(float));
    out->second_inverse = base_arena_take(arena, s, sizeof(float));
    out->share = base_arena_take(arena, s * shape->group, sizeof(float));
    out->spare = base_arena_take(arena, s * d, sizeof(float));
    out->loss = base_arena_take(arena, s, sizeof(double));
}

/* unit [D] = a / |a|, 1 / |a| returned; zeros give zeros and 0. */
static float normalise(float *unit, const float *a, size_t d)
{
    double sum = 0.0;

    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * (double)a[i];
    const float inverse = sum > 0.0 ? (float)(1.0 / sqrt(sum)) : 0.0f;
    for (size_t i = 0; i < d; i++)
        unit[i] = a[i] * inverse;
    return inverse;
}

/* row [n] of l * temp to softmax(l) - [j = own]; returns logsumexp(l) - l_own. */
static double row_forward(float *row, size_t n, size_t own, double temp)
{
    float most = row[0];
    double sum = 0.0;

    for (size_t j = 1; j < n; j++)
        most = row[j] > most ? row[j] : most;
    const double loss = ((double)most - (double)row[own]) / temp;
    for (size_t j = 0; j < n; j++) {
        const double e = exp(((double)row[j] - (double)most) / temp);
        row[j] = (float)e;
        sum += e;
    }
    for (size_t j = 0; j < n; j++)
        row[j] = (float)((double)row[j] / sum);
    row[own] -= 1.0f;
    return loss + log(sum);
}

double vit_contrast_forward(vit_contrast *kept, vit_exec *exec, const float *a,
                            const float *b, const uint32_t *row,
                            const vit_contrast_shape *shape)
{
    const size_t s = shape->rows, n = shape->group, d = shape->width;
    double sum = 0.0;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < s; i++) {
        const size_t at = (row ? row[i] : i) * d;
        kept->first_inverse[i] = normalise(kept->first + i * d, a + at, d);
        kept->second_inverse[i] = normalise(kept->second + i * d, b + at, d);
    }
    for (size_t first = 0; first < s; first += n) {
        const size_t m = s - first < n ? s - first : n;
        vit_route_product(exec, false, true, m, m, d, kept->first + first * d, d,
                          kept->second + first * d, d, 0.0f, kept->share + first * n);
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < s; i++) {
        const size_t first = i / n * n, m = s - first < n ? s - first : n;
        kept->loss[i] = row_forward(kept->share + first * n + (i - first) * m, m, i - first,
                                    shape->temp);
    }
    for (size_t i = 0; i < s; i++)
        sum += kept->loss[i];
    return sum / (double)s;
}

/* Adds to d_a [., D] what a gradient scale * g [S, D] of the unit rows is for the rows:
 * (g - u <u, g>) / |a|. */
static void normalise_backward(float *d_a, float scale, const float *g, const float *unit,
                               const float *inverse, const uint32_t *row, size_t s,
                               size_t d)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < s; i++) {
        const float *gi = g + i * d, *u = unit + i * d;
        float *out = d_a + (row ? row[i] : i) * d;
        double along = 0.0;
        for (size_t j = 0; j < d; j++)
            along += (double)u[j] * (double)gi[j];
        for (size_t j = 0; j < d; j++)
            out[j] += scale * inverse[i] * (gi[j] - u[j] * (float)along);
    }
}

void vit_contrast_backward(vit_contrast *kept, vit_exec *exec, float *d_a, float *d_b,
                           const uint32_t *row, double scale,
                           const vit_contrast_shape *shape)
{
    const size_t s = shape->rows, n = shape->group, d = shape->width;
    const float each = (float)(scale / ((double)s * shape->temp));

    for (int side = 0; side < 2; side++) {
        const float *other = side == 0 ? kept->second : kept->first;
        for (size_t first = 0; first < s; first += n) {
            const size_t m = s - first < n ? s - first : n;
            vit_route_product(exec, side == 1, false, m, d, m, kept->share + first * n, m,
                              other + first * d, d, 0.0f, kept->spare + first * d);
        }
        if (side == 0)
            normalise_backward(d_a, each, kept->spare, kept->first, kept->first_inverse,
                               row, s, d);
        else
            normalise_backward(d_b, each, kept->spare, kept->second, kept->second_inverse,
                               row, s, d);
    }
}
