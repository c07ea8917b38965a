/* report.c - what `vmoe data` found, as a table, as JSON (docs/json.md) and as a page.
 * Relied on elsewhere: the keys of the JSON. */
#include <inttypes.h>
#include <string.h>

#include "show/page_internal.h"
#include "apps/data/internal.h"
#include "apps/network_internal.h"

enum { CLASSES_SHOWN = 24, FLAWS_SHOWN = 20 };

/* ---- texts --------------------------------------------------------------------------- */

/* "folder: a folder with ... (recognised)" */
static const char *layout_text(char *out, size_t out_bytes, const app_survey *s)
{
    const char *layout = data_source_layout(s->source);
    const size_t n = strlen(layout);
    const bool named = strncmp(s->data, layout, n) == 0 && s->data[n] == ':';

    snprintf(out, out_bytes, "%s (%s: %s)", layout, named ? "as you say" : "recognised",
             data_source_holds(s->source));
    return out;
}

/* "110.3 kB" */
static const char *bytes_text(char *out, size_t out_bytes, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1000 && unit < 4; unit++)
        value /= 1000;
    snprintf(out, out_bytes, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

static const char *class_text(char *out, size_t out_bytes, const app_survey *s,
                              size_t label)
{
    const char *class = data_source_class_name(s->source, label);
    const char *name = data_imagenet_name(class);
    char shown[200];

    snprintf(out, out_bytes, "%s%s%s", base_quote(shown, sizeof shown, class),
             name ? " " : "", name ? name : "");
    return out;
}

/* What the figures of kinds and sizes are of. */
static const char *scope_text(char *out, size_t out_bytes, const app_survey *s)
{
    char looked[32], all[32];

    show_thousands(looked, sizeof looked, s->looked);
    show_thousands(all, sizeof all, data_source_count(s->source));
    if (s->looked == data_source_count(s->source))
        snprintf(out, out_bytes, "%s of all %s images",
                 s->args->verify ? "every pixel" : "headers", all);
    else
        snprintf(out, out_bytes, "%s of %s of %s images, drawn by the seed",
                 s->args->verify ? "every pixel" : "headers", looked, all);
    return out;
}

/* ---- the table ----------------------------------------------------------------------- */

static void print_classes(const app_survey *s, FILE *out)
{
    const size_t classes = data_source_classes(s->source);
    char number[32], text[300];

    if (classes == 0) {
        fprintf(out, "classes   none: no labels\n");
        return;
    }
    fprintf(out,
            "classes   %zu, %" PRIu64 " to %" PRIu64 " images each (median %" PRIu64 ")",
            classes, s->class_sizes.low, s->class_sizes.high, s->class_sizes.middle);
    if (s->empty_classes > 0)
        fprintf(out, ", %zu without images", s->empty_classes);
    if (s->unlabelled > 0)
        fprintf(out, ", %s images without a label",
                show_thousands(number, sizeof number, s->unlabelled));
    fprintf(out, "\n");
    const size_t shown =
        s->args->all_classes || classes <= CLASSES_SHOWN ? classes : CLASSES_SHOWN / 2;
    for (size_t c = 0; c < shown; c++)
        fprintf(out, "%9zu %9" PRIu64 "  %s\n", c, s->per_class[c],
                class_text(text, sizeof text, s, c));
    if (shown < classes)
        fprintf(out, "          ... --all-classes shows the other %zu\n", classes - shown);
}

static void print_sizes(const app_survey *s, FILE *out)
{
    char low[32], middle[32], high[32], scope[160];

    fprintf(out, "looked at %s\n", scope_text(scope, sizeof scope, s));
    if (s->sized == 0)
        return;
    fprintf(out, "          %10s %10s %10s\n", "smallest", "median", "largest");
    fprintf(out, "width     %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", s->width.low,
            s->width.middle, s->width.high);
    fprintf(out, "height    %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", s->height.low,
            s->height.middle, s->height.high);
    fprintf(out, "pixels    %10s %10s %10s\n",
            show_thousands(low, sizeof low, s->pixels.low),
            show_thousands(middle, sizeof middle, s->pixels.middle),
            show_thousands(high, sizeof high, s->pixels.high));
    fprintf(out, "file      %10s %10s %10s\n", bytes_text(low, sizeof low, s->file.low),
            bytes_text(middle, sizeof middle, s->file.middle),
            bytes_text(high, sizeof high, s->file.high));
}

static void print_kinds(const app_survey *s, FILE *out)
{
    char number[32];

    for (int k = 0; k < APP_PICTURE_KINDS; k++) {
        if (s->kinds[k] == 0)
            continue;
        const char *note = app_picture_note((app_picture_kind)k);
        fprintf(out, "%10s  %s%s%s\n", show_thousands(number, sizeof number, s->kinds[k]),
                app_picture_name((app_picture_kind)k), note[0] ? ": " : "", note);
    }
    for (int i = 0; i < DATA_IGNORED_COUNT; i++) {
        const size_t ignored = data_source_ignored_for(s->source, (data_ignored)i);
        if (ignored > 0)
            fprintf(out, "%10s  names ignored: %s\n",
                    show_thousands(number, sizeof number, ignored),
                    data_ignored_name((data_ignored)i));
    }
}

static void print_flaws(const app_survey *s, FILE *out)
{
    char name[1100], reason[700];
    size_t shown = 0;

    fprintf(out,
            "health    %" PRIu64 " ok, %" PRIu64 " odd, %" PRIu64 " damaged, %" PRIu64
            " bad%s\n",
            s->health[DATA_HEALTH_OK], s->health[DATA_HEALTH_ODD],
            s->health[DATA_HEALTH_DAMAGED], s->health[DATA_HEALTH_BAD],
            s->args->verify ? "" : " by their headers (--verify decodes everything)");
    /* The worst first. */
    for (int h = DATA_HEALTH_BAD; h > DATA_HEALTH_OK; h--) {
        for (size_t i = 0; i < s->flaws && shown < FLAWS_SHOWN; i++) {
            if ((int)s->flaw[i].health != h)
                continue;
            shown++;
            fprintf(out, "%s sample: %s: %s\n", app_health_name(s->flaw[i].health),
                    data_source_name(s->source, s->flaw[i].sample, name, sizeof name),
                    base_quote(reason, sizeof reason, s->flaw[i].reason));
        }
    }
    const uint64_t all = s->health[DATA_HEALTH_ODD] + s->health[DATA_HEALTH_DAMAGED] +
                         s->health[DATA_HEALTH_BAD];
    if (all > shown)
        fprintf(out, "and %" PRIu64 " more: --bad-list FILE names them all\n", all - shown);
}

void app_survey_print(const app_survey *s, FILE *out)
{
    char layout[400], number[32], bytes[32], time[32];

    fprintf(out, "layout    %s\n", layout_text(layout, sizeof layout, s));
    fprintf(out, "images    %s, %s\n",
            show_thousands(number, sizeof number, data_source_count(s->source)),
            bytes_text(bytes, sizeof bytes, s->bytes));
    print_classes(s, out);
    print_sizes(s, out);
    print_kinds(s, out);
    print_flaws(s, out);
    fprintf(out, "time      %s\n", show_duration(time, sizeof time, s->seconds));
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *spread_json(app_spread s)
{
    return json_pack("{s:I, s:I, s:I}", "min", (json_int_t)s.low, "median",
                     (json_int_t)s.middle, "max", (json_int_t)s.high);
}

static json_t *flaws_json(const app_survey *s)
{
    json_t *list = json_array();
    char name[1100];

    for (size_t i = 0; i < s->flaws; i++) {
        json_t *flaw = json_object();
        json_object_set_new(flaw, "name",
                            show_json_text(data_source_name(s->source, s->flaw[i].sample,
                                                            name, sizeof name)));
        json_object_set_new(flaw, "sample", json_integer(s->flaw[i].sample));
        json_object_set_new(flaw, "health",
                            json_string(app_health_name(s->flaw[i].health)));
        json_object_set_new(flaw, "reason", show_json_text(s->flaw[i].reason));
        json_array_append_new(list, flaw);
    }
    return list;
}

base_status app_survey_json(const app_survey *s, base_error *err)
{
    const app_common *common = &s->args->common;
    json_t *classes = json_array(), *kinds = json_object();
    json_t *health = json_object(), *sizes = json_object();

    if (!common->json)
        return BASE_OK;
    json_t *json = app_json_begin(common, "data", NULL, s->data);
    for (size_t c = 0; c < data_source_classes(s->source); c++) {
        json_t *class = json_object();
        json_object_set_new(class, "name",
                            show_json_text(data_source_class_name(s->source, c)));
        json_object_set_new(class, "images", json_integer((json_int_t)s->per_class[c]));
        json_array_append_new(classes, class);
    }
    for (int k = 0; k < APP_PICTURE_KINDS; k++)
        json_object_set_new(kinds, app_picture_name((app_picture_kind)k),
                            json_integer((json_int_t)s->kinds[k]));
    for (int h = DATA_HEALTH_OK; h <= DATA_HEALTH_BAD; h++)
        json_object_set_new(health, app_health_name((data_health)h),
                            json_integer((json_int_t)s->health[h]));
    json_object_set_new(sizes, "width", spread_json(s->width));
    json_object_set_new(sizes, "height", spread_json(s->height));
    json_object_set_new(sizes, "pixels", spread_json(s->pixels));
    json_object_set_new(sizes, "file", spread_json(s->file));
    json_object_set_new(json, "samples",
                        json_integer((json_int_t)data_source_count(s->source)));
    json_object_set_new(json, "seconds", show_json_real(s->seconds));
    json_object_set_new(json, "layout", json_string(data_source_layout(s->source)));
    app_data_json(json, s->source);
    json_object_set_new(json, "bytes", json_integer((json_int_t)s->bytes));
    json_object_set_new(json, "looked_at", json_integer((json_int_t)s->looked));
    json_object_set_new(json, "verified", json_boolean(s->args->verify));
    json_object_set_new(json, "complete", json_boolean(!s->interrupted));
    json_object_set_new(json, "classes", classes);
    json_object_set_new(json, "unlabelled", json_integer((json_int_t)s->unlabelled));
    json_object_set_new(json, "sizes", sizes);
    json_object_set_new(json, "kinds", kinds);
    json_object_set_new(json, "health", health);
    json_object_set_new(json, "flaws", flaws_json(s));
    return app_json_write(common, json, err);
}

/* ---- the page ------------------------------------------------------------------------ */

static void page_cards(show_page *page, const app_survey *s)
{
    char images[32], bytes[32], classes[32], bad[32], spread[64], median[64], scope[160];
    const show_card cards[] = {
        {"images", images, bytes},
        {"classes", classes, spread},
        {"bad", bad, scope},
        {"median size", median, NULL},
    };

    show_thousands(images, sizeof images, data_source_count(s->source));
    bytes_text(bytes, sizeof bytes, s->bytes);
    show_thousands(classes, sizeof classes, data_source_classes(s->source));
    snprintf(spread, sizeof spread, "%" PRIu64 " to %" PRIu64 " images each",
             s->class_sizes.low, s->class_sizes.high);
    show_thousands(bad, sizeof bad, s->health[DATA_HEALTH_BAD]);
    scope_text(scope, sizeof scope, s);
    snprintf(median, sizeof median, "%" PRIu64 " x %" PRIu64, s->width.middle,
             s->height.middle);
    show_page_cards(page, cards, sizeof cards / sizeof cards[0]);
}

static void page_table(show_page *page, const app_survey *s)
{
    FILE *out = page->out.file;
    char name[1100];

    show_page_section(page, "Kinds", NULL);
    fputs("<table>", out);
    for (int k = 0; k < APP_PICTURE_KINDS; k++)
        if (s->kinds[k] > 0)
            fprintf(out, "<tr><td class=\"n\">%" PRIu64 "<td>%s<td class=\"soft\">%s",
                    s->kinds[k], app_picture_name((app_picture_kind)k),
                    app_picture_note((app_picture_kind)k));
    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        if (data_source_ignored_for(s->source, (data_ignored)i) > 0)
            fprintf(out, "<tr><td class=\"n\">%zu<td>names ignored<td class=\"soft\">%s",
                    data_source_ignored_for(s->source, (data_ignored)i),
                    data_ignored_name((data_ignored)i));
    fputs("</table>\n", out);
    if (s->flaws == 0)
        return;
    show_page_section(page, "Not quite right", NULL);
    fputs("<table><tr><th>sample<th>health<th>reason", out);
    for (size_t i = 0; i < s->flaws && i < 200; i++) {
        fputs("<tr><td>", out);
        show_page_text(page,
                       data_source_name(s->source, s->flaw[i].sample, name, sizeof name));
        fprintf(out, "<td>%s<td>", app_health_name(s->flaw[i].health));
        show_page_text(page, s->flaw[i].reason);
    }
    fputs("</table>\n", out);
}

static base_status page_classes(show_page *page, const app_survey *s, base_error *err)
{
    typedef struct words {
        char name[200], value[32];
    } words;
    const size_t classes = data_source_classes(s->source);
    words *text = base_alloc(classes + 1, sizeof *text);
    show_bar *bars = base_alloc(classes + 1, sizeof *bars);
    base_status status = BASE_OK;

    if (!text || !bars)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu classes", classes);
    for (size_t c = 0; c < classes && status == BASE_OK; c++) {
        const double share = (double)s->per_class[c] / (double)s->class_sizes.high;
        bars[c] = (show_bar){
            .name = class_text(text[c].name, sizeof text[c].name, s, c),
            .value = show_thousands(text[c].value, sizeof text[c].value, s->per_class[c]),
            .share = s->class_sizes.high > 0 ? share : 0,
        };
    }
    if (status == BASE_OK && classes > 0) {
        show_page_section(page, "Images of each class", NULL);
        show_page_bars(page, bars, classes);
    }
    base_free(text);
    base_free(bars);
    return status;
}

static base_status page_pictures(show_page *page, const app_survey *s, base_error *err)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    data_image picture = {0};
    data_decoder *decoder = NULL;
    data_scratch scratch = {0};
    unsigned char *buffer = NULL;
    size_t buffer_bytes = 0, count = 0;
    uint32_t *samples = NULL;
    char label[160], name[1100];
    base_status status = app_survey_choice(&samples, &count, s, err);

    if (status == BASE_OK)
        status = data_decoder_create(&decoder, &limits, err);
    show_page_section(page, "Pictures", "Drawn by the seed.");
    show_page_shots_begin(page);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        bool bad = false;
        status = app_survey_tile(&picture, s, samples[i], decoder, &buffer, &buffer_bytes,
                                 &scratch, &bad, err);
        const show_shot shot = {
            .picture = &picture,
            .name = data_source_name(s->source, samples[i], name, sizeof name),
            .answer =
                bad ? "unreadable" : app_survey_label(label, sizeof label, s, samples[i]),
            .truth = bad ? app_survey_label(label, sizeof label, s, samples[i]) : NULL,
        };
        if (status == BASE_OK)
            status = show_page_shot(page, &shot, err);
    }
    show_page_shots_end(page);
    data_decoder_destroy(decoder);
    data_scratch_destroy(&scratch);
    data_image_destroy(&picture);
    base_free(buffer);
    base_free(samples);
    return status;
}

base_status app_survey_page(const app_survey *s, const char *path, base_error *err)
{
    char layout[400];
    show_page page;
    base_status status =
        show_page_open(&page, path, s->data, layout_text(layout, sizeof layout, s), err);

    if (status != BASE_OK)
        return status;
    page_cards(&page, s);
    status = page_pictures(&page, s, err);
    if (status == BASE_OK) {
        page_table(&page, s);
        status = page_classes(&page, s, err);
    }
    if (status == BASE_OK)
        return show_page_commit(&page, err);
    show_page_abandon(&page);
    return status;
}
