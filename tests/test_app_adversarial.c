/* test_app_adversarial.c - vmoe train on images made worse on purpose: it runs, it is
 * another training, and a run that is killed ends with the same bytes. */
#include "tests/test_run.h"
#include "tests/test_train.h"

static const char *const kinds[] = {"train.adversarial=pgd", "train.adversarial=fgsm-rs",
                                    "train.adversarial=trades"};

#define WORSE                                                                              \
    "--set", "train.epochs=10", kinds[_i], "train.adversarial_steps=2",                    \
        "train.adversarial_eps=16/255"

START_TEST(a_killed_run_ends_with_the_same_bytes)
{
    char *whole = test_path(dir, "whole"), *cut = test_path(dir, "cut");
    const char *const words[] = {TINY, cut, "--resume", "--quiet", WORSE, NULL};
    const double begin = base_seconds();

    program_done(program_run(dir, TINY, whole, WORSE, NULL));
    const double seconds = base_seconds() - begin;
    for (int i = 1; i < 4; i++) {
        const pid_t child = start(0, words);

        rest(seconds * i / 5);
        kill(child, SIGKILL);
        finish(child);
    }
    program_done(program_run(dir, TINY, cut, "--resume", WORSE, NULL));
    same_run("whole", "cut");
    same_metrics("whole", "cut");
    base_free(whole);
    base_free(cut);
}
END_TEST

START_TEST(the_weights_are_not_those_of_plain_training)
{
    char *plain = test_path(dir, "plain"), *out = test_path(dir, "out");
    char *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;

    program_done(program_run(dir, TINY, plain, "--set", "train.epochs=2", NULL));
    program_done(program_run(dir, TINY, out, "--set", "train.epochs=2", kinds[_i],
                             "train.adversarial_steps=2", NULL));
    char *x = test_path(plain, "last/model.safetensors"),
         *y = test_path(out, "last/model.safetensors");
    ck_assert_int_eq(base_file_read(&a, &a_bytes, x, 1 << 28, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&b, &b_bytes, y, 1 << 28, NULL), BASE_OK);
    ck_assert_uint_eq(a_bytes, b_bytes);
    ck_assert_mem_ne(a, b, a_bytes);
    base_free(a);
    base_free(b);
    base_free(x);
    base_free(y);
    base_free(plain);
    base_free(out);
}
END_TEST

START_TEST(settings_out_of_range_are_refused)
{
    char *out = test_path(dir, "out");

    program_refused(
        program_run(dir, TINY, out, "--quiet", "--set", "train.adversarial=pdg", NULL), 2,
        "none|pgd|fgsm-rs|trades");
    program_refused(
        program_run(dir, TINY, out, "--quiet", "--set", "train.adversarial_eps=8", NULL), 2,
        "train.adversarial_eps");
    program_refused(
        program_run(dir, TINY, out, "--quiet", "--set", "train.adversarial_eps=8/0", NULL),
        2, "train.adversarial_eps");
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_adversarial");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_loop_test(core, a_killed_run_ends_with_the_same_bytes, 0, 3);
    tcase_add_loop_test(core, the_weights_are_not_those_of_plain_training, 0, 3);
    tcase_add_test(limits, settings_out_of_range_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
