/* place.c - which processors a rank of a node has.
 *
 * Launchers differ: MPICH's binds nothing, so that all ranks of a node share all
 * processors; Open MPI's binds one or two ranks (even a single one) to one core each, so
 * that a rank's threads share that core; srun and --map-by numa give each a part that is
 * right. The ranks of a node tell one another what they may use and decide alike. Free to
 * change: how processors are cut. Relied on elsewhere: where a rank runs changes no result;
 * the number of its threads does. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mesh/mesh_internal.h"

/* ---- pure: masks --------------------------------------------------------------------- */

enum { WORDS = MESH_CPUS_MOST / 64 };

static size_t ids_of(int *ids, const uint64_t *bits)
{
    size_t count = 0;

    for (size_t id = 0; id < MESH_CPUS_MOST; id++)
        if (bits[id / 64] >> (id % 64) & 1)
            ids[count++] = (int)id;
    return count;
}

static void bits_of(uint64_t *bits, const int *ids, size_t count)
{
    memset(bits, 0, WORDS * sizeof *bits);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= 0 && ids[i] < MESH_CPUS_MOST)
            bits[ids[i] / 64] |= (uint64_t)1 << (ids[i] % 64);
}

static bool all_equal(const mesh_mask *const *masks, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (memcmp(masks[i]->bits, masks[0]->bits, sizeof masks[0]->bits) != 0)
            return false;
    return true;
}

/* Each rank is bound to a single core, and the machine has more than ranks. */
static bool all_tiny(const mesh_mask *const *masks, size_t count, mesh_describe *describe)
{
    int ids[MESH_CPUS_MOST];
    base_cpu cpus[MESH_CPUS_MOST];

    for (size_t i = 0; i < count; i++) {
        if (ids_of(ids, masks[i]->machine) <= count)
            return false;
        const size_t own = ids_of(ids, masks[i]->bits);
        describe(cpus, ids, own);
        for (size_t k = 1; k < own; k++)
            if (cpus[k].core != cpus[0].core || cpus[k].package != cpus[0].package)
                return false;
    }
    return true;
}

size_t mesh_place_part(int *ids, bool *moved, const mesh_mask *const *masks, size_t count,
                       size_t local, mesh_describe *describe)
{
    const bool equal = count > 1 && all_equal(masks, count);
    base_cpu cpus[MESH_CPUS_MOST];

    *moved = !masks[local]->keep && !equal && all_tiny(masks, count, describe);
    if (masks[local]->keep || (!equal && !*moved))
        return ids_of(ids, masks[local]->bits);
    size_t processors = ids_of(ids, *moved ? masks[local]->machine : masks[local]->bits);
    describe(cpus, ids, processors);
    processors = base_cpus_part(cpus, processors, local, count);
    for (size_t i = 0; i < processors; i++)
        ids[i] = cpus[i].id;
    return processors;
}

/* ---- what this rank may use ---------------------------------------------------------- */

static void mask_here(uint64_t *bits)
{
    int ids[MESH_CPUS_MOST];

    bits_of(bits, ids, base_cpus_allowed(ids, MESH_CPUS_MOST));
}

/* What the control group lets this process use: asked by trying, because the kernel cuts a
 * mask to it. The thread's own mask is put back. */
static void mask_of_machine(uint64_t *bits, const uint64_t *own)
{
    int ids[MESH_CPUS_MOST];

    for (int i = 0; i < MESH_CPUS_MOST; i++)
        ids[i] = i;
    memcpy(bits, own, WORDS * sizeof *bits);
    if (base_thread_allow(ids, MESH_CPUS_MOST)) {
        mask_here(bits);
        base_thread_allow(ids, ids_of(ids, own));
    }
}

/* ---- all together -------------------------------------------------------------------- */

/* All ranks look at all nodes, so that all refuse alike. */
static base_status check_nodes(const mesh_job *mesh, const mesh_mask *all, base_error *err)
{
    int ids[MESH_CPUS_MOST];

    for (size_t node = 0; node < mesh->nodes; node++) {
        uint64_t bits[WORDS] = {0};
        size_t ranks = 0, threads = 0, quota = SIZE_MAX, first = mesh->ranks;
        bool willing = false;
        for (size_t i = 0; i < mesh->ranks; i++) {
            if (mesh->members[i].node != node)
                continue;
            for (size_t word = 0; word < WORDS; word++)
                bits[word] |= all[i].bits[word];
            first = i < first ? i : first;
            quota = all[i].quota < quota ? all[i].quota : quota;
            willing |= all[i].oversubscribe != 0;
            threads += all[i].threads;
            ranks++;
        }
        const size_t there = ids_of(ids, bits), processors = there < quota ? there : quota;
        if (willing || threads <= processors)
            continue;
        char fewer[48] = "";
        if (processors / ranks > 0)
            snprintf(fewer, sizeof fewer, "--threads %zu, ", processors / ranks);
        return base_fail(err, BASE_USAGE,
                         "%s: %zu ranks with %zu threads in all on %zu processor%s: "
                         "%sfewer ranks, or --oversubscribe",
                         mesh->members[first].host, ranks, threads, processors,
                         processors == 1 ? "" : "s", fewer);
    }
    return BASE_OK;
}

/* This rank's part of its node, from all ranks' masks; its own mask becomes the part. */
static void take_part(mesh_placed *out, mesh_job *mesh, mesh_mask *all,
                      const mesh_mask **masks)
{
    mesh_mask *own = &all[mesh->rank];
    int ids[MESH_CPUS_MOST];
    size_t count = 0;

    for (size_t i = 0; i < mesh->ranks; i++)
        if (mesh->members[i].node == mesh->node)
            masks[count++] = &all[i];
    out->processors = mesh_place_part(ids, &out->moved, masks, count, mesh->local_rank,
                                      base_cpus_describe);
    const size_t quota = own->quota / count > 0 ? own->quota / count : 1;
    out->threads = own->threads > 0          ? own->threads
                   : out->processors < quota ? out->processors
                                             : quota;
    own->threads = (uint32_t)out->threads;
    bits_of(own->bits, ids, out->processors);
}

static base_status place(mesh_placed *out, mesh_job *mesh, mesh_mask *all,
                         const mesh_mask **masks, const mesh_place *want, base_error *err)
{
    mesh_mask *own = &all[mesh->rank];
    int ids[MESH_CPUS_MOST];

    mask_here(own->bits);
    mask_of_machine(own->machine, own->bits);
    own->threads = (uint32_t)want->threads;
    own->quota = (uint32_t)base_cpu_quota();
    own->keep = want->keep;
    own->oversubscribe = want->oversubscribe;
    base_status status = mesh_all(&mesh->world, all, sizeof *all, err);
    if (status == BASE_OK) {
        take_part(out, mesh, all, masks);
        status = mesh_all(&mesh->world, all, sizeof *all, err);
    }
    if (status == BASE_OK && mesh->ranks > 1)
        status = check_nodes(mesh, all, err);
    if (status == BASE_OK && !want->keep) {
        const size_t count = ids_of(ids, own->bits);
        base_thread_allow(ids, count);
        if (mesh->courier)
            mesh_courier_allow(mesh->courier, ids, count);
    }
    return status;
}

base_status mesh_place_ranks(mesh_placed *out, mesh_job *mesh, const mesh_place *want,
                             base_error *err)
{
    base_status status = BASE_OK;

    *out = (mesh_placed){0};
    mesh_mask *all = base_alloc(mesh->ranks, sizeof *all);
    const mesh_mask **masks = base_alloc(mesh->ranks, sizeof *masks);
    if (!all || !masks) {
        base_error why;
        status = base_fail(&why, BASE_NO_MEMORY, "no memory for %zu ranks", mesh->ranks);
        base_fail(err, status, "%s", why.text);
        mesh_fail(mesh, &why);
    } else {
        status = place(out, mesh, all, masks, want, err);
    }
    base_free(masks);
    base_free(all);
    return status;
}
