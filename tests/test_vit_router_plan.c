/* test_vit_router_plan.c - the Sinkhorn plan and its exact gradient in double precision:
 * golden numbers of the design (routing.md 4.12), its verification recipe (4.9) and its
 * invariants (4.11). */
#include <omp.h>

#include "tests/test_leaks.h"
#include "tests/test_vit_router.h"

enum { WORK = 20000 };
static double work[WORK];

/* As good as double precision allows: stops when the columns are exact. */
static const vit_route_plan_rule tight = {.max_iter = 10000, .delta = 1e-15};

static void plan_tight(double *plan, double *g, const double *l, const vit_route_size *s)
{
    ck_assert_uint_le(vit_route_plan_work(s), WORK);
    const vit_route_plan_result r = vit_route_plan(plan, g, l, s, &tight, NULL, work);

    ck_assert_double_lt(r.residual, 1e-12 * (double)s->tokens);
}

/* ---- golden -------------------------------------------------------------------------- */

typedef struct golden_case {
    bool softmax_cost;
    double g[3], residual[5], residual_digit[5];
    double plan[12], a[12], h[12], m[9], w[3], q[3], p[4], d_c[12], d_z[12], frozen[12];
} golden_case;

static const golden_case golden[] = {
    {.softmax_cost = false,
     .g = {-1.7565696, .070566221, 1.6860033},
     .residual = {1.851, .6821, .2086, .0608, .0176},
     .residual_digit = {5e-4, 5e-5, 5e-5, 5e-5, 5e-5},
     .plan = {.72098929, .22313123, .055879478, .25910493, .59251069, .14838438, .33393664,
              .031127357, .63493600, .019302464, .48656406, .49413348},
     .a = {.76366234, .23633766, 0, .30425103, .69574897, 0, .34466516, 0, .65533484, 0,
           .49614080, .50385920},
     .h = {.18048217, -.18048217, 0, -.21168234, .21168234, 0, .33880663, 0, -.33880663, 0,
           -.28748287, .28748287},
     .m = {.63448614, -.33418412, -.30030202, -.33418412, .69476338, -.36057926, -.30030202,
           -.36057926, .66088128},
     .w = {.30760646, -.25628270, -.051323759},
     .q = {.38910067, -.18171861, 0},
     .p = {-.23999032, .0068523126, -.12427855, .080907140},
     .d_c = {.14595040, -.17277147, .026821068, -.62855143, .63058498, -.0020335523,
             .50074564, .019049766, -.51979541, -.018144618, -.47686327, .49500789},
     .d_z = {.14595040, -.17277147, .026821068, -.62855143, .63058498, -.0020335523,
             .50074564, .019049766, -.51979541, -.018144618, -.47686327, .49500789},
     .frozen = {.36096434, -.36096434, 0, -.42336468, .42336468, 0, .67761326, 0,
                -.67761326, 0, -.57496574, .57496574}},
    {.softmax_cost = true,
     .g = {-.54511949, .10373510, .44138439},
     .residual = {.9141, .05926, .004332, 3.158e-4, 2.301e-5},
     .residual_digit = {5e-5, 5e-6, 5e-7, 5e-8, 5e-9},
     .plan = {.46143472, .26049454, .27807074, .31137547, .37920423, .30942030, .41269622,
              .21911465, .36818913, .14782692, .47451992, .37765316},
     .a = {.62397743, 0, .37602257, .45088998, .54911002, 0, .52849784, 0, .47150216, 0,
           .55683514, .44316486},
     .h = {.023462960, 0, -.023462960, -.24758821, .24758821, 0, .37378181, 0, -.37378181,
           0, -.28378523, .28378523},
     .m = {.83128568, -.39885073, -.43243495, -.39885073, .84849970, -.44964897, -.43243495,
           -.44964897, .88208393},
     .w = {.14965656, -.036197026, -.11345954},
     .q = {.20602930, .054187304, 0},
     .p = {-.10918457, -.084700526, -.096900747, -.056169632},
     .d_c = {-.042449125, .028652975, .013796150, -.57073402, .51831790, .052416124,
             .65748973, .018718282, -.67620802, -.044306587, -.56568916, .60999574},
     .d_z = {-.011519533, .0098931596, .0016263736, -.24550223, .23031134, .015190897,
             .21720425, -.030537531, -.18666672, .029820119, -.20788672, .17806660},
     .frozen = {.0093458156, -.0061403295, -.0032054862, -.22006356, .21137291, .0086906533,
                .24555090, -.036797333, -.20875356, .040988165, -.20913287, .16814471}},
};
static const double golden_xi = 0.5;

/* Forward part of a golden case: l = C / xi, the plan, the choices and gates. */
typedef struct golden_run {
    double b[12], l[12], score[12], plan[12], g[3], gate[8], d_gate[8], h[12];
    uint16_t expert[8];
} golden_run;

static golden_run golden_forward(const golden_case *c)
{
    golden_run r;

    vit_route_softmax(r.b, golden_z, &golden_size);
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        r.l[i] = (c->softmax_cost ? r.b[i] : golden_z[i]) / golden_xi;
    plan_tight(r.plan, r.g, r.l, &golden_size);
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        r.score[i] = r.l[i] + r.g[i % 3];
    vit_route_top(r.expert, r.score, &golden_size);
    vit_route_gates_renorm(r.gate, r.score, r.expert, &golden_size);
    vit_route_gates(r.d_gate, golden_d_a, r.expert, &golden_size);
    vit_route_gates_renorm_backward(r.h, r.gate, r.d_gate, r.expert, &golden_size);
    return r;
}

START_TEST(plan_and_gates_have_the_golden_values)
{
    const golden_case *c = &golden[_i];
    const golden_run r = golden_forward(c);
    double a[12];

    expect_golden(r.g, c->g, 3);
    expect_golden(r.plan, c->plan, 12);
    vit_route_gates_backward(a, r.gate, r.expert, &golden_size); /* scatter */
    expect_golden(a, c->a, 12);
    expect_golden(r.h, c->h, 12);
}
END_TEST

START_TEST(residuals_fall_as_in_the_design)
{
    const golden_case *c = &golden[_i];
    const golden_run r = golden_forward(c);
    const vit_route_plan_rule rule = {.max_iter = 5, .delta = 0};
    double plan[12], g[3], trace[5];

    const vit_route_plan_result result =
        vit_route_plan(plan, g, r.l, &golden_size, &rule, trace, work);
    for (int n = 0; n < 5; n++)
        ck_assert_double_eq_tol(trace[n], c->residual[n], c->residual_digit[n] * 1.01);
    ck_assert_int_eq(result.iterations, 5);
    ck_assert(!result.converged);
    ck_assert_double_eq(result.residual, trace[4]);
    /* the plan that is returned is the one whose residual is reported */
    double sum[3], squares = 0.0;
    vit_route_column_sum(sum, plan, &golden_size, work);
    for (int e = 0; e < 3; e++)
        squares += pow(sum[e] - 4.0 / 3.0, 2);
    ck_assert_double_eq_tol(sqrt(squares), result.residual, 1e-14);
}
END_TEST

START_TEST(exact_gradient_has_the_golden_values_step_by_step)
{
    const golden_case *c = &golden[_i];
    const golden_run r = golden_forward(c);
    double m[9], w[3], q[3], p[4] = {0}, d[12];

    vit_route_laplacian(m, r.plan, &golden_size, work);
    expect_golden(m, c->m, 9);
    vit_route_column_sum(w, r.h, &golden_size, work);
    expect_golden(w, c->w, 3);
    ck_assert_uint_eq(vit_route_laplacian_solve(q, m, w, 3), 0);
    expect_golden(q, c->q, 3);
    for (size_t i = 0; i < 12; i++)
        p[i / 3] -= r.plan[i] * q[i % 3];
    expect_golden(p, c->p, 4);
    ck_assert_uint_eq(
        vit_route_plan_backward(d, r.h, r.plan, golden_xi, &golden_size, work), 0);
    expect_golden(d, c->d_c, 12);
    if (c->softmax_cost)
        vit_route_softmax_backward(d, r.b, &golden_size);
    expect_golden(d, c->d_z, 12);
}
END_TEST

START_TEST(frozen_gradient_has_the_golden_values)
{
    const golden_case *c = &golden[_i];
    const golden_run r = golden_forward(c);
    double d[12];

    vit_route_plan_frozen(d, r.h, r.plan, golden_xi, &golden_size);
    if (c->softmax_cost)
        vit_route_softmax_backward(d, r.b, &golden_size);
    expect_golden(d, c->frozen, 12);
}
END_TEST

START_TEST(small_example_of_the_article_is_met)
{
    const vit_route_size s = {2, 2, 1};
    const double l[] = {.73 / .5, .27 / .5, .27 / .5, .73 / .5};
    double plan[4], g[2];

    plan_tight(plan, g, l, &s);
    expect_near(plan, (const double[]){.715, .285, .285, .715}, 4, 5e-4);
}
END_TEST

START_TEST(paper_start_gives_the_plans_of_the_papers_iteration)
{
    const vit_route_size s = {7, 4, 2};
    double l[28], plan[28], g[4], u[7], v[4], want[28];

    fill_normal(l, 28, 2.0, 20);
    for (int t = 0; t < 7; t++)
        u[t] = 1.0;
    for (int n = 1; n <= 6; n++) {
        const vit_route_plan_rule rule = {.max_iter = n, .delta = 0, .paper_init = true};
        for (int e = 0; e < 4; e++) { /* v = s / (K^T u) */
            double sum = 0.0;
            for (int t = 0; t < 7; t++)
                sum += exp(l[t * 4 + e]) * u[t];
            v[e] = 7.0 / 4.0 / sum;
        }
        for (int t = 0; t < 7; t++) { /* u = 1 / (K v) */
            double sum = 0.0;
            for (int e = 0; e < 4; e++)
                sum += exp(l[t * 4 + e]) * v[e];
            u[t] = 1.0 / sum;
            for (int e = 0; e < 4; e++)
                want[t * 4 + e] = u[t] * exp(l[t * 4 + e]) * v[e];
        }
        vit_route_plan(plan, g, l, &s, &rule, NULL, work);
        expect_near(plan, want, 28, 1e-13);
    }
}
END_TEST

/* ---- invariants (4.11) --------------------------------------------------------------- */

enum { T = 64, E = 8 };
static double l[T * E], plan[T * E], moved[T * E], h[T * E], d_c[T * E];
static double g[E], other_g[E];

START_TEST(plan_has_unit_rows_and_equal_columns)
{
    const vit_route_size s = {T, E, 2};
    double sum[E];

    fill_normal(l, T * E, 3.0, 30);
    plan_tight(plan, g, l, &s);
    for (size_t t = 0; t < T; t++) {
        double row = 0.0;
        for (size_t e = 0; e < E; e++) {
            ck_assert_double_gt(plan[t * E + e], 0.0);
            row += plan[t * E + e];
        }
        ck_assert_double_eq_tol(row, 1.0, 1e-14);
    }
    vit_route_column_sum(sum, plan, &s, work);
    for (size_t e = 0; e < E; e++)
        ck_assert_double_eq_tol(sum[e], (double)T / E, 1e-12);
}
END_TEST

START_TEST(plan_ignores_constants_in_rows_and_columns)
{
    const vit_route_size s = {T, E, 2};
    double by_row[T], by_column[E];

    fill_normal(l, T * E, 1.0, 31);
    fill_normal(by_row, T, 50.0, 32);
    fill_normal(by_column, E, 50.0, 33);
    plan_tight(plan, g, l, &s);
    for (size_t i = 0; i < T * E; i++)
        l[i] += by_row[i / E] + by_column[i % E];
    plan_tight(moved, other_g, l, &s);
    expect_near(moved, plan, T * E, 1e-11);
}
END_TEST

START_TEST(gradient_has_zero_row_and_column_sums)
{
    const vit_route_size s = {T, E, 2};
    double column[E] = {0};

    fill_normal(l, T * E, 2.0, 34);
    plan_tight(plan, g, l, &s);
    fill_normal(h, T * E, 1.0, 35); /* rows that do not sum to 0: the form of 4.7 */
    vit_route_plan_backward(d_c, h, plan, 0.7, &s, work);
    for (size_t t = 0; t < T; t++) {
        double row = 0.0;
        for (size_t e = 0; e < E; e++) {
            row += d_c[t * E + e];
            column[e] += d_c[t * E + e];
        }
        ck_assert_double_eq_tol(row, 0.0, 1e-12);
    }
    for (size_t e = 0; e < E; e++)
        ck_assert_double_eq_tol(column[e], 0.0, 1e-11);
}
END_TEST

START_TEST(pinned_and_mean_zero_potentials_give_the_same_gradient)
{
    const vit_route_size s = {T, E, 2};
    double m[E * E], other[E * E], w[E], q[E], residual, mean = 0.0;

    fill_normal(l, T * E, 2.0, 36);
    plan_tight(plan, g, l, &s);
    memset(work, 0, sizeof work); /* no sums of the plan's are left in it */
    vit_route_laplacian(m, plan, &s, work);
    memcpy(other, m, sizeof m);
    fill_normal(w, E, 1.0, 37);
    for (size_t e = 0; e < E; e++)
        mean += w[e] / E;
    for (size_t e = 0; e < E; e++)
        w[e] -= mean;
    vit_route_laplacian_solve(q, m, w, E);
    ck_assert_double_eq(q[E - 1], 0.0);
    /* M q = w in the pinned row too, hence for q plus any constant */
    for (size_t e = 0; e < E; e++) {
        residual = dot(other + e * E, q, E) - w[e];
        ck_assert_double_eq_tol(residual, 0.0, 1e-13);
    }
}
END_TEST

START_TEST(results_do_not_depend_on_the_number_of_threads)
{
    enum { MANY = 3000, N = 16 };
    static double big[MANY * N], one[MANY * N], two[MANY * N], d_one[MANY * N],
        d_two[MANY * N], h_big[MANY * N];
    const vit_route_size s = {MANY, N, 2};
    const vit_route_plan_rule rule = {.max_iter = 20, .delta = 1e-8};
    double g_one[N], g_two[N];

    fill_normal(big, MANY * N, 2.0, 38);
    fill_normal(h_big, MANY * N, 1.0, 39);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(1);
        vit_route_plan(one, g_one, big, &s, &rule, NULL, work);
        vit_route_plan_backward(d_one, h_big, one, 1.0, &s, work);
        omp_set_num_threads(threads);
        vit_route_plan(two, g_two, big, &s, &rule, NULL, work);
        vit_route_plan_backward(d_two, h_big, two, 1.0, &s, work);
        ck_assert_mem_eq(one, two, sizeof one);
        ck_assert_mem_eq(g_one, g_two, sizeof g_one);
        ck_assert_mem_eq(d_one, d_two, sizeof d_one);
    }
}
END_TEST

/* ---- limits -------------------------------------------------------------------------- */

START_TEST(one_expert_takes_all)
{
    const vit_route_size s = {3, 1, 1};
    const double one_l[] = {5, -5, 0};
    const double one_h[] = {1, 2, 3};
    double one_plan[3], one_g, d[3];

    plan_tight(one_plan, &one_g, one_l, &s);
    expect_near(one_plan, (const double[]){1, 1, 1}, 3, 0);
    ck_assert_uint_eq(vit_route_plan_backward(d, one_h, one_plan, 1.0, &s, work), 0);
    expect_near(d, (const double[]){0, 0, 0}, 3, 0);
}
END_TEST

START_TEST(one_token_is_spread_evenly)
{
    const vit_route_size s = {1, 4, 2};
    const double one_l[] = {700, -700, 0, 3};
    double one_plan[4], one_g[4];

    plan_tight(one_plan, one_g, one_l, &s);
    expect_near(one_plan, (const double[]){.25, .25, .25, .25}, 4, 1e-14);
}
END_TEST

START_TEST(columns_that_underflow_are_found_in_logarithms)
{
    const vit_route_size s = {T, E, 2};
    double column[E], sum[E];

    /* every token wants expert 0 by 5000 nats: exp(l) of the others is 0 */
    fill_normal(l, T * E, 1.0, 40);
    fill_normal(column, E, 100.0, 41);
    column[0] = 5000.0;
    memcpy(moved, l, sizeof l);
    for (size_t i = 0; i < T * E; i++)
        l[i] += column[i % E];
    plan_tight(plan, g, l, &s);
    vit_route_column_sum(sum, plan, &s, work);
    for (size_t e = 0; e < E; e++)
        ck_assert_double_eq_tol(sum[e], (double)T / E, 1e-10);
    plan_tight(l, g, moved, &s); /* the same plan as without the column constants */
    expect_near(plan, l, T * E, 1e-10);
}
END_TEST

START_TEST(disconnected_experts_leave_the_gradient_finite)
{
    const vit_route_size s = {4, 4, 2};
    const double hard[] = {1e4, 1e4, 0, 0, 1e4, 1e4, 0, 0, 0, 0, 1e4, 1e4, 0, 0, 1e4, 1e4};
    const double one_hot[] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    double hard_plan[16], hard_g[4], some_h[16], d[16];

    plan_tight(hard_plan, hard_g, hard, &s);
    fill_normal(some_h, 16, 1.0, 42);
    ck_assert_uint_ge(vit_route_plan_backward(d, some_h, hard_plan, 1.0, &s, work), 1);
    for (int i = 0; i < 16; i++)
        ck_assert(isfinite(d[i]));
    ck_assert_uint_eq(vit_route_plan_backward(d, some_h, one_hot, 1.0, &s, work), 3);
    for (int i = 0; i < 16; i++)
        ck_assert(isfinite(d[i]));
}
END_TEST

START_TEST(nan_cost_stops_at_once)
{
    double bad[12];

    memcpy(bad, golden_z, sizeof bad);
    bad[5] = NAN;
    const vit_route_plan_result r =
        vit_route_plan(plan, g, bad, &golden_size, &tight, NULL, work);
    ck_assert_int_eq(r.iterations, 1);
    ck_assert(!r.converged);
}
END_TEST

START_TEST(tolerance_is_relative_to_the_ideal_load)
{
    const vit_route_size s = {T, E, 2}; /* ideal load 8 */
    const vit_route_plan_rule rule = {.max_iter = 1000, .delta = 1e-3};

    fill_normal(l, T * E, 2.0, 43);
    const vit_route_plan_result r = vit_route_plan(plan, g, l, &s, &rule, moved, work);
    ck_assert(r.converged);
    ck_assert_double_lt(r.residual, 8e-3);
    ck_assert_double_ge(moved[r.iterations - 2], 8e-3);
}
END_TEST

/* ---- gradient: the recipe of 4.9 ----------------------------------------------------- */

typedef struct recipe {
    bool softmax_cost;
    size_t k; /* 1: gates are plan entries (4.7), else renormalised (4.6) */
} recipe;
static const recipe recipes[] = {{false, 2}, {true, 2}, {false, 1}, {true, 1}, {false, 3}};
enum { FD_T = 20, FD_E = 5, FD_N = FD_T * FD_E };

typedef struct fd_run {
    double b[FD_N], l[FD_N], score[FD_N], plan[FD_N], g[FD_E], gate[FD_T * FD_E];
    uint16_t expert[FD_T * FD_E];
} fd_run;

static double phi(fd_run *r, const recipe *rc, const double *z, const double *d_gate)
{
    const vit_route_size s = {FD_T, FD_E, rc->k};

    vit_route_softmax(r->b, z, &s);
    for (size_t i = 0; i < FD_N; i++)
        r->l[i] = (rc->softmax_cost ? r->b[i] : z[i]) / golden_xi;
    plan_tight(r->plan, r->g, r->l, &s);
    for (size_t i = 0; i < FD_N; i++)
        r->score[i] = r->l[i] + r->g[i % FD_E];
    vit_route_top(r->expert, r->score, &s);
    if (rc->k == 1)
        vit_route_gates(r->gate, r->plan, r->expert, &s);
    else
        vit_route_gates_renorm(r->gate, r->score, r->expert, &s);
    return dot(r->gate, d_gate, FD_T * rc->k);
}

START_TEST(exact_gradient_is_that_of_central_differences)
{
    const recipe *rc = &recipes[_i];
    const vit_route_size s = {FD_T, FD_E, rc->k};
    static fd_run r, unused;
    double z[FD_N], d_gate[FD_N], some_h[FD_N], d[FD_N];
    const double step = 1e-6;

    fill_normal(z, FD_N, 1.5, 50);
    fill_normal(d_gate, FD_N, 1.0, 51);
    phi(&r, rc, z, d_gate);
    ck_assert_double_gt(selection_margin(r.score, &s), 1e-3);
    if (rc->k == 1) {
        vit_route_gates_backward(some_h, d_gate, r.expert, &s);
        for (size_t i = 0; i < FD_N; i++)
            some_h[i] *= r.plan[i]; /* H = Pi * dPi: 4.7 */
    } else {
        vit_route_gates_renorm_backward(some_h, r.gate, d_gate, r.expert, &s);
    }
    vit_route_plan_backward(d, some_h, r.plan, golden_xi, &s, work);
    if (rc->softmax_cost)
        vit_route_softmax_backward(d, r.b, &s);
    for (size_t i = 0; i < FD_N; i++) {
        const double kept = z[i];
        z[i] = kept + step;
        const double up = phi(&unused, rc, z, d_gate);
        z[i] = kept - step;
        const double down = phi(&unused, rc, z, d_gate);
        z[i] = kept;
        ck_assert_double_eq_tol(d[i], (up - down) / (2.0 * step), 1e-8);
    }
}
END_TEST

START_TEST(frozen_gradient_is_that_with_potentials_held)
{
    const recipe *rc = &recipes[2]; /* k = 1: the row's own scaling still moves */
    const vit_route_size s = {FD_T, FD_E, 1};
    static fd_run r;
    double z[FD_N], d_gate[FD_T], some_h[FD_N], d[FD_N], up[FD_N], down[FD_N];
    const double step = 1e-6;

    fill_normal(z, FD_N, 1.5, 52);
    fill_normal(d_gate, FD_T, 1.0, 53);
    phi(&r, rc, z, d_gate);
    vit_route_gates_backward(some_h, d_gate, r.expert, &s);
    for (size_t i = 0; i < FD_N; i++)
        some_h[i] *= r.plan[i];
    vit_route_plan_frozen(d, some_h, r.plan, golden_xi, &s);
    for (size_t i = 0; i < FD_N; i++) {
        const size_t t = i / FD_E, chosen = t * FD_E + r.expert[t];
        const double kept = r.score[i];
        r.score[i] = kept + step / golden_xi;
        vit_route_softmax(up, r.score, &s);
        r.score[i] = kept - step / golden_xi;
        vit_route_softmax(down, r.score, &s);
        r.score[i] = kept;
        ck_assert_double_eq_tol(
            d[i], d_gate[t] * (up[chosen] - down[chosen]) / (2.0 * step), 1e-8);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_plan");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");
    const int recipe_count = (int)(sizeof recipes / sizeof recipes[0]);

    tcase_add_loop_test(core, plan_and_gates_have_the_golden_values, 0, 2);
    tcase_add_loop_test(core, residuals_fall_as_in_the_design, 0, 2);
    tcase_add_test(core, small_example_of_the_article_is_met);
    tcase_add_test(core, paper_start_gives_the_plans_of_the_papers_iteration);
    tcase_add_test(core, plan_has_unit_rows_and_equal_columns);
    tcase_add_test(core, plan_ignores_constants_in_rows_and_columns);
    tcase_add_test(core, results_do_not_depend_on_the_number_of_threads);
    tcase_add_test(limits, one_expert_takes_all);
    tcase_add_test(limits, one_token_is_spread_evenly);
    tcase_add_test(limits, columns_that_underflow_are_found_in_logarithms);
    tcase_add_test(limits, disconnected_experts_leave_the_gradient_finite);
    tcase_add_test(limits, nan_cost_stops_at_once);
    tcase_add_test(limits, tolerance_is_relative_to_the_ideal_load);
    tcase_add_loop_test(gradient, exact_gradient_has_the_golden_values_step_by_step, 0, 2);
    tcase_add_loop_test(gradient, frozen_gradient_has_the_golden_values, 0, 2);
    tcase_add_test(gradient, gradient_has_zero_row_and_column_sums);
    tcase_add_test(gradient, pinned_and_mean_zero_potentials_give_the_same_gradient);
    tcase_add_loop_test(gradient, exact_gradient_is_that_of_central_differences, 0,
                        recipe_count);
    tcase_add_test(gradient, frozen_gradient_is_that_with_potentials_held);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
