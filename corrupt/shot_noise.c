/* shot_noise.c - photons: Poisson(c x) / c on every sample. Hendrycks and Dietterich 2019.
 * A sample has 256 levels, so its law is known beforehand: the exact Poisson probabilities
 * of every level, added up by the byte that comes out, as Walker's alias tables (Vose 1991,
 * "A linear algorithm for generating random numbers with a given distribution"). One 32-bit
 * word picks a column and a side of it; a probability is off by at most 2^-32. */
#include "corrupt/corrupt_internal.h"

#include <string.h>

enum { LEVELS = 256, PIECE = 4096 };

typedef struct column {
    uint32_t limit; /* of the word's lower bits: below it or not */
    unsigned char below_above[2];
} column;

typedef struct shot_table {
    uint32_t bits; /* 2^bits columns a level */
    column at[];   /* [LEVELS, 2^bits] */
} shot_table;

/* The byte of k photons of c. */
static unsigned char byte_of(int k, double c)
{
    return corrupt_byte(k / c);
}

/* Enough columns for every byte that k = 0 .. c can become. */
static uint32_t column_bits(double c)
{
    uint32_t bits = 1;
    int bytes = 1;

    for (int k = 1; k <= (int)c; k++)
        bytes += byte_of(k, c) != byte_of(k - 1, c);
    while ((1 << bits) < bytes)
        bits++;
    return bits;
}

static size_t prepare_bytes(const double *params)
{
    return sizeof(shot_table) + ((size_t)LEVELS << column_bits(params[0])) * sizeof(column);
}

/* Vose's algorithm: share [columns] are the probabilities times columns; bytes what they
 * stand for. Columns with too little are filled up from one with too much. */
static void fill_columns(column *out, double *share, const unsigned char *bytes,
                         uint32_t columns, double full)
{
    uint32_t small[LEVELS], large[LEVELS], smalls = 0, larges = 0;

    for (uint32_t i = 0; i < columns; i++) {
        if (share[i] < 1.0)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    while (smalls > 0 && larges > 0) {
        const uint32_t s = small[--smalls], l = large[larges - 1];
        out[s] = (column){(uint32_t)(share[s] * full + 0.5), {bytes[s], bytes[l]}};
        share[l] -= 1.0 - share[s];
        if (share[l] < 1.0) {
            larges--;
            small[smalls++] = l;
        }
    }
    /* What is left is full but for rounding. */
    while (larges > 0) {
        const uint32_t l = large[--larges];
        out[l] = (column){0, {bytes[l], bytes[l]}};
    }
    while (smalls > 0) {
        const uint32_t s = small[--smalls];
        out[s] = (column){0, {bytes[s], bytes[s]}};
    }
}

static void prepare(void *to, const double *params)
{
    const double c = params[0];
    shot_table *table = to;

    table->bits = column_bits(c);
    const uint32_t columns = 1u << table->bits;
    const double full = (double)(1u << (32 - table->bits));
    for (int level = 0; level < LEVELS; level++) {
        const double mean = level / 255.0 * c;
        double share[LEVELS] = {0};
        unsigned char bytes[LEVELS] = {0};
        double p = corrupt_exp(-mean), rest = 1.0;
        uint32_t i = 0;
        for (int k = 0; k < (int)c; k++) {
            if (byte_of(k, c) != bytes[i])
                bytes[++i] = byte_of(k, c);
            share[i] += p * columns;
            rest -= p;
            p *= mean / (k + 1);
        }
        if (bytes[i] != 255)
            bytes[++i] = 255;
        share[i] += (rest > 0.0 ? rest : 0.0) * columns;
        fill_columns(table->at + ((size_t)level << table->bits), share, bytes, columns,
                     full);
    }
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const shot_table *table = corrupt_prepared(job, CORRUPT_KIND_SHOT_NOISE);
    const uint32_t bits = table->bits, mask = UINT32_MAX >> bits;
    const size_t count = job->height * job->width * 3;
    uint32_t words[PIECE];

    (void)err; /* needs nothing that can fail */
    for (size_t done = 0; done < count; done += PIECE) {
        const size_t piece = count - done < PIECE ? count - done : PIECE;
        const unsigned char *in = job->in + done;
        unsigned char *restrict out = job->out + done;
        corrupt_random_words(words, piece, &job->rng);
        for (size_t i = 0; i < piece; i++) {
            const column *at =
                table->at + ((size_t)in[i] << bits | words[i] >> (32 - bits));
            out[i] = at->below_above[(words[i] & mask) >= at->limit];
        }
    }
    return BASE_OK;
}

const corrupt_entry corrupt_shot_noise = {
    .name = "shot_noise",
    .summary = "too few photons: Poisson noise",
    .group = CORRUPT_GROUP_NOISE,
    .random = true,
    .params = {[CORRUPT_PRESET_224] = {{{60}}, {{25}}, {{12}}, {{5}}, {{3}}},
               [CORRUPT_PRESET_299] = {{{50}}, {{20}}, {{10}}, {{5}}, {{3}}},
               [CORRUPT_PRESET_64] = {{{250}}, {{100}}, {{50}}, {{30}}, {{15}}},
               [CORRUPT_PRESET_32] = {{{500}}, {{250}}, {{100}}, {{75}}, {{50}}}},
    .alexnet = {.71224, .85108, .93574, .98182, .99146},
    .apply = apply,
    .prepare_bytes = prepare_bytes,
    .prepare = prepare,
};
