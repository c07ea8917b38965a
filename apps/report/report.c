/* report.c - vmoe report: models side by side, from files alone. Relied on elsewhere: a
 * model is one column, however many files tell of it, in the order in which they were
 * named. */
#include <math.h>

#include "apps/report/internal.h"

typedef struct report_args {
    app_common common;
    const char *out;
} report_args;

#define AT(member) offsetof(report_args, member)

static const app_option options[] = {
    {.name = "out",
     .value = "FILE.html",
     .kind = APP_TEXT,
     .at = AT(out),
     .required = true,
     .help = "the page"},
};

static const app_syntax syntax = {
    .command = "report",
    .usage = "RESULT ... --out FILE.html",
    .about =
        "Accuracy, corruption, robust accuracy, routing and cost of several models on one page.\n"
        "RESULT is a JSON file of vmoe eval, attack or inspect, or a folder that holds some.\n"
        "Files of one checkpoint make one column.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .words = "RESULT files or folders",
    .words_low = 1,
    .words_high = 64,
};

static void cell_print(double share)
{
    if (isfinite(share))
        printf("  %7.2f %%", 100 * share);
    else
        printf("  %9s", "-");
}

/* A line a model: clean, mCE, worst case of each attack in full. */
static void table_print(const app_report_set *set)
{
    printf("model                     clean        mCE  robust\n");
    for (size_t i = 0; i < set->count; i++) {
        const app_report_model *m = &set->model[i];
        double clean = app_report_number(m->eval, "top1");

        if (!isfinite(clean) && m->attacks > 0)
            clean = app_report_number(m->attack[0].json, "clean.acc");
        printf("%-20.20s", m->name);
        cell_print(clean);
        cell_print(app_report_number(m->robust, "robust.mce"));
        for (size_t a = 0; a < m->attacks; a++) {
            const json_t *json = m->attack[a].json;
            const char *norm = app_report_string(json, "threat.norm");
            const char *eps = app_report_string(json, "threat.eps_text");
            char shown[2][32]; /* words of a file */

            printf("%s", a ? "," : "");
            cell_print(app_report_number(json, "worst_case.robust_acc"));
            printf(" (%s %s)", base_quote(shown[0], sizeof shown[0], norm ? norm : "?"),
                   base_quote(shown[1], sizeof shown[1], eps ? eps : "?"));
        }
        putchar('\n');
    }
}

static json_t *set_json(const app_report_set *set, const app_common *common)
{
    json_t *json = app_json_begin(common, "report", NULL, NULL), *models = json_array();

    if (!json)
        return NULL;
    for (size_t i = 0; i < set->count; i++) {
        const app_report_model *m = &set->model[i];
        json_t *one = json_object(), *attacks = json_array();

        json_object_set_new(one, "name", show_json_text(m->name));
        json_object_set_new(one, "model", show_json_text(m->path));
        json_object_set_new(one, "top1",
                            show_json_real(app_report_number(m->eval, "top1")));
        json_object_set_new(one, "mce",
                            show_json_real(app_report_number(m->robust, "robust.mce")));
        for (size_t a = 0; a < m->attacks; a++)
            json_array_append_new(
                attacks,
                json_pack("{s:O?, s:O?, s:O?}", "threat",
                          json_object_get(m->attack[a].json, "threat"), "worst_case",
                          json_object_get(m->attack[a].json, "worst_case"), "sweep",
                          json_object_get(m->attack[a].json, "sweep")));
        json_object_set_new(one, "attacks", attacks);
        json_array_append_new(models, one);
    }
    json_object_set_new(json, "models", models);
    return json;
}

int app_report(int argc, char **argv)
{
    report_args args = {.common = app_common_defaults()};
    app_report_set set = {0};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "report");
    base_status status = app_output_check(args.common.json, &err);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = app_report_add(&set, words[i], &err);
    if (status == BASE_OK)
        status = app_report_page(&set, args.out, &err);
    if (status == BASE_OK) {
        if (app_result_stream(&args.common) == stdout)
            table_print(&set);
        app_note(&args.common, "page: %s", args.out);
    }
    if (status == BASE_OK && args.common.json)
        status = app_json_write(&args.common, set_json(&set, &args.common), &err);
    app_report_close(&set);
    return status == BASE_OK ? APP_DONE : app_fail("report", &err);
}
