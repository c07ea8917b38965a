/* bench.c - vmoe bench: the benchmarks behind the README's numbers. Cases in
 * bench_step.c, bench_corrupt.c and bench_decode.c. Relied on elsewhere: the columns of the CSV
 * (bench/run reads them by name). */
#include "apps/bench_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AT(member) offsetof(bench_args, member)

static const app_option options[] = {
    {.name = "size-name",
     .value = "NAME",
     .kind = APP_LIST,
     .at = AT(size_names),
     .help = "networks to time, as words after the case: NAME, NAME:PIXELS or a checkpoint "
             "(default vmoe-nano vmoe-micro)"},
    {.name = "rounds",
     .value = "N",
     .kind = APP_INT,
     .at = AT(rounds),
     .low = BENCH_ROUNDS,
     .high = BENCH_ROUNDS_MAX,
     .help = "timed rounds, the median of them is reported"},
    {.name = "warmup",
     .value = "N",
     .kind = APP_INT,
     .at = AT(warmup),
     .low = 0,
     .high = 1000,
     .help = "rounds before that are not counted"},
    {.name = "classes",
     .value = "K",
     .kind = APP_INT,
     .at = AT(classes),
     .low = 2,
     .high = 1000000,
     .help = "of a network by name"},
    {.name = "router",
     .value = "NAME",
     .kind = APP_TEXT,
     .at = AT(router),
     .help = "of a network by name (default ssr)"},
    {.name = "data",
     .value = "DATA",
     .kind = APP_TEXT,
     .at = AT(data),
     .help = "images for the cases decode and corrupt"},
};

typedef struct bench_case {
    const char *name;
    base_status (*run)(const bench_context *context, base_error *err);
    bool needs_data;
    bool by_name; /* not among "all": its words are no networks */
    const char *does;
} bench_case;

static const bench_case cases[] = {
    {"step", bench_step, false, false, "a training step: forward, loss, backward, AdamW"},
    {"infer", bench_infer, false, false, "a forward pass"},
    {"router", bench_router, false, false,
     "time in routing, router by router, as share of a step"},
    {"attack", bench_attack, false, true,
     "a step of PGD beside a forward pass of the same batch"},
    {"corrupt", bench_corrupt, false, true, "the corruptions of ImageNet-C, one by one"},
    {"decode", bench_decode, true, false, "files to pixels, to inputs, to batches"},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0], SUBJECTS_MAX = 128 };

static const app_syntax syntax = {
    .command = "bench",
    .usage = "[step|infer|router|attack|corrupt|decode] [NAME ... or MODEL ...] [options]",
    .about =
        "Times a case (step, infer and router when none is named) and prints CSV:\n"
        "  step    a training step: forward, loss, backward, AdamW\n"
        "  infer   a forward pass\n"
        "  router  time in routing, router by router, as share of a step\n"
        "  attack  a step of PGD beside a forward pass of the same batch\n"
        "  corrupt the corruptions of ImageNet-C, one by one; words: pixels a side (224)\n"
        "  decode  files to pixels, to inputs, to batches (--data)\n"
        "Random images; the machine should do nothing else meanwhile.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .words = "a case and networks",
    .words_low = 0,
    .words_high = SUBJECTS_MAX,
};

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

bench_spread bench_spread_of(bench_times *times)
{
    const size_t n = times->count;

    qsort(times->seconds, n, sizeof *times->seconds, compare);
    return (bench_spread){
        .median = (times->seconds[n / 2] + times->seconds[(n - 1) / 2]) / 2,
        .low = times->seconds[0],
        .high = times->seconds[n - 1],
    };
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

/* "vmoe-micro:64": the name's defaults at another input size; vmoe-micro has patches of
 * 8 from 64 pixels on (model.md, named sizes). */
static base_status config_named(vit_config *out, const char *subject,
                                const bench_args *args, base_error *err)
{
    vit_config config = vit_config_defaults();
    const char *colon = strchr(subject, ':');
    char name[64];
    int64_t pixels = 0;

    snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - subject) : 63, subject);
    if (colon && (!base_parse_int(&pixels, colon + 1) || pixels < 1 || pixels > 4096))
        return base_fail(err, BASE_USAGE,
                         "'%s': '%s' is not a number of pixels from 1 to 4096", subject,
                         colon + 1);
    base_status status = vit_config_select(&config, name, err);
    if (status == BASE_OK && args->router)
        status = vit_router_select(&config.moe.router, args->router, err);
    if (status != BASE_OK)
        return status;
    if (pixels > 0) {
        config.image = config.crop = config.resize = (int)pixels;
        if (pixels >= 64 && strstr(name, "-micro"))
            config.patch = 8;
    }
    config.classes = (int)args->classes;
    status = vit_config_check(&config, err);
    if (status == BASE_OK)
        *out = config;
    return status;
}

base_status bench_model(vit_model **out, const char *subject, const bench_args *args,
                        base_error *err)
{
    struct stat info;
    vit_config config;
    char *path = NULL;

    if (stat(subject, &info) == 0 || strchr(subject, '/')) {
        base_status status = app_model_path(&path, subject, err);

        if (status == BASE_OK)
            status = vit_model_load(out, path, NULL, err);
        base_free(path);
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

static base_status cases_run(const bench_args *args, char **words, size_t count,
                             json_t *results, base_error *err)
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
    const bench_context context = {
        .args = args,
        .subjects = have > 0 ? subjects : usual,
        .subject_count = have > 0 ? have : 2,
        .named = have > 0,
        .results = results,
        .print = !args->common.json || strcmp(args->common.json, "-") != 0,
    };
    if (only && only->needs_data && !args->data)
        return base_fail(err, BASE_USAGE, "the case '%s' needs --data DATA", only->name);
    for (size_t i = 0; i < CASE_COUNT && status == BASE_OK; i++) {
        const bool wanted = !cases[i].by_name && (!cases[i].needs_data || args->data);

        if (only ? only != &cases[i] : !wanted)
            continue;
        status = cases[i].run(&context, err);
    }
    return status;
}

int app_bench(int argc, char **argv)
{
    bench_args args = {.common = app_common_defaults(),
                       .rounds = BENCH_ROUNDS,
                       .warmup = 3,
                       .classes = 1000};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "bench");
    app_stop_install();
    const double started = base_seconds();
    json_t *results = args.common.json ? json_array() : NULL;
    base_status status = cases_run(&args, words, count, results, &err);
    if (status == BASE_OK && args.common.json) {
        char machine[128], version[128];
        json_t *json = app_json_begin(&args.common, "bench", NULL, args.data);

        json_object_set_new(json, "machine",
                            json_string(bench_machine(machine, sizeof machine)));
        vit_onednn_version(version, sizeof version);
        json_object_set_new(json, "onednn", json_string(version));
        json_object_set_new(json, "seconds", json_real(base_seconds() - started));
        json_object_set(json, "results", results);
        status = app_json_write(&args.common, json, &err);
    }
    json_decref(results);
    return status == BASE_OK ? APP_DONE : app_fail("bench", &err);
}
