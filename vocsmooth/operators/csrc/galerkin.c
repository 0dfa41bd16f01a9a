/* The coarse grids of the multigrid solver: interpolation weights and P'AP, row by row.
 * multigrid/solver.py describes the method, multigrid/coarsening.py does the same in NumPy. */
#include "grid.h"

/* Keeps a quotient finite where a point has no couplings at all. */
#define TINY 1e-30f

/* How strongly a coupling draws a point to its neighbour's value. A negative one draws hardly at
 * all, but enough for weights that sum to 1 where a point has no other: P'AP is a Laplacian, and
 * positive, only because P maps constants to constants. */
INLINE float pull(float coupling)
{
    return coupling > 0.0f ? coupling : -1e-6f * coupling;
}

/* Weights of a point between two coarse ones, from the couplings on its two sides. */
INLINE void share(float *first, float *second, float a, float b)
{
    a = pull(a), b = pull(b);
    float inverse = 1.0f / (a + b + TINY);
    *first = a * inverse;
    *second = b * inverse;
}

/* Weights of the points on lines of the coarse grid: couplings collapsed onto the line. */
INLINE void edge_weights(const Grid *grid, const int nine, int coarse_row)
{
    int half = grid->half, points = grid->points, i = 2 * coarse_row;
    const float *east = row_of(grid, grid->east, i), *south = row_of(grid, grid->south, i);
    float *left = weights_of(grid, grid->across[0], coarse_row);
    float *right = weights_of(grid, grid->across[1], coarse_row);
    float *upper = weights_of(grid, grid->down[0], coarse_row);
    float *lower = weights_of(grid, grid->down[1], coarse_row);
    const float *south_below = south + grid->stride;
    const float *se = nine ? row_of(grid, grid->southeast, i) : NULL;
    const float *sw = nine ? row_of(grid, grid->southwest, i) : NULL;
    ptrdiff_t stride = grid->stride;
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        float w = east[k], e = east[half + k], n = south[k], s = south_below[k];
        if (nine) {
            w += se[k - stride] + sw[half + k];
            e += sw[k + 1 - stride] + se[half + k];
            n += se[half + k - 1] + sw[half + k];
            s += sw[k + stride] + se[k + stride];
        }
        share(&left[k], &right[k], w, e);
        share(&upper[k], &lower[k], n, s);
    }
}

/* Couplings between the corners of a row of coarse cells; corner 0 is upper left, 1 upper right,
 * 2 lower left, 3 lower right. */
typedef struct {
    float *c01, *c02, *c13, *c23, *c03, *c12;
} CellCouplings;

/* Weights of the cell centres, and P'LP of one row of coarse cells.
 *
 * With p_i the weights of fine point i, a fine coupling w between i and j adds
 * -w (p_i[a] - p_j[a]) (p_i[b] - p_j[b]) to the coupling of corners a and b. Summed over the
 * couplings of the centre that is reach[a] c[b] + c[a] reach[b] - total c[a] c[b] less what single
 * edge points couple directly. A fine coupling on the cell's right or lower side belongs to the
 * next cell. */
INLINE void coarse_cells(const Grid *grid, const int nine, int I, const CellCouplings *cell)
{
    int half = grid->half, points = grid->points, i = 2 * I;
    ptrdiff_t stride = grid->stride;
    const float *east = row_of(grid, grid->east, i), *south = row_of(grid, grid->south, i);
    const float *east_below = east + stride, *south_below = south + stride;
    const float *se = nine ? row_of(grid, grid->southeast, i) : NULL;
    const float *sw = nine ? row_of(grid, grid->southwest, i) : NULL;
    const float *t_0 = weights_of(grid, grid->across[0], I);
    const float *t_1 = weights_of(grid, grid->across[1], I);
    const float *b_2 = t_0 + half, *b_3 = t_1 + half;
    const float *l_0 = weights_of(grid, grid->down[0], I);
    const float *l_2 = weights_of(grid, grid->down[1], I);
    float *centre_0 = weights_of(grid, grid->centre[0], I);
    float *centre_1 = weights_of(grid, grid->centre[1], I);
    float *centre_2 = weights_of(grid, grid->centre[2], I);
    float *centre_3 = weights_of(grid, grid->centre[3], I);
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        /* top, left, right and lower edge point: weights of their two corners */
        float t0 = t_0[k], t1 = t_1[k], l0 = l_0[k], l2 = l_2[k];
        float r1 = l_0[k + 1], r3 = l_2[k + 1], b2 = b_2[k], b3 = b_3[k];
        /* couplings of the centre, and what they reach of each corner */
        float n = south[half + k], s = south_below[half + k];
        float w = east_below[k], e = east_below[half + k];
        float reach0 = n * t0 + w * l0, reach1 = n * t1 + e * r1;
        float reach2 = w * l2 + s * b2, reach3 = e * r3 + s * b3;
        float total = n + s + w + e;
        float c0 = reach0, c1 = reach1, c2 = reach2, c3 = reach3, sum = total;
        if (nine) {
            float d0 = se[k], d1 = sw[k + 1];
            float d2 = sw[half + k + stride], d3 = se[half + k + stride];
            reach0 += d0, reach1 += d1, reach2 += d2, reach3 += d3;
            total += d0 + d1 + d2 + d3;
            float pn = pull(n), ps = pull(s), pw = pull(w), pe = pull(e);
            float p0 = pull(d0), p1 = pull(d1), p2 = pull(d2), p3 = pull(d3);
            c0 = pn * t0 + pw * l0 + p0, c1 = pn * t1 + pe * r1 + p1;
            c2 = pw * l2 + ps * b2 + p2, c3 = pe * r3 + ps * b3 + p3;
            sum = pn + ps + pw + pe + p0 + p1 + p2 + p3;
        }
        float inverse = 1.0f / (sum + TINY);
        c0 *= inverse, c1 *= inverse, c2 *= inverse, c3 *= inverse;
        centre_0[k] = c0, centre_1[k] = c1, centre_2[k] = c2, centre_3[k] = c3;
        float k01 = reach0 * c1 + c0 * reach1 - total * c0 * c1 - n * t0 * t1;
        float k02 = reach0 * c2 + c0 * reach2 - total * c0 * c2 - w * l0 * l2;
        float k13 = reach1 * c3 + c1 * reach3 - total * c1 * c3 - e * r1 * r3;
        float k23 = reach2 * c3 + c2 * reach3 - total * c2 * c3 - s * b2 * b3;
        float k03 = reach0 * c3 + c0 * reach3 - total * c0 * c3;
        float k12 = reach1 * c2 + c1 * reach2 - total * c1 * c2;
        /* the cell's upper and left side */
        k01 += east[k] * (1.0f - t0) * t1 + east[half + k] * t0 * (1.0f - t1);
        k02 += south[k] * (1.0f - l0) * l2 + south_below[k] * l0 * (1.0f - l2);
        if (nine) { /* couplings between neighbouring edge points */
            float tl = sw[half + k], tr = se[half + k];
            float lb = se[k + stride], rb = sw[k + 1 + stride];
            k01 += tl * (l0 - t0) * t1 + tr * t0 * (r1 - t1);
            k02 += tl * (t0 - l0) * l2 + lb * l0 * (b2 - l2);
            k13 += tr * (t1 - r1) * r3 + rb * r1 * (b3 - r3);
            k23 += lb * (l2 - b2) * b3 + rb * b2 * (r3 - b3);
            k03 += tr * t0 * r3 + lb * l0 * b3;
            k12 += tl * t1 * l2 + rb * r1 * b2;
        }
        cell->c01[k] = k01, cell->c02[k] = k02, cell->c13[k] = k13;
        cell->c23[k] = k23, cell->c03[k] = k03, cell->c12[k] = k12;
    }
}

/* Mass of a row of coarse points: what the fine points around them pass on (P'M, lumped). */
INLINE void coarse_mass(const Grid *grid, float *mass, int I)
{
    int half = grid->half, points = grid->points;
    const float *here = row_of(grid, grid->mass, 2 * I);
    const float *t0 = weights_of(grid, grid->across[0], I);
    const float *t1 = weights_of(grid, grid->across[1], I);
    for (int k = 0; k < points; k++)
        mass[k] = here[k] + t0[k] * here[half + k] + (k ? t1[k - 1] * here[half + k - 1] : 0.0f);
    for (int above = 0; above < 2; above++) {
        if (above && !I)
            continue;
        int J = I - above; /* row of cells below, then above, the points */
        const float *side = row_of(grid, grid->mass, 2 * J + 1);
        const float *near = weights_of(grid, grid->down[above], J);
        const float *left = weights_of(grid, grid->centre[2 * above], J);
        const float *right = weights_of(grid, grid->centre[2 * above + 1], J);
        for (int k = 0; k < points; k++)
            mass[k] += near[k] * side[k] + left[k] * side[half + k]
                       + (k ? right[k - 1] * side[half + k - 1] : 0.0f);
    }
}

INLINE void coarsen_as(const Grid *fine, const Grid *coarse, float *scratch, const int nine)
{
    int n = fine->half;
    float *natural = scratch, *lower_side = scratch + n;
    CellCouplings cell = {scratch + 2 * n, scratch + 3 * n, scratch + 4 * n + 1,
                          scratch + 5 * n + 1, scratch + 6 * n + 1, scratch + 7 * n + 2};
    memset(scratch, 0, SCRATCH_ROWS * (size_t)fine->stride * sizeof(float));
    for (int I = 0; I < coarse->height; I++)
        edge_weights(fine, nine, I);
    for (int I = 0; I < coarse->height; I++) {
        coarse_cells(fine, nine, I, &cell);
        for (int k = 0; k < coarse->width; k++)
            natural[k] = cell.c01[k] + lower_side[k];
        split_row(coarse, row_of(coarse, coarse->east, I), natural);
        memcpy(lower_side, cell.c23, coarse->width * sizeof(float));
        for (int k = 0; k < coarse->width; k++)
            natural[k] = cell.c02[k] + cell.c13[k - 1];
        split_row(coarse, row_of(coarse, coarse->south, I), natural);
        split_row(coarse, row_of(coarse, coarse->southeast, I), cell.c03);
        split_row(coarse, row_of(coarse, coarse->southwest, I), cell.c12 - 1);
        coarse_mass(fine, natural, I);
        split_row(coarse, row_of(coarse, coarse->mass, I), natural);
        if (coarse->width & 1) /* the point that only fills the odd half */
            row_of(coarse, coarse->mass, I)[coarse->half + coarse->points - 1] = 1.0f;
    }
}

HOT static void coarsen_five(const Grid *fine, const Grid *coarse, float *scratch)
{
    coarsen_as(fine, coarse, scratch, 0);
}

HOT static void coarsen_nine(const Grid *fine, const Grid *coarse, float *scratch)
{
    coarsen_as(fine, coarse, scratch, 1);
}

void coarsen(const Grid *fine, const Grid *coarse, float *scratch)
{
    (fine->nine ? coarsen_nine : coarsen_five)(fine, coarse, scratch);
}
