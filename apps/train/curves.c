/* curves.c - curves.svg: loss, accuracy and balance of the experts over the steps of a run,
 * from metrics.jsonl after every evaluation. Free to change: all of it; nothing reads it
 * but people. */
#include <math.h>
#include <string.h>

#include "apps/train/internal.h"

enum {
    POINTS_MAX = 600, /* of a line; more are averaged */
    METRICS_MAX_BYTES = 1 << 30
};

static const show_column losses[] = {
    {"training", "train.loss", SHOW_NUMBER}, {"validation", "eval.loss", SHOW_NUMBER}, {0}};
static const show_column accuracies[] = {{"training", "train.accuracy", SHOW_PERCENT},
                                         {"validation", "eval.accuracy", SHOW_PERCENT},
                                         {0}};
static const show_column balance[] = {{"", "load_cv", SHOW_NUMBER}, {0}};
static const show_block blocks[] = {
    {SHOW_LINES, .where = SHOW_SVG, .path = "points[]", .x = "step", .x_title = "steps",
     .columns = losses, .y_title = "loss", .caption = "Loss"},
    {SHOW_LINES, .where = SHOW_SVG, .path = "points[]", .x = "step", .x_title = "steps",
     .columns = accuracies, .y_title = "top-1", .caption = "Top-1 accuracy"},
    {SHOW_LINES, .where = SHOW_SVG, .path = "points[].train.moe[]", .x = "^step",
     .x_title = "steps", .by = "block", .columns = balance, .style = SHOW_ZERO,
     .caption = "Expert load: standard deviation / mean (0: balanced)"},
    {0}};
static const show_view curves_view = {.title = "training", .blocks = blocks};

/* Means of a few lines of one kind ("train", "eval"), as they come. */
typedef struct gather {
    const char *kind;
    size_t group, count;
    double step, loss, accuracy; /* sums */
    size_t losses, accuracies;   /* of what is a number */
    double cv[VIT_DEPTH_MAX];
    size_t cvs[VIT_DEPTH_MAX];
    double layer[VIT_DEPTH_MAX]; /* their blocks */
    size_t layers;
} gather;

static void add(double *sum, size_t *count, const json_t *json, const char *key)
{
    const double value = show_json_number(json, key);

    if (isfinite(value)) {
        *sum += value;
        ++*count;
    }
}

static void gather_end(gather *g, json_t *points)
{
    const gather empty = {.kind = g->kind, .group = g->group};
    json_t *moe = json_array(), *of = json_object();

    for (size_t i = 0; i < g->layers; i++)
        show_row(moe, "{s:o, s:o}", "block", json_sprintf("block %.0f", g->layer[i]),
                 "load_cv", show_json_real(g->cv[i] / (double)g->cvs[i]));
    show_put_real(of, "loss", g->loss / (double)g->losses);
    show_put_real(of, "accuracy", g->accuracy / (double)g->accuracies);
    show_put(of, "moe", moe);
    if (g->count > 0)
        show_row(points, "{s:f, s:O}", "step", g->step / (double)g->count, g->kind, of);
    json_decref(of);
    *g = empty;
}

static void gather_line(gather *g, const json_t *line, json_t *points)
{
    const json_t *moe = json_object_get(line, "moe");

    g->step += show_json_number(line, "step");
    add(&g->loss, &g->losses, line, "loss");
    add(&g->accuracy, &g->accuracies, line, "accuracy");
    for (size_t i = 0; i < json_array_size(moe) && i < VIT_DEPTH_MAX; i++) {
        const json_t *layer = json_array_get(moe, i);

        add(&g->cv[i], &g->cvs[i], layer, "load_cv");
        g->layer[i] = show_json_number(layer, "layer");
        g->layers = i + 1;
    }
    if (++g->count == g->group)
        gather_end(g, points);
}

/* Lines of metrics of this kind that are averaged to a point. */
static size_t group_of(const char *text, size_t bytes, const char *kind)
{
    const char *at = text, *end = text + bytes;
    char words[32];
    size_t lines = 0;

    snprintf(words, sizeof words, "\"kind\":\"%s\"", kind);
    while ((at = memmem(at, (size_t)(end - at), words, strlen(words))) != NULL) {
        at += strlen(words);
        lines++;
    }
    return lines ? (lines + POINTS_MAX - 1) / POINTS_MAX : 1;
}

/* {"points": [{step, train or eval: {loss, accuracy, moe: [{block, load_cv}]}}]} */
static json_t *points_of(const char *text, size_t bytes)
{
    json_t *points = json_array();
    gather of[] = {{.kind = "train", .group = group_of(text, bytes, "train")},
                   {.kind = "eval", .group = group_of(text, bytes, "eval")}};

    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t stop = end ? (size_t)(end - text) : bytes;
        json_t *line = json_loadb(text + at, stop - at, 0, NULL);
        const char *kind = show_json_string(line, "kind");

        for (size_t i = 0; i < 2 && kind; i++)
            if (strcmp(kind, of[i].kind) == 0 && isfinite(show_json_number(line, "step")))
                gather_line(&of[i], line, points);
        json_decref(line);
        at = stop + 1;
    }
    gather_end(&of[0], points);
    gather_end(&of[1], points);
    return json_pack("{s:o}", "points", points);
}

base_status app_curves_write(const char *svg_path, const char *metrics_path,
                             base_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    base_status status =
        base_file_read(&text, &bytes, metrics_path, METRICS_MAX_BYTES, err);

    if (status != BASE_OK)
        return status;
    show_document *document = show_document_create(points_of(text, bytes));
    base_free(text);
    if (!document)
        return base_fail(err, BASE_NO_MEMORY, "no memory to draw '%s'", svg_path);
    status = show_svg_write(document, &curves_view, svg_path, err);
    show_document_destroy(document);
    return status;
}
