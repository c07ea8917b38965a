/* test_app_readers.c - what reads JSON or the metadata of a state: each value in turn is
 * replaced by nine odd ones. Nothing crashes, what is refused has a reason, and what is
 * taken holds together. */
#include <math.h>

#include "apps/report/internal.h"
#include "apps/train/internal.h"
#include "tests/test_command.h"
#include "tests/test_run.h"
#include "tests/test_sweep.h"
#include "vit/model_internal.h"

/* A document with the path that it is written to. */
typedef struct document {
    json_t *json;
    char *path;
    size_t taken;
} document;

/* ---- results ------------------------------------------------------------------------- */

/* The odd ones of one value, and files that stand beside them. */
typedef struct shelf {
    json_t *json;
    char *odd[SWEEP_ODD];
    const char *beside[2];
    size_t written, taken;
} shelf;

/* One page of some odd documents and those beside; what is no result has a reason and is
 * not on it. Adds to *taken how many are. */
static bool page_makes(const shelf *s, size_t first, size_t count, size_t *taken)
{
    const app_common common = app_common_defaults();
    app_report_set set = {0};
    json_t *results = NULL;
    base_error err = {0};
    size_t added = 0;

    for (size_t i = first; i < first + count; i++) {
        base_error why = {0};
        const bool is_result = app_report_add(&set, s->odd[i], &why) == BASE_OK;

        ck_assert(is_result || why.text[0]);
        added += is_result;
    }
    base_status status = app_report_add(&set, s->beside[0], &err);
    if (status == BASE_OK)
        status = app_report_add(&set, s->beside[1], &err);
    app_report_sort(&set);
    if (status == BASE_OK)
        status = app_report_json(&results, &set, &common, &err);
    show_document *made = results ? show_document_create(results) : NULL;
    if (status == BASE_OK)
        status = show_page_write(made, &app_report_view, "/dev/null", &err);
    show_document_destroy(made);
    ck_assert(status == BASE_OK || err.text[0]);
    *taken += status == BASE_OK ? added : 0;
    app_report_close(&set);
    return status == BASE_OK;
}

/* All odd ones of a value side by side; each by itself when that is refused. */
static void read_reports(void *user)
{
    shelf *s = user;

    unlink(s->odd[s->written]); /* a file that is cut and written again goes to the disk */
    ck_assert_int_eq(json_dump_file(s->json, s->odd[s->written++], JSON_COMPACT), 0);
    if (s->written < SWEEP_ODD)
        return;
    s->written = 0;
    if (!page_makes(s, 0, SWEEP_ODD, &s->taken))
        for (size_t i = 0; i < SWEEP_ODD; i++)
            page_makes(s, i, 1, &s->taken);
}

START_TEST(results_with_odd_values_make_a_page_or_are_refused)
{
    char *attack = test_path(dir, "attack"), *eval = test_path(dir, "eval.json"),
         *inspect = test_path(dir, "inspect.json"),
         *report = test_path(attack, "report.json");

    program_done(program_run(dir, "eval", model, "--data", data, "--json", eval,
                             "--corrupt", "clean,contrast", "--severity", "1", NULL));
    program_done(program_run(dir, "inspect", model, "--json", inspect, NULL));
    program_done(program_run(dir, "attack", model, "--data", data, "--out", attack,
                             "--attack", "fgsm", "--eps", "0,8/255", "--checks", "off",
                             NULL));
    const char *const files[] = {eval, report, inspect};
    for (size_t i = 0; i < 3; i++) {
        shelf s = {.json = program_json(files[i]),
                   .beside = {files[(i + 1) % 3], files[(i + 2) % 3]}};
        for (size_t k = 0; k < SWEEP_ODD; k++)
            s.odd[k] = base_text("%s/odd-%zu.json", dir, k);
        const size_t all = sweep_walk(s.json, read_reports, &s);
        ck_assert_msg(all > 300 && s.taken > all / 4, "%s: %zu of %zu", files[i], s.taken,
                      all);
        for (size_t k = 0; k < SWEEP_ODD; k++)
            base_free(s.odd[k]);
        json_decref(s.json);
    }
    base_free(report);
    base_free(inspect);
    base_free(eval);
    base_free(attack);
}
END_TEST

START_TEST(a_command_that_is_no_text_is_no_result)
{
    char *path = test_path(dir, "r.json"), *out = test_path(dir, "x.html");
    static const char text[] = "{\"command\": 1, \"model\": \"x\"}";

    test_write(path, text, strlen(text));
    program_refused(program_run(dir, "report", path, "--out", out, NULL), 1,
                    "is no result of vmoe eval, attack or inspect");
    base_free(out);
    base_free(path);
}
END_TEST

static void read_config(void *user)
{
    document *d = user;
    char *text = json_dumps(d->json, JSON_COMPACT);
    vit_config config;
    char **label = NULL;
    base_error err = {0};

    base_status status = vit_config_from_json(&config, &label, text, NULL);
    if (status == BASE_OK)
        vit_labels_free(label, (size_t)config.classes);
    label = NULL;
    ck_assert_int_eq(status, vit_config_from_json(&config, &label, text, &err));
    if (status == BASE_OK) {
        for (size_t i = 0; i < 3; i++)
            ck_assert(isfinite(config.mean[i]) && isfinite(config.std[i]) &&
                      config.std[i] > 0);
        vit_labels_free(label, (size_t)config.classes);
        d->taken++;
    } else {
        ck_assert_int_eq(status, BASE_FORMAT);
        ck_assert(err.text[0]);
    }
    free(text);
}

START_TEST(a_config_with_odd_values_is_sound_or_refused)
{
    vit_model *m = NULL;

    ck_assert_int_eq(vit_model_load(&m, model, NULL, NULL), BASE_OK);
    char *text = vit_model_config_json(m);
    document d = {.json = json_loads(text, 0, NULL)};
    const size_t all = sweep_walk(d.json, read_config, &d);
    ck_assert_msg(all > 300 && d.taken < all / 4, "%zu of %zu", d.taken, all);
    json_decref(d.json);
    base_free(text);
    vit_model_destroy(m);
}
END_TEST

static void read_metrics(void *user)
{
    document *d = user;
    train_metrics metrics = {0};
    base_error err = {0};
    char *line = json_dumps(d->json, JSON_COMPACT);
    char *text = base_text("%s\n", line);

    test_write(d->path, text, strlen(text));
    ck_assert_msg(app_curves_write("/dev/null", d->path, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(train_metrics_open(&metrics, d->path, false, 5, true, &err) == BASE_OK,
                  "%s", err.text);
    train_metrics_close(&metrics);
    base_free(text);
    free(line);
}

START_TEST(metrics_with_odd_values_are_drawn)
{
    char *path = test_path(dir, "metrics.jsonl");
    document d = {.json = json_pack("{s:s,s:i,s:f,s:f,s:f,s:f,s:f,s:[{s:i,s:f,s:[f,f]}]}",
                                    "kind", "train", "step", 5, "epoch", 1.0, "loss", 2.0,
                                    "accuracy", 0.5, "lr", 0.1, "elapsed", 3.0, "moe",
                                    "layer", 1, "load_cv", 0.25, "load", 0.5, 0.5),
                  .path = path};

    ck_assert_ptr_nonnull(d.json);
    ck_assert_uint_gt(sweep_walk(d.json, read_metrics, &d), 100);
    json_object_set_new(d.json, "kind", json_string("eval"));
    sweep_walk(d.json, read_metrics, &d);
    json_decref(d.json);
    base_free(path);
}
END_TEST

/* ---- the state of a run -------------------------------------------------------------- */

#define RUN                                                                                \
    "train", "--data", data, "--val", data, "--threads", "1", "--quiet", "--set",          \
        "model.patch=4", "model.width=8", "model.depth=2", "model.heads=2",                \
        "model.mlp=12", "data.image=8", "router.experts=4", "train.epochs=1",              \
        "train.batch=4", "--out"

/* A copy of a state file in which one key of the metadata has another value, NULL: none. */
static void state_change(const char *to, const char *from, const char *key,
                         const char *value)
{
    char *bytes = NULL;
    size_t size = 0;
    uint64_t length = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 26, NULL), BASE_OK);
    memcpy(&length, bytes, 8);
    json_t *header = json_loadb(bytes + 8, (size_t)length, 0, NULL);
    json_t *metadata = json_object_get(header, "__metadata__");
    ck_assert_ptr_nonnull(json_object_get(metadata, key));
    if (value)
        json_object_set_new(metadata, key, json_string(value));
    else
        json_object_del(metadata, key);
    char *text = json_dumps(header, JSON_COMPACT);
    const uint64_t made = strlen(text);
    FILE *file = fopen(to, "wb");
    ck_assert_ptr_nonnull(file);
    fwrite(&made, 8, 1, file);
    fwrite(text, 1, made, file);
    fwrite(bytes + 8 + length, 1, size - 8 - (size_t)length, file);
    ck_assert_int_eq(fclose(file), 0);
    free(text);
    json_decref(header);
    base_free(bytes);
}

static const char *const odd_texts[SWEEP_ODD] = {
    NULL, "", "-1", "9223372036854775807", "1e308", "nan", "%s%n\n", "0x10", "1e"};

START_TEST(a_state_with_odd_metadata_is_refused)
{
    /* The number of times that an odd value is one that can be: no threads are no
     * thread. */
    static const char *const free_keys[] = {"version", "epoch",  "step_in_epoch", "seed",
                                            "threads", "layout", "model_hash"};
    char *run = test_path(dir, "run"), *state = test_path(run, "last/state.safetensors"),
         *kept = test_path(dir, "kept.safetensors");
    vit_tensor_file *file = NULL;
    train_state_facts facts;
    bool found;

    program_done(program_run(dir, RUN, run, NULL));
    ck_assert_int_eq(rename(state, kept), 0);
    static const char *const keys[] = {"format",
                                       "version",
                                       "step",
                                       "evaluated",
                                       "skipped",
                                       "best_step",
                                       "best_accuracy",
                                       "best_loss",
                                       "last_accuracy",
                                       "skipped_in_a_row",
                                       "last_loss",
                                       "recipe",
                                       "train_fingerprint",
                                       "val_fingerprint",
                                       "epoch",
                                       "step_in_epoch",
                                       "seed",
                                       "threads",
                                       "layout",
                                       "model_hash"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        for (size_t i = 0; i < SWEEP_ODD; i++) {
            base_error err = {0};
            bool is_free = false;

            for (size_t j = 0; j < sizeof free_keys / sizeof free_keys[0]; j++)
                is_free = is_free || strcmp(free_keys[j], keys[k]) == 0;
            state_change(state, kept, keys[k], odd_texts[i]);
            const base_status status = train_state_peek(&facts, &found, run, &err);
            ck_assert(status == BASE_OK || err.text[0]);
            if (status == BASE_OK)
                base_free(facts.recipe);
            if (is_free || i != 2 * (k % 4))
                continue; /* not all by the program: it takes its time */
            program_result r = program_run(dir, "train", "--threads", "1", "--quiet",
                                           "--resume", "--out", run, NULL);
            const bool may_be =
                strcmp(keys[k], "best_loss") == 0 || strcmp(keys[k], "last_loss") == 0;
            ck_assert_msg(r.code == 1 || (may_be && r.code == 0), "%s '%s': %d %s", keys[k],
                          odd_texts[i] ? odd_texts[i] : "none", r.code, r.err);
            program_result_free(&r);
        }
    }
    ck_assert_int_eq(rename(kept, state), 0);
    ck_assert_int_eq(vit_tensors_open(&file, state, NULL), BASE_OK);
    vit_tensors_close(file);
    program_done(program_run(dir, "train", "--threads", "1", "--quiet", "--resume", "--out",
                             run, NULL));
    base_free(kept);
    base_free(state);
    base_free(run);
}
END_TEST

START_TEST(a_state_from_elsewhere_is_refused)
{
    char *run = test_path(dir, "run"), *other = test_path(dir, "other"),
         *state = test_path(run, "last/state.safetensors"),
         *kept = test_path(dir, "kept.safetensors"),
         *weights = test_path(run, "last/model.safetensors"),
         *strange = test_path(other, "last/model.safetensors");
    static const struct {
        const char *key, *value, *words;
    } faults[] = {
        {"layout", "3", "state of layout 3"},
        {"recipe", "", "empty or cut"},
        {"recipe", "model.width = 8\n", "empty or cut"},
        {"best_accuracy", "1.5", "an accuracy outside 0 to 1"},
        {"evaluated", "4", "an evaluation after the last step"},
        {"skipped", "4", "more skipped steps than steps"},
        {"skipped_in_a_row", "1", "more skipped steps in a row"},
        {"last_loss", "-2", "a loss below 0"},
        {"step", "4", "a position that was changed since it was written"},
        {"epoch", "7", "a position that was changed since it was written"},
        {"step_in_epoch", "5", "a position that was changed since it was written"},
        {"seed", "7", "a position that was changed since it was written"},
        {"train_fingerprint", "0123456789abcdef", "training data"},
        {"val_fingerprint", "0123456789abcdef", "validation data"},
    };

    program_done(program_run(dir, RUN, run, NULL));
    program_done(program_run(dir, RUN, other, "--seed", "9", NULL));
    ck_assert_int_eq(rename(state, kept), 0);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        state_change(state, kept, faults[i].key, faults[i].value);
        program_refused(program_run(dir, "train", "--threads", "1", "--quiet", "--resume",
                                    "--out", run, NULL),
                        1, faults[i].words);
    }
    ck_assert_int_eq(rename(kept, state), 0);
    ck_assert_int_eq(rename(strange, weights), 0);
    program_refused(program_run(dir, "train", "--threads", "1", "--quiet", "--resume",
                                "--out", run, NULL),
                    1, "is not the model that the state beside it was written with");
    base_free(strange);
    base_free(weights);
    base_free(kept);
    base_free(state);
    base_free(other);
    base_free(run);
}
END_TEST

/* ---- cells of text ------------------------------------------------------------------- */

START_TEST(cells_that_look_like_formulas_are_disarmed)
{
    static const struct {
        const char *text, *cell;
    } cells[] = {
        {"plain", "plain"},
        {"=1+1", "'=1+1"},
        {"+cmd", "'+cmd"},
        {"-x", "'-x"},
        {"@SUM(A1)", "'@SUM(A1)"},
        {"-1.5e-3", "-1.5e-3"},
        {"+4", "+4"},
        {"a=b", "a=b"},
        {"=a,b", "\"'=a,b\""},
        {"say \"x\"", "\"say \"\"x\"\"\""},
        {"two\nlines", "\"two lines\""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&text, &bytes);

        show_csv_text(file, cells[i].text);
        fclose(file);
        ck_assert_str_eq(text, cells[i].cell);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_readers");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 240);
    tcase_add_checked_fixture(core, sparse_setup, command_teardown);
    tcase_add_test(core, results_with_odd_values_make_a_page_or_are_refused);
    tcase_add_test(core, a_config_with_odd_values_is_sound_or_refused);
    tcase_add_test(core, metrics_with_odd_values_are_drawn);
    tcase_add_test(core, a_state_with_odd_metadata_is_refused);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 240);
    tcase_add_checked_fixture(limits, sparse_setup, command_teardown);
    tcase_add_test(limits, a_command_that_is_no_text_is_no_result);
    tcase_add_test(limits, a_state_from_elsewhere_is_refused);
    tcase_add_test(limits, cells_that_look_like_formulas_are_disarmed);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
