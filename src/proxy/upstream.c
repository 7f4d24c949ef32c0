// SPDX-License-Identifier: GPL-2.0-or-later
/* Connecting to servers, also from a client's address: see upstream.h. */
#include "upstream.h"

#include "listener.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Ports below are for privileged programs (net.ipv4.ip_unprivileged_port_start). */
#define FIRST_PORT 1024

#define HALF 0x8000u

/* Above what Linux gives to clients by default (net.ipv4.ip_local_port_range). */
#define SPARE_PORT 61000

/* Ports tried for one connection. */
#define ATTEMPTS_MAX 16

uint16_t upstream_port(uint16_t client, unsigned attempt)
{
	unsigned port = client ^ HALF;

	if (attempt)
		port = FIRST_PORT + (client + attempt * 7919u) % (HALF - FIRST_PORT);
	else if (port < FIRST_PORT)
		port += SPARE_PORT;
	/* The client's own is the one that it cannot be. */
	return (uint16_t)(port == client ? port + 1 : port);
}

/*
 * Connects @fd. A connect to a local address has finished when connect(2) comes back, which says
 * EINPROGRESS all the same (net/ipv4/af_inet.c looks at the state before it works off the socket's
 * backlog, where the SYN-ACK waits). A send of nothing tells: it saves the common inbound flow a
 * turn of epoll.
 */
static int connect_socket(int fd, const union sockaddr_any *to)
{
	/* #syscalls connect */
	if (connect(fd, &to->sa, sockaddr_len(to)) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (send(fd, "", 0, MSG_NOSIGNAL) == 0)
		return 0;
	return errno == EAGAIN ? -EINPROGRESS : -errno;
}

/* Gives @fd the address of @from, and one of the ports that go with its port. */
static int bind_socket(int fd, const union sockaddr_any *from, unsigned attempt)
{
	static const int on = 1;
	union sockaddr_any own = *from;
	int rc = listener_transparent(fd, from->sa.sa_family);

	if (rc < 0)
		return rc;
	/* Others may be bound to the same port: connections are told apart by where they go. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	sockaddr_set_port(&own, upstream_port(sockaddr_port(from), attempt));
	/* #syscalls bind */
	return bind(fd, &own.sa, sockaddr_len(&own)) < 0 ? -errno : 0;
}

static int try_connect(const union sockaddr_any *to, const union sockaddr_any *from,
		       unsigned attempt, int *fd)
{
	int rc;

	*fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (*fd < 0)
		return -errno;
	rc = flow_socket_options(*fd);
	if (rc == 0 && from)
		rc = bind_socket(*fd, from, attempt);
	return rc == 0 ? connect_socket(*fd, to) : rc;
}

int upstream_connect(const union sockaddr_any *to, const union sockaddr_any *from, int *fd)
{
	int rc = try_connect(to, from, 0, fd);

	for (unsigned attempt = 1;
	     from && attempt < ATTEMPTS_MAX && (rc == -EADDRINUSE || rc == -EADDRNOTAVAIL);
	     attempt++) {
		close(*fd);
		rc = try_connect(to, from, attempt, fd);
	}
	return rc;
}

/*
 * The error that an ICMP message has told of while connect(2) had the socket in hand. The kernel
 * makes it known only by the socket's error queue, and ends the connect when the next SYN is
 * answered in the same way (tcp_v4_err() in net/ipv4/tcp_ipv4.c); at any other moment it ends at
 * once, and so it does here. 0: there is none.
 */
static int soft_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	/* #syscalls getsockopt */
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

int upstream_connected(int fd, uint32_t events)
{
	char byte;
	int error;

	/* A server may answer and end before we look: its data comes first, then the error. */
	if (!(events & (EPOLLERR | EPOLLHUP)) ||
	    recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) /* #syscalls recvfrom */
		return 0;
	if (errno != EAGAIN)
		return -errno;
	error = events & EPOLLOUT ? 0 : soft_error(fd);
	if (error)
		return -error;
	/* Else epoll would tell of it again and again. */
	while (recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		;
	return events & EPOLLOUT ? 0 : -EINPROGRESS;
}
