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

static base_status samples_write(const app_attack *a, const char *path, base_error *err)
{
    const app_point *p = &a->point[a->main];
    base_writer out;
    const base_status status = base_writer_open(&out, path, err);

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

        fprintf(out.file, "%u,%d,%d", a->samples[i], a->unusable[i] ? a->truth[i] : s.label,
                s.clean_prediction);
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

static base_status images_write(const app_attack *a, const char *path, const float *images,
                                base_error *err)
{
    const size_t shape[3] = {(size_t)a->network.config->channels, a->network.size,
                             a->network.size};
    show_npy npy;
    float *pixels = app_take(NULL, a->floats, sizeof *pixels);
    base_status status = show_npy_open(&npy, path, shape, 3, err);

    if (status != BASE_OK)
        return status;
    for (size_t i = 0; i < a->n && status == BASE_OK; i++) {
        app_attack_pixels(pixels, a, images + i * a->floats);
        status = show_npy_append(&npy, pixels, 1, err);
    }
    if (status == BASE_OK)
        return show_npy_commit(&npy, err);
    show_npy_abandon(&npy);
    return status;
}

/* Nothing is right about an image that could not be used: its label is -1. */
static base_status labels_write(const app_attack *a, const char *path, base_error *err)
{
    int32_t *labels = app_take(NULL, a->n, sizeof *labels);

    for (size_t i = 0; i < a->n; i++)
        labels[i] = a->unusable[i] ? -1 : a->labels[i];
    return show_npy_whole_write(path, labels, a->n, err);
}

base_status app_attack_write(const app_attack *a, json_t *json, base_error *err)
{
    static const char *const names[] = {"samples.csv", "adv.npy",        "clean.npy",
                                        "labels.npy",  "adv_router.npy", "report.json"};
    base_status status = BASE_OK;

    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == BASE_OK; i++) {
        if (i == 4 && !a->router.run)
            continue;
        const char *path = app_text("%s/%s", a->args->out, names[i]);

        if (i == 0)
            status = samples_write(a, path, err);
        else if (i == 1)
            status = images_write(a, path, attack_run_adversarial(a->run), err);
        else if (i == 2)
            status = images_write(a, path, a->images, err);
        else if (i == 3)
            status = labels_write(a, path, err);
        else if (i == 4)
            status = images_write(a, path, attack_run_adversarial(a->router.run), err);
        else /* last: with it the others are there */
            status = app_json_save(path, json_incref(json), err);
    }
    return status;
}
