/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The addresses of a name: /etc/hosts and DNS in the order that nsswitch.conf says, the search
 * domains of resolv.conf, and for each name that comes of them A and AAAA as two questions.
 *
 * Theory of Operation: a lookup goes from name to name until one has addresses. It tells who began
 * it when there are some that need not wait for the others (resolver_race.h), and once more when
 * there are no more to come. What it no longer waits for cannot be taken back from c-ares: such
 * questions are late, and end by themselves. Their number is bounded: where there are too many,
 * AAAA is not asked if A has addresses, and nothing is told early.
 */
#ifndef SLUICE_RESOLVER_LOOKUP_H
#define SLUICE_RESOLVER_LOOKUP_H

#include "dns_message.h"
#include "protocol.h"
#include "resolver_channel.h"
#include "resolver_race.h"

struct lookup;

/*
 * There is a result: the @count addresses of both families at @list if it is DNS_ANSWERED. @more:
 * this is called again. Else @l ends with this call.
 */
typedef void lookup_told(struct lookup *l, enum dns_result result, const struct addr *list,
			 uint32_t count, bool more);

/* Those of one resolver. */
struct lookups {
	struct resolver_channel *channel; /* borrowed */
	lookup_told *told;
	struct race_delays delays;
	struct lookup *first; /* all that there are */
	uint64_t due;	      /* ns, of lookups_tick(); UINT64_MAX: not */
	uint32_t queries;     /* questions that c-ares has */
	uint32_t late;	      /* of these, which nobody waits for */
	uint32_t late_max;
};

struct lookup_half {
	struct lookup_query *query; /* under way; NULL: none */
	uint32_t ttl;		    /* s, with addresses */
	uint32_t count;
	struct addr addresses[RESOLVER_ADDRESSES_MAX];
};

struct lookup {
	struct lookups *all;
	struct lookup *next, **link;  /* in `all` */
	void *owner;		      /* whoever began it */
	const char *sources;	      /* the rest: 'f' for /etc/hosts, 'b' for DNS */
	uint64_t due;		      /* ns; UINT64_MAX: not by time */
	uint32_t candidate;	      /* the next name */
	bool skip[ADDR_FAMILY_COUNT]; /* only asked if the other has no addresses */
	bool told;		      /* that there are addresses */
	bool failed;		      /* a name before, at its servers */
	bool asking;		      /* c-ares is being called: it may answer from there */
	struct race race;
	struct lookup_half halves[ADDR_FAMILY_COUNT];
	char name[DNS_NAME_MAX + 2]; /* as it was given, NUL-terminated */
};

/* A lookup of @name, which is at most DNS_NAME_MAX and a final dot. NULL: memory is out. */
struct lookup *lookup_new(struct lookups *all, struct span name, void *owner);

/* Begins. It may have ended when this returns. */
void lookup_begin(struct lookup *l);

/* Ends @l without a word; what is under way is late. */
void lookup_free(struct lookup *l);

/* Whether the answer of @family is missing, not just empty. */
bool lookup_lacks(const struct lookup *l, enum addr_family family);

/* When the first of its addresses is no longer valid, ns: by @hold, of a TTL in seconds. */
uint64_t lookup_expires(const struct lookup *l, uint64_t (*hold)(uint64_t at, uint32_t ttl));

/* Goes on with what waited until now. */
void lookups_tick(struct lookups *all, uint64_t now);

#endif
