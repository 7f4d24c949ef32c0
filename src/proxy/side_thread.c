// SPDX-License-Identifier: GPL-2.0-or-later
/* Threads beside the data threads: see side_thread.h. */
#include "side_thread.h"

#include <signal.h>

int side_thread_start(pthread_t *thread, size_t stack, void *(*run)(void *), void *data)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* #syscalls clone */
	rc = pthread_create(thread, &attr, run, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}
