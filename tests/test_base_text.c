/* test_base_text.c - numbers, distances, formatted memory, sums of bytes. */
#include "base/base.h"

#include <locale.h>
#include <math.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

START_TEST(reals_are_read_whole)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},
                {"-1.5", -1.5},
                {"+2", 2},
                {".5", 0.5},
                {"3.", 3},
                {"1e-3", 0.001},
                {"2E+2", 200},
                {"1e-999", 0},
                {"007", 7},
                {"0.1", 0.1},
                {"1.7976931348623157e308", 1.7976931348623157e308}};
    double out;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(base_parse_real(&out, good[i].text), "'%s' refused", good[i].text);
        ck_assert_double_eq(out, good[i].value);
    }
}
END_TEST

START_TEST(other_text_is_no_real)
{
    static const char *const bad[] = {
        "",  " 1", "1 ",  "x",   "1x",  "nan",  "inf", "-inf",  "0x1",    "1e",      "1e+",
        ".", "-",  "+-1", "1,5", "1..", "1e5.", "--1", "1e999", "-1e999", "infinity"};
    double out = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!base_parse_real(&out, bad[i]), "'%s' accepted", bad[i]);
    ck_assert_double_eq(out, 7);
}
END_TEST

START_TEST(the_locale_does_not_move_the_point)
{
    double out;

    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed; else the C locale */
    ck_assert(base_parse_real(&out, "0.25"));
    ck_assert_double_eq(out, 0.25);
    ck_assert(!base_parse_real(&out, "0,25"));
    setlocale(LC_ALL, "C");
}
END_TEST

START_TEST(integers_are_decimal_and_whole)
{
    static const char *const bad[] = {"",
                                      "-",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x10",
                                      "1e3",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "abc"};
    int64_t out = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!base_parse_int(&out, bad[i]), "'%s' accepted", bad[i]);
    ck_assert_int_eq(out, 7);
    ck_assert(base_parse_int(&out, "010"));
    ck_assert_int_eq(out, 10);
    ck_assert(base_parse_int(&out, "-9223372036854775808"));
    ck_assert_int_eq(out, INT64_MIN);
    ck_assert(base_parse_int(&out, "+9223372036854775807"));
    ck_assert_int_eq(out, INT64_MAX);
}
END_TEST

START_TEST(words_of_a_list_are_taken_whole)
{
    const char *list = " 8/255 ,0.1 0.2,,long,last";
    char word[8];

    ck_assert(base_word_take(word, sizeof word, &list));
    ck_assert_str_eq(word, "8/255");
    ck_assert(base_word_take(word, sizeof word, &list));
    ck_assert_str_eq(word, "0.1 0.2");
    ck_assert(base_word_take(word, sizeof word, &list));
    ck_assert_str_eq(word, "");
    ck_assert(!base_word_take(word, 4, &list));
    ck_assert_str_eq(word, "lon");
    ck_assert(base_word_take(word, sizeof word, &list));
    ck_assert_str_eq(word, "last");
    ck_assert_ptr_null(list);
    list = "  ,";
    ck_assert(base_word_take(word, sizeof word, &list));
    ck_assert_str_eq(word, "");
    ck_assert_str_eq(list, ""); /* one more, empty */
}
END_TEST

START_TEST(real_text_is_short_and_reads_back)
{
    static const struct {
        double value;
        const char *text;
    } known[] = {{0, "0"},         {0.1, "0.1"},      {-2.5, "-2.5"},
                 {3e-4, "0.0003"}, {1e300, "1e+300"}, {1.0 / 3, "0.3333333333333333"}};
    char out[32];

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_str_eq(base_real_text(out, sizeof out, known[i].value), known[i].text);
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    for (int i = 0; i < 200; i++) {
        const double value = base_rng_normal(&rng) * pow(10, i - 100);
        double back = 0;
        ck_assert(base_parse_real(&back, base_real_text(out, sizeof out, value)));
        ck_assert_double_eq(back, value);
    }
}
END_TEST

START_TEST(edit_distance_counts_edits)
{
    ck_assert_uint_eq(base_edit_distance("", ""), 0);
    ck_assert_uint_eq(base_edit_distance("", "abc"), 3);
    ck_assert_uint_eq(base_edit_distance("abc", ""), 3);
    ck_assert_uint_eq(base_edit_distance("epochs", "epochs"), 0);
    ck_assert_uint_eq(base_edit_distance("epoch", "epochs"), 1);
    ck_assert_uint_eq(base_edit_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(base_edit_distance("flaw", "lawn"), 2);
    ck_assert_uint_eq(base_edit_distance("lr", "rl"), 2);
    ck_assert_uint_eq(base_edit_distance("epochs", "epoch"), 1);
    ck_assert_uint_eq(base_edit_distance("steps", "teps"), 1);
    ck_assert_uint_eq(base_edit_distance("abcdefg", "aceg"), 3);
    ck_assert_uint_eq(base_edit_distance("aceg", "abcdefg"), 3);
    ck_assert_uint_eq(base_edit_distance("learning", "lean"), 4);
    ck_assert_uint_eq(base_edit_distance("weight-decay", "decay"), 7);
    ck_assert_uint_eq(base_edit_distance("decay", "weight-decay"), 7);
}
END_TEST

START_TEST(edit_distance_ignores_what_is_beyond_63)
{
    char a[100], b[100];

    memset(a, 'a', 99);
    memset(b, 'a', 99);
    a[99] = b[99] = 0;
    b[63] = 'b';
    ck_assert_uint_eq(base_edit_distance(a, b), 0);
    b[62] = 'b';
    ck_assert_uint_eq(base_edit_distance(a, b), 1);
}
END_TEST

START_TEST(text_is_formatted_into_new_memory)
{
    char *text = base_text("%s-%04d", "epoch", 7);

    ck_assert_str_eq(text, "epoch-0007");
    base_free(text);
    text = base_text("%5000d", 1);
    ck_assert_uint_eq(strlen(text), 5000);
    base_free(text);
    text = base_text("%s", "");
    ck_assert_str_eq(text, "");
    base_free(text);
}
END_TEST

START_TEST(sha256_is_that_of_the_standard)
{
    char text[BASE_SHA256_TEXT];
    base_sha256 hash = base_sha256_begin();

    base_sha256_add(&hash, "abc", 3);
    base_sha256_end(text, &hash);
    ck_assert_str_eq(text,
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash = base_sha256_begin();
    for (int i = 0; i < 1000; i++)
        base_sha256_add(&hash, "aaaaaaaaaa", 10);
    base_sha256_end(text, &hash);
    ck_assert_str_eq(text,
                     "27dd1f61b867b6a0f6e9d8a41c43231de52107e53ae424de8f847b821db4b711");
}
END_TEST

/* Around the lengths where the padding needs a block of its own. */
START_TEST(sha256_of_pieces_is_that_of_the_whole)
{
    unsigned char bytes[200];
    char whole[BASE_SHA256_TEXT], pieces[BASE_SHA256_TEXT];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        base_sha256 hash = base_sha256_begin();
        for (size_t at = 0; at < count; at += 13)
            base_sha256_add(&hash, bytes + at, count - at < 13 ? count - at : 13);
        base_sha256_end(pieces, &hash);
        base_sha256_text(whole, bytes, count);
        ck_assert_str_eq(pieces, whole);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_text");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, reals_are_read_whole);
    tcase_add_test(core, the_locale_does_not_move_the_point);
    tcase_add_test(core, integers_are_decimal_and_whole);
    tcase_add_test(core, words_of_a_list_are_taken_whole);
    tcase_add_test(core, real_text_is_short_and_reads_back);
    tcase_add_test(core, edit_distance_counts_edits);
    tcase_add_test(core, text_is_formatted_into_new_memory);
    tcase_add_test(core, sha256_is_that_of_the_standard);
    tcase_add_test(limits, sha256_of_pieces_is_that_of_the_whole);
    tcase_add_test(limits, other_text_is_no_real);
    tcase_add_test(limits, edit_distance_ignores_what_is_beyond_63);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
