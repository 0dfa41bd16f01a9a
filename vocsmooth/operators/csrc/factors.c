/* The line systems of a grid, rows and columns, factored: each is solved exactly in every cycle.
 * multigrid/cycle.py does the same in NumPy. */
#include "grid.h"

/* Diagonal of the system in row i: mass and all couplings. */
INLINE void diagonal_row(const Grid *grid, float *diagonal, int i)
{
    int half = grid->half, points = grid->points;
    const float *mass = row_of(grid, grid->mass, i), *east = row_of(grid, grid->east, i);
    const float *south = row_of(grid, grid->south, i), *north = row_of(grid, grid->south, i - 1);
    const float *odd_east = east + half;
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        diagonal[k] = mass[k] + north[k] + south[k] + east[k] + odd_east[k - 1];
        diagonal[half + k] = mass[half + k] + north[half + k] + south[half + k] + odd_east[k]
                             + east[k];
    }
    if (!grid->nine)
        return;
    const float *se = row_of(grid, grid->southeast, i), *sw = row_of(grid, grid->southwest, i);
    const float *se_up = se - grid->stride, *sw_up = sw - grid->stride;
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        diagonal[k] += se[k] + sw[k] + se_up[half + k - 1] + sw_up[half + k];
        diagonal[half + k] += se[half + k] + sw[half + k] + se_up[k] + sw_up[k + 1];
    }
}

/* Eliminate the odd columns of row i; what is left is a tridiagonal system of its even columns,
 * which factor_chains factors.
 *
 * Odd half: row_scale 1 / diagonal, row_gain and row_next the weights of even[k] and even[k + 1].
 * Even half: row_scale 1 / pivot, row_gain the weight that carries a value to the next column. */
INLINE void reduce_row(const Grid *grid, const float *diagonal, int i)
{
    int half = grid->half, points = grid->points;
    const float *east = row_of(grid, grid->east, i), *odd_east = east + half;
    float *gain = row_of(grid, grid->row_gain, i), *scale = row_of(grid, grid->row_scale, i);
    float *next = row_of(grid, grid->row_next, i) + half, *odd_gain = gain + half;
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        float inverse = 1.0f / diagonal[half + k];
        scale[half + k] = inverse;
        odd_gain[k] = east[k] * inverse;
        next[k] = odd_east[k] * inverse;
    }
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        scale[k] = diagonal[k] - east[k] * odd_gain[k] - odd_east[k - 1] * next[k - 1];
        gain[k] = east[k] * next[k];
    }
}

/* Factor the tridiagonal systems of `count` rows from row i on, side by side. */
INLINE int factor_chains(const Grid *grid, const int count, int i)
{
    float *gain = row_of(grid, grid->row_gain, i), *scale = row_of(grid, grid->row_scale, i);
    float carried[CHAINS] = {0};
    int regular = 1;
    for (int k = 0; k < grid->points; k++)
        for (int r = 0; r < count; r++) {
            ptrdiff_t at = r * grid->stride + k;
            float pivot = scale[at] - carried[r];
            regular &= pivot > 0.0f;
            scale[at] = 1.0f / pivot;
            carried[r] = gain[at] * gain[at] * scale[at];
            gain[at] *= scale[at];
        }
    return regular;
}

/* Continue the elimination down the columns by row i: pivot and the weight of the next row. */
INLINE int factor_columns(const Grid *grid, const float *diagonal, int i)
{
    const float *south = row_of(grid, grid->south, i), *north = row_of(grid, grid->south, i - 1);
    const float *gain_up = row_of(grid, grid->column_gain, i - 1);
    float *gain = row_of(grid, grid->column_gain, i), *scale = row_of(grid, grid->column_scale, i);
    int negative[LANES] = {0};
    for (int half = 0; half < 2; half++)
        for (int k = half * grid->half; k < half * grid->half + grid->points; k++) {
            float pivot = diagonal[k] - north[k] * gain_up[k];
            negative[k % LANES] |= !(pivot > 0.0f);
            scale[k] = 1.0f / pivot;
            gain[k] = south[k] * scale[k];
        }
    int any = 0;
    for (int lane = 0; lane < LANES; lane++)
        any |= negative[lane];
    return !any;
}

HOT int factor_lines(const Grid *grid, float *diagonal)
{
    int regular = 1;
    for (int i = 0; i < grid->height; i += CHAINS) {
        int count = grid->height - i < CHAINS ? grid->height - i : CHAINS;
        for (int r = i; r < i + count; r++) {
            diagonal_row(grid, diagonal, r);
            reduce_row(grid, diagonal, r);
            regular &= factor_columns(grid, diagonal, r);
        }
        if (count == CHAINS)
            regular &= factor_chains(grid, CHAINS, i);
        else
            for (int r = i; r < i + count; r++)
                regular &= factor_chains(grid, 1, r);
    }
    return regular;
}
