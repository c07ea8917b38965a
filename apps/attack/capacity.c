/* capacity.c - what an attack on experts without limits leaves out: the network as it was
 * trained, where full experts drop tokens (attacks.md 9.4). Clean accuracy and dropped
 * shares with the trained capacity, in batches of consecutive samples. Relied on elsewhere:
 * the network is as it was when this returns. */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"

/* One pass over images [n, D] with capacity: how many are right, what share was dropped. */
static base_status pass(size_t *right, double *share, const app_attack *a,
                        measure_target *target, const float *images, float *logits,
                        base_error *err)
{
    const size_t batch = (size_t)a->args->common.batch, classes = a->network.classes;
    const vit_run *run = measure_target_run(target);
    double made = 0, dropped = 0;

    *right = 0;
    for (size_t first = 0; first < a->n; first += batch) {
        const size_t count = a->n - first < batch ? a->n - first : batch;
        const base_status status =
            measure_target_look(target, logits, images + first * a->floats, count, err);

        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < count; i++)
            *right += attack_predict(logits + i * classes, classes) == a->labels[first + i];
        for (size_t l = 0; l < vit_run_moe_count(run); l++) {
            const vit_routing r = vit_run_routing(run, l);

            made += (double)r.count;
            for (size_t k = 0; k < r.count; k++)
                dropped += !r.kept[k];
        }
    }
    *share = made > 0 ? dropped / made : 0;
    return BASE_OK;
}

base_status app_attack_capacity(app_attack *a, base_error *err)
{
    const vit_config as_is = *a->network.config;
    vit_config trained = as_is;
    measure_target *target = NULL;
    size_t unused;

    if (!vit_config_is_sparse(&as_is) || !(as_is.moe.capacity > 0) ||
        as_is.moe.eval_capacity > 0)
        return BASE_OK;
    trained.moe.eval_capacity = as_is.moe.capacity;
    base_status status = vit_model_config_set(a->network.model, &trained, err);
    if (status != BASE_OK)
        return status;
    status = app_attack_target(&target, a, err);
    float *logits =
        app_take(NULL, (size_t)a->args->common.batch, a->network.classes * sizeof *logits);
    if (status == BASE_OK)
        status = pass(&a->trained.right, &a->trained.dropped[0], a, target, a->images,
                      logits, err);
    if (status == BASE_OK)
        status = pass(&unused, &a->trained.dropped[1], a, target,
                      attack_run_adversarial(a->run), logits, err);
    a->trained.known = status == BASE_OK;
    a->trained.capacity = as_is.moe.capacity;
    measure_target_destroy(target);
    const base_status back = vit_model_config_set(a->network.model, &as_is, err);
    return status == BASE_OK ? back : status;
}
