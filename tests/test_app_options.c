/* test_app_options.c - the option table: what is taken, what is refused and in which words.
 * Refusals go to stderr, which each test looks at through a file. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/app_internal.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"

typedef struct args {
    app_common common;
    int64_t steps;
    double epsilon;
    const char *out, *depth, *length;
    int norm;
    bool deep;
    base_list set;
} args;

#define BASE_STRUCT args
static const base_field options[] = {
    APP_INT("steps", "N", steps, 1, 10, "how many"),
    APP_REAL("epsilon", "E", epsilon, 0, 255, "how far"),
    APP_WORD("out", "DIR", out, "where to", .required = true),
    APP_CHOICE("norm", "P", norm, "linf|l2", "ball"),
    BASE_BOOL("deep", deep, "all the way"),
    APP_LIST("set", "KEY=VALUE", set, "keys"),
    APP_WORD("depth-of-the-shaft", "N", depth, "how deep"),
    APP_WORD("length-of-the-shaft", "N", length, "how long"),
    {0},
};
#undef BASE_STRUCT
static bool hint(char *out, size_t out_bytes, const char *name)
{
    snprintf(out, out_bytes, "earth.%s", name);
    return strcmp(name, "epochs") == 0;
}

static const app_syntax syntax = {
    .command = "dig",
    .without = "pin limit",
    .hint = hint,
    .usage = "MODEL --out DIR",
    .about = "Digs.",
    .options = options,
    .words = "MODEL",
    .words_low = 1,
    .words_high = 2,
};

static char *dir;
static args given;
static char **words;
static size_t word_count;
static int status;
static char *said; /* stdout and stderr of the last parse */

static void setup(void)
{
    dir = test_folder_make();
}

static void teardown(void)
{
    base_free(said);
    said = NULL;
    test_folder_remove(dir);
}

/* Parses "dig" and the words up to NULL; what is printed comes into said. */
static bool parse(const char *first, ...)
{
    static char *argv[32];
    char *path = test_path(dir, "said.txt");
    size_t bytes = 0;
    int argc = 1;
    va_list list;

    argv[0] = (char *)(uintptr_t) "dig";
    va_start(list, first);
    for (const char *word = first; word; word = va_arg(list, const char *))
        argv[argc++] = (char *)(uintptr_t)word;
    va_end(list);
    given = (args){.common = app_common_defaults(), .steps = 3, .epsilon = 4};
    fflush(stdout);
    const int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    const int to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    const bool good = app_parse(&status, &given, &words, &word_count, &syntax, argc, argv);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(to);
    base_free(said);
    ck_assert_int_eq(base_file_read(&said, &bytes, path, 1 << 20, NULL), BASE_OK);
    base_free(path);
    return good;
}

static void refused(bool good, const char *text)
{
    ck_assert(!good);
    ck_assert_int_eq(status, APP_USAGE);
    ck_assert_msg(strstr(said, text) != NULL, "'%s' does not say '%s'", said, text);
    ck_assert_msg(strncmp(said, "vmoe dig: ", 10) == 0, "%s", said);
    ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
}

START_TEST(both_forms_of_a_value_are_taken)
{
    ck_assert(parse("m", "--steps", "7", "--epsilon=0.5", "--out", "d", "--norm=l2", NULL));
    ck_assert_int_eq(given.steps, 7);
    ck_assert_double_eq(given.epsilon, 0.5);
    ck_assert_str_eq(given.out, "d");
    ck_assert_int_eq(given.norm, 1);
    ck_assert(!given.deep);
    ck_assert_uint_eq(word_count, 1);
    ck_assert_str_eq(words[0], "m");
}
END_TEST

START_TEST(words_and_options_may_be_mixed)
{
    ck_assert(parse("--deep", "a", "--out", "d", "b", "--threads", "2", NULL));
    ck_assert(given.deep);
    ck_assert_int_eq(given.common.threads, 2);
    ck_assert_uint_eq(word_count, 2);
    ck_assert_str_eq(words[0], "a");
    ck_assert_str_eq(words[1], "b");
}
END_TEST

START_TEST(a_list_takes_words_up_to_the_next_option_and_may_come_again)
{
    ck_assert(parse("m", "--set", "a=1", "b=2", "--out", "d", "--set=c=3", NULL));
    ck_assert_uint_eq(given.set.count, 3);
    ck_assert_str_eq(given.set.at[1], "b=2");
    ck_assert_str_eq(given.set.at[2], "c=3");
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
    ck_assert(parse("--out", "d", "--", "--steps", NULL));
    ck_assert_uint_eq(word_count, 1);
    ck_assert_str_eq(words[0], "--steps");
}
END_TEST

START_TEST(help_shows_every_option_with_its_default)
{
    ck_assert(!parse("--steps", "99", "--help", NULL));
    ck_assert_int_eq(status, APP_DONE);
    ck_assert_ptr_nonnull(strstr(said, "usage: vmoe dig MODEL --out DIR"));
    ck_assert_ptr_nonnull(strstr(said, "--steps N"));
    ck_assert_ptr_nonnull(strstr(said, "how many (default 3)"));
    ck_assert_ptr_nonnull(strstr(said, "where to (required)"));
    ck_assert_ptr_nonnull(strstr(said, "ball: linf|l2 (default linf)"));
    ck_assert_ptr_nonnull(strstr(said, "--precision P"));
    ck_assert_ptr_nonnull(strstr(said, "(default 64)"));
    /* a name of more than 24 characters has a line of its own */
    ck_assert_ptr_nonnull(strstr(said, "\n  --depth-of-the-shaft N  how deep\n"));
    ck_assert_ptr_nonnull(
        strstr(said, "\n  --length-of-the-shaft N\n                          how long\n"));
}
END_TEST

START_TEST(a_wrong_number_is_shown_with_its_range)
{
    refused(parse("m", "--out", "d", "--epsilon", "nan", NULL),
            "--epsilon 'nan' is not a number from 0 to 255");
    refused(parse("m", "--out", "d", "--epsilon", "256", NULL), "--epsilon '256'");
    refused(parse("m", "--out", "d", "--steps", "3x", NULL),
            "--steps '3x' is not a whole number from 1 to 10");
    refused(parse("m", "--out", "d", "--steps", "0", NULL), "--steps '0'");
    refused(parse("m", "--out", "d", "--seed=-1", NULL), "--seed '-1'");
    refused(parse("m", "--out", "d", "--steps", "", NULL), "--steps ''");
    refused(parse("m", "--out", "d", "--threads", "99999999999999999999", NULL),
            "--threads");
}
END_TEST

START_TEST(an_unknown_option_is_answered_with_the_nearest)
{
    refused(parse("m", "--epsilom", "1", NULL), "did you mean '--epsilon'");
    refused(parse("m", "--thread", "1", NULL), "did you mean '--threads'");
    refused(parse("m", "--zzzzzzzzzz", NULL), "unknown option '--zzzzzzzzzz', see");
    refused(parse("m", "-s", "3", NULL), "unknown option '-s'");
}
END_TEST

START_TEST(what_means_nothing_is_neither_taken_nor_shown)
{
    refused(parse("m", "--out", "d", "--pin", NULL), "unknown option '--pin'");
    refused(parse("m", "--out", "d", "--limit=3", NULL), "unknown option '--limit'");
    ck_assert(parse("m", "--out", "d", "--batch", "3", "--json", "x", NULL));
    ck_assert(!parse("--help", NULL));
    ck_assert(!strstr(said, "--pin") && !strstr(said, "--limit"));
    ck_assert(strstr(said, "--batch") && strstr(said, "--json"));
    for (const char *line = said; *line; line += strcspn(line, "\n") + 1)
        ck_assert_uint_le(strcspn(line, "\n"), 80);
}
END_TEST

START_TEST(a_setting_given_as_an_option_is_answered_with_set)
{
    refused(parse("m", "--out", "d", "--epochs", "2", NULL),
            "unknown option '--epochs', did you mean '--set earth.epochs=2'?");
    refused(parse("m", "--out", "d", "--epochs=7", NULL), "'--set earth.epochs=7'?");
    refused(parse("m", "--out", "d", "--epochs", NULL), "'--set earth.epochs=...'?");
}
END_TEST

START_TEST(what_is_missing_or_too_much_is_named)
{
    refused(parse("m", NULL), "--out DIR is missing");
    refused(parse("--out", "d", NULL), "expected MODEL, usage: vmoe ");
    refused(parse("m", "n", "o", "--out", "d", NULL), "unexpected word 'o'");
    refused(parse("m", "--out", NULL), "--out needs a value (DIR)");
    refused(parse("m", "--out", "", NULL), "--out is empty");
    refused(parse("m", "--out", "d", "--out", "e", NULL), "--out is given twice");
    refused(parse("m", "--deep=1", NULL), "--deep takes no value");
    refused(parse("m", "--norm", "l3", NULL), "--norm 'l3' is not one of linf|l2");
}
END_TEST

START_TEST(control_characters_do_not_reach_the_terminal)
{
    refused(parse("m", "--\033[2J", NULL), "unknown option '--\\x1b[2J'");
    refused(parse("m", "--norm", "\n", NULL), "'\\x0a'");
}
END_TEST

/* The child's part: 1.1 s pass between that the first signal is taken and the second. */
static void stop_twice(void)
{
    const struct timespec rest = {1, 100 * 1000 * 1000}, moment = {0, 1000 * 1000};

    alarm(60); /* not for ever, whatever is broken */
    app_stop_install();
    kill(getpid(), SIGINT);
    while (!app_stop_asked())
        nanosleep(&moment, NULL);
    nanosleep(&rest, NULL);
    kill(getpid(), SIGINT);
    pause();
}

START_TEST(a_second_ctrl_c_after_a_second_ends_at_once)
{
    int how = 0;
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        stop_twice();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert(WIFEXITED(how));
    ck_assert_int_eq(WEXITSTATUS(how), 128 + SIGINT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_options");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, both_forms_of_a_value_are_taken);
    tcase_add_test(core, words_and_options_may_be_mixed);
    tcase_add_test(core, a_list_takes_words_up_to_the_next_option_and_may_come_again);
    tcase_add_test(core, two_dashes_end_the_options);
    tcase_add_test(core, help_shows_every_option_with_its_default);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_wrong_number_is_shown_with_its_range);
    tcase_add_test(limits, an_unknown_option_is_answered_with_the_nearest);
    tcase_add_test(limits, what_means_nothing_is_neither_taken_nor_shown);
    tcase_add_test(limits, a_setting_given_as_an_option_is_answered_with_set);
    tcase_add_test(limits, what_is_missing_or_too_much_is_named);
    tcase_add_test(limits, control_characters_do_not_reach_the_terminal);
    tcase_add_test(limits, a_second_ctrl_c_after_a_second_ends_at_once);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
