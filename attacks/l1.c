/* l1.c - what APGD does otherwise in the L1 ball: which coordinates a step moves, and three budgets.
 * Follows Croce and Hein 2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers"
 * (arXiv 2103.01208). */
#include "attacks/parts_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

float attack_kth_magnitude(const float *g, size_t count, size_t keep)
{
    assert(keep >= 1 && keep <= count);
    uint32_t low = 0, high = 0x7f800001; /* at least keep are >= low; fewer are >= high */

    /* Bit patterns of non-negative floats are ordered as the floats are. NaN counts as nothing. */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        float t;
        memcpy(&t, &middle, sizeof t);
        size_t above = 0;
        for (size_t i = 0; i < count; i++)
            above += fabsf(g[i]) >= t;
        if (above >= keep)
            low = middle;
        else
            high = middle;
    }
    float t;
    memcpy(&t, &low, sizeof t);
    return t;
}

void attack_l1_phases(size_t steps[3], size_t total)
{
    size_t left = total;

    for (int phase = 0; phase < 2; phase++) {
        const size_t wanted = (3 * total + 9) / 10; /* ceil(.3 N) */
        steps[phase] = wanted < left ? wanted : left;
        left -= steps[phase];
    }
    steps[2] = left;
}
