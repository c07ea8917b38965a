/* scale.c - the case scale: training steps on the ranks of a job, what they sent beside
 * what they must send, and what they waited. Rank r owns own_r of the W parameters: it
 * sends 4 bytes for each that it does not own (gradients), and its own ones to all others
 * (weights), 4 own_r (R - 1); and to all others a double for the sum of squares of each of
 * its chunks and one for whether it was finite. All ranks together 8 (W + chunks + R) (R -
 * 1). With --check any other number fails the case. Relied on elsewhere: the columns'
 * names. */
#include <math.h>

#include "apps/bench/internal.h"

/* Of a round; doubles, so that ranks can tell one another in one call. */
typedef struct scale_round {
    double seconds, waited;     /* the slowest rank's; the mean */
    double exchanged, gathered; /* bytes that this rank sent */
} scale_round;

static base_status step_once(bench_rig *rig, base_error *err)
{
    const size_t ranks = rig->ranks->mesh ? mesh_ranks(rig->ranks->mesh) : 1;
    const size_t rank = rig->ranks->mesh ? mesh_rank(rig->ranks->mesh) : 0;
    const vit_step step = {.seed = rig->seed,
                           .step = rig->steps++,
                           .first_sample = rank * rig->batch,
                           .loss_scale = 1.0 / (double)ranks};
    vit_optimizer_result result;

    /* those of the step before, as in a run; at first those that all have */
    vit_optimizer_share(rig->optimizer, rig->model);
    vit_run_gradients_zero(rig->run);
    base_status status =
        vit_run_forward(rig->run, rig->logits, rig->images, rig->batch, &step, err);
    if (status != BASE_OK)
        return status;
    bench_loss_add(&rig->losses, vit_loss_compute(VIT_LOSS_SOFTMAX, rig->d_logits, NULL,
                                                  rig->logits, rig->targets, rig->batch,
                                                  rig->classes, step.loss_scale));
    vit_run_hand_over(rig->run, rig->optimizer);
    status = vit_run_backward(rig->run, NULL, rig->d_logits, err);
    if (status != BASE_OK)
        return status;
    vit_optimizer_lane_end(rig->optimizer, rig->run);
    return vit_optimizer_step_among(&result, rig->optimizer, rig->model, rig->run, 1e-4,
                                    true, err);
}

/* What this rank has sent and waited so far. */
static scale_round counted(const app_ranks *ranks)
{
    scale_round out = {0};

    if (!ranks->mesh)
        return out;
    const mesh_counts counts = mesh_counted(ranks->mesh);
    out.exchanged = (double)counts.kind[MESH_KIND_EXCHANGE].sent;
    out.gathered = (double)counts.kind[MESH_KIND_GATHER].sent;
    for (size_t i = 0; i < MESH_KINDS; i++)
        out.waited += counts.kind[i].waited;
    return out;
}

/* A round on all ranks together. */
static base_status round_run(scale_round *out, bench_rig *rig, base_error *err)
{
    mesh_job *mesh = rig->ranks->mesh;
    base_status status = mesh ? mesh_barrier(mesh_world(mesh), err) : BASE_OK;
    const scale_round before = counted(rig->ranks);
    const double began = base_seconds();

    if (status == BASE_OK)
        status = step_once(rig, err);
    if (status != BASE_OK)
        return status;
    const scale_round after = counted(rig->ranks);
    *out =
        (scale_round){base_seconds() - began, after.waited - before.waited,
                      after.exchanged - before.exchanged, after.gathered - before.gathered};
    return BASE_OK;
}

/* Bytes that all ranks send in a step. */
static double formula(const bench_rig *rig)
{
    enum { CHUNK = 1 << 14 }; /* of the optimiser, none across two tensors */
    const size_t ranks = rig->ranks->mesh ? mesh_ranks(rig->ranks->mesh) : 1;
    size_t count = vit_model_floats(rig->model) + ranks;

    for (size_t i = 0; i < vit_model_parameter_count(rig->model); i++)
        count += (vit_model_parameter(rig->model, i)->count + CHUNK - 1) / CHUNK;
    return 8 * (double)count * (double)(ranks - 1);
}

/* out becomes the round of the job: the slowest rank's time, bytes of all ranks. check:
 * BASE_INTERNAL when a rank's own bytes are not those of the parameters that it owns, or
 * all are not the formula's. */
static base_status round_join(scale_round *out, const bench_rig *rig, bool check,
                              base_error *err)
{
    mesh_job *mesh = rig->ranks->mesh;
    enum { MOST = 4096 };
    static scale_round each[MOST];

    if (!mesh)
        return BASE_OK;
    const size_t ranks = mesh_ranks(mesh);
    if (ranks > MOST)
        return base_fail(err, BASE_USAGE, "%zu ranks, expected at most %d", ranks, MOST);
    each[mesh_rank(mesh)] = *out;
    const base_status status = mesh_all(mesh_world(mesh), each, sizeof *each, err);
    if (status != BASE_OK)
        return status;
    *out = (scale_round){0};
    for (size_t i = 0; i < ranks; i++) {
        const double own = 4 * (double)vit_model_floats(rig->model) - each[i].exchanged;
        const double notes = each[i].gathered / (double)(ranks - 1) - own;
        if (check && (own < 0 || notes < 16 || fmod(notes, 8) != 0 || notes > own))
            return base_fail(err, BASE_INTERNAL,
                             "%s sent %.0f bytes of gradients, so that it owns %.0f, but "
                             "%.0f of weights to %zu ranks",
                             mesh_name(mesh, i), each[i].exchanged, own, each[i].gathered,
                             ranks - 1);
        out->seconds = each[i].seconds > out->seconds ? each[i].seconds : out->seconds;
        out->waited += each[i].waited / (double)ranks;
        out->exchanged += each[i].exchanged;
        out->gathered += each[i].gathered;
    }
    if (check && out->exchanged + out->gathered != formula(rig))
        return base_fail(err, BASE_INTERNAL,
                         "%.0f bytes were sent in a step, expected %.0f",
                         out->exchanged + out->gathered, formula(rig));
    return BASE_OK;
}

static void row_put(const bench_context *context, const char *subject, const bench_rig *rig,
                    size_t rounds, bench_spread step, double waited, double sent)
{
    const mesh_job *mesh = rig->ranks->mesh;
    const size_t ranks = mesh ? mesh_ranks(mesh) : 1, nodes = mesh ? mesh_nodes(mesh) : 1;
    const double rate = (double)(ranks * rig->batch) / step.median;

    bench_row(context, context->results,
              json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, "
                        "s:f, s:o}",
                        "case", "scale", "size", show_json_text(subject), "ranks",
                        (json_int_t)ranks, "nodes", (json_int_t)nodes, "batch",
                        (json_int_t)rig->batch, "parameters",
                        (json_int_t)vit_model_floats(rig->model), "rounds",
                        (json_int_t)rounds, "median_ms", 1e3 * step.median, "min_ms",
                        1e3 * step.low, "max_ms", 1e3 * step.high, "images_per_s", rate,
                        "waited_ms", 1e3 * waited, "sent_bytes", sent, "formula_bytes",
                        formula(rig), "losses", bench_losses_json(&rig->losses)));
}

/* Whether rank 0, which alone has a standard input, goes on. */
static base_status wanted(bool *out, size_t made, const bench_rig *rig,
                          const bench_args *args, base_error *err)
{
    *out = app_ranks_lead(rig->ranks) && bench_round_wanted(made, args);
    return app_ranks_share(rig->ranks, out, sizeof *out, err);
}

/* Rounds of which the first args->warmup are not counted: times, what was waited in all,
 * bytes of the last one. */
static base_status rounds_run(bench_times *times, double *waited, double *sent,
                              bench_rig *rig, const bench_args *args, base_error *err)
{
    const bool speak = args->paced && app_ranks_lead(rig->ranks);
    base_status status = BASE_OK;
    bool more = true;

    for (int64_t i = -args->warmup; status == BASE_OK; i++) {
        scale_round round;
        if (i == 0 && speak)
            bench_say("ready");
        if (i >= 0)
            status = wanted(&more, times->count, rig, args, err);
        if (status != BASE_OK || !more)
            break;
        status = round_run(&round, rig, err);
        if (status == BASE_OK)
            status = round_join(&round, rig, args->check, err);
        if (status != BASE_OK || i < 0)
            continue;
        times->seconds[times->count++] = round.seconds;
        *waited += round.waited;
        *sent = round.exchanged + round.gathered;
        if (speak)
            bench_say("round %.4f", 1e3 * round.seconds);
    }
    if (status == BASE_OK && times->count == 0)
        status = base_fail(err, BASE_USAGE, "no line on standard input asked for a round");
    return status;
}

static base_status scale_subject(const bench_context *context, const char *subject,
                                 app_ranks *ranks, base_error *err)
{
    static bench_times times;
    bench_rig rig = {0};
    vit_model *model = NULL;
    double waited = 0, sent = 0;
    base_status status = bench_model(&model, subject, context->args, err);

    if (status == BASE_OK)
        status = bench_rig_open(&rig, model, VIT_MODE_TRAIN, ranks, context->args, err);

    times.count = 0;
    if (status == BASE_OK)
        status = rounds_run(&times, &waited, &sent, &rig, context->args, err);
    if (status == BASE_OK)
        row_put(context, subject, &rig, times.count, bench_spread_of(&times),
                waited / (double)times.count, sent);
    bench_rig_close(&rig);
    return status;
}

base_status bench_scale(const bench_context *context, base_error *err)
{
    bench_head(context);
    for (size_t i = 0; i < context->subject_count; i++) {
        const base_status status =
            scale_subject(context, context->subjects[i], context->ranks, err);
        if (status != BASE_OK)
            return status;
    }
    return BASE_OK;
}
