/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nftables backend: a plan into the kernel, out of it, and held against it.
 *
 * Theory of Operation: everything begins with reading back what is there. When that equals the
 * plan, nothing is sent. Otherwise one transaction, on the very generation that was read, makes
 * it so: in place where the kernel can (chains flushed and refilled, new sets under the next
 * generation, old ones deleted), so that the set `alive` keeps its elements and no connection
 * meets neither plan; by replacing the table where it cannot (a hook's priority). Then the kernel
 * is read again: only that proves anything.
 */
#ifndef SLUICE_BACKEND_NFT_H
#define SLUICE_BACKEND_NFT_H

#include "compare.h"
#include "plan.h"

/* What apply did. */
struct backend_applied {
	bool changed;	 /* false: it was all there already */
	bool overtaken;	 /* somebody changed nftables between our transaction and the proof */
	size_t elements; /* of all sets together */
};

/* Makes the kernel hold @p. 0 or -errno with @e set; after a failure the old state stands. */
int backend_nft_apply(const struct plan *p, struct backend_applied *done, struct err *e);

/* Returns the number of differences, each told to @report, or -errno with @e set. */
long backend_nft_check(const struct plan *p, compare_report *report, void *data, struct err *e);

/* What remove did. */
struct backend_removed {
	bool existed;
	bool cannot_destroy;	    /* the kernel lacks SOCK_DESTROY */
	struct plan_ports ports; /* where redirected connections arrived */
	size_t destroyed;	    /* proxied connections */
};

/*
 * Takes everything of ours out and resets the connections that go through the proxy, which would
 * hang without translation. 0 or -errno with @e set.
 */
int backend_nft_remove(struct backend_removed *done, struct err *e);

#endif
