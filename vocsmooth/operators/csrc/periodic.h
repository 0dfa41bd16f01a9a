/* Systems (1 + beta L) X = B on images with periodic borders, L being the sum of the squared
 * differences to the right and down; and their images, as L0 minimisation and ILS share them.
 *
 * Planes are cut into strips of columns, (channels, strips, rows, STRIP) in memory: what is done to a
 * strip, from its right sides to their spectra, stays in a second-level cache, and reads and writes
 * one piece of memory. Against planes in whole rows that is 1.1 to 1.2 times as fast (Xeon with AMX,
 * 640 x 480, with and without AVX-512). Columns beyond the width are zero in right sides.
 */
#ifndef VOCSMOOTH_PERIODIC_H
#define VOCSMOOTH_PERIODIC_H

#include "fft.h"

enum { STRIP = 2 * COLUMNS /* columns of a strip */ };

/* One round of an operator. Planes begin on a vector's boundary; of their rows, at least one more
 * than the height, those below the image are not used, but may be read. */
typedef struct {
    int height, width, channels, strips, rows;
    double beta, threshold; /* L0 discards gradients whose summed square is smaller */
    const double *image;    /* I, for L0 */
    double *smooth;         /* S in, S' out */
    double *work;           /* the right side, its spectrum, the solution's */
    double *tables;         /* periodic_doubles; filled by periodic_plan, kept between rounds */
} Round;

/* Where row i of a strip is. */
INLINE ptrdiff_t place_of(const Round *round, int c, int strip, int i)
{
    return (((ptrdiff_t)c * round->strips + strip) * round->rows + i) * STRIP;
}

/* Replace the right sides of a strip in `work` by their spectra. */
void analyse_strip(const Round *round, int strip);

/* Add to `smooth` the solution for the right side whose spectra are in `work`. */
void add_solution(const Round *round);

/* ---------------------------------------------------------------------------------------------
 * Right sides are found in blocks of a few rows of a strip.
 */

enum { BLOCK = 16, FIRST = 8 };

/* Gradients of a block, or what is made of them. */
typedef struct {
    double across[BLOCK][FIRST + STRIP]; /* to the right, from FIRST on; before, of the column left */
    double down[BLOCK + 1][STRIP];       /* to the next row, from 1 on; before, of the row above */
} Block;

/* A block for each channel. */
Block *blocks_of(const Round *round);

/* Column of a value for each channel and row: those of the column to the left of the next strip. */
double *edges_of(const Round *round);

INLINE int rows_of_block(const Round *round, int i)
{
    return round->height - i < BLOCK ? round->height - i : BLOCK;
}

/* The last column of a strip that is in the image. */
INLINE int last_of(const Round *round, int strip)
{
    int left = round->width - strip * STRIP;
    return (left < STRIP ? left : STRIP) - 1;
}

/* Fill a block with the gradients of `smooth`, from row i on. */
INLINE void find_gradients(const Round *round, Block *block, int c, int strip, int i, int rows)
{
    const double *here = round->smooth + place_of(round, c, strip, i);
    const double *top = round->smooth + place_of(round, c, strip, 0);
    int right = strip + 1 < round->strips ? strip + 1 : 0, last = last_of(round, strip);
    const double *next = round->smooth + place_of(round, c, right, i);
    for (int r = 0; r < rows; r++, here += STRIP, next += STRIP) {
        const double *below = i + r + 1 < round->height ? here + STRIP : top;
        double *across = block->across[r] + FIRST, *down = block->down[r + 1];
        LANE_BY_LANE
        for (int k = 0; k < STRIP; k++) {
            across[k] = here[k + 1] - here[k];
            down[k] = below[k] - here[k];
        }
        across[last] = next[0] - here[last];
    }
}

/* Keep the column left of the next strip, and take that of the strip before. */
INLINE void pass_edges(const Round *round, Block *block, int c, int strip, int i, int rows)
{
    double *edge = edges_of(round) + (ptrdiff_t)c * round->height + i;
    int last = FIRST + last_of(round, strip);
    for (int r = 0; r < rows; r++) {
        block->across[r][FIRST - 1] = edge[r];
        edge[r] = block->across[r][last];
    }
}

/* The adjoint of the gradient, at column k of row r of a block. */
INLINE double adjoint(const Block *block, int r, int k)
{
    return block->across[r][FIRST + k - 1] - block->across[r][FIRST + k] + block->down[r][k]
           - block->down[r + 1][k];
}

/* Zero what a strip's right side has beyond the image. */
INLINE void clear_beyond(const Round *round, double *row, int strip)
{
    for (int k = last_of(round, strip) + 1; k < STRIP; k++)
        row[k] = 0.0;
}

#endif
