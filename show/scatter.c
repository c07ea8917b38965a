/* scatter.c - points in the plane coloured by group, as SVG: a path for each group, whose
 * strokes of no length are the dots. Free to change: all that a reader sees. */
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 380, EDGE = 8, NAMED = 8 };

/* Groups with their number of points, most frequent first, equal ones by number. */
typedef struct group {
    size_t number, count;
} group;

static int by_count(const void *a, const void *b)
{
    const group *x = a, *y = b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1)
                                : (x->number > y->number) - (x->number < y->number);
}

static int by_number(const void *a, const void *b)
{
    const group *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* class="..." and, beyond the page's eight colours, style="...". */
static void colour_put(FILE *file, const char *class, size_t i)
{
    static const char *const more[SHOW_SCATTER_COLOURS - NAMED] = {
        "#d3302f", "#e5c227", "#22a7d6", "#7cb83f",
        "#4345c9", "#f29ab2", "#0f6b4f", "#a9814f"};

    if (i < NAMED)
        fprintf(file, "class=\"%s c%zu\"", class, i);
    else
        fprintf(file, "class=\"%s\" style=\"--s:%s\"", class, more[i - NAMED]);
}

typedef struct view {
    double low[2], scale;
} view;

static view view_of(const show_scatter *s)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    view v = {.scale = 1};

    for (size_t i = 0; i < 2 * s->count; i++) {
        low[i % 2] = fmin(low[i % 2], (double)s->at[i]);
        high[i % 2] = fmax(high[i % 2], (double)s->at[i]);
    }
    const double span = s->count > 0 ? fmax(high[0] - low[0], high[1] - low[1]) : 0;
    if (span > 0)
        v.scale = (SIDE - 2 * EDGE) / span;
    for (int a = 0; a < 2 && s->count > 0; a++) /* the shorter side in the middle */
        v.low[a] = (low[a] + high[a]) / 2 - (SIDE / 2.0 - EDGE) / v.scale;
    return v;
}

/* The dots of the points whose colour is this one; SIZE_MAX: of no group that has a
 * colour. */
static void dots_put(FILE *file, const show_scatter *s, const view *v,
                     const size_t *colour_of, size_t colour)
{
    fputs("<path ", file);
    if (colour == SIZE_MAX)
        fputs("class=\"dots grey\"", file);
    else
        colour_put(file, "dots", colour);
    fputs(" d=\"", file);
    for (size_t i = 0; i < s->count; i++) {
        const size_t own = s->group[i] < 0 ? SIZE_MAX : colour_of[s->group[i]];

        if (own == colour)
            fprintf(file, "M%.1f %.1fh0",
                    EDGE + ((double)s->at[2 * i] - v->low[0]) * v->scale,
                    SIDE - EDGE - ((double)s->at[2 * i + 1] - v->low[1]) * v->scale);
    }
    fputs("\"/>\n", file);
}

base_status show_plot_scatter(show_page *page, const show_scatter *s, base_error *err)
{
    FILE *file = page->out.file;
    group *groups = base_alloc(s->groups, sizeof *groups);
    size_t *colour_of = base_alloc(s->groups, sizeof *colour_of);
    size_t shown = 0, grey = 0;
    const view v = view_of(s);

    if (!groups || !colour_of) {
        base_free(groups);
        base_free(colour_of);
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu groups", s->groups);
    }
    for (size_t g = 0; g < s->groups; g++) {
        groups[g].number = g;
        colour_of[g] = SIZE_MAX;
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->group[i] >= 0)
            groups[s->group[i]].count++;
    qsort(groups, s->groups, sizeof *groups, by_count);
    while (shown < s->groups && shown < SHOW_SCATTER_COLOURS && groups[shown].count > 0)
        shown++;
    qsort(groups, shown, sizeof *groups, by_number);
    for (size_t g = 0; g < shown; g++)
        colour_of[groups[g].number] = g;
    for (size_t i = 0; i < s->count; i++)
        grey += s->group[i] < 0 || colour_of[s->group[i]] == SIZE_MAX;
    fputs("<figure class=\"scatter\"><b>", file);
    show_page_text(page, s->title);
    fprintf(file,
            "</b><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
            "aria-label=\"scatter plot\">\n",
            SIDE, SIDE, SIDE);
    if (grey > 0)
        dots_put(file, s, &v, colour_of, SIZE_MAX);
    for (size_t g = 0; g < shown; g++)
        dots_put(file, s, &v, colour_of, g);
    fputs("</svg><figcaption class=\"legend\">", file);
    for (size_t g = 0; g < shown; g++) {
        fputs("<span><i ", file);
        colour_put(file, "key", g);
        fputs("></i>", file);
        if (s->names)
            show_page_text(page, s->names[groups[g].number]);
        else
            fprintf(file, "%zu", groups[g].number);
        fputs("</span>", file);
    }
    if (grey > 0)
        fprintf(file, "<span><i class=\"key grey\"></i>others (%zu points)</span>", grey);
    fputs("</figcaption></figure>\n", file);
    base_free(groups);
    base_free(colour_of);
    return BASE_OK;
}
