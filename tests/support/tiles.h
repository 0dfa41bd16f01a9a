/* Intel's matrix unit in plain C, for processors without it: included before a kernel's source. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps

/* 16 rows of 64 bytes each, as the kernels configure all of them; each thread has its own. */
static __thread uint8_t tiles[8][16][64];
static __thread int tiles_configured;

static void tile_configure(const void *config)
{
    const uint8_t *bytes = config; /* 16: two of a row, for each tile; 48: rows of each tile */
    tiles_configured = bytes[0] == 1;
    for (int i = 0; i < 8; i++)
        tiles_configured &= bytes[16 + 2 * i] == 64 && bytes[17 + 2 * i] == 0 && bytes[48 + i] == 16;
}

static void tile_load(int to, const void *from, ptrdiff_t stride)
{
    for (int i = 0; i < 16; i++)
        memcpy(tiles[to][i], (const uint8_t *)from + i * stride, 64);
}

static void tile_store(int from, void *to, ptrdiff_t stride)
{
    for (int i = 0; i < 16; i++)
        memcpy((uint8_t *)to + i * stride, tiles[from][i], 64);
}

static float tile_widened(const uint8_t *bfloat16)
{
    uint32_t bits = (uint32_t)bfloat16[0] << 16 | (uint32_t)bfloat16[1] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* sums (16, 16) += left (16, 16 pairs) x right (16 pairs, 16); nothing where no configuration is. */
static void tile_multiply(int sums, int left, int right)
{
    for (int row = 0; row < 16 && tiles_configured; row++)
        for (int column = 0; column < 16; column++) {
            float sum;
            memcpy(&sum, tiles[sums][row] + 4 * column, 4);
            for (int pair = 0; pair < 16; pair++)
                for (int half = 0; half < 2; half++)
                    sum += tile_widened(tiles[left][row] + 4 * pair + 2 * half) *
                           tile_widened(tiles[right][pair] + 4 * column + 2 * half);
            memcpy(tiles[sums][row] + 4 * column, &sum, 4);
        }
}

#define _tile_loadconfig(config) tile_configure(config)
#define _tile_release() ((void)(tiles_configured = 0))
#define _tile_zero(tile) ((void)memset(tiles[tile], 0, sizeof tiles[tile]))
#define _tile_loadd(tile, from, stride) tile_load(tile, from, stride)
#define _tile_stored(tile, to, stride) tile_store(tile, to, stride)
#define _tile_dpbf16ps(sums, left, right) tile_multiply(sums, left, right)

/* The system always allows it. */
#define syscall(...) 0
