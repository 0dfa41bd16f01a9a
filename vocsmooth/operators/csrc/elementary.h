/* Exponential and logarithm in double precision, to two or three units in the last place. Those of
 * the C library take other paths, and may round otherwise, on machines with fused multiplication;
 * these give the same bits everywhere, and loops that call them are vectorised. */
#ifndef VOCSMOOTH_ELEMENTARY_H
#define VOCSMOOTH_ELEMENTARY_H

#include <stdint.h>

#include "kernels.h"

typedef union {
    double value;
    uint64_t bits;
} Double;

/* e^x for x up to 700; below -700, e^-700, which is as good as 0. */
INLINE double exponential(double x)
{
    const double shifter = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to a whole number */
    Double whole, power;
    x = x > -700.0 ? x : -700.0;
    whole.value = x * 1.44269504088896340736 + shifter;
    double n = whole.value - shifter;
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double e = 1.0 / 6227020800.0; /* Taylor's series: |r| < 0.35 */
    e = e * r + 1.0 / 479001600.0;
    e = e * r + 1.0 / 39916800.0;
    e = e * r + 1.0 / 3628800.0;
    e = e * r + 1.0 / 362880.0;
    e = e * r + 1.0 / 40320.0;
    e = e * r + 1.0 / 5040.0;
    e = e * r + 1.0 / 720.0;
    e = e * r + 1.0 / 120.0;
    e = e * r + 1.0 / 24.0;
    e = e * r + 1.0 / 6.0;
    e = e * r + 0.5;
    e = e * r * r + r + 1.0;
    power.bits = (whole.bits + 1023) << 52; /* 2^n */
    return e * power.value;
}

/* log x for normal x > 0: x = 2^n m with m from sqrt(1/2) to sqrt(2), and s = (m - 1) / (m + 1) is
 * below 0.18. */
INLINE double logarithm(double x)
{
    const uint64_t half_root = 0x3fe6a09e667f3bcd; /* bits of sqrt(1/2) */
    Double mantissa = {x}, exponent;
    uint64_t n = (mantissa.bits - half_root + ((uint64_t)1023 << 52)) >> 52; /* + 1023 */
    mantissa.bits -= (n - 1023) << 52;
    exponent.bits = n | 0x4330000000000000; /* 2^52 + n */
    double s = (mantissa.value - 1.0) / (mantissa.value + 1.0), square = s * s;
    double sum = 1.0 / 21.0;
    sum = sum * square + 1.0 / 19.0;
    sum = sum * square + 1.0 / 17.0;
    sum = sum * square + 1.0 / 15.0;
    sum = sum * square + 1.0 / 13.0;
    sum = sum * square + 1.0 / 11.0;
    sum = sum * square + 1.0 / 9.0;
    sum = sum * square + 1.0 / 7.0;
    sum = sum * square + 1.0 / 5.0;
    sum = sum * square + 1.0 / 3.0;
    return (exponent.value - 4503599627371519.0) * 0.69314718055994530942 /* 2^52 + 1023 */
           + (2.0 * s + 2.0 * s * square * sum);
}

/* x^y for normal x > 0. */
INLINE double power_of(double x, double y)
{
    return exponential(y * logarithm(x));
}

#endif
