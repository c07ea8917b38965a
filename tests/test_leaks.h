/* test_leaks.h - cases whose tests must leave nothing behind: no open file and no memory.
 * The standard input is closed, so that the first file that a test opens has the number 0.
 * Blocks are counted by taking the place of malloc and its like: not with the sanitizers,
 * whose own check says the same. */
#ifndef TESTS_TEST_LEAKS_H
#define TESTS_TEST_LEAKS_H

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEST_LEAKS_PLACES = 1 << 16, TEST_LEAKS_MOST = TEST_LEAKS_PLACES / 2 };

static struct {
    pthread_mutex_t lock;
    void *at[TEST_LEAKS_PLACES]; /* open addressing */
    size_t blocks, files;
    bool ours; /* base_alloc's alone: each thread of the system's keeps a few */
} test_leaks = {.lock = PTHREAD_MUTEX_INITIALIZER};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *at);
extern size_t malloc_usable_size(void *at);

/* Where a block stands, or would. */
static inline size_t test_leaks_place(const void *at)
{
    size_t i = (uintptr_t)at / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 48;

    while (test_leaks.at[i] && test_leaks.at[i] != at)
        i = (i + 1) % TEST_LEAKS_PLACES;
    return i;
}

static inline void *test_leaks_add(void *at)
{
    pthread_mutex_lock(&test_leaks.lock);
    if (at && test_leaks.blocks < TEST_LEAKS_MOST) {
        test_leaks.at[test_leaks_place(at)] = at;
        test_leaks.blocks++;
    }
    pthread_mutex_unlock(&test_leaks.lock);
    return at;
}

void *malloc(size_t bytes)
{
    return test_leaks.ours ? __libc_malloc(bytes) : test_leaks_add(__libc_malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
    void *at = __libc_calloc(count, bytes);

    return test_leaks.ours ? at : test_leaks_add(at);
}

/* Whether this program's own code called, not a library that keeps blocks for itself. */
static inline bool test_leaks_called_by_us(const void *caller)
{
    extern char __executable_start, etext; /* the linker's */

    return (uintptr_t)caller >= (uintptr_t)&__executable_start &&
           (uintptr_t)caller < (uintptr_t)&etext;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    void *at = __libc_memalign(alignment, bytes);

    return !test_leaks.ours || test_leaks_called_by_us(__builtin_return_address(0))
               ? test_leaks_add(at)
               : at;
}

void free(void *at)
{
    if (!at)
        return;
    pthread_mutex_lock(&test_leaks.lock);
    const size_t i = test_leaks_place(at);
    if (test_leaks.at[i]) {
        test_leaks.at[i] = NULL;
        test_leaks.blocks--;
        for (size_t k = (i + 1) % TEST_LEAKS_PLACES; test_leaks.at[k];
             k = (k + 1) % TEST_LEAKS_PLACES) { /* those behind it find their places anew */
            void *next = test_leaks.at[k];
            test_leaks.at[k] = NULL;
            test_leaks.at[test_leaks_place(next)] = next;
        }
    }
    pthread_mutex_unlock(&test_leaks.lock);
    __libc_free(at);
}

void *realloc(void *at, size_t bytes)
{
    const size_t old = at ? malloc_usable_size(at) : 0;
    void *other = malloc(bytes);

    if (other && at)
        memcpy(other, at, old < bytes ? old : bytes);
    if (other || bytes == 0)
        free(at);
    return other;
}
#endif

static inline size_t test_leaks_files(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static inline void test_leaks_begin(void)
{
    struct stat info;

    if (fstat(0, &info) != 0 || !S_ISREG(info.st_mode)) /* else it is Check's own by now */
        close(0);
    test_leaks.ours = false;
    test_leaks.files = test_leaks_files();
    test_leaks.blocks = 0;
    memset(test_leaks.at, 0, sizeof test_leaks.at);
}

static inline void test_leaks_end(void)
{
    const size_t blocks = test_leaks.blocks, files = test_leaks_files();

    ck_assert_msg(files == test_leaks.files, "%zu files are open, %zu before", files,
                  test_leaks.files);
    /* In one process with the tests Check's own blocks are among them. */
    const char *forked = getenv("CK_FORK");
    ck_assert_msg(blocks == 0 || (forked && strcmp(forked, "no") == 0),
                  "%zu blocks of memory were not freed", blocks);
}

/* A case whose tests leave nothing behind; its own fixtures come after. */
static inline TCase *test_case(const char *name)
{
    TCase *made = tcase_create(name);

    tcase_add_checked_fixture(made, test_leaks_begin, test_leaks_end);
    return made;
}

static inline void test_leaks_begin_ours(void)
{
    test_leaks.ours = true;
}

/* The same where threads are made. */
static inline TCase *test_case_of_threads(const char *name)
{
    TCase *made = test_case(name);

    tcase_add_checked_fixture(made, test_leaks_begin_ours, NULL);
    return made;
}

#endif
