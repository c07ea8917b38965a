/* s2moe.c - router "s2moe": softmax routing, in training of two views of every token, x and
 * a noisy one. After "S2MoE: Robust Sparse Mixture of Experts via Stochastic Learning"
 * (arXiv 2503.23007), whose body was not read: formulas of a third-party implementation and
 * of summaries (routing.md 8).
 *
 * xhat = n1 x + n2 elementwise, n1 ~ N(1, sd^2), n2 ~ N(mu, sd^2), mu and sd of each
 * feature over the tokens of the image, constants of the backward pass. y = q SMoE(x) + (1
 * - q) SMoE(xhat), q = sigmoid(x w + b). Beside the balance loss, InfoNCE between the views
 * (contrast.c). Without training y = SMoE(x). Our reconstruction: the constants, the loss
 * over results and over a sample of the tokens, which view the balance loss sees (x), y =
 * SMoE(x) at inference (the third-party code gives q SMoE(x)), one bias. */
#include <math.h>
#include <string.h>

#include "vit/routers/contrast_internal.h"
#include "vit/routers/router_onnx_internal.h"

enum { PARAMETER_WEIGHT, PARAMETER_MIX, PARAMETER_MIX_BIAS, PARAMETER_COUNT };
enum { CONTRAST_OUTPUTS, CONTRAST_INPUTS }; /* choices of "contrast" */
enum { SCOPE_BATCH, SCOPE_IMAGE };          /* of "contrast_scope" */
enum { STATISTICS_IMAGE, STATISTICS_NONE }; /* of "statistics" */

typedef struct s2moe_options {
    vit_softmax_options soft; /* first */
    double uncertainty, temp;
    int contrast, contrast_scope, contrast_tokens;
    double sd, mu;
    int statistics, view_routing, eval_k;
} s2moe_options;

#define BASE_STRUCT s2moe_options
static const base_field options[] = {
    VIT_SOFTMAX_OPTIONS,
    BASE_REAL("uncertainty", uncertainty, 0, 1e3,
              "weight of the contrast (InfoNCE) between the two views (secondary sources: "
              "0.1)"),
    BASE_REAL("temp", temp, 1e-3, 1e3,
              "temperature of the contrast (secondary sources: 1)"),
    BASE_CHOICE(
        "contrast", contrast, "outputs|inputs",
        "what is contrasted: the experts' results or their inputs (secondary sources "
        "disagree; inputs teach neither router nor experts)"),
    BASE_CHOICE("contrast_scope", contrast_scope, "batch|image",
                "the other tokens of the contrast: of the batch, or of the same image (our "
                "reconstruction)"),
    BASE_INT("contrast_tokens", contrast_tokens, 2, 65536,
             "tokens of a batch that are contrasted, drawn at each step (our "
             "reconstruction)"),
    BASE_REAL(
        "sd", sd, 0, 1e3,
        "factor of the noise's standard deviation (added here; 1: secondary sources; 0 "
        "with mu 0: both views are alike)"),
    BASE_REAL("mu", mu, -1e3, 1e3,
              "factor of the additive noise's mean (added here; 1: secondary sources)"),
    BASE_CHOICE("statistics", statistics, "image|none",
                "what sd and mu are factors of: each feature's deviation and mean over the "
                "tokens of an image, or 1 (added here)"),
    BASE_CHOICE("view_routing", view_routing, "same|own",
                "experts of the noisy view: those of the clean one (third-party code), or "
                "chosen anew"),
    BASE_INT("eval_k", eval_k, 0, VIT_EXPERTS_MAX,
             "experts of a token outside training, below router.k (S2MoE: 1 saves cost; 0: "
             "router.k)"),
    {0},
};
#undef BASE_STRUCT
static const s2moe_options defaults = {.soft = VIT_SOFTMAX_DEFAULTS,
                                       .uncertainty = 0.1,
                                       .temp = 1.0,
                                       .contrast = CONTRAST_OUTPUTS,
                                       .contrast_scope = SCOPE_BATCH,
                                       .contrast_tokens = 1024,
                                       .sd = 1.0,
                                       .mu = 1.0,
                                       .statistics = STATISTICS_IMAGE};

/* What is kept from forward to backward; one view takes no more than softmax. */
typedef struct s2moe_state {
    vit_route_state route, other; /* other: the noisy view routed anew */
    double *other_probs;
    float *other_d_x; /* [T, D] */
    float *scale;     /* [T, D] n1 */
    float *q, *d_s;   /* [T] share of the clean view; gradient before the sigmoid */
    float *d_gate;    /* [T, k] of both views */
    uint32_t *row;    /* [T] the first are those contrasted */
    vit_contrast contrast;
} s2moe_state;

static const s2moe_options *options_of(const vit_router_shape *shape)
{
    return vit_router_settings(shape->config);
}

static bool reroutes(const vit_router_shape *shape)
{
    return options_of(shape)->view_routing > 0;
}

static vit_contrast_shape contrast_shape(const vit_router_shape *shape)
{
    const size_t most = (size_t)options_of(shape)->contrast_tokens;
    const bool image = options_of(shape)->contrast_scope == SCOPE_IMAGE;
    const size_t rows = image || shape->tokens < most ? shape->tokens : most;

    return (vit_contrast_shape){.rows = rows,
                                .group = image ? shape->tokens_per_image : rows,
                                .width = shape->width,
                                .temp = options_of(shape)->temp};
}

static void state_plan(s2moe_state *out, base_arena *arena, const vit_router_shape *shape)
{
    const size_t t = shape->tokens, d = shape->width;

    *out = (s2moe_state){0};
    vit_route_state_plan(&out->route, arena, shape);
    if (shape->others == 0)
        return;
    out->scale = base_arena_take(arena, t * d, sizeof(float));
    out->q = base_arena_take(arena, t, sizeof(float));
    out->d_s = base_arena_take(arena, t, sizeof(float));
    if (reroutes(shape)) {
        vit_route_state_plan(&out->other, arena, shape);
        out->other_probs = base_arena_take(arena, t * shape->experts, sizeof(double));
        out->other_d_x = base_arena_take(arena, t * d, sizeof(float));
    } else {
        out->d_gate = base_arena_take(arena, t * shape->k, sizeof(float));
    }
    if (options_of(shape)->uncertainty > 0) {
        const vit_contrast_shape c = contrast_shape(shape);
        out->row = base_arena_take(arena, t, sizeof(uint32_t));
        vit_contrast_plan(&out->contrast, arena, &c);
    }
}

static size_t state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    s2moe_state unused;

    state_plan(&unused, &arena, shape);
    return arena.used;
}

static s2moe_state state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    s2moe_state state;

    state_plan(&state, &arena, &pass->plan.shape);
    return state;
}

/* As trained, also with fewer experts than then: eval_k is below k. */
static vit_route_gate gate_of(const vit_router_config *config, size_t k)
{
    const s2moe_options *o = vit_router_settings(config);

    return o->eval_k > 0 && o->soft.gate == VIT_SOFTMAX_GATE_AUTO
               ? VIT_ROUTE_GATE_RENORM
               : vit_softmax_gate_of(config, k);
}

static vit_softmax_settings settings_of(const vit_router_pass *pass)
{
    vit_softmax_settings set = vit_softmax_settings_of(pass);

    set.gate = gate_of(pass->plan.shape.config, pass->plan.shape.k);
    return set;
}

static base_status check(const vit_config *config, base_error *err)
{
    const s2moe_options *o = vit_router_settings(&config->moe.router);
    const base_status status = vit_softmax_check(config, err);

    if (status != BASE_OK)
        return status;
    if (o->eval_k > 0 && o->eval_k >= config->moe.k)
        return base_fail(err, BASE_USAGE,
                         "'router.eval_k' is %d with router.k %d, expected less than "
                         "router.k, or 0",
                         o->eval_k, config->moe.k);
    return BASE_OK;
}

static size_t eval_k(const vit_config *config)
{
    const s2moe_options *o = vit_router_settings(&config->moe.router);

    return (size_t)(o->eval_k > 0 ? o->eval_k : config->moe.k);
}

static size_t parameters(const vit_router_shape *shape, vit_router_parameter *out)
{
    vit_route_parameters(shape, out);
    out[PARAMETER_MIX] = (vit_router_parameter){
        .name = "mix.weight", .shape = {1, shape->width}, .rank = 2, .decay = true};
    out[PARAMETER_MIX_BIAS] =
        (vit_router_parameter){.name = "mix.bias", .shape = {1}, .rank = 1};
    return PARAMETER_COUNT;
}

/* ---- the noisy view ------------------------------------------------------------------ */

enum { FEATURES = 64 }; /* whose statistics are made at a time */

/* Mean and unbiased standard deviation of `count` features over the n tokens of x [n,
 * D]. */
static void statistics(double *mean, double *sd, const float *x, size_t n, size_t d,
                       size_t count)
{
    for (size_t j = 0; j < count; j++)
        mean[j] = sd[j] = 0.0;
    for (size_t t = 0; t < n; t++)
        for (size_t j = 0; j < count; j++)
            mean[j] += (double)x[t * d + j] / (double)n;
    for (size_t t = 0; t < n; t++)
        for (size_t j = 0; j < count; j++) {
            const double off = (double)x[t * d + j] - mean[j];
            sd[j] += off * off;
        }
    for (size_t j = 0; j < count; j++)
        sd[j] = n > 1 ? sqrt(sd[j] / (double)(n - 1)) : 0.0;
}

/* view = n1 x + n2 of an image's tokens [n, D]; n1 and view hold standard normals on
 * entry. */
static void image_view(float *view, float *n1, const float *x, size_t n,
                       const vit_router_shape *shape)
{
    const size_t d = shape->width;
    const bool none = options_of(shape)->statistics == STATISTICS_NONE;
    const double sd_factor = options_of(shape)->sd, mu_factor = options_of(shape)->mu;
    double mean[FEATURES], sd[FEATURES];

    for (size_t first = 0; first < d; first += FEATURES) {
        const size_t count = d - first < FEATURES ? d - first : FEATURES;
        statistics(mean, sd, x + first, n, d, count);
        for (size_t j = 0; j < count; j++) {
            sd[j] = sd_factor * (none ? 1.0 : sd[j]);
            mean[j] = mu_factor * (none ? 1.0 : mean[j]);
        }
        for (size_t t = 0; t < n; t++)
            for (size_t j = 0; j < count; j++) {
                const size_t at = t * d + first + j;
                const double factor = 1.0 + sd[j] * (double)n1[at];
                n1[at] = (float)factor;
                view[at] =
                    (float)(factor * (double)x[at] + mean[j] + sd[j] * (double)view[at]);
            }
    }
}

static void view_make(vit_router_pass *pass, float *n1)
{
    const size_t n = pass->plan.shape.tokens_per_image, d = pass->plan.shape.width;
    const vit_kernels *kernels = vit_kernels_get();
    uint32_t words[2][2];

    for (uint64_t which = 0; which < 2; which++) {
        const uint64_t key =
            base_key((const uint64_t[]){pass->in.seed, BASE_PURPOSE_ROUTER_VIEW,
                                        pass->in.step, pass->in.layer, which},
                     5);
        words[which][0] = (uint32_t)key;
        words[which][1] = (uint32_t)(key >> 32);
    }
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < pass->plan.shape.tokens; first += n) {
        const size_t at = first * d;
        kernels->normals(n1 + at, n, d, words[0], pass->in.first_token + first);
        kernels->normals(pass->out.view + at, n, d, words[1], pass->in.first_token + first);
        image_view(pass->out.view + at, n1 + at, pass->in.x + at, n, &pass->plan.shape);
    }
}

/* ---- routing ------------------------------------------------------------------------- */

/* The noisy view's tokens follow the clean ones, to the same experts. */
static void route_same(vit_router_pass *pass)
{
    const size_t t = pass->plan.shape.tokens, count = pass->out.count;

    for (size_t a = 0; a < count; a++) {
        pass->out.token[count + a] = (uint32_t)t + pass->out.token[a];
        pass->out.expert[count + a] = pass->out.expert[a];
        pass->out.gate[count + a] = pass->out.gate[a];
    }
}

/* A pass of the noisy view alone. */
static vit_router_pass view_pass(const vit_router_pass *pass, const s2moe_state *state)
{
    const size_t count = pass->plan.shape.tokens * pass->plan.shape.k;
    vit_router_pass other = *pass;

    other.in.x = pass->out.view;
    other.out.probs = state->other_probs;
    other.gradient.logits = NULL;
    other.out.token += count;
    other.out.expert += count;
    other.out.gate += count;
    other.out.start += pass->plan.shape.tokens;
    other.gradient.x = state->other_d_x;
    return other;
}

static void route_own(vit_router_pass *pass, const s2moe_state *state, vit_route_gate gate)
{
    vit_router_pass other = view_pass(pass, state);

    vit_route_top_forward(&other, &state->other, 0.0, gate);
    for (size_t a = 0; a < other.out.count; a++)
        other.out.token[a] += (uint32_t)pass->plan.shape.tokens;
}

static void forward(vit_router_pass *pass)
{
    const vit_softmax_settings set = settings_of(pass);
    const s2moe_state state = state_of(pass);
    const size_t t = pass->plan.shape.tokens, k = pass->plan.shape.k;

    vit_route_top_forward(pass, &state.route, set.sigma, set.gate);
    pass->report.aux_loss =
        pass->in.training ? vit_softmax_losses(pass, &set, &state.route, NULL) : 0.0;
    if (!pass->out.view)
        return;
    view_make(pass, state.scale);
    if (reroutes(&pass->plan.shape))
        route_own(pass, &state, set.gate);
    else
        route_same(pass);
    for (size_t i = t; i <= 2 * t; i++)
        pass->out.start[i] = (uint32_t)(i * k);
    pass->out.count *= 2;
}

/* ---- mixing -------------------------------------------------------------------------- */

/* The tokens that are contrasted, drawn without replacement; NULL: all. */
static const uint32_t *sample(const vit_router_pass *pass, const s2moe_state *state,
                              size_t rows)
{
    const size_t t = pass->plan.shape.tokens;
    base_rng rng = base_rng_make(pass->in.seed, BASE_PURPOSE_ROUTER_SAMPLE, pass->in.step,
                                 pass->in.layer, pass->in.first_token);

    if (rows == t)
        return NULL;
    for (size_t i = 0; i < t; i++)
        state->row[i] = (uint32_t)i;
    for (size_t i = 0; i < rows; i++) {
        const size_t j = i + (size_t)base_rng_below(&rng, t - i);
        const uint32_t swap = state->row[i];
        state->row[i] = state->row[j];
        state->row[j] = swap;
    }
    return state->row;
}

static void mix(vit_router_pass *pass, float *y, const float *both)
{
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width;
    const double weight = options_of(&pass->plan.shape)->uncertainty;
    s2moe_state state = state_of(pass);
    const float *noisy = both + t * d;

    vit_route_product(pass->plan.exec, false, true, t, 1, d, pass->in.x, d,
                      pass->in.param[PARAMETER_MIX], d, 0.0f, state.q);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t; i++) {
        const double s = (double)state.q[i] + (double)pass->in.param[PARAMETER_MIX_BIAS][0];
        const float q = state.q[i] = (float)(1.0 / (1.0 + exp(-s)));
        for (size_t j = i * d; j < (i + 1) * d; j++)
            y[j] = q * both[j] + (1.0f - q) * noisy[j];
    }
    if (weight > 0) {
        const vit_contrast_shape c = contrast_shape(&pass->plan.shape);
        const bool inputs = options_of(&pass->plan.shape)->contrast == CONTRAST_INPUTS;
        pass->report.aux_loss +=
            weight * vit_contrast_forward(
                         &state.contrast, pass->plan.exec, inputs ? pass->in.x : both,
                         inputs ? pass->out.view : noisy, sample(pass, &state, c.rows), &c);
    }
}

/* The contrast's gradient, added to those of what it compared. */
static void contrast_backward(vit_router_pass *pass, s2moe_state *state, float *d_first,
                              float *d_second)
{
    const vit_contrast_shape c = contrast_shape(&pass->plan.shape);
    const double scale = options_of(&pass->plan.shape)->uncertainty * pass->in.loss_scale;

    vit_contrast_backward(&state->contrast, pass->plan.exec, d_first, d_second,
                          c.rows == pass->plan.shape.tokens ? NULL : state->row, scale, &c);
}

static bool contrasts(const vit_router_pass *pass, int what)
{
    return options_of(&pass->plan.shape)->uncertainty > 0 &&
           options_of(&pass->plan.shape)->contrast == what;
}

static void mix_backward(vit_router_pass *pass, float *d_both, const float *d_y,
                         const float *both)
{
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width;
    s2moe_state state = state_of(pass);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t; i++) {
        const float q = state.q[i];
        double d_q = 0.0;
        for (size_t j = i * d; j < (i + 1) * d; j++) {
            d_both[j] = q * d_y[j];
            d_both[t * d + j] = (1.0f - q) * d_y[j];
            d_q += (double)d_y[j] * ((double)both[j] - (double)both[t * d + j]);
        }
        state.d_s[i] = (float)(d_q * (double)q * (1.0 - (double)q));
    }
    if (contrasts(pass, CONTRAST_OUTPUTS))
        contrast_backward(pass, &state, d_both, d_both + t * d);
}

/* What the shares of the views say of x and of their parameters. */
static void shares_backward(vit_router_pass *pass, const s2moe_state *state)
{
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width;
    double sum = 0.0;

    for (size_t i = 0; i < t; i++)
        sum += (double)state->d_s[i];
    if (pass->gradient.param[PARAMETER_MIX]) {
        vit_route_product(pass->plan.exec, true, false, 1, d, t, state->d_s, 1, pass->in.x,
                          d, 1.0f, pass->gradient.param[PARAMETER_MIX]);
        pass->gradient.param[PARAMETER_MIX_BIAS][0] += (float)sum;
    }
    vit_route_product(pass->plan.exec, false, false, t, d, 1, state->d_s, 1,
                      pass->in.param[PARAMETER_MIX], d, 1.0f, pass->gradient.x);
}

/* The gates' gradient to the logits': one set of gates for both views, or one each. */
static void gates_backward(vit_router_pass *pass, const s2moe_state *state,
                           const vit_softmax_settings *set, const float *d_gate)
{
    const size_t t = pass->plan.shape.tokens, d = pass->plan.shape.width,
                 count = t * pass->plan.shape.k;

    if (reroutes(&pass->plan.shape)) {
        vit_router_pass other = view_pass(pass, state);
        memset(other.gradient.x, 0, t * d * sizeof *other.gradient.x);
        vit_route_top_backward(&other, &state->other, 0.0, set->gate, d_gate + count);
        vit_route_logits_backward(&other, &state->other);
        vit_kernels_fp32()->axpy(pass->gradient.view, 1.0f, other.gradient.x, t * d);
    } else {
        for (size_t a = 0; a < count; a++)
            state->d_gate[a] = d_gate[a] + d_gate[count + a];
        d_gate = state->d_gate;
    }
    vit_route_top_backward(pass, &state->route, set->sigma, set->gate, d_gate);
}

static void backward(vit_router_pass *pass, const float *d_gate)
{
    const vit_softmax_settings set = settings_of(pass);
    s2moe_state state = state_of(pass);

    if (!pass->out.view)
        vit_route_top_backward(pass, &state.route, set.sigma, set.gate, d_gate);
    else
        gates_backward(pass, &state, &set, d_gate);
    if (pass->in.training)
        vit_softmax_losses(pass, &set, &state.route, state.route.d_z);
    vit_route_logits_backward(pass, &state.route);
    if (!pass->out.view)
        return;
    shares_backward(pass, &state);
    if (contrasts(pass, CONTRAST_INPUTS))
        contrast_backward(pass, &state, pass->gradient.x, pass->gradient.view);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < pass->plan.shape.tokens * pass->plan.shape.width; i++)
        pass->gradient.x[i] += state.scale[i] * pass->gradient.view[i];
}

/* The other view of each token. */
static size_t others(const vit_router_shape *shape)
{
    return shape->tokens;
}

static const vit_router_views views = {
    .others = others, .mix = mix, .mix_backward = mix_backward};

static const char *onnx(vit_onnx_layer *layer)
{
    return vit_onnx_top_logits(layer, gate_of(layer->shape.config, layer->shape.k));
}

const vit_router vit_router_s2moe = {
    .name = "s2moe",
    .summary = "softmax routing learned on two views, clean and noisy (after S2MoE, "
               "secondary sources and partly our reconstruction)",
    .options = options,
    .defaults = &defaults,
    .option_bytes = sizeof defaults,
    .replays = true,
    .views = &views,
    .eval_k = eval_k,
    .check = check,
    .assignments = vit_route_assignments,
    .parameters = parameters,
    .state_bytes = state_bytes,
    .forward = forward,
    .backward = backward,
    .onnx = onnx,
};
