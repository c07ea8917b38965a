/* classes.c - which label each class folder has (data.md 1). Folders without a picture take
 * no part. The rules, in this order:
 *   1. a list was given (the training set's, a checkpoint's): the place in that list; WordNet
 *      ids are places of a list that is ImageNet's by its numbers or names; folders that are
 *      all decimal numbers are places where no name of the list is another number;
 *   2. ImageNet: all names are among the 1000 WordNet ids and the network has 1000 outputs:
 *      the rank among the 1000, so that a subset of three does not become 0, 1, 2;
 *   3. all names are decimal numbers below the network's outputs (ImageNet-V2 has 0 .. 999):
 *      the number. Bytewise order would give 0, 1, 10, 100;
 *   4. otherwise the rank of the name, bytewise, numbers by their value: where the data
 *      defines the classes, or there are as many of them as the network has outputs. Any
 *      other data is refused.
 * Before all of them stands a class map file.
 * Free to change: the texts. Relied on elsewhere: the rules. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { QUOTED = 160, SPELLED = 512 /* as in checkpoints */ };

static base_status no_memory(base_error *err, size_t classes)
{
    return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", classes);
}

/* source->classes becomes count names, to be filled. */
static base_status make_room(data_source *source, size_t count, base_error *err)
{
    source->classes = base_alloc(count, sizeof *source->classes);
    if (!source->classes)
        return no_memory(err, count);
    source->class_count = count;
    return BASE_OK;
}

static base_status set_class(data_source *source, size_t label, const char *name,
                             base_error *err)
{
    source->classes[label] = base_text("%s", name);
    return source->classes[label] ? BASE_OK : no_memory(err, source->class_count);
}

/* A name of a list and its place. */
typedef struct place {
    const char *name;
    int32_t label;
} place;

static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    const int order = strcmp(x->name, y->name);

    return order != 0 ? order : x->label < y->label ? -1 : x->label > y->label;
}

static int compare_name(const void *name, const void *at)
{
    return strcmp(name, ((const place *)at)->name);
}

/* A checkpoint spells the names of folders that are no UTF-8 as base_quote does. */
static const place *find_place(const char *name, const place *places, size_t count)
{
    char spelled[SPELLED];
    const place *at = bsearch(name, places, count, sizeof *places, compare_name);

    return at ? at
              : bsearch(base_quote(spelled, sizeof spelled, name), places, count,
                        sizeof *places, compare_name);
}

static bool all_numbers(const data_class_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (data_class_number(table->name[i]) < 0)
            return false;
    }
    return true;
}

static bool all_imagenet(const data_class_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (data_imagenet_label(table->name[i]) < 0)
            return false;
    }
    return true;
}

/* Whether a name of a list is a number. */
static bool has_numbers(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (data_class_number(names[i]) >= 0)
            return true;
    }
    return false;
}

/* Whether the names of a list are their places. */
static bool is_numbers(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (data_class_number(names[i]) != (int32_t)i)
            return false;
    }
    return true;
}

/* Whether a list of a thousand names is ImageNet's in its order: ids, numbers, or the short
 * names, alone or before a comma ("tench, Tinca tinca"), but for a few that are spelled
 * otherwise. */
static bool is_imagenet_list(const char *const *names, size_t count)
{
    enum { ALIKE = 900 };
    size_t alike = 0;

    if (count != DATA_IMAGENET_CLASSES)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *own = data_imagenet_name(data_imagenet_wnid(i));
        const size_t bytes = strcspn(names[i], ",");
        alike += data_class_number(names[i]) == (int32_t)i ||
                 strcmp(names[i], data_imagenet_wnid(i)) == 0 ||
                 (strlen(own) == bytes && strncasecmp(own, names[i], bytes) == 0);
    }
    return alike >= ALIKE;
}

/* The name that is the first (bytewise) not to be in the list, with what it was expected to
 * be. */
static base_status unknown_class(const data_source *source, const char *name,
                                 const place *places, size_t count, base_error *err)
{
    char found[QUOTED], near_name[QUOTED];
    size_t at = 0;

    base_quote(found, sizeof found, name);
    while (at + 1 < count && strcmp(places[at].name, name) < 0)
        at++; /* the list's name that stands where this one was found */
    base_quote(near_name, sizeof near_name, places[at].name);
    return base_fail(
        err, BASE_MISMATCH,
        "'%s' has the class '%s', which is not among the %zu known classes (the "
        "next in order is '%s'): --class-map FILE says what it is",
        source->path, found, count, near_name);
}

/* Folders that are not all names of the list: by another rule, or refused. */
static base_status from_list_otherwise(data_source *source, int32_t *label_of,
                                       const data_class_table *table, const char *unknown,
                                       const place *places,
                                       const data_source_options *options, base_error *err)
{
    const char *const *list = options->class_list;
    const size_t count = options->class_list_count;

    if (all_imagenet(table) && is_imagenet_list(list, count)) {
        for (size_t i = 0; i < table->count; i++)
            label_of[i] = data_imagenet_label(table->name[i]);
        data_source_note(source, "folders are WordNet ids, the network's names ImageNet's: "
                                 "labels are its 1000");
        return BASE_OK;
    }
    if (!all_numbers(table) || (has_numbers(list, count) && !is_numbers(list, count)))
        return unknown_class(source, unknown, places, count, err);
    for (size_t i = 0; i < table->count; i++) {
        label_of[i] = data_class_number(table->name[i]);
        if ((size_t)label_of[i] >= count)
            return unknown_class(source, table->name[i], places, count, err);
    }
    data_source_note(source, "folders are numbers: labels are these, from 0");
    return BASE_OK;
}

static base_status from_list(data_source *source, int32_t *label_of,
                             const data_class_table *table,
                             const data_source_options *options, base_error *err)
{
    const size_t count = options->class_list_count;
    base_status status = make_room(source, count, err);
    const char *unknown = NULL;
    char shown[QUOTED];

    place *places = base_alloc(count, sizeof *places);
    if (status == BASE_OK && !places)
        status = no_memory(err, count);
    assert(places || status != BASE_OK);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        places[i] = (place){options->class_list[i], (int32_t)i};
        status = set_class(source, i, options->class_list[i], err);
    }
    if (status != BASE_OK)
        goto done;
    qsort(places, count, sizeof *places, compare_places);
    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        const place *at = find_place(table->name[i], places, count);
        label_of[i] = at ? at->label : -1;
        unknown = at || unknown ? unknown : table->name[i];
        if (at && ((at > places && strcmp(at[-1].name, at->name) == 0) ||
                   (at + 1 < places + count && strcmp(at[1].name, at->name) == 0)))
            status =
                base_fail(err, BASE_MISMATCH,
                          "'%s' has the class '%s', which two of the %zu known classes "
                          "are called: --class-map FILE says which it is",
                          source->path, base_quote(shown, sizeof shown, at->name), count);
    }
    if (status == BASE_OK && unknown)
        status =
            from_list_otherwise(source, label_of, table, unknown, places, options, err);
done:
    base_free(places);
    return status;
}

static base_status from_imagenet(data_source *source, int32_t *label_of,
                                 const data_class_table *table, base_error *err)
{
    base_status status = make_room(source, DATA_IMAGENET_CLASSES, err);

    for (size_t i = 0; i < source->class_count && status == BASE_OK; i++)
        status = set_class(source, i, data_imagenet_wnid(i), err);
    for (size_t i = 0; i < table->count; i++)
        label_of[i] = data_imagenet_label(table->name[i]);
    if (status == BASE_OK && table->count < DATA_IMAGENET_CLASSES)
        data_source_note(source, "%zu of ImageNet's 1000 classes, with their global labels",
                         table->count);
    return status;
}

/* Folders that are numbers below the network's outputs. */
static base_status from_numbers(data_source *source, int32_t *label_of,
                                const data_class_table *table, size_t outputs,
                                base_error *err)
{
    base_status status = make_room(source, outputs, err);
    char number[24];

    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        const size_t label = (size_t)data_class_number(table->name[i]);
        label_of[i] = (int32_t)label;
        if (source->classes[label])
            return base_fail(err, BASE_FORMAT,
                             "'%s' has two folders for class %zu: '%s' and '%s'",
                             source->path, label, source->classes[label], table->name[i]);
        status = set_class(source, label, table->name[i], err);
    }
    for (size_t i = 0; i < outputs && status == BASE_OK; i++) {
        snprintf(number, sizeof number, "%zu", i);
        if (!source->classes[i])
            status = set_class(source, i, number, err);
    }
    if (status == BASE_OK)
        data_source_note(source, "folders are numbers: labels are these, from 0");
    return status;
}

/* The first class that no rule gives a label, for a message: the odd one among WordNet ids,
 * the first number that is too large, the odd one among numbers, else the first. */
static const char *first_misfit(const data_class_table *table, size_t outputs)
{
    const char *other = NULL;
    bool ids = false, numbers = false; /* is there one */

    for (size_t i = 0; i < table->count; i++) {
        ids = ids || data_imagenet_label(table->name[i]) >= 0;
        numbers = numbers || data_class_number(table->name[i]) >= 0;
    }
    for (size_t i = 0; i < table->count && !other; i++) {
        const int32_t number = data_class_number(table->name[i]);
        const bool fits = ids ? outputs == DATA_IMAGENET_CLASSES &&
                                    data_imagenet_label(table->name[i]) >= 0
                          : numbers ? number >= 0 && (size_t)number < outputs
                                    : false;
        other = fits ? NULL : table->name[i];
    }
    return other ? other : table->name[0];
}

/* Numbers by their value, in front of names; else bytewise. */
static int compare_ranked(const void *a, const void *b, void *user)
{
    char *const *name = ((const data_class_table *)user)->name;
    const char *x = name[*(const uint32_t *)a], *y = name[*(const uint32_t *)b];
    const int32_t m = data_class_number(x), n = data_class_number(y);

    return m != n ? (m > n) - (m < n) : strcmp(x, y);
}

/* Every folder is a class, in the order of the names. */
static base_status from_names(data_source *source, int32_t *label_of,
                              const data_class_table *table,
                              const data_source_options *options, base_error *err)
{
    const size_t outputs = options->defines_classes ? 0 : options->classes_of_model;
    const bool numbers = all_numbers(table);
    bool plain = true;
    char shown[QUOTED];

    if (outputs > 0 && table->count != outputs)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' has the class '%s', which is none of the network's by its "
                         "name: %zu classes with images, %zu outputs without names; "
                         "--class-map FILE says what it is",
                         source->path,
                         base_quote(shown, sizeof shown, first_misfit(table, outputs)),
                         table->count, outputs);
    base_status status = make_room(source, table->count, err);
    uint32_t *order = base_alloc(table->count, sizeof *order);
    if (!order)
        return no_memory(err, table->count);
    for (size_t i = 0; i < table->count; i++)
        order[i] = (uint32_t)i;
    if (numbers)
        qsort_r(order, table->count, sizeof *order, compare_ranked,
                (void *)(uintptr_t)table);
    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        label_of[order[i]] = (int32_t)i;
        plain = plain && data_class_number(table->name[order[i]]) == (int32_t)i;
        status = set_class(source, i, table->name[order[i]], err);
    }
    base_free(order);
    if (status == BASE_OK && numbers && !plain)
        data_source_note(source,
                         "folders are numbers, but not 0 to %zu: classes are the %zu "
                         "folders, label 0 is '%s'",
                         table->count - 1, table->count, source->classes[0]);
    else if (status == BASE_OK && outputs > 0 && !numbers)
        data_source_note(source,
                         "the network has no names: labels are the ranks of the %zu "
                         "class names",
                         table->count);
    return status;
}

/* table has only classes with images, sorted by name. */
static base_status decide(data_source *source, int32_t *label_of,
                          const data_class_table *table, const data_source_options *options,
                          base_error *err)
{
    const size_t outputs = options->classes_of_model;
    bool below = outputs > 0 && all_numbers(table);

    if (options->class_map)
        return data_classes_map(source, label_of, table, options, err);
    if (options->class_list && options->class_list_count > 0)
        return from_list(source, label_of, table, options, err);
    if (outputs == DATA_IMAGENET_CLASSES && all_imagenet(table))
        return from_imagenet(source, label_of, table, err);
    for (size_t i = 0; i < table->count && below; i++)
        below = (size_t)data_class_number(table->name[i]) < outputs;
    if (below)
        return from_numbers(source, label_of, table, outputs, err);
    return from_names(source, label_of, table, options, err);
}

base_status data_classes_decide(data_source *source, int32_t *label_of, size_t *used,
                                const data_class_table *table, const size_t *images,
                                const data_source_options *options, base_error *err)
{
    data_class_table with = {0};
    base_status status = BASE_OK;
    uint32_t number;

    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        const uint32_t id = table->sorted[i];
        if (images[id] > 0)
            status = data_class_add(&number, &with, table->name[id], err);
    }
    int32_t *label = base_alloc(with.count, sizeof *label);
    if (status == BASE_OK && !label)
        status = no_memory(err, with.count);
    if (status == BASE_OK)
        status = decide(source, label, &with, options, err);
    *used = with.count;
    for (size_t i = 0, k = 0; i < table->count && status == BASE_OK; i++) {
        const uint32_t id = table->sorted[i];
        label_of[id] = images[id] > 0 ? label[k++] : -1;
    }
    base_free(label);
    data_class_table_destroy(&with);
    return status;
}

base_status data_classes_number(data_source *source, size_t highest,
                                const data_source_options *options, base_error *err)
{
    const bool listed = options->class_list && options->class_list_count > 0;
    const size_t count = listed                      ? options->class_list_count
                         : options->classes_of_model ? options->classes_of_model
                                                     : highest + 1;
    char number[24];

    if (count > DATA_CLASSES_MAX)
        return base_fail(err, BASE_UNSUPPORTED, "'%s': more than %d classes", source->path,
                         DATA_CLASSES_MAX);
    base_status status = make_room(source, count, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        snprintf(number, sizeof number, "%zu", i);
        status = set_class(source, i, listed ? options->class_list[i] : number, err);
    }
    return status;
}
