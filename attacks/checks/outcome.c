/* outcome.c - checks of what the run left behind: C12 stored examples, C15
 * classes, C16 clean count. */
#include "attacks/checks/checks_internal.h"

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

/* Which stored images to look at again, and in what order: the broken ones from the
 * last, so that they meet other neighbours than before; all of them in their groups
 * where neighbours matter. */
static size_t arrange(size_t *order, const attack_run *run)
{
    size_t count = 0;

    for (size_t i = 0; i < run->n; i++) {
        const size_t at = run->config.fixed_batch ? i : run->n - 1 - i;
        if (run->config.fixed_batch || run->samples[at].broken)
            order[count++] = at;
    }
    return count;
}

/* Adds to f->right the broken ones that are classified rightly, or not at all, after
 * all. */
static base_status look_again(faults *f, const attack_run *run, const size_t *order,
                              size_t total, float *images, float *logits, base_error *err)
{
    const attack_target *target = &run->target;
    const size_t batch = target->batch, classes = target->classes;

    for (size_t first = 0; first < total; first += batch) {
        const size_t count = total - first < batch ? total - first : batch;
        for (size_t i = 0; i < count; i++)
            memcpy(images + i * run->count,
                   run->adversarial + order[first + i] * run->count,
                   run->count * sizeof(float));
        const base_status status = target->logits(target->user, logits, images, count, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            const size_t at = order[first + i];
            const int32_t seen = attack_predict(logits + i * classes, classes);
            f->right += run->samples[at].broken && (seen < 0 || seen == run->labels[at]);
        }
    }
    return BASE_OK;
}

/* C12: budget, range, finite, changed where broken; and broken still when looked at
 * again. */
static base_status stored(attack_bench *bench, base_error *err)
{
    const attack_run *run = bench->run;
    faults f = {0};
    float *images = base_alloc(run->target.batch, run->count * sizeof(float));
    float *logits = base_alloc(run->target.batch, run->target.classes * sizeof(float));
    size_t *order = base_alloc(run->n, sizeof *order);
    base_status status;

    for (size_t i = 0; i < run->n; i++)
        inspect(&f, run, i);
    if (images && logits && order)
        status = look_again(&f, run, order, arrange(order, run), images, logits, err);
    else
        status = base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    base_free(images);
    base_free(logits);
    base_free(order);
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

/* C16: the count of the ordinary evaluation, to the image; and more than a guess would
 * have. */
static void clean(attack_bench *bench)
{
    const double chance = (double)bench->run->n / (double)bench->classes;
    const size_t here = attack_run_clean(bench->run),
                 there = bench->options->ordinary_right;
    attack_check *check = attack_bench_check(bench, 16);

    if (there == SIZE_MAX)
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN,
                         "no count of an ordinary evaluation was given");
    else
        attack_check_set(
            check,
            here != there            ? ATTACK_VERDICT_FAIL
            : (double)here <= chance ? ATTACK_VERDICT_WARN
                                     : ATTACK_VERDICT_PASS,
            (double)here, (double)there,
            "%zu of %zu clean images are right here, %zu in the ordinary "
            "evaluation%s",
            here, bench->run->n, there,
            (double)here <= chance
                ? ": no more than by chance, are labels and preprocessing those "
                  "of the network?"
                : "");
}

base_status attack_checks_outcome(attack_bench *bench, base_error *err)
{
    attack_bench_begin(bench, 15);
    classes(bench);
    attack_bench_begin(bench, 16);
    clean(bench);
    attack_bench_begin(bench, 12);
    return stored(bench, err);
}
