/* test_show.h - a document, and what a view of it becomes on a page, on a terminal and as
 * CSV. */
#ifndef TESTS_TEST_SHOW_H
#define TESTS_TEST_SHOW_H

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

static inline void setup(void)
{
    char json[sizeof text];

    for (size_t i = 0; i < sizeof text; i++)
        json[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    document = show_document_create(json_loads(json, 0, NULL));
    ck_assert_ptr_nonnull(document);
    dir = test_folder_make();
    render = (show_render){.document = document, .where = SHOW_TERMINAL};
}

static inline void teardown(void)
{
    show_render_end(&render);
    show_document_destroy(document);
    test_folder_remove(dir);
}

/* ---- what a view becomes ------------------------------------------------------------- */

/* The page of these blocks: base_free. */
static inline char *page_of(const show_block *blocks)
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
static inline char *terminal_of(const show_block *blocks)
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

static inline void holds(const char *all, const char *part)
{
    ck_assert_msg(strstr(all, part) != NULL, "'%s' is not there", part);
}

static inline void lacks(const char *all, const char *part)
{
    ck_assert_msg(strstr(all, part) == NULL, "'%s' is there", part);
}

static inline void page_holds(const show_block *blocks, const char *part)
{
    char *page = page_of(blocks);

    holds(page, part);
    base_free(page);
}

static inline void terminal_is(const show_block *blocks, const char *want)
{
    char *got = terminal_of(blocks);

    ck_assert_str_eq(got, want);
    free(got);
}

/* Two networks, one of them in bold. */
static const show_column table[] = {
    {"network", "net"},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "ci", .strong = "best"},
    {"images", "n", SHOW_COUNT, .of = "of"},
    {"never", "missing", SHOW_NUMBER},
    {0}};

#endif
