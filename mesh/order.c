/* order.c - sums with a fixed order: a balanced tree over the contributions' numbers.
 *
 * MPI promises no order of a reduction, so nothing is added inside MPI. Free to change: how
 * the loops run. Relied on elsewhere: the tree, ((0+1)+(2+3))+((4+5)+6); a run of
 * contributions whose number and place are a power of two is a subtree, so it may be added
 * elsewhere first. */
#include "mesh/mesh.h"

/* The largest power of two below count >= 2. */
static size_t left_half(size_t count)
{
    size_t half = 1;

    while (2 * half < count)
        half *= 2;
    return half;
}

static double tree_at(const double *const *each, size_t count, size_t i)
{
    if (count == 1)
        return each[0][i];
    if (count == 2)
        return each[0][i] + each[1][i];
    const size_t half = left_half(count);
    return tree_at(each, half, i) + tree_at(each + half, count - half, i);
}

void mesh_tree_sum(double *out, const double *const *each, size_t contributions,
                   size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = tree_at(each, contributions, i);
}
