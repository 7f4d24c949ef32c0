/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One epoll instance and the sources that it watches, level-triggered. */
#ifndef SLUICE_LOOP_H
#define SLUICE_LOOP_H

#include "error.h"

#include <sys/epoll.h>

/*
 * Something with a descriptor that becomes ready. Embedded in what it belongs to; the handler
 * finds that again with CONTAINER_OF. EPOLLERR and EPOLLHUP are always reported, whatever is
 * watched: a handler that neither ends nor unwatches such a source spins.
 */
struct loop_source {
	int fd;
	uint32_t watched; /* events asked for; meaningful while registered */
	bool registered;
	void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop {
	int epoll_fd;
};

/* 0 or -errno. */
int loop_open(struct loop *loop, struct err *e);
void loop_close(struct loop *loop);

/* Watches @source for @events (0: errors alone); costs nothing when that is so already. 0 or
 * -errno. */
int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events);

/* No more events of @source, errors included. Its descriptor may also simply be closed. */
void loop_unwatch(struct loop *loop, struct loop_source *source);

/*
 * Waits at most @timeout_ms for events and calls their handlers. A handler may close any source,
 * but memory that holds one must stay valid until this returns: an event for it may be in hand.
 */
void loop_wait(struct loop *loop, int timeout_ms);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t loop_clock(void);

#endif
