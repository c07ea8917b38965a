/* test_vit_optimizer.c - AdamW and SGD against torch.optim
 * (tests/reference/make_training.py), clipping, averaging, refused gradients, state to a
 * file and back. */
#include <omp.h>
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
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

/* All numbers at the end of their range and beyond it; NULL: good. */
START_TEST(impossible_settings_are_named)
{
#define ADAM .kind = VIT_OPTIMIZER_ADAMW, .eps = 1e-8
    static const struct {
        vit_optimizer_config config;
        const char *words;
    } tried[] = {
        {{ADAM, .beta1 = 1.0}, "'optimizer.beta1' is 1, expected 0 to below 1"},
        {{ADAM, .beta1 = 0.99}, NULL},
        {{ADAM, .beta2 = -0.1}, "'optimizer.beta2' is -0.1, expected 0 to below 1"},
        {{ADAM, .beta2 = 1}, "'optimizer.beta2' is 1, expected 0 to below 1"},
        {{.eps = 1}, "'optimizer.eps' is 1, expected 0 to below 1"},
        {{.eps = 0.5}, NULL},
        {{.eps = 0}, "'optimizer.eps' is 0, expected more than 0"},
        {{.eps = 1e-60}, "'optimizer.eps' is 1e-60, expected more than 0"}, /* no float */
        {{.kind = VIT_OPTIMIZER_SGD}, NULL},
        {{ADAM, .weight_decay = NAN},
         "'optimizer.weight_decay' is nan, expected 0 to below inf"},
        {{ADAM, .weight_decay = 1e9}, NULL},
        {{ADAM, .clip = -1}, "'optimizer.clip' is -1, expected 0 to below inf"},
        {{ADAM, .clip = INFINITY}, "'optimizer.clip' is inf, expected 0 to below inf"},
        {{ADAM, .ema = 1}, "'optimizer.ema' is 1, expected 0 to below 1"},
        {{ADAM, .layer_decay = 1.5}, "'optimizer.layer_decay' is 1.5, expected 0 to 1"},
        {{ADAM, .layer_decay = -0.5}, "'optimizer.layer_decay' is -0.5, expected 0 to 1"},
        {{ADAM, .layer_decay = NAN}, "'optimizer.layer_decay' is nan, expected 0 to 1"},
        {{ADAM, .layer_decay = 1}, NULL},
        {{.kind = VIT_OPTIMIZER_SGD, .momentum = 1.5},
         "'optimizer.momentum' is 1.5, expected 0 to below 1"},
        {{.kind = VIT_OPTIMIZER_SGD, .nesterov = true},
         "'optimizer.nesterov' is on, expected an optimizer.momentum above 0"},
        {{.kind = VIT_OPTIMIZER_SGD, .nesterov = true, .momentum = 0.5}, NULL},
        {{ADAM, .nesterov = true}, NULL},
    };
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);

    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) {
        base_error err = {0};
        vit_optimizer *o = NULL;
        const base_status status = vit_optimizer_create(&o, model, &tried[i].config, &err);
        ck_assert_str_eq(err.text, tried[i].words ? tried[i].words : "");
        ck_assert_int_eq(status, tried[i].words ? BASE_USAGE : BASE_OK);
        ck_assert((o != NULL) == !tried[i].words);
        vit_optimizer_destroy(o);
    }
    vit_optimizer_destroy(NULL);
    vit_model_destroy(model);
}
END_TEST

/* Moments and averages of all floats; alone, without lanes, nothing else. */
START_TEST(memory_is_that_of_the_blocks_that_are_kept)
{
    static const struct {
        vit_optimizer_config config;
        size_t blocks, lanes;
    } known[] = {
        {{.kind = VIT_OPTIMIZER_SGD}, 0, 1},
        {{.kind = VIT_OPTIMIZER_SGD, .momentum = 0.5}, 1, 1},
        {{.kind = VIT_OPTIMIZER_SGD, .ema = 0.5}, 1, 1},
        {{ADAM}, 2, 1},
        {{ADAM, .momentum = 0.5}, 2, 1},
        {{ADAM, .ema = 0.5}, 3, 1},
        {{ADAM, .ema = 0.5}, 3 + 1, 2},
        {{ADAM, .ema = 0.5}, 3 + 2, 3},
        {{ADAM, .ema = 0.5}, 3 + 2, 4},
        {{ADAM, .ema = 0.5}, 3 + 3, 5},
    };
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    base_error err = {0};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        vit_optimizer *o = NULL;
        must(vit_optimizer_create_among(&o, model, &known[i].config, NULL, known[i].lanes,
                                        &err),
             &err);
        ck_assert_uint_eq(vit_optimizer_taken(o),
                          known[i].blocks * vit_model_floats(model) * sizeof(float));
        vit_optimizer_destroy(o);
    }
    vit_model_destroy(model);
}
END_TEST

/* One weight has a gradient of g; a step of SGD with rate 1 moves it by that, clipped to
 * clip g / (g + 1e-6) as torch does. */
START_TEST(clipping_divides_by_the_norm_and_a_millionth)
{
    static const struct {
        double clip, g, moved;
    } known[] = {
        {0, 3, 3},          {4, 3, 3},
        {2, 4, 2},          {1e-6, 1e-6, 0.5e-6},
        {2e-6, 1e-6, 1e-6}, {1.5e-6, 1e-6, 0.75e-6}, /* by the sum, not by the norm alone */
        {0, 1e17, 1e17},    {0, 2e18, 0}, /* its square would be no float: skipped */
        {1, 2e18, 1},       {1e19, 2e18, 0},
    };
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    const size_t n = vit_model_floats(model);
    const size_t at = vit_model_parameter_find(model, "head.bias")->offset;
    float *g = base_alloc(n, sizeof *g);

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        vit_optimizer *o = make(model, &(vit_optimizer_config){.kind = VIT_OPTIMIZER_SGD,
                                                               .clip = known[i].clip});
        vit_model_weights(model)[at] = 0;
        g[at] = -(float)known[i].g;
        const vit_optimizer_result r = vit_optimizer_step(o, model, g, 1);
        ck_assert_double_eq_tol(r.grad_norm, known[i].g, 1e-6 * known[i].g);
        ck_assert(r.skipped == (known[i].moved == 0));
        ck_assert_double_eq_tol((double)vit_model_weights(model)[at], known[i].moved,
                                1e-6 * known[i].moved + 1e-15);
        vit_optimizer_destroy(o);
    }
    base_free(g);
    vit_model_destroy(model);
}
END_TEST

/* A file whose tensors are the state's but for one thing; nothing is read of it. */
START_TEST(a_state_that_cannot_be_is_refused)
{
    enum { FLOATS = 177 };
    static float good[FLOATS], bad[FLOATS];
    static const int64_t three = 3, negative = -1;
    const vit_tensor usual[3] = {{"optimizer.step", "I64", 1, {1}, &three},
                                 {"optimizer.first", "F32", 1, {FLOATS}, good},
                                 {"optimizer.second", "F32", 1, {FLOATS}, good}};
    const struct {
        size_t which;
        vit_tensor tensor;
        base_status status;
        const char *words;
    } tried[] = {
        {0,
         {"optimizer.step", "I64", 1, {1}, &negative},
         BASE_FORMAT,
         "tensor 'optimizer.step' is -1, expected 0 or more"},
        {0,
         {"optimizer.step", "F64", 1, {1}, &three},
         BASE_MISMATCH,
         "tensor 'optimizer.step' is F64 [1], expected I64 [1]"},
        {0,
         {"optimizer.steps", "I64", 1, {1}, &three},
         BASE_MISMATCH,
         "the state has no tensor 'optimizer.step'"},
        {1,
         {"optimizer.first", "F32", 1, {FLOATS}, bad},
         BASE_NUMERIC,
         "tensor 'optimizer.first' has a value that is not finite at index 5"},
        {2,
         {"optimizer.second", "F32", 2, {1, FLOATS}, good},
         BASE_MISMATCH,
         "tensor 'optimizer.second' is F32 [1, 177], expected F32 [177]"},
        {2,
         {"optimizer.second", "F32", 1, {FLOATS - 1}, good},
         BASE_MISMATCH,
         "tensor 'optimizer.second' is F32 [176], expected F32 [177]"},
    };
    vit_tensor_file *golden = test_golden("training");
    vit_model *model = reference_model(golden);
    char *folder = test_folder_make();
    char *path = test_path(folder, "state.safetensors");

    bad[5] = INFINITY;
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) {
        base_error err = {0};
        vit_tensor state[4], all[3];
        vit_tensor_file *file = NULL;
        vit_optimizer *o = make(model, &cases[0].config);
        size_t count = 4;
        memcpy(all, usual, sizeof all);
        all[tried[i].which] = tried[i].tensor;
        must(vit_tensors_write(path, all, 3, NULL, 0, &err), &err);
        must(vit_tensors_open(&file, path, &err), &err);
        ck_assert_int_eq(vit_optimizer_restore(o, file, &err), tried[i].status);
        ck_assert_str_eq(err.text, tried[i].words);
        must(vit_optimizer_state(o, state, &count, &err), &err);
        ck_assert_uint_eq(count, 3);
        ck_assert_mem_eq(state[0].data, &(int64_t){0}, sizeof(int64_t));
        vit_tensors_close(file);
        vit_optimizer_destroy(o);
    }
    base_free(path);
    test_folder_remove(folder);
    vit_model_destroy(model);
    vit_tensors_close(golden);
}
END_TEST

/* Windows of the state are asked for in the order of the file. */
START_TEST(a_window_out_of_turn_is_refused)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    vit_optimizer *o = make(model, &cases[1].config);
    base_error err = {0};
    float window[2] = {7, 7};

    ck_assert_int_eq(
        vit_optimizer_fill(o, "optimizer.third", window, 0, sizeof window, &err),
        BASE_INTERNAL);
    ck_assert_str_eq(err.text, "the state's 'optimizer.third' was asked for out of turn");
    ck_assert_int_eq(
        vit_optimizer_fill(o, "optimizer.second", window, 0, sizeof window, &err),
        BASE_INTERNAL);
    ck_assert_str_eq(err.text, "the state's 'optimizer.second' was asked for out of turn");
    ck_assert_int_eq(
        vit_optimizer_fill(o, "optimizer.first", window, 4, sizeof window, &err),
        BASE_INTERNAL);
    ck_assert(window[0] == 7 && window[1] == 7);
    ck_assert_int_eq(vit_optimizer_follow(o, &err), BASE_OK); /* alone: nothing */
    vit_optimizer_destroy(o);
    vit_model_destroy(model);
}
END_TEST

/* Names and places of the state: a contract with files of before. */
START_TEST(the_state_has_its_tensors_in_order)
{
    static const struct {
        vit_optimizer_config config;
        const char *name[5];
    } known[] = {
        {{.kind = VIT_OPTIMIZER_SGD}, {"optimizer.step"}},
        {{.kind = VIT_OPTIMIZER_SGD, .ema = 0.5}, {"optimizer.step", "optimizer.ema"}},
        {{.kind = VIT_OPTIMIZER_SGD, .momentum = 0.5},
         {"optimizer.step", "optimizer.first"}},
        {{ADAM, .ema = 0.5},
         {"optimizer.step", "optimizer.first", "optimizer.second", "optimizer.ema"}},
    };
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        base_error err = {0};
        char words[96];
        vit_tensor state[4];
        vit_optimizer *o = make(model, &known[i].config);
        size_t count = 4, needed = 0;
        must(vit_optimizer_state(o, state, &count, &err), &err);
        while (known[i].name[needed])
            needed++;
        ck_assert_uint_eq(count, needed);
        for (size_t k = 0; k < count; k++) {
            ck_assert_str_eq(state[k].name, known[i].name[k]);
            ck_assert_str_eq(state[k].type, k > 0 ? "F32" : "I64");
            ck_assert_int_eq(state[k].rank, 1);
            ck_assert_uint_eq(state[k].shape[0], k > 0 ? vit_model_floats(model) : 1);
        }
        count = needed - 1;
        ck_assert_int_eq(vit_optimizer_state(o, state, &count, &err), BASE_MISMATCH);
        snprintf(words, sizeof words,
                 "the optimizer's state is %zu tensors, there is room for %zu", needed,
                 needed - 1);
        ck_assert_str_eq(err.text, words);
        vit_optimizer_destroy(o);
    }
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
                 "tensor 'optimizer.first' is F32 [177], expected F32 [698526]");
    test_refused(vit_optimizer_restore(averaged, file, &err), BASE_MISMATCH, &err,
                 "the state has no tensor 'optimizer.ema'");
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
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, decay_is_on_matrices_only);
    tcase_add_loop_test(core, steps_are_those_of_pytorch, 0, CASES);
    tcase_add_loop_test(core, state_goes_through_a_file_and_on_to_the_bit, 0, CASES);
    tcase_add_test(core, threads_do_not_change_a_bit);
    tcase_add_test(core, learning_rates_of_layers_are_timms);
    tcase_add_test(core, frozen_layers_do_not_move_by_a_bit);
    tcase_add_test(limits, a_gradient_that_is_not_finite_changes_nothing);
    tcase_add_test(limits, a_learning_rate_that_is_not_finite_changes_nothing);
    tcase_add_test(limits, impossible_settings_are_named);
    tcase_add_test(core, memory_is_that_of_the_blocks_that_are_kept);
    tcase_add_test(core, clipping_divides_by_the_norm_and_a_millionth);
    tcase_add_test(core, the_state_has_its_tensors_in_order);
    tcase_add_test(limits, a_window_out_of_turn_is_refused);
    tcase_add_test(limits, a_state_that_cannot_be_is_refused);
    tcase_add_test(limits, a_state_of_another_shape_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
