/* parts.c - what lies above the class folders of a tree or an archive (data.md 1): the
 * parts of a data set (train, val, test), and folders around it, as archives unpack to.
 * Free to change: the words for parts. Relied on elsewhere: nothing is chosen in
 * silence. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <string.h>
#include <strings.h>

enum { QUOTED = 160, LISTED = 400 };

/* Words for parts; those of one split are the same to --split. */
static const struct word {
    const char *name, *split;
} words[] = {
    {"train", "train"}, {"training", "train"}, {"val", "val"},
    {"valid", "val"},   {"validation", "val"}, {"eval", "val"},
    {"dev", "val"},     {"test", "test"},      {"testing", "test"},
};

const char *data_part_split(const char *name)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i].name, name) == 0)
            return words[i].split;
    }
    return NULL;
}

bool data_part_name(const char *name)
{
    return data_part_split(name) != NULL;
}

/* The split of a word inside a name ("seg_train", "val2017", "Training Set", "testset");
 * NULL: none, or words of two. */
static const char *split_inside(const char *name)
{
    static const char *const ends[] = {"", "set", "data", "images"};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *found = NULL;

    for (const char *at = name; *at; at += strcspn(at, letters)) {
        const size_t run = strspn(at, letters);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            const size_t bytes = strlen(words[i].name);
            for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
                if (run != bytes + strlen(ends[e]) ||
                    strncasecmp(at, words[i].name, bytes) != 0 ||
                    strncasecmp(at + bytes, ends[e], run - bytes) != 0)
                    continue;
                if (found && strcmp(found, words[i].split) != 0)
                    return NULL;
                found = words[i].split;
            }
        }
        at += run;
    }
    return found;
}

static const char *split_of(const char *name, bool inside)
{
    return inside ? split_inside(name) : data_part_split(name);
}

void data_top_inner(data_top *top, const char *name, size_t bytes)
{
    enum { MOST = sizeof top->inner / sizeof *top->inner };
    char word[sizeof *top->inner];
    size_t i = 0;

    if (top->inner[MOST - 1][0]) /* full: an archive asks for each of its members */
        return;
    snprintf(word, sizeof word, "%.*s", (int)(bytes < sizeof word ? bytes : sizeof word),
             name);
    while (i < MOST && top->inner[i][0] && strcmp(top->inner[i], word) != 0)
        i++;
    if (i < MOST)
        memcpy(top->inner[i], word, sizeof word);
}

void data_note_wnids(data_source *source, const char *text)
{
    const char *last = "", *next;

    for (const char *line = text; *line; line = next) {
        const size_t bytes = strcspn(line, "\r\n");
        next = line + bytes + strspn(line + bytes, "\r\n");
        const size_t before = strcspn(last, "\r\n");
        const int order = strncmp(last, line, before < bytes ? before : bytes);
        if (order > 0 || (order == 0 && before > bytes)) {
            data_source_note(source,
                             "classes are in the order of their folders' names, as "
                             "torchvision has them; 'wnids.txt' has another, which is "
                             "not used");
            return;
        }
        last = line;
    }
}

/* A folder of class folders, not of pictures of trains. */
static bool is_part(const data_top *top, bool inside)
{
    return split_of(top->name, inside) && top->folders && !top->pictures;
}

/* Whether folders are parts by words inside their names: two of different splits. */
static bool are_parts_inside(const data_top *top, size_t count)
{
    const char *first = NULL;

    for (size_t i = 0; i < count; i++) {
        const char *split = is_part(&top[i], true) ? split_inside(top[i].name) : NULL;
        if (first && split && strcmp(first, split) != 0)
            return true;
        first = first ? first : split;
    }
    return false;
}

/* "'train', 'val'" of those that are parts, or are not. */
static const char *list_tops(char out[LISTED], const data_top *top, size_t count,
                             bool inside, bool parts)
{
    char shown[QUOTED];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && used < LISTED - 1; i++) {
        if ((split_of(top[i].name, inside) != NULL) == parts)
            used += (size_t)snprintf(out + used, LISTED - used, "%s'%s'", used ? ", " : "",
                                     base_quote(shown, sizeof shown, top[i].name));
    }
    return out;
}

/* The part of the split: of its very word before another word for it. */
static base_status choose_part(size_t *out, data_source *source, const char *where,
                               const data_top *top, size_t count, bool inside,
                               const data_source_options *options, base_error *err)
{
    const char *wanted = options->split ? options->split : "val";
    const char *split = data_part_split(wanted);
    size_t same = 0, others = 0;
    char parts[LISTED], rest[LISTED], shown[QUOTED];

    *out = DATA_NO_TOP;
    for (size_t i = 0; i < count; i++)
        others += split_of(top[i].name, inside) == NULL;
    list_tops(parts, top, count, inside, true);
    list_tops(rest, top, count, inside, false);
    if (others > 0 && !options->split)
        return base_fail(
            err, BASE_USAGE,
            "'%s' has the folders %s, parts of a data set, and beside them %s: "
            "say which is meant, with --split or the folder's own path",
            where, parts, rest);
    for (size_t i = 0; i < count; i++) {
        const char *own = split_of(top[i].name, inside);
        if (strcasecmp(top[i].name, wanted) == 0) {
            *out = i;
            same = 1;
            break;
        }
        if (own && split && strcmp(own, split) == 0) {
            *out = i;
            same++;
        }
    }
    if (same != 1)
        return base_fail(err, same == 0 ? BASE_IO : BASE_USAGE,
                         "'%s' holds %s for the split %s, but %s: say which is meant, with "
                         "--split or the folder's own path",
                         where, same == 0 ? "no folder" : "several folders", wanted, parts);
    source->split_used = true;
    data_source_note(source, "reading '%s' of '%s'",
                     base_quote(shown, sizeof shown, top[*out].name), where);
    if (others > 0)
        data_source_note(source, "beside the parts lie %s", rest);
    return BASE_OK;
}

/* Whether a folder alone at the top is a class by its name: then it is not around
 * others. */
static bool is_class(const char *name, const data_source_options *options)
{
    const int32_t number = data_class_number(name);

    for (size_t i = 0; options->class_list && i < options->class_list_count; i++) {
        if (strcmp(options->class_list[i], name) == 0)
            return true;
    }
    return (name[0] == 'n' && strlen(name) == 9 && strspn(name + 1, "0123456789") == 8) ||
           (number >= 0 && (size_t)number < options->classes_of_model);
}

static bool is_severity(const data_top *top)
{
    return top->name[0] >= '1' && top->name[0] <= '5' && !top->name[1] && top->folders &&
           !top->pictures;
}

/* Whether the folder called name is among the first in top. */
static bool has_inner(const data_top *top, const char *name)
{
    for (size_t i = 0; i < sizeof top->inner / sizeof *top->inner; i++) {
        if (name[0] && strcmp(top->inner[i], name) == 0)
            return true;
    }
    return false;
}

/* Classes whose folders are the same in each may be parts, or domains, of the classes. */
static void note_alike(data_source *source, const data_top *top, size_t count)
{
    enum { FEW = 8, INNER = sizeof top->inner / sizeof *top->inner };
    const data_top *first = NULL, *last = NULL;
    size_t filled = 0, shared = INNER;
    char a[QUOTED], b[QUOTED], c[QUOTED];

    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        if (!top[i].folders && !top[i].pictures)
            continue;
        if (top[i].pictures || ++filled > FEW)
            return;
        first = first ? first : &top[i];
        last = &top[i];
        for (size_t k = 0; k < INNER; k++)
            same += has_inner(&top[i], first->inner[k]);
        shared = same < shared ? same : shared;
    }
    if (shared > 1)
        data_source_note(
            source,
            "the classes are the %zu folders '%s' to '%s', each of which holds "
            "'%s' and more of the same names: where those are the classes, name "
            "one of the %zu",
            filled, base_quote(a, sizeof a, first->name),
            base_quote(b, sizeof b, last->name), base_quote(c, sizeof c, first->inner[0]),
            filled);
}

base_status data_parts_choose(size_t *out, data_source *source, const char *where,
                              const data_top *top, size_t count, bool pictures,
                              const data_source_options *options, base_error *err)
{
    size_t parts = 0, flat = 0, severities = 0, filled = 0, last = 0;
    char shown[QUOTED];

    *out = DATA_NO_TOP;
    for (size_t i = 0; i < count; i++) {
        parts += is_part(&top[i], false);
        flat += data_part_split(top[i].name) && top[i].pictures;
        severities += is_severity(&top[i]);
        if (top[i].pictures || top[i].folders) {
            filled++;
            last = i;
        }
    }
    const bool inside = parts == 0 && are_parts_inside(top, count);
    if (parts > 0 || inside)
        return choose_part(out, source, where, top, count, inside, options, err);
    if (severities > 1 && severities == filled && !pictures)
        return base_fail(
            err, BASE_USAGE,
            "'%s' has the folders '%s' to '%s' with class folders in them, "
            "severities of a corruption: name one of them, or the tree above as "
            "imagenet-c:DIR",
            where, top[0].name, top[last].name);
    if (flat > 1 && flat == filled)
        data_source_note(
            source, "the classes of '%s' are called as parts of a data set are", where);
    if (filled > 1 && !pictures)
        note_alike(source, top, count);
    if (filled != 1 || pictures || !top[last].folders || top[last].pictures ||
        (is_class(top[last].name, options) && severities == 0))
        return BASE_OK;
    data_source_note(source, "'%s' holds only the folder '%s': reading that", where,
                     base_quote(shown, sizeof shown, top[last].name));
    *out = last;
    return BASE_OK;
}

bool data_parts_flat(const data_top *top, size_t count, bool pictures,
                     const data_source_options *options, size_t *out)
{
    size_t filled = 0, last = 0;

    *out = DATA_NO_TOP;
    for (size_t i = 0; i < count; i++) {
        if (top[i].pictures || top[i].folders) {
            filled++;
            last = i;
        }
    }
    if (filled == 0 || pictures)
        return filled == 0 && pictures;
    if (filled > 1 || !top[last].pictures || top[last].folders ||
        (!options->val_labels && strcasecmp(top[last].name, "images") != 0))
        return false;
    *out = last;
    return true;
}
