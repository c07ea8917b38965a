/* test_vit_hub.c - folders of the Hub: what is written is read back, with the checkpoint's
 * own metadata and without it by config.json alone; nobody's files are removed. What timm
 * makes of them: reference/onnx_referee.py hub. */
#include <jansson.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"

static char *dir, *folder, *weights, *config_path, *readme;

static void setup(void)
{
    dir = test_folder_make();
    folder = test_path(dir, "hub");
    weights = test_path(folder, "model.safetensors");
    config_path = test_path(folder, "config.json");
    readme = test_path(folder, "README.md");
}

static void teardown(void)
{
    base_free(readme);
    base_free(config_path);
    base_free(weights);
    base_free(folder);
    test_folder_remove(dir);
}

static void save(const vit_model *model)
{
    base_error err = {0};

    must(vit_model_save_hub(model, folder, "# a card\n", VIT_PRECISION_FP32, &err), &err);
}

/* The folder's checkpoint as other programs write it: without metadata. */
static void forget(void)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    vit_tensor tensor[200];
    char *bare = test_path(dir, "bare.safetensors");

    must(vit_tensors_open(&file, weights, &err), &err);
    const size_t count = vit_tensors_count(file);
    ck_assert_uint_le(count, 200);
    for (size_t i = 0; i < count; i++)
        tensor[i] = *vit_tensors_at(file, i);
    must(vit_tensors_write(bare, tensor, count, NULL, 0, &err), &err);
    vit_tensors_close(file);
    ck_assert_int_eq(rename(bare, weights), 0);
    base_free(bare);
}

/* The configuration of the folder's network as text (base_free). */
static char *loaded_config(void)
{
    base_error err = {0};
    vit_model *model = NULL;

    must(vit_model_load(&model, weights, NULL, &err), &err);
    char *out = vit_model_config_json(model);
    vit_model_destroy(model);
    return out;
}

/* A member of config.json by the names above it; NULL: not there. Borrows until the next
 * call. */
static json_t *member(const char *outer, const char *name)
{
    static json_t *top;

    json_decref(top);
    top = json_load_file(config_path, 0, NULL);
    ck_assert_ptr_nonnull(top);
    json_t *in = outer ? json_object_get(top, outer) : top;
    json_t *out = json_incref(json_object_get(in, name));
    json_decref(top);
    top = out;
    return out;
}

START_TEST(a_sparse_network_is_read_back_by_config_json_alone)
{
    vit_config config = test_sparse_config();
    base_error err = {0};

    config.moe.shared = 1;
    config.moe.eval_capacity = 1.25;
    config.drop_path = 0.125;
    must(vit_router_select(&config.moe.router, "loss-free", &err), &err);
    vit_model *model = test_model(&config, 3);
    must(vit_model_labels_set(model, (const char *const[]){"a", "b", "c"}, 3, &err), &err);
    save(model);
    char *before = vit_model_config_json(model), *text = NULL;
    size_t bytes = 0;
    ck_assert_str_eq(json_string_value(member(NULL, "model_type")), "vmoe");
    must(base_file_read(&text, &bytes, readme, 1 << 20, &err), &err);
    ck_assert_str_eq(text, "# a card\n");
    base_free(text);
    for (int i = 0; i < 2; i++) {
        char *after = loaded_config();
        ck_assert_str_eq(before, after);
        base_free(after);
        forget();
    }
    vit_model *back = NULL;
    must(vit_model_load(&back, weights, NULL, &err), &err);
    ck_assert_mem_eq(vit_model_weights_const(back), vit_model_weights_const(model),
                     vit_model_floats(model) * sizeof(float));
    ck_assert_int_eq(vit_model_origins(back)->mean, VIT_ORIGIN_CONFIG);
    vit_model_destroy(back);
    json_decref(member(NULL, "none"));
    base_free(before);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_dense_network_has_timms_form)
{
    vit_config config = test_config();
    base_error err = {0};
    bool timm = false;

    config.width = 28;
    config.mlp = 61; /* int(28 * (61.0 / 28)) is 60 */
    config.heads = 4;
    config.image = config.crop = 12;
    config.resize = 59; /* int(12 / (12.0 / 59)) is 58 */
    config.pool = VIT_POOL_PATCHES;
    config.gelu = VIT_GELU_TANH;
    config.registers = 2;
    config.qk_norm = config.fc_norm = true;
    vit_model *model = test_model(&config, 3);
    must(vit_model_labels_set(model, (const char *const[]){"a", "b", "c"}, 3, &err), &err);
    base_free(vit_model_hub_json(model, &timm));
    ck_assert(timm);
    save(model);
    ck_assert_str_eq(json_string_value(member(NULL, "architecture")),
                     "vit_base_patch16_224");
    ck_assert_str_eq(json_string_value(member("model_args", "act_layer")), "gelu_tanh");
    ck_assert_int_eq((int)json_integer_value(member("model_args", "reg_tokens")), 2);
    ck_assert(json_is_true(member("model_args", "fc_norm")));
    ck_assert(json_is_true(member("model_args", "qk_norm")));
    ck_assert_ptr_null(member("model_args", "class_token"));
    ck_assert_str_eq(json_string_value(member("model_args", "global_pool")), "avg");
    ck_assert_int_eq((int)(28 * json_number_value(member("model_args", "mlp_ratio"))), 61);
    ck_assert_int_eq((int)(12 / json_number_value(member("pretrained_cfg", "crop_pct"))),
                     59);
    ck_assert_double_eq(
        json_number_value(json_array_get(member("pretrained_cfg", "mean"), 0)), 0.485);
    forget();
    vit_model *back = NULL;
    must(vit_model_load(&back, weights, NULL, &err), &err);
    const vit_config *c = vit_model_config(back);
    ck_assert_int_eq(c->heads, 4);
    ck_assert_int_eq(c->mlp, 61);
    ck_assert_int_eq(c->resize, 59);
    ck_assert_int_eq(c->crop, 12);
    ck_assert_int_eq(c->pool, VIT_POOL_PATCHES);
    ck_assert_str_eq(c->interpolation, "bilinear");
    ck_assert_str_eq(vit_model_label(back, 1), "b");
    ck_assert_mem_eq(vit_model_weights_const(back), vit_model_weights_const(model),
                     vit_model_floats(model) * sizeof(float));
    vit_model_destroy(back);
    json_decref(member(NULL, "none"));
    vit_model_destroy(model);
}
END_TEST

START_TEST(the_names_of_published_sizes_are_used)
{
    vit_config config = vit_config_defaults();
    vit_model *model = NULL;
    base_error err = {0};

    must(vit_model_create(&model, &config, &err), &err);
    char *text = vit_model_hub_json(model, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\"vit_tiny_patch16_224\""));
    ck_assert_ptr_nonnull(strstr(text, "\"crop_pct\": 0.875"));
    base_free(text);
    /* of TensorFlow's filters, the nearest that timm has */
    snprintf(config.interpolation, sizeof config.interpolation, "area");
    must(vit_model_config_set(model, &config, &err), &err);
    text = vit_model_hub_json(model, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\"interpolation\": \"box\""));
    base_free(text);
    snprintf(config.interpolation, sizeof config.interpolation, "bilinear-plain");
    must(vit_model_config_set(model, &config, &err), &err);
    text = vit_model_hub_json(model, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\"interpolation\": \"bilinear\""));
    base_free(text);
    vit_model_destroy(model);
}
END_TEST

/* As timm reads it: what is timm's default is not written but for sizes. */
START_TEST(config_json_is_written_to_the_letter)
{
    static const char plain[] = "{\n"
                                "  \"architecture\": \"vit_base_patch16_224\",\n"
                                "  \"num_classes\": 3,\n"
                                "  \"num_features\": 8,\n"
                                "  \"global_pool\": \"token\",\n"
                                "  \"model_args\": {\n"
                                "    \"img_size\": 8,\n"
                                "    \"patch_size\": 4,\n"
                                "    \"embed_dim\": 8,\n"
                                "    \"depth\": 2,\n"
                                "    \"num_heads\": 2,\n"
                                "    \"mlp_ratio\": 1.5,\n"
                                "    \"global_pool\": \"token\",\n"
                                "    \"fc_norm\": false\n"
                                "  },\n"
                                "  \"pretrained_cfg\": {\n"
                                "    \"input_size\": [\n"
                                "      3,\n"
                                "      8,\n"
                                "      8\n"
                                "    ],\n"
                                "    \"fixed_input_size\": true,\n"
                                "    \"interpolation\": \"bilinear\",\n"
                                "    \"crop_pct\": 1.0,\n"
                                "    \"crop_mode\": \"center\",\n"
                                "    \"mean\": [\n"
                                "      0.485,\n"
                                "      0.456,\n"
                                "      0.406\n"
                                "    ],\n"
                                "    \"std\": [\n"
                                "      0.229,\n"
                                "      0.224,\n"
                                "      0.225\n"
                                "    ],\n"
                                "    \"num_classes\": 3,\n"
                                "    \"pool_size\": null,\n"
                                "    \"first_conv\": \"patch_embed.proj\",\n"
                                "    \"classifier\": \"head\"\n"
                                "  }\n"
                                "}";
    static const char all[] = "{\n"
                              "  \"architecture\": \"vit_base_patch16_clip_224\",\n"
                              "  \"num_classes\": 3,\n"
                              "  \"num_features\": 8,\n"
                              "  \"global_pool\": \"avg\",\n"
                              "  \"model_args\": {\n"
                              "    \"img_size\": 8,\n"
                              "    \"patch_size\": 4,\n"
                              "    \"embed_dim\": 8,\n"
                              "    \"depth\": 2,\n"
                              "    \"num_heads\": 2,\n"
                              "    \"mlp_ratio\": 1.5,\n"
                              "    \"global_pool\": \"avg\",\n"
                              "    \"fc_norm\": true,\n"
                              "    \"in_chans\": 1,\n"
                              "    \"class_token\": false,\n"
                              "    \"reg_tokens\": 4,\n"
                              "    \"qk_norm\": true,\n"
                              "    \"pre_norm\": false,\n"
                              "    \"act_layer\": \"gelu_tanh\"\n"
                              "  },\n"
                              "  \"pretrained_cfg\": {\n"
                              "    \"input_size\": [\n"
                              "      1,\n"
                              "      8,\n"
                              "      8\n"
                              "    ],\n"
                              "    \"fixed_input_size\": true,\n"
                              "    \"interpolation\": \"box\",\n"
                              "    \"crop_pct\": 0.8,\n"
                              "    \"crop_mode\": \"squash\",\n"
                              "    \"mean\": [\n"
                              "      0.485\n"
                              "    ],\n"
                              "    \"std\": [\n"
                              "      0.229\n"
                              "    ],\n"
                              "    \"num_classes\": 3,\n"
                              "    \"pool_size\": null,\n"
                              "    \"first_conv\": \"patch_embed.proj\",\n"
                              "    \"classifier\": \"head\"\n"
                              "  },\n"
                              "  \"label_names\": [\n"
                              "    \"a\",\n"
                              "    \"b\",\n"
                              "    \"c\"\n"
                              "  ]\n"
                              "}";
    vit_config config = test_config();
    base_error err = {0};
    vit_model *model = test_model(&config, 3);

    char *text = vit_model_hub_json(model, NULL);
    ck_assert_str_eq(text, plain);
    base_free(text);
    vit_model_destroy(model);
    config.pool = VIT_POOL_GAP;
    config.channels = 1;
    config.registers = 4;
    config.qk_norm = config.fc_norm = true;
    config.gelu = VIT_GELU_TANH;
    config.eps = 1e-5;
    config.crop_mode = VIT_CROP_SQUASH;
    config.resize = 10;
    snprintf(config.interpolation, sizeof config.interpolation, "area");
    model = test_model(&config, 3);
    must(vit_model_labels_set(model, (const char *const[]){"a", "b", "c"}, 3, &err), &err);
    text = vit_model_hub_json(model, NULL);
    ck_assert_str_eq(text, all);
    base_free(text);
    /* and read back, by it alone */
    save(model);
    forget();
    vit_model *back = NULL;
    must(vit_model_load(&back, weights, NULL, &err), &err);
    const vit_config *read = vit_model_config(back);
    ck_assert(read->pool == VIT_POOL_GAP && read->channels == 1 && read->registers == 4);
    ck_assert(read->qk_norm && read->fc_norm && !read->pre_norm && read->eps == 1e-5);
    ck_assert(read->gelu == VIT_GELU_TANH && read->crop_mode == VIT_CROP_SQUASH);
    ck_assert(read->resize == 10 && read->heads == 2 && read->mlp == 12);
    ck_assert_str_eq(read->interpolation, "area");
    vit_model_destroy(back);
    vit_model_destroy(model);
}
END_TEST

START_TEST(published_sizes_have_timms_names)
{
    static const struct {
        const char *name;
        int patch, width, depth, heads;
    } known[] = {
        {"vit_base_patch16_224", 16, 768, 12, 12},
        {"vit_base_patch32_224", 32, 768, 12, 12},
        {"vit_base_patch8_224", 8, 768, 12, 12},
        {"vit_tiny_patch16_224", 16, 192, 12, 3},
        {"vit_small_patch16_224", 16, 384, 12, 6},
        {"vit_small_patch32_224", 32, 384, 12, 6},
        {"vit_large_patch16_224", 16, 1024, 24, 16},
        {"vit_base_patch16_224", 16, 192, 12, 6}, /* none of them: varied */
        {"vit_base_patch16_224", 8, 192, 12, 3},
        {"vit_base_patch16_224", 16, 192, 11, 3},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        base_error err = {0};
        char words[64];
        vit_config config = vit_config_defaults();
        vit_model *model = NULL;
        config.patch = known[i].patch;
        config.width = known[i].width;
        config.depth = known[i].depth;
        config.heads = known[i].heads;
        must(vit_model_plan(&model, &config, &err), &err); /* without weights */
        char *text = vit_model_hub_json(model, NULL);
        snprintf(words, sizeof words, "{\n  \"architecture\": \"%s\",\n", known[i].name);
        ck_assert_msg(strncmp(text, words, strlen(words)) == 0, "%zu: %s", i, text);
        base_free(text);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(what_timm_has_not_is_ours)
{
    bool timm = true;
    vit_config config = test_config();

    config.prelogits = 5;
    vit_model *model = test_model(&config, 3);
    base_free(vit_model_hub_json(model, &timm));
    ck_assert(!timm);
    vit_model_destroy(model);
    config.prelogits = 0;
    config.eps = 1e-4;
    model = test_model(&config, 3);
    base_free(vit_model_hub_json(model, &timm));
    ck_assert(!timm);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_bias_that_timm_lacks_is_left_out_where_it_is_zero)
{
    vit_config config = test_config();
    base_error err = {0};
    bool timm = false;

    config.pre_norm = true;
    config.eps = 1e-5;
    vit_model *model = test_model(&config, 3), *back = NULL;
    const vit_parameter *bias = vit_model_parameter_find(model, "patch_embed.proj.bias");
    base_free(vit_model_hub_json(model, &timm));
    ck_assert(timm);
    save(model);
    ck_assert_str_eq(json_string_value(member(NULL, "architecture")),
                     "vit_base_patch16_clip_224");
    must(vit_model_load(&back, weights, NULL, &err), &err);
    ck_assert_mem_eq(vit_model_weights_const(back), vit_model_weights_const(model),
                     vit_model_floats(model) * sizeof(float));
    vit_model_destroy(back);
    vit_tensor_file *file = NULL;
    must(vit_tensors_open(&file, weights, &err), &err);
    ck_assert_ptr_null(vit_tensors_find(file, bias->name));
    vit_tensors_close(file);
    vit_model_weights(model)[bias->offset + 1] = 0.5f;
    base_free(vit_model_hub_json(model, &timm));
    ck_assert(!timm);
    save(model);
    must(vit_model_load(&back, weights, NULL, &err), &err);
    ck_assert_double_eq((double)vit_model_weights_const(back)[bias->offset + 1], 0.5);
    vit_model_destroy(back);
    json_decref(member(NULL, "none"));
    vit_model_destroy(model);
}
END_TEST

START_TEST(other_files_are_not_removed)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 3);
    base_error err = {0};
    char *own = test_path(folder, "notes.txt"), *part = test_path(dir, "hub.part");

    save(model);
    save(model); /* its own files may be replaced */
    ck_assert(!test_exists(part));
    ck_assert_int_eq(base_folder_make(part, NULL), BASE_OK); /* as a killed try leaves it */
    char *left = test_path(part, "model.safetensors.0123456789abcdef.part");
    test_write(left, "x", 1);
    base_free(left);
    save(model);
    ck_assert(!test_exists(part));
    test_write(own, "x", 1);
    ck_assert_int_eq(vit_model_save_hub(model, folder, "other", VIT_PRECISION_FP32, &err),
                     BASE_IO);
    char *words =
        base_text("the folder '%s' holds 'notes.txt', expected a new one, an empty "
                  "one, or one with config.json, model.safetensors and README.md "
                  "alone",
                  folder);
    ck_assert_str_eq(err.text, words);
    base_free(words);
    ck_assert(test_exists(own));
    ck_assert_int_eq(remove(own), 0);
    ck_assert_int_eq(vit_model_save_hub(model, weights, "other", VIT_PRECISION_FP32, &err),
                     BASE_IO);
    test_says(err.text, "cannot write the folder 'hub/model.safetensors': Not a directory");
    ck_assert(!test_exists(part));
    base_free(part);
    base_free(own);
    vit_model_destroy(model);
}
END_TEST

/* A folder's folder must be there; slashes behind the name do not matter. */
START_TEST(folders_that_cannot_be_made_are_named)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 3);
    base_error err = {0};
    char *deep = test_path(dir, "none/hub"), *slashes = base_text("%s//", folder);
    char *words = base_text("cannot make the folder '%s': No such file or directory", deep);

    ck_assert_int_eq(vit_model_save_hub(model, deep, "x", VIT_PRECISION_FP32, &err),
                     BASE_IO);
    ck_assert_str_eq(err.text, words);
    must(vit_model_save_hub(model, slashes, "x", VIT_PRECISION_FP32, &err), &err);
    ck_assert(test_exists(weights));
    test_holds(readme, "x");
    base_free(words);
    base_free(slashes);
    base_free(deep);
    vit_model_destroy(model);
}
END_TEST

START_TEST(an_odd_config_json_of_ours_is_refused)
{
    vit_config config = test_sparse_config();
    vit_model *model = test_model(&config, 3), *back = NULL;
    base_error err = {0};

    save(model);
    forget();
    test_write(config_path, "{\"model_type\": \"vmoe\"}", 22);
    ck_assert_int_eq(vit_model_load(&back, weights, NULL, &err), BASE_FORMAT);
    test_says(err.text, "'hub/config.json' key 'config' is not an object");
    test_write(config_path, "{\"model_type\": \"vmoe\", \"config\": {\"width\": 8}}", 47);
    ck_assert_int_eq(vit_model_load(&back, weights, NULL, &err), BASE_FORMAT);
    test_says(err.text, "~'hub/config.json' is not a JSON object: ");
    ck_assert_ptr_null(back);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_hub");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_sparse_network_is_read_back_by_config_json_alone);
    tcase_add_test(core, a_dense_network_has_timms_form);
    tcase_add_test(core, the_names_of_published_sizes_are_used);
    tcase_add_test(core, config_json_is_written_to_the_letter);
    tcase_add_test(core, published_sizes_have_timms_names);
    tcase_add_test(core, what_timm_has_not_is_ours);
    tcase_add_test(core, a_bias_that_timm_lacks_is_left_out_where_it_is_zero);
    tcase_add_test(limits, other_files_are_not_removed);
    tcase_add_test(limits, folders_that_cannot_be_made_are_named);
    tcase_add_test(limits, an_odd_config_json_of_ours_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
