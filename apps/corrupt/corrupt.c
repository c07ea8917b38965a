/* corrupt.c - vmoe corrupt: a data set under the corruptions of ImageNet-C as a tree of
 * files, one picture, and a contact sheet. Relied on elsewhere: exit status 1 after Ctrl-C,
 * with every finished file kept; the same command goes on from there. */
#include "apps/corrupt/internal.h"
#include "apps/network_internal.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define BASE_STRUCT corrupt_args
static const base_field options[] = {
    APP_WORD("data", "DATA", data,
             "images: a path whose layout is recognised, or LAYOUT:PATH"),
    APP_WORD("out", "DIR", out,
             "folder of the tree: DIR/CORRUPTION/SEVERITY/CLASS/FILE and DIR/manifest.txt; "
             "with PICTURE: a file, PNG (JPEG where the name ends in .jpg)"),
    APP_CORRUPTION_OPTIONS(corruption),
    APP_INT("size", "S", size, 1, 4096, "side of the centre crop, pixels"),
    APP_INT("resize", "R", resize, 0, 16384,
            "shorter side before the crop; 0: the images are S x S already and are taken "
            "as they are (default: 256 for 224, S / 0.875 from 128 on, else S)",
            BASE_GIVEN(resize_given)),
    APP_CHOICE("interpolation", "I", interpolation, "bilinear|bicubic",
               "filter of the resize"),
    APP_CHOICE("format", "F", format, "jpeg|png",
               "of the files; jpeg: quality 85, 4:2:0, as the published ones"),
    APP_CHOICE("bad-samples", "WHAT", bad_samples, "fail|skip",
               "at an image that cannot be used: stop, or leave it out"),
    APP_WORD(
        "sheet", "FILE", sheet,
        "a contact sheet of all selected corruptions of one image, PNG (JPEG where the "
        "name ends in .jpg); then --out may be missing"),
    APP_WORD("sheet-image", "FILE", sheet_image,
             "that image (default: the first of --data)"),
    APP_INT("tile", "N", tile, 16, 1024, "side of the sheet's pictures, pixels"),
    BASE_BOOL("list", list, "only lists the corruptions"),
    {0},
};
#undef BASE_STRUCT

static const app_syntax syntax = {
    .command = "corrupt",
    .usage = "(--data DATA --out DIR or PICTURE --out FILE) [--corrupt NAME ...] "
             "[--severity S ...] [options]",
    .about =
        "Writes ImageNet-C of a data set (Hendrycks and Dietterich 2019): resize, centre "
        "crop,\ncorruption, file. Without --corrupt: the 15 of the benchmark. The same "
        "command goes on\nafter an interruption. PICTURE: one image file under one "
        "corruption and severity.",
    .options = options,
    .without = "pin precision batch",
    .words = "PICTURE",
    .words_high = 1,
};

/* The rules that one table of options cannot say, and what is left open. */
static base_status args_settle(corrupt_args *args, base_error *err)
{
    if (args->picture && (args->data || args->sheet || args->sheet_image))
        return base_fail(err, BASE_USAGE, "PICTURE and --%s, expected one of them",
                         args->data    ? "data"
                         : args->sheet ? "sheet"
                                       : "sheet-image");
    if (args->picture && !args->out)
        return base_fail(err, BASE_USAGE, "--out FILE is missing");
    if (!args->picture && !args->data && !(args->sheet && args->sheet_image && !args->out))
        return base_fail(err, BASE_USAGE, "--data DATA is missing");
    if (!args->out && !args->sheet)
        return base_fail(err, BASE_USAGE, "--out DIR is missing");
    if (args->sheet_image && !args->sheet)
        return base_fail(err, BASE_USAGE, "--sheet-image needs --sheet FILE");
    if (!args->resize_given)
        args->resize = args->size < 128 ? args->size : llround((double)args->size / 0.875);
    if (args->corruption.names.count == 0)
        args->corruption.names.at[args->corruption.names.count++] =
            args->out ? "bench" : "all";
    return BASE_OK;
}

/* ---- one picture --------------------------------------------------------------------- */

/* PICTURE, --sheet-image, or the first of the data as the network would see it: [size,
 * size, 3]. *key: of its name. */
static base_status image_make(data_image *out, uint64_t *key, const app_tree *tree,
                              base_error *err)
{
    const corrupt_args *args = tree->args;
    const char *file = args->picture ? args->picture : args->sheet_image;
    const char *slash = file ? strrchr(file, '/') : NULL;
    data_reader reader = {0};
    char name[APP_TREE_PATH];
    base_status status =
        file ? data_reader_file(&reader, file, err)
             : data_reader_named(&reader, tree->source, tree->samples[0], err);

    *key =
        corrupt_name_key(slash  ? slash + 1
                         : file ? file
                                : data_source_relative_name(tree->source, tree->samples[0],
                                                            name, sizeof name));
    if (status == BASE_OK) {
        status = app_tree_clean(out, &reader, args, err);
        if (status != BASE_OK && file)
            base_error_prepend(err, "'%s': ", file);
    }
    data_reader_close(&reader);
    return status;
}

static base_status picture_make(const app_tree *tree, base_error *err)
{
    const corrupt_args *args = tree->args;
    const app_selection *s = &tree->selection;
    const size_t size = (size_t)args->size;
    corrupt_worker *worker = tree->crew.worker[0];
    data_image clean = {0}, changed = {0};
    uint64_t key = 0;

    if (s->count + s->clean != 1)
        return base_fail(err, BASE_USAGE,
                         "PICTURE becomes one file and %zu are selected, expected "
                         "--corrupt NAME --severity S",
                         s->count + s->clean);
    base_status status = image_make(&clean, &key, tree, err);
    if (status == BASE_OK)
        status = data_image_reserve(&changed, size, size, 3, err);
    if (status == BASE_OK && !s->clean)
        status = corrupt_apply(worker, changed.pixels, clean.pixels, size, size,
                               s->pair[0].kind, s->pair[0].severity, key, err);
    if (status == BASE_OK)
        status = app_picture_write(args->out, s->clean ? &clean : &changed, worker,
                                   APP_TREE_QUALITY, err);
    data_image_destroy(&clean);
    data_image_destroy(&changed);
    return status;
}

static base_status sheet_make(const app_tree *tree, base_error *err)
{
    const corrupt_args *args = tree->args;
    data_image image = {0};
    uint64_t key = 0;
    base_status status = image_make(&image, &key, tree, err);

    if (status == BASE_OK)
        status = app_sheet_write(args->sheet, &tree->selection, &tree->crew, &image, key,
                                 (size_t)args->tile, err);
    if (status == BASE_OK)
        app_note(&args->common, "contact sheet: %s", args->sheet);
    data_image_destroy(&image);
    return status;
}

/* ---- the tree ------------------------------------------------------------------------ */

static base_status tree_open(app_tree *tree, base_error *err)
{
    const corrupt_args *args = tree->args;
    const data_source_options plain = {.allow_single_class = true};
    base_status status = app_selection_parse(&tree->selection, &args->corruption, err);

    if (status == BASE_OK && tree->selection.count == 0 && !tree->selection.clean)
        status = base_fail(err, BASE_USAGE, "--corrupt names no corruption");
    if (status == BASE_OK)
        status =
            app_crew_open(&tree->crew, &args->corruption, (size_t)args->size,
                          (uint64_t)args->common.seed, (size_t)args->common.threads, err);
    if (status == BASE_OK)
        status = corrupt_crew_check(&tree->crew, tree->selection.pair,
                                    tree->selection.count, (size_t)args->size, err);
    if (status != BASE_OK || !args->data)
        return status;
    status = data_source_open(&tree->source, args->data, &plain, err);
    if (status == BASE_OK)
        app_data_told(&args->common, "corrupt", tree->source);
    if (status == BASE_OK)
        status = data_source_subset(&tree->samples, &tree->count, tree->source,
                                    (size_t)args->common.limit, (uint64_t)args->common.seed,
                                    err);
    return status;
}

static void tree_close(app_tree *tree)
{
    base_free(tree->samples);
    data_source_close(tree->source);
    corrupt_crew_close(&tree->crew);
}

static json_t *parts_json(const app_selection *selection)
{
    json_t *parts = json_object();

    if (selection->clean)
        show_put(parts, "clean", json_pack("[i]", 0));
    for (size_t i = 0; i < selection->count; i++) {
        const char *name = corrupt_kind_name(selection->pair[i].kind);

        if (!json_object_get(parts, name))
            show_put(parts, name, json_array());
        json_array_append_new(json_object_get(parts, name),
                              json_integer(selection->pair[i].severity));
    }
    return parts;
}

/* What became of the images. */
static void tree_json(json_t *json, const app_tree *tree)
{
    show_put_count(json, "samples", tree->images - tree->bad);
    show_put_count(json, "planned", tree->count);
    show_put_real(json, "seconds", tree->seconds);
    show_put_bool(json, "complete", !tree->interrupted);
    show_put_count(json, "written", tree->written);
    show_put_count(json, "kept", tree->kept);
    show_put_count(json, "bad", tree->bad);
    show_put_real(json, "files_per_second",
                  (double)tree->written / fmax(tree->seconds, 1e-9));
    show_put_text(json, "format", tree->args->format ? "png" : "jpeg");
}

static base_status result_write(const app_tree *tree, base_error *err)
{
    const corrupt_args *args = tree->args;
    json_t *json = app_json_begin(&args->common, "corrupt", NULL, args->data);

    if (tree->source)
        app_data_json(json, tree->source);
    show_put_text(json, "out", args->out);
    show_put_text(json, "sheet", args->sheet);
    show_put_text(json, "picture", args->picture);
    if (args->out && !args->picture)
        tree_json(json, tree);
    show_put_int(json, "size", args->size);
    show_put_int(json, "resize", args->resize);
    show_put_text(json, "interpolation",
                  data_filter_name((data_filter)args->interpolation));
    app_crew_json(json, &tree->crew);
    show_put(json, "corruptions", parts_json(&tree->selection));
    return app_result_write(&args->common, json, &app_corrupt_view, NULL, err);
}

static base_status tree_make(app_tree *tree, base_error *err)
{
    const corrupt_args *args = tree->args;
    int folder = -1;
    base_status status = app_manifest_open(&folder, tree, err);

    if (status != BASE_OK)
        return status;
    status = app_manifest_write(tree, false, err);
    if (status == BASE_OK) {
        char text[128];
        app_note(&args->common, "%s", app_crew_text(text, sizeof text, &tree->crew));
        status = app_tree_write(tree, err);
    }
    if (status == BASE_OK && syncfs(folder) != 0) /* what "state: complete" says */
        status = base_fail_errno(err, "cannot write '%s' to disk", args->out);
    if (status == BASE_OK)
        status = app_manifest_write(tree, !tree->interrupted, err);
    close(folder);
    return status;
}

static void list_print(void)
{
    printf("corruptions:\n");
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        printf("  %-18s %-8s %s\n", corrupt_kind_name((corrupt_kind)k),
               corrupt_group_name(corrupt_kind_group((corrupt_kind)k)),
               corrupt_kind_summary((corrupt_kind)k));
}

int app_corrupt(int argc, char **argv)
{
    corrupt_args args = {.common = app_common_defaults(), .size = 224, .tile = 96};
    app_tree tree = {.args = &args};
    char **words = NULL;
    size_t count = 0;
    int code = APP_USAGE;
    base_error err = {0};

    if (!app_parse(&code, &args, &words, &count, &syntax, argc, argv))
        return code;
    if (args.list) {
        list_print();
        return APP_DONE;
    }
    args.picture = count > 0 ? words[0] : NULL;
    base_status status = args_settle(&args, &err);
    if (status != BASE_OK)
        return app_fail("corrupt", &err);
    app_common_apply(&args.common, "corrupt");
    app_stop_install();
    status =
        app_outputs_check(&args.common, args.sheet, args.picture ? args.out : NULL, &err);
    if (status == BASE_OK)
        status = tree_open(&tree, &err);
    if (status == BASE_OK && args.sheet)
        status = sheet_make(&tree, &err);
    if (status == BASE_OK && args.out)
        status = args.picture ? picture_make(&tree, &err) : tree_make(&tree, &err);
    if (status == BASE_OK)
        status = result_write(&tree, &err);
    if (status == BASE_OK && tree.interrupted)
        status = base_fail(&err, BASE_INTERRUPTED,
                           "stopped after %llu of %zu images; the same command goes on",
                           (unsigned long long)tree.images, tree.count);
    tree_close(&tree);
    return status == BASE_OK ? APP_DONE : app_fail("corrupt", &err);
}
