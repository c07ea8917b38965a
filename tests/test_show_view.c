/* test_show_view.c - views of documents: paths, forms of values, each kind of block on a
 * page, on a terminal and as CSV. Documents are made here; what a page must hold is looked
 * for in its text. */
#include "show/document_internal.h"
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_run.h"

/* Rows of views end where the rest is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const char text[] =
    "{'name': 'a & <b>', 'main': 1, 'flat': 0, 'nothing': null, 'share': 0.5, 'n': 12345,"
    " 'ci95': [0.4, 0.62],"
    " 'points': [{'eps': 0, 'rows': [{'k': 1}, {'k': 2}]}, {'eps': 2, 'rows': [{'k': 3}]}],"
    " 'kinds': {'JPEG': 7, 'PNG': 2},"
    " 'trust': {'verdict': 'FAIL', 'text': '2 checks fail', 'facts': ['one <i>', 'two']},"
    " 'words': ['red', 'green'],"
    " 'table': [{'net': 'first', 'top1': 0.9, 'best': true, 'n': 10, 'of': 20, 'ci': [0.8, 0.95]},"
    "           {'net': '=cmd()', 'top1': 0.25, 'best': false, 'n': 5, 'of': 20, 'ci': null}],"
    " 'curve': [{'x': 1, 'y': -200.5, 'name': 'a'}, {'x': 0, 'y': 100, 'name': 'a'},"
    "           {'x': -1, 'y': 3, 'name': 'b'}],"
    " 'layers': [{'layer': 3, 'load': [0.25, 0.75]}, {'layer': 5, 'load': [0.5, 0.5]}],"
    " 'matrix': [[9, 1], [0, 3]], 'cells': [0, 1, 4, 1, 1, 2],"
    " 'shots': [{'picture': 'p', 'answer': 'cat', 'right': false,"
    "            'top': [{'name': 'cat', 'probability': 0.7, 'mark': false},"
    "                    {'name': 'dog', 'probability': 0.3, 'mark': true}]}]}";

static show_document *document;
static char *dir;
static show_render render;

static void setup(void)
{
    char json[sizeof text];

    for (size_t i = 0; i < sizeof text; i++)
        json[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    document = show_document_create(json_loads(json, 0, NULL));
    ck_assert_ptr_nonnull(document);
    dir = test_folder_make();
    render = (show_render){.document = document, .where = SHOW_TERMINAL};
}

static void teardown(void)
{
    show_render_end(&render);
    show_document_destroy(document);
    test_folder_remove(dir);
}

/* ---- what a view becomes ------------------------------------------------------------- */

/* The page of these blocks: base_free. */
static char *page_of(const show_block *blocks)
{
    const show_view view = {.title = "T {name}", .lead = "of {n:n}", .blocks = blocks};
    char *path = test_path(dir, "page.html"), *page = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_msg(show_page_write(document, &view, path, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(base_file_read(&page, &bytes, path, 1 << 24, &err), BASE_OK);
    base_free(path);
    return page;
}

/* What a terminal gets: free. */
static char *terminal_of(const show_block *blocks)
{
    const show_view view = {.title = "T", .blocks = blocks};
    char *out = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&out, &bytes);
    base_error err = {0};

    ck_assert_int_eq(show_print_terminal(file, document, &view, &err), BASE_OK);
    ck_assert_int_eq(fclose(file), 0);
    return out;
}

static void holds(const char *all, const char *part)
{
    ck_assert_msg(strstr(all, part) != NULL, "'%s' is not there", part);
}

static void lacks(const char *all, const char *part)
{
    ck_assert_msg(strstr(all, part) == NULL, "'%s' is there", part);
}

static void page_holds(const show_block *blocks, const char *part)
{
    char *page = page_of(blocks);

    holds(page, part);
    base_free(page);
}

static void terminal_is(const show_block *blocks, const char *want)
{
    char *got = terminal_of(blocks);

    ck_assert_str_eq(got, want);
    free(got);
}

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

/* ---- terminal ------------------------------------------------------------------------ */

static const show_column table[] = {
    {"network", "net"},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "ci", .strong = "best"},
    {"images", "n", SHOW_COUNT, .of = "of"},
    {"never", "missing", SHOW_NUMBER},
    {0}};

START_TEST(a_terminal_aligns_and_leaves_out_what_nobody_has)
{
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = table},
                                        {0}};

    terminal_is(blocks, "network                     top-1    images\n"
                        "first    90.00 % [80.00 to 95.00]  10 of 20\n"
                        "=cmd()                    25.00 %   5 of 20\n");
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

/* ---- pages --------------------------------------------------------------------------- */

START_TEST(a_page_stands_alone_escapes_and_has_both_colours)
{
    static const show_block blocks[] = {{SHOW_BANNER, .path = "trust"}, {0}};
    char *page = page_of(blocks);

    holds(page, "<title>T a &amp; &lt;b&gt;</title>");
    holds(page, "of 12,345");
    holds(page, "banner fail");
    holds(page, "one &lt;i&gt;");
    holds(page, "prefers-color-scheme:dark");
    holds(page, "width=device-width");
    lacks(page, "<script");
    lacks(page, "http:");
    lacks(page, "https:");
    base_free(page);
}
END_TEST

/* RFC 3629: whole characters stay, bytes that are none are told, too long and beyond. */
START_TEST(characters_of_a_page_are_whole_or_told_by_their_bytes)
{
    static const char *const pairs[][2] = {
        {"\xc3\xa9 \xdf\xbf", "\xc3\xa9 \xdf\xbf"},
        {"\xe0\xa0\x80 \xe2\x82\xac \xed\x9f\xbf \xef\xbf\xbf",
         "\xe0\xa0\x80 \xe2\x82\xac \xed\x9f\xbf \xef\xbf\xbf"},
        {"\xf0\x90\x80\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf",
         "\xf0\x90\x80\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"},
        {"\xc1\xbf \xe0\x9f\xbf", "\\xc1\\xbf \\xe0\\x9f\\xbf"},
        {"\xed\xa0\x80 \xf0\x8f\xbf\xbf", "\\xed\\xa0\\x80 \\xf0\\x8f\\xbf\\xbf"},
        {"\xf4\x90\x80\x80 \xf5\x80\x80\x80", "\\xf4\\x90\\x80\\x80 \\xf5\\x80\\x80\\x80"},
        {"\xe2\x82 \x7f\x1f\n", "\\xe2\\x82 \\x7f\\x1f\n"}};

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const show_block blocks[] = {
            {SHOW_TABLE, .title = pairs[i][0], .path = "table[]", .columns = table}, {0}};
        char *want = base_text("<h2>%s</h2>", pairs[i][1]);
        page_holds(blocks, want);
        base_free(want);
    }
}
END_TEST

START_TEST(tables_of_a_page_have_intervals_and_bold_by_the_document)
{
    static const show_block blocks[] = {
        {SHOW_TABLE, .title = "Networks", .path = "table[]", .columns = table, .most = 1},
        {0}};
    char *page = page_of(blocks);

    holds(page, "<h2>Networks</h2>");
    holds(page, "<b>90.00 %</b><br><span class=\"soft\">80.00 to 95.00</span>");
    holds(page, "1 of 2 are shown.");
    lacks(page, "25.00 %");
    lacks(page, "never");
    base_free(page);
}
END_TEST

START_TEST(nothing_is_bold_unless_the_document_says_so)
{
    static const show_column plain[] = {
        {"top-1", "top1", SHOW_PERCENT, .strong = "missing"}, {0}};
    static const show_block blocks[] = {{SHOW_TABLE, .path = "table[]", .columns = plain},
                                        {0}};
    char *page = page_of(blocks);

    lacks(page, "<b>");
    base_free(page);
}
END_TEST

START_TEST(a_block_whose_path_has_nothing_is_not_there)
{
    static const show_block inner[] = {{SHOW_TEXTS, .note = "within", .path = "."}, {0}};
    static const show_block blocks[] = {
        {SHOW_TABLE, .title = "Empty", .path = "no[]", .columns = table},
        {SHOW_CARDS, .title = "Empty", .path = "nothing", .columns = table},
        {SHOW_GROUP, .title = "Empty", .path = "nothing", .inner = inner},
        {SHOW_HEAT, .title = "Empty", .path = "no[]", .columns = table},
        {SHOW_PICTURES, .title = "Empty", .path = "no[]", .columns = table, .picture = "p"},
        {SHOW_BANNER, .title = "Empty", .path = "no"},
        {0}};
    char *page = page_of(blocks);

    lacks(page, "Empty");
    lacks(page, "within");
    base_free(page);
}
END_TEST

START_TEST(bars_are_sorted_marked_and_have_a_pale_second_share)
{
    static const show_column columns[] = {
        {"", "net"},
        {"", "top1", SHOW_PERCENT, .mark = "best", .of = "n"},
        {"", "top1", SHOW_PERCENT},
        {0}};
    static const show_block blocks[] = {
        {SHOW_BARS, .path = "table[]", .columns = columns, .order = "top1"}, {0}};
    char *page = page_of(blocks);
    const char *low = strstr(page, "width:25.00%"), *high = strstr(page, "width:90.00%");

    ck_assert(low && high && low < high);
    holds(page, "class=\"fill pale\"");
    holds(page, "class=\"fill mark\"");
    holds(page, "25.00 % \u2192 25.00 % of 5");
    base_free(page);
}
END_TEST

/* Where the text of a label of the vertical axis begins, if a letter is seven units
 * wide. */
static double label_left(const char *page, const char *label)
{
    char want[64];
    double right = -1;

    snprintf(want, sizeof want, "\" text-anchor=\"end\">%s</text>", label);
    const char *at = strstr(page, want);
    ck_assert_msg(at != NULL, "no label %s", label);
    while (at > page && strncmp(at, " x=\"", 4) != 0)
        at--;
    right = strtod(at + 4, NULL);
    return right - 7 * (double)strlen(label);
}

START_TEST(lines_leave_room_for_labels_and_their_minus)
{
    static const show_column columns[] = {{"loss", "y", SHOW_NUMBER}, {0}};
    static const show_block blocks[] = {{SHOW_LINES, .path = "curve[]", .columns = columns,
                                         .x = "x", .by = "name", .x_title = "step"},
                                        {0}};
    char *page = page_of(blocks);

    holds(page, "</i>a</span>");
    holds(page, "</i>b</span>");
    ck_assert_double_ge(label_left(page, "-200"), 14); /* the title's letters end there */
    base_free(page);
}
END_TEST

START_TEST(a_figure_for_each_element_has_its_own_caption)
{
    static const show_column columns[] = {{"", "#"}, {"load", ".", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {{SHOW_BARS, .title = "Loads", .each = "layers[]",
                                         .path = "load[]", .style = SHOW_UPRIGHT,
                                         .mean = true, .caption = "block {layer}",
                                         .columns = columns},
                                        {0}};
    char *page = page_of(blocks);

    holds(page, "<h2>Loads</h2>");
    holds(page, "block 3</figcaption>");
    holds(page, "block 5</figcaption>");
    holds(page, "<title>1: 75.00 %</title>");
    base_free(page);
}
END_TEST

START_TEST(colours_of_a_heat_map_do_not_depend_on_the_largest_share)
{
    static const show_column columns[] = {
        {"block", "layer"}, {"expert", "load", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {
        {SHOW_HEAT, .path = "layers[]", .columns = columns, .caption = "loads"}, {0}};

    page_holds(blocks,
               "fill-opacity=\"0.515\""); /* 0.03 + 0.97 * 0.5, of 1 and not of 0.75 */
}
END_TEST

/* The page of a heat map of so many cells: base_free. */
static char *heat_of(size_t rows, size_t columns)
{
    char *path = test_path(dir, "heat.html"), *made = NULL;
    double *values = base_alloc(rows * columns, sizeof *values);
    show_page page;
    size_t bytes = 0;

    ck_assert_int_eq(show_page_open(&page, path, "T", "of", NULL), BASE_OK);
    ck_assert_int_eq(show_heat_draw(&page,
                                    &(show_heat_map){.title = "t",
                                                     .values = values,
                                                     .rows = rows,
                                                     .columns = columns},
                                    NULL),
                     BASE_OK);
    ck_assert_int_eq(show_page_commit(&page, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&made, &bytes, path, 1 << 24, NULL), BASE_OK);
    base_free(values);
    base_free(path);
    return made;
}

START_TEST(heat_maps_of_more_than_40_are_pictures)
{
    static const size_t sides[][2] = {{40, 40}, {41, 2}, {2, 41}};

    for (size_t i = 0; i < 3; i++) {
        char *page = heat_of(sides[i][0], sides[i][1]);
        (i == 0 ? lacks : holds)(page, "<img class=\"px\"");
        (i == 0 ? holds : lacks)(page, "<svg ");
        base_free(page);
    }
}
END_TEST

START_TEST(heat_maps_take_rows_and_lists_of_cells)
{
    static const show_column columns[] = {
        {"is", "/words[#]"}, {"taken for", ".", SHOW_COUNT}, {0}};
    static const show_block rows[] = {{SHOW_HEAT, .path = "matrix[]", .columns = columns,
                                       .names = "words[]", .style = SHOW_ROW_SHARE},
                                      {0}};
    static const show_block cells[] = {{SHOW_HEAT, .cells = "cells", .columns = columns,
                                        .names = "words[]", .style = SHOW_ROW_SHARE},
                                       {0}};
    char *page = page_of(rows);

    holds(page, ">9</text>");
    holds(page, ">green</text>");
    base_free(page);
    page_holds(cells, ">4</text>");
}
END_TEST

START_TEST(shares_of_a_row_are_told_of_counts)
{
    static const show_column columns[] = {{"is", "#"}, {"as", ".", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {
        {SHOW_HEAT, .path = "matrix[]", .columns = columns, .style = SHOW_ROW_SHARE}, {0}};

    page_holds(blocks, ">90</text>");  /* 9 of 10 */
    page_holds(blocks, ">100</text>"); /* 3 of 3 */
}
END_TEST

/* One line for each name by the first column; the others are lines over all points. */
START_TEST(lines_by_name_have_lines_of_all_beside_them)
{
    static const show_column columns[] = {
        {"loss", "y", SHOW_NUMBER}, {"limit", "^share", .dashed = true}, {0}};
    static const show_block blocks[] = {{SHOW_LINES, .path = "curve[]", .columns = columns,
                                         .x = "x", .by = "name", .caption = "of {name}"},
                                        {0}};
    char *page = page_of(blocks);

    holds(page, "</i>a</span>");
    holds(page, "</i>b</span>");
    holds(page, "c0\"></i>a</span>"); /* as they come, not by x */
    holds(page, "c2 dash\"></i>limit</span>");
    holds(page, "<b>of a &amp; &lt;b&gt;</b></figcaption>");
    base_free(page);
}
END_TEST

START_TEST(lines_have_as_many_names_as_there_are)
{
    enum { NAMES = 70 };
    static const show_column columns[] = {{"y", "y"}, {0}};
    static const show_block blocks[] = {
        {SHOW_LINES, .path = "many[]", .columns = columns, .x = "x", .by = "name"}, {0}};
    json_t *many = json_array();

    for (int i = 0; i < NAMES; i++)
        json_array_append_new(many, json_pack("{s:i, s:i, s:o}", "x", i, "y", i, "name",
                                              json_sprintf("line %d", i)));
    json_object_set_new(show_document_json(document), "many", many);
    page_holds(blocks, "</i>line 69</span>");
}
END_TEST

START_TEST(the_first_points_of_a_long_line_do_not_stretch_its_axis)
{
    enum { POINTS = 200 };
    static const show_column columns[] = {{"", "y"}, {0}};
    static const show_block blocks[] = {
        {SHOW_LINES, .path = "long[]", .columns = columns, .x = "x"}, {0}};
    json_t *line = json_array();

    for (int i = 0; i < POINTS; i++) /* the first fiftieth is a million high */
        json_array_append_new(
            line, json_pack("{s:i, s:f}", "x", i, "y", i < 4 ? 1e6 : 1 + i % 2));
    json_object_set_new(show_document_json(document), "long", line);
    page_holds(blocks, ">1.25</text>");
}
END_TEST

START_TEST(svg_has_its_figures_below_one_another)
{
    static const show_column columns[] = {{"y & more", "y"}, {0}},
                             shares[] = {{"load", "[0]", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {{SHOW_LINES, .where = SHOW_SVG, .path = "curve[]",
                                         .columns = columns, .x = "x", .caption = "first"},
                                        {SHOW_TEXTS, .path = "words"},
                                        {SHOW_LINES, .where = SHOW_SVG, .each = "layers[]",
                                         .path = "load", .columns = shares, .x = "#",
                                         .style = SHOW_ZERO, .caption = "block {layer}"},
                                        {0}};
    const show_view view = {.title = "T", .blocks = blocks};
    char *path = test_path(dir, "figures.svg"), *svg = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_msg(show_svg_write(document, &view, path, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(base_file_read(&svg, &bytes, path, 1 << 20, &err), BASE_OK);
    holds(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    holds(svg, ">first</text>");
    holds(svg, ">y &amp; more -200.5</text>"); /* its last value, by x */
    holds(svg, ">block 3</text>");
    holds(svg, ">block 5</text>");
    lacks(svg, "green");
    lacks(svg, "<div");
    lacks(svg, "var("); /* for viewers that know no variables */
    ck_assert_str_eq(svg + bytes - 7, "</svg>\n");
    base_free(svg);
    base_free(path);
}
END_TEST

START_TEST(legends_stand_below_the_first_of_several_figures)
{
    static const show_column columns[] = {
        {"load", "[0]", SHOW_PERCENT}, {"rest", "[1]", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {{SHOW_LINES, .each = "layers[]", .path = "load",
                                         .columns = columns, .x = "#",
                                         .caption = "block {layer}"},
                                        {0}};
    char *page = page_of(blocks);

    holds(page, "<b>block 3</b>");
    holds(page, "<b>block 5</b>");
    const char *legend = strstr(page, "</i>rest</span>");
    ck_assert_ptr_nonnull(legend);
    lacks(legend + 1, "</i>rest</span>");
    base_free(page);
}
END_TEST

START_TEST(large_numbers_of_axes_are_amounts)
{
    static const show_column columns[] = {{"y", "n"}, {0}};
    static const show_block blocks[] = {
        {SHOW_LINES, .path = ".", .columns = columns, .x = "n", .low = 0, .high = 40000000},
        {0}};

    page_holds(blocks, ">40 M</text>");
    page_holds(blocks, ">12.35 k</text>");
}
END_TEST

START_TEST(dots_are_rows_or_a_plane)
{
    static const show_column rows_of[] = {{"", "layer"},
                                          {"", "load", SHOW_PERCENT},
                                          {"", "load[0]", .spread = "load[1]"},
                                          {0}};
    static const show_column plane_of[] = {{"", "y"}, {0}};
    static const show_block rows[] = {{SHOW_DOTS, .path = "layers[]", .columns = rows_of},
                                      {0}};
    static const show_block plane[] = {{SHOW_DOTS, .path = "curve[]", .x = "x",
                                        .columns = plane_of, .by = "#",
                                        .caption = "a <plane>"},
                                       {0}};

    page_holds(rows, "class=\"dot\"");
    page_holds(plane, "a &lt;plane&gt;");
}
END_TEST

START_TEST(pictures_stand_beside_the_document_and_may_be_missing)
{
    static const show_column columns[] = {{"", "answer", .verdict = "right"}, {0}};
    static const show_block blocks[] = {{SHOW_PICTURES, .path = "shots[]",
                                         .picture = "picture", .columns = columns,
                                         .bars = "top[]"},
                                        {0}};
    data_image image = {0};
    base_error err = {0};
    char *page = page_of(blocks);

    lacks(page, "<img");
    holds(page, "<b class=\"wrong\">cat</b>");
    holds(page, "width:70.00%");
    base_free(page);
    ck_assert_int_eq(data_image_reserve(&image, 4, 2, 3, &err), BASE_OK);
    memset(image.pixels, 7, 24);
    for (int i = 0; i < 40; i++) { /* more than there is room for at first */
        char key[16];
        snprintf(key, sizeof key, "q%d", i);
        ck_assert_int_eq(show_document_picture(document, key, &image, &err), BASE_OK);
    }
    ck_assert_int_eq(show_document_picture(document, "p", &image, &err), BASE_OK);
    page_holds(blocks, "<img class=\"px\" width=\"112\" height=\"56\"");
    data_image_destroy(&image);
}
END_TEST

START_TEST(groups_fold_and_their_paths_begin_inside)
{
    static const show_column columns[] = {{"load", "load[1]", SHOW_PERCENT}, {0}};
    static const show_block inner[] = {{SHOW_CARDS, .columns = columns}, {0}};
    static const show_block blocks[] = {{SHOW_GROUP, .title = "Layers", .path = "layers[]",
                                         .inner = inner, .caption = "Block {layer}",
                                         .open = true},
                                        {0}};
    char *page = page_of(blocks);

    holds(page, "<details><summary>Block 3</summary>");
    holds(page, "<details open><summary>Block 5</summary>");
    holds(page, "75.00 %");
    base_free(page);
}
END_TEST

START_TEST(stacked_bars_are_parts_of_one)
{
    static const show_column columns[] = {{"", "net"}, {"", "top1", SHOW_PERCENT}, {0}};
    static const show_block blocks[] = {
        {SHOW_BARS, .path = "table[]", .columns = columns, .style = SHOW_STACKED}, {0}};

    page_holds(blocks, "<div class=\"parts\"><i class=\"c1\" style=\"width:90.000%\"");
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
        {1, 0.2}, {10, 2}, {0.11, 0.025}, {23, 5}, {5e-7, 1e-7}};

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
    TCase *core = tcase_create("Core"), *page = tcase_create("Page"),
          *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(page, setup, teardown);
    tcase_add_test(core, paths_find_members_elements_and_neighbours);
    tcase_add_test(core, paths_of_an_object_give_names);
    tcase_add_test(core, what_is_null_or_missing_or_beyond_the_end_is_not_there);
    tcase_add_test(core, texts_with_a_value_that_is_missing_are_none);
    tcase_add_test(core, a_terminal_aligns_and_leaves_out_what_nobody_has);
    tcase_add_test(core, titles_hold_values_or_leave_their_column_out);
    tcase_add_test(core, names_are_whole_where_a_table_stands_in_parts);
    tcase_add_test(core, rows_of_also_come_after_those_of_the_path);
    tcase_add_test(core, a_text_with_paths_stands_in_place_of_a_value);
    tcase_add_test(core, a_terminal_stays_within_80_characters);
    tcase_add_test(core, cards_are_lines_of_a_terminal);
    tcase_add_test(core, banners_and_texts_are_lines_of_a_terminal);
    tcase_add_test(core, csv_is_disarmed_but_for_numbers);
    tcase_add_test(core, a_text_is_filled_in_alone);
    tcase_add_test(core, csv_comes_line_by_line_too);
    tcase_add_test(core, csv_has_every_column_whole_numbers_and_both_ends);
    tcase_add_test(page, a_page_stands_alone_escapes_and_has_both_colours);
    tcase_add_test(page, characters_of_a_page_are_whole_or_told_by_their_bytes);
    tcase_add_test(page, tables_of_a_page_have_intervals_and_bold_by_the_document);
    tcase_add_test(page, nothing_is_bold_unless_the_document_says_so);
    tcase_add_test(page, a_block_whose_path_has_nothing_is_not_there);
    tcase_add_test(page, bars_are_sorted_marked_and_have_a_pale_second_share);
    tcase_add_test(page, lines_leave_room_for_labels_and_their_minus);
    tcase_add_test(page, a_figure_for_each_element_has_its_own_caption);
    tcase_add_test(page, colours_of_a_heat_map_do_not_depend_on_the_largest_share);
    tcase_add_test(page, heat_maps_of_more_than_40_are_pictures);
    tcase_add_test(page, heat_maps_take_rows_and_lists_of_cells);
    tcase_add_test(page, shares_of_a_row_are_told_of_counts);
    tcase_add_test(page, lines_by_name_have_lines_of_all_beside_them);
    tcase_add_test(page, legends_stand_below_the_first_of_several_figures);
    tcase_add_test(page, lines_have_as_many_names_as_there_are);
    tcase_add_test(page, the_first_points_of_a_long_line_do_not_stretch_its_axis);
    tcase_add_test(page, svg_has_its_figures_below_one_another);
    tcase_add_test(page, large_numbers_of_axes_are_amounts);
    tcase_add_test(page, dots_are_rows_or_a_plane);
    tcase_add_test(page, pictures_stand_beside_the_document_and_may_be_missing);
    tcase_add_test(page, groups_fold_and_their_paths_begin_inside);
    tcase_add_test(page, stacked_bars_are_parts_of_one);
    tcase_add_test(limits, steps_of_axes_are_1_2_25_or_5);
    tcase_add_test(limits, a_document_of_nothing_is_refused);
    tcase_add_test(limits, odd_numbers_and_texts_become_json);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, page);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
