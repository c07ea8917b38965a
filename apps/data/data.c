/* data.c - vmoe data: what a data set is taken for and what it holds, with pictures; and
 * whether all of it can be read. Relied on elsewhere: exit status 1 when a sample is bad
 * (with --strict: or damaged). */
#include "apps/data/internal.h"

#include "apps/network_internal.h"

#define BASE_STRUCT data_args
static const base_field options[] = {
    BASE_BOOL("verify", verify,
              "decode every image whole, with all threads, and list what is broken"),
    BASE_BOOL("strict", strict, "damaged images count as bad for the exit status"),
    APP_WORD("bad-list", "FILE", bad_list,
             "all samples that are odd, damaged or bad: KIND<tab>NAME<tab>REASON"),
    APP_WORD("sheet", "FILE", sheet, "a contact sheet with labels, PNG"),
    APP_WORD("html", "FILE", html, "a page with everything and pictures"),
    APP_INT("tiles", "N", tiles, 1, 10000,
            "pictures of the sheet and the page; --seed draws others"),
    APP_INT("tile", "S", tile, 16, 1024, "their side, pixels"),
    BASE_BOOL("all-classes", all_classes, "the number of images of every class"),
    APP_WORD("split", "NAME", read.split,
             "train, val or test, where the data has several (default: val)"),
    APP_WORD("val-labels", "FILE", read.val_labels,
             "labels of images in no class folders (default: what lies beside them)"),
    APP_WORD("class-map", "FILE", read.class_map,
             "label of each class folder, TSV or JSON (default: by name)"),
    APP_WORD(
        "label-key", "KEY", read.label_key,
        "of shards: the part, the key of the .json, or the feature of a TFRecord that is "
        "the label"),
    APP_INT("outputs", "K", outputs, 0, 1048576,
            "of the network that the labels are for: 1000 gives ImageNet's labels to some "
            "of its classes, 0 numbers those that are there"),
    APP_WORD("index-cache", "DIR", read.index_cache,
             "folder where indices are kept, or none (default: the user's cache folder)"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "data",
    .usage = "DATA [--verify] [options]",
    .about =
        "What a data set is taken for, its classes, sizes and kinds of pictures, and what is\n"
        "wrong with it. Headers of 2000 images are read, of N with --limit N; --verify decodes\n"
        "all (or N). Exit status 1 if a sample is bad.",
    .options = options,
    .without = "pin precision batch",
    .words = "DATA",
    .words_low = 1,
    .words_high = 1,
};

static base_status source_open(data_source **out, const data_args *args, const char *data,
                               base_error *err)
{
    data_source_options choice = {.classes_of_model = (size_t)args->outputs,
                                  .allow_single_class = true};

    app_data_apply(&choice, &args->read);
    const base_status status = data_source_open(out, data, &choice, err);

    if (status == BASE_OK)
        app_data_told(&args->common, "data", *out);
    return status;
}

static base_status outputs_write(const app_survey *survey, base_error *err)
{
    const data_args *args = survey->args;
    show_document *document = NULL;
    base_status status = app_survey_document(&document, survey, err);

    if (status == BASE_OK)
        status = app_document_write(&args->common, document,
                                    &app_data_views[args->all_classes], args->html, err);
    if (status == BASE_OK && args->sheet)
        status = app_survey_sheet(survey, args->sheet, err);
    if (status == BASE_OK && args->sheet)
        app_note(&args->common, "contact sheet: %s", args->sheet);
    show_document_destroy(document);
    return status;
}

static void named(void *user, size_t sample, data_health health, const char *reason)
{
    app_survey *s = user;
    app_bad_source bad = {&s->list, s->source};

    app_bad_source_named(&bad, sample, health, reason);
}

static bool goes_on(void *user, const data_survey *so_far)
{
    app_survey *s = user;

    if (so_far->looked > 0)
        app_progress_update(&s->progress, so_far->looked, "%llu bad, %llu damaged",
                            (unsigned long long)so_far->health[DATA_HEALTH_BAD],
                            (unsigned long long)so_far->health[DATA_HEALTH_DAMAGED]);
    else
        app_progress_start(&s->progress, &s->args->common,
                           s->args->verify ? "verify" : "data", "images", so_far->planned,
                           0);
    return !app_stop_asked();
}

static base_status survey_make(app_survey *s, base_error *err)
{
    enum { HEADERS = 2000 }; /* read without --verify and --limit */
    const data_args *args = s->args;
    const double started = base_seconds();
    const data_survey_options how = {
        .decode = args->verify,
        .limit = args->common.limit > 0 ? (size_t)args->common.limit
                 : args->verify         ? 0
                                        : HEADERS,
        .seed = (uint64_t)args->common.seed,
        .threads = (size_t)args->common.threads,
        .together = app_together,
        .user = s,
        .named = named,
        .goes_on = goes_on,
    };
    const base_status status = data_survey_make(&s->found, s->source, &how, err);

    app_progress_end(&s->progress);
    s->seconds = base_seconds() - started;
    return status;
}

/* What makes the command fail though it did its work. */
static base_status judge(const app_survey *survey, base_error *err)
{
    const data_survey *found = &survey->found;
    const uint64_t bad = found->health[DATA_HEALTH_BAD];
    const uint64_t damaged = found->health[DATA_HEALTH_DAMAGED];

    if (found->interrupted)
        return base_fail(err, BASE_INTERRUPTED,
                         "stopped after %zu of %zu images, the figures are of those",
                         found->looked, found->planned);
    if (bad > 0 || (survey->args->strict && damaged > 0))
        return base_fail(err, BASE_FORMAT, "%llu bad and %llu damaged of %zu samples",
                         (unsigned long long)bad, (unsigned long long)damaged,
                         found->looked);
    return BASE_OK;
}

int app_data(int argc, char **argv)
{
    data_args args = {
        .common = app_common_defaults(), .read.unlabelled = true, .tile = 112, .tiles = 96};
    app_survey survey = {.args = &args};
    data_source *source = NULL;
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "data");
    app_stop_install();
    args.read.quiet = args.common.quiet;
    base_status status = app_outputs_check(&args.common, args.sheet, args.html, &err);
    if (status == BASE_OK)
        status = source_open(&source, &args, words[0], &err);
    if (status == BASE_OK)
        status = app_bad_list_open(&survey.list, args.bad_list, false, &err);
    survey.data = words[0];
    survey.source = source;
    if (status == BASE_OK)
        status = survey_make(&survey, &err);
    if (status == BASE_OK)
        status = outputs_write(&survey, &err);
    status = app_bad_list_close(&survey.list, status, &err);
    if (status == BASE_OK)
        status = judge(&survey, &err);
    data_survey_free(&survey.found);
    data_source_close(source);
    return status == BASE_OK ? APP_DONE : app_fail("data", &err);
}
