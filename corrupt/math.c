/* math.c - e^x, cosine and sine that give the same bits on every processor: those of libm
 * pick another routine where there is a fused multiply-add. Sums of Taylor's series in f64
 * after reduction to a small argument; for parameters (taps, offsets), not for pixels.
 * Relied on elsewhere: every stored result depends on the last bit. */
#include "corrupt/corrupt_internal.h"

#include <math.h>
#include <string.h>

/* 2^power, -1022 <= power <= 1023. */
static double power_of_two(int power)
{
    const uint64_t bits = (uint64_t)(power + 1023) << 52;
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

double corrupt_exp(double x)
{
    /* ln 2 in two parts: 33 bits, so that k times it is exact, and the rest. */
    const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    const double inverse = 1.4426950408889634;
    if (x < -745.2)
        return 0.0;
    const double k = floor(x * inverse + 0.5);
    const double high = x - k * ln2_high, low = k * ln2_low;
    const double r = high - low;
    const double rest = high - r - low;

    /* e^r = 1 + r + r^2 (1/2 + r (1/6 + ...)), |r| <= 0.347: 0.347^14 / 14! < 5e-18. */
    double sum = 1.0 / 6227020800.0; /* 1 / 13! */
    double factorial = 6227020800.0;
    for (int i = 13; i > 2; i--) {
        factorial /= i;
        sum = sum * r + 1.0 / factorial;
    }
    const double tail = r * r * sum + rest;
    const double one_more = 1.0 + r;
    const double value = one_more + (r - (one_more - 1.0) + tail);
    const int power = (int)k;
    if (power < -1000)
        return value * power_of_two(power + 200) * power_of_two(-200);
    return power > 1000 ? value * power_of_two(power - 200) * power_of_two(200)
                        : value * power_of_two(power);
}

void corrupt_cos_sin(double *cosine, double *sine, double degrees)
{
    const double quarter = floor(degrees / 90.0 + 0.5);
    const double t = (degrees - 90.0 * quarter) * (3.14159265358979323846 / 180.0);
    const double z = t * t;

    /* |t| <= pi / 4: (pi/4)^19 / 19! < 1e-19. */
    double s = 0.0, c = 0.0;
    for (int i = 17; i >= 1; i -= 2) {
        s = 1.0 - s * z / ((i + 1) * (i + 2));
        c = 1.0 - c * z / ((i + 1) * i);
    }
    s *= t;
    switch (((int)quarter % 4 + 4) % 4) {
    case 0: *cosine = c, *sine = s; break;
    case 1: *cosine = -s, *sine = c; break;
    case 2: *cosine = -c, *sine = -s; break;
    default: *cosine = s, *sine = -c; break;
    }
}
