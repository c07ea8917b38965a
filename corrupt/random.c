/* random.c - many random numbers at once: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011)
 * on sixteen counters side by side, and normals from pairs of words (Box and Muller 1958).
 * Nothing here is free to change but speed: every stored result depends on the values and
 * their order. */
#include "corrupt/corrupt_internal.h"

#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { PHILOX_ROUNDS = 10, LANES = 16, RUN = 4 * LANES };

/* The low halves of a times m, in full: compilers see the one instruction for it in no loop
 * of plain C. */
#if defined(__SSE2__)
static inline corrupt_u64s times(corrupt_u64s a, corrupt_u64s m)
{
#if defined(__AVX512F__)
    return (corrupt_u64s)_mm512_mul_epu32((__m512i)a, (__m512i)m);
#elif defined(__AVX2__)
    return (corrupt_u64s)_mm256_mul_epu32((__m256i)a, (__m256i)m);
#else
    return (corrupt_u64s)_mm_mul_epu32((__m128i)a, (__m128i)m);
#endif
}
#else
static inline corrupt_u64s times(corrupt_u64s a, corrupt_u64s m)
{
    return (a & UINT32_MAX) * m;
}
#endif

/* A stream with the keys of all rounds. */
typedef struct philox {
    base_rng *rng;
    corrupt_u64s k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];
} philox;

/* At a fresh block. */
static void philox_begin(philox *p, base_rng *rng)
{
    const corrupt_u64s zero = {0};
    uint32_t k0 = rng->key[0], k1 = rng->key[1];

    rng->left = 0;
    p->rng = rng;
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        p->k0[round] = zero + k0;
        p->k1[round] = zero + k1;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

/* The next run: out[LANES w + b] is word w of block b. A lane of 64 bits holds a word of
 * 32; what lies above is not looked at. Two vectors go side by side, as a round's steps
 * wait for each other. The low 64 bits of the counter never wrap: an image draws far fewer
 * than 2^64 blocks. */
static void next_run(uint32_t out[RUN], const philox *p)
{
    base_rng *rng = p->rng;
    const uint64_t first = (uint64_t)rng->counter[1] << 32 | rng->counter[0];
    const corrupt_u64s zero = {0}, m0 = zero + UINT32_C(0xD2511F53),
                       m1 = zero + UINT32_C(0xCD9E8D57);
    uint64_t lanes[2 * CORRUPT_F64S], wide[RUN];

    for (uint64_t b = 0; b < LANES; b += 2 * CORRUPT_F64S) {
        corrupt_u64s c0[2], c1[2], c2[2], c3[2];
        for (uint64_t i = 0; i < 2 * CORRUPT_F64S; i++)
            lanes[i] = first + b + i;
        memcpy(c0, lanes, sizeof c0);
        for (int v = 0; v < 2; v++) {
            c1[v] = c0[v] >> 32;
            c2[v] = zero + rng->counter[2];
            c3[v] = zero + rng->counter[3];
        }
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            for (int v = 0; v < 2; v++) {
                const corrupt_u64s p0 = times(c0[v], m0), p1 = times(c2[v], m1);
                c0[v] = (p1 >> 32) ^ (c1[v] ^ p->k0[round]);
                c1[v] = p1;
                c2[v] = (p0 >> 32) ^ (c3[v] ^ p->k1[round]);
                c3[v] = p0;
            }
        }
        memcpy(wide + b, c0, sizeof c0);
        memcpy(wide + LANES + b, c1, sizeof c1);
        memcpy(wide + 2 * LANES + b, c2, sizeof c2);
        memcpy(wide + 3 * LANES + b, c3, sizeof c3);
    }
    for (int i = 0; i < RUN; i++)
        out[i] = (uint32_t)wide[i];
    rng->counter[0] = (uint32_t)(first + LANES);
    rng->counter[1] = (uint32_t)((first + LANES) >> 32);
}

void corrupt_random_words(uint32_t *out, size_t count, base_rng *rng)
{
    uint32_t last[RUN];
    philox p;

    philox_begin(&p, rng);
    for (; count >= RUN; count -= RUN, out += RUN)
        next_run(out, &p);
    if (count > 0) {
        next_run(last, &p);
        memcpy(out, last, count * sizeof *out);
    }
}

static void uniform_run(float out[RUN], const philox *p)
{
    uint32_t words[RUN];

    next_run(words, p);
    for (int i = 0; i < RUN; i++)
        out[i] = (float)(int32_t)(words[i] >> 8) * 0x1p-24f;
}

void corrupt_random_uniform(float *out, size_t count, base_rng *rng)
{
    float last[RUN];
    philox p;

    philox_begin(&p, rng);
    for (; count >= RUN; count -= RUN, out += RUN)
        uniform_run(out, &p);
    if (count > 0) {
        uniform_run(last, &p);
        memcpy(out, last, count * sizeof *out);
    }
}

/* Natural logarithm of 0 < u <= 1: u = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and the
 * polynomial for log(1 + f) of Moshier's Cephes library (logf, 2e-7). */
static inline float log_f32(float u)
{
    int32_t bits;

    memcpy(&bits, &u, sizeof bits);
    const int32_t e = (bits - 0x3f3504f3) >> 23;
    const int32_t mantissa = bits - e * (1 << 23);
    float f;
    memcpy(&f, &mantissa, sizeof f);
    f -= 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const float z = f * f;
    return f + (p * f * z - 0.5f * z) + (float)e * 0.69314718f;
}

/* A word is a pair of a uniform radius and a uniform angle: the first half of a run gives
 * radii, the second angles; the cosines come first, then the sines. */
static void normal_run(float out[RUN], const philox *p)
{
    uint32_t words[RUN];

    next_run(words, p);
    for (int i = 0; i < RUN / 2; i++) {
        /* 31 bits, moved off zero by half a step: the longest radius is sqrt(2 ln 2^32) =
         * 6.66. */
        const float u = ((float)(int32_t)(words[i] >> 1) + 0.5f) * 0x1p-31f;
        const float radius = sqrtf(-2.0f * log_f32(u));

        /* The angle is 2 pi word / 2^32: the nearest quarter turn and -pi/4 <= t < pi/4
         * beyond it; polynomials of Cephes (sinf, cosf, 1e-7). */
        const uint32_t word = words[RUN / 2 + i];
        const uint32_t quarter = (word + UINT32_C(0x20000000)) >> 30;
        const float t = (float)(int32_t)(word - (quarter << 30)) * 1.46291807926716e-9f;
        const float z = t * t;
        const float s =
            ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * t + t;
        const float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z +
                         4.166664568298827e-2f) *
                            z * z -
                        0.5f * z + 1.0f;
        const float cosine = quarter & 1 ? s : c;
        const float sine = quarter & 1 ? c : s;
        out[i] = radius * ((quarter + 1) & 2 ? -cosine : cosine);
        out[RUN / 2 + i] = radius * (quarter & 2 ? -sine : sine);
    }
}

void corrupt_random_normal(float *out, size_t count, base_rng *rng)
{
    float last[RUN];
    philox p;

    philox_begin(&p, rng);
    for (; count >= RUN; count -= RUN, out += RUN)
        normal_run(out, &p);
    if (count > 0) {
        normal_run(last, &p);
        memcpy(out, last, count * sizeof *out);
    }
}
