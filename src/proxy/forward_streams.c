// SPDX-License-Identifier: GPL-2.0-or-later
/* Which streams of an HTTP/2 connection are open: see forward_streams.h. */
#include "forward_streams.h"

#include <stdlib.h>
#include <string.h>

/* An array of this size is kept when it is empty. */
#define SIZE_MIN 8u

void forward_streams_fini(struct forward_streams *s)
{
	free(s->at);
	*s = (struct forward_streams){ .count = 0 };
}

/* Where stream @id is, or belongs. The newest are looked for most. */
static uint32_t find(const struct forward_streams *s, uint32_t id)
{
	uint32_t low = 0, high = s->count;

	if (high && s->at[high - 1].id < id)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->at[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Room for one more. */
static bool grow(struct forward_streams *s)
{
	uint32_t size = MAX(SIZE_MIN, 2 * s->size);
	struct forward_stream *grown;

	if (s->count < s->size)
		return true;
	if (s->count == FORWARD_STREAMS_MAX)
		return false;
	grown = realloc(s->at, size * sizeof(*grown));
	if (!grown)
		return false;
	s->at = grown;
	s->size = size;
	return true;
}

void forward_streams_begin(struct forward_streams *s, uint32_t id, uint8_t ended)
{
	uint32_t i = find(s, id);

	if (i < s->count && s->at[i].id == id)
		return;
	if (!grow(s)) {
		s->lost = true;
		return;
	}
	memmove(s->at + i + 1, s->at + i, (s->count - i) * sizeof(*s->at));
	s->at[i] = (struct forward_stream){ .id = id, .ended = ended };
	s->count++;
}

void forward_streams_end(struct forward_streams *s, uint32_t id, uint8_t ended)
{
	uint32_t i = find(s, id);

	if (i == s->count || s->at[i].id != id)
		return;
	s->at[i].ended |= ended;
	if (s->at[i].ended != FORWARD_STREAM_BOTH)
		return;
	s->count--;
	memmove(s->at + i, s->at + i + 1, (s->count - i) * sizeof(*s->at));
	if (!s->count && s->size > SIZE_MIN) {
		free(s->at);
		s->at = NULL;
		s->size = 0;
	}
}
