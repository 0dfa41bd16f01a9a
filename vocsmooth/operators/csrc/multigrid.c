/* Solves (1 + L) x = b by conjugate gradients with a multigrid cycle; multigrid/solver.py describes
 * the method and does the same in NumPy. */
#include "grid.h"

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

/* How far gradients in single precision reduce a residual before it is computed anew. */
static const double SINGLE_PRECISION_GAIN = 1e-5;

/* The linear system and what is wanted of its solution; arrays are C-contiguous. */
typedef struct {
    int height, width, channels, max_cycles;
    double tolerance;    /* stop when no pixel of |b - A x| is larger */
    const float *east;   /* (height, width) coupling to the right neighbour, 0 in the last column */
    const float *south;  /* (height, width) coupling to the lower neighbour, 0 in the last row */
    const double *image; /* (channels, height, width), b */
    double *solution;    /* (channels, height, width), x: first guess in, solution out */
    double residual;     /* out: the largest pixel of |b - A x| */
} Problem;

LAYOUT(Problem, FIELD(Problem, height), FIELD(Problem, width), FIELD(Problem, channels),
       FIELD(Problem, max_cycles), FIELD(Problem, tolerance), FIELD(Problem, east),
       FIELD(Problem, south), FIELD(Problem, image), FIELD(Problem, solution),
       FIELD(Problem, residual));

/* Flexible conjugate gradients on A d = rhs, rhs being the first grid's; sums are per channel. */
typedef struct {
    Hierarchy grids;
    float *direction, *image, *correction; /* fields: p, A p and d */
    double *energy, *slope;                /* p . A p and p . rhs */
    double *overlap, *keep;                /* z . A p of the last p, and how much of it to keep */
} Gradients;

/* ---------------------------------------------------------------------------------------------
 * Memory: one array of floats, zero at first. What must be zero is never written.
 */

typedef struct {
    float *base;
    size_t used;
} Arena;

/* Take floats from the arena, or only count them if it has no memory. */
static float *take(Arena *arena, size_t count)
{
    float *start = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count + LANES - 1) / LANES * LANES;
    return start;
}

/* Take `width` floats for each point of a grid and one row of zeros above, two below. */
static float *take_rows(Arena *arena, const Grid *grid, int width)
{
    size_t row = (size_t)width * grid->stride;
    float *start = take(arena, (grid->height + 3) * row);
    return start ? start + row : NULL;
}

/* Take half a row for each row of coarse cells, and one of zeros. */
static float *take_weights(Arena *arena, const Grid *grid)
{
    return take(arena, (size_t)((grid->height + 1) / 2 + 1) * grid->half);
}

static void lay_out_grid(Grid *grid, Arena *arena, int height, int width, int channels, int nine)
{
    *grid = (Grid){.height = height, .width = width, .channels = channels, .nine = nine};
    grid->points = (width + 1) / 2;
    grid->half = ((grid->points + LANES - 1) / LANES + 1) * LANES;
    grid->stride = 2 * (ptrdiff_t)grid->half;
    float **coefficients[] = {&grid->mass,        &grid->east,         &grid->south,
                              &grid->row_gain,    &grid->row_scale,    &grid->row_next,
                              &grid->column_gain, &grid->column_scale, &grid->southeast,
                              &grid->southwest};
    int count = nine ? 10 : 8;
    for (int i = 0; i < count; i++)
        *coefficients[i] = take_rows(arena, grid, 1);
    float **weights[] = {&grid->across[0], &grid->across[1], &grid->down[0],   &grid->down[1],
                         &grid->centre[0], &grid->centre[1], &grid->centre[2], &grid->centre[3]};
    for (int i = 0; i < 8; i++)
        *weights[i] = take_weights(arena, grid);
    grid->rhs = take_rows(arena, grid, channels);
    grid->x = take_rows(arena, grid, channels);
}

/* Halve the grid until it is a single line, which one sweep solves exactly. */
static void lay_out(Gradients *cg, Arena *arena, int height, int width, int channels)
{
    Hierarchy *h = &cg->grids;
    h->count = 0;
    lay_out_grid(&h->grid[h->count++], arena, height, width, channels, 0);
    while (height > 1 && width > 1) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
        lay_out_grid(&h->grid[h->count++], arena, height, width, channels, 1);
    }
    h->scratch = take(arena, SCRATCH_ROWS * (size_t)h->grid[0].stride);
    cg->direction = take_rows(arena, &h->grid[0], channels);
    cg->image = take_rows(arena, &h->grid[0], channels);
    cg->correction = take_rows(arena, &h->grid[0], channels);
    cg->energy = (double *)take(arena, 2 * (size_t)channels);
    cg->slope = (double *)take(arena, 2 * (size_t)channels);
    cg->overlap = (double *)take(arena, 2 * (size_t)channels);
    cg->keep = (double *)take(arena, 2 * (size_t)channels);
}

/* Floats of memory that solve_screened wants, on a vector's boundary, and zero at first. */
EXPORT size_t workspace_floats(int height, int width, int channels)
{
    Gradients cg;
    Arena arena = {NULL, 0};
    lay_out(&cg, &arena, height, width, channels);
    return arena.used;
}

/* ---------------------------------------------------------------------------------------------
 * Conjugate gradients
 */

/* Scalar product of two rows, in LANES parts. */
INLINE double product(const float *a, const float *b, ptrdiff_t length)
{
    Lanes sum = {0};
    for (ptrdiff_t k = 0; k < length; k += LANES)
        sum += load(a + k) * load(b + k);
    double total = 0.0;
    for (int lane = 0; lane < LANES; lane++)
        total += sum[lane];
    return total;
}

/* out = A p in row i of channel c. */
INLINE void apply_row(const Grid *grid, float *restrict out, float *field, int i, int c)
{
    int half = grid->half;
    const float *p = line_of(grid, field, i, c), *q = p + half;
    const float *up = line_of(grid, field, i - 1, c), *down = line_of(grid, field, i + 1, c);
    const float *south = row_of(grid, grid->south, i), *north = south - grid->stride;
    const float *east = row_of(grid, grid->east, i), *odd_east = east + half;
    for (int k = 0; k < grid->points; k += LANES) {
        Lanes even = load(p + k), odd = load(q + k), join = load(east + k) * (even - odd);
        store(out + k, even + join + load(odd_east + k - 1) * (even - load(q + k - 1))
                           + load(north + k) * (even - load(up + k))
                           + load(south + k) * (even - load(down + k)));
        store(out + half + k, odd - join + load(odd_east + k) * (odd - load(p + k + 1))
                                  + load(north + half + k) * (odd - load(up + half + k))
                                  + load(south + half + k) * (odd - load(down + half + k)));
    }
}

/* p = z - (z . A p / p . A p) p in row i, the direction conjugate to the last. */
INLINE void turn_row(const Gradients *cg, int i)
{
    const Grid *grid = &cg->grids.grid[0];
    for (int c = 0; c < grid->channels; c++) {
        float keep = (float)cg->keep[c];
        float *p = line_of(grid, cg->direction, i, c);
        const float *z = line_of(grid, grid->x, i, c);
        for (int k = 0; k < grid->stride; k += LANES)
            store(p + k, load(z + k) + keep * load(p + k));
    }
}

/* Find the new direction, its image, and how far to go. */
HOT static void turn(const Gradients *cg)
{
    const Grid *grid = &cg->grids.grid[0];
    for (int c = 0; c < grid->channels; c++)
        cg->overlap[c] = 0.0;
    for (int i = 0; i < grid->height; i++)
        for (int c = 0; c < grid->channels; c++)
            if (cg->energy[c] > 0.0)
                cg->overlap[c] += product(line_of(grid, grid->x, i, c),
                                          line_of(grid, cg->image, i, c), grid->stride);
    for (int c = 0; c < grid->channels; c++) {
        cg->keep[c] = cg->energy[c] > 0.0 ? -cg->overlap[c] / cg->energy[c] : 0.0;
        cg->energy[c] = cg->slope[c] = 0.0;
    }
    turn_row(cg, 0);
    for (int i = 0; i < grid->height; i++) {
        if (i + 1 < grid->height)
            turn_row(cg, i + 1); /* A p of a row wants p of the next */
        for (int c = 0; c < grid->channels; c++) {
            float *image = line_of(grid, cg->image, i, c);
            const float *p = line_of(grid, cg->direction, i, c);
            apply_row(grid, image, cg->direction, i, c);
            cg->energy[c] += product(p, image, grid->stride);
            cg->slope[c] += product(p, line_of(grid, grid->rhs, i, c), grid->stride);
        }
    }
}

/* Go the best length along the direction; return the largest pixel of the residual left. */
HOT static float advance(const Gradients *cg)
{
    const Grid *grid = &cg->grids.grid[0];
    float *peak = cg->grids.scratch;
    memset(peak, 0, (size_t)grid->stride * sizeof(float));
    for (int i = 0; i < grid->height; i++)
        for (int c = 0; c < grid->channels; c++) {
            float length = cg->energy[c] > 0.0 ? (float)(cg->slope[c] / cg->energy[c]) : 0.0f;
            float *d = line_of(grid, cg->correction, i, c), *r = line_of(grid, grid->rhs, i, c);
            const float *p = line_of(grid, cg->direction, i, c);
            const float *image = line_of(grid, cg->image, i, c);
            INDEPENDENT
            for (int k = 0; k < grid->stride; k++) {
                d[k] += length * p[k];
                r[k] -= length * image[k];
                float size = fabsf(r[k]);
                peak[k] = size > peak[k] ? size : peak[k];
            }
        }
    float worst = 0.0f;
    for (int k = 0; k < grid->stride; k++)
        worst = peak[k] > worst ? peak[k] : worst;
    return worst;
}

/* Reduce the residual until no pixel exceeds `enough`; return the cycles used, -1 if it is lost. */
static int correct(const Gradients *cg, float enough, int cycles)
{
    const Grid *grid = &cg->grids.grid[0];
    memset(line_of(grid, cg->correction, 0, 0), 0,
           (size_t)grid->height * grid->channels * grid->stride * sizeof(float));
    for (int c = 0; c < grid->channels; c++)
        cg->energy[c] = 0.0;
    for (int used = 1; used <= cycles; used++) {
        multigrid_cycle(&cg->grids);
        turn(cg);
        for (int c = 0; c < grid->channels; c++)
            if (!isfinite(cg->energy[c]) || !isfinite(cg->slope[c]))
                return -1;
        if (advance(cg) <= enough)
            return used;
    }
    return cycles;
}

/* ---------------------------------------------------------------------------------------------
 * The solver
 */

/* Fill the first grid with the problem's couplings and the others from it. */
static int set_up(const Problem *problem, Hierarchy *h)
{
    Grid *grid = &h->grid[0];
    for (int i = 0; i < grid->height; i++) {
        split_row(grid, row_of(grid, grid->east, i), problem->east + (ptrdiff_t)i * grid->width);
        split_row(grid, row_of(grid, grid->south, i), problem->south + (ptrdiff_t)i * grid->width);
        for (int k = 0; k < grid->points; k++)
            row_of(grid, grid->mass, i)[k] = row_of(grid, grid->mass, i)[grid->half + k] = 1.0f;
    }
    return build_grids(h);
}

/* rhs of the first grid = b - A x, found in double precision; return its largest pixel. */
HOT static double find_residual(const Problem *problem, const Hierarchy *h)
{
    const Grid *grid = &h->grid[0];
    int height = problem->height, width = problem->width;
    double *exact = (double *)h->scratch;
    float *rounded = h->scratch + 2 * grid->stride, *peak = h->scratch + 3 * grid->stride;
    memset(peak, 0, (size_t)grid->stride * sizeof(float));
    for (int i = 0; i < height; i++)
        for (int c = 0; c < problem->channels; c++) {
            ptrdiff_t start = ((ptrdiff_t)c * height + i) * width, at = (ptrdiff_t)i * width;
            const double *x = problem->solution + start, *b = problem->image + start;
            const double *up = i ? x - width : x, *down = i + 1 < height ? x + width : x;
            const float *south = problem->south + at, *north = i ? south - width : south;
            const float *east = problem->east + at;
            INDEPENDENT
            for (int k = 0; k < width; k++)
                exact[k] = b[k] - x[k] + north[k] * (up[k] - x[k]) + south[k] * (down[k] - x[k]);
            INDEPENDENT
            for (int k = 0; k < width - 1; k++)
                exact[k] += east[k] * (x[k + 1] - x[k]);
            INDEPENDENT
            for (int k = 1; k < width; k++)
                exact[k] += east[k - 1] * (x[k - 1] - x[k]);
            INDEPENDENT
            for (int k = 0; k < width; k++) {
                rounded[k] = (float)exact[k];
                float size = fabsf(rounded[k]);
                peak[k] = size > peak[k] ? size : peak[k];
            }
            split_row(grid, line_of(grid, grid->rhs, i, c), rounded);
        }
    float worst = 0.0f;
    for (int k = 0; k < width; k++)
        worst = peak[k] > worst ? peak[k] : worst;
    return worst;
}

/* x += d */
HOT static void add_correction(const Problem *problem, const Grid *grid, float *correction)
{
    int width = problem->width, pairs = width / 2;
    for (int c = 0; c < problem->channels; c++)
        for (int i = 0; i < problem->height; i++) {
            double *x = problem->solution + ((ptrdiff_t)c * problem->height + i) * width;
            const float *even = line_of(grid, correction, i, c), *odd = even + grid->half;
            INDEPENDENT
            for (int k = 0; k < pairs; k++) {
                x[2 * k] += even[k];
                x[2 * k + 1] += odd[k];
            }
            if (width & 1)
                x[width - 1] += even[pairs];
        }
}

/* Refine x until the residual, in double precision, is within the tolerance; the first refinement
 * is nearly always the last. Returns the cycles used; problem->residual tells what they reached. */
static int refine(Problem *problem, const Gradients *cg)
{
    int used = 0;
    for (;;) {
        problem->residual = find_residual(problem, &cg->grids);
        if (problem->residual <= problem->tolerance || used >= problem->max_cycles)
            return used;
        double enough = 0.9 * problem->tolerance;
        double reachable = SINGLE_PRECISION_GAIN * problem->residual;
        int cycles = correct(cg, (float)(enough > reachable ? enough : reachable),
                             problem->max_cycles - used);
        if (cycles < 0)
            return used;
        add_correction(problem, &cg->grids.grid[0], cg->correction);
        used += cycles;
    }
}

/* Solve to problem->tolerance, if problem->residual says so; return the number of cycles. */
EXPORT int solve_screened(Problem *problem, float *workspace)
{
    Arena arena = {workspace, 0};
    Gradients cg;
    lay_out(&cg, &arena, problem->height, problem->width, problem->channels);
#ifdef __SSE2__
    /* Far from any edge, solutions of lines decay through subnormal numbers: take those as 0. */
    unsigned int mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
#endif
    int used = set_up(problem, &cg.grids) ? refine(problem, &cg) : 0;
#ifdef __SSE2__
    _mm_setcsr(mode);
#endif
    return used;
}
