/* test_train_adversary.c - images that training makes worse: feasible, keyed, worse. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_target.h"
#include "train/train_internal.h"

/* ---- training on worse images -------------------------------------------------------- */

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

    recipe.config = *model_config;
    recipe.adversary.kind = (int)kinds[_i];
    recipe.adversary.steps = 5;
    recipe.adversary.eps = 16.0 / 255;
    ck_assert_msg(train_adversary_create(&adversary, &recipe, model, COUNT,
                                         VIT_PRECISION_FP32, &err) == BASE_OK,
                  "%s", err.text);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        inputs[i] = (images[i] - model_config->mean[c]) / model_config->std[c];
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
        const double v =
            (double)first[i] * (double)model_config->std[c] + (double)model_config->mean[c];

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

/* The images of one search with these settings into out; alpha 0: the search's own step. */
static void search(float *out, train_recipe *recipe, const float *inputs,
                   const float *targets, double alpha)
{
    const vit_step step = {.seed = 3, .step = 9, .first_sample = 12};
    train_adversary *adversary = NULL;
    const float *worse = NULL;
    base_error err = {0};

    recipe->adversary.alpha = alpha;
    ck_assert_msg(train_adversary_create(&adversary, recipe, model, COUNT,
                                         VIT_PRECISION_FP32, &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_int_eq(
        train_adversary_make(&worse, adversary, inputs, targets, COUNT, &step, NULL),
        BASE_OK);
    memcpy(out, worse, COUNT * FLOATS * sizeof *out);
    train_adversary_destroy(adversary);
}

/* Softmax of a row. */
static void shares(double *out, const float *z)
{
    double sum = 0;

    for (size_t j = 0; j < CLASSES; j++)
        sum += out[j] = exp((double)z[j]);
    for (size_t j = 0; j < CLASSES; j++)
        out[j] /= sum;
}

/* One step from the start (a search whose step is next to nothing) by the formula: the
 * sign of the gradient of the cross-entropy, or of the divergence from the clean answer,
 * with steps of 2.5 eps / steps, fgsm-rs 1.25 eps, cut to the ball and the box. */
START_TEST(one_step_goes_where_the_formula_says)
{
    static float inputs[COUNT * FLOATS], begin[COUNT * FLOATS], end[COUNT * FLOATS];
    static float gradient[COUNT * FLOATS], targets[COUNT * CLASSES];
    float d_logits[COUNT * CLASSES], clean[COUNT * CLASSES], z[COUNT * CLASSES];
    const double eps = 16.0 / 255,
                 alpha = kinds[_i] == TRAIN_ADVERSARY_FGSM_RS ? 1.25 * eps : 2.5 * eps;
    train_recipe recipe = train_recipe_defaults();
    vit_run *run = NULL;
    size_t moved = 0;

    recipe.config = *model_config;
    recipe.adversary.kind = (int)kinds[_i];
    recipe.adversary.steps = 1;
    recipe.adversary.eps = eps;
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        inputs[i] = (images[i] - model_config->mean[c]) / model_config->std[c];
    }
    for (size_t i = 0; i < COUNT; i++)
        targets[i * CLASSES + i % CLASSES] = 1;
    search(begin, &recipe, inputs, targets, 1e-12);
    search(end, &recipe, inputs, targets, 0);
    ck_assert_int_eq(vit_run_create(&run, model, COUNT, VIT_MODE_INPUT_GRADIENT,
                                    VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    const vit_step none = {0};
    ck_assert_int_eq(vit_run_forward(run, clean, inputs, COUNT, &none, NULL), BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, z, begin, COUNT, &none, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * CLASSES; i += CLASSES) {
        double p[CLASSES], q[CLASSES];
        shares(p, clean + i);
        shares(q, z + i);
        for (size_t j = 0; j < CLASSES; j++)
            d_logits[i + j] = (float)(q[j] - (kinds[_i] == TRAIN_ADVERSARY_TRADES
                                                  ? p[j]
                                                  : (double)targets[i + j]));
    }
    ck_assert_int_eq(vit_run_backward(run, gradient, d_logits, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        const double mean = (double)model_config->mean[c],
                     std = (double)model_config->std[c];
        const double x = (double)images[i], from = (double)begin[i] * std + mean;
        double want = from + (gradient[i] > 0 ? alpha : gradient[i] < 0 ? -alpha : 0);

        want = fmin(fmax(want, x - eps), x + eps);
        want = fmin(fmax(want, 0), 1);
        if (fabs((double)gradient[i]) < 1e-9) /* a sign of rounding */
            continue;
        ck_assert_double_eq_tol((double)end[i] * std + mean, want, 1e-5);
        moved += fabs(want - from) > 1e-3;
    }
    ck_assert_uint_gt(moved, COUNT * FLOATS / 4);
    vit_run_destroy(run);
}
END_TEST

/* Normalised images, and targets one after the other. */
static void inputs_make(float *inputs, float *targets)
{
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        inputs[i] = (images[i] - model_config->mean[c]) / model_config->std[c];
    }
    memset(targets, 0, COUNT * CLASSES * sizeof *targets);
    for (size_t i = 0; i < COUNT; i++)
        targets[i * CLASSES + i % CLASSES] = 1;
}

static train_recipe recipe_of(train_adversary_kind kind, double eps, int steps)
{
    train_recipe recipe = train_recipe_defaults();

    recipe.config = *model_config;
    recipe.adversary.kind = (int)kind;
    recipe.adversary.steps = steps;
    recipe.adversary.eps = eps;
    return recipe;
}

/* A step that is left open is 2.5 eps / steps; fgsm-rs makes one of 1.25 eps, whatever the
 * number of steps. */
START_TEST(a_step_that_is_left_open_is_a_share_of_the_budget)
{
    static float inputs[COUNT * FLOATS], targets[COUNT * CLASSES];
    static float open[COUNT * FLOATS], given[COUNT * FLOATS];
    const double eps = 16.0 / 255;
    const bool fast = kinds[_i] == TRAIN_ADVERSARY_FGSM_RS;

    inputs_make(inputs, targets);
    train_recipe recipe = recipe_of(kinds[_i], eps, 4);
    search(open, &recipe, inputs, targets, 0);
    search(given, &recipe, inputs, targets, fast ? 1.25 * eps : 2.5 * eps / 4);
    ck_assert_mem_eq(open, given, sizeof open);
    recipe.adversary.steps = 1;
    search(given, &recipe, inputs, targets, fast ? 0 : 2.5 * eps / 4);
    ck_assert_int_eq(memcmp(open, given, sizeof open) == 0, fast);
}
END_TEST

/* The point where a search starts: anywhere in the ball alike, mean 0 and variance eps^2 /
 * 3, or for trades a normal one of 0.001; each image's own, by its place in the step and
 * the seed. Images in the middle of the box, so that nothing is cut. */
START_TEST(a_search_starts_at_a_point_of_its_own)
{
    static float inputs[COUNT * FLOATS], targets[COUNT * CLASSES], begin[COUNT * FLOATS];
    static float moved[COUNT * FLOATS];
    const double eps = 0.25;
    const bool narrow = kinds[_i] == TRAIN_ADVERSARY_TRADES;
    const double deviation = narrow ? 0.001 : eps / sqrt(3);
    double sum = 0, squares = 0, most = 0;

    inputs_make(inputs, targets);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        inputs[i] = (0.5f - model_config->mean[c]) / model_config->std[c];
    }
    train_recipe recipe = recipe_of(kinds[_i], eps, 1);
    search(begin, &recipe, inputs, targets, 1e-12);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        const double d = (double)(begin[i] - inputs[i]) * (double)model_config->std[c];
        sum += d;
        squares += d * d;
        most = fmax(most, fabs(d));
    }
    const double n = COUNT * FLOATS;
    ck_assert_double_lt(fabs(sum / n), 4 * deviation / sqrt(n));
    ck_assert_double_eq_tol(sqrt(squares / n), deviation, 4 * deviation / sqrt(n));
    ck_assert_double_gt(most, narrow ? 2.5 * deviation : 0.98 * eps);
    ck_assert_double_le(most, narrow ? 6 * deviation : eps * 1.00001);
    /* the second image of a step that begins one earlier is the first of this one */
    static const struct {
        uint64_t seed, step, first;
        bool same;
    } keys[] = {{3, 9, 11, true}, {3, 9, 12, false}, {4, 9, 11, false}, {3, 8, 11, false}};
    for (size_t k = 0; k < 4; k++) {
        const vit_step step = {
            .seed = keys[k].seed, .step = keys[k].step, .first_sample = keys[k].first};
        train_adversary *adversary = NULL;
        const float *worse = NULL;
        ck_assert_int_eq(train_adversary_create(&adversary, &recipe, model, COUNT,
                                                VIT_PRECISION_FP32, NULL),
                         BASE_OK);
        ck_assert_int_eq(
            train_adversary_make(&worse, adversary, inputs, targets, COUNT, &step, NULL),
            BASE_OK);
        memcpy(moved, worse, sizeof moved);
        ck_assert_int_eq(memcmp(begin, moved + FLOATS, FLOATS * sizeof *begin) == 0,
                         keys[k].same);
        train_adversary_destroy(adversary);
    }
    ck_assert_mem_ne(begin, begin + FLOATS, FLOATS * sizeof *begin);
}
END_TEST

/* A clean value outside the box (erased with noise) stays possible, and its ball is cut at
 * itself; within, at black and white. */
START_TEST(values_stay_between_black_and_white_or_where_they_were)
{
    static float inputs[COUNT * FLOATS], targets[COUNT * CLASSES], end[COUNT * FLOATS];
    const double eps = 0.5;
    size_t cut = 0;

    inputs_make(inputs, targets);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        const float pixel = i % 4 == 0   ? 1.75f
                            : i % 4 == 1 ? -0.75f
                            : i % 4 == 2 ? 0.9f
                                         : 0.1f;
        inputs[i] = (pixel - model_config->mean[c]) / model_config->std[c];
    }
    train_recipe recipe = recipe_of(kinds[_i], eps, 3);
    search(end, &recipe, inputs, targets, 0.5);
    for (size_t i = 0; i < COUNT * FLOATS; i++) {
        const size_t c = i / (FLOATS / 3) % 3;
        const double v =
            (double)end[i] * (double)model_config->std[c] + (double)model_config->mean[c];
        static const double low[] = {1.25, -0.75, 0.4, 0}, high[] = {1.75, -0.25, 1, 0.6};
        ck_assert_msg(v >= low[i % 4] - 1e-5 && v <= high[i % 4] + 1e-5, "%g of %zu", v,
                      i % 4);
        cut += fabs(v - (i % 4 == 2 ? 1 : i % 4 == 3 ? 0 : 9)) < 1e-5;
    }
    ck_assert_uint_gt(cut, COUNT * FLOATS / 8); /* the box is met */
}
END_TEST

/* With sigmoid's loss the search climbs sigmoid's. */
START_TEST(the_search_climbs_the_loss_of_the_recipe)
{
    static float inputs[COUNT * FLOATS], targets[COUNT * CLASSES], gradient[COUNT * FLOATS];
    static float begin[COUNT * FLOATS], end[COUNT * FLOATS];
    float z[COUNT * CLASSES], d_logits[COUNT * CLASSES];
    vit_run *run = NULL;
    size_t wrong = 0;

    inputs_make(inputs, targets);
    train_recipe recipe = recipe_of(TRAIN_ADVERSARY_PGD, 0.05, 1);
    recipe.train.loss = _i ? VIT_LOSS_SIGMOID : VIT_LOSS_SOFTMAX;
    search(begin, &recipe, inputs, targets, 1e-12);
    search(end, &recipe, inputs, targets, 0.02);
    ck_assert_int_eq(vit_run_create(&run, model, COUNT, VIT_MODE_INPUT_GRADIENT,
                                    VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, z, begin, COUNT, &(vit_step){0}, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * CLASSES; i += CLASSES) {
        double p[CLASSES];
        shares(p, z + i);
        for (size_t j = 0; j < CLASSES; j++)
            d_logits[i + j] = (float)((_i ? 1 / (1 + exp(-(double)z[i + j])) : p[j]) -
                                      (double)targets[i + j]);
    }
    ck_assert_int_eq(vit_run_backward(run, gradient, d_logits, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * FLOATS; i++)
        wrong += fabs((double)gradient[i]) > 1e-7 && end[i] - begin[i] != 0 &&
                 (gradient[i] > 0) != (end[i] > begin[i]);
    ck_assert_uint_lt(wrong, COUNT * FLOATS / 500); /* signs of next to nothing */
    vit_run_destroy(run);
}
END_TEST

START_TEST(the_divergence_has_its_gradients)
{
    float z[2][4] = {{1, -0.5f, 0.25f, 2}, {0.5f, 0.75f, -1, 1.5f}}, d[2][4];
    const double kl = train_adversary_divergence(d[0], d[1], z[0], z[1], 4), h = 1e-3;

    ck_assert_double_gt(kl, 0);
    ck_assert_double_eq_tol(train_adversary_divergence(NULL, NULL, z[0], z[0], 4), 0,
                            1e-12);
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
    Suite *suite = suite_create("train_adversary");
    TCase *training = test_case_of_threads("Training");

    tcase_add_checked_fixture(training, setup, teardown);
    tcase_add_loop_test(training, worse_images_are_feasible_keyed_and_worse, 0, 3);
    tcase_add_loop_test(training, one_step_goes_where_the_formula_says, 0, 3);
    tcase_add_loop_test(training, a_step_that_is_left_open_is_a_share_of_the_budget, 0, 3);
    tcase_add_loop_test(training, a_search_starts_at_a_point_of_its_own, 0, 3);
    tcase_add_loop_test(training, values_stay_between_black_and_white_or_where_they_were, 0,
                        3);
    tcase_add_loop_test(training, the_search_climbs_the_loss_of_the_recipe, 0, 2);
    tcase_add_test(training, the_divergence_has_its_gradients);
    suite_add_tcase(suite, training);
    return test_run(suite);
}
