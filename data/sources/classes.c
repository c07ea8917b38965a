/* classes.c - which label each class folder has (data.md 1). The rules, in
 * this order:
 *   1. a list was given (the training set's, a checkpoint's): the place in that list;
 *      folders that are all decimal numbers, and not names in the list, are places
 *      themselves;
 *   2. ImageNet: all names are among the 1000 WordNet ids and the network has 1000 outputs:
 *      the rank among the 1000, so that a subset of three does not become 0, 1, 2;
 *   3. all names are decimal numbers (ImageNet-V2 has 0 .. 999): the number. Bytewise order
 *      would give 0, 1, 10, 100;
 *   4. otherwise the rank of the name, bytewise.
 * Before all of them stands a class map file. A list of the numbers 0..999 (a model trained
 * on shards with numeric labels) knows ImageNet's ids too.
 * Free to change: the texts. Relied on elsewhere: the rules. */
#include "data/data_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

/* Whether the names of a list are their places. */
static bool is_numbers(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (data_class_number(names[i]) != (int32_t)i)
            return false;
    }
    return true;
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
        "next in order is '%s')",
        source->path, found, count, near_name);
}

static base_status from_list(data_source *source, int32_t *label_of,
                             const data_class_table *table,
                             const data_source_options *options, base_error *err)
{
    const size_t count = options->class_list_count;
    base_status status = make_room(source, count, err);
    const char *unknown = NULL;

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
    for (size_t i = 0; i < table->count; i++) {
        const uint32_t id = table->sorted[i];
        const place *at = find_place(table->name[id], places, count);
        label_of[id] = at ? at->label : -1;
        if (!at && !unknown)
            unknown = table->name[id];
    }
    if (unknown && count == DATA_IMAGENET_CLASSES && all_imagenet(table) &&
        is_numbers(options->class_list, count)) {
        unknown = NULL;
        for (size_t i = 0; i < table->count; i++)
            label_of[i] = data_imagenet_label(table->name[i]);
    }
    if (unknown && all_numbers(table)) {
        unknown = NULL;
        for (size_t i = 0; i < table->count; i++) {
            const uint32_t id = table->sorted[i];
            label_of[id] = data_class_number(table->name[id]);
            if ((size_t)label_of[id] >= count && !unknown)
                unknown = table->name[id];
        }
    }
    if (unknown)
        status = unknown_class(source, unknown, places, count, err);
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

/* A class for each number from 0 to the largest, or to the network's last. */
static base_status from_numbers(data_source *source, int32_t *label_of,
                                const data_class_table *table,
                                const data_source_options *options, base_error *err)
{
    size_t count = options->classes_of_model;
    base_status status;
    char number[24];

    for (size_t i = 0; i < table->count; i++) {
        const size_t label = (size_t)data_class_number(table->name[i]);
        label_of[i] = (int32_t)label;
        if (options->classes_of_model > 0 && label >= options->classes_of_model)
            return base_fail(
                err, BASE_MISMATCH,
                "'%s' has the class '%s', expected 0 to %zu: the model has %zu "
                "classes",
                source->path, table->name[i], options->classes_of_model - 1,
                options->classes_of_model);
        if (label >= count)
            count = label + 1;
    }
    status = make_room(source, count, err);
    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        const size_t label = (size_t)label_of[i];
        if (source->classes[label])
            return base_fail(err, BASE_FORMAT,
                             "'%s' has two folders for class %zu: '%s' and '%s'",
                             source->path, label, source->classes[label], table->name[i]);
        status = set_class(source, label, table->name[i], err);
    }
    for (size_t i = 0; i < source->class_count && status == BASE_OK; i++) {
        snprintf(number, sizeof number, "%zu", i);
        if (!source->classes[i])
            status = set_class(source, i, number, err);
    }
    return status;
}

static base_status from_names(data_source *source, int32_t *label_of,
                              const data_class_table *table, base_error *err)
{
    base_status status = make_room(source, table->count, err);

    for (size_t i = 0; i < table->count && status == BASE_OK; i++) {
        label_of[table->sorted[i]] = (int32_t)i;
        status = set_class(source, i, table->name[table->sorted[i]], err);
    }
    return status;
}

base_status data_classes_decide(data_source *source, int32_t *label_of,
                                const data_class_table *table,
                                const data_source_options *options, base_error *err)
{
    if (options->class_map)
        return data_classes_map(source, label_of, table, options, err);
    if (options->class_list && options->class_list_count > 0)
        return from_list(source, label_of, table, options, err);
    if (options->classes_of_model == DATA_IMAGENET_CLASSES && all_imagenet(table))
        return from_imagenet(source, label_of, table, err);
    if (all_numbers(table))
        return from_numbers(source, label_of, table, options, err);
    return from_names(source, label_of, table, err);
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
