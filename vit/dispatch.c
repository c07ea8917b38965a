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

/* A number that is smaller the earlier the token's turn is: the bits of its largest gate,
 * which order numbers that are not negative as the numbers themselves, upside down. A token
 * without expert is last. */
static uint32_t rank(const float *gate, const uint32_t *start, uint32_t token)
{
    float top = -1.0f;
    uint32_t bits;

    for (uint32_t a = start[token]; a < start[token + 1]; a++)
        if (gate[a] > top)
            top = gate[a];
    memcpy(&bits, &top, sizeof bits);
    return top < 0.0f ? UINT32_MAX : 0x7fffffffu - (bits & 0x7fffffffu);
}

/* order [count] = tokens first.. in falling priority, ties by token: a radix sort from the
 * lowest digit up, stable at each. spare [count]. Returns where the result is: order or
 * spare. */
static uint32_t *sort_by_priority(uint32_t *order, uint32_t *spare, size_t count,
                                  const float *gate, const uint32_t *start)
{
    enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        uint32_t next[DIGITS] = {0}, sum = 0;
        for (size_t i = 0; i < count; i++)
            next[rank(gate, start, order[i]) >> shift & (DIGITS - 1)]++;
        for (size_t digit = 0; digit < DIGITS; digit++) {
            const uint32_t here = next[digit];
            next[digit] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++) {
            const uint32_t digit = rank(gate, start, order[i]) >> shift & (DIGITS - 1);
            spare[next[digit]++] = order[i];
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

enum { SORT_TOKENS = 512 }; /* counted by one thread at a time */

/* Stable counting sort of the kept assignments by expert: every chunk of tokens counts,
 * learns from the counts of those before it where its rows begin, and fills them. all:
 * nothing is dropped. */
static void place_rows(vit_dispatch *out, const uint32_t *start, const uint16_t *expert,
                       size_t tokens, size_t experts, bool all)
{
    const size_t chunks = (tokens + SORT_TOKENS - 1) / SORT_TOKENS;
    uint32_t *next = out->scratch; /* [chunks, E], at most T / 2 + E numbers */
    uint32_t rows = 0;

#pragma omp parallel for schedule(static) if (chunks > 2)
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * SORT_TOKENS : tokens;
        uint32_t *mine = next + c * experts;
        memset(mine, 0, experts * sizeof *mine);
        for (size_t a = start[c * SORT_TOKENS]; a < start[end]; a++) {
            out->kept[a] = all || out->kept[a];
            mine[expert[a]] += out->kept[a];
        }
    }
    for (size_t e = 0; e < experts; e++) {
        out->offset[e] = rows;
        for (size_t c = 0; c < chunks; c++) {
            const uint32_t here = next[c * experts + e];
            next[c * experts + e] = rows;
            rows += here;
        }
    }
    out->offset[experts] = out->rows = rows;
#pragma omp parallel for schedule(static) if (chunks > 2)
    for (size_t c = 0; c < chunks; c++) {
        const size_t end = c + 1 < chunks ? (c + 1) * SORT_TOKENS : tokens;
        uint32_t *mine = next + c * experts;
        for (size_t a = start[c * SORT_TOKENS]; a < start[end]; a++) {
            out->row[a] = VIT_ROW_DROPPED;
            if (out->kept[a]) {
                out->row[a] = mine[expert[a]]++;
                out->assignment[out->row[a]] = (uint32_t)a;
            }
        }
    }
}

void vit_dispatch_share(vit_dispatch *out, uint32_t *token, uint16_t *expert, float *gate,
                        size_t count, size_t tokens, size_t experts, size_t shared)
{
    for (size_t j = 0; j < shared; j++) {
        for (size_t t = 0; t < tokens; t++) {
            const size_t a = count + j * tokens + t, row = out->rows + t;
            token[a] = (uint32_t)t;
            expert[a] = (uint16_t)(experts + j);
            gate[a] = 1.0f;
            out->kept[a] = true;
            out->row[a] = (uint32_t)row;
            out->assignment[row] = (uint32_t)a;
        }
        out->rows += tokens;
        out->offset[experts + j + 1] = out->rows;
    }
}

void vit_dispatch_build(vit_dispatch *out, const uint32_t *start, const uint16_t *expert,
                        const float *gate, size_t tokens, const vit_dispatch_rule *rule)
{
    const size_t view = rule->view_tokens > 0 ? rule->view_tokens : tokens;
    const size_t group =
        rule->group_tokens > 0 && rule->group_tokens < view ? rule->group_tokens : view;

    if (rule->capacity > 0.0)
        for (size_t first = 0, rows; first < tokens; first += rows) {
            const size_t rest = view - first % view;
            rows = rest < group ? rest : group;
            group_keep(out, first, rows, start, expert, gate, rule);
        }
    place_rows(out, start, expert, tokens, rule->experts, !(rule->capacity > 0.0));
}
