/* files.c - from what an outsider can judge an attack again: the examples themselves, the
 * clean images, the labels, a line for each sample. Relied on elsewhere: names of files and
 * columns (docs/attacks.md). */
#include <math.h>

#include "apps/attack/internal.h"
#include "show/show.h"

static void cell(FILE *file, double value)
{
    fputc(',', file);
    show_csv_number(file, value);
}

static base_status samples_write(const app_attack *a, base_error *err)
{
    const app_point *p = &a->point[a->main];
    base_writer out;
    const base_status status =
        base_writer_open(&out, app_text("%s/samples.csv", a->args->out), err);

    if (status != BASE_OK)
        return status;
    fputs("id,y,clean_pred,clean_margin,broken,by_attack,restart,step,adv_pred,norm,"
          "adv_margin,routing_change",
          out.file);
    for (size_t i = 0; i < a->points; i++)
        if (a->point[i].left)
            fprintf(out.file, ",robust_%s", a->point[i].budget.text);
    fputc('\n', out.file);
    for (size_t i = 0; i < a->n; i++) {
        const attack_sample s = attack_run_sample(a->run, i);
        const bool known = s.attack >= 0 && (size_t)s.attack < p->count;

        fprintf(out.file, "%u,%d,%d", a->read.sample[i],
                a->read.bad[i] ? a->read.label[i] : s.label, s.clean_prediction);
        cell(out.file, (double)s.clean_margin);
        fprintf(out.file, ",%d,%s", s.broken, known ? p->result[s.attack].name : "");
        cell(out.file, s.broken ? s.restart : (double)NAN);
        cell(out.file, s.broken ? s.step : (double)NAN);
        fprintf(out.file, ",%d", s.prediction);
        cell(out.file, a->unit * (double)s.norm);
        cell(out.file, (double)s.margin);
        cell(out.file, a->has_routing ? (double)a->routing.change[i] : (double)NAN);
        for (size_t j = 0; j < a->points; j++)
            if (a->point[j].left)
                fprintf(out.file, ",%d", a->point[j].left[i]);
        fputc('\n', out.file);
    }
    return base_writer_commit(&out, err);
}

static base_status images_write(const app_attack *a, const char *name, const float *images,
                                base_error *err)
{
    const size_t shape[3] = {(size_t)a->network.config->channels, a->network.size,
                             a->network.size};
    show_npy npy;
    float *pixels = app_take(NULL, a->read.floats, sizeof *pixels);
    base_status status =
        show_npy_open(&npy, app_text("%s/%s", a->args->out, name), shape, 3, err);

    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < a->n && status == BASE_OK; i++) {
        app_attack_pixels(pixels, a, images + i * a->read.floats);
        status = show_npy_append(&npy, pixels, 1, err);
    }
    if (status == BASE_OK)
        return show_npy_commit(&npy, err);
    show_npy_abandon(&npy);
    return status;
}

/* Nothing is right about an image that could not be used: its label is -1. */
static base_status labels_write(const app_attack *a, base_error *err)
{
    int32_t *labels = app_take(NULL, a->n, sizeof *labels);

    for (size_t i = 0; i < a->n; i++)
        labels[i] = a->read.bad[i] ? -1 : a->labels[i];
    return show_npy_whole_write(app_text("%s/labels.npy", a->args->out), labels, a->n, err);
}

base_status app_attack_write(const app_attack *a, json_t *json, base_error *err)
{
    base_status status = samples_write(a, err);

    if (status == BASE_OK)
        status = images_write(a, "adv.npy", attack_run_adversarial(a->run), err);
    if (status == BASE_OK)
        status = images_write(a, "clean.npy", a->read.pixels, err);
    if (status == BASE_OK)
        status = labels_write(a, err);
    if (status == BASE_OK && a->router.run)
        status =
            images_write(a, "adv_router.npy", attack_run_adversarial(a->router.run), err);
    if (status == BASE_OK) /* last: with it the others are there */
        status =
            app_json_save(app_text("%s/report.json", a->args->out), json_incref(json), err);
    return status;
}
