/* What `verify` needs of a shard: to read it fast, and to compare inputs with what they are made of. */
#include "native.h"

enum { PIXELS = 1024, LINE = 64, PAGE = 4096 };

/* Ask the memory for the first lines of each page: what a processor fetches ahead by itself ends
 * there, and to begin anew costs a hash a sixth of its speed. */
EXPORT void fetch_pages(const char *bytes, size_t length)
{
    for (size_t page = 0; page < length; page += PAGE) {
        __builtin_prefetch(bytes + page, 0, 2);
        __builtin_prefetch(bytes + page + LINE, 0, 2);
    }
}

/* More than 255 does what 255 does, and no sum overflows. */
static inline int16_t bounded(int16_t value)
{
    return value < -255 ? -255 : value > 255 ? 255 : value;
}

/* Return whether every value is clip(label + texture, 0, 255); a texture has `channels` values for
 * the three of a pixel, 1 or 3. They are written down for each value first, some at a time: the loop
 * over all values is then one that compilers vectorise well. */
HOT EXPORT int inputs_agree(const uint8_t *restrict input, const uint8_t *restrict label,
                            const int16_t *restrict texture, ptrdiff_t pixels, ptrdiff_t channels)
{
    uint8_t wrong = 0;
    int16_t field[3 * PIXELS];
    for (; pixels > 0; pixels -= PIXELS) {
        ptrdiff_t count = pixels < PIXELS ? pixels : PIXELS;
        if (channels == 3)
            for (ptrdiff_t i = 0; i < 3 * count; i++)
                field[i] = bounded(texture[i]);
        else
            for (ptrdiff_t i = 0; i < count; i++)
                field[3 * i] = field[3 * i + 1] = field[3 * i + 2] = bounded(texture[i]);
        for (ptrdiff_t i = 0; i < 3 * count; i++) {
            int16_t sum = (int16_t)(label[i] + field[i]);
            sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            wrong |= (uint8_t)sum ^ input[i];
        }
        input += 3 * count;
        label += 3 * count;
        texture += channels * count;
    }
    return !wrong;
}
