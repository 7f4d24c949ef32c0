// SPDX-License-Identifier: GPL-2.0-or-later
/* Where content ends, however it is cut, and what a request's chunks may not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_body.h"

enum end { DONE, BAD, MORE };

static const struct {
	const char *text;
	enum forward_framing framing;
	uint64_t length;
	enum end strict, lenient;
	size_t strict_used, lenient_used; /* where DONE */
} cases[] = {
	{ "GET", FORWARD_NONE, 0, DONE, DONE, 0, 0 },
	{ "helloGET", FORWARD_LENGTH, 5, DONE, DONE, 5, 5 },
	{ "hell", FORWARD_LENGTH, 5, MORE, MORE, 0, 0 },
	{ "anything", FORWARD_UNTIL_END, 0, MORE, MORE, 0, 0 },
	{ "5\r\nhello\r\n0\r\n\r\nGET", FORWARD_CHUNKED, 0, DONE, DONE, 15, 15 },
	{ "A\r\n0123456789\r\n00\r\n\r\n", FORWARD_CHUNKED, 0, DONE, DONE, 21, 21 },
	{ "1;a=\"b\";c\r\nx\r\n0;last\r\n\r\n", FORWARD_CHUNKED, 0, DONE, DONE, 24, 24 },
	{ "0\r\nX: y\r\nZ: \r\n\r\nGET", FORWARD_CHUNKED, 0, DONE, DONE, 16, 16 },
	{ "5\r\nhello\r\n0\r\n", FORWARD_CHUNKED, 0, MORE, MORE, 0, 0 },
	/* What only an answer may do. */
	{ "1\nx\n0\n\n", FORWARD_CHUNKED, 0, BAD, DONE, 0, 7 },
	{ "1 \r\nx\r\n0  \r\n\r\n", FORWARD_CHUNKED, 0, BAD, DONE, 0, 14 },
	{ "0\r\nX: y\n\r\n", FORWARD_CHUNKED, 0, BAD, DONE, 0, 10 },
	{ "1;a\nx\r\n0\r\n\r\n", FORWARD_CHUNKED, 0, BAD, DONE, 0, 12 },
	/* What nobody may. */
	{ "\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "g\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "0x1\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "-1\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ " 1\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ ";a\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "1\rx\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "1\r\nxy\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "1\r\nx\ry", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "1;\x01\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "0\r\n\rx", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "0\r\nX\x7f\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
	{ "fffffffffffffffff\r\n", FORWARD_CHUNKED, 0, BAD, BAD, 0, 0 },
};

static void run(size_t i, bool lenient, size_t piece)
{
	enum end want = lenient ? cases[i].lenient : cases[i].strict;
	size_t used = lenient ? cases[i].lenient_used : cases[i].strict_used;
	struct span text = span_str(cases[i].text);
	struct forward_body b;
	size_t at = 0;

	forward_body_begin(&b, cases[i].framing, cases[i].length, lenient);
	while (at < text.len && b.state != FORWARD_BODY_DONE && b.state != FORWARD_BODY_BAD) {
		size_t n = MIN(piece, text.len - at);
		size_t took = forward_body_take(&b, SPAN(text.ptr + at, n));

		at += took;
		if (took < n)
			break;
	}
	if ((b.state == FORWARD_BODY_DONE) != (want == DONE) ||
	    (b.state == FORWARD_BODY_BAD) != (want == BAD))
		fail_msg("'%s' in pieces of %zu, lenient %d: state %u", text.ptr, piece, lenient,
			 b.state);
	if (want == DONE)
		assert_int_equal(at, used);
	if (want == MORE)
		assert_int_equal(at, text.len);
}

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t piece = 1; piece < 30; piece++) {
			run(i, false, piece);
			run(i, true, piece);
		}
	}
}

/* Trailers, and what follows the sizes of chunks, have an end. */
static void test_bounds(void **state)
{
	static const char *const begins[] = { "1;", "0\r\n" };
	char many[1000];

	(void)state;
	memset(many, 'a', sizeof(many));
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		struct forward_body b;
		size_t n = 0;

		forward_body_begin(&b, FORWARD_CHUNKED, 0, true);
		forward_body_take(&b, span_str(begins[i]));
		for (; n < FORWARD_HEAD_MAX && b.state != FORWARD_BODY_BAD; n += sizeof(many))
			forward_body_take(&b, SPAN(many, sizeof(many)));
		assert_int_equal(b.state, FORWARD_BODY_BAD);
		assert_true(n >= FORWARD_HEAD_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
