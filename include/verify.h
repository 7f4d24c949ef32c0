/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof by connections: which ones show every rule of a plan at work. Pure; verify_run.h makes
 * them.
 *
 * Theory of Operation: a connection witnesses a rule when without that rule it would end elsewhere,
 * or at least by another row. verify_pick() looks for a witness of each rule among all connections
 * that can be made here: every combination of the owners, ports, addresses and interfaces that the
 * options name, and of some that they do not. Where a connection would end the same without the
 * rule, the row's counter is the evidence.
 */
#ifndef SLUICE_VERIFY_H
#define SLUICE_VERIFY_H

#include "explain.h"

/* What connections can be made here. */
struct verify_world {
	bool family[ADDR_FAMILY_COUNT]; /* which there are at all */
	bool peer;			/* somebody else to connect from, and who answers */
	bool lent[ADDR_FAMILY_COUNT];	/* any address can be the peer's for a while */
	bool proxy;			/* one runs: what it does, it does */
	bool alive[ADDR_FAMILY_COUNT];	/* then: whether it beats */
	struct addr here[ADDR_FAMILY_COUNT], there[ADDR_FAMILY_COUNT], other[ADDR_FAMILY_COUNT];
	struct addr beyond[ADDR_FAMILY_COUNT];
	struct addr linklocal;
	char iface[PACKET_IFACE_MAX];
};

/* One connection, and what must become of it. */
struct verify_check {
	struct packet packet;
	struct explanation want;
	bool by_counter; /* where it ends is no evidence */
};

/* A rule that no connection here would show. */
struct verify_untried {
	enum addr_family family;
	enum plan_chain_id chain;
	enum plan_row row;
};

#define VERIFY_CHECKS_MAX  160
#define VERIFY_UNTRIED_MAX 64

struct verify_list {
	struct verify_check checks[VERIFY_CHECKS_MAX]; /* those without a living proxy first */
	size_t count;
	struct verify_untried untried[VERIFY_UNTRIED_MAX];
	size_t untried_count;
};

/* 0, or -errno with @e set. */
int verify_pick(const struct plan *plan, const struct config *c, const struct verify_world *w,
		struct verify_list *out, struct err *e);

#endif
