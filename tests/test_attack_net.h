/* test_attack_net.h - small models to attack: linear, and with one hidden layer of tanh.
 *     z = W2 tanh(W1 (x - 0.5)) or z = W (x - 0.5) + b
 * with faults to plant: what the checks must find. */
#ifndef TESTS_TEST_ATTACK_NET_H
#define TESTS_TEST_ATTACK_NET_H

#include "attacks/attacks.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_NET_BATCH = 64, TEST_NET_CLASSES = 128, TEST_NET_HIDDEN = 256 };

typedef struct test_net {
    size_t inputs, hidden, classes; /* hidden 0: linear */
    float *w1, *w2;                 /* [hidden, inputs], [classes, hidden or inputs] */
    float bias[TEST_NET_CLASSES];
    float *activations, *images; /* of the last forward: [batch, hidden], [batch, inputs] */
    size_t count;
    /* Faults. */
    double gradient_scale, logit_scale; /* 1: none; 0, -1 and 1000 are of interest */
    double noise;                       /* of a logit, fresh at every call */
    float batch_effect;                 /* of the batch's first image on all logits */
    bool nan_logits, nan_gradient;
    base_rng rng;
    /* Counts. */
    size_t forwards, gradients, calls, largest;
} test_net;

static inline void test_net_raw(const test_net *net, float *z, float *h, const float *x)
{
    const float *in = x;
    size_t width = net->inputs;

    for (size_t j = 0; j < net->hidden; j++) {
        double sum = 0;
        for (size_t i = 0; i < net->inputs; i++)
            sum += (double)net->w1[j * net->inputs + i] * ((double)x[i] - 0.5);
        h[j] = (float)tanh(sum);
    }
    if (net->hidden > 0) {
        in = h;
        width = net->hidden;
    }
    for (size_t c = 0; c < net->classes; c++) {
        double sum = (double)net->bias[c];
        for (size_t i = 0; i < width; i++)
            sum += (double)net->w2[c * width + i] *
                   ((double)in[i] - (net->hidden > 0 ? 0 : 0.5));
        z[c] = (float)(sum * net->logit_scale);
    }
}

static inline base_status test_net_forward(void *user, float *logits, const float *images,
                                           size_t count, base_error *err)
{
    test_net *net = user;

    (void)err;
    net->forwards += count;
    net->calls++;
    net->largest = count > net->largest ? count : net->largest;
    net->count = count;
    memcpy(net->images, images, count * net->inputs * sizeof *images);
    for (size_t b = 0; b < count; b++) {
        float *z = logits + b * net->classes;
        test_net_raw(net, z, net->activations + b * net->hidden, images + b * net->inputs);
        for (size_t c = 0; c < net->classes; c++) {
            z[c] += net->batch_effect * images[0] * (float)(c + 1) * (b > 0);
            if (net->noise > 0)
                z[c] += (float)(net->noise * base_rng_normal(&net->rng));
        }
        if (net->nan_logits)
            z[net->classes - 1] = NAN;
    }
    return BASE_OK;
}

static inline base_status test_net_gradient(void *user, float *d_images,
                                            const float *d_logits, base_error *err)
{
    test_net *net = user;
    const double scale = net->logit_scale * net->gradient_scale;

    (void)err;
    net->gradients += net->count;
    for (size_t b = 0; b < net->count; b++) {
        const float *d = d_logits + b * net->classes,
                    *h = net->activations + b * net->hidden;
        float *out = d_images + b * net->inputs;
        const size_t width = net->hidden > 0 ? net->hidden : net->inputs;
        memset(out, 0, net->inputs * sizeof *out);
        for (size_t j = 0; j < width; j++) {
            double sum = 0;
            for (size_t c = 0; c < net->classes; c++)
                sum += (double)d[c] * (double)net->w2[c * width + j];
            if (net->hidden == 0) {
                out[j] = (float)(scale * sum);
                continue;
            }
            sum *= 1 - (double)h[j] * (double)h[j];
            for (size_t i = 0; i < net->inputs; i++)
                out[i] += (float)(scale * sum * (double)net->w1[j * net->inputs + i]);
        }
        if (net->nan_gradient)
            out[0] = NAN;
    }
    return BASE_OK;
}

/* Weights drawn from seed: rows of unit expected norm. test_net_free frees what it
 * holds. */
static inline test_net test_net_make(size_t inputs, size_t hidden, size_t classes,
                                     uint64_t seed)
{
    test_net net = {.inputs = inputs,
                    .hidden = hidden,
                    .classes = classes,
                    .gradient_scale = 1,
                    .logit_scale = 1,
                    .rng = base_rng_make(seed, BASE_PURPOSE_TEST, 1, 0, 0)};
    const size_t width = hidden > 0 ? hidden : inputs;
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, 0, 0, 0);

    ck_assert(hidden <= TEST_NET_HIDDEN && classes <= TEST_NET_CLASSES);
    net.w1 = calloc(hidden * inputs + 1, sizeof *net.w1);
    net.w2 = calloc(classes * width, sizeof *net.w2);
    net.activations = calloc(TEST_NET_BATCH * hidden + 1, sizeof *net.activations);
    net.images = calloc(TEST_NET_BATCH * inputs, sizeof *net.images);
    for (size_t i = 0; i < hidden * inputs; i++)
        net.w1[i] = (float)(4 * base_rng_normal(&rng) / sqrt((double)inputs));
    for (size_t i = 0; i < classes * width; i++)
        net.w2[i] = (float)(4 * base_rng_normal(&rng) / sqrt((double)width));
    return net;
}

static inline void test_net_free(test_net *net)
{
    free(net->w1);
    free(net->w2);
    free(net->activations);
    free(net->images);
}

/* channels * height * width is the net's inputs. */
static inline attack_target test_net_target(test_net *net, size_t channels, size_t height,
                                            size_t batch)
{
    return (attack_target){.user = net,
                           .classes = net->classes,
                           .channels = channels,
                           .height = height,
                           .width = net->inputs / channels / height,
                           .batch = batch,
                           .logits = test_net_forward,
                           .forward = test_net_forward,
                           .gradient = test_net_gradient};
}

/* images [n, inputs] in low..high, and the net's own predictions as labels, so that all are
 * right. */
static inline void test_net_samples(test_net *net, float *images, int32_t *labels, size_t n,
                                    double low, double high, uint64_t seed)
{
    float z[TEST_NET_CLASSES], h[TEST_NET_HIDDEN];

    for (size_t i = 0; i < n; i++) {
        base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, 2, i, 0);
        float *x = images + i * net->inputs;
        for (size_t j = 0; j < net->inputs; j++)
            x[j] = (float)(low + (high - low) * base_rng_uniform(&rng));
        test_net_raw(net, z, h, x);
        labels[i] = attack_predict(z, net->classes);
    }
}

#endif
