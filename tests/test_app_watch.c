/* test_app_watch.c - what a person sees of a run at work: the line of a step, of an
 * evaluation, of a note; who is asked whether to stop. */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "apps/train/internal.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"

static char *dir, *path;
static app_common common;
static app_watch watch;
static train_trainer t;
static vit_usage loads[2];
static train_options options;
static int kept = -1;

/* Step 4 of 9, each of two parts of 4 images; six parts an epoch: in the second of
 * three. */
static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "said.txt");
    common = app_common_defaults();
    watch = (app_watch){.common = &common};
    options = app_train_options(&watch, "folder", true);
    t = (train_trainer){.parts_in_epoch = 6, .total = 9, .load = loads, .moe_count = 2};
    t.recipe.train.batch = 8;
    t.recipe.train.accumulate = 2;
    t.at.step = 4;
    t.shown_loss = 1.2345;
    t.shown_accuracy = 0.505;
    memset(loads, 0, sizeof loads);
    for (size_t l = 0; l < 2; l++) { /* deviation by mean 0.5 and 1 */
        loads[l].experts = 2;
        loads[l].tokens = loads[l].assignments = 4;
        loads[l].load[0] = l ? 4 : 3;
        loads[l].load[1] = l ? 0 : 1;
    }
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

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

static void ends_with(const char *want)
{
    char *text = said(STDERR_FILENO);

    ck_assert_msg(strlen(text) >= strlen(want) &&
                      strcmp(text + strlen(text) - strlen(want), want) == 0,
                  "'%s'", text);
    base_free(text);
}

/* As if it had begun long ago, with room for every figure. */
static void begin(void)
{
    options.watch.begun(options.watch.user, &t);
    watch.progress.terminal = false;
    watch.progress.columns = 300;
    watch.progress.drawn = base_seconds() - 1000;
}

START_TEST(a_step_is_told_by_its_figures)
{
    ck_assert_str_eq(options.folder, "folder");
    ck_assert(options.resume && watch.progress.on);
    ck_assert_uint_eq(options.threads, (size_t)common.threads);
    t.at.step = 1;
    begin();
    ck_assert_str_eq(watch.progress.what, "train");
    ck_assert_str_eq(watch.progress.unit, "images");
    ck_assert_uint_eq(watch.progress.total, 72);
    ck_assert_uint_eq(watch.progress.first, 8);
    t.at.step = 4;
    listen_to(STDERR_FILENO);
    options.watch.stepped(options.watch.user, &t, 0.02);
    ends_with(
        " left  epoch 2/3  loss 1.234  top-1 50.5 %  step 4  lr 2.0e-02  load cv 0.75\n");
    ck_assert_uint_eq(watch.progress.done, 32);
    /* the third step is the first epoch's, the last one the last's, one more its own */
    static const struct {
        uint64_t step, total;
        const char *epoch;
    } cases[] = {
        {1, 9, "1/3"}, {3, 9, "1/3"}, {9, 9, "3/3"}, {10, 10, "4/4"}, {1, 2, "1/1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *want = base_text("  epoch %s  ", cases[i].epoch), *text;
        t.at.step = cases[i].step;
        t.total = cases[i].total;
        begin();
        listen_to(STDERR_FILENO);
        options.watch.stepped(options.watch.user, &t, 1);
        text = said(STDERR_FILENO);
        ck_assert_msg(strstr(text, want) != NULL, "'%s' in '%s'", want, text);
        base_free(text);
        base_free(want);
    }
    t.moe_count = 0; /* a dense network has no loads */
    begin();
    listen_to(STDERR_FILENO);
    options.watch.stepped(options.watch.user, &t, 1);
    ends_with("  step 1  lr 1.0e+00\n");
}
END_TEST

START_TEST(an_evaluation_is_told_where_results_go)
{
    static const struct {
        double loss, seconds;
        bool better, json;
        const char *line;
    } cases[] = {
        {0.98765, 2.5, true, false,
         "epoch 1.33333  step 4  top-1 12.50 %  loss 0.9877  (2.5 s)  best\n"},
        {-1, 61, false, false,
         "epoch 1.33333  step 4  top-1 12.50 %  loss not finite  (1:01)\n"},
        {0, 1, false, true, "epoch 1.33333  step 4  top-1 12.50 %  loss 0.0000  (1.0 s)\n"},
    };
    base_error err = {0};

    t.at.last_accuracy = 0.125;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int stream = cases[i].json ? STDERR_FILENO : STDOUT_FILENO;
        common.json = cases[i].json ? "-" : NULL;
        t.at.last_loss = cases[i].loss;
        listen_to(stream);
        ck_assert_int_eq(options.watch.evaluated(options.watch.user, &t, cases[i].seconds,
                                                 cases[i].better, &err),
                         BASE_OK);
        char *text = said(stream);
        ck_assert_str_eq(text, cases[i].line);
        base_free(text);
    }
}
END_TEST

START_TEST(notes_stand_behind_their_subject)
{
    listen_to(STDERR_FILENO);
    options.watch.note(options.watch.user, "resume", "going on");
    options.watch.note(options.watch.user, "", "more of\tit");
    options.watch.note(options.watch.user, NULL, "of a loader");
    ends_with("resume      going on\n            more of\\x09it\nof a loader\n");
    ck_assert(!options.watch.stop(options.watch.user));
}
END_TEST

/* Quiet: no line of a step, and nobody hears of the indexing; a list of bad samples is kept
 * only where there is one. */
START_TEST(quiet_watches_say_nothing)
{
    app_bad_list list = {0};

    ck_assert_ptr_nonnull((void *)(uintptr_t)options.watch.indexing);
    ck_assert_ptr_null((void *)(uintptr_t)options.watch.named);
    common.quiet = true;
    watch = (app_watch){.common = &common, .bad_list = &list};
    options = app_train_options(&watch, "folder", false);
    ck_assert_ptr_null((void *)(uintptr_t)options.watch.indexing);
    ck_assert_ptr_nonnull((void *)(uintptr_t)options.watch.named);
    ck_assert(!options.resume && !watch.progress.on);
    begin();
    listen_to(STDERR_FILENO);
    options.watch.stepped(options.watch.user, &t, 1);
    options.watch.note(options.watch.user, "resume", "going on");
    char *text = said(STDERR_FILENO);
    ck_assert_str_eq(text, "");
    base_free(text);
}
END_TEST

/* Curves are drawn at the first line, not without a new one, and then not at once again. */
START_TEST(curves_are_drawn_when_there_is_something_new)
{
    static const char line[] =
        "{\"kind\":\"train\",\"step\":1,\"loss\":1,\"accuracy\":0.5}\n";
    char *curves = test_path(dir, "curves.svg"), *metrics = test_path(dir, "metrics.jsonl");

    common.quiet = true;
    watch = (app_watch){.common = &common, .curves = curves};
    options = app_train_options(&watch, dir, false);
    t.metrics_path = metrics;
    test_write(metrics, line, sizeof line - 1);
    begin();
    options.watch.stepped(options.watch.user, &t, 1);
    ck_assert(!test_exists(curves)); /* no line of this run yet */
    t.metrics.lines = 1;
    options.watch.stepped(options.watch.user, &t, 1);
    ck_assert(test_exists(curves));
    ck_assert_uint_eq(watch.drawn_lines, 1);
    ck_assert_int_eq(unlink(curves), 0);
    options.watch.stepped(options.watch.user, &t, 1);
    t.metrics.lines = 2;
    options.watch.stepped(options.watch.user, &t, 1); /* half a minute is not over */
    ck_assert(!test_exists(curves));
    watch.drawn -= 31;
    options.watch.stepped(options.watch.user, &t, 1);
    ck_assert(test_exists(curves));
    ck_assert_uint_eq(watch.drawn_lines, 2);
    base_free(curves);
    base_free(metrics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_watch");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_step_is_told_by_its_figures);
    tcase_add_test(core, an_evaluation_is_told_where_results_go);
    tcase_add_test(core, notes_stand_behind_their_subject);
    tcase_add_test(core, quiet_watches_say_nothing);
    tcase_add_test(core, curves_are_drawn_when_there_is_something_new);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
