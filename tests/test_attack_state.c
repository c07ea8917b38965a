/* test_attack_state.c - a run in a file: what was stopped goes on to the same end; what is
 * damaged or of another run is refused and changes nothing. */
#include "attacks/attacks_internal.h"
#include "test_attack_rig.h"
#include "test_folder.h"

static char *folder;
static char path[600], text[700];

static void prepare(void)
{
    setup();
    folder = test_folder_make();
    snprintf(path, sizeof path, "%s/attack.state", folder);
}

static void clear(void)
{
    test_folder_remove(folder);
    teardown();
}

typedef struct stopper {
    size_t asked, limit;
} stopper;

static bool stop_at(void *user)
{
    stopper *s = user;

    return s->asked++ >= s->limit;
}

/* A run stopped after `limit` questions, and its file. */
static void save_stopped(attack_config config, const char *attacks, size_t limit)
{
    stopper s = {.limit = limit};
    base_error err = {0};

    config.stop = stop_at;
    config.user = &s;
    attack_run *run = make(&config, 7, attacks);
    ck_assert_int_eq(attack_run_go(run, &err), BASE_INTERRUPTED);
    ck_assert_msg(attack_run_save(run, path, 77, &err) == BASE_OK, "%s", err.text);
    attack_run_destroy(run);
}

static base_error refusal;

static void check_refused(const attack_config *config, const char *attacks,
                          uint64_t fingerprint, base_status expected)
{
    base_error err = {0};
    attack_run *run = make(config, 7, attacks);

    ck_assert_int_eq(attack_run_load(run, path, fingerprint, &err), expected);
    ck_assert(err.text[0] != 0 && !strchr(err.text, '\n'));
    refusal = err;
    ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
    attack_run *fresh = search(config, 7, attacks);
    check_same(fresh, run);
    attack_run_destroy(run);
    attack_run_destroy(fresh);
}

START_TEST(a_saved_run_goes_on_to_the_same_end)
{
    for (int norm = 0; norm < 2; norm++) {
        attack_config config = attack_config_defaults();
        config.norm = (attack_norm)norm;
        config.eps = BUDGETS[norm];
        config.mode = norm == 0 ? ATTACK_MODE_CASCADE : ATTACK_MODE_INDIVIDUAL;
        config.early_stop = norm == 0;
        attack_run *whole = search(&config, 7, LISTS[norm]);
        for (size_t limit = 0; limit < 90; limit += 11) {
            base_error err = {0};
            save_stopped(config, LISTS[norm], limit);
            attack_run *run = make(&config, 16, LISTS[norm]);
            ck_assert_msg(attack_run_load(run, path, 77, &err) == BASE_OK, "%s", err.text);
            ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
            check_same(whole, run);
            attack_run_destroy(run);
        }
        attack_run_destroy(whole);
    }
}
END_TEST

static bool save_at(void *user)
{
    stopper *s = user;

    return s->asked++ == s->limit;
}

static base_status save_here(void *user, const attack_run *run, base_error *err)
{
    (void)user;
    return attack_run_save(run, path, 77, err);
}

/* Written in the middle of an attack, as by a run that is then killed; writing changes
 * nothing. */
START_TEST(a_run_saved_on_its_way_goes_on_to_the_same_end)
{
    static const char *const list = "pgd:steps=8,restarts=2 fab-t:steps=6,targets=2";

    for (size_t turn = 0; turn < 12; turn++) {
        attack_config config = attack_config_defaults();
        stopper s = {.limit = 1 + 7 * turn};
        base_error err = {0};

        config.eps = BUDGETS[0];
        config.fixed_batch = turn % 2;
        attack_run *whole = search(&config, 7, list);
        config.save_due = save_at;
        config.save = save_here;
        config.user = &s;
        attack_run *saved = search(&config, 7, list);
        ck_assert_uint_gt(s.asked, s.limit);
        check_same(whole, saved);
        config.save_due = NULL;
        attack_run *run = make(&config, 7, list);
        ck_assert_msg(attack_run_load(run, path, 77, &err) == BASE_OK, "%s", err.text);
        ck_assert_int_eq(attack_run_go(run, &err), BASE_OK);
        check_same(whole, run);
        attack_run_destroy(whole);
        attack_run_destroy(saved);
        attack_run_destroy(run);
    }
}
END_TEST

static base_status save_nothing(void *user, const attack_run *run, base_error *err)
{
    (void)user, (void)run;
    return base_fail(err, BASE_IO, "the disk is full");
}

START_TEST(a_save_that_fails_ends_the_run)
{
    attack_config config = attack_config_defaults();
    stopper s = {.limit = 3};
    base_error err = {0};

    config.eps = BUDGETS[0];
    config.save_due = save_at;
    config.save = save_nothing;
    config.user = &s;
    attack_run *run = make(&config, 7, "pgd:steps=8");
    ck_assert_int_eq(attack_run_go(run, &err), BASE_IO);
    ck_assert_str_eq(err.text, "the disk is full");
    attack_run_destroy(run);
}
END_TEST

START_TEST(a_finished_run_needs_no_model_and_takes_more_attacks)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};

    config.eps = BUDGETS[0];
    attack_run *whole = search(&config, 7, "fgsm pgd:steps=8");
    ck_assert_int_eq(attack_run_save(whole, path, 1, &err), BASE_OK);
    net.forwards = 0;
    attack_run *again = make(&config, 7, "fgsm pgd:steps=8");
    ck_assert_int_eq(attack_run_load(again, path, 1, &err), BASE_OK);
    ck_assert_int_eq(attack_run_go(again, &err), BASE_OK);
    ck_assert_uint_eq(net.forwards, 0);
    check_same(whole, again);
    ck_assert_int_eq(attack_run_add(whole, "apgd-ce:steps=20", &err), BASE_OK);
    ck_assert_int_eq(attack_run_go(whole, &err), BASE_OK);
    attack_run *more = make(&config, 7, "fgsm pgd:steps=8 apgd-ce:steps=20");
    ck_assert_int_eq(attack_run_load(more, path, 1, &err), BASE_OK);
    ck_assert_int_eq(attack_run_go(more, &err), BASE_OK);
    check_same(whole, more);
    attack_run_destroy(whole);
    attack_run_destroy(again);
    attack_run_destroy(more);
}
END_TEST

/* Distinct values, so that one that is left out, or read into another's place, shows. */
static void fill_result(attack_result *r, size_t from)
{
    *r = (attack_result){.complete = true,
                         .evaluated = from + 1,
                         .broken = from + 2,
                         .robust = from + 3,
                         .robust_after = from + 4,
                         .robust_u8 = from + 5,
                         .robust_after_u8 = from + 6,
                         .invalid = from + 7,
                         .zero_grad = from + 8,
                         .unconfirmed = from + 9,
                         .targeted = from + 10,
                         .median_norm = (double)from + 11,
                         .max_norm = (double)from + 12,
                         .minimal_count = from + 13,
                         .minimal_norm = (double)from + 14,
                         .grad_evals = (double)from + 15,
                         .forward_evals = (double)from + 16,
                         .queries_median = (double)from + 17,
                         .draw_accuracy = (double)from + 18,
                         .seconds = (double)from + 19,
                         .late_rise = (double)from + 20,
                         .curve_count = ATTACK_CURVE_MAX,
                         .by_restart_count = ATTACK_CURVE_MAX};
    for (size_t i = 0; i < ATTACK_CURVE_MAX; i++) {
        r->curve[i] = (double)(from + 100 + i);
        r->by_restart[i] = from + 200 + i;
    }
}

static void fill_sample(attack_sample *s, int from)
{
    *s = (attack_sample){.label = from + 1,
                         .clean_prediction = from + 2,
                         .prediction = from + 3,
                         .right = from % 2,
                         .broken = from / 2 % 2,
                         .broken_u8 = from / 4 % 2,
                         .invalid = from / 8 % 2,
                         .attack = from + 4,
                         .restart = from + 5,
                         .step = from + 6,
                         .clean_margin = (float)from + 7,
                         .margin = (float)from + 8,
                         .norm = (float)from + 9};
}

static void fill_trial(attack_trial *t, unsigned from)
{
    *t = (attack_trial){.broken = from % 2,
                        .broken_u8 = from / 2 % 2,
                        .invalid = from / 4 % 2,
                        .zero_grad = from / 8 % 2,
                        .unconfirmed = from / 16 % 2,
                        .targeted = from / 3 % 2,
                        .seen = from / 5 % 2,
                        .rounds = (uint16_t)(from + 1),
                        .broken_round = (uint16_t)(from + 2),
                        .norm = (float)from + 3,
                        .minimal_norm = (float)from + 4,
                        .queries = from + 5,
                        .grad_evals = from + 6,
                        .draws = from + 7,
                        .draws_right = from + 8};
}

static void check_same_trial(const attack_trial *x, const attack_trial *y)
{
    ck_assert_uint_eq(x->broken, y->broken);
    ck_assert_uint_eq(x->broken_u8, y->broken_u8);
    ck_assert_uint_eq(x->invalid, y->invalid);
    ck_assert_uint_eq(x->zero_grad, y->zero_grad);
    ck_assert_uint_eq(x->unconfirmed, y->unconfirmed);
    ck_assert_uint_eq(x->targeted, y->targeted);
    ck_assert_uint_eq(x->seen, y->seen);
    ck_assert_uint_eq(x->rounds, y->rounds);
    ck_assert_uint_eq(x->broken_round, y->broken_round);
    ck_assert_double_eq((double)x->norm, (double)y->norm);
    ck_assert_double_eq((double)x->minimal_norm, (double)y->minimal_norm);
    ck_assert_uint_eq(x->queries, y->queries);
    ck_assert_uint_eq(x->grad_evals, y->grad_evals);
    ck_assert_uint_eq(x->draws, y->draws);
    ck_assert_uint_eq(x->draws_right, y->draws_right);
}

/* Whatever a run knows is in its file. Examples of untried samples are their images. */
START_TEST(every_figure_comes_back)
{
    const attack_config config = attack_config_defaults();
    base_error err = {0};
    attack_run *out = make(&config, 7, "fgsm pgd"), *in = make(&config, 16, "fgsm pgd");

    out->clean_done = true;
    out->trials_of = 1;
    for (size_t i = 0; i < N * CLASSES; i++)
        out->clean_logits[i] = (float)i;
    for (size_t i = 0; i < N; i++) {
        fill_sample(&out->samples[i], (int)i);
        fill_trial(&out->trials[i], (unsigned)i);
        out->tried[i] = i % 3 != 0;
        for (size_t j = 0; j < INPUTS; j++) {
            out->adversarial[i * INPUTS + j] =
                out->tried[i] ? (float)(i + j) : images[i * INPUTS + j];
            in->adversarial[i * INPUTS + j] = -1;
        }
        out->entries[0].broke[i] = i % 2;
        out->entries[1].broke[i] = i % 5 == 0;
    }
    for (size_t e = 0; e < 2; e++) {
        attack_entry *entry = &out->entries[e];

        fill_result(&entry->result, 1000 * e);
        entry->curve_samples = 7 + e;
        for (size_t i = 0; i < ATTACK_CURVE_MAX; i++)
            entry->curve_sum[i] = (int64_t)(i + 50 * e) - 20;
    }
    ck_assert_msg(attack_run_save(out, path, 77, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(attack_run_load(in, path, 77, &err) == BASE_OK, "%s", err.text);
    ck_assert(in->clean_done);
    ck_assert_uint_eq(in->trials_of, 1);
    ck_assert_mem_eq(in->clean_logits, out->clean_logits, N * CLASSES * sizeof(float));
    ck_assert_mem_eq(in->tried, out->tried, N);
    ck_assert_mem_eq(in->adversarial, out->adversarial, sizeof images);
    for (size_t i = 0; i < N; i++) {
        check_same_sample(&in->samples[i], &out->samples[i]);
        check_same_trial(&in->trials[i], &out->trials[i]);
    }
    for (size_t e = 0; e < 2; e++) {
        attack_entry *a = &in->entries[e], *b = &out->entries[e];

        /* of the spec, not of the file */
        ck_assert_str_eq(a->result.spec, e == 0 ? "fgsm" : "pgd");
        memcpy(b->result.spec, a->result.spec, sizeof a->result.spec);
        b->result.curve_count = a->result.curve_count;
        b->result.by_restart_count = a->result.by_restart_count;
        check_same_result(&a->result, &b->result);
        ck_assert_mem_eq(a->result.curve, b->result.curve, sizeof a->result.curve);
        ck_assert_mem_eq(a->result.by_restart, b->result.by_restart,
                         sizeof a->result.by_restart);
        ck_assert_double_eq(a->result.seconds, b->result.seconds);
        ck_assert_mem_eq(a->curve_sum, b->curve_sum, sizeof a->curve_sum);
        ck_assert_uint_eq(a->curve_samples, b->curve_samples);
        ck_assert_mem_eq(a->broke, b->broke, N);
    }
    attack_run_destroy(out);
    attack_run_destroy(in);
}
END_TEST

START_TEST(another_run_is_refused)
{
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    save_stopped(config, "fgsm pgd:steps=8", 8);
    check_refused(&config, "fgsm pgd:steps=8", 78, BASE_MISMATCH);
    snprintf(text, sizeof text, "'%s' is of another model or other data", path);
    ck_assert_str_eq(refusal.text, text);
    check_refused(&config, "fgsm pgd:steps=9", 77, BASE_MISMATCH);
    snprintf(text, sizeof text,
             "'%s' has the attack 'pgd:steps=8' where this run has 'pgd:steps=9'", path);
    ck_assert_str_eq(refusal.text, text);
    check_refused(&config, "fgsm", 77, BASE_MISMATCH);
    snprintf(text, sizeof text, "'%s' has 2 attacks, this run has 1", path);
    ck_assert_str_eq(refusal.text, text);
}
END_TEST

/* The run differs from that of the file in one thing after the other. */
START_TEST(another_setup_is_refused)
{
    static uint32_t numbers[N], others[N];
    attack_config config = attack_config_defaults();
    base_error err = {0};

    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = 10 + i;
        others[i] = 10 + i + (i == N - 1);
    }
    config.samples = numbers;
    config.fixed_batch = true;
    attack_run *run = make(&config, 7, "fgsm");
    ck_assert_int_eq(attack_run_save(run, path, 77, &err), BASE_OK);
    snprintf(text, sizeof text, "'%s' is of other images, another budget, seed or mode",
             path);
    const attack_run kept = *run;
    const float pixel = images[N * INPUTS - 1];
    const int32_t label = labels[N - 1];
    enum { WAYS = 15 };
    for (int way = 0; way <= WAYS; way++) {
        run->config.norm = way == 1 ? ATTACK_NORM_L2 : kept.config.norm;
        run->config.eps = way == 2 ? nextafter(kept.config.eps, 1) : kept.config.eps;
        run->config.seed = kept.config.seed + (way == 3);
        run->config.mode = way == 4 ? ATTACK_MODE_INDIVIDUAL : kept.config.mode;
        run->config.early_stop = kept.config.early_stop != (way == 5);
        run->config.fixed_routing = way == 6;
        run->config.fixed_batch = way != 7;
        run->target.batch = kept.target.batch - (way == 8);
        run->target.classes = kept.target.classes + (way == 9);
        run->target.channels = kept.target.channels + (way == 10);
        run->target.height = kept.target.height + (way == 11);
        run->target.width = kept.target.width + (way == 12);
        run->config.samples = way == 13 ? others : numbers;
        images[N * INPUTS - 1] = way == 14 ? pixel / 2 : pixel;
        labels[N - 1] = way == 15 ? (label + 1) % CLASSES : label;
        err = (base_error){0};
        ck_assert_msg(attack_run_load(run, path, 77, &err) ==
                          (way == 0 ? BASE_OK : BASE_MISMATCH),
                      "%d: %s", way, err.text);
        ck_assert_str_eq(err.text, way == 0 ? "" : text);
    }
    run->config = kept.config;
    run->target = kept.target;
    attack_run_destroy(run);
    config.fixed_batch = false; /* then the batch does not matter */
    run = make(&config, 7, "fgsm");
    ck_assert_int_eq(attack_run_save(run, path, 77, &err), BASE_OK);
    run->target.batch = 6;
    ck_assert_int_eq(attack_run_load(run, path, 77, &err), BASE_OK);
    run->target.batch = 7;
    attack_run_destroy(run);
}
END_TEST

START_TEST(damage_is_found_wherever_it_is)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};
    char *bytes;
    size_t count;

    config.eps = BUDGETS[0];
    save_stopped(config, "fgsm pgd:steps=8", 8);
    ck_assert_int_eq(base_file_read(&bytes, &count, path, 1 << 24, &err), BASE_OK);
    attack_run *run = make(&config, 7, "fgsm pgd:steps=8");
    for (size_t at = 0; at < count; at += at < 200 ? 1 : 997) {
        bytes[at] ^= 4;
        test_write(path, bytes, count);
        ck_assert_int_ne(attack_run_load(run, path, 77, &err), BASE_OK);
        bytes[at] ^= 4;
    }
    for (size_t keep = 0; keep < count; keep += keep < 100 ? 1 : 1009) {
        test_write(path, bytes, keep);
        ck_assert_int_eq(attack_run_load(run, path, 77, &err), BASE_FORMAT);
    }
    char *longer = base_alloc(count + 1, 1);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, bytes, count);
    test_write(path, longer, count + 1);
    ck_assert_int_eq(attack_run_load(run, path, 77, &err), BASE_FORMAT);
    snprintf(text, sizeof text, "'%s' is not the whole state of an attack", path);
    ck_assert_str_eq(err.text, text);
    test_write(path, bytes, count);
    ck_assert_int_eq(attack_run_load(run, path, 77, &err), BASE_OK);
    base_free(longer);
    base_free(bytes);
    attack_run_destroy(run);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    attack_config config = attack_config_defaults();
    base_error err = {0};
    attack_run *run = make(&config, 7, "fgsm");

    ck_assert_int_eq(attack_run_load(run, path, 77, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_eq(attack_run_save(run, "/nowhere/attack.state", 77, &err), BASE_IO);
    attack_run_destroy(run);
}
END_TEST

/* ---- a search (attack_search_go) ----------------------------------------------------- */

static double last_share;

static void share_rises(void *user, double share, const attack_progress *progress)
{
    (void)user;
    ck_assert_ptr_nonnull(progress->attack);
    ck_assert(share >= last_share && share <= 1);
    last_share = share;
}

static attack_search search_of(const attack_target *target, const attack_config *config,
                               const char *specs)
{
    return (attack_search){.target = target,
                           .config = config,
                           .images = images,
                           .labels = labels,
                           .n = N,
                           .specs = specs,
                           .state = path,
                           .fingerprint = 5,
                           .name = "here"};
}

START_TEST(a_search_that_was_stopped_goes_on_to_the_same_end)
{
    const attack_target target = test_net_target(&net, 1, SIDE, 7);
    attack_config config = attack_config_defaults();
    attack_search s = search_of(&target, &config, LISTS[0]);
    base_error err = {0};
    attack_run *run = NULL;
    double noise = 0;

    s.progress = share_rises;
    config.eps = BUDGETS[0];
    attack_run *whole = search(&config, 7, LISTS[0]);
    for (size_t limit = 0; limit < 90; limit += 22) {
        stopper stop = {.limit = limit};

        config.stop = stop_at;
        config.user = &stop;
        s.resume = false;
        last_share = 0;
        ck_assert_int_eq(attack_search_go(&run, &s, &err), BASE_INTERRUPTED);
        attack_run_destroy(run);
        config.stop = NULL;
        s.resume = true;
        last_share = 0;
        ck_assert_msg(attack_search_go(&run, &s, &err) == BASE_OK, "%s", err.text);
        ck_assert_double_gt(last_share, 0.9);
        check_same(whole, run);
        ck_assert_int_eq(attack_search_control(&noise, &s, run, &err), BASE_OK);
        ck_assert_double_eq(noise, attack_run_result(run, 0)->draw_accuracy);
        attack_run_destroy(run);
    }
    attack_run_destroy(whole);
}
END_TEST

/* Five draws where the attacks hold none, and the clean accuracy where nothing can
 * change. */
START_TEST(the_control_of_a_search_is_random_noise)
{
    const attack_target target = test_net_target(&net, 1, SIDE, 16);
    attack_config config = attack_config_defaults();
    attack_search s = search_of(&target, &config, "fgsm");
    base_error err = {0};
    attack_run *run = NULL;
    double noise = 0;

    config.eps = 0.3;
    attack_run *draws = search(&config, 16, "noise:draws=5");
    ck_assert_int_eq(attack_search_go(&run, &s, &err), BASE_OK);
    ck_assert_int_eq(attack_search_control(&noise, &s, run, &err), BASE_OK);
    ck_assert_double_eq(noise, attack_run_result(draws, 0)->draw_accuracy);
    attack_run_destroy(run);
    attack_run_destroy(draws);
    config.eps = 0;
    ck_assert_int_eq(attack_search_go(&run, &s, &err), BASE_OK);
    ck_assert_int_eq(attack_search_control(&noise, &s, run, &err), BASE_OK);
    ck_assert_double_eq(noise, (double)attack_run_clean(run) / N);
    attack_run_destroy(run);
}
END_TEST

START_TEST(a_search_takes_attacks_and_not_too_many)
{
    const attack_target target = test_net_target(&net, 1, SIDE, 16);
    const attack_config config = attack_config_defaults();
    attack_search s = search_of(&target, &config, NULL);
    static const char *const bad[][2] = {{"quick", "'quick' is a preset"},
                                         {"fgsm pgt", "the nearest is 'pgd'"},
                                         {text, "holds more than 24 attacks"}};
    base_error err = {0};
    attack_run *run = NULL;

    for (size_t i = 0; i <= ATTACK_SEARCH_MAX; i++)
        memcpy(text + 5 * i, "fgsm ", i < ATTACK_SEARCH_MAX ? 5 : 4);
    text[5 * ATTACK_SEARCH_MAX + 4] = '\0';
    for (size_t i = 0; i < 3; i++) {
        s.specs = bad[i][0];
        ck_assert_int_eq(attack_search_go(&run, &s, &err), BASE_USAGE);
        ck_assert_msg(strstr(err.text, bad[i][1]) != NULL, "%s", err.text);
        ck_assert_ptr_null(run);
    }
    save_stopped(config, "fgsm", 3); /* of another fingerprint */
    s.specs = "fgsm";
    s.resume = true;
    ck_assert_int_eq(attack_search_go(&run, &s, &err), BASE_MISMATCH);
    ck_assert_int_eq(strncmp(err.text, "cannot resume 'here': ", 22), 0);
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_state");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, prepare, clear);
    tcase_add_checked_fixture(limits, prepare, clear);
    tcase_add_test(core, a_saved_run_goes_on_to_the_same_end);
    tcase_add_test(core, a_run_saved_on_its_way_goes_on_to_the_same_end);
    tcase_add_test(core, a_save_that_fails_ends_the_run);
    tcase_add_test(core, a_finished_run_needs_no_model_and_takes_more_attacks);
    tcase_add_test(core, every_figure_comes_back);
    tcase_add_test(core, a_search_that_was_stopped_goes_on_to_the_same_end);
    tcase_add_test(core, the_control_of_a_search_is_random_noise);
    tcase_add_test(limits, a_search_takes_attacks_and_not_too_many);
    tcase_add_test(limits, another_run_is_refused);
    tcase_add_test(limits, another_setup_is_refused);
    tcase_add_test(limits, damage_is_found_wherever_it_is);
    tcase_add_test(limits, a_missing_file_is_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
