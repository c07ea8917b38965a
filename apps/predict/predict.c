/* predict.c - vmoe predict: the classes of image files or of a data set, raw logits, and
 * what the network was fed. Relied on elsewhere: an image that cannot be used gets one
 * line on stderr, the others go on, and the exit status is 1. */
#include "apps/predict/internal.h"
#include "apps/data/internal.h"

#include <string.h>

#define BASE_STRUCT predict_args
static const base_field options[] = {
    APP_WORD("data", "DATA", data,
             "a data set in place of image files: a path, or LAYOUT:PATH"),
    APP_INT("top", "K", top, 1, 1000, "classes to show of each image"),
    APP_VIEW_OPTIONS,
    APP_WORD("logits", "F.npy", logits,
             "raw logits, [n, classes] float32, a row for each image that could be read"),
    APP_WORD("inputs", "F.npy", inputs,
             "what the network was fed, normalised, [n, C, H, W] float32"),
    APP_WORD("html", "FILE", html,
             "a page of pictures with their classes (of the first 4000 images)"),
    APP_WORD("bad-list", "FILE", bad_list,
             "images that are odd, damaged or bad: KIND<tab>NAME<tab>REASON"),
    APP_WORD("write-png", "DIR", write_png,
             "what the network saw, as one PNG file an image"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "predict",
    .usage = "MODEL (IMAGE ... or --data DATA) [options]",
    .about = "The most probable classes of each image.\n"
             "MODEL is a checkpoint or the folder of a run (its best checkpoint).",
    .options = options,
    .words = "MODEL and IMAGE files",
    .words_low = 1,
    .words_high = 1000000,
};

/* The state of one command: a network, its buffers, how many images were no good. */
typedef struct predict_work {
    app_network network;
    data_source *source;
    vit_run *run;
    size_t floats; /* of an input */
    float *logits; /* [batch, K] */
    uint64_t bad;
    app_progress progress;
    app_bad_list list;
    app_bad_source named;
} predict_work;

/* For data_loader_config.log. */
static void bad_log(void *user, const char *line)
{
    predict_work *work = user;

    app_progress_end(&work->progress);
    fprintf(stderr, "vmoe predict: %s\n", line);
}

/* ---- image files --------------------------------------------------------------------- */

typedef struct file_reader {
    data_reader file;
    data_image crop;
    float table[3 * 256]; /* of data_normalise */
} file_reader;

/* One file into input [C, S, S]. err names it. */
static base_status file_read(float *input, file_reader *reader, predict_work *work,
                             const char *path, base_error *err)
{
    const app_network *network = &work->network;
    data_image *image = &reader->file.image;
    base_status status = data_reader_file(&reader->file, path, err);

    if (status == BASE_OK) /* before the resize, as the loader does it */
        status = data_image_convert(image, (size_t)network->config->channels, err);
    if (status == BASE_OK)
        status = (network->config->crop_mode == VIT_CROP_SQUASH ? data_eval_squash
                                                                : data_eval_transform)(
            &reader->crop, image, network->resize, network->size, network->filter,
            &reader->file.scratch, err);
    if (status != BASE_OK)
        return status;
    if (reader->file.health == DATA_HEALTH_DAMAGED) {
        char name[1100];
        app_bad_list_add(&work->list, base_quote(name, sizeof name, path),
                         DATA_HEALTH_DAMAGED, "parts of the picture may be wrong");
        fprintf(stderr,
                "vmoe predict: '%s' is damaged, parts of the picture may be wrong\n", path);
    }
    data_normalise(input, &reader->crop, reader->table);
    return BASE_OK;
}

static base_status batch_answer(predict_work *work, predict_sink *sink, const float *inputs,
                                char **names, size_t count, base_error *err)
{
    base_status status = count == 0 ? BASE_OK
                                    : vit_run_forward(work->run, work->logits, inputs,
                                                      count, &(vit_step){0}, err);

    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = predict_sink_add(sink, names[i], -1, inputs + i * work->floats,
                                  work->logits + i * work->network.classes, err);
    return status;
}

static base_status files_predict(predict_work *work, predict_sink *sink,
                                 const predict_args *args, char **words, size_t count,
                                 base_error *err)
{
    const size_t batch = (size_t)args->common.batch;
    file_reader reader = {0};
    float *inputs = app_take(NULL, batch, work->floats * sizeof *inputs);
    char **names = app_take(NULL, batch, sizeof *names);
    size_t filled = 0;

    data_normalise_table(reader.table, work->network.config->mean,
                         work->network.config->std, (size_t)work->network.config->channels);
    base_status status = BASE_OK;
    for (size_t i = 0; i < count && status == BASE_OK && !app_stop_asked(); i++) {
        base_error reason = {0};
        char name[1100];

        if (file_read(inputs + filled * work->floats, &reader, work, words[i], &reason) ==
            BASE_OK) {
            names[filled++] = words[i];
        } else {
            app_bad_list_add(&work->list, base_quote(name, sizeof name, words[i]),
                             DATA_HEALTH_BAD, reason.text);
            work->bad++;
            bad_log(work, reason.text);
        }
        if (filled == batch || i + 1 == count) {
            status = batch_answer(work, sink, inputs, names, filled, err);
            filled = 0;
        }
    }
    data_reader_close(&reader.file);
    data_image_destroy(&reader.crop);
    return status;
}

/* ---- a data set ---------------------------------------------------------------------- */

static base_status data_predict(predict_work *work, predict_sink *sink,
                                const predict_args *args, base_error *err)
{
    data_loader_config config =
        app_network_loader(&work->network, &args->common, true, &work->progress);
    data_loader *loader = NULL;
    data_batch batch;
    char name[1100];

    work->named = (app_bad_source){&work->list, work->source};
    config.named = app_bad_source_named;
    config.named_user = &work->named;
    config.log = bad_log;
    config.log_user = work;
    base_status status = data_loader_create(&loader, work->source, &config, err);
    if (status != BASE_OK)
        return status;
    app_data_told(&args->common, "predict", work->source);
    app_progress_start(&work->progress, &args->common, "predict", "images",
                       data_loader_samples(loader), 0);
    if (sink->print)
        work->progress.on = false; /* the answers themselves show how far it is */
    while (!app_stop_asked()) {
        status = data_loader_next(loader, &batch, err);
        if (status == BASE_OK && batch.count > 0)
            status = vit_run_forward(work->run, work->logits, batch.images, batch.count,
                                     &(vit_step){0}, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        for (size_t i = 0; i < batch.count && status == BASE_OK; i++) {
            if (batch.bad[i]) {
                work->bad++;
                continue;
            }
            data_source_name(work->source, batch.samples[i], name, sizeof name);
            status = predict_sink_add(sink, name, batch.labels[i],
                                      batch.images + i * work->floats,
                                      work->logits + i * work->network.classes, err);
        }
        if (status != BASE_OK)
            break;
        app_progress_update(&work->progress, sink->images, "%s", "");
    }
    app_progress_end(&work->progress);
    data_loader_destroy(loader);
    return status;
}

/* ---- the command --------------------------------------------------------------------- */

static base_status work_open(predict_work *work, const predict_args *args,
                             const char *model, base_error *err)
{
    base_status status =
        app_network_open(&work->network, model, &args->view, &args->common, err);

    work->network.data.unlabelled = true;
    if (status == BASE_OK && args->data)
        status = app_network_data(&work->source, &work->network, args->data, err);
    if (status == BASE_OK && !work->network.labels && !work->source &&
        work->network.classes == 1000)
        app_note(&args->common, "vmoe predict: the network has 1000 outputs without names: "
                                "they are called as ImageNet's classes are");
    if (status == BASE_OK)
        status = vit_run_create(&work->run, work->network.model, (size_t)args->common.batch,
                                VIT_MODE_INFER, (vit_precision)args->common.precision, err);
    if (status != BASE_OK)
        return status;
    work->floats =
        (size_t)work->network.config->channels * work->network.size * work->network.size;
    work->logits = app_take(NULL, (size_t)args->common.batch,
                            work->network.classes * sizeof *work->logits);
    return BASE_OK;
}

static void work_close(predict_work *work)
{
    vit_run_destroy(work->run);
    data_source_close(work->source);
    app_network_close(&work->network);
}

static base_status results_write(const predict_work *work, predict_sink *sink,
                                 double seconds, base_error *err)
{
    json_t *json = show_document_json(sink->document);

    app_network_json(json, &work->network);
    if (work->source)
        app_data_json(json, work->source);
    show_put_count(json, "samples", sink->images);
    show_put_real(json, "seconds", seconds);
    show_put_count(json, "bad", work->bad);
    show_put_count(json, "labelled", sink->known);
    show_put_count(json, "right", sink->right);
    show_put_real(json, "top1", (double)sink->right / (double)sink->known);
    show_put(json, "top1_interval", app_interval_json(sink->right, sink->known));
    return predict_sink_commit(sink, err);
}

/* The rules that one table of options cannot say. */
static base_status args_check(predict_args *args, size_t words, base_error *err)
{
    if (args->data && words > 1)
        return base_fail(err, BASE_USAGE, "IMAGE files and --data, expected one of them");
    if (!args->data && words < 2)
        return base_fail(err, BASE_USAGE, "no image, expected IMAGE files or --data DATA");
    if (args->logits && args->inputs && strcmp(args->logits, args->inputs) == 0)
        return base_fail(err, BASE_USAGE,
                         "--logits and --inputs are both '%s', expected two files",
                         args->logits);
    return BASE_OK;
}

int app_predict(int argc, char **argv)
{
    predict_args args = {.common = app_common_defaults(), .top = 3};
    predict_work work = {0};
    predict_sink sink = {0};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    base_status status = args_check(&args, count, &err);
    if (status != BASE_OK)
        return app_fail("predict", &err);
    app_common_apply(&args.common, "predict");
    app_waiting_tell(&args.common);
    app_stop_install();
    size_t files = count - 1;
    if (args.common.limit > 0 && files > (size_t)args.common.limit)
        files = (size_t)args.common.limit;
    if (!args.data && (size_t)args.common.batch > files)
        args.common.batch = (int64_t)files; /* memory for what there is */
    const double started = base_seconds();
    status = app_outputs_check(&args.common, args.html, NULL, &err);
    if (status == BASE_OK)
        status = work_open(&work, &args, words[0], &err);
    if (status == BASE_OK)
        status = app_bad_list_open(&work.list, args.bad_list, false, &err);
    if (status == BASE_OK)
        status = predict_sink_open(&sink, &args, &work.network, work.source, &err);
    if (status == BASE_OK) {
        status = args.data ? data_predict(&work, &sink, &args, &err)
                           : files_predict(&work, &sink, &args, words + 1, files, &err);
        if (status == BASE_OK)
            status = results_write(&work, &sink, base_seconds() - started, &err);
        else
            predict_sink_abandon(&sink);
    }
    if (status == BASE_OK && app_stop_asked())
        status = base_fail(&err, BASE_INTERRUPTED, "stopped, what was answered is written");
    status = app_bad_list_close(&work.list, status, &err);
    work_close(&work);
    if (status != BASE_OK)
        return app_fail("predict", &err);
    return work.bad > 0 ? APP_FAILED : APP_DONE;
}
