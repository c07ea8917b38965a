/* router_math.c - softmax, top-k and gates in double precision, row by row.
 * Follows routing.md 0.2 of the design (both gate conventions). Free to change: the loops.
 * Relied on elsewhere: ties go to the lower expert, sums over tokens depend on the shape
 * alone. */
#include "vit/routers/router_kernels_internal.h"
#include "vit/routers/router_math_internal.h"

#include <math.h>
#include <string.h>

/* Rows of n numbers through the vectorised softmax, a chunk at a time. */
static void softmax_rows(double *p, const double *z, size_t n, const vit_route_size *s)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t += VIT_ROUTE_CHUNK) {
        const size_t rows =
            s->tokens - t < VIT_ROUTE_CHUNK ? s->tokens - t : VIT_ROUTE_CHUNK;
        kernels->softmax(p + t * n, z + t * n, NULL, rows, n);
    }
}

void vit_route_softmax(double *p, const double *z, const vit_route_size *s)
{
    softmax_rows(p, z, s->experts, s);
}

void vit_route_softmax_backward(double *d, const double *p, const vit_route_size *s)
{
    const size_t n = s->experts;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        double mean = 0.0;
        for (size_t e = 0; e < n; e++)
            mean += p[t * n + e] * d[t * n + e];
        for (size_t e = 0; e < n; e++)
            d[t * n + e] = p[t * n + e] * (d[t * n + e] - mean);
    }
}

/* Insertion into a list of k: E is small, and a strict comparison keeps the lower index in
 * front. */
static void top_row(uint16_t *expert, const double *score, size_t n, size_t k)
{
    size_t count = 0;

    for (size_t e = 0; e < n; e++) {
        if (count == k && !(score[e] > score[expert[k - 1]]))
            continue;
        size_t at = count < k ? count++ : k - 1;
        for (; at > 0 && score[e] > score[expert[at - 1]]; at--)
            expert[at] = expert[at - 1];
        expert[at] = (uint16_t)e;
    }
}

void vit_route_top(uint16_t *expert, const double *score, const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++)
        top_row(expert + t * s->k, score + t * s->experts, s->experts, s->k);
}

void vit_route_gates(double *gate, const double *p, const uint16_t *expert,
                     const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            gate[a] = p[t * s->experts + expert[a]];
}

void vit_route_gates_backward(double *d_p, const double *d_gate, const uint16_t *expert,
                              const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        memset(d_p + t * s->experts, 0, s->experts * sizeof *d_p);
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            d_p[t * s->experts + expert[a]] = d_gate[a];
    }
}

void vit_route_gates_renorm(double *gate, const double *score, const uint16_t *expert,
                            const vit_route_size *s)
{
    vit_route_gates(gate, score, expert, s);
    softmax_rows(gate, gate, s->k, s);
}

void vit_route_gates_renorm_backward(double *d_score, const double *gate,
                                     const double *d_gate, const uint16_t *expert,
                                     const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const double *a = gate + t * s->k, *d = d_gate + t * s->k;
        double mean = 0.0;
        memset(d_score + t * s->experts, 0, s->experts * sizeof *d_score);
        for (size_t j = 0; j < s->k; j++)
            mean += a[j] * d[j];
        for (size_t j = 0; j < s->k; j++)
            d_score[t * s->experts + expert[t * s->k + j]] = a[j] * (d[j] - mean);
    }
}

void vit_route_gates_sigmoid(double *gate, const double *z, const uint16_t *expert,
                             const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            gate[a] = 1.0 / (1.0 + exp(-z[t * s->experts + expert[a]]));
}

void vit_route_gates_sigmoid_backward(double *d_z, const double *gate, const double *d_gate,
                                      const uint16_t *expert, const vit_route_size *s)
{
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        memset(d_z + t * s->experts, 0, s->experts * sizeof *d_z);
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            d_z[t * s->experts + expert[a]] = d_gate[a] * gate[a] * (1.0 - gate[a]);
    }
}

void vit_route_gates_sigmoid_renorm(double *gate, const double *z, const uint16_t *expert,
                                    const vit_route_size *s)
{
    vit_route_gates_sigmoid(gate, z, expert, s);
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        double *a = gate + t * s->k, sum = 0.0;
        for (size_t j = 0; j < s->k; j++)
            sum += a[j];
        for (size_t j = 0; j < s->k; j++)
            a[j] = sum > 0.0 ? a[j] / sum : 1.0 / (double)s->k;
    }
}

void vit_route_gates_sigmoid_renorm_backward(double *d_z, const double *z,
                                             const double *gate, const double *d_gate,
                                             const uint16_t *expert,
                                             const vit_route_size *s)
{
    vit_route_gates_renorm_backward(d_z, gate, d_gate, expert, s);
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++) {
            const size_t at = t * s->experts + expert[a];
            d_z[at] /= 1.0 + exp(z[at]); /* A (dA - <A, dA>), times 1 - sigmoid */
        }
}

void vit_route_partial_sum(double *sum, const double *partial, size_t chunks,
                           size_t experts)
{
    memcpy(sum, partial, experts * sizeof *sum);
    for (size_t c = 1; c < chunks; c++)
        for (size_t e = 0; e < experts; e++)
            sum[e] += partial[c * experts + e];
}

void vit_route_column_sum(double *sum, const double *a, const vit_route_size *s,
                          double *work)
{
    const size_t n = s->experts, chunks = vit_route_chunks(s->tokens);

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * VIT_ROUTE_CHUNK : s->tokens;
        double *partial = work + c * n;
        memset(partial, 0, n * sizeof *partial);
        for (size_t t = c * VIT_ROUTE_CHUNK; t < end; t++)
            for (size_t e = 0; e < n; e++)
                partial[e] += a[t * n + e];
    }
    vit_route_partial_sum(sum, work, chunks, n);
}
