/* curves.c - curves.svg: loss, accuracy and balance of the experts over the steps of a run,
 * drawn from metrics.jsonl after every evaluation. One file, no scripts, no fonts of its
 * own. Free to change: all of it; nothing reads it but people. */
#include <math.h>
#include <string.h>

#include "apps/train/internal.h"

enum {
    WIDTH = 900,
    LEFT = 64,
    RIGHT = 150, /* room for the legend */
    PANEL = 240, /* height of a panel with its title and axis */
    TOP = 34,
    BOTTOM = 34,
    POINTS_MAX = 600, /* drawn of a curve; more are averaged */
    MOE_MAX = 12,     /* layers with a curve of their own */
    METRICS_MAX_BYTES = 1 << 30
};

/* Okabe and Ito 2008: colours that people with colour-blindness can tell apart. */
static const char *const palette[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#332288", "#882255",
                                      "#117733", "#999933", "#AA4499", "#44AA99"};

typedef struct curve {
    char name[32];
    double *x, *y;
    size_t count, room;
} curve;

typedef struct curves {
    curve loss, eval_loss, accuracy, eval_accuracy, balance[MOE_MAX];
    size_t moe_count;
} curves;

/* ---- reading ------------------------------------------------------------------------- */

static bool curve_add(curve *c, double x, double y)
{
    if (!isfinite(x) || !isfinite(y))
        return true;
    if (c->count == c->room) {
        const size_t room = c->room ? 2 * c->room : 256;
        double *more_x = base_alloc(room, sizeof *more_x),
               *more_y = base_alloc(room, sizeof *more_y);
        if (!more_x || !more_y) {
            base_free(more_x);
            base_free(more_y);
            return false;
        }
        if (c->count > 0) {
            memcpy(more_x, c->x, c->count * sizeof *more_x);
            memcpy(more_y, c->y, c->count * sizeof *more_y);
        }
        base_free(c->x);
        base_free(c->y);
        c->x = more_x;
        c->y = more_y;
        c->room = room;
    }
    c->x[c->count] = x;
    c->y[c->count++] = y;
    return true;
}

static double number(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static bool add_line(curves *all, const json_t *json)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const double step = number(json, "step");
    const json_t *moe = json_object_get(json, "moe");
    const bool eval = kind && strcmp(kind, "eval") == 0;

    if (!curve_add(eval ? &all->eval_loss : &all->loss, step, number(json, "loss")) ||
        !curve_add(eval ? &all->eval_accuracy : &all->accuracy, step,
                   100 * number(json, "accuracy")))
        return false;
    for (size_t i = 0; !eval && i < json_array_size(moe) && i < MOE_MAX; i++) {
        const json_t *layer = json_array_get(moe, i);
        curve *c = &all->balance[i];
        snprintf(c->name, sizeof c->name, "block %d", (int)number(layer, "layer"));
        if (!curve_add(c, step, number(layer, "load_cv")))
            return false;
        if (all->moe_count < i + 1)
            all->moe_count = i + 1;
    }
    return true;
}

static base_status read_curves(curves *all, const char *path, base_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    bool good = true;

    const base_status status = base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, err);
    if (status != BASE_OK)
        return status;
    for (size_t at = 0; at < bytes && good;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t stop = end ? (size_t)(end - text) : bytes;
        json_t *json = json_loadb(text + at, stop - at, 0, NULL);
        if (json)
            good = add_line(all, json);
        json_decref(json);
        at = stop + 1;
    }
    base_free(text);
    return good ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory to draw '%s'", path);
}

static void curves_destroy(curves *all)
{
    curve *fixed[] = {&all->loss, &all->eval_loss, &all->accuracy, &all->eval_accuracy};

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0] + MOE_MAX; i++) {
        curve *c = i < 4 ? fixed[i] : &all->balance[i - 4];
        base_free(c->x);
        base_free(c->y);
    }
}

/* ---- drawing ------------------------------------------------------------------------- */

typedef struct panel {
    FILE *out;
    const char *title;
    double top;    /* of the plotting area, pixels */
    double x_high; /* steps; from 0 */
    double y_low, y_high;
    double y_step;
    int legend; /* entries so far */
} panel;

static double place_x(const panel *p, double x)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * x / p->x_high;
}

static double place_y(const panel *p, double y)
{
    const double share = (y - p->y_low) / (p->y_high - p->y_low);

    return p->top + (PANEL - TOP - BOTTOM) * (1 - (share < 0 ? 0 : share > 1 ? 1 : share));
}

/* 1, 2 or 5 times a power of ten, so that about `count` of them make range. */
static double nice_step(double range, int count)
{
    const double raw = range / count;
    const double ten = pow(10, floor(log10(raw)));
    const double lead = raw / ten;

    return ten * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

/* Low and high end of the axis around the curves. The first fiftieth of a long curve does
 * not count: the loss of the first steps would flatten all that follows. */
static void set_range(panel *p, const curve *const *list, size_t count, bool from_zero)
{
    double low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < list[i]->count; j++) {
            if (list[i]->count > 100 && j < list[i]->count / 50)
                continue;
            low = fmin(low, list[i]->y[j]);
            high = fmax(high, list[i]->y[j]);
        }
    }
    if (!(low <= high)) {
        low = 0;
        high = 1;
    }
    if (from_zero)
        low = fmin(low, 0);
    if (high - low < 1e-9)
        high = low + 1;
    p->y_step = nice_step(high - low, 5);
    p->y_low = floor(low / p->y_step + 1e-9) * p->y_step;
    p->y_high = ceil(high / p->y_step - 1e-9) * p->y_step;
}

static void draw_frame(const panel *p)
{
    const double right = WIDTH - RIGHT, bottom = p->top + PANEL - TOP - BOTTOM;
    const double x_step = nice_step(p->x_high, 8);

    fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" class=\"title\">%s</text>\n", LEFT,
            p->top - 12, p->title);
    const int rows = (int)lround((p->y_high - p->y_low) / p->y_step);
    const int columns = (int)(p->x_high * 1.0001 / x_step);
    for (int i = 0; i <= rows; i++) {
        const double y = p->y_low + i * p->y_step;
        fprintf(p->out,
                "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>"
                "<text x=\"%d\" y=\"%.1f\" class=\"left\">%.4g</text>\n",
                LEFT, right, place_y(p, y), place_y(p, y), LEFT - 8, place_y(p, y) + 4,
                fabs(y) < p->y_step / 1e6 ? 0.0 : y);
    }
    for (int i = 0; i <= columns; i++) {
        const double x = i * x_step;
        fprintf(p->out,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"axis\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" class=\"below\">%.6g</text>\n",
                place_x(p, x), place_x(p, x), bottom, bottom + 5, place_x(p, x),
                bottom + 19, x);
    }
    fprintf(p->out,
            "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" class=\"axis\"/>\n", LEFT,
            right, bottom, bottom);
}

/* The curve and its entry in the legend with the last value. */
static void draw_curve(panel *p, const curve *c, const char *name, const char *colour,
                       bool strong)
{
    if (c->count == 0)
        return;
    const size_t group = (c->count + POINTS_MAX - 1) / POINTS_MAX;
    fprintf(p->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" points=\"",
            colour, strong ? "2.4" : "1.3");
    for (size_t i = 0; i < c->count; i += group) {
        double x = 0, y = 0;
        size_t n = 0;
        for (; n < group && i + n < c->count; n++) {
            x += c->x[i + n];
            y += c->y[i + n];
        }
        fprintf(p->out, "%.1f,%.1f ", place_x(p, x / (double)n), place_y(p, y / (double)n));
    }
    fprintf(p->out, "\"/>\n");
    for (size_t i = 0; strong && c->count <= 60 && i < c->count; i++)
        fprintf(p->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.8\" fill=\"%s\"/>",
                place_x(p, c->x[i]), place_y(p, c->y[i]), colour);
    const double y = p->top + 8 + 15 * p->legend++;
    fprintf(
        p->out,
        "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%s\"/>"
        "<text x=\"%d\" y=\"%.1f\" class=\"legend\">%s %.4g</text>\n",
        WIDTH - RIGHT + 12, WIDTH - RIGHT + 30, y, y, colour, strong ? "2.4" : "1.3",
        WIDTH - RIGHT + 36, y + 4, name, c->y[c->count - 1]);
}

static double last_step(const curves *all)
{
    const curve *const list[] = {&all->loss, &all->eval_loss};
    double high = 1;

    for (size_t i = 0; i < 2; i++)
        if (list[i]->count > 0)
            high = fmax(high, list[i]->x[list[i]->count - 1]);
    return high;
}

static void draw_page(FILE *out, const curves *all)
{
    const int panels = all->moe_count > 0 ? 3 : 2;
    panel p = {.out = out, .x_high = last_step(all)};
    const curve *losses[] = {&all->loss, &all->eval_loss};
    const curve *accuracies[] = {&all->accuracy, &all->eval_accuracy};
    const curve *balances[MOE_MAX];

    fprintf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
        "height=\"%d\">\n<style>text{font:12px sans-serif;fill:#333}.title{font-size:15px;"
        "font-weight:600}.left{text-anchor:end}.below{text-anchor:middle}.grid{stroke:#e4e4e4}"
        ".axis{stroke:#888}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        WIDTH, panels * PANEL + 24, WIDTH, panels * PANEL + 24);
    p.title = "Loss";
    p.top = TOP;
    set_range(&p, losses, 2, false);
    draw_frame(&p);
    draw_curve(&p, &all->loss, "training", "#7fb2d6", false);
    draw_curve(&p, &all->eval_loss, "validation", palette[1], true);
    p.title = "Top-1 accuracy, %";
    p.top += PANEL;
    p.legend = 0;
    set_range(&p, accuracies, 2, false);
    draw_frame(&p);
    draw_curve(&p, &all->accuracy, "training", "#7fb2d6", false);
    draw_curve(&p, &all->eval_accuracy, "validation", palette[1], true);
    if (all->moe_count > 0) {
        for (size_t i = 0; i < all->moe_count; i++)
            balances[i] = &all->balance[i];
        p.title = "Expert load: standard deviation / mean (0: balanced)";
        p.top += PANEL;
        p.legend = 0;
        set_range(&p, balances, all->moe_count, true);
        draw_frame(&p);
        for (size_t i = 0; i < all->moe_count; i++)
            draw_curve(&p, &all->balance[i], all->balance[i].name, palette[i], false);
    }
    fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"below\">steps</text>\n</svg>\n",
            LEFT + (WIDTH - LEFT - RIGHT) / 2, panels * PANEL + 16);
}

base_status app_curves_write(const char *svg_path, const char *metrics_path,
                             base_error *err)
{
    base_writer out = {0};
    curves *all = base_alloc(1, sizeof *all);

    if (!all)
        return base_fail(err, BASE_NO_MEMORY, "no memory to draw '%s'", svg_path);
    base_status status = read_curves(all, metrics_path, err);
    if (status == BASE_OK)
        status = base_writer_open(&out, svg_path, err);
    if (status == BASE_OK) {
        draw_page(out.file, all);
        status = base_writer_commit(&out, err);
    }
    curves_destroy(all);
    base_free(all);
    return status;
}
