// SPDX-License-Identifier: GPL-2.0-or-later
/* Heads as a forward proxy reads them: whom they are for, what is refused, what is sent on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_head.h"

#define H "Host: a\r\n"

/* What comes in one piece. */
static enum forward_reading read_request(struct span text, struct forward_request *r,
					 const char **why)
{
	struct forward_progress p = { .line = 0 };

	return forward_request_read(&p, text, r, why);
}

static bool is_foreign(struct span text)
{
	const struct forward_progress p = { .line = 0 };

	return forward_head_is_foreign(&p, text);
}

static enum forward_reading read_response(struct span text, bool to_head,
					  struct forward_response *r)
{
	struct forward_progress p = { .line = 0 };

	return forward_response_read(&p, text, to_head, r);
}

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
			assert_int_equal(read_request(SPAN(text.ptr, n), &r, &why), FORWARD_MORE);
		assert_int_equal(read_request(text, &r, &why), FORWARD_READ);
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
		assert_false(is_foreign(text));
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

		if (read_request(span_str(refused[i]), &r, &why) != FORWARD_BAD)
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

		assert_int_equal(read_request(span_str(cases[i].text), &r, &why), FORWARD_READ);
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

		assert_int_equal(read_request(span_str(cases[i].text), &r, &why), FORWARD_READ);
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
		assert_true(is_foreign(span_str(foreign[i])));
	for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++)
		assert_false(is_foreign(span_str(not_yet[i])));
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

		assert_int_equal(read_response(text, cases[i].to_head, &r), cases[i].reading);
		if (cases[i].reading == FORWARD_BAD)
			continue;
		assert_int_equal(r.length, text.len);
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.framing, cases[i].framing);
		assert_int_equal(r.body, cases[i].body);
		assert_int_equal(r.last, cases[i].last);
		for (size_t n = 0; n < text.len; n++)
			assert_int_equal(read_response(SPAN(text.ptr, n), cases[i].to_head, &r),
					 FORWARD_MORE);
	}
}

/* ---- In pieces ---- */

/*
 * A head as it comes: each time in another place. What needs not be read again is made unreadable:
 * all lines but the first and the Host field.
 */
struct coming {
	struct span text;
	char *copy;
	struct forward_progress p;
};

static struct span come(struct coming *c, size_t len)
{
	const struct forward_progress *p = &c->p;

	free(c->copy);
	c->copy = malloc(len);
	assert_non_null(c->copy);
	memcpy(c->copy, c->text.ptr, len);
	for (size_t i = 0; i < p->line; i++) {
		if (i >= p->first + p->first_len && (i < p->host || i >= p->host + p->host_len))
			c->copy[i] = '\x01';
	}
	return SPAN(c->copy, len);
}

/* How far a request has to come until it is READ or BAD, a byte at a time and from the start. */
static size_t decided(struct span text, struct forward_request *r, const char **why,
		      enum forward_reading *reading)
{
	size_t len = 0;

	do {
		*reading = read_request(SPAN(text.ptr, ++len), r, why);
	} while (*reading == FORWARD_MORE && len < text.len);
	return len;
}

static void assert_same_span(struct span a, const char *a_base, struct span b, const char *b_base)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_int_equal(a.ptr - a_base, b.ptr - b_base);
}

static void assert_same(const struct forward_request *a, const char *a_base,
			const struct forward_request *b, const char *b_base)
{
	assert_same_span(a->method, a_base, b->method, b_base);
	assert_same_span(a->target, a_base, b->target, b_base);
	assert_same_span(a->authority, a_base, b->authority, b_base);
	assert_same_span(a->path, a_base, b->path, b_base);
	assert_same_span(a->host, a_base, b->host, b_base);
	assert_same_span(a->expected, a_base, b->expected, b_base);
	assert_int_equal(a->skipped, b->skipped);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->framing, b->framing);
	assert_int_equal(a->body, b->body);
	assert_int_equal(a->connect, b->connect);
	assert_int_equal(a->head, b->head);
	assert_int_equal(a->host_field, b->host_field);
	assert_int_equal(a->changes, b->changes);
	assert_int_equal(a->last, b->last);
	assert_int_equal(a->upgrade, b->upgrade);
}

/* The same in pieces of @piece bytes: what is found, and when. */
static void compare_request(struct span text, size_t piece)
{
	struct coming c = { .text = text };
	struct forward_request want, got;
	enum forward_reading reading, wanted;
	const char *why, *why_wanted;
	size_t at = decided(text, &want, &why_wanted, &wanted), len = 0;

	do {
		struct span bytes;

		len = MIN(len + piece, text.len);
		bytes = come(&c, len);
		reading = forward_request_read(&c.p, bytes, &got, &why);
		assert_int_equal(reading, len >= at ? wanted : FORWARD_MORE);
	} while (reading == FORWARD_MORE && len < text.len);
	if (reading == FORWARD_READ)
		assert_same(&want, text.ptr, &got, c.copy);
	if (reading == FORWARD_BAD)
		assert_string_equal(why, why_wanted);
	if (reading != FORWARD_MORE)
		assert_int_equal(c.p.line + c.p.scanned + c.p.first_len + c.p.begun, 0);
	free(c.copy);
}

static void test_requests_in_pieces(void **state)
{
	static const char *const more[] = {
		"PUT http://b/x HTTP/1.1\r\nA: b\r\nHost:  b \r\nContent-Length: 12\r\n"
		"Proxy-Connection: x\r\nConnection: close\r\nC: d\r\n\r\n",
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\n"
		"Connection: upgrade\r\nHost: b:82\r\nX: y\r\nZ: y\r\n\r\n5\r\n",
		"HEAD / HTTP/1.0\r\nHost: b\r\nConnection: keep-alive\r\n\r\nGET",
	};

	(void)state;
	for (size_t piece = 1; piece < 60; piece += piece < 9 ? 1 : 7) {
		for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
			compare_request(span_str(requests[i].text), piece);
		for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
			compare_request(span_str(refused[i]), piece);
		for (size_t i = 0; i < ARRAY_SIZE(more); i++)
			compare_request(span_str(more[i]), piece);
	}
}

static void test_responses_in_pieces(void **state)
{
	static const char text[] = "HTTP/1.0 201 OK\r\nConnection: keep-alive\nX: y\r\n"
				   "Content-Length: 7\r\nY: z\r\n folded\r\n\r\n";
	static const char folded[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n";

	(void)state;
	for (size_t piece = 1; piece < 30; piece++) {
		struct coming c = { .text = span_str(text) };
		struct forward_response r;
		size_t len = 0;

		while (len + piece < c.text.len) {
			len += piece;
			assert_int_equal(forward_response_read(&c.p, come(&c, len), false, &r),
					 FORWARD_MORE);
		}
		assert_int_equal(forward_response_read(&c.p, come(&c, c.text.len), false, &r),
				 FORWARD_READ);
		assert_int_equal(r.length, c.text.len);
		assert_int_equal(r.status, 201);
		assert_int_equal(r.framing, FORWARD_LENGTH);
		assert_int_equal(r.body, 7);
		assert_false(r.last);
		assert_int_equal(c.p.line + c.p.scanned + c.p.begun + c.p.status, 0);
		c.text = span_str(folded);
		for (len = 1; len < c.text.len; len++)
			assert_int_equal(forward_response_read(&c.p, come(&c, len), false, &r),
					 FORWARD_MORE);
		assert_int_equal(forward_response_read(&c.p, come(&c, len), false, &r),
				 FORWARD_BAD);
		free(c.copy);
	}
}

/* What was looked through for the end of a line is not looked through again. */
static void test_no_byte_is_looked_at_twice(void **state)
{
	char text[] = "GET / HTTP/1.1\r\nX: yyyyyyyy";
	const size_t len = sizeof(text) - 1;
	struct forward_progress p = { .line = 0 };
	struct forward_request r;
	struct forward_response answer;
	const char *why;

	(void)state;
	assert_int_equal(forward_request_read(&p, SPAN(text, len), &r, &why), FORWARD_MORE);
	text[len - 4] = '\n';
	assert_int_equal(forward_request_read(&p, SPAN(text, len), &r, &why), FORWARD_MORE);
	p = (struct forward_progress){ .line = 0 };
	memcpy(text, "HTTP/1.1 200 X", 14);
	text[len - 4] = 'y';
	assert_int_equal(forward_response_read(&p, SPAN(text, len), false, &answer), FORWARD_MORE);
	text[len - 5] = text[len - 4] = '\n';
	assert_int_equal(forward_response_read(&p, SPAN(text, len), false, &answer), FORWARD_MORE);
}

/* Empty lines before a request, and a long line, are judged once as well. */
static void test_foreign_beginnings_in_pieces(void **state)
{
	char text[] = "\r\n\r\nEHLO me at somewhere that has a long name\r\n";
	struct forward_progress p = { .line = 0 };
	struct forward_request r;
	const char *why;
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t n = 1; n < len; n++) {
		assert_int_equal(forward_request_read(&p, SPAN(text, n), &r, &why), FORWARD_MORE);
		assert_false(forward_head_is_foreign(&p, SPAN(text, n)));
		memset(text, '!', p.line);
	}
	assert_int_equal(forward_request_read(&p, SPAN(text, len), &r, &why), FORWARD_BAD);
	assert_true(is_foreign(SPAN(text + 4, len - 4)));
	p = (struct forward_progress){ .line = 0 };
	memset(text, 'X', len);
	assert_int_equal(forward_request_read(&p, SPAN(text, 32), &r, &why), FORWARD_MORE);
	assert_false(forward_head_is_foreign(&p, SPAN(text, 32)));
	assert_int_equal(forward_request_read(&p, SPAN(text, 40), &r, &why), FORWARD_MORE);
	assert_true(forward_head_is_foreign(&p, SPAN(text, 40)));
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
		cmocka_unit_test(test_requests_in_pieces),
		cmocka_unit_test(test_responses_in_pieces),
		cmocka_unit_test(test_no_byte_is_looked_at_twice),
		cmocka_unit_test(test_foreign_beginnings_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
