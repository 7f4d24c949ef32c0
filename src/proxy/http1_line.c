// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines of a stream that reads may cut anywhere: see http1_line.h. */
#include "http1_line.h"

bool http1_carry_add(struct http1_lane *l, struct span part)
{
	struct http1_carry *c = l->carry;
	size_t n;

	if (!c) {
		c = l->carry = malloc(sizeof(*c));
		if (!c)
			return false;
		c->total = 0;
		c->tail_len = 0;
	}
	if (c->total < sizeof(c->text)) {
		n = MIN(part.len, sizeof(c->text) - c->total);
		memcpy(c->text + c->total, part.ptr, n);
	}
	n = MIN(part.len, sizeof(c->tail));
	if (c->tail_len + n > sizeof(c->tail)) {
		size_t drop = c->tail_len + n - sizeof(c->tail);

		c->tail_len = (uint8_t)(c->tail_len - drop);
		memmove(c->tail, c->tail + drop, c->tail_len);
	}
	memcpy(c->tail + c->tail_len, part.ptr + part.len - n, n);
	c->tail_len = (uint8_t)(c->tail_len + n);
	c->total += part.len;
	return true;
}

void http1_line_set(struct http1_line *line, const char *text, struct span tail, size_t total)
{
	tail.len--;
	total--;
	if (tail.len && tail.ptr[tail.len - 1] == '\r') {
		tail.len--;
		total--;
	}
	if (tail.len > HTTP1_TAIL_KEEP)
		tail = SPAN(tail.ptr + tail.len - HTTP1_TAIL_KEEP, HTTP1_TAIL_KEEP);
	line->text = SPAN(text, MIN(total, HTTP1_LINE_KEEP));
	line->tail = tail;
	line->cut = total > HTTP1_LINE_KEEP;
}

void http1_carry_drop(struct http1_lane *l)
{
	free(l->carry);
	l->carry = NULL;
}
