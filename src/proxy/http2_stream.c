// SPDX-License-Identifier: GPL-2.0-or-later
/* The requests of an HTTP/2 connection: see http2_stream.h. */
#include "http2_stream.h"

#include "http1_parse.h"
#include "observer.h"

/* Places at first; up to KEEP of them outlive the last stream. */
#define SLOTS_FIRST 4u
#define SLOTS_KEEP  8u

#define NS_PER_MS 1000000u

void http2_streams_init(struct http2_streams *t, const struct observer_sink *sink, void *ctx)
{
	*t = (struct http2_streams){ .sink = sink, .ctx = ctx, .goaway_id = UINT32_MAX };
}

/* The first place whose stream is @id or a later one. */
static unsigned place_of(const struct http2_streams *t, uint32_t id)
{
	unsigned from = 0, to = t->used;

	while (from < to) {
		unsigned middle = from + (to - from) / 2;

		if (t->slots[middle].id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct http2_stream *find(const struct http2_streams *t, uint32_t id)
{
	uint32_t behind;
	unsigned i;

	if (!t->used || id > t->slots[t->used - 1].id)
		return NULL;
	/* Clients count up by two: it is that many places before the last, if none were taken out.
	 */
	behind = (t->slots[t->used - 1].id - id) / 2;
	i = t->used - 1u - behind;
	if (behind >= t->used || t->slots[i].id != id)
		i = place_of(t, id);
	return t->slots[i].id == id && !t->slots[i].gone ? &t->slots[i] : NULL;
}

/* Takes out the places of streams that are gone. */
static void compact(struct http2_streams *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->used; i++) {
		if (!t->slots[i].gone)
			t->slots[kept++] = t->slots[i];
	}
	t->used = (uint16_t)kept;
}

/* One more place: a quarter gone is worth the moving, so that a stream costs few moves in all. */
static bool make_room(struct http2_streams *t)
{
	unsigned capacity = t->capacity ? 2u * t->capacity : SLOTS_FIRST;
	struct http2_stream *grown;

	if (t->used < t->capacity)
		return true;
	if (t->capacity && 4u * t->count <= 3u * t->capacity) {
		compact(t);
		return true;
	}
	grown = realloc(t->slots, capacity * sizeof(*grown));
	if (!grown)
		return false;
	t->slots = grown;
	t->capacity = (uint16_t)capacity;
	return true;
}

static void free_slots(struct http2_streams *t)
{
	free(t->slots);
	t->slots = NULL;
	t->capacity = t->used = 0;
}

/* Its place stays, unless there is none behind it. */
static void forget(struct http2_streams *t, struct http2_stream *s)
{
	hpack_text_unref(s->path);
	hpack_text_unref(s->host);
	s->gone = true;
	t->count--;
	while (t->used && t->slots[t->used - 1].gone)
		t->used--;
	if (!t->used && t->capacity > SLOTS_KEEP)
		free_slots(t);
}

static void tell_call(struct http2_streams *t, const struct http2_stream *s, enum error_type error,
		      enum request_end end, uint64_t ended)
{
	struct rpc_call call = {
		.method = grpc_method_of(hpack_text_span(s->path)),
		.host = http1_host_of(hpack_text_span(s->host)),
		.status = (enum rpc_status)s->rpc_status,
		.error = error,
		.http_status = s->status,
		.end = end,
		.started = s->started,
		.first_byte = s->first_byte,
		.ended = ended,
		.trace = s->trace,
	};

	for (int way = 0; way < WAY_COUNT; way++) {
		call.messages[way] = s->messages[way].count;
		call.bytes[way] = s->bytes[way];
	}
	if (call.status == RPC_STATUS_MISSING && error == ERROR_NONE)
		call.error = ERROR_MISSING;
	t->sink->calling(t->ctx, -1);
	t->sink->call(t->ctx, &call);
}

static void tell_exchange(struct http2_streams *t, const struct http2_stream *s,
			  enum error_type error, enum request_end end, uint64_t ended)
{
	struct http_exchange x = {
		.method = (enum http_method)s->method,
		.version = HTTP_VERSION_2,
		.status = s->status,
		.error = error,
		.end = end,
		.host = http1_host_of(hpack_text_span(s->host)),
		.started = s->started,
		.first_byte = s->first_byte,
		.ended = ended,
		.request_body = s->bytes[WAY_TO_SERVER],
		.response_body = s->status ? s->bytes[WAY_TO_CLIENT] : 0,
		.route = s->route,
		.trace = s->trace,
	};

	if (s->path && t->sink->target)
		x.target = t->sink->target(t->ctx, hpack_text_span(s->path));
	t->sink->active(t->ctx, x.method, -1);
	t->sink->exchange(t->ctx, &x);
}

static void tell(struct http2_streams *t, struct http2_stream *s, enum error_type error,
		 enum request_end end, uint64_t ended)
{
	/* An end without a beginning: what came was no final response. */
	if (error == ERROR_NONE && !s->status) {
		error = ERROR_NO_RESPONSE;
		end = REQUEST_RESET_BY_SERVER;
		s->rpc_status = RPC_STATUS_MISSING;
	}
	if (s->grpc)
		tell_call(t, s, error, end, ended);
	else
		tell_exchange(t, s, error, end, ended);
	forget(t, s);
}

/* A request begins, or is not followed any further. */
static void begun(struct http2_streams *t, const struct http2_stream *s, int change)
{
	if (s->grpc)
		t->sink->calling(t->ctx, change);
	else
		t->sink->active(t->ctx, (enum http_method)s->method, change);
}

/* The first request says what the flow speaks. */
static void tell_protocol(struct http2_streams *t, bool grpc)
{
	if (t->told)
		return;
	t->told = true;
	t->sink->protocol(t->ctx, grpc ? PROTOCOL_GRPC : PROTOCOL_HTTP2);
}

/* The latest stream that there was. NULL without memory. */
static struct http2_stream *add(struct http2_streams *t, const struct http2_stream *s)
{
	if (!make_room(t))
		return NULL;
	t->count++;
	t->slots[t->used] = *s;
	return &t->slots[t->used++];
}

/* A new request. NULL: lost, for the reason @why. */
static struct http2_stream *open_stream(struct http2_streams *t, uint32_t id,
					struct http2_head *head, enum lost_reason *why)
{
	struct http2_stream new = {
		.id = id,
		.timeout = head->timeout,
		.method = head->method ? head->method : HTTP_METHOD_OTHER,
		.rpc_status = RPC_STATUS_MISSING,
		.grpc = head->grpc,
		.trace = head->trace,
		.started = head->started,
	};
	struct http2_stream *s;

	if (!new.grpc && head->path && t->sink->route)
		new.route = t->sink->route(t->ctx, hpack_text_span(head->path));
	t->last_id = id;
	if (t->count == HTTP2_STREAMS_MAX) {
		*why = LOST_TOO_MANY_REQUESTS;
		return NULL;
	}
	s = add(t, &new);
	if (!s) {
		*why = LOST_OUT_OF_MEMORY;
		return NULL;
	}
	s->path = take_ptr(&head->path);
	s->host = take_ptr(&head->host);
	tell_protocol(t, s->grpc);
	begun(t, s, 1);
	return s;
}

/* The first of @s, or NULL without memory. */
static struct hpack_text *text_new(struct span s)
{
	size_t len = MIN(s.len, HPACK_TEXT_MAX);
	struct hpack_text *text = malloc(sizeof(*text) + len);

	if (!text)
		return NULL;
	text->refs = 1;
	text->len = (uint8_t)len;
	if (len)
		memcpy(text->text, s.ptr, len);
	return text;
}

bool http2_streams_adopt(struct http2_streams *t, const struct http2_upgrade *u)
{
	struct http2_stream s = {
		.id = 1,
		.method = (uint8_t)u->method,
		.rpc_status = RPC_STATUS_MISSING,
		.done[WAY_TO_SERVER] = true,
		.started = u->started,
		.bytes[WAY_TO_SERVER] = u->body,
		.route = u->route,
		.trace = u->trace,
	};

	s.host = text_new(u->host);
	s.path = u->target.len ? text_new(u->target) : NULL;
	if (!s.host || !add(t, &s)) {
		hpack_text_unref(s.host);
		hpack_text_unref(s.path);
		return false;
	}
	t->last_id = 1;
	tell_protocol(t, false);
	return true;
}

static void request_head(struct http2_streams *t, struct http2_stream *s, bool end, uint64_t now)
{
	if (s->id > t->goaway_id)
		tell(t, s, ERROR_NO_RESPONSE, REQUEST_LEFT_BY_SERVER, now);
	else if (end)
		http2_streams_end(t, WAY_TO_SERVER, s->id, now);
}

static void response_head(struct http2_streams *t, struct http2_stream *s,
			  const struct http2_head *head, bool end, uint64_t now)
{
	bool first = !s->status;

	if (s->done[WAY_TO_CLIENT])
		return;
	/* Interim responses are no responses (RFC 9110 sect. 15.2); trailers have no status. */
	if (first && head->status >= 200) {
		s->status = head->status;
		s->first_byte = head->started;
	}
	if (end) {
		s->rpc_status = head->rpc_status;
		http2_streams_end(t, WAY_TO_CLIENT, s->id, now);
	} else if (first && s->method == HTTP_METHOD_CONNECT && s->status >= 200 &&
		   s->status < 300) {
		/* A tunnel from here on: what it carries is no content of this exchange. */
		tell(t, s, ERROR_NONE, REQUEST_ANSWERED, now);
	}
}

bool http2_streams_head(struct http2_streams *t, enum way way, uint32_t id, struct http2_head *head,
			bool end, uint64_t now, enum lost_reason *why)
{
	struct http2_stream *s = find(t, id);

	if (way == WAY_TO_CLIENT) {
		if (s)
			response_head(t, s, head, end, now);
		return true;
	}
	/* Clients open odd streams, and each but once; other blocks are trailers, or too late. */
	if (!s && (id & 1) && id > t->last_id) {
		s = open_stream(t, id, head, why);
		if (!s)
			return false;
	}
	if (s)
		request_head(t, s, end, now);
	return true;
}

bool http2_streams_look(const struct http2_streams *t, uint32_t id)
{
	const struct http2_stream *s = find(t, id);

	return s && s->grpc;
}

void http2_streams_content(struct http2_streams *t, enum way way, uint32_t id, const char *bytes,
			   size_t len)
{
	struct http2_stream *s = find(t, id);

	if (!s || s->done[way])
		return;
	s->bytes[way] += len;
	if (s->grpc && bytes)
		grpc_messages_feed(&s->messages[way], SPAN(bytes, len));
}

void http2_streams_end(struct http2_streams *t, enum way way, uint32_t id, uint64_t now)
{
	struct http2_stream *s = find(t, id);

	if (!s || s->done[way])
		return;
	s->done[way] = true;
	if (way == WAY_TO_CLIENT)
		s->ended = now;
	if (s->done[WAY_TO_SERVER] && s->done[WAY_TO_CLIENT])
		tell(t, s, ERROR_NONE, REQUEST_ANSWERED, s->ended);
}

/*
 * Whether a call's time had run out when it was reset. The client's clock began before we saw the
 * request, and grpc-timeout is rounded to few digits: hence the tolerance.
 */
static bool deadline_passed(const struct http2_stream *s, uint64_t now)
{
	uint64_t timeout = (uint64_t)s->timeout * NS_PER_MS;
	uint64_t tolerance = timeout / 32 + 5u * NS_PER_MS;

	return s->grpc && s->timeout && now - s->started + tolerance >= timeout;
}

void http2_streams_reset(struct http2_streams *t, enum way way, uint32_t id, uint32_t code,
			 uint64_t now)
{
	enum request_end end =
		way == WAY_TO_SERVER ? REQUEST_RESET_BY_CLIENT : REQUEST_RESET_BY_SERVER;
	struct http2_stream *s = find(t, id);

	if (!s)
		return;
	if (s->done[WAY_TO_CLIENT]) {
		/* The answer is whole, and ends the rest of the request (RFC 9113 sect. 8.1). */
		tell(t, s, ERROR_NONE, REQUEST_ANSWERED, s->ended);
	} else if (deadline_passed(s, now)) {
		s->rpc_status = RPC_DEADLINE_EXCEEDED;
		tell_call(t, s, ERROR_NONE, end, now);
		forget(t, s);
	} else if (way == WAY_TO_SERVER && code == HTTP2_CANCEL) {
		tell(t, s, ERROR_CANCELLED, end, now);
	} else {
		tell(t, s, ERROR_RESET, end, now);
	}
}

void http2_streams_goaway(struct http2_streams *t, uint32_t last_id, uint64_t now)
{
	t->goaway_id = MIN(t->goaway_id, last_id);
	/* Telling of a stream moves none, but there may be no places afterwards. */
	for (unsigned i = place_of(t, t->goaway_id + 1); i < t->used; i++) {
		if (!t->slots[i].gone)
			tell(t, &t->slots[i], ERROR_NO_RESPONSE, REQUEST_LEFT_BY_SERVER, now);
	}
}

void http2_streams_close(struct http2_streams *t, bool cancelled, uint64_t now)
{
	tell_protocol(t, false);
	for (unsigned i = 0; i < t->used; i++) {
		struct http2_stream *s = &t->slots[i];
		uint64_t ended = now;

		if (s->gone)
			continue;
		if (t->server_ended && s->started <= t->server_ended)
			ended = t->server_ended;
		if (s->done[WAY_TO_CLIENT])
			tell(t, s, ERROR_NONE, REQUEST_ANSWERED, s->ended);
		else
			tell(t, s,
			     cancelled	 ? ERROR_CANCELLED
			     : s->status ? ERROR_RESET
					 : ERROR_NO_RESPONSE,
			     cancelled ? REQUEST_LEFT_BY_CLIENT : REQUEST_LEFT_BY_SERVER, ended);
	}
	free_slots(t);
}

void http2_streams_lost(struct http2_streams *t)
{
	for (unsigned i = 0; i < t->used; i++) {
		struct http2_stream *s = &t->slots[i];

		if (s->gone)
			continue;
		if (s->done[WAY_TO_CLIENT]) {
			tell(t, s, ERROR_NONE, REQUEST_ANSWERED, s->ended);
			continue;
		}
		begun(t, s, -1);
		forget(t, s);
	}
	free_slots(t);
}
