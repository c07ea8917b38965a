/* router_onnx.c - the routers' common formulas as nodes of an ONNX graph: those of
 * router_pass.c in evaluation. Single precision, where router_pass.c has double: a token
 * whose k-th and next expert lie closer than its rounding may go to the other one. Free to
 * change: which operators. */
#include "vit/routers/router_onnx_internal.h"

const char *vit_onnx_logits(const vit_onnx_layer *layer)
{
    return vit_onnx_with(layer->graph, "Gemm",
                         VIT_ONNX_IN(layer->x, vit_onnx_router_parameter(layer, "weight")),
                         VIT_ONNX_INT("transB", 1));
}

const char *vit_onnx_where(vit_onnx *g, const char *mask, const char *p)
{
    return vit_onnx_op(g, "Where", mask, p, vit_onnx_real(g, 0));
}

const char *vit_onnx_by_image(const vit_onnx_layer *layer, const char *x, size_t width)
{
    return vit_onnx_shaped(layer->graph, x, -1, (int64_t)layer->shape.tokens_per_image,
                           (int64_t)width);
}

const char *vit_onnx_by_token(const vit_onnx_layer *layer, const char *x, size_t width)
{
    return vit_onnx_shaped(layer->graph, x, -1, (int64_t)width);
}

const char *vit_onnx_marks(vit_onnx *g, const char *like, const char *place,
                           const char *values, int axis)
{
    return vit_onnx_with(g, "ScatterElements",
                         VIT_ONNX_IN(vit_onnx_full_like(g, like, 0), place, values),
                         VIT_ONNX_INT("axis", axis));
}

const char *vit_onnx_unit(vit_onnx *g, const char *x, double least, double added)
{
    const char *length = vit_onnx_reduce(g, "ReduceSumSquare", x, -1);

    if (added > 0)
        length = vit_onnx_op(g, "Add", length, vit_onnx_real(g, added));
    length = vit_onnx_op(g, "Sqrt", length);
    if (least > 0)
        length = vit_onnx_op(g, "Max", length, vit_onnx_real(g, least));
    return vit_onnx_op(g, "Div", x, length);
}

/* What of [T, E] stands at those places, [T, k]. */
static const char *taken(vit_onnx *g, const char *from, const char *place)
{
    return vit_onnx_with(g, "GatherElements", VIT_ONNX_IN(from, place),
                         VIT_ONNX_INT("axis", 1));
}

const char *vit_onnx_top(vit_onnx_layer *layer, const char *score, const char *z,
                         const char *p, vit_route_gate gate)
{
    vit_onnx *g = layer->graph;
    const char *place, *value;

    vit_onnx_largest(g, &place, score, layer->shape.k, 1);
    value = taken(g, gate == VIT_ROUTE_GATE_PROB ? p : z, place);
    if (gate == VIT_ROUTE_GATE_RENORM)
        value = vit_onnx_softmax(g, value, 1);
    else if (gate == VIT_ROUTE_GATE_SIGMOID)
        value = vit_onnx_op(g, "Sigmoid", value);
    else if (gate == VIT_ROUTE_GATE_SIGMOID_RENORM) /* softmax of log sigmoid(z) */
        value = vit_onnx_softmax(
            g,
            vit_onnx_op(g, "Neg", vit_onnx_op(g, "Softplus", vit_onnx_op(g, "Neg", value))),
            1);
    layer->first = vit_onnx_with(g, "Gather", VIT_ONNX_IN(place, vit_onnx_int(g, 0)),
                                 VIT_ONNX_INT("axis", 1));
    return vit_onnx_marks(g, score, place, value, 1);
}

const char *vit_onnx_top_logits(vit_onnx_layer *layer, vit_route_gate gate)
{
    const char *z = vit_onnx_logits(layer);

    return vit_onnx_top(
        layer, z, z,
        gate == VIT_ROUTE_GATE_PROB ? vit_onnx_softmax(layer->graph, z, 1) : NULL, gate);
}

const char *vit_softmax_onnx(vit_onnx_layer *layer)
{
    return vit_onnx_top_logits(layer,
                               vit_softmax_gate_of(layer->shape.config, layer->shape.k));
}
