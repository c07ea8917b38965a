/* router_onnx_internal.h - what routers do alike when they are written as nodes of an ONNX
 * graph (router_onnx.c). Private to vit/. */
#ifndef VIT_ROUTERS_ROUTER_ONNX_INTERNAL_H
#define VIT_ROUTERS_ROUTER_ONNX_INTERNAL_H

#include "vit/onnx/onnx_internal.h"
#include "vit/routers/softmax_internal.h"

/* x weight^T [T, E] */
const char *vit_onnx_logits(const vit_onnx_layer *layer);
/* Gates [T, E] of the k experts with the largest `score`, by their kind from the logits z
 * and p = softmax(z), both [T, E] as score; 0 elsewhere. Sets layer->first. */
const char *vit_onnx_top(vit_onnx_layer *layer, const char *score, const char *z,
                         const char *p, vit_route_gate gate);
/* The same where the logits are the score. */
const char *vit_onnx_top_logits(vit_onnx_layer *layer, vit_route_gate gate);
/* Member of vit_router: softmax's, by its options. */
const char *vit_softmax_onnx(vit_onnx_layer *layer);
/* p where mask, of type bool, is set, else 0. */
const char *vit_onnx_where(vit_onnx *g, const char *mask, const char *p);
/* [T, width] with the tokens of an image side by side, [B, N, width]; and back. */
const char *vit_onnx_by_image(const vit_onnx_layer *layer, const char *x, size_t width);
const char *vit_onnx_by_token(const vit_onnx_layer *layer, const char *x, size_t width);
/* Ones [.., count, ..] of places along an axis in rows of `like`: gates that choose by
 * places of vit_onnx_largest, as numbers 0 and 1 of the shape of `like`. */
const char *vit_onnx_marks(vit_onnx *g, const char *like, const char *place,
                           const char *values, int axis);
/* x over its length, at least `least` (or with `added` under the root); along the last
 * axis. */
const char *vit_onnx_unit(vit_onnx *g, const char *x, double least, double added);

#endif
