/* eval.c - vmoe eval: how right a checkpoint is on a data set. One pass over the images
 * in order; every figure is a count or a sum in that order, so batches and threads
 * change nothing but the last bits of logits. Relied on elsewhere: exit status 1 with a
 * partial report after Ctrl-C. */
#include "apps/eval/internal.h"
#include "apps/data/internal.h"

#include <string.h>

#define BASE_STRUCT app_eval_args
static const base_field options[] = {
    APP_WORD("data", "DATA", data,
             "labelled images: a path whose layout is recognised, or LAYOUT:PATH",
             .required = true),
    APP_SIGHT_OPTIONS,
    APP_WORD(
        "capacity", "F,...", capacity,
        "capacity factor of the experts, 0: no token is dropped (default: the "
        "checkpoint's); a list, 4,2,1,0.5: accuracy against compute, without limits and "
        "with each of them (Riquelme et al. 2021, section 4), images in seeded order"),
    BASE_BOOL(
        "bpr", view.bpr,
        "with a capacity: the surest tokens choose first (batch-prioritised routing); "
        "with a list: both orders"),
    APP_CHOICE("bad-samples", "WHAT", bad_samples, "fail|skip",
               "at an image that cannot be used: stop, or count it as wrong"),
    APP_WORD("bad-list", "FILE", bad_list,
             "samples of --data that are odd, damaged or bad: KIND<tab>NAME<tab>REASON"),
    BASE_BOOL("strict", strict,
              "stop at a damaged image of --data, too, whatever --bad-samples says"),
    APP_WORD("html", "FILE", html,
             "a page with calibration, confusion, classes, examples and experts"),
    APP_WORD("samples", "FILE.csv", samples,
             "a line for each image: name, label, prediction, probability, loss; with "
             "corruptions also corruption and severity"),
    APP_WORD(
        "real", "FILE", real,
        "ReaL labels beside top-1: a JSON list with a list of right answers for each of "
        "ImageNet's validation images (real.json)"),
    APP_WORD("ood", "DATA", ood,
             "images of none of the classes, as ImageNet-O: how well they are told from "
             "those of --data (AUPR, AUROC, FPR95)"),
    APP_CORRUPTION_OPTIONS(robust.corruption),
    APP_WORD(
        "imagenet-c", "DIR", robust.tree,
        "corrupted images from an ImageNet-C tree, its tar or a folder of its tars, in "
        "place of on the fly"),
    APP_INT("jpeg", "Q", robust.jpeg, 1, 100,
            "corrupted images go through JPEG of this quality last: 85 as the published "
            "files did (default: they do not)"),
    APP_REAL("alexnet-clean", "E", robust.alexnet_clean, 0, 1,
             "AlexNet's error on clean images, for relative mCE"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "eval",
    .usage = "MODEL --data DATA [options]",
    .about =
        "Top-1, top-5, loss, calibration error, confusion of classes and load of experts;\n"
        "with --corrupt or --imagenet-c also under the corruptions of ImageNet-C, and mCE;\n"
        "with --capacity 4,2,1,... accuracy against compute.\n"
        "MODEL is a checkpoint or the folder of a run (its best checkpoint).",
    .options = options,
    .words = "MODEL",
    .words_low = 1,
    .words_high = 1,
};

void app_eval_close(app_evaluation *e)
{
    for (size_t i = 0; i < APP_EXAMPLES; i++) {
        data_image_destroy(&e->wrong[i].picture);
        data_image_destroy(&e->right[i].picture);
    }
    for (size_t l = 0; l < e->moe_count; l++)
        measure_usage_destroy(&e->usage[l]);
    measure_score_destroy(&e->score);
    measure_capacity_close(&e->sweep.of);
    app_robust_close(e->robust);
    app_subset_close(&e->subset);
    app_samples_close(&e->samples, false, NULL);
    data_real_destroy(e->real);
    data_source_close(e->source);
    app_pool_end(&e->pool);
    app_network_close(&e->network);
}

/* --capacity: one number is how the network is evaluated, several are a sweep, which sets
 * the evaluation itself free of limits. */
static base_status capacity_take(app_capacity *sweep, app_eval_args *args, base_error *err)
{
    char name[256];

    if (!args->capacity)
        return BASE_OK;
    if (strchr(args->capacity, ',')) {
        const base_status status =
            app_capacity_parse(sweep, args->capacity, args->view.bpr, err);

        if (status == BASE_OK &&
            (args->robust.tree || args->robust.corruption.names.count > 0))
            return base_fail(err, BASE_USAGE,
                             "a list of capacities is for clean images, expected one "
                             "--capacity with --corrupt or --imagenet-c");
        args->view.capacity = 0;
        args->view.given.capacity = true;
        args->view.bpr = false;
        return status;
    }
    if (!base_parse_real(&args->view.capacity, args->capacity) || args->view.capacity < 0 ||
        args->view.capacity > APP_VIEW_CAPACITY_MOST)
        return base_fail(err, BASE_USAGE,
                         "--capacity '%s' is not a number from 0 to %d, nor a list of them",
                         base_quote(name, sizeof name, args->capacity),
                         APP_VIEW_CAPACITY_MOST);
    args->view.given.capacity = true;
    return BASE_OK;
}

/* Examples are kept for those who see or read them. */
static bool wants_examples(const app_eval_args *args)
{
    return args->html || args->common.json;
}

base_status app_eval_open(app_evaluation *e, const char *model, app_eval_args *args,
                          base_error *err)
{
    base_status status = capacity_take(&e->sweep, args, err);

    if (status == BASE_OK)
        status = app_network_open(&e->network, model, &args->view, &args->common, err);

    if (status != BASE_OK)
        return status;
    status = app_network_data(&e->source, &e->network, args->data, err);
    if (status != BASE_OK)
        return status;
    e->data = args->data;
    status = measure_score_create(&e->score, e->network.classes, err);
    e->real_path = args->real;
    if (status == BASE_OK && args->real)
        status = data_real_load(&e->real, args->real, e->network.classes, err);
    if (status == BASE_OK)
        status = app_subset_open(&e->subset, &e->network, e->source, args->ood, err);
    if (status != BASE_OK)
        return status;
    const size_t layers = app_network_blocks(e->blocks, e->network.config);
    const size_t images = data_source_planned(e->source, (size_t)args->common.limit);
    while (e->moe_count < layers && status == BASE_OK) {
        status = measure_usage_create(&e->usage[e->moe_count], images, e->network.classes,
                                      (size_t)e->network.config->moe.experts, err);
        e->moe_count += status == BASE_OK;
    }
    if (status == BASE_OK && e->sweep.factors > 0)
        status = app_capacity_open(&e->sweep, &e->network, images, &args->common, err);
    if (status == BASE_OK)
        status = app_robust_open(&e->robust, &args->robust, &e->network, e->source,
                                 &args->common, wants_examples(args), err);
    if (status == BASE_OK)
        status = app_samples_open(&e->samples, args->samples, &e->network,
                                  e->robust != NULL, err);
    if (e->robust)
        e->robust->samples = &e->samples;
    return status;
}

static bool on_the_fly(const app_evaluation *e)
{
    return e->robust && !e->robust->args->tree;
}

base_status app_example_fill(app_example *out, const app_network *network,
                             const float *input, const float *logits, size_t sample,
                             int32_t label, base_error *err)
{
    const size_t classes = network->classes;

    out->sample = sample;
    out->label = label;
    out->top_count = classes < APP_EXAMPLE_TOP ? classes : APP_EXAMPLE_TOP;
    measure_verdict_top(out->top, out->probability, out->top_count, logits, classes);
    return app_network_picture(&out->picture, network, input, err);
}

/* Keeps what page and document show: the mistakes made with the most confidence, and the
 * first right answer of each twelfth of the set. */
static base_status examples_keep(app_evaluation *e, const measure_verdict *verdict,
                                 const float *image, const float *logits, size_t sample,
                                 int32_t label, base_error *err)
{
    if (verdict->rank == 0) {
        const uint64_t due = e->right_count * e->planned / APP_EXAMPLES;

        if (e->right_count == APP_EXAMPLES || e->score.samples <= due)
            return BASE_OK;
        return app_example_fill(&e->right[e->right_count++], &e->network, image, logits,
                                sample, label, err);
    }
    size_t at = e->wrong_count;
    while (at > 0 && verdict->confidence > e->wrong[at - 1].probability[0])
        at--;
    if (at == APP_EXAMPLES)
        return BASE_OK;
    /* The last one makes room (its pixels are used again); the others move down. */
    const size_t last = e->wrong_count < APP_EXAMPLES ? e->wrong_count++ : APP_EXAMPLES - 1;
    const app_example spare = e->wrong[last];
    memmove(e->wrong + at + 1, e->wrong + at, (last - at) * sizeof *e->wrong);
    e->wrong[at] = spare;
    return app_example_fill(&e->wrong[at], &e->network, image, logits, sample, label, err);
}

/* Loads of the experts in the pass just made; none where no image could be read. */
static void routing_add(app_evaluation *e, const vit_run *run, const data_batch *batch)
{
    size_t usable = 0;

    for (size_t i = 0; i < batch->count; i++)
        usable += !batch->bad[i];
    if (usable == 0)
        return;
    for (size_t l = 0; l < e->moe_count; l++) {
        vit_routing routing = vit_run_routing(run, l);
        vit_usage alone = {0};

        routing.left_out = batch->bad;
        vit_usage_add(&e->load[l], &routing);
        vit_usage_add(&alone, &routing);
        const vit_usage_metrics m = vit_usage_summary(&alone);
        e->batch_cv[l] += m.cv;
        e->batch_violation[l] += m.max_violation;
        for (size_t i = 0; i < batch->count; i++)
            if (!batch->bad[i] && batch->labels[i] >= 0)
                measure_usage_add(&e->usage[l], batch->labels[i], &routing, i);
    }
    e->batches++;
}

/* The answer beside the ReaL labels of the image, which its file's name numbers. answer
 * SIZE_MAX: the image could not be used. */
static base_status real_add(app_evaluation *e, size_t sample, size_t answer,
                            base_error *err)
{
    const size_t image = e->real ? data_real_image(e->source, sample) : 0;
    char name[1024];

    if (!e->real)
        return BASE_OK;
    if (image >= data_real_count(e->real))
        return base_fail(
            err, BASE_MISMATCH,
            "'%s' has %zu images and none of the number of '%s', expected names "
            "like ILSVRC2012_val_00000001.JPEG",
            e->real_path, data_real_count(e->real),
            data_source_name(e->source, sample, name, sizeof name));
    const data_real_answer judged = data_real_judge(e->real, image, answer);
    e->real_images += judged != DATA_REAL_NONE;
    e->real_right += judged == DATA_REAL_RIGHT;
    return BASE_OK;
}

static base_status batch_add(app_evaluation *e, const data_batch *batch,
                             const float *logits, bool examples, base_error *err)
{
    const size_t classes = e->network.classes;
    const size_t floats =
        (size_t)e->network.config->channels * e->network.size * e->network.size;
    base_status status = BASE_OK;

    for (size_t i = 0; i < batch->count && status == BASE_OK; i++) {
        const int32_t label = data_source_label(e->source, batch->samples[i]);

        if (batch->bad[i]) {
            measure_score_add(&e->score, label, NULL);
            app_samples_add(&e->samples, e->source, batch->samples[i], NULL, NULL);
            status = real_add(e, batch->samples[i], SIZE_MAX, err);
            continue;
        }
        const float *row = logits + i * classes;
        measure_verdict verdict;
        status = train_judge(&verdict, e->network.path, e->source, batch->samples[i], row,
                             classes, err);
        if (status != BASE_OK)
            break;
        measure_score_add(&e->score, label, &verdict);
        app_samples_add(&e->samples, e->source, batch->samples[i], &verdict, NULL);
        app_subset_add(&e->subset, label, row);
        status = real_add(e, batch->samples[i], verdict.predicted, err);
        if (status == BASE_OK && examples)
            status = examples_keep(e, &verdict, batch->images + i * floats, row,
                                   batch->samples[i], label, err);
    }
    return status;
}

/* The clean images of the batch through the network, then what is made of them. *done:
 * images, all passes counted. */
static base_status batch_run(app_evaluation *e, vit_run *run, float *logits,
                             data_batch *batch, bool examples, app_progress *progress,
                             uint64_t *done, base_error *err)
{
    if (on_the_fly(e))
        batch->images = app_robust_feed(e->robust, batch);
    if (!batch->images)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a batch of %zu", batch->count);
    const double before = base_seconds();
    base_status status =
        vit_run_forward(run, logits, batch->images, batch->count, &(vit_step){0}, err);
    if (status != BASE_OK)
        return status;
    e->network_seconds += base_seconds() - before;
    routing_add(e, run, batch);
    status = batch_add(e, batch, logits, examples, err);
    *done += batch->count;
    if (status != BASE_OK)
        return status;
    app_progress_update(progress, *done, "top-1 %.2f %%  loss %.4f",
                        100 * measure_score_top1(&e->score), measure_score_loss(&e->score));
    if (e->sweep.of.points > 0)
        status = app_capacity_batch(&e->sweep, run, logits, batch, e->source, progress,
                                    done, err);
    if (on_the_fly(e))
        status = app_robust_batch(e->robust, run, logits, batch, progress, done, err);
    return status;
}

base_status app_eval_run(app_evaluation *e, const app_eval_args *args, base_error *err)
{
    const bool skip = args->bad_samples == 1;
    app_progress progress = {0};
    data_loader_config config =
        app_network_loader(&e->network, &args->common, skip, &progress);
    data_loader *loader = NULL;
    vit_run *run = NULL;
    data_batch batch;
    app_bad_list list = {0};
    app_bad_source bad = {&list, e->source};
    float *logits = app_take(&e->pool, config.batch, e->network.classes * sizeof *logits);
    const double started = base_seconds();
    uint64_t done_images = 0;
    base_status status = BASE_OK;

    config.strict = args->strict;
    config.shuffled = e->sweep.of.points > 0; /* neighbours compete: not all of one class */
    config.named = app_bad_source_named;
    config.named_user = &bad;
    if (on_the_fly(e)) { /* pixels, which the corruptions want in colour */
        config.bytes = true;
        config.channels = 3;
    }
    status = app_bad_list_open(&list, args->bad_list, false, err);
    if (status == BASE_OK)
        status = vit_run_create(&run, e->network.model, config.batch, VIT_MODE_INFER,
                                (vit_precision)args->common.precision, err);
    if (status == BASE_OK)
        status = data_loader_create(&loader, e->source, &config, err);
    if (status != BASE_OK)
        goto done;
    e->planned = data_loader_samples(loader);
    const uint64_t passes = on_the_fly(e)            ? 1 + e->robust->selection.count
                            : e->sweep.of.points > 0 ? e->sweep.of.points
                                                     : 1;
    app_progress_start(&progress, &args->common, args->what ? args->what : "eval", "images",
                       passes * e->planned, 0);
    while (!(e->interrupted = app_stop_asked())) {
        status = data_loader_next(loader, &batch, err);
        if (status != BASE_OK || batch.count == 0)
            break;
        status = batch_run(e, run, logits, &batch, wants_examples(args), &progress,
                           &done_images, err);
        if (status != BASE_OK)
            break;
    }
    app_progress_end(&progress);
    if (status == BASE_OK && e->robust && e->robust->args->tree && !e->interrupted) {
        status = app_robust_tree(e->robust, run, &args->common, skip, err);
        e->interrupted = e->robust->interrupted;
    }
    if (status == BASE_OK && e->subset.ood && !e->interrupted)
        status = app_subset_ood(&e->subset, &e->network, run, &args->common, skip,
                                &e->interrupted, err);
    e->counts = data_loader_counts(loader);
    e->seconds = base_seconds() - started;
done:
    status = app_bad_list_close(&list, status, err);
    data_loader_destroy(loader);
    vit_run_destroy(run);
    return status;
}

static base_status evaluation_report(app_evaluation *e, const app_eval_args *args,
                                     base_error *err)
{
    show_document *document = NULL;
    base_status status = app_samples_close(&e->samples, true, err);

    if (status == BASE_OK)
        status = app_eval_document(&document, e, &args->common, err);
    if (status == BASE_OK)
        status =
            app_document_write(&args->common, document, &app_eval_view, args->html, err);
    if (status == BASE_OK && args->samples)
        app_note(&args->common, "samples: %s", args->samples);
    show_document_destroy(document);
    return status;
}

int app_eval(int argc, char **argv)
{
    app_eval_args args = {.common = app_common_defaults(),
                          .robust.alexnet_clean = CORRUPT_ALEXNET_CLEAN};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "eval");
    app_waiting_tell(&args.common);
    app_stop_install();
    app_evaluation *e = app_take(NULL, 1, sizeof *e); /* half a megabyte of counters */
    base_status status = app_outputs_check(&args.common, args.html, NULL, &err);
    if (status == BASE_OK)
        status = app_eval_open(e, words[0], &args, &err);
    if (status == BASE_OK) {
        app_data_told(&args.common, "eval", e->source);
        if (e->subset.ood)
            app_data_told(&args.common, "eval --ood", e->subset.ood);
        status = app_eval_run(e, &args, &err);
    }
    if (status == BASE_OK && e->interrupted && e->score.samples == 0)
        status = base_fail(&err, BASE_INTERRUPTED, "stopped before the first image");
    if (status == BASE_OK)
        status = evaluation_report(e, &args, &err);
    if (status == BASE_OK && e->interrupted)
        status =
            base_fail(&err, BASE_INTERRUPTED,
                      "stopped after %llu of %llu images, the figures are of those",
                      (unsigned long long)e->score.samples, (unsigned long long)e->planned);
    app_eval_close(e);
    return status == BASE_OK ? APP_DONE : app_fail("eval", &err);
}
