// SPDX-License-Identifier: GPL-2.0-or-later
/* A pod context and its sockets: see pod.h. */
#include "pod.h"

#include "log.h"
#include "local_addr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The namespace lacks the family or its loopback address; anything else is a failure. */
static bool family_missing(int rc)
{
	return rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL;
}

/*
 * With SO_REUSEPORT a second proxy would share the port unnoticed, so the port is first tried
 * without.
 */
static int open_checked(struct listener_spec *spec, bool first, struct err *e)
{
	struct listener_spec alone = *spec;
	int fd;

	if (!spec->shared || !first)
		return listener_open(spec, e);
	alone.shared = false;
	fd = listener_open(&alone, e);
	if (fd < 0)
		return fd;
	close(fd);
	return listener_open(spec, e);
}

/* The flow listeners of one family and direction, for every thread and port. */
static int open_flow_listeners(struct pod *pod, const struct proxy_config *c,
			       enum addr_family family, enum direction direction, struct err *e)
{
	bool inbound = direction == DIRECTION_INBOUND;
	uint16_t first = inbound ? c->inbound_port : c->outbound_port;
	unsigned ports = inbound ? CONTRACT_INBOUND_PORTS : proxy_config_outbound_ports(c);
	struct listener_spec spec = {
		.family = family,
		.loopback = !inbound && !c->virtual_interfaces,
		.transparent = inbound && (c->transparent || c->inbound_mode == INBOUND_TPROXY),
		.shared = c->threads > 1,
		.flows = true,
	};

	for (unsigned t = 0; t < c->threads; t++) {
		for (unsigned i = 0; i < ports; i++) {
			int fd;

			spec.port = (uint16_t)(first + i);
			fd = open_checked(&spec, t == 0, e);
			if (fd < 0)
				return fd;
			pod->listeners[pod->listener_count++] = (struct pod_listener){
				.fd = fd,
				.family = (uint8_t)family,
				.direction = (uint8_t)direction,
				.port = spec.port,
				.thread = (uint16_t)t,
			};
		}
	}
	return 0;
}

static int open_family(struct pod *pod, const struct proxy_config *c, enum addr_family family,
		       struct err *e)
{
	const struct listener_spec admin = { .family = family, .port = c->admin_port };
	int rc;

	/* Loopback first: where it is missing, nothing of this family has been opened. */
	rc = open_flow_listeners(pod, c, family, DIRECTION_OUTBOUND, e);
	if (rc == 0)
		rc = open_flow_listeners(pod, c, family, DIRECTION_INBOUND, e);
	if (rc < 0)
		return rc;
	rc = listener_open(&admin, e);
	if (rc < 0)
		return rc;
	pod->admin[family] = rc;
	pod->heart[family] = socket(family == ADDR_V4 ? AF_INET : AF_INET6,
				    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (pod->heart[family] < 0)
		return err_sys(e, -errno, "cannot open the heartbeat's socket");
	return 0;
}

/* The addresses of --admin-listen: each was asked for, so each must be there. */
static int open_admin_more(struct pod *pod, const struct proxy_config *c, struct err *e)
{
	for (unsigned i = 0; i < c->admin_listen.count; i++) {
		const struct proxy_admin_at *at = &c->admin_listen.at[i];
		const struct listener_spec spec = {
			.family = at->addr.family,
			.port = at->port,
			.address = &at->addr,
		};
		int fd = listener_open(&spec, e);

		if (fd < 0)
			return err_wrap(e, "--admin-listen");
		pod->admin_more[pod->admin_more_count++] = fd;
	}
	return 0;
}

/* Sockets to ask for routes with. Where there is none to be had, the forward proxy serves nobody.
 */
static int open_locals(struct pod *pod, const struct proxy_config *c, struct err *e)
{
	pod->locals = calloc(c->threads, sizeof(*pod->locals));
	if (!pod->locals)
		return err_set(e, -ENOMEM, "out of memory for %u threads", c->threads);
	for (; pod->local_count < c->threads; pod->local_count++)
		pod->locals[pod->local_count] = local_addr_open();
	return 0;
}

int pod_open(struct pod *pod, const struct proxy_config *config, struct err *e)
{
	size_t most = ADDR_FAMILY_COUNT * config->threads *
		      (CONTRACT_INBOUND_PORTS + proxy_config_outbound_ports(config));
	unsigned families = 0;
	int rc;

	*pod = (struct pod){
		.name = "self",
		.keepalive = { config->keepalive_idle_ms, config->keepalive_interval_ms,
			       config->keepalive_count },
		.inbound_port = config->inbound_port,
		.outbound_port = config->outbound_port,
		.outbound_ports = (uint16_t)proxy_config_outbound_ports(config),
		.inbound_target = config->inbound_target,
		.outbound_by_host = config->outbound_mode == OUTBOUND_HOST,
		.keep_source = config->inbound_mode == INBOUND_TPROXY,
		.admin_port = config->admin_port,
		.admin = { -1, -1 },
		.heart = { -1, -1 },
	};
	pod->listeners = calloc(most, sizeof(*pod->listeners));
	if (!pod->listeners)
		return err_set(e, -ENOMEM, "out of memory for %zu listeners", most);
	rc = open_locals(pod, config, e);
	if (rc < 0) {
		pod_close(pod);
		return rc;
	}
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		rc = open_family(pod, config, (enum addr_family)f, e);

		if (rc < 0 && !family_missing(rc)) {
			pod_close(pod);
			return rc;
		}
		if (rc == 0)
			families++;
		else
			log_info("no IPv%c here: %s", f == ADDR_V4 ? '4' : '6', e->text);
	}
	if (families && open_admin_more(pod, config, e) == 0)
		return 0;
	pod_close(pod);
	return e->code;
}

void pod_close_listeners(struct pod *pod)
{
	for (size_t i = 0; i < pod->listener_count; i++)
		close(pod->listeners[i].fd);
	pod->listener_count = 0;
}

void pod_close(struct pod *pod)
{
	pod_close_listeners(pod);
	free(pod->listeners);
	for (unsigned i = 0; i < pod->admin_more_count; i++)
		close(pod->admin_more[i]);
	pod->admin_more_count = 0;
	pod->listeners = NULL;
	for (size_t i = 0; i < pod->local_count; i++) {
		if (pod->locals[i] >= 0)
			close(pod->locals[i]);
	}
	free(pod->locals);
	pod->locals = NULL;
	pod->local_count = 0;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (pod->admin[f] >= 0)
			close(pod->admin[f]);
		if (pod->heart[f] >= 0)
			close(pod->heart[f]);
		pod->admin[f] = pod->heart[f] = -1;
	}
}

bool pod_is_outbound_port(const struct pod *pod, uint16_t port)
{
	return port >= pod->outbound_port && port < pod->outbound_port + pod->outbound_ports;
}

bool pod_owns_port(const struct pod *pod, uint16_t port)
{
	return (port >= pod->inbound_port && port < pod->inbound_port + CONTRACT_INBOUND_PORTS) ||
	       pod_is_outbound_port(pod, port) || port == pod->admin_port;
}
