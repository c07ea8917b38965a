/* document.c - what `vmoe data` found as one document (docs/json.md), with the pictures of
 * a page. Relied on elsewhere: the keys. */
#include "apps/data/internal.h"
#include "apps/network_internal.h"

#include <string.h>

static json_t *whole(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *spread_json(data_spread s)
{
    return json_pack("{s:o, s:o, s:o}", "min", whole(s.low), "median", whole(s.middle),
                     "max", whole(s.high));
}

/* ---- classes ------------------------------------------------------------------------- */

/* `told`: "n01440764 tench". */
static json_t *classes_json(const app_survey *s)
{
    json_t *list = json_array();
    char shown[200], told[400];

    for (size_t c = 0; c < data_source_classes(s->source); c++) {
        const char *class = data_source_class_name(s->source, c);
        const char *name = data_imagenet_name(class);

        snprintf(told, sizeof told, "%s%s%s", base_quote(shown, sizeof shown, class),
                 name ? " " : "", name ? name : "");
        show_row(list, "{s:o, s:o, s:s, s:o}", "name", show_json_text(class), "title",
                 show_json_text(name ? name : class), "told", told, "images",
                 whole(s->found.per_class[c]));
    }
    return list;
}

/* How many there are, as one sentence. */
static json_t *classes_told(const app_survey *s)
{
    char low[32], high[32], middle[32], empty[64] = "", bare[64] = "", number[32];

    if (data_source_classes(s->source) == 0)
        return json_string("no labels");
    if (s->found.empty_classes > 0)
        snprintf(empty, sizeof empty, ", %zu without images", s->found.empty_classes);
    if (s->found.unlabelled > 0)
        snprintf(bare, sizeof bare, ", %s images without a label",
                 show_thousands(number, sizeof number, s->found.unlabelled));
    return json_sprintf("%s to %s images each (median %s)%s%s",
                        show_thousands(low, sizeof low, s->found.class_sizes.low),
                        show_thousands(high, sizeof high, s->found.class_sizes.high),
                        show_thousands(middle, sizeof middle, s->found.class_sizes.middle),
                        empty, bare);
}

/* ---- pictures and what is wrong with them -------------------------------------------- */

/* What the figures of kinds, sizes and health are of. */
static json_t *scope_json(const app_survey *s)
{
    const char *what = s->args->verify ? "every pixel" : "headers";
    char looked[32], all[32];

    show_thousands(looked, sizeof looked, s->found.looked);
    show_thousands(all, sizeof all, data_source_count(s->source));
    if (s->found.looked == data_source_count(s->source))
        return json_sprintf("%s of all %s images", what, all);
    return json_sprintf("%s of %s of %s images, drawn by the seed", what, looked, all);
}

/* What there is of kinds of pictures and of names that are no samples. */
static json_t *contents_json(const app_survey *s)
{
    json_t *list = json_array();

    for (int k = 0; k < DATA_PICTURE_KINDS; k++)
        if (s->found.kinds[k] > 0)
            show_row(list, "{s:o, s:s, s:s}", "count", whole(s->found.kinds[k]), "what",
                     data_picture_name((data_picture_kind)k), "note",
                     data_picture_note((data_picture_kind)k));
    for (int i = 0; i < DATA_IGNORED_COUNT; i++) {
        const size_t count = data_source_ignored_for(s->source, (data_ignored)i);
        if (count > 0)
            show_row(list, "{s:o, s:s, s:s}", "count", whole(count), "what",
                     "names ignored", "note", data_ignored_name((data_ignored)i));
    }
    return list;
}

/* The worst first. */
static json_t *flaws_json(const app_survey *s)
{
    json_t *list = json_array();
    char name[1100];

    for (int h = DATA_HEALTH_BAD; h > DATA_HEALTH_OK; h--)
        for (size_t i = 0; i < s->found.flaws; i++)
            if ((int)s->found.flaw[i].health == h)
                show_row(list, "{s:o, s:I, s:s, s:o}", "name",
                         show_json_text(data_source_name(s->source, s->found.flaw[i].sample,
                                                         name, sizeof name)),
                         "sample", (json_int_t)s->found.flaw[i].sample, "health",
                         app_health_name(s->found.flaw[i].health), "reason",
                         show_json_text(s->found.flaw[i].reason));
    return list;
}

static void looked_json(json_t *json, const app_survey *s)
{
    json_t *kinds = json_object(), *health = json_object(), *sizes = json_object();

    for (int k = 0; k < DATA_PICTURE_KINDS; k++)
        show_put(kinds, data_picture_name((data_picture_kind)k), whole(s->found.kinds[k]));
    for (int h = DATA_HEALTH_OK; h <= DATA_HEALTH_BAD; h++)
        show_put(health, app_health_name((data_health)h), whole(s->found.health[h]));
    show_put(sizes, "width", spread_json(s->found.width));
    show_put(sizes, "height", spread_json(s->found.height));
    show_put(sizes, "pixels", spread_json(s->found.pixels));
    show_put(sizes, "file", spread_json(s->found.file));
    show_put_count(json, "looked_at", s->found.looked);
    show_put(json, "scope", scope_json(s));
    show_put_bool(json, "verified", s->args->verify);
    show_put_bool(json, "complete", !s->found.interrupted);
    show_put(json, "sizes", s->found.sized > 0 ? sizes : json_null());
    if (s->found.sized == 0)
        json_decref(sizes);
    show_put(json, "kinds", kinds);
    show_put(json, "contents", contents_json(s));
    show_put(json, "health", health);
    show_put(json, "health_note",
             s->args->verify
                 ? json_null()
                 : json_string("by their headers; --verify decodes everything"));
    show_put(json, "flaws", flaws_json(s));
}

static base_status picture_add(void *user, size_t sample, const data_image *tile, bool bad,
                               const app_survey *s, base_error *err)
{
    show_document *document = user;
    json_t *list = json_object_get(show_document_json(document), "pictures");
    char key[32], label[160], name[1100];

    snprintf(key, sizeof key, "sample-%zu", sample);
    show_row(
        list, "{s:o, s:o, s:b, s:s?, s:s}", "name",
        show_json_text(data_source_relative_name(s->source, sample, name, sizeof name)),
        "title", show_json_text(app_survey_label(label, sizeof label, s, sample)),
        "readable", !bad, "told", bad ? "unreadable" : NULL, "picture", key);
    return show_document_picture(document, key, tile, err);
}

base_status app_survey_document(show_document **out, const app_survey *s, base_error *err)
{
    json_t *json = app_json_begin(&s->args->common, "data", NULL, s->data);
    const char *layout = data_source_layout(s->source);
    const size_t n = strlen(layout);
    const bool named = strncmp(s->data, layout, n) == 0 && s->data[n] == ':';
    show_document *document = NULL;

    show_put_count(json, "samples", data_source_count(s->source));
    show_put_real(json, "seconds", s->seconds);
    show_put_text(json, "layout", layout);
    show_put_text(json, "layout_from", named ? "as you say" : "recognised");
    show_put_text(json, "layout_note", data_source_holds(s->source));
    app_data_json(json, s->source);
    show_put_count(json, "bytes", s->found.bytes);
    show_put_count(json, "data_classes", data_source_classes(s->source));
    show_put(json, "classes", classes_json(s));
    show_put(json, "classes_note", classes_told(s));
    show_put(json, "class_sizes", spread_json(s->found.class_sizes));
    show_put_count(json, "empty_classes", s->found.empty_classes);
    show_put_count(json, "unlabelled", s->found.unlabelled);
    looked_json(json, s);
    show_put(json, "pictures", json_array());
    base_status status = app_document_make(&document, json, err);
    if (status == BASE_OK && s->args->html)
        status = app_survey_tiles(s, picture_add, document, err);
    if (status == BASE_OK)
        *out = document;
    else
        show_document_destroy(document);
    return status;
}
