/* One joint bilateral filtering of an image; bilateral.py states its equation and does the same in
 * NumPy.
 *
 * The planes and those of the guide come padded, in rows of one length. A pair of pixels has one
 * weight for both, so only half of the window's offsets are visited; the run of pairs that an
 * offset makes of a row is short enough for the cache. A pair that leaves its row gives to the
 * padding, which nobody reads.
 */
#include <stdint.h>

#include "kernels.h"

/* What share_pairs reads and adds to: planes of `count` pixels, one after the other. */
typedef struct {
    ptrdiff_t count, run;      /* pixels of a plane, and how many of them make a step */
    int channels, guides;      /* planes of the image and of its guide */
    int offsets;               /* half of the window, without its centre */
    const int32_t *shift;      /* distance of the offset's pixel, in pixels of the flat plane */
    const float *log_spatial;  /* logarithm of the offset's spatial weight */
    const float *value;        /* the image */
    const float *level;        /* the guide over sqrt(2) sigma_range */
    float *total, *weight;     /* sums of weighted values, and of weights (one plane) */
} Pairs;

LAYOUT(Pairs, FIELD(Pairs, count), FIELD(Pairs, run), FIELD(Pairs, channels), FIELD(Pairs, guides),
       FIELD(Pairs, offsets), FIELD(Pairs, shift), FIELD(Pairs, log_spatial), FIELD(Pairs, value),
       FIELD(Pairs, level), FIELD(Pairs, total), FIELD(Pairs, weight));

/* e^x for x <= 0, to two units in the last place; below -60, e^-60, which is as good as 0. */
INLINE float decay(float x)
{
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    union { float value; int32_t bits; } whole, power;
    x = x > -60.0f ? x : -60.0f;
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

/* Weigh the pairs of one run with one offset; near and far sums may overlap, so they go in turn.
 * The first channel goes along with the weights, which saves a pass where there is no other.
 * `guides` is a constant where this is inlined. */
INLINE void share(const Pairs *pairs, ptrdiff_t start, ptrdiff_t length, int offset, int guides,
                  float *weights)
{
    ptrdiff_t far = pairs->shift[offset], count = pairs->count;
    float log_spatial = pairs->log_spatial[offset];
    const float *near_level = pairs->level + start, *far_level = near_level + far;
    const float *near_value = pairs->value + start, *far_value = near_value + far;
    float *near_total = pairs->total + start, *far_total = near_total + far;
    float *near_weight = pairs->weight + start, *far_weight = near_weight + far;
    INDEPENDENT
    for (ptrdiff_t k = 0; k < length; k++) {
        float distance = 0.0f;
        for (int g = 0; g < guides; g++) {
            float difference = near_level[g * count + k] - far_level[g * count + k];
            distance += difference * difference;
        }
        float w = decay(log_spatial - distance);
        weights[k] = w;
        near_weight[k] += w;
        near_total[k] += w * far_value[k];
    }
    INDEPENDENT
    for (ptrdiff_t k = 0; k < length; k++) {
        far_weight[k] += weights[k];
        far_total[k] += weights[k] * near_value[k];
    }
    for (int c = 1; c < pairs->channels; c++) {
        near_value += count, far_value += count;
        near_total += count, far_total += count;
        INDEPENDENT
        for (ptrdiff_t k = 0; k < length; k++)
            near_total[k] += weights[k] * far_value[k];
        INDEPENDENT
        for (ptrdiff_t k = 0; k < length; k++)
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
            if (length <= 0)
                continue;
            if (pairs->guides == 1)
                share(pairs, start, length, offset, 1, weights);
            else if (pairs->guides == 3)
                share(pairs, start, length, offset, 3, weights);
            else
                share(pairs, start, length, offset, pairs->guides, weights);
        }
}
