/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and addresses by DNS, of one thread and driven by its loop: no threads, no locks.
 *
 * Theory of Operation: c-ares does the asking, of the servers that resolv.conf names; what it opens
 * are sources of the loop. It is set up with the first question, so a proxy that asks nothing pays
 * nothing. Answers are kept in a cache (resolver_cache.h) for as long as their TTL says, within
 * bounds; a question that is under way already is joined, not asked again. Questions under way and
 * cached answers are bounded in number, whoever answers slowly, wrongly or not at all. Nobody is
 * called from within a question: an answer is there at once, or comes later from the loop.
 *
 * resolv.conf is read again when it has changed, with the next question. What is under way then is
 * asked once more, of the new servers; a question that lives to see a second change has failed, or
 * a file that keeps changing would keep it for ever. Files of hosts (/etc/hosts) count for
 * addresses, as nsswitch.conf says, and not for PTR.
 *
 * Of A and AAAA the one that is late is not waited for (RFC 8305 sect. 3): the addresses that are
 * there are the answer, and the rest of it follows. A family that was not answered at all is not
 * asked for again for a while, unless the name has no addresses of the other.
 */
#ifndef SLUICE_RESOLVER_H
#define SLUICE_RESOLVER_H

#include "addr.h"
#include "loop.h"
#include "metrics.h"

/* Addresses that are kept of one name; further ones are left out. */
#define RESOLVER_ADDRESSES_MAX 16

struct resolver;
struct resolver_request;

struct resolver_config {
	const char *resolv_conf; /* NULL: /etc/resolv.conf; must outlive the resolver */
	uint16_t port;		 /* of the servers; 0: 53 */
	uint32_t timeout_ms;	 /* of one question to one server, the first time; 0: the default */
	uint32_t check_ms;	 /* resolv.conf is looked at no more often; 0: the default */
	uint32_t delay_ms;	 /* the Resolution Delay of RFC 8305 sect. 3; 0: the default */
	uint32_t max_entries;	 /* of the cache; 0: the default */
	uint32_t max_questions;	 /* under way at once; 0: the default */
};

struct resolver_answer {
	enum dns_result result;
	/* Of resolver_addresses(), where ANSWERED: at least one, in the order of the answer. */
	const struct addr *addresses;
	size_t count;
	bool more; /* the rest is being waited for: there will be another answer, with all of them
		    */
	/* Of resolver_ptr(), where ANSWERED: in lower case, [a-z0-9.-] alone, no final dot. */
	struct span name;
};

/*
 * @answer and what it points to are valid until the next question is asked, or this returns. Where
 * @answer->more, this is called again unless it is cancelled, and @request stays where it is.
 */
typedef void resolver_done(struct resolver_request *request, const struct resolver_answer *answer);

/* Somebody who waits: embedded in what it belongs to, found again with CONTAINER_OF. */
struct resolver_request {
	resolver_done *done; /* the caller's; the rest is the resolver's */
	struct resolver_request *next, **link;
};

/* NULL with @e set when memory is out. From one thread, before and after all others. */
struct resolver *resolver_new(const struct resolver_config *config, struct loop *loop,
			      struct metrics_shard *shard, struct err *e);

/* Whoever waits still is not called any more. NULL is fine. */
void resolver_free(struct resolver *r);

/*
 * The addresses of @name, of both families, with the search domains of resolv.conf (a final dot:
 * as it stands). True: *@answer is there at once, valid until the next question. False, or where
 * @answer->more: @request->done will be called unless it is cancelled; @request stays where it is
 * till then.
 */
bool resolver_addresses(struct resolver *r, struct span name, struct resolver_request *request,
			struct resolver_answer *answer);

/*
 * The name of @address. Of several, one below a search domain, of these the first in the alphabet:
 * the same whatever their order. A name whose TTL is over is asked for again and goes on being the
 * answer meanwhile, for an hour at most. True and false as above; @request NULL: nobody waits, and
 * false means that it is worth asking again later.
 */
bool resolver_ptr(struct resolver *r, const struct addr *address, struct resolver_request *request,
		  struct resolver_answer *answer);

/* @request->done is not called any more. Also where it was, or nobody waits: then nothing. */
void resolver_cancel(struct resolver_request *request);

/* Whether @name lies below one of resolv.conf's search domains (it is none itself). */
bool resolver_searches(struct resolver *r, struct span name);

/* Whether there are search domains at all. */
bool resolver_has_search(struct resolver *r);

/* When resolver_tick() is due, ns of loop_clock(); UINT64_MAX: nothing is under way. */
uint64_t resolver_wake(const struct resolver *r);

/* Sees to time-outs, and to answers that came outside of the loop. Cheap when it is not due. */
void resolver_tick(struct resolver *r);

#endif
