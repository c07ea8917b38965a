/* kernels_parts_internal.h - the functions of one set of kernels, named by the set
 * (DATA_KERNELS_SET is data_kernels_avx2, say), and which intrinsics it may use. */
#ifndef DATA_KERNELS_PARTS_INTERNAL_H
#define DATA_KERNELS_PARTS_INTERNAL_H

#include "data/kernels_internal.h"

#ifndef DATA_KERNELS_SET /* one set alone, as fuzzers build it */
#define DATA_KERNELS_SET data_kernels_base
#define DATA_KERNELS_ISA "base"
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define KERNELS_AVX512
#elif defined(__AVX2__) && defined(__BMI2__) && defined(__FMA__)
#define KERNELS_AVX2
#endif

#define KERNELS_PASTE(set, name) set##_##name
#define KERNELS_NAME(set, name) KERNELS_PASTE(set, name)
#define kernels_pack KERNELS_NAME(DATA_KERNELS_SET, pack)
#define kernels_across KERNELS_NAME(DATA_KERNELS_SET, across)
#define kernels_down KERNELS_NAME(DATA_KERNELS_SET, down)
#define kernels_pack_rgb KERNELS_NAME(DATA_KERNELS_SET, pack_rgb)
#define kernels_unpack_rgb KERNELS_NAME(DATA_KERNELS_SET, unpack_rgb)
#define kernels_normalise KERNELS_NAME(DATA_KERNELS_SET, normalise)
#define kernels_idct KERNELS_NAME(DATA_KERNELS_SET, idct)
#define kernels_idct_small KERNELS_NAME(DATA_KERNELS_SET, idct_small)
#define kernels_double_row KERNELS_NAME(DATA_KERNELS_SET, double_row)
#define kernels_double_rows KERNELS_NAME(DATA_KERNELS_SET, double_rows)
#define kernels_ycc_rgbx KERNELS_NAME(DATA_KERNELS_SET, ycc_rgbx)
#define kernels_scan KERNELS_NAME(DATA_KERNELS_SET, scan)

void kernels_pack(void *packed, const int32_t *weight, size_t count, size_t groups);
void kernels_across(unsigned char *out, const unsigned char *in, const size_t *low,
                    const void *packed, const int32_t *weight, size_t count, size_t groups);
void kernels_down(unsigned char *out, const unsigned char *const *rows,
                  const int32_t *weight, size_t taps, size_t bytes);
void kernels_pack_rgb(unsigned char *out, const unsigned char *in, size_t count, bool flip);
void kernels_unpack_rgb(unsigned char *out, const unsigned char *in, size_t count);
size_t kernels_normalise(float *planes, size_t plane, const unsigned char *rgb,
                         size_t count, const float mean[3], const float std[3]);
bool kernels_idct(unsigned char *out, size_t step, const int16_t *coefs,
                  const uint16_t *quant, size_t count);
bool kernels_idct_small(unsigned char *out, size_t step, const int16_t *coefs,
                        const uint16_t *quant, size_t count, size_t side);
void kernels_double_row(unsigned char *out, const unsigned char *in, size_t count);
void kernels_double_rows(unsigned char *out, const unsigned char *near,
                         const unsigned char *far, size_t count);
void kernels_ycc_rgbx(unsigned char *out, const unsigned char *y, const unsigned char *cb,
                      const unsigned char *cr, size_t count);
bool kernels_scan(scan_state *state, size_t from, size_t mcus);

#endif
