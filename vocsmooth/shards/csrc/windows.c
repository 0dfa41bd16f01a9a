/* Copy windows out of mapped shards, so that a file which is cut short meanwhile is an error.
 *
 * A mapped page that its file has no more gives the signal SIGBUS, which would kill the process.
 * While windows are copied, the signal ends the copying instead. What lies between the new end of
 * a file and the end of that page reads as zeros without a signal: so each file's length is looked
 * at after its window was copied, and not before. */
#include "native.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef _WIN32
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#endif

enum { LINE = 64, AHEAD = 4 };

/* Fields of a record, see MappedShard.record. */
enum { ADDRESS, LENGTH, DEVICE, INODE };

/* One map of a window in memory: where its first row starts, from row to row, bytes of a row. */
typedef struct {
    const char *from;
    ptrdiff_t pitch, bytes;
} Source;

static Source find(const Task *task, const Map *map, ptrdiff_t window)
{
    const uint64_t *record = task->records + window * task->fields;
    int64_t first = map->starts[window] + task->tops[window] * task->widths[window];
    char *base = (char *)(uintptr_t)(record[ADDRESS] + record[map->field]);
    return (Source){base + (first + task->lefts[window]) * map->pixel,
                    task->widths[window] * map->pixel, task->columns * map->pixel};
}

static void fetch(Source source, ptrdiff_t row)
{
    const char *from = source.from + row * source.pitch;
    for (ptrdiff_t byte = 0; byte < source.bytes; byte += LINE)
        __builtin_prefetch(from + byte);
}

/* The rows of a window lie a page or so apart, where no processor fetches ahead by itself. */
static void copy(const Task *task, ptrdiff_t window)
{
    for (ptrdiff_t number = 0; number < task->maps_count; number++) {
        const Map *map = task->maps + number;
        Source source = find(task, map, window);
        char *to = map->target + window * task->rows * source.bytes;
        for (ptrdiff_t row = 0; row < task->rows; row++) {
            if (row + AHEAD < task->rows)
                fetch(source, row + AHEAD);
            memcpy(to + row * source.bytes, source.from + row * source.pitch,
                   (size_t)source.bytes);
        }
    }
}

static void fetch_first_rows(const Task *task, ptrdiff_t window)
{
    for (ptrdiff_t number = 0; number < task->maps_count; number++) {
        Source source = find(task, task->maps + number, window);
        for (ptrdiff_t row = 0; row < AHEAD && row < task->rows; row++)
            fetch(source, row);
    }
}

static void copy_from(const Task *task, volatile ptrdiff_t *window)
{
    for (; *window < task->count; ++*window) {
        if (*window + 1 < task->count)
            fetch_first_rows(task, *window + 1);
        copy(task, *window);
    }
}

#ifdef _WIN32

/* Windows lets nobody shorten a file that is mapped. */
EXPORT ptrdiff_t copy_windows(const Task *task)
{
    volatile ptrdiff_t window = 0;
    copy_from(task, &window);
    return -1;
}

#else

static _Thread_local sigjmp_buf *guard;
static struct sigaction before;
static volatile sig_atomic_t passed_on;

/* End the copying of this thread. A fault of anybody else is left to whoever was to handle it
 * before: the instruction is executed again, and fails again. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (guard)
        siglongjmp(*guard, 1);
    struct sigaction deadly = {.sa_handler = SIG_DFL};
    sigaction(number, passed_on ? &deadly : &before, NULL);
    passed_on = 1;
}

/* Others may have set a handler since the last call, as workers of a DataLoader do. */
static void set_handler(void)
{
    struct sigaction now;
    sigaction(SIGBUS, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault)
        return;
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    ours.sa_sigaction = on_fault;
    sigemptyset(&ours.sa_mask);
    before = now;
    passed_on = 0;
    sigaction(SIGBUS, &ours, NULL);
}

/* Whether the file of a window's shard still has its length. Another file of the same name is
 * none of our business: the mapped one is still there. */
static int is_whole(const Task *task, ptrdiff_t window)
{
    const uint64_t *record = task->records + window * task->fields;
    struct stat found;
    if (fstatat(task->folder, task->names + window * task->name_bytes, &found, 0))
        return 1;
    return (uint64_t)found.st_size == record[LENGTH] || (uint64_t)found.st_ino != record[INODE] ||
           (uint64_t)found.st_dev != record[DEVICE];
}

/* Return the number of a window whose file was cut short, or -1. */
EXPORT ptrdiff_t copy_windows(const Task *task)
{
    sigjmp_buf here;
    volatile ptrdiff_t window = 0;
    set_handler();
    if (sigsetjmp(here, 0)) {
        guard = NULL;
        return window;
    }
    guard = &here;
    copy_from(task, &window);
    guard = NULL;
    for (ptrdiff_t number = 0; number < task->count; number++)
        if (!is_whole(task, number))
            return number;
    return -1;
}

#endif
