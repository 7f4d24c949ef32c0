/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * c-ares as the resolver drives it: one channel, its sockets in a loop, resolv.conf followed.
 *
 * Theory of Operation: set up when it is first needed. A resolv.conf that has changed makes it be
 * set up anew, whatever is under way: servers that are dead may keep it so for as long as they are
 * asked, and it is their replacement that ends that.
 */
#ifndef SLUICE_RESOLVER_CHANNEL_H
#define SLUICE_RESOLVER_CHANNEL_H

#include "dns_message.h"
#include "resolver.h"

#include <ares.h>
#include <time.h>

/* Of each server one socket for UDP and one for TCP. What finds no room fails at that server. */
#define RESOLVER_SOCKETS_MAX 16

struct resolver_socket {
	struct loop_source source;
	struct resolver_channel *channel;
	bool used;
};

struct resolver_channel {
	/*
	 * NULL until there is a question. Only ares_query() asks DNS: ares_getaddrinfo() reads
	 * /etc/hosts, and answers before it returns.
	 */
	ares_channel ares;
	const struct resolver_config *config;
	struct loop *loop;
	bool closing; /* what c-ares says now is of no interest */
	bool complained;
	struct ares_options told; /* what the files said: search domains, sources of names */
	struct timespec changed;  /* when resolv.conf was */
	uint64_t next_check;	  /* ns */
	struct resolver_socket sockets[RESOLVER_SOCKETS_MAX];
	void (*progress)(struct resolver_channel *channel); /* c-ares has read or written */
};

/*
 * Ready to be asked. False: c-ares cannot be set up, which is logged once. *@renewed: resolv.conf
 * has changed: what was known by the old one is void, and what was under way has ended without a
 * word. Not from within what c-ares calls.
 */
bool resolver_channel_ready(struct resolver_channel *c, uint64_t now, bool *renewed);

/* Ends what is under way, without a word. Idempotent. */
void resolver_channel_close(struct resolver_channel *c);

/* Lets c-ares see to its time-outs. */
void resolver_channel_tick(struct resolver_channel *c);

/* Whether there are search domains, the root not counted. */
bool resolver_channel_has_search(const struct resolver_channel *c);

/* Whether @name lies below one of the search domains. */
bool resolver_channel_searches(const struct resolver_channel *c, struct span name);

/* Where names are looked for, in turn: 'f' is /etc/hosts, 'b' is DNS. */
const char *resolver_channel_sources(const struct resolver_channel *c);

/*
 * The @n-th name, from 0, that @name may stand for: with each search domain, and as it is; that
 * first, if it has `ndots` dots or more (resolv.conf(5)), and alone with a final dot. False: there
 * are no more.
 */
bool resolver_channel_candidate(const struct resolver_channel *c, struct span name, unsigned n,
				char text[DNS_NAME_MAX + 2]);

#endif
