/* test_show_page.c - each kind of block on a page; what a page must hold is looked for in
 * its text. */
#include "tests/test_show.h"

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

/* The note below a heading; RFC 4648, section 10: what a base64 text ends in. */
START_TEST(notes_and_pictures_are_written_whole)
{
    static const show_block blocks[] = {
        {SHOW_TEXTS, .title = "Words", .note = "why <b>", .path = "words"}, {0}};
    static const char *const made[] = {"f",   "Zg==\"", "fo",   "Zm8=\"",
                                       "foo", "Zm9v\"", "foob", "Zm9vYg==\""};
    char *path = test_path(dir, "png.html"), *page = NULL;
    show_page out;
    size_t bytes = 0;

    page_holds(blocks, "<h2>Words</h2>\n<p class=\"soft\">why &lt;b&gt;</p>");
    ck_assert_int_eq(show_page_open(&out, path, "T", "of", NULL), BASE_OK);
    for (size_t i = 0; i < 8; i += 2)
        show_page_png(&out, (const unsigned char *)made[i], strlen(made[i]), 9, 9, 9, "c");
    ck_assert_int_eq(show_page_commit(&out, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&page, &bytes, path, 1 << 20, NULL), BASE_OK);
    for (size_t i = 0; i < 8; i += 2) {
        char *want = base_text("base64,%s", made[i + 1]);
        holds(page, want);
        base_free(want);
    }
    base_free(page);
    base_free(path);
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

/* Where cells and the names of their columns are, and how dark: the root of a row's
 * share. */
START_TEST(cells_of_a_heat_map_stand_below_their_columns)
{
    static const show_column columns[] = {{"is", "#"}, {"as", ".", SHOW_COUNT}, {0}};
    static const show_block named[] = {{SHOW_HEAT, .path = "matrix[]", .columns = columns,
                                        .names = "words[]", .style = SHOW_ROW_SHARE},
                                       {0}};
    static const show_block numbered[] = {
        {SHOW_HEAT, .path = "matrix[]", .columns = columns, .style = SHOW_ROW_SHARE}, {0}};
    static const char *const cells[] = {
        "<rect x=\"58\" y=\"24\" width=\"41\" height=\"29\" class=\"bar\" "
        "fill-opacity=\"0.950\"/>",
        "<rect x=\"100\" y=\"24\" width=\"41\" height=\"29\" class=\"bar\" "
        "fill-opacity=\"0.337\"/>",
        "<rect x=\"58\" y=\"54\" width=\"41\" height=\"29\" class=\"bar\" "
        "fill-opacity=\"0.030\"/>",
        "<rect x=\"100\" y=\"54\" width=\"41\" height=\"29\" class=\"bar\" "
        "fill-opacity=\"1.000\"/>"};
    char *page = page_of(named);

    for (size_t i = 0; i < 4; i++)
        holds(page, cells[i]);
    holds(page, "translate(75 98) rotate(40)\">red</text>");
    holds(page, "translate(117 98) rotate(40)\">green</text>");
    base_free(page);
    page = page_of(numbered);
    holds(page, "x=\"79\" y=\"100\" text-anchor=\"middle\">0</text>");
    holds(page, "x=\"121\" y=\"100\" text-anchor=\"middle\">1</text>");
    base_free(page);
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

/* A line goes by x; rows without an x, wherever they stand, change nothing. */
START_TEST(lines_go_by_x_past_rows_without_one)
{
    static const show_column columns[] = {{"y", "y"}, {0}};
    char *page[2];

    for (size_t i = 0; i < 2; i++) {
        const show_block blocks[] = {
            {SHOW_LINES, .path = i ? "bare[]" : "gaps[]", .columns = columns, .x = "x"},
            {0}};
        json_t *rows = json_array();

        for (int x = 9; x > 0; x--) {
            if (i == 0)
                json_array_append_new(rows, json_pack("{s:n, s:i}", "x", "y", 7 * x));
            json_array_append_new(
                rows, json_pack("{s:i, s:i}", "x", x * 7 % 10, "y", x * 7 % 10 * x));
        }
        json_object_set_new(show_document_json(document), i ? "bare" : "gaps", rows);
        page[i] = page_of(blocks);
    }
    holds(page[1], "<path");
    ck_assert_msg(strcmp(page[0], page[1]) == 0, "rows without x change the figure");
    base_free(page[0]);
    base_free(page[1]);
}
END_TEST

/* A full bar is what the block says, even where a value is more. */
START_TEST(bars_have_the_scale_of_their_block)
{
    static const show_column columns[] = {{"", "net"}, {"", "top1", SHOW_NUMBER}, {0}};
    static const show_block blocks[] = {
        {SHOW_BARS, .path = "table[]", .columns = columns, .high = 0.5}, {0}};

    page_holds(blocks, "width:50.00%");
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

/* A flat line has room above and below; names of ticks stand once, however many points. */
START_TEST(axes_have_room_around_a_flat_line_and_each_name_once)
{
    static const show_column columns[] = {{"", "y"}, {0}};
    static const show_block blocks[] = {{SHOW_LINES, .path = "flat_line[]",
                                         .columns = columns, .x = "x", .x_name = "at",
                                         .by = "name"},
                                        {0}};
    json_t *line = json_array();

    for (int i = 0; i < 4; i++)
        json_array_append_new(line, json_pack("{s:i, s:f, s:s, s:s}", "x", 1 + i / 2, "y",
                                              0.0, "at", i < 2 ? "early" : "late", "name",
                                              i % 2 ? "a" : "b"));
    json_object_set_new(show_document_json(document), "flat_line", line);
    char *page = page_of(blocks);
    holds(page, ">-0.04</text>"); /* from -0.05 to 0.05 */
    holds(page, ">0.04</text>");
    lacks(page, ">0.1</text>");
    holds(page, ">early</text>");
    holds(page, ">late</text>");
    size_t ticks = 0;
    for (const char *at = page; (at = strstr(at, "y1=\"262\" y2=\"266\"/>")); at++)
        ticks++;
    ck_assert_uint_eq(ticks, 2);
    base_free(page);
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
    page_holds(rows, "<svg viewBox=\"0 0 306 72\" width=\"306\""); /* 42 + 250 + 14 */
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
    json_object_set_new(show_document_json(document), "shots",
                        json_pack("[{s:[{s:s, s:s}]}]", "picture", "picture", "p",
                                  "caption", "seen & <told>"));
    page_holds(blocks, "\">seen &amp; &lt;told&gt;</div>"); /* several of a row */
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

int main(void)
{
    Suite *suite = suite_create("show_page");
    TCase *page = tcase_create("Page");

    tcase_add_checked_fixture(page, setup, teardown);
    tcase_add_test(page, a_page_stands_alone_escapes_and_has_both_colours);
    tcase_add_test(page, characters_of_a_page_are_whole_or_told_by_their_bytes);
    tcase_add_test(page, notes_and_pictures_are_written_whole);
    tcase_add_test(page, tables_of_a_page_have_intervals_and_bold_by_the_document);
    tcase_add_test(page, nothing_is_bold_unless_the_document_says_so);
    tcase_add_test(page, a_block_whose_path_has_nothing_is_not_there);
    tcase_add_test(page, bars_are_sorted_marked_and_have_a_pale_second_share);
    tcase_add_test(page, lines_leave_room_for_labels_and_their_minus);
    tcase_add_test(page, a_figure_for_each_element_has_its_own_caption);
    tcase_add_test(page, colours_of_a_heat_map_do_not_depend_on_the_largest_share);
    tcase_add_test(page, heat_maps_of_more_than_40_are_pictures);
    tcase_add_test(page, heat_maps_take_rows_and_lists_of_cells);
    tcase_add_test(page, cells_of_a_heat_map_stand_below_their_columns);
    tcase_add_test(page, shares_of_a_row_are_told_of_counts);
    tcase_add_test(page, lines_by_name_have_lines_of_all_beside_them);
    tcase_add_test(page, lines_go_by_x_past_rows_without_one);
    tcase_add_test(page, bars_have_the_scale_of_their_block);
    tcase_add_test(page, lines_have_as_many_names_as_there_are);
    tcase_add_test(page, the_first_points_of_a_long_line_do_not_stretch_its_axis);
    tcase_add_test(page, axes_have_room_around_a_flat_line_and_each_name_once);
    tcase_add_test(page, svg_has_its_figures_below_one_another);
    tcase_add_test(page, legends_stand_below_the_first_of_several_figures);
    tcase_add_test(page, large_numbers_of_axes_are_amounts);
    tcase_add_test(page, dots_are_rows_or_a_plane);
    tcase_add_test(page, pictures_stand_beside_the_document_and_may_be_missing);
    tcase_add_test(page, groups_fold_and_their_paths_begin_inside);
    tcase_add_test(page, stacked_bars_are_parts_of_one);
    suite_add_tcase(suite, page);
    return test_run(suite);
}
