/* outside.c - checks by attacks that do not use the model's gradient: C7
 * black-box search, C8 examples made for another model. If they break what the gradient
 * could not, the gradient is masked. */
#include "attacks/checks/checks_internal.h"

#include <math.h>

static base_status black_box(attack_bench *bench, base_error *err)
{
    attack_check *check = attack_bench_check(bench, 7);
    const attack_bench_settings settings = {.eps = bench->run->config.eps,
                                            .seed = bench->run->config.seed};
    const size_t white = attack_bench_white(bench);
    attack_run *run = NULL;
    char spec[64];

    if (!attack_knows_norm("square", bench->run->config.norm)) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "no black-box attack works in this norm");
        return BASE_OK;
    }
    snprintf(spec, sizeof spec, "square:queries=%zu", bench->options->queries);
    const base_status status = attack_bench_go(&run, bench, spec, &settings, err);
    if (status != BASE_OK)
        return status;
    attack_verdict_black_box(bench, attack_bench_broken(run), white);
    attack_run_destroy(run);
    return BASE_OK;
}

/* How many of run's examples, made for another model, this one gets wrong. */
static base_status count_wrong(size_t *wrong, attack_bench *bench, const attack_run *run,
                               base_error *err)
{
    const attack_target *target = &bench->run->target;
    float *logits = base_alloc(bench->n, bench->classes * sizeof(float));

    if (!logits)
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    const base_status status = attack_bench_logits(
        target, logits, attack_run_adversarial(run), bench->n, target->batch, err);
    *wrong = 0;
    for (size_t i = 0; i < bench->n && status == BASE_OK; i++) {
        const int32_t seen = attack_predict(logits + i * bench->classes, bench->classes);
        const bool broken = seen >= 0 && seen != bench->labels[i];
        *wrong += broken;
        bench->found[i] |= broken;
    }
    base_free(logits);
    return status;
}

static base_status transfer(attack_bench *bench, base_error *err)
{
    attack_check *check = attack_bench_check(bench, 8);
    const attack_target *from = bench->options->transfer, *to = &bench->run->target;
    const size_t white = attack_bench_white(bench);
    attack_run *run = NULL;
    size_t wrong = 0;

    if (!from || from->classes != to->classes || from->channels != to->channels ||
        from->height != to->height || from->width != to->width) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         from ? "the other model takes other images or classes"
                              : "no other model was given");
        return BASE_OK;
    }
    const attack_bench_settings settings = {.eps = bench->run->config.eps,
                                            .seed = bench->run->config.seed,
                                            .all_steps = true,
                                            .target = from};
    base_status status = attack_bench_go(&run, bench, bench->pgd, &settings, err);
    if (status == BASE_OK)
        status = count_wrong(&wrong, bench, run, err);
    attack_run_destroy(run);
    if (status != BASE_OK)
        return status;
    attack_verdict_transfer(bench, wrong, white);
    return BASE_OK;
}

base_status attack_checks_outside(attack_bench *bench, base_error *err)
{
    attack_bench_begin(bench, 7);
    if (bench->n == 0 || bench->run->config.eps == 0) {
        for (int number = 7; number <= 8; number++)
            attack_check_set(attack_bench_check(bench, number), ATTACK_VERDICT_SKIPPED, NAN,
                             NAN, "%s",
                             bench->n == 0 ? "no image is classified rightly" : "eps is 0");
        attack_bench_begin(bench, 8);
        return BASE_OK;
    }
    const base_status status = black_box(bench, err);
    attack_bench_begin(bench, 8);
    return status == BASE_OK ? transfer(bench, err) : status;
}
