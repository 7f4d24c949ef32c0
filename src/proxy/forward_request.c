// SPDX-License-Identifier: GPL-2.0-or-later
/* A forward proxy's next request: read, judged, and connected to where it goes. See forward.h. */
#include "forward_internal.h"

#include "forward_http2.h"
#include "log.h"
#include "thread.h"

static const enum forward_answer answer_of_end[] = {
	[DIAL_FORBIDDEN] = FORWARD_ANSWER_FORBIDDEN,
	[DIAL_UNRESOLVED] = FORWARD_ANSWER_UNRESOLVED,
	[DIAL_DNS_TIMEOUT] = FORWARD_ANSWER_DNS_TIMEOUT,
	[DIAL_REFUSED] = FORWARD_ANSWER_REFUSED,
	[DIAL_UNREACHABLE] = FORWARD_ANSWER_UNREACHABLE,
	[DIAL_RESET] = FORWARD_ANSWER_BROKEN,
	[DIAL_TIMEOUT] = FORWARD_ANSWER_TIMEOUT,
	[DIAL_LIMIT] = FORWARD_ANSWER_LIMIT,
};
_Static_assert(ARRAY_SIZE(answer_of_end) == DIAL_END_COUNT, "an answer for each failure");

/* The tunnel stands: RFC 9110 sect. 9.3.6. */
static void open_tunnel(struct forward *x)
{
	static const struct span established = { "HTTP/1.1 200 Connection established\r\n\r\n",
						 39 };
	struct flow *f = &x->flow;

	observer_data(&f->observer, WAY_TO_CLIENT, established, f->thread->now);
	forward_forget(x, &x->in, x->request.length);
	if (forward_send(f, forward_client(x), established) < 0)
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
	else
		forward_become_relay(x);
}

static void dial_waits(struct dial *d)
{
	forward_set_dial_deadline(CONTAINER_OF(d, struct forward, dial));
}

void forward_show_request(struct forward *x)
{
	const struct forward_request *r = &x->request;
	const struct forward_output *o;

	if (!x->http2) {
		observer_data(&x->flow.observer, WAY_TO_SERVER,
			      SPAN(x->in.data + r->skipped, r->length - r->skipped), x->asked);
		return;
	}
	o = forward_http2_to_server(x->http2);
	if (o->len > x->shown)
		observer_data(&x->flow.observer, WAY_TO_SERVER,
			      SPAN(o->data + x->shown, o->len - x->shown), x->flow.thread->now);
	x->shown = o->len;
}

/* Connected, or not: the request goes on, or is answered. */
static void take_dialed(struct forward *x, const struct dial *d, enum dial_end end, int fd)
{
	struct flow *f = &x->flow;

	if (end == DIAL_CONNECTED || end == DIAL_RESET) {
		record_address(&f->record, &d->addresses[d->won]);
		/* Without the time that the name took. */
		record_connected(&f->record, f->record.opened + f->thread->now - d->began);
	}
	if (end != DIAL_CONNECTED) {
		forward_answer(x, answer_of_end[end], NULL);
		return;
	}
	forward_server(x)->source.fd = fd;
	f->own = d->attempts[d->won].own;
	if (f->settled)
		keepalive_start(fd, &f->pod->keepalive);
	x->reused = false;
	if (x->http2)
		forward_frames_connected(x);
	else if (x->request.connect)
		open_tunnel(x);
	else
		forward_exchange_begin(x);
}

static void dialed(struct dial *d, enum dial_end end, int fd)
{
	struct forward *x = CONTAINER_OF(d, struct forward, dial);

	forward_set_deadline(x, 0);
	take_dialed(x, d, end, fd);
	/* Else who began it does: as many requests may fail in a row as a client sends. */
	if (!x->starting)
		forward_go_on(x);
}

/* A server that is another than the last one, or the first: what it is for is observed. */
static void begin_server(struct forward *x, struct span host, uint16_t port)
{
	struct flow *f = &x->flow;
	const struct addr unknown = { .family = ADDR_V4 };
	struct addr literal;
	bool named;

	forward_drop_server(x, OUTCOME_CLOSED);
	memcpy(x->host, host.ptr, host.len);
	x->host[host.len] = '\0';
	x->port = port;
	named = addr_parse(host, &literal, NULL) < 0;
	flow_observe(f, DIRECTION_OUTBOUND, named ? &unknown : &literal, port);
	record_named(&f->record, host);
	if (named)
		record_address(&f->record, NULL);
	forward_show_request(x);
}

void forward_dial(struct forward *x, struct span host, uint16_t port)
{
	struct flow *f = &x->flow;

	/* HTTP/2 has one server: there is a record already where all requests were cancelled. */
	if (!x->http2 || !f->record.recorder)
		begin_server(x, host, port);
	x->state = FORWARD_DIALING;
	x->give_up_at = 0;
	x->dial.thread = f->thread;
	x->dial.before = f->loops;
	x->dial.done = dialed;
	x->dial.timer = dial_waits;
	x->dial.unjudged = x->redirected ? &x->original : NULL;
	x->starting = true;
	dial_start(&x->dial, span_str(x->host), port);
	x->starting = false;
}

/* Whether the server that is connected is the one that the request in hand is for. */
static bool is_same_server(struct forward *x)
{
	return forward_server(x)->source.fd >= 0 && x->port == x->request.port &&
	       !x->request.connect && span_eq_nocase(span_str(x->host), x->request.host);
}

/* The client speaks HTTP/2 from the beginning. */
static void begin_frames(struct forward *x)
{
	struct forward_bytes in = x->in;

	x->fresh = false;
	x->in = (struct forward_bytes){ 0 };
	forward_frames_take(x, SPAN(in.data, in.len));
	forward_forget(x, &in, in.len);
}

bool forward_take_request(struct forward *x)
{
	struct span in = SPAN(x->in.data, x->in.len);
	enum forward_reading reading;
	const char *why;

	if (x->fresh && forward_http2_begins(in)) {
		if (in.len >= sizeof(FORWARD_PREFACE) - 1)
			begin_frames(x);
		return false;
	}
	/* Before its first byte there was nothing, or empty lines. */
	if (!x->in_head.begun && x->in_head.scanned <= x->in_head.line)
		x->asked = x->heard;
	reading = forward_request_read(&x->in_head, in, &x->request, &why);
	if (x->fresh && x->redirected && reading != FORWARD_READ &&
	    forward_head_is_foreign(&x->in_head, in)) {
		forward_pass_through(x);
		return false;
	}
	if (reading == FORWARD_MORE && in.len < FORWARD_HEAD_MAX)
		return false;
	x->fresh = false;
	forward_set_deadline(x, 0);
	if (reading == FORWARD_READ && x->request.length <= FORWARD_HEAD_MAX) {
		if (is_same_server(x)) {
			forward_show_request(x);
			forward_exchange_begin(x);
		} else {
			forward_dial(x, x->request.host, x->request.port);
		}
		return x->flow.state == FLOW_FORWARD;
	}
	log_debug("the forward proxy refuses a request: %s", why ? why : "too large");
	x->request = (struct forward_request){ 0 };
	forward_answer(
		x, reading == FORWARD_BAD ? FORWARD_ANSWER_BAD_REQUEST : FORWARD_ANSWER_TOO_LARGE,
		why);
	return false;
}
