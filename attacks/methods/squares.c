/* squares.c - windows, schedule and patterns of the Square attack. Follows
 * Andriushchenko, Croce, Flammarion and Hein 2020 (arXiv 1912.00049), sections 3.3 and
 * 3.4, and the schedule of AutoAttack's code. All of it is relied on: published numbers
 * hang on these values. */
#include "attacks/parts_internal.h"

#include <assert.h>
#include <math.h>

double attack_square_share(double p0, size_t i, size_t queries, bool rescale)
{
    static const size_t breaks[] = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};

    if (rescale && queries > 0)
        i = (size_t)((double)i / (double)queries * 10000);
    double p = p0;
    for (size_t b = 0; b < sizeof breaks / sizeof breaks[0] && i > breaks[b]; b++)
        p /= 2;
    return p;
}

size_t attack_square_side(double p, size_t height, size_t width, attack_norm norm)
{
    const size_t shorter = height < width ? height : width;
    size_t s = (size_t)lrint(sqrt(p * (double)(height * width)));

    if (norm == ATTACK_NORM_L2) {
        s = s < 3 ? 3 : s;
        s += s % 2 == 0;
    }
    s = s < 1 ? 1 : s;
    return s < shorter ? s : shorter;
}

/* R(a, b): nested rectangles around the middle of rows [from, from + a) of out [b, b],
 * of weights 1 / (j + 1)^2, scaled by sign to unit L2 norm. A cell's value depends only
 * on the smallest rectangle that holds it, so rings are written from the outermost
 * inwards with a running sum. */
static void rectangles(float *out, size_t b, size_t from, size_t a, double sign)
{
    double sum = 0, square = 0;

    for (size_t j = b / 2 + 1; j-- > 0;) { /* b >= a: the larger one */
        sum += 1 / ((double)(j + 1) * (double)(j + 1));
        for (size_t row = 0; row < a; row++) {
            const size_t off = row > a / 2 ? row - a / 2 : a / 2 - row;
            if (off > j)
                continue;
            float *line = out + (from + row) * b;
            const size_t step =
                off == j || j == 0 ? 1 : 2 * j; /* whole line or both ends */
            for (size_t at = 0; at <= 2 * j; at += step)
                if (b / 2 + at >= j && b / 2 + at - j < b) {
                    line[b / 2 + at - j] = (float)sum;
                    square += sum * sum;
                }
        }
    }
    const float scale = (float)(sign / sqrt(square));
    for (size_t i = from * b; i < (from + a) * b; i++)
        out[i] *= scale;
}

void attack_square_pattern(float *out, size_t side, bool transposed)
{
    assert(side >= 1);
    if (side == 1) {
        out[0] = 1;
        return;
    }
    rectangles(out, side, 0, side / 2, 1);
    rectangles(out, side, side / 2, side - side / 2, -1);
    for (size_t i = 0; i < side * side; i++)
        out[i] *= (float)M_SQRT1_2; /* two halves of norm 1 */
    if (!transposed)
        return;
    for (size_t row = 0; row < side; row++)
        for (size_t column = row + 1; column < side; column++) {
            const float keep = out[row * side + column];
            out[row * side + column] = out[column * side + row];
            out[column * side + row] = keep;
        }
}
