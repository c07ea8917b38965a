/* test_data_files.c - more archives than may be open at a time, read by several threads;
 * and archives that change behind the reader's back. */
#include "data/data_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

enum { ARCHIVES = DATA_FILES_OPEN + 40, THREADS = 4 };

static char *root;

static void setup(void)
{
    root = test_folder_make();
}

static void teardown(void)
{
    test_folder_remove(root);
}

static size_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

/* A file that holds its own number. */
static char *write_number(size_t i)
{
    char name[32], text[32];

    snprintf(name, sizeof name, "%zu", i);
    snprintf(text, sizeof text, "number %05zu", i);
    char *path = test_path(root, name);
    test_write(path, text, strlen(text));
    return path;
}

typedef struct reader {
    pthread_t thread;
    data_files *files;
    size_t first, wrong;
} reader;

static void *read_all(void *user)
{
    reader *r = user;
    unsigned char found[13] = {0};
    char expected[13];

    for (size_t k = 0; k < 2 * ARCHIVES; k++) {
        const size_t i = (r->first + 7 * k) % ARCHIVES;
        snprintf(expected, sizeof expected, "number %05zu", i);
        if (data_files_read(r->files, i, found, 12, 0, NULL) != BASE_OK ||
            strcmp((char *)found, expected) != 0)
            r->wrong++;
    }
    return NULL;
}

START_TEST(more_archives_than_may_be_open_are_read_by_all_threads)
{
    data_files *files = NULL;
    reader readers[THREADS] = {0};
    uint32_t number;
    const size_t before = open_files();

    ck_assert_int_eq(data_files_create(&files, NULL), BASE_OK);
    for (size_t i = 0; i < ARCHIVES; i++) {
        char *path = write_number(i);
        ck_assert_int_eq(data_files_add(&number, files, path, NULL), BASE_OK);
        ck_assert_uint_eq(number, i);
        base_free(path);
    }
    for (size_t t = 0; t < THREADS; t++) {
        readers[t] = (reader){.files = files, .first = t * 100};
        ck_assert_int_eq(pthread_create(&readers[t].thread, NULL, read_all, &readers[t]),
                         0);
    }
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(readers[t].thread, NULL);
        ck_assert_uint_eq(readers[t].wrong, 0);
    }
    ck_assert_uint_le(open_files() - before, DATA_FILES_OPEN);
    data_files_destroy(files);
    ck_assert_uint_eq(open_files(), before);
}
END_TEST

START_TEST(an_archive_that_was_replaced_is_not_read)
{
    data_files *files = NULL;
    uint32_t number;
    unsigned char byte;
    base_error err = {0};
    char *path = write_number(1), *other = write_number(2);

    ck_assert_int_eq(data_files_create(&files, NULL), BASE_OK);
    ck_assert_int_eq(data_files_add(&number, files, path, NULL), BASE_OK);
    ck_assert_int_eq(rename(other, path), 0);
    ck_assert_int_eq(data_files_read(files, number, &byte, 1, 0, &err), BASE_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "has changed since it was indexed"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(data_files_read(files, number, &byte, 1, 0, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "read error"));
    data_files_destroy(files);
    base_free(path);
    base_free(other);
}
END_TEST

/* Size and time set back: another file all the same. Then one thing at a time. */
START_TEST(an_archive_is_known_by_file_size_and_time)
{
    enum { COPY, SIZE, SECONDS, NANOSECONDS, WAYS };

    for (int way = 0; way < WAYS; way++) {
        data_files *files = NULL;
        uint32_t number;
        unsigned char byte;
        base_error err = {0};
        char *path = write_number(1), *other = write_number(2);
        struct timespec times[2] = {{1000, 5000}, {1000, 5000}};

        ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
        ck_assert_int_eq(data_files_create(&files, NULL), BASE_OK);
        ck_assert_int_eq(data_files_add(&number, files, path, NULL), BASE_OK);
        if (way == COPY)
            ck_assert_int_eq(rename(other, path), 0);
        if (way == SIZE)
            ck_assert_int_eq(truncate(path, 5), 0);
        times[1].tv_sec += way == SECONDS;
        times[1].tv_nsec += way == NANOSECONDS;
        ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
        ck_assert_msg(data_files_read(files, number, &byte, 1, 0, &err) == BASE_FORMAT,
                      "way %d", way);
        ck_assert_ptr_nonnull(strstr(err.text, "has changed since it was indexed"));
        times[1] = (struct timespec){1000, 5000};
        ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
        if (way >= SECONDS) /* the same as ever */
            ck_assert_int_eq(data_files_read(files, number, &byte, 1, 0, &err), BASE_OK);
        data_files_destroy(files);
        base_free(path);
        base_free(other);
    }
}
END_TEST

START_TEST(what_is_no_file_does_not_join)
{
    data_files *files = NULL;
    uint32_t number;
    base_error err = {0};

    ck_assert_int_eq(data_files_create(&files, NULL), BASE_OK);
    ck_assert_int_eq(data_files_add(&number, files, root, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "is not a file"));
    ck_assert_int_eq(data_files_add(&number, files, "/nowhere/x.tar", &err), BASE_IO);
    ck_assert_uint_eq(data_files_count(files), 0);
    data_files_destroy(files);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_files");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, more_archives_than_may_be_open_are_read_by_all_threads);
    tcase_add_test(limits, an_archive_that_was_replaced_is_not_read);
    tcase_add_test(core, an_archive_is_known_by_file_size_and_time);
    tcase_add_test(limits, what_is_no_file_does_not_join);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
