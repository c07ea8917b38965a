/* test_vit_config.c - named sizes, blocks with experts, refusals, JSON there and back. */
#include <string.h>

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
    config.resize = 9;
    snprintf(config.name, sizeof config.name, "mine");
    snprintf(config.interpolation, sizeof config.interpolation, "bicubic");
    config.moe.capacity = 1.05;
    config.moe.eval_capacity = 4;
    config.moe.capacity_multiple = 1;
    config.moe.bpr = config.moe.eval_bpr = true;
    config.moe.group_images = 8;
    config.moe.dropout = 0.2;
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
    ck_assert(back.mean[0] == config.mean[0] && back.std[0] == config.std[0]);
    ck_assert(back.drop_path == config.drop_path && back.gelu == VIT_GELU_TANH);
    ck_assert(back.moe.bpr && back.moe.layer[1] && !back.moe.layer[0]);
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
        test_refused(vit_config_layers_set(&config, bad[i], &err), BASE_USAGE, &err,
                     "'moe.layers' is '");
        ck_assert_mem_eq(config.moe.layer, before.moe.layer, sizeof config.moe.layer);
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
        {offsetof(vit_config, image), 0, "'image' is 0, expected 1 to"},
        {offsetof(vit_config, channels), 2, "'channels' is 2, expected 1 or 3"},
        {offsetof(vit_config, patch), -4, "'patch' is -4"},
        {offsetof(vit_config, width), 9, "'width' is 9, expected a multiple of heads (2)"},
        {offsetof(vit_config, heads), 3, "'width' is 8, expected a multiple of heads (3)"},
        {offsetof(vit_config, depth), 65, "'depth' is 65, expected 1 to 64"},
        {offsetof(vit_config, depth), 1, "'moe.layers' holds block 1, expected 0 to 0"},
        {offsetof(vit_config, mlp), 0, "'mlp' is 0"},
        {offsetof(vit_config, classes), 0, "'classes' is 0"},
        {offsetof(vit_config, crop), 7, "'crop' is 7, expected the same as image (8)"},
        {offsetof(vit_config, resize), 7, "'resize' is 7"},
        {offsetof(vit_config, moe.k), 5,
         "'router.k' is 5, expected 1 to the number of experts (4)"},
        {offsetof(vit_config, moe.experts), 257,
         "'router.experts' is 257, expected 1 to 256"},
        {offsetof(vit_config, moe.capacity_multiple), 0, "'moe.capacity_multiple' is 0"},
        {offsetof(vit_config, moe.group_images), -1, "'moe.group_images' is -1"},
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
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "'dropout' is nan");
    config.dropout = 1;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "'dropout' is 1");
    config = test_sparse_config();
    config.std[1] = 0;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "'std' of channel 1 is 0");
    config = test_sparse_config();
    config.moe.bpr = true;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "'moe.bpr' is on");
    config = test_sparse_config();
    snprintf(config.interpolation, sizeof config.interpolation, "lanczos");
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "'lanczos'");
    config = test_sparse_config();
    snprintf(config.moe.router.name, sizeof config.moe.router.name, "nobody");
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err,
                 "no router is named 'nobody'");
    config = test_sparse_config();
    config.moe.k = 1;
    must(vit_router_set(&config.moe.router, "gate", "renorm", &err), &err);
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "renorm");
    config = test_sparse_config();
    config.width = 6;
    config.position = VIT_POSITION_SINCOS;
    test_refused(vit_config_check(&config, &err), BASE_USAGE, &err, "sincos");
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
        {"", "expected a JSON object"},
        {"[1]", "config is a list, expected a JSON object"},
        {"{\"image\":8}", "config 'channels' is missing"},
        {"{" SIZES ",\"image\":9}", "duplicate object key"},
        {"{" SIZES ",\"colour\":1}", "unknown key 'colour'"},
        {"{" SIZES ",\"moe\":{\"x\\ny\":1}}", "unknown key 'moe.x\\x0ay'"},
        {"{" SIZES ",\"crop\":\"8\"}", "'crop' is a text, expected a small integer"},
        {"{" SIZES ",\"crop\":99999999999}", "expected a small integer"},
        {"{" SIZES ",\"dropout\":null}", "'dropout' is null, expected a number"},
        {"{" SIZES ",\"pool\":\"max\"}", "'pool' is 'max', expected one of token|gap"},
        {"{" SIZES ",\"pool\":2}", "'pool' is an integer, expected one of token|gap"},
        {"{" SIZES ",\"mean\":[0.5]}",
         "'mean' is a list, expected a list of one number per"},
        {"{" SIZES ",\"std\":[1,1,\"a\"]}", "'std' is a text"},
        {"{" SIZES ",\"labels\":[\"a\"]}", "'labels' has 1 names, expected 3"},
        {"{" SIZES ",\"labels\":[\"a\",\"b\",3]}", "'labels' is an integer"},
        {"{" SIZES ",\"moe\":[]}", "'moe' is a list, expected an object"},
        {"{" SIZES ",\"moe\":true}", "'moe' is true or false, expected an object"},
        {"{" SIZES ",\"pool\":{}}", "'pool' is an object, expected one of"},
        {"{" SIZES ",\"crop\":0.5}", "'crop' is a number, expected a small integer"},
        {"{" SIZES ",\"moe\":{\"layers\":[2]}}", "no block from 0 to 1"},
        {"{" SIZES ",\"moe\":{\"layers\":[1,1]}}", "or one twice"},
        {"{" SIZES ",\"moe\":{\"bpr\":1}}",
         "'moe.bpr' is an integer, expected true or false"},
        {"{" SIZES ",\"moe\":{\"k\":9,\"layers\":[1]}}", "'router.k' is 9"},
        {"{" SIZES ",\"moe\":{\"router\":{}}}", "'moe.router.name' is missing"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"x\"}}}", "'x'"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"p\":2}}}", "'2'"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"q\":2}}}", "'q'"},
        {"{" SIZES ",\"moe\":{\"router\":{\"name\":\"ssr\",\"p\":[]}}}",
         "'moe.router.p' is a list"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        vit_config config;
        char **label = NULL;
        test_refused(vit_config_from_json(&config, &label, bad[i].text, &err), BASE_FORMAT,
                     &err, bad[i].words);
        ck_assert_ptr_null(label);
    }
    char deep[8192];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    base_error err = {0};
    vit_config config;
    char **label = NULL;
    test_refused(vit_config_from_json(&config, &label, deep, &err), BASE_FORMAT, &err,
                 "depth");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_config");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_test(core, what_is_not_said_is_as_documented);
    tcase_add_test(core, every_named_size_makes_a_network);
    tcase_add_test(core, layers_follow_the_published_placement);
    tcase_add_test(core, json_keeps_every_setting);
    tcase_add_test(core, json_spells_numbers_as_short_as_they_are);
    tcase_add_test(core, json_needs_only_the_sizes);
    tcase_add_test(limits, unknown_names_and_layers_are_refused);
    tcase_add_test(limits, impossible_combinations_are_named);
    tcase_add_test(limits, other_impossible_settings_are_named);
    tcase_add_test(limits, json_that_says_something_else_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
