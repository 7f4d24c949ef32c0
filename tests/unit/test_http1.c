// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The HTTP/1 observer: conversations and what is told of them. Each is shown whole, cut in two at
 * every byte, byte by byte, and with bodies skipped as a splicing relay would: always the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_events.h"

#include "http1_cases.h"

/* Where to cut: step and byte; SIZE_MAX: nowhere. */
struct cutting {
	size_t step, at; /* of step `step`, the first `at` bytes apart */
	size_t piece;	 /* and everything in pieces of this size */
	bool skip;
};

static void play(const struct http1_case *c, const struct cutting *cut, struct events *v)
{
	struct observer o;

	observer_init(&o, &events_sink, v, false);
	for (size_t i = 0; i < c->count; i++) {
		const struct http1_step *s = &c->steps[i];
		enum way way = s->way;
		struct span bytes = SPAN(s->bytes, s->len);

		switch (s->what) {
		case STEP_BYTES:
			if (cut->step == i) {
				events_feed(&o, way, SPAN(bytes.ptr, cut->at), cut->piece,
					    cut->skip, 1);
				bytes = SPAN(bytes.ptr + cut->at, bytes.len - cut->at);
			}
			events_feed(&o, way, bytes, cut->piece, cut->skip, 1);
			break;
		case STEP_FIN:
			observer_end(&o, way, OBSERVER_FIN, 1);
			break;
		case STEP_RESET:
			observer_end(&o, way, OBSERVER_RESET, 1);
			break;
		}
	}
	observer_fini(&o, 1);
	/* Twice is as good as once, and what comes late is not looked at. */
	observer_fini(&o, 1);
	observer_data(&o, WAY_TO_SERVER, SPAN_LIT("GET /late HTTP/1.1\r\n\r\n"), 1);
}

static void check(const struct http1_case *c, const struct cutting *cut)
{
	struct events v = { 0 };

	play(c, cut, &v);
	if (strcmp(v.text ? v.text : "", c->expect) != 0)
		fail_msg("%s (step %zu cut at %zu, pieces of %zu, skip %d): got\n%s---\nwanted\n%s",
			 c->name, cut->step, cut->at, cut->piece, cut->skip, v.text ? v.text : "",
			 c->expect);
	assert_int_equal(v.active, 0);
	events_fini(&v);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(http1_cases); i++)
		check(&http1_cases[i], &(struct cutting){ SIZE_MAX, 0, SIZE_MAX, false });
}

static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(http1_cases); i++) {
		const struct http1_case *c = &http1_cases[i];

		for (size_t step = 0; step < c->count; step++) {
			for (size_t at = 1; at < c->steps[step].len; at++)
				check(c, &(struct cutting){ step, at, SIZE_MAX, at & 1 });
		}
	}
}

static void test_small_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(http1_cases); i++) {
		for (size_t piece = 1; piece < 8; piece++)
			check(&http1_cases[i], &(struct cutting){ SIZE_MAX, 0, piece, false });
	}
}

static void test_skipping(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(http1_cases); i++) {
		check(&http1_cases[i], &(struct cutting){ SIZE_MAX, 0, SIZE_MAX, true });
		check(&http1_cases[i], &(struct cutting){ SIZE_MAX, 0, 3, true });
	}
}

static void feed(struct observer *o, enum way way, const char *text, uint64_t now)
{
	events_feed(o, way, span_str(text), SIZE_MAX, false, now);
}

static void test_times(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	feed(&o, WAY_TO_SERVER, "\r\n", 5);
	feed(&o, WAY_TO_SERVER, "PO", 10);
	feed(&o, WAY_TO_SERVER, "ST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", 20);
	feed(&o, WAY_TO_SERVER, "b", 30);
	feed(&o, WAY_TO_CLIENT, "HTTP/1.1 100 Continue\r\n\r\n", 40);
	feed(&o, WAY_TO_CLIENT, "H", 50);
	feed(&o, WAY_TO_CLIENT, "TTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 60);
	feed(&o, WAY_TO_CLIENT, "a", 70);
	assert_int_equal(v.last.ended, 0);
	feed(&o, WAY_TO_CLIENT, "b", 80);
	assert_int_equal(v.last.started, 10);
	assert_int_equal(v.last.first_byte, 50);
	assert_int_equal(v.last.ended, 80);
	/* An early answer ends when it ends, though it is told with the request's end. */
	feed(&o, WAY_TO_SERVER, "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", 100);
	feed(&o, WAY_TO_CLIENT, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 110);
	feed(&o, WAY_TO_SERVER, "b", 120);
	assert_int_equal(v.last.started, 100);
	assert_int_equal(v.last.ended, 110);
	/* Without an answer: the server's FIN is the end; of what was asked later, the flow's. */
	feed(&o, WAY_TO_SERVER, "GET / HTTP/1.1\r\n\r\n", 130);
	observer_end(&o, WAY_TO_CLIENT, OBSERVER_FIN, 140);
	feed(&o, WAY_TO_SERVER, "GET /late HTTP/1.1\r\n\r\n", 150);
	observer_fini(&o, 160);
	assert_int_equal(v.last.started, 150);
	assert_int_equal(v.last.first_byte, 0);
	assert_int_equal(v.last.ended, 160);
	assert_non_null(strstr(v.text, "GET 1.1 '' 0 req=0 resp=0 no_response\n-GET\nGET"));
	observer_init(&o, &events_sink, &v, false);
	feed(&o, WAY_TO_SERVER, "GET / HTTP/1.1\r\n\r\n", 170);
	observer_end(&o, WAY_TO_CLIENT, OBSERVER_FIN, 180);
	observer_fini(&o, 190);
	assert_int_equal(v.last.started, 170);
	assert_int_equal(v.last.ended, 180);
	events_fini(&v);
}

/* What was kept while the protocol was open has the time at which it came. */
static void test_time_of_kept_bytes(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	feed(&o, WAY_TO_SERVER, "PRI", 10);
	feed(&o, WAY_TO_SERVER, "CE / HTTP/1.1\r\n\r\n", 20);
	feed(&o, WAY_TO_CLIENT, "HTTP/1.1 204 \r\n\r\n", 30);
	observer_fini(&o, 40);
	assert_string_equal(v.text, "is http1\n+_OTHER\n-_OTHER\n"
				    "_OTHER 1.1 '' 204 req=0 resp=0 ok\n");
	assert_int_equal(v.last.started, 10);
	events_fini(&v);
}

static void test_skip_amounts(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	assert_int_equal(observer_skip(&o, WAY_TO_SERVER), 0);
	feed(&o, WAY_TO_SERVER, "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n12345", 1);
	assert_int_equal(observer_skip(&o, WAY_TO_SERVER), 99995);
	assert_int_equal(observer_skip(&o, WAY_TO_CLIENT), 0);
	observer_skipped(&o, WAY_TO_SERVER, 99995, 2);
	assert_int_equal(observer_skip(&o, WAY_TO_SERVER), 0);
	feed(&o, WAY_TO_CLIENT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", 3);
	assert_int_equal(observer_skip(&o, WAY_TO_CLIENT), 0xfff);
	observer_skipped(&o, WAY_TO_CLIENT, 0xfff, 4);
	feed(&o, WAY_TO_CLIENT, "\r\n0\r\n\r\n", 5);
	assert_int_equal(v.last.request_body, 100000);
	assert_int_equal(v.last.response_body, 0xfff);
	feed(&o, WAY_TO_SERVER, "GET / HTTP/1.0\r\n\r\n", 6);
	feed(&o, WAY_TO_CLIENT, "HTTP/1.0 200 OK\r\n\r\n", 7);
	assert_true(observer_skip(&o, WAY_TO_CLIENT) == UINT64_MAX - 1);
	observer_skipped(&o, WAY_TO_CLIENT, 77, 8);
	observer_end(&o, WAY_TO_CLIENT, OBSERVER_FIN, 9);
	assert_int_equal(v.last.response_body, 77);
	assert_int_equal(v.last.ended, 9);
	observer_fini(&o, 10);
	assert_true(observer_skip(&o, WAY_TO_CLIENT) == UINT64_MAX);
	events_fini(&v);
}

static void test_off(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, true);
	feed(&o, WAY_TO_SERVER, "GET / HTTP/1.1\r\n\r\n", 1);
	assert_string_equal(v.text, "is tcp\n");
	assert_true(observer_skip(&o, WAY_TO_SERVER) == UINT64_MAX);
	observer_fini(&o, 2);
	events_fini(&v);
}

/* Each request until the ring is full is answered in order; one more and the thread is lost. */
static void test_deep_pipeline(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	for (unsigned round = 0; round < 3; round++) {
		unsigned depth = round == 2 ? HTTP1_PIPELINE_MAX : 5;

		for (unsigned i = 0; i < depth; i++)
			feed(&o, WAY_TO_SERVER,
			     i & 1 ? "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
				   : "HEAD / HTTP/1.1\r\nHost: b\r\n\r\n",
			     i);
		assert_int_equal(v.active, depth);
		for (unsigned i = 0; i < depth; i++) {
			feed(&o, WAY_TO_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", i);
			if (i & 1)
				feed(&o, WAY_TO_CLIENT, "ok", 1000 + i);
			assert_int_equal(v.last.method, i & 1 ? HTTP_METHOD_GET : HTTP_METHOD_HEAD);
			assert_int_equal(v.last.started, i);
		}
		assert_null(o.http1.ring);
	}
	for (unsigned i = 0; i <= HTTP1_PIPELINE_MAX; i++)
		feed(&o, WAY_TO_SERVER, "GET / HTTP/1.1\r\n\r\n", 1);
	assert_int_equal(v.active, 0);
	assert_non_null(strstr(v.text, "lost too_many_requests\nis tcp\n"));
	observer_fini(&o, 2);
	events_fini(&v);
}

/* A long line costs no memory, whatever it is; too long a head is given up. */
static void test_long_lines(void **state)
{
	static char junk[100001];
	struct events v = { 0 };
	struct observer o;

	(void)state;
	memset(junk, 'x', sizeof(junk) - 1);
	for (size_t piece = 1000; piece <= 1000000; piece *= 1000) {
		observer_init(&o, &events_sink, &v, false);
		feed(&o, WAY_TO_SERVER, "GET http://h:8/", 1);
		events_feed(&o, WAY_TO_SERVER, SPAN(junk, 100000), piece, false, 1);
		feed(&o, WAY_TO_SERVER, " HTTP/1.1\r\nCookie: ", 1);
		events_feed(&o, WAY_TO_SERVER, SPAN(junk, 100000), piece, false, 1);
		feed(&o, WAY_TO_SERVER, "\r\ncontent-length: 1\r\n\r\nx", 1);
		assert_int_equal(observer_skip(&o, WAY_TO_SERVER), 0);
		assert_null(o.http1.lane[WAY_TO_SERVER].carry);
		feed(&o, WAY_TO_CLIENT, "HTTP/1.1 200 ", 1);
		events_feed(&o, WAY_TO_CLIENT, SPAN(junk, 100000), piece, false, 1);
		feed(&o, WAY_TO_CLIENT, "\r\nContent-Length: 0\r\n\r\n", 1);
		assert_string_equal(v.text, "is http1\n+GET\n-GET\n"
					    "GET 1.1 'h' 200 req=1 resp=0 ok\n");
		events_fini(&v);
		feed(&o, WAY_TO_SERVER, "GET / HTTP/1.1\r\n", 1);
		for (size_t sent = 0; sent <= HTTP1_HEAD_MAX; sent += 100000)
			events_feed(&o, WAY_TO_SERVER, SPAN(junk, 100000), piece, false, 1);
		assert_string_equal(v.text, "+GET\n-GET\nlost header_too_large\nis tcp\n");
		observer_fini(&o, 2);
		events_fini(&v);
	}
}

/* Many short fields are as bad as one long one, and the bound is exact. */
static void test_long_heads(void **state)
{
	static const char start[] = "GET / HTTP/1.1\r\n", line[] = "X-Field: 0123456\r\n";
	const size_t fits = (HTTP1_HEAD_MAX - (sizeof(start) - 1) - 2) / (sizeof(line) - 1);
	struct events v = { 0 };
	struct observer o;

	(void)state;
	for (size_t more = 0; more < 2; more++) {
		size_t n = fits + more, len = sizeof(start) - 1;
		char *head = malloc(len + n * (sizeof(line) - 1) + 2);

		assert_non_null(head);
		memcpy(head, start, len);
		for (size_t i = 0; i < n; i++, len += sizeof(line) - 1)
			memcpy(head + len, line, sizeof(line) - 1);
		memcpy(head + len, "\r\n", 2);
		for (int whole = 0; whole < 2; whole++) {
			observer_init(&o, &events_sink, &v, false);
			events_feed(&o, WAY_TO_SERVER, SPAN(head, len + 2), whole ? SIZE_MAX : 7,
				    false, 1);
			observer_fini(&o, 2);
			assert_string_equal(v.text,
					    more ? "is http1\n+GET\n-GET\n"
						   "lost header_too_large\nis tcp\n"
						 : "is http1\n+GET\n-GET\n"
						   "GET 1.1 '' 0 req=0 resp=0 no_response\n");
			events_fini(&v);
		}
		free(head);
	}
}

/* What a request's head says of its trace, and whether it is taken. */
static void test_traces(void **state)
{
	static const struct {
		const char *fields;
		bool some;
	} rows[] = {
		{ "traceparent: " TRACE_SAMPLED "\r\n", true },
		{ "TraceParent:" TRACE_SAMPLED "\r\n", true },
		{ "traceparent: " TRACE_NOT "\r\n", false },
		{ "traceparent: " TRACE_SAMPLED "x\r\n", false },
		{ "tracestate: " TRACE_SAMPLED "\r\n", false },
		{ "traceparent: " TRACE_SAMPLED "\r\ntraceparent: " TRACE_SAMPLED "\r\n", false },
		{ "traceparent: " TRACE_NOT "\r\ntraceparent: " TRACE_SAMPLED "\r\n", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char head[512];
		int len = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
				   rows[i].fields);

		/* The last is all of it: then lines of no interest are skimmed. */
		for (size_t piece = 1; piece < 600; piece += piece < 80 ? 6 : 500) {
			struct events v = { 0 };
			struct observer o;

			observer_init(&o, &events_sink, &v, false);
			/* The next request of the connection has a trace of its own, or none. */
			for (int again = 0; again < 2; again++) {
				struct span bytes = SPAN(head, (size_t)len);

				if (again)
					bytes = SPAN_LIT("GET / HTTP/1.1\r\n\r\n");
				events_feed(&o, WAY_TO_SERVER, bytes, piece, false, 1);
				events_feed(&o, WAY_TO_CLIENT,
					    SPAN_LIT("HTTP/1.1 204 x\r\ntraceparent: " TRACE_SAMPLED
						     "\r\n\r\n"),
					    piece, false, 1);
				if (trace_is_some(&v.last.trace) != (rows[i].some && !again))
					fail_msg("%s, request %d", rows[i].fields, again + 1);
			}
			observer_fini(&o, 1);
			events_fini(&v);
		}
	}
}

/* A pipelined request's trace is not taken, least of all for the one before it. */
static void test_trace_of_a_pipeline(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	events_feed(&o, WAY_TO_SERVER,
		    SPAN_LIT("GET / HTTP/1.1\r\n\r\n"
			     "GET / HTTP/1.1\r\ntraceparent: " TRACE_SAMPLED "\r\n\r\n"),
		    SIZE_MAX, false, 1);
	for (int i = 0; i < 2; i++) {
		events_feed(&o, WAY_TO_CLIENT, SPAN_LIT("HTTP/1.1 204 x\r\n\r\n"), SIZE_MAX, false,
			    1);
		assert_false(trace_is_some(&v.last.trace));
	}
	observer_fini(&o, 1);
	events_fini(&v);
}

/* The sink sees each request's target, whole or its beginning. */
static void test_routes(void **state)
{
	static const struct {
		const char *line;
		unsigned len;
	} rows[] = {
		{ "GET /a/b?c HTTP/1.1\r\n\r\n", 6 },
		{ "GET http://h/a HTTP/1.1\r\n\r\n", 10 },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", 1 },
		{ "CONNECT h:80 HTTP/1.1\r\n\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct events v = { 0 };
		struct observer o;

		observer_init(&o, &events_sink, &v, false);
		events_feed(&o, WAY_TO_SERVER, span_str(rows[i].line), 5, false, 1);
		observer_fini(&o, 1);
		assert_int_equal(v.last.route, rows[i].len);
		events_fini(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	      cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_small_pieces),  cmocka_unit_test(test_skipping),
		cmocka_unit_test(test_times),	      cmocka_unit_test(test_time_of_kept_bytes),
		cmocka_unit_test(test_skip_amounts),  cmocka_unit_test(test_off),
		cmocka_unit_test(test_deep_pipeline), cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_long_heads),    cmocka_unit_test(test_traces),
		cmocka_unit_test(test_routes),	      cmocka_unit_test(test_trace_of_a_pipeline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
