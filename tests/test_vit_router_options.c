/* test_vit_router_options.c - the table of routers, options as text, and what is refused.
 */
#include "tests/test_leaks.h"
#include "tests/test_vit_router.h"
#include "tests/test_says.h"

static vit_config sparse(const char *router, int experts, int k)
{
    vit_config c = vit_config_defaults();

    c.moe.experts = experts;
    c.moe.k = k;
    ck_assert_int_eq(vit_router_select(&c.moe.router, router, NULL), BASE_OK);
    return c;
}

/* In the order of --help: what is said of each, of the sinkhorn steps of 1000, of the
 * experts of a token in evaluation (of two of eight). */
static const struct {
    const char *name;
    bool without_k, pairs_freely;
    double sinkhorn_steps;
    int eval_k;
    const char *summary, *caution;
} known[] = {
    {"softmax", .eval_k = 2, .summary = "top-k softmax with a balance loss (Shazeer"},
    {"vmoe", .eval_k = 2, .summary = "noisy top-k with importance and load losses (Riq"},
    {"sinkhorn", .eval_k = 2, .sinkhorn_steps = 1000,
     .summary = "balanced plan on every training step, detached (Clark et al. 2022"},
    {"ssr", .eval_k = 2, .sinkhorn_steps = 1, .summary = "Selective Sinkhorn Routing: "},
    {"momentum", .eval_k = 2, .summary = "softmax routing, layers joined by heavy-ball"},
    {"adam", .eval_k = 2, .summary = "softmax routing, an Adam step at the first MoE"},
    {"robust-momentum", .eval_k = 2,
     .summary = "softmax routing, layers joined by the robust momentum method (Cyrus"},
    {"sinkhorn-ot", .eval_k = 2, .sinkhorn_steps = 1000,
     .summary = "balanced plan in training and evaluation (code of Liu et al. 2023"},
    {"usmoe", .eval_k = 2, .pairs_freely = true, .summary = "the best token-expert pairs"},
    {"expert-choice", .eval_k = 2, .pairs_freely = true,
     .summary = "every expert takes its best tokens"},
    {"similarity", .eval_k = 2, .summary = "softmax routing, scores averaged over simil"},
    {"attention", .eval_k = 2, .summary = "softmax routing, scores averaged over attend"},
    {"s2moe", .eval_k = 2, .summary = "softmax routing learned on two views, clean and"},
    {"xmoe", .eval_k = 2, .summary = "cosine of token and expert in few dimensions"},
    {"loss-free", .eval_k = 2, .summary = "top-k of sigmoid plus a bias that moves agai"},
    {"quantile", .eval_k = 2, .summary = "top-k of softmax minus a threshold an expert"},
    {"random", .eval_k = 2, .summary = "control: softmax top-k of a weight that is neve"},
    {"hash", .eval_k = 2, .summary = "control: a token's place in the picture decides",
     .caution = "Experts go by a token's place: no attack can change them."},
    {"soft", .eval_k = 8, .without_k = true, .pairs_freely = true,
     .summary = "Soft MoE: experts work on mixtures of an image's tokens (Puigcerver",
     .caution = "Soft MoE sends no token anywhere: no choice of experts masks a gradient, "
                "gradients are exact, and there is no change of routing to report."},
    {"acmoe", .eval_k = 2, .summary = "noisy top-k of tokens scaled by the spread of th",
     .caution = "Adaptive clustering holds its scales constant in the gradient: attacks do "
                "not see how they move them."},
};
enum { KNOWN = sizeof known / sizeof known[0] };

START_TEST(table_names_the_routers_in_order)
{
    for (size_t i = 0; i < KNOWN; i++) {
        vit_config c = sparse(known[i].name, 8, 2);
        const char *name = known[i].name, *caution = vit_router_caution(&c.moe.router);
        ck_assert_str_eq(vit_router_name(i), name);
        ck_assert_str_eq(vit_router_find(name)->name, name);
        ck_assert_msg(strncmp(vit_router_summary(name), known[i].summary,
                              strlen(known[i].summary)) == 0,
                      "%s: %s", name, vit_router_summary(name));
        ck_assert(vit_router_uses_k(name) == !known[i].without_k);
        ck_assert(vit_router_replays(&c.moe.router) == !known[i].pairs_freely);
        ck_assert_double_eq_tol(vit_router_sinkhorn_steps(&c.moe.router, 1000),
                                known[i].sinkhorn_steps, 1e-12);
        ck_assert_str_eq(caution ? caution : "", known[i].caution ? known[i].caution : "");
        ck_assert_int_eq(vit_config_eval_k(&c), 2); /* of a dense network */
        c.moe.layer[1] = true;
        ck_assert_int_eq(vit_config_eval_k(&c), known[i].eval_k);
    }
    ck_assert_ptr_null(vit_router_name(KNOWN));
    ck_assert_ptr_null(vit_router_find("nearest"));
    ck_assert_ptr_null(vit_router_options("nearest"));
    ck_assert_ptr_null(vit_router_summary("nearest"));
    ck_assert(!vit_router_uses_k("nearest"));
    ck_assert(!vit_router_replays(&(vit_router_config){.name = "nearest"}));
    ck_assert_ptr_null(vit_router_caution(&(vit_router_config){.name = "nearest"}));
    vit_router_config scales;
    ck_assert_int_eq(vit_router_select(&scales, "acmoe", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_set(&scales, "scope", "batch", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_caution(&scales),
                     "Adaptive clustering holds its scales constant in the gradient, and "
                     "an image's scales depend on its neighbours (router.scope = batch).");
    ck_assert(vit_router_sinkhorn_steps(&(vit_router_config){.name = "nearest"}, 9) == 0);
}
END_TEST

/* ROUTER.OPTION = DEFAULT, WHAT IS ALLOWED: recipes and checkpoints of before mean this. */
static const char *const options[] = {
    "softmax.gate = auto, one of auto|prob|renorm",
    "softmax.balance = 0.01, a number from 0 to 1000",
    "softmax.balance_count = first, one of first|all",
    "softmax.z = 0, a number from 0 to 1000",
    "softmax.noise = 0, a number from 0 to 1000",
    "vmoe.noise = 1, a number from 0 to 1000",
    "vmoe.importance = 0.005, a number from 0 to 1000",
    "vmoe.load = 0.005, a number from 0 to 1000",
    "sinkhorn.gate = auto, one of auto|prob|sigmoid",
    "sinkhorn.xi = 1, a number from 0.0001 to 10000",
    "sinkhorn.max_iter = 100, a whole number from 1 to 100000",
    "sinkhorn.delta = 0.0001, a number from 0 to 1",
    "sinkhorn.scope = global, one of global|group",
    "ssr.p = 0.001, a number from 0 to 1",
    "ssr.steps = 0, a number from 0 to 1000000000",
    "ssr.cost = linear, one of linear|softmax",
    "ssr.xi = auto, a number from 0.0001 to 10000 or auto",
    "ssr.max_iter = 100, a whole number from 1 to 100000",
    "ssr.delta = 0.0001, a number from 0 to 1",
    "ssr.init = zero, one of zero|paper",
    "ssr.noise = 0.1, a number from 0 to 1000",
    "ssr.noise_ot = cost, one of cost|logits|none",
    "ssr.gradient = exact, one of exact|frozen|none",
    "ssr.scope = global, one of global|group",
    "momentum.mu = 0.7, a number from 0 to 1",
    "momentum.gamma = 1, a number from -1000 to 1000",
    "momentum.norm = none, one of none|post",
    "momentum.gate = auto, one of auto|prob|renorm",
    "momentum.balance = 0.01, a number from 0 to 1000",
    "momentum.balance_count = first, one of first|all",
    "momentum.z = 0, a number from 0 to 1000",
    "momentum.noise = 0, a number from 0 to 1000",
    "adam.mu = 0.7, a number from 0 to 1",
    "adam.gamma = 1, a number from -1000 to 1000",
    "adam.adam_gamma = 1, a number from -1000 to 1000",
    "adam.beta1 = 0.9, a number from 0 to 1",
    "adam.beta2 = 0.999, a number from 0 to 1",
    "adam.eps = 1e-08, a number from 1e-12 to 1",
    "adam.kappa = 0, a number from 0 to 1",
    "adam.gate = auto, one of auto|prob|renorm",
    "adam.balance = 0.01, a number from 0 to 1000",
    "adam.balance_count = first, one of first|all",
    "adam.z = 0, a number from 0 to 1000",
    "adam.noise = 0, a number from 0 to 1000",
    "robust-momentum.L = 1, a number from 1e-06 to 1000000",
    "robust-momentum.m = 0.8, a number from 1e-06 to 1000000",
    "robust-momentum.rho = 0.2, a number from 0 to 1",
    "robust-momentum.step = auto, a number from -1000 to 1000 or auto",
    "robust-momentum.beta = auto, a number from 0 to 1000 or auto",
    "robust-momentum.eta = auto, a number from 0 to 1000 or auto",
    "robust-momentum.gate = auto, one of auto|prob|renorm",
    "robust-momentum.balance = 0.01, a number from 0 to 1000",
    "robust-momentum.balance_count = first, one of first|all",
    "robust-momentum.z = 0, a number from 0 to 1000",
    "robust-momentum.noise = 0, a number from 0 to 1000",
    "sinkhorn-ot.combine = softmax, one of softmax|plan",
    "sinkhorn-ot.xi = 1, a number from 0.0001 to 10000",
    "sinkhorn-ot.iterations = 20, a whole number from 1 to 100000",
    "sinkhorn-ot.noise = 1, a number from 0 to 1000",
    "sinkhorn-ot.scope = image, one of global|group|image",
    "usmoe.alpha = 0.5, a number from 0 to 1",
    "usmoe.select = image, one of image|token",
    "usmoe.divide = none, one of none|row",
    "usmoe.eval_k = auto, a number from 0 to 256 or auto",
    "expert-choice.cf = auto, a number from 0.001 to 256 or auto",
    "expert-choice.multiple = auto, a whole number from 1 to 4096 or auto",
    "expert-choice.noise = 1, a number from 0 to 1000",
    "expert-choice.scope = image, one of group|image",
    "similarity.tau = 1, a number from 0.001 to 1000000",
    "similarity.bilinear = off, one of off|on",
    "similarity.lambda = 1, a number from 0 to 1",
    "similarity.mix = prob, one of prob|logit",
    "similarity.detach_sim = off, one of off|on",
    "similarity.gate = auto, one of auto|prob|renorm",
    "similarity.balance = 0.01, a number from 0 to 1000",
    "similarity.balance_count = first, one of first|all",
    "similarity.z = 0, a number from 0 to 1000",
    "similarity.noise = 0, a number from 0 to 1000",
    "attention.lambda = 1, a number from 0 to 1",
    "attention.mix = prob, one of prob|logit",
    "attention.detach_sim = off, one of off|on",
    "attention.gate = auto, one of auto|prob|renorm",
    "attention.balance = 0.01, a number from 0 to 1000",
    "attention.balance_count = first, one of first|all",
    "attention.z = 0, a number from 0 to 1000",
    "attention.noise = 0, a number from 0 to 1000",
    "s2moe.gate = auto, one of auto|prob|renorm",
    "s2moe.balance = 0.01, a number from 0 to 1000",
    "s2moe.balance_count = first, one of first|all",
    "s2moe.z = 0, a number from 0 to 1000",
    "s2moe.noise = 0, a number from 0 to 1000",
    "s2moe.uncertainty = 0.1, a number from 0 to 1000",
    "s2moe.temp = 1, a number from 0.001 to 1000",
    "s2moe.contrast = outputs, one of outputs|inputs",
    "s2moe.contrast_scope = batch, one of batch|image",
    "s2moe.contrast_tokens = 1024, a whole number from 2 to 65536",
    "s2moe.sd = 1, a number from 0 to 1000",
    "s2moe.mu = 1, a number from -1000 to 1000",
    "s2moe.statistics = image, one of image|none",
    "s2moe.view_routing = same, one of same|own",
    "s2moe.eval_k = 0, a whole number from 0 to 256",
    "xmoe.variant = paper, one of paper|code",
    "xmoe.dim = auto, a whole number from 1 to 1024 or auto",
    "xmoe.gate = auto, one of auto|prob|renorm|sigmoid",
    "xmoe.temperature = auto, a number from 0.0001 to 10000 or auto",
    "xmoe.balance = 0.01, a number from 0 to 1000",
    "xmoe.balance_temperature = auto, a number from 0.0001 to 10000 or auto",
    "xmoe.balance_count = first, one of first|all",
    "loss-free.score = sigmoid, one of sigmoid|softmax",
    "loss-free.gate = renorm, one of renorm|prob",
    "loss-free.u = 0.001, a number from 0 to 1",
    "loss-free.freeze = 0, a number from 0 to 1",
    "quantile.score = softmax, one of sigmoid|softmax|logits",
    "quantile.gate = renorm, one of renorm|prob",
    "quantile.form = top, one of top|dynamic",
    "quantile.lambda = 0.9, a number from 0 to 0.999999",
    "random.gate = auto, one of auto|prob|renorm",
    "hash.seed = 0, a whole number from 0 to 4294967295",
    "soft.slots = auto, a whole number from 1 to 65536 or auto",
    "soft.cf = 1, a number from 0.001 to 1000",
    "acmoe.gate = auto, one of auto|prob|renorm",
    "acmoe.balance = 0.01, a number from 0 to 1000",
    "acmoe.noise = 1, a number from 0 to 1000",
    "acmoe.scope = image, one of image|batch",
};

START_TEST(options_have_the_defaults_and_ranges_that_are_told)
{
    size_t at = 0;

    for (size_t i = 0; vit_router_name(i); i++) {
        vit_router_config c = {0};
        ck_assert_int_eq(vit_router_select(&c, vit_router_name(i), NULL), BASE_OK);
        for (const base_field *o = vit_router_options(c.name); o->name; o++, at++) {
            char value[64], expected[256], line[512];
            snprintf(line, sizeof line, "%s.%s = %s, %s", c.name, o->name,
                     vit_router_get(&c, o->name, value, sizeof value),
                     base_field_expected(expected, sizeof expected, o));
            ck_assert_uint_lt(at, sizeof options / sizeof options[0]);
            ck_assert_str_eq(line, options[at]);
        }
    }
    ck_assert_uint_eq(at, sizeof options / sizeof options[0]);
}
END_TEST

/* Each option lies in a place of its own within the settings. */
START_TEST(an_option_changes_no_other)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        const base_field *all = vit_router_options(vit_router_name(i));
        for (const base_field *o = all; o->name; o++) {
            vit_router_config c = {0}, before;
            ck_assert_int_eq(vit_router_select(&c, vit_router_name(i), NULL), BASE_OK);
            before = c;
            char *at = (char *)c.settings + o->at;
            memset(at, 0x55,
                   o->kind == BASE_KIND_REAL   ? 8
                   : o->kind == BASE_KIND_BOOL ? 1
                                               : 4);
            for (const base_field *f = all; f->name; f++) {
                char now[64], then[64];
                if (f != o)
                    ck_assert_str_eq(vit_router_get(&c, f->name, now, sizeof now),
                                     vit_router_get(&before, f->name, then, sizeof then));
            }
        }
    }
}
END_TEST

START_TEST(every_option_has_a_help_and_an_allowed_default)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        const vit_config c = sparse(vit_router_name(i), 8, 2);
        const base_field *o = vit_router_options(vit_router_name(i));
        size_t count = 0;
        for (; o[count].name; count++) {
            char text[64];
            vit_router_config copy = c.moe.router;
            ck_assert_uint_gt(strlen(o[count].help), 20);
            vit_router_get(&copy, o[count].name, text, sizeof text);
            ck_assert_int_eq(vit_router_set(&copy, o[count].name, text, NULL), BASE_OK);
            ck_assert_mem_eq(&copy, &c.moe.router, sizeof copy);
        }
        ck_assert_int_eq(vit_router_find(vit_router_name(i))->check(&c, NULL), BASE_OK);
    }
}
END_TEST

START_TEST(options_are_read_and_written_as_text)
{
    vit_router_config c = {0};
    char out[64];

    ck_assert_int_eq(vit_router_select(&c, "ssr", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "p", out, sizeof out), "0.001");
    ck_assert_int_eq(vit_router_set(&c, "cost", "softmax", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "cost", out, sizeof out), "softmax");
    ck_assert_str_eq(vit_router_get(&c, "xi", out, sizeof out), "auto");
    ck_assert_int_eq(vit_router_set(&c, "xi", "0.1234567890123456", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "xi", out, sizeof out), "0.1234567890123456");
    ck_assert_int_eq(vit_router_set(&c, "xi", "auto", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "xi", out, sizeof out), "auto");
    ck_assert_int_eq(vit_router_set(&c, "max_iter", "25", NULL), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "max_iter", out, sizeof out), "25");
    ck_assert_str_eq(vit_router_get(&c, "nothing", out, sizeof out), "");
}
END_TEST

static base_value text_value(const char *text)
{
    return (base_value){.kind = BASE_VALUE_TEXT, .text = text};
}

static base_value real_value(double real)
{
    return (base_value){.kind = BASE_VALUE_REAL, .real = real};
}

/* As a config in JSON holds them. */
START_TEST(options_are_put_as_values)
{
    vit_router_config c = {0}, before;
    base_error err = {0};
    char out[64];

    ck_assert_int_eq(vit_router_select(&c, "ssr", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_put(&c, "p", real_value(0.25), &err), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "p", out, sizeof out), "0.25");
    ck_assert_int_eq(vit_router_put(&c, "cost", text_value("softmax"), &err), BASE_OK);
    ck_assert_str_eq(vit_router_get(&c, "cost", out, sizeof out), "softmax");
    ck_assert_str_eq(vit_router_get(&c, "p", out, 3), "0.");
    before = c;
    ck_assert_int_eq(vit_router_put(&c, "p", real_value(1.5), &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "router.p '1.5' is not a number from 0 to 1");
    ck_assert_int_eq(vit_router_put(&c, "cost", text_value("soft"), &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "router.cost 'soft' is not one of linear|softmax");
    ck_assert_int_eq(vit_router_put(&c, "q", real_value(1), &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "router 'ssr' has no option 'q', did you mean 'p'");
    ck_assert_mem_eq(&c, &before, sizeof c);
    snprintf(c.name, sizeof c.name, "kept\n");
    ck_assert_int_eq(vit_router_put(&c, "p", real_value(1), &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "no router is named 'kept\\x0a'");
}
END_TEST

/* Setting key of the router to text is refused with these words, and changes nothing. */
static void refuse(const char *router, const char *key, const char *text, const char *words)
{
    vit_router_config c = {0}, before;
    base_error err = {0};

    ck_assert_int_eq(vit_router_select(&c, router, NULL), BASE_OK);
    before = c;
    ck_assert_int_eq(vit_router_set(&c, key, text, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, words);
    ck_assert_mem_eq(&c, &before, sizeof c);
}

START_TEST(refusals_name_the_key_and_what_was_expected)
{
    vit_router_config c = {.name = "kept"};
    base_error err = {0};

    refuse("ssr", "cost", "foo", "router.cost 'foo' is not one of linear|softmax");
    refuse("ssr", "foo", "1", "router 'ssr' has no option 'foo', did you mean 'p'");
    refuse("ssr", "maxiter", "1",
           "router 'ssr' has no option 'maxiter', did you mean 'max_iter'");
    refuse("softmax", "balance\n", "1",
           "router 'softmax' has no option 'balance\\x0a', did you mean 'balance'");
    refuse("ssr", "p", "1.5", "router.p '1.5' is not a number from 0 to 1");
    refuse("ssr", "p", "-0.1", "router.p '-0.1' is not a number from 0 to 1");
    refuse("ssr", "p", "nan", "router.p 'nan' is not a number from 0 to 1");
    refuse("ssr", "p", "auto", "router.p 'auto' is not a number from 0 to 1");
    refuse("ssr", "p", "", "router.p '' is not a number from 0 to 1");
    refuse("ssr", "xi", "0", "router.xi '0' is not a number from 0.0001 to 10000 or auto");
    refuse("ssr", "max_iter", "1.5",
           "router.max_iter '1.5' is not a whole number from 1 to 100000");
    refuse("ssr", "max_iter", "0",
           "router.max_iter '0' is not a whole number from 1 to 100000");
    refuse("softmax", "gate", "", "router.gate '' is not one of auto|prob|renorm");
    refuse("softmax", "gate", "prob|renorm",
           "router.gate 'prob|renorm' is not one of auto|prob|renorm");
    ck_assert_int_eq(vit_router_select(&c, "shr", &err), BASE_USAGE);
    test_says(
        err.text,
        "router.name 'shr' is not one of softmax, vmoe, sinkhorn, ssr, momentum, adam, "
        "robust-momentum, sinkhorn-ot, usmoe, expert-choice, similarity, attention, s2moe, "
        "xmoe, loss-free, quantile, random, hash, soft, acmoe");
    ck_assert_str_eq(c.name, "kept");
    ck_assert_int_eq(vit_router_set(&c, "p", "1", &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "no router is named 'kept'");
}
END_TEST

static void refuse_config(const vit_config *c, const char *words)
{
    base_error err = {0};

    ck_assert_int_eq(vit_router_find(c->moe.router.name)->check(c, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, words);
}

START_TEST(check_refuses_one_expert_with_renormalised_gates)
{
    vit_config c = sparse("softmax", 8, 1);

    ck_assert_int_eq(vit_router_find("softmax")->check(&c, NULL), BASE_OK);
    ck_assert_int_eq(vit_router_set(&c.moe.router, "gate", "renorm", NULL), BASE_OK);
    refuse_config(&c,
                  "'router.gate' is renorm with router.k 1 (every gate would be 1 and the "
                  "router would learn nothing), expected auto or prob, or router.k 2 or "
                  "more");
    c.moe.k = 2;
    ck_assert_int_eq(vit_router_find("softmax")->check(&c, NULL), BASE_OK);
}
END_TEST

/* What routers want of one another's settings: of 8 experts, an image of 197 tokens. Words
 * "": it is good. */
START_TEST(settings_that_do_not_fit_are_refused_in_words)
{
    static const char alone[] =
        "'router.gate' is renorm with router.k 1 (every gate would be 1 and the router "
        "would learn nothing), expected auto or prob, or router.k 2 or more";
    static const char alone_xmoe[] =
        "'router.gate' is renorm with router.k 1 (every gate would be 1 and the router "
        "would learn nothing), expected auto, prob or sigmoid, or router.k 2 or more";
    static const struct {
        const char *router, *options[2][2];
        int k;
        double capacity, eval_capacity;
        const char *words;
    } cases[] = {
        {"momentum", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"adam", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"robust-momentum", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"similarity", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"attention", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"s2moe", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"acmoe", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"random", {{"gate", "renorm"}}, 1, 0, 0, alone},
        {"xmoe", {{"gate", "renorm"}}, 1, 0, 0, alone_xmoe},
        {"xmoe", {{"gate", "renorm"}}, 2, 0, 0, ""},
        {"xmoe", {{"gate", "sigmoid"}}, 1, 0, 0, ""},
        {"xmoe",
         {{"variant", "code"}, {"temperature", "0.25"}},
         2,
         0,
         0,
         "'router.temperature' is 0.25 with router.variant code, which has none, expected "
         "auto"},
        {"xmoe", {{"temperature", "0.25"}}, 2, 0, 0, ""},
        {"quantile",
         {{0}},
         8,
         0,
         0,
         "'router.k' is 8 with router quantile, expected less than the number of experts "
         "(8): there is no threshold between all of them"},
        {"quantile", {{0}}, 7, 0, 0, ""},
        {"quantile",
         {{"form", "dynamic"}, {"score", "logits"}},
         2,
         0,
         0,
         "'router.score' is logits with router.form dynamic, whose gates are the scores, "
         "expected sigmoid or softmax"},
        {"quantile", {{"form", "dynamic"}, {"score", "sigmoid"}}, 2, 0, 0, ""},
        {"quantile", {{"score", "logits"}}, 2, 0, 0, ""},
        {"s2moe",
         {{"eval_k", "2"}},
         2,
         0,
         0,
         "'router.eval_k' is 2 with router.k 2, expected less than router.k, or 0"},
        {"s2moe",
         {{"eval_k", "3"}},
         2,
         0,
         0,
         "'router.eval_k' is 3 with router.k 2, expected less than router.k, or 0"},
        {"s2moe", {{"eval_k", "1"}}, 2, 0, 0, ""},
        {"soft",
         {{0}},
         1,
         1.5,
         0,
         "'moe.capacity' is 1.5 with router soft, expected 0 (slots are never over)"},
        {"soft",
         {{0}},
         1,
         0,
         1.25,
         "'moe.eval_capacity' is 1.25 with router soft, expected 0 (slots are never over)"},
        {"expert-choice",
         {{0}},
         2,
         1.5,
         0,
         "'moe.capacity' is 1.5 with router expert-choice, expected 0 (an expert takes as "
         "many tokens as router.cf says)"},
        {"expert-choice", {{"cf", "8"}}, 2, 0, 0, ""},
        {"usmoe", {{"eval_k", "8"}}, 2, 0, 0, ""},
        {"usmoe", {{"eval_k", "1.5"}}, 2, 0, 0, ""},
        {"usmoe", {{"eval_k", "2"}, {"select", "token"}}, 2, 0, 0, ""},
        {"loss-free", {{0}}, 8, 0, 0, ""},
        {"hash", {{0}}, 8, 1.5, 1.5, ""},
        {"soft", {{"slots", "65536"}}, 8, 0, 0, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        vit_config c = sparse(cases[i].router, 8, cases[i].k);
        for (size_t o = 0; o < 2 && cases[i].options[o][0]; o++)
            ck_assert_int_eq(vit_router_set(&c.moe.router, cases[i].options[o][0],
                                            cases[i].options[o][1], NULL),
                             BASE_OK);
        c.moe.capacity = cases[i].capacity;
        c.moe.eval_capacity = cases[i].eval_capacity;
        const base_status status = vit_router_find(cases[i].router)->check(&c, &err);
        ck_assert_str_eq(err.text, cases[i].words);
        ck_assert_int_eq(status, *cases[i].words ? BASE_USAGE : BASE_OK);
    }
    base_error err = {0};
    vit_config c = sparse("soft", 16, 1); /* slots of all experts together */
    ck_assert_int_eq(vit_router_set(&c.moe.router, "slots", "62501", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_find("soft")->check(&c, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "router soft has 1000016 slots, expected 1 to 1000000");
    ck_assert_int_eq(vit_router_set(&c.moe.router, "slots", "62500", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_find("soft")->check(&c, NULL), BASE_OK);
}
END_TEST

/* As vit_router_set, without its refusals. */
static void past_set(vit_config *c, const char *key, double value)
{
    memcpy(c->moe.router.settings + base_field_find(vit_router_options("ssr"), key)->at,
           &value, sizeof value);
}

START_TEST(check_refuses_impossible_numbers)
{
    for (size_t i = 0; vit_router_name(i); i++) {
        vit_config c = sparse(vit_router_name(i), 4, 5);
        refuse_config(&c, "'router.k' is 5, expected 1 to the number of experts (4)");
        c.moe.k = 0;
        refuse_config(&c, "'router.k' is 0, expected 1 to the number of experts (4)");
        c.moe.experts = 257;
        refuse_config(&c, "'router.experts' is 257, expected 1 to 256");
        c.moe.experts = 256;
        c.moe.k = 2;
        ck_assert_int_eq(vit_router_find(c.moe.router.name)->check(&c, NULL), BASE_OK);
    }
    vit_config c = sparse("ssr", 4, 1); /* k = 1 has its own gates */
    ck_assert_int_eq(vit_router_find("ssr")->check(&c, NULL), BASE_OK);
    past_set(&c, "p", 2);
    refuse_config(&c, "router.p '2' is not a number from 0 to 1");
    past_set(&c, "p", NAN);
    refuse_config(&c, "router.p 'nan' is not a number from 0 to 1");
    c = sparse("ssr", 4, 2);
    memcpy(c.moe.router.settings + base_field_find(vit_router_options("ssr"), "cost")->at,
           &(int){7}, sizeof(int));
    refuse_config(&c, "router.cost '7' is not one of linear|softmax");
    c = sparse("ssr", 4, 2);
    past_set(&c, "xi", -1);
    refuse_config(&c, "router.xi '-1' is not a number from 0.0001 to 10000 or auto");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_router_options");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, table_names_the_routers_in_order);
    tcase_add_test(core, options_have_the_defaults_and_ranges_that_are_told);
    tcase_add_test(core, an_option_changes_no_other);
    tcase_add_test(core, every_option_has_a_help_and_an_allowed_default);
    tcase_add_test(core, options_are_read_and_written_as_text);
    tcase_add_test(core, options_are_put_as_values);
    tcase_add_test(limits, refusals_name_the_key_and_what_was_expected);
    tcase_add_test(limits, check_refuses_one_expert_with_renormalised_gates);
    tcase_add_test(limits, settings_that_do_not_fit_are_refused_in_words);
    tcase_add_test(limits, check_refuses_impossible_numbers);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
