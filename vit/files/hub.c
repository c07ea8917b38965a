/* hub.c - what the config.json of a Hugging Face folder says of a network with timm's
 * names: how its pixels are made ready, its classes, its heads; of one of ours, whose
 * checkpoint lost its metadata, everything. Both forms that timm has
 * written are read, the settings at the top (before 0.9) or in `pretrained_cfg` (timm:
 * models/_hub.py, save_config_for_hf and load_model_config_from_hf). Unknown keys mean
 * nothing here; a known one of another kind is refused. Nothing of the file is believed
 * that the tensors contradict (timm.c). */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "vit/model_internal.h"

enum { FILE_MOST = 64 << 20, LABELS_MOST = 1 << 20, SIDE_MOST = 1 << 16 };

/* The file while it is read: settings are looked up in `inner`, then at the top. */
typedef struct hub_file {
    const char *path;
    const json_t *top, *inner, *arguments; /* pretrained_cfg, model_args; NULL: none */
    base_error *err;
} hub_file;

static const json_t *find(const hub_file *f, const char *key)
{
    const json_t *value = json_object_get(f->inner, key);

    if (!value || json_is_null(value))
        value = json_object_get(f->top, key);
    return json_is_null(value) ? NULL : value;
}

static base_status wrong(const hub_file *f, const char *key, const char *expected)
{
    return base_fail(f->err, BASE_FORMAT, "'%s' key '%s' is not %s", f->path, key,
                     expected);
}

static base_status read_channels(float out[3], bool *given, const hub_file *f,
                                 const char *key, bool positive)
{
    const json_t *list = find(f, key);
    const size_t count = json_array_size(list);

    if (!list)
        return BASE_OK;
    if (count != 1 && count != 3)
        return wrong(f, key, "a list of 1 or 3 numbers");
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_array_get(list, count == 3 ? i : 0);
        const double value = json_number_value(one);

        if (!json_is_number(one) || !isfinite(value) || (positive && !(value > 1e-6)))
            return wrong(f, key,
                         positive ? "a list of 1 or 3 numbers above 0"
                                  : "a list of 1 or 3 numbers");
        if (fabs(value) > VIT_PIXEL_MOST)
            return wrong(f, key,
                         "of pixels from 0 to 1: what is of 0 to 255 is divided by it");
        out[i] = (float)value;
    }
    *given = true;
    return BASE_OK;
}

/* A count at the top (of the network as it was saved), else in pretrained_cfg or
 * model_args. */
static base_status read_count(int *out, const hub_file *f, const char *key, int most)
{
    const json_t *value = json_object_get(f->top, key);

    if (!json_is_integer(value))
        value = json_object_get(f->arguments, key);
    if (!value || json_is_null(value))
        value = find(f, key);
    if (!value)
        return BASE_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > most)
        return wrong(f, key, "a count");
    *out = (int)json_integer_value(value);
    return BASE_OK;
}

/* input_size: [channels, height, width]. */
static base_status read_input(vit_hub *hub, const hub_file *f)
{
    const json_t *list = find(f, "input_size");
    const json_t *height = json_array_get(list, 1), *width = json_array_get(list, 2);

    if (!list)
        return BASE_OK;
    if (json_array_size(list) != 3 || !json_is_integer(height) || !json_is_integer(width) ||
        json_integer_value(height) < 1 || json_integer_value(height) > SIDE_MOST)
        return wrong(f, "input_size", "a list of channels, height and width");
    if (json_integer_value(height) != json_integer_value(width))
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'input_size' is no square, expected one", f->path);
    hub->image = (int)json_integer_value(height);
    hub->channels = (int)json_integer_value(json_array_get(list, 0));
    return BASE_OK;
}

static base_status read_sight(vit_hub *hub, const hub_file *f)
{
    const json_t *filter = find(f, "interpolation"), *pct = find(f, "crop_pct");
    const json_t *mode = find(f, "crop_mode");
    const char *word = json_string_value(filter), *how = json_string_value(mode);
    char quoted[64];

    if (filter && !word)
        return wrong(f, "interpolation", "a text");
    if (word && strcmp(word, "box") == 0) /* as hub_write.c writes it */
        word = "area";
    if (word && strcmp(word, "bilinear") != 0 && strcmp(word, "bicubic") != 0 &&
        strcmp(word, "area") != 0)
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'interpolation' is '%s', expected bilinear or bicubic",
                         f->path, base_quote(quoted, sizeof quoted, word));
    hub->interpolation = word != NULL;
    snprintf(hub->filter, sizeof hub->filter, "%s", word ? word : "");
    if (pct && (!json_is_number(pct) || !(json_number_value(pct) > 0.01) ||
                json_number_value(pct) > 1))
        return wrong(f, "crop_pct", "a share above 0 and up to 1");
    hub->resize = pct != NULL;
    hub->crop_pct = json_number_value(pct);
    if (mode && (!how || (strcmp(how, "center") != 0 && strcmp(how, "squash") != 0)))
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'crop_mode' is '%s', expected center or squash", f->path,
                         base_quote(quoted, sizeof quoted, how ? how : "no text"));
    hub->crop_mode = how && strcmp(how, "squash") == 0 ? VIT_CROP_SQUASH : VIT_CROP_CENTER;
    return BASE_OK;
}

/* timm's global_pool: of the network as it was saved, else of its arguments. */
static base_status read_pool(vit_hub *hub, const hub_file *f)
{
    const json_t *value = json_object_get(f->arguments, "global_pool");
    const char *word;
    char quoted[64];

    if (!json_is_string(value))
        value = find(f, "global_pool");
    word = json_string_value(value);
    if (value && !word)
        return wrong(f, "global_pool", "a text");
    hub->pool_token = word && strcmp(word, "token") == 0;
    hub->pool_mean = word && strcmp(word, "avg") == 0;
    if (word && word[0] && !hub->pool_token && !hub->pool_mean)
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'global_pool' is '%s', expected token or avg", f->path,
                         base_quote(quoted, sizeof quoted, word));
    return BASE_OK;
}

/* The names of the classes: a list, or an object by number as transformers writes it (not
 * with its placeholders); an object by another key holds descriptions, no order of the
 * logits. NULL: none. */
static const json_t *find_names(const char **key, const hub_file *f)
{
    static const char *const keys[] = {"label_names", "labels", "id2label"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *names = find(f, *key = keys[i]);
        const char *first = json_string_value(json_object_get(names, "0"));

        if (json_is_array(names) || (first && strcmp(first, "LABEL_0") != 0))
            return names;
    }
    return NULL;
}

static base_status read_labels(vit_hub *hub, const hub_file *f)
{
    const json_t *names = find_names(&hub->label_key, f);
    const bool list = json_is_array(names);
    const size_t count = list ? json_array_size(names) : json_object_size(names);

    if (!names)
        return BASE_OK;
    if (count > LABELS_MOST)
        return wrong(f, hub->label_key, "a list of so few names");
    hub->label = base_alloc(count, sizeof *hub->label);
    for (size_t i = 0; hub->label && i < count; i++) {
        char number[24];

        snprintf(number, sizeof number, "%zu", i);
        const char *name = json_string_value(list ? json_array_get(names, i)
                                                  : json_object_get(names, number));
        if (!name)
            return wrong(f, hub->label_key,
                         list ? "a list of names" : "an object of names by 0, 1, 2, ...");
        hub->label[i] = base_text("%s", name);
        hub->labels = i + 1;
        if (!hub->label[i])
            break;
    }
    return hub->label && (count == 0 || hub->label[count - 1])
               ? BASE_OK
               : base_fail(f->err, BASE_NO_MEMORY, "no memory for the names of '%s'",
                           f->path);
}

/* Arguments of timm's VisionTransformer that change what the network computes and that no
 * tensor tells. */
static base_status read_arguments(vit_hub *hub, const hub_file *f)
{
    static const char *const others[] = {"block_fn", "mlp_layer", "attn_layer",
                                         "embed_layer"};
    const json_t *act = json_object_get(f->arguments, "act_layer");
    const json_t *norm = json_object_get(f->arguments, "norm_layer");
    const char *gelu = json_string_value(act), *word = json_string_value(norm);
    char quoted[64];

    hub->gelu = !gelu                            ? 0
                : strcmp(gelu, "gelu") == 0      ? 1 + VIT_GELU_ERF
                : strcmp(gelu, "gelu_tanh") == 0 ? 1 + VIT_GELU_TANH
                                                 : 0;
    if (act && !json_is_null(act) && hub->gelu == 0)
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'act_layer' is '%s', expected gelu or gelu_tanh",
                         f->path,
                         base_quote(quoted, sizeof quoted, gelu ? gelu : "no text"));
    if (norm && !json_is_null(norm) && (!word || strcmp(word, "layernorm") != 0))
        return base_fail(f->err, BASE_UNSUPPORTED,
                         "'%s' key 'norm_layer' is '%s', expected layernorm", f->path,
                         base_quote(quoted, sizeof quoted, word ? word : "no text"));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const json_t *value = json_object_get(f->arguments, others[i]);
        if (value && !json_is_null(value))
            return base_fail(f->err, BASE_UNSUPPORTED,
                             "'%s' key '%s' makes another network, expected none", f->path,
                             others[i]);
    }
    if (json_is_true(json_object_get(f->arguments, "pool_include_prefix")))
        return base_fail(
            f->err, BASE_UNSUPPORTED,
            "'%s' key 'pool_include_prefix' is true, expected the mean over the "
            "patches alone",
            f->path);
    return BASE_OK;
}

static base_status read_all(vit_hub *hub, const hub_file *f)
{
    const char *architecture = json_string_value(find(f, "architecture"));
    base_status status = read_channels(hub->mean_of, &hub->mean, f, "mean", false);

    snprintf(hub->architecture, sizeof hub->architecture, "%s",
             architecture ? architecture : "");
    if (status == BASE_OK)
        status = read_channels(hub->std_of, &hub->std, f, "std", true);
    if (status == BASE_OK)
        status = read_input(hub, f);
    if (status == BASE_OK)
        status = read_sight(hub, f);
    if (status == BASE_OK)
        status = read_count(&hub->classes, f, "num_classes", LABELS_MOST);
    if (status == BASE_OK)
        status = read_count(&hub->heads, f, "num_heads", 1 << 14);
    if (status == BASE_OK)
        status = read_pool(hub, f);
    if (status == BASE_OK)
        status = read_arguments(hub, f);
    return status == BASE_OK ? read_labels(hub, f) : status;
}

/* Our own form (hub_write.c). */
static bool is_ours(const json_t *top)
{
    const char *type = json_string_value(json_object_get(top, "model_type"));

    return type && strcmp(type, "vmoe") == 0;
}

static base_status read_ours(vit_hub *hub, const hub_file *f)
{
    const json_t *config = json_object_get(f->top, "config");

    if (!json_is_object(config))
        return wrong(f, "config", "an object");
    hub->config = vit_json_text(config, JSON_COMPACT);
    return hub->config
               ? BASE_OK
               : base_fail(f->err, BASE_NO_MEMORY, "no memory to read '%s'", f->path);
}

base_status vit_hub_read(vit_hub *out, const char *path, base_error *err)
{
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;
    vit_hub hub = {.path = base_text("%.*sconfig.json", folder, path)};
    char *text = NULL;
    size_t bytes = 0;
    json_error_t where;
    base_status status = BASE_OK;

    *out = (vit_hub){0};
    if (!hub.path)
        return base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    if (access(hub.path, F_OK) != 0) {
        vit_hub_free(&hub);
        return BASE_OK;
    }
    status = base_file_read(&text, &bytes, hub.path, FILE_MOST, err);
    json_t *top =
        status == BASE_OK ? json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where) : NULL;
    if (status == BASE_OK && !json_is_object(top))
        status = base_fail(
            err, BASE_FORMAT, "'%s' is not a JSON object%s%s", hub.path, top ? "" : ": ",
            top ? "" : base_quote(hub.architecture, sizeof hub.architecture, where.text));
    const json_t *inner = json_object_get(top, "pretrained_cfg");
    const json_t *arguments = json_object_get(top, "model_args");
    const hub_file f = {hub.path, top, inner, arguments, err};
    if (status == BASE_OK && inner && !json_is_object(inner))
        status = wrong(&f, "pretrained_cfg", "an object");
    if (status == BASE_OK)
        status = is_ours(top) ? read_ours(&hub, &f) : read_all(&hub, &f);
    json_decref(top);
    base_free(text);
    if (status == BASE_OK)
        *out = hub;
    else
        vit_hub_free(&hub);
    return status;
}

void vit_hub_free(vit_hub *hub)
{
    vit_labels_free(hub->label, hub->labels);
    base_free(hub->path);
    base_free(hub->config);
    *hub = (vit_hub){0};
}
