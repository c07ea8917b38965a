/* test_app_budgets.c - budgets and attacks of a command line as text. */
#include "apps/attack/internal.h"
#include "tests/test_run.h"

START_TEST(budgets_are_read_as_they_are_written)
{
    attack_budget list[ATTACK_BUDGETS_MAX];
    char text[64];
    size_t count = 0;

    ck_assert_int_eq(attack_budgets_parse(list, &count, "--eps", "0, 1/255,0.031",
                                          ATTACK_NORM_LINF, 10, NULL),
                     BASE_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_double_eq(list[1].eps, 1.0 / 255);
    ck_assert_str_eq(attack_budget_text(text, sizeof text, &list[1], ATTACK_NORM_LINF),
                     "1/255 (0.003922)");
    ck_assert_str_eq(attack_budget_text(text, sizeof text, &list[2], ATTACK_NORM_LINF),
                     "0.031 (7.905/255)");
    ck_assert_int_eq(
        attack_budgets_parse(list, &count, "--eps", "3", ATTACK_NORM_L2, 10, NULL),
        BASE_OK);
    ck_assert_int_eq(
        attack_budgets_parse(list, &count, "--eps", "4", ATTACK_NORM_L2, 10, NULL),
        BASE_USAGE);
    ck_assert_int_eq(
        attack_budgets_parse(list, &count, "--eps", "1 2", ATTACK_NORM_L2, 10, NULL),
        BASE_USAGE);                     /* no comma: not the first alone */
    ck_assert_double_eq(list[0].eps, 3); /* nothing was changed */
}
END_TEST

START_TEST(options_go_to_the_attacks_that_have_them)
{
    char specs[APP_ATTACK_SPECS];
    attack_args args = {.attack = "fgsm,pgd:steps=3,alpha=0.01,pgd", .steps = 7};

    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, "fgsm pgd:steps=3,alpha=0.01 pgd:steps=7");
    args = (attack_args){.attack = "pgd", .restarts = 4, .aim = 2};
    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, "pgd:restarts=4,aim=least");
    args = (attack_args){.attack = "quick"};
    ck_assert_int_eq(app_attack_specs(specs, &args, NULL), BASE_OK);
    ck_assert_str_eq(specs, attack_preset("quick", ATTACK_NORM_LINF));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_budgets");
    TCase *text = tcase_create("Text");

    tcase_add_test(text, budgets_are_read_as_they_are_written);
    tcase_add_test(text, options_go_to_the_attacks_that_have_them);
    suite_add_tcase(suite, text);
    return test_run(suite);
}
