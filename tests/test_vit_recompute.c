/* test_vit_recompute.c - runs that compute again what others keep: every number the same to
 * the bit, for everything that draws and every router of the table, and less memory. */
#include <check.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/vit.h"

static const vit_recompute ways[] = {VIT_RECOMPUTE_ATTENTION, VIT_RECOMPUTE_BLOCK};

typedef struct net_case {
    const char *name;
    const char *layers, *router;
    const char *options[3][2];
    vit_pool pool;
    vit_position position;
    double capacity, dropout, expert_dropout, drop_path;
    bool bpr;
    int group_images;
} net_case;

static const net_case cases[] = {
    {.name = "dense, dropout, drop path",
     .layers = "none",
     .router = "softmax",
     .pool = VIT_POOL_GAP,
     .position = VIT_POSITION_SINCOS,
     .dropout = 0.2,
     .drop_path = 0.4},
    {.name = "softmax", .layers = "every:2", .router = "softmax"},
    {.name = "ssr, a Sinkhorn step with noise",
     .layers = "0,1,2",
     .router = "ssr",
     .options = {{"p", "1"}, {"noise", "0.5"}}},
    {.name = "ssr, drawn steps",
     .layers = "0,1,2",
     .router = "ssr",
     .options = {{"p", "0.5"}}},
    {.name = "vmoe, capacity, noise, all that drops",
     .layers = "0,2",
     .router = "vmoe",
     .capacity = 0.7,
     .bpr = true,
     .group_images = 2,
     .dropout = 0.1,
     .expert_dropout = 0.2,
     .drop_path = 0.4},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static vit_model *model_of(const net_case *c)
{
    vit_config config = slope_config();
    config.pool = c->pool;
    config.position = c->position;
    config.dropout = c->dropout;
    config.drop_path = c->drop_path;
    config.moe.k = 2;
    config.moe.capacity = c->capacity;
    config.moe.bpr = c->bpr;
    config.moe.dropout = c->expert_dropout;
    config.moe.group_images = c->group_images;
    return slope_model_routed(&config, c->layers, c->router, c->options);
}

static vit_run *run_of(const vit_model *model, vit_mode mode, vit_precision precision,
                       vit_recompute recompute)
{
    base_error err = {0};
    vit_run *run = NULL;
    const vit_run_options options = {
        .mode = mode, .precision = precision, .recompute = recompute};
    ck_assert_msg(vit_run_create_options(&run, model, SLOPE_BATCH, &options, &err) ==
                      BASE_OK,
                  "%s", err.text);
    return run;
}

/* What a step leaves behind. */
typedef struct result {
    float logits[SLOPE_BATCH * SLOPE_CLASSES], d_images[SLOPE_BATCH * SLOPE_FLOATS];
    float gradients[1 << 18];
    size_t floats;
    double aux_loss;
} result;

/* Two steps, the second of a smaller batch, each with its backward pass made twice: the
 * second time nothing is left of the first but what was kept. */
static void steps(result *out, vit_run *run, const vit_model *model)
{
    float images[SLOPE_BATCH * SLOPE_FLOATS], d_logits[SLOPE_BATCH * SLOPE_CLASSES];
    base_error err = {0};

    memset(out, 0, sizeof *out);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(d_logits, SLOPE_BATCH * SLOPE_CLASSES, 2);
    vit_run_gradients_zero(run);
    for (uint64_t step = 0; step < 2; step++) {
        ck_assert_msg(
            vit_run_forward(
                run, out->logits, images, SLOPE_BATCH - 2 * step,
                &(vit_step){.seed = 5, .step = step, .first_sample = 7, .loss_scale = 0.5},
                &err) == BASE_OK,
            "%s", err.text);
        for (int again = 0; again < 2; again++)
            ck_assert_msg(vit_run_backward(run, out->d_images, d_logits, &err) == BASE_OK,
                          "%s", err.text);
        out->aux_loss += vit_run_aux_loss(run);
    }
    out->floats = vit_run_gradients(run) ? vit_model_floats(model) : 0;
    ck_assert_uint_le(out->floats, sizeof out->gradients / sizeof out->gradients[0]);
    if (out->floats)
        memcpy(out->gradients, vit_run_gradients(run), out->floats * sizeof(float));
}

static void check_same(const vit_model *model, vit_mode mode, vit_precision precision,
                       const char *name)
{
    static result kept, again;
    vit_run *run = run_of(model, mode, precision, VIT_RECOMPUTE_NONE);
    steps(&kept, run, model);
    vit_run_destroy(run);
    for (size_t w = 0; w < 2; w++) {
        run = run_of(model, mode, precision, ways[w]);
        steps(&again, run, model);
        vit_run_destroy(run);
        ck_assert_msg(memcmp(&kept, &again, sizeof kept) == 0,
                      "%s, mode %d, recompute %d: other numbers", name, (int)mode,
                      (int)ways[w]);
    }
}

START_TEST(every_number_is_the_same_to_the_bit)
{
    vit_model *model = model_of(&cases[_i]);
    check_same(model, VIT_MODE_TRAIN, VIT_PRECISION_FP32, cases[_i].name);
    check_same(model, VIT_MODE_INPUT_GRADIENT, VIT_PRECISION_FP32, cases[_i].name);
    vit_model_destroy(model);
}
END_TEST

START_TEST(bf16_is_the_same_to_the_bit)
{
    if (!vit_bf16_available())
        return;
    vit_model *model = model_of(&cases[4]);
    check_same(model, VIT_MODE_TRAIN, VIT_PRECISION_BF16, cases[4].name);
    vit_model_destroy(model);
}
END_TEST

START_TEST(every_router_draws_and_chooses_the_same_again)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        const net_case c = {
            .name = vit_router_name(i), .layers = "0,2", .router = vit_router_name(i)};
        vit_model *model = model_of(&c);
        check_same(model, VIT_MODE_TRAIN, VIT_PRECISION_FP32, c.name);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(a_second_forward_of_a_block_leaves_no_trace)
{
    vit_model *model = model_of(&cases[2]);
    float logits[SLOPE_BATCH * SLOPE_CLASSES], d_logits[SLOPE_BATCH * SLOPE_CLASSES];
    float images[SLOPE_BATCH * SLOPE_FLOATS];
    base_error err = {0};
    vit_run *run = run_of(model, VIT_MODE_TRAIN, VIT_PRECISION_FP32, VIT_RECOMPUTE_BLOCK);

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(d_logits, SLOPE_BATCH * SLOPE_CLASSES, 2);
    const size_t before = base_alloc_count();
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){.seed = 5}, &err),
        BASE_OK);
    const vit_routing first = vit_run_routing(run, 0);
    uint16_t expert[2 * SLOPE_BATCH * 10];
    memcpy(expert, first.expert, first.count * sizeof *expert);
    ck_assert_int_eq(vit_run_backward(run, NULL, d_logits, &err), BASE_OK);
    const vit_routing second = vit_run_routing(run, 0);
    ck_assert_uint_eq(second.count, first.count);
    ck_assert_mem_eq(second.expert, expert, first.count * sizeof *expert);
    ck_assert_double_eq(second.seconds, first.seconds);
    ck_assert_int_eq(second.sinkhorn_iterations, first.sinkhorn_iterations);
    ck_assert_uint_eq(base_alloc_count(), before);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(memory_falls_with_what_is_not_kept)
{
    base_error err = {0};
    vit_config config = vit_config_defaults();
    vit_model *model = NULL;
    ck_assert_int_eq(vit_config_select(&config, "vmoe-nano", &err), BASE_OK);
    ck_assert_int_eq(vit_model_create(&model, &config, &err), BASE_OK);
    const size_t none = vit_run_bytes(model, 64, VIT_MODE_TRAIN);
    const size_t attention = vit_run_bytes_options(
        model, 64, &(vit_run_options){.mode = VIT_MODE_TRAIN, .recompute = ways[0]});
    const size_t block = vit_run_bytes_options(
        model, 64, &(vit_run_options){.mode = VIT_MODE_TRAIN, .recompute = ways[1]});
    ck_assert_uint_lt(attention, none);
    ck_assert_uint_lt(block, attention);
    ck_assert_uint_eq(
        vit_run_bytes(model, 64, VIT_MODE_INFER),
        vit_run_bytes_options(
            model, 64, &(vit_run_options){.mode = VIT_MODE_INFER, .recompute = ways[1]}));
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_recompute");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    tcase_add_loop_test(core, every_number_is_the_same_to_the_bit, 0, CASES);
    tcase_add_test(core, bf16_is_the_same_to_the_bit);
    tcase_add_test(core, every_router_draws_and_chooses_the_same_again);
    tcase_add_test(core, a_second_forward_of_a_block_leaves_no_trace);
    tcase_add_test(limits, memory_falls_with_what_is_not_kept);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
