/* fuzz_report.c - any bytes as a result for vmoe report: a page or a refusal with its reason. */
#include "apps/report/internal.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300], page[300];
    const app_common common = app_common_defaults();
    app_report_set set = {0};
    show_document *document = NULL;
    FILE *sink = fopen("/dev/null", "w");
    base_error err = {0};

    fuzz_folder_make();
    snprintf(path, sizeof path, "%s/r.json", fuzz_folder);
    snprintf(page, sizeof page, "%s/r.html", fuzz_folder);
    fuzz_write(path, bytes, size);
    base_status status = app_report_add(&set, path, &err);
    app_report_sort(&set);
    if (status == BASE_OK)
        status = app_report_document(&document, &set, &common, &err);
    if (status == BASE_OK)
        status = show_print_terminal(sink, document, &app_report_view, &err);
    if (status == BASE_OK)
        status = show_page_write(document, &app_report_view, page, &err);
    show_document_destroy(document);
    fclose(sink);
    fuzz_demand(status == BASE_OK || err.text[0]);
    app_report_close(&set);
    return 0;
}
