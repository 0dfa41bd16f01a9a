/* Flexible conjugate gradients, preconditioned by a multigrid cycle, in single precision. */
#include "gradients.h"

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

/* p = z - (z . A p / p . A p) p in row i, the direction conjugate to the last. Before that, d takes
 * the step along the last one, whose p is at hand here: advance would have to read it once more. */
INLINE void turn_row(const Gradients *cg, const int used, int i)
{
    const Grid *grid = &cg->grids.grid[0];
    for (int c = 0; c < grid->channels; c++) {
        float keep = (float)cg->keep[c], length = cg->length[c];
        float *p = line_of(grid, cg->direction, i, c), *d = line_of(grid, cg->correction, i, c);
        const float *z = line_of(grid, grid->x, i, c);
        for (int k = 0; k < grid->stride; k += LANES) {
            Lanes last = load(p + k);
            if (used == 0)
                store(p + k, load(z + k));
            else
                store(p + k, load(z + k) + keep * last);
            if (used == 1)
                store(d + k, length * last);
            else if (used > 1)
                store(d + k, load(d + k) + length * last);
        }
    }
}

/* Find the new direction, its image, and how far to go, after `used` cycles. */
INLINE void turn_after(const Gradients *cg, const int used)
{
    const Grid *grid = &cg->grids.grid[0];
    for (int c = 0; c < grid->channels; c++)
        cg->overlap[c] = 0.0;
    for (int i = 0; i < grid->height; i++)
        for (int c = 0; c < grid->channels; c++)
            if (used && cg->energy[c] > 0.0)
                cg->overlap[c] += product(line_of(grid, grid->x, i, c),
                                          line_of(grid, cg->image, i, c), grid->stride);
    for (int c = 0; c < grid->channels; c++) {
        cg->keep[c] = cg->energy[c] > 0.0 ? -cg->overlap[c] / cg->energy[c] : 0.0;
        cg->energy[c] = cg->slope[c] = 0.0;
    }
    turn_row(cg, used, 0);
    for (int i = 0; i < grid->height; i++) {
        if (i + 1 < grid->height)
            turn_row(cg, used, i + 1); /* A p of a row wants p of the next */
        for (int c = 0; c < grid->channels; c++) {
            float *image = line_of(grid, cg->image, i, c);
            const float *p = line_of(grid, cg->direction, i, c);
            apply_row(grid, image, cg->direction, i, c);
            cg->energy[c] += product(p, image, grid->stride);
            cg->slope[c] += product(p, line_of(grid, grid->rhs, i, c), grid->stride);
        }
    }
}

HOT static void turn(const Gradients *cg, int used)
{
    if (used > 1)
        turn_after(cg, 2);
    else if (used == 1)
        turn_after(cg, 1);
    else
        turn_after(cg, 0);
}

/* Find the best length along the direction, and the residual there; return its largest pixel. */
HOT static float advance(const Gradients *cg)
{
    const Grid *grid = &cg->grids.grid[0];
    float *peak = cg->grids.scratch;
    memset(peak, 0, (size_t)grid->stride * sizeof(float));
    for (int c = 0; c < grid->channels; c++)
        cg->length[c] = cg->energy[c] > 0.0 ? (float)(cg->slope[c] / cg->energy[c]) : 0.0f;
    for (int i = 0; i < grid->height; i++)
        for (int c = 0; c < grid->channels; c++) {
            float length = cg->length[c], *r = line_of(grid, grid->rhs, i, c);
            const float *image = line_of(grid, cg->image, i, c);
            INDEPENDENT
            for (int k = 0; k < grid->stride; k++) {
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

int correct(const Gradients *cg, float enough, int cycles)
{
    int channels = cg->grids.grid[0].channels;
    for (int c = 0; c < channels; c++)
        cg->energy[c] = 0.0;
    for (int used = 0; used < cycles; used++) {
        multigrid_cycle(&cg->grids);
        turn(cg, used);
        for (int c = 0; c < channels; c++)
            if (!isfinite(cg->energy[c]) || !isfinite(cg->slope[c]))
                return -1;
        if (advance(cg) <= enough)
            return used + 1;
    }
    return cycles;
}
