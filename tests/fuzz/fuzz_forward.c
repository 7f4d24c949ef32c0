// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the forward proxy takes for requests: whatever it lets through, the server is to see as it
 * does. So of all that it takes it is asked that the observer, which reads as tolerant servers do,
 * finds as many requests, with the same hosts and as much content; that what is written reads as
 * the same request again; and that heads are the same, and content ends in the same place, however
 * they are cut.
 */
#include "../unit/http1_events.h"

#include "forward_body.h"
#include "forward_head.h"
#include "http1_ring.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* The content behind a head, in pieces of @piece bytes. Returns its length. */
static size_t content(const struct forward_request *r, struct span bytes, size_t piece,
		      struct forward_body *b)
{
	size_t at = 0;

	forward_body_begin(b, r->framing, r->body, false);
	while (at < bytes.len && !forward_body_done(b) && b->state != FORWARD_BODY_BAD) {
		size_t n = MIN(piece, bytes.len - at), took;

		took = forward_body_take(b, SPAN(bytes.ptr + at, n));
		at += took;
		require(took == n || forward_body_done(b) || b->state == FORWARD_BODY_BAD);
	}
	return at;
}

/* The tolerant reading of one whole request: its host, and that it ends where ours does. */
static void compare(const struct forward_request *r, struct span message)
{
	static const char next[] = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n";
	struct events v = { .len = 0 };
	struct observer o;

	/* The observer does not look at all of a long line, and gives up where it should have. */
	if (r->connect || r->length > HTTP1_LINE_KEEP)
		return;
	observer_init(&o, &events_sink, &v, false);
	observer_data(&o, WAY_TO_SERVER, message, 1);
	require(o.protocol == PROTOCOL_HTTP1);
	require(o.http1.count == 1 && http1_ring_at(&o.http1, 0)->whole);
	observer_data(&o, WAY_TO_SERVER, SPAN(next, sizeof(next) - 1), 2);
	require(o.http1.count == 2 && http1_ring_at(&o.http1, 1)->whole);
	observer_fini(&o, 3);
	events_fini(&v);
}

static enum forward_reading read_request(struct span bytes, struct forward_request *r,
					 const char **why)
{
	struct forward_progress p = { .line = 0 };

	return forward_request_read(&p, bytes, r, why);
}

/* In pieces, each time in another place: the same. */
static void request_in_pieces(struct span bytes, enum forward_reading whole,
			      const struct forward_request *r)
{
	const size_t piece = 1 + bytes.len / 64;
	enum forward_reading reading = FORWARD_MORE;
	struct forward_progress p = { .line = 0 };
	struct forward_request cut;
	struct span copy = { NULL, 0 };
	const char *why;

	for (size_t len = 0; len < bytes.len && reading == FORWARD_MORE;) {
		len = MIN(len + piece, bytes.len);
		free((char *)copy.ptr);
		copy = SPAN(malloc(len), len);
		if (!copy.ptr)
			return;
		memcpy((char *)copy.ptr, bytes.ptr, len);
		reading = forward_request_read(&p, copy, &cut, &why);
	}
	require(reading == whole);
	if (reading == FORWARD_READ) {
		require(cut.length == r->length);
		require(cut.skipped == r->skipped && span_eq(cut.host, r->host));
		require(span_eq(cut.target, r->target) && span_eq(cut.path, r->path));
		require(span_eq(cut.expected, r->expected) && cut.port == r->port);
		require(cut.framing == r->framing && cut.body == r->body && cut.last == r->last);
		require(cut.changes == r->changes && cut.upgrade == r->upgrade);
	}
	free((char *)copy.ptr);
}

static void try_response(struct span bytes, bool to_head)
{
	struct forward_progress p = { .line = 0 };
	struct forward_response r, cut;
	enum forward_reading whole = forward_response_read(&p, bytes, to_head, &r);
	enum forward_reading reading = FORWARD_MORE;

	p = (struct forward_progress){ .line = 0 };
	for (size_t len = 1; len <= bytes.len && reading == FORWARD_MORE; len++)
		reading = forward_response_read(&p, SPAN(bytes.ptr, len), to_head, &cut);
	require(reading == whole);
	if (reading != FORWARD_READ)
		return;
	require(r.length <= bytes.len && r.status >= 100);
	require(cut.length == r.length && cut.status == r.status && cut.last == r.last);
	require(cut.framing == r.framing && cut.body == r.body);
}

/* What is written is a request for the same server, with the same framing and no changes left. */
static void write_again(const struct forward_request *r, struct span bytes)
{
	char *out = malloc(FORWARD_WRITE_MAX(r));
	size_t len = out ? forward_request_write(r, bytes, out) : 0;
	struct forward_request again;
	const char *why;

	if (!out)
		return;
	require(len <= FORWARD_WRITE_MAX(r));
	require(read_request(SPAN(out, len), &again, &why) == FORWARD_READ);
	require(again.length == len && !again.changes && again.skipped == 0);
	require(span_eq_nocase(again.host, r->host) && again.port == r->port);
	require(again.framing == r->framing && again.body == r->body && again.last == r->last);
	free(out);
}

static void try_request(struct span bytes)
{
	struct forward_body whole, cut;
	struct forward_request r;
	enum forward_reading reading;
	struct span rest;
	const char *why;
	size_t len;

	reading = read_request(bytes, &r, &why);
	request_in_pieces(bytes, reading, &r);
	if (reading != FORWARD_READ)
		return;
	write_again(&r, bytes);
	rest = SPAN(bytes.ptr + r.length, bytes.len - r.length);
	len = content(&r, rest, SIZE_MAX, &whole);
	require(content(&r, rest, 1, &cut) == len && cut.state == whole.state);
	if (forward_body_done(&whole))
		compare(&r, SPAN(bytes.ptr, r.length + len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = SPAN((const char *)data, size);
	const struct forward_progress none = { .line = 0 };

	if (!size)
		return 0;
	try_request(bytes);
	forward_head_is_foreign(&none, bytes);
	try_response(SPAN(bytes.ptr + 1, size - 1), data[0] & 1);
	return 0;
}
