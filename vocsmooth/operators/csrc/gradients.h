/* Flexible conjugate gradients, preconditioned by a multigrid cycle, and their memory. */
#ifndef VOCSMOOTH_GRADIENTS_H
#define VOCSMOOTH_GRADIENTS_H

#include "grid.h"

/* Flexible conjugate gradients on A d = rhs, rhs being the first grid's; sums are per channel. */
typedef struct {
    Hierarchy grids;
    float *direction, *image, *correction; /* fields: p, A p and d */
    double *energy, *slope;                /* p . A p and p . rhs */
    double *overlap, *keep;                /* z . A p of the last p, and how much of it to keep */
    float *length;                         /* the last step, which d has still to take */
} Gradients;

/* Cut the memory, zero at first, into the grids and fields for images of a size (memory.c). Return
 * the floats that it takes; without memory (NULL), only count them. */
size_t lay_out(Gradients *cg, float *memory, int height, int width, int channels);

/* Reduce the residual until no pixel exceeds `enough`; return the cycles used, -1 if it is lost. Of
 * the correction the last step is left to take, d + length p; after one cycle d is nothing yet. */
int correct(const Gradients *cg, float enough, int cycles);

#endif
