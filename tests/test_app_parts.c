/* test_app_parts.c - what commands share below their options: lines that a shell reads
 * back, work among threads, processors, memory, the line of progress, JSON, outputs. */
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/ranks_internal.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"

static char *dir, *path;
static app_common common;

static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "said.txt");
    common = app_common_defaults();
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

/* ---- what is printed ----------------------------------------------------------------- */

static int kept = -1;

/* From here to said_is stream 1 or 2 goes into a file. */
static void listen_to(int stream)
{
    const int to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    fflush(NULL);
    kept = dup(stream);
    dup2(to, stream);
    close(to);
}

/* base_free. */
static char *said(int stream)
{
    char *text = NULL;
    size_t bytes = 0;

    fflush(NULL);
    dup2(kept, stream);
    close(kept);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 16, NULL), BASE_OK);
    return text;
}

static void said_is(int stream, const char *want)
{
    char *text = said(stream);

    ck_assert_str_eq(text, want);
    base_free(text);
}

START_TEST(a_command_line_is_read_back_by_a_shell)
{
    static const struct {
        const char *word, *line;
    } cases[] = {
        {"eval", "vmoe eval"},
        {"a-b_c=1+2.5,x:/y@z%AZ09", "vmoe a-b_c=1+2.5,x:/y@z%AZ09"},
        {"", "vmoe ''"},
        {"two words", "vmoe 'two words'"},
        {"$HOME", "vmoe '$HOME'"},
        {"x*", "vmoe 'x*'"},
        {"it's", "vmoe 'it'\\''s'"},
        {"'", "vmoe ''\\'''"},
        {"a''b", "vmoe 'a'\\'''\\''b'"},
        {"b;", "vmoe 'b;'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *words[] = {(char *)(uintptr_t)cases[i].word};
        ck_assert_str_eq(app_command_line(1, words), cases[i].line);
    }
    char *words[] = {(char *)(uintptr_t) "a", (char *)(uintptr_t) "b c",
                     (char *)(uintptr_t) "d"};
    ck_assert_str_eq(app_command_line(3, words), "vmoe a 'b c' d");
    ck_assert_str_eq(app_command_line(0, words), "vmoe");
}
END_TEST

START_TEST(a_failure_is_one_line_and_its_status)
{
    base_error err = {0};

    base_fail(&err, BASE_USAGE, "no such %s", "thing");
    listen_to(STDERR_FILENO);
    ck_assert_int_eq(app_fail("dig", &err), 2);
    base_fail(&err, BASE_IO, "it broke");
    ck_assert_int_eq(app_fail("dig", &err), 1);
    app_note(&common, "%d and\n\033[2J", 5);
    common.quiet = true;
    app_note(&common, "nothing");
    said_is(STDERR_FILENO,
            "vmoe dig: no such thing\nvmoe dig: it broke\n5 and\\x0a\\x1b[2J\n");
}
END_TEST

START_TEST(results_give_way_to_json_on_stdout)
{
    ck_assert_ptr_eq(app_result_stream(&common), stdout);
    common.json = "x";
    ck_assert_ptr_eq(app_result_stream(&common), stdout);
    common.json = "-";
    ck_assert_ptr_eq(app_result_stream(&common), stderr);
}
END_TEST

START_TEST(a_manual_page_escapes_what_roff_reads)
{
    listen_to(STDOUT_FILENO);
    app_man_text(".a -b\n'c\\d\n.e", SIZE_MAX);
    app_man_text("abc", 2);
    app_man_text("x.'", SIZE_MAX);
    said_is(STDOUT_FILENO, "\\&.a \\-b\n\\&'c\\ed\n\\&.eabx.'");
}
END_TEST

START_TEST(text_is_broken_between_words_behind_its_indent)
{
    listen_to(STDOUT_FILENO);
    app_print_wrapped("aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd", 60); /* 20 a line */
    said_is(STDOUT_FILENO,
            "aaaaaaaaa bbbbbbbbb\n"
            "                                                            ccccccccc "
            "ddddddddd\n");
}
END_TEST

/* ---- the line of progress ------------------------------------------------------------ */

/* As if it had begun `seconds` ago: rates and times left hang little on what this test
 * takes. */
static app_progress begun(uint64_t total, uint64_t first, double seconds)
{
    app_progress p;

    app_progress_start(&p, &common, "dig", "holes", total, first);
    ck_assert_uint_eq(p.done, first);
    p.terminal = p.shown = false;
    p.columns = 81;
    p.interval = 5;
    p.started = base_seconds() - seconds;
    p.drawn = base_seconds() - 1000;
    return p;
}

START_TEST(progress_tells_share_rate_and_time_left)
{
    /* 40,000 in 1,000 seconds, 400 are left */
    app_progress p = begun(60400, 20000, 1000);

    listen_to(STDERR_FILENO);
    app_progress_update(&p, 60000, "loss %.2f", 0.5);
    app_progress_update(&p, 60100, "%s", "too early");
    said_is(STDERR_FILENO, "dig  99 %  40 holes/s  10 s left  loss 0.50\n");
    ck_assert_uint_eq(p.done, 60100);
    ck_assert_double_eq(p.interval, 10);
    /* never backwards; without figures; the pause doubles up to a minute */
    static const double pauses[] = {20, 40, 60, 60};
    for (size_t i = 0; i < 4; i++) {
        p.drawn = base_seconds() - 1000;
        listen_to(STDERR_FILENO);
        app_progress_update(&p, 1, "%s", "");
        said_is(STDERR_FILENO, "dig 100 %  40 holes/s  7.5 s left\n");
        ck_assert_double_eq(p.interval, pauses[i]);
    }
    /* nothing is made yet, and shares of work have no rate */
    p = begun(200, 50, 1000);
    p.unit = NULL;
    listen_to(STDERR_FILENO);
    app_progress_update(&p, 50, "%s", "x");
    said_is(STDERR_FILENO, "dig  25 %  ? left  x\n");
    /* more than there should be */
    p = begun(100, 0, 1000);
    listen_to(STDERR_FILENO);
    app_progress_update(&p, 300000, "%s", "");
    app_progress_line(&p, "%d %s", 3, "lines");
    app_progress_log(&p, "a line");
    app_progress_end(&p);
    said_is(STDERR_FILENO, "dig 300000 %  300 holes/s  ? left\n3 lines\na line\n");
    common.quiet = true;
    p = begun(100, 0, 1000);
    listen_to(STDERR_FILENO);
    app_progress_update(&p, 50, "%s", "");
    app_progress_line(&p, "%s", "x");
    said_is(STDERR_FILENO, "");
    ck_assert_uint_eq(p.done, 50);
}
END_TEST

START_TEST(a_line_gives_up_its_last_figures_where_it_is_too_long)
{
    static const struct {
        int columns;
        const char *line;
    } cases[] = {{33, "dig  99 %  3 holes/s  10 s left\n"},
                 {41, "dig  99 %  3 holes/s  10 s left\n"},
                 {42, "dig  99 %  3 holes/s  10 s left  loss 0.5\n"},
                 {55, "dig  99 %  3 holes/s  10 s left  loss 0.5\n"},
                 {56, "dig  99 %  3 holes/s  10 s left  loss 0.5  top-1 50.0 %\n"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        app_progress p = begun(3030, 0, 1000);
        p.columns = cases[i].columns;
        listen_to(STDERR_FILENO);
        app_progress_update(&p, 3000, "%s", "loss 0.5  top-1 50.0 %  more");
        said_is(STDERR_FILENO, cases[i].line);
    }
}
END_TEST

/* On a terminal there is a bar, as far as there is room for it; it is taken away. */
START_TEST(a_terminal_has_a_bar)
{
    app_progress p = begun(60400, 20000, 1000);

    p.terminal = true;
    listen_to(STDERR_FILENO);
    app_progress_update(&p, 30200, "%s", "");
    ck_assert(p.shown);
    app_progress_line(&p, "%s", "a line");
    ck_assert(!p.shown);
    app_progress_end(&p);
    char *text = said(STDERR_FILENO);
    static const char begins[] =
        "\r\033[Kdig [==========>         ]  50 %  10 holes/s  49:",
                      ends[] = " left\r\033[Ka line\n";
    ck_assert_int_eq(strncmp(text, begins, sizeof begins - 1), 0);
    ck_assert_str_eq(text + strlen(text) - (sizeof ends - 1), ends);
    base_free(text);
    p = begun(60400, 20000, 1000);
    p.terminal = true;
    p.columns = 60;
    listen_to(STDERR_FILENO);
    app_progress_update(&p, 60400, "%s", "loss 0.5");
    said_is(STDERR_FILENO, "\r\033[Kdig 100 %  40 holes/s  0.0 s left  loss 0.5");
}
END_TEST

/* As wide as the terminal says, 80 where it says nothing or less than 20. */
START_TEST(a_line_is_as_wide_as_its_terminal)
{
    static const struct {
        unsigned short says;
        int columns;
    } cases[] = {{0, 80}, {19, 80}, {20, 20}, {50, 50}, {200, 200}};
    const int pair = posix_openpt(O_RDWR | O_NOCTTY);
    app_progress p;

    listen_to(STDERR_FILENO); /* into a file: a line now and then */
    app_progress_start(&p, &common, "dig", NULL, 9, 4);
    said_is(STDERR_FILENO, "");
    ck_assert(p.on && !p.terminal && !p.shown && p.columns == 81);
    ck_assert_double_eq(p.interval, 5);
    ck_assert_double_eq(p.drawn, p.started);
    ck_assert(p.total == 9 && p.first == 4 && p.done == 4);
    if (pair < 0 || grantpt(pair) != 0 || unlockpt(pair) != 0)
        return; /* no terminals here */
    const int end = open(ptsname(pair), O_RDWR | O_NOCTTY), before = dup(STDERR_FILENO);
    ck_assert_int_ge(end, 0);
    dup2(end, STDERR_FILENO);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct winsize size = {.ws_row = 25, .ws_col = cases[i].says};
        ioctl(end, TIOCSWINSZ, &size);
        app_progress_start(&p, &common, "dig", NULL, 1, 0);
        if (!p.terminal || p.columns != cases[i].columns)
            break;
    }
    dup2(before, STDERR_FILENO);
    close(before);
    close(end);
    close(pair);
    ck_assert(p.terminal);
    ck_assert_int_eq(p.columns, 200);
    ck_assert_double_eq(p.interval, 0.1);
}
END_TEST

/* ---- work among threads -------------------------------------------------------------- */

enum { WORKS = 64 };
static int done[WORKS];
static size_t fails_from;

static base_status work(void *user, size_t i, size_t thread, base_error *err)
{
    ck_assert_uint_lt(thread, *(size_t *)user);
    done[i]++;
    return i < fails_from ? BASE_OK : base_fail(err, BASE_FORMAT, "number %zu", i);
}

static void member(void *arg, size_t i)
{
    ((int *)arg)[i]++;
}

START_TEST(each_piece_of_work_is_done_once)
{
    base_error err = {0};

    for (size_t threads = 1; threads <= 3; threads++) {
        memset(done, 0, sizeof done);
        fails_from = WORKS;
        ck_assert_int_eq(app_each(WORKS, threads, work, &threads, &err), BASE_OK);
        for (size_t i = 0; i < WORKS; i++)
            ck_assert_int_eq(done[i], 1);
    }
    size_t one = 1;
    memset(done, 0, sizeof done);
    fails_from = 3; /* number 3 fails; no other begins */
    ck_assert_int_eq(app_each(WORKS, one, work, &one, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, "number 3");
    for (size_t i = 0; i < WORKS; i++)
        ck_assert_int_eq(done[i], i <= 3);
    ck_assert_int_eq(app_each(0, one, work, &one, &err), BASE_OK);
    memset(done, 0, sizeof done);
    app_together(5, member, done);
    for (size_t i = 0; i < WORKS; i++)
        ck_assert_int_eq(done[i], i < 5);
}
END_TEST

/* Parts of the processors: all of them together, each processor once where there are as
 * many. */
START_TEST(parts_of_the_processors_are_all_of_them)
{
    int ids[BASE_CPUS_MAX], allowed[BASE_CPUS_MAX];
    const size_t count = base_cpus_allowed(allowed, BASE_CPUS_MAX);

    ck_assert_uint_eq(app_cpus_part(ids, BASE_CPUS_MAX, 0, 1), count);
    for (size_t parts = 2; parts <= 3 && parts <= count; parts++) {
        static bool seen[1 << 16];
        size_t all = 0;
        memset(seen, 0, sizeof seen);
        for (size_t p = 0; p < parts; p++) {
            const size_t own = app_cpus_part(ids, BASE_CPUS_MAX, p, parts);
            ck_assert_uint_ge(own, 1);
            for (size_t i = 0; i < own; i++) {
                ck_assert(!seen[ids[i]]);
                seen[ids[i]] = true;
            }
            all += own;
        }
        ck_assert_uint_eq(all, count);
        for (size_t i = 0; i < count; i++)
            ck_assert(seen[allowed[i]]);
    }
}
END_TEST

START_TEST(threads_are_shared_with_the_loader)
{
    data_loader_config config = data_loader_defaults();

    common.threads = 16; /* from 8 on one in eight is the loader's */
    omp_set_num_threads(1);
    app_threads_share(&common);
    ck_assert_int_eq(omp_get_max_threads(), 14);
    app_loader_threads(&config, &common, -1);
    ck_assert_uint_eq(config.threads, 2);
    ck_assert_uint_eq(config.helpers, 14);
    ck_assert(config.enter != NULL && config.together == app_together);
    app_loader_threads(&config, &common, 5);
    ck_assert_uint_eq(config.threads, 5);
    common.threads = 7;
    app_threads_share(&common);
    ck_assert_int_eq(omp_get_max_threads(), 7);
    app_loader_threads(&config, &common, -1);
    ck_assert_uint_eq(config.threads, 1);
    common.threads = 0;
    app_common_apply(&common, "dig");
    ck_assert_int_eq((int)common.threads, app_cpu_count());
    ck_assert_int_eq(omp_get_max_threads(), app_cpu_count());
    common.threads = 3;
    app_common_apply(&common, "dig");
    ck_assert_int_eq(omp_get_max_threads(), 3);
    ck_assert_int_eq(common.precision, VIT_PRECISION_FP32);
}
END_TEST

static int niceness[2];

static void *loader_begins(void *user)
{
    const data_loader_config *config = user;

    niceness[0] = getpriority(PRIO_PROCESS, (id_t)gettid());
    config->enter(config->enter_user);
    niceness[1] = getpriority(PRIO_PROCESS, (id_t)gettid());
    return NULL;
}

/* Its threads stand behind those of the network. */
START_TEST(a_loader_works_in_the_background)
{
    data_loader_config config = data_loader_defaults();
    pthread_t thread;

    common.threads = 2;
    app_loader_threads(&config, &common, -1);
    ck_assert_int_eq(pthread_create(&thread, NULL, loader_begins, &config), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(niceness[1], niceness[0] + 5 > 19 ? 19 : niceness[0] + 5);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

START_TEST(memory_is_zeroed_and_aligned)
{
    app_pool pool = {0};

    for (size_t i = 1; i < 200; i += 33) {
        unsigned char *bytes = app_take(i % 2 ? &pool : NULL, i, 3);
        ck_assert_uint_eq((uintptr_t)bytes % 64, 0);
        for (size_t k = 0; k < 3 * i; k++)
            ck_assert_int_eq(bytes[k], 0);
        memset(bytes, 0xff, 3 * i);
    }
    ck_assert_ptr_nonnull(pool.first);
    app_pool_end(&pool);
    ck_assert_ptr_null(pool.first);
    app_pool_end(&pool);
    ck_assert_str_eq(app_text("%s-%d", "a", 5), "a-5");
    ck_assert_str_eq(app_text("%s", ""), "");
}
END_TEST

START_TEST(what_memory_cannot_hold_ends_the_program)
{
    const pid_t child = fork();
    int state = 0;

    if (child == 0) {
        const int to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(to, STDERR_FILENO);
        app_take(NULL, SIZE_MAX / 4, 8);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_int_eq(WIFEXITED(state) ? WEXITSTATUS(state) : -1, APP_FAILED);
    char *text = NULL;
    size_t bytes = 0;
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 16, NULL), BASE_OK);
    ck_assert_int_eq(strncmp(text, "vmoe: no memory for another ", 28), 0);
    base_free(text);
}
END_TEST

/* ---- JSON ---------------------------------------------------------------------------- */

START_TEST(results_begin_with_the_same_keys)
{
    common.seed = 7;
    common.threads = 3;
    common.precision = VIT_PRECISION_BF16;
    json_t *json = app_json_begin(&common, "dig", "m", "d");
    char *text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(text, "{\"vmoe\":\"" BASE_VERSION
                           "\",\"command\":\"dig\",\"model\":\"m\",\"data\":\"d\",\"seed\":"
                           "7,\"precision\":\"bf16\",\"threads\":3}");
    free(text);
    json_decref(json);
    common.precision = VIT_PRECISION_FP32;
    json = app_json_begin(&common, "dig", NULL, NULL);
    text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(text, "{\"vmoe\":\"" BASE_VERSION
                           "\",\"command\":\"dig\",\"seed\":7,\"precision\":\"fp32\","
                           "\"threads\":3}");
    free(text);
    json_decref(json);
}
END_TEST

START_TEST(shares_and_their_intervals)
{
    json_t *share = app_share_json(1, 4), *interval = app_interval_json(5, 10);

    ck_assert_double_eq(json_number_value(share), 0.25);
    /* Wilson's of 5 of 10 at 95 % */
    ck_assert_double_eq_tol(json_number_value(json_array_get(interval, 0)), 0.2365931,
                            1e-6);
    ck_assert_double_eq_tol(json_number_value(json_array_get(interval, 1)), 0.7634069,
                            1e-6);
    json_decref(share);
    json_decref(interval);
    share = app_share_json(0, 0);
    interval = app_interval_json(0, 0);
    ck_assert(json_is_null(share) && json_is_null(interval));
    json_decref(share);
    json_decref(interval);
}
END_TEST

START_TEST(outputs_are_tried_and_left_as_they_are)
{
    char *other = test_path(dir, "other"), *pipe = test_path(dir, "pipe");
    const char *none = "/nowhere/x";
    base_error err = {0};

    test_write(other, "kept", 4);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    common.json = "-";
    ck_assert_int_eq(app_outputs_check(&common, other, pipe, &err), BASE_OK);
    test_holds(other, "kept");
    ck_assert_int_eq(app_outputs_check(&common, NULL, NULL, &err), BASE_OK);
    for (int i = 0; i < 3; i++) {
        common.json = i == 0 ? none : NULL;
        ck_assert_int_ne(
            app_outputs_check(&common, i == 1 ? none : NULL, i == 2 ? none : NULL, &err),
            BASE_OK);
        ck_assert_msg(strstr(err.text, none) != NULL, "%s", err.text);
    }
    ck_assert(!test_exists(path));
    common.json = path;
    ck_assert_int_eq(app_json_write(&common, json_pack("{s:f}", "x", 1.0 / 3), &err),
                     BASE_OK);
    test_holds(path, "{\n  \"x\": 0.333333333\n}\n");
    ck_assert_int_ne(app_json_save(path, NULL, &err), BASE_OK);
    base_free(other);
    base_free(pipe);
}
END_TEST

/* ---- alone --------------------------------------------------------------------------- */

START_TEST(without_a_launcher_there_is_one_rank)
{
    app_ranks ranks = {0};
    const app_ranks_options options = {.patience = 1};
    base_error err = {0};
    double x[2] = {1, 2};
    char text[64] = "x";

    common.threads = 5;
    ck_assert_int_eq(app_ranks_open(&ranks, &options, &common, "vmoe dig", &err), BASE_OK);
    ck_assert_int_eq((int)common.threads, 5);
    ck_assert(app_ranks_lead(&ranks));
    ck_assert(!app_silent());
    ck_assert(!app_ranks_refused("dig"));
    ck_assert_ptr_null(app_ranks_train(&ranks));
    ck_assert_int_eq(app_ranks_share(&ranks, x, sizeof x, &err), BASE_OK);
    ck_assert_int_eq(app_ranks_sum(&ranks, x, 2, &err), BASE_OK);
    ck_assert_double_eq(x[0], 1);
    ck_assert_double_eq(x[1], 2);
    ck_assert_str_eq(app_ranks_text(text, sizeof text, &ranks, &common), "");
    base_fail(&err, BASE_USAGE, "no");
    listen_to(STDERR_FILENO);
    ck_assert_int_eq(app_ranks_fail(&ranks, "dig", &err), 2);
    said_is(STDERR_FILENO, "vmoe dig: no\n");
    app_ranks_close(&ranks, BASE_OK, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_parts");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_command_line_is_read_back_by_a_shell);
    tcase_add_test(core, a_failure_is_one_line_and_its_status);
    tcase_add_test(core, results_give_way_to_json_on_stdout);
    tcase_add_test(core, a_manual_page_escapes_what_roff_reads);
    tcase_add_test(core, text_is_broken_between_words_behind_its_indent);
    tcase_add_test(core, progress_tells_share_rate_and_time_left);
    tcase_add_test(core, a_line_gives_up_its_last_figures_where_it_is_too_long);
    tcase_add_test(core, a_terminal_has_a_bar);
    tcase_add_test(core, a_line_is_as_wide_as_its_terminal);
    tcase_add_test(core, each_piece_of_work_is_done_once);
    tcase_add_test(core, parts_of_the_processors_are_all_of_them);
    tcase_add_test(core, threads_are_shared_with_the_loader);
    tcase_add_test(core, a_loader_works_in_the_background);
    tcase_add_test(core, memory_is_zeroed_and_aligned);
    tcase_add_test(core, what_memory_cannot_hold_ends_the_program);
    tcase_add_test(core, results_begin_with_the_same_keys);
    tcase_add_test(core, shares_and_their_intervals);
    tcase_add_test(core, outputs_are_tried_and_left_as_they_are);
    tcase_add_test(core, without_a_launcher_there_is_one_rank);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
