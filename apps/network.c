/* network.c - MODEL and DATA of a command line. Relied on elsewhere: a run's folder
 * means its best checkpoint, and what the options leave open comes from the checkpoint
 * (cli.md). */
#include "apps/network_internal.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IMAGENET_CLASSES = 1000 };

/* Settings of the evaluation that the options change. */
static base_status routing_set(app_network *network, const app_view *view, base_error *err)
{
    vit_config config = *vit_model_config(network->model);

    if (view->bpr || view->given.capacity) {
        if (!vit_config_is_sparse(&config))
            return base_fail(err, BASE_USAGE, "'%s' has no experts, --%s means nothing",
                             network->path, view->bpr ? "bpr" : "capacity");
    }
    if (view->given.capacity)
        config.moe.eval_capacity = view->capacity;
    if (view->given.capacity && view->capacity == 0)
        config.moe.eval_bpr = false; /* no one is dropped, whoever comes first */
    if (view->bpr) {
        if (!(config.moe.eval_capacity > 0))
            return base_fail(err, BASE_USAGE,
                             "--bpr needs a capacity, expected --capacity above 0 with it");
        config.moe.eval_bpr = true;
    }
    return vit_model_config_set(network->model, &config, err);
}

/* Size, resize and filter: the option, else the checkpoint's. A resize that is not given
 * keeps its proportion to a crop that is. */
static base_status sight_set(app_network *network, const vit_config *stored,
                             const app_view *view, base_error *err)
{
    const int64_t side = view->size > 0 ? view->size : view->crop;
    const bool other = side > 0 && side != stored->crop;

    if (view->size > 0 && view->crop > 0 && view->size != view->crop)
        return base_fail(err, BASE_USAGE,
                         "--size %lld and --crop %lld, expected one side of the input",
                         (long long)view->size, (long long)view->crop);
    if (other)
        network->size = (size_t)side;
    if (other && stored->resize == 0)
        network->resize = network->size;
    else if (other)
        network->resize =
            (size_t)lround((double)network->size * stored->resize / stored->crop);
    if (view->given.resize)
        network->resize = (size_t)view->resize;
    if (view->given.resize || other)
        network->origins.resize = VIT_ORIGIN_OPTION;
    if (view->interpolation > 0)
        network->origins.interpolation = VIT_ORIGIN_OPTION;
    if (view->interpolation > 0)
        network->filter = (data_filter)(view->interpolation - 1);
    return BASE_OK;
}

static void labels_borrow(app_network *network)
{
    if (!vit_model_label(network->model, 0))
        return;
    network->labels = app_take(NULL, network->classes, sizeof *network->labels);
    for (size_t c = 0; c < network->classes; c++)
        network->labels[c] = vit_model_label(network->model, c);
}

base_status app_network_open_other(app_network *out, const char *word, const app_view *view,
                                   const app_common *common, base_error *err)
{
    app_view own = *view;

    own.reading = (app_reading){0};
    return app_network_open(out, word, &own, common, err);
}

base_status app_network_open(app_network *out, const char *word, const app_view *view,
                             const app_common *common, base_error *err)
{
    app_network network = {0};
    struct stat info;
    vit_model *other = NULL;
    base_status status = train_model_path(&network.path, word, err);

    if (status != BASE_OK)
        return status;
    status = app_model_read(&network.model, &network.origins, network.path, &view->reading,
                            NULL, err);
    if (status == BASE_OK)
        app_network_describe(&network);
    if (status == BASE_OK)
        status = sight_set(&network, vit_model_config(network.model), view, err);
    if (status != BASE_OK)
        goto done;
    if (network.size != (size_t)vit_model_config(network.model)->image) {
        status = vit_model_resize(&other, network.model, (int)network.size, err);
        if (status != BASE_OK)
            goto done;
        vit_model_destroy(network.model);
        network.model = other;
    }
    status = routing_set(&network, view, err);
    if (status != BASE_OK)
        goto done;
    network.config = vit_model_config(network.model);
    network.classes = (size_t)network.config->classes;
    network.data = view->data;
    network.data.quiet = common->quiet;
    network.bytes = stat(network.path, &info) == 0 ? (uint64_t)info.st_size : 0;
    labels_borrow(&network);
    app_network_note(&network, common);
done:
    if (status != BASE_OK)
        app_network_close(&network);
    else
        *out = network;
    return status;
}

void app_network_close(app_network *network)
{
    vit_model_destroy(network->model);
    base_free(network->path);
    *network = (app_network){0};
}

void app_data_apply(data_source_options *out, const app_data_args *args)
{
    out->split = args->split;
    out->val_labels = args->val_labels;
    out->class_map = args->class_map;
    out->label_key = args->label_key;
    out->lenient = args->lenient;
    out->index_cache = args->index_cache;
    out->allow_unlabelled = args->unlabelled;
    out->indexing = args->quiet ? NULL : app_data_indexing;
}

void app_data_told(const app_common *common, const char *command, const data_source *source)
{
    char left_out[600];

    if (data_source_notice(source)[0])
        app_note(common, "vmoe %s: %s", command, data_source_notice(source));
    if (data_source_left_out(left_out, sizeof left_out, source)[0])
        app_note(common, "vmoe %s: %s", command, left_out);
}

void app_data_pair_told(const app_common *common, const char *command,
                        const data_source *train, const data_source *val)
{
    char path[512];

    app_data_told(common, command, train);
    app_data_told(common, command, val);
    if (data_source_same(train, val))
        app_note(
            common,
            "vmoe %s: warning: '%s' is trained on and validated with: the same files, so "
            "accuracy says nothing about other images",
            command, base_quote(path, sizeof path, data_source_path(val)));
}

static void data_keys(json_t *json, const char *prefix, const data_source *source)
{
    json_t *ignored = json_object(), *formats = json_object();
    const char *format;
    char key[64], left_out[600];
    size_t count;

    for (int i = 0; i < DATA_IGNORED_COUNT; i++)
        show_put_count(ignored, data_ignored_name((data_ignored)i),
                       data_source_ignored_for(source, (data_ignored)i));
    for (size_t i = 0; (format = data_source_format(&count, source, i)) != NULL; i++)
        if (count > 0)
            show_put_count(formats, format, count);
    snprintf(key, sizeof key, "%snotice", prefix);
    show_put_text(json, key, data_source_notice(source));
    snprintf(key, sizeof key, "%sleft_out", prefix);
    show_put_text(json, key, data_source_left_out(left_out, sizeof left_out, source));
    snprintf(key, sizeof key, "%signored", prefix);
    show_put(json, key, ignored);
    snprintf(key, sizeof key, "%signored_formats", prefix);
    show_put(json, key, formats);
}

void app_data_json(json_t *json, const data_source *source)
{
    data_keys(json, "", source);
}

void app_data_facts(json_t *facts, const data_source *source)
{
    char left_out[600];

    if (data_source_notice(source)[0])
        show_fact(facts, "data: %s", data_source_notice(source));
    if (data_source_left_out(left_out, sizeof left_out, source)[0])
        show_fact(facts, "data: %s", left_out);
}

void app_data_pair_json(json_t *json, const data_source *train, const data_source *val)
{
    data_keys(json, "", train);
    data_keys(json, "val_", val);
    show_put_bool(json, "same_files", data_source_same(train, val));
}

void app_data_indexing(void *user, size_t samples, double seconds, bool done)
{
    enum { PLAIN_SECONDS = 30 };
    const bool terminal = isatty(STDERR_FILENO) == 1;
    char number[32];

    (void)user;
    show_thousands(number, sizeof number, samples);
    if (terminal)
        fprintf(stderr, "\rindexing: %s samples, %.0f/s\033[K%s", number,
                (double)samples / seconds, done ? "\n" : "");
    else if (done || fmod(seconds, PLAIN_SECONDS) < 1) /* it is called once a second */
        fprintf(stderr, "indexing: %s samples, %.0f s\n", number, seconds);
}

data_source_options app_network_options(const app_network *network)
{
    data_source_options options = {
        .classes_of_model = network->classes,
        .class_list = network->labels,
        .class_list_count = network->labels ? network->classes : 0,
        .allow_single_class = true,
    };

    app_data_apply(&options, &network->data);
    return options;
}

base_status app_network_data(data_source **out, const app_network *network,
                             const char *spec, base_error *err)
{
    const data_source_options options = app_network_options(network);
    data_source *source = NULL;
    const base_status status = data_source_open(&source, spec, &options, err);
    if (status != BASE_OK)
        return status;
    const size_t found = data_source_classes(source);
    if (found > network->classes) {
        data_source_close(source);
        return base_fail(err, BASE_MISMATCH,
                         "'%s' has %zu classes, expected the %zu of '%s'", spec, found,
                         network->classes, network->path);
    }
    *out = source;
    return BASE_OK;
}

data_loader_config app_network_loader(const app_network *network, const app_common *common,
                                      bool skip_bad, app_progress *progress)
{
    data_loader_config config = data_loader_defaults();

    train_loader_feed(&config, network->config);
    config.size = network->size;
    config.resize = network->resize;
    config.filter = network->filter;
    config.batch = (size_t)common->batch;
    config.limit = (size_t)common->limit;
    config.seed = (uint64_t)common->seed;
    config.skip_bad = skip_bad;
    config.log = app_progress_log;
    config.log_user = progress;
    app_loader_threads(&config, common, -1);
    return config;
}

/* Borrowed, as the checkpoint or the data has it; a thousand outputs that nobody names, or
 * only by their numbers, are taken for ImageNet's. NULL: unknown. */
static const char *raw_label(const app_network *network, const data_source *source,
                             size_t c)
{
    if (network->labels)
        return network->labels[c];
    const char *own = source && c < data_source_classes(source)
                          ? data_source_class_name(source, c)
                          : NULL;
    int64_t number = -1;
    if (network->classes == IMAGENET_CLASSES &&
        (!own || (base_parse_int(&number, own) && number == (int64_t)c)))
        return data_imagenet_wnid(c);
    return own;
}

const char *app_network_label(char *out, size_t out_bytes, const app_network *network,
                              const data_source *source, size_t c)
{
    const char *label = raw_label(network, source, c);

    if (label)
        return base_quote(out, out_bytes, label);
    snprintf(out, out_bytes, "%zu", c);
    return out;
}

const char *app_network_class(char *out, size_t out_bytes, const app_network *network,
                              const data_source *source, size_t c)
{
    const char *label = raw_label(network, source, c);
    const char *name = label ? data_imagenet_name(label) : NULL;

    if (!label)
        snprintf(out, out_bytes, "class %zu", c);
    else
        base_quote(out, out_bytes, name ? name : label);
    return out;
}

void app_network_class_put(json_t *json, const char *key, const app_network *network,
                           const data_source *source, size_t c)
{
    char name[128], title[32];

    snprintf(title, sizeof title, "%s_title", key);
    show_put_text(json, key, app_network_label(name, sizeof name, network, source, c));
    show_put_text(json, strcmp(key, "name") == 0 ? "title" : title,
                  app_network_class(name, sizeof name, network, source, c));
}

const char *app_network_name(char *out, size_t out_bytes, const vit_config *config)
{
    if (config->name[0])
        return base_quote(out, out_bytes, config->name);
    if (vit_config_is_sparse(config))
        snprintf(out, out_bytes, "vit, width %d, depth %d, %d experts", config->width,
                 config->depth, config->moe.experts);
    else
        snprintf(out, out_bytes, "vit, width %d, depth %d", config->width, config->depth);
    return out;
}

base_status app_network_picture(data_image *out, const app_network *network,
                                const float *normalised, base_error *err)
{
    const vit_config *c = network->config;

    return data_image_from(out, normalised, (size_t)c->channels, network->size, c->mean,
                           c->std, err);
}

static bool begins(const char *name, const char *prefixes)
{
    char prefix[64];

    for (size_t i = 0; base_choice_word(prefix, sizeof prefix, prefixes, i); i++)
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

app_parameters app_network_parameters(const vit_model *model, const char *prefixes)
{
    const vit_config *c = vit_model_config(model);
    app_parameters sum = {0};

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);

        if (!begins(p->name, prefixes))
            continue;
        sum.all += p->count;
        sum.active += strstr(p->name, ".experts.") ? p->count / (uint64_t)c->moe.experts *
                                                         (uint64_t)vit_config_eval_k(c)
                                                   : p->count;
    }
    return sum;
}

size_t app_network_blocks(size_t out[VIT_DEPTH_MAX], const vit_config *config)
{
    size_t count = 0;

    for (int i = 0; i < config->depth; i++)
        if (config->moe.layer[i])
            out[count++] = (size_t)i;
    return count;
}
