/* read.c - reads the results of evaluations and attacks (docs/json.md, docs/attacks.md).
 * Whatever is not in a file is simply not shown: files of older versions are fine. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/report/internal.h"

enum { JSON_MAX_BYTES = 256 << 20, RESULTS_MAX = 1024 };

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
    base_quote(out, APP_REPORT_NAME - 8, name); /* room for a number */
}

/* Adds a document of ours; one that is there already is left out. json becomes the
 * set's. */
static base_status result_add(app_report_set *set, app_report_kind kind, json_t *json,
                              const char *model, const char *path, base_error *err)
{
    const char *samples = json_string_value(json_object_get(json, "samples_file"));
    const char *slash = strrchr(path, '/');
    struct stat info;

    if (set->count == RESULTS_MAX) {
        json_decref(json);
        return base_fail(err, BASE_UNSUPPORTED, "more than %d results on one page",
                         (int)RESULTS_MAX);
    }
    if (!set->result)
        set->result = app_take(NULL, RESULTS_MAX, sizeof *set->result);
    for (size_t i = 0; i < set->count; i++) {
        if (json_equal(set->result[i].json, json)) {
            json_decref(json);
            return BASE_OK;
        }
    }
    app_report_result made = {.kind = kind, .json = json, .model = model};
    made.file = app_text("%s", path);
    if (samples)
        made.samples =
            app_text("%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, samples);
    if (made.samples && stat(made.samples, &info) != 0)
        made.samples = NULL;
    name_of(made.name, model);
    set->result[set->count++] = made;
    return BASE_OK;
}

/* A share of the object outside of 0 to 1, or of its own interval: no command of ours
 * writes that. NULL: none. */
static const char *odd_share(const json_t *object)
{
    static const char *const shares[][2] = {
        {"top1", "top1_interval"}, {"top5", NULL},      {"acc", "ci95"},
        {"robust_acc", "ci95"},    {"clean_acc", NULL}, {"ece", NULL}};
    const bool several = json_object_get(object, "robust_acc_after");

    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const json_t *share = json_object_get(object, shares[i][0]);
        const json_t *interval =
            shares[i][1] && !several ? json_object_get(object, shares[i][1]) : NULL;
        const json_t *low = json_array_get(interval, 0),
                     *high = json_array_get(interval, 1);
        const double value = json_number_value(share), slack = 1e-4; /* digits */

        if (!json_is_number(share))
            continue;
        if (!(value >= 0) || value > 1 ||
            (json_is_number(low) && value < json_number_value(low) - slack) ||
            (json_is_number(high) && value > json_number_value(high) + slack))
            return shares[i][0];
    }
    return NULL;
}

/* The first odd share of the document, with its value. */
static const char *odd_share_below(const json_t *json, double *value)
{
    const char *found = json_is_object(json) ? odd_share(json) : NULL, *key;
    const json_t *inner;
    size_t i;

    if (found)
        *value = json_number_value(json_object_get(json, found));
    json_object_foreach((json_t *)(uintptr_t)json, key, inner)
    {
        found = found ? found : odd_share_below(inner, value);
    }
    json_array_foreach(json, i, inner)
    {
        found = found ? found : odd_share_below(inner, value);
    }
    return found;
}

/* One file; *known false: it is no result that a page compares. */
static base_status file_take(app_report_set *set, const char *path, bool *known,
                             base_error *err)
{
    char *text = NULL, shown[2 * JSON_ERROR_TEXT_LENGTH];
    size_t bytes = 0;
    json_error_t why;
    const base_status status = base_file_read(&text, &bytes, path, JSON_MAX_BYTES, err);

    *known = false;
    if (status != BASE_OK)
        return status;
    json_t *json = json_loadb(text, bytes, 0, &why);
    base_free(text);
    if (!json) /* its text cites the file */
        return base_fail(err, BASE_FORMAT, "'%s' is no JSON: line %d: %s", path, why.line,
                         base_quote(shown, sizeof shown, why.text));
    const char *command = json_string_value(json_object_get(json, "command"));
    const int kind = command ? base_choice_find(APP_REPORT_KINDS, command) : -1;
    const json_t *of =
        show_json_find(json, kind == APP_REPORT_ATTACK ? "model.path" : "model");
    *known = kind >= 0 && json_is_string(of);
    double value = 0;
    const char *odd = *known ? odd_share_below(json, &value) : NULL;
    if (odd) {
        json_decref(json);
        return base_fail(
            err, BASE_FORMAT,
            "'%s' has the %s %g, which is no share or lies outside its interval: "
            "no vmoe wrote that",
            path, odd, value);
    }
    if (*known)
        return result_add(set, (app_report_kind)kind, json, json_string_value(of), path,
                          err);
    json_decref(json);
    return BASE_OK;
}

static bool is_json(const char *name)
{
    const size_t length = strlen(name);

    return length > 5 && strcmp(name + length - 5, ".json") == 0;
}

/* Its *.json, then those one folder below, in alphabetical order. */
static base_status folder_take(app_report_set *set, const char *path, bool below,
                               size_t *taken, base_error *err)
{
    struct dirent **list = NULL;
    struct stat info;
    base_status status = BASE_OK;
    const int count = scandir(path, &list, NULL, alphasort);

    if (count < 0)
        return base_fail_errno(err, "cannot read the folder '%s'", path);
    for (int i = 0; i < (below ? 2 : 1) * count && status == BASE_OK; i++) {
        const bool file = i < count;
        const char *entry = list[i % count]->d_name;
        bool known = false;

        if (file ? !is_json(entry) : entry[0] == '.' || strcmp(entry, "state") == 0)
            continue;
        const char *name = app_text("%s/%s", path, entry);
        if (stat(name, &info) != 0)
            continue; /* a link to nowhere is no result */
        if (file && S_ISREG(info.st_mode))
            status = file_take(set, name, &known, err);
        else if (!file && S_ISDIR(info.st_mode))
            status = folder_take(set, name, false, taken, err);
        *taken += known;
    }
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
    return status;
}

base_status app_report_look(app_report_set *set, const char *folder, base_error *err)
{
    size_t taken = 0;

    return folder_take(set, folder, true, &taken, err);
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

static int by_what(const void *a, const void *b)
{
    const app_report_result *x = a, *y = b;
    const int model = strcmp(x->model, y->model);

    return model                ? model
           : x->kind != y->kind ? (int)x->kind - (int)y->kind
                                : strcmp(x->file, y->file);
}

void app_report_sort(app_report_set *set)
{
    if (set->count > 0)
        qsort(set->result, set->count, sizeof *set->result, by_what);
    for (size_t i = 0; i < set->count; i++) { /* two runs of one name: their numbers tell */
        app_report_result *r = &set->result[i];
        size_t same = 1;

        for (size_t k = 0; k < i; k++) {
            const bool first =
                k == 0 || strcmp(set->result[k - 1].model, set->result[k].model) != 0;
            char own[APP_REPORT_NAME];

            name_of(own, set->result[k].model);
            same += first && strcmp(set->result[k].model, r->model) != 0 &&
                    strcmp(own, r->name) == 0;
        }
        if (same > 1)
            snprintf(r->name + strlen(r->name), sizeof r->name - strlen(r->name), " (%zu)",
                     same);
    }
}

void app_report_close(app_report_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        json_decref(set->result[i].json);
    *set = (app_report_set){0};
}
