/* lines.c - what metrics.jsonl of runs tells as numbers: the last of a column, its sum over
 * the steps, means over runs. A line that is not whole, or of the kind that is read and not
 * JSON (a run that was killed), ends the reading of its file. */
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
                         [TRAIN_LINE_SINKHORN] = number_of(json, "sinkhorn_share"),
                         [TRAIN_LINE_EPOCH] = number_of(json, "epoch"),
                         [TRAIN_LINE_IMAGES] = number_of(json, "images"),
                         [TRAIN_LINE_BEST] = json_is_true(json_object_get(json, "best"))}};
}

/* Its layers behind the lines so far; the first line that has any decides which. */
static void layers_take(train_lines *lines, size_t room, const json_t *moe)
{
    if (!lines->cv && json_array_size(moe) > 0) {
        lines->layers =
            json_array_size(moe) < VIT_DEPTH_MAX ? json_array_size(moe) : VIT_DEPTH_MAX;
        lines->cv = base_alloc(room * lines->layers, sizeof *lines->cv);
        for (size_t l = 0; l < lines->layers; l++)
            lines->block[l] =
                (int)json_integer_value(json_object_get(json_array_get(moe, l), "layer"));
        for (size_t i = 0; lines->cv && i < lines->count * lines->layers; i++)
            lines->cv[i] = (double)NAN;
    }
    for (size_t l = 0; lines->cv && l < lines->layers; l++)
        lines->cv[lines->count * lines->layers + l] =
            number_of(json_array_get(moe, l), "load_cv");
}

base_status train_lines_read(train_lines *out, const char *path, const char *kind,
                             base_error *err)
{
    train_lines lines = {0};
    base_status status = BASE_OK;
    char *text = NULL;
    size_t bytes = 0, room = 0;
    char quoted[32];

    snprintf(quoted, sizeof quoted, "\"%s\"", kind);
    if (access(path, F_OK) == 0)
        status = base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, err);
    for (size_t i = 0; i < bytes; i++)
        room += text[i] == '\n';
    if (room > 0)
        lines.line = base_alloc(room, sizeof *lines.line);
    for (const char *at = text; lines.line && at && *at && lines.count < room;) {
        const char *end = strchr(at, '\n');
        if (end && !memmem(at, (size_t)(end - at), quoted, strlen(quoted))) {
            at = end + 1; /* of another kind: not parsed */
            continue;
        }
        json_t *json = end ? json_loadb(at, (size_t)(end - at), 0, NULL) : NULL;
        if (!json)
            break;
        const char *which = json_string_value(json_object_get(json, "kind"));
        if (which && strcmp(which, kind) == 0) {
            layers_take(&lines, room, json_object_get(json, "moe"));
            lines.line[lines.count++] = line_of(json);
        }
        json_decref(json);
        at = end + 1;
    }
    base_free(text);
    *out = lines;
    if (room > 0 && (!lines.line || (lines.layers > 0 && !lines.cv)))
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the lines of '%s'", path);
    return status;
}

void train_lines_destroy(train_lines *lines)
{
    base_free(lines->line);
    base_free(lines->cv);
    *lines = (train_lines){0};
}

/* values [count, width] to means of `group` rows each, in place. */
static void rows_thin(double *values, size_t count, size_t width, size_t group)
{
    for (size_t from = 0; from < count; from += group) {
        const size_t end = from + group < count ? from + group : count;

        for (size_t c = 0; c < width; c++) {
            double sum = 0;
            size_t finite = 0;
            for (size_t i = from; i < end; i++) {
                const double value = values[i * width + c];
                sum += isfinite(value) ? value : 0;
                finite += isfinite(value) != 0;
            }
            values[from / group * width + c] = sum / (double)finite;
        }
    }
}

void train_lines_thin(train_lines *lines, size_t most)
{
    const size_t group = (lines->count + most - 1) / most;

    if (group < 2)
        return;
    rows_thin(lines->line->at, lines->count, TRAIN_LINE_COLUMNS, group);
    if (lines->cv)
        rows_thin(lines->cv, lines->count, lines->layers, group);
    lines->count = (lines->count + group - 1) / group;
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
