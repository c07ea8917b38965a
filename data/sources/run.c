/* run.c - the samples of one class of an archive, put in order before their names
 * are let go: an index of a whole archive then needs no names, only those of a class at a
 * time. Free to change: the sort. Relied on elsewhere: order by path, bytewise; of members
 * with one name the last one stays. */
#include "data/data_internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b, void *user)
{
    const data_index *index = user;
    const data_record *x = data_index_at(index, *(const uint32_t *)a);
    const data_record *y = data_index_at(index, *(const uint32_t *)b);
    const int order =
        strcmp(data_index_name(index, x->name), data_index_name(index, y->name));

    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

base_status data_run_add(data_run *run, const data_record *record, const char *name,
                         base_error *err)
{
    data_record r = *record;

    r.container = r.name; /* the name of the index comes in its place */
    return data_index_add(&run->index, &r, name, err);
}

base_status data_run_end(data_run *run, data_source *source, base_error *err)
{
    data_index *index = &run->index;
    base_status status = BASE_OK;

    if (!data_grow(&run->order, &run->room, index->count, sizeof *run->order))
        return base_fail(err, BASE_NO_MEMORY, "no memory to sort %zu samples",
                         index->count);
    for (size_t i = 0; i < index->count; i++)
        run->order[i] = (uint32_t)i;
    if (index->count > 0)
        qsort_r(run->order, index->count, sizeof *run->order, compare_names, index);
    for (size_t i = 0; i < index->count && status == BASE_OK; i++) {
        data_record r = *data_index_at(index, run->order[i]);
        const data_record *next =
            i + 1 < index->count ? data_index_at(index, run->order[i + 1]) : NULL;
        if (next && strcmp(data_index_name(index, r.name),
                           data_index_name(index, next->name)) == 0) {
            source->left_out.by[DATA_IGNORED_AGAIN]++;
            continue;
        }
        r.name = r.container;
        r.container = 0;
        status = data_index_add(&source->index, &r, NULL, err);
    }
    index->count = 0;
    if (index->block_count > 1) /* else the one block serves the next class too */
        data_index_drop_names(index);
    index->block_used = 0;
    return status;
}

void data_run_destroy(data_run *run)
{
    data_index_destroy(&run->index);
    base_free(run->order);
    *run = (data_run){0};
}
