/* test_show_catalogue.c - a document and views of it with every kind of block, every form
 * of a value and every way to leave something out: page, terminal, SVG and CSV, whole
 * (documents/catalogue.txt). */
#include "tests/test_golden.h"
#include "tests/test_show.h"

static const char more[] =
    "{'cards': {'n': 1234567, 'half': 0.5, 'share': 0.1236, 'seconds': 62.4, 'long': 7325,"
    "   'short': 3.14, 'bytes': 1536000, 'few': 12, 'amount': 1234567, 'small': 3.14159265,"
    "   'yes': true, 'no': false, 'list': [0.25, null, 0.5], 'words': ['a', 'b & c'],"
    "   'ends': [0.1, 0.2], 'one_end': [0.1], 'spread': 0.015, 'of': 2000000, 'odd': 0.5,"
    "   'minus': -3, 'verdict': 'PASS', 'wrong': false, 'text': 'some <text>'},"
    " 'verdicts': [{'verdict': 'PASS', 'text': 'all is well', 'facts': []},"
    "   {'verdict': 'WARN', 'text': 'look', 'facts': ['a fact that is longer than a line of eighty"
    " characters can hold, so it is broken and goes on below', 'b']},"
    "   {'verdict': 'SKIPPED'}],"
    " 'note': 'a text & more', 'notes': ['first', null, 'second', 3],"
    " 'rows': [{'name': 'delta', 'x': 3, 'v': 0.75, 'ok': 'FAIL', 'best': false, 'path': 'a/long/path"
    "/of/many/folders/to/a/checkpoint/of/a/network/named/delta.safetensors'},"
    "   {'name': 'alpha', 'x': null, 'v': 0.25, 'ok': 'PASS', 'best': true, 'note': 'told below'},"
    "   {'name': 'gamma', 'x': 1, 'v': null, 'ok': 'WARN', 'ends': [0.1, 0.3]},"
    "   {'name': 'beta', 'x': 3, 'v': 0.5, 'ok': 'SKIPPED', 'ends': [0.4, 0.6], 'list': [1, 2]}],"
    " 'sum': {'name': 'all', 'x': 7, 'v': 0.5},"
    " 'lines': [{'x': 4, 'y': 0.5, 'z': 0.25, 'ends': [0.375, 0.625], 'name': 'b', 'at': 'four'},"
    "   {'x': 1, 'y': 0.25, 'z': 0.75, 'ends': [0.125, 0.375], 'name': 'a', 'at': 'one', 'c': true},"
    "   {'x': 2, 'y': 0.5, 'z': null, 'ends': null, 'name': 'a', 'at': 'two'},"
    "   {'x': 4, 'y': 1, 'z': 0.5, 'ends': [0.75, 1.25], 'name': 'a', 'at': 'four'},"
    "   {'x': null, 'y': 9, 'name': 'a'}, {'x': 8, 'y': null, 'name': 'none'}],"
    " 'each': [{'k': 1, 'points': [{'x': 0, 'y': 1}, {'x': 2, 'y': 3}]}, {'k': 2, 'points': []},"
    "   {'k': 3, 'points': [{'x': 0, 'y': 2}, {'x': 1, 'y': 2}]}],"
    " 'parts': [{'name': 'right', 'share': 0.5, 'ok': 'PASS'}, {'name': 'left', 'share': 0.25,"
    "   'ok': 'FAIL'}, {'name': 'none', 'share': -1, 'ok': 'WARN'}, {'name': 'out', 'share': 0.25,"
    "   'ok': 'SKIPPED'}],"
    " 'bars': [{'name': 'a', 'n': 10, 'm': 30, 'mark': true, 'note': 'why'}, {'name': 'b', 'n': 40},"
    "   {'name': 'c', 'n': null, 'm': 1}],"
    " 'names': ['x', 'y', 'z'], 'cells': [0, 0, 1, 0, 2, 3, 2, 1, 4, 3, 0, 9, 0, 3, 9, -1, 0, 9],"
    " 'table': [[1, 0, 3], [2, null]], 'titles': ['up', 'down'],"
    " 'dots': [{'name': 'a', 'list': [0.25, 0.75, null], 'mean': 0.5, 'std': 0.25},"
    "   {'name': 'b', 'list': [0.5], 'mean': 0.5, 'mark': true}, {'name': 'c', 'list': 3}],"
    " 'plane': [{'x': 0, 'y': 0, 'g': 1}, {'x': 1, 'y': 1, 'g': 0}, {'x': 2, 'y': 0, 'g': 5},"
    "   {'x': null, 'y': 0, 'g': 0}, {'x': 2, 'y': 1, 'g': -1}, {'x': 2, 'y': 1}],"
    " 'shots': [{'picture': 'small', 'answer': 'cat', 'right': true, 'gate': 0.5, 'none': null,"
    "   'top': [{'title': 'Cat & dog', 'name': 'n1', 'probability': 0.5, 'mark': true},"
    "     {'title': 'b', 'probability': 0.1}, {'title': 'c', 'probability': 0.1},"
    "     {'title': 'd', 'probability': 0.1}, {'title': 'e', 'probability': 0.1},"
    "     {'title': 'sixth', 'probability': 0.1}]}, {'picture': 'gone', 'answer': 'dog',"
    "   'right': false}],"
    " 'several': [{'pictures': [{'picture': 'small', 'caption': 'a <b>', 'told': 'x & y'},"
    "   {'picture': 'wide'}], 'below': [{'picture': 'small', 'caption': 'under'}], 'word': 'w'},"
    "   {'pictures': []}], 'wide': [{'picture': 'wide', 'word': 'as it is'},"
    "   {'picture': 'small', 'word': 'twice'}],"
    " 'groups': [{'of': 1, 'rows': [{'k': 1}]}, {'of': 2, 'rows': [{'k': 2}, {'k': 3}]}]}";

/* ---- numbers and texts --------------------------------------------------------------- */

static const show_column forms[] = {
    {"count", "n", SHOW_COUNT},
    {"of", "n", SHOW_COUNT, .of = "of"},
    {"minus", "minus", SHOW_COUNT},
    {"percent", "share", SHOW_PERCENT},
    {"one place", "share", SHOW_PERCENT, .digits = 1},
    {"whole", "share", SHOW_PERCENT, .digits = SHOW_WHOLE},
    {"bare", "share", SHOW_PERCENT, .bare = true},
    {"interval", "half", SHOW_PERCENT, .low_high = "ends", .note = "of {n:n}, {few}"},
    {"one end", "half", SHOW_PERCENT, .low_high = "one_end", .note = "of {missing}"},
    {"spread", "half", SHOW_PERCENT, .spread = "spread"},
    {"number", "small", SHOW_NUMBER},
    {"two places", "small", SHOW_NUMBER, .digits = 2},
    {"no place", "small", SHOW_NUMBER, .digits = SHOW_WHOLE},
    {"time", "seconds", SHOW_DURATION},
    {"hours", "long", SHOW_DURATION},
    {"moment", "short", SHOW_DURATION},
    {"bytes", "bytes", SHOW_BYTES},
    {"few", "few", SHOW_BYTES},
    {"amount", "amount", SHOW_AMOUNT},
    {"amount.2", "amount", SHOW_AMOUNT, .digits = 2},
    {"text", "text", .verdict = "verdict"},
    {"real", "small"},
    {"yes", "yes", .verdict = "yes"},
    {"no", "no", .verdict = "wrong"},
    {"list", "list", SHOW_PERCENT},
    {"joined", "words", .join = " | "},
    {"filled", "words", .fill = "<{.}>", .join = "; "},
    {"verdict", "verdict", SHOW_VERDICT},
    {"{text} of", "few"},
    {"{missing} of", "few"},
    {"page only", "few", .where = SHOW_PAGE},
    {"terminal only", "few", .where = SHOW_TERMINAL},
    {"nothing", "missing", SHOW_NUMBER},
    {0}};
static const show_block values[] = {
    {SHOW_CARDS, .title = "Values",
     .note = "{cards.n:n} {cards.share:%1} {cards.share:p2}"
             " {cards.long:d} {cards.bytes:b} {cards.amount:a}"
             " {cards.small:.3} {nothing|0} {nothing:%|none}",
     .path = "cards", .columns = forms},
    {SHOW_CARDS, .note = "{missing}", .path = "cards", .columns = forms,
     .style = SHOW_PLAIN},
    {SHOW_BANNER, .title = "Verdicts", .path = "verdicts[0]"},
    {SHOW_BANNER, .path = "verdicts[1]"},
    {SHOW_BANNER, .path = "verdicts[2]"},
    {SHOW_TEXTS, .title = "Texts", .path = "note"},
    {SHOW_TEXTS, .path = "notes"},
    {SHOW_TEXTS, .path = "notes[]"},
    {SHOW_TEXTS, .note = "alone"},
    {0}};

/* ---- tables -------------------------------------------------------------------------- */

static const show_column columns[] = {
    {"name", "name", .strong = "best", .note = "{note}"},
    {"x", "x", SHOW_NUMBER},
    {"share of {sum.x}", "v", SHOW_PERCENT, .low_high = "ends", .verdict = "best"},
    {"sound", "ok", SHOW_VERDICT},
    {"path", "path"},
    {"csv", "#", .where = SHOW_CSV},
    {"list", "list"},
    {"nobody", "missing"},
    {0}};
static const show_column few[] = {{"name", "name"}, {"x", "x", SHOW_NUMBER}, {0}};
static const show_block tables[] = {
    {SHOW_TABLE, SHOW_PAGE | SHOW_TERMINAL | SHOW_CSV, "Tables", .path = "rows[]",
     .also = "sum", .columns = columns},
    {SHOW_TABLE, .path = "rows[]", .columns = few, .order = "x", .most = 3,
     .more = "elsewhere"},
    {SHOW_TABLE, .path = "rows[]", .columns = few, .order = "-x"},
    {SHOW_TABLE, .path = "rows[]", .columns = few, .least = 5},
    {SHOW_TABLE, .path = "rows[]", .columns = few, .least = 4, .beside = true},
    {SHOW_TABLE, .path = "rows[]", .columns = few, .where = SHOW_PAGE, .beside = true},
    {SHOW_TABLE, .each = "groups[]", .path = "rows[]",
     .columns = (const show_column[]){{"k", "k"}, {"of", "^of"}, {"number", "#"}, {0}}},
    {SHOW_TABLE, .path = "kinds[]",
     .columns = (const show_column[]){{"kind", "@"}, {"n", "."}, {0}}},
    {0}};

/* ---- figures ------------------------------------------------------------------------- */

static const show_column by[] = {
    {"y", "y", SHOW_NUMBER, .mark = "c"}, {"limit", "^cards.half", .dashed = true}, {0}};
static const show_column both[] = {{"y", "y", SHOW_PERCENT, .low_high = "ends"},
                                   {"z", "z", SHOW_PERCENT},
                                   {"gone", "gone"},
                                   {0}};
static const show_column points[] = {{"y", "y", SHOW_NUMBER}, {0}};
static const show_column stacks[] = {
    {"", "name"}, {"", "share", SHOW_PERCENT, .verdict = "ok"}, {0}};
static const show_column bars[] = {{"", "name"},
                                   {"", "n", SHOW_COUNT, .mark = "mark", .note = "{note}"},
                                   {"", "m", SHOW_COUNT},
                                   {0}};
static const show_column upright[] = {{"", "name"}, {"n", "n"}, {"m", "m"}, {0}};
static const show_column heat[] = {
    {"down", "/titles[#]"}, {"across", ".", SHOW_COUNT}, {0}};
static const show_column dots[] = {{"", "name"},
                                   {"", "list", SHOW_PERCENT, .mark = "mark"},
                                   {"", "mean", .spread = "std"},
                                   {0}};
static const show_block figures[] = {
    {SHOW_LINES, SHOW_PAGE | SHOW_SVG, "Lines", .path = "lines[]", .columns = by, .x = "x",
     .by = "name", .x_title = "steps", .y_title = "height"},
    {SHOW_LINES, SHOW_PAGE | SHOW_SVG, .path = "lines[]", .columns = both, .x = "x",
     .x_name = "at", .style = SHOW_LOG, .caption = "shares of {note}"},
    {SHOW_LINES, .path = "lines[]", .columns = points, .x = "x", .low = -1, .high = 3,
     .beside = true},
    {SHOW_LINES, SHOW_PAGE | SHOW_SVG, .each = "each[]", .path = "points[]",
     .columns = points, .x = "x", .style = SHOW_ZERO, .caption = "of {k}"},
    {SHOW_BARS, .path = "bars[]", .columns = bars},
    {SHOW_BARS, .path = "bars[]", .columns = bars, .high = 80, .most = 1},
    {SHOW_BARS, .path = "parts[]", .columns = stacks},
    {SHOW_BARS, .path = "parts[]", .columns = stacks, .style = SHOW_STACKED},
    {SHOW_BARS, .path = "bars[]", .columns = upright, .style = SHOW_UPRIGHT,
     .x_title = "bars", .caption = "of {note}"},
    {SHOW_HEAT, .path = "table[]", .columns = heat, .names = "names[]", .caption = "rows"},
    {SHOW_HEAT, .path = "table[]", .columns = heat, .names = "titles[]",
     .caption = "too few names"},
    {SHOW_HEAT, .cells = "cells", .columns = heat, .names = "names[]",
     .style = SHOW_ROW_SHARE, .caption = "cells"},
    {SHOW_DOTS, .path = "dots[]", .columns = dots, .caption = "rows of {note}"},
    {SHOW_DOTS, .path = "plane[]", .columns = points, .x = "x", .by = "g",
     .caption = "numbers"},
    {SHOW_DOTS, .path = "plane[]", .columns = points, .x = "x", .by = "g",
     .names = "titles[]", .caption = "names"},
    {0}};

/* ---- pictures and groups ------------------------------------------------------------- */

static const show_column card[] = {
    {"", "answer", .verdict = "right"}, {"gate", "gate", SHOW_PERCENT}, {"", "none"}, {0}};
static const show_column word[] = {{"it is", "word"}, {0}};
static const show_block inner[] = {
    {SHOW_CARDS, .columns = (const show_column[]){{"of", "of"}, {0}}},
    {SHOW_TABLE, .path = "rows[]", .columns = (const show_column[]){{"k", "k"}, {0}}},
    {0}};
static const show_block pictures[] = {
    {SHOW_PICTURES, .title = "Pictures", .path = "shots[]", .picture = "picture",
     .columns = card, .bars = "top[]"},
    {SHOW_PICTURES, .path = "several[]", .picture = "pictures", .below = "below",
     .columns = word},
    {SHOW_PICTURES, .path = "wide[]", .picture = "picture", .columns = word, .wide = 30},
    {SHOW_GROUP, .title = "Groups", .path = "groups[]", .inner = inner,
     .caption = "number {of}", .open = true},
    {SHOW_GROUP, .path = "groups[]", .inner = inner},
    {0}};

static const struct {
    const char *name;
    const show_block *blocks;
} views[] = {
    {"values", values}, {"tables", tables}, {"figures", figures}, {"pictures", pictures}};
enum { VIEWS = sizeof views / sizeof views[0] };

static void picture_add(const char *name, size_t width, size_t height)
{
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, width, height, 3, NULL), BASE_OK);
    memset(image.pixels, 7, 3 * width * height);
    ck_assert_int_eq(show_document_picture(document, name, &image, NULL), BASE_OK);
    data_image_destroy(&image);
}

static void setup_more(void)
{
    char json[sizeof more];

    setup();
    for (size_t i = 0; i < sizeof more; i++)
        json[i] = (char)(more[i] == '\'' ? '"' : more[i]);
    json_t *added = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(added);
    json_object_update(show_document_json(document), added);
    json_decref(added);
    picture_add("small", 5, 4);
    picture_add("wide", 40, 10);
    picture_add("small", 50, 1); /* the first of a name counts */
}

START_TEST(a_page_is_whole)
{
    char *page = page_of(views[_i].blocks), *name = base_text("page of %s", views[_i].name);
    const char *body = strstr(page, "</style>");
    char *foot = strstr(page, "<footer>"); /* with the version */

    ck_assert(body && foot);
    *foot = '\0';
    golden_without_pictures(page);
    golden_holds("catalogue.txt", name, body);
    base_free(name);
    base_free(page);
}
END_TEST

START_TEST(a_terminal_gets_it_whole)
{
    char *out = terminal_of(views[_i].blocks),
         *name = base_text("terminal of %s", views[_i].name);

    golden_holds("catalogue.txt", name, out);
    base_free(name);
    free(out);
}
END_TEST

/* A file of the view of that name by one of the functions that write one. */
static void written(const char *name, base_status (*write)(const show_view *, const char *))
{
    char *path = test_path(dir, "out"), *out = NULL;
    size_t bytes = 0;

    for (size_t i = 0; i < VIEWS; i++) {
        const show_view view = {.title = "T", .blocks = views[i].blocks};
        if (!strstr(name, views[i].name))
            continue;
        ck_assert_int_eq(write(&view, path), BASE_OK);
        ck_assert_int_eq(base_file_read(&out, &bytes, path, 1 << 20, NULL), BASE_OK);
        golden_holds("catalogue.txt", name, out);
        base_free(out);
    }
    base_free(path);
}

static base_status svg_write(const show_view *view, const char *path)
{
    return show_svg_write(document, view, path, NULL);
}

static base_status csv_write(const show_view *view, const char *path)
{
    return show_csv_write(document, view, NULL, path, NULL);
}

START_TEST(files_are_whole)
{
    written("svg of figures", svg_write);
    written("csv of tables", csv_write);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("show_catalogue");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup_more, teardown);
    tcase_add_loop_test(core, a_page_is_whole, 0, VIEWS);
    tcase_add_loop_test(core, a_terminal_gets_it_whole, 0, VIEWS);
    tcase_add_test(core, files_are_whole);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
