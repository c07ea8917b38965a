/* test_app_target.c - a network as the target of attacks, budgets as text, what training makes worse: the parts of
 * vmoe attack and of adversarial training that can be called. */
#include <math.h>

#include "apps/attack/internal.h"
#include "train/train_internal.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

enum { COUNT = 6, FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE, CLASSES = SAMPLE_CLASSES };

static char *dir, *path;
static app_network network;
static measure_target *target;
static attack_target table;
static float images[COUNT * FLOATS], other[COUNT * FLOATS];
static float logits[COUNT * CLASSES], again[COUNT * CLASSES];

static void pixels(float *out, uint64_t stream)
{
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, stream, 0, 0);

    for (size_t i = 0; i < COUNT * FLOATS; i++)
        out[i] = (float)(0.1 + 0.8 * base_rng_uniform(&rng));
}

static void setup(void)
{
    const vit_config config = sample_config(true);
    base_error err = {0};

    dir = test_folder_make();
    path = test_path(dir, "model.safetensors");
    sample_model_save(path, &config, sample_labels);
    ck_assert_msg(app_network_open(&network, path, NULL, NULL, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_msg(measure_target_create(&target, network.model, COUNT, VIT_PRECISION_FP32,
                                        &err) == BASE_OK,
                  "%s", err.text);
    table = measure_target_table(target);
    pixels(images, 1);
    pixels(other, 2);
}

static void teardown(void)
{
    measure_target_destroy(target);
    app_network_close(&network);
    base_free(path);
    test_folder_remove(dir);
}

static void look(float *out, const float *in)
{
    ck_assert_int_eq(table.logits(table.user, out, in, COUNT, NULL), BASE_OK);
}

/* ---- the target ------------------------------------------------------------------------------------ */

START_TEST(both_runs_give_the_same_logits)
{
    look(logits, images);
    ck_assert_int_eq(table.forward(table.user, again, images, COUNT, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[i], (double)again[i], 1e-5);
}
END_TEST

/* (v / 255 - mean) / std, as the loader makes it of a byte. */
START_TEST(a_byte_is_what_the_loader_makes_of_it)
{
    static unsigned char bytes[FLOATS];
    static float inputs[FLOATS], table_of[3 * 256];
    const data_image image = {bytes, SAMPLE_SIDE, SAMPLE_SIDE, 3, sizeof bytes};
    vit_run *run = NULL;

    for (size_t i = 0; i < FLOATS; i++) {
        bytes[i] = (unsigned char)(i * 37);
        images[i % 3 * FLOATS / 3 + i / 3] = (float)bytes[i] / 255.0f;
    }
    data_normalise_table(table_of, network.config->mean, network.config->std, 3);
    data_normalise(inputs, &image, table_of);
    ck_assert_int_eq(vit_run_create(&run, network.model, COUNT, VIT_MODE_INFER,
                                    VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, again, inputs, 1, &(vit_step){0}, NULL), BASE_OK);
    ck_assert_int_eq(table.logits(table.user, logits, images, 1, NULL), BASE_OK);
    ck_assert_mem_eq(logits, again, CLASSES * sizeof *logits);
    vit_run_destroy(run);
}
END_TEST

/* sum_c w_c z_c of one image along one direction, in pixels; the experts stay. */
START_TEST(the_gradient_is_of_the_pixels)
{
    static float gradient[COUNT * FLOATS], d_logits[COUNT * CLASSES];
    uint64_t before[COUNT], after[COUNT];
    const double h = 1e-3;
    size_t compared = 0;

    for (size_t i = 0; i < COUNT * CLASSES; i++)
        d_logits[i] = (float)((double)(i % 5) - 2);
    ck_assert_int_eq(table.forward(table.user, logits, images, COUNT, NULL), BASE_OK);
    ck_assert_int_eq(table.gradient(table.user, gradient, d_logits, NULL), BASE_OK);
    for (size_t at = 0; at < FLOATS; at += 7) {
        double slope[COUNT] = {0};

        for (int side = 0; side < 2; side++) {
            memcpy(other, images, sizeof other);
            for (size_t i = 0; i < COUNT; i++)
                other[i * FLOATS + at] += (float)(side ? h : -h);
            look(again, other);
            table.signature(table.user, side ? after : before);
            for (size_t i = 0; i < COUNT * CLASSES; i++)
                slope[i / CLASSES] +=
                    (side ? 1 : -1) * (double)d_logits[i] * (double)again[i] / (2 * h);
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (before[i] != after[i])
                continue;
            const double wanted = (double)gradient[i * FLOATS + at];

            compared++;
            ck_assert_double_eq_tol(slope[i], wanted, 5e-3 + 2e-2 * fabs(wanted));
        }
    }
    ck_assert_uint_ge(compared, 100);
}
END_TEST

START_TEST(frozen_images_keep_their_experts)
{
    uint64_t clean[COUNT], held[COUNT], free_[COUNT];

    look(logits, images);
    table.signature(table.user, clean);
    ck_assert_int_eq(table.freeze(table.user, images, COUNT, NULL), BASE_OK);
    look(again, images);
    ck_assert_mem_eq(logits, again, sizeof logits); /* its own sets change nothing */
    look(again, other);
    table.signature(table.user, held);
    ck_assert_mem_eq(clean, held, sizeof clean);
    ck_assert_int_eq(table.freeze(table.user, NULL, 0, NULL), BASE_OK);
    look(again, other);
    table.signature(table.user, free_);
    ck_assert_mem_ne(clean, free_, sizeof clean);
}
END_TEST

static void route(double *loss, const float *in, size_t count)
{
    ck_assert_int_eq(table.route_forward(table.user, again, loss, in, images, count, NULL),
                     BASE_OK);
}

/* Of the image itself no loss is positive; the sum over a batch has the slope that the target says. */
START_TEST(the_routing_loss_reaches_the_pixels)
{
    static float gradient[COUNT * FLOATS];
    uint64_t before[COUNT], after[COUNT];
    double loss[COUNT], moved[2][COUNT];
    const double h = 1e-3;
    size_t compared = 0;

    route(loss, images, COUNT);
    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_double_lt(loss[i], 0);
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[i], (double)again[i], 1e-5);
    route(loss, other, COUNT);
    ck_assert_int_eq(table.route_gradient(table.user, gradient, NULL), BASE_OK);
    static float probe[COUNT * FLOATS];
    for (size_t at = 0; at < FLOATS; at += 7) {
        for (int side = 0; side < 2; side++) {
            memcpy(probe, other, sizeof probe);
            for (size_t i = 0; i < COUNT; i++)
                probe[i * FLOATS + at] += (float)(side ? h : -h);
            route(moved[side], probe, COUNT);
            table.signature(table.user, side ? after : before);
        }
        for (size_t i = 0; i < COUNT; i++) {
            const double wanted = (double)gradient[i * FLOATS + at];
            const double slope = (moved[1][i] - moved[0][i]) / (2 * h);

            if (before[i] != after[i])
                continue;
            compared++;
            ck_assert_double_eq_tol(slope, wanted, 5e-3 + 2e-2 * fabs(wanted));
        }
    }
    ck_assert_uint_ge(compared, 100);
}
END_TEST

/* Who stands beside whom, and what was looked at before, does not matter. */
START_TEST(an_image_has_its_own_routing_loss)
{
    double all[COUNT], one;

    route(all, other, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_int_eq(table.route_forward(table.user, again, &one, other + i * FLOATS,
                                             images + i * FLOATS, 1, NULL),
                         BASE_OK);
        ck_assert_double_eq_tol(one, all[i], 1e-5);
    }
}
END_TEST

START_TEST(the_routing_loss_is_as_by_hand)
{
    /* two images of two tokens; sets of 2 among 3 experts, with room for another layer's */
    const double z[4][3] = {{3, 2, 1}, {0, 5, 1}, {1, 1, 1}, {-1, 0, 4}};
    const uint16_t sets[2][6] = {{0, 1, 0, 1, 9, 9}, {2, 0, 1, 2, 9, 9}};
    const vit_routing routing = {
        .tokens = 4, .tokens_per_image = 2, .experts = 3, .logits = &z[0][0]};
    float slope[12];
    double loss[2] = {10, 20};

    measure_route_loss(loss, slope, &routing, &sets[0][0], 6, 2);
    ck_assert_double_eq(loss[0], 10 + (1 - 2) + (1 - 0));
    ck_assert_double_eq(loss[1], 20 + (1 - 1) + (-1 - 0));
    const float wanted[12] = {0, -1, 1, -1, 0, 1, -1, 1, 0, 1, -1, 0};
    ck_assert_mem_eq(slope, wanted, sizeof wanted);
}
END_TEST

START_TEST(distributions_diverge_as_by_hand)
{
    const double p[2] = {1, 0}, q[2] = {0, 1}, r[2] = {0.5, 0.5};

    ck_assert_double_eq_tol(measure_divergence(p, q, 2), log(2), 1e-12);
    ck_assert_double_eq(measure_divergence(r, r, 2), 0);
    /* m = (3/4, 1/4): (log 4/3 + (log 2/3 + log 2) / 2) / 2 */
    ck_assert_double_eq_tol(measure_divergence(p, r, 2),
                            (log(4.0 / 3) + (log(2.0 / 3) + log(2)) / 2) / 2, 1e-12);
}
END_TEST

/* ---- budgets --------------------------------------------------------------------------------------- */

START_TEST(budgets_are_read_as_they_are_written)
{
    app_budget list[APP_BUDGETS_MAX];
    char text[64];
    size_t count = 0;

    ck_assert_int_eq(
        app_budgets_parse(list, &count, "0, 1/255,0.031", ATTACK_NORM_LINF, 10, NULL),
        BASE_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_double_eq(list[1].eps, 1.0 / 255);
    ck_assert_str_eq(app_budget_text(text, sizeof text, &list[1], ATTACK_NORM_LINF),
                     "1/255 (0.003922)");
    ck_assert_str_eq(app_budget_text(text, sizeof text, &list[2], ATTACK_NORM_LINF),
                     "0.031 (7.905/255)");
    ck_assert_int_eq(app_budgets_parse(list, &count, "3", ATTACK_NORM_L2, 10, NULL),
                     BASE_OK);
    ck_assert_int_eq(app_budgets_parse(list, &count, "4", ATTACK_NORM_L2, 10, NULL),
                     BASE_USAGE);
    ck_assert_double_eq(list[0].eps, 3); /* nothing was changed */
}
END_TEST

START_TEST(options_go_to_the_attacks_that_have_them)
{
    char specs[APP_ATTACK_SPECS];
    attack_args args = {.attack = "fgsm,pgd:steps=3,alpha=0.01,pgd", .steps = 7};

    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, "fgsm pgd:steps=3,alpha=0.01 pgd:steps=7");
    args = (attack_args){.attack = "pgd", .restarts = 4, .aim = 2};
    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, "pgd:restarts=4,aim=least");
    args = (attack_args){.attack = "quick"};
    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, attack_preset("quick", ATTACK_NORM_LINF));
}
END_TEST

/* ---- training on worse images ------------------------------------------------------------------------- */

static const train_adversary_kind kinds[] = {TRAIN_ADVERSARY_PGD, TRAIN_ADVERSARY_FGSM_RS,
                                           TRAIN_ADVERSARY_TRADES};

START_TEST(worse_images_are_feasible_keyed_and_worse)
{
    static float inputs[COUNT * FLOATS], first[COUNT * FLOATS];
    static float targets[COUNT * CLASSES];
    const vit_step step = {.seed = 3, .step = 9, .first_sample = 12};
    const vit_step later = {.seed = 3, .step = 10, .first_sample = 12};
    train_recipe recipe = train_recipe_defaults();
    train_adversary *adversary = NULL;
    const float *worse = NULL;
    double loss[2] = {0};
    base_error err = {0};

    recipe.config = *network.config;
    recipe.adversary.kind = (int)kinds[_i];
    recipe.adversary.steps = 5;
    recipe.adversary.eps = 16.0 / 255;
    ck_assert_msg(train_adversary_create(&adversary, &recipe, network.model, COUNT,
                                       VIT_PRECISION_FP32, &err) == BASE_OK,
                  "%s", err.text);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        inputs[i] = (images[i] - network.config->mean[c]) / network.config->std[c];
    }
    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        targets[i * CLASSES + measure_arg_max(logits + i * CLASSES, CLASSES)] = 1;
    ck_assert_int_eq(
        train_adversary_make(&worse, adversary, inputs, targets, COUNT, &step, NULL),
        BASE_OK);
    memcpy(first, worse, sizeof first);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        const double v = (double)first[i] * (double)network.config->std[c] +
                         (double)network.config->mean[c];

        ck_assert_double_le(fabs(v - (double)images[i]), 16.0 / 255 + 1e-5);
        ck_assert(v >= -1e-5 && v <= 1 + 1e-5);
        other[i] = (float)fmin(fmax(v, 0), 1);
    }
    ck_assert_int_eq(
        train_adversary_make(&worse, adversary, inputs, targets, COUNT, &later, NULL),
        BASE_OK);
    ck_assert_mem_ne(first, worse, sizeof first); /* another step, another start */
    ck_assert_int_eq(
        train_adversary_make(&worse, adversary, inputs, targets, COUNT, &step, NULL),
        BASE_OK);
    ck_assert_mem_eq(first, worse, sizeof first);
    look(again, other);
    loss[0] =
        vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, logits, targets, COUNT, CLASSES, 1);
    loss[1] =
        vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, again, targets, COUNT, CLASSES, 1);
    /* trades looks for another answer, not for a wrong one */
    double moved = 0;
    for (size_t i = 0; i < COUNT * CLASSES; i += CLASSES)
        moved += train_adversary_divergence(NULL, NULL, logits + i, again + i, CLASSES);
    ck_assert_double_gt(moved, 1e-6);
    if (kinds[_i] != TRAIN_ADVERSARY_TRADES)
        ck_assert_double_gt(loss[1], loss[0]);
    train_adversary_destroy(adversary);
}
END_TEST

START_TEST(the_divergence_has_its_gradients)
{
    float z[2][4] = {{1, -0.5f, 0.25f, 2}, {0.5f, 0.75f, -1, 1.5f}}, d[2][4];
    const double kl = train_adversary_divergence(d[0], d[1], z[0], z[1], 4), h = 1e-3;

    ck_assert_double_gt(kl, 0);
    ck_assert_double_eq_tol(train_adversary_divergence(NULL, NULL, z[0], z[0], 4), 0, 1e-12);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < 4; i++) {
            const float saved = z[side][i];

            z[side][i] = (float)((double)saved + h);
            const double up = train_adversary_divergence(NULL, NULL, z[0], z[1], 4);
            z[side][i] = (float)((double)saved - h);
            const double down = train_adversary_divergence(NULL, NULL, z[0], z[1], 4);
            z[side][i] = saved;
            ck_assert_double_eq_tol((up - down) / (2 * h), (double)d[side][i], 1e-3);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_target");
    TCase *core = tcase_create("Core"), *training = tcase_create("Training");
    TCase *text = tcase_create("Text");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(training, setup, teardown);
    tcase_add_test(core, both_runs_give_the_same_logits);
    tcase_add_test(core, a_byte_is_what_the_loader_makes_of_it);
    tcase_add_test(core, the_gradient_is_of_the_pixels);
    tcase_add_test(core, frozen_images_keep_their_experts);
    tcase_add_test(core, the_routing_loss_reaches_the_pixels);
    tcase_add_test(core, an_image_has_its_own_routing_loss);
    tcase_add_test(text, the_routing_loss_is_as_by_hand);
    tcase_add_test(text, distributions_diverge_as_by_hand);
    tcase_add_test(text, budgets_are_read_as_they_are_written);
    tcase_add_test(text, options_go_to_the_attacks_that_have_them);
    tcase_add_loop_test(training, worse_images_are_feasible_keyed_and_worse, 0, 3);
    tcase_add_test(training, the_divergence_has_its_gradients);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, training);
    return test_run(suite);
}
