/* reported.c - C20: the attack that is reported against everything that the checks tried on
 * the same few images. The other checks ask whether a search can be trusted on this
 * network; this one asks whether the figure that stands in the report came from a search
 * that deserves the name: an image that it counts as robust and that a check broke within
 * the same budget is a counterexample. */
#include "attacks/checks/checks_internal.h"

#include <math.h>

/* Ensembles differ by a few images on networks that are hard to attack (AutoAttack takes 1
 * to 5 points from 20 steps of PGD: Croce and Hein 2020, table 2); what misses more, or
 * most of what there is to be found, is no worst case. */
static const double TOLD = 0.002;   /* of the samples, attacks.md 11: a warning above */
static const double MISSED = 0.06;  /* of the samples: a failure above */
static const double MOST = 2.0 / 3; /* of all that can be broken: a failure above */

base_status attack_checks_reported(attack_bench *bench, base_error *err)
{
    attack_check *check = attack_bench_check(bench, 20);
    const size_t n = bench->n;
    size_t reported = 0, found = 0, missed = 0;

    (void)err;
    attack_bench_begin(bench, 20);
    if (n == 0 || bench->run->config.eps == 0 || bench->run->entry_count == 0) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN, "%s",
                         n == 0                        ? "no image is classified rightly"
                         : bench->run->config.eps == 0 ? "eps is 0"
                                                       : "no attack was made");
        return BASE_OK;
    }
    for (size_t i = 0; i < n; i++) {
        reported += bench->reported[i];
        found += bench->found[i];
        missed += bench->found[i] && !bench->reported[i];
    }
    const double all = (double)(reported + missed);
    const double limit = fmin(fmax(2, MISSED * (double)n), fmax(1, MOST * all));
    const bool failed = (double)missed > limit;
    const bool told = (double)missed > attack_bench_slack(n, TOLD);
    attack_check_set(
        check,
        failed ? ATTACK_VERDICT_FAIL
        : told ? ATTACK_VERDICT_WARN
               : ATTACK_VERDICT_PASS,
        (double)missed, limit,
        "of %zu images the reported attacks break %zu, those of the checks %zu (%s "
        "alone %zu), %zu of them missed by the report%s",
        n, reported, found, bench->best > 0 ? bench->best_spec : "the best", bench->best,
        missed,
        failed ? ": what is reported is no worst case"
        : told ? ": a stronger attack lowers the figure"
               : "");
    return BASE_OK;
}
