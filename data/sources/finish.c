/* finish.c - from what a scan found to numbered, labelled samples (data.md 1, 2):
 * the canonical order, then labels and the order by label, then the checks. Free to change:
 * the sort. Relied on elsewhere: order (label, class name, path bytewise), the same for a
 * folder, a tar and shards of the same images. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"
#include "data/sources/labels_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- canonical order ---------------------------------------------------------------- */

typedef struct sorting {
    const data_index *index;
    const uint32_t *rank; /* of each class among the names, NULL: no classes */
} sorting;

/* Records a and b by class, path, then place in the container: of two members of one name
 * the later stands last. */
static int compare_records(const sorting *s, uint32_t a, uint32_t b)
{
    const data_record *x = data_index_at(s->index, a), *y = data_index_at(s->index, b);

    if (s->rank && x->label != y->label)
        return s->rank[x->label] < s->rank[y->label] ? -1 : 1;
    const int order =
        strcmp(data_index_name(s->index, x->name), data_index_name(s->index, y->name));
    if (order != 0)
        return order;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int compare_numbers(const void *a, const void *b, void *s)
{
    return compare_records(s, *(const uint32_t *)a, *(const uint32_t *)b);
}

static bool in_order(const sorting *s)
{
    for (size_t i = 1; i < s->index->count; i++) {
        if (compare_records(s, (uint32_t)(i - 1), (uint32_t)i) > 0)
            return false;
    }
    return true;
}

/* Record from[i] comes to place i: along the cycles, in place. from is used up. */
static void move_records(data_index *index, uint32_t *from)
{
    for (size_t start = 0; start < index->count; start++) {
        const data_record kept = *data_index_at(index, start);
        size_t at = start;
        while (from[at] != start) {
            const size_t next = from[at];
            *data_index_at(index, at) = *data_index_at(index, next);
            from[at] = (uint32_t)at;
            at = next;
        }
        *data_index_at(index, at) = kept;
        from[at] = (uint32_t)at;
    }
}

/* Stable order by key of label, counting; keys of them, rank NULL: the label itself. */
static base_status order_by_label(data_index *index, const uint32_t *rank, size_t keys,
                                  base_error *err)
{
    base_status status = BASE_OK;
    size_t last = 0;
    bool ordered = true;

    for (size_t i = 0; i < index->count && ordered; i++) {
        const size_t label = (size_t)data_index_at(index, i)->label;
        const size_t key = rank ? rank[label] : label;
        ordered = last <= key;
        last = key;
    }
    if (ordered)
        return BASE_OK;
    size_t *place = base_alloc(keys + 1, sizeof *place);
    uint32_t *from = base_alloc(index->count, sizeof *from);
    if (!place || !from) {
        status =
            base_fail(err, BASE_NO_MEMORY, "no memory to sort %zu samples", index->count);
        goto done;
    }
    for (size_t i = 0; i < index->count; i++) {
        const size_t label = (size_t)data_index_at(index, i)->label;
        place[(rank ? rank[label] : label) + 1]++;
    }
    for (size_t c = 0; c < keys; c++)
        place[c + 1] += place[c];
    for (size_t i = 0; i < index->count; i++) {
        const size_t label = (size_t)data_index_at(index, i)->label;
        from[place[rank ? rank[label] : label]++] = (uint32_t)i;
    }
    move_records(index, from);
done:
    base_free(place);
    base_free(from);
    return status;
}

/* The place of each class among the names (base_free), NULL: no memory. */
static uint32_t *ranks_of(const data_class_table *table, base_error *err)
{
    uint32_t *rank = base_alloc(table->count, sizeof *rank);

    if (!rank)
        base_fail(err, BASE_NO_MEMORY, "no memory to sort %zu classes", table->count);
    for (size_t i = 0; rank && i < table->count; i++)
        rank[table->sorted[i]] = (uint32_t)i;
    return rank;
}

base_status data_source_order_classes(data_source *source, base_error *err)
{
    uint32_t *rank = ranks_of(&source->table, err);

    if (!rank)
        return BASE_NO_MEMORY;
    const base_status status =
        order_by_label(&source->index, rank, source->table.count, err);
    base_free(rank);
    return status;
}

/* Sorts numbers, not records: a quarter of the memory. */
static base_status sort_records(data_index *index, sorting *s, base_error *err)
{
    if (in_order(s))
        return BASE_OK;
    uint32_t *from = base_alloc(index->count, sizeof *from);
    if (!from)
        return base_fail(err, BASE_NO_MEMORY, "no memory to sort %zu samples",
                         index->count);
    for (size_t i = 0; i < index->count; i++)
        from[i] = (uint32_t)i;
    qsort_r(from, index->count, sizeof *from, compare_numbers, s);
    move_records(index, from);
    base_free(from);
    return BASE_OK;
}

/* Of members of the same name only the last counts, as unpacking leaves it. */
static void drop_overwritten(data_source *source, const sorting *s)
{
    data_index *index = &source->index;
    size_t kept = 0;

    for (size_t i = 0; i < index->count; i++) {
        const data_record *r = data_index_at(index, i);
        const data_record *next = i + 1 < index->count ? data_index_at(index, i + 1) : NULL;
        if (next && (!s->rank || next->label == r->label) &&
            strcmp(data_index_name(index, next->name), data_index_name(index, r->name)) ==
                0)
            source->left_out.by[DATA_IGNORED_AGAIN]++;
        else
            *data_index_at(index, kept++) = *r;
    }
    index->count = kept;
}

base_status data_source_sort(data_source *source, base_error *err)
{
    const bool classes = source->labelling == DATA_LABELS_CLASSES;
    uint32_t *rank = NULL;

    if (classes) {
        rank = ranks_of(&source->table, err);
        if (!rank)
            return BASE_NO_MEMORY;
    }
    sorting s = {.index = &source->index, .rank = rank};
    const base_status status = sort_records(&source->index, &s, err);
    if (status == BASE_OK)
        drop_overwritten(source, &s);
    base_free(rank);
    return status;
}

base_status data_source_sort_members(data_source *source, base_error *err)
{
    const base_status status = data_source_sort(source, err);

    data_index_drop_names(&source->index);
    source->names = false;
    for (size_t i = 0; i < source->index.count; i++) {
        data_record *r = data_index_at(&source->index, i);
        r->name = r->container;
        r->container = 0;
    }
    return status;
}

/* ---- labels ------------------------------------------------------------------------- */

/* Names the classes without an image; the order of the table, at most three of them. */
static void note_empty_classes(data_source *source, const size_t *images,
                               const data_class_table *table)
{
    char list[200] = "", shown[64];
    size_t empty = 0;

    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->name[table->sorted[i]];
        if (images[table->sorted[i]] > 0)
            continue;
        const size_t used = strlen(list);
        if (empty < 3)
            snprintf(list + used, sizeof list - used, "%s'%s'", empty ? ", " : "",
                     base_quote(shown, sizeof shown, name));
        empty++;
    }
    if (empty > 0)
        data_source_note(source,
                         "%zu of %zu class folders without images, no classes: %s%s", empty,
                         table->count, list, empty > 3 ? ", ..." : "");
}

/* Records' labels are numbers of table. */
static base_status label_classes(data_source *source, const data_class_table *table,
                                 bool reorder, const data_source_options *options,
                                 base_error *err)
{
    data_index *index = &source->index;
    base_status status = BASE_OK;
    int32_t *label_of = base_alloc(table->count, sizeof *label_of);
    size_t *images = base_alloc(table->count, sizeof *images), used = 0;

    if (!label_of || !images) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu classes", table->count);
        goto done;
    }
    /* A set without any image has no class list worth judging: data_source_seal says so. */
    for (size_t i = 0; i < index->count; i++)
        images[data_index_at(index, i)->label]++;
    if (index->count > 0)
        status = data_classes_decide(source, label_of, &used, table, images, options, err);
    if (status != BASE_OK)
        goto done;
    for (size_t i = 0; i < index->count; i++) {
        data_record *r = data_index_at(index, i);
        r->label = label_of[r->label];
    }
    if (reorder && index->count > 0)
        status = order_by_label(index, NULL, source->class_count, err);
    if (status != BASE_OK)
        goto done;
    note_empty_classes(source, images, table);
    status = data_source_seal(source, used, options, err);
done:
    base_free(label_of);
    base_free(images);
    return status;
}

/* Labels stand in the records; those beyond the classes become bad samples. */
static base_status label_numbers(data_source *source, const data_source_options *options,
                                 base_error *err)
{
    data_index *index = &source->index;
    int32_t highest = -1, lowest = INT32_MAX;

    for (size_t i = 0; i < index->count; i++) {
        const int32_t label = data_index_at(index, i)->label;
        highest = label > highest ? label : highest;
        if (label >= 0 && label < lowest)
            lowest = label;
    }
    if (highest < 0)
        return base_fail(err, BASE_FORMAT, "'%s' has no sample with a label", source->path);
    const base_status status = data_classes_number(source, (size_t)highest, options, err);
    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < index->count; i++) {
        data_record *r = data_index_at(index, i);
        if (r->label >= 0 && (size_t)r->label >= source->class_count) {
            r->label = data_label_refused(r->label);
            r->size = data_size_unreadable(DATA_LABEL_RANGE);
        }
    }
    return data_source_seal(source, highest == lowest ? 1 : 2, options, err);
}

static base_status no_labels(data_source *source, const data_source_options *options,
                             base_error *err)
{
    if (!options->allow_unlabelled)
        return base_fail(
            err, BASE_FORMAT,
            "'%s' holds %zu images but no class folders or labels, expected %s, or a file of "
            "labels (--val-labels)",
            source->path, source->index.count, data_layout_folder.holds);
    for (size_t i = 0; i < source->index.count; i++)
        data_index_at(&source->index, i)->label = -1;
    return data_source_seal(source, 0, options, err);
}

/* A record's name, from the index or the archive; own [DATA_NAME_MAX + 2]. */
static const char *image_name(char *own, const data_source *source, const data_record *r)
{
    if (source->names)
        return data_index_name(&source->index, r->name);
    return data_archive_name(own, source, r) ? own : "";
}

/* Every image's class from the file of labels. */
static base_status classes_of_truth(data_class_table *table, data_source *source,
                                    data_truth *truth, const char *path, base_error *err)
{
    base_status status = BASE_OK;

    if (data_truth_named(truth) && data_truth_count(truth) > source->index.count)
        data_source_note(source, "'%s' has labels of %zu images more", path,
                         data_truth_count(truth) - source->index.count);
    else if (data_truth_count(truth) != source->index.count)
        return base_fail(err, BASE_MISMATCH,
                         "'%s' holds labels of %zu images (%s), but '%s' holds %zu", path,
                         data_truth_count(truth), data_truth_kind(truth), source->path,
                         source->index.count);
    for (size_t i = 0; i < source->index.count && status == BASE_OK; i++) {
        data_record *r = data_index_at(&source->index, i);
        char own[DATA_NAME_MAX + 2];
        const char *name = image_name(own, source, r);
        const char *class = NULL;
        uint32_t number = 0;
        status = data_truth_take(&class, truth, name, path, err);
        if (status == BASE_OK)
            status = data_class_add(&number, table, class, err);
        r->label = (int32_t)number;
    }
    return status;
}

/* Whether numbers of a file of labels are ImageNet's: by the network, else by the images'
 * names. */
static bool is_imagenet(const data_source *source, const data_source_options *options)
{
    const size_t outputs =
        options->class_list ? options->class_list_count : options->classes_of_model;
    char own[DATA_NAME_MAX + 2];

    if (outputs > 0)
        return outputs == DATA_IMAGENET_CLASSES;
    const char *name = image_name(own, source, data_index_at(&source->index, 0));
    const char *slash = strrchr(name, '/');
    return strncmp(slash ? slash + 1 : name, "ILSVRC2012_", 11) == 0;
}

/* The file of labels: the options', one beside the images, one in their archive; *name
 * (base_free) is what messages call it. *out NULL: there is none. */
static base_status find_truth(data_truth **out, char **name, const data_source *source,
                              const data_source_options *options, base_error *err)
{
    const char *path = options->val_labels ? options->val_labels : source->truth_path;
    const bool archive =
        source->layout == &data_layout_tar || source->layout == &data_layout_zip;
    const bool imagenet = is_imagenet(source, options);
    base_status status = BASE_OK;
    char *text = NULL;
    size_t bytes = 0;

    if (path) {
        *name = base_text("%s", path);
        return *name ? data_truth_load(out, path, imagenet, err)
                     : base_fail(err, BASE_NO_MEMORY, "no memory for a name");
    }
    if (archive)
        status = data_archive_truth(&text, &bytes, name, source, err);
    if (status == BASE_OK && text)
        return data_truth_parse(out, text, bytes, *name, imagenet, err);
    base_free(text);
    return status;
}

static base_status label_truth(data_source *source, const data_source_options *options,
                               base_error *err)
{
    const bool ilsvrc =
        source->layout == &data_layout_ilsvrc || source->layout == &data_layout_kaggle;
    data_class_table table = {0};
    data_truth *truth = NULL;
    char *name = NULL;

    if (source->index.count == 0 && (options->val_labels || source->truth_path))
        return data_source_seal(source, 0, options, err);
    base_status status = BASE_OK;
    if (source->index.count > 0)
        status = find_truth(&truth, &name, source, options, err);
    if (status == BASE_OK && !truth && (options->allow_unlabelled || !ilsvrc)) {
        status = no_labels(source, options, err);
    } else if (status == BASE_OK && !truth) {
        status =
            base_fail(err, BASE_USAGE,
                      "'%s' holds ILSVRC2012's validation images without their labels, "
                      "expected --val-labels FILE (ILSVRC2012_validation_ground_truth."
                      "txt, the devkit's .tar.gz, or LOC_val_solution.csv)",
                      source->path);
    } else if (status == BASE_OK) {
        status = classes_of_truth(&table, source, truth, name, err);
        if (status == BASE_OK) {
            data_source_note(source, "labels: '%s', %s", name, data_truth_kind(truth));
            status = label_classes(source, &table, false, options, err);
        }
    }
    data_truth_destroy(truth);
    data_class_table_destroy(&table);
    base_free(name);
    return status;
}

base_status data_source_finish(data_source *source, const data_source_options *options,
                               base_error *err)
{
    switch (source->labelling) {
    case DATA_LABELS_CLASSES:
        return label_classes(source, &source->table, !source->as_found, options, err);
    case DATA_LABELS_NUMBERS: return label_numbers(source, options, err);
    case DATA_LABELS_TRUTH: return label_truth(source, options, err);
    case DATA_LABELS_NONE: break;
    }
    return no_labels(source, options, err);
}

base_status data_source_seal(data_source *source, size_t present,
                             const data_source_options *options, base_error *err)
{
    if (source->index.count == 0 && data_source_ignored(source) == 0)
        return base_fail(err, BASE_FORMAT, "'%s' holds no images, expected %s",
                         source->path, source->layout->holds);
    size_t videos = 0;
    for (size_t i = DATA_VIDEOS; i < DATA_FORMATS; i++)
        videos += source->left_out.format[i];
    if (source->index.count == 0 && videos > 0)
        return base_fail(err, BASE_UNSUPPORTED,
                         "'%s' holds %zu videos and no images (ImageNet-P's sequences are "
                         ".mp4): videos are not read",
                         source->path, videos);
    if (source->index.count == 0)
        return base_fail(
            err, BASE_FORMAT,
            "'%s' holds no images, but %zu names that are none (or lie in no class "
            "folder), expected %s",
            source->path, data_source_ignored(source), source->layout->holds);
    if (!options->allow_single_class && source->class_count > 0 &&
        (source->class_count == 1 || (!options->class_list && present == 1))) {
        const int32_t label = data_index_at(&source->index, 0)->label;
        char shown[128];
        return base_fail(
            err, BASE_FORMAT, "'%s' has one class only ('%s'), expected two or more",
            source->path,
            base_quote(shown, sizeof shown, source->classes[label < 0 ? 0 : label]));
    }
    uint64_t hash = base_key((uint64_t[]){source->index.count}, 1);
    for (size_t i = 0; i < source->index.count; i++) {
        const data_record *r = data_index_at(&source->index, i);
        const uint64_t size = data_record_readable(r) ? r->size : UINT32_MAX;
        hash = base_key((uint64_t[]){hash, (uint64_t)(int64_t)r->label, size}, 3);
    }
    source->fingerprint = source->whole = hash;
    return BASE_OK;
}
