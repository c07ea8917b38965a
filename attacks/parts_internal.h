/* parts_internal.h - the pure functions that methods are made of, each tested on its
 * own: the plane in the box of FAB, windows, patterns and schedule of Square, the three
 * budgets of L1-APGD, Adam. No state, no model, no printing; nothing here can fail. */
#ifndef ATTACKS_PARTS_INTERNAL_H
#define ATTACKS_PARTS_INTERNAL_H

#include "attacks/attacks.h"

/* ---- planes (plane.c) ---------------------------------------------------------------- */

/* The smallest move d [count] in norm from v [count] in [0, 1]^D that stays in the box
 * and raises w.v by gap (lowers it for gap < 0): min norm(d) with w.d = gap, 0 <= v + d
 * <= 1. Croce and Hein 2020, "Minimally distorted adversarial examples with a fast
 * adaptive boundary attack", section 3.2. False when the plane is out of reach: then d
 * takes all the room towards it. gap 0 or w = 0 give d = 0. */
bool attack_plane_move(float *d, const float *v, const float *w, double gap, size_t count,
                       attack_norm norm);
/* norm of d, in double. */
double attack_norm_of(const float *d, size_t count, attack_norm norm);
/* The dual norm of w: distance to the plane w.d = gap in norm, without a box, is |gap| /
 * dual. */
double attack_dual_norm_of(const float *w, size_t count, attack_norm norm);

/* ---- squares (squares.c): Andriushchenko et al. 2020, "Square Attack" ---------------- */

/* The share p of changed pixels at iteration i: p0 / 2^(number of breaks below i),
 * section 4.1 of the paper and the schedule of its code; rescale stretches the schedule,
 * made for 10,000 queries, to `queries`. */
double attack_square_share(double p0, size_t i, size_t queries, bool rescale);
/* Side of the window for share p: Linf >= 1; L2 odd and >= 3; at most the short side. */
size_t attack_square_side(double p, size_t height, size_t width, attack_norm norm);
/* The pattern E(s) [side, side] of unit L2 norm, upper part positive, lower part
 * negative; transposed: left part positive. side >= 1 (1: the number 1). */
void attack_square_pattern(float *out, size_t side, bool transposed);

/* ---- L1-APGD (apgd_l1.c): Croce and Hein 2021, "Mind the box" ------------------------ */

/* Steps of the three phases with budgets 3 eps, 2 eps and eps: ceil(.3 N), ceil(.3 N),
 * the rest. */
void attack_l1_phases(size_t steps[3], size_t total);

/* ---- Adam (adam.c): Kingma and Ba 2015 ----------------------------------------------- */

/* One step of descent of w [count] along g with moments m and v; t = 1, 2, ... */
void attack_adam(float *w, float *m, float *v, const float *g, size_t count, double lr,
                 size_t t);

#endif
