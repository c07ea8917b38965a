/* bench_step.c - the cases step, infer and router: random images through a network. What
 * a step is, is what train does with a batch that is ready: forward, softmax loss on
 * soft targets, backward, clipping, AdamW. Relied on elsewhere: the columns' names. */
#include "apps/bench_internal.h"

#include <math.h>
#include <string.h>

/* A network with what a step needs. */
typedef struct step_rig {
    vit_model *model;
    vit_run *run;
    vit_optimizer *optimizer;
    float *images, *targets, *logits, *d_logits;
    size_t batch, classes;
    uint64_t steps;
    double routing_seconds; /* of the last step, all layers, forward */
    double loss;
} step_rig;

static void rig_close(step_rig *rig)
{
    vit_optimizer_destroy(rig->optimizer);
    vit_run_destroy(rig->run);
    vit_model_destroy(rig->model);
    base_free(rig->images);
    base_free(rig->targets);
    base_free(rig->logits);
    base_free(rig->d_logits);
}

static base_status rig_fill(step_rig *rig, const bench_args *args, vit_mode mode,
                            base_error *err)
{
    const vit_config *c = vit_model_config(rig->model);
    const size_t floats = (size_t)c->channels * (size_t)c->image * (size_t)c->image;
    const vit_optimizer_config optimizer = {.kind = VIT_OPTIMIZER_ADAMW,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .weight_decay = 0.05,
                                            .clip = 1};
    base_rng rng = base_rng_make((uint64_t)args->common.seed, BASE_PURPOSE_TEST, 0, 0, 0);

    rig->batch = (size_t)args->common.batch;
    rig->classes = (size_t)c->classes;
    rig->images = base_alloc(rig->batch, floats * sizeof *rig->images);
    rig->targets = base_alloc(rig->batch, rig->classes * sizeof *rig->targets);
    rig->logits = base_alloc(rig->batch, rig->classes * sizeof *rig->logits);
    rig->d_logits = base_alloc(rig->batch, rig->classes * sizeof *rig->d_logits);
    if (!rig->images || !rig->targets || !rig->logits || !rig->d_logits)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a batch of %zu", rig->batch);
    for (size_t i = 0; i < rig->batch * floats; i++)
        rig->images[i] = (float)base_rng_normal(&rng);
    for (size_t i = 0; i < rig->batch; i++)
        rig->targets[i * rig->classes + base_rng_below(&rng, rig->classes)] = 1;
    base_status status = vit_run_create(&rig->run, rig->model, rig->batch, mode,
                                        (vit_precision)args->common.precision, err);
    if (status == BASE_OK && mode == VIT_MODE_TRAIN)
        status = vit_optimizer_create(&rig->optimizer, rig->model, &optimizer, err);
    return status;
}

static void routing_time(step_rig *rig)
{
    rig->routing_seconds = 0;
    for (size_t i = 0; i < vit_run_moe_count(rig->run); i++)
        rig->routing_seconds += vit_run_routing(rig->run, i).seconds;
}

static base_status train_step(step_rig *rig, const bench_args *args, base_error *err)
{
    const vit_step step = {.seed = (uint64_t)args->common.seed, .step = rig->steps++};
    base_status status =
        vit_run_forward(rig->run, rig->logits, rig->images, rig->batch, &step, err);

    if (status != BASE_OK)
        return status;
    routing_time(rig);
    rig->loss = vit_loss_compute(VIT_LOSS_SOFTMAX, rig->d_logits, NULL, rig->logits,
                                 rig->targets, rig->batch, rig->classes, 1);
    vit_run_gradients_zero(rig->run);
    status = vit_run_backward(rig->run, NULL, rig->d_logits, err);
    if (status == BASE_OK)
        vit_optimizer_step(rig->optimizer, rig->model, vit_run_gradients(rig->run), 1e-4);
    return status;
}

static base_status infer_step(step_rig *rig, const bench_args *args, base_error *err)
{
    (void)args;
    const base_status status = vit_run_forward(rig->run, rig->logits, rig->images,
                                               rig->batch, &(vit_step){0}, err);

    if (status == BASE_OK)
        routing_time(rig);
    return status;
}

typedef base_status (*step_function)(step_rig *rig, const bench_args *args,
                                     base_error *err);

/* Warm-up, then the rounds; times of the whole and of routing. */
static base_status rig_time(bench_times *whole, bench_times *routing, step_rig *rig,
                            const bench_args *args, step_function step, base_error *err)
{
    whole->count = routing->count = 0;
    for (int64_t i = -args->warmup; i < args->rounds; i++) {
        const double started = base_seconds();
        const base_status status = step(rig, args, err);
        const double seconds = base_seconds() - started;

        if (status != BASE_OK)
            return status;
        if (app_stop_asked())
            return base_fail(err, BASE_INTERRUPTED, "stopped");
        if (i < 0)
            continue;
        whole->seconds[whole->count++] = seconds;
        routing->seconds[routing->count++] = rig->routing_seconds;
    }
    for (size_t i = 0; i < rig->batch * rig->classes; i++)
        if (!isfinite(rig->logits[i]))
            return base_fail(err, BASE_NUMERIC,
                             "logits are not finite, timing means nothing");
    return BASE_OK;
}

/* One row of the cases step and infer. passes: forward passes that one round costs. */
static void row_put(const bench_context *context, const char *name, const char *subject,
                    const step_rig *rig, bench_spread t, double passes)
{
    const bench_args *args = context->args;
    const vit_config *c = vit_model_config(rig->model);
    const double images = (double)rig->batch;
    const double gflops = passes * images * vit_model_flops(rig->model) / t.median / 1e9;
    const double peak = (double)base_peak_bytes() / (1 << 20);
    const char *precision = args->common.precision == VIT_PRECISION_BF16 ? "bf16" : "fp32";
    char machine[128];

    bench_machine(machine, sizeof machine);
    if (context->print) {
        printf("vmoe-%s,%s,%s,%d,%zu,%lld,%s,%zu,%lld,%.3f,%.3f,%.3f,%.2f,%.2f,%.1f,%s\n",
               BASE_VERSION, name, subject, c->image, rig->batch,
               (long long)args->common.threads, precision, vit_model_floats(rig->model),
               (long long)args->rounds, 1e3 * t.median, 1e3 * t.low, 1e3 * t.high,
               images / t.median, gflops, peak, machine);
        fflush(stdout);
    }
    if (!context->results)
        return;
    json_array_append_new(
        context->results,
        json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "case",
                  name, "size", subject, "image", c->image, "batch", (json_int_t)rig->batch,
                  "parameters", (json_int_t)vit_model_floats(rig->model), "rounds",
                  (json_int_t)args->rounds, "median_ms", 1e3 * t.median, "min_ms",
                  1e3 * t.low, "max_ms", 1e3 * t.high, "images_per_s", images / t.median,
                  "gflop_per_s", gflops, "peak_mib", peak));
}

/* The cases step and infer differ in mode, function and cost of a round. */
static base_status passes_bench(const bench_context *context, const char *name,
                                vit_mode mode, step_function step, double passes,
                                base_error *err)
{
    bench_times whole, routing;
    base_status status = BASE_OK;

    if (context->print)
        printf("program,case,size,image,batch,threads,precision,parameters,steps,median_ms,"
               "min_ms,max_ms,images_per_s,gflop_per_s,peak_mib,machine\n");
    for (size_t i = 0; i < context->subject_count && status == BASE_OK; i++) {
        step_rig rig = {0};

        status = bench_model(&rig.model, context->subjects[i], context->args, err);
        if (status == BASE_OK)
            status = rig_fill(&rig, context->args, mode, err);
        if (status == BASE_OK)
            status = rig_time(&whole, &routing, &rig, context->args, step, err);
        if (status == BASE_OK)
            row_put(context, name, context->subjects[i], &rig, bench_spread_of(&whole),
                    passes);
        rig_close(&rig);
    }
    return status;
}

base_status bench_step(const bench_context *context, base_error *err)
{
    /* Backward: one product for the input's gradient and one for the weights', each as
     * much work as the forward one. */
    return passes_bench(context, "step", VIT_MODE_TRAIN, train_step, 3, err);
}

base_status bench_infer(const bench_context *context, base_error *err)
{
    return passes_bench(context, "infer", VIT_MODE_INFER, infer_step, 1, err);
}

/* ---- routers ------------------------------------------------------------------------- */

typedef struct router_setup {
    const char *label, *router, *key, *value;
} router_setup;

static const router_setup setups[] = {
    {"softmax", "softmax", NULL, NULL},   {"vmoe", "vmoe", NULL, NULL},
    {"sinkhorn", "sinkhorn", NULL, NULL}, {"ssr p=0", "ssr", "p", "0"},
    {"ssr p=0.01", "ssr", "p", "0.01"},   {"ssr p=1", "ssr", "p", "1"},
};
enum { SETUP_COUNT = sizeof setups / sizeof setups[0], SETUP_P0 = 3, SETUP_P001, SETUP_P1 };

static void router_row(const bench_context *context, const char *subject, const char *label,
                       size_t batch, double step, double routing)
{
    if (context->print) {
        printf("vmoe-%s,router,%s,%s,%zu,%lld,%.3f,%.3f,%.3f\n", BASE_VERSION, subject,
               label, batch, (long long)context->args->common.threads, 1e3 * step,
               1e3 * routing, 100 * routing / step);
        fflush(stdout);
    }
    if (context->results)
        json_array_append_new(
            context->results,
            json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f}", "case", "router", "size",
                      subject, "router", label, "batch", (json_int_t)batch, "step_ms",
                      1e3 * step, "routing_ms", 1e3 * routing, "share", routing / step));
}

static base_status setup_time(double *step, double *routing, const char *subject,
                              const router_setup *setup, const bench_context *context,
                              base_error *err)
{
    step_rig rig = {0};
    bench_times whole, part;
    base_status status = bench_model(&rig.model, subject, context->args, err);

    if (status == BASE_OK) {
        vit_config config = *vit_model_config(rig.model);

        if (!vit_config_is_sparse(&config))
            status = base_fail(err, BASE_USAGE,
                               "'%s' has no experts, expected a sparse network", subject);
        if (status == BASE_OK)
            status = vit_router_select(&config.moe.router, setup->router, err);
        if (status == BASE_OK && setup->key)
            status = vit_router_set(&config.moe.router, setup->key, setup->value, err);
        if (status == BASE_OK)
            status = vit_model_config_set(rig.model, &config, err);
    }
    if (status == BASE_OK)
        status = rig_fill(&rig, context->args, VIT_MODE_TRAIN, err);
    if (status == BASE_OK)
        status = rig_time(&whole, &part, &rig, context->args, train_step, err);
    if (status == BASE_OK) {
        *step = bench_spread_of(&whole).median;
        *routing = bench_spread_of(&part).median;
    }
    rig_close(&rig);
    return status;
}

base_status bench_router(const bench_context *context, base_error *err)
{
    base_status status = BASE_OK;

    if (context->print)
        printf(
            "program,case,size,router,batch,threads,step_ms,routing_ms,routing_percent\n");
    for (size_t i = 0; i < context->subject_count && status == BASE_OK; i++) {
        const char *subject = context->subjects[i];
        double step[SETUP_COUNT], routing[SETUP_COUNT];

        for (size_t s = 0; s < SETUP_COUNT && status == BASE_OK; s++) {
            /* Sinkhorn at p = 0.01 is too rare for a median: the mean cost is known from
             * 0 and 1. */
            if (s == SETUP_P001)
                continue;
            status = setup_time(&step[s], &routing[s], subject, &setups[s], context, err);
            if (status == BASE_OK)
                router_row(context, subject, setups[s].label,
                           (size_t)context->args->common.batch, step[s], routing[s]);
        }
        if (status == BASE_OK)
            router_row(context, subject, setups[SETUP_P001].label,
                       (size_t)context->args->common.batch,
                       0.99 * step[SETUP_P0] + 0.01 * step[SETUP_P1],
                       0.99 * routing[SETUP_P0] + 0.01 * routing[SETUP_P1]);
    }
    return status;
}
