/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a redirected connection was going. */
#ifndef SLUICE_ORIGDST_H
#define SLUICE_ORIGDST_H

#include "addr.h"

#include <netinet/in.h>

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/*
 * The destination that the client of accepted socket @fd asked for, before NAT: SO_ORIGINAL_DST
 * or IP6T_SO_ORIGINAL_DST (net/netfilter/nf_conntrack_proto.c). Without a translation, as after
 * TPROXY, that is the socket's own address; so is what it falls back to where conntrack does not
 * know the connection (-ENOENT: a foreign zone, or no conntrack): then *@known is false. 0 or
 * -errno.
 */
int origdst_get(int fd, enum addr_family family, union sockaddr_any *out, bool *known);

/* Whether address and port are the same; of link-local addresses, the interface does not count. */
bool sockaddr_equal(const union sockaddr_any *a, const union sockaddr_any *b);

/* @a and @port as an address of a socket. */
void sockaddr_set(union sockaddr_any *sa, const struct addr *a, uint16_t port);

/* The same with another port. */
void sockaddr_set_port(union sockaddr_any *sa, uint16_t port);

/* The parts of @sa. */
socklen_t sockaddr_len(const union sockaddr_any *sa);
uint16_t sockaddr_port(const union sockaddr_any *sa);
struct addr sockaddr_addr(const union sockaddr_any *sa);

#endif
