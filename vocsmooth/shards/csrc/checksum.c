/* The checksum of HDF5's headers: the hash lookup3 that Bob Jenkins gave to the public domain. */
#include "native.h"

static uint32_t turn(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

/* Add up to 12 bytes to three words, as numbers with the lowest byte first. */
static void add(uint32_t *words, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        words[i / 4] += (uint32_t)bytes[i] << 8 * (i % 4);
}

/* Spread what was added over the words, with more bytes to come. */
static void mix(uint32_t *words)
{
    static const int turns[6] = {4, 6, 8, 16, 19, 4};
    for (int i = 0; i < 6; i++) {
        uint32_t *one = words + i % 3, *next = words + (i + 1) % 3, *last = words + (i + 2) % 3;
        *one = (*one - *last) ^ turn(*last, turns[i]);
        *last += *next;
    }
}

/* The same after the last bytes. */
static void finish(uint32_t *words)
{
    static const int turns[7] = {14, 11, 25, 16, 4, 14, 24};
    for (int i = 0; i < 7; i++) {
        uint32_t *one = words + (i + 2) % 3, *last = words + (i + 1) % 3;
        *one = (*one ^ *last) - turn(*last, turns[i]);
    }
}

EXPORT uint32_t lookup3(const uint8_t *bytes, size_t length)
{
    uint32_t start = 0xdeadbeef + (uint32_t)length, words[3] = {start, start, start};
    if (!length)
        return start;
    for (; length > 12; bytes += 12, length -= 12) {
        add(words, bytes, 12);
        mix(words);
    }
    add(words, bytes, length);
    finish(words);
    return words[2];
}
