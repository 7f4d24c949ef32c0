/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: the process that serves. */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include "log_file.h"
#include "pod.h"
#include "proxy_config.h"
#include "vitals.h"

/*
 * Serves until it is told to stop: each write to eventfd @stop_fd is one step, the first a
 * graceful stop, the second an immediate one. Returns 0 after a stop, or a negative errno when it
 * could not begin. Closes what it holds of @pod. The access log goes to @log, if it is one.
 */
int worker_run(struct pod *pod, const struct proxy_config *config, struct vitals *vitals,
	       int stop_fd, const struct log_file *log, struct err *e);

#endif
