// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests to the admin server: where a head ends, what it says, and who may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin_request.h"

static void test_head_len(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "", 0 },
		{ "GET / HTTP/1.1\r\n", 0 },
		{ "GET / HTTP/1.1\r\n\r", 0 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "GET / HTTP/1.1\n\n", 16 },
		{ "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22 },
		{ "\r\n\r\n\r\n", 0 },
		{ "GET / HTTP/1.1\r\nA: b\r\n\r\nGET", 24 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(admin_head_len(span_str(cases[i].bytes)), cases[i].len);
}

static void assert_span(struct span got, const char *want)
{
	if (!span_eq(got, span_str(want)))
		fail_msg("'%.*s' is not '%s'", SPAN_FMT(got), want);
}

static void test_parts(void **state)
{
	struct admin_request q;
	struct span rest, value;

	(void)state;
	assert_true(admin_request_parse(SPAN_LIT("\r\nPOST /a/b?c=d?e HTTP/1.1\r\nHost: x\r\n"
						 "ACCEPT:\t a \r\nno field\r\naccept : b\r\n\r\n"),
					&q));
	assert_int_equal(q.method, HTTP_METHOD_POST);
	assert_span(q.path, "/a/b");
	assert_span(q.query, "c=d?e");
	assert_true(q.http11 && !q.close && !q.local);
	rest = q.fields;
	assert_true(admin_field_next(&rest, SPAN_LIT("accept"), &value));
	assert_span(value, "a");
	assert_true(admin_field_next(&rest, SPAN_LIT("Accept"), &value));
	assert_span(value, "b");
	assert_false(admin_field_next(&rest, SPAN_LIT("accept"), &value));
	assert_false(admin_request_parse(SPAN_LIT("nonsense\r\n\r\n"), &q));
	assert_false(admin_request_parse(SPAN_LIT("\r\n\r\n"), &q));
	assert_false(admin_request_parse(SPAN_LIT(""), &q));
}

static void test_close(void **state)
{
	static const struct {
		const char *head;
		bool close;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nConnection: a, CLOSE\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nConnection: a\r\nconnection: close\r\n\r\n", true },
		{ "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", false },
		{ "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", true },
		{ "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", true },
		{ "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", true },
		{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct admin_request q;

		assert_true(admin_request_parse(span_str(cases[i].head), &q));
		if (q.close != cases[i].close)
			fail_msg("'%s'", cases[i].head);
	}
}

/* Who may do what with which header; each row says what is right for an order. */
static void test_access(void **state)
{
	static const struct {
		const char *fields;
		bool may_read, may_order; /* from loopback */
	} cases[] = {
		{ "Host: 127.0.0.1:9901\r\n", true, false },
		{ "Host: 127.0.0.1\r\nX-Sluice: 1\r\n", true, true },
		{ "Host: [::1]:9901\r\nx-sluice: yes\r\n", true, true },
		{ "Host: [fd00::1]\r\nX-SLUICE:\r\n", true, true },
		{ "Host: 10.1.2.3:80\r\nX-Sluice: 1\r\n", true, true },
		{ "Host: LocalHost:9901\r\nX-Sluice: 1\r\n", true, true },
		{ "host:localhost\r\nX-Sluice: 1\r\n", true, true },
		{ "Host: localhost\r\nX-Sluice: 1\r\nOrigin: http://localhost\r\n", true, false },
		{ "Host: localhost\r\nX-Sluice: 1\r\nOrigin: null\r\n", true, false },
		{ "Host: localhost\r\nX-Sluice: 1\r\norigin :\r\n", true, false },
		{ "Host: localhost\r\nX-Sluices: 1\r\n", true, false },
		{ "Host: localhost\r\nX: X-Sluice: 1\r\n", true, false },
		{ "X-Sluice: 1\r\n", false, false },
		{ "Host:\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: evil.example\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: localhost.evil.example\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: 127.0.0.1.evil.example\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: evil@127.0.0.1\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: 2130706433\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: 127.1\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: localhost\r\nHost: evil.example\r\nX-Sluice: 1\r\n", false, false },
		{ "Host: evil.example\r\nHost: localhost\r\nX-Sluice: 1\r\n", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct admin_request q;
		char head[256];

		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s\r\n", cases[i].fields);
		assert_true(admin_request_parse(span_str(head), &q));
		assert_null(admin_request_refused(&q, ADMIN_ANYONE));
		assert_non_null(admin_request_refused(&q, ADMIN_LOCAL));
		assert_non_null(admin_request_refused(&q, ADMIN_ORDER));
		q.local = true;
		assert_null(admin_request_refused(&q, ADMIN_ANYONE));
		if (!admin_request_refused(&q, ADMIN_LOCAL) != cases[i].may_read ||
		    !admin_request_refused(&q, ADMIN_ORDER) != cases[i].may_order)
			fail_msg("'%s'", cases[i].fields);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_len),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
