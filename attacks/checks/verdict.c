/* verdict.c - from counts to verdicts, C1 to C10 and C18: what ought to be stronger may be
 * weaker by one sample or 0.2 % (attacks.md 11). The attacks that are counted are made in
 * strength.c and outside.c, the gradients looked at in model.c. */
#include "attacks/checks/checks_internal.h"

#include <math.h>

static const double WEAKER = 0.002; /* of the samples, attacks.md 11 */
static const double LEFT = 0.01;    /* C2: of the samples, or what chance leaves */
static const double GAIN = 0.01;    /* C4, C5: more than this share of samples is a gain */
static const double NOISE_DROP = 0.05; /* C6: of accuracy, under random noise */
static const double NONE = 0.01;       /* C10: of the samples without a gradient */
static const double SPREAD = 0.05;     /* C18: of the samples, between seeds */

/* Paired counts may differ by 1 sample or this share of them. */
static double slack_of(const attack_bench *bench, double share)
{
    return attack_bench_slack(bench->n, share);
}

static double more(size_t a, size_t b)
{
    return (double)a - (double)b;
}

void attack_verdict_budgets(attack_bench *bench, const attack_budget_counts *c)
{
    const double slack = slack_of(bench, WEAKER);
    const double rise = fmax(more(c->half, c->base), more(c->base, c->twice));
    const double left = (double)(bench->n - c->all) / (double)bench->n;
    const double limit = fmax(1 / (double)bench->classes, LEFT);

    attack_check_set(
        attack_bench_check(bench, 1),
        c->none > 0 || rise > slack ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, rise,
        slack, "PGD leaves %zu, %zu, %zu, %zu of %zu at 0, 1/2, 1, 2 times eps",
        bench->n - c->none, bench->n - c->half, bench->n - c->base, bench->n - c->twice,
        bench->n);
    attack_check_set(attack_bench_check(bench, 2),
                     left > limit ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, left, limit,
                     "PGD leaves %zu of %zu at eps %.4g%s", bench->n - c->all, bench->n,
                     c->large,
                     left > limit ? ": gradients are masked, or the attack is wrong" : "");
}

void attack_verdict_one_step(attack_bench *bench, size_t base, size_t fgsm)
{
    attack_check *check = attack_bench_check(bench, 3);
    const double slack = slack_of(bench, WEAKER), over = more(fgsm, base);

    if (fgsm == SIZE_MAX)
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "FGSM is not defined in this norm");
    else
        attack_check_set(check, over > slack ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS,
                         over, slack, "PGD breaks %zu, FGSM %zu of %zu", base, fgsm,
                         bench->n);
}

void attack_verdict_noise(attack_bench *bench, size_t base, size_t fgsm, size_t noise,
                          double left)
{
    const double slack = slack_of(bench, WEAKER);
    const double over = more(noise, fgsm < base ? fgsm : base);
    const bool stronger = over > slack, brittle = left < 1 - NOISE_DROP;
    char one_step[48] = "";

    if (fgsm != SIZE_MAX)
        snprintf(one_step, sizeof one_step, ", FGSM %zu", fgsm);
    attack_check_set(
        attack_bench_check(bench, 6),
        stronger || brittle ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, over, slack,
        "the worst of 20 noises breaks %zu%s, PGD %zu of %zu; one noise leaves "
        "%.1f %% right%s",
        noise, one_step, base, bench->n, 100 * left,
        stronger  ? ": the gradient leads nowhere"
        : brittle ? ": a large budget for this model"
                  : "");
}

void attack_verdict_steps(attack_bench *bench, size_t base, size_t twice, size_t five)
{
    const size_t steps = bench->options->steps;
    const double slack = slack_of(bench, WEAKER), gain = more(twice, base);
    const bool weaker = -gain > slack || more(twice, five) > slack;
    const bool open = gain > slack_of(bench, GAIN);

    attack_check_set(attack_bench_check(bench, 4),
                     weaker || open ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, gain,
                     slack_of(bench, GAIN),
                     "PGD breaks %zu, %zu, %zu of %zu with %zu, %zu, %zu steps%s", base,
                     twice, five, bench->n, steps, 2 * steps, 5 * steps,
                     weaker ? ": weaker with more"
                     : open ? ": not converged, raise the steps"
                            : "");
}

void attack_verdict_restarts(attack_bench *bench, const attack_result *result)
{
    const double limit = slack_of(bench, GAIN);
    const double gain = more(result->broken, result->by_restart[0]);
    char curve[96] = "";
    size_t used = 0;

    for (size_t i = 0; i < result->by_restart_count && used < sizeof curve; i++)
        used += (size_t)snprintf(curve + used, sizeof curve - used, "%s%zu",
                                 i > 0 ? ", " : "", result->by_restart[i]);
    attack_check_set(attack_bench_check(bench, 5),
                     gain > limit ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, gain, limit,
                     "after 1 to %zu starts PGD has broken %s of %zu",
                     result->by_restart_count, curve, bench->n);
}

void attack_verdict_black_box(attack_bench *bench, size_t black, size_t white)
{
    const double slack = slack_of(bench, WEAKER), over = more(black, white);

    attack_check_set(
        attack_bench_check(bench, 7),
        over > slack ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, over, slack,
        "Square breaks %zu with %zu queries, the gradient's attacks %zu of %zu%s", black,
        bench->options->queries, white, bench->n,
        over > slack ? ": gradients are masked" : "");
}

void attack_verdict_transfer(attack_bench *bench, size_t wrong, size_t white)
{
    const double slack = slack_of(bench, WEAKER), over = more(wrong, white);

    attack_check_set(attack_bench_check(bench, 8),
                     over > slack ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, over, slack,
                     "examples made for the other model break %zu, the gradient's own %zu "
                     "of %zu%s",
                     wrong, white, bench->n, over > slack ? ": gradients are masked" : "");
}

void attack_verdict_targets(attack_bench *bench, size_t targets, size_t one, size_t all)
{
    const double slack = slack_of(bench, WEAKER), over = more(one, all);

    attack_check_set(
        attack_bench_check(bench, 9),
        over > slack ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, over, slack,
        "towards one random class PGD breaks %zu, towards the %zu likeliest %zu "
        "of %zu",
        one, targets, all, bench->n);
}

void attack_verdict_gradients(attack_bench *bench, size_t ce, size_t margin, size_t dlr,
                              double median)
{
    const double n = (double)bench->n;
    const bool bad = margin > 0 || dlr > 0 || (double)ce > NONE * n;

    attack_check_set(attack_bench_check(bench, 10),
                     bad ? ATTACK_VERDICT_WARN : ATTACK_VERDICT_PASS, (double)ce / n, NONE,
                     "of %zu images %zu have no gradient of the cross-entropy, %zu of the "
                     "margin, %zu of dlr%s; median L2 norm of the first %.3g",
                     bench->n, ce, margin, dlr,
                     bench->classes < 3 ? " (undefined below 3 classes)" : "", median);
}

void attack_verdict_seeds(attack_bench *bench, size_t differ,
                          const size_t broken[ATTACK_CHECK_SEEDS])
{
    const double limit = fmax(2, SPREAD * (double)bench->n);
    size_t least = broken[0], most = broken[0];

    for (size_t i = 1; i < ATTACK_CHECK_SEEDS; i++) {
        least = broken[i] < least ? broken[i] : least;
        most = broken[i] > most ? broken[i] : most;
    }
    attack_check_set(
        attack_bench_check(bench, 18),
        differ > 0 || (double)(most - least) > limit ? ATTACK_VERDICT_WARN
                                                     : ATTACK_VERDICT_PASS,
        (double)(most - least), limit,
        "the same seed again differs on %zu samples; three seeds break %zu, %zu, "
        "%zu of %zu",
        differ, broken[0], broken[1], broken[2], bench->n);
}
