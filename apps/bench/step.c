/* step.c - the cases step and infer: a training step and a forward pass on random images,
 * each subject in a process of its own. */
#include "apps/bench/internal.h"

#include <string.h>

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
        bench_table(result, context.args);
    context.print = context.print && !context.table;
    bench_row(&context, results, bench_json(result, context.args));
    return status;
}

base_status bench_step(const bench_context *context, base_error *err)
{
    if (!context->table)
        bench_head(context);
    return bench_subjects(context, subject_run, err);
}
