/* bench.c - vmoe bench: the benchmarks behind the README's numbers. Cases in step.c,
 * router.c, corrupt.c, decode.c, attack.c and scale.c. Relied on elsewhere: the columns of
 * the CSV (bench/run reads them by name). */
#include "apps/bench/internal.h"
#include "measure/measure.h"
#include "train/train.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE_STRUCT bench_args
static const base_field options[] = {
    APP_LIST("size-name", "NAME", size_names,
             "networks to time, as words after the case: NAME, NAME:PIXELS or a checkpoint "
             "(default vmoe-nano vmoe-micro)"),
    APP_INT("rounds", "N", rounds, BENCH_ROUNDS, BENCH_ROUNDS_MAX,
            "timed rounds, the median of them is reported"),
    APP_INT("warmup", "N", warmup, 0, 1000, "rounds before that are not counted"),
    APP_INT("classes", "K", classes, 2, 1000000, "of a network by name"),
    APP_WORD("router", "NAME", router, "of a network by name (default ssr)"),
    APP_LIST("set", "KEY=VALUE", settings,
             "settings of a network by name, as of a recipe: router.k=1 router.experts=64 "
             "model.depth=6"),
    APP_CHOICE("recompute", "WHAT", recompute, "none|attention|block",
               "step and router: what backward computes again in place of keeping it"),
    BASE_BOOL("no-ceiling", no_ceiling,
              "step and infer: do not time oneDNN's plain products beside the network"),
    BASE_BOOL("table", table,
              "step and infer: tables for people, not CSV (default on a terminal)"),
    BASE_BOOL("paced", paced,
              "step, infer and scale: each round waits for a line on standard input "
              "(bench/run)"),
    BASE_BOOL("check", check, "scale: bytes that are not the formula's fail"),
    APP_RANKS_OPTIONS(ranks),
    APP_WORD("data", "DATA", data, "images for the cases decode and corrupt"),
    APP_READING_OPTIONS(reading),
    {0},
};
#undef BASE_STRUCT

typedef struct bench_case {
    const char *name;
    base_status (*run)(const bench_context *context, base_error *err);
    bool needs_data;
    bool by_name; /* not among "all": its words are no networks */
    const char *columns;
} bench_case;

static const bench_case cases[] = {
    {"step", bench_step, false, false, bench_step_csv},
    {"infer", bench_step, false, false, bench_step_csv},
    {"router", bench_router, false, false, bench_router_csv},
    {"sinkhorn", bench_sinkhorn, false, false, bench_sinkhorn_csv},
    {"attack", bench_attack, false, true, bench_attack_csv},
    {"corrupt", bench_corrupt, false, true, bench_corrupt_csv},
    {"scale", bench_scale, false, true, bench_scale_csv},
    {"decode", bench_decode, true, false, bench_decode_csv},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0], SUBJECTS_MAX = 128 };

static const app_syntax syntax = {
    .command = "bench",
    .usage = "[step|infer|router|sinkhorn|attack|scale|corrupt|decode] [NAME ... or MODEL "
             "...] [options]",
    .about =
        "Times a case (step, infer, router and sinkhorn when none is named) and prints CSV:\n"
        "  step     a training step: forward, loss, backward, AdamW; with its parts, its\n"
        "           memory, and its share of the ceiling: what oneDNN's plain products of\n"
        "           the same shapes, precision and threads reach in the same minutes\n"
        "  infer    a forward pass, likewise\n"
        "  router   every router beside the softmax router in turn, and what routing\n"
        "           (router, dispatch, combine) takes of a step\n"
        "  sinkhorn the balanced plan of 12,608 tokens and 32 experts on one core\n"
        "  attack   a step of PGD beside a forward pass of the same batch\n"
        "  scale    training steps on the ranks of a job (mpirun -n 4 vmoe bench scale;\n"
        "           --batch is a rank's): time, bytes sent beside the formula, waiting\n"
        "  corrupt  the corruptions of ImageNet-C, one by one; words: pixels a side (224)\n"
        "  decode   files to pixels, to inputs, to batches (--data)\n"
        "Random images; the machine should do nothing else meanwhile.",
    .options = options,
    .words = "a case and networks",
    .words_low = 0,
    .words_high = SUBJECTS_MAX,
};

bench_spread bench_spread_of(bench_times *times)
{
    const size_t n = times->count;

    measure_sort(times->seconds, n);
    return (bench_spread){
        .median = measure_quantile(times->seconds, n, 0.5),
        .low = times->seconds[0],
        .high = times->seconds[n - 1],
    };
}

base_status bench_note(bench_times *times, int64_t round, double seconds, base_error *err)
{
    if (round >= 0)
        times->seconds[times->count++] = seconds;
    return app_stop_asked() ? base_fail(err, BASE_INTERRUPTED, "stopped") : BASE_OK;
}

const char *bench_machine(char *out, size_t out_bytes)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(out, out_bytes, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        base_quote(out, out_bytes, colon + (colon[1] == ' ' ? 2 : 1));
        break;
    }
    if (file)
        fclose(file);
    for (char *at = out; *at; at++)
        if (*at == ',' || *at == '"')
            *at = ' ';
    return out;
}

/* "vmoe-micro:64": the name's defaults at another input size; vmoe-micro has patches of 8
 * from 64 pixels on (model.md, named sizes). --router and --set change it as they would
 * change a recipe. */
static base_status config_named(vit_config *out, const char *subject,
                                const bench_args *args, base_error *err)
{
    train_recipe recipe = train_recipe_defaults();
    const char *colon = strchr(subject, ':');
    const char *at[5];
    size_t count = 0;
    int64_t pixels = 0;

    if (colon && (!base_parse_int(&pixels, colon + 1) || pixels < 1 || pixels > 4096))
        return base_fail(err, BASE_USAGE,
                         "'%s': '%s' is not a number of pixels from 1 to 4096", subject,
                         colon + 1);
    const char *size = app_text("%.*s", (int)strcspn(subject, ":"), subject);
    *out = vit_config_defaults();
    base_status status = vit_config_select(out, size, err); /* no --set is to blame */
    if (status != BASE_OK)
        return status;
    snprintf(recipe.name, sizeof recipe.name, "%s", subject);
    at[count++] = app_text("model.size=%s", size);
    at[count++] = app_text("model.classes=%lld", (long long)args->classes);
    if (args->router)
        at[count++] = app_text("router.name=%s", args->router);
    if (pixels > 0)
        at[count++] = app_text("data.image=%lld", (long long)pixels);
    if (pixels >= 64 && strstr(subject, "-micro"))
        at[count++] = "model.patch=8";
    status = train_recipe_set(&recipe, at, count, err);
    if (status == BASE_OK && args->settings.count > 0)
        status = train_recipe_set(&recipe, args->settings.at, args->settings.count, err);
    if (status == BASE_OK)
        status = train_recipe_resolve(
            &recipe, &(train_facts){.classes = (size_t)args->classes}, err);
    if (status == BASE_OK)
        train_recipe_network(out, &recipe);
    return status;
}

base_status bench_model(vit_model **out, const char *subject, const bench_args *args,
                        base_error *err)
{
    struct stat info;
    vit_config config;

    if (stat(subject, &info) == 0 || strchr(subject, '/')) {
        const app_view view = {.reading = args->reading};
        app_network network;
        base_status status = app_network_open(&network, subject, &view, &args->common, err);

        if (status == BASE_OK) {
            *out = network.model;
            network.model = NULL;
            app_network_close(&network);
        }
        return status;
    }
    base_status status = config_named(&config, subject, args, err);
    if (status == BASE_OK)
        status = vit_model_create(out, &config, err);
    if (status == BASE_OK)
        vit_model_init(*out, (uint64_t)args->common.seed);
    return status;
}

static const bench_case *case_find(const char *word)
{
    for (size_t i = 0; i < CASE_COUNT; i++)
        if (strcmp(cases[i].name, word) == 0)
            return &cases[i];
    return NULL;
}

static base_status cases_run(const bench_args *args, app_ranks *ranks, char **words,
                             size_t count, show_document *document, json_t *results,
                             base_error *err)
{
    static const char *const usual[] = {"vmoe-nano", "vmoe-micro"};
    const bench_case *only = count > 0 ? case_find(words[0]) : NULL;
    const char *subjects[2 * SUBJECTS_MAX];
    size_t have = 0;
    base_status status = BASE_OK;

    for (size_t i = only ? 1 : 0; i < count; i++)
        subjects[have++] = words[i];
    for (size_t i = 0; i < args->size_names.count; i++)
        subjects[have++] = args->size_names.at[i];
    bench_context context = {
        .args = args,
        .subjects = have > 0 ? subjects : usual,
        .subject_count = have > 0 ? have : 2,
        .named = have > 0,
        .document = document,
        .results = results,
        .ranks = ranks,
        .print = app_ranks_lead(ranks) &&
                 (!args->common.json || strcmp(args->common.json, "-") != 0),
        .table = args->table || isatty(STDOUT_FILENO),
    };
    if (only && only->needs_data && !args->data)
        return base_fail(err, BASE_USAGE, "the case '%s' needs --data DATA", only->name);
    if (only && only->run == bench_sinkhorn && have > 0)
        return base_fail(err, BASE_USAGE, "the case 'sinkhorn' takes no networks, not '%s'",
                         subjects[0]);
    for (size_t i = 0; i < CASE_COUNT && status == BASE_OK; i++) {
        const bool wanted = !cases[i].by_name && (!cases[i].needs_data || args->data);

        if (only ? only != &cases[i] : !wanted)
            continue;
        context.name = cases[i].name;
        context.columns = cases[i].columns;
        status = cases[i].run(&context, err);
    }
    return status;
}

/* The cases, and what they found as JSON. */
static base_status bench(bench_args *args, app_ranks *ranks, char **words, size_t count,
                         base_error *err)
{
    const double started = base_seconds();
    json_t *results = json_array();
    show_document *document = NULL;
    char machine[128], version[128];

    app_common_apply(&args->common, "bench");
    json_t *json = app_json_begin(&args->common, "bench", NULL, args->data);
    vit_onednn_version(version, sizeof version);
    show_put_text(json, "machine", bench_machine(machine, sizeof machine));
    show_put_text(json, "onednn", version);
    base_status status = app_document_make(&document, json, err);
    if (status == BASE_OK)
        status = cases_run(args, ranks, words, count, document, results, err);
    if (status == BASE_OK && app_ranks_lead(ranks)) {
        json_object_del(json, "row");
        show_put_real(json, "seconds", base_seconds() - started);
        json_object_set(json, "results", results);
        status = app_json_write(&args->common, json_incref(json), err);
    }
    json_decref(results);
    show_document_destroy(document);
    return status;
}

int app_bench(int argc, char **argv)
{
    bench_args args = {.common = app_common_defaults(),
                       .rounds = BENCH_ROUNDS,
                       .warmup = 3,
                       .classes = 1000,
                       .ranks = {.patience = 60}};
    const char *command_line = app_command_line(argc, argv);
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};
    app_ranks ranks = {0};

    if (app_parse(&code, &args, &words, &count, &syntax, argc, argv)) {
        const bool scale = count > 0 && strcmp(words[0], "scale") == 0;
        base_status status = BASE_OK;
        if (!scale && app_ranks_refused("bench"))
            return APP_USAGE;
        app_stop_install();
        if (scale)
            status = app_ranks_open(&ranks, &args.ranks, &args.common, command_line, &err);
        args.common.quiet = args.common.quiet || !app_ranks_lead(&ranks);
        if (status == BASE_OK)
            status = bench(&args, &ranks, words, count, &err);
        code = status == BASE_OK ? APP_DONE : app_ranks_fail(&ranks, "bench", &err);
        app_ranks_close(&ranks, status, &err);
    }
    return code;
}
