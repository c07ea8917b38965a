/* sheet.c - the contact sheet of a data set: pictures drawn by the seed, with their labels,
 * in order of their numbers (class by class). Free to change: all of it. */
#include "apps/corrupt/internal.h"
#include "apps/data/internal.h"

#include <ctype.h>
#include <string.h>

enum { GAP = 6, MARGIN = 10, INK = 40, PAPER = 255, BAD_GREY = 208, SIDE_MOST = 60000 };

base_status app_survey_choice(uint32_t **out, size_t *count, const app_survey *survey,
                              base_error *err)
{
    const data_args *args = survey->args;

    return data_source_subset(out, count, survey->source, (size_t)args->tiles,
                              (uint64_t)args->common.seed, err);
}

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

/* image at its proportions in the middle of a square of paper. */
static base_status fit(data_image *out, const data_image *image, size_t tile,
                       data_scratch *scratch, base_error *err)
{
    const size_t longer = image->width > image->height ? image->width : image->height;
    size_t width = image->width * tile / longer, height = image->height * tile / longer;
    data_image small = {0};

    width = width > 0 ? width : 1;
    height = height > 0 ? height : 1;
    base_status status = data_resize(&small, image, NULL, width, height, NULL,
                                     DATA_FILTER_BICUBIC, scratch, err);
    const size_t left = (tile - width) / 2, top = (tile - height) / 2;
    for (size_t y = 0; y < height && status == BASE_OK; y++)
        memcpy(out->pixels + ((top + y) * tile + left) * 3, small.pixels + y * width * 3,
               width * 3);
    data_image_destroy(&small);
    return status;
}

base_status app_survey_tile(data_image *out, const app_survey *survey, size_t sample,
                            data_decoder *decoder, unsigned char **buffer,
                            size_t *buffer_bytes, data_scratch *scratch, bool *bad,
                            base_error *err)
{
    const size_t tile = (size_t)survey->args->tile;
    data_image image = {0};
    data_health health = DATA_HEALTH_BAD;
    base_error reason = {0};
    base_status status = data_image_reserve(out, tile, tile, 3, err);

    if (status != BASE_OK)
        return status;
    memset(out->pixels, PAPER, tile * tile * 3);
    *bad = data_source_image(survey->source, sample, &image, &health, decoder, buffer,
                             buffer_bytes, &reason) != BASE_OK;
    if (reason.status == BASE_NO_MEMORY)
        status = base_fail(err, BASE_NO_MEMORY, "%s", reason.text);
    else if (*bad)
        memset(out->pixels, BAD_GREY, tile * tile * 3);
    else
        status = data_image_convert(&image, 3, err);
    if (status == BASE_OK && !*bad)
        status = fit(out, &image, tile, scratch, err);
    data_image_destroy(&image);
    return status;
}

/* The font has small letters; the label is cut to the tile. */
static void label_draw(data_image *sheet, const char *label, size_t left, size_t top,
                       size_t tile)
{
    char text[128];
    size_t n = 0;

    for (; label[n] && n + 1 < sizeof text && (n + 1) * APP_LABEL_WIDE <= tile; n++)
        text[n] = (char)tolower((unsigned char)label[n]);
    text[n] = '\0';
    app_label_draw(sheet, text, left, top, 1, INK);
}

/* Columns of a grid that is a little wider than high. */
static size_t columns_for(size_t count)
{
    size_t columns = 1;

    while (3 * columns * columns < 4 * count)
        columns++;
    return columns;
}

base_status app_survey_sheet(const app_survey *survey, const char *path, base_error *err)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    const size_t tile = (size_t)survey->args->tile, down = tile + APP_LABEL_HIGH + GAP;
    data_image sheet = {0}, picture = {0};
    data_decoder *decoder = NULL;
    data_scratch scratch = {0};
    unsigned char *buffer = NULL;
    size_t buffer_bytes = 0, count = 0;
    uint32_t *samples = NULL;
    char label[160];
    base_status status = app_survey_choice(&samples, &count, survey, err);

    if (status != BASE_OK)
        return status;
    const size_t columns = columns_for(count), rows = (count + columns - 1) / columns;
    const size_t width = 2 * MARGIN + columns * (tile + GAP) - GAP;
    const size_t height = 2 * MARGIN + rows * down;
    if (width > SIDE_MOST || height > SIDE_MOST)
        status = base_fail(err, BASE_USAGE, "a sheet of %zu x %zu pixels is too large",
                           width, height);
    if (status == BASE_OK)
        status = data_image_reserve(&sheet, width, height, 3, err);
    if (status == BASE_OK)
        status = data_decoder_create(&decoder, &limits, err);
    if (status == BASE_OK)
        memset(sheet.pixels, PAPER, width * height * 3);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        const size_t left = MARGIN + i % columns * (tile + GAP);
        const size_t top = MARGIN + i / columns * down;
        bool bad = false;

        status = app_survey_tile(&picture, survey, samples[i], decoder, &buffer,
                                 &buffer_bytes, &scratch, &bad, err);
        for (size_t y = 0; y < tile && status == BASE_OK; y++)
            memcpy(sheet.pixels + ((top + y) * width + left) * 3,
                   picture.pixels + y * tile * 3, tile * 3);
        label_draw(&sheet, app_survey_label(label, sizeof label, survey, samples[i]), left,
                   top + tile + 1, tile);
        if (bad)
            label_draw(&sheet, "bad", left + 2, top + 2, tile);
    }
    if (status == BASE_OK)
        status = data_png_write(path, &sheet, err);
    data_decoder_destroy(decoder);
    data_scratch_destroy(&scratch);
    data_image_destroy(&sheet);
    data_image_destroy(&picture);
    base_free(buffer);
    base_free(samples);
    return status;
}
