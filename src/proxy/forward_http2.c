// SPDX-License-Identifier: GPL-2.0-or-later
/* HTTP/2 to one server by its first :authority: see forward_http2.h. */
#include "forward_http2.h"

#include "forward_head.h"

#define FRAME_HEAD 9u
#define HTTP_PORT  80

/* A stream id and a window's step are 31 bits (RFC 9113 sect. 4.1, 6.9). */
#define U31_MAX 0x7fffffffu

/* Bytes of resets that wait for the end of the server's frame: of more than a thousand streams. */
#define LATER_MAX 16384u

enum {
	DATA = 0,
	HEADERS = 1,
	RST_STREAM = 3,
	SETTINGS = 4,
	PUSH_PROMISE = 5,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9,
};

enum { ACK = 0x1, END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITY = 0x20 };
enum { NO_ERROR = 0, PROTOCOL_ERROR = 1, INTERNAL_ERROR = 2, CANCEL = 8, ENHANCE_YOUR_CALM = 11 };

#define SETTINGS_HEADER_TABLE_SIZE 1

struct frame {
	uint32_t len, stream;
	uint8_t type, flags;
};

/* One way: where in a frame it is. */
struct walk {
	unsigned char head[FRAME_HEAD];
	uint8_t head_len;
	struct frame frame;	/* when head_len == FRAME_HEAD */
	uint32_t left;		/* of its payload */
	uint32_t block;		/* the stream whose header block is going on; 0: none */
	bool drop;		/* this frame is not passed on */
	unsigned char fixed[6]; /* the payload's last bytes that were read: a setting */
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
	uint32_t last;		     /* the newest stream that was passed on */
	uint32_t least;		     /* the smallest last stream of a GOAWAY so far */
	uint8_t preface;	     /* bytes of it that have come */
	bool acknowledged;	     /* our SETTINGS */
	bool routed, refused;	     /* the first request is there; a stream was left out */
	char host[FORWARD_HOST_MAX + 1];
	uint16_t port;
};

/* False without memory. */
static bool put(struct forward_output *o, const void *data, size_t len)
{
	if (o->len + len > o->size) {
		size_t size = MAX(2 * o->size, o->len + len);
		char *grown = realloc(o->data, size);

		if (!grown)
			return false;
		o->data = grown;
		o->size = size;
	}
	if (len)
		memcpy(o->data + o->len, data, len);
	o->len += len;
	return true;
}

void forward_output_empty(struct forward_output *o)
{
	free(o->data);
	*o = (struct forward_output){ .len = 0 };
}

static void put_u32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool put_frame(struct forward_output *o, uint8_t type, uint8_t flags, uint32_t stream,
		      const void *payload, size_t len)
{
	unsigned char head[FRAME_HEAD] = { 0, 0, (unsigned char)len, type, flags };

	put_u32(head + 5, stream);
	return put(o, head, sizeof(head)) && put(o, payload, len);
}

/* RFC 9113 sect. 6.8: no GOAWAY may take back what an earlier one said, the server's or ours. */
static bool put_goaway(struct forward_http2 *h)
{
	unsigned char payload[8];

	h->goaway = false;
	h->least = MIN(h->least, h->last);
	put_u32(payload, h->least);
	put_u32(payload + 4, h->error);
	return put_frame(&h->to_client, GOAWAY, 0, 0, payload, sizeof(payload));
}

static bool put_window(struct forward_http2 *h)
{
	unsigned char payload[4];

	put_u32(payload, h->window);
	h->window = 0;
	return put_frame(&h->to_client, WINDOW_UPDATE, 0, 0, payload, sizeof(payload));
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
		ok = put(&h->to_client, h->later.data, h->later.len);
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
	h->goaway = true;
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
	w->frame = (struct frame){
		.len = get_u32(w->head) >> 8,
		.type = w->head[3],
		.flags = w->head[4],
		.stream = get_u32(w->head + 5) & U31_MAX,
	};
	w->left = w->frame.len;
	w->drop = false;
	w->fixed_len = 0;
	return true;
}

/* ---- The client's header blocks ---- */

struct block {
	struct span authority;
	bool request; /* has what trailers never have */
	bool connect;
	enum forward_http2_result result;
};

/* The fragment that a HEADERS frame's payload holds (RFC 9113 sect. 6.2). False: none. */
static bool fragment_of(const struct frame *f, struct span payload, struct span *out)
{
	size_t before = 0, pad = 0;

	if (f->type == HEADERS && f->flags & PADDED) {
		if (!payload.len)
			return false;
		pad = (unsigned char)payload.ptr[0];
		before = 1;
	}
	if (f->type == HEADERS && f->flags & PRIORITY)
		before += 5;
	if (before + pad > payload.len)
		return false;
	*out = SPAN(payload.ptr + before, payload.len - before - pad);
	return true;
}

/* Decodes one fragment; what the texts were is kept in @authority, of FORWARD_HOST_MAX + 6. */
static enum forward_http2_result decode(struct forward_http2 *h, struct span piece, struct block *b,
					char *authority)
{
	struct hpack_field field;

	for (;;) {
		struct span text;

		switch (hpack_next(&h->hpack, &piece, &field)) {
		case HPACK_MORE:
			return FORWARD_HTTP2_OK;
		case HPACK_FIELD:
			break;
		case HPACK_NOMEM:
			return FORWARD_HTTP2_NOMEM;
		default:
			return FORWARD_HTTP2_BAD;
		}
		b->request |= field.name == HPACK_NAME_METHOD || field.name == HPACK_NAME_PATH ||
			      field.name == HPACK_NAME_AUTHORITY;
		if (field.name == HPACK_NAME_METHOD)
			b->connect = field.number == HTTP_METHOD_CONNECT;
		if (field.name != HPACK_NAME_AUTHORITY &&
		    (field.name != HPACK_NAME_HOST || b->authority.len))
			continue;
		text = hpack_text_span(field.text);
		/* What was cut, or is not known any more, is no host. */
		if (!text.len || text.len > FORWARD_HOST_MAX)
			text = SPAN("?", 1);
		memcpy(authority, text.ptr, text.len);
		b->authority = SPAN(authority, text.len);
	}
}

/* Decodes the frames that are held. */
static enum forward_http2_result decode_held(struct forward_http2 *h, struct block *b,
					     char *authority)
{
	enum forward_http2_result rc = FORWARD_HTTP2_OK;
	struct span rest = SPAN(h->held.data, h->held.len), fragment;
	struct walk w = { .head_len = 0 };

	*b = (struct block){ .authority = { NULL, 0 } };
	while (rc == FORWARD_HTTP2_OK && rest.len) {
		w.head_len = 0;
		if (!read_head(&w, &rest) ||
		    !fragment_of(&w.frame, SPAN(rest.ptr, w.frame.len), &fragment))
			return FORWARD_HTTP2_BAD;
		rest = SPAN(rest.ptr + w.frame.len, rest.len - w.frame.len);
		rc = decode(h, fragment, b, authority);
	}
	return rc == FORWARD_HTTP2_OK && !hpack_end_block(&h->hpack) ? FORWARD_HTTP2_BAD : rc;
}

/* The first request: whom all is for. */
static void route(struct forward_http2 *h, const struct block *b)
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

static bool is_for_server(const struct forward_http2 *h, const struct block *b)
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

	/* A server that stops within a frame must not make us keep what its client goes on with. */
	if (h->later.len >= LATER_MAX)
		return end(h, ENHANCE_YOUR_CALM);
	put_u32(error, CANCEL);
	ok = put_frame(&h->to_server, RST_STREAM, 0, stream, error, sizeof(error));
	put_u32(error, INTERNAL_ERROR);
	ok = ok && put_frame(&h->later, RST_STREAM, 0, stream, error, sizeof(error));
	return ok && tell_client(h) ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* A whole header block of the client is held. */
static enum forward_http2_result block_done(struct forward_http2 *h, uint32_t stream)
{
	char authority[FORWARD_HOST_MAX + 1];
	bool begins = stream > h->last, passes = !h->refused, ok = true;
	struct block b;
	enum forward_http2_result rc = decode_held(h, &b, authority);

	if (rc != FORWARD_HTTP2_OK)
		return rc == FORWARD_HTTP2_BAD ? bad(h) : rc;
	/* RFC 9113 sect. 5.1.1: a request on an older stream, which may be for anybody. */
	if (!begins && b.request)
		return bad(h);
	if (begins && !h->routed)
		route(h, &b);
	else if (begins)
		passes &= is_for_server(h, &b);
	if (passes) {
		h->last = MAX(h->last, stream);
		ok = put(&h->to_server, h->held.data, h->held.len);
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
	const struct frame *f = &w->frame;
	bool left_out = h->refused && f->stream > h->last, ok = true;

	if (w->block ? f->type != CONTINUATION || f->stream != w->block : f->type == CONTINUATION)
		return bad(h);
	if (f->type == HEADERS || f->type == CONTINUATION) {
		if (!f->stream || f->stream % 2 == 0 ||
		    h->held.len + FRAME_HEAD + f->len > FORWARD_BLOCK_MAX)
			return bad(h);
		w->block = f->stream;
		return put(&h->held, w->head, FRAME_HEAD) ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
	}
	if (f->type == SETTINGS && f->flags & ACK && !h->acknowledged)
		w->drop = h->acknowledged = true;
	w->drop |= left_out;
	if (left_out && f->type == DATA) {
		/* The server never counts it: else the connection's window would shrink. */
		h->window = MIN(h->window + f->len, U31_MAX);
		ok = tell_client(h);
	}
	/* Nobody takes it yet. */
	if (!w->drop && !h->routed && h->to_server.len + FRAME_HEAD + f->len > FORWARD_BLOCK_MAX)
		return end(h, ENHANCE_YOUR_CALM);
	if (!w->drop)
		ok = put(&h->to_server, w->head, FRAME_HEAD);
	return ok ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
}

/* Some of a frame's payload, or its end. */
static enum forward_http2_result client_payload(struct forward_http2 *h, struct span *bytes)
{
	struct walk *w = &h->client;
	size_t n = MIN(bytes->len, w->left);
	bool block = w->frame.type == HEADERS || w->frame.type == CONTINUATION;

	if (!w->drop && !put(block ? &h->held : &h->to_server, bytes->ptr, n))
		return FORWARD_HTTP2_NOMEM;
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	w->left -= (uint32_t)n;
	if (w->left)
		return FORWARD_HTTP2_OK;
	w->head_len = 0;
	if (!block || !(w->frame.flags & END_HEADERS))
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
	if (!put(&h->to_server, bytes->ptr, n))
		return FORWARD_HTTP2_NOMEM;
	h->preface = (uint8_t)(h->preface + n);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	if (h->preface == sizeof(FORWARD_PREFACE) - 1)
		ok = put_frame(&h->to_client, SETTINGS, 0, 0, NULL, 0);
	return ok ? FORWARD_HTTP2_OK : FORWARD_HTTP2_NOMEM;
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
	}
	return rc;
}

/* ---- The server's frames ---- */

/* A setting has come: what the client's encoder may use from now on. */
static void setting(struct forward_http2 *h)
{
	const unsigned char *s = h->server.fixed;

	if (s[0] == 0 && s[1] == SETTINGS_HEADER_TABLE_SIZE)
		hpack_set_ceiling(&h->hpack, MAX(h->hpack.ceiling, get_u32(s + 2)));
	h->server.fixed_len = 0;
}

/* Looks at what is to be looked at. */
static void watch_payload(struct forward_http2 *h, struct span bytes)
{
	struct walk *w = &h->server;

	if (w->frame.type != SETTINGS || w->frame.flags & ACK)
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
			h->least = MIN(h->least, get_u32(w->fixed) & U31_MAX);
			put_u32(w->fixed, h->least);
			return put(&h->to_client, w->fixed, 4);
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
	if (type == HEADERS || type == PUSH_PROMISE || type == CONTINUATION)
		w->block = w->frame.flags & END_HEADERS ? 0 : w->frame.stream;
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
			ok = put(&h->to_client, w->head, FRAME_HEAD);
		}
		if (w->frame.type == GOAWAY)
			ok &= pass_goaway(h, &bytes);
		n = MIN(bytes.len, w->left);
		watch_payload(h, SPAN(bytes.ptr, n));
		ok &= put(&h->to_client, bytes.ptr, n);
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

	if (put_frame(&h->to_client, HEADERS, END_STREAM | END_HEADERS, h->last, field,
		      sizeof(field)))
		tell_goaway(h, NO_ERROR);
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
	free(h);
}
