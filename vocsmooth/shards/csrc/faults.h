/* What a thread does when a mapped page is not there, see faults.c. */
#ifndef VOCSMOOTH_FAULTS_H
#define VOCSMOOTH_FAULTS_H

#ifndef _WIN32
#include <setjmp.h>

/* Where a thread that copies windows goes on after a fault; NULL if it copies none. */
extern _Thread_local sigjmp_buf *fault_guard;

/* Handle faults from now on. Others may have set a handler since the last call, as workers of a
 * DataLoader do. */
void handle_faults(void);
#endif

#endif
