// SPDX-License-Identifier: GPL-2.0-or-later
/* HTTP/2 to one server by its first :authority: see forward_http2.h. */
#include "forward_http2.h"

#include "forward_block.h"
#include "forward_head.h"
#include "forward_streams.h"

#define FRAME_HEAD FORWARD_FRAME_HEAD
#define HTTP_PORT  80

#define U31_MAX FORWARD_U31_MAX

/* Bytes of resets that wait for the end of the server's frame: of more than a thousand streams. */
#define LATER_MAX 16384u

enum { NO_ERROR = 0, PROTOCOL_ERROR = 1, INTERNAL_ERROR = 2, CANCEL = 8, ENHANCE_YOUR_CALM = 11 };

#define SETTINGS_HEADER_TABLE_SIZE 1

/* One way: where in a frame it is. */
struct walk {
	unsigned char head[FRAME_HEAD];
	uint8_t head_len;
	struct forward_frame frame; /* when head_len == FRAME_HEAD */
	uint32_t left;		    /* of its payload */
	uint32_t block;		    /* the stream whose header block is going on; 0: none */
	bool drop;		    /* this frame is not passed on */
	unsigned char fixed[6];	    /* the payload's last bytes that were read: a setting */
	uint8_t fixed_len;
};

struct forward_http2 {
	struct walk client, server;
	struct hpack hpack;	    /* of the client's blocks */
	struct forward_output held; /* the frames of a block that is not whole */
	struct forward_output to_server, to_client;
	/* Ours, for the end of the server's frame: */
	struct forward_output later; /* resets */
	uint32_t window;	     /* what the connection's window grows by; 0: it does not */
	uint32_t error;		     /* of the GOAWAY */
	bool goaway;		     /* there is one */
	bool closing;		     /* streams that are newer than `last` are left out */
	uint32_t last;		     /* the newest stream that was passed on */
	uint32_t least;		     /* the smallest last stream of a GOAWAY so far */
	uint8_t preface;	     /* bytes of it that have come */
	bool acknowledged;	     /* our SETTINGS */
	bool routed, refused;	     /* the first request is there; a stream was left out */
	bool connected;		     /* its server is there */
	struct forward_streams streams;
	char host[FORWARD_HOST_MAX + 1];
	uint16_t port;
};

/*
 * RFC 9113 sect. 6.8: no GOAWAY may take back what an earlier one said, the server's or ours. One
 * that only warns leaves out no stream.
 */
static bool put_goaway(struct forward_http2 *h)
{
	unsigned char payload[8];

	h->goaway = false;
	if (h->closing)
		h->least = MIN(h->least, h->last);
	forward_put_u32(payload, h->least);
	forward_put_u32(payload + 4, h->error);
	return forward_output_frame(&h->to_client, FORWARD_FRAME_GOAWAY, 0, 0, payload,
				    sizeof(payload));
}

static bool put_window(struct forward_http2 *h)
{
	unsigned char payload[4];

	forward_put_u32(payload, h->window);
	h->window = 0;
	return forward_output_frame(&h->to_client, FORWARD_FRAME_WINDOW_UPDATE, 0, 0, payload,
				    sizeof(payload));
}

/* Whether a frame of ours may come now: between the server's, and never within a header block. */
static bool is_between(const struct forward_http2 *h)
{
	return !h->server.head_len && !h->server.block;
}

/* Frames of ours for the client, as soon as they may come. */
static bool tell_client(struct forward_http2 *h)
{
	bool ok = true;

	if (!is_between(h))
		return true;
	if (h->later.len) {
		ok = forward_output_put(&h->to_client, h->later.data, h->later.len);
		forward_output_empty(&h->later);
	}
	if (h->goaway)
		ok &= put_goaway(h);
	if (h->window)
		ok &= put_window(h);
	return ok;
}

static bool tell_goaway(struct forward_http2 *h, uint32_t error)
{
	h->goaway = h->closing = true;
	h->error = error;
	return tell_client(h);
}

/* It is over. */
static enum forward_http2_result end(struct forward_http2 *h, uint32_t error)
{
	return tell_goaway(h, error) ? FORWARD_HTTP2_BAD : FORWARD_HTTP2_NOMEM;
}

static enum forward_http2_result bad(struct forward_http2 *h)
{
	return end(h, PROTOCOL_ERROR);
}

/* Reads the header of a frame. True: it is whole. */
static bool read_head(struct walk *w, struct span *bytes)
{
	size_t n = MIN(bytes->len, FRAME_HEAD - w->head_len);

	memcpy(w->head + w->head_len, bytes->ptr, n);
	w->head_len = (uint8_t)(w->head_len + n);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	if (w->head_len < FRAME_HEAD)
		return false;
	w->frame = forward_frame_of(w->head);
	w->left = w->frame.len;
	w->drop = false;
	w->fixed_len = 0;
	return true;
}

/* The first request: whom all is for. */
static void route(struct forward_http2 *h, const struct forward_block *b)
{
	struct span host;

	h->routed = true;
	if (b->connect || !forward_authority(b->authority, HTTP_PORT, &host, &h->port)) {
		h->port = 0;
		return;
	}
	memcpy(h->host, host.ptr, host.len);
	h->host[host.len] = '\0';
}

static bool is_for_server(const struct forward_http2 *h, const struct forward_block *b)
{
	struct span host;
	uint16_t port;

	return !b->connect && forward_authority(b->authority, HTTP_PORT, &host, &port) &&
	       port == h->port && span_eq_nocase(host, span_str(h->host));
}

/* A stream that is known, whose trailers the server could not read: it ends on both sides. */
static enum forward_http2_result end_stream(struct forward_http2 *h, uint32_t stream)
{
	unsigned char error[4];
	bool ok;

	forward_streams_end(&h->streams, stream, FORWARD_STREAM_BOTH);
	/* A server that stops within a frame must not make us keep what its client goes on with. */
	if (h->later.len >= LATER_MAX)
		return end(h, ENHANCE_YOUR_CALM);
	forward_put_u32(error, CANCEL);
	ok = forward_output_frame(&h->to_server, FORWARD_FRAME_RST_STREAM, 0, stream, error,
				  sizeof(error));
	forward_put_u32(error, INTERNAL_ERROR);
	ok = ok && forward_output_frame(&h->later, FORWARD_FRAME_RST_STREAM, 0, stream, error,
					sizeof(error));
	return ok && tell_client(h) ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* A whole header block of the client is held. */
static enum forward_http2_result block_done(struct forward_http2 *h, uint32_t stream)
{
	bool begins = stream > h->last, passes = !h->refused, ok = true;
	struct forward_block b;
	enum forward_http2_result rc =
		forward_block_read(&h->hpack, SPAN(h->held.data, h->held.len), &b);

	if (rc != FORWARD_HTTP2_OK)
		return rc == FORWARD_HTTP2_BAD ? bad(h) : rc;
	/* RFC 9113 sect. 5.1.1: a request on an older stream, which may be for anybody. */
	if (!begins && b.request)
		return bad(h);
	if (begins && !h->routed)
		route(h, &b);
	else if (begins)
		passes &= !h->closing && is_for_server(h, &b);
	if (passes) {
		h->last = MAX(h->last, stream);
		if (begins)
			forward_streams_begin(&h->streams, stream, 0);
		if (b.ends)
			forward_streams_end(&h->streams, stream, FORWARD_STREAM_CLIENT);
		ok = forward_output_put(&h->to_server, h->held.data, h->held.len);
	} else if (begins && !h->refused) {
		h->refused = true;
		ok = tell_goaway(h, NO_ERROR);
	} else if (!begins) {
		rc = end_stream(h, stream);
	}
	forward_output_empty(&h->held);
	return ok ? rc : FORWARD_HTTP2_NOMEM;
}

/* ---- The client's frames ---- */

/* The header of a frame has come: whether it may be, and whether it goes on. */
static enum forward_http2_result client_frame(struct forward_http2 *h)
{
	struct walk *w = &h->client;
	const struct forward_frame *f = &w->frame;
	bool left_out = h->refused && f->stream > h->last, ok = true;

	if (w->block ? f->type != FORWARD_FRAME_CONTINUATION || f->stream != w->block
		     : f->type == FORWARD_FRAME_CONTINUATION)
		return bad(h);
	if (f->type == FORWARD_FRAME_HEADERS || f->type == FORWARD_FRAME_CONTINUATION) {
		if (!f->stream || f->stream % 2 == 0 ||
		    h->held.len + FRAME_HEAD + f->len > FORWARD_BLOCK_MAX)
			return bad(h);
		w->block = f->stream;
		return forward_output_put(&h->held, w->head, FRAME_HEAD) ? FORWARD_HTTP2_OK
									 : FORWARD_HTTP2_NOMEM;
	}
	if (f->type == FORWARD_FRAME_SETTINGS && f->flags & FORWARD_FLAG_ACK && !h->acknowledged)
		w->drop = h->acknowledged = true;
	w->drop |= left_out;
	if (left_out && f->type == FORWARD_FRAME_DATA) {
		/* The server never counts it: else the connection's window would shrink. */
		h->window = MIN(h->window + f->len, U31_MAX);
		ok = tell_client(h);
	}
	/* Nobody takes it yet. */
	if (!w->drop && !h->routed && h->to_server.len + FRAME_HEAD + f->len > FORWARD_BLOCK_MAX)
		return end(h, ENHANCE_YOUR_CALM);
	if (!w->drop)
		ok = forward_output_put(&h->to_server, w->head, FRAME_HEAD);
	return ok ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* A frame of @side has passed: whether its stream goes on. */
static void track(struct forward_http2 *h, const struct forward_frame *f, uint8_t side)
{
	if (f->type == FORWARD_FRAME_RST_STREAM)
		forward_streams_end(&h->streams, f->stream, FORWARD_STREAM_BOTH);
	else if ((f->type == FORWARD_FRAME_DATA || f->type == FORWARD_FRAME_HEADERS) &&
		 f->flags & FORWARD_FLAG_END_STREAM)
		forward_streams_end(&h->streams, f->stream, side);
}

/* Some of a frame's payload, or its end. */
static enum forward_http2_result client_payload(struct forward_http2 *h, struct span *bytes)
{
	struct walk *w = &h->client;
	size_t n = MIN(bytes->len, w->left);
	bool block = w->frame.type == FORWARD_FRAME_HEADERS ||
		     w->frame.type == FORWARD_FRAME_CONTINUATION;

	if (!w->drop && !forward_output_put(block ? &h->held : &h->to_server, bytes->ptr, n))
		return FORWARD_HTTP2_NOMEM;
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	w->left -= (uint32_t)n;
	if (w->left)
		return FORWARD_HTTP2_OK;
	w->head_len = 0;
	if (!block && !w->drop)
		track(h, &w->frame, FORWARD_STREAM_CLIENT);
	if (!block || !(w->frame.flags & FORWARD_FLAG_END_HEADERS))
		return FORWARD_HTTP2_OK;
	w->block = 0;
	return block_done(h, w->frame.stream);
}

/* The preface, upon which we speak. */
static enum forward_http2_result read_preface(struct forward_http2 *h, struct span *bytes)
{
	size_t n = MIN(bytes->len, sizeof(FORWARD_PREFACE) - 1 - h->preface);
	bool ok = memcmp(bytes->ptr, &FORWARD_PREFACE[h->preface], n) == 0;

	if (!ok)
		return bad(h);
	if (!forward_output_put(&h->to_server, bytes->ptr, n))
		return FORWARD_HTTP2_NOMEM;
	h->preface = (uint8_t)(h->preface + n);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	if (h->preface == sizeof(FORWARD_PREFACE) - 1)
		ok = forward_output_frame(&h->to_client, FORWARD_FRAME_SETTINGS, 0, 0, NULL, 0);
	return ok ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* Requests that come and are cancelled, all of them, are no reason to connect, nor to be kept. */
static bool keeps_too_much(const struct forward_http2 *h)
{
	return !h->connected && forward_streams_none(&h->streams) &&
	       h->to_server.len > FORWARD_BLOCK_MAX;
}

enum forward_http2_result forward_http2_client(struct forward_http2 *h, struct span bytes)
{
	struct walk *w = &h->client;
	enum forward_http2_result rc = FORWARD_HTTP2_OK;

	if (h->preface < sizeof(FORWARD_PREFACE) - 1)
		rc = read_preface(h, &bytes);
	while (rc == FORWARD_HTTP2_OK && bytes.len) {
		if (w->head_len < FRAME_HEAD) {
			if (!read_head(w, &bytes))
				break;
			rc = client_frame(h);
		}
		/* Also without a payload: then it ends at once. */
		if (rc == FORWARD_HTTP2_OK)
			rc = client_payload(h, &bytes);
		if (rc == FORWARD_HTTP2_OK && !w->head_len && keeps_too_much(h))
			rc = end(h, ENHANCE_YOUR_CALM);
	}
	return rc;
}

/* ---- The server's frames ---- */

/* A setting has come: what the client's encoder may use from now on. */
static void setting(struct forward_http2 *h)
{
	const unsigned char *s = h->server.fixed;

	if (s[0] == 0 && s[1] == SETTINGS_HEADER_TABLE_SIZE)
		hpack_set_ceiling(&h->hpack, MAX(h->hpack.ceiling, forward_get_u32(s + 2)));
	h->server.fixed_len = 0;
}

/* Looks at what is to be looked at. */
static void watch_payload(struct forward_http2 *h, struct span bytes)
{
	struct walk *w = &h->server;

	if (w->frame.type != FORWARD_FRAME_SETTINGS || w->frame.flags & FORWARD_FLAG_ACK)
		return;
	for (size_t i = 0; i < bytes.len; i++) {
		w->fixed[w->fixed_len++] = (unsigned char)bytes.ptr[i];
		if (w->fixed_len == sizeof(w->fixed))
			setting(h);
	}
}

/* The server's GOAWAY: see put_goaway(). */
static bool pass_goaway(struct forward_http2 *h, struct span *bytes)
{
	struct walk *w = &h->server;

	while (bytes->len && w->left && w->fixed_len < 4) {
		w->fixed[w->fixed_len++] = (unsigned char)bytes->ptr[0];
		*bytes = SPAN(bytes->ptr + 1, bytes->len - 1);
		w->left--;
		if (w->fixed_len == 4) {
			h->least = MIN(h->least, forward_get_u32(w->fixed) & U31_MAX);
			forward_put_u32(w->fixed, h->least);
			return forward_output_put(&h->to_client, w->fixed, 4);
		}
	}
	return true;
}

/* A frame has ended: what waited for that follows. */
static bool server_frame_end(struct forward_http2 *h)
{
	struct walk *w = &h->server;
	uint8_t type = w->frame.type;

	w->head_len = 0;
	/* One that was promised. */
	if (type == FORWARD_FRAME_HEADERS && w->frame.stream % 2 == 0)
		forward_streams_begin(&h->streams, w->frame.stream, FORWARD_STREAM_CLIENT);
	track(h, &w->frame, FORWARD_STREAM_SERVER);
	if (type == FORWARD_FRAME_HEADERS || type == FORWARD_FRAME_PUSH_PROMISE ||
	    type == FORWARD_FRAME_CONTINUATION)
		w->block = w->frame.flags & FORWARD_FLAG_END_HEADERS ? 0 : w->frame.stream;
	return tell_client(h);
}

enum forward_http2_result forward_http2_server(struct forward_http2 *h, struct span bytes)
{
	struct walk *w = &h->server;
	bool ok = true;

	while (ok && bytes.len) {
		size_t n;

		if (w->head_len < FRAME_HEAD) {
			if (!read_head(w, &bytes))
				break;
			ok = forward_output_put(&h->to_client, w->head, FRAME_HEAD);
		}
		if (w->frame.type == FORWARD_FRAME_GOAWAY)
			ok &= pass_goaway(h, &bytes);
		n = MIN(bytes.len, w->left);
		watch_payload(h, SPAN(bytes.ptr, n));
		ok &= forward_output_put(&h->to_client, bytes.ptr, n);
		bytes = SPAN(bytes.ptr + n, bytes.len - n);
		w->left -= (uint32_t)n;
		if (!w->left)
			ok &= server_frame_end(h);
	}
	return ok ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* ---- For the caller ---- */

bool forward_http2_begins(struct span bytes)
{
	return memcmp(bytes.ptr, FORWARD_PREFACE, MIN(bytes.len, sizeof(FORWARD_PREFACE) - 1)) == 0;
}

bool forward_http2_route(const struct forward_http2 *h, struct span *host, uint16_t *port)
{
	*host = span_str(h->host);
	*port = h->port;
	return h->routed;
}

void forward_http2_answer(struct forward_http2 *h, uint16_t status)
{
	/* A literal without indexing, of name 8 of the static table, ":status" (RFC 7541). */
	char field[] = { 0x08, 3, (char)('0' + status / 100), (char)('0' + status / 10 % 10),
			 (char)('0' + status % 10) };
	bool ok = true;

	for (uint32_t i = 0; i < h->streams.count; i++)
		ok = ok && forward_output_frame(&h->to_client, FORWARD_FRAME_HEADERS,
						FORWARD_FLAG_END_STREAM | FORWARD_FLAG_END_HEADERS,
						h->streams.at[i].id, field, sizeof(field));
	if (ok)
		tell_goaway(h, NO_ERROR);
}

void forward_http2_connected(struct forward_http2 *h)
{
	h->connected = true;
}

bool forward_http2_warn(struct forward_http2 *h)
{
	h->goaway = true;
	h->error = NO_ERROR;
	return tell_client(h);
}

bool forward_http2_close(struct forward_http2 *h)
{
	return tell_goaway(h, NO_ERROR);
}

bool forward_http2_waits(const struct forward_http2 *h)
{
	return !forward_streams_none(&h->streams);
}

bool forward_http2_is_over(const struct forward_http2 *h)
{
	return h->closing && !h->goaway && is_between(h) && forward_streams_none(&h->streams);
}

struct forward_output *forward_http2_to_server(struct forward_http2 *h)
{
	return &h->to_server;
}

struct forward_output *forward_http2_to_client(struct forward_http2 *h)
{
	return &h->to_client;
}

size_t forward_http2_memory(const struct forward_http2 *h)
{
	return h->held.size + h->to_server.size + h->to_client.size + h->later.size;
}

struct forward_http2 *forward_http2_new(void)
{
	struct forward_http2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	hpack_init(&h->hpack);
	h->least = U31_MAX;
	return h;
}

void forward_http2_free(struct forward_http2 *h)
{
	if (!h)
		return;
	hpack_fini(&h->hpack);
	forward_output_empty(&h->held);
	forward_output_empty(&h->to_server);
	forward_output_empty(&h->to_client);
	forward_output_empty(&h->later);
	forward_streams_fini(&h->streams);
	free(h);
}
