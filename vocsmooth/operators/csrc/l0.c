/* One round of L0 gradient minimisation on an image with periodic borders; l0.py describes
 * the method.
 *
 * Where the gradients smaller than a threshold are discarded, and S is the image so far, the fit
 * (1 + beta L) S' = I + beta D'(kept gradients) is the same as
 * (1 + beta L) (S' - S) = I - S - beta D'(discarded gradients).
 */
#include "periodic.h"

/* Gradients of row i, zero where they are kept: `across` to the right, `down` to the next row. */
INLINE void discarded_row(const Round *round, int i, double *across, double *down, double *square)
{
    int width = round->width, height = round->height, pitch = round->pitch;
    memset(square, 0, (size_t)width * sizeof(double));
    for (int c = 0; c < round->channels; c++) {
        const double *s = round->smooth + ((ptrdiff_t)c * height + i) * pitch;
        const double *below = i + 1 < height ? s + pitch : s - (ptrdiff_t)i * pitch;
        double *a = across + (ptrdiff_t)c * pitch, *d = down + (ptrdiff_t)c * pitch;
        INDEPENDENT
        for (int k = 0; k < width - 1; k++)
            a[k] = s[k + 1] - s[k];
        a[width - 1] = s[0] - s[width - 1];
        INDEPENDENT
        for (int k = 0; k < width; k++) {
            d[k] = below[k] - s[k];
            square[k] += a[k] * a[k] + d[k] * d[k];
        }
    }
    for (int c = 0; c < round->channels; c++) {
        double *a = across + (ptrdiff_t)c * pitch, *d = down + (ptrdiff_t)c * pitch;
        INDEPENDENT
        for (int k = 0; k < width; k++) {
            a[k] = square[k] < round->threshold ? a[k] : 0.0;
            d[k] = square[k] < round->threshold ? d[k] : 0.0;
        }
    }
}

/* work = I - S - beta D'(discarded gradients); `rows` holds a row of gradients for each channel. */
HOT static void find_right_side(const Round *round, double *rows)
{
    int width = round->width, height = round->height, pitch = round->pitch;
    ptrdiff_t all = (ptrdiff_t)round->channels * pitch;
    double *square = rows, *across = rows + pitch, *down = across + all, *above = down + all;
    double beta = round->beta;
    discarded_row(round, height - 1, across, above, square);
    for (int i = 0; i < height; i++) {
        discarded_row(round, i, across, down, square);
        for (int c = 0; c < round->channels; c++) {
            ptrdiff_t at = ((ptrdiff_t)c * height + i) * pitch;
            const double *image = round->image + at, *s = round->smooth + at;
            const double *a = across + (ptrdiff_t)c * pitch, *d = down + (ptrdiff_t)c * pitch;
            const double *u = above + (ptrdiff_t)c * pitch;
            double *out = round->work + at;
            out[0] = image[0] - s[0] - beta * (a[width - 1] - a[0] + u[0] - d[0]);
            INDEPENDENT
            for (int k = 1; k < width; k++)
                out[k] = image[k] - s[k] - beta * (a[k - 1] - a[k] + u[k] - d[k]);
        }
        double *swap = above;
        above = down;
        down = swap;
    }
}

/* Discard gradients and fit the image to the others. */
EXPORT void l0_round(const Round *round)
{
    find_right_side(round, gradient_rows(round));
    add_solution(round);
}
