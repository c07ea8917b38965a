/* test_vit_router_s2moe.c - router s2moe: the identities of routing.md 8, its contrast, and
 * its backward pass against finite differences. What it computes, against PyTorch:
 * test_vit_golden.c. */
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "tests/test_says.h"
#include "vit/routers/contrast_internal.h"
#include "vit/run_internal.h"

enum { LOGITS = SLOPE_BATCH * SLOPE_CLASSES };

static base_error err;

static void set(vit_config *config, const char *options)
{
    char text[256], *at = NULL;

    snprintf(text, sizeof text, "%s", options);
    for (char *word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        char *value = strchr(word, '=');
        *value++ = '\0';
        ck_assert_msg(vit_router_set(&config->moe.router, word, value, &err) == BASE_OK,
                      "%s", err.text);
    }
}

static vit_config config_of(const char *router, int k, const char *options)
{
    vit_config config = slope_config();

    config.moe.k = k;
    ck_assert_int_eq(vit_config_layers_set(&config, "0,2", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, NULL), BASE_OK);
    set(&config, options);
    return config;
}

/* A network of another router with the same values of the parameters that both have. */
static vit_model *twin(const vit_model *model, const vit_config *config)
{
    vit_model *other = slope_model(config);
    float *out = vit_model_weights(other);

    for (size_t i = 0; i < vit_model_parameter_count(other); i++) {
        const vit_parameter *p = vit_model_parameter(other, i);
        for (size_t j = 0; j < vit_model_parameter_count(model); j++) {
            const vit_parameter *q = vit_model_parameter(model, j);
            if (strcmp(p->name, q->name) == 0)
                memcpy(out + p->offset, vit_model_weights_const(model) + q->offset,
                       p->count * sizeof *out);
        }
    }
    return other;
}

static void logits_of(float *out, const vit_model *model, vit_mode mode, size_t from,
                      size_t count)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    vit_run *run = NULL;

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, mode, VIT_PRECISION_FP32, NULL), BASE_OK);
    ck_assert_int_eq(
        vit_run_forward(run, out, images + from * SLOPE_FLOATS, count,
                        &(vit_step){.seed = 3, .step = 4, .first_sample = from}, NULL),
        BASE_OK);
    vit_run_destroy(run);
}

static double distance(const float *a, const float *b, size_t count)
{
    double most = 0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(without_noise_training_is_that_of_softmax)
{
    const vit_config two = config_of("s2moe", 2, "sd=0 mu=0"),
                     one = config_of("softmax", 2, "");
    float a[LOGITS], b[LOGITS];
    vit_model *model = slope_model(&two), *plain = twin(model, &one);

    logits_of(a, model, VIT_MODE_TRAIN, 0, SLOPE_BATCH);
    logits_of(b, plain, VIT_MODE_TRAIN, 0, SLOPE_BATCH);
    ck_assert_double_le(distance(a, b, LOGITS), 1e-5);
    vit_model_destroy(model);
    vit_model_destroy(plain);
}
END_TEST

START_TEST(evaluation_is_that_of_softmax_to_the_bit)
{
    const vit_config two = config_of("s2moe", 2, ""), one = config_of("softmax", 2, "");
    float a[LOGITS], b[LOGITS];
    vit_model *model = slope_model(&two), *plain = twin(model, &one);

    for (int mode = VIT_MODE_INFER; mode < VIT_MODE_TRAIN; mode++) {
        logits_of(a, model, (vit_mode)mode, 0, SLOPE_BATCH);
        logits_of(b, plain, (vit_mode)mode, 0, SLOPE_BATCH);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    logits_of(a, model, VIT_MODE_TRAIN, 0,
              SLOPE_BATCH); /* and the noise is at work there */
    ck_assert_double_ge(distance(a, b, LOGITS), 1e-2);
    vit_model_destroy(model);
    vit_model_destroy(plain);
}
END_TEST

/* An image's noise is its own: it comes out of a part of the batch as out of the whole. */
START_TEST(noise_belongs_to_the_image)
{
    const vit_config config = config_of("s2moe", 2, _i ? "view_routing=own" : "");
    float whole[LOGITS], part[LOGITS];
    vit_model *model = slope_model(&config);

    logits_of(whole, model, VIT_MODE_TRAIN, 0, SLOPE_BATCH);
    logits_of(part, model, VIT_MODE_TRAIN, 2, 3);
    ck_assert_double_le(
        distance(whole + 2 * SLOPE_CLASSES, part, (size_t)3 * SLOPE_CLASSES), 1e-5);
    vit_model_destroy(model);
}
END_TEST

/* One expert of two, with the gate of a renormalised choice of one. */
START_TEST(evaluation_may_use_fewer_experts)
{
    const vit_config config = config_of("s2moe", 2, "eval_k=1");
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float logits[LOGITS];
    vit_model *model = slope_model(&config);
    vit_run *run = NULL;
    const vit_config full = config_of("s2moe", 2, "");
    vit_model *usual = slope_model(&full);

    ck_assert_int_eq(vit_config_eval_k(&config), 1);
    ck_assert_int_eq(vit_config_eval_k(&full), 2);
    ck_assert_double_lt(vit_model_flops(model), vit_model_flops(usual));
    ck_assert_uint_lt(vit_model_active_floats(model), vit_model_active_floats(usual));
    vit_model_destroy(usual);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    ck_assert_int_eq(
        vit_run_forward(run, logits, images, SLOPE_BATCH, &(vit_step){0}, NULL), BASE_OK);
    for (size_t i = 0; i < 2; i++) {
        const vit_routing r = vit_run_routing(run, i);
        ck_assert_uint_eq(r.count, r.tokens);
        for (size_t t = 0; t < r.tokens; t++) {
            size_t best = 0;
            for (size_t e = 1; e < r.experts; e++)
                if (r.probs[t * r.experts + e] > r.probs[t * r.experts + best])
                    best = e;
            ck_assert_uint_eq(r.expert[t], best);
            ck_assert_double_eq((double)r.gate[t], 1.0);
        }
    }
    ck_assert_int_eq(vit_run_capacity_set(run, 1.0, false, NULL), BASE_OK);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- Contrast ------------------------------------------------------------------------ */

enum { ROWS = 11, WIDTH = 7 };

typedef struct contrast_rig {
    vit_contrast_shape shape;
    vit_contrast kept;
    vit_exec exec;
    void *memory;
    float a[ROWS * WIDTH], b[ROWS * WIDTH];
} contrast_rig;

static contrast_rig rig_open(size_t rows, size_t group)
{
    contrast_rig rig = {
        .shape = {.rows = rows, .group = group, .width = WIDTH, .temp = 0.7}};
    base_arena arena = {0};

    vit_contrast_plan(&rig.kept, &arena, &rig.shape);
    rig.memory = base_alloc(arena.used, 1);
    arena = (base_arena){.at = rig.memory, .bytes = arena.used};
    vit_contrast_plan(&rig.kept, &arena, &rig.shape);
    slope_fill(rig.a, ROWS * WIDTH, 30);
    slope_fill(rig.b, ROWS * WIDTH, 31);
    return rig;
}

START_TEST(equal_rows_give_the_logarithm_of_their_number)
{
    static const size_t group[] = {ROWS, 4, 1};
    contrast_rig rig = rig_open(ROWS, group[_i]);
    double expected = 0;

    for (size_t i = 0; i < ROWS * WIDTH; i++)
        rig.a[i] = rig.b[i] = rig.a[i % WIDTH];
    for (size_t i = 0; i < ROWS; i++) {
        const size_t first = i / group[_i] * group[_i];
        const size_t n = ROWS - first < group[_i] ? ROWS - first : group[_i];
        expected += log((double)n) / ROWS;
    }
    ck_assert_double_eq_tol(
        vit_contrast_forward(&rig.kept, &rig.exec, rig.a, rig.b, NULL, &rig.shape),
        expected, 1e-6);
    base_free(rig.memory);
}
END_TEST

/* The loss in double precision, written down as it stands in the design. */
static double contrast_of(const contrast_rig *rig, const uint32_t *row)
{
    const size_t s = rig->shape.rows, n = rig->shape.group;
    double loss = 0;

    for (size_t i = 0; i < s; i++) {
        double sum = 0, own = 0;
        for (size_t j = i / n * n; j < s && j < i / n * n + n; j++) {
            const float *a = rig->a + (row ? row[i] : i) * WIDTH;
            const float *b = rig->b + (row ? row[j] : j) * WIDTH;
            double dot = 0, aa = 0, bb = 0;
            for (size_t c = 0; c < WIDTH; c++) {
                dot += (double)a[c] * (double)b[c];
                aa += (double)a[c] * (double)a[c];
                bb += (double)b[c] * (double)b[c];
            }
            const double l = aa > 0 && bb > 0 ? dot / sqrt(aa * bb) / rig->shape.temp : 0.0;
            sum += exp(l);
            own = i == j ? l : own;
        }
        loss += (log(sum) - own) / (double)s;
    }
    return loss;
}

/* All rows in one group, groups of which the last is smaller, a few rows of more; a row of
 * zeros. */
START_TEST(contrast_and_its_gradient_are_those_of_the_formula)
{
    static const size_t rows[] = {ROWS, ROWS, 5, ROWS}, group[] = {ROWS, 4, 5, ROWS};
    static const uint32_t few[] = {9, 2, 7, 0, 4};
    const uint32_t *row = _i == 2 ? few : NULL;
    contrast_rig rig = rig_open(rows[_i], group[_i]);
    float d_a[ROWS * WIDTH] = {0}, d_b[ROWS * WIDTH] = {0};
    const size_t zero = 3;

    if (_i == 3)
        memset(rig.a + zero * WIDTH, 0, WIDTH * sizeof *rig.a);
    ck_assert_double_eq_tol(
        vit_contrast_forward(&rig.kept, &rig.exec, rig.a, rig.b, row, &rig.shape),
        contrast_of(&rig, row), 1e-6);
    vit_contrast_backward(&rig.kept, &rig.exec, d_a, d_b, row, 1.7, &rig.shape);
    for (size_t i = 0; i < 2 * ROWS * WIDTH; i++) {
        float *at = i < ROWS * WIDTH ? rig.a + i : rig.b + i - ROWS * WIDTH;
        const float saved = *at, h = 1e-2f;
        const double got = (double)(i < ROWS * WIDTH ? d_a[i] : d_b[i - ROWS * WIDTH]);
        if (_i == 3 && i / WIDTH == zero) { /* no direction: nothing to learn */
            ck_assert_double_eq(got, 0.0);
            continue;
        }
        *at = saved + h;
        const double up = contrast_of(&rig, row), far = (double)*at;
        *at = saved - h;
        const double slope = (up - contrast_of(&rig, row)) / (far - (double)*at);
        *at = saved;
        ck_assert_double_eq_tol(got, 1.7 * slope, 2e-5);
    }
    base_free(rig.memory);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

/* statistics=none: those of the image are constants of the backward pass, not of the
 * forward one. */
static const struct {
    int k;
    const char *options;
    double capacity, drop_path;
} nets[] = {
    {2, "statistics=none sd=0.4 mu=0.2 uncertainty=0.8", 0, 0},
    {2, "statistics=none sd=0.4 mu=0.2 uncertainty=0.8 contrast_scope=image temp=0.5", 0,
     0},
    {2, "statistics=none sd=0.3 mu=0 uncertainty=0.8 contrast=inputs z=0.1", 0, 0.3},
    {2, "statistics=none sd=0.3 uncertainty=0.8 contrast_tokens=16 gate=prob", 0, 0},
    {1, "statistics=none sd=0.3 mu=0.1 uncertainty=0", 0, 0},
    {2, "statistics=none sd=0.1 mu=0.1 view_routing=own balance=0.2", 0, 0},
    {2, "statistics=none sd=0.3 mu=0.1 uncertainty=0.8", 0.75, 0.3},
};
enum { NETS = sizeof nets / sizeof nets[0] };

START_TEST(backward_equals_finite_differences)
{
    vit_config config = config_of("s2moe", nets[_i].k, nets[_i].options);
    vit_run *run = NULL;

    config.moe.capacity = nets[_i].capacity;
    config.moe.group_images = 4;
    config.drop_path = nets[_i].drop_path;
    vit_model *model = slope_model(&config);
    ck_assert_int_eq(
        vit_run_create(&run, model, SLOPE_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    slope_check_all(run, model, nets[_i].options);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(as_many_experts_in_evaluation_as_in_training_are_refused)
{
    const vit_config config = config_of("s2moe", 2, "eval_k=2");

    ck_assert_int_eq(vit_config_check(&config, &err), BASE_USAGE);
    test_says(err.text,
              "'router.eval_k' is 2 with router.k 2, expected less than router.k, or 0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_s2moe");
    TCase *core = test_case_of_threads("Core"),
          *contrast = test_case_of_threads("Contrast");
    TCase *gradient = test_case_of_threads("Gradient"),
          *limits = test_case_of_threads("Limits");

    tcase_add_test(core, without_noise_training_is_that_of_softmax);
    tcase_add_test(core, evaluation_is_that_of_softmax_to_the_bit);
    tcase_add_loop_test(core, noise_belongs_to_the_image, 0, 2);
    tcase_add_test(core, evaluation_may_use_fewer_experts);
    tcase_add_loop_test(contrast, equal_rows_give_the_logarithm_of_their_number, 0, 3);
    tcase_add_loop_test(contrast, contrast_and_its_gradient_are_those_of_the_formula, 0, 4);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, NETS);
    tcase_add_test(limits, as_many_experts_in_evaluation_as_in_training_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, contrast);
    suite_add_tcase(suite, gradient);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
