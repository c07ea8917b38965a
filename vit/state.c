/* state.c - what no gradient moves: numbers that routers keep their loads even with
 * (routing-newer.md 15). They select first and move later: a pass reads them as they are,
 * its backward leaves sums behind, and after the optimiser's step the sums move them. Moved
 * within a batch they would tell a sample of the others beside it. Relied on elsewhere:
 * sums of passes and of ranks may be added. */
#include "vit/run_internal.h"

double *vit_run_tally(vit_run *run, size_t *count)
{
    *count = run->moe_count * run->tally_count;
    return *count > 0 ? run->tally : NULL;
}

void vit_optimizer_state_step(vit_optimizer *optimizer, vit_model *model,
                              const vit_run *run, const vit_step *step)
{
    const size_t count = run->tally_count;

    if (count > 0) {
        const vit_parameters w = vit_parameters_at(model, vit_model_weights(model));
        for (size_t i = 0; i < run->moe_count; i++) {
            const size_t block = run->moe_block[i];
            const vit_block_state *s = &run->block[block];
            if (vit_block_frozen(run, block))
                continue;
            s->router->motion->move(w.block[block].router, run->tally + i * count,
                                    &s->pass.plan.shape, step->step, step->steps);
        }
    }
    vit_optimizer_state_average(optimizer, model);
}
