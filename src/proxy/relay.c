// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A flow's life: bytes from one leg to the other.
 *
 * Theory of Operation: what a leg brings is read into the thread's buffer, shown to the observer
 * and written to the other leg at once. What that one does not take becomes its backlog, and the
 * source is not read until the backlog is gone: so a flow holds at most FLOW_BUFFER bytes a way,
 * and an idle one holds none. Errors are always watched, read or not.
 *
 * A leg that broke may still hold data that its peer sent before the reset: it is read to the
 * error, and the other leg is given what it takes at once, before it is reset. SO_ERROR is never
 * asked for: that would take the error away, and the reset would look like an orderly end.
 */
#include "flow.h"

#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Reads of a full buffer before another source gets its turn. */
#define READS_PER_TURN 4

static struct flow *flow_of(struct leg *leg)
{
	return CONTAINER_OF(leg - leg->side, struct flow, legs[0]);
}

static struct leg *other(struct flow *f, const struct leg *leg)
{
	return &f->legs[!leg->side];
}

/* Shows @len bytes of the buffer, read from @from, to whoever keeps count. */
static void account(struct flow *f, const struct leg *from, size_t len)
{
	enum way way = flow_way_from(from->side);

	record_bytes(&f->record, way, len);
	observer_data(&f->observer, way, SPAN(f->thread->buffer, len), f->thread->now);
}

static void abort_flow(struct flow *f, struct leg *broken, int error);

/* Registers each leg for what it can do now. False when the flow had to be ended. */
static bool update(struct flow *f)
{
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		struct leg *leg = &f->legs[side];
		uint32_t events = 0;

		if (!leg->eof && !other(f, leg)->backlog)
			events |= EPOLLIN;
		if (leg->backlog)
			events |= EPOLLOUT;
		if (leg->eof && leg->fin_sent) {
			/* Nothing is left to do here, but EPOLLHUP would be reported for ever. */
			loop_unwatch(&f->thread->loop, &leg->source);
		} else if (loop_watch(&f->thread->loop, &leg->source, events) < 0) {
			flow_reset(f, OUTCOME_LIMIT);
			return false;
		}
	}
	return true;
}

void relay_start(struct flow *f)
{
	update(f);
}

/*
 * Sends @len bytes of the buffer to @to; what does not fit becomes its backlog. 0 or -errno of a
 * leg that broke, -ENOMEM.
 */
static int forward(struct flow *f, struct leg *to, size_t len)
{
	const char *data = f->thread->buffer;
	ssize_t sent;

	do {
		sent = send(to->source.fd, data, len, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN)
		return -errno;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent == len)
		return 0;
	to->backlog = malloc(sizeof(*to->backlog) + len - (size_t)sent);
	if (!to->backlog)
		return -ENOMEM;
	to->backlog->start = 0;
	to->backlog->end = len - (size_t)sent;
	memcpy(to->backlog->data, data + sent, to->backlog->end);
	return 0;
}

/* No more will come for @to: its peer gets a FIN, once the backlog is sent. */
static void pass_fin(struct leg *to)
{
	if (to->backlog || to->fin_sent)
		return;
	shutdown(to->source.fd, SHUT_WR);
	to->fin_sent = true;
}

/* Ends the flow if both ways have ended. */
static bool finished(struct flow *f)
{
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		if (!f->legs[side].eof || f->legs[side].backlog)
			return false;
	}
	flow_close(f);
	return true;
}

static void saw_fin(struct flow *f, struct leg *from)
{
	from->eof = true;
	observer_end(&f->observer, flow_way_from(from->side), OBSERVER_FIN, f->thread->now);
	if (finished(f))
		return;
	pass_fin(other(f, from));
	update(f);
}

/* @from has something: data, its end, or an error. */
static void pull(struct flow *f, struct leg *from)
{
	struct leg *to = other(f, from);

	for (unsigned turn = 0; turn < READS_PER_TURN; turn++) {
		ssize_t n = recv(from->source.fd, f->thread->buffer, FLOW_BUFFER, 0);
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			abort_flow(f, from, errno);
			return;
		}
		if (n == 0) {
			saw_fin(f, from);
			return;
		}
		account(f, from, (size_t)n);
		rc = forward(f, to, (size_t)n);
		if (rc == -ENOMEM) {
			flow_reset(f, OUTCOME_LIMIT);
			return;
		}
		if (rc < 0) {
			abort_flow(f, to, -rc);
			return;
		}
		if (to->backlog || n < FLOW_BUFFER)
			break;
	}
	update(f);
}

/* @to can take more of its backlog. */
static void push(struct flow *f, struct leg *to)
{
	struct backlog *b = to->backlog;
	ssize_t sent = send(to->source.fd, b->data + b->start, b->end - b->start, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		abort_flow(f, to, errno);
		return;
	}
	b->start += (size_t)sent;
	if (b->start < b->end)
		return;
	free(b);
	to->backlog = NULL;
	if (finished(f))
		return;
	if (other(f, to)->eof)
		pass_fin(to);
	update(f);
}

/* Gives the other leg what @broken still holds, as far as it takes that at once. */
static void rescue(struct flow *f, struct leg *broken)
{
	struct leg *to = other(f, broken);

	if (to->backlog) {
		struct backlog *b = to->backlog;
		ssize_t n =
			send(to->source.fd, b->data + b->start, b->end - b->start, MSG_NOSIGNAL);

		if (n < 0 || (size_t)n < b->end - b->start)
			return;
		free(b);
		to->backlog = NULL;
	}
	while (!broken->eof && !to->backlog) {
		ssize_t n = recv(broken->source.fd, f->thread->buffer, FLOW_BUFFER, 0);

		if (n <= 0)
			return;
		account(f, broken, (size_t)n);
		if (forward(f, to, (size_t)n) < 0)
			return;
	}
}

/* @broken failed with @error: what can still be delivered is, then both legs are reset. */
static void abort_flow(struct flow *f, struct leg *broken, int error)
{
	enum outcome outcome =
		broken->side == FLOW_CLIENT ? OUTCOME_RESET_BY_CLIENT : OUTCOME_RESET_BY_SERVER;

	rescue(f, broken);
	flow_reset(f, error == ETIMEDOUT ? OUTCOME_TIMEOUT : outcome);
}

/* An error is pending on @leg; reading gives what came before it, and then the error itself. */
static void broke(struct flow *f, struct leg *leg)
{
	struct leg *to = other(f, leg);

	/* Not to be read now: the other leg is full, or this one's end has been seen. */
	if (leg->eof || to->backlog) {
		abort_flow(f, leg, ECONNRESET);
		return;
	}
	pull(f, leg);
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
	if (events & EPOLLOUT && leg->backlog)
		push(f, leg);
	if (f->state != FLOW_OPEN)
		return;
	if (events & (EPOLLIN | EPOLLHUP) && !leg->eof && !other(f, leg)->backlog)
		pull(f, leg);
}
