/* curves.c - what the trainings' metrics.jsonl say: means for the table, curves for the
 * page. A line that is not whole or not JSON (a run that was killed) ends the reading of
 * its file. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "apps/compare/table_internal.h"

enum { METRICS_MAX_BYTES = 1 << 30, LINES_MAX = 1 << 16 };

typedef struct line {
    double step, loss, accuracy, cv, dead, dropped, sinkhorn;
} line;

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

/* The lines of one kind, base_free; NULL: none. */
static line *lines_read(size_t *count, const app_compare_run *run, const char *kind)
{
    char *path = base_text("%s/metrics.jsonl", run->folder), *text = NULL;
    line *lines = NULL;
    size_t bytes = 0, room = 0;

    *count = 0;
    if (path && access(path, F_OK) == 0)
        base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, NULL);
    for (size_t i = 0; i < bytes; i++)
        room += text[i] == '\n';
    room = room < LINES_MAX ? room : LINES_MAX;
    if (text)
        lines = base_alloc(room, sizeof *lines);
    for (const char *at = text; lines && at && *at && *count < room;) {
        const char *end = strchr(at, '\n');
        json_t *json = end ? json_loadb(at, (size_t)(end - at), 0, NULL) : NULL;
        if (!json)
            break;
        const char *which = json_string_value(json_object_get(json, "kind"));
        if (which && strcmp(which, kind) == 0)
            lines[(*count)++] =
                (line){.step = show_json_number(json, "step"),
                       .loss = show_json_number(json, "loss"),
                       .accuracy = show_json_number(json, "accuracy"),
                       .cv = layer_mean(json, "load_cv"),
                       .dead = layer_mean(json, "dead"),
                       .dropped = layer_mean(json, "dropped"),
                       .sinkhorn = show_json_number(json, "sinkhorn_share")};
        json_decref(json);
        at = end + 1;
    }
    base_free(text);
    base_free(path);
    return lines;
}

app_training_means app_training_means_of(const app_compare_run *run)
{
    app_training_means m = {(double)NAN, (double)NAN, (double)NAN,
                            (double)NAN, (double)NAN, (double)NAN};
    double steps = 0, before = 0;
    size_t count = 0;
    line *lines = lines_read(&count, run, "train");

    if (count > 0)
        m = (app_training_means){.loss = lines[count - 1].loss};
    for (size_t i = 0; i < count;
         i++) { /* a line tells of the steps since the one before */
        const double n = lines[i].step - before;
        m.cv += n * lines[i].cv;
        m.dead += n * lines[i].dead;
        m.dropped += n * lines[i].dropped;
        m.sinkhorn += n * lines[i].sinkhorn;
        steps += n;
        before = lines[i].step;
    }
    if (count > 0) {
        m.cv /= steps;
        m.dead /= steps;
        m.dropped /= steps;
        m.sinkhorn_steps = m.sinkhorn;
        m.sinkhorn /= steps;
    }
    base_free(lines);
    return m;
}

double app_training_loss_at(const app_compare_run *run, double step)
{
    size_t count = 0, i = 0;
    line *lines = lines_read(&count, run, "train");
    double loss = (double)NAN;

    while (i < count && lines[i].step < step)
        i++;
    if (count > 0 && i == count)
        loss = step > lines[count - 1].step + 0.5 ? (double)NAN : lines[count - 1].loss;
    else if (i > 0 && i < count)
        loss = lines[i - 1].loss + (lines[i].loss - lines[i - 1].loss) *
                                       (step - lines[i - 1].step) /
                                       (lines[i].step - lines[i - 1].step);
    else if (count > 0 && lines[0].step == step)
        loss = lines[0].loss;
    base_free(lines);
    return loss;
}

/* Sums of `count` places, and the steps of the first seed's lines, which are the
 * curve's. */
static base_status curve_begin(app_curve *c, double **weight, const line *lines,
                               size_t count, base_error *err)
{
    *weight = base_alloc(count, sizeof **weight);
    c->step = base_alloc(count, sizeof *c->step);
    c->loss = base_alloc(count, sizeof *c->loss);
    c->accuracy = base_alloc(count, sizeof *c->accuracy);
    c->cv = base_alloc(count, sizeof *c->cv);
    if (!*weight || !c->step || !c->loss || !c->accuracy || !c->cv)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a curve");
    c->count = count;
    for (size_t i = 0; i < count; i++)
        c->step[i] = lines[i].step;
    return BASE_OK;
}

/* A line logged at a step that is not the curve's is passed over. */
static void curve_add(app_curve *c, double *weight, const line *lines, size_t count)
{
    for (size_t i = 0, at = 0; i < count; i++) {
        while (at < c->count && c->step[at] < lines[i].step)
            at++;
        if (at == c->count || c->step[at] != lines[i].step)
            continue;
        c->loss[at] += lines[i].loss;
        c->accuracy[at] += lines[i].accuracy;
        c->cv[at] += lines[i].cv;
        weight[at]++;
    }
}

base_status app_curve_read(app_curve *out, const app_compare *compare, size_t entry,
                           const char *kind, base_error *err)
{
    const size_t seeds = (size_t)compare->args->seeds;
    double *weight = NULL;
    base_status status = BASE_OK;

    *out = (app_curve){0};
    for (size_t s = 0; s < seeds && status == BASE_OK; s++) {
        const app_compare_run *run = app_compare_run_at(compare, entry, s);
        size_t count = 0;
        line *lines = run->state == APP_RUN_FINISHED ? lines_read(&count, run, kind) : NULL;

        if (count > 0 && !weight)
            status = curve_begin(out, &weight, lines, count, err);
        if (count > 0 && status == BASE_OK)
            curve_add(out, weight, lines, count);
        base_free(lines);
    }
    for (size_t i = 0; weight && status == BASE_OK && i < out->count; i++) {
        out->loss[i] /= weight[i];
        out->accuracy[i] /= weight[i];
        out->cv[i] /= weight[i];
    }
    base_free(weight);
    return status;
}

void app_curve_destroy(app_curve *curve)
{
    base_free(curve->step);
    base_free(curve->loss);
    base_free(curve->accuracy);
    base_free(curve->cv);
    *curve = (app_curve){0};
}
