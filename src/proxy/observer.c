// SPDX-License-Identifier: GPL-2.0-or-later
/* Watching a flow's bytes go by: see observer.h. */
#include "observer.h"

static const enum protocol verdict_protocol[] = {
	[SNIFF_OPEN] = PROTOCOL_UNKNOWN, [SNIFF_TCP] = PROTOCOL_TCP,
	[SNIFF_TLS] = PROTOCOL_TLS,	 [SNIFF_HTTP1] = PROTOCOL_UNKNOWN, /* told by http1.c */
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

static void sniffing(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	enum sniff_verdict verdict = sniff_feed(&o->sniff, way, bytes, now);
	enum protocol protocol = verdict_protocol[verdict];

	if (protocol != PROTOCOL_UNKNOWN) {
		o->protocol = (uint8_t)protocol;
		o->sink->protocol(o->ctx, protocol);
	} else if (verdict == SNIFF_HTTP1) {
		const struct sniff *s = &o->sniff;

		if (s->kept_len[WAY_TO_SERVER])
			http1_data(o, WAY_TO_SERVER,
				   SPAN(s->kept[WAY_TO_SERVER], s->kept_len[WAY_TO_SERVER]),
				   s->first);
		if (is_http1(o))
			http1_data(o, way, bytes, now);
	}
}

void observer_data(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	if (!bytes.len || o->off)
		return;
	if (is_http1(o))
		http1_data(o, way, bytes, now);
	else if (o->protocol == PROTOCOL_UNKNOWN)
		sniffing(o, way, bytes, now);
}

void observer_end(struct observer *o, enum way way, enum observer_end how, uint64_t now)
{
	if (how == OBSERVER_RESET)
		observer_fini(o, now);
	else if (!o->off && is_http1(o))
		http1_end(o, way, now);
}

void observer_fini(struct observer *o, uint64_t now)
{
	if (!o->off && is_http1(o))
		http1_fini(o, now);
	o->off = true;
}

uint64_t observer_skip(const struct observer *o, enum way way)
{
	if (o->off)
		return UINT64_MAX;
	if (is_http1(o))
		return http1_skip(o, way);
	return o->protocol == PROTOCOL_UNKNOWN ? 0 : UINT64_MAX;
}

void observer_skipped(struct observer *o, enum way way, uint64_t bytes, uint64_t now)
{
	if (bytes && !o->off && is_http1(o))
		http1_skipped(o, way, bytes, now);
}
