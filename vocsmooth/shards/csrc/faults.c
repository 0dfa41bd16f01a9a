/* Touching a mapped page that its file has no more, or that the disk cannot read, gives the signal
 * SIGBUS, which would end the process. A thread that copies windows goes on elsewhere instead. One
 * that reads a whole file with functions of others, which cannot be left so, finds zeros in place of
 * the page and of all that follow, and is told afterwards. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif

#include "faults.h"
#include "native.h"

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32

/* Windows lets nobody shorten a file that is mapped. */
EXPORT void watch_pages(char *first, size_t length)
{
    (void)first, (void)length;
}

EXPORT int lost_pages(void)
{
    return 0;
}

#else

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local sigjmp_buf *fault_guard;

/* The mapping that this thread watches, and whether pages of it were lost. */
static _Thread_local struct {
    uintptr_t first, end, page;
    int lost;
} watched;

static struct sigaction before;
static volatile sig_atomic_t passed_on;

/* Whether no instruction caused a signal, which then does not come again by itself. */
static int was_sent(const siginfo_t *info)
{
#ifdef BUS_MCEERR_AO
    if (info->si_code == BUS_MCEERR_AO)
        return 1;
#endif
    return info->si_code <= 0;
}

/* Put zeros in place of a page that this thread watches and of all that follow; return whether it is
 * one. */
static int replace(uintptr_t address)
{
    if (address < watched.first || address >= watched.end)
        return 0;
    char *page = (char *)(address - address % watched.page);
    size_t length = (size_t)(watched.end - (uintptr_t)page);
    int kept = errno, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    watched.lost = mmap(page, length, PROT_READ, flags, -1, 0) != MAP_FAILED;
    errno = kept;
    return watched.lost;
}

/* A fault of anybody else is left to whoever was to handle it before: the instruction is executed
 * again, and fails again. Who was before may hand it back, as Python's faulthandler does; then it
 * ends the process. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    int sent = was_sent(info);
    if (fault_guard && !sent)
        siglongjmp(*fault_guard, 1);
    if (!sent && replace((uintptr_t)info->si_addr))
        return;
    struct sigaction deadly = {.sa_handler = SIG_DFL}, ours;
    sigaction(number, passed_on ? &deadly : &before, &ours);
    passed_on = 1;
    if (!sent)
        return;
    raise(number);
    sigaction(number, &ours, NULL); /* this thread may be copying */
    passed_on = 0;
}

void handle_faults(void)
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

/* Watch a mapping, which this thread is about to read, until `lost_pages` is called. */
EXPORT void watch_pages(char *first, size_t length)
{
    handle_faults();
    watched.page = (uintptr_t)sysconf(_SC_PAGESIZE);
    watched.first = (uintptr_t)first;
    watched.end = watched.first + length;
    watched.lost = 0;
}

/* End the watch; return whether pages were lost. */
EXPORT int lost_pages(void)
{
    watched.first = watched.end = 0;
    return watched.lost;
}

#endif
