/* curves.c - curves.svg: loss, accuracy and balance of the experts over the steps of a run,
 * from metrics.jsonl after every evaluation. Free to change: all of it; nothing reads it
 * but people. */
#include "apps/train/internal.h"

enum { POINTS_MAX = 600 }; /* of a line; more are averaged */

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

/* {step, KIND: {loss, accuracy, moe: [{block, load_cv}]}} of each line. */
static base_status points_add(json_t *points, const char *metrics_path, const char *kind,
                              base_error *err)
{
    train_lines lines = {0};
    const base_status status = train_lines_read(&lines, metrics_path, kind, err);

    train_lines_thin(&lines, POINTS_MAX);
    for (size_t i = 0; i < lines.count; i++) {
        const double *at = lines.line[i].at;
        json_t *moe = json_array();

        for (size_t l = 0; lines.cv && l < lines.layers; l++)
            show_row(moe, "{s:o, s:o}", "block", json_sprintf("block %d", lines.block[l]),
                     "load_cv", show_json_real(lines.cv[i * lines.layers + l]));
        show_row(points, "{s:o, s:{s:o, s:o, s:o}}", "step",
                 show_json_real(at[TRAIN_LINE_STEP]), kind, "loss",
                 show_json_real(at[TRAIN_LINE_LOSS]), "accuracy",
                 show_json_real(at[TRAIN_LINE_ACCURACY]), "moe", moe);
    }
    train_lines_destroy(&lines);
    return status;
}

base_status app_curves_write(const char *svg_path, const char *metrics_path,
                             base_error *err)
{
    json_t *points = json_array();
    show_document *document = NULL;

    base_status status = points_add(points, metrics_path, "train", err);
    if (status == BASE_OK)
        status = points_add(points, metrics_path, "eval", err);
    if (status == BASE_OK)
        status = app_document_make(&document, json_pack("{s:O}", "points", points), err);
    json_decref(points);
    if (status == BASE_OK)
        status = show_svg_write(document, &curves_view, svg_path, err);
    show_document_destroy(document);
    return status;
}
