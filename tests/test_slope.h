/* test_slope.h - backward passes of whole small networks against central finite
 * differences: of every parameter tensor and of the input. The caller makes the network, of
 * the sizes named here. */
#ifndef TESTS_TEST_SLOPE_H
#define TESTS_TEST_SLOPE_H

#include <check.h>
#include <math.h>
#include <string.h>

#include "vit/vit.h"

enum { SLOPE_BATCH = 6, SLOPE_IMAGE = 12, SLOPE_CHANNELS = 3, SLOPE_CLASSES = 5 };
enum { SLOPE_FLOATS = SLOPE_CHANNELS * SLOPE_IMAGE * SLOPE_IMAGE }; /* of one image */

/* Directional derivative by (f(+h) - f(-h)) / 2h of an fp32 network: rounding of f (1e-6)
 * over h (5e-4 of the tensor's size) and the third derivative leave about 2e-3 of the
 * largest slope. */
static const double slope_tolerance = 4e-3;
/* Three blocks of width 24 without experts; images of SLOPE_IMAGE pixels. */
static inline vit_config slope_config(void)
{
    vit_config config = vit_config_defaults();
    config.image = config.crop = SLOPE_IMAGE;
    config.patch = 4;
    config.width = 24;
    config.depth = 3;
    config.heads = 3;
    config.mlp = 40;
    config.classes = SLOPE_CLASSES;
    config.moe.experts = 4;
    return config;
}

/* A model whose every weight matters: the zero head and class token are drawn too. */
static inline vit_model *slope_model(const vit_config *config)
{
    base_error err = {0};
    vit_model *model = NULL;
    ck_assert_msg(vit_model_create(&model, config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(model, 7);
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);
    float *w = vit_model_weights(model);
    for (size_t i = 0; i < vit_model_floats(model); i++)
        w[i] += (float)(0.15 * base_rng_normal(&rng));
    return model;
}

/* The same with experts in `layers`, a router, and up to three of its options by name,
 * NULL ending them. */
static inline vit_model *slope_model_routed(vit_config *config, const char *layers,
                                            const char *router,
                                            const char *const options[3][2])
{
    base_error err = {0};
    vit_router_config *r = &config->moe.router;

    ck_assert_msg(vit_config_layers_set(config, layers, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(vit_router_select(r, router, &err) == BASE_OK, "%s", err.text);
    for (size_t i = 0; i < 3 && options[i][0]; i++)
        ck_assert_msg(vit_router_set(r, options[i][0], options[i][1], &err) == BASE_OK,
                      "%s", err.text);
    return slope_model(config);
}

static inline void slope_fill(float *out, size_t count, uint64_t stream)
{
    base_rng rng = base_rng_make(5, BASE_PURPOSE_TEST, stream, 0, 0);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)base_rng_normal(&rng);
}

/* phi = sum_j weight_j logits_j + auxiliary losses, in double. */
static inline double slope_phi(vit_run *run, const float *images, const float *weight)
{
    static const vit_step step = {
        .seed = 3, .step = 4, .first_sample = 12, .loss_scale = 1};
    base_error err = {0};
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    ck_assert_msg(vit_run_forward(run, logits, images, SLOPE_BATCH, &step, &err) == BASE_OK,
                  "%s", err.text);
    double sum = vit_run_aux_loss(run);
    for (size_t i = 0; i < SLOPE_BATCH * SLOPE_CLASSES; i++)
        sum += (double)weight[i] * (double)logits[i];
    return sum;
}

/* Which experts all tokens chose, as a number: finite differences must not cross a
 * change. */
static inline uint64_t slope_choices(const vit_run *run)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < vit_run_moe_count(run); i++) {
        const vit_routing r = vit_run_routing(run, i);
        for (size_t a = 0; a < r.count; a++)
            hash =
                base_key((const uint64_t[]){hash, r.token[a], r.expert[a], r.kept[a]}, 4);
    }
    return hash;
}

/* (phi(+h) - phi(-h)) / 2h along direction / norm in at [count]; h is halved until nobody
 * chooses otherwise within it. */
static inline double slope_along(double *h, vit_run *run, vit_model *model, float *at,
                                 const float *direction, double norm, size_t count,
                                 const float *images, const float *weight)
{
    static float saved[8192];
    double value[2];
    uint64_t chosen[2];

    ck_assert_uint_le(count, 8192);
    memcpy(saved, at, count * sizeof *at);
    do {
        *h /= 2;
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < count; i++)
                at[i] = (float)((double)saved[i] +
                                (side ? *h : -*h) * (double)direction[i] / norm);
            vit_model_weights(model); /* at may be among them */
            value[side] = slope_phi(run, images, weight);
            chosen[side] = slope_choices(run);
        }
    } while (chosen[0] != chosen[1] && *h > 2e-5);
    memcpy(at, saved, count * sizeof *at);
    vit_model_weights(model);
    return (value[1] - value[0]) / (2 * *h);
}

/* The slope of phi along a unit direction in at [count], and what gradient says. Where they
 * disagree a step four times as long decides: a gradient that is 0 by symmetry (the bias of
 * keys adds the same to all scores of a query) is compared with rounding over h, which
 * depends on the compiler; a wrong one disagrees at both. */
static inline void slope_check(vit_run *run, vit_model *model, float *at,
                               const float *gradient, size_t count, const float *images,
                               const float *weight, const char *net, const char *name)
{
    static float direction[8192];
    double norm = 0, size = 0, expected = 0, slope_bound = 0, slope = 0, h = 0;
    bool agrees = false;

    ck_assert_uint_le(count, 8192);
    slope_fill(direction, count, 99);
    for (size_t i = 0; i < count; i++) {
        norm += (double)direction[i] * (double)direction[i];
        size += (double)at[i] * (double)at[i];
        slope_bound += (double)gradient[i] * (double)gradient[i];
    }
    norm = sqrt(norm);
    for (size_t i = 0; i < count; i++)
        expected += (double)gradient[i] * (double)direction[i] / norm;
    const double scale = sqrt(slope_bound / (double)count) * 3 + 0.02;
    for (int turn = 0; turn < 2 && !agrees; turn++) {
        h = 1e-3 * (sqrt(size) + 0.05);
        if (count <= 32) /* few numbers: their slope is small against the rounding of f */
            h = fmax(h, 0.04 / sqrt((double)count));
        h *= turn ? 4 : 1;
        slope = slope_along(&h, run, model, at, direction, norm, count, images, weight);
        agrees = fabs(slope - expected) <= slope_tolerance * scale + 2e-3 * fabs(expected);
    }
    ck_assert_msg(agrees,
                  "%s: %s: finite difference %.6f, backward %.6f (scale %.4f, h %g)", net,
                  name, slope, expected, scale, h);
}

/* Backward of a training or an input gradient run of model; net: its name in messages. */
static inline void slope_check_all(vit_run *run, vit_model *model, const char *net)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS], d_images[SLOPE_BATCH * SLOPE_FLOATS];
    float weight[SLOPE_BATCH * SLOPE_CLASSES];
    const size_t floats = vit_model_floats(model);
    base_error err = {0};

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(weight, SLOPE_BATCH * SLOPE_CLASSES, 2);
    slope_phi(run, images, weight);
    vit_run_gradients_zero(run);
    ck_assert_msg(vit_run_backward(run, d_images, weight, &err) == BASE_OK, "%s", err.text);
    if (vit_run_gradients(run)) {
        float *gradient = base_alloc(floats, sizeof *gradient);
        memcpy(gradient, vit_run_gradients(run), floats * sizeof *gradient);
        for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
            const vit_parameter *p = vit_model_parameter(model, i);
            for (size_t j = 0; p->state && j < p->count; j++)
                ck_assert_msg(gradient[p->offset + j] == 0, "%s: %s", net, p->name);
            if (p->state)
                continue;
            slope_check(run, model, vit_model_weights(model) + p->offset,
                        gradient + p->offset, p->count, images, weight, net, p->name);
        }
        base_free(gradient);
    }
    slope_check(run, model, images, d_images, SLOPE_BATCH * SLOPE_FLOATS, images, weight,
                net, "images");
}

#endif
