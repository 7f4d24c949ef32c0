/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts and resets TCP connections of this network namespace, as `ss` and `ss -K` do. */
#ifndef SLUICE_SOCK_DESTROY_H
#define SLUICE_SOCK_DESTROY_H

#include "error.h"
#include "interval.h"

/* Local ports of one kind of connection. */
struct sock_ports {
	uint16_t first, last; /* 0: none */
};

/*
 * Connections with one of these local ports, or with a local address that is none of ours.
 *
 * A local port alone says little: an application may have chosen the same one for a connection that
 * it began. So the socket must be of a user who listens on such a port, or of one of @owners,
 * unless nobody knows one: then any is taken, as are sockets that have no owner, since they wait to
 * be accepted or were closed.
 */
struct sock_which {
	struct sock_ports ports[2];
	bool foreign;
	const struct u32_range *owners; /* uids; borrowed */
	size_t owner_count;
};

/* How many there are, or -errno with @e set. */
long sock_count(const struct sock_which *which, struct err *e);

/*
 * Resets them (SOCK_DESTROY of sock_diag(7)); both ends get an RST. Returns their number, or -errno
 * with @e set: -EOPNOTSUPP where the kernel was built without INET_DIAG_DESTROY. Needs
 * CAP_NET_ADMIN.
 */
long sock_destroy(const struct sock_which *which, struct err *e);

/* Whether this kernel can: asked by way of a socket that cannot exist. True when in doubt. */
bool sock_destroy_possible(void);

#endif
