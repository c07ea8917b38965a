/* test_vit_loss.c - both losses against PyTorch (tests/reference/make_training.py),
 * against finite differences and by hand; targets of smoothed and mixed labels. */
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

enum { BATCH = 6, CLASSES = 5, EXTREME = 3 };
static const char *const names[] = {"softmax", "sigmoid"};

START_TEST(losses_and_gradients_are_those_of_pytorch)
{
    const vit_loss kind = _i == 0 ? VIT_LOSS_SOFTMAX : VIT_LOSS_SIGMOID;
    vit_tensor_file *golden = test_golden("training");
    const float *z = test_floats(golden, "", "logits");
    const float *t = test_floats(golden, "", "targets");
    const float *each = test_floats(golden, names[_i], "each");
    float d[BATCH * CLASSES];
    float per_sample[BATCH];
    double mean = 0;

    const double loss = vit_loss_compute(kind, d, per_sample, z, t, BATCH, CLASSES, 1);
    test_close(per_sample, each, BATCH, 0,
               1e-6); /* one rounding to f32 and that of the file */
    test_close(d, test_floats(golden, names[_i], "gradient"), BATCH * CLASSES, 1e-9, 1e-6);
    for (size_t i = 0; i < BATCH; i++)
        mean += (double)each[i] / BATCH;
    ck_assert_double_eq_tol(loss, mean, 1e-6 * fabs(mean));
    vit_tensors_close(golden);
}
END_TEST

/* z = (ln 3, 0), t = (1, 0): p = (3/4, 1/4), loss = -ln(3/4); scale 2 doubles the
 * gradient only. */
START_TEST(softmax_of_two_classes_by_hand)
{
    const float z[] = {1.0986122886681098f, 0};
    const float t[] = {1, 0};
    float d[2];

    ck_assert_double_eq_tol(vit_loss_compute(VIT_LOSS_SOFTMAX, d, NULL, z, t, 1, 2, 2),
                            0.28768207, 1e-7);
    ck_assert_double_eq_tol((double)d[0], -0.5, 1e-6);
    ck_assert_double_eq_tol((double)d[1], 0.5, 1e-6);
}
END_TEST

/* z = (0, 0): every class costs ln 2; gradient (1/2 - t). */
START_TEST(sigmoid_of_two_classes_by_hand)
{
    const float z[] = {0, 0};
    const float t[] = {1, 0};
    float d[2];

    ck_assert_double_eq_tol(vit_loss_compute(VIT_LOSS_SIGMOID, d, NULL, z, t, 1, 2, 1),
                            2 * 0.69314718, 1e-7);
    ck_assert(d[0] == -0.5f && d[1] == 0.5f);
}
END_TEST

START_TEST(targets_are_smoothed_then_mixed)
{
    const int32_t a[] = {0, 2};
    const int32_t b[] = {1, 2};
    const float share[] = {0.75f, 0.25f};
    /* e / K = 0.1 / 4 = 0.025; row 0: 0.025 + 0.9 * (0.75, 0.25); row 1: both are class
     * 2 */
    const float mixed[] = {0.7f, 0.25f, 0.025f, 0.025f, 0.025f, 0.025f, 0.925f, 0.025f};
    const float plain[] = {1, 0, 0, 0, 0, 0, 1, 0};
    float t[8];

    vit_targets_fill(t, a, b, share, 2, 4, 0.1);
    test_close(t, mixed, 8, 1e-7, 0);
    vit_targets_fill(t, a, NULL, NULL, 2, 4, 0);
    ck_assert_mem_eq(t, plain, sizeof plain);
}
END_TEST

START_TEST(finite_logits_give_a_finite_loss)
{
    static const float large = 3.4e38f;
    const float z[] = {large, -large, 0, -large, large, large};
    const float t[] = {0, 1, 0, 1, 0, 0};
    float d[6];
    float each[2];

    for (int kind = 0; kind < 2; kind++) {
        const double loss = vit_loss_compute(kind ? VIT_LOSS_SIGMOID : VIT_LOSS_SOFTMAX, d,
                                             each, z, t, 2, 3, 1);
        ck_assert(isfinite(loss));
        for (size_t i = 0; i < 6; i++)
            ck_assert(isfinite(d[i]) && fabsf(d[i]) <= 0.5f);
        ck_assert(isfinite(each[0]) && isfinite(each[1]));
    }
}
END_TEST

START_TEST(outputs_may_be_left_out_and_one_class_costs_nothing)
{
    const float z[] = {7};
    const float t[] = {1};
    float d[1] = {9};

    ck_assert(vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, z, t, 1, 1, 1) == 0);
    ck_assert(vit_loss_compute(VIT_LOSS_SOFTMAX, d, NULL, z, t, 1, 1, 1) == 0);
    ck_assert(d[0] == 0.0f);
}
END_TEST

/* More samples than one block of the sum, and enough classes for threads. */
START_TEST(a_large_batch_is_the_mean_of_its_samples)
{
    enum { MANY = 150, WIDE = 100 };
    float *z = base_alloc(MANY * WIDE, sizeof *z);
    float *t = base_alloc(MANY * WIDE, sizeof *t);
    float *each = base_alloc(MANY, sizeof *each);
    double sum = 0;

    for (size_t i = 0; i < MANY * WIDE; i++) {
        z[i] = (float)sin((double)i);
        t[i] = i % WIDE == i / WIDE % WIDE ? 1 : 0;
    }
    const double loss = vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, each, z, t, MANY, WIDE, 1);
    for (size_t i = 0; i < MANY; i++) {
        const double one = vit_loss_compute(VIT_LOSS_SOFTMAX, NULL, NULL, z + i * WIDE,
                                            t + i * WIDE, 1, WIDE, 1);
        ck_assert(each[i] == (float)one);
        sum += one;
    }
    ck_assert_double_eq_tol(loss, sum / MANY, 1e-12);
    base_free(each);
    base_free(t);
    base_free(z);
}
END_TEST

START_TEST(gradients_are_those_of_finite_differences)
{
    const vit_loss kind = _i == 0 ? VIT_LOSS_SOFTMAX : VIT_LOSS_SIGMOID;
    const float step =
        1.0f / 128; /* exact in f32; the third derivative's error is below 1e-5 */
    float z[3 * CLASSES];
    float t[3 * CLASSES];
    float d[3 * CLASSES];

    for (size_t i = 0; i < 3 * CLASSES; i++) {
        z[i] = (float)(int)(i * 7 % 11) / 4 - 1;
        t[i] = (float)(i % CLASSES) / 10;
    }
    vit_loss_compute(kind, d, NULL, z, t, 3, CLASSES, 1);
    for (size_t i = 0; i < 3 * CLASSES; i++) {
        const float kept = z[i];
        z[i] = kept + step;
        const double up = vit_loss_compute(kind, NULL, NULL, z, t, 3, CLASSES, 1);
        z[i] = kept - step;
        const double down = vit_loss_compute(kind, NULL, NULL, z, t, 3, CLASSES, 1);
        z[i] = kept;
        ck_assert_double_eq_tol((double)d[i], (up - down) / (2 * (double)step), 1e-5);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_loss");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, losses_and_gradients_are_those_of_pytorch, 0, 2);
    tcase_add_test(core, softmax_of_two_classes_by_hand);
    tcase_add_test(core, sigmoid_of_two_classes_by_hand);
    tcase_add_test(core, targets_are_smoothed_then_mixed);
    tcase_add_test(core, a_large_batch_is_the_mean_of_its_samples);
    tcase_add_test(limits, finite_logits_give_a_finite_loss);
    tcase_add_test(limits, outputs_may_be_left_out_and_one_class_costs_nothing);
    tcase_add_loop_test(gradient, gradients_are_those_of_finite_differences, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
