/* test_vit_router_pairs.c - routers that give a token any number of experts, and the plan
 * that chooses in evaluation too: the golden numbers of the design (routing.md 3, 9, 10)
 * and what must equal what. Finite differences are in test_vit_router_pass.c. */
#include "tests/test_leaks.h"
#include "tests/test_vit_router_rig.h"

/* The golden logits through a whole router: x = Z, the weight is the unit matrix; one
 * group, one image. */
static void golden_open(rig *r, const char *name, const char *options)
{
    const vit_router_shape shape = {.tokens = GOLDEN_TOKENS,
                                    .tokens_per_image = GOLDEN_TOKENS,
                                    .group_tokens = GOLDEN_TOKENS,
                                    .width = GOLDEN_EXPERTS,
                                    .heads = 1,
                                    .experts = GOLDEN_EXPERTS,
                                    .k = GOLDEN_K};

    rig_open(r, name, options, shape);
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        r->x[i] = (float)golden_z[i];
    memset(r->w, 0, GOLDEN_EXPERTS * GOLDEN_EXPERTS * sizeof *r->w);
    for (size_t e = 0; e < GOLDEN_EXPERTS; e++)
        r->w[e * GOLDEN_EXPERTS + e] = 1.0f;
    r->pass.in.training = false;
    vit_router_forward(r->router, &r->pass);
}

/* Gates as a matrix, 0 where there is no pair, against want (negative: chosen, whatever its
 * gate). */
static void expect_gates(const rig *r, const double *want)
{
    double got[GOLDEN_COUNT] = {0};

    for (size_t a = 0; a < r->pass.out.count; a++)
        got[r->pass.out.token[a] * GOLDEN_EXPERTS + r->pass.out.expert[a]] =
            (double)r->pass.out.gate[a];
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        ck_assert_msg(want[i] < 0 ? got[i] > 0 : fabs(got[i] - want[i]) <= 2e-6,
                      "entry %zu is %.9g, expected %.9g", i, got[i], want[i]);
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(usmoe_has_the_golden_scores_and_pairs)
{
    rig r;

    golden_open(&r, "usmoe", "");
    ck_assert_uint_eq(r.pass.out.count, 8);
    expect_gates(&r, (const double[]){.68639754, .29513164, 0, .55957332, .41778991, 0,
                                      .65126550, 0, 0, .31087491, .49393179, .29044752});
    rig_close(&r);
    golden_open(&r, "usmoe", "eval_k=0.6"); /* round(2.4) = 2 of 12 */
    expect_gates(&r, (const double[]){.68639754, 0, 0, 0, 0, 0, .65126550, 0, 0, 0, 0, 0});
    rig_close(&r);
    golden_open(&r, "usmoe", "eval_k=0");
    ck_assert_uint_eq(r.pass.out.count, 0);
    r.router->backward(&r.pass, r.weight);
    rig_close(&r);
}
END_TEST

START_TEST(usmoe_divides_by_the_sum_over_all_experts)
{
    const double s[3] = {.68639754, .29513164, .10920343};
    const double sum = s[0] + s[1] + s[2];
    rig r;

    golden_open(&r, "usmoe", "divide=row");
    expect_gates(
        &r, (const double[]){s[0] / sum, s[1] / sum, 0, -1, -1, 0, -1, 0, 0, -1, -1, -1});
    rig_close(&r);
}
END_TEST

START_TEST(usmoe_without_sigmoid_row_by_row_is_softmax_prob)
{
    for (size_t k = 1; k <= 3; k++) {
        vit_router_shape shape = usual;
        rig a, b;

        shape.k = k;
        rig_open(&a, "usmoe", "alpha=0 select=token", shape);
        rig_open(&b, "softmax", "gate=prob balance=0", shape);
        ck_assert_double_eq(rig_loss(&a), rig_loss(&b));
        ck_assert_uint_eq(a.pass.out.count, b.pass.out.count);
        ck_assert_mem_eq(a.pass.out.expert, b.pass.out.expert,
                         a.pass.out.count * sizeof(uint16_t));
        ck_assert_mem_eq(a.pass.out.gate, b.pass.out.gate,
                         a.pass.out.count * sizeof(float));
        a.router->backward(&a.pass, a.weight);
        b.router->backward(&b.pass, b.weight);
        for (size_t i = 0; i < shape.tokens * shape.width; i++)
            expect_close(a.d_x[i], b.d_x[i], 1e-6);
        rig_close(&a);
        rig_close(&b);
    }
}
END_TEST

START_TEST(usmoe_takes_exactly_the_best_of_an_image)
{
    rig r;

    rig_open(&r, "usmoe", "", usual);
    vit_router_forward(r.router, &r.pass);
    const size_t n = usual.tokens_per_image, e = usual.experts;
    for (size_t image = 0; image < usual.tokens / n; image++) {
        const size_t first = r.pass.out.start[image * n],
                     end = r.pass.out.start[(image + 1) * n];
        bool taken[64] = {false};
        double low = INFINITY, high = 0;

        ck_assert_uint_eq(end - first, n * usual.k);
        for (size_t a = first; a < end; a++) {
            taken[(r.pass.out.token[a] - image * n) * e + r.pass.out.expert[a]] = true;
            low = fmin(low, (double)r.pass.out.gate[a]);
        }
        for (size_t i = 0; i < n * e; i++) {
            const double z = r.pass.out.logits[image * n * e + i];
            const double p = r.pass.out.probs[image * n * e + i];
            if (!taken[i])
                high = fmax(high, 0.5 * p + 0.2 / (1 + exp(-z)));
        }
        ck_assert_double_ge(low, high - 1e-6);
    }
    rig_close(&r);
}
END_TEST

START_TEST(expert_choice_has_the_golden_tokens)
{
    const double p0[3] = {.78559703, .17529039, .039112573};
    rig r;

    golden_open(&r, "expert-choice", "cf=1.5"); /* C = 2 */
    ck_assert_uint_eq(r.pass.out.count, 6);
    expect_gates(&r, (const double[]){p0[0], 0, 0, 0, .34820743, 0, .73043170, 0, .18012224,
                                      0, .51389725, .23090892});
    rig_close(&r);
}
END_TEST

START_TEST(expert_choice_fills_every_expert_alike)
{
    const struct {
        const char *options;
        size_t tokens, group, loads; /* loads of each expert */
    } cases[] = {
        {"", 21, 9, 7 * 2},                          /* images of 3: ceil(3 * 2 / 5) = 2 */
        {"multiple=4", 21, 9, 7 * 3},                /* no more than the image has */
        {"scope=group", 21, 9, 4 + 4 + 3},           /* 4 of 9, 9; 2 up to 4, at most 3 */
        {"scope=group multiple=1", 21, 21, 9},       /* ceil(8.4) */
        {"scope=group cf=5", 21, 21, 21},            /* all of them */
        {"cf=0.1 scope=group multiple=1", 21, 0, 1}, /* ceil(0.42) */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_router_shape shape = usual;
        size_t load[5] = {0};
        rig r;

        shape.group_tokens = cases[i].group;
        rig_open(&r, "expert-choice", cases[i].options, shape);
        vit_router_forward(r.router, &r.pass);
        for (size_t a = 0; a < r.pass.out.count; a++)
            load[r.pass.out.expert[a]]++;
        for (size_t e = 0; e < shape.experts; e++)
            ck_assert_msg(load[e] == cases[i].loads, "%s: expert %zu has %zu, expected %zu",
                          cases[i].options, e, load[e], cases[i].loads);
        ck_assert_uint_eq(r.pass.out.count, r.router->assignments(&r.pass.plan.shape));
        rig_close(&r);
    }
}
END_TEST

/* By image and by group: whom an expert takes has no smaller probability than whom it
 * leaves among the same tokens; the gate is that probability. */
START_TEST(expert_choice_takes_the_best_of_each_block)
{
    static const struct {
        const char *options;
        size_t block;
    } cases[] = {
        {"noise=0", 3}, {"noise=0 scope=group", 9}, {"noise=0 cf=1.5 multiple=1", 3}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r;
        rig_open(&r, "expert-choice", cases[i].options, usual);
        vit_router_forward(r.router, &r.pass);
        const size_t n = usual.experts;
        bool taken[21 * 5] = {false};
        for (size_t a = 0; a < r.pass.out.count; a++) {
            const size_t at = r.pass.out.token[a] * n + r.pass.out.expert[a];
            taken[at] = true;
            expect_close(r.pass.out.gate[a], (float)r.pass.out.probs[at], 1e-6);
        }
        for (size_t first = 0; first < usual.tokens; first += cases[i].block) {
            const size_t end = first + cases[i].block < usual.tokens
                                   ? first + cases[i].block
                                   : usual.tokens;
            for (size_t e = 0; e < n; e++) {
                double least = INFINITY, left = -INFINITY;
                for (size_t t = first; t < end; t++)
                    if (taken[t * n + e])
                        least = fmin(least, r.pass.out.probs[t * n + e]);
                    else
                        left = fmax(left, r.pass.out.probs[t * n + e]);
                ck_assert(least >= left && isfinite(least));
            }
        }
        rig_close(&r);
    }
}
END_TEST

START_TEST(sinkhorn_ot_chooses_by_the_golden_plan)
{
    rig r;

    golden_open(&r, "sinkhorn-ot", "xi=0.5 iterations=500 combine=plan");
    ck_assert(r.pass.report.used_sinkhorn);
    ck_assert_int_eq(r.pass.report.sinkhorn_iterations, 500);
    expect_gates(&r, (const double[]){.72098929, .22313123, 0, .25910493, .59251069, 0,
                                      .33393664, 0, .63493600, 0, .48656406, .49413348});
    rig_close(&r);
    golden_open(&r, "sinkhorn-ot",
                "xi=0.5 iterations=500"); /* same choice, clean weights */
    expect_gates(&r, (const double[]){.78559703, .17529039, 0, .57409699, .34820743, 0,
                                      .73043170, 0, .18012224, 0, .51389725, .23090892});
    rig_close(&r);
}
END_TEST

/* 20 updates of u = 1 / (K v), v = s / (K^T u), as the source makes them. */
START_TEST(sinkhorn_ot_makes_twenty_updates_of_the_scalings)
{
    double u[GOLDEN_TOKENS] = {1, 1, 1, 1}, v[GOLDEN_EXPERTS], want[GOLDEN_COUNT];
    rig r;

    for (int n = 0; n < 20; n++) {
        for (size_t e = 0; e < GOLDEN_EXPERTS; e++) {
            double sum = 0;
            for (size_t t = 0; t < GOLDEN_TOKENS; t++)
                sum += exp(golden_z[t * GOLDEN_EXPERTS + e] / 0.05) * u[t];
            v[e] = GOLDEN_TOKENS / (double)GOLDEN_EXPERTS / sum;
        }
        for (size_t t = 0; t < GOLDEN_TOKENS; t++) {
            double sum = 0;
            for (size_t e = 0; e < GOLDEN_EXPERTS; e++)
                sum += exp(golden_z[t * GOLDEN_EXPERTS + e] / 0.05) * v[e];
            u[t] = 1 / sum;
        }
    }
    for (size_t i = 0; i < GOLDEN_COUNT; i++)
        want[i] = u[i / GOLDEN_EXPERTS] * exp(golden_z[i] / 0.05) * v[i % GOLDEN_EXPERTS];
    golden_open(&r, "sinkhorn-ot",
                "xi=0.05 combine=plan"); /* so sharp that it has not converged */
    ck_assert_double_gt(r.pass.report.sinkhorn_residual, 1e-3);
    for (size_t a = 0; a < r.pass.out.count; a++)
        ck_assert_double_eq_tol(
            (double)r.pass.out.gate[a],
            want[r.pass.out.token[a] * GOLDEN_EXPERTS + r.pass.out.expert[a]], 1e-5);
    rig_close(&r);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(the_largest_are_marked_ties_to_the_lower_place)
{
    const double cases[][6] = {{3, 1, 2, 3, 3, 0},
                               {0, 0, 0, 0, 0, 0},
                               {-1, -2, 5, -1, -1, 1e-300},
                               {1, 1, 1, 2, 2, 2},
                               {1e300, -1e300, 0, -0.0, 1, -1},
                               {INFINITY, 1, NAN, 2, 3, -INFINITY}};
    uint64_t key[6];

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (size_t m = 0; m <= 6; m++) {
            uint8_t mark[12] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
            double spread[12];
            size_t count = 0;

            for (size_t i = 0; i < 12; i++)
                spread[i] = i % 2 ? 99 : cases[c][i / 2];
            vit_route_mark_largest(mark, spread, 6, 2, m, key);
            for (size_t i = 0; i < 6; i++) {
                size_t better = 0; /* how many come before place i */
                for (size_t j = 0; j < 6; j++)
                    better +=
                        cases[c][j] > cases[c][i] || (cases[c][j] == cases[c][i] && j < i);
                ck_assert_uint_eq(mark[2 * i + 1], 7);
                count += mark[2 * i];
                if (c < 4)
                    ck_assert_uint_eq(mark[2 * i], better < m);
            }
            ck_assert_uint_eq(count, m);
        }
}
END_TEST

START_TEST(many_scores_are_selected_as_sorting_would)
{
    enum { COUNT = 4000 };
    double *score = take(COUNT, sizeof *score);
    uint8_t *mark = take(COUNT, 1);
    uint64_t *key = take(COUNT, sizeof *key);

    fill_normal(score, COUNT, 1.0, 5);
    for (size_t i = 0; i < COUNT; i++)
        score[i] = floor(score[i] * 64) / 64; /* many ties */
    for (size_t m = 1; m < COUNT; m += 371) {
        vit_route_mark_largest(mark, score, COUNT, 1, m, key);
        for (size_t i = 0; i < COUNT; i += 13) {
            size_t better = 0;
            for (size_t j = 0; j < COUNT; j++)
                better += score[j] > score[i] || (score[j] == score[i] && j < i);
            ck_assert_uint_eq(mark[i], better < m);
        }
    }
    base_free(score);
    base_free(mark);
    base_free(key);
}
END_TEST

static void refuse(const char *router, const char *options, double eval_capacity,
                   const char *words)
{
    vit_config c = vit_config_defaults();
    base_error err = {0};
    rig r;

    configure(&r, router, options);
    c.moe.experts = 8;
    c.moe.k = 2;
    c.moe.eval_capacity = eval_capacity;
    c.moe.router = r.config;
    ck_assert_int_eq(r.router->check(&c, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, words);
}

START_TEST(checks_name_the_key)
{
    refuse(
        "expert-choice", "", 1.5,
        "'moe.eval_capacity' is 1.5 with router expert-choice, expected 0 (an expert takes "
        "as many tokens as router.cf says)");
    refuse("expert-choice", "cf=9", 0,
           "'router.cf' is 9, expected at most the number of experts (8)");
    refuse("expert-choice", "cf=0.02", 0,
           "'router.cf' gives an expert less than one token of an image of 197, expected "
           "0.0406 or more, or fewer experts than 8");
    refuse("usmoe", "eval_k=8.5", 0,
           "'router.eval_k' is 8.5, expected at most the number of experts (8)");
    refuse("usmoe", "eval_k=1.5 select=token", 0,
           "'router.eval_k' is 1.5 with router.select token, expected a whole number");
}
END_TEST

/* Sets vit_config_mixes_images apart: what the report of an attack must say. */
START_TEST(routers_say_whether_images_decide_about_one_another)
{
    const struct {
        const char *router, *options;
        double eval_capacity;
        int group_images;
        bool mixes;
    } cases[] = {
        {"usmoe", "", 0, 0, false},
        {"softmax", "", 0, 0, false},
        {"ssr", "scope=global p=1", 0, 0, false}, /* no plan in evaluation */
        {"softmax", "", 2, 0, true},
        {"softmax", "", 2, 1, false},
        {"expert-choice", "", 0, 0, false},
        {"expert-choice", "scope=group", 0, 0, true},
        {"expert-choice", "scope=group", 0, 1, false},
        {"sinkhorn-ot", "", 0, 0, false},
        {"sinkhorn-ot", "scope=group", 0, 4, true},
        {"sinkhorn-ot", "scope=global", 0, 1, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_config c = vit_config_defaults();
        rig r;

        configure(&r, cases[i].router, cases[i].options);
        c.moe.router = r.config;
        c.moe.eval_capacity = cases[i].eval_capacity;
        c.moe.group_images = cases[i].group_images;
        ck_assert(!vit_config_mixes_images(&c)); /* dense */
        c.moe.layer[1] = true;
        ck_assert_msg(vit_config_mixes_images(&c) == cases[i].mixes, "case %zu", i);
    }
}
END_TEST

START_TEST(replays_depend_on_the_options)
{
    static const struct {
        const char *name, *options;
        bool replays;
    } replaying[] = {{"xmoe", "", true},
                     {"usmoe", "", false},
                     {"quantile", "", true},
                     {"quantile", "form=dynamic", false}};
    rig r;

    for (size_t i = 0; i < sizeof replaying / sizeof replaying[0]; i++) {
        configure(&r, replaying[i].name, replaying[i].options);
        ck_assert(vit_router_replays(&r.config) == replaying[i].replays);
    }
    ck_assert(!vit_router_replays(&(vit_router_config){.name = "nearest"}));
}
END_TEST

static double flops(const char *router, const char *options)
{
    vit_config c = vit_config_defaults(); /* ViT-Ti: 197 tokens, width 192, MLP 768 */
    vit_model *model = NULL;
    rig r;

    configure(&r, router, options);
    c.moe.router = r.config;
    c.moe.experts = 8;
    c.moe.k = 2;
    c.moe.layer[1] = c.moe.layer[3] = true;
    ck_assert_int_eq(vit_model_create(&model, &c, NULL), BASE_OK);
    const double sum = vit_model_flops(model);
    vit_model_destroy(model);
    return sum;
}

START_TEST(operations_follow_the_number_of_pairs)
{
    const double usual_flops = flops("softmax", ""), pair = 2 * 2 * 192 * 768, layers = 2;

    ck_assert_double_eq(flops("usmoe", ""), usual_flops);
    ck_assert_double_eq(flops("usmoe", "eval_k=1.5"),
                        usual_flops - layers * (394 - 296) * pair); /* round(295.5) */
    ck_assert_double_eq(flops("expert-choice", ""),                 /* 8 * ceil(49.25) */
                        usual_flops + layers * (400 - 394) * pair);
    ck_assert_double_eq(flops("expert-choice", "scope=group"), usual_flops);
    ck_assert_double_eq(flops("xmoe", ""), /* four dimensions */
                        usual_flops + layers * 2 * 197 * (4.0 * 192 + 4 * 8 - 192 * 8));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_pairs");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, usmoe_has_the_golden_scores_and_pairs);
    tcase_add_test(core, usmoe_divides_by_the_sum_over_all_experts);
    tcase_add_test(core, usmoe_without_sigmoid_row_by_row_is_softmax_prob);
    tcase_add_test(core, usmoe_takes_exactly_the_best_of_an_image);
    tcase_add_test(core, expert_choice_has_the_golden_tokens);
    tcase_add_test(core, expert_choice_fills_every_expert_alike);
    tcase_add_test(core, expert_choice_takes_the_best_of_each_block);
    tcase_add_test(core, sinkhorn_ot_chooses_by_the_golden_plan);
    tcase_add_test(core, sinkhorn_ot_makes_twenty_updates_of_the_scalings);
    tcase_add_test(core, operations_follow_the_number_of_pairs);
    tcase_add_test(limits, the_largest_are_marked_ties_to_the_lower_place);
    tcase_add_test(limits, many_scores_are_selected_as_sorting_would);
    tcase_add_test(limits, checks_name_the_key);
    tcase_add_test(limits, routers_say_whether_images_decide_about_one_another);
    tcase_add_test(limits, replays_depend_on_the_options);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
