/* test_vit_router_math.c - softmax, top-k, gates and auxiliary losses in double precision
 * against the golden numbers of the design (routing.md 0.4, 1, 2) and central differences.
 */
#include "tests/test_leaks.h"
#include "tests/test_vit_router.h"
#include "vit/routers/router_pass_internal.h"

static double work[4096];

START_TEST(renormalised_gates_have_the_golden_values)
{
    const double want[GOLDEN_COUNT] = {.81757448, .18242552, 0,         .62245933,
                                       .37754067, 0,         .80218389, 0,
                                       .19781611, .33181223, .66818777, 0};
    const uint16_t choices[] = {0, 1, 0, 1, 0, 2, 1, 0};
    uint16_t expert[8];
    double gate[8], dense[GOLDEN_COUNT];

    vit_route_top(expert, golden_z, &golden_size);
    ck_assert_mem_eq(expert, choices, sizeof choices);
    vit_route_gates_renorm(gate, golden_z, expert, &golden_size);
    vit_route_gates_backward(dense, gate, expert, &golden_size); /* scatter */
    expect_golden(dense, want, GOLDEN_COUNT);
}
END_TEST

START_TEST(balance_loss_has_the_golden_value_and_gradient)
{
    const double want[GOLDEN_COUNT] = {.068924136,  -.050354844, -.018569292, .10005451,
                                       -.069891656, -.030162857, .098506773,  -.021479484,
                                       -.077027289, .082324951,  -.026929378, -.055395572};
    uint16_t expert[8];
    double p[GOLDEN_COUNT], d_z[GOLDEN_COUNT] = {0};

    vit_route_softmax(p, golden_z, &golden_size);
    vit_route_top(expert, golden_z, &golden_size);
    const double first = vit_route_balance(d_z, 1.0, p, expert, false, &golden_size, work);
    expect_golden(&first, &(double){1.5305250}, 1);
    expect_golden(d_z, want, GOLDEN_COUNT);
    const double all = vit_route_balance(NULL, 1.0, p, expert, true, &golden_size, work);
    expect_golden(&all, &(double){1.2459038}, 1);
}
END_TEST

START_TEST(z_loss_has_the_golden_value_and_gradient)
{
    const double want[GOLDEN_COUNT] = {.88038375, .19644017,  .043831726, .58987229,
                                       .35777563, .079830534, .77210997,  .094549829,
                                       .19039997, .19978256,  .40231267,  .18077074};
    double p[GOLDEN_COUNT], d_z[GOLDEN_COUNT] = {0};

    vit_route_softmax(p, golden_z, &golden_size);
    const double loss = vit_route_z_loss(d_z, 1.0, golden_z, p, &golden_size, work);
    expect_golden(&loss, &(double){4.0418355}, 1);
    expect_golden(d_z, want, GOLDEN_COUNT);
}
END_TEST

START_TEST(importance_loss_has_the_golden_value_and_gradient)
{
    const double want[GOLDEN_COUNT] = {.083864611,  -.061382611, -.022482000, .12174303,
                                       -.085265336, -.036477691, .11952329,   -.026234139,
                                       -.093289150, .10008496,   -.033268418, -.066816538};
    double p[GOLDEN_COUNT], sum[GOLDEN_EXPERTS], d_z[GOLDEN_COUNT] = {0};

    vit_route_softmax(p, golden_z, &golden_size);
    vit_route_column_sum(sum, p, &golden_size, work);
    expect_golden(sum, (const double[]){2.3453196, 1.1268411, .52783931}, 3);
    const double loss = vit_route_importance(d_z, 1.0, p, &golden_size, work);
    expect_golden(&loss, &(double){.32167045}, 1);
    expect_golden(d_z, want, GOLDEN_COUNT);
}
END_TEST

START_TEST(load_loss_has_the_golden_value_and_gradient)
{
    const double want[GOLDEN_COUNT] = {
        1.0654398e-8, 9.3114416e-4, -9.3115481e-4, .094676154, -.094675983,   -1.7143100e-7,
        7.3949885e-7, -.024399119,  .024398380,    .11856510,  -4.6160854e-3, -.11394901};
    const double noisy_p[GOLDEN_COUNT] = {.84135805, .11386543, .044776524, .46993197,
                                          .42521203, .10485600, .80538828,  .078100086,
                                          .11651164, .15157049, .61464866,  .23378085};
    const double sigma = 1.0 / 3.0;
    double noisy[GOLDEN_COUNT], p[GOLDEN_COUNT], d_z[GOLDEN_COUNT] = {0};
    uint16_t expert[8];

    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        noisy[i] = golden_z[i] + sigma * golden_eps[i];
    vit_route_softmax(p, noisy, &golden_size);
    expect_golden(p, noisy_p, GOLDEN_COUNT);
    vit_route_top(expert, noisy, &golden_size);
    const uint16_t threshold[] = {1, 1, 2, 2};
    for (size_t t = 0; t < GOLDEN_TOKENS; t++)
        ck_assert_uint_eq(expert[t * 2 + 1], threshold[t]);
    const double loss =
        vit_route_load(d_z, 1.0, golden_z, noisy, sigma, expert, &golden_size, work);
    expect_golden(&loss, &(double){.14951376}, 1);
    expect_golden(d_z, want, GOLDEN_COUNT);
    /* far below the threshold the digits hold too: erfc, not 1 - erf; the first is a
     * difference of numbers 1e5 times larger */
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        ck_assert_double_eq_tol(d_z[i] / want[i], 1.0, 1e-6);
}
END_TEST

START_TEST(top_takes_the_lower_expert_of_equals)
{
    const double score[] = {1, 3, 3, 1, 0, 0, 0, 0, -INFINITY, -INFINITY, 5, -INFINITY};
    const vit_route_size s = {3, 4, 3};
    const uint16_t want[] = {1, 2, 0, 0, 1, 2, 2, 0, 1};
    uint16_t expert[9];

    vit_route_top(expert, score, &s);
    ck_assert_mem_eq(expert, want, sizeof want);
}
END_TEST

START_TEST(top_gives_different_experts_for_nan_scores)
{
    double score[4] = {NAN, 1, NAN, 2};
    const vit_route_size s = {1, 4, 3};

    for (int pattern = 0; pattern < 16; pattern++) {
        uint16_t expert[3];
        for (int e = 0; e < 4; e++)
            score[e] = pattern >> e & 1 ? (double)NAN : (double)e;
        vit_route_top(expert, score, &s);
        for (int i = 0; i < 3; i++) {
            ck_assert_uint_lt(expert[i], 4);
            for (int j = 0; j < i; j++)
                ck_assert_uint_ne(expert[i], expert[j]);
        }
    }
}
END_TEST

START_TEST(top_of_all_experts_sorts_them)
{
    enum { E = 256 };
    double score[E];
    uint16_t expert[E];
    const vit_route_size s = {1, E, E};

    fill_normal(score, E, 1.0, 3);
    vit_route_top(expert, score, &s);
    for (size_t i = 1; i < E; i++)
        ck_assert(score[expert[i - 1]] > score[expert[i]]);
}
END_TEST

START_TEST(softmax_survives_logits_of_any_size)
{
    const double z[] = {1e300, -1e300, 0, -800, -800, -801};
    const vit_route_size s = {2, 3, 1};
    double p[6];

    vit_route_softmax(p, z, &s);
    ck_assert_double_eq(p[0], 1.0);
    ck_assert_double_eq(p[1], 0.0);
    ck_assert_double_eq_tol(p[3] + p[4] + p[5], 1.0, 1e-15);
    ck_assert_double_eq_tol(p[5] / p[3], exp(-1.0), 1e-15);
}
END_TEST

START_TEST(one_expert_has_no_imbalance)
{
    const double z[] = {3, -2, 0};
    const vit_route_size s = {3, 1, 1};
    const uint16_t expert[] = {0, 0, 0};
    double p[3], d_z[3] = {0};

    vit_route_softmax(p, z, &s);
    ck_assert_double_eq(vit_route_balance(d_z, 1.0, p, expert, false, &s, work), 1.0);
    ck_assert_double_eq(vit_route_importance(d_z, 1.0, p, &s, work), 0.0);
    ck_assert_double_eq(vit_route_load(d_z, 1.0, z, z, 1.0, expert, &s, work), 0.0);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(d_z[i], 0.0, 1e-15);
}
END_TEST

START_TEST(equal_probabilities_have_balance_one)
{
    enum { T = 600, E = 5 };
    static double p[T * E];
    static uint16_t expert[T];
    const vit_route_size s = {T, E, 1};

    for (size_t i = 0; i < T * E; i++)
        p[i] = 1.0 / E;
    for (size_t t = 0; t < T; t++)
        expert[t] = (uint16_t)(t * t % E); /* whatever the choices are */
    ck_assert_double_eq_tol(vit_route_balance(NULL, 1, p, expert, false, &s, work), 1.0,
                            1e-12);
    ck_assert_double_eq_tol(vit_route_importance(NULL, 1, p, &s, work), 0.0, 1e-12);
}
END_TEST

/* ---- gradients: T spans several chunks ----------------------------------------------- */

enum { T = 530, E = 5, K = 2 };
static const vit_route_size size = {T, E, K};
static double z[T * E], other[T * E], p[T * E], d_z[T * E];
static uint16_t expert[T * K];

typedef enum subject { BALANCE, BALANCE_ALL, Z_LOSS, IMPORTANCE, LOAD } subject;
static const double sigma = 0.4;

/* The loss at logits z; noise and choices as they were at the start. */
static double loss_at(subject which, double *gradient, double scale)
{
    static double noisy[T * E];

    vit_route_softmax(p, z, &size);
    switch (which) {
    case BALANCE: return vit_route_balance(gradient, scale, p, expert, false, &size, work);
    case BALANCE_ALL:
        return vit_route_balance(gradient, scale, p, expert, true, &size, work);
    case Z_LOSS: return vit_route_z_loss(gradient, scale, z, p, &size, work);
    case IMPORTANCE: return vit_route_importance(gradient, scale, p, &size, work);
    case LOAD: break;
    }
    for (size_t i = 0; i < T * E; i++)
        noisy[i] = z[i] + sigma * other[i];
    return vit_route_load(gradient, scale, z, noisy, sigma, expert, &size, work);
}

START_TEST(loss_gradients_are_those_of_central_differences)
{
    const subject which = (subject)_i;
    const double h = 1e-5, scale = 3.0;
    double largest = 0.0;

    fill_normal(z, T * E, 1.5, 10);
    fill_normal(other, T * E, 1.0, 11);
    for (size_t i = 0; i < T * E; i++)
        d_z[i] = z[i] + sigma * other[i];
    vit_route_top(expert, d_z, &size);
    for (size_t i = 0; i < T * E; i++)
        d_z[i] = 1.0; /* gradients are added */
    loss_at(which, d_z, scale);
    for (size_t i = 0; i < T * E; i += 7) {
        const double kept = z[i];
        z[i] = kept + h;
        const double up = loss_at(which, NULL, scale);
        z[i] = kept - h;
        const double down = loss_at(which, NULL, scale);
        z[i] = kept;
        const double want = 1.0 + scale * (up - down) / (2.0 * h);
        ck_assert_msg(fabs(d_z[i] - want) < 1e-8, "entry %zu: %.12g, expected %.12g", i,
                      d_z[i], want);
        largest = fmax(largest, fabs(want - 1.0));
    }
    ck_assert_double_gt(largest, 1e-5); /* something was compared */
}
END_TEST

START_TEST(loss_gradients_sum_to_zero_over_a_row)
{
    const subject which = (subject)_i;

    if (which == Z_LOSS)
        return; /* moves with a constant added to a row */
    fill_normal(z, T * E, 1.5, 12);
    fill_normal(other, T * E, 1.0, 13);
    vit_route_top(expert, z, &size);
    memset(d_z, 0, sizeof d_z);
    loss_at(which, d_z, 1.0);
    for (size_t t = 0; t < T; t++) {
        double sum = 0.0;
        for (size_t e = 0; e < E; e++)
            sum += d_z[t * E + e];
        ck_assert_double_eq_tol(sum, 0.0, 1e-15);
    }
}
END_TEST

typedef enum gate_kind { PROB, RENORM, SIGMOID } gate_kind;

static double gates_at(gate_kind kind, double *gate, const double *d_gate)
{
    vit_route_softmax(p, z, &size);
    if (kind == PROB)
        vit_route_gates(gate, p, expert, &size);
    else if (kind == RENORM)
        vit_route_gates_renorm(gate, z, expert, &size);
    else
        vit_route_gates_sigmoid(gate, z, expert, &size);
    return dot(gate, d_gate, T * K);
}

START_TEST(gate_gradients_are_those_of_central_differences)
{
    static double gate[T * K], d_gate[T * K], moved[T * K];
    const gate_kind kind = (gate_kind)_i;
    const double h = 1e-5;

    fill_normal(z, T * E, 1.5, 14);
    fill_normal(d_gate, T * K, 1.0, 15);
    vit_route_top(expert, z, &size);
    gates_at(kind, gate, d_gate);
    if (kind == PROB) {
        vit_route_gates_backward(d_z, d_gate, expert, &size);
        vit_route_softmax_backward(d_z, p, &size);
    } else if (kind == RENORM) {
        vit_route_gates_renorm_backward(d_z, gate, d_gate, expert, &size);
    } else {
        vit_route_gates_sigmoid_backward(d_z, gate, d_gate, expert, &size);
    }
    for (size_t i = 0; i < T * E; i += 3) {
        const double kept = z[i];
        z[i] = kept + h;
        const double up = gates_at(kind, moved, d_gate);
        z[i] = kept - h;
        const double down = gates_at(kind, moved, d_gate);
        z[i] = kept;
        ck_assert_double_eq_tol(d_z[i], (up - down) / (2.0 * h), 1e-8);
    }
}
END_TEST

START_TEST(sums_do_not_depend_on_the_batch_around_a_chunk)
{
    double whole[E], front[E], back[E];
    const vit_route_size first = {VIT_ROUTE_CHUNK, E, K};
    const vit_route_size second = {T - VIT_ROUTE_CHUNK, E, K};

    fill_normal(z, T * E, 1.0, 16);
    vit_route_column_sum(whole, z, &size, work);
    vit_route_column_sum(front, z, &first, work);
    vit_route_column_sum(back, z + VIT_ROUTE_CHUNK * E, &second, work);
    /* chunks of 256, 256, 18: (a + b) + c against a + (b + c) */
    for (size_t e = 0; e < E; e++)
        ck_assert_double_eq_tol(whole[e], front[e] + back[e], 1e-12);
}
END_TEST

/* Normal number e of token t is that of counter first_token + t under the key of seed,
 * step and layer: part of every result, so a resumed run and another release draw it. */
START_TEST(noise_is_that_of_its_key)
{
    enum { TOKENS = 70, EXPERTS = 3 }; /* more than the 64 that are drawn at once */
    const uint64_t key =
        base_key((const uint64_t[]){7, BASE_PURPOSE_ROUTER_NOISE, 11, 2}, 4);
    const uint32_t words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    const vit_router_pass pass = {
        .plan = {.shape = {.tokens = TOKENS,
                           .tokens_per_image = TOKENS,
                           .group_tokens = TOKENS,
                           .experts = EXPERTS,
                           .k = 1}},
        .in = {.seed = 7, .step = 11, .layer = 2, .first_token = 1000}};
    double out[TOKENS * EXPERTS];
    float eps[TOKENS * EXPERTS];

    for (size_t i = 0; i < TOKENS * EXPERTS; i++)
        out[i] = (double)i;
    vit_route_noise_add(out, 0.5, &pass);
    vit_kernels_get()->normals(eps, TOKENS, EXPERTS, words, 1000);
    for (size_t i = 0; i < TOKENS * EXPERTS; i++)
        ck_assert_double_eq_tol(out[i], (double)i + 0.5 * (double)eps[i], 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_math");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");
    TCase *gradient = test_case_of_threads("Gradient");

    tcase_add_test(core, renormalised_gates_have_the_golden_values);
    tcase_add_test(core, balance_loss_has_the_golden_value_and_gradient);
    tcase_add_test(core, z_loss_has_the_golden_value_and_gradient);
    tcase_add_test(core, importance_loss_has_the_golden_value_and_gradient);
    tcase_add_test(core, load_loss_has_the_golden_value_and_gradient);
    tcase_add_test(core, equal_probabilities_have_balance_one);
    tcase_add_test(core, sums_do_not_depend_on_the_batch_around_a_chunk);
    tcase_add_test(limits, top_takes_the_lower_expert_of_equals);
    tcase_add_test(limits, top_gives_different_experts_for_nan_scores);
    tcase_add_test(limits, top_of_all_experts_sorts_them);
    tcase_add_test(core, noise_is_that_of_its_key);
    tcase_add_test(limits, softmax_survives_logits_of_any_size);
    tcase_add_test(limits, one_expert_has_no_imbalance);
    tcase_add_loop_test(gradient, loss_gradients_are_those_of_central_differences, BALANCE,
                        LOAD + 1);
    tcase_add_loop_test(gradient, loss_gradients_sum_to_zero_over_a_row, BALANCE, LOAD + 1);
    tcase_add_loop_test(gradient, gate_gradients_are_those_of_central_differences, PROB,
                        SIGMOID + 1);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, gradient);
    return test_run(suite);
}
