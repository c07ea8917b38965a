/* test_vit_checkpoint.c - networks to files and back, files of timm, and files that do
 * not fit. */
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

enum { TENSORS_MAX = 64 };

/* A folder, a file in it, and the tensors of a model to be changed before they are
 * written. */
typedef struct bench {
    char *folder;
    char *path;
    vit_model *model;
    vit_tensor tensor[TENSORS_MAX];
    size_t count;
} bench;

static bench bench_open(const vit_config *config)
{
    bench b = {.folder = test_folder_make(), .model = test_model(config, 5)};

    b.path = test_path(b.folder, "x.safetensors");
    float *w = vit_model_weights(b.model);
    for (size_t i = 0; i < vit_model_floats(b.model); i++) /* none is zero */
        w[i] += 0.25f;
    for (b.count = 0; b.count < vit_model_parameter_count(b.model); b.count++) {
        const vit_parameter *p = vit_model_parameter(b.model, b.count);
        b.tensor[b.count] = (vit_tensor){
            .name = p->name, .type = "F32", .rank = p->rank, .data = w + p->offset};
        memcpy(b.tensor[b.count].shape, p->shape, sizeof p->shape);
    }
    return b;
}

static void bench_close(bench *b)
{
    vit_model_destroy(b->model);
    base_free(b->path);
    test_folder_remove(b->folder);
}

static vit_tensor *tensor_of(bench *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->tensor[i].name, name) == 0)
            return &b->tensor[i];
    ck_abort_msg("no tensor '%s'", name);
    return NULL;
}

static void drop(bench *b, const char *name)
{
    vit_tensor *t = tensor_of(b, name);

    *t = b->tensor[b->count - 1];
    b->count--;
}

static void append(bench *b, const char *name, size_t floats)
{
    b->tensor[b->count++] = (vit_tensor){.name = name,
                                         .type = "F32",
                                         .rank = 1,
                                         .shape = {floats},
                                         .data = vit_model_weights(b->model)};
}

/* With our metadata (as its own config) or without. */
static void write_tensors(const bench *b, bool ours)
{
    base_error err = {0};
    char *config = vit_model_config_json(b->model);
    const vit_pair pairs[] = {{"format", ours ? "vmoe" : "pt"}, {"config", config}};

    must(vit_tensors_write(b->path, b->tensor, b->count, pairs, ours ? 2 : 1, &err), &err);
    base_free(config);
}

static void refuse(const bench *b, const vit_load_options *options, base_status expected,
                   const char *words)
{
    base_error err = {0};
    vit_model *model = NULL;

    test_refused(vit_model_load(&model, b->path, options, &err), expected, &err, words);
    ck_assert_ptr_null(model);
}

static vit_model *load(const bench *b, const vit_load_options *options)
{
    base_error err = {0};
    vit_model *model = NULL;

    must(vit_model_load(&model, b->path, options, &err), &err);
    return model;
}

START_TEST(a_saved_network_is_the_same_network)
{
    static const char *const labels[] = {"a", "\xff odd", "c"};
    base_error err = {0};
    const vit_config config = test_sparse_config();
    bench b = bench_open(&config);
    char *again = test_path(b.folder, "y.safetensors");

    must(vit_model_labels_set(b.model, labels, 3, &err), &err);
    must(vit_model_save(b.model, b.path, VIT_PRECISION_FP32, &err), &err);
    vit_model *back = load(&b, NULL);
    ck_assert_uint_eq(vit_model_floats(back), vit_model_floats(b.model));
    ck_assert_mem_eq(vit_model_weights(back), vit_model_weights(b.model),
                     vit_model_floats(back) * sizeof(float));
    ck_assert_str_eq(vit_model_label(back, 0), "a");
    ck_assert_str_eq(vit_model_label(back, 1), "\\xff odd"); /* JSON holds only UTF-8 */
    must(vit_model_save(back, again, VIT_PRECISION_FP32, &err), &err);
    char *one = NULL;
    char *two = NULL;
    size_t n = 0;
    size_t m = 0;
    must(base_file_read(&one, &n, b.path, 1 << 20, &err), &err);
    must(base_file_read(&two, &m, again, 1 << 20, &err), &err);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(one, two, n);
    base_free(two);
    base_free(one);
    vit_model_destroy(back);
    base_free(again);
    bench_close(&b);
}
END_TEST

/* bf16 keeps 8 bits: 1 + 2^-8 is halfway and goes to the even neighbour 1, 1 + 3 * 2^-8
 * to 1 + 2^-6. */
START_TEST(bf16_rounds_to_nearest_even)
{
    base_error err = {0};
    const vit_config config = test_config();
    bench b = bench_open(&config);
    const float in[] = {1 + 0x1p-8f,  1 + 0x3p-8f, 1 + 0x1.01p-8f,
                        -1 - 0x1p-8f, 0,           0x1p-130f};
    const float out[] = {1, 1 + 0x1p-6f, 1 + 0x1p-7f, -1, 0, 0x1p-130f};

    memcpy(vit_model_weights(b.model), in, sizeof in);
    must(vit_model_save(b.model, b.path, VIT_PRECISION_BF16, &err), &err);
    vit_model *back = load(&b, NULL);
    test_close(vit_model_weights(back), out, 6, 0, 0);
    test_close(vit_model_weights(back), vit_model_weights(b.model), vit_model_floats(back),
               1e-40, 0x1p-8);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

/* What no gradient moves would not survive the rounding: a step of 0.001 is below bf16's
 * near 1. */
START_TEST(state_stays_fp32_in_a_bf16_file)
{
    base_error err = {0};
    vit_config config = test_sparse_config();
    vit_tensor_file *file = NULL;

    must(vit_router_select(&config.moe.router, "loss-free", &err), &err);
    bench b = bench_open(&config);
    const vit_parameter *p = vit_model_parameter_find(b.model, "blocks.1.moe.router.bias");
    float *bias = vit_model_weights(b.model) + p->offset;
    ck_assert_uint_eq(p->count, (size_t)config.moe.experts);
    for (size_t e = 0; e < p->count; e++)
        bias[e] = 1.0f + 0.001f * (float)e;
    must(vit_model_save(b.model, b.path, VIT_PRECISION_BF16, &err), &err);
    must(vit_tensors_open(&file, b.path, &err), &err);
    ck_assert_str_eq(vit_tensors_find(file, p->name)->type, "F32");
    ck_assert_str_eq(vit_tensors_find(file, "blocks.1.moe.router.weight")->type, "BF16");
    vit_tensors_close(file);
    vit_model *back = load(&b, NULL);
    ck_assert_mem_eq(vit_model_weights(back) + p->offset, bias, p->count * sizeof *bias);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

START_TEST(other_float_types_are_read)
{
    /* 1, -2, 65504, the smallest subnormal, -0, 1/3 rounded, the smallest normal, a
     * subnormal below 0 */
    static const uint16_t half[8] = {0x3c00, 0xc000, 0x7bff, 1,
                                     0x8000, 0x3555, 0x0400, 0x8003};
    static const float halves[8] = {1,     -2,          65504,    0x1p-24f,
                                    -0.0f, 0x1.554p-2f, 0x1p-14f, -0x3p-24f};
    static const double wide[8] = {0.1, 1, 2, 3, 4, 5, 6, 7};
    const vit_config config = test_config();
    bench b = bench_open(&config);

    tensor_of(&b, "norm.bias")->type = "F64";
    tensor_of(&b, "norm.bias")->data = wide;
    write_tensors(&b, true);
    vit_model *back = load(&b, NULL);
    const vit_parameter *p = vit_model_parameter_find(b.model, "norm.bias");
    for (size_t i = 0; i < 8; i++)
        ck_assert(vit_model_weights(back)[p->offset + i] == (float)wide[i]);
    vit_model_destroy(back);

    /* F16 is read but never written: put it in the place of a BF16 tensor of the same
     * size. */
    base_error err = {0};
    char *bytes = NULL;
    size_t count = 0;
    tensor_of(&b, "norm.bias")->type = "BF16";
    tensor_of(&b, "norm.bias")->data = half;
    write_tensors(&b, true);
    must(base_file_read(&bytes, &count, b.path, 1 << 20, &err), &err);
    char *at = strstr(bytes + 8, "\"BF16\"");
    memcpy(at, "\"F16\" ", 6);
    test_write(b.path, bytes, count);
    base_free(bytes);
    back = load(&b, NULL);
    ck_assert_mem_eq(vit_model_weights(back) + p->offset, halves, sizeof halves);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

START_TEST(another_head_starts_from_zero)
{
    const vit_config config = test_config();
    bench b = bench_open(&config);

    write_tensors(&b, true);
    vit_model *back = load(&b, &(vit_load_options){.classes = 7});
    const vit_parameters p = vit_parameters_at(back, vit_model_weights(back));
    ck_assert_int_eq(vit_model_config(back)->classes, 7);
    for (size_t i = 0; i < 7 * 8; i++)
        ck_assert(p.head_weight[i] == 0 && p.head_bias[i / 8] == 0);
    ck_assert(p.norm_weight[0] != 0);
    vit_model_destroy(back);
    back = load(&b, &(vit_load_options){.classes = 3, .image = 16});
    ck_assert(vit_parameters_at(back, vit_model_weights(back)).head_weight[0] != 0);
    ck_assert_int_eq(vit_model_config(back)->image, 16);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

/* ---- timm's files -------------------------------------------------------------------- */

/* As vit_tiny but for 2 blocks and few pixels: heads of 64 channels. */
static vit_config timm_config(void)
{
    vit_config config = test_config();

    config.width = 128;
    config.mlp = 256;
    return config;
}

START_TEST(sizes_of_timms_files_are_read_off_the_shapes)
{
    const vit_config config = timm_config();
    bench b = bench_open(&config);

    write_tensors(&b, false);
    vit_model *back = load(&b, NULL);
    const vit_config *c = vit_model_config(back);
    ck_assert_int_eq(c->image, 8);
    ck_assert_int_eq(c->channels, 3);
    ck_assert_int_eq(c->patch, 4);
    ck_assert_int_eq(c->width, 128);
    ck_assert_int_eq(c->depth, 2);
    ck_assert_int_eq(c->heads, 2); /* 128 / 64 */
    ck_assert_int_eq(c->mlp, 256);
    ck_assert_int_eq(c->classes, 3);
    ck_assert_int_eq(c->pool, VIT_POOL_TOKEN);
    ck_assert_str_eq(c->interpolation, "bicubic");
    ck_assert(c->mean[0] == 0.485f);
    ck_assert_ptr_null(vit_model_label(back, 0));
    ck_assert_mem_eq(vit_model_weights(back), vit_model_weights(b.model),
                     vit_model_floats(back) * sizeof(float));
    vit_model_destroy(back);
    back = load(&b, &(vit_load_options){.heads = 4, .image = 24, .classes = 10});
    ck_assert_int_eq(vit_model_config(back)->heads, 4);
    ck_assert_int_eq(vit_model_config(back)->image, 24);
    ck_assert_int_eq(vit_model_config(back)->classes, 10);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

START_TEST(a_qkv_without_bias_has_a_bias_of_zero)
{
    const vit_config config = timm_config();
    bench b = bench_open(&config);

    drop(&b, "blocks.0.attn.qkv.bias");
    drop(&b, "blocks.1.attn.qkv.bias");
    write_tensors(&b, false);
    vit_model *back = load(&b, NULL);
    const vit_parameters p = vit_parameters_at(back, vit_model_weights(back));
    for (size_t i = 0; i < 3 * 128; i++)
        ck_assert(p.block[1].qkv_bias[i] == 0);
    vit_model_destroy(back);
    write_tensors(&b, true); /* our own files have all of them */
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' has no tensor 'blocks.0.attn.qkv.bias', expected one of shape "
           "[384]");
    bench_close(&b);
}
END_TEST

START_TEST(a_body_without_head_gets_one)
{
    const vit_config config = timm_config();
    bench b = bench_open(&config);

    drop(&b, "head.weight");
    drop(&b, "head.bias");
    write_tensors(&b, false);
    refuse(
        &b, NULL, BASE_MISMATCH,
        "'x.safetensors' has no tensor 'head.weight' and no number of classes was given");
    vit_model *back = load(&b, &(vit_load_options){.classes = 4});
    ck_assert_int_eq(vit_model_config(back)->classes, 4);
    vit_model_destroy(back);
    bench_close(&b);
}
END_TEST

START_TEST(relatives_of_timms_vit_are_refused)
{
    static const struct {
        const char *name, *words;
        base_status status;
    } extra[] = {
        {"dist_token",
         "'x.safetensors' tensor 'dist_token' is of a distilled DeiT (two class tokens, "
         "two heads)",
         BASE_UNSUPPORTED},
        {"head_dist.weight",
         "'x.safetensors' tensor 'head_dist.weight' is of a distilled DeiT (two class "
         "tokens, two heads)",
         BASE_UNSUPPORTED},
        {"fc_norm.weight",
         "'x.safetensors' tensor 'fc_norm.weight' is a second last norm, expected one",
         BASE_UNSUPPORTED},
        {"blocks.0.ls3.gamma",
         "'x.safetensors' tensor 'blocks.0.ls3.gamma' has no place in this network",
         BASE_MISMATCH},
        {"reg_token", "'x.safetensors' tensor 'reg_token' has no place in this network",
         BASE_MISMATCH},
        {"blocks.2.norm1.weight",
         "'x.safetensors' has no tensor 'blocks.2.norm1.bias', expected one of shape [128]",
         BASE_MISMATCH},
        {"blocks.900000.norm1.weight",
         "'x.safetensors' 'depth' is 900001, expected 1 to 64", BASE_USAGE},
    };
    const vit_config config = timm_config();

    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        bench b = bench_open(&config);
        append(&b, extra[i].name, 128);
        write_tensors(&b, false);
        refuse(&b, NULL, extra[i].status, extra[i].words);
        bench_close(&b);
    }
    bench b = bench_open(&config);
    drop(&b, "cls_token"); /* five positions are no square of patches */
    write_tensors(&b, false);
    refuse(&b, NULL, BASE_UNSUPPORTED,
           "'x.safetensors' tensor 'pos_embed' has 5 rows, expected a square number");
    drop(&b, "patch_embed.proj.weight");
    write_tensors(&b, false);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' has no tensor 'patch_embed.proj.weight': neither a vmoe "
           "checkpoint nor one with timm's names");
    bench_close(&b);
    const vit_config narrow = test_config();
    b = bench_open(&narrow);
    write_tensors(&b, false);
    refuse(
        &b, NULL, BASE_USAGE,
        "'x.safetensors' has width 8, no multiple of 64: the number of heads must be given");
    bench_close(&b);
}
END_TEST

/* timm's branches with a scale: rows of the last layer times it, once for each branch. */
START_TEST(layer_scales_are_multiplied_in)
{
    const vit_config config = timm_config();
    bench b = bench_open(&config);
    float gamma[2][128];

    for (size_t i = 0; i < 128; i++) {
        gamma[0][i] = 0.5f + (float)i;
        gamma[1][i] = -1.0f / (float)(1 + i);
    }
    append(&b, "blocks.0.ls1.gamma", 128);
    b.tensor[b.count - 1].data = gamma[0];
    append(&b, "blocks.1.ls2.gamma", 128);
    b.tensor[b.count - 1].data = gamma[1];
    write_tensors(&b, false);
    vit_model *back = load(&b, NULL);
    const size_t floats = vit_model_floats(back);
    const float *before = vit_model_weights_const(b.model);
    float *expected = base_alloc(floats, sizeof *expected);
    for (size_t i = 0; i < vit_model_parameter_count(back); i++) {
        const vit_parameter *p = vit_model_parameter(back, i);
        const float *scale = strstr(p->name, "blocks.0.attn.proj.") ? gamma[0]
                             : strstr(p->name, "blocks.1.mlp.fc2.") ? gamma[1]
                                                                    : NULL;
        const size_t columns = p->rank == 2 ? p->shape[1] : 1;
        for (size_t j = 0; j < p->count; j++)
            expected[p->offset + j] =
                before[p->offset + j] * (scale ? scale[j / columns] : 1);
    }
    ck_assert_mem_eq(vit_model_weights(back), expected, floats * sizeof *expected);
    base_free(expected);
    vit_model_destroy(back);
    b.tensor[b.count - 1].name = "blocks.2.ls2.gamma"; /* there are two blocks */
    write_tensors(&b, false);
    refuse(
        &b, NULL, BASE_MISMATCH,
        "'x.safetensors' has no tensor 'blocks.2.norm1.weight', expected one of shape [128]");
    b.tensor[b.count - 1].name = "blocks.1.ls2.gamma";
    b.tensor[b.count - 1].shape[0] = 64;
    write_tensors(&b, false);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' tensor 'blocks.1.ls2.gamma' has no place in this network");
    b.tensor[b.count - 1].shape[0] = 128;
    b.tensor[b.count - 1].type = "I64";
    b.tensor[b.count - 1].data = (int64_t[128]){0};
    write_tensors(&b, false);
    refuse(
        &b, NULL, BASE_MISMATCH,
        "'x.safetensors' tensor 'blocks.1.ls2.gamma' has type I64, expected F32, BF16, F16 "
        "or F64");
    bench_close(&b);
}
END_TEST

/* Biases that timm leaves out, each alone, in a file of timm's; none in ours but that of
 * the patches. */
START_TEST(biases_that_may_be_missing_are_zero)
{
    static const struct {
        const char *name;
        bool theirs, ours;
    } cases[] = {
        {"blocks.0.attn.qkv.bias", true, false},
        {"blocks.1.attn.proj.bias", true, false},
        {"blocks.0.mlp.fc1.bias", true, false},
        {"blocks.1.mlp.fc2.bias", true, false},
        {"patch_embed.proj.bias", true, true},
        {"norm_pre.bias", true, false},
        {"blocks.0.norm1.bias", false, false},
        {"norm.bias", false, false},
        {"head.bias", false, false},
        {"blocks.0.attn.qkv.weight", false, false},
        {"blocks.1.norm2.weight", false, false},
    };
    vit_config config = timm_config();

    config.width = 64;
    config.mlp = 4;
    config.heads = 1;
    config.pre_norm = true;
    config.eps = 1e-5;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int ours = 0; ours < 2; ours++) {
            char words[96];
            bench b = bench_open(&config);
            const vit_parameter *p = vit_model_parameter_find(b.model, cases[i].name);
            drop(&b, cases[i].name);
            write_tensors(&b, ours);
            if (!(ours ? cases[i].ours : cases[i].theirs)) {
                snprintf(words, sizeof words,
                         "~'x.safetensors' has no tensor '%s', expected one of shape [",
                         cases[i].name);
                refuse(&b, NULL, BASE_MISMATCH, words);
            } else {
                vit_model *back = load(&b, NULL);
                for (size_t j = 0; j < vit_model_floats(back); j++)
                    ck_assert(
                        vit_model_weights(back)[j] ==
                        (j - p->offset < p->count ? 0 : vit_model_weights(b.model)[j]));
                vit_model_destroy(back);
            }
            bench_close(&b);
        }
}
END_TEST

/* Wrappers' names in front of all names, in any order, at most so many; not of some. */
START_TEST(fronts_of_all_names_are_taken_away)
{
    static const struct {
        const char *front;
        bool read;
    } cases[] = {
        {"module.", true},
        {"model.", true},
        {"state_dict.", true},
        {"state_dict.model.module.", true},
        {"module.module.model.", true},
        {"ema.", false},
        {"modul.", false},
    };
    const vit_config config = timm_config();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static char name[TENSORS_MAX][96];
        bench b = bench_open(&config);
        for (size_t k = 0; k < b.count; k++) {
            snprintf(name[k], sizeof name[k], "%s%s", cases[i].front, b.tensor[k].name);
            b.tensor[k].name = name[k];
        }
        write_tensors(&b, false);
        if (cases[i].read) {
            vit_model *back = load(&b, NULL);
            ck_assert_mem_eq(vit_model_weights(back), vit_model_weights(b.model),
                             vit_model_floats(back) * sizeof(float));
            vit_model_destroy(back);
            b.tensor[0].name = "cls_token"; /* not of all */
            write_tensors(&b, false);
        }
        refuse(&b, NULL, BASE_MISMATCH,
               "'x.safetensors' has no tensor 'patch_embed.proj.weight': neither a vmoe "
               "checkpoint nor one with timm's names");
        bench_close(&b);
    }
}
END_TEST

/* Pooling and heads of the caller, in files of ours and of timm's. */
START_TEST(callers_choose_pooling_and_heads)
{
    static const struct {
        vit_pool from;
        int wish;
        vit_pool to;
    } cases[] = {
        {VIT_POOL_TOKEN, 0, VIT_POOL_TOKEN},   {VIT_POOL_TOKEN, 1, VIT_POOL_TOKEN},
        {VIT_POOL_TOKEN, 2, VIT_POOL_PATCHES}, {VIT_POOL_PATCHES, 0, VIT_POOL_PATCHES},
        {VIT_POOL_PATCHES, 1, VIT_POOL_TOKEN}, {VIT_POOL_PATCHES, 2, VIT_POOL_PATCHES},
        {VIT_POOL_GAP, 0, VIT_POOL_GAP},       {VIT_POOL_GAP, 2, VIT_POOL_GAP},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_config config = timm_config();
        config.pool = cases[i].from;
        bench b = bench_open(&config);
        write_tensors(&b, true);
        vit_model *back = load(&b, &(vit_load_options){.pool = cases[i].wish, .heads = 4});
        ck_assert_int_eq(vit_model_config(back)->pool, cases[i].to);
        ck_assert_int_eq(vit_model_config(back)->heads, 4);
        const vit_origins *o = vit_model_origins(back);
        ck_assert_int_eq(o->heads, VIT_ORIGIN_OPTION);
        ck_assert_int_eq(o->pool, cases[i].wish ? VIT_ORIGIN_OPTION : VIT_ORIGIN_FILE);
        ck_assert(o->mean == VIT_ORIGIN_FILE && o->image == 8 && o->classes == 3);
        vit_model_destroy(back);
        if (cases[i].from == VIT_POOL_GAP)
            refuse(
                &b, &(vit_load_options){.pool = 1}, BASE_USAGE,
                "'x.safetensors' has no class token, expected its mean over the patches");
        refuse(&b, &(vit_load_options){.heads = 3}, BASE_USAGE,
               "'x.safetensors' 'width' is 128, expected a multiple of heads (3)");
        bench_close(&b);
    }
}
END_TEST

/* What config.json of a file of timm's says of size and classes. */
START_TEST(config_json_resizes_and_names_classes)
{
    static const char json[] =
        "{\"pretrained_cfg\": {\"input_size\": [3, 16, 16], \"crop_pct\": 0.5}, "
        "\"label_names\": [\"x\", \"y\", \"z\"]}";
    const vit_config config = timm_config();
    bench b = bench_open(&config);
    char *path = test_path(b.folder, "config.json");

    test_write(path, json, sizeof json - 1);
    write_tensors(&b, false);
    vit_model *back = load(&b, NULL);
    const vit_config *c = vit_model_config(back);
    ck_assert(c->image == 16 && c->crop == 16 && c->resize == 32);
    ck_assert_str_eq(vit_model_label(back, 2), "z");
    const vit_origins *o = vit_model_origins(back);
    ck_assert(o->image == 8 && o->classes == 3 && o->labels == VIT_ORIGIN_CONFIG);
    ck_assert(o->resize == VIT_ORIGIN_CONFIG && o->mean == VIT_ORIGIN_ASSUMED);
    vit_model_destroy(back);
    back =
        load(&b, &(vit_load_options){.image = 8, .classes = 3}); /* the caller's go first */
    ck_assert_int_eq(vit_model_config(back)->image, 8);
    ck_assert_int_eq(vit_model_config(back)->resize, 16);
    ck_assert_str_eq(vit_model_label(back, 0), "x");
    vit_model_destroy(back);
    back = load(&b, &(vit_load_options){.classes = 4}); /* names of others */
    ck_assert_ptr_null(vit_model_label(back, 0));
    vit_model_destroy(back);
    write_tensors(&b, true); /* ours says all itself */
    back = load(&b, NULL);
    ck_assert_int_eq(vit_model_config(back)->image, 8);
    ck_assert_ptr_null(vit_model_label(back, 0));
    vit_model_destroy(back);
    base_free(path);
    bench_close(&b);
}
END_TEST

/* A dense network's fixed positions go along for timm, and are not read back. */
START_TEST(fixed_positions_go_along)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    vit_config config = test_config();
    float positions[5 * 8];

    config.position = VIT_POSITION_SINCOS;
    bench b = bench_open(&config);
    must(vit_model_save(b.model, b.path, VIT_PRECISION_BF16, &err), &err);
    must(vit_tensors_open(&file, b.path, &err), &err);
    const vit_tensor *t = vit_tensors_find(file, "pos_embed");
    ck_assert(t && t->rank == 3 && t->shape[0] == 1 && t->shape[1] == 5 &&
              t->shape[2] == 8);
    ck_assert_str_eq(t->type, "F32");
    vit_position_sincos(positions, &config);
    ck_assert_mem_eq(t->data, positions, sizeof positions);
    ck_assert_str_eq(vit_tensors_metadata(file, "format"), "vmoe");
    ck_assert_str_eq(vit_tensors_metadata(file, "version"), BASE_VERSION);
    ck_assert_str_eq(vit_tensors_find(file, "norm.bias")->type, "BF16");
    vit_tensors_close(file);
    vit_model *back = load(&b, NULL);
    ck_assert_int_eq(vit_model_config(back)->position, VIT_POSITION_SINCOS);
    vit_model_destroy(back);
    bench_close(&b);
    config.moe.layer[1] = true; /* timm has no experts */
    b = bench_open(&config);
    must(vit_model_save(b.model, b.path, VIT_PRECISION_FP32, &err), &err);
    must(vit_tensors_open(&file, b.path, &err), &err);
    ck_assert_ptr_null(vit_tensors_find(file, "pos_embed"));
    vit_tensors_close(file);
    bench_close(&b);
}
END_TEST

/* ---- files that do not fit ----------------------------------------------------------- */

START_TEST(another_shape_is_named_with_both)
{
    const vit_config config = test_config();
    bench b = bench_open(&config);
    vit_tensor *head = tensor_of(&b, "head.weight");

    head->shape[0] = 2;
    write_tensors(&b, true);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' tensor 'head.weight' has shape [2, 8], expected [3, 8]");
    head->shape[0] = 3;
    head->shape[1] = 4;
    head->shape[2] = 2;
    head->rank = 3;
    write_tensors(&b, true);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' tensor 'head.weight' has shape [3, 4, 2], expected [3, 8]");
    bench_close(&b);
}
END_TEST

START_TEST(values_that_are_not_finite_are_named)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const vit_config config = test_sparse_config();

    for (size_t i = 0; i < 3; i++) {
        bench b = bench_open(&config);
        const vit_parameter *p =
            vit_model_parameter_find(b.model, "blocks.1.moe.experts.fc2.bias");
        vit_model_weights(b.model)[p->offset + 3] = bad[i];
        write_tensors(&b, true);
        refuse(&b, NULL, BASE_NUMERIC,
               "'x.safetensors' tensor 'blocks.1.moe.experts.fc2.bias' has a value that is "
               "not finite at index 3");
        bench_close(&b);
    }
}
END_TEST

START_TEST(missing_foreign_and_whole_number_tensors_are_named)
{
    const vit_config config = test_config();
    bench b = bench_open(&config);

    append(&b, "blocks.1.extra\n", 3);
    write_tensors(&b, true);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' tensor 'blocks.1.extra\\x0a' has no place in this network");
    b.count--;
    vit_tensor *t = tensor_of(&b, "norm.weight");
    t->type = "I64";
    t->data = (int64_t[8]){0};
    write_tensors(&b, true);
    refuse(
        &b, NULL, BASE_MISMATCH,
        "'x.safetensors' tensor 'norm.weight' has type I64, expected F32, BF16, F16 or F64");
    drop(&b, "norm.weight");
    write_tensors(&b, true);
    refuse(&b, NULL, BASE_MISMATCH,
           "'x.safetensors' has no tensor 'norm.weight', expected one of shape [8]");
    bench_close(&b);
}
END_TEST

START_TEST(a_config_that_does_not_hold_is_refused)
{
    static const struct {
        const char *config, *words;
    } bad[] = {
        {NULL, "'x.safetensors' has no metadata 'config'"},
        {"{", "~'x.safetensors' config is "},
        {"{\"image\":8}",
         "'x.safetensors' config 'channels' is missing, expected an integer"},
        /* far more weights than the file has: refused before memory is taken */
        {"{\"image\":8192,\"channels\":3,\"patch\":1,\"width\":16384,\"depth\":64,\"heads\":2,"
         "\"mlp\":131072,\"classes\":1000000}",
         "'x.safetensors' tensor 'cls_token' has shape [1, 1, 8], expected [1, 1, 16384]"},
        {"{\"image\":8,\"channels\":3,\"patch\":3,\"width\":8,\"depth\":2,\"heads\":2,\"mlp\":12,"
         "\"classes\":3}",
         "'x.safetensors' 'image' is 8, expected a multiple of patch (3)"},
    };
    const vit_config config = test_config();
    bench b = bench_open(&config);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        const vit_pair pairs[] = {{"format", "vmoe"}, {"config", bad[i].config}};
        must(vit_tensors_write(b.path, b.tensor, b.count, pairs, bad[i].config ? 2 : 1,
                               &err),
             &err);
        refuse(&b, NULL, i == 3 ? BASE_MISMATCH : BASE_FORMAT, bad[i].words);
    }
    bench_close(&b);
}
END_TEST

START_TEST(a_size_that_does_not_fit_is_refused)
{
    const vit_config config = test_config();
    bench b = bench_open(&config);

    write_tensors(&b, true);
    refuse(&b, &(vit_load_options){.image = 13}, BASE_USAGE,
           "'x.safetensors' 'image' is 13, expected a multiple of patch (4)");
    bench_close(&b);
}
END_TEST

/* The target is a folder: nothing appears beside it. */
START_TEST(a_failed_save_leaves_nothing)
{
    base_error err = {0};
    const vit_config config = test_config();
    bench b = bench_open(&config);
    char *part = base_text("%s.part", b.path);

    must(base_folder_make(b.path, &err), &err);
    test_refused(vit_model_save(b.model, b.path, VIT_PRECISION_FP32, &err), BASE_IO, &err,
                 "'x.safetensors' is a folder, expected a file");
    ck_assert(!test_exists(part));
    base_free(part);
    bench_close(&b);
}
END_TEST

/* /dev/full takes every byte and keeps none: the disk is full. */
START_TEST(a_full_disk_is_reported)
{
    base_error err = {0};
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);

    if (test_exists("/dev/full"))
        test_refused(vit_model_save(model, "/dev/full", VIT_PRECISION_FP32, &err), BASE_IO,
                     &err, "cannot write '/dev/full': No space left on device");
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_checkpoint");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, a_saved_network_is_the_same_network);
    tcase_add_test(core, bf16_rounds_to_nearest_even);
    tcase_add_test(core, state_stays_fp32_in_a_bf16_file);
    tcase_add_test(core, other_float_types_are_read);
    tcase_add_test(core, another_head_starts_from_zero);
    tcase_add_test(core, sizes_of_timms_files_are_read_off_the_shapes);
    tcase_add_test(core, a_qkv_without_bias_has_a_bias_of_zero);
    tcase_add_test(core, a_body_without_head_gets_one);
    tcase_add_test(core, layer_scales_are_multiplied_in);
    tcase_add_test(core, biases_that_may_be_missing_are_zero);
    tcase_add_test(core, fronts_of_all_names_are_taken_away);
    tcase_add_test(core, callers_choose_pooling_and_heads);
    tcase_add_test(core, config_json_resizes_and_names_classes);
    tcase_add_test(core, fixed_positions_go_along);
    tcase_add_test(limits, relatives_of_timms_vit_are_refused);
    tcase_add_test(limits, another_shape_is_named_with_both);
    tcase_add_test(limits, values_that_are_not_finite_are_named);
    tcase_add_test(limits, missing_foreign_and_whole_number_tensors_are_named);
    tcase_add_test(limits, a_config_that_does_not_hold_is_refused);
    tcase_add_test(limits, a_size_that_does_not_fit_is_refused);
    tcase_add_test(limits, a_failed_save_leaves_nothing);
    tcase_add_test(limits, a_full_disk_is_reported);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
