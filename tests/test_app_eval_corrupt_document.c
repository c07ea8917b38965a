/* test_app_eval_corrupt_document.c - what vmoe eval says of corruptions: document,
 * specimens, samples, table and page. */
#include "show/show.h"
#include "tests/test_eval_corrupt.h"
#include "tests/test_run.h"

START_TEST(the_document_says_what_the_figures_are_of)
{
    json_t *e = evaluate("--corrupt", "fog,saturate", "--severity", "2");
    const json_t *r = robust_of(e), *cells = json_object_get(r, "cells");

    ck_assert_str_eq(
        show_json_string(r, "facts[0]"),
        "frost textures: procedural v1; parameters: table 32, the nearest to 8 pixels");
    ck_assert_ptr_nonnull(strstr(show_json_string(r, "facts[1]"), "no mCE"));
    ck_assert_double_eq_tol(json_number_of(r, "measured_error"),
                            (json_number_of(json_array_get(cells, 0), "error") +
                             json_number_of(json_array_get(cells, 1), "error")) /
                                2,
                            1e-9);
    ck_assert_double_eq(json_number_of(r, "pairs"), 2);
    ck_assert_double_eq_tol(show_json_number(r, "clean.error"),
                            1 - json_number_of(e, "top1"), 1e-12);
    ck_assert_str_eq(show_json_string(r, "blocks[0]"), "block 1");
    ck_assert(json_is_false(show_json_find(r, "corruptions[0].extra")));
    ck_assert(json_is_true(show_json_find(r, "corruptions[1].extra")));
    ck_assert_ptr_null(show_json_find(r, "corruptions[0].severities[0].error"));
    ck_assert_double_eq(show_json_number(r, "corruptions[0].severities[1].error"),
                        show_json_number(cells, "[0].error"));
    ck_assert_ptr_null(show_json_find(r, "corruptions[0].severities[1].alexnet"));
    ck_assert_double_eq_tol(show_json_number(r, "corruptions[0].changed[0]"),
                            1 - show_json_number(r, "corruptions[0].agreement.overlap"),
                            1e-9);
    ck_assert_double_eq_tol(show_json_number(r, "corruptions[0].answer_kept"),
                            1 - show_json_number(r, "corruptions[0].flipped"), 1e-12);
    ck_assert_uint_eq(json_array_size(json_object_get(r, "specimens")), 3);
    ck_assert_str_eq(show_json_string(r, "specimens[0].title"), "clean");
    ck_assert_double_eq(show_json_number(r, "specimen.severity"), 2);
    json_decref(e);
}
END_TEST

/* The pictures of a page's specimens, one after the other; base_free. */
static char *specimens_of(const char *path)
{
    char *all = base_text("%s", ""), *whole = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&whole, &bytes, path, 1 << 24, NULL), BASE_OK);
    const char *at = strstr(whole, "One image under each corruption");
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < 3; i++) {
        at = strstr(at, "base64,");
        ck_assert_ptr_nonnull(at);
        char *more = base_text("%s %.*s", all, (int)strcspn(at, "\""), at);
        base_free(all);
        all = more;
        at++;
    }
    base_free(whole);
    return all;
}

/* All is answered green: the fifth picture is the first right one, and looks like that
 * alone. */
START_TEST(specimens_are_of_the_first_right_answer)
{
    char *blue = test_path(data, "blue"), *red = test_path(data, "red"), *seen[2];
    vit_model *network = NULL;

    ck_assert_int_eq(vit_model_load(&network, model, NULL, NULL), BASE_OK);
    const vit_parameter *bias = vit_model_parameter_find(network, "head.bias");
    vit_model_weights(network)[bias->offset + 1] += 100;
    ck_assert_int_eq(vit_model_save(network, model, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(network);
    for (int alone = 0; alone < 2; alone++) {
        program_done(program_run(dir, "eval", model, "--data", data, "--corrupt",
                                 "fog,contrast", "--severity", "2,5", "--html", page,
                                 "--json", json, NULL));
        json_t *e = program_json(json);
        const json_t *r = robust_of(e);
        ck_assert_str_eq(show_json_string(r, "specimen.name"), "green/0.png");
        ck_assert_str_eq(show_json_string(r, "specimen.label"), "green");
        ck_assert_double_eq(show_json_number(r, "specimen.severity"), 2);
        for (int i = 0; i < 3; i++) {
            const json_t *one = json_array_get(json_object_get(r, "specimens"), (size_t)i);
            ck_assert(json_is_true(json_object_get(one, "right")));
            ck_assert_str_eq(show_json_string(one, "top[0].name"), "green");
        }
        json_decref(e);
        seen[alone] = specimens_of(page);
        ck_assert_int_eq(base_folder_remove(blue, NULL), BASE_OK);
        ck_assert_int_eq(base_folder_remove(red, NULL), BASE_OK);
    }
    ck_assert_str_eq(seen[0], seen[1]);
    base_free(seen[0]);
    base_free(seen[1]);
    base_free(blue);
    base_free(red);
}
END_TEST

/* Lines of a text. */
static size_t lines_of(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

START_TEST(samples_have_a_line_for_each_image_and_corruption)
{
    char *csv = command_path("samples.csv"), *sample = NULL;
    size_t right = 0, seen = 0;
    double loss = 0;
    json_t *e = evaluate("--corrupt", "fog,snow", "--samples", csv);
    char *text = program_text(csv), *rest = NULL;

    ck_assert_int_eq(
        strncmp(text, "name,label,prediction,probability,loss,corruption,severity\n", 59),
        0);
    ck_assert_uint_eq(lines_of(text), 1 + SAMPLE_COUNT * 11);
    for (sample = strtok_r(text, "\n", &rest); sample;
         sample = strtok_r(NULL, "\n", &rest)) {
        char name[256], label[32], answer[32];
        double probability, one;

        if (!strstr(sample, ",snow,3"))
            continue;
        ck_assert_int_eq(sscanf(sample, "%255[^,],%31[^,],%31[^,],%lf,%lf", name, label,
                                answer, &probability, &one),
                         5);
        seen++;
        ck_assert_ptr_nonnull(strstr(name, label)); /* the folder */
        ck_assert(probability > 1.0 / SAMPLE_CLASSES - 1e-6 && probability <= 1);
        right += strcmp(label, answer) == 0;
        loss += one / SAMPLE_COUNT;
    }
    const json_t *snow = NULL;
    json_t *cell;
    size_t i;
    json_array_foreach(json_object_get(robust_of(e), "cells"), i,
                       cell) if (strcmp(show_json_string(cell, "corruption"), "snow") ==
                                     0 &&
                                 json_number_of(cell, "severity") == 3) snow = cell;
    ck_assert_uint_eq(seen, SAMPLE_COUNT);
    ck_assert_double_eq_tol(json_number_of(snow, "top1"), (double)right / SAMPLE_COUNT,
                            1e-9);
    ck_assert_double_eq_tol(json_number_of(snow, "loss"), loss, 1e-6);
    base_free(text);
    json_decref(e);
}
END_TEST

START_TEST(the_table_and_the_page_show_it)
{
    program_result r = program_run(dir, "eval", model, "--data", data, "--corrupt", "bench",
                                   "--html", page, "--quiet", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "jpeg_compression"));
    ck_assert_ptr_nonnull(strstr(r.out, "relative mCE"));
    ck_assert_ptr_nonnull(strstr(r.out, "no published figure"));
    ck_assert_ptr_nonnull(strstr(r.out, "frost textures: procedural v1"));
    ck_assert_ptr_nonnull(strstr(r.out, "same experts"));
    program_result_free(&r);
    char *text = program_text(page);
    ck_assert_ptr_null(strstr(text, "http"));
    ck_assert_ptr_null(strstr(text, "nan"));
    ck_assert_ptr_nonnull(strstr(
        text,
        "frost textures: procedural v1; parameters: table 32, the nearest to 8 pixels"));
    ck_assert_ptr_nonnull(strstr(text, "Error by severity"));
    ck_assert_ptr_nonnull(strstr(text, "Change of routing"));
    ck_assert_ptr_nonnull(strstr(text, "One image under each corruption"));
    base_free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_eval_corrupt_document");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, sparse_setup, command_teardown);
    tcase_add_test(core, the_document_says_what_the_figures_are_of);
    tcase_add_test(core, specimens_are_of_the_first_right_answer);
    tcase_add_test(core, samples_have_a_line_for_each_image_and_corruption);
    tcase_add_test(core, the_table_and_the_page_show_it);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
