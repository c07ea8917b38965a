/* test_vit_model.c - the network at rest: its table of parameters, counts, first values. */
#include <omp.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

/* timm: vit_tiny_patch16_224 has 5,717,416 parameters and vit_small_patch16_224
 * 22,050,664. */
START_TEST(dense_sizes_count_as_timm_counts)
{
    static const struct {
        const char *name;
        size_t floats;
    } known[] = {{"vit-ti16", 5717416}, {"vit-s16", 22050664}, {"vit-b16", 86567656}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        base_error err = {0};
        vit_config config = vit_config_defaults();
        vit_model *model = NULL;
        must(vit_config_select(&config, known[i].name, &err), &err);
        must(vit_model_plan(&model, &config, &err), &err);
        ck_assert_uint_eq(vit_model_floats(model), known[i].floats);
        ck_assert_uint_eq(vit_model_active_floats(model), known[i].floats);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(parameters_lie_side_by_side_under_timms_names)
{
    const vit_config config = test_sparse_config();
    vit_model *model = test_model(&config, 1);
    const vit_parameters p = vit_parameters_at(model, vit_model_weights(model));
    size_t offset = 0;

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        ck_assert_uint_eq(vit_model_parameter(model, i)->offset, offset);
        offset += vit_model_parameter(model, i)->count;
    }
    ck_assert_uint_eq(vit_model_floats(model), offset);
    const struct {
        const char *name;
        const float *at;
        size_t shape[4];
    } known[] = {
        {"cls_token", p.cls_token, {1, 1, 8}},
        {"pos_embed", p.pos_embed, {1, 5, 8}},
        {"patch_embed.proj.weight", p.patch_weight, {8, 3, 4, 4}},
        {"patch_embed.proj.bias", p.patch_bias, {8}},
        {"blocks.0.norm1.weight", p.block[0].norm1_weight, {8}},
        {"blocks.0.attn.qkv.weight", p.block[0].qkv_weight, {24, 8}},
        {"blocks.0.mlp.fc1.weight", p.block[0].fc1_weight, {12, 8}},
        {"blocks.0.mlp.fc2.bias", p.block[0].fc2_bias, {8}},
        {"blocks.1.attn.proj.bias", p.block[1].proj_bias, {8}},
        {"blocks.1.norm2.bias", p.block[1].norm2_bias, {8}},
        {"blocks.1.moe.router.weight", p.block[1].router[0], {4, 8}},
        {"blocks.1.moe.experts.fc1.weight", p.block[1].fc1_weight, {4, 12, 8}},
        {"blocks.1.moe.experts.fc1.bias", p.block[1].fc1_bias, {4, 12}},
        {"blocks.1.moe.experts.fc2.weight", p.block[1].fc2_weight, {4, 8, 12}},
        {"blocks.1.moe.experts.fc2.bias", p.block[1].fc2_bias, {4, 8}},
        {"norm.weight", p.norm_weight, {8}},
        {"head.weight", p.head_weight, {3, 8}},
        {"head.bias", p.head_bias, {3}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const vit_parameter *found = vit_model_parameter_find(model, known[i].name);
        ck_assert_msg(found != NULL, "%s", known[i].name);
        ck_assert_ptr_eq(vit_model_weights(model) + found->offset, known[i].at);
        ck_assert_mem_eq(found->shape, known[i].shape, sizeof found->shape);
    }
    ck_assert_ptr_null(p.block[0].router[0]);
    ck_assert_ptr_null(vit_model_parameter_find(model, "blocks.1.mlp.fc1.weight"));
    vit_model_destroy(model);
}
END_TEST

/* NAME [SHAPE] LAYER, decay, state. */
static const char *parameter_text(char *out, size_t bytes, const vit_parameter *p)
{
    size_t at = (size_t)snprintf(out, bytes, "%s [", p->name);

    for (int i = 0; i < p->rank; i++)
        at += (size_t)snprintf(out + at, bytes - at, i ? " %zu" : "%zu", p->shape[i]);
    snprintf(out + at, bytes - at, "] %d%s%s", p->layer, p->decay ? " decay" : "",
             p->state ? " state" : "");
    return out;
}

/* Everything that a network can have. */
static const char *const everything[] = {
    "cls_token [1 1 8] 0",
    "reg_token [1 3 8] 0",
    "pos_embed [1 8 8] 0",
    "patch_embed.proj.weight [8 3 4 4] 0 decay",
    "patch_embed.proj.bias [8] 0",
    "norm_pre.weight [8] 0",
    "norm_pre.bias [8] 0",
    "blocks.0.norm1.weight [8] 1",
    "blocks.0.norm1.bias [8] 1",
    "blocks.0.attn.qkv.weight [24 8] 1 decay",
    "blocks.0.attn.qkv.bias [24] 1",
    "blocks.0.attn.q_norm.weight [4] 1",
    "blocks.0.attn.q_norm.bias [4] 1",
    "blocks.0.attn.k_norm.weight [4] 1",
    "blocks.0.attn.k_norm.bias [4] 1",
    "blocks.0.attn.proj.weight [8 8] 1 decay",
    "blocks.0.attn.proj.bias [8] 1",
    "blocks.0.norm2.weight [8] 1",
    "blocks.0.norm2.bias [8] 1",
    "blocks.0.mlp.fc1.weight [12 8] 1 decay",
    "blocks.0.mlp.fc1.bias [12] 1",
    "blocks.0.mlp.fc2.weight [8 12] 1 decay",
    "blocks.0.mlp.fc2.bias [8] 1",
    "blocks.1.norm1.weight [8] 2",
    "blocks.1.norm1.bias [8] 2",
    "blocks.1.attn.qkv.weight [24 8] 2 decay",
    "blocks.1.attn.qkv.bias [24] 2",
    "blocks.1.attn.q_norm.weight [4] 2",
    "blocks.1.attn.q_norm.bias [4] 2",
    "blocks.1.attn.k_norm.weight [4] 2",
    "blocks.1.attn.k_norm.bias [4] 2",
    "blocks.1.attn.proj.weight [8 8] 2 decay",
    "blocks.1.attn.proj.bias [8] 2",
    "blocks.1.norm2.weight [8] 2",
    "blocks.1.norm2.bias [8] 2",
    "blocks.1.moe.router.weight [4 8] 2 decay",
    "blocks.1.moe.experts.fc1.weight [4 12 8] 2 decay",
    "blocks.1.moe.experts.fc1.bias [4 12] 2",
    "blocks.1.moe.experts.fc2.weight [4 8 12] 2 decay",
    "blocks.1.moe.experts.fc2.bias [4 8] 2",
    "blocks.1.moe.shared.fc1.weight [2 12 8] 2 decay",
    "blocks.1.moe.shared.fc1.bias [2 12] 2",
    "blocks.1.moe.shared.fc2.weight [2 8 12] 2 decay",
    "blocks.1.moe.shared.fc2.bias [2 8] 2",
    "fc_norm.weight [8] 3",
    "fc_norm.bias [8] 3",
    "pre_logits.fc.weight [5 8] 3 decay",
    "pre_logits.fc.bias [5] 3",
    "head.weight [3 5] 3 decay",
    "head.bias [3] 3",
};

static vit_config full_config(void)
{
    vit_config config = test_sparse_config();

    config.pool = VIT_POOL_PATCHES;
    config.registers = 3;
    config.pre_norm = config.qk_norm = config.fc_norm = true;
    config.prelogits = 5;
    config.moe.shared = 2;
    return config;
}

START_TEST(a_network_with_everything_has_these_parameters)
{
    const vit_config config = full_config();
    vit_model *model = test_model(&config, 1);
    const size_t count = sizeof everything / sizeof everything[0];

    ck_assert_uint_eq(vit_model_parameter_count(model), count);
    for (size_t i = 0; i < count; i++) {
        char text[160];
        ck_assert_str_eq(parameter_text(text, sizeof text, vit_model_parameter(model, i)),
                         everything[i]);
    }
    vit_model_destroy(model);
}
END_TEST

/* What a router adds to block 1 of test_sparse_config: weights that a token does not meet,
 * multiply-adds of an image in router and experts (an expert on a token: 192), its own
 * tensors. */
static const struct {
    const char *router;
    size_t idle;
    double operations;
    const char *tensor[4];
} router_parameters[] = {
    {"softmax", 424, 2080, {"weight [4 8] 2 decay"}},
    {"vmoe", 424, 2080, {"weight [4 8] 2 decay"}},
    {"sinkhorn", 424, 2080, {"weight [4 8] 2 decay"}},
    {"ssr", 424, 2080, {"weight [4 8] 2 decay"}},
    {"momentum", 424, 2080, {"weight [4 8] 2 decay"}},
    {"adam", 424, 2080, {"weight [4 8] 2 decay"}},
    {"robust-momentum", 424, 2080, {"weight [4 8] 2 decay"}},
    {"sinkhorn-ot", 424, 2080, {"weight [4 8] 2 decay"}},
    {"usmoe", 424, 2080, {"weight [4 8] 2 decay"}},
    {"expert-choice", 424, 2464, {"weight [4 8] 2 decay"}},
    {"similarity", 424, 2380, {"weight [4 8] 2 decay"}},
    {"attention", 424, 2230, {"weight [4 8] 2 decay"}},
    {"s2moe",
     424,
     2080,
     {"weight [4 8] 2 decay", "mix.weight [1 8] 2 decay", "mix.bias [1] 2"}},
    {"xmoe",
     424,
     2040,
     {"weight [4 2] 2 decay", "projection [2 8] 2 decay", "temperature [1] 2"}},
    {"loss-free", 424, 2080, {"weight [4 8] 2 decay", "bias [4] 2 state"}},
    {"quantile", 424, 2080, {"weight [4 8] 2 decay", "bias [4] 2 state"}},
    {"random", 424, 2080, {"weight [4 8] 2 state"}},
    {"hash", 424, 1920, {NULL}},
    {"soft", 0, 1248, {"phi [4 1 8] 2 decay", "scale [1] 2"}},
    {"acmoe", 424, 2080, {"weight [4 8] 2 decay"}},
};

START_TEST(routers_have_their_parameters)
{
    static const char place[] = "blocks.1.moe.router.";

    for (size_t r = 0; r < sizeof router_parameters / sizeof router_parameters[0]; r++) {
        vit_config config = test_sparse_config();
        size_t met = 0;
        ck_assert_str_eq(vit_router_name(r), router_parameters[r].router);
        ck_assert_int_eq(
            vit_router_select(&config.moe.router, router_parameters[r].router, NULL),
            BASE_OK);
        vit_model *model = test_model(&config, 1);
        for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
            char text[160];
            const vit_parameter *p = vit_model_parameter(model, i);
            if (strncmp(p->name, place, sizeof place - 1) != 0)
                continue;
            ck_assert_ptr_nonnull(router_parameters[r].tensor[met]);
            ck_assert_str_eq(parameter_text(text, sizeof text, p) + sizeof place - 1,
                             router_parameters[r].tensor[met++]);
        }
        ck_assert_ptr_null(router_parameters[r].tensor[met]);
        ck_assert_uint_eq(vit_model_floats(model) - vit_model_active_floats(model),
                          router_parameters[r].idle);
        ck_assert_double_eq(vit_model_flops(model),
                            2 * (1536 + 3360 + 960 + 24 + router_parameters[r].operations));
        vit_model_destroy(model);
    }
    ck_assert_ptr_null(
        vit_router_name(sizeof router_parameters / sizeof router_parameters[0]));
}
END_TEST

/* By hand for test_config: N = 5, D = 8, M = 12, E = 4, k = 2, K = 3. Multiply-adds:
 * patches 4*8*48 = 1536; attention of a block 5*8*24 + 2*5*5*8 + 5*8*8 = 1680, two of
 * them 3360; an MLP 2*5*8*12 = 960; sparse: 960 + 2*960 + router 5*8*4 = 3040; head 24. */
START_TEST(operations_and_active_weights_by_hand)
{
    const vit_config dense = test_config();
    const vit_config sparse = test_sparse_config();
    vit_model *a = test_model(&dense, 1);
    vit_model *b = test_model(&sparse, 1);

    ck_assert(vit_model_flops(a) == 2 * (1536 + 3360 + 2 * 960 + 24));
    ck_assert(vit_model_flops(b) == 2 * (1536 + 3360 + 3040 + 24));
    ck_assert(vit_model_flops_spent(b, 10) == vit_model_flops(b)); /* k N of one layer */
    ck_assert(vit_model_flops_spent(b, 3) == 2 * (1536 + 3360 + 960 + 3 * 192 + 160 + 24));
    ck_assert_uint_eq(vit_model_active_floats(b),
                      vit_model_floats(b) - 2 * (2 * 8 * 12 + 12 + 8));
    /* N = 8: attention 2 * (8*8*24 + 2*8*8*8 + 8*8*8), an MLP 8*192, sparse 2 chosen and 2
     * shared ones and the router's 8*8*4, the layer before the head 8*5, the head 5*3 */
    const vit_config full = full_config();
    vit_model *c = test_model(&full, 1);
    ck_assert_double_eq(vit_model_flops(c), 2 * (1536 + 2 * 3072 + 1536 + (2 + 2) * 1536 +
                                                 256 + 8 * 5 + 5 * 3));
    ck_assert_uint_eq(vit_model_active_floats(c),
                      vit_model_floats(c) - 2 * (2 * 8 * 12 + 12 + 8));
    vit_model_destroy(c);
    vit_model_destroy(b);
    vit_model_destroy(a);
}
END_TEST

/* Mean and std of a tensor; both laws are symmetric around 0. */
static void check_law(const vit_model *model, const char *name, double std, double limit)
{
    const vit_parameter *p = vit_model_parameter_find(model, name);
    const float *w = vit_model_weights_const(model) + p->offset;
    double sum = 0;
    double squares = 0;

    for (size_t i = 0; i < p->count; i++) {
        ck_assert_msg(fabs((double)w[i]) <= limit, "%s %g", name, (double)w[i]);
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
    }
    const double n = (double)p->count;
    ck_assert_msg(fabs(sum / n) < 5 * std / sqrt(n), "%s mean %g", name, sum / n);
    ck_assert_msg(fabs(sqrt(squares / n) / std - 1) < 5 / sqrt(n), "%s std %g", name,
                  sqrt(squares / n));
}

static vit_config wide_config(void)
{
    vit_config config = test_sparse_config();

    config.width = 64;
    config.mlp = 128;
    return config;
}

START_TEST(timm_weights_have_their_law)
{
    const vit_config config = wide_config();
    vit_model *model = test_model(&config, 3);
    const vit_parameters p = vit_parameters_at(model, vit_model_weights(model));
    const double cut = 2 * 0.02 / 0.8796256; /* two std of the normal before the cut */

    check_law(model, "blocks.0.attn.qkv.weight", 0.02, cut);
    check_law(model, "blocks.0.mlp.fc2.weight", 0.02, cut);
    check_law(model, "blocks.1.moe.experts.fc1.weight", 0.02, cut);
    check_law(model, "pos_embed", 0.02, 1);
    check_law(model, "blocks.1.moe.router.weight", 1 / 8.0, 2 / 8.0 / 0.8796256);
    check_law(model, "patch_embed.proj.weight", 1 / sqrt(3 * 48.0), 1 / sqrt(48.0));
    for (size_t i = 0; i < 64; i++) {
        ck_assert(p.cls_token[i] == 0 && p.head_weight[i] == 0 &&
                  p.block[0].qkv_bias[i] == 0);
        ck_assert(p.norm_weight[i] == 1 && p.norm_bias[i] == 0);
    }
    /* each expert is drawn on its own */
    ck_assert(memcmp(p.block[1].fc1_weight, p.block[1].fc1_weight + 64 * 128, 64) != 0);
    vit_model_destroy(model);
}
END_TEST

START_TEST(vmoe_weights_have_their_law)
{
    vit_config config = wide_config();
    config.init = VIT_INIT_VMOE;
    vit_model *model = test_model(&config, 3);
    const vit_parameters p = vit_parameters_at(model, vit_model_weights(model));
    const double qkv = sqrt(6 / 128.0);
    const double fc = sqrt(6 / 192.0);

    check_law(model, "blocks.0.attn.qkv.weight", qkv / sqrt(3), qkv);
    check_law(model, "blocks.0.mlp.fc1.weight", fc / sqrt(3), fc);
    check_law(model, "blocks.0.mlp.fc1.bias", 1e-6, 1e-5);
    check_law(model, "patch_embed.proj.weight", 1 / sqrt(48.0), 2 / sqrt(48.0) / 0.8796256);
    check_law(model, "blocks.1.moe.router.weight", 1 / 8.0, 2 / 8.0 / 0.8796256);
    ck_assert_double_eq_tol((double)p.head_bias[2], -log(3.0), 1e-6);
    /* all experts start from the same values */
    ck_assert_mem_eq(p.block[1].fc1_weight, p.block[1].fc1_weight + 3 * 64 * 128,
                     64 * 128 * sizeof(float));
    ck_assert_mem_eq(p.block[1].fc2_bias, p.block[1].fc2_bias + 64, 64 * sizeof(float));
    vit_model_destroy(model);
}
END_TEST

/* Parameters of routers that are no matrices start from these. */
START_TEST(routers_start_from_what_their_papers_say)
{
    static const struct {
        const char *router, *key, *value, *name;
        float start;
    } known[] = {
        {"momentum", "norm", "post", "norm.weight", 1},
        {"momentum", "norm", "post", "norm.bias", 0},
        {"xmoe", NULL, NULL, "temperature", 0.3f},
        {"xmoe", "temperature", "0.5", "temperature", 0.5f},
        {"xmoe", "gate", "sigmoid", "temperature", 0.07f},
        {"soft", NULL, NULL, "scale", 1},
        {"loss-free", NULL, NULL, "bias", 0},
        {"quantile", NULL, NULL, "bias", 0},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        base_error err = {0};
        char name[64];
        vit_config config = test_sparse_config();
        must(vit_router_select(&config.moe.router, known[i].router, &err), &err);
        if (known[i].key)
            must(vit_router_set(&config.moe.router, known[i].key, known[i].value, &err),
                 &err);
        vit_model *model = test_model(&config, 5);
        snprintf(name, sizeof name, "blocks.1.moe.router.%s", known[i].name);
        const vit_parameter *p = vit_model_parameter_find(model, name);
        ck_assert_ptr_nonnull(p);
        for (size_t j = 0; j < p->count; j++)
            ck_assert_msg(vit_model_weights(model)[p->offset + j] == known[i].start,
                          "%s %s is %g", known[i].router, known[i].name,
                          (double)vit_model_weights(model)[p->offset + j]);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(weights_depend_on_the_seed_and_not_on_threads)
{
    const vit_config config = wide_config();
    omp_set_num_threads(1);
    vit_model *a = test_model(&config, 3);
    omp_set_num_threads(3);
    vit_model *b = test_model(&config, 3);
    vit_model *c = test_model(&config, 4);
    const size_t bytes = vit_model_floats(a) * sizeof(float);

    ck_assert_mem_eq(vit_model_weights(a), vit_model_weights(b), bytes);
    ck_assert_mem_ne(vit_model_weights(a), vit_model_weights(c), bytes);
    vit_model_destroy(c);
    vit_model_destroy(b);
    vit_model_destroy(a);
}
END_TEST

/* x = 1, y = 0 on a grid of 2; width 8: omega = 1, 1e-4. */
START_TEST(sincos_positions_by_hand)
{
    vit_config config = test_config();
    float out[5 * 8];

    config.position = VIT_POSITION_SINCOS;
    vit_position_sincos(out, &config);
    const float expected[8] = {(float)sin(1), 1e-4f, (float)cos(1), 1, 0, 0, 1, 1};
    for (size_t i = 0; i < 8; i++)
        ck_assert(out[i] == 0);
    test_close(out + 2 * 8, expected, 8, 1e-7, 0);
    vit_model *model = test_model(&config, 1);
    ck_assert_ptr_null(vit_model_parameter_find(model, "pos_embed"));
    vit_model_destroy(model);
}
END_TEST

/* Every setting that weights were made for, by its name; after a refusal all is as
 * before. */
START_TEST(settings_of_the_weights_stay)
{
    static const struct {
        const char *key;
        size_t at;
        bool flag;
        int from, to;
    } fixed[] = {
        {"image", offsetof(vit_config, image), false, 8, 4},
        {"channels", offsetof(vit_config, channels), false, 3, 1},
        {"patch", offsetof(vit_config, patch), false, 4, 2},
        {"width", offsetof(vit_config, width), false, 8, 16},
        {"depth", offsetof(vit_config, depth), false, 2, 3},
        {"heads", offsetof(vit_config, heads), false, 2, 4},
        {"mlp", offsetof(vit_config, mlp), false, 12, 13},
        {"classes", offsetof(vit_config, classes), false, 3, 4},
        {"pool", offsetof(vit_config, pool), false, 2, 1},
        {"position", offsetof(vit_config, position), false, 0, 1},
        {"registers", offsetof(vit_config, registers), false, 3, 0},
        {"prelogits", offsetof(vit_config, prelogits), false, 5, 0},
        {"fc_norm", offsetof(vit_config, fc_norm), true, 1, 0},
        {"pre_norm", offsetof(vit_config, pre_norm), true, 1, 0},
        {"qk_norm", offsetof(vit_config, qk_norm), true, 1, 0},
        {"moe.experts", offsetof(vit_config, moe.experts), false, 4, 3},
        {"moe.shared", offsetof(vit_config, moe.shared), false, 2, 3},
    };
    const vit_config config = full_config();
    vit_model *model = test_model(&config, 1);

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        char words[96];
        base_error err = {0};
        vit_config other = config;
        if (fixed[i].flag)
            memcpy((char *)&other + fixed[i].at, &(bool){false}, sizeof(bool));
        else
            memcpy((char *)&other + fixed[i].at, &fixed[i].to, sizeof(int));
        other.crop = other.image;
        snprintf(words, sizeof words, "'%s' is %d in the network, cannot become %d",
                 fixed[i].key, fixed[i].from, fixed[i].to);
        ck_assert_int_eq(vit_model_config_set(model, &other, &err), BASE_MISMATCH);
        ck_assert_str_eq(err.text, words);
        ck_assert_mem_eq(vit_model_config(model), &config, sizeof config);
    }
    vit_model_destroy(model);
}
END_TEST

START_TEST(routers_change_only_among_those_of_equal_tensors)
{
    static const struct {
        const char *from, *to, *words;
    } changes[] = {
        {"softmax", "ssr", ""},
        {"loss-free", "quantile", ""},
        {"softmax", "hash",
         "router 'hash' has other parameters than router 'softmax' of "
         "the network"},
        {"softmax", "s2moe",
         "router 's2moe' has other parameters than router 'softmax' of "
         "the network"},
        {"loss-free", "soft",
         "router 'soft' wants tensor 'blocks.1.moe.router.phi', the "
         "network has 'blocks.1.moe.router.weight'"},
        {"s2moe", "xmoe",
         "router 'xmoe' wants tensor 'blocks.1.moe.router.weight', the "
         "network has 'blocks.1.moe.router.weight'"},
    };

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        base_error err = {0};
        vit_config config = test_sparse_config();
        must(vit_router_select(&config.moe.router, changes[i].from, &err), &err);
        vit_model *model = test_model(&config, 1);
        must(vit_router_select(&config.moe.router, changes[i].to, &err), &err);
        const base_status status = vit_model_config_set(model, &config, &err);
        ck_assert_str_eq(err.text, changes[i].words);
        ck_assert_int_eq(status, *changes[i].words ? BASE_MISMATCH : BASE_OK);
        ck_assert_str_eq(vit_model_config(model)->moe.router.name,
                         *changes[i].words ? changes[i].from : changes[i].to);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(labels_are_copied_and_replaced)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    base_error err = {0};
    char name[] = "cat";
    const char *labels[] = {name, "dog", "eel"};

    ck_assert_ptr_null(vit_model_label(model, 0));
    must(vit_model_labels_set(model, labels, 3, &err), &err);
    name[0] = 'b';
    ck_assert_str_eq(vit_model_label(model, 0), "cat");
    ck_assert_str_eq(vit_model_label(model, 2), "eel");
    ck_assert_ptr_null(vit_model_label(model, 3));
    ck_assert_int_eq(vit_model_labels_set(model, labels, 4, &err), BASE_MISMATCH);
    ck_assert_str_eq(vit_model_label(model, 0), "cat");
    must(vit_model_labels_set(model, labels, 3, &err), &err);
    ck_assert_str_eq(vit_model_label(model, 0), "bat");
    vit_model_destroy(model);
}
END_TEST

START_TEST(origins_have_names)
{
    static const char *const names[] = {[VIT_ORIGIN_FILE] = "checkpoint",
                                        [VIT_ORIGIN_CONFIG] = "config.json",
                                        [VIT_ORIGIN_KNOWN] = "known width",
                                        [VIT_ORIGIN_ASSUMED] = "assumed",
                                        [VIT_ORIGIN_OPTION] = "option"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_str_eq(vit_origin_name((vit_origin)i), names[i]);
}
END_TEST

START_TEST(settings_change_only_where_weights_allow)
{
    base_error err = {0};
    vit_config config = test_sparse_config();
    vit_model *model = test_model(&config, 1);

    config.moe.capacity = 1.5;
    must(vit_router_select(&config.moe.router, "ssr", &err), &err);
    must(vit_model_config_set(model, &config, &err), &err);
    ck_assert(vit_model_config(model)->moe.capacity == 1.5);
    vit_config other = config;
    other.heads = 4;
    test_refused(vit_model_config_set(model, &other, &err), BASE_MISMATCH, &err,
                 "'heads' is 2 in the network, cannot become 4");
    other = config;
    other.moe.experts = 8;
    test_refused(vit_model_config_set(model, &other, &err), BASE_MISMATCH, &err,
                 "'moe.experts' is 4 in the network, cannot become 8");
    other = config;
    other.moe.layer[0] = true;
    test_refused(vit_model_config_set(model, &other, &err), BASE_MISMATCH, &err,
                 "block 0 has an MLP in the network, cannot have experts");
    other = config;
    other.moe.k = 5;
    test_refused(vit_model_config_set(model, &other, &err), BASE_USAGE, &err,
                 "'router.k' is 5, expected 1 to the number of experts (4)");
    static const char *const two[] = {"a", "b"};
    test_refused(vit_model_labels_set(model, two, 2, &err), BASE_MISMATCH, &err,
                 "2 class names for a network of 3 classes");
    ck_assert_ptr_null(vit_model_label(model, 0));
    vit_model_destroy(model);
}
END_TEST

/* The layer before the head may be one number wide. */
START_TEST(the_narrowest_layer_before_the_head)
{
    static const size_t head[3] = {10, 1};
    vit_config config = test_sparse_config();
    base_error err = {0};
    vit_model *model = NULL;
    size_t met = 0;

    config.classes = 10;
    config.prelogits = 1;
    must(vit_model_plan(&model, &config, &err), &err);
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        if (strcmp(p->name, "head.weight") != 0)
            continue;
        ck_assert_int_eq(p->rank, 2);
        ck_assert_mem_eq(p->shape, head, 2 * sizeof *head);
        met++;
    }
    ck_assert_uint_eq(met, 1);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_model");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, dense_sizes_count_as_timm_counts);
    tcase_add_test(core, parameters_lie_side_by_side_under_timms_names);
    tcase_add_test(core, a_network_with_everything_has_these_parameters);
    tcase_add_test(core, routers_have_their_parameters);
    tcase_add_test(core, labels_are_copied_and_replaced);
    tcase_add_test(core, origins_have_names);
    tcase_add_test(core, operations_and_active_weights_by_hand);
    tcase_add_test(core, timm_weights_have_their_law);
    tcase_add_test(core, vmoe_weights_have_their_law);
    tcase_add_test(core, routers_start_from_what_their_papers_say);
    tcase_add_test(core, weights_depend_on_the_seed_and_not_on_threads);
    tcase_add_test(limits, settings_change_only_where_weights_allow);
    tcase_add_test(limits, settings_of_the_weights_stay);
    tcase_add_test(limits, routers_change_only_among_those_of_equal_tensors);
    tcase_add_test(limits, the_narrowest_layer_before_the_head);
    tcase_add_test(core, sincos_positions_by_hand);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
