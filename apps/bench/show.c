/* show.c - the cases' results: CSV as a view of the rows of their document, for scripts;
 * of step and infer the rows, and a table for people. Relied on elsewhere: the columns'
 * names (bench/run reads them; bench/peers/corrupt.py prints the same ones). */
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

/* ---- CSV ----------------------------------------------------------------------------- */

/* As show_csv_head has them. */
const char bench_step_csv[] =
    "program vmoe-{/vmoe},case,size,image,batch,threads {/threads},precision {/precision},"
    "parameters,experts {experts|0},k {k|0},router,steps {rounds},median_ms {median_ms:.3},"
    "min_ms {min_ms:.3},max_ms {max_ms:.3},images_per_s {images_per_s:.2},"
    "gflop {gflop:.3},gflop_per_s {gflop_per_s:.2},ceiling_ms {ceiling_ms:.3},"
    "ceiling_gflop_per_s {ceiling_gflop_per_s:.2},share_percent {share:p2},"
    "peak_mib {peak_mib:.1},forward_ms {forward_ms:.3},backward_ms {backward_ms:.3},"
    "patch_ms {parts[0].ms:.3},norm_ms {parts[1].ms:.3},projection_ms {parts[2].ms:.3},"
    "attention_ms {parts[3].ms:.3},softmax_ms {parts[4].ms:.3},mlp_ms {parts[5].ms:.3},"
    "router_ms {parts[6].ms:.3},dispatch_ms {parts[7].ms:.3},experts_ms {parts[8].ms:.3},"
    "combine_ms {parts[9].ms:.3},head_ms {parts[10].ms:.3},other_ms {parts[11].ms:.3},"
    "loss_ms {parts[12].ms:.3},optimizer_ms {parts[13].ms:.3},recompute,machine {/machine}";
_Static_assert(BENCH_PARTS == 14, "the columns of a step have its parts by their place");
const char bench_router_csv[] =
    "program vmoe-{/vmoe},case,size,router,batch,threads {/threads},precision {/precision},"
    "experts,k,step_ms {step_ms:.3},softmax_ms {softmax_ms:.3},ratio {ratio:.4},"
    "router_ms {router_ms:.3},dispatch_ms {dispatch_ms:.3},combine_ms {combine_ms:.3},"
    "routing_ms {routing_ms:.3},routing_percent {share:p2}";
const char bench_sinkhorn_csv[] =
    "program vmoe-{/vmoe},case,tokens,experts,iterations,threads,rounds,"
    "median_ms {median_ms:.3},min_ms {min_ms:.3},max_ms {max_ms:.3},machine {/machine}";
const char bench_attack_csv[] =
    "program vmoe,case,size,image,batch,precision {/precision},threads {/threads},rounds,"
    "forward_ms {forward_ms:.4},step_ms {step_ms:.4},ratio {ratio:.3},"
    "image_steps_per_s {image_steps_per_s:.1},machine {/machine}";
const char bench_scale_csv[] =
    "program vmoe,case,size,ranks,nodes,batch,parameters,precision {/precision},"
    "threads {/threads},rounds,median_ms {median_ms:.3},min_ms {min_ms:.3},"
    "max_ms {max_ms:.3},images_per_s {images_per_s:.1},waited_ms {waited_ms:.3},"
    "sent_bytes {sent_bytes:.0},formula_bytes {formula_bytes:.0},machine {/machine}";
const char bench_corrupt_csv[] =
    "program vmoe-{/vmoe},case,corruption,severity,size,threads,rounds,"
    "median_ms {median_ms:.4},min_ms {min_ms:.4},max_ms {max_ms:.4}";
const char bench_decode_csv[] =
    "program vmoe-{/vmoe},case,what,images,threads,images_per_s {images_per_s:.1},"
    "min_images_per_s {min_images_per_s:.1},max_images_per_s {max_images_per_s:.1},"
    "images_per_s_per_core {images_per_s_per_core:.1},microseconds {microseconds:.2},"
    "machine {/machine}";

void bench_head(const bench_context *context)
{
    if (context->print)
        show_csv_head(stdout, context->columns);
}

void bench_row(const bench_context *context, json_t *results, json_t *row)
{
    json_array_append(results, row);
    show_put(show_document_json(context->document), "row", row);
    if (!context->print)
        return;
    show_csv_row(stdout, context->columns, context->document, "row", NULL);
    fflush(stdout);
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

void bench_table(const bench_result *r, const bench_args *args)
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

json_t *bench_json(const bench_result *r, const bench_args *args)
{
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
    show_put_text(row, "recompute", bench_recompute_name(args));
    show_put(row, "parts", parts_json(r));
    if (has_ceiling(r)) {
        show_put_real(row, "ceiling_ms", 1e3 * r->ceiling.median);
        show_put_real(row, "ceiling_gflop_per_s", gflops(r->flops, r->ceiling.median));
        show_put_real(row, "share", r->share.median);
        show_put(row, "products", products_json(r));
    }
    return row;
}
