/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One data thread of the worker: an event loop, the listeners that it accepts from, its flows.
 *
 * Theory of Operation: nothing here is shared but what is _Atomic, and that only for bookkeeping
 * outside the data path (struct vitals is the worker's, see vitals.h). A thread goes round at
 * least once per half heartbeat, also when idle, so that its rounds show that it is not stuck.
 */
#ifndef SLUICE_THREAD_H
#define SLUICE_THREAD_H

#include "flow.h"
#include "flow_list.h"
#include "loop.h"
#include "own.h"
#include "pipes.h"
#include "pod.h"
#include "quota.h"
#include "record.h"
#include "resolver.h"

#include <pthread.h>
#include <stdatomic.h>

/* What all threads of a worker go by. */
enum phase {
	PHASE_SERVING,	/* the heart beats */
	PHASE_LEAVING,	/* no beat any more; still accepting, until the kernel believes it */
	PHASE_DRAINING, /* listeners closed; flows may end */
	PHASE_ENDED,	/* flows that are left are reset */
	PHASE_COUNT,
};

/* Shared by the threads of a worker; the fields that change are atomic. */
struct thread_shared {
	const struct proxy_config *config;
	struct pod *pod;
	const struct quota *quota;
	const _Atomic bool *observers_off;
	struct envoy_stats *envoy;   /* one for each thread */
	uint8_t semconv;	     /* enum semconv */
	const struct routes *routes; /* NULL: none */
	unsigned thread_count;
	struct access_log *log; /* NULL: none */
	unsigned idle_ms;	/* a thread goes round at least this often */
	int listed;		/* eventfd: a page of some thread's flows is there */
	_Atomic int phase;
	_Atomic uint32_t connections; /* of all threads */
	_Atomic int armed;	      /* as the last beat showed; -1: none was sent yet */
	_Atomic bool unheard;	      /* no rule took the last beat that was sent, if any was */
	struct own *own;	      /* connections that were made while it was so */
	_Atomic bool memory_full;     /* resident memory has reached its limit */
};

/* A listener as an event source of one thread. */
struct acceptor {
	struct loop_source source;
	struct thread *thread;
	const struct pod_listener *listener;
};

struct thread {
	struct loop loop;
	struct thread_shared *shared;
	struct recorder recorder;
	unsigned index;
	pthread_t handle; /* not of thread 0: that is the process's first */
	int phase;	  /* the phase that this thread has carried out */

	struct acceptor *acceptors; /* owned */
	size_t acceptor_count;
	uint64_t accept_again;	 /* ns; 0: accepting, else paused until then */
	_Atomic uint64_t paused; /* ns, when it last was: the heart then says no more for a while */
	int spare_fd;		 /* to be given up for a flow that finds no other; -1: it was */

	struct flow *flows;	    /* living, doubly linked, youngest first */
	uint64_t next_housekeeping; /* ns */
	uint32_t most_flows;	    /* since memory was given back */
	uint64_t most_backlog;	    /* likewise */
	_Atomic uint64_t backlog;   /* bytes of all backlogs; this thread alone writes it */
	struct forward *timed;	    /* those with a deadline */
	uint64_t timed_wake;	    /* ns: none of these is earlier */
	struct flow *ended;	    /* freed after the round: events for them may be in hand */
	uint32_t flow_count;
	uint64_t now; /* ns, of the event being handled */
	char *buffer; /* FLOW_BUFFER bytes, of whoever is being handled */
	struct pipe_pool pipes;
	struct flow_lister lister;

	struct resolver *resolver; /* owned */

	_Atomic uint64_t rounds;
};

/* @index is the thread's number; @shard is its own. On failure nothing is left open. */
int thread_init(struct thread *t, struct thread_shared *shared, unsigned index,
		struct metrics_shard *shard, struct err *e);

/* Resets what flows are left and frees everything. */
void thread_fini(struct thread *t);

/*
 * One round: waits at most until @wake (ns, CLOCK_MONOTONIC) or half a beat, handles what is
 * ready, carries out a change of phase. False when the phase is ENDED, or DRAINING without flows.
 */
bool thread_round(struct thread *t, uint64_t wake);

/* @bytes more (or less) wait for slow readers. */
static inline void thread_backlog(struct thread *t, int64_t bytes)
{
	uint64_t was = atomic_load_explicit(&t->backlog, memory_order_relaxed);

	atomic_store_explicit(&t->backlog, was + (uint64_t)bytes, memory_order_relaxed);
	t->most_backlog = MAX(t->most_backlog, was + (uint64_t)bytes);
}

/* How much may be read at once: little where memory is short, so that little may be left over. */
static inline size_t thread_read_max(struct thread *t)
{
	bool tight = atomic_load_explicit(&t->backlog, memory_order_relaxed) >=
			     t->shared->quota->backlog ||
		     atomic_load_explicit(&t->shared->memory_full, memory_order_relaxed);

	return unlikely(tight) ? FLOW_BUFFER_TIGHT : FLOW_BUFFER;
}

/*
 * Begins to connect, as upstream_connect() does, and watches until the connection stands; from a
 * flow with @before flows of ours before it. A socket may be there on failure, too: @source's.
 */
int thread_connect(struct thread *t, const union sockaddr_any *to, const union sockaddr_any *from,
		   uint8_t before, struct loop_source *source, struct own_claim *claim);

/*
 * How many flows of ours lie before the connection @fd, if it is of our own making; else 0. With
 * rules that do not name our uid, what we send comes back to us, for ever. The heart cannot beat
 * then, so this is asked only while no rule hears it (--fail=closed redirects all the same).
 */
unsigned thread_own_before(struct thread *t, int fd);

/* The same, where it goes to @to and was accepted just now: see own_before_now(). */
unsigned thread_own_before_now(struct thread *t, int fd, const union sockaddr_any *to);

/* Takes no new connection for a moment: descriptors, memory or connections have run out. */
void thread_pause_accepting(struct thread *t);

/* Frees the spare descriptor for whoever needs one now, and pauses. False: it was spent before. */
bool thread_spend_spare(struct thread *t);

#endif
