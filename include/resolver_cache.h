/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one thread knows of DNS: answers by question, bounded, the least recently used given up
 * first. Pure: time comes with the call (ns of any clock that only goes forward).
 *
 * Theory of Operation: an entry is one question and the last answer to it. It is `asking` while
 * c-ares looks for an answer (or another one), those who wait hang on it meanwhile; then it is
 * `queued` until they are told, and `telling`. An entry that is any of these is not given up.
 */
#ifndef SLUICE_RESOLVER_CACHE_H
#define SLUICE_RESOLVER_CACHE_H

#include "protocol.h"
#include "resolver.h"

/* A power of two: 2 KiB, once there is an entry. */
#define RESOLVER_CACHE_LISTS 256u

struct cache_entry {
	struct cache_entry *next;		/* in its list */
	struct cache_entry *older, *newer;	/* by use */
	struct cache_entry *done;		/* the resolver's list of those to be told */
	struct resolver *resolver;		/* whose it is, for who asks */
	struct lookup *lookup;			/* of addresses, while `asking` */
	struct resolver_request *waiting;	/* for an answer, for more of it, or to be told */
	uint64_t expires;			/* ns; the answer holds until then */
	uint64_t stale_until;			/* ns; and may still be given until then */
	uint64_t unanswered[ADDR_FAMILY_COUNT]; /* ns; this family had no answer: not asked till
						   then */
	void *data;				/* owned: addresses, or a name; NULL: neither */
	uint32_t count;				/* of addresses, or the name's length */
	uint32_t hash;
	uint8_t question;	      /* enum dns_question */
	uint8_t result;		      /* enum dns_result, if known */
	bool known;		      /* there is an answer, fresh or not */
	bool asking, queued, telling; /* see above */
	bool partial;		      /* it is known in part, and `asking` for the rest */
	bool again;		      /* it is asked of other servers than at first */
	uint8_t key_len;
	char key[]; /* a name, or the bytes of an address */
};

struct resolver_cache {
	struct cache_entry **lists;	     /* owned; NULL until there is an entry */
	struct cache_entry *newest, *oldest; /* by use */
	uint32_t count, max;
	uint32_t counts[DNS_QUESTION_COUNT];
};

static inline bool cache_entry_busy(const struct cache_entry *e)
{
	return e->asking || e->queued || e->telling;
}

void resolver_cache_init(struct resolver_cache *c, uint32_t max);

/* Frees all entries, busy ones too. */
void resolver_cache_fini(struct resolver_cache *c);

/* The entry of a question, which counts as used now; or NULL. @key is at most 255 bytes. */
struct cache_entry *resolver_cache_find(struct resolver_cache *c, enum dns_question question,
					struct span key);

/*
 * A new entry for a question that has none, without an answer. Full, it takes the place of the one
 * that was not used for longest. NULL: all are busy, or memory is out.
 */
struct cache_entry *resolver_cache_add(struct resolver_cache *c, enum dns_question question,
				       struct span key);

/* Forgets all that are not busy. */
void resolver_cache_forget(struct resolver_cache *c);

/*
 * Notes an answer, which holds until @expires. @data is copied, @size bytes; without memory for it
 * the answer is DNS_FAILED.
 */
void resolver_cache_answer(struct cache_entry *e, enum dns_result result, const void *data,
			   size_t size, uint32_t count, uint64_t expires);

#endif
