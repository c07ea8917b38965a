/* test_attack_script_asked.c - what a model whose answers are written down is asked for,
 * with held experts too, what ends a run on it, and the shares that a search tells. */
#include "attacks/checks/checks_internal.h"

#include "tests/test_attack_script.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"

/* ---- what is asked of the model ------------------------------------------------------ */

/* All classes alike: who is aimed at stands in the gradient that is asked for. */
static size_t aimed[8], aims_asked, aim_label;

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
        const float want = c == aim_label ? -1.0f : 0;

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
    attack_target target = script_target(1, all_alike);
    const attack_config config = attack_config_defaults();

    target.classes = 4;
    target.gradient = aim_seen;
    aim_label = 0;
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

/* Whatever the label: behind the last class comes the first, and nobody aims at the label
 * itself. By chance it is one of the others, by the stream of its sample. */
START_TEST(aims_go_round_the_label)
{
    static const struct {
        const char *spec;
        size_t aim[4]; /* by label */
    } cases[] = {{"pgd:steps=1,loss=margin,aim=next", {1, 2, 3, 0}},
                 {"pgd:steps=1,loss=margin,aim=second", {1, 0, 0, 0}},
                 {"pgd:steps=1,loss=margin,aim=least", {3, 3, 3, 2}},
                 {"pgd:steps=1,loss=margin,aim=random", {0}}};
    enum { SAMPLES_DRAWN = 30 };
    attack_target target = script_target(1, all_alike);
    attack_config config = attack_config_defaults();

    target.classes = 4;
    target.gradient = aim_seen;
    config.seed = 3;
    write_script();
    for (size_t c = 0; c < 4; c++)
        for (uint32_t k = 0; k < (c == 3 ? SAMPLES_DRAWN : 4); k++) {
            const int32_t label = (int32_t)(k % 4);
            attack_run *run = NULL;

            aim_label = (size_t)label;
            aims_asked = 0;
            config.samples = &k;
            ck_assert_int_eq(
                attack_run_create(&run, &target, &config, images, &label, 1, NULL),
                BASE_OK);
            ck_assert_int_eq(attack_run_add(run, cases[c].spec, NULL), BASE_OK);
            run->clean_done = true; /* right, by what stands in it */
            run->samples[0].right = true;
            ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
            ck_assert_uint_ge(aims_asked, 1);
            const attack_task task = attack_task_make(run, &run->entries[0].spec);
            const attack_lane lane = {.task = &task, .sample = k};
            base_rng rng = attack_lane_rng(&lane, UINT64_MAX);
            ck_assert_uint_eq(aimed[0],
                              c < 3 ? cases[c].aim[label]
                                    : (aim_label + 1 + base_rng_below(&rng, 3)) % 4);
            attack_run_destroy(run);
        }
    aim_label = 0;
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
    attack_target target = script_target(1, by_turns);
    attack_config config = script_config();
    attack_run *run = NULL;

    target.gradient = slope_by_turns;
    write_script();
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

/* Right whatever it is shown; some of its gradients, in the order in which they are asked
 * for, are zero. */
static unsigned zeros_at, slopes_asked;

static base_status always_right(void *user, float *logits, const float *x, size_t count,
                                base_error *err)
{
    (void)user, (void)x, (void)err;
    for (size_t i = 0; i < count; i++) {
        logits[2 * i] = 1;
        logits[2 * i + 1] = 0;
    }
    return BASE_OK;
}

static base_status zero_by_turns(void *user, float *d_images, const float *d_logits,
                                 base_error *err)
{
    (void)user, (void)d_logits, (void)err;
    for (size_t i = 0; i < PIXELS; i++)
        d_images[i] = zeros_at >> slopes_asked & 1 ? 0 : 1;
    slopes_asked++;
    return BASE_OK;
}

/* No gradient at the start of the first round is told, and nothing else. */
START_TEST(the_first_gradient_is_looked_at)
{
    static const struct {
        unsigned zeros;
        size_t told;
    } cases[] = {{0, 0}, {1, 1}, {2, 0}, {6, 0}, {8, 0}, {62, 0}, {63, 1}};
    attack_target target = script_target(1, always_right);
    const attack_config config = script_config();

    target.gradient = zero_by_turns;
    write_script();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        attack_run *run = NULL;

        zeros_at = cases[c].zeros;
        slopes_asked = 0;
        ck_assert_int_eq(attack_run_create(&run, &target, &config, images, labels, 1, NULL),
                         BASE_OK);
        ck_assert_int_eq(attack_run_add(run, "pgd:steps=3,restarts=2", NULL), BASE_OK);
        ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
        ck_assert_uint_eq(slopes_asked, 6);
        ck_assert_uint_eq(attack_run_result(run, 0)->zero_grad, cases[c].told);
        attack_run_destroy(run);
    }
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
    attack_target target = script_target(rows, held_answer);
    attack_config config = script_config();
    attack_run *run = NULL;

    target.freeze = hold;
    batch = rows;
    write_script();
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
    const attack_target target = script_target(ROWS, question_note);
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
    const attack_target target = script_target(4, answer);

    batch = 4;
    for (size_t after = 0; after < 5; after++) {
        attack_config config = script_config();
        attack_run *run = NULL;
        size_t left = after;
        base_error err = {0};

        write_script();
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
        run->entries[0].result.seconds = 1000; /* what was before the stop counts */
        left = SIZE_MAX;
        ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
        ck_assert_double_gt(attack_run_result(run, 0)->seconds, 1000);
        ck_assert_double_lt(attack_run_result(run, 0)->seconds, 2000);
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
    const attack_target target = script_target(4, wrong_of_others);

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
    const attack_target target = script_target(batch, answer);
    attack_config config = script_config();
    shares s = {.mode = (attack_mode)_i};
    attack_run *run = NULL;
    base_error err = {0};

    write_script();
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
    Suite *suite = suite_create("attack_script_asked");
    TCase *core = tcase_create("Core");

    tcase_add_test(core, among_equals_the_lowest_class_comes_first);
    tcase_add_test(core, aims_go_round_the_label);
    tcase_add_test(core, a_random_model_is_asked_for_means);
    tcase_add_test(core, the_first_gradient_is_looked_at);
    tcase_add_loop_test(core, experts_are_held_while_it_searches, 0, 4);
    tcase_add_test(core, neighbours_are_looked_at_like_this);
    tcase_add_loop_test(core, a_stop_is_told_where_it_was, 0, 2);
    tcase_add_test(core, an_example_outside_of_its_budget_is_a_fault);
    tcase_add_loop_test(core, a_search_tells_its_share, 0, 2);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
