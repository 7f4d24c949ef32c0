/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `traceparent` of a request: https://www.w3.org/TR/trace-context/. */
#ifndef SLUICE_TRACE_H
#define SLUICE_TRACE_H

#include "span.h"

#define TRACE_VALUE_MAX 255u /* a longer value is none */

/* Which trace a request belongs to, as raw bytes. All zero, which the standard forbids: none. */
struct trace {
	uint8_t trace_id[16];
	uint8_t span_id[8];
};

/* Whether @value is valid and says that the trace is sampled: then *@out is it, else none. */
bool trace_parse(struct span value, struct trace *out);

static inline bool trace_is_some(const struct trace *t)
{
	uint64_t half;

	memcpy(&half, t->span_id, sizeof(half));
	return half != 0;
}

#endif
