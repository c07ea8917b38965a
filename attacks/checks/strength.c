/* strength.c - checks by attacks of known order of strength, on the same few
 * images: C1 to C6, C9, C17 and C18. Verdicts on the counts: verdict.c. */
#include "attacks/checks/checks_internal.h"

#include <math.h>
#include <string.h>

enum { RESTARTS = 5, TARGETS = 9 };

static const double USED = 0.9; /* C17: of eps */

static attack_bench_settings usual(const attack_bench *bench)
{
    return (attack_bench_settings){.eps = bench->run->config.eps,
                                   .seed = bench->run->config.seed};
}

/* Broken by spec at the run's eps; counts as white box. */
static base_status white_box(size_t *broken, attack_bench *bench, const char *spec,
                             base_error *err)
{
    const attack_bench_settings settings = usual(bench);
    attack_run *run = NULL;
    const base_status status = attack_bench_go(&run, bench, spec, &settings, err);

    if (status != BASE_OK)
        return status;
    *broken = attack_bench_broken(run);
    attack_bench_count_white(bench, run);
    attack_run_destroy(run);
    return BASE_OK;
}

/* ---- C1, C2: budgets ----------------------------------------------------------------- */

static base_status broken_at(size_t *broken, attack_bench *bench, double eps,
                             base_error *err)
{
    attack_bench_settings settings = usual(bench);
    attack_run *run = NULL;

    settings.eps = eps;
    const base_status status = attack_bench_go(&run, bench, bench->pgd, &settings, err);
    if (status != BASE_OK)
        return status;
    *broken = attack_bench_broken(run);
    attack_run_destroy(run);
    return BASE_OK;
}

static double largest_eps(const attack_bench *bench)
{
    const double count = (double)bench->count;

    return bench->run->config.norm == ATTACK_NORM_LINF ? 1
           : bench->run->config.norm == ATTACK_NORM_L2 ? sqrt(count)
                                                       : count;
}

/* base: broken by PGD at the run's eps. */
static base_status budgets(attack_bench *bench, size_t base, base_error *err)
{
    const double eps = bench->run->config.eps, most = largest_eps(bench);
    attack_budget_counts c = {
        .base = base,
        .large = bench->run->config.norm == ATTACK_NORM_LINF ? 0.5 : most / 2};

    attack_bench_begin(bench, 1);
    base_status status = broken_at(&c.none, bench, 0, err);

    if (status == BASE_OK)
        status = broken_at(&c.half, bench, eps / 2, err);
    if (status == BASE_OK)
        status = broken_at(&c.twice, bench, fmin(2 * eps, most), err);
    attack_bench_begin(bench, 2);
    if (status == BASE_OK)
        status = broken_at(&c.all, bench, c.large, err);
    if (status == BASE_OK)
        attack_verdict_budgets(bench, &c);
    return status;
}

/* ---- C3, C6: one step, noise --------------------------------------------------------- */

static base_status simple_attacks(attack_bench *bench, size_t base, base_error *err)
{
    const bool has_fgsm = attack_knows_norm("fgsm", bench->run->config.norm);
    const attack_bench_settings settings = usual(bench);
    size_t fgsm = SIZE_MAX;
    attack_run *run = NULL;
    base_status status = BASE_OK;

    attack_bench_begin(bench, 3);
    if (has_fgsm)
        status = white_box(&fgsm, bench, "fgsm", err);
    if (status != BASE_OK)
        return status;
    attack_verdict_one_step(bench, base, fgsm);
    attack_bench_begin(bench, 6);
    status = attack_bench_go(&run, bench, "noise", &settings, err);
    if (status != BASE_OK)
        return status;
    const attack_result *noise = attack_run_result(run, 0);
    attack_verdict_noise(bench, base, fgsm, noise->broken, noise->draw_accuracy);
    attack_run_destroy(run);
    return BASE_OK;
}

/* ---- C4, C5, C9: more steps, restarts, targets --------------------------------------- */

static base_status more_steps(attack_bench *bench, size_t base, base_error *err)
{
    const size_t steps = bench->options->steps;
    char spec[64];
    size_t twice = 0, five = 0;

    attack_bench_begin(bench, 4);
    snprintf(spec, sizeof spec, "pgd:steps=%zu", 2 * steps);
    base_status status = white_box(&twice, bench, spec, err);
    snprintf(spec, sizeof spec, "pgd:steps=%zu", 5 * steps);
    if (status == BASE_OK)
        status = white_box(&five, bench, spec, err);
    if (status == BASE_OK)
        attack_verdict_steps(bench, base, twice, five);
    return status;
}

static base_status more_restarts(attack_bench *bench, base_error *err)
{
    const attack_bench_settings settings = usual(bench);
    char spec[96];
    attack_run *run = NULL;

    attack_bench_begin(bench, 5);
    snprintf(spec, sizeof spec, "%s,restarts=%d", bench->pgd, RESTARTS);
    const base_status status = attack_bench_go(&run, bench, spec, &settings, err);
    if (status != BASE_OK)
        return status;
    attack_verdict_restarts(bench, attack_run_result(run, 0));
    attack_bench_count_white(bench, run);
    attack_run_destroy(run);
    return BASE_OK;
}

static base_status targets(attack_bench *bench, base_error *err)
{
    const size_t steps = (bench->options->steps + 1) / 2; /* many targets: shorter */
    const size_t targets = bench->classes - 1 < TARGETS ? bench->classes - 1 : TARGETS;
    char spec[96];
    size_t one = 0, all = 0;

    attack_bench_begin(bench, 9);
    snprintf(spec, sizeof spec, "pgd:steps=%zu,loss=margin,aim=random", steps);
    base_status status = white_box(&one, bench, spec, err);
    snprintf(spec, sizeof spec, "pgd:steps=%zu,loss=margin,targets=%zu", steps, targets);
    if (status == BASE_OK)
        status = white_box(&all, bench, spec, err);
    if (status == BASE_OK)
        attack_verdict_targets(bench, targets, one, all);
    return status;
}

/* ---- C17, C18: failures and seeds ---------------------------------------------------- */

/* run: PGD at the run's eps; and what the reported attacks left. */
static void failures(attack_bench *bench, const attack_run *run)
{
    const double pgd = attack_run_budget_used(run);
    const double reported = attack_run_budget_used(bench->run);
    const double used = fmin(pgd, reported); /* of the two that are numbers */
    char by_pgd[64] = "PGD failed on none", by_report[64] = "the reported attacks on none";

    if (!isnan(pgd))
        snprintf(by_pgd, sizeof by_pgd, "PGD's best tries at what it left use %.1f %%",
                 100 * pgd);
    if (!isnan(reported))
        snprintf(by_report, sizeof by_report, "those of the reported attacks %.1f %%",
                 100 * reported);
    attack_check_set(attack_bench_check(bench, 17),
                     used < USED ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, used, USED,
                     "%s, %s%s%s", by_pgd, by_report,
                     isnan(used) ? "" : " of eps in the median",
                     used < USED ? ": budget is left over" : "");
}

/* The same seed again, and two others; base: PGD with the run's seed. */
static base_status seeds(attack_bench *bench, const attack_run *base, base_error *err)
{
    attack_bench_settings settings = usual(bench);
    size_t broken[ATTACK_CHECK_SEEDS], differ = 0;

    attack_bench_begin(bench, 18);
    for (int turn = 0; turn < ATTACK_CHECK_SEEDS; turn++) {
        attack_run *run = NULL;
        settings.seed = bench->run->config.seed + (uint64_t)turn;
        const base_status status = attack_bench_go(&run, bench, bench->pgd, &settings, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < bench->n && turn == 0; i++)
            differ += attack_run_broke(run, 0, i) != attack_run_broke(base, 0, i);
        broken[turn] = attack_bench_broken(run);
        attack_run_destroy(run);
    }
    attack_verdict_seeds(bench, differ, broken);
    return BASE_OK;
}

base_status attack_checks_strength(attack_bench *bench, base_error *err)
{
    static const int mine[] = {1, 2, 3, 4, 5, 6, 9, 17, 18};
    attack_bench_settings settings = usual(bench);
    attack_run *run = NULL;

    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++)
        attack_check_set(attack_bench_check(bench, mine[i]), ATTACK_VERDICT_SKIPPED, NAN,
                         NAN,
                         bench->n == 0 ? "no image is classified rightly" : "eps is 0");
    if (bench->n == 0 || settings.eps == 0) {
        bench->begun += sizeof mine / sizeof mine[0];
        return BASE_OK;
    }
    attack_bench_begin(bench, 17);
    base_status status = attack_bench_go(&run, bench, bench->pgd, &settings, err);
    if (status != BASE_OK)
        return status;
    const size_t base = attack_bench_broken(run);
    attack_bench_count_white(bench, run);
    failures(bench, run);
    status = seeds(bench, run, err);
    attack_run_destroy(run);
    if (status == BASE_OK)
        status = budgets(bench, base, err);
    if (status == BASE_OK)
        status = simple_attacks(bench, base, err);
    if (status == BASE_OK)
        status = more_steps(bench, base, err);
    if (status == BASE_OK)
        status = more_restarts(bench, err);
    return status == BASE_OK ? targets(bench, err) : status;
}
