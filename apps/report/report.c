/* report.c - vmoe report: models side by side, from files alone. Relied on elsewhere: a row
 * for each network, data, images and attack, in an order of its own. */
#include "apps/report/internal.h"

typedef struct report_args {
    app_common common;
    const char *out;
} report_args;

#define BASE_STRUCT report_args
static const base_field options[] = {
    APP_WORD("out", "FILE.html", out, "the page", .required = true),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "report",
    .usage = "RESULT ... --out FILE.html",
    .about =
        "Accuracy, corruption, robust accuracy, routing and cost of several models on one page.\n"
        "RESULT is a JSON file of vmoe eval, attack or inspect, or a folder that holds some.\n"
        "Each row says on which data and how many images; what cannot be compared is not.",
    .options = options,
    .without = "threads pin seed precision batch limit",
    .words = "RESULT files or folders",
    .words_low = 1,
    .words_high = 64,
};

int app_report(int argc, char **argv)
{
    report_args args = {.common = app_common_defaults()};
    app_report_set set = {0};
    json_t *json = NULL;
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "report");
    base_status status = app_outputs_check(&args.common, args.out, NULL, &err);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = app_report_add(&set, words[i], &err);
    app_report_sort(&set);
    if (status == BASE_OK)
        status = app_report_json(&json, &set, &args.common, &err);
    if (status == BASE_OK)
        status = app_result_write(&args.common, json, &app_report_view, args.out, &err);
    else
        json_decref(json);
    app_report_close(&set);
    return status == BASE_OK ? APP_DONE : app_fail("report", &err);
}
