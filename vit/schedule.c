/* schedule.c - the learning rate of a step: linear warm-up, then constant, cosine
 * (Loshchilov and Hutter 2017, SGDR, one period), linear, or reciprocal square root
 * (Zhai et al. 2022, "Scaling vision transformers"). Pure functions of the step, so that
 * a resumed run needs no state. */
#include <math.h>

#include "vit/vit.h"

static const double pi = 3.14159265358979323846;

/* Share of the way from the end of the warm-up to the end of the run, 0..1. */
static double progress(const vit_schedule *s, uint64_t step)
{
    if (step >= s->total || s->total <= s->warmup)
        return 1;
    return (double)(step - s->warmup) / (double)(s->total - s->warmup);
}

double vit_schedule_lr(const vit_schedule *schedule, uint64_t step)
{
    const vit_schedule *s = schedule;

    if (step < s->warmup)
        return s->peak * (double)(step + 1) / (double)s->warmup;
    switch (s->kind) {
    case VIT_SCHEDULE_COSINE:
        return s->final + (s->peak - s->final) * 0.5 * (1 + cos(pi * progress(s, step)));
    case VIT_SCHEDULE_LINEAR: return s->peak + (s->final - s->peak) * progress(s, step);
    case VIT_SCHEDULE_RSQRT: {
        /* timescale 0: no time at all, the shortest that has a curve */
        const double scale = s->timescale > 0 ? (double)s->timescale : 1;
        return s->peak * sqrt(scale / (scale + (double)(step - s->warmup)));
    }
    case VIT_SCHEDULE_CONSTANT: break;
    }
    return s->peak;
}
