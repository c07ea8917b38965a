/* json.c - results that programs read: the keys that every command shares (docs/json.md).
 * Relied on elsewhere: the names of the keys. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/app_internal.h"
#include "measure/measure.h"

json_t *app_json_begin(const app_common *common, const char *command, const char *model,
                       const char *data)
{
    static const char *const precisions[] = {"fp32", "bf16"};
    json_t *json = json_object();

    show_put_text(json, "vmoe", BASE_VERSION);
    show_put_text(json, "command", command);
    if (model)
        show_put_text(json, "model", model);
    if (data)
        show_put_text(json, "data", data);
    show_put_int(json, "seed", common->seed);
    show_put_text(json, "precision", precisions[common->precision == VIT_PRECISION_BF16]);
    show_put_int(json, "threads", common->threads);
    return json;
}

json_t *app_share_json(uint64_t part, uint64_t all)
{
    return show_json_real(all > 0 ? (double)part / (double)all : (double)NAN);
}

json_t *app_interval_json(uint64_t right, uint64_t samples)
{
    double low = 0, high = 0;

    if (samples == 0)
        return json_null();
    measure_interval(&low, &high, right, samples);
    return json_pack("[f, f]", low, high);
}

/* Whether a result makes a file of its own there: no pipe, no device. */
static bool is_file(const char *path)
{
    struct stat info;

    return path && strcmp(path, "-") != 0 &&
           (stat(path, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
}

static base_status output_check(const char *path, base_error *err)
{
    base_writer trial = {0};

    if (!is_file(path)) /* opening a pipe is not without effect */
        return BASE_OK;
    const base_status status = base_writer_open(&trial, path, err);
    if (status == BASE_OK)
        base_writer_abandon(&trial);
    return status;
}

base_status app_outputs_check(const app_common *common, const char *first,
                              const char *second, base_error *err)
{
    const char *const names[] = {common->json, first, second};
    char text[256];
    base_status status = BASE_OK;

    for (size_t i = 0; i < 3 && status == BASE_OK; i++) {
        status = output_check(names[i], err);
        for (size_t j = 0; j < i && is_file(names[i]) && status == BASE_OK; j++)
            if (names[j] && strcmp(names[i], names[j]) == 0)
                status = base_fail(err, BASE_USAGE,
                                   "two results go to '%s', expected a file for each",
                                   base_quote(text, sizeof text, names[i]));
    }
    return status;
}

base_status app_json_save(const char *path, json_t *json, base_error *err)
{
    base_status status = BASE_OK;
    base_writer out = {0};

    if (!json) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the results '%s'", path);
        goto done;
    }
    if (strcmp(path, "-") == 0) {
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
        goto done;
    }
    status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        goto done;
    if (json_dumpf(json, out.file, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0 ||
        fputc('\n', out.file) == EOF) {
        status = base_fail_errno(err, "cannot write '%s'", path);
        goto done;
    }
    status = base_writer_commit(&out, err);
done:
    base_writer_abandon(&out);
    json_decref(json);
    return status;
}

base_status app_json_write(const app_common *common, json_t *json, base_error *err)
{
    if (common->json)
        return app_json_save(common->json, json, err);
    json_decref(json);
    return BASE_OK;
}

base_status app_document_write(const app_common *common, const show_document *document,
                               const show_view *view, const char *html, base_error *err)
{
    FILE *out = app_result_stream(common);
    base_status status =
        out == stdout ? show_print_terminal(out, document, view, err) : BASE_OK;

    if (status == BASE_OK && html)
        status = show_page_write(document, view, html, err);
    if (status == BASE_OK)
        status = app_json_write(common, json_incref(show_document_json(document)), err);
    if (status == BASE_OK && html)
        app_note(common, "page: %s", html);
    return status;
}

base_status app_document_make(show_document **out, json_t *json, base_error *err)
{
    *out = show_document_create(json);
    return *out ? BASE_OK : base_fail(err, BASE_NO_MEMORY, "no memory for the results");
}

base_status app_result_write(const app_common *common, json_t *json, const show_view *view,
                             const char *html, base_error *err)
{
    show_document *document = NULL;
    base_status status = app_document_make(&document, json, err);

    if (status == BASE_OK)
        status = app_document_write(common, document, view, html, err);
    show_document_destroy(document);
    return status;
}
