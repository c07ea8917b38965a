/* test_vit_resize.c - position embeddings resampled: against torch's interpolate as timm
 * calls it (tests/reference/make_training.py), class token kept, refusals. */
#include <limits.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

/* Two passes in f32 of numbers below 4. */
static const double tolerance = 2e-6;

START_TEST(grids_are_those_of_torch)
{
    static const size_t sides[] = {1, 3, 5, 7, 10, 16};
    vit_tensor_file *golden = test_golden("training");
    const float *grid = test_floats(golden, "", "grid");

    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        base_error err = {0};
        float out[16 * 16 * 3];
        char name[8];
        snprintf(name, sizeof name, "%zu", sides[i]);
        must(vit_position_resample(out, sides[i], grid, 7, 3, &err), &err);
        test_close(out, test_floats(golden, "grid", name), sides[i] * sides[i] * 3,
                   tolerance, 0);
    }
    vit_tensors_close(golden);
}
END_TEST

START_TEST(a_constant_stays_constant)
{
    float in[5 * 5];
    float out[9 * 9];

    for (size_t i = 0; i < 25; i++)
        in[i] = 0.75f;
    ck_assert_int_eq(vit_position_resample(out, 9, in, 5, 1, NULL), BASE_OK);
    for (size_t i = 0; i < 81; i++)
        ck_assert_double_eq_tol((double)out[i], 0.75, 1e-7);
}
END_TEST

/* The class token's row and all other weights stay; the grid goes from 2 to 3. */
START_TEST(only_the_grid_changes)
{
    static const char *const labels[] = {"a", "b", "c"};
    base_error err = {0};
    vit_config config = test_sparse_config();
    config.resize = 10;
    vit_model *model = test_model(&config, 1);
    must(vit_model_labels_set(model, labels, 3, &err), &err);
    vit_model *larger = NULL;

    must(vit_model_resize(&larger, model, 12, &err), &err);
    ck_assert_int_eq(vit_model_config(larger)->image, 12);
    ck_assert_int_eq(vit_model_config(larger)->crop, 12);
    ck_assert_int_eq(vit_model_config(larger)->resize, 15);
    ck_assert_str_eq(vit_model_label(larger, 1), "b");
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        const vit_parameter *q = vit_model_parameter(larger, i);
        const bool grid = strcmp(p->name, "pos_embed") == 0;
        ck_assert_str_eq(p->name, q->name);
        ck_assert_uint_eq(q->count, grid ? 10 * 8 : p->count);
        ck_assert_mem_eq(vit_model_weights(model) + p->offset,
                         vit_model_weights(larger) + q->offset,
                         (grid ? 8 : p->count) * sizeof(float));
    }
    vit_model *same = NULL;
    must(vit_model_resize(&same, model, 8, &err), &err);
    ck_assert_mem_eq(vit_model_weights(same), vit_model_weights(model),
                     vit_model_floats(model) * sizeof(float));
    vit_model_destroy(same);
    vit_model_destroy(larger);
    vit_model_destroy(model);
}
END_TEST

START_TEST(networks_without_stored_positions_resize_too)
{
    base_error err = {0};
    vit_config config = test_config();
    config.position = VIT_POSITION_SINCOS;
    config.pool = VIT_POOL_GAP;
    vit_model *model = test_model(&config, 1);
    vit_model *larger = NULL;

    must(vit_model_resize(&larger, model, 16, &err), &err);
    ck_assert_uint_eq(vit_model_floats(larger), vit_model_floats(model));
    vit_model_destroy(larger);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_size_that_is_no_multiple_of_the_patch_is_refused)
{
    base_error err = {0};
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    vit_model *other = NULL;

    test_refused(vit_model_resize(&other, model, 13, &err), BASE_USAGE, &err,
                 "'image' is 13, expected a multiple of patch (4)");
    test_refused(vit_model_resize(&other, model, 0, &err), BASE_USAGE, &err,
                 "'image' is 0, expected 1 to 8192");
    test_refused(vit_model_resize(&other, model, INT_MAX, &err), BASE_USAGE, &err,
                 "'image' is 2147483647, expected 1 to 8192");
    test_refused(vit_model_resize(&other, model, INT_MIN, &err), BASE_USAGE, &err,
                 "'image' is -2147483648, expected 1 to 8192");
    ck_assert_ptr_null(other);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_resize");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, grids_are_those_of_torch);
    tcase_add_test(core, a_constant_stays_constant);
    tcase_add_test(core, only_the_grid_changes);
    tcase_add_test(limits, networks_without_stored_positions_resize_too);
    tcase_add_test(limits, a_size_that_is_no_multiple_of_the_patch_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
