// SPDX-License-Identifier: GPL-2.0-or-later
/* Resets TCP connections: see sock_destroy.h. */
#include "sock_destroy.h"

#include "nl_socket.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* The kernel's TCP_NEW_SYN_RECV (include/net/tcp_states.h), which no user header has. */
#define STATE_NEW_SYN_RECV 12

/* All but those that are no connection any more, and listeners. */
#define STATES                                                                           \
	((1u << (STATE_NEW_SYN_RECV + 1)) - 1 - (1u << TCP_LISTEN) - (1u << TCP_CLOSE) - \
	 (1u << TCP_TIME_WAIT))

struct connection {
	uint8_t family;
	struct inet_diag_sockid id;
};

struct found {
	uint16_t first, last;
	struct connection *items; /* owned */
	size_t count, capacity;
	struct err *e;
};

static int got_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct found *f = data;
	uint16_t port;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return 0;
	port = ntohs(m->id.idiag_sport);
	if (port < f->first || port > f->last)
		return 0;
	if (f->count == f->capacity) {
		size_t capacity = f->capacity ? 2 * f->capacity : 64;
		struct connection *grown = realloc(f->items, capacity * sizeof(*grown));

		if (!grown)
			return err_set(f->e, -ENOMEM, "out of memory for the connections");
		f->items = grown;
		f->capacity = capacity;
	}
	f->items[f->count++] = (struct connection){ m->idiag_family, m->id };
	return 0;
}

/* Asks for, or to destroy, sockets. As nl_socket_request(). */
static int request(struct nl_socket *nl, uint16_t type, uint16_t flags,
		   const struct connection *which, struct found *f, int *code, struct err *e)
{
	union {
		struct nlmsghdr nlh;
		char bytes[256];
	} buffer;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer.bytes);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = which->family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = STATES;
	req->id = which->id;
	return nl_socket_request(nl, nlh, f ? got_socket : NULL, f, code, e);
}

static int find(struct nl_socket *nl, uint8_t family, struct found *f, struct err *e)
{
	const struct connection any = { .family = family };
	int code, rc = request(nl, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &any, f, &code, e);

	if (rc < 0)
		return rc;
	/* A list that changed meanwhile is as good as any: new connections are no longer ours. */
	if (code < 0 && code != -EINTR)
		return err_sys(e, code, "cannot list TCP connections");
	return 0;
}

static long destroy_all(struct nl_socket *nl, const struct found *f, struct err *e)
{
	long destroyed = 0;

	for (size_t i = 0; i < f->count; i++) {
		int code, rc = request(nl, SOCK_DESTROY, NLM_F_ACK, &f->items[i], NULL, &code, e);

		if (rc < 0)
			return rc;
		if (code == 0)
			destroyed++;
		else if (code != -ENOENT) /* it has ended by itself */
			return err_sys(e, code, "cannot reset a TCP connection");
	}
	return destroyed;
}

long sock_destroy(uint16_t first, uint16_t last, struct err *e)
{
	struct found f = { .first = first, .last = last, .e = e };
	struct nl_socket *nl = nl_socket_new(NETLINK_SOCK_DIAG, e);
	long rc;

	if (!nl)
		return e->code;
	rc = find(nl, AF_INET, &f, e);
	if (rc == 0)
		rc = find(nl, AF_INET6, &f, e);
	if (rc == 0)
		rc = destroy_all(nl, &f, e);
	free(f.items);
	nl_socket_free(nl);
	return rc;
}

bool sock_destroy_possible(void)
{
	const struct connection nobody = { .family = AF_INET };
	struct err ignored = ERR_INIT;
	struct nl_socket *nl = nl_socket_new(NETLINK_SOCK_DIAG, &ignored);
	int code = 0,
	    rc = nl ? request(nl, SOCK_DESTROY, NLM_F_ACK, &nobody, NULL, &code, &ignored) : -1;

	nl_socket_free(nl);
	return rc < 0 || code != -EOPNOTSUPP;
}
