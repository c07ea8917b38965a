/* test_corrupt.h - what the tests of corrupt/ share: a set with a worker, a job for the
 * building blocks, and a picture made of integers, the same here and in
 * tests/reference/corrupt_model.py. */
#ifndef TESTS_TEST_CORRUPT_H
#define TESTS_TEST_CORRUPT_H

#include <check.h>
#include <string.h>

#include "corrupt/corrupt_internal.h"

typedef struct test_corrupt {
    corrupt_set *set;
    corrupt_worker *worker;
    base_error err;
} test_corrupt;

static inline test_corrupt test_corrupt_open(const corrupt_config *config)
{
    const corrupt_config defaults = corrupt_config_defaults();
    test_corrupt t = {0};

    ck_assert_msg(corrupt_set_create(&t.set, config ? config : &defaults, &t.err) ==
                      BASE_OK,
                  "%s", t.err.text);
    ck_assert_msg(corrupt_worker_create(&t.worker, t.set, &t.err) == BASE_OK, "%s",
                  t.err.text);
    return t;
}

static inline void test_corrupt_close(test_corrupt *t)
{
    corrupt_worker_destroy(t->worker);
    corrupt_set_destroy(t->set);
}

/* For a call of one building block. */
static inline corrupt_job test_corrupt_job(const test_corrupt *t, uint64_t seed)
{
    return (corrupt_job){.worker = t->worker,
                         .set = t->set,
                         .severity = 1,
                         .height = 1,
                         .width = 1,
                         .rng = base_rng_make(seed, BASE_PURPOSE_TEST, 0, 0, 0)};
}

static inline void test_corrupt_apply(test_corrupt *t, unsigned char *out,
                                      const unsigned char *in, size_t height, size_t width,
                                      int kind, int severity, uint64_t key)
{
    ck_assert_msg(corrupt_apply(t->worker, out, in, height, width, (corrupt_kind)kind,
                                severity, key, &t->err) == BASE_OK,
                  "%s %d at %zu x %zu: %s", corrupt_kind_name((corrupt_kind)kind), severity,
                  width, height, t->err.text);
}

/* picture [height, width, 3]: slopes, tiles of flat colour with grey, black and white ones
 * among them, and a fine texture in every second row of tiles. */
static inline void test_corrupt_picture(unsigned char *picture, size_t height, size_t width)
{
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            const uint32_t tile = y / 23 * 10 + x / 23;
            const uint32_t tint = (tile * 2654435761u) >> 8;
            const uint32_t grain = ((y * 7919u + x) * 2246822519u) >> 26; /* 0..63 */
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t v = tint >> 4 * c & 0xff;
                if (tile % 7 == 0)
                    v = tile % 2 ? 255 : 0;
                else if (tile % 5 == 0)
                    v = tint & 0xff;
                else if (y / 23 % 2)
                    v = (v * 3 + grain * 4) / 4;
                else
                    v = (v + (x * (c + 1) + y * (3 - c)) / 2 % 256) / 2;
                picture[(y * width + x) * 3 + c] = (unsigned char)v;
            }
        }
    }
}

/* Mean |a - b|, in levels. */
static inline double test_corrupt_distance(const unsigned char *a, const unsigned char *b,
                                           size_t count)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] < b[i] ? b[i] - a[i] : a[i] - b[i];
    return (double)sum / (double)count;
}

#endif
