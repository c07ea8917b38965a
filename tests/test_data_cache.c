/* test_data_cache.c - the index that is kept between runs: the same samples as from a scan,
 * built again when anything changed, never trusted when damaged. */
#include "data/data_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *root, *set, *cache;
static data_source_options options;

static void setup(void)
{
    root = test_folder_make();
    set = test_path(root, "set");
    cache = test_path(root, "cache");
    options = (data_source_options){.index_cache = cache, .allow_single_class = true};
}

static void teardown(void)
{
    base_free(set);
    base_free(cache);
    test_folder_remove(root);
}

/* What has just been written is not cached: it may change within its time. */
static void make_old(const char *path, int seconds)
{
    struct timespec times[2];

    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_folder_old(const char *name, int seconds)
{
    char *path = test_path(root, name);

    make_old(path, seconds);
    base_free(path);
}

/* The one file of the cache (base_free), NULL: there is none. */
static char *cached_file(void)
{
    DIR *dir = opendir(cache);
    const struct dirent *d;
    char *path = NULL;

    while (dir && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.')
            continue;
        ck_assert_ptr_null(path);
        path = test_path(cache, d->d_name);
    }
    if (dir)
        closedir(dir);
    return path;
}

static void make_tree(void)
{
    set_name_file(set, "a/1.png");
    set_name_file(set, "a/deep/2.png");
    set_name_file(set, "b/3.png");
    set_name_file(set, "b/no image");
    make_folder_old("set", 100);
    make_folder_old("set/a", 100);
    make_folder_old("set/a/deep", 100);
    make_folder_old("set/b", 100);
}

static const char tree_text[] = "0 a/1.png\n0 a/deep/2.png\n1 b/3.png\n";

START_TEST(a_second_opening_takes_the_index_from_the_cache)
{
    make_tree();
    data_source *a = set_open(set, &options);
    char *file = cached_file();
    ck_assert_ptr_nonnull(file);

    /* To see that it is the cache that is read: a name of it changes, with its sum. */
    char *bytes = NULL;
    size_t size;
    ck_assert_int_eq(base_file_read(&bytes, &size, file, 1 << 20, NULL), BASE_OK);
    char *at = memmem(bytes, size, "3.png", 5);
    ck_assert_ptr_nonnull(at);
    at[0] = '4';
    const uint64_t sum = data_cache_sum(0, bytes, size - sizeof sum);
    memcpy(bytes + size - sizeof sum, &sum, sizeof sum);
    test_write(file, bytes, size);
    data_source *b = set_open(set, &options);
    set_lists(a, tree_text);
    set_lists(b, "0 a/1.png\n0 a/deep/2.png\n1 b/4.png\n");
    set_holds(b, 1, "a/deep/2.png");
    ck_assert_uint_eq(data_source_ignored(b), 1);
    ck_assert_uint_eq(data_source_fingerprint(a), data_source_fingerprint(b));
    ck_assert_str_eq(data_source_notice(b), "");

    /* Labels are decided anew: they depend on the options. */
    const char *const list[] = {"b", "a"};
    data_source_options listed = options;
    listed.class_list = list;
    listed.class_list_count = 2;
    data_source *c = set_open(set, &listed);
    set_lists(c, "0 b/4.png\n1 a/1.png\n1 a/deep/2.png\n");
    data_source_close(a);
    data_source_close(b);
    data_source_close(c);
    base_free(bytes);
    base_free(file);
}
END_TEST

START_TEST(a_change_of_any_folder_is_noticed)
{
    static const char *const places[] = {"set", "set/b", "set/a/deep"};

    make_tree();
    for (int i = 0; i < 3; i++) {
        data_source_close(set_open(set, &options));
        make_folder_old(places[i], 50 - i); /* as if a file had come */
        data_source *source = set_open(set, &options);
        ck_assert_ptr_nonnull(strstr(data_source_notice(source),
                                     "the data has changed since it was indexed"));
        set_lists(source, tree_text);
        data_source_close(source);
        source = set_open(set, &options); /* and the cache is right again */
        ck_assert_str_eq(data_source_notice(source), "");
        data_source_close(source);
    }
    set_name_file(set, "b/9.png");
    data_source *source = set_open(set, &options);
    ck_assert_uint_eq(data_source_count(source), 4);
    data_source_close(source);
}
END_TEST

START_TEST(what_was_written_just_now_is_not_kept)
{
    set_name_file(set, "a/1.png");
    data_source_close(set_open(set, &options));
    ck_assert_ptr_null(cached_file());
    options.index_cache = "none";
    make_folder_old("set", 100);
    make_folder_old("set/a", 100);
    data_source_close(set_open(set, &options));
    ck_assert_ptr_null(cached_file());
}
END_TEST

/* What an index depends on is in its file's name, and nothing else. */
START_TEST(each_option_that_a_scan_heeds_names_another_file)
{
    static const char *const list[] = {"a", "b"}, *const other[] = {"a", "c"},
                             *const longer[] = {"a", "b", "c"};
    char *tar_path, *at = test_path(root, "x.tar");
    FILE *tar = set_tar_open(&tar_path, root, "x.tar");
    char *files[2][9];

    make_tree();
    set_name_member(tar, "a/1.png");
    set_name_member(tar, "b/2.png");
    set_tar_end(tar);
    for (int kind = 0; kind < 2; kind++) {
        data_source *source = set_open(kind ? at : set, &options);
        for (int i = 0; i < 9; i++) {
            data_source_options o = options;
            if (i == 1)
                o.split = "train";
            if (i == 2)
                o.split = "val";
            if (i == 3)
                o.val_labels = "x";
            if (i == 4)
                o.label_key = "k";
            if (i == 5)
                o.classes_of_model = 7;
            if (i >= 6)
                o.class_list = i == 6 ? list : i == 7 ? other : longer;
            o.class_list_count = i < 6 ? 0 : i == 8 ? 3 : 2;
            files[kind][i] = data_cache_file(source, &o);
        }
        data_source_close(source);
    }
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < i; k++) {
            /* an archive is gone into by the classes that are asked for, a tree is not */
            ck_assert_str_ne(files[1][i], files[1][k]);
            const bool same = i >= 5 && (k == 0 || k >= 5);
            ck_assert_msg((strcmp(files[0][i], files[0][k]) == 0) == same, "%d and %d", i,
                          k);
        }
        ck_assert_str_ne(files[0][i], files[1][i]);
    }
    for (int i = 0; i < 18; i++)
        base_free(files[i / 9][i % 9]);
    base_free(tar_path);
    base_free(at);
}
END_TEST

/* The folder of the options, else of the environment. */
START_TEST(the_cache_lies_where_the_user_has_it)
{
    static const struct {
        const char *asked, *cache, *home, *want; /* want NULL: nowhere */
    } cases[] = {
        {"/c", "/x", "/h", "/c/"},
        {NULL, "/x", "/h", "/x/vmoe/"},
        {NULL, "", "/h", "/h/.cache/vmoe/"},
        {NULL, "x", "/h", "/h/.cache/vmoe/"},
        {NULL, NULL, "/h", "/h/.cache/vmoe/"},
        {NULL, NULL, "h", NULL},
        {NULL, NULL, NULL, NULL},
        {"none", "/x", "/h", NULL},
        {"c", "/x", "/h", "c/"},
    };

    make_tree();
    data_source *source = set_open(set, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const data_source_options asked = {.index_cache = cases[i].asked};
        ck_assert_int_eq(cases[i].cache ? setenv("XDG_CACHE_HOME", cases[i].cache, 1)
                                        : unsetenv("XDG_CACHE_HOME"),
                         0);
        ck_assert_int_eq(
            cases[i].home ? setenv("HOME", cases[i].home, 1) : unsetenv("HOME"), 0);
        char *file = data_cache_file(source, &asked);
        ck_assert_msg((file != NULL) == (cases[i].want != NULL), "case %zu", i);
        if (file) {
            const size_t bytes = strlen(cases[i].want);
            ck_assert_msg(strncmp(file, cases[i].want, bytes) == 0, "%s", file);
            ck_assert_uint_eq(strspn(file + bytes, "0123456789abcdef"), 32);
            ck_assert_str_eq(file + bytes + 32, ".index");
        }
        base_free(file);
    }
    data_source_close(source);
}
END_TEST

START_TEST(small_sets_are_not_kept_unasked)
{
    make_tree();
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", root, 1), 0);
    options.index_cache = NULL;
    data_source_close(set_open(set, &options));
    char *path = test_path(root, "vmoe");
    ck_assert(!test_exists(path));
    base_free(path);
}
END_TEST

START_TEST(ten_thousand_samples_are_kept_unasked)
{
    char *path, name[32], *folder = test_path(root, "vmoe");
    FILE *tar = set_tar_open(&path, root, "x.tar");

    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "a/%d.png", i);
        set_name_member(tar, name);
    }
    set_tar_end(tar);
    make_old(path, 100);
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", root, 1), 0);
    options.index_cache = NULL;
    data_source_close(set_open(path, &options));
    ck_assert(test_exists(folder));
    base_free(folder);
    base_free(path);
}
END_TEST

START_TEST(archives_and_shards_are_kept_with_their_files)
{
    char *path, name[600];
    FILE *tar = set_tar_open(&path, root, "x-0.tar");

    set_name_member(tar, "b/1.png"); /* out of order */
    set_name_member(tar, "a/1.png");
    set_tar_end(tar);
    make_old(path, 100);
    for (int i = 0; i < 2; i++) {
        data_source *source = set_open(path, &options);
        set_lists(source, "0 a/1.png\n1 b/1.png\n");
        set_holds(source, 0, "a/1.png");
        data_source_name(source, 1, name, sizeof name);
        ck_assert_ptr_nonnull(strstr(name, "x-0.tar!b/1.png"));
        ck_assert_str_eq(data_source_notice(source), "");
        data_source_close(source);
    }
    char *file = cached_file();
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(unlink(file), 0);
    base_free(file);

    /* The classes that are asked for, and no more of the list, tell one index of
     * another. */
    const char *const list[] = {"b", "a", NULL};
    data_source_options listed = options;
    listed.class_list = list;
    listed.class_list_count = 2;
    for (int i = 0; i < 2; i++) {
        data_source *source = set_open(path, &listed);
        set_lists(source, "0 b/1.png\n1 a/1.png\n");
        data_source_close(source);
    }
    file = cached_file();
    ck_assert_int_eq(unlink(file), 0);
    base_free(file);
    make_old(path, 90);

    /* Shards: one more of them is other data. */
    char *both = test_path(root, "x-*.tar"), *second;
    char *spec = base_text("wds:%s", both);
    tar = set_tar_open(&second, root, "x-0.tar");
    set_name_member(tar, "1.jpg");
    set_member(tar, "1.cls", '0', "1", 1);
    set_tar_end(tar);
    make_old(second, 100);
    data_source_close(set_open(spec, &options));
    data_source *source = set_open(spec, &options);
    ck_assert_str_eq(data_source_notice(source), "");
    ck_assert_uint_eq(data_source_count(source), 1);
    set_holds(source, 0, "1.jpg");
    data_source_close(source);
    base_free(second);

    /* By a relative path too: archives are kept by their absolute ones. */
    char here[4096];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(root), 0);
    for (int i = 0; i < 2; i++) {
        source = set_open("wds:x-*.tar", &options);
        ck_assert_str_eq(data_source_notice(source), "");
        ck_assert_uint_eq(data_source_count(source), 1);
        data_source_close(source);
    }
    ck_assert_int_eq(chdir(here), 0);
    tar = set_tar_open(&second, root, "x-1.tar");
    set_name_member(tar, "1.jpg");
    set_member(tar, "1.cls", '0', "1", 1);
    set_tar_end(tar);
    source = set_open(spec, &options);
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
    base_free(spec);
    base_free(both);
    base_free(second);
    base_free(path);
}
END_TEST

/* Whether the bytes are taken for an index of the tree. In memory: a disk would be asked a
 * thousand times. */
static base_status read_bytes(const char *bytes, size_t size)
{
    data_source *out = base_alloc(1, sizeof *out);
    char *key = base_text("folder - - - %016jx  %s",
                          (uintmax_t)base_key((uint64_t[]){0}, 1), set),
         file[64];
    const int fd = memfd_create("index", MFD_CLOEXEC);
    base_error err = {0};

    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    out->layout = &data_layout_folder;
    out->fd = -1;
    const base_status status = data_cache_read(out, file, key, &err);
    ck_assert(status == BASE_OK || strstr(err.text, file) != NULL);
    data_source_close(out);
    base_free(key);
    close(fd);
    return status;
}

START_TEST(an_archive_rewritten_under_its_old_time_is_read_again)
{
    char *path = test_path(root, "x.tar");

    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(path, i == 0 ? "wb" : "r+b"); /* in place: the same inode */
        struct stat before;
        ck_assert_ptr_nonnull(file);
        const bool old = i == 1 && stat(path, &before) == 0;
        set_name_member(file, i == 0 ? "a/1.png" : "b/1.png");
        set_name_member(file, i == 0 ? "b/2.png" : "a/2.png");
        set_tar_end(file);
        if (old)
            ck_assert_int_eq(utimensat(AT_FDCWD, path,
                                       (struct timespec[]){before.st_atim, before.st_mtim},
                                       0),
                             0);
        else
            make_old(path, 100);
        data_source *source = set_open(path, &options);
        set_lists(source, i == 0 ? "0 a/1.png\n1 b/2.png\n" : "0 a/2.png\n1 b/1.png\n");
        ck_assert(!old || strstr(data_source_notice(source), "has changed since"));
        data_source_close(source);
    }
    base_free(path);
}
END_TEST

START_TEST(every_changed_byte_and_every_cut_is_noticed)
{
    char *bytes = NULL;
    size_t size;

    make_tree();
    data_source_close(set_open(set, &options));
    char *file = cached_file();
    ck_assert_int_eq(base_file_read(&bytes, &size, file, 1 << 20, NULL), BASE_OK);
    ck_assert_int_eq(read_bytes(bytes, size), BASE_OK);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (char)(1 << i % 7);
        ck_assert_int_eq(read_bytes(bytes, size), BASE_FORMAT);
        bytes[i] ^= (char)(1 << i % 7);
        ck_assert_int_eq(read_bytes(bytes, i), BASE_FORMAT);
    }
    base_free(bytes);
    base_free(file);
}
END_TEST

START_TEST(a_damaged_cache_is_built_again_with_a_notice)
{
    make_tree();
    data_source_close(set_open(set, &options));
    char *file = cached_file();
    test_write(file, "vmoeidx", 8);
    data_source *source = set_open(set, &options);
    ck_assert_ptr_nonnull(strstr(data_source_notice(source),
                                 "is damaged: it ends too early; "
                                 "indexed again"));
    set_lists(source, tree_text);
    data_source_close(source);
    source = set_open(set, &options);
    ck_assert_str_eq(data_source_notice(source), "");
    data_source_close(source);
    base_free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_cache");
    TCase *core = test_case("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_second_opening_takes_the_index_from_the_cache);
    tcase_add_test(core, a_change_of_any_folder_is_noticed);
    tcase_add_test(core, archives_and_shards_are_kept_with_their_files);
    tcase_add_test(core, an_archive_rewritten_under_its_old_time_is_read_again);
    tcase_add_test(limits, what_was_written_just_now_is_not_kept);
    tcase_add_test(limits, small_sets_are_not_kept_unasked);
    tcase_add_test(limits, each_option_that_a_scan_heeds_names_another_file);
    tcase_add_test(limits, the_cache_lies_where_the_user_has_it);
    tcase_add_test(limits, ten_thousand_samples_are_kept_unasked);
    tcase_add_test(limits, every_changed_byte_and_every_cut_is_noticed);
    tcase_add_test(limits, a_damaged_cache_is_built_again_with_a_notice);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
