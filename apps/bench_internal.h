/* bench_internal.h - what the cases of vmoe bench share. A case is one function and one
 * line in bench.c's table; it warms up, times at least BENCH_ROUNDS rounds, and prints
 * the median with the fastest and the slowest as CSV, one header a case. */
#ifndef APPS_BENCH_INTERNAL_H
#define APPS_BENCH_INTERNAL_H

#include "apps/network_internal.h"

enum { BENCH_ROUNDS = 9, BENCH_ROUNDS_MAX = 1000 };

typedef struct bench_args {
    app_common common;
    app_list size_names;
    const char *router, *data;
    int64_t rounds, warmup, classes;
} bench_args;

/* What one case is asked to time, and where its results go. */
typedef struct bench_context {
    const bench_args *args;
    const char *const *subjects; /* size names (NAME or NAME:PIXELS) or checkpoints */
    size_t subject_count;
    bool named;      /* subjects are the user's, not the usual ones */
    json_t *results; /* array; NULL: not wanted */
    bool print;      /* CSV on stdout */
} bench_context;

typedef struct bench_times {
    double seconds[BENCH_ROUNDS_MAX];
    size_t count;
} bench_times;

typedef struct bench_spread {
    double median, low, high;
} bench_spread;
bench_spread bench_spread_of(bench_times *times); /* sorts them; count >= 1 */

/* The processor's name without commas and quotes, for a CSV field. */
const char *bench_machine(char *out, size_t out_bytes);
/* The network that a subject means, weights drawn or read. The caller destroys *out. */
base_status bench_model(vit_model **out, const char *subject, const bench_args *args,
                        base_error *err);

base_status bench_step(const bench_context *context, base_error *err);
base_status bench_infer(const bench_context *context, base_error *err);
base_status bench_router(const bench_context *context, base_error *err);
base_status bench_decode(const bench_context *context, base_error *err);
base_status bench_corrupt(const bench_context *context, base_error *err);
base_status bench_attack(const bench_context *context, base_error *err);

#endif
