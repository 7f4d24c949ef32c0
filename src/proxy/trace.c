// SPDX-License-Identifier: GPL-2.0-or-later
/* The `traceparent` of a request: see trace.h. Section numbers are those of Trace Context. */
#include "trace.h"

#define SAMPLED	 0x01u
#define LEN	 55u /* 2-32-16-2 digits and three dashes: sect. 3.2.2 */
#define TRACE_AT 3u
#define SPAN_AT	 36u
#define FLAGS_AT 53u

/* Lower case alone (sect. 3.2.2.1). -1: no digit. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @count bytes out of twice as many digits. False: no digits, or all zero where @some is asked. */
static bool take(const char *text, uint8_t *out, size_t count, bool some)
{
	unsigned seen = 0;

	for (size_t i = 0; i < count; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
		seen |= out[i];
	}
	return seen || !some;
}

bool trace_parse(struct span value, struct trace *out)
{
	const char *p = value.ptr;
	struct trace t;
	uint8_t version, flags;

	*out = (struct trace){ { 0 }, { 0 } };
	if (value.len < LEN || value.len > TRACE_VALUE_MAX || p[TRACE_AT - 1] != '-' ||
	    p[SPAN_AT - 1] != '-' || p[FLAGS_AT - 1] != '-')
		return false;
	if (!take(p, &version, 1, false) || !take(p + TRACE_AT, t.trace_id, 16, true) ||
	    !take(p + SPAN_AT, t.span_id, 8, true) || !take(p + FLAGS_AT, &flags, 1, false))
		return false;
	/* Later versions may only add to the end, behind a dash (sect. 4.3); ff is forbidden. */
	if (version == 0xff || (version == 0 && value.len != LEN) ||
	    (value.len > LEN && p[LEN] != '-') || !(flags & SAMPLED))
		return false;
	*out = t;
	return true;
}
