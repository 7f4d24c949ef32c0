/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check --watch: drift as it comes and goes, until a signal.
 *
 * Theory of Operation: nftables tells its listeners of every change; the legacy tables tell nobody,
 * so where there are any they are compared every WATCH_POLL_MS. After a change it waits until
 * nothing more comes for WATCH_QUIET_MS, but not for ever, then compares as check does; lines that
 * were not there before are told, and those that are gone. With --repair the plan is applied again
 * while there is drift: at once, and if that does not last, after a pause that doubles up to
 * WATCH_PAUSE_MAX_MS. It starts anew once there was peace for as long.
 */
#ifndef SLUICE_WATCH_H
#define SLUICE_WATCH_H

#include "config.h"
#include "plan.h"

#define WATCH_POLL_MS	   1000
#define WATCH_QUIET_MS	   50
#define WATCH_QUIET_MAX_MS 500
#define WATCH_PAUSE_MS	   250
#define WATCH_PAUSE_MAX_MS 30000

/* Returns 0 after SIGTERM, SIGINT or SIGHUP, or -errno with @e set. */
int watch_run(const struct config *c, const struct plan *p, struct err *e);

#endif
