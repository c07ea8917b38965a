/* test_base_folder.c - making, removing and exchanging folders. */
#include "base/base.h"
#include "base/base_internal.h"

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static char *dir;

static void setup(void)
{
    dir = test_folder_make();
}

static void teardown(void)
{
    test_folder_remove(dir);
}

/* Makes folder dir/name with a file that holds text. */
static void fill(const char *name, const char *text)
{
    char *folder = test_path(dir, name);
    char *file = test_path(folder, "file");

    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    test_write(file, text, strlen(text));
    base_free(file);
    base_free(folder);
}

static void holds(const char *name, const char *text)
{
    char *file = test_path(dir, name);

    test_holds(file, text);
    base_free(file);
}

static bool exists(const char *name)
{
    char *file = test_path(dir, name);
    const bool found = test_exists(file);

    base_free(file);
    return found;
}

START_TEST(parents_are_made_too)
{
    char *deep = test_path(dir, "a//b/c/");

    ck_assert_int_eq(base_folder_make(deep, NULL), BASE_OK);
    ck_assert_int_eq(base_folder_make(deep, NULL), BASE_OK);
    ck_assert(exists("a/b/c"));
    ck_assert_int_eq(base_folder_make("/", NULL), BASE_OK);
    ck_assert_int_eq(base_folder_make(".", NULL), BASE_OK);
    base_free(deep);
}
END_TEST

START_TEST(removing_takes_all_within_and_follows_no_link)
{
    char *top = test_path(dir, "top");
    char *link = test_path(dir, "top/link");
    char *kept = test_path(dir, "kept");

    fill("kept", "keep me");
    fill("top", "x");
    fill("top/a/b", "y");
    ck_assert_int_eq(symlink(kept, link), 0);
    ck_assert_int_eq(base_folder_remove(top, NULL), BASE_OK);
    ck_assert(!exists("top"));
    holds("kept/file", "keep me");

    ck_assert_int_eq(base_folder_remove(top, NULL), BASE_OK); /* missing: fine */
    ck_assert_int_eq(symlink(kept, top), 0); /* a link itself: only it goes */
    ck_assert_int_eq(base_folder_remove(top, NULL), BASE_OK);
    ck_assert(!exists("top"));
    holds("kept/file", "keep me");
    base_free(top);
    base_free(link);
    base_free(kept);
}
END_TEST

START_TEST(replacing_exchanges_whole_folders)
{
    char *live = test_path(dir, "last");
    char *fresh = test_path(dir, "last.new");

    fill("last.new", "one");
    /* Nothing there yet. */
    ck_assert_int_eq(base_folder_replace(live, fresh, NULL), BASE_OK);
    holds("last/file", "one");
    fill("last.new", "two");
    fill("last/more", "old");
    ck_assert_int_eq(base_folder_replace(live, fresh, NULL), BASE_OK);
    holds("last/file", "two");
    ck_assert(!exists("last/more"));
    ck_assert(!exists("last.new"));
    ck_assert(!exists("last.old"));
    base_free(live);
    base_free(fresh);
}
END_TEST

START_TEST(replacing_works_without_an_exchange_of_names)
{
    char *live = test_path(dir, "last");
    char *fresh = test_path(dir, "last.new");
    base_error err = {0};

    fill("last", "one");
    fill("last.new", "two");
    fill("last.old", "of a run that was killed");
    ck_assert_int_eq(base_folder_replace_renaming(live, fresh, NULL), BASE_OK);
    holds("last/file", "two");
    ck_assert(!exists("last.new"));
    ck_assert(!exists("last.old"));

    ck_assert_int_eq(base_folder_replace_renaming(live, fresh, &err),
                     BASE_IO); /* no fresh */
    holds("last/file", "two");
    base_free(live);
    base_free(fresh);
}
END_TEST

START_TEST(a_file_in_the_way_is_named)
{
    char *file = test_path(dir, "file");
    char *below = test_path(dir, "file/below");
    base_error err = {0};

    test_write(file, "x", 1);
    ck_assert_int_eq(base_folder_make(file, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "file' is in the way, expected a folder") != NULL, "%s",
                  err.text);
    ck_assert_int_eq(base_folder_make(below, &err), BASE_IO);
    ck_assert_int_eq(base_folder_make("", &err), BASE_IO);
    ck_assert_int_eq(base_folder_remove(file, &err), BASE_IO);
    ck_assert(exists("file"));
    base_free(file);
    base_free(below);
}
END_TEST

START_TEST(replacing_by_nothing_leaves_the_live_folder)
{
    char *live = test_path(dir, "last");
    char *fresh = test_path(dir, "last.new");
    base_error err = {0};

    fill("last", "one");
    ck_assert_int_eq(base_folder_replace(live, fresh, &err), BASE_IO);
    ck_assert_msg(strstr(err.text, "last.new' is not a folder") != NULL, "%s", err.text);
    holds("last/file", "one");
    base_free(live);
    base_free(fresh);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_folder");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, parents_are_made_too);
    tcase_add_test(core, removing_takes_all_within_and_follows_no_link);
    tcase_add_test(core, replacing_exchanges_whole_folders);
    tcase_add_test(core, replacing_works_without_an_exchange_of_names);
    tcase_add_test(limits, a_file_in_the_way_is_named);
    tcase_add_test(limits, replacing_by_nothing_leaves_the_live_folder);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
