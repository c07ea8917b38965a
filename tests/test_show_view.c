/* test_show_view.c - views of documents: paths, forms of values, terminals and CSV. Pages:
 * test_show_page.c. */
#include "tests/test_show.h"

/* ---- paths --------------------------------------------------------------------------- */

START_TEST(paths_find_members_elements_and_neighbours)
{
    const show_at root = show_root(document);
    const show_rows rows = show_all(&render, &root, "points[].rows[]");

    ck_assert_double_eq(show_find(&root, "points[1].eps").number, 2);
    ck_assert_double_eq(show_find(&root, "points[-1].eps").number, 2);
    ck_assert_double_eq(show_find(&root, "points[main].rows[0].k").number, 3);
    ck_assert_uint_eq(rows.count, 3);
    ck_assert_double_eq(show_find(&rows.at[2], "k").number, 3);
    ck_assert_double_eq(show_find(&rows.at[2], "^eps").number, 2);
    ck_assert_double_eq(show_find(&rows.at[1], "^eps").number, 0);
    ck_assert_double_eq(show_find(&rows.at[1], "#").number, 1);
    ck_assert_double_eq(show_find(&rows.at[1], "/share").number, 0.5);
    ck_assert_str_eq(show_find(&rows.at[1], "/words[#]").text, "green");
    ck_assert_uint_eq(show_all(&render, &root, "points[main].rows[]").count, 1);
}
END_TEST

START_TEST(paths_of_an_object_give_names)
{
    const show_at root = show_root(document);
    const show_rows kinds = show_all(&render, &root, "kinds[]");

    ck_assert_uint_eq(kinds.count, 2);
    ck_assert_str_eq(show_find(&kinds.at[0], "@").text, "JPEG");
    ck_assert_double_eq(show_find(&kinds.at[1], ".").number, 2);
}
END_TEST

START_TEST(what_is_null_or_missing_or_beyond_the_end_is_not_there)
{
    static const char *const paths[] = {"nothing", "no",          "points[2]", "points[-3]",
                                        "name.x",  "[0]",         "points[",   "share[0]",
                                        "^",       "points[name]"};
    const show_at root = show_root(document);

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ck_assert_msg(show_find(&root, paths[i]).value == NULL, "%s", paths[i]);
        ck_assert_msg(show_all(&render, &root, paths[i]).count == 0, "%s", paths[i]);
    }
}
END_TEST

START_TEST(texts_with_a_value_that_is_missing_are_none)
{
    const show_at root = show_root(document);

    ck_assert_str_eq(
        show_fill(&render, &root, "{n:n} of {share:%1}, {share:.3}, {ci95:%0}"),
        "12,345 of 50.0 %, 0.500, 40, 62");
    ck_assert_str_eq(show_fill(&render, &root, "plain"), "plain");
    ck_assert_ptr_null(show_fill(&render, &root, "block {no}"));
    ck_assert_ptr_null(show_fill(&render, &root, NULL));
}
END_TEST

/* ---- settings ------------------------------------------------------------------------ */

typedef struct settings {
    int steps;
    double share, chosen;
    bool on;
    char word[8];
} settings;

START_TEST(settings_keep_their_kind)
{
#define BASE_STRUCT settings
    static const base_field fields[] = {
        BASE_INT("steps", steps, 0, 9, ""),
        BASE_REAL("share", share, 0, 1, ""),
        BASE_REAL("chosen", chosen, 0, 1, "", .automatic = true),
        BASE_BOOL("on", on, ""),
        BASE_TEXT("word", word, ""),
        {0},
    };
#undef BASE_STRUCT
    const settings s = {3, 0.5, (double)NAN, true, "a"};
    json_t *want = json_pack("{s:i, s:f, s:n, s:b, s:s}", "steps", 3, "share", 0.5,
                             "chosen", "on", 1, "word", "a");
    json_t *got = show_json_fields(fields, &s);

    ck_assert(json_equal(got, want));
    json_decref(got);
    json_decref(want);
}
END_TEST

/* ---- terminal ------------------------------------------------------------------------ */

START_TEST(a_terminal_aligns_and_leaves_out_what_nobody_has)
{
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = table},
                                        {0}};

    terminal_is(blocks, "network                     top-1    images\n"
                        "first    90.00 % [80.00 to 95.00]  10 of 20\n"
                        "=cmd()                    25.00 %   5 of 20\n");
}
END_TEST

/* One column is a table, too; notes stand below their rows, of the first part alone. */
START_TEST(tables_of_one_column_and_with_notes)
{
    static const show_column one[] = {{"network", "net", .note = "of {of:n}"}, {0}};
    static const show_column wide[] = {
        {"network of a long name", "net", .note = "of {of:n}"},
        {"a first column of a very long title", "n", SHOW_COUNT},
        {"a second column of a very long title", "of", SHOW_COUNT, .note = "{nothing}"},
        {0}};
    static const show_block narrow[] = {{SHOW_TABLE, .path = "table[]", .columns = one},
                                        {0}};
    static const show_block parts[] = {{SHOW_TABLE, .path = "table[]", .columns = wide},
                                       {0}};
    terminal_is(narrow, "network\nfirst\n    of 20\n=cmd()\n    of 20\n");
    terminal_is(parts, "network of a long name  a first column of a very long title\n"
                       "first                                                    10\n"
                       "    of 20\n"
                       "=cmd()                                                    5\n"
                       "    of 20\n"
                       "\n"
                       "network of a long name  a second column of a very long title\n"
                       "first                                                     20\n"
                       "=cmd()                                                    20\n");
}
END_TEST

/* Of the table's column and the card whose title has no value nothing is left. */
START_TEST(titles_hold_values_or_leave_their_column_out)
{
    static const show_column columns[] = {{"network", "net"},
                                          {"of {/table[1].n}", "n", SHOW_COUNT},
                                          {"of {/nothing}", "n", SHOW_COUNT},
                                          {0}};
    static const show_column cards[] = {{"{table[0].net} is", "table[0].n", SHOW_COUNT},
                                        {"{nothing} is", "table[0].n", SHOW_COUNT},
                                        {0}};
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = columns},
                                        {0}};
    static const show_block shown[] = {{SHOW_CARDS, .path = ".", .columns = cards}, {0}};

    terminal_is(blocks, "network  of 5\n"
                        "first      10\n"
                        "=cmd()      5\n");
    terminal_is(shown, "first is 10\n");
}
END_TEST

/* What does not fit on one line stands in parts, and then a name needs no cutting. */
START_TEST(names_are_whole_where_a_table_stands_in_parts)
{
    static const show_column columns[] = {
        {"network of a long name", "net"},
        {"a first column of a very long title", "n", SHOW_COUNT},
        {"a second column of a very long title", "of", SHOW_COUNT},
        {0}};
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = columns},
                                        {0}};
    char *out = terminal_of(blocks);

    holds(out, "network of a long name");
    free(out);
}
END_TEST

/* Texts that are too wide lose letters, the widest first, down to fourteen; a path its
 * front, another text its end; numbers none. */
START_TEST(wide_texts_give_way_to_numbers)
{
    static const show_column columns[] = {
        {"name", "a"}, {"of it", "b"}, {"n", "n", SHOW_COUNT}, {0}};
    static const show_block blocks[] = {{SHOW_TABLE, .path = "wide[]", .columns = columns},
                                        {0}};
    json_t *rows = json_pack(
        "[{s:s, s:s, s:i}, {s:s, s:s, s:i}]", "a",
        "first words that go on for much longer than a line has room for them", "b",
        "\u00e9\u00e9\u00e9\u00e9 a second text of some length, which ends here", "n",
        1234567, "a", "a/path/that/goes/on/for/much/longer/than/a/line/has/room/for/it.png",
        "b", "a, list/of, two", "n", 5);

    json_object_set_new(show_document_json(document), "wide", rows);
    terminal_is(
        blocks,
        "name                               of it                                       n\n"
        "first words that go on for much..  \u00e9\u00e9\u00e9\u00e9 a second text of some lengt..  1,234,567\n"
        "..than/a/line/has/room/for/it.png  a, list/of, two                             5\n");
}
END_TEST

START_TEST(rows_of_also_come_after_those_of_the_path)
{
    static const show_column columns[] = {
        {"of", "net"}, {"%", "top1", SHOW_PERCENT, .bare = true}, {0}};
    static const show_block blocks[] = {
        {SHOW_TABLE, .path = "table[1]", .also = "table[]", .columns = columns}, {0}};
    static const show_block none[] = {
        {SHOW_TABLE, .path = "table[1]", .also = "nothing", .columns = columns}, {0}};

    terminal_is(blocks, "of          %\n=cmd()  25.00\nfirst   90.00\n=cmd()  25.00\n");
    terminal_is(none, "of          %\n=cmd()  25.00\n");
}
END_TEST

START_TEST(a_text_with_paths_stands_in_place_of_a_value)
{
    static const show_column columns[] = {
        {"of", ".", .fill = "{net}, {n:n}"},
        {"all", "/layers", .fill = "{layer}:{load[1]:.2}"},
        {0}};
    static const show_block blocks[] = {
        {SHOW_TABLE, .path = "table[0]", .columns = columns}, {0}};

    terminal_is(blocks, "of         all\nfirst, 10  3:0.75, 5:0.50\n");
}
END_TEST

START_TEST(a_terminal_stays_within_80_characters)
{
    static const show_column wide[] = {{"network of a long name", "net"},
                                       {"a first long column title", "top1", SHOW_PERCENT},
                                       {"a second long column title", "n", SHOW_COUNT},
                                       {"a third long column title", "of", SHOW_COUNT},
                                       {0}};
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = wide},
                                        {0}};
    char *out = terminal_of(blocks);

    for (const char *at = out; *at;) {
        const size_t length = strcspn(at, "\n");

        ck_assert_uint_le(length, 80);
        at += length + 1;
    }
    holds(out, "a third long column title");
    free(out);
}
END_TEST

START_TEST(cards_are_lines_of_a_terminal)
{
    static const show_column cards[] = {
        {"model", "name"},
        {"robust", "share", SHOW_PERCENT, .low_high = "ci95", .note = "{n:n} images"},
        {"images", "n", SHOW_COUNT},
        {"none", "nothing", SHOW_COUNT},
        {0}};
    static const show_block blocks[] = {{SHOW_CARDS, .columns = cards}, {0}};

    terminal_is(blocks, "model   a & <b>\n"
                        "robust  50.00 %   95 %: 40.00 to 62.00, 12,345 images\n"
                        "images   12,345\n");
}
END_TEST

START_TEST(banners_and_texts_are_lines_of_a_terminal)
{
    static const show_block blocks[] = {{SHOW_BANNER, .path = "trust"},
                                        {SHOW_TEXTS, .path = "words"},
                                        {SHOW_TEXTS, .path = "nothing"},
                                        {0}};

    terminal_is(blocks, "2 checks fail\n  - one <i>\n  - two\n\nred\ngreen\n");
}
END_TEST

/* ---- CSV ----------------------------------------------------------------------------- */

START_TEST(csv_is_disarmed_but_for_numbers)
{
    static const char *const in[] = {"=1+2", "+cmd",  "-x",         "@sum", "-0.5",
                                     "+3",   "plain", "a,\"b\"\nc", ""};
    static const char *const out[] = {
        "'=1+2", "'+cmd", "'-x", "'@sum", "-0.5", "+3", "plain", "\"a,\"\"b\"\" c\"", ""};

    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        char *got = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&got, &bytes);

        show_csv_text(file, in[i]);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_str_eq(got, out[i]);
        free(got);
    }
}
END_TEST

START_TEST(a_text_is_filled_in_alone)
{
    const json_t *json = show_document_json(document);
    char *filled =
        show_text(json, "{name}: {share:%1}, {share:p0}, {gone:%|none} {nothing|}.");

    ck_assert_str_eq(filled, "a & <b>: 50.0 %, 50, none .");
    base_free(filled);
    ck_assert_ptr_null(show_text(json, "{name} {nothing}"));
}
END_TEST

START_TEST(csv_comes_line_by_line_too)
{
    static const char columns[] = "net,share of {top1:p1},n,rest {nowhere|none},no,"
                                  "exact {ci[0]:.3},top1,from {/name}";
    char *out = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&out, &bytes);

    show_csv_head(file, columns);
    ck_assert_int_eq(show_csv_row(file, columns, document, "table[0]", NULL), BASE_OK);
    ck_assert_int_eq(show_csv_row(file, columns, document, "table[1]", NULL), BASE_OK);
    fclose(file);
    ck_assert_str_eq(out, "net,share,n,rest,no,exact,top1,from\n"
                          "first,of 90.0,10,none,,0.800,0.9,a & <b>\n"
                          "'=cmd(),of 25.0,5,none,,,0.25,a & <b>\n");
    free(out);
}
END_TEST

START_TEST(csv_has_every_column_whole_numbers_and_both_ends)
{
    static const show_block inner[] = {
        {SHOW_TABLE, SHOW_CSV, .path = "table[]", .columns = table, .most = 9}, {0}};
    static const show_block blocks[] = {{SHOW_GROUP, .path = ".", .inner = inner}, {0}};
    const show_view view = {.title = "T", .blocks = blocks};
    char *path = test_path(dir, "t.csv");
    base_error err = {0};

    ck_assert_int_eq(show_csv_write(document, &view, "table[]", path, &err), BASE_OK);
    test_holds(path, "net,top1,top1_low,top1_high,n,missing\n"
                     "first,0.9,0.8,0.95,10,\n"
                     "'=cmd(),0.25,,,5,\n");
    ck_assert_int_eq(show_csv_write(document, &view, "no[]", path, &err), BASE_UNSUPPORTED);
    base_free(path);
}
END_TEST

/* ---- limits -------------------------------------------------------------------------- */

START_TEST(steps_of_axes_are_1_2_25_or_5)
{
    static const double spans[][2] = {
        {1, 0.2},    {10, 2},     {0.11, 0.025}, {23, 5}, {5e-7, 1e-7}, {5, 1}, {5.01, 2},
        {10.1, 2.5}, {12.5, 2.5}, {12.6, 5},     {25, 5}, {25.1, 10},   {0, 1}, {-3, 1}};

    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        ck_assert_double_eq_tol(show_nice_step(spans[i][0]), spans[i][1], 1e-12);
}
END_TEST

START_TEST(a_document_of_nothing_is_refused)
{
    ck_assert_ptr_null(show_document_create(NULL));
    show_document_destroy(NULL);
}
END_TEST

/* Just below and at each change of form. */
START_TEST(counts_times_and_sizes_have_their_forms)
{
    static const struct {
        uint64_t value;
        const char *text;
    } counts[] = {{0, "0"},
                  {999, "999"},
                  {1000, "1,000"},
                  {12345, "12,345"},
                  {999999, "999,999"},
                  {1000000, "1,000,000"},
                  {18446744073709551615u, "18,446,744,073,709,551,615"}};
    static const struct {
        double value;
        const char *text;
    } times[] = {{-1, "0.0 s"},     {0, "0.0 s"},       {9.94, "9.9 s"},
                 {9.96, "10 s"},    {59.4, "59 s"},     {59.6, "1:00"},
                 {61.2, "1:01"},    {3599.4, "59:59"},  {3599.6, "1:00:00"},
                 {3661, "1:01:01"}, {90061, "25:01:01"}},
      sizes[] = {{0, "0 bytes"},       {999, "999 bytes"}, {1000, "1.0 kB"},
                 {999900, "999.9 kB"}, {1e6, "1.0 MB"},    {2.5e9, "2.5 GB"},
                 {3e12, "3.0 TB"},     {4e15, "4000.0 TB"}};
    char out[64];

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ck_assert_str_eq(show_thousands(out, sizeof out, counts[i].value), counts[i].text);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        ck_assert_str_eq(show_duration(out, sizeof out, times[i].value), times[i].text);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_str_eq(show_bytes(out, sizeof out, sizes[i].value), sizes[i].text);
    /* as much as there is room for, never a comma at the end */
    ck_assert_str_eq(show_thousands(out, 6, 1234567), "1,23");
    ck_assert_str_eq(show_thousands(out, 3, 7), "7");
}
END_TEST

START_TEST(lists_and_members_become_json)
{
    static const uint64_t whole[] = {1, 2, 3, 4};
    static const double reals[] = {1, 3};
    static const float floats[] = {0.5f, 1.5f};
    json_t *json = json_object(), *facts = json_array();

    show_put(json, "counts", show_json_counts(whole, 3));
    show_put(json, "table", show_json_table(whole, 2, 2));
    show_put(json, "reals", show_json_reals(reals, 2, 4));
    show_put(json, "floats", show_json_floats(floats, 2));
    show_put_int(json, "int", -5);
    show_put_count(json, "count", 7);
    show_put_real(json, "real", 0.25);
    show_put_real(json, "none", (double)INFINITY);
    show_put_bool(json, "yes", true);
    show_put_text(json, "text", "t");
    show_put_text(json, "nothing", NULL);
    show_row(facts, "{s:i, s:s}", "a", 1, "b", "c");
    show_fact(facts, "%d of %s", 3, "\xff");
    show_put(json, "facts", facts);
    char *text_of = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(
        text_of, "{\"counts\":[1,2,3],\"table\":[[1,2],[3,4]],\"reals\":[0.25,0.75],"
                 "\"floats\":[0.5,1.5],\"int\":-5,\"count\":7,\"real\":0.25,\"none\":null,"
                 "\"yes\":true,\"text\":\"t\",\"nothing\":null,"
                 "\"facts\":[{\"a\":1,\"b\":\"c\"},\"3 of \\\\xff\"]}");
    ck_assert_double_eq(show_json_number(json, "table[1][0]"), 3);
    ck_assert(isnan(show_json_number(json, "text")) && isnan(show_json_number(NULL, "a")));
    ck_assert_str_eq(show_json_string(json, "facts[0].b"), "c");
    ck_assert_ptr_null(show_json_string(json, "int"));
    ck_assert_ptr_null(show_json_find(json, "nothing"));
    ck_assert_ptr_null(show_json_find(NULL, "x"));
    free(text_of);
    json_decref(json);
}
END_TEST

START_TEST(texts_are_broken_between_words)
{
    static const struct {
        const char *text, *want;
        size_t wide;
    } cases[] = {{"", "\n", 5},
                 {"one two", "one two\n", 7},
                 {"one two", "one\n> two\n", 6},
                 {"\u00e9\u00e9 \u00e9\u00e9", "\u00e9\u00e9 \u00e9\u00e9\n", 5},
                 {"toolong a", "toolong\n> a\n", 3},
                 {"a\nb", "a b\n", 9}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&out, &bytes);
        show_wrapped(file, cases[i].text, cases[i].wide, "> ");
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_str_eq(out, cases[i].want);
        free(out);
    }
}
END_TEST

START_TEST(odd_numbers_and_texts_become_json)
{
    json_t *json = show_json_real((double)NAN);

    ck_assert(json_is_null(json));
    json_decref(json);
    json = show_json_text("a\xff");
    ck_assert_str_eq(json_string_value(json), "a\\xff");
    json_decref(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("show_view");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, paths_find_members_elements_and_neighbours);
    tcase_add_test(core, paths_of_an_object_give_names);
    tcase_add_test(core, what_is_null_or_missing_or_beyond_the_end_is_not_there);
    tcase_add_test(core, texts_with_a_value_that_is_missing_are_none);
    tcase_add_test(core, settings_keep_their_kind);
    tcase_add_test(core, a_terminal_aligns_and_leaves_out_what_nobody_has);
    tcase_add_test(core, tables_of_one_column_and_with_notes);
    tcase_add_test(core, titles_hold_values_or_leave_their_column_out);
    tcase_add_test(core, names_are_whole_where_a_table_stands_in_parts);
    tcase_add_test(core, wide_texts_give_way_to_numbers);
    tcase_add_test(core, rows_of_also_come_after_those_of_the_path);
    tcase_add_test(core, a_text_with_paths_stands_in_place_of_a_value);
    tcase_add_test(core, a_terminal_stays_within_80_characters);
    tcase_add_test(core, cards_are_lines_of_a_terminal);
    tcase_add_test(core, banners_and_texts_are_lines_of_a_terminal);
    tcase_add_test(core, csv_is_disarmed_but_for_numbers);
    tcase_add_test(core, a_text_is_filled_in_alone);
    tcase_add_test(core, csv_comes_line_by_line_too);
    tcase_add_test(core, csv_has_every_column_whole_numbers_and_both_ends);
    tcase_add_test(limits, steps_of_axes_are_1_2_25_or_5);
    tcase_add_test(limits, a_document_of_nothing_is_refused);
    tcase_add_test(limits, counts_times_and_sizes_have_their_forms);
    tcase_add_test(limits, lists_and_members_become_json);
    tcase_add_test(limits, texts_are_broken_between_words);
    tcase_add_test(limits, odd_numbers_and_texts_become_json);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
