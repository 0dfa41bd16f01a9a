/* Line solves and the V-cycle of the multigrid solver. The method is described in
 * vocsmooth/multigrid.py; vocsmooth/boxmg.py holds the same in NumPy. */
#include "grid.h"

enum {
    STRIP = 128, /* columns swept at a time: they stay in the cache on the way back up */
    CHAINS = 8  /* rows solved at a time: their recurrences hide each other's latency */
};

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
        diagonal[half + k] = mass[half + k] + north[half + k] + south[half + k] + odd_east[k] + east[k];
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

/* Eliminate the odd columns of row i, then factor the tridiagonal system of its even columns.
 *
 * Odd half: row_scale 1 / diagonal, row_gain and row_next the weights of even[k] and even[k + 1].
 * Even half: row_scale 1 / pivot, row_gain the weight that carries a value to the next column. */
INLINE int factor_row(const Grid *grid, const float *diagonal, int i)
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
    float carried = 0.0f;
    int regular = 1;
    for (int k = 0; k < points; k++) {
        float pivot = scale[k] - carried;
        regular &= pivot > 0.0f;
        scale[k] = 1.0f / pivot;
        carried = gain[k] * gain[k] * scale[k];
        gain[k] *= scale[k];
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

/* Factor all rows and all columns of a grid; return whether every pivot is positive. */
HOT static int factor_lines(const Grid *grid, float *diagonal)
{
    int regular = 1;
    for (int i = 0; i < grid->height; i++) {
        diagonal_row(grid, diagonal, i);
        regular &= factor_row(grid, diagonal, i);
        regular &= factor_columns(grid, diagonal, i);
    }
    return regular;
}

/* out = base + couplings of row i to the rows above and below. */
INLINE void add_vertical(const Grid *grid, const int nine, float *restrict out, const float *base,
                         const float *up, const float *down, int i)
{
    int half = grid->half, points = grid->points;
    const float *south = row_of(grid, grid->south, i), *north = south - grid->stride;
    INDEPENDENT
    for (int k = 0; k < 2 * half; k++)
        out[k] = base[k] + north[k] * up[k] + south[k] * down[k];
    if (!nine)
        return;
    const float *se = row_of(grid, grid->southeast, i), *sw = row_of(grid, grid->southwest, i);
    const float *se_up = se - grid->stride, *sw_up = sw - grid->stride;
    INDEPENDENT
    for (int k = 0; k < points; k++)
        out[k] += se_up[half + k - 1] * up[half + k - 1] + sw_up[half + k] * up[half + k]
                  + sw[k] * down[half + k - 1] + se[k] * down[half + k];
    INDEPENDENT
    for (int k = 0; k < points; k++)
        out[half + k] += se_up[k] * up[k] + sw_up[k + 1] * up[k + 1] + sw[half + k] * down[k]
                         + se[half + k] * down[k + 1];
}

/* Recurrences along the even columns of `count` rows two apart, interleaved to hide latency. */
INLINE void run_chains(const int count, int points, float *u, ptrdiff_t u_step, const float *gain,
                       const float *scale, ptrdiff_t step)
{
    float carried[CHAINS];
    for (int r = 0; r < count; r++)
        carried[r] = u[r * u_step];
    for (int k = 1; k < points; k++)
        for (int r = 0; r < count; r++) {
            carried[r] = u[r * u_step + k] + gain[r * step + k - 1] * carried[r];
            u[r * u_step + k] = carried[r];
        }
    for (int r = 0; r < count; r++)
        carried[r] = 0.0f;
    for (int k = points - 1; k >= 0; k--)
        for (int r = 0; r < count; r++) {
            carried[r] = u[r * u_step + k] * scale[r * step + k] + gain[r * step + k] * carried[r];
            u[r * u_step + k] = carried[r];
        }
}

/* Solve the tridiagonal systems of `count` rows from row i on, two apart; x holds their right
 * sides and becomes their solution. */
INLINE void solve_rows(const Grid *grid, float *x, int i, int count)
{
    int half = grid->half, points = grid->points;
    for (int r = i; r < i + 2 * count; r += 2) {
        const float *gain = row_of(grid, grid->row_gain, r) + half;
        const float *next = row_of(grid, grid->row_next, r) + half;
        for (int c = 0; c < grid->channels; c++) {
            float *even = line_of(grid, x, r, c), *odd = even + half;
            INDEPENDENT
            for (int k = 0; k < points; k++)
                even[k] += gain[k] * odd[k] + next[k - 1] * odd[k - 1];
        }
    }
    float *gain = row_of(grid, grid->row_gain, i), *scale = row_of(grid, grid->row_scale, i);
    for (int c = 0; c < grid->channels; c++) {
        float *u = line_of(grid, x, i, c);
        ptrdiff_t u_step = 2 * grid->channels * grid->stride, step = 2 * grid->stride;
        if (count == CHAINS)
            run_chains(CHAINS, points, u, u_step, gain, scale, step);
        else
            for (int r = 0; r < count; r++)
                run_chains(1, points, u + r * u_step, 0, gain + r * step, scale + r * step, 0);
    }
    for (int r = i; r < i + 2 * count; r += 2) {
        const float *odd_gain = row_of(grid, grid->row_gain, r) + half;
        const float *odd_scale = row_of(grid, grid->row_scale, r) + half;
        const float *next = row_of(grid, grid->row_next, r) + half;
        for (int c = 0; c < grid->channels; c++) {
            float *even = line_of(grid, x, r, c), *odd = even + half;
            INDEPENDENT
            for (int k = 0; k < points; k++)
                odd[k] = odd[k] * odd_scale[k] + odd_gain[k] * even[k] + next[k] * even[k + 1];
        }
    }
}

/* x = the even rows' solution with x = 0 elsewhere, then the odd rows' beside it. */
INLINE void sweep_rows(const Grid *grid, const int nine)
{
    for (int parity = 0; parity < 2; parity++)
        for (int i = parity; i < grid->height; i += 2 * CHAINS) {
            int left = (grid->height - i + 1) / 2, count = left < CHAINS ? left : CHAINS;
            for (int r = i; r < i + 2 * count; r += 2)
                for (int c = 0; c < grid->channels; c++) {
                    float *line = line_of(grid, grid->x, r, c);
                    const float *rhs = line_of(grid, grid->rhs, r, c);
                    if (parity)
                        add_vertical(grid, nine, line, rhs, line_of(grid, grid->x, r - 1, c),
                                     line_of(grid, grid->x, r + 1, c), r);
                    else
                        memcpy(line, rhs, (size_t)grid->stride * sizeof(float));
                }
            solve_rows(grid, grid->x, i, count);
        }
}

/* Right side of the coarse grid. After sweep_rows the residual is zero on odd rows and, on even
 * rows, what the odd rows' solution adds. */
INLINE void restrict_residual(const Grid *fine, const int nine, const Grid *coarse, float *scratch)
{
    int half = fine->half, points = fine->points;
    float *zero = scratch, *residual = scratch + fine->stride, *natural = scratch + 2 * fine->stride;
    memset(zero, 0, 2 * (size_t)fine->stride * sizeof(float));
    for (int I = 0; I < coarse->height; I++) {
        const float *t0 = weights_of(fine, fine->across[0], I), *t1 = weights_of(fine, fine->across[1], I);
        for (int c = 0; c < fine->channels; c++) {
            add_vertical(fine, nine, residual, zero, line_of(fine, fine->x, 2 * I - 1, c),
                         line_of(fine, fine->x, 2 * I + 1, c), 2 * I);
            const float *odd = residual + half;
            natural[0] = residual[0] + t0[0] * odd[0];
            INDEPENDENT
            for (int k = 1; k < points; k++)
                natural[k] = residual[k] + t0[k] * odd[k] + t1[k - 1] * odd[k - 1];
            split_row(coarse, line_of(coarse, coarse->rhs, I, c), natural);
        }
    }
}

/* Add the coarse grid's x to the odd columns; sweep_columns does not read the even ones. */
INLINE void interpolate(const Grid *fine, const Grid *coarse, float *scratch)
{
    int points = fine->points, half = coarse->half;
    float *upper = scratch, *lower = scratch + fine->stride;
    memset(scratch, 0, 2 * (size_t)fine->stride * sizeof(float));
    for (int c = 0; c < fine->channels; c++)
        for (int i = 0; i < fine->height; i++) {
            int I = i / 2;
            float *odd = line_of(fine, fine->x, i, c) + fine->half;
            if (i % 2 == 0) {
                for (int side = 0; side < 2; side++) {
                    float *natural = side ? lower : upper;
                    const float *even = line_of(coarse, coarse->x, I + side, c);
                    for (int k = 0; k < coarse->points; k++) {
                        natural[2 * k] = even[k];
                        natural[2 * k + 1] = even[half + k];
                    }
                }
                const float *t0 = weights_of(fine, fine->across[0], I), *t1 = weights_of(fine, fine->across[1], I);
                INDEPENDENT
                for (int k = 0; k < points; k++)
                    odd[k] += t0[k] * upper[k] + t1[k] * upper[k + 1];
            } else {
                const float *c0 = weights_of(fine, fine->centre[0], I), *c1 = weights_of(fine, fine->centre[1], I);
                const float *c2 = weights_of(fine, fine->centre[2], I), *c3 = weights_of(fine, fine->centre[3], I);
                INDEPENDENT
                for (int k = 0; k < points; k++)
                    odd[k] += c0[k] * upper[k] + c1[k] * upper[k + 1] + c2[k] * lower[k] + c3[k] * lower[k + 1];
            }
        }
}

/* Forward elimination at row i of the even (or odd) columns from k on: right side, couplings to
 * the other columns, and what the row above carries. */
INLINE void eliminate(const Grid *grid, const int nine, const int odd, int i, int c, int from, int to)
{
    int half = grid->half;
    ptrdiff_t step = grid->channels * grid->stride, stride = grid->stride;
    float *x = line_of(grid, grid->x, i, c) + odd * half;
    const float *other = line_of(grid, grid->x, i, c) + (1 - odd) * half;
    const float *rhs = line_of(grid, grid->rhs, i, c) + odd * half;
    const float *gain = row_of(grid, grid->column_gain, i - 1) + odd * half;
    const float *east = row_of(grid, grid->east, i) + odd * half;
    const float *west = row_of(grid, grid->east, i) + (1 - odd) * half;
    const float *above = x - step;
    /* neighbours of even[k]: other[k - 1], other[k]; of odd[k]: other[k], other[k + 1] */
    const float *left = odd ? other : other - 1, *right = left + 1;
    const float *to_left = odd ? west : west - 1;
    INDEPENDENT
    for (int k = from; k < to; k++)
        x[k] = rhs[k] + to_left[k] * left[k] + east[k] * right[k] + gain[k] * above[k];
    if (!nine)
        return;
    const float *se = row_of(grid, grid->southeast, i), *sw = row_of(grid, grid->southwest, i);
    const float *own_se = se + odd * half, *own_sw = sw + odd * half;
    const float *se_up = se - stride + (odd ? 0 : half - 1), *sw_up = sw - stride + (odd ? 1 : half);
    INDEPENDENT
    for (int k = from; k < to; k++)
        x[k] += se_up[k] * left[k - step] + sw_up[k] * right[k - step] + own_sw[k] * left[k + step]
                + own_se[k] * right[k + step];
}

/* Solve the even columns beside the odd ones, then the odd columns beside them; a strip of columns
 * at a time, so that it is still in the cache on the way back up. */
INLINE void sweep_columns(const Grid *grid, const int nine)
{
    for (int odd = 0; odd < 2; odd++)
        for (int from = 0; from < grid->points; from += STRIP) {
            int to = from + STRIP < grid->points ? from + STRIP : grid->points;
            for (int i = 0; i < grid->height; i++)
                for (int c = 0; c < grid->channels; c++)
                    eliminate(grid, nine, odd, i, c, from, to);
            for (int i = grid->height - 1; i >= 0; i--) {
                const float *gain = row_of(grid, grid->column_gain, i) + odd * grid->half;
                const float *scale = row_of(grid, grid->column_scale, i) + odd * grid->half;
                for (int c = 0; c < grid->channels; c++) {
                    float *x = line_of(grid, grid->x, i, c) + odd * grid->half;
                    const float *below = x + grid->channels * grid->stride;
                    INDEPENDENT
                    for (int k = from; k < to; k++)
                        x[k] = x[k] * scale[k] + gain[k] * below[k];
                }
            }
        }
}

/* The way down: smooth along rows and pass the residual on, if there is a coarser grid. */
HOT static void descend(const Grid *grid, const Grid *coarse, float *scratch)
{
    if (grid->nine)
        sweep_rows(grid, 1);
    else
        sweep_rows(grid, 0);
    if (coarse && grid->nine)
        restrict_residual(grid, 1, coarse, scratch);
    else if (coarse)
        restrict_residual(grid, 0, coarse, scratch);
}

/* The way up: take the coarser grid's correction and smooth along columns. */
HOT static void ascend(const Grid *grid, const Grid *coarse, float *scratch)
{
    if (coarse)
        interpolate(grid, coarse, scratch);
    if (grid->nine)
        sweep_columns(grid, 1);
    else
        sweep_columns(grid, 0);
}

int build_grids(const Hierarchy *h)
{
    int regular = 1;
    for (int g = 0; g < h->count; g++) {
        regular &= factor_lines(&h->grid[g], h->scratch);
        if (g + 1 < h->count)
            coarsen(&h->grid[g], &h->grid[g + 1], h->scratch);
    }
    return regular;
}

void multigrid_cycle(const Hierarchy *h)
{
    for (int g = 0; g < h->count; g++)
        descend(&h->grid[g], g + 1 < h->count ? &h->grid[g + 1] : NULL, h->scratch);
    for (int g = h->count - 1; g >= 0; g--)
        ascend(&h->grid[g], g + 1 < h->count ? &h->grid[g + 1] : NULL, h->scratch);
}
