/* png.c - the border to libpng for reading: its errors, warnings and jumps end here.
 * Follows data.md 5: everything becomes 8-bit RGB, the high byte of 16, alpha and tRNS
 * dropped without compositing, gamma and profiles ignored. Free to change: the order of
 * transformations. Relied on elsewhere: the reasons.
 *
 * As in jpeg.c, one setjmp, and what longjmp leaves behind owns nothing. */
#include "data/decode/decode_internal.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

enum {
    SIGN_BYTES = 8,
    SIZE_AT = 16, /* width and height: after sign, length and "IHDR" */
    HEADER_BYTES = 33,
    MAX_CHUNK_BYTES = 8 << 20,
    MAX_CACHED_CHUNKS = 128,
    RGB = 3
};

typedef struct png_state {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    const unsigned char *bytes;
    size_t size, at;
    bool truncated;
    char text[200];
    data_image *out;
    unsigned char *pixels; /* of out */
    int passes;
} png_state;

/* ---- what libpng calls --------------------------------------------------------------- */

_Noreturn static void on_error(png_structp png, png_const_charp text)
{
    png_state *state = png_get_error_ptr(png);

    snprintf(state->text, sizeof state->text, "%s", text);
    longjmp(state->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t count)
{
    png_state *state = png_get_io_ptr(png);

    if (count > state->size - state->at) {
        state->truncated = true;
        png_error(png, "truncated");
    }
    memcpy(to, state->bytes + state->at, count);
    state->at += count;
}

/* ---- steps, each under the one setjmp ------------------------------------------------ */

static bool guarded(png_state *state, void (*step)(png_state *state))
{
    if (setjmp(state->jump) != 0)
        return false;
    step(state);
    return true;
}

static void step_create(png_state *state)
{
    state->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
    if (state->png)
        state->info = png_create_info_struct(state->png);
}

static void step_header(png_state *state)
{
    png_structp png = state->png;

    png_set_read_fn(png, state, on_read);
    png_set_user_limits(png, DECODE_MAX_SIDE, DECODE_MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK_BYTES);
    png_set_chunk_cache_max(png, MAX_CACHED_CHUNKS);
    /* Unread: text, profiles, gamma and all else that does not change the pixels. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, state->info);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    state->passes = png_set_interlace_handling(png);
    png_read_update_info(png, state->info);
}

/* Interlaced pictures need the whole image: each pass fills in some of its pixels. */
static void step_rows(png_state *state)
{
    const size_t step = state->out->width * RGB;

    for (int pass = 0; pass < state->passes; pass++) {
        for (size_t y = 0; y < state->out->height; y++)
            png_read_row(state->png, state->pixels + y * step, NULL);
    }
    png_read_end(state->png, NULL); /* the checksum of the pixels lies here */
}

/* ---- one image ----------------------------------------------------------------------- */

static base_status refuse(const png_state *state, base_error *err)
{
    if (state->truncated)
        return base_fail(err, BASE_FORMAT, "truncated");
    if (strstr(state->text, "emory"))
        return base_fail(err, BASE_NO_MEMORY, "no memory: %s", state->text);
    return base_fail(err, BASE_FORMAT, "corrupt: %s", state->text);
}

static size_t big_endian(const unsigned char *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

base_status data_decode_png_image(data_image *out, const unsigned char *bytes, size_t size,
                                  const data_decode_limits *limits, base_error *err)
{
    png_state state = {.bytes = bytes, .size = size, .out = out};
    base_status status = BASE_OK;

    if (size < HEADER_BYTES)
        return base_fail(err, BASE_FORMAT, "truncated");
    if (memcmp(bytes + SIGN_BYTES + 4, "IHDR", 4) ==
        0) { /* else libpng says what is wrong */
        status = data_decode_check_size(big_endian(bytes + SIZE_AT),
                                        big_endian(bytes + SIZE_AT + 4), limits, err);
        if (status != BASE_OK)
            return status;
    }
    if (!guarded(&state, step_create) || !state.info) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a PNG decoder");
        goto done;
    }
    if (!guarded(&state, step_header)) {
        status = refuse(&state, err);
        goto done;
    }
    const size_t width = png_get_image_width(state.png, state.info);
    const size_t height = png_get_image_height(state.png, state.info);
    if (png_get_rowbytes(state.png, state.info) != width * RGB) {
        status = base_fail(err, BASE_INTERNAL, "libpng gave rows that are not 8-bit RGB");
        goto done;
    }
    status = data_image_reserve(out, width, height, RGB, err);
    if (status != BASE_OK)
        goto done;
    state.pixels = out->pixels;
    if (!guarded(&state, step_rows))
        status = refuse(&state, err);
done:
    png_destroy_read_struct(&state.png, &state.info, NULL);
    return status;
}
