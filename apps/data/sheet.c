/* sheet.c - the contact sheet of a data set: pictures drawn by the seed, with their labels,
 * in order of their numbers (class by class). Free to change: all of it. */
#include "apps/data/internal.h"

#include <string.h>

enum { GAP = 6, MARGIN = 10, INK = 40, PAPER = 255, BAD_GREY = 208, SIDE_MOST = 60000 };

const char *app_survey_label(char *out, size_t out_bytes, const app_survey *survey,
                             size_t sample)
{
    const int32_t label = data_source_label(survey->source, sample);
    const char *class =
        label < 0 ? NULL : data_source_class_name(survey->source, (size_t)label);
    const char *name = class ? data_imagenet_name(class) : NULL;

    snprintf(out, out_bytes, "%s", name ? name : class ? class : "no label");
    return out;
}

static base_status tile_make(data_image *out, data_reader *r, const app_survey *survey,
                             size_t sample, bool *bad, base_error *err)
{
    const size_t tile = (size_t)survey->args->tile;
    base_error reason = {0};

    *bad = data_reader_sample(r, survey->source, sample, &reason) != BASE_OK;
    if (reason.status == BASE_NO_MEMORY)
        return base_fail(err, BASE_NO_MEMORY, "%s", reason.text);
    base_status status = *bad ? data_image_reserve(out, tile, tile, 3, err)
                              : data_image_convert(&r->image, 3, err);
    if (status == BASE_OK && *bad)
        memset(out->pixels, BAD_GREY, tile * tile * 3);
    else if (status == BASE_OK)
        status = show_image_fit(out, &r->image, tile, PAPER, &r->scratch, err);
    return status;
}

base_status app_survey_tiles(const app_survey *survey, app_tile_visit *visit, void *user,
                             base_error *err)
{
    const data_args *args = survey->args;
    data_image picture = {0};
    data_reader r = {0};
    uint32_t *samples = NULL;
    size_t count = 0;
    base_status status =
        data_source_subset(&samples, &count, survey->source, (size_t)args->tiles,
                           (uint64_t)args->common.seed, err);

    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        bool bad = false;

        status = tile_make(&picture, &r, survey, samples[i], &bad, err);
        if (status == BASE_OK)
            status = visit(user, samples[i], &picture, bad, survey, err);
    }
    data_reader_close(&r);
    data_image_destroy(&picture);
    base_free(samples);
    return status;
}

/* The label is cut to the tile. */
static void label_draw(data_image *sheet, const char *label, size_t left, size_t top,
                       size_t tile)
{
    char text[128];

    snprintf(text, sizeof text, "%.*s", (int)(tile / SHOW_LABEL_WIDE), label);
    show_label_draw(sheet, text, left, top, 1, INK);
}

/* ---- the sheet ----------------------------------------------------------------------- */

typedef struct grid {
    data_image image;
    size_t tile, columns, placed;
} grid;

static base_status grid_put(void *user, size_t sample, const data_image *tile, bool bad,
                            const app_survey *survey, base_error *err)
{
    grid *g = user;
    const size_t left = MARGIN + g->placed % g->columns * (g->tile + GAP);
    const size_t top = MARGIN + g->placed / g->columns * (g->tile + SHOW_LABEL_HIGH + GAP);
    char label[160];

    (void)err;
    show_image_put(&g->image, tile, left, top);
    label_draw(&g->image, app_survey_label(label, sizeof label, survey, sample), left,
               top + g->tile + 1, g->tile);
    if (bad)
        label_draw(&g->image, "bad", left + 2, top + 2, g->tile);
    g->placed++;
    return BASE_OK;
}

base_status app_survey_sheet(const app_survey *survey, const char *path, base_error *err)
{
    const size_t all = data_source_count(survey->source);
    const size_t wanted = (size_t)survey->args->tiles, count = wanted < all ? wanted : all;
    grid g = {.tile = (size_t)survey->args->tile, .columns = 1};

    while (3 * g.columns * g.columns < 4 * count) /* a little wider than high */
        g.columns++;
    const size_t rows = (count + g.columns - 1) / g.columns;
    const size_t width = 2 * MARGIN + g.columns * (g.tile + GAP) - GAP;
    const size_t height = 2 * MARGIN + rows * (g.tile + SHOW_LABEL_HIGH + GAP);
    if (width > SIDE_MOST || height > SIDE_MOST)
        return base_fail(err, BASE_USAGE, "a sheet of %zu x %zu pixels is too large", width,
                         height);
    base_status status = data_image_reserve(&g.image, width, height, 3, err);
    if (status == BASE_OK) {
        memset(g.image.pixels, PAPER, width * height * 3);
        status = app_survey_tiles(survey, grid_put, &g, err);
    }
    if (status == BASE_OK)
        status = data_png_write(path, &g.image, err);
    data_image_destroy(&g.image);
    return status;
}
