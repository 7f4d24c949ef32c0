// SPDX-License-Identifier: GPL-2.0-or-later
/* A flow's birth and death: see flow.h. Its life is in relay.c. */
#include "flow.h"

#include "forward.h"
#include "log.h"
#include "origdst.h"
#include "thread.h"
#include "upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* So often a connection of our own may come back to us before that is taken for a rule's fault. */
#define LOOPS_MAX 16

static void link_flow(struct flow *f)
{
	struct thread *t = f->thread;

	f->next = t->flows;
	if (t->flows)
		t->flows->prev = f;
	t->flows = f;
	t->flow_count++;
	atomic_fetch_add_explicit(&t->shared->connections, 1, memory_order_relaxed);
}

static void unlink_flow(struct flow *f)
{
	struct thread *t = f->thread;

	flow_lister_skip(&t->lister, f);
	if (f->next)
		f->next->prev = f->prev;
	if (f->prev)
		f->prev->next = f->next;
	else
		t->flows = f->next;
	t->flow_count--;
	atomic_fetch_sub_explicit(&t->shared->connections, 1, memory_order_relaxed);
}

void flow_drop_backlog(struct flow *f, struct leg *leg)
{
	if (!leg->backlog)
		return;
	thread_backlog(f->thread, -(int64_t)leg->backlog->size);
	free(leg->backlog);
	leg->backlog = NULL;
}

/*
 * What TCP knows of the leg that crosses the network: the client's inbound, the server's outbound.
 * The other one's peer is in this pod, and a system call more for each connection is not free.
 */
static void ask_tcp(struct flow *f)
{
	unsigned far = f->record.direction == DIRECTION_INBOUND ? FLOW_CLIENT : FLOW_SERVER;
	int fd = f->legs[far].source.fd;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	/* #syscalls getsockopt */
	if (fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    len >= sizeof(info))
		record_tcp(&f->record, info.tcpi_rtt, info.tcpi_total_retrans);
}

/* Whom the log is to name. */
static void set_client(struct flow *f)
{
	union sockaddr_any peer;
	socklen_t len = sizeof(peer);
	struct addr address;

	if (getpeername(f->legs[FLOW_CLIENT].source.fd, &peer.sa, &len) < 0)
		return;
	address = sockaddr_addr(&peer);
	record_client(&f->record, &address, sockaddr_port(&peer));
}

void flow_observe(struct flow *f, enum direction direction, const struct addr *address,
		  uint16_t port)
{
	struct thread *t = f->thread;

	record_open(&f->record, &t->recorder, direction, address, port, t->now);
	if (unlikely(t->recorder.log))
		set_client(f);
	observer_init(&f->observer, &record_sink, &f->record,
		      atomic_load_explicit(t->shared->observers_off, memory_order_relaxed));
}

void flow_unobserve(struct flow *f, enum outcome outcome)
{
	if (!f->record.recorder)
		return;
	observer_fini(&f->observer, f->thread->now);
	ask_tcp(f);
	record_close(&f->record, outcome, f->thread->now);
	f->record.recorder = NULL;
}

/* The last steps of every end. */
static void finish(struct flow *f, enum outcome outcome)
{
	struct thread *t = f->thread;

	flow_unobserve(f, outcome);
	if (unlikely(f->forward))
		forward_fini(f);
	own_release(t->shared->own, &f->own);
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		struct leg *leg = &f->legs[side];

		if (leg->source.fd >= 0)
			close(leg->source.fd);
		leg->source.fd = -1;
		leg->source.registered = false;
		flow_drop_backlog(f, leg);
		if (leg->pipe)
			pipe_give(&t->pipes, leg->pipe);
		leg->pipe = NULL;
	}
	unlink_flow(f);
	f->state = FLOW_ENDED;
	f->next = t->ended;
	t->ended = f;
}

void flow_reset(struct flow *f, enum outcome outcome)
{
	if (f->state == FLOW_ENDED)
		return;
	observer_end(&f->observer,
		     outcome == OUTCOME_RESET_BY_CLIENT ? WAY_TO_SERVER : WAY_TO_CLIENT,
		     OBSERVER_RESET, f->thread->now);
	finish(f, outcome);
}

void flow_close(struct flow *f)
{
	static const struct linger off = { 0, 0 };

	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		setsockopt(f->legs[side].source.fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	finish(f, OUTCOME_CLOSED);
}

void flow_settle(struct flow *f)
{
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		keepalive_start(f->legs[side].source.fd, &f->pod->keepalive);
	f->settled = true;
	record_settle(&f->record, f->thread->now);
}

void flow_free(struct flow *f)
{
	free(f);
}

static enum outcome connect_outcome(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return OUTCOME_REFUSED;
	case ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL: /* no free source port */
		return OUTCOME_LIMIT;
	default:
		return OUTCOME_UNREACHABLE;
	}
}

/*
 * The connect ended with @error, which is no longer pending on the socket. A reset after the
 * handshake is no failed connect: what the server had sent before it is still to be read.
 */
static void connect_failed(struct flow *f, int error)
{
	if (error == ECONNRESET || error == EPIPE) {
		record_connected(&f->record, f->thread->now);
		f->state = FLOW_OPEN;
		relay_abort(f, FLOW_SERVER, error);
		return;
	}
	flow_reset(f, connect_outcome(error));
}

static void connected(struct flow *f)
{
	record_connected(&f->record, f->thread->now);
	f->state = FLOW_OPEN;
	relay_start(f);
}

/*
 * Whether the client's address is kept: *@from is it. Not where the kernel has translated the
 * destination (then the rules are those of --inbound-mode=redirect, and no answer would come
 * back), and not a link-local one, which belongs to an interface.
 */
static bool keeps_source(const struct pod *pod, const struct pod_listener *listener, int fd,
			 const union sockaddr_any *to, union sockaddr_any *from)
{
	socklen_t len = sizeof(*from), own_len = sizeof(*from);
	union sockaddr_any own = { .sa = { .sa_family = AF_UNSPEC } };

	*from = own;
	if (!pod->keep_source || listener->direction != DIRECTION_INBOUND ||
	    getpeername(fd, &from->sa, &len) < 0 || getsockname(fd, &own.sa, &own_len) < 0)
		return false;
	return sockaddr_equal(&own, to) &&
	       !(from->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&from->v6.sin6_addr));
}

/*
 * Whether the connection was made to one of our own listeners, which nobody redirected: serving it
 * would mean connecting to ourselves, for ever.
 */
static bool is_loop(const struct pod *pod, int fd, const union sockaddr_any *to)
{
	union sockaddr_any own;
	socklen_t len = sizeof(own);
	struct addr to_addr, own_addr;

	if (!pod_owns_port(pod, sockaddr_port(to)))
		return false;
	to_addr = sockaddr_addr(to);
	if (addr_is_loopback(&to_addr))
		return true;
	/* #syscalls getpeername getsockname */
	if (getsockname(fd, &own.sa, &len) < 0)
		return true;
	own_addr = sockaddr_addr(&own);
	return memcmp(&own_addr, &to_addr, sizeof(to_addr)) == 0;
}

/*
 * Where @to, of an inbound connection, is to be sent: *@target. A connection that nobody redirected
 * was made to our own port: it has no other destination, and is the target's in the metrics, too.
 */
static void retarget(const struct pod *pod, union sockaddr_any *to, union sockaddr_any *target)
{
	const struct target *t = &pod->inbound_target;

	if (t->any_address)
		sockaddr_set_port(target, t->port);
	else
		sockaddr_set(target, &t->addr, t->port);
	if (pod_owns_port(pod, sockaddr_port(to)))
		sockaddr_set_port(to, t->port);
}

void flow_init(struct flow *f, struct thread *t, int fd)
{
	f->thread = t;
	f->pod = t->shared->pod;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		f->legs[side].side = (uint8_t)side;
		f->legs[side].source.fd = -1;
		f->legs[side].source.ready = relay_ready;
	}
	f->legs[FLOW_CLIENT].source.fd = fd;
	link_flow(f);
}

static struct flow *flow_new(struct thread *t, const struct pod_listener *listener, int fd,
			     const union sockaddr_any *to)
{
	struct flow *f = calloc(1, sizeof(*f));
	struct addr address = sockaddr_addr(to);

	if (!f)
		return NULL;
	flow_init(f, t, fd);
	flow_observe(f, listener->direction, &address, sockaddr_port(to));
	return f;
}

void flow_connect(struct flow *f, const union sockaddr_any *to, const union sockaddr_any *from)
{
	struct thread *t = f->thread;
	struct leg *server = &f->legs[FLOW_SERVER];
	int rc = thread_connect(t, to, from, f->loops, &server->source, &f->own);

	t->now = loop_clock();
	if (rc == 0) {
		connected(f);
		return;
	}
	if (rc == -EINPROGRESS)
		rc = loop_watch(&t->loop, &f->legs[FLOW_CLIENT].source, 0);
	if (rc < 0)
		connect_failed(f, -rc);
}

/*
 * Whether the outbound connection @fd to @to is one for the forward proxy, which then has it. A
 * client that nobody redirected has made it to our port on loopback, from loopback: it takes us for
 * its proxy. No connection of ours can be that one, since the forward proxy goes to no local
 * address. What was redirected has another source, also where conntrack does not know it.
 */
static bool forwards(struct thread *t, int fd, const union sockaddr_any *to, unsigned loops)
{
	const struct pod *pod = t->shared->pod;
	union sockaddr_any peer;
	socklen_t len = sizeof(peer);
	struct addr to_addr, peer_addr;

	if (pod->outbound_by_host && !is_loop(pod, fd, to) && loops <= LOOPS_MAX &&
	    !thread_own_before(t, fd)) {
		forward_accept(t, fd, to, (uint8_t)loops);
		return true;
	}
	if (likely(!pod_is_outbound_port(pod, sockaddr_port(to))))
		return false;
	if (getpeername(fd, &peer.sa, &len) < 0) {
		close(fd); /* gone already */
		return true;
	}
	to_addr = sockaddr_addr(to);
	peer_addr = sockaddr_addr(&peer);
	if (!addr_is_loopback(&to_addr) || !addr_is_loopback(&peer_addr))
		return false;
	forward_accept(t, fd, NULL, 0);
	return true;
}

void flow_accept(struct thread *t, const struct pod_listener *listener, int fd)
{
	const struct pod *pod = t->shared->pod;
	bool targeted = listener->direction == DIRECTION_INBOUND && pod->inbound_target.given;
	union sockaddr_any to, target, from;
	struct flow *f;
	unsigned loops = 0;
	bool known, keep;

	/* Its peer may be gone already; then there is nothing to count it under. */
	if (origdst_get(fd, listener->family, &to, &known) < 0) {
		close(fd);
		return;
	}
	if (listener->direction == DIRECTION_OUTBOUND) {
		loops = thread_own_before_now(t, fd, &to);
		if (forwards(t, fd, &to, loops))
			return;
	}
	keep = keeps_source(pod, listener, fd, &to, &from);
	target = to;
	if (targeted)
		retarget(pod, &to, &target);
	f = flow_new(t, listener, fd, &to);
	if (!f) {
		close(fd);
		thread_pause_accepting(t);
		return;
	}
	if (!targeted && is_loop(pod, fd, &to)) {
		log_debug("refused a connection to our own port %u%s", sockaddr_port(&to),
			  known ? "" : " (conntrack does not know it)");
		flow_reset(f, OUTCOME_LOOP);
		return;
	}
	/*
	 * A few times may be bad luck: a client's connection that was reset leaves its translation
	 * behind for ten seconds, and the kernel may give us its port for the same destination, and
	 * that of its neighbour when we try again.
	 */
	f->loops = (uint8_t)loops;
	if (f->loops > LOOPS_MAX) {
		log_warn("a connection of our own was redirected to us: sluice apply must name "
			 "this proxy's user, --proxy-uid=%u",
			 geteuid()); /* #syscalls geteuid */
		flow_reset(f, OUTCOME_LOOP);
		return;
	}
	/* A source of the other family cannot be kept. */
	keep = keep && from.sa.sa_family == target.sa.sa_family;
	flow_connect(f, &target, keep ? &from : NULL);
}

void flow_connecting(struct flow *f, unsigned side, uint32_t events)
{
	int rc;

	if (side == FLOW_CLIENT) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	rc = upstream_connected(f->legs[FLOW_SERVER].source.fd, events);
	if (rc == 0)
		connected(f);
	else if (rc != -EINPROGRESS)
		connect_failed(f, -rc);
}
