/* test_vit_router_pass.c - whole routers as the network runs them, single precision at the
 * border: central differences of gates and losses, and what every pass keeps in training
 * and evaluation (routing.md 4.4, 4.9, 4.11). Numbers are in test_vit_router_steps.c. */
#include "tests/test_leaks.h"
#include "tests/test_vit_router_rig.h"

/* Central differences of the loss by at [count] into out. False when the choice of experts
 * changes on the way: there the loss is not differentiable. */
static bool differences(double *out, rig *r, float *at, size_t count, uint64_t chosen)
{
    const float h = 2e-3f;
    bool same = true;

    for (size_t i = 0; same && i < count; i++) {
        const float kept = at[i], high = kept + h, low = kept - h;
        at[i] = high;
        const double up = rig_loss(r);
        same = rig_choice(r) == chosen;
        at[i] = low;
        const double down = rig_loss(r);
        same = same && rig_choice(r) == chosen;
        at[i] = kept;
        out[i] = (up - down) / ((double)high - (double)low);
    }
    return same;
}

/* Relative, over the whole tensor. */
static void expect_gradient(const float *gradient, const double *want, size_t count)
{
    double squares = 0.0, errors = 0.0;

    for (size_t i = 0; i < count; i++) {
        squares += want[i] * want[i];
        errors += pow((double)gradient[i] - want[i], 2);
    }
    ck_assert_double_gt(squares, 1e-6);
    ck_assert_msg(sqrt(errors / squares) < 1e-3, "relative error %g",
                  sqrt(errors / squares));
}

START_TEST(gradients_are_those_of_central_differences)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    double by_x[21 * 6], by_param[VIT_ROUTER_PARAMETERS_MAX][5 * 6];
    bool done = false;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    r.pass.in.loss_scale = 1.5;
    for (uint64_t stream = 0; !done;
         stream++) { /* most are too near to a change of experts */
        ck_assert_uint_lt(stream, 500);
        rig_fill(&r, stream);
        rig_loss(&r);
        const uint64_t chosen = rig_choice(&r);
        done = differences(by_x, &r, r.x, shape.tokens * shape.width, chosen);
        for (size_t i = 0; done && i < r.params; i++)
            done = r.is_state[i] ||
                   differences(by_param[i], &r, r.param[i], r.count[i], chosen);
    }
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    expect_gradient(r.d_x, by_x, shape.tokens * shape.width);
    for (size_t i = 0; i < r.params; i++) {
        for (size_t j = 0; r.is_state[i] && j < r.count[i]; j++)
            ck_assert(r.d_param[i][j] == 0);
        if (!r.is_state[i])
            expect_gradient(r.d_param[i], by_param[i], r.count[i]);
    }
    rig_close(&r);
}
END_TEST

START_TEST(gradients_are_added_and_those_not_wanted_left_out)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    float once[21 * 6];
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    rig_loss(&r);
    r.router->backward(&r.pass, r.weight);
    memcpy(once, r.d_x, sizeof once);
    for (size_t i = 0; i < r.params; i++)
        r.pass.gradient.param[i] = NULL;
    r.router->backward(&r.pass, r.weight); /* a second backward of the same forward */
    for (size_t i = 0; i < shape.tokens * shape.width; i++)
        expect_close(r.d_x[i], 2.0f * once[i], 1e-5);
    rig_close(&r);
}
END_TEST

START_TEST(evaluation_sees_every_token_alone)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual, part = usual;
    rig whole, alone;

    shape.k = part.k = v->k;
    shape.tokens = 63;
    part.tokens = 9;
    rig_open(&whole, v->router, v->options, shape);
    rig_open(&alone, v->router, v->options, part);
    whole.pass.in.training = alone.pass.in.training = false;
    alone.pass.in.seed = 99; /* nothing is drawn */
    alone.pass.in.step = 12;
    rig_parameters_copy(&alone, &whole);
    vit_router_forward(whole.router, &whole.pass);
    ck_assert_double_eq(whole.pass.report.aux_loss, 0.0);
    ck_assert(whole.pass.report.used_sinkhorn == (strcmp(v->router, "sinkhorn-ot") == 0));
    for (size_t first = 0; first < 63 && !rig_sees_the_batch(&whole); first += 9) {
        const size_t a = whole.pass.out.start[first];
        const size_t count = whole.pass.out.start[first + 9] - a;
        memcpy(alone.x, whole.x + first * part.width, 9 * part.width * sizeof(float));
        if (alone.attention)
            memcpy(alone.attention, whole.attention + first * part.tokens_per_image,
                   rig_pairs(&part) * sizeof(float));
        vit_router_forward(alone.router, &alone.pass);
        ck_assert_uint_eq(alone.pass.out.count, count);
        ck_assert_mem_eq(alone.pass.out.expert, whole.pass.out.expert + a,
                         count * sizeof *alone.pass.out.expert);
        for (size_t t = 0; t <= 9; t++)
            ck_assert_uint_eq(alone.pass.out.start[t] + a, whole.pass.out.start[first + t]);
        for (size_t i = 0; i < count; i++)
            expect_close(alone.pass.out.gate[i], whole.pass.out.gate[a + i], 1e-6);
    }
    rig_close(&whole);
    rig_close(&alone);
}
END_TEST

START_TEST(draws_follow_the_token_not_the_batch)
{
    vit_router_shape part = usual;
    rig whole, back;

    part.tokens = 9;
    rig_open(&whole, "vmoe", "noise=5", usual);
    rig_open(&back, "vmoe", "noise=5", part);
    memcpy(back.w, whole.w, part.experts * part.width * sizeof(float));
    memcpy(back.x, whole.x + 12 * part.width, 9 * part.width * sizeof(float));
    back.pass.in.first_token = 12; /* accumulation: the second part of the batch */
    vit_router_forward(whole.router, &whole.pass);
    vit_router_forward(back.router, &back.pass);
    ck_assert_mem_eq(back.pass.out.expert, whole.pass.out.expert + 24,
                     18 * sizeof(uint16_t));
    for (size_t i = 0; i < 18; i++)
        expect_close(back.pass.out.gate[i], whole.pass.out.gate[24 + i], 1e-6);
    back.pass.in.step++;
    vit_router_forward(back.router, &back.pass);
    float change = 0.0f;
    for (size_t i = 0; i < 18; i++)
        change += fabsf(back.pass.out.gate[i] - whole.pass.out.gate[24 + i]);
    ck_assert(change > 0.1f);
    rig_close(&whole);
    rig_close(&back);
}
END_TEST

START_TEST(ssr_without_sinkhorn_steps_is_softmax)
{
    const char *const noise[2] = {"0", "0.4"};
    char ssr[64], softmax[64];
    vit_router_shape shape = usual;
    rig a, b;

    shape.k = 1 + (size_t)_i / 2; /* k = 1: probabilities as gates */
    snprintf(ssr, sizeof ssr, "p=0 noise=%s", noise[_i % 2]);
    snprintf(softmax, sizeof softmax, "balance=0 noise=%s", noise[_i % 2]);
    rig_open(&a, "ssr", ssr, shape);
    rig_open(&b, "softmax", softmax, shape);
    ck_assert_double_eq(rig_loss(&a), rig_loss(&b));
    ck_assert_mem_eq(a.pass.out.expert, b.pass.out.expert,
                     a.pass.out.count * sizeof *a.pass.out.expert);
    ck_assert_mem_eq(a.pass.out.gate, b.pass.out.gate,
                     a.pass.out.count * sizeof *a.pass.out.gate);
    ck_assert(!a.pass.report.used_sinkhorn);
    a.router->backward(&a.pass, a.weight);
    b.router->backward(&b.pass, b.weight);
    ck_assert_mem_eq(a.d_x, b.d_x, shape.tokens * shape.width * sizeof *a.d_x);
    rig_close(&a);
    rig_close(&b);
}
END_TEST

/* ---- what every pass keeps ----------------------------------------------------------- */

START_TEST(outputs_keep_the_invariants)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    const uint64_t allocations = base_alloc_count();
    vit_router_forward(r.router, &r.pass);
    r.router->backward(&r.pass, r.weight);
    ck_assert_uint_eq(base_alloc_count(), allocations);
    ck_assert_uint_le(r.pass.out.count, r.router->assignments(&r.pass.plan.shape));
    if (vit_router_replays(&r.config))
        ck_assert_uint_eq(r.pass.out.count, shape.tokens * v->k);
    ck_assert_uint_eq(r.pass.out.start[shape.tokens], r.pass.out.count);
    ck_assert_uint_eq(r.pass.out.start[0], 0);
    for (size_t t = 0; t < shape.tokens; t++) {
        double gates = 0.0, row = 0.0;
        for (size_t a = r.pass.out.start[t]; a < r.pass.out.start[t + 1]; a++) {
            ck_assert_uint_eq(r.pass.out.token[a], t);
            ck_assert_uint_lt(r.pass.out.expert[a], shape.experts);
            for (size_t b = r.pass.out.start[t]; b < a; b++)
                ck_assert_uint_ne(r.pass.out.expert[a], r.pass.out.expert[b]);
            ck_assert(r.pass.out.gate[a] > 0.0f && r.pass.out.gate[a] <= 1.0f);
            gates += (double)r.pass.out.gate[a];
        }
        for (size_t e = 0; e < shape.experts; e++)
            row += r.pass.out.probs[t * shape.experts + e];
        ck_assert_double_eq_tol(row, 1.0, 1e-14);
        if (strcmp(v->router, "ssr") == 0 && v->k > 1)
            ck_assert_double_eq_tol(gates, 1.0, 1e-6);
        else if (!strstr(v->options, "sigmoid"))
            ck_assert_double_lt(gates, 1.0 + 1e-6);
    }
    rig_close(&r);
}
END_TEST

START_TEST(a_smaller_batch_fits_the_planned_state)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    shape.tokens = 700; /* several chunks */
    shape.group_tokens = 300;
    rig_open(&r, v->router, v->options, shape);
    const size_t sizes[] = {700, 699, 513, 300, 3, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        r.pass.plan.shape.tokens = sizes[i];
        ck_assert_uint_le(r.router->state_bytes(&r.pass.plan.shape), r.state_bytes);
        vit_router_forward(r.router, &r.pass);
        r.router->backward(&r.pass, r.weight);
        for (size_t j = 0; j < sizes[i] * shape.width; j++)
            ck_assert(isfinite((double)r.d_x[j]));
    }
    rig_close(&r);
}
END_TEST

START_TEST(one_expert_takes_every_token)
{
    vit_router_shape shape = usual;
    rig r;

    shape.experts = shape.k = 1;
    for (size_t i = 0; vit_router_name(i); i++) {
        if (vit_router_find(vit_router_name(i))->views &&
            vit_router_find(vit_router_name(i))->views->always)
            continue; /* assigns no tokens: test_vit_router_soft.c */
        rig_open(&r, vit_router_name(i), "", shape);
        for (int training = 0; training < 2; training++) {
            r.pass.in.training = training;
            vit_router_forward(r.router, &r.pass);
            r.router->backward(&r.pass, r.weight);
            for (size_t a = 0; a < r.pass.out.count; a++)
                ck_assert_uint_eq(r.pass.out.expert[a], 0);
        }
        rig_close(&r);
    }
}
END_TEST

START_TEST(nan_tokens_stay_inside_the_arrays)
{
    const variant *v = &variants[_i];
    vit_router_shape shape = usual;
    rig r;

    shape.k = v->k;
    rig_open(&r, v->router, v->options, shape);
    r.x[5] = NAN;
    r.x[40] = INFINITY;
    vit_router_forward(r.router, &r.pass);
    r.router->backward(&r.pass, r.weight);
    for (size_t a = 0; a < r.pass.out.count; a++)
        ck_assert_uint_lt(r.pass.out.expert[a], shape.experts);
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_pass");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_loop_test(core, evaluation_sees_every_token_alone, 0, VARIANTS);
    tcase_add_test(core, draws_follow_the_token_not_the_batch);
    tcase_add_loop_test(core, ssr_without_sinkhorn_steps_is_softmax, 0, 4);
    tcase_add_loop_test(core, outputs_keep_the_invariants, 0, VARIANTS);
    tcase_add_loop_test(limits, a_smaller_batch_fits_the_planned_state, 0, VARIANTS);
    tcase_add_test(limits, one_expert_takes_every_token);
    tcase_add_loop_test(limits, nan_tokens_stay_inside_the_arrays, 0, VARIANTS);
    tcase_add_loop_test(gradient, gradients_are_those_of_central_differences, 0, VARIANTS);
    tcase_add_loop_test(gradient, gradients_are_added_and_those_not_wanted_left_out, 0,
                        VARIANTS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
