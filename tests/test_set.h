/* test_set.h - small data sets for tests: trees of files, tar archives by hand (so that
 * they can be wrong in any way), and tiny pictures. */
#ifndef TESTS_TEST_SET_H
#define TESTS_TEST_SET_H

#include "data/data.h"
#include "tests/test_folder.h"

enum { SET_BLOCK = 512 };

/* A file with its folders below root. */
static inline void set_file(const char *root, const char *name, const void *bytes,
                            size_t count)
{
    char *path = test_path(root, name);
    char *slash = strrchr(path, '/');

    *slash = '\0';
    ck_assert_int_eq(base_folder_make(path, NULL), BASE_OK);
    *slash = '/';
    test_write(path, bytes, count);
    base_free(path);
}

/* A NumPy file of format 1; type and sizes as its header has them: "|u1", "(2,)". */
static inline void set_npy(const char *root, const char *name, const char *type,
                           const char *sizes, const void *bytes, size_t count)
{
    unsigned char head[128] = "\x93NUMPY\x01";
    char *text =
        base_text("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, sizes);
    char *whole = base_alloc(sizeof head + count, 1);

    ck_assert_uint_lt(strlen(text), sizeof head - 10);
    head[8] = sizeof head - 10;
    memset(head + 10, ' ', sizeof head - 10);
    memcpy(head + 10, text, strlen(text));
    head[sizeof head - 1] = '\n';
    memcpy(whole, head, sizeof head);
    memcpy(whole + sizeof head, bytes, count);
    set_file(root, name, whole, sizeof head + count);
    base_free(whole);
    base_free(text);
}

/* A file that holds its own name. */
static inline void set_name_file(const char *root, const char *name)
{
    set_file(root, name, name, strlen(name));
}

static inline void set_folder(const char *root, const char *name)
{
    char *path = test_path(root, name);

    ck_assert_int_eq(base_folder_make(path, NULL), BASE_OK);
    base_free(path);
}

/* A PNG of width x height whose pixels depend on seed: base_free. */
static inline unsigned char *set_png(size_t *bytes, size_t width, size_t height,
                                     unsigned seed)
{
    data_image image = {0};
    unsigned char *out = NULL;

    ck_assert_int_eq(data_image_reserve(&image, width, height, 3, NULL), BASE_OK);
    for (size_t i = 0; i < width * height * 3; i++)
        image.pixels[i] = (unsigned char)(seed * 37 + i * 11 + i * i * seed);
    ck_assert_int_eq(data_png_encode(&out, bytes, &image, NULL), BASE_OK);
    data_image_destroy(&image);
    return out;
}

/* ---- tar
 * --------------------------------------------------------------------------------- */

/* One header block: POSIX ustar. The caller may change it and sign it again. */
typedef struct set_header {
    unsigned char at[SET_BLOCK];
} set_header;

static inline void set_sign(set_header *h)
{
    unsigned sum = 0;

    memset(h->at + 148, ' ', 8);
    for (size_t i = 0; i < SET_BLOCK; i++)
        sum += h->at[i];
    snprintf((char *)h->at + 148, 8, "%06o", sum);
}

static inline set_header set_header_make(const char *name, char type, size_t size)
{
    set_header h = {{0}};

    snprintf((char *)h.at, 100, "%.99s", name);
    snprintf((char *)h.at + 100, 8, "0000644");
    snprintf((char *)h.at + 124, 12, "%011o", (unsigned)size);
    snprintf((char *)h.at + 136, 12, "%011o", 0u);
    h.at[156] = (unsigned char)type;
    memcpy(h.at + 257, "ustar\00000", 8);
    set_sign(&h);
    return h;
}

static inline void set_body(FILE *file, const void *bytes, size_t size)
{
    static const char zeros[SET_BLOCK];

    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    if (size % SET_BLOCK != 0)
        fwrite(zeros, 1, SET_BLOCK - size % SET_BLOCK, file);
}

/* A member of any type: '0' file, '5' folder, '1' '2' links, 'L' long name, 'x' PAX. */
static inline void set_member(FILE *file, const char *name, char type, const void *bytes,
                              size_t size)
{
    const set_header h = set_header_make(name, type, size);

    set_body(file, h.at, SET_BLOCK);
    set_body(file, bytes, size);
}

/* A file that holds its own name. */
static inline void set_name_member(FILE *file, const char *name)
{
    set_member(file, name, '0', name, strlen(name));
}

static inline void set_tar_end(FILE *file)
{
    static const char zeros[2 * SET_BLOCK];

    fwrite(zeros, 1, sizeof zeros, file);
    ck_assert_int_eq(fclose(file), 0);
}

static inline FILE *set_tar_open(char **path, const char *root, const char *name)
{
    *path = test_path(root, name);
    FILE *file = fopen(*path, "wb");

    ck_assert_ptr_nonnull(file);
    return file;
}

/* ---- checks
 * ------------------------------------------------------------------------------ */

/* Opens with allow_single_class as given; the test fails with the error's text. */
static inline data_source *set_open(const char *spec, const data_source_options *options)
{
    data_source *source = NULL;
    base_error err = {0};
    const base_status status = data_source_open(&source, spec, options, &err);

    ck_assert_msg(status == BASE_OK, "%s", err.text);
    return source;
}

/* Opening must fail with status and a text that holds part. */
static inline void set_refused(const char *spec, const data_source_options *options,
                               base_status status, const char *part)
{
    data_source *source = NULL;
    base_error err = {0};
    const base_status got = data_source_open(&source, spec, options, &err);

    ck_assert_msg(got == status, "status %d: %s", (int)got, err.text);
    ck_assert_msg(strstr(err.text, part) != NULL, "'%s' does not hold '%s'", err.text,
                  part);
    ck_assert_ptr_null(source);
}

/* The samples' relative names, one a line after its label, are exactly text. */
static inline void set_lists(const data_source *source, const char *text)
{
    char name[5000], found[8192] = "";
    size_t used = 0;

    for (size_t i = 0; i < data_source_count(source); i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%d %s\n",
                                 data_source_label(source, i),
                                 data_source_relative_name(source, i, name, sizeof name));
    ck_assert_str_eq(found, text);
}

/* Sample i holds exactly text. */
static inline void set_holds(const data_source *source, size_t i, const char *text)
{
    unsigned char *buffer = NULL;
    size_t room = 0, size = 0;
    base_error err = {0};

    ck_assert_msg(data_source_read(source, i, &buffer, &room, &size, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(buffer, text, size);
    base_free(buffer);
}

/* Sample i cannot be read; the reason holds part. */
static inline void set_unreadable(const data_source *source, size_t i, const char *part)
{
    unsigned char *buffer = NULL;
    size_t room = 0, size = 0;
    base_error err = {0};

    ck_assert_int_ne(data_source_read(source, i, &buffer, &room, &size, &err), BASE_OK);
    ck_assert_msg(strstr(err.text, part) != NULL, "'%s' does not hold '%s'", err.text,
                  part);
    base_free(buffer);
}

#endif
