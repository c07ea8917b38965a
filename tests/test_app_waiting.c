/* test_app_waiting.c - how threads wait is decided by measurement: beside others they
 * sleep, and the user's word holds. Program runs: OpenMP reads its settings when it is
 * loaded. */
#include <signal.h>
#include <unistd.h>

#include "tests/test_command.h"
#include "tests/test_run.h"

/* stderr of an evaluation with two threads on one processor, which is base_free's. */
static program_result evaluate(const char *policy)
{
    if (policy)
        setenv("OMP_WAIT_POLICY", policy, 1);
    else
        unsetenv("OMP_WAIT_POLICY");
    return program_run(dir, "eval", model, "--data", data, "--threads", "2", NULL);
}

START_TEST(threads_without_a_processor_each_sleep)
{
    int first[BASE_CPUS_MAX];
    static const char said[] = "asleep while they wait";

    /* two threads and one processor: as a machine that has fewer of them than it seems */
    ck_assert_uint_gt(base_cpus_allowed(first, BASE_CPUS_MAX), 0);
    ck_assert(base_thread_allow(first, 1));
    program_result r = evaluate(NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(strstr(r.err, said) != NULL, "%s", r.err);
    char *numbers = r.out;
    r.out = NULL;
    program_result_free(&r);
    r = evaluate("passive");
    ck_assert_int_eq(r.code, 0);
    ck_assert_msg(!strstr(r.err, said), "%s", r.err);
    /* and it changes no number, but for the time */
    const char *rate = strstr(numbers, "images/s");
    ck_assert_ptr_nonnull(rate);
    ck_assert_int_eq(strncmp(numbers, r.out, (size_t)(rate - numbers)), 0);
    base_free(numbers);
    program_result_free(&r);
}
END_TEST

START_TEST(the_number_of_threads_is_heard)
{
    setenv("OMP_NUM_THREADS", "3", 1);
    json_t *result = COMMAND_JSON("eval", model, "--data", data);
    ck_assert_double_eq(json_number_of(result, "threads"), 3);
    json_decref(result);
}
END_TEST

START_TEST(help_of_a_command_comes_both_ways)
{
    program_result one = program_run(dir, "help", "eval", NULL),
                   two = program_run(dir, "eval", "--help", NULL),
                   three = program_run(dir, "-v", NULL);

    ck_assert_int_eq(one.code, 0);
    ck_assert_str_eq(one.out, two.out);
    ck_assert_int_eq(strncmp(three.out, "vmoe ", 5), 0);
    static const char *const commands[] = {"train",   "eval",    "predict", "inspect",
                                           "convert", "data",    "corrupt", "attack",
                                           "report",  "compare", "vae",     "bench"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        program_result r = program_run(dir, "help", commands[i], NULL);
        ck_assert_int_eq(r.code, 0);
        for (const char *line = r.out; *line; line += strcspn(line, "\n") + 1)
            ck_assert_msg(strcspn(line, "\n") <= 80, "vmoe help %s: %.*s", commands[i],
                          (int)strcspn(line, "\n"), line);
        program_result_free(&r);
    }
    program_result_free(&one);
    program_result_free(&two);
    program_result_free(&three);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_waiting");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, sparse_setup, command_teardown);
    tcase_add_test(core, threads_without_a_processor_each_sleep);
    tcase_add_test(core, the_number_of_threads_is_heard);
    tcase_add_test(core, help_of_a_command_comes_both_ways);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
