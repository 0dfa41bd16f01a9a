/* Solves (1 + L) x = b by conjugate gradients with a multigrid cycle; multigrid/solver.py describes
 * the method and does the same in NumPy. */
#include "gradients.h"

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

/* x += d + length p in row i of channel c, d being nothing after the first of the cycles. */
INLINE void correct_row(const Problem *problem, const Gradients *cg, const int first, int i, int c)
{
    const Grid *grid = &cg->grids.grid[0];
    int width = problem->width, pairs = width / 2;
    double *x = problem->solution + ((ptrdiff_t)c * problem->height + i) * width;
    float length = cg->length[c];
    const float *d = line_of(grid, cg->correction, i, c), *odd_d = d + grid->half;
    const float *p = line_of(grid, cg->direction, i, c), *odd_p = p + grid->half;
    INDEPENDENT
    for (int k = 0; k < pairs; k++) {
        float even = length * p[k], odd = length * odd_p[k];
        x[2 * k] += first ? even : d[k] + even;
        x[2 * k + 1] += first ? odd : odd_d[k] + odd;
    }
    if (width & 1)
        x[width - 1] += first ? length * p[pairs] : d[pairs] + length * p[pairs];
}

/* rhs of row i and channel c of the first grid = b - A x, found in double precision. */
INLINE void residual_row(const Problem *problem, const Grid *grid, float *rounded, float *peak,
                         int i, int c)
{
    int height = problem->height, width = problem->width, last = width - 1;
    ptrdiff_t start = ((ptrdiff_t)c * height + i) * width, at = (ptrdiff_t)i * width;
    const double *x = problem->solution + start, *b = problem->image + start;
    const double *up = i ? x - width : x, *down = i + 1 < height ? x + width : x;
    const float *south = problem->south + at, *north = i ? south - width : south;
    const float *east = problem->east + at;
    INDEPENDENT
    for (int k = 1; k < last; k++) {
        double own = x[k];
        double exact = b[k] - own + north[k] * (up[k] - own) + south[k] * (down[k] - own);
        exact = exact + east[k] * (x[k + 1] - own) + east[k - 1] * (x[k - 1] - own);
        rounded[k] = (float)exact;
        float size = fabsf(rounded[k]);
        peak[k] = size > peak[k] ? size : peak[k];
    }
    for (int k = 0; k < width; k += last ? last : 1) {
        double own = x[k];
        double exact = b[k] - own + north[k] * (up[k] - own) + south[k] * (down[k] - own);
        if (k < last)
            exact += east[k] * (x[k + 1] - own);
        if (k)
            exact += east[k - 1] * (x[k - 1] - own);
        rounded[k] = (float)exact;
        float size = fabsf(rounded[k]);
        peak[k] = size > peak[k] ? size : peak[k];
    }
    split_row(grid, line_of(grid, grid->rhs, i, c), rounded);
}

/* Add the correction that some cycles found to x, and find its residual; return the largest pixel
 * of that. */
HOT static double find_residual(const Problem *problem, const Gradients *cg, int cycles)
{
    const Grid *grid = &cg->grids.grid[0];
    int height = problem->height;
    float *rounded = cg->grids.scratch, *peak = rounded + grid->stride;
    memset(peak, 0, (size_t)grid->stride * sizeof(float));
    for (int i = -1; i < height; i++) /* b - A x of a row wants x of the next */
        for (int c = 0; c < problem->channels; c++) {
            if (cycles == 1 && i + 1 < height)
                correct_row(problem, cg, 1, i + 1, c);
            else if (cycles && i + 1 < height)
                correct_row(problem, cg, 0, i + 1, c);
            if (i >= 0)
                residual_row(problem, grid, rounded, peak, i, c);
        }
    float worst = 0.0f;
    for (int k = 0; k < problem->width; k++)
        worst = peak[k] > worst ? peak[k] : worst;
    return worst;
}

/* Refine x until the residual, in double precision, is within the tolerance; the first refinement
 * is nearly always the last. Returns the cycles used; problem->residual tells what they reached. */
static int refine(Problem *problem, const Gradients *cg)
{
    for (int used = 0, cycles = 0;; used += cycles) {
        problem->residual = find_residual(problem, cg, cycles);
        if (problem->residual <= problem->tolerance || used >= problem->max_cycles)
            return used;
        double enough = 0.9 * problem->tolerance;
        double reachable = SINGLE_PRECISION_GAIN * problem->residual;
        cycles = correct(cg, (float)(enough > reachable ? enough : reachable),
                         problem->max_cycles - used);
        if (cycles < 0)
            return used;
    }
}

/* Solve to problem->tolerance, if problem->residual says so; return the number of cycles. */
EXPORT int solve_screened(Problem *problem, float *workspace)
{
    Gradients cg;
    lay_out(&cg, workspace, problem->height, problem->width, problem->channels);
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
