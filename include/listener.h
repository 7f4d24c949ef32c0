/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening sockets: what accepted connections inherit is set here once. */
#ifndef SLUICE_LISTENER_H
#define SLUICE_LISTENER_H

#include "addr.h"
#include "error.h"

/* TCP keepalive of both legs of a flow, in milliseconds; the kernel counts whole seconds. */
struct keepalive {
	uint32_t idle_ms, interval_ms, count;
};

struct listener_spec {
	enum addr_family family;
	uint16_t port;
	bool loopback;		    /* 127.0.0.1 or ::1; else every address of the family */
	const struct addr *address; /* this one instead; NULL: as loopback says */
	bool transparent;	    /* as listener_transparent() */
	bool shared;		    /* SO_REUSEPORT: one listener per thread */
	bool flows;		    /* accepted sockets are flow legs: see flow_socket_options() */
	struct keepalive keepalive; /* with flows */
};

/*
 * Opens, binds and listens; nonblocking, SO_REUSEADDR, IPv6 alone on IPv6.
 * Returns the descriptor (the caller's), or -errno: -EAFNOSUPPORT and -EADDRNOTAVAIL where the
 * family is missing, with @e saying which address and port.
 */
int listener_open(const struct listener_spec *spec, struct err *e);

/*
 * What each socket of a flow carries from birth (Linux copies it from a listener to what it
 * accepts: inet_csk_clone_lock()): no Nagle, urgent data inline, and SO_LINGER {1, 0}, so that a
 * process that dies resets its flows and never ends them with a FIN.
 * 0 or -errno of the first option that failed.
 */
int flow_socket_options(int fd);

/*
 * Lets @fd, of AF_INET or AF_INET6, have addresses that are not of this namespace. 0 or -errno:
 * -EPERM without CAP_NET_RAW or CAP_NET_ADMIN.
 */
int listener_transparent(int fd, int domain);

/* Has the kernel probe a silent peer. 0 or -errno. */
int keepalive_start(int fd, const struct keepalive *keepalive);

#endif
