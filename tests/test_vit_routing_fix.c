/* test_vit_routing_fix.c - replaying the choice of experts: an image's own sets change no
 * bit, another's change the answer, and the backward pass is that of the network with these
 * sets. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "tests/test_says.h"

enum { FIX_LAYERS = 2, FIX_TOKENS = 10, FIX_K = 2 };
enum { FIX_SETS = FIX_LAYERS * FIX_TOKENS * FIX_K };

static float images[2][SLOPE_BATCH * SLOPE_FLOATS];
static float logits[3][SLOPE_BATCH * SLOPE_CLASSES];
static uint16_t sets[2][SLOPE_BATCH * FIX_SETS];

static const char *const routers[] = {"softmax",     "vmoe",     "sinkhorn",   "ssr",
                                      "sinkhorn-ot", "momentum", "similarity", "attention",
                                      "xmoe",        "s2moe"};
enum { ROUTERS = sizeof routers / sizeof routers[0] };

static vit_model *model_of(const char *router)
{
    vit_config config = slope_config();

    config.moe.k = FIX_K;
    ck_assert_int_eq(vit_config_layers_set(&config, "0,2", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, NULL), BASE_OK);
    return slope_model(&config);
}

static vit_run *run_of(const vit_model *model, vit_mode mode)
{
    vit_run *run = NULL;
    base_error err = {0};

    ck_assert_msg(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, &err) == BASE_OK,
        "%s", err.text);
    return run;
}

static void forward(vit_run *run, float *out, const float *in, size_t count)
{
    base_error err = {0};

    ck_assert_msg(vit_run_forward(run, out, in, count, &(vit_step){0}, &err) == BASE_OK,
                  "%s", err.text);
}

static void fix(vit_run *run, const uint16_t *of, size_t count)
{
    base_error err = {0};

    ck_assert_msg(vit_run_routing_fix(run, of, count, &err) == BASE_OK, "%s", err.text);
}

/* Logits and sets of two batches of other images. */
static void look(vit_run *run)
{
    ck_assert_uint_eq(vit_run_set_count(run), FIX_SETS);
    for (size_t i = 0; i < 2; i++) {
        slope_fill(images[i], SLOPE_BATCH * SLOPE_FLOATS, 20 + i);
        forward(run, logits[i], images[i], SLOPE_BATCH);
        vit_run_routing_sets(run, sets[i]);
    }
    ck_assert_mem_ne(sets[0], sets[1], sizeof sets[0]);
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(own_sets_change_no_bit)
{
    static const vit_mode modes[] = {VIT_MODE_INFER, VIT_MODE_INPUT_GRADIENT};
    vit_model *model = model_of(routers[_i]);

    for (size_t m = 0; m < 2; m++) {
        vit_run *run = run_of(model, modes[m]);

        look(run);
        fix(run, sets[0], SLOPE_BATCH);
        forward(run, logits[2], images[0], SLOPE_BATCH);
        ck_assert_mem_eq(logits[2], logits[0], sizeof logits[0]);
        vit_run_destroy(run);
    }
    vit_model_destroy(model);
}
END_TEST

START_TEST(other_sets_are_followed)
{
    static uint16_t seen[SLOPE_BATCH * FIX_SETS];
    vit_model *model = model_of(routers[_i]);
    vit_run *run = run_of(model, VIT_MODE_INFER);

    look(run);
    fix(run, sets[1], SLOPE_BATCH);
    forward(run, logits[2], images[0], SLOPE_BATCH);
    vit_run_routing_sets(run, seen);
    ck_assert_mem_eq(seen, sets[1], sizeof seen);
    ck_assert_mem_ne(logits[2], logits[0], sizeof logits[0]);
    /* gates are the image's own: softmax of its logits, not those of the other pass */
    const vit_routing routing = vit_run_routing(run, 0);
    for (size_t a = 0; a < routing.count; a++)
        ck_assert(routing.gate[a] > 0 && routing.gate[a] < 1);
    fix(run, NULL, 0);
    forward(run, logits[2], images[0], SLOPE_BATCH);
    ck_assert_mem_eq(logits[2], logits[0], sizeof logits[0]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(each_image_has_its_sets_wherever_it_stands)
{
    float alone[SLOPE_CLASSES];
    vit_model *model = model_of("ssr");
    vit_run *run = run_of(model, VIT_MODE_INFER);

    look(run);
    fix(run, sets[1], SLOPE_BATCH);
    forward(run, logits[2], images[0], SLOPE_BATCH);
    for (size_t i = 0; i < SLOPE_BATCH; i++) {
        fix(run, sets[1] + i * FIX_SETS, 1);
        forward(run, alone, images[0] + i * SLOPE_FLOATS, 1);
        for (size_t c = 0; c < SLOPE_CLASSES; c++)
            ck_assert_double_eq_tol((double)alone[c],
                                    (double)logits[2][i * SLOPE_CLASSES + c], 1e-5);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(sets_are_those_of_the_routing)
{
    vit_model *model = model_of("softmax");
    vit_run *run = run_of(model, VIT_MODE_INFER);

    look(run); /* the second batch was last */
    for (size_t l = 0; l < FIX_LAYERS; l++) {
        const vit_routing r = vit_run_routing(run, l);

        for (size_t a = 0; a < r.count; a++) {
            const size_t image = r.token[a] / FIX_TOKENS, token = r.token[a] % FIX_TOKENS;
            const size_t at = image * FIX_SETS + (l * FIX_TOKENS + token) * FIX_K;

            ck_assert_uint_eq(sets[1][at + (a - r.start[r.token[a]])], r.expert[a]);
        }
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

/* With the sets held no token can change its experts, so that finite differences always
 * hold. */
START_TEST(backward_is_of_the_network_with_these_sets)
{
    vit_model *model = model_of(routers[_i]);
    vit_run *run = run_of(model, VIT_MODE_INPUT_GRADIENT);

    look(run);
    fix(run, sets[1], SLOPE_BATCH);
    slope_check_all(run, model, routers[_i]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(what_cannot_be_fixed_is_refused)
{
    base_error err = {0};
    vit_model *model = model_of("ssr");
    vit_run *run = run_of(model, VIT_MODE_INFER);
    vit_run *train = run_of(model, VIT_MODE_TRAIN);

    look(run);
    ck_assert_int_eq(vit_run_routing_fix(train, sets[0], SLOPE_BATCH, &err), BASE_USAGE);
    sets[0][FIX_SETS] = 4;
    ck_assert_int_eq(vit_run_routing_fix(run, sets[0], SLOPE_BATCH, &err), BASE_USAGE);
    test_says(err.text, "expert 4 of 4");
    forward(run, logits[2], images[1], SLOPE_BATCH); /* nothing was changed */
    ck_assert_mem_eq(logits[2], logits[1], sizeof logits[1]);
    fix(run, sets[1], 2);
    ck_assert_int_eq(vit_run_forward(run, logits[2], images[0], 3, &(vit_step){0}, &err),
                     BASE_USAGE);
    forward(run, logits[2], images[0], 2);
    vit_run_destroy(train);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_dense_network_has_no_sets)
{
    vit_config config = slope_config();

    ck_assert_int_eq(vit_config_layers_set(&config, "none", NULL), BASE_OK);
    vit_model *model = slope_model(&config);
    vit_run *run = run_of(model, VIT_MODE_INFER);
    ck_assert_uint_eq(vit_run_set_count(run), 0);
    slope_fill(images[0], SLOPE_BATCH * SLOPE_FLOATS, 20);
    fix(run, sets[0], 1);
    forward(run, logits[0], images[0], SLOPE_BATCH);
    vit_run_routing_sets(run, sets[0]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_routing_fix");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, own_sets_change_no_bit, 0, ROUTERS);
    tcase_add_loop_test(core, other_sets_are_followed, 0, ROUTERS);
    tcase_add_test(core, each_image_has_its_sets_wherever_it_stands);
    tcase_add_test(core, sets_are_those_of_the_routing);
    tcase_add_loop_test(gradient, backward_is_of_the_network_with_these_sets, 0, ROUTERS);
    tcase_add_test(limits, what_cannot_be_fixed_is_refused);
    tcase_add_test(limits, a_dense_network_has_no_sets);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
