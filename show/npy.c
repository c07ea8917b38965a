/* npy.c - writes NumPy's .npy format 1.0: float32 or int32, little-endian, C order
 * (cli.md). Follows NumPy's format description (numpy.lib.format, "Format Version 1.0"):
 * magic, version, length of the header as 16 bits, a Python dictionary filled with spaces
 * up to a multiple of 64 bytes, then the values. Relied on elsewhere: the header is always
 * 128 bytes, so that it can be written again at the end. */
#include "show/show.h"

#include <errno.h>
#include <string.h>

enum { HEADER_BYTES = 128, PREFIX_BYTES = 10 };

/* The 128 bytes in front of the values. False when the shape does not fit in them. */
static bool header_fill(unsigned char out[HEADER_BYTES], const show_npy *npy)
{
    static const unsigned char prefix[PREFIX_BYTES] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - PREFIX_BYTES, 0};
    char text[256];
    int at = snprintf(text, sizeof text,
                      "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,",
                      npy->whole ? "<i4" : "<f4", npy->rows);

    for (int i = 0; i < npy->rank; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%zu", i ? ", " : " ",
                       npy->row[i]);
    at += snprintf(text + at, sizeof text - (size_t)at, "), }");
    if (at > HEADER_BYTES - PREFIX_BYTES - 1)
        return false;
    memset(out, ' ', HEADER_BYTES);
    memcpy(out, prefix, PREFIX_BYTES);
    memcpy(out + PREFIX_BYTES, text, (size_t)at);
    out[HEADER_BYTES - 1] = '\n';
    return true;
}

static base_status header_write(show_npy *npy, base_error *err)
{
    unsigned char header[HEADER_BYTES];

    if (!header_fill(header, npy))
        return base_fail(err, BASE_UNSUPPORTED, "'%s': the shape is too long for a header",
                         npy->out.path);
    if (fwrite(header, 1, HEADER_BYTES, npy->out.file) != HEADER_BYTES)
        return base_fail_errno(err, "cannot write '%s'", npy->out.path);
    return BASE_OK;
}

base_status show_npy_open(show_npy *npy, const char *path, const size_t *row, int rank,
                          base_error *err)
{
    show_npy made = {.rank = rank, .row_floats = 1};
    base_status status;

    for (int i = 0; i < rank; i++) {
        made.row[i] = row[i];
        if (!base_mul_size(&made.row_floats, made.row_floats, row[i]))
            return base_fail(err, BASE_UNSUPPORTED, "'%s': a row has too many numbers",
                             path);
    }
    status = base_writer_open(&made.out, path, err);
    if (status == BASE_OK && fseek(made.out.file, 0, SEEK_SET) != 0)
        status = base_fail(err, BASE_IO, "'%s' is a pipe, expected a file", path);
    if (status == BASE_OK)
        status = header_write(&made, err);
    if (status != BASE_OK) {
        base_writer_abandon(&made.out);
        return status;
    }
    *npy = made;
    return BASE_OK;
}

/* Four bytes, least significant first, whatever the machine. */
static void float_put(unsigned char out[4], float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(bits >> (8 * i) & 0xff);
}

base_status show_npy_append(show_npy *npy, const float *values, size_t rows,
                            base_error *err)
{
    unsigned char bytes[4 * 1024];
    size_t left = rows * npy->row_floats;

    while (left > 0) {
        const size_t count = left < sizeof bytes / 4 ? left : sizeof bytes / 4;

        for (size_t i = 0; i < count; i++)
            float_put(bytes + 4 * i, values[i]);
        if (fwrite(bytes, 4, count, npy->out.file) != count)
            return base_fail_errno(err, "cannot write '%s'", npy->out.path);
        values += count;
        left -= count;
    }
    npy->rows += rows;
    return BASE_OK;
}

base_status show_npy_commit(show_npy *npy, base_error *err)
{
    base_status status = BASE_OK;

    if (fseek(npy->out.file, 0, SEEK_SET) != 0)
        status = base_fail_errno(err, "cannot write '%s'", npy->out.path);
    if (status == BASE_OK)
        status = header_write(npy, err);
    if (status == BASE_OK)
        return base_writer_commit(&npy->out, err);
    base_writer_abandon(&npy->out);
    return status;
}

base_status show_npy_whole_write(const char *path, const int32_t *values, size_t count,
                                 base_error *err)
{
    show_npy npy = {.whole = true, .row_floats = 1};
    base_status status = base_writer_open(&npy.out, path, err);

    if (status == BASE_OK)
        status = header_write(&npy, err);
    for (size_t i = 0; i < count && status == BASE_OK; i++) {
        const uint32_t bits = (uint32_t)values[i];
        unsigned char bytes[4];

        for (int b = 0; b < 4; b++)
            bytes[b] = (unsigned char)(bits >> (8 * b) & 0xff);
        if (fwrite(bytes, 4, 1, npy.out.file) != 1)
            status = base_fail_errno(err, "cannot write '%s'", path);
    }
    npy.rows = count;
    if (status == BASE_OK)
        return show_npy_commit(&npy, err);
    show_npy_abandon(&npy);
    return status;
}

void show_npy_abandon(show_npy *npy)
{
    base_writer_abandon(&npy->out);
}
