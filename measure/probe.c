/* probe.c - linear probes: how well a linear classifier finds a label in vectors
 * (routing.md 11, 3). Multinomial logistic regression, fitted by L-BFGS: Liu and Nocedal
 * 1989, "On the limited memory BFGS method for large scale optimization", algorithm 2.1
 * (two-loop recursion), with backtracking to Armijo's condition, which a convex objective
 * allows; a pair whose curvature is not positive is left out.
 *
 * Products are float32 sums over blocks of rows, added up in double in the order of the
 * rows: no result depends on the number of threads. */
#include "measure/measure.h"

#include <math.h>
#include <string.h>

enum {
    PAIRS = 10, /* of L-BFGS */
    ITERATIONS_MOST = 200,
    HALVINGS_MOST = 30,
    GAIN_STEPS = 5,
    THREADS_FROM = 1 << 18, /* products: fewer are done before a thread wakes up */
    ROWS = 256,             /* summed in float32 before they go to double */
    LANES = 8               /* classes are padded to a multiple of this */
};
static const double GRADIENT_SMALL = 1e-4; /* largest slope at the end */
static const double GAIN_SMALL =
    1e-6; /* relative, over GAIN_STEPS steps: it is flat here */
static const double ARMIJO = 1e-4;

typedef struct fit {
    const float *x;                 /* [n, width], as given */
    size_t n, width, classes, wide; /* wide: classes, padded */
    const int32_t *labels;
    const uint32_t *row; /* [rows] of training */
    size_t rows;
    double l2;
    float *mean, *scale; /* [width] */
    float *z;            /* [rows, width] standardised */
    float *slope;        /* [rows, wide] probability - one-hot */
    double *row_loss;    /* [rows] */
    float *weight;       /* [width + 1, wide] the last row is the bias */
} fit;

/* The scaled row of x. */
static void row_scale(float *out, const fit *f, size_t row)
{
    const float *in = f->x + row * f->width;

    for (size_t d = 0; d < f->width; d++)
        out[d] = (in[d] - f->mean[d]) * f->scale[d];
}

/* logits [wide] of z [width]: a sum over columns, so that the inner loop runs over
 * classes. */
static void logits_of(float *logits, const fit *f, const float *z)
{
    memcpy(logits, f->weight + f->width * f->wide, f->wide * sizeof *logits);
    for (size_t d = 0; d < f->width; d++) {
        const float *w = f->weight + d * f->wide;
        const float a = z[d];

#pragma omp simd
        for (size_t c = 0; c < f->wide; c++)
            logits[c] += a * w[c];
    }
}

/* Softmax of logits in place less the one-hot label; the cross-entropy. */
static double slope_of(float *logits, const fit *f, size_t label)
{
    float largest = logits[0];
    double sum = 0;

    for (size_t c = 1; c < f->classes; c++)
        largest = logits[c] > largest ? logits[c] : largest;
    const double own = (double)logits[label] - (double)largest;
    for (size_t c = 0; c < f->classes; c++) {
        logits[c] = expf(logits[c] - largest);
        sum += (double)logits[c];
    }
    const float scale = (float)(1 / sum);
    for (size_t c = 0; c < f->classes; c++)
        logits[c] *= scale;
    logits[label] -= 1.0f;
    for (size_t c = f->classes; c < f->wide; c++)
        logits[c] = 0.0f;
    return log(sum) - own;
}

/* Rows d of the gradient [width + 1, wide] from the slopes; the last is the bias'. */
static void gradient_row(double *out, const fit *f, size_t d)
{
    enum { WIDE_MOST = 512 }; /* classes at a time */
    float sum[WIDE_MOST];

    memset(out, 0, f->wide * sizeof *out);
    for (size_t from = 0; from < f->wide; from += WIDE_MOST) {
        const size_t lanes = f->wide - from < WIDE_MOST ? f->wide - from : WIDE_MOST;

        for (size_t first = 0; first < f->rows; first += ROWS) {
            const size_t end = first + ROWS < f->rows ? first + ROWS : f->rows;

            memset(sum, 0, lanes * sizeof *sum);
            for (size_t i = first; i < end; i++) {
                const float a = d < f->width ? f->z[i * f->width + d] : 1.0f;
                const float *s = f->slope + i * f->wide + from;

#pragma omp simd
                for (size_t c = 0; c < lanes; c++)
                    sum[c] += a * s[c];
            }
            for (size_t c = 0; c < lanes; c++)
                out[from + c] += (double)sum[c];
        }
    }
}

/* The objective at w [width + 1, wide] and its gradient. */
static double objective(double *gradient, fit *f, const double *w)
{
    const size_t floats = f->width * f->wide, all = floats + f->wide;
    const double n = (double)f->rows;
    const bool large = f->rows * floats >= THREADS_FROM;
    double loss = 0, squares = 0;

    for (size_t i = 0; i < all; i++)
        f->weight[i] = (float)w[i];
#pragma omp parallel for schedule(static) if (large)
    for (size_t i = 0; i < f->rows; i++) {
        float *s = f->slope + i * f->wide;

        logits_of(s, f, f->z + i * f->width);
        f->row_loss[i] = slope_of(s, f, (size_t)f->labels[f->row[i]]);
    }
#pragma omp parallel for schedule(static) if (large)
    for (size_t d = 0; d <= f->width; d++)
        gradient_row(gradient + d * f->wide, f, d);
    for (size_t i = 0; i < f->rows; i++)
        loss += f->row_loss[i];
    for (size_t i = 0; i < all; i++)
        gradient[i] /= n;
    for (size_t i = 0; i < floats; i++) {
        squares += w[i] * w[i];
        gradient[i] += f->l2 * w[i];
    }
    return loss / n + 0.5 * f->l2 * squares;
}

/* ---- L-BFGS -------------------------------------------------------------------------- */

typedef struct memory {
    size_t size;
    double *s[PAIRS], *y[PAIRS], rho[PAIRS];
    size_t count; /* pairs made so far; the last PAIRS are kept */
    double *block;
} memory;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add(double *y, double a, const double *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static double largest(const double *x, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

/* step = - H g by the two-loop recursion. */
static void direction(double *step, const memory *m, const double *g)
{
    const size_t kept = m->count < PAIRS ? m->count : PAIRS;
    double alpha[PAIRS];

    for (size_t i = 0; i < m->size; i++)
        step[i] = -g[i];
    for (size_t j = 0; j < kept; j++) {
        const size_t at = (m->count - 1 - j) % PAIRS;

        alpha[at] = m->rho[at] * dot(m->s[at], step, m->size);
        add(step, -alpha[at], m->y[at], m->size);
    }
    if (kept > 0) {
        const size_t at = (m->count - 1) % PAIRS;
        const double scale = 1 / (m->rho[at] * dot(m->y[at], m->y[at], m->size));

        for (size_t i = 0; i < m->size; i++)
            step[i] *= scale;
    }
    for (size_t j = kept; j-- > 0;) {
        const size_t at = (m->count - 1 - j) % PAIRS;

        add(step, alpha[at] - m->rho[at] * dot(m->y[at], step, m->size), m->s[at], m->size);
    }
}

/* The pair of a step from (w, g) to (w_next, g_next). */
static void pair_keep(memory *m, const double *w, const double *w_next, const double *g,
                      const double *g_next)
{
    const size_t at = m->count % PAIRS;

    for (size_t i = 0; i < m->size; i++) {
        m->s[at][i] = w_next[i] - w[i];
        m->y[at][i] = g_next[i] - g[i];
    }
    const double curvature = dot(m->s[at], m->y[at], m->size);
    if (curvature > 1e-12 * dot(m->y[at], m->y[at], m->size)) {
        m->rho[at] = 1 / curvature;
        m->count++;
    }
}

static void swap(double **a, double **b)
{
    double *held = *a;

    *a = *b;
    *b = held;
}

/* vectors: five of m->size doubles, the first zeroed. Leaves the best weights in
 * f->weight. */
static void minimise(measure_probe *out, fit *f, memory *m, double *vectors[5])
{
    double *w = vectors[0], *g = vectors[1], *w_next = vectors[2], *g_next = vectors[3];
    double *step = vectors[4];
    double value = objective(g, f, w), before[GAIN_STEPS];

    for (out->iterations = 0; out->iterations < ITERATIONS_MOST; out->iterations++) {
        double *past = &before[out->iterations % GAIN_STEPS];

        out->converged =
            largest(g, m->size) < GRADIENT_SMALL ||
            (out->iterations >= GAIN_STEPS && *past - value < GAIN_SMALL * value);
        *past = value;
        if (out->converged)
            break;
        direction(step, m, g);
        const double slope = dot(step, g, m->size);
        double length = m->count > 0 ? 1 : fmin(1, 1 / sqrt(dot(g, g, m->size)));
        bool lower = false;
        for (int h = 0; h < HALVINGS_MOST && !lower; h++, length /= 2) {
            memcpy(w_next, w, m->size * sizeof *w);
            add(w_next, length, step, m->size);
            const double next = objective(g_next, f, w_next);
            lower = next <= value + ARMIJO * length * slope;
            if (lower)
                value = next;
        }
        if (!lower) { /* the noise of float32: as low as it gets */
            out->converged = true;
            break;
        }
        pair_keep(m, w, w_next, g, g_next);
        swap(&w, &w_next);
        swap(&g, &g_next);
    }
    out->loss = value;
    for (size_t i = 0; i < m->size; i++)
        f->weight[i] = (float)w[i];
}

/* ---- the whole ----------------------------------------------------------------------- */

/* Mean and 1 / deviation of each column over the rows of training; 0 for a column that is
 * constant. */
static void scales_find(fit *f)
{
    const double n = (double)f->rows;

#pragma omp parallel for schedule(static)
    for (size_t d = 0; d < f->width; d++) {
        double sum = 0, squares = 0;

        for (size_t i = 0; i < f->rows; i++)
            sum += (double)f->x[f->row[i] * f->width + d];
        for (size_t i = 0; i < f->rows; i++) {
            const double off = (double)f->x[f->row[i] * f->width + d] - sum / n;

            squares += off * off;
        }
        f->mean[d] = (float)(sum / n);
        f->scale[d] = squares > 0 ? (float)(1 / sqrt(squares / n)) : 0.0f;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < f->rows; i++)
        row_scale(f->z + i * f->width, f, f->row[i]);
}

static bool answer_is_right(const fit *f, float *z, float *logits, size_t row)
{
    size_t best = 0;

    row_scale(z, f, row);
    logits_of(logits, f, z);
    for (size_t c = 1; c < f->classes; c++)
        if (logits[c] > logits[best])
            best = c;
    return best == (size_t)f->labels[row];
}

static double share(size_t part, size_t all)
{
    return all > 0 ? (double)part / (double)all : (double)NAN;
}

/* Accuracies of both halves. z [width], logits [wide], counts [classes] are scratch. */
static void classify(measure_probe *out, const fit *f, const bool *held_out, float *z,
                     float *logits, size_t *counts)
{
    size_t right[2] = {0}, most = 0;

    for (size_t i = 0; i < f->n; i++) {
        if (f->labels[i] < 0)
            continue;
        const bool test = held_out[i];

        right[test] += answer_is_right(f, z, logits, i);
        counts[f->labels[i]] += test;
    }
    out->train = share(right[0], out->train_count);
    out->test = share(right[1], out->test_count);
    for (size_t c = 0; c < f->classes; c++)
        most = counts[c] > most ? counts[c] : most;
    out->chance = share(most, out->test_count);
    if (out->test_count > 0)
        out->chance = fmax(out->chance, 1 / (double)f->classes);
}

base_status measure_probe_fit(measure_probe *out, const float *x, const int32_t *labels,
                              const bool *held_out, size_t n, size_t width, size_t classes,
                              double l2, base_error *err)
{
    fit f = {
        .x = x, .n = n, .width = width, .classes = classes, .labels = labels, .l2 = l2};
    measure_probe made = {.train = NAN, .test = NAN, .chance = NAN};
    memory m = {0};
    double *vectors[5];

    f.wide = (classes + LANES - 1) / LANES * LANES;
    m.size = (width + 1) * f.wide;
    for (size_t i = 0; i < n; i++) {
        made.train_count += labels[i] >= 0 && !held_out[i];
        made.test_count += labels[i] >= 0 && held_out[i];
    }
    if (made.train_count == 0 || classes == 0) {
        *out = made;
        return BASE_OK;
    }
    uint32_t *row = base_alloc(made.train_count, sizeof *row);
    float *scales = base_alloc(3 * width + f.wide, sizeof *scales);
    size_t *counts = base_alloc(classes, sizeof *counts);
    base_status status = BASE_OK;
    f.z = base_alloc(made.train_count, width * sizeof *f.z);
    f.slope = base_alloc(made.train_count, f.wide * sizeof *f.slope);
    f.row_loss = base_alloc(made.train_count, sizeof *f.row_loss);
    f.weight = base_alloc(m.size, sizeof *f.weight);
    m.block = base_alloc(m.size, (2 * PAIRS + 5) * sizeof *m.block);
    if (!row || !scales || !counts || !f.z || !f.slope || !f.row_loss || !f.weight ||
        !m.block) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a probe of %zu rows", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0 && !held_out[i])
            row[f.rows++] = (uint32_t)i;
    f.row = row;
    f.mean = scales;
    f.scale = scales + width;
    for (size_t j = 0; j < PAIRS; j++) {
        m.s[j] = m.block + 2 * j * m.size;
        m.y[j] = m.s[j] + m.size;
    }
    for (size_t j = 0; j < 5; j++)
        vectors[j] = m.block + (2 * PAIRS + j) * m.size;
    scales_find(&f);
    minimise(&made, &f, &m, vectors);
    classify(&made, &f, held_out, scales + 2 * width, scales + 3 * width, counts);
    *out = made;
done:
    base_free(m.block);
    base_free(f.weight);
    base_free(f.row_loss);
    base_free(f.slope);
    base_free(f.z);
    base_free(counts);
    base_free(scales);
    base_free(row);
    return status;
}
