/* test_base_file.c - files appear whole or not at all; reading keeps to its limit. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static char *dir, *path;

static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "out.txt");
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

/* Files in the folder whose name begins with "out.txt." and ends with ".part". */
static int parts(void)
{
    DIR *folder = opendir(dir);
    int count = 0;

    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const size_t length = strlen(entry->d_name);
        count += strncmp(entry->d_name, "out.txt.", 8) == 0 && length > 5 &&
                 strcmp(entry->d_name + length - 5, ".part") == 0;
    }
    closedir(folder);
    return count;
}

START_TEST(a_committed_file_is_whole_and_alone)
{
    base_writer out;

    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    fprintf(out.file, "hello\n");
    ck_assert(!test_exists(path));
    ck_assert_int_eq(parts(), 1);
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    test_holds(path, "hello\n");
    ck_assert_int_eq(parts(), 0);
    base_writer_abandon(&out); /* after commit: nothing */
    test_holds(path, "hello\n");
}
END_TEST

START_TEST(an_abandoned_file_leaves_the_older_one)
{
    base_writer out;
    base_writer zero = {0};

    test_write(path, "old", 3);
    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    fprintf(out.file, "new");
    base_writer_abandon(&out);
    base_writer_abandon(&out);
    base_writer_abandon(&zero);
    test_holds(path, "old");
    ck_assert_int_eq(parts(), 0);
}
END_TEST

START_TEST(a_commit_replaces_the_older_file)
{
    base_writer out;

    test_write(path, "old", 3);
    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    fprintf(out.file, "new");
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    test_holds(path, "new");
}
END_TEST

START_TEST(a_link_stays_and_its_target_is_renewed)
{
    base_writer out;
    struct stat info;
    char *link = test_path(dir, "link.txt");

    test_write(path, "old", 3);
    ck_assert_int_eq(symlink("out.txt", link), 0);
    ck_assert_int_eq(base_writer_open(&out, link, NULL), BASE_OK);
    fprintf(out.file, "new");
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    ck_assert(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    test_holds(path, "new");
    base_free(link);
}
END_TEST

START_TEST(a_device_is_written_to_and_not_renamed_over)
{
    base_writer out;
    struct stat info;

    ck_assert_int_eq(base_writer_open(&out, "/dev/null", NULL), BASE_OK);
    fprintf(out.file, "nobody reads this");
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    ck_assert(lstat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}
END_TEST

START_TEST(writers_of_one_file_do_not_meet)
{
    base_writer one, two;

    ck_assert_int_eq(base_writer_open(&one, path, NULL), BASE_OK);
    ck_assert_int_eq(base_writer_open(&two, path, NULL), BASE_OK);
    ck_assert_int_eq(parts(), 2);
    ck_assert_str_ne(one.part, two.part);
    fprintf(one.file, "one");
    fprintf(two.file, "two");
    ck_assert_int_eq(base_writer_commit(&two, NULL), BASE_OK);
    test_holds(path, "two");
    ck_assert_int_eq(base_writer_commit(&one, NULL), BASE_OK);
    test_holds(path, "one");
    ck_assert_int_eq(parts(), 0);
}
END_TEST

START_TEST(a_planted_link_is_not_written_through)
{
    char *victim = test_path(dir, "victim"), *link = test_path(dir, "out.txt.part");
    base_writer out;

    test_write(victim, "precious", 8);
    ck_assert_int_eq(symlink("victim", link), 0);
    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    fprintf(out.file, "new");
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    test_holds(path, "new");
    test_holds(victim, "precious");
    base_free(link);
    base_free(victim);
}
END_TEST

START_TEST(the_longest_name_can_be_written)
{
    char name[NAME_MAX + 1];
    base_writer out;

    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = 0;
    char *longest = test_path(dir, name);
    ck_assert_int_eq(base_writer_open(&out, longest, NULL), BASE_OK);
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    test_holds(longest, "");
    base_free(longest);
}
END_TEST

START_TEST(a_pipe_is_written_when_somebody_reads_it)
{
    base_writer out;
    base_error err = {0};
    char text[8] = "";

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    const int reader = open(path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    fprintf(out.file, "hello");
    ck_assert_int_eq(base_writer_commit(&out, NULL), BASE_OK);
    ck_assert_int_eq(read(reader, text, 5), 5);
    ck_assert_str_eq(text, "hello");
    close(reader);
    base_stop_ask(); /* this test's process alone */
    ck_assert_int_eq(base_writer_open(&out, path, &err), BASE_INTERRUPTED);
    ck_assert_msg(strstr(err.text, "nobody reads '") != NULL, "%s", err.text);
}
END_TEST

/* A disk with room for 4096 bytes: each write beyond fails, as on a full one. */
static struct rlimit lowered(void)
{
    struct rlimit before, low;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    low = before;
    low.rlim_cur = 4096;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    return before;
}

static void write_numbers(size_t count)
{
    base_writer out;
    base_error err = {0};

    test_write(path, "old", 3);
    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    const struct rlimit before = lowered();
    for (size_t i = 0; i < count; i++)
        putc('x', out.file);
    const base_status status = base_writer_commit(&out, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(status, BASE_IO);
    ck_assert_msg(strstr(err.text, path) && strstr(err.text, strerror(EFBIG)), "%s",
                  err.text);
    test_holds(path, "old");
    ck_assert_int_eq(parts(), 0);
}

START_TEST(a_full_disk_is_told_and_leaves_the_older_file)
{
    write_numbers(4097);   /* the last flush fails */
    write_numbers(100000); /* a write long before fails */
}
END_TEST

START_TEST(a_write_that_failed_before_there_was_room_again_is_told)
{
    base_writer out;
    base_error err = {0};

    ck_assert_int_eq(base_writer_open(&out, path, NULL), BASE_OK);
    const struct rlimit before = lowered();
    for (size_t i = 0; i < 100000; i++)
        putc('x', out.file);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(base_writer_commit(&out, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    ck_assert(!test_exists(path));
    ck_assert_int_eq(parts(), 0);
}
END_TEST

START_TEST(a_full_device_is_told)
{
    base_writer out;
    base_error err = {0};

    ck_assert_int_eq(base_writer_open(&out, "/dev/full", NULL), BASE_OK);
    fprintf(out.file, "x");
    ck_assert_int_eq(base_writer_commit(&out, &err), BASE_IO);
    ck_assert_str_eq(err.text, "cannot write '/dev/full': No space left on device");
}
END_TEST

START_TEST(a_path_that_cannot_be_written_is_named)
{
    base_writer out;
    base_error err = {0};
    char *deep = test_path(dir, "none/x.txt");

    ck_assert_int_eq(base_writer_open(&out, deep, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "none/x.txt': No such file") != NULL, "%s", err.text);
    ck_assert_int_eq(base_writer_open(&out, dir, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "is a folder, expected a file") != NULL, "%s", err.text);
    base_free(deep);
}
END_TEST

START_TEST(a_file_is_read_whole_with_a_final_zero)
{
    static char bytes[10000];
    char *text = NULL;
    size_t count = 0;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    for (size_t size = 0; size <= sizeof bytes; size += size < 8190 ? 4095 : 1) {
        test_write(path, bytes, size);
        ck_assert_int_eq(base_file_read(&text, &count, path, sizeof bytes, NULL), BASE_OK);
        ck_assert_uint_eq(count, size);
        ck_assert(memcmp(text, bytes, size) == 0 && text[size] == 0);
        base_free(text);
        if (size > 8194)
            break;
    }
}
END_TEST

START_TEST(a_file_below_proc_is_read_though_its_size_is_zero)
{
    char *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, "/proc/self/status", 1 << 20, NULL),
                     BASE_OK);
    ck_assert(bytes > 100 && strstr(text, "VmRSS"));
    base_free(text);
}
END_TEST

/* Whose size is 0 and which has more than is had at first. */
START_TEST(a_long_file_below_proc_is_read_whole)
{
    char *text = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_int_eq(base_file_read(&text, &bytes, "/proc/self/smaps", 1 << 24, NULL),
                     BASE_OK);
    ck_assert_uint_gt(bytes, 3 * 4096);
    ck_assert_uint_eq(strlen(text), bytes);
    ck_assert_int_eq(text[bytes - 1], '\n');
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) /* names and addresses */
        ck_assert_msg(strcspn(at, ":-") < 20, "%.40s", at);
    base_free(text);
    ck_assert_int_eq(base_file_read(&text, &bytes, "/proc/self/smaps", 4096, &err),
                     BASE_FORMAT);
    ck_assert_str_eq(err.text,
                     "'/proc/self/smaps' has more than 4096 bytes, the most allowed");
}
END_TEST

START_TEST(reading_beyond_the_limit_is_refused)
{
    char *text = NULL;
    size_t bytes = 7;
    base_error err = {0};

    test_write(path, "12345", 5);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 4, &err), BASE_FORMAT);
    ck_assert_msg(strstr(err.text, "has 5 bytes, expected at most 4") != NULL, "%s",
                  err.text);
    ck_assert_int_eq(base_file_read(&text, &bytes, "/proc/self/status", 100, &err),
                     BASE_FORMAT);
    ck_assert_str_eq(err.text,
                     "'/proc/self/status' has more than 100 bytes, the most allowed");
    ck_assert(text == NULL && bytes == 7);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 5, NULL), BASE_OK);
    base_free(text);
}
END_TEST

START_TEST(a_missing_file_and_a_folder_are_told_apart)
{
    char *text = NULL;
    size_t bytes = 0;
    base_error err = {0};

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 10, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "cannot open '") == err.text, "%s", err.text);
    ck_assert_int_eq(base_file_read(&text, &bytes, dir, 10, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "is a folder, expected a file") != NULL, "%s", err.text);
}
END_TEST

START_TEST(what_is_no_file_is_refused_at_once)
{
    char *text = NULL, sum[BASE_SHA256_TEXT];
    size_t bytes = 0;
    base_error err = {0};
    FILE *file = NULL;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 10, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "is a pipe, expected a file") != NULL, "%s", err.text);
    ck_assert_int_eq(base_stream_open(&file, path, &err), BASE_IO);
    ck_assert_int_eq(base_sha256_file(sum, path, &err), BASE_IO);
    ck_assert_int_eq(base_file_read(&text, &bytes, "/dev/zero", 10, &err), BASE_IO);
    ck_assert_str_eq(err.text, "'/dev/zero' is a device, expected a file");
    ck_assert(!text && !file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_file");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_committed_file_is_whole_and_alone);
    tcase_add_test(core, an_abandoned_file_leaves_the_older_one);
    tcase_add_test(core, a_commit_replaces_the_older_file);
    tcase_add_test(core, a_link_stays_and_its_target_is_renewed);
    tcase_add_test(core, writers_of_one_file_do_not_meet);
    tcase_add_test(core, a_pipe_is_written_when_somebody_reads_it);
    tcase_add_test(core, a_device_is_written_to_and_not_renamed_over);
    tcase_add_test(core, a_file_is_read_whole_with_a_final_zero);
    tcase_add_test(core, a_file_below_proc_is_read_though_its_size_is_zero);
    tcase_add_test(core, a_long_file_below_proc_is_read_whole);
    tcase_add_test(limits, a_planted_link_is_not_written_through);
    tcase_add_test(limits, the_longest_name_can_be_written);
    tcase_add_test(limits, what_is_no_file_is_refused_at_once);
    tcase_add_test(limits, a_full_disk_is_told_and_leaves_the_older_file);
    tcase_add_test(limits, a_write_that_failed_before_there_was_room_again_is_told);
    tcase_add_test(limits, a_full_device_is_told);
    tcase_add_test(limits, a_path_that_cannot_be_written_is_named);
    tcase_add_test(limits, reading_beyond_the_limit_is_refused);
    tcase_add_test(limits, a_missing_file_and_a_folder_are_told_apart);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
