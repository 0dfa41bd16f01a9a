/* One step of iterative least squares on an image with periodic borders; ils.py describes
 * the method.
 *
 * With mu = c D u - phi'(D u) and beta = lambda c / 2 the step
 * (1 + beta L) u' = u + lambda / 2 D' mu is the same as
 * (1 + beta L) (u' - u) = -lambda / 2 D' phi'(D u).
 */
#include "elementary.h"
#include "periodic.h"

enum { WELSCH, CHARBONNIER };

/* Derivatives of the penalties: `factor` x exp(a x^2), and `factor` x (x^2 + b)^a. */
INLINE double slope_of(double x, const int penalty, double factor, double a, double b)
{
    double square = x * x;
    return factor * x * (penalty == WELSCH ? exponential(a * square) : power_of(square + b, a));
}

/* Fill a block with the slopes from row i of a strip on. */
INLINE void find_slopes(const Round *round, Block *block, int c, int strip, int i, int rows,
                        const int penalty, double factor, double a, double b)
{
    find_gradients(round, block, c, strip, i, rows);
    for (int r = 0; r < rows; r++) {
        double *across = block->across[r] + FIRST, *down = block->down[r + 1];
        LANE_BY_LANE
        for (int k = 0; k < STRIP; k++) {
            across[k] = slope_of(across[k], penalty, factor, a, b);
            down[k] = slope_of(down[k], penalty, factor, a, b);
        }
    }
}

/* Find what the first strip has to its left: the last column. */
INLINE void find_edges(const Round *round, const int penalty, double factor, double a, double b)
{
    Block *block = blocks_of(round);
    int strip = round->strips - 1;
    for (int c = 0; c < round->channels; c++)
        for (int i = 0; i < round->height; i += BLOCK) {
            int rows = rows_of_block(round, i);
            find_slopes(round, block, c, strip, i, rows, penalty, factor, a, b);
            pass_edges(round, block, c, strip, i, rows);
        }
}

/* work = D' of the slopes, in a strip. */
INLINE void find_right_side(const Round *round, int strip, const int penalty, double factor,
                            double a, double b)
{
    Block *block = blocks_of(round);
    for (int c = 0; c < round->channels; c++) {
        find_slopes(round, block, c, strip, round->height - 1, 1, penalty, factor, a, b);
        memcpy(block->down[0], block->down[1], sizeof block->down[0]);
        for (int i = 0; i < round->height; i += BLOCK) {
            int rows = rows_of_block(round, i);
            double *out = round->work + place_of(round, c, strip, i);
            find_slopes(round, block, c, strip, i, rows, penalty, factor, a, b);
            pass_edges(round, block, c, strip, i, rows);
            for (int r = 0; r < rows; r++, out += STRIP) {
                LANE_BY_LANE
                for (int k = 0; k < STRIP; k++)
                    out[k] = adjoint(block, r, k);
                clear_beyond(round, out, strip);
            }
            memcpy(block->down[0], block->down[rows], sizeof block->down[0]);
        }
    }
}

INLINE void find_strips(const Round *round, const int penalty, double factor, double a, double b)
{
    find_edges(round, penalty, factor, a, b);
    for (int strip = 0; strip < round->strips; strip++) {
        find_right_side(round, strip, penalty, factor, a, b);
        analyse_strip(round, strip);
    }
}

HOT static void find_welsch_strips(const Round *round, double factor, double a)
{
    find_strips(round, WELSCH, factor, a, 0.0);
}

HOT static void find_charbonnier_strips(const Round *round, double factor, double a, double b)
{
    find_strips(round, CHARBONNIER, factor, a, b);
}

/* Take a step. `factor`, `a` and `b` are those of slope_of, the factor times -lambda / 2. */
EXPORT void ils_round(const Round *round, int penalty, double factor, double a, double b)
{
    if (penalty == WELSCH)
        find_welsch_strips(round, factor, a);
    else
        find_charbonnier_strips(round, factor, a, b);
    add_solution(round);
}
