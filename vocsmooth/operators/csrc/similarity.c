/* SSIM and its derivative by the image, for the training of csgisnet's networks.
 *
 * A plane and all that is computed of it stay in the second cache. For every row of windows there
 * are the means along columns and rows of x, y, x^2 + y^2 and xy; from them come SSIM and its
 * derivatives by three of these means, which the transposed filters give back to the pixels. */
#include <stdint.h>

#include "kernels.h"

typedef struct {
    int height, width, planes, labels; /* plane p is compared with label p % `labels` */
    int row_window, column_window;     /* pixels of a window along a column, and along a row */
    float middle;                      /* taken off all values, which leaves variances more digits */
    float share;                       /* what the derivative is multiplied by */
    const float *row_taps, *column_taps;
    const float *image, *label; /* (planes, height, width) and (labels, height, width) */
    float *gradient;            /* (planes, height, width), or NULL */
    double *sums;               /* of SSIM in each plane */
    float *work;                /* of similarity_floats, zero at first */
} Similarity;

LAYOUT(Similarity, FIELD(Similarity, height), FIELD(Similarity, width), FIELD(Similarity, planes),
       FIELD(Similarity, labels), FIELD(Similarity, row_window), FIELD(Similarity, column_window),
       FIELD(Similarity, middle), FIELD(Similarity, share), FIELD(Similarity, row_taps),
       FIELD(Similarity, column_taps), FIELD(Similarity, image), FIELD(Similarity, label),
       FIELD(Similarity, gradient), FIELD(Similarity, sums), FIELD(Similarity, work));

enum { MAPS = 4, DERIVATIVES = 3 };

INLINE ptrdiff_t rounded_up(int width)
{
    return (ptrdiff_t)(width + LANES - 1) / LANES * LANES;
}

/* Floats of a row, with zeros for windows to reach into on both sides. */
INLINE ptrdiff_t stride_of(int width)
{
    return rounded_up(width) + 2 * LANES;
}

EXPORT size_t similarity_floats(int height, int width)
{
    return (size_t)stride_of(width) * ((MAPS + DERIVATIVES) * (size_t)height + MAPS + DERIVATIVES);
}

/* Write x, y, x^2 + y^2 and xy; columns behind the last stay 0. */
INLINE void spread_plane(const Similarity *s, const float *image, const float *label, float *maps)
{
    const ptrdiff_t stride = stride_of(s->width), map = stride * s->height;
    for (ptrdiff_t i = 0; i < s->height; i++) {
        float *row = maps + i * stride + LANES;
        const float *x = image + i * s->width, *y = label + i * s->width;
        INDEPENDENT
        for (int j = 0; j < s->width; j++) {
            float a = x[j] - s->middle, b = y[j] - s->middle;
            row[j] = a;
            row[map + j] = b;
            row[2 * map + j] = a * a + b * b;
            row[3 * map + j] = a * b;
        }
    }
}

/* Return SSIM in 16 places, and write its derivatives: half of those by the means of x and xy, and
 * minus that by the mean of x^2 + y^2. SSIM is a c / (b d), with a / b of the means. */
INLINE Lanes compare(const Lanes *mean, float middle, Lanes *derivative)
{
    const float c1 = 0.0001f, c2 = 0.0009f;
    Lanes x = mean[0], y = mean[1], mixed = x * y, pure = x * x + y * y;
    Lanes c = (mean[3] - mixed) * 2.0f + c2, d = mean[2] - pure + c2;
    Lanes more = (x + y) * (2.0f * middle) + (2.0f * middle * middle + c1);
    Lanes a = mixed * 2.0f + more, b = pure + more;
    Lanes inverse = 1.0f / (b * d), at_c = a * inverse, value = at_c * c, scaled = value * inverse;
    derivative[0] = ((c - a) * y + c * middle) * inverse + ((b - d) * x - d * middle) * scaled;
    derivative[1] = scaled * b;
    derivative[2] = at_c;
    return value;
}

/* Compare one plane; return the sum of SSIM, and leave the derivatives of the means in `back`. */
INLINE double compare_plane(const Similarity *s, const float *maps, float *back, float *rows)
{
    const ptrdiff_t stride = stride_of(s->width), map = stride * s->height;
    const int tall = s->height - s->row_window + 1, wide = s->width - s->column_window + 1;
    float *derivatives = rows + MAPS * stride;
    Lanes sum = {0};
    for (ptrdiff_t i = 0; i < tall; i++) {
        for (int k = 0; k < MAPS; k++)
            for (ptrdiff_t j = LANES; j < LANES + s->width; j += LANES) {
                const float *from = maps + k * map + i * stride + j;
                Lanes total = {0};
                for (int t = 0; t < s->row_window; t++)
                    total += s->row_taps[t] * load(from + t * stride);
                store(rows + k * stride + j, total);
            }
        for (ptrdiff_t j = LANES; j < LANES + wide; j += LANES) {
            Lanes mean[MAPS], derivative[DERIVATIVES];
            for (int k = 0; k < MAPS; k++) {
                const float *from = rows + k * stride + j;
                mean[k] = (Lanes){0};
                for (int t = 0; t < s->column_window; t++)
                    mean[k] += s->column_taps[t] * load(from + t);
            }
            Lanes value = compare(mean, s->middle, derivative);
            const ptrdiff_t left = LANES + wide - j;
            for (ptrdiff_t lane = left; lane < LANES; lane++) {
                value[lane] = 0.0f;
                for (int k = 0; k < DERIVATIVES; k++)
                    derivative[k][lane] = 0.0f;
            }
            sum += value;
            for (int k = 0; k < DERIVATIVES; k++)
                store(derivatives + k * stride + j, derivative[k]);
        }
        for (int k = 0; k < DERIVATIVES && s->gradient; k++)
            for (ptrdiff_t j = LANES; j < LANES + s->width; j += LANES) {
                const float *from = derivatives + k * stride + j;
                Lanes total = {0};
                for (int t = 0; t < s->column_window; t++)
                    total += s->column_taps[t] * load(from - t);
                store(back + k * map + i * stride + j, total);
            }
    }
    double total = 0.0;
    for (int lane = 0; lane < LANES; lane++)
        total += sum[lane];
    return total;
}

/* Give the derivatives of the means back to the pixels of a plane. */
INLINE void return_plane(const Similarity *s, const float *maps, const float *back, float *gradient)
{
    const ptrdiff_t stride = stride_of(s->width), map = stride * s->height;
    const int tall = s->height - s->row_window + 1;
    for (ptrdiff_t i = 0; i < s->height; i++) {
        ptrdiff_t first = i - s->row_window + 1 > 0 ? i - s->row_window + 1 : 0;
        ptrdiff_t last = i < tall ? i : tall - 1;
        for (ptrdiff_t j = LANES; j < LANES + s->width; j += LANES) {
            Lanes total[DERIVATIVES] = {{0}};
            for (ptrdiff_t row = first; row <= last; row++)
                for (int k = 0; k < DERIVATIVES; k++)
                    total[k] += s->row_taps[i - row] * load(back + k * map + row * stride + j);
            Lanes x = load(maps + i * stride + j), y = load(maps + map + i * stride + j);
            Lanes at_x = (total[0] - x * total[1] + y * total[2]) * s->share;
            float *to = gradient + i * s->width + j - LANES;
            const ptrdiff_t left = LANES + s->width - j;
            if (left >= LANES)
                store(to, at_x);
            else
                memcpy(to, &at_x, (size_t)left * sizeof(float));
        }
    }
}

/* Compare all planes with their labels. */
EXPORT HOT void compare_planes(const Similarity *s)
{
    const ptrdiff_t pixels = (ptrdiff_t)s->height * s->width;
    const ptrdiff_t map = stride_of(s->width) * s->height;
    float *maps = s->work, *back = maps + MAPS * map, *rows = back + DERIVATIVES * map;
    for (ptrdiff_t p = 0; p < s->planes; p++) {
        const float *image = s->image + p * pixels, *label = s->label + p % s->labels * pixels;
        spread_plane(s, image, label, maps);
        s->sums[p] = compare_plane(s, maps, back, rows);
        if (s->gradient)
            return_plane(s, maps, back, s->gradient + p * pixels);
    }
}
