/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads beside the data threads: the admin server's, the writer of the access log. */
#ifndef SLUICE_SIDE_THREAD_H
#define SLUICE_SIDE_THREAD_H

#include "base.h"

#include <pthread.h>

/*
 * Starts *@thread, which runs @run(@data) on a stack of @stack bytes. No signal of the process is
 * delivered to it, but SIGSYS about what it did itself (syscalls.h). The caller joins it. 0 or
 * -errno (pthread_create(3)).
 */
int side_thread_start(pthread_t *thread, size_t stack, void *(*run)(void *), void *data);

#endif
