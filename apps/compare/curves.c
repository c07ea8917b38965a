/* curves.c - what the trainings' metrics.jsonl say: figures for the table, curves for the
 * page. A line that is not whole or not JSON (a run that was killed) ends the reading of
 * its file. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "apps/compare/table_internal.h"

enum { METRICS_MAX_BYTES = 1 << 30, LINES_MAX = 1 << 16 };

/* Mean of a key over the MoE layers of a line; 0 for a dense network, NaN where a layer has
 * none (a router that assigns nothing has no loads). */
static double layer_mean(const json_t *json, const char *key)
{
    const json_t *moe = json_object_get(json, "moe");
    double sum = 0;
    json_t *layer;
    size_t i;

    json_array_foreach(moe, i, layer) sum += show_json_number(layer, key);
    return json_array_size(moe) > 0 ? sum / (double)json_array_size(moe) : 0;
}

static app_line line_of(const json_t *json)
{
    return (app_line){{[APP_LINE_STEP] = show_json_number(json, "step"),
                       [APP_LINE_LOSS] = show_json_number(json, "loss"),
                       [APP_LINE_ACCURACY] = show_json_number(json, "accuracy"),
                       [APP_LINE_CV] = layer_mean(json, "load_cv"),
                       [APP_LINE_DEAD] = layer_mean(json, "dead"),
                       [APP_LINE_DROPPED] = layer_mean(json, "dropped"),
                       [APP_LINE_SINKHORN] = show_json_number(json, "sinkhorn_share")}};
}

app_lines app_lines_read(app_pool *pool, const app_compare_run *run, const char *kind)
{
    const char *path = app_text("%s/metrics.jsonl", run->folder);
    app_lines lines = {0};
    char *text = NULL;
    size_t bytes = 0, room = 0;

    if (access(path, F_OK) == 0)
        base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, NULL);
    for (size_t i = 0; i < bytes; i++)
        room += text[i] == '\n';
    room = room < LINES_MAX ? room : LINES_MAX;
    lines.line = app_take(pool, room, sizeof *lines.line);
    for (const char *at = text; at && *at && lines.count < room;) {
        const char *end = strchr(at, '\n');
        json_t *json = end ? json_loadb(at, (size_t)(end - at), 0, NULL) : NULL;
        if (!json)
            break;
        const char *which = json_string_value(json_object_get(json, "kind"));
        if (which && strcmp(which, kind) == 0)
            lines.line[lines.count++] = line_of(json);
        json_decref(json);
        at = end + 1;
    }
    base_free(text);
    return lines;
}

/* A line logged at a step that is not the curve's is passed over. */
static void lines_add(app_lines *curve, double *weight, const app_lines *lines)
{
    for (size_t i = 0, at = 0; i < lines->count; i++) {
        const double *from = lines->line[i].at;

        while (at < curve->count && curve->line[at].at[APP_LINE_STEP] < from[APP_LINE_STEP])
            at++;
        if (at == curve->count || curve->line[at].at[APP_LINE_STEP] != from[APP_LINE_STEP])
            continue;
        for (size_t c = APP_LINE_STEP + 1; c < APP_LINE_COLUMNS; c++)
            curve->line[at].at[c] += from[c];
        weight[at]++;
    }
}

app_lines app_lines_mean(app_pool *pool, const app_lines *runs, size_t count)
{
    app_lines curve = {0};
    double *weight = NULL;

    for (size_t s = 0; s < count; s++) {
        if (!weight && runs[s].count > 0) {
            curve.count = runs[s].count;
            curve.line = app_take(pool, curve.count, sizeof *curve.line);
            weight = app_take(pool, curve.count, sizeof *weight);
            for (size_t i = 0; i < curve.count; i++)
                curve.line[i].at[APP_LINE_STEP] = runs[s].line[i].at[APP_LINE_STEP];
        }
        if (weight)
            lines_add(&curve, weight, &runs[s]);
    }
    for (size_t i = 0; i < curve.count; i++)
        for (size_t c = APP_LINE_STEP + 1; c < APP_LINE_COLUMNS; c++)
            curve.line[i].at[c] /= weight[i];
    return curve;
}

double app_lines_last(const app_lines *lines, size_t column)
{
    return lines->count > 0 ? lines->line[lines->count - 1].at[column] : (double)NAN;
}

double app_lines_sum(const app_lines *lines, size_t column)
{
    double sum = 0, before = 0;

    for (size_t i = 0; i < lines->count; i++) {
        const double *at = lines->line[i].at;

        sum += (at[APP_LINE_STEP] - before) * at[column];
        before = at[APP_LINE_STEP];
    }
    return lines->count > 0 ? sum : (double)NAN;
}

double app_lines_at(const app_lines *lines, size_t column, double step)
{
    const app_line *line = lines->line;
    const size_t count = lines->count;
    size_t i = 0;

    while (i < count && line[i].at[APP_LINE_STEP] < step)
        i++;
    if (count > 0 && i == count)
        return step > line[count - 1].at[APP_LINE_STEP] + 0.5 ? (double)NAN
                                                              : line[count - 1].at[column];
    if (i > 0 && i < count) {
        const double *from = line[i - 1].at, *to = line[i].at;

        return from[column] + (to[column] - from[column]) * (step - from[APP_LINE_STEP]) /
                                  (to[APP_LINE_STEP] - from[APP_LINE_STEP]);
    }
    return count > 0 && line[0].at[APP_LINE_STEP] == step ? line[0].at[column]
                                                          : (double)NAN;
}
