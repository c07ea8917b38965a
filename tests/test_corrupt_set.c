/* test_corrupt_set.c - the room's promises: names, refusals, the same bytes in any order,
 * on any thread, with any instruction set and preset, at any size; no memory an image after
 * the first. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/test_corrupt.h"
#include "tests/test_run.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTED 0 /* the sanitizers' allocator is not to be replaced */
#else
#define COUNTED 1
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *at, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
static atomic_ulong blocks_taken;

void *malloc(size_t bytes)
{
    atomic_fetch_add(&blocks_taken, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes)
{
    atomic_fetch_add(&blocks_taken, 1);
    return __libc_calloc(number, bytes);
}

void *realloc(void *at, size_t bytes)
{
    atomic_fetch_add(&blocks_taken, 1);
    return __libc_realloc(at, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&blocks_taken, 1);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    atomic_fetch_add(&blocks_taken, 1);
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
#endif

enum { SIDE = 61, WIDTH = 75, SAMPLES = SIDE * WIDTH * 3 };

static const char *const names[CORRUPT_KIND_COUNT] = {"gaussian_noise",
                                                      "shot_noise",
                                                      "impulse_noise",
                                                      "defocus_blur",
                                                      "glass_blur",
                                                      "motion_blur",
                                                      "zoom_blur",
                                                      "snow",
                                                      "frost",
                                                      "fog",
                                                      "brightness",
                                                      "contrast",
                                                      "elastic_transform",
                                                      "pixelate",
                                                      "jpeg_compression",
                                                      "speckle_noise",
                                                      "gaussian_blur",
                                                      "spatter",
                                                      "saturate"};

/* ---- names --------------------------------------------------------------------------- */

START_TEST(corruptions_are_called_as_published)
{
    for (int k = 0; k < CORRUPT_KIND_COUNT; k++) {
        const corrupt_kind kind = (corrupt_kind)k;
        corrupt_kind found;
        ck_assert_str_eq(corrupt_kind_name(kind), names[k]);
        ck_assert(corrupt_kind_find(&found, names[k]));
        ck_assert_int_eq(found, kind);
        ck_assert_uint_gt(strlen(corrupt_kind_summary(kind)), 10);
        ck_assert_ptr_null(strchr(corrupt_kind_summary(kind), '\n'));
        const char *group = corrupt_group_name(corrupt_kind_group(kind));
        ck_assert_str_eq(group, k < 3    ? "noise"
                                : k < 7  ? "blur"
                                : k < 11 ? "weather"
                                : k < 15 ? "digital"
                                         : "extra");
    }
    corrupt_kind kind = CORRUPT_KIND_FOG;
    ck_assert(!corrupt_kind_find(&kind, "fogs"));
    ck_assert(!corrupt_kind_find(&kind, ""));
    ck_assert_int_eq(kind, CORRUPT_KIND_FOG);
}
END_TEST

START_TEST(presets_go_by_size)
{
    ck_assert_str_eq(corrupt_preset_name(corrupt_preset_of_size(32, 32)), "32");
    ck_assert_str_eq(corrupt_preset_name(corrupt_preset_of_size(64, 64)), "64");
    ck_assert_str_eq(corrupt_preset_name(corrupt_preset_of_size(299, 299)), "299");
    ck_assert_str_eq(corrupt_preset_name(corrupt_preset_of_size(224, 224)), "224");
    static const size_t sides[] = {224, 299, 64, 32};
    for (int p = 0; p < CORRUPT_PRESET_COUNT; p++)
        ck_assert_uint_eq(corrupt_preset_side((corrupt_preset)p), sides[p]);
    static const struct {
        size_t height, width;
        const char *want;
    } cases[] = {{28, 28, "32"},    {1, 1, "32"},      {47, 47, "32"},
                 {48, 48, "64"},    {96, 96, "64"},    {143, 143, "64"},
                 {144, 144, "224"}, {192, 192, "224"}, {256, 256, "224"},
                 {261, 261, "224"}, {262, 262, "299"}, {384, 384, "299"},
                 {16, 64, "32"},    {32, 128, "64"},   {16384, 16384, "299"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(
            corrupt_preset_name(corrupt_preset_of_size(cases[i].height, cases[i].width)),
            cases[i].want);
}
END_TEST

START_TEST(image_names_have_their_keys)
{
    /* part of every published number: never to change */
    ck_assert_uint_eq(corrupt_name_key(""), UINT64_C(0xe220a8397b1dcdaf));
    ck_assert_uint_eq(corrupt_name_key("a/b.JPEG"),
                      base_key((const uint64_t[]){base_key((const uint64_t[]){8}, 1),
                                                  UINT64_C(0x4745504a2e622f61)},
                               2));
    ck_assert_uint_eq(
        corrupt_name_key("\xff"
                         "2345678\x80"
                         "b"), /* two chunks, unsigned */
        base_key(
            (const uint64_t[]){
                base_key((const uint64_t[]){base_key((const uint64_t[]){10}, 1),
                                            UINT64_C(0x38373635343332ff)},
                         2),
                0x6280},
            2));
    ck_assert_uint_ne(corrupt_name_key("a/b"), corrupt_name_key("a/c"));
    ck_assert_uint_ne(corrupt_name_key("12345678"), corrupt_name_key("123456789"));
}
END_TEST

/* ---- the same bytes ------------------------------------------------------------------ */

/* A hash of what becomes of one image. */
static uint64_t outcome(test_corrupt *t, const unsigned char *in, int kind, int severity,
                        uint64_t key)
{
    unsigned char out[SAMPLES + 8] = {0};
    uint64_t words[SAMPLES / 8 + 1];

    test_corrupt_apply(t, out, in, SIDE, WIDTH, kind, severity, key);
    memcpy(words, out, sizeof words);
    return base_key(words, sizeof words / sizeof *words);
}

START_TEST(instruction_sets_agree)
{
    static const char *const sets[] = {"base", "avx2", "avx512"};
    unsigned char in[SAMPLES];

    test_corrupt_picture(in, SIDE, WIDTH);
    for (int preset = 0; preset < CORRUPT_PRESET_COUNT; preset++) {
        corrupt_config config = corrupt_config_defaults();
        config.preset = (corrupt_preset)preset;
        test_corrupt t = test_corrupt_open(&config);
        for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
            const int severity = 1 + (kind + preset) % 5;
            uint64_t first = 0;
            for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
                if (!corrupt_set_instructions(t.set, sets[i]))
                    continue; /* not on this processor */
                ck_assert_str_eq(corrupt_set_instructions_name(t.set), sets[i]);
                const uint64_t now = outcome(&t, in, kind, severity, 7);
                if (i == 0)
                    first = now;
                ck_assert_msg(now == first, "%s %d differs with %s", names[kind], severity,
                              sets[i]);
            }
        }
        test_corrupt_close(&t);
    }
}
END_TEST

START_TEST(random_ones_depend_on_seed_key_and_severity)
{
    unsigned char in[SAMPLES];
    corrupt_config config = corrupt_config_defaults();
    test_corrupt a = test_corrupt_open(&config);
    config.seed = 1;
    test_corrupt b = test_corrupt_open(&config);

    test_corrupt_picture(in, SIDE, WIDTH);
    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        const bool random = corrupt_kind_is_random((corrupt_kind)kind);
        /* severity 5: a spatter of severity 1 may miss so small a picture */
        const uint64_t one = outcome(&a, in, kind, 5, 1);
        ck_assert_uint_eq(one, outcome(&a, in, kind, 5, 1));
        ck_assert_msg((one != outcome(&a, in, kind, 5, 2)) == random, "%s", names[kind]);
        ck_assert_msg((one != outcome(&b, in, kind, 5, 1)) == random, "%s", names[kind]);
        ck_assert_uint_ne(one, outcome(&a, in, kind, 4, 1));
    }
    test_corrupt_close(&a);
    test_corrupt_close(&b);
}
END_TEST

enum { KEYS = 3, JOBS = CORRUPT_KIND_COUNT * KEYS, THREADS = 3 };

typedef struct crowd {
    const unsigned char *in;
    const corrupt_set *set;
    atomic_int next;
    uint64_t found[JOBS];
} crowd;

static void *work(void *user)
{
    crowd *all = user;
    test_corrupt t = {.set = NULL};

    if (corrupt_worker_create(&t.worker, all->set, &t.err) != BASE_OK)
        return user;
    for (int job; (job = atomic_fetch_add(&all->next, 1)) < JOBS;) {
        const int turned =
            (int)((unsigned)job * 31u % JOBS); /* another order: 31 and 57 are coprime */
        all->found[turned] =
            outcome(&t, all->in, turned / KEYS, 1 + turned % 5, (uint64_t)(turned % KEYS));
    }
    corrupt_worker_destroy(t.worker);
    return NULL;
}

START_TEST(threads_and_order_do_not_matter)
{
    unsigned char in[SAMPLES];
    test_corrupt t = test_corrupt_open(NULL);
    static crowd all;
    pthread_t threads[THREADS];

    test_corrupt_picture(in, SIDE, WIDTH);
    all.in = in;
    all.set = t.set;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &all), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    for (int job = 0; job < JOBS; job++)
        ck_assert_uint_eq(all.found[job],
                          outcome(&t, in, job / KEYS, 1 + job % 5, (uint64_t)(job % KEYS)));
    test_corrupt_close(&t);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------- */

static unsigned long taken(void)
{
#if COUNTED
    return atomic_load(&blocks_taken);
#else
    return 0;
#endif
}

/* Check takes memory at every assertion: none between the counts. */
START_TEST(images_after_the_first_take_no_memory)
{
    unsigned char in[SAMPLES], out[SAMPLES];
    const unsigned char *bytes;
    size_t size;
    test_corrupt t = test_corrupt_open(NULL);
    bool worked = true;
    uint64_t counted = 0;
    unsigned long all = 0;

    test_corrupt_picture(in, SIDE, WIDTH);
    for (uint64_t round = 0; round < 3; round++) {
        if (round == 1) {
            counted = base_alloc_count();
            all = taken();
        }
        for (int i = 0; i < CORRUPT_KIND_COUNT * 5; i++)
            worked &= corrupt_apply(t.worker, out, in, SIDE, WIDTH, (corrupt_kind)(i / 5),
                                    1 + i % 5, round, &t.err) == BASE_OK;
        worked &=
            corrupt_jpeg_roundtrip(t.worker, out, in, SIDE, WIDTH, 85, &t.err) == BASE_OK &&
            corrupt_jpeg_encode(t.worker, &bytes, &size, in, SIDE, WIDTH, 85, &t.err) ==
                BASE_OK;
    }
    counted = base_alloc_count() - counted;
    all = taken() - all;
    ck_assert_msg(worked, "%s", t.err.text);
    ck_assert_uint_eq(counted, 0);
    ck_assert_uint_eq(all, 0);
    test_corrupt_close(&t);
}
END_TEST

/* ---- sizes and refusals -------------------------------------------------------------- */

/* Every kind at a size: works, or is refused with one line; the bytes beyond out stay. */
static void check_size(test_corrupt *t, size_t height, size_t width,
                       const unsigned char *in, uint64_t key)
{
    const size_t samples = height * width * 3;
    unsigned char *out = base_alloc(samples + 64, 1);

    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        const int severity = 1 + (int)((key + (uint64_t)kind) % 5);
        memset(out + samples, 0xa5, 64);
        t->err.text[0] = 0;
        const base_status status = corrupt_apply(
            t->worker, out, in, height, width, (corrupt_kind)kind, severity, key, &t->err);
        ck_assert_msg(status == BASE_OK || status == BASE_UNSUPPORTED,
                      "%s %d at %zu x %zu: %s", names[kind], severity, width, height,
                      t->err.text);
        if (status == BASE_UNSUPPORTED) {
            ck_assert_msg(strstr(t->err.text, names[kind]) != NULL, "%s", t->err.text);
            ck_assert_msg(height < 32 || width < 32, "%s at %zu x %zu", names[kind], width,
                          height);
        }
        for (int i = 0; i < 64; i++)
            ck_assert_msg(out[samples + (size_t)i] == 0xa5, "%s at %zu x %zu", names[kind],
                          width, height);
    }
    base_free(out);
}

/* Its end is where the memory ends, so that a sanitizer sees a read beyond. */
static void check_picture(test_corrupt *t, size_t height, size_t width, int sort,
                          uint64_t key)
{
    const size_t samples = height * width * 3;
    unsigned char *in = malloc(samples);

    ck_assert_ptr_nonnull(in);
    if (sort == 0)
        test_corrupt_picture(in, height, width);
    else if (sort == 1)
        memset(in, 0, samples);
    else if (sort == 2)
        memset(in, 255, samples);
    else /* grey noise */
        for (size_t i = 0; i < samples; i++)
            in[i] = (unsigned char)(i / 3 * 2654435761u >> 16);
    check_size(t, height, width, in, key);
    free(in);
}

START_TEST(any_size_and_picture_works_or_is_refused)
{
    static const size_t sizes[][2] = {{1, 1},   {1, 2},   {2, 1},   {2, 2},
                                      {3, 5},   {1, 40},  {40, 1},  {7, 300},
                                      {300, 7}, {31, 31}, {32, 32}, {33, 129}};
    test_corrupt t = test_corrupt_open(NULL);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int sort = 0; sort < 4; sort++)
            check_picture(&t, sizes[i][0], sizes[i][1], sort, i);
    }
    test_corrupt_close(&t);
}
END_TEST

START_TEST(random_sizes_work_with_every_preset)
{
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);

    for (int preset = 0; preset < CORRUPT_PRESET_COUNT; preset++) {
        corrupt_config config = corrupt_config_defaults();
        config.preset = (corrupt_preset)preset;
        test_corrupt t = test_corrupt_open(&config);
        for (uint64_t i = 0; i < 8; i++) {
            const size_t height = (size_t)(1 + base_rng_below(&rng, 90));
            const size_t width = (size_t)(1 + base_rng_below(&rng, 90));
            check_picture(&t, height, width, (int)(i % 4), i);
        }
        test_corrupt_close(&t);
    }
}
END_TEST

/* Nor does what lies behind a picture, before and behind out. */
START_TEST(only_the_picture_counts)
{
    enum { MOST = 16 * 9 * 3, AROUND = 64 };
    static const size_t sizes[][2] = {{3, 5}, {16, 9}};
    unsigned char in[MOST + AROUND], out[2][MOST + 2 * AROUND];
    test_corrupt t = test_corrupt_open(NULL);

    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        for (size_t i = 0; i < 2; i++) {
            const size_t samples = sizes[i][0] * sizes[i][1] * 3;
            base_status status[2];
            for (int fill = 0; fill < 2; fill++) {
                memset(in, fill ? 255 : 0, sizeof in);
                memset(out[fill], 0xa5, sizeof out[fill]);
                test_corrupt_picture(in, sizes[i][0], sizes[i][1]);
                status[fill] = corrupt_apply(t.worker, out[fill] + AROUND, in, sizes[i][0],
                                             sizes[i][1], (corrupt_kind)kind, 3, 5, &t.err);
                for (size_t j = 0; j < AROUND; j++)
                    ck_assert(out[fill][j] == 0xa5 &&
                              out[fill][AROUND + samples + j] == 0xa5);
            }
            ck_assert_int_eq(status[0], status[1]);
            if (status[0] == BASE_OK)
                ck_assert_msg(memcmp(out[0], out[1], sizeof out[0]) == 0, "%s",
                              names[kind]);
        }
    }
    test_corrupt_close(&t);
}
END_TEST

static void check_refused(test_corrupt *t, size_t height, size_t width, int kind,
                          int severity, const char *expected)
{
    unsigned char in[3] = {0}, out[3];

    ck_assert_int_ne(corrupt_apply(t->worker, out, in, height, width, (corrupt_kind)kind,
                                   severity, 0, &t->err),
                     BASE_OK);
    ck_assert_msg(strstr(t->err.text, expected) != NULL, "%s", t->err.text);
}

START_TEST(nonsense_is_refused_with_one_line)
{
    test_corrupt t = test_corrupt_open(NULL);
    corrupt_config config = corrupt_config_defaults();
    corrupt_set *set = NULL;
    const unsigned char pixel[3] = {0};

    check_refused(&t, 1, 1, CORRUPT_KIND_FOG, 0, "severity 0, expected 1 to 5");
    check_refused(&t, 1, 1, CORRUPT_KIND_FOG, 6, "severity 6, expected 1 to 5");
    check_refused(&t, 1, 1, CORRUPT_KIND_COUNT, 1, "no corruption 19");
    check_refused(&t, 1, 1, -1, 1, "no corruption -1");
    check_refused(&t, 0, 1, CORRUPT_KIND_FOG, 1, "1 x 0, expected 1 to 16384");
    check_refused(&t, 1, 16385, CORRUPT_KIND_FOG, 1, "16385 x 1, expected 1 to 16384");

    config.preset = CORRUPT_PRESET_COUNT;
    ck_assert_int_eq(corrupt_set_create(&set, &config, &t.err), BASE_USAGE);
    config = corrupt_config_defaults();
    config.frost[2] = (corrupt_texture){pixel, 1, 1};
    ck_assert_int_eq(corrupt_set_create(&set, &config, &t.err), BASE_USAGE);
    ck_assert_msg(strstr(t.err.text, "1 frost pictures were given") != NULL, "%s",
                  t.err.text);
    for (int i = 0; i < CORRUPT_FROST_COUNT; i++)
        config.frost[i] = (corrupt_texture){pixel, 1, 0};
    ck_assert_int_eq(corrupt_set_create(&set, &config, &t.err), BASE_UNSUPPORTED);
    ck_assert_ptr_null(set);
    corrupt_set_destroy(NULL);
    corrupt_worker_destroy(NULL);
    ck_assert(!corrupt_set_instructions(t.set, "mmx"));
    test_corrupt_close(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt set");
    TCase *core = tcase_create("Core");
    tcase_add_test(core, corruptions_are_called_as_published);
    tcase_add_test(core, presets_go_by_size);
    tcase_add_test(core, image_names_have_their_keys);
    tcase_add_test(core, instruction_sets_agree);
    tcase_add_test(core, random_ones_depend_on_seed_key_and_severity);
    tcase_add_test(core, threads_and_order_do_not_matter);
    tcase_add_test(core, images_after_the_first_take_no_memory);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("Limits");
    tcase_add_test(limits, any_size_and_picture_works_or_is_refused);
    tcase_add_test(limits, random_sizes_work_with_every_preset);
    tcase_add_test(limits, only_the_picture_counts);
    tcase_add_test(limits, nonsense_is_refused_with_one_line);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
