/* parts_internal.h - the steps of single corruptions that are worth a test of their own. */
#ifndef CORRUPT_PARTS_INTERNAL_H
#define CORRUPT_PARTS_INTERNAL_H

#include "corrupt/corrupt_internal.h"

#define corrupt_plasma CORRUPT_FOR_SET(corrupt_plasma)
#define corrupt_canny CORRUPT_FOR_SET(corrupt_canny)
#define corrupt_chamfer CORRUPT_FOR_SET(corrupt_chamfer)
#define corrupt_equalise CORRUPT_FOR_SET(corrupt_equalise)
#define corrupt_relief CORRUPT_FOR_SET(corrupt_relief)
#define corrupt_mean_3x3 CORRUPT_FOR_SET(corrupt_mean_3x3)
#define corrupt_affine CORRUPT_FOR_SET(corrupt_affine)
#define corrupt_warp CORRUPT_FOR_SET(corrupt_warp)
#define corrupt_displace CORRUPT_FOR_SET(corrupt_displace)
#define corrupt_bytes_of_row CORRUPT_FOR_SET(corrupt_bytes_of_row)
#define corrupt_smooth_field CORRUPT_FOR_SET(corrupt_smooth_field)

/* fog.c: the plasma fractal on a torus of side x side, side a power of two. map holds
 * uniforms of [0, 1) on entry, that of a cell where the cell is; its values, the least 0
 * and the greatest 1 (all 0 for side 1), on return. Cannot fail. */
void corrupt_plasma(float *map, size_t side, double decay);

/* spatter.c and edges.c: planes [height, width]. */

/* edges[i] becomes 1 on the edges that Canny finds in bytes with thresholds low and
 * high, else 0. */
base_status corrupt_canny(corrupt_job *job, unsigned char *edges,
                          const unsigned char *bytes, size_t height, size_t width, int low,
                          int high, base_error *err);
/* distance to the nearest edge in 1/65536 pixel by the 5 x 5 chamfer (1, 1.4, 2.1969);
 * far above any side where there is none. */
base_status corrupt_chamfer(corrupt_job *job, int32_t *distance, const unsigned char *edges,
                            size_t height, size_t width, base_error *err);
/* Histogram equalisation of count bytes in place; a constant plane stays. Cannot fail. */
void corrupt_equalise(unsigned char *bytes, size_t count);
/* Correlation with (-2 -1 0) (-1 1 1) (0 1 2), reflect-101, saturated. out and in apart. */
void corrupt_relief(unsigned char *out, const unsigned char *in, size_t height,
                    size_t width);
/* Mean of 3 x 3, reflect-101, rounded to nearest. out and in apart. */
void corrupt_mean_3x3(unsigned char *out, const unsigned char *in, size_t height,
                      size_t width);

/* warp.c: pictures of four floats a pixel, the fourth unused. */

/* The affine map from three points to three others, by rows: x' = m[0] x + m[1] y + m[2],
 * y' = m[3] x + ...; false when the points lie on a line. */
bool corrupt_affine(double m[6], double from[3][2], double to[3][2]);
/* out is in under the affine map m, as OpenCV's warpAffine makes it (1/32 pixel,
 * reflect-101). out and in apart. */
base_status corrupt_warp(corrupt_job *job, float *out, const float *in, size_t height,
                         size_t width, const double m[6], base_error *err);
/* out [height, width, 3] at (y, x) is in at (y + dy, x + dx), symmetric border; fields of
 * |values| below 10^6. */
base_status corrupt_displace(corrupt_job *job, unsigned char *out, const float *in,
                             const float *dx, const float *dy, size_t height, size_t width,
                             base_error *err);
/* out [width, 3] from a row of such a picture; four [width, 4] is scratch. */
void corrupt_bytes_of_row(unsigned char *out, unsigned char *four, const float *row,
                          size_t width);

/* field.c */

/* Uniforms of [-1, 1) [height, width], filtered by G(sigma; symmetric, T = 3), times
 * alpha; in place. */
base_status corrupt_smooth_field(corrupt_job *job, float *field, size_t height,
                                 size_t width, double sigma, float alpha, base_error *err);

#endif
