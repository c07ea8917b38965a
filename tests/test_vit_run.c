/* test_vit_run.c - the whole network: every parameter tensor and the input against central finite
 * differences, for each kind of network; no allocation in a step; results that depend on nothing but
 * their inputs. The numbers from PyTorch are in test_vit_golden.c. */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "tests/test_run.h"
#include "vit/vit.h"

/* Directional derivative by (f(+h) - f(-h)) / 2h of an fp32 network: rounding of f (1e-6) over h
 * (5e-4 of the tensor's size) and the third derivative leave about 2e-3 of the largest slope. */
static const double tolerance = 4e-3;

typedef struct net_case {
    const char *name;
    const char *layers, *router;
    const char *options[4][2];
    vit_pool pool;
    vit_gelu gelu;
    vit_position position;
    int k;
    double capacity, dropout, expert_dropout, drop_path;
    int group_images;
} net_case;

static const net_case cases[] = {
    {.name = "dense, class token", .layers = "none", .router = "softmax", .k = 2},
    {.name = "dense, mean, tanh",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .pool = VIT_POOL_GAP,
     .gelu = VIT_GELU_TANH},
    {.name = "dense, sincos, dropout",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .position = VIT_POSITION_SINCOS,
     .dropout = 0.3,
     .drop_path = 0.4},
    {.name = "softmax k 1", .layers = "every:2", .router = "softmax", .k = 1},
    {.name = "softmax k 2, z-loss",
     .layers = "every:2",
     .router = "softmax",
     .k = 2,
     .options = {{"z", "0.1"}, {"balance", "0.3"}},
     .pool = VIT_POOL_GAP},
    {.name = "softmax, groups, capacity, dropout",
     .layers = "0,1,2",
     .router = "softmax",
     .k = 2,
     .options = {{"gate", "prob"}},
     .capacity = 1.0,
     .group_images = 2,
     .dropout = 0.1,
     .expert_dropout = 0.2,
     .drop_path = 0.4},
    {.name = "vmoe",
     .layers = "every:2",
     .router = "vmoe",
     .k = 2,
     .options = {{"importance", "0.2"}, {"load", "0.2"}},
     .capacity = 1.05},
    {.name = "sinkhorn", .layers = "every:2", .router = "sinkhorn", .k = 2},
    {.name = "ssr linear",
     .layers = "every:2",
     .router = "ssr",
     .k = 2,
     .options = {{"p", "1"}, {"delta", "1e-9"}, {"max_iter", "1000"}}},
    {.name = "ssr softmax k 1",
     .layers = "every:2",
     .router = "ssr",
     .k = 1,
     .options = {{"p", "1"}, {"cost", "softmax"}, {"delta", "1e-9"}, {"max_iter", "1000"}}},
    {.name = "ssr without a Sinkhorn step",
     .layers = "every:2",
     .router = "ssr",
     .k = 2,
     .options = {{"p", "0"}}},
};

enum { BATCH = 6, IMAGE = 12, CHANNELS = 3, CLASSES = 5 };
enum { IMAGE_FLOATS = CHANNELS * IMAGE * IMAGE };

static vit_config config_of(const net_case *c)
{
    base_error err = {0};
    vit_config config = vit_config_defaults();
    config.image = config.crop = IMAGE;
    config.patch = 4;
    config.width = 24;
    config.depth = 3;
    config.heads = 3;
    config.mlp = 40;
    config.classes = CLASSES;
    config.pool = c->pool;
    config.gelu = c->gelu;
    config.position = c->position;
    config.dropout = c->dropout;
    config.drop_path = c->drop_path;
    config.moe.experts = 4;
    config.moe.k = c->k;
    config.moe.capacity = c->capacity;
    config.moe.group_images = c->group_images;
    config.moe.dropout = c->expert_dropout;
    ck_assert_msg(vit_config_layers_set(&config, c->layers, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_msg(vit_router_select(&config.moe.router, c->router, &err) == BASE_OK, "%s",
                  err.text);
    for (size_t i = 0; i < 4 && c->options[i][0]; i++)
        ck_assert_msg(vit_router_set(&config.moe.router, c->options[i][0], c->options[i][1],
                                     &err) == BASE_OK,
                      "%s", err.text);
    return config;
}

/* A model whose every weight matters: the zero head and class token are drawn too. */
static vit_model *model_of(const net_case *c)
{
    base_error err = {0};
    vit_model *model = NULL;
    const vit_config config = config_of(c);
    ck_assert_msg(vit_model_create(&model, &config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(model, 7);
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);
    float *w = vit_model_weights(model);
    for (size_t i = 0; i < vit_model_floats(model); i++)
        w[i] += (float)(0.15 * base_rng_normal(&rng));
    return model;
}

static void fill(float *out, size_t count, uint64_t stream)
{
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, stream, 0, 0);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)base_rng_normal(&rng);
}

/* phi = sum_j weight_j logits_j + auxiliary losses, in double. */
static double phi(vit_run *run, const float *images, const float *weight)
{
    static const vit_step step = {
        .seed = 3, .step = 4, .first_sample = 12, .loss_scale = 1};
    base_error err = {0};
    float logits[BATCH * CLASSES];
    ck_assert_msg(vit_run_forward(run, logits, images, BATCH, &step, &err) == BASE_OK, "%s",
                  err.text);
    double sum = vit_run_aux_loss(run);
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        sum += (double)weight[i] * (double)logits[i];
    return sum;
}

/* Which experts all tokens chose, as a number: finite differences must not cross a change. */
static uint64_t choices(const vit_run *run)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < vit_run_moe_count(run); i++) {
        const vit_routing r = vit_run_routing(run, i);
        for (size_t a = 0; a < r.count; a++)
            hash = base_key((const uint64_t[]){hash, r.expert[a], r.kept[a]}, 3);
    }
    return hash;
}

/* The slope of phi along a unit direction in at [count], and what gradient says. */
static void check_direction(vit_run *run, float *at, const float *gradient, size_t count,
                            const float *images, const float *weight, const char *net,
                            const char *name)
{
    static float saved[8192], direction[8192];
    double norm = 0, size = 0, expected = 0, slope_bound = 0;
    ck_assert_uint_le(count, 8192);
    fill(direction, count, 99);
    for (size_t i = 0; i < count; i++) {
        norm += (double)direction[i] * (double)direction[i];
        size += (double)at[i] * (double)at[i];
        slope_bound += (double)gradient[i] * (double)gradient[i];
    }
    norm = sqrt(norm);
    double h = 1e-3 * (sqrt(size) + 0.05);
    memcpy(saved, at, count * sizeof *at);
    double value[2];
    uint64_t chosen[2];
    do {
        h /= 2;
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < count; i++)
                at[i] = (float)((double)saved[i] +
                                (side ? h : -h) * (double)direction[i] / norm);
            value[side] = phi(run, images, weight);
            chosen[side] = choices(run);
        }
    } while (chosen[0] != chosen[1] && h > 2e-5);
    memcpy(at, saved, count * sizeof *at);
    for (size_t i = 0; i < count; i++)
        expected += (double)gradient[i] * (double)direction[i] / norm;
    const double slope = (value[1] - value[0]) / (2 * h);
    const double scale = sqrt(slope_bound / (double)count) * 3 + 0.02;
    ck_assert_msg(fabs(slope - expected) <= tolerance * scale + 2e-3 * fabs(expected),
                  "%s: %s: finite difference %.6f, backward %.6f (scale %.4f)", net, name,
                  slope, expected, scale);
}

START_TEST(backward_equals_finite_differences)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS], d_images[BATCH * IMAGE_FLOATS];
    float weight[BATCH * CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    fill(weight, BATCH * CLASSES, 2);
    ck_assert_msg(vit_run_create(&run, model, BATCH + 1, VIT_MODE_TRAIN, VIT_PRECISION_FP32,
                                 &err) == BASE_OK,
                  "%s", err.text);
    phi(run, images, weight);
    vit_run_gradients_zero(run);
    ck_assert_msg(vit_run_backward(run, d_images, weight, &err) == BASE_OK, "%s", err.text);
    float *gradient = base_alloc(vit_model_floats(model), sizeof(float));
    memcpy(gradient, vit_run_gradients(run), vit_model_floats(model) * sizeof(float));

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        check_direction(run, vit_model_weights(model) + p->offset, gradient + p->offset,
                        p->count, images, weight, c->name, p->name);
    }
    check_direction(run, images, d_images, BATCH * IMAGE_FLOATS, images, weight, c->name,
                    "images");
    base_free(gradient);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(input_gradient_mode_equals_finite_differences)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS], d_images[BATCH * IMAGE_FLOATS];
    float weight[BATCH * CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    fill(weight, BATCH * CLASSES, 2);
    ck_assert_int_eq(vit_run_create(&run, model, BATCH, VIT_MODE_INPUT_GRADIENT,
                                    VIT_PRECISION_FP32, &err),
                     BASE_OK);
    phi(run, images, weight);
    ck_assert_int_eq(vit_run_backward(run, d_images, weight, &err), BASE_OK);
    ck_assert_ptr_null(vit_run_gradients(run));
    check_direction(run, images, d_images, BATCH * IMAGE_FLOATS, images, weight, c->name,
                    "images");
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(evaluation_of_one_image_ignores_its_neighbours)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS];
    float together[BATCH * CLASSES], alone[CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_create(&run, model, BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_OK);
    vit_run_forward(run, together, images, BATCH, &(vit_step){0}, &err);
    for (size_t b = 0; b < BATCH; b++) {
        vit_run_forward(run, alone, images + b * IMAGE_FLOATS, 1, &(vit_step){.seed = b},
                        &err);
        for (size_t j = 0; j < CLASSES; j++)
            ck_assert_double_eq_tol((double)alone[j], (double)together[b * CLASSES + j],
                                    2e-5);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(steps_allocate_nothing_and_repeat_to_the_bit)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS];
    float weight[BATCH * CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    fill(weight, BATCH * CLASSES, 2);
    ck_assert_int_eq(
        vit_run_create(&run, model, BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, &err),
        BASE_OK);
    const size_t count = vit_model_floats(model);
    float *first = base_alloc(count, sizeof *first);
    const uint64_t before = base_alloc_count();
    for (int round = 0; round < 3; round++) {
        vit_run_gradients_zero(run);
        phi(run, images, weight);
        vit_run_backward(run, NULL, weight, &err);
        if (round == 0)
            memcpy(first, vit_run_gradients(run), count * sizeof *first);
        ck_assert_int_eq(memcmp(first, vit_run_gradients(run), count * sizeof *first), 0);
    }
    ck_assert_uint_eq(base_alloc_count(), before);
    base_free(first);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(accumulated_halves_equal_the_whole_batch)
{
    /* dense, or routed without statistics of the batch: halves with first_sample add up */
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS];
    float weight[BATCH * CLASSES], logits[BATCH * CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    fill(weight, BATCH * CLASSES, 2);
    ck_assert_int_eq(
        vit_run_create(&run, model, BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, &err),
        BASE_OK);
    const size_t count = vit_model_floats(model), half = BATCH / 2;
    float *whole = base_alloc(count, sizeof *whole);
    vit_step step = {.seed = 3, .step = 1};
    vit_run_gradients_zero(run);
    vit_run_forward(run, logits, images, BATCH, &step, &err);
    vit_run_backward(run, NULL, weight, &err);
    memcpy(whole, vit_run_gradients(run), count * sizeof *whole);
    vit_run_gradients_zero(run);
    for (size_t first = 0; first < BATCH; first += half) {
        step.first_sample = first;
        vit_run_forward(run, logits, images + first * IMAGE_FLOATS, half, &step, &err);
        vit_run_backward(run, NULL, weight + first * CLASSES, &err);
    }
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)whole[i] - (double)vit_run_gradients(run)[i];
        difference += d * d;
        size += (double)whole[i] * (double)whole[i];
    }
    ck_assert_double_le(sqrt(difference), 1e-5 * sqrt(size));
    base_free(whole);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(bf16_stays_near_fp32)
{
    /* operands with 8 bits of mantissa: logits and gradients agree to a few per cent. Routers decide
     * in fp32, but on inputs that differ: a token near a tie may change its expert. */
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[BATCH * IMAGE_FLOATS];
    float weight[BATCH * CLASSES], logits[2][BATCH * CLASSES];
    const vit_step step = {.seed = 3, .step = 1};
    vit_model *model = model_of(c);
    const size_t count = vit_model_floats(model);
    float *gradient[2];
    if (!vit_bf16_available())
        return;
    fill(images, BATCH * IMAGE_FLOATS, 1);
    fill(weight, BATCH * CLASSES, 2);
    for (int i = 0; i < 2; i++) {
        vit_run *run = NULL;
        ck_assert_int_eq(vit_run_create(&run, model, BATCH, VIT_MODE_TRAIN,
                                        i ? VIT_PRECISION_BF16 : VIT_PRECISION_FP32, &err),
                         BASE_OK);
        ck_assert_int_eq(vit_run_forward(run, logits[i], images, BATCH, &step, &err),
                         BASE_OK);
        ck_assert_int_eq(vit_run_backward(run, NULL, weight, &err), BASE_OK);
        gradient[i] = base_alloc(count, sizeof(float));
        memcpy(gradient[i], vit_run_gradients(run), count * sizeof(float));
        vit_run_destroy(run);
    }
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)gradient[0][i] - (double)gradient[1][i], 2);
        size += pow((double)gradient[0][i], 2);
    }
    ck_assert_double_le(sqrt(difference), 0.03 * sqrt(size));
    ck_assert_double_gt(difference, 0); /* it really was bf16 */
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[0][i], (double)logits[1][i], 0.05);
    base_free(gradient[0]);
    base_free(gradient[1]);
    vit_model_destroy(model);
}
END_TEST

START_TEST(refuses_batches_it_was_not_planned_for)
{
    base_error err = {0};
    vit_model *model = model_of(&cases[0]);
    vit_run *run = NULL;
    static float images[BATCH * IMAGE_FLOATS];
    float logits[BATCH * CLASSES];
    ck_assert_int_eq(
        vit_run_create(&run, model, 0, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_USAGE);
    ck_assert_int_eq(
        vit_run_create(&run, model, 2, VIT_MODE_INFER, VIT_PRECISION_FP32, &err), BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, images, 3, &(vit_step){0}, &err),
                     BASE_USAGE);
    ck_assert_str_eq(err.text, "batch of 3 images, expected 1 to 2");
    ck_assert_int_eq(vit_run_backward(run, NULL, logits, &err), BASE_USAGE);
    vit_run_destroy(run);
    vit_run_destroy(NULL);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    const int count = sizeof cases / sizeof cases[0];
    Suite *suite = suite_create("vit_run");
    TCase *core = tcase_create("Core"), *gradient = tcase_create("Gradient");
    TCase *limits = tcase_create("Limits");
    tcase_add_loop_test(core, evaluation_of_one_image_ignores_its_neighbours, 0, count);
    tcase_add_loop_test(core, steps_allocate_nothing_and_repeat_to_the_bit, 0, count);
    tcase_add_loop_test(core, accumulated_halves_equal_the_whole_batch, 0, 3);
    tcase_add_loop_test(core, bf16_stays_near_fp32, 0, 3);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, count);
    tcase_add_loop_test(gradient, input_gradient_mode_equals_finite_differences, 0, count);
    tcase_add_test(limits, refuses_batches_it_was_not_planned_for);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
