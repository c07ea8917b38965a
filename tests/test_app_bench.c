/* test_app_bench.c - vmoe bench: its columns and its refusals; no time is judged. */
#include <math.h>

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

/* The field of a column, by name, in the second line of a table; -1: there is none. */
static double field_of(const char *text, const char *column)
{
    const char *head = text, *row = strchr(text, '\n') + 1;
    const size_t length = strlen(column);

    while (strncmp(head, column, length) != 0 || !strchr(",\n", head[length])) {
        head = strpbrk(head, ",\n");
        row = strpbrk(row, ",\n");
        if (*head++ == '\n' || *row++ == '\n')
            return -1;
    }
    return strtod(row, NULL);
}

START_TEST(a_step_is_one_row)
{
    program_result r = program_run(dir, "bench", "step", model, "--batch", "2", "--threads",
                                   "1", "--json", json, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 2);
    table_check(r.out);
    ck_assert_int_eq(strncmp(r.out, "program,case,size,", 18), 0);
    json_t *b = program_json(json);
    json_t *row = json_array_get(json_object_get(b, "results"), 0);
    ck_assert_double_gt(json_number_of(row, "median_ms"), 0);
    ck_assert_double_le(json_number_of(row, "min_ms"), json_number_of(row, "median_ms"));
    ck_assert_double_le(json_number_of(row, "median_ms"), json_number_of(row, "max_ms"));
    ck_assert_double_gt(json_number_of(row, "ceiling_ms"), 0);
    ck_assert_double_gt(json_number_of(row, "share"), 0);
    ck_assert_double_gt(field_of(r.out, "ceiling_gflop_per_s"), 0);
    ck_assert_double_gt(field_of(r.out, "peak_mib"), 1);
    json_t *part;
    size_t i;
    json_array_foreach(json_object_get(row, "parts"), i, part)
    {
        const char *name = json_string_value(json_object_get(part, "name"));
        char *column = base_text("%s_ms", name);

        ck_assert(strcmp(name, "loss") != 0 || json_number_of(part, "ms") > 0);
        ck_assert_double_eq_tol(field_of(r.out, column), json_number_of(part, "ms"), 6e-4);
        base_free(column);
    }
    ck_assert_uint_eq(i, 14);
    json_decref(b);
    program_result_free(&r);
}
END_TEST

/* What the parts and the products of a row say adds up to what the row says. */
START_TEST(parts_and_products_add_up)
{
    program_result r = program_run(dir, "bench", "step", model, "--batch", "3", "--threads",
                                   "1", "--json", json, NULL);
    double ms = 0, part_flops = 0, product_flops = 0, ceiling = 0;
    json_t *part, *product;
    size_t i;

    ck_assert_msg(r.code == 0, "%s", r.err);
    json_t *b = program_json(json);
    json_t *row = json_array_get(json_object_get(b, "results"), 0);
    json_array_foreach(json_object_get(row, "parts"), i, part)
    {
        ms += json_number_of(part, "ms");
        part_flops += json_number_of(part, "gflop");
        ceiling += json_number_of(part, "ceiling_ms");
    }
    json_array_foreach(json_object_get(row, "products"), i, product) product_flops +=
        2e-9 * json_number_of(product, "count") * json_number_of(product, "batch") *
        json_number_of(product, "m") * json_number_of(product, "n") *
        json_number_of(product, "k");
    const double flops = json_number_of(row, "gflop");
    ck_assert_double_eq_tol(part_flops, flops, 1e-9 * flops);
    ck_assert_double_eq_tol(product_flops, flops, 1e-9 * flops);
    ck_assert_double_gt(ms, 0);
    ck_assert_double_gt(ceiling, 0);
    json_decref(b);
    program_result_free(&r);
}
END_TEST

/* a times b over c is 1 in every row, whatever the times are. */
static void rows_agree(const char *rule, const json_t *row, const char *a, const char *b,
                       double c)
{
    const double product = json_number_of(row, a) * json_number_of(row, b);

    ck_assert_msg(fabs(product - c) <= 1e-6 * fabs(c), "%s: %.9g, expected %.9g", rule,
                  product, c);
}

/* Words of a case, of one row; the row: of b, json_decref. */
#define ROW(b, ...)                                                                        \
    (program_done(program_run(dir, "bench", __VA_ARGS__, "--threads", "1", "--warmup",     \
                              "0", "--json", json, NULL)),                                 \
     (b) = program_json(json), json_array_get(json_object_get(b, "results"), 0))

START_TEST(rates_follow_from_times)
{
    char *data = test_path(dir, "data");
    json_t *b = NULL, *part;
    size_t i;

    sample_folder_make(data);
    const json_t *row = ROW(b, "step", model, "--batch", "3");
    const double ms = json_number_of(row, "median_ms"),
                 gflop = json_number_of(row, "gflop");
    rows_agree("images", row, "images_per_s", "median_ms", 3e3);
    rows_agree("speed", row, "gflop_per_s", "median_ms", 1e3 * gflop);
    rows_agree("ceiling", row, "ceiling_gflop_per_s", "ceiling_ms", 1e3 * gflop);
    /* clearing gradients, drawing the loss: little but these two */
    ck_assert_double_le(json_number_of(row, "forward_ms"), json_number_of(row, "max_ms"));
    ck_assert_double_gt(json_number_of(row, "forward_ms"), 0);
    ck_assert_double_gt(json_number_of(row, "backward_ms"), 0);
    ck_assert_double_gt(ms, 0);
    json_array_foreach(json_object_get(row, "products"), i, part)
    {
        const double each = 2e-9 * json_number_of(part, "batch") *
                            json_number_of(part, "m") * json_number_of(part, "n") *
                            json_number_of(part, "k");
        rows_agree("product", part, "gflop_per_s", "ms", 1e3 * each);
    }
    json_decref(b);
    row = ROW(b, "attack", model, "--batch", "3");
    rows_agree("attacked", row, "image_steps_per_s", "step_ms", 3e3);
    rows_agree("ratio", row, "ratio", "forward_ms", json_number_of(row, "step_ms"));
    json_decref(b);
    row = ROW(b, "scale", model, "--batch", "3");
    rows_agree("scaled", row, "images_per_s", "median_ms", 3e3);
    ck_assert_double_le(json_number_of(row, "min_ms"), json_number_of(row, "median_ms"));
    ck_assert_double_le(json_number_of(row, "median_ms"), json_number_of(row, "max_ms"));
    json_decref(b);
    row = ROW(b, "decode", "--data", data, "--limit", "5");
    ck_assert_double_eq(json_number_of(row, "images"), 5);
    rows_agree("decoded", row, "images_per_s", "microseconds", 1e6);
    ck_assert_double_eq_tol(json_number_of(row, "images_per_s_per_core"),
                            json_number_of(row, "images_per_s"), 1e-6);
    ck_assert_double_le(json_number_of(row, "min_images_per_s"),
                        json_number_of(row, "images_per_s"));
    ck_assert_double_le(json_number_of(row, "images_per_s"),
                        json_number_of(row, "max_images_per_s"));
    json_decref(b);
    base_free(data);
}
END_TEST

START_TEST(people_get_a_table)
{
    program_result r = program_run(dir, "bench", "infer", model, "--batch", "2",
                                   "--threads", "1", "--table", "--no-ceiling", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "inference of 2 images, fp32"));
    ck_assert_ptr_nonnull(strstr(r.out, "GFLOP/s"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n  experts "));
    ck_assert_ptr_null(strstr(r.out, "ceiling"));
    ck_assert_ptr_null(strstr(r.out, "program,"));
    program_result_free(&r);
}
END_TEST

START_TEST(settings_change_a_network_by_name)
{
    program_result r = program_run(dir, "bench", "infer", "vmoe-nano:16", "--batch", "2",
                                   "--threads", "1", "--no-ceiling", "--set", "router.k=1",
                                   "router.experts=4", "model.depth=2", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_double_eq(field_of(r.out, "k"), 1);
    ck_assert_double_eq(field_of(r.out, "experts"), 4);
    /* patches, head, two blocks' attention and norms, one MLP, four experts, router */
    ck_assert_double_eq(field_of(r.out, "parameters"),
                        18 * 96 + 48 * 96 + 96 + 97 * 1000 + 2 * 96 +
                            2 * (4 * 96 * 97 + 4 * 96) + 5 * (2 * 96 * 192 + 192 + 96) +
                            4 * 96);
    ck_assert_ptr_nonnull(strstr(r.out, ",,,,")); /* no ceiling */
    program_result_free(&r);
    r = program_run(dir, "bench", "infer", "vmoe-nano", "--set", "router.experst=4", NULL);
    ck_assert_int_eq(r.code, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "experts"));
    program_result_free(&r);
}
END_TEST

/* What bench/run relies on: three lines in, three rounds and a row out. */
START_TEST(a_paced_run_makes_a_round_a_line)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "\n\n\n", 3), 3);
    close(ends[1]);
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    program_result r = program_run(dir, "bench", "infer", model, "--batch", "2",
                                   "--threads", "1", "--no-ceiling", "--paced", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    const char *at = strstr(r.out, "\nready\nround ");
    ck_assert_ptr_nonnull(at);
    size_t rounds = 0;
    for (at = strstr(at, "\nround "); at; at = strstr(at + 1, "\nround "))
        rounds++;
    ck_assert_uint_eq(rounds, 3);
    ck_assert_ptr_nonnull(strstr(r.out, ",ssr,3,")); /* router, steps */
    program_result_free(&r);
    static const char *const cases[] = {"infer", "scale"};
    for (size_t i = 0; i < 2; i++) { /* the pipe is empty now */
        r = program_run(dir, "bench", cases[i], model, "--no-ceiling", "--paced", "--batch",
                        "1", "--threads", "1", NULL);
        ck_assert_int_eq(r.code, 2);
        ck_assert_ptr_nonnull(strstr(r.err, "standard input"));
        program_result_free(&r);
    }
}
END_TEST

START_TEST(the_balanced_plan_is_one_row)
{
    program_result r =
        program_run(dir, "bench", "sinkhorn", "--warmup", "0", "--json", json, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 2);
    table_check(r.out);
    ck_assert_double_eq(field_of(r.out, "tokens"), 12608);
    ck_assert_double_eq(field_of(r.out, "iterations"), 100);
    ck_assert_double_eq(field_of(r.out, "experts"), 32);
    ck_assert_double_eq(field_of(r.out, "threads"), 1);
    ck_assert_double_eq(field_of(r.out, "rounds"), 9);
    ck_assert_double_gt(field_of(r.out, "median_ms"), 0);
    json_t *b = program_json(json);
    const json_t *losses =
        json_object_get(json_array_get(json_object_get(b, "results"), 0), "losses");
    ck_assert_uint_eq(json_array_size(losses), 9);
    ck_assert_double_eq_tol(json_number_value(json_array_get(losses, 0)), log(1000), 1e-5);
    ck_assert_double_eq_tol(json_number_value(json_array_get(losses, 8)), 6.861486, 1e-3);
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
    json_t *b = program_json(json), *row;
    size_t i;
    json_array_foreach(json_object_get(b, "results"), i, row)
    {
        const double low = json_number_of(row, "min_ms"),
                     middle = json_number_of(row, "median_ms"),
                     high = json_number_of(row, "max_ms");
        ck_assert_msg(low > 0 && low <= middle && middle <= high && high < 1e6,
                      "row %zu: %g, %g, %g", i, low, middle, high);
    }
    ck_assert_uint_eq(i, 19 * 5 + 3);
    json_decref(b);
    program_result_free(&r);
    program_refused(program_run(dir, "bench", "corrupt", "vmoe-nano", NULL), 2,
                    "'vmoe-nano' is not a number of pixels");
}
END_TEST

START_TEST(a_forward_pass_is_timed_by_name)
{
    program_result r = program_run(dir, "bench", "infer", "--threads", "1", "--size-name",
                                   "vmoe-nano:16", "--batch", "2", "--classes", "10", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_uint_eq(lines_of(r.out), 2);
    table_check(r.out);
    ck_assert_ptr_nonnull(strstr(r.out, "infer,vmoe-nano:16,16,2,"));
    program_result_free(&r);
}
END_TEST

/* ssr p=0.01 follows from p=0 and p=1, the two rows before it. */
static void check_mean_of_ssr(const json_t *rows)
{
    static const char *const keys[] = {"step_ms", "router_ms", "dispatch_ms", "softmax_ms"};
    size_t at = 0;

    while (strcmp(json_string_value(json_object_get(json_array_get(rows, at), "router")),
                  "ssr p=0.01") != 0)
        at++;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const double never = json_number_of(json_array_get(rows, at - 2), keys[k]),
                     always = json_number_of(json_array_get(rows, at - 1), keys[k]);
        ck_assert_double_eq_tol(json_number_of(json_array_get(rows, at), keys[k]),
                                0.99 * never + 0.01 * always, 1e-6 * (never + always));
    }
}

/* Of a row's nine first steps: the first and the last, of two random images. */
static void router_losses(const char *router, const json_t *row)
{
    static const struct {
        const char *router;
        double of[2];
    } known[] = {
        {"softmax", {2.94095, 1.07011}},
        {"vmoe", {3.06528, 1.12904}},
        {"sinkhorn", {2.94865, 1.00073}},
        {"ssr p=0", {3.10098, 1.1064}},
        {"ssr p=1", {2.96939, 0.838278}},
        {"momentum", {2.94095, 1.07011}},
        {"adam", {1.46925, 0.000848753}},
        {"robust-momentum", {2.94201, 1.0719}},
        {"sinkhorn-ot", {2.94865, 0.959984}},
        {"usmoe", {2.93596, 1.07479}},
        {"expert-choice", {2.97631, 1.0259}},
        {"similarity", {3.09057, 1.07797}},
        {"attention", {3.16915, 1.16964}},
        {"s2moe", {3.17539, 0.828073}},
        {"xmoe", {2.51291, 1.13158}},
        {"loss-free", {2.85018, 1.07289}},
        {"quantile", {2.94095, 0.9997}},
        {"random", {2.94095, 1.07029}},
        {"hash", {2.76377, 1.09711}},
        {"soft", {3.10747, 1.11632}},
        {"acmoe", {3.10077, 1.12316}},
        {"ssr p=0.01", {0, 0}}, /* computed from the two others */
    };
    const json_t *losses = json_object_get(row, "losses");
    const double *wanted = NULL;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].router, router) == 0)
            wanted = known[i].of;
    ck_assert_msg(wanted != NULL, "router '%s' has no losses here", router);
    ck_assert_uint_eq(json_array_size(losses), wanted[0] > 0 ? 9 : 0);
    for (size_t i = 0; i < 2 && wanted[0] > 0; i++) {
        const double found = json_number_value(json_array_get(losses, 8 * i));
        ck_assert_msg(fabs(found - wanted[i]) <= 2e-3 * fmax(1, wanted[i]),
                      "%s: loss %zu is %.7g, expected %.7g", router, 8 * i, found,
                      wanted[i]);
    }
}

START_TEST(routers_stand_side_by_side)
{
    program_result r = program_run(dir, "bench", "router", model, "--batch", "2",
                                   "--warmup", "0", "--json", json, NULL);
    size_t rows = 2, i; /* ssr has three */
    json_t *row;

    ck_assert_msg(r.code == 0, "%s", r.err);
    table_check(r.out);
    for (i = 0; vit_router_name(i); i++) {
        char *cell = base_text(",%s%s,2,", vit_router_name(i),
                               strcmp(vit_router_name(i), "ssr") == 0 ? " p=1" : "");
        ck_assert_msg(strstr(r.out, cell) || strstr(r.err, vit_router_name(i)),
                      "router '%s' is neither timed nor left out", vit_router_name(i));
        rows += strstr(r.out, cell) != NULL;
        base_free(cell);
    }
    ck_assert_uint_eq(lines_of(r.out), rows + 1);
    json_t *b = program_json(json);
    json_array_foreach(json_object_get(b, "results"), i, row)
    {
        const double routing = json_number_of(row, "router_ms") +
                               json_number_of(row, "dispatch_ms") +
                               json_number_of(row, "combine_ms");
        ck_assert_double_eq_tol(json_number_of(row, "routing_ms"), routing, 1e-6 * routing);
        rows_agree("share", row, "share", "step_ms", routing);
        router_losses(json_string_value(json_object_get(row, "router")), row);
        ck_assert_double_gt(json_number_of(row, "ratio"), 0);
        ck_assert_double_gt(json_number_of(row, "share"), 0);
        ck_assert_double_lt(json_number_of(row, "share"), 1);
    }
    ck_assert_uint_eq(i, rows);
    check_mean_of_ssr(json_object_get(b, "results"));
    json_decref(b);
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
    program_refused(program_run(dir, "bench", "sinkhorn", "vmoe-nano", NULL), 2,
                    "'vmoe-nano'");
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
    tcase_add_test(core, parts_and_products_add_up);
    tcase_add_test(core, rates_follow_from_times);
    tcase_add_test(core, people_get_a_table);
    tcase_add_test(core, settings_change_a_network_by_name);
    tcase_add_test(core, a_paced_run_makes_a_round_a_line);
    tcase_add_test(core, the_balanced_plan_is_one_row);
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
