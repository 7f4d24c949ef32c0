/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a message's content ends, for a forward proxy: a machine that is fed the bytes behind a
 * head and says how many of them belong to the message. Strict about requests, as forward_head.h
 * tells; keeps nothing of what goes by. Pure.
 */
#ifndef SLUICE_FORWARD_BODY_H
#define SLUICE_FORWARD_BODY_H

#include "forward_head.h"

enum forward_body_state {
	FORWARD_BODY_DONE,	/* the message is whole */
	FORWARD_BODY_BAD,	/* it breaks the rules of chunks: nothing behind it can be read */
	FORWARD_BODY_PLAIN,	/* `left` bytes of content, then DONE */
	FORWARD_BODY_END,	/* all there is */
	FORWARD_BODY_SIZE,	/* a chunk's size */
	FORWARD_BODY_EXTENSION, /* what may follow it up to CR LF */
	FORWARD_BODY_SIZE_LF,
	FORWARD_BODY_DATA, /* `left` bytes of a chunk */
	FORWARD_BODY_DATA_CR,
	FORWARD_BODY_DATA_LF,
	FORWARD_BODY_LINE,  /* begins a trailer line, or is the CR of the empty one */
	FORWARD_BODY_FIELD, /* a trailer line up to CR LF */
	FORWARD_BODY_FIELD_LF,
	FORWARD_BODY_LAST_LF,
	FORWARD_BODY_STATE_COUNT,
};

struct forward_body {
	uint64_t left;
	uint32_t extra; /* bytes of trailers or of this chunk's extensions so far */
	uint8_t state;	/* enum forward_body_state */
	uint8_t digits; /* of a chunk's size so far */
	bool lenient;	/* a response: LF alone ends lines, blanks may follow a size */
};

void forward_body_begin(struct forward_body *b, enum forward_framing framing, uint64_t length,
			bool lenient);

/* How many of @bytes belong to the message; fewer than all only when it is DONE or BAD then. */
size_t forward_body_take(struct forward_body *b, struct span bytes);

static inline bool forward_body_done(const struct forward_body *b)
{
	return b->state == FORWARD_BODY_DONE;
}

#endif
