// SPDX-License-Identifier: GPL-2.0-or-later
/* Responses and the requests that they answer: see http1_pair.h. */
#include "http1_pair.h"

#include "http1_line.h"
#include "http1_ring.h"
#include "observer.h"

/* Tells of the oldest request and forgets it. */
static void tell(struct observer *o, enum error_type error, enum request_end end, uint64_t ended)
{
	struct http1 *h = &o->http1;
	const struct http1_request *r = http1_ring_at(h, 0);
	struct http_exchange x = {
		.method = (enum http_method)r->method,
		.version = (enum http_version)r->version,
		.status = h->status,
		.error = error,
		.end = end,
		.host = r->host ? SPAN(r->host->text, r->host->len) : SPAN("", 0),
		.target = r->target ? SPAN(r->target->text, r->target->len) : SPAN("", 0),
		.started = r->started,
		.first_byte = h->status ? h->response_started : 0,
		.ended = ended,
		.request_body = r->body,
		.response_body = h->status ? h->response_body : 0,
		.route = r->route,
		.trace = h->trace,
	};

	o->sink->active(o->ctx, x.method, -1);
	o->sink->exchange(o->ctx, &x);
	http1_ring_pop(h);
}

void http1_pair_close(struct http1 *h)
{
	for (int way = 0; way < WAY_COUNT; way++) {
		http1_carry_drop(&h->lane[way]);
		h->lane[way].state = HTTP1_TUNNEL;
	}
	http1_host_drop(h);
}

/* Tells what can no longer be answered, the oldest first; @cancelled: the client broke it off. */
static void tell_unanswered(struct observer *o, bool cancelled, uint64_t now)
{
	struct http1 *h = &o->http1;

	while (h->count) {
		uint64_t ended = now;

		if (h->answered) {
			tell(o, ERROR_NONE, REQUEST_ANSWERED, h->response_ended);
			continue;
		}
		if (h->server_ended && http1_ring_at(h, 0)->started <= h->server_ended)
			ended = h->server_ended;
		tell(o,
		     cancelled	 ? ERROR_CANCELLED
		     : h->status ? ERROR_RESET
				 : ERROR_NO_RESPONSE,
		     cancelled ? REQUEST_LEFT_BY_CLIENT : REQUEST_LEFT_BY_SERVER, ended);
	}
}

void http1_fini(struct observer *o, bool cancelled, uint64_t now)
{
	tell_unanswered(o, cancelled, now);
	http1_pair_close(&o->http1);
}

void http1_pair_lost(struct observer *o, enum lost_reason reason)
{
	struct http1 *h = &o->http1;

	if (h->answered)
		tell(o, ERROR_NONE, REQUEST_ANSWERED, h->response_ended);
	while (h->count) {
		o->sink->active(o->ctx, (enum http_method)http1_ring_at(h, 0)->method, -1);
		http1_ring_pop(h);
	}
	http1_pair_close(h);
	o->protocol = PROTOCOL_TCP;
	if (h->confirmed)
		o->sink->lost(o->ctx, reason);
	o->sink->protocol(o->ctx, PROTOCOL_TCP);
}

void http1_pair_tunnel(struct observer *o, uint64_t now)
{
	tell(o, ERROR_NONE, REQUEST_ANSWERED, now);
	http1_fini(o, false, now);
}

void http1_pair_next(struct http1_lane *l)
{
	l->state = HTTP1_START;
	l->head_bytes = 0;
}

/* The oldest request and its response are both whole. */
static void exchange_done(struct observer *o, uint64_t ended)
{
	struct http1_lane *requests = &o->http1.lane[WAY_TO_SERVER];
	bool refused = requests->state == HTTP1_WAIT && o->http1.count == 1;

	tell(o, ERROR_NONE, REQUEST_ANSWERED, ended);
	if (!refused)
		return;
	/* A CONNECT that failed: the connection goes on, unless a tunnel was assumed. */
	if (o->http1.waited)
		http1_pair_lost(o, LOST_BAD_REQUEST);
	else
		http1_pair_next(requests);
}

void http1_pair_request(struct observer *o)
{
	struct http1 *h = &o->http1;
	struct http1_request *r = http1_ring_newest(h);

	r->whole = true;
	http1_pair_next(&h->lane[WAY_TO_SERVER]);
	if (r->method == HTTP_METHOD_CONNECT)
		h->lane[WAY_TO_SERVER].state = HTTP1_WAIT;
	if (h->answered)
		exchange_done(o, h->response_ended);
}

void http1_pair_response(struct observer *o, uint64_t now)
{
	struct http1 *h = &o->http1;

	http1_pair_next(&h->lane[WAY_TO_CLIENT]);
	if (http1_ring_at(h, 0)->whole) {
		exchange_done(o, now);
	} else {
		/* An early answer: the request's content is still coming. */
		h->answered = true;
		h->response_ended = now;
	}
}

void http1_pair_message(struct observer *o, enum way way, uint64_t now)
{
	if (way == WAY_TO_SERVER)
		http1_pair_request(o);
	else
		http1_pair_response(o, now);
}
