// SPDX-License-Identifier: GPL-2.0-or-later
/* The HTTP/1 observer: messages out of bytes. See http1.h; pairing them is http1_pair.c. */
#include "http1.h"

#include "http1_line.h"
#include "http1_pair.h"
#include "http1_parse.h"
#include "http1_ring.h"
#include "observer.h"

/* What a head said; http1_lane.fields. */
enum {
	SAID_LENGTH = 1 << 0,	/* Content-Length, its value in `left` */
	SAID_CODING = 1 << 1,	/* Transfer-Encoding */
	SAID_CHUNKED = 1 << 2,	/* whose last coding is chunked */
	SAID_HOST = 1 << 3,	/* the target or a Host field named one */
	SAID_TWICE = 1 << 4,	/* two different lengths, or chunked before another coding */
	SAID_NONSENSE = 1 << 5, /* a length or coding that cannot be read */
	SAID_TOO_LONG = 1 << 6, /* a length or coding in a line that is cut */
	SAID_INTERIM = 1 << 7,	/* a response 1xx, but no 101 */
	SAID_H2C = 1 << 8,	/* Upgrade: h2c */
	SAID_TRACE = 1 << 9,	/* traceparent */
};

static uint16_t route_of(const struct observer *o, const struct http1_request_line *r)
{
	if (!o->sink->route || r->method == HTTP_METHOD_CONNECT)
		return 0;
	return o->sink->route(o->ctx, r->target);
}

static struct http1_host *target_of(const struct observer *o, const struct http1_request_line *r)
{
	if (!o->sink->target || r->method == HTTP_METHOD_CONNECT)
		return NULL;
	return http1_target_new(o->sink->target(o->ctx, r->target));
}

static void request_line(struct observer *o, const struct http1_line *line)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[WAY_TO_SERVER];
	struct http1_request_line parsed;
	struct http1_request *r;
	struct span authority;

	if (!http1_parse_request_line(line, &parsed)) {
		http1_pair_lost(o, LOST_BAD_REQUEST);
		return;
	}
	if (h->count == HTTP1_PIPELINE_MAX) {
		http1_pair_lost(o, LOST_TOO_MANY_REQUESTS);
		return;
	}
	r = http1_ring_push(h);
	if (!r) {
		http1_pair_lost(o, LOST_OUT_OF_MEMORY);
		return;
	}
	*r = (struct http1_request){
		.started = h->first_byte[WAY_TO_SERVER],
		.method = (uint8_t)parsed.method,
		.version = (uint8_t)parsed.version,
		.route = route_of(o, &parsed),
		.target = target_of(o, &parsed),
	};
	if (!h->confirmed) {
		h->confirmed = true;
		o->protocol = PROTOCOL_HTTP1;
		o->sink->protocol(o->ctx, PROTOCOL_HTTP1);
	}
	o->sink->active(o->ctx, parsed.method, 1);
	l->state = HTTP1_FIELDS;
	l->left = 0;
	l->fields = 0;
	l->folded = HTTP1_FIELD_OTHER;
	/* An absolute target beats the Host field (RFC 9112 sect. 3.2.2). */
	authority = http1_target_authority(parsed.target, parsed.method);
	if (authority.len) {
		r->host = http1_host_get(h, http1_host_of(authority));
		l->fields = SAID_HOST;
	}
}

static void status_line(struct observer *o, const struct http1_line *line)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[WAY_TO_CLIENT];
	uint16_t status;

	if (!h->count || h->answered) {
		http1_pair_lost(o, LOST_UNEXPECTED_RESPONSE);
		return;
	}
	if (!http1_parse_status_line(line->text, &status)) {
		http1_pair_lost(o, LOST_BAD_RESPONSE);
		return;
	}
	l->state = HTTP1_FIELDS;
	l->left = 0;
	l->fields = 0;
	l->folded = HTTP1_FIELD_OTHER;
	h->response_body = 0;
	/* Any number of interim responses may come first (RFC 9110 sect. 15.2). */
	if (status < 200 && status != 101) {
		l->fields = SAID_INTERIM;
	} else {
		h->status = status;
		h->response_started = h->first_byte[WAY_TO_CLIENT];
	}
}

/* RFC 9110 sect. 8.6: the same length again is the same, another is an error. */
static void say_length(struct http1_lane *l, struct span value)
{
	uint64_t length;

	if (!http1_parse_length(value, &length))
		l->fields |= SAID_NONSENSE;
	else if ((l->fields & SAID_LENGTH) && l->left != length)
		l->fields |= SAID_TWICE;
	else
		l->left = length;
	l->fields |= SAID_LENGTH;
}

/* RFC 9112 sect. 6.1: lines add up to one list, in which chunked must come last. */
static void say_coding(struct http1_lane *l, struct span value)
{
	if (l->fields & SAID_CHUNKED)
		l->fields |= SAID_TWICE;
	l->fields |= SAID_CODING;
	if (http1_last_coding_is_chunked(value))
		l->fields |= SAID_CHUNKED;
}

/*
 * The trace of the only request in flight: clients that trace do not pipeline. A second field makes
 * both invalid (Trace Context sect. 4.3).
 */
static void say_trace(struct http1 *h, struct span value)
{
	struct http1_lane *l = &h->lane[WAY_TO_SERVER];

	if (h->count != 1)
		return;
	if (l->fields & SAID_TRACE)
		h->trace = (struct trace){ { 0 }, { 0 } };
	else
		trace_parse(value, &h->trace);
	l->fields |= SAID_TRACE;
}

static void field_line(struct observer *o, enum way way, const struct http1_line *line)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[way];
	struct span value = { NULL, 0 };
	enum http1_field field = http1_parse_field(line->text, &value);

	switch (field) {
	case HTTP1_FIELD_OTHER:
		break;
	case HTTP1_FIELD_LENGTH:
		l->fields |= line->cut ? SAID_TOO_LONG : 0;
		say_length(l, value);
		break;
	case HTTP1_FIELD_CODING:
		l->fields |= line->cut ? SAID_TOO_LONG : 0;
		say_coding(l, value);
		break;
	case HTTP1_FIELD_HOST:
		if (way == WAY_TO_SERVER && !(l->fields & SAID_HOST)) {
			http1_ring_newest(h)->host = http1_host_get(h, http1_host_of(value));
			l->fields |= SAID_HOST;
		}
		break;
	case HTTP1_FIELD_TRACE:
		if (way == WAY_TO_SERVER)
			say_trace(h, value);
		break;
	case HTTP1_FIELD_H2C:
		l->fields |= SAID_H2C;
		break;
	case HTTP1_FIELD_FOLD:
		/* A folded length or coding is read in different ways by different servers. */
		if (value.len &&
		    (l->folded == HTTP1_FIELD_LENGTH || l->folded == HTTP1_FIELD_CODING))
			l->fields |= SAID_NONSENSE;
		return;
	}
	l->folded = (uint8_t)field;
}

/*
 * The length of the content, from the head's fields (RFC 9112 sect. 6.3). @unframed is the state
 * of a message without any; @bad what to say of nonsense.
 */
static void frame(struct observer *o, enum way way, enum http1_state unframed, enum lost_reason bad,
		  uint64_t now)
{
	struct http1_lane *l = &o->http1.lane[way];
	unsigned said = l->fields;

	if (said & SAID_TOO_LONG) {
		http1_pair_lost(o, LOST_HEADER_TOO_LARGE);
	} else if (said & SAID_NONSENSE) {
		http1_pair_lost(o, bad);
	} else if ((said & SAID_TWICE) || ((said & SAID_CODING) && (said & SAID_LENGTH))) {
		http1_pair_lost(o, LOST_AMBIGUOUS_LENGTH);
	} else if (said & SAID_CHUNKED) {
		l->state = HTTP1_CHUNK_SIZE;
		l->head_bytes = 0;
	} else if (said & SAID_CODING) {
		/* Ends with the stream, which a request cannot. */
		if (way == WAY_TO_SERVER)
			http1_pair_lost(o, bad);
		else
			l->state = HTTP1_UNTIL_END;
	} else if (l->left) {
		l->state = HTTP1_LENGTH;
	} else if ((said & SAID_LENGTH) || unframed == HTTP1_START) {
		http1_pair_message(o, way, now);
	} else {
		l->state = (uint8_t)unframed;
	}
}

/* Whether there is but one request, and it is whole: only then can it become stream 1. */
static bool is_only(struct http1 *h)
{
	return h->count == 1 && http1_ring_at(h, 0)->whole;
}

/* RFC 9112 sect. 6.3, items 1, 2 and 8: what depends on status and method. */
static void response_head_done(struct observer *o, uint64_t now)
{
	struct http1 *h = &o->http1;
	enum http_method method = (enum http_method)http1_ring_at(h, 0)->method;
	bool success = h->status >= 200 && h->status < 300;

	if (h->lane[WAY_TO_CLIENT].fields & SAID_INTERIM)
		http1_pair_next(&h->lane[WAY_TO_CLIENT]);
	else if (h->status == 101 && (h->lane[WAY_TO_CLIENT].fields & SAID_H2C) && is_only(h))
		h->lane[WAY_TO_SERVER].state = h->lane[WAY_TO_CLIENT].state = HTTP1_H2C;
	else if (h->status == 101 || (method == HTTP_METHOD_CONNECT && success))
		http1_pair_tunnel(o, now);
	else if (method == HTTP_METHOD_HEAD || h->status == 204 || h->status == 304)
		http1_pair_response(o, now);
	else
		frame(o, WAY_TO_CLIENT, HTTP1_UNTIL_END, LOST_BAD_RESPONSE, now);
}

static void chunk_size_line(struct observer *o, enum way way, const struct http1_line *line)
{
	struct http1_lane *l = &o->http1.lane[way];
	uint64_t size;

	l->head_bytes = 0;
	if (!http1_parse_chunk_size(line->text, &size)) {
		http1_pair_lost(o, LOST_BAD_CHUNK);
		return;
	}
	l->left = size;
	l->state = size ? HTTP1_CHUNK_DATA : HTTP1_TRAILERS;
}

static void on_line(struct observer *o, enum way way, const struct http1_line *line, uint64_t now)
{
	struct http1_lane *l = &o->http1.lane[way];
	bool empty = line->text.len == 0;

	switch ((enum http1_state)l->state) {
	case HTTP1_START:
		/* RFC 9112 sect. 2.2: empty lines may precede; here any number, either way. */
		if (empty)
			break;
		if (way == WAY_TO_SERVER)
			request_line(o, line);
		else
			status_line(o, line);
		break;
	case HTTP1_FIELDS:
		if (!empty)
			field_line(o, way, line);
		else if (way == WAY_TO_SERVER)
			frame(o, way, HTTP1_START, LOST_BAD_REQUEST, now);
		else
			response_head_done(o, now);
		break;
	case HTTP1_CHUNK_SIZE:
		chunk_size_line(o, way, line);
		break;
	case HTTP1_CHUNK_END:
		if (empty)
			l->state = HTTP1_CHUNK_SIZE;
		else
			http1_pair_lost(o, LOST_BAD_CHUNK);
		break;
	case HTTP1_TRAILERS:
		if (empty)
			http1_pair_message(o, way, now);
		break;
	default: /* the other states have no lines */
		break;
	}
}

/* The read ended within a line: keeps what there is of it. */
static void cut_line(struct observer *o, enum way way, struct span part)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[way];

	if (!http1_carry_add(l, part)) {
		http1_pair_lost(o, LOST_OUT_OF_MEMORY);
	} else if (l->head_bytes + l->carry->total > HTTP1_HEAD_MAX) {
		http1_pair_lost(o, LOST_HEADER_TOO_LARGE);
	} else if (way == WAY_TO_SERVER && !h->confirmed) {
		struct span text = SPAN(l->carry->text, MIN(l->carry->total, HTTP1_LINE_KEEP));

		/* Never seen to be HTTP: the sooner it is known the better. */
		if (!http1_may_be_request_line(text))
			http1_pair_lost(o, LOST_BAD_REQUEST);
	}
}

/* Takes one line off @bytes, or all of them when they hold no line end. */
static void take_line(struct observer *o, enum way way, struct span *bytes, uint64_t now)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[way];
	struct http1_line line;
	struct span part = *bytes;
	const char *end = memchr(part.ptr, '\n', part.len);
	size_t total;

	if (l->state == HTTP1_START && !l->carry)
		h->first_byte[way] = now;
	if (end)
		part.len = (size_t)(end + 1 - part.ptr);
	*bytes = SPAN(bytes->ptr + part.len, bytes->len - part.len);
	if (!end) {
		cut_line(o, way, part);
		return;
	}
	if (unlikely(l->carry)) {
		if (!http1_carry_add(l, part)) {
			http1_pair_lost(o, LOST_OUT_OF_MEMORY);
			return;
		}
		total = l->carry->total;
		http1_line_set(&line, l->carry->text, SPAN(l->carry->tail, l->carry->tail_len),
			       total);
	} else {
		total = part.len;
		http1_line_set(&line, part.ptr, part, total);
	}
	if (l->head_bytes + total > HTTP1_HEAD_MAX) {
		http1_pair_lost(o, LOST_HEADER_TOO_LARGE);
		return;
	}
	l->head_bytes += (uint32_t)total;
	on_line(o, way, &line, now);
	http1_carry_drop(l);
}

/* @n bytes of content went by; not more than `left` where that counts. */
static void content(struct observer *o, enum way way, uint64_t n, uint64_t now)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[way];

	if (way == WAY_TO_SERVER)
		http1_ring_newest(h)->body += n;
	else
		h->response_body += n;
	if (l->state == HTTP1_UNTIL_END)
		return;
	l->left -= n;
	if (l->left)
		return;
	if (l->state == HTTP1_CHUNK_DATA)
		l->state = HTTP1_CHUNK_END;
	else
		http1_pair_message(o, way, now);
}

/*
 * The connection speaks HTTP/2 from here on: the request is answered there, on stream 1, and told
 * there (RFC 7540 sect. 3.2).
 */
static void become_http2(struct observer *o)
{
	struct http1 *h = &o->http1;
	const struct http1_request *r = http1_ring_at(h, 0);
	struct http2_upgrade u = {
		.method = (enum http_method)r->method,
		.host = r->host ? SPAN(r->host->text, r->host->len) : SPAN("", 0),
		.target = r->target ? SPAN(r->target->text, r->target->len) : SPAN("", 0),
		.started = r->started,
		.body = r->body,
		.route = r->route,
		.trace = h->trace,
	};
	struct http2 *http2 = http2_new(o->sink, o->ctx);

	if (!http2 || !http2_adopt(http2, &u)) {
		http2_free(http2, false, 0);
		http1_pair_lost(o, LOST_OUT_OF_MEMORY);
		return;
	}
	http1_ring_pop(h);
	http1_pair_close(h);
	o->protocol = PROTOCOL_HTTP2;
	o->http2 = http2;
}

/* Whether the line at @p may be one that field_line() or on_line() acts on. */
static bool is_of_interest(const char *p)
{
	/* By one or two characters of the names; in doubt it is. */
	switch (p[0]) {
	case 'C': /* Content-Length */
	case 'c':
		return (p[8] | 0x20) == 'l';
	case 'T': /* Transfer-Encoding, traceparent */
	case 't':
		return (p[9] | 0x20) == 'e' || (p[9] | 0x20) == 'n';
	case 'H': /* Host */
	case 'h':
		return (p[1] | 0x20) == 'o';
	case 'U': /* Upgrade */
	case 'u':
		return (p[1] | 0x20) == 'p';
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return true;
	default:
		return false;
	}
}

/* Passes over whole header lines that say nothing to us: most of a head. */
static void skim(struct http1_lane *l, struct span *bytes)
{
	const char *p = bytes->ptr, *end = p + bytes->len;

	/* No name of interest is tested beyond its tenth character. */
	while (end - p >= 10 && !is_of_interest(p)) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		size_t total = line_end ? (size_t)(line_end + 1 - p) : SIZE_MAX;

		/* A line that is cut, or one too many: take_line() knows what to do. */
		if (total > HTTP1_HEAD_MAX - l->head_bytes)
			break;
		l->head_bytes += (uint32_t)total;
		l->folded = HTTP1_FIELD_OTHER;
		p += total;
	}
	*bytes = SPAN(p, (size_t)(end - p));
}

void http1_data(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	struct http1 *h = &o->http1;
	struct http1_lane *l = &h->lane[way];

	if (!h->confirmed && way == WAY_TO_CLIENT) {
		/* An answer before there was a request line: some other protocol. */
		http1_pair_lost(o, LOST_UNEXPECTED_RESPONSE);
		return;
	}
	while (bytes.len) {
		uint64_t n = bytes.len;

		switch ((enum http1_state)l->state) {
		case HTTP1_LENGTH:
		case HTTP1_CHUNK_DATA:
			n = MIN(n, l->left);
			/* fall through */
		case HTTP1_UNTIL_END:
			bytes = SPAN(bytes.ptr + n, bytes.len - n);
			content(o, way, n, now);
			break;
		case HTTP1_WAIT:
			h->waited = true;
			return;
		case HTTP1_TUNNEL:
			return;
		case HTTP1_H2C:
			become_http2(o);
			observer_data(o, way, bytes, now);
			return;
		case HTTP1_FIELDS:
			if (!l->carry)
				skim(l, &bytes);
			/* fall through */
		default:
			if (bytes.len)
				take_line(o, way, &bytes, now);
			break;
		}
	}
}

void http1_end(struct observer *o, enum way way, uint64_t now)
{
	struct http1_lane *l = &o->http1.lane[way];

	if (way == WAY_TO_CLIENT) {
		if (l->state == HTTP1_UNTIL_END)
			http1_pair_response(o, now);
		o->http1.server_ended = now;
	} else if (l->state != HTTP1_START && l->state != HTTP1_WAIT && l->state != HTTP1_H2C &&
		   l->state != HTTP1_TUNNEL) {
		/* Cut short; there will be no more of it, and it may be answered yet. */
		http1_pair_request(o);
	}
	http1_carry_drop(l);
	l->state = HTTP1_TUNNEL;
}

uint64_t http1_skip(const struct observer *o, enum way way)
{
	const struct http1_lane *l = &o->http1.lane[way];

	switch ((enum http1_state)l->state) {
	case HTTP1_LENGTH:
	case HTTP1_CHUNK_DATA:
		return l->left;
	case HTTP1_UNTIL_END:
		return OBSERVER_SKIP_TO_END;
	case HTTP1_TUNNEL:
		return UINT64_MAX;
	default:
		return 0;
	}
}

void http1_skipped(struct observer *o, enum way way, uint64_t bytes, uint64_t now)
{
	uint64_t may = http1_skip(o, way);

	if (may && may != UINT64_MAX)
		content(o, way, MIN(bytes, may), now);
}
