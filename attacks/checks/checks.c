/* checks.c - whether the outcome of a run can be believed: 20 checks, each with a
 * verdict and its numbers (attacks.md 11; after Carlini et al. 2019, "On evaluating
 * adversarial robustness", arXiv 1902.06705, and Pintor et al. 2022, "Indicators of
 * attack failure", arXiv 2106.09947). Passing them proves nothing; failing one means
 * that robust accuracy is not to be quoted. Here: the workbench and the order. */
#include "attacks/checks/checks_internal.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

static const char *const ids[ATTACK_CHECK_COUNT] = {
    "C1",  "C2",  "C3",  "C4",  "C5",  "C6",  "C7",  "C8",  "C9",  "C10",
    "C11", "C12", "C13", "C14", "C15", "C16", "C17", "C18", "C19", "C20"};

static const char *const titles[ATTACK_CHECK_COUNT] = {
    "accuracy does not rise with eps",
    "a very large eps breaks everything",
    "many steps are not weaker than one",
    "more steps change little",
    "more restarts change little",
    "random noise is weaker than the gradient",
    "black-box search is not stronger than the gradient",
    "transferred examples are not stronger",
    "one target is not stronger than all",
    "gradients at the start are not zero",
    "the loss rises and settles",
    "stored examples are what they claim",
    "answers are repeatable and do not depend on neighbours",
    "outputs are logits",
    "there are classes enough",
    "clean accuracy is that of the ordinary evaluation, and above chance",
    "failed attempts used their budget",
    "seeds repeat, and agree",
    "the gradient matches finite differences",
    "the reported worst case is no weaker than what the checks found"};

attack_check_options attack_check_options_defaults(void)
{
    return (attack_check_options){
        .samples = 64, .steps = 20, .queries = 500, .ordinary_right = SIZE_MAX};
}

attack_check *attack_bench_check(attack_bench *bench, int number)
{
    assert(number >= 1 && number <= ATTACK_CHECK_COUNT);
    return &bench->checks[number - 1];
}

void attack_bench_begin(attack_bench *bench, int number)
{
    const attack_check_options *options = bench->options;

    if (options->progress)
        options->progress(options->user, bench->begun, ids[number - 1], titles[number - 1]);
    bench->begun++;
}

void attack_check_set(attack_check *check, attack_verdict verdict, double value,
                      double limit, const char *format, ...)
{
    va_list arguments;

    check->verdict = verdict;
    check->value = value;
    check->limit = limit;
    va_start(arguments, format);
    vsnprintf(check->text, sizeof check->text, format, arguments);
    va_end(arguments);
}

double attack_bench_slack(size_t n, double share)
{
    return fmax(1, share * (double)n);
}

/* What an attack of the checks broke within the budget of the run that is checked. */
static void count_found(attack_bench *bench, const attack_run *run, const char *spec)
{
    const size_t broken = attack_bench_broken(run);

    for (size_t i = 0; i < bench->n; i++)
        bench->found[i] |= attack_run_broke(run, 0, i);
    if (broken > bench->best) {
        bench->best = broken;
        snprintf(bench->best_spec, sizeof bench->best_spec, "%s", spec);
    }
}

base_status attack_bench_go(attack_run **out, attack_bench *bench, const char *spec,
                            const attack_bench_settings *settings, base_error *err)
{
    const attack_target *target = settings->target ? settings->target : &bench->run->target;
    attack_config config = bench->run->config;
    attack_run *run = NULL;

    config.eps = settings->eps;
    config.seed = settings->seed;
    config.mode = ATTACK_MODE_INDIVIDUAL;
    config.early_stop = !settings->all_steps;
    config.samples = bench->samples;
    config.stop = bench->options->stop;
    config.progress = NULL;
    config.save_due = NULL;
    config.save = NULL;
    config.user = bench->options->user;
    if (settings->target)
        config.fixed_routing = false;
    base_status status = attack_run_create(&run, target, &config, bench->images,
                                           bench->labels, bench->n, err);
    if (status == BASE_OK)
        status = attack_run_add(run, spec, err);
    if (status == BASE_OK)
        status = attack_run_go(run, err);
    if (status == BASE_OK && !settings->target && settings->eps <= bench->run->config.eps)
        count_found(bench, run, spec);
    if (status == BASE_OK)
        *out = run;
    else
        attack_run_destroy(run);
    return status;
}

size_t attack_bench_broken(const attack_run *run)
{
    return attack_run_result(run, 0)->broken;
}

void attack_bench_count_white(attack_bench *bench, const attack_run *run)
{
    for (size_t i = 0; i < bench->n; i++)
        bench->white[i] |= attack_run_broke(run, 0, i);
}

size_t attack_bench_white(const attack_bench *bench)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->n; i++)
        count += bench->white[i];
    return count;
}

base_status attack_bench_logits(const attack_target *target, float *logits,
                                const float *images, size_t n, size_t together,
                                base_error *err)
{
    const size_t count = target->channels * target->height * target->width;
    const size_t batch = together < target->batch ? together : target->batch;
    base_status status = BASE_OK;

    for (size_t i = 0; i < n && status == BASE_OK; i += batch)
        status = target->logits(target->user, logits + i * target->classes,
                                images + i * count, n - i < batch ? n - i : batch, err);
    return status;
}

/* Copies the first right images, with their labels, logits and global numbers. */
static base_status choose(attack_bench *bench, base_error *err)
{
    const attack_run *run = bench->run;
    size_t wanted = 0;

    for (size_t i = 0; i < run->n && wanted < bench->options->samples; i++)
        wanted += run->samples[i].right;
    bench->images = base_alloc(wanted, bench->count * sizeof(float));
    bench->labels = base_alloc(wanted, sizeof *bench->labels);
    bench->samples = base_alloc(wanted, sizeof *bench->samples);
    bench->logits = base_alloc(wanted, bench->classes * sizeof(float));
    bench->white = base_alloc(wanted, 1);
    bench->found = base_alloc(wanted, 1);
    bench->reported = base_alloc(wanted, 1);
    if (!bench->images || !bench->labels || !bench->samples || !bench->logits ||
        !bench->white || !bench->found || !bench->reported)
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    for (size_t i = 0; i < run->n && bench->n < wanted; i++) {
        if (!run->samples[i].right)
            continue;
        memcpy(bench->images + bench->n * bench->count, run->images + i * bench->count,
               bench->count * sizeof(float));
        memcpy(bench->logits + bench->n * bench->classes,
               run->clean_logits + i * bench->classes, bench->classes * sizeof(float));
        bench->labels[bench->n] = run->labels[i];
        bench->reported[bench->n] = run->samples[i].broken;
        bench->samples[bench->n++] =
            run->config.samples ? run->config.samples[i] : (uint32_t)i;
    }
    return BASE_OK;
}

base_status attack_checks(attack_check checks[ATTACK_CHECK_COUNT], const attack_run *run,
                          const attack_check_options *options, base_error *err)
{
    static base_status (*const groups[])(attack_bench *, base_error *) = {
        attack_checks_outcome,  attack_checks_model, attack_checks_slope,
        attack_checks_strength, attack_checks_curve, attack_checks_outside,
        attack_checks_reported};
    attack_bench bench = {.run = run,
                          .options = options,
                          .checks = checks,
                          .count = run->count,
                          .classes = run->target.classes};

    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++) {
        checks[i] = (attack_check){.id = ids[i], .title = titles[i]};
        attack_check_set(&checks[i], ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "the checks were stopped before this one");
    }
    base_status status = BASE_OK;
    if (!run->clean_done)
        status = base_fail(err, BASE_USAGE, "there is nothing to check before a run");
    if (status == BASE_OK)
        status = choose(&bench, err);
    snprintf(bench.pgd, sizeof bench.pgd, "pgd:steps=%zu", options->steps);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0] && status == BASE_OK; i++) {
        if (options->stop && options->stop(options->user))
            status = base_fail(err, BASE_INTERRUPTED, "stopped while checking");
        else
            status = groups[i](&bench, err);
    }
    base_free(bench.images);
    base_free(bench.labels);
    base_free(bench.samples);
    base_free(bench.logits);
    base_free(bench.white);
    base_free(bench.found);
    base_free(bench.reported);
    return status;
}
