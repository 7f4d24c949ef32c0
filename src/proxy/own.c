// SPDX-License-Identifier: GPL-2.0-or-later
/* Which connections are our own: see own.h. */
#include "own.h"

#include "loop.h"

#include <sched.h>
#include <stdatomic.h>

#define SLOTS 65536u

/*
 * In each mark: what of the address's hash the slot does not tell, which claim it is, by which two
 * of one address are told apart, and the number of flows.
 */
#define COUNT_BITS 8
#define CLAIM_BITS 16
#define HASH_SHIFT (COUNT_BITS + CLAIM_BITS)
#define COUNT_MASK ((1u << COUNT_BITS) - 1)

/*
 * In a thread's word: the hash of where it connects to, or 0 in its place; and how often it has
 * begun to, by which one of its connects is told from its next to the same destination.
 */
#define TURN_BITS 16
#define TURN_MASK ((UINT64_C(1) << TURN_BITS) - 1)

/* A connect that does not wait takes a hundredth of this, where its thread is not interrupted. */
#define WAIT_NS 2000000u

struct own {
	_Atomic uint64_t at[SLOTS]; /* 0: nobody */
	_Atomic uint16_t claims;    /* so many there were; they are counted round and round */
	unsigned threads;
	_Atomic uint64_t now[];
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

static uint64_t mark_of(uint64_t hash)
{
	return hash >> HASH_SHIFT << HASH_SHIFT;
}

/* Of a thread that connects to what has @hash; without its turn. */
static uint64_t busy_with(uint64_t hash)
{
	return (hash | UINT64_C(1) << TURN_BITS) & ~TURN_MASK;
}

/* Only the thread itself writes its word. */
static uint64_t turn_of(const struct own *o, unsigned thread)
{
	return atomic_load_explicit(&o->now[thread], memory_order_relaxed) & TURN_MASK;
}

void own_begin(struct own *o, unsigned thread, const union sockaddr_any *to)
{
	uint64_t word = busy_with(hash_of(to)) | ((turn_of(o, thread) + 1) & TURN_MASK);

	atomic_store_explicit(&o->now[thread], word, memory_order_release);
}

void own_claim(struct own *o, unsigned thread, const union sockaddr_any *local, uint8_t before,
	       struct own_claim *claim)
{
	if (local) {
		uint64_t hash = hash_of(local);

		uint64_t number = atomic_fetch_add_explicit(&o->claims, 1, memory_order_relaxed);

		claim->mark = mark_of(hash) | number << COUNT_BITS | (before + 1u);
		claim->slot = slot_of(hash);
		atomic_store_explicit(&o->at[claim->slot], claim->mark, memory_order_release);
	}
	atomic_store_explicit(&o->now[thread], turn_of(o, thread), memory_order_release);
}

void own_release(struct own *o, struct own_claim *claim)
{
	uint64_t mark = claim->mark;

	/* Not a later one's, who has the slot meanwhile. */
	if (mark)
		atomic_compare_exchange_strong_explicit(&o->at[claim->slot], &mark, 0,
							memory_order_relaxed, memory_order_relaxed);
	claim->mark = 0;
}

unsigned own_before(const struct own *o, const union sockaddr_any *peer)
{
	uint64_t hash = hash_of(peer);
	uint64_t mark = atomic_load_explicit(&o->at[slot_of(hash)], memory_order_acquire);

	return mark_of(mark) == mark_of(hash) ? (unsigned)(mark & COUNT_MASK) : 0;
}

/*
 * Waits until @thread has done what it does, if that is a connect to what has @hash. It may be
 * behind us on our own processor: there it gets its turn.
 */
static void wait_for(const struct own *o, unsigned thread, uint64_t hash, uint64_t until)
{
	uint64_t word = atomic_load_explicit(&o->now[thread], memory_order_acquire);

	if ((word & ~TURN_MASK) != busy_with(hash))
		return;
	while (atomic_load_explicit(&o->now[thread], memory_order_acquire) == word &&
	       loop_clock() < until)
		sched_yield(); /* #syscalls sched_yield */
}

unsigned own_before_now(const struct own *o, const union sockaddr_any *peer,
			const union sockaddr_any *to)
{
	unsigned before = own_before(o, peer);
	uint64_t hash, until;

	if (before)
		return before;
	hash = hash_of(to);
	until = loop_clock() + WAIT_NS;
	for (unsigned i = 0; i < o->threads; i++)
		wait_for(o, i, hash, until);
	return own_before(o, peer);
}
