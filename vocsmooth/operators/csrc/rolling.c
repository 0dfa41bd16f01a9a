/* One joint bilateral filtering of a plane; rolling.py states its equation and does the same in
 * NumPy.
 *
 * The plane and its guide come padded, in rows of one length. A pair of pixels has one weight for
 * both, so only half of the disc's offsets are visited; the run of pairs that an offset makes of a
 * row is short enough for the cache. A pair that leaves its row gives to the padding, which nobody
 * reads.
 */
#include <stdint.h>

#include "kernels.h"

/* What share_pairs reads and adds to: arrays of `count` pixels. */
typedef struct {
    ptrdiff_t count, run;      /* pixels, and how many of them make a step */
    int offsets;               /* half of the disc, without its centre */
    const int32_t *shift;      /* distance of the offset's pixel, in pixels of the flat image */
    const float *log_spatial;  /* logarithm of the offset's spatial weight */
    const float *value;        /* the plane */
    const float *level;        /* the guide over sqrt(2) sigma_range */
    float *total, *weight;     /* sums of weighted values, and of weights */
} Pairs;

LAYOUT(Pairs, FIELD(Pairs, count), FIELD(Pairs, run), FIELD(Pairs, offsets), FIELD(Pairs, shift),
       FIELD(Pairs, log_spatial), FIELD(Pairs, value), FIELD(Pairs, level), FIELD(Pairs, total),
       FIELD(Pairs, weight));

/* e^x for x <= 0, to two units in the last place; below -87, e^-87, which is as good as 0. */
INLINE float decay(float x)
{
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    union { float value; int32_t bits; } whole, power;
    x = x > -87.0f ? x : -87.0f;
    whole.value = x * 1.44269504f + shifter;
    float n = whole.value - shifter;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* x - n log 2 */
    float e = 1.9875691500e-4f;
    e = e * r + 1.3981999507e-3f;
    e = e * r + 8.3334519073e-3f;
    e = e * r + 4.1665795894e-2f;
    e = e * r + 1.6666665459e-1f;
    e = e * r + 5.0000001201e-1f;
    e = e * r * r + r + 1.0f;
    power.bits = (whole.bits - 0x4b400000 + 127) << 23; /* 2^n */
    return e * power.value;
}

/* Weigh the pairs of one run with one offset; near and far sums may overlap, so they go in turn. */
INLINE void share(const Pairs *pairs, ptrdiff_t start, ptrdiff_t length, int offset, float *weights)
{
    ptrdiff_t far = start + pairs->shift[offset];
    float log_spatial = pairs->log_spatial[offset];
    const float *near_level = pairs->level + start, *far_level = pairs->level + far;
    const float *near_value = pairs->value + start, *far_value = pairs->value + far;
    float *near_total = pairs->total + start, *far_total = pairs->total + far;
    float *near_weight = pairs->weight + start, *far_weight = pairs->weight + far;
    INDEPENDENT
    for (ptrdiff_t k = 0; k < length; k++) {
        float difference = near_level[k] - far_level[k];
        float w = decay(log_spatial - difference * difference);
        weights[k] = w;
        near_weight[k] += w;
        near_total[k] += w * far_value[k];
    }
    INDEPENDENT
    for (ptrdiff_t k = 0; k < length; k++) {
        far_weight[k] += weights[k];
        far_total[k] += weights[k] * near_value[k];
    }
}

/* Add each pixel's share to the sums of its pair, for all pairs; `weights` has room for a run. */
HOT EXPORT void share_pairs(const Pairs *pairs, float *weights)
{
    for (ptrdiff_t start = 0; start < pairs->count; start += pairs->run)
        for (int offset = 0; offset < pairs->offsets; offset++) {
            ptrdiff_t left = pairs->count - pairs->shift[offset] - start;
            ptrdiff_t length = left < pairs->run ? left : pairs->run;
            if (length > 0)
                share(pairs, start, length, offset, weights);
        }
}
