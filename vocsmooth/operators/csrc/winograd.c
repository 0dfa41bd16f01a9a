/* 3 x 3 convolutions in float32 by Winograd's method, for the networks of csgisnet, on processors
 * with AVX2.
 *
 * A tile of 4 x 4 results depends on 6 x 6 values. Both are polynomials' products: a transform of
 * the values, for each of its 36 results a product of matrices (tiles x channels by channels x
 * outputs), and a transform back. So 36 products make 16 results, which otherwise take 144 (A.
 * Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016, F(4x4, 3x3)). With
 * dilation d a tile has every d-th row and column. What is outside the image counts as zeros.
 *
 * A result depends on its tile alone: neither on the number of threads nor on which tiles are
 * computed together. */
#include "convolution.h"

#if defined(__x86_64__) && !defined(_WIN32)

#include <cpuid.h>

#include "winograd.h"

enum { PANEL = 2 * GROUP };
enum { TILES = 12, FEWEST = 4 }; /* tiles computed together; rows of tiles worth a thread */

typedef struct {
    float *values;  /* (PRODUCTS, TILES, channels) */
    float *sums;    /* (PRODUCTS, TILES, groups * GROUP) */
    float *outside; /* (channels,), zeros */
} Work;

EXPORT int winograd_allowed(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Return whether the processor is of AMD's family 25, Zen 3 or Zen 4. */
static int is_amd_25(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || !__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    return (a >> 8 & 15) + (a >> 20 & 255) == 25;
}

EXPORT int winograd_pays(void)
{
    /* Zen 4 has AVX-512, and multiplies 512 bits in twice the time of 256. */
    return winograd_allowed() && (!__builtin_cpu_supports("avx512f") || is_amd_25());
}

/* Transform six sums back to four results. */
PART void transform_back(const __m256 m[IN], __m256 r[OUT])
{
    __m256 one = _mm256_add_ps(m[1], m[2]), minus = _mm256_sub_ps(m[1], m[2]);
    __m256 two = _mm256_add_ps(m[3], m[4]), less = _mm256_sub_ps(m[3], m[4]);
    r[0] = _mm256_add_ps(m[0], _mm256_add_ps(one, two));
    r[1] = fused(2.0f, less, minus);
    r[2] = fused(4.0f, two, one);
    r[3] = _mm256_add_ps(m[5], fused(8.0f, less, minus));
}

/* Multiply `rows` tiles by `vectors` groups of outputs. */
PART void multiply(const float *values, int channels, const float *weights, float *sums,
                   ptrdiff_t stride, int rows, int vectors)
{
    __m256 sum[12];
    for (int i = 0; i < rows * vectors; i++)
        sum[i] = _mm256_setzero_ps();
    for (int k = 0; k < channels; k++) {
        __m256 factor[2];
        for (int v = 0; v < vectors; v++)
            factor[v] = _mm256_load_ps(weights + (k * vectors + v) * GROUP);
        for (int i = 0; i < rows; i++) {
            __m256 value = _mm256_broadcast_ss(values + i * channels + k);
            for (int v = 0; v < vectors; v++)
                sum[i * vectors + v] = _mm256_fmadd_ps(value, factor[v], sum[i * vectors + v]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            _mm256_store_ps(sums + i * stride + v * GROUP, sum[i * vectors + v]);
}

/* Multiply all tiles, whose values have been transformed, by all weights. */
WHOLE void multiply_tiles(const Convolution *c, int count, const Work *w)
{
    const ptrdiff_t outputs = (ptrdiff_t)c->groups * GROUP;
    const float *weights = c->weights;
    for (int product = 0; product < PRODUCTS; product++) {
        const float *values = w->values + (ptrdiff_t)product * TILES * c->channels;
        float *sums = w->sums + product * TILES * outputs;
        int group = 0;
        for (; group + 2 <= c->groups; group += 2, weights += c->channels * PANEL)
            for (int i = 0; i < count; i += 6)
                multiply(values + i * c->channels, c->channels, weights,
                         sums + i * outputs + group * GROUP, outputs, 6, 2);
        if (group < c->groups) {
            for (int i = 0; i < count; i += 12)
                multiply(values + i * c->channels, c->channels, weights,
                         sums + i * outputs + group * GROUP, outputs, 12, 1);
            weights += c->channels * GROUP;
        }
    }
}

/* What does not change within a call, so that each variant has no branches for it. */
typedef struct { int relu, added, image; } Variant;

/* Write one pixel's results of a group. */
PART void write_pixel(const Convolution *c, Variant v, __m256 sum, int group, ptrdiff_t y,
                      ptrdiff_t x, __m256i kept)
{
    if (v.relu)
        sum = _mm256_max_ps(_mm256_setzero_ps(), sum); /* in this order NaN stays NaN */
    if (v.added) {
        const float *added = (const float *)c->added + y * c->add_row + x * c->add_pixel;
        sum = _mm256_add_ps(sum, _mm256_loadu_ps(added + GROUP * group));
    }
    float *out = (float *)c->out + y * c->out_row + x * c->out_pixel;
    if (!v.image) {
        _mm256_storeu_ps(out + c->places[group], sum);
        return;
    }
    ptrdiff_t there = y * c->image_row + x * c->image_pixel + c->image_places[group];
    if (c->base)
        sum = _mm256_add_ps(sum, _mm256_maskload_ps(c->base + there, kept));
    _mm256_maskstore_ps(c->image + there, kept, sum);
    if (c->out)
        _mm256_maskstore_ps(out + c->places[group], kept, sum);
}

/* Transform a tile's sums back, and write those of its results that are in the image. */
PART void write_tile(const Convolution *c, Variant v, Tile at, int tile, const Work *w)
{
    const ptrdiff_t outputs = (ptrdiff_t)c->groups * GROUP, step = TILES * outputs;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(c->kept), lanes);
    const int rows = (c->height - at.y + c->dilation - 1) / c->dilation;
    const int columns = (c->width - at.x + c->dilation - 1) / c->dilation;
    for (int group = 0; group < c->groups; group++) {
        const float *from = w->sums + tile * outputs + group * GROUP;
        const __m256 bias = _mm256_loadu_ps(c->bias + GROUP * group);
        __m256 half[OUT][IN];
        for (int j = 0; j < IN; j++) {
            __m256 column[IN], done[OUT];
            for (int i = 0; i < IN; i++)
                column[i] = _mm256_load_ps(from + (i * IN + j) * step);
            transform_back(column, done);
            for (int i = 0; i < OUT; i++)
                half[i][j] = done[i];
        }
        for (int i = 0; i < OUT && i < rows; i++) {
            __m256 done[OUT];
            transform_back(half[i], done);
            for (int j = 0; j < OUT; j++)
                if (j < columns)
                    write_pixel(c, v, _mm256_add_ps(done[j], bias), group,
                                at.y + i * c->dilation, at.x + j * c->dilation, kept);
        }
    }
}

/* Compute tiles that have been collected. */
PART void compute_variant(const Convolution *call, Variant v, const Tile *tiles, int count,
                          const Work *work)
{
    const Convolution c = *call; /* that no store can change */
    const Work w = *work;
    const ptrdiff_t step = (ptrdiff_t)TILES * c.channels;
    for (int i = 0; i < count; i++)
        read_tile(&c, tiles[i], w.outside, w.values + (ptrdiff_t)i * c.channels, step);
    multiply_tiles(call, count, work);
    for (int i = 0; i < count; i++)
        write_tile(&c, v, tiles[i], i, &w);
}

WHOLE void compute_tiles(const Convolution *c, const Tile *tiles, int count, const void *work)
{
    const Work *w = work;
    if (c->kept)
        compute_variant(c, (Variant){0, 0, 1}, tiles, count, w);
    else if (c->added)
        compute_variant(c, (Variant){1, 1, 0}, tiles, count, w);
    else if (c->relu)
        compute_variant(c, (Variant){1, 0, 0}, tiles, count, w);
    else
        compute_variant(c, (Variant){0, 0, 0}, tiles, count, w);
}

static void compute_rows(const Convolution *c, int first, int last)
{
    const size_t outputs = (size_t)c->groups * GROUP, channels = (size_t)c->channels;
    const size_t values = PRODUCTS * TILES * channels, sums = PRODUCTS * TILES * outputs;
    float *memory = take_memory(c, values + sums + channels);
    if (memory == NULL)
        return;
    const Work work = {memory, memory + values, memory + values + sums};
    walk_tiles(c, first, last, TILES, compute_tiles, &work);
    free(memory);
}

/* Compute a convolution, in up to so many threads. */
EXPORT void convolve_winograd(const Convolution *c, int threads)
{
    share_rows(compute_rows, c, tiles_of(c->height, c->dilation), FEWEST, threads);
}

#else

EXPORT int winograd_allowed(void)
{
    return 0;
}

EXPORT int winograd_pays(void)
{
    return 0;
}

EXPORT void convolve_winograd(const Convolution *c, int threads)
{
    (void)c, (void)threads;
}

#endif
