/* Systems (1 + beta L) X = B on images with periodic borders, L being the sum of the squared
 * differences to the right and down; and their images, as L0 minimisation and ILS share them. */
#ifndef VOCSMOOTH_PERIODIC_H
#define VOCSMOOTH_PERIODIC_H

#include "fft.h"

/* One round of an operator. Planes are (channels, height, pitch), on a vector's boundary; the pitch
 * is a multiple of STRIP, and what lies beyond the width is zero. */
typedef struct {
    int height, width, channels, pitch;
    double beta, threshold; /* L0 discards gradients whose summed square is smaller */
    const double *image;    /* I, for L0 */
    double *smooth;         /* S in, S' out */
    double *work;           /* the right side, its spectrum, the solution's */
    double *tables;         /* periodic_doubles; filled by periodic_plan, kept between rounds */
} Round;

/* Room for a row of gradients of each channel in both directions, for those of the row above, and
 * for one row more. */
double *gradient_rows(const Round *round);

/* Add to `smooth` the solution for the right side in `work`. That is found in whole rows before, not
 * in bands of columns that would stay in a second-level cache until they are transformed: bands of
 * 64 and 160 columns took 14 and 12 % longer (Zen 5, 640 x 480), for the sake of short rows. */
void add_solution(const Round *round);

#endif
