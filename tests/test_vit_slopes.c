/* test_vit_slopes.c - one look at the gradient of every tensor and of the pixels, in
 * networks that together have everything: along it, and away from it by half as much, the
 * loss changes as it says. Quick; number by number and bit by bit: test_vit_run.c and the
 * routers' own. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"

typedef struct net {
    const char *name, *layers, *router;
    const char *options[3][2];
    vit_pool pool;
    vit_gelu gelu;
    vit_position position;
    int registers, prelogits, shared, group_images;
    bool fc_norm, pre_norm, qk_norm, bpr;
    double capacity, dropout, expert_dropout, drop_path;
} net;

static const net nets[] = {
    {.name = "class token", .layers = "none", .router = "softmax"},
    {.name = "everything, class token",
     .layers = "1",
     .router = "vmoe",
     .options = {{"importance", "0.2"}, {"load", "0.2"}},
     .registers = 6, /* 16 tokens: what a plan counts has no room behind it */
     .prelogits = 5,
     .pre_norm = true,
     .qk_norm = true,
     .shared = 2,
     .dropout = 0.2,
     .expert_dropout = 0.2,
     .drop_path = 0.3},
    {.name = "everything, mean",
     .layers = "0,2",
     .router = "softmax",
     .options = {{"balance", "0.3"}, {"z", "0.1"}},
     .pool = VIT_POOL_GAP,
     .gelu = VIT_GELU_TANH,
     .position = VIT_POSITION_SINCOS,
     .registers = 7,
     .shared = 1,
     .capacity = 0.8,
     .bpr = true,
     .group_images = 2},
    {.name = "norm after the mean",
     .layers = "none",
     .router = "softmax",
     .pool = VIT_POOL_PATCHES,
     .registers = 1,
     .fc_norm = true,
     .pre_norm = true},
    {.name = "mean beside the class token",
     .layers = "0,1,2",
     .router = "ssr",
     .options = {{"p", "1"}, {"delta", "1e-9"}, {"max_iter", "1000"}},
     .pool = VIT_POOL_PATCHES,
     .expert_dropout = 0.1},
    {.name = "momentum",
     .layers = "0,1,2",
     .router = "momentum",
     .options = {{"norm", "post"}},
     .shared = 1,
     .drop_path = 0.3},
    {.name = "adam",
     .layers = "0,2",
     .router = "adam",
     .options = {{"kappa", "0.25"}, {"eps", "0.1"}},
     .registers = 6},
    {.name = "robust momentum",
     .layers = "0,1,2",
     .router = "robust-momentum",
     .registers = 6},
    {.name = "attention",
     .layers = "0,2",
     .router = "attention",
     .options = {{"lambda", "0.7"}},
     .registers = 6,
     .capacity = 1.0},
    {.name = "two views",
     .layers = "1,2",
     .router = "s2moe",
     .options = {{"view_routing", "own"}, {"statistics", "none"}}, /* no constants */
     .registers = 6,
     .shared = 1,
     .expert_dropout = 0.2,
     .drop_path = 0.3},
    {.name = "soft",
     .layers = "0,2",
     .router = "soft",
     .registers = 6,
     .shared = 1,
     .dropout = 0.1},
    {.name = "cosines", .layers = "0,2", .router = "xmoe", .options = {{"dim", "3"}}},
};
enum { NETS = sizeof nets / sizeof nets[0] };

static vit_model *model_of(const net *n)
{
    vit_config config = slope_config();

    config.pool = n->pool;
    config.gelu = n->gelu;
    config.position = n->position;
    config.registers = n->registers;
    config.prelogits = n->prelogits;
    config.fc_norm = n->fc_norm;
    config.pre_norm = n->pre_norm;
    config.qk_norm = n->qk_norm;
    config.dropout = n->dropout;
    config.drop_path = n->drop_path;
    config.moe.shared = n->shared;
    config.moe.group_images = n->group_images;
    config.moe.capacity = config.moe.eval_capacity = n->capacity;
    config.moe.bpr = config.moe.eval_bpr = n->bpr;
    config.moe.dropout = n->expert_dropout;
    config.moe.k = strcmp(n->router, "soft") == 0 ? 1 : 2;
    return slope_model_routed(&config, n->layers, n->router, n->options);
}

static void look(vit_run *run, vit_model *model, float *at, const float *gradient,
                 size_t count, const float *images, const float *weight,
                 const char *net_name, const char *name)
{
    static float direction[8192];
    double length = 0, away = 0, norm = 0, expected = 0, h = 0.04;
    base_rng rng = base_rng_make(13, BASE_PURPOSE_TEST, count, 0, 0);

    ck_assert_uint_le(count, 8192);
    for (size_t i = 0; i < count; i++) {
        direction[i] = (float)base_rng_normal(&rng);
        away += (double)direction[i] * (double)direction[i];
        length += (double)gradient[i] * (double)gradient[i];
    }
    length = sqrt(length);
    if (length < 1e-3) /* the bias of keys' norm adds the same to all of a row */
        ck_assert_msg(strstr(name, "k_norm.bias") != NULL, "%s: %s has no gradient",
                      net_name, name);
    for (size_t i = 0; i < count; i++) {
        direction[i] = (float)(0.5 * (double)direction[i] / sqrt(away) +
                               (double)gradient[i] / fmax(length, 1e-3));
        norm += (double)direction[i] * (double)direction[i];
    }
    for (size_t i = 0; i < count; i++)
        expected += (double)direction[i] * (double)gradient[i] / sqrt(norm);
    const double found =
        slope_along(&h, run, model, at, direction, sqrt(norm), count, images, weight);
    ck_assert_msg(fabs(found - expected) < 0.03 * length + 6e-3,
                  "%s: %s rises by %g along a gradient that says %g (h %g)", net_name, name,
                  found, expected, h);
}

START_TEST(losses_rise_as_gradients_say)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS], d_images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES];

    for (size_t i = 0; i < NETS; i++) {
        for (vit_mode mode = VIT_MODE_INPUT_GRADIENT; mode <= VIT_MODE_TRAIN; mode++) {
            vit_model *model = model_of(&nets[i]);
            base_error err = {0};
            vit_run *run = NULL;
            const size_t room = mode == VIT_MODE_TRAIN ? 0 : 1; /* of images */
            slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
            slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
            ck_assert_msg(vit_run_create(&run, model, SLOPE_BATCH + room, mode,
                                         VIT_PRECISION_FP32, &err) == BASE_OK,
                          "%s", err.text);
            vit_run_gradients_zero(run);
            slope_phi(run, images, weight);
            ck_assert_msg(vit_run_backward(run, d_images, weight, &err) == BASE_OK, "%s",
                          err.text);
            look(run, model, images, d_images, SLOPE_BATCH * SLOPE_FLOATS, images, weight,
                 nets[i].name, "the input");
            const float *all = mode == VIT_MODE_TRAIN ? vit_run_gradients(run) : NULL;
            for (size_t p = 0; all && p < vit_model_parameter_count(model); p++) {
                const vit_parameter *one = vit_model_parameter(model, p);
                if (!one->state)
                    look(run, model, vit_model_weights(model) + one->offset,
                         all + one->offset, one->count, images, weight, nets[i].name,
                         one->name);
            }
            vit_run_destroy(run);
            vit_model_destroy(model);
        }
    }
}
END_TEST

/* ---- room ---------------------------------------------------------------------------- */

static const vit_run_options plans[] = {
    {.mode = VIT_MODE_INFER},
    {.mode = VIT_MODE_INPUT_GRADIENT, .recompute = VIT_RECOMPUTE_ATTENTION},
    {.mode = VIT_MODE_INPUT_GRADIENT, .recompute = VIT_RECOMPUTE_BLOCK},
    {.mode = VIT_MODE_TRAIN},
    {.mode = VIT_MODE_TRAIN, .recompute = VIT_RECOMPUTE_ATTENTION},
    {.mode = VIT_MODE_TRAIN, .recompute = VIT_RECOMPUTE_BLOCK},
    {.mode = VIT_MODE_TRAIN, .frozen = 2},
};

/* Logits, gradients of the pixels and of the weights, of a run for so many images. */
static void pass_of(float *logits, float *d_images, float *d_weights,
                    const vit_model *model, const vit_run_options *options, size_t batch,
                    const char *name)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES];
    base_error err = {0};
    vit_run *run = NULL;

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
    ck_assert_msg(vit_run_create_options(&run, model, batch, options, &err) == BASE_OK,
                  "%s: %s", name, err.text);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){.seed = 3}, &err),
        BASE_OK);
    if (options->mode != VIT_MODE_INFER) {
        vit_run_gradients_zero(run);
        ck_assert_int_eq(
            vit_run_backward(run, options->frozen ? NULL : d_images, weight, &err),
            BASE_OK);
    }
    if (options->mode == VIT_MODE_TRAIN)
        memcpy(d_weights, vit_run_gradients(run),
               vit_model_floats(model) * sizeof *d_weights);
    vit_run_destroy(run);
}

static void expect_near(const float *a, const float *b, size_t count, const char *name,
                        size_t plan, const char *what)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)a[i] - (double)b[i]) < 1e-4 + 1e-3 * fabs((double)b[i]),
                      "%s, plan %zu: %s %zu is %g, with room %g", name, plan, what, i,
                      (double)a[i], (double)b[i]);
}

/* A run for as many images as it is given says what one for many more says. */
START_TEST(what_is_planned_is_enough)
{
    static float d_images[2][SLOPE_BATCH * SLOPE_FLOATS];
    float logits[2][SLOPE_BATCH * SLOPE_CLASSES];

    for (size_t i = 0; i < NETS; i++) {
        if (nets[i].registers < 6)
            continue; /* rounded up, there is room anyway */
        vit_model *model = model_of(&nets[i]);
        const size_t floats = vit_model_floats(model);
        float *d_weights[2] = {base_alloc(floats, sizeof(float)),
                               base_alloc(floats, sizeof(float))};
        ck_assert(d_weights[0] && d_weights[1]);
        for (size_t plan = 0; plan < sizeof plans / sizeof plans[0]; plan++) {
            for (size_t room = 0; room < 2; room++)
                pass_of(logits[room], d_images[room], d_weights[room], model, &plans[plan],
                        SLOPE_BATCH * (1 + 2 * room), nets[i].name);
            expect_near(logits[0], logits[1], SLOPE_BATCH * SLOPE_CLASSES, nets[i].name,
                        plan, "logit");
            expect_near(d_images[0], d_images[1], SLOPE_BATCH * SLOPE_FLOATS, nets[i].name,
                        plan, "pixel");
            expect_near(d_weights[0], d_weights[1], floats, nets[i].name, plan, "weight");
        }
        base_free(d_weights[0]);
        base_free(d_weights[1]);
        vit_model_destroy(model);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_slopes");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_test(gradient, what_is_planned_is_enough);
    tcase_add_test(gradient, losses_rise_as_gradients_say);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
