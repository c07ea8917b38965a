/* router_pairs.c - routing in which a token may meet any number of experts: the largest of
 * many scores by selection, and a set of token-expert pairs as a pass's assignments. The
 * selection is a radix select from the highest byte of the scores' bits down: linear in
 * their number for any values, ties included. Relied on elsewhere: ties go to the lower
 * place; pairs of a token come best first. */
#include "vit/routers/router_pass_internal.h"

#include <string.h>

enum { DIGITS = 256 };

/* Bits whose unsigned order is that of the numbers. */
static uint64_t ordered_bits(double x)
{
    const uint64_t sign = (uint64_t)1 << 63;
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

/* The number whose bits in order those are. */
static double number_of(uint64_t key)
{
    const uint64_t sign = (uint64_t)1 << 63;
    const uint64_t bits = key & sign ? key & ~sign : ~key;
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The m-th largest of key [count], 1 <= m <= count; *ties: how many equal to it are among
 * the m. Reorders key. */
static uint64_t threshold(uint64_t *key, size_t count, size_t m, size_t *ties)
{
    for (int shift = 56; shift >= 0 && count > 1; shift -= 8) {
        uint32_t histogram[DIGITS] = {0};
        size_t digit = DIGITS - 1, kept = 0;

        for (size_t i = 0; i < count; i++)
            histogram[key[i] >> shift & (DIGITS - 1)]++;
        for (; histogram[digit] < m; digit--)
            m -= histogram[digit];
        if (histogram[digit] == count)
            continue;
        for (size_t i = 0; i < count; i++)
            if ((key[i] >> shift & (DIGITS - 1)) == digit)
                key[kept++] = key[i];
        count = kept;
    }
    *ties = m;
    return key[0];
}

static void state_plan(vit_route_pairs_state *out, base_arena *arena,
                       const vit_router_shape *shape)
{
    const size_t all = shape->tokens * shape->experts;

    vit_route_state_plan(&out->base, arena, shape);
    out->mark = base_arena_take(arena, all, sizeof *out->mark);
    out->key = base_arena_take(arena, all, sizeof *out->key);
}

size_t vit_route_pairs_state_bytes(const vit_router_shape *shape)
{
    base_arena arena = {0};
    vit_route_pairs_state unused;

    state_plan(&unused, &arena, shape);
    return arena.used;
}

vit_route_pairs_state vit_route_pairs_state_of(const vit_router_pass *pass)
{
    base_arena arena = {.at = pass->plan.state, .bytes = SIZE_MAX};
    vit_route_pairs_state state;

    state_plan(&state, &arena, &pass->plan.shape);
    return state;
}

void vit_route_mark_largest(uint8_t *mark, const double *score, size_t count, size_t step,
                            size_t m, uint64_t *key)
{
    size_t ties = 0;
    uint64_t least = 0;

    for (size_t i = 0; i < count; i++)
        key[i] = ordered_bits(score[i * step]);
    if (m > 0)
        least = threshold(key, count, m, &ties);
    for (size_t i = 0; i < count; i++) {
        const uint64_t own = ordered_bits(score[i * step]);
        const bool tied = m > 0 && own == least && ties > 0;

        ties -= tied;
        mark[i * step] = m > 0 && (own > least || tied);
    }
}

double vit_route_kth_largest(const double *score, const double *minus, size_t count,
                             size_t step, size_t m, uint64_t *key)
{
    size_t ties;

    for (size_t i = 0; i < count; i++)
        key[i] = ordered_bits(minus ? score[i * step] - minus[i] : score[i * step]);
    return number_of(threshold(key, count, m, &ties));
}

/* The marked experts of one row, the largest gate first. */
static void row_fill(uint16_t *expert, float *out, const uint8_t *mark, const double *gate,
                     size_t experts)
{
    size_t count = 0;

    for (size_t e = 0; e < experts; e++) {
        if (!mark[e])
            continue;
        size_t at = count++;
        for (; at > 0 && gate[e] > gate[expert[at - 1]]; at--)
            expert[at] = expert[at - 1];
        expert[at] = (uint16_t)e;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = (float)gate[expert[i]];
}

void vit_route_pairs_publish(vit_router_pass *pass, const uint8_t *mark, const double *gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = s.experts;

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++) {
        uint32_t sum = 0;
        for (size_t e = 0; e < n; e++)
            sum += mark[t * n + e];
        pass->out.start[t + 1] = sum;
    }
    pass->out.start[0] = 0;
    for (size_t t = 0; t < s.tokens; t++)
        pass->out.start[t + 1] += pass->out.start[t];
    pass->out.count = pass->out.start[s.tokens];
#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++) {
        const size_t a = pass->out.start[t], end = pass->out.start[t + 1];
        row_fill(pass->out.expert + a, pass->out.gate + a, mark + t * n, gate + t * n, n);
        for (size_t i = a; i < end; i++)
            pass->out.token[i] = (uint32_t)t;
    }
}

void vit_route_pairs_backward(double *d, const vit_router_pass *pass, const float *d_gate)
{
    const vit_route_size s = vit_route_size_of(&pass->plan.shape);
    const size_t n = s.experts;

#pragma omp parallel for schedule(static) if (vit_route_is_large(&s))
    for (size_t t = 0; t < s.tokens; t++) {
        memset(d + t * n, 0, n * sizeof *d);
        for (size_t a = pass->out.start[t]; a < pass->out.start[t + 1]; a++)
            d[t * n + pass->out.expert[a]] = (double)d_gate[a];
    }
}
