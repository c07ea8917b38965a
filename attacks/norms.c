/* norms.c - the geometry of the budgets: distances, the nearest feasible point, steps
 * uphill, random starts. Source: attacks.md 2; the exact projection on the intersection of
 * an L1 ball and a box follows Croce and Hein 2021, "Mind the box" (arXiv 2103.01208),
 * solved by bisection. Relied on elsewhere: the result is feasible to rounding, x itself is
 * always feasible, and no function here depends on anything but its arguments. */
#include "attacks/attacks_internal.h"

#include <math.h>

const char *attack_norm_name(attack_norm norm)
{
    static const char *const names[] = {"linf", "l2", "l1"};

    return names[norm];
}

double attack_norm2(const float *v, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

double attack_norm1(const float *v, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += fabs((double)v[i]);
    return sum;
}

double attack_distance(const float *a, const float *b, size_t count, attack_norm norm)
{
    double most = 0, sum = 0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        if (norm == ATTACK_NORM_LINF)
            most = fmax(most, fabs(d));
        else
            sum += norm == ATTACK_NORM_L2 ? d * d : fabs(d);
    }
    return norm == ATTACK_NORM_LINF ? most : norm == ATTACK_NORM_L2 ? sqrt(sum) : sum;
}

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static void project_linf(float *v, const float *x, size_t count, double eps)
{
    const float e = (float)eps;

    for (size_t i = 0; i < count; i++)
        v[i] = clamp(clamp(v[i], x[i] - e, x[i] + e), 0, 1);
}

/* Ball first, box second: x is in the box, so the clamp only shrinks. */
static void project_l2(float *v, const float *x, size_t count, double eps)
{
    const double norm = attack_distance(v, x, count, ATTACK_NORM_L2);
    const double scale = norm > eps ? eps / norm : 1;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)v[i] - (double)x[i];
        v[i] =
            scale < 1 ? clamp((float)((double)x[i] + d * scale), 0, 1) : clamp(v[i], 0, 1);
    }
}

/* |d| after soft thresholding by lam and cutting at the face of the box that d points
 * to. */
static double l1_part(double d, double x, double lam)
{
    const double size = fabs(d) - lam, room = d >= 0 ? 1 - x : x;

    return size <= 0 ? 0 : size < room ? size : room;
}

static double l1_sum(const float *v, const float *x, size_t count, double lam)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += l1_part((double)v[i] - (double)x[i], (double)x[i], lam);
    return sum;
}

static void project_l1(float *v, const float *x, size_t count, double eps)
{
    enum { HALVINGS = 80 };
    double low = 0, high = 0;

    for (size_t i = 0; i < count; i++)
        high = fmax(high, fabs((double)v[i] - (double)x[i]));
    if (l1_sum(v, x, count, 0) <= eps)
        high = 0;
    for (int turn = 0; turn < HALVINGS && high > low; turn++) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break; /* neighbours in double */
        if (l1_sum(v, x, count, middle) > eps)
            low = middle;
        else
            high = middle;
    }
    for (size_t i = 0; i < count; i++) {
        const double d = (double)v[i] - (double)x[i];
        const double part = l1_part(d, (double)x[i], high);
        v[i] =
            part == 0 ? x[i] : clamp((float)((double)x[i] + (d > 0 ? part : -part)), 0, 1);
    }
}

void attack_project(float *v, const float *x, size_t count, attack_norm norm, double eps)
{
    switch (norm) {
    case ATTACK_NORM_LINF: project_linf(v, x, count, eps); break;
    case ATTACK_NORM_L2: project_l2(v, x, count, eps); break;
    case ATTACK_NORM_L1: project_l1(v, x, count, eps); break;
    }
}

void attack_ascend(float *point, const float *from, const float *g, double scale,
                   const float *x, size_t count, attack_norm norm, double eps)
{
    const double smallest = 1e-12; /* a zero gradient moves nothing */

    if (norm == ATTACK_NORM_LINF) {
        const float step = (float)scale;
        for (size_t i = 0; i < count; i++)
            point[i] = from[i] + (g[i] > 0 ? step : g[i] < 0 ? -step : 0);
    } else {
        const double step = scale / fmax(attack_norm2(g, count), smallest);
        for (size_t i = 0; i < count; i++)
            point[i] = (float)((double)from[i] + step * (double)g[i]);
    }
    attack_project(point, x, count, norm, eps);
}

static void swap(float *a, float *b)
{
    const float kept = *a;

    *a = *b;
    *b = kept;
}

/* The k-th largest of v [count], 1 <= k <= count, whose order is lost. Quickselect, middle
 * of three as pivot, three parts (Dijkstra's flag): ties are common among gradients.
 * O(count) in the mean. */
static float kth_largest(float *v, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;

    for (;;) {
        const float a = v[low], b = v[low + (high - low) / 2], c = v[high];
        const float pivot = fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
        size_t first = low, i = low, last = high; /* the pivot's part in the end */
        while (i <= last) {
            if (v[i] > pivot)
                swap(&v[i++], &v[first++]);
            else if (v[i] < pivot)
                swap(&v[i], &v[last--]);
            else
                i++;
        }
        if (k - 1 < first)
            high = first - 1;
        else if (k - 1 > last)
            low = last + 1;
        else
            return pivot;
    }
}

size_t attack_keep_largest(float *mask, float *scratch, const float *g, size_t count,
                           size_t k)
{
    size_t have = 0, above = 0;

    for (size_t i = 0; i < count; i++) {
        mask[i] = mask[i] != 0;
        if (mask[i] != 0)
            scratch[have++] = fabsf(g[i]);
    }
    if (have <= k)
        return have;
    const float least = k > 0 ? kth_largest(scratch, have, k) : INFINITY;
    for (size_t i = 0; i < count; i++)
        above += mask[i] != 0 && fabsf(g[i]) > least;
    size_t ties = k - above;
    for (size_t i = 0; i < count; i++) {
        const bool tie = mask[i] != 0 && fabsf(g[i]) == least && ties > 0;
        mask[i] = mask[i] != 0 && (tie || fabsf(g[i]) > least);
        ties -= tie;
    }
    return k;
}

void attack_random_start(float *point, const attack_lane *lane, base_rng *rng)
{
    const attack_task *task = lane->task;
    const size_t count = task->count;

    if (task->norm == ATTACK_NORM_LINF) {
        for (size_t i = 0; i < count; i++)
            point[i] = lane->x[i] + (float)((2 * base_rng_uniform(rng) - 1) * task->eps);
    } else {
        for (size_t i = 0; i < count; i++)
            point[i] = (float)base_rng_normal(rng);
        const double scale = task->norm == ATTACK_NORM_L1
                                 ? 1
                                 : task->eps *
                                       pow(base_rng_uniform(rng), 1.0 / (double)count) /
                                       fmax(attack_norm2(point, count), 1e-12);
        for (size_t i = 0; i < count; i++)
            point[i] = (float)((double)lane->x[i] + scale * (double)point[i]);
    }
    attack_project(point, lane->x, count, task->norm, task->eps);
}
