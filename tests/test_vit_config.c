/* test_vit_config.c - named sizes, blocks with experts, refusals, JSON there and back. */
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

/* The blocks with experts as "1 3 5". */
static const char *layers_text(char out[256], const vit_config *config)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < VIT_DEPTH_MAX; i++)
        if (config->moe.layer[i])
            used += (size_t)snprintf(out + used, 256 - used, used ? " %d" : "%d", i);
    return out;
}

START_TEST(what_is_not_said_is_as_documented)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f},
                       std[3] = {0.229f, 0.224f, 0.225f};
    const vit_config c = vit_config_defaults();

    ck_assert(c.channels == 3 && c.classes == 1000 && c.eps == 1e-6);
    ck_assert(c.moe.experts == 8 && c.moe.k == 2 && c.moe.capacity_multiple == 4);
    ck_assert_str_eq(c.moe.router.name, "ssr");
    ck_assert_str_eq(c.interpolation, "bilinear");
    ck_assert_mem_eq(c.mean, mean, sizeof mean);
    ck_assert_mem_eq(c.std, std, sizeof std);
    ck_assert(c.image == 224 && c.patch == 16 && c.width == 192 && c.depth == 12 &&
              c.heads == 3 && c.mlp == 768); /* ti16 */
}
END_TEST

START_TEST(every_named_size_makes_a_network)
{
    for (size_t i = 0; vit_config_name(i); i++) {
        base_error err = {0};
        vit_config config = vit_config_defaults();
        vit_model *model = NULL;
        must(vit_config_select(&config, vit_config_name(i), &err), &err);
        must(vit_model_plan(&model, &config, &err), &err);
        ck_assert_str_eq(config.name, vit_config_name(i));
        ck_assert(vit_config_is_sparse(&config) == (strncmp(config.name, "vmoe-", 5) == 0));
        vit_model_destroy(model);
    }
    ck_assert_ptr_null(vit_config_name(12));
}
END_TEST

/* Dosovitskiy et al. 2021, Touvron et al. 2021, Riquelme et al. 2021, and our two small
 * ones. */
START_TEST(named_sizes_are_the_published_ones)
{
    static const struct {
        const char *name;
        int image, patch, width, depth, heads, mlp, resize;
        const char *layers;
    } known[] = {
        {"nano", 32, 4, 96, 4, 3, 192, 32, "1 3"},
        {"micro", 32, 4, 192, 6, 3, 768, 32, "1 3 5"},
        {"ti16", 224, 16, 192, 12, 3, 768, 256, "1 3 5 7 9 11"},
        {"s32", 224, 32, 512, 8, 8, 2048, 256, "5 7"},
        {"s16", 224, 16, 384, 12, 6, 1536, 256, "1 3 5 7 9 11"},
        {"b16", 224, 16, 768, 12, 12, 3072, 256, "1 3 5 7 9 11"},
    };
    enum { KNOWN = sizeof known / sizeof known[0] };

    for (size_t i = 0; i < 2 * (size_t)KNOWN; i++) {
        const bool sparse = i < KNOWN;
        const size_t k = i % KNOWN;
        base_error err = {0};
        char name[32], found[256];
        vit_config c = vit_config_defaults();
        snprintf(name, sizeof name, "%s-%s", sparse ? "vmoe" : "vit", known[k].name);
        ck_assert_str_eq(vit_config_name(i), name);
        c.classes = 7;
        c.channels = 1;
        c.mean[0] = 0.25f;
        c.moe.experts = 3;
        c.moe.k = 1;
        c.moe.layer[0] = true; /* of before */
        must(vit_config_select(&c, name, &err), &err);
        ck_assert_str_eq(c.name, name);
        ck_assert_int_eq(c.image, known[k].image);
        ck_assert_int_eq(c.crop, known[k].image);
        ck_assert_int_eq(c.resize, known[k].resize);
        ck_assert_int_eq(c.patch, known[k].patch);
        ck_assert_int_eq(c.width, known[k].width);
        ck_assert_int_eq(c.depth, known[k].depth);
        ck_assert_int_eq(c.heads, known[k].heads);
        ck_assert_int_eq(c.mlp, known[k].mlp);
        ck_assert_str_eq(layers_text(found, &c), sparse ? known[k].layers : "");
        ck_assert(c.moe.experts == 8 && c.moe.k == 2);
        ck_assert(c.classes == 7 && c.channels == 1 && c.mean[0] == 0.25f);
    }
    ck_assert_ptr_null(vit_config_name(2 * (size_t)KNOWN));
}
END_TEST

/* Tokens before the patches and all of them: the class token unless the mean is over a
 * network without one, and the registers. */
START_TEST(tokens_are_those_of_the_grid_and_those_before_it)
{
    static const size_t before[] = {
        [VIT_POOL_TOKEN] = 1, [VIT_POOL_GAP] = 0, [VIT_POOL_PATCHES] = 1};
    vit_config c = vit_config_defaults();

    for (int pool = VIT_POOL_TOKEN; pool <= VIT_POOL_PATCHES; pool++)
        for (int registers = 0; registers < 5; registers += 4) {
            c.pool = (vit_pool)pool;
            c.registers = registers;
            ck_assert_uint_eq(vit_config_prefix(&c), before[pool] + (size_t)registers);
            ck_assert_uint_eq(vit_config_tokens(&c), vit_config_prefix(&c) + 14 * 14);
        }
}
END_TEST

START_TEST(only_blocks_of_the_network_make_it_sparse)
{
    vit_config c = vit_config_defaults();

    ck_assert(!vit_config_is_sparse(&c));
    c.moe.layer[c.depth] = true; /* behind the last one */
    ck_assert(!vit_config_is_sparse(&c));
    c.moe.layer[c.depth - 1] = true;
    ck_assert(vit_config_is_sparse(&c));
    c = vit_config_defaults();
    c.moe.layer[0] = true;
    ck_assert(vit_config_is_sparse(&c));
    c.depth = VIT_DEPTH_MAX + 9; /* is_sparse comes before the check */
    c.moe.layer[0] = false;
    ck_assert(!vit_config_is_sparse(&c));
    c.depth = 0;
    c.moe.layer[0] = true;
    ck_assert(!vit_config_is_sparse(&c));
}
END_TEST

START_TEST(layers_follow_the_published_placement)
{
    static const struct {
        int depth;
        const char *text, *layers;
    } known[] = {
        {8, "last:2", "5 7"},            /* V-MoE S/32 */
        {12, "every:2", "1 3 5 7 9 11"}, /* V-MoE B/16 */
        {12, "every:1", "0 1 2 3 4 5 6 7 8 9 10 11"},
        {7, "every:3", "2 5"},
        {7, "last:3", "1 3 5"},
        {12, "1,3,11", "1 3 11"},
        {12, "5,0", "0 5"},
        {12, "none", ""},
        {1, "every:1", "0"},
        {1, "0", "0"},
        {2, "last:1", "1"},
        {64, "every:32", "31 63"},
        {64, "last:2", "61 63"},
        {64, "63", "63"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        base_error err = {0};
        char found[256];
        vit_config config = vit_config_defaults();
        config.depth = known[i].depth;
        must(vit_config_layers_set(&config, known[i].text, &err), &err);
        ck_assert_str_eq(layers_text(found, &config), known[i].layers);
    }
}
END_TEST

static void expect_same_config(const vit_config *a, const vit_config *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_str_eq(a->interpolation, b->interpolation);
    ck_assert_mem_eq(a->mean, b->mean, sizeof a->mean);
    ck_assert_mem_eq(a->std, b->std, sizeof a->std);
    ck_assert(a->image == b->image && a->channels == b->channels && a->patch == b->patch);
    ck_assert(a->width == b->width && a->depth == b->depth && a->heads == b->heads);
    ck_assert(a->mlp == b->mlp && a->classes == b->classes && a->pool == b->pool);
    ck_assert(a->gelu == b->gelu && a->position == b->position && a->init == b->init);
    ck_assert(a->dropout == b->dropout && a->drop_path == b->drop_path && a->eps == b->eps);
    ck_assert(a->registers == b->registers && a->prelogits == b->prelogits);
    ck_assert(a->fc_norm == b->fc_norm && a->pre_norm == b->pre_norm);
    ck_assert(a->qk_norm == b->qk_norm && a->resize == b->resize && a->crop == b->crop);
    ck_assert_int_eq(a->crop_mode, b->crop_mode);
    ck_assert_mem_eq(a->moe.layer, b->moe.layer, sizeof a->moe.layer);
    ck_assert(a->moe.experts == b->moe.experts && a->moe.k == b->moe.k);
    ck_assert(a->moe.capacity == b->moe.capacity);
    ck_assert(a->moe.eval_capacity == b->moe.eval_capacity);
    ck_assert_int_eq(a->moe.capacity_multiple, b->moe.capacity_multiple);
    ck_assert(a->moe.bpr == b->moe.bpr && a->moe.eval_bpr == b->moe.eval_bpr);
    ck_assert_int_eq(a->moe.group_images, b->moe.group_images);
    ck_assert(a->moe.dropout == b->moe.dropout && a->moe.shared == b->moe.shared);
}

/* Everything away from its default, through JSON and back. */
START_TEST(json_keeps_every_setting)
{
    static const char *const labels[] = {"cat", "n\"02", "g\xc3\xa9nu"};
    base_error err = {0};
    vit_config config = test_sparse_config();
    vit_config back;
    char **label = NULL;

    config.channels = 1;
    config.mean[0] = 0.2860f;
    config.std[0] = 1.0f / 3;
    config.pool = VIT_POOL_GAP;
    config.gelu = VIT_GELU_TANH;
    config.position = VIT_POSITION_SINCOS;
    config.init = VIT_INIT_VMOE;
    config.dropout = 0.1;
    config.drop_path = 1.0 / 3;
    config.eps = 3e-5;
    config.registers = 2;
    config.prelogits = 5;
    config.fc_norm = config.pre_norm = config.qk_norm = true;
    config.crop_mode = VIT_CROP_SQUASH;
    config.resize = 9;
    snprintf(config.name, sizeof config.name, "mine");
    snprintf(config.interpolation, sizeof config.interpolation, "bicubic");
    config.moe.capacity = 1.05;
    config.moe.eval_capacity = 4;
    config.moe.capacity_multiple = 1;
    config.moe.bpr = config.moe.eval_bpr = true;
    config.moe.group_images = 8;
    config.moe.dropout = 0.2;
    config.moe.shared = 3;
    must(vit_router_select(&config.moe.router, "ssr", &err), &err);
    must(vit_router_set(&config.moe.router, "p", "0.0123456789012345678", &err), &err);
    must(vit_router_set(&config.moe.router, "cost", "softmax", &err), &err);
    must(vit_router_set(&config.moe.router, "max_iter", "77", &err), &err);
    vit_model *model = test_model(&config, 1);
    must(vit_model_labels_set(model, labels, 3, &err), &err);
    char *text = vit_model_config_json(model);
    must(vit_config_from_json(&back, &label, text, &err), &err);
    vit_model *again = NULL;
    must(vit_model_create(&again, &back, &err), &err);
    must(vit_model_labels_set(again, (const char *const *)label, 3, &err), &err);
    char *same = vit_model_config_json(again);
    ck_assert_str_eq(text, same);
    expect_same_config(&back, &config);
    ck_assert_mem_eq(&back.moe.router, &config.moe.router, sizeof back.moe.router);
    ck_assert_str_eq(vit_model_label(again, 2), labels[2]);
    vit_labels_free(label, 3);
    base_free(same);
    base_free(text);
    vit_model_destroy(again);
    vit_model_destroy(model);
}
END_TEST

START_TEST(json_spells_numbers_as_short_as_they_are)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    char *text = vit_model_config_json(model);

    ck_assert_msg(strstr(text, "\"mean\":[0.485,0.456,0.406]") != NULL, "%s", text);
    base_free(text);
    vit_model_destroy(model);
}
END_TEST

/* Keys are a contract with everyone who reads our files. */
START_TEST(json_has_the_keys_of_the_contract)
{
    static const char *const labels[] = {"a\xffz", "b", "c"};
    static const char expected[] =
        "{\"name\":\"\",\"image\":8,\"channels\":3,\"patch\":4,\"width\":8,\"depth\":2,"
        "\"heads\":2,\"mlp\":12,\"classes\":3,\"pool\":\"patches\",\"gelu\":\"erf\","
        "\"position\":\"learned\",\"init\":\"timm\",\"dropout\":0.0,\"drop_path\":0.0,"
        "\"eps\":1e-6,\"registers\":0,\"prelogits\":0,\"fc_norm\":false,"
        "\"pre_norm\":false,\"qk_norm\":false,\"interpolation\":\"bilinear\",\"resize\":0,"
        "\"crop\":8,\"crop_mode\":\"center\",\"mean\":[0.485,0.456,0.406],"
        "\"std\":[0.229,0.224,0.225],\"moe\":{\"layers\":[1],\"experts\":4,\"k\":2,"
        "\"capacity\":0.0,\"eval_capacity\":0.0,\"capacity_multiple\":4,\"bpr\":false,"
        "\"eval_bpr\":false,\"group_images\":0,\"dropout\":0.0,\"shared\":0,"
        "\"router\":{\"name\":\"ssr\",\"p\":0.001,\"steps\":0.0,\"cost\":\"linear\","
        "\"max_iter\":100,\"delta\":0.0001,\"init\":\"zero\",\"noise\":0.1,"
        "\"noise_ot\":\"cost\",\"gradient\":\"exact\",\"scope\":\"global\"}},"
        "\"labels\":[\"a\\\\xffz\",\"b\",\"c\"]}"; /* no UTF-8: by number; xi auto: left out */
    base_error err = {0};
    vit_config config = test_sparse_config();

    must(vit_router_select(&config.moe.router, "ssr", &err), &err);
    config.pool = VIT_POOL_PATCHES;
    vit_model *model = test_model(&config, 1);
    must(vit_model_labels_set(model, labels, 3, &err), &err);
    char *text = vit_model_config_json(model);
    ck_assert_str_eq(text, expected);
    base_free(text);
    vit_model_destroy(model);
}
END_TEST

START_TEST(json_needs_only_the_sizes)
{
    base_error err = {0};
    vit_config config;
    char **label = NULL;

    must(vit_config_from_json(&config, &label,
                              "{\"image\":32,\"channels\":3,\"patch\":4,\"width\":96,"
                              "\"depth\":4,\"heads\":3,\"mlp\":192,\"classes\":10}",
                              &err),
         &err);
    ck_assert_int_eq(config.crop, 32);
    ck_assert_int_eq(config.resize, 0);
    ck_assert(!vit_config_is_sparse(&config));
    ck_assert_ptr_null(label);
}
END_TEST

START_TEST(unknown_names_and_layers_are_refused)
{
    static const char *const bad[] = {
        "every:0", "every:13", "last:7", "last:x",           "1,12", "1,1", "",
        "1,",      "-1",       "every",  "1,3,5,7,123456789"};
    base_error err = {0};
    vit_config config = vit_config_defaults();
    const vit_config before = config;

    test_refused(vit_config_select(&config, "vmoe-nona", &err), BASE_USAGE, &err,
                 "no network is named 'vmoe-nona', did you mean 'vmoe-nano'");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char words[256];
        ck_assert_int_eq(vit_config_layers_set(&config, bad[i], &err), BASE_USAGE);
        snprintf(words, sizeof words,
                 "'moe.layers' is '%s', expected none, every:N with N from 1 to 12, last:N "
                 "with N from 1 to 6, or blocks from 0 to 11 as in 1,3,5",
                 bad[i]);
        ck_assert_str_eq(err.text, words);
        ck_assert_mem_eq(config.moe.layer, before.moe.layer, sizeof config.moe.layer);
    }
    static const int depths[] = {-1, 0, 65};
    for (size_t i = 0; i < 3; i++) {
        char words[64];
        config.depth = depths[i];
        ck_assert_int_eq(vit_config_layers_set(&config, "none", &err), BASE_USAGE);
        snprintf(words, sizeof words, "'depth' is %d, expected 1 to 64", depths[i]);
        ck_assert_str_eq(err.text, words);
    }
}
END_TEST

/* One setting wrong at a time, by its place in the config. */
START_TEST(impossible_combinations_are_named)
{
    static const struct {
        size_t at;
        int value;
        const char *words;
    } bad[] = {
        {offsetof(vit_config, image), 10,
         "'image' is 10, expected a multiple of patch (4)"},
        {offsetof(vit_config, image), 0, "'image' is 0, expected 1 to 8192"},
        {offsetof(vit_config, channels), 2, "'channels' is 2, expected 1 or 3"},
        {offsetof(vit_config, patch), -4, "'patch' is -4, expected 1 to 8192"},
        {offsetof(vit_config, width), 9, "'width' is 9, expected a multiple of heads (2)"},
        {offsetof(vit_config, heads), 3, "'width' is 8, expected a multiple of heads (3)"},
        {offsetof(vit_config, depth), 65, "'depth' is 65, expected 1 to 64"},
        {offsetof(vit_config, depth), 1, "'moe.layers' holds block 1, expected 0 to 0"},
        {offsetof(vit_config, mlp), 0, "'mlp' is 0, expected 1 to 131072"},
        {offsetof(vit_config, classes), 0, "'classes' is 0, expected 1 to 1048576"},
        {offsetof(vit_config, crop), 7, "'crop' is 7, expected the same as image (8)"},
        {offsetof(vit_config, resize), 7,
         "'resize' is 7, expected 0 (images as they are) or 8 to 32768"},
        {offsetof(vit_config, moe.k), 5,
         "'router.k' is 5, expected 1 to the number of experts (4)"},
        {offsetof(vit_config, moe.experts), 257,
         "'router.experts' is 257, expected 1 to 256"},
        {offsetof(vit_config, moe.capacity_multiple), 0,
         "'moe.capacity_multiple' is 0, expected 1 to 1024"},
        {offsetof(vit_config, moe.group_images), -1,
         "'moe.group_images' is -1, expected 0 to 1048576"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        vit_model *model = NULL;
        vit_config config = test_sparse_config();
        memcpy((char *)&config + bad[i].at, &bad[i].value, sizeof bad[i].value);
        test_refused(vit_model_create(&model, &config, &err), BASE_USAGE, &err,
                     bad[i].words);
        ck_assert_ptr_null(model);
    }
}
END_TEST

START_TEST(other_impossible_settings_are_named)
{
    base_error err = {0};
    vit_config config = test_sparse_config();

    config.dropout = NAN;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'dropout' is nan, expected 0 to below 1");
    config.dropout = 1;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'dropout' is 1, expected 0 to below 1");
    config = test_sparse_config();
    config.std[1] = 0;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'std' of channel 1 is 0, expected more than 0");
    config = test_sparse_config();
    config.moe.bpr = true;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'moe.bpr' is on, expected a moe.capacity above 0");
    config = test_sparse_config();
    snprintf(config.interpolation, sizeof config.interpolation, "lanczos");
    test_refused(
        vit_config_check(&config, &err), BASE_USAGE, &err,
        "'interpolation' is 'lanczos', expected bilinear, bicubic, area or bilinear-plain");
    config = test_sparse_config();
    snprintf(config.moe.router.name, sizeof config.moe.router.name, "nobody");
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "no router is named 'nobody'");
    config = test_sparse_config();
    config.moe.k = 1;
    must(vit_router_set(&config.moe.router, "gate", "renorm", &err), &err);
    test_refused(
        vit_config_check(&config, &err), BASE_USAGE, &err,
        "'router.gate' is renorm with router.k 1 (every gate would be 1 and the router "
        "would learn nothing), expected auto or prob, or router.k 2 or more");
    config = test_sparse_config();
    config.width = 6;
    config.position = VIT_POSITION_SINCOS;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'width' is 6, expected a multiple of 4 from 8 on for position = sincos");
}
END_TEST

/* The text with which a config is refused, "" for a good one. */
static const char *refusal(base_error *err, const vit_config *config)
{
    *err = (base_error){0};
    const base_status status = vit_config_check(config, err);
    ck_assert(status == BASE_OK || status == BASE_USAGE);
    ck_assert_int_eq(status, err->status);
    return err->text;
}

/* Whole numbers one below, at and one above each end of their range: what is refused says
 * the range, what is within is not refused by that rule (by another one perhaps). */
START_TEST(whole_numbers_have_their_limits)
{
    static const struct {
        size_t at;
        const char *key;
        int low, high;
    } limits[] = {
        {offsetof(vit_config, image), "image", 1, 8192},
        {offsetof(vit_config, patch), "patch", 1, 8192},
        {offsetof(vit_config, width), "width", 1, 16384},
        {offsetof(vit_config, depth), "depth", 1, 64},
        {offsetof(vit_config, heads), "heads", 1, 16384},
        {offsetof(vit_config, mlp), "mlp", 1, 131072},
        {offsetof(vit_config, classes), "classes", 1, 1048576},
        {offsetof(vit_config, registers), "registers", 0, 256},
        {offsetof(vit_config, prelogits), "prelogits", 0, 16384},
        {offsetof(vit_config, moe.experts), "router.experts", 1, 256},
        {offsetof(vit_config, moe.capacity_multiple), "moe.capacity_multiple", 1, 1024},
        {offsetof(vit_config, moe.group_images), "moe.group_images", 0, 1048576},
        {offsetof(vit_config, moe.shared), "moe.shared", 0, 252},
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const int tried[] = {limits[i].low - 1, limits[i].low, limits[i].high,
                             limits[i].high + 1};
        for (size_t k = 0; k < 4; k++) {
            char words[96];
            base_error err;
            vit_config config = test_sparse_config();
            memcpy((char *)&config + limits[i].at, &tried[k], sizeof tried[k]);
            snprintf(words, sizeof words, "'%s' is %d, expected %d to %d", limits[i].key,
                     tried[k], limits[i].low, limits[i].high);
            if (k % 3 == 0)
                ck_assert_str_eq(refusal(&err, &config), words);
            else
                ck_assert_str_ne(refusal(&err, &config), words);
        }
    }
}
END_TEST

START_TEST(shares_have_their_limits)
{
    static const struct {
        size_t at;
        const char *key;
        double high;
    } limits[] = {
        {offsetof(vit_config, dropout), "dropout", 1},
        {offsetof(vit_config, drop_path), "drop_path", 1},
        {offsetof(vit_config, moe.dropout), "moe.dropout", 1},
        {offsetof(vit_config, moe.capacity), "moe.capacity", 1e6},
        {offsetof(vit_config, moe.eval_capacity), "moe.eval_capacity", 1e6},
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const double bad[] = {-0.001, limits[i].high, (double)NAN, (double)INFINITY};
        const double good[] = {0, nextafter(limits[i].high, 0)};
        base_error err;
        vit_config config = test_sparse_config();
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            char words[96];
            memcpy((char *)&config + limits[i].at, &bad[k], sizeof bad[k]);
            snprintf(words, sizeof words, "'%s' is %g, expected 0 to below %g",
                     limits[i].key, bad[k], limits[i].high);
            ck_assert_str_eq(refusal(&err, &config), words);
        }
        for (size_t k = 0; k < sizeof good / sizeof good[0]; k++) {
            memcpy((char *)&config + limits[i].at, &good[k], sizeof good[k]);
            ck_assert_str_eq(refusal(&err, &config), "");
        }
    }
}
END_TEST

/* One thing away from a good config; words "": it stays good. */
typedef struct combination {
    const char *words;
    size_t at, bytes;
    const void *value;
} combination;
#define WITH(member, type, ...)                                                            \
    offsetof(vit_config, member), sizeof(type), &(const type)                              \
    {                                                                                      \
        __VA_ARGS__                                                                        \
    }

static void expect_refusals(const vit_config *base, const combination *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        base_error err;
        vit_config config = *base;
        memcpy((char *)&config + list[i].at, list[i].value, list[i].bytes);
        ck_assert_str_eq(refusal(&err, &config), list[i].words);
    }
}

START_TEST(shapes_that_do_not_fit_are_named)
{
    const vit_config token = test_sparse_config();
    vit_config gap = token, sincos = token, normed = token;
    const combination tokens[] = {
        {"", WITH(eps, double, 1e-5)},
        {"", WITH(eps, double, 0x1.9999999999999p-4)}, /* just below 0.1 */
        {"'eps' is 0.1, expected more than 0 and below 0.1", WITH(eps, double, 0.1)},
        {"'eps' is 0, expected more than 0 and below 0.1", WITH(eps, double, 0)},
        {"'eps' is nan, expected more than 0 and below 0.1",
         WITH(eps, double, (double)NAN)},
        {"'fc_norm' is on, expected mean pooling: the class token has one norm",
         WITH(fc_norm, bool, true)},
        {"", WITH(channels, int, 1)},
        {"'channels' is 4, expected 1 or 3", WITH(channels, int, 4)},
        {"'image' is 9, expected a multiple of patch (4)", WITH(image, int, 9)},
        {"'image' is 8, expected a multiple of patch (16)", WITH(patch, int, 16)},
        {"", WITH(patch, int, 8)},
        {"'width' is 10, expected a multiple of heads (4)", WITH(width, int, 10)},
        {"", WITH(width, int, 12)},
        {"'router.k' is 0, expected 1 to the number of experts (4)", WITH(moe.k, int, 0)},
        {"", WITH(moe.k, int, 4)},
        {"", WITH(moe.experts, int, 2)},
        {"'router.k' is 2, expected 1 to the number of experts (1)",
         WITH(moe.experts, int, 1)},
        {"'moe.bpr' is on, expected a moe.capacity above 0", WITH(moe.bpr, bool, true)},
        {"'moe.eval_bpr' is on, expected a moe.eval_capacity above 0",
         WITH(moe.eval_bpr, bool, true)},
        {"'moe.layers' holds block 2, expected 0 to 1", WITH(moe.layer[2], bool, true)},
        {"'moe.layers' holds block 63, expected 0 to 1", WITH(moe.layer[63], bool, true)},
    };
    const combination means[] = {{"", WITH(fc_norm, bool, true)}};
    const combination places[] = {
        {"", WITH(width, int, 8)},
        {"", WITH(width, int, 12)},
        {"'width' is 10, expected a multiple of 4 from 8 on for position = sincos",
         WITH(width, int, 10)},
        {"'width' is 4, expected a multiple of 4 from 8 on for position = sincos",
         WITH(width, int, 4)},
    };

    vit_config four = token;
    four.heads = 4;
    expect_refusals(&four, tokens, sizeof tokens / sizeof tokens[0]);
    gap.pool = VIT_POOL_GAP;
    expect_refusals(&gap, means, 1);
    gap.pool = VIT_POOL_PATCHES;
    expect_refusals(&gap, means, 1);
    sincos.position = VIT_POSITION_SINCOS;
    expect_refusals(&sincos, places, sizeof places / sizeof places[0]);
    normed.moe.bpr = true;
    normed.moe.eval_capacity = 1; /* the other one's */
    base_error err;
    ck_assert_str_eq(refusal(&err, &normed),
                     "'moe.bpr' is on, expected a moe.capacity above 0");
    normed.moe.capacity = 1;
    ck_assert_str_eq(refusal(&err, &normed), "");
    normed.moe.eval_bpr = true;
    ck_assert_str_eq(refusal(&err, &normed), "");
    normed.moe.eval_capacity = 0;
    ck_assert_str_eq(refusal(&err, &normed),
                     "'moe.eval_bpr' is on, expected a moe.eval_capacity above 0");
}
END_TEST

START_TEST(pixels_that_cannot_be_are_named)
{
    const vit_config base = test_config();
    vit_config gray = base;
    const combination bad[] = {
        {"", WITH(mean[0], float, -4)},
        {"", WITH(std[2], float, 4)},
        {"", WITH(mean[1], float, 0)},
        {"'mean' of channel 2 is not finite", WITH(mean[2], float, NAN)},
        {"'mean' of channel 1 is not finite", WITH(mean[1], float, -INFINITY)},
        {"'std' of channel 0 is 0, expected more than 0", WITH(std[0], float, 0)},
        {"'std' of channel 1 is -1, expected more than 0", WITH(std[1], float, -1)},
        {"'std' of channel 2 is nan, expected more than 0", WITH(std[2], float, NAN)},
        {"'std' of channel 2 is inf, expected more than 0", WITH(std[2], float, INFINITY)},
        {"'mean' and 'std' of channel 0 are 4.5 and 0.229, expected those of pixels from 0 "
         "to 1: what is of 0 to 255 is divided by it",
         WITH(mean[0], float, 4.5f)},
        {"'mean' and 'std' of channel 1 are -4.5 and 0.224, expected those of pixels from "
         "0 to 1: what is of 0 to 255 is divided by it",
         WITH(mean[1], float, -4.5f)},
        {"'mean' and 'std' of channel 2 are 0.406 and 4.5, expected those of pixels from 0 "
         "to 1: what is of 0 to 255 is divided by it",
         WITH(std[2], float, 4.5f)},
        {"", WITH(interpolation, char[16], "bilinear")},
        {"", WITH(interpolation, char[16], "bicubic")},
        {"", WITH(interpolation, char[16], "area")},
        {"", WITH(interpolation, char[16], "bilinear-plain")},
        {"'interpolation' is 'bilinear-', expected bilinear, bicubic, area or "
         "bilinear-plain",
         WITH(interpolation, char[16], "bilinear-")},
        {"'interpolation' is '', expected bilinear, bicubic, area or bilinear-plain",
         WITH(interpolation, char[16], "")},
        {"'crop' is 9, expected the same as image (8)", WITH(crop, int, 9)},
        {"", WITH(resize, int, 8)},
        {"", WITH(resize, int, 32768)},
        {"'resize' is 7, expected 0 (images as they are) or 8 to 32768",
         WITH(resize, int, 7)},
        {"'resize' is 32769, expected 0 (images as they are) or 8 to 32768",
         WITH(resize, int, 32769)},
        {"'resize' is -1, expected 0 (images as they are) or 8 to 32768",
         WITH(resize, int, -1)},
    };
    const combination unseen[] = {{"", WITH(mean[1], float, NAN)},
                                  {"", WITH(std[1], float, 0)}};

    expect_refusals(&base, bad, sizeof bad / sizeof bad[0]);
    gray.channels = 1;
    expect_refusals(&gray, unseen, 2);
}
END_TEST

#define SIZES                                                                              \
    "\"image\":8,\"channels\":3,\"patch\":4,\"width\":8,\"depth\":2,\"heads\":2,"          \
    "\"mlp\":12,\"classes\":3"

START_TEST(json_that_says_something_else_is_refused)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "~expected a JSON object"},
        {"[1]", "config is a list, expected a JSON object"},
        {"{\"image\":8}", "config 'channels' is missing, expected an integer"},
        {"{" SIZES ",\"image\":9}", "~duplicate object key"},
        {"{" SIZES ",\"colour\":1}", "config has an unknown key 'colour'"},
        {"{" SIZES ",\"moe\":{\"x\\ny\":1}}", "config has an unknown key 'moe.x\\x0ay'"},
        {"{" SIZES ",\"crop\":\"8\"}", "config 'crop' is a text, expected a small integer"},
        {"{" SIZES ",\"crop\":99999999999}",
         "config 'crop' is an integer, expected a small integer"},
        {"{" SIZES ",\"dropout\":null}", "config 'dropout' is null, expected a number"},
        {"{" SIZES ",\"pool\":\"max\"}",
         "config 'pool' is 'max', expected one of token|gap|patches"},
        {"{" SIZES ",\"pool\":2}",
         "config 'pool' is an integer, expected one of token|gap|patches"},
        {"{" SIZES ",\"mean\":[0.5]}",
         "config 'mean' is a list, expected a list of one number per channel"},
        {"{" SIZES ",\"std\":[1,1,\"a\"]}",
         "config 'std' is a text, expected a list of numbers"},
        {"{" SIZES ",\"labels\":[\"a\"]}", "config 'labels' has 1 names, expected 3"},
        {"{" SIZES ",\"labels\":[\"a\",\"b\",3]}",
         "config 'labels' is an integer, expected a list of class names"},
        {"{" SIZES ",\"moe\":[]}", "config 'moe' is a list, expected an object"},
        {"{" SIZES ",\"moe\":true}", "config 'moe' is true or false, expected an object"},
        {"{" SIZES ",\"pool\":{}}",
         "config 'pool' is an object, expected one of token|gap|patches"},
        {"{" SIZES ",\"crop\":0.5}", "config 'crop' is a number, expected a small integer"},
        {"{" SIZES ",\"moe\":{\"layers\":[2]}}",
         "config 'moe.layers' has an entry that is no block from 0 to 1, or one twice"},
        {"{" SIZES ",\"moe\":{\"layers\":[1,1]}}",
         "config 'moe.layers' has an entry that is no block from 0 to 1, or one twice"},
        {"{" SIZES ",\"moe\":{\"layers\":[0.5]}}",
         "config 'moe.layers' has an entry that is no block from 0 to 1, or one twice"},
        {"{" SIZES ",\"moe\":{\"layers\":[-1]}}",
         "config 'moe.layers' has an entry that is no block from 0 to 1, or one twice"},
        {"{" SIZES ",\"moe\":{\"layers\":\"last:1\"}}",
         "config 'moe.layers' is a text, expected a list of blocks"},
        {"{" SIZES ",\"name\":5}", "config 'name' is an integer, expected a short text"},
        {"{" SIZES ",\"name\":\"a name of 48 characters, one too many for a name\"}",
         "config 'name' is a text, expected a short text"},
        {"{" SIZES ",\"moe\":{\"bpr\":1}}",
         "config 'moe.bpr' is an integer, expected true or false"},
        {"{" SIZES ",\"moe\":{\"k\":9,\"layers\":[1]}}",
         "'router.k' is 9, expected 1 to the number of experts (8)"},
        {"{" SIZES ",\"moe\":{\"router\":{}}}",
         "config 'moe.router.name' is missing, expected a text"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"x\"}}}",
         "~router.name 'x' is not one of softmax, "},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"p\":2}}}",
         "router.p '2' is not a number from 0 to 1"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"q\":2}}}",
         "router 'ssr' has no option 'q', did you mean 'p'"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"p\":[]}}}",
         "config 'moe.router.p' is a list, expected a number or a text"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        vit_config config;
        char **label = NULL;
        ck_assert_int_eq(vit_config_from_json(&config, &label, bad[i].text, &err),
                         BASE_FORMAT);
        ck_assert_int_eq(err.status, BASE_FORMAT);
        test_says(err.text, bad[i].words);
        ck_assert_ptr_null(label);
    }
    char deep[8192];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    base_error err = {0};
    vit_config config;
    char **label = NULL;
    test_refused(vit_config_from_json(&config, &label, deep, &err), BASE_FORMAT, &err,
                 "~config is maximum parsing depth reached");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_config");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, what_is_not_said_is_as_documented);
    tcase_add_test(core, every_named_size_makes_a_network);
    tcase_add_test(core, named_sizes_are_the_published_ones);
    tcase_add_test(core, tokens_are_those_of_the_grid_and_those_before_it);
    tcase_add_test(core, only_blocks_of_the_network_make_it_sparse);
    tcase_add_test(core, layers_follow_the_published_placement);
    tcase_add_test(core, json_keeps_every_setting);
    tcase_add_test(core, json_spells_numbers_as_short_as_they_are);
    tcase_add_test(core, json_has_the_keys_of_the_contract);
    tcase_add_test(core, json_needs_only_the_sizes);
    tcase_add_test(limits, unknown_names_and_layers_are_refused);
    tcase_add_test(limits, impossible_combinations_are_named);
    tcase_add_test(limits, other_impossible_settings_are_named);
    tcase_add_test(limits, whole_numbers_have_their_limits);
    tcase_add_test(limits, shares_have_their_limits);
    tcase_add_test(limits, shapes_that_do_not_fit_are_named);
    tcase_add_test(limits, pixels_that_cannot_be_are_named);
    tcase_add_test(limits, json_that_says_something_else_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
