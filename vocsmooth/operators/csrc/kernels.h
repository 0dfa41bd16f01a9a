/* What all kernels share. */
#ifndef VOCSMOOTH_KERNELS_H
#define VOCSMOOTH_KERNELS_H

#include <math.h>
#include <string.h>

#include "library.h"

/* Raise it, here and in interface.py, with any change of what functions take or return that no table
 * of fields shows. */
enum { KERNELS_ABI = 2 };

/* INLINE functions become part of each clone of the HOT function that calls them. */
#define INLINE static inline __attribute__((always_inline))

/* The iterations of the loop that follows touch different elements: it may be vectorised. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* The same of a short loop of a fixed length: GCC would unroll it before it vectorises. */
#ifdef __clang__
#define LANE_BY_LANE INDEPENDENT
#else
#define LANE_BY_LANE _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
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
