/* test_base_machine.c - clock, processors, memory. */
#include "base/base_internal.h"

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

START_TEST(the_clock_goes_forward)
{
    const double before = base_seconds();

    usleep(2000);
    const double passed = base_seconds() - before;
    ck_assert_double_ge(passed, 0.002);
    ck_assert_double_lt(passed, 60.0);
}
END_TEST

START_TEST(processors_respect_the_affinity_mask)
{
    cpu_set_t before, one;
    const int count = base_cpu_count();

    ck_assert_int_ge(count, 1);
    ck_assert_int_le(count, (int)sysconf(_SC_NPROCESSORS_CONF));
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    }
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(base_cpu_count(), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof before, &before), 0);
}
END_TEST

/* A file of a control group, with its folders. */
static void group_write(const char *root, const char *folder, const char *name,
                        const char *text)
{
    char *group = test_path(root, folder), *path = test_path(group, name);

    ck_assert_int_eq(base_folder_make(group, NULL), BASE_OK);
    test_write(path, text, strlen(text));
    base_free(group);
    base_free(path);
}

static int quota_of(const char *root, const char *lines)
{
    char text[256];

    snprintf(text, sizeof text, "%s", lines);
    return base_cpu_quota_below(root, text);
}

/* Linux: cgroup-v2.rst and sched-bwc.rst; whole processors, of the tightest group. */
START_TEST(quotas_are_those_of_all_groups_above)
{
    char *root = test_folder_make();

    ck_assert_int_eq(quota_of(root, "0::/a/b\n"), INT_MAX);
    group_write(root, "a/b", "cpu.max", "max 100000\n");
    ck_assert_int_eq(quota_of(root, "0::/a/b\n"), INT_MAX);
    group_write(root, "a", "cpu.max", "399999 100000\n");
    ck_assert_int_eq(quota_of(root, "0::/a/b\n"), 3);
    group_write(root, "a/b", "cpu.max", "50000 100000\n"); /* half of one */
    ck_assert_int_eq(quota_of(root, "0::/a/b\n"), 1);
    ck_assert_int_eq(quota_of(root, "0::/a\n"), 3);
    group_write(root, "", "cpu.max", "200000 100000\n");
    ck_assert_int_eq(quota_of(root, "0::/a\n"), 2);
    ck_assert_int_eq(quota_of(root, "0::/of/the/host\n"), 2); /* in a container */
    group_write(root, "", "cpu.max", "200000 0\n");
    ck_assert_int_eq(quota_of(root, "0::/of/the/host\n"), INT_MAX);

    /* Version 1: a folder of its own for the controller. */
    group_write(root, "cpu/c", "cpu.cfs_quota_us", "-1\n");
    group_write(root, "cpu/c", "cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota_of(root, "4:memory:/a\n3:cpu,cpuacct:/c\n"), INT_MAX);
    group_write(root, "cpu/c", "cpu.cfs_quota_us", "400000\n");
    ck_assert_int_eq(quota_of(root, "4:memory:/a\n3:cpu,cpuacct:/c\n"), 4);
    ck_assert_int_eq(quota_of(root, "3:cpuacct,cpu:/c"), 4);
    ck_assert_int_eq(quota_of(root, "3:cpu:/c\n0::/a\n"), 3); /* both: the tighter one */
    ck_assert_int_eq(quota_of(root, "3:cpuset:/c\nno group\n"), INT_MAX);
    test_folder_remove(root);
}
END_TEST

START_TEST(the_peak_grows_with_use_and_no_memory_is_asked_for)
{
    const size_t more = 64 << 20;
    const size_t before = base_peak_bytes(), resident = base_resident_bytes();
    char *block = base_alloc(more, 1);

    memset(block, 1, more);
    const uint64_t calls = base_alloc_count();
    const size_t after = base_peak_bytes(), now = base_resident_bytes();
    base_free(block);
    ck_assert_uint_ge(now, resident + more / 2);
    ck_assert_uint_le(now, after + (1 << 20));
    ck_assert_uint_eq(base_alloc_count(), calls);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_ge(after, before + more / 2);
}
END_TEST

/* By the flags that the kernel tells of the processor. */
START_TEST(the_instructions_are_those_of_the_processor)
{
    static const char *const needs[][4] = {
        [BASE_ISA_AVX2] = {" avx2 ", " fma ", " bmi1 ", " bmi2 "},
        [BASE_ISA_AVX512] = {" avx512f ", " avx512dq ", " avx512vl ", " avx512bw "},
        [BASE_ISA_AVX512_VNNI] = {" avx512_vnni "},
        [BASE_ISA_AVX512_BF16] = {" avx512_bf16 "}};
    char *text = NULL;
    size_t bytes = 0;
    base_isa want = BASE_ISA_ANY;

    ck_assert_int_eq(base_file_read(&text, &bytes, "/proc/cpuinfo", 1 << 24, NULL),
                     BASE_OK);
    const char *flags = strstr(text, "flags\t\t:");
    if (flags) {
        char *line = base_text("%.*s ", (int)strcspn(flags, "\n"), flags);
        for (int isa = BASE_ISA_AVX2; isa <= BASE_ISA_AVX512_BF16; isa++) {
            bool all = (int)want == isa - 1;
            for (size_t i = 0; i < 4 && needs[isa][i]; i++)
                all = all && strstr(line, needs[isa][i]);
            want = all ? (base_isa)isa : want;
        }
        base_free(line);
    }
    base_free(text);
    ck_assert_int_eq(base_isa_best(), want);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_machine");
    TCase *core = test_case("Core");

    tcase_add_test(core, the_instructions_are_those_of_the_processor);
    tcase_add_test(core, the_clock_goes_forward);
    tcase_add_test(core, processors_respect_the_affinity_mask);
    tcase_add_test(core, quotas_are_those_of_all_groups_above);
    tcase_add_test(core, the_peak_grows_with_use_and_no_memory_is_asked_for);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
