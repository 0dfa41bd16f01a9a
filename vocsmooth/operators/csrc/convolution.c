/* Convolutions in bfloat16 on Intel's matrix unit (AMX), for the networks of csgisnet.
 *
 * The unit multiplies tiles: 16 pixels x 32 channels by 32 channels x 16 outputs, into 16 x 16 sums
 * in float32. A block of 32 neighbouring pixels of a row and up to 48 outputs has all its sums in
 * six of the eight tiles, while the channels under the window pass through the other two. The sums
 * of a block are finished (bias, ReLU, what is to be added, rounding) between the products of the
 * next one, as the processor's other units are idle then.
 *
 * Images are rows of pixels whose channels lie side by side. Around them, and behind the last
 * pixel, the caller has written zeros: windows reach over the border, blocks over a row's end, and
 * the last 32 channels over a pixel's, where the weights are zero. */
#include <stdint.h>

#include "convolution.h"

#if defined(__x86_64__) && defined(__linux__) && \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WITH_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512bf16")))
#define PART static inline __attribute__((always_inline)) WITH_AMX

enum { BLOCK = 32, TILE = 16 * 16, PAIRS = 16 * 32, MOST = 3 }; /* MOST groups at once */
enum { FEWEST_ROWS = 16, MOST_CHANNELS = 64 };

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row of each tile */
    uint8_t rows[16];
} Tiles;

typedef struct {
    ptrdiff_t y, x;
    int count; /* pixels of the block that are in the image; 0 before the first block */
} Place;

/* What does not change within a call, so that each variant has no branches for it. */
typedef struct {
    int groups, relu, added, image;
} Variant;

/* Ask the system for the unit's registers, once in a process; return 0 if they may be used. */
EXPORT int convolution_allow(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return (int)syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
}

PART __m512 widened(__m256i bfloat16)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bfloat16), 16));
}

/* Finish results from..to of a block, 32 for each group from `group` on. */
PART void finish(const Convolution *c, Variant v, const float *sums, Place at, int group, int from,
                 int to)
{
    for (int i = from; i < to; i++) {
        int own = group + i / BLOCK, pixel = i % BLOCK;
        if (pixel >= at.count)
            continue;
        ptrdiff_t y = at.y, x = at.x + pixel;
        uint16_t *out = NULL;
        if (!v.image || c->out)
            out = (uint16_t *)c->out + y * c->out_row + x * c->out_pixel + c->places[own];
        __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + 16 * i), _mm512_loadu_ps(c->bias + 16 * own));
        if (v.relu)
            sum = _mm512_max_ps(_mm512_setzero_ps(), sum); /* in this order NaN stays NaN */
        if (v.added) {
            const uint16_t *added = (const uint16_t *)c->added + y * c->add_row + x * c->add_pixel;
            sum = _mm512_add_ps(sum, widened(_mm256_loadu_si256((const void *)(added + 16 * own))));
        }
        if (v.image) {
            __mmask16 kept = (__mmask16)((1u << c->kept) - 1);
            ptrdiff_t there = y * c->image_row + x * c->image_pixel + c->image_places[own];
            if (c->base)
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(kept, c->base + there));
            _mm512_mask_storeu_ps(c->image + there, kept, sum);
            if (out)
                _mm256_mask_storeu_epi16(out, kept, (__m256i)_mm512_cvtneps_pbh(sum));
        } else {
            _mm256_storeu_si256((void *)out, (__m256i)_mm512_cvtneps_pbh(sum));
        }
    }
}

/* Compute rows first..last of up to three groups of outputs. */
PART void run(const Convolution *c, Variant v, int group, int first, int last)
{
    float sums[2][MOST * 2 * TILE] __attribute__((aligned(64)));
    const int results = v.groups * BLOCK, share = (results + c->blocks - 1) / c->blocks;
    const ptrdiff_t stride = 2 * c->in_pixel, step = (ptrdiff_t)PAIRS * c->groups;
    Place before = {0, 0, 0};
    int turn = 0;
    for (ptrdiff_t y = first; y < last; y++)
        for (ptrdiff_t x = 0; x < c->width; x += BLOCK) {
            const uint16_t *in = (const uint16_t *)c->in + y * c->in_row + x * c->in_pixel;
            const uint16_t *weights = (const uint16_t *)c->weights + (ptrdiff_t)group * PAIRS;
            float *own = sums[turn];
            const float *done = sums[1 - turn];
            int from = 0;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            _tile_zero(4);
            _tile_zero(5);
            for (int k = 0; k < c->blocks; k++, weights += step) {
                const uint16_t *left = in + c->offsets[k], *right = left + 16 * c->in_pixel;
                int to = from + share < results ? from + share : results;
                _tile_loadd(6, left, stride);
                _tile_loadd(7, weights, 64);
                _tile_dpbf16ps(0, 6, 7);
                if (v.groups > 1) {
                    _tile_loadd(7, weights + PAIRS, 64);
                    _tile_dpbf16ps(2, 6, 7);
                }
                if (v.groups > 2) {
                    _tile_loadd(7, weights + 2 * PAIRS, 64);
                    _tile_dpbf16ps(4, 6, 7);
                }
                _tile_loadd(6, right, stride); /* the last weights are still there */
                if (v.groups > 2) {
                    _tile_dpbf16ps(5, 6, 7);
                    _tile_loadd(7, weights + PAIRS, 64);
                }
                if (v.groups > 1) {
                    _tile_dpbf16ps(3, 6, 7);
                    _tile_loadd(7, weights, 64);
                }
                _tile_dpbf16ps(1, 6, 7);
                finish(c, v, done, before, group, from, to);
                from = to;
            }
            _tile_stored(0, own, 64);
            _tile_stored(1, own + TILE, 64);
            if (v.groups > 1) {
                _tile_stored(2, own + 2 * TILE, 64);
                _tile_stored(3, own + 3 * TILE, 64);
            }
            if (v.groups > 2) {
                _tile_stored(4, own + 4 * TILE, 64);
                _tile_stored(5, own + 5 * TILE, 64);
            }
            before = (Place){y, x, c->width - x < BLOCK ? (int)(c->width - x) : BLOCK};
            turn = 1 - turn;
        }
    finish(c, v, sums[1 - turn], before, group, 0, results);
}

PART void choose(const Convolution *c, int groups, int group, int first, int last)
{
    if (c->kept)
        run(c, (Variant){groups, 0, 0, 1}, group, first, last);
    else if (c->added)
        run(c, (Variant){groups, 1, 1, 0}, group, first, last);
    else if (c->relu)
        run(c, (Variant){groups, 1, 0, 0}, group, first, last);
    else
        run(c, (Variant){groups, 0, 0, 0}, group, first, last);
}

/* Each in a function of its own, so that the compiler does not mix their registers. */
#define FUNCTION(name, groups)                                                                  \
    static __attribute__((noinline)) WITH_AMX void name(const Convolution *c, int group,        \
                                                        int first, int last)                    \
    {                                                                                           \
        choose(c, groups, group, first, last);                                                  \
    }
FUNCTION(one, 1)
FUNCTION(two, 2)
FUNCTION(three, 3)

/* Compute rows first..last; each thread has the unit's registers to itself. */
static WITH_AMX void compute(const Convolution *c, int first, int last)
{
    const Tiles tiles = {.palette = 1,
                         .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                         .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&tiles);
    for (int group = 0, left = c->groups; left > 0;) {
        int taken = left == 4 ? 2 : left < MOST ? left : MOST; /* four are two and two */
        (taken == 1 ? one : taken == 2 ? two : three)(c, group, first, last);
        group += taken;
        left -= taken;
    }
    _tile_release();
}

/* Compute a convolution, in up to so many threads. */
EXPORT void convolve(const Convolution *c, int threads)
{
    share_rows(compute, c, c->height, FEWEST_ROWS, threads);
}

/* Write an image (height * step, width * step, 3) as features (height, width, channels): the pixels
 * of a cell of `step` rows and columns, a level and zeros. */
EXPORT WITH_AMX void spread(const float *image, int height, int width, int step, float level,
                            void *out, ptrdiff_t row, ptrdiff_t pixel)
{
    const int run = 3 * step;
    float cell[MOST_CHANNELS] = {0};
    cell[run * step] = level;
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x++) {
            const float *from = image + (y * step * width + x) * run;
            uint16_t *to = (uint16_t *)out + y * row + x * pixel;
            for (int i = 0; i < step; i++)
                for (int k = 0; k < run; k++)
                    cell[i * run + k] = from[(ptrdiff_t)i * width * run + k];
            for (int k = 0; k < pixel; k += 16) {
                __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(cell + k));
                _mm256_storeu_si256((void *)(to + k), rounded);
            }
        }
}

#else

EXPORT void spread(const float *image, int height, int width, int step, float level, void *out,
                   ptrdiff_t row, ptrdiff_t pixel)
{
    (void)image, (void)height, (void)width, (void)step, (void)level, (void)out;
    (void)row, (void)pixel;
}

EXPORT int convolution_allow(void)
{
    return -1;
}

EXPORT void convolve(const Convolution *c, int threads)
{
    (void)c, (void)threads;
}

#endif
