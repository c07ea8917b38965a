/* read.c - reads the results of evaluations and attacks (docs/json.md,
 * docs/attacks.md) and sorts them by the checkpoint that they are of. Whatever is not in a
 * file is simply not shown: files of older versions are fine. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/report/internal.h"

enum { JSON_MAX_BYTES = 256 << 20, CSV_MAX_BYTES = 1 << 30, COLUMNS_MAX = 128 };

/* ---- numbers ------------------------------------------------------------------------- */

static const json_t *found(const json_t *json, const char *keys)
{
    char key[64];

    while (json && *keys) {
        const size_t length = strcspn(keys, ".");

        snprintf(key, sizeof key, "%.*s", (int)length, keys);
        json = json_object_get(json, key);
        keys += length + (keys[length] == '.');
    }
    return json;
}

double app_report_number(const json_t *json, const char *keys)
{
    const json_t *value = found(json, keys);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *app_report_string(const json_t *json, const char *keys)
{
    return json_string_value(found(json, keys));
}

bool app_report_at(app_report_share *out, const json_t *attack, double eps)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(attack, "sweep"), i, one)
    {
        const char *name = app_report_string(one, "attack");
        const json_t *interval = json_object_get(one, "ci95");

        if (!name || strcmp(name, "worst_case") != 0 ||
            fabs(app_report_number(one, "eps") - eps) > 1e-9)
            continue;
        *out = (app_report_share){
            .share = app_report_number(one, "robust_acc"),
            .low = json_number_value(json_array_get(interval, 0)),
            .high = json_number_value(json_array_get(interval, 1)),
            .k = (size_t)json_integer_value(json_object_get(one, "k")),
            .n = (size_t)json_integer_value(json_object_get(one, "n")),
        };
        return isfinite(out->share) && out->n > 0;
    }
    return false;
}

/* ---- files --------------------------------------------------------------------------- */

/* "runs/quickstart" of "runs/quickstart/best/model.safetensors", else the file's path. */
static void name_of(char out[APP_REPORT_NAME], const char *path)
{
    static const char *const ends[] = {"/best/model.safetensors", "/last/model.safetensors",
                                       "/model.safetensors", ".safetensors"};
    size_t length = strlen(path);
    char safe[1024];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t end = strlen(ends[i]);

        if (length > end && strcmp(path + length - end, ends[i]) == 0) {
            length -= end;
            break;
        }
    }
    snprintf(safe, sizeof safe, "%.*s", length < 1000 ? (int)length : 1000, path);
    const char *last = strrchr(safe, '/');
    const char *name = last && last[1] ? last + 1 : safe;
    if (strncmp(name, "seed-", 5) == 0 &&
        name > safe + 1) /* vmoe compare's ROUTER/seed-N */
        for (name -= 2; name > safe && name[-1] != '/';)
            name--;
    base_quote(out, APP_REPORT_NAME, name);
}

static app_report_model *model_of(app_report_set *set, const char *path, base_error *err)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->model[i].path, path) == 0)
            return &set->model[i];
    if (set->count == APP_REPORT_MODELS) {
        base_fail(err, BASE_UNSUPPORTED, "more than %d models on one page",
                  (int)APP_REPORT_MODELS);
        return NULL;
    }
    app_report_model *model = &set->model[set->count];
    model->path = base_text("%s", path);
    if (!model->path) {
        base_fail(err, BASE_NO_MEMORY, "no memory for another model");
        return NULL;
    }
    name_of(model->name, path);
    for (size_t i = 0; i < set->count; i++) /* two runs of one name: their numbers tell */
        if (strcmp(set->model[i].name, model->name) == 0) {
            char longer[APP_REPORT_NAME];
            snprintf(longer, sizeof longer, "%.80s (%zu)", model->name, set->count + 1);
            memcpy(model->name, longer, sizeof longer);
            break;
        }
    set->count++;
    return model;
}

static void replace(json_t **place, json_t *json)
{
    json_decref(*place);
    *place = json_incref(json);
}

static base_status attack_take(app_report_model *model, json_t *json, const char *path,
                               base_error *err)
{
    const char *norm = app_report_string(json, "threat.norm");
    const char *data = app_report_string(json, "data.name");
    const char *slash = strrchr(path, '/');
    const char *file = app_report_string(json, "samples_file");
    struct stat info;
    size_t at = 0;

    for (; at < model->attacks; at++) {
        const json_t *other = model->attack[at].json;
        const char *a = app_report_string(other, "threat.norm");
        const char *b = app_report_string(other, "data.name");

        if (norm && a && data && b && strcmp(a, norm) == 0 && strcmp(b, data) == 0)
            break; /* the later file stands */
    }
    if (at == APP_REPORT_ATTACKS)
        return base_fail(err, BASE_UNSUPPORTED, "more than %d attacks on '%s'",
                         (int)APP_REPORT_ATTACKS, model->name);
    char *samples =
        file ? base_text("%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, file) : NULL;
    if (samples && stat(samples, &info) != 0) {
        base_free(samples);
        samples = NULL;
    }
    base_free(model->attack[at].samples);
    model->attack[at].samples = samples;
    replace(&model->attack[at].json, json);
    model->attacks += at == model->attacks;
    return BASE_OK;
}

/* One file; *known false: it is no result that a page compares. */
static base_status file_take(app_report_set *set, const char *path, bool *known,
                             base_error *err)
{
    char *text = NULL, shown[2 * JSON_ERROR_TEXT_LENGTH];
    size_t bytes = 0;
    json_error_t why;
    base_status status = base_file_read(&text, &bytes, path, JSON_MAX_BYTES, err);

    *known = false;
    if (status != BASE_OK)
        return status;
    json_t *json = json_loadb(text, bytes, 0, &why);
    base_free(text);
    if (!json) /* its text cites the file */
        return base_fail(err, BASE_FORMAT, "'%s' is no JSON: line %d: %s", path, why.line,
                         base_quote(shown, sizeof shown, why.text));
    const char *command = app_report_string(json, "command");
    const bool attack = command && strcmp(command, "attack") == 0;
    const char *of = app_report_string(json, attack ? "model.path" : "model");
    *known = command && of &&
             (attack || strcmp(command, "eval") == 0 || strcmp(command, "inspect") == 0);
    app_report_model *model = *known ? model_of(set, of, err) : NULL;
    if (*known && !model) {
        status = err ? err->status : BASE_NO_MEMORY;
    } else if (attack && *known) {
        status = attack_take(model, json, path, err);
    } else if (*known && strcmp(command, "inspect") == 0) {
        replace(&model->inspect, json);
    } else if (*known) {
        replace(&model->eval, json);
        if (json_is_object(json_object_get(json, "robust")))
            replace(&model->robust, json);
    }
    json_decref(json);
    return status;
}

static int is_json(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static int is_folder(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(entry->d_name, "state") != 0;
}

/* The entries of a folder in alphabetical order (free, and each of them). */
static base_status folder_list(struct dirent ***list, int *count, const char *path,
                               int (*wanted)(const struct dirent *entry), base_error *err)
{
    *list = NULL;
    *count = scandir(path, list, wanted, alphasort);
    if (*count >= 0)
        return BASE_OK;
    *count = 0;
    return base_fail_errno(err, "cannot read the folder '%s'", path);
}

/* Its *.json, then those one folder below. */
static base_status folder_take(app_report_set *set, const char *path, bool below,
                               size_t *taken, base_error *err)
{
    struct dirent **list;
    struct stat info;
    int count;

    for (int turn = 0; turn < 1 + below; turn++) {
        const bool folders = turn == 1;
        base_status status =
            folder_list(&list, &count, path, folders ? is_folder : is_json, err);
        for (int i = 0; i < count; i++) {
            char *name = base_text("%s/%s", path, list[i]->d_name);
            bool known = false;

            if (status == BASE_OK && !name)
                status = base_fail(err, BASE_NO_MEMORY, "no memory for a file name");
            else if (status != BASE_OK || stat(name, &info) != 0)
                known = false; /* a link to nowhere is no result */
            else if (folders && S_ISDIR(info.st_mode))
                status = folder_take(set, name, false, taken, err);
            else if (!folders && S_ISREG(info.st_mode))
                status = file_take(set, name, &known, err);
            *taken += known;
            base_free(name);
            free(list[i]);
        }
        free(list);
        if (status != BASE_OK)
            return status;
    }
    return BASE_OK;
}

base_status app_report_add(app_report_set *set, const char *word, base_error *err)
{
    struct stat info;
    size_t taken = 0;
    bool known = false;
    base_status status;

    if (stat(word, &info) != 0)
        return base_fail_errno(err, "cannot open '%s'", word);
    if (S_ISDIR(info.st_mode)) {
        status = folder_take(set, word, true, &taken, err);
        if (status == BASE_OK && taken == 0)
            status = base_fail(
                err, BASE_FORMAT,
                "'%s' holds no results, expected JSON files of vmoe eval --json or "
                "the folder of a vmoe attack",
                word);
        return status;
    }
    status = file_take(set, word, &known, err);
    if (status == BASE_OK && !known)
        status = base_fail(err, BASE_FORMAT,
                           "'%s' is no result of vmoe eval, attack or inspect", word);
    return status;
}

void app_report_close(app_report_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        app_report_model *model = &set->model[i];

        for (size_t j = 0; j < model->attacks; j++) {
            json_decref(model->attack[j].json);
            base_free(model->attack[j].samples);
        }
        json_decref(model->eval);
        json_decref(model->robust);
        json_decref(model->inspect);
        base_free(model->path);
    }
    *set = (app_report_set){0};
}

/* ---- samples.csv --------------------------------------------------------------------- */

/* The column called name in a line of a CSV without quotes, SIZE_MAX: none. */
static size_t column_of(const char *line, const char *name)
{
    const size_t length = strlen(name);
    size_t column = 0;

    for (const char *at = line;; at++, column++) {
        const size_t word = strcspn(at, ",\n");

        if (word == length && strncmp(at, name, length) == 0)
            return column;
        at += word;
        if (*at != ',')
            return SIZE_MAX;
    }
}

/* A whole number in a column of the line; false: there is none. */
static bool cell_read(int64_t *out, const char *line, size_t column)
{
    char text[24];

    for (; column > 0; column--) {
        line += strcspn(line, ",\n");
        if (*line != ',')
            return false;
        line++;
    }
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, ",\n"), line);
    return base_parse_int(out, text);
}

base_status app_report_samples(app_report_sample **out, size_t *count, const char *path,
                               const char *eps_text, base_error *err)
{
    char name[96];
    char *text = NULL;
    size_t bytes = 0, lines = 0, made = 0;
    base_status status = base_file_read(&text, &bytes, path, CSV_MAX_BYTES, err);

    if (status != BASE_OK)
        return status;
    snprintf(name, sizeof name, "robust_%s", eps_text);
    const size_t columns[4] = {column_of(text, "id"), column_of(text, "y"),
                               column_of(text, "clean_pred"), column_of(text, name)};
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    app_report_sample *list = base_alloc(lines, sizeof *list);
    if (!list)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the samples of '%s'", path);
    const bool whole = columns[0] != SIZE_MAX && columns[1] != SIZE_MAX &&
                       columns[2] != SIZE_MAX && columns[3] != SIZE_MAX;
    const char *line = strchr(text, '\n');
    while (status == BASE_OK && whole && line && line[1]) {
        int64_t cell[4];
        bool good = true;

        line++;
        for (size_t c = 0; c < 4; c++)
            good = cell_read(&cell[c], line, columns[c]) && good;
        if (!good || cell[0] < 0)
            status =
                base_fail(err, BASE_FORMAT, "'%s': line %zu is damaged", path, made + 2);
        else
            list[made++] = (app_report_sample){.id = (uint32_t)cell[0],
                                               .right = cell[1] == cell[2],
                                               .robust = cell[3] == 1};
        line = strchr(line, '\n');
    }
    base_free(text);
    if (status != BASE_OK) {
        base_free(list);
        return status;
    }
    *out = list;
    *count = made;
    return BASE_OK;
}
