/* test_base_field.c - tables of fields: text in and out, what is refused, the nearest
 * name. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base/base.h"
#include "tests/test_leaks.h"

typedef struct cake {
    int eggs;
    int64_t grams, crumbs;
    double sugar, oven;
    bool glazed;
    int shape;
    char name[8];
    const char *cook;
    base_list guests;
    bool oven_given;
} cake;

#define BASE_STRUCT cake
static const base_field fields[] = {
    BASE_INT("eggs", eggs, 1, 12, "of hens"),
    BASE_INT("grams", grams, 0, 9007199254740992.0, "of flour"),
    BASE_INT("crumbs", crumbs, 0, 0x1p63, "that fall"),
    BASE_REAL("sugar", sugar, 0, 1, "share"),
    BASE_REAL("oven", oven, -10, 300, "degrees", .automatic = true, .whole = true,
              BASE_GIVEN(oven_given)),
    BASE_BOOL("glazed", glazed, "with sugar"),
    BASE_CHOICE("shape", shape, "round|square|ring", "of the tin"),
    BASE_TEXT("name", name, "of the cake"),
    BASE_WORD("cook", cook, "who made it", .value = "NAME"),
    BASE_LIST("guests", guests, "who eat it"),
    {0},
};
#undef BASE_STRUCT

static const base_field *of(const char *name)
{
    const base_field *f = base_field_find(fields, name);

    ck_assert_msg(f != NULL, "%s", name);
    return f;
}

static void reads(cake *c, const char *name, const char *text, const char *back)
{
    char out[64];

    ck_assert_msg(base_field_set(c, of(name), text), "%s %s", name, text);
    ck_assert(base_field_good(c, of(name)));
    ck_assert_str_eq(base_field_text(out, sizeof out, c, of(name)), back);
}

START_TEST(text_goes_in_and_comes_out)
{
    cake c = {0};

    reads(&c, "eggs", "12", "12");
    reads(&c, "grams", "9007199254740992", "9007199254740992");
    reads(&c, "crumbs", "9223372036854775807", "9223372036854775807"); /* no limit */
    reads(&c, "sugar", "0.1", "0.1");
    reads(&c, "sugar", "8/255", "0.03137254901960784");
    ck_assert(c.sugar == 8.0 / 255);
    reads(&c, "glazed", "yes", "true");
    reads(&c, "glazed", "off", "false");
    reads(&c, "shape", "ring", "ring");
    ck_assert_int_eq(c.shape, 2);
    reads(&c, "name", "sponge!", "sponge!");
    reads(&c, "cook", "Ada", "Ada");
    reads(&c, "guests", "Bo", "Bo");
    reads(&c, "guests", "Cy", "Bo Cy");
    ck_assert(!c.oven_given);
    reads(&c, "oven", "-5", "-5");
    ck_assert(c.oven_given);
    reads(&c, "oven", "auto", "auto");
    ck_assert(isnan(c.oven));
}
END_TEST

static void refuses(const char *name, const char *text, const char *expected)
{
    const cake before = {.eggs = 3, .shape = 1, .name = "plain"};
    cake c = before;
    char out[64];

    ck_assert_msg(!base_field_set(&c, of(name), text), "%s %s", name, text);
    ck_assert_mem_eq(&c, &before, sizeof c);
    ck_assert_str_eq(base_field_expected(out, sizeof out, of(name)), expected);
}

START_TEST(what_is_not_allowed_is_refused)
{
    refuses("eggs", "0", "a whole number from 1 to 12");
    refuses("eggs", "13", "a whole number from 1 to 12");
    refuses("eggs", "2.0", "a whole number from 1 to 12");
    refuses("eggs", "4294967297", "a whole number from 1 to 12"); /* 1, cut to 32 bits */
    refuses("grams", "9007199254740993",
            "a whole number from 0 to 9007199254740992"); /* rounds to the limit */
    refuses("sugar", "nan", "a number from 0 to 1");
    refuses("sugar", "1/0", "a number from 0 to 1");
    refuses("sugar", "auto", "a number from 0 to 1");
    refuses("sugar", "", "a number from 0 to 1");
    refuses("oven", "1.5", "a whole number from -10 to 300 or auto");
    refuses("glazed", "maybe", "true or false");
    refuses("shape", "round|ring", "one of round|square|ring");
    refuses("shape", "", "one of round|square|ring");
    refuses("name", "too long", "at most 7 characters");
    refuses("cook", "", "NAME");
}
END_TEST

START_TEST(each_field_says_what_it_takes)
{
    static const struct {
        const char *name, *expected, *range;
    } says[] = {
        {"eggs", "a whole number from 1 to 12", "1 .. 12"},
        {"grams", "a whole number from 0 to 9007199254740992", "0 .. 9007199254740992"},
        {"sugar", "a number from 0 to 1", "0 .. 1"},
        {"oven", "a whole number from -10 to 300 or auto", "-10 .. 300"},
        {"glazed", "true or false", ""},
        {"shape", "one of round|square|ring", "round|square|ring"},
        {"name", "at most 7 characters", ""},
        {"cook", "NAME", ""},
        {"guests", NULL, ""},
    };
    char out[64];

    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        const base_field *f = of(says[i].name);
        if (says[i].expected)
            ck_assert_str_eq(base_field_expected(out, sizeof out, f), says[i].expected);
        if (says[i].range)
            ck_assert_str_eq(base_field_range(out, sizeof out, f), says[i].range);
    }
    char *want = base_text("at most %d values", (int)BASE_LIST_MAX);
    ck_assert_str_eq(base_field_expected(out, sizeof out, of("guests")), want);
    base_free(want);
    base_field half = *of("sugar");
    half.low = 0.1, half.high = 0.25;
    ck_assert_str_eq(base_field_range(out, sizeof out, &half), "0.1 .. 0.25");
    half.high = half.low; /* no limits */
    ck_assert_str_eq(base_field_range(out, sizeof out, &half), "");
    ck_assert_str_eq(base_field_expected(out, sizeof out, &half), "a number");
    /* a number of no word */
    cake c = {.shape = 7};
    ck_assert_str_eq(base_field_text(out, sizeof out, &c, of("shape")), "7");
}
END_TEST

START_TEST(a_full_list_is_refused)
{
    cake c = {0};

    for (int i = 0; i < BASE_LIST_MAX; i++)
        ck_assert(base_field_set(&c, of("guests"), "x"));
    ck_assert(!base_field_set(&c, of("guests"), "x"));
    ck_assert_uint_eq(c.guests.count, BASE_LIST_MAX);
}
END_TEST

START_TEST(members_that_were_set_past_the_table_are_seen)
{
    const cake c = {.eggs = 0, .shape = 3, .sugar = NAN, .oven = NAN};
    const cake good = {.eggs = 1, .shape = 2, .sugar = 1};

    ck_assert(!base_field_good(&c, of("eggs")));
    ck_assert(!base_field_good(&c, of("shape")));
    ck_assert(!base_field_good(&c, of("sugar")));
    ck_assert(base_field_good(&c, of("oven")));
    for (const base_field *f = fields; f->name; f++)
        ck_assert_msg(base_field_good(&good, f), "%s", f->name);
}
END_TEST

START_TEST(values_keep_their_kind)
{
    cake c = {.eggs = 2, .sugar = 0.5, .oven = NAN, .shape = 1};
    char room[16];

    ck_assert_int_eq(base_field_get(&c, of("eggs"), room, sizeof room).whole, 2);
    ck_assert_int_eq(base_field_get(&c, of("sugar"), room, sizeof room).kind,
                     BASE_VALUE_REAL);
    ck_assert_int_eq(base_field_get(&c, of("oven"), room, sizeof room).kind,
                     BASE_VALUE_NONE);
    ck_assert_int_eq(base_field_get(&c, of("cook"), room, sizeof room).kind,
                     BASE_VALUE_NONE);
    ck_assert_str_eq(base_field_get(&c, of("shape"), room, sizeof room).text, "square");

    const base_value one = {.kind = BASE_VALUE_INT, .whole = 1};
    ck_assert(base_field_put(&c, of("sugar"), one) && c.sugar == 1.0);
    ck_assert(!base_field_put(&c, of("glazed"), one));
    ck_assert(!base_field_put(&c, of("eggs"),
                              (base_value){.kind = BASE_VALUE_REAL, .real = 3.5}));
    ck_assert(
        base_field_put(&c, of("eggs"), (base_value){.kind = BASE_VALUE_REAL, .real = 3}));
    ck_assert_int_eq(c.eggs, 3);
    ck_assert(!base_field_put(&c, of("shape"), one));
}
END_TEST

START_TEST(names_are_found_and_near_ones_too)
{
    static const base_field keys[] = {{.name = "tin.size"}, {.name = "oven.size"}, {0}};
    char word[8];

    ck_assert_ptr_null(base_field_find(fields, "egg"));
    ck_assert_ptr_eq(base_field_find(keys, "oven.size"), &keys[1]);
    ck_assert_str_eq(base_field_nearest(fields, "egg")->name, "eggs");
    ck_assert_ptr_eq(base_field_nearest(keys, "ovn.size"), &keys[1]);
    ck_assert_ptr_null(base_field_nearest(&keys[2], "x"));
    ck_assert_int_eq(base_choice_find("a|bc|d", "bc"), 1);
    ck_assert_int_eq(base_choice_find("a|bc|d", "b"), -1);
    ck_assert(base_choice_word(word, sizeof word, "a|bc|d", 2));
    ck_assert_str_eq(word, "d");
    ck_assert(!base_choice_word(word, sizeof word, "a|bc|d", 3));
    ck_assert_str_eq(word, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_field");
    TCase *core = test_case("Core"), *limits = test_case("Limits");

    tcase_add_test(core, text_goes_in_and_comes_out);
    tcase_add_test(core, values_keep_their_kind);
    tcase_add_test(core, names_are_found_and_near_ones_too);
    tcase_add_test(limits, what_is_not_allowed_is_refused);
    tcase_add_test(core, each_field_says_what_it_takes);
    tcase_add_test(limits, a_full_list_is_refused);
    tcase_add_test(limits, members_that_were_set_past_the_table_are_seen);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
