/* documents.c - what is known of a network besides its weights: recipe and log of its run,
 * and the results of evaluations and attacks that lie beside it or were named. Only those
 * of the very checkpoint are taken unasked: by the hash where a document has it, else by
 * the last two parts of its path. Free to change: where recipes are looked for. */
#include <string.h>
#include <sys/stat.h>

#include "apps/convert/internal.h"

const char *convert_path_tail(const char *path, int parts)
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

static base_status run_read(convert_documents *d, const char *run, base_error *err)
{
    const char *recipe = app_text("%s/recipe.ini", run);
    const base_status status =
        is_there(recipe) ? recipe_read(&d->recipe, recipe, err) : BASE_OK;

    if (status != BASE_OK || !d->recipe)
        return status;
    return train_lines_read(&d->evaluations, app_text("%s/metrics.jsonl", run), "eval",
                            err);
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
                text = convert_path_tail(text, 1);
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
                : strcmp(convert_path_tail(r->model, 2), convert_path_tail(path, 2)) == 0;
}

/* Those of the set that a card shows: of this checkpoint, or named by the user (the first
 * `named`). */
static base_status take(convert_documents *d, const char *path, size_t named,
                        base_error *err)
{
    static const struct {
        app_report_kind of;
        const char *path;
    } figures_in[CONVERT_FIGURES] = {[CONVERT_ACCURACY] = {APP_REPORT_EVAL, "top1"},
                                     [CONVERT_CORRUPTION] = {APP_REPORT_EVAL, "robust"},
                                     [CONVERT_ATTACK] = {APP_REPORT_ATTACK, "budgets"}};

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
                                  .file = r->file,
                                  .other = own ? NULL : convert_path_tail(r->model, 2)};
        const base_status status = base_sha256_file(one->sha256, r->file, err);
        if (status != BASE_OK)
            return status;
        for (int f = 0; f < CONVERT_FIGURES; f++)
            one->has[f] =
                r->kind == figures_in[f].of && show_json_find(r->json, figures_in[f].path);
        d->count++;
    }
    return BASE_OK;
}

/* The folder of the run that a word means: it, or the one around best/ and last/; NULL:
 * none. */
static const char *run_of(const char *word, const char *path)
{
    const char *file = convert_path_tail(path, 2);
    struct stat info;

    if (stat(word, &info) == 0 && S_ISDIR(info.st_mode))
        return word;
    if (strncmp(file, "best/", 5) != 0 && strncmp(file, "last/", 5) != 0)
        return NULL;
    if (file - path > 1) /* without the slash between them */
        return app_text("%.*s", (int)(file - path - 1), path);
    return file == path ? "." : "/";
}

base_status convert_documents_read(convert_documents *out, const char *word,
                                   const char *path, const base_list *named, bool changed,
                                   base_error *err)
{
    convert_documents d = {.changed = changed, .source = convert_path_tail(path, 3)};
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
    train_lines_destroy(&d->evaluations);
    *d = (convert_documents){0};
}

/* What no document has, by name. */
static json_t *missing_json(const convert_documents *d)
{
    static const char *const names[CONVERT_FIGURES] = {[CONVERT_ACCURACY] = "accuracy",
                                                       [CONVERT_CORRUPTION] = "corruption",
                                                       [CONVERT_ATTACK] = "attack"};
    json_t *list = json_array();

    for (int f = 0; f < CONVERT_FIGURES; f++) {
        bool has = false;

        for (size_t i = 0; i < d->count; i++)
            has = has || d->at[i].has[f];
        if (!has)
            json_array_append_new(list, json_string(names[f]));
    }
    return list;
}

void convert_documents_note(const convert_documents *d, const app_common *common)
{
    json_t *missing = missing_json(d);
    char *list = show_text(missing, "; not measured: {.}");

    app_note(common, "  model card: %s, %zu documents%s",
             d->recipe ? "recipe of the run" : "no recipe", d->count, list ? list : "");
    base_free(list);
    json_decref(missing);
    if (d->left_out > 0)
        app_note(common,
                 "  %zu left out that lie beside the run: they are of another network",
                 d->left_out);
}

void convert_documents_json(json_t *json, const convert_documents *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(list, show_json_text(d->at[i].file));
    show_put(json, "documents", list);
    show_put(json, "not_measured", missing_json(d));
    show_put_count(json, "other_documents", d->left_out);
}
