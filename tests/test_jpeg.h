/* test_jpeg.h - JPEGs of every kind, made by libjpeg from a synthetic picture. */
#ifndef TESTS_TEST_JPEG_H
#define TESTS_TEST_JPEG_H

#include <stdio.h>
#include <stdlib.h>

#include <check.h>
#include <jpeglib.h>

typedef struct jpeg_kind {
    const char *name;
    int parts;        /* 1, 3, 4 components */
    int across, down; /* luma samples to one of chroma */
    bool progressive, optimised;
    int restart; /* interval in MCUs */
    bool rgb;    /* stored without a change of colours */
    bool scans;  /* one scan a component */
} jpeg_kind;

static const jpeg_kind jpeg_kinds[] = {
    {"4:4:4", 3, 1, 1, false, false, 0, false, false},
    {"4:2:0", 3, 2, 2, false, false, 0, false, false},
    {"4:2:2", 3, 2, 1, false, true, 0, false, false},
    {"4:4:0", 3, 1, 2, false, false, 0, false, false},
    {"grey", 1, 1, 1, false, true, 0, false, false},
    {"4:2:0 restart", 3, 2, 2, false, true, 5, false, false},
    {"4:4:4 restart", 3, 1, 1, false, false, 1, false, false},
    {"progressive", 3, 2, 2, true, false, 0, false, false},
    {"progressive grey", 1, 1, 1, true, false, 0, false, false},
    {"rgb", 3, 1, 1, false, false, 0, true, false},
    {"cmyk", 4, 1, 1, false, false, 0, false, false},
    {"scans", 3, 2, 2, false, false, 0, false, true},
};
enum { JPEG_KINDS = sizeof jpeg_kinds / sizeof *jpeg_kinds };

static bool jpeg_smooth; /* the picture is ramps alone */

/* Ramps, edges and noise in every channel. */
static inline unsigned char jpeg_value(size_t x, size_t y, size_t c)
{
    if (jpeg_smooth)
        return (unsigned char)((x / (2 + c) + y / 3) & 255);
    uint32_t h = (uint32_t)(x * 2654435761u + y * 2246822519u + c * 3266489917u);

    h = (h ^ h >> 15) * 2246822519u;
    return (unsigned char)((x * (3 + c) + y * 2 + (x / 9 + y / 7) % 2 * 90 + (h >> 26)) &
                           255);
}

/* *out: free(). */
static inline size_t jpeg_make(unsigned char **out, const jpeg_kind *kind, size_t width,
                               size_t height, int quality)
{
    static const jpeg_scan_info apart[] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned long bytes = 0;
    unsigned char *row = malloc(width * 4);

    *out = NULL;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, out, &bytes);
    info.image_width = (JDIMENSION)width;
    info.image_height = (JDIMENSION)height;
    info.input_components = kind->parts;
    info.in_color_space = kind->parts == 1   ? JCS_GRAYSCALE
                          : kind->parts == 3 ? JCS_RGB
                                             : JCS_CMYK;
    jpeg_set_defaults(&info);
    if (kind->rgb)
        jpeg_set_colorspace(&info, JCS_RGB);
    jpeg_set_quality(&info, quality, TRUE);
    info.comp_info[0].h_samp_factor = kind->across;
    info.comp_info[0].v_samp_factor = kind->down;
    info.optimize_coding = kind->optimised;
    info.restart_interval = (unsigned)kind->restart;
    if (kind->progressive)
        jpeg_simple_progression(&info);
    if (kind->scans) {
        info.scan_info = apart;
        info.num_scans = 3;
    }
    jpeg_start_compress(&info, TRUE);
    for (size_t y = 0; y < height; y++) {
        for (size_t i = 0; i < width * (size_t)kind->parts; i++)
            row[i] = jpeg_value(i / (size_t)kind->parts, y, i % (size_t)kind->parts);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    return bytes;
}

#endif
