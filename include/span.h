/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes that somebody else owns: what every parser takes. */
#ifndef SLUICE_SPAN_H
#define SLUICE_SPAN_H

#include "base.h"

#include <string.h>
#include <strings.h>

struct span {
	const char *ptr;
	size_t len;
};

#define SPAN(p, n)    ((struct span){ .ptr = (p), .len = (n) })
#define SPAN_LIT(lit) ((struct span){ .ptr = (lit), .len = sizeof(lit) - 1 })
/* For printf's "%.*s". */
#define SPAN_FMT(s) (int)(s).len, (s).ptr

static inline struct span span_str(const char *s)
{
	return SPAN(s, strlen(s));
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII letters compare alike in either case. */
static inline bool span_eq_nocase(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

/* Without spaces and tabs at both ends. */
static inline struct span span_trim(struct span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/*
 * Takes the next field up to @sep off the front of @rest. Returns false when nothing is left; an
 * empty field between or after separators is returned as such, so that a caller can refuse it.
 * Start with *done = false.
 */
static inline bool span_next(struct span *rest, char sep, struct span *field, bool *done)
{
	const char *at;

	if (*done)
		return false;
	at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
	if (!at) {
		*field = *rest;
		*done = true;
		return true;
	}
	*field = SPAN(rest->ptr, (size_t)(at - rest->ptr));
	rest->len -= field->len + 1;
	rest->ptr = at + 1;
	return true;
}

#endif
