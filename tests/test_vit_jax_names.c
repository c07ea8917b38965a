/* test_vit_jax_names.c - networks in the .npz files of V-MoE, vision_transformer and
 * big_vision: each tensor under its names there, where its numbers come to, and every
 * refusal by its text. What their networks answer: test_vit_jax.c. */
#include <stdarg.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_npz.h"
#include "tests/test_run.h"
#include "vit/files/raw_internal.h"

enum { P = 4, C = 3, D = 8, H = 2, E = D / H, M = 12, K = 3, R = 5, DEPTH = 2, MOST = 64 };

/* A tensor as it is written; drawn values. */
typedef struct array {
    char name[96];
    int rank;
    size_t shape[5], count;
    float *values;
} array;

typedef struct file {
    char *dir, *path;
    array at[MOST];
    size_t count;
} file;

static file f;

/* What the three call the parts of a block, and what stands before all names. */
static const struct {
    const char *front, *position, *encoder, *attention, *norm2, *mlp;
} styles[] = {
    {"", "Encoder/posembed_input/pos_embedding", "Encoder", "SelfAttention", "LayerNorm_1",
     "Mlp"},
    {"opt/target/", "Encoder/posembed_input/pos_embedding", "Encoder", "SelfAttention",
     "LayerNorm_1", "Mlp"},
    {"", "Transformer/posembed_input/pos_embedding", "Transformer",
     "MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"},
    {"params/", "pos_embedding", "Transformer", "MultiHeadDotProductAttention_0",
     "LayerNorm_1", "MlpBlock_0"},
    {"params/img/", "Transformer/pos_embedding", "Transformer",
     "MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0"},
};
enum { STYLES = sizeof styles / sizeof styles[0] };

/* One more array, of drawn values. */
static void add(int rank, const size_t *shape, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(int rank, const size_t *shape, const char *format, ...)
{
    base_rng rng = base_rng_make(9, BASE_PURPOSE_TEST, f.count, 0, 0);
    array *a = &f.at[f.count++];
    va_list list;

    ck_assert_uint_le(f.count, MOST);
    va_start(list, format);
    vsnprintf(a->name, sizeof a->name, format, list);
    va_end(list);
    a->rank = rank;
    a->count = 1;
    for (int i = 0; i < rank; i++)
        a->count *= a->shape[i] = shape[i];
    a->values = base_alloc(a->count, sizeof *a->values);
    for (size_t i = 0; i < a->count; i++)
        a->values[i] = (float)base_rng_normal(&rng);
}
#define SHAPE(...)                                                                         \
    sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t), (const size_t[])               \
    {                                                                                      \
        __VA_ARGS__                                                                        \
    }

static void open_block(size_t style, int b, bool sparse)
{
    static const char *const to[] = {"query", "key", "value"};
    const char *attention = styles[style].attention, *mlp = styles[style].mlp;
    char in[64];

    snprintf(in, sizeof in, "%s%s/encoderblock_%d", styles[style].front,
             styles[style].encoder, b);
    add(SHAPE(D), "%s/LayerNorm_0/scale", in);
    add(SHAPE(D), "%s/LayerNorm_0/bias", in);
    for (size_t i = 0; i < 3; i++) {
        add(SHAPE(D, H, E), "%s/%s/%s/kernel", in, attention, to[i]);
        add(SHAPE(H, E), "%s/%s/%s/bias", in, attention, to[i]);
    }
    add(SHAPE(H, E, D), "%s/%s/out/kernel", in, attention);
    add(SHAPE(D), "%s/%s/out/bias", in, attention);
    add(SHAPE(D), "%s/%s/scale", in, styles[style].norm2);
    add(SHAPE(D), "%s/%s/bias", in, styles[style].norm2);
    if (sparse) {
        add(SHAPE(D, 3), "%s/Moe/Router/dense/kernel", in);
        add(SHAPE(3, D, M), "%s/Moe/Mlp/Dense_0/kernel", in);
        add(SHAPE(3, M), "%s/Moe/Mlp/Dense_0/bias", in);
        add(SHAPE(3, M, D), "%s/Moe/Mlp/Dense_1/kernel", in);
        add(SHAPE(3, D), "%s/Moe/Mlp/Dense_1/bias", in);
        return;
    }
    add(SHAPE(D, M), "%s/%s/Dense_0/kernel", in, mlp);
    add(SHAPE(M), "%s/%s/Dense_0/bias", in, mlp);
    add(SHAPE(M, D), "%s/%s/Dense_1/kernel", in, mlp);
    add(SHAPE(D), "%s/%s/Dense_1/bias", in, mlp);
}

/* Of 2 x 2 patches; rows of positions, 0: none; block 1 of a sparse one has 3 experts. */
static void open_file(size_t style, bool class_token, size_t rows, bool hidden, bool sparse)
{
    const char *in = styles[style].front, *encoder = styles[style].encoder;

    f = (file){.dir = test_folder_make()};
    f.path = test_path(f.dir, "x.npz");
    add(SHAPE(P, P, C, D), "%sembedding/kernel", in);
    add(SHAPE(D), "%sembedding/bias", in);
    if (class_token)
        add(SHAPE(1, 1, D), "%scls", in);
    if (rows > 0)
        add(SHAPE(1, rows, D), "%s%s", in, styles[style].position);
    for (int b = 0; b < DEPTH; b++)
        open_block(style, b, sparse && b == 1);
    add(SHAPE(D), "%s%s/encoder_norm/scale", in, encoder);
    add(SHAPE(D), "%s%s/encoder_norm/bias", in, encoder);
    if (hidden) {
        add(SHAPE(D, R), "%spre_logits/kernel", in);
        add(SHAPE(R), "%spre_logits/bias", in);
    }
    add(SHAPE(hidden ? R : D, K), "%shead/kernel", in);
    add(SHAPE(K), "%shead/bias", in);
}

static void close_file(void)
{
    for (size_t i = 0; i < f.count; i++)
        base_free(f.at[i].values);
    base_free(f.path);
    test_folder_remove(f.dir);
}

static const char *type = "'<f4'"; /* of what is written */

static base_status load(vit_model **model, const vit_load_options *options, base_error *err)
{
    zip_file *z = base_alloc(1, sizeof *z);

    for (size_t i = 0; i < f.count; i++) {
        const array *a = &f.at[i];
        char shape[96] = "(";
        size_t at = 1;
        for (int k = 0; k < a->rank; k++)
            at += (size_t)snprintf(shape + at, sizeof shape - at, "%zu, ", a->shape[k]);
        snprintf(shape + at, sizeof shape - at, ")");
        npz_add(z, a->name, 1, type, "False", shape, a->values,
                a->count * sizeof *a->values, ZIP_STORED);
    }
    zip_end(z, "");
    zip_write(z, f.path);
    base_free(z);
    return vit_model_load(model, f.path, options, err);
}

/* The array whose name ends so. */
static array *ending(const char *format, ...) __attribute__((format(printf, 1, 2)));
static array *ending(const char *format, ...)
{
    char end[96];
    va_list list;

    va_start(list, format);
    vsnprintf(end, sizeof end, format, list);
    va_end(list);
    for (size_t i = 0; i < f.count; i++)
        if (vit_name_ends(f.at[i].name, end))
            return &f.at[i];
    ck_abort_msg("no array '%s'", end);
    return NULL;
}

/* our [columns, rows] is their [rows, columns], `outer` of them */
static void same_turned(const float *ours, const array *theirs, size_t outer, size_t rows,
                        size_t columns)
{
    ck_assert_uint_eq(theirs->count, outer * rows * columns);
    for (size_t o = 0; o < outer; o++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                ck_assert(ours[(o * columns + c) * rows + r] ==
                          theirs->values[(o * rows + r) * columns + c]);
}

static void same(const float *ours, const array *theirs)
{
    ck_assert_mem_eq(ours, theirs->values, theirs->count * sizeof *ours);
}

static void same_block(const vit_block_parameters *b, size_t style, int i, bool sparse)
{
    static const char *const to[] = {"query", "key", "value"};
    const char *attention = styles[style].attention, *mlp = styles[style].mlp;
    char in[64];

    snprintf(in, sizeof in, "/encoderblock_%d", i);
    same(b->norm1_weight, ending("%s/LayerNorm_0/scale", in));
    same(b->norm1_bias, ending("%s/LayerNorm_0/bias", in));
    same(b->norm2_weight, ending("%s/%s/scale", in, styles[style].norm2));
    same(b->norm2_bias, ending("%s/%s/bias", in, styles[style].norm2));
    for (size_t k = 0; k < 3; k++) {
        same_turned(b->qkv_weight + k * D * D,
                    ending("%s/%s/%s/kernel", in, attention, to[k]), 1, D, D);
        same(b->qkv_bias + k * D, ending("%s/%s/%s/bias", in, attention, to[k]));
    }
    same_turned(b->proj_weight, ending("%s/%s/out/kernel", in, attention), 1, D, D);
    same(b->proj_bias, ending("%s/%s/out/bias", in, attention));
    if (sparse) {
        mlp = "Moe/Mlp";
        same_turned(b->router[0], ending("%s/Moe/Router/dense/kernel", in), 1, D, 3);
    }
    same_turned(b->fc1_weight, ending("%s/%s/Dense_0/kernel", in, mlp), sparse ? 3 : 1, D,
                M);
    same(b->fc1_bias, ending("%s/%s/Dense_0/bias", in, mlp));
    same_turned(b->fc2_weight, ending("%s/%s/Dense_1/kernel", in, mlp), sparse ? 3 : 1, M,
                D);
    same(b->fc2_bias, ending("%s/%s/Dense_1/bias", in, mlp));
}

static void same_patches(const float *ours, const array *theirs)
{
    for (size_t d = 0; d < D; d++)
        for (size_t c = 0; c < C; c++)
            for (size_t i = 0; i < P * P; i++)
                ck_assert(ours[(d * C + c) * P * P + i] ==
                          theirs->values[(i * C + c) * D + d]);
}

START_TEST(every_tensor_finds_its_place)
{
    static const struct {
        bool class_token, hidden, sparse;
        size_t rows;
    } kinds[] = {{true, false, false, 5},
                 {true, true, true, 4}, /* positions without the class token's */
                 {false, false, true, 4},
                 {false, true, false, 4}};
    const size_t style = (size_t)_i;

    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        base_error err = {0};
        vit_model *model = NULL;
        open_file(style, kinds[n].class_token, kinds[n].rows, kinds[n].hidden,
                  kinds[n].sparse);
        must(load(&model, NULL, &err), &err);
        const vit_config *c = vit_model_config(model);
        ck_assert(c->image == 2 * P && c->patch == P && c->channels == C);
        ck_assert(c->width == D && c->heads == H && c->mlp == M && c->depth == DEPTH);
        ck_assert(c->classes == K && c->gelu == VIT_GELU_TANH);
        ck_assert_int_eq(c->pool, kinds[n].class_token ? VIT_POOL_TOKEN : VIT_POOL_GAP);
        ck_assert_int_eq(c->prelogits, kinds[n].hidden ? R : 0);
        ck_assert(!c->moe.layer[0] && c->moe.layer[1] == kinds[n].sparse);
        ck_assert_int_eq(c->position, VIT_POSITION_LEARNED);
        const vit_parameters p = vit_parameters_at(model, vit_model_weights(model));
        same_patches(p.patch_weight, ending("embedding/kernel"));
        same(p.patch_bias, ending("embedding/bias"));
        if (kinds[n].class_token)
            same(p.cls_token, ending("cls"));
        const size_t before = kinds[n].class_token && kinds[n].rows == 4 ? D : 0;
        for (size_t i = 0; i < before; i++)
            ck_assert(p.pos_embed[i] == 0);
        same(p.pos_embed + before, ending("pos_embedding"));
        for (int b = 0; b < DEPTH; b++)
            same_block(&p.block[b], style, b, kinds[n].sparse && b == 1);
        same(p.norm_weight, ending("encoder_norm/scale"));
        same(p.norm_bias, ending("encoder_norm/bias"));
        if (kinds[n].hidden) {
            same_turned(p.hidden_weight, ending("pre_logits/kernel"), 1, D, R);
            same(p.hidden_bias, ending("pre_logits/bias"));
        }
        same_turned(p.head_weight, ending("head/kernel"), 1, kinds[n].hidden ? R : D, K);
        same(p.head_bias, ending("head/bias"));
        vit_model_destroy(model);
        close_file();
    }
}
END_TEST

/* What files do not say is assumed as published, and told. */
START_TEST(what_is_not_said_is_as_published)
{
    base_error err = {0};
    vit_model *model = NULL;

    open_file(0, true, 5, false, true);
    must(load(&model, NULL, &err), &err);
    const vit_config *c = vit_model_config(model);
    const vit_origins *o = vit_model_origins(model);
    for (int i = 0; i < 3; i++)
        ck_assert(c->mean[i] == 0.5f && c->std[i] == 0.5f);
    ck_assert(c->moe.experts == 3 && c->moe.k == 2 && c->moe.group_images == 8);
    ck_assert(c->moe.capacity_multiple == 4 && c->moe.capacity == 0);
    ck_assert_str_eq(c->moe.router.name, "vmoe");
    ck_assert_int_eq(c->init, VIT_INIT_VMOE);
    ck_assert(c->eps == 1e-6 && c->resize == 8 && c->crop == 8);
    ck_assert_int_eq(c->crop_mode, VIT_CROP_SQUASH);
    ck_assert_str_eq(c->interpolation, "bilinear-plain");
    const vit_origin assumed = VIT_ORIGIN_ASSUMED;
    ck_assert(o->mean == assumed && o->std == assumed && o->interpolation == assumed);
    ck_assert(o->resize == assumed && o->routing == assumed);
    ck_assert(o->heads == VIT_ORIGIN_FILE && o->pool == VIT_ORIGIN_FILE);
    ck_assert(o->image == 8 && o->classes == K && o->members == 0);
    vit_model_destroy(model);
    /* of the caller: heads no other than the file's, another head, another pooling */
    must(load(&model, &(vit_load_options){.heads = 2, .pool = 2, .classes = 7, .image = 16},
              &err),
         &err);
    c = vit_model_config(model);
    o = vit_model_origins(model);
    ck_assert(c->classes == 7 && c->image == 16 && c->pool == VIT_POOL_PATCHES);
    ck_assert(c->resize == 16 && c->crop == 16);
    ck_assert(o->heads == VIT_ORIGIN_OPTION && o->pool == VIT_ORIGIN_OPTION);
    ck_assert(o->image == 8 && o->classes == K);
    const vit_parameters p = vit_parameters_at(model, vit_model_weights(model));
    for (size_t i = 0; i < 7 * D; i++)
        ck_assert(p.head_weight[i] == 0 && p.head_bias[i / D] == 0);
    vit_model_destroy(model);
    close_file();
    /* no positions: sines and cosines, of 224 pixels or as told */
    open_file(3, false, 0, false, false);
    must(load(&model, NULL, &err), &err);
    c = vit_model_config(model);
    ck_assert(c->position == VIT_POSITION_SINCOS && c->image == 224 && c->resize == 256);
    ck_assert_int_eq(c->crop_mode, VIT_CROP_CENTER);
    ck_assert_str_eq(c->interpolation, "area");
    ck_assert_int_eq(vit_model_origins(model)->image, 0);
    ck_assert_int_eq(vit_model_origins(model)->routing, VIT_ORIGIN_FILE);
    vit_model_destroy(model);
    must(load(&model, &(vit_load_options){.image = 12}, &err), &err);
    ck_assert_int_eq(vit_model_config(model)->image, 12);
    vit_model_destroy(model);
    close_file();
}
END_TEST

/* Whole numbers are no weights. */
START_TEST(types_that_are_no_weights_are_refused)
{
    base_error err = {0};
    vit_model *model = NULL;

    open_file(1, true, 5, false, false);
    type = "'<i4'";
    ck_assert_int_eq(load(&model, NULL, &err), BASE_MISMATCH);
    type = "'<f4'";
    char *expected = base_text("'%s' tensor 'embedding/kernel' has type other, expected "
                               "float32, bfloat16, float16 or float64",
                               f.path);
    ck_assert_str_eq(err.text, expected);
    base_free(expected);
    close_file();
}
END_TEST

/* A body without a head gets one. */
START_TEST(a_body_needs_a_number_of_classes)
{
    base_error err = {0};
    vit_model *model = NULL;

    open_file(2, true, 5, false, false);
    f.count -= 2;
    ck_assert_int_eq(load(&model, NULL, &err), BASE_MISMATCH);
    test_says(err.text,
              "'x.npz' has no tensor 'head/kernel' and no number of classes was given");
    must(load(&model, &(vit_load_options){.classes = 4}, &err), &err);
    ck_assert_int_eq(vit_model_config(model)->classes, 4);
    ck_assert_int_eq(vit_model_origins(model)->classes, 0);
    vit_model_destroy(model);
    f.count += 2;
    close_file();
}
END_TEST

/* One array wrong: by the end of its name; its new name, NULL: left out, or its shape. */
START_TEST(what_has_no_place_is_refused_by_name)
{
    static const struct {
        const char *end, *name;
        int rank;
        size_t shape[5];
        base_status status;
        const char *words;
    } cases[] = {
        {"embedding/kernel",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'embedding/kernel' of four dimensions: no vision transformer "
         "of V-MoE, vision_transformer or big_vision"},
        {"embedding/kernel",
         "embedding/kernel",
         3,
         {P, P * C, D},
         BASE_MISMATCH,
         "'X' has no tensor 'embedding/kernel' of four dimensions: no vision transformer "
         "of V-MoE, vision_transformer or big_vision"},
        {"embedding/kernel",
         "embedding/kernel",
         4,
         {P, 2 * P, C, D},
         BASE_MISMATCH,
         "'X' tensor 'embedding/kernel' has shape [4, 8, 3, 8], expected [4, 4, 3, 8]"},
        {"embedding/bias",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'embedding/bias'"},
        {"cls",
         "cls",
         2,
         {1, D},
         BASE_MISMATCH,
         "'X' tensor 'cls' has shape [1, 8], expected [1, 1, 8]"},
        {"pos_embedding",
         "Encoder/posembed_input/pos_embedding",
         3,
         {1, 6, D},
         BASE_UNSUPPORTED,
         "'X' tensor 'pos_embedding' has 6 rows, expected a square number and perhaps one "
         "for the class token"},
        {"pos_embedding",
         "Encoder/posembed_input/pos_embedding",
         2,
         {5, D},
         BASE_UNSUPPORTED,
         "'X' tensor 'pos_embedding' has 0 rows, expected a square number and perhaps one "
         "for the class token"},
        {"cls",
         NULL,
         0,
         {0},
         BASE_UNSUPPORTED,
         "'X' tensor 'pos_embedding' has 5 rows, expected a square number"},
        {"block_0/SelfAttention/query/kernel",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no blocks with 'SelfAttention/query/kernel' and 'Mlp' or 'Moe' of the "
         "shapes of V-MoE, vision_transformer or big_vision"},
        {"block_0/LayerNorm_0/scale",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no blocks with 'SelfAttention/query/kernel' and 'Mlp' or 'Moe' of the "
         "shapes of V-MoE, vision_transformer or big_vision"},
        {"block_1/SelfAttention/key/bias",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'encoderblock_1/SelfAttention/key/bias'"},
        {"block_1/SelfAttention/key/kernel",
         "Encoder/encoderblock_1/SelfAttention/key/kernel",
         3,
         {D, E, H},
         BASE_MISMATCH,
         "'X' tensor 'Encoder/encoderblock_1/SelfAttention/key/kernel' has shape [8, 4, "
         "2], expected [8, 2, 4]"},
        {"block_1/Moe/Router/dense/kernel",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'encoderblock_1/Moe/Router/dense/kernel'"},
        {"block_1/Moe/Mlp/Dense_1/bias",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'encoderblock_1/Moe/Mlp/Dense_1/bias'"},
        {"encoder_norm/bias",
         NULL,
         0,
         {0},
         BASE_MISMATCH,
         "'X' has no tensor 'Encoder/encoder_norm/bias'"},
        {"head/bias", NULL, 0, {0}, BASE_MISMATCH, "'X' has no tensor 'head/bias'"},
        {"head/bias",
         "head/bias",
         1,
         {K + 1},
         BASE_MISMATCH,
         "'X' tensor 'head/bias' has shape [4], expected [3]"},
        {"head/bias",
         "MAPHead_0/probe",
         1,
         {K},
         BASE_UNSUPPORTED,
         "'X' tensor 'MAPHead_0/probe' is attention pooling (a MAP head), expected a class "
         "token or the mean"},
        {"head/bias",
         "conv_root/kernel",
         1,
         {K},
         BASE_UNSUPPORTED,
         "'X' tensor 'conv_root/kernel' is a ResNet in front, expected patches alone"},
        {"head/bias",
         "block1/unit1/gn1/scale",
         1,
         {K},
         BASE_UNSUPPORTED,
         "'X' tensor 'block1/unit1/gn1/scale' is a ResNet in front, expected patches "
         "alone"},
        {"head/bias",
         "txt/pos_embedding",
         1,
         {K},
         BASE_UNSUPPORTED,
         "'X' tensor 'txt/pos_embedding' is of a text tower, expected an image tower "
         "alone"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        vit_model *model = NULL;
        open_file(0, true, 5, false, true);
        array *a = ending("%s", cases[i].end);
        if (cases[i].name) {
            snprintf(a->name, sizeof a->name, "%s", cases[i].name);
            memcpy(a->shape, cases[i].shape, sizeof a->shape);
            a->rank = cases[i].rank;
            a->count = 1;
            for (int k = 0; k < a->rank; k++)
                a->count *= a->shape[k];
            base_free(a->values);
            a->values = base_alloc(a->count, sizeof *a->values);
        } else {
            base_free(a->values);
            *a = f.at[--f.count];
        }
        const base_status status = load(&model, NULL, &err);
        char *expected = base_text("'%s%s", f.path, cases[i].words + 2);
        ck_assert_str_eq(err.text, expected);
        ck_assert_int_eq(status, cases[i].status);
        ck_assert_ptr_null(model);
        base_free(expected);
        close_file();
    }
}
END_TEST

START_TEST(what_is_left_over_or_asked_for_in_vain_is_named)
{
    static const struct {
        const char *more;
        vit_load_options options;
        bool sparse;
        base_status status;
        const char *words;
    } cases[] = {
        {"Encoder/encoderblock_0/odd\n",
         {0},
         false,
         BASE_MISMATCH,
         "'X' tensor 'Encoder/encoderblock_0/odd\\x0a' has no place in this network"},
        {"Encoder/encoderblock_3/LayerNorm_0/scale",
         {0},
         false,
         BASE_MISMATCH,
         "'X' tensor 'Encoder/encoderblock_3/LayerNorm_0/scale' has no place in this "
         "network"},
        {NULL,
         {.member = 1},
         false,
         BASE_USAGE,
         "'X' is no ensemble, --member means nothing"},
        {NULL,
         {.member = 1},
         true,
         BASE_USAGE,
         "'X' has 1 members, expected --member from 0 to 0"},
        {NULL,
         {.heads = 3},
         false,
         BASE_USAGE,
         "'X' 'width' is 8, expected a multiple of heads (3)"},
        {NULL,
         {.image = 9},
         false,
         BASE_USAGE,
         "'X' 'image' is 9, expected a multiple of patch (4)"},
        {NULL,
         {.classes = 2000000},
         false,
         BASE_USAGE,
         "'X' 'classes' is 2000000, expected 1 to 1048576"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        vit_model *model = NULL;
        open_file(0, true, 5, false, cases[i].sparse);
        if (cases[i].more)
            add(SHAPE(D), "%s", cases[i].more);
        const base_status status = load(&model, &cases[i].options, &err);
        char *expected = base_text("'%s%s", f.path, cases[i].words + 2);
        ck_assert_str_eq(err.text, expected);
        ck_assert_int_eq(status, cases[i].status);
        base_free(expected);
        close_file();
    }
    base_error err = {0};
    vit_model *model = NULL;
    open_file(0, false, 4, false, false);
    ck_assert_int_eq(load(&model, &(vit_load_options){.pool = 1}, &err), BASE_USAGE);
    test_says(err.text, "'x.npz' has no class token, expected its mean over the patches");
    ending("head/bias")->values[1] = INFINITY;
    ck_assert_int_eq(load(&model, NULL, &err), BASE_NUMERIC);
    test_says(err.text, "'x.npz' has a weight that is not finite");
    close_file();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_jax_names");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_loop_test(core, every_tensor_finds_its_place, 0, STYLES);
    tcase_add_test(core, what_is_not_said_is_as_published);
    tcase_add_test(core, a_body_needs_a_number_of_classes);
    tcase_add_test(limits, types_that_are_no_weights_are_refused);
    tcase_add_test(limits, what_has_no_place_is_refused_by_name);
    tcase_add_test(limits, what_is_left_over_or_asked_for_in_vain_is_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
