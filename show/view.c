/* view.c - a view is its blocks, one after the other, on a page, on a terminal or as CSV.
 * Relied on elsewhere: a block is shown when its path has something; nothing else is
 * conditional. */
#include "show/document_internal.h"
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 80 };

static unsigned where_of(const show_block *block)
{
    if (block->where != 0)
        return block->where;
    return block->kind >= SHOW_BARS && block->kind <= SHOW_PICTURES
               ? SHOW_PAGE
               : SHOW_PAGE | SHOW_TERMINAL;
}

/* ---- rows ---------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b, void *user)
{
    const char *path = user;
    const bool falling = *path == '-';
    const double x = show_find(a, path + falling).number;
    const double y = show_find(b, path + falling).number;

    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y); /* what is not known stands last */
    const int order = falling ? (x < y) - (x > y) : (x > y) - (x < y);
    const size_t i = ((const show_at *)a)->index, k = ((const show_at *)b)->index;
    return order ? order : (i > k) - (i < k);
}

static void rows_sort(show_render *r, show_rows *rows, const char *path)
{
    show_at *sorted = show_take(r, rows->count, sizeof *sorted);

    if (!sorted)
        return;
    memcpy(sorted, rows->at, rows->count * sizeof *sorted);
    qsort_r(sorted, rows->count, sizeof *sorted, by_number, (void *)(uintptr_t)path);
    rows->at = sorted;
}

static void rows_join(show_render *r, show_rows *rows, show_rows more)
{
    show_at *both = show_take(r, rows->count + more.count, sizeof *both);

    if (!both || more.count == 0)
        return;
    if (rows->count > 0)
        memcpy(both, rows->at, rows->count * sizeof *both);
    memcpy(both + rows->count, more.at, more.count * sizeof *both);
    *rows = (show_rows){both, rows->count + more.count};
}

/* The rows of a block below `at`, in its order, at most its `most`; *all: how many there
 * are. */
static show_rows rows_of(show_render *r, const show_block *block, const show_at *at,
                         size_t *all)
{
    show_rows rows = show_all(r, at, block->path ? block->path : block->cells);

    if (block->also)
        rows_join(r, &rows, show_all(r, at, block->also));
    *all = rows.count;
    if (block->order && rows.count > 1)
        rows_sort(r, &rows, block->order);
    if (block->most > 0 && rows.count > block->most)
        rows.count = block->most;
    return rows;
}

/* ---- small blocks -------------------------------------------------------------------- */

static void heading_put(show_render *r, const show_block *block, const show_at *at,
                        size_t shown, size_t all)
{
    const char *title = show_fill(r, at, block->title),
               *note = show_fill(r, at, block->note);

    if (r->where != SHOW_PAGE)
        return;
    if (shown < all)
        note = show_print(r, "%s%s%zu of %zu are shown.", note ? note : "", note ? " " : "",
                          shown, all);
    if (title)
        show_page_section(r->page, title, note);
    else if (note)
        show_page_note(r->page, note);
}

static void banner_put(show_render *r, const show_at *at)
{
    const show_at text = show_find(at, "text");
    const char *verdict = show_verdict_class(at, "verdict");
    const show_rows facts = show_all(r, at, "facts[]");

    if (r->where == SHOW_TERMINAL) {
        show_wrapped(r->out, text.text ? text.text : "", WIDE, "");
    } else {
        fprintf(r->out, "<div class=\"banner %s\"><b>", verdict);
        show_page_text(r->page, text.text ? text.text : "");
        fputs("</b><ul>\n", r->out);
    }
    for (size_t i = 0; i < facts.count; i++) {
        const char *fact = facts.at[i].text ? facts.at[i].text : "";

        if (r->where == SHOW_TERMINAL) {
            fputs("  - ", r->out);
            show_wrapped(r->out, fact, WIDE - 4, "    ");
            continue;
        }
        fputs("<li>", r->out);
        show_page_text(r->page, fact);
        fputs("</li>\n", r->out);
    }
    if (r->where == SHOW_PAGE)
        fputs("</ul></div>\n", r->out);
}

/* A text, or each of a list. */
static void texts_put(show_render *r, const show_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const show_rows list = show_all(r, &rows->at[i], "[]");
        const show_rows *texts = json_is_array(rows->at[i].value) ? &list : rows;
        const size_t first = texts == rows ? i : 0,
                     end = texts == rows ? i + 1 : list.count;

        for (size_t k = first; k < end; k++) {
            const char *text = texts->at[k].text;

            if (!text)
                continue;
            if (r->where == SHOW_TERMINAL) {
                show_wrapped(r->out, text, WIDE, "");
                continue;
            }
            fputs("<p>", r->out);
            show_page_text(r->page, text);
            fputs("</p>\n", r->out);
        }
    }
}

/* ---- blocks -------------------------------------------------------------------------- */

static void blocks_put(show_render *r, const show_block *blocks, const show_at *at);

static void content_put(show_render *r, const show_block *block, const show_at *at,
                        const show_rows *rows)
{
    switch (block->kind) {
    case SHOW_CARDS: show_cards_put(r, block, &rows->at[0]); return;
    case SHOW_BANNER: banner_put(r, &rows->at[0]); return;
    case SHOW_TEXTS:
        if (block->path)
            texts_put(r, rows);
        return;
    case SHOW_TABLE: show_table_put(r, block, at, rows); return;
    case SHOW_PICTURES: show_pictures_put(r, block, rows); return;
    default: show_figure_put(r, block, at, rows);
    }
}

/* What a group holds, unfolded or not. */
static void group_put(show_render *r, const show_block *block, const show_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const char *caption = show_fill(r, &rows->at[i], block->caption);
        const bool folds = caption && r->where == SHOW_PAGE;

        if (folds) {
            fprintf(r->out, "<details%s><summary>",
                    block->open && i + 1 == rows->count ? " open" : "");
            show_page_text(r->page, caption);
            fputs("</summary>\n", r->out);
        }
        blocks_put(r, block->inner, &rows->at[i]);
        if (folds)
            fputs("</details>\n", r->out);
    }
}

static bool is_figure(const show_block *block)
{
    return block->kind >= SHOW_BARS && block->kind <= SHOW_DOTS;
}

/* A block, once or for each element; false: there is nothing. */
static bool block_put(show_render *r, const show_block *block, const show_at *at)
{
    const show_rows places = show_all(r, at, block->each ? block->each : ".");
    bool begun = false;

    for (size_t i = 0; i < places.count && r->status == BASE_OK; i++) {
        size_t all = 0;
        const show_rows rows = rows_of(r, block, &places.at[i], &all);

        if (rows.count == 0 || rows.count < block->least)
            continue;
        if (!begun && r->where == SHOW_TERMINAL && ftell(r->out) != 0 && !block->beside &&
            block->kind != SHOW_GROUP)
            fputc('\n', r->out);
        if (!begun) {
            heading_put(r, block, block->each ? at : &places.at[i], rows.count, all);
            if (block->each && is_figure(block) && r->where == SHOW_PAGE)
                fputs("<div class=\"row\">\n", r->out);
        }
        begun = true;
        if (block->kind == SHOW_GROUP)
            group_put(r, block, &rows);
        else
            content_put(r, block, &places.at[i], &rows);
        if (block->more && rows.count < all && r->where == SHOW_TERMINAL)
            fprintf(r->out, "and %zu more: %s\n", all - rows.count, block->more);
    }
    if (begun && block->each && is_figure(block) && r->where == SHOW_PAGE)
        fputs("</div>\n", r->out);
    return begun;
}

/* Blocks that stand beside one another share a row of the page. */
static void blocks_put(show_render *r, const show_block *blocks, const show_at *at)
{
    for (const show_block *b = blocks; b->kind != SHOW_END; b++) {
        const bool page = r->where == SHOW_PAGE;
        const bool first = page && !b->beside && b[1].kind != SHOW_END && b[1].beside;
        const bool last = page && b->beside && (b[1].kind == SHOW_END || !b[1].beside);

        if (first)
            fputs("<div class=\"row\">", r->out);
        if (first || (page && b->beside))
            fputs("<section>", r->out);
        if (where_of(b) & r->where)
            block_put(r, b, at);
        if (first || (page && b->beside))
            fputs("</section>", r->out);
        if (last)
            fputs("</div>\n", r->out);
    }
}

/* ---- views --------------------------------------------------------------------------- */

base_status show_page_write(const show_document *document, const show_view *view,
                            const char *path, base_error *err)
{
    show_page page = {0};
    show_render r = {.document = document, .where = SHOW_PAGE, .page = &page, .err = err};
    const show_at root = show_root(document);
    const char *title = show_fill(&r, &root, view->title);
    const char *lead = show_fill(&r, &root, view->lead);

    base_status status =
        r.status == BASE_OK
            ? show_page_open(&page, path, title ? title : "vmoe", lead ? lead : "", err)
            : r.status;
    if (status == BASE_OK) {
        r.out = page.out.file;
        blocks_put(&r, view->blocks, &root);
        status = r.status;
        if (status == BASE_OK)
            status = show_page_commit(&page, err);
        else
            show_page_abandon(&page);
    }
    show_render_end(&r);
    return status;
}

base_status show_svg_write(const show_document *document, const show_view *view,
                           const char *path, base_error *err)
{
    show_page page = {0};
    show_render r = {.document = document, .where = SHOW_SVG, .page = &page, .err = err};
    const show_at root = show_root(document);
    char *figures = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&figures, &bytes); /* how high they are is known last */
    base_status status =
        memory ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", path);

    if (memory) {
        r.out = page.out.file = memory;
        blocks_put(&r, view->blocks, &root);
        status = fclose(memory) == 0
                     ? r.status
                     : base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", path);
    }
    if (status == BASE_OK)
        status = base_writer_open(&page.out, path, err);
    if (status == BASE_OK) {
        show_plot_svg_begin(&page, r.down);
        fwrite(figures, 1, bytes, page.out.file);
        fputs("</svg>\n", page.out.file);
        status = base_writer_commit(&page.out, err);
    }
    free(figures);
    show_render_end(&r);
    return status;
}

base_status show_print_terminal(FILE *out, const show_document *document,
                                const show_view *view, base_error *err)
{
    show_render r = {.document = document, .where = SHOW_TERMINAL, .err = err};
    const show_at root = show_root(document);
    char *text = NULL;
    size_t bytes = 0;

    r.out = open_memstream(&text, &bytes); /* its place says whether anything was printed */
    if (!r.out)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the results");
    blocks_put(&r, view->blocks, &root);
    if (fclose(r.out) == 0 && r.status == BASE_OK)
        fwrite(text, 1, bytes, out);
    free(text);
    show_render_end(&r);
    return r.status;
}

/* The block for CSV of this path; NULL: there is none. */
static const show_block *csv_block(const show_block *blocks, const char *path)
{
    for (const show_block *b = blocks; b->kind != SHOW_END; b++) {
        const show_block *found = NULL;

        if (b->kind == SHOW_GROUP)
            found = csv_block(b->inner, path);
        else if (b->kind == SHOW_TABLE && (where_of(b) & SHOW_CSV) &&
                 (!path || strcmp(b->path, path) == 0))
            found = b;
        if (found)
            return found;
    }
    return NULL;
}

base_status show_csv_write(const show_document *document, const show_view *view,
                           const char *block_path, const char *path, base_error *err)
{
    const show_block *block = csv_block(view->blocks, block_path);
    show_render r = {.document = document, .where = SHOW_CSV, .err = err};
    const show_at root = show_root(document);
    base_writer out = {0};
    size_t all = 0;

    if (!block)
        return base_fail(err, BASE_UNSUPPORTED, "no table '%s' for '%s'",
                         block_path ? block_path : "", path);
    base_status status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        return status;
    r.out = out.file;
    const show_rows rows = rows_of(&r, block, &root, &all);
    show_table_put(&r, block, &root, &rows);
    status = r.status;
    if (status == BASE_OK)
        status = base_writer_commit(&out, err);
    else
        base_writer_abandon(&out);
    show_render_end(&r);
    return status;
}
