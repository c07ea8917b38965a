/* test_train_ranks.c - runs whose ranks are threads of this process: the files of a run are
 * those of one rank whatever the number of ranks, through stops, resumptions and failures
 * of a single rank. */
#include "tests/test_leaks.h"
#include "tests/test_peers.h"
#include "tests/test_ranks.h"
#include "tests/test_run.h"
#include "tests/test_says.h"
#include "train/train.h"

enum { SETTINGS_MOST = 8 };

/* A run as its ranks are to make it, and how one of them ended. */
typedef struct plan {
    const char *run; /* folder in dir */
    const char *settings[SETTINGS_MOST];
    bool resume;
    size_t stop_rank; /* this one is asked to stop from step stop_step on */
    uint64_t stop_step;
    bool counted; /* the ranks are asked what they sent and waited, and say what they do */
} plan;

typedef struct rank_end {
    const plan *p;
    size_t rank;
    uint64_t stepped;
    base_status status;
    base_error err;
    uint64_t notes;
    char told[256]; /* of the lanes */
} rank_end;

static void stepped(void *user, const train_trainer *t, double lr)
{
    rank_end *e = user;

    (void)lr;
    e->stepped = t->at.step;
}

static bool stop(void *user)
{
    const rank_end *e = user;

    return e->p->stop_step > 0 && e->rank == e->p->stop_rank &&
           e->stepped >= e->p->stop_step;
}

static void note(void *user, const char *subject, const char *line)
{
    rank_end *e = user;

    (void)subject;
    e->notes += strstr(line, "same bits") != NULL;
    if (strstr(line, "lanes"))
        snprintf(e->told, sizeof e->told, "%s", line);
}

static base_status agree(void *user, const char *what, const char *text, base_error *err)
{
    return mesh_agree(((peer_rank *)user)->mesh, what, text, err);
}

/* What a rank says when it is asked: each time 100 bytes and 500 seconds more, twice and
 * three times as much on the ranks behind the first. */
static uint64_t asked[PEERS_MOST];
static char phases[256];

static void counted(void *user, double *sent, double *waited)
{
    const size_t rank = ((peer_rank *)user)->peers.rank;
    const double times = (double)(++asked[rank] * (rank + 1));

    *sent = 100 * times;
    *waited = 500 * times;
}

static void say(void *user, uint64_t step, train_phase phase)
{
    const size_t used = strlen(phases);

    (void)step;
    if (((peer_rank *)user)->peers.rank == 0 && used + 1 < sizeof phases)
        phases[used] = "LCXES"[phase];
}

/* The recipe of the test with the plan's settings. */
static base_status recipe_of(train_recipe *out, const plan *p, base_error *err)
{
    char train[1100], val[1100];
    const char *words[SETTINGS_MOST + 4] = {train, val, "train.accumulate=4",
                                            "train.lanes=4"};
    size_t count = 4;

    *out = train_recipe_defaults();
    snprintf(train, sizeof train, "data.train=%s", data);
    snprintf(val, sizeof val, "data.val=%s", data);
    for (size_t i = 0; i < SETTINGS_MOST && p->settings[i]; i++)
        words[count++] = p->settings[i];
    base_status status = train_recipe_load(out, recipe, err);
    return status == BASE_OK ? train_recipe_set(out, words, count, err) : status;
}

static void rank_train(void *user, const vit_peers *peers)
{
    rank_end *e = user;
    char *folder = test_path(dir, e->p->run);
    const train_ranks ranks = {.peers = *peers,
                               .user = peers->user,
                               .agree = agree,
                               .say = e->p->counted ? say : NULL,
                               .counted = e->p->counted ? counted : NULL};
    const train_options options = {
        .folder = folder,
        .resume = e->p->resume,
        .threads = 1,
        .ranks = peers->ranks > 1 ? &ranks : NULL,
        .watch = {.user = e, .stepped = stepped, .stop = stop, .note = note}};
    train_recipe r;
    train_trainer trainer = {0};

    e->rank = peers->rank;
    e->status = recipe_of(&r, e->p, &e->err);
    if (e->status == BASE_OK)
        e->status = train_trainer_create(&trainer, &r, &options, &e->err);
    if (e->status == BASE_OK)
        e->status = train_trainer_run(&trainer, &e->err);
    if (e->status != BASE_OK && e->status != BASE_INTERRUPTED)
        mesh_fail(((peer_rank *)peers->user)->mesh, &e->err);
    train_trainer_destroy(&trainer);
    base_free(folder);
}

static void run_plan(rank_end *ends, const plan *p, size_t ranks)
{
    void *user[PEERS_MOST];

    memset(ends, 0, ranks * sizeof *ends);
    for (size_t r = 0; r < ranks; r++) {
        ends[r].p = p;
        user[r] = &ends[r];
    }
    peers_run(ranks, 2000, ranks == 2, rank_train, user); /* two: weights come late */
}

static void run_well(const plan *p, size_t ranks)
{
    rank_end ends[PEERS_MOST];

    run_plan(ends, p, ranks);
    for (size_t r = 0; r < ranks; r++)
        ck_assert_msg(ends[r].status == BASE_OK, "rank %zu: %s", r, ends[r].err.text);
}

typedef struct run_case {
    const char *settings[SETTINGS_MOST];
} run_case;

static const run_case cases[] = {
    {{"train.epochs=4"}},
    {{"train.epochs=4", "router.name=vmoe", "router.capacity=1.05", "router.bpr=true",
      "router.dropout=0.1"}},
    {{"train.epochs=2", "train.adversarial=trades", "train.adversarial_steps=2"}},
    {{"train.epochs=2", "train.adversarial=pgd", "train.adversarial_steps=2",
      "optimizer.name=sgd", "optimizer.ema=0"}},
    {{"train.epochs=4", "router.name=loss-free", "train.eval_batch=1", "data.repeats=2",
      "augment.corrupt=gaussian_noise", "data.val_limit=5"}}, /* some have a batch more */
    {{"train.epochs=2", "optimizer.freeze=1", "optimizer.layer_decay=0.7"}},
};
enum { CASES = sizeof cases / sizeof cases[0] };

START_TEST(the_files_are_those_of_one_rank)
{
    static const char *const runs[] = {"one", "two", "", "four"};
    plan p = {0};

    memcpy(p.settings, cases[_i].settings, sizeof p.settings);
    for (size_t ranks = 1; ranks <= 4; ranks *= 2) {
        p.run = runs[ranks - 1];
        run_well(&p, ranks);
    }
    ck_assert_int_gt(count_lines("one", "train"), 0);
    ck_assert_int_gt(count_lines("one", "eval"), 0);
    same_ranks("one", "two");
    same_ranks("one", "four");
}
END_TEST

/* Asked to stop, whichever rank it is, all save at the same step; other numbers of ranks go
 * on. */
START_TEST(a_stopped_run_goes_on_with_other_ranks)
{
    static const size_t ranks[] = {4, 2, 1, 4};
    static const uint64_t stops[] = {3, 8, 13, 0};
    const plan whole = {.run = "whole", .settings = {"train.epochs=8"}};
    rank_end ends[PEERS_MOST];

    run_well(&whole, 1);
    for (size_t i = 0; i < 4; i++) {
        const plan p = {.run = "parts",
                        .settings = {"train.epochs=8"},
                        .resume = true,
                        .stop_rank = ranks[i] - 1,
                        .stop_step = stops[i]};

        run_plan(ends, &p, ranks[i]);
        for (size_t r = 0; r < ranks[i]; r++) {
            ck_assert_msg(ends[r].status == (stops[i] ? BASE_INTERRUPTED : BASE_OK),
                          "rank %zu: %s", r, ends[r].err.text);
            /* several learn of it at the end of the next step */
            ck_assert_uint_eq(ends[r].stepped, stops[i] == 0  ? 24
                                               : ranks[i] > 1 ? stops[i] + 1
                                                              : stops[i]);
        }
        ck_assert_uint_eq(ends[0].notes, i > 0);
    }
    same_ranks("whole", "parts");
}
END_TEST

/* Rank 0 reads the weights for all. */
START_TEST(a_run_begins_with_the_weights_of_another)
{
    char *from = base_text("model.init_from=%s/first", dir);
    plan p = {.run = "first", .settings = {"train.epochs=2"}};

    run_well(&p, 1);
    p.run = "one";
    p.settings[1] = from;
    run_well(&p, 1);
    p.run = "two";
    run_well(&p, 2);
    same_ranks("one", "two");
    base_free(from);
}
END_TEST

START_TEST(three_ranks_repeat_to_the_bit)
{
    plan p = {.run = "first",
              .settings = {"train.batch=6", "train.accumulate=6", "train.lanes=3",
                           "train.epochs=6"}};

    run_well(&p, 3);
    p.run = "again";
    run_well(&p, 3);
    same_ranks("first", "again");
    /* two ranks go on with three lanes: of six parts three each */
    rank_end ends[PEERS_MOST];
    p.resume = true;
    run_plan(ends, &p, 2);
    ck_assert_msg(ends[0].status == BASE_OK, "%s", ends[0].err.text);
    ck_assert_str_eq(ends[0].told,
                     "2 ranks do not divide 3 lanes: last bits will differ from "
                     "those of another number of ranks");
    run_plan(ends, &p, 3);
    ck_assert_str_eq(ends[0].told,
                     "3 lanes on 3 ranks, not both powers of two: last bits differ "
                     "from those of another number of ranks");
}
END_TEST

/* Two steps a line, a checkpoint after both: of both ranks the bytes since the line before,
 * the mean of the seconds waited, and who was busy longest, as a part of the middle one (of
 * two the lesser). */
START_TEST(what_ranks_did_is_told)
{
    plan p = {.run = "run",
              .settings = {"train.max_steps=4", "train.log_every=2", "train.eval_every=0"},
              .counted = true};
    char *path = base_text("%s/run/metrics.jsonl", dir), *text;
    int lines = 0;

    run_well(&p, 2);
    ck_assert_str_eq(phases, "LCLCXLCLCXSLCLCXLCLCXES");
    text = program_text(path);
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
        json_t *json = json_loadb(at, strcspn(at, "\n"), 0, NULL);
        const json_t *slowest = json_object_get(json, "slowest");
        if (strcmp(json_string_value(json_object_get(json, "kind")), "train") == 0) {
            const double steps = 2, images = steps * 4;
            ck_assert_double_eq(json_number_of(json, "ranks"), 2);
            /* each step asks twice: 200 and 400 bytes */
            ck_assert_double_eq(json_number_of(json, "sent_bytes"), steps * 600);
            /* and waits 500 and 1000 seconds, of so many that the steps took */
            const double seconds = images / json_number_of(json, "images_per_second");
            ck_assert_double_eq_tol(json_number_of(json, "waited") * seconds / steps, 750,
                                    1);
            ck_assert_double_eq(json_number_of(slowest, "rank"), 0);
            ck_assert_double_eq_tol(json_number_of(slowest, "busy"), 0.5, 0.2);
            lines++;
        }
        json_decref(json);
    }
    ck_assert_int_eq(lines, 2);
    base_free(text);
    base_free(path);
    /* whoever counts nothing has sent nothing and never waited */
    p.counted = false;
    p.run = "plain";
    run_well(&p, 2);
    path = base_text("%s/plain/metrics.jsonl", dir);
    text = program_text(path);
    json_t *json = json_loadb(text, strcspn(text, "\n"), 0, NULL);
    ck_assert_double_eq(json_number_of(json, "sent_bytes"), 0);
    ck_assert_double_eq(json_number_of(json, "waited"), 0);
    ck_assert_double_ge(json_number_of(json_object_get(json, "slowest"), "busy"), 1);
    json_decref(json);
    base_free(text);
    base_free(path);
}
END_TEST

/* Words that a rank fails with reach all, with its name. */
START_TEST(a_folder_that_cannot_be_written_ends_all)
{
    const plan p = {.run = "tiny.ini/run"}; /* in a file */
    rank_end ends[PEERS_MOST];

    run_plan(ends, &p, 2);
    for (size_t r = 0; r < 2; r++)
        ck_assert_msg(ends[r].status == BASE_IO, "rank %zu: %d %s", r, (int)ends[r].status,
                      ends[r].err.text);
    test_says(ends[1].err.text, "~rank 0 (");
}
END_TEST

START_TEST(ranks_that_do_not_fit_are_refused)
{
    const plan p = {.run = "run"};
    rank_end ends[PEERS_MOST];

    run_plan(ends, &p, 3);
    for (size_t r = 0; r < 3; r++) {
        ck_assert_int_eq(ends[r].status, BASE_USAGE);
        test_says(
            ends[r].err.text,
            "recipe 'tiny.ini': 3 ranks for a step of 4 parts, expected a number of ranks "
            "that divides 'train.accumulate'");
    }
}
END_TEST

START_TEST(ten_steps_that_are_not_finite_end_all_alike)
{
    const plan p = {.run = "run",
                    .settings = {"optimizer.lr=1000", "optimizer.name=sgd",
                                 "optimizer.clip=0", "schedule.warmup=1",
                                 "train.epochs=100"}};
    rank_end ends[PEERS_MOST];

    run_plan(ends, &p, 4);
    for (size_t r = 0; r < 4; r++) {
        ck_assert_msg(ends[r].status == BASE_NUMERIC, "%d: %s", (int)ends[r].status,
                      ends[r].err.text);
        ck_assert_str_eq(ends[r].err.text, ends[0].err.text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_ranks");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_set_timeout(core, 300);
    tcase_set_timeout(limits, 300);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_loop_test(core, the_files_are_those_of_one_rank, 0, CASES);
    tcase_add_test(core, a_stopped_run_goes_on_with_other_ranks);
    tcase_add_test(core, a_run_begins_with_the_weights_of_another);
    tcase_add_test(core, three_ranks_repeat_to_the_bit);
    tcase_add_test(core, what_ranks_did_is_told);
    tcase_add_test(limits, a_folder_that_cannot_be_written_ends_all);
    tcase_add_test(limits, ranks_that_do_not_fit_are_refused);
    tcase_add_test(limits, ten_steps_that_are_not_finite_end_all_alike);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
