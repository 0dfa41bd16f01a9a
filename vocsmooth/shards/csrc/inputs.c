/* Compare the inputs of a shard with what they are made of. */
#include "native.h"

/* Return whether every value is clip(label + texture, 0, 255); a texture has one value for each of
 * the three of a pixel. */
HOT EXPORT int inputs_agree(const uint8_t *restrict input, const uint8_t *restrict label,
                            const int16_t *restrict texture, ptrdiff_t pixels)
{
    uint8_t wrong = 0;
    for (ptrdiff_t i = 0; i < pixels; i++) {
        int16_t field = texture[i]; /* more than 255 does what 255 does, and no sum overflows */
        field = field < -255 ? -255 : field > 255 ? 255 : field;
        for (int channel = 0; channel < 3; channel++) {
            int16_t sum = (int16_t)(label[3 * i + channel] + field);
            sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            wrong |= (uint8_t)sum ^ input[3 * i + channel];
        }
    }
    return !wrong;
}
