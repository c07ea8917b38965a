/* test_base_status.c - error text and quoted names. */
#include "base/base.h"

#include <errno.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

START_TEST(fail_returns_its_status_and_formats_the_text)
{
    base_error err = {0};

    ck_assert_int_eq(base_fail(&err, BASE_FORMAT, "'%s' has %d bytes", "x.png", 0),
                     BASE_FORMAT);
    ck_assert_int_eq(err.status, BASE_FORMAT);
    ck_assert_str_eq(err.text, "'x.png' has 0 bytes");
    ck_assert_int_eq(base_fail(NULL, BASE_USAGE, "nobody reads %s", "this"), BASE_USAGE);
}
END_TEST

START_TEST(fail_may_quote_the_text_it_replaces)
{
    base_error err = {0};

    base_fail(&err, BASE_IO, "inner");
    base_fail(&err, BASE_IO, "outer (%s)", err.text);
    ck_assert_str_eq(err.text, "outer (inner)");
}
END_TEST

START_TEST(fail_errno_adds_the_reason)
{
    base_error err = {0};

    errno = ENOENT;
    ck_assert_int_eq(base_fail_errno(&err, "cannot open '%s'", "a"), BASE_IO);
    ck_assert_str_eq(err.text, "cannot open 'a': No such file or directory");
    errno = ENOMEM;
    ck_assert_int_eq(base_fail_errno(&err, "x"), BASE_NO_MEMORY);
    ck_assert_int_eq(err.status, BASE_NO_MEMORY);
    errno = ENOENT;
    ck_assert_int_eq(base_fail_errno(NULL, "x"), BASE_IO);
}
END_TEST

START_TEST(prepend_puts_context_in_front)
{
    base_error err = {0};

    base_fail(&err, BASE_FORMAT, "unknown key '%s'", "k");
    base_error_prepend(&err, "%s:%d: ", "recipe.ini", 7);
    ck_assert_str_eq(err.text, "recipe.ini:7: unknown key 'k'");
    ck_assert_int_eq(err.status, BASE_FORMAT);
    base_error_prepend(NULL, "nothing");
}
END_TEST

START_TEST(long_texts_are_cut)
{
    base_error err = {0};
    char wide[3000];

    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    base_fail(&err, BASE_IO, "%s", wide);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    errno = ENOSPC;
    base_fail_errno(&err, "%s", wide);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_ptr_nonnull(strstr(err.text, "www: No space left on device"));
    base_error_prepend(&err, "head: ");
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_ptr_nonnull(strstr(err.text, "www: No space left on device"));
    ck_assert(strncmp(err.text, "head: www", 9) == 0);
    base_error_prepend(&err, "%s", wide);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

START_TEST(long_texts_are_cut_between_characters)
{
    base_error err = {0};
    char wide[3000];

    for (size_t shift = 0; shift < 3; shift++) {
        memset(wide, 'w', shift);
        for (size_t at = shift; at < sizeof wide - 3; at += 3)
            memcpy(wide + at, "\xe2\x82\xac", 4);
        base_fail(&err, BASE_IO, "%s", wide);
        ck_assert_uint_ge(strlen(err.text), sizeof err.text - 8);
        ck_assert_ptr_nonnull(strstr(err.text, "\xe2\x82\xac...\xe2\x82\xac"));
    }
}
END_TEST

START_TEST(texts_are_one_line_whatever_the_names)
{
    base_error err = {0};

    base_fail(&err, BASE_IO, "no '%s' here", "a\nb\x1b[2J");
    ck_assert_str_eq(err.text, "no 'a\\x0ab\\x1b[2J' here");
    base_error_prepend(&err, "'%s': ", "c\r");
    ck_assert_str_eq(err.text, "'c\\x0d': no 'a\\x0ab\\x1b[2J' here");
    errno = ENOENT;
    base_fail_errno(&err, "cannot open '%s'", "\xff\n");
    ck_assert_str_eq(err.text, "cannot open '\\xff\\x0a': No such file or directory");
}
END_TEST

START_TEST(quote_keeps_printable_text)
{
    char out[64];

    ck_assert_str_eq(base_quote(out, sizeof out, "n01440764/x y.JPEG"),
                     "n01440764/x y.JPEG");
    ck_assert_str_eq(
        base_quote(out, sizeof out, "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x90\xb1"),
        "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x90\xb1");
    ck_assert_str_eq(base_quote(out, sizeof out, ""), "");
}
END_TEST

START_TEST(quote_escapes_control_characters_and_invalid_utf8)
{
    char out[64];

    ck_assert_str_eq(base_quote(out, sizeof out, "a\n\x1b[31m\x7f"),
                     "a\\x0a\\x1b[31m\\x7f");
    ck_assert_str_eq(base_quote(out, sizeof out, "\xff\xc3"), "\\xff\\xc3");
    ck_assert_str_eq(base_quote(out, sizeof out, "\xc2\x9b"), "\\xc2\\x9b"); /* C1: CSI */
    /* An overlong '/', in two and in three bytes. */
    ck_assert_str_eq(base_quote(out, sizeof out, "\xc0\xaf"), "\\xc0\\xaf");
    ck_assert_str_eq(base_quote(out, sizeof out, "\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
    /* A surrogate, a number too large, an early end. */
    ck_assert_str_eq(base_quote(out, sizeof out, "\xed\xa0\x80"), "\\xed\\xa0\\x80");
    ck_assert_str_eq(base_quote(out, sizeof out, "\xf4\x90\x80\x80"),
                     "\\xf4\\x90\\x80\\x80");
    ck_assert_str_eq(base_quote(out, sizeof out, "\xe2\x82"), "\\xe2\\x82");
}
END_TEST

START_TEST(quote_cuts_between_characters)
{
    char out[9];

    ck_assert_str_eq(base_quote(out, sizeof out, "12345678"), "12345678");
    ck_assert_str_eq(base_quote(out, sizeof out, "123456789"), "12345...");
    ck_assert_str_eq(base_quote(out, sizeof out, "1234\xe2\x82\xac\xe2\x82\xac"),
                     "1234...");
    ck_assert_str_eq(base_quote(out, sizeof out, "\n\n\n"), "\\x0a...");
    ck_assert_str_eq(base_quote(out, 3, "abcdef"), "..");
    ck_assert_str_eq(base_quote(out, 1, "abcdef"), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_status");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, fail_returns_its_status_and_formats_the_text);
    tcase_add_test(core, fail_may_quote_the_text_it_replaces);
    tcase_add_test(core, fail_errno_adds_the_reason);
    tcase_add_test(core, prepend_puts_context_in_front);
    tcase_add_test(core, quote_keeps_printable_text);
    tcase_add_test(core, quote_escapes_control_characters_and_invalid_utf8);
    tcase_add_test(core, texts_are_one_line_whatever_the_names);
    tcase_add_test(limits, long_texts_are_cut);
    tcase_add_test(limits, long_texts_are_cut_between_characters);
    tcase_add_test(limits, quote_cuts_between_characters);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
