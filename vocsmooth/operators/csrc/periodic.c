/* Solve (1 + beta L) X = B on an image with periodic borders.
 *
 * DFTs down the columns leave, for each vertical frequency, a periodic system along a row with
 * constant coefficients, beta (m + 2 - z - 1/z): two recursions solve it exactly.
 *
 * An element of a DFT has the columns of a strip as its real part and as many beside them as its
 * imaginary part. Spectra are stored as real numbers, the real part of frequency k in row k, its
 * imaginary part in row height - k.
 */
#include "periodic.h"

enum { ROWS = 8 /* recursions run side by side to hide each other's latency */ };

/* What a decay r^n must fall below to be nothing beside 1. */
static const double NEGLIGIBLE = 1e-18;

static const long double PI = 3.14159265358979323846264338327950288L;

LAYOUT(Round, FIELD(Round, height), FIELD(Round, width), FIELD(Round, channels),
       FIELD(Round, strips), FIELD(Round, rows), FIELD(Round, beta), FIELD(Round, threshold),
       FIELD(Round, image), FIELD(Round, smooth), FIELD(Round, work), FIELD(Round, tables));

/* What `tables` begins with. */
typedef struct {
    Fft fft;
    double *eigenvalues; /* 4 sin^2(pi k / height) for the frequency k of each row */
    double *edges;       /* see edges_of */
    Block *blocks;       /* see blocks_of */
} Tables;

enum { HEADER = (sizeof(Tables) / sizeof(double) / COLUMNS + 1) * COLUMNS };

/* ---------------------------------------------------------------------------------------------
 * Transforms of a strip, which begins at `strip` in the first row
 */

/* Replace the columns of a strip by their spectra. */
HOT static void analyse(const Fft *fft, double *strip)
{
    int height = fft->length;
    for (int i = 0; i < height; i++)
        fft->strip[i] = *(const Complex *)(strip + (ptrdiff_t)i * STRIP);
    const Complex *spectrum = fft_transform(fft);
    for (int k = 0; 2 * k <= height; k++) {
        Complex p = spectrum[k], q = spectrum[k ? height - k : 0];
        Complex *real = (Complex *)(strip + (ptrdiff_t)k * STRIP);
        *real = (Complex){0.5 * (p.re + q.re), 0.5 * (p.im + q.im)};
        if (k && 2 * k < height) {
            Complex *imaginary = (Complex *)(strip + (ptrdiff_t)(height - k) * STRIP);
            *imaginary = (Complex){0.5 * (p.im - q.im), 0.5 * (q.re - p.re)};
        }
    }
}

/* Add the columns that a strip is the spectra of to those at `sum`. The elements are given to the
 * DFT, and come back, with their parts exchanged: it is the inverse one. */
HOT static void synthesise(const Fft *fft, const double *strip, double *sum)
{
    int height = fft->length;
    Complex *element = fft->strip;
    for (int k = 0; 2 * k <= height; k++) {
        Complex real = *(const Complex *)(strip + (ptrdiff_t)k * STRIP);
        if (!k || 2 * k == height) {
            element[k] = (Complex){real.im, real.re};
            continue;
        }
        Complex imaginary = *(const Complex *)(strip + (ptrdiff_t)(height - k) * STRIP);
        element[k] = (Complex){imaginary.re + real.im, real.re - imaginary.im};
        element[height - k] = (Complex){real.im - imaginary.re, real.re + imaginary.im};
    }
    const Complex *columns = fft_transform(fft);
    for (int i = 0; i < height; i++) {
        Complex *row = (Complex *)(sum + (ptrdiff_t)i * STRIP);
        row->re += columns[i].im;
        row->im += columns[i].re;
    }
}

/* ---------------------------------------------------------------------------------------------
 * Recursions: m + 2 - z - 1/z = (1 - r z)(1 - r / z) / r with r + 1 / r = m + 2, r < 1
 */

typedef struct {
    double *row;
    double decay, scale, wrap; /* r; what the right side is multiplied by; 1 / (1 - r^width) */
} Recursion;

static Recursion recursion_of(const Round *round, int i)
{
    double m = 1.0 / round->beta + ((const Tables *)round->tables)->eigenvalues[i];
    double r = 2.0 / (2.0 + m + sqrt(m * (m + 4.0)));
    double power = 1.0, factor = r;
    for (int n = round->width; n; n /= 2, factor *= factor)
        if (n & 1)
            power *= factor;
    return (Recursion){NULL, r, r / (round->beta * round->height), 1.0 / (1.0 - power)};
}

/* After how many pixels a value has decayed to nothing, at most a whole row. */
static int memory_of(const Recursion *recursion, int width)
{
    int pixels = 1;
    for (double power = recursion->decay; power > NEGLIGIBLE && pixels < width; pixels *= 2)
        power *= power;
    return pixels < width ? pixels : width;
}

/* Ask for the rows of a strip, which begin `at` numbers after those of the first one. */
INLINE void fetch(const Recursion *rec, const int count, ptrdiff_t at)
{
    for (int r = 0; r < count; r++) {
        __builtin_prefetch(rec[r].row + at, 1);
        __builtin_prefetch(rec[r].row + at + COLUMNS, 1);
    }
}

/* Run `count` recursions side by side from one column up to another; strips are `step` apart. With
 * `keep`, right sides are scaled and become results. */
INLINE void run_up(const Recursion *rec, const int count, ptrdiff_t step, int from, int to,
                   const int keep, double *carried)
{
    for (int k = from; k < to;) {
        int strip = k / STRIP, end = (strip + 1) * STRIP < to ? (strip + 1) * STRIP : to;
        ptrdiff_t at = strip * step - strip * STRIP;
        if (end < to)
            fetch(rec, count, (strip + 1) * step);
        for (; k < end; k++)
            for (int r = 0; r < count; r++) {
                double *row = rec[r].row + at, value = keep ? rec[r].scale * row[k] : row[k];
                carried[r] = value + rec[r].decay * carried[r];
                if (keep)
                    row[k] = carried[r];
            }
    }
}

/* The same from the column before `to` down to `from`; nothing is scaled. */
INLINE void run_down(const Recursion *rec, const int count, ptrdiff_t step, int from, int to,
                     const int keep, double *carried)
{
    for (int k = to; k > from;) {
        int strip = (k - 1) / STRIP, end = strip * STRIP > from ? strip * STRIP : from;
        ptrdiff_t at = strip * step - strip * STRIP;
        if (end > from)
            fetch(rec, count, (strip - 1) * step);
        for (; k-- > end;)
            for (int r = 0; r < count; r++) {
                double *row = rec[r].row + at;
                carried[r] = row[k] + rec[r].decay * carried[r];
                if (keep)
                    row[k] = carried[r];
            }
        k = end;
    }
}

/* Solve `count` rows side by side. What comes around the border is found first, from as much of
 * the row as is remembered. */
INLINE void recurse(const Recursion *rec, const int count, int width, int memory, ptrdiff_t step)
{
    double carried[ROWS] = {0};
    run_up(rec, count, step, width - memory, width, 0, carried);
    for (int r = 0; r < count; r++)
        carried[r] *= rec[r].wrap * rec[r].scale;
    run_up(rec, count, step, 0, width, 1, carried);
    for (int r = 0; r < count; r++)
        carried[r] = 0.0;
    run_down(rec, count, step, 0, memory, 0, carried);
    for (int r = 0; r < count; r++)
        carried[r] *= rec[r].wrap;
    run_down(rec, count, step, 0, width, 1, carried);
}

/* Divide the spectra of all planes by that of 1 + beta L. */
HOT static void divide(const Round *round)
{
    ptrdiff_t step = (ptrdiff_t)round->rows * STRIP;
    for (int i = 0; i < round->height; i += ROWS) {
        Recursion rec[ROWS];
        int count = round->height - i < ROWS ? round->height - i : ROWS, memory = 0;
        for (int r = 0; r < count; r++) {
            rec[r] = recursion_of(round, i + r);
            int own = memory_of(&rec[r], round->width);
            memory = own > memory ? own : memory;
        }
        for (int c = 0; c < round->channels; c++) {
            for (int r = 0; r < count; r++)
                rec[r].row = round->work + place_of(round, c, 0, i + r);
            if (count == ROWS)
                recurse(rec, ROWS, round->width, memory, step);
            else
                for (int r = 0; r < count; r++)
                    recurse(rec + r, 1, round->width, memory, step);
        }
    }
}

/* ------------------------------------------------------------------------------------------ */

static size_t block_doubles(int channels)
{
    return (size_t)channels * sizeof(Block) / sizeof(double);
}

/* Doubles of memory that the tables want. */
EXPORT size_t periodic_doubles(int height, int channels)
{
    return HEADER + fft_doubles(height) + block_doubles(channels)
           + (size_t)(channels + 1) * height;
}

/* Fill the tables for an image size. */
EXPORT void periodic_plan(const Round *round)
{
    Tables *tables = (Tables *)round->tables;
    double *free = round->tables + HEADER;
    fft_plan(&tables->fft, round->height, free);
    free += fft_doubles(round->height);
    tables->blocks = (Block *)free;
    tables->edges = free + block_doubles(round->channels);
    tables->eigenvalues = tables->edges + (ptrdiff_t)round->channels * round->height;
    for (int i = 0; i < round->height; i++) {
        int frequency = 2 * i <= round->height ? i : round->height - i;
        long double sine = sinl(PI * frequency / round->height);
        tables->eigenvalues[i] = 4.0 * (double)(sine * sine);
    }
}

Block *blocks_of(const Round *round)
{
    return ((const Tables *)round->tables)->blocks;
}

double *edges_of(const Round *round)
{
    return ((const Tables *)round->tables)->edges;
}

void analyse_strip(const Round *round, int strip)
{
    for (int c = 0; c < round->channels; c++)
        analyse(&((const Tables *)round->tables)->fft, round->work + place_of(round, c, strip, 0));
}

void add_solution(const Round *round)
{
    const Fft *fft = &((const Tables *)round->tables)->fft;
    divide(round);
    for (int c = 0; c < round->channels; c++)
        for (int strip = 0; strip < round->strips; strip++) {
            ptrdiff_t at = place_of(round, c, strip, 0);
            synthesise(fft, round->work + at, round->smooth + at);
        }
}
