/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who else has a hand in this namespace's connections: nat hooks, zones, exemptions from tracking.
 */
#ifndef SLUICE_NEIGHBOURS_H
#define SLUICE_NEIGHBOURS_H

#include "error.h"

#define NEIGHBOUR_TEXT_MAX 64

/* One foreign nat hook, or one table with rules that take connections from conntrack's usual view.
 */
struct neighbour {
	char where[3 * NEIGHBOUR_TEXT_MAX]; /* "nftables ip nat, chain OUTPUT" */
	char owners[NEIGHBOUR_TEXT_MAX];    /* "Istio, Docker"; "" when nobody is recognized */
	char what[NEIGHBOUR_TEXT_MAX];	    /* "nat output, priority -100"; "notrack" */
	int priority;			    /* of a hook */
	bool hook;			    /* false: zone or notrack */
	size_t rules;			    /* of that chain */
};

struct neighbours {
	struct neighbour *items; /* owned */
	size_t count, capacity;
};

/* Adds what others have in nftables. 0 or -errno with @e set. */
int neighbours_nft(struct neighbours *out, struct err *e);

/* Adds what others have in the legacy tables that this namespace has already. */
int neighbours_legacy(struct neighbours *out, struct err *e);

void neighbours_fini(struct neighbours *n);

/*
 * Whose a chain, table or comment is, by how its name begins; NULL when nobody we know. One of a
 * fixed list, so that bits can stand for them. Pure.
 */
enum neighbour_kind {
	NEIGHBOUR_CHAIN,
	NEIGHBOUR_TABLE,
	NEIGHBOUR_COMMENT,
};
const char *neighbour_owner(enum neighbour_kind kind, const char *name);

/* Adds an owner to a list of them, once. Pure. */
void neighbour_add_owner(char owners[NEIGHBOUR_TEXT_MAX], const char *owner);

#endif
