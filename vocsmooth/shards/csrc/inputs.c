/* What `verify` needs of a shard: to read it fast, and to compare inputs with what they are made of. */
#include "native.h"

enum { PIXELS = 1024, LINE = 64, LINES = 4, PAGE = 4096 };

/* Ask the memory for the first lines of each page: what a processor fetches ahead by itself ends
 * there, and to begin anew costs a hash a sixth of its speed. */
EXPORT void fetch_pages(const char *bytes, size_t length)
{
    for (size_t page = 0; page < length; page += PAGE)
        for (size_t line = 0; line < LINES; line++)
            __builtin_prefetch(bytes + page + line * LINE, 0, 2);
}

/* More than 255 does what 255 does, and no sum overflows. */
static inline int16_t bounded(int16_t value)
{
    return value < -255 ? -255 : value > 255 ? 255 : value;
}

/* Ask the memory for bytes that are about to be compared. */
static inline void fetch(const void *bytes, size_t length)
{
    for (size_t line = 0; line < length; line += LINE)
        __builtin_prefetch((const char *)bytes + line, 0, 3);
}

/* Return whether every value is clip(label + texture, 0, 255); a texture has `channels` values for
 * the three of a pixel, 1 or 3. It is written down for each value first, for some pixels at a time:
 * the loop over all values is then one that compilers vectorise well. */
HOT EXPORT int inputs_agree(const uint8_t *restrict input, const uint8_t *restrict label,
                            const int16_t *restrict texture, ptrdiff_t pixels, ptrdiff_t channels)
{
    uint8_t wrong = 0;
    int16_t thrice[3 * PIXELS];
    for (; pixels > 0; pixels -= PIXELS) {
        ptrdiff_t count = pixels < PIXELS ? pixels : PIXELS;
        const int16_t *field = texture;
        if (pixels > 2 * PIXELS) {
            fetch(input + 3 * PIXELS, 3 * PIXELS);
            fetch(label + 3 * PIXELS, 3 * PIXELS);
            fetch(texture + channels * PIXELS, (size_t)channels * sizeof(*texture) * PIXELS);
        }
        if (channels == 1) {
            for (ptrdiff_t i = 0; i < count; i++)
                thrice[3 * i] = thrice[3 * i + 1] = thrice[3 * i + 2] = texture[i];
            field = thrice;
        }
        for (ptrdiff_t i = 0; i < 3 * count; i++) {
            int16_t sum = (int16_t)(label[i] + bounded(field[i]));
            sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            wrong |= (uint8_t)sum ^ input[i];
        }
        input += 3 * count;
        label += 3 * count;
        texture += channels * count;
    }
    return !wrong;
}
