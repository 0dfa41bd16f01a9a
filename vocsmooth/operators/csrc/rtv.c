/* The weights of relative total variation: rtv_weights of rtv.py, a row at a time. */
#include "kernels.h"

enum { BLOCK = 64 };

/* What rtv_weights reads and writes; arrays are C-contiguous. */
typedef struct {
    int height, width, channels;
    int radius;          /* of the Gaussian */
    float lam, sharpness, windowed_floor;
    const float *kernel; /* (radius + 1), its centre and right half */
    const double *image; /* (channels, height, width) */
    float *blurred;      /* (channels, height + 2 radius, width), along rows; zeros around */
    float *rows;         /* scratch */
    float *east, *south; /* (height, width), out */
} Weights;

LAYOUT(Weights, FIELD(Weights, height), FIELD(Weights, width), FIELD(Weights, channels),
       FIELD(Weights, radius), FIELD(Weights, lam), FIELD(Weights, sharpness),
       FIELD(Weights, windowed_floor), FIELD(Weights, kernel), FIELD(Weights, image),
       FIELD(Weights, blurred), FIELD(Weights, rows), FIELD(Weights, east), FIELD(Weights, south));

/* Floats of the scratch `rows`: two blurred rows a channel, one padded row, three sums. */
EXPORT size_t rtv_scratch_floats(int width, int channels, int radius)
{
    return (size_t)(2 * channels + 4) * (width + 2 * radius + BLOCK);
}

/* out[k] = sum of kernel[|d|] in[k + d * step], for BLOCK neighbouring k at a time. */
INLINE void convolve(float *restrict out, const float *in, ptrdiff_t step, const float *kernel,
                     int radius, int length)
{
    int k = 0;
    for (; k + BLOCK <= length; k += BLOCK) {
        Lanes sum[BLOCK / LANES];
        for (int l = 0; l < BLOCK / LANES; l++)
            sum[l] = kernel[0] * load(in + k + l * LANES);
        for (int d = 1; d <= radius; d++)
            for (int l = 0; l < BLOCK / LANES; l++) {
                const float *at = in + k + l * LANES;
                sum[l] += kernel[d] * (load(at - d * step) + load(at + d * step));
            }
        for (int l = 0; l < BLOCK / LANES; l++)
            store(out + k + l * LANES, sum[l]);
    }
    for (; k < length; k++) {
        float sum = kernel[0] * in[k];
        for (int d = 1; d <= radius; d++)
            sum += kernel[d] * (in[k - d * step] + in[k + d * step]);
        out[k] = sum;
    }
}

/* Blur each row of the image; the rows above and below it stay zero. */
HOT static void blur_rows(const Weights *w)
{
    float *padded = w->rows;
    memset(padded, 0, (size_t)(w->width + 2 * w->radius) * sizeof(float));
    for (int c = 0; c < w->channels; c++)
        for (int i = 0; i < w->height; i++) {
            const double *row = w->image + ((ptrdiff_t)c * w->height + i) * w->width;
            ptrdiff_t to = (ptrdiff_t)c * (w->height + 2 * w->radius) + w->radius + i;
            for (int k = 0; k < w->width; k++)
                padded[w->radius + k] = (float)row[k];
            convolve(w->blurred + to * w->width, padded + w->radius, 1, w->kernel, w->radius,
                     w->width);
        }
}

/* Blur down the columns for row i of channel c. */
INLINE void blur_down(const Weights *w, float *out, int c, int i)
{
    ptrdiff_t from = (ptrdiff_t)c * (w->height + 2 * w->radius) + w->radius + i;
    convolve(out, w->blurred + from * w->width, w->width, w->kernel, w->radius, w->width);
}

/* Sums over the channels of the gradient's length and of the windowed variations, for row i. */
INLINE void add_variations(const Weights *w, int c, int i, const float *here, const float *below,
                           float *gradient, float *across, float *down)
{
    const double *x = w->image + ((ptrdiff_t)c * w->height + i) * w->width;
    const double *y = i + 1 < w->height ? x + w->width : x;
    int last = w->width - 1;
    INDEPENDENT
    for (int k = 0; k < last; k++) {
        float a = (float)(x[k + 1] - x[k]), b = (float)(y[k] - x[k]);
        gradient[k] += sqrtf(a * a + b * b);
        across[k] += fabsf(here[k + 1] - here[k]);
        down[k] += fabsf(below[k] - here[k]);
    }
    gradient[last] += fabsf((float)(y[last] - x[last]));
    down[last] += fabsf(below[last] - here[last]);
}

/* Fill the couplings of each pixel to its right and its lower neighbour. */
HOT static void couple(const Weights *w)
{
    ptrdiff_t length = w->width + 2 * w->radius + BLOCK;
    float *gradient = w->rows, *across = gradient + length, *down = across + length;
    float *here = down + length, *below = here + w->channels * length;
    float mean = 1.0f / (float)w->channels;
    for (int c = 0; c < w->channels; c++)
        blur_down(w, here + c * length, c, 0);
    for (int i = 0; i < w->height; i++) {
        memset(gradient, 0, 3 * (size_t)length * sizeof(float));
        for (int c = 0; c < w->channels; c++) {
            if (i + 1 < w->height)
                blur_down(w, below + c * length, c, i + 1);
            add_variations(w, c, i, here + c * length, below + c * length, gradient, across, down);
        }
        float *east = w->east + (ptrdiff_t)i * w->width;
        float *south = w->south + (ptrdiff_t)i * w->width;
        INDEPENDENT
        for (int k = 0; k < w->width; k++) {
            float length_k = gradient[k] * mean, a = across[k] * mean, d = down[k] * mean;
            float weight = w->lam / (length_k > w->sharpness ? length_k : w->sharpness);
            east[k] = weight / (a > w->windowed_floor ? a : w->windowed_floor);
            south[k] = weight / (d > w->windowed_floor ? d : w->windowed_floor);
        }
        east[w->width - 1] = 0.0f;
        if (i + 1 == w->height)
            memset(south, 0, (size_t)w->width * sizeof(float));
        float *swap = here;
        here = below;
        below = swap;
    }
}

EXPORT void rtv_weights(const Weights *weights)
{
    blur_rows(weights);
    couple(weights);
}
