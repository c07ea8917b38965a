/* documents.c - what is known of a network besides its weights: recipe and log of its run,
 * and the results of evaluations and attacks that lie beside it or were named. Only those
 * of the very checkpoint are taken unasked: by the hash where a document has it, else by
 * the last two parts of its path. Free to change: where recipes are looked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/convert/internal.h"
#include "train/train.h"

enum { LOG_MOST = 1 << 30 };

/* The last `parts` parts of a path. */
static const char *path_tail(const char *path, int parts)
{
    const char *at = path + strlen(path);

    while (at > path && (at[-1] != '/' || --parts > 0))
        at--;
    return at;
}

static bool is_there(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

/* ---- the run ------------------------------------------------------------------------- */

/* What recipe.ini says, in its order. */
static base_status recipe_read(json_t **out, const char *path, base_error *err)
{
    train_assignment *list = NULL;
    size_t count = 0;
    const base_status status = train_assignments_load(&list, &count, path, err);

    if (status != BASE_OK)
        return status;
    *out = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *key = strchr(list[i].key, '.');
        const char *section = app_text("%.*s", (int)strcspn(list[i].key, "."), list[i].key);

        if (!json_object_get(*out, section))
            show_put(*out, section, json_object());
        if (key && list[i].text[0])
            show_put_text(json_object_get(*out, section), key + 1, list[i].text);
    }
    base_free(list);
    return BASE_OK;
}

/* The last evaluation of metrics.jsonl, and the last that was the best. */
static void log_parse(convert_documents *d, char *text)
{
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        json_t *json = strstr(line, "\"eval\"") ? json_loads(line, 0, NULL) : NULL;
        const char *kind = json_string_value(json_object_get(json, "kind"));

        if (kind && strcmp(kind, "eval") == 0) {
            if (json_is_true(json_object_get(json, "best"))) {
                json_decref(d->best);
                d->best = json_incref(json);
            }
            json_decref(d->last);
            d->last = json_incref(json);
        }
        json_decref(json);
    }
}

static base_status run_read(convert_documents *d, const char *run, base_error *err)
{
    const char *recipe = app_text("%s/recipe.ini", run);
    const char *log = app_text("%s/metrics.jsonl", run);
    char *text = NULL;
    size_t bytes;
    base_status status = BASE_OK;

    if (is_there(recipe))
        status = recipe_read(&d->recipe, recipe, err);
    if (status == BASE_OK && d->recipe && is_there(log)) {
        status = base_file_read(&text, &bytes, log, LOG_MOST, err);
        if (status == BASE_OK) {
            log_parse(d, text);
            base_free(text);
        }
    }
    return status;
}

/* Whether a key's value is a path of the machine that trained. */
static bool is_path(const char *key)
{
    static const char *const keys[] = {
        "data.train",       "data.val",        "data.val_labels", "data.class_map",
        "data.index_cache", "model.init_from", "train.from"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

void convert_recipe_put(FILE *out, const convert_documents *d)
{
    const char *section, *key;
    json_t *keys, *value;
    char quoted[512];

    json_object_foreach(d->recipe, section, keys)
    {
        if (json_object_size(keys) > 0)
            fprintf(out, "    [%s]\n", section);
        json_object_foreach(keys, key, value)
        {
            const char *text = json_string_value(value);

            if (is_path(app_text("%s.%s", section, key)))
                text = path_tail(text, 1);
            fprintf(out, "    %s = %s\n", key, base_quote(quoted, sizeof quoted, text));
        }
    }
}

/* ---- results ------------------------------------------------------------------------- */

/* Whether the document is of the checkpoint at path. */
static bool is_of(const app_report_result *r, const char *path, const char *sha256)
{
    const char *hash = show_json_string(r->json, "model.sha256");

    return hash ? strcmp(hash, sha256) == 0
                : strcmp(path_tail(r->model, 2), path_tail(path, 2)) == 0;
}

/* Those of the set that a card shows: of this checkpoint, or named by the user (the first
 * `named`). */
static base_status take(convert_documents *d, const char *path, size_t named,
                        base_error *err)
{
    static const char *const commands[] = {
        [APP_REPORT_EVAL] = "eval", [APP_REPORT_ATTACK] = "attack"};

    d->at = app_take(NULL, d->set.count, sizeof *d->at);
    for (size_t i = 0; i < d->set.count; i++) {
        const app_report_result *r = &d->set.result[i];
        const bool own = is_of(r, path, d->sha256);

        if (r->kind == APP_REPORT_INSPECT)
            continue;
        if (i >= named && (d->changed || !own)) {
            d->left_out++;
            continue;
        }
        convert_document *one = &d->at[d->count];
        *one = (convert_document){.json = r->json,
                                  .command = commands[r->kind],
                                  .file = r->file,
                                  .other = own ? NULL : path_tail(r->model, 2)};
        const base_status status = base_sha256_file(one->sha256, r->file, err);
        if (status != BASE_OK)
            return status;
        d->count++;
    }
    return BASE_OK;
}

/* The folder of the run that a word means: it, or the one around best/ and last/; NULL:
 * none. */
static const char *run_of(const char *word, const char *path)
{
    const char *file = path_tail(path, 2);
    struct stat info;

    if (stat(word, &info) == 0 && S_ISDIR(info.st_mode))
        return word;
    if (strncmp(file, "best/", 5) != 0 && strncmp(file, "last/", 5) != 0)
        return NULL;
    return file == path ? "." : app_text("%.*s", (int)(file - path), path);
}

base_status convert_documents_read(convert_documents *out, const char *word,
                                   const char *path, const base_list *named, bool changed,
                                   base_error *err)
{
    convert_documents d = {.changed = changed, .source = path_tail(path, 3)};
    const char *run = run_of(word, path);
    base_status status = base_sha256_file(d.sha256, path, err);

    if (status == BASE_OK && run)
        status = run_read(&d, run, err);
    for (size_t i = 0; i < named->count && status == BASE_OK; i++)
        status = app_report_add(&d.set, named->at[i], err);
    const size_t wanted = d.set.count; /* those found are not added again */
    if (status == BASE_OK && d.recipe)
        status = app_report_look(&d.set, run, err);
    if (status == BASE_OK)
        status = take(&d, path, wanted, err);
    if (status == BASE_OK)
        *out = d;
    else
        convert_documents_free(&d);
    return status;
}

void convert_documents_free(convert_documents *d)
{
    app_report_close(&d->set);
    json_decref(d->recipe);
    json_decref(d->best);
    json_decref(d->last);
    *d = (convert_documents){0};
}

/* Kinds of figures that a card has. */
enum { ACCURACY, CORRUPTION, ATTACK, FIGURES };
static const char *const figures[FIGURES] = {"accuracy", "corruption", "attack"};

static void figures_of(bool has[FIGURES], const convert_documents *d)
{
    memset(has, 0, FIGURES * sizeof *has);
    for (size_t i = 0; i < d->count; i++) {
        const bool eval = strcmp(d->at[i].command, "eval") == 0;

        has[ACCURACY] = has[ACCURACY] || (eval && show_json_find(d->at[i].json, "top1"));
        has[CORRUPTION] =
            has[CORRUPTION] || (eval && show_json_find(d->at[i].json, "robust"));
        has[ATTACK] = has[ATTACK] || !eval;
    }
}

void convert_documents_note(const convert_documents *d, const app_common *common)
{
    bool has[FIGURES];
    char list[64] = "";

    figures_of(has, d);
    for (size_t i = 0; i < FIGURES; i++)
        if (!has[i])
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                     list[0] ? ", " : "", figures[i]);
    app_note(common, "  model card: %s, %zu documents%s%s",
             d->recipe ? "recipe of the run" : "no recipe", d->count,
             list[0] ? "; not measured: " : "", list);
    if (d->left_out > 0)
        app_note(common,
                 "  %zu left out that lie beside the run: they are of another network",
                 d->left_out);
}

void convert_documents_json(json_t *json, const convert_documents *d)
{
    json_t *list = json_array(), *missing = json_array();
    bool has[FIGURES];

    figures_of(has, d);
    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(list, show_json_text(d->at[i].file));
    for (size_t i = 0; i < FIGURES; i++)
        if (!has[i])
            json_array_append_new(missing, json_string(figures[i]));
    show_put(json, "documents", list);
    show_put(json, "not_measured", missing);
    show_put_count(json, "other_documents", d->left_out);
}
