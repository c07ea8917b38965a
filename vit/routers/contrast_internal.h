/* contrast_internal.h - the contrast of two views of the same tokens (contrast.c). Private
 * to vit/ and its tests. */
#ifndef VIT_ROUTERS_CONTRAST_INTERNAL_H
#define VIT_ROUTERS_CONTRAST_INTERNAL_H

#include "vit/routers/router_pass_internal.h"

/* S rows of width D of either view in groups of `group` rows, the last may be smaller. */
typedef struct vit_contrast_shape {
    size_t rows, group, width;
    double temp; /* > 0 */
} vit_contrast_shape;

/* What is kept from forward to backward. */
typedef struct vit_contrast {
    float *first, *second; /* [S, D] rows of length 1, or 0 */
    float *first_inverse,
        *second_inverse; /* [S] 1 / length of the row given, 0 of a row of zeros */
    float *share;        /* [S, group] softmax_j(l_ij) - [i = j] */
    float *spare;        /* [S, D] */
    double *loss;        /* [S] */
} vit_contrast;

/* Lays it over the arena, or measures it when the arena has no block. */
void vit_contrast_plan(vit_contrast *out, base_arena *arena,
                       const vit_contrast_shape *shape);
/* mean_i (logsumexp_j l_ij - l_ii), l_ij = <a_i, b_j> / temp over the j of i's group, of
 * rows a, b made as long as 1; a row of zeros stays one. Row i of the shape is row[i] of a
 * and b [., D] (NULL: i). InfoNCE, van den Oord et al. 2018, equation 4. */
double vit_contrast_forward(vit_contrast *kept, vit_exec *exec, const float *a,
                            const float *b, const uint32_t *row,
                            const vit_contrast_shape *shape);
/* Adds scale times its gradient to the rows of d_a and d_b [., D]. */
void vit_contrast_backward(vit_contrast *kept, vit_exec *exec, float *d_a, float *d_b,
                           const uint32_t *row, double scale,
                           const vit_contrast_shape *shape);

#endif
