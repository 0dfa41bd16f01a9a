/* What Python hands over, see `Task` and `Map` of native.py. */
#ifndef VOCSMOOTH_NATIVE_H
#define VOCSMOOTH_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Raise it, here and in native.py, with any change below. */
enum { NATIVE_ABI = 3 };

typedef struct {
    int64_t field; /* of a record: where the map starts in its file */
    int64_t pixel; /* bytes of a pixel */
    const int64_t *starts; /* (count) first pixel of each window's image in the map */
    char *target; /* (count, rows, columns) pixels */
} Map;

typedef struct {
    int64_t count, rows, columns; /* windows, and the size of each in pixels */
    const int64_t *shards; /* (count) of each window the row of its shard in the next two */
    const uint64_t *records; /* (, fields) of all shards */
    const char *names; /* (, name_bytes) their files, in `folder` */
    int64_t fields, name_bytes, folder;
    int64_t page, ask_system; /* bytes of a page; whether to ask for the length of each file */
    const int64_t *widths, *tops, *lefts; /* (count) */
    const Map *maps; /* (maps_count) */
    int64_t maps_count;
} Task;

#endif
