/* test_run.h - what every test program shares: run the suites, report, leave.
 * meson reads the exit code (77: skipped); run-tests adds up Check's summary lines. */
#ifndef TESTS_TEST_RUN_H
#define TESTS_TEST_RUN_H

#include <check.h>
#include <stdlib.h>

#define TEST_SKIP 77

/* Runs the suite and destroys it. The exit code for main. */
static inline int test_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
