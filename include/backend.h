/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What carries a plan into the kernel: nftables or the legacy tables, behind one interface. */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include "compare.h"
#include "plan.h"

struct backend_options {
	uint32_t lock_timeout_ms; /* how long to wait for the lock of iptables */
};

/* What apply did. */
struct backend_applied {
	bool changed;	    /* false: it was all there already */
	bool overtaken;	    /* somebody changed the rules between our change and the proof */
	bool counters_lost; /* the kernel took the rules but not others' counters */
	size_t rules;
	size_t sets, elements; /* of all sets together; 0 where the backend has none */
};

/* What remove did. */
struct backend_removed {
	bool existed;
	bool cannot_destroy;	 /* the kernel lacks SOCK_DESTROY */
	struct plan_ports ports; /* where redirected connections arrived */
	size_t destroyed;	 /* proxied connections */
};

struct backend {
	const char *name; /* as --backend takes it */

	/*
	 * Makes the kernel hold @p, and proves it by reading it back. 0 or -errno with @e set;
	 * after a failure the old state stands.
	 */
	int (*apply)(const struct plan *p, const struct backend_options *o,
		     struct backend_applied *done, struct err *e);

	/*
	 * Takes everything of ours out and resets the connections that go through the proxy, which
	 * would hang without translation. 0 or -errno with @e set.
	 */
	int (*remove)(const struct backend_options *o, struct backend_removed *done, struct err *e);

	/* Returns the number of differences, each told to @report, or -errno with @e set. */
	long (*check)(const struct plan *p, compare_report *report, void *data, struct err *e);

	/*
	 * Whether there is anything of ours; asking changes nothing. 1, 0, or -errno with @e set:
	 * -EACCES where this user may not know.
	 */
	int (*present)(struct err *e);
};

#endif
