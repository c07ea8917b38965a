/* glass_blur.c - frosted glass: pixels copied from near neighbours, between two Gaussian
 * filters. Hendrycks and Dietterich 2019. The script means to swap two pixels, but its
 * array views alias, so that the source keeps its value: a copy. Rows and columns 0 .. d
 * and the last d - 1 stay, as there. */
#include "corrupt/corrupt_internal.h"

#include <string.h>

/* One pass: rows and columns from the far end to the near, u[h][w] = u[h + dy][w + dx], -d
 * <= dy, dx < d. dx comes from the upper half of a random word, dy from the lower: a
 * probability is off by less than 2^-16. */
static void shuffle(corrupt_job *job, unsigned char *u, size_t d, uint32_t *words)
{
    const size_t height = job->height, width = job->width;
    const uint32_t sides = (uint32_t)(2 * d);

    for (size_t h = height - d; h > d; h--) {
        unsigned char *row = u + h * width * 3;
        corrupt_random_words(words, width - 2 * d, &job->rng);
        for (size_t w = width - d, i = 0; w > d; w--, i++) {
            const size_t dx = (words[i] >> 16) * sides >> 16;
            const size_t dy = (words[i] & 0xffff) * sides >> 16;
            memcpy(row + w * 3, u + ((h + dy - d) * width + w + dx - d) * 3, 3);
        }
    }
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const double sigma = job->params[0];
    const size_t d = (size_t)job->params[1];
    const int passes = (int)job->params[2];

    uint32_t *words = corrupt_scratch(job, job->width, sizeof *words, err);
    if (!words)
        return BASE_NO_MEMORY;
    const base_status status =
        corrupt_gauss_bytes(job, job->out, job->in, job->height, job->width, 3, sigma, err);
    if (status != BASE_OK)
        return status;
    if (job->height > 2 * d && job->width > 2 * d) {
        for (int i = 0; i < passes; i++)
            shuffle(job, job->out, d, words);
    }
    return corrupt_gauss_bytes(job, job->out, job->out, job->height, job->width, 3, sigma,
                               err);
}

const corrupt_entry corrupt_glass_blur = {
    .name = "glass_blur",
    .summary = "seen through frosted glass",
    .group = CORRUPT_GROUP_BLUR,
    .random = true,
    .params = {[CORRUPT_PRESET_224] =
                   {{{.7, 1, 2}}, {{.9, 2, 1}}, {{1, 2, 3}}, {{1.1, 3, 2}}, {{1.5, 4, 2}}},
               [CORRUPT_PRESET_299] =
                   {{{.8, 1, 3}}, {{1, 3, 1}}, {{1.1, 2, 4}}, {{1.2, 4, 2}}, {{1.6, 5, 2}}},
               [CORRUPT_PRESET_64] =
                   {{{.1, 1, 1}}, {{.5, 1, 1}}, {{.6, 1, 2}}, {{.7, 2, 1}}, {{.9, 2, 2}}},
               [CORRUPT_PRESET_32] = {{{.05, 1, 1}},
                                      {{.25, 1, 1}},
                                      {{.4, 1, 1}},
                                      {{.25, 1, 2}},
                                      {{.4, 1, 2}}}},
    .alexnet = {.64308, .75054, .88806, .91622, .93344},
    .apply = apply,
};
