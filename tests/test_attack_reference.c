/* test_attack_reference.c - CW, FAB-T and Square image by image against the same attacks
 * written out in Python (tests/reference/attack_reference.py, its figures in
 * tests/golden/attack_reference.tsv), and CW with all steps against foolbox's. */
#include "attacks/attacks_internal.h"

#include <stdlib.h>

#include "tests/test_attack_rig.h"

/* Relative: ours are float32, theirs double. FAB's and CW's last steps amplify that where
 * an image comes to lie on the boundary's other side: a few images may differ more. */
static const double CLOSE = 2e-3;
enum { STRAY = 2 };

typedef struct golden {
    double ours[N], theirs[N]; /* figure; foolbox's, 0: none */
    size_t count;
} golden;

static golden golden_read(const char *attack)
{
    char *path = base_text("%s/golden/attack_reference.tsv", getenv("VMOE_TESTS")), *text;
    golden g = {0};
    size_t bytes;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    for (char *line = text; *line; line += strcspn(line, "\n") + 1) {
        char name[32], other[32];
        unsigned image;
        int label;
        double figure;

        if (sscanf(line, "%31s %u %d %lf %31s", name, &image, &label, &figure, other) !=
                5 ||
            strcmp(name, attack) != 0)
            continue;
        ck_assert_uint_lt(image, N);
        ck_assert_int_eq(label, labels[image]);
        g.ours[image] = figure;
        ck_assert(strcmp(other, "-") == 0 || base_parse_real(&g.theirs[image], other));
        g.count++;
    }
    ck_assert_uint_eq(g.count, N);
    base_free(text);
    base_free(path);
    return g;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(const double values[N])
{
    double sorted[N];

    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, N, sizeof *sorted, by_value);
    return (sorted[(N - 1) / 2] + sorted[N / 2]) / 2;
}

static const struct {
    const char *name, *spec;
    attack_norm norm;
    bool all_steps;
} minimal[] = {
    {"cw-all", "cw:steps=200,rounds=6,c=0.01,lr=0.01", ATTACK_NORM_L2, true},
    {"cw", "cw:steps=200,rounds=6,c=0.01,lr=0.01", ATTACK_NORM_L2, false},
    {"fab-t-linf", "fab-t:steps=20,targets=3", ATTACK_NORM_LINF, false},
    {"fab-t-l2", "fab-t:steps=20,targets=3", ATTACK_NORM_L2, false},
};

/* The budget is so small that no search ends early for it. */
START_TEST(smallest_norms_are_the_reference_s)
{
    const golden g = golden_read(minimal[_i].name);
    attack_config config = attack_config_defaults();
    double norms[N];
    size_t stray = 0;

    config.norm = minimal[_i].norm;
    config.eps = 1e-9;
    config.early_stop = !minimal[_i].all_steps;
    attack_run *run = search(&config, 16, minimal[_i].spec);
    for (size_t i = 0; i < N; i++) {
        norms[i] = (double)run->trials[i].minimal_norm;
        stray += fabs(norms[i] / g.ours[i] - 1) > CLOSE;
    }
    ck_assert_msg(stray <= STRAY, "%s: %zu of %d differ", minimal[_i].name, stray, N);
    ck_assert_double_eq_tol(median_of(norms) / median_of(g.ours), 1, CLOSE);
    if (g.theirs[0] > 0) /* foolbox */
        ck_assert_double_eq_tol(median_of(norms) / median_of(g.theirs), 1, 5e-3);
    attack_run_destroy(run);
}
END_TEST

START_TEST(square_breaks_with_the_same_query)
{
    const golden g = golden_read("square");
    attack_config config = attack_config_defaults();

    config.eps = 0.02;
    attack_run *run = search(&config, 16, "square:queries=400");
    for (size_t i = 0; i < N; i++) {
        const attack_sample s = attack_run_sample(run, i);
        ck_assert_msg((s.broken ? s.step : -1) == (int)g.ours[i], "image %zu: %d, not %g",
                      i, s.broken ? s.step : -1, g.ours[i]);
    }
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_reference");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_loop_test(core, smallest_norms_are_the_reference_s, 0,
                        sizeof minimal / sizeof minimal[0]);
    tcase_add_test(core, square_breaks_with_the_same_query);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
