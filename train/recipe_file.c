/* recipe_file.c - recipes as text: finding them by name, reading INI with line numbers,
 * writing the resolved recipe, comparing a run's recipe with the one it is resumed with.
 * inih (Ben Hoyt) splits sections and pairs; our reader hands it the lines, so that every
 * refusal can name the line. Relied on elsewhere: the form "section.key = value" of the
 * fixed text (state files). */
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dirent.h>

#include "train/train.h"

enum { FILE_MAX = 1 << 20, ASSIGNMENT_MAX = 512, LINE_MAX_WRITTEN = 190 };

/* ---- finding ------------------------------------------------------------------------- */

/* The i-th folder that recipes are looked for in (base_free), NULL past the end. */
static char *recipe_folder(size_t i)
{
    char program[PATH_MAX];
    ssize_t length;
    char *slash;

    switch (i) {
    case 0: return base_text("recipes");
    case 1: /* PREFIX/bin/vmoe -> PREFIX/share/vmoe/recipes, wherever PREFIX was moved to */
        length = readlink("/proc/self/exe", program, sizeof program - 1);
        if (length <= 0)
            return base_text("recipes");
        program[length] = '\0';
        slash = strrchr(program, '/');
        if (slash)
            *slash = '\0';
        return base_text("%s/../share/vmoe/recipes", program);
    case 2: return base_text("%s", VMOE_RECIPES);
    case 3: return base_text("%s", VMOE_SOURCE_RECIPES);
    default: return NULL;
    }
}

/* The recipe in any of the folders whose name is nearest to name, into out; "" when there
 * is none. */
static void nearest_recipe(char *out, size_t out_bytes, const char *name)
{
    size_t best = SIZE_MAX;

    out[0] = '\0';
    char *folder;
    for (size_t i = 0; (folder = recipe_folder(i)) != NULL; i++) {
        DIR *dir = opendir(folder);
        const struct dirent *entry;
        while (dir && (entry = readdir(dir)) != NULL) {
            char word[256];
            const size_t length = strlen(entry->d_name);
            if (length < 5 || strcmp(entry->d_name + length - 4, ".ini") != 0)
                continue;
            snprintf(word, sizeof word, "%.*s", (int)(length - 4), entry->d_name);
            const size_t distance = base_edit_distance(name, word);
            if (distance < best || (distance == best && strcmp(word, out) < 0)) {
                best = distance;
                snprintf(out, out_bytes, "%s", word);
            }
        }
        if (dir)
            closedir(dir);
        base_free(folder);
    }
}

/* The file of a recipe by name or path (base_free). */
static base_status recipe_find(char **path, const char *name, base_error *err)
{
    const size_t length = strlen(name);
    char shown[160], near[256];
    char *folder;

    if (strchr(name, '/') || (length > 4 && strcmp(name + length - 4, ".ini") == 0)) {
        if (access(name, R_OK) != 0)
            return base_fail(err, BASE_USAGE, "cannot read the recipe '%s': %s",
                             base_quote(shown, sizeof shown, name), strerror(errno));
        *path = base_text("%s", name);
        return *path ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for '%s'", name);
    }
    for (size_t i = 0; (folder = recipe_folder(i)) != NULL; i++) {
        char *file = base_text("%s/%s.ini", folder, name);
        base_free(folder);
        if (file && access(file, R_OK) == 0) {
            *path = file;
            return BASE_OK;
        }
        base_free(file);
    }
    nearest_recipe(near, sizeof near, name);
    return base_fail(err, BASE_USAGE, "no recipe is named '%s'%s%s%s",
                     base_quote(shown, sizeof shown, name),
                     near[0] ? ", the nearest is '" : "", near, near[0] ? "'" : "");
}

/* ---- reading ------------------------------------------------------------------------- */

typedef struct reader {
    const char *label, *at, *end;
    int line;
    base_status status;
    base_error *err;
    train_assignment *list; /* [ASSIGNMENT_MAX] */
    int *lines;             /* [ASSIGNMENT_MAX] */
    size_t count;
} reader;

/* One line for inih, without leading blanks (it would take them for a continued value) and
 * without comments. NULL at the end and after a failure. */
static char *next_line(char *out, int room, void *user)
{
    reader *r = user;

    if (r->status != BASE_OK || r->at >= r->end)
        return NULL;
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    const char *next = stop ? stop + 1 : r->end;
    if (!stop)
        stop = r->end;
    r->line++;
    if (memchr(r->at, '\0', (size_t)(stop - r->at))) {
        r->status =
            base_fail(r->err, BASE_USAGE, "'%s' line %d holds a zero byte, expected text",
                      r->label, r->line);
        return NULL;
    }
    while (r->at < stop && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
    size_t length = (size_t)(stop - r->at);
    if (length > 0 && (*r->at == ';' || *r->at == '#'))
        length = 0;
    if (length + 3 > (size_t)room) {
        r->status = base_fail(r->err, BASE_USAGE,
                              "'%s' line %d has %zu characters, expected at most %d",
                              r->label, r->line, length, room - 3);
        return NULL;
    }
    memcpy(out, r->at, length);
    out[length] = '\n';
    out[length + 1] = '\0';
    r->at = next;
    return out;
}

static void name_key(train_assignment *a, const char *section, int section_length,
                     const char *name, int name_length)
{
    const bool moe = section_length == 3 && strncmp(section, "moe", 3) == 0;

    snprintf(a->key, sizeof a->key, "%.*s.%.*s", moe ? 6 : section_length,
             moe ? "router" : section, name_length < 63 ? name_length : 63, name);
}

/* inih calls this for each pair; 0 tells it that we refuse. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    reader *r = user;

    if (r->status != BASE_OK)
        return 0;
    if (r->count == ASSIGNMENT_MAX) {
        r->status = base_fail(r->err, BASE_USAGE, "'%s' line %d: more than %d keys",
                              r->label, r->line, ASSIGNMENT_MAX);
        return 0;
    }
    train_assignment *a = &r->list[r->count];
    name_key(a, section, (int)strlen(section), name, (int)strlen(name));
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->list[i].key, a->key) == 0) {
            char shown[200];
            r->status = base_fail(
                r->err, BASE_USAGE, "'%s' line %d sets '%s' again, it was set in line %d",
                r->label, r->line, base_quote(shown, sizeof shown, a->key), r->lines[i]);
            return 0;
        }
    }
    snprintf(a->where, sizeof a->where, "'%.150s' line %d", r->label, r->line);
    snprintf(a->text, sizeof a->text, "%s", value);
    r->lines[r->count++] = r->line;
    return 1;
}

/* The assignments of INI text; *out [*count], base_free. */
static base_status text_parse(train_assignment **out, size_t *count, const char *label,
                              const char *text, size_t bytes, base_error *err)
{
    train_assignment *list = base_alloc(ASSIGNMENT_MAX, sizeof *list);
    int *lines = base_alloc(ASSIGNMENT_MAX, sizeof *lines);
    reader r = {.label = label,
                .at = text,
                .end = text + bytes,
                .err = err,
                .list = list,
                .lines = lines};

    if (!list || !lines) {
        r.status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", label);
        goto done;
    }
    const int bad_line = ini_parse_stream(next_line, &r, take_pair, &r);
    if (r.status == BASE_OK && bad_line != 0)
        r.status = base_fail(err, BASE_USAGE,
                             "'%s' line %d is neither '[section]' nor 'key = value'", label,
                             bad_line > 0 ? bad_line : r.line);
done:
    base_free(lines);
    if (r.status != BASE_OK) {
        base_free(list);
        return r.status;
    }
    *out = list;
    *count = r.count;
    return BASE_OK;
}

base_status train_assignments_load(train_assignment **out, size_t *count, const char *name,
                                   base_error *err)
{
    char *path = NULL, *text = NULL;
    size_t bytes = 0;

    base_status status = recipe_find(&path, name, err);
    if (status == BASE_OK)
        status = base_file_read(&text, &bytes, path, FILE_MAX, err);
    if (status == BASE_OK)
        status = text_parse(out, count, path, text, bytes, err);
    base_free(text);
    base_free(path);
    return status;
}

base_status train_assignments_words(train_assignment **out, size_t *count,
                                    const char *const *words, size_t word_count,
                                    base_error *err)
{
    train_assignment *list = base_alloc(word_count, sizeof *list);

    if (!list)
        return base_fail(err, BASE_NO_MEMORY, "no memory for --set");
    for (size_t i = 0; i < word_count; i++) {
        const char *equal = strchr(words[i], '=');
        const char *dot = strchr(words[i], '.');
        char shown[160];
        if (!equal || !dot || dot > equal || dot == words[i] || dot - words[i] > 63 ||
            equal - dot > 63 || strlen(equal) > TRAIN_TEXT) {
            base_free(list);
            return base_fail(err, BASE_USAGE,
                             "--set '%s' is not of the form section.key=value",
                             base_quote(shown, sizeof shown, words[i]));
        }
        snprintf(list[i].where, sizeof list[i].where, "--set");
        name_key(&list[i], words[i], (int)(dot - words[i]), dot + 1,
                 (int)(equal - dot - 1));
        snprintf(list[i].text, sizeof list[i].text, "%s", equal + 1);
    }
    *out = list;
    *count = word_count;
    return BASE_OK;
}

/* Applies a list that was read, if it was, and frees it. */
static base_status apply_list(train_recipe *recipe, base_status status,
                              train_assignment *list, size_t count, base_error *err)
{
    if (status == BASE_OK)
        status = train_recipe_apply(recipe, list, count, err);
    base_free(list);
    return status;
}

base_status train_recipe_parse(train_recipe *recipe, const char *label, const char *text,
                               size_t bytes, base_error *err)
{
    train_assignment *list = NULL;
    size_t count = 0;
    const base_status status = text_parse(&list, &count, label, text, bytes, err);

    return apply_list(recipe, status, list, count, err);
}

base_status train_recipe_load(train_recipe *recipe, const char *name, base_error *err)
{
    train_assignment *list = NULL;
    size_t count = 0;
    base_status status = train_assignments_load(&list, &count, name, err);

    status = apply_list(recipe, status, list, count, err);
    if (status == BASE_OK)
        snprintf(recipe->name, sizeof recipe->name, "%.127s", name);
    return status;
}

base_status train_recipe_set(train_recipe *recipe, const char *const *assignments,
                             size_t count, base_error *err)
{
    train_assignment *list = NULL;
    size_t made = 0;
    const base_status status =
        train_assignments_words(&list, &made, assignments, count, err);

    return apply_list(recipe, status, list, made, err);
}

/* ---- writing ------------------------------------------------------------------------- */

/* Whether inih would read the value back as it is. */
static bool survives(const char *text)
{
    const size_t length = strlen(text);

    return length < LINE_MAX_WRITTEN - 40 && !strpbrk(text, "\n\r") &&
           !strstr(text, " ;") && !strstr(text, "\t;") && text[0] != ' ' &&
           text[0] != ';' && (length == 0 || text[length - 1] != ' ');
}

static void write_key(FILE *out, const base_field *key, const void *settings)
{
    const char *dot = strchr(key->name, '.'), *name = dot ? dot + 1 : key->name;
    char value[TRAIN_TEXT];

    base_field_text(value, sizeof value, settings, key);
    fprintf(out, "; %s\n", key->help);
    if (survives(value))
        fprintf(out, "%s = %s\n", name, value);
    else
        fprintf(out, "; %s cannot be kept in this file, give it on the command line\n",
                name);
}

base_status train_keys_save(const train_keys *keys, const char *title, const char *path,
                            base_error *err)
{
    base_writer out = {0};
    const char *section = "";
    size_t length = 0;

    const base_status status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        return status;
    fprintf(out.file, "; %s\n", title);
    for (const base_field *key = keys->keys; key->name; key++) {
        if (strncmp(section, key->name, length + 1) != 0 || length == 0) {
            if (strncmp(section, "router.", 7) == 0)
                for (const base_field *own = keys->router; own && own->name; own++)
                    write_key(out.file, own, keys->router_settings);
            section = key->name;
            length = strcspn(section, ".");
            fprintf(out.file, "\n[%.*s]\n", (int)length, section);
        }
        if (!keys->silent || strcmp(keys->silent, key->name) != 0)
            write_key(out.file, key, keys->settings);
    }
    return base_writer_commit(&out, err);
}

char *train_keys_fixed_text(const train_keys *keys)
{
    enum { LINE = TRAIN_TEXT + 160 };
    char value[TRAIN_TEXT];
    size_t used = 0, count = 1;

    for (const base_field *key = keys->keys; key->name; key++)
        count++;
    for (const base_field *key = keys->router; key && key->name; key++)
        count++;
    char *text = base_alloc(count, LINE);
    if (!text)
        return NULL;
    for (const base_field *key = keys->keys; key->name; key++)
        if (!key->free)
            used +=
                (size_t)snprintf(text + used, LINE, "%s = %s\n", key->name,
                                 base_field_text(value, sizeof value, keys->settings, key));
    for (const base_field *key = keys->router; key && key->name; key++)
        used += (size_t)snprintf(
            text + used, LINE, "router.%s = %s\n", key->name,
            base_field_text(value, sizeof value, keys->router_settings, key));
    return text;
}

const char *train_recipe_stored(size_t *length, const char *stored, const char *key)
{
    const size_t name = strlen(key);

    for (const char *line = stored; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, name) == 0 && strncmp(line + name, " = ", 3) == 0) {
            *length = strcspn(line + name + 3, "\n");
            return line + name + 3;
        }
    }
    return NULL;
}

static const char *const length_keys[] = {"train.epochs", "train.max_steps"};

void train_recipe_lengths(int64_t *epochs, int64_t *max_steps, const char *stored)
{
    int64_t *const out[] = {epochs, max_steps};
    char number[32];
    size_t length = 0;

    for (size_t i = 0; i < 2; i++) {
        const char *value = train_recipe_stored(&length, stored, length_keys[i]);
        snprintf(number, sizeof number, "%.*s", length < 31 ? (int)length : 31,
                 value ? value : "");
        base_parse_int(out[i], number);
    }
}

/* usual: the field and struct of the default, NULL: there is none. */
static base_status compare_key(const char *key, const base_field *field, const void *now,
                               const base_field *usual, const void *usual_settings,
                               const char *stored, base_error *err)
{
    char value[TRAIN_TEXT], other[TRAIN_TEXT];
    size_t length = 0;
    const char *old = train_recipe_stored(&length, stored, key);

    base_field_text(value, sizeof value, now, field);
    if (!old && usual) {
        old = base_field_text(other, sizeof other, usual_settings, usual);
        length = strlen(old);
    }
    if (!old || (length == strlen(value) && strncmp(old, value, length) == 0))
        return BASE_OK; /* no old: an option of a router that had none of it */
    return base_fail(err, BASE_MISMATCH,
                     "'%s' was '%.*s' when the run began and is '%s' now", key, (int)length,
                     old, value);
}

base_status train_keys_compare(const train_keys *now, const train_keys *usual,
                               const char *stored, bool lengths, base_error *err)
{
    base_status status = BASE_OK;
    char key[192];

    for (const base_field *f = now->keys; f->name && status == BASE_OK; f++)
        if (!f->free && !(now->silent && strcmp(f->name, now->silent) == 0) &&
            !(lengths && (strcmp(f->name, length_keys[0]) == 0 ||
                          strcmp(f->name, length_keys[1]) == 0)))
            status =
                compare_key(f->name, f, now->settings, f, usual->settings, stored, err);
    for (const base_field *f = now->router; f && f->name && status == BASE_OK; f++) {
        snprintf(key, sizeof key, "router.%s", f->name);
        status = compare_key(key, f, now->router_settings,
                             base_field_find(usual->router, f->name),
                             usual->router_settings, stored, err);
    }
    return status;
}

/* ---- the recipe of vmoe train -------------------------------------------------------- */

static train_keys keys_of(const train_recipe *recipe)
{
    const vit_router_config *router = &recipe->config.moe.router;

    return (train_keys){.keys = train_recipe_keys,
                        .settings = recipe,
                        .router = vit_router_options(router->name),
                        .router_settings = router->settings,
                        .silent = vit_router_uses_k(router->name) ? NULL : "router.k"};
}

base_status train_recipe_save(const train_recipe *recipe, const char *path, base_error *err)
{
    const train_keys keys = keys_of(recipe);
    char title[256];

    snprintf(title, sizeof title,
             "All settings of this run, resolved; vmoe %s, from the recipe '%s'.",
             BASE_VERSION, recipe->name);
    return train_keys_save(&keys, title, path, err);
}

char *train_recipe_fixed_text(const train_recipe *recipe)
{
    const train_keys keys = keys_of(recipe);

    return train_keys_fixed_text(&keys);
}

base_status train_recipe_compare(const train_recipe *recipe, const char *stored,
                                 bool lengths, base_error *err)
{
    train_recipe defaults = train_recipe_defaults();
    defaults.train.lanes = 1; /* what a run had before there were any */
    const train_keys now = keys_of(recipe), usual = keys_of(&defaults);
    size_t length = 0;

    if (!train_recipe_stored(&length, stored, "model.width") ||
        !train_recipe_stored(&length, stored, "optimizer.lr"))
        return base_fail(err, BASE_FORMAT, "the recipe that was stored is empty or cut");
    return train_keys_compare(&now, &usual, stored, lengths, err);
}
