/* router.c - the cases router and sinkhorn: what routing costs in a training step, every
 * router of the table beside the softmax router in turn, and the balanced plan alone.
 * Rounds alternate between the two networks, so that the ratio holds on a machine that is
 * not quiet, and no more than two of them are in memory. */
#include "apps/bench/internal.h"

#include <omp.h>
#include <string.h>

/* ---- router -------------------------------------------------------------------------- */

/* A row: a router, one option set or not. */
typedef struct router_setup {
    const char *label, *router, *key, *value;
} router_setup;

/* Medians of one setup: seconds of a step, over rounds step / softmax's step, parts. */
enum { STEP, SOFTMAX, RATIO, ROUTER, DISPATCH, COMBINE, COLUMNS };
typedef struct router_result {
    double of[COLUMNS];
    bench_losses losses;
} router_result;

/* The subject with another router: weights of the same name and shape are kept. */
static base_status routed_model(vit_model **out, const char *subject,
                                const router_setup *setup, const bench_args *args,
                                base_error *err)
{
    vit_model *source = NULL, *model = NULL;
    vit_config config;
    base_status status = bench_model(&source, subject, args, err);

    if (status != BASE_OK)
        return status;
    config = *vit_model_config(source);
    if (!vit_config_is_sparse(&config))
        status = base_fail(err, BASE_USAGE,
                           "'%s' has no experts, expected a sparse network", subject);
    if (status == BASE_OK)
        status = vit_router_select(&config.moe.router, setup->router, err);
    if (status == BASE_OK && setup->key)
        status = vit_router_set(&config.moe.router, setup->key, setup->value, err);
    if (status == BASE_OK)
        status = vit_model_create(&model, &config, err);
    if (status == BASE_OK)
        vit_model_init(model, (uint64_t)args->common.seed);
    for (size_t i = 0; status == BASE_OK && i < vit_model_parameter_count(model); i++) {
        const vit_parameter *to = vit_model_parameter(model, i);
        const vit_parameter *from = vit_model_parameter_find(source, to->name);
        if (from && from->count == to->count &&
            memcmp(from->shape, to->shape, sizeof to->shape) == 0)
            memcpy(vit_model_weights(model) + to->offset,
                   vit_model_weights(source) + from->offset, to->count * sizeof(float));
    }
    vit_model_destroy(source);
    if (status == BASE_OK)
        *out = model;
    return status;
}

static base_status setup_open(bench_rig *rig, const char *subject,
                              const router_setup *setup, const bench_args *args,
                              base_error *err)
{
    vit_model *model = NULL;
    base_status status = routed_model(&model, subject, setup, args, err);

    if (status == BASE_OK)
        status = bench_rig_open(rig, model, VIT_MODE_TRAIN, NULL, args, err);
    for (int64_t i = 0; i < args->warmup && status == BASE_OK; i++)
        status = bench_rig_pass(rig, 1, err);
    return status;
}

/* Seconds of a pass: one that is not counted, because the other network has just filled the
 * caches, then enough of them for the clock. */
static base_status timed_pass(double *seconds, bench_rig *rig, base_error *err)
{
    static const double enough = 0.005;
    bench_rig_clear(rig);
    double started = base_seconds();
    base_status status = bench_rig_pass(rig, 1, err);
    double all = base_seconds() - started;
    const double once = all;
    const size_t passes = once < enough ? (size_t)(enough / once) + 1 : 1;

    if (status == BASE_OK && once < enough) {
        bench_rig_clear(rig);
        started = base_seconds();
        status = bench_rig_pass(rig, passes, err);
        all = base_seconds() - started;
    }
    *seconds = all / (double)passes;
    for (size_t i = 0; i < BENCH_PARTS; i++)
        rig->times.part[i] /= (double)passes;
    return status;
}

/* softmax: a warm rig of the softmax router; NULL: this setup is it. */
static base_status setup_time(router_result *out, bench_rig *softmax, const char *subject,
                              const router_setup *setup, const bench_args *args,
                              base_error *err)
{
    bench_times *times = app_take(NULL, COLUMNS, sizeof *times);
    bench_rig own = {0};
    base_status status = setup_open(&own, subject, setup, args, err);

    for (int64_t i = 0; i < args->rounds && status == BASE_OK; i++) {
        double column[COLUMNS] = {0};

        status = timed_pass(&column[STEP], &own, err);
        column[SOFTMAX] = column[STEP];
        column[ROUTER] = own.times.part[VIT_PART_ROUTER];
        column[DISPATCH] = own.times.part[VIT_PART_DISPATCH];
        column[COMBINE] = own.times.part[VIT_PART_COMBINE];
        if (status == BASE_OK && softmax)
            status = timed_pass(&column[SOFTMAX], softmax, err);
        column[RATIO] = column[STEP] / column[SOFTMAX];
        for (size_t j = 0; j < COLUMNS; j++)
            times[j].seconds[times[j].count++] = column[j];
    }
    if (status == BASE_OK)
        status = bench_rig_check(&own, err);
    for (size_t j = 0; j < COLUMNS && status == BASE_OK; j++)
        out->of[j] = bench_spread_of(&times[j]).median;
    out->losses = own.losses;
    bench_rig_close(&own);
    return status;
}

static void router_row(const bench_context *context, json_t *results, const char *subject,
                       const char *label, const bench_rig *rig, const router_result *r)
{
    const vit_moe_config *moe = &vit_model_config(rig->model)->moe;
    const double routing = r->of[ROUTER] + r->of[DISPATCH] + r->of[COMBINE];

    bench_row(
        context, results,
        json_pack(
            "{s:s, s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}",
            "case", "router", "size", subject, "router", label, "batch",
            (json_int_t)rig->batch, "experts", moe->experts, "k", moe->k, "step_ms",
            1e3 * r->of[STEP], "softmax_ms", 1e3 * r->of[SOFTMAX], "ratio", r->of[RATIO],
            "router_ms", 1e3 * r->of[ROUTER], "dispatch_ms", 1e3 * r->of[DISPATCH],
            "combine_ms", 1e3 * r->of[COMBINE], "routing_ms", 1e3 * routing, "share",
            routing / r->of[STEP], "losses", bench_losses_json(&r->losses)));
}

/* Sinkhorn at p = 0.01 is too rare for a median: the mean cost is known from 0 and 1. */
static router_result mean_of(const router_result *never, const router_result *always,
                             double p)
{
    router_result out = {.losses = {.count = 0}}; /* of no step */

    for (size_t i = 0; i < COLUMNS; i++)
        out.of[i] = (1 - p) * never->of[i] + p * always->of[i];
    return out;
}

/* SSR's rows: never Sinkhorn, always, and what follows for its usual p. */
static base_status ssr_rows(const bench_subject *work, bench_rig *softmax, json_t *results,
                            base_error *err)
{
    static const router_setup setups[] = {{"ssr p=0", "ssr", "p", "0"},
                                          {"ssr p=1", "ssr", "p", "1"}};
    const bench_args *args = work->context->args;
    router_result times[2];
    base_status status = BASE_OK;

    for (size_t i = 0; i < 2 && status == BASE_OK; i++) {
        status = setup_time(&times[i], softmax, work->name, &setups[i], args, err);
        if (status == BASE_OK)
            router_row(work->context, results, work->name, setups[i].label, softmax,
                       &times[i]);
    }
    if (status != BASE_OK)
        return status;
    const router_result mean = mean_of(&times[0], &times[1], 0.01);
    router_row(work->context, results, work->name, "ssr p=0.01", softmax, &mean);
    return BASE_OK;
}

static base_status routers_run(void *user, json_t *results, base_error *err)
{
    const bench_subject *work = user;
    const bench_context *context = work->context;
    const router_setup reference = {.label = "softmax", .router = "softmax"};
    bench_rig softmax = {0};
    router_result times;
    base_status status =
        setup_time(&times, NULL, work->name, &reference, context->args, err);

    if (status == BASE_OK)
        status = setup_open(&softmax, work->name, &reference, context->args, err);
    if (status == BASE_OK)
        router_row(context, results, work->name, "softmax", &softmax, &times);
    for (size_t i = 0; vit_router_name(i) && status == BASE_OK; i++) {
        const router_setup setup = {.label = vit_router_name(i),
                                    .router = vit_router_name(i)};
        base_error refused = {0};

        if (strcmp(setup.router, "softmax") == 0)
            continue;
        if (strcmp(setup.router, "ssr") == 0) {
            status = ssr_rows(work, &softmax, results, err);
            continue;
        }
        status = setup_time(&times, &softmax, work->name, &setup, context->args, &refused);
        if (status == BASE_OK) {
            router_row(context, results, work->name, setup.label, &softmax, &times);
        } else if (status == BASE_USAGE || status == BASE_UNSUPPORTED) {
            app_note(&context->args->common, "bench router: left out: %s", refused.text);
            status = BASE_OK;
        } else if (err) {
            *err = refused;
        }
    }
    bench_rig_close(&softmax);
    return status;
}

base_status bench_router(const bench_context *context, base_error *err)
{
    bench_head(context);
    return bench_subjects(context, routers_run, err);
}

/* ---- sinkhorn ------------------------------------------------------------------------ */

/* The plan of one layer on one core: 64 images of 197 tokens, 32 experts, 100 iterations
 * whatever the residual. Measured is the router's forward pass, logits, choice and dispatch
 * included: a network of one narrow block, so that little else is in it. */
enum { PLAN_IMAGES = 64, PLAN_EXPERTS = 32, PLAN_ITERATIONS = 100, PLAN_WIDTH = 32 };

static base_status plan_config(vit_config *out, base_error *err)
{
    vit_config c = vit_config_defaults();
    char iterations[16];

    c.depth = 1;
    c.width = c.mlp = PLAN_WIDTH;
    c.heads = 1;
    c.name[0] = '\0';
    c.moe.experts = PLAN_EXPERTS;
    c.moe.k = 1;
    snprintf(iterations, sizeof iterations, "%d", PLAN_ITERATIONS);
    base_status status = vit_config_layers_set(&c, "0", err);
    if (status == BASE_OK)
        status = vit_router_select(&c.moe.router, "sinkhorn", err);
    if (status == BASE_OK)
        status = vit_router_set(&c.moe.router, "max_iter", iterations, err);
    if (status == BASE_OK)
        status = vit_router_set(&c.moe.router, "delta", "0", err);
    *out = c;
    return status;
}

static base_status plan_run(void *user, json_t *results, base_error *err)
{
    const bench_context *context = user;
    bench_args args = *context->args;
    bench_rig rig = {0};
    bench_times times = {.count = 0};
    vit_model *model = NULL;
    vit_config config;
    base_status status = plan_config(&config, err);

    omp_set_num_threads(1);
    args.common.batch = PLAN_IMAGES;
    args.common.threads = 1;
    if (status == BASE_OK)
        status = vit_model_create(&model, &config, err);
    if (status == BASE_OK) {
        vit_model_init(model, (uint64_t)args.common.seed);
        status = bench_rig_open(&rig, model, VIT_MODE_TRAIN, NULL, &args, err);
    }
    for (int64_t i = -args.warmup; i < args.rounds && status == BASE_OK; i++) {
        bench_rig_clear(&rig);
        status = bench_rig_pass(&rig, 1, err);
        if (i >= 0)
            times.seconds[times.count++] = rig.times.routing;
    }
    if (status == BASE_OK &&
        vit_run_routing(rig.run, 0).sinkhorn_iterations != PLAN_ITERATIONS)
        status =
            base_fail(err, BASE_INTERNAL, "the plan took %d iterations, expected %d",
                      vit_run_routing(rig.run, 0).sinkhorn_iterations, PLAN_ITERATIONS);
    if (status == BASE_OK) {
        const size_t tokens = vit_run_routing(rig.run, 0).tokens;
        const bench_spread t = bench_spread_of(&times);

        bench_row(context, results,
                  json_pack("{s:s, s:I, s:i, s:i, s:i, s:I, s:f, s:f, s:f, s:o}", "case",
                            "sinkhorn", "tokens", (json_int_t)tokens, "experts",
                            PLAN_EXPERTS, "iterations", PLAN_ITERATIONS, "threads", 1,
                            "rounds", (json_int_t)times.count, "median_ms", 1e3 * t.median,
                            "min_ms", 1e3 * t.low, "max_ms", 1e3 * t.high, "losses",
                            bench_losses_json(&rig.losses)));
    }
    bench_rig_close(&rig);
    return status;
}

base_status bench_sinkhorn(const bench_context *context, base_error *err)
{
    bench_head(context);
    return bench_child(plan_run, (void *)(uintptr_t)context, context->results, err);
}
