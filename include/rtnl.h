/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links, addresses and routes of the current network namespace (rtnetlink). */
#ifndef SLUICE_RTNL_H
#define SLUICE_RTNL_H

#include "addr.h"
#include "nl_socket.h"

/* A socket for the functions below, in the current namespace. NULL with @e set. */
struct nl_socket *rtnl_socket_new(struct err *e);

/* All return 0 or -errno with @e set. */

/* A veth pair; the other end is in the namespace of @peer_ns, or in this one when that is < 0. */
int rtnl_add_veth(struct nl_socket *nl, const char *name, const char *peer, int peer_ns,
		  struct err *e);
int rtnl_delete_link(struct nl_socket *nl, unsigned index, struct err *e);
int rtnl_link_up(struct nl_socket *nl, unsigned index, struct err *e);

/* An IPv6 address is usable at once: nobody is asked whether it is taken. */
int rtnl_add_address(struct nl_socket *nl, unsigned index, const struct addr *a, uint8_t prefix,
		     struct err *e);

/* To one address, or to all (@to NULL), through an interface and, maybe, a gateway. */
int rtnl_add_route(struct nl_socket *nl, enum addr_family family, const struct addr *to,
		   unsigned index, const struct addr *gateway, uint32_t table, struct err *e);

/* What carries @mark is routed by @table. */
int rtnl_rule(struct nl_socket *nl, bool add, enum addr_family family, uint32_t mark,
	      uint32_t priority, uint32_t table, struct err *e);

#endif
