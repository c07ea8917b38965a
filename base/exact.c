/* exact.c - sums that do not depend on the order of their numbers.
 *
 * The sum is a whole number of units of 2^-96 in 192 bits, two's complement (the idea of
 * Kulisch's long accumulator, cut to what figures of a training need): additions of
 * integers are exact, so any order and any grouping gives the same bits. Free to change:
 * how a number is taken apart. Relied on elsewhere: unit and layout stand in files of
 * runs. */
#include "base/base.h"

#include <math.h>
#include <string.h>

enum { UNIT = 96, LIMBS = 3, SIGNIFICAND = 52, BIAS = 1075, TOO_LARGE = 63 };
enum { NOT_A_NUMBER = 1, PLUS_INFINITY = 2, MINUS_INFINITY = 4 };

static void add_limbs(uint64_t *sum, const uint64_t *other)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < LIMBS; i++) {
        const uint64_t first = sum[i] + carry;
        carry = first < carry;
        sum[i] = first + other[i];
        carry += sum[i] < first;
    }
}

static void negate(uint64_t *limbs)
{
    uint64_t carry = 1;

    for (size_t i = 0; i < LIMBS; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry && limbs[i] == 0;
    }
}

/* significand * 2^-drop to the nearest whole number, ties to even. */
static uint64_t rounded(uint64_t significand, int drop)
{
    if (drop > SIGNIFICAND + 2)
        return 0;
    const uint64_t whole = significand >> drop, rest = significand - (whole << drop);
    const uint64_t half = (uint64_t)1 << (drop - 1);
    return whole + (rest > half || (rest == half && (whole & 1)));
}

void base_exact_add(base_exact *sum, double x)
{
    uint64_t bits, limbs[LIMBS] = {0};

    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> SIGNIFICAND & 0x7ff);
    const bool negative = bits >> 63;
    if (exponent >= BIAS - SIGNIFICAND + TOO_LARGE) {
        sum->special |= isnan(x) ? NOT_A_NUMBER : negative ? MINUS_INFINITY : PLUS_INFINITY;
        return;
    }
    if (exponent == 0) /* zero, or far below the unit */
        return;
    uint64_t significand = (bits & (((uint64_t)1 << SIGNIFICAND) - 1)) | (uint64_t)1
                                                                             << SIGNIFICAND;
    int shift = exponent - BIAS + UNIT;
    if (shift < 0) {
        significand = rounded(significand, -shift);
        shift = 0;
    }
    const int limb = shift / 64, within = shift % 64;
    limbs[limb] = significand << within;
    if (within > 0 && limb + 1 < LIMBS)
        limbs[limb + 1] = significand >> (64 - within);
    if (negative)
        negate(limbs);
    add_limbs(sum->limbs, limbs);
}

void base_exact_merge(base_exact *sum, const base_exact *other)
{
    add_limbs(sum->limbs, other->limbs);
    sum->special |= other->special;
}

double base_exact_value(const base_exact *sum)
{
    uint64_t limbs[LIMBS];
    const bool negative = sum->limbs[LIMBS - 1] >> 63;
    int top = LIMBS - 1;

    if (sum->special & NOT_A_NUMBER ||
        (sum->special & PLUS_INFINITY && sum->special & MINUS_INFINITY))
        return NAN;
    if (sum->special)
        return sum->special & PLUS_INFINITY ? INFINITY : -INFINITY;
    memcpy(limbs, sum->limbs, sizeof limbs);
    if (negative)
        negate(limbs);
    while (top >= 0 && limbs[top] == 0)
        top--;
    if (top < 0)
        return 0;
    /* The 64 bits from the first one on; the last stands for all that follow it. */
    const int first = __builtin_clzll(limbs[top]);
    uint64_t head = limbs[top] << first, rest = 0;
    if (top > 0 && first > 0) {
        head |= limbs[top - 1] >> (64 - first);
        rest = limbs[top - 1] << first;
    } else if (top > 0) {
        rest = limbs[top - 1];
    }
    for (int i = 0; i < top - 1; i++)
        rest |= limbs[i];
    head |= rest != 0;
    const double value = ldexp((double)rounded(head, 11), 64 * top - first + 11 - UNIT);
    return negative ? -value : value;
}
