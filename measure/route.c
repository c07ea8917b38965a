/* route.c - what the attack 'router' maximises (attacks.md 9.7): how far router logits are
 * from letting a token's former set of experts go. Relied on elsewhere: positive for a
 * token where an expert outside the set beats one inside; ties go to the lowest expert; a
 * set of all experts counts nothing. */
#include "measure/measure.h"

#include <string.h>

static bool is_in(const uint16_t *set, size_t k, size_t expert)
{
    for (size_t i = 0; i < k; i++)
        if (set[i] == expert)
            return true;
    return false;
}

void measure_route_loss(double *loss, float *slope, const vit_routing *routing,
                        const uint16_t *sets, size_t set_step, size_t k)
{
    const size_t experts = routing->experts, n = routing->tokens_per_image;

    memset(slope, 0, routing->tokens * experts * sizeof *slope);
    for (size_t t = 0; t < routing->tokens && k < experts; t++) {
        const uint16_t *set = sets + t / n * set_step + t % n * k;
        const double *z = routing->logits + t * experts;
        size_t inside = SIZE_MAX, outside = SIZE_MAX;

        for (size_t e = 0; e < experts; e++) {
            if (!is_in(set, k, e))
                outside = outside == SIZE_MAX || z[e] > z[outside] ? e : outside;
            else
                inside = inside == SIZE_MAX || z[e] < z[inside] ? e : inside;
        }
        loss[t / n] += z[outside] - z[inside];
        slope[t * experts + outside] = 1;
        slope[t * experts + inside] = -1;
    }
}
