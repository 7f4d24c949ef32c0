// SPDX-License-Identifier: GPL-2.0-or-later
/* The forward proxy: from a connection to its requests and their end. See forward.h. */
#include "forward_internal.h"

#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * A redirected client that says nothing for so long waits for its server to speak first, as those
 * of databases and of mail do: then it is connected to where it was going.
 */
#define SILENCE_NS 500000000u

/* How long a client may take to read the last answer and close. */
#define LEAVING_NS 2000000000u

/* ---- Ends ---- */

void forward_drop_server(struct forward *x, enum outcome outcome)
{
	static const struct linger off = { 0, 0 };
	struct flow *f = &x->flow;
	struct leg *server = forward_server(x);

	dial_cancel(&x->dial);
	own_release(f->thread->shared->own, &f->own); /* before another may get its port */
	if (server->source.fd >= 0) {
		/* #syscalls setsockopt close */
		setsockopt(server->source.fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
		close(server->source.fd);
	}
	flow_drop_backlog(f, server);
	*server =
		(struct leg){ .source = { .fd = -1, .ready = forward_ready }, .side = FLOW_SERVER };
	forward_forget(x, &x->out, x->out.len);
	x->out_head = (struct forward_progress){ .line = 0 };
	flow_unobserve(f, outcome);
}

void forward_leave(struct forward *x)
{
	struct leg *client = forward_client(x);

	record_fin(&x->flow.record, client->eof ? WAY_TO_SERVER : WAY_TO_CLIENT);
	forward_drop_server(x, OUTCOME_CLOSED);
	forward_forget(x, &x->in, x->in.len);
	x->state = FORWARD_LEAVING;
	if (client->backlog)
		return;
	if (client->eof) {
		flow_close(&x->flow);
		return;
	}
	/* #syscalls shutdown */
	shutdown(client->source.fd, SHUT_WR);
	client->fin_sent = true;
	forward_set_deadline(x, x->flow.thread->now + LEAVING_NS);
}

void forward_fini(struct flow *f)
{
	struct forward *x = forward_of(f);

	dial_cancel(&x->dial);
	forward_set_deadline(x, 0);
	forward_forget(x, &x->in, x->in.len);
	forward_forget(x, &x->out, x->out.len);
	forward_frames_fini(x);
}

/* ---- Becoming an ordinary flow ---- */

void forward_become_relay(struct forward *x)
{
	struct flow *f = &x->flow;
	int rc;

	forward_set_deadline(x, 0);
	f->state = FLOW_OPEN;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		f->legs[side].source.ready = relay_ready;
	rc = forward_pass(x, FLOW_SERVER, SPAN(x->in.data, x->in.len));
	forward_forget(x, &x->in, x->in.len);
	if (rc < 0)
		relay_abort(f, FLOW_SERVER, -rc);
	else
		relay_start(f);
}

void forward_pass_through(struct forward *x)
{
	struct flow *f = &x->flow;
	struct addr address = sockaddr_addr(&x->original);
	int rc;

	forward_set_deadline(x, 0);
	flow_observe(f, DIRECTION_OUTBOUND, &address, sockaddr_port(&x->original));
	record_bytes(&f->record, WAY_TO_SERVER, x->in.len);
	if (x->in.len)
		observer_data(&f->observer, WAY_TO_SERVER, SPAN(x->in.data, x->in.len),
			      f->thread->now);
	rc = x->in.len ? forward_put_off(f, forward_server(x), SPAN(x->in.data, x->in.len)) : 0;
	forward_forget(x, &x->in, x->in.len);
	if (rc < 0) {
		flow_reset(f, OUTCOME_LIMIT);
		return;
	}
	f->state = FLOW_CONNECTING;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		f->legs[side].source.ready = relay_ready;
	flow_connect(f, &x->original, NULL);
}

/* ---- On and on ---- */

/* Whether a drain ends it: it has had an answer, and no next request is on its way. */
static bool is_drained(struct forward *x)
{
	char byte;

	return x->flow.thread->phase >= PHASE_DRAINING && !x->fresh && !x->http2 && !x->in.len &&
	       recv(forward_client(x)->source.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void forward_go_on(struct forward *x)
{
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_EXCHANGE)
		forward_exchange_end(x);
	while (x->flow.state == FLOW_FORWARD && x->state == FORWARD_AWAITING && x->in.len &&
	       !forward_client(x)->backlog && forward_take_request(x))
		;
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_FRAMES)
		forward_frames_end(x);
	if (x->flow.state == FLOW_FORWARD && x->http2 && x->flow.thread->phase >= PHASE_DRAINING &&
	    (x->state == FORWARD_FRAMES || x->state == FORWARD_AWAITING))
		forward_frames_drain(x);
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_AWAITING &&
	    !forward_client(x)->backlog) {
		if (forward_client(x)->eof)
			flow_close(&x->flow); /* whole requests are answered; a part is none */
		else if (is_drained(x))
			forward_leave(x);
	}
	if (x->flow.state == FLOW_FORWARD)
		forward_watch(x);
}

void forward_drain(struct thread *t)
{
	struct flow *next;

	t->now = loop_clock();
	for (struct flow *f = t->flows; f; f = next) {
		next = f->next;
		if (f->state == FLOW_FORWARD && (forward_of(f)->state == FORWARD_AWAITING ||
						 forward_of(f)->state == FORWARD_FRAMES))
			forward_go_on(forward_of(f));
	}
}

void forward_accept(struct thread *t, int fd, const union sockaddr_any *original, uint8_t loops)
{
	struct forward *x = calloc(1, sizeof(*x));

	if (!x) {
		close(fd);
		thread_pause_accepting(t);
		return;
	}
	flow_init(&x->flow, t, fd);
	x->flow.state = FLOW_FORWARD;
	x->flow.forward = true;
	x->flow.loops = loops;
	x->flow.record.opened = t->now;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		x->flow.legs[side].source.ready = forward_ready;
	x->state = FORWARD_AWAITING;
	x->fresh = true;
	if (original) {
		x->redirected = true;
		x->original = *original;
		forward_set_deadline(x, t->now + SILENCE_NS);
	}
	forward_watch(x);
}
