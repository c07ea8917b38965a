/* strength.c - checks by attacks of known order of strength, on the same few
 * images: C1 to C6, C9, C17 and C18. What ought to be stronger may be weaker by one
 * sample or 0.2 % (attacks.md 11). */
#include "attacks/checks/checks_internal.h"

#include <math.h>
#include <string.h>

enum { RESTARTS = 5, TARGETS = 9, SEEDS = 3 };

static const double WEAKER = 0.002; /* of the samples, attacks.md 11 */
static const double GAIN = 0.01;    /* C4, C5: more than this share of samples is a gain */
static const double NOISE_DROP = 0.05; /* C6: of accuracy, under random noise */
static const double USED = 0.9;        /* C17: of eps */
static const double SPREAD = 0.05;     /* C18: of the samples, between seeds */

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
    const double large = bench->run->config.norm == ATTACK_NORM_LINF ? 0.5 : most / 2;
    const double slack = attack_bench_slack(bench->n, WEAKER);
    size_t none = 0, half = 0, twice = 0, all = 0;

    attack_bench_begin(bench, 1);
    base_status status = broken_at(&none, bench, 0, err);

    if (status == BASE_OK)
        status = broken_at(&half, bench, eps / 2, err);
    if (status == BASE_OK)
        status = broken_at(&twice, bench, fmin(2 * eps, most), err);
    attack_bench_begin(bench, 2);
    if (status == BASE_OK)
        status = broken_at(&all, bench, large, err);
    if (status != BASE_OK)
        return status;

    const double rise = fmax((double)half - (double)base, (double)base - (double)twice);
    attack_check_set(
        attack_bench_check(bench, 1),
        none > 0 || rise > slack ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, rise, slack,
        "PGD leaves %zu, %zu, %zu, %zu of %zu at 0, 1/2, 1, 2 times eps", bench->n - none,
        bench->n - half, bench->n - base, bench->n - twice, bench->n);
    const double left = (double)(bench->n - all) / (double)bench->n;
    const double limit = fmax(1 / (double)bench->classes, 0.01);
    attack_check_set(attack_bench_check(bench, 2),
                     left > limit ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, left, limit,
                     "PGD leaves %zu of %zu at eps %.4g%s", bench->n - all, bench->n, large,
                     left > limit ? ": gradients are masked, or the attack is wrong" : "");
    return BASE_OK;
}

/* ---- C3, C6: one step, noise --------------------------------------------------------- */

static base_status simple_attacks(attack_bench *bench, size_t base, base_error *err)
{
    const double slack = attack_bench_slack(bench->n, WEAKER);
    const bool has_fgsm = attack_knows_norm("fgsm", bench->run->config.norm);
    const attack_bench_settings settings = usual(bench);
    size_t fgsm = SIZE_MAX;
    attack_run *run = NULL;
    base_status status = BASE_OK;

    attack_bench_begin(bench, 3);
    if (has_fgsm)
        status = white_box(&fgsm, bench, "fgsm", err);
    if (status == BASE_OK && has_fgsm)
        attack_check_set(attack_bench_check(bench, 3),
                         (double)fgsm - (double)base > slack ? ATTACK_VERDICT_FAIL
                                                             : ATTACK_VERDICT_PASS,
                         (double)fgsm - (double)base, slack,
                         "PGD breaks %zu, FGSM %zu of %zu", base, fgsm, bench->n);
    else if (status == BASE_OK)
        attack_check_set(attack_bench_check(bench, 3), ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "FGSM is not defined in this norm");
    attack_bench_begin(bench, 6);
    if (status == BASE_OK)
        status = attack_bench_go(&run, bench, "noise", &settings, err);
    if (status != BASE_OK)
        return status;

    const attack_result *noise = attack_run_result(run, 0);
    const double over = (double)noise->broken - (double)(fgsm < base ? fgsm : base);
    const bool stronger = over > slack, brittle = noise->draw_accuracy < 1 - NOISE_DROP;
    char one_step[48] = "";
    if (has_fgsm)
        snprintf(one_step, sizeof one_step, ", FGSM %zu", fgsm);
    attack_check_set(
        attack_bench_check(bench, 6),
        stronger || brittle ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, over, slack,
        "the worst of 20 noises breaks %zu%s, PGD %zu of %zu; one noise leaves "
        "%.1f %% right%s",
        noise->broken, one_step, base, bench->n, 100 * noise->draw_accuracy,
        stronger  ? ": the gradient leads nowhere"
        : brittle ? ": a large budget for this model"
                  : "");
    attack_run_destroy(run);
    return BASE_OK;
}

/* ---- C4, C5, C9: more steps, restarts, targets --------------------------------------- */

static base_status more_steps(attack_bench *bench, size_t base, base_error *err)
{
    const size_t n = bench->n, steps = bench->options->steps;
    const double slack = attack_bench_slack(n, WEAKER);
    char spec[64];
    size_t twice = 0, five = 0;

    attack_bench_begin(bench, 4);
    snprintf(spec, sizeof spec, "pgd:steps=%zu", 2 * steps);
    base_status status = white_box(&twice, bench, spec, err);
    snprintf(spec, sizeof spec, "pgd:steps=%zu", 5 * steps);
    if (status == BASE_OK)
        status = white_box(&five, bench, spec, err);
    if (status != BASE_OK)
        return status;
    const double gain = (double)twice - (double)base;
    const bool weaker = -gain > slack || (double)twice - (double)five > slack;
    const bool open = gain > attack_bench_slack(n, GAIN);
    attack_check_set(attack_bench_check(bench, 4),
                     weaker || open ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, gain,
                     attack_bench_slack(n, GAIN),
                     "PGD breaks %zu, %zu, %zu of %zu with %zu, %zu, %zu steps%s", base,
                     twice, five, n, steps, 2 * steps, 5 * steps,
                     weaker ? ": weaker with more"
                     : open ? ": not converged, raise the steps"
                            : "");
    return BASE_OK;
}

static base_status more_restarts(attack_bench *bench, base_error *err)
{
    const attack_bench_settings settings = usual(bench);
    char spec[96], curve[96] = "";
    attack_run *run = NULL;
    size_t used = 0;

    attack_bench_begin(bench, 5);
    snprintf(spec, sizeof spec, "%s,restarts=%d", bench->pgd, RESTARTS);
    const base_status status = attack_bench_go(&run, bench, spec, &settings, err);
    if (status != BASE_OK)
        return status;
    const attack_result *result = attack_run_result(run, 0);
    for (size_t i = 0; i < result->by_restart_count && used < sizeof curve; i++)
        used += (size_t)snprintf(curve + used, sizeof curve - used, "%s%zu",
                                 i > 0 ? ", " : "", result->by_restart[i]);
    const double limit = attack_bench_slack(bench->n, GAIN);
    const double gain = (double)result->broken - (double)result->by_restart[0];
    attack_check_set(attack_bench_check(bench, 5),
                     gain > limit ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, gain, limit,
                     "after 1 to %d starts PGD has broken %s of %zu", RESTARTS, curve,
                     bench->n);
    attack_bench_count_white(bench, run);
    attack_run_destroy(run);
    return BASE_OK;
}

static base_status targets(attack_bench *bench, base_error *err)
{
    const double slack = attack_bench_slack(bench->n, WEAKER);
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
    if (status != BASE_OK)
        return status;
    const double over = (double)one - (double)all;
    attack_check_set(
        attack_bench_check(bench, 9),
        over > slack ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, over, slack,
        "towards one random class PGD breaks %zu, towards the %zu likeliest %zu "
        "of %zu",
        one, targets, all, bench->n);
    return BASE_OK;
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
    size_t broken[SEEDS] = {attack_bench_broken(base)}, differ = 0;
    size_t least = broken[0], most = broken[0];

    attack_bench_begin(bench, 18);
    for (int turn = 0; turn < SEEDS; turn++) {
        attack_run *run = NULL;
        settings.seed = bench->run->config.seed + (uint64_t)turn;
        const base_status status = attack_bench_go(&run, bench, bench->pgd, &settings, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < bench->n && turn == 0; i++)
            differ += attack_run_broke(run, 0, i) != attack_run_broke(base, 0, i);
        broken[turn] = attack_bench_broken(run);
        least = broken[turn] < least ? broken[turn] : least;
        most = broken[turn] > most ? broken[turn] : most;
        attack_run_destroy(run);
    }
    const double limit = fmax(2, SPREAD * (double)bench->n);
    attack_check_set(
        attack_bench_check(bench, 18),
        differ > 0 || (double)(most - least) > limit ? ATTACK_VERDICT_WARN
                                                     : ATTACK_VERDICT_PASS,
        (double)(most - least), limit,
        "the same seed again differs on %zu samples; three seeds break %zu, %zu, "
        "%zu of %zu",
        differ, broken[0], broken[1], broken[2], bench->n);
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
