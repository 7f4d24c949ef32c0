// SPDX-License-Identifier: GPL-2.0-or-later
/* A forward proxy's client that speaks HTTP/2: what forward_http2.h makes of it, and the sockets.
 */
#include "forward_internal.h"

#include "forward_http2.h"
#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/* What the client was sent before anybody looked: a side's first frame (RFC 9113 sect. 3.4). */
static const struct span our_settings = { "\0\0\0\4\0\0\0\0", 9 };

static struct span bytes_of(const struct forward_output *o)
{
	return SPAN(o->data, o->len);
}

/* What it holds is a backlog like any other. */
static void count(struct forward *x)
{
	size_t bytes = x->http2 ? forward_http2_memory(x->http2) : 0;

	thread_backlog(x->flow.thread, (int64_t)bytes - (int64_t)x->http2_counted);
	x->http2_counted = bytes;
}

void forward_frames_fini(struct forward *x)
{
	forward_http2_free(x->http2);
	x->http2 = NULL;
	count(x);
}

/*
 * Between the warning of a drain and what it warns of: many times what a request needs that is on
 * its way. Others wait as long.
 */
#define CLOSE_NS 1000000000u

/* Nothing that is held will be sent any more. */
static void leave(struct forward *x)
{
	forward_frames_fini(x);
	forward_leave(x);
}

/* Sends what is put out. False: the flow is over. */
static bool send_out(struct forward *x)
{
	struct flow *f = &x->flow;
	struct forward_output *to_client = forward_http2_to_client(x->http2);
	struct forward_output *to_server = forward_http2_to_server(x->http2);
	int rc;

	/* Until there is a server nobody counts. */
	if (x->state == FORWARD_FRAMES)
		rc = forward_pass(x, FLOW_CLIENT, bytes_of(to_client));
	else
		rc = forward_send(f, &f->legs[FLOW_CLIENT], bytes_of(to_client));
	if (rc < 0) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return false;
	}
	forward_output_empty(to_client);
	if (x->state == FORWARD_FRAMES) {
		if (forward_pass(x, FLOW_SERVER, bytes_of(to_server)) < 0)
			x->request_whole = true; /* reading says what became of the server */
		forward_output_empty(to_server);
	}
	count(x);
	return true;
}

void forward_frames_take(struct forward *x, struct span bytes)
{
	enum forward_http2_result rc;
	struct span host;
	uint16_t port;

	if (!x->http2)
		x->http2 = forward_http2_new();
	rc = x->http2 ? forward_http2_client(x->http2, bytes) : FORWARD_HTTP2_NOMEM;
	if (rc == FORWARD_HTTP2_NOMEM) {
		flow_reset(&x->flow, OUTCOME_LIMIT);
		return;
	}
	/* Once the connection is observed; before that, all of it when it begins to be. */
	if (x->state != FORWARD_FRAMES && x->flow.record.recorder)
		forward_show_request(x);
	if (!send_out(x))
		return;
	if (rc == FORWARD_HTTP2_BAD) {
		leave(x);
	} else if (x->state == FORWARD_DIALING && !forward_http2_waits(x->http2)) {
		/*
		 * All that it was for has been cancelled. There may be more, for the same server:
		 * its record stays open, and so does what the observer knows of the headers.
		 */
		forward_set_deadline(x, 0);
		dial_cancel(&x->dial);
		x->state = FORWARD_AWAITING;
	} else if (x->state == FORWARD_AWAITING && forward_http2_waits(x->http2)) {
		forward_http2_route(x->http2, &host, &port);
		x->asked = x->heard;
		if (port)
			forward_dial(x, host, port);
		else
			forward_answer(x, FORWARD_ANSWER_BAD_REQUEST, NULL);
	}
}

void forward_frames_answer(struct forward *x, uint16_t status, enum outcome outcome)
{
	struct flow *f = &x->flow;
	struct span to_client;

	forward_http2_answer(x->http2, status);
	to_client = bytes_of(forward_http2_to_client(x->http2));
	if (f->record.recorder) {
		observer_data(&f->observer, WAY_TO_CLIENT, our_settings, f->thread->now);
		observer_data(&f->observer, WAY_TO_CLIENT, to_client, f->thread->now);
	}
	forward_drop_server(x, outcome);
	if (forward_send(f, &f->legs[FLOW_CLIENT], to_client) < 0)
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
	else
		leave(x);
}

void forward_frames_connected(struct forward *x)
{
	struct flow *f = &x->flow;

	x->state = FORWARD_FRAMES;
	x->request_whole = false;
	forward_http2_connected(x->http2);
	if (forward_pass_seen(x, FLOW_SERVER, bytes_of(forward_http2_to_server(x->http2))) < 0)
		x->request_whole = true;
	forward_output_empty(forward_http2_to_server(x->http2));
	if (send_out(x) && f->legs[FLOW_CLIENT].eof)
		observer_end(&f->observer, WAY_TO_SERVER, OBSERVER_FIN, f->thread->now);
}

static bool take_from_client(struct forward *x, struct span bytes)
{
	struct flow *f = &x->flow;

	forward_frames_take(x, bytes);
	return f->state == FLOW_FORWARD && x->state == FORWARD_FRAMES &&
	       !f->legs[FLOW_SERVER].backlog;
}

static void client_ended(struct forward *x, int error)
{
	struct flow *f = &x->flow;

	if (error) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	f->legs[FLOW_CLIENT].eof = true;
	/* While there is no server, what came before it has not been seen either. */
	if (x->state == FORWARD_FRAMES)
		observer_end(&f->observer, WAY_TO_SERVER, OBSERVER_FIN, f->thread->now);
}

void forward_frames_client(struct forward *x)
{
	forward_read(x, FLOW_CLIENT, take_from_client, client_ended);
}

static bool take_from_server(struct forward *x, struct span bytes)
{
	struct flow *f = &x->flow;

	if (forward_http2_server(x->http2, bytes) == FORWARD_HTTP2_NOMEM) {
		flow_reset(f, OUTCOME_LIMIT);
		return false;
	}
	return send_out(x) && !f->legs[FLOW_CLIENT].backlog;
}

static void server_ended(struct forward *x, int error)
{
	struct flow *f = &x->flow;

	if (error) {
		flow_reset(f, error == ETIMEDOUT ? OUTCOME_TIMEOUT : OUTCOME_RESET_BY_SERVER);
		return;
	}
	observer_end(&f->observer, WAY_TO_CLIENT, OBSERVER_FIN, f->thread->now);
	leave(x);
}

void forward_frames_server(struct forward *x)
{
	forward_read(x, FLOW_SERVER, take_from_server, server_ended);
}

void forward_frames_end(struct forward *x)
{
	struct leg *client = &x->flow.legs[FLOW_CLIENT], *server = &x->flow.legs[FLOW_SERVER];

	/* The client's FIN, once all before it has been taken. */
	if (!client->eof || server->backlog || server->fin_sent)
		return;
	shutdown(server->source.fd, SHUT_WR);
	server->fin_sent = true;
}

void forward_frames_drain(struct forward *x)
{
	struct flow *f = &x->flow;
	bool ok = true;

	if (!x->warned) {
		x->warned = true;
		x->close_at = f->thread->now + CLOSE_NS;
		ok = forward_http2_warn(x->http2) && send_out(x);
	} else if (!x->closing && f->thread->now >= x->close_at) {
		x->closing = true;
		ok = forward_http2_close(x->http2) && send_out(x);
	}
	if (f->state != FLOW_FORWARD)
		return;
	if (!ok)
		flow_reset(f, OUTCOME_LIMIT);
	else if (!x->closing)
		forward_set_deadline(x, x->close_at);
	else if (forward_http2_is_over(x->http2) && !f->legs[FLOW_SERVER].backlog)
		leave(x);
}
