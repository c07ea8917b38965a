/* graph.c - scores of tokens mixed over a graph of the tokens of an image, for "similarity"
 * and "attention". GoT-inspired: follows routing.md 7, a reconstruction of arXiv 2505.00792
 * (graph of tokens), not the authors' method. Choice, gates and losses are those of
 * "softmax", so that lambda = 0 is softmax. Relied on elsewhere: images do not see one
 * another; the balance loss reads the probabilities before mixing and the choices after
 * it. */
#include "vit/routers/graph_internal.h"

void vit_graph_state_plan(vit_graph_state *out, base_arena *arena,
                          const vit_router_shape *shape)
{
    const size_t scores = shape->tokens * shape->experts;
    const size_t pairs = shape->tokens * shape->tokens_per_image;

    vit_route_state_plan(&out->base, arena, shape);
    out->mixed = base_arena_take(arena, scores, sizeof(double));
    out->q = base_arena_take(arena, scores, sizeof(double));
    out->source = base_arena_take(arena, scores, sizeof(float));
    out->seen = base_arena_take(arena, scores, sizeof(float));
    out->sim = base_arena_take(arena, pairs, sizeof(float));
    out->d_sim = base_arena_take(arena, pairs, sizeof(float));
}

double vit_graph_operations(const vit_router_shape *shape)
{
    return (double)shape->tokens * (double)shape->tokens_per_image * (double)shape->experts;
}

static bool mixes_logits(const vit_router_pass *pass)
{
    const vit_graph_options *o = vit_router_settings(pass->plan.shape.config);

    return o->mix == VIT_GRAPH_MIX_LOGIT;
}

bool vit_graph_learns(const vit_router_pass *pass)
{
    const vit_graph_options *o = vit_router_settings(pass->plan.shape.config);

    return o->detach_sim == 0;
}

/* out [T, E] = Sim in, or Sim^T in, image by image. */
static void spread(vit_router_pass *pass, const vit_graph_state *state, bool transposed,
                   float *out, const float *in)
{
    const size_t e = pass->plan.shape.experts, images = vit_graph_images(&pass->plan.shape);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < images; i++) {
        const vit_graph_image g = vit_graph_image_at(&pass->plan.shape, i);
        vit_route_product(pass->plan.exec, transposed, false, g.count, e, g.count,
                          state->sim + g.at, g.count, in + g.first * e, e, 0.0f,
                          out + g.first * e);
    }
}

/* ---- gates of mixed probabilities ---------------------------------------------------- */

/* Sum of a token's chosen entries: at least 1 / E, the largest is among them. */
static double chosen_sum(const double *q, const uint16_t *expert, size_t t,
                         const vit_route_size *s)
{
    double sum = 0.0;

    for (size_t j = 0; j < s->k; j++)
        sum += q[t * s->experts + expert[t * s->k + j]];
    return sum;
}

/* gate [T, k] = q over the sum of the chosen q. */
static void shares(double *gate, const double *q, const uint16_t *expert,
                   const vit_route_size *s)
{
    vit_route_gates(gate, q, expert, s);
    for (size_t t = 0; t < s->tokens; t++) {
        const double sum = chosen_sum(q, expert, t, s);
        for (size_t j = 0; j < s->k; j++)
            gate[t * s->k + j] /= sum;
    }
}

/* d_q = (d_gate - <gate, d_gate>) / sum at the chosen experts, 0 elsewhere. */
static void shares_backward(double *d_q, const double *gate, const double *d_gate,
                            const double *q, const uint16_t *expert,
                            const vit_route_size *s)
{
    vit_route_gates_backward(d_q, d_gate, expert, s);
    for (size_t t = 0; t < s->tokens; t++) {
        const double sum = chosen_sum(q, expert, t, s);
        double mean = 0.0;
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            mean += gate[a] * d_gate[a];
        for (size_t a = t * s->k; a < (t + 1) * s->k; a++)
            d_q[t * s->experts + expert[a]] = (d_gate[a] - mean) / sum;
    }
}

/* base.d_z = the gradient of state->mixed. */
static void gate_backward(vit_router_pass *pass, const vit_graph_state *state,
                          const vit_softmax_settings *set, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const vit_route_state *base = &state->base;

    if (mixes_logits(pass)) {
        vit_route_gate_backward(pass, base, set->gate, state->q, d_gate);
        return;
    }
    for (size_t a = 0; a < s.tokens * s.k; a++)
        base->d_gate[a] = (double)d_gate[a];
    if (set->gate == VIT_ROUTE_GATE_RENORM)
        shares_backward(base->d_z, base->gate, base->d_gate, state->mixed, pass->out.expert,
                        &s);
    else
        vit_route_gates_backward(base->d_z, base->d_gate, pass->out.expert, &s);
}

/* ---- the pass ------------------------------------------------------------------------ */

/* Softmax of the logits, noisy ones where there is noise. */
static const double *probabilities(const vit_router_pass *pass, const vit_graph_state *s,
                                   const vit_softmax_settings *set)
{
    return set->sigma > 0.0 ? s->base.p : pass->out.probs;
}

static void noise_add(vit_router_pass *pass, const vit_route_state *base, double sigma)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);

    for (size_t i = 0; i < s.tokens * s.experts; i++)
        base->score[i] = base->z[i];
    vit_route_noise_add(base->score, sigma, pass);
    vit_route_softmax(base->p, base->score, &s);
}

void vit_graph_forward(vit_router_pass *pass, const vit_graph_state *state)
{
    const vit_softmax_settings set = vit_softmax_settings_of(pass);
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const vit_route_state *base = &state->base;
    const vit_graph_options *o = vit_router_settings(pass->plan.shape.config);
    const double lambda = o->lambda;

    vit_route_logits(pass, base);
    if (set.sigma > 0.0)
        noise_add(pass, base, set.sigma);
    const double *logits = set.sigma > 0.0 ? base->score : base->z;
    const double *from = mixes_logits(pass) ? logits : probabilities(pass, state, &set);
    for (size_t i = 0; i < s.tokens * s.experts; i++)
        state->source[i] = (float)from[i];
    spread(pass, state, false, state->seen, state->source);
    for (size_t i = 0; i < s.tokens * s.experts; i++)
        state->mixed[i] = (1.0 - lambda) * from[i] + lambda * (double)state->seen[i];
    vit_route_choose(pass, state->mixed);
    if (mixes_logits(pass)) {
        vit_route_softmax(state->q, state->mixed, &s);
        vit_route_gate_forward(pass, base, set.gate, state->mixed, state->q);
    } else if (set.gate == VIT_ROUTE_GATE_RENORM) {
        shares(base->gate, state->mixed, pass->out.expert, &s);
    } else {
        vit_route_gates(base->gate, state->mixed, pass->out.expert, &s);
    }
    vit_route_publish(pass, base);
    pass->report.aux_loss =
        pass->in.training ? vit_softmax_losses(pass, &set, base, NULL) : 0.0;
}

void vit_graph_backward(vit_router_pass *pass, const vit_graph_state *state,
                        const float *d_gate)
{
    const vit_softmax_settings set = vit_softmax_settings_of(pass);
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t e = s.experts, images = vit_graph_images(&pass->plan.shape);
    const vit_graph_options *o = vit_router_settings(pass->plan.shape.config);
    const double lambda = o->lambda;
    double *d_z = state->base.d_z;
    float *d_seen = state->seen, *d_source = state->base.narrow;

    gate_backward(pass, state, &set, d_gate);
    for (size_t i = 0; i < s.tokens * e; i++)
        d_seen[i] = (float)(lambda * d_z[i]);
    spread(pass, state, true, d_source, d_seen);
    for (size_t i = 0; i < s.tokens * e; i++)
        d_z[i] = (1.0 - lambda) * d_z[i] + (double)d_source[i];
    if (vit_graph_learns(pass)) {
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < images; i++) {
            const vit_graph_image g = vit_graph_image_at(&pass->plan.shape, i);
            vit_route_product(pass->plan.exec, false, true, g.count, g.count, e,
                              d_seen + g.first * e, e, state->source + g.first * e, e, 0.0f,
                              state->d_sim + g.at);
        }
    }
    if (!mixes_logits(pass))
        vit_route_softmax_backward(d_z, probabilities(pass, state, &set), &s);
    if (pass->in.training)
        vit_softmax_losses(pass, &set, &state->base, d_z);
    vit_route_logits_backward(pass, &state->base);
}

const char *vit_graph_onnx(vit_onnx_layer *layer, const char *sim)
{
    const vit_graph_options *o = vit_router_settings(layer->shape.config);
    const size_t n = layer->shape.experts;
    const bool logits = o->mix == VIT_GRAPH_MIX_LOGIT;
    vit_onnx *g = layer->graph;
    const char *z = vit_onnx_logits(layer);
    const char *from = logits ? z : vit_onnx_softmax(g, z, 1);
    const char *seen = vit_onnx_by_token(
        layer, vit_onnx_op(g, "MatMul", sim, vit_onnx_by_image(layer, from, n)), n);
    const char *mixed = vit_onnx_op(g, "Add", vit_onnx_scaled(g, from, 1.0 - o->lambda),
                                    vit_onnx_scaled(g, seen, o->lambda));

    /* q over the sum of the chosen q is the softmax of their logarithms */
    return vit_onnx_top(layer, mixed, logits ? mixed : vit_onnx_op(g, "Log", mixed),
                        logits ? vit_onnx_softmax(g, mixed, 1) : mixed,
                        vit_softmax_gate_of(layer->shape.config, layer->shape.k));
}
