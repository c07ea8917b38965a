/* test_app_bench.c - vmoe bench: its columns and its refusals; no time is judged. */
#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static char *dir, *model, *json;

static void setup(void)
{
    const vit_config config = sample_config(true);

    dir = test_folder_make();
    model = test_path(dir, "model.safetensors");
    json = test_path(dir, "result.json");
    sample_model_save(model, &config, NULL);
}

static void teardown(void)
{
    base_free(model);
    base_free(json);
    test_folder_remove(dir);
}

static size_t lines_of(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Every line has as many fields as the first. */
static void table_check(const char *text)
{
    size_t wanted = 0, fields = 1;

    for (const char *at = text; *at; at++) {
        fields += *at == ',';
        if (*at != '\n')
            continue;
        if (wanted == 0)
            wanted = fields;
        ck_assert_uint_eq(fields, wanted);
        fields = 1;
    }
}

START_TEST(a_step_is_one_row)
{
    program_result r =
        program_run(dir, "bench", "step", model, "--batch", "2", "--json", json, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 2);
    table_check(r.out);
    ck_assert_int_eq(strncmp(r.out, "program,case,size,", 18), 0);
    json_t *b = program_json(json);
    json_t *row = json_array_get(json_object_get(b, "results"), 0);
    ck_assert_double_gt(json_number_of(row, "median_ms"), 0);
    ck_assert_double_le(json_number_of(row, "min_ms"), json_number_of(row, "median_ms"));
    ck_assert_double_le(json_number_of(row, "median_ms"), json_number_of(row, "max_ms"));
    json_decref(b);
    program_result_free(&r);
}
END_TEST

START_TEST(every_corruption_is_a_row)
{
    program_result r = program_run(dir, "bench", "corrupt", "16", "--warmup", "0",
                                   "--threads", "2", "--json", json, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 1 + 19 * 5 + 3); /* head, pairs, sums */
    table_check(r.out);
    ck_assert_ptr_nonnull(strstr(r.out, ",corrupt,fog,3,16,1,9,"));
    ck_assert_ptr_nonnull(strstr(r.out, ",corrupt,bench,1-5,16,2,9,"));
    program_result_free(&r);
    program_refused(program_run(dir, "bench", "corrupt", "vmoe-nano", NULL), 2,
                    "'vmoe-nano' is not a number of pixels");
}
END_TEST

START_TEST(a_forward_pass_is_timed_by_name)
{
    program_result r = program_run(dir, "bench", "infer", "--size-name", "vmoe-nano:16",
                                   "--batch", "2", "--classes", "10", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 2);
    table_check(r.out);
    ck_assert_ptr_nonnull(strstr(r.out, "infer,vmoe-nano:16,16,2,"));
    program_result_free(&r);
}
END_TEST

START_TEST(routers_stand_side_by_side)
{
    static const char *const names[] = {"softmax", "vmoe",       "sinkhorn",
                                        "ssr p=0", "ssr p=0.01", "ssr p=1"};
    program_result r = program_run(dir, "bench", "router", model, "--batch", "2", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 7);
    table_check(r.out);
    for (size_t i = 0; i < 6; i++)
        ck_assert_ptr_nonnull(strstr(r.out, names[i]));
    program_result_free(&r);
}
END_TEST

START_TEST(decoding_is_timed_by_stage_and_path)
{
    char *data = test_path(dir, "data");

    sample_folder_make(data);
    program_result r =
        program_run(dir, "bench", "decode", "--data", data, "--threads", "2", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 8);
    static const char *const rows[] = {
        "read", "read and decode whole", "eval", "train 8 bit", "train", "train batches"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *cell = base_text(",decode,%s,", rows[i]);
        ck_assert_msg(strstr(r.out, cell) != NULL, "no row '%s'", rows[i]);
        base_free(cell);
    }
    table_check(r.out);
    program_result_free(&r);
    base_free(data);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    program_refused(program_run(dir, "bench", "decode", NULL), 2, "--data");
    program_result r = program_run(dir, "bench", "step", "vmoe-nono", NULL);
    ck_assert_int_eq(r.code, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "vmoe-nano"));
    program_result_free(&r);
    r = program_run(dir, "bench", "step", "vmoe-nano:33", NULL);
    ck_assert_int_eq(r.code, 2);
    program_result_free(&r);
    program_refused(program_run(dir, "bench", "step", "--rounds", "3", NULL), 2,
                    "--rounds");
    r = program_run(dir, "bench", "router", "vit-nano", NULL);
    ck_assert_int_eq(r.code, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "vit-nano"));
    program_result_free(&r);
}
END_TEST

START_TEST(a_missing_checkpoint_is_named)
{
    program_result r = program_run(dir, "bench", "step", "/no/model", NULL);

    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "/no/model"));
    program_result_free(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_bench");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 120);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_step_is_one_row);
    tcase_add_test(core, every_corruption_is_a_row);
    tcase_add_test(core, a_forward_pass_is_timed_by_name);
    tcase_add_test(core, routers_stand_side_by_side);
    tcase_add_test(core, decoding_is_timed_by_stage_and_path);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 120);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, wrong_usage_is_status_2);
    tcase_add_test(limits, a_missing_checkpoint_is_named);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
