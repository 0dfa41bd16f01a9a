/* Stockham's autosort FFT with radices 4, 2, 3, 5 and small odd primes, and Bluestein's chirp for
 * the rest.
 *
 * C. Van Loan: Computational Frameworks for the Fast Fourier Transform, SIAM 1992, sections 1.7 and
 * 4.2. Tables come from long double functions: those of the C library for double take other paths,
 * and may round otherwise, on machines with fused multiplication.
 */
#include "fft.h"

enum { MAX_RADIX = 13 };

/* One column's share of an element. Butterflies are written for it, and loops over the columns turn
 * them into vector code of whatever width the machine has: GCC keeps values of a vector type that is
 * wider than that in memory, which makes them four times as slow. */
typedef struct {
    double re, im;
} Number;

static const long double PI = 3.14159265358979323846264338327950288L;

/* Remove the factors that butterflies exist for; 1 is left of a length that needs no chirp. */
static int rough_part(int length)
{
    for (int radix = 2; radix <= MAX_RADIX; radix++)
        while (length % radix == 0)
            length /= radix;
    return length;
}

/* Smallest length that holds the chirp's linear convolution and has small factors only. */
static int padded_length(int length)
{
    if (rough_part(length) == 1)
        return length;
    int padded = 2 * length - 1;
    for (;; padded++) {
        int rest = padded;
        for (int radix = 2; radix <= 5; radix++)
            while (rest % radix == 0)
                rest /= radix;
        if (rest == 1)
            return padded;
    }
}

/* ---------------------------------------------------------------------------------------------
 * Butterflies: the DFT of a few elements. Multiplication by -i turns (re, im) into (im, -re).
 */

INLINE void butterfly_2(Number *a)
{
    Number s = {a[0].re + a[1].re, a[0].im + a[1].im};
    Number d = {a[0].re - a[1].re, a[0].im - a[1].im};
    a[0] = s;
    a[1] = d;
}

INLINE void butterfly_3(Number *a)
{
    const double sine = 0.86602540378443864676;
    Number s = {a[1].re + a[2].re, a[1].im + a[2].im};
    Number d = {(a[1].re - a[2].re) * sine, (a[1].im - a[2].im) * sine};
    Number middle = {a[0].re - 0.5 * s.re, a[0].im - 0.5 * s.im};
    a[0].re += s.re, a[0].im += s.im;
    a[1].re = middle.re + d.im, a[1].im = middle.im - d.re;
    a[2].re = middle.re - d.im, a[2].im = middle.im + d.re;
}

INLINE void butterfly_4(Number *a)
{
    Number s02 = {a[0].re + a[2].re, a[0].im + a[2].im};
    Number d02 = {a[0].re - a[2].re, a[0].im - a[2].im};
    Number s13 = {a[1].re + a[3].re, a[1].im + a[3].im};
    Number d13 = {a[1].re - a[3].re, a[1].im - a[3].im};
    a[0].re = s02.re + s13.re, a[0].im = s02.im + s13.im;
    a[1].re = d02.re + d13.im, a[1].im = d02.im - d13.re;
    a[2].re = s02.re - s13.re, a[2].im = s02.im - s13.im;
    a[3].re = d02.re - d13.im, a[3].im = d02.im + d13.re;
}

INLINE void butterfly_5(Number *a)
{
    const double cos1 = 0.30901699437494742410, cos2 = -0.80901699437494742410;
    const double sin1 = 0.95105651629515357212, sin2 = 0.58778525229247312917;
    Number s1 = {a[1].re + a[4].re, a[1].im + a[4].im};
    Number d1 = {a[1].re - a[4].re, a[1].im - a[4].im};
    Number s2 = {a[2].re + a[3].re, a[2].im + a[3].im};
    Number d2 = {a[2].re - a[3].re, a[2].im - a[3].im};
    Number even1 = {a[0].re + cos1 * s1.re + cos2 * s2.re, a[0].im + cos1 * s1.im + cos2 * s2.im};
    Number even2 = {a[0].re + cos2 * s1.re + cos1 * s2.re, a[0].im + cos2 * s1.im + cos1 * s2.im};
    Number odd1 = {sin1 * d1.re + sin2 * d2.re, sin1 * d1.im + sin2 * d2.im};
    Number odd2 = {sin2 * d1.re - sin1 * d2.re, sin2 * d1.im - sin1 * d2.im};
    a[0].re += s1.re + s2.re, a[0].im += s1.im + s2.im;
    a[1].re = even1.re + odd1.im, a[1].im = even1.im - odd1.re;
    a[2].re = even2.re + odd2.im, a[2].im = even2.im - odd2.re;
    a[3].re = even2.re - odd2.im, a[3].im = even2.im + odd2.re;
    a[4].re = even1.re - odd1.im, a[4].im = even1.im + odd1.re;
}

/* Any radix, by the definition; `step` is the index of exp(-2 pi i / radix) in the tables. */
INLINE void butterfly_any(const Fft *fft, Number *a, int radix, int step)
{
    Number sum[MAX_RADIX];
    for (int k = 0; k < radix; k++) {
        sum[k] = a[0];
        for (int j = 1; j < radix; j++) {
            double c = fft->cosine[j * k % radix * step], s = fft->sine[j * k % radix * step];
            sum[k].re += c * a[j].re + s * a[j].im;
            sum[k].im += c * a[j].im - s * a[j].re;
        }
    }
    for (int k = 0; k < radix; k++)
        a[k] = sum[k];
}

/* One DFT of a pass: of `radix` elements `apart`, into ones `stride` apart, number k of them turned
 * by k `turn`. At angles of 0, which `turned` says that these are not, there is nothing to multiply. */
INLINE void combine(const Fft *fft, const Complex *restrict from, Complex *restrict to,
                    const int radix, const int turned, ptrdiff_t apart, int stride, int turn)
{
    INDEPENDENT
    for (int lane = 0; lane < COLUMNS; lane++) {
        Number a[MAX_RADIX];
        for (int k = 0; k < radix; k++)
            a[k] = (Number){from[k * apart].re[lane], from[k * apart].im[lane]};
        if (radix == 2)
            butterfly_2(a);
        else if (radix == 3)
            butterfly_3(a);
        else if (radix == 4)
            butterfly_4(a);
        else if (radix == 5)
            butterfly_5(a);
        else
            butterfly_any(fft, a, radix, fft->padded / radix);
        to[0].re[lane] = a[0].re;
        to[0].im[lane] = a[0].im;
        for (int k = 1; k < radix; k++) {
            double c = turned ? fft->cosine[k * turn] : 1.0, s = turned ? fft->sine[k * turn] : 0.0;
            to[k * stride].re[lane] = turned ? a[k].re * c + a[k].im * s : a[k].re;
            to[k * stride].im[lane] = turned ? a[k].im * c - a[k].re * s : a[k].im;
        }
    }
}

/* One pass: `count` DFTs of `radix` elements, for each of `stride` interleaved sequences. */
INLINE void pass(const Fft *fft, const Complex *restrict in, Complex *restrict out,
                 const int radix, int count, int stride)
{
    ptrdiff_t apart = (ptrdiff_t)stride * count;
    for (int q = 0; q < stride; q++)
        combine(fft, in + q, out + q, radix, 0, apart, stride, 0);
    for (int p = 1; p < count; p++)
        for (int q = 0; q < stride; q++)
            combine(fft, in + q + (ptrdiff_t)stride * p, out + q + (ptrdiff_t)stride * radix * p,
                    radix, 1, apart, stride, p * stride);
}

/* Radix of the next pass, of a length with small factors only. */
static int next_radix(int rest)
{
    int radix = rest % 4 == 0 ? 4 : 2;
    while (rest % radix)
        radix++;
    return radix;
}

/* DFT of the padded length from `x`, with `y` to work in; return which of them holds the result. */
HOT static Complex *transform(const Fft *fft, Complex *x, Complex *y)
{
    int rest = fft->padded, stride = 1;
    while (rest > 1) {
        int radix = next_radix(rest);
        rest /= radix;
        switch (radix) {
        case 2: pass(fft, x, y, 2, rest, stride); break;
        case 3: pass(fft, x, y, 3, rest, stride); break;
        case 4: pass(fft, x, y, 4, rest, stride); break;
        case 5: pass(fft, x, y, 5, rest, stride); break;
        default: pass(fft, x, y, radix, rest, stride);
        }
        stride *= radix;
        Complex *swap = x;
        x = y;
        y = swap;
    }
    return x;
}

/* Multiply elements by (cosine - i sine), or by its conjugate. */
INLINE void rotate(Complex *x, const double *cosine, const double *sine, int count)
{
    for (int j = 0; j < count; j++) {
        Complex a = x[j];
        x[j].re = a.re * cosine[j] + a.im * sine[j];
        x[j].im = a.im * cosine[j] - a.re * sine[j];
    }
}

/* Exchange real and imaginary parts: an inverse DFT is a DFT between two exchanges. */
INLINE void exchange(Complex *x, int count)
{
    for (int j = 0; j < count; j++)
        x[j] = (Complex){x[j].im, x[j].re};
}

/* Bluestein: with jk = (j^2 + k^2 - (k - j)^2) / 2 a DFT is a convolution with a chirp. */
HOT static Complex *convolve_chirp(const Fft *fft, Complex *x, Complex *y)
{
    rotate(x, fft->chirp_cosine, fft->chirp_sine, fft->length);
    memset(x + fft->length, 0, (size_t)(fft->padded - fft->length) * sizeof(Complex));
    Complex *spectrum = transform(fft, x, y);
    rotate(spectrum, fft->filter_re, fft->filter_im, fft->padded);
    exchange(spectrum, fft->padded);
    Complex *result = transform(fft, spectrum, spectrum == x ? y : x);
    exchange(result, fft->length);
    rotate(result, fft->chirp_cosine, fft->chirp_sine, fft->length);
    return result;
}

Complex *fft_transform(const Fft *fft)
{
    if (fft->padded != fft->length)
        return convolve_chirp(fft, fft->strip, fft->spare);
    return transform(fft, fft->strip, fft->spare);
}

/* ---------------------------------------------------------------------------------------------
 * Tables
 */

static size_t buffer_doubles(int padded)
{
    return (size_t)padded * sizeof(Complex) / sizeof(double);
}

EXPORT double fft_cost(int length)
{
    int padded = padded_length(length), radices = 0;
    for (int rest = padded; rest > 1; rest /= next_radix(rest))
        radices += next_radix(rest);
    return (padded == length ? 1.0 : 2.0) * padded * radices / length;
}

size_t fft_doubles(int length)
{
    int padded = padded_length(length);
    return 2 * buffer_doubles(padded) + 4 * (size_t)padded + 2 * (size_t)length;
}

/* The filter is the DFT of exp(+i pi j^2 / length), wrapped around; 1 / padded goes with it. */
static void plan_chirp(Fft *fft)
{
    int length = fft->length, padded = fft->padded;
    for (int j = 0; j < length; j++) {
        long double angle = PI * (long double)((long long)j * j % (2 * length)) / length;
        fft->chirp_cosine[j] = (double)cosl(angle);
        fft->chirp_sine[j] = (double)sinl(angle);
    }
    memset(fft->strip, 0, (size_t)padded * sizeof(Complex));
    for (int j = 0; j < length; j++) {
        Complex value = {fft->chirp_cosine[j] - (Column){0}, fft->chirp_sine[j] - (Column){0}};
        fft->strip[j] = value;
        fft->strip[j ? padded - j : 0] = value;
    }
    Complex *filter = transform(fft, fft->strip, fft->spare);
    for (int j = 0; j < padded; j++) {
        fft->filter_re[j] = filter[j].re[0] / padded;
        fft->filter_im[j] = -filter[j].im[0] / padded;
    }
}

void fft_plan(Fft *fft, int length, double *memory)
{
    int padded = padded_length(length);
    fft->length = length;
    fft->padded = padded;
    fft->strip = (Complex *)memory;
    fft->spare = fft->strip + padded;
    fft->cosine = memory + 2 * buffer_doubles(padded);
    fft->sine = fft->cosine + padded;
    fft->filter_re = fft->sine + padded;
    fft->filter_im = fft->filter_re + padded;
    fft->chirp_cosine = fft->filter_im + padded;
    fft->chirp_sine = fft->chirp_cosine + length;
    for (int j = 0; j < padded; j++) {
        fft->cosine[j] = (double)cosl(2 * PI * j / padded);
        fft->sine[j] = (double)sinl(2 * PI * j / padded);
    }
    if (padded != length)
        plan_chirp(fft);
}
