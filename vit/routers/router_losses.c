/* router_losses.c - the auxiliary losses that keep experts busy, each with its gradient.
 * Follows routing.md 1 and 2 of the design: Lepikhin et al. 2021 (GShard), Fedus et al.
 * 2022 (Switch), Zoph et al. 2022 (ST-MoE), Riquelme et al. 2021 (V-MoE, and the code
 * released with it). Free to change: the loops. Relied on elsewhere: values and gradients
 * of one group, unweighted. */
#include "vit/routers/router_kernels_internal.h"
#include "vit/routers/router_math_internal.h"

#include <math.h>
#include <string.h>

/* d_z += scale * p * (a - <p, a>) for every token: the gradient of a loss whose derivative
 * with respect to P_te is a_e for all tokens. */
static void column_gradient_add(double *d_z, double scale, const double *p, const double *a,
                                const vit_route_size *s)
{
    const size_t n = s->experts;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        double mean = 0.0;
        for (size_t e = 0; e < n; e++)
            mean += p[t * n + e] * a[e];
        for (size_t e = 0; e < n; e++)
            d_z[t * n + e] += scale * p[t * n + e] * (a[e] - mean);
    }
}

double vit_route_balance(double *d_z, double scale, const double *p, const uint16_t *expert,
                         bool all, const vit_route_size *s, double *work)
{
    const size_t n = s->experts, step = all ? 1 : s->k;
    double *share = work + vit_route_chunks(s->tokens) * n, *sum = share + n;
    const double counted = (double)(all ? s->tokens * s->k : s->tokens);
    double loss = 0.0;

    vit_route_column_sum(sum, p, s, work);
    memset(share, 0, n * sizeof *share);
    for (size_t a = 0; a < s->tokens * s->k; a += step)
        share[expert[a]] += 1.0;
    for (size_t e = 0; e < n; e++) {
        share[e] *= (double)n / (counted * (double)s->tokens); /* E f_e / T */
        loss += share[e] * sum[e];
    }
    if (d_z)
        column_gradient_add(d_z, scale, p, share, s);
    return loss;
}

double vit_route_z_loss(double *d_z, double scale, const double *z, const double *p,
                        const vit_route_size *s, double *work)
{
    const size_t n = s->experts, chunks = vit_route_chunks(s->tokens);
    double loss = 0.0;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * VIT_ROUTE_CHUNK : s->tokens;
        work[c] = 0.0;
        for (size_t t = c * VIT_ROUTE_CHUNK; t < end; t++) {
            /* logsumexp from the largest probability: z_max - log(p_max), p_max >= 1 / E */
            size_t top = t * n;
            for (size_t i = t * n; i < (t + 1) * n; i++)
                if (z[i] > z[top])
                    top = i;
            const double l = z[top] - log(p[top]);
            work[c] += l * l;
            for (size_t i = t * n; d_z && i < (t + 1) * n; i++)
                d_z[i] += scale * 2.0 / (double)s->tokens * l * p[i];
        }
    }
    for (size_t c = 0; c < chunks; c++)
        loss += work[c];
    return loss / (double)s->tokens;
}

double vit_route_importance(double *d_z, double scale, const double *p,
                            const vit_route_size *s, double *work)
{
    const size_t n = s->experts;
    const double mean = (double)s->tokens / (double)n;
    double *a = work + vit_route_chunks(s->tokens) * n, *sum = a + n;
    double variance = 0.0;

    vit_route_column_sum(sum, p, s, work);
    for (size_t e = 0; e < n; e++) {
        const double off = sum[e] - mean;
        variance += off * off / (double)n;
        a[e] = 2.0 * off / ((double)n * mean * mean);
    }
    if (d_z)
        column_gradient_add(d_z, scale, p, a, s);
    return variance / (mean * mean);
}

/* partial [E] = the sum over tokens first..end-1 of Phi((z - tau) / sigma). */
static void chance_sum(double *partial, const double *z, const double *noisy, double sigma,
                       const uint16_t *expert, size_t first, size_t end,
                       const vit_route_size *s)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();
    const size_t n = s->experts;

    memset(partial, 0, n * sizeof *partial);
    for (size_t t = first; t < end; t++)
        kernels->chance_add(partial, z + t * n, noisy[t * n + expert[t * s->k + s->k - 1]],
                            1.0 / sigma, n);
}

/* d_z += D_te - [e = e*] sum_f D_tf, D = scale b_e phi(u_te) / (sigma T); e* is the k-th
 * best. b is overwritten. */
static void load_gradient_add(double *d_z, double scale, const double *z,
                              const double *noisy, double sigma, const uint16_t *expert,
                              double *b, const vit_route_size *s)
{
    const vit_route_kernels *kernels = vit_route_kernels_get();
    const size_t n = s->experts;
    const double sqrt_two_pi = 2.50662827463100050242;

    for (size_t e = 0; e < n; e++)
        b[e] *= scale / (sqrt_two_pi * sigma * (double)s->tokens);
#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t t = 0; t < s->tokens; t++) {
        const size_t last = t * n + expert[t * s->k + s->k - 1];
        /* the path through the threshold: every row sums to 0 */
        d_z[last] -=
            kernels->density_add(d_z + t * n, b, z + t * n, noisy[last], 1.0 / sigma, n);
    }
}

double vit_route_load(double *d_z, double scale, const double *z, const double *noisy,
                      double sigma, const uint16_t *expert, const vit_route_size *s,
                      double *work)
{
    const size_t n = s->experts, chunks = vit_route_chunks(s->tokens);
    double *b = work + chunks * n, *chance = b + n;
    double mean = 0.0, variance = 0.0;

#pragma omp parallel for schedule(static) if (vit_route_is_large(s))
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * VIT_ROUTE_CHUNK : s->tokens;
        chance_sum(work + c * n, z, noisy, sigma, expert, c * VIT_ROUTE_CHUNK, end, s);
    }
    vit_route_partial_sum(chance, work, chunks, n);
    for (size_t e = 0; e < n; e++) {
        chance[e] /= (double)s->tokens;
        mean += chance[e] / (double)n;
    }
    for (size_t e = 0; e < n; e++)
        variance += (chance[e] - mean) * (chance[e] - mean) / (double)n;
    if (!d_z)
        return variance / (mean * mean);
    for (size_t e = 0; e < n; e++)
        b[e] = 2.0 * (chance[e] - mean) / ((double)n * mean * mean) -
               2.0 * variance / ((double)n * mean * mean * mean);
    load_gradient_add(d_z, scale, z, noisy, sigma, expert, b, s);
    return variance / (mean * mean);
}
