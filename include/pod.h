/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pod context: a network namespace that is served, and the sockets made inside it.
 *
 * Theory of Operation: a socket stays in the namespace it was made in, whoever holds it. The
 * parent opens the listeners and keeps them over the lives of its workers, so that a connection
 * that arrives between two workers waits in the queue. There is one pod today, the process's own
 * namespace; whoever handles a flow is given the pod, so that there can be more.
 */
#ifndef SLUICE_POD_H
#define SLUICE_POD_H

#include "addr.h"
#include "listener.h"
#include "protocol.h"
#include "proxy_config.h"

struct pod_listener {
	int fd;
	uint8_t family; /* enum addr_family */
	uint8_t direction;
	uint16_t port;
	uint16_t thread; /* which event loop accepts from it */
};

struct pod {
	const char *name; /* for logs */
	struct keepalive keepalive;
	uint16_t inbound_port, outbound_port, admin_port;
	uint16_t outbound_ports; /* so many, from outbound_port on */
	struct target inbound_target;
	bool outbound_by_host; /* redirected connections, too, go where their requests say */
	bool keep_source;      /* connect from the client's address where the rules allow it */

	struct pod_listener *listeners; /* of flows; owned */
	size_t listener_count;
	int admin[ADDR_FAMILY_COUNT];	 /* listening; -1: no such family */
	int admin_more[PROXY_ADMIN_MAX]; /* the same of --admin-listen */
	unsigned admin_more_count;
	int heart[ADDR_FAMILY_COUNT]; /* UDP sockets for the beat; -1: no such family */
	int *locals;		      /* of each thread, to ask with (local_addr.h); owned */
	size_t local_count;
};

/*
 * Opens every listener and the heart's sockets in the calling process's namespace. A family that
 * the namespace lacks is left out; it is an error when both are missing or a port is taken, and
 * nothing stays open then. pod_close() ends it.
 */
int pod_open(struct pod *pod, const struct proxy_config *config, struct err *e);

/* Closes what is open; idempotent. */
void pod_close(struct pod *pod);

/* Closes the flow listeners alone: connections not yet accepted are reset. Idempotent. */
void pod_close_listeners(struct pod *pod);

/* Whether @port is one that we listen on. */
bool pod_owns_port(const struct pod *pod, uint16_t port);

/* Whether @port is one that outbound connections arrive on. */
bool pod_is_outbound_port(const struct pod *pod, uint16_t port);

#endif
