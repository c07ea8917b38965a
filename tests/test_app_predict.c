/* test_app_predict.c - vmoe predict as a user runs it: files and data sets give the same
 * logits. */
#include <math.h>

#include "tests/test_command.h"
#include "tests/test_run.h"

enum { HEADER = 128, INPUT = 3 * SAMPLE_SIDE * SAMPLE_SIDE };

static char *logits, *inputs;

static void setup(void)
{
    command_setup(true);
    logits = command_path("logits.npy");
    inputs = command_path("inputs.npy");
}

/* rows * width numbers of an npy file of ours: base_free. */
static float *npy_read(const char *path, size_t rows, size_t width)
{
    char *bytes = NULL;
    size_t count = 0;

    ck_assert_int_eq(base_file_read(&bytes, &count, path, 1 << 24, NULL), BASE_OK);
    ck_assert_uint_eq(count, HEADER + rows * width * sizeof(float));
    float *values = base_alloc(rows * width, sizeof *values);
    memcpy(values, bytes + HEADER, rows * width * sizeof *values);
    base_free(bytes);
    return values;
}

START_TEST(files_and_a_data_set_give_the_same_logits)
{
    char *a = test_path(data, "blue/0.png"), *b = test_path(data, "blue/1.png");

    program_done(program_run(dir, "predict", model, "--data", data, "--logits", logits,
                             "--inputs", inputs, NULL));
    float *all = npy_read(logits, SAMPLE_COUNT, SAMPLE_CLASSES);
    float *fed = npy_read(inputs, SAMPLE_COUNT, INPUT);
    program_done(program_run(dir, "predict", model, a, b, "--logits", logits, "--inputs",
                             inputs, NULL));
    float *two = npy_read(logits, 2, SAMPLE_CLASSES);
    float *fed2 = npy_read(inputs, 2, INPUT);
    ck_assert_mem_eq(fed, fed2, 2 * INPUT * sizeof *fed);
    for (size_t i = 0; i < 2 * SAMPLE_CLASSES; i++)
        ck_assert_double_eq_tol((double)all[i], (double)two[i],
                                1e-5); /* another shape, another order of sums */
    base_free(all);
    base_free(fed);
    base_free(two);
    base_free(fed2);
    base_free(a);
    base_free(b);
}
END_TEST

START_TEST(files_and_a_data_set_agree_in_grey)
{
    vit_config config = sample_config(false);
    char *a = test_path(data, "blue/0.png");

    config.channels = 1;
    sample_model_save(model, &config, sample_labels);
    program_done(
        program_run(dir, "predict", model, "--data", data, "--inputs", inputs, NULL));
    float *fed = npy_read(inputs, SAMPLE_COUNT, INPUT / 3);
    program_done(program_run(dir, "predict", model, a, "--inputs", inputs, NULL));
    float *one = npy_read(inputs, 1, INPUT / 3);
    ck_assert_mem_eq(fed, one, INPUT / 3 * sizeof *fed);
    base_free(fed);
    base_free(one);
    base_free(a);
}
END_TEST

START_TEST(the_logits_are_those_of_the_network)
{
    base_error err = {0};
    vit_model *net = NULL;
    vit_run *run = NULL;
    float mine[SAMPLE_COUNT * SAMPLE_CLASSES];

    program_done(program_run(dir, "predict", model, "--data", data, "--logits", logits,
                             "--inputs", inputs, "--batch", "5", NULL));
    float *all = npy_read(logits, SAMPLE_COUNT, SAMPLE_CLASSES);
    float *fed = npy_read(inputs, SAMPLE_COUNT, INPUT);
    ck_assert_int_eq(vit_model_load(&net, model, NULL, &err), BASE_OK);
    ck_assert_int_eq(
        vit_run_create(&run, net, SAMPLE_COUNT, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, mine, fed, SAMPLE_COUNT, &(vit_step){0}, &err),
                     BASE_OK);
    for (size_t i = 0; i < SAMPLE_COUNT * SAMPLE_CLASSES; i++)
        ck_assert_double_eq_tol((double)all[i], (double)mine[i], 1e-5);
    vit_run_destroy(run);
    vit_model_destroy(net);
    base_free(all);
    base_free(fed);
}
END_TEST

START_TEST(a_line_names_the_image_and_its_classes)
{
    char *a = test_path(data, "blue/0.png");
    program_result r = program_run(dir, "predict", model, a, "--top", "2", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_int_eq(strncmp(r.out, a, strlen(a)), 0);
    size_t commas = 0;
    for (const char *at = r.out; *at; at++)
        commas += *at == ',';
    ck_assert_uint_eq(commas, 1);
    ck_assert_ptr_nonnull(strchr(r.out, '%'));
    program_result_free(&r);
    base_free(a);
}
END_TEST

START_TEST(pictures_come_out_as_the_network_saw_them)
{
    char *out = test_path(dir, "pictures"), *first = test_path(out, "00000-blue.png");

    program_done(program_run(dir, "predict", model, "--data", data, "--write-png", out,
                             "--inputs", inputs, NULL));
    float *fed = npy_read(inputs, SAMPLE_COUNT, INPUT);
    ck_assert(test_exists(first));
    /* Fed again without a resize, they are the same inputs to the bit. */
    program_done(program_run(dir, "predict", model, first, "--resize", "0", "--inputs",
                             inputs, NULL));
    float *again = npy_read(inputs, 1, INPUT);
    ck_assert_mem_eq(fed, again, INPUT * sizeof *fed);
    base_free(fed);
    base_free(again);
    base_free(first);
    base_free(out);
}
END_TEST

START_TEST(the_page_shows_every_image)
{
    size_t shots = 0;

    program_done(program_run(dir, "predict", model, "--data", data, "--html", page, NULL));
    char *text = program_text(page);
    for (const char *at = text; (at = strstr(at, "data:image/png;base64,")); at++)
        shots++;
    ck_assert_uint_eq(shots, SAMPLE_COUNT);
    ck_assert_ptr_null(strstr(text, "http"));
    base_free(text);
}
END_TEST

START_TEST(the_document_holds_what_the_page_shows)
{
    uint64_t right = 0;

    const double started = base_seconds();
    program_done(program_run(dir, "predict", model, "--data", data, "--json", json,
                             "--html", page, NULL));
    json_t *j = program_json(json);
    ck_assert_double_gt(json_number_of(j, "seconds"), 0);
    ck_assert_double_lt(json_number_of(j, "seconds"), base_seconds() - started);
    const json_t *list = json_object_get(j, "predictions");
    ck_assert_uint_eq(json_array_size(list), SAMPLE_COUNT);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *top = json_object_get(one, "top");
        const bool is_right = json_is_true(json_object_get(one, "right"));

        ck_assert_ptr_nonnull(json_string_value(json_object_get(one, "label_title")));
        ck_assert_ptr_nonnull(json_string_value(json_object_get(one, "picture")));
        ck_assert(json_is_true(json_object_get(json_array_get(top, 0), "mark")) ==
                  is_right);
        right += is_right;
    }
    ck_assert_double_eq_tol(json_number_of(j, "top1"), (double)right / SAMPLE_COUNT, 1e-9);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "top1_interval")), 2);
    json_decref(j);
    char *a = test_path(data, "blue/0.png");
    program_done(program_run(dir, "predict", model, a, "--json", json, NULL));
    j = program_json(json);
    ck_assert(json_is_null(json_object_get(j, "top1"))); /* no labels */
    ck_assert(json_is_null(json_object_get(j, "top1_interval")));
    json_decref(j);
    base_free(a);
}
END_TEST

START_TEST(a_broken_image_does_not_stop_the_others)
{
    char *a = test_path(data, "blue/0.png"), *b = test_path(dir, "broken.png");

    test_write(b, "\x89PNG\r\n\x1a\n", 8);
    program_result r =
        program_run(dir, "predict", model, b, a, "/no/such.png", "--logits", logits, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "broken.png"));
    ck_assert_ptr_nonnull(strstr(r.err, "/no/such.png"));
    ck_assert_int_eq(strncmp(r.out, a, strlen(a)), 0);
    base_free(npy_read(logits, 1, SAMPLE_CLASSES));
    program_result_free(&r);
    base_free(a);
    base_free(b);
}
END_TEST

START_TEST(a_broken_image_in_a_set_does_not_stop_the_others)
{
    char *bad = test_path(data, "green/2.png");

    test_write(bad, "", 0);
    program_result r =
        program_run(dir, "predict", model, "--data", data, "--logits", logits, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "green/2.png"));
    base_free(npy_read(logits, SAMPLE_COUNT - 1, SAMPLE_CLASSES));
    program_result_free(&r);
    base_free(bad);
}
END_TEST

START_TEST(only_broken_images_give_an_empty_table)
{
    program_result r = program_run(dir, "predict", model, "/no/a.png", "/no/b.png",
                                   "--logits", logits, NULL);

    ck_assert_int_eq(r.code, 1);
    base_free(npy_read(logits, 0, SAMPLE_CLASSES));
    program_result_free(&r);
}
END_TEST

START_TEST(names_cannot_break_the_page_or_the_terminal)
{
    static const char *const odd[SAMPLE_CLASSES] = {"<b>&\"", "\x1b[31mred", "../../x"};
    const vit_config config = sample_config(true);
    char *a = test_path(data, "blue/0.png");
    char *out = test_path(dir, "pictures");

    sample_model_save(model, &config, odd);
    program_result r =
        program_run(dir, "predict", model, a, "--html", page, "--write-png", out, NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_null(strchr(r.out, 0x1b));
    char *text = program_text(page);
    ck_assert_ptr_null(strstr(text, "<b>&\""));
    ck_assert_ptr_null(strchr(text, 0x1b));
    base_free(text);
    program_result_free(&r);
    base_free(out);
    base_free(a);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    program_refused(program_run(dir, "predict", model, NULL), 2, "no image");
    program_refused(program_run(dir, "predict", model, "x.png", "--data", data, NULL), 2,
                    "--data");
    program_refused(program_run(dir, "predict", model, "x.png", "--top", "0", NULL), 2,
                    "--top");
    char *a = test_path(data, "blue/0.png"); /* before anything is answered */
    program_refused(
        program_run(dir, "predict", model, a, "--html", "/nowhere/page.html", NULL), 1,
        "/nowhere/page.html");
    base_free(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_predict");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, files_and_a_data_set_give_the_same_logits);
    tcase_add_test(core, files_and_a_data_set_agree_in_grey);
    tcase_add_test(core, the_logits_are_those_of_the_network);
    tcase_add_test(core, a_line_names_the_image_and_its_classes);
    tcase_add_test(core, pictures_come_out_as_the_network_saw_them);
    tcase_add_test(core, the_page_shows_every_image);
    tcase_add_test(core, the_document_holds_what_the_page_shows);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, a_broken_image_does_not_stop_the_others);
    tcase_add_test(limits, a_broken_image_in_a_set_does_not_stop_the_others);
    tcase_add_test(limits, only_broken_images_give_an_empty_table);
    tcase_add_test(limits, names_cannot_break_the_page_or_the_terminal);
    tcase_add_test(limits, wrong_usage_is_status_2);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
