/* tar_links.c - hard links in a tar archive: members without bytes of their own that name
 * an earlier one. Archives of deduplicated data sets have them. Two walks over the headers,
 * made when the first link is met: names that links lead to, then where these lie. Free to
 * change: all of it. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <stdlib.h>
#include <string.h>

enum { HOPS = 16 }; /* a link to a link to ... */

typedef struct target {
    char *name, *to; /* to: it is a link itself */
    data_member at;
    bool found;
} target;

struct data_tar_links {
    target *at; /* [count] by name */
    size_t room, count;
};

void data_tar_links_destroy(data_tar_links *links)
{
    if (!links)
        return;
    for (size_t i = 0; i < links->count; i++) {
        base_free(links->at[i].name);
        base_free(links->at[i].to);
    }
    base_free(links->at);
    base_free(links);
}

static int compare_targets(const void *a, const void *b)
{
    return strcmp(((const target *)a)->name, ((const target *)b)->name);
}

static target *find(const data_tar_links *links, const char *name)
{
    const target key = {.name = (char *)(uintptr_t)name};

    return links->count == 0
               ? NULL
               : bsearch(&key, links->at, links->count, sizeof key, compare_targets);
}

static base_status add_name(data_tar_links *links, const data_member *m, base_error *err)
{
    target made = {0};

    if (!m->link)
        return BASE_OK;
    made.name = base_text("%s", m->link);
    if (!made.name || !data_grow(&links->at, &links->room, links->count + 1, sizeof made)) {
        base_free(made.name);
        return base_fail(err, BASE_NO_MEMORY, "no memory for the links of an archive");
    }
    links->at[links->count++] = made;
    return BASE_OK;
}

/* Of members with one name the last counts, as unpacking leaves it. */
static base_status add_place(data_tar_links *links, const data_member *m, base_error *err)
{
    target *t = m->name && (m->file || m->link) ? find(links, m->name) : NULL;

    if (!t)
        return BASE_OK;
    base_free(t->to);
    t->to = m->link ? base_text("%s", m->link) : NULL;
    t->at = *m;
    t->found = true;
    return t->to || !m->link
               ? BASE_OK
               : base_fail(err, BASE_NO_MEMORY, "no memory for the links of an archive");
}

/* All members, each given to take. */
static base_status walk(data_tar_links *links, int fd, const char *path, uint64_t begin,
                        uint64_t end,
                        base_status (*take)(data_tar_links *, const data_member *,
                                            base_error *),
                        base_error *err)
{
    data_tar *tar = NULL;
    data_member m;
    bool done = false;

    base_status status = data_tar_open(&tar, fd, path, begin, end, err);
    if (status == BASE_OK)
        data_tar_leave_links(tar);
    while (status == BASE_OK) {
        status = data_tar_next(tar, &m, &done, err);
        if (status != BASE_OK || done)
            break;
        status = take(links, &m, err);
    }
    data_tar_close(tar);
    return status;
}

base_status data_tar_links_create(data_tar_links **out, int fd, const char *path,
                                  uint64_t begin, uint64_t end, base_error *err)
{
    data_tar_links *links = base_alloc(1, sizeof *links);
    size_t kept = 0;

    if (!links)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the links of an archive");
    base_status status = walk(links, fd, path, begin, end, add_name, err);
    if (links->count > 0)
        qsort(links->at, links->count, sizeof *links->at, compare_targets);
    for (size_t i = 0; i < links->count; i++) {
        if (kept > 0 && strcmp(links->at[kept - 1].name, links->at[i].name) == 0)
            base_free(links->at[i].name);
        else
            links->at[kept++] = links->at[i];
    }
    links->count = kept;
    if (status == BASE_OK)
        status = walk(links, fd, path, begin, end, add_place, err);
    if (status == BASE_OK)
        *out = links;
    else
        data_tar_links_destroy(links);
    return status;
}

bool data_tar_links_find(data_member *out, const data_tar_links *links, const char *name)
{
    const target *t = find(links, name);

    for (int i = 0; i < HOPS && t && t->found && t->to; i++)
        t = find(links, t->to);
    if (!t || !t->found || t->to)
        return false;
    *out = t->at;
    return true;
}
