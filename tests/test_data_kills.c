/* test_data_kills.c - data that changes between indexing and reading, and headers that
 * promise more than memory holds (data.md 5, 12.8): a bad sample with its reason, never a
 * crash or a wrong picture. */
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/test_leaks.h"
#include "tests/test_loader.h"

enum { COUNT = 6 };

typedef struct flaws {
    size_t bad;
    char reason[COUNT][200];
} flaws;

static void keep_flaw(void *user, size_t sample, data_health health, const char *reason)
{
    flaws *f = user;

    ck_assert_int_eq(health, DATA_HEALTH_BAD);
    ck_assert_uint_lt(sample, COUNT);
    f->bad++;
    snprintf(f->reason[sample], sizeof f->reason[sample], "%s", reason);
}

/* An evaluation of what is open, with two threads; each sample's reason. */
static flaws evaluate(void)
{
    data_loader_config config = evaluation(4);
    flaws f = {0};
    size_t images = 0;

    config.threads = 2;
    config.skip_bad = true;
    config.named = keep_flaw;
    config.named_user = &f;
    data_loader *loader = make_loader(&config);
    for (data_batch b = next(loader); b.count > 0; b = next(loader)) {
        for (size_t i = 0; i < b.count; i++)
            ck_assert_int_eq(b.bad[i], f.reason[b.samples[i]][0] != '\0');
        images += b.count;
    }
    ck_assert_uint_eq(images, COUNT);
    ck_assert_uint_eq(data_loader_counts(loader).bad, f.bad);
    data_loader_destroy(loader);
    return f;
}

static char *sample_path(size_t sample)
{
    char name[100];

    data_source_relative_name(source, sample, name, sizeof name);
    return base_text("%s/set/%s", root, name);
}

START_TEST(files_that_go_shrink_or_change_after_indexing)
{
    unsigned char *png;
    size_t bytes;

    make_set(COUNT);
    open_set();
    char *gone = sample_path(0), *cut = sample_path(1), *other = sample_path(2),
         *longer = sample_path(3), *folder = sample_path(4);
    ck_assert_int_eq(unlink(gone), 0);
    ck_assert_int_eq(truncate(cut, 40), 0);
    png = set_png(&bytes, 50, 40, 99); /* another size: not what was indexed */
    test_write(other, png, bytes);
    base_free(png);
    FILE *file = fopen(longer, "ab");
    fputs("more", file);
    fclose(file);
    ck_assert_int_eq(unlink(folder), 0);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    const flaws f = evaluate();
    ck_assert_uint_eq(f.bad, 5);
    ck_assert_ptr_nonnull(strstr(f.reason[0], "read error: "));
    for (int i = 1; i <= 4; i++)
        ck_assert_msg(f.reason[i][0] != '\0', "sample %d", i);
    base_free(gone);
    base_free(cut);
    base_free(other);
    base_free(longer);
    base_free(folder);
}
END_TEST

/* The set as an archive; sample i is member i. */
static char *make_tar(void)
{
    char *path, name[32];
    FILE *file = set_tar_open(&path, root, "set.tar");

    for (size_t i = 0; i < COUNT; i++) {
        size_t bytes;
        unsigned char *png = set_png(&bytes, 10, 9, (unsigned)i);
        snprintf(name, sizeof name, "%c/%zu.png", i < 3 ? 'a' : 'b', i);
        set_member(file, name, '0', png, bytes);
        base_free(png);
    }
    set_tar_end(file);
    source = set_open(path, NULL);
    return path;
}

START_TEST(an_archive_that_shrinks_after_indexing)
{
    char *path = make_tar();

    ck_assert_int_eq(truncate(path, 512 + 100), 0);
    const flaws f = evaluate();
    ck_assert_uint_eq(f.bad, COUNT);
    ck_assert_ptr_nonnull(strstr(f.reason[COUNT - 1], "truncated"));
    base_free(path);
}
END_TEST

/* It is open since it was indexed: what is read is what was indexed. (One that must be
 * opened again is refused: test_data_files.c.) */
START_TEST(an_archive_that_goes_or_is_replaced_after_indexing)
{
    char *path = make_tar(), *other = test_path(root, "other.tar");

    test_write(other, "another", 7);
    ck_assert_int_eq(rename(other, path), 0);
    ck_assert_uint_eq(evaluate().bad, 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_uint_eq(evaluate().bad, 0);
    base_free(path);
    base_free(other);
}
END_TEST

/* A header of a JPEG or PNG that declares width x height, and nothing else. */
static size_t bomb(unsigned char *out, bool png, unsigned width, unsigned height)
{
    static const unsigned char start[] = {0xff, 0xd8, 0xff, 0xc0, 0, 17, 8};
    static const unsigned char parts[] = {3,    1, 0x11, 0,    2, 0x11, 0,  3,
                                          0x11, 0, 0xff, 0xda, 0, 12,   3,  1,
                                          0,    2, 0,    3,    0, 0,    63, 0};
    size_t n = 0;

    if (png) {
        memcpy(out, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
        for (int i = 0; i < 4; i++) {
            out[16 + i] = (unsigned char)(width >> (24 - 8 * i));
            out[20 + i] = (unsigned char)(height >> (24 - 8 * i));
        }
        memcpy(out + 24, "\x08\x02\0\0\0\0\0\0\0", 9);
        return 33;
    }
    memcpy(out, start, sizeof start);
    n = sizeof start;
    out[n++] = (unsigned char)(height >> 8);
    out[n++] = (unsigned char)height;
    out[n++] = (unsigned char)(width >> 8);
    out[n++] = (unsigned char)width;
    memcpy(out + n, parts, sizeof parts);
    return n + sizeof parts;
}

/* Decodes bombs in a process that may have little more memory than it has; exit status: how
 * many were not refused for their size. */
static int defuse(void)
{
    static const unsigned sides[][2] = {{65500, 65500}, {65500, 3000}, {20000, 20000}};
    const data_decode_limits limits = data_loader_defaults().limits;
    data_decoder *decoder = NULL;
    data_image image = {0};
    data_health health;
    unsigned char bytes[64];
    int wrong = 0;
    base_error err = {0};

    if (data_decoder_create(&decoder, &limits, &err) != BASE_OK)
        return 99;
#if !defined(__SANITIZE_ADDRESS__)
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu", &pages) != 1)
        return 98;
    fclose(file);
    const rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (8 << 20);
    if (setrlimit(RLIMIT_AS, &(struct rlimit){most, most}) != 0)
        return 97;
#endif
    for (int i = 0; i < 6; i++) {
        const unsigned *side = sides[i / 2];
        const size_t size = bomb(bytes, i % 2 == 1, side[0], side[1]);
        char expected[64];
        snprintf(expected, sizeof expected, "too large %ux%u", side[0], side[1]);
        wrong += data_decode(&image, &health, decoder, bytes, size, NULL, 0, &err) !=
                     BASE_FORMAT ||
                 strcmp(err.text, expected) != 0;
    }
    data_image_destroy(&image);
    data_decoder_destroy(decoder);
    return wrong;
}

START_TEST(bombs_are_refused_before_memory_is_taken)
{
    int state = 0;
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(defuse());
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 0, "status %x",
                  (unsigned)state);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_kills");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, files_that_go_shrink_or_change_after_indexing);
    tcase_add_test(core, an_archive_that_shrinks_after_indexing);
    tcase_add_test(core, an_archive_that_goes_or_is_replaced_after_indexing);
    tcase_add_test(limits, bombs_are_refused_before_memory_is_taken);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
