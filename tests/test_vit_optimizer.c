/* test_vit_optimizer.c - AdamW and SGD against torch.optim
 * (tests/reference/make_training.py), clipping, averaging, refused gradients, state to a
 * file and back. */
#include <omp.h>
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

/* Five steps in f32 against f64: a few roundings of numbers below 4. */
static const double tolerance = 2e-6;
enum { STEPS = 5 };

static const struct {
    const char *name;
    vit_optimizer_config config;
} cases[] = {
    {"adamw",
     {.kind = VIT_OPTIMIZER_ADAMW,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .eps = 1e-8,
      .weight_decay = 0.1}},
    {"adamw_clip",
     {.kind = VIT_OPTIMIZER_ADAMW,
      .beta1 = 0.8,
      .beta2 = 0.95,
      .eps = 1e-4,
      .weight_decay = 0.05,
      .clip = 1.0,
      .ema = 0.9}},
    {"sgd", {.kind = VIT_OPTIMIZER_SGD}},
    {"sgd_momentum",
     {.kind = VIT_OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.01, .ema = 0.75}},
    {"sgd_nesterov",
     {.kind = VIT_OPTIMIZER_SGD,
      .momentum = 0.9,
      .nesterov = true,
      .weight_decay = 0.01,
      .clip = 2.0}},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* make_training.py's NETWORK. */
static vit_model *reference_model(const vit_tensor_file *golden)
{
    base_error err = {0};
    vit_model *model = NULL;
    vit_config config = test_config();

    config.image = config.crop = config.patch = 2;
    config.channels = 1;
    config.width = 4;
    config.depth = 1;
    config.heads = 1;
    config.mlp = 3;
    config.classes = 2;
    must(vit_model_create(&model, &config, &err), &err);
    ck_assert_uint_eq(vit_model_floats(model), vit_tensors_find(golden, "start")->shape[0]);
    memcpy(vit_model_weights(model), test_floats(golden, "", "start"),
           vit_model_floats(model) * sizeof(float));
    return model;
}

static vit_optimizer *make(const vit_model *model, const vit_optimizer_config *config)
{
    base_error err = {0};
    vit_optimizer *out = NULL;

    must(vit_optimizer_create(&out, model, config, &err), &err);
    return out;
}

START_TEST(decay_is_on_matrices_only)
{
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    const unsigned char *decayed = vit_tensors_find(golden, "decayed")->data;

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        for (size_t j = 0; j < p->count; j++)
            ck_assert_msg(decayed[p->offset + j] == p->decay, "%s", p->name);
    }
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

START_TEST(steps_are_those_of_pytorch)
{
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    const size_t n = vit_model_floats(model);
    vit_optimizer *o = make(model, &cases[_i].config);
    const float *gradients = test_floats(golden, "", "gradients");
    char *norm_name = base_text("%s/norm", cases[_i].name);
    const double *norm = vit_tensors_find(golden, norm_name)->data;

    for (size_t s = 0; s < STEPS; s++) {
        const vit_optimizer_result r =
            vit_optimizer_step(o, model, gradients + s * n, 0.01 * (double)(s + 1));
        ck_assert(!r.skipped);
        ck_assert_double_eq_tol(r.grad_norm, norm[s], 1e-6 * norm[s]);
    }
    test_close(vit_model_weights(model), test_floats(golden, cases[_i].name, "weights"), n,
               tolerance, 0);
    if (cases[_i].config.ema > 0)
        test_close(vit_optimizer_ema(o), test_floats(golden, cases[_i].name, "ema"), n,
                   tolerance, 0);
    else
        ck_assert_ptr_null(vit_optimizer_ema(o));
    base_free(norm_name);
    vit_optimizer_destroy(o);
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

/* Saved after step 2 into another optimizer, the later steps give the same bits. */
START_TEST(state_goes_through_a_file_and_on_to_the_bit)
{
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    vit_model *other = reference_model(golden);
    const size_t n = vit_model_floats(model);
    const float *gradients = test_floats(golden, "", "gradients");
    char *folder = test_folder_make();
    char *path = test_path(folder, "state.safetensors");
    base_error err = {0};

    vit_optimizer *o = make(model, &cases[_i].config);
    for (size_t s = 0; s < 2; s++)
        vit_optimizer_step(o, model, gradients + s * n, 0.01);
    vit_tensor state[8];
    size_t count = 8;
    must(vit_optimizer_state(o, state, &count, &err), &err);
    must(vit_tensors_write(path, state, count, NULL, 0, &err), &err);
    memcpy(vit_model_weights(other), vit_model_weights(model), n * sizeof(float));

    vit_tensor_file *file = NULL;
    vit_optimizer *p = make(other, &cases[_i].config);
    must(vit_tensors_open(&file, path, &err), &err);
    must(vit_optimizer_restore(p, file, &err), &err);
    for (size_t s = 2; s < STEPS; s++) {
        vit_optimizer_step(o, model, gradients + s * n, 0.01);
        vit_optimizer_step(p, other, gradients + s * n, 0.01);
    }
    ck_assert_mem_eq(vit_model_weights(model), vit_model_weights(other), n * sizeof(float));
    if (vit_optimizer_ema(o))
        ck_assert_mem_eq(vit_optimizer_ema(o), vit_optimizer_ema(p), n * sizeof(float));
    vit_tensors_close(file);
    vit_optimizer_destroy(p);
    vit_optimizer_destroy(o);
    base_free(path);
    test_folder_remove(folder);
    vit_model_destroy(other);
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

/* Enough weights for dozens of chunks, some cut short by the end of a tensor. */
static vit_model *wide_model(void)
{
    vit_config config = test_config();

    config.width = 96;
    config.mlp = 1001;
    config.depth = 3;
    return test_model(&config, 7);
}

START_TEST(threads_do_not_change_a_bit)
{
    vit_model *model = wide_model();
    vit_model *other = wide_model();
    const size_t n = vit_model_floats(model);
    float *g = base_alloc(n, sizeof *g);
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);
    double squares = 0;

    for (size_t i = 0; i < n; i++) {
        g[i] = (float)base_rng_normal(&rng);
        squares += (double)g[i] * (double)g[i];
    }
    vit_optimizer *o = make(model, &cases[1].config);
    vit_optimizer *p = make(other, &cases[1].config);
    omp_set_num_threads(1);
    const vit_optimizer_result one = vit_optimizer_step(o, model, g, 1e-3);
    omp_set_num_threads(3);
    const vit_optimizer_result three = vit_optimizer_step(p, other, g, 1e-3);
    ck_assert(one.grad_norm == three.grad_norm);
    ck_assert_double_eq_tol(one.grad_norm, sqrt(squares), 1e-9 * sqrt(squares));
    ck_assert_mem_eq(vit_model_weights(model), vit_model_weights(other), n * sizeof *g);
    const uint64_t before = base_alloc_count();
    vit_optimizer_step(o, model, g, 1e-3);
    ck_assert_uint_eq(base_alloc_count(), before); /* a step takes no memory */
    vit_optimizer_destroy(p);
    vit_optimizer_destroy(o);
    base_free(g);
    vit_model_destroy(other);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_gradient_that_is_not_finite_changes_nothing)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    const size_t n = vit_model_floats(model);
    float *g = base_alloc(n, sizeof *g);
    vit_optimizer *o = make(model, &cases[0].config);
    vit_optimizer *p = make(model, &cases[3].config);

    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        memset(g, 0, n * sizeof *g);
        g[n - 1] = bad[b];
        ck_assert(vit_optimizer_step(o, model, g, 0.1).skipped);
        ck_assert(vit_optimizer_step(p, model, g, 0.1).skipped);
    }
    ck_assert_mem_eq(vit_model_weights(model), test_floats(golden, "", "start"),
                     n * sizeof *g);
    ck_assert_mem_eq(vit_optimizer_ema(p), vit_model_weights(model), n * sizeof *g);
    vit_tensor state[8];
    size_t count = 8;
    int64_t step = -1;
    ck_assert_int_eq(vit_optimizer_state(o, state, &count, NULL), BASE_OK);
    memcpy(&step, state[0].data, sizeof step);
    ck_assert_int_eq(step, 0); /* skipped steps do not count in the bias correction */
    vit_optimizer_destroy(p);
    vit_optimizer_destroy(o);
    base_free(g);
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

START_TEST(a_learning_rate_that_is_not_finite_changes_nothing)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    const size_t n = vit_model_floats(model);
    float *g = base_alloc(n, sizeof *g);
    vit_optimizer *o = make(model, &cases[0].config);
    vit_optimizer *p = make(model, &cases[3].config);

    for (size_t i = 0; i < n; i++)
        g[i] = 0.01f;
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        ck_assert(vit_optimizer_step(o, model, g, bad[b]).skipped);
        ck_assert(vit_optimizer_step(p, model, g, bad[b]).skipped);
    }
    ck_assert_mem_eq(vit_model_weights(model), test_floats(golden, "", "start"),
                     n * sizeof *g);
    ck_assert_mem_eq(vit_optimizer_ema(p), vit_model_weights(model), n * sizeof *g);
    ck_assert(!vit_optimizer_step(o, model, g, 0.1).skipped);
    vit_optimizer_destroy(p);
    vit_optimizer_destroy(o);
    base_free(g);
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

START_TEST(impossible_settings_are_named)
{
    static const struct {
        vit_optimizer_config config;
        const char *words;
    } bad[] = {
        {{.eps = 1e-8, .beta1 = 1.0}, "'optimizer.beta1' is 1"},
        {{.eps = 1e-8, .beta2 = -0.1}, "'optimizer.beta2' is -0.1"},
        {{.eps = 0}, "'optimizer.eps' is 0"},
        {{.eps = 1e-8, .weight_decay = NAN}, "'optimizer.weight_decay' is nan"},
        {{.eps = 1e-8, .clip = -1}, "'optimizer.clip' is -1"},
        {{.eps = 1e-8, .ema = 1}, "'optimizer.ema' is 1"},
        {{.eps = 1e-8, .layer_decay = 1.5}, "'optimizer.layer_decay' is 1.5"},
        {{.kind = VIT_OPTIMIZER_SGD, .momentum = 1.5}, "'optimizer.momentum' is 1.5"},
        {{.kind = VIT_OPTIMIZER_SGD, .nesterov = true}, "'optimizer.nesterov' is on"},
    };
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    vit_optimizer *o = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        const base_status status = vit_optimizer_create(&o, model, &bad[i].config, &err);
        test_refused(status, BASE_USAGE, &err, bad[i].words);
        ck_assert_ptr_null(o);
    }
    vit_optimizer_destroy(NULL);
    vit_model_destroy(model);
}
END_TEST

START_TEST(a_state_of_another_shape_is_refused)
{
    vit_tensor_file *golden = test_golden("training");
    vit_model *small = reference_model(golden);
    vit_model *large = wide_model();
    char *folder = test_folder_make();
    char *path = test_path(folder, "state.safetensors");
    base_error err = {0};
    vit_optimizer *from = make(small, &cases[0].config);
    vit_optimizer *to = make(large, &cases[0].config);
    vit_optimizer *averaged = make(small, &cases[1].config);
    vit_tensor state[8];
    size_t count = 2;

    ck_assert_int_eq(vit_optimizer_state(from, state, &count, &err), BASE_MISMATCH);
    count = 8;
    must(vit_optimizer_state(from, state, &count, &err), &err);
    must(vit_tensors_write(path, state, count, NULL, 0, &err), &err);
    vit_tensor_file *file = NULL;
    must(vit_tensors_open(&file, path, &err), &err);
    test_refused(vit_optimizer_restore(to, file, &err), BASE_MISMATCH, &err,
                 "'optimizer.first' is F32 [177], expected F32 [");
    test_refused(vit_optimizer_restore(averaged, file, &err), BASE_MISMATCH, &err,
                 "no tensor 'optimizer.ema'");
    vit_tensors_close(file);
    vit_optimizer_destroy(averaged);
    vit_optimizer_destroy(to);
    vit_optimizer_destroy(from);
    base_free(path);
    test_folder_remove(folder);
    vit_model_destroy(large);
    vit_model_destroy(small);
    vit_tensors_close(golden);
}
END_TEST

/* timm.optim.param_groups_layer_decay (timm 1.0.31) of its ViTs with depth 3, layer_decay
 * 0.7, printed by reference/layer_decay.py. */
static const struct {
    const char *name;
    double factor;
} layer_factors[] = {
    {"cls_token", 0.2401},
    {"reg_token", 0.2401},
    {"pos_embed", 0.2401},
    {"patch_embed.proj.weight", 0.2401},
    {"patch_embed.proj.bias", 0.2401},
    {"norm_pre.weight", 0.2401},
    {"blocks.0.norm1.weight", 0.343},
    {"blocks.0.attn.qkv.bias", 0.343},
    {"blocks.1.mlp.fc2.weight", 0.49},
    {"blocks.2.mlp.fc1.weight", 0.7},
    {"norm.bias", 0.7},
    {"fc_norm.weight", 1},
    {"head.weight", 1},
    {"head.bias", 1},
};

/* One step of SGD with gradients of 1 moves every weight by its learning rate. */
START_TEST(learning_rates_of_layers_are_timms)
{
    static const double decay = 0.7, lr = 0.5;
    vit_config config = test_config();
    size_t met = 0;

    config.depth = 3;
    config.registers = 2;
    config.pre_norm = true;
    for (int i = 0; i < 2; i++) {
        config.fc_norm = i == 1;
        config.pool = i == 1 ? VIT_POOL_GAP : VIT_POOL_TOKEN;
        vit_model *model = test_model(&config, 3), *before = test_model(&config, 3);
        vit_optimizer *o = make(model, &(vit_optimizer_config){.kind = VIT_OPTIMIZER_SGD,
                                                               .layer_decay = decay});
        const size_t n = vit_model_floats(model);
        float *ones = base_alloc(n, sizeof *ones);
        for (size_t j = 0; j < n; j++)
            ones[j] = 1;
        vit_optimizer_step(o, model, ones, lr);
        for (size_t j = 0; j < sizeof layer_factors / sizeof layer_factors[0]; j++) {
            const vit_parameter *p = vit_model_parameter_find(model, layer_factors[j].name);
            met += p != NULL;
            for (size_t at = p ? p->offset : 0; p && at < p->offset + p->count; at++)
                ck_assert_double_eq_tol((double)vit_model_weights(before)[at] -
                                            (double)vit_model_weights(model)[at],
                                        lr * layer_factors[j].factor, 2e-7);
        }
        base_free(ones);
        vit_optimizer_destroy(o);
        vit_model_destroy(before);
        vit_model_destroy(model);
    }
    ck_assert_uint_eq(met, 2 * (sizeof layer_factors / sizeof layer_factors[0]) - 3);
}
END_TEST

/* Weights, averages and the norm of the gradient know nothing of them. */
START_TEST(frozen_layers_do_not_move_by_a_bit)
{
    const vit_config config = test_sparse_config(); /* depth 2 */
    vit_model *model = test_model(&config, 3), *before = test_model(&config, 3);
    vit_optimizer_config c = cases[1].config;
    const size_t n = vit_model_floats(model);
    float *g = base_alloc(n, sizeof *g);

    for (size_t j = 0; j < n; j++)
        g[j] = (float)NAN; /* of the frozen ones: never read */
    for (int frozen = config.depth + 1; frozen >= 0; frozen--) {
        double squares = 0;

        c.frozen = frozen;
        vit_optimizer *o = make(model, &c);
        for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
            const vit_parameter *p = vit_model_parameter(model, i);
            for (size_t j = 0; p->layer >= frozen && j < p->count; j++)
                g[p->offset + j] = 0.01f;
            squares += p->layer >= frozen ? (double)p->count * 0.01 * 0.01 : 0;
        }
        memcpy(vit_model_weights(model), vit_model_weights(before), n * sizeof *g);
        const vit_optimizer_result r = vit_optimizer_step(o, model, g, 0.1);
        ck_assert(!r.skipped);
        ck_assert_double_eq_tol(r.grad_norm, sqrt(squares), 1e-6 * r.grad_norm);
        vit_optimizer_state_average(o, model);
        for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
            const vit_parameter *p = vit_model_parameter(model, i);
            const bool same =
                memcmp(vit_model_weights(model) + p->offset,
                       vit_model_weights(before) + p->offset, p->count * sizeof *g) == 0;
            const bool same_ema =
                memcmp(vit_optimizer_ema(o) + p->offset,
                       vit_model_weights(before) + p->offset, p->count * sizeof *g) == 0;
            ck_assert_msg(same == (p->layer < frozen) && same_ema == same, "%s, %d frozen",
                          p->name, frozen);
        }
        vit_optimizer_destroy(o);
    }
    base_free(g);
    vit_model_destroy(before);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_optimizer");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_test(core, decay_is_on_matrices_only);
    tcase_add_loop_test(core, steps_are_those_of_pytorch, 0, CASES);
    tcase_add_loop_test(core, state_goes_through_a_file_and_on_to_the_bit, 0, CASES);
    tcase_add_test(core, threads_do_not_change_a_bit);
    tcase_add_test(core, learning_rates_of_layers_are_timms);
    tcase_add_test(core, frozen_layers_do_not_move_by_a_bit);
    tcase_add_test(limits, a_gradient_that_is_not_finite_changes_nothing);
    tcase_add_test(limits, a_learning_rate_that_is_not_finite_changes_nothing);
    tcase_add_test(limits, impossible_settings_are_named);
    tcase_add_test(limits, a_state_of_another_shape_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
