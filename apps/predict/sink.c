/* sink.c - where the answers of vmoe predict go. Relied on elsewhere: rows of
 * --logits and --inputs are the images that could be read, in the order of the printed
 * lines. */
#include "apps/predict/internal.h"

#include <math.h>
#include <string.h>

enum { NAME_BYTES = 128, PAGE_MOST = 4000 /* pictures of a page */ };

base_status predict_sink_open(predict_sink *sink, const predict_args *args,
                              const app_network *network, const data_source *source,
                              base_error *err)
{
    const size_t shape[3] = {(size_t)network->config->channels, network->size,
                             network->size};
    json_t *json = app_json_begin(&args->common, "predict", network->path, args->data);

    *sink = (predict_sink){.args = args, .network = network, .source = source};
    sink->print = !args->common.json || strcmp(args->common.json, "-") != 0;
    sink->top = app_take(NULL, (size_t)args->top, sizeof *sink->top);
    sink->probability = app_take(NULL, (size_t)args->top, sizeof *sink->probability);
    show_put(json, "predictions", json_array());
    base_status status = app_document_make(&sink->document, json, err);
    if (status == BASE_OK && args->write_png)
        status = base_folder_make(args->write_png, err);
    if (status == BASE_OK && args->logits)
        status = show_npy_open(&sink->logits, args->logits, &network->classes, 1, err);
    if (status == BASE_OK && args->inputs)
        status = show_npy_open(&sink->inputs, args->inputs, shape, 3, err);
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

static json_t *answer_json(const predict_sink *sink, size_t place, int32_t label)
{
    const size_t class = sink->top[place];
    char text[1100], title[NAME_BYTES];

    app_network_label(text, sizeof text, sink->network, sink->source, class);
    return json_pack("{s:I, s:s, s:s, s:o, s:b}", "class", (json_int_t) class, "name", text,
                     "title", class_name(sink, title, class), "probability",
                     show_json_real(sink->probability[place]), "mark",
                     label >= 0 && class == (size_t)label);
}

/* The image and its answers into the document, with its picture where there is a page. */
static base_status document_add(predict_sink *sink, const char *name, int32_t label,
                                size_t count, base_error *err)
{
    const bool known = label >= 0, picture = sink->args->html && sink->images < PAGE_MOST;
    json_t *json = show_document_json(sink->document), *top = json_array();
    char text[1100], title[NAME_BYTES], key[32];

    for (size_t i = 0; i < count; i++)
        json_array_append_new(top, answer_json(sink, i, label));
    snprintf(key, sizeof key, "image-%llu", (unsigned long long)sink->images);
    json_array_append_new(
        json_object_get(json, "predictions"),
        json_pack("{s:s, s:o, s:s?, s:o, s:o, s:s?}", "name",
                  base_quote(text, sizeof text, name), "label",
                  known ? json_integer(label) : json_null(), "label_title",
                  known ? class_name(sink, title, (size_t)label) : NULL, "right",
                  known ? json_boolean(sink->top[0] == (size_t)label) : json_null(), "top",
                  top, "picture", picture ? key : NULL));
    return picture ? show_document_picture(sink->document, key, &sink->picture, err)
                   : BASE_OK;
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
    if (sink->args->logits)
        status = show_npy_append(&sink->logits, logits, 1, err);
    if (status == BASE_OK && sink->args->inputs)
        status = show_npy_append(&sink->inputs, input, 1, err);
    if (status == BASE_OK && (sink->args->html || sink->args->write_png))
        status = app_network_picture(&sink->picture, sink->network, input, err);
    if (status == BASE_OK && (sink->args->html || sink->args->common.json))
        status = document_add(sink, name, label, count, err);
    if (status == BASE_OK && sink->args->write_png)
        status = png_add(sink, label, err);
    sink->images++;
    return status;
}

base_status predict_sink_commit(predict_sink *sink, base_error *err)
{
    base_status status = BASE_OK;

    if (sink->args->logits)
        status = show_npy_commit(&sink->logits, err);
    if (status == BASE_OK && sink->args->inputs)
        status = show_npy_commit(&sink->inputs, err);
    if (status == BASE_OK)
        status = app_document_write(&sink->args->common, sink->document, &app_predict_view,
                                    sink->args->html, err);
    predict_sink_abandon(sink); /* what is committed stays */
    return status;
}

void predict_sink_abandon(predict_sink *sink)
{
    show_npy_abandon(&sink->logits);
    show_npy_abandon(&sink->inputs);
    show_document_destroy(sink->document);
    data_image_destroy(&sink->picture);
    sink->document = NULL;
}
