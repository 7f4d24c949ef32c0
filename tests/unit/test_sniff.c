// SPDX-License-Identifier: GPL-2.0-or-later
/* Sniffing: each beginning gives its verdict, whole and byte by byte, and what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sniff.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const struct {
	enum way way;
	struct span bytes;
	enum sniff_verdict verdict;
} beginnings[] = {
	{ WAY_TO_SERVER, { "G", 1 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { "get / HTTP/1.1\r\n", 16 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { "\r\n", 2 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { "\n", 1 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { "*1\r\n", 4 }, SNIFF_HTTP1 }, /* a token: http1.c will say no */
	{ WAY_TO_SERVER, { "P", 1 }, SNIFF_OPEN },
	{ WAY_TO_SERVER, { "PO", 2 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { PREFACE, 23 }, SNIFF_OPEN },
	{ WAY_TO_SERVER, { PREFACE, 24 }, SNIFF_HTTP2 },
	{ WAY_TO_SERVER, { PREFACE "more", 28 }, SNIFF_HTTP2 },
	{ WAY_TO_SERVER, { "PRI * HTTP/2.0\r\n\r\nSMx", 21 }, SNIFF_HTTP1 },
	{ WAY_TO_SERVER, { "\x16", 1 }, SNIFF_OPEN },
	{ WAY_TO_SERVER, { "\x16\x03\x01\x02\x00", 5 }, SNIFF_OPEN },
	{ WAY_TO_SERVER, { "\x16\x03\x01\x02\x00\x01", 6 }, SNIFF_TLS },
	{ WAY_TO_SERVER, { "\x16\x03\x04\x00\x05\x01", 6 }, SNIFF_TLS },
	{ WAY_TO_SERVER, { "\x16\x03\x05\x00\x05\x01", 6 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { "\x16\x02", 2 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { "\x16\x03\x01\x02\x00\x02", 6 }, SNIFF_TCP }, /* a ServerHello */
	{ WAY_TO_SERVER, { "\x17\x03\x01\x02\x00\x01", 6 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { "\0GET", 4 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { " GET", 4 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { "\xc3\xa9", 2 }, SNIFF_TCP },
	{ WAY_TO_SERVER, { "(x", 2 }, SNIFF_TCP },
	{ WAY_TO_CLIENT, { "220 mail\r\n", 10 }, SNIFF_TCP },
	{ WAY_TO_CLIENT, { "HTTP/1.1 200 OK\r\n", 17 }, SNIFF_TCP },
	{ WAY_TO_CLIENT, { "\0\0\x12\x04\0\0\0\0\0", 9 }, SNIFF_OPEN },
	{ WAY_TO_CLIENT, { "\0\0\x14\x04\0\0\0\0\0", 9 }, SNIFF_TCP }, /* not of 6 bytes each */
	{ WAY_TO_CLIENT, { "\0\x40\0\x04\0\0\0\0\0", 9 }, SNIFF_TCP }, /* too long */
	{ WAY_TO_CLIENT, { "\0\0\0\x04\x01\0\0\0\0", 9 }, SNIFF_TCP }, /* an acknowledgement */
	{ WAY_TO_CLIENT, { "\0\0\0\x04\0\0\0\0\x01", 9 }, SNIFF_TCP }, /* of a stream */
	{ WAY_TO_CLIENT, { "\0\0\0\x06\0\0\0\0\0", 9 }, SNIFF_TCP },
	{ WAY_TO_CLIENT,
	  { "\x4a\0\0\0\x0a"
	    "5.5.5",
	    10 },
	  SNIFF_TCP }, /* MySQL's greeting */
};

static void test_beginnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		struct span bytes = beginnings[i].bytes;
		struct sniff whole = { 0 }, bit = { 0 };

		if (sniff_feed(&whole, beginnings[i].way, bytes, 7) != beginnings[i].verdict)
			fail_msg("row %zu whole: verdict %d", i, whole.verdict);
		for (size_t at = 0; at < bytes.len; at++)
			sniff_feed(&bit, beginnings[i].way, SPAN(bytes.ptr + at, 1), 7 + at);
		if (bit.verdict != beginnings[i].verdict)
			fail_msg("row %zu byte by byte: verdict %d", i, bit.verdict);
		if (beginnings[i].verdict != SNIFF_OPEN)
			continue;
		assert_int_equal(whole.kept_len[beginnings[i].way], MIN(bytes.len, SNIFF_MAX));
		assert_memory_equal(whole.kept[beginnings[i].way], bytes.ptr,
				    MIN(bytes.len, SNIFF_MAX));
		assert_int_equal(bit.kept_len[beginnings[i].way], MIN(bytes.len, SNIFF_MAX));
		assert_int_equal(bit.first, beginnings[i].way == WAY_TO_SERVER ? 7 : 0);
	}
}

static void test_server_first(void **state)
{
	static const char settings[] = "\0\0\x12\x04\0\0\0\0\0"
				       "\0\x03\0\0\0\x64"
				       "\0\x04\0\0\xff\xff"
				       "\0\x05\0\0\x40\0"
				       "\0\0\0\x04\x01\0\0\0\0";
	struct sniff s = { 0 };

	(void)state;
	assert_int_equal(sniff_feed(&s, WAY_TO_CLIENT, SPAN(settings, 27), 1), SNIFF_OPEN);
	assert_int_equal(s.kept_len[WAY_TO_CLIENT], SNIFF_MAX);
	assert_int_equal(sniff_feed(&s, WAY_TO_SERVER, SPAN(PREFACE, 10), 2), SNIFF_OPEN);
	assert_int_equal(sniff_feed(&s, WAY_TO_CLIENT, SPAN(settings + 27, 9), 3), SNIFF_OPEN);
	assert_int_equal(sniff_feed(&s, WAY_TO_SERVER, SPAN(&PREFACE[10], 14), 4), SNIFF_HTTP2);
	assert_int_equal(s.first, 2);
	/* A verdict is final. */
	assert_int_equal(sniff_feed(&s, WAY_TO_SERVER, SPAN_LIT("GET"), 5), SNIFF_HTTP2);
	s = (struct sniff){ 0 };
	assert_int_equal(sniff_feed(&s, WAY_TO_CLIENT, SPAN(settings, 9), 1), SNIFF_OPEN);
	assert_int_equal(sniff_feed(&s, WAY_TO_SERVER, SPAN_LIT("GET"), 2), SNIFF_TCP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_server_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
