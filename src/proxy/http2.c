// SPDX-License-Identifier: GPL-2.0-or-later
/* The HTTP/2 observer, frame by frame: see http2.h. Section numbers are those of RFC 9113. */
#include "http2.h"

#include "http2_stream.h"
#include "observer.h"

#define HEADER_LEN 9u
#define PART_MAX   9u /* the longest thing that is collected: a frame's header */

enum frame_type {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH_PROMISE,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION,
};

enum frame_flag {
	FLAG_END_STREAM = 0x01,
	FLAG_ACK = 0x01,
	FLAG_END_HEADERS = 0x04,
	FLAG_PADDED = 0x08,
	FLAG_PRIORITY = 0x20,
};

enum setting {
	SETTING_HEADER_TABLE_SIZE = 1,
	SETTING_MAX_FRAME_SIZE = 5,
};

#define FRAME_SIZE_DEFAULT 16384u /* sect. 6.5.2 */
#define FRAME_SIZE_MAX	   ((1u << 24) - 1)

enum lane_state {
	LANE_PREFACE, /* the client's first bytes */
	LANE_FIRST,   /* the header of the first frame, which must be SETTINGS: sect. 3.4 */
	LANE_HEADER,  /* a frame's header */
	LANE_FIXED,   /* what a frame has before its content, or one setting */
	LANE_BLOCK,   /* a fragment of a header block */
	LANE_DATA,    /* content */
	LANE_SKIP,    /* what nobody looks at, to the frame's end */
};

struct lane {
	struct hpack hpack;
	struct http2_head head; /* of the block being read */
	uint64_t frame_started; /* when the frame's first byte came */
	uint32_t stream;	/* the frame's */
	uint32_t left;		/* of the frame, behind its fixed part, without its padding */
	uint32_t padding;	/* behind that */
	uint32_t frame_max;	/* bytes: the most that the other side has ever allowed */
	uint32_t block_stream;	/* whose block is being read; 0: none */
	uint32_t block_bytes, list_bytes;
	uint32_t unacked;	/* SETTINGS of the other side that this one has not acknowledged */
	uint32_t ceiling_after; /* how many acknowledgements bring ceiling_next; 0: none */
	uint32_t ceiling_next;
	uint16_t continuations;
	uint8_t state; /* enum lane_state */
	uint8_t type, flags;
	uint8_t fixed;	   /* bytes to collect in LANE_FIXED */
	uint8_t have;	   /* collected so far; in LANE_PREFACE: seen */
	bool block_ends;   /* the block's HEADERS had END_STREAM */
	bool block_pushed; /* the block is a PUSH_PROMISE's */
	uint8_t part[PART_MAX];
};

struct http2 {
	struct lane lane[WAY_COUNT];
	struct http2_streams streams;
	bool confirmed; /* the client's preface was seen */
	bool lost;
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_LEN (sizeof(preface) - 1)

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A stream's number: the first bit is reserved. */
static uint32_t get31(const uint8_t *p)
{
	return get32(p) & 0x7fffffff;
}

struct http2 *http2_new(const struct observer_sink *sink, void *ctx)
{
	struct http2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	http2_streams_init(&h->streams, sink, ctx);
	for (int way = 0; way < WAY_COUNT; way++) {
		hpack_init(&h->lane[way].hpack);
		h->lane[way].frame_max = FRAME_SIZE_DEFAULT;
	}
	h->lane[WAY_TO_SERVER].state = LANE_PREFACE;
	h->lane[WAY_TO_CLIENT].state = LANE_FIRST;
	return h;
}

bool http2_adopt(struct http2 *h, const struct http2_upgrade *u)
{
	/* The request carried the client's SETTINGS in a field that is not looked at. */
	hpack_set_ceiling(&h->lane[WAY_TO_CLIENT].hpack, HPACK_TABLE_MAX);
	h->lane[WAY_TO_CLIENT].frame_max = FRAME_SIZE_MAX;
	h->confirmed = true;
	return http2_streams_adopt(&h->streams, u);
}

static void head_drop(struct http2_head *head)
{
	hpack_text_unref(head->path);
	hpack_text_unref(head->host);
	*head = (struct http2_head){ .rpc_status = RPC_STATUS_MISSING };
}

static bool lost(struct http2 *h, enum lost_reason reason)
{
	const struct http2_streams *t = &h->streams;

	h->lost = true;
	http2_streams_lost(&h->streams);
	if (h->confirmed)
		t->sink->lost(t->ctx, reason);
	t->sink->protocol(t->ctx, PROTOCOL_TCP);
	return false;
}

/* ---- Header blocks ---- */

static void head_field(struct http2_head *head, const struct hpack_field *f)
{
	switch (f->name) {
	case HPACK_NAME_METHOD:
		head->method = (uint8_t)f->number;
		break;
	case HPACK_NAME_STATUS:
		head->status = (uint16_t)f->number;
		break;
	case HPACK_NAME_CONTENT_TYPE:
		head->grpc = f->number;
		break;
	case HPACK_NAME_GRPC_STATUS:
		head->rpc_status = (uint8_t)f->number;
		break;
	case HPACK_NAME_GRPC_TIMEOUT:
		head->timeout = f->number;
		break;
	case HPACK_NAME_TRACE:
		head->trace = f->trace;
		break;
	case HPACK_NAME_PATH:
		hpack_text_unref(head->path);
		head->path = hpack_text_ref(f->text);
		break;
	case HPACK_NAME_HOST:
		if (head->authority)
			break;
		/* fall through */
	case HPACK_NAME_AUTHORITY:
		hpack_text_unref(head->host);
		head->host = hpack_text_ref(f->text);
		head->authority = f->name == HPACK_NAME_AUTHORITY;
		break;
	default:
		break;
	}
}

static bool block_piece(struct http2 *h, struct lane *l, struct span piece)
{
	l->block_bytes += (uint32_t)piece.len;
	if (l->block_bytes > HTTP2_BLOCK_MAX)
		return lost(h, LOST_HEADER_TOO_LARGE);
	for (;;) {
		struct hpack_field field;

		switch (hpack_next(&l->hpack, &piece, &field)) {
		case HPACK_MORE:
			return true;
		case HPACK_FIELD:
			l->list_bytes += (uint32_t)MIN(field.size, HTTP2_LIST_MAX);
			if (l->list_bytes > HTTP2_LIST_MAX)
				return lost(h, LOST_HEADER_TOO_LARGE);
			head_field(&l->head, &field);
			break;
		case HPACK_BAD:
			return lost(h, LOST_BAD_HEADER_BLOCK);
		case HPACK_LIMIT:
			return lost(h, LOST_HEADER_TABLE);
		case HPACK_NOMEM:
			return lost(h, LOST_OUT_OF_MEMORY);
		}
	}
}

static void block_begin(struct lane *l)
{
	head_drop(&l->head);
	l->head.started = l->frame_started;
	l->block_stream = l->stream;
	l->block_bytes = 0;
	l->list_bytes = 0;
	l->continuations = 0;
	l->block_pushed = l->type == FRAME_PUSH_PROMISE;
	l->block_ends = !l->block_pushed && (l->flags & FLAG_END_STREAM);
}

static bool block_done(struct http2 *h, enum way way, uint64_t now)
{
	struct lane *l = &h->lane[way];
	enum lost_reason why = LOST_BAD_HEADER_BLOCK;
	bool good = true;

	if (!hpack_end_block(&l->hpack))
		return lost(h, LOST_BAD_HEADER_BLOCK);
	if (!l->block_pushed)
		good = http2_streams_head(&h->streams, way, l->block_stream, &l->head,
					  l->block_ends, now, &why);
	head_drop(&l->head);
	l->block_stream = 0;
	return good || lost(h, why);
}

/* ---- Settings: what a side says bounds what the other side may send ---- */

static void saw_setting(struct http2 *h, enum way way, const uint8_t *p)
{
	struct lane *other = &h->lane[!way];
	uint32_t value = get32(p + 2);

	switch (p[0] << 8 | p[1]) {
	case SETTING_HEADER_TABLE_SIZE:
		/* More may be used as soon as it is known; less must be, once acknowledged. */
		if (value > other->hpack.ceiling)
			hpack_set_ceiling(&other->hpack, value);
		other->ceiling_next = value;
		other->ceiling_after = other->unacked;
		break;
	case SETTING_MAX_FRAME_SIZE:
		other->frame_max = MAX(other->frame_max, value);
		break;
	}
}

static void saw_settings_ack(struct lane *l)
{
	if (l->unacked)
		l->unacked--;
	if (l->ceiling_after && --l->ceiling_after == 0)
		hpack_set_ceiling(&l->hpack, l->ceiling_next);
}

/* ---- Frames ---- */

/* Bytes that a frame has before its content, or that we want of it; checks what sect. 6 says. */
static bool fixed_part(struct http2 *h, enum way way, size_t length)
{
	struct lane *l = &h->lane[way];
	unsigned padded = l->flags & FLAG_PADDED ? 1 : 0;
	bool good = true;

	l->fixed = 0;
	switch (l->type) {
	case FRAME_DATA:
		good = l->stream;
		l->fixed = (uint8_t)padded;
		break;
	case FRAME_HEADERS:
		good = l->stream;
		l->fixed = (uint8_t)(padded + (l->flags & FLAG_PRIORITY ? 5 : 0));
		break;
	case FRAME_PUSH_PROMISE:
		good = l->stream && way == WAY_TO_CLIENT;
		l->fixed = (uint8_t)(padded + 4);
		break;
	case FRAME_RST_STREAM:
		good = l->stream && length == 4;
		l->fixed = 4;
		break;
	case FRAME_SETTINGS:
		good = !l->stream && length % 6 == 0 && !((l->flags & FLAG_ACK) && length);
		l->fixed = length ? 6 : 0;
		break;
	case FRAME_GOAWAY:
		good = !l->stream && length >= 8;
		l->fixed = 8;
		break;
	default:
		break;
	}
	return good && l->fixed <= length;
}

static enum lane_state content_state(const struct lane *l)
{
	switch (l->type) {
	case FRAME_DATA:
		return LANE_DATA;
	case FRAME_HEADERS:
	case FRAME_PUSH_PROMISE:
	case FRAME_CONTINUATION:
		return LANE_BLOCK;
	default:
		return LANE_SKIP;
	}
}

/* A frame's header is collected. */
static bool frame_begin(struct http2 *h, enum way way)
{
	struct lane *l = &h->lane[way];
	size_t length = get32(l->part) >> 8;
	bool first = l->state == LANE_FIRST;

	l->type = l->part[3];
	l->flags = l->part[4];
	l->stream = get31(l->part + 5);
	if (first && (l->type != FRAME_SETTINGS || (l->flags & FLAG_ACK)))
		return lost(h, LOST_BAD_FRAME);
	/* A block is one whole: nothing comes in between (sect. 4.3). */
	if ((l->type == FRAME_CONTINUATION) != (l->block_stream != 0) ||
	    (l->block_stream && l->block_stream != l->stream))
		return lost(h, LOST_BAD_FRAME);
	if (length > l->frame_max || !fixed_part(h, way, length))
		return lost(h, LOST_BAD_FRAME);
	if (l->type == FRAME_CONTINUATION) {
		if (++l->continuations > HTTP2_CONTINUATIONS_MAX)
			return lost(h, LOST_HEADER_TOO_LARGE);
	} else if (content_state(l) == LANE_BLOCK) {
		block_begin(l);
	} else if (l->type == FRAME_SETTINGS) {
		if (l->flags & FLAG_ACK)
			saw_settings_ack(l);
		else
			h->lane[!way].unacked++;
	}
	l->left = (uint32_t)length - l->fixed;
	l->padding = 0;
	l->state = l->fixed ? LANE_FIXED : content_state(l);
	return true;
}

/* What stands before a frame's content is collected. */
static bool fixed_done(struct http2 *h, enum way way, uint64_t now)
{
	struct lane *l = &h->lane[way];

	switch (l->type) {
	case FRAME_DATA:
	case FRAME_HEADERS:
	case FRAME_PUSH_PROMISE:
		if (l->flags & FLAG_PADDED) {
			l->padding = l->part[0];
			if (l->padding > l->left)
				return lost(h, LOST_BAD_FRAME);
			l->left -= l->padding;
		}
		break;
	case FRAME_RST_STREAM:
		http2_streams_reset(&h->streams, way, l->stream, get32(l->part), now);
		break;
	case FRAME_SETTINGS:
		saw_setting(h, way, l->part);
		if (l->left) {
			l->left -= l->fixed;
			return true;
		}
		break;
	case FRAME_GOAWAY:
		if (way == WAY_TO_CLIENT)
			http2_streams_goaway(&h->streams, get31(l->part), now);
		break;
	}
	l->state = (uint8_t)content_state(l);
	return true;
}

/* A frame's last byte went by. */
static bool frame_done(struct http2 *h, enum way way, uint64_t now)
{
	struct lane *l = &h->lane[way];
	enum lane_state content = content_state(l);

	l->state = LANE_HEADER;
	if (content == LANE_BLOCK && (l->flags & FLAG_END_HEADERS))
		return block_done(h, way, now);
	if (content == LANE_DATA && (l->flags & FLAG_END_STREAM))
		http2_streams_end(&h->streams, way, l->stream, now);
	return true;
}

/* The frame's content is through: what is left is padding. */
static bool content_done(struct http2 *h, enum way way, uint64_t now)
{
	struct lane *l = &h->lane[way];

	if (!l->padding)
		return frame_done(h, way, now);
	l->left = l->padding;
	l->padding = 0;
	l->state = LANE_SKIP;
	return true;
}

/* Collects @need bytes in part[]. True when they are there. */
static bool collect(struct lane *l, struct span *bytes, unsigned need)
{
	size_t n = MIN(bytes->len, (size_t)(need - l->have));

	memcpy(l->part + l->have, bytes->ptr, n);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	l->have = (uint8_t)(l->have + n);
	if (l->have < need)
		return false;
	l->have = 0;
	return true;
}

static bool take_preface(struct http2 *h, struct span *bytes)
{
	struct lane *l = &h->lane[WAY_TO_SERVER];
	size_t n = MIN(bytes->len, PREFACE_LEN - l->have);

	if (memcmp(bytes->ptr, preface + l->have, n) != 0)
		return lost(h, LOST_BAD_FRAME);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	l->have = (uint8_t)(l->have + n);
	if (l->have < PREFACE_LEN)
		return true;
	l->have = 0;
	l->state = LANE_FIRST;
	h->confirmed = true;
	return true;
}

/* Takes what @bytes begin with. False: lost. */
static bool step(struct http2 *h, enum way way, struct span *bytes, uint64_t now)
{
	struct lane *l = &h->lane[way];
	struct span piece;

	switch ((enum lane_state)l->state) {
	case LANE_PREFACE:
		return take_preface(h, bytes);
	case LANE_FIRST:
	case LANE_HEADER:
		if (!l->have)
			l->frame_started = now;
		if (!collect(l, bytes, HEADER_LEN))
			return true;
		if (!frame_begin(h, way))
			return false;
		break;
	case LANE_FIXED:
		if (!collect(l, bytes, l->fixed))
			return true;
		if (!fixed_done(h, way, now))
			return false;
		break;
	default:
		piece = SPAN(bytes->ptr, MIN(bytes->len, (size_t)l->left));
		*bytes = SPAN(bytes->ptr + piece.len, bytes->len - piece.len);
		l->left -= (uint32_t)piece.len;
		if (l->state == LANE_DATA)
			http2_streams_content(&h->streams, way, l->stream, piece.ptr, piece.len);
		else if (l->state == LANE_BLOCK && !block_piece(h, l, piece))
			return false;
		break;
	}
	if (l->left || l->state < LANE_BLOCK)
		return true;
	return content_done(h, way, now);
}

bool http2_data(struct http2 *h, enum way way, struct span bytes, uint64_t now)
{
	if (h->lost)
		return false;
	while (bytes.len) {
		if (!step(h, way, &bytes, now))
			return false;
	}
	return true;
}

void http2_end(struct http2 *h, enum way way, uint64_t now)
{
	if (way == WAY_TO_CLIENT)
		h->streams.server_ended = now;
}

uint64_t http2_skip(const struct http2 *h, enum way way)
{
	const struct lane *l = &h->lane[way];

	if (l->state == LANE_SKIP)
		return l->left;
	if (l->state == LANE_DATA && !http2_streams_look(&h->streams, l->stream))
		return l->left;
	return 0;
}

void http2_skipped(struct http2 *h, enum way way, uint64_t bytes, uint64_t now)
{
	struct lane *l = &h->lane[way];
	uint32_t n = (uint32_t)MIN(bytes, http2_skip(h, way));

	if (!n)
		return;
	l->left -= n;
	if (l->state == LANE_DATA)
		http2_streams_content(&h->streams, way, l->stream, NULL, n);
	if (!l->left)
		content_done(h, way, now);
}

void http2_free(struct http2 *h, bool cancelled, uint64_t now)
{
	if (!h)
		return;
	if (!h->lost && h->confirmed)
		http2_streams_close(&h->streams, cancelled, now);
	for (int way = 0; way < WAY_COUNT; way++) {
		head_drop(&h->lane[way].head);
		hpack_fini(&h->lane[way].hpack);
	}
	free(h);
}

size_t http2_memory(const struct http2 *h)
{
	return sizeof(*h) + h->streams.capacity * sizeof(*h->streams.slots) +
	       hpack_memory(&h->lane[WAY_TO_SERVER].hpack) +
	       hpack_memory(&h->lane[WAY_TO_CLIENT].hpack);
}
