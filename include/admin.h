/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The admin server, in a thread of its own. What it serves is a table: admin_endpoints.c.
 *
 * Theory of Operation: one poll loop over the listening sockets, an eventfd that asks it to stop,
 * and at most max_clients connections, beside local_clients from loopback alone. A connection holds
 * at most ADMIN_HEAD_MAX bytes of request and an answer, of /metrics a piece, and must bring its
 * request and take its answer within the time limits, so a slow scraper holds memory no longer than
 * that. When every place is taken, who only waits gives way to who comes: kept connections, then
 * half requests, then answers that nobody takes. Only those under way do not: then loopback waits
 * in the kernel's queue, and others are hung up on, since loopback may be behind them.
 *
 * Every place has a descriptor from the start, by a placeholder that is given up when flows have
 * used all others. Nothing here touches a flow: metrics are read without locks.
 */
#ifndef SLUICE_ADMIN_H
#define SLUICE_ADMIN_H

#include "envoy_stats.h"
#include "error.h"
#include "flow_list.h"
#include "metrics.h"
#include "options.h"
#include "vitals.h"

#define ADMIN_HEAD_MAX	8192u /* bytes of a request head; a longer one is answered with 431 */
#define ADMIN_LISTENERS 10u   /* both families of --admin-port, and --admin-listen */

struct admin;

struct admin_config {
	int listeners[ADMIN_LISTENERS]; /* listening TCP sockets, borrowed; made nonblocking */
	unsigned listener_count;
	bool open;			    /* every peer counts as one from loopback */
	unsigned max_clients;		    /* 0: 64, and local_clients: 8 */
	unsigned local_clients;		    /* more of these for probes and people inside the pod */
	unsigned head_limit_ms;		    /* from a request's first byte to its last; 0: 2,000 */
	unsigned request_limit_ms;	    /* for its answer; 0: 10,000 */
	unsigned idle_limit_ms;		    /* for a kept connection's next request; 0: 120,000 */
	struct metrics *metrics;	    /* borrowed */
	struct flow_list *flows;	    /* borrowed */
	const struct option_table *options; /* borrowed, as is what was given for each */
	const struct option_told *told;
	/* NULL when ready, else why not in one word or a few ("starting", "draining"). */
	const char *(*not_ready)(void *ctx);
	/* Fills in what a scrape tells of the process. */
	void (*process)(void *ctx, struct metrics_process *out);
	/* The same of /stats/prometheus. */
	void (*envoy)(void *ctx, struct envoy_view *out);
	/* Somebody ordered it, and may be told what becomes of it in one line. */
	const char *(*order)(void *ctx, enum vitals_order order);
	void *ctx; /* the callbacks run in the admin thread */
};

/*
 * Starts the thread, with all signals blocked in it. 0 and *@out, or a negative errno with @e
 * set. What @config points to must live until admin_stop(); @config itself is copied.
 */
int admin_start(const struct admin_config *config, struct admin **out, struct err *e);

/* Ends the connections and the thread, waits for it and frees. NULL does nothing. */
void admin_stop(struct admin *a);

#endif
