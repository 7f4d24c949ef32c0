// SPDX-License-Identifier: GPL-2.0-or-later
/* Heads as a forward proxy reads them: whom they are for, what is refused, what is sent on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_head.h"

#define H "Host: a\r\n"

static const struct {
	const char *text, *host;
	uint16_t port;
	const char *written; /* NULL: as it was */
} requests[] = {
	{ "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example", 80, NULL },
	{ "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", "a", 8080, NULL },
	{ "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "a", 80, NULL },
	{ "GET / HTTP/1.1\r\nhost:a\r\n\r\n", "a", 80, NULL },
	{ "GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n\r\n", "2001:db8::1", 81, NULL },
	{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "a", 80, NULL },
	{ "brew /\xc3\xa9?q HTTP/1.1\r\nHost: a_b.c.\r\n\r\n", "a_b.c.", 80, NULL },
	{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "a", 80, NULL },
	{ "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "a", 80, "GET / HTTP/1.1\r\n" H "\r\n" },
	/* Absolute targets. */
	{ "GET http://b/x?y HTTP/1.1\r\nHost: b\r\n\r\n", "b", 80,
	  "GET /x?y HTTP/1.1\r\nHost: b\r\n\r\n" },
	{ "GET http://b:81 HTTP/1.1\r\nHost: b:81\r\n\r\n", "b", 81,
	  "GET / HTTP/1.1\r\nHost: b:81\r\n\r\n" },
	{ "GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n", "b", 80,
	  "GET /?q HTTP/1.1\r\nHost: b\r\n\r\n" },
	{ "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", "b", 80,
	  "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n" },
	{ "GET HTTP://b/ HTTP/1.1\r\nX: 1\r\nHost: other\r\nY:2\r\n\r\n", "b", 80,
	  "GET / HTTP/1.1\r\nX: 1\r\nHost: b\r\nY:2\r\n\r\n" },
	{ "GET http://B/ HTTP/1.1\r\nhoST:b\r\n\r\n", "B", 80, "GET / HTTP/1.1\r\nhoST:b\r\n\r\n" },
	{ "GET http://b:81/ HTTP/1.0\r\nX: 1\r\n\r\n", "b", 81,
	  "GET / HTTP/1.0\r\nHost: b:81\r\nX: 1\r\n\r\n" },
	{ "GET http://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n", "::1", 80,
	  "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n" },
	{ "\r\nGET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n", "b", 80,
	  "GET / HTTP/1.1\r\nHost: b\r\n\r\n" },
	/* Fields for proxies. */
	{ "GET / HTTP/1.1\r\nProxy-Connection: keep-alive\r\n" H "proxy-authorization:x\r\n"
	  "Proxying: no\r\nConnection: close, TE\r\n\r\n",
	  "a", 80, "GET / HTTP/1.1\r\n" H "Proxying: no\r\nConnection: close, TE\r\n\r\n" },
	/* Tunnels. */
	{ "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "a", 443, NULL },
	{ "CONNECT [::1]:443 HTTP/1.1\r\nHost: b\r\n\r\n", "::1", 443, NULL },
	{ "CONNECT a:443 HTTP/1.0\r\n\r\n", "a", 443, NULL },
};

static void test_whom_requests_are_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct span text = span_str(requests[i].text);
		const char *want = requests[i].written ? requests[i].written : requests[i].text;
		struct forward_request r;
		const char *why;
		char *out;
		size_t len;

		for (size_t n = 0; n < text.len; n++)
			assert_int_equal(forward_request_read(SPAN(text.ptr, n), &r, &why),
					 FORWARD_MORE);
		assert_int_equal(forward_request_read(text, &r, &why), FORWARD_READ);
		assert_int_equal(r.length, text.len);
		assert_true(span_eq(r.host, span_str(requests[i].host)));
		assert_int_equal(r.port, requests[i].port);
		assert_int_equal(r.framing, FORWARD_NONE);
		out = malloc(FORWARD_WRITE_MAX(&r));
		len = forward_request_write(&r, text, out);
		assert_true(len <= FORWARD_WRITE_MAX(&r));
		if (!span_eq(SPAN(out, len), span_str(want)))
			fail_msg("became '%.*s'", (int)len, out);
		if (!r.changes)
			assert_true(span_eq(SPAN(text.ptr + r.skipped, text.len - r.skipped),
					    span_str(want)));
		assert_false(forward_head_is_foreign(text));
		free(out);
	}
}

static const char *const refused[] = {
	/* First lines. */
	"GET  / HTTP/1.1\r\n" H "\r\n",
	"GET / x HTTP/1.1\r\n" H "\r\n",
	"GET\t/ HTTP/1.1\r\n" H "\r\n",
	"GET / HTTP/1.1 \r\n" H "\r\n",
	" GET / HTTP/1.1\r\n" H "\r\n",
	"GET / HTTP/1.2\r\n" H "\r\n",
	"GET / HTTP/2.0\r\n" H "\r\n",
	"GET /\r\n\r\n",
	"GE(T / HTTP/1.1\r\n" H "\r\n",
	"GET /\x01 HTTP/1.1\r\n" H "\r\n",
	"GET * HTTP/1.1\r\n" H "\r\n",
	"GET a HTTP/1.1\r\n" H "\r\n",
	"\x16\x03\x01\r\n\r\n",
	/* Line ends. */
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost: a\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
	"\nGET / HTTP/1.1\r\n" H "\r\n",
	/* Targets. */
	"GET https://a/ HTTP/1.1\r\n" H "\r\n",
	"GET ftp://a/ HTTP/1.1\r\n" H "\r\n",
	"GET http:///x HTTP/1.1\r\n" H "\r\n",
	"GET http://u@a/ HTTP/1.1\r\n" H "\r\n",
	"GET http://a:0/ HTTP/1.1\r\n" H "\r\n",
	"GET http://a:65536/ HTTP/1.1\r\n" H "\r\n",
	"GET http://a:+80/ HTTP/1.1\r\n" H "\r\n",
	"GET http://a#b HTTP/1.1\r\n" H "\r\n",
	"GET http://a/#b HTTP/1.1\r\n" H "\r\n",
	"GET http://a/b?c#d HTTP/1.1\r\n" H "\r\n",
	"GET /a#b HTTP/1.1\r\n" H "\r\n",
	"GET http://a%2eb/ HTTP/1.1\r\n" H "\r\n",
	"GET http://[fe80::1%25eth0]/ HTTP/1.1\r\n" H "\r\n",
	"GET http://[1.2.3.4]/ HTTP/1.1\r\n" H "\r\n",
	"GET http://[::1/ HTTP/1.1\r\n" H "\r\n",
	"CONNECT a HTTP/1.1\r\n" H "\r\n",
	"CONNECT a: HTTP/1.1\r\n" H "\r\n",
	"CONNECT http://a:443/ HTTP/1.1\r\n" H "\r\n",
	"CONNECT a:443 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n",
	"CONNECT a:443 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
	/* Hosts. */
	"GET / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET http://a/ HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\n" H H "\r\n",
	"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: .a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
	"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
	/* Fields. */
	"GET / HTTP/1.1\r\n" H "X : y\r\n\r\n",
	"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	"GET / HTTP/1.1\r\n" H "X: y\r\n z\r\n\r\n",
	"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
	"GET / HTTP/1.1\r\n" H "X\r\n\r\n",
	"GET / HTTP/1.1\r\n" H ": y\r\n\r\n",
	"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n",
	/* Lengths. */
	"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST / HTTP/1.1\r\n" H "Transfer-Encoding:\x0b"
	"chunked\r\n\r\n",
	"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
};

static void test_what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct forward_request r;
		const char *why = NULL;

		if (forward_request_read(span_str(refused[i]), &r, &why) != FORWARD_BAD)
			fail_msg("taken: %s", refused[i]);
		assert_non_null(why);
	}
}

static void test_upgrades(void **state)
{
	static const struct {
		const char *text;
		bool upgrade;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" H "Upgrade: x\r\nConnection: upgrade\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\n" H "connection: TE ,UPGRADE\r\nuPGRADE: x/1, y\r\n\r\n",
		  true },
		{ "GET / HTTP/1.1\r\n" H
		  "Connection: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		  true },
		{ "GET / HTTP/1.1\r\n" H "\r\n", false },
		{ "GET / HTTP/1.1\r\n" H "Upgrade: x\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\n" H "Connection: upgrades\r\nUpgrade: x\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrades: x\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: x\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct forward_request r;
		const char *why;

		assert_int_equal(forward_request_read(span_str(cases[i].text), &r, &why),
				 FORWARD_READ);
		assert_int_equal(r.upgrade, cases[i].upgrade);
	}
}

static void test_how_requests_go_on(void **state)
{
	static const struct {
		const char *text;
		enum forward_framing framing;
		uint64_t body;
		bool last;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", FORWARD_NONE, 0, false },
		{ "GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", FORWARD_NONE, 0, false },
		{ "PUT / HTTP/1.1\r\n" H "Content-Length: 12\r\n\r\n", FORWARD_LENGTH, 12, false },
		{ "PUT / HTTP/1.1\r\n" H "transfer-encoding: Chunked\r\n\r\n", FORWARD_CHUNKED, 0,
		  false },
		{ "GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", FORWARD_NONE, 0, true },
		{ "GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", FORWARD_NONE, 0, false },
		{ "GET / HTTP/1.0\r\n" H "\r\n", FORWARD_NONE, 0, true },
		{ "GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", FORWARD_NONE, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct forward_request r;
		const char *why;

		assert_int_equal(forward_request_read(span_str(cases[i].text), &r, &why),
				 FORWARD_READ);
		assert_int_equal(r.framing, cases[i].framing);
		assert_int_equal(r.body, cases[i].body);
		assert_int_equal(r.last, cases[i].last);
	}
}

static void test_foreign_beginnings(void **state)
{
	static const char *const foreign[] = {
		"\x16\x03\x01",	 "EHLO me\r\n", "*1\r\n$4\r\nPING\r\n",
		"SSH-2.0-x\r\n", "PING\r\n",	"PRI * HTTP/2.0\r\n"
	};
	static const char *const not_yet[] = { "",     "G",	  "GET", "GET /", "GET / HTTP/1.1",
					       "\r\n", "\r\nPUT " };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		assert_true(forward_head_is_foreign(span_str(foreign[i])));
	for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++)
		assert_false(forward_head_is_foreign(span_str(not_yet[i])));
}

static void test_responses(void **state)
{
	static const struct {
		const char *text;
		enum forward_reading reading;
		bool to_head;
		uint16_t status;
		enum forward_framing framing;
		uint64_t body;
		bool last;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FORWARD_READ, false, 200,
		  FORWARD_LENGTH, 5, false },
		{ "HTTP/1.1 200\nContent-Length: 5\n\n", FORWARD_READ, false, 200, FORWARD_LENGTH,
		  5, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FORWARD_READ, true, 200,
		  FORWARD_NONE, 5, false },
		{ "HTTP/1.1 204 x\r\n\r\n", FORWARD_READ, false, 204, FORWARD_NONE, 0, false },
		{ "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", FORWARD_READ, false, 304,
		  FORWARD_NONE, 5, false },
		{ "HTTP/1.1 100 Continue\r\n\r\n", FORWARD_READ, false, 100, FORWARD_NONE, 0,
		  false },
		{ "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n", FORWARD_READ, false, 101, FORWARD_NONE, 0,
		  false },
		{ "HTTP/1.1 200 OK\r\n\r\n", FORWARD_READ, false, 200, FORWARD_UNTIL_END, 0, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", FORWARD_READ,
		  false, 200, FORWARD_CHUNKED, 0, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", FORWARD_READ, false, 200,
		  FORWARD_UNTIL_END, 0, true },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", FORWARD_READ,
		  false, 200, FORWARD_NONE, 0, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", FORWARD_READ, false, 200,
		  FORWARD_LENGTH, 1, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n",
		  FORWARD_READ, false, 200, FORWARD_LENGTH, 1, false },
		{ "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 1\r\n\r\n", FORWARD_READ,
		  false, 200, FORWARD_LENGTH, 1, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  FORWARD_BAD, false, 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", FORWARD_BAD,
		  false, 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n", FORWARD_BAD, false, 0, 0, 0,
		  false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
		  FORWARD_BAD, false, 0, 0, 0, false },
		{ "ICY 200 OK\r\n\r\n", FORWARD_BAD, false, 0, 0, 0, false },
		{ "hello\n", FORWARD_BAD, false, 0, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span text = span_str(cases[i].text);
		struct forward_response r;

		assert_int_equal(forward_response_read(text, cases[i].to_head, &r),
				 cases[i].reading);
		if (cases[i].reading == FORWARD_BAD)
			continue;
		assert_int_equal(r.length, text.len);
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.framing, cases[i].framing);
		assert_int_equal(r.body, cases[i].body);
		assert_int_equal(r.last, cases[i].last);
		for (size_t n = 0; n < text.len; n++)
			assert_int_equal(
				forward_response_read(SPAN(text.ptr, n), cases[i].to_head, &r),
				FORWARD_MORE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whom_requests_are_for),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_how_requests_go_on),
		cmocka_unit_test(test_upgrades),
		cmocka_unit_test(test_foreign_beginnings),
		cmocka_unit_test(test_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
