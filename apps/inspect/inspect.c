/* inspect.c - vmoe inspect: what a checkpoint is: network, layers, parameters, cost,
 * router, classes; with --experts what its experts do (apps/experts). */
#include "apps/experts/internal.h"
#include "apps/inspect/internal.h"

typedef struct inspect_args {
    app_common common;
    bool tensors;
    app_view view;
    app_study_args study;
} inspect_args;

enum { STUDY_TOKENS = 8000, STUDY_POINTS = 1500 };

#define BASE_STRUCT inspect_args
static const base_field options[] = {
    BASE_BOOL("tensors", tensors, "every tensor with its shape"),
    BASE_BOOL("experts", study.experts,
              "what the experts have specialised in, on --data: classes by experts, mutual "
              "information, linear probes, embeddings, pictures"),
    APP_WORD("data", "DATA", study.data,
             "with --experts: labelled images, a path or LAYOUT:PATH"),
    APP_WORD("html", "FILE", study.html,
             "with --experts: a page with tables, plots and pictures"),
    APP_WORD("csv", "DIR", study.csv,
             "with --experts: measures.csv, usage.csv, experts.csv, embedding.csv, "
             "patches.csv in this folder"),
    APP_WORD("against", "MODEL", study.against,
             "with --experts: another checkpoint of the same run: the share of tokens that "
             "it sends elsewhere (flip rate)"),
    APP_CHOICE(
        "bad-samples", "WHAT", study.bad_samples, "fail|skip",
        "with --experts: skip: images that cannot be used count as wrong, as in vmoe eval"),
    APP_INT(
        "tokens", "N", study.tokens, 16, 1000000,
        "with --experts: patches that the probes of a layer are fitted to and tested on"),
    APP_INT("points", "N", study.points, 3, 20000,
            "with --experts: patches that are embedded; t-SNE takes time by its square"),
    APP_VIEW_OPTIONS,
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "inspect",
    .usage = "MODEL [options]",
    .about =
        "Layers, parameters, active parameters, cost of one image, router and classes; with\n"
        "--experts --data DATA what its experts have specialised in.\n"
        "MODEL is a checkpoint or the folder of a run (its best checkpoint).",
    .options = options,
    .words = "MODEL",
    .words_low = 1,
    .words_high = 1,
};

int app_inspect(int argc, char **argv)
{
    inspect_args args = {.common = app_common_defaults(),
                         .study = {.tokens = STUDY_TOKENS, .points = STUDY_POINTS}};
    app_network network = {0};
    json_t *json = NULL;
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "inspect");
    args.study.view = &args.view;
    base_status status = app_study_check(&args.study, &err);
    if (status == BASE_OK && args.study.experts) {
        app_waiting_tell(&args.common);
        status = app_study_command(words[0], &args.study, &args.common, &err);
        return status == BASE_OK ? APP_DONE : app_fail("inspect", &err);
    }
    if (status == BASE_OK)
        status = app_network_open(&network, words[0], &args.view, &args.common, &err);
    if (status == BASE_OK)
        status = app_inspect_json(&json, &network, args.tensors, &args.common, &err);
    if (status == BASE_OK)
        status = app_result_write(&args.common, json, &app_inspect_view, NULL, &err);
    app_network_close(&network);
    return status == BASE_OK ? APP_DONE : app_fail("inspect", &err);
}
