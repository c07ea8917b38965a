/* codec.c - the border to libjpeg-turbo: one coder and one decoder a worker, in memory,
 * with errors as text. Its defaults after a quality with baseline forced (4:2:0, integer
 * DCT, fancy upsampling) are what Pillow uses, so the pixels equal the scripts'. Free to
 * change: how bytes are kept. Relied on elsewhere: an image comes out the same whatever
 * went before.
 *
 * libjpeg's error_exit may not return. guarded() is the only setjmp, and what longjmp
 * leaves behind (one step and libjpeg itself) owns nothing. */
#include "corrupt/codec_internal.h"

#include <string.h>

enum { RGB = 3, FIRST_BYTES = 64 * 1024 };

/* ---- what libjpeg calls -------------------------------------------------------------- */

_Noreturn static void on_error(j_common_ptr info)
{
    corrupt_codec *codec = info->client_data;

    info->err->format_message(info, codec->text);
    longjmp(codec->jump, 1);
}

_Noreturn void corrupt_codec_starve(corrupt_codec *codec)
{
    codec->no_memory = true;
    longjmp(codec->jump, 1);
}

static void on_message(j_common_ptr info, int level)
{
    (void)info;
    (void)level; /* warnings are about damaged files, and ours are not */
}

static void on_output(j_common_ptr info)
{
    (void)info; /* libraries never print */
}

static void target_init(j_compress_ptr info)
{
    corrupt_codec *codec = info->client_data;

    codec->target.next_output_byte = codec->file;
    codec->target.free_in_buffer = codec->file_bytes;
}

/* The buffer is full: twice as much. */
static boolean target_grow(j_compress_ptr info)
{
    corrupt_codec *codec = info->client_data;
    const size_t old = codec->file_bytes;
    unsigned char *larger = base_alloc(old, 2);

    if (!larger)
        corrupt_codec_starve(codec);
    memcpy(larger, codec->file, old);
    base_free(codec->file);
    codec->file = larger;
    codec->file_bytes = 2 * old;
    codec->target.next_output_byte = larger + old;
    codec->target.free_in_buffer = old;
    return TRUE;
}

static void target_done(j_compress_ptr info)
{
    corrupt_codec *codec = info->client_data;

    codec->size = codec->file_bytes - codec->target.free_in_buffer;
}

static void source_init(j_decompress_ptr info)
{
    corrupt_codec *codec = info->client_data;

    codec->source.next_input_byte = codec->file;
    codec->source.bytes_in_buffer = codec->size;
}

/* Never needed for a file that we wrote; ends it if it is. */
static boolean source_fill(j_decompress_ptr info)
{
    static const JOCTET end[2] = {0xff, JPEG_EOI};

    info->src->next_input_byte = end;
    info->src->bytes_in_buffer = sizeof end;
    return TRUE;
}

/* Nor this: it holds no segment that is passed over. */
static void source_skip(j_decompress_ptr info, long count)
{
    (void)info, (void)count;
}

static void source_done(j_decompress_ptr info)
{
    (void)info;
}

/* ---- steps, each under the one setjmp ------------------------------------------------ */

static bool guarded(corrupt_codec *codec, void (*step)(corrupt_codec *codec))
{
    if (setjmp(codec->jump) != 0)
        return false;
    step(codec);
    return true;
}

static void step_create(corrupt_codec *codec)
{
    jpeg_create_compress(&codec->coder[0]);
    jpeg_create_compress(&codec->coder[1]);
    jpeg_create_decompress(&codec->decoder);
    for (int i = 0; i < 2; i++)
        corrupt_pool_install((j_common_ptr)&codec->coder[i]);
    corrupt_pool_install((j_common_ptr)&codec->decoder);
}

static void step_encode(corrupt_codec *codec)
{
    struct jpeg_compress_struct *info = &codec->coder[codec->optimise];

    info->image_width = (JDIMENSION)codec->width;
    info->image_height = (JDIMENSION)codec->height;
    info->input_components = RGB;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, codec->quality, TRUE);
    info->dct_method = JDCT_ISLOW;
    info->optimize_coding = codec->optimise;
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        /* libjpeg takes it as writable but only reads */
        JSAMPROW row =
            (JSAMPROW)(uintptr_t)(codec->in + info->next_scanline * codec->width * RGB);
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

static void step_decode(corrupt_codec *codec)
{
    struct jpeg_decompress_struct *info = &codec->decoder;

    jpeg_read_header(info, TRUE);
    info->out_color_space = JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    info->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = codec->out + info->output_scanline * codec->width * RGB;
        jpeg_read_scanlines(info, &row, 1);
    }
    jpeg_finish_decompress(info);
}

/* ---- one image ----------------------------------------------------------------------- */

static base_status refuse(corrupt_codec *codec, base_error *err)
{
    jpeg_abort_compress(&codec->coder[0]);
    jpeg_abort_compress(&codec->coder[1]);
    jpeg_abort_decompress(&codec->decoder);
    if (codec->no_memory)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a JPEG of %zu x %zu",
                         codec->width, codec->height);
    return base_fail(err, BASE_INTERNAL, "libjpeg: %s", codec->text);
}

static base_status encode(corrupt_codec *codec, const unsigned char *in, size_t height,
                          size_t width, int quality, bool optimise, base_error *err)
{
    if (quality < 1 || quality > 100)
        return base_fail(err, BASE_USAGE, "JPEG quality %d, expected 1 to 100", quality);
    if (height < 1 || height > CORRUPT_SIDE_MAX || width < 1 || width > CORRUPT_SIDE_MAX)
        return base_fail(err, BASE_UNSUPPORTED,
                         "an image of %zu x %zu, expected 1 to %d pixels a side", width,
                         height, CORRUPT_SIDE_MAX);
    codec->no_memory = false;
    codec->in = in;
    codec->height = height;
    codec->width = width;
    codec->quality = quality;
    codec->optimise = optimise;
    if (!codec->file) {
        codec->file = base_alloc(FIRST_BYTES, 1);
        if (!codec->file)
            return base_fail(err, BASE_NO_MEMORY, "no memory for a JPEG of %zu x %zu",
                             width, height);
        codec->file_bytes = FIRST_BYTES;
    }
    return guarded(codec, step_encode) ? BASE_OK : refuse(codec, err);
}

base_status corrupt_jpeg_encode(corrupt_worker *worker, const unsigned char **bytes,
                                size_t *size, const unsigned char *in, size_t height,
                                size_t width, int quality, base_error *err)
{
    corrupt_codec *codec = corrupt_worker_codec(worker);
    const base_status status = encode(codec, in, height, width, quality, true, err);

    if (status != BASE_OK)
        return status;
    *bytes = codec->file;
    *size = codec->size;
    return BASE_OK;
}

base_status corrupt_jpeg_roundtrip(corrupt_worker *worker, unsigned char *out,
                                   const unsigned char *in, size_t height, size_t width,
                                   int quality, base_error *err)
{
    corrupt_codec *codec = corrupt_worker_codec(worker);
    /* the tables do not change the pixels */
    const base_status status = encode(codec, in, height, width, quality, false, err);

    if (status != BASE_OK)
        return status;
    codec->out = out;
    return guarded(codec, step_decode) ? BASE_OK : refuse(codec, err);
}

base_status corrupt_codec_create(corrupt_codec **out, base_error *err)
{
    corrupt_codec *codec = base_alloc(1, sizeof *codec);

    if (!codec)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a JPEG coder");
    jpeg_std_error(&codec->errors);
    codec->errors.error_exit = on_error;
    codec->errors.emit_message = on_message;
    codec->errors.output_message = on_output;
    for (int i = 0; i < 2; i++) {
        codec->coder[i].err = &codec->errors;
        codec->coder[i].client_data = codec;
    }
    codec->decoder.err = &codec->errors;
    codec->decoder.client_data = codec;
    if (!guarded(codec, step_create)) {
        const base_status status =
            base_fail(err, BASE_INTERNAL, "libjpeg: %s", codec->text);
        corrupt_codec_destroy(codec);
        return status;
    }
    codec->target = (struct jpeg_destination_mgr){
        .init_destination = target_init,
        .empty_output_buffer = target_grow,
        .term_destination = target_done,
    };
    codec->source = (struct jpeg_source_mgr){
        .init_source = source_init,
        .fill_input_buffer = source_fill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_done,
    };
    codec->coder[0].dest = codec->coder[1].dest = &codec->target;
    codec->decoder.src = &codec->source;
    *out = codec;
    return BASE_OK;
}

void corrupt_codec_destroy(corrupt_codec *codec)
{
    if (!codec)
        return;
    jpeg_destroy_compress(&codec->coder[0]);
    jpeg_destroy_compress(&codec->coder[1]);
    jpeg_destroy_decompress(&codec->decoder);
    corrupt_pool_free(&codec->pool);
    base_free(codec->file);
    base_free(codec);
}
