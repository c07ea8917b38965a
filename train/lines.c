/* lines.c - what metrics.jsonl of finished runs tells as numbers: the last of a column, its
 * sum over the steps, means over runs. A line that is not whole or not JSON (a run that was
 * killed) ends the reading of its file. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "train/train_internal.h"

enum { METRICS_MAX_BYTES = 1 << 30 };

static double number_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* Mean of a key over the MoE layers of a line; 0 for a dense network, NaN where a layer has
 * none (a router that assigns nothing has no loads). */
static double layer_mean(const json_t *json, const char *key)
{
    const json_t *moe = json_object_get(json, "moe");
    double sum = 0;
    json_t *layer;
    size_t i;

    json_array_foreach(moe, i, layer) sum += number_of(layer, key);
    return json_array_size(moe) > 0 ? sum / (double)json_array_size(moe) : 0;
}

static train_line line_of(const json_t *json)
{
    return (train_line){{[TRAIN_LINE_STEP] = number_of(json, "step"),
                         [TRAIN_LINE_LOSS] = number_of(json, "loss"),
                         [TRAIN_LINE_ACCURACY] = number_of(json, "accuracy"),
                         [TRAIN_LINE_CV] = layer_mean(json, "load_cv"),
                         [TRAIN_LINE_DEAD] = layer_mean(json, "dead"),
                         [TRAIN_LINE_DROPPED] = layer_mean(json, "dropped"),
                         [TRAIN_LINE_SINKHORN] = number_of(json, "sinkhorn_share")}};
}

train_lines train_lines_read(const char *path, const char *kind)
{
    train_lines lines = {0};
    char *text = NULL;
    size_t bytes = 0, room = 0;

    if (access(path, F_OK) == 0)
        base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, NULL);
    for (size_t i = 0; i < bytes; i++)
        room += text[i] == '\n';
    lines.line = base_alloc(room, sizeof *lines.line);
    for (const char *at = text; lines.line && at && *at && lines.count < room;) {
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

void train_lines_destroy(train_lines *lines)
{
    base_free(lines->line);
    *lines = (train_lines){0};
}

/* A line logged at a step that is not the curve's is passed over. */
static void lines_add(train_lines *curve, double *weight, const train_lines *lines)
{
    for (size_t i = 0, at = 0; i < lines->count; i++) {
        const double *from = lines->line[i].at;

        while (at < curve->count &&
               curve->line[at].at[TRAIN_LINE_STEP] < from[TRAIN_LINE_STEP])
            at++;
        if (at == curve->count ||
            curve->line[at].at[TRAIN_LINE_STEP] != from[TRAIN_LINE_STEP])
            continue;
        for (size_t c = TRAIN_LINE_STEP + 1; c < TRAIN_LINE_COLUMNS; c++)
            curve->line[at].at[c] += from[c];
        weight[at]++;
    }
}

train_lines train_lines_mean(const train_lines *runs, size_t count)
{
    train_lines curve = {0};
    double *weight = NULL;

    for (size_t s = 0; s < count; s++) {
        if (!weight && runs[s].count > 0) {
            weight = base_alloc(runs[s].count, sizeof *weight);
            curve.line = base_alloc(runs[s].count, sizeof *curve.line);
            if (!weight || !curve.line)
                break;
            curve.count = runs[s].count;
            for (size_t i = 0; i < curve.count; i++)
                curve.line[i].at[TRAIN_LINE_STEP] = runs[s].line[i].at[TRAIN_LINE_STEP];
        }
        lines_add(&curve, weight, &runs[s]);
    }
    for (size_t i = 0; i < curve.count; i++)
        for (size_t c = TRAIN_LINE_STEP + 1; c < TRAIN_LINE_COLUMNS; c++)
            curve.line[i].at[c] /= weight[i];
    base_free(weight);
    return curve;
}

double train_lines_last(const train_lines *lines, size_t column)
{
    return lines->count > 0 ? lines->line[lines->count - 1].at[column] : (double)NAN;
}

double train_lines_sum(const train_lines *lines, size_t column)
{
    double sum = 0, before = 0;

    for (size_t i = 0; i < lines->count; i++) {
        const double *at = lines->line[i].at;

        sum += (at[TRAIN_LINE_STEP] - before) * at[column];
        before = at[TRAIN_LINE_STEP];
    }
    return lines->count > 0 ? sum : (double)NAN;
}

double train_lines_at(const train_lines *lines, size_t column, double step)
{
    const train_line *line = lines->line;
    const size_t count = lines->count;
    size_t i = 0;

    while (i < count && line[i].at[TRAIN_LINE_STEP] < step)
        i++;
    if (count > 0 && i == count)
        return step > line[count - 1].at[TRAIN_LINE_STEP] + 0.5
                   ? (double)NAN
                   : line[count - 1].at[column];
    if (i > 0 && i < count) {
        const double *from = line[i - 1].at, *to = line[i].at;

        return from[column] + (to[column] - from[column]) * (step - from[TRAIN_LINE_STEP]) /
                                  (to[TRAIN_LINE_STEP] - from[TRAIN_LINE_STEP]);
    }
    return count > 0 && line[0].at[TRAIN_LINE_STEP] == step ? line[0].at[column]
                                                            : (double)NAN;
}
