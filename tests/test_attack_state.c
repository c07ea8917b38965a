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

static void check_refused(const attack_config *config, const char *attacks,
                          uint64_t fingerprint, base_status expected)
{
    base_error err = {0};
    attack_run *run = make(config, 7, attacks);

    ck_assert_int_eq(attack_run_load(run, path, fingerprint, &err), expected);
    ck_assert(err.text[0] != 0 && !strchr(err.text, '\n'));
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

START_TEST(another_run_is_refused)
{
    attack_config config = attack_config_defaults();

    config.eps = BUDGETS[0];
    save_stopped(config, "fgsm pgd:steps=8", 8);
    check_refused(&config, "fgsm pgd:steps=8", 78, BASE_MISMATCH);
    check_refused(&config, "fgsm pgd:steps=9", 77, BASE_MISMATCH);
    check_refused(&config, "fgsm", 77, BASE_MISMATCH);
    config.eps *= 2;
    check_refused(&config, "fgsm pgd:steps=8", 77, BASE_MISMATCH);
    config.eps /= 2;
    config.seed = 1;
    check_refused(&config, "fgsm pgd:steps=8", 77, BASE_MISMATCH);
    config.seed = 0;
    images[5] += 0.001f;
    check_refused(&config, "fgsm pgd:steps=8", 77, BASE_MISMATCH);
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
    tcase_add_test(core, a_search_that_was_stopped_goes_on_to_the_same_end);
    tcase_add_test(core, the_control_of_a_search_is_random_noise);
    tcase_add_test(limits, a_search_takes_attacks_and_not_too_many);
    tcase_add_test(limits, another_run_is_refused);
    tcase_add_test(limits, damage_is_found_wherever_it_is);
    tcase_add_test(limits, a_missing_file_is_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
