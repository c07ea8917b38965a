/* test_vit_hub_config.c - what is read of a config.json of the Hub, key by key, and what a
 * file with timm's names is taken for: sizes off its shapes, the rest from there, from what
 * is known of its width, or assumed. What is refused, with its whole text. */
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"

static char *dir, *weights, *config_path;

static void setup(void)
{
    dir = test_folder_make();
    weights = test_path(dir, "x.safetensors");
    config_path = test_path(dir, "config.json");
}

static void teardown(void)
{
    base_free(config_path);
    base_free(weights);
    test_folder_remove(dir);
}

/* A failure is told with C in the place of config.json's path and X in that of the
 * weights'. */
static void expect_failure(const base_error *err, const char *expected)
{
    char text[sizeof err->text];
    size_t at = 0;

    for (const char *from = err->text; *from;) {
        const bool c = strncmp(from, config_path, strlen(config_path)) == 0;
        const bool x = strncmp(from, weights, strlen(weights)) == 0;
        text[at++] = (char)(c ? 'C' : x ? 'X' : *from);
        from += c ? strlen(config_path) : x ? strlen(weights) : 1;
    }
    text[at] = '\0';
    ck_assert_str_eq(text, expected);
}

static base_status read_hub(vit_hub *hub, const char *json, base_error *err)
{
    *err = (base_error){0};
    test_write(config_path, json, strlen(json));
    return vit_hub_read(hub, weights, err);
}

/* All of it in one line: what is not said is left out. */
static const char *hub_text(char out[512], const vit_hub *h)
{
    size_t at = 0;

#define SAY(...) at += (size_t)snprintf(out + at, 512 - at, __VA_ARGS__)
    out[0] = '\0';
    if (h->mean)
        SAY("mean %g %g %g ", (double)h->mean_of[0], (double)h->mean_of[1],
            (double)h->mean_of[2]);
    if (h->std)
        SAY("std %g %g %g ", (double)h->std_of[0], (double)h->std_of[1],
            (double)h->std_of[2]);
    if (h->interpolation)
        SAY("filter %s ", h->filter);
    if (h->image || h->channels)
        SAY("image %d channels %d ", h->image, h->channels);
    if (h->resize)
        SAY("crop %g ", h->crop_pct);
    if (h->crop_mode == VIT_CROP_SQUASH)
        SAY("squash ");
    if (h->classes)
        SAY("classes %d ", h->classes);
    if (h->heads)
        SAY("heads %d ", h->heads);
    if (h->gelu)
        SAY("gelu %s ", h->gelu == 1 + VIT_GELU_TANH ? "tanh" : "erf");
    if (h->pool_mean || h->pool_token)
        SAY("pool%s%s ", h->pool_mean ? " mean" : "", h->pool_token ? " token" : "");
    if (h->architecture[0])
        SAY("architecture %s ", h->architecture);
    if (h->labels)
        SAY("%s", h->label_key);
    for (size_t i = 0; i < h->labels; i++)
        SAY(" %s", h->label[i]);
    if (h->config)
        SAY("ours %s", h->config);
#undef SAY
    return out;
}

#define CFG(text) "{\"pretrained_cfg\": {" text "}}"
#define ARGS(text) "{\"model_args\": {" text "}}"

START_TEST(every_key_is_read)
{
    static const struct {
        const char *json, *read;
    } cases[] = {
        {"{}", ""},
        {"{\"colour\": 1, \"pretrained_cfg\": {}, \"model_args\": {}}", ""},
        {"{\"mean\": [0.1, 0.2, 0.3]}", "mean 0.1 0.2 0.3 "},
        {"{\"mean\": [0.5], \"std\": [0.25]}", "mean 0.5 0.5 0.5 std 0.25 0.25 0.25 "},
        {"{\"mean\": [4, -4, 0], \"std\": [4, 0.00001, 1]}", "mean 4 -4 0 std 4 1e-05 1 "},
        {CFG("\"std\": [0.1, 0.2, 0.3]"), "std 0.1 0.2 0.3 "},
        /* the settings within go before those at the top, null says nothing */
        {"{\"mean\": [0.5], \"pretrained_cfg\": {\"mean\": [0.25]}}",
         "mean 0.25 0.25 0.25 "},
        {"{\"mean\": [0.5], \"pretrained_cfg\": {\"mean\": null}}", "mean 0.5 0.5 0.5 "},
        {"{\"mean\": null}", ""},
        {CFG("\"input_size\": [1, 48, 48]"), "image 48 channels 1 "},
        {CFG("\"input_size\": [3, 65536, 65536]"), "image 65536 channels 3 "},
        {CFG("\"input_size\": [3, 1, 1]"), "image 1 channels 3 "},
        {CFG("\"interpolation\": \"bicubic\""), "filter bicubic "},
        {CFG("\"interpolation\": \"bilinear\""), "filter bilinear "},
        {CFG("\"interpolation\": \"area\""), "filter area "},
        {CFG("\"interpolation\": \"box\""), "filter area "},
        {CFG("\"crop_pct\": 0.875"), "crop 0.875 "},
        {CFG("\"crop_pct\": 1"), "crop 1 "},
        {CFG("\"crop_pct\": 0.011"), "crop 0.011 "},
        {CFG("\"crop_mode\": \"squash\""), "squash "},
        {CFG("\"crop_mode\": \"center\""), ""},
        /* a count at the top is the network's, within it that of the published one */
        {"{\"num_classes\": 10, \"pretrained_cfg\": {\"num_classes\": 1000}}",
         "classes 10 "},
        {"{\"model_args\": {\"num_classes\": 7}, \"pretrained_cfg\": {\"num_classes\": 8}}",
         "classes 7 "},
        {CFG("\"num_classes\": 1048576"), "classes 1048576 "},
        {CFG("\"num_classes\": 0"), ""},
        {"{\"num_classes\": null, \"model_args\": {\"num_classes\": null}}", ""},
        {ARGS("\"num_heads\": 16384"), "heads 16384 "},
        {"{\"num_heads\": 3, \"model_args\": {\"num_heads\": 4}}", "heads 3 "},
        {"{\"global_pool\": \"token\"}", "pool token "},
        {"{\"global_pool\": \"avg\"}", "pool mean "},
        {"{\"global_pool\": \"\"}", ""},
        {"{\"global_pool\": \"token\", \"model_args\": {\"global_pool\": \"avg\"}}",
         "pool mean "},
        {"{\"global_pool\": \"token\", \"model_args\": {\"global_pool\": null}}",
         "pool token "},
        {ARGS("\"act_layer\": \"gelu\""), "gelu erf "},
        {ARGS("\"act_layer\": \"gelu_tanh\""), "gelu tanh "},
        {ARGS("\"act_layer\": null, \"norm_layer\": null, \"block_fn\": null"), ""},
        {ARGS("\"norm_layer\": \"layernorm\", \"pool_include_prefix\": false"), ""},
        {"{\"architecture\": \"vit_x\"}", "architecture vit_x "},
        {"{\"architecture\": 5}", ""},
        {"{\"label_names\": [\"a\", \"b\"]}", "label_names a b"},
        {CFG("\"labels\": [\"a\"]"), "labels a"},
        {"{\"label_names\": {\"n1\": \"a\"}, \"labels\": [\"b\"]}", "labels b"},
        {"{\"id2label\": {\"1\": \"b\", \"0\": \"a\"}}", "id2label a b"},
        {"{\"id2label\": {\"0\": \"LABEL_0\", \"1\": \"LABEL_1\"}}", ""},
        {"{\"label_names\": [\"x\"], \"labels\": [\"y\"], \"id2label\": {\"0\": \"z\"}}",
         "label_names x"},
        {"{\"labels\": [\"y\"], \"id2label\": {\"0\": \"z\"}}", "labels y"},
        {"{\"model_type\": \"vit\", \"config\": 4}", ""},
        {"{\"model_type\": \"vmoe\", \"config\": {\"width\": 8}, \"mean\": [9]}",
         "ours {\"width\":8}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err;
        char text[512];
        vit_hub hub;
        must(read_hub(&hub, cases[i].json, &err), &err);
        ck_assert_str_eq(hub_text(text, &hub), cases[i].read);
        ck_assert_str_eq(hub.path, config_path);
        vit_hub_free(&hub);
        ck_assert_ptr_null(hub.path);
        ck_assert_uint_eq(hub.labels, 0);
    }
    ck_assert_int_eq(remove(config_path), 0);
    base_error err = {0};
    vit_hub hub = {.image = 3};
    must(vit_hub_read(&hub, weights, &err), &err); /* none there is no failure */
    ck_assert(!hub.path && hub.image == 0);
}
END_TEST

START_TEST(what_cannot_be_is_refused_by_key)
{
#define FORMAT BASE_FORMAT
#define NOT BASE_UNSUPPORTED
    static const struct {
        base_status status;
        const char *json, *words;
    } cases[] = {
        {FORMAT, "[]", "'C' is not a JSON object"},
        {FORMAT, "{\"a\": 1, \"a\": 2}",
         "'C' is not a JSON object: duplicate object key near '\"a\"'"},
        {FORMAT, "{\"pretrained_cfg\": []}", "'C' key 'pretrained_cfg' is not an object"},
        {FORMAT, "{\"mean\": [1, 2]}", "'C' key 'mean' is not a list of 1 or 3 numbers"},
        {FORMAT, "{\"mean\": 0.5}", "'C' key 'mean' is not a list of 1 or 3 numbers"},
        {FORMAT, "{\"mean\": [1, 2, \"3\"]}",
         "'C' key 'mean' is not a list of 1 or 3 numbers"},
        {FORMAT, "{\"mean\": [0.5, 4.5, 0.5]}",
         "'C' key 'mean' is not of pixels from 0 to 1: what is of 0 to 255 is divided by "
         "it"},
        {FORMAT, "{\"mean\": [-4.5]}",
         "'C' key 'mean' is not of pixels from 0 to 1: what is of 0 to 255 is divided by "
         "it"},
        {FORMAT, "{\"std\": [1, 0, 1]}",
         "'C' key 'std' is not a list of 1 or 3 numbers above 0"},
        {FORMAT, "{\"std\": [0.000001]}",
         "'C' key 'std' is not a list of 1 or 3 numbers above 0"},
        {FORMAT, "{\"std\": [58.4]}",
         "'C' key 'std' is not of pixels from 0 to 1: what is of 0 to 255 is divided by it"},
        {FORMAT, "{\"input_size\": [3, 48]}",
         "'C' key 'input_size' is not a list of channels, height and width"},
        {FORMAT, "{\"input_size\": [3, 48.5, 48]}",
         "'C' key 'input_size' is not a list of channels, height and width"},
        {FORMAT, "{\"input_size\": [3, 48, null]}",
         "'C' key 'input_size' is not a list of channels, height and width"},
        {FORMAT, "{\"input_size\": [3, 0, 0]}",
         "'C' key 'input_size' is not a list of channels, height and width"},
        {FORMAT, "{\"input_size\": [3, 65537, 65537]}",
         "'C' key 'input_size' is not a list of channels, height and width"},
        {NOT, "{\"input_size\": [3, 48, 32]}",
         "'C' key 'input_size' is no square, expected one"},
        {FORMAT, "{\"interpolation\": 3}", "'C' key 'interpolation' is not a text"},
        {NOT, "{\"interpolation\": \"lanczos\\n\"}",
         "'C' key 'interpolation' is 'lanczos\\x0a', expected bilinear or bicubic"},
        {FORMAT, "{\"crop_pct\": \"1\"}",
         "'C' key 'crop_pct' is not a share above 0 and up to 1"},
        {FORMAT, "{\"crop_pct\": 0.01}",
         "'C' key 'crop_pct' is not a share above 0 and up to 1"},
        {FORMAT, "{\"crop_pct\": 1.0625}",
         "'C' key 'crop_pct' is not a share above 0 and up to 1"},
        {NOT, "{\"crop_mode\": \"border\"}",
         "'C' key 'crop_mode' is 'border', expected center or squash"},
        {NOT, "{\"crop_mode\": 1}",
         "'C' key 'crop_mode' is 'no text', expected center or squash"},
        {FORMAT, CFG("\"num_classes\": -1"), "'C' key 'num_classes' is not a count"},
        {FORMAT, CFG("\"num_classes\": 1048577"), "'C' key 'num_classes' is not a count"},
        {FORMAT, CFG("\"num_classes\": 1.5"), "'C' key 'num_classes' is not a count"},
        {FORMAT, ARGS("\"num_heads\": 16385"), "'C' key 'num_heads' is not a count"},
        {FORMAT, ARGS("\"num_heads\": \"4\""), "'C' key 'num_heads' is not a count"},
        {FORMAT, "{\"global_pool\": 1}", "'C' key 'global_pool' is not a text"},
        {NOT, "{\"global_pool\": \"map\"}",
         "'C' key 'global_pool' is 'map', expected token or avg"},
        {NOT, ARGS("\"act_layer\": \"relu\""),
         "'C' key 'act_layer' is 'relu', expected gelu or gelu_tanh"},
        {NOT, ARGS("\"act_layer\": 1"),
         "'C' key 'act_layer' is 'no text', expected gelu or gelu_tanh"},
        {NOT, ARGS("\"norm_layer\": \"rmsnorm\""),
         "'C' key 'norm_layer' is 'rmsnorm', expected layernorm"},
        {NOT, ARGS("\"norm_layer\": 1"),
         "'C' key 'norm_layer' is 'no text', expected layernorm"},
        {NOT, ARGS("\"block_fn\": \"x\""),
         "'C' key 'block_fn' makes another network, expected none"},
        {NOT, ARGS("\"mlp_layer\": \"x\""),
         "'C' key 'mlp_layer' makes another network, expected none"},
        {NOT, ARGS("\"attn_layer\": \"x\""),
         "'C' key 'attn_layer' makes another network, expected none"},
        {NOT, ARGS("\"embed_layer\": \"x\""),
         "'C' key 'embed_layer' makes another network, expected none"},
        {NOT, ARGS("\"pool_include_prefix\": true"),
         "'C' key 'pool_include_prefix' is true, expected the mean over the patches alone"},
        {FORMAT, "{\"labels\": [\"a\", 3]}", "'C' key 'labels' is not a list of names"},
        {FORMAT, "{\"id2label\": {\"0\": \"a\", \"2\": \"b\"}}",
         "'C' key 'id2label' is not an object of names by 0, 1, 2, ..."},
        {FORMAT, "{\"model_type\": \"vmoe\"}", "'C' key 'config' is not an object"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err;
        vit_hub hub;
        ck_assert_int_eq(read_hub(&hub, cases[i].json, &err), cases[i].status);
        expect_failure(&err, cases[i].words);
        ck_assert_ptr_null(hub.path);
    }
}
END_TEST

/* ---- timm's files -------------------------------------------------------------------- */

/* Writes the tensors of list, "NAME D D; NAME D", all zero; a later one replaces one of the
 * same name, without numbers it is left out. */
static void write_tensors(const char *list)
{
    enum { MOST = 24, FLOATS = 1 << 17 };
    static float zeros[FLOATS];
    char name[MOST][64];
    vit_tensor tensor[MOST];
    size_t count = 0;
    base_error err = {0};

    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, " ;");
        vit_tensor t = {.type = "F32", .data = zeros};
        size_t i = 0, floats = 1;
        while (i < count &&
               (strlen(name[i]) != length || strncmp(name[i], at, length) != 0))
            i++;
        ck_assert(i < MOST && length < sizeof name[0]);
        snprintf(name[i], sizeof name[0], "%.*s", (int)length, at);
        for (at += length; *at == ' ' && at[1] != '\0' && at[1] != ';';) {
            char *end;
            t.shape[t.rank] = strtoul(at, &end, 10);
            floats *= t.shape[t.rank++];
            at = end;
        }
        ck_assert_uint_le(floats, FLOATS);
        at += strspn(at, "; ");
        t.name = name[i];
        tensor[i] = t;
        count += i == count;
    }
    for (size_t i = count; i-- > 0;)
        if (tensor[i].rank == 0)
            tensor[i] = tensor[--count];
    must(vit_tensors_write(weights, tensor, count, NULL, 0, &err), &err);
}

/* Width 192, patch 4, 2 x 2 of them behind a class token, two blocks. */
#define PLAIN                                                                              \
    "patch_embed.proj.weight 192 3 4 4; blocks.0.mlp.fc1.weight 7 192; "                   \
    "pos_embed 1 5 192; cls_token 1 1 192; head.weight 3 192; blocks.1.norm1.bias 192; "   \
    "norm.weight 192; "

typedef struct timm_case {
    const char *more;  /* tensors, after PLAIN */
    const char *json;  /* config.json; NULL: none */
    const char *words; /* what is unlike the plain network, or the refusal */
    base_status status;
    vit_load_options options;
} timm_case;

static const char *origin_letter(vit_origin origin)
{
    static const char *const letters[] = {"f", "c", "k", "a", "o"};
    return letters[origin];
}

/* All that shapes and config.json decide; origins of mean, std, interpolation, resize,
 * heads, pool, labels by their first letters. */
static const char *timm_text(char out[512], const vit_config *c, const vit_origins *o)
{
    static const char *const pools[] = {"token", "gap", "patches"};

    snprintf(
        out, 512,
        "image %d/%d of %d, %d wide, %d deep, %d heads, mlp %d, %d classes, %s, %s, eps "
        "%g%s%s%s, %d+%d, mean %.3g std %.3g %s %d>%d%s %s%s%s%s%s%s%s",
        c->image, c->patch, c->channels, c->width, c->depth, c->heads, c->mlp, c->classes,
        pools[c->pool], c->gelu == VIT_GELU_TANH ? "tanh" : "erf", c->eps,
        c->fc_norm ? " fc_norm" : "", c->pre_norm ? " pre_norm" : "",
        c->qk_norm ? " qk_norm" : "", c->registers, c->prelogits, (double)c->mean[1],
        (double)c->std[1], c->interpolation, c->resize, c->crop,
        c->crop_mode == VIT_CROP_SQUASH ? " squash" : "", origin_letter(o->mean),
        origin_letter(o->std), origin_letter(o->interpolation), origin_letter(o->resize),
        origin_letter(o->heads), origin_letter(o->pool), origin_letter(o->labels));
    return out;
}

static void check_timm(const timm_case *t)
{
    base_error err = {0};
    char text[512], list[1024];
    vit_config config = {.image = -7};
    vit_origins origins = {0};
    vit_tensor_file *file = NULL;
    vit_hub hub = {0};

    snprintf(list, sizeof list, PLAIN "%s", t->more);
    write_tensors(list);
    if (t->json)
        must(read_hub(&hub, t->json, &err), &err);
    must(vit_tensors_open(&file, weights, &err), &err);
    const base_status status =
        vit_timm_config(&config, &origins, file, weights, &hub, &t->options, &err);
    if (t->status == BASE_OK) {
        must(status, &err);
        ck_assert_str_eq(timm_text(text, &config, &origins), t->words);
    } else {
        expect_failure(&err, t->words);
        ck_assert_int_eq(status, t->status);
        ck_assert_int_eq(config.image, -7);
    }
    vit_hub_free(&hub);
    vit_tensors_close(file);
}

#define HEAD "image 8/4 of 3, 192 wide, 2 deep, 3 heads, mlp 7, 3 classes, "
#define TAIL ", mean 0.456 std 0.224 bicubic 8>8 aaaakaf"
#define WIDE(w)                                                                            \
    "patch_embed.proj.weight " #w " 3 4 4; pos_embed 1 5 " #w "; cls_token 1 1 " #w        \
    "; blocks.0.mlp.fc1.weight 1 1"

START_TEST(networks_are_told_by_their_tensors)
{
#define TOLD(h, rest, origins) h rest ", mean 0.456 std 0.224 bicubic 8>8 " origins
    static const timm_case cases[] = {
        {"", NULL, .words = HEAD "token, erf, eps 1e-06, 0+0" TAIL},
        {"blocks.2.x 1; blocks.12345678.x 1; blocks.x.y 1; block.9.y 1", NULL,
         .words =
             "image 8/4 of 3, 192 wide, 3 deep, 3 heads, mlp 7, 3 classes, token, erf, eps "
             "1e-06, 0+0" TAIL},
        {"patch_embed.proj.weight 192 1 4 4; blocks.0.mlp.fc1.weight 9 192", NULL,
         .words =
             "image 8/4 of 1, 192 wide, 2 deep, 3 heads, mlp 9, 3 classes, token, erf, eps "
             "1e-06, 0+0" TAIL},
        {"cls_token; pos_embed 1 4 192", NULL,
         .words = TOLD(HEAD, "gap, erf, eps 1e-06, 0+0", "aaaakff")},
        {"pos_embed 1 4 192", NULL, .words = HEAD "token, erf, eps 1e-06, 0+0" TAIL},
        {"pos_embed 1 1 192", NULL,
         .words =
             "image 4/4 of 3, 192 wide, 2 deep, 3 heads, mlp 7, 3 classes, token, erf, eps "
             "1e-06, 0+0, mean 0.456 std 0.224 bicubic 4>4 aaaakaf"},
        {"pos_embed 1 2 192", NULL,
         .words =
             "image 4/4 of 3, 192 wide, 2 deep, 3 heads, mlp 7, 3 classes, token, erf, eps "
             "1e-06, 0+0, mean 0.456 std 0.224 bicubic 4>4 aaaakaf"},
        /* registers, with positions of theirs or without; 9 rows may be both */
        {"reg_token 1 4 192; pos_embed 1 4 192", NULL,
         .words = HEAD "token, erf, eps 1e-06, 4+0" TAIL},
        {"reg_token 1 2 192; pos_embed 1 7 192", NULL,
         .words = HEAD "token, erf, eps 1e-06, 2+0" TAIL},
        {"reg_token 4 192", NULL, .words = HEAD "token, erf, eps 1e-06, 0+0" TAIL},
        {"reg_token 1 4 192; pos_embed 1 9 192", CFG("\"input_size\": [3, 8, 8]"),
         .words =
             HEAD "token, erf, eps 1e-06, 4+0, mean 0.456 std 0.224 bicubic 9>8 aaaakaf"},
        {"reg_token 1 4 192; pos_embed 1 9 192", CFG("\"input_size\": [3, 12, 12]"),
         .words =
             "image 12/4 of 3, 192 wide, 2 deep, 3 heads, mlp 7, 3 classes, token, erf, eps "
             "1e-06, 4+0, mean 0.456 std 0.224 bicubic 13>12 aaaakaf"},
        {"norm.weight; fc_norm.weight 192", NULL,
         .words = TOLD(HEAD, "patches, erf, eps 1e-06 fc_norm, 0+0", "aaaakff")},
        {"norm_pre.weight 192", NULL,
         .words = HEAD "token, erf, eps 1e-05 pre_norm, 0+0" TAIL},
        {"pre_logits.fc.weight 11 192", NULL,
         .words = HEAD "token, erf, eps 1e-06, 0+11" TAIL},
        {"blocks.0.attn.q_norm.weight 48", NULL,
         .words = TOLD("image 8/4 of 3, 192 wide, 2 deep, 4 heads, mlp 7, 3 classes, ",
                       "token, erf, eps 1e-06 qk_norm, 0+0", "aaaafaf")},
        {"head.weight", NULL,
         "image 8/4 of 3, 192 wide, 2 deep, 3 heads, mlp 7, 4 classes, token, erf, eps "
         "1e-06, 0+0" TAIL,
         .options = {.classes = 4}},
        {"", NULL, HEAD "token, erf, eps 1e-06, 0+0" TAIL, .options = {.classes = 4}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_timm(&cases[i]);
}
END_TEST

/* Those of published networks, of 64 channels, by name, of config.json, of the caller. */
START_TEST(heads_are_known_or_assumed)
{
#define HEADS(w, h, gelu, resize, how)                                                     \
    "image 8/4 of 3, " #w " wide, 2 deep, " #h " heads, mlp 1, 3 classes, token, " #gelu   \
    ", eps 1e-06, 0+0, mean 0.456 std 0.224 bicubic " #resize ">8 aaaa" #how "af"
#define NAME(text) "{\"architecture\": \"" text "\"}"
    static const timm_case cases[] = {
        {WIDE(192), NULL, .words = HEADS(192, 3, erf, 8, k)},
        {WIDE(384), NULL, .words = HEADS(384, 6, erf, 8, k)},
        {WIDE(768), NULL, .words = HEADS(768, 12, erf, 8, k)},
        {WIDE(1024), NULL, .words = HEADS(1024, 16, erf, 8, k)},
        {WIDE(1152), NULL, .words = HEADS(1152, 16, erf, 8, k)},
        {WIDE(1280), NULL, .words = HEADS(1280, 16, erf, 8, k)},
        {WIDE(1408), NULL, .words = HEADS(1408, 16, erf, 8, k)},
        {WIDE(1664), NULL, .words = HEADS(1664, 16, erf, 8, k)},
        {WIDE(128), NULL, .words = HEADS(128, 2, erf, 8, a)},
        {WIDE(1536), NULL, .words = HEADS(1536, 24, erf, 8, a)},
        {WIDE(768), NAME("vit_base_patch16_gap_224"), .words = HEADS(768, 16, erf, 9, c)},
        {WIDE(192), NAME("vit_base_patch16_gap_224"), .words = HEADS(192, 3, erf, 9, k)},
        {WIDE(1536), NAME("vit_giantopt_patch16_siglip_256"),
         .words = HEADS(1536, 16, tanh, 9, c)},
        {WIDE(64), NAME("test_vit2"), .words = HEADS(64, 2, erf, 9, c)},
        {WIDE(96), NAME("test_vit3"), .words = HEADS(96, 3, erf, 9, c)},
        {WIDE(192), ARGS("\"num_heads\": 4"), .words = HEADS(192, 4, erf, 9, c)},
        {WIDE(192), ARGS("\"num_heads\": 4"), HEADS(192, 6, erf, 9, o),
         .options = {.heads = 6}},
        {WIDE(96), NULL, HEADS(96, 2, erf, 8, o), .options = {.heads = 2}},
        {WIDE(96), NULL,
         "'X' has width 96, no multiple of 64: the number of heads must be given",
         .status = BASE_USAGE},
        {WIDE(192), NAME("vit_base_patch16_clip_224"),
         .words = "image 8/4 of 3, 192 wide, 2 deep, 3 heads, mlp 1, 3 classes, token, "
                  "erf, eps 1e-05, 0+0, mean 0.456 std 0.224 bicubic 9>8 aaaakaf"},
        /* GELU: by name, by argument; epsilon stays */
        {WIDE(192), NAME("vit_so400m_patch16_siglip_512"),
         .words = HEADS(192, 3, tanh, 9, k)},
        {WIDE(192), NAME("vit_base_patch32_siglip_256"),
         .words = HEADS(192, 3, tanh, 9, k)},
        {WIDE(192), NAME("vit_large_patch16_siglip_512"),
         .words = HEADS(192, 3, tanh, 9, k)},
        {WIDE(192), NAME("vit_large_patch16_siglip_gap_512"),
         .words = HEADS(192, 3, tanh, 9, k)},
        {WIDE(192), NAME("vit_large_patch16_siglip_384"),
         .words = HEADS(192, 3, erf, 9, k)},
        {WIDE(192), ARGS("\"act_layer\": \"gelu_tanh\""),
         .words = HEADS(192, 3, tanh, 9, k)},
        {WIDE(192),
         "{\"architecture\": \"vit_base_patch32_siglip_256\", \"model_args\": "
         "{\"act_layer\": \"gelu\"}}",
         .words = HEADS(192, 3, erf, 9, k)},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_timm(&cases[i]);
}
END_TEST

/* 5 x 5 and 6 x 6 patches of 64 pixels. */
START_TEST(pixels_are_made_ready_as_config_json_says_or_timm_does)
{
#define LARGE(rows) "patch_embed.proj.weight 8 3 64 64; pos_embed 1 " #rows " 8"
#define SIZED(image, pool)                                                                 \
    image "/64 of 3, 8 wide, 2 deep, 2 heads, mlp 7, 3 classes, " pool                     \
          ", erf, eps 1e-06, 0+0, "
    static const vit_load_options two = {.heads = 2};
    static const timm_case cases[] = {
        {LARGE(26), NULL,
         .words =
             SIZED("image 320", "token") "mean 0.456 std 0.224 bicubic 355>320 aaaaoaf"},
        {LARGE(37), NULL,
         .words =
             SIZED("image 384", "token") "mean 0.456 std 0.224 bicubic 384>384 aaaaoaf"},
        {LARGE(26), "{}",
         .words =
             SIZED("image 320", "token") "mean 0.456 std 0.224 bicubic 365>320 aaaaoaf"},
        {LARGE(37), "{}",
         .words =
             SIZED("image 384", "token") "mean 0.456 std 0.224 bicubic 438>384 aaaaoaf"},
        {LARGE(26), CFG("\"crop_pct\": 0.5, \"crop_mode\": \"squash\""),
         .words = SIZED("image 320",
                        "token") "mean 0.456 std 0.224 bicubic 640>320 squash aaacoaf"},
        {LARGE(26), CFG("\"mean\": [0.5], \"interpolation\": \"bilinear\""),
         .words =
             SIZED("image 320", "token") "mean 0.5 std 0.224 bilinear 365>320 cacaoaf"},
        {LARGE(26), CFG("\"std\": [0.1, 0.2, 0.3], \"interpolation\": \"box\""),
         .words = SIZED("image 320", "token") "mean 0.456 std 0.2 area 365>320 accaoaf"},
        {LARGE(26), "{\"labels\": [\"a\", \"b\", \"c\"], \"num_classes\": 3}",
         .words =
             SIZED("image 320", "token") "mean 0.456 std 0.224 bicubic 365>320 aaaaoac"},
        {LARGE(26), "{\"global_pool\": \"avg\"}",
         .words =
             SIZED("image 320", "patches") "mean 0.456 std 0.224 bicubic 365>320 aaaaocf"},
        {LARGE(26), "{\"global_pool\": \"token\"}",
         .words =
             SIZED("image 320", "token") "mean 0.456 std 0.224 bicubic 365>320 aaaaocf"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        timm_case one = cases[i];
        one.options = two;
        check_timm(&one);
    }
}
END_TEST

START_TEST(files_that_fit_no_network_are_refused_by_tensor)
{
#define OTHER(name, what)                                                                  \
    {                                                                                      \
        name " 192", NULL, "'X' tensor '" name "' is " what, .status = BASE_UNSUPPORTED    \
    }
    static const timm_case cases[] = {
        OTHER("dist_token", "of a distilled DeiT (two class tokens, two heads)"),
        OTHER("head_dist.weight", "of a distilled DeiT (two class tokens, two heads)"),
        OTHER("attn_pool.q.weight",
              "attention pooling, expected a class token or the mean"),
        OTHER("attn_pool.latent", "attention pooling, expected a class token or the mean"),
        OTHER("blocks.1.mlp.w12.weight",
              "a gated MLP (SwiGLU), expected fc1 and fc2 with GELU"),
        OTHER("blocks.1.mlp.fc1_g.weight",
              "a gated MLP (SwiGLU), expected fc1 and fc2 with GELU"),
        OTHER("blocks.0.attn.relative_position_bias_table",
              "a relative position, expected 'pos_embed'"),
        OTHER("blocks.0.attn.norm.weight",
              "a norm inside the attention, expected none there"),
        OTHER("blocks.0.mlp.norm.weight", "a norm inside the MLP, expected none there"),
        {"", NAME("vit_xsmall_patch16_rpn_224"),
         "'C' key 'architecture' is 'vit_xsmall_patch16_rpn_224': its norms stand behind "
         "the branches, expected them before",
         .status = BASE_UNSUPPORTED},
        {"", NAME("vit_base_patch32_clip_quickgelu_224"),
         "'C' key 'architecture' is 'vit_base_patch32_clip_quickgelu_224': its GELU is x "
         "sigmoid(1.702 x), expected erf or tanh",
         .status = BASE_UNSUPPORTED},
        {"fc_norm.weight 192", NULL,
         "'X' tensor 'fc_norm.weight' is a second last norm, expected one",
         .status = BASE_UNSUPPORTED},
        {"fc_norm.weight 192; norm.weight", "{\"global_pool\": \"token\"}",
         "'C' pools a class token, but 'X' has a norm behind the pooling (fc_norm), "
         "expected the mean",
         .status = BASE_UNSUPPORTED},
        {"cls_token; pos_embed 1 4 192", "{\"global_pool\": \"token\"}",
         "'C' pools a class token, 'X' has no tensor 'cls_token'", .status = BASE_MISMATCH},
        {"patch_embed.proj.weight", NULL,
         "'X' has no tensor 'patch_embed.proj.weight': neither a vmoe checkpoint nor one "
         "with timm's names",
         .status = BASE_MISMATCH},
        {"patch_embed.proj.weight 192 48", NULL,
         "'X' tensor 'patch_embed.proj.weight' has shape [192, 48], expected 4 dimensions",
         .status = BASE_MISMATCH},
        {"blocks.0.mlp.fc1.weight", NULL,
         "'X' has no tensor 'blocks.0.mlp.fc1.weight': neither a vmoe checkpoint nor one "
         "with timm's names",
         .status = BASE_MISMATCH},
        {"blocks.0.mlp.fc1.weight 7", NULL,
         "'X' tensor 'blocks.0.mlp.fc1.weight' has shape [7], expected 2 dimensions",
         .status = BASE_MISMATCH},
        {"pos_embed", NULL,
         "'X' has no tensor 'pos_embed': neither a vmoe checkpoint nor one with timm's "
         "names",
         .status = BASE_MISMATCH},
        {"pos_embed 5 192", NULL,
         "'X' tensor 'pos_embed' has shape [5, 192], expected 3 dimensions",
         .status = BASE_MISMATCH},
        {"cls_token", NULL, "'X' tensor 'pos_embed' has 5 rows, expected a square number",
         .status = BASE_UNSUPPORTED},
        {"pos_embed 1 7 192", NULL,
         "'X' tensor 'pos_embed' has 7 rows, expected a square number and perhaps those "
         "before the patches",
         .status = BASE_UNSUPPORTED},
        {"reg_token 1 4 192; pos_embed 1 9 192", NULL,
         "'X' tensor 'pos_embed' has 9 rows, 3 x 3 or, behind 5 tokens, 2 x 2: "
         "'input_size' in a config.json beside it tells",
         .status = BASE_UNSUPPORTED},
        {"reg_token 1 4 192; pos_embed 1 9 192", CFG("\"input_size\": [3, 16, 16]"),
         "'X' tensor 'pos_embed' has 9 rows, 3 x 3 or, behind 5 tokens, 2 x 2: "
         "'input_size' in a config.json beside it tells",
         .status = BASE_UNSUPPORTED},
        {"head.weight", NULL,
         "'X' has no tensor 'head.weight' and no number of classes was given",
         .status = BASE_MISMATCH},
        {"", CFG("\"input_size\": [1, 8, 8]"),
         "'C' key 'input_size' has 1 channels, the patches of 'X' have 3",
         .status = BASE_MISMATCH},
        {"", "{\"num_classes\": 4}",
         "'C' key 'num_classes' is 4, the head of 'X' has 3 outputs",
         .status = BASE_MISMATCH},
        {"", "{\"label_names\": [\"a\", \"b\"]}",
         "'C' key 'label_names' has 2 names, the head of 'X' has 3 outputs",
         .status = BASE_MISMATCH},
        {"", NULL, "'X' 'width' is 192, expected a multiple of heads (5)",
         .status = BASE_USAGE, .options = {.heads = 5}},
        {"blocks.64.x 1", NULL, "'X' 'depth' is 65, expected 1 to 64",
         .status = BASE_USAGE},
        {"blocks.1234567.x 1", NULL, "'X' 'depth' is 1234568, expected 1 to 64",
         .status = BASE_USAGE},
        {"head.weight 20000000 0", NULL, "'X' 'classes' is 16777216, expected 1 to 1048576",
         .status = BASE_USAGE},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_timm(&cases[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_hub_config");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, every_key_is_read);
    tcase_add_test(core, networks_are_told_by_their_tensors);
    tcase_add_test(core, heads_are_known_or_assumed);
    tcase_add_test(core, pixels_are_made_ready_as_config_json_says_or_timm_does);
    tcase_add_test(limits, files_that_fit_no_network_are_refused_by_tensor);
    tcase_add_test(limits, what_cannot_be_is_refused_by_key);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
