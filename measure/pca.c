/* pca.c - principal components (Pearson 1901): the directions of largest variance, by
 * orthogonal iteration on the covariance with a Rayleigh-Ritz step (Golub and Van Loan
 * 2013, algorithms 8.2.4 and 8.3; Jacobi's method 8.5 for the small matrix). */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

enum {
    GUARDS = 6, /* further vectors, which make the wanted ones settle sooner */
    ROUNDS_MOST = 500,
    SWEEPS_MOST = 60,
    THREADS_FROM = 1 << 18 /* products: fewer are done before a thread wakes up */
};
static const double SETTLED = 1e-9; /* relative change of the variances */

/* covariance [width, width] of the rows of x about mean, of the population. */
static void covariance_make(double *out, const double *mean, const float *x, size_t n,
                            size_t width)
{
#pragma omp parallel for schedule(dynamic, 4) if (n * width * width >= THREADS_FROM)
    for (size_t a = 0; a < width; a++) {
        double *row = out + a * width;

        memset(row, 0, width * sizeof *row);
        for (size_t i = 0; i < n; i++) {
            const float *in = x + i * width;
            const double left = (double)in[a] - mean[a];

#pragma omp simd
            for (size_t b = 0; b <= a; b++)
                row[b] += left * ((double)in[b] - mean[b]);
        }
        for (size_t b = 0; b <= a; b++)
            row[b] /= (double)n;
    }
    for (size_t a = 0; a < width; a++)
        for (size_t b = a + 1; b < width; b++)
            out[a * width + b] = out[b * width + a];
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Gram and Schmidt, twice over, on the rows of q [count, width]; a row that vanishes
 * becomes zero. */
static void orthonormalise(double *q, size_t count, size_t width)
{
    for (size_t i = 0; i < count; i++) {
        double *row = q + i * width;
        const double before = sqrt(dot(row, row, width));

        for (int again = 0; again < 2; again++) {
            for (size_t j = 0; j < i; j++) {
                const double part = dot(row, q + j * width, width);

                for (size_t d = 0; d < width; d++)
                    row[d] -= part * q[j * width + d];
            }
        }
        const double length = sqrt(dot(row, row, width));
        const double scale = length > 1e-12 * before && length > 0 ? 1 / length : 0;
        for (size_t d = 0; d < width; d++)
            row[d] *= scale;
    }
}

/* Turns rows p and q of v [count, count] and of a, columns too: a_pq becomes 0. */
static void rotate(double *a, double *v, size_t count, size_t p, size_t q)
{
    const double apq = a[p * count + q];

    if (apq == 0)
        return;
    const double theta = (a[q * count + q] - a[p * count + p]) / (2 * apq);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t i = 0; i < count; i++) {
        const double x = a[i * count + p], y = a[i * count + q];

        a[i * count + p] = c * x - s * y;
        a[i * count + q] = s * x + c * y;
    }
    for (size_t i = 0; i < count; i++) {
        const double x = a[p * count + i], y = a[q * count + i];
        const double vx = v[p * count + i], vy = v[q * count + i];

        a[p * count + i] = c * x - s * y;
        a[q * count + i] = s * x + c * y;
        v[p * count + i] = c * vx - s * vy;
        v[q * count + i] = s * vx + c * vy;
    }
}

/* Eigenvectors of a (symmetric, used up) into the rows of v, the largest eigenvalue first,
 * into value. */
static void jacobi(double *value, double *v, double *a, size_t count)
{
    memset(v, 0, count * count * sizeof *v);
    for (size_t i = 0; i < count; i++)
        v[i * count + i] = 1;
    for (int sweep = 0; sweep < SWEEPS_MOST; sweep++) {
        double off = 0, all = 0;

        for (size_t i = 0; i < count * count; i++) {
            all += a[i] * a[i];
            off += i % (count + 1) ? a[i] * a[i] : 0;
        }
        if (off <= 1e-28 * all)
            break;
        for (size_t p = 0; p + 1 < count; p++)
            for (size_t q = p + 1; q < count; q++)
                rotate(a, v, count, p, q);
    }
    for (size_t i = 0; i < count; i++)
        value[i] = a[i * count + i];
    for (size_t i = 1; i < count; i++) { /* insertion: a handful of rows */
        for (size_t j = i; j > 0 && value[j] > value[j - 1]; j--) {
            const double held = value[j];

            value[j] = value[j - 1];
            value[j - 1] = held;
            for (size_t d = 0; d < count; d++) {
                const double x = v[j * count + d];

                v[j * count + d] = v[(j - 1) * count + d];
                v[(j - 1) * count + d] = x;
            }
        }
    }
}

/* Everything that the iteration works on. */
typedef struct space {
    size_t width, count; /* of vectors */
    double *mean, *covariance, *q, *image, *small, *turn, *value;
} space;

/* Rows of image = covariance times the rows of q. */
static void apply(space *s)
{
#pragma omp parallel for schedule(static) if (s->count * s->width * s->width >=            \
                                              THREADS_FROM)
    for (size_t d = 0; d < s->width; d++)
        for (size_t i = 0; i < s->count; i++)
            s->image[i * s->width + d] =
                dot(s->covariance + d * s->width, s->q + i * s->width, s->width);
}

/* q becomes the best eigenvectors in the space of its rows (Rayleigh and Ritz); image is
 * scratch. */
static void settle(space *s)
{
    apply(s);
    for (size_t i = 0; i < s->count; i++)
        for (size_t j = 0; j < s->count; j++)
            s->small[i * s->count + j] =
                dot(s->q + i * s->width, s->image + j * s->width, s->width);
    jacobi(s->value, s->turn, s->small, s->count);
    memset(s->image, 0, s->count * s->width * sizeof *s->image);
    for (size_t i = 0; i < s->count; i++)
        for (size_t j = 0; j < s->count; j++)
            for (size_t d = 0; d < s->width; d++)
                s->image[i * s->width + d] +=
                    s->turn[i * s->count + j] * s->q[j * s->width + d];
    memcpy(s->q, s->image, s->count * s->width * sizeof *s->q);
}

static void iterate(space *s, size_t axes, double total)
{
    base_rng rng = base_rng_make(0, BASE_PURPOSE_SUBSET, s->width, axes, 13);
    double before = 0;

    for (size_t i = 0; i < s->count * s->width; i++)
        s->q[i] = base_rng_normal(&rng);
    orthonormalise(s->q, s->count, s->width);
    for (int round = 0; round < ROUNDS_MOST; round++) {
        double sum = 0;

        settle(s);
        for (size_t i = 0; i < axes; i++)
            sum += s->value[i];
        if (round > 2 && fabs(sum - before) <= SETTLED * total)
            return;
        before = sum;
        apply(s);
        memcpy(s->q, s->image, s->count * s->width * sizeof *s->q);
        orthonormalise(s->q, s->count, s->width);
    }
    settle(s);
}

/* Rows of x less the mean on the axes. */
static void project(float *out, const space *s, const float *x, size_t n, size_t axes)
{
    for (size_t i = 0; i < axes; i++) {
        double *q = s->q + i * s->width, most = 0;

        for (size_t d = 0; d < s->width; d++)
            most = fabs(q[d]) > fabs(most) ? q[d] : most;
        for (size_t d = 0; d < s->width && most < 0; d++)
            q[d] = -q[d];
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        for (size_t a = 0; a < axes; a++) {
            double sum = 0;

            for (size_t d = 0; d < s->width; d++)
                sum += ((double)x[i * s->width + d] - s->mean[d]) * s->q[a * s->width + d];
            out[i * axes + a] = (float)sum;
        }
    }
}

base_status measure_pca(float *out, double *variance, double *total, const float *x,
                        size_t n, size_t width, size_t axes, base_error *err)
{
    space s = {.width = width};
    double all = 0;

    s.count = axes + GUARDS < width ? axes + GUARDS : width;
    s.mean = base_alloc(width, sizeof *s.mean);
    s.covariance = base_alloc(width * width, sizeof *s.covariance);
    s.q = base_alloc(s.count * width, sizeof *s.q);
    s.image = base_alloc(s.count * width, sizeof *s.image);
    s.small = base_alloc(s.count * s.count, 2 * sizeof *s.small);
    s.value = base_alloc(s.count, sizeof *s.value);
    base_status status = BASE_OK;
    if (!s.mean || !s.covariance || !s.q || !s.image || !s.small || !s.value) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a covariance of %zu columns",
                           width);
        goto done;
    }
    s.turn = s.small + s.count * s.count;
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < width; d++)
            s.mean[d] += (double)x[i * width + d] / (double)n;
    if (n > 0)
        covariance_make(s.covariance, s.mean, x, n, width);
    for (size_t d = 0; d < width; d++)
        all += s.covariance[d * width + d];
    iterate(&s, axes, all);
    project(out, &s, x, n, axes);
    for (size_t i = 0; variance && i < axes; i++)
        variance[i] = fmax(s.value[i], 0);
    if (total)
        *total = all;
done:
    base_free(s.value);
    base_free(s.small);
    base_free(s.image);
    base_free(s.q);
    base_free(s.covariance);
    base_free(s.mean);
    return status;
}
