// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any two byte streams, shown to an observer in one way and another: no crash, and the same
 * events however the bytes are cut.
 *
 * The input is a script: a byte that says what and how long, then that many bytes, and again.
 */
#include "../unit/http1_events.h"

#define BIT_CLIENT 0x80 /* of the control byte: to the client */
#define LEN_FIN	   0x7f /* that way ends */
#define LEN_REST   0x7e /* all that is left */

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

static void play(struct span script, enum cutting how, struct events *v)
{
	bool ended[WAY_COUNT] = { false };
	struct observer o;

	observer_init(&o, &events_sink, v, false);
	while (script.len) {
		unsigned char control = (unsigned char)script.ptr[0];
		enum way way = control & BIT_CLIENT ? WAY_TO_CLIENT : WAY_TO_SERVER;
		size_t len = control & ~BIT_CLIENT;

		script = SPAN(script.ptr + 1, script.len - 1);
		if (len == LEN_FIN) {
			observer_end(&o, way, OBSERVER_FIN, 1);
			ended[way] = true;
			continue;
		}
		len = len == LEN_REST ? script.len : MIN(2 * len + 1, script.len);
		if (!ended[way])
			events_feed(&o, way, SPAN(script.ptr, len), cuttings[how].piece,
				    cuttings[how].skip, 1);
		script = SPAN(script.ptr + len, script.len - len);
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
