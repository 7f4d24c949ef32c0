/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where inbound connections are sent instead of where they were going: --inbound-target. Pure. */
#ifndef SLUICE_TARGET_H
#define SLUICE_TARGET_H

#include "addr.h"

struct target {
	bool given;
	bool any_address; /* keep the address that the client chose, change the port alone */
	struct addr addr; /* unless any_address */
	uint16_t port;
};

/*
 * "127.0.0.1:8080", "[::1]:8080", ":8080". An IPv4-mapped address becomes the IPv4 one. A usage
 * error for all else, and for addresses that nobody can connect to without saying more: the
 * unspecified ones, link-local IPv6, multicast.
 */
int target_parse(struct span s, struct target *out, struct err *e);

/* Whether it is a loopback address of IPv4, which needs route_localnet with TPROXY. */
bool target_is_v4_loopback(const struct target *t);

#endif
