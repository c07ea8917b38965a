/* metrics.c - metrics.jsonl: one JSON object a line, appended as the run goes, cut back on
 * resuming to what the checkpoint knows. Keys: docs/json.md. Relied on elsewhere: "kind"
 * ("train" or "eval") and "step" in every line. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "train/train_internal.h"

enum { METRICS_MAX_BYTES = 1 << 30 };

/* Lines come in this order: by step, and the evaluation of a step behind its line of
 * training. */
typedef struct line_place {
    json_int_t step;
    bool eval;
} line_place;

/* Whether the line of `length` characters belongs to a run that stands at step, and to its
 * place behind the last one (else it is there twice, or from elsewhere). */
static bool belongs(double *elapsed, line_place *last, const char *line, size_t length,
                    uint64_t step, bool evaluated)
{
    json_t *json = json_loadb(line, length, 0, NULL);
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const json_int_t at = json_integer_value(json_object_get(json, "step"));
    const double seconds = json_number_value(json_object_get(json, "elapsed"));
    const line_place here = {at, kind && strcmp(kind, "eval") == 0};
    bool keep = kind && at >= 0 && (uint64_t)at <= step;

    if (keep && (uint64_t)at == step && here.eval)
        keep = evaluated;
    keep = keep &&
           (here.step > last->step || (here.step == last->step && here.eval > last->eval));
    if (keep) {
        *last = here;
        *elapsed = seconds > *elapsed && seconds < 1e12 ? seconds : *elapsed;
    }
    json_decref(json);
    return keep;
}

/* Bytes of the file's beginning that belong to the run, and the seconds that its last line
 * tells of. */
static base_status kept_bytes(size_t *out, double *elapsed, const char *path, uint64_t step,
                              bool evaluated, base_error *err)
{
    char *text = NULL;
    size_t bytes = 0, kept = 0;
    line_place last = {-1, true};

    const base_status status = base_file_read(&text, &bytes, path, METRICS_MAX_BYTES, err);
    if (status != BASE_OK)
        return status;
    while (kept < bytes) {
        const char *end = memchr(text + kept, '\n', bytes - kept);
        if (!end || !belongs(elapsed, &last, text + kept, (size_t)(end - text) - kept, step,
                             evaluated))
            break;
        kept = (size_t)(end - text) + 1;
    }
    base_free(text);
    *out = kept;
    return BASE_OK;
}

base_status train_metrics_open(train_metrics *out, const char *path, bool fresh,
                               uint64_t step, bool evaluated, base_error *err)
{
    base_status status = BASE_OK;
    size_t kept = 0;
    double elapsed = 0;

    const int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return base_fail_errno(err, "cannot write '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        status =
            base_fail(err, BASE_IO, "'%s' is being written by another vmoe train", path);
        goto done;
    }
    if (!fresh)
        status = kept_bytes(&kept, &elapsed, path, step, evaluated, err);
    if (status != BASE_OK)
        goto done;
    if (ftruncate(fd, (off_t)kept) != 0) {
        status = base_fail_errno(err, "cannot shorten '%s' to %zu bytes", path, kept);
        goto done;
    }
    FILE *file = fdopen(fd, "ab");
    if (!file) {
        status = base_fail_errno(err, "cannot write '%s'", path);
        goto done;
    }
    *out = (train_metrics){.file = file, .path = path, .began = base_seconds() - elapsed};
    return BASE_OK;
done:
    close(fd);
    return status;
}

base_status train_metrics_write(train_metrics *metrics, json_t *json, base_error *err)
{
    base_status status = BASE_OK;
    const time_t clock = time(NULL);
    char when[32] = "";
    struct tm utc;

    if (gmtime_r(&clock, &utc))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_object_set_new(json, "time", json_string(when));
    json_object_set_new(json, "elapsed", json_real(base_seconds() - metrics->began));
    metrics->lines++;
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(7));

    json_decref(json);
    if (!text)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a line of '%s'",
                         metrics->path);
    if (fprintf(metrics->file, "%s\n", text) < 0 || fflush(metrics->file) != 0)
        status = base_fail_errno(err, "cannot write '%s'", metrics->path);
    free(text);
    return status;
}

base_status train_metrics_sync(train_metrics *metrics, base_error *err)
{
    if (fflush(metrics->file) != 0 || fsync(fileno(metrics->file)) != 0)
        return base_fail_errno(err, "cannot write '%s'", metrics->path);
    return BASE_OK;
}

void train_metrics_close(train_metrics *metrics)
{
    if (metrics->file)
        fclose(metrics->file);
    metrics->file = NULL;
}

/* ---- what lines of both kinds say ---------------------------------------------------- */

double train_trainer_sinkhorn_steps(const train_trainer *trainer)
{
    const vit_config *c = &trainer->recipe.config;
    const int blocks = trainer->recipe.optimizer.frozen - 1; /* that are frozen */
    bool trains = false;

    for (int i = blocks > 0 ? blocks : 0; i < c->depth; i++)
        trains = trains || c->moe.layer[i];
    return trains ? vit_router_sinkhorn_steps(&c->moe.router, trainer->total) : 0;
}

void train_trainer_loads(json_t *json, const train_trainer *trainer, const vit_usage *load)
{
    json_t *layers = json_array();
    double share = 0;

    for (size_t i = 0; i < trainer->moe_count; i++) {
        json_array_append_new(
            layers, measure_usage_json(train_trainer_block(trainer, i), &load[i]));
        share += vit_usage_summary(&load[i]).sinkhorn_share / (double)trainer->moe_count;
    }
    json_object_set_new(json, "sinkhorn_share", measure_json_real(share));
    json_object_set_new(json, "moe", layers);
}
