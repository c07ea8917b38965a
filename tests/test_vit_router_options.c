/* test_vit_router_options.c - the table of routers, options as text, and what is refused.
 */
#include "tests/test_vit_router.h"

static vit_config sparse(const char *router, int experts, int k)
{
    vit_config c = vit_config_defaults();

    c.moe.experts = experts;
    c.moe.k = k;
    ck_assert_int_eq(vit_router_select(&c.moe.router, router, NULL), BASE_OK);
    return c;
}

START_TEST(table_names_the_routers_in_order)
{
    const char *const names[] = {
        "softmax",  "vmoe",          "sinkhorn",        "ssr",
        "momentum", "adam",          "robust-momentum", "sinkhorn-ot",
        "usmoe",    "expert-choice", "similarity",      "attention"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_str_eq(vit_router_name(i), names[i]);
        ck_assert_ptr_nonnull(vit_router_summary(names[i]));
        ck_assert_str_eq(vit_router_find(names[i])->name, names[i]);
    }
    ck_assert_ptr_null(vit_router_find("nearest"));
    ck_assert_ptr_null(vit_router_options("nearest"));
    ck_assert_ptr_null(vit_router_summary("nearest"));
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
    ck_assert_ptr_nonnull(
        strstr(err.text, "router.name 'shr' is not one of softmax, vmoe, sinkhorn, ssr"));
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
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_test(core, table_names_the_routers_in_order);
    tcase_add_test(core, every_option_has_a_help_and_an_allowed_default);
    tcase_add_test(core, options_are_read_and_written_as_text);
    tcase_add_test(limits, refusals_name_the_key_and_what_was_expected);
    tcase_add_test(limits, check_refuses_one_expert_with_renormalised_gates);
    tcase_add_test(limits, check_refuses_impossible_numbers);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
