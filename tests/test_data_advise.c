/* test_data_advise.c - reading ahead: for which samples the system is asked, of which bytes
 * of which file; and when a long scan tells how far it is. This program's posix_fadvise and
 * clock take the place of the system's. */
#include "data/data_internal.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tests/test_layouts.h"
#include "tests/test_zip.h"

enum { LARGE = 16384, SMALL = LARGE - 1 };

static char asked[1000]; /* "FILE offset bytes;" of every call */
static char pixels[LARGE + 1];

int posix_fadvise(int fd, off_t offset, off_t bytes, int advice)
{
    char link[64], path[400] = "";
    const size_t used = strlen(asked);

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t got = readlink(link, path, sizeof path - 1);
    const char *slash = got > 0 ? strrchr(path, '/') : NULL;
    snprintf(asked + used, sizeof asked - used, "%s %ld %ld%s;", slash ? slash + 1 : "?",
             (long)offset, (long)bytes, advice == POSIX_FADV_WILLNEED ? "" : " other");
    return 0;
}

/* What is asked for all samples of the data, one after the other. */
static void check_asked(const char *spec, const char *want)
{
    const data_source_options options = {.allow_single_class = true};
    data_source *source = set_open(spec, &options);

    asked[0] = '\0';
    for (size_t i = 0; i < data_source_count(source); i++)
        data_source_advise(source, i);
    ck_assert_str_eq(asked, want);
    data_source_close(source);
}

static void setup_pixels(void)
{
    setup();
    memset(pixels, 'p', LARGE);
}

START_TEST(files_are_asked_for_whole)
{
    char *list = test_path(root, "l.txt"), *tree = test_path(root, "tree");

    set_file(root, "set/a/1.png", pixels, LARGE);
    set_file(root, "set/a/2.png", pixels, SMALL);
    set_file(root, "set/b/3.png", pixels, LARGE);
    char *set = test_path(root, "set");
    check_asked(set, "1.png 0 0;3.png 0 0;");
    set_text("l.txt", "set/b/3.png\t1\nset/a/2.png\t0\n");
    check_asked(list, "3.png 0 0;");
    set_file(root, "tree/fog/1/c/4.png", pixels, LARGE);
    check_asked(tree, "4.png 0 0;");
    ck_assert_int_eq(base_folder_remove(set, NULL), BASE_OK); /* no harm */
    base_free(set);
    base_free(list);
    base_free(tree);
}
END_TEST

START_TEST(members_of_tars_are_asked_for_where_they_lie)
{
    char *path, *list = test_path(root, "l.txt");
    FILE *tar = set_tar_open(&path, root, "x.tar");

    set_member(tar, "a/1.png", '0', pixels, SMALL);
    set_member(tar, "a/2.png", '0', pixels, LARGE);
    set_member(tar, "b/3.png", '0', pixels, LARGE);
    set_tar_end(tar);
    /* headers of 512 bytes at 0, 16896 and 33792 */
    check_asked(path, "x.tar 17408 16384;x.tar 34304 16384;");
    set_text("l.txt", "x.tar!b/3.png\t1\nx.tar!a/1.png\t0\n");
    check_asked(list, "x.tar 34304 16384;");
    base_free(list);
    base_free(path);
    tar = set_tar_open(&path, root, "fog.tar");
    set_member(tar, "fog/1/a/2.png", '0', pixels, LARGE);
    set_tar_end(tar);
    check_asked(path, "fog.tar 512 16384;");
    base_free(path);
    tar = set_tar_open(&path, root, "w.tar");
    set_member(tar, "1.jpg", '0', pixels, LARGE);
    set_member(tar, "1.cls", '0', "0", 1);
    set_tar_end(tar);
    check_asked(path, "w.tar 512 16384;");
    base_free(path);
}
END_TEST

START_TEST(members_of_zips_are_asked_for_with_their_headers)
{
    static zip_file zip;
    char *path = test_path(root, "x.zip");

    memset(&zip, 0, sizeof zip);
    zip_add(&zip, "a/1.png", pixels, SMALL, ZIP_STORED);
    zip_add(&zip, "a/2.png", pixels, LARGE, ZIP_STORED);
    zip_end(&zip, "");
    zip_write(&zip, path);
    check_asked(path, "x.zip 16420 16421;"); /* 30 and 7 more */
    base_free(path);
}
END_TEST

/* ---- the loader ---------------------------------------------------------------------- */

/* The names of the pictures that were asked for, without folders, endings and offsets. */
static void asked_names(char out[400])
{
    size_t used = 0;

    out[0] = '\0';
    for (const char *at = asked; *at; at = strchr(at, ';') + 1)
        used += (size_t)snprintf(out + used, 400 - used, "%s%.*s", used ? " " : "",
                                 (int)strcspn(at, "."), at);
}

/* Names of the samples of batches from number first on, every so many. */
static void sample_names(char out[400], const data_source *source,
                         const data_loader_config *config, size_t batches, size_t first)
{
    data_loader_config plain = *config;
    data_loader *loader = NULL;
    size_t used = 0;

    plain.readahead = false;
    ck_assert_int_eq(data_loader_create(&loader, source, &plain, NULL), BASE_OK);
    out[0] = '\0';
    for (size_t i = 0; i < batches; i++) {
        data_batch batch;
        char name[200];
        ck_assert_int_eq(data_loader_next(loader, &batch, NULL), BASE_OK);
        for (size_t k = 0; i >= first && k < batch.count; k++) {
            data_source_relative_name(source, batch.samples[k], name, sizeof name);
            used += (size_t)snprintf(out + used, 400 - used, "%s%.2s", used ? " " : "",
                                     strchr(name, '/') + 1);
        }
    }
    data_loader_destroy(loader);
}

/* While one batch is made the system is told of the next own one, within the epoch. */
START_TEST(the_next_batch_is_asked_for_while_one_is_made)
{
    data_loader_config config = data_loader_defaults();
    char name[32], found[400], want[400], *set = test_path(root, "set");

    for (size_t i = 0; i < 12; i++) {
        size_t bytes;
        unsigned char *png = set_png(&bytes, 100, 90, (unsigned)i * 3 + 1);
        unsigned char *large = base_alloc(LARGE + bytes, 1);
        memcpy(large, png, bytes); /* what follows a picture does not matter */
        snprintf(name, sizeof name, "set/%c/%02zu.png", (char)('a' + (int)(i % 2)), i);
        set_file(root, name, large, LARGE + bytes);
        base_free(large);
        base_free(png);
    }
    data_source *source = set_open(set, NULL);
    config.batch = 4;
    config.size = 8;
    config.threads = 0;
    for (int training = 0; training < 2; training++) {
        for (int ahead = 0; ahead < 2; ahead++) {
            data_loader *loader = NULL;
            config.training = training;
            config.readahead = ahead;
            ck_assert_int_eq(data_loader_create(&loader, source, &config, NULL), BASE_OK);
            asked[0] = '\0';
            for (int i = 0; i < 3; i++) {
                data_batch batch;
                ck_assert_int_eq(data_loader_next(loader, &batch, NULL), BASE_OK);
            }
            asked_names(found);
            sample_names(want, source, &config, 3, 1);
            ck_assert_str_eq(found, ahead ? want : "");
            data_loader_destroy(loader);
        }
    }
    /* batches 0 and 2 of every 4, of two samples each: while 0 is made, those of 2 */
    data_loader *loader = NULL;
    data_batch batch;
    config.training = false;
    config.batch = 2;
    config.take_every = 2;
    config.take_count = 1;
    ck_assert_int_eq(data_loader_create(&loader, source, &config, NULL), BASE_OK);
    asked[0] = '\0';
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(data_loader_next(loader, &batch, NULL), BASE_OK);
    asked_names(found);
    ck_assert_str_eq(found, "08 10 05 07"); /* of 00 02 04 06 08 10 01 03 05 07 09 11 */
    data_loader_destroy(loader);
    data_source_close(source);
    base_free(set);
}
END_TEST

/* ---- long scans ---------------------------------------------------------------------- */

static double clock_step =
    0.0; /* seconds from one look at the clock to the next; 0: none */
static double clock_now;

int clock_gettime(clockid_t which, struct timespec *out)
{
    (void)which;
    clock_now += clock_step;
    out->tv_sec = (time_t)clock_now;
    out->tv_nsec = (long)((clock_now - (double)out->tv_sec) * 1e9 + 0.5);
    return 0;
}

static char told[400]; /* "samples seconds;" of every call, '!' when done */

static void indexing(void *user, size_t samples, double seconds, bool done)
{
    const size_t used = strlen(told);

    ck_assert_ptr_eq(user, told);
    snprintf(told + used, sizeof told - used, "%zu %.1f%s;", samples, seconds,
             done ? "!" : "");
}

/* The clock is asked every 256 samples; told is after two seconds, once a second. */
START_TEST(a_long_scan_tells_how_far_it_is)
{
    static const struct {
        double step;
        const char *want;
    } cases[] = {{1.0, "512 2.0;768 3.0;1024 4.0;1280 5.0;1536 6.0;1600 7.0!;"},
                 {0.5, "1024 2.0;1536 3.0;1600 3.5!;"},
                 {0.75, "768 2.2;1280 3.8;1600 5.2!;"},
                 {0.25, ""}};
    char *list = test_path(root, "l.txt"), *text = base_alloc(1600, 10);

    set_text("a.png", "picture");
    for (size_t i = 0; i < 1600; i++)
        memcpy(text + 8 * i, i % 2 ? "a.png\t1\n" : "a.png\t0\n", 8);
    set_text("l.txt", text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const data_source_options options = {
            .indexing = indexing, .indexing_user = told, .index_cache = "none"};
        told[0] = '\0';
        clock_step = cases[i].step;
        clock_now = 1000;
        data_source_close(set_open(list, &options));
        clock_step = 0;
        ck_assert_str_eq(told, cases[i].want);
    }
    base_free(text);
    base_free(list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data advise");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup_pixels, teardown);
    tcase_add_test(core, files_are_asked_for_whole);
    tcase_add_test(core, members_of_tars_are_asked_for_where_they_lie);
    tcase_add_test(core, members_of_zips_are_asked_for_with_their_headers);
    tcase_add_test(core, the_next_batch_is_asked_for_while_one_is_made);
    tcase_add_test(core, a_long_scan_tells_how_far_it_is);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
