/* Copy windows out of mapped shards, so that a file which is cut short meanwhile is an error.
 *
 * A mapped page that its file has no more gives the signal SIGBUS, which would kill the process.
 * While windows are copied, the signal ends the copying instead. What lies between the new end of
 * a file and the end of that page reads as zeros without a signal. So the last page of each file
 * is touched after its window was copied, and not before: it is gone if the file was cut short,
 * unless only in that page. The system is asked for the length, which among many files takes as
 * long as to copy a small window, only if a window lies in the last page, or if a page that is
 * touched might have to come from a slow disk. */
#include "faults.h"
#include "native.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#endif

enum { LINE = 64, AHEAD = 4 };

/* Fields of a record, see MappedShard.record. */
enum { ADDRESS, LENGTH, DEVICE, INODE };

/* What became of the windows, if it is not the number of one whose file was cut short. */
enum { DONE = -1, NOT_MAPPED = -2 };

/* One map of a window in memory: where its first row starts, from row to row, bytes of a row. */
typedef struct {
    const char *from;
    ptrdiff_t pitch, bytes;
} Source;

static const uint64_t *record_of(const Task *task, ptrdiff_t window)
{
    return task->records + task->shards[window] * task->fields;
}

/* Write the record of a shard that was just mapped, for threads that may be copying: the address
 * comes last, on processors too that reorder what is written (ARM). */
EXPORT void publish(uint64_t *record, const uint64_t *fields, ptrdiff_t count)
{
    memcpy(record + ADDRESS + 1, fields + ADDRESS + 1, (size_t)(count - 1) * sizeof(*record));
    __atomic_store_n(record + ADDRESS, fields[ADDRESS], __ATOMIC_RELEASE);
}

/* Another thread may forget the shard at any moment, and leaves it mapped meanwhile; or map it, see
 * `publish`: the other fields are read after the address. */
static char *address_of(const uint64_t *record)
{
    return (char *)(uintptr_t)__atomic_load_n(record + ADDRESS, __ATOMIC_ACQUIRE);
}

static Source find(const Task *task, const Map *map, ptrdiff_t window, const char *address)
{
    const char *base = address + record_of(task, window)[map->field];
    int64_t first = map->starts[window] + task->tops[window] * task->widths[window];
    return (Source){base + (first + task->lefts[window]) * map->pixel,
                    task->widths[window] * map->pixel, task->columns * map->pixel};
}

static void fetch(Source source, ptrdiff_t row)
{
    const char *from = source.from + row * source.pitch;
    for (ptrdiff_t byte = 0; byte < source.bytes; byte += LINE)
        __builtin_prefetch(from + byte);
}

static const char *last_byte(const Task *task, ptrdiff_t window, const char *address)
{
    return address + record_of(task, window)[LENGTH] - 1;
}

static void fetch_first_rows(const Task *task, ptrdiff_t window)
{
    const char *address = address_of(record_of(task, window));
    if (!address)
        return;
    if (!task->ask_system)
        __builtin_prefetch(last_byte(task, window, address));
    for (ptrdiff_t number = 0; number < task->maps_count; number++) {
        Source source = find(task, task->maps + number, window, address);
        for (ptrdiff_t row = 0; row < AHEAD && row < task->rows; row++)
            fetch(source, row);
    }
}

/* Copy a window; return where the last of its bytes lies. The rows of a window lie a page or so
 * apart, where no processor fetches ahead by itself. */
static const char *copy(const Task *task, ptrdiff_t window, const char *address)
{
    const char *last = address;
    for (ptrdiff_t number = 0; number < task->maps_count; number++) {
        const Map *map = task->maps + number;
        Source source = find(task, map, window, address);
        char *to = map->target + window * task->rows * source.bytes;
        const char *end = source.from + (task->rows - 1) * source.pitch + source.bytes - 1;
        for (ptrdiff_t row = 0; row < task->rows; row++) {
            if (row + AHEAD < task->rows)
                fetch(source, row + AHEAD);
            memcpy(to + row * source.bytes, source.from + row * source.pitch,
                   (size_t)source.bytes);
        }
        last = end > last ? end : last;
    }
    return last;
}

static int is_whole(const Task *task, ptrdiff_t window, const char *address, const char *last);

static ptrdiff_t copy_from(const Task *task, volatile ptrdiff_t *window)
{
    for (; *window < task->count; ++*window) {
        const char *address = address_of(record_of(task, *window));
        if (!address)
            return NOT_MAPPED;
        if (*window + 1 < task->count)
            fetch_first_rows(task, *window + 1);
        const char *last = copy(task, *window, address);
        if (!is_whole(task, *window, address, last))
            return *window;
    }
    return DONE;
}

#ifdef _WIN32

/* Windows lets nobody shorten a file that is mapped. */
static int is_whole(const Task *task, ptrdiff_t window, const char *address, const char *last)
{
    (void)task, (void)window, (void)address, (void)last;
    return 1;
}

EXPORT ptrdiff_t copy_windows(const Task *task)
{
    volatile ptrdiff_t window = 0;
    return copy_from(task, &window);
}

#else

/* Whether the system says that the file of a window's shard has its length. Another file of the
 * same name is none of our business: the mapped one is still there. */
static int has_length(const Task *task, ptrdiff_t window)
{
    const uint64_t *record = record_of(task, window);
    const char *name = task->names + task->shards[window] * task->name_bytes;
    struct stat found;
    if (fstatat((int)task->folder, name, &found, 0))
        return 1;
    return (uint64_t)found.st_size == record[LENGTH] || (uint64_t)found.st_ino != record[INODE] ||
           (uint64_t)found.st_dev != record[DEVICE];
}

static int is_whole(const Task *task, ptrdiff_t window, const char *address, const char *last)
{
    const char *end = last_byte(task, window, address);
    if (task->ask_system || last >= end - (uintptr_t)end % (uintptr_t)task->page)
        return has_length(task, window);
    (void)*(const volatile char *)end; /* the signal comes here */
    return 1;
}

/* Return the number of a window whose file was cut short, or one of the values above. */
EXPORT ptrdiff_t copy_windows(const Task *task)
{
    sigjmp_buf here;
    volatile ptrdiff_t window = 0;
    handle_faults();
    if (sigsetjmp(here, 0)) {
        fault_guard = NULL;
        return window;
    }
    fault_guard = &here;
    ptrdiff_t result = copy_from(task, &window);
    fault_guard = NULL;
    return result;
}

#endif
