/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which streams of an HTTP/2 connection are open, as a forward proxy has to know that is to end one
 * in order: from its request on until both sides have ended it, or one has reset it (RFC 9113
 * sect. 5.1). Pure.
 */
#ifndef SLUICE_FORWARD_STREAMS_H
#define SLUICE_FORWARD_STREAMS_H

#include "base.h"

/* Past so many at once nobody counts any more. */
#define FORWARD_STREAMS_MAX 4096u

/* Who has said all on a stream. */
enum {
	FORWARD_STREAM_CLIENT = 1,
	FORWARD_STREAM_SERVER = 2,
	FORWARD_STREAM_BOTH = 3,
};

struct forward_stream {
	uint32_t id;
	uint8_t ended; /* of the bits above */
};

/* All zero: none. */
struct forward_streams {
	struct forward_stream *at; /* the open ones, by rising id; owned */
	uint32_t count, size;
	bool lost; /* there were too many, or no memory: some that are open are not known */
};

void forward_streams_fini(struct forward_streams *s);

/* Stream @id, unless it is open already, begins; @ended: who has nothing to say. */
void forward_streams_begin(struct forward_streams *s, uint32_t id, uint8_t ended);

/* @ended have said all, or it was reset: FORWARD_STREAM_BOTH. Nothing where it is not open. */
void forward_streams_end(struct forward_streams *s, uint32_t id, uint8_t ended);

/* Whether none is open. */
static inline bool forward_streams_none(const struct forward_streams *s)
{
	return !s->count && !s->lost;
}

#endif
