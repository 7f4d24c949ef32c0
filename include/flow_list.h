/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The living flows, for whoever wants to see them.
 *
 * Theory of Operation: flows are their threads' own, so it is the thread that writes down what it
 * has: a page of rows when an eventfd asks it to, then it goes on with its data until the reader
 * (the admin thread) has taken the page and asks for the next. A reader has one place in every
 * thread; whose turn it is there says who may touch the page. The thread keeps where it got to;
 * when that flow ends, the place moves on to the next. So a flow that lives all the while is
 * listed exactly once, and one that begins or ends meanwhile at most once.
 */
#ifndef SLUICE_FLOW_LIST_H
#define SLUICE_FLOW_LIST_H

#include "loop.h"
#include "origdst.h"
#include "protocol.h"

#include <stdatomic.h>

#define FLOW_LIST_READERS 4u  /* at once */
#define FLOW_LIST_ROWS	  64u /* a page: what a thread does at one go */

struct flow;
struct thread;

/* What is told of a flow. */
struct flow_row {
	uint64_t id; /* of the worker's flows */
	uint64_t age_ns;
	uint64_t bytes[WAY_COUNT];
	uint32_t requests; /* that were answered, or ended without an answer */
	uint8_t direction, protocol;
	const char *state;
	union sockaddr_any client, destination, upstream; /* AF_UNSPEC: there is none (yet) */
};

struct flow_page {
	bool first; /* set by the reader: begin with this thread's first flow */
	bool last;  /* set by the thread: it has no more */
	unsigned count;
	struct flow_row rows[FLOW_LIST_ROWS];
};

/* A reader's place in one thread. */
struct flow_list_place {
	_Atomic int turn;	/* enum flow_list_turn of flow_list.c */
	struct flow_page *page; /* of whoever's turn it is */
	struct flow *next;	/* the thread's: where it got to, NULL: at the end */
};

/* A thread's part. */
struct flow_lister {
	struct loop_source source; /* eventfd: somebody waits for a page */
	struct flow_list_place places[FLOW_LIST_READERS];
	int answered; /* eventfd that tells the reader; borrowed */
};

/* 0 or a negative errno. @answered lives longer than the thread. */
int flow_lister_init(struct flow_lister *l, struct loop *loop, int answered);

/* The thread is over, and so are all readers. */
void flow_lister_fini(struct flow_lister *l);

/* @f is about to leave its thread's list. */
void flow_lister_skip(struct flow_lister *l, const struct flow *f);

/* All threads of a worker, as a reader finds them. */
struct flow_list {
	struct thread *threads;
	unsigned thread_count;
	int answered; /* eventfd, readable when some page is there */
	bool taken[FLOW_LIST_READERS];
};

struct flow_reader;

/* NULL: there are FLOW_LIST_READERS already, or no memory. In the admin thread, as what follows. */
struct flow_reader *flow_reader_new(struct flow_list *list);
void flow_reader_free(struct flow_reader *r);

/*
 * The next page: 1 and *@page, valid until the next call; 0: not yet, `answered` will tell;
 * -ENODATA: that was all.
 */
int flow_reader_next(struct flow_reader *r, const struct flow_page **page);

#endif
