/* onnx_internal.h - a network as an ONNX graph while it is put together: nodes, tensors,
 * and what a router is told of its layer (graph.c, network.c; routers/router_onnx.c).
 * Private to vit/. ONNX operators of opset 20, whose documentation says what each attribute
 * means (onnx.ai, "Operators").
 *
 * A value is its name, a text that the graph owns. Shapes in comments: T = B * N tokens of
 * the batch, whose size is known when the file is run and not before. No function fails:
 * when memory runs out, the graph remembers it and vit_onnx_save says so. */
#ifndef VIT_ONNX_ONNX_INTERNAL_H
#define VIT_ONNX_ONNX_INTERNAL_H

#include "vit/model_internal.h"

typedef struct vit_onnx vit_onnx;

/* ---- nodes and tensors (graph.c) ----------------------------------------------------- */

typedef enum vit_onnx_kind {
    VIT_ONNX_KIND_INT,
    VIT_ONNX_KIND_INTS,
    VIT_ONNX_KIND_FLOAT,
    VIT_ONNX_KIND_TEXT
} vit_onnx_kind;
typedef struct vit_onnx_attribute {
    const char *name; /* NULL: the last one was before */
    vit_onnx_kind kind;
    int64_t whole;
    const int64_t *list; /* [count] */
    size_t count;
    float real;
    const char *text;
} vit_onnx_attribute;
#define VIT_ONNX_INT(n, value)                                                             \
    (vit_onnx_attribute)                                                                   \
    {                                                                                      \
        .name = n, .kind = VIT_ONNX_KIND_INT, .whole = value                               \
    }
#define VIT_ONNX_INTS(n, ...)                                                              \
    (vit_onnx_attribute)                                                                   \
    {                                                                                      \
        .name = n, .kind = VIT_ONNX_KIND_INTS, .list = (const int64_t[]){__VA_ARGS__},     \
        .count = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)                  \
    }
#define VIT_ONNX_FLOAT(n, value)                                                           \
    (vit_onnx_attribute)                                                                   \
    {                                                                                      \
        .name = n, .kind = VIT_ONNX_KIND_FLOAT, .real = value                              \
    }
#define VIT_ONNX_TEXT(n, value)                                                            \
    (vit_onnx_attribute)                                                                   \
    {                                                                                      \
        .name = n, .kind = VIT_ONNX_KIND_TEXT, .text = value                               \
    }

/* A node of so many results, whose names go into out [outs]. in and attributes end with
 * NULL and with a zeroed one (NULL: none). */
void vit_onnx_node(vit_onnx *g, const char **out, size_t outs, const char *op,
                   const char *const *in, const vit_onnx_attribute *attributes);
/* The same of one result, which is returned. */
const char *vit_onnx_one(vit_onnx *g, const char *op, const char *const *in,
                         const vit_onnx_attribute *attributes);
#define VIT_ONNX_IN(...) ((const char *const[]){__VA_ARGS__, NULL})
/* vit_onnx_op(g, "Add", a, b) */
#define vit_onnx_op(g, op, ...) vit_onnx_one(g, op, VIT_ONNX_IN(__VA_ARGS__), NULL)
/* vit_onnx_with(g, "Softmax", VIT_ONNX_IN(x), VIT_ONNX_INT("axis", -1)) */
#define vit_onnx_with(g, op, in, ...)                                                      \
    vit_onnx_one(g, op, in,                                                                \
                 (const vit_onnx_attribute[]){__VA_ARGS__, (vit_onnx_attribute){0}})

/* Names of values from here on begin with this: "blocks.3". */
void vit_onnx_scope(vit_onnx *g, const char *format, ...) BASE_PRINTF(2, 3);
/* Constants: whole numbers [count], or one as a scalar; a float; floats that are copied. */
const char *vit_onnx_ints(vit_onnx *g, const int64_t *values, size_t count);
const char *vit_onnx_int(vit_onnx *g, int64_t value);
const char *vit_onnx_real(vit_onnx *g, double value);
const char *vit_onnx_floats(vit_onnx *g, const char *name, const float *values,
                            const size_t *shape, int rank);
/* A parameter of the model by its name in files, borrowed; of experts the tensors of number
 * `expert` alone (SIZE_MAX: the whole). */
const char *vit_onnx_parameter(vit_onnx *g, const char *name, size_t expert);
/* "blocks.I.NAME" */
const char *vit_onnx_block_parameter(vit_onnx *g, size_t block, const char *name);

/* ---- formulas that several parts use (graph.c) --------------------------------------- */

/* x [.., D] as [dimensions ...], -1: what is left. */
const char *vit_onnx_reshape(vit_onnx *g, const char *x, const int64_t *shape, size_t rank);
#define vit_onnx_shaped(g, x, ...)                                                         \
    vit_onnx_reshape(g, x, (const int64_t[]){__VA_ARGS__},                                 \
                     sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
/* Transposed by those axes. */
#define vit_onnx_turned(g, x, ...)                                                         \
    vit_onnx_with(g, "Transpose", VIT_ONNX_IN(x), VIT_ONNX_INTS("perm", __VA_ARGS__))
const char *vit_onnx_softmax(vit_onnx *g, const char *x, int axis);
/* Sum, mean or largest ("ReduceSum", ...) over one axis, which stays as 1. */
const char *vit_onnx_reduce(vit_onnx *g, const char *op, const char *x, int axis);
/* The k largest along an axis, best first, ties to the lower place; *place [.., k]. */
const char *vit_onnx_largest(vit_onnx *g, const char **place, const char *x, size_t k,
                             int axis);
/* x times a number. */
const char *vit_onnx_scaled(vit_onnx *g, const char *x, double factor);
/* x [1, rows, columns] for every image of the batch, [B, rows, columns]. */
const char *vit_onnx_each_image(vit_onnx *g, const char *x, size_t rows, size_t columns);
/* Zeros, or another number, of the shape of x. */
const char *vit_onnx_full_like(vit_onnx *g, const char *x, float value);

/* ---- a MoE layer as its router sees it ----------------------------------------------- */

typedef struct vit_onnx_layer {
    vit_onnx *graph;
    const vit_model *model;
    vit_router_shape shape; /* of one image; k: experts of a token in evaluation */
    size_t block;
    size_t moe_index;      /* among the MoE layers */
    const char *attention; /* [B, H, N, N] of this block */
    const char *x;         /* [T, D] of router and experts; a router may put another here */
    const char *first;     /* [T] a token's first expert: set, read by the next layer's */
    const char *carry;     /* [T, D] of the layer before, NULL: this is the first */
} vit_onnx_layer;

/* The router's parameter of that name. */
const char *vit_onnx_router_parameter(const vit_onnx_layer *layer, const char *name);
/* rows [n, D] through one expert ("experts" or "shared"). */
const char *vit_onnx_expert(const vit_onnx_layer *layer, const char *whose, size_t expert,
                            const char *rows);

/* ---- the file ------------------------------------------------------------------------ */

/* A graph without nodes for that model, which must outlive it. NULL: no memory. */
vit_onnx *vit_onnx_create(const vit_model *model);
void vit_onnx_destroy(vit_onnx *g);
/* The next node's result has this name. */
void vit_onnx_result(vit_onnx *g, const char *name);
/* Input "images" [batch, C, S, S], output "logits" [batch, K], metadata; whole or not at
 * all. BASE_UNSUPPORTED when it would be larger than protobuf allows. */
base_status vit_onnx_save(vit_onnx *g, const char *path, base_error *err);

#endif
