/* cores.c - which processors a program's threads share, and how.
 *
 * The kernel numbers processors as it likes: here they are put in the order in which
 * threads should take them, one of every core first, package by package, and the second
 * threads of the cores (SMT) last. Free to change: where Linux keeps the answers. Relied on
 * elsewhere: the split of threads depends on their number alone, because sums of the
 * network depend on how many threads it has. */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- pure: order, parts, split ------------------------------------------------------- */

static int compare_ints(int a, int b)
{
    return (a > b) - (a < b);
}

static int by_core(const void *left, const void *right)
{
    const base_cpu *a = left, *b = right;
    const int package = compare_ints(a->package, b->package);
    const int core = compare_ints(a->core, b->core);

    return package ? package : core ? core : compare_ints(a->id, b->id);
}

static int by_sibling(const void *left, const void *right)
{
    const base_cpu *a = left, *b = right;
    const int sibling = compare_ints(a->sibling, b->sibling);

    return sibling ? sibling : by_core(left, right);
}

void base_cpus_order(base_cpu *cpus, size_t count, bool siblings_last)
{
    qsort(cpus, count, sizeof *cpus, by_core);
    for (size_t i = 0; i < count; i++) {
        const bool same = i > 0 && cpus[i].core == cpus[i - 1].core &&
                          cpus[i].package == cpus[i - 1].package;
        cpus[i].sibling = same ? cpus[i - 1].sibling + 1 : 0;
    }
    if (siblings_last)
        qsort(cpus, count, sizeof *cpus, by_sibling);
}

/* Where core number `core` of the processors in core order begins; count behind the
 * last. */
static size_t core_start(const base_cpu *cpus, size_t count, size_t core)
{
    size_t at = 0;

    for (size_t seen = 0; at < count; at++)
        if (cpus[at].sibling == 0 && seen++ == core)
            break;
    return at;
}

size_t base_cpus_part(base_cpu *cpus, size_t count, size_t part, size_t parts)
{
    size_t cores = 0, first, end;

    if (count == 0 || parts <= 1)
        return count;
    base_cpus_order(cpus, count, false);
    for (size_t i = 0; i < count; i++)
        cores += cpus[i].sibling == 0;
    if (parts <= cores) {
        first = core_start(cpus, count, part * cores / parts);
        end = core_start(cpus, count, (part + 1) * cores / parts);
    } else if (parts <= count) { /* threads of a core go apart */
        first = part * count / parts;
        end = (part + 1) * count / parts;
    } else { /* some parts share a processor */
        first = part % count;
        end = first + 1;
    }
    memmove(cpus, cpus + first, (end - first) * sizeof *cpus);
    return end - first;
}

base_thread_split base_threads_split(size_t threads, int64_t workers)
{
    /* From so many on, one in RESERVE_ONE_IN is the loader's; fewer would miss it. */
    enum { RESERVE_FROM = 8, RESERVE_ONE_IN = 8 };
    const size_t reserved = threads < RESERVE_FROM ? 0 : threads / RESERVE_ONE_IN;
    const size_t loaders = reserved > 0 ? reserved : 1;

    return (base_thread_split){.network = threads - reserved,
                               .loaders = workers < 0 ? loaders : (size_t)workers};
}

/* ---- what the kernel says ------------------------------------------------------------ */

size_t base_cpus_allowed(int *ids, size_t most)
{
    size_t count = 0;

    for (int wide = CPU_SETSIZE; wide <= 64 * CPU_SETSIZE; wide *= 4) {
        cpu_set_t *mask = CPU_ALLOC((size_t)wide);
        const size_t bytes = CPU_ALLOC_SIZE((size_t)wide);
        if (!mask)
            break;
        CPU_ZERO_S(bytes, mask);
        const bool got = sched_getaffinity(0, bytes, mask) == 0;
        for (int i = 0; got && i < wide && count < most; i++)
            if (CPU_ISSET_S((size_t)i, bytes, mask))
                ids[count++] = i;
        CPU_FREE(mask);
        if (got)
            break;
    }
    return count;
}

/* The first whole number in a file of one processor's topology, or other. */
static int topology(int id, const char *name, int other)
{
    char path[128], line[64];
    int value = other;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", id, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return other;
    if (fgets(line, sizeof line, file)) {
        char *end;
        errno = 0;
        const long number = strtol(line, &end, 10);
        if (end != line && errno == 0 && number >= 0 && number < 1 << 24)
            value = (int)number;
    }
    fclose(file);
    return value;
}

void base_cpus_describe(base_cpu *out, const int *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* the lowest of a core's processors is its name: core_id repeats in every
         * package */
        const int older = topology(ids[i], "thread_siblings_list", ids[i]);

        out[i] = (base_cpu){.id = ids[i],
                            .core = topology(ids[i], "core_cpus_list", older),
                            .package = topology(ids[i], "physical_package_id", 0)};
    }
}

/* ---- this thread --------------------------------------------------------------------- */

bool base_thread_allow(const int *ids, size_t count)
{
    int most = 0;

    for (size_t i = 0; i < count; i++)
        most = ids[i] > most ? ids[i] : most;
    cpu_set_t *mask = CPU_ALLOC((size_t)most + 1);
    const size_t bytes = CPU_ALLOC_SIZE((size_t)most + 1);
    if (!mask)
        return false;
    CPU_ZERO_S(bytes, mask);
    for (size_t i = 0; i < count; i++)
        CPU_SET_S((size_t)ids[i], bytes, mask);
    const bool done = count > 0 && sched_setaffinity(0, bytes, mask) == 0;
    CPU_FREE(mask);
    return done;
}

void base_thread_background(void)
{
    /* Not SCHED_IDLE: where others keep all processors busy such a thread makes no
     * progress, and who waits for it neither. */
    enum { LESS = 5, LEAST = 19 };
    const struct sched_param none = {0};
    const id_t thread = (id_t)gettid(); /* Linux keeps a priority for each */

    errno = 0;
    const int nice = getpriority(PRIO_PROCESS, thread);
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    if (errno == 0)
        setpriority(PRIO_PROCESS, thread, nice + LESS > LEAST ? LEAST : nice + LESS);
}
