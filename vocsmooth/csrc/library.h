/* What every C library of this package shares. They are written for GCC and Clang (on Windows
 * clang-cl); with another compiler, or none, the package installs without them and Python does their
 * work, see libraries.py. */
#ifndef VOCSMOOTH_LIBRARY_H
#define VOCSMOOTH_LIBRARY_H

#include <stddef.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "these libraries need GCC or Clang"
#endif

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Python fills the structs that functions take, and has to lay them out as the compiler does. So
 * each has a table of its fields, which libraries.py compares with its own when the library is
 * loaded. */
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

#endif
