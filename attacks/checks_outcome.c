/* checks_outcome.c - checks of what the run left behind: C12 stored examples, C15
 * classes, C16 clean count. */
#include "attacks/checks_internal.h"

#include <math.h>
#include <string.h>

/* Tolerances of verification (attacks.md 2). */
static const double RANGE_SLACK = 1e-7;

static double norm_slack(attack_norm norm, double eps)
{
    return norm == ATTACK_NORM_LINF ? 1e-6 : 1e-5 * eps + 1e-6;
}

typedef struct faults {
    size_t broken, outside, too_far, same, right;
    double largest; /* norm over all samples */
} faults;

static void inspect(faults *f, const attack_run *run, size_t i)
{
    const float *x = run->images + i * run->count;
    const float *v = run->adversarial + i * run->count;
    const double norm = attack_distance(v, x, run->count, run->config.norm);
    bool in_range = true;

    for (size_t j = 0; j < run->count; j++)
        in_range &= (double)v[j] >= -RANGE_SLACK && (double)v[j] <= 1 + RANGE_SLACK;
    f->outside += !in_range; /* NaN is not in range */
    f->too_far +=
        !(norm <= run->config.eps + norm_slack(run->config.norm, run->config.eps));
    f->largest = fmax(f->largest, norm);
    f->broken += run->samples[i].broken;
    f->same += run->samples[i].broken && norm == 0;
}

/* C12: budget, range, finite, changed where broken; and broken still, in a pass of
 * another order. */
static base_status stored(attack_bench *bench, base_error *err)
{
    const attack_run *run = bench->run;
    faults f = {0};
    base_status status = BASE_OK;
    const size_t batch = run->target.batch;
    float *images = base_alloc(batch, run->count * sizeof(float));
    float *logits = base_alloc(batch, run->target.classes * sizeof(float));
    size_t *which = base_alloc(batch, sizeof *which);

    if (!images || !logits || !which) {
        base_free(images);
        base_free(logits);
        base_free(which);
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    }
    for (size_t i = 0; i < run->n; i++)
        inspect(&f, run, i);
    for (size_t i = run->n, have = 0; i > 0 && status == BASE_OK; i--) {
        if (run->samples[i - 1].broken) {
            memcpy(images + have * run->count, run->adversarial + (i - 1) * run->count,
                   run->count * sizeof(float));
            which[have++] = i - 1;
        }
        if (have == 0 || (have < batch && i > 1))
            continue;
        status = run->target.logits(run->target.user, logits, images, have, err);
        for (size_t j = 0; j < have && status == BASE_OK; j++) {
            const int32_t seen =
                attack_predict(logits + j * run->target.classes, run->target.classes);
            f.right += seen < 0 || seen == run->labels[which[j]];
        }
        have = 0;
    }
    base_free(images);
    base_free(logits);
    base_free(which);
    if (status != BASE_OK)
        return status;
    const size_t wrong = f.outside + f.too_far + f.same + f.right;
    attack_check_set(
        attack_bench_check(bench, 12),
        wrong > 0 ? ATTACK_VERDICT_FAIL : ATTACK_VERDICT_PASS, (double)wrong, 0,
        "of %zu stored images %zu exceed the budget (largest norm %.9g, eps %.9g) "
        "and %zu the range; of %zu broken %zu equal the clean image and %zu are "
        "classified rightly when looked at again",
        run->n, f.too_far, f.largest, run->config.eps, f.outside, f.broken, f.same,
        f.right);
    return BASE_OK;
}

/* C15: dlr needs 3 classes, its targeted form 4. */
static void classes(attack_bench *bench)
{
    const size_t have = bench->classes;
    const size_t targets = have - 1 < 9 ? have - 1 : 9;

    if (have >= 4)
        attack_check_set(attack_bench_check(bench, 15), ATTACK_VERDICT_PASS, (double)have,
                         4, "%zu classes: every loss is defined, up to %zu targets", have,
                         targets);
    else
        attack_check_set(attack_bench_check(bench, 15), ATTACK_VERDICT_WARN, (double)have,
                         4, "%zu classes: %s replaced by the margin, %zu target%s", have,
                         have == 3 ? "the targeted dlr loss is" : "both dlr losses are",
                         targets, targets == 1 ? "" : "s");
}

/* C16: the count of the ordinary evaluation, to the image. */
static void clean(attack_bench *bench)
{
    const size_t here = attack_run_clean(bench->run),
                 there = bench->options->ordinary_right;
    attack_check *check = attack_bench_check(bench, 16);

    if (there == SIZE_MAX)
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "no count of an ordinary evaluation was given");
    else
        attack_check_set(check, here == there ? ATTACK_VERDICT_PASS : ATTACK_VERDICT_FAIL,
                         (double)here, (double)there,
                         "%zu of %zu clean images are right here, %zu in the ordinary "
                         "evaluation",
                         here, bench->run->n, there);
}

base_status attack_checks_outcome(attack_bench *bench, base_error *err)
{
    classes(bench);
    clean(bench);
    return stored(bench, err);
}
