/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to where the client wanted to go.
 *
 * With the client's address as its source, the application sees two connections at once from one
 * address, of which only the port can tell them apart: the client's own, which the proxy has taken,
 * and ours. A client that chose our port for a later one would get nowhere. So ours is the client's
 * port in the other half of the port numbers, where clients do not look for one: Linux takes
 * 32768 to 60999, others 49152 to 65535. The same port of a client always gives the same port
 * here, so that two of one client's connections do not meet either.
 */
#ifndef SLUICE_UPSTREAM_H
#define SLUICE_UPSTREAM_H

#include "origdst.h"

/*
 * Begins to connect to @to; from the address of @from, a client's, unless it is NULL, which takes
 * CAP_NET_RAW or CAP_NET_ADMIN. 0 when the connection stands already, -EINPROGRESS, or another
 * -errno. *@fd is the socket, the caller's, or -1 where there is none.
 */
int upstream_connect(const union sockaddr_any *to, const union sockaddr_any *from, int *fd);

/*
 * What became of the connect of @fd, when epoll tells @events of it: 0 when it stands (or has
 * stood: what the server said comes first), -EINPROGRESS while it goes on, or another -errno.
 */
int upstream_connected(int fd, uint32_t events);

/* The port to connect from for a client's; @attempt counts from 0, should one be taken. */
uint16_t upstream_port(uint16_t client, unsigned attempt);

#endif
