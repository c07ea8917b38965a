/* fuzz_report.c - any bytes as a result for vmoe report: a page or a refusal with its reason. */
#include "apps/report/internal.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[300];
    app_report_set set = {0};
    base_error err = {0};

    fuzz_folder_make();
    snprintf(path, sizeof path, "%s/r.json", fuzz_folder);
    fuzz_write(path, bytes, size);
    base_status status = app_report_add(&set, path, &err);
    if (status == BASE_OK)
        status = app_report_page(&set, "/dev/null", &err);
    fuzz_demand(status == BASE_OK || err.text[0]);
    app_report_close(&set);
    return 0;
}
