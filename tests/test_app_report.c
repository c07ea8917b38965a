/* test_app_report.c - vmoe report: models side by side from the files of other commands. */
#include <math.h>

#include "apps/report/internal.h"
#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static char *dir, *data, *page;
static char *model[2], *folder[2], *eval[2];

static void setup(void)
{
    static const char *const names[2] = {"plain", "hardened"};
    const vit_config config[2] = {sample_config(true), sample_config(false)};

    dir = test_folder_make();
    data = test_path(dir, "data");
    page = test_path(dir, "page.html");
    sample_folder_make(data);
    for (size_t i = 0; i < 2; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s.safetensors", names[i]);
        model[i] = test_path(dir, name);
        snprintf(name, sizeof name, "attack-%zu", i);
        folder[i] = test_path(dir, name);
        snprintf(name, sizeof name, "eval-%zu.json", i);
        eval[i] = test_path(dir, name);
        sample_model_save(model[i], &config[i], sample_labels);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < 2; i++) {
        base_free(model[i]);
        base_free(folder[i]);
        base_free(eval[i]);
    }
    base_free(data);
    base_free(page);
    test_folder_remove(dir);
}

static void results_make(size_t i)
{
    program_done(
        program_run(dir, "eval", model[i], "--data", data, "--json", eval[i], NULL));
    program_done(program_run(dir, "attack", model[i], "--data", data, "--out", folder[i],
                             "--attack", "fgsm", "--eps", "0,8/255", "--checks", "off",
                             NULL));
}

START_TEST(two_models_stand_side_by_side)
{
    char *json = test_path(dir, "set.json");

    results_make(0);
    results_make(1);
    program_done(program_run(dir, "report", folder[0], eval[0], folder[1], eval[1], "--out",
                             page, "--json", json, NULL));
    char *text = program_text(page);
    ck_assert_ptr_null(strstr(text, "http"));
    ck_assert_ptr_null(strstr(text, "<script"));
    ck_assert_ptr_nonnull(strstr(text, "plain"));
    ck_assert_ptr_nonnull(strstr(text, "hardened"));
    ck_assert_ptr_nonnull(strstr(text, "clean accuracy"));
    ck_assert_ptr_nonnull(strstr(text, "Under attack, linf"));
    ck_assert_ptr_nonnull(strstr(text, "8/255"));
    ck_assert_ptr_nonnull(strstr(text, "McNemar"));
    ck_assert_ptr_nonnull(strstr(text, "tokens with other experts"));
    ck_assert_ptr_nonnull(strstr(text, "<summary>plain on "));
    ck_assert_ptr_nonnull(strstr(text, "Accuracy of each class")); /* eval's own view */
    ck_assert_ptr_nonnull(strstr(text, "</html>"));
    base_free(text);
    json_t *set = program_json(json);
    ck_assert_uint_eq(json_array_size(json_object_get(set, "networks")), 2);
    ck_assert_uint_eq(json_array_size(show_json_find(set, "evaluations")), 2);
    ck_assert_double_gt(show_json_number(set, "evaluations[0].n"), 0);
    ck_assert_uint_eq(json_array_size(show_json_find(set, "evaluations[0].ci95")), 2);
    ck_assert_str_eq(show_json_string(set, "attacked[0].points[0].checks"), "not checked");
    json_decref(set);
    base_free(json);
}
END_TEST

START_TEST(a_folder_of_results_is_enough)
{
    results_make(0);
    program_done(
        program_run(dir, "report", dir, "--out", page, NULL)); /* eval and attack below */
    char *text = program_text(page);
    ck_assert_ptr_nonnull(strstr(text, "plain"));
    ck_assert_ptr_nonnull(strstr(text, "Under attack, linf"));
    ck_assert_ptr_nonnull(strstr(text, "calibration error"));
    base_free(text);
}
END_TEST

START_TEST(what_is_no_result_is_refused)
{
    char *bad = test_path(dir, "bad.json"), *empty = test_path(dir, "empty");

    test_write(bad, "{\"a\": 1}", 8);
    ck_assert_int_eq(base_folder_make(empty, NULL), BASE_OK);
    program_refused(program_run(dir, "report", bad, "--out", page, "--quiet", NULL), 1,
                    "no result");
    test_write(bad, "{\"a\": ", 6);
    program_refused(program_run(dir, "report", bad, "--out", page, "--quiet", NULL), 1,
                    "no JSON");
    program_refused(program_run(dir, "report", empty, "--out", page, "--quiet", NULL), 1,
                    "holds no results");
    program_refused(program_run(dir, "report", "/no/file", "--out", page, "--quiet", NULL),
                    1, "/no/file");
    program_refused(program_run(dir, "report", "--out", page, NULL), 2, "RESULT");
    ck_assert(!test_exists(page));
    base_free(bad);
    base_free(empty);
}
END_TEST

START_TEST(damaged_samples_are_named)
{
    results_make(0);
    results_make(1);
    char *csv = test_path(folder[1], "samples.csv");
    char *text = program_text(csv);
    text[strcspn(text, "\n") + 1] = 'x';
    test_write(csv, text, strlen(text));
    program_refused(
        program_run(dir, "report", folder[0], folder[1], "--out", page, "--quiet", NULL), 1,
        "damaged");
    base_free(text);
    base_free(csv);
}
END_TEST

/* Written by hand: what another program, or an older version, may leave. */
static void attack_write(const char *path, const char *of, const char *on, const char *more)
{
    char text[600];

    snprintf(
        text, sizeof text,
        "{\"command\": \"attack\", \"model\": {\"path\": \"%s\"%s}, \"data\": {\"name\": "
        "\"%s\"}, \"samples\": 4, \"threat\": {\"norm\": \"linf\"}, \"sweep\": [{\"attack\": "
        "\"worst_case\", \"eps\": 0.5, \"eps_text\": \"0.5\", \"robust_acc\": 0.25, "
        "\"n\": 4, \"k\": 1}]}",
        of, more, on);
    test_write(path, text, strlen(text));
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

START_TEST(attacks_on_other_data_stand_apart)
{
    char *json = test_path(dir, "set.json"), *one = test_path(dir, "one.json");
    char *two = test_path(dir, "two.json"), *three = test_path(dir, "three.json");

    attack_write(one, "a", "here", "");
    attack_write(two, "b", "there", ", \"parameters\": -1e300");
    attack_write(three, "c", "here", "");
    program_done(
        program_run(dir, "report", one, two, three, "--out", page, "--json", json, NULL));
    char *text = program_text(page);
    ck_assert_uint_eq(count_of(text, "Under attack, linf"), 2);
    ck_assert_uint_eq(count_of(text, "On here, 4 images"), 1);
    ck_assert_uint_eq(count_of(text, "On there, 4 images"), 1);
    ck_assert_uint_eq(count_of(text, "25.00 %</td>"), 3);
    ck_assert_ptr_nonnull(strstr(text, "-1e+300")); /* not as a count */
    json_t *set = program_json(json);
    ck_assert_uint_eq(json_array_size(show_json_find(set, "attacked[0].points")), 2);
    ck_assert_uint_eq(json_array_size(show_json_find(set, "attacked[1].points")), 1);
    ck_assert_ptr_null(show_json_find(set, "attacked[0].points[0].attacks"));
    json_decref(set);
    base_free(text);
    base_free(json);
    base_free(one);
    base_free(two);
    base_free(three);
}
END_TEST

static void eval_write(const char *path, const char *on, int n, double top1)
{
    char text[400];

    snprintf(text, sizeof text,
             "{\"command\": \"eval\", \"model\": \"a\", \"data\": \"%s\", \"samples\": %d, "
             "\"top1\": %g, \"top1_interval\": [0, 1]}",
             on, n, top1);
    test_write(path, text, strlen(text));
}

START_TEST(every_result_has_its_row_whatever_the_order)
{
    char *first = test_path(dir, "1.json"), *second = test_path(dir, "2.json");
    char *third = test_path(dir, "3.json"), *same = test_path(dir, "4.json");
    char *json[2] = {test_path(dir, "x.json"), test_path(dir, "y.json")};

    eval_write(first, "here", 10, 0.5);
    eval_write(second, "there", 10, 0.75);
    eval_write(third, "here", 20, 0.625);
    eval_write(same, "here", 10, 0.5);
    program_done(program_run(dir, "report", first, second, third, same, "--out", page,
                             "--json", json[0], NULL));
    program_done(program_run(dir, "report", third, second, first, "--out", page, "--json",
                             json[1], NULL));
    json_t *x = program_json(json[0]), *y = program_json(json[1]);
    ck_assert_uint_eq(json_array_size(show_json_find(x, "evaluations")), 3);
    ck_assert(
        json_equal(show_json_find(x, "evaluations"), show_json_find(y, "evaluations")));
    ck_assert_ptr_nonnull(strstr(show_json_string(x, "facts[0]"), "2 data sets"));
    ck_assert_ptr_nonnull(strstr(show_json_string(x, "facts[0]"), "2 numbers of images"));
    char *text = program_text(page);
    ck_assert_ptr_nonnull(strstr(text, "compare only rows that have both alike"));
    ck_assert_ptr_null(strstr(text, "<b>")); /* of different data nothing is best */
    base_free(text);
    json_decref(x);
    json_decref(y);
    base_free(first);
    base_free(second);
    base_free(third);
    base_free(same);
    base_free(json[0]);
    base_free(json[1]);
}
END_TEST

/* Columns are the corruptions that any file has; what a file lacks is null. */
START_TEST(errors_under_corruption_stand_below_their_names)
{
    static const char *const corruptions[] = {
        "[{\"name\": \"fog\", \"error\": 0.25}, {\"name\": \"snow\", \"error\": 0.5}]",
        "[{\"name\": \"snow\", \"error\": 0.75}, {\"name\": \"blur\", \"error\": null}]"};
    char *file[2] = {test_path(dir, "1.json"), test_path(dir, "2.json")};
    char *json = test_path(dir, "x.json");

    for (size_t i = 0; i < 2; i++) {
        eval_write(file[i], "here", 10, 0.5);
        json_t *e = program_json(file[i]);
        json_object_set_new(
            e, "robust",
            json_pack("{s:o}", "corruptions", json_loads(corruptions[i], 0, NULL)));
        ck_assert_int_eq(json_dump_file(e, file[i], 0), 0);
        json_decref(e);
    }
    program_done(
        program_run(dir, "report", file[0], file[1], "--out", page, "--json", json, NULL));
    json_t *x = program_json(json);
    json_t *names = json_loads("[\"fog\", \"snow\", \"blur\"]", 0, NULL);
    json_t *first = json_loads("[0.25, 0.5, null]", 0, NULL);
    json_t *second = json_loads("[null, 0.75, null]", 0, NULL);
    ck_assert(json_equal(show_json_find(x, "corruptions"), names));
    ck_assert(json_equal(show_json_find(x, "corrupted[0].errors"), first));
    ck_assert(json_equal(show_json_find(x, "corrupted[1].errors"), second));
    json_decref(x);
    json_decref(names);
    json_decref(first);
    json_decref(second);
    base_free(file[0]);
    base_free(file[1]);
    base_free(json);
}
END_TEST

/* An attack of `broken` of 8 images, the first ones, with its samples beside. */
static char *attack_make(const char *name, size_t broken, const char *attacks)
{
    char *out = test_path(dir, name), text[1000];

    ck_assert_int_eq(base_folder_make(out, NULL), BASE_OK);
    char *path = test_path(out, "report.json"), *csv = test_path(out, "samples.csv");
    snprintf(
        text, sizeof text,
        "{\"command\": \"attack\", \"model\": {\"path\": \"%s\"}, \"samples\": 8, \"data\": "
        "{\"name\": \"here\", \"ids_sha256\": \"x\"}, \"threat\": {\"norm\": \"l2\"}, "
        "\"worst_case\": {\"attacks\": [\"%s\"]}, \"samples_file\": \"samples.csv\", "
        "\"routing\": {\"layers\": [{\"changed\": 0.25, \"iou\": 0.5}, {\"changed\": "
        "0.5, \"iou\": 1}]}, \"checks\": [{\"status\": \"PASS\"}, {\"status\": \"FAIL\"}], \"sweep\": [{\"attack\": "
        "\"worst_case\", \"eps\": 1, \"eps_text\": \"1\", \"robust_acc\": %g}]}",
        name, attacks, (double)(8 - broken) / 8);
    test_write(path, text, strlen(text));
    FILE *file = fopen(csv, "w");
    fprintf(file, "id,y,clean_pred,robust_1\n");
    for (size_t i = 0; i < 8; i++)
        fprintf(file, "%zu,1,1,%d\n", i, i >= broken);
    fclose(file);
    base_free(path);
    base_free(csv);
    return out;
}

/* p of 8 against 0 is 2 / 256, of 4 against 0 is 2 / 16: told apart, and not. */
START_TEST(bold_follows_the_paired_test)
{
    char *strong = attack_make("strong", 0, "pgd"), *weak = attack_make("weak", 8, "pgd");
    char *near_it = attack_make("near", 4, "pgd"), *other = attack_make("other", 8, "fgsm");
    const char *const beside[] = {weak, near_it, other};
    char *json = test_path(dir, "set.json");

    for (size_t i = 0; i < 3; i++) {
        program_done(program_run(dir, "report", strong, beside[i], "--out", page, "--json",
                                 json, NULL));
        json_t *set = program_json(json);
        size_t best = 0, k;
        json_t *point;
        json_array_foreach(show_json_find(set, "attacked[0].points"), k, point)
        {
            const bool is_best = json_is_true(json_object_get(point, "best"));
            best += is_best;
            ck_assert(!is_best || strcmp(show_json_string(point, "name"), "strong") == 0);
        }
        ck_assert_uint_eq(best, i == 0);
        ck_assert_str_eq(show_json_string(set, "attacked[0].points[0].verdict"), "FAIL");
        /* means over the layers */
        ck_assert_double_eq(show_json_number(set, "attacked[0].routing[0].changed"), 0.375);
        ck_assert_double_eq(show_json_number(set, "attacked[0].routing[0].iou"), 0.75);
        json_decref(set);
    }
    base_free(strong);
    base_free(weak);
    base_free(near_it);
    base_free(other);
    base_free(json);
}
END_TEST

START_TEST(odd_types_are_no_results_and_do_no_harm)
{
    static const char *const texts[] = {"[]", "{\"command\": 5, \"model\": \"a\"}",
                                        "{\"command\": \"eval\", \"model\": {}}",
                                        "{\"command\": \"attack\", \"model\": \"a\"}"};
    char *bad = test_path(dir, "bad.json");

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        test_write(bad, texts[i], strlen(texts[i]));
        program_refused(program_run(dir, "report", bad, "--out", page, "--quiet", NULL), 1,
                        "no result");
    }
    base_free(bad);
}
END_TEST

static void edited(const char *path, const char *key, json_t *value)
{
    json_t *json = program_json(path);

    json_object_set_new(json, key, value);
    ck_assert_int_eq(json_dump_file(json, path, 0), 0);
    json_decref(json);
}

/* Figures that no command writes; other versions stand side by side, told. */
START_TEST(edited_figures_are_refused)
{
    char *json = test_path(dir, "set.json");

    results_make(0);
    edited(eval[0], "vmoe", json_string("9.9.9"));
    program_done(program_run(dir, "report", folder[0], eval[0], "--out", page, "--json",
                             json, NULL));
    json_t *set = program_json(json);
    char *facts = json_dumps(json_object_get(set, "facts"), 0);
    ck_assert_msg(strstr(facts, "Results are of different versions of vmoe ("), "%s",
                  facts);
    free(facts);
    json_decref(set);
    edited(eval[0], "top1", json_real(2.5));
    program_refused(program_run(dir, "report", eval[0], "--out", page, NULL), 1,
                    "has the top1 2.5, which is no share or lies outside its interval");
    edited(eval[0], "top1", json_real(0.5));
    edited(eval[0], "top1_interval", json_pack("[f, f]", 0.6, 0.7));
    program_refused(program_run(dir, "report", eval[0], folder[0], "--out", page, NULL), 1,
                    "has the top1 0.5, which");
    base_free(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_report");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, two_models_stand_side_by_side);
    tcase_add_test(core, a_folder_of_results_is_enough);
    tcase_add_test(limits, what_is_no_result_is_refused);
    tcase_add_test(limits, damaged_samples_are_named);
    tcase_add_test(limits, attacks_on_other_data_stand_apart);
    tcase_add_test(core, every_result_has_its_row_whatever_the_order);
    tcase_add_test(core, errors_under_corruption_stand_below_their_names);
    tcase_add_test(core, bold_follows_the_paired_test);
    tcase_add_test(limits, odd_types_are_no_results_and_do_no_harm);
    tcase_add_test(limits, edited_figures_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
