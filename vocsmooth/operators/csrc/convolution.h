/* Convolutions of the networks of csgisnet: what they read and write, and the threads they run in. */
#ifndef VOCSMOOTH_CONVOLUTION_H
#define VOCSMOOTH_CONVOLUTION_H

#include "kernels.h"

/* Features are of bfloat16 on the matrix unit, of float32 with Winograd's method. */
typedef struct {
    int height, width;            /* of the image that is read */
    int channels, dilation;       /* of the features under the window (Winograd) */
    int blocks, groups;           /* of channels under the window (AMX), of rows; of outputs */
    int relu;                     /* whether negative results become 0 */
    int kept;                     /* outputs of a group that `image` has; 0 for results in features */
    ptrdiff_t in_row, in_pixel;   /* distances of rows and pixels, in elements */
    ptrdiff_t out_row, out_pixel; /* of the results */
    ptrdiff_t add_row, add_pixel; /* of `added` */
    ptrdiff_t image_row, image_pixel;
    const void *in;          /* features, at the first pixel of the image */
    const void *weights;     /* as the method has them */
    const float *bias;       /* (groups, outputs of a group) */
    const int *offsets;      /* (blocks,), of a block's first element from a pixel (AMX) */
    const int *places;       /* (groups,), of a group's first result from a pixel of `out` */
    const int *image_places; /* (groups,), likewise of `image` */
    const void *added;       /* features, added after the ReLU, or NULL */
    const float *base;       /* added to `image`, of whose layout it is, or NULL */
    void *out;               /* features; of an image, a copy, or NULL */
    float *image;            /* float32, where `kept` is not 0 */
    int *failed;             /* becomes 1 where memory was short (Winograd) */
} Convolution;

/* Computes rows first..last, of whatever kind, of a convolution. */
typedef void (*ComputeRows)(const Convolution *c, int first, int last);

/* Compute all rows, in up to so many threads, each of which takes `fewest` or more. */
void share_rows(ComputeRows compute, const Convolution *c, int rows, int fewest, int threads);

#endif
