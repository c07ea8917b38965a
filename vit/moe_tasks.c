/* moe_tasks.c - the rows of a layer's experts, cut into tasks for the threads: blocks of
 * VIT_ROWS rows, and what is left of each expert. Free to change: the order. Relied on
 * elsewhere: a task's rows depend on the dispatch alone, so that sums over tasks repeat. */
#include "vit/moe_tasks_internal.h"

static size_t round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

void vit_expert_tasks_plan(vit_expert_tasks *out, const vit_dispatch *dispatch,
                           size_t experts)
{
    size_t left[VIT_EXPERTS_MAX], count = 0; /* rows of last's tasks */

    out->experts = experts;
    out->first[0] = 0;
    for (size_t e = 0; e < experts; e++) {
        const size_t rows = dispatch->offset[e + 1] - dispatch->offset[e];
        out->first[e + 1] = out->first[e] + vit_row_blocks(rows);
        if (rows % VIT_ROWS == 0)
            continue;
        size_t at = count++;
        for (; at > 0 && left[at - 1] < rows % VIT_ROWS; at--) {
            left[at] = left[at - 1];
            out->last[at] = out->last[at - 1];
        }
        left[at] = rows % VIT_ROWS;
        out->last[at] = out->first[e + 1] - 1;
    }
    out->whole = out->first[experts] - count;
}

size_t vit_expert_task_at(const vit_expert_tasks *tasks, const vit_dispatch *dispatch,
                          size_t index)
{
    if (index >= tasks->whole)
        return tasks->last[index - tasks->whole];
    for (size_t e = 0;; e++) {
        const size_t whole = (dispatch->offset[e + 1] - dispatch->offset[e]) / VIT_ROWS;
        if (index < whole)
            return tasks->first[e] + index;
        index -= whole;
    }
}

void vit_expert_places_plan(vit_block_state *s, size_t experts)
{
    s->place[0] = 0;
    for (size_t e = 0; e < experts; e++)
        s->place[e + 1] =
            s->place[e] +
            round_up(s->dispatch.offset[e + 1] - s->dispatch.offset[e], VIT_ROWS_MULTIPLE);
}

vit_expert_block vit_expert_task_block(const vit_expert_tasks *tasks,
                                       const vit_block_state *s, size_t task)
{
    size_t e = 0;
    while (tasks->first[e + 1] <= task)
        e++;
    const size_t before = (task - tasks->first[e]) * VIT_ROWS;
    const size_t at = s->dispatch.offset[e] + before;
    const size_t rows = vit_min(VIT_ROWS, s->dispatch.offset[e + 1] - at);
    return (vit_expert_block){.expert = e,
                              .assignment = at,
                              .first = s->place[e] + before,
                              .rows = rows,
                              .padded = round_up(rows, VIT_ROWS_MULTIPLE)};
}
