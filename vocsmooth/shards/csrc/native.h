/* What Python hands over, see `Task` and `Map` of native.py. */
#ifndef VOCSMOOTH_NATIVE_H
#define VOCSMOOTH_NATIVE_H

#include <stdint.h>

#include "library.h"

/* Raise it, here and in native.py, with any change of what functions take or return that no table of
 * fields shows. */
enum { NATIVE_ABI = 7 };

typedef struct {
    ptrdiff_t field; /* of a record: where the map starts in its file */
    ptrdiff_t pixel; /* bytes of a pixel */
    const int64_t *starts; /* (count) first pixel of each window's image in the map */
    char *target; /* (count, rows, columns) pixels */
} Map;

typedef struct {
    ptrdiff_t count, rows, columns; /* windows, and the size of each in pixels */
    const int64_t *shards; /* (count) of each window the row of its shard in the next two */
    const uint64_t *records; /* (, fields) of all shards */
    const char *names; /* (, name_bytes) their files, in `folder` */
    ptrdiff_t fields, name_bytes, folder;
    ptrdiff_t page, ask_system; /* bytes of a page; whether to ask for the length of each file */
    const int64_t *widths, *tops, *lefts; /* (count) */
    const Map *maps; /* (maps_count) */
    ptrdiff_t maps_count;
} Task;

#endif
