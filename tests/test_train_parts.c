/* test_train_parts.c - pieces of training that other commands use too: routers as variants
 * of a recipe, lines of metrics as curves, what a step costs, corruptions as
 * augmentation. */
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"

/* ---- variants ------------------------------------------------------------------------ */

/* All of them as text: LABEL ROUTER SETTING...; base_free. */
static char *told(const train_variants *v)
{
    char *out = base_text("%s", "");

    for (size_t i = 0; i < v->count; i++) {
        char *line = base_text("%s%s %s", out, v->variant[i].label, v->variant[i].router);
        base_free(out);
        for (size_t k = 0; k < v->variant[i].settings; k++) {
            char *more = base_text("%s %s", line, v->variant[i].setting[k]);
            base_free(line);
            line = more;
        }
        out = base_text("%s\n", line);
        base_free(line);
    }
    return out;
}

static void are(const train_variants *v, const char *want)
{
    char *got = told(v);

    ck_assert_str_eq(got, want);
    base_free(got);
}

START_TEST(words_become_routers_with_settings)
{
    static const struct {
        const char *list, *told, *words;
    } cases[] = {
        {"ssr", "ssr ssr\n", NULL},
        {"", "", NULL},
        {",ssr,,vmoe,", "ssr ssr\nvmoe vmoe\n", NULL},
        {"fast=ssr:p=0.01,vmoe:capacity=1.05:eval_capacity=4",
         "fast ssr router.p=0.01\n"
         "vmoe-capacity=1.05-eval_capacity=4 vmoe router.capacity=1.05 router.eval_capacity=4\n",
         NULL},
        {"a=ssr:layers=1,3,5,b=ssr:layers=every:2",
         "a ssr router.layers=1,3,5\nb ssr router.layers=every:2\n", NULL},
        {"x=y=softmax:k=1", "x=y softmax router.k=1\n", NULL},
        {"ssr,ssr", NULL, "'ssr' is there twice, tell them apart: label=router:key=value"},
        {"1st=ssr", NULL,
         "the label '1st' does not begin with a letter, expected [label=]router[:key=value ...]"},
        {"ssr:p", NULL, "'p' of the router 'ssr' is not of the form key=value"},
        {"ssr:=1", NULL, "'=1' of the router 'ssr' is not of the form key=value"},
        {"a=ssr:name=vmoe", NULL, "'name=vmoe' is no setting of a router"},
        {"none", NULL, "--routers: router.name 'none' is not one of "},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl=ssr", NULL,
         "'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl' is too long for a "
         "label, put a short one in front: label="},
        {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk=ssr",
         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk ssr\n", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_variants *v = base_alloc(1, sizeof *v);
        const base_status status = train_variants_add(v, "--routers", cases[i].list, &err);
        ck_assert_msg((status == BASE_OK) == (cases[i].told != NULL), "%s: %s",
                      cases[i].list, err.text);
        if (cases[i].told)
            are(v, cases[i].told);
        else
            ck_assert_msg(strncmp(err.text, cases[i].words, strlen(cases[i].words)) == 0,
                          "%s", err.text);
        base_free(v);
    }
}
END_TEST

/* 1,024 characters are a word, one more is none. */
START_TEST(a_word_has_its_longest)
{
    for (int more = 0; more <= 1; more++) {
        train_variants *v = base_alloc(1, sizeof *v);
        char *list = base_text("a=ssr:p=%0*d", 1016 + more, 0);
        char *want = base_text("--routers 'a=ssr:p=%032d...' is too long a word", 0);
        ck_assert_uint_eq(strlen(list), 1024 + more);
        ck_assert_int_eq(train_variants_add(v, "--routers", list, &err), BASE_USAGE);
        ck_assert_int_eq(strcmp(err.text, want) == 0, more);
        base_free(want);
        base_free(list);
        base_free(v);
    }
}
END_TEST

/* As many routers and settings as there is room for, and one more; a setting as long as it
 * may be. */
START_TEST(variants_are_as_many_as_there_is_room_for)
{
    for (int more = 0; more <= 1; more++) {
        train_variants *v = base_alloc(1, sizeof *v);
        char *list = base_text("a=ssr"), *long_one;
        base_status status = BASE_OK;

        for (int i = 0; i < TRAIN_SETTINGS_MAX + more; i++) {
            char *longer = base_text("%s:p=%d", list, i);
            base_free(list);
            list = longer;
        }
        status = train_variants_add(v, "--routers", list, &err);
        ck_assert_int_eq(status, more ? BASE_USAGE : BASE_OK);
        if (more)
            ck_assert_str_eq(err.text, "the router 'ssr' has more than 16 settings");
        else
            ck_assert_uint_eq(v->variant[0].settings, TRAIN_SETTINGS_MAX);
        if (!more) {
            ck_assert_int_eq(train_variants_grid(v, "--grid", "xi=1", &err), BASE_USAGE);
            ck_assert_str_eq(err.text, "--grid gives 'a' more than 16 settings");
        }
        v->count = 0;
        for (int i = 0; i < TRAIN_VARIANTS_MAX + more; i++) {
            char word[32];
            snprintf(word, sizeof word, "v%d=ssr", i);
            status = train_variants_add(v, "--routers", word, &err);
        }
        ck_assert_int_eq(status, more ? BASE_USAGE : BASE_OK);
        ck_assert_uint_eq(v->count, TRAIN_VARIANTS_MAX);
        if (more)
            ck_assert_str_eq(err.text, "--routers makes more than 64 routers");
        v->count = 0;
        long_one = base_text("l=ssr:p=%0*d", 86 + more, 0); /* 88 and 89 characters */
        ck_assert_int_eq(train_variants_add(v, "--routers", long_one, &err),
                         more ? BASE_USAGE : BASE_OK);
        if (!more)
            ck_assert_uint_eq(strlen(v->variant[0].setting[0]), 7 + 88);
        base_free(long_one);
        base_free(list);
        base_free(v);
    }
}
END_TEST

START_TEST(a_grid_gives_every_variant_each_value)
{
    train_variants *v = base_alloc(1, sizeof *v);

    ck_assert_int_eq(train_variants_add(v, "--routers", "ssr,b=vmoe:k=1", &err), BASE_OK);
    ck_assert_int_eq(train_variants_grid(v, "--grid", "k=1,2", &err), BASE_OK);
    are(v, "ssr-k=1 ssr router.k=1\nssr-k=2 ssr router.k=2\n"
           "b-k=1 vmoe router.k=1 router.k=1\nb-k=2 vmoe router.k=1 router.k=2\n");
    v->count = 1;
    ck_assert_int_eq(train_variants_grid(v, "--grid", "optimizer.lr=0.5", &err), BASE_OK);
    are(v, "ssr-k=1-optimizer.lr=0.5 ssr router.k=1 optimizer.lr=0.5\n");
    static const char *const wrong[][2] = {
        {"k", "--grid 'k' is not of the form KEY=V1,V2,..."},
        {"=1", "--grid '=1' is not of the form KEY=V1,V2,..."},
        {"k=", "--grid 'k=' is empty or too long for the label 'ssr-k=1-optimizer.lr=0.5'"},
        {"k=1,",
         "--grid 'k=' is empty or too long for the label 'ssr-k=1-optimizer.lr=0.5'"},
        {"k=1,1", "--grid makes 'ssr-k=1-optimizer.lr=0.5-k=1' twice"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(train_variants_grid(v, "--grid", wrong[i][0], &err), BASE_USAGE);
        ck_assert_str_eq(err.text, wrong[i][1]);
        are(v,
            "ssr-k=1-optimizer.lr=0.5 ssr router.k=1 optimizer.lr=0.5\n"); /* as it was */
    }
    /* a label of 63 letters in all fits, of 64 it does not: 24 + 3 of "-k=" and the
     * value */
    char longest[80];
    for (int more = 0; more <= 1; more++) {
        train_variants *w = base_alloc(1, sizeof *w);
        *w = *v;
        snprintf(longest, sizeof longest, "k=%0*d", 36 + more, 1);
        ck_assert_int_eq(train_variants_grid(w, "--grid", longest, &err),
                         more ? BASE_USAGE : BASE_OK);
        if (!more)
            ck_assert_uint_eq(strlen(w->variant[0].label), TRAIN_LABEL_BYTES - 1);
        base_free(w);
    }
    base_free(v);
}
END_TEST

/* Presets by their place among the choices; what is there already is left out. */
START_TEST(presets_are_lists_that_stand_for_words)
{
    static const char ablation[] =
        "ssr ssr\nssr-p=0 ssr router.p=0\nssr-p=0.01 ssr router.p=0.01\n"
        "ssr-p=0.1 ssr router.p=0.1\nssr-p=1 ssr router.p=1\nssr-noise=0 ssr router.noise=0\n"
        "ssr-noise=1 ssr router.noise=1\nssr-p=0.1-xi=0.5 ssr router.p=0.1 router.xi=0.5\n"
        "ssr-s ssr router.p=0.1 router.cost=softmax\n"
        "ssr-s-xi=1 ssr router.p=0.1 router.cost=softmax router.xi=1\n"
        "ssr-p=0.1-gradient=frozen ssr router.p=0.1 router.gradient=frozen\n"
        "ssr-p=0.1-gradient=none ssr router.p=0.1 router.gradient=none\n"
        "ssr-scope=group ssr router.p=0.1 router.scope=group router.group_images=8\n";
    static const char balancers[] =
        "softmax-0 softmax router.balance=0\nsoftmax softmax\nloss-free loss-free\n"
        "quantile quantile\nsinkhorn sinkhorn\nssr-l-80 ssr router.steps=80\n"
        "ssr-l-800 ssr router.steps=800\nssr-s-80 ssr router.cost=softmax router.steps=80\n"
        "ssr-s-800 ssr router.cost=softmax router.steps=800\nssr-0 ssr router.p=0\nvmoe vmoe\n"
        "expert-choice expert-choice\nsoft soft\nrandom random\nhash hash\n";
    train_variants *v = base_alloc(1, sizeof *v);
    char *names = base_text("%s", TRAIN_VARIANT_PRESETS);

    ck_assert_str_eq(names, "none|all|ssr-ablation|balancers|ssr-grid");
    base_free(names);
    ck_assert_int_eq(train_variants_preset(v, 0, &err), BASE_OK);
    are(v, "");
    ck_assert_int_eq(train_variants_preset(v, 2, &err), BASE_OK);
    are(v, ablation);
    ck_assert_int_eq(train_variants_preset(v, 2, &err), BASE_OK);
    are(v, ablation); /* nothing twice */
    v->count = 0;
    ck_assert_int_eq(train_variants_preset(v, 3, &err), BASE_OK);
    are(v, balancers);
    v->count = 0;
    ck_assert_int_eq(train_variants_preset(v, 4, &err), BASE_OK);
    ck_assert_uint_eq(v->count, 2 * 3 * 2);
    ck_assert_str_eq(v->variant[0].label, "ssr-cost=linear-noise=0.1-steps=80");
    ck_assert_str_eq(v->variant[11].label, "ssr-cost=softmax-noise=4-steps=800");
    v->count = 0;
    ck_assert_int_eq(train_variants_preset(v, 1, &err), BASE_OK);
    size_t routers = 0;
    while (vit_router_name(routers))
        routers++;
    ck_assert_uint_eq(v->count, routers + 2);
    for (size_t i = 0, r = 0; i < v->count; i++) {
        const train_variant *one = &v->variant[i];
        if (strncmp(one->label, "vmoe-", 5) == 0) {
            ck_assert_str_eq(one->setting[0], "router.capacity=1.05");
            ck_assert_str_eq(one->setting[1], "router.eval_capacity=4");
            ck_assert_uint_eq(one->settings, strcmp(one->label, "vmoe-bpr") == 0 ? 4 : 2);
            continue;
        }
        ck_assert_str_eq(one->router, vit_router_name(r));
        ck_assert_str_eq(one->label, vit_router_name(r++));
        ck_assert_str_eq(one->setting[0], "router.capacity=0");
        ck_assert_str_eq(one->setting[1], "router.eval_capacity=0");
    }
    base_free(v);
}
END_TEST

/* ---- curves -------------------------------------------------------------------------- */

static train_lines lines_of(const char *kind, const char *text)
{
    char *path = test_path(dir, "m.jsonl");
    train_lines lines;

    test_write(path, text, strlen(text));
    ck_assert_msg(train_lines_read(&lines, path, kind, &err) == BASE_OK, "%s", err.text);
    base_free(path);
    return lines;
}

/* Every column from a number of its own; layers as means, and each by its block. */
START_TEST(a_line_of_metrics_has_its_columns)
{
    static const char text[] =
        "{\"kind\":\"eval\",\"step\":3,\"loss\":1.5,\"accuracy\":0.25,\"sinkhorn_share\":0.125,"
        "\"epoch\":0.75,\"images\":12,\"best\":true,\"moe\":[{\"layer\":1,\"load_cv\":0.5,"
        "\"dead\":2,\"dropped\":0.25},{\"layer\":4,\"load_cv\":1.5,\"dead\":1,\"dropped\":0.75}]}\n"
        "{\"kind\":\"eval\",\"step\":4,\"loss\":null,\"best\":false,\"moe\":[{\"layer\":1,"
        "\"load_cv\":null}]}\n";
    static const double first[TRAIN_LINE_COLUMNS] = {
        [TRAIN_LINE_STEP] = 3,         [TRAIN_LINE_LOSS] = 1.5,
        [TRAIN_LINE_ACCURACY] = 0.25,  [TRAIN_LINE_CV] = 1,
        [TRAIN_LINE_DEAD] = 1.5,       [TRAIN_LINE_DROPPED] = 0.5,
        [TRAIN_LINE_SINKHORN] = 0.125, [TRAIN_LINE_EPOCH] = 0.75,
        [TRAIN_LINE_IMAGES] = 12,      [TRAIN_LINE_BEST] = 1};
    train_lines lines = lines_of("eval", text);

    ck_assert_uint_eq(lines.count, 2);
    ck_assert_mem_eq(lines.line[0].at, first, sizeof first);
    ck_assert_uint_eq(lines.layers, 2);
    ck_assert_int_eq(lines.block[0], 1);
    ck_assert_int_eq(lines.block[1], 4);
    ck_assert_double_eq(lines.cv[0], 0.5);
    ck_assert_double_eq(lines.cv[1], 1.5);
    for (size_t c = 0; c < TRAIN_LINE_COLUMNS; c++)
        ck_assert_msg(c == TRAIN_LINE_STEP || c == TRAIN_LINE_BEST ||
                          isnan(lines.line[1].at[c]),
                      "%zu", c);
    ck_assert_double_eq(lines.line[1].at[TRAIN_LINE_BEST], 0);
    ck_assert(isnan(lines.cv[2]) && isnan(lines.cv[3]));
    train_lines_destroy(&lines);
    ck_assert_ptr_null(lines.line);
    lines = lines_of("train", text);
    ck_assert_uint_eq(lines.count, 0);
    ck_assert_uint_eq(lines.layers, 0);
    train_lines_destroy(&lines);
    /* layers that come later: nothing of them before; what is no JSON ends the reading */
    lines =
        lines_of("train", "{\"kind\":\"train\",\"step\":1}\n{\"kind\":\"train\",\"step\":2,"
                          "\"moe\":[{\"layer\":3,\"load_cv\":0.5}]}\n{\"train\"\n"
                          "{\"kind\":\"train\",\"step\":3}\n");
    ck_assert_uint_eq(lines.count, 2);
    ck_assert_double_eq(lines.line[0].at[TRAIN_LINE_CV], 0); /* a dense network's */
    ck_assert(isnan(lines.cv[0]));
    ck_assert_double_eq(lines.cv[1], 0.5);
    ck_assert_int_eq(lines.block[0], 3);
    train_lines_destroy(&lines);
    lines = lines_of("train",
                     "{\"kind\":\"other\",\"of\":\"train\",\"step\":1}\n"
                     "{\"kind\":\"train\",\"step\":2}\n{\"kind\":\"train\",\"step\":3}");
    ck_assert_uint_eq(lines.count, 1); /* another kind with the word; half a line */
    ck_assert_double_eq(train_lines_last(&lines, TRAIN_LINE_STEP), 2);
    train_lines_destroy(&lines);
}
END_TEST

/* Seven lines in groups: by at most 7, 4, 3 and 1 lines. */
START_TEST(lines_are_thinned_to_means)
{
    static const struct {
        size_t most, count;
        double last, first;
    } cases[] = {{7, 7, 7, 1}, {9, 7, 7, 1},   {6, 4, 7, 1.5}, {4, 4, 7, 1.5},
                 {3, 3, 7, 2}, {2, 2, 6, 2.5}, {1, 1, 4, 4}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024] = "";
        for (int k = 1; k <= 7; k++)
            snprintf(
                text + strlen(text), sizeof text - strlen(text),
                "{\"kind\":\"train\",\"step\":%d,\"loss\":%d,\"moe\":[{\"load_cv\":%d},"
                "{\"load_cv\":%d}]}\n",
                k, 10 * k, k, 2 * k);
        train_lines lines = lines_of("train", text);
        train_lines_thin(&lines, cases[i].most);
        ck_assert_uint_eq(lines.count, cases[i].count);
        ck_assert_double_eq(lines.line[0].at[TRAIN_LINE_STEP], cases[i].first);
        ck_assert_double_eq(lines.line[0].at[TRAIN_LINE_LOSS], 10 * cases[i].first);
        ck_assert_double_eq(train_lines_last(&lines, TRAIN_LINE_STEP), cases[i].last);
        ck_assert_double_eq(lines.cv[2 * (lines.count - 1)], cases[i].last);
        ck_assert_double_eq(lines.cv[2 * (lines.count - 1) + 1], 2 * cases[i].last);
        train_lines_destroy(&lines);
    }
}
END_TEST

START_TEST(values_between_lines_lie_on_a_straight_line)
{
    static const double cases[][2] = {{2, 3},
                                      {2.5, 4},
                                      {4, 7},
                                      {9, 2},
                                      {9.5, 2},
                                      {6.5, 4.5},
                                      {1.5, (double)NAN},
                                      {9.6, (double)NAN}};
    train_lines lines = lines_of("train", "{\"kind\":\"train\",\"step\":2,\"loss\":3}\n"
                                          "{\"kind\":\"train\",\"step\":4,\"loss\":7}\n"
                                          "{\"kind\":\"train\",\"step\":9,\"loss\":2}\n");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double got = train_lines_at(&lines, TRAIN_LINE_LOSS, cases[i][0]);
        ck_assert_msg(isnan(cases[i][1]) ? isnan(got) : got == cases[i][1], "%g: %g",
                      cases[i][0], got);
    }
    ck_assert_double_eq(train_lines_sum(&lines, TRAIN_LINE_LOSS), 2 * 3 + 2 * 7 + 5 * 2);
    ck_assert_double_eq(train_lines_last(&lines, TRAIN_LINE_LOSS), 2);
    /* means over runs at the steps of the first that has lines */
    train_lines runs[3] = {{0},
                           lines,
                           lines_of("train",
                                    "{\"kind\":\"train\",\"step\":3,\"loss\":9}\n"
                                    "{\"kind\":\"train\",\"step\":4,\"loss\":1}\n"
                                    "{\"kind\":\"train\",\"step\":12,\"loss\":8}\n")};
    train_lines mean = train_lines_mean(runs, 3);
    ck_assert_uint_eq(mean.count, 3);
    ck_assert_double_eq(mean.line[0].at[TRAIN_LINE_LOSS], 3);
    ck_assert_double_eq(mean.line[1].at[TRAIN_LINE_LOSS], 4);
    ck_assert_double_eq(mean.line[2].at[TRAIN_LINE_LOSS], 2);
    ck_assert_double_eq(mean.line[2].at[TRAIN_LINE_STEP], 9);
    train_lines_destroy(&mean);
    mean = train_lines_mean(runs, 1);
    ck_assert_uint_eq(mean.count, 0);
    train_lines_destroy(&mean);
    train_lines_destroy(&runs[2]);
    train_lines_destroy(&lines);
}
END_TEST

/* ---- pace ---------------------------------------------------------------------------- */

typedef struct heard {
    size_t calls, fail_at;
} heard;

static base_status hear(void *user, size_t done, base_error *e)
{
    heard *h = user;

    ck_assert_uint_eq(done, ++h->calls);
    return done == h->fail_at ? base_fail(e, BASE_INTERRUPTED, "enough") : BASE_OK;
}

/* Each network makes each step; weights stay; a time of each round behind the warm-up. */
START_TEST(a_pace_is_measured_of_each_network_in_each_round)
{
    enum { ROUNDS = 4 };
    char *folder = test_path(dir, "run");
    train_trainer t = {0};
    heard h = {0};
    vit_model *models[2] = {NULL, NULL};
    double ms[2 * ROUNDS + 1];
    const train_recipe recipe = recipe_of(SET("train.accumulate=2"));
    const train_options options = {.folder = folder, .threads = 1};

    ck_assert_msg(train_trainer_plan(&t, &recipe, &options, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_uint_eq(t.part, 2);
    ck_assert_ptr_null(t.model);
    for (size_t i = 0; i < 2; i++) {
        vit_config config;
        train_recipe_network(&config, &t.recipe);
        ck_assert_int_eq(vit_model_create(&models[i], &config, &err), BASE_OK);
        vit_model_init(models[i], i);
    }
    const size_t floats = vit_model_floats(models[0]);
    float *before = base_alloc(floats, sizeof *before);
    memcpy(before, vit_model_weights_const(models[1]), floats * sizeof *before);
    for (size_t i = 0; i <= 2 * ROUNDS; i++)
        ms[i] = -7;
    ck_assert_int_eq(train_pace(ms, &t, models, 2, ROUNDS, hear, &h, &err), BASE_OK);
    ck_assert_uint_eq(h.calls, TRAIN_PACE_WARMUP + ROUNDS);
    for (size_t i = 0; i < 2 * ROUNDS; i++)
        ck_assert_double_gt(ms[i], 0);
    ck_assert_double_eq(ms[2 * ROUNDS], -7);
    ck_assert_mem_eq(before, vit_model_weights_const(models[1]), floats * sizeof *before);
    ck_assert_int_eq(train_pace(ms, &t, models, 2, ROUNDS, NULL, NULL, &err), BASE_OK);
    h = (heard){.fail_at = 2};
    ck_assert_int_eq(train_pace(ms, &t, models, 2, ROUNDS, hear, &h, &err),
                     BASE_INTERRUPTED);
    ck_assert_uint_eq(h.calls, 2);
    base_free(before);
    vit_model_destroy(models[0]);
    vit_model_destroy(models[1]);
    train_trainer_destroy(&t);
    base_free(folder);
}
END_TEST

/* ---- corruptions as augmentation ----------------------------------------------------- */

enum { SIDE = 8, DRAWS = 400 };

static train_augment *augment_of(const char *names, const char *severity,
                                 double probability, int64_t seed)
{
    train_recipe r = train_recipe_defaults();
    train_augment *out = NULL;

    r.config.image = SIDE;
    r.train.seed = seed;
    snprintf(r.corrupt.names, sizeof r.corrupt.names, "%s", names);
    snprintf(r.corrupt.severity, sizeof r.corrupt.severity, "%s", severity);
    r.corrupt.probability = probability;
    ck_assert_msg(train_augment_create(&out, &r, 2, &err) == BASE_OK, "%s", err.text);
    return out;
}

/* What becomes of one picture as sample i of an epoch. */
static void altered(unsigned char out[SIDE * SIDE * 3], train_augment *a, uint64_t epoch,
                    uint32_t sample, uint64_t copy, size_t channels)
{
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, SIDE, SIDE, channels, &err), BASE_OK);
    for (size_t i = 0; i < SIDE * SIDE * channels; i++)
        image.pixels[i] = (unsigned char)(40 + i * 5 % 160);
    ck_assert_int_eq(train_augment_alter(a, 1, &image, epoch, sample, copy, &err), BASE_OK);
    ck_assert_uint_eq(image.channels, channels);
    memcpy(out, image.pixels, SIDE * SIDE * channels);
    data_image_destroy(&image);
}

/* How many of many draws leave the picture as it is, and how many different ones there
 * are. */
static size_t counted(size_t *kinds, train_augment *a)
{
    static unsigned char seen[64][SIDE * SIDE * 3];
    unsigned char as_it_is[SIDE * SIDE * 3], now[SIDE * SIDE * 3];
    size_t same = 0;

    for (size_t i = 0; i < sizeof as_it_is; i++)
        as_it_is[i] = (unsigned char)(40 + i * 5 % 160);
    *kinds = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        altered(now, a, 3, i, 0, 3);
        if (memcmp(now, as_it_is, sizeof now) == 0) {
            same++;
            continue;
        }
        size_t k = 0;
        while (k < *kinds && memcmp(seen[k], now, sizeof now) != 0)
            k++;
        if (k == *kinds && *kinds < 64)
            memcpy(seen[(*kinds)++], now, sizeof now);
    }
    return same;
}

START_TEST(pictures_are_corrupted_as_often_and_as_hard_as_asked_for)
{
    static const struct {
        const char *names, *severity;
        double probability, share; /* of pictures left as they are */
        size_t kinds;
    } cases[] = {
        {"contrast", "3", 1, 0, 1},
        {"contrast", "1-5", 1, 0, 5},
        {"contrast", "1,5", 1, 0, 2},
        {"contrast,brightness", "2", 1, 0, 2},
        {"contrast", "3", 0.25, 0.75, 1},
        {"contrast", "3", 0, 1, 0},
        {"contrast,clean", "3", 1, 0.5, 1},
        {"contrast,brightness,clean", "3", 0.75, 0.5, 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_augment *a =
            augment_of(cases[i].names, cases[i].severity, cases[i].probability, 1);
        size_t kinds = 0;
        const double same = (double)counted(&kinds, a) / DRAWS,
                     spread = sqrt(cases[i].share * (1 - cases[i].share) / DRAWS);
        ck_assert_msg(fabs(same - cases[i].share) <= 4 * spread, "%s: %g", cases[i].names,
                      same);
        ck_assert_uint_eq(kinds, cases[i].kinds);
        train_augment_destroy(a);
    }
    train_recipe none = train_recipe_defaults();
    train_augment *a = (train_augment *)(uintptr_t)&none;
    ck_assert_int_eq(train_augment_create(&a, &none, 1, &err), BASE_OK);
    ck_assert_ptr_null(a);
    train_augment_destroy(NULL);
    snprintf(none.corrupt.names, sizeof none.corrupt.names, "fogg");
    ck_assert_int_eq(train_augment_create(&a, &none, 1, &err), BASE_USAGE);
    ck_assert_msg(strncmp(err.text, "recipe 'defaults': augment.corrupt: ", 36) == 0, "%s",
                  err.text);
}
END_TEST

/* The draws are those of seed, epoch, sample and copy, whoever works; noise is drawn anew;
 * grey pictures stay grey. */
START_TEST(corruptions_are_keyed_by_seed_epoch_sample_and_copy)
{
    static const struct {
        int64_t seed;
        uint64_t epoch;
        uint32_t sample;
        uint64_t copy;
    } keys[] = {{1, 0, 0, 0}, {2, 0, 0, 0}, {1, 1, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1}};
    unsigned char first[SIDE * SIDE * 3], now[SIDE * SIDE * 3];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        train_augment *a = augment_of("gaussian_noise", "3", 1, keys[i].seed);
        altered(i ? now : first, a, keys[i].epoch, keys[i].sample, keys[i].copy, 3);
        if (i > 0)
            ck_assert_msg(memcmp(first, now, sizeof now) != 0, "%zu", i);
        altered(now, a, 0, 0, 0, 3);
        ck_assert_int_eq(memcmp(first, now, sizeof now) == 0, keys[i].seed == 1);
        altered(now, a, 0, 0, 0, 1);
        train_augment_destroy(a);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_parts");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, words_become_routers_with_settings);
    tcase_add_test(core, a_word_has_its_longest);
    tcase_add_test(core, variants_are_as_many_as_there_is_room_for);
    tcase_add_test(core, a_grid_gives_every_variant_each_value);
    tcase_add_test(core, presets_are_lists_that_stand_for_words);
    tcase_add_test(core, a_line_of_metrics_has_its_columns);
    tcase_add_test(core, lines_are_thinned_to_means);
    tcase_add_test(core, values_between_lines_lie_on_a_straight_line);
    tcase_add_test(core, a_pace_is_measured_of_each_network_in_each_round);
    tcase_add_test(core, pictures_are_corrupted_as_often_and_as_hard_as_asked_for);
    tcase_add_test(core, corruptions_are_keyed_by_seed_epoch_sample_and_copy);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
