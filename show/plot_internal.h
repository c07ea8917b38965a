/* plot_internal.h - the charts of reports about several numbers that share an axis: lines
 * with intervals, shares in a grid, paired columns, a bar of parts, clouds of points. SVG
 * inside a page; colours are the page's (page.c). Cannot fail but for memory; a chart of
 * nothing draws empty axes. */
#ifndef SHOW_PLOT_INTERNAL_H
#define SHOW_PLOT_INTERNAL_H

#include "show/page_internal.h"

/* Points by rising x; low and high (NULL: none) are drawn as a band. y NaN: a gap. */
typedef struct show_line {
    const char *name;
    const double *x, *y, *low, *high;
    size_t count;
    int colour;  /* 0..SHOW_PLOT_COLOURS - 1 */
    bool dashed; /* a control */
} show_line;
enum { SHOW_PLOT_COLOURS = 8 };

typedef struct show_axes {
    const char *title; /* above; NULL: none */
    const char *x_title, *y_title;
    bool unnamed; /* no legend: a figure beside it has it */
    double y_low, y_high;
    bool percent;        /* y is a share, told in per cent */
    const double *ticks; /* [tick_count] on x, named by tick_names */
    const char *const *tick_names;
    size_t tick_count; /* 0: five numbers */
    int width, height; /* of the plot itself */
} show_axes;

/* A figure with its legend. */
void show_plot_lines(show_page *page, const show_line *lines, size_t count,
                     const show_axes *axes);
/* The head of an SVG file of figures, so high in all. */
void show_plot_svg_begin(show_page *page, int high);
/* The same figure in such a file, `top` below its upper edge; returns how high it is. */
int show_plot_svg_lines(show_page *page, const show_line *lines, size_t count,
                        const show_axes *axes, int top);

/* A row of dots for each name: every value, their mean with a bar of one standard deviation
 * either way. */
typedef struct show_dots {
    const char *name;
    const double *values; /* [count], NaN: left out */
    size_t count;
    double mean, std; /* std NaN: no bar; mean NaN: an empty row */
    bool mark;        /* in the second colour, its mean as a line through all rows */
} show_dots;
/* percent: values are shares, told in per cent. title stands above. */
void show_plot_dots(show_page *page, const show_dots *rows, size_t count, const char *title,
                    bool percent);

/* One bar of parts, from left to right, each with its share of the whole in 0..1. */
typedef struct show_part {
    const char *name;
    double share;
    int colour; /* -1: grey, -2: green */
} show_part;
void show_plot_parts(show_page *page, const show_part *parts, size_t count);

/* Points in the plane, at [count, 2], in the colours of their groups (-1: grey); the most
 * frequent groups up to SHOW_SCATTER_COLOURS have one, the others are grey, too, and it
 * says so. Groups without names (NULL) are numbers; Fails for want of memory only.
 * scatter.c */
enum { SHOW_SCATTER_COLOURS = 16 };
typedef struct show_scatter {
    const float *at;
    const int32_t *group; /* [count] -1..groups - 1 */
    size_t count, groups;
    const char *const *names; /* [groups] */
    const char *title;
} show_scatter;
base_status show_plot_scatter(show_page *page, const show_scatter *scatter,
                              base_error *err);

/* A step of 1, 2, 2.5 or 5 times a power of ten, so that about five of them make the
 * span. */
double show_nice_step(double span);

/* Columns side by side: values [series, count] >= 0, a colour each; NaN: none. */
typedef struct show_upright {
    const double *values;
    const char *const *names;  /* [count] below the columns, where there is room */
    const char *const *titles; /* [series], a legend where there are several */
    size_t count, series;
    double high; /* of the axis; 0: the largest, an even load at two thirds of it at most */
    bool mean;   /* a dashed line at the mean; a column below 1 % of it is marked */
    bool percent;                /* values are shares, told in per cent */
    const char *title, *x_title; /* x_title may be NULL */
} show_upright;
void show_plot_upright(show_page *page, const show_upright *upright);

/* values [rows, columns], NaN: blank. Fails for want of memory only. heat.c */
typedef struct show_heat_map {
    const double *values;
    size_t rows, columns;
    const char *const *row_names;    /* [rows] */
    const char *const *column_names; /* [columns]; NULL: numbers */
    const char *row_title, *column_title, *title;
    double high;  /* the darkest; 0: 1 for shares, the largest for counts */
    bool by_row;  /* colours by the root of the share of the row's sum */
    bool percent; /* values are shares, told in per cent */
} show_heat_map;
base_status show_heat_draw(show_page *page, const show_heat_map *heat, base_error *err);

#endif
