/* experts.c - vmoe inspect --experts from its options to its results. */
#include "apps/experts/internal.h"

static base_status outputs_check(const app_study_args *args, const app_common *common,
                                 base_error *err)
{
    base_status status = app_outputs_check(common, args->html, NULL, err);

    if (status == BASE_OK && args->csv)
        status = base_folder_make(args->csv, err);
    return status;
}

static base_status tell(const app_study *s, const app_common *common, base_error *err)
{
    show_document *document = NULL;
    base_status status = app_study_document(&document, s, common, err);

    if (status == BASE_OK)
        status = app_document_write(common, document, &app_study_view, s->args->html, err);
    if (status == BASE_OK && s->args->csv)
        status = app_study_csv(s, document, s->args->csv, err);
    show_document_destroy(document);
    return status;
}

base_status app_study_command(const char *model, const app_study_args *args,
                              const app_common *common, base_error *err)
{
    app_study study = {0};
    base_status status = outputs_check(args, common, err);

    app_stop_install();
    if (status == BASE_OK)
        status = app_study_open(&study, model, args, common, err);
    if (status == BASE_OK)
        app_data_told(common, "inspect", study.source);
    if (status == BASE_OK)
        status = app_study_run(&study, common, err);
    if (status == BASE_OK)
        status = app_study_measure(&study, common, err);
    if (status == BASE_OK)
        status = tell(&study, common, err);
    if (status == BASE_OK && study.interrupted)
        status = base_fail(err, BASE_INTERRUPTED,
                           "stopped after %zu of %zu images, the figures are of those",
                           study.images, study.planned);
    app_study_close(&study);
    return status;
}
