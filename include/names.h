/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What private destinations are called: the name that DNS has for the address, where it lies below
 * a search domain of resolv.conf.
 *
 * Theory of Operation: asked when a flow to the address begins, looked for when a sample of the
 * flow is recorded; nobody waits. What is known stays the flow's name to its end. Public addresses
 * are never asked for: their names are whoever's who has the address, not what the client meant.
 */
#ifndef SLUICE_NAMES_H
#define SLUICE_NAMES_H

#include "metrics.h"
#include "resolver.h"

/* One thread's. */
struct names {
	struct resolver *resolver;	 /* NULL: nothing is asked; borrowed */
	const struct cidr_list *cluster; /* addresses that count as private; NULL: none; borrowed */
	struct metrics_shard *shard;
};

/* One flow's. */
struct names_flow {
	uint32_t name;	  /* from metrics_name(); METRIC_NAME_NONE: none is known */
	uint64_t look_at; /* ns: no use to look again before; UINT64_MAX: ever */
};

/*
 * RFC 1918 and RFC 6598 (100.64.0.0/10, which clusters are given too), RFC 4193 (fc00::/7), and
 * these as IPv4-mapped IPv6.
 */
bool names_is_private(const struct addr *a);

/*
 * The part of a PTR name that many addresses share: the name without its first label where that
 * tells one pod from another, else all of it.
 *
 *   10-1-2-3.web.shop.svc.cluster.local      web.shop.svc.cluster.local
 *   web-0.web.shop.svc.cluster.local         the same: whatever stands before SERVICE.NAMESPACE.svc
 *   10-1-2-3.shop.pod.cluster.local          shop.pod.cluster.local
 *   10-1-2-3.example.net                     example.net, if @a is 10.1.2.3 (fd00--1 for fd00::1)
 */
struct span names_of_service(struct span name, const struct addr *a);

/* A flow to @a begins: asks, if @a is private and not known. */
void names_begin(const struct names *n, struct names_flow *f, const struct addr *a, uint64_t now);

/* Looks for the answer, if there is none yet and it may have come. */
void names_look(const struct names *n, struct names_flow *f, const struct addr *a, uint64_t now);

#endif
