/* dropout.c - dropout (Srivastava et al. 2014) and stochastic depth as functions of their
 * keys: the backward pass draws the same mask again, so no mask is stored and a resumed run
 * repeats it. */
#include "vit/run_internal.h"

void vit_dropout(const vit_operand_kernels *kernels, void *y, size_t bytes, size_t rows,
                 size_t n, double rate, const vit_step *step, uint64_t site,
                 uint64_t first_token)
{
    enum { PIECE = 512 };
    const float keep = (float)(1.0 / (1.0 - rate));
    const uint32_t limit = (uint32_t)(rate * 65536.0 + 0.5); /* 16 random bits an element */
    float mask[PIECE];

    for (size_t r = 0; r < rows; r++) {
        base_rng rng = base_rng_make(step->seed, BASE_PURPOSE_DROPOUT, step->step, site,
                                     first_token + r);
        for (size_t at = 0; at < n; at += PIECE) {
            const size_t count = n - at < PIECE ? n - at : PIECE;
            for (size_t i = 0; i < count; i += 2) {
                const uint32_t word = base_rng_u32(&rng);
                mask[i] = (word & 0xffffu) < limit ? 0.0f : keep;
                mask[i + 1] = word >> 16 < limit ? 0.0f : keep;
            }
            kernels->multiply((unsigned char *)y + (r * n + at) * bytes, mask, count);
        }
    }
}

float vit_drop_path(double rate, const vit_step *step, uint64_t site, uint64_t image)
{
    base_rng rng =
        base_rng_make(step->seed, BASE_PURPOSE_DROP_PATH, step->step, site, image);
    return base_rng_uniform(&rng) < rate ? 0.0f : (float)(1.0 / (1.0 - rate));
}

double vit_drop_path_rate(const vit_config *config, size_t i)
{
    return config->depth > 1 ? config->drop_path * (double)i / (config->depth - 1) : 0.0;
}

void vit_branch_scales_draw(vit_run *run)
{
    static const uint64_t site[2] = {VIT_SITE_ATTENTION, VIT_SITE_MLP};
    for (size_t i = 0; i < (size_t)run->config.depth; i++) {
        const bool draws = run->mode == VIT_MODE_TRAIN && !vit_block_frozen(run, i);
        const double rate = draws ? vit_drop_path_rate(&run->config, i) : 0.0;
        for (size_t j = 0; j < 2; j++)
            for (size_t b = 0; b < run->batch; b++)
                run->block[i].branch_scale[j][b] =
                    rate > 0 ? vit_drop_path(rate, &run->step, 8 * i + site[j],
                                             run->step.first_sample + b)
                             : 1.0f;
    }
}

bool vit_branch_regularised(const vit_run *run, size_t i)
{
    return run->training &&
           (run->config.dropout > 0 || vit_drop_path_rate(&run->config, i) > 0);
}

void vit_branch_regularise(float *y, const vit_run *run, size_t i, uint64_t site,
                           size_t first, size_t rows)
{
    if (!vit_branch_regularised(run, i))
        return;
    const size_t d = (size_t)run->config.width, n = run->tokens_per_image;
    if (run->config.dropout > 0)
        vit_dropout(run->fp32, y, sizeof *y, rows, d, run->config.dropout, &run->step,
                    8 * i + site, run->step.first_sample * n + first);
    if (vit_drop_path_rate(&run->config, i) <= 0)
        return;
    for (size_t r = 0; r < rows; r++) {
        const float scale =
            run->block[i].branch_scale[site == VIT_SITE_MLP][(first + r) / n];
        if (scale != 1.0f)
            for (size_t j = 0; j < d; j++)
                y[r * d + j] *= scale;
    }
}
