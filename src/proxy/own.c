// SPDX-License-Identifier: GPL-2.0-or-later
/* Which connections are our own: see own.h. */
#include "own.h"

#include <stdatomic.h>

#define SLOTS 65536u

/* In each word: what of the address's hash the slot does not tell, and the number of flows. */
#define COUNT_BITS 8

struct own {
	_Atomic uint32_t at[SLOTS]; /* 0: nobody */
	unsigned threads;
	_Atomic uint64_t now[]; /* of each thread: the same of where it connects to */
};

struct own *own_new(unsigned threads)
{
	struct own *o = calloc(1, sizeof(*o) + threads * sizeof(o->now[0]));

	if (o)
		o->threads = threads;
	return o;
}

void own_free(struct own *o)
{
	free(o);
}

/* FNV-1a, and a last step that mixes the bits of the last bytes into all others. */
static uint64_t hash_of(const union sockaddr_any *sa)
{
	const struct addr a = sockaddr_addr(sa);
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < addr_len((enum addr_family)a.family); i++)
		hash = (hash ^ a.bytes[i]) * 1099511628211u;
	hash = (hash ^ sockaddr_port(sa)) * 1099511628211u;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
	return hash ^ hash >> 33;
}

static uint16_t slot_of(uint64_t hash)
{
	return (uint16_t)hash;
}

static uint32_t mark_of(uint64_t hash)
{
	return (uint32_t)(hash >> 40) << COUNT_BITS;
}

void own_begin(struct own *o, unsigned thread, const union sockaddr_any *to, uint8_t before)
{
	uint64_t word = hash_of(to) << COUNT_BITS | (before + 1u);

	atomic_store_explicit(&o->now[thread], word, memory_order_release);
}

void own_claim(struct own *o, unsigned thread, const union sockaddr_any *local, uint8_t before,
	       struct own_claim *claim)
{
	if (local) {
		uint64_t hash = hash_of(local);

		claim->mark = mark_of(hash) | (before + 1u);
		claim->slot = slot_of(hash);
		atomic_store_explicit(&o->at[claim->slot], claim->mark, memory_order_release);
	}
	atomic_store_explicit(&o->now[thread], 0, memory_order_release);
}

void own_release(struct own *o, struct own_claim *claim)
{
	uint32_t mark = claim->mark;

	/* Not another's, who has taken the slot meanwhile. */
	if (mark)
		atomic_compare_exchange_strong_explicit(&o->at[claim->slot], &mark, 0,
							memory_order_relaxed, memory_order_relaxed);
	claim->mark = 0;
}

unsigned own_before(const struct own *o, const union sockaddr_any *peer)
{
	uint64_t hash = hash_of(peer);
	uint32_t mark = atomic_load_explicit(&o->at[slot_of(hash)], memory_order_acquire);

	return mark >> COUNT_BITS == mark_of(hash) >> COUNT_BITS ? mark & 0xff : 0;
}

unsigned own_before_now(const struct own *o, const union sockaddr_any *peer,
			const union sockaddr_any *to)
{
	uint64_t hash = hash_of(to) << COUNT_BITS;
	unsigned now = 0, before;

	for (unsigned i = 0; i < o->threads; i++) {
		uint64_t word = atomic_load_explicit(&o->now[i], memory_order_acquire);

		if (word >> COUNT_BITS == hash >> COUNT_BITS)
			now = MAX(now, word & 0xff);
	}
	before = own_before(o, peer);
	return before ? before : now;
}
