/* cores.c - who works on which processor: the network's threads (OpenMP's) and the
 * loaders'.
 *
 * Of many threads some are the loader's; of few, one loads in the background. Where they
 * are not enough, the network's own threads load while the network waits for them
 * (data_loader_config.together), so that no processor is idle and none has two threads that
 * must not wait. With --pin each thread of the network keeps to one processor, second
 * threads of cores (SMT) last: OpenMP itself does that, but it reads its settings when the
 * program is loaded, so the program sets them and starts itself once more. Relied on
 * elsewhere: where a thread runs changes no result. docs/threads.md is the user's side of
 * this. */
#include <limits.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/app_internal.h"

/* Set by a program that has pinned itself: its process number, which children do not
 * share. */
static const char pinned_name[] = "VMOE_PINNED";

bool app_is_bound(void)
{
    return omp_get_proc_bind() != omp_proc_bind_false && omp_get_num_places() > 0;
}

/* Their numbers, in OpenMP's order when it binds threads. As base_cpus_allowed. */
static size_t cpus_allowed(int *ids, size_t most)
{
    /* OpenMP has bound the first thread already when it binds threads: ask it, not the
     * kernel */
    size_t count = 0;

    if (!app_is_bound())
        return base_cpus_allowed(ids, most);
    for (int place = 0; place < omp_get_num_places(); place++) {
        const size_t here = (size_t)omp_get_place_num_procs(place);
        if (count + here <= most) {
            omp_get_place_proc_ids(place, ids + count);
            count += here;
        }
    }
    return count;
}

int app_cpu_count(void)
{
    const int quota = base_cpu_quota(), processors = omp_get_num_procs();
    const int most = omp_get_thread_limit();
    static int wanted; /* before anything has set another number */

    if (wanted == 0)
        wanted = getenv("OMP_NUM_THREADS") ? omp_get_max_threads() : INT_MAX;
    int count = wanted < INT_MAX ? wanted : processors < quota ? processors : quota;
    count = count > most ? most : count;
    return count < 1 ? 1 : count;
}

/* "{0},{2},{1},{3}": a place for each thread in its turn; base_free. */
static char *places_text(const base_cpu *cpus, size_t count)
{
    enum { WORD = 16 };
    char *text = base_alloc(count + 1, WORD);
    size_t at = 0;

    for (size_t i = 0; i < count && text; i++)
        at += (size_t)snprintf(text + at, WORD, "%s{%d}", i ? "," : "", cpus[i].id);
    return text;
}

static bool already_pinned(void)
{
    const char *by = getenv(pinned_name);
    int64_t process;

    if (by) /* else by the program that started this one, which left us fewer processors */
        return base_parse_int(&process, by) && process == (int64_t)getpid();
    return getenv("OMP_PROC_BIND") || getenv("OMP_PLACES") || getenv("GOMP_CPU_AFFINITY");
}

static bool has_word(char **argv, const char *word)
{
    while (*argv && strcmp(*argv, word) != 0)
        argv++;
    return *argv != NULL;
}

void app_pin(char **argv)
{
    char process[32];

    if (!has_word(argv, "--pin") || already_pinned())
        return;
    int *ids = base_alloc(BASE_CPUS_MAX, sizeof *ids);
    base_cpu *cpus = base_alloc(BASE_CPUS_MAX, sizeof *cpus);
    const size_t count = ids && cpus ? cpus_allowed(ids, BASE_CPUS_MAX) : 0;
    base_cpus_describe(cpus, ids, count);
    base_cpus_order(cpus, count, true);
    char *places = places_text(cpus, count);
    snprintf(process, sizeof process, "%lld", (long long)getpid());
    if (count > 0 && places && base_thread_allow(ids, count) &&
        setenv("OMP_PLACES", places, 1) == 0 && setenv("OMP_PROC_BIND", "close", 1) == 0 &&
        setenv(pinned_name, process, 1) == 0)
        execv("/proc/self/exe", argv);
    fprintf(stderr, "vmoe: --pin: this system does not let threads be bound\n");
    base_free(places);
    base_free(cpus);
    base_free(ids);
}

size_t app_cpus_part(int *ids, size_t most, size_t part, size_t parts)
{
    base_cpu *cpus = base_alloc(most, sizeof *cpus);
    size_t count = cpus ? cpus_allowed(ids, most) : 0;

    base_cpus_describe(cpus, ids, count);
    count = base_cpus_part(cpus, count, part, parts);
    for (size_t i = 0; i < count; i++)
        ids[i] = cpus[i].id;
    base_free(cpus);
    return count;
}

/* A loader's thread begins: on any processor, behind the network. */
static void loader_enter(void *user)
{
    int ids[BASE_CPUS_MAX];

    (void)user;
    if (app_is_bound()) /* it was born on the processor of the thread that made it */
        base_thread_allow(ids, cpus_allowed(ids, BASE_CPUS_MAX));
    base_thread_background();
}

void app_together(size_t count, void (*member)(void *arg, size_t i), void *arg)
{
#pragma omp parallel for schedule(static, 1) num_threads((int)count)
    for (size_t i = 0; i < count; i++)
        member(arg, i);
}

base_status app_each(size_t count, size_t threads, app_each_work *work, void *user,
                     base_error *err)
{
    size_t failed = SIZE_MAX;
    base_error failure = {0};

#pragma omp parallel for schedule(dynamic, 1) num_threads((int)threads)
    for (size_t i = 0; i < count; i++) {
        base_error reason = {0};
        size_t seen;

#pragma omp atomic read
        seen = failed;
        if (seen < SIZE_MAX ||
            work(user, i, (size_t)omp_get_thread_num(), &reason) == BASE_OK)
            continue;
#pragma omp critical(app_each)
        if (i < failed) {
            failure = reason;
#pragma omp atomic write
            failed = i;
        }
    }
    return failed < SIZE_MAX ? base_fail(err, failure.status, "%s", failure.text) : BASE_OK;
}

void app_loader_threads(data_loader_config *out, const app_common *common, int64_t workers)
{
    out->threads = base_threads_split((size_t)common->threads, workers).loaders;
    out->enter = loader_enter;
    out->helpers = (size_t)omp_get_max_threads();
    out->together = app_together; /* while the network waits for the loader */
}

void app_threads_share(const app_common *common)
{
    omp_set_num_threads((int)base_threads_split((size_t)common->threads, -1).network);
}
