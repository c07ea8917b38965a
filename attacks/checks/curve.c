/* curve.c - C11: whether the loss rises, never falls in its best, and settles, on the
 * samples that PGD did not break, and how often a step lowers it; and whether a reported
 * attack has settled. */
#include "attacks/checks/checks_internal.h"

#include <math.h>
#include <string.h>

enum { WALKERS = 16 };

static const double SETTLED =
    0.1; /* share of the rise that the last quarter may still bring */

typedef struct walk {
    size_t images;
    double start, late,
        end; /* mean of the best loss: at first, at three quarters, at the end */
    double falls, moves; /* steps after which the loss was lower; steps */
    bool monotone;
} walk;

/* Loss and gradient of the images at point. */
static base_status look(double *loss, float *gradient, const attack_bench *bench,
                        const float *point, const int32_t *labels, size_t count,
                        float *logits, float *d_logits, base_error *err)
{
    const attack_target *target = &bench->run->target;
    base_status status = target->forward(target->user, logits, point, count, err);

    for (size_t i = 0; i < count && status == BASE_OK; i++)
        loss[i] =
            attack_loss_compute(d_logits + i * bench->classes, ATTACK_LOSS_CE,
                                logits + i * bench->classes, bench->classes, labels[i], -1);
    return status == BASE_OK ? target->gradient(target->user, gradient, d_logits, err)
                             : status;
}

/* point = Proj(point + alpha direction); in L1, where no such step is defined, along g /
 * norm2(g). */
static void step(float *point, const float *x, const float *g, const attack_bench *bench,
                 double alpha)
{
    const attack_norm norm = bench->run->config.norm;
    const double eps = bench->run->config.eps;

    attack_ascend(point, point, g, alpha, x, bench->count,
                  norm == ATTACK_NORM_L1 ? ATTACK_NORM_L2 : norm, eps);
    if (norm == ATTACK_NORM_L1)
        attack_project(point, x, bench->count, norm, eps);
}

typedef struct memory {
    float *point, *gradient, *logits, *d_logits;
    double loss[WALKERS], last[WALKERS], best[WALKERS];
} memory;

/* Plain PGD from the clean images, written here a second time so that the driver is not
 * its own judge. */
static base_status walk_on(walk *w, const attack_bench *bench, const float *images,
                           const int32_t *labels, memory *m, base_error *err)
{
    const size_t steps = bench->options->steps;
    const double alpha = 2.5 * bench->run->config.eps / (double)steps;
    base_status status = BASE_OK;
    double before = -INFINITY;

    memcpy(m->point, images, w->images * bench->count * sizeof(float));
    for (size_t turn = 0; turn <= steps && status == BASE_OK; turn++) {
        status = look(m->loss, m->gradient, bench, m->point, labels, w->images, m->logits,
                      m->d_logits, err);
        double mean = 0;
        for (size_t i = 0; i < w->images && status == BASE_OK; i++) {
            w->falls += turn > 0 && m->loss[i] < m->last[i];
            w->moves += turn > 0;
            m->best[i] = turn > 0 ? fmax(m->best[i], m->loss[i]) : m->loss[i];
            m->last[i] = m->loss[i];
            mean += m->best[i] / (double)w->images;
            step(m->point + i * bench->count, images + i * bench->count,
                 m->gradient + i * bench->count, bench, alpha);
        }
        w->monotone &= mean >= before;
        before = mean;
        w->start = turn == 0 ? mean : w->start;
        w->late = turn <= steps - steps / 4 ? mean : w->late;
        w->end = mean;
    }
    return status;
}

/* The first samples that no white-box attack broke, or simply the first ones. */
static size_t choose(const attack_bench *bench, float *images, int32_t *labels, size_t room,
                     bool survivors)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->n && count < room; i++) {
        if (survivors && bench->white[i])
            continue;
        memcpy(images + count * bench->count, bench->images + i * bench->count,
               bench->count * sizeof(float));
        labels[count++] = bench->labels[i];
    }
    return count;
}

/* The reported attack that rises least in the last quarter of its steps: one that has
 * settled is enough. NULL: none has a curve. Without early stop the loss of broken samples
 * may rise without end. */
static const attack_result *most_settled(const attack_run *run)
{
    const attack_result *least = NULL;

    for (size_t i = 0; i < attack_run_count(run) && run->config.early_stop; i++) {
        const attack_result *r = attack_run_result(run, i);
        if (!isnan(r->late_rise) && (!least || r->late_rise < least->late_rise))
            least = r;
    }
    return least;
}

base_status attack_checks_curve(attack_bench *bench, base_error *err)
{
    const attack_result *reported = most_settled(bench->run);
    char settled[128] = "";
    attack_check *check = attack_bench_check(bench, 11);
    const size_t batch = bench->run->target.batch, room = batch < WALKERS ? batch : WALKERS;
    walk w = {.monotone = true};
    memory m = {0};
    int32_t labels[WALKERS];

    attack_bench_begin(bench, 11);
    if (bench->n == 0 || bench->run->config.eps == 0) {
        attack_check_set(check, ATTACK_VERDICT_SKIPPED, NAN, NAN, "%s",
                         bench->n == 0 ? "no image is classified rightly" : "eps is 0");
        return BASE_OK;
    }
    float *images = base_alloc(room, 3 * bench->count * sizeof(float));
    m.logits = base_alloc(room, 2 * bench->classes * sizeof(float));
    if (!images || !m.logits) {
        base_free(images);
        base_free(m.logits);
        return base_fail(err, BASE_NO_MEMORY, "no memory to check an attack");
    }
    m.point = images + room * bench->count;
    m.gradient = m.point + room * bench->count;
    m.d_logits = m.logits + room * bench->classes;
    const bool survivors = attack_bench_white(bench) < bench->n;
    w.images = choose(bench, images, labels, room, survivors);
    const base_status status = walk_on(&w, bench, images, labels, &m, err);
    base_free(images);
    base_free(m.logits);
    if (status != BASE_OK)
        return status;

    const double rise = w.end - w.start, rest = rise > 0 ? (w.end - w.late) / rise : 1;
    /* Of broken samples the loss may rise without end: only that it rises is asked of
     * them. */
    const bool well = rise > 0 && w.monotone && (!survivors || rest <= SETTLED);
    const bool open = reported && reported->late_rise > SETTLED;
    if (reported)
        snprintf(settled, sizeof settled,
                 "; of the reported attacks %s rises %.1f %% there%s", reported->name,
                 100 * reported->late_rise,
                 open ? ": still rising, give it more steps" : "");
    attack_check_set(
        check, well && !open ? ATTACK_VERDICT_PASS : ATTACK_VERDICT_WARN,
        open && well ? reported->late_rise : rest, SETTLED,
        "on %zu %s samples the best loss goes from %.3g to %.3g, %.1f %% of it in the last "
        "quarter%s; %.1f %% of the steps lower it%s",
        w.images, survivors ? "unbroken" : "broken", w.start, w.end, 100 * rest,
        well        ? ""
        : rise <= 0 ? " (it does not rise)"
                    : " (it has not settled)",
        100 * w.falls / w.moves, settled);
    return BASE_OK;
}
