/* reading.c - MODEL's file for every command: what the options say of it in its place, and
 * what had to be taken from elsewhere or assumed, told in one line and in the JSON (issue
 * of the whole program: nothing is assumed in silence). Relied on elsewhere: keys
 * `preprocessing` and `network`, the words of vit_origin_name. */
#include "apps/network_internal.h"

static base_status reading_apply(vit_model *model, vit_origins *origins,
                                 const app_reading *reading, base_error *err)
{
    vit_config config = *vit_model_config(model);
    base_status status = BASE_OK;

    *origins = *vit_model_origins(model);
    if (reading->mean) {
        status = train_pixels_parse(config.mean, "--mean", reading->mean, false,
                                    config.channels, err);
        origins->mean = VIT_ORIGIN_OPTION;
    }
    if (status == BASE_OK && reading->std) {
        status = train_pixels_parse(config.std, "--std", reading->std, true,
                                    config.channels, err);
        origins->std = VIT_ORIGIN_OPTION;
    }
    return status == BASE_OK ? vit_model_config_set(model, &config, err) : status;
}

base_status app_model_read(vit_model **out, vit_origins *origins, const char *path,
                           const app_reading *reading, const vit_load_options *options,
                           base_error *err)
{
    vit_load_options wanted = options ? *options : (vit_load_options){0};
    vit_model *model = NULL;

    wanted.heads = (int)reading->heads;
    wanted.pool = reading->pool;
    base_status status = vit_model_load(&model, path, &wanted, err);
    if (status == BASE_OK)
        status = reading_apply(model, origins, reading, err);
    if (status == BASE_OK)
        *out = model;
    else
        vit_model_destroy(model);
    return status;
}

void app_network_describe(app_network *network)
{
    const vit_config *c = vit_model_config(network->model);

    network->config = c;
    network->classes = (size_t)c->classes;
    network->size = (size_t)c->crop;
    network->resize = (size_t)c->resize;
    data_filter_parse(&network->filter, c->interpolation); /* vit_config_check's words */
}

/* ---- telling ------------------------------------------------------------------------- */

typedef struct sentence {
    char text[768];
    size_t used;
} sentence;

static void BASE_PRINTF(2, 3) say(sentence *s, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    const int more = vsnprintf(s->text + s->used, sizeof s->text - s->used, format, list);
    va_end(list);
    s->used += more > 0 ? (size_t)more : 0;
    s->used = s->used < sizeof s->text ? s->used : sizeof s->text - 1;
}

static void say_numbers(sentence *s, const char *name, const float *values, int count)
{
    say(s, "%s", name);
    for (int i = 0; i < count; i++)
        say(s, " %.4g", (double)values[i]);
}

static void say_routing(sentence *s, const char *comma, const vit_config *c,
                        const vit_origins *from)
{
    say(s, "%s%d expert%s a token, capacity %g in evaluation, groups of %d images", comma,
        c->moe.k, c->moe.k == 1 ? "" : "s", c->moe.eval_capacity, c->moe.group_images);
    if (from->members > 0)
        say(s, ", one member of an ensemble of %d (--member)", from->members);
}

/* What came from `origin`, or nothing. */
static void say_origin(sentence *s, const app_network *n, vit_origin origin)
{
    static const char *const sources[] = {
        "", "from config.json: ", "known of its width: ", "assumed: ", "by option: "};
    const vit_config *c = n->config;
    const vit_origins *from = &n->origins;
    const char *comma = s->used > 0 ? "; " : "";
    const size_t before = s->used;

    say(s, "%s%s", comma, sources[origin]);
    const size_t begun = s->used;
    if (from->mean == origin)
        say_numbers(s, "mean", c->mean, c->channels);
    if (from->std == origin)
        say_numbers(s, s->used > begun ? ", std" : "std", c->std, c->channels);
    if (from->interpolation == origin)
        say(s, "%s%s", s->used > begun ? ", " : "", data_filter_name(n->filter));
    if (from->resize == origin)
        say(s, "%sresize %zu%s, crop %zu", s->used > begun ? ", " : "", n->resize,
            c->crop_mode == VIT_CROP_SQUASH ? " (both sides)" : "", n->size);
    if (origin == VIT_ORIGIN_ASSUMED && c->pre_norm && from->mean != VIT_ORIGIN_FILE)
        say(s, "%snorms' epsilon %g (CLIP's)", s->used > begun ? ", " : "", c->eps);
    if (from->heads == origin)
        say(s, "%s%d head%s%s", s->used > begun ? ", " : "", c->heads,
            c->heads == 1 ? "" : "s", origin == VIT_ORIGIN_ASSUMED ? " (width / 64)" : "");
    if (origin == VIT_ORIGIN_ASSUMED && from->image == 0 && from->mean == origin)
        say(s, "%sthe side of the input (--crop)", s->used > begun ? ", " : "");
    if (from->routing == origin)
        say_routing(s, s->used > begun ? ", " : "", c, from);
    if (from->pool == origin)
        say(s, "%s%s", s->used > begun ? ", " : "",
            c->pool == VIT_POOL_TOKEN ? "the class token is pooled (else --pool gap)"
                                      : "the mean over the patches is pooled");
    if (s->used == begun)
        s->used = before;
    s->text[s->used] = '\0';
}

/* All that is not from the checkpoint. */
static sentence sentence_make(const app_network *network)
{
    sentence s = {.used = 0};

    say_origin(&s, network, VIT_ORIGIN_OPTION);
    say_origin(&s, network, VIT_ORIGIN_CONFIG);
    say_origin(&s, network, VIT_ORIGIN_KNOWN);
    say_origin(&s, network, VIT_ORIGIN_ASSUMED);
    return s;
}

void app_network_note(const app_network *network, const app_common *common)
{
    const sentence s = sentence_make(network);

    if (s.used > 0)
        app_note(common, "'%s': %s", network->path, s.text);
}

static json_t *numbers_json(const float *values, int count)
{
    json_t *out = json_array();
    char text[32];

    for (int i = 0; i < count; i++) { /* 0.485, not 0.48500001430511475 */
        double value = (double)values[i];

        snprintf(text, sizeof text, "%.7g", value);
        if (base_parse_real(&value, text) && (float)value != values[i])
            value = (double)values[i];
        json_array_append_new(out, json_real(value));
    }
    return out;
}

void app_network_json(json_t *json, const app_network *network)
{
    const vit_config *c = network->config;
    const vit_origins *from = &network->origins;
    const sentence note = sentence_make(network);
    char name[128];

    show_put(json, "preprocessing",
             json_pack("{s:o, s:o, s:I, s:I, s:I, s:s, s:s, s:{s:s, s:s, s:s, s:s}}",
                       "mean", numbers_json(c->mean, c->channels), "std",
                       numbers_json(c->std, c->channels), "size", (json_int_t)network->size,
                       "resize", (json_int_t)network->resize, "crop",
                       (json_int_t)network->size, "interpolation",
                       data_filter_name(network->filter), "crop_mode",
                       c->crop_mode == VIT_CROP_SQUASH ? "squash" : "center", "from",
                       "mean", vit_origin_name(from->mean), "std",
                       vit_origin_name(from->std), "resize", vit_origin_name(from->resize),
                       "interpolation", vit_origin_name(from->interpolation)));
    show_put(json, "network",
             json_pack("{s:o, s:o, s:I, s:i, s:s, s:{s:s, s:s}}", "name",
                       show_json_text(app_network_name(name, sizeof name, c)), "note",
                       note.used > 0 ? json_string(note.text) : json_null(), "parameters",
                       (json_int_t)vit_model_floats(network->model), "heads", c->heads,
                       "pool", c->pool == VIT_POOL_TOKEN ? "token" : "gap", "from", "heads",
                       vit_origin_name(from->heads), "pool", vit_origin_name(from->pool)));
}
