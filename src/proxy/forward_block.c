// SPDX-License-Identifier: GPL-2.0-or-later
/* One header block of a client that speaks HTTP/2: see forward_block.h. */
#include "forward_block.h"

/* The fragment that a HEADERS frame's payload holds (RFC 9113 sect. 6.2). False: none. */
static bool fragment_of(const struct forward_frame *f, struct span payload, struct span *out)
{
	size_t before = 0, pad = 0;

	if (f->type == FORWARD_FRAME_HEADERS && f->flags & FORWARD_FLAG_PADDED) {
		if (!payload.len)
			return false;
		pad = (unsigned char)payload.ptr[0];
		before = 1;
	}
	if (f->type == FORWARD_FRAME_HEADERS && f->flags & FORWARD_FLAG_PRIORITY)
		before += 5;
	if (before + pad > payload.len)
		return false;
	*out = SPAN(payload.ptr + before, payload.len - before - pad);
	return true;
}

static enum forward_http2_result decode(struct hpack *hpack, struct span piece,
					struct forward_block *b)
{
	struct hpack_field field;

	for (;;) {
		struct span text;

		switch (hpack_next(hpack, &piece, &field)) {
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
		memcpy(b->text, text.ptr, text.len);
		b->authority = SPAN(b->text, text.len);
	}
}

enum forward_http2_result forward_block_read(struct hpack *hpack, struct span frames,
					     struct forward_block *b)
{
	enum forward_http2_result rc = FORWARD_HTTP2_OK;

	b->authority = SPAN(NULL, 0);
	b->request = b->connect = false;
	/* RFC 9113 sect. 6.2: that is said by the first frame, whatever follows. */
	b->ends = frames.ptr[4] & FORWARD_FLAG_END_STREAM;
	while (rc == FORWARD_HTTP2_OK && frames.len) {
		struct forward_frame f = forward_frame_of((const unsigned char *)frames.ptr);
		struct span fragment;

		frames = SPAN(frames.ptr + FORWARD_FRAME_HEAD, frames.len - FORWARD_FRAME_HEAD);
		if (!fragment_of(&f, SPAN(frames.ptr, f.len), &fragment))
			return FORWARD_HTTP2_BAD;
		frames = SPAN(frames.ptr + f.len, frames.len - f.len);
		rc = decode(hpack, fragment, b);
	}
	return rc == FORWARD_HTTP2_OK && !hpack_end_block(hpack) ? FORWARD_HTTP2_BAD : rc;
}
