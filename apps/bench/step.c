/* step.c - the cases step and infer: a training step and a forward pass on random images,
 * each subject in a process of its own; their rows, and a table for people. */
#include "apps/bench/internal.h"

#include <string.h>

static bool has_ceiling(const bench_result *r)
{
    return r->product_count > 0;
}

static double gflops(double flops, double seconds)
{
    return seconds > 0 ? flops / seconds / 1e9 : 0;
}

/* Experts, k and router of a sparse network; 0, 0 and "" of a dense one. */
static const vit_moe_config *moe_of(const bench_result *r)
{
    static const vit_moe_config none = {0};

    return vit_config_is_sparse(&r->config) ? &r->config.moe : &none;
}

/* ---- for people ---------------------------------------------------------------------- */

static void part_line(const bench_result *r, size_t part)
{
    const double seconds = r->part[part];

    if (seconds <= 0 && r->part_flops[part] <= 0)
        return;
    printf("  %-12s%10.2f%7.1f", bench_part_name(part), 1e3 * seconds,
           100 * seconds / r->pass.median);
    if (r->part_flops[part] > 0) {
        printf("%10.2f%10.1f", r->part_flops[part] / 1e9,
               gflops(r->part_flops[part], seconds));
        if (has_ceiling(r))
            printf("%12.2f%8.1f", 1e3 * r->part_ceiling[part],
                   seconds > 0 ? 100 * r->part_ceiling[part] / seconds : 0);
    }
    printf("\n");
}

static void table_print(const bench_result *r, const bench_args *args)
{
    const vit_moe_config *moe = moe_of(r);
    char count[32];

    printf("%s, %d pixels, %s parameters", r->subject, r->config.image,
           show_thousands(count, sizeof count, r->parameters));
    if (moe->experts > 0)
        printf(", %s with %d experts, k %d", moe->router.name, moe->experts, moe->k);
    printf("\n%s of %zu image%s, %s, %lld thread%s, median of %zu rounds\n",
           strcmp(r->name, "step") == 0 ? "training step" : "inference", r->batch,
           r->batch == 1 ? "" : "s",
           args->common.precision == VIT_PRECISION_BF16 ? "bf16" : "fp32",
           (long long)args->common.threads, args->common.threads == 1 ? "" : "s",
           r->rounds);
    printf("  time      %10.2f ms (%.2f to %.2f), %.1f images/s", 1e3 * r->pass.median,
           1e3 * r->pass.low, 1e3 * r->pass.high, (double)r->batch / r->pass.median);
    if (r->backward > 0)
        printf("; forward %.2f, backward %.2f", 1e3 * r->forward, 1e3 * r->backward);
    printf("\n  speed     %10.1f GFLOP/s (%.2f GFLOP)\n", gflops(r->flops, r->pass.median),
           r->flops / 1e9);
    if (has_ceiling(r))
        printf("  ceiling   %10.1f GFLOP/s (%.2f ms): share %.1f %% (%.1f to %.1f)\n",
               gflops(r->flops, r->ceiling.median), 1e3 * r->ceiling.median,
               100 * r->share.median, 100 * r->share.low, 100 * r->share.high);
    printf("  memory    %10.1f MiB at most\n\n", r->peak_mib);
    printf("  %-12s%10s%7s%10s%10s%s\n", "part", "ms", "%", "GFLOP", "GFLOP/s",
           has_ceiling(r) ? "  ceiling ms share %" : "");
    for (size_t i = 0; i < BENCH_PARTS; i++)
        part_line(r, i);
    printf("\n");
    fflush(stdout);
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *parts_json(const bench_result *r)
{
    json_t *parts = json_array();

    for (size_t i = 0; i < BENCH_PARTS; i++) {
        json_t *part = json_pack("{s:s, s:f, s:f}", "name", bench_part_name(i), "ms",
                                 1e3 * r->part[i], "gflop", r->part_flops[i] / 1e9);
        if (has_ceiling(r))
            show_put_real(part, "ceiling_ms", 1e3 * r->part_ceiling[i]);
        json_array_append_new(parts, part);
    }
    return parts;
}

static json_t *products_json(const bench_result *r)
{
    static const char *const kinds[] = {"forward", "input", "weight"};
    json_t *products = json_array();

    for (size_t i = 0; i < r->product_count; i++) {
        const vit_product *p = &r->products[i].product;
        const double seconds = r->products[i].seconds;

        show_row(products, "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s}",
                 "name", p->name, "part", vit_part_name(p->part), "kind", kinds[p->kind],
                 "batch", (json_int_t)p->batch, "m", (json_int_t)p->m, "n",
                 (json_int_t)p->n, "k", (json_int_t)p->k, "count", (json_int_t)p->count,
                 "ms", 1e3 * seconds, "gflop_per_s", gflops(vit_product_flops(p), seconds),
                 "form", r->products[i].form);
    }
    return products;
}

static json_t *row_json(const bench_result *r, const bench_args *args)
{
    static const char *const recomputed[] = {"none", "attention", "block"};
    json_t *row = json_pack(
        "{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
        "case", r->name, "size", r->subject, "image", r->config.image, "batch",
        (json_int_t)r->batch, "parameters", (json_int_t)r->parameters, "rounds",
        (json_int_t)r->rounds, "passes", (json_int_t)r->passes, "median_ms",
        1e3 * r->pass.median, "min_ms", 1e3 * r->pass.low, "max_ms", 1e3 * r->pass.high,
        "images_per_s", (double)r->batch / r->pass.median, "gflop", r->flops / 1e9,
        "gflop_per_s", gflops(r->flops, r->pass.median), "peak_mib", r->peak_mib,
        "forward_ms", 1e3 * r->forward, "backward_ms", 1e3 * r->backward);

    if (!row)
        return NULL;
    if (vit_config_is_sparse(&r->config)) {
        show_put_int(row, "experts", r->config.moe.experts);
        show_put_int(row, "k", r->config.moe.k);
        show_put_text(row, "router", r->config.moe.router.name);
    }
    show_put_text(row, "recompute", recomputed[args->recompute]);
    show_put(row, "losses", bench_losses_json(&r->losses));
    show_put(row, "parts", parts_json(r));
    if (has_ceiling(r)) {
        show_put_real(row, "ceiling_ms", 1e3 * r->ceiling.median);
        show_put_real(row, "ceiling_gflop_per_s", gflops(r->flops, r->ceiling.median));
        show_put_real(row, "share", r->share.median);
        show_put(row, "products", products_json(r));
    }
    return row;
}

/* ---- the cases ----------------------------------------------------------------------- */

static base_status subject_run(void *user, json_t *results, base_error *err)
{
    const bench_subject *work = user;
    bench_context context = *work->context;
    const vit_mode mode =
        strcmp(context.name, "step") == 0 ? VIT_MODE_TRAIN : VIT_MODE_INFER;
    bench_result *result = app_take(NULL, 1, sizeof *result);
    const base_status status =
        bench_measure(result, context.name, work->name, mode, context.args, err);

    if (status != BASE_OK)
        return status;
    if (context.print && context.table)
        table_print(result, context.args);
    context.print = context.print && !context.table;
    bench_row(&context, results, row_json(result, context.args));
    return status;
}

base_status bench_step(const bench_context *context, base_error *err)
{
    if (!context->table)
        bench_head(context);
    return bench_subjects(context, subject_run, err);
}
