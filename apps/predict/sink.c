/* sink.c - where the answers of vmoe predict go. Relied on elsewhere: rows of
 * --logits and --inputs are the images that could be read, in the order of the printed
 * lines. */
#include "apps/predict/internal.h"

#include <math.h>
#include <string.h>

enum { NAME_BYTES = 128, PAGE_TOP = 3 };

base_status predict_sink_open(predict_sink *sink, const predict_args *args,
                              const app_network *network, const data_source *source,
                              base_error *err)
{
    const size_t shape[3] = {(size_t)network->config->channels, network->size,
                             network->size};
    base_status status = BASE_OK;
    char lead[1200], name[512], data[512];

    *sink = (predict_sink){.args = args, .network = network, .source = source};
    sink->print = !args->common.json || strcmp(args->common.json, "-") != 0;
    sink->top = base_alloc((size_t)args->top, sizeof *sink->top);
    sink->probability = base_alloc((size_t)args->top, sizeof *sink->probability);
    sink->list = args->common.json ? json_array() : NULL;
    if (!sink->top || !sink->probability || (args->common.json && !sink->list))
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %lld answers an image",
                           (long long)args->top);
    if (status == BASE_OK && args->write_png)
        status = base_folder_make(args->write_png, err);
    if (status == BASE_OK && args->logits) {
        status = show_npy_open(&sink->logits, args->logits, &network->classes, 1, err);
        sink->has_logits = status == BASE_OK;
    }
    if (status == BASE_OK && args->inputs) {
        status = show_npy_open(&sink->inputs, args->inputs, shape, 3, err);
        sink->has_inputs = status == BASE_OK;
    }
    if (status == BASE_OK && args->html) {
        snprintf(lead, sizeof lead, "%s on %s",
                 base_quote(name, sizeof name, network->path),
                 source ? base_quote(data, sizeof data, args->data) : "images");
        status = show_page_open(&sink->page, args->html, "vmoe predict", lead, err);
        sink->has_page = status == BASE_OK;
        if (sink->has_page) {
            show_page_section(&sink->page, "Predictions",
                              source ? "Green: as labelled. Red: not." : NULL);
            show_page_shots_begin(&sink->page);
        }
    }
    if (status != BASE_OK)
        predict_sink_abandon(sink);
    return status;
}

static const char *class_name(const predict_sink *sink, char out[NAME_BYTES], size_t c)
{
    return app_network_class(out, NAME_BYTES, sink->network, sink->source, c);
}

static void line_print(const predict_sink *sink, const char *name, int32_t label,
                       size_t count)
{
    char text[NAME_BYTES], safe[1100];

    printf("%s:", base_quote(safe, sizeof safe, name));
    for (size_t i = 0; i < count; i++)
        printf("%s %s %.1f %%", i ? "," : "", class_name(sink, text, sink->top[i]),
               100 * sink->probability[i]);
    if (label >= 0 && sink->top[0] == (size_t)label)
        printf("  (right)");
    else if (label >= 0)
        printf("  (wrong: %s)", class_name(sink, text, (size_t)label));
    putchar('\n');
}

static void list_add(predict_sink *sink, const char *name, int32_t label, size_t count)
{
    json_t *one = json_object();
    json_t *top = json_array();
    char text[1100];

    json_object_set_new(one, "name", json_string(base_quote(text, sizeof text, name)));
    json_object_set_new(one, "label", label >= 0 ? json_integer(label) : json_null());
    for (size_t i = 0; i < count; i++) {
        json_t *answer = json_object();

        json_object_set_new(answer, "class", json_integer((json_int_t)sink->top[i]));
        json_object_set_new(answer, "name",
                            json_string(app_network_label(text, sizeof text, sink->network,
                                                          sink->source, sink->top[i])));
        json_object_set_new(answer, "title",
                            json_string(class_name(sink, text, sink->top[i])));
        json_object_set_new(answer, "probability", show_json_real(sink->probability[i]));
        json_array_append_new(top, answer);
    }
    json_object_set_new(one, "top", top);
    json_array_append_new(sink->list, one);
}

static base_status page_add(predict_sink *sink, const char *name, int32_t label,
                            size_t count, base_error *err)
{
    char names[PAGE_TOP][NAME_BYTES], values[PAGE_TOP][16], truth[NAME_BYTES];
    show_bar bars[PAGE_TOP];

    if (count > PAGE_TOP)
        count = PAGE_TOP;
    for (size_t i = 0; i < count; i++) {
        snprintf(values[i], sizeof values[i], "%.0f %%", 100 * sink->probability[i]);
        bars[i] = (show_bar){.name = class_name(sink, names[i], sink->top[i]),
                             .value = values[i],
                             .share = sink->probability[i],
                             .mark = label >= 0 && sink->top[i] == (size_t)label};
    }
    const show_shot shot = {
        .picture = &sink->picture,
        .name = name,
        .answer = names[0],
        .truth = label >= 0 ? class_name(sink, truth, (size_t)label) : NULL,
        .right = label >= 0 && sink->top[0] == (size_t)label,
        .bars = bars,
        .bar_count = count,
    };
    return show_page_shot(&sink->page, &shot, err);
}

/* DIR/00012-Sneaker.png: the place in the list, and the label, or the answer without
 * one. Letters that could leave the folder or trouble a shell become "_". */
static base_status png_add(predict_sink *sink, int32_t label, base_error *err)
{
    char name[NAME_BYTES];
    const size_t c = label >= 0 ? (size_t)label : sink->top[0];

    class_name(sink, name, c);
    for (char *at = name; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '-'))
            *at = '_';
    char *path = base_text("%s/%05llu-%s.png", sink->args->write_png,
                           (unsigned long long)sink->images, name);
    if (!path)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a name in '%s'",
                         sink->args->write_png);
    const base_status status = data_png_write(path, &sink->picture, err);
    base_free(path);
    return status;
}

base_status predict_sink_add(predict_sink *sink, const char *name, int32_t label,
                             const float *input, const float *logits, base_error *err)
{
    const size_t classes = sink->network->classes;
    const size_t wanted = (size_t)sink->args->top;
    const size_t count = wanted < classes ? wanted : classes;
    base_status status = BASE_OK;

    for (size_t c = 0; c < classes; c++)
        if (!isfinite(logits[c]))
            return base_fail(err, BASE_NUMERIC,
                             "'%s' gives logits that are not finite for '%s'",
                             sink->network->path, name);
    measure_verdict_top(sink->top, sink->probability, count, logits, classes);
    if (label >= 0) {
        sink->known++;
        sink->right += sink->top[0] == (size_t)label;
    }
    if (sink->print)
        line_print(sink, name, label, count);
    if (sink->list)
        list_add(sink, name, label, count);
    if (sink->has_logits)
        status = show_npy_append(&sink->logits, logits, 1, err);
    if (status == BASE_OK && sink->has_inputs)
        status = show_npy_append(&sink->inputs, input, 1, err);
    if (status == BASE_OK && (sink->has_page || sink->args->write_png))
        status = app_network_picture(&sink->picture, sink->network, input, err);
    if (status == BASE_OK && sink->has_page)
        status = page_add(sink, name, label, count, err);
    if (status == BASE_OK && sink->args->write_png)
        status = png_add(sink, label, err);
    sink->images++;
    return status;
}

base_status predict_sink_commit(predict_sink *sink, json_t **list, base_error *err)
{
    base_status status = BASE_OK;

    if (sink->has_logits)
        status = show_npy_commit(&sink->logits, err);
    if (status == BASE_OK && sink->has_inputs)
        status = show_npy_commit(&sink->inputs, err);
    if (status == BASE_OK && sink->has_page) {
        show_page_shots_end(&sink->page);
        if (sink->known > 0)
            fprintf(sink->page.out.file, "<p><br>%llu of %llu as labelled.</p>\n",
                    (unsigned long long)sink->right, (unsigned long long)sink->known);
        status = show_page_commit(&sink->page, err);
    }
    *list = sink->list;
    sink->list = NULL;
    predict_sink_abandon(sink); /* what is committed stays */
    return status;
}

void predict_sink_abandon(predict_sink *sink)
{
    show_npy_abandon(&sink->logits);
    show_npy_abandon(&sink->inputs);
    show_page_abandon(&sink->page);
    data_image_destroy(&sink->picture);
    json_decref(sink->list);
    sink->list = NULL;
    base_free(sink->top);
    base_free(sink->probability);
    sink->top = NULL;
    sink->probability = NULL;
}
