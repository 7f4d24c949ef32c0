/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of proxied connections when the rules go: the same for every backend. */
#ifndef SLUICE_DRAIN_H
#define SLUICE_DRAIN_H

#include "backend.h"

/*
 * Lets the connections that arrived on @ports end by themselves, for as long as @o says at most;
 * they are still translated. Others may take their turn meanwhile. 0 or -errno with @e set.
 */
int drain_wait(const struct plan_ports *ports, const struct backend_options *o, struct err *e);

/*
 * Resets every connection that arrived on @ports, which would hang once nobody translates it; puts
 * their number and whether the kernel can do it at all into @done. 0 or -errno with @e set.
 */
int drain_connections(const struct plan_ports *ports, struct backend_removed *done, struct err *e);

/* For errors of a removal that came so far and can neither go on nor go back. */
#define DRAIN_LEFT \
	"rules which match nothing are left ('sluice remove', run again, takes them out), because"

#endif
