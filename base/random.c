/* random.c - keyed random streams: the same key gives the same numbers on every machine, in
 * any thread, in any order. Follows Salmon, Moraes, Dror and Shaw 2011 (Philox), Steele,
 * Lea and Flood 2014 (the hash), Lemire 2019 (bounded integers), Box and Muller 1958,
 * Marsaglia and Tsang 2000 (gamma). Nothing here is free to change: every stored result
 * depends on it. */
#include "base/base.h"

#include <assert.h>
#include <math.h>

enum { PHILOX_ROUNDS = 10 };

void base_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t p0 = UINT64_C(0xD2511F53) * c0;
        const uint64_t p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9; /* golden ratio */
        k1 += 0xBB67AE85; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static uint64_t mix(uint64_t z)
{
    z += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t base_key(const uint64_t *values, size_t count)
{
    uint64_t h = 0;

    for (size_t i = 0; i < count; i++)
        h = mix(h ^ values[i]);
    return h;
}

base_rng base_rng_make(uint64_t seed, base_purpose purpose, uint64_t a, uint64_t b,
                       uint64_t c)
{
    const uint64_t values[5] = {seed, (uint64_t)purpose, a, b, c};
    const uint64_t key = base_key(values, 5);

    return (base_rng){.key = {(uint32_t)key, (uint32_t)(key >> 32)}};
}

uint32_t base_rng_u32(base_rng *rng)
{
    if (rng->left == 0) {
        base_philox4x32(rng->block, rng->counter, rng->key);
        for (int i = 0; i < 4 && ++rng->counter[i] == 0; i++)
            ; /* carry */
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

/* The earlier word is the lower half. */
uint64_t base_rng_u64(base_rng *rng)
{
    const uint64_t low = base_rng_u32(rng);

    return (uint64_t)base_rng_u32(rng) << 32 | low;
}

double base_rng_uniform(base_rng *rng)
{
    return (double)(base_rng_u64(rng) >> 11) * 0x1p-53;
}

/* (0, 1], for logarithms. */
static double uniform_above_zero(base_rng *rng)
{
    return 1.0 - base_rng_uniform(rng);
}

uint64_t base_rng_below(base_rng *rng, uint64_t limit)
{
    __extension__ typedef unsigned __int128 wide;
    assert(limit >= 1);
    wide product = (wide)base_rng_u64(rng) * limit;

    if ((uint64_t)product < limit) {
        const uint64_t reject = (0 - limit) % limit; /* 2^64 mod limit */
        while ((uint64_t)product < reject)
            product = (wide)base_rng_u64(rng) * limit;
    }
    return (uint64_t)(product >> 64);
}

double base_rng_normal(base_rng *rng)
{
    const double pi = 3.14159265358979323846;
    const double radius = sqrt(-2.0 * log(uniform_above_zero(rng)));

    return radius * cos(2.0 * pi * base_rng_uniform(rng));
}

/* The logarithm of a Gamma(a, 1) value, a >= 1. */
static double log_gamma_value(base_rng *rng, double a)
{
    const double d = a - 1.0 / 3.0;
    const double c = 1.0 / sqrt(9.0 * d);

    for (;;) {
        const double x = base_rng_normal(rng);
        const double t = 1.0 + c * x;
        const double u = uniform_above_zero(rng);
        if (t <= 0.0)
            continue;
        const double v = t * t * t;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d) + log(v);
    }
}

/* In logarithms, because for a small a both gammas are often below the smallest double. The
 * boost Gamma(a) = Gamma(a + 1) * U^(1/a) divides the difference of the two log U at the
 * end. */
double base_rng_beta(base_rng *rng, double a)
{
    assert(a > 0.0);
    const bool boost = a < 1.0;
    const double shape = boost ? a + 1.0 : a;

    const double x = log_gamma_value(rng, shape);
    const double ux = boost ? log(uniform_above_zero(rng)) : 0.0;
    const double y = log_gamma_value(rng, shape);
    const double uy = boost ? log(uniform_above_zero(rng)) : 0.0;
    return 1.0 / (1.0 + exp(y - x + (uy - ux) / a));
}

void base_rng_permutation(base_rng *rng, uint32_t *out, size_t count)
{
    assert(count == 0 || count - 1 <= UINT32_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint32_t)i;
    for (size_t i = count; i-- > 1;) {
        const size_t j = (size_t)base_rng_below(rng, (uint64_t)i + 1);
        const uint32_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}
