/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connecting to a host that a client named, for a forward proxy: its addresses, what of them may be
 * gone to, and attempts by RFC 8305 (happy eyeballs): IPv6 and IPv4 in turn, the next one a quarter
 * of a second after the last, or at once when one fails; the first that stands wins. Addresses that
 * DNS has later are tried as well, in their turn, and none has failed before they have (sect. 3).
 *
 * Every address is judged after every resolution, right before it is connected to: never the name,
 * and never an answer from before (CVE-2009-0801, DNS rebinding).
 */
#ifndef SLUICE_DIAL_H
#define SLUICE_DIAL_H

#include "loop.h"
#include "origdst.h"
#include "own.h"
#include "resolver.h"
#include "span.h"

struct thread;

enum dial_end {
	DIAL_CONNECTED,
	DIAL_FORBIDDEN, /* a destination that nobody is taken to: forward_rules.h, and local ones */
	DIAL_UNRESOLVED,  /* no such name, or no server could say */
	DIAL_DNS_TIMEOUT, /* no server said anything */
	DIAL_REFUSED,	  /* of several addresses, what the last one of interest said */
	DIAL_UNREACHABLE,
	DIAL_RESET, /* the connection stood, and was reset before anybody looked */
	DIAL_TIMEOUT,
	DIAL_LIMIT, /* a limit of ours: descriptors, memory, questions */
	DIAL_END_COUNT,
};

struct dial;

/*
 * Where @end is DIAL_CONNECTED, @fd is the connected socket, the callee's; so is what its attempt
 * has of own.h.
 */
typedef void dial_done(struct dial *d, enum dial_end end, int fd);

/* Another attempt is due at @d->next_at: dial_tick() is to be called then. */
typedef void dial_timer(struct dial *d);

struct dial_attempt {
	struct loop_source source;
	uint8_t index; /* in the dial's */
	struct own_claim own;
};

/* Part of what it belongs to, where it stays in place until the end of the round. Zero is idle. */
struct dial {
	struct thread *thread;
	dial_done *done;
	dial_timer *timer;
	struct resolver_request request;
	const union sockaddr_any *unjudged; /* where the client itself was going; NULL: nowhere */
	uint64_t began;			    /* ns, when there were addresses to try */
	uint64_t last_at;		    /* ns, when the last attempt began */
	uint64_t next_at;		    /* ns, of the next one; 0: not by time */
	uint16_t port;
	uint8_t count, next; /* of the addresses; the first not tried */
	uint8_t before;	     /* as thread_connect() wants it */
	uint8_t pending;     /* attempts under way */
	uint8_t won;	     /* DIAL_CONNECTED, DIAL_RESET: which of the addresses it is */
	uint8_t end;	     /* enum dial_end, of what has failed so far */
	bool busy;
	bool expects; /* more addresses */
	struct addr addresses[RESOLVER_ADDRESSES_MAX];
	struct dial_attempt attempts[RESOLVER_ADDRESSES_MAX]; /* of each address */
};

/*
 * Begins; @d->thread, ->done, ->timer, ->before and ->unjudged are set. done() may be called before
 * this returns, and is called once unless dial_cancel() comes first.
 */
void dial_start(struct dial *d, struct span host, uint16_t port);

/* Gives up what is under way. Idempotent. */
void dial_cancel(struct dial *d);

/* To be called when next_at has come. */
void dial_tick(struct dial *d);

#endif
