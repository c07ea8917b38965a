/* dispatch.c - which assignment gets a row of which expert, and which are dropped.
 * Follows Riquelme et al. 2021, "Scaling Vision with Sparse Mixture of Experts", and the
 * code released with it: capacity, position rule, batch-prioritised routing (routing.md 0.3
 * and 2); then a counting sort, so that every expert finds its tokens in neighbouring rows.
 * Free to change: the sort. Relied on elsewhere: rows of an expert are in token order,
 * dropped assignments have VIT_ROW_DROPPED, gates are never renormalised. */
#include "vit/vit_internal.h"

#include <math.h>
#include <string.h>

size_t vit_capacity(size_t tokens, size_t experts, size_t k, double factor, int multiple)
{
    const double most = 9007199254740992.0; /* 2^53, far above any number of tokens */
    const double rows = ceil((double)(k * tokens) * factor / (double)experts);
    const size_t m = multiple > 1 ? (size_t)multiple : 1;
    size_t capacity = !(rows > 1.0) ? 1 : rows < most ? (size_t)rows : (size_t)most;

    capacity += m - 1;
    return capacity - capacity % m;
}

/* A token's largest gate, -1 when it has no expert (gates are not negative). */
static float priority(const float *gate, const uint32_t *start, uint32_t token)
{
    float top = -1.0f;

    for (uint32_t a = start[token]; a < start[token + 1]; a++)
        if (gate[a] > top)
            top = gate[a];
    return top;
}

/* Merges order[low..mid) and order[mid..high), each in falling priority, into out; ties
 * keep the left one first. */
static void merge(uint32_t *out, const uint32_t *order, size_t low, size_t mid, size_t high,
                  const float *gate, const uint32_t *start)
{
    size_t left = low, right = mid;

    for (size_t i = low; i < high; i++) {
        const bool take_right =
            left == mid || (right < high && priority(gate, start, order[right]) >
                                                priority(gate, start, order[left]));
        out[i] = take_right ? order[right++] : order[left++];
    }
}

/* order [count] = tokens first.. in falling priority, ties by token (stable merge sort,
 * bottom up). spare [count]. Returns where the result is: order or spare. */
static uint32_t *sort_by_priority(uint32_t *order, uint32_t *spare, size_t count,
                                  const float *gate, const uint32_t *start)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            const size_t mid = low + width < count ? low + width : count;
            const size_t high = mid + width < count ? mid + width : count;
            merge(spare, order, low, mid, high, gate, start);
        }
        uint32_t *swap = order;
        order = spare;
        spare = swap;
    }
    return order;
}

/* Decides kept for the tokens first .. first + count - 1: choices in the outer loop, tokens
 * in the inner one; a dropped assignment takes a position too. */
static void group_keep(vit_dispatch *out, size_t first, size_t count, const uint32_t *start,
                       const uint16_t *expert, const float *gate,
                       const vit_dispatch_rule *rule)
{
    const size_t capacity =
        vit_capacity(count, rule->experts, rule->k, rule->capacity, rule->multiple);
    uint32_t *order = out->scratch, *spare = order + count, *taken = spare + count;
    uint32_t most = 0;

    for (size_t i = 0; i < count; i++) {
        const uint32_t t = (uint32_t)(first + i), choices = start[t + 1] - start[t];
        order[i] = t;
        if (most < choices)
            most = choices;
    }
    if (rule->bpr)
        order = sort_by_priority(order, spare, count, gate, start);
    memset(taken, 0, rule->experts * sizeof *taken);
    for (uint32_t j = 0; j < most; j++) {
        for (size_t i = 0; i < count; i++) {
            const uint32_t a = start[order[i]] + j;
            if (a < start[order[i] + 1])
                out->kept[a] = taken[expert[a]]++ < capacity;
        }
    }
}

/* Stable counting sort of the kept assignments by expert. */
static void place_rows(vit_dispatch *out, const uint16_t *expert, size_t count,
                       size_t experts)
{
    size_t next[VIT_EXPERTS_MAX] = {0};

    for (size_t a = 0; a < count; a++)
        next[expert[a]] += out->kept[a];
    out->rows = 0;
    for (size_t e = 0; e < experts; e++) {
        out->offset[e] = out->rows;
        out->rows += next[e];
        next[e] = out->offset[e];
    }
    out->offset[experts] = out->rows;
    for (size_t a = 0; a < count; a++) {
        if (!out->kept[a]) {
            out->row[a] = VIT_ROW_DROPPED;
            continue;
        }
        out->row[a] = (uint32_t)next[expert[a]]++;
        out->assignment[out->row[a]] = (uint32_t)a;
    }
}

void vit_dispatch_build(vit_dispatch *out, const uint32_t *start, const uint16_t *expert,
                        const float *gate, size_t tokens, const vit_dispatch_rule *rule)
{
    const size_t count = start[tokens];
    const size_t view = rule->view_tokens > 0 ? rule->view_tokens : tokens;
    const size_t group =
        rule->group_tokens > 0 && rule->group_tokens < view ? rule->group_tokens : view;

    if (rule->capacity > 0.0)
        for (size_t first = 0, rows; first < tokens; first += rows) {
            const size_t rest = view - first % view;
            rows = rest < group ? rest : group;
            group_keep(out, first, rows, start, expert, gate, rule);
        }
    else
        memset(out->kept, true, count * sizeof *out->kept);
    place_rows(out, expert, count, rule->experts);
}
