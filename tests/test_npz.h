/* test_npz.h - arrays of NumPy in an archive, from memory. For tests only. */
#ifndef TESTS_TEST_NPZ_H
#define TESTS_TEST_NPZ_H

#include "base/base.h"
#include "tests/test_zip.h"

/* A member NAME.npy of this format (1 to 3); descr, order and shape as the header has them:
 * "'<f4'", "False", "(2, 3)". */
static inline void npz_add(zip_file *z, const char *name, int format, const char *descr,
                           const char *order, const char *shape, const void *data,
                           size_t bytes, int method)
{
    const size_t before = format == 1 ? 10 : 12;
    char *header = base_text("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr,
                             order, shape);
    char *member = base_text("%s.npy", name);
    const size_t length = strlen(header);
    unsigned char *whole = base_alloc(before + length + bytes + 1, 1);

    memcpy(whole, "\x93NUMPY", 6);
    whole[6] = (unsigned char)format;
    zip_put(whole + 8, length, (int)before - 8);
    memcpy(whole + before, header, length);
    if (bytes > 0)
        memcpy(whole + before + length, data, bytes);
    zip_add(z, member, whole, before + length + bytes, method);
    base_free(whole);
    base_free(member);
    base_free(header);
}

#endif
