/* The V-cycle of the multigrid solver: sweeps along lines, and what passes between grids.
 * multigrid/solver.py describes the method, multigrid/cycle.py does the same in NumPy. */
#include "grid.h"

/* What LANES even (or odd) points of row i from k on get from the rows above and below. */
INLINE Lanes from_rows(const Grid *grid, const int nine, const int odd, int i, int k,
                       const float *up, const float *down)
{
    int half = grid->half, own = odd * half + k;
    const float *south = row_of(grid, grid->south, i) + own, *north = south - grid->stride;
    Lanes sum = load(north) * load(up + own) + load(south) * load(down + own);
    if (!nine)
        return sum;
    /* diagonal neighbours of even[k]: odd[k - 1] and odd[k]; of odd[k]: even[k] and even[k + 1] */
    int left = odd ? k : half + k - 1, right = left + 1;
    const float *se = row_of(grid, grid->southeast, i), *sw = row_of(grid, grid->southwest, i);
    const float *se_up = se - grid->stride, *sw_up = sw - grid->stride;
    return sum + load(se_up + left) * load(up + left) + load(sw_up + right) * load(up + right)
           + load(sw + own) * load(down + left) + load(se + own) * load(down + right);
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

/* x = the solution of the systems of `count` rows from row i on, two apart, with the right sides
 * in a field that may be x itself. */
INLINE void solve_rows(const Grid *grid, float *right_side, int i, int count)
{
    float *x = grid->x;
    int half = grid->half, points = grid->points;
    for (int r = i; r < i + 2 * count; r += 2) {
        const float *gain = row_of(grid, grid->row_gain, r) + half;
        const float *next = row_of(grid, grid->row_next, r) + half;
        for (int c = 0; c < grid->channels; c++) {
            const float *even = line_of(grid, right_side, r, c), *odd = even + half;
            float *out = line_of(grid, x, r, c);
            for (int k = 0; k < points; k += LANES)
                store(out + k, load(even + k) + load(gain + k) * load(odd + k)
                                   + load(next + k - 1) * load(odd + k - 1));
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
            const float *even = line_of(grid, x, r, c);
            const float *odd = line_of(grid, right_side, r, c) + half;
            float *out = line_of(grid, x, r, c) + half;
            for (int k = 0; k < points; k += LANES)
                store(out + k, load(odd + k) * load(odd_scale + k)
                                   + load(odd_gain + k) * load(even + k)
                                   + load(next + k) * load(even + k + 1));
        }
    }
}

/* Set row i of x to its right side, and what it gets from the rows beside it. */
INLINE void gather_row(const Grid *grid, const int nine, int i, int c)
{
    float *x = line_of(grid, grid->x, i, c);
    const float *rhs = line_of(grid, grid->rhs, i, c);
    const float *up = line_of(grid, grid->x, i - 1, c), *down = line_of(grid, grid->x, i + 1, c);
    for (int odd = 0; odd < 2; odd++)
        for (int k = 0; k < grid->points; k += LANES)
            store(x + odd * grid->half + k, load(rhs + odd * grid->half + k)
                                                + from_rows(grid, nine, odd, i, k, up, down));
}

/* Solve the rows of one parity from row i on, as many as are solved at a time. */
INLINE void sweep_rows(const Grid *grid, const int nine, const int odd, int i)
{
    int left = (grid->height - i + 1) / 2, count = left < CHAINS ? left : CHAINS;
    for (int r = i; odd && r < i + 2 * count; r += 2)
        for (int c = 0; c < grid->channels; c++)
            gather_row(grid, nine, r, c);
    if (count > 0)
        solve_rows(grid, odd ? grid->x : grid->rhs, i, count);
}

/* Right side of the coarse grid, rows `from` to `to`. After the sweep along rows the residual is zero
 * on odd rows and, on even rows, what the odd rows' solution adds. */
INLINE void restrict_residual(const Grid *fine, const int nine, const Grid *coarse, float *scratch,
                              int from, int to)
{
    int points = fine->points;
    float *odd = scratch + LANES, *natural = odd + fine->stride;
    store(scratch, (Lanes){0}); /* odd[-1] */
    for (int I = from; I < to; I++) {
        const float *t0 = weights_of(fine, fine->across[0], I);
        const float *t1 = weights_of(fine, fine->across[1], I);
        for (int c = 0; c < fine->channels; c++) {
            const float *up = line_of(fine, fine->x, 2 * I - 1, c);
            const float *down = line_of(fine, fine->x, 2 * I + 1, c);
            for (int k = 0; k < points; k += LANES)
                store(odd + k, from_rows(fine, nine, 1, 2 * I, k, up, down));
            for (int k = 0; k < points; k += LANES)
                store(natural + k, from_rows(fine, nine, 0, 2 * I, k, up, down)
                                       + load(t0 + k) * load(odd + k)
                                       + load(t1 + k - 1) * load(odd + k - 1));
            split_row(coarse, line_of(coarse, coarse->rhs, I, c), natural);
        }
    }
}

/* Row i of a field in the natural order of its columns. */
INLINE void join_row(const Grid *grid, float *natural, const float *row)
{
    INDEPENDENT
    for (int k = 0; k < grid->points; k++) {
        natural[2 * k] = row[k];
        natural[2 * k + 1] = row[grid->half + k];
    }
}

/* Add the coarse grid's x to the odd columns of row i; sweep_columns does not read the even ones. */
INLINE void interpolate_row(const Grid *fine, const Grid *coarse, float *scratch, int i)
{
    float *upper = scratch, *lower = scratch + fine->stride;
    for (int c = 0; c < fine->channels; c++) {
        int I = i / 2;
        float *odd = line_of(fine, fine->x, i, c) + fine->half;
        join_row(coarse, upper, line_of(coarse, coarse->x, I, c));
        if (i % 2 == 0) {
            const float *t0 = weights_of(fine, fine->across[0], I);
            const float *t1 = weights_of(fine, fine->across[1], I);
            for (int k = 0; k < fine->points; k += LANES)
                store(odd + k, load(odd + k) + load(t0 + k) * load(upper + k)
                                   + load(t1 + k) * load(upper + k + 1));
            continue;
        }
        join_row(coarse, lower, line_of(coarse, coarse->x, I + 1, c));
        const float *c0 = weights_of(fine, fine->centre[0], I);
        const float *c1 = weights_of(fine, fine->centre[1], I);
        const float *c2 = weights_of(fine, fine->centre[2], I);
        const float *c3 = weights_of(fine, fine->centre[3], I);
        for (int k = 0; k < fine->points; k += LANES)
            store(odd + k, load(odd + k) + load(c0 + k) * load(upper + k)
                               + load(c1 + k) * load(upper + k + 1)
                               + load(c2 + k) * load(lower + k)
                               + load(c3 + k) * load(lower + k + 1));
    }
}

/* Forward elimination at row i of the even (or odd) columns: right side, couplings to the other
 * columns, and what the row above carries. */
INLINE void eliminate(const Grid *grid, const int nine, const int odd, int i, int c)
{
    int half = grid->half;
    ptrdiff_t step = grid->channels * grid->stride, stride = grid->stride;
    float *x = line_of(grid, grid->x, i, c) + odd * half;
    const float *rhs = line_of(grid, grid->rhs, i, c) + odd * half;
    const float *gain = row_of(grid, grid->column_gain, i - 1) + odd * half;
    const float *to_right = row_of(grid, grid->east, i) + odd * half;
    /* neighbours of even[k]: odd[k - 1] and odd[k]; of odd[k]: even[k] and even[k + 1] */
    int other = odd ? 0 : half - 1;
    const float *left = line_of(grid, grid->x, i, c) + other, *right = left + 1;
    const float *to_left = row_of(grid, grid->east, i) + other;
    const float *se = nine ? row_of(grid, grid->southeast, i) : NULL;
    const float *sw = nine ? row_of(grid, grid->southwest, i) : NULL;
    for (int k = 0; k < grid->points; k += LANES) {
        Lanes sum = load(rhs + k) + load(gain + k) * load(x - step + k)
                    + load(to_left + k) * load(left + k) + load(to_right + k) * load(right + k);
        if (nine)
            sum += load(se - stride + other + k) * load(left - step + k)
                   + load(sw - stride + other + 1 + k) * load(right - step + k)
                   + load(sw + odd * half + k) * load(left + step + k)
                   + load(se + odd * half + k) * load(right + step + k);
        store(x + k, sum);
    }
}

/* Solve the even columns beside the odd ones, then the odd columns beside them. Before it a row, and
 * the next one, takes the coarser grid's correction, if there is one. */
INLINE void sweep_columns(const Grid *grid, const int nine, const Grid *coarse, float *scratch)
{
    for (int odd = 0; odd < 2; odd++) {
        for (int i = 0; i < grid->height; i++) {
            for (int r = i ? i + 1 : 0; coarse && !odd && r <= i + 1 && r < grid->height; r++)
                interpolate_row(grid, coarse, scratch, r);
            for (int c = 0; c < grid->channels; c++)
                eliminate(grid, nine, odd, i, c);
        }
        for (int i = grid->height - 1; i >= 0; i--) {
            const float *gain = row_of(grid, grid->column_gain, i) + odd * grid->half;
            const float *scale = row_of(grid, grid->column_scale, i) + odd * grid->half;
            for (int c = 0; c < grid->channels; c++) {
                float *x = line_of(grid, grid->x, i, c) + odd * grid->half;
                const float *below = line_of(grid, grid->x, i + 1, c) + odd * grid->half;
                for (int k = 0; k < grid->points; k += LANES)
                    store(x + k, load(x + k) * load(scale + k) + load(gain + k) * load(below + k));
            }
        }
    }
}

/* x = the even rows' solution with x = 0 elsewhere, then the odd rows' beside it; and the residual of
 * that on the coarser grid, if there is one. Each follows the one before at a distance that the cache
 * bridges: a few odd rows as soon as the even ones on both sides are solved. */
INLINE void descend_as(const Grid *grid, const int nine, const Grid *coarse, float *scratch)
{
    for (int i = 0; i < grid->height + 2 * CHAINS; i += 2 * CHAINS) {
        if (i < grid->height)
            sweep_rows(grid, nine, 0, i);
        if (!i)
            continue;
        sweep_rows(grid, nine, 1, i - 2 * CHAINS + 1);
        if (coarse)
            restrict_residual(grid, nine, coarse, scratch, i / 2 - CHAINS,
                              i / 2 < coarse->height ? i / 2 : coarse->height);
    }
}

/* The way down: smooth along rows and pass the residual on. */
HOT static void descend(const Grid *grid, const Grid *coarse, float *scratch)
{
    if (grid->nine)
        descend_as(grid, 1, coarse, scratch);
    else
        descend_as(grid, 0, coarse, scratch);
}

/* The way up: take the coarser grid's correction and smooth along columns. */
HOT static void ascend(const Grid *grid, const Grid *coarse, float *scratch)
{
    memset(scratch, 0, 2 * (size_t)grid->stride * sizeof(float));
    if (grid->nine)
        sweep_columns(grid, 1, coarse, scratch);
    else
        sweep_columns(grid, 0, coarse, scratch);
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
