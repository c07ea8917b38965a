/* test_app_compare.c - vmoe compare as a user runs it: trainings that are taken over,
 * stopped, killed, refused; labels and presets. */
#include <math.h>

#include "apps/compare/internal.h"
#include "tests/test_run.h"
#include "tests/test_train.h"

#define SHORT "train.epochs=6"
/* What every comparison here is given; further words follow. */
#define COMPARE                                                                            \
    "compare", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1",        \
        "--no-evaluation", "--out"

/* A run of the comparison is what vmoe train makes of the same settings. */
static void same_as_trained(const char *run, const char *set, const char *seed)
{
    char *alone = test_path(dir, "alone");

    program_done(program_run(dir, TINY, alone, "--quiet", "--set", SHORT, set, seed, NULL));
    same_run("alone", run);
    same_metrics("alone", run);
    ck_assert_int_eq(base_folder_remove(alone, NULL), BASE_OK);
    base_free(alone);
}

START_TEST(every_router_is_trained_with_every_seed)
{
    char *out = test_path(dir, "cmp");

    program_done(program_run(dir, COMPARE, out, "--routers", "ssr,plain=softmax,soft",
                             "--seeds", "2", "--set", SHORT, NULL));
    /* soft has no k: what the recipe says of it is no difference */
    program_done(program_run(dir, COMPARE, out, "--routers", "soft", "--seeds", "2",
                             "--set", SHORT, "--no-train", NULL));
    same_as_trained("cmp/runs/ssr/seed-1", "router.name=ssr", "train.seed=1");
    same_as_trained("cmp/runs/plain/seed-2", "router.name=softmax", "train.seed=2");
    base_free(out);
}
END_TEST

/* The five photographs, as noise. */
static char *frost_make(void)
{
    static const char *const names[] = {"frost1.png", "frost2.png", "frost3.png",
                                        "frost4.jpg", "frost5.jpg"};
    char *folder = test_path(dir, "frost");
    base_rng rng = base_rng_make(4, BASE_PURPOSE_TEST, 0, 0, 0);
    data_image image = {0};

    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    ck_assert_int_eq(data_image_reserve(&image, 48, 40, 3, NULL), BASE_OK);
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        char *path = test_path(folder, names[f]);
        for (size_t i = 0; i < 48 * 40 * 3; i++)
            image.pixels[i] = (unsigned char)base_rng_below(&rng, 256);
        ck_assert_int_eq(data_png_write(path, &image, NULL), BASE_OK);
        base_free(path);
    }
    data_image_destroy(&image);
    return folder;
}

/* Which table of parameters and which frost: in the table and in the document; other
 * photographs are other results. */
START_TEST(table_and_frost_are_told)
{
    char *out = test_path(dir, "cmp"), *path = test_path(out, "compare.json");
    char *frost = frost_make(), *nowhere = test_path(dir, "nowhere");
#define MEASURED                                                                           \
    "compare", "--data", data, "--val", data, "--recipe", recipe, "--threads", "1",        \
        "--routers", "softmax", "--seeds", "1", "--set", SHORT, "--no-attack",             \
        "--no-timing", "--checkpoint", "best", "--out", out
    for (int originals = 0; originals < 2; originals++) {
        program_result r =
            program_run(dir, MEASURED, originals ? "--frost-dir" : NULL, frost, NULL);
        ck_assert_msg(r.code == 0, "%s", r.err);
        ck_assert_ptr_nonnull(strstr(r.out, "corruptions: table 32, the nearest to "));
        ck_assert_ptr_nonnull(
            strstr(r.out, originals ? "frost originals" : "frost procedural v1"));
        program_result_free(&r);
        json_t *json = program_json(path), *used = json_object_get(json, "corruptions");
        ck_assert_str_eq(json_string_value(json_object_get(used, "preset")), "32");
        ck_assert_double_ge(json_number_of(used, "preset_nearest_to"), 1);
        ck_assert_str_eq(json_string_value(json_object_get(used, "frost_textures")),
                         originals ? "originals" : "procedural v1");
        const json_t *entry = json_array_get(json_object_get(json, "entries"), 0);
        ck_assert(
            isfinite(json_number_of(json_object_get(entry, "corruption_errors"), "frost")));
        json_decref(json);
    }
    char *csv = test_path(out, "summary.csv"), *summary = program_text(csv);
    ck_assert_ptr_nonnull(strstr(summary, ",flops_mean,flops_std\n")); /* no attack */
    base_free(summary);
    base_free(csv);
    program_result r = program_run(dir, MEASURED, "--frost-dir", nowhere, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_msg(strstr(r.err, "frost1.png") || strstr(r.out, "frost1.png"), "%s", r.err);
    program_result_free(&r);
    base_free(frost);
    base_free(nowhere);
    base_free(path);
    base_free(out);
}
END_TEST

START_TEST(trainings_side_by_side_are_those_one_after_another)
{
    char *out = test_path(dir, "cmp");

    program_done(program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds", "2",
                             "--jobs", "3", "--pin", "--set", SHORT, NULL));
    same_as_trained("cmp/runs/softmax/seed-1", "router.name=softmax", "train.seed=1");
    same_as_trained("cmp/runs/ssr/seed-2", "router.name=ssr", "train.seed=2");
    base_free(out);
}
END_TEST

START_TEST(a_finished_run_is_taken_over)
{
    char *out = test_path(dir, "cmp"), *run = test_path(out, "runs/softmax/seed-1");
    char *log = test_path(out, "runs/softmax/seed-1.log");

    program_done(program_run(dir, TINY, run, "--quiet", "--set", SHORT,
                             "router.name=softmax", "train.seed=1", NULL));
    char *old = base_text("sed -i '/^lanes = 1$/d' %s/recipe.ini", run);
    ck_assert_int_eq(system(old), 0); /* as written before there were lanes */
    program_result r = program_run(dir, COMPARE, out, "--routers", "softmax,ssr", "--seeds",
                                   "1", "--set", SHORT, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.err, "1 of 2 runs are trained") != NULL, "%s", r.err);
    ck_assert(!test_exists(log)); /* nobody touched it */
    program_result_free(&r);
    base_free(old);
    base_free(log);
    base_free(run);
    base_free(out);
}
END_TEST

START_TEST(a_killed_comparison_goes_on_to_the_same_bytes)
{
    char *out = test_path(dir, "cmp"), *state;
    const char *const words[] = {COMPARE,  out, "--routers", "ssr,softmax", "--seeds", "1",
                                 "--jobs", "2", "--set",     SHORT,         NULL};

    state = test_path(out, "runs/softmax/seed-1/last/state.safetensors");
    const pid_t child = start(0, words);
    for (int i = 0; i < 5000 && !test_exists(state); i++)
        rest(0.002);
    kill(child, SIGKILL);
    ck_assert_int_eq(finish(child), -SIGKILL);
    program_done(program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds", "1",
                             "--set", SHORT, NULL));
    same_as_trained("cmp/runs/softmax/seed-1", "router.name=softmax", "train.seed=1");
    same_as_trained("cmp/runs/ssr/seed-1", "router.name=ssr", "train.seed=1");
    base_free(state);
    base_free(out);
}
END_TEST

START_TEST(a_stopped_comparison_writes_checkpoints_and_goes_on)
{
    char *out = test_path(dir, "cmp"), *metrics, *state, *talk, *text;
    const char *const words[] = {COMPARE,
                                 out,
                                 "--routers",
                                 "ssr",
                                 "--seeds",
                                 "1",
                                 "--set",
                                 "train.checkpoint_every=10000",
                                 "train.epochs=2000",
                                 NULL};

    metrics = test_path(out, "runs/ssr/seed-1/metrics.jsonl");
    state = test_path(out, "runs/ssr/seed-1/last/state.safetensors");
    const pid_t child = start(0, words);
    struct stat info = {0};
    for (int i = 0; i < 5000 && info.st_size == 0; i++) {
        rest(0.002);
        if (stat(metrics, &info) != 0)
            info.st_size = 0;
    }
    kill(child, SIGINT);
    ck_assert_int_eq(finish(child), 1);
    talk = test_path(dir, "started.txt");
    text = program_text(talk);
    ck_assert_msg(strstr(text, "stopped with 0 of 1 runs trained, the same command "
                               "goes on") != NULL,
                  "%s", text);
    ck_assert(test_exists(state));
    /* where it stands */
    program_result r = program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds",
                                   "1", "--set", "train.checkpoint_every=10000",
                                   "train.epochs=2000", "--no-train", NULL);
    ck_assert_msg(strstr(r.err, "2 routers, 1 seed, 6000 steps each: 0 of 2 runs are "
                                "trained, 1 begun\n") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    r = program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds", "1", "--set",
                    "train.checkpoint_every=10000", "train.epochs=2000", "--status", NULL);
    ck_assert_msg(strstr(r.out, "\n2 runs: 0 finished, 1 begun, 1 not begun\n") != NULL,
                  "%s", r.out);
    ck_assert_int_eq(strncmp(r.out,
                             "ssr seed 1                               begun      "
                             "step ",
                             57),
                     0);
    program_result_free(&r);
    base_free(text);
    base_free(talk);
    base_free(state);
    base_free(metrics);
    base_free(out);
}
END_TEST

/* One run is trained and one has begun. */
START_TEST(a_stopped_comparison_writes_what_is_known)
{
    char *out = test_path(dir, "cmp"), *trained = test_path(out, "runs/softmax/seed-1");
    char *metrics = test_path(out, "runs/ssr/seed-1/metrics.jsonl");
    char *results = test_path(out, "compare.json");
    const char *const words[] = {"compare",
                                 "--data",
                                 data,
                                 "--val",
                                 data,
                                 "--recipe",
                                 recipe,
                                 "--threads",
                                 "1",
                                 "--out",
                                 out,
                                 "--no-attack",
                                 "--no-timing",
                                 "--checkpoint",
                                 "best",
                                 "--routers",
                                 "softmax,ssr",
                                 "--seeds",
                                 "1",
                                 "--set",
                                 "train.epochs=200",
                                 NULL};
    struct stat info = {0};

    program_done(program_run(dir, TINY, trained, "--quiet", "--set", "train.epochs=200",
                             "router.name=softmax", "train.seed=1", NULL));
    const pid_t child = start(0, words);
    for (int i = 0; i < 5000 && info.st_size == 0; i++) {
        rest(0.002);
        if (stat(metrics, &info) != 0)
            info.st_size = 0;
    }
    kill(child, SIGINT);
    const int code = finish(child);
    char *talk = test_path(dir, "started.txt"), *text = program_text(talk);
    ck_assert(test_exists(results));
    if (code != 0) { /* else the second was quicker than we */
        ck_assert_ptr_nonnull(strstr(text, "stopped with 1 of 2 runs trained, the same "));
        ck_assert_ptr_nonnull(strstr(text, "- 1 not trained to the end yet\n"));
        ck_assert_ptr_nonnull(strstr(text, "- 1 trained, but not measured in full yet\n"));
    }
    base_free(text);
    base_free(talk);
    base_free(results);
    base_free(metrics);
    base_free(trained);
    base_free(out);
}
END_TEST

START_TEST(a_training_that_fails_does_not_lose_the_others)
{
    char *out = test_path(dir, "cmp");
    char *block =
        test_path(out, "runs/ssr/seed-1/metrics.jsonl"); /* where a file should be */

    ck_assert_int_eq(base_folder_make(block, NULL), BASE_OK);
    program_result r = program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds",
                                   "1", "--set", SHORT, NULL);
    ck_assert_msg(r.code == 1, "%s", r.err);
    ck_assert_msg(strstr(r.err, "ssr seed 1: cannot write '") != NULL, "%s", r.err);
    ck_assert_msg(strstr(r.err, "softmax seed 1: top-1") != NULL, "%s", r.err);
    ck_assert_msg(strstr(r.err, "1 of 2 runs failed, the first is ssr seed 1") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    /* its log has both ends now: the last one tells */
    char *last = test_path(out, "runs/ssr/seed-1/last");
    ck_assert_int_eq(rmdir(block), 0);
    test_write(last, "in the way", 10);
    r = program_run(dir, COMPARE, out, "--routers", "ssr,softmax", "--seeds", "1", "--set",
                    SHORT, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_msg(strstr(r.err, "seed-1/last") != NULL && !strstr(r.err, "metrics.jsonl"),
                  "%s", r.err);
    program_result_free(&r);
    base_free(last);
    base_free(block);
    base_free(out);
}
END_TEST

START_TEST(a_changed_recipe_is_refused_with_run_and_key)
{
    char *out = test_path(dir, "cmp");

    program_done(program_run(dir, COMPARE, out, "--routers", "ssr", "--seeds", "1", "--set",
                             "train.epochs=2", NULL));
    program_refused(program_run(dir, COMPARE, out, "--routers", "ssr", "--seeds", "1",
                                "--set", "train.epochs=2", "optimizer.lr=0.5", NULL),
                    1, "ssr seed 1 (");
    program_refused(program_run(dir, COMPARE, out, "--routers", "ssr", "--seeds", "1",
                                "--set", "train.epochs=2", "optimizer.lr=0.5", NULL),
                    1, "'optimizer.lr' was '0.003' when the run began and is '0.5' now");
    /* Under a label of before, but another router. */
    program_refused(program_run(dir, COMPARE, out, "--routers", "ssr=softmax", "--seeds",
                                "1", "--set", "train.epochs=2", NULL),
                    1, "'router.name' was 'ssr'");
    /* What does not change the result may change. */
    program_done(program_run(dir, COMPARE, out, "--routers", "ssr", "--seeds", "1", "--set",
                             "train.epochs=2", "train.log_every=7", NULL));
    base_free(out);
}
END_TEST

START_TEST(wrong_words_are_refused_before_a_folder_is_made)
{
    char *out = test_path(dir, "cmp");
    static const struct {
        const char *routers, *words;
    } wrong[] = {
        {"softmx", "'softmx' is not one of"},
        {"ssr,ssr", "'ssr' is there twice"},
        {"hot=ssr:p=2", "'hot': --set: router.p '2'"},
        {"softmax:p=0.5", "'router.p' is no key of the router 'softmax'"},
        {"softmax:cold", "'cold' of the router 'softmax' is not of the form key=value"},
        {"9=softmax", "does not begin with a letter"},
        {"softmax:name=ssr", "is no setting of a router"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        program_refused(program_run(dir, COMPARE, out, "--routers", wrong[i].routers, NULL),
                        2, wrong[i].words);
    program_refused(program_run(dir, COMPARE, out, NULL), 2, "--routers LIST or --preset");
    program_refused(
        program_run(dir, COMPARE, out, "--routers", "ssr", "--limit", "3", NULL), 2,
        "--limit means nothing here");
    program_refused(
        program_run(dir, COMPARE, out, "--routers", "ssr", "--set", "train.seed=3", NULL),
        2, "routers and seeds are those of --routers and --seeds");
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

START_TEST(words_become_entries)
{
    train_variants e = {0};

    ck_assert_int_eq(train_variants_add(&e, "--routers",
                                        "ssr,a=vmoe:capacity=1.05:bpr=true,"
                                        "softmax:layers=1,3:k=2,b=softmax:layers=every:2,"
                                        "x=1=ssr:p=0.1",
                                        NULL),
                     BASE_OK);
    ck_assert_uint_eq(e.count, 5);
    ck_assert_str_eq(e.variant[0].label, "ssr");
    ck_assert_uint_eq(e.variant[0].settings, 0);
    ck_assert_str_eq(e.variant[1].label, "a");
    ck_assert_str_eq(e.variant[1].router, "vmoe");
    ck_assert_str_eq(e.variant[1].setting[0], "router.capacity=1.05");
    ck_assert_str_eq(e.variant[1].setting[1], "router.bpr=true");
    ck_assert_str_eq(e.variant[2].label, "softmax-layers=1-3-k=2");
    ck_assert_str_eq(e.variant[2].setting[0], "router.layers=1,3");
    ck_assert_str_eq(e.variant[2].setting[1], "router.k=2");
    ck_assert_str_eq(e.variant[3].setting[0], "router.layers=every:2");
    ck_assert_str_eq(e.variant[4].label, "x=1");
    ck_assert_str_eq(e.variant[4].router, "ssr");
}
END_TEST

START_TEST(a_setting_is_taken_whole_or_refused)
{
    char words[160], setting[TRAIN_SETTING_BYTES];
    train_variants e = {0};

    snprintf(words, sizeof words, "a=ssr:p=0.%086d", 1);
    ck_assert_int_eq(train_variants_add(&e, "--routers", words, NULL), BASE_USAGE);
    snprintf(words, sizeof words, "a=ssr:p=0.%084d", 1);
    ck_assert_int_eq(train_variants_add(&e, "--routers", words, NULL), BASE_OK);
    snprintf(setting, sizeof setting, "router.p=0.%084d", 1);
    ck_assert_str_eq(e.variant[0].setting[0], setting);
}
END_TEST

START_TEST(presets_hold_every_router_and_the_ablations)
{
    train_variants e = {0};
    size_t routers = 0;

    while (vit_router_name(routers))
        routers++;
    ck_assert_int_eq(train_variants_preset(&e, 1, NULL), BASE_OK);
    ck_assert_uint_eq(e.count, routers + 2);
    e = (train_variants){0};
    ck_assert_int_eq(train_variants_add(&e, "--routers", "ssr", NULL), BASE_OK);
    ck_assert_int_eq(train_variants_preset(&e, 2, NULL), BASE_OK);
    ck_assert_uint_eq(e.count, 13);
    for (size_t i = 0; i < e.count; i++)
        ck_assert_str_eq(e.variant[i].router, "ssr");
    e = (train_variants){0};
    ck_assert_int_eq(train_variants_preset(&e, 3, NULL), BASE_OK);
    ck_assert_uint_eq(e.count, 15);
    ck_assert_str_eq(e.variant[0].label, "softmax-0");
    ck_assert_str_eq(e.variant[0].setting[0], "router.balance=0");
    e = (train_variants){0};
    ck_assert_int_eq(train_variants_preset(&e, 4, NULL), BASE_OK);
    ck_assert_uint_eq(e.count, 2 * 3 * 2);
    ck_assert_str_eq(e.variant[11].label, "ssr-cost=softmax-noise=4-steps=800");
    ck_assert_str_eq(e.variant[11].setting[2], "router.steps=800");
}
END_TEST

START_TEST(a_grid_multiplies_what_is_there)
{
    static const char *const bad[] = {"noise", "=1", "noise=", "noise=1,,2", "noise=1,1"};
    train_variants e = {0};

    ck_assert_int_eq(train_variants_add(&e, "--routers", "a=softmax,b=vmoe:k=1", NULL),
                     BASE_OK);
    ck_assert_int_eq(train_variants_grid(&e, "--grid", "noise=0,0.5", NULL), BASE_OK);
    ck_assert_int_eq(train_variants_grid(&e, "--grid", "optimizer.lr=0.1", NULL), BASE_OK);
    ck_assert_uint_eq(e.count, 4);
    ck_assert_str_eq(e.variant[1].label, "a-noise=0.5-optimizer.lr=0.1");
    ck_assert_str_eq(e.variant[3].router, "vmoe");
    ck_assert_str_eq(e.variant[3].setting[0], "router.k=1");
    ck_assert_str_eq(e.variant[3].setting[1], "router.noise=0.5");
    ck_assert_str_eq(e.variant[3].setting[2], "optimizer.lr=0.1");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        ck_assert_int_eq(train_variants_grid(&e, "--grid", bad[i], &err), BASE_USAGE);
        ck_assert_msg(strncmp(err.text, i < 4 ? "--grid '" : "--grid makes 'a-", 8) == 0,
                      "%s", err.text);
        ck_assert_uint_eq(e.count, 4);
    }
}
END_TEST

START_TEST(a_grid_says_what_is_too_much)
{
    train_variants e = {0};
    base_error err = {0};

    ck_assert_int_eq(train_variants_add(&e, "--routers",
                                        "a=ssr:a=1:b=1:c=1:d=1:e=1:f=1:g=1:h=1:i=1:j=1:k=1:"
                                        "l=1:m=1:n=1:o=1:p=1",
                                        NULL),
                     BASE_OK);
    ck_assert_int_eq(train_variants_grid(&e, "--grid", "q=1", &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "--grid gives 'a' more than 16 settings");
    e = (train_variants){0};
    ck_assert_int_eq(train_variants_add(&e, "--routers", "a=ssr", NULL), BASE_OK);
    ck_assert_int_eq(train_variants_grid(&e, "--grid", "x=0,1,2,3,4,5,6,7", NULL), BASE_OK);
    ck_assert_int_eq(train_variants_grid(&e, "--grid", "y=0,1,2,3,4,5,6,7,8", &err),
                     BASE_USAGE);
    ck_assert_str_eq(err.text, "--grid makes more than 64 routers");
    ck_assert_uint_eq(e.count, 8);
}
END_TEST

START_TEST(a_grid_is_of_the_routers_that_are_named)
{
    char *out = test_path(dir, "cmp");

    program_result r =
        program_run(dir, COMPARE, out, "--status", "--routers", "ssr,a=softmax", "--grid",
                    "noise=0.1,1", "k=1,2", "--preset", "none", NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.out, "ssr-noise=0.1-k=2 seed 3"));
    ck_assert_ptr_nonnull(strstr(r.out, "a-noise=1-k=1 seed 1"));
    ck_assert_ptr_nonnull(strstr(r.out, "24 runs: 0 finished"));
    program_result_free(&r);
    program_refused(program_run(dir, COMPARE, out, "--status", "--preset", "balancers",
                                "--grid", "noise=0.1,1", NULL),
                    2, "--grid is of --routers");
    ck_assert(!test_exists(out));
    base_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_compare");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, every_router_is_trained_with_every_seed);
    tcase_add_test(core, table_and_frost_are_told);
    tcase_add_test(core, trainings_side_by_side_are_those_one_after_another);
    tcase_add_test(core, a_finished_run_is_taken_over);
    tcase_add_test(core, a_killed_comparison_goes_on_to_the_same_bytes);
    tcase_add_test(core, a_stopped_comparison_writes_checkpoints_and_goes_on);
    tcase_add_test(core, a_stopped_comparison_writes_what_is_known);
    tcase_add_test(core, a_training_that_fails_does_not_lose_the_others);
    tcase_add_test(core, words_become_entries);
    tcase_add_test(core, a_setting_is_taken_whole_or_refused);
    tcase_add_test(core, presets_hold_every_router_and_the_ablations);
    tcase_add_test(core, a_grid_multiplies_what_is_there);
    tcase_add_test(core, a_grid_says_what_is_too_much);
    tcase_add_test(core, a_grid_is_of_the_routers_that_are_named);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_changed_recipe_is_refused_with_run_and_key);
    tcase_add_test(limits, wrong_words_are_refused_before_a_folder_is_made);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
