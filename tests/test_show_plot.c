/* test_show_plot.c - each chart of small numbers, whole: where every point, label and key
 * stands (documents/figures.txt, its numbers checked by hand). */
#include "show/plot_internal.h"
#include "show/show.h"

#include <math.h>

#include "tests/test_folder.h"
#include "tests/test_golden.h"
#include "tests/test_run.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const double tens[] = {0, 5, 10}, up[] = {0, 0.5, 1}, low[] = {0, 0.25, 0.75},
                    high[] = {0.25, 0.75, 1.5}, minus[] = {-2, 0, 3},
                    gap[] = {0.25, NAN, 0.75}, one[] = {4}, half[] = {0.5},
                    equal[] = {7, 7};
static const show_axes usual = {.title = "A & B",
                                .x_title = "steps",
                                .y_title = "loss <l>",
                                .y_low = 0,
                                .y_high = 1,
                                .width = 100,
                                .height = 50};

static void lines_plain(show_page *page)
{
    const show_line lines[] = {
        {"first", tens, up, low, high, 3, .colour = 0},
        {"second & last", tens, gap, NULL, NULL, 3, .colour = 7, .dashed = true},
        {"out", tens, minus, NULL, NULL, 3, .colour = 2}}; /* cut at the frame */

    show_plot_lines(page, lines, 3, &usual);
}

static void lines_percent(show_page *page)
{
    const show_line line = {"", tens, up, NULL, NULL, 3, .colour = 1};
    show_axes axes = usual;

    axes.title = NULL;
    axes.percent = true;
    show_plot_lines(page, &line, 1, &axes);
}

/* A long line has no dots; numbers beyond ten thousand are amounts; no legend. */
static void lines_long(show_page *page)
{
    double x[25], y[25];
    const show_line lines[] = {{"a", x, y, NULL, NULL, 25}, {"b", x, y, NULL, NULL, 24}};
    show_axes axes = usual;

    for (int i = 0; i < 25; i++) {
        x[i] = 1e6 * i;
        y[i] = 8e4 - 2e4 * (i % 2);
    }
    axes.y_low = 0;
    axes.y_high = 8e4;
    axes.unnamed = true;
    show_plot_lines(page, lines, 2, &axes);
}

/* One point, points at one place, a span of nothing, no line at all. */
static void lines_of_little(show_page *page)
{
    const show_line alone = {"alone", one, half, half, half, 1},
                    same = {"same", equal, up, NULL, NULL, 2};
    show_axes flat = usual;

    flat.y_low = flat.y_high = 0.5;
    show_plot_lines(page, &alone, 1, &usual);
    show_plot_lines(page, &same, 1, &usual);
    show_plot_lines(page, &alone, 1, &flat);
    show_plot_lines(page, NULL, 0, &usual);
}

/* The second name would touch the first: its mark alone stands. */
static void lines_ticks(show_page *page)
{
    static const double ticks[] = {0, 1, 10};
    static const char *const names[] = {"none", "a<b", "end"};
    const show_line line = {"l", tens, up, NULL, NULL, 3};
    show_axes axes = usual;

    axes.ticks = ticks;
    axes.tick_names = names;
    axes.tick_count = 3;
    show_plot_lines(page, &line, 1, &axes);
}

static void svg(show_page *page)
{
    const show_line lines[] = {
        {"training", tens, up, low, high, 3, .colour = 0},
        {"validation", tens, minus, NULL, NULL, 3, .colour = 1, .dashed = true},
        {"empty", NULL, NULL, NULL, NULL, 0, .colour = 2}};
    show_axes axes = usual;

    show_plot_svg_begin(page, 400);
    const int first = show_plot_svg_lines(page, lines, 3, &axes, 0);
    ck_assert_int_eq(first, 26 + 12 + 50 + 44);
    axes.title = NULL;
    axes.percent = true;
    axes.height = 1;
    const int second = show_plot_svg_lines(page, lines, 3, &axes, first);
    ck_assert_int_eq(second, 26 + 12 + 3 * 16); /* the legend is higher than the plot */
}

static void dots(show_page *page)
{
    static const double values[] = {0.25, 0.75, NAN, 0.5};
    const show_dots rows[] = {
        {"first", values, 4, 0.5, 0.25},
        {"a name of more than twenty-three letters", values, 2, 0.5, NAN, .mark = true},
        {"empty", values, 0, NAN, NAN}};
    const show_dots same[] = {{"x", half, 1, 0.5, 0}}, none[] = {{"n", half, 0, NAN, NAN}};

    show_plot_dots(page, rows, 3, "in <shares>", true);
    show_plot_dots(page, rows, 1, "plain", false);
    show_plot_dots(page, same, 1, "one value", false);
    show_plot_dots(page, none, 1, "no value", false);
}

static void upright(show_page *page)
{
    static const double loads[] = {0.5, 0.25, 0.002, 0.25}, two[] = {1, 2, NAN, 4, 5, -6};
    static const char *const names[] = {"0", "1", "a & b", "3"}, *const titles[] = {"x",
                                                                                    "<y>"};

    show_plot_upright(page,
                      &(show_upright){loads, names, titles, 4, 1, 0, true, true, "load"});
    show_plot_upright(page, &(show_upright){two, names, titles, 3, 2, .title = "two & two",
                                            .x_title = "expert <e>"});
    show_plot_upright(page, &(show_upright){two, names, titles, 2, 1, 4, .title = "high"});
}

static void parts(show_page *page)
{
    static const show_part list[] = {
        {"a & b", 0.5, 3}, {"none", 0, 1}, {"rest", 0.375, -1}, {"good", 0.125, -2}};

    show_plot_parts(page, list, 4);
}

/* Twenty groups: sixteen have a colour, the most frequent, in the order of their number. */
static void scatter(show_page *page)
{
    static const float few[] = {0, 0, 4, 0, 4, 2, 0, 2};
    static const int32_t of[] = {1, 0, 1, -1};
    static const char *const names[] = {"red", "a < b"};
    float many[2 * 44];
    int32_t group[44];

    for (int i = 0; i < 44;
         i++) { /* twice each; 0 and 17 to 19 once more: 13 to 16 are grey */
        group[i] = i < 20 ? i : i < 40 ? i - 20 : i < 41 ? 0 : 19 - (i - 41);
        many[2 * i] = (float)(i % 10);
        many[2 * i + 1] = (float)(i / 10);
    }
    ck_assert_int_eq(
        show_plot_scatter(page, &(show_scatter){few, of, 4, 2, names, "a & b"}, NULL),
        BASE_OK);
    ck_assert_int_eq(
        show_plot_scatter(page, &(show_scatter){many, group, 44, 20, NULL, "many"}, NULL),
        BASE_OK);
    ck_assert_int_eq(
        show_plot_scatter(page, &(show_scatter){few, of, 1, 2, NULL, "one"}, NULL),
        BASE_OK);
    ck_assert_int_eq(
        show_plot_scatter(page, &(show_scatter){few, of, 0, 1, NULL, "none"}, NULL),
        BASE_OK);
}

static void heat(show_page *page)
{
    static const double shares[] = {0.2, 0.8, 0, NAN, 1, 0.5},
                        counts[] = {1, 9, 0, 4, -2, 4};
    static const char *const rows[] = {"first", "a name of nineteen "},
                             *const columns[] = {
                                 "x",
                                 "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
                                 "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
                                 "\u00e9\u00e9\u00e9\u00e9\u00e9",
                                 "<z>"};
    double many[21 * 21] = {0};

    for (int i = 0; i < 21 * 21; i++)
        many[i] = i % 3;
    const show_heat_map maps[] = {
        {shares, 2, 3, rows, columns, "down", "across <a>", "t & t", .percent = true},
        {counts, 2, 3, rows, NULL, NULL, NULL, "counts"},
        {counts, 2, 3, rows, NULL, NULL, NULL, "darkest", .high = 18},
        {counts, 2, 3, NULL, NULL, NULL, NULL, "of a row", .by_row = true},
        {counts, 2, 3, NULL, NULL, NULL, NULL, "shares of a row", .by_row = true,
         .percent = true},
        {many, 1, 12, rows, NULL, NULL, NULL, "12"},
        {many, 1, 13, rows, NULL, NULL, NULL, "13"},
        {many, 1, 20, rows, NULL, NULL, NULL, "20"},
        {many, 1, 21, rows, NULL, NULL, NULL, "21"},
        {many, 1, 41, NULL, NULL, "rows", "columns & more", "wide", .by_row = true},
        {many, 41, 2, NULL, NULL, "rows", "columns", "high"},
        {many, 41, 1, NULL, NULL, NULL, "columns", "no word of a side"}};

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        ck_assert_int_eq(show_heat_draw(page, &maps[i], NULL), BASE_OK);
}

static void bars(show_page *page)
{
    static const show_bar list[] = {{"a & b", "25 %", 0.25},
                                    {"marked", "1", 1, .mark = true, .pale = 2},
                                    {"too much", "<5>", 1.5, .pale = 0.5},
                                    {"below", "-1", -1}};

    show_page_bars(page, list, 4);
}

static const struct {
    const char *name;
    void (*draw)(show_page *page);
} figures[] = {
    {"lines", lines_plain}, {"percent", lines_percent},
    {"long", lines_long},   {"little", lines_of_little},
    {"ticks", lines_ticks}, {"svg", svg},
    {"dots", dots},         {"upright", upright},
    {"parts", parts},       {"scatter", scatter},
    {"heat", heat},         {"bars", bars},
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

/* What a figure writes: base_free. */
static char *drawn(size_t i, const char *path)
{
    base_error err = {0};
    show_page page = {0};
    char *text = NULL;
    size_t bytes = 0;

    ck_assert_msg(base_writer_open(&page.out, path, &err) == BASE_OK, "%s", err.text);
    figures[i].draw(&page);
    ck_assert_msg(base_writer_commit(&page.out, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, &err), BASE_OK);
    golden_without_pictures(text);
    return text;
}

START_TEST(a_figure_is_drawn_whole)
{
    char *folder = test_folder_make(), *path = test_path(folder, "figure");
    char *got = drawn((size_t)_i, path);

    golden_holds("figures.txt", figures[_i].name, got);
    base_free(got);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* Every letter of the font as dots, twice as large, cut at the edges, in colour. */
START_TEST(letters_are_drawn_dot_by_dot)
{
    static const char *const texts[] = {"abcdefgh", "ijklmnop", "qrstuvwx",
                                        "yz012345", "6789-.,:", ";/()% ?A"};
    char drawing[12 * 200] = "";
    size_t used = 0;
    data_image image = {0};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const size_t wide = 8 * SHOW_LABEL_WIDE;
        ck_assert_int_eq(data_image_reserve(&image, wide, SHOW_LABEL_HIGH, 1, NULL),
                         BASE_OK);
        memset(image.pixels, 9, wide * SHOW_LABEL_HIGH);
        show_label_draw(&image, texts[i], 0, 0, 1, 200);
        for (size_t y = 0; y < 8; y++) {
            for (size_t x = 0; x < wide; x++) {
                const unsigned char dot = image.pixels[y * wide + x];
                ck_assert(dot == 9 || dot == 200);
                if (used + 2 < sizeof drawing)
                    drawing[used++] = dot == 200 ? '#' : '.';
            }
            drawing[used++] = '\n';
        }
        data_image_destroy(&image);
    }
    golden_holds("figures.txt", "letters", drawing);
    /* "/" from its second dot on, two pixels a dot, of which the right ones are outside */
    ck_assert_int_eq(data_image_reserve(&image, 9, 5, 3, NULL), BASE_OK);
    memset(image.pixels, 0, 9 * 5 * 3);
    show_label_draw(&image, "/", 1, 3, 2, 7);
    for (size_t y = 0; y < 5; y++)
        for (size_t x = 0; x < 9; x++)
            for (size_t c = 0; c < 3;
                 c++) /* its first row: the last dot, columns 9 and 10 */
                ck_assert_int_eq(image.pixels[(y * 9 + x) * 3 + c], 0);
    show_label_draw(&image, "%", 1, 3, 2, 7); /* its first row: dots 0 and 1 */
    for (size_t y = 0; y < 5; y++)
        for (size_t x = 0; x < 9; x++)
            ck_assert_int_eq(image.pixels[(y * 9 + x) * 3 + 2],
                             y >= 3 && x >= 1 && x < 5 ? 7 : 0);
    data_image_destroy(&image);
}
END_TEST

/* A picture in the middle of a square of paper, at its proportions. */
START_TEST(pictures_fit_a_square_of_paper)
{
    static const struct {
        size_t width, height, left, top, wide, high;
    } cases[] = {{8, 4, 0, 2, 8, 4}, {4, 8, 2, 0, 4, 8},   {16, 4, 0, 3, 8, 2},
                 {3, 3, 0, 0, 8, 8}, {100, 1, 0, 3, 8, 1}, {1, 100, 3, 0, 1, 8}};
    data_scratch scratch = {0};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_image image = {0}, out = {0};
        ck_assert_int_eq(
            data_image_reserve(&image, cases[i].width, cases[i].height, 1, NULL), BASE_OK);
        memset(image.pixels, 50, cases[i].width * cases[i].height);
        ck_assert_int_eq(show_image_fit(&out, &image, 8, 240, &scratch, NULL), BASE_OK);
        ck_assert_uint_eq(out.width * 100 + out.height, 808);
        for (size_t y = 0; y < 8; y++)
            for (size_t x = 0; x < 8; x++) {
                const bool inside = x >= cases[i].left &&
                                    x < cases[i].left + cases[i].wide &&
                                    y >= cases[i].top && y < cases[i].top + cases[i].high;
                ck_assert_msg(out.pixels[8 * y + x] == (inside ? 50 : 240), "%zu: %zu %zu",
                              i, x, y);
            }
        data_image_destroy(&image);
        data_image_destroy(&out);
    }
    data_scratch_destroy(&scratch);
}
END_TEST

/* Columns are narrower the more there are, and then every eighth has its name. */
START_TEST(columns_are_as_wide_as_their_number_allows)
{
    static const struct {
        size_t count;
        int across, names;
    } cases[] = {{0, 16, 0},   {16, 432, 16}, {17, 288, 17}, {32, 528, 32},
                 {33, 313, 5}, {64, 592, 8},  {65, 276, 9}};
    char *folder = test_folder_make(), *path = test_path(folder, "figure");
    const char *names[65];
    double values[65];

    for (size_t i = 0; i < 65; i++) {
        names[i] = "x";
        values[i] = 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = NULL, *want = base_text("viewBox=\"0 0 %d 138\"", cases[i].across);
        show_page page = {0};
        size_t bytes = 0;
        int found = 0;

        ck_assert_int_eq(base_writer_open(&page.out, path, NULL), BASE_OK);
        show_plot_upright(&page, &(show_upright){values, names, names, cases[i].count, 1,
                                                 .title = "many"});
        ck_assert_int_eq(base_writer_commit(&page.out, NULL), BASE_OK);
        ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
        ck_assert_msg(strstr(text, want) != NULL, "%s in %.60s", want, text);
        for (const char *at = text; (at = strstr(at, ">x</text>")) != NULL; at++)
            found++;
        ck_assert_int_eq(found, cases[i].names);
        base_free(want);
        base_free(text);
    }
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* A large map is a picture of a pixel a cell, from paper to the darkest blue. */
START_TEST(pixels_of_a_large_map_are_its_shares)
{
    enum { ROWS = 41, COLUMNS = 3 };
    static const unsigned char colours[3][3] = {
        {246, 248, 250}, {132, 159, 190}, {18, 70, 130}};
    char *folder = test_folder_make(), *path = test_path(folder, "figure");
    double values[ROWS * COLUMNS];
    char *text[2] = {NULL, NULL};
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, COLUMNS, ROWS, 3, NULL), BASE_OK);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = i == 7 ? (double)NAN : i == 10 ? 9 : i == 11 ? -1 : (double)(i % 3) * 2;
        memcpy(image.pixels + 3 * i,
               colours[i == 7 || i == 11 ? 0
                       : i == 10         ? 2
                                         : i % 3],
               3);
    }
    for (int i = 0; i < 2; i++) {
        show_page page = {0};
        size_t bytes = 0;

        ck_assert_int_eq(base_writer_open(&page.out, path, NULL), BASE_OK);
        if (i == 0)
            ck_assert_int_eq(show_heat_draw(&page,
                                            &(show_heat_map){.values = values,
                                                             .rows = ROWS,
                                                             .columns = COLUMNS,
                                                             .high = 4,
                                                             .title = ""},
                                            NULL),
                             BASE_OK);
        else
            ck_assert_int_eq(
                show_page_picture(&page, &image, 24 * COLUMNS, 14 * ROWS, "heat map", NULL),
                BASE_OK);
        ck_assert_int_eq(base_writer_commit(&page.out, NULL), BASE_OK);
        ck_assert_int_eq(base_file_read(&text[i], &bytes, path, 1 << 20, NULL), BASE_OK);
    }
    ck_assert_msg(strstr(text[0], text[1]) != NULL, "%s\n%s", text[0], text[1]);
    base_free(text[0]);
    base_free(text[1]);
    data_image_destroy(&image);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("show_plot");
    TCase *core = tcase_create("Core");

    tcase_add_loop_test(core, a_figure_is_drawn_whole, 0, FIGURES);
    tcase_add_test(core, letters_are_drawn_dot_by_dot);
    tcase_add_test(core, pictures_fit_a_square_of_paper);
    tcase_add_test(core, columns_are_as_wide_as_their_number_allows);
    tcase_add_test(core, pixels_of_a_large_map_are_its_shares);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
