/* show.c - the cases' results as CSV: a view of the rows of their document, for scripts.
 * Relied on elsewhere: the columns' names (bench/run reads them; bench/peers/corrupt.py
 * prints the same ones). */
#include "apps/bench/internal.h"

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
