/* router_plan.c - balanced assignment by entropic optimal transport, and its exact
 * gradient. Follows Cuturi 2013, "Sinkhorn distances"; "Selective Sinkhorn Routing" (arXiv
 * 2511.08972); the solver and the gradient are those of routing.md 4.3, 4.6 and 4.7 of the
 * design. With row sums exact, a plan is a row softmax of l + g with one potential g_e per
 * expert: only g is sought. Free to change: how g is found. Relied on elsewhere: rows sum
 * to 1, stopping rule, g's mean is 0. */
#include "vit/routers/router_kernels_internal.h"
#include "vit/routers/router_math_internal.h"

#include <math.h>
#include <string.h>

/* How far a potential may move, in nats, before the exponentials are taken anew. What
 * is 0 in between is below exp(-708 + 60) of its row. */
static const double potential_drift = 30.0;
/* Column sums below this are recomputed in logarithms: the sum itself has lost digits. */
static const double column_floor = 1e-290;
/* Numbers of a plan from which its sweeps are shared by threads: one takes 10 numbers a
 * nanosecond, and meeting at the end of a sweep costs 10 to 100 microseconds, most in
 * virtual machines. */
enum { SWEEP_LARGE = 1 << 18 };

/* First token and number of tokens of chunk c. */
static size_t chunk_rows(size_t *first, size_t c, const vit_route_size *s)
{
    *first = c * VIT_ROUTE_CHUNK;
    return s->tokens - *first < VIT_ROUTE_CHUNK ? s->tokens - *first : VIT_ROUTE_CHUNK;
}

/* kernel [T, E] = exp(l + g - m), m the maximum of the row, in the blocks of
 * router_kernels. */
static void exponentials(double *kernel, const double *l, const double *g,
                         const vit_route_size *s)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t c = 0; c < vit_route_chunks(s->tokens); c++) {
        size_t first;
        const size_t rows = chunk_rows(&first, c, s), at = first * s->experts;
        kernels->plan_kernel(kernel + at, l + at, g, rows, s->experts);
    }
}

/* column [E] = column sums of diag(u) kernel diag(v), u making the rows 1. */
static void columns(double *column, const double *kernel, const double *v,
                    const vit_route_size *s, double *work)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();
    const size_t n = s->experts, chunks = vit_route_chunks(s->tokens);

#pragma omp parallel for schedule(static) if (s->tokens * n >= SWEEP_LARGE)
    for (size_t c = 0; c < chunks; c++) {
        size_t first;
        const size_t rows = chunk_rows(&first, c, s);
        kernels->plan_columns(work + c * n, kernel + first * n, v, rows, n);
    }
    vit_route_partial_sum(column, work, chunks, n);
    for (size_t e = 0; e < n; e++)
        column[e] *= v[e];
}

/* plan [T, E] = softmax of the rows of l + g. */
static void plan_rows(double *plan, const double *l, const double *g,
                      const vit_route_size *s)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t c = 0; c < vit_route_chunks(s->tokens); c++) {
        size_t first;
        const size_t rows = chunk_rows(&first, c, s), at = first * s->experts;
        kernels->softmax(plan + at, l + at, g, rows, s->experts);
    }
}

/* log(exp(a) + exp(b)), a may be -infinity. */
static double log_add(double a, double b)
{
    const double top = a > b ? a : b;

    return isinf(a) ? b : top + log1p(exp(-fabs(a - b)));
}

/* log of the sum of column e of the plan, for a column that underflows. Rare, so one
 * thread. */
static double log_column(size_t e, const double *l, const double *g,
                         const vit_route_size *s)
{
    const size_t n = s->experts;
    double sum = -INFINITY;

    for (size_t t = 0; t < s->tokens; t++) {
        double row = -INFINITY;
        for (size_t f = 0; f < n; f++)
            row = log_add(row, l[t * n + f] + g[f]);
        sum = log_add(sum, l[t * n + e] + g[e] - row);
    }
    return sum;
}

/* g_e = log s - logsumexp_t l_te: then iteration n has the plan of the paper's n-th update
 * from u = 1 (routing.md 4.3). */
static void start_as_paper(double *g, const double *l, const vit_route_size *s)
{
    const size_t n = s->experts;
    const double target = log((double)s->tokens / (double)n);

    for (size_t e = 0; e < n; e++) {
        double sum = -INFINITY;
        for (size_t t = 0; t < s->tokens; t++)
            sum = log_add(sum, l[t * n + e]);
        g[e] = target - sum;
    }
}

static void centre(double *g, size_t n)
{
    double mean = 0.0;

    for (size_t e = 0; e < n; e++)
        mean += g[e] / (double)n;
    for (size_t e = 0; e < n; e++)
        g[e] -= mean;
}

/* v = exp(g - base), after taking the kernel anew around g when g has moved far. */
static void scalings(double *v, double *base, double *kernel, const double *l,
                     const double *g, const vit_route_size *s)
{
    const size_t n = s->experts;
    double far = 0.0;

    for (size_t e = 0; e < n; e++)
        far = fmax(far, fabs(g[e] - base[e]));
    if (far > potential_drift) {
        memcpy(base, g, n * sizeof *base);
        exponentials(kernel, l, base, s);
    }
    for (size_t e = 0; e < n; e++)
        v[e] = exp(g[e] - base[e]);
}

vit_route_plan_result vit_route_plan(double *plan, double *g, const double *l,
                                     const vit_route_size *s,
                                     const vit_route_plan_rule *rule, double *trace,
                                     double *work)
{
    const size_t n = s->experts;
    const double target = (double)s->tokens / (double)n;
    const double limit = rule->delta * fmax(1.0, target);
    double *column = work + vit_route_chunks(s->tokens) * n;
    double *v = column + n, *base = v + n;
    vit_route_plan_result result = {0};

    memset(g, 0, n * sizeof *g);
    if (rule->paper_init)
        start_as_paper(g, l, s);
    centre(g, n);
    memcpy(base, g, n * sizeof *base);
    exponentials(plan, l, base, s); /* plan holds the kernel until the end */
    for (int i = 0; i < rule->max_iter; i++) {
        scalings(v, base, plan, l, g, s);
        columns(column, plan, v, s, work);
        double squares = 0.0;
        for (size_t e = 0; e < n; e++)
            squares += (column[e] - target) * (column[e] - target);
        result.residual = sqrt(squares);
        result.iterations = i + 1;
        if (trace)
            trace[i] = result.residual;
        result.converged = result.residual < limit;
        if (result.converged || !isfinite(result.residual) || i + 1 == rule->max_iter)
            break;
        for (size_t e = 0; e < n; e++) /* v, the old exponent, becomes the step of g */
            v[e] = log(target) -
                   (column[e] < column_floor ? log_column(e, l, g, s) : log(column[e]));
        for (size_t e = 0; e < n; e++)
            g[e] += v[e];
        centre(g, n);
    }
    plan_rows(plan, l, g, s);
    return result;
}

/* ---- the gradient -------------------------------------------------------------------- */

enum {
    LAPLACIAN_ROWS = 8
}; /* rows of m made together, so that they stay in the first cache */

void vit_route_laplacian(double *m, const double *plan, const vit_route_size *s,
                         double *work)
{
    const size_t n = s->experts;
    double *column = work + vit_route_chunks(s->tokens) * n;

    memset(m, 0, n * n * sizeof *m);
    /* Each entry is summed over the tokens in order by one thread. */
#pragma omp parallel for schedule(dynamic) if (n > LAPLACIAN_ROWS && vit_route_is_large(s))
    for (size_t first = 0; first < n; first += LAPLACIAN_ROWS) {
        const size_t end = first + LAPLACIAN_ROWS < n ? first + LAPLACIAN_ROWS : n;
        for (size_t t = 0; t < s->tokens; t++) {
            const double *row = plan + t * n;
            for (size_t e = first; e < end; e++)
                for (size_t f = first; f < n; f++)
                    m[e * n + f] -= row[e] * row[f];
        }
    }
    for (size_t e = 0; e < n; e++)
        for (size_t f = 0; f < e; f++)
            m[e * n + f] = m[f * n + e];
    vit_route_column_sum(column, plan, s, work);
    for (size_t e = 0; e < n; e++)
        m[e * n + e] += column[e];
}

/* m, leading count x count block with row length n, to its lower Cholesky factor in place.
 * A pivot that vanishes beside the trace is lifted (routing.md 4.6). */
static size_t cholesky(double *m, size_t count, size_t n)
{
    double trace = 0.0;
    size_t lifted = 0;

    for (size_t e = 0; e < n; e++)
        trace += m[e * n + e];
    const double unit = trace / (double)n;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = m[i * n + j];
            for (size_t f = 0; f < j; f++)
                sum -= m[i * n + f] * m[j * n + f];
            if (j < i) {
                m[i * n + j] = sum / m[j * n + j];
                continue;
            }
            if (!(sum >= 1e-12 * unit) || !(sum > 0.0)) {
                lifted++;
                sum = sum > 0.0 ? sum + 1e-10 * unit : 1e-10 * unit;
                if (!(sum > 0.0))
                    sum = 1.0; /* no mass between experts at all: the potentials do not move
                                */
            }
            m[i * n + i] = sqrt(sum);
        }
    }
    return lifted;
}

size_t vit_route_laplacian_solve(double *q, double *m, const double *w, size_t experts)
{
    const size_t n = experts, count = n - 1;
    const size_t lifted = cholesky(m, count, n);

    for (size_t i = 0; i < count; i++) {
        double sum = w[i];
        for (size_t f = 0; f < i; f++)
            sum -= m[i * n + f] * q[f];
        q[i] = sum / m[i * n + i];
    }
    for (size_t i = count; i-- > 0;) {
        double sum = q[i];
        for (size_t f = i + 1; f < count; f++)
            sum -= m[f * n + i] * q[f];
        q[i] = sum / m[i * n + i];
    }
    q[count] = 0.0;
    return lifted;
}

/* d_c = (h - plan * (p + q)) / xi with p = sum_e (h - plan * q) of the row. */
static void plan_gradient(double *d_c, const double *h, const double *plan, const double *q,
                          double xi, const vit_route_size *s)
{
    const size_t n = s->experts;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        double p = 0.0;
        for (size_t e = 0; e < n; e++)
            p += h[t * n + e] - (q ? plan[t * n + e] * q[e] : 0.0);
        for (size_t e = 0; e < n; e++)
            d_c[t * n + e] = (h[t * n + e] - plan[t * n + e] * (p + (q ? q[e] : 0.0))) / xi;
    }
}

size_t vit_route_plan_backward(double *d_c, const double *h, const double *plan, double xi,
                               const vit_route_size *s, double *work)
{
    const size_t n = s->experts;
    double *w = work + vit_route_work(s), *q = w + n, *m = q + n;

    /* w - plan^T (row sums of h), step 2 of 4.7 with rows that sum to 1: the column sums of
     * what frozen potentials would give */
    plan_gradient(d_c, h, plan, NULL, 1.0, s);
    vit_route_column_sum(w, d_c, s, work);
    vit_route_laplacian(m, plan, s, work);
    const size_t lifted = vit_route_laplacian_solve(q, m, w, n);
    plan_gradient(d_c, h, plan, q, xi, s);
    return lifted;
}

void vit_route_plan_frozen(double *d_c, const double *h, const double *plan, double xi,
                           const vit_route_size *s)
{
    plan_gradient(d_c, h, plan, NULL, xi, s);
}
