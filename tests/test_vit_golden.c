/* test_vit_golden.c - the whole network against PyTorch in double precision. The numbers
 * lie in tests/golden/, made by tests/reference/make_golden.py (an independent
 * implementation; gradients by autograd, those of Sinkhorn plans by unrolling). Free to
 * add: cases, one line in files[]. */
#include <math.h>
#include <string.h>

#include "test_run.h"
#include "vit/model_internal.h"
#include "vit/vit.h"
#include "tests/test_leaks.h"

/* The project promises 1e-4 and 1e-3 for fp32 against any other implementation; on these
 * small networks 8.3e-7 and 1.5e-6 were seen, so a term that is missing somewhere shows. */
static const double logit_tolerance = 1e-5;
static const double gradient_tolerance = 3e-5; /* relative, norm-wise, per tensor */
static const double loss_tolerance = 1e-5;     /* relative: f32 logits, sums in double */

/* bf16 keeps 8 bits: 0.4 % for each factor of a product (seen: 0.006 and 0.016). Dense
 * networks only, where no choice of experts can tip over. */
static const double bf16_logit_tolerance = 0.05;
static const double bf16_gradient_tolerance = 0.05;

enum { PLANNED_BATCH = 5 }; /* more than the files have: a run must take smaller batches */

static const char *const files[] = {
    "dense_token",  /* class token, GELU erf */
    "dense_gap",    /* mean over tokens, GELU tanh, one channel, sigmoid loss */
    "k1_prob",      /* Switch: one expert, balance and z-loss; sincos positions */
    "k2_renorm",    /* two experts, renormalised gates, balance loss; three channels */
    "k2_prob",      /* every block sparse, groups of two images, balance over all choices */
    "capacity",     /* assignments dropped in token order */
    "capacity_bpr", /* by priority, groups, no rounding of C */
    "vmoe",         /* noise, importance and load losses */
    "sinkhorn_k1",  /* plan for selection, sigmoid gates */
    "ssr_linear",   /* exact gradient through the plan */
    "ssr_softmax",  /* the same on probabilities, noise on the cost */
    "ssr_k1",       /* gate = entry of the plan */
    "ssr_group",    /* a plan for each group, capacity by priority */
    "ssr_frozen",   /* potentials held constant, three experts */
    "ssr_plain",    /* a step without Sinkhorn, noise on the logits */
    "momentum",     /* heavy ball carried over a dense block */
    "adam",         /* Adam's step at the first MoE layer, heavy ball at the second */
    "robust_momentum",  /* the layer reads the stream ahead of where it is */
    "similarity",       /* probabilities of similar tokens, groups of two images */
    "similarity_logit", /* logits, a learned matrix between the tokens */
    "attention",        /* probabilities of attended tokens, every block sparse */
    "attention_k1",     /* logits, detached, one expert */
    "sinkhorn_ot",      /* twenty iterations, each image on its own, clean weights */
    "sinkhorn_ot_plan", /* entries of the plan, learned through it, groups of two images */
    "usmoe",            /* the best pairs of each image */
    "usmoe_divide",     /* over the row sum, fewer pairs in evaluation */
    "expert_choice",    /* experts take tokens of each image, noise */
    "expert_choice_group", /* of two images, rounded up to a multiple of 4 */
    "s2moe",               /* two views, contrast of the experts' results over the batch */
    "s2moe_own",           /* the noisy view routed anew, contrast within the images */
    "s2moe_inputs",        /* one expert, contrast of the inputs, capacity, fixed noise */
    "xmoe",                /* cosine, learned temperature, two dimensions */
    "xmoe_code",           /* tokens not normalised, sigmoid gates, balance over groups */
};
enum { FILE_COUNT = sizeof files / sizeof files[0], DENSE_COUNT = 2 };

/* One golden file and the network that it describes. */
typedef struct golden {
    vit_tensor_file *file;
    vit_model *model;
    vit_loss loss;
    vit_step step;
    size_t batch;
    size_t classes;
    size_t pixels; /* floats of the whole batch */
} golden;

static void must(base_status status, const base_error *err)
{
    ck_assert_msg(status == BASE_OK, "%s", err->text);
}

/* [count] floats of an F32 tensor. Borrowed from the file. */
static const float *numbers(const golden *g, const char *name, size_t count)
{
    const vit_tensor *t = vit_tensors_find(g->file, name);
    size_t found = 1;

    ck_assert_msg(t != NULL, "no tensor '%s'", name);
    for (int i = 0; i < t->rank; i++)
        found *= t->shape[i];
    ck_assert_str_eq(t->type, "F32");
    ck_assert_uint_eq(found, count);
    return t->data;
}

/* BF16 is the upper half of a float. */
static void weights_copy(float *out, const vit_tensor *t, const vit_parameter *p)
{
    ck_assert_msg(t != NULL, "no tensor 'weights/%s'", p->name);
    ck_assert_str_eq(t->type, "BF16");
    ck_assert_int_eq(t->rank, p->rank);
    for (int i = 0; i < p->rank; i++)
        ck_assert_uint_eq(t->shape[i], p->shape[i]);
    for (size_t i = 0; i < p->count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)t->data + 2 * i, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static uint64_t metadata_number(const golden *g, const char *key)
{
    int64_t value = 0;

    ck_assert(base_parse_int(&value, vit_tensors_metadata(g->file, key)));
    return (uint64_t)value;
}

static golden golden_open(const char *name)
{
    base_error err = {0};
    golden g = {0};
    vit_config config;
    char **labels = NULL;
    char full[128];
    const char *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/golden/%s.safetensors", tests ? tests : "tests", name);

    must(vit_tensors_open(&g.file, path, &err), &err);
    base_free(path);
    must(vit_config_from_json(&config, &labels, vit_tensors_metadata(g.file, "config"),
                              &err),
         &err);
    ck_assert_ptr_null(labels);
    must(vit_model_create(&g.model, &config, &err), &err);
    for (size_t i = 0; i < vit_model_parameter_count(g.model); i++) {
        const vit_parameter *p = vit_model_parameter(g.model, i);
        snprintf(full, sizeof full, "weights/%s", p->name);
        weights_copy(vit_model_weights(g.model) + p->offset, vit_tensors_find(g.file, full),
                     p);
    }
    const char *loss = vit_tensors_metadata(g.file, "loss");
    g.loss = strcmp(loss, "sigmoid") == 0 ? VIT_LOSS_SIGMOID : VIT_LOSS_SOFTMAX;
    g.step.seed = metadata_number(&g, "draw_seed");
    g.step.step = metadata_number(&g, "draw_step");
    g.batch = vit_tensors_find(g.file, "images")->shape[0];
    g.classes = (size_t)config.classes;
    g.pixels =
        g.batch * (size_t)config.channels * (size_t)config.image * (size_t)config.image;
    return g;
}

static void golden_close(golden *g)
{
    vit_model_destroy(g->model);
    vit_tensors_close(g->file);
}

static double largest_difference(const float *a, const float *b, size_t count)
{
    double worst = 0.0;

    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        worst = d <= worst ? worst : d; /* NaN wins */
    }
    return worst;
}

/* |a - b| / |b| over the whole tensor; |a - b| where the reference is all but zero. */
static double relative_difference(const float *a, const float *b, size_t count)
{
    double difference = 0.0, size = 0.0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        difference += d * d;
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(difference) / (size > 1e-12 ? sqrt(size) : 1.0);
}

static void check_logits(const golden *g, const float *logits, const char *name,
                         double tolerance)
{
    const float *want = numbers(g, name, g->batch * g->classes);
    const double d = largest_difference(logits, want, g->batch * g->classes);

    ck_assert_msg(d < tolerance, "%s differs by %g", name, d);
}

static void check_gradient(const float *got, const float *want, size_t count,
                           const char *name, double tolerance)
{
    const double d = relative_difference(got, want, count);

    ck_assert_msg(d < tolerance, "%s differs by %g of its norm", name, d);
}

/* All gradients of parameters, times: how many backward passes were added up. */
static void check_gradients(const golden *g, const float *gradients, float times,
                            double tolerance)
{
    float *scaled = base_alloc(vit_model_floats(g->model), sizeof *scaled);
    char full[128];

    for (size_t i = 0; i < vit_model_floats(g->model); i++)
        scaled[i] = gradients[i] / times;
    for (size_t i = 0; i < vit_model_parameter_count(g->model); i++) {
        const vit_parameter *p = vit_model_parameter(g->model, i);
        snprintf(full, sizeof full, "grad/%s", p->name);
        check_gradient(scaled + p->offset, numbers(g, full, p->count), p->count, full,
                       tolerance);
    }
    base_free(scaled);
}

/* Forward, loss and backward into d_images (may be NULL). Returns the task loss. */
static double pass(const golden *g, vit_run *run, float *logits, float *d_images)
{
    base_error err = {0};
    float *d_logits = base_alloc(g->batch * g->classes, sizeof *d_logits);
    const float *targets = numbers(g, "targets", g->batch * g->classes);

    must(vit_run_forward(run, logits, numbers(g, "images", g->pixels), g->batch, &g->step,
                         &err),
         &err);
    const double loss = vit_loss_compute(g->loss, d_logits, NULL, logits, targets, g->batch,
                                         g->classes, 1.0);
    must(vit_run_backward(run, d_images, d_logits, &err), &err);
    base_free(d_logits);
    return loss;
}

static void check_number(double got, const float *want, const char *name)
{
    const double d = fabs(got - (double)*want);

    ck_assert_msg(d <= loss_tolerance * fmax(1.0, fabs((double)*want)),
                  "%s is %.9g, expected %.9g", name, got, (double)*want);
}

START_TEST(training_pass_agrees_with_pytorch)
{
    base_error err = {0};
    vit_run *run = NULL;
    golden g = golden_open(files[_i]);
    float *logits = base_alloc(g.batch * g.classes, sizeof *logits);
    float *d_images = base_alloc(g.pixels, sizeof *d_images);

    must(vit_run_create(&run, g.model, PLANNED_BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32,
                        &err),
         &err);
    vit_run_gradients_zero(run);
    const double loss = pass(&g, run, logits, d_images);
    check_logits(&g, logits, "train/logits", logit_tolerance);
    check_number(loss, numbers(&g, "train/loss", 1), "loss");
    check_number(vit_run_aux_loss(run), numbers(&g, "train/aux", 1), "auxiliary loss");
    check_gradients(&g, vit_run_gradients(run), 1.0F, gradient_tolerance);
    check_gradient(d_images, numbers(&g, "train/d_images", g.pixels), g.pixels, "d_images",
                   gradient_tolerance);

    /* once more: backward adds into the gradients, d_images is not needed */
    pass(&g, run, logits, NULL);
    check_logits(&g, logits, "train/logits", logit_tolerance);
    check_gradients(&g, vit_run_gradients(run), 2.0F, gradient_tolerance);
    vit_run_destroy(run);
    base_free(d_images);
    base_free(logits);
    golden_close(&g);
}
END_TEST

/* Nothing to see on a processor without bf16 instructions. */
START_TEST(bf16_pass_is_near_pytorch)
{
    base_error err = {0};
    vit_run *run = NULL;
    golden g = golden_open(files[_i]);
    float *logits = base_alloc(g.batch * g.classes, sizeof *logits);
    float *d_images = base_alloc(g.pixels, sizeof *d_images);

    if (vit_bf16_available()) {
        must(vit_run_create(&run, g.model, g.batch, VIT_MODE_TRAIN, VIT_PRECISION_BF16,
                            &err),
             &err);
        vit_run_gradients_zero(run);
        pass(&g, run, logits, d_images);
        check_logits(&g, logits, "train/logits", bf16_logit_tolerance);
        check_gradients(&g, vit_run_gradients(run), 1.0F, bf16_gradient_tolerance);
        check_gradient(d_images, numbers(&g, "train/d_images", g.pixels), g.pixels,
                       "d_images", bf16_gradient_tolerance);
    }
    vit_run_destroy(run);
    base_free(d_images);
    base_free(logits);
    golden_close(&g);
}
END_TEST

START_TEST(evaluation_agrees_with_pytorch)
{
    base_error err = {0};
    vit_run *run = NULL;
    golden g = golden_open(files[_i]);
    float *logits = base_alloc(g.batch * g.classes, sizeof *logits);

    must(vit_run_create(&run, g.model, PLANNED_BATCH, VIT_MODE_INFER, VIT_PRECISION_FP32,
                        &err),
         &err);
    must(vit_run_forward(run, logits, numbers(&g, "images", g.pixels), g.batch,
                         &(vit_step){0}, &err),
         &err);
    check_logits(&g, logits, "infer/logits", logit_tolerance);
    ck_assert_ptr_null(vit_run_gradients(run));
    vit_run_destroy(run);
    base_free(logits);
    golden_close(&g);
}
END_TEST

START_TEST(input_gradient_agrees_with_pytorch)
{
    base_error err = {0};
    vit_run *run = NULL;
    golden g = golden_open(files[_i]);
    float *logits = base_alloc(g.batch * g.classes, sizeof *logits);
    float *d_images = base_alloc(g.pixels, sizeof *d_images);

    must(vit_run_create(&run, g.model, g.batch, VIT_MODE_INPUT_GRADIENT, VIT_PRECISION_FP32,
                        &err),
         &err);
    pass(&g, run, logits, d_images);
    check_logits(&g, logits, "infer/logits", logit_tolerance);
    check_gradient(d_images, numbers(&g, "infer/d_images", g.pixels), g.pixels, "d_images",
                   gradient_tolerance);
    ck_assert_ptr_null(vit_run_gradients(run));
    vit_run_destroy(run);
    base_free(d_images);
    base_free(logits);
    golden_close(&g);
}
END_TEST

/* Whether experts are shared out among the images of a group, in evaluation too. */
static bool sees_the_batch(const vit_config *config)
{
    const vit_router_config *router = &config->moe.router;
    const bool always = strcmp(router->name, "sinkhorn-ot") == 0 ||
                        strcmp(router->name, "expert-choice") == 0;
    char scope[16];

    vit_router_get(router, "scope", scope, sizeof scope);
    return config->moe.eval_capacity > 0 || (always && strcmp(scope, "image") != 0);
}

/* Without capacity limits an image's logits do not depend on its neighbours. */
START_TEST(one_image_alone_gives_the_same_logits)
{
    base_error err = {0};
    vit_run *run = NULL;
    golden g = golden_open(files[_i]);
    float *logits = base_alloc(g.batch * g.classes, sizeof *logits);
    const size_t pixels = g.pixels / g.batch;

    if (!sees_the_batch(vit_model_config(g.model))) {
        must(vit_run_create(&run, g.model, 1, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
             &err);
        for (size_t b = 0; b < g.batch; b++)
            must(vit_run_forward(run, logits + b * g.classes,
                                 numbers(&g, "images", g.pixels) + b * pixels, 1,
                                 &(vit_step){0}, &err),
                 &err);
        check_logits(&g, logits, "infer/logits", logit_tolerance);
    }
    vit_run_destroy(run);
    base_free(logits);
    golden_close(&g);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("vit golden");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, evaluation_agrees_with_pytorch, 0, FILE_COUNT);
    tcase_add_loop_test(limits, one_image_alone_gives_the_same_logits, 0, FILE_COUNT);
    tcase_add_loop_test(gradient, training_pass_agrees_with_pytorch, 0, FILE_COUNT);
    tcase_add_loop_test(gradient, input_gradient_agrees_with_pytorch, 0, FILE_COUNT);
    tcase_add_loop_test(gradient, bf16_pass_is_near_pytorch, 0, DENSE_COUNT);
    suite_add_tcase(s, core);
    suite_add_tcase(s, limits);
    suite_add_tcase(s, gradient);
    return s;
}

int main(void)
{
    return test_run(suite());
}
