/* attack.c - vmoe attack: how much accuracy is left when somebody looks for mistakes, what
 * happened to the routing, and whether the answer can be believed (attacks.md;
 * docs/attacks.md). Relied on elsewhere: exit status 3 with --strict when a check fails;
 * after Ctrl-C a whole report of what was found, marked as not complete, and status 1. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/attack/internal.h"

enum { APP_CHECK_FAILED = 3 }; /* exit status of --strict */

#define BASE_STRUCT attack_args
static const base_field options[] = {
    APP_WORD("data", "DATA", data,
             "labelled images: a path whose layout is recognised, or LAYOUT:PATH",
             .required = true),
    APP_WORD(
        "attack", "LIST", attack,
        "attacks and presets, separated by commas: standard (or autoattack), quick, "
        "plus, rand, pgd, apgd-ce, pgd:steps=40,restarts=5, ...; router: other experts, "
        "apart"),
    APP_CHOICE("norm", "NORM", norm, "linf|l2|l1",
               "how distance is measured, over all numbers of an image"),
    APP_WORD("eps", "LIST", eps,
             "budgets, pixels being 0 to 1: 8/255 or 0,1/255,2/255,4/255; the last one is "
             "reported in full",
             .required = true),
    APP_INT("steps", "N", steps, 1, 100000,
            "of every attack that has steps (default: each one's own)"),
    APP_INT("restarts", "N", restarts, 1, 1000,
            "of every attack that has them (default: each one's own)"),
    APP_CHOICE("targeted", "AIM", aim, "none|random|least|second|next",
               "class to reach, of every attack that can aim"),
    APP_CHOICE(
        "mode", "MODE", mode, "cascade|individual",
        "cascade: an attack sees what those before it left; individual: every attack "
        "sees every image that was right"),
    BASE_BOOL("all-steps", all_steps,
              "no early stop: all steps are made and the strongest iterate is kept"),
    BASE_BOOL("fixed-routing", fixed_routing,
              "search with the clean image's experts held; judged on the true model"),
    APP_CHOICE("checks", "WHAT", checks, "on|off",
               "20 checks of whether the result can be believed"),
    BASE_BOOL("strict", strict, "exit status 3 when a check fails"),
    APP_WORD("transfer", "MODEL2", transfer,
             "another checkpoint, whose adversarial examples are tried too (check C8)"),
    APP_CHOICE("labels", "WHAT", labels, "true|predicted",
               "predicted: the model's own clean answers stand for labels, as some older "
               "tools do; marked in the report"),
    APP_CHOICE(
        "space", "SPACE", space, "pixel|normalized",
        "normalized: the numbers after mean and std are attacked, without the pixels' "
        "limits, and eps is in their units, as some older tools do; no claim of "
        "robustness, not checked, marked in the report"),
    BASE_BOOL("resume", resume,
              "go on with a stopped attack; examples already found are kept"),
    BASE_BOOL("force", force, "replace the report that lies in --out"),
    APP_CHOICE("bad-samples", "WHAT", bad_samples, "fail|skip",
               "skip: images that cannot be used count as wrong, as in vmoe eval"),
    BASE_BOOL("allow-batch-dependence", allow_batch_dependence,
              "attack a network whose experts drop tokens for the sake of other images; "
              "marked in the report"),
    APP_WORD("out", "DIR", out,
             "folder of report.html, report.json, samples.csv, adv.npy, clean.npy, "
             "labels.npy",
             .required = true),
    BASE_BOOL("list", list, "alone: every attack with its options, and the presets"),
    APP_VIEW_OPTIONS,
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "attack",
    .usage = "MODEL --data DATA --eps LIST --out DIR [options]",
    .about =
        "Accuracy that is left under attack, with the routing's part in it and checks of\n"
        "whether the figures can be believed. MODEL is a checkpoint or the folder of a run.\n"
        "vmoe attack MODEL --data DATA --eps 1/255,2/255,4/255 --limit 1000 --out report",
    .options = options,
    .words = "MODEL",
    .words_low = 1,
    .words_high = 1,
};

/* Checks that failed. */
static size_t checks_failed(const app_attack *a)
{
    size_t count = 0;

    for (size_t i = 0; i < ATTACK_CHECK_COUNT && a->has_checks; i++)
        count += a->check[i].verdict == ATTACK_VERDICT_FAIL;
    return count;
}

/* ---- opening ------------------------------------------------------------------------- */

/* The attack must know whom a token's experts depend on. */
static base_status independence_check(const app_attack *a, base_error *err)
{
    if (!vit_config_mixes_images(a->network.config) || a->args->allow_batch_dependence)
        return BASE_OK;
    if (!(a->network.config->moe.eval_capacity > 0))
        return base_fail(err, BASE_USAGE,
                         "'%s' routes the images of a batch together (router '%s'): an "
                         "image's experts depend on the others; --allow-batch-dependence "
                         "goes on and marks the report",
                         a->network.path, a->network.config->moe.router.name);
    return base_fail(
        err, BASE_USAGE,
        "'%s' evaluates with capacity %g: an image's experts depend on the other "
        "images of its batch; --capacity 0 evaluates without, "
        "--allow-batch-dependence goes on and marks the report",
        a->network.path, a->network.config->moe.eval_capacity);
}

static base_status transfer_open(app_attack *a, base_error *err)
{
    base_status status = app_network_open_other(&a->other, a->args->transfer,
                                                &a->args->view, &a->args->common, err);

    if (status != BASE_OK)
        return status;
    if (a->other.classes != a->network.classes || a->other.size != a->network.size ||
        a->other.config->channels != a->network.config->channels)
        return base_fail(
            err, BASE_MISMATCH,
            "'%s' takes %zu pixels and has %zu classes, expected the %zu and %zu "
            "of '%s'",
            a->other.path, a->other.size, a->other.classes, a->network.size,
            a->network.classes, a->network.path);
    return measure_target_create(&a->transfer, a->other.model,
                                 (size_t)a->args->common.batch,
                                 (vit_precision)a->args->common.precision, err);
}

base_status app_attack_target(measure_target **out, const app_attack *a, base_error *err)
{
    const base_status status =
        measure_target_create(out, a->network.model, (size_t)a->args->common.batch,
                              (vit_precision)a->args->common.precision, err);

    if (status == BASE_OK && a->args->space == 1)
        measure_target_normalised(*out, a->unit);
    return status;
}

/* A report is not written over. */
static base_status folder_check(const attack_args *args, base_error *err)
{
    const bool there = access(app_text("%s/report.json", args->out), F_OK) == 0;
    const bool goes_on = args->resume && access(app_text("%s/state", args->out), F_OK) == 0;

    if (!there || goes_on || args->force)
        return BASE_OK;
    return base_fail(err, BASE_MISMATCH,
                     "'%s' holds a report already ('report.json'), name another folder or "
                     "replace it with --force",
                     args->out);
}

base_status app_attack_open(app_attack *a, const char *model, base_error *err)
{
    const attack_args *args = a->args;
    const time_t now = time(NULL);
    struct tm utc;

    a->unit = args->space == 1 ? 8 : 1;
    if (args->space == 1 && args->transfer)
        return base_fail(err, BASE_USAGE,
                         "--transfer is for the checks, which --space normalized has not");

    if (gmtime_r(&now, &utc))
        strftime(a->started, sizeof a->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    base_status status = app_attack_specs(a->specs, args, err);
    if (status == BASE_OK)
        status = attack_specs_check(a->specs, (attack_norm)args->norm, err);
    if (status == BASE_OK)
        status = app_attack_router_take(a, err);
    if (status == BASE_OK)
        status = folder_check(args, err);
    if (status == BASE_OK)
        status = app_network_open(&a->network, model, &args->view, &args->common, err);
    if (status == BASE_OK)
        status = independence_check(a, err);
    if (status == BASE_OK)
        status = app_attack_router_check(a, err);
    if (status != BASE_OK)
        return status;
    attack_budget list[ATTACK_BUDGETS_MAX];
    status = attack_budgets_parse(
        list, &a->points, "--eps", args->eps, (attack_norm)args->norm,
        (size_t)a->network.config->channels * a->network.size * a->network.size, err);
    for (size_t i = 0; i < a->points && status == BASE_OK; i++)
        a->point[i].budget = list[i];
    a->main = a->points - 1;
    if (status == BASE_OK && args->transfer)
        status = transfer_open(a, err);
    if (status == BASE_OK)
        status = app_network_data(&a->source, &a->network, args->data, err);
    if (status == BASE_OK)
        status = app_attack_target(&a->target, a, err);
    if (status == BASE_OK)
        status = base_folder_make(args->out, err);
    return status;
}

void app_attack_close(app_attack *a)
{
    attack_run_destroy(a->run);
    measure_attacked_destroy(&a->routing);
    attack_run_destroy(a->router.run);
    measure_attacked_destroy(&a->router.routing);
    train_images_destroy(&a->read);
    app_pool_end(&a->pool);
    measure_target_destroy(a->target);
    measure_target_destroy(a->transfer);
    data_source_close(a->source);
    app_network_close(&a->network);
    app_network_close(&a->other);
}

/* ---- the command --------------------------------------------------------------------- */

static base_status report(app_attack *a, double began, base_error *err)
{
    const char *page = app_text("%s/report.html", a->args->out);
    show_document *document = NULL;

    a->seconds = base_seconds() - began;
    base_status status = app_document_make(&document, app_attack_json(a), err);
    if (status == BASE_OK)
        status = app_attack_pictures(a, document, err);
    if (status == BASE_OK)
        status = app_attack_write(a, show_document_json(document), err);
    if (status == BASE_OK)
        status =
            app_document_write(&a->args->common, document, &app_attack_view, page, err);
    show_document_destroy(document);
    return status;
}

static base_status attack_run_all(app_attack *a, const char *model, base_error *err)
{
    const double began = base_seconds();
    base_status status = app_attack_open(a, model, err);

    if (status == BASE_OK)
        app_data_told(&a->args->common, "attack", a->source);
    if (status == BASE_OK && a->args->space == 1)
        app_note(
            &a->args->common,
            "vmoe attack: the normalised numbers are attacked, against %s: no claim of "
            "robustness, and not checked",
            a->args->labels == 1 ? "the network's own answers" : "the true labels");
    if (status == BASE_OK)
        status = app_attack_read(a, err);
    if (status == BASE_OK && a->read.bad_count > 0)
        app_note(&a->args->common,
                 "vmoe attack: %zu of %zu images could not be used and count as wrong",
                 a->read.bad_count, a->n);
    if (status == BASE_OK && a->n < 500)
        app_note(&a->args->common,
                 "vmoe attack: %zu image%s few, the intervals below say how few", a->n,
                 a->n == 1 ? " is" : "s are");
    if (status == BASE_OK)
        status = app_attack_search(a, err);
    if (status == BASE_OK)
        status = report(a, began, err);
    if (status == BASE_OK && !a->complete)
        status =
            base_fail(err, BASE_INTERRUPTED,
                      "stopped, '%s' holds what was found; the same command with --resume "
                      "goes on from there",
                      a->args->out);
    return status;
}

/* What a preset asks for beside its attacks. */
static void protocol_apply(attack_args *args)
{
    static const char protocol[] = "acmoe-pgd20";

    for (const char *at = args->attack; *at;
         at += attack_word_length(at), at += *at != '\0')
        if (attack_word_length(at) == sizeof protocol - 1 &&
            memcmp(at, protocol, sizeof protocol - 1) == 0) {
            args->space = 1;
            args->labels = 1;
        }
}

int app_attack_command(int argc, char **argv)
{
    attack_args args = {.common = app_common_defaults(), .attack = "standard"};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        app_attack_list();
        return APP_DONE;
    }
    const char *line = app_command_line(argc, argv); /* parsing moves the words */

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    app_common_apply(&args.common, "attack");
    protocol_apply(&args);
    app_waiting_tell(&args.common);
    app_stop_install();
    app_attack *a = app_take(NULL, 1, sizeof *a); /* a megabyte of results */
    a->args = &args;
    a->command_line = line;
    base_status status = app_outputs_check(&args.common, NULL, NULL, &err);
    if (status == BASE_OK)
        status = attack_run_all(a, words[0], &err);
    const size_t fails = status == BASE_OK ? checks_failed(a) : 0;
    app_attack_close(a);
    if (status != BASE_OK)
        return app_fail("attack", &err);
    return args.strict && fails > 0 ? APP_CHECK_FAILED : APP_DONE;
}
