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
