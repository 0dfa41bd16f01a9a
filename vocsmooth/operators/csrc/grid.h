/* The grids of the multigrid solver, in a layout that a vector unit likes.
 *
 * - A row of a grid is stored in two halves, its even columns and then its odd columns, so that a
 *   zebra sweep, restriction and interpolation all read and write contiguous floats. `even[k]` is
 *   column 2k and `odd[k]` column 2k + 1; the neighbours of even[k] are odd[k - 1] and odd[k],
 *   those of odd[k] are even[k] and even[k + 1].
 * - A half ends in at least LANES zeros, which also lie left of the odd half; rows of zeros lie
 *   above and below the grid. Neighbours outside the image are read, and count as nothing. Loops
 *   that go LANES points at a time run on into the zeros, whose coefficients are zero too.
 * - Where the width is odd the last odd point is not a pixel: it has mass 1, no couplings, and stays
 *   0.
 * - Fields with channels store the channels of a row one after the other.
 */
#ifndef VOCSMOOTH_GRID_H
#define VOCSMOOTH_GRID_H

#include "kernels.h"

enum { MAX_GRIDS = 32 };

/* One grid. Coefficients have one value a point, fields one a point and channel. A coupling is
 * stored at its left or upper point. */
typedef struct {
    int height, width, channels;
    int half;         /* floats in half a row, with its zeros */
    int points;       /* points in half a row */
    int nine;         /* whether points are coupled to diagonal neighbours too */
    ptrdiff_t stride; /* floats in a row */
    float *mass;      /* what the point is held to its own value with */
    float *east, *south, *southeast, *southwest; /* couplings */
    float *row_gain, *row_scale, *row_next;      /* factors of the rows' systems: reduce_row */
    float *column_gain, *column_scale;           /* and of the columns': factor_columns */
    float *across[2]; /* weights of the left and right coarse point at (even row, odd column) */
    float *down[2];   /* of the upper and lower coarse point at (odd row, even column) */
    float *centre[4]; /* of the four coarse points around (odd row, odd column) */
    float *rhs, *x;   /* fields */
} Grid;

typedef struct {
    int count;
    Grid grid[MAX_GRIDS];
    float *scratch; /* SCRATCH_ROWS rows of the first grid's length */
} Hierarchy;

enum {
    SCRATCH_ROWS = 8,
    CHAINS = 8 /* rows solved at a time: their recurrences hide each other's latency */
};

/* Factor all rows and all columns of a grid; return whether every pivot is positive (factors.c). */
int factor_lines(const Grid *grid, float *diagonal);

/* Fill all coarser grids from the first one's couplings and factor all line systems (cycle.c).
 * Returns 0 if a line system is not positive definite. */
int build_grids(const Hierarchy *hierarchy);

/* One V-cycle from zero: x of the first grid ~ A^-1 rhs (cycle.c). */
void multigrid_cycle(const Hierarchy *hierarchy);

/* Fill the weights of the fine grid and the couplings and mass of the coarse one (galerkin.c). */
void coarsen(const Grid *fine, const Grid *coarse, float *scratch);

/* Row i of a coefficient. */
INLINE float *row_of(const Grid *grid, float *coefficient, int i)
{
    return coefficient + i * grid->stride;
}

/* Row i of channel c of a field. */
INLINE float *line_of(const Grid *grid, float *field, int i, int c)
{
    return field + ((ptrdiff_t)i * grid->channels + c) * grid->stride;
}

INLINE float *weights_of(const Grid *grid, float *weights, int coarse_row)
{
    return weights + (ptrdiff_t)coarse_row * grid->half;
}

/* Store columns in their natural order as two halves. */
INLINE void split_row(const Grid *grid, float *row, const float *natural)
{
    int pairs = grid->width / 2;
    INDEPENDENT
    for (int k = 0; k < pairs; k++) {
        row[k] = natural[2 * k];
        row[grid->half + k] = natural[2 * k + 1];
    }
    if (grid->width & 1)
        row[pairs] = natural[2 * pairs];
}

#endif
