// SPDX-License-Identifier: GPL-2.0-or-later
/* Counts and resets TCP connections: see sock_destroy.h. */
#include "sock_destroy.h"

#include "addr.h"
#include "nl_socket.h"
#include "tproxy_route.h"

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

/* All but those that are no connection any more; and listeners, for their owners. */
#define STATES ((1u << (STATE_NEW_SYN_RECV + 1)) - 1 - (1u << TCP_CLOSE) - (1u << TCP_TIME_WAIT))

struct connection {
	uint8_t family;
	bool owned; /* a descriptor of somebody's refers to it */
	uint32_t uid;
	struct inet_diag_sockid id;
};

struct found {
	const struct sock_which *which;
	struct connection *items; /* owned */
	size_t count, capacity;
	struct u32_ranges listeners; /* uids of those on the ports; owned */
	struct err *e;
};

static void found_fini(struct found *f)
{
	free(f->items);
	u32_ranges_fini(&f->listeners);
}

static bool port_in(const struct sock_which *which, uint16_t port)
{
	for (size_t i = 0; i < ARRAY_SIZE(which->ports); i++) {
		if (which->ports[i].first && port >= which->ports[i].first &&
		    port <= which->ports[i].last)
			return true;
	}
	return false;
}

/* Most are those of the one before. */
static int got_listener(struct found *f, uint32_t uid)
{
	struct u32_ranges *l = &f->listeners;

	if (l->count && l->ranges[l->count - 1].first == uid)
		return 0;
	return u32_ranges_add(l, uid, uid, f->e);
}

static int got_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct found *f = data;
	bool at_port;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return 0;
	at_port = port_in(f->which, ntohs(m->id.idiag_sport));
	if (m->idiag_state == TCP_LISTEN)
		return at_port ? got_listener(f, m->idiag_uid) : 0;
	if (!f->which->foreign && !at_port)
		return 0;
	if (f->count == f->capacity) {
		size_t capacity = f->capacity ? 2 * f->capacity : 64;
		struct connection *grown = realloc(f->items, capacity * sizeof(*grown));

		if (!grown)
			return err_set(f->e, -ENOMEM, "out of memory for the connections");
		f->items = grown;
		f->capacity = capacity;
	}
	f->items[f->count++] = (struct connection){
		.family = m->idiag_family,
		.owned = m->idiag_inode != 0,
		.uid = m->idiag_uid,
		.id = m->id,
	};
	return 0;
}

/* Asks for, or to destroy, sockets. As nl_socket_request(). */
static int request(struct nl_socket *nl, uint16_t type, uint16_t flags,
		   const struct connection *which, struct found *f, int *code, struct err *e)
{
	struct nl_request r;
	struct inet_diag_req_v2 *req = nl_request_init(&r, type, flags, sizeof(*req));

	req->sdiag_family = which->family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = STATES;
	req->id = which->id;
	return nl_socket_request(nl, &r.nlh, f ? got_socket : NULL, f, code, e);
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

/*
 * Whether a socket that could not be reset is no connection any more. Of one that has come to
 * TIME_WAIT, tcp_abort() says before Linux 6.5 what a kernel says that can reset none at all.
 */
static bool has_ended(int code)
{
	return code == -ENOENT || (code == -EOPNOTSUPP && sock_destroy_possible());
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
		else if (!has_ended(code))
			return err_sys(e, code, "cannot reset a TCP connection");
	}
	return destroyed;
}

/* The local address; of an IPv4 connection of an IPv6 socket, the IPv4 one. */
static struct addr source_of(const struct connection *c)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr a = { .family = c->family == AF_INET ? ADDR_V4 : ADDR_V6 };

	memcpy(a.bytes, c->id.idiag_src, addr_len(a.family));
	if (a.family == ADDR_V6 && memcmp(a.bytes, mapped, sizeof(mapped)) == 0) {
		a = (struct addr){ .family = ADDR_V4 };
		memcpy(a.bytes, (const uint8_t *)c->id.idiag_src + sizeof(mapped), 4);
	}
	return a;
}

/* Whether the proxy can have taken it over from a client: a link-local address it cannot. */
static bool could_be_foreign(const struct addr *a)
{
	static const uint8_t any[16];

	return memcmp(a->bytes, any, sizeof(any)) != 0 &&
	       !(a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80);
}

static bool is_owner(const struct found *f, uint32_t uid)
{
	for (size_t i = 0; i < f->which->owner_count; i++) {
		const struct u32_range *r = &f->which->owners[i];

		if (uid >= r->first && uid <= r->last)
			return true;
	}
	return u32_ranges_have(&f->listeners, uid);
}

/* Whether it came to one of the ports, rather than having been begun there. */
static bool arrived(const struct found *f, const struct connection *c)
{
	bool unknown = !f->which->owner_count && !f->listeners.count;

	return port_in(f->which, ntohs(c->id.idiag_sport)) &&
	       (unknown || !c->owned || is_owner(f, c->uid));
}

static void keep_arrived(struct found *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (arrived(f, &f->items[i]))
			f->items[kept++] = f->items[i];
	}
	f->count = kept;
}

/* Leaves those that were asked for. */
static int keep_foreign(struct found *f, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	struct addr last = { .family = ADDR_FAMILY_COUNT };
	size_t kept = 0;
	int local = nl ? 0 : e->code;

	for (size_t i = 0; local >= 0 && i < f->count; i++) {
		const struct connection c = f->items[i];
		struct addr a = source_of(&c);

		/* They come grouped by listener: the same address again and again. */
		if (memcmp(&a, &last, sizeof(a)) != 0)
			local = could_be_foreign(&a) ? tproxy_route_is_local(nl, &a, e) : 1;
		last = a;
		if (local == 0 || arrived(f, &c))
			f->items[kept++] = c;
	}
	f->count = kept;
	nl_socket_free(nl);
	return MIN(local, 0);
}

static int find_all(struct nl_socket *nl, struct found *f, struct err *e)
{
	int rc = find(nl, AF_INET, f, e);

	if (rc == 0)
		rc = find(nl, AF_INET6, f, e);
	u32_ranges_normalize(&f->listeners);
	if (rc == 0 && f->which->foreign)
		rc = keep_foreign(f, e);
	else
		keep_arrived(f);
	return rc;
}

long sock_count(const struct sock_which *which, struct err *e)
{
	struct found f = { .which = which, .e = e };
	struct nl_socket *nl = nl_socket_new(NETLINK_SOCK_DIAG, e);
	long rc;

	if (!nl)
		return e->code;
	rc = find_all(nl, &f, e);
	found_fini(&f);
	nl_socket_free(nl);
	return rc < 0 ? rc : (long)f.count;
}

long sock_destroy(const struct sock_which *which, struct err *e)
{
	struct found f = { .which = which, .e = e };
	struct nl_socket *nl = nl_socket_new(NETLINK_SOCK_DIAG, e);
	long rc;

	if (!nl)
		return e->code;
	rc = find_all(nl, &f, e);
	if (rc == 0)
		rc = destroy_all(nl, &f, e);
	found_fini(&f);
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
