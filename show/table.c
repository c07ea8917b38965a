/* table.c - rows and columns: on a page, on a terminal of 80 characters, as CSV; and cards.
 * Free to change: all that a reader sees. Relied on elsewhere: a column that no row has a
 * value of is left out, but for CSV. */
#include "show/document_internal.h"

#include <math.h>
#include <string.h>

enum { WIDE = 80, GAP = 2, TEXT_LEAST = 14, LABEL_LEAST = 7 };

static bool wanted(const show_render *r, const show_column *c)
{
    return c->where == 0 || (c->where & r->where);
}

static bool ends(const show_column *c)
{
    return !c->title && !c->path;
}

/* A block's columns that are shown here, whose title is there and of which any row has a
 * value, with the cells' texts. */
typedef struct grid {
    const show_column **column;
    const char **title;
    const char **cell; /* [rows, columns] */
    size_t *wide;      /* characters, the title's included */
    size_t columns, rows;
} grid;

static const char *cell_text(show_render *r, const show_at *row, const show_column *c)
{
    const char *value = show_value_text(r, row, c);
    const char *interval = r->where == SHOW_TERMINAL ? show_interval_text(r, row, c) : "";

    return *interval ? show_print(r, "%s [%s]", value, interval) : value;
}

static bool grid_make(grid *out, show_render *r, const show_block *block, const show_at *at,
                      const show_rows *rows)
{
    size_t most = 0;
    grid g = {.rows = rows->count};

    while (!ends(&block->columns[most]))
        most++;
    g.column = show_take(r, most + 1, sizeof *g.column);
    g.title = show_take(r, most + 1, sizeof *g.title);
    g.wide = show_take(r, most + 1, sizeof *g.wide);
    g.cell = show_take(r, rows->count * most + 1, sizeof *g.cell);
    if (!g.column || !g.title || !g.wide || !g.cell)
        return false;
    for (size_t c = 0; c < most; c++) {
        const show_column *column = &block->columns[c];
        bool any = r->where == SHOW_CSV;

        const char *title = show_fill(r, at, column->title ? column->title : "");

        if (!wanted(r, column) || !title)
            continue;
        g.title[g.columns] = title;
        g.wide[g.columns] = show_letters(title);
        for (size_t i = 0; i < g.rows; i++) {
            const char *text = cell_text(r, &rows->at[i], column);
            const size_t letters = show_letters(text);

            g.cell[i * most + g.columns] = text;
            any = any || *text;
            if (letters > g.wide[g.columns])
                g.wide[g.columns] = letters;
        }
        if (any)
            g.column[g.columns++] = column;
    }
    for (size_t i = 1; i < g.rows; i++) /* close the gaps of what was left out */
        memmove(g.cell + i * g.columns, g.cell + i * most, g.columns * sizeof *g.cell);
    *out = g;
    return g.columns > 0;
}

/* ---- on a page ----------------------------------------------------------------------- */

static void soft_put(show_render *r, const char *text)
{
    if (!text || !*text)
        return;
    fputs("<br><span class=\"soft\">", r->out);
    show_page_text(r->page, text);
    fputs("</span>", r->out);
}

static void page_cell(show_render *r, const show_at *row, const show_column *c,
                      const char *text)
{
    const char *verdict =
        show_verdict_class(row, c->kind == SHOW_VERDICT ? c->path : c->verdict);
    const bool strong = show_is(row, c->strong), badge = c->kind == SHOW_VERDICT;

    fprintf(r->out, "<td class=\"%s%s%s\">%s%s", show_is_number(c) ? "n" : "t",
            *verdict ? " " : "", verdict, strong ? "<b>" : "",
            badge ? "<span class=\"badge\">" : "");
    if (*text)
        show_page_text(r->page, text);
    else
        fputs("&ndash;", r->out);
    fprintf(r->out, "%s%s", badge ? "</span>" : "", strong ? "</b>" : "");
    soft_put(r, show_interval_text(r, row, c));
    soft_put(r, show_fill(r, row, c->note));
    fputs("</td>", r->out);
}

static void page_table(show_render *r, const grid *g, const show_rows *rows)
{
    fputs("<div class=\"scroll\"><table><tr>", r->out);
    for (size_t c = 0; c < g->columns; c++) {
        fprintf(r->out, "<th%s>", show_is_number(g->column[c]) ? " class=\"n\"" : "");
        show_page_text(r->page, g->title[c]);
        fputs("</th>", r->out);
    }
    fputs("</tr>\n", r->out);
    for (size_t i = 0; i < g->rows; i++) {
        fputs("<tr>", r->out);
        for (size_t c = 0; c < g->columns; c++)
            page_cell(r, &rows->at[i], g->column[c], g->cell[i * g->columns + c]);
        fputs("</tr>\n", r->out);
    }
    fputs("</table></div>\n", r->out);
}

/* ---- on a terminal ------------------------------------------------------------------- */

/* A text in so many characters, cut with ".." where it must be: a path in front, its end
 * says more. */
static void padded(FILE *out, const char *text, size_t wide, bool right, bool last)
{
    size_t letters = show_letters(text), room = letters > wide ? wide - 2 : letters;

    if (letters > wide && strchr(text, '/') && !strstr(text, ", ")) {
        size_t drop = letters - room;

        for (fputs("..", out); drop > 0 || ((unsigned char)*text & 0xc0) == 0x80; text++)
            drop -= ((unsigned char)*text & 0xc0) != 0x80;
        letters = wide;
    }
    for (size_t i = letters; right && i < wide; i++)
        fputc(' ', out);
    for (; *text && (room > 0 || ((unsigned char)*text & 0xc0) == 0x80); text++) {
        room -= ((unsigned char)*text & 0xc0) != 0x80;
        fputc(*text, out);
    }
    if (letters > wide)
        fputs("..", out);
    for (size_t i = letters; !right && !last && i < wide; i++)
        fputc(' ', out);
}

/* Narrows the widest texts until the line fits; then says how many columns fit from `from`
 * on. */
static size_t columns_fitting(grid *g, size_t from)
{
    size_t sum = g->wide[0], count = from;

    for (; count < g->columns; count++) {
        if (sum + GAP + g->wide[count] > WIDE && count > from)
            break;
        sum += GAP + g->wide[count];
    }
    return count;
}

static void narrow(grid *g)
{
    const size_t names = g->wide[0];

    for (;;) {
        size_t sum = 0, widest = SIZE_MAX;

        for (size_t c = 0; c < g->columns; c++) {
            sum += g->wide[c] + (c ? GAP : 0);
            if (!show_is_number(g->column[c]) && g->wide[c] > TEXT_LEAST &&
                (widest == SIZE_MAX || g->wide[c] > g->wide[widest]))
                widest = c;
        }
        if (sum > WIDE && widest == SIZE_MAX) /* in parts, each with whole names */
            g->wide[0] = names < WIDE / 2 ? names : WIDE / 2;
        if (sum <= WIDE || widest == SIZE_MAX)
            return;
        g->wide[widest]--;
    }
}

static void terminal_line(show_render *r, const grid *g, size_t row, size_t from, size_t to)
{
    for (size_t c = 0; c < to; c = c == 0 && from > 1 ? from : c + 1) {
        const char *text = row == SIZE_MAX ? g->title[c] : g->cell[row * g->columns + c];

        if (c > 0)
            fputs("  ", r->out);
        padded(r->out, *text || row == SIZE_MAX ? text : "-", g->wide[c],
               show_is_number(g->column[c]), c + 1 == to);
    }
    fputc('\n', r->out);
}

static void terminal_table(show_render *r, grid *g, const show_rows *rows)
{
    narrow(g);
    for (size_t from = 1, to; from < g->columns || (from == 1 && g->columns == 1);
         from = to) {
        to = columns_fitting(g, from);
        if (from > 1)
            fputc('\n', r->out);
        terminal_line(r, g, SIZE_MAX, from, to);
        for (size_t i = 0; i < g->rows; i++) {
            terminal_line(r, g, i, from, to);
            for (size_t c = 0; c < g->columns && from == 1; c++) {
                const char *note = show_fill(r, &rows->at[i], g->column[c]->note);

                if (note && *note) {
                    fputs("    ", r->out);
                    show_wrapped(r->out, note, WIDE - 4, "    ");
                }
            }
        }
        if (to == from)
            break;
    }
}

void show_wrapped(FILE *out, const char *text, size_t wide, const char *indent)
{
    size_t used = 0;

    while (*text) {
        const size_t bytes = strcspn(text, " \n");
        size_t letters = 0;

        for (size_t i = 0; i < bytes; i++)
            letters += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (used > 0 && used + 1 + letters > wide) {
            fprintf(out, "\n%s", indent);
            used = 0;
        } else if (used > 0) {
            fputc(' ', out);
            used++;
        }
        fwrite(text, 1, bytes, out);
        used += letters;
        text += bytes + (text[bytes] != '\0');
    }
    fputc('\n', out);
}

/* ---- CSV ----------------------------------------------------------------------------- */

static void csv_table(show_render *r, const grid *g, const show_rows *rows)
{
    for (size_t c = 0; c < g->columns; c++) {
        const show_column *column = g->column[c];

        fputs(c ? "," : "", r->out);
        show_csv_text(r->out, column->where == SHOW_CSV && column->title ? g->title[c]
                                                                         : column->path);
        if (column->low_high)
            fprintf(r->out, ",%s_low,%s_high", column->path, column->path);
    }
    fputc('\n', r->out);
    for (size_t i = 0; i < g->rows; i++) {
        for (size_t c = 0; c < g->columns; c++) {
            const show_column *column = g->column[c];
            const show_at at = show_find(&rows->at[i], column->path);

            fputs(c ? "," : "", r->out);
            if (isfinite(at.number) && !at.text)
                show_csv_number(r->out, at.number);
            else
                show_csv_text(r->out, g->cell[i * g->columns + c]);
            if (!column->low_high)
                continue;
            const show_at ends_at = show_find(&rows->at[i], column->low_high);
            for (size_t k = 0; k < 2; k++) {
                const json_t *end = json_array_get(ends_at.value, k);

                fputc(',', r->out);
                show_csv_number(r->out,
                                json_is_number(end) ? json_number_value(end) : (double)NAN);
            }
        }
        fputc('\n', r->out);
    }
}

void show_csv_head(FILE *out, const char *columns)
{
    for (const char *at = columns; *at; at += strcspn(at, ","), at += *at == ',')
        fprintf(out, "%s%.*s", at > columns ? "," : "", (int)strcspn(at, " ,"), at);
    fputc('\n', out);
}

base_status show_csv_row(FILE *out, const char *columns, const show_document *document,
                         const char *path, base_error *err)
{
    show_render r = {.document = document, .where = SHOW_CSV, .out = out, .err = err};
    const show_at root = show_root(document), row = show_find(&root, path);

    for (const char *at = columns; *at; at += strcspn(at, ","), at += *at == ',') {
        const char *column = show_print(&r, "%.*s", (int)strcspn(at, ","), at);
        const char *text = strchr(column, ' ');
        const show_at value = show_find(&row, column);

        fputs(at > columns ? "," : "", out);
        if (text)
            text = show_fill(&r, &row, text + 1);
        else if (json_is_integer(value.value))
            fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value.value));
        else if (!value.text)
            show_csv_number(out, value.number);
        if (text || value.text)
            show_csv_text(out, text ? text : value.text);
    }
    fputc('\n', out);
    show_render_end(&r);
    return r.status;
}

void show_table_put(show_render *r, const show_block *block, const show_at *at,
                    const show_rows *rows)
{
    grid g;

    if (!grid_make(&g, r, block, at, rows))
        return;
    if (r->where == SHOW_PAGE)
        page_table(r, &g, rows);
    else if (r->where == SHOW_TERMINAL)
        terminal_table(r, &g, rows);
    else
        csv_table(r, &g, rows);
}

/* ---- cards --------------------------------------------------------------------------- */

typedef struct card {
    const show_column *column;
    const char *title, *value, *note;
} card;

/* Interval and note of a card in one line. */
static const char *card_note(show_render *r, const show_at *at, const show_column *c)
{
    const char *interval = show_interval_text(r, at, c), *note = show_fill(r, at, c->note);

    if (!*interval)
        return note ? note : "";
    return show_print(r, "95 %%: %s%s%s", interval, note && *note ? ", " : "",
                      note ? note : "");
}

static void page_cards(show_render *r, const show_block *block, const show_at *at,
                       const card *cards, size_t count)
{
    const bool plain = block->style == SHOW_PLAIN;

    fputs(plain ? "<table>\n" : "<div class=\"cards\">\n", r->out);
    for (size_t i = 0; i < count; i++) {
        const char *verdict = show_verdict_class(at, cards[i].column->verdict);

        fputs(plain ? "<tr><td class=\"soft\">" : "<div class=\"card\"><span>", r->out);
        show_page_text(r->page, cards[i].title);
        if (plain)
            fprintf(r->out, "</td><td class=\"t %s\" style=\"overflow-wrap:anywhere\">",
                    verdict);
        else
            fprintf(r->out, "</span><b class=\"%s\">", verdict);
        show_page_text(r->page, cards[i].value);
        if (plain) {
            soft_put(r, cards[i].note);
            fputs("</td></tr>\n", r->out);
            continue;
        }
        fputs("</b>", r->out);
        if (*cards[i].note) {
            fputs("<span>", r->out);
            show_page_text(r->page, cards[i].note);
            fputs("</span>", r->out);
        }
        fputs("</div>\n", r->out);
    }
    fputs(plain ? "</table>\n" : "</div>\n", r->out);
}

static void terminal_cards(show_render *r, const card *cards, size_t count)
{
    size_t label = LABEL_LEAST, value = 0;
    char indent[WIDE];

    for (size_t i = 0; i < count; i++) {
        const size_t letters = show_letters(cards[i].value);

        if (show_letters(cards[i].title) > label)
            label = show_letters(cards[i].title);
        if (show_is_number(cards[i].column) && letters > value)
            value = letters;
    }
    snprintf(indent, sizeof indent, "%*s", (int)(label < WIDE / 2 ? label + 1 : 4), "");
    for (size_t i = 0; i < count; i++) {
        const bool number = show_is_number(cards[i].column);
        const char *gap = *cards[i].note ? number ? "   " : ", " : "";

        padded(r->out, cards[i].title, label + 1, false, false);
        if (number) {
            padded(r->out, cards[i].value, value, true, true);
            fputs(gap, r->out);
            show_wrapped(r->out, cards[i].note, WIDE - value - label - 4, indent);
        } else {
            show_wrapped(r->out,
                         show_print(r, "%s%s%s", cards[i].value, gap, cards[i].note),
                         WIDE - label - 1, indent);
        }
    }
}

void show_cards_put(show_render *r, const show_block *block, const show_at *at)
{
    card *cards;
    size_t count = 0, most = 0;

    while (!ends(&block->columns[most]))
        most++;
    cards = show_take(r, most + 1, sizeof *cards);
    for (size_t c = 0; cards && c < most; c++) {
        const show_column *column = &block->columns[c];
        const char *value = wanted(r, column) ? show_value_text(r, at, column) : "";
        const char *title = show_fill(r, at, column->title);

        if (*value && title)
            cards[count++] = (card){column, title, value, card_note(r, at, column)};
    }
    if (count == 0)
        return;
    if (r->where == SHOW_PAGE)
        page_cards(r, block, at, cards, count);
    else
        terminal_cards(r, cards, count);
}
