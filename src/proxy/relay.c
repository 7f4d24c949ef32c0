// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A flow's life: bytes from one leg to the other.
 *
 * Theory of Operation: what a leg brings is read into the thread's buffer, shown to the observer
 * and written to the other leg at once. Where the observer need not see the next bytes, and they
 * are many, they go through a pipe instead and are never copied. What the other leg does not take
 * stays behind, in a backlog or in the pipe, and the source is not read until that is gone: so a
 * flow holds at most FLOW_BUFFER bytes a way, and an idle one holds none. Where memory is short it
 * reads less at a time, and so holds less (quota.h). Errors are always
 * watched, read or not.
 *
 * A leg that broke may still hold data that its peer sent before the reset: it is read to the
 * error, and the other leg is given what it takes at once, before it is reset. SO_ERROR is never
 * asked for: that would take the error away, and the reset would look like an orderly end.
 */
#include "flow.h"

#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* Reads of a full buffer before another source gets its turn. */
#define READS_PER_TURN 4

/* Below this a pipe's two system calls more than a copy's cost what they save. */
#define SPLICE_MIN 16384

static struct flow *flow_of(struct leg *leg)
{
	return CONTAINER_OF(leg - leg->side, struct flow, legs[0]);
}

static struct leg *other(struct flow *f, const struct leg *leg)
{
	return &f->legs[!leg->side];
}

/* Whether @leg has yet to take what was read for it. */
static bool has_pending(const struct leg *leg)
{
	return leg->backlog || leg->pipe;
}

static void abort_flow(struct flow *f, struct leg *broken, int error);

/*
 * Registers each leg for what it can do now. One that can do nothing is told of an error once
 * (EPOLLET): EPOLLHUP, which both FINs make, would come for as long as the other leg is slow.
 */
static void update(struct flow *f)
{
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		struct leg *leg = &f->legs[side];
		uint32_t events = 0;

		if (!leg->eof && !has_pending(other(f, leg)))
			events |= EPOLLIN | EPOLLRDHUP;
		if (has_pending(leg))
			events |= EPOLLOUT;
		if (leg->eof && leg->fin_sent) {
			/* Nothing is left to do here, but EPOLLHUP would be reported for ever. */
			loop_unwatch(&f->thread->loop, &leg->source);
		} else if (loop_watch(&f->thread->loop, &leg->source, events ? events : EPOLLET) <
			   0) {
			flow_reset(f, OUTCOME_LIMIT);
			return;
		}
	}
}

void relay_start(struct flow *f)
{
	update(f);
}

/* Keeps the last @left bytes of the buffer's @len for @to. 0 or -ENOMEM. */
static int keep(struct flow *f, struct leg *to, size_t len, size_t left)
{
	to->backlog = malloc(sizeof(*to->backlog) + left);
	if (!to->backlog)
		return -ENOMEM;
	to->backlog->start = 0;
	to->backlog->size = to->backlog->end = left;
	thread_backlog(f->thread, (int64_t)left);
	memcpy(to->backlog->data, f->thread->buffer + len - left, left);
	return 0;
}

/* send(2) that knows no EINTR; what a full socket takes is 0 bytes. Negative: -errno. */
static ssize_t send_some(struct leg *to, const char *data, size_t len, int flags)
{
	ssize_t sent;

	do {
		/* #syscalls sendto */
		sent = send(to->source.fd, data, len, MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN ? 0 : -errno;
}

/*
 * Shows the @len bytes of the buffer that were read from @from to whoever keeps count, and sends
 * them on. @last: its FIN follows, and shall share their segment. 0, -errno of the other leg,
 * which broke, or -ENOMEM.
 */
static int forward(struct flow *f, struct leg *from, size_t len, bool last)
{
	enum way way = flow_way_from(from->side);
	struct leg *to = other(f, from);
	ssize_t sent;

	record_bytes(&f->record, way, len);
	observer_data(&f->observer, way, SPAN(f->thread->buffer, len), f->thread->now);
	sent = send_some(to, f->thread->buffer, len, last ? MSG_MORE : 0);
	if (sent < 0)
		return (int)sent;
	return (size_t)sent < len ? keep(f, to, len, len - (size_t)sent) : 0;
}

/* Moves what is in @to's pipe on to it. 0, also when it is full; or -errno of @to. */
static int drain_pipe(struct flow *f, struct leg *to)
{
	struct pipe *p = to->pipe;

	while (p->bytes) {
		/* #syscalls splice */
		ssize_t n = splice(p->read_fd, NULL, to->source.fd, NULL, p->bytes,
				   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -errno;
		p->bytes -= (size_t)n;
	}
	to->pipe = NULL;
	pipe_give(&f->thread->pipes, p);
	return 0;
}

/*
 * Moves up to @most bytes from @from to the other leg unseen. Returns how many were read, or
 * -errno of @from, which had it pending; *@sent is 0 or -errno of the other leg. 0 says nothing:
 * no pipe is to be had, or there is nothing to read, or the end, or an urgent byte, before which
 * the kernel's splice stops for good, also with SO_OOBINLINE (tcp_read_sock() in net/ipv4/tcp.c).
 * recv(2) tells which.
 */
static ssize_t move_unseen(struct flow *f, struct leg *from, uint64_t most, int *sent)
{
	enum way way = flow_way_from(from->side);
	struct leg *to = other(f, from);
	struct pipe *p = pipe_take(&f->thread->pipes, f->thread->now);
	ssize_t n;

	*sent = 0;
	if (!p)
		return 0;
	n = splice(from->source.fd, NULL, p->write_fd, NULL, MIN(most, PIPE_BYTES),
		   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n <= 0) {
		int error = n < 0 ? errno : 0;

		pipe_give(&f->thread->pipes, p);
		return error == EAGAIN || error == EINTR || error == ENOTCONN ? 0 : -error;
	}
	p->bytes = (size_t)n;
	to->pipe = p;
	record_bytes(&f->record, way, (size_t)n);
	observer_skipped(&f->observer, way, (size_t)n, f->thread->now);
	*sent = drain_pipe(f, to);
	return n;
}

/* No more will come for @to: its peer gets a FIN, once it has taken what is pending. */
static void pass_fin(struct leg *to)
{
	if (has_pending(to) || to->fin_sent)
		return;
	/* #syscalls shutdown */
	shutdown(to->source.fd, SHUT_WR);
	to->fin_sent = true;
}

/* Ends the flow if both ways have ended. */
static bool finished(struct flow *f)
{
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		if (!f->legs[side].eof || has_pending(&f->legs[side]))
			return false;
	}
	flow_close(f);
	return true;
}

static void saw_fin(struct flow *f, struct leg *from)
{
	from->eof = true;
	record_fin(&f->record, flow_way_from(from->side));
	observer_end(&f->observer, flow_way_from(from->side), OBSERVER_FIN, f->thread->now);
	if (finished(f))
		return;
	pass_fin(other(f, from));
	update(f);
}

/* What one read of a leg gave. */
struct taken {
	ssize_t len; /* bytes read and sent on; 0: only the end below */
	bool fin;    /* its FIN was read */
	int error;   /* errno of the leg that was read; 0: none */
	int sent;    /* 0, or -errno of the other leg, or -ENOMEM */
	bool more;   /* another read is likely to give something */
};

/*
 * recv(2) into the buffer, at most @most bytes. Where the peer has ended (@ending) a short read is
 * followed by the end at once: then that is read too.
 */
static void receive(struct flow *f, struct leg *from, size_t most, bool ending, struct taken *t)
{
	do {
		/* #syscalls recvfrom */
		ssize_t n =
			recv(from->source.fd, f->thread->buffer + t->len, most - (size_t)t->len, 0);

		if (n > 0)
			t->len += n;
		else if (n == 0)
			t->fin = true;
		else if (errno != EAGAIN && errno != EINTR)
			t->error = errno;
		if (n <= 0)
			return;
	} while (ending && (size_t)t->len < most);
}

/* One read from @from, by pipe or by copy, and sending on what it gave. */
static struct taken read_once(struct flow *f, struct leg *from, bool ending)
{
	enum way way = flow_way_from(from->side);
	uint64_t unseen = observer_skip(&f->observer, way);
	size_t most = thread_read_max(f->thread);
	struct taken t = { 0 };

	if (unseen >= SPLICE_MIN && (from->bulk || unseen < OBSERVER_SKIP_TO_END)) {
		ssize_t n = move_unseen(f, from, unseen, &t.sent);

		from->bulk = n >= SPLICE_MIN;
		if (n > 0) {
			t.len = n;
			t.more = from->bulk && observer_skip(&f->observer, way) >= SPLICE_MIN;
			return t;
		}
		if (n < 0) {
			t.error = (int)-n;
			return t;
		}
	}
	receive(f, from, most, ending, &t);
	if (!t.len)
		return t;
	from->bulk = t.len >= SPLICE_MIN;
	t.sent = forward(f, from, (size_t)t.len, t.fin);
	t.more = (size_t)t.len == most || observer_skip(&f->observer, way) >= SPLICE_MIN;
	return t;
}

/* @from has something: data, its end (@ending: the kernel says so), or an error. */
static void pull(struct flow *f, struct leg *from, bool ending)
{
	struct leg *to = other(f, from);

	for (unsigned turn = 0; turn < READS_PER_TURN; turn++) {
		struct taken t = read_once(f, from, ending);

		if (t.sent == -ENOMEM) {
			flow_reset(f, OUTCOME_LIMIT);
			return;
		}
		if (t.sent < 0) {
			abort_flow(f, to, -t.sent);
			return;
		}
		if (t.error) {
			abort_flow(f, from, t.error);
			return;
		}
		if (t.fin) {
			saw_fin(f, from);
			return;
		}
		if (has_pending(to) || !t.more)
			break;
	}
	update(f);
}

/* Sends what is left of @to's backlog or pipe. 0, also when some is left; or -errno of @to. */
static int send_pending(struct flow *f, struct leg *to)
{
	struct backlog *b = to->backlog;
	ssize_t sent;

	if (to->pipe)
		return drain_pipe(f, to);
	sent = send_some(to, b->data + b->start, b->end - b->start, 0);
	if (sent < 0)
		return (int)sent;
	b->start += (size_t)sent;
	if (b->start < b->end)
		return 0;
	flow_drop_backlog(f, to);
	return 0;
}

/* @to can take more of what is pending. */
static void push(struct flow *f, struct leg *to)
{
	int rc = send_pending(f, to);

	if (rc < 0) {
		abort_flow(f, to, -rc);
		return;
	}
	if (has_pending(to) || finished(f))
		return;
	if (other(f, to)->eof)
		pass_fin(to);
	update(f);
}

/*
 * Gives the other leg what @broken still holds, as far as it takes that at once. Returns the
 * error that was met at the end of it, 0 if none was.
 */
static int rescue(struct flow *f, struct leg *broken)
{
	struct leg *to = other(f, broken);

	if (has_pending(to) && send_pending(f, to) < 0)
		return 0;
	while (!broken->eof && !has_pending(to)) {
		ssize_t n = recv(broken->source.fd, f->thread->buffer, FLOW_BUFFER, 0);

		if (n <= 0)
			return n < 0 && errno != EAGAIN ? errno : 0;
		if (forward(f, broken, (size_t)n, false) < 0)
			return 0;
	}
	return 0;
}

/* @broken failed with @error: what can still be delivered is, then both legs are reset. */
static void abort_flow(struct flow *f, struct leg *broken, int error)
{
	enum outcome outcome =
		broken->side == FLOW_CLIENT ? OUTCOME_RESET_BY_CLIENT : OUTCOME_RESET_BY_SERVER;
	int met = rescue(f, broken);

	if (error == ETIMEDOUT || met == ETIMEDOUT)
		outcome = OUTCOME_TIMEOUT;
	else if (error == ECONNABORTED || met == ECONNABORTED)
		outcome = OUTCOME_DRAIN; /* destroyed here, by sluice remove: tcp_abort() */
	flow_reset(f, outcome);
}

void relay_abort(struct flow *f, unsigned side, int error)
{
	abort_flow(f, &f->legs[side], error);
}

/* An error is pending on @leg; reading gives what came before it, and then the error itself. */
static void broke(struct flow *f, struct leg *leg)
{
	int error = ECONNRESET;
	socklen_t len = sizeof(error);

	if (!leg->eof && !has_pending(other(f, leg))) {
		pull(f, leg, false);
		return;
	}
	/* Its data has been read, so that the error may be asked for; else rescue() meets it. */
	if (leg->eof)
		getsockopt(leg->source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	abort_flow(f, leg, error);
}

void relay_ready(struct loop_source *source, uint32_t events)
{
	struct leg *leg = CONTAINER_OF(source, struct leg, source);
	struct flow *f = flow_of(leg);

	f->thread->now = loop_clock();
	if (f->state == FLOW_CONNECTING) {
		flow_connecting(f, leg->side, events);
		return;
	}
	if (events & EPOLLERR) {
		broke(f, leg);
		return;
	}
	if (events & EPOLLOUT && has_pending(leg))
		push(f, leg);
	if (f->state != FLOW_OPEN)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) && !leg->eof && !has_pending(other(f, leg)))
		pull(f, leg, events & EPOLLRDHUP);
}
