/* png_write.c - writing PNG, for pictures of predictions and for trees of corrupted images.
 * Follows the PNG specification through libpng, default compression. Free to change: the
 * compression. Relied on elsewhere: a file appears whole or not at all. */
#include "data/data.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

typedef struct png_sink {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    const data_image *image;
    unsigned char *at; /* grows by doubling */
    size_t bytes, capacity;
    char text[200];
} png_sink;

enum { FIRST_CAPACITY = 1 << 14, MAX_SIDE = 0x7fffffff };

_Noreturn static void on_error(png_structp png, png_const_charp text)
{
    png_sink *sink = png_get_error_ptr(png);

    snprintf(sink->text, sizeof sink->text, "%s", text);
    longjmp(sink->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* The sink owns the old block or the new one, never a local variable: png_error jumps. */
static void on_write(png_structp png, png_bytep from, size_t count)
{
    png_sink *sink = png_get_io_ptr(png);
    size_t needed;

    if (!base_add_size(&needed, sink->bytes, count))
        png_error(png, "out of memory");
    if (needed > sink->capacity) {
        size_t capacity = sink->capacity == 0 ? FIRST_CAPACITY : sink->capacity;
        while (capacity < needed && base_mul_size(&capacity, capacity, 2))
            ;
        unsigned char *grown = capacity < needed ? NULL : base_alloc(capacity, 1);
        if (!grown)
            png_error(png, "out of memory");
        if (sink->bytes > 0)
            memcpy(grown, sink->at, sink->bytes);
        base_free(sink->at);
        sink->at = grown;
        sink->capacity = capacity;
    }
    memcpy(sink->at + sink->bytes, from, count);
    sink->bytes = needed;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void write_all(png_sink *sink)
{
    const data_image *image = sink->image;

    sink->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, sink, on_error, on_warning);
    if (!sink->png)
        return;
    sink->info = png_create_info_struct(sink->png);
    if (!sink->info)
        return;
    png_set_write_fn(sink->png, sink, on_write, on_flush);
    png_set_IHDR(sink->png, sink->info, (png_uint_32)image->width,
                 (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(sink->png, sink->info);
    for (size_t y = 0; y < image->height; y++)
        png_write_row(sink->png, image->pixels + y * image->width * image->channels);
    png_write_end(sink->png, NULL);
}

/* False when libpng gave up: sink->text says why. */
static bool guarded_write(png_sink *sink)
{
    if (setjmp(sink->jump) != 0)
        return false;
    write_all(sink);
    return sink->info != NULL;
}

base_status data_png_encode(unsigned char **out, size_t *bytes, const data_image *image,
                            base_error *err)
{
    png_sink sink = {.image = image, .text = "out of memory"};
    base_status status = BASE_OK;

    assert(image->channels == 1 || image->channels == 3);
    if (image->width == 0 || image->height == 0 || image->width > MAX_SIDE ||
        image->height > MAX_SIDE)
        return base_fail(err, BASE_USAGE, "a PNG of %zu x %zu, expected 1 to %d a side",
                         image->width, image->height, MAX_SIDE);
    if (guarded_write(&sink)) {
        *out = sink.at;
        *bytes = sink.bytes;
    } else {
        status = base_fail(err, BASE_NO_MEMORY, "cannot make a PNG of %zu x %zu: %s",
                           image->width, image->height, sink.text);
        base_free(sink.at);
    }
    png_destroy_write_struct(&sink.png, &sink.info);
    return status;
}

base_status data_png_write(const char *path, const data_image *image, base_error *err)
{
    unsigned char *bytes = NULL;
    size_t count = 0;
    base_writer writer;
    base_status status = data_png_encode(&bytes, &count, image, err);

    if (status != BASE_OK) {
        base_error_prepend(err, "'%s': ", path);
        return status;
    }
    status = base_writer_open(&writer, path, err);
    if (status == BASE_OK) {
        /* A short write is kept by the stream; commit finds and reports it. */
        fwrite(bytes, 1, count, writer.file);
        status = base_writer_commit(&writer, err);
    }
    base_free(bytes);
    return status;
}
