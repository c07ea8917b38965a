/* test_train_recipe_limits.c - recipes at the edge: each key just within and just beyond
 * its range, combinations that just fit and just do not, texts as long as they may be, what
 * a network says of itself, how a stored recipe is read. */
#include <math.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_says.h"
#include "train/train.h"

static base_error err;

static train_recipe made(const char *const *settings)
{
    train_recipe r = train_recipe_defaults();
    const char *const small[] = {"model.size=vmoe-nano"};

    ck_assert_int_eq(train_recipe_set(&r, small, 1, &err), BASE_OK);
    for (; settings && *settings; settings++)
        ck_assert_msg(train_recipe_set(&r, settings, 1, &err) == BASE_OK, "%s", err.text);
    return r;
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static base_status resolve(train_recipe *r, const char *const *settings)
{
    const train_facts facts = {.classes = 10};

    *r = made(settings);
    err = (base_error){0};
    return train_recipe_resolve(r, &facts, &err);
}

/* ---- keys ---------------------------------------------------------------------------- */

static void key_is(const char *name, double value, bool good)
{
    const base_field *f = base_field_find(train_recipe_keys, name);
    char *text = base_text("%.17g", value), now[64], range[256];
    train_recipe r = train_recipe_defaults();
    const train_recipe before = r;

    err = (base_error){0};
    const base_status status = train_key_set(&r, train_recipe_keys, name, text, &err);
    ck_assert_msg((status == BASE_OK) == good, "%s = %s: %s", name, text, err.text);
    if (good) {
        double back = 0;
        base_field_text(now, sizeof now, &r, f);
        ck_assert(base_parse_real(&back, now));
        ck_assert_double_eq_tol(back, value, 1e-12 * fabs(value) + 1e-300);
    } else {
        char *want = base_text("'%s' is '%s', expected %s", name, text,
                               base_field_expected(range, sizeof range, f));
        ck_assert_int_eq(status, BASE_USAGE);
        ck_assert_str_eq(err.text, want);
        ck_assert_int_eq(memcmp(&before, &r, sizeof r), 0);
        base_free(want);
    }
    base_free(text);
}

START_TEST(each_number_has_its_range)
{
    size_t met = 0;

    for (const base_field *f = train_recipe_keys; f->name; f++) {
        if (f->kind != BASE_KIND_INT && f->kind != BASE_KIND_REAL)
            continue;
        const double step = f->kind == BASE_KIND_INT ? 1 : fmax(1e-9, 1e-6 * fabs(f->high));
        key_is(f->name, f->low, true);
        key_is(f->name, f->high, true);
        if (f->high < 9e15) /* the next whole number is no double */
            key_is(f->name, f->high + step, false);
        key_is(f->name,
               f->low - (f->kind == BASE_KIND_INT ? 1 : fmax(1e-13, 1e-6 * f->low)), false);
        met++;
    }
    ck_assert_uint_gt(met, 60);
}
END_TEST

/* ---- combinations -------------------------------------------------------------------- */

START_TEST(combinations_just_fit_or_are_refused_by_their_key)
{
    static const struct {
        const char *set[3], *words; /* NULL: it fits */
    } cases[] = {
        {{"augment.area_low=0.5", "augment.area_high=0.5"}, NULL},
        {{"augment.area_low=0.51", "augment.area_high=0.5"},
         "recipe 'defaults': 'augment.area_low' is 0.51, expected at most augment.area_high "
         "(0.5)"},
        {{"model.classes=10"}, NULL},
        {{"model.classes=2"}, NULL},
        {{"model.classes=1"},
         "recipe 'defaults': 'model.classes' is 1, expected at least 2 to train"},
        {{"train.batch=6", "train.accumulate=6"}, NULL},
        {{"train.batch=6", "train.accumulate=4"},
         "recipe 'defaults': 'train.accumulate' is 4, expected a divisor of train.batch (6)"},
        {{"train.batch=6", "train.accumulate=7"},
         "recipe 'defaults': 'train.accumulate' is 7, expected a divisor of train.batch (6)"},
        {{"train.accumulate=4", "train.lanes=4"}, NULL},
        {{"train.accumulate=4", "train.lanes=2"}, NULL},
        {{"train.accumulate=4", "train.lanes=3"},
         "recipe 'defaults': 'train.lanes' is 3, expected a divisor of train.accumulate (4)"},
        {{"optimizer.freeze=3"}, NULL},
        {{"optimizer.freeze=1"}, NULL},
        {{"optimizer.freeze=4"},
         "recipe 'defaults': 'optimizer.freeze' is '4', expected none, embedding, trunk or a "
         "number of blocks below 4"},
        {{"optimizer.freeze=0"},
         "recipe 'defaults': 'optimizer.freeze' is '0', expected none, embedding, trunk or a "
         "number of blocks below 4"},
        {{"optimizer.freeze=1.5"},
         "recipe 'defaults': 'optimizer.freeze' is '1.5', expected none, embedding, trunk or a "
         "number of blocks below 4"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_recipe r;
        const char *set[4] = {cases[i].set[0], cases[i].set[1], cases[i].set[2]};
        const base_status status = resolve(&r, set);
        ck_assert_msg((status == BASE_OK) == (cases[i].words == NULL), "%s: %s", set[0],
                      err.text);
        if (cases[i].words)
            ck_assert_str_eq(err.text, cases[i].words);
    }
}
END_TEST

/* What ranks say to parts and lanes. */
START_TEST(parts_are_whole_on_every_rank)
{
    static const struct {
        const char *set[3];
        size_t ranks;
        const char *words;
    } cases[] = {
        {{"train.batch=12", "train.accumulate=4"}, 4, NULL},
        {{"train.batch=12", "train.accumulate=4"}, 2, NULL},
        {{"train.batch=12", "train.accumulate=4", "train.lanes=3"},
         2,
         "recipe 'defaults': 'train.lanes' is 3, expected a divisor of train.accumulate (4)"},
        {{"train.batch=12", "train.accumulate=4"},
         3,
         "recipe 'defaults': 3 ranks for a step of 4 parts, expected a number of ranks that "
         "divides 'train.accumulate'; --set train.accumulate=3 makes parts of 4 images, whose "
         "routing statistics are those of 4 images"},
        {{"train.batch=12", "train.accumulate=4"},
         5,
         "recipe 'defaults': 5 ranks for a step of 4 parts, expected a number of ranks that "
         "divides 'train.accumulate'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *set[4] = {cases[i].set[0], cases[i].set[1], cases[i].set[2]};
        const train_facts facts = {.classes = 10, .ranks = cases[i].ranks};
        train_recipe r = made(set);
        const base_status status = train_recipe_resolve(&r, &facts, &err);
        ck_assert_msg((status == BASE_OK) == (cases[i].words == NULL), "%s", err.text);
        if (cases[i].words)
            ck_assert_str_eq(err.text, cases[i].words);
    }
}
END_TEST

/* Sides at which pictures begin to be photographs. */
START_TEST(sides_decide_about_crops_and_margins)
{
    static const struct {
        const char *set[2];
        int resize, crop;
    } cases[] = {
        {{"data.image=80"}, 80, DATA_CROP_PADDED},
        {{"data.image=96"}, 96, DATA_CROP_RANDOM},
        {{"data.image=112"}, 112, DATA_CROP_RANDOM},
        {{"data.image=128"}, 146, DATA_CROP_RANDOM},
        {{"data.image=224"}, 256, DATA_CROP_RANDOM},
        {{"data.image=336"}, 384, DATA_CROP_RANDOM},
        {{"data.image=128", "data.crop_mode=squash"}, 128, DATA_CROP_RANDOM},
        {{"data.image=128", "data.resize=0"}, 0, DATA_CROP_RANDOM},
        {{"data.image=128", "data.resize=130"}, 130, DATA_CROP_RANDOM},
        {{"data.image=80", "augment.crop=random"}, 80, DATA_CROP_RANDOM},
        {{"data.image=96", "augment.crop=padded"}, 96, DATA_CROP_PADDED},
        {{"data.image=96", "augment.crop=eval"}, 96, DATA_CROP_EVAL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_recipe r;
        const base_status status =
            resolve(&r, SET("model.patch=16", cases[i].set[0], cases[i].set[1]));
        ck_assert_msg(status == BASE_OK, "%s", err.text);
        ck_assert_msg(r.data.resize == cases[i].resize &&
                          r.config.resize == cases[i].resize,
                      "%s: %d", cases[i].set[0], r.data.resize);
        ck_assert_int_eq(r.augment.crop, cases[i].crop);
        ck_assert_int_eq(r.config.crop, r.config.image);
    }
    /* the side of a layer makes the resize of the layer below void, unless it has its
     * own */
    train_recipe r = made(SET("data.resize=40"));
    ck_assert_int_eq(train_recipe_set(&r, SET("data.image=64"), 1, &err), BASE_OK);
    ck_assert_int_eq(r.data.resize, -1);
    ck_assert_int_eq(train_recipe_set(&r, SET("data.image=64", "data.resize=70"), 2, &err),
                     BASE_OK);
    ck_assert_int_eq(r.data.resize, 70);
}
END_TEST

START_TEST(what_is_left_to_the_data_or_to_others_is_filled_in)
{
    train_recipe r;

    ck_assert_int_eq(resolve(&r, SET("train.batch=24", "train.accumulate=3")), BASE_OK);
    ck_assert_int_eq(r.train.eval_batch, 8);
    ck_assert_int_eq(r.train.lanes, 1);
    ck_assert_int_eq(r.config.classes, 10);
    ck_assert_int_eq(r.config.channels, 3);
    ck_assert_str_eq(r.config.interpolation, "bilinear");
    ck_assert_int_eq(resolve(&r, SET("train.eval_batch=5", "model.classes=12",
                                     "data.channels=1", "data.interpolation=bicubic")),
                     BASE_OK);
    ck_assert_int_eq(r.train.eval_batch, 5);
    ck_assert_int_eq(r.config.classes, 12);
    ck_assert_int_eq(r.config.channels, 1);
    ck_assert_str_eq(r.config.interpolation, "bicubic");
    for (size_t channels = 0; channels <= 4; channels++) {
        const train_facts facts = {.classes = 10, .uniform_channels = channels};
        r = made(NULL);
        ck_assert_int_eq(train_recipe_resolve(&r, &facts, &err), BASE_OK);
        ck_assert_int_eq(r.config.channels, channels == 1 ? 1 : 3);
    }
    ck_assert_int_eq(resolve(&r, SET("router.name=softmax", "router.k=2")), BASE_OK);
    ck_assert_int_eq(r.config.moe.k, 2);
    ck_assert_int_eq(resolve(&r, SET("router.k=2", "router.name=soft")), BASE_OK);
    ck_assert_int_eq(r.config.moe.k, 1);
}
END_TEST

/* ---- pixels -------------------------------------------------------------------------- */

START_TEST(pixels_are_names_or_numbers_in_their_range)
{
    static const struct {
        const char *text;
        bool std;
        int channels;
        bool good;
        float out[3];
    } cases[] = {
        {"imagenet", false, 3, true, {0.485f, 0.456f, 0.406f}},
        {"imagenet", true, 3, true, {0.229f, 0.224f, 0.225f}},
        {"half", false, 3, true, {0.5f, 0.5f, 0.5f}},
        {"half", true, 1, true, {0.5f, 0.5f, 0.5f}},
        {"cifar10", false, 3, true, {0.4914f, 0.4822f, 0.4465f}},
        {"cifar10", true, 3, true, {0.2470f, 0.2435f, 0.2616f}},
        {"fashion-mnist", false, 1, true, {0.2860f, 0.2860f, 0.2860f}},
        {"fashion-mnist", true, 1, true, {0.3530f, 0.3530f, 0.3530f}},
        {"0.25", false, 3, true, {0.25f, 0.25f, 0.25f}},
        {"0.25", false, 1, true, {0.25f, 0.25f, 0.25f}},
        {"0.25,0.5,0.75", false, 3, true, {0.25f, 0.5f, 0.75f}},
        {"0.25,0.5", false, 3, false, {0}},
        {"0.25,0.5,0.75,1", false, 3, false, {0}},
        {"0.25,0.5,0.75", false, 1, false, {0}},
        {"-1e6", false, 1, true, {-1e6f, -1e6f, -1e6f}},
        {"-1000001", false, 1, false, {0}},
        {"1e6", true, 1, true, {1e6f, 1e6f, 1e6f}},
        {"1000001", true, 1, false, {0}},
        {"1e-6", true, 1, true, {1e-6f, 1e-6f, 1e-6f}},
        {"9e-7", true, 1, false, {0}},
        {"0", true, 3, false, {0}},
        {"0", false, 3, true, {0, 0, 0}},
        {"", false, 3, false, {0}},
        {"other", false, 3, false, {0}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float out[3] = {0};
        const base_status status = train_pixels_parse(
            out, "--key", cases[i].text, cases[i].std, cases[i].channels, &err);
        ck_assert_msg((status == BASE_OK) == cases[i].good, "'%s': %s", cases[i].text,
                      err.text);
        if (cases[i].good) {
            ck_assert_mem_eq(out, cases[i].out, sizeof out);
            continue;
        }
        char *want =
            base_text("--key is '%s', expected imagenet, half, cifar10, fashion-mnist or "
                      "%d number%s%s",
                      cases[i].text, cases[i].channels, cases[i].channels == 1 ? "" : "s",
                      cases[i].std ? " above 0" : "");
        ck_assert_str_eq(err.text, want);
        base_free(want);
    }
}
END_TEST

/* ---- of a network -------------------------------------------------------------------- */

START_TEST(a_network_becomes_the_keys_of_a_recipe)
{
    static const struct {
        const char *layers, *text;
    } cases[] = {
        {"none", "none"}, {"every:2", "every:2"}, {"last:2", "last:2"}, {"0,1,2", "0,1,2"},
        {"4", "4"},       {"1,3,5", "every:2"},   {"3,5", "last:2"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_config c = vit_config_defaults();
        train_recipe r =
            made(SET("model.dropout=0.25", "model.drop_path=0.125", "router.dropout=0.5",
                     "router.experts=7", "data.workers=3"));
        c.depth = 6;
        c.classes = 77;
        c.channels = 1;
        c.resize = 41;
        c.dropout = c.drop_path = c.moe.dropout = 0.75;
        c.moe.experts = 5;
        c.mean[0] = 1.0f / 3;
        c.std[0] = 0.5f;
        snprintf(c.interpolation, sizeof c.interpolation, "bicubic");
        ck_assert_int_eq(vit_config_layers_set(&c, cases[i].layers, &err), BASE_OK);
        train_recipe_from(&r, &c, "the/word");
        ck_assert_str_eq(r.layers, cases[i].text);
        ck_assert_mem_eq(r.config.moe.layer, c.moe.layer, sizeof c.moe.layer);
        ck_assert_int_eq(r.config.classes, 0);
        ck_assert_double_eq(r.config.dropout, 0.25);
        ck_assert_double_eq(r.config.drop_path, 0.125);
        ck_assert_double_eq(r.config.moe.dropout, 0.5);
        ck_assert_int_eq(r.config.moe.experts,
                         strcmp(cases[i].layers, "none") == 0 ? 7 : 5);
        ck_assert_int_eq(r.data.channels, 1);
        ck_assert_int_eq(r.data.resize, 41);
        ck_assert_int_eq(r.data.workers, 3);
        ck_assert_str_eq(r.data.mean, "0.33333334");
        ck_assert_str_eq(r.data.std, "0.5");
        ck_assert_str_eq(data_filter_name((data_filter)r.data.interpolation), "bicubic");
        ck_assert_str_eq(r.init_from, "the/word");
    }
    vit_config c = vit_config_defaults();
    train_recipe r = made(NULL);
    train_recipe_from(&r, &c, "w");
    ck_assert_str_eq(r.data.mean, "0.485,0.456,0.406");
    ck_assert_str_eq(r.data.std, "0.229,0.224,0.225");
}
END_TEST

/* ---- texts --------------------------------------------------------------------------- */

static base_status parse(const char *text)
{
    train_recipe r = train_recipe_defaults();

    err = (base_error){0};
    return train_recipe_parse(&r, "x.ini", text, strlen(text), &err);
}

/* 197 characters of a line are read, 198 are too many; 512 keys, not one more. */
START_TEST(texts_are_as_long_as_they_may_be)
{
    char line[400] = "[data]\ntrain = ", want[128];

    for (size_t length = 190; length <= 205; length++) {
        memset(line + 15, 'a', 300);
        line[7 + length] = '\0';
        const base_status status = parse(line);
        if (length <= 197) {
            ck_assert_msg(status == BASE_OK, "%zu: %s", length, err.text);
            continue;
        }
        ck_assert_int_eq(status, BASE_USAGE);
        snprintf(want, sizeof want,
                 "'x.ini' line 2 has %zu characters, expected at most 197", length);
        ck_assert_str_eq(err.text, want);
    }
    for (int keys = 512; keys <= 513; keys++) {
        char *text = base_text("[train]\n");
        for (int i = 0; i < keys; i++) {
            char *more = base_text("%skey%d = 1\n", text, i);
            base_free(text);
            text = more;
        }
        ck_assert_int_eq(parse(text), BASE_USAGE);
        if (keys == 513)
            ck_assert_str_eq(err.text, "'x.ini' line 514: more than 512 keys");
        else
            test_says(
                err.text,
                "'x.ini' line 2: unknown key 'train.key0', the nearest is 'train.seed'");
        base_free(text);
    }
}
END_TEST

START_TEST(words_of_set_have_their_form)
{
    char section[80], name[80], value[TRAIN_TEXT + 8], *word;
    train_recipe r = train_recipe_defaults();

    memset(section, 's', sizeof section);
    memset(name, 'n', sizeof name);
    memset(value, 'v', sizeof value);
    static const struct {
        int section, name, value;
        bool form;
    } cases[] = {{63, 1, 1, true},         {64, 1, 1, false}, {1, 62, 1, true},
                 {1, 63, 1, false},        {0, 1, 1, false},  {1, 1, TRAIN_TEXT - 1, true},
                 {1, 1, TRAIN_TEXT, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        word = base_text("%.*s.%.*s=%.*s", cases[i].section, section, cases[i].name, name,
                         cases[i].value, value);
        const char *const words[] = {word};
        ck_assert_int_eq(train_recipe_set(&r, words, 1, &err), BASE_USAGE);
        const bool form = strstr(err.text, "unknown key") != NULL;
        ck_assert_msg(form == cases[i].form, "%s", err.text);
        if (!form)
            test_says(err.text, "~' is not of the form section.key=value");
        base_free(word);
    }
    word = base_text("data.train=%.*s", TRAIN_TEXT - 1, value);
    const char *const longest[] = {word};
    ck_assert_int_eq(train_recipe_set(&r, longest, 1, &err), BASE_OK);
    ck_assert_uint_eq(strlen(r.data.train), TRAIN_TEXT - 1);
    base_free(word);
}
END_TEST

/* The nearest key, of the recipe or of its router; other programs' words; whose a key
 * is. */
START_TEST(unknown_keys_are_told_with_what_was_meant)
{
    static const struct {
        const char *set[2], *words;
    } cases[] = {
        {{"router.name=ssr", "router.cosst=linear"},
         "--set: unknown key 'router.cosst', the nearest is 'router.cost'"},
        {{"router.name=ssr", "router.expert=4"},
         "--set: unknown key 'router.expert', the nearest is 'router.experts'"},
        {{"router.name=hash", "router.balance=0.5"},
         "--set: 'router.balance' is no key of the router 'hash', but of softmax"},
        {{"router.name=hash", "model.lr=1"},
         "--set: unknown key 'model.lr', the nearest is 'optimizer.lr'"},
        {{"router.name=hash", "train.top_k=1"},
         "--set: unknown key 'train.top_k', the nearest is 'router.k'"},
        {{"model.depth=5", "model.depthh=1"},
         "--set: unknown key 'model.depthh', the nearest is 'model.depth'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_recipe r = train_recipe_defaults();
        ck_assert_int_eq(train_recipe_set(&r, cases[i].set, 2, &err), BASE_USAGE);
        ck_assert_msg(strncmp(err.text, cases[i].words, strlen(cases[i].words)) == 0, "%s",
                      err.text);
    }
}
END_TEST

/* What inih would not read back stands in a comment. */
START_TEST(values_that_a_file_cannot_keep_are_not_written)
{
    static const struct {
        const char *value;
        bool kept;
    } cases[] = {{"plain", true},  {"a b", true},   {"a;b", true}, {"a ;b", false},
                 {"a\t;b", false}, {" a", false},   {"a ", false}, {";a", false},
                 {"a\nb", false},  {"a\rb", false}, {"", true}};
    char *dir = test_folder_make(), *path = test_path(dir, "r.ini"), longest[200];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0] + 2; i++) {
        const bool end = i >= sizeof cases / sizeof cases[0];
        const size_t length = 149 + (i == sizeof cases / sizeof cases[0] + 1);
        memset(longest, 'l', sizeof longest);
        longest[length] = '\0';
        const char *value = end ? longest : cases[i].value;
        const bool kept = end ? length < 150 : cases[i].kept;
        train_recipe r = made(NULL), again = train_recipe_defaults();
        char *text = NULL;
        size_t bytes = 0;

        snprintf(r.data.train, sizeof r.data.train, "%s", value);
        ck_assert_msg(train_recipe_save(&r, path, &err) == BASE_OK, "%s", err.text);
        ck_assert_msg(train_recipe_load(&again, path, &err) == BASE_OK, "%s", err.text);
        ck_assert_msg(strcmp(again.data.train, kept ? value : "") == 0, "'%s'", value);
        ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, &err), BASE_OK);
        ck_assert_int_eq(strstr(text, "; train cannot be kept in this file, give it on the "
                                      "command line\n") != NULL,
                         !kept);
        base_free(text);
    }
    base_free(path);
    test_folder_remove(dir);
}
END_TEST

START_TEST(a_stored_recipe_is_read_by_its_whole_keys)
{
    static const char stored[] =
        "train.epochs_more = 3\ntrain.epochs = 41\nx.train.epochs = 5\n"
        "train.max_steps = 9007199254740992\noptimizer.lr = \n"
        "data.train = a = b\n";
    int64_t epochs = 7, steps = 8;
    size_t length = 99;

    ck_assert_int_eq(
        strncmp(train_recipe_stored(&length, stored, "train.epochs"), "41\n", 3), 0);
    ck_assert_uint_eq(length, 2);
    ck_assert_ptr_nonnull(train_recipe_stored(&length, stored, "optimizer.lr"));
    ck_assert_uint_eq(length, 0);
    ck_assert_ptr_nonnull(train_recipe_stored(&length, stored, "data.train"));
    ck_assert_uint_eq(length, 5);
    ck_assert_ptr_null(train_recipe_stored(&length, stored, "train.epoch"));
    train_recipe_lengths(&epochs, &steps, stored);
    ck_assert_int_eq(epochs, 41);
    ck_assert_int_eq(steps, 9007199254740992);
    train_recipe_lengths(&epochs, &steps, "train.epochs = 3\n");
    ck_assert_int_eq(epochs, 3);
    ck_assert_int_eq(steps, 9007199254740992); /* as it was */
}
END_TEST

/* Every key that must be shared is compared; those that are free are not, lengths only when
 * they may not differ. */
START_TEST(each_key_of_a_stored_recipe_is_compared_or_free)
{
    size_t compared = 0, free_keys = 0;
    train_recipe r;

    ck_assert_int_eq(resolve(&r, SET(NULL)), BASE_OK);
    char *stored = train_recipe_fixed_text(&r);
    for (const base_field *f = train_recipe_keys; f->name; f++) {
        size_t length = 0;
        const char *at = train_recipe_stored(&length, stored, f->name);
        const bool length_key =
            strcmp(f->name, "train.epochs") == 0 || strcmp(f->name, "train.max_steps") == 0;
        if (f->free) {
            ck_assert_msg(at == NULL, "%s", f->name);
            free_keys++;
            continue;
        }
        ck_assert_msg(at != NULL, "%s", f->name);
        char *other = base_text("%.*s~%s", (int)(at - stored), stored, at + length);
        ck_assert_int_eq(train_recipe_compare(&r, other, false, &err), BASE_MISMATCH);
        char *want = base_text("'%s' was '~' when the run began and is '%.*s' now", f->name,
                               (int)length, at);
        ck_assert_str_eq(err.text, want);
        ck_assert_int_eq(train_recipe_compare(&r, other, true, &err),
                         length_key ? BASE_OK : BASE_MISMATCH);
        compared++;
        base_free(want);
        base_free(other);
    }
    ck_assert_uint_gt(compared, 80);
    ck_assert_uint_gt(free_keys, 8);
    ck_assert_int_eq(train_recipe_compare(&r, "", false, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, "the recipe that was stored is empty or cut");
    ck_assert_int_eq(train_recipe_compare(&r, "model.width = 64\n", false, &err),
                     BASE_FORMAT);
    base_free(stored);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_recipe_limits");
    TCase *core = test_case_of_threads("Core");

    tcase_add_test(core, each_number_has_its_range);
    tcase_add_test(core, combinations_just_fit_or_are_refused_by_their_key);
    tcase_add_test(core, parts_are_whole_on_every_rank);
    tcase_add_test(core, sides_decide_about_crops_and_margins);
    tcase_add_test(core, what_is_left_to_the_data_or_to_others_is_filled_in);
    tcase_add_test(core, pixels_are_names_or_numbers_in_their_range);
    tcase_add_test(core, a_network_becomes_the_keys_of_a_recipe);
    tcase_add_test(core, texts_are_as_long_as_they_may_be);
    tcase_add_test(core, words_of_set_have_their_form);
    tcase_add_test(core, unknown_keys_are_told_with_what_was_meant);
    tcase_add_test(core, values_that_a_file_cannot_keep_are_not_written);
    tcase_add_test(core, a_stored_recipe_is_read_by_its_whole_keys);
    tcase_add_test(core, each_key_of_a_stored_recipe_is_compared_or_free);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
