/* The gradient of the weights of a 3 x 3 convolution in float32, by Winograd's method.
 *
 * A tile's results are linear in the transformed weights: each of the 36 is multiplied by what its
 * tile's values became (winograd.c). So their gradient is a sum over all tiles of products of the
 * transformed values and the transposed transform of the results' gradient, 36 products of matrices
 * (channels x tiles by tiles x outputs). Whoever calls transforms the sums back to the 9 weights. */
#include "convolution.h"

#if defined(__x86_64__) && !defined(_WIN32)

#include "winograd.h"

enum { ROWS = 4, COLUMNS = 2 }; /* channels and groups of outputs that are summed in registers */

typedef struct {
    float *values;    /* (PRODUCTS, MOST_TILES, channels) */
    float *gradients; /* (PRODUCTS, MOST_TILES, groups * GROUP) */
    float *outside;   /* (channels,), zeros */
    float *sums;      /* (PRODUCTS, channels, groups * GROUP) of these rows */
} Work;

/* Transform four gradients, by the transpose of what makes four results of six sums. */
PART void transform_gradients(const __m256 d[OUT], __m256 t[IN])
{
    __m256 even = _mm256_add_ps(d[0], d[2]), odd = _mm256_add_ps(d[1], d[3]);
    __m256 twice = fused(4.0f, d[2], d[0]);
    __m256 slope = _mm256_mul_ps(_mm256_set1_ps(2.0f), fused(4.0f, d[3], d[1]));
    t[0] = d[0];
    t[1] = _mm256_add_ps(even, odd);
    t[2] = _mm256_sub_ps(even, odd);
    t[3] = _mm256_add_ps(twice, slope);
    t[4] = _mm256_sub_ps(twice, slope);
    t[5] = d[3];
}

/* Transform the gradients of a tile's results; those outside the image are zeros. */
PART void read_gradients(const Convolution *c, Tile at, float *to, ptrdiff_t step)
{
    for (int group = 0; group < c->groups; group++) {
        __m256 half[IN][OUT];
        for (int j = 0; j < OUT; j++) {
            __m256 column[OUT], done[IN];
            int x = at.x + j * c->dilation;
            for (int i = 0; i < OUT; i++) {
                int y = at.y + i * c->dilation;
                const float *row = (const float *)c->added + y * c->add_row + GROUP * group;
                int inside = y < c->height && x < c->width;
                column[i] = inside ? _mm256_loadu_ps(row + x * c->add_pixel) : _mm256_setzero_ps();
            }
            transform_gradients(column, done);
            for (int i = 0; i < IN; i++)
                half[i][j] = done[i];
        }
        for (int i = 0; i < IN; i++) {
            __m256 done[IN];
            transform_gradients(half[i], done);
            for (int j = 0; j < IN; j++)
                _mm256_store_ps(to + (i * IN + j) * step + GROUP * group, done[j]);
        }
    }
}

/* Add the products of `rows` channels and `vectors` groups of outputs, over all tiles. */
PART void add_products(const float *values, ptrdiff_t channels, const float *gradients,
                       ptrdiff_t outputs, int tiles, float *sums, int rows, int vectors)
{
    __m256 sum[ROWS * COLUMNS];
    for (int i = 0; i < rows * vectors; i++)
        sum[i] = _mm256_loadu_ps(sums + i / vectors * outputs + i % vectors * GROUP);
    for (int tile = 0; tile < tiles; tile++) {
        __m256 factor[COLUMNS];
        for (int v = 0; v < vectors; v++)
            factor[v] = _mm256_load_ps(gradients + tile * outputs + v * GROUP);
        for (int i = 0; i < rows; i++) {
            __m256 value = _mm256_broadcast_ss(values + tile * channels + i);
            for (int v = 0; v < vectors; v++)
                sum[i * vectors + v] = _mm256_fmadd_ps(value, factor[v], sum[i * vectors + v]);
        }
    }
    for (int i = 0; i < rows * vectors; i++)
        _mm256_storeu_ps(sums + i / vectors * outputs + i % vectors * GROUP, sum[i]);
}

/* Add what some tiles contribute. */
WHOLE void add_tiles(const Convolution *c, const Tile *tiles, int count, const void *work)
{
    const Work *w = work;
    const ptrdiff_t channels = c->channels, outputs = (ptrdiff_t)c->groups * GROUP;
    for (int i = 0; i < count; i++) {
        read_tile(c, tiles[i], w->outside, w->values + i * channels, MOST_TILES * channels);
        read_gradients(c, tiles[i], w->gradients + i * outputs, MOST_TILES * outputs);
    }
    for (int product = 0; product < PRODUCTS; product++) {
        const float *values = w->values + product * MOST_TILES * channels;
        const float *gradients = w->gradients + product * MOST_TILES * outputs;
        float *sums = w->sums + product * channels * outputs;
        int group = 0;
        for (; group + COLUMNS <= c->groups; group += COLUMNS)
            for (int row = 0; row < channels; row += ROWS)
                add_products(values + row, channels, gradients + group * GROUP, outputs, count,
                             sums + row * outputs + group * GROUP, ROWS, COLUMNS);
        if (group < c->groups)
            for (int row = 0; row < channels; row += ROWS * COLUMNS)
                add_products(values + row, channels, gradients + group * GROUP, outputs, count,
                             sums + row * outputs + group * GROUP, ROWS * COLUMNS, 1);
    }
}

/* Add the contribution of rows of tiles to the sums of their band, which their first row tells. */
static void add_rows(const Convolution *c, int first, int last)
{
    const size_t outputs = (size_t)c->groups * GROUP, channels = (size_t)c->channels;
    const size_t values = PRODUCTS * MOST_TILES * channels;
    const size_t gradients = PRODUCTS * MOST_TILES * outputs;
    const int rows = tiles_of(c->height, c->dilation);
    const size_t band = (size_t)(((int64_t)first * c->blocks + rows - 1) / rows);
    float *memory = take_memory(c, values + gradients + channels);
    if (memory == NULL)
        return;
    float *sums = (float *)c->out + band * PRODUCTS * channels * outputs;
    const Work work = {memory, memory + values, memory + values + gradients, sums};
    walk_tiles(c, first, last, MOST_TILES, add_tiles, &work);
    free(memory);
}

/* Add to `out` (blocks, 36, channels, outputs) for features `in` and gradients `added`. Each of the
 * `blocks`, at most as many as there are rows of tiles, is a thread's own, so that the order of all
 * sums depends on their number alone. */
EXPORT void winograd_gradient(const Convolution *c)
{
    share_rows(add_rows, c, tiles_of(c->height, c->dilation), 1, c->blocks);
}

#else

EXPORT void winograd_gradient(const Convolution *c)
{
    (void)c;
}

#endif
