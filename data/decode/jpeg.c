/* jpeg.c - the border to libjpeg-turbo: its errors, warnings and memory end here.
 * Follows data.md 5 (rules and classes of damage, checked with a folder of bad images) and
 * 9 (ISLOW and fancy upsampling, so that pixels equal Pillow's). Free to change: how rows
 * are fetched. Relied on elsewhere: an image decodes to the same bytes whatever the object
 * decoded before.
 *
 * libjpeg's error_exit may not return. guarded() is the only setjmp, and what longjmp
 * leaves behind (one step and libjpeg itself) owns nothing. */
#include "data/decode/decode_internal.h"

#include <setjmp.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum {
    /* Honest encoders write about 10; each scan costs a pass over all blocks. */
    MAX_SCANS = 500,
    NARROW = 16, /* columns: fancy upsampling of a very few gives other bytes (2.1.5) */
    RGB = 3,
    RGBX = 4,
    CMYK = 4
};

typedef enum jpeg_failure {
    FAILURE_NONE,
    FAILURE_LIBRARY, /* libjpeg called error_exit: code, parameter and text are kept */
    FAILURE_END,     /* the bytes ended where no picture can follow */
    FAILURE_SCANS
} jpeg_failure;

struct decode_jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    void *(*alloc_small)(j_common_ptr info, int pool, size_t bytes); /* libjpeg's own */
    jmp_buf jump;
    jpeg_failure failure;
    int failure_code, failure_value;
    char failure_text[JMSG_LENGTH_MAX];
    bool end_is_fatal; /* in headers and in files of several scans */
    bool saw_end, saw_hit_marker;
    decode_note *note; /* of the image in work */
    const decode_want *want;
    const unsigned char *bytes;
    size_t size;
    unsigned char *row; /* RGBX as wide as the picture, then as much for CMYK */
    size_t row_bytes;
};

/* ---- what libjpeg calls -------------------------------------------------------------- */

_Noreturn static void leave(decode_jpeg *jpeg, jpeg_failure failure)
{
    jpeg->failure = failure;
    longjmp(jpeg->jump, 1);
}

_Noreturn static void on_error(j_common_ptr info)
{
    decode_jpeg *jpeg = info->client_data;

    jpeg->failure_code = info->err->msg_code;
    jpeg->failure_value = info->err->msg_parm.i[0];
    info->err->format_message(info, jpeg->failure_text);
    leave(jpeg, FAILURE_LIBRARY);
}

/* level: -1 for a warning, else a trace. differs: data.md calls every other warning damage,
 * but the first two here are about the header; the picture has no wrong part. */
static void on_message(j_common_ptr info, int level)
{
    decode_jpeg *jpeg = info->client_data;
    char text[JMSG_LENGTH_MAX];

    if (level != -1 || !jpeg->note)
        return;
    info->err->num_warnings++;
    switch (info->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
        data_decode_note_add(jpeg->note, DATA_HEALTH_ODD, "unknown version in the header");
        break;
    case JWRN_EXTRANEOUS_DATA:
        data_decode_note_add(jpeg->note, DATA_HEALTH_ODD,
                             "extraneous bytes before a marker");
        break;
    case JWRN_JPEG_EOF:
        jpeg->saw_end = true;
        data_decode_note_add(jpeg->note, DATA_HEALTH_ODD, "end marker missing");
        break;
    default:
        if (info->err->msg_code == JWRN_HIT_MARKER)
            jpeg->saw_hit_marker = true;
        if (jpeg->note->health == DATA_HEALTH_DAMAGED)
            break;
        memcpy(text, "corrupt: ", 9);
        info->err->format_message(info, jpeg->failure_text);
        memcpy(text + 9, jpeg->failure_text, sizeof text - 9);
        text[sizeof text - 1] = 0;
        data_decode_note_add(jpeg->note, DATA_HEALTH_DAMAGED, text);
        break;
    }
}

static void on_output(j_common_ptr info)
{
    (void)info; /* libraries never print */
}

static void on_progress(j_common_ptr info)
{
    if (((j_decompress_ptr)info)->input_scan_number > MAX_SCANS)
        leave(info->client_data, FAILURE_SCANS);
}

static void source_init(j_decompress_ptr info)
{
    decode_jpeg *jpeg = info->client_data;

    info->src->next_input_byte = jpeg->bytes;
    info->src->bytes_in_buffer = jpeg->size;
}

/* All bytes were there from the start, so they have ended. An end marker is made up, as
 * often as it is asked for, where libjpeg may finish the picture with it. */
static boolean source_fill(j_decompress_ptr info)
{
    static const JOCTET end[2] = {0xff, JPEG_EOI};
    decode_jpeg *jpeg = info->client_data;

    if (jpeg->end_is_fatal)
        leave(jpeg, FAILURE_END);
    WARNMS(info, JWRN_JPEG_EOF);
    info->src->next_input_byte = end;
    info->src->bytes_in_buffer = sizeof end;
    return TRUE;
}

static void source_skip(j_decompress_ptr info, long count)
{
    if (count <= 0)
        return;
    if ((size_t)count > info->src->bytes_in_buffer) {
        source_fill(info);
        return;
    }
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= (size_t)count;
}

static void source_done(j_decompress_ptr info)
{
    (void)info;
}

/* Quantisation and Huffman tables live as long as the object in libjpeg (for streams that
 * share them), so a file without tables would decode with those of the file before. Here
 * they go to the pool of the image, and jpeg_reset forgets them. */
static void *alloc_in_image_pool(j_common_ptr info, int pool, size_t bytes)
{
    decode_jpeg *jpeg = info->client_data;

    (void)pool;
    return jpeg->alloc_small(info, JPOOL_IMAGE, bytes);
}

/* ---- steps, each under the one setjmp ------------------------------------------------ */

static bool guarded(decode_jpeg *jpeg, void (*step)(decode_jpeg *jpeg))
{
    if (setjmp(jpeg->jump) != 0)
        return false;
    step(jpeg);
    return true;
}

static void step_create(decode_jpeg *jpeg)
{
    jpeg_create_decompress(&jpeg->info);
}

static void step_header(decode_jpeg *jpeg)
{
    jpeg_read_header(&jpeg->info, TRUE);
    jpeg->end_is_fatal = jpeg_has_multiple_scans(&jpeg->info);
}

static void step_start(decode_jpeg *jpeg)
{
    struct jpeg_decompress_struct *info = &jpeg->info;

    info->out_color_space = info->num_components == CMYK ? JCS_CMYK : JCS_EXT_RGBX;
    info->dct_method = JDCT_ISLOW;
    info->do_fancy_upsampling = TRUE;
    info->scale_num = jpeg->want->eighths;
    info->scale_denom = 8;
    jpeg_start_decompress(info);
}

/* (a * b + 127) / 255 with Pillow's rounding. */
static unsigned char multiply(unsigned a, unsigned b)
{
    const unsigned t = a * b + 128;

    return (unsigned char)(((t >> 8) + t) >> 8);
}

/* The bytes are inverted inks (Adobe's habit, taken for granted as Pillow does). */
static void cmyk_to_rgbx(unsigned char *rgbx, const unsigned char *cmyk, size_t width)
{
    for (size_t x = 0; x < width; x++, rgbx += RGBX, cmyk += CMYK) {
        rgbx[0] = multiply(cmyk[0], cmyk[3]);
        rgbx[1] = multiply(cmyk[1], cmyk[3]);
        rgbx[2] = multiply(cmyk[2], cmyk[3]);
        rgbx[3] = 0;
    }
}

/* Only the rows and columns that are wanted see the inverse DCT (data.md 9): one pixel more
 * on the left, the right and above, whose neighbours fancy upsampling lacks, is thrown
 * away. One skip alone, from row 0: others begin at wrong rows (libjpeg-turbo 2.1, 3.0). */
static void step_rows(decode_jpeg *jpeg)
{
    struct jpeg_decompress_struct *info = &jpeg->info;
    const decode_want *want = jpeg->want;
    const bool inks = info->num_components == CMYK;
    const size_t end = want->top + want->height;
    unsigned char *row = inks ? jpeg->row + jpeg->row_bytes / 2 : jpeg->row;
    JDIMENSION left = want->left > 0 ? (JDIMENSION)want->left - 1 : 0;
    JDIMENSION width = (JDIMENSION)(want->left + want->width) - left;

    width = width + 1 < NARROW ? NARROW : width + 1;
    if (info->output_width >= NARROW && left > info->output_width - NARROW) {
        width += left - (info->output_width - NARROW);
        left = info->output_width - NARROW;
    }
    if (width > info->output_width - left)
        width = info->output_width - left;
    if (width < info->output_width)
        jpeg_crop_scanline(info, &left, &width);
    else
        left = 0;
    if (want->top > 1)
        jpeg_skip_scanlines(info, (JDIMENSION)want->top - 1);
    while (info->output_scanline < info->output_height) {
        const size_t y = info->output_scanline;
        if (y >= end && !want->whole)
            return; /* jpeg_reset forgets the rest */
        if (jpeg_read_scanlines(info, &row, 1) != 1)
            continue; /* cannot happen: the source never suspends */
        if (y < want->top || y >= end)
            continue;
        const size_t skip = want->left - left;
        if (inks)
            cmyk_to_rgbx(jpeg->row, row + skip * CMYK, want->width);
        want->take(want->user, inks ? jpeg->row : row + skip * RGBX);
    }
    jpeg_finish_decompress(info);
}

/* ---- one image ----------------------------------------------------------------------- */

/* Ready for the next image, in whatever state the last one left libjpeg. */
static void jpeg_reset(decode_jpeg *jpeg)
{
    struct jpeg_decompress_struct *info = &jpeg->info;

    jpeg_abort_decompress(info);
    for (int i = 0; i < NUM_QUANT_TBLS; i++)
        info->quant_tbl_ptrs[i] = NULL;
    for (int i = 0; i < NUM_HUFF_TBLS; i++) {
        info->dc_huff_tbl_ptrs[i] = NULL;
        info->ac_huff_tbl_ptrs[i] = NULL;
    }
    jpeg->note = NULL;
    jpeg->want = NULL;
    jpeg->bytes = NULL;
    jpeg->size = 0;
}

/* The reason of data.md 10 for an image that guarded() gave up. */
static base_status refuse(const decode_jpeg *jpeg, base_error *err)
{
    const struct jpeg_decompress_struct *info = &jpeg->info;

    if (jpeg->failure == FAILURE_END || jpeg->saw_end)
        return base_fail(err, BASE_FORMAT, "truncated");
    if (jpeg->failure == FAILURE_SCANS)
        return base_fail(err, BASE_FORMAT, "corrupt: more than %d scans", MAX_SCANS);
    switch (jpeg->failure_code) {
    case JERR_OUT_OF_MEMORY:
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image of %u x %u",
                         info->image_width, info->image_height);
    case JERR_BAD_PRECISION:
        return base_fail(err, BASE_UNSUPPORTED, "unsupported precision %d",
                         jpeg->failure_value);
    case JERR_IMAGE_TOO_BIG:
        return base_fail(err, BASE_FORMAT, "too large %ux%u", info->image_width,
                         info->image_height);
    case JERR_SOF_UNSUPPORTED:
        return base_fail(err, BASE_UNSUPPORTED, "unsupported format JPEG process 0x%02x",
                         (unsigned)jpeg->failure_value);
    case JERR_ARITH_NOTIMPL:
        return base_fail(err, BASE_UNSUPPORTED, "unsupported format arithmetic JPEG");
    default: return base_fail(err, BASE_FORMAT, "corrupt: %s", jpeg->failure_text);
    }
}

static base_status reserve_row(decode_jpeg *jpeg, base_error *err)
{
    /* at most DECODE_MAX_SIDE wide */
    const size_t bytes =
        2 * ((size_t)jpeg->info.image_width * RGBX + KERNEL_SLACK + RGBX * DCTSIZE);

    if (bytes <= jpeg->row_bytes)
        return BASE_OK;
    unsigned char *row = base_alloc(2 * bytes, 1);
    if (!row)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a row of %zu bytes", bytes);
    base_free(jpeg->row);
    jpeg->row = row;
    jpeg->row_bytes = 2 * bytes;
    return BASE_OK;
}

/* What the header promises: can it be decoded, and may it? */
static base_status accept(decode_jpeg *jpeg, const data_decode_limits *limits,
                          base_error *err)
{
    const struct jpeg_decompress_struct *info = &jpeg->info;
    const int parts = info->num_components;
    const base_status status =
        data_decode_check_size(info->image_width, info->image_height, limits, err);

    if (status != BASE_OK)
        return status;
    if (info->data_precision != 8) /* libjpeg-turbo 3 reads 12 and 16 bit headers */
        return base_fail(err, BASE_UNSUPPORTED, "unsupported precision %d",
                         info->data_precision);
    if (parts != 1 && parts != RGB && parts != CMYK)
        return base_fail(err, BASE_UNSUPPORTED,
                         "unsupported format JPEG with %d components", parts);
    return reserve_row(jpeg, err);
}

base_status data_decode_jpeg_open(size_t *width, size_t *height, decode_note *note,
                                  decode_jpeg *jpeg, const unsigned char *bytes,
                                  size_t size, const data_decode_limits *limits,
                                  base_error *err)
{
    jpeg->failure = FAILURE_NONE;
    jpeg->end_is_fatal = true;
    jpeg->saw_end = jpeg->saw_hit_marker = false;
    jpeg->note = note;
    jpeg->bytes = bytes;
    jpeg->size = size;
    if (!guarded(jpeg, step_header))
        return refuse(jpeg, err);
    const base_status status = accept(jpeg, limits, err);
    if (status != BASE_OK)
        return status;
    *width = jpeg->info.image_width;
    *height = jpeg->info.image_height;
    return BASE_OK;
}

base_status data_decode_jpeg_rows(const decode_want *want, decode_jpeg *jpeg,
                                  base_error *err)
{
    jpeg->want = want;
    if (!guarded(jpeg, step_start) || !guarded(jpeg, step_rows))
        return refuse(jpeg, err);
    if (jpeg->saw_end && jpeg->saw_hit_marker) /* libjpeg filled the rest with grey */
        return base_fail(err, BASE_FORMAT, "truncated");
    return BASE_OK;
}

void data_decode_jpeg_close(decode_jpeg *jpeg)
{
    jpeg_reset(jpeg);
}

base_status data_decode_jpeg_create(decode_jpeg **out, base_error *err)
{
    decode_jpeg *jpeg = base_alloc(1, sizeof *jpeg);

    if (!jpeg)
        return base_fail(err, BASE_NO_MEMORY, "no memory for an image decoder");
    jpeg->info.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = on_error;
    jpeg->errors.emit_message = on_message;
    jpeg->errors.output_message = on_output;
    jpeg->info.client_data = jpeg;
    if (!guarded(jpeg, step_create)) {
        const base_status status =
            base_fail(err, BASE_INTERNAL, "libjpeg: %s", jpeg->failure_text);
        jpeg_destroy_decompress(&jpeg->info);
        base_free(jpeg);
        return status;
    }
    jpeg->progress.progress_monitor = on_progress;
    jpeg->info.progress = &jpeg->progress;
    jpeg->source = (struct jpeg_source_mgr){
        .init_source = source_init,
        .fill_input_buffer = source_fill,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_done,
    };
    jpeg->info.src = &jpeg->source;
    jpeg->alloc_small = jpeg->info.mem->alloc_small;
    jpeg->info.mem->alloc_small = alloc_in_image_pool;
    *out = jpeg;
    return BASE_OK;
}

void data_decode_jpeg_destroy(decode_jpeg *jpeg)
{
    if (!jpeg)
        return;
    jpeg_destroy_decompress(&jpeg->info);
    base_free(jpeg->row);
    base_free(jpeg);
}
