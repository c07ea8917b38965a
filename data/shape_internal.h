/* shape_internal.h - geometry: what part of a picture becomes which part of the network's
 * input (data.md 7), decided from the picture's size alone, so that decoding can leave out
 * what is not needed (data.md 9). */
#ifndef DATA_SHAPE_INTERNAL_H
#define DATA_SHAPE_INTERNAL_H

#include "data/data.h"
#include "data/decode/decode_internal.h"
#include "data/resize_internal.h"

/* How pictures are shaped. */
typedef struct shape_rule {
    const data_augment *augment; /* training; NULL: evaluation */
    size_t resize;               /* evaluation: shorter side, 0: none */
    size_t size;                 /* side of the result */
    size_t channels;             /* of the result, 1 or 3 */
    data_filter filter;
    bool exact;  /* training: decode at full scale, always */
    bool to_end; /* training: read files to their end, so that all damage is seen */
    bool squash; /* evaluation: both sides to resize */
} shape_rule;

/* What becomes of one picture. */
typedef struct shape {
    data_box box;         /* of the picture; the filter sees nothing outside */
    size_t width, height; /* that the box becomes */
    data_box part;        /* of that: what is seen */
    size_t left, top;     /* where it lies in the result; zeros around it */
    bool empty;           /* nothing is seen (padding alone) */
    bool flip;
} shape;

/* rng: training only, draws as data_train_transform says. */
shape data_shape_of(size_t width, size_t height, const shape_rule *rule, base_rng *rng);

/* The smallest scale in eighths (8, 4, 2, 1) at which the box still has the pixels that it
 * becomes. */
unsigned data_shape_scale(const shape *s);

/* A picture in memory, out [size, size, channels of in]. */
base_status data_shape_image(data_image *out, const data_image *in, const shape_rule *rule,
                             base_rng *rng, data_scratch *scratch, base_error *err);

/* The bytes of a file, decoded as far as needed straight into out [size, size, channels].
 * health and note as in data_decode; training files are judged up to the last row needed
 * unless to_end. */
base_status data_shape_file(data_image *out, data_health *health, data_decoder *decoder,
                            const unsigned char *bytes, size_t size, const shape_rule *rule,
                            base_rng *rng, data_scratch *scratch, char *note,
                            size_t note_bytes, base_error *err);

/* Normalisation: by table, or by arithmetic that was found to equal it for all 256
 * levels. */
typedef struct data_normaliser {
    float table[3 * 256];
    float mean[3], std[3];
    const data_kernels *kernels; /* NULL: by table alone */
} data_normaliser;
void data_normaliser_make(data_normaliser *out, const float *mean, const float *std,
                          size_t channels, const data_kernels *kernels);
/* out [C, H, W] from in [H, W, C]. */
void data_normaliser_run(float *out, const data_image *in, const data_normaliser *by);

#endif
