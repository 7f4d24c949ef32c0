/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routing for --inbound-mode=tproxy: what the application answers to a client's address, and the
 * rules have marked, is delivered here, through lo, and not sent to the client.
 *
 *   ip rule add fwmark 0x736d lookup 29549 priority 200
 *   ip route add local default dev lo table 29549
 *
 * The same for IPv6. Ours are told from others' by mark, table and protocol number.
 */
#ifndef SLUICE_TPROXY_ROUTE_H
#define SLUICE_TPROXY_ROUTE_H

#include "addr.h"

/* Only packets with our mark look into this table. */
#define TPROXY_ROUTE_TABLE 29549

/* Before whatever else decides by rules; the table of local addresses has 0. */
#define TPROXY_ROUTE_PRIORITY 200

/* Who made it, as `ip rule` and `ip route` say: a number that nobody has in rt_protos. */
#define TPROXY_ROUTE_PROTOCOL 115

struct nl_socket;

/*
 * Makes what is missing, of both families; of IPv6 nothing where the kernel or lo is without it.
 * *@changed says whether anything was. 0 or -errno with @e set, and then it is as it was. @nl:
 * NETLINK_ROUTE.
 */
int tproxy_route_add(struct nl_socket *nl, bool *changed, struct err *e);

/* Takes everything of it out. As above. */
int tproxy_route_remove(struct nl_socket *nl, bool *changed, struct err *e);

/* Whether a marked packet of @family comes back through lo. 1, 0, or -errno with @e set. */
int tproxy_route_works(enum addr_family family, struct err *e);

/*
 * Whether connections from elsewhere may go to 127.0.0.0/8 (net.ipv4.conf.all.route_localnet): a
 * proxy that keeps the client's address reaches nobody there without. 1, 0, or -errno with @e set.
 */
int tproxy_route_localnet(struct err *e);

/* Whether @a is an address of this namespace. 1, 0, or -errno with @e set. @nl: NETLINK_ROUTE. */
int tproxy_route_is_local(struct nl_socket *nl, const struct addr *a, struct err *e);

#endif
