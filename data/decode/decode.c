/* decode.c - from the bytes of a file to 8-bit RGB: the kind is told by the first bytes,
 * never by the name (data.md 5). The reasons are those of data.md 10: scripts read them, so
 * they stay. Free to change: which kinds are named in "unsupported format". */
#include "data/decode/decode_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef enum decode_kind { KIND_NONE, KIND_QUICK, KIND_JPEG, KIND_PNG } decode_kind;

struct data_decoder {
    data_decode_limits limits;
    decode_jpeg *jpeg;
    decode_quick *quick;
    const data_kernels *kernels;
    bool libjpeg_only;
    uint64_t quick_count;
    data_image frame; /* a PNG, decoded when it is opened */
    unsigned char *row;
    size_t row_bytes;
    /* the image in work */
    decode_kind kind;
    decode_note note; /* of its header */
    const unsigned char *bytes;
    size_t size;
};

/* Kinds that are known by name only. WebP has its own sign behind RIFF and four bytes of
 * length. */
static const struct {
    const char *sign;
    size_t sign_bytes, at;
    const char *name;
} foreign[] = {
    {"GIF8", 4, 0, "GIF"},      {"BM", 2, 0, "BMP"},
    {"WEBP", 4, 8, "WebP"},     {"II*\0", 4, 0, "TIFF"},
    {"MM\0*", 4, 0, "TIFF"},    {"ftypavif", 8, 4, "AVIF"},
    {"ftypheic", 8, 4, "HEIC"}, {"\0\0\0\fjP  ", 8, 0, "JPEG 2000"},
};

static bool starts(const unsigned char *bytes, size_t size, size_t at, const char *sign,
                   size_t sign_bytes)
{
    return size >= at + sign_bytes && memcmp(bytes + at, sign, sign_bytes) == 0;
}

void data_decode_note_add(decode_note *note, data_health health, const char *text)
{
    if (health <= note->health)
        return;
    note->health = health;
    snprintf(note->text, sizeof note->text, "%s", text);
}

base_status data_decode_check_size(size_t width, size_t height,
                                   const data_decode_limits *limits, base_error *err)
{
    size_t pixels;

    if (width <= DECODE_MAX_SIDE && height <= DECODE_MAX_SIDE &&
        base_mul_size(&pixels, width, height) && pixels <= limits->max_pixels)
        return BASE_OK;
    return base_fail(err, BASE_FORMAT, "too large %zux%zu", width, height);
}

/* ---- making and choosing ------------------------------------------------------------- */

base_status data_decoder_create(data_decoder **out, const data_decode_limits *limits,
                                base_error *err)
{
    data_decoder *decoder = base_alloc(1, sizeof *decoder);

    if (!decoder)
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image decoder");
    decoder->limits = *limits;
    decoder->kernels = data_kernels_get();
    base_status status = data_decode_jpeg_create(&decoder->jpeg, err);
    if (status == BASE_OK)
        status = data_decode_quick_create(&decoder->quick, err);
    if (status == BASE_OK)
        *out = decoder;
    else
        data_decoder_destroy(decoder);
    return status;
}

void data_decoder_destroy(data_decoder *decoder)
{
    if (!decoder)
        return;
    data_decode_jpeg_destroy(decoder->jpeg);
    data_decode_quick_destroy(decoder->quick);
    data_image_destroy(&decoder->frame);
    base_free(decoder->row);
    base_free(decoder);
}

void data_decode_choose(data_decoder *decoder, const data_kernels *kernels,
                        bool libjpeg_only)
{
    decoder->kernels = kernels ? kernels : data_kernels_get();
    decoder->libjpeg_only = libjpeg_only;
}

uint64_t data_decode_quick_count(const data_decoder *decoder)
{
    return decoder->quick_count;
}

/* ---- one image ----------------------------------------------------------------------- */

static base_status open_jpeg(size_t *width, size_t *height, data_decoder *decoder,
                             base_error *err)
{
    decoder->kind = KIND_JPEG;
    decoder->note = (decode_note){.health = DATA_HEALTH_OK};
    return data_decode_jpeg_open(width, height, &decoder->note, decoder->jpeg,
                                 decoder->bytes, decoder->size, &decoder->limits, err);
}

base_status data_decode_open(size_t *width, size_t *height, data_decoder *decoder,
                             const unsigned char *bytes, size_t size, base_error *err)
{
    decoder->kind = KIND_NONE;
    decoder->note = (decode_note){.health = DATA_HEALTH_OK};
    decoder->bytes = bytes;
    decoder->size = size;
    if (size == 0)
        return base_fail(err, BASE_FORMAT, "empty file");
    if (size > decoder->limits.max_file_bytes)
        return base_fail(err, BASE_FORMAT, "file too large");
    if (starts(bytes, size, 0, "\xff\xd8\xff", 3)) {
        if (decoder->libjpeg_only ||
            !data_decode_quick_open(width, height, decoder->quick, bytes, size) ||
            data_decode_check_size(*width, *height, &decoder->limits, NULL) != BASE_OK)
            return open_jpeg(width, height, decoder, err);
        decoder->kind = KIND_QUICK;
        return BASE_OK;
    }
    if (starts(bytes, size, 0, "\x89PNG\r\n\x1a\n", 8)) {
        const base_status status =
            data_decode_png_image(&decoder->frame, bytes, size, &decoder->limits, err);
        if (status != BASE_OK)
            return status;
        decoder->kind = KIND_PNG;
        *width = decoder->frame.width;
        *height = decoder->frame.height;
        return BASE_OK;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (starts(bytes, size, foreign[i].at, foreign[i].sign, foreign[i].sign_bytes))
            return base_fail(err, BASE_UNSUPPORTED, "unsupported format %s",
                             foreign[i].name);
    }
    return base_fail(err, BASE_FORMAT, "unknown format");
}

void data_decode_close(data_decoder *decoder)
{
    if (decoder->kind == KIND_JPEG)
        data_decode_jpeg_close(decoder->jpeg);
    decoder->kind = KIND_NONE;
    decoder->bytes = NULL;
    decoder->size = 0;
}

bool data_decode_can_scale(const data_decoder *decoder)
{
    return decoder->kind != KIND_PNG;
}

size_t data_decode_scaled(size_t side, unsigned eighths)
{
    return (side * eighths + 7) / 8;
}

/* Rows of the decoded frame. */
static base_status frame_rows(const decode_want *want, data_decoder *decoder,
                              base_error *err)
{
    const data_image *frame = &decoder->frame;
    const size_t bytes = want->width * 4 + KERNEL_SLACK;

    if (bytes > decoder->row_bytes) {
        unsigned char *row = base_alloc(2 * bytes, 1);
        if (!row)
            return base_fail(err, BASE_NO_MEMORY, "no memory for a row of %zu bytes",
                             bytes);
        base_free(decoder->row);
        decoder->row = row;
        decoder->row_bytes = 2 * bytes;
    }
    for (size_t y = want->top; y < want->top + want->height; y++) {
        decoder->kernels->unpack_rgb(
            decoder->row, frame->pixels + (y * frame->width + want->left) * 3, want->width);
        want->take(want->user, decoder->row);
    }
    return BASE_OK;
}

base_status data_decode_rows(const decode_want *want, decode_note *note,
                             data_decoder *decoder, base_error *err)
{
    base_status status = BASE_OK;
    size_t width, height;

    if (decoder->kind == KIND_PNG) {
        *note = decoder->note;
        return frame_rows(want, decoder, err);
    }
    if (decoder->kind == KIND_QUICK) {
        if (data_decode_quick_rows(want, decoder->quick, decoder->kernels)) {
            decoder->quick_count++;
            *note = decoder->note;
            return BASE_OK;
        }
        want->rewind(want->user);
        status = open_jpeg(&width, &height, decoder, err);
    }
    if (status == BASE_OK)
        status = data_decode_jpeg_rows(want, decoder->jpeg, err);
    *note = decoder->note;
    return status;
}

/* ---- whole images -------------------------------------------------------------------- */

/* Where the rows of a whole image go. */
typedef struct frame_filler {
    data_image *out;
    size_t y;
    const data_kernels *kernels;
} frame_filler;

static void fill_row(void *user, const unsigned char *rgbx)
{
    frame_filler *f = user;
    const size_t width = f->out->width;

    f->kernels->pack_rgb(f->out->pixels + f->y++ * width * 3, rgbx, width, false);
}

static void fill_again(void *user)
{
    ((frame_filler *)user)->y = 0;
}

static base_status decode_whole(data_image *out, decode_note *note, data_decoder *decoder,
                                const unsigned char *bytes, size_t size, base_error *err)
{
    frame_filler filler = {.out = out, .kernels = decoder->kernels};
    decode_want want = {.eighths = 8,
                        .whole = true,
                        .take = fill_row,
                        .rewind = fill_again,
                        .user = &filler};
    base_status status =
        data_decode_open(&want.width, &want.height, decoder, bytes, size, err);

    if (status == BASE_OK)
        status = data_image_reserve(out, want.width, want.height, 3, err);
    if (status == BASE_OK)
        status = data_decode_rows(&want, note, decoder, err);
    data_decode_close(decoder);
    return status;
}

base_status data_decode(data_image *out, data_health *health, data_decoder *decoder,
                        const unsigned char *bytes, size_t size, char *note,
                        size_t note_bytes, base_error *err)
{
    decode_note found = {.health = DATA_HEALTH_OK};
    const base_status status = decode_whole(out, &found, decoder, bytes, size, err);

    *health = status == BASE_OK ? found.health : DATA_HEALTH_BAD;
    if (note_bytes > 0)
        snprintf(note, note_bytes, "%s", status == BASE_OK ? found.text : "");
    return status;
}

base_status data_image_load(data_image *out, data_health *health, data_decoder *decoder,
                            const char *path, base_error *err)
{
    struct stat about;
    char *bytes = NULL;
    char shown[512];
    size_t size = 0;
    base_status status;

    *health = DATA_HEALTH_BAD;
    base_quote(shown, sizeof shown, path);
    if (stat(path, &about) != 0)
        return base_fail_errno(err, "cannot open '%s'", shown);
    if (S_ISREG(about.st_mode) && (uintmax_t)about.st_size > decoder->limits.max_file_bytes)
        return base_fail(err, BASE_FORMAT, "'%s': file too large", shown);
    status = base_file_read(&bytes, &size, path, decoder->limits.max_file_bytes, err);
    if (status != BASE_OK)
        return status;
    status =
        data_decode(out, health, decoder, (const unsigned char *)bytes, size, NULL, 0, err);
    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", shown);
    base_free(bytes);
    return status;
}
