/* document.c - the comparison as one document (docs/json.md): a row for each network, data,
 * images and attack, whatever the order in which files were named. Relied on elsewhere:
 * keys; whatever is not in a file is null. */
#include <math.h>
#include <string.h>

#include "apps/report/internal.h"

/* ---- rows ---------------------------------------------------------------------------- */

/* A value that a row takes over from a document. */
typedef struct copy {
    const char *to, *from; /* from: a path */
} copy;

static void copies_put(json_t *row, const json_t *from, const copy *list)
{
    for (; list->to; list++) {
        json_t *value = show_json_find(from, list->from);

        if (value)
            json_object_set(row, list->to, value);
    }
}

static const char *text_of(const json_t *json, const char *path)
{
    const char *text = show_json_string(json, path);

    return text ? text : "";
}

static json_t *row_make(const app_report_result *r, const copy *list)
{
    json_t *row = json_pack("{s:o}", "name", show_json_text(r->name));

    copies_put(row, r->json, list);
    show_put_text(row, "file", r->file);
    if (json_is_false(json_object_get(r->json, "complete")))
        show_put_text(row, "state", "stopped early");
    return row;
}

static json_t *evaluations_json(const app_report_set *set)
{
    static const copy list[] = {{"data", "data"},
                                {"n", "samples"},
                                {"top1", "top1"},
                                {"ci95", "top1_interval"},
                                {"top5", "top5"},
                                {"ece", "ece"},
                                {"load_cv", "moe_mean.load_cv"},
                                {"images_per_second", "images_per_second"},
                                {"preprocessing", "preprocessing"},
                                {0}};
    json_t *rows = json_array();

    for (size_t i = 0; i < set->count; i++) {
        json_t *json = set->result[i].json, *row;

        if (set->result[i].kind != APP_REPORT_EVAL)
            continue;
        row = row_make(&set->result[i], list);
        json_object_del(json_object_get(json, "robust"), "cells"); /* no figure has them */
        json_object_set(row, "document", json);
        json_array_append_new(rows, row);
    }
    return rows;
}

/* ---- corruptions --------------------------------------------------------------------- */

static json_t *corruptions_of(const app_report_result *r)
{
    return show_json_find(r->json, "robust.corruptions");
}

/* Names of all corruptions that any file has, as they come. */
static json_t *corruption_names(const app_report_set *set)
{
    json_t *names = json_array(), *seen = json_object(), *one;
    size_t k;

    for (size_t i = 0; i < set->count; i++) {
        json_array_foreach(corruptions_of(&set->result[i]), k, one)
        {
            const char *name = text_of(one, "name");

            if (!*name || json_object_get(seen, name))
                continue;
            json_object_set_new(seen, name, json_true());
            json_array_append_new(names, json_string(name));
        }
    }
    json_decref(seen);
    return names;
}

/* The errors of a file in the order of the names; null: not measured. */
static json_t *errors_json(const app_report_result *r, const json_t *names)
{
    json_t *errors = json_array(), *name, *one;
    size_t n, k;

    json_array_foreach((json_t *)names, n, name)
    {
        json_t *error = NULL;

        json_array_foreach(corruptions_of(r), k, one)
        {
            if (strcmp(text_of(one, "name"), json_string_value(name)) == 0)
                error = json_object_get(one, "error");
        }
        json_array_append(errors, json_is_number(error) ? error : json_null());
    }
    return errors;
}

static json_t *corrupted_json(const app_report_set *set, const json_t *names)
{
    static const copy list[] = {{"data", "data"},
                                {"n", "samples"},
                                {"tree", "robust.tree"},
                                {"mce", "robust.mce"},
                                {"relative_mce", "robust.relative_mce"},
                                {"mean_error", "robust.mean_error"},
                                {"comparable", "robust.comparable"},
                                {"preset", "robust.preset"},
                                {"frost_textures", "robust.frost_textures"},
                                {0}};
    json_t *rows = json_array();

    for (size_t i = 0; i < set->count; i++) {
        const app_report_result *r = &set->result[i];

        if (!json_is_object(json_object_get(r->json, "robust")))
            continue;
        json_t *row = row_make(r, list);
        show_put_real(row, "clean_error", 1 - show_json_number(r->json, "top1"));
        show_put(row, "errors", errors_json(r, names));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* ---- attacks: what is comparable stands together ------------------------------------- */

/* Attacks are comparable in one norm on the same images of the same data. */
static bool comparable(const app_report_result *a, const app_report_result *b)
{
    static const char *const paths[] = {"threat.norm", "threat.space", "data.name",
                                        "data.ids_sha256"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(text_of(a->json, paths[i]), text_of(b->json, paths[i])) != 0)
            return false;
    const double n = show_json_number(a->json, "samples"),
                 m = show_json_number(b->json, "samples");
    return n == m || (isnan(n) && isnan(m));
}

static json_t *attacks_text(const app_report_result *r)
{
    json_t *list = show_json_find(r->json, "worst_case.attacks");

    return json_is_array(list) ? json_incref(list) : json_null();
}

/* What the checks of an attack said: PASS, WARN or FAIL, and how many of each. */
static void checks_put(json_t *row, const app_report_result *r)
{
    static const char *const words[] = {"PASS", "WARN", "FAIL"};
    json_t *one;
    size_t i, count[4] = {0};
    char text[128];

    json_array_foreach(json_object_get(r->json, "checks"), i, one)
    {
        const int which =
            base_choice_find("PASS|WARN|FAIL|SKIPPED", text_of(one, "status"));

        if (which >= 0)
            count[which]++;
    }
    if (count[0] + count[1] + count[2] == 0) {
        show_put_text(row, "checks", "not checked");
        show_put(row, "verdict", json_null());
        return;
    }
    snprintf(text, sizeof text, "%zu pass, %zu warn, %zu fail, %zu skipped", count[0],
             count[1], count[2], count[3]);
    show_put_text(row, "checks", text);
    show_put_text(row, "verdict", words[count[2] ? 2 : count[1] ? 1 : 0]);
}

/* The network's name, with the attacks where one network was attacked twice. */
static json_t *label_of(const app_report_set *set, const size_t *in, size_t count, size_t i)
{
    const app_report_result *r = &set->result[in[i]];
    size_t same = 0;

    for (size_t k = 0; k < count; k++)
        same += strcmp(set->result[in[k]].name, r->name) == 0;
    if (same < 2)
        return show_json_text(r->name);
    const char *text = app_text("%s, %s", r->name, r->file);
    return show_json_text(text);
}

static const copy of_point[] = {{"eps", "eps"},
                                {"eps_text", "eps_text"},
                                {"robust_acc", "robust_acc"},
                                {"ci95", "ci95"},
                                {"k", "k"},
                                {"n", "n"},
                                {0}};

/* A row of a group, what stands in its file's samples, and how it compares. */
typedef struct point {
    json_t *row;
    const app_report_result *of;
    int64_t *cells; /* [samples, COLUMNS], base_free; NULL: not read (yet) */
    size_t samples;
    size_t rivals, below; /* others of its budget; those that it stands above by the test */
} point;
enum { ID, ROBUST, COLUMNS }; /* of cells */

/* One for each budget of each attack of the group. How many. */
static size_t points_make(point **out, const app_report_set *set, const size_t *in,
                          size_t count)
{
    static const copy list[] = {{"clean", "clean.acc"}, {"clean_ci95", "clean.ci95"}, {0}};
    size_t k, room = 0, points = 0;
    json_t *one;

    for (size_t i = 0; i < count; i++)
        room += json_array_size(json_object_get(set->result[in[i]].json, "sweep"));
    *out = app_take(NULL, room, sizeof **out);
    for (size_t i = 0; i < count; i++) {
        const app_report_result *r = &set->result[in[i]];

        json_array_foreach(json_object_get(r->json, "sweep"), k, one)
        {
            if (strcmp(text_of(one, "attack"), "worst_case") != 0 ||
                isnan(show_json_number(one, "eps")) ||
                isnan(show_json_number(one, "robust_acc")))
                continue;
            json_t *row = row_make(r, list);
            copies_put(row, one, of_point);
            show_put(row, "label", label_of(set, in, count, i));
            show_put(row, "attacks", attacks_text(r));
            show_put_bool(row, "best", false);
            checks_put(row, r);
            (*out)[points++] = (point){.row = row, .of = r};
        }
    }
    return points;
}

/* ---- the exact test ------------------------------------------------------------------ */

static base_status samples_read(point *p, base_error *err)
{
    const char *const names[COLUMNS] = {"id",
                                        app_text("robust_%s", text_of(p->row, "eps_text"))};

    return p->cells
               ? BASE_OK
               : show_csv_read(&p->cells, &p->samples, p->of->samples, names, COLUMNS, err);
}

/* Adds the test of two attacks at one budget, where both files have the same samples. */
static base_status test_put(json_t *tests, point *a, point *b, base_error *err)
{
    size_t only[2] = {0};
    base_status status = samples_read(a, err);

    if (status == BASE_OK)
        status = samples_read(b, err);
    bool same = status == BASE_OK && a->samples > 0 && a->samples == b->samples;
    for (size_t i = 0; same && i < COLUMNS * a->samples; i += COLUMNS) {
        const int64_t *x = a->cells + i, *y = b->cells + i;

        same = x[ID] == y[ID];
        only[0] += x[ROBUST] == 1 && y[ROBUST] != 1;
        only[1] += x[ROBUST] != 1 && y[ROBUST] == 1;
    }
    if (!same)
        return status;
    const double p = measure_exact_test(only[0], only[1]);
    if (p < 0.05 &&
        json_equal(json_object_get(a->row, "attacks"), json_object_get(b->row, "attacks")))
        (only[0] > only[1] ? a : b)->below++;
    show_row(tests, "{s:O, s:O, s:s, s:I, s:I, s:f, s:b, s:s}", "first",
             json_object_get(a->row, "label"), "second", json_object_get(b->row, "label"),
             "eps_text", text_of(a->row, "eps_text"), "only_first", (json_int_t)only[0],
             "only_second", (json_int_t)only[1], "p", fmax(p, 1e-12), "different", p < 0.05,
             "verdict", p < 0.05 ? "different" : "not told apart");
    return BASE_OK;
}

/* Every two attacks of a group at every budget that both have. A point is best where it
 * stands, by the test, above every other one of its budget, all attacked alike. */
static base_status tests_fill(json_t *tests, point *points, size_t count, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count && status == BASE_OK; k++) {
            point *a = &points[i], *b = &points[k];

            if (strcmp(text_of(a->row, "eps_text"), text_of(b->row, "eps_text")) != 0)
                continue;
            a->rivals++;
            b->rivals++;
            if (a->of != b->of && a->of->samples && b->of->samples &&
                *text_of(a->of->json, "data.ids_sha256"))
                status = test_put(tests, a, b, err);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (points[i].rivals > 0 && points[i].below == points[i].rivals)
            show_put_bool(points[i].row, "best", true);
        base_free(points[i].cells);
    }
    return status;
}

/* ---- routing ------------------------------------------------------------------------- */

/* Means over the layers at each attack's own budget; null where the network has none. */
static json_t *routing_json(const app_report_set *set, const size_t *in, size_t count)
{
    static const char *const keys[] = {"changed", "control_changed", "changed_broken",
                                       "changed_survived", "iou"};
    static const copy list[] = {{"eps_text", "threat.eps_text"},
                                {"kept", "routing.replay.success_kept_with_clean_routing"},
                                {0}};
    json_t *rows = json_array(), *layer;

    for (size_t i = 0; i < count; i++) {
        const app_report_result *r = &set->result[in[i]];
        json_t *layers = show_json_find(r->json, "routing.layers");
        size_t l;

        if (json_array_size(layers) == 0)
            continue;
        json_t *row = row_make(r, list);
        show_put(row, "label", label_of(set, in, count, i));
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            double sum = 0;

            json_array_foreach(layers, l, layer) sum += show_json_number(layer, keys[k]);
            show_put_real(row, keys[k], sum / (double)json_array_size(layers));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

static base_status attacked_fill(json_t *groups, const app_report_set *set, base_error *err)
{
    bool *done = app_take(NULL, set->count, sizeof *done);
    size_t *in = app_take(NULL, set->count, sizeof *in);
    base_status status = BASE_OK;
    static const copy of_group[] = {{"norm", "threat.norm"},
                                    {"data", "data.name"},
                                    {"n", "samples"},
                                    {"ids_sha256", "data.ids_sha256"},
                                    {0}};

    for (size_t i = 0; i < set->count && status == BASE_OK; i++) {
        size_t count = 0;

        if (set->result[i].kind != APP_REPORT_ATTACK || done[i])
            continue;
        for (size_t k = i; k < set->count; k++) {
            if (set->result[k].kind != APP_REPORT_ATTACK || done[k] ||
                !comparable(&set->result[i], &set->result[k]))
                continue;
            done[k] = true;
            in[count++] = k;
        }
        point *points = NULL;
        const size_t rows = points_make(&points, set, in, count);
        json_t *group = json_object(), *list = json_array(), *tests = json_array(),
               *documents = json_array();
        copies_put(group, set->result[i].json, of_group);
        for (size_t k = 0; k < count; k++) { /* pictures are not in files */
            json_object_del(set->result[in[k]].json, "shown");
            json_array_append(documents, set->result[in[k]].json);
        }
        status = tests_fill(tests, points, rows, err);
        for (size_t k = 0; k < rows; k++)
            json_array_append_new(list, points[k].row);
        show_put(group, "points", list);
        show_put(group, "tests", tests);
        show_put(group, "routing", routing_json(set, in, count));
        show_put(group, "documents", documents);
        json_array_append_new(groups, group);
    }
    return status;
}

/* ---- networks, facts ----------------------------------------------------------------- */

/* A network and what is known of it from any of its files. */
static json_t *networks_json(const app_report_set *set)
{
    static const copy cost[] = {{"parameters", "parameters"},
                                {"active_parameters", "active_parameters"},
                                {"flops", "flops"},
                                {0}};
    json_t *rows = json_array(), *row = NULL, *sources = NULL;

    for (size_t i = 0; i < set->count; i++) {
        const app_report_result *r = &set->result[i];

        if (i == 0 || strcmp(set->result[i - 1].model, r->model) != 0) {
            row = json_pack("{s:o, s:o}", "name", show_json_text(r->name), "model",
                            show_json_text(r->model));
            sources = json_array();
            show_put(row, "sources", sources);
            json_array_append_new(rows, row);
        }
        if (r->kind != APP_REPORT_EVAL)
            copies_put(row,
                       r->kind == APP_REPORT_ATTACK ? json_object_get(r->json, "model")
                                                    : r->json,
                       cost);
        json_array_append_new(sources, show_json_text(r->file));
    }
    return rows;
}

/* Different values of a key among rows. */
static size_t kinds_of(const json_t *rows, const char *key)
{
    size_t kinds = 0;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *own = json_object_get(json_array_get(rows, i), key);
        bool known = false;

        for (size_t k = 0; k < i && !known; k++)
            known = json_equal(own, json_object_get(json_array_get(rows, k), key));
        kinds += !known;
    }
    return kinds;
}

/* What a reader must know before he compares two rows of one table. */
static void fact_put(json_t *facts, const json_t *rows, const char *what)
{
    const size_t data = kinds_of(rows, "data"), images = kinds_of(rows, "n");

    if (data > 1 || images > 1)
        show_fact(facts,
                  "%s are of %zu data set%s and %zu number%s of images: compare only rows "
                  "that have both alike.",
                  what, data, data == 1 ? "" : "s", images, images == 1 ? "" : "s");
}

/* The program that made each document. */
static void fact_versions(json_t *facts, const app_report_set *set)
{
    const json_t *first = NULL, *other = NULL;

    for (size_t i = 0; i < set->count; i++) {
        const json_t *own = json_object_get(set->result[i].json, "vmoe");
        first = first ? first : own;
        other = own && !json_equal(own, first) ? own : other;
    }
    if (json_is_string(first) && json_is_string(other))
        show_fact(facts, "Results are of different versions of vmoe (%.32s, %.32s).",
                  json_string_value(first), json_string_value(other));
}

base_status app_report_json(json_t **out, const app_report_set *set,
                            const app_common *common, base_error *err)
{
    json_t *json = app_json_begin(common, "report", NULL, NULL);
    json_t *facts = json_array(), *names = corruption_names(set), *groups = json_array();
    json_t *evaluations = evaluations_json(set), *corrupted = corrupted_json(set, names);
    json_t *networks = networks_json(set);
    const base_status status = attacked_fill(groups, set, err);

    fact_put(facts, evaluations, "Clean accuracies");
    fact_put(facts, corrupted, "Figures under corruption");
    if (kinds_of(corrupted, "frost_textures") > 1 || kinds_of(corrupted, "preset") > 1)
        show_fact(facts, "Corruptions were made with different parameters or frost "
                         "textures: those figures are not comparable.");
    fact_versions(facts, set);
    if (json_array_size(groups) > 1)
        show_fact(facts, "Attacks in different norms or on different images stand apart.");
    show_put_count(json, "count", json_array_size(networks));
    show_put(json, "facts", facts);
    show_put(json, "evaluations", evaluations);
    show_put(json, "corruptions", names);
    show_put(json, "corrupted", corrupted);
    show_put(json, "attacked", groups);
    show_put(json, "networks", networks);
    *out = json;
    return status;
}
