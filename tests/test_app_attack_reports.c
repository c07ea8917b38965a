/* test_app_attack_reports.c - vmoe attack stopped and gone on with, and what its report
 * tells. What is refused: test_app_attack_limits.c. */
#include <signal.h>
#include <time.h>

#include "apps/attack/internal.h"
#include "show/show.h"
#include "tests/test_attack_command.h"
#include "tests/test_run.h"

/* ---- Resume -------------------------------------------------------------------------- */

static pid_t start_long(const char *folder)
{
    const char *program = getenv("VMOE_PROGRAM");
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const int null = open("/dev/null", O_WRONLY);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp(program ? program : "vmoe", "vmoe", ATTACK, folder, "--attack",
               "fgsm,pgd:steps=1500", "--eps", "1/25500", "--checks", "off", "--threads",
               "1", (char *)NULL);
        _exit(127);
    }
    return child;
}

/* A budget of a hundredth of a grey value breaks nothing: all steps are made. */
START_TEST(a_stopped_attack_leaves_a_report_and_goes_on)
{
    char *state = test_path(out, "state/linf-3.92156863e-05.state");
    int code = 0;

    const pid_t child = start_long(out);
    for (int i = 0; i < 2000 && !test_exists(state); i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    kill(child, SIGINT);
    ck_assert_int_eq(waitpid(child, &code, 0), child);
    ck_assert(WIFEXITED(code));
    json_t *json = result(out);
    if (WEXITSTATUS(code) == 1) { /* else it was done before the signal came */
        ck_assert(json_is_false(json_object_get(json, "complete")));
        ck_assert(test_exists(state));
    }
    json_decref(json);
    if (WEXITSTATUS(code) == 1)
        program_done(program_run(dir, ATTACK, out, "--attack", "fgsm,pgd:steps=1500",
                                 "--eps", "1/25500", "--checks", "off", "--threads", "1",
                                 "--resume", NULL));
    program_done(program_run(dir, ATTACK, other, "--attack", "fgsm,pgd:steps=1500", "--eps",
                             "1/25500", "--checks", "off", "--threads", "1", NULL));
    files_equal("adv.npy");
    files_equal("samples.csv");
    ck_assert(!test_exists(state));
    base_free(state);
}
END_TEST

/* ---- a state that somebody left ------------------------------------------------------ */

/* Slow at first, so that the time of the first attack tells whose it is; then it is asked
 * to stop. */
static bool slow_then_stop(void *user)
{
    size_t *asked = user;

    nanosleep(&(struct timespec){.tv_nsec = *asked < 3 ? 200000000 : 0}, NULL);
    return (*asked)++ == 6;
}

/* What a search of this command leaves that is stopped in its second attack. */
static void state_leave(void)
{
    attack_args args = {.common = app_common_defaults(),
                        .attack = "fgsm,pgd:steps=9",
                        .eps = "1/255",
                        .data = data,
                        .out = out,
                        .labels = 1};
    app_attack *a = base_alloc(1, sizeof *a);
    attack_config config = attack_config_defaults();
    char *folder = test_path(out, "state"),
         *state = test_path(out, "state/linf-0.00392156863.state");
    attack_run *run = NULL;
    base_error err = {0};
    size_t asked = 0;

    args.common.quiet = true;
    args.common.threads = 1;
    a->args = &args;
    ck_assert_msg(app_attack_open(a, model, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(app_attack_read(a, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    const attack_target target = measure_target_table(a->target);
    config.eps = 1.0 / 255;
    config.samples = a->read.sample;
    config.stop = slow_then_stop;
    config.user = &asked;
    const attack_search search = {.target = &target,
                                  .config = &config,
                                  .images = a->read.pixels,
                                  .labels = a->labels,
                                  .n = a->n,
                                  .specs = a->specs,
                                  .state = state,
                                  .fingerprint = a->fingerprint,
                                  .name = out};
    ck_assert_int_eq(attack_search_go(&run, &search, &err), BASE_INTERRUPTED);
    ck_assert_uint_eq(attack_run_count(run), 2);
    ck_assert(attack_run_result(run, 0)->complete);
    ck_assert(!attack_run_result(run, 1)->complete);
    attack_run_destroy(run);
    app_attack_close(a);
    base_free(a);
    base_free(folder);
    base_free(state);
}

START_TEST(what_was_left_is_gone_on_with)
{
    char *state = test_path(out, "state"), *text;

    state_leave();
    text =
        base_text("cannot resume '%s': '%s/linf-0.00392156863.state' is of other images, "
                  "another budget, seed or mode",
                  out, state);
    program_refused(program_run(dir, ATTACK, out, "--attack", "fgsm,pgd:steps=9", "--eps",
                                "1/255", "--resume", "--seed", "5", "--quiet", NULL),
                    1, text);
    base_free(text);
    text = base_text("has the attack 'pgd:steps=9' where this run has 'pgd:steps=8'");
    program_refused(program_run(dir, ATTACK, out, "--attack", "fgsm,pgd:steps=8", "--eps",
                                "1/255", "--resume", "--quiet", NULL),
                    1, text);
    base_free(text);
    const vit_config dense = sample_config(false);
    char *another = test_path(dir, "dense.safetensors");
    sample_model_save(another, &dense, sample_labels);
    program_refused(program_run(dir, "attack", another, "--data", data, "--labels",
                                "predicted", "--out", out, "--attack", "fgsm,pgd:steps=9",
                                "--eps", "1/255", "--resume", "--quiet", NULL),
                    1, "is of another model or other data");
    base_free(another);
    program_result r =
        program_run(dir, ATTACK, out, "--attack", "fgsm,pgd:steps=9", "--eps", "1/255",
                    "--resume", "--checks", "off", "--threads", "1", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(!strstr(r.err, "beginning anew"), "%s", r.err);
    program_result_free(&r);
    ck_assert(!test_exists(state));
    json_t *json = result(out);
    ck_assert_double_ge(show_json_number(json, "attacks[0].seconds"), 0.39);
    ck_assert(json_is_true(json_object_get(json, "complete")));
    json_decref(json);
    r = program_run(dir, ATTACK, other, "--attack", "fgsm,pgd:steps=9", "--eps", "1/255",
                    "--resume", "--checks", "off", "--threads", "1", NULL);
    ck_assert_int_eq(r.code, 0);
    text =
        base_text("vmoe attack: '%s' holds nothing to go on from, beginning anew", other);
    ck_assert_msg(strstr(r.err, text) != NULL, "%s", r.err);
    base_free(text);
    program_result_free(&r);
    files_equal("adv.npy");
    files_equal("samples.csv");
    base_free(state);
}
END_TEST

/* ---- what a report tells ------------------------------------------------------------- */

START_TEST(a_report_is_not_written_over)
{
    program_done(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "4/255",
                             "--checks", "off", NULL));
    program_refused(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "1/255",
                                "--checks", "off", "--quiet", NULL),
                    1, "--force");
    program_refused(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "1/255",
                                "--checks", "off", "--quiet", "--resume", NULL),
                    1, "holds a report already");
    json_t *json = result(out);
    ck_assert_double_eq_tol(number_at(json, "threat", "eps"), 4.0 / 255, 1e-9);
    json_decref(json);
    program_done(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "1/255",
                             "--checks", "off", "--force", NULL));
    json = result(out);
    ck_assert_double_eq_tol(number_at(json, "threat", "eps"), 1.0 / 255, 1e-9);
    json_decref(json);
}
END_TEST

/* In a run of its own each attack leaves what its row says in a run of all. */
START_TEST(rows_of_individual_attacks_are_theirs_alone)
{
    static const char *const specs[] = {"pgd:steps=6", "noise:draws=3"};
    double robust[2], after_u8[2];
    size_t i, row = 0;
    json_t *one;

    fragile_model_save(dir, data, model);
    for (i = 0; i < 2; i++) {
        program_done(program_run(dir, ATTACK, out, "--attack", specs[i], "--eps", "0.1",
                                 "--checks", "off", "--force", NULL));
        json_t *json = result(out);
        one = json_array_get(json_object_get(json, "attacks"), 0);
        robust[i] = json_number_of(one, "robust_acc");
        after_u8[i] = json_number_of(one, "acc_after_u8");
        json_decref(json);
    }
    ck_assert_double_lt(robust[0], robust[1]); /* else the test shows nothing */
    program_done(program_run(dir, ATTACK, out, "--attack", "pgd:steps=6,noise:draws=3",
                             "--eps", "0.1", "--checks", "off", "--force", "--mode",
                             "individual", NULL));
    json_t *json = result(out);
    json_array_foreach(json_object_get(json, "attacks"), i, one)
    {
        ck_assert_double_eq(json_number_of(one, "robust_acc"), robust[i]);
        ck_assert_double_eq(json_number_of(one, "acc_u8"), after_u8[i]);
        ck_assert_double_eq(json_number_of(one, "robust_acc_after"), robust[0]);
    }
    json_array_foreach(
        json_object_get(json, "sweep"), i,
        one) if (strcmp(json_string_value(json_object_get(one, "attack")), "noise") == 0 &&
                 ++row) ck_assert_double_eq(json_number_of(one, "robust_acc"), robust[1]);
    ck_assert_uint_eq(row, 1);
    json_decref(json);
}
END_TEST

/* The clean images stand at 0, once. */
START_TEST(the_curve_begins_at_zero)
{
    for (int given = 0; given < 2; given++) {
        size_t i, zeros = 0;
        json_t *one;

        program_done(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps",
                                 given ? "0,4/255" : "4/255", "--checks", "off", "--force",
                                 NULL));
        json_t *json = result(out);
        json_array_foreach(json_object_get(json, "sweep"), i, one)
        {
            if (json_number_of(one, "eps") > 0 ||
                strcmp(json_string_value(json_object_get(one, "attack")), "worst_case") !=
                    0)
                continue;
            zeros++;
            ck_assert_double_eq(json_number_of(one, "robust_acc"),
                                number_at(json, "clean", "acc"));
        }
        ck_assert_uint_eq(zeros, 1);
        json_decref(json);
    }
}
END_TEST

/* What page and table tell is in the report: no figure is made while it is drawn. */
START_TEST(the_report_holds_what_is_shown)
{
    double sum = 0, low = 2;
    size_t i, k, controls = 0;
    json_t *one, *line;

    fragile_model_save(dir, data, model);
    program_done(program_run(dir, ATTACK, out, "--attack",
                             "noise,pgd:steps=6,router:steps=2", "--eps", "2/255,32/255",
                             "--checks", "off", NULL));
    json_t *json = result(out);
    json_array_foreach(show_json_find(json, "worst_case.parts"), i, one) sum +=
        json_number_of(one, "share");
    ck_assert_uint_eq(i, 4); /* wrong before, noise, pgd, not broken */
    ck_assert_double_eq_tol(sum, 1, 1e-9);
    ck_assert_double_eq(show_json_number(json, "worst_case.parts[-1].share"),
                        show_json_number(json, "worst_case.robust_acc"));
    ck_assert_double_eq(show_json_number(json, "worst_case.broken"),
                        show_json_number(json, "clean.k") -
                            show_json_number(json, "worst_case.k"));
    json_array_foreach(json_object_get(json, "budgets"), i, one)
    {
        const double robust = json_number_of(one, "robust_acc");
        ck_assert_double_le(robust, low); /* 0 is the first */
        low = robust;
        json_array_foreach(json_object_get(one, "lines"), k, line) controls +=
            json_is_true(json_object_get(line, "control"));
    }
    ck_assert_uint_eq(i, 3);
    ck_assert_uint_eq(controls, 3);
    ck_assert_str_eq(show_json_string(json, "budgets[2].told"), "32/255 (0.1255)");
    ck_assert_str_eq(show_json_string(json, "attacks[1].options"), "steps=6");
    ck_assert_ptr_null(show_json_find(json, "attacks[0].options"));
    ck_assert_uint_eq(
        json_array_size(show_json_find(json, "routing.layers[0].control_left")),
        json_array_size(show_json_find(json, "routing.layers[0].left")));
    ck_assert_ptr_nonnull(strstr(show_json_string(json, "routing.facts[0]"), "Replay"));
    ck_assert_double_eq(show_json_number(json, "router_attack.all.changed"),
                        show_json_number(json, "router_attack.layers[0].changed"));
    ck_assert_ptr_nonnull(show_json_string(json, "per_class[0].title"));
    ck_assert_str_eq(show_json_string(json, "trust.text"), "Not checked");
    ck_assert_str_eq(show_json_string(json, "trust.verdict"), "WARN");
    ck_assert_ptr_nonnull(strstr(show_json_string(json, "trust.facts[0]"), "Only 12"));
    ck_assert_ptr_nonnull(show_json_find(json, "shown.broken[0].pictures[3]"));
    json_decref(json);
}
END_TEST

START_TEST(autoattack_means_standard)
{
    program_done(program_run(dir, ATTACK, out, "--attack", "standard", "--steps", "1",
                             "--eps", "1", "--checks", "off", NULL));
    program_done(program_run(dir, ATTACK, other, "--attack", "autoattack", "--steps", "1",
                             "--eps", "1", "--checks", "off", NULL));
    files_equal("adv.npy");
    json_t *a = result(out), *b = result(other);
    ck_assert_uint_eq(json_array_size(json_object_get(a, "attacks")), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert(json_equal(
            json_object_get(json_array_get(json_object_get(a, "attacks"), i), "spec"),
            json_object_get(json_array_get(json_object_get(b, "attacks"), i), "spec")));
    ck_assert_str_eq(show_json_string(a, "attacks[0].options"), "steps=1");
    json_decref(a);
    json_decref(b);
}
END_TEST

/* A search that does nothing leaves a figure that the checks' own attacks refute. */
START_TEST(a_useless_attack_fails_strictly)
{
    static const char *const useless[] = {"pgd:alpha=0.0001,start=none", "square:queries=1",
                                          "noise:draws=1"};

    fragile_model_save(dir, data, model);
    for (size_t i = 0; i < 4; i++) {
        program_result r =
            program_run(dir, ATTACK, out, "--attack", i < 3 ? useless[i] : "quick", "--eps",
                        "32/255", "--strict", "--quiet", "--force", NULL);
        ck_assert_msg(r.code == (i < 3 ? 3 : 0), "%s: %d: %s", i < 3 ? useless[i] : "quick",
                      r.code, r.out);
        program_result_free(&r);
        json_t *json = result(out), *checks = json_object_get(json, "checks");
        ck_assert_str_eq(
            json_string_value(json_object_get(json_array_get(checks, 19), "status")),
            i < 3 ? "FAIL" : "PASS");
        json_t *attack = json_array_get(json_object_get(json, "attacks"), 0);
        ck_assert(json_object_get(attack, "late_rise"));
        ck_assert(json_object_get(json_object_get(json, "worst_case"), "budget_used"));
        json_decref(json);
    }
}
END_TEST

START_TEST(the_table_fits_eighty_columns)
{
    program_result r =
        program_run(dir, ATTACK, out, "--attack",
                    "apgd-t:steps=12,targets=2,restarts=2,pgd:steps=3,router:steps=2",
                    "--eps", "1/255,0.0123456,32/255", NULL);

    ck_assert_int_eq(r.code, 0);
    for (const char *line = r.out; *line; line += strspn(line, "\n")) {
        const size_t columns = strcspn(line, "\n");
        const char *path = strstr(line, dir); /* paths are as long as they are */

        ck_assert_msg(columns <= 80 || (path && path < line + columns), "%zu columns: %.*s",
                      columns, (int)columns, line);
        line += columns;
    }
    program_result_free(&r);
}
END_TEST

START_TEST(the_trained_capacity_is_told)
{
    vit_config config = sample_config(true);

    config.moe.capacity = 0.5;
    config.moe.capacity_multiple = 1;
    sample_model_save(model, &config, sample_labels);
    program_done(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "4/255",
                             "--checks", "off", NULL));
    json_t *json = result(out);
    const json_t *trained =
        json_object_get(json_object_get(json, "routing"), "trained_capacity");
    ck_assert_double_eq(json_number_of(trained, "capacity"), 0.5);
    /* half of the room that all assignments need */
    ck_assert_double_ge(
        json_number_value(json_array_get(json_object_get(trained, "dropped"), 0)), 0.49);
    json_decref(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_attack_reports");
    TCase *core = tcase_create("Core"), *resume = tcase_create("Resume");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(resume, setup, teardown);
    tcase_add_test(core, the_trained_capacity_is_told);
    tcase_add_test(core, a_useless_attack_fails_strictly);
    tcase_add_test(core, rows_of_individual_attacks_are_theirs_alone);
    tcase_add_test(core, the_curve_begins_at_zero);
    tcase_add_test(core, the_report_holds_what_is_shown);
    tcase_add_test(core, autoattack_means_standard);
    tcase_add_test(core, the_table_fits_eighty_columns);
    tcase_add_test(core, a_report_is_not_written_over);
    tcase_add_test(resume, what_was_left_is_gone_on_with);
    tcase_add_test(resume, a_stopped_attack_leaves_a_report_and_goes_on);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, resume);
    return test_run(suite);
}
