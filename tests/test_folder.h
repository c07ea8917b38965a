/* test_folder.h - a folder of one's own for a test, below $TMPDIR, and files in it. */
#ifndef TESTS_TEST_FOLDER_H
#define TESTS_TEST_FOLDER_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

/* Makes a fresh folder and returns its name: base_free, after test_folder_remove. */
static inline char *test_folder_make(void)
{
    const char *where = getenv("TMPDIR");
    char *name = base_text("%s/vmoe-test-XXXXXX", where ? where : "/tmp");

    ck_assert_ptr_nonnull(mkdtemp(name));
    return name;
}

/* Removes the folder and frees its name. */
static inline void test_folder_remove(char *name)
{
    ck_assert_int_eq(base_folder_remove(name, NULL), BASE_OK);
    base_free(name);
}

/* folder/name in new memory: base_free. */
static inline char *test_path(const char *folder, const char *name)
{
    return base_text("%s/%s", folder, name);
}

static inline void test_write(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "cannot write %s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

static inline bool test_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

/* The file holds exactly this text. */
static inline void test_holds(const char *path, const char *text)
{
    char *found = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_msg(base_file_read(&found, &bytes, path, (size_t)1 << 30, &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_str_eq(found, text);
    base_free(found);
}

#endif
