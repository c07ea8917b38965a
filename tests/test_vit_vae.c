/* test_vit_vae.c - the autoencoder of experts: its losses by their formulas, its backward
 * pass against finite differences, its file. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
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

START_TEST(what_is_not_said_is_as_documented)
{
    const vit_vae_config c = vit_vae_config_defaults();

    ck_assert(c.image == 28 && c.channels == 1 && c.hidden == 256 && c.latent == 16);
    ck_assert(c.experts == 7 && c.decoder == 64 && c.beta == 1);
    ck_assert(c.balance == 0 && c.sharpen == 0);
}
END_TEST

/* Names, shapes and decay: a contract with files of before. */
START_TEST(tensors_have_their_names_and_laws)
{
    static const struct {
        const char *name;
        size_t shape[4];
        int rank;
        bool decay;
    } known[] = {
        {"encoder.fc1.weight", {10, 3 * PIXELS}, 2, true},
        {"encoder.fc1.bias", {10}, 1, false},
        {"encoder.fc2.weight", {2 * LATENT, 10}, 2, true},
        {"encoder.fc2.bias", {2 * LATENT}, 1, false},
        {"gate.weight", {EXPERTS, LATENT}, 2, true},
        {"experts.fc1.weight", {EXPERTS, 7, LATENT}, 3, true},
        {"experts.fc1.bias", {EXPERTS, 7}, 2, false},
        {"experts.fc2.weight", {EXPERTS, 3 * PIXELS, 7}, 3, true},
        {"experts.fc2.bias", {EXPERTS, 3 * PIXELS}, 2, false},
    };
    vit_vae_config c = config_of();
    vit_vae *vae = NULL, *other = NULL;
    size_t at = 0;

    c.channels = 3;
    ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_OK);
    ck_assert_int_eq(vit_vae_create(&other, &c, &err), BASE_OK);
    vit_vae_init(vae, 7);
    vit_vae_init(other, 8);
    ck_assert_uint_eq(vit_vae_parameter_count(vae), sizeof known / sizeof known[0]);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const vit_parameter *p = vit_vae_parameter(vae, i);
        const float *w = vit_vae_weights(vae) + p->offset;
        const float *v = vit_vae_weights(other) + p->offset;
        double squares = 0;
        ck_assert_str_eq(p->name, known[i].name);
        ck_assert_int_eq(p->rank, known[i].rank);
        ck_assert_mem_eq(p->shape, known[i].shape, sizeof p->shape);
        ck_assert(p->decay == known[i].decay && !p->state);
        ck_assert_uint_eq(p->offset, at);
        at += p->count;
        for (size_t j = 0; j < p->count; j++)
            squares += (double)w[j] * (double)w[j];
        if (!p->decay) {
            ck_assert(squares == 0);
            continue;
        }
        /* LeCun: variance 1 / fan_in; some tens of draws at least */
        const double n = (double)p->count, fan_in = (double)p->shape[p->rank - 1];
        ck_assert_msg(fabs(squares * fan_in / n - 1) < 5 * sqrt(2 / n), "%s: %g", p->name,
                      squares * fan_in / n);
        ck_assert(memcmp(w, v, p->count * sizeof *w) != 0);
        if (p->rank == 3) /* each expert has its own */
            ck_assert(memcmp(w, w + p->count / EXPERTS, p->count / EXPERTS * sizeof *w));
    }
    ck_assert_uint_eq(vit_vae_floats(vae), at);
    vit_vae_destroy(other);
    vit_vae_destroy(vae);
}
END_TEST

/* What a pass shows: errors of each image, means, the best decoder, which alone is that of
 * VIT_VAE_BEST; routing by labels has no losses of the gate. */
START_TEST(a_pass_shows_what_it_did)
{
    static float best[BATCH * PIXELS], latent[BATCH * LATENT];
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, false);
    int32_t expert[BATCH];

    pass_of(run, VIT_VAE_BEST, NULL);
    for (size_t i = 0; i < BATCH; i++) {
        const float *gate = vit_vae_gate(run) + i * EXPERTS;
        double sum = 0;
        expert[i] = 0;
        for (int32_t e = 1; e < EXPERTS; e++)
            expert[i] = gate[e] > gate[expert[i]] ? e : expert[i];
        ck_assert_int_eq(vit_vae_expert(run)[i], expert[i]);
        for (size_t j = 0; j < PIXELS; j++)
            sum += pow((double)vit_vae_pixels(run)[i * PIXELS + j] -
                           (double)images[i * PIXELS + j],
                       2);
        ck_assert_double_eq_tol(vit_vae_errors(run)[i], sum, 1e-6);
    }
    memcpy(best, vit_vae_pixels(run), sizeof best);
    memcpy(latent, vit_vae_latent(run), sizeof latent);
    vit_vae_losses l;
    ck_assert_int_eq(
        vit_vae_forward(run, &l, images, BATCH, VIT_VAE_GIVEN, expert, NULL, NULL),
        BASE_OK);
    ck_assert_mem_eq(vit_vae_pixels(run), best, sizeof best);
    l = pass_of(run, VIT_VAE_GIVEN, &step);
    ck_assert_mem_eq(vit_vae_expert(run), given, sizeof given);
    ck_assert_mem_eq(vit_vae_latent(run), latent, sizeof latent); /* means, not draws */
    ck_assert(l.entropy == 0 && l.balance == 0);
    ck_assert_double_eq_tol(l.total, l.squares + c.beta * l.kl, 1e-9);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

/* KL and balance by their formulas, from what is shown: KL of means alone when the
 * variances are 1. */
START_TEST(divergence_and_balance_by_hand)
{
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    const vit_parameter *fc2 = vit_vae_parameter(vae, 2), *bias = vit_vae_parameter(vae, 3);
    double kl = 0, balance = 0, share[EXPERTS] = {0};

    /* log variances of 0.5 whatever the image */
    memset(vit_vae_weights(vae) + fc2->offset + (size_t)LATENT * 10, 0,
           (size_t)LATENT * 10 * sizeof(float));
    for (size_t j = LATENT; j < 2 * LATENT; j++)
        vit_vae_weights(vae)[bias->offset + j] = 0.5f;
    vit_vae_run *run = run_of(vae, false);
    const vit_vae_losses l = pass_of(run, VIT_VAE_ALL, NULL);
    for (size_t i = 0; i < BATCH; i++) {
        share[vit_vae_expert(run)[i]] += 1. / BATCH;
        for (size_t j = 0; j < LATENT; j++)
            kl +=
                0.5 *
                (pow((double)vit_vae_latent(run)[i * LATENT + j], 2) + exp(0.5) - 1 - 0.5) /
                BATCH;
    }
    for (size_t i = 0; i < BATCH; i++)
        for (size_t e = 0; e < EXPERTS; e++)
            balance +=
                EXPERTS * share[e] * (double)vit_vae_gate(run)[i * EXPERTS + e] / BATCH;
    ck_assert_double_eq_tol(l.kl, kl, 1e-6);
    ck_assert_double_eq_tol(l.balance, balance, 1e-6);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

START_TEST(draws_differ_by_seed_and_step)
{
    static float first[BATCH * PIXELS];
    static const vit_step others[] = {{.seed = 4, .step = 4, .first_sample = 10},
                                      {.seed = 3, .step = 5, .first_sample = 10},
                                      {.seed = 3, .step = 4, .first_sample = 11}};
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, false);

    pass_of(run, VIT_VAE_ALL, &step);
    memcpy(first, vit_vae_pixels(run), sizeof first);
    for (size_t i = 0; i < 3; i++) {
        pass_of(run, VIT_VAE_ALL, &others[i]);
        ck_assert_mem_ne(vit_vae_pixels(run), first, sizeof first);
    }
    pass_of(run, VIT_VAE_ALL, NULL);
    ck_assert_mem_ne(vit_vae_pixels(run), first, sizeof first);
    pass_of(run, VIT_VAE_ALL, &step);
    ck_assert_mem_eq(vit_vae_pixels(run), first, sizeof first);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
}
END_TEST

START_TEST(gradients_add_up_and_are_zeroed)
{
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c);
    vit_vae_run *run = run_of(vae, true), *infer = run_of(vae, false);
    const size_t n = vit_vae_floats(vae);
    float *once = base_alloc(n, sizeof *once);

    vit_vae_gradients_zero(run);
    pass_of(run, VIT_VAE_ALL, &step);
    ck_assert_int_eq(vit_vae_backward(run, 1, &err), BASE_OK);
    memcpy(once, vit_vae_gradients(run), n * sizeof *once);
    ck_assert_int_eq(vit_vae_backward(run, 1, &err), BASE_OK);
    for (size_t i = 0; i < n; i++)
        if (fabs((double)vit_vae_gradients(run)[i] - 2 * (double)once[i]) >
            1e-6 + 1e-5 * fabs((double)once[i]))
            ck_abort_msg("gradient %zu", i);
    vit_vae_gradients_zero(run);
    for (size_t i = 0; i < n; i++)
        if (vit_vae_gradients(run)[i] != 0)
            ck_abort_msg("gradient %zu", i);
    ck_assert_ptr_null(vit_vae_gradients(infer));
    vit_vae_gradients_zero(infer); /* nothing happens */
    base_free(once);
    vit_vae_run_destroy(infer);
    vit_vae_run_destroy(run);
    vit_vae_destroy(vae);
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
    static const struct {
        const char *key;
        size_t at;
        bool real;
        double low, high;
    } fields[] = {
        {"image", offsetof(vit_vae_config, image), false, 1, 256},
        {"channels", offsetof(vit_vae_config, channels), false, 1, 3},
        {"hidden", offsetof(vit_vae_config, hidden), false, 1, 16384},
        {"latent", offsetof(vit_vae_config, latent), false, 1, 4096},
        {"experts", offsetof(vit_vae_config, experts), false, 1, 256},
        {"decoder", offsetof(vit_vae_config, decoder), false, 1, 16384},
        {"beta", offsetof(vit_vae_config, beta), true, 0, 1000},
        {"balance", offsetof(vit_vae_config, balance), true, 0, 1000},
        {"sharpen", offsetof(vit_vae_config, sharpen), true, 0, 1000},
    };
    char words[96];
    vit_vae *vae = NULL;

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const double tried[] = {fields[i].low - 1, fields[i].high + 1, (double)NAN};
        for (size_t k = 0; k < (fields[i].real ? 3u : 2u); k++) {
            vit_vae_config c = config_of();
            if (fields[i].real)
                memcpy((char *)&c + fields[i].at, &tried[k], sizeof tried[k]);
            else
                memcpy((char *)&c + fields[i].at, &(int){(int)tried[k]}, sizeof(int));
            ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_USAGE);
            snprintf(words, sizeof words, "'vae.%s' is %g, expected %g to %g",
                     fields[i].key, tried[k], fields[i].low, fields[i].high);
            ck_assert_str_eq(err.text, words);
        }
        for (size_t k = 0; k < 2; k++) { /* the ends themselves */
            const double end = k ? fields[i].high : fields[i].low;
            vit_vae_config c = config_of();
            c.hidden = c.decoder = c.latent = 1;
            if (fields[i].real)
                memcpy((char *)&c + fields[i].at, &end, sizeof end);
            else
                memcpy((char *)&c + fields[i].at, &(int){(int)end}, sizeof(int));
            ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_OK);
            vit_vae_destroy(vae);
            vae = NULL;
        }
    }
    vit_vae_config c = config_of();
    c.channels = 2;
    ck_assert_int_eq(vit_vae_create(&vae, &c, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "'vae.channels' is 2, expected 1 or 3");
    ck_assert_ptr_null(vae);
}
END_TEST

START_TEST(passes_that_cannot_be_are_refused)
{
    const vit_vae_config c = config_of();
    vit_vae *good = vae_of(&c);
    vit_vae_run *run = run_of(good, false), *none = NULL;
    vit_vae_losses l;
    const int32_t over[BATCH] = {0, 0, EXPERTS, 0, 0}, under[BATCH] = {0, 0, 0, 0, -1};
    char words[96];

    ck_assert_int_eq(
        vit_vae_forward(run, &l, images, BATCH, VIT_VAE_GIVEN, over, NULL, &err),
        BASE_USAGE);
    ck_assert_str_eq(err.text, "expert 4 of 4");
    ck_assert_int_eq(
        vit_vae_forward(run, &l, images, BATCH, VIT_VAE_GIVEN, under, NULL, &err),
        BASE_USAGE);
    ck_assert_str_eq(err.text, "expert -1 of 4");
    for (size_t batch = 0; batch <= BATCH + 3; batch += BATCH + 3) {
        ck_assert_int_eq(
            vit_vae_forward(run, &l, images, batch, VIT_VAE_ALL, NULL, NULL, &err),
            BASE_USAGE);
        snprintf(words, sizeof words, "batch of %zu images, expected 1 to 7", batch);
        ck_assert_str_eq(err.text, words);
    }
    ck_assert_int_eq(vit_vae_backward(run, 1, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "an inference run has no backward pass");
    const size_t large = UINT32_MAX / 4 / EXPERTS + 1;
    const size_t batches[] = {0, large, SIZE_MAX / 2};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(vit_vae_run_create(&none, good, batches[i], false, &err),
                         BASE_USAGE);
        snprintf(words, sizeof words, "a batch of %zu images is not possible", batches[i]);
        ck_assert_str_eq(err.text, words);
    }
    ck_assert_ptr_null(none);
    vit_vae_run_destroy(NULL);
    vit_vae_run_destroy(run);
    vit_vae_destroy(good);
    vit_vae_destroy(NULL);
}
END_TEST

/* A file whose metadata or tensors are wrong in one thing: by its name. */
START_TEST(files_that_are_no_autoencoder_are_refused)
{
    static const char *const keys[] = {"image",  "channels", "hidden",
                                       "latent", "experts",  "decoder",
                                       "beta",   "balance",  "sharpen"};
    static const char *const values[] = {"6", "1",   "10",  "3",  "4",
                                         "7", "0.7", "0.4", "0.3"};
    enum { KEYS = sizeof keys / sizeof keys[0], TENSORS = 9 };
    char *folder = test_folder_make(), *path = base_text("%s/x.safetensors", folder);
    const vit_vae_config c = config_of();
    vit_vae *vae = vae_of(&c), *back = NULL;
    vit_pair all[KEYS + 2];
    vit_tensor tensor[TENSORS];
    char words[160];

    all[0] = (vit_pair){"format", "vmoe-vae"};
    for (size_t i = 0; i < KEYS; i++)
        all[1 + i] = (vit_pair){keys[i], values[i]};
    for (size_t i = 0; i < TENSORS; i++) {
        const vit_parameter *p = vit_vae_parameter(vae, i);
        tensor[i] = (vit_tensor){.name = p->name,
                                 .type = "F32",
                                 .rank = p->rank,
                                 .data = vit_vae_weights(vae) + p->offset};
        memcpy(tensor[i].shape, p->shape, sizeof p->shape);
    }
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_msg(vit_vae_load(&back, path, &err) == BASE_OK, "%s", err.text);
    ck_assert_mem_eq(vit_vae_config_of(back), &c, sizeof c);
    vit_vae_destroy(back);
    back = NULL;
    for (size_t i = 0; i < KEYS; i++)
        for (size_t k = 0; k < 4; k++) {
            static const char *const wrong[] = {"", "x", "-1", "1000000"};
            const vit_pair kept = all[1 + i];
            all[1 + i].value = wrong[k];
            ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                             BASE_OK);
            ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_FORMAT);
            snprintf(words, sizeof words, "'%s' has no usable '%s' in its metadata", path,
                     keys[i]);
            ck_assert_str_eq(err.text, words);
            all[1 + i] = kept;
        }
    all[3].value = "10.5"; /* a size */
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_FORMAT);
    all[3].value = "10";
    all[0].value = "vmoe";
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_FORMAT);
    snprintf(words, sizeof words, "'%s' is no autoencoder of vmoe vae", path);
    ck_assert_str_eq(err.text, words);
    all[0].value = "vmoe-vae";
    tensor[4].shape[0] = LATENT;
    tensor[4].shape[1] = EXPERTS;
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_FORMAT);
    snprintf(words, sizeof words,
             "'%s': tensor 'gate.weight' is F32 [3, 4], expected F32 [4, 3]", path);
    ck_assert_str_eq(err.text, words);
    tensor[4].shape[0] = EXPERTS;
    tensor[4].shape[1] = LATENT;
    vit_vae_weights(vae)[vit_vae_parameter(vae, 8)->offset + 5] = NAN;
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_NUMERIC);
    snprintf(words, sizeof words,
             "'%s': tensor 'experts.fc2.bias' has a value that is not finite", path);
    ck_assert_str_eq(err.text, words);
    ck_assert_int_eq(vit_tensors_write(path, tensor, TENSORS - 1, all, KEYS + 1, &err),
                     BASE_OK);
    ck_assert_int_eq(vit_vae_load(&back, path, &err), BASE_FORMAT);
    snprintf(words, sizeof words, "'%s' has no tensor 'experts.fc2.bias'", path);
    ck_assert_str_eq(err.text, words);
    ck_assert_int_eq(vit_vae_load(&back, "/nowhere/model.safetensors", &err), BASE_IO);
    ck_assert_ptr_null(back);
    vit_vae_destroy(vae);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* A step of SGD of rate 1 moves every weight by its gradient. */
START_TEST(its_optimiser_is_that_of_the_networks)
{
    const vit_vae_config c = config_of();
    const vit_optimizer_config sgd = {.kind = VIT_OPTIMIZER_SGD};
    vit_vae *vae = vae_of(&c);
    vit_optimizer *o = NULL;
    const size_t n = vit_vae_floats(vae);
    float *before = base_alloc(n, sizeof *before), *g = base_alloc(n, sizeof *g);

    memcpy(before, vit_vae_weights(vae), n * sizeof *before);
    for (size_t i = 0; i < n; i++)
        g[i] = (float)(i % 7) * 0.125f;
    ck_assert_int_eq(vit_vae_optimizer_create(&o, vae, &sgd, &err), BASE_OK);
    ck_assert(!vit_vae_optimizer_step(o, vae, g, 1).skipped);
    for (size_t i = 0; i < n; i++)
        if (vit_vae_weights(vae)[i] != before[i] - g[i])
            ck_abort_msg("weight %zu", i);
    vit_optimizer_destroy(o);
    base_free(g);
    base_free(before);
    vit_vae_destroy(vae);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_vae");
    TCase *core = test_case_of_threads("Core"),
          *gradient = test_case_of_threads("Gradient"),
          *limits = test_case_of_threads("Limits");

    tcase_add_test(core, losses_are_those_of_what_is_shown);
    tcase_add_test(core, a_network_of_zeros_is_the_prior);
    tcase_add_test(core, all_decoders_are_each_alone_weighted);
    tcase_add_test(core, draws_belong_to_the_image);
    tcase_add_test(core, a_file_gives_the_same_network);
    tcase_add_test(core, what_is_not_said_is_as_documented);
    tcase_add_test(core, tensors_have_their_names_and_laws);
    tcase_add_test(core, a_pass_shows_what_it_did);
    tcase_add_test(core, divergence_and_balance_by_hand);
    tcase_add_test(core, draws_differ_by_seed_and_step);
    tcase_add_test(core, its_optimiser_is_that_of_the_networks);
    tcase_add_test(gradient, gradients_add_up_and_are_zeroed);
    tcase_add_loop_test(core, losses_and_gradients_are_those_of_pytorch, 0, 2);
    tcase_add_loop_test(gradient, backward_equals_finite_differences, 0, 3);
    tcase_add_test(limits, what_cannot_be_is_refused);
    tcase_add_test(limits, passes_that_cannot_be_are_refused);
    tcase_add_test(limits, files_that_are_no_autoencoder_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, gradient);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
