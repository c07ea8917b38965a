/* test_base_memory.c - checked sizes, counted blocks, arenas. */
#include "base/base.h"

#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

START_TEST(blocks_are_zeroed_aligned_and_counted)
{
    const uint64_t before = base_alloc_count();

    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        unsigned char *at = base_alloc(bytes, 1);
        ck_assert_ptr_nonnull(at);
        ck_assert_uint_eq((uintptr_t)at % 64, 0);
        for (size_t i = 0; i < bytes; i++)
            ck_assert_uint_eq(at[i], 0);
        memset(at, 0xa5, bytes);
        base_free(at);
    }
    base_free(NULL);
    ck_assert_uint_eq(base_alloc_count() - before, 43); /* 0, 7 .. 294 */
}
END_TEST

START_TEST(an_arena_measures_what_it_takes)
{
    base_arena measure = {0};

    ck_assert_ptr_null(base_arena_take(&measure, 3, sizeof(float)));   /* 12 -> 64 */
    ck_assert_ptr_null(base_arena_take(&measure, 64, 1));              /* 64 */
    ck_assert_ptr_null(base_arena_take(&measure, 13, sizeof(double))); /* 104 -> 128 */
    ck_assert_uint_eq(measure.used, 256);
    ck_assert_uint_eq(measure.peak, 256);

    base_arena arena = {.at = base_alloc(measure.used, 1), .bytes = measure.used};
    unsigned char *a = base_arena_take(&arena, 3, sizeof(float));
    unsigned char *b = base_arena_take(&arena, 64, 1);
    unsigned char *c = base_arena_take(&arena, 13, sizeof(double));
    ck_assert_ptr_eq(a, arena.at);
    ck_assert_ptr_eq(b, a + 64);
    ck_assert_ptr_eq(c, b + 64);
    ck_assert_uint_eq(arena.used, 256);
    base_free(arena.at);
}
END_TEST

START_TEST(rewinding_gives_the_same_place_again_and_keeps_the_peak)
{
    base_arena arena = {.at = base_alloc(256, 1), .bytes = 256};

    base_arena_take(&arena, 1, 1);
    const size_t mark = arena.used;
    void *first = base_arena_take(&arena, 100, 1);
    base_arena_rewind(&arena, mark);
    ck_assert_ptr_eq(base_arena_take(&arena, 1, 1), first);
    ck_assert_uint_eq(arena.used, 128);
    ck_assert_uint_eq(arena.peak, 192);
    base_free(arena.at);
}
END_TEST

START_TEST(sizes_that_do_not_fit_are_refused)
{
    size_t out = 7;

    ck_assert(!base_mul_size(&out, SIZE_MAX, 2));
    ck_assert(!base_mul_size(&out, (size_t)1 << 40, (size_t)1 << 40));
    ck_assert(!base_add_size(&out, SIZE_MAX, 1));
    ck_assert_uint_eq(out, 7);
    ck_assert(base_mul_size(&out, SIZE_MAX, 1));
    ck_assert_uint_eq(out, SIZE_MAX);
    ck_assert(base_mul_size(&out, SIZE_MAX, 0));
    ck_assert_uint_eq(out, 0);
    ck_assert(base_add_size(&out, SIZE_MAX - 1, 1));
    ck_assert_uint_eq(out, SIZE_MAX);
}
END_TEST

START_TEST(impossible_blocks_give_null)
{
    ck_assert_ptr_null(base_alloc(SIZE_MAX, 1));
    ck_assert_ptr_null(base_alloc(SIZE_MAX, 8));
    ck_assert_ptr_null(base_alloc(SIZE_MAX / 2 + 1, 1));
}
END_TEST

START_TEST(a_full_arena_gives_null_and_stays_as_it_was)
{
    base_arena arena = {.at = base_alloc(128, 1), .bytes = 128};

    ck_assert_ptr_nonnull(base_arena_take(&arena, 65, 1));
    ck_assert_ptr_null(base_arena_take(&arena, 1, 1));
    ck_assert_ptr_null(base_arena_take(&arena, SIZE_MAX, SIZE_MAX));
    ck_assert_uint_eq(arena.used, 128);
    ck_assert_ptr_nonnull(base_arena_take(&arena, 0, 8));
    base_free(arena.at);
}
END_TEST

START_TEST(measuring_too_much_ends_in_a_size_no_block_has)
{
    base_arena measure = {0};

    base_arena_take(&measure, SIZE_MAX, 4);
    base_arena_take(&measure, 1, 4);
    ck_assert_uint_eq(measure.used, SIZE_MAX);
    ck_assert_ptr_null(base_alloc(measure.used, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_memory");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, blocks_are_zeroed_aligned_and_counted);
    tcase_add_test(core, an_arena_measures_what_it_takes);
    tcase_add_test(core, rewinding_gives_the_same_place_again_and_keeps_the_peak);
    tcase_add_test(limits, sizes_that_do_not_fit_are_refused);
    tcase_add_test(limits, impossible_blocks_give_null);
    tcase_add_test(limits, a_full_arena_gives_null_and_stays_as_it_was);
    tcase_add_test(limits, measuring_too_much_ends_in_a_size_no_block_has);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
