/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock of iptables-legacy: whoever reads a table, changes it and writes it back without
 * holding it undoes what others wrote meanwhile.
 */
#ifndef SLUICE_XT_LOCK_H
#define SLUICE_XT_LOCK_H

#include "error.h"

/* What iptables takes when XTABLES_LOCKFILE is not set (iptables/xshared.c). */
#define LOCK_DEFAULT_PATH "/run/xtables.lock"

/*
 * Waits at most @timeout_ms milliseconds for the lock file that XTABLES_LOCKFILE names, else
 * LOCK_DEFAULT_PATH; makes it when it is not there. Returns a descriptor, whose closing unlocks,
 * or -errno with @e set: -ETIMEDOUT while somebody else holds it.
 */
int lock_take(uint32_t timeout_ms, struct err *e);

#endif
