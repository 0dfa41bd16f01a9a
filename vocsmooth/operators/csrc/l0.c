/* One round of L0 gradient minimisation on an image with periodic borders; l0.py describes
 * the method.
 *
 * Where the gradients smaller than a threshold are discarded, and S is the image so far, the fit
 * (1 + beta L) S' = I + beta D'(kept gradients) is the same as
 * (1 + beta L) (S' - S) = I - S - beta D'(discarded gradients).
 */
#include "periodic.h"

/* Fill the blocks with the gradients from row i of a strip on, zero where they are kept. */
INLINE void find_discarded(const Round *round, Block *blocks, int strip, int i, int rows)
{
    double threshold = round->threshold;
    for (int c = 0; c < round->channels; c++)
        find_gradients(round, blocks + c, c, strip, i, rows);
    for (int r = 0; r < rows; r++) {
        double square[STRIP] = {0};
        for (int c = 0; c < round->channels; c++) {
            const double *a = blocks[c].across[r] + FIRST, *d = blocks[c].down[r + 1];
            LANE_BY_LANE
            for (int k = 0; k < STRIP; k++)
                square[k] += a[k] * a[k] + d[k] * d[k];
        }
        for (int c = 0; c < round->channels; c++) {
            double *a = blocks[c].across[r] + FIRST, *d = blocks[c].down[r + 1];
            LANE_BY_LANE
            for (int k = 0; k < STRIP; k++) {
                a[k] = square[k] < threshold ? a[k] : 0.0;
                d[k] = square[k] < threshold ? d[k] : 0.0;
            }
        }
    }
}

/* Find what the first strip has to its left: the last column. */
HOT static void find_edges(const Round *round)
{
    Block *blocks = blocks_of(round);
    int strip = round->strips - 1;
    for (int i = 0; i < round->height; i += BLOCK) {
        int rows = rows_of_block(round, i);
        find_discarded(round, blocks, strip, i, rows);
        for (int c = 0; c < round->channels; c++)
            pass_edges(round, blocks + c, c, strip, i, rows);
    }
}

/* work = I - S - beta D'(discarded gradients) in a strip. */
HOT static void find_right_side(const Round *round, int strip)
{
    Block *blocks = blocks_of(round);
    double beta = round->beta;
    find_discarded(round, blocks, strip, round->height - 1, 1);
    for (int c = 0; c < round->channels; c++)
        memcpy(blocks[c].down[0], blocks[c].down[1], sizeof blocks[c].down[0]);
    for (int i = 0; i < round->height; i += BLOCK) {
        int rows = rows_of_block(round, i);
        find_discarded(round, blocks, strip, i, rows);
        for (int c = 0; c < round->channels; c++) {
            Block *block = blocks + c;
            ptrdiff_t at = place_of(round, c, strip, i);
            pass_edges(round, block, c, strip, i, rows);
            for (int r = 0; r < rows; r++, at += STRIP) {
                const double *image = round->image + at, *s = round->smooth + at;
                double *out = round->work + at;
                LANE_BY_LANE
                for (int k = 0; k < STRIP; k++)
                    out[k] = image[k] - s[k] - beta * adjoint(block, r, k);
                clear_beyond(round, out, strip);
            }
            memcpy(block->down[0], block->down[rows], sizeof block->down[0]);
        }
    }
}

/* Discard gradients and fit the image to the others. */
EXPORT void l0_round(const Round *round)
{
    find_edges(round);
    for (int strip = 0; strip < round->strips; strip++) {
        find_right_side(round, strip);
        analyse_strip(round, strip);
    }
    add_solution(round);
}
