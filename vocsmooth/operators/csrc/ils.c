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

/* Slopes in row i of a plane: `across` to the right, `down` to the next row. */
INLINE void slopes_of_row(const Round *round, const double *plane, int i, double *restrict across,
                          double *restrict down, const int penalty, double factor, double a,
                          double b)
{
    int width = round->width;
    const double *s = plane + (ptrdiff_t)i * round->pitch;
    const double *below = i + 1 < round->height ? s + round->pitch : plane;
    INDEPENDENT
    for (int k = 0; k < width - 1; k++)
        across[k] = slope_of(s[k + 1] - s[k], penalty, factor, a, b);
    across[width - 1] = slope_of(s[0] - s[width - 1], penalty, factor, a, b);
    INDEPENDENT
    for (int k = 0; k < width; k++)
        down[k] = slope_of(below[k] - s[k], penalty, factor, a, b);
}

/* work = D' of the slopes. */
INLINE void find_right_side(const Round *round, double *rows, const int penalty, double factor,
                            double a, double b)
{
    int width = round->width, height = round->height;
    for (int c = 0; c < round->channels; c++) {
        ptrdiff_t start = (ptrdiff_t)c * height * round->pitch;
        const double *plane = round->smooth + start;
        double *across = rows, *down = rows + round->pitch, *above = down + round->pitch;
        slopes_of_row(round, plane, height - 1, across, above, penalty, factor, a, b);
        for (int i = 0; i < height; i++) {
            slopes_of_row(round, plane, i, across, down, penalty, factor, a, b);
            double *out = round->work + start + (ptrdiff_t)i * round->pitch;
            out[0] = across[width - 1] - across[0] + above[0] - down[0];
            INDEPENDENT
            for (int k = 1; k < width; k++)
                out[k] = across[k - 1] - across[k] + above[k] - down[k];
            double *swap = above;
            above = down;
            down = swap;
        }
    }
}

HOT static void find_welsch_side(const Round *round, double *rows, double factor, double a)
{
    find_right_side(round, rows, WELSCH, factor, a, 0.0);
}

HOT static void find_charbonnier_side(const Round *round, double *rows, double factor, double a,
                                      double b)
{
    find_right_side(round, rows, CHARBONNIER, factor, a, b);
}

/* Take a step. `factor`, `a` and `b` are those of slope_of, the factor times -lambda / 2. */
EXPORT void ils_round(const Round *round, int penalty, double factor, double a, double b)
{
    if (penalty == WELSCH)
        find_welsch_side(round, gradient_rows(round), factor, a);
    else
        find_charbonnier_side(round, gradient_rows(round), factor, a, b);
    add_solution(round);
}
