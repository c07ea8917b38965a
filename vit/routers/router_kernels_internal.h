/* router_kernels_internal.h - the loops over tokens and experts in which routing spends its
 * time, in double precision, compiled for several instruction sets. Private to vit/routers
 * and its tests. */
#ifndef VIT_ROUTERS_ROUTER_KERNELS_INTERNAL_H
#define VIT_ROUTERS_ROUTER_KERNELS_INTERNAL_H

#include <stddef.h>

/* Tokens of a block in which tokens are neighbours and not experts, so that sums over
 * experts need no shuffles. */
enum { VIT_ROUTE_BLOCK = 32 };

typedef struct vit_route_kernels {
    /* p [rows, n] = softmax of each row of z + g; g [n] may be NULL, p may be z. NaN in a
     * row fills it. */
    void (*softmax)(double *p, const double *z, const double *g, size_t rows, size_t n);
    /* kernel [rows, n] = exp(l + g - m), m the maximum of the token: whole blocks of
     * VIT_ROUTE_BLOCK tokens are stored [n, VIT_ROUTE_BLOCK], the tokens after them as
     * rows. Below exp(-708): 0. */
    void (*plan_kernel)(double *kernel, const double *l, const double *g, size_t rows,
                        size_t n);
    /* column [n] = column sums of diag(u) kernel, u = 1 / (kernel v), v [n] */
    void (*plan_columns)(double *column, const double *kernel, const double *v, size_t rows,
                         size_t n);
    /* sum [n] += Phi((z - tau) / sigma), z [n]: the chances of a token's experts; inverse
     * is 1 / sigma. The error is below 1e-15, of chances below 1e-6 also below 4e-6 of
     * themselves. */
    void (*chance_add)(double *sum, const double *z, double tau, double inverse, size_t n);
    /* d [n] += b exp(-((z - tau) / sigma)^2 / 2), b [n]; returns the sum of what it
     * added */
    double (*density_add)(double *d, const double *b, const double *z, double tau,
                          double inverse, size_t n);
} vit_route_kernels;

/* The best set for this processor. */
const vit_route_kernels *vit_route_kernels_get(void);

#endif
