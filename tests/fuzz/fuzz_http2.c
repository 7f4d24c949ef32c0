// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of HTTP/2 both ways, shown to an observer in one way and another: no crash, the same
 * events however they are cut, and no more memory than is promised.
 *
 * The input is a script of frames behind the preface and both SETTINGS: a byte with the way and
 * the frame's type, one with its flags, one with its stream, one with its length, its payload.
 */
#include "../unit/http1_events.h"

#include "http2.h"

#define WAY_BIT	  0x80
#define TYPE_MASK 0x0f
#define IDLE_MAX  12288u /* bytes of a flow without streams */

enum cutting { WHOLE, BYTES, SEVENS, SKIPPING, CUTTING_COUNT };

static const struct {
	size_t piece;
	bool skip;
} cuttings[] = {
	[WHOLE] = { SIZE_MAX, false },
	[BYTES] = { 1, false },
	[SEVENS] = { 7, true },
	[SKIPPING] = { SIZE_MAX, true },
};

static void begin(struct observer *o, enum cutting how)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	static const char settings[] = "\0\0\6\4\0\0\0\0\0\0\1\0\0\x20\0"; /* a table of 8 KiB */

	events_feed(o, WAY_TO_SERVER, SPAN(preface, sizeof(preface) - 1), cuttings[how].piece, true,
		    1);
	for (int way = 0; way < WAY_COUNT; way++)
		events_feed(o, (enum way)way, SPAN(settings, sizeof(settings) - 1),
			    cuttings[how].piece, true, 1);
}

static void play(struct span script, enum cutting how, struct events *v)
{
	struct observer o;

	observer_init(&o, &events_sink, v, false);
	begin(&o, how);
	while (script.len >= 4) {
		const uint8_t *p = (const uint8_t *)script.ptr;
		enum way way = p[0] & WAY_BIT ? WAY_TO_CLIENT : WAY_TO_SERVER;
		size_t len = MIN((size_t)p[3], script.len - 4);
		char frame[9 + 255] = { [2] = (char)len,
					[3] = (char)(p[0] & TYPE_MASK),
					[4] = (char)p[1],
					[8] = (char)p[2] };

		memcpy(frame + 9, script.ptr + 4, len);
		events_feed(&o, way, SPAN(frame, 9 + len), cuttings[how].piece, cuttings[how].skip,
			    1);
		script = SPAN(script.ptr + 4 + len, script.len - 4 - len);
		/* What a stream takes comes on top. */
		if (o.protocol == PROTOCOL_HTTP2 && http2_memory(o.http2) > IDLE_MAX + 256 * 400)
			abort();
	}
	observer_fini(&o, 1);
	if (v->active != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct events v[CUTTING_COUNT] = { 0 };

	for (int i = 0; i < CUTTING_COUNT; i++) {
		play(SPAN((const char *)data, size), (enum cutting)i, &v[i]);
		if (v[i].len != v[0].len || (v[0].len && memcmp(v[i].text, v[0].text, v[0].len))) {
			fprintf(stderr, "whole:\n%s\ncut, way %d:\n%s\n", v[0].text, i, v[i].text);
			abort();
		}
	}
	for (int i = 0; i < CUTTING_COUNT; i++)
		events_fini(&v[i]);
	return 0;
}
