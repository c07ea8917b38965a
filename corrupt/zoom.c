/* zoom.c - the clipped zoom: cut out the middle, enlarge it linearly from corner to corner
 * (scipy's zoom of order 1), trim to the size. Hendrycks and Dietterich 2019, clipped_zoom;
 * each axis on its own, so that any shape works. */
#include "corrupt/corrupt_internal.h"

#include <math.h>

base_status corrupt_zoom_axis_make(corrupt_zoom_axis *out, corrupt_job *job, size_t extent,
                                   double zoom, base_error *err)
{
    uint32_t *at = corrupt_scratch(job, extent, sizeof *at, err);
    float *part = corrupt_scratch(job, extent, sizeof *part, err);
    if (!at || !part)
        return BASE_NO_MEMORY;
    const double cut = ceil((double)extent / zoom);
    const double top = floor(((double)extent - cut) / 2.0);
    const double enlarged = rint(cut * zoom); /* >= extent; halves to even */
    const double trim = floor((enlarged - (double)extent) / 2.0);
    const double step = enlarged > 1.0 ? (cut - 1.0) / (enlarged - 1.0) : 0.0;

    for (size_t k = 0; k < extent; k++) {
        const double position = ((double)k + trim) * step;
        double whole = floor(position), rest = position - whole;
        if (whole >= cut - 1.0) { /* the last sample has no right neighbour */
            whole = cut - 1.0;
            rest = 0.0;
        }
        at[k] = (uint32_t)(top + whole);
        part[k] = (float)rest;
    }
    *out = (corrupt_zoom_axis){at, part};
    return BASE_OK;
}

base_status corrupt_zoom_plane(corrupt_job *job, float *out, const float *in, size_t height,
                               size_t width, double zoom, base_error *err)
{
    const size_t mark = corrupt_scratch_mark(job);
    corrupt_zoom_axis rows, columns;
    base_status status = corrupt_zoom_axis_make(&rows, job, height, zoom, err);
    if (status == BASE_OK)
        status = corrupt_zoom_axis_make(&columns, job, width, zoom, err);
    float *line = corrupt_scratch(job, width + 1, sizeof *line, err);
    if (status != BASE_OK || !line)
        return BASE_NO_MEMORY;

    const size_t first = columns.at[0], last = columns.at[width - 1];
    for (size_t y = 0; y < height; y++) {
        const float *a = in + rows.at[y] * width;
        const float part = rows.part[y];
        const float *b = part > 0.0f ? a + width : a;
        for (size_t x = first; x <= last + 1 && x < width; x++)
            line[x] = a[x] + part * (b[x] - a[x]);
        line[width] = 0.0f; /* right of the last sample, with weight 0 */
        float *to = out + y * width;
        for (size_t x = 0; x < width; x++) {
            const float *from = line + columns.at[x];
            to[x] = from[0] + columns.part[x] * (from[1] - from[0]);
        }
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}
