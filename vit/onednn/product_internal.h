/* product_internal.h - the cache of matmul primitives, shared by product.c and
 * linear.c. */
#ifndef VIT_ONEDNN_PRODUCT_H
#define VIT_ONEDNN_PRODUCT_H

#include "vit/onednn/onednn_internal.h"

typedef struct vit_product_worker vit_product_worker;

/* What a primitive is made for. Compared as bytes: fill from memset. */
typedef struct vit_product_key {
    size_t batch, m, n, k; /* k 0: known at the call alone */
    size_t lda, ldb, ldc, step_a, step_b, step_c;
    bool ta, tb, c_fp32, bias, adds;
    unsigned char packed; /* how b lies: VIT_B_* */
} vit_product_key;
enum { VIT_B_STRIDED, VIT_B_FORWARD, VIT_B_BACKWARD };

typedef struct vit_product_args {
    const void *a, *b, *bias;
    void *c;
    const vit_layout *packed;         /* of b, when key->packed */
    dnnl_memory_t memory_a, memory_b; /* where the key leaves them open */
} vit_product_args;

/* A weight in the layout of one product. */
typedef struct vit_pack {
    vit_layout layout;
    dnnl_memory_t memory;
    size_t width;             /* of its blocks, which kernels fill; 0: they do not */
    void *at;                 /* when they do */
    dnnl_primitive_t reorder; /* NULL: kernels, or the product reads the weight as stored */
    dnnl_memory_t source;
} vit_pack;

typedef struct vit_packed_linear {
    vit_pack forward, backward;
    uint64_t version; /* of the weights that are packed, from 1; 0: none are */
} vit_packed_linear;

/* Rows of one weight that kernels pack, or the weight whole where reorders do. */
typedef struct vit_pack_task {
    size_t linear, first;
} vit_pack_task;

struct vit_products {
    vit_products_plan plan;
    const vit_operand_kernels *kernels;
    dnnl_data_type_t type; /* of operands */
    size_t bytes;          /* of one */
    dnnl_engine_t engine;
    vit_product_worker *workers; /* [threads] */
    vit_packed_linear *packed;   /* [linears] */
    vit_pack_task *tasks;        /* [task_count] what packing shares among threads */
    size_t task_count;
    vit_linear *linears; /* [linears] */
    unsigned char *room; /* of all packed weights */
    bool paired;         /* gradients take turned and paired operands */
};

bool vit_linears_create(vit_products *products);
void vit_linears_destroy(vit_products *products);
vit_product_worker *vit_product_worker_mine(const vit_products *products);
dnnl_stream_t vit_product_stream(const vit_product_worker *worker);
/* The layout that oneDNN wants b in; the caller destroys it. */
dnnl_status_t vit_product_layout(vit_layout *b, const vit_products *products,
                                 const vit_product_key *key);
/* On the calling thread. False when oneDNN refuses. */
bool vit_product_execute(const vit_products *products, const vit_product_key *key,
                         const vit_product_args *args);

#endif
