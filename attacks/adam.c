/* adam.c - Adam (Kingma and Ba 2015, algorithm 1) for attacks that search with it: CW
 * and SPSA. */
#include "attacks/parts_internal.h"

#include <math.h>

static const double beta1 = 0.9, beta2 = 0.999, tiny = 1e-8;

void attack_adam(float *w, float *m, float *v, const float *g, size_t count, double lr,
                 size_t t)
{
    const float b1 = (float)beta1, b2 = (float)beta2;
    const float step = (float)(lr / (1 - pow(beta1, (double)t)));
    const float scale = (float)(1 / sqrt(1 - pow(beta2, (double)t)));

    for (size_t i = 0; i < count; i++) {
        m[i] = b1 * m[i] + (1 - b1) * g[i];
        v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
        w[i] -= step * m[i] / (sqrtf(v[i]) * scale + (float)tiny);
    }
}
