/* test_app_train.c - vmoe train as a user runs it: what it leaves and prints, what it
 * refuses. */
#include "tests/test_run.h"
#include "tests/test_train.h"

START_TEST(a_run_leaves_its_files_and_its_numbers)
{
    char *out = test_path(dir, "run"), *results = test_path(dir, "r.json");
    static const char *const files[] = {"recipe.ini",
                                        "metrics.jsonl",
                                        "curves.svg",
                                        "best/model.safetensors",
                                        "best/state.safetensors",
                                        "last/model.safetensors",
                                        "last/state.safetensors"};

    program_result r = program_run(dir, TINY, out, "--json", results, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    double best = -1, last = -1, loss = -1;
    unsigned step = 0;
    const char *line = strstr(r.out, "best top-1 ");
    ck_assert_ptr_nonnull(line);
    ck_assert_int_eq(sscanf(line,
                            "best top-1 %lf %% at step %u, last top-1 %lf %%, loss %lf, ",
                            &best, &step, &last, &loss),
                     4);
    ck_assert_double_gt(loss, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "top 2 of 4 x 32, ssr"));
    program_result_free(&r);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = test_path(out, files[i]);
        ck_assert_msg(test_exists(path), "%s is missing", path);
        base_free(path);
    }
    /* 40 epochs of 6 passes, 2 passes a step: 120 steps. */
    ck_assert_int_eq(count_lines("run", "train"), 24);
    ck_assert_int_eq(count_lines("run", "eval"), 20);
    json_t *json = program_json(results);
    ck_assert_double_eq(json_number_of(json, "steps"), 120);
    ck_assert_double_eq(json_number_of(json, "samples"), 12);
    ck_assert_double_ge(json_number_of(json, "best_top1"), 0.9);
    ck_assert_double_eq_tol(best, 100 * json_number_of(json, "best_top1"), 0.006);
    json_decref(json);
    base_free(results);
    base_free(out);
}
END_TEST

START_TEST(quiet_prints_results_only)
{
    char *out = test_path(dir, "run");
    program_result r =
        program_run(dir, TINY, out, "--quiet", "--set", "train.epochs=2", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "epoch 2  step 6  top-1 "));
    program_result_free(&r);
    base_free(out);
}
END_TEST

START_TEST(json_on_stdout_has_it_for_itself)
{
    char *out = test_path(dir, "run");
    program_result r =
        program_run(dir, TINY, out, "--json", "-", "--set", "train.epochs=2", NULL);

    ck_assert_int_eq(r.code, 0);
    json_t *json = json_loads(r.out, 0, NULL);
    ck_assert_msg(json != NULL, "%s", r.out);
    ck_assert_double_eq(json_number_of(json, "steps"), 6);
    ck_assert_ptr_nonnull(strstr(r.err, "epoch 2  step 6  top-1 "));
    json_decref(json);
    program_result_free(&r);
    base_free(out);
}
END_TEST

START_TEST(max_steps_ends_in_the_middle_of_an_epoch)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.max_steps=4", NULL));
    ck_assert_int_eq(count_lines("run", "eval"), 1);
    base_free(out);
}
END_TEST

START_TEST(threads_of_the_loader_change_nothing)
{
    char *one = test_path(dir, "one"), *two = test_path(dir, "two");

    program_done(program_run(dir, TINY, one, "--set", "data.workers=0", NULL));
    program_done(
        program_run(dir, TINY, two, "--set", "data.workers=3", "data.queue=5", NULL));
    same_run("one", "two");
    base_free(one);
    base_free(two);
}
END_TEST

/* The same run, bound to processors or not; frees what it says. */
static void run_bound(const char *name, const char *pin, bool bound)
{
    char *out = test_path(dir, name);
    program_result r =
        program_run(dir, "train", "--data", data, "--val", data, "--recipe", recipe,
                    "--threads", "2", "--out", out, "--set", "train.epochs=4", pin, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg((strstr(r.err, "2 threads, pinned") != NULL) == bound, "%s", r.err);
    program_result_free(&r);
    base_free(out);
}

START_TEST(pinned_threads_make_the_same_run)
{
    run_bound("free", NULL, false);
    run_bound("pinned", "--pin", true);
    same_run("free", "pinned");
    setenv("OMP_PROC_BIND", "false", 1); /* the environment's word is the last */
    run_bound("refused", "--pin", false);
    setenv("OMP_PROC_BIND", "spread", 1);
    run_bound("spread", NULL, true);
    same_run("free", "spread");
    unsetenv("OMP_PROC_BIND");
}
END_TEST

START_TEST(another_seed_is_another_run)
{
    char *one = test_path(dir, "one"), *two = test_path(dir, "two"), *a, *b;

    program_done(program_run(dir, TINY, one, "--set", "train.epochs=2", NULL));
    program_done(
        program_run(dir, TINY, two, "--set", "train.epochs=2", "--seed", "5", NULL));
    char *first = test_path(one, "last/model.safetensors");
    char *second = test_path(two, "last/model.safetensors");
    size_t bytes = 0;
    ck_assert_int_eq(base_file_read(&a, &bytes, first, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&b, &bytes, second, 1 << 28, NULL), BASE_OK);
    ck_assert_int_ne(memcmp(a, b, bytes), 0);
    base_free(a);
    base_free(b);
    base_free(first);
    base_free(second);
    base_free(one);
    base_free(two);
}
END_TEST

START_TEST(evaluations_come_by_steps_too)
{
    char *out = test_path(dir, "run"), *path = test_path(out, "metrics.jsonl");
    double before = 0;
    int evaluations = 0;

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=4",
                             "train.eval_every=5steps", NULL));
    char *text = program_text(path);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        json_t *json = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        const char *when = json_string_value(json_object_get(json, "time"));
        const double elapsed = json_number_of(json, "elapsed");
        if (strcmp(json_string_value(json_object_get(json, "kind")), "eval") == 0) {
            const int steps[] = {5, 10, 12};
            ck_assert_double_eq(json_number_of(json, "step"), steps[evaluations++]);
        }
        ck_assert(elapsed >= before && elapsed < 1000);
        before = elapsed;
        ck_assert_msg(when && strlen(when) == 20 && when[10] == 'T' && when[19] == 'Z',
                      "%s", when);
        json_decref(json);
    }
    ck_assert_int_eq(evaluations, 3);
    base_free(text);
    base_free(path);
    base_free(out);
}
END_TEST

/* 6 passes an epoch, 2 a step: two thirds of an epoch are 2 steps. */
START_TEST(evaluations_come_by_parts_of_an_epoch)
{
    char *out = test_path(dir, "run");

    program_done(program_run(dir, TINY, out, "--set", "train.epochs=4",
                             "train.eval_every=2/3", NULL));
    ck_assert_int_eq(count_lines("run", "eval"), 6);
    base_free(out);
}
END_TEST

static vit_model *model_in(const char *run, const char *which)
{
    char *path = base_text("%s/%s/%s/model.safetensors", dir, run, which);
    vit_model *model = NULL;

    ck_assert_int_eq(vit_model_load(&model, path, NULL, NULL), BASE_OK);
    base_free(path);
    return model;
}

/* A linear probe: the trunk is to the bit what the run began with, averaged weights too,
 * through a resume as well. */
START_TEST(a_frozen_trunk_stays_to_the_bit)
{
    char *first = test_path(dir, "first"), *out = test_path(dir, "run");
    char *whole = test_path(dir, "whole"), *results = test_path(dir, "r.json");
    char *from = base_text("model.init_from=%s/last/model.safetensors", first);
    static const char *const which[] = {"last", "best"};

    program_result r =
        program_run(dir, TINY, first, "--set", "train.epochs=2", "optimizer.ema=0", NULL);
    ck_assert_msg(r.code == 0 && !strstr(r.err, ", averaged weights\n"), "%s", r.err);
    program_result_free(&r);
    r = program_run(dir, TINY, whole, "--json", results, "--set", from,
                    "optimizer.freeze=trunk", "train.epochs=4", NULL);
    ck_assert_msg(r.code == 0 && strstr(r.err, "trained     75 of 14,") &&
                      strstr(r.err, ", averaged weights\n"),
                  "%s", r.err);
    program_result_free(&r);
    program_done(program_run(dir, TINY, out, "--set", from, "optimizer.freeze=trunk",
                             "schedule.name=constant", "train.epochs=2", NULL));
    r = program_run(dir, "train", "--threads", "1", "--out", out, "--resume", "--set",
                    "train.epochs=4", NULL);
    ck_assert_msg(r.code == 0 && strstr(r.err, " 1 thread, fp32"), "%s", r.err);
    program_result_free(&r);
    json_t *json = program_json(results);
    ck_assert_double_eq(json_number_of(json, "trained_parameters"), 75);
    json_decref(json);
    vit_model *start = model_in("first", "last");
    for (size_t w = 0; w < 4; w++) {
        vit_model *end = model_in(w < 2 ? "whole" : "run", which[w % 2]);
        for (size_t i = 0; i < vit_model_parameter_count(end); i++) {
            const vit_parameter *p = vit_model_parameter(end, i);
            const bool head = strncmp(p->name, "head.", 5) == 0;
            ck_assert_msg((memcmp(vit_model_weights_const(end) + p->offset,
                                  vit_model_weights_const(start) + p->offset,
                                  p->count * sizeof(float)) == 0) == !head,
                          "%s of run %zu", p->name, w);
        }
        vit_model_destroy(end);
    }
    vit_model_destroy(start);
    base_free(results);
    base_free(from);
    base_free(first);
    base_free(whole);
    base_free(out);
}
END_TEST

START_TEST(curves_are_there_from_the_first_line_on)
{
    char *out = test_path(dir, "run"), *curves = test_path(out, "curves.svg");
    const char *const words[] = {TINY,
                                 out,
                                 "--set",
                                 "train.epochs=100000",
                                 "train.eval_every=0",
                                 "train.log_every=1",
                                 NULL};

    const pid_t child = start(0, words);
    for (int i = 0; i < 20000 && !test_exists(curves); i++)
        rest(0.002);
    kill(child, SIGTERM);
    ck_assert_int_eq(finish(child), 1);
    ck_assert(test_exists(curves));
    ck_assert_int_eq(count_lines("run", "eval"), 0);
    base_free(curves);
    base_free(out);
}
END_TEST

START_TEST(words_of_other_programs_are_understood)
{
    char *out = test_path(dir, "run");

    program_refused(
        program_run(dir, TINY, out, "--set", "optimizer.learning_rate=0.1", NULL), 2,
        "unknown key 'optimizer.learning_rate', the nearest is 'optimizer.lr'");
    program_refused(program_run(dir, TINY, out, "--epochs", "2", NULL), 2,
                    "did you mean '--set train.epochs=2'?");
    program_refused(program_run(dir, TINY, out, "--learning-rate=0.1", NULL), 2,
                    "did you mean '--set optimizer.lr=0.1'?");
    program_refused(program_run(dir, TINY, out, "--router.k", "1", NULL), 2,
                    "did you mean '--set router.k=1'?");
    base_free(out);
}
END_TEST

START_TEST(a_run_says_how_many_sinkhorn_steps_to_expect)
{
    char *out = test_path(dir, "run"), *more = test_path(dir, "more");
    program_result r =
        program_run(dir, TINY, out, "--set", "train.max_steps=5", "router.p=0.4", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(
        strstr(r.err, "ssr: about 2 Sinkhorn steps a layer in this run; below 20"), "%s",
        r.err);
    program_result_free(&r);
    r = program_run(dir, TINY, more, "--set", "train.max_steps=30", "router.steps=25",
                    NULL);
    ck_assert_msg(strstr(r.err, "ssr: about 25 Sinkhorn steps a layer in this run\n"), "%s",
                  r.err);
    program_result_free(&r);
    base_free(more);
    base_free(out);
}
END_TEST

START_TEST(a_warm_up_beyond_the_end_is_told)
{
    char *out = test_path(dir, "run");
    program_result r =
        program_run(dir, TINY, out, "--set", "train.epochs=2", "schedule.warmup=7", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.err, "the warm-up of 7 steps is longer than the run of 6"), "%s",
                  r.err);
    program_result_free(&r);
    base_free(out);
}
END_TEST

START_TEST(the_precision_that_was_picked_is_kept)
{
    char *out = test_path(dir, "run"), *path = test_path(out, "recipe.ini");

    program_result r =
        program_run(dir, TINY, out, "--set", "train.epochs=2", "--precision", "auto", NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.err, "--precision auto is ") != NULL, "%s", r.err);
    program_result_free(&r);
    char *text = program_text(path);
    ck_assert(!strstr(text, "precision = auto"));
    ck_assert(vit_bf16_available() || strstr(text, "precision = fp32"));
    base_free(text);
    r = program_run(dir, TINY, out, "--set", "train.epochs=2", "--precision", "auto",
                    "--resume", NULL);
    ck_assert_msg(r.code == 0 && !strstr(r.err, "--precision auto is "), "%s", r.err);
    program_result_free(&r);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(ten_steps_that_are_not_finite_end_the_run)
{
    char *out = test_path(dir, "run"), *path = test_path(dir, "huge.safetensors");
    char *from = base_text("model.init_from=%s", path);
    vit_config config = sample_config(true);
    vit_model *model = NULL;

    config.image = config.crop = config.resize = 8;
    config.width = 24;
    config.mlp = 32;
    ck_assert_int_eq(vit_model_create(&model, &config, NULL), BASE_OK);
    vit_model_init(model, 1);
    const vit_parameter *p = vit_model_parameter_find(model, "blocks.0.mlp.fc1.bias");
    for (size_t i = 0; i < p->count; i++)
        vit_model_weights(model)[p->offset + i] =
            3e38f; /* finite, but nothing after it is */
    ck_assert_int_eq(vit_model_save(model, path, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(model);
    program_refused(
        program_run(dir, TINY, out, "--quiet", "--set", from, "train.eval_every=0", NULL),
        1,
        "10 steps in a row were not finite, the last is step 10, first seen in "
        "router of block 1");
    base_free(from);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(wrong_usage_is_exit_status_2)
{
    char *out = test_path(dir, "run");

    program_refused(program_run(dir, "train", "--out", out, NULL), 2,
                    "--data DATA is missing");
    program_refused(program_run(dir, "train", "--data", data, "--out", out, NULL), 2,
                    "--val DATA is missing");
    program_refused(program_run(dir, "train", "--data", data, "--val", data, NULL), 2,
                    "--out DIR is missing");
    program_refused(program_run(dir, TINY, out, "--set", "model.widht=8", NULL), 2,
                    "--set: unknown key 'model.widht', the nearest is 'model.width'");
    program_refused(program_run(dir, TINY, out, "--set", "model.width=25", NULL), 2,
                    "'model.width' is 25");
    program_refused(program_run(dir, TINY, out, "--set", "router.k=5", NULL), 2,
                    "'router.k' is 5");
    program_refused(program_run(dir, TINY, out, "--batch", "1000", NULL), 2,
                    "fewer than a batch of 500");
    program_refused(program_run(dir, "train", "--data", data, "--val", data, "--recipe",
                                "quickstrat", "--out", out, NULL),
                    2, "the nearest is 'quickstart'");
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

START_TEST(a_wrong_recipe_is_refused_with_its_line)
{
    char *out = test_path(dir, "run"), *bad = test_path(dir, "bad.ini");

    test_write(bad, "[model]\nsize = vmoe-nano\n\n[train]\nepoch = 3\n", 43);
    program_refused(program_run(dir, "train", "--data", data, "--val", data, "--recipe",
                                bad, "--out", out, NULL),
                    2, "bad.ini' line 5: unknown key 'train.epoch', the nearest is");
    base_free(bad);
    base_free(out);
}
END_TEST

START_TEST(missing_data_is_a_failed_run)
{
    char *out = test_path(dir, "run");
    program_result r = program_run(dir, "train", "--data", "no/such/data", "--val", data,
                                   "--out", out, NULL);

    ck_assert_int_ne(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "no/such/data"));
    program_result_free(&r);
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_train");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_run_leaves_its_files_and_its_numbers);
    tcase_add_test(core, quiet_prints_results_only);
    tcase_add_test(core, json_on_stdout_has_it_for_itself);
    tcase_add_test(core, max_steps_ends_in_the_middle_of_an_epoch);
    tcase_add_test(core, threads_of_the_loader_change_nothing);
    tcase_add_test(core, pinned_threads_make_the_same_run);
    tcase_add_test(core, another_seed_is_another_run);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, evaluations_come_by_steps_too);
    tcase_add_test(core, evaluations_come_by_parts_of_an_epoch);
    tcase_add_test(core, a_frozen_trunk_stays_to_the_bit);
    tcase_add_test(core, curves_are_there_from_the_first_line_on);
    tcase_add_test(core, the_precision_that_was_picked_is_kept);
    tcase_add_test(limits, words_of_other_programs_are_understood);
    tcase_add_test(limits, a_run_says_how_many_sinkhorn_steps_to_expect);
    tcase_add_test(limits, a_warm_up_beyond_the_end_is_told);
    tcase_add_test(limits, ten_steps_that_are_not_finite_end_the_run);
    tcase_add_test(limits, wrong_usage_is_exit_status_2);
    tcase_add_test(limits, a_wrong_recipe_is_refused_with_its_line);
    tcase_add_test(limits, missing_data_is_a_failed_run);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
