/* impulse_noise.c - samples that fail: 0 or 255 with probability p, each half the time.
 * Hendrycks and Dietterich 2019; channels fail on their own, hence coloured dots. */
#include "corrupt/corrupt_internal.h"

enum { PIECE = 4096 };

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t count = job->height * job->width * 3;
    /* In 2^-31: below the first limit black, below the second white. */
    const int32_t black = (int32_t)(job->params[0] * 0x1p30 + 0.5);
    const int32_t white = (int32_t)(job->params[0] * 0x1p31 + 0.5);
    uint32_t words[PIECE];

    (void)err; /* needs nothing that can fail */
    for (size_t done = 0; done < count; done += PIECE) {
        const size_t piece = count - done < PIECE ? count - done : PIECE;
        const unsigned char *in = job->in + done;
        unsigned char *restrict out = job->out + done;
        corrupt_random_words(words, piece, &job->rng);
        for (size_t i = 0; i < piece; i++) {
            const int32_t word = (int32_t)(words[i] >> 1);
            const int32_t failed = word < white ? -1 : 0; /* as masks: no branch */
            const int32_t value = word < black ? 0 : 255;
            out[i] = (unsigned char)((value & failed) | (in[i] & ~failed));
        }
    }
    return BASE_OK;
}

const corrupt_entry corrupt_impulse_noise = {
    .name = "impulse_noise",
    .summary = "samples that fail: coloured salt and pepper",
    .group = CORRUPT_GROUP_NOISE,
    .random = true,
    .params = {[CORRUPT_PRESET_224] = {{{.03}}, {{.06}}, {{.09}}, {{.17}}, {{.27}}},
               [CORRUPT_PRESET_299] = {{{.04}}, {{.07}}, {{.10}}, {{.18}}, {{.28}}},
               [CORRUPT_PRESET_64] = {{{.01}}, {{.02}}, {{.05}}, {{.08}}, {{.14}}},
               [CORRUPT_PRESET_32] = {{{.01}}, {{.02}}, {{.03}}, {{.05}}, {{.07}}}},
    .alexnet = {.78374, .89808, .94870, .98720, .99548},
    .apply = apply,
};
