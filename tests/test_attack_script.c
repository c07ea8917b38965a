/* test_attack_script.c - a model whose answers are written down, evaluation by evaluation:
 * every figure of a run, of its attacks and of its samples by hand. */
#include "attacks/checks/checks_internal.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_run.h"

enum { PIXELS = 6, SAMPLES = 8, EVALUATIONS = 20, KNOWN = 200 };
static const double EPS = 0.01;

/* What the model says of the evaluations of each image: z_0 - z_1, label 0; NAN: no number.
 * The first is of the image itself. An image that comes back gets the same answer. */
typedef struct script {
    double margin[SAMPLES][EVALUATIONS];
    size_t asked[SAMPLES];
    bool forgets[SAMPLES]; /* says 0.7 of what comes back */
    bool flat[SAMPLES];    /* has no gradient */
    bool rounds[SAMPLES];  /* wrong on 8 bits too */
    struct {
        float at[PIXELS];
        double margin;
    } known[KNOWN];
    size_t known_count, last[SAMPLES], last_count; /* of the last pass: images */
} script;

static script play;
static float images[SAMPLES * PIXELS];
static const int32_t labels[SAMPLES];

static double next_margin(const float *x)
{
    const size_t sample = (size_t)lround(10 * (double)x[0] - 1);
    bool whole = true;

    play.last[play.last_count++] = sample;
    for (size_t i = 0; i < play.known_count; i++)
        if (memcmp(play.known[i].at, x, sizeof play.known[i].at) == 0)
            return play.forgets[sample] && i >= SAMPLES ? 0.7 : play.known[i].margin;
    for (size_t i = 0; i < PIXELS; i++)
        whole = whole && x[i] == rintf(255 * x[i]) / 255;
    if (whole && play.known_count >= SAMPLES)
        return play.rounds[sample] ? -1 : 1;
    ck_assert_uint_lt(play.known_count, KNOWN);
    ck_assert_uint_lt(play.asked[sample], EVALUATIONS);
    memcpy(play.known[play.known_count].at, x, sizeof play.known[0].at);
    return play.known[play.known_count++].margin =
               play.margin[sample][play.asked[sample]++];
}

static size_t batch = 1;

static base_status answer(void *user, float *logits, const float *x, size_t count,
                          base_error *err)
{
    (void)user, (void)err;
    ck_assert(count >= 1 && count <= batch);
    play.last_count = 0;
    for (size_t i = 0; i < count; i++) {
        const double margin = next_margin(x + i * PIXELS);

        logits[2 * i] = isnan(margin) ? NAN : (float)(margin > 0 ? margin : 0);
        logits[2 * i + 1] = (float)(margin > 0 ? 0 : -margin);
    }
    return BASE_OK;
}

static base_status slope(void *user, float *d_images, const float *d_logits,
                         base_error *err)
{
    (void)user, (void)err, (void)d_logits;
    for (size_t i = 0; i < play.last_count * PIXELS; i++)
        d_images[i] = play.flat[play.last[i / PIXELS]] ? 0 : i % 2 ? 1.0f : -1.0f;
    return BASE_OK;
}

/* 0: broken at step 3. 1: in the second round. 2: never. 3: no number on the way. 4: wrong
 * before. 5: wrong, but not when asked again. 6: no gradient. 7: at the start, not in 8
 * bits. */
static void write_script(void)
{
    static const script s = {.margin = {{4, 3, 2, 1, -1},
                                        {4, 3, 2, 4, 1, 2, 5, 4, -2},
                                        {4, 1, 2, 3, 4, 0.25, 9, 8, 7, 6, 0.5, 3, 3},
                                        {4, 2, 2, NAN, 1, 1, 1, 1, 1, 3, -6},
                                        {-3},
                                        {4, 2, -1, 3, -2, 1, 1},
                                        {4, 2, 3, 1, 1},
                                        {4, -2, 5, -4, 3}},
                             .forgets = {[5] = true},
                             .flat = {[6] = true},
                             .rounds = {true, true, true, true, true, true, true, false}};

    play = s;
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t j = 0; j < PIXELS; j++)
            images[i * PIXELS + j] = 0.1f * (float)(i + 1) + 0.001f * (float)j;
}

static bool all_steps;

typedef struct tellings {
    size_t count, done[80], total[80], restart[80], robust[80], index[80];
} tellings;

static void tell(void *user, const attack_progress *p)
{
    tellings *t = user;

    ck_assert_uint_lt(t->count, 80);
    t->done[t->count] = p->done;
    t->total[t->count] = p->total;
    t->restart[t->count] = p->restart;
    t->robust[t->count] = p->robust;
    t->index[t->count++] = p->index;
    ck_assert_str_eq(p->attack, p->index == 0 ? "pgd" : "noise");
    ck_assert_uint_eq(p->count, 2);
    ck_assert_uint_eq(p->restarts, p->index == 0 ? 2 : 1);
}

static attack_run *run_script(bool groups, attack_mode mode, const char *specs, tellings *t)
{
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = batch,
                                  .logits = answer,
                                  .forward = answer,
                                  .gradient = slope};
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    write_script();
    config.eps = EPS;
    config.mode = mode;
    config.fixed_batch = groups;
    config.early_stop = !all_steps;
    config.progress = t ? tell : NULL;
    config.user = t;
    ck_assert_msg(attack_run_create(&run, &target, &config, images, labels, SAMPLES,
                                    &err) == BASE_OK &&
                      attack_run_add(run, specs, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

static void sample_is(const attack_run *run, size_t i, attack_sample want)
{
    const attack_sample s = attack_run_sample(run, i);

    ck_assert_msg(s.label == 0 && s.clean_prediction == want.clean_prediction &&
                      s.right == want.right && s.clean_margin == want.clean_margin,
                  "image %zu", i);
    ck_assert_msg(s.prediction == want.prediction, "image %zu: %d", i, s.prediction);
    ck_assert_msg(s.broken == want.broken && s.broken_u8 == want.broken_u8, "image %zu", i);
    ck_assert_msg(s.invalid == want.invalid, "image %zu", i);
    ck_assert_msg(s.attack == want.attack && s.restart == want.restart &&
                      s.step == want.step,
                  "image %zu: %d, %d, %d", i, s.attack, s.restart, s.step);
    ck_assert_msg(s.margin == want.margin, "image %zu: %g", i, (double)s.margin);
    const double norm = attack_distance(attack_run_adversarial(run) + i * PIXELS,
                                        images + i * PIXELS, PIXELS, ATTACK_NORM_LINF);
    ck_assert_double_eq_tol((double)s.norm, norm, 1e-8);
    ck_assert(norm <= EPS + 1e-6 && (norm > 0) == (i != 4));
}

static double median_of(const attack_run *run, size_t i, size_t j, size_t k)
{
    const double a = (double)attack_run_sample(run, i).norm,
                 b = (double)attack_run_sample(run, j).norm,
                 c = (double)attack_run_sample(run, k).norm;

    return a + b + c - fmax(a, fmax(b, c)) - fmin(a, fmin(b, c));
}

/* Sums of minus the margin of the best so far in the first round, over the six images that
 * had a number everywhere. */
static void curve_is(const attack_result *r, size_t count, const double *sums)
{
    ck_assert_uint_eq(r->curve_count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(r->curve_step[i], i);
        ck_assert_double_eq_tol(r->curve[i], sums[i] / 6, 1e-6);
    }
}

/* Two rounds of four steps, short enough to look at a new point each time; towards the
 * other class too, which is the same here. */
START_TEST(a_run_is_as_it_is_written)
{
    static const char *const specs[] = {
        "pgd:steps=4,loss=margin,restarts=2,relative=0.1",
        "pgd:steps=4,loss=margin,restarts=2,relative=0.1,aim=next"};
    batch = (size_t[]){1, 3, 8}[_i / 8]; /* groups of 3, 3 and 2 */
    attack_run *run =
        run_script(_i % 2, (attack_mode)(_i / 2 % 2), specs[_i / 4 % 2], NULL);
    const attack_result *r = attack_run_result(run, 0);

    sample_is(run, 0, (attack_sample){0, 0, 1, 1, 1, 1, 0, 0, 0, 3, 4, -1, 0});
    sample_is(run, 1, (attack_sample){0, 0, 1, 1, 1, 1, 0, 0, 1, 2, 4, -2, 0});
    sample_is(run, 2, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 0.5f, 0});
    sample_is(run, 3, (attack_sample){0, 0, 0, 1, 0, 0, 1, -1, -1, -1, 4, 1, 0});
    sample_is(run, 4, (attack_sample){0, 1, 1, 0, 0, 0, 0, -1, -1, -1, -3, -3, 0});
    sample_is(run, 5, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 0.7f, 0});
    sample_is(run, 6, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 3, 0});
    sample_is(run, 7, (attack_sample){0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 4, -2, 0});
    ck_assert(r->complete);
    ck_assert_uint_eq(r->evaluated, 7);
    ck_assert_uint_eq(r->broken, 3);
    ck_assert_uint_eq(r->robust, 4);
    ck_assert_uint_eq(r->robust_after, 4);
    ck_assert_uint_eq(r->robust_u8, 5);
    ck_assert_uint_eq(r->robust_after_u8, 5);
    ck_assert_uint_eq(r->invalid, 1);
    ck_assert_uint_eq(r->zero_grad, 1);
    ck_assert_uint_eq(r->unconfirmed, 1);
    ck_assert_uint_eq(r->targeted, _i / 4 % 2 ? 3 : 0);
    ck_assert_uint_eq(r->restarts, 2);
    ck_assert_uint_eq(r->by_restart_count, 2);
    ck_assert_uint_eq(r->by_restart[0], 2);
    ck_assert_uint_eq(r->by_restart[1], 3);
    ck_assert_uint_eq(r->minimal_count, 0);
    ck_assert(isnan(r->minimal_norm) && isnan(r->draw_accuracy));
    ck_assert_double_eq(r->forward_evals,
                        4 + (5 + 3) + (5 + 5) + (3 + 5) + (2 + 2) + (5 + 5) + 1);
    /* the last look of a round needs no gradient */
    ck_assert_double_eq(r->grad_evals,
                        4 + (4 + 3) + (4 + 4) + (3 + 4) + (2 + 2) + (4 + 4) + 1);
    ck_assert_double_eq(r->queries_median, 4); /* of 4, 8, 1 */
    ck_assert_double_eq_tol(r->median_norm, median_of(run, 0, 1, 7), 1e-9);
    ck_assert_double_eq_tol(r->max_norm,
                            fmax((double)attack_run_sample(run, 0).norm,
                                 fmax((double)attack_run_sample(run, 1).norm,
                                      (double)attack_run_sample(run, 7).norm)),
                            1e-9);
    curve_is(r, 5,
             (double[]){-3 - 3 - 1 - 2 - 2 + 2, -2 - 2 - 1 + 1 - 2 + 2,
                        -1 - 2 - 1 + 1 - 2 + 2, +1 - 1 - 1 + 1 - 2 + 2,
                        +1 - 1 - 0.25 + 1 - 2 + 2});
    ck_assert_double_eq_tol(r->late_rise, 0.75 / 9.75, 1e-6);
    ck_assert_uint_eq(attack_run_clean(run), 7);
    ck_assert_uint_eq(attack_run_robust(run), 4);
    /* of 2, 5 and 6: 3 had a logit that was no number */
    ck_assert_double_eq_tol(attack_run_budget_used(run), median_of(run, 2, 5, 6) / EPS,
                            1e-6);
    attack_run_destroy(run);
}
END_TEST

/* Four draws of each image that is right, whatever they find; the accuracy of a draw is a
 * mean over all images, of which one was wrong before. */
START_TEST(draws_are_counted_one_by_one)
{
    batch = (size_t[]){1, 3, 8}[_i / 2];
    attack_run *run = run_script(_i % 2, ATTACK_MODE_CASCADE, "noise:draws=4", NULL);
    const attack_result *r = attack_run_result(run, 0);

    sample_is(run, 0, (attack_sample){0, 0, 1, 1, 1, 1, 0, 0, 0, 3, 4, -1, 0});
    sample_is(run, 1, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 1, 0});
    sample_is(run, 2, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 1, 0});
    sample_is(run, 3, (attack_sample){0, 0, 0, 1, 0, 0, 1, -1, -1, -1, 4, 2, 0});
    sample_is(run, 4, (attack_sample){0, 1, 1, 0, 0, 0, 0, -1, -1, -1, -3, -3, 0});
    sample_is(run, 5, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 0.7f, 0});
    sample_is(run, 6, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 1, 0});
    sample_is(run, 7, (attack_sample){0, 0, 1, 1, 1, 0, 0, 0, 0, 2, 4, -4, 0});
    ck_assert_double_eq_tol(r->draw_accuracy,
                            (3.0 / 4 + 1 + 1 + 2.0 / 2 + 2.0 / 4 + 1 + 2.0 / 4) / 8, 1e-12);
    ck_assert_uint_eq(r->evaluated, 7);
    ck_assert_uint_eq(r->broken, 2);
    ck_assert_uint_eq(r->invalid, 1);
    ck_assert_uint_eq(r->unconfirmed, 1);
    ck_assert_uint_eq(r->zero_grad, 0);
    ck_assert_uint_eq(r->by_restart_count, 1);
    ck_assert_uint_eq(r->by_restart[0], 2);
    ck_assert_double_eq(r->forward_evals, 4 + 4 + 4 + 3 + 4 + 4 + 4);
    ck_assert_double_eq(r->grad_evals, 0);
    ck_assert_double_eq(r->queries_median, 4);
    curve_is(r, 4,
             (double[]){-3 - 3 - 1 - 2 - 2 + 2, -2 - 2 - 1 + 1 - 2 + 2,
                        -1 - 2 - 1 + 1 - 1 + 4, +1 - 1 - 1 + 2 - 1 + 4});
    ck_assert(isnan(r->late_rise));
    attack_run_destroy(run);
    run = run_script(_i % 2, ATTACK_MODE_CASCADE, "noise:draws=1", NULL);
    ck_assert_double_eq(attack_run_result(run, 0)->draw_accuracy, 6.0 / 8);
    attack_run_destroy(run);
}
END_TEST

/* Without an early stop the strongest mistake is kept, of all that are made. */
START_TEST(all_steps_keep_the_strongest)
{
    batch = (size_t[]){1, 3, 8}[_i / 2];
    all_steps = true;
    attack_run *run = run_script(_i % 2, ATTACK_MODE_CASCADE,
                                 "pgd:steps=3,loss=margin,relative=0.1", NULL);
    const attack_result *r = attack_run_result(run, 0);

    sample_is(run, 0, (attack_sample){0, 0, 1, 1, 1, 1, 0, 0, 0, 3, 4, -1, 0});
    sample_is(run, 1, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 1, 0});
    sample_is(run, 3, (attack_sample){0, 0, 0, 1, 0, 0, 1, -1, -1, -1, 4, 2, 0});
    sample_is(run, 5, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 0.7f, 0});
    sample_is(run, 7, (attack_sample){0, 0, 1, 1, 1, 0, 0, 0, 0, 2, 4, -4, 0});
    ck_assert_uint_eq(r->broken, 2);
    ck_assert_uint_eq(r->unconfirmed, 1);
    ck_assert_double_eq(r->forward_evals, 6 * 4 + 3);
    ck_assert_double_eq(r->grad_evals, 6 * 3 + 3);
    ck_assert_double_eq(r->queries_median, 4);
    ck_assert(isnan(r->draw_accuracy));
    curve_is(r, 4,
             (double[]){-3 - 3 - 1 - 2 - 2 + 2, -2 - 2 - 1 + 1 - 2 + 2,
                        -1 - 2 - 1 + 1 - 2 + 4, +1 - 1 - 1 + 2 - 2 + 4});
    attack_run_destroy(run);
    all_steps = false;
}
END_TEST

/* The second attack of a cascade sees what the first one left; what it breaks is its own.
 * Told is every evaluation. */
START_TEST(the_second_attack_sees_what_is_left)
{
    static const size_t evaluations[3][SAMPLES] = {
        {4, 5, 5, 3, 0, 2, 5, 1}, {0, 3, 5, 5, 0, 2, 5, 0}, {0, 0, 2, 2, 0, 2, 2, 0}};
    static const size_t totals[3] = {7, 5, 4};
    static const bool breaks[3][SAMPLES] = {
        {[0] = true, [7] = true}, {[1] = true}, {[3] = true}};
    tellings t = {0};

    batch = 1;
    attack_run *run =
        run_script(false, ATTACK_MODE_CASCADE,
                   "pgd:steps=4,loss=margin,restarts=2,relative=0.1 noise:draws=2", &t);
    const attack_result *r = attack_run_result(run, 1);
    size_t told = 0, robust = 7;

    sample_is(run, 3, (attack_sample){0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 4, -6, 0});
    sample_is(run, 2, (attack_sample){0, 0, 0, 1, 0, 0, 0, -1, -1, -1, 4, 3, 0});
    ck_assert_uint_eq(r->evaluated, 4);
    ck_assert_uint_eq(r->broken, 1);
    ck_assert_uint_eq(r->robust, 3);
    ck_assert_uint_eq(r->robust_after, 3);
    ck_assert_uint_eq(r->robust_u8, 4);
    ck_assert_uint_eq(attack_run_result(run, 0)->robust_after, 4);
    ck_assert(attack_run_broke(run, 1, 3) && !attack_run_broke(run, 0, 3));
    ck_assert(attack_run_broke(run, 0, 7) && !attack_run_broke(run, 1, 7));
    ck_assert(!attack_run_broke(run, 2, 7) && !attack_run_broke(run, 0, SAMPLES));
    for (size_t round = 0; round < 3; round++) {
        size_t done = 0;
        for (size_t i = 0; i < SAMPLES; i++)
            for (size_t e = 1; e <= evaluations[round][i]; e++, told++) {
                done += e == evaluations[round][i];
                robust -= e == evaluations[round][i] && breaks[round][i];
                ck_assert_uint_lt(told, t.count);
                ck_assert_uint_eq(t.index[told], round == 2);
                ck_assert_uint_eq(t.restart[told], round % 2);
                ck_assert_uint_eq(t.done[told], done);
                ck_assert_uint_eq(t.total[told], totals[round]);
                ck_assert_uint_eq(t.robust[told], robust);
            }
    }
    ck_assert_uint_eq(told, t.count);
    attack_run_destroy(run);
    /* of groups the first image, out of all */
    batch = 3;
    t.count = 0;
    run = run_script(true, ATTACK_MODE_CASCADE,
                     "pgd:steps=4,loss=margin,restarts=2,relative=0.1 noise:draws=2", &t);
    for (size_t i = 0; i < t.count; i++) {
        ck_assert_uint_eq(t.total[i], SAMPLES);
        ck_assert_uint_eq(t.done[i] % 3, 0);
        if (i > 0 && t.restart[i] == t.restart[i - 1] && t.index[i] == t.index[i - 1])
            ck_assert(t.done[i] == t.done[i - 1] || t.done[i] == t.done[i - 1] + 3);
    }
    ck_assert_uint_eq(t.done[t.count - 1], 6);
    attack_run_destroy(run);
}
END_TEST

/* ---- what is asked of the model ------------------------------------------------------ */

/* All classes alike: who is aimed at stands in the gradient that is asked for. */
static size_t aimed[8], aims_asked;

static base_status all_alike(void *user, float *logits, const float *x, size_t count,
                             base_error *err)
{
    (void)user, (void)x, (void)err;
    for (size_t i = 0; i < 4 * count; i++)
        logits[i] = 1;
    return BASE_OK;
}

static base_status aim_seen(void *user, float *d_images, const float *d_logits,
                            base_error *err)
{
    (void)user, (void)err;
    ck_assert_uint_lt(aims_asked, 8);
    for (size_t c = 0; c < 4; c++) {
        const float want = c == 0 ? -1.0f : 0;

        if (d_logits[c] > 0)
            aimed[aims_asked] = c;
        else
            ck_assert(d_logits[c] == want);
    }
    aims_asked++;
    memset(d_images, 0, PIXELS * sizeof *d_images);
    return BASE_OK;
}

START_TEST(among_equals_the_lowest_class_comes_first)
{
    static const struct {
        const char *spec;
        size_t rounds, aim[3];
    } cases[] = {{"pgd:steps=1,loss=margin,aim=second", 1, {1}},
                 {"pgd:steps=1,loss=margin,aim=least", 1, {3}},
                 {"pgd:steps=1,loss=margin,aim=next", 1, {1}},
                 {"pgd:steps=1,loss=margin,targets=3", 3, {1, 2, 3}},
                 {"pgd:steps=1,loss=margin,targets=9,restarts=1", 3, {1, 2, 3}}};
    const attack_target target = {.classes = 4,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = 1,
                                  .logits = all_alike,
                                  .forward = all_alike,
                                  .gradient = aim_seen};
    const attack_config config = attack_config_defaults();

    write_script();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        attack_run *run = NULL;

        aims_asked = 0;
        ck_assert_int_eq(attack_run_create(&run, &target, &config, images, labels, 1, NULL),
                         BASE_OK);
        ck_assert_int_eq(attack_run_add(run, cases[c].spec, NULL), BASE_OK);
        ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
        ck_assert_uint_eq(aims_asked, cases[c].rounds);
        for (size_t i = 0; i < aims_asked; i++)
            ck_assert_uint_eq(aimed[i], cases[c].aim[i]);
        attack_run_destroy(run);
    }
}
END_TEST

/* Every other call says something else: 4 against 0 and a slope of 3, 0 against 2 and a
 * slope of -1. Their means are 2 against 1, and uphill. */
static size_t calls;
static float last_asked[PIXELS];

static base_status by_turns(void *user, float *logits, const float *x, size_t count,
                            base_error *err)
{
    (void)user, (void)err;
    ck_assert_uint_eq(count, 1);
    memcpy(last_asked, x, sizeof last_asked);
    logits[0] = calls % 2 ? 0.0f : 4.0f;
    logits[1] = calls % 2 ? 2.0f : 0.0f;
    calls++;
    return BASE_OK;
}

static base_status slope_by_turns(void *user, float *d_images, const float *d_logits,
                                  base_error *err)
{
    (void)user, (void)err;
    ck_assert(d_logits[0] == -1 && d_logits[1] == 1);
    for (size_t i = 0; i < PIXELS; i++)
        d_images[i] = calls % 2 ? -1.0f : 3.0f;
    return BASE_OK;
}

START_TEST(a_random_model_is_asked_for_means)
{
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = 1,
                                  .logits = by_turns,
                                  .forward = by_turns,
                                  .gradient = slope_by_turns};
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;

    write_script();
    config.eps = EPS;
    calls = 0;
    ck_assert_int_eq(attack_run_create(&run, &target, &config, images, labels, 1, NULL),
                     BASE_OK);
    ck_assert_int_eq(
        attack_run_add(run, "pgd:steps=3,eot=4,loss=margin,start=none,relative=1.5", NULL),
        BASE_OK);
    calls = 0;
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    ck_assert_uint_eq(calls, 1 + 4 * 4);
    const attack_result *r = attack_run_result(run, 0);
    const attack_sample s = attack_run_sample(run, 0);
    ck_assert_uint_eq(r->broken, 0);
    ck_assert_double_eq(r->forward_evals, 16);
    ck_assert_double_eq(r->grad_evals, 12);
    for (size_t i = 0; i < 4; i++)
        ck_assert_double_eq(r->curve[i], -1);
    /* the first of equals is kept: the image */
    ck_assert_mem_eq(attack_run_adversarial(run), images, PIXELS * sizeof(float));
    ck_assert(s.margin == 1 && s.prediction == 0);
    for (size_t i = 0; i < PIXELS; i++) /* three steps of half the budget, uphill */
        ck_assert_double_eq_tol((double)last_asked[i], (double)images[i] + EPS, 1e-7);
    attack_run_destroy(run);
}
END_TEST

/* Whose experts are held: of each row the clean image of the same sample, before each
 * batch of a search and not after; verdicts are of the free model. */
static float held[SAMPLES * PIXELS];
static size_t held_count, held_calls, free_calls;

static base_status hold(void *user, const float *x, size_t count, base_error *err)
{
    (void)user, (void)err;
    held_count = x ? count : 0;
    if (x)
        memcpy(held, x, count * PIXELS * sizeof *x);
    return BASE_OK;
}

static base_status held_answer(void *user, float *logits, const float *x, size_t count,
                               base_error *err)
{
    for (size_t i = 0; held_count > 0 && i < count; i++) {
        const size_t sample = (size_t)lround(10 * (double)x[i * PIXELS] - 1);

        ck_assert_uint_eq(held_count, count);
        ck_assert_mem_eq(held + i * PIXELS, images + sample * PIXELS, PIXELS * sizeof *x);
    }
    held_calls += held_count > 0;
    free_calls += held_count == 0;
    return answer(user, logits, x, count, err);
}

START_TEST(experts_are_held_while_it_searches)
{
    const size_t rows = (size_t[]){1, 3}[_i % 2];
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = rows,
                                  .logits = held_answer,
                                  .forward = held_answer,
                                  .gradient = slope,
                                  .freeze = hold};
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;

    batch = rows;
    write_script();
    config.eps = EPS;
    config.fixed_routing = true;
    config.fixed_batch = _i / 2;
    held_count = held_calls = free_calls = 0;
    ck_assert_int_eq(
        attack_run_create(&run, &target, &config, images, labels, SAMPLES, NULL), BASE_OK);
    ck_assert_int_eq(
        attack_run_add(run, "pgd:steps=4,loss=margin,restarts=2,relative=0.1", NULL),
        BASE_OK);
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    ck_assert_uint_eq(held_count, 0);
    ck_assert_uint_eq(attack_run_result(run, 0)->broken, 3);
    if (rows == 1) {
        ck_assert_uint_eq(held_calls, 4 + 8 + 10 + 8 + 4 + 10 + 1);
        /* the clean images; of what was found, in groups of all, the example and its 8
         * bits */
        ck_assert_uint_eq(free_calls, SAMPLES + 2 * (_i / 2 ? 12 : 5));
    } else {
        ck_assert_uint_gt(held_calls, 10);
    }
    attack_run_destroy(run);
}
END_TEST

/* How the model is asked whether its answers repeat and hang on neighbours: 64 images at
 * most, five times in batches, alone, from the last to the first, and 16 of them behind
 * seven copies of the first. */
enum { MANY = 70, LOOKED_AT = 64, ROWS = 16 };
static float many[MANY * PIXELS];

typedef struct question {
    size_t count, first, last;
} question;

static question questions[400];
static size_t question_count;

static base_status question_note(void *user, float *logits, const float *x, size_t count,
                                 base_error *err)
{
    (void)user, (void)err;
    ck_assert_uint_lt(question_count, 400);
    questions[question_count++] =
        (question){count, (size_t)lround(100 * (double)x[0]),
                   (size_t)lround(100 * (double)x[(count - 1) * PIXELS])};
    for (size_t i = 0; i < count; i++) {
        logits[2 * i] = 1 + x[i * PIXELS];
        logits[2 * i + 1] = 1 - x[i * PIXELS];
    }
    return BASE_OK;
}

static void asked(size_t *at, size_t count, size_t first, size_t last)
{
    const question *q = &questions[*at];

    ck_assert_msg(q->count == count && q->first == first && q->last == last,
                  "question %zu: %zu, %zu, %zu", *at, q->count, q->first, q->last);
    ++*at;
}

START_TEST(neighbours_are_looked_at_like_this)
{
    static attack_check checks[ATTACK_CHECK_COUNT];
    static const int32_t zeros[MANY];
    const attack_check_options options = attack_check_options_defaults();
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = ROWS,
                                  .logits = question_note,
                                  .forward = question_note,
                                  .gradient = slope};
    const attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    size_t at = 0;

    for (size_t i = 0; i < MANY * PIXELS; i++)
        many[i] = 0.01f * (float)(i / PIXELS);
    ck_assert_int_eq(attack_run_create(&run, &target, &config, many, zeros, MANY, NULL),
                     BASE_OK);
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    attack_bench bench = {
        .run = run, .options = &options, .checks = checks, .count = PIXELS, .classes = 2};
    question_count = 0;
    ck_assert_int_eq(attack_checks_model(&bench, NULL), BASE_OK);
    for (int turn = 0; turn < 5; turn++)
        for (size_t i = 0; i < LOOKED_AT; i += ROWS)
            asked(&at, ROWS, i, i + ROWS - 1);
    for (size_t i = 0; i < LOOKED_AT; i++)
        asked(&at, 1, i, i);
    for (size_t i = 0; i < LOOKED_AT; i += ROWS)
        asked(&at, ROWS, LOOKED_AT - 1 - i, LOOKED_AT - ROWS - i);
    for (size_t i = 0; i < 16; i++)
        asked(&at, 8, 0, i);
    ck_assert_uint_eq(at, question_count);
    ck_assert_str_eq(checks[12].text,
                     "64 images: 5 evaluations differ by 0, 0 flips; alone, reordered or "
                     "beside copies by 0, 0 flips");
    attack_run_destroy(run);
}
END_TEST

/* ---- what ends a run ----------------------------------------------------------------- */

static bool stop_at(void *user)
{
    size_t *left = user;

    return (*left)-- == 0;
}

/* Asked before every batch: while the clean images are looked at; in the attack, group by
 * group or not. */
START_TEST(a_stop_is_told_where_it_was)
{
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = 4,
                                  .logits = answer,
                                  .forward = answer,
                                  .gradient = slope};

    batch = 4;
    for (size_t after = 0; after < 5; after++) {
        attack_config config = attack_config_defaults();
        attack_run *run = NULL;
        size_t left = after;
        base_error err = {0};

        write_script();
        config.eps = EPS;
        config.fixed_batch = _i;
        config.stop = stop_at;
        config.user = &left;
        ck_assert_int_eq(
            attack_run_create(&run, &target, &config, images, labels, SAMPLES, NULL),
            BASE_OK);
        ck_assert_int_eq(attack_run_add(run, "pgd:steps=9,loss=margin", NULL), BASE_OK);
        ck_assert_int_eq(attack_run_go(run, &err), BASE_INTERRUPTED);
        ck_assert_str_eq(err.text,
                         after < 2 ? "stopped during the clean images"
                                   : "stopped during the attack 'pgd:steps=9,loss=margin'");
        ck_assert_int_eq(run->clean_done, after >= 2);
        ck_assert(!attack_run_result(run, 0)->complete);
        ck_assert_uint_eq(attack_run_clean(run), after < 2 ? 0 : 7);
        attack_run_destroy(run);
    }
}
END_TEST

/* An attack that is at fault: its example lies beside the image by so much. */
static float off[PIXELS];

static attack_want faulty_begin(attack_lane *lane)
{
    for (size_t i = 0; i < PIXELS; i++)
        lane->point[i] = lane->x[i] + off[i];
    return ATTACK_WANT_LOGITS;
}

static attack_want faulty_next(attack_lane *lane)
{
    (void)lane;
    return ATTACK_WANT_NO_MORE;
}

/* Right of what was given, wrong of all else. */
static base_status wrong_of_others(void *user, float *logits, const float *x, size_t count,
                                   base_error *err)
{
    (void)user, (void)err;
    for (size_t i = 0; i < count; i++) {
        bool given = false;
        for (size_t j = 0; j < SAMPLES; j++)
            given = given ||
                    memcmp(x + i * PIXELS, images + j * PIXELS, PIXELS * sizeof *x) == 0;
        logits[2 * i] = given;
        logits[2 * i + 1] = !given;
    }
    return BASE_OK;
}

START_TEST(an_example_outside_of_its_budget_is_a_fault)
{
    static const struct {
        attack_norm norm;
        double eps, off[2]; /* of the first two pixels, which are 0.2 and 1 */
        bool fault;
    } cases[] = {{ATTACK_NORM_LINF, 0.1, {0.1 + 0.9e-6, 0}, false},
                 {ATTACK_NORM_LINF, 0.1, {-0.1 - 1.2e-6, 0}, true},
                 {ATTACK_NORM_LINF, 0.3, {-0.2, 0}, false},
                 {ATTACK_NORM_LINF, 0.3, {-0.2 - 1e-6, 0}, true},
                 {ATTACK_NORM_LINF, 0.3, {0, 1e-6}, true},
                 {ATTACK_NORM_L2, 0.5, {0.3, -0.4 - 4e-6}, false},
                 {ATTACK_NORM_L2, 0.5, {0.3, -0.4 - 9e-6}, true},
                 {ATTACK_NORM_L1, 0.5, {0.2, -0.3 - 5e-6}, false},
                 {ATTACK_NORM_L1, 0.5, {0.2, -0.3 - 7e-6}, true}};
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = 4,
                                  .logits = wrong_of_others,
                                  .forward = wrong_of_others,
                                  .gradient = slope};

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        attack_config config = attack_config_defaults();
        attack_run *run = NULL;
        base_error err = {0};

        write_script();
        for (size_t i = 0; i < SAMPLES; i++) {
            images[i * PIXELS] = 0.2f;
            images[i * PIXELS + 1] = 1;
        }
        config.norm = cases[c].norm;
        config.eps = cases[c].eps;
        off[0] = (float)cases[c].off[0];
        off[1] = (float)cases[c].off[1];
        ck_assert_int_eq(attack_run_create(&run, &target, &config, images + PIXELS, labels,
                                           SAMPLES - 1, NULL),
                         BASE_OK);
        ck_assert_int_eq(attack_run_add(run, "pgd:steps=1", NULL), BASE_OK);
        attack_method faulty = *run->entries[0].spec.method;
        faulty.begin = faulty_begin;
        faulty.next = faulty_next;
        run->entries[0].spec.method = &faulty;
        ck_assert_msg(attack_run_go(run, &err) ==
                          (cases[c].fault ? BASE_INTERNAL : BASE_OK),
                      "case %zu: %s", c, err.text);
        ck_assert_str_eq(err.text,
                         cases[c].fault
                             ? "attack 'pgd:steps=1' left its budget at sample 0: a "
                               "fault of the program"
                             : "");
        ck_assert_uint_eq(attack_run_robust(run), cases[c].fault ? SAMPLES - 1 : 0);
        attack_run_destroy(run);
    }
}
END_TEST

/* ---- shares of a search -------------------------------------------------------------- */

typedef struct shares {
    attack_mode mode;
    size_t told, met; /* images that the second attack meets */
} shares;

/* The first attack can cost 2 rounds of 5 points with a gradient, 30 passes an image, of
 * which it meets 8; the second 2 passes of what is left, of which more breaks on the
 * way. */
static void share_is(void *user, double share, const attack_progress *p)
{
    shares *s = user;
    const double left = s->mode == ATTACK_MODE_CASCADE ? (double)p->robust : SAMPLES;
    const double part =
        ((double)p->restart + (double)p->done / (double)p->total) / (double)p->restarts;

    if (p->index == 1 && s->met == 0)
        s->met = (size_t)left;
    const double met = p->index == 0 ? left : (double)s->met;
    const double done = p->index == 0 ? 30 * SAMPLES * part : 30 * SAMPLES + 2 * met * part;
    ck_assert_double_eq_tol(share, done / (30 * SAMPLES + 2 * met), 1e-12);
    s->told++;
}

START_TEST(a_search_tells_its_share)
{
    batch = 1;
    char *folder = test_folder_make(), *state = test_path(folder, "state");
    const attack_target target = {.classes = 2,
                                  .channels = 1,
                                  .height = 2,
                                  .width = 3,
                                  .batch = batch,
                                  .logits = answer,
                                  .forward = answer,
                                  .gradient = slope};
    attack_config config = attack_config_defaults();
    shares s = {.mode = (attack_mode)_i};
    attack_run *run = NULL;
    base_error err = {0};

    write_script();
    config.eps = EPS;
    config.mode = s.mode;
    const attack_search search = {
        .target = &target,
        .config = &config,
        .images = images,
        .labels = labels,
        .n = SAMPLES,
        .specs = "pgd:steps=4,loss=margin,restarts=2,relative=0.1 noise:draws=2",
        .state = state,
        .name = "here",
        .progress = share_is,
        .user = &s};
    ck_assert_msg(attack_search_go(&run, &search, &err) == BASE_OK, "%s", err.text);
    ck_assert_uint_gt(s.told, 50);
    ck_assert(test_exists(state));
    attack_run_destroy(run);
    base_free(state);
    test_folder_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_script");
    TCase *core = tcase_create("Core");

    tcase_add_loop_test(core, a_run_is_as_it_is_written, 0, 24);
    tcase_add_loop_test(core, draws_are_counted_one_by_one, 0, 6);
    tcase_add_loop_test(core, all_steps_keep_the_strongest, 0, 6);
    tcase_add_test(core, among_equals_the_lowest_class_comes_first);
    tcase_add_test(core, a_random_model_is_asked_for_means);
    tcase_add_loop_test(core, experts_are_held_while_it_searches, 0, 4);
    tcase_add_test(core, neighbours_are_looked_at_like_this);
    tcase_add_loop_test(core, a_stop_is_told_where_it_was, 0, 2);
    tcase_add_test(core, an_example_outside_of_its_budget_is_a_fault);
    tcase_add_loop_test(core, a_search_tells_its_share, 0, 2);
    tcase_add_test(core, the_second_attack_sees_what_is_left);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
