/* answers.c - by how much a change of a network changes its answers, on pictures of noise:
 * no data is at hand when a file is converted. Experts that are copies of one MLP give the
 * old answers only where the gates of a token add up to one. Free to change: number and
 * kind of the pictures. */
#include <math.h>

#include "measure/measure.h"

enum { PICTURES = 16 };

static base_status logits_of(float *logits, const vit_model *model, const float *images,
                             base_error *err)
{
    vit_run *run = NULL;
    base_status status =
        vit_run_create(&run, model, PICTURES, VIT_MODE_INFER, VIT_PRECISION_FP32, err);

    if (status == BASE_OK)
        status = vit_run_forward(run, logits, images, PICTURES, &(vit_step){0}, err);
    vit_run_destroy(run);
    for (size_t i = 0; i < PICTURES * (size_t)vit_model_config(model)->classes; i++)
        if (status == BASE_OK && !isfinite(logits[i]))
            status = base_fail(err, BASE_NUMERIC, "logits that are not finite for noise");
    return status;
}

static void measure(measure_answers *out, const float *a, const float *b, size_t classes)
{
    double sum = 0, squares = 0;
    const double count = (double)(PICTURES * classes);

    *out = (measure_answers){.images = PICTURES};
    for (size_t i = 0; i < PICTURES; i++)
        out->other += measure_arg_max(a + i * classes, classes) !=
                      measure_arg_max(b + i * classes, classes);
    for (size_t i = 0; i < PICTURES * classes; i++) {
        out->largest = fmax(out->largest, fabs((double)a[i] - (double)b[i]));
        sum += (double)a[i];
        squares += (double)a[i] * (double)a[i];
    }
    out->deviation = sqrt(fmax(0, squares / count - sum / count * (sum / count)));
}

base_status measure_answers_compare(measure_answers *out, const vit_model *before,
                                    const vit_model *after, uint64_t seed, base_error *err)
{
    const vit_config *c = vit_model_config(before);
    const size_t pixels = (size_t)c->channels * (size_t)c->image * (size_t)c->image;
    const size_t classes = (size_t)c->classes;
    float *images = base_alloc(PICTURES * pixels, sizeof *images);
    float *logits = base_alloc(2 * PICTURES * classes, sizeof *logits);
    base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, 0, 0, 0);
    base_status status = BASE_OK;

    if (!images || !logits)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to compare the answers");
    for (size_t i = 0; i < PICTURES * pixels && status == BASE_OK; i++)
        images[i] = (float)base_rng_normal(&rng);
    if (status == BASE_OK)
        status = logits_of(logits, before, images, err);
    if (status == BASE_OK)
        status = logits_of(logits + PICTURES * classes, after, images, err);
    if (status == BASE_OK)
        measure(out, logits, logits + PICTURES * classes, classes);
    base_free(logits);
    base_free(images);
    return status;
}
