/* step.c - the cases step and infer: a training step and a forward pass on random images,
 * each subject in a process of its own. */
#include "apps/bench/internal.h"

typedef struct step_work {
    const bench_context *context;
    const char *name, *subject;
    vit_mode mode;
} step_work;

static base_status subject_run(void *user, json_t *results, base_error *err)
{
    const step_work *work = user;
    bench_context context = *work->context;
    bench_result *result = app_take(NULL, 1, sizeof *result);
    const base_status status =
        bench_measure(result, work->name, work->subject, work->mode, context.args, err);

    if (status != BASE_OK)
        return status;
    if (context.print && context.table)
        bench_table(result, context.args);
    context.print = context.print && !context.table;
    bench_row(&context, results, bench_json(result, context.args));
    return status;
}

static base_status subjects_run(const bench_context *context, const char *name,
                                vit_mode mode, base_error *err)
{
    base_status status = BASE_OK;

    if (!context->table)
        bench_head(context);
    for (size_t i = 0; i < context->subject_count && status == BASE_OK; i++) {
        step_work work = {.context = context,
                          .name = name,
                          .subject = context->subjects[i],
                          .mode = mode};

        status = bench_child(subject_run, &work, context->results, err);
    }
    return status;
}

base_status bench_step(const bench_context *context, base_error *err)
{
    return subjects_run(context, "step", VIT_MODE_TRAIN, err);
}

base_status bench_infer(const bench_context *context, base_error *err)
{
    return subjects_run(context, "infer", VIT_MODE_INFER, err);
}
