/* onednn_internal.h - what the files around oneDNN share: layouts, primitives and status in
 * one form for 2.x, whose memory descriptors are values and whose primitives start from
 * operation descriptors, and for 3.x, whose descriptors are objects. Private to
 * vit/onednn/. */
#ifndef VIT_ONEDNN_H
#define VIT_ONEDNN_H

#include <dnnl.h>

#include "vit/vit_internal.h"

/* How a tensor lies in memory; zeroed: none. */
typedef struct vit_layout {
    bool there;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t desc;
#else
    dnnl_memory_desc_t desc; /* a struct here, a pointer above */
#endif
} vit_layout;

/* dims and strides [rank]; strides NULL: as the primitive likes it best. */
dnnl_status_t vit_layout_make(vit_layout *out, int rank, const dnnl_dim_t *dims,
                              dnnl_data_type_t type, const dnnl_dim_t *strides);
/* Columns of a block, when this layout of B [k, n] is one of those of kernels_layout.h;
 * else 0. */
size_t vit_layout_width(const vit_layout *layout, dnnl_dim_t k, dnnl_dim_t n,
                        dnnl_data_type_t type);
dnnl_status_t vit_layout_copy(vit_layout *out, const vit_layout *layout);
void vit_layout_destroy(vit_layout *layout);
size_t vit_layout_bytes(const vit_layout *layout);
bool vit_layout_equal(const vit_layout *a, const vit_layout *b);
dnnl_status_t vit_layout_memory(dnnl_memory_t *out, const vit_layout *layout,
                                dnnl_engine_t engine, void *at);

/* A matrix product c = a b (+ bias) or, with adds, c += a b. */
typedef struct vit_matmul {
    vit_layout a, b, c;
    vit_layout bias; /* none: no bias */
    bool adds;
    bool
        blocked; /* out: oneDNN's blocked kernels (brgemm) make it, which read B where it lies */
} vit_matmul;
/* The primitive, its scratch and, unless NULL, the layout that it wants b in. The caller
 * destroys all. */
dnnl_status_t vit_matmul_make(dnnl_primitive_t *out, vit_layout *scratch, vit_layout *b,
                              const vit_matmul *matmul, dnnl_engine_t engine);
/* A copy from one layout to another, types included. */
dnnl_status_t vit_reorder_make(dnnl_primitive_t *out, const vit_layout *from,
                               const vit_layout *to, dnnl_engine_t engine);

#endif
