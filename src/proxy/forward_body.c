// SPDX-License-Identifier: GPL-2.0-or-later
/* Where content ends (RFC 9112 sect. 6.3, 7.1): see forward_body.h. */
#include "forward_body.h"

/* Past 2^60 no chunk ends. */
#define SIZE_DIGITS_MAX 15

void forward_body_begin(struct forward_body *b, enum forward_framing framing, uint64_t length,
			bool lenient)
{
	static const uint8_t first[] = {
		[FORWARD_NONE] = FORWARD_BODY_DONE,
		[FORWARD_LENGTH] = FORWARD_BODY_PLAIN,
		[FORWARD_CHUNKED] = FORWARD_BODY_SIZE,
		[FORWARD_UNTIL_END] = FORWARD_BODY_END,
	};

	*b = (struct forward_body){ .state = first[framing], .left = length, .lenient = lenient };
	if (b->state == FORWARD_BODY_PLAIN && !length)
		b->state = FORWARD_BODY_DONE;
}

static int hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A line's byte that is no line end: @next, unless it is one that no line may hold, or too much. */
static enum forward_body_state within(struct forward_body *b, unsigned char c,
				      enum forward_body_state next)
{
	if ((c < ' ' && c != '\t') || c == 0x7f || ++b->extra > FORWARD_HEAD_MAX)
		return FORWARD_BODY_BAD;
	return next;
}

/* The line with a chunk's size has ended. */
static enum forward_body_state sized(struct forward_body *b)
{
	b->digits = 0;
	b->extra = 0;
	return b->left ? FORWARD_BODY_DATA : FORWARD_BODY_LINE;
}

static enum forward_body_state size_byte(struct forward_body *b, unsigned char c)
{
	int digit = hex(c);

	if (digit >= 0) {
		if (++b->digits > SIZE_DIGITS_MAX)
			return FORWARD_BODY_BAD;
		b->left = b->left << 4 | (unsigned)digit;
		return FORWARD_BODY_SIZE;
	}
	if (!b->digits)
		return FORWARD_BODY_BAD;
	if (c == '\r')
		return FORWARD_BODY_SIZE_LF;
	if (c == '\n' && b->lenient)
		return sized(b);
	if (c == ';' || (b->lenient && (c == ' ' || c == '\t')))
		return within(b, c, FORWARD_BODY_EXTENSION);
	return FORWARD_BODY_BAD;
}

/* One byte of all that is not content. */
static enum forward_body_state step(struct forward_body *b, unsigned char c)
{
	enum forward_body_state bad = FORWARD_BODY_BAD;

	switch ((enum forward_body_state)b->state) {
	case FORWARD_BODY_SIZE:
		return size_byte(b, c);
	case FORWARD_BODY_EXTENSION:
		if (c == '\r')
			return FORWARD_BODY_SIZE_LF;
		if (c == '\n' && b->lenient)
			return sized(b);
		return within(b, c, FORWARD_BODY_EXTENSION);
	case FORWARD_BODY_SIZE_LF:
		return c == '\n' ? sized(b) : bad;
	case FORWARD_BODY_DATA_CR:
		if (c == '\r')
			return FORWARD_BODY_DATA_LF;
		return c == '\n' && b->lenient ? FORWARD_BODY_SIZE : bad;
	case FORWARD_BODY_DATA_LF:
		return c == '\n' ? FORWARD_BODY_SIZE : bad;
	case FORWARD_BODY_LINE:
		if (c == '\r')
			return FORWARD_BODY_LAST_LF;
		if (c == '\n' && b->lenient)
			return FORWARD_BODY_DONE;
		return within(b, c, FORWARD_BODY_FIELD);
	case FORWARD_BODY_FIELD:
		if (c == '\r')
			return FORWARD_BODY_FIELD_LF;
		if (c == '\n' && b->lenient)
			return FORWARD_BODY_LINE;
		return within(b, c, FORWARD_BODY_FIELD);
	case FORWARD_BODY_FIELD_LF:
		return c == '\n' ? FORWARD_BODY_LINE : bad;
	case FORWARD_BODY_LAST_LF:
		return c == '\n' ? FORWARD_BODY_DONE : bad;
	default: /* the others are not fed byte by byte */
		return bad;
	}
}

size_t forward_body_take(struct forward_body *b, struct span bytes)
{
	size_t at = 0;

	while (at < bytes.len && b->state != FORWARD_BODY_DONE && b->state != FORWARD_BODY_BAD) {
		if (b->state == FORWARD_BODY_END)
			return bytes.len;
		if (b->state == FORWARD_BODY_PLAIN || b->state == FORWARD_BODY_DATA) {
			size_t n = (size_t)MIN(b->left, bytes.len - at);

			b->left -= n;
			at += n;
			if (!b->left)
				b->state = b->state == FORWARD_BODY_PLAIN ? FORWARD_BODY_DONE
									  : FORWARD_BODY_DATA_CR;
			continue;
		}
		b->state = (uint8_t)step(b, (unsigned char)bytes.ptr[at++]);
	}
	return at;
}
