/* test_app_eval.c - vmoe eval as a user runs it, on twelve pictures and a drawn network. */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "apps/app_internal.h"
#include "show/show.h"
#include "tests/test_command.h"
#include "tests/test_run.h"

static void setup(void)
{
    command_setup(true);
}

START_TEST(the_accuracy_is_the_share_of_right_predictions)
{
    size_t right = 0;

    json_t *e = COMMAND_JSON("eval", model, "--data", data);
    json_t *p = COMMAND_JSON("predict", model, "--data", data);
    json_t *list = json_object_get(p, "predictions");
    ck_assert_uint_eq(json_array_size(list), SAMPLE_COUNT);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        json_t *one = json_array_get(list, i);
        json_t *top = json_array_get(json_object_get(one, "top"), 0);
        right += json_number_of(one, "label") == json_number_of(top, "class");
    }
    ck_assert_double_eq_tol(json_number_of(e, "top1"), (double)right / SAMPLE_COUNT, 1e-9);
    ck_assert_double_eq(json_number_of(e, "top5"), 1); /* three classes */
    json_decref(e);
    json_decref(p);
}
END_TEST

START_TEST(the_figures_do_not_depend_on_batch_or_threads)
{
    static const char *const batches[] = {"1", "5", "64"};
    static const char *const keys[] = {"top1", "loss", "ece"};
    double first[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        json_t *e = COMMAND_JSON("eval", model, "--data", data, "--batch", batches[i],
                                 "--threads", i == 1 ? "1" : "2");
        for (size_t k = 0; k < 3; k++) {
            const double value = json_number_of(e, keys[k]);

            if (i == 0)
                first[k] = value;
            /* a float32 product may be summed in another order for another shape */
            ck_assert_double_eq_tol(value, first[k], 1e-5);
        }
        json_decref(e);
    }
}
END_TEST

START_TEST(the_json_has_the_keys_of_the_contract)
{
    static const char *const keys[] = {
        "vmoe",      "command",   "model",   "data",        "seed",
        "precision", "threads",   "samples", "seconds",     "top1",
        "top5",      "loss",      "ece",     "calibration", "classes",
        "confused",  "confusion", "moe",     "complete",    "preprocessing"};

    json_t *e = COMMAND_JSON("eval", model, "--data", data);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_assert_msg(json_object_get(e, keys[i]), "no key '%s'", keys[i]);
    ck_assert_str_eq(json_string_value(json_object_get(e, "command")), "eval");
    ck_assert_double_eq(json_number_of(e, "samples"), SAMPLE_COUNT);
    json_t *moe = json_object_get(e, "moe");
    ck_assert_uint_eq(json_array_size(moe), 1);
    ck_assert_double_eq(json_number_of(json_array_get(moe, 0), "layer"), 1);
    ck_assert_ptr_nonnull(json_object_get(json_array_get(moe, 0), "class_usage"));
    double sum = 0;
    json_t *confusion = json_object_get(e, "confusion");
    for (size_t r = 0; r < SAMPLE_CLASSES; r++)
        for (size_t c = 0; c < SAMPLE_CLASSES; c++)
            sum += json_number_value(json_array_get(json_array_get(confusion, r), c));
    ck_assert_double_eq(sum, SAMPLE_COUNT);
    json_decref(e);
}
END_TEST

/* What the page shows is in the document, for those who read it. */
START_TEST(the_document_has_what_the_page_shows)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data);
    const json_t *moe = json_array_get(json_object_get(e, "moe"), 0);
    const json_t *mean = json_object_get(e, "moe_mean");
    double wrong = 0;

    ck_assert_double_eq(json_number_of(e, "images"), SAMPLE_COUNT);
    ck_assert_double_eq(json_number_of(e, "data_classes"), SAMPLE_CLASSES);
    ck_assert_str_eq(json_string_value(json_object_get(e, "state")), "all used");
    ck_assert_uint_eq(json_array_size(json_object_get(e, "facts")), 0);
    ck_assert_double_gt(show_json_number(e, "network.parameters"), 0);
    ck_assert_str_eq(show_json_string(e, "classes[1].title"),
                     show_json_string(e, "classes[1].name"));
    ck_assert_str_eq(show_json_string(moe, "name"), "block 1");
    ck_assert_str_eq(show_json_string(mean, "name"), "mean");
    ck_assert_double_eq_tol(json_number_of(moe, "max_ratio"),
                            1 + json_number_of(moe, "max_violation"), 1e-12);
    /* of one batch the mean over batches is its own */
    ck_assert_double_eq_tol(show_json_number(moe, "batch_mean.max_violation"),
                            json_number_of(moe, "max_violation"), 1e-12);
    ck_assert_double_eq_tol(show_json_number(moe, "batch_mean.load_cv"),
                            json_number_of(moe, "load_cv"), 1e-12);
    ck_assert_double_eq(json_number_of(mean, "max_ratio"),
                        json_number_of(moe, "max_ratio"));
    for (size_t c = 0; c < SAMPLE_CLASSES; c++) {
        json_t *row = json_array_get(json_object_get(moe, "class_table"), c);
        double sum = 0;

        for (size_t x = 0; x < json_array_size(row); x++)
            sum += json_number_value(json_array_get(row, x));
        ck_assert_double_eq(sum, 10 * SAMPLE_COUNT / SAMPLE_CLASSES); /* 5 tokens, k = 2 */
    }
    const json_t *load = json_object_get(moe, "load"),
                 *table = json_object_get(moe, "class_table");
    for (size_t x = 0; x < json_array_size(load); x++) { /* nothing is dropped */
        double sum = 0;

        for (size_t c = 0; c < SAMPLE_CLASSES; c++)
            sum += json_number_value(json_array_get(json_array_get(table, c), x));
        ck_assert_double_eq_tol(sum / (10 * SAMPLE_COUNT),
                                json_number_value(json_array_get(load, x)), 1e-9);
    }
    for (size_t i = 0; i < json_array_size(json_object_get(e, "confused")); i++) {
        const json_t *pair = json_array_get(json_object_get(e, "confused"), i);

        wrong += json_number_of(pair, "count");
        ck_assert_double_eq_tol(
            json_number_of(pair, "of_class"),
            json_number_of(pair, "count") * SAMPLE_CLASSES / SAMPLE_COUNT, 1e-9);
    }
    const json_t *mistakes = json_object_get(e, "mistakes");
    ck_assert_double_eq(wrong, (double)json_array_size(mistakes)); /* of twelve: all */
    for (size_t i = 0; i < json_array_size(mistakes); i++) {
        const json_t *one = json_array_get(mistakes, i);

        ck_assert(json_is_false(json_object_get(one, "right")));
        ck_assert_str_ne(show_json_string(one, "answer"), show_json_string(one, "label"));
        ck_assert_str_eq(show_json_string(one, "top[0].name"),
                         show_json_string(one, "answer_title"));
        ck_assert_ptr_nonnull(strchr(show_json_string(one, "name"), '/'));
        if (i > 0)
            ck_assert_double_le(
                show_json_number(one, "top[0].probability"),
                show_json_number(json_array_get(mistakes, i - 1), "top[0].probability"));
    }
    json_decref(e);
}
END_TEST

START_TEST(an_interval_of_calibration_holds_its_share)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data), *bin;
    size_t b, used = 0;

    json_array_foreach(json_object_get(e, "calibration"), b, bin)
    {
        const double share = show_json_number(bin, "accuracy");

        if (json_number_of(bin, "count") == 0) {
            ck_assert(json_is_null(json_object_get(bin, "accuracy_interval")));
            continue;
        }
        used++;
        ck_assert_double_le(show_json_number(bin, "accuracy_interval[0]"), share);
        ck_assert_double_ge(show_json_number(bin, "accuracy_interval[1]"), share);
    }
    ck_assert_uint_gt(used, 0);
    json_decref(e);
}
END_TEST

/* What the file does not say, and what options say, stands in the document, too. */
START_TEST(what_was_told_is_a_fact_of_the_document)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--interpolation", "bicubic");

    ck_assert_ptr_nonnull(
        strstr(show_json_string(e, "network.note"), "by option: bicubic"));
    json_decref(e);
}
END_TEST

START_TEST(json_to_stdout_stands_alone)
{
    program_result r = program_run(dir, "eval", model, "--data", data, "--json", "-", NULL);
    json_t *e = json_loads(r.out, 0, NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(e != NULL, "no JSON: %s", r.out);
    json_decref(e);
    program_result_free(&r);
}
END_TEST

START_TEST(the_table_names_the_classes)
{
    program_result r = program_run(dir, "eval", model, "--data", data, "--quiet", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "top-1"));
    ck_assert_ptr_nonnull(strstr(r.out, "ECE"));
    ck_assert_ptr_nonnull(strstr(r.out, "green"));
    ck_assert_ptr_nonnull(strstr(r.out, "block 1"));
    program_result_free(&r);
}
END_TEST

START_TEST(samples_are_a_line_for_each_image)
{
    char *csv = command_path("samples.csv"), *bad = test_path(data, "red/1.png");

    test_write(bad, "no picture", 10);
    program_done(program_run(dir, "eval", model, "--data", data, "--samples", csv,
                             "--bad-samples", "skip", NULL));
    char *text = program_text(csv);
    size_t lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    ck_assert_uint_eq(lines, 1 + SAMPLE_COUNT);
    ck_assert_int_eq(strncmp(text, "name,label,prediction,probability,loss\n", 39), 0);
    ck_assert_ptr_nonnull(strstr(text, "red/1.png,red,,,\n")); /* no answer */
    base_free(text);
    base_free(bad);
}
END_TEST

START_TEST(the_page_needs_nothing_else)
{
    program_done(program_run(dir, "eval", model, "--data", data, "--html", page, NULL));
    char *text = program_text(page);

    ck_assert_ptr_null(strstr(text, "http"));
    ck_assert_ptr_null(strstr(text, "<script"));
    ck_assert_ptr_nonnull(strstr(text, "data:image/png;base64,"));
    ck_assert_ptr_nonnull(strstr(text, "Calibration"));
    ck_assert_ptr_nonnull(strstr(text, "</html>"));
    base_free(text);
}
END_TEST

START_TEST(the_folder_of_a_run_means_its_best)
{
    char *best = test_path(dir, "run/best"), *file = test_path(best, "model.safetensors");
    const vit_config config = sample_config(true);

    ck_assert_int_eq(base_folder_make(best, NULL), BASE_OK);
    sample_model_save(file, &config, sample_labels);
    char *run = test_path(dir, "run");
    json_t *e = COMMAND_JSON("eval", run, "--data", data);
    ck_assert_str_eq(json_string_value(json_object_get(e, "model")), file);
    json_decref(e);
    base_free(run);
    base_free(file);
    base_free(best);
}
END_TEST

START_TEST(the_options_override_the_checkpoint)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--size", "16",
                             "--interpolation", "bicubic", "--capacity", "1", "--bpr");
    json_t *p = json_object_get(e, "preprocessing");

    ck_assert_double_eq(json_number_of(p, "size"), 16);
    ck_assert_double_eq(json_number_of(p, "resize"), 18); /* 9 of 8 pixels */
    ck_assert_str_eq(json_string_value(json_object_get(p, "interpolation")), "bicubic");
    json_decref(e);
}
END_TEST

START_TEST(the_limit_takes_that_many)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--limit", "5");

    ck_assert_double_eq(json_number_of(e, "samples"), 5);
    json_decref(e);
}
END_TEST

/* Thirty pictures of one class, in the order of the set: 0, 1, ... */
enum { MANY = 30, SHOWN = 12 };

static void many_make(float towards_blue, float towards_green)
{
    char *folder = test_path(data, "blue");
    vit_model *network = NULL;

    ck_assert_int_eq(base_folder_remove(data, NULL), BASE_OK);
    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    for (size_t i = 0; i < MANY; i++) {
        char *path = base_text("%s/%02zu.png", folder, i);

        sample_picture_save(path, 0, i);
        base_free(path);
    }
    ck_assert_int_eq(vit_model_load(&network, model, NULL, NULL), BASE_OK);
    const vit_parameter *bias = vit_model_parameter_find(network, "head.bias");
    vit_model_weights(network)[bias->offset] += towards_blue;
    vit_model_weights(network)[bias->offset + 1] += towards_green;
    ck_assert_int_eq(vit_model_save(network, model, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(network);
    base_free(folder);
}

/* The first right answer of each twelfth of the set; the mistakes of most confidence. */
START_TEST(examples_are_chosen_like_this)
{
    static const int rights[SHOWN] = {0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27};
    char *csv = command_path("samples.csv");

    many_make(1e4f, 0);
    json_t *e = COMMAND_JSON("eval", model, "--data", data);
    const json_t *list = json_object_get(e, "right_answers");
    ck_assert_uint_eq(json_array_size(json_object_get(e, "mistakes")), 0);
    ck_assert_uint_eq(json_array_size(list), SHOWN);
    for (size_t i = 0; i < SHOWN; i++) {
        char *name = base_text("blue/%02d.png", rights[i]);
        ck_assert_str_eq(show_json_string(json_array_get(list, i), "name"), name);
        base_free(name);
    }
    json_decref(e);

    many_make(-1e4f, 1e4f);
    many_make(0, -1e4f); /* green and red alike, or nearly */
    e = COMMAND_JSON("eval", model, "--data", data, "--samples", csv);
    list = json_object_get(e, "mistakes");
    ck_assert_uint_eq(json_array_size(json_object_get(e, "right_answers")), 0);
    ck_assert_uint_eq(json_array_size(list), SHOWN);
    char *text = program_text(csv);
    double probability[MANY], last = 1;
    const char *line = text;
    for (size_t i = 0; i < MANY; i++) {
        line = strstr(line + 1, ".png,");
        ck_assert_ptr_nonnull(line);
        ck_assert_int_eq(sscanf(line, ".png,%*[^,],%*[^,],%lf", &probability[i]), 1);
    }
    for (size_t i = 0; i < SHOWN; i++) {
        const json_t *one = json_array_get(list, i);
        const size_t at = strtoul(show_json_string(one, "name") + 5, NULL, 10);
        size_t surer = 0;

        ck_assert_uint_lt(at, MANY);
        for (size_t j = 0; j < MANY; j++)
            surer += probability[j] > probability[at];
        ck_assert_uint_eq(surer, i);
        ck_assert_double_eq_tol(show_json_number(one, "top[0].probability"),
                                probability[at], 1e-5);
        ck_assert_double_le(probability[at], last);
        last = probability[at];
    }
    base_free(text);
    json_decref(e);
}
END_TEST

/* Asked to stop before it has begun: nothing is told, nothing is written. */
START_TEST(a_stop_before_the_first_image_is_told)
{
    char *said = command_path("stderr.txt");
    char *words[] = {"eval", model, "--data", data, "--json", json, "--quiet", NULL};
    const int saved = dup(STDERR_FILENO), file = open(said, O_CREAT | O_WRONLY, 0600);

    ck_assert(saved >= 0 && file >= 0);
    base_stop_ask();
    dup2(file, STDERR_FILENO);
    const int code = app_eval(7, words);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    char *text = program_text(said);
    ck_assert_int_eq(code, 1);
    ck_assert_str_eq(text, "vmoe eval: stopped before the first image\n");
    ck_assert(!test_exists(json));
    base_free(text);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
    program_refused(program_run(dir, "eval", model, NULL), 2, "--data");
    program_refused(program_run(dir, "eval", "--data", data, NULL), 2, "MODEL");
    program_refused(program_run(dir, "eval", model, "--data", data, "--colour", NULL), 2,
                    "--colour");
    program_refused(program_run(dir, "eval", model, "--data", data, "--batch", "0", NULL),
                    2, "--batch");
    program_refused(program_run(dir, "eval", model, "--data", data, "--bpr", NULL), 2,
                    "--bpr");
}
END_TEST

START_TEST(missing_things_are_named)
{
    program_refused(program_run(dir, "eval", "/no/model", "--data", data, NULL), 1,
                    "/no/model");
    program_refused(program_run(dir, "eval", data, "--data", data, NULL), 1,
                    "holds no checkpoint");
    program_refused(program_run(dir, "eval", model, "--data", "/no/data", NULL), 1,
                    "/no/data");
}
END_TEST

START_TEST(other_classes_are_refused)
{
    char *more = test_path(data, "yellow"), *picture = test_path(more, "0.png");

    ck_assert_int_eq(base_folder_make(more, NULL), BASE_OK);
    sample_picture_save(picture, 0, 0);
    program_refused(program_run(dir, "eval", model, "--data", data, NULL), 1, "yellow");
    base_free(picture);
    base_free(more);
}
END_TEST

START_TEST(a_bad_image_stops_or_counts_as_wrong)
{
    char *bad = test_path(data, "red/1.png");

    test_write(bad, "no picture", 10);
    program_result r =
        program_run(dir, "eval", model, "--data", data, "--json", json, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "red/1.png"));
    ck_assert(!test_exists(json));
    program_result_free(&r);
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--bad-samples", "skip");
    ck_assert_double_eq(json_number_of(e, "samples"), SAMPLE_COUNT);
    ck_assert_double_eq(json_number_of(e, "bad"), 1);
    ck_assert_str_eq(show_json_string(e, "state"), "1 unusable");
    ck_assert_str_eq(show_json_string(e, "facts[0]"), "1 unusable image, counted as wrong");
    ck_assert_double_le(json_number_of(e, "top1"), 11.0 / 12 + 1e-9);
    json_decref(e);
    base_free(bad);
}
END_TEST

START_TEST(a_file_that_is_cut_is_refused)
{
    char *bytes = NULL;
    size_t count = 0;

    ck_assert_int_eq(base_file_read(&bytes, &count, model, 1 << 20, NULL), BASE_OK);
    test_write(model, bytes, count / 2);
    base_free(bytes);
    program_refused(program_run(dir, "eval", model, "--data", data, NULL), 1, model);
}
END_TEST

START_TEST(a_page_that_cannot_be_written_is_named)
{
    program_result r = program_run(dir, "eval", model, "--data", data, "--html",
                                   "/no/folder/x.html", NULL);

    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "/no/folder/x.html"));
    program_result_free(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_eval");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, the_accuracy_is_the_share_of_right_predictions);
    tcase_add_test(core, the_figures_do_not_depend_on_batch_or_threads);
    tcase_add_test(core, the_json_has_the_keys_of_the_contract);
    tcase_add_test(core, the_document_has_what_the_page_shows);
    tcase_add_test(core, an_interval_of_calibration_holds_its_share);
    tcase_add_test(core, what_was_told_is_a_fact_of_the_document);
    tcase_add_test(core, json_to_stdout_stands_alone);
    tcase_add_test(core, the_table_names_the_classes);
    tcase_add_test(core, samples_are_a_line_for_each_image);
    tcase_add_test(core, the_page_needs_nothing_else);
    tcase_add_test(core, the_folder_of_a_run_means_its_best);
    tcase_add_test(core, the_options_override_the_checkpoint);
    tcase_add_test(core, examples_are_chosen_like_this);
    tcase_add_test(core, the_limit_takes_that_many);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, wrong_usage_is_status_2);
    tcase_add_test(limits, missing_things_are_named);
    tcase_add_test(limits, other_classes_are_refused);
    tcase_add_test(limits, a_bad_image_stops_or_counts_as_wrong);
    tcase_add_test(limits, a_file_that_is_cut_is_refused);
    tcase_add_test(limits, a_page_that_cannot_be_written_is_named);
    tcase_add_test(limits,
                   a_stop_before_the_first_image_is_told); /* last: it stays asked */
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
