/* test_corrupt_large.c - pictures of twelve million pixels and of extreme shapes: every
 * corruption works, in a bounded share of memory, or is refused below 32 pixels. */
#include <math.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* How much of a picture's own memory (8-bit RGB) a corruption may take beside it: f32
 * planes and tables. */
#define MEMORY_MAX 30

static void check(size_t height, size_t width, int severity)
{
    const size_t samples = height * width * 3;
    unsigned char *in = base_alloc(samples, 1), *out = base_alloc(samples, 1);
    test_corrupt t = test_corrupt_open(NULL);

    ck_assert(in && out);
    test_corrupt_picture(in, height, width);
    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        const char *name = corrupt_kind_name((corrupt_kind)kind);
        const base_status status = corrupt_apply(t.worker, out, in, height, width,
                                                 (corrupt_kind)kind, severity, 1, &t.err);
        if (status == BASE_UNSUPPORTED) {
            ck_assert_msg(height < 32 || width < 32, "%s: %s", name, t.err.text);
            continue;
        }
        ck_assert_msg(status == BASE_OK, "%s at %zu x %zu: %s", name, width, height,
                      t.err.text);
        if (height > 100 && width > 100)
            ck_assert_msg(test_corrupt_distance(in, out, samples) > 1.0, "%s did nothing",
                          name);
    }
    base_free(in);
    base_free(out);
    test_corrupt_close(&t);
}

START_TEST(twelve_million_pixels_work)
{
    check(3000, 4096, 5);
    ck_assert_uint_lt(base_peak_bytes(), (size_t)MEMORY_MAX * 3000 * 4096 * 3);
}
END_TEST

START_TEST(extreme_shapes_work)
{
    check(CORRUPT_SIDE_MAX, 1, 3);
    check(1, CORRUPT_SIDE_MAX, 3);
    check(33, CORRUPT_SIDE_MAX, 1);
    check(CORRUPT_SIDE_MAX, 40, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt large");
    TCase *limits = test_case("Limits");
    tcase_set_timeout(limits, 900);
    tcase_add_test(limits, twelve_million_pixels_work);
    tcase_add_test(limits, extreme_shapes_work);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
