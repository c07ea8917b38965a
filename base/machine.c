/* machine.c - clock, processors and memory of the machine as far as this process may use
 * it. Free to change: where Linux keeps the answers. None of these functions allocates
 * through base_alloc, so a training step may call them. */
#include "base/base_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static atomic_bool stop_asked;

void base_stop_ask(void)
{
    atomic_store(&stop_asked, true);
}

bool base_stop_asked(void)
{
    return atomic_load(&stop_asked);
}

double base_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The first bytes - 1 bytes of a file below /proc or /sys; false when there is none. */
static bool read_small(char *out, size_t bytes, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, out, bytes - 1);
    close(fd);
    if (got < 0)
        return false;
    out[got] = 0;
    return true;
}

/* The number that text begins with, after blanks; returns what follows it, NULL without
 * one. */
static const char *next_number(long long *out, const char *text)
{
    char *end;

    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || errno == ERANGE)
        return NULL;
    *out = value;
    return end;
}

/* Processors in the affinity mask. */
static int affinity_count(void)
{
    int ids[BASE_CPUS_MAX];
    const size_t count = base_cpus_allowed(ids, BASE_CPUS_MAX);

    return count > 0 ? (int)count : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Whole processors of quota per period, at least 1: with a fraction more, threads that wait
 * for one another would be stopped together. INT_MAX: no limit. */
static int quota_count(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    const long long count = quota / period;
    return count < 1 ? 1 : count > INT_MAX ? INT_MAX : (int)count;
}

/* The quota that one control group sets: version 2 has "QUOTA PERIOD" or "max PERIOD" in
 * one file, version 1 two files (kernel: cgroup-v2.rst, sched-bwc.rst). */
static int group_limit(const char *folder)
{
    char path[PATH_MAX + 32], text[128];
    long long quota = 0, period = 0;

    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_small(text, sizeof text, path)) {
        const char *rest = next_number(&quota, text);
        return rest && next_number(&period, rest) ? quota_count(quota, period) : INT_MAX;
    }
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_small(text, sizeof text, path) || !next_number(&quota, text))
        return INT_MAX;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (!read_small(text, sizeof text, path) || !next_number(&period, text))
        return INT_MAX;
    return quota_count(quota, period);
}

/* The smallest quota of root/group and the groups above it. In a container the group may
 * name a path that only the host sees: then root itself is what counts. */
static int chain_limit(const char *root, const char *group)
{
    char folder[PATH_MAX];
    const size_t root_length = strlen(root);
    int smallest = INT_MAX;

    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder)
        return INT_MAX;
    for (;;) {
        const int limit = group_limit(folder);
        if (smallest > limit)
            smallest = limit;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root_length)
            return smallest;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup are NUMBER:CONTROLLERS:PATH; version 2 has no controllers. */
int base_cpu_quota_below(const char *root, char *text)
{
    char cpu[PATH_MAX];
    int smallest = INT_MAX;

    snprintf(cpu, sizeof cpu, "%s/cpu", root);
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *names = strchr(line, ':');
        char *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *names++ = 0;
        *group++ = 0;
        int limit = INT_MAX;
        if (!*names)
            limit = chain_limit(root, group);
        else if (strcmp(names, "cpu") == 0 || strncmp(names, "cpu,", 4) == 0 ||
                 strstr(names, ",cpu,") || strcmp(names, "cpuacct,cpu") == 0)
            limit = chain_limit(cpu, group);
        if (smallest > limit)
            smallest = limit;
    }
    return smallest;
}

int base_cpu_quota(void)
{
    char text[8192];

    return read_small(text, sizeof text, "/proc/self/cgroup")
               ? base_cpu_quota_below("/sys/fs/cgroup", text)
               : INT_MAX;
}

int base_cpu_count(void)
{
    const int allowed = affinity_count();
    const int quota = base_cpu_quota();
    const int count = allowed < quota ? allowed : quota;

    return count < 1 ? 1 : count;
}

/* The figure of a line "NAME:  1234 kB" of /proc/self/status in bytes, 0 if there is
 * none. */
static size_t status_bytes(const char *name)
{
    char text[4096];
    long long kilobytes = 0;
    const char *line =
        read_small(text, sizeof text, "/proc/self/status") ? strstr(text, name) : NULL;

    return line && next_number(&kilobytes, line + strlen(name)) ? (size_t)kilobytes * 1024
                                                                : 0;
}

size_t base_virtual_bytes(void)
{
    return status_bytes("VmSize:");
}

size_t base_resident_bytes(void)
{
    return status_bytes("VmRSS:");
}

/* VmHWM is this program's own; getrusage's figure is inherited from whoever started it. */
size_t base_peak_bytes(void)
{
    const size_t peak = status_bytes("VmHWM:");
    struct rusage use;

    return peak > 0                            ? peak
           : getrusage(RUSAGE_SELF, &use) == 0 ? (size_t)use.ru_maxrss * 1024
                                               : 0;
}

base_isa base_isa_best(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
        return BASE_ISA_ANY;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw"))
        return BASE_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return BASE_ISA_AVX512;
    return __builtin_cpu_supports("avx512bf16") ? BASE_ISA_AVX512_BF16
                                                : BASE_ISA_AVX512_VNNI;
#else
    return BASE_ISA_ANY;
#endif
}
