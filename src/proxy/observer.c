// SPDX-License-Identifier: GPL-2.0-or-later
/* Watching a flow's bytes go by: see observer.h. */
#include "observer.h"

static const enum protocol verdict_protocol[] = {
	[SNIFF_OPEN] = PROTOCOL_UNKNOWN, [SNIFF_TCP] = PROTOCOL_TCP,
	[SNIFF_TLS] = PROTOCOL_TLS,	 [SNIFF_HTTP1] = PROTOCOL_UNKNOWN, /* http1.c confirms it */
	[SNIFF_HTTP2] = PROTOCOL_HTTP2,
};
_Static_assert(ARRAY_SIZE(verdict_protocol) == SNIFF_VERDICT_COUNT, "a protocol for each");

void observer_init(struct observer *o, const struct observer_sink *sink, void *ctx, bool off)
{
	*o = (struct observer){ .sink = sink, .ctx = ctx, .off = off };
	if (off) {
		o->protocol = PROTOCOL_TCP;
		o->sink->protocol(o->ctx, PROTOCOL_TCP);
	}
}

/* Whether o->http1 is in use. */
static bool is_http1(const struct observer *o)
{
	return o->protocol == PROTOCOL_HTTP1 ||
	       (o->protocol == PROTOCOL_UNKNOWN && o->sniff.verdict == SNIFF_HTTP1);
}

/* Whether o->http2 is in use, or would be. */
static bool is_http2(const struct observer *o)
{
	return o->protocol == PROTOCOL_HTTP2 ||
	       (o->protocol == PROTOCOL_UNKNOWN && o->sniff.verdict == SNIFF_OPEN);
}

static void drop_http2(struct observer *o, bool cancelled, uint64_t now)
{
	http2_free(o->http2, cancelled, now);
	o->http2 = NULL;
}

static void feed_http2(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	if (!o->http2)
		o->http2 = http2_new(o->sink, o->ctx);
	if (!o->http2) {
		o->protocol = PROTOCOL_TCP;
		o->sink->lost(o->ctx, LOST_OUT_OF_MEMORY);
		o->sink->protocol(o->ctx, PROTOCOL_TCP);
	} else if (!http2_data(o->http2, way, bytes, now)) {
		o->protocol = PROTOCOL_TCP;
		drop_http2(o, false, now);
	}
}

static void feed_tls(struct observer *o, struct span bytes)
{
	struct tls_hello_said said;
	enum tls_hello_status status = tls_hello_feed(&o->tls, bytes, &said);

	if (status == TLS_HELLO_MORE)
		return;
	o->hello = false;
	if (status == TLS_HELLO_DONE) {
		struct tls_client client = {
			.sni = SPAN(said.name, said.name_len),
			.alpn = SPAN(said.alpn, said.alpn_len),
			.version = said.version,
		};

		o->sink->tls(o->ctx, &client);
	}
}

/* To whoever the verdict says that the flow's bytes belong. */
static void feed(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	if (is_http1(o))
		http1_data(o, way, bytes, now);
	else if (is_http2(o))
		feed_http2(o, way, bytes, now);
	else if (o->hello && way == WAY_TO_SERVER)
		feed_tls(o, bytes);
}

static void sniffing(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	const struct sniff *s = &o->sniff;
	enum sniff_verdict verdict = sniff_feed(&o->sniff, way, bytes, now);
	enum protocol protocol = verdict_protocol[verdict];

	if (verdict == SNIFF_OPEN) {
		/* A server that may speak HTTP/2: its frames cannot be read later. */
		if (way == WAY_TO_CLIENT)
			feed(o, way, bytes, now);
		return;
	}
	if (verdict != SNIFF_HTTP2)
		drop_http2(o, false, now);
	o->protocol = (uint8_t)protocol;
	o->hello = verdict == SNIFF_TLS;
	/* HTTP tells by itself, once there is a request. */
	if (verdict == SNIFF_TCP || verdict == SNIFF_TLS)
		o->sink->protocol(o->ctx, protocol);
	if (s->kept_len[WAY_TO_SERVER])
		feed(o, WAY_TO_SERVER, SPAN(s->kept[WAY_TO_SERVER], s->kept_len[WAY_TO_SERVER]),
		     s->first);
	feed(o, way, bytes, now);
}

void observer_data(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	if (!bytes.len || o->off)
		return;
	if (o->protocol == PROTOCOL_UNKNOWN && o->sniff.verdict == SNIFF_OPEN)
		sniffing(o, way, bytes, now);
	else
		feed(o, way, bytes, now);
}

static void fini(struct observer *o, bool cancelled, uint64_t now)
{
	if (!o->off && is_http1(o))
		http1_fini(o, cancelled, now);
	else if (!o->off && is_http2(o))
		drop_http2(o, cancelled, now);
	else if (!o->off && o->hello)
		tls_hello_fini(&o->tls);
	o->off = true;
}

void observer_end(struct observer *o, enum way way, enum observer_end how, uint64_t now)
{
	if (how == OBSERVER_RESET)
		fini(o, way == WAY_TO_SERVER, now);
	else if (!o->off && is_http1(o))
		http1_end(o, way, now);
	else if (!o->off && is_http2(o) && o->http2)
		http2_end(o->http2, way, now);
}

void observer_fini(struct observer *o, uint64_t now)
{
	fini(o, false, now);
}

uint64_t observer_skip(const struct observer *o, enum way way)
{
	if (o->off)
		return UINT64_MAX;
	if (is_http1(o))
		return http1_skip(o, way);
	if (o->protocol == PROTOCOL_HTTP2)
		return http2_skip(o->http2, way);
	if (o->hello && way == WAY_TO_SERVER)
		return 0;
	return o->protocol == PROTOCOL_UNKNOWN ? 0 : UINT64_MAX;
}

void observer_skipped(struct observer *o, enum way way, uint64_t bytes, uint64_t now)
{
	if (!bytes || o->off)
		return;
	if (is_http1(o))
		http1_skipped(o, way, bytes, now);
	else if (o->protocol == PROTOCOL_HTTP2)
		http2_skipped(o->http2, way, bytes, now);
}
