/* profile.c - where the time of passes goes: each thread adds up its own stretches, one
 * cache line apart from the next thread's, and reading adds the threads in order. Relied on
 * elsewhere: nothing here changes a result; off, a lap is one branch. */
#include <omp.h>
#include <string.h>

#include "vit/run_internal.h"

const char *vit_part_name(vit_part part)
{
    static const char *const names[VIT_PART_COUNT] = {
        [VIT_PART_PATCH] = "patch",
        [VIT_PART_NORM] = "norm",
        [VIT_PART_PROJECTION] = "projection",
        [VIT_PART_ATTENTION] = "attention",
        [VIT_PART_SOFTMAX] = "softmax",
        [VIT_PART_MLP] = "mlp",
        [VIT_PART_ROUTER] = "router",
        [VIT_PART_DISPATCH] = "dispatch",
        [VIT_PART_EXPERTS] = "experts",
        [VIT_PART_COMBINE] = "combine",
        [VIT_PART_HEAD] = "head",
        [VIT_PART_OTHER] = "other",
    };
    return (unsigned)part < VIT_PART_COUNT ? names[part] : NULL;
}

void vit_profile_plan(vit_run *run)
{
    run->profile.thread =
        base_arena_take(&run->arena, (size_t)run->threads + 1, sizeof *run->profile.thread);
}

void vit_run_profile(vit_run *run, bool on)
{
    memset(run->profile.thread, 0,
           ((size_t)run->threads + 1) * sizeof *run->profile.thread);
    run->profile.passes = 0;
    run->profile.on = on;
}

void vit_run_profile_read(const vit_run *run, double seconds[VIT_PART_COUNT])
{
    double claimed = 0;

    for (int part = 0; part < VIT_PART_COUNT; part++) {
        seconds[part] = 0;
        for (int i = 0; i <= run->threads; i++)
            seconds[part] += run->profile.thread[i].seconds[part];
        claimed += seconds[part];
    }
    /* a clock that is read twice at the same moment may leave less than nothing */
    if (run->profile.passes > claimed)
        seconds[VIT_PART_OTHER] += run->profile.passes - claimed;
}

static void add(vit_profile_thread *slot, double *mark, vit_part part, int threads)
{
    const double now = base_seconds();

    slot->seconds[part] += (now - *mark) / threads;
    *mark = now;
}

void vit_lap_add(const vit_run *run, double *mark, vit_part part)
{
    add(run->profile.thread + omp_get_thread_num(), mark, part, omp_get_num_threads());
}

void vit_lap_alone_add(const vit_run *run, double *mark, vit_part part)
{
    add(run->profile.thread + run->threads, mark, part, 1);
}
