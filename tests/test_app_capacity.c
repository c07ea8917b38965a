/* test_app_capacity.c - vmoe eval --capacity A,B,...: accuracy against compute, on twelve
 * pictures and a drawn network. */
#include <math.h>

#include "apps/eval/internal.h"
#include "tests/test_command.h"
#include "tests/test_run.h"

static void setup(void)
{
    command_setup(true);
}

static json_t *point_at(const json_t *result, size_t i)
{
    json_t *points = json_object_get(json_object_get(result, "capacity"), "points");

    ck_assert_ptr_nonnull(json_array_get(points, i));
    return json_array_get(points, i);
}

static const char *order_of(const json_t *point)
{
    return json_string_value(json_object_get(point, "order"));
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(both_orders_are_measured_after_the_network_without_limits)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--capacity", "4,0.5,0.25",
                             "--bpr", "--html", page);
    json_t *points = json_object_get(json_object_get(e, "capacity"), "points");
    ck_assert_uint_eq(json_array_size(points), 7);
    ck_assert(json_is_null(json_object_get(point_at(e, 0), "capacity")));
    ck_assert_str_eq(order_of(point_at(e, 1)), "vanilla");
    ck_assert_str_eq(order_of(point_at(e, 4)), "priority");
    for (size_t i = 0; i < 3; i++)
        ck_assert_double_eq(json_number_of(point_at(e, 1 + i), "capacity"),
                            json_number_of(point_at(e, 4 + i), "capacity"));
    /* room for all: nothing changes but the last bits */
    for (size_t i = 1; i <= 4; i += 3) {
        ck_assert_double_eq(json_number_of(point_at(e, i), "dropped"), 0);
        ck_assert_double_eq_tol(json_number_of(point_at(e, i), "loss"),
                                json_number_of(point_at(e, 0), "loss"), 1e-6);
        ck_assert_double_eq(json_number_of(point_at(e, i), "flops"),
                            json_number_of(point_at(e, 0), "flops"));
    }
    ck_assert_double_eq(json_number_of(point_at(e, 0), "top1"), json_number_of(e, "top1"));
    json_decref(e);
    char *text = program_text(page);
    ck_assert_ptr_nonnull(strstr(text, "Accuracy against compute"));
    ck_assert_ptr_nonnull(strstr(text, "Accuracy against compute"));
    ck_assert_ptr_nonnull(strstr(text, "no limit"));
    base_free(text);
}
END_TEST

/* Twelve images of four patches and a class token in one group: 60 tokens, k = 2, E = 4, C
 * = ceil(30 F) up to a multiple of 4: F = 0.25 leaves 8 rows to each of 4 experts. */
START_TEST(kept_assignments_and_operations_by_hand)
{
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--capacity", "0.25,0.1",
                             "--batch", "12");
    const json_t *free = point_at(e, 0), *p = point_at(e, 1), *q = point_at(e, 2);

    ck_assert_double_eq(json_number_of(free, "kept"), 10); /* 5 tokens, k = 2 */
    ck_assert_double_eq_tol(json_number_of(p, "kept"), 32 / 12.0, 1e-6);
    ck_assert_double_eq_tol(json_number_of(p, "dropped"), 1 - 32 / 120.0, 1e-6);
    ck_assert_double_eq_tol(json_number_of(q, "kept"), 16 / 12.0, 1e-6); /* C = 4 */
    /* an assignment costs 2 * 2 * width 8 * mlp 12 operations */
    ck_assert_double_eq_tol(json_number_of(free, "flops") - json_number_of(p, "flops"),
                            (10 - 32 / 12.0) * 2 * 2 * 8 * 12, 1e-3);
    json_t *levels = json_object_get(p, "kept_levels");
    ck_assert_uint_eq(json_array_size(levels), MEASURE_COMPUTE_LEVELS);
    for (size_t i = 1; i < MEASURE_COMPUTE_LEVELS; i++)
        ck_assert_double_ge(json_number_value(json_array_get(levels, i)),
                            json_number_value(json_array_get(levels, i - 1)));
    json_t *shares = json_object_get(p, "experts_of_tokens");
    double sum = 0, mean = 0;
    for (size_t i = 0; i < json_array_size(shares); i++) {
        sum += json_number_value(json_array_get(shares, i));
        mean += (double)i * json_number_value(json_array_get(shares, i));
    }
    ck_assert_double_eq_tol(sum, 1, 1e-6);
    ck_assert_double_eq_tol(mean, 32 / 60.0, 1e-6);
    ck_assert_double_eq_tol(json_number_value(json_array_get(shares, 0)),
                            json_number_of(p, "no_expert"), 1e-6);
    json_decref(e);
}
END_TEST

/* A point of a sweep is what the same capacity alone gives, in the same batches. */
START_TEST(a_point_equals_an_evaluation_with_that_capacity)
{
    json_t *sweep = COMMAND_JSON("eval", model, "--data", data, "--capacity", "1,0.5",
                                 "--bpr", "--batch", "12");
    json_t *alone = COMMAND_JSON("eval", model, "--data", data, "--capacity", "0.5",
                                 "--bpr", "--batch", "12");

    /* one batch of all: by priority the order within it decides only ties */
    ck_assert_double_eq(json_number_of(point_at(sweep, 4), "top1"),
                        json_number_of(alone, "top1"));
    ck_assert_double_eq_tol(json_number_of(point_at(sweep, 4), "loss"),
                            json_number_of(alone, "loss"), 1e-5);
    ck_assert_ptr_null(json_object_get(alone, "capacity"));
    json_decref(alone);
    json_decref(sweep);
}
END_TEST

START_TEST(the_table_says_who_shares_the_capacity)
{
    program_result r = program_run(dir, "eval", model, "--data", data, "--capacity",
                                   "1,0.5", "--batch", "5", "--quiet", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "the tokens of 5 images"));
    ck_assert_ptr_nonnull(strstr(r.out, "vanilla"));
    ck_assert_ptr_null(strstr(r.out, "priority"));
    program_result_free(&r);
    json_t *e =
        COMMAND_JSON("eval", model, "--data", data, "--capacity", "1,0.5", "--batch", "5");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(json_object_get(e, "capacity"), "fact")),
               "the tokens of 5 images"));
    json_decref(e);
}
END_TEST

/* A checkpoint with a capacity of its own is measured without limits first. */
START_TEST(the_checkpoints_own_capacity_does_not_matter)
{
    vit_config config = sample_config(true);

    config.moe.eval_capacity = 0.3;
    config.moe.eval_bpr = true;
    sample_model_save(model, &config, sample_labels);
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--capacity", "1,0.5");
    ck_assert_double_eq(json_number_of(point_at(e, 0), "dropped"), 0);
    ck_assert_double_gt(json_number_of(point_at(e, 2), "dropped"), 0.3);
    json_decref(e);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(lists_that_mean_nothing_are_refused)
{
    static const struct {
        const char *list, *words;
    } wrong[] = {
        {"1,,2", "'' is not a number above 0"},
        {"1,x", "'x' is not a number above 0"},
        {"1,0", "'0' is not a number above 0"},
        {"1,-2", "'-2' is not a number above 0"},
        {"1,1e9", "'1e9' is not a number above 0"},
        {"x", "'x' is not a number from 0 to 1000"},
        {"-1", "'-1' is not a number from 0 to 1000"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,"
         "31,32,33",
         "more than 32 values"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        program_refused(program_run(dir, "eval", model, "--data", data, "--capacity",
                                    wrong[i].list, NULL),
                        2, wrong[i].words);
    program_refused(program_run(dir, "eval", model, "--data", data, "--capacity", "1,0.5",
                                "--corrupt", "fog", NULL),
                    2, "is for clean images");
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--capacity", "0", "--bpr", NULL),
        2, "--bpr needs a capacity");
}
END_TEST

START_TEST(a_dense_network_has_no_capacity)
{
    const vit_config config = sample_config(false);

    sample_model_save(model, &config, sample_labels);
    program_refused(
        program_run(dir, "eval", model, "--data", data, "--capacity", "1,0.5", NULL), 2,
        "has no experts");
}
END_TEST

/* Routers with a budget in place of a capacity, where this build has them. */
START_TEST(routers_with_a_budget_go_by_it)
{
    static const char *const routers[] = {"expert-choice", "usmoe"};
    vit_config config = sample_config(true);

    if (vit_router_select(&config.moe.router, routers[_i], NULL) != BASE_OK)
        return;
    sample_model_save(model, &config, sample_labels);
    json_t *e = COMMAND_JSON("eval", model, "--data", data, "--capacity", "1,0.5");
    ck_assert_str_eq(order_of(point_at(e, 1)), "budget");
    ck_assert_double_eq(json_number_of(point_at(e, 2), "dropped"), 0);
    ck_assert_double_eq_tol(json_number_of(point_at(e, 1), "loss"),
                            json_number_of(e, "loss"), 1e-6);
    ck_assert_double_lt(json_number_of(point_at(e, 2), "kept"),
                        0.7 * json_number_of(point_at(e, 1), "kept"));
    json_decref(e);
    program_refused(program_run(dir, "eval", model, "--data", data, "--capacity", "1,0.5",
                                "--bpr", NULL),
                    2, "vmoe eval: --bpr: an order of tokens means nothing to router '");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_capacity");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(core, both_orders_are_measured_after_the_network_without_limits);
    tcase_add_test(core, kept_assignments_and_operations_by_hand);
    tcase_add_test(core, a_point_equals_an_evaluation_with_that_capacity);
    tcase_add_test(core, the_table_says_who_shares_the_capacity);
    tcase_add_test(core, the_checkpoints_own_capacity_does_not_matter);
    tcase_add_test(limits, lists_that_mean_nothing_are_refused);
    tcase_add_test(limits, a_dense_network_has_no_capacity);
    tcase_add_loop_test(limits, routers_with_a_budget_go_by_it, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
