/* test_app_budgets.c - budgets and attacks of a command line as text; which attacks and
 * presets there are, with which options, and what they cost. */
#include <string.h>

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

/* What is refused, and with which words. */
START_TEST(budgets_end_where_images_do)
{
    static const struct {
        const char *text;
        attack_norm norm;
        const char *told; /* NULL: taken */
    } cases[] = {
        {"1", ATTACK_NORM_LINF, NULL},
        {"255/255", ATTACK_NORM_LINF, NULL},
        {"4", ATTACK_NORM_L2, NULL},
        {"16", ATTACK_NORM_L1, NULL},
        {"0.0000000000000000000000000001", ATTACK_NORM_L1, NULL}, /* 30 characters */
        {"0.000000000000000000000000000001", ATTACK_NORM_L1,      /* 32 */
         "--eps '0.000000000000000000000000000001' is no budget, expected numbers as 8/255 "
         "or 0.031, separated by commas"},
        {"abc", ATTACK_NORM_L2,
         "--eps 'abc' is no budget, expected numbers as 8/255 or 0.031, separated by "
         "commas"},
        {"0.1,-1/255", ATTACK_NORM_L2, "--eps '-1/255' is below 0"},
        {"1.5", ATTACK_NORM_LINF,
         "--eps '1.5' is above 1, but pixels are 0 to 1 here: did you mean 1.5/255"},
        {"255", ATTACK_NORM_LINF,
         "--eps '255' is above 1, but pixels are 0 to 1 here: did you mean 255/255"},
        {"256", ATTACK_NORM_LINF,
         "--eps '256' is above 1, the largest distance in linf of images of 16 numbers"},
        {"256/255", ATTACK_NORM_LINF,
         "--eps '256/255' is above 1, the largest distance in linf of images of 16 "
         "numbers"},
        {"4.1", ATTACK_NORM_L2,
         "--eps '4.1' is above 4, the largest distance in l2 of images of 16 numbers"},
        {"17", ATTACK_NORM_L1,
         "--eps '17' is above 16, the largest distance in l1 of images of 16 numbers"},
        {"1,2,1", ATTACK_NORM_L2, "--eps holds 1 twice"},
        {"1,0.5,2/4", ATTACK_NORM_L2, "--eps holds 2/4 twice"},
    };
    attack_budget list[ATTACK_BUDGETS_MAX];
    char many[8 * (ATTACK_BUDGETS_MAX + 1)] = "", text[64];
    size_t count = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        const base_status status = attack_budgets_parse(
            list, &count, "--eps", cases[i].text, cases[i].norm, 16, &err);

        ck_assert_int_eq(status, cases[i].told ? BASE_USAGE : BASE_OK);
        ck_assert_str_eq(err.text, cases[i].told ? cases[i].told : "");
        if (!cases[i].told)
            ck_assert_str_eq(list[0].text, cases[i].text);
    }
    for (int i = 0; i <= ATTACK_BUDGETS_MAX; i++) {
        base_error err = {0};

        snprintf(many + strlen(many), 8, "%s%d", i ? "," : "", i);
        const base_status status =
            attack_budgets_parse(list, &count, "--eps", many, ATTACK_NORM_L1, 100, &err);
        ck_assert_int_eq(status, i < ATTACK_BUDGETS_MAX ? BASE_OK : BASE_USAGE);
        ck_assert_uint_eq(count, i < ATTACK_BUDGETS_MAX ? (size_t)i + 1 : (size_t)i);
        ck_assert_str_eq(err.text,
                         i < ATTACK_BUDGETS_MAX ? "" : "--eps holds more than 32 budgets");
    }
    ck_assert_double_eq(list[31].eps, 31);
    ck_assert_str_eq(attack_budget_text(text, sizeof text, &list[0], ATTACK_NORM_LINF),
                     "0");
    ck_assert_str_eq(attack_budget_text(text, sizeof text, &list[2], ATTACK_NORM_L2), "2");
    ck_assert_str_eq(attack_budget_text(text, sizeof text, &list[2], ATTACK_NORM_L1), "2");
}
END_TEST

/* ---- lists of attacks ---------------------------------------------------------------- */

START_TEST(words_end_where_the_next_attack_begins)
{
    static const struct {
        const char *list;
        size_t length;
    } cases[] = {{"", 0},
                 {"pgd", 3},
                 {"fgsm,pgd", 4},
                 {"fgsm pgd", 4},
                 {"pgd:steps=3,alpha=0.01,pgd", 22},
                 {"pgd:steps=3,alpha=0.01", 22},
                 {"pgd,cw:c=1", 3},
                 {"pgd,steps=1:2", 13},
                 {"pgd:steps=3 alpha=1", 11},
                 {",pgd", 0}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(attack_word_length(cases[i].list) == cases[i].length, "'%s': %zu",
                      cases[i].list, attack_word_length(cases[i].list));
}
END_TEST

static void spelled(const char *list, attack_norm norm, const attack_set *sets,
                    const char *want, const char *told)
{
    char out[APP_ATTACK_SPECS];
    base_error err = {0};
    const base_status status =
        attack_specs_spell(out, sizeof out, "--attack", list, norm, sets, &err);

    ck_assert_str_eq(err.text, told ? told : "");
    ck_assert_int_eq(status, told ? BASE_USAGE : BASE_OK);
    if (want)
        ck_assert_str_eq(out, want);
}

START_TEST(lists_are_spelled_out)
{
    static const attack_set none[] = {{0}}, unset[] = {{"steps", NULL, "steps"}, {0}};
    static const attack_set some[] = {
        {"steps", "7", "steps"}, {"aim", "least", "targeted"}, {0}};
    static const attack_set weight[] = {{"c", "5", "weight"}, {0}};
    char list[26 * 5] = "", long_word[140], told[160];

    spelled("standard,pgd", ATTACK_NORM_L2, none, "apgd-ce apgd-t fab-t square pgd", NULL);
    spelled("standard", ATTACK_NORM_L1, unset, "apgd-ce:restarts=5 apgd-t:targets=5 fab-t",
            NULL);
    spelled("  fgsm , ,pgd:steps=3,alpha=1", ATTACK_NORM_L2, none,
            "fgsm pgd:steps=3,alpha=1", NULL);
    spelled("fgsm,pgd:restarts=2,apgd-ce,cw:steps=3", ATTACK_NORM_L2, some,
            "fgsm pgd:restarts=2,steps=7,aim=least apgd-ce:steps=7 cw:steps=3,aim=least",
            NULL);
    spelled("cw:steps=3", ATTACK_NORM_L2, weight, "cw:steps=3,c=5", NULL);
    spelled("nonsense", ATTACK_NORM_L2, none, "nonsense", NULL);
    spelled("fgsm,apgd-ce", ATTACK_NORM_L2, some, NULL,
            "--targeted means nothing to the attacks 'fgsm,apgd-ce'");
    spelled("cw:c=1", ATTACK_NORM_L2, weight, NULL,
            "--weight means nothing to the attacks 'cw:c=1'");
    spelled("pgd,vmoe-pgd40", ATTACK_NORM_L1, none, NULL,
            "--attack 'vmoe-pgd40' holds nothing for --norm l1");
    spelled("", ATTACK_NORM_L2, none, NULL, "--attack '' names no attack");
    spelled(", ,", ATTACK_NORM_L2, none, NULL, "--attack ', ,' names no attack");
    for (size_t i = 0; i < 120; i++)
        long_word[i] = 'x';
    long_word[120] = 0;
    spelled(long_word, ATTACK_NORM_L2, none, long_word, NULL);
    memcpy(long_word + 120, "y", 2);
    snprintf(told, sizeof told,
             "--attack '%.40s...' has 121 characters, expected at most 120", long_word);
    spelled(long_word, ATTACK_NORM_L2, none, NULL, told);
    for (size_t i = 1; i <= ATTACK_SEARCH_MAX + 1; i++) {
        snprintf(list + strlen(list), 6, "%sfgsm", i > 1 ? " " : "");
        spelled(list, ATTACK_NORM_L2, none, i > ATTACK_SEARCH_MAX ? NULL : list,
                i > ATTACK_SEARCH_MAX ? "--attack holds more than 24 attacks" : NULL);
    }
}
END_TEST

/* ---- which attacks there are --------------------------------------------------------- */

/* Every attack with its norms; its options, with default and range. */
static const char *const attacks[] = {
    "noise | linf l2 l1",
    "  draws=20: a whole number from 1 to 60000",
    "fgsm | linf l2",
    "  loss=ce: one of ce|margin|dlr",
    "pgd | linf l2 l1",
    "  steps=20: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  alpha=auto: a number from 0 to 1000000 or auto",
    "  relative=2.5: a number from 0 to 1000000",
    "  start=random: one of random|none",
    "  loss=ce: one of ce|margin|dlr",
    "  aim=none: one of none|random|least|second|next",
    "  targets=0: a whole number from 0 to 1000",
    "  sparsity=0.01: a number from 1e-06 to 1",
    "  eot=1: a whole number from 1 to 1000",
    "mi-fgsm | linf l2",
    "  steps=10: a whole number from 1 to 100000",
    "  decay=1: a number from 0 to 10",
    "  loss=ce: one of ce|margin|dlr",
    "apgd-ce | linf l2 l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "apgd-dlr | linf l2 l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "apgd-t | linf l2 l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  targets=9: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "fab | linf l2 l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  alpha=0.1: a number from 0 to 1",
    "  overshoot=1.05: a number from 1 to 10",
    "  back=0.9: a number from 0 to 1",
    "fab-t | linf l2 l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  targets=9: a whole number from 1 to 1000",
    "  alpha=0.1: a number from 0 to 1",
    "  overshoot=1.05: a number from 1 to 10",
    "  back=0.9: a number from 0 to 1",
    "square | linf l2",
    "  queries=5000: a whole number from 1 to 10000000",
    "  restarts=1: a whole number from 1 to 1000",
    "  p=0.8: a number from 1e-06 to 1",
    "  rescale=no: one of no|yes",
    "spsa | linf",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  pairs=128: a whole number from 1 to 1000000",
    "  delta=0.01: a number from 1e-06 to 1",
    "  lr=0.01: a number from 1e-09 to 10",
    "cw | l2",
    "  steps=1000: a whole number from 1 to 1000000",
    "  rounds=5: a whole number from 1 to 30",
    "  c=0.01: a number from 1e-09 to 1000000000",
    "  lr=0.005: a number from 1e-09 to 10",
    "  aim=none: one of none|random|least|second|next",
    "  kappa=0: a number from 0 to 1000000",
    "apgd-l1-ce | l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "apgd-l1-dlr | l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "apgd-l1-t | l1",
    "  steps=100: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  targets=9: a whole number from 1 to 1000",
    "  eot=1: a whole number from 1 to 1000",
    "router | linf l2",
    "  steps=20: a whole number from 1 to 100000",
    "  restarts=1: a whole number from 1 to 1000",
    "  alpha=auto: a number from 0 to 1000000 or auto",
    "  relative=2.5: a number from 0 to 1000000",
};

START_TEST(attacks_have_these_options)
{
    char text[256], initial[64], range[128];
    size_t line = 0;

    for (size_t i = 0; attack_name(i); i++) {
        const char *name = attack_name(i);

        snprintf(text, sizeof text, "%s |", name);
        for (int n = ATTACK_NORM_LINF; n <= ATTACK_NORM_L1; n++)
            if (attack_knows_norm(name, (attack_norm)n))
                snprintf(text + strlen(text), 6, " %s", attack_norm_name((attack_norm)n));
        ck_assert_uint_lt(line, sizeof attacks / sizeof attacks[0]);
        ck_assert_str_eq(text, attacks[line++]);
        for (const base_field *o = attack_options(name); o->name; o++) {
            snprintf(text, sizeof text, "  %s=%s: %s", o->name,
                     base_field_text(initial, sizeof initial, attack_defaults(name), o),
                     base_field_expected(range, sizeof range, o));
            ck_assert_uint_lt(line, sizeof attacks / sizeof attacks[0]);
            ck_assert_str_eq(text, attacks[line++]);
        }
    }
    ck_assert_uint_eq(line, sizeof attacks / sizeof attacks[0]);
}
END_TEST

START_TEST(presets_hold_these_attacks)
{
    static const char plus[] =
        "apgd-ce:restarts=5 apgd-dlr:restarts=5 fab:restarts=5 square apgd-t fab-t";
    static const char auto_attack[] = "apgd-ce apgd-t fab-t square";
    static const char auto_l1[] = "apgd-ce:restarts=5 apgd-t:targets=5 fab-t";
    static const char quick[] = "noise fgsm pgd apgd-ce:steps=50";
    static const char rand[] = "apgd-ce:eot=20 apgd-dlr:eot=20";
    static const struct {
        const char *name, *of[3];
    } presets[] = {
        {"quick", {quick, quick, "noise pgd apgd-ce:steps=50"}},
        {"standard", {auto_attack, auto_attack, auto_l1}},
        {"autoattack", {auto_attack, auto_attack, auto_l1}},
        {"plus",
         {plus, plus,
          "apgd-ce:restarts=5 apgd-dlr:restarts=5 fab:restarts=5 apgd-t fab-t"}},
        {"rand", {rand, rand, rand}},
        {"vmoe-pgd40", {"pgd:steps=40,relative=1,start=none"}},
        {"cnn-moe-pgd20", {"pgd:steps=20,alpha=2/255"}},
        {"acmoe-pgd20", {"pgd:steps=20,relative=3,start=none"}},
    };
    enum { COUNT = sizeof presets / sizeof presets[0] };

    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_str_eq(attack_preset_name(i), presets[i].name);
        for (int n = ATTACK_NORM_LINF; n <= ATTACK_NORM_L1; n++) {
            const char *specs = attack_preset(presets[i].name, (attack_norm)n);

            ck_assert_int_eq(specs != NULL, presets[i].of[n] != NULL);
            if (specs)
                ck_assert_str_eq(specs, presets[i].of[n]);
        }
    }
    ck_assert_ptr_null(attack_preset_name(COUNT));
}
END_TEST

/* By hand: points, a gradient being three, times rounds and evaluations of a point. */
START_TEST(work_is_counted_in_passes)
{
    static const struct {
        const char *spec;
        double passes;
    } cases[] = {
        {"noise:draws=20", 20},
        {"fgsm", 3 * 2},
        {"mi-fgsm:steps=10", 3 * 11},
        {"pgd:steps=7,restarts=2", 3 * 8 * 2},
        {"pgd:steps=7,eot=4", 3 * 8 * 4},
        {"pgd:steps=7,targets=3", 3 * 8 * 3},
        {"pgd:steps=7,aim=least", 3 * 8},
        {"apgd-dlr:steps=20,restarts=2,eot=3", 3 * 21 * 2 * 3},
        {"apgd-t:steps=20,targets=3,restarts=2", 3 * 21 * 3 * 2},
        {"apgd-t:steps=20", 3 * 21 * 5}, /* of 9 targets, where there are 6 classes */
        {"fab:steps=6,restarts=2", 6 * (1 + 3 * 5) * 2},
        {"fab-t:steps=6,targets=3,restarts=2", 6 * 4 * 3 * 2},
        {"square:queries=40,restarts=3", 41 * 3},
        {"spsa:steps=4,pairs=3,restarts=2", 4 * 7 * 2},
        {"router:steps=4,restarts=2", 3 * 10}};
    const attack_target target = {.classes = 6, .channels = 3, .height = 4, .width = 4};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(
            attack_work(cases[i].spec, &target, ATTACK_NORM_LINF) == cases[i].passes,
            "%s: %g", cases[i].spec, attack_work(cases[i].spec, &target, ATTACK_NORM_LINF));
    ck_assert_double_eq(attack_work("cw:steps=12,rounds=2", &target, ATTACK_NORM_L2),
                        3 * 25);
    ck_assert_double_eq(attack_work("apgd-ce:steps=9", &target, ATTACK_NORM_L1), 3 * 10);
    ck_assert_double_eq(attack_work("fgsm", &target, ATTACK_NORM_L1), 0);
    ck_assert_double_eq(attack_work("standard", &target, ATTACK_NORM_LINF), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_budgets");
    TCase *text = tcase_create("Text");

    tcase_add_test(text, budgets_are_read_as_they_are_written);
    tcase_add_test(text, budgets_end_where_images_do);
    tcase_add_test(text, words_end_where_the_next_attack_begins);
    tcase_add_test(text, lists_are_spelled_out);
    tcase_add_test(text, attacks_have_these_options);
    tcase_add_test(text, presets_hold_these_attacks);
    tcase_add_test(text, work_is_counted_in_passes);
    tcase_add_test(text, options_go_to_the_attacks_that_have_them);
    suite_add_tcase(suite, text);
    return test_run(suite);
}
