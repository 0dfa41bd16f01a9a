/* Solves (1 + L) x = b, L the graph Laplacian of an image's couplings to its four neighbours.
 *
 * The method is described in vocsmooth/multigrid.py, which holds the same algorithm in NumPy; the
 * functions here bear the same names. This file adds a layout and an order of loops that a vector
 * unit likes:
 *
 * - A row of a grid is stored in two halves, its even columns and then its odd columns, so that a
 *   zebra sweep, restriction and interpolation all read and write contiguous floats. A half ends in
 *   at least one zero, which is also what stands left of the odd half and below and above the grid
 *   (rows -1 and height): neighbours outside the image are read, and count as zero.
 * - `even[k]` is column 2k and `odd[k]` column 2k + 1; the neighbours of even[k] are odd[k - 1] and
 *   odd[k], those of odd[k] are even[k] and even[k + 1].
 * - Fields with channels store the channels of a row one after the other.
 */
#include "_kernels.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

enum { MAX_GRIDS = 32, STRIP = 64, CHAINS = 8 };

/* Keeps a quotient finite where a point has no couplings at all. */
#define TINY 1e-30f

/* Why solve_screened stopped, beside a count of cycles (>= 0). */
enum { NOT_POSITIVE = -1, NOT_CONVERGED = -2 };

/* The linear system and what is wanted of its solution; arrays are C-contiguous. */
typedef struct {
    int height, width, channels, max_cycles;
    double tolerance;    /* stop when no pixel of b - A x is larger */
    const float *east;   /* (height, width) coupling to the right neighbour, 0 in the last column */
    const float *south;  /* (height, width) coupling to the lower neighbour, 0 in the last row */
    const double *image; /* (channels, height, width), b */
    double *solution;    /* (channels, height, width), x: first guess in, solution out */
    double residual;     /* out: the largest pixel of |b - A x| */
} Problem;

/* One grid of the hierarchy. Coefficients have one value a point, fields one a point and channel. */
typedef struct {
    int height, width, channels;
    int half;           /* floats in half a row, with its zeros */
    int points;         /* points in half a row */
    int nine;           /* whether points are coupled to diagonal neighbours too */
    ptrdiff_t stride;   /* floats in a row */
    float *mass;        /* what the point is held to its own value with */
    float *east, *south, *southeast, *southwest; /* couplings */
    float *row_gain, *row_scale, *row_next;      /* factors of the row's tridiagonal system */
    float *column_gain, *column_scale;           /* factors of the column's */
    float *across[2];   /* weights of the left and right coarse point at (even row, odd column) */
    float *down[2];     /* of the upper and lower coarse point at (odd row, even column) */
    float *centre[4];   /* of the four coarse points at (odd row, odd column) */
    float *rhs, *x;     /* fields */
} Grid;

typedef struct {
    int count;
    Grid grid[MAX_GRIDS];
    float *direction, *image_of_direction, *correction; /* fields of the conjugate gradients */
    float *scratch;                                     /* rows of the first grid's length */
} Hierarchy;

/* ---------------------------------------------------------------------------------------------
 * Memory
 */

typedef struct {
    float *base;
    size_t used;
} Arena;

/* Take zeroed floats from the arena, or only count them if it has no memory yet. */
static float *take(Arena *arena, size_t count)
{
    float *start = arena->base ? arena->base + arena->used : NULL;
    if (start)
        memset(start, 0, count * sizeof(float));
    arena->used += (count + LANES - 1) / LANES * LANES;
    return start;
}

/* Take a coefficient; the result points to row 0, one row lies above and two below the grid. */
static float *take_coefficient(Arena *arena, const Grid *grid)
{
    float *start = take(arena, (size_t)(grid->height + 3) * grid->stride);
    return start ? start + grid->stride : NULL;
}

static float *take_field(Arena *arena, const Grid *grid)
{
    float *start = take(arena, (size_t)(grid->height + 3) * grid->channels * grid->stride);
    return start ? start + grid->channels * grid->stride : NULL;
}

/* Weights have a value for each coarse cell: half a row for every second row, one row below. */
static float *take_weights(Arena *arena, const Grid *grid)
{
    return take(arena, (size_t)((grid->height + 1) / 2 + 1) * grid->half);
}

static void lay_out_grid(Grid *grid, Arena *arena, int height, int width, int channels, int nine)
{
    grid->height = height;
    grid->width = width;
    grid->channels = channels;
    grid->nine = nine;
    grid->points = (width + 1) / 2;
    grid->half = (grid->points + LANES) / LANES * LANES;
    grid->stride = 2 * (ptrdiff_t)grid->half;
    float **coefficients[] = {&grid->mass,     &grid->east,        &grid->south,
                              &grid->row_gain, &grid->row_scale,   &grid->row_next,
                              &grid->column_gain, &grid->column_scale};
    for (size_t i = 0; i < sizeof coefficients / sizeof *coefficients; i++)
        *coefficients[i] = take_coefficient(arena, grid);
    grid->southeast = nine ? take_coefficient(arena, grid) : NULL;
    grid->southwest = nine ? take_coefficient(arena, grid) : NULL;
    for (int i = 0; i < 2; i++) {
        grid->across[i] = take_weights(arena, grid);
        grid->down[i] = take_weights(arena, grid);
    }
    for (int i = 0; i < 4; i++)
        grid->centre[i] = take_weights(arena, grid);
    grid->rhs = take_field(arena, grid);
    grid->x = take_field(arena, grid);
}

/* Halve the grid until it is a single line, which one sweep solves exactly. */
static void lay_out(Hierarchy *h, Arena *arena, int height, int width, int channels)
{
    h->count = 0;
    for (;;) {
        lay_out_grid(&h->grid[h->count], arena, height, width, channels, h->count > 0);
        h->count++;
        if (height == 1 || width == 1)
            break;
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    h->direction = take_field(arena, &h->grid[0]);
    h->image_of_direction = take_field(arena, &h->grid[0]);
    h->correction = take_field(arena, &h->grid[0]);
    h->scratch = take(arena, 8 * (size_t)h->grid[0].stride);
}

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

/* ---------------------------------------------------------------------------------------------
 * Line systems: factors
 */

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

/* ---------------------------------------------------------------------------------------------
 * Coarser grids
 */

INLINE float positive(float value)
{
    return value > 0.0f ? value : 0.0f;
}

/* Weights of a point between two coarse ones, from the couplings on its two sides. */
INLINE void share(float *first, float *second, float a, float b)
{
    a = positive(a), b = positive(b);
    float inverse = 1.0f / (a + b + TINY);
    *first = a * inverse;
    *second = b * inverse;
}

/* Interpolation to the points on the lines of the coarse grid: couplings collapsed onto the line. */
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
    const float *t_0 = weights_of(grid, grid->across[0], I), *t_1 = weights_of(grid, grid->across[1], I);
    const float *b_2 = t_0 + half, *b_3 = t_1 + half;
    const float *l_0 = weights_of(grid, grid->down[0], I), *l_2 = weights_of(grid, grid->down[1], I);
    float *centre_0 = weights_of(grid, grid->centre[0], I), *centre_1 = weights_of(grid, grid->centre[1], I);
    float *centre_2 = weights_of(grid, grid->centre[2], I), *centre_3 = weights_of(grid, grid->centre[3], I);
    INDEPENDENT
    for (int k = 0; k < points; k++) {
        /* top, left, right and lower edge point: weights of their two corners */
        float t0 = t_0[k], t1 = t_1[k], l0 = l_0[k], l2 = l_2[k];
        float r1 = l_0[k + 1], r3 = l_2[k + 1], b2 = b_2[k], b3 = b_3[k];
        /* couplings of the centre, and what they reach of each corner */
        float n = south[half + k], s = south_below[half + k], w = east_below[k], e = east_below[half + k];
        float reach0 = n * t0 + w * l0, reach1 = n * t1 + e * r1;
        float reach2 = w * l2 + s * b2, reach3 = e * r3 + s * b3;
        float total = n + s + w + e;
        float c0 = reach0, c1 = reach1, c2 = reach2, c3 = reach3, sum = total;
        if (nine) {
            float nw = se[k], ne = sw[k + 1], so = sw[half + k + stride], ea = se[half + k + stride];
            reach0 += nw, reach1 += ne, reach2 += so, reach3 += ea;
            total += nw + ne + so + ea;
            /* negative couplings may not pull: without this the interpolation blows up */
            float pn = positive(n), ps = positive(s), pw = positive(w), pe = positive(e);
            float p0 = positive(nw), p1 = positive(ne), p2 = positive(so), p3 = positive(ea);
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
            float tl = sw[half + k], tr = se[half + k], lb = se[k + stride], rb = sw[k + 1 + stride];
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
    const float *t0 = weights_of(grid, grid->across[0], I), *t1 = weights_of(grid, grid->across[1], I);
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
    memset(scratch, 0, 8 * (size_t)fine->stride * sizeof(float));
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

/* Fill the coarse grid with P'AP of the fine one. */
HOT static void coarsen(const Grid *fine, const Grid *coarse, float *scratch)
{
    if (fine->nine)
        coarsen_as(fine, coarse, scratch, 1);
    else
        coarsen_as(fine, coarse, scratch, 0);
}

/* ---------------------------------------------------------------------------------------------
 * Line sweeps
 */

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

/* One V-cycle from zero: grid[0].x ~ A^-1 grid[0].rhs. */
static void cycle(const Hierarchy *h)
{
    for (int g = 0; g < h->count; g++)
        descend(&h->grid[g], g + 1 < h->count ? &h->grid[g + 1] : NULL, h->scratch);
    for (int g = h->count - 1; g >= 0; g--)
        ascend(&h->grid[g], g + 1 < h->count ? &h->grid[g + 1] : NULL, h->scratch);
}

/* ---------------------------------------------------------------------------------------------
 * Conjugate gradients
 */

/* Sum of products along a row, in LANES parts. */
INLINE void add_products(double *sum, const float *a, const float *b, int length)
{
    float lanes[LANES] = {0};
    for (int k = 0; k < length; k += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] += a[k + lane] * b[k + lane];
    for (int lane = 0; lane < LANES; lane++)
        *sum += lanes[lane];
}

/* out = A p in row i of one channel. */
INLINE void apply_row(const Grid *grid, float *out, float *field, int i, int c)
{
    int half = grid->half, points = grid->points;
    const float *p = line_of(grid, field, i, c), *q = p + half;
    const float *up = line_of(grid, field, i - 1, c), *down = line_of(grid, field, i + 1, c);
    const float *south = row_of(grid, grid->south, i), *north = south - grid->stride;
    const float *east = row_of(grid, grid->east, i), *odd_east = east + half;
    INDEPENDENT
    for (int k = 0; k < 2 * half; k++)
        out[k] = p[k] + north[k] * (p[k] - up[k]) + south[k] * (p[k] - down[k]);
    INDEPENDENT
    for (int k = 0; k < points; k++)
        out[k] += odd_east[k - 1] * (p[k] - q[k - 1]) + east[k] * (p[k] - q[k]);
    INDEPENDENT
    for (int k = 0; k < points; k++)
        out[half + k] += east[k] * (q[k] - p[k]) + odd_east[k] * (q[k] - p[k + 1]);
}

/* p = z - (z . Ap / p . Ap) p for one channel: the new direction, conjugate to the last. */
HOT static void turn(const Hierarchy *h, int c, double energy)
{
    const Grid *grid = &h->grid[0];
    double overlap = 0.0;
    if (energy > 0.0)
        for (int i = 0; i < grid->height; i++)
            add_products(&overlap, line_of(grid, grid->x, i, c),
                         line_of(grid, h->image_of_direction, i, c), (int)grid->stride);
    float keep = energy > 0.0 ? (float)(-overlap / energy) : 0.0f;
    for (int i = 0; i < grid->height; i++) {
        float *p = line_of(grid, h->direction, i, c);
        const float *z = line_of(grid, grid->x, i, c);
        INDEPENDENT
        for (int k = 0; k < grid->stride; k++)
            p[k] = z[k] + keep * p[k];
    }
}

/* Go the best length along p; return p . Ap and the largest residual left. */
HOT static double advance(const Hierarchy *h, int c, float *worst)
{
    const Grid *grid = &h->grid[0];
    double energy = 0.0, slope = 0.0;
    for (int i = 0; i < grid->height; i++) {
        float *image = line_of(grid, h->image_of_direction, i, c);
        const float *p = line_of(grid, h->direction, i, c);
        apply_row(grid, image, h->direction, i, c);
        add_products(&energy, p, image, (int)grid->stride);
        add_products(&slope, p, line_of(grid, grid->rhs, i, c), (int)grid->stride);
    }
    float length = energy > 0.0 ? (float)(slope / energy) : 0.0f;
    float lanes[LANES] = {0};
    for (int i = 0; i < grid->height; i++) {
        float *d = line_of(grid, h->correction, i, c), *r = line_of(grid, grid->rhs, i, c);
        const float *p = line_of(grid, h->direction, i, c);
        const float *image = line_of(grid, h->image_of_direction, i, c);
        for (int k = 0; k < grid->stride; k += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                d[k + lane] += length * p[k + lane];
                float left = r[k + lane] - length * image[k + lane];
                r[k + lane] = left;
                left = fabsf(left);
                lanes[lane] = left > lanes[lane] ? left : lanes[lane];
            }
    }
    for (int lane = 0; lane < LANES; lane++)
        *worst = lanes[lane] > *worst ? lanes[lane] : *worst;
    return energy;
}

/* Flexible conjugate gradients on A d = rhs until no pixel of the residual exceeds `enough`. */
static int correct(const Hierarchy *h, double *energy, float enough, int cycles)
{
    const Grid *grid = &h->grid[0];
    for (int c = 0; c < grid->channels; c++)
        energy[c] = 0.0;
    for (int used = 1; used <= cycles; used++) {
        float worst = 0.0f;
        cycle(h);
        for (int c = 0; c < grid->channels; c++) {
            turn(h, c, energy[c]);
            energy[c] = advance(h, c, &worst);
            if (!isfinite(energy[c]))
                return NOT_CONVERGED;
        }
        if (worst <= enough)
            return used;
    }
    return cycles;
}

/* ---------------------------------------------------------------------------------------------
 * The solver
 */

/* rhs of the first grid = b - A x, in double precision; return its largest pixel. */
HOT static double find_residual(const Problem *problem, const Grid *grid, float *natural)
{
    int height = problem->height, width = problem->width;
    double worst = 0.0;
    for (int c = 0; c < problem->channels; c++)
        for (int i = 0; i < height; i++) {
            ptrdiff_t start = ((ptrdiff_t)c * height + i) * width, at = (ptrdiff_t)i * width;
            const double *x = problem->solution + start, *b = problem->image + start;
            const double *up = i ? x - width : x, *down = i + 1 < height ? x + width : x;
            const float *south = problem->south + at, *north = i ? south - width : south;
            const float *east = problem->east + at;
            INDEPENDENT
            for (int k = 0; k < width; k++)
                natural[k] = (float)(b[k] - x[k] + north[k] * (up[k] - x[k]) + south[k] * (down[k] - x[k]));
            INDEPENDENT
            for (int k = 0; k + 1 < width; k++)
                natural[k] += (float)(east[k] * (x[k + 1] - x[k]));
            INDEPENDENT
            for (int k = 1; k < width; k++)
                natural[k] -= (float)(east[k - 1] * (x[k] - x[k - 1]));
            split_row(grid, line_of(grid, grid->rhs, i, c), natural);
            for (int k = 0; k < width; k++)
                worst = fabsf(natural[k]) > worst ? fabsf(natural[k]) : worst;
        }
    return worst;
}

/* x += d */
HOT static void add_correction(const Problem *problem, const Grid *grid, float *correction)
{
    int width = problem->width;
    for (int c = 0; c < problem->channels; c++)
        for (int i = 0; i < problem->height; i++) {
            double *x = problem->solution + ((ptrdiff_t)c * problem->height + i) * width;
            const float *d = line_of(grid, correction, i, c);
            for (int k = 0; k < width; k++)
                x[k] += d[(k & 1) * grid->half + k / 2];
        }
}

/* Fill the first grid with the problem's couplings and the others from it. */
static int set_up(const Problem *problem, Hierarchy *h)
{
    Grid *grid = &h->grid[0];
    for (int i = 0; i < grid->height; i++) {
        split_row(grid, row_of(grid, grid->east, i), problem->east + (ptrdiff_t)i * grid->width);
        split_row(grid, row_of(grid, grid->south, i), problem->south + (ptrdiff_t)i * grid->width);
        for (int half = 0; half < 2; half++)
            for (int k = 0; k < grid->points; k++)
                row_of(grid, grid->mass, i)[half * grid->half + k] = 1.0f;
    }
    int regular = 1;
    for (int g = 0; g < h->count; g++) {
        regular &= factor_lines(&h->grid[g], h->scratch);
        if (g + 1 < h->count)
            coarsen(&h->grid[g], &h->grid[g + 1], h->scratch);
    }
    return regular;
}

/* Floats of memory that solve_screened wants. */
EXPORT size_t workspace_floats(int height, int width, int channels)
{
    Hierarchy h;
    Arena arena = {NULL, 0};
    lay_out(&h, &arena, height, width, channels);
    return arena.used + 2 * (size_t)channels + LANES;
}

/* Solve to problem->tolerance; return the number of cycles used, or why it stopped.
 *
 * Each refinement finds the true residual in double precision and reduces it by gradients in
 * single; the first is nearly always the last. */
EXPORT int solve_screened(Problem *problem, float *workspace)
{
    Hierarchy h;
    Arena arena = {workspace + LANES - ((size_t)workspace / sizeof(float)) % LANES, 0};
#if defined(__SSE2__)
    /* Far from any edge the solutions of lines decay through subnormal numbers: take them as 0. */
    unsigned int mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
#endif
    lay_out(&h, &arena, problem->height, problem->width, problem->channels);
    double *energy = (double *)take(&arena, 2 * (size_t)problem->channels);
    Grid *grid = &h.grid[0];
    int result = set_up(problem, &h) ? 0 : NOT_POSITIVE;
    while (result >= 0) {
        problem->residual = find_residual(problem, grid, h.scratch);
        if (problem->residual <= problem->tolerance)
            break;
        if (result >= problem->max_cycles || !isfinite(problem->residual)) {
            result = NOT_CONVERGED;
            break;
        }
        double enough = 0.9 * problem->tolerance, floor = 1e-5 * problem->residual;
        memset(line_of(grid, h.correction, 0, 0), 0,
               (size_t)grid->height * grid->channels * grid->stride * sizeof(float));
        int used = correct(&h, energy, (float)(enough > floor ? enough : floor),
                           problem->max_cycles - result);
        if (used >= 0)
            add_correction(problem, grid, h.correction);
        result = used < 0 ? used : result + used;
    }
#if defined(__SSE2__)
    _mm_setcsr(mode);
#endif
    return result;
}
