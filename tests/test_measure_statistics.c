/* test_measure_statistics.c - the counts and fits behind the figures: tables, probes,
 * embeddings. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "measure/measure.h"
#include "tests/test_run.h"

static const double exact = 1e-12,
                    printed = 6e-8; /* of sums; of the digits of routing.md */

static base_rng stream(uint64_t a)
{
    return base_rng_make(21, BASE_PURPOSE_TEST, a, 0, 0);
}

/* ---- tables -------------------------------------------------------------------------- */

START_TEST(the_golden_table_is_met)
{
    /* routing.md 12; purity (30 + 28 + 10) / 80 */
    const uint64_t table[6] = {30, 5, 5, 2, 28, 10};
    const measure_table s = measure_table_of(table, 2, 3);

    ck_assert_double_eq_tol(s.mutual, .30483619, printed);
    ck_assert_double_eq_tol(s.class_entropy, .69314718, printed);
    ck_assert_double_eq_tol(s.expert_entropy, 1.0456635, printed);
    ck_assert_double_eq_tol(s.expert_given_class, 1.0456635 - .30483619, 2 * printed);
    ck_assert_double_eq_tol(s.class_given_expert, .69314718 - .30483619, 2 * printed);
    ck_assert_double_eq_tol(s.normalised, .30483619 / sqrt(.69314718 * 1.0456635), 1e-7);
    ck_assert_double_eq_tol(s.purity, 68.0 / 80, exact);
    ck_assert_double_eq(s.total, 80);
}
END_TEST

/* H(e | y) straight from its definition: sum over classes of p_y H(e of that class). */
START_TEST(the_conditional_entropy_is_that_of_its_definition)
{
    const uint64_t table[6] = {4, 0, 2, 1, 7, 6};
    double by_hand = 0;

    for (size_t c = 0; c < 2; c++) {
        const double n = (double)(table[3 * c] + table[3 * c + 1] + table[3 * c + 2]);

        for (size_t e = 0; e < 3; e++) {
            const double p = (double)table[3 * c + e] / n;

            by_hand -= p > 0 ? n / 20 * p * log(p) : 0;
        }
    }
    ck_assert_double_eq_tol(measure_table_of(table, 2, 3).expert_given_class, by_hand,
                            exact);
}
END_TEST

START_TEST(lifts_are_shares_over_shares)
{
    /* Of 80: expert 0 has 32, 1 33, 2 15. Class 0 gives it 30 of 40, class 1 2 of 40. */
    const uint64_t table[6] = {30, 5, 5, 2, 28, 10};
    measure_lift lifts[4][2] = {[3] = {{.class = 77}}}; /* a row more than is asked for */

    measure_lifts(&lifts[0][0], 2, table, 2, 3);
    ck_assert_uint_eq(lifts[3][0].class, 77);
    ck_assert_uint_eq(lifts[0][0].class, 0);
    ck_assert_double_eq_tol(lifts[0][0].lift, 0.75 / 0.4, exact);
    ck_assert_double_eq_tol(lifts[0][0].share, 0.75, exact);
    ck_assert_double_eq_tol(lifts[0][1].lift, 0.05 / 0.4, exact);
    ck_assert_uint_eq(lifts[2][0].class, 1);
    const uint64_t dead[6] = {1000, 1, 1000, 1000, 1, 1000}; /* 2 of 4002: no lifts */
    measure_lifts(&lifts[0][0], 2, dead, 2, 3);
    ck_assert_double_eq(lifts[1][0].lift, 0);
    ck_assert_double_eq_tol(lifts[0][0].lift, 1000.0 / 2001 / (2000.0 / 4002), exact);
}
END_TEST

START_TEST(quantiles_lie_between_two_values)
{
    double values[4] = {4, 1, 3, 2};

    measure_sort(values, 4);
    ck_assert_double_eq(values[0], 1);
    ck_assert_double_eq_tol(measure_quantile(values, 4, 0.5), 2.5, exact);
    ck_assert_double_eq_tol(measure_quantile(values, 4, 0.25), 1.75, exact);
    ck_assert_double_eq(measure_quantile(values, 4, 1), 4);
    ck_assert_double_eq(measure_quantile(values, 1, 0.3), 1);
}
END_TEST

START_TEST(some_classes_are_ranked_alone)
{
    const float logits[5] = {1, 3, 2, 2, 9}; /* the last is of no class */
    const bool among[5] = {true, false, true, true, true};

    ck_assert_uint_eq(measure_rank_among(logits, among, 4, 2), 0);
    ck_assert_uint_eq(measure_rank_among(logits, among, 4, 3), 1); /* equal: by number */
    ck_assert_uint_eq(measure_rank_among(logits, among, 4, 0), 2);
    ck_assert_double_eq_tol(measure_confidence_among(logits, among, 4), 1 / (2 + exp(-1)),
                            exact);
}
END_TEST

START_TEST(shuffled_labels_show_what_chance_shows)
{
    enum { ITEMS = 60 };
    uint32_t counts[ITEMS * 3] = {0};
    uint64_t table[4 * 3] = {0};
    int32_t labels[ITEMS];
    measure_table chance, again;

    for (size_t i = 0; i < ITEMS; i++) { /* the expert is the class, but for class 3 */
        labels[i] = (int32_t)(i % 4);
        counts[3 * i + i % 4 % 3] = 5;
        table[i % 4 * 3 + i % 4 % 3] += 5;
    }
    ck_assert_int_eq(measure_table_chance(&chance, counts, labels, ITEMS, 4, 3, 7, NULL),
                     BASE_OK);
    ck_assert_int_eq(measure_table_chance(&again, counts, labels, ITEMS, 4, 3, 7, NULL),
                     BASE_OK);
    ck_assert_mem_eq(&chance, &again, sizeof chance);
    measure_table mean = {0};
    for (uint64_t turn = 0; turn < MEASURE_SHUFFLES; turn++) {
        base_rng rng = base_rng_make(7, BASE_PURPOSE_SUBSET, turn, 3, 12);
        uint64_t shuffled[4 * 3] = {0};
        uint32_t order[ITEMS];

        base_rng_permutation(&rng, order, ITEMS);
        for (size_t i = 0; i < ITEMS; i++)
            shuffled[order[i] % 4 * 3 + i % 4 % 3] += 5;
        const measure_table one = measure_table_of(shuffled, 4, 3);
        mean.total += one.total / MEASURE_SHUFFLES;
        mean.mutual += one.mutual / MEASURE_SHUFFLES;
        mean.normalised += one.normalised / MEASURE_SHUFFLES;
        mean.expert_given_class += one.expert_given_class / MEASURE_SHUFFLES;
        mean.class_given_expert += one.class_given_expert / MEASURE_SHUFFLES;
        mean.purity += one.purity / MEASURE_SHUFFLES;
    }
    ck_assert_double_eq_tol(chance.total, mean.total, 1e-9);
    ck_assert_double_eq_tol(chance.mutual, mean.mutual, exact);
    ck_assert_double_eq_tol(chance.normalised, mean.normalised, exact);
    ck_assert_double_eq_tol(chance.expert_given_class, mean.expert_given_class, exact);
    ck_assert_double_eq_tol(chance.class_given_expert, mean.class_given_expert, exact);
    ck_assert_double_eq_tol(chance.purity, mean.purity, exact);
    const measure_table s = measure_table_of(table, 4, 3);
    ck_assert_double_eq_tol(s.mutual, s.expert_entropy, exact); /* the class tells it */
    /* (4 - 1)(3 - 1) / 2 n is the bias of n independent items (Miller 1955): 0.05 */
    ck_assert_double_eq_tol(chance.mutual, 0.05, 0.025);
    ck_assert_double_eq_tol(chance.expert_entropy, s.expert_entropy, exact);
    ck_assert_double_eq_tol(chance.class_entropy, s.class_entropy, exact);
}
END_TEST

/* ---- probes -------------------------------------------------------------------------- */

enum { PROBE_ROWS = 300, PROBE_WIDTH = 6 };

static float probe_x[PROBE_ROWS * PROBE_WIDTH];
static int32_t probe_label[PROBE_ROWS];
static bool probe_held[PROBE_ROWS];

/* Normal columns of very different sizes; every fourth row is held out. */
static void probe_fill(void)
{
    base_rng rng = stream(1);

    for (size_t i = 0; i < PROBE_ROWS; i++) {
        for (size_t d = 0; d < PROBE_WIDTH; d++)
            probe_x[i * PROBE_WIDTH + d] =
                (float)(pow(10, (double)d - 3) * (5 + base_rng_normal(&rng)));
        probe_held[i] = i % 4 == 3;
    }
}

static measure_probe probe_fit(size_t classes)
{
    measure_probe probe;

    ck_assert_int_eq(measure_probe_fit(&probe, probe_x, probe_label, probe_held, PROBE_ROWS,
                                       PROBE_WIDTH, classes, MEASURE_PROBE_L2, NULL),
                     BASE_OK);
    return probe;
}

START_TEST(a_probe_separates_what_a_plane_separates)
{
    probe_fill();
    for (size_t i = 0; i < PROBE_ROWS; i++) { /* thresholds on a sum of two columns */
        const double u = (double)probe_x[i * PROBE_WIDTH] / 1e-3 - 5 +
                         (double)probe_x[i * PROBE_WIDTH + 4] / 10 - 5;

        probe_label[i] = u < -0.7 ? 0 : u < 0.7 ? 1 : 2;
    }
    const measure_probe p = probe_fit(3);
    ck_assert(p.converged);
    ck_assert_uint_eq(p.train_count, PROBE_ROWS * 3 / 4);
    ck_assert_uint_eq(p.test_count, PROBE_ROWS / 4);
    ck_assert_double_ge(p.train, 0.97);
    ck_assert_double_ge(p.test, 0.92);
    ck_assert_double_le(p.chance, 0.65);
}
END_TEST

START_TEST(a_probe_finds_nothing_in_labels_by_lot)
{
    base_rng rng = stream(2);

    probe_fill();
    for (size_t i = 0; i < PROBE_ROWS; i++)
        probe_label[i] = (int32_t)base_rng_below(&rng, 4);
    const measure_probe p = probe_fit(4);
    ck_assert_double_le(p.test, 0.45); /* 75 rows at a quarter: four sigma */
    ck_assert_double_le(fabs(p.test - p.chance), 0.2);
}
END_TEST

/* Chance is of the held-out part, whatever is frequent in the other, and no less than a
 * guess. */
START_TEST(chance_of_a_probe_is_of_its_test)
{
    size_t most[3] = {0}, best = 0;

    probe_fill();
    for (size_t i = 0; i < PROBE_ROWS; i++) {
        probe_label[i] = probe_held[i] ? (i / 4) % 5 < 3 ? 1 : 2 : 0;
        most[probe_label[i]] += probe_held[i];
    }
    for (size_t c = 0; c < 3; c++)
        best = most[c] > best ? most[c] : best;
    ck_assert_double_eq(probe_fit(3).chance, (double)best / (PROBE_ROWS / 4));
    for (size_t i = 0, held = 0; i < PROBE_ROWS; i++) {
        probe_label[i] = probe_held[i] && held < 3 ? (int32_t)held++ : -1;
        if (!probe_held[i] && i < 20)
            probe_label[i] = (int32_t)(i % 3);
    }
    ck_assert_double_eq(probe_fit(3).chance, 1.0 / 3);
    for (size_t i = 0, held = 0; i < PROBE_ROWS; i++)
        if (probe_held[i] && probe_label[i] >= 0 && held++ > 0)
            probe_label[i] = -1;
    ck_assert_double_eq(probe_fit(3).chance, 1);
}
END_TEST

/* The optimum of PyTorch's L-BFGS in double on the same 60 rows: loss and accuracy. */
START_TEST(a_probe_reaches_the_optimum)
{
    enum { N = 60, D = 4 };
    float x[N * D];
    int32_t labels[N];
    const bool held[N] = {false};
    measure_probe p;

    for (size_t i = 0; i < N; i++) {
        for (size_t d = 0; d < D; d++)
            x[i * D + d] = (float)sin((double)(1 + 3 * i + 7 * d + i * d));
        labels[i] =
            (double)x[i * D] + (double)x[i * D + 1] > 0.5 ? 2 : (int32_t)(i * i % 3);
    }
    ck_assert_int_eq(
        measure_probe_fit(&p, x, labels, held, N, D, 3, MEASURE_PROBE_L2, NULL), BASE_OK);
    ck_assert(p.converged);
    ck_assert_double_eq_tol(p.loss, 0.5284529433257931, 1e-6);
    ck_assert_double_eq_tol(p.train, 47.0 / 60, exact);
    ck_assert_double_nan(p.test);
}
END_TEST

START_TEST(rows_without_a_label_are_left_out)
{
    probe_fill();
    for (size_t i = 0; i < PROBE_ROWS; i++)
        probe_label[i] = i % 3 == 0 ? -1 : probe_x[i * PROBE_WIDTH + 2] > 0.5f;
    measure_probe p = probe_fit(2);
    ck_assert_uint_eq(p.train_count + p.test_count, PROBE_ROWS * 2 / 3);
    ck_assert_double_ge(p.test, 0.95);
    for (size_t i = 0; i < PROBE_ROWS; i++)
        probe_label[i] = -1;
    p = probe_fit(2);
    ck_assert_uint_eq(p.train_count, 0);
    ck_assert_double_nan(p.train);
    ck_assert(p.iterations == 0 && isnan(p.test) && isnan(p.chance));
    probe_label[0] = 1; /* one to learn from, one to be asked of */
    probe_label[3] = 0;
    p = probe_fit(2);
    ck_assert(p.train_count == 1 && p.test_count == 1);
    ck_assert_double_eq(p.train, 1);
    ck_assert_double_eq(p.test, 0);
    ck_assert_double_eq(p.chance, 1);
}
END_TEST

/* Large enough that threads are used at all. */
START_TEST(threads_change_no_bit_of_a_probe)
{
    enum { N = 600, D = 40, CLASSES = 12 };
    static float x[N * D];
    static int32_t labels[N];
    static bool held[N];
    measure_probe p[2];
    base_rng rng = stream(5);

    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)base_rng_normal(&rng);
    for (size_t i = 0; i < N; i++) {
        labels[i] = (int32_t)(i * i % CLASSES);
        held[i] = i % 5 == 0;
    }
    for (int t = 0; t < 2; t++) {
        omp_set_num_threads(1 + t);
        ck_assert_int_eq(measure_probe_fit(&p[t], x, labels, held, N, D, CLASSES, 1, NULL),
                         BASE_OK);
    }
    ck_assert(p[0].loss == p[1].loss && p[0].iterations == p[1].iterations);
    ck_assert(p[0].train == p[1].train && p[0].test == p[1].test);
}
END_TEST

/* ---- embeddings ---------------------------------------------------------------------- */

/* Axes 3, 2, 1 and 0.5 wide, turned in two planes; the sample's own covariance is what must
 * be found. */
START_TEST(principal_components_are_those_of_the_covariance)
{
    enum { N = 400, D = 4 };
    static const double wide[D] = {3, 2, 1, 0.5};
    static float x[N * D], out[N * 2];
    static double turned[N * D];
    double variance[2], total, seen[2] = {0}, product = 0;
    base_rng rng = stream(3);

    for (size_t i = 0; i < N; i++) {
        double v[D], *t = turned + i * D;

        for (size_t d = 0; d < D; d++)
            v[d] = wide[d] * base_rng_normal(&rng);
        t[0] = 0.6 * v[0] - 0.8 * v[1] + 10;
        t[1] = 0.8 * v[0] + 0.6 * v[1] - 4;
        t[2] = 0.28 * v[2] - 0.96 * v[3];
        t[3] = 0.96 * v[2] + 0.28 * v[3];
        for (size_t d = 0; d < D; d++)
            x[i * D + d] = (float)t[d];
    }
    ck_assert_int_eq(measure_pca(out, variance, &total, x, N, D, 2, NULL), BASE_OK);
    ck_assert_double_eq_tol(variance[0], 9, 1.5); /* 400 draws: a deviation of 0.64 */
    ck_assert_double_eq_tol(variance[1], 4, 0.7);
    ck_assert_double_eq_tol(total, 14.25, 2);
    for (size_t i = 0; i < N;
         i++) { /* the projections have these variances, uncorrelated */
        const double a = (double)out[2 * i], b = (double)out[2 * i + 1];

        seen[0] += a * a / N;
        seen[1] += b * b / N;
        product += a * b / N;
    }
    ck_assert_double_eq_tol(seen[0], variance[0], 1e-4);
    ck_assert_double_eq_tol(seen[1], variance[1], 1e-4);
    ck_assert_double_eq_tol(product, 0, 1e-4);
    /* the first axis is near (0.6, 0.8, 0, 0): its weights are positive */
    double along = 0, size = 0;
    for (size_t i = 0; i < N; i++) {
        along += (double)out[2 * i] *
                 (0.6 * (turned[i * D] - 10) + 0.8 * (turned[i * D + 1] + 4)) / N;
        size += pow(0.6 * (turned[i * D] - 10) + 0.8 * (turned[i * D + 1] + 4), 2) / N;
    }
    ck_assert_double_gt(along / sqrt(size * variance[0]), 0.99);
}
END_TEST

/* numpy's SVD of the same 60 rows. */
START_TEST(principal_variances_match_numpy)
{
    enum { N = 60, D = 4 };
    static const double reference[D] = {0.5175061272765801, 0.49703489823517155,
                                        0.47699045535184265, 0.4474594114442764};
    float x[N * D], out[N * D];
    double variance[D], total;

    for (size_t i = 0; i < N; i++)
        for (size_t d = 0; d < D; d++)
            x[i * D + d] = (float)sin((double)(1 + 3 * i + 7 * d + i * d));
    ck_assert_int_eq(measure_pca(out, variance, &total, x, N, D, D, NULL), BASE_OK);
    for (size_t d = 0; d < D; d++)
        ck_assert_double_eq_tol(variance[d], reference[d], 1e-9);
}
END_TEST

enum { POINTS = 150, POINT_WIDTH = 10 };

/* Three clouds, 0 1 2 0 1 2 ..., far apart in ten dimensions. */
static void clouds_fill(float *x)
{
    base_rng rng = stream(4);

    for (size_t i = 0; i < POINTS; i++)
        for (size_t d = 0; d < POINT_WIDTH; d++)
            x[i * POINT_WIDTH + d] =
                (float)(base_rng_normal(&rng) + (d == i % 3 ? 12.0 : 0.0));
}

/* Of points all equally far apart: the same p for every pair, whatever the perplexity. */
START_TEST(the_divergence_of_tsne_is_that_of_its_map)
{
    enum { N = 6 };
    float x[N * N] = {0}, y[2 * N];
    const double p = 1.0 / (N * (N - 1));
    double got, z = 0, want = 0;

    for (size_t i = 0; i < N; i++)
        x[i * N + i] = 3;
    ck_assert_int_eq(
        measure_tsne(y, &got, x, N, N, &(measure_tsne_options){.iterations = 30}, NULL),
        BASE_OK);
    for (int last = 0; last < 2; last++) {
        for (size_t i = 0; i < N * N; i++) {
            const double dx = (double)(y[2 * (i / N)] - y[2 * (i % N)]);
            const double dy = (double)(y[2 * (i / N) + 1] - y[2 * (i % N) + 1]);
            const double far = 1 + dx * dx + dy * dy;

            if (i / N != i % N && last)
                want += p * log(p * z * far);
            else if (i / N != i % N)
                z += 1 / far;
        }
    }
    ck_assert_double_eq_tol(got, want, 1e-5);
}
END_TEST

/* p(j | i) of row i of x, whose entropy is that of the perplexity. */
static void conditional(double *p, const float *x, size_t i, size_t n, size_t width,
                        double perplexity)
{
    double low = 0, high = 1e12, d[100];

    for (size_t j = 0; j < n; j++) {
        d[j] = 0;
        for (size_t k = 0; k < width; k++)
            d[j] += pow((double)x[i * width + k] - (double)x[j * width + k], 2);
    }
    for (int turn = 0; turn < 200; turn++) {
        const double beta = turn < 100 && high > 1e11 ? low * 2 + 1e-3 : (low + high) / 2;
        double sum = 0, entropy = 0;

        for (size_t j = 0; j < n; j++)
            sum += p[j] = j == i ? 0 : exp(-beta * d[j]);
        for (size_t j = 0; j < n; j++) {
            p[j] /= sum;
            entropy -= p[j] > 0 ? p[j] * log(p[j]) : 0;
        }
        *(entropy > log(perplexity) ? &low : &high) = beta;
    }
}

/* van der Maaten and Hinton's algorithm 1 in doubles, from the principal components. */
static void second_tsne(double *y, const float *x, size_t n, size_t width,
                        double perplexity, int iterations)
{
    static double p[100 * 100], speed[200], gain[200], slope[200];
    static float start[200];
    double variance[2];

    for (size_t i = 0; i < n; i++)
        conditional(p + i * n, x, i, n, width, perplexity);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            p[i * n + j] = p[j * n + i] = (p[i * n + j] + p[j * n + i]) / (2 * (double)n);
    ck_assert_int_eq(measure_pca(start, variance, NULL, x, n, width, 2, NULL), BASE_OK);
    for (size_t i = 0; i < 2 * n; i++) {
        y[i] = 1e-4 / sqrt(variance[0]) * (double)start[i];
        speed[i] = 0;
        gain[i] = 1;
    }
    for (int t = 0; t < iterations; t++) {
        double z = 0, mean[2] = {0};

        for (size_t i = 0; i < n * n; i++)
            if (i / n != i % n)
                z += 1 / (1 + pow(y[2 * (i / n)] - y[2 * (i % n)], 2) +
                          pow(y[2 * (i / n) + 1] - y[2 * (i % n) + 1], 2));
        memset(slope, 0, sizeof slope);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                const double dx = y[2 * i] - y[2 * j], dy = y[2 * i + 1] - y[2 * j + 1];
                const double q = 1 / (1 + dx * dx + dy * dy);
                const double pull = (t < 250 ? 12 : 1) * p[i * n + j] - q / z;

                slope[2 * i] += i == j ? 0 : 4 * pull * q * dx;
                slope[2 * i + 1] += i == j ? 0 : 4 * pull * q * dy;
            }
        for (size_t i = 0; i < 2 * n; i++) {
            gain[i] = (slope[i] > 0) == (speed[i] > 0) ? 0.8 * gain[i] : gain[i] + 0.2;
            gain[i] = fmax(gain[i], 0.01);
            speed[i] = (t < 250 ? 0.5 : 0.8) * speed[i] -
                       fmax((double)n / 48, 50) * gain[i] * slope[i];
            y[i] += speed[i];
            mean[i % 2] += y[i] / (double)n;
        }
        for (size_t i = 0; i < 2 * n; i++)
            y[i] -= mean[i % 2];
    }
}

/* A few steps: what float32 leaves grows with each. Of few points, and of as many as the
 * usual perplexity of 30 asks for. */
START_TEST(tsne_follows_its_algorithm)
{
    static const struct {
        size_t n;
        double asked, perplexity;
        int iterations;
        double close; /* of the map's width */
    } cases[] = {{12, 0, 11 / 3.0, 1, 1e-4},
                 {12, 0, 11 / 3.0, 4, 1e-3},
                 {12, 2, 2, 3, 1e-3},
                 {100, 0, 30, 3, 1e-3}};
    enum { WIDTH = 3 };
    static float x[100 * WIDTH], got[200];
    static double want[200];
    base_rng rng = stream(9);

    for (size_t i = 0; i < 100 * WIDTH; i++)
        x[i] = (float)(base_rng_normal(&rng) + (i / WIDTH % 3 == i % WIDTH ? 40.0 : 0.0));
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double most = 0;

        ck_assert_int_eq(
            measure_tsne(got, NULL, x, cases[c].n, WIDTH,
                         &(measure_tsne_options){.perplexity = cases[c].asked,
                                                 .iterations = cases[c].iterations},
                         NULL),
            BASE_OK);
        second_tsne(want, x, cases[c].n, WIDTH, cases[c].perplexity, cases[c].iterations);
        for (size_t i = 0; i < 2 * cases[c].n; i++)
            most = fmax(most, fabs(want[i]));
        for (size_t i = 0; i < 2 * cases[c].n; i++)
            ck_assert_msg(fabs((double)got[i] - want[i]) < cases[c].close * most,
                          "case %zu, number %zu: %g, not %g (of %g)", c, i, (double)got[i],
                          want[i], most);
    }
}
END_TEST

START_TEST(tsne_keeps_clusters_together)
{
    static float x[POINTS * POINT_WIDTH], y[POINTS * 2];
    double divergence;
    size_t same = 0;

    clouds_fill(x);
    ck_assert_int_eq(measure_tsne(y, &divergence, x, POINTS, POINT_WIDTH,
                                  &(measure_tsne_options){.iterations = 400}, NULL),
                     BASE_OK);
    ck_assert(isfinite(divergence) && divergence > 0 && divergence < 1);
    for (size_t i = 0; i < POINTS; i++) {
        double nearest = INFINITY;
        size_t at = i;

        for (size_t j = 0; j < POINTS; j++) {
            const double dx = (double)(y[2 * i] - y[2 * j]);
            const double dy = (double)(y[2 * i + 1] - y[2 * j + 1]);

            if (j != i && dx * dx + dy * dy < nearest) {
                nearest = dx * dx + dy * dy;
                at = j;
            }
        }
        same += at % 3 == i % 3;
    }
    ck_assert_uint_eq(same, POINTS);
}
END_TEST

/* The search for a point's width begins at the points' own distances. */
START_TEST(the_scale_of_the_points_does_not_matter_to_tsne)
{
    static float x[POINTS * POINT_WIDTH];
    double divergence[2];

    clouds_fill(x);
    for (int small = 0; small < 2; small++) {
        static float y[POINTS * 2];

        ck_assert_int_eq(measure_tsne(y, &divergence[small], x, POINTS, POINT_WIDTH,
                                      &(measure_tsne_options){.iterations = 1}, NULL),
                         BASE_OK);
        for (size_t i = 0; i < POINTS * POINT_WIDTH; i++)
            x[i] *= 0x1p-40f;
    }
    ck_assert_double_eq_tol(divergence[1], divergence[0], 1e-3 * divergence[0]);
}
END_TEST

START_TEST(threads_change_no_bit_of_an_embedding)
{
    enum { N = 600, D = 5 };
    static float x[N * D], y[2][N * 2];
    base_rng rng = stream(6);

    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)base_rng_normal(&rng);
    for (int t = 0; t < 2; t++) {
        omp_set_num_threads(1 + t);
        ck_assert_int_eq(measure_tsne(y[t], NULL, x, N, D,
                                      &(measure_tsne_options){.iterations = 30}, NULL),
                         BASE_OK);
    }
    ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(few_equal_or_no_points_stay_finite)
{
    const float same[5 * 3] = {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3};
    const float apart[3 * 1] = {0, 1, 5};
    float out[10];
    double variance[2], total;

    ck_assert_int_eq(measure_pca(out, variance, &total, same, 5, 3, 2, NULL), BASE_OK);
    ck_assert_double_eq(variance[0], 0);
    ck_assert_double_eq(total, 0);
    for (size_t n = 0; n <= 5; n++) {
        ck_assert_int_eq(
            measure_tsne(out, NULL, same, n, 3, &(measure_tsne_options){0}, NULL), BASE_OK);
        for (size_t i = 0; i < 2 * n; i++)
            ck_assert(isfinite(out[i]));
    }
    ck_assert_int_eq(measure_tsne(out, NULL, apart, 3, 1, &(measure_tsne_options){0}, NULL),
                     BASE_OK);
    for (size_t i = 0; i < 6; i++)
        ck_assert(isfinite(out[i]));
    const uint64_t nothing[4] = {0};
    ck_assert_double_eq(measure_table_of(nothing, 2, 2).normalised, 0);
    const uint64_t one[1] = {9};
    ck_assert_double_eq(measure_table_of(one, 1, 1).normalised, 0);
    ck_assert_double_eq(measure_table_of(one, 1, 1).purity, 1);
}
END_TEST

START_TEST(a_constant_column_says_nothing)
{
    probe_fill();
    for (size_t i = 0; i < PROBE_ROWS; i++) {
        probe_x[i * PROBE_WIDTH + 1] = 3.0f;
        probe_label[i] = probe_x[i * PROBE_WIDTH + 5] > 500.0f;
    }
    const measure_probe p = probe_fit(2);
    ck_assert_double_ge(p.test, 0.95);
    ck_assert(isfinite(p.loss));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_statistics");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_test(core, the_golden_table_is_met);
    tcase_add_test(core, the_conditional_entropy_is_that_of_its_definition);
    tcase_add_test(core, lifts_are_shares_over_shares);
    tcase_add_test(core, quantiles_lie_between_two_values);
    tcase_add_test(core, some_classes_are_ranked_alone);
    tcase_add_test(core, shuffled_labels_show_what_chance_shows);
    tcase_add_test(core, a_probe_separates_what_a_plane_separates);
    tcase_add_test(core, a_probe_finds_nothing_in_labels_by_lot);
    tcase_add_test(core, chance_of_a_probe_is_of_its_test);
    tcase_add_test(core, a_probe_reaches_the_optimum);
    tcase_add_test(core, rows_without_a_label_are_left_out);
    tcase_add_test(core, threads_change_no_bit_of_a_probe);
    tcase_add_test(core, principal_components_are_those_of_the_covariance);
    tcase_add_test(core, principal_variances_match_numpy);
    tcase_add_test(core, the_divergence_of_tsne_is_that_of_its_map);
    tcase_add_test(core, tsne_follows_its_algorithm);
    tcase_add_test(core, tsne_keeps_clusters_together);
    tcase_add_test(core, the_scale_of_the_points_does_not_matter_to_tsne);
    tcase_add_test(core, threads_change_no_bit_of_an_embedding);
    tcase_add_test(limits, few_equal_or_no_points_stay_finite);
    tcase_add_test(limits, a_constant_column_says_nothing);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
