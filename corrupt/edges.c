/* edges.c - the image operations of spatter's water: edges, distance to them,
 * equalisation, relief. Follows OpenCV 4.6 (canny.cpp, distransf.cpp, histogram.cpp) in
 * its integer arithmetic: equal bytes. Canny 1986, "A computational approach to edge
 * detection"; Borgefors 1986, "Distance transformations in digital images". Free to
 * change: how rows are kept. */
#include "corrupt/parts_internal.h"

#include <math.h>
#include <string.h>

enum { PLAIN, CANDIDATE, EDGE };

/* Reflect-101: c b | a b c d | c b. at is -1 .. extent. */
static inline size_t mirror(ptrdiff_t at, size_t extent)
{
    if (extent == 1)
        return 0;
    if (at < 0)
        return 1;
    return (size_t)at < extent ? (size_t)at : extent - 2;
}

/* ---- edges --------------------------------------------------------------------------- */

/* Three rows and columns l, x, r of them. */
static inline void sobel_at(int16_t *gx, int16_t *gy, const unsigned char *above,
                            const unsigned char *row, const unsigned char *below, size_t l,
                            size_t x, size_t r)
{
    gx[x] = (int16_t)(above[r] - above[l] + 2 * (row[r] - row[l]) + below[r] - below[l]);
    gy[x] =
        (int16_t)(below[l] + 2 * below[x] + below[r] - above[l] - 2 * above[x] - above[r]);
}

/* Sobel 3 x 3, rows and columns clamped, and |gx| + |gy|. */
static void sobel_row(int16_t *gx, int16_t *gy, int16_t *size, const unsigned char *above,
                      const unsigned char *row, const unsigned char *below, size_t width)
{
    const size_t last = width - 1;

    for (size_t x = 1; x < last; x++)
        sobel_at(gx, gy, above, row, below, x - 1, x, x + 1);
    sobel_at(gx, gy, above, row, below, 0, 0, last > 0 ? 1 : 0);
    sobel_at(gx, gy, above, row, below, last > 0 ? last - 1 : 0, last, last);
    for (size_t x = 0; x < width; x++)
        size[x] = (int16_t)((gx[x] < 0 ? -gx[x] : gx[x]) + (gy[x] < 0 ? -gy[x] : gy[x]));
}

/* Whether the gradient (gx, gy) of size *m is the largest across the edge; step: cells
 * of a row of m. */
static bool is_ridge(const int16_t *m, ptrdiff_t step, int gx, int gy)
{
    const int64_t ax = gx < 0 ? -gx : gx, ay = (int64_t)(gy < 0 ? -gy : gy) << 15;
    const int64_t flat = ax * 13573; /* tan 22.5 degrees in 15 bits */
    const int64_t steep = flat + (ax << 16);

    if (ay < flat)
        return m[0] > m[-1] && m[0] >= m[1];
    if (ay > steep)
        return m[0] > m[-step] && m[0] >= m[step];
    const ptrdiff_t side = (gx ^ gy) < 0 ? -1 : 1;
    return m[0] > m[-step - side] && m[0] > m[step + side];
}

base_status corrupt_canny(corrupt_job *job, unsigned char *edges,
                          const unsigned char *bytes, size_t height, size_t width, int low,
                          int high, base_error *err)
{
    const size_t mark = corrupt_scratch_mark(job);
    const size_t count = height * width, step = width + 2;
    int16_t *gx = corrupt_scratch(job, count, sizeof *gx, err);
    int16_t *gy = corrupt_scratch(job, count, sizeof *gy, err);
    int16_t *size = corrupt_scratch(job, (height + 2) * step, sizeof *size, err);
    unsigned char *map = corrupt_scratch(job, (height + 2) * step, 1, err);
    uint32_t *stack = corrupt_scratch(job, count, sizeof *stack, err);
    size_t top = 0;

    if (!gx || !gy || !size || !map || !stack)
        return BASE_NO_MEMORY;
    memset(size, 0, step * sizeof *size);
    memset(size + (height + 1) * step, 0, step * sizeof *size);
    for (size_t y = 0; y < height; y++) {
        int16_t *at = size + (y + 1) * step;
        at[0] = at[step - 1] = 0;
        sobel_row(gx + y * width, gy + y * width, at + 1,
                  bytes + (y > 0 ? y - 1 : 0) * width, bytes + y * width,
                  bytes + (y + 1 < height ? y + 1 : y) * width, width);
    }
    memset(map, PLAIN, (height + 2) * step);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) {
            const size_t at = (y + 1) * step + x + 1;
            if (size[at] <= low ||
                !is_ridge(size + at, (ptrdiff_t)step, gx[y * width + x], gy[y * width + x]))
                continue;
            map[at] = CANDIDATE;
            if (size[at] > high) {
                map[at] = EDGE;
                stack[top++] = (uint32_t)at;
            }
        }
    }
    while (top > 0) { /* candidates that touch an edge are edges: each is pushed once */
        const size_t at = stack[--top];
        for (int dy = -1; dy <= 1; dy++) {
            for (int dx = -1; dx <= 1; dx++) {
                const size_t near = at + (size_t)(dy * (ptrdiff_t)step + dx);
                if (map[near] == CANDIDATE) {
                    map[near] = EDGE;
                    stack[top++] = (uint32_t)near;
                }
            }
        }
    }
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            edges[y * width + x] = map[(y + 1) * step + x + 1] == EDGE;
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}

/* ---- distance ------------------------------------------------------------------------ */

/* In 1/65536 pixel, as OpenCV rounds its floats. */
enum { STRAIGHT = 65536, DIAGONAL = 91750, KNIGHT = 143976, FAR_AWAY = 1 << 30 };

static inline int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* The rows one and two away, without the neighbour in the same row. Rows are padded by
 * two cells. */
static void chamfer_row(int32_t *to, const int32_t *one, const int32_t *two, size_t width)
{
    for (size_t x = 0; x < width; x++) {
        const int32_t knight =
            least(least(two[x - 1], two[x + 1]), least(one[x - 2], one[x + 2])) + KNIGHT;
        const int32_t diagonal = least(one[x - 1], one[x + 1]) + DIAGONAL;
        const int32_t straight = one[x] + STRAIGHT;
        to[x] = least(to[x], least(knight, least(diagonal, straight)));
    }
}

base_status corrupt_chamfer(corrupt_job *job, int32_t *distance, const unsigned char *edges,
                            size_t height, size_t width, base_error *err)
{
    const size_t mark = corrupt_scratch_mark(job);
    const size_t step = width + 4;
    int32_t *cells = corrupt_scratch(job, (height + 4) * step, sizeof *cells, err);

    if (!cells)
        return BASE_NO_MEMORY;
    for (size_t i = 0; i < (height + 4) * step; i++)
        cells[i] = FAR_AWAY;
    for (size_t y = 0; y < height; y++) {
        int32_t *row = cells + (y + 2) * step + 2;
        for (size_t x = 0; x < width; x++)
            row[x] = edges[y * width + x] ? 0 : FAR_AWAY;
        chamfer_row(row, row - step, row - 2 * step, width);
        for (size_t x = 0; x < width; x++)
            row[x] = least(row[x], row[x - 1] + STRAIGHT);
    }
    for (size_t y = height; y-- > 0;) {
        int32_t *row = cells + (y + 2) * step + 2;
        chamfer_row(row, row + step, row + 2 * step, width);
        for (size_t x = width; x-- > 0;)
            row[x] = least(row[x], row[x + 1] + STRAIGHT);
        memcpy(distance + y * width, row, width * sizeof *row);
    }
    corrupt_scratch_rewind(job, mark);
    return BASE_OK;
}

/* ---- levels and relief --------------------------------------------------------------- */

void corrupt_equalise(unsigned char *bytes, size_t count)
{
    size_t histogram[256] = {0}, sum = 0;
    unsigned char to[256] = {0};
    int level = 0;

    for (size_t i = 0; i < count; i++)
        histogram[bytes[i]]++;
    while (level < 255 && histogram[level] == 0)
        level++;
    const size_t first = histogram[level];
    if (first == count)
        return;
    const float scale = 255.0f / (float)(count - first);
    for (level++; level < 256; level++) {
        sum += histogram[level];
        to[level] = (unsigned char)rintf((float)sum * scale); /* halves to even */
    }
    for (size_t i = 0; i < count; i++)
        bytes[i] = to[bytes[i]];
}

static inline unsigned char cut(int v)
{
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* What becomes of sample x from the rows around it; l and r are its neighbours' columns. */
typedef unsigned char (*around)(const unsigned char *above, const unsigned char *row,
                                const unsigned char *below, size_t l, size_t x, size_t r);

/* Each sample by its neighbours, reflect-101. Inlined, so that `of` is, too. */
static inline void each_3x3(unsigned char *out, const unsigned char *in, size_t height,
                            size_t width, around of)
{
    for (size_t y = 0; y < height; y++) {
        const unsigned char *row = in + y * width;
        const unsigned char *above = in + mirror((ptrdiff_t)y - 1, height) * width;
        const unsigned char *below = in + mirror((ptrdiff_t)y + 1, height) * width;
        unsigned char *to = out + y * width;
        for (size_t x = 1; x + 1 < width; x++)
            to[x] = of(above, row, below, x - 1, x, x + 1);
        to[0] = of(above, row, below, mirror(-1, width), 0, mirror(1, width));
        to[width - 1] = of(above, row, below, mirror((ptrdiff_t)width - 2, width),
                           width - 1, mirror((ptrdiff_t)width, width));
    }
}

static inline unsigned char relief_of(const unsigned char *above, const unsigned char *row,
                                      const unsigned char *below, size_t l, size_t x,
                                      size_t r)
{
    return cut(-2 * above[l] - above[x] - row[l] + row[x] + row[r] + below[x] +
               2 * below[r]);
}

void corrupt_relief(unsigned char *out, const unsigned char *in, size_t height,
                    size_t width)
{
    each_3x3(out, in, height, width, relief_of);
}

static inline unsigned char mean_of(const unsigned char *above, const unsigned char *row,
                                    const unsigned char *below, size_t l, size_t x,
                                    size_t r)
{
    const unsigned sum = 0u + above[l] + above[x] + above[r] + row[l] + row[x] + row[r] +
                         below[l] + below[x] + below[r];

    return (unsigned char)((2 * sum + 9) / 18);
}

void corrupt_mean_3x3(unsigned char *out, const unsigned char *in, size_t height,
                      size_t width)
{
    each_3x3(out, in, height, width, mean_of);
}
