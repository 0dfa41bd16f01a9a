/* What all kernels share. They are written for GCC and Clang (on Windows clang-cl); with another
 * compiler, or none, the package installs without them and kernels.py leaves the work to NumPy. */
#ifndef VOCSMOOTH_KERNELS_H
#define VOCSMOOTH_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "these kernels need GCC or Clang"
#endif

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Python fills the structs that functions take, and has to lay them out as the compiler does. So
 * each has a table of its fields beside it, which interface.py compares with its own when the
 * library is loaded. Raise KERNELS_ABI, here and there, with any other change of what functions
 * take or return. */
enum { KERNELS_ABI = 1 };

typedef struct {
    const char *name; /* NULL at the end, where `offset` is the size of the struct */
    size_t offset, size;
    char kind;
} Field;

#define KIND(value) \
    _Generic((value), int: 'i', float: 'f', double: 'd', ptrdiff_t: 'n', default: 'P')
#define FIELD(type, field) \
    {#field, offsetof(type, field), sizeof(((type *)0)->field), KIND(((type *)0)->field)}
#define LAYOUT(type, ...) \
    EXPORT const Field type##_layout[] = {__VA_ARGS__, {NULL, sizeof(type), 0, '-'}}

/* HOT functions are compiled for several vector widths and chosen when the library is loaded.
 * No sum is reassociated and no product fused, so every width gives the same bits. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define HOT __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef HOT
#define HOT
#endif

/* INLINE functions become part of each clone of the HOT function that calls them. */
#define INLINE static inline __attribute__((always_inline))

/* The iterations of the loop that follows touch different elements: it may be vectorised. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* This many floats side by side, whatever the vector width; they need no alignment in memory. */
enum { LANES = 16 };
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

#pragma GCC diagnostic ignored "-Wpsabi" /* about functions that are not inlined */

INLINE Lanes load(const float *from)
{
    return *(const Lanes *)from;
}

INLINE void store(float *to, Lanes value)
{
    *(Lanes *)to = value;
}

#endif
