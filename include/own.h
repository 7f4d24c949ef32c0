/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which connections are our own, for the threads that accept them.
 *
 * Theory of Operation: with rules that do not name our user, what we connect comes back to us, to
 * any thread, which connects again, for ever. So who connects writes down from which address, and
 * how many flows of ours lie before; who accepts looks its peer up. A table of atomic words that
 * all threads of a worker share: no locks, and no thread looks at another's flows. Two connections
 * may share an address and a port towards different destinations; then the later one counts.
 *
 * The address is known only when connect(2) has returned, and by then another thread may have
 * accepted the connection. So each thread says before where it connects to, and until it has
 * written the address down. Whoever has accepted a connection that is not in the table, to where
 * another thread connects at that moment, waits for that thread and looks again. It cannot take
 * the connection for the other's at once: with a busy destination, a count that was guessed would
 * be passed on from thread to thread, and grow without any loop. Nobody waits while it connects
 * itself, so none waits for another in a ring.
 */
#ifndef SLUICE_OWN_H
#define SLUICE_OWN_H

#include "origdst.h"

struct own;

/* What was written down of one connection. All zero: nothing. */
struct own_claim {
	uint64_t mark;
	uint16_t slot;
};

/*
 * For @threads of them. NULL without memory, of which it takes as much as there are connections,
 * at most 512 KiB.
 */
struct own *own_new(unsigned threads);
void own_free(struct own *o);

/* @thread is about to connect to @to. */
void own_begin(struct own *o, unsigned thread, const union sockaddr_any *to);

/* It does so from @local, behind @before flows of ours (less than 255); NULL: it does not. */
void own_claim(struct own *o, unsigned thread, const union sockaddr_any *local, uint8_t before,
	       struct own_claim *claim);

/* No more. To be said before the socket is closed: then the port may be another's. Idempotent. */
void own_release(struct own *o, struct own_claim *claim);

/* How many flows of ours lie before a connection from @peer, with the one that makes it; 0: none.
 */
unsigned own_before(const struct own *o, const union sockaddr_any *peer);

/*
 * The same of one to @to that was accepted just now. Waits, 2 ms at most, for threads that connect
 * to @to; not to be asked by one that does. One that takes longer may go uncounted.
 */
unsigned own_before_now(const struct own *o, const union sockaddr_any *peer,
			const union sockaddr_any *to);

#endif
