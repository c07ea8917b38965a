/* zoom_blur.c - the mean of an image and its clipped zooms. Hendrycks and Dietterich 2019,
 * in f32 as there; the first zoom has the factor 1, so that the image counts twice. */
#include "corrupt/corrupt_internal.h"

#include <string.h>

/* The zooms of one output row are summed in a row of four floats a pixel, so that a pixel
 * is one short vector; the fourth is not used. */
enum { ZOOMS_MAX = 32, PIXEL = 4 };

static void add_row(float *restrict sum, const float *line,
                    const corrupt_zoom_axis *columns, size_t width)
{
    for (size_t x = 0; x < width; x++) {
        const float *from = line + (size_t)columns->at[x] * 3;
        corrupt_f32x4 left, right, all;
        memcpy(&left, from, sizeof left);
        memcpy(&right, from + 3, sizeof right);
        memcpy(&all, sum + x * PIXEL, sizeof all);
        all += left + columns->part[x] * (right - left);
        memcpy(sum + x * PIXEL, &all, sizeof all);
    }
}

/* line [width, 3] between two rows of the image. */
static void blend_rows(float *restrict line, const float *a, const float *b, float part,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        line[i] = a[i] + part * (b[i] - a[i]);
}

static base_status apply(corrupt_job *job, base_error *err)
{
    const size_t height = job->height, width = job->width, line_count = width * 3;
    const double first = job->params[0], step = job->params[1];
    const int zooms = (int)job->params[2];
    corrupt_zoom_axis rows[ZOOMS_MAX], columns[ZOOMS_MAX];
    float levels[256];

    /* The script's factors are numpy.arange's, which adds (first + step) - first. */
    const double increment = first + step - first;
    for (int i = 1; i < zooms; i++) {
        const double zoom = first + i * increment;
        if (corrupt_zoom_axis_make(&rows[i], job, height, zoom, err) != BASE_OK ||
            corrupt_zoom_axis_make(&columns[i], job, width, zoom, err) != BASE_OK)
            return BASE_NO_MEMORY;
    }
    float *sum = corrupt_scratch(job, width * PIXEL, sizeof *sum, err);
    /* One pixel and one float more: what lies right of the last pixel has weight 0, the
     * fourth float none. */
    float *line = corrupt_scratch(job, line_count + PIXEL, sizeof *line, err);
    float *image = corrupt_scratch(job, height * line_count, sizeof *image, err);
    if (!sum || !line || !image)
        return BASE_NO_MEMORY;
    memset(line + line_count, 0, PIXEL * sizeof *line);
    for (int v = 0; v < 256; v++)
        levels[v] = (float)(v / 255.0);
    for (size_t i = 0; i < height * line_count; i++)
        image[i] = levels[job->in[i]];

    for (size_t y = 0; y < height; y++) {
        const float *here = image + y * line_count;
        for (size_t x = 0; x < width; x++) {
            for (size_t c = 0; c < 3; c++)
                sum[x * PIXEL + c] = here[x * 3 + c];
            sum[x * PIXEL + 3] = 0.0f;
        }
        for (int i = 1; i < zooms; i++) {
            const float *a = image + rows[i].at[y] * line_count;
            const float part = rows[i].part[y];
            const float *b = part > 0.0f ? a + line_count : a;
            blend_rows(line, a, b, part, line_count);
            add_row(sum, line, &columns[i], width);
        }
        const float count = (float)(zooms + 1);
        unsigned char *out = job->out + y * line_count;
        for (size_t x = 0; x < width; x++) {
            for (size_t c = 0; c < 3; c++)
                out[x * 3 + c] =
                    corrupt_byte_f32((here[x * 3 + c] + sum[x * PIXEL + c]) / count);
        }
    }
    return BASE_OK;
}

const corrupt_entry corrupt_zoom_blur = {
    .name = "zoom_blur",
    .summary = "the camera moves towards the scene",
    .group = CORRUPT_GROUP_BLUR,
    .params = {[CORRUPT_PRESET_224] = {{{1, .01, 12}},
                                       {{1, .01, 16}},
                                       {{1, .02, 11}},
                                       {{1, .02, 13}},
                                       {{1, .03, 11}}},
               [CORRUPT_PRESET_299] = {{{1, .01, 12}},
                                       {{1, .01, 16}},
                                       {{1, .02, 11}},
                                       {{1, .02, 13}},
                                       {{1, .03, 11}}},
               [CORRUPT_PRESET_64] = {{{1, .01, 7}},
                                      {{1, .01, 12}},
                                      {{1, .01, 16}},
                                      {{1, .01, 21}},
                                      {{1, .01, 26}}},
               [CORRUPT_PRESET_32] = {{{1, .01, 7}},
                                      {{1, .01, 12}},
                                      {{1, .01, 16}},
                                      {{1, .01, 21}},
                                      {{1, .01, 26}}}},
    .alexnet = {.70008, .76992, .80784, .84198, .87198},
    .apply = apply,
};
