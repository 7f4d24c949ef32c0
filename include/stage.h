/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where verify plays: a namespace of its own behind a veth pair, and addresses that lead nowhere
 * else, so that no packet leaves.
 *
 *	this namespace                        the peer's
 *	198.18.206.n/30, fd51:ce00::n  slv...  - peer   198.18.206.n/30, fd51:ce00::n
 *	                                              192.0.2.n, 2001:db8:51ce::n
 *
 * Theory of Operation: the peer's namespace has no name and dies with this process, the veth pair
 * with it, and what routes through it. Addresses that the user's lists name may belong to somebody:
 * they are given to the peer for the while, but only sockets that carry our mark are routed there.
 * The two routing rules for that mark are all that could outlive us: stage_fini() takes them out,
 * and stage_init() what a killed run left.
 */
#ifndef SLUICE_STAGE_H
#define SLUICE_STAGE_H

#include "addr.h"
#include "config.h"

enum stage_side {
	STAGE_HERE,
	STAGE_PEER,
};

struct stage {
	int home, peer; /* namespaces; peer < 0: both ends of the pair are here */
	char iface[IFACE_NAME_MAX + 1];
	unsigned index, peer_index;
	struct addr here[ADDR_FAMILY_COUNT], there[ADDR_FAMILY_COUNT];
	struct addr other[ADDR_FAMILY_COUNT];  /* the peer's, too: in case a list has the first */
	struct addr beyond[ADDR_FAMILY_COUNT]; /* of nobody, and routed to the peer */
	struct addr linklocal;		       /* the peer's */
	bool family[ADDR_FAMILY_COUNT];	       /* which there are */
	bool marked[ADDR_FAMILY_COUNT];	       /* our mark is routed by our table */
	struct err no_peer;		       /* why */
	struct addr *lent; /* owned: what the peer has already of stage_lend() */
	size_t lent_count;
};

/*
 * @name: how the interface shall be called. Without the privilege for a namespace of our own there
 * is no peer. 0 or -errno with @e set; stage_fini() is due after either.
 */
int stage_init(struct stage *s, const char *name, struct err *e);
void stage_fini(struct stage *s);

/* Gives the peer an address that only marked sockets here reach. 0 or -errno with @e set. */
int stage_lend(struct stage *s, const struct addr *a, struct err *e);

/*
 * A marked, non-blocking socket of @type on that side, made by this user and group. Returns it or
 * -errno with @e set.
 */
int stage_socket(const struct stage *s, enum stage_side side, enum addr_family family, int type,
		 uint32_t uid, uint32_t gid, struct err *e);

#endif
