/* test_vit_vae.c - the autoencoder of experts: its losses by their formulas, its backward
 * pass against finite differences, its file. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "tests/test_folder.h"
#include "tests/test_run.h"
#include "vit/vae/vae.h"
#include "vit/vit.h"

enum { BATCH = 5, SIDE = 6, PIXELS = SIDE * SIDE, LATENT = 3, EXPERTS = 4 };

static const vit_step step = {.seed = 3, .step = 4, .first_sample = 10};
static const int32_t given[BATCH] = {2, 0, 2, 3, 1};
static float images[BATCH * PIXELS];
static base_error err;

static vit_vae_config config_of(void)
{
    vit_vae_config c = vit_vae_config_defaults();

    c.image = SIDE;
    c.hidden = 10;
    c.latent = LATENT;
    c.experts = EXPERTS;
    c.decoder = 7;
    c.beta = 0.7;
    c.balance = 0.4;
    c.sharpen = 0.3;
    return c;
}

static vit_vae *vae_of(const vit_vae_config *config)
{
    vit_vae *vae = NULL;
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, 0, 0, 0);

    ck_assert_msg(vit_vae_create(&vae, config, &err) == BASE_OK, "%s", err.text);
    vit_vae_init(vae, 7);
    for (size_t i = 0; i < vit_vae_floats(vae); i++) /* biases too */
        vit_vae_weights(vae)[i] += (float)(0.1 * base_rng_normal(&rng));
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        images[i] = (float)base_rng_uniform(&rng);
    return vae;
}

static vit_vae_run *run_of(const vit_vae *vae, bool training)
{
    vit_vae_run *run = NULL;

    ck_assert_msg(vit_vae_run_create(&run, vae, BATCH + 2, training, &err) == BASE_OK, "%s",
                  err.text);
    return run;
}

static vit_vae_losses pass_of(vit_vae_run *run, vit_vae_pass pass, const vit_step *sample)
{
    vit_vae_losses l = {0};

    ck_assert_msg(vit_vae_forward(run, &l, images, BATCH, pass, given, sample, &err) ==
                      BASE_OK,
                  "%s", err.text);
    return l;
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(losses_are_those_of_what_is_shown)
{
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, false);
    const vit_vae_losses l = pass_of(run, VIT_VAE_ALL, NULL);
    double squares = 0, entropy = 0;

    for (size_t i = 0; i < BATCH; i++) {
        double sum = 0;
        for (size_t j = 0; j < PIXELS; j++)
            squares += pow((double)vit_vae_pixels(run)[i * PIXELS + j] -
                               (double)images[i * PIXELS + j],
                           2) /
                       BATCH;
        for (size_t e = 0; e < EXPERTS; e++) {
            const double p = (double)vit_vae_gate(run)[i * EXPERTS + e];
            sum += p;
            entropy -= p * log(p) / BATCH;
            ck_assert_double_le(
                p, (double)vit_vae_gate(run)[i * EXPERTS + (size_t)vit_vae_expert(run)[i]]);
        }
        ck_assert_double_eq_tol(sum, 1.0, 1e-6);
    }
    ck_assert_double_eq_tol(l.squares, squares, 1e-5);
    ck_assert_double_eq_tol(l.entropy, entropy, 1e-6);
    ck_assert_double_gt(l.kl, 0);
    ck_assert_double_eq_tol(
        l.total, l.squares + c.beta * l.kl + c.balance * l.balance + c.sharpen * l.entropy,
        1e-9);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

/* Weights of zero: mean 0, log variance 0, equal gates, pixels of 1/2. */
START_TEST(a_network_of_zeros_is_the_prior)
{
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    memset(vit_vae_weights(vae), 0, vit_vae_floats(vae) * sizeof(float));
    vit_vae_run *run = run_of(vae, false);
    const vit_vae_losses l = pass_of(run, VIT_VAE_ALL, NULL);

    ck_assert_double_eq_tol(l.kl, 0.0, 1e-12);
    ck_assert_double_eq_tol(l.entropy, log(EXPERTS), 1e-6);
    ck_assert_double_eq_tol(l.balance, 1.0, 1e-6);
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        ck_assert_double_eq((double)vit_vae_pixels(run)[i], 0.5);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

/* The sum over all decoders is that of each decoder alone, weighted by the gate. */
START_TEST(all_decoders_are_each_alone_weighted)
{
    static float sum[BATCH * PIXELS], gate[BATCH * EXPERTS];
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, false);
    vit_vae_losses l;

    pass_of(run, VIT_VAE_BEST, &step);
    memcpy(gate, vit_vae_gate(run), sizeof gate);
    for (int32_t e = 0; e < EXPERTS; e++) {
        const int32_t same[BATCH] = {e, e, e, e, e};
        ck_assert_int_eq(
            vit_vae_forward(run, &l, images, BATCH, VIT_VAE_GIVEN, same, &step, NULL),
            BASE_OK);
        for (size_t i = 0; i < BATCH * PIXELS; i++)
            sum[i] += gate[i / PIXELS * EXPERTS + (size_t)e] * vit_vae_pixels(run)[i];
    }
    pass_of(run, VIT_VAE_ALL, &step);
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        ck_assert_double_eq_tol((double)vit_vae_pixels(run)[i], (double)sum[i], 1e-5);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

START_TEST(draws_belong_to_the_image)
{
    static float whole[BATCH * PIXELS];
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, false);
    const vit_step later = {.seed = 3, .step = 4, .first_sample = 12};
    vit_vae_losses l;

    pass_of(run, VIT_VAE_ALL, &step);
    memcpy(whole, vit_vae_pixels(run), sizeof whole);
    ck_assert_int_eq(
        vit_vae_forward(run, &l, images + 2 * PIXELS, 3, VIT_VAE_ALL, NULL, &later, NULL),
        BASE_OK);
    for (size_t i = 0; i < (size_t)3 * PIXELS; i++)
        ck_assert_double_eq_tol((double)vit_vae_pixels(run)[i],
                                (double)whole[2 * PIXELS + i], 1e-5);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

START_TEST(a_file_gives_the_same_network)
{
    char *folder = test_folder_make();
    char *path = base_text("%s/model.safetensors", folder);
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c), *back = NULL;
    const vit_pair note = {"note", "kept"};

    ck_assert_int_eq(vit_vae_save(vae, path, &note, 1, &err), BASE_OK);
    ck_assert_msg(vit_vae_load(&back, path, &err) == BASE_OK, "%s", err.text);
    ck_assert_mem_eq(vit_vae_config_of(back), &c, sizeof c);
    ck_assert_mem_eq(vit_vae_weights(back), vit_vae_weights(vae),
                     vit_vae_floats(vae) * sizeof(float));
    vit_vae_destroy(back);
    vit_vae_destroy(vae);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* ---- Against PyTorch (tests/reference/vae_torch.py) ---------------------------------- */

/* fp32 against double precision: sums of some tens of products. */
static const double golden_tolerance = 2e-5;

static const float *golden_of(const vit_tensor_file *file, const char *pass,
                              const char *name, size_t count)
{
    char full[128];
    size_t found = 1;

    snprintf(full, sizeof full, "%s%s", pass, name);
    const vit_tensor *t = vit_tensors_find(file, full);
    ck_assert_msg(t != NULL, "no tensor '%s'", full);
    for (int i = 0; i < t->rank; i++)
        found *= t->shape[i];
    ck_assert_uint_eq(found, count);
    return t->data;
}

static double number_of(const vit_tensor_file *file, const char *key)
{
    double value = 0;

    ck_assert_msg(base_parse_real(&value, vit_tensors_metadata(file, key)), "%s", key);
    return value;
}

static vit_vae *golden_vae(const vit_tensor_file *file)
{
    const vit_vae_config c = {.image = (int)number_of(file, "image"),
                              .channels = (int)number_of(file, "channels"),
                              .hidden = (int)number_of(file, "hidden"),
                              .latent = (int)number_of(file, "latent"),
                              .experts = (int)number_of(file, "experts"),
                              .decoder = (int)number_of(file, "decoder"),
                              .beta = number_of(file, "beta"),
                              .balance = number_of(file, "balance"),
                              .sharpen = number_of(file, "sharpen")};
    vit_vae *vae = NULL;

    ck_assert_msg(vit_vae_create(&vae, &c, &err) == BASE_OK, "%s", err.text);
    for (size_t i = 0; i < vit_vae_parameter_count(vae); i++) {
        const vit_parameter *p = vit_vae_parameter(vae, i);
        memcpy(vit_vae_weights(vae) + p->offset,
               golden_of(file, "weights/", p->name, p->count), p->count * sizeof(float));
    }
    return vae;
}

static void expect_close(const float *got, const float *want, size_t count,
                         const char *name)
{
    double most = 0, size = 0;

    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)got[i] - (double)want[i]));
        size = fmax(size, fabs((double)want[i]));
    }
    ck_assert_msg(most <= golden_tolerance * fmax(size, 0.1), "%s: error %g of %g", name,
                  most, size);
}

START_TEST(losses_and_gradients_are_those_of_pytorch)
{
    const char *pass = _i ? "given/" : "all/", *tests = getenv("VMOE_TESTS");
    char *path = base_text("%s/golden/vae.safetensors", tests ? tests : "tests");
    vit_tensor_file *file = NULL;
    vit_vae_run *run = NULL;
    vit_vae_losses l;
    char name[128];

    ck_assert_msg(vit_tensors_open(&file, path, &err) == BASE_OK, "%s", err.text);
    vit_vae *vae = golden_vae(file);
    const vit_tensor *pictures = vit_tensors_find(file, "images");
    const size_t batch = pictures->shape[0],
                 pixels = pictures->shape[1] * pictures->shape[2] * pictures->shape[3];
    const int64_t *chosen = vit_tensors_find(file, "expert")->data;
    int32_t expert[8] = {0};
    int64_t draw_seed = 0;
    for (size_t i = 0; i < batch; i++)
        expert[i] = (int32_t)chosen[i];
    ck_assert(base_parse_int(&draw_seed, vit_tensors_metadata(file, "draw_seed")));
    const vit_step sample = {.seed = (uint64_t)draw_seed,
                             .step = (uint64_t)number_of(file, "draw_step"),
                             .first_sample = (uint64_t)number_of(file, "draw_first")};
    ck_assert_int_eq(vit_vae_run_create(&run, vae, batch, true, NULL), BASE_OK);
    ck_assert_int_eq(vit_vae_forward(run, &l, pictures->data, batch,
                                     _i ? VIT_VAE_GIVEN : VIT_VAE_ALL, expert, &sample,
                                     NULL),
                     BASE_OK);
    expect_close(vit_vae_pixels(run), golden_of(file, pass, "pixels", batch * pixels),
                 batch * pixels, "pixels");
    const float found[] = {(float)l.squares, (float)l.kl, (float)l.balance,
                           (float)l.entropy, (float)l.total};
    expect_close(found, golden_of(file, pass, "losses", 5), 5, "losses");
    vit_vae_gradients_zero(run);
    ck_assert_int_eq(vit_vae_backward(run, 1, NULL), BASE_OK);
    for (size_t i = 0; i < vit_vae_parameter_count(vae); i++) {
        const vit_parameter *p = vit_vae_parameter(vae, i);
        snprintf(name, sizeof name, "grad/%s", p->name);
        expect_close(vit_vae_gradients(run) + p->offset,
                     golden_of(file, pass, name, p->count), p->count, name);
    }
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
    vit_tensors_close(file);
    base_free(path);
}
END_TEST

/* ---- Gradient ------------------------------------------------------------------------ */

/* Derivative along a random direction of each tensor; h leaves the rounding of a loss near
 * 10, 1e-6, over h, and h^2 of the third derivative. */
START_TEST(backward_equals_finite_differences)
{
    static const vit_vae_pass passes[] = {VIT_VAE_ALL, VIT_VAE_GIVEN, VIT_VAE_BEST};
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, true);
    float *w = vit_vae_weights(vae);

    vit_vae_gradients_zero(run);
    pass_of(run, passes[_i], &step);
    ck_assert_int_eq(vit_vae_backward(run, 1.5, &err), BASE_OK);
    for (size_t i = 0; i < vit_vae_parameter_count(vae); i++) {
        const vit_parameter *p = vit_vae_parameter(vae, i);
        const float *g = vit_vae_gradients(run) + p->offset;
        float saved[1024], direction[1024];
        base_rng rng = base_rng_make(9, BASE_PURPOSE_TEST, i, 0, 0);
        double norm = 0, expected = 0, value[2], size = 0;
        const double h = 2e-2;
        ck_assert_uint_le(p->count, 1024);
        for (size_t j = 0; j < p->count; j++) {
            direction[j] = (float)base_rng_normal(&rng);
            norm += (double)direction[j] * (double)direction[j];
            size += (double)g[j] * (double)g[j];
        }
        memcpy(saved, w + p->offset, p->count * sizeof *w);
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < p->count; j++)
                w[p->offset + j] =
                    (float)((double)saved[j] +
                            (side ? h : -h) * (double)direction[j] / sqrt(norm));
            value[side] = 1.5 * pass_of(run, passes[_i], &step).total;
        }
        memcpy(w + p->offset, saved, p->count * sizeof *w);
        for (size_t j = 0; j < p->count; j++)
            expected += (double)g[j] * (double)direction[j] / sqrt(norm);
        ck_assert_msg(fabs((value[1] - value[0]) / (2 * h) - expected) <=
                          5e-3 * sqrt(size / (double)p->count) + 5e-4,
                      "%s: finite difference %.6f, backward %.6f", p->name,
                      (value[1] - value[0]) / (2 * h), expected);
    }
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(what_cannot_be_is_refused)
{
    vit_vae_config c = config_of();
    vit_vae *vae = NULL, *good = vae_of(&c);
    vit_vae_run *run = run_of(good, false);
    vit_vae_losses l;
    const int32_t wrong[BATCH] = {0, 0, EXPERTS, 0, 0};

    c.experts = 0;
    ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "'vae.experts' is 0, expected 1 to 256"));
    c = config_of();
    c.channels = 2;
    ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_USAGE);
    ck_assert_int_eq(
        vit_vae_forward(run, &l, images, BATCH, VIT_VAE_GIVEN, wrong, NULL, &err),
        BASE_USAGE);
    ck_assert_int_eq(
        vit_vae_forward(run, &l, images, BATCH + 3, VIT_VAE_ALL, NULL, NULL, &err),
        BASE_USAGE);
    ck_assert_int_eq(vit_vae_backward(run, 1, &err), BASE_USAGE);
    ck_assert_int_eq(vit_vae_load(&vae, "/nowhere/model.safetensors", &err), BASE_IO);
    vit_vae_run_destroy(run);
    vit_vae_destroy(good);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_vae");
    TCase *core = tcase_create("Core"), *gradient = tcase_create("Gradient"),
          *limits = tcase_create("Limits");

    tcase_add_test(core, losses_are_those_of_what_is_shown);
    tcase_add_test(core, a_network_of_zeros_is_the_prior);
    tcase_add_test(core, all_decoders_are_each_alone_weighted);
    tcase_add_test(core, draws_belong_to_the_image);
    tcase_add_test(core, a_file_gives_the_same_network);
    tcase_add_loop_test(core, losses_and_gradients_are_those_of_pytorch, 0, 2);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, 3);
    tcase_add_test(limits, what_cannot_be_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
