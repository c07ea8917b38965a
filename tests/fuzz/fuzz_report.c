/* fuzz_report.c - any bytes as a result for vmoe report: a page or a refusal with its
 * reason. */
#include "apps/report/internal.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300];
    const app_common common = app_common_defaults();
    app_report_set set = {0};
    json_t *json = NULL;
    base_error err = {0};

    fuzz_folder_make();
    snprintf(path, sizeof path, "%s/r.json", fuzz_folder);
    fuzz_write(path, bytes, size);
    base_status status = app_report_add(&set, path, &err);
    app_report_sort(&set);
    if (status == BASE_OK)
        status = app_report_json(&json, &set, &common, &err);
    show_document *document = json ? show_document_create(json) : NULL;
    if (status == BASE_OK)
        status = show_page_write(document, &app_report_view, "/dev/null", &err);
    show_document_destroy(document);
    fuzz_demand(status == BASE_OK || err.text[0]);
    app_report_close(&set);
    return 0;
}
