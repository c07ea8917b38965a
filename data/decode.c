/* decode.c - from the bytes of a file to 8-bit RGB: the kind is told by the first bytes,
 * never by the name (data.md 5). The reasons are those of data.md 10: scripts read them, so
 * they stay. Free to change: which kinds are named in "unsupported format". */
#include "data/decode_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct data_decoder {
    data_decode_limits limits;
    decode_jpeg *jpeg;
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

void decode_note_add(decode_note *note, data_health health, const char *text)
{
    if (health <= note->health)
        return;
    note->health = health;
    snprintf(note->text, sizeof note->text, "%s", text);
}

base_status decode_check_size(size_t width, size_t height, const data_decode_limits *limits,
                              base_error *err)
{
    size_t pixels;

    if (width <= DECODE_MAX_SIDE && height <= DECODE_MAX_SIDE &&
        base_mul_size(&pixels, width, height) && pixels <= limits->max_pixels)
        return BASE_OK;
    return base_fail(err, BASE_FORMAT, "too large %zux%zu", width, height);
}

base_status data_decoder_create(data_decoder **out, const data_decode_limits *limits,
                                base_error *err)
{
    data_decoder *decoder = base_alloc(1, sizeof *decoder);

    if (!decoder)
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image decoder");
    decoder->limits = *limits;
    const base_status status = decode_jpeg_create(&decoder->jpeg, err);
    if (status != BASE_OK) {
        base_free(decoder);
        return status;
    }
    *out = decoder;
    return BASE_OK;
}

void data_decoder_destroy(data_decoder *decoder)
{
    if (!decoder)
        return;
    decode_jpeg_destroy(decoder->jpeg);
    base_free(decoder);
}

static base_status decode_any(data_image *out, decode_note *note, data_decoder *decoder,
                              const unsigned char *bytes, size_t size, base_error *err)
{
    if (size == 0)
        return base_fail(err, BASE_FORMAT, "empty file");
    if (size > decoder->limits.max_file_bytes)
        return base_fail(err, BASE_FORMAT, "file too large");
    if (starts(bytes, size, 0, "\xff\xd8\xff", 3))
        return decode_jpeg_image(out, note, decoder->jpeg, bytes, size, &decoder->limits,
                                 err);
    if (starts(bytes, size, 0, "\x89PNG\r\n\x1a\n", 8))
        return decode_png_image(out, note, bytes, size, &decoder->limits, err);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (starts(bytes, size, foreign[i].at, foreign[i].sign, foreign[i].sign_bytes))
            return base_fail(err, BASE_UNSUPPORTED, "unsupported format %s",
                             foreign[i].name);
    }
    return base_fail(err, BASE_FORMAT, "unknown format");
}

base_status data_decode(data_image *out, data_health *health, data_decoder *decoder,
                        const unsigned char *bytes, size_t size, char *note,
                        size_t note_bytes, base_error *err)
{
    decode_note found = {.health = DATA_HEALTH_OK};
    const base_status status = decode_any(out, &found, decoder, bytes, size, err);

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
