/* test_vit_router_xmoe.c - the cosine router: golden numbers of the design (routing.md 5),
 * what does not change its logits, first values, refusals. Finite differences are in
 * test_vit_router_pass.c. */
#include "tests/test_leaks.h"
#include "tests/test_vit_router_rig.h"
#include "tests/test_says.h"

enum { TOKENS = 3, WIDTH = 3, DIM = 2, EXPERTS = 3 };

static const float x[TOKENS * WIDTH] = {.5f, -1, .3f, 1.2f, .4f, -.7f, -.6f, .9f, .8f};
/* W_r of the design is [width, dim]; ours is its transpose. */
static const float projection[DIM * WIDTH] = {.7f, .1f, -.5f, -.2f, .9f, .4f};
static const float vectors[EXPERTS * DIM] = {1, .2f, -.3f, .8f, -.6f, -.9f};
static const double d_gates[TOKENS * EXPERTS] = {.3, -.7, .2, -.4, .6, .5, .9, -.1, -.6};

static void golden_open(rig *r, const char *options)
{
    const vit_router_shape shape = {.tokens = TOKENS,
                                    .tokens_per_image = TOKENS,
                                    .group_tokens = TOKENS,
                                    .width = WIDTH,
                                    .heads = 1,
                                    .experts = EXPERTS,
                                    .k = 2};

    rig_open(r, "xmoe", options, shape);
    memcpy(r->x, x, sizeof x);
    memcpy(r->param[0], vectors, sizeof vectors);
    memcpy(r->param[1], projection, sizeof projection);
    if (r->params == 3)
        r->param[2][0] = .3f;
    r->pass.in.training = false;
    vit_router_forward(r->router, &r->pass);
}

static void expect_floats(const float *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) <= 2e-6,
                      "entry %zu is %.9g, expected %.9g", i, (double)got[i], want[i]);
}

static void backward(rig *r, const double *d_gate)
{
    for (size_t a = 0; a < r->pass.out.count; a++)
        r->weight[a] =
            (float)d_gate[r->pass.out.token[a] * EXPERTS + r->pass.out.expert[a]];
    r->router->backward(&r->pass, r->weight);
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(golden_numbers_are_met)
{
    const double s[] = {-.084144964, -.96998683, .76409852, .94709032, -.46897124,
                        -.44273593,  -.32515550, .98561841, -.43876334};
    const double p[] = {.055694867,  .0029068842, .94139825, .98169986,  .0087502338,
                        .0095499075, .012396361,  .97911516, .0084884812};
    const double gate[] = {.055857238,  0,          .94414276, .99036579, 0,
                           .0096342091, .012502488, .98749751, 0};
    const double d_projection[] = {.00039690840, -.016663099,  .027503430,
                                   -.038279276,  -.0048028150, .029517169};
    double matrix[TOKENS * EXPERTS] = {0}, cosine[TOKENS * EXPERTS];
    rig r;

    golden_open(&r, "");
    for (size_t i = 0; i < TOKENS * EXPERTS; i++)
        cosine[i] = r.pass.out.logits[i] * (double)r.param[2][0];
    expect_near(cosine, s, TOKENS * EXPERTS, 2e-6);
    expect_near(r.pass.out.probs, p, TOKENS * EXPERTS, 2e-6);
    for (size_t a = 0; a < r.pass.out.count; a++)
        matrix[r.pass.out.token[a] * EXPERTS + r.pass.out.expert[a]] =
            (double)r.pass.out.gate[a];
    expect_near(matrix, gate, TOKENS * EXPERTS, 2e-6);
    backward(&r, d_gates);
    expect_floats(r.d_param[2], (const double[]){.36212480}, 1);
    expect_floats(r.d_x,
                  (const double[]){.021926003, .0065483701, -.014715439, .0030356503,
                                   -.025440562, -.0093334920, .011120152, .011928613,
                                   -.0050795755},
                  TOKENS * WIDTH);
    expect_floats(r.d_param[1], d_projection, DIM * WIDTH);
    expect_floats(r.d_param[0],
                  (const double[]){-.0058823716, .029411858, .0076213113, .0028579917,
                                   .011019749, -.0073464994},
                  EXPERTS * DIM);
    rig_close(&r);
}
END_TEST

START_TEST(lengths_of_tokens_and_experts_do_not_matter)
{
    double logits[TOKENS * EXPERTS], along;
    rig r;

    golden_open(&r, "");
    memcpy(logits, r.pass.out.logits, sizeof logits);
    for (size_t i = 0; i < WIDTH; i++)
        r.x[i] *= 5.0f;
    for (size_t i = 0; i < DIM; i++)
        r.param[0][DIM + i] *= 0.125f;
    vit_router_forward(r.router, &r.pass);
    expect_near(r.pass.out.logits, logits, TOKENS * EXPERTS, 1e-6);
    for (size_t i = 0; i < TOKENS * EXPERTS; i++)
        ck_assert_double_le(fabs(logits[i]) * 0.3, 1.0 + 1e-6);
    backward(&r, d_gates);
    for (size_t e = 0; e < EXPERTS; e++) { /* nothing along the vector itself */
        along = (double)r.param[0][e * DIM] * (double)r.d_param[0][e * DIM] +
                (double)r.param[0][e * DIM + 1] * (double)r.d_param[0][e * DIM + 1];
        ck_assert_double_eq_tol(along, 0.0, 1e-6);
    }
    rig_close(&r);
}
END_TEST

START_TEST(the_code_normalises_experts_only)
{
    rig r;

    golden_open(&r, "variant=code");
    ck_assert_uint_eq(r.params, 2);
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t e = 0; e < EXPERTS; e++) {
            const float *v = vectors + e * DIM;
            double sum = 0, squares = 0;
            for (size_t j = 0; j < DIM; j++) {
                double projected = 0;
                for (size_t i = 0; i < WIDTH; i++)
                    projected +=
                        (double)x[t * WIDTH + i] * (double)projection[j * WIDTH + i];
                sum += projected * (double)v[j];
                squares += (double)v[j] * (double)v[j];
            }
            ck_assert_double_eq_tol(r.pass.out.logits[t * EXPERTS + e], sum / sqrt(squares),
                                    1e-6);
        }
    rig_close(&r);
}
END_TEST

START_TEST(a_loss_of_the_logits_reaches_tokens_and_temperature)
{
    const float weight[TOKENS * EXPERTS] = {.5f, -1, .25f, .75f, .3f, -.6f, 1, -.2f, .4f};
    float *moved[2];
    rig r;

    golden_open(&r, "");
    r.pass.gradient.logits = weight;
    memset(r.weight, 0, r.pass.out.count * sizeof *r.weight);
    r.router->backward(&r.pass, r.weight);
    moved[0] = r.x;
    moved[1] = r.param[2];
    for (size_t i = 0; i < TOKENS * WIDTH + 1; i++) {
        float *at = i < TOKENS * WIDTH ? moved[0] + i : moved[1];
        const float kept = *at, got = i < TOKENS * WIDTH ? r.d_x[i] : r.d_param[2][0];
        double value[2];
        for (int side = 0; side < 2; side++) {
            *at = kept + (side ? 2e-3f : -2e-3f);
            vit_router_forward(r.router, &r.pass);
            value[side] = 0;
            for (size_t j = 0; j < TOKENS * EXPERTS; j++)
                value[side] += (double)weight[j] * r.pass.out.logits[j];
        }
        *at = kept;
        ck_assert_double_eq_tol((double)got, (value[1] - value[0]) / 4e-3, 5e-3);
    }
    rig_close(&r);
}
END_TEST

START_TEST(first_vectors_are_orthogonal)
{
    const size_t cases[][2] = {{8, 4}, {5, 3}, {4, 9}, {16, 16}};

    for (size_t c = 0; c < 8; c++) {
        const size_t e = cases[c / 2][0], d = cases[c / 2][1], lines = e < d ? e : d;
        vit_router_shape shape = usual;
        char options[64];
        rig r;

        shape.experts = e;
        snprintf(options, sizeof options, "dim=%zu variant=%s", d,
                 c % 2 ? "code" : "paper");
        rig_open(&r, "xmoe", options, shape);
        base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, c, 0, 0);
        ck_assert(r.router->init(r.w, 0, &r.pass.plan.shape, &rng));
        ck_assert(!r.router->init(r.param[1], 1, &r.pass.plan.shape, &rng));
        for (size_t i = 0; c % 2 == 1 && i < e; i++) { /* every row 1.5 long */
            double squares = 0;
            for (size_t j = 0; j < d; j++)
                squares += (double)r.w[i * d + j] * (double)r.w[i * d + j];
            ck_assert_double_eq_tol(sqrt(squares), 1.5, 1e-6);
        }
        for (size_t a = 0; c % 2 == 0 && a < lines; a++)
            for (size_t b = 0; b < lines; b++) {
                double sum = 0;
                for (size_t j = 0; j < e + d - lines; j++)
                    sum += e < d ? (double)r.w[a * d + j] * (double)r.w[b * d + j]
                                 : (double)r.w[j * d + a] * (double)r.w[j * d + b];
                ck_assert_double_eq_tol(sum, a == b ? 0.32 * 0.32 : 0, 1e-6);
            }
        if (c % 2 == 0) {
            ck_assert(r.router->init(r.param[2], 2, &r.pass.plan.shape, &rng));
            expect_close(r.param[2][0], 0.3f, 1e-9);
        }
        rig_close(&r);
    }
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(tiny_lengths_and_temperatures_stay_finite)
{
    rig r;

    golden_open(&r, "");
    memset(r.x, 0, WIDTH * sizeof *r.x); /* length 0 */
    memset(r.param[0], 0, DIM * sizeof *r.w);
    r.param[2][0] = -1.0f; /* below the floor */
    r.pass.in.training = true;
    vit_router_forward(r.router, &r.pass);
    backward(&r, d_gates);
    for (size_t i = 0; i < TOKENS * WIDTH; i++)
        ck_assert(isfinite((double)r.d_x[i]));
    for (size_t e = 0; e < EXPERTS; e++)
        ck_assert_double_eq(r.pass.out.logits[e], 0);
    ck_assert_double_eq((double)r.d_param[2][0], 0);
    rig_close(&r);
}
END_TEST

static void refuse(int k, const char *options, const char *words)
{
    vit_config c = vit_config_defaults();
    base_error err = {0};
    rig r;

    configure(&r, "xmoe", options);
    c.moe.experts = 8;
    c.moe.k = k;
    c.moe.router = r.config;
    ck_assert_int_eq(r.router->check(&c, &err), BASE_USAGE);
    test_says(err.text, words);
}

START_TEST(checks_name_the_key)
{
    refuse(1, "gate=renorm",
           "'router.gate' is renorm with router.k 1 (every gate would be 1 and the router "
           "would learn nothing), expected auto, prob or sigmoid, or router.k 2 or more");
    refuse(2, "variant=code temperature=0.5",
           "'router.temperature' is 0.5 with router.variant code, which has none, expected "
           "auto");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_xmoe");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, golden_numbers_are_met);
    tcase_add_test(core, lengths_of_tokens_and_experts_do_not_matter);
    tcase_add_test(core, the_code_normalises_experts_only);
    tcase_add_test(core, a_loss_of_the_logits_reaches_tokens_and_temperature);
    tcase_add_test(core, first_vectors_are_orthogonal);
    tcase_add_test(limits, tiny_lengths_and_temperatures_stay_finite);
    tcase_add_test(limits, checks_name_the_key);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
