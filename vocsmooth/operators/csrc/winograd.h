/* Tiles of Winograd's method, F(4x4, 3x3), and the transform of the values under them: see
 * winograd.c. */
#ifndef VOCSMOOTH_WINOGRAD_H
#define VOCSMOOTH_WINOGRAD_H

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>

#include "convolution.h"

#define WITH_AVX2 __attribute__((target("avx2,fma")))
#define PART static inline __attribute__((always_inline)) WITH_AVX2
#define WHOLE static __attribute__((noinline)) WITH_AVX2

enum { OUT = 4, IN = 6, PRODUCTS = IN * IN, GROUP = 8, LINE = 16 };

typedef struct { int y, x; } Tile; /* of its first result */

PART __m256 fused(float a, __m256 b, __m256 c)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c);
}

/* Transform six values. */
PART void transform(const __m256 d[IN], __m256 t[IN])
{
    __m256 even = fused(-4.0f, d[2], d[4]), odd = fused(-4.0f, d[1], d[3]);
    __m256 apart = _mm256_sub_ps(d[4], d[2]), slope = _mm256_sub_ps(d[3], d[1]);
    t[0] = fused(4.0f, d[0], fused(-5.0f, d[2], d[4]));
    t[1] = _mm256_add_ps(even, odd);
    t[2] = _mm256_sub_ps(even, odd);
    t[3] = fused(2.0f, slope, apart);
    t[4] = fused(-2.0f, slope, apart);
    t[5] = fused(4.0f, d[1], fused(-5.0f, d[3], d[5]));
}

/* Transform the values under a tile, and write each of the 36 results, of all channels, `step` floats
 * behind the one before. */
PART void read_tile(const Convolution *c, Tile at, const float *outside, float *to, ptrdiff_t step)
{
    const float *pixels[IN][IN];
    for (int i = 0; i < IN; i++) {
        int y = at.y + (i - 1) * c->dilation;
        const float *row = (const float *)c->in + y * c->in_row;
        for (int j = 0; j < IN; j++) {
            int x = at.x + (j - 1) * c->dilation;
            int inside = y >= 0 && y < c->height && x >= 0 && x < c->width;
            pixels[i][j] = inside ? row + x * c->in_pixel : outside;
        }
    }
    const ptrdiff_t ahead = OUT * c->dilation * c->in_pixel;
    for (int channel = 0; channel < c->channels; channel += GROUP) {
        __m256 half[IN][IN];
        for (int j = 0; j < IN; j++) {
            __m256 column[IN], done[IN];
            for (int i = 0; i < IN; i++)
                column[i] = _mm256_loadu_ps(pixels[i][j] + channel);
            if (j >= IN - OUT && channel % LINE == 0) /* those of the next tile */
                for (int i = 0; i < IN; i++)
                    __builtin_prefetch(pixels[i][j] + channel + ahead);
            transform(column, done);
            for (int i = 0; i < IN; i++)
                half[i][j] = done[i];
        }
        for (int i = 0; i < IN; i++) {
            __m256 done[IN];
            transform(half[i], done);
            for (int j = 0; j < IN; j++)
                _mm256_store_ps(to + (i * IN + j) * step + channel, done[j]);
        }
    }
}

/* Return the first row, or column, of the results of a row, or column, of tiles. */
static inline int begin_of(int index, int dilation)
{
    return index / dilation * OUT * dilation + index % dilation;
}

static inline int tiles_of(int length, int dilation)
{
    int span = OUT * dilation;
    return (length + span - 1) / span * dilation;
}

enum { MOST_TILES = 48 };

typedef void (*ComputeTiles)(const Convolution *c, const Tile *tiles, int count, const void *work);

/* Hand the tiles of rows first..last to a function, so many at a time, up to MOST_TILES. */
static inline void walk_tiles(const Convolution *c, int first, int last, int together,
                              ComputeTiles compute, const void *work)
{
    Tile tiles[MOST_TILES];
    int count = 0, columns = tiles_of(c->width, c->dilation);
    for (int i = first; i < last; i++) {
        int y = begin_of(i, c->dilation);
        for (int j = 0; j < columns && y < c->height; j++) {
            int x = begin_of(j, c->dilation);
            if (x >= c->width)
                continue;
            tiles[count++] = (Tile){y, x};
            if (count == together) {
                compute(c, tiles, count, work);
                count = 0;
            }
        }
    }
    compute(c, tiles, count, work);
}

/* Return zeroed memory for so many floats, or NULL, and say so in `failed`. */
static inline float *take_memory(const Convolution *c, size_t floats)
{
    float *memory = NULL;
    if (posix_memalign((void **)&memory, 64, floats * sizeof(float)) != 0) {
        *c->failed = 1;
        return NULL;
    }
    memset(memory, 0, floats * sizeof(float));
    return memory;
}

#endif
