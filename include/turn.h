/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is at work in a network namespace: one at a time. Whoever it is holds a name that exists once
 * there, and that the kernel takes back, however its holder ends (unix(7), abstract).
 */
#ifndef SLUICE_TURN_H
#define SLUICE_TURN_H

#include "error.h"

/* Of those who change rules, and of those who prove them. */
#define TURN_RULES  "sluice-rules"
#define TURN_VERIFY "sluice-verify"

/*
 * Takes @name if nobody has it. Returns a descriptor, whose closing gives it back, -EADDRINUSE
 * with @e untouched, or another -errno with @e set.
 */
int turn_try(const char *name, struct err *e);

/*
 * Waits at most @timeout_ms milliseconds for TURN_RULES. Returns what turn_try() does, and
 * -ETIMEDOUT with @e set while somebody else has it.
 */
int turn_take(uint32_t timeout_ms, struct err *e);

#endif
