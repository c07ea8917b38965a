/* test_app_reading.c - what a network's file does not say: config.json beside it, known
 * widths, options; each told in a line and in the JSON, whatever the command. Files that
 * are none of ours are called what they are. */
#include <math.h>

#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static char *dir, *in, *config_file, *picture, *results;

static void setup(void)
{
    dir = test_folder_make();
    in = test_path(dir, "model.safetensors");
    config_file = test_path(dir, "config.json");
    picture = test_path(dir, "x.png");
    results = test_path(dir, "r.json");
    sample_picture_save(picture, 1, 1);
}

static void teardown(void)
{
    base_free(in);
    base_free(config_file);
    base_free(picture);
    base_free(results);
    test_folder_remove(dir);
}

/* A network of this width, depth 1 and with these registers under timm's names alone. */
static void registers_save(int width, int heads, int registers)
{
    base_error err = {0};
    vit_config config = sample_config(false);
    vit_tensor tensor[64];
    vit_model *model = NULL;
    size_t count = 0;

    config.width = width;
    config.heads = heads;
    config.registers = registers;
    config.depth = 1;
    ck_assert_msg(vit_model_create(&model, &config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(model, 3);
    base_rng rng = base_rng_make(7, BASE_PURPOSE_TEST, 1, 2, 3);
    for (size_t i = 0; i < vit_model_floats(model); i++)
        vit_model_weights(model)[i] += 0.2f * (float)base_rng_normal(&rng);
    for (; count < vit_model_parameter_count(model); count++) {
        const vit_parameter *p = vit_model_parameter(model, count);

        tensor[count] = (vit_tensor){.name = p->name,
                                     .type = "F32",
                                     .rank = p->rank,
                                     .data = vit_model_weights_const(model) + p->offset};
        memcpy(tensor[count].shape, p->shape, sizeof p->shape);
    }
    ck_assert_msg(vit_tensors_write(in, tensor, count, NULL, 0, &err) == BASE_OK, "%s",
                  err.text);
    vit_model_destroy(model);
}

static void timm_save(int width, int heads)
{
    registers_save(width, heads, 0);
}

static void config_write(const char *text)
{
    test_write(config_file, text, strlen(text));
}

/* Runs inspect with one more option (NULL: none), its JSON; stderr must hold the words
 * (NULL: nothing at all). */
static json_t *inspected(const char *option, const char *value, const char *words)
{
    program_result r =
        program_run(dir, "inspect", in, "--json", results, option, value, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    if (words)
        ck_assert_msg(strstr(r.err, words) != NULL, "'%s' does not say '%s'", r.err, words);
    else
        ck_assert_str_eq(r.err, "");
    program_result_free(&r);
    return program_json(results);
}

static const char *text_of(const json_t *json, const char *a, const char *b, const char *c)
{
    const json_t *at = json_object_get(json, a);

    at = json_object_get(at, b);
    at = c ? json_object_get(at, c) : at;
    ck_assert_msg(json_is_string(at), "no text at %s %s %s", a, b, c ? c : "");
    return json_string_value(at);
}

static double mean_of(const json_t *json, const char *key, size_t i)
{
    return json_number_value(
        json_array_get(json_object_get(json_object_get(json, "preprocessing"), key), i));
}

static int heads_of(const json_t *json)
{
    return (int)json_number_of(json_object_get(json, "network"), "heads");
}

static const char nested[] =
    "{\"architecture\": \"vit_tiny_patch4_8\", \"num_classes\": 3, \"global_pool\": \"token\","
    " \"label_names\": [\"ash\", \"birch\", \"cedar\"],"
    " \"pretrained_cfg\": {\"mean\": [0.5, 0.4, 0.3], \"std\": [0.25, 0.5, 0.75],"
    " \"crop_pct\": 0.8, \"interpolation\": \"bilinear\", \"input_size\": [3, 8, 8],"
    " \"num_classes\": 21843}, \"model_args\": {\"num_heads\": 4}}";
static const char flat[] =
    "{\"architecture\": \"vit_tiny_patch4_8\", \"num_classes\": 3, \"labels\": [\"ash\", "
    "\"birch\", \"cedar\"], \"mean\": [0.5, 0.4, 0.3], \"std\": [0.25, 0.5, 0.75], "
    "\"crop_pct\": 0.8, \"interpolation\": \"bilinear\", \"input_size\": [3, 8, 8], "
    "\"num_heads\": 4, \"global_pool\": \"token\"}";

START_TEST(both_forms_of_config_json_are_honoured)
{
    const char *const forms[] = {nested, flat};

    timm_save(64, 4);
    config_write(forms[_i]);
    json_t *json = inspected(NULL, NULL,
                             "from config.json: mean 0.5 0.4 0.3, std 0.25 0.5 "
                             "0.75, bilinear, resize 10, crop 8, 4 heads");
    ck_assert_double_eq(mean_of(json, "mean", 1), 0.4);
    ck_assert_double_eq(mean_of(json, "std", 2), 0.75);
    ck_assert_str_eq(text_of(json, "preprocessing", "interpolation", NULL), "bilinear");
    ck_assert_str_eq(text_of(json, "preprocessing", "from", "mean"), "config.json");
    ck_assert_double_eq(json_number_of(json_object_get(json, "preprocessing"), "resize"),
                        10);
    ck_assert_int_eq(heads_of(json), 4);
    const json_t *labels = json_object_get(json_object_get(json, "config"), "labels");
    ck_assert_str_eq(json_string_value(json_array_get(labels, 1)), "birch");
    json_decref(json);
}
END_TEST

START_TEST(without_config_json_every_guess_is_told)
{
    timm_save(192, 3);
    json_t *json =
        inspected(NULL, NULL, "known of its width: 3 heads; assumed: mean 0.485");
    ck_assert_str_eq(text_of(json, "preprocessing", "from", "std"), "assumed");
    ck_assert_str_eq(text_of(json, "network", "from", "heads"), "known width");
    json_decref(json);
    timm_save(320, 5);
    json = inspected(NULL, NULL, "5 heads (width / 64)");
    ck_assert_str_eq(text_of(json, "network", "from", "heads"), "assumed");
    json_decref(json);
}
END_TEST

/* ViT-H/14, -g/14, -G/14 (Zhai et al. 2022, table 2) and SO400M have 16 heads, not width /
 * 64. */
START_TEST(published_widths_have_their_heads)
{
    const int widths[] = {1152, 1280, 1408, 1664};

    timm_save(widths[_i], 16);
    json_t *json = inspected(NULL, NULL, "known of its width: 16 heads");
    ck_assert_int_eq(heads_of(json), 16);
    json_decref(json);
}
END_TEST

/* As transformers writes them, not its placeholders; what is no order of the logits is
 * passed over. */
START_TEST(names_by_number_are_names)
{
    static const char *const by_number[] = {
        "{\"num_classes\": 3, \"id2label\": {\"2\": \"cedar\", \"0\": \"ash\", \"1\": \"birch\"}}",
        "{\"label_names\": {\"0\": \"ash\", \"1\": \"birch\", \"2\": \"cedar\"}}"};
    static const char *const none[] = {
        "{\"id2label\": {\"0\": \"LABEL_0\", \"1\": \"LABEL_1\"}}",
        "{\"labels\": {\"ash\": \"a tree\"}}"};

    timm_save(64, 4);
    for (size_t i = 0; i < 4; i++) {
        config_write(i < 2 ? by_number[i] : none[i - 2]);
        json_t *json = inspected(NULL, NULL, "assumed");
        const json_t *labels = json_object_get(json_object_get(json, "config"), "labels");
        const char *name = json_string_value(json_array_get(labels, 1));
        ck_assert_str_eq(name ? name : "", i < 2 ? "birch" : "");
        json_decref(json);
    }
}
END_TEST

/* What only an architecture's name or its arguments tell; without crop_pct timm takes
 * 0.875. */
START_TEST(architectures_and_arguments_are_heard)
{
    static const struct {
        const char *text;
        int width, heads;
    } named[] = {{"{\"architecture\": \"test_vit.r160_in1k\"}", 64, 2},
                 {"{\"architecture\": \"test_vit2\"}", 96, 3},
                 {"{\"architecture\": \"vit_base_patch16_gap_224\"}", 768, 16},
                 {"{\"architecture\": \"vit_base_patch16_224\"}", 768, 12}};

    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        timm_save(named[i].width, named[i].heads);
        config_write(named[i].text);
        json_t *json = inspected(NULL, NULL, "resize 9, crop 8"); /* 8 / 0.875 */
        ck_assert_int_eq(heads_of(json), named[i].heads);
        json_decref(json);
    }
    timm_save(64, 4);
    config_write("{\"model_args\": {\"act_layer\": \"gelu_tanh\", \"norm_layer\": null}}");
    json_t *json = inspected(NULL, NULL, "assumed");
    ck_assert_str_eq(text_of(json, "config", "gelu", NULL), "tanh");
    json_decref(json);
}
END_TEST

/* 9 positions: 3 x 3 patches, or 2 x 2 behind a class token and 4 registers. */
START_TEST(the_side_of_the_input_tells_positions_apart)
{
    registers_save(64, 4, 4);
    program_refused(program_run(dir, "inspect", in, NULL), 1,
                    "9 rows, 3 x 3 or, behind 5 tokens, 2 x 2: 'input_size'");
    config_write("{\"input_size\": [3, 8, 8]}");
    json_t *json = inspected(NULL, NULL, "crop 8");
    const json_t *config = json_object_get(json, "config");
    ck_assert_int_eq((int)json_number_of(config, "image"), 8);
    ck_assert_int_eq((int)json_number_of(config, "registers"), 4);
    json_decref(json);
}
END_TEST

START_TEST(options_stand_above_all_files)
{
    timm_save(64, 4);
    config_write(nested);
    json_t *json = inspected("--mean", "half", "by option: mean 0.5 0.5 0.5");
    ck_assert_double_eq(mean_of(json, "mean", 2), 0.5);
    json_decref(json);
    json = inspected("--std", "0.1,0.2,0.3", "by option: std 0.1 0.2 0.3");
    ck_assert_double_eq(mean_of(json, "std", 1), 0.2);
    json_decref(json);
    json = inspected("--heads", "8", "by option: 8 heads");
    ck_assert_int_eq(heads_of(json), 8);
    json_decref(json);
    json = inspected("--pool", "gap", "by option: the mean over the patches is pooled");
    ck_assert_str_eq(text_of(json, "network", "pool", NULL), "gap");
    json_decref(json);
    json = inspected("--crop", "16", "by option: resize 20, crop 16");
    json_decref(json);
    program_refused(program_run(dir, "inspect", in, "--mean", "0.5,x", NULL), 2,
                    "--mean is '0.5,x', expected imagenet");
    program_refused(
        program_run(dir, "inspect", in, "--mean", "123.675,116.28,103.53", NULL), 2,
        "are 123.675 and 0.25, expected those of pixels from 0 to 1");
    program_refused(program_run(dir, "inspect", in, "--heads", "7", NULL), 2,
                    "a multiple of heads (7)");
}
END_TEST

/* A file of ours says all: nothing is told, and options still stand above it. */
START_TEST(a_whole_checkpoint_is_silent)
{
    const vit_config config = sample_config(false);

    sample_model_save(in, &config, sample_labels);
    config_write(nested);
    json_t *json = inspected(NULL, NULL, NULL);
    ck_assert_str_eq(text_of(json, "preprocessing", "from", "mean"), "checkpoint");
    ck_assert_int_eq(heads_of(json), 2);
    json_decref(json);
    json = inspected("--heads", "1", "by option: 1 head");
    ck_assert_int_eq(heads_of(json), 1);
    json_decref(json);
}
END_TEST

/* Every command that opens the network tells and holds the same. */
START_TEST(all_commands_tell_and_hold_it)
{
    char *data = test_path(dir, "data"), *out = test_path(dir, "out");
    const char *const commands[][6] = {
        {"eval", in, "--data", data, NULL},
        {"predict", in, picture, NULL},
        {"convert", in, "OUT", NULL},
        {"attack", in, "--data", data, "--attack=fgsm", NULL},
    };

    timm_save(64, 4);
    config_write(nested);
    config_write("{\"num_classes\": 3, \"mean\": [0.5, 0.5, 0.5], \"label_names\": "
                 "[\"blue\", \"green\", \"red\"]}");
    ck_assert_int_eq(base_folder_make(data, NULL), BASE_OK);
    sample_folder_make(data);
    const bool attack = strcmp(commands[_i][0], "attack") == 0;
    const char *word[6] = {0};
    for (size_t i = 0; commands[_i][i]; i++)
        word[i] = strcmp(commands[_i][i], "OUT") == 0 ? "o.safetensors" : commands[_i][i];
    char *file = test_path(dir, "o.safetensors");
    if (word[2] && strcmp(word[2], "o.safetensors") == 0)
        word[2] = file;
    program_result r =
        attack
            ? program_run(dir, "attack", "--out", out, "--eps", "1", word[1], word[2],
                          word[3], "--attack", "fgsm", NULL)
            : program_run(dir, word[0], "--json", results, word[1], word[2], word[3], NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.err, "from config.json: mean 0.5 0.5 0.5; assumed: std 0.229"),
                  "%s", r.err);
    program_result_free(&r);
    char *report = attack ? test_path(out, "report.json") : NULL;
    json_t *json = program_json(attack ? report : results);
    ck_assert_double_eq(mean_of(json, "mean", 0), 0.5);
    ck_assert_str_eq(text_of(json, "preprocessing", "from", "std"), "assumed");
    ck_assert_int_eq(heads_of(json), 1);
    json_decref(json);
    base_free(report);
    base_free(file);
    base_free(out);
    base_free(data);
}
END_TEST

START_TEST(a_config_json_that_contradicts_the_tensors_is_refused)
{
    const struct {
        const char *text, *words;
    } bad[] = {
        {"{\"num_classes\": 5}", "key 'num_classes' is 5, the head"},
        {"{\"num_classes\": 3, \"label_names\": [\"a\"]}", "has 1 names"},
        {"{\"mean\": [0.5, 0.5]}", "key 'mean' is not a list"},
        {"{\"std\": [0.5, 0, 0.5]}", "numbers above 0"},
        {"{\"std\": [58.395, 57.12, 57.375]}", "key 'std' is not of pixels from 0 to 1"},
        {"{\"id2label\": {\"0\": \"a\", \"2\": \"b\"}}",
         "'id2label' is not an object of names"},
        {"{\"id2label\": {\"0\": \"a\"}}", "key 'id2label' has 1 names"},
        {"{\"crop_pct\": 1.5}", "key 'crop_pct'"},
        {"{\"interpolation\": \"lanczos\"}", "is 'lanczos', expected bilinear or bicubic"},
        {"{\"model_args\": {\"act_layer\": \"relu\"}}",
         "is 'relu', expected gelu or gelu_tanh"},
        {"{\"model_args\": {\"norm_layer\": \"rmsnorm\"}}",
         "is 'rmsnorm', expected layernorm"},
        {"{\"model_args\": {\"block_fn\": \"ResPostBlock\"}}",
         "'block_fn' makes another network"},
        {"{\"model_args\": {\"pool_include_prefix\": true}}",
         "'pool_include_prefix' is true"},
        {"{\"architecture\": \"vit_base_patch16_rpn_224\"}",
         "norms stand behind the branches"},
        {"{\"input_size\": [1, 8, 8]}", "has 1 channels, the patches"},
        {"{\"crop_mode\": \"border\"}", "is 'border', expected center or squash"},
        {"{\"global_pool\": \"map\"}", "is 'map', expected token or avg"},
        {"{\"input_size\": [3, 8, 16]}", "no square"},
        {"{\"pretrained_cfg\": 3}", "'pretrained_cfg' is not an object"},
        {"[]", "is not a JSON object"},
        {"{", "is not a JSON object: "},
    };

    timm_save(64, 4);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config_write(bad[i].text);
        program_refused(program_run(dir, "inspect", in, NULL), 1, bad[i].words);
    }
}
END_TEST

START_TEST(input_size_and_crop_mode_of_config_json_are_the_networks)
{
    timm_save(64, 4);
    config_write(
        "{\"input_size\": [3, 16, 16], \"crop_pct\": 0.9, \"crop_mode\": \"squash\"}");
    json_t *json = inspected(NULL, NULL, "resize 17 (both sides), crop 16");
    ck_assert_str_eq(text_of(json, "preprocessing", "crop_mode", NULL), "squash");
    json_decref(json);
}
END_TEST

START_TEST(files_of_other_kinds_are_called_by_name)
{
    static const char zip[16] = "PK\3\4", zeros[64] = {0};
    static const struct {
        const char *name, *bytes;
        size_t count;
        const char *words;
    } kind[] = {
        {"a.safetensors", "version https://git-lfs.github.com/spec/v1\n", 43,
         "a Git LFS pointer"},
        {"a.pth", zip, sizeof zip,
         "is a PyTorch file; convert it with Python: import torch"},
        {"b.bin",
         "\x80\x02\x8a\nl\xfc\x9c"
         "F\xf9 j\xa8P\x19.",
         15, "is a PyTorch file"},
        {"c.pkl", "\x80\x04\x95xxxxxxxxxx", 13, "is a Python pickle"},
        {"d.h5", "\x89HDF\r\n\x1a\nxxxxxxx", 15, "is an HDF5 file"},
        {"e.npz", zip, sizeof zip, "is no ZIP archive, or cut off"},
        {"f.zip", zip, sizeof zip, "is a ZIP archive"},
        {"g.npy", "\x93NUMPY\1\0v\0{}", 12, "one NumPy array"},
        {"h.safetensors", "hello, here is no network\n", 26, "is text, expected"},
        {"i.safetensors", "", 0, "is empty"},
        {"j.safetensors", "<!DOCTYPE html><html>", 21, "is a web page"},
        {"k.json", "{\"weight_map\": {\"a\": \"model-1.safetensors\"}}", 44,
         "index of shards"},
        {"l.safetensors", zeros, sizeof zeros, "a header of 0 bytes"},
        {"m.safetensors", zeros, 5, "has 5 bytes"},
    };

    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        char *path = test_path(dir, kind[i].name);

        test_write(path, kind[i].bytes, kind[i].count);
        program_refused(program_run(dir, "inspect", path, NULL), 1, kind[i].words);
        base_free(path);
    }
}
END_TEST

/* sin-cos positions are computed here and stored by timm. */
START_TEST(dense_sincos_networks_carry_their_positions)
{
    base_error err = {0};
    vit_config config = sample_config(false);
    vit_tensor_file *file = NULL;
    char *again = test_path(dir, "again.safetensors");

    config.position = VIT_POSITION_SINCOS;
    sample_model_save(in, &config, sample_labels);
    ck_assert_msg(vit_tensors_open(&file, in, &err) == BASE_OK, "%s", err.text);
    const vit_tensor *p = vit_tensors_find(file, "pos_embed");
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(p->shape[1], 5); /* a class token and 2 x 2 patches */
    const float *at = p->data;
    for (size_t i = 0; i < 8; i++)
        ck_assert_double_eq((double)at[i], 0); /* the class token has no place */
    /* Patch (0, 1), quarters of two: sin and cos of x / 10000^i, then of y
     * (posemb_sincos_2d). */
    ck_assert_double_eq_tol((double)at[16], 0.841470985, 1e-6);
    ck_assert_double_eq_tol((double)at[17], 1e-4, 1e-9);
    ck_assert_double_eq_tol((double)at[18], 0.540302306, 1e-6);
    ck_assert_double_eq((double)at[20], 0);
    ck_assert_double_eq((double)at[22], 1);
    vit_tensors_close(file);
    program_done(program_run(dir, "convert", in, again, NULL));
    base_free(again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_reading");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_loop_test(core, both_forms_of_config_json_are_honoured, 0, 2);
    tcase_add_test(core, without_config_json_every_guess_is_told);
    tcase_add_loop_test(core, published_widths_have_their_heads, 0, 4);
    tcase_add_test(core, names_by_number_are_names);
    tcase_add_test(core, architectures_and_arguments_are_heard);
    tcase_add_test(core, the_side_of_the_input_tells_positions_apart);
    tcase_add_test(core, options_stand_above_all_files);
    tcase_add_test(core, a_whole_checkpoint_is_silent);
    tcase_add_loop_test(core, all_commands_tell_and_hold_it, 0, 4);
    tcase_add_test(core, input_size_and_crop_mode_of_config_json_are_the_networks);
    tcase_add_test(core, dense_sincos_networks_carry_their_positions);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(limits, a_config_json_that_contradicts_the_tensors_is_refused);
    tcase_add_test(limits, files_of_other_kinds_are_called_by_name);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
