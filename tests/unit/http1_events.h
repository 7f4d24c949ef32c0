/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sink that writes down what an observer tells, one line per event, to be compared as text. */
#ifndef TESTS_HTTP1_EVENTS_H
#define TESTS_HTTP1_EVENTS_H

#include "observer.h"

#include <stdarg.h>

/* A sampled traceparent, and one that is not. */
#define TRACE_SAMPLED "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define TRACE_NOT     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

struct events {
	char *text; /* NUL-terminated, owned; NULL: nothing yet */
	size_t len, capacity;
	struct http_exchange last; /* its host is not valid */
	struct rpc_call last_call; /* nor are its host and method */
	int active, calling;
};

static inline void events_add(struct events *v, const char *fmt, ...) _printf_(2, 3);

static inline void events_add(struct events *v, const char *fmt, ...)
{
	char line[512];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	len = (size_t)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	len = MIN(len, sizeof(line) - 1);
	if (v->len + len + 1 > v->capacity) {
		v->capacity = 2 * (v->capacity + len + 1);
		v->text = realloc(v->text, v->capacity);
		if (!v->text)
			abort();
	}
	memcpy(v->text + v->len, line, len + 1);
	v->len += len;
}

static inline void events_fini(struct events *v)
{
	free(v->text);
	*v = (struct events){ 0 };
}

static inline void events_protocol(void *ctx, enum protocol protocol)
{
	events_add(ctx, "is %s\n", protocol_names[protocol]);
}

static inline void events_active(void *ctx, enum http_method method, int change)
{
	struct events *v = ctx;

	v->active += change;
	events_add(v, "%c%s\n", change > 0 ? '+' : '-', http_method_names[method]);
}

static inline void events_calling(void *ctx, int change)
{
	struct events *v = ctx;

	v->calling += change;
}

/* A route that tells the target by its length. */
static inline uint16_t events_route(void *ctx, struct span target)
{
	(void)ctx;
	return (uint16_t)target.len;
}

/* "GET 1.1 host 200 req=0 resp=5 error" */
static inline void events_exchange(void *ctx, const struct http_exchange *x)
{
	struct events *v = ctx;

	events_add(v, "%s %s '%.*s' %u req=%llu resp=%llu %s\n", http_method_names[x->method],
		   http_version_names[x->version], SPAN_FMT(x->host), x->status,
		   (unsigned long long)x->request_body, (unsigned long long)x->response_body,
		   x->error ? error_type_names[x->error] : "ok");
	v->last = *x;
}

/* "call Service/Method OK host msgs=1/2 bytes=10/20 error" */
static inline void events_call(void *ctx, const struct rpc_call *c)
{
	struct events *v = ctx;

	events_add(v, "call %.*s %s '%.*s' msgs=%llu/%llu bytes=%llu/%llu %s\n",
		   SPAN_FMT(c->method), rpc_status_names[c->status], SPAN_FMT(c->host),
		   (unsigned long long)c->messages[WAY_TO_SERVER],
		   (unsigned long long)c->messages[WAY_TO_CLIENT],
		   (unsigned long long)c->bytes[WAY_TO_SERVER],
		   (unsigned long long)c->bytes[WAY_TO_CLIENT],
		   c->error ? error_type_names[c->error] : "ok");
	v->last_call = *c;
}

static inline void events_tls(void *ctx, const struct tls_client *c)
{
	events_add(ctx, "tls '%.*s' '%.*s' %s\n", SPAN_FMT(c->sni), SPAN_FMT(c->alpn),
		   tls_version_names[c->version]);
}

static inline void events_lost(void *ctx, enum lost_reason reason)
{
	events_add(ctx, "lost %s\n", lost_reason_names[reason]);
}

static const struct observer_sink events_sink = {
	.protocol = events_protocol,
	.active = events_active,
	.calling = events_calling,
	.route = events_route,
	.exchange = events_exchange,
	.call = events_call,
	.tls = events_tls,
	.lost = events_lost,
};

/* Shows @bytes in pieces of at most @piece, leaving out what need not be shown if @skip. */
static inline void events_feed(struct observer *o, enum way way, struct span bytes, size_t piece,
			       bool skip, uint64_t now)
{
	while (bytes.len) {
		uint64_t may = skip ? observer_skip(o, way) : 0;
		size_t n = MIN(bytes.len, piece);

		if (may) {
			n = (size_t)MIN((uint64_t)n, may);
			observer_skipped(o, way, n, now);
		} else {
			/* A copy of its own: what is read beyond it is seen by a sanitizer. */
			char *copy = malloc(n);

			if (!copy)
				abort();
			memcpy(copy, bytes.ptr, n);
			observer_data(o, way, SPAN(copy, n), now);
			free(copy);
		}
		bytes = SPAN(bytes.ptr + n, bytes.len - n);
	}
}

#endif
