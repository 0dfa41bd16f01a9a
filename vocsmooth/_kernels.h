/* What all kernels share. See vocsmooth/kernels.py for why they are in C and how they are built. */
#ifndef VOCSMOOTH_KERNELS_H
#define VOCSMOOTH_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

/* HOT functions are compiled for several vector widths and chosen when the library is loaded.
 * No sum is reassociated and no product fused, so every width gives the same bits. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define HOT __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef HOT
#define HOT
#endif

/* INLINE functions become part of each clone of the HOT function that calls them. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* The iterations of the loop that follows touch different elements: it may be vectorised. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

/* Sums and maxima are taken in this many interleaved parts, whatever the vector width. */
enum { LANES = 16 };

#endif
