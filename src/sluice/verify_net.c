// SPDX-License-Identifier: GPL-2.0-or-later
/* Making one connection and seeing who takes it: see verify_net.h. */
#include "verify_net.h"

#include <netinet/in.h>

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

/* How long it is watched that nobody answers a connection. */
#define SILENT_MS 300

static socklen_t socket_address(const struct addr *a, uint16_t port, unsigned scope,
				struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (void *)out;
	struct sockaddr_in *v4 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (a->family == ADDR_V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, a->bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, a->bytes, sizeof(v6->sin6_addr));
	if (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80)
		v6->sin6_scope_id = scope;
	return sizeof(*v6);
}

static uint16_t port_of(const struct sockaddr_storage *sa)
{
	return ntohs(sa->ss_family == AF_INET
			     ? ((const struct sockaddr_in *)(const void *)sa)->sin_port
			     : ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
}

static int set_transparent(int fd, enum addr_family family)
{
	const int one = 1;

	return family == ADDR_V4
		       ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one))
		       : setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &one, sizeof(one));
}

/* The descriptor, or -errno with @e set. */
static int listen_on(const struct stage *s, enum stage_side side, const struct addr *a,
		     uint16_t port, unsigned scope, bool transparent, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t len = socket_address(a, port, scope, &sa);
	_cleanup_close_ int fd =
		stage_socket(s, side, a->family, SOCK_STREAM, geteuid(), getegid(), e);
	char text[ADDR_TEXT_MAX];

	if (fd < 0)
		return fd;
	if (transparent && set_transparent(fd, a->family) < 0)
		return err_sys(e, -errno, "a transparent listener takes CAP_NET_RAW");
	/* #syscalls bind listen */
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 64) < 0)
		return err_sys(e, -errno, "cannot listen on %s, port %u", addr_text(a, text), port);
	return take_fd(&fd);
}

int verify_listen(const struct stage *s, const struct config *c, struct verify_listeners *out,
		  bool *taken, struct err *e)
{
	static const struct addr loopback[] = { { ADDR_V4, { 127, 0, 0, 1 } },
						{ ADDR_V6, { [15] = 1 } } };
	int rc = 0;

	*out = (struct verify_listeners){ { -1, -1 }, { -1, -1 } };
	for (unsigned f = 0; rc >= 0 && f < ADDR_FAMILY_COUNT; f++) {
		if (!s->family[f])
			continue;
		rc = out->inbound[f] = listen_on(s, STAGE_HERE, &s->here[f], c->inbound_port, 0,
						 c->inbound_mode == INBOUND_TPROXY, e);
		if (rc >= 0)
			rc = out->outbound[f] = listen_on(s, STAGE_HERE, &loopback[f],
							  c->outbound_port, 0, false, e);
	}
	*taken = rc == -EADDRINUSE;
	if (rc < 0)
		verify_unlisten(out);
	return *taken ? 0 : MIN(rc, 0);
}

void verify_unlisten(struct verify_listeners *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (l->inbound[f] >= 0)
			close(l->inbound[f]);
		if (l->outbound[f] >= 0)
			close(l->outbound[f]);
		l->inbound[f] = l->outbound[f] = -1;
	}
}

/* One attempt under way. */
struct attempt {
	const struct packet *packet;
	int client, target; /* target < 0: nobody listens there */
	int proxy;	    /* the listener in its place, or < 0: one runs */
	uint16_t port;	    /* the client's */
	bool connected;
};

static bool is_endpoint(const struct sockaddr_storage *sa, const struct endpoint *x)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	const void *bytes = x->addr.family == ADDR_V4 ? (const void *)&v4->sin_addr
						      : (const void *)&v6->sin6_addr;

	return port_of(sa) == x->port &&
	       memcmp(bytes, x->addr.bytes, addr_len(x->addr.family)) == 0;
}

/* Whether it is known where the connection wanted to go: by conntrack, or by TPROXY. */
static bool knows_destination(int fd, const struct endpoint *to)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	bool is4 = to->addr.family == ADDR_V4;

	memset(&sa, 0, sizeof(sa));
	if (getsockopt(fd, is4 ? IPPROTO_IP : IPPROTO_IPV6,
		       is4 ? SO_ORIGINAL_DST : IP6T_SO_ORIGINAL_DST, &sa, &len) == 0 &&
	    is_endpoint(&sa, to))
		return true;
	len = sizeof(sa);
	return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && is_endpoint(&sa, to);
}

/* What an accepted connection tells; -1 when it is somebody else's, which is reset. */
static int judge(const struct attempt *a, int listener)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(peer);
	/* #syscalls accept4 */
	_cleanup_close_ int fd = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	bool ours;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	ours = port_of(&peer) == a->port;
	if (listener == a->target && ours)
		return FATE_DIRECT;
	if (listener == a->target)
		return a->proxy < 0 ? FATE_REDIRECTED : -1;
	if (!ours)
		return -1;
	return knows_destination(fd, &a->packet->to) ? FATE_REDIRECTED : FATE_MISLED;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What became of the client's own side so far; -1: nothing yet. */
static int client_fate(struct attempt *a)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(a->client, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == ECONNREFUSED || error == ECONNRESET)
		return FATE_REFUSED;
	if (error)
		return FATE_SILENT;
	a->connected = true;
	return -1;
}

static int await(struct attempt *a, long wait_ms, const volatile int *stop, struct err *e)
{
	long end = now_ms() + wait_ms;
	int fate = -1;

	while (fate < 0) {
		struct pollfd fds[] = { { a->target, POLLIN, 0 },
					{ a->proxy, POLLIN, 0 },
					{ a->connected ? -1 : a->client, POLLOUT, 0 } };
		long left = end - now_ms();
		int n = left > 0 ? poll(fds, ARRAY_SIZE(fds), (int)left) : 0;

		if (*stop)
			return err_set(e, -EINTR, "interrupted");
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "cannot wait for a connection");
		if (n == 0)
			return a->connected ? FATE_LOST : FATE_SILENT;
		for (unsigned i = 0; n > 0 && fate < 0 && i < ARRAY_SIZE(fds); i++) {
			if (fds[i].revents)
				fate = i < 2 ? judge(a, fds[i].fd) : client_fate(a);
		}
	}
	return fate;
}

/* Where the one who is addressed listens; < 0: nobody shall, or it cannot be done. */
static int open_target(const struct stage *s, const struct packet *p, struct err *e)
{
	bool here = p->local == PACKET_YES;

	if (p->listening != PACKET_YES ||
	    (!here && (s->peer < 0 || p->direction == PACKET_INBOUND)))
		return -ENOENT;
	return listen_on(s, here ? STAGE_HERE : STAGE_PEER, &p->to.addr, p->to.port, s->peer_index,
			 false, e);
}

/* Sends the SYN. *@fate: what became of it at once; -1: nothing yet. 0 or -errno with @e set. */
static int start(const struct stage *s, struct attempt *a, int *fate, struct err *e)
{
	const struct packet *p = a->packet;
	bool outbound = p->direction == PACKET_OUTBOUND;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	a->client =
		stage_socket(s, outbound ? STAGE_HERE : STAGE_PEER, p->to.addr.family, SOCK_STREAM,
			     outbound ? p->uid : geteuid(), outbound ? p->gid : getegid(), e);
	if (a->client < 0)
		return a->client;
	if (!outbound) {
		len = socket_address(&p->from.addr, 0, 0, &sa);
		if (bind(a->client, (struct sockaddr *)&sa, len) < 0)
			return err_sys(e, -errno, "cannot use the source address");
	}
	len = socket_address(&p->to.addr, p->to.port, outbound ? s->index : s->peer_index, &sa);
	/* #syscalls connect */
	if (connect(a->client, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		*fate = errno == ECONNREFUSED ? FATE_REFUSED : FATE_BARRED;
	memset(&sa, 0, sizeof(sa));
	len = sizeof(sa);
	if (getsockname(a->client, (struct sockaddr *)&sa, &len) == 0)
		a->port = port_of(&sa);
	return 0;
}

int verify_connect(struct stage *s, const struct verify_listeners *listeners,
		   const struct packet *p, long wait_ms, const volatile int *stop, struct err *e)
{
	bool outbound = p->direction == PACKET_OUTBOUND;
	struct attempt a = { .packet = p, .client = -1 };
	int rc, fate = -1;

	a.proxy = (outbound ? listeners->outbound : listeners->inbound)[p->to.addr.family];
	a.target = open_target(s, p, e);
	if (a.target < 0 && a.target != -ENOENT)
		return a.target;
	rc = start(s, &a, &fate, e);
	if (rc == 0 && fate >= 0)
		rc = fate;
	else if (rc == 0)
		rc = await(&a, a.target >= 0 || p->listening == PACKET_NO ? wait_ms : SILENT_MS,
			   stop, e);
	if (a.client >= 0)
		close(a.client);
	if (a.target >= 0)
		close(a.target);
	return rc;
}
