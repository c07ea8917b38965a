/* test_vit_onnx_values.c - ONNX files compute our logits: every kind of network and every
 * router, for one image and for several (test_onnx_run.h); whether onnxruntime agrees is
 * asked by reference/onnx_referee.py. */
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_onnx_run.h"
#include "tests/test_run.h"

/* ---- networks ------------------------------------------------------------------------ */

enum { IMAGES = 3, FLOATS = 3 * 8 * 8, CLASSES = 3 };

/* Every parameter is drawn: none is 0, so that none may be forgotten. */
static vit_model *drawn(const vit_config *config)
{
    vit_model *model = test_model(config, 3);
    float *weights = vit_model_weights(model);

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        const bool scale = strstr(p->name, "norm") && strstr(p->name, "weight");
        const bool large = strstr(p->name, "temperature") || strstr(p->name, "scale");
        const double sigma = p->rank > 1 ? 1.5 / sqrt((double)p->shape[p->rank - 1]) : 0.3;
        for (size_t k = 0; k < p->count; k++) {
            base_rng rng = base_rng_make(7, BASE_PURPOSE_TEST, i, k, 0);
            const double z = base_rng_normal(&rng);
            weights[p->offset + k] = (float)(scale   ? 1 + 0.2 * z
                                             : large ? 0.5 + 0.1 * fabs(z)
                                                     : sigma * z);
        }
    }
    return model;
}

/* The file says what the network says, of one image and of several. */
static void agrees(const vit_config *config, const char *what)
{
    static float images[IMAGES * FLOATS], logits[IMAGES * CLASSES];
    static double found[IMAGES * CLASSES];
    vit_model *model = drawn(config);
    vit_run *run = NULL;
    base_error err = {0};
    char *text = NULL;
    wire_field file = {0};

    for (size_t i = 0; i < IMAGES * FLOATS; i++) {
        base_rng rng = base_rng_make(9, BASE_PURPOSE_TEST, i, 0, 0);
        images[i] = (float)base_rng_normal(&rng);
    }
    must(vit_run_create(&run, model, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
         &err);
    must(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err), &err);
    must(vit_model_save_onnx(model, path, &err), &err);
    must(base_file_read(&text, &file.count, path, (size_t)1 << 30, &err), &err);
    file.at = (const unsigned char *)text;
    for (size_t count = 1; count <= IMAGES; count += IMAGES - 1) {
        graph_run(found, field_at(file, 7, 0), images, count, config);
        for (size_t i = 0; i < count * CLASSES; i++)
            ck_assert_msg(fabs(found[i] - (double)logits[i]) <
                              1e-4 * (1 + fabs((double)logits[i])),
                          "%s: logit %zu of %zu images is %g, expected %g", what, i, count,
                          found[i], (double)logits[i]);
    }
    base_free(text);
    vit_run_destroy(run);
    vit_model_destroy(model);
}

START_TEST(every_kind_of_network_gives_its_logits)
{
    vit_config config = test_config();

    agrees(&config, "token");
    config.eps = 1e-2;
    config.gelu = VIT_GELU_TANH;
    agrees(&config, "tanh");
    config.pool = VIT_POOL_GAP;
    agrees(&config, "gap");
    config.registers = 2;
    config.pool = VIT_POOL_PATCHES;
    agrees(&config, "patches");
    config.fc_norm = true;
    agrees(&config, "fc_norm");
    config.pre_norm = config.qk_norm = true;
    config.prelogits = 5;
    config.position = VIT_POSITION_SINCOS;
    agrees(&config, "all");
}
END_TEST

typedef struct router_case {
    const char *name;
    int k;
    const char *options[2][2];
} router_case;

static const router_case routers[] = {
    {"softmax", 2, {{0}}},
    {"softmax", 1, {{0}}},
    {"softmax", 2, {{"gate", "prob"}}},
    {"vmoe", 2, {{0}}},
    {"sinkhorn", 2, {{0}}},
    {"sinkhorn", 1, {{0}}},
    {"ssr", 2, {{0}}},
    {"ssr", 1, {{0}}},
    {"momentum", 2, {{0}}},
    {"momentum", 2, {{"norm", "post"}}},
    {"adam", 2, {{0}}},
    {"adam", 2, {{"kappa", "0.25"}}},
    {"robust-momentum", 2, {{0}}},
    {"sinkhorn-ot", 2, {{0}}},
    {"sinkhorn-ot", 2, {{"combine", "plan"}, {"xi", "0.5"}}},
    {"usmoe", 2, {{0}}},
    {"usmoe", 2, {{"select", "token"}, {"divide", "row"}}},
    {"usmoe", 2, {{"eval_k", "1.3"}}},
    {"expert-choice", 2, {{0}}},
    {"expert-choice", 2, {{"cf", "1.2"}, {"multiple", "4"}}},
    {"similarity", 2, {{"lambda", "0.5"}}},
    {"similarity", 2, {{"bilinear", "on"}, {"mix", "logit"}}},
    {"similarity", 1, {{"lambda", "0.3"}}},
    {"attention", 2, {{0}}},
    {"attention", 2, {{"mix", "logit"}, {"lambda", "0.7"}}},
    {"s2moe", 2, {{0}}},
    {"s2moe", 2, {{"eval_k", "1"}}},
    {"xmoe", 2, {{0}}},
    {"xmoe", 1, {{0}}},
    {"xmoe", 2, {{"variant", "code"}, {"gate", "sigmoid"}}},
    {"loss-free", 2, {{0}}},
    {"loss-free", 1, {{0}}},
    {"loss-free", 2, {{"score", "softmax"}, {"gate", "prob"}}},
    {"quantile", 2, {{0}}},
    {"quantile", 2, {{"score", "sigmoid"}}},
    {"quantile", 2, {{"score", "logits"}}},
    {"quantile", 2, {{"form", "dynamic"}}},
    {"random", 2, {{0}}},
    {"hash", 2, {{0}}},
    {"soft", 1, {{0}}},
    {"soft", 1, {{"slots", "3"}}},
    {"acmoe", 2, {{0}}},
};
enum { ROUTERS = sizeof routers / sizeof routers[0] };

START_TEST(every_router_gives_its_logits)
{
    const router_case *r = &routers[_i];
    vit_config config = test_sparse_config();
    base_error err = {0};

    config.moe.k = r->k;
    config.moe.shared = 1;
    must(vit_config_layers_set(&config, "0,1", &err), &err);
    must(vit_router_select(&config.moe.router, r->name, &err), &err);
    for (size_t i = 0; i < 2 && r->options[i][0]; i++)
        must(vit_router_set(&config.moe.router, r->options[i][0], r->options[i][1], &err),
             &err);
    agrees(&config, r->name);
}
END_TEST

/* A router that is new is in the list above. */
START_TEST(no_router_is_left_out)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        bool there = false;
        for (size_t r = 0; r < ROUTERS; r++)
            there |= strcmp(routers[r].name, vit_router_name(i)) == 0;
        ck_assert_msg(there, "%s", vit_router_name(i));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_onnx_values");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, every_kind_of_network_gives_its_logits);
    tcase_add_loop_test(core, every_router_gives_its_logits, 0, ROUTERS);
    tcase_add_test(core, no_router_is_left_out);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
