/* share.c - the tasks of a sweep, to the threads: each begins with its own part, which is
 * the same part of the rows in every sweep, and takes from the others' when that is done.
 * Dynamic scheduling alone would give half of the rows to a thread that does not have them
 * in its cache. Relied on elsewhere: every task is taken once; results do not depend on who
 * takes it. */
#include <omp.h>

#include "vit/run_internal.h"

void vit_share_cut(vit_run *run, size_t sweep, size_t count)
{
    const size_t threads = (size_t)run->threads;
    vit_share *share = run->share + sweep * threads;

    for (size_t t = 0; t < threads; t++) {
        atomic_store_explicit(&share[t].next, count * t / threads, memory_order_relaxed);
        share[t].end = count * (t + 1) / threads;
    }
}

bool vit_share_take(vit_run *run, size_t sweep, size_t *task)
{
    const size_t threads = (size_t)run->threads, mine = (size_t)omp_get_thread_num();
    vit_share *share = run->share + sweep * threads;

    for (size_t i = 0; i < threads; i++) {
        vit_share *of = &share[(mine + i) % threads];
        if (atomic_load_explicit(&of->next, memory_order_relaxed) >= of->end)
            continue;
        *task = atomic_fetch_add_explicit(&of->next, 1, memory_order_relaxed);
        if (*task < of->end)
            return true;
    }
    return false;
}
