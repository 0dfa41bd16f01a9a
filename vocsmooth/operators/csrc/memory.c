/* The solver's memory: one array of floats, zero at first, cut into grids and fields. What must be
 * zero is never written. */
#include "gradients.h"

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
size_t lay_out(Gradients *cg, float *memory, int height, int width, int channels)
{
    Arena space = {memory, 0}, *arena = &space;
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
    cg->length = take(arena, (size_t)channels);
    return space.used;
}

/* Floats of memory that solve_screened wants, on a vector's boundary, and zero at first. */
EXPORT size_t workspace_floats(int height, int width, int channels)
{
    Gradients cg;
    return lay_out(&cg, NULL, height, width, channels);
}
