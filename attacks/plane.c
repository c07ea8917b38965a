/* plane.c - the nearest point of a plane inside the box [0, 1]^D: the projection that
 * FAB lives on. Follows Croce and Hein 2020 (arXiv 1907.02044), section 3.2. differs:
 * where they sort the breakpoints we climb from below by Newton's method on the
 * piecewise linear sum, which ends at the exact piece in a few passes and needs no
 * memory. Free to change: the search. Relied on elsewhere: the result. */
#include "attacks/attacks_internal.h"
#include "attacks/parts_internal.h"

#include <math.h>
#include <string.h>

/* Newton's method passes at least one breakpoint a turn, in practice most of them at
 * once. */
enum { TURNS_MAX = 200 };

double attack_norm_of(const float *d, size_t count, attack_norm norm)
{
    double most = 0;

    if (norm == ATTACK_NORM_L2)
        return attack_norm2(d, count);
    if (norm == ATTACK_NORM_L1)
        return attack_norm1(d, count);
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)d[i]));
    return most;
}

double attack_dual_norm_of(const float *w, size_t count, attack_norm norm)
{
    return attack_norm_of(w, count,
                          norm == ATTACK_NORM_LINF ? ATTACK_NORM_L1
                          : norm == ATTACK_NORM_L1 ? ATTACK_NORM_LINF
                                                   : ATTACK_NORM_L2);
}

/* How far coordinate i may go the way that raises (up) or lowers w.v. */
static inline double room(float v, float w, bool up)
{
    if (w == 0)
        return 0;
    const double r = (w > 0) == up ? 1 - (double)v : (double)v;
    return r > 0 ? r : 0;
}

/* Linf and L2: |d_i| = min(lam u_i, room_i), u_i = 1 or |w_i|, where sum |w_i| |d_i| =
 * gap. The sum is a concave function of lam, so Newton's method from 0 climbs to the
 * root without passing it. */
static double level(const float *v, const float *w, double gap, bool up, size_t count,
                    attack_norm norm)
{
    double lam = 0;

    for (int turn = 0; turn < TURNS_MAX; turn++) {
        double full = 0, slope = 0;
        for (size_t i = 0; i < count; i++) {
            const double a = fabs((double)w[i]), r = room(v[i], w[i], up);
            const double u = norm == ATTACK_NORM_L2 ? a : 1;
            if (lam * u >= r)
                full += a * r;
            else
                slope += a * u;
        }
        if (slope <= 0)
            break;
        const double next = (gap - full) / slope;
        if (!(next > lam))
            break;
        lam = next;
    }
    return lam;
}

/* L1: coordinates of largest |w| first. The threshold is found by bisecting the bit
 * patterns of non-negative floats, which are ordered as the floats are: the largest t
 * with sum over |w_i| >= t of |w_i| room_i >= gap. */
static float threshold(const float *v, const float *w, double gap, bool up, size_t count)
{
    uint32_t low = 0, high = 0x7f800000; /* 0 reaches, infinity does not */

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        float t;
        memcpy(&t, &middle, sizeof t);
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            const float a = fabsf(w[i]);
            if (a >= t)
                sum += (double)a * room(v[i], w[i], up);
        }
        if (sum >= gap)
            low = middle;
        else
            high = middle;
    }
    float t;
    memcpy(&t, &low, sizeof t);
    return t;
}

bool attack_plane_move(float *d, const float *v, const float *w, double gap, size_t count,
                       attack_norm norm)
{
    const bool up = gap >= 0;
    const double need = fabs(gap);
    double reach = 0;

    for (size_t i = 0; i < count; i++)
        reach += fabs((double)w[i]) * room(v[i], w[i], up);
    const bool reached = reach > need || need == 0;

    float t = 0;
    double lam = 0, left = need;
    if (reached && norm == ATTACK_NORM_L1) {
        t = threshold(v, w, need, up, count);
        for (size_t i = 0; i < count; i++)
            if (fabsf(w[i]) > t)
                left -= fabs((double)w[i]) * room(v[i], w[i], up);
    } else if (reached) {
        lam = level(v, w, need, up, count, norm);
    }

    for (size_t i = 0; i < count; i++) {
        const double a = fabs((double)w[i]), r = room(v[i], w[i], up);
        double move = r;
        if (reached && norm == ATTACK_NORM_LINF)
            move = fmin(lam, r);
        else if (reached && norm == ATTACK_NORM_L2)
            move = fmin(lam * a, r);
        else if (reached && fabsf(w[i]) <= t) {
            /* those at the threshold share what is left, in order */
            move = fabsf(w[i]) == t && t > 0 && left > 0 ? fmin(left / a, r) : 0;
            left -= move * a;
        }
        d[i] = (float)((w[i] > 0) == up ? move : -move);
    }
    return reached || reach == need;
}
