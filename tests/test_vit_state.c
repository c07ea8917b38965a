/* test_vit_state.c - networks of routers with state, which no gradient moves: the gradients
 * of all else, sums over micro-batches, averages, weights that stay as drawn. */
#include "tests/test_leaks.h"
#include "tests/test_slope.h"
#include "tests/test_vit_router_rig.h"
#include "vit/run_internal.h"

typedef struct net {
    const char *router, *options, *layers;
    int k;
    vit_mode mode;
} net;

static const net nets[] = {
    {"loss-free", "", "0,2", 2, VIT_MODE_TRAIN},
    {"loss-free", "score=softmax gate=prob", "0,1,2", 3, VIT_MODE_INPUT_GRADIENT},
    {"quantile", "", "every:2", 2, VIT_MODE_TRAIN},
    {"quantile", "score=logits", "0,1", 1, VIT_MODE_INPUT_GRADIENT},
    {"quantile", "form=dynamic", "every:2", 2, VIT_MODE_TRAIN},
    {"quantile", "form=dynamic score=sigmoid", "0,2", 1, VIT_MODE_INPUT_GRADIENT},
    {"random", "", "0,1,2", 2, VIT_MODE_TRAIN},
    {"random", "", "1", 1, VIT_MODE_INPUT_GRADIENT},
    {"hash", "seed=3", "0,2", 2, VIT_MODE_TRAIN},
    {"hash", "", "0,1,2", 3, VIT_MODE_INPUT_GRADIENT},
};
enum { NETS = sizeof nets / sizeof nets[0] };

static vit_model *net_model(const net *n)
{
    vit_config config = slope_config();
    rig r;

    configure(&r, n->router, n->options);
    config.moe.router = r.config;
    config.moe.k = n->k;
    ck_assert_int_eq(vit_config_layers_set(&config, n->layers, NULL), BASE_OK);
    vit_model *model = slope_model(&config);
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        if (p->state && p->rank == 1) /* thresholds that lie among the scores */
            for (size_t j = 0; j < p->count; j++)
                vit_model_weights(model)[p->offset + j] *= 0.5f;
    }
    return model;
}

START_TEST(gradients_of_networks_are_those_of_finite_differences)
{
    const net *n = &nets[_i];
    vit_model *model = net_model(n);
    vit_run *run = NULL;

    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, n->mode, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    slope_check_all(run, model, n->router);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* A pass of the first `count` images; its backward. */
static void pass_over(vit_run *run, const float *images, const float *weight, size_t first,
                      size_t count)
{
    const vit_step step = {.seed = 3, .step = 5, .steps = 10, .first_sample = first};
    float logits[SLOPE_BATCH * SLOPE_CLASSES];

    ck_assert_int_eq(
        vit_run_forward(run, logits, images + first * SLOPE_FLOATS, count, &step, NULL),
        BASE_OK);
    ck_assert_int_eq(vit_run_backward(run, NULL, weight + first * SLOPE_CLASSES, NULL),
                     BASE_OK);
}

static float image_block[SLOPE_BATCH * SLOPE_FLOATS],
    weight_block[SLOPE_BATCH * SLOPE_CLASSES];

static vit_optimizer *sgd_open(const vit_model *model, double ema, bool copies)
{
    const vit_optimizer_config config = {.kind = VIT_OPTIMIZER_SGD,
                                         .momentum = 0.5,
                                         .weight_decay = 0.1,
                                         .clip = 0.5,
                                         .ema = ema,
                                         .ema_copies_state = copies};
    vit_optimizer *out = NULL;

    ck_assert_int_eq(vit_optimizer_create(&out, model, &config, NULL), BASE_OK);
    slope_fill(image_block, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight_block, SLOPE_BATCH * SLOPE_CLASSES, 2);
    return out;
}

/* The loads of two micro-batches move each layer's bias as those of one batch do; the
 * optimiser alone moves nothing. */
START_TEST(micro_batches_add_their_loads)
{
    enum { LAYERS = 2, EXPERTS = 4 };
    static const char *const names[LAYERS] = {"blocks.0.moe.router.bias",
                                              "blocks.2.moe.router.bias"};
    const net n = {"loss-free", "u=0.25", "0,2", 2, VIT_MODE_TRAIN};
    vit_model *model = net_model(&n);
    vit_optimizer *optimizer = sgd_open(model, 0.9, false);
    const vit_step step = {.step = 5, .steps = 10};
    double load[LAYERS][EXPERTS] = {{0}};
    float before[LAYERS][EXPERTS];
    const vit_parameter *bias[LAYERS];
    vit_run *run = NULL;
    size_t count = 0;

    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    for (size_t m = 0; m < LAYERS; m++) {
        bias[m] = vit_model_parameter_find(model, names[m]);
        ck_assert_ptr_nonnull(bias[m]);
        ck_assert(bias[m]->state && !bias[m]->decay && bias[m]->count == EXPERTS);
        memcpy(before[m], vit_model_weights_const(model) + bias[m]->offset,
               sizeof before[m]);
    }
    pass_over(run, image_block, weight_block, 0, 3); /* forgotten by zeroing */
    vit_run_gradients_zero(run);
    for (size_t first = 0; first < SLOPE_BATCH; first += 2) {
        pass_over(run, image_block, weight_block, first, 2);
        for (size_t m = 0; m < LAYERS; m++) {
            const vit_routing routing = vit_run_routing(run, m);
            for (size_t a = 0; a < routing.count; a++)
                load[m][routing.expert[a]]++;
        }
    }
    const double *tally = vit_run_tally(run, &count);
    ck_assert_uint_eq(count, LAYERS * EXPERTS);
    for (size_t i = 0; i < count; i++)
        ck_assert_double_eq(tally[i], load[i / EXPERTS][i % EXPERTS]);
    ck_assert(memcmp(load[0], load[1], sizeof load[0]) != 0);
    ck_assert(!vit_optimizer_step(optimizer, model, vit_run_gradients(run), 0.1).skipped);
    const float *w = vit_model_weights_const(model);
    for (size_t m = 0; m < LAYERS; m++)
        ck_assert_mem_eq(before[m], w + bias[m]->offset, sizeof before[m]);
    vit_optimizer_state_step(optimizer, model, run, &step);
    for (size_t m = 0; m < LAYERS; m++) {
        const float *after = w + bias[m]->offset;
        const double mean = (load[m][0] + load[m][1] + load[m][2] + load[m][3]) / EXPERTS;
        for (size_t e = 0; e < EXPERTS; e++) {
            const double old = (double)before[m][e],
                         up = 0.25 * ((load[m][e] < mean) - (load[m][e] > mean));
            ck_assert_double_eq_tol((double)after[e], old + up, 1e-6);
            ck_assert_double_eq_tol(
                (double)vit_optimizer_ema(optimizer)[bias[m]->offset + e],
                0.9 * old + 0.1 * (double)after[e], 1e-6);
        }
    }
    vit_run_destroy(run);
    vit_optimizer_destroy(optimizer);
    vit_model_destroy(model);
}
END_TEST

START_TEST(averages_may_hold_the_state_itself)
{
    const net n = {"quantile", "", "every:2", 2, VIT_MODE_TRAIN};
    vit_model *model = net_model(&n);
    const vit_parameter *bias = vit_model_parameter_find(model, "blocks.1.moe.router.bias");
    vit_optimizer *optimizer = sgd_open(model, 0.9, true);
    vit_run *run = NULL;

    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    vit_run_gradients_zero(run);
    pass_over(run, image_block, weight_block, 0, SLOPE_BATCH);
    vit_optimizer_step(optimizer, model, vit_run_gradients(run), 0.1);
    vit_optimizer_state_step(optimizer, model, run, &(vit_step){0});
    ck_assert_mem_eq(vit_optimizer_ema(optimizer) + bias->offset,
                     vit_model_weights_const(model) + bias->offset, 4 * sizeof(float));
    vit_run_destroy(run);
    vit_optimizer_destroy(optimizer);
    vit_model_destroy(model);
}
END_TEST

/* A weight that no gradient moves has no part in the norm and is not decayed. */
START_TEST(a_random_router_stays_as_drawn)
{
    const net n = {"random", "", "every:2", 2, VIT_MODE_TRAIN};
    vit_model *model = net_model(&n);
    const vit_parameter *w = vit_model_parameter_find(model, "blocks.1.moe.router.weight");
    vit_optimizer *optimizer = sgd_open(model, 0, false);
    const size_t floats = vit_model_floats(model);
    float *gradients = base_alloc(floats, sizeof(float)), before[4 * 24];

    ck_assert(w && w->state && w->count == 4 * 24);
    memcpy(before, vit_model_weights_const(model) + w->offset, sizeof before);
    gradients[w->offset] =
        1e6f; /* were it to count, clipping would leave nothing of the next */
    gradients[0] = 3.0f;
    const vit_optimizer_result result =
        vit_optimizer_step(optimizer, model, gradients, 0.1);
    ck_assert_double_eq_tol(result.grad_norm, 3.0, 1e-9);
    ck_assert_mem_eq(before, vit_model_weights_const(model) + w->offset, sizeof before);
    base_free(gradients);
    vit_optimizer_destroy(optimizer);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_state");
    TCase *core = test_case_of_threads("Core"),
          *gradient = test_case_of_threads("Gradient");

    tcase_add_test(core, micro_batches_add_their_loads);
    tcase_add_test(core, averages_may_hold_the_state_itself);
    tcase_add_test(core, a_random_router_stays_as_drawn);
    tcase_add_loop_test(gradient, gradients_of_networks_are_those_of_finite_differences, 0,
                        NETS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
