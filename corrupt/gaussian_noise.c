/* gaussian_noise.c - gaussian noise and speckle noise: normal noise on every sample, alone
 * or times the sample. Hendrycks and Dietterich 2019; the two share their loop. Relied on
 * elsewhere: sample i takes normal i of the image's stream. */
#include "corrupt/corrupt_internal.h"

enum { PIECE = 4096 };

/* x + sd n (share 0), or x + x sd n (share 1). */
static inline void add_noise(corrupt_job *job, bool times_sample)
{
    const size_t count = job->height * job->width * 3;
    const float sd = (float)job->params[0];
    float normal[PIECE];

    for (size_t done = 0; done < count; done += PIECE) {
        const size_t piece = count - done < PIECE ? count - done : PIECE;
        const unsigned char *in = job->in + done;
        unsigned char *restrict out = job->out + done;
        corrupt_random_normal(normal, piece, &job->rng);
        for (size_t i = 0; i < piece; i++) {
            const float x = (float)in[i] * (1.0f / 255.0f);
            out[i] = corrupt_byte_f32(x + (times_sample ? x * sd : sd) * normal[i]);
        }
    }
}

static base_status gaussian_apply(corrupt_job *job, base_error *err)
{
    (void)err; /* needs nothing that can fail */
    add_noise(job, false);
    return BASE_OK;
}

static base_status speckle_apply(corrupt_job *job, base_error *err)
{
    (void)err;
    add_noise(job, true);
    return BASE_OK;
}

const corrupt_entry corrupt_gaussian_noise = {
    .name = "gaussian_noise",
    .summary = "normal noise, as in poor light",
    .group = CORRUPT_GROUP_NOISE,
    .random = true,
    .params = {[CORRUPT_PRESET_224] = {{{.08}}, {{.12}}, {{.18}}, {{.26}}, {{.38}}},
               [CORRUPT_PRESET_299] = {{{.09}}, {{.13}}, {{.19}}, {{.27}}, {{.40}}},
               [CORRUPT_PRESET_64] = {{{.04}}, {{.08}}, {{.12}}, {{.15}}, {{.18}}},
               [CORRUPT_PRESET_32] = {{{.04}}, {{.06}}, {{.08}}, {{.09}}, {{.10}}}},
    .alexnet = {.69528, .82542, .93554, .98138, .99452},
    .apply = gaussian_apply,
};

const corrupt_entry corrupt_speckle_noise = {
    .name = "speckle_noise",
    .summary = "normal noise that grows with the brightness",
    .group = CORRUPT_GROUP_EXTRA,
    .random = true,
    .params = {[CORRUPT_PRESET_224] = {{{.15}}, {{.2}}, {{.35}}, {{.45}}, {{.6}}},
               [CORRUPT_PRESET_299] = {{{.16}}, {{.21}}, {{.36}}, {{.46}}, {{.61}}},
               [CORRUPT_PRESET_64] = {{{.15}}, {{.2}}, {{.25}}, {{.3}}, {{.35}}},
               [CORRUPT_PRESET_32] = {{{.06}}, {{.1}}, {{.12}}, {{.16}}, {{.2}}}},
    .apply = speckle_apply,
};
