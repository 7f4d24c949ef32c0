/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The admin server: GET or HEAD of /metrics, /ready and /live, in a thread of its own.
 *
 * Theory of Operation: one poll loop over the listening sockets, an eventfd that asks it to stop,
 * and at most max_clients connections; more wait in the kernel's queue. A connection holds at
 * most ADMIN_HEAD_MAX bytes of request and one rendered answer, and must bring its request and
 * take its answer within the time limit, so a slow scraper holds memory no longer than that.
 * Nothing here touches a flow: metrics are read without locks.
 */
#ifndef SLUICE_ADMIN_H
#define SLUICE_ADMIN_H

#include "error.h"
#include "metrics.h"

#define ADMIN_HEAD_MAX	8192u /* bytes of a request head; a longer one is answered with 431 */
#define ADMIN_LISTENERS 4u

struct admin;

struct admin_config {
	int listeners[ADMIN_LISTENERS]; /* listening TCP sockets, borrowed; made nonblocking */
	unsigned listener_count;
	unsigned max_clients;	   /* 0: 64 */
	unsigned request_limit_ms; /* for a whole request and its answer; 0: 10,000 */
	unsigned idle_limit_ms;	   /* for a kept connection's next request; 0: 120,000 */
	struct metrics *metrics;   /* borrowed */
	/* NULL when ready, else why not in one word or a few ("starting", "draining"). */
	const char *(*not_ready)(void *ctx);
	/* Fills in what a scrape tells of the process. */
	void (*process)(void *ctx, struct metrics_process *out);
	void *ctx; /* both callbacks run in the admin thread */
};

/*
 * Starts the thread, with all signals blocked in it. 0 and *@out, or a negative errno with @e
 * set. What @config points to must live until admin_stop(); @config itself is copied.
 */
int admin_start(const struct admin_config *config, struct admin **out, struct err *e);

/* Ends the connections and the thread, waits for it and frees. NULL does nothing. */
void admin_stop(struct admin *a);

#endif
