/* moe_tasks_internal.h - the rows of a layer's experts, cut into tasks for the threads.
 * Private to moe.c. */
#ifndef VIT_MOE_TASKS_H
#define VIT_MOE_TASKS_H

#include "vit/run_internal.h"

/* Tasks of the experts: task number to expert and first row. */
typedef struct vit_expert_tasks {
    size_t first[VIT_EXPERTS_MAX + 1]; /* first task of each expert */
    size_t experts, whole;             /* whole: tasks of VIT_ROWS rows */
    size_t last[VIT_EXPERTS_MAX]; /* what is left of an expert, most rows first: task */
} vit_expert_tasks;

/* One block of rows of an expert. */
typedef struct vit_expert_block {
    size_t expert;
    size_t assignment; /* the first, in dispatch order */
    size_t first;      /* the first row in the buffers */
    size_t rows;       /* that have an assignment */
    size_t padded;     /* what products run on; the rest is zero */
} vit_expert_block;

void vit_expert_tasks_plan(vit_expert_tasks *out, const vit_dispatch *dispatch,
                           size_t experts);
/* The order in which threads take the tasks: whole blocks by expert, then what is left,
 * smallest last, so that threads end together. */
size_t vit_expert_task_at(const vit_expert_tasks *tasks, const vit_dispatch *dispatch,
                          size_t index);
vit_expert_block vit_expert_task_block(const vit_expert_tasks *tasks,
                                       const vit_block_state *s, size_t task);
/* Experts' rows begin at multiples of VIT_ROWS_MULTIPLE, so that their last blocks can be
 * padded in place. */
void vit_expert_places_plan(vit_block_state *s, size_t experts);
/* Where the result of a kept assignment lies. */
static inline size_t vit_expert_row(const vit_block_state *s, size_t a)
{
    const size_t e = s->pass.out.expert[a];
    return s->dispatch.row[a] - s->dispatch.offset[e] + s->place[e];
}

#endif
