/* test_vit_run.c - the whole network: every parameter tensor and the input against central
 * finite differences, for each kind of network; no allocation in a step; results that
 * depend on nothing but their inputs. The numbers from PyTorch are in test_vit_golden.c. */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/vit.h"

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
    int registers, prelogits;
    bool fc_norm, pre_norm, qk_norm;
} net_case;

static const net_case cases[] = {
    {.name = "dense, class token", .layers = "none", .router = "softmax", .k = 2},
    {.name = "dense, mean, tanh",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .pool = VIT_POOL_GAP,
     .gelu = VIT_GELU_TANH},
    {.name = "dense, mean beside a class token",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .pool = VIT_POOL_PATCHES},
    {.name = "registers, layer before the head, norm before the blocks",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .registers = 2,
     .prelogits = 5,
     .pre_norm = true,
     .dropout = 0.2},
    {.name = "norms of queries and keys, norm after the mean",
     .layers = "every:2",
     .router = "softmax",
     .k = 2,
     .pool = VIT_POOL_PATCHES,
     .registers = 1,
     .fc_norm = true,
     .qk_norm = true},
    {.name = "all of them without a class token",
     .layers = "none",
     .router = "softmax",
     .k = 2,
     .pool = VIT_POOL_GAP,
     .position = VIT_POSITION_SINCOS,
     .registers = 1,
     .prelogits = 3,
     .fc_norm = true,
     .pre_norm = true,
     .qk_norm = true},
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
    {.name = "sinkhorn-ot by plan",
     .layers = "every:2",
     .router = "sinkhorn-ot",
     .k = 2,
     .options = {{"combine", "plan"}, {"iterations", "300"}}},
    {.name = "usmoe, capacity, dropout",
     .layers = "every:2",
     .router = "usmoe",
     .k = 2,
     .options = {{"divide", "row"}, {"eval_k", "1.3"}},
     .capacity = 1.0,
     .expert_dropout = 0.2},
    {.name = "expert-choice",
     .layers = "every:2",
     .router = "expert-choice",
     .k = 2,
     .options = {{"cf", "1.5"}},
     .pool = VIT_POOL_GAP},
    {.name = "xmoe",
     .layers = "every:2",
     .router = "xmoe",
     .k = 2,
     .options = {{"balance", "0.3"}, {"dim", "3"}}},
};

static vit_config config_of(const net_case *c)
{
    base_error err = {0};
    vit_config config = slope_config();
    config.pool = c->pool;
    config.gelu = c->gelu;
    config.position = c->position;
    config.dropout = c->dropout;
    config.drop_path = c->drop_path;
    config.registers = c->registers;
    config.prelogits = c->prelogits;
    config.fc_norm = c->fc_norm;
    config.pre_norm = c->pre_norm;
    config.qk_norm = c->qk_norm;
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

static vit_model *model_of(const net_case *c)
{
    const vit_config config = config_of(c);
    return slope_model(&config);
}

/* One slot more than the batch: the smaller pass must not read what the larger one
 * would. */
static void check_slopes(const net_case *c, vit_mode mode)
{
    base_error err = {0};
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    ck_assert_msg(vit_run_create(&run, model, SLOPE_BATCH + 1, mode, VIT_PRECISION_FP32,
                                 &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_int_eq(vit_run_gradients(run) != NULL, mode == VIT_MODE_TRAIN);
    slope_check_all(run, model, c->name);
    vit_run_destroy(run);
    vit_model_destroy(model);
}

START_TEST(backward_equals_finite_differences)
{
    check_slopes(&cases[_i], VIT_MODE_TRAIN);
}
END_TEST

START_TEST(input_gradient_mode_equals_finite_differences)
{
    check_slopes(&cases[_i], VIT_MODE_INPUT_GRADIENT);
}
END_TEST

START_TEST(evaluation_of_one_image_ignores_its_neighbours)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float together[SLOPE_BATCH * SLOPE_CLASSES], alone[SLOPE_CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_OK);
    vit_run_forward(run, together, images, SLOPE_BATCH, &(vit_step){0}, &err);
    for (size_t b = 0; b < SLOPE_BATCH; b++) {
        vit_run_forward(run, alone, images + b * SLOPE_FLOATS, 1, &(vit_step){.seed = b},
                        &err);
        for (size_t j = 0; j < SLOPE_CLASSES; j++)
            ck_assert_double_eq_tol((double)alone[j],
                                    (double)together[b * SLOPE_CLASSES + j], 2e-5);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(steps_allocate_nothing_and_repeat_to_the_bit)
{
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, &err),
        BASE_OK);
    const size_t count = vit_model_floats(model);
    float *first = base_alloc(count, sizeof *first);
    const uint64_t before = base_alloc_count();
    for (int round = 0; round < 3; round++) {
        vit_run_gradients_zero(run);
        slope_phi(run, images, weight);
        vit_run_backward(run, NULL, weight, &err);
        if (round == 0)
            memcpy(first, vit_run_gradients(run), count * sizeof *first);
        ck_assert_int_eq(memcmp(first, vit_run_gradients(run), count * sizeof *first), 0);
        /* a gradient that is no number is gone with the next zeros */
        for (size_t i = 0; i < count; i++)
            vit_run_gradients(run)[i] = NAN;
    }
    vit_run_gradients_zero(run);
    for (size_t i = 0; i < count; i++)
        ck_assert(vit_run_gradients(run)[i] == 0);
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
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES], logits[SLOPE_BATCH * SLOPE_CLASSES];
    vit_model *model = model_of(c);
    vit_run *run = NULL;
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, &err),
        BASE_OK);
    const size_t count = vit_model_floats(model), half = SLOPE_BATCH / 2;
    float *whole = base_alloc(count, sizeof *whole);
    vit_step step = {.seed = 3, .step = 1};
    vit_run_gradients_zero(run);
    vit_run_forward(run, logits, images, SLOPE_BATCH, &step, &err);
    vit_run_backward(run, NULL, weight, &err);
    memcpy(whole, vit_run_gradients(run), count * sizeof *whole);
    vit_run_gradients_zero(run);
    for (size_t first = 0; first < SLOPE_BATCH; first += half) {
        step.first_sample = first;
        vit_run_forward(run, logits, images + first * SLOPE_FLOATS, half, &step, &err);
        vit_run_backward(run, NULL, weight + first * SLOPE_CLASSES, &err);
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
    /* operands with 8 bits of mantissa: logits and gradients agree to a few per cent.
     * Routers decide in fp32, but on inputs that differ: a token near a tie may change its
     * expert. */
    const net_case *c = &cases[_i];
    base_error err = {0};
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES], logits[2][SLOPE_BATCH * SLOPE_CLASSES];
    const vit_step step = {.seed = 3, .step = 1};
    if (!vit_bf16_available())
        return;
    vit_model *model = model_of(c);
    const size_t count = vit_model_floats(model);
    float *gradient[2];
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
    for (int i = 0; i < 2; i++) {
        vit_run *run = NULL;
        ck_assert_int_eq(vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN,
                                        i ? VIT_PRECISION_BF16 : VIT_PRECISION_FP32, &err),
                         BASE_OK);
        ck_assert_int_eq(vit_run_forward(run, logits[i], images, SLOPE_BATCH, &step, &err),
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
    for (size_t i = 0; i < SLOPE_BATCH * SLOPE_CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[0][i], (double)logits[1][i], 0.05);
    base_free(gradient[0]);
    base_free(gradient[1]);
    vit_model_destroy(model);
}
END_TEST

/* More images than tokens have room for elsewhere: one token an image, two classes. What
 * does not fit would be seen by the sanitizers. */
START_TEST(bf16_has_room_for_the_head_of_a_large_batch)
{
    enum { IMAGES = 301, CLASSES = 2, SIDE = 4 };
    base_error err = {0};
    vit_run *run = NULL;
    vit_model *model = NULL;
    vit_config config = slope_config();
    config.image = config.crop = config.resize = SIDE;
    config.pool = VIT_POOL_GAP;
    config.classes = CLASSES;
    ck_assert_msg(vit_model_create(&model, &config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(model, 1);
    const size_t floats = (size_t)IMAGES * 3 * SIDE * SIDE;
    float *images = base_alloc(floats, sizeof *images);
    float *logits = base_alloc(IMAGES, CLASSES * sizeof *logits);
    slope_fill(images, floats, 1);
    const base_status status = vit_run_create(&run, model, IMAGES, VIT_MODE_INPUT_GRADIENT,
                                              VIT_PRECISION_BF16, &err);
    if (!vit_bf16_available()) {
        ck_assert_int_eq(status, BASE_UNSUPPORTED);
        goto done;
    }
    ck_assert_int_eq(status, BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_run_backward(run, images, logits, &err), BASE_OK);
    for (size_t i = 0; i < floats; i++)
        ck_assert(isfinite(images[i]));
done:
    base_free(images);
    base_free(logits);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(refuses_batches_it_was_not_planned_for)
{
    base_error err = {0};
    vit_model *model = model_of(&cases[0]);
    vit_run *run = NULL;
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
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
    TCase *core = test_case_of_threads("Core"),
          *gradient = test_case_of_threads("Gradient");
    TCase *limits = test_case_of_threads("Limits");
    tcase_add_loop_test(core, evaluation_of_one_image_ignores_its_neighbours, 0, count);
    tcase_add_loop_test(core, steps_allocate_nothing_and_repeat_to_the_bit, 0, count);
    tcase_add_loop_test(core, accumulated_halves_equal_the_whole_batch, 0, 3);
    tcase_add_loop_test(core, bf16_stays_near_fp32, 0, 3);
    tcase_add_test(limits, bf16_has_room_for_the_head_of_a_large_batch);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, count);
    tcase_add_loop_test(gradient, input_gradient_mode_equals_finite_differences, 0, count);
    tcase_add_test(limits, refuses_batches_it_was_not_planned_for);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
