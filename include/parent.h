/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent: holds the listeners and keeps a worker alive. */
#ifndef SLUICE_PARENT_H
#define SLUICE_PARENT_H

#include "proxy_config.h"

/*
 * Opens the listeners, starts the worker, and starts it again when it crashes or hangs, until
 * SIGTERM or SIGINT (twice: at once). Returns 0 after such a stop, or a negative errno: a port is
 * taken, the worker could not begin, or it died too often.
 */
int parent_run(const struct proxy_config *config, struct err *e);

#endif
