/* tsne.c - points of many dimensions in the plane, neighbours kept: t-SNE, exact. Follows
 * van der Maaten and Hinton 2008, "Visualizing Data using t-SNE", algorithm 1, with its
 * adaptive gains (Jacobs 1988). differs: starts from the two principal components in place
 * of random points (Kobak and Berens 2019), exaggerates by 12 for 250 iterations in place
 * of 4 for 50 and learns at max(n / 48, 50) (the size of the exaggeration's own step;
 * Belkina et al. 2019), so nothing is drawn and a seed means nothing. */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

enum {
    ITERATIONS = 750,
    EARLY = 250,
    SEARCHES = 64,
    THREADS_FROM = 400 /* points: fewer are done before a thread wakes up */
};
static const double PERPLEXITY = 30, EXAGGERATION = 12, SLIGHT = 1e-4, CLOSE = 1e-5;
static const double MOMENTUM[2] = {0.5, 0.8}; /* early and late */
static const float GAIN_LEAST = 0.01f;

/* Row i of squared distances. */
static void distances(float *row, const float *x, size_t i, size_t n, size_t width)
{
    const float *a = x + i * width;

    for (size_t j = 0; j < n; j++) {
        const float *b = x + j * width;
        float sum = 0;

#pragma omp simd reduction(+ : sum)
        for (size_t d = 0; d < width; d++)
            sum += (a[d] - b[d]) * (a[d] - b[d]);
        row[j] = sum;
    }
}

/* Squared distances of row i into p(j | i) whose perplexity is the wanted one: beta = 1 /
 * (2 sigma^2) by bisection. Distances count from the nearest point, else all would round to
 * zero. */
static void conditional(float *row, size_t i, size_t n, double perplexity)
{
    const double wanted = log(perplexity);
    double low = 0, high = INFINITY, beta = 1, sum = 0;
    float nearest = INFINITY, mean = 0;

    for (size_t j = 0; j < n; j++) {
        if (j == i)
            continue;
        nearest = row[j] < nearest ? row[j] : nearest;
        mean += row[j] / (float)(n - 1);
    }
    beta = mean > 0 ? 1 / (double)mean : 1;
    for (int search = 0; search < SEARCHES; search++) {
        double weighted = 0;

        sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double off = (double)(row[j] - nearest);
            const double p = j == i ? 0 : exp(-beta * off);

            sum += p;
            weighted += p * off;
        }
        const double entropy = log(sum) + beta * weighted / sum;
        if (fabs(entropy - wanted) < CLOSE)
            break;
        if (entropy > wanted) { /* too wide */
            low = beta;
            beta = isfinite(high) ? (low + high) / 2 : 2 * beta;
        } else {
            high = beta;
            beta = (low + high) / 2;
        }
    }
    sum = 0;
    for (size_t j = 0; j < n; j++) {
        row[j] = j == i ? 0.0f : (float)exp(-beta * (double)(row[j] - nearest));
        sum += (double)row[j];
    }
    for (size_t j = 0; j < n; j++)
        row[j] = (float)((double)row[j] / sum);
}

/* p [n, n]: p_ij = (p(j | i) + p(i | j)) / 2n. */
static void similarities(float *p, const float *x, size_t n, size_t width,
                         double perplexity)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t i = 0; i < n; i++) {
        distances(p + i * n, x, i, n, width);
        conditional(p + i * n, i, n, perplexity);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            const float both = (p[i * n + j] + p[j * n + i]) / (2.0f * (float)n);

            p[i * n + j] = p[j * n + i] = both;
        }
    }
}

/* One point's pull towards its neighbours, push from all, and share of the sum of all 1 /
 * (1 + d^2). */
typedef struct force {
    float pull[2], push[2];
    float sum;
} force;

static force force_on(const float *p, const float *x, const float *y, size_t i, size_t n)
{
    float pull_x = 0, pull_y = 0, push_x = 0, push_y = 0, sum = 0;
    const float at_x = x[i], at_y = y[i];

#pragma omp simd reduction(+ : pull_x, pull_y, push_x, push_y, sum)
    for (size_t j = 0; j < n; j++) {
        const float dx = at_x - x[j], dy = at_y - y[j];
        const float q = 1.0f / (1.0f + dx * dx + dy * dy);

        sum += q;
        pull_x += p[j] * q * dx;
        pull_y += p[j] * q * dy;
        push_x += q * q * dx;
        push_y += q * q * dy;
    }
    return (force){{pull_x, pull_y}, {push_x, push_y}, sum - 1.0f}; /* itself */
}

typedef struct plane {
    size_t n;
    const float *p; /* [n, n] */
    float *at[2];   /* [n] */
    float *speed[2], *gain[2];
    force *force; /* [n] */
} plane;

/* One step of gradient descent with momentum and gains. */
static void descend(plane *s, double exaggeration, double rate, double momentum)
{
    double z = 0;

#pragma omp parallel for schedule(static) if (s->n >= THREADS_FROM)
    for (size_t i = 0; i < s->n; i++)
        s->force[i] = force_on(s->p + i * s->n, s->at[0], s->at[1], i, s->n);
    for (size_t i = 0; i < s->n; i++)
        z += (double)s->force[i].sum;
    for (int a = 0; a < 2; a++) {
        double mean = 0;

        for (size_t i = 0; i < s->n; i++) {
            const double slope = 4 * (exaggeration * (double)s->force[i].pull[a] -
                                      (double)s->force[i].push[a] / z);
            float *gain = &s->gain[a][i], *speed = &s->speed[a][i];

            *gain = (slope > 0) == (*speed > 0) ? *gain * 0.8f : *gain + 0.2f;
            *gain = *gain > GAIN_LEAST ? *gain : GAIN_LEAST;
            *speed = (float)(momentum * (double)*speed - rate * (double)*gain * slope);
            s->at[a][i] += *speed;
            mean += (double)s->at[a][i] / (double)s->n;
        }
        for (size_t i = 0; i < s->n; i++)
            s->at[a][i] -= (float)mean;
    }
}

/* sum p log(p / q), q = 1 / (1 + d^2) over its sum. */
static double divergence_of(const plane *s)
{
    double z = 0, sum = 0;

    for (size_t i = 0; i < s->n; i++)
        z += (double)force_on(s->p + i * s->n, s->at[0], s->at[1], i, s->n).sum;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t j = 0; j < s->n; j++) {
            const double p = (double)s->p[i * s->n + j];
            const double dx = (double)(s->at[0][i] - s->at[0][j]);
            const double dy = (double)(s->at[1][i] - s->at[1][j]);

            if (p > 0 && i != j)
                sum += p * log(p * z * (1 + dx * dx + dy * dy));
        }
    }
    return sum;
}

/* The principal components, SLIGHT wide along the first. */
static base_status start(plane *s, float *out, const float *x, size_t width,
                         base_error *err)
{
    const size_t axes = width < 2 ? width : 2;
    double variance[2] = {0};
    const base_status status = measure_pca(out, variance, NULL, x, s->n, width, axes, err);
    const double scale = variance[0] > 0 ? SLIGHT / sqrt(variance[0]) : 0;

    for (size_t i = 0; status == BASE_OK && i < s->n; i++) {
        for (size_t a = 0; a < 2; a++) {
            s->at[a][i] = a < axes ? (float)(scale * (double)out[i * axes + a]) : 0.0f;
            s->gain[a][i] = 1.0f;
        }
    }
    return status;
}

base_status measure_tsne(float *out, double *divergence, const float *x, size_t n,
                         size_t width, const measure_tsne_options *options, base_error *err)
{
    const double most = n > 3 ? ((double)n - 1) / 3 : 1;
    const double perplexity =
        fmin(options->perplexity > 0 ? options->perplexity : PERPLEXITY, most);
    const int iterations = options->iterations > 0 ? options->iterations : ITERATIONS;
    const double rate = fmax((double)n / (4 * EXAGGERATION), 50);
    size_t bytes = 0;
    float *p = NULL, *block = base_alloc(6 * n, sizeof *block);
    plane s = {.n = n, .force = base_alloc(n, sizeof *s.force)};
    base_status status = BASE_OK;

    if (base_mul_size(&bytes, n, n * sizeof *p))
        p = base_alloc(bytes, 1);
    if (!p || !block || !s.force) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for t-SNE of %zu points", n);
        goto done;
    }
    for (size_t a = 0; a < 2; a++) {
        s.at[a] = block + 3 * a * n;
        s.speed[a] = s.at[a] + n;
        s.gain[a] = s.speed[a] + n;
    }
    s.p = p;
    if (n > 1)
        similarities(p, x, n, width, perplexity);
    status = start(&s, out, x, width, err);
    if (status != BASE_OK)
        goto done;
    for (int t = 0; t < iterations && n > 1; t++)
        descend(&s, t < EARLY ? EXAGGERATION : 1, rate, MOMENTUM[t >= EARLY]);
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < 2; a++)
            out[2 * i + a] = s.at[a][i];
    if (divergence)
        *divergence = n > 1 ? divergence_of(&s) : 0;
done:
    base_free(s.force);
    base_free(block);
    base_free(p);
    return status;
}
