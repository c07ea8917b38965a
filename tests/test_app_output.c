/* test_app_output.c - where results go: what cannot be delivered is a failed run, what
 * cannot be written is refused before the work, and no name breaks a line or a JSON
 * file. */
#include "tests/test_command.h"
#include "tests/test_run.h"

static void setup(void)
{
    const vit_config config = sample_config(true);

    command_folder();
    sample_model_save(model, &config, NULL);
}

/* Exit status of `vmoe WORDS`, where the shell joins WORDS with redirections. */
static int shell(const char *words)
{
    char *line = base_text("\"$VMOE_PROGRAM\" %s", words);
    const int state = system(line); /* words are this file's own */

    base_free(line);
    ck_assert(WIFEXITED(state));
    return WEXITSTATUS(state);
}

START_TEST(results_that_nobody_gets_are_a_failed_run)
{
    char *talk = test_path(dir, "talk.txt");
    char *words = base_text("inspect '%s' >/dev/full 2>'%s'", model, talk);

    ck_assert_int_eq(shell(words), 1);
    char *text = program_text(talk);
    ck_assert_str_eq(text, "vmoe: cannot write the results to standard output: No space "
                           "left on device\n");
    base_free(text);
    base_free(words);
    words = base_text("inspect '%s' --json - >/dev/full 2>/dev/null", model);
    ck_assert_int_eq(shell(words), 1);
    base_free(words);
    base_free(talk);
}
END_TEST

START_TEST(a_closed_descriptor_is_not_given_to_a_file)
{
    char *logits = test_path(dir, "l.npy"), *bytes = NULL;
    char *words =
        base_text("predict '%s' --data '%s' --logits '%s' >&- 2>&-", model, data, logits);
    size_t count = 0;

    ck_assert_int_eq(shell(words), 0);
    ck_assert_int_eq(base_file_read(&bytes, &count, logits, 1 << 20, NULL), BASE_OK);
    ck_assert_uint_eq(count,
                      128 + 12 * 3 * sizeof(float)); /* header, 12 images, 3 classes */
    base_free(bytes);
    base_free(words);
    base_free(logits);
}
END_TEST

START_TEST(files_that_cannot_be_written_are_refused_first)
{
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--json", "/none/r.json", NULL), 1,
        "cannot write '/none/r.json'");
    program_refused(program_run(dir, "eval", model, "--data", data, "--html", data, NULL),
                    1, "is a folder, expected a file");
    program_refused(
        program_run(dir, "predict", model, "--data", data, "--json", "/none/r.json", NULL),
        1, "cannot write '/none/r.json'");
    program_refused(program_run(dir, "predict", model, "--data", data, "--logits", "x.npy",
                                "--inputs", "x.npy", NULL),
                    2, "--logits and --inputs are both 'x.npy'");
}
END_TEST

START_TEST(a_limit_of_file_size_is_told)
{
    char *results = test_path(dir, "r.json"), *talk = test_path(dir, "talk.txt");
    char *line = base_text("ulimit -f 1; exec \"$VMOE_PROGRAM\" eval '%s' --data '%s' "
                           "--quiet --json '%s' >/dev/null 2>'%s'",
                           model, data, results, talk);

    const int state = system(line); /* one block: 512 bytes or 1024 */
    ck_assert_int_eq(WIFEXITED(state) ? WEXITSTATUS(state) : -1, 1);
    char *text = program_text(talk);
    ck_assert_msg(strstr(text, "r.json': File too large"), "%s", text);
    ck_assert(!test_exists(results));
    base_free(text);
    base_free(line);
    base_free(talk);
    base_free(results);
}
END_TEST

START_TEST(limits_that_are_too_low_are_told_at_once)
{
    char *talk = test_path(dir, "talk.txt");
    static const struct {
        const char *limit, *words;
    } limits[] = {
        {"ulimit -s 64", "stacks of 64 KiB (ulimit -s) are too small"},
        {"OMP_STACKSIZE=64K; export OMP_STACKSIZE", "stacks of 64 KiB (OMP_STACKSIZE)"},
        {"ulimit -v 140000", "MiB of address space (ulimit -v) are too few"},
    };

    /* the address sanitizer maps terabytes before the program begins */
#ifdef __SANITIZE_ADDRESS__
    const size_t count = 2;
#else
    const size_t count = sizeof limits / sizeof limits[0];
#endif
    for (size_t i = 0; i < count; i++) {
        char *line = base_text("%s; exec \"$VMOE_PROGRAM\" eval '%s' --data '%s' "
                               "--quiet >/dev/null 2>'%s'",
                               limits[i].limit, model, data, talk);
        const int state = system(line);
        char *text = program_text(talk);
        ck_assert_msg(WIFEXITED(state) && (WEXITSTATUS(state) == 1 || i == 2), "%s: %d %s",
                      limits[i].limit, state, text);
        /* with larger libraries the program itself does not load: the loader's line then */
        ck_assert_msg(strstr(text, limits[i].words) || strstr(text, "shared libraries"),
                      "%s", text);
        base_free(text);
        base_free(line);
    }
    base_free(talk);
}
END_TEST

/* Whatever is named where a file is expected. */
START_TEST(pipes_and_devices_are_refused_at_once)
{
    char *pipe = test_path(dir, "pipe");
    const char *const odd[] = {pipe, "/dev/zero"};

    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    for (size_t i = 0; i < 2; i++) {
        const char *kind = i ? "is a device" : "is a pipe";
        program_refused(program_run(dir, "predict", model, odd[i], "--quiet", NULL), 1,
                        kind);
        program_refused(program_run(dir, "inspect", odd[i], NULL), 1, kind);
        program_refused(program_run(dir, "convert", odd[i], "x.safetensors", NULL), 1,
                        kind);
        program_refused(program_run(dir, "eval", odd[i], "--data", data, NULL), 1, kind);
        program_refused(program_run(dir, "report", odd[i], "--out", "x.html", NULL), 1,
                        kind);
        char *recipe = base_text("%s%s", odd[i], i ? "/../zero" : "");
        program_refused(program_run(dir, "train", "--data", data, "--val", data, "--out",
                                    "none", "--recipe", recipe, NULL),
                        i ? 2 : 1, i ? "cannot read the recipe" : kind);
        base_free(recipe);
        program_refused(program_run(dir, "eval", model, "--data", data, "--bad-list", pipe,
                                    "--quiet", NULL),
                        1, "pipe': No such device");
    }
    base_free(pipe);
}
END_TEST

/* What a document calls seconds is what passed, or less; rates follow. */
START_TEST(seconds_are_those_that_passed)
{
    char *tree = test_path(dir, "tree");
    const char *const words[][7] = {
        {"data", data},
        {"data", data, "--verify"},
        {"eval", model, "--data", data},
        {"predict", model, "--data", data},
        {"corrupt", "--corrupt=fog", "--size=8", "--data", data, "--out", tree},
        {"bench", "infer", model, "--batch=1", "--warmup=0", "--no-ceiling"},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *const *w = words[i];
        const double began = base_seconds();
        program_done(program_run(dir, w[0], w[1], "--json", json, "--threads", "1", w[2],
                                 w[3], w[4], w[5], w[6], NULL));
        const double passed = base_seconds() - began;
        json_t *result = program_json(json);
        const double told = json_number_of(result, "seconds");
        ck_assert_msg(told > 0 && told <= passed, "%s: %g of %g", w[0], told, passed);
        if (json_object_get(result, "images_per_second")) {
            const double rate = json_number_of(result, "images_per_second");
            ck_assert_double_eq_tol(rate * told, json_number_of(result, "samples"),
                                    1e-3 * rate * told);
        }
        if (json_object_get(result, "files_per_second"))
            ck_assert_double_eq_tol(json_number_of(result, "files_per_second") * told,
                                    json_number_of(result, "written"), 1e-3);
        json_decref(result);
    }
    base_free(tree);
}
END_TEST

START_TEST(no_name_breaks_the_line)
{
    program_refused(program_run(dir, "eval", "a\nb\x1b[2J", "--data", data, NULL), 1,
                    "cannot open 'a\\x0ab\\x1b[2J': No such file");
    program_refused(program_run(dir, "predict", model, "x\n.png", NULL), 1,
                    "cannot open 'x\\x0a.png': No such file");
}
END_TEST

START_TEST(no_name_breaks_the_json)
{
    char *odd = test_path(dir, "caf\xe9");

    ck_assert_int_eq(rename(model, odd), 0);
    json_t *result = COMMAND_JSON("inspect", odd);
    const char *name = json_string_value(json_object_get(result, "model"));
    ck_assert_ptr_nonnull(name);
    ck_assert_ptr_nonnull(strstr(name, "caf\\xe9"));
    json_decref(result);
    base_free(odd);
}
END_TEST

START_TEST(no_usable_image_is_no_loss_of_zero)
{
    static const char *const classes[] = {"blue", "green", "red"};
    char *bad = test_path(dir, "bad");

    for (size_t i = 0; i < 3; i++) {
        char *folder = test_path(bad, classes[i]), *file = test_path(folder, "x.png");
        ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
        test_write(file, "junk", 4);
        base_free(file);
        base_free(folder);
    }
    program_result r = program_run(dir, "eval", model, "--data", bad, "--bad-samples",
                                   "skip", "--json", json, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_ptr_null(strstr(r.out, "loss"));
    program_result_free(&r);
    json_t *result = program_json(json);
    ck_assert(json_is_null(json_object_get(result, "loss")));
    ck_assert(json_is_null(json_object_get(result, "ece")));
    ck_assert_double_eq(json_number_of(result, "top1"), 0);
    json_decref(result);
    base_free(bad);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_output");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, results_that_nobody_gets_are_a_failed_run);
    tcase_add_test(core, files_that_cannot_be_written_are_refused_first);
    tcase_add_test(core, seconds_are_those_that_passed);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, a_closed_descriptor_is_not_given_to_a_file);
    tcase_add_test(limits, a_limit_of_file_size_is_told);
    tcase_add_test(limits, limits_that_are_too_low_are_told_at_once);
    tcase_add_test(limits, pipes_and_devices_are_refused_at_once);
    tcase_add_test(limits, no_name_breaks_the_line);
    tcase_add_test(limits, no_name_breaks_the_json);
    tcase_add_test(limits, no_usable_image_is_no_loss_of_zero);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
