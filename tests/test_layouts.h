/* test_layouts.h - what the tests of layouts share: a folder of their own, small files in
 * it. For tests only. */
#ifndef TESTS_TEST_LAYOUTS_H
#define TESTS_TEST_LAYOUTS_H

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *root;

static inline void setup(void)
{
    root = test_folder_make();
}

static inline void teardown(void)
{
    test_folder_remove(root);
}

static inline void set_text(const char *name, const char *text)
{
    set_file(root, name, text, strlen(text));
}

#endif
