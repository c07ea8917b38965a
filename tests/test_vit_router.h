/* test_vit_router.h - what the tests of routers share: the golden logits of the design
 * (routing.md 0.4) and comparisons, which fail the test themselves. */
#ifndef TESTS_TEST_VIT_ROUTER_H
#define TESTS_TEST_VIT_ROUTER_H

#include <math.h>
#include <string.h>

#include "tests/test_run.h"
#include "vit/routers/router_pass_internal.h"

enum { GOLDEN_TOKENS = 4, GOLDEN_EXPERTS = 3, GOLDEN_K = 2, GOLDEN_COUNT = 12 };

/* Z of routing.md 0.4 and dA of 4.12, eps of 2. */
static const double golden_z[GOLDEN_COUNT] = {2,   .5,  -1, 1.5, 1,  -.5,
                                              1.8, -.3, .4, .2,  .9, .1};
__attribute__((unused)) static const double golden_d_a[GOLDEN_COUNT] = {
    .3, -.7, .2, -.4, .6, .5, .9, -.1, -.6, .25, -.35, .8};
__attribute__((unused)) static const double golden_eps[GOLDEN_COUNT] = {
    .3, -1.2, .5, -.4, .8, 1.1, .9, .2, -.7, -1.5, .6, .1};
static const vit_route_size golden_size = {GOLDEN_TOKENS, GOLDEN_EXPERTS, GOLDEN_K};

/* Golden numbers are rounded to 8 significant digits (routing.md, head). */
static inline void expect_golden(const double *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= 6e-8 * fmax(1.0, fabs(want[i])),
                      "entry %zu is %.10g, expected %.10g", i, got[i], want[i]);
}

static inline void expect_near(const double *got, const double *want, size_t count,
                               double tolerance)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= tolerance,
                      "entry %zu is %.12g, expected %.12g within %g", i, got[i], want[i],
                      tolerance);
}

static inline double dot(const double *a, const double *b, size_t count)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* x [count] = scale times normal numbers of test stream number stream. */
static inline void fill_normal(double *x, size_t count, double scale, uint64_t stream)
{
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, stream, 0, 0);

    for (size_t i = 0; i < count; i++)
        x[i] = scale * base_rng_normal(&rng);
}

/* The smallest distance between the k-th and the (k+1)-th score of a token: finite
 * differences need it, because the choice is constant only inside it. */
static inline double selection_margin(const double *score, const vit_route_size *s)
{
    double margin = INFINITY;
    vit_route_size next = {1, s->experts, s->k + 1};
    uint16_t top[VIT_EXPERTS_MAX];

    for (size_t t = 0; s->k < s->experts && t < s->tokens; t++) {
        const double *row = score + t * s->experts;
        vit_route_top(top, row, &next);
        margin = fmin(margin, row[top[s->k - 1]] - row[top[s->k]]);
    }
    return margin;
}

#endif
