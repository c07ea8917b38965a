/* run.c - the autoencoder's forward and backward pass (vae.h has the formulas). After
 * Kingma and Welling 2014, "Auto-encoding variational Bayes" (the reparametrised Gaussian,
 * its KL divergence in closed form), and SMoE-VAE (arXiv 2509.10025: experts are decoders).
 * A "row" is one image in one decoder: with all decoders E rows an image, else one; rows of
 * a decoder lie side by side, images in order. Nothing here allocates but create. Sums over
 * images run in their order. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "vit/vae/vae_internal.h"

struct vit_vae_run {
    const vit_vae *vae;
    const vit_operand_kernels *kernels; /* fp32 */
    vit_exec exec;
    base_arena arena;
    bool training;
    size_t batch_max;
    /* of the last pass */
    size_t batch, rows;
    vit_vae_pass pass;
    size_t offset[VIT_EXPERTS_MAX + 1]; /* rows of expert e */
    uint32_t *image;                    /* [rows] */
    uint32_t *row;                      /* [B, E] with all decoders, else [B] */
    int32_t *expert;                    /* [B] */
    float *x;                           /* [B, P] */
    float *hidden, *active;             /* [B, H] before and after GELU */
    float *stats;                       /* [B, 2 Z] */
    float *mean, *z, *noise;            /* [B, Z] */
    float *gate;                        /* [B, E] */
    float *rows_z;                      /* [rows, Z] */
    float *rows_hidden, *rows_active;   /* [rows, M] */
    float *rows_out;                    /* [rows, P] */
    float *pixels;                      /* [B, P] */
    double *errors;                     /* [B] */
    float *share;                       /* [E] of the best experts */
    float *d_pixels, *d_rows_out, *d_rows_hidden, *d_rows_z, *d_gate, *d_z, *d_stats,
        *d_hidden;
    float *gradients; /* training */
};

/* ---- memory -------------------------------------------------------------------------- */

static void plan(vit_vae_run *run)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t b = run->batch_max, p = vit_vae_pixel_count(c), h = (size_t)c->hidden,
                 z = (size_t)c->latent, e = (size_t)c->experts, m = (size_t)c->decoder;
    const size_t rows = b * e;
    const struct {
        float **at;
        size_t count;
        bool training;
    } blocks[] = {
        {&run->x, b * p, false},
        {&run->hidden, b * h, false},
        {&run->active, b * h, false},
        {&run->stats, b * 2 * z, false},
        {&run->mean, b * z, false},
        {&run->z, b * z, false},
        {&run->noise, b * z, false},
        {&run->gate, b * e, false},
        {&run->rows_z, rows * z, false},
        {&run->rows_hidden, rows * m, false},
        {&run->rows_active, rows * m, false},
        {&run->rows_out, rows * p, false},
        {&run->pixels, b * p, false},
        {&run->share, e, false},
        {&run->d_pixels, b * p, true},
        {&run->d_rows_out, rows * p, true},
        {&run->d_rows_hidden, rows * m, true},
        {&run->d_rows_z, rows * z, true},
        {&run->d_gate, b * e, true},
        {&run->d_z, b * z, true},
        {&run->d_stats, b * 2 * z, true},
        {&run->d_hidden, b * h, true},
        {&run->gradients, run->vae->table.floats, true},
    };

    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (run->training || !blocks[i].training)
            *blocks[i].at = base_arena_take(&run->arena, blocks[i].count, sizeof(float));
    run->image = base_arena_take(&run->arena, rows, sizeof(uint32_t));
    run->row = base_arena_take(&run->arena, rows, sizeof(uint32_t));
    run->expert = base_arena_take(&run->arena, b, sizeof(int32_t));
    run->errors = base_arena_take(&run->arena, b, sizeof(double));
}

base_status vit_vae_run_create(vit_vae_run **out, const vit_vae *vae, size_t batch,
                               bool training, base_error *err)
{
    size_t rows;

    if (batch == 0 || !base_mul_size(&rows, batch, (size_t)vae->config.experts) ||
        rows > UINT32_MAX / 4)
        return base_fail(err, BASE_USAGE, "a batch of %zu images is not possible", batch);
    vit_vae_run *run = base_alloc(1, sizeof *run);
    if (!run)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a run");
    run->vae = vae;
    run->kernels = vit_kernels_fp32();
    run->training = training;
    run->batch_max = batch;
    plan(run);
    const size_t bytes = run->arena.used;
    run->arena = (base_arena){.at = base_alloc(bytes, 1), .bytes = bytes};
    if (!run->arena.at) {
        base_free(run);
        return base_fail(err, BASE_NO_MEMORY, "no memory for a batch of %zu images", batch);
    }
    plan(run);
    *out = run;
    return BASE_OK;
}

void vit_vae_run_destroy(vit_vae_run *run)
{
    if (!run)
        return;
    base_free(run->arena.at);
    base_free(run);
}

static const float *tensor(const vit_vae_run *run, int i)
{
    return run->vae->table.weights + run->vae->parameter[i].offset;
}

static float *gradient(vit_vae_run *run, int i)
{
    return run->gradients + run->vae->parameter[i].offset;
}

/* h [rows, n] += bias [n] */
static void bias_add(float *h, const float *bias, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            h[r * n + i] += bias[i];
}

/* ---- forward ------------------------------------------------------------------------- */

static void encode(vit_vae_run *run, const vit_step *sample)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t b = run->batch, p = vit_vae_pixel_count(c), h = (size_t)c->hidden,
                 z = (size_t)c->latent, e = (size_t)c->experts;

    vit_gemm(&run->exec, false, true, b, h, p, 1.0f, run->x, p, tensor(run, VIT_VAE_FC1), p,
             0.0f, run->hidden, h);
    bias_add(run->hidden, tensor(run, VIT_VAE_FC1_BIAS), b, h);
    run->kernels->gelu(run->active, run->hidden, b * h, 0);
    vit_gemm(&run->exec, false, true, b, 2 * z, h, 1.0f, run->active, h,
             tensor(run, VIT_VAE_FC2), h, 0.0f, run->stats, 2 * z);
    bias_add(run->stats, tensor(run, VIT_VAE_FC2_BIAS), b, 2 * z);
    memset(run->noise, 0, b * z * sizeof *run->noise);
    if (sample) {
        const uint64_t key = base_key(
            (const uint64_t[]){sample->seed, BASE_PURPOSE_VAE_SAMPLE, sample->step}, 3);
        const uint32_t words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
        vit_kernels_get()->normals(run->noise, b, z, words, sample->first_sample);
    }
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < z; j++) {
            const float mean = run->stats[i * 2 * z + j];
            const float deviation = expf(0.5f * run->stats[i * 2 * z + z + j]);
            run->mean[i * z + j] = mean;
            run->z[i * z + j] = mean + deviation * run->noise[i * z + j];
        }
    vit_gemm(&run->exec, false, true, b, e, z, 1.0f, run->z, z, tensor(run, VIT_VAE_GATE),
             z, 0.0f, run->gate, e);
    run->kernels->softmax(run->gate, run->gate, b, e, 1.0f);
}

/* Which image is decoded where. */
static base_status place_rows(vit_vae_run *run, const int32_t *given, base_error *err)
{
    const size_t b = run->batch, e = (size_t)run->vae->config.experts;
    size_t next[VIT_EXPERTS_MAX + 1] = {0};

    for (size_t i = 0; i < b; i++) {
        int32_t best = 0;
        for (size_t j = 1; j < e; j++)
            if (run->gate[i * e + j] > run->gate[i * e + (size_t)best])
                best = (int32_t)j;
        if (run->pass == VIT_VAE_GIVEN) {
            if (given[i] < 0 || (size_t)given[i] >= e)
                return base_fail(err, BASE_USAGE, "expert %d of %zu", given[i], e);
            best = given[i];
        }
        run->expert[i] = best;
    }
    run->rows = run->pass == VIT_VAE_ALL ? b * e : b;
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < e; j++)
            if (run->pass == VIT_VAE_ALL || run->expert[i] == (int32_t)j)
                next[j + 1]++;
    run->offset[0] = 0;
    for (size_t j = 0; j < e; j++)
        run->offset[j + 1] = run->offset[j] + next[j + 1];
    memcpy(next, run->offset, sizeof next);
    for (size_t i = 0; i < b; i++) {
        if (run->pass != VIT_VAE_ALL) {
            const size_t r = next[run->expert[i]]++;
            run->row[i] = (uint32_t)r;
            run->image[r] = (uint32_t)i;
            continue;
        }
        for (size_t j = 0; j < e; j++) {
            run->row[i * e + j] = (uint32_t)(j * b + i);
            run->image[j * b + i] = (uint32_t)i;
        }
    }
    return BASE_OK;
}

static void decode(vit_vae_run *run)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t p = vit_vae_pixel_count(c), z = (size_t)c->latent, m = (size_t)c->decoder;

    for (size_t r = 0; r < run->rows; r++)
        memcpy(run->rows_z + r * z, run->z + run->image[r] * z, z * sizeof *run->z);
    for (size_t e = 0; e < (size_t)c->experts; e++) {
        const size_t first = run->offset[e], rows = run->offset[e + 1] - first;
        if (rows == 0)
            continue;
        vit_gemm(&run->exec, false, true, rows, m, z, 1.0f, run->rows_z + first * z, z,
                 tensor(run, VIT_VAE_EXPERT1) + e * m * z, z, 0.0f,
                 run->rows_hidden + first * m, m);
        bias_add(run->rows_hidden + first * m, tensor(run, VIT_VAE_EXPERT1_BIAS) + e * m,
                 rows, m);
        run->kernels->gelu(run->rows_active + first * m, run->rows_hidden + first * m,
                           rows * m, 0);
        vit_gemm(&run->exec, false, true, rows, p, m, 1.0f, run->rows_active + first * m, m,
                 tensor(run, VIT_VAE_EXPERT2) + e * p * m, m, 0.0f,
                 run->rows_out + first * p, p);
        const float *bias = tensor(run, VIT_VAE_EXPERT2_BIAS) + e * p;
#pragma omp parallel for schedule(static)
        for (size_t r = first; r < first + rows; r++) {
            float *out = run->rows_out + r * p;
            for (size_t i = 0; i < p; i++)
                out[i] = 1.0f / (1.0f + expf(-(out[i] + bias[i])));
        }
    }
}

/* The reconstruction of each image and its error. */
static void combine(vit_vae_run *run)
{
    const size_t p = vit_vae_pixel_count(&run->vae->config);
    const size_t e = (size_t)run->vae->config.experts;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < run->batch; i++) {
        float *out = run->pixels + i * p;
        double sum = 0;
        if (run->pass == VIT_VAE_ALL) {
            memset(out, 0, p * sizeof *out);
            for (size_t j = 0; j < e; j++)
                run->kernels->axpy(out, run->gate[i * e + j],
                                   run->rows_out + run->row[i * e + j] * p, p);
        } else {
            memcpy(out, run->rows_out + run->row[i] * p, p * sizeof *out);
        }
        for (size_t j = 0; j < p; j++) {
            const double off = (double)out[j] - (double)run->x[i * p + j];
            sum += off * off;
        }
        run->errors[i] = sum;
    }
}

static double entropy_of(const float *gate, size_t experts)
{
    double sum = 0;

    for (size_t e = 0; e < experts; e++)
        if (gate[e] > 0)
            sum -= (double)gate[e] * log((double)gate[e]);
    return sum;
}

static vit_vae_losses losses_of(vit_vae_run *run)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t b = run->batch, z = (size_t)c->latent, e = (size_t)c->experts;
    vit_vae_losses l = {0};

    memset(run->share, 0, e * sizeof *run->share);
    for (size_t i = 0; i < b; i++) {
        l.squares += run->errors[i] / (double)b;
        for (size_t j = 0; j < z; j++) {
            const double mean = (double)run->stats[i * 2 * z + j];
            const double log_variance = (double)run->stats[i * 2 * z + z + j];
            l.kl += 0.5 * (mean * mean + exp(log_variance) - 1 - log_variance) / (double)b;
        }
        run->share[run->expert[i]] += 1.0f / (float)b;
    }
    if (run->pass != VIT_VAE_GIVEN)
        for (size_t i = 0; i < b; i++) {
            l.entropy += entropy_of(run->gate + i * e, e) / (double)b;
            for (size_t j = 0; j < e; j++)
                l.balance += (double)e * (double)run->share[j] *
                             (double)run->gate[i * e + j] / (double)b;
        }
    l.total = l.squares + c->beta * l.kl + c->balance * l.balance + c->sharpen * l.entropy;
    return l;
}

static base_status exec_status(vit_vae_run *run, base_error *err)
{
    if (!atomic_exchange(&run->exec.failed, false))
        return BASE_OK;
    return base_fail(err, BASE_INTERNAL, "oneDNN refused a matrix product");
}

base_status vit_vae_forward(vit_vae_run *run, vit_vae_losses *losses, const float *images,
                            size_t batch, vit_vae_pass pass, const int32_t *expert,
                            const vit_step *sample, base_error *err)
{
    if (batch == 0 || batch > run->batch_max)
        return base_fail(err, BASE_USAGE, "batch of %zu images, expected 1 to %zu", batch,
                         run->batch_max);
    run->batch = batch;
    run->pass = pass;
    memcpy(run->x, images, batch * vit_vae_pixel_count(&run->vae->config) * sizeof *run->x);
    encode(run, sample);
    const base_status status = place_rows(run, expert, err);
    if (status != BASE_OK)
        return status;
    decode(run);
    combine(run);
    *losses = losses_of(run);
    return exec_status(run, err);
}

/* ---- backward ------------------------------------------------------------------------ */

/* d_rows_out and, where the gate weighs, d_gate. */
static void combine_backward(vit_vae_run *run, float scale)
{
    const size_t p = vit_vae_pixel_count(&run->vae->config);
    const size_t e = (size_t)run->vae->config.experts;
    const float each = 2 * scale / (float)run->batch;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < run->batch; i++) {
        float *d = run->d_pixels + i * p;
        const bool all = run->pass == VIT_VAE_ALL;
        for (size_t j = 0; j < p; j++)
            d[j] = each * (run->pixels[i * p + j] - run->x[i * p + j]);
        for (size_t k = 0; k < (all ? e : 1); k++) {
            const size_t r = all ? run->row[i * e + k] : run->row[i];
            const float *y = run->rows_out + r * p;
            const float gate = all ? run->gate[i * e + k] : 1.0f;
            float *d_row = run->d_rows_out + r * p;
            if (all)
                run->d_gate[i * e + k] = run->kernels->dot(d, y, p);
            for (size_t j = 0; j < p; j++)
                d_row[j] = gate * d[j] * y[j] * (1 - y[j]);
        }
        if (!all)
            memset(run->d_gate + i * e, 0, e * sizeof *run->d_gate);
    }
}

static void decode_backward(vit_vae_run *run)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t p = vit_vae_pixel_count(c), z = (size_t)c->latent, m = (size_t)c->decoder;

    for (size_t e = 0; e < (size_t)c->experts; e++) {
        const size_t first = run->offset[e], rows = run->offset[e + 1] - first;
        const float *d_out = run->d_rows_out + first * p;
        float *d_hidden = run->d_rows_hidden + first * m;
        if (rows == 0)
            continue;
        vit_gemm(&run->exec, false, false, rows, m, p, 1.0f, d_out, p,
                 tensor(run, VIT_VAE_EXPERT2) + e * p * m, m, 0.0f, d_hidden, m);
        vit_gemm(&run->exec, true, false, p, m, rows, 1.0f, d_out, p,
                 run->rows_active + first * m, m, 1.0f,
                 gradient(run, VIT_VAE_EXPERT2) + e * p * m, m);
        run->kernels->column_sum(gradient(run, VIT_VAE_EXPERT2_BIAS) + e * p, d_out, rows,
                                 p);
        run->kernels->gelu_backward(d_hidden, run->rows_active + first * m,
                                    run->rows_hidden + first * m, rows * m, 0);
        vit_gemm(&run->exec, true, false, m, z, rows, 1.0f, d_hidden, m,
                 run->rows_z + first * z, z, 1.0f,
                 gradient(run, VIT_VAE_EXPERT1) + e * m * z, z);
        run->kernels->column_sum(gradient(run, VIT_VAE_EXPERT1_BIAS) + e * m, d_hidden,
                                 rows, m);
        vit_gemm(&run->exec, false, false, rows, z, m, 1.0f, d_hidden, m,
                 tensor(run, VIT_VAE_EXPERT1) + e * m * z, z, 0.0f,
                 run->d_rows_z + first * z, z);
    }
    memset(run->d_z, 0, run->batch * z * sizeof *run->d_z);
    for (size_t r = 0; r < run->rows; r++)
        run->kernels->axpy(run->d_z + run->image[r] * z, 1.0f, run->d_rows_z + r * z, z);
}

/* From the gates' gradient and the losses of the gates to the latent. */
static void gate_backward(vit_vae_run *run, float scale)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t b = run->batch, z = (size_t)c->latent, e = (size_t)c->experts;
    const float each = scale / (float)b;

    if (run->pass == VIT_VAE_GIVEN)
        return;
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < e; j++) {
            const float p = run->gate[i * e + j];
            run->d_gate[i * e + j] +=
                each * ((float)c->balance * (float)e * run->share[j] -
                        (p > 0 ? (float)c->sharpen * (logf(p) + 1.0f) : 0.0f));
        }
    run->kernels->softmax_backward(run->d_gate, run->d_gate, run->gate, b, e, 1.0f);
    vit_gemm(&run->exec, true, false, e, z, b, 1.0f, run->d_gate, e, run->z, z, 1.0f,
             gradient(run, VIT_VAE_GATE), z);
    vit_gemm(&run->exec, false, false, b, z, e, 1.0f, run->d_gate, e,
             tensor(run, VIT_VAE_GATE), z, 1.0f, run->d_z, z);
}

static void encode_backward(vit_vae_run *run, float scale)
{
    const vit_vae_config *c = &run->vae->config;
    const size_t b = run->batch, p = vit_vae_pixel_count(c), h = (size_t)c->hidden,
                 z = (size_t)c->latent;
    const float each = scale * (float)c->beta / (float)b;

    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < z; j++) {
            const float d_z = run->d_z[i * z + j], mean = run->stats[i * 2 * z + j];
            const float deviation = expf(0.5f * run->stats[i * 2 * z + z + j]);
            run->d_stats[i * 2 * z + j] = d_z + each * mean;
            run->d_stats[i * 2 * z + z + j] =
                0.5f * (d_z * deviation * run->noise[i * z + j] +
                        each * (deviation * deviation - 1.0f));
        }
    vit_gemm(&run->exec, true, false, 2 * z, h, b, 1.0f, run->d_stats, 2 * z, run->active,
             h, 1.0f, gradient(run, VIT_VAE_FC2), h);
    run->kernels->column_sum(gradient(run, VIT_VAE_FC2_BIAS), run->d_stats, b, 2 * z);
    vit_gemm(&run->exec, false, false, b, h, 2 * z, 1.0f, run->d_stats, 2 * z,
             tensor(run, VIT_VAE_FC2), h, 0.0f, run->d_hidden, h);
    run->kernels->gelu_backward(run->d_hidden, run->active, run->hidden, b * h, 0);
    vit_gemm(&run->exec, true, false, h, p, b, 1.0f, run->d_hidden, h, run->x, p, 1.0f,
             gradient(run, VIT_VAE_FC1), p);
    run->kernels->column_sum(gradient(run, VIT_VAE_FC1_BIAS), run->d_hidden, b, h);
}

base_status vit_vae_backward(vit_vae_run *run, double scale, base_error *err)
{
    if (!run->training)
        return base_fail(err, BASE_USAGE, "an inference run has no backward pass");
    combine_backward(run, (float)scale);
    decode_backward(run);
    gate_backward(run, (float)scale);
    encode_backward(run, (float)scale);
    return exec_status(run, err);
}

/* ---- what is shown ------------------------------------------------------------------- */

float *vit_vae_gradients(vit_vae_run *run)
{
    return run->training ? run->gradients : NULL;
}

void vit_vae_gradients_zero(vit_vae_run *run)
{
    if (run->training)
        memset(run->gradients, 0, run->vae->table.floats * sizeof *run->gradients);
}

const float *vit_vae_pixels(const vit_vae_run *run)
{
    return run->pixels;
}

const float *vit_vae_latent(const vit_vae_run *run)
{
    return run->mean;
}

const float *vit_vae_gate(const vit_vae_run *run)
{
    return run->gate;
}

const double *vit_vae_errors(const vit_vae_run *run)
{
    return run->errors;
}

const int32_t *vit_vae_expert(const vit_vae_run *run)
{
    return run->expert;
}
