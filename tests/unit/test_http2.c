// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The HTTP/2 observer: conversations and what is told of them. Each is shown frame by frame, as
 * long reads, cut in two at every byte, byte by byte, and with content skipped: always the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hpack.h"
#include "http1_events.h"
#include "http2_script.h"

#include "http2_cases.h"

struct cutting {
	size_t at;    /* byte of the conversation before which a read ends; SIZE_MAX: none */
	size_t piece; /* and everything in pieces of this size */
	bool join;    /* frames of one way that follow each other are one read */
	bool skip;
};

/* Shows bytes @start to @end of @s, cut as @c says. */
static void show(struct observer *o, const struct script *s, enum way way, size_t start, size_t end,
		 const struct cutting *c)
{
	size_t middle = c->at > start && c->at < end ? c->at : end;

	events_feed(o, way, SPAN(s->bytes + start, middle - start), c->piece, c->skip, 1);
	events_feed(o, way, SPAN(s->bytes + middle, end - middle), c->piece, c->skip, 1);
}

static void play(const struct script *s, const struct cutting *c, struct events *v)
{
	struct observer o;

	observer_init(&o, &events_sink, v, false);
	for (size_t i = 0; i < s->count; i++) {
		const struct script_step *step = &s->steps[i];
		size_t end = step->start + step->len;

		if (step->fin) {
			observer_end(&o, step->way, OBSERVER_FIN, 1);
			continue;
		}
		while (c->join && i + 1 < s->count && s->steps[i + 1].way == step->way &&
		       !s->steps[i + 1].fin)
			end += s->steps[++i].len;
		show(&o, s, step->way, step->start, end, c);
	}
	observer_fini(&o, 1);
	observer_fini(&o, 1);
	observer_data(&o, WAY_TO_SERVER, SPAN_LIT("late"), 1);
}

static void check(const struct http2_case *c, const struct script *s, const struct cutting *cut)
{
	struct events v = { 0 };

	play(s, cut, &v);
	if (strcmp(v.text ? v.text : "", c->expect) != 0)
		fail_msg("%s (cut at %zu, pieces of %zu, join %d, skip %d): got\n%s---\nwanted\n%s",
			 c->name, cut->at, cut->piece, cut->join, cut->skip, v.text ? v.text : "",
			 c->expect);
	assert_int_equal(v.active, 0);
	assert_int_equal(v.calling, 0);
	events_fini(&v);
}

static void test_cases(void **state)
{
	static struct script s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(http2_cases); i++) {
		const struct http2_case *c = &http2_cases[i];

		script_init(&s, c->script);
		for (int how = 0; how < 4; how++)
			check(c, &s, &(struct cutting){ SIZE_MAX, SIZE_MAX, how & 1, how & 2 });
		for (size_t at = 1; at < s.len; at++)
			check(c, &s, &(struct cutting){ at, SIZE_MAX, true, at & 1 });
		for (size_t piece = 1; piece < 12; piece++)
			check(c, &s, &(struct cutting){ SIZE_MAX, piece, false, piece & 1 });
	}
}

/* Shows one line of a script at @now. */
static void at(struct observer *o, uint64_t now, const char *text)
{
	static struct script s;

	script_init(&s, text);
	for (size_t i = 0; i < s.count; i++) {
		const struct script_step *step = &s.steps[i];

		if (step->fin)
			observer_end(o, step->way, OBSERVER_FIN, now);
		else
			events_feed(o, step->way, SPAN(s.bytes + step->start, step->len), SIZE_MAX,
				    false, now);
	}
}

static void test_times(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN);
	/* A frame begins with its first byte, a message with its HEADERS frame. */
	at(&o, 5, "> ! 000001\n");
	at(&o, 8, "> ! 01040000000183\n"); /* POST */
	at(&o, 9, "> D 1 5\n");
	at(&o, 10, "< H 1 :status=103\n");
	at(&o, 20, "< ! 00\n");
	at(&o, 25, "< ! 000101040000000188\n"); /* 200 */
	at(&o, 30, "< D 1 -e 3\n");
	at(&o, 40, "> D 1 -e 5\n");
	assert_int_equal(v.last.started, 5);
	assert_int_equal(v.last.first_byte, 20);
	assert_int_equal(v.last.ended, 30);
	assert_int_equal(v.last.request_body, 10);

	/* What is unanswered ends with the server's FIN, or with the flow. */
	at(&o, 50, "> H 3 -e :method=GET\n> H 5 -e :method=PUT\n");
	at(&o, 60, "< F\n");
	at(&o, 70, "> H 7 -e :method=HEAD\n");
	observer_fini(&o, 80);
	assert_non_null(strstr(v.text, "HEAD 2 '' 0 req=0 resp=0 no_response\n"));
	assert_int_equal(v.active, 0);
	events_fini(&v);
}

/* Who ended a request, and the status of a call's answer in HTTP. */
static void test_ends(void **state)
{
	static const struct {
		const char *call; /* what becomes of one */
		enum observer_end how;
		enum request_end end;
		uint16_t status;
	} cases[] = {
		{ "< H 1 :status=200\n< H 1 -e grpc-status=5\n", 0, REQUEST_ANSWERED, 200 },
		{ "< H 1 -e :status=503\n", 0, REQUEST_ANSWERED, 503 },
		{ "> R 1 8\n", 0, REQUEST_RESET_BY_CLIENT, 0 },
		{ "< H 1 :status=200\n> R 1 2\n", 0, REQUEST_RESET_BY_CLIENT, 200 },
		{ "< R 1 8\n", 0, REQUEST_RESET_BY_SERVER, 0 },
		{ "< H 1 :status=200\n< R 1 2\n", 0, REQUEST_RESET_BY_SERVER, 200 },
		{ "< H 1 -e grpc-status=5\n", 0, REQUEST_RESET_BY_SERVER, 0 },
		{ "< G 0\n", 0, REQUEST_LEFT_BY_SERVER, 0 },
		{ "< F\n", 0, REQUEST_LEFT_BY_SERVER, 0 },
		{ "< H 1 :status=200\n", 0, REQUEST_LEFT_BY_SERVER, 200 },
		{ "< H 1 :status=200\n", OBSERVER_RESET, REQUEST_LEFT_BY_CLIENT, 200 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct events v = { 0 };
		struct observer o;

		observer_init(&o, &events_sink, &v, false);
		at(&o, 1, BEGIN CALL "> D 1 -e m5\n");
		assert_int_equal(v.calling, 1);
		assert_int_equal(v.active, 0);
		at(&o, 2, cases[i].call);
		if (cases[i].how == OBSERVER_RESET)
			observer_end(&o, WAY_TO_SERVER, OBSERVER_RESET, 3);
		observer_fini(&o, 3);
		assert_int_equal(v.last_call.end, cases[i].end);
		assert_int_equal(v.last_call.http_status, cases[i].status);
		assert_int_equal(v.calling, 0);
		events_fini(&v);
	}
}

#define MS(n) ((n)*UINT64_C(1000000))

/* A reset when the time had run out is no cancellation. */
static void test_deadline(void **state)
{
	static const struct {
		const char *timeout, *reset, *status;
		uint64_t ms;
		enum error_type error;
	} cases[] = {
		{ "100m", "> R 1 8\n", "DEADLINE_EXCEEDED", 100, ERROR_NONE },
		{ "100m", "> R 1 8\n", "DEADLINE_EXCEEDED", 97, ERROR_NONE },
		{ "100m", "> R 1 8\n", "", 80, ERROR_CANCELLED },
		{ "10S", "> R 1 8\n", "DEADLINE_EXCEEDED", 9800, ERROR_NONE },
		{ "10S", "> R 1 8\n", "", 9000, ERROR_CANCELLED },
		{ "10S", "< R 1 8\n", "DEADLINE_EXCEEDED", 10000, ERROR_NONE },
		{ "10S", "< R 1 7\n", "", 1, ERROR_RESET },
		{ "bad", "> R 1 8\n", "", 10000, ERROR_CANCELLED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct events v = { 0 };
		struct observer o;
		char line[256];

		observer_init(&o, &events_sink, &v, false);
		snprintf(line, sizeof(line),
			 BEGIN "> H 1 :path=/p.S/M content-type=application/grpc grpc-timeout=%s\n",
			 cases[i].timeout);
		at(&o, MS(1000), line);
		at(&o, MS(1000) + MS(cases[i].ms), cases[i].reset);
		assert_string_equal(rpc_status_names[v.last_call.status], cases[i].status);
		assert_int_equal(v.last_call.error, cases[i].error);
		assert_int_equal(v.last_call.ended - v.last_call.started, MS(cases[i].ms));
		observer_fini(&o, MS(20000));
		events_fini(&v);
	}
}

static size_t count_of(const struct events *v, const char *word)
{
	size_t n = 0;

	for (const char *p = v->text; (p = strstr(p, word)); p++)
		n++;
	return n;
}

/* Requests that are reset at once, by the thousand: all told, nothing is kept. */
static void test_rapid_reset(void **state)
{
	struct events v = { 0 };
	struct observer o;
	char line[64];

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "> H %u -e :method=GET\n> R %u 8\n", 2 * i + 1,
			 2 * i + 1);
		at(&o, 2, line);
	}
	assert_true(http2_memory(o.http2) < 1600);
	observer_fini(&o, 3);
	assert_int_equal(count_of(&v, "cancelled\n"), 5000);
	assert_int_equal(v.active, 0);
	events_fini(&v);
}

/* As many streams at once as are kept, then one more. */
static void test_streams(void **state)
{
	struct events v = { 0 };
	struct observer o;
	char line[64];

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN);
	for (unsigned round = 0; round < 2; round++) {
		unsigned first = round * 2 * HTTP2_STREAMS_MAX + 1;

		for (unsigned i = 0; i < HTTP2_STREAMS_MAX; i++) {
			snprintf(line, sizeof(line), "> H %u -e :method=GET\n", first + 2 * i);
			at(&o, 2, line);
		}
		assert_int_equal(v.active, HTTP2_STREAMS_MAX);
		/* In an order that is none. */
		for (unsigned i = 0; i < HTTP2_STREAMS_MAX; i++) {
			snprintf(line, sizeof(line), "< H %u -e :status=200\n",
				 first + 2 * (i * 1021 % HTTP2_STREAMS_MAX));
			at(&o, 3, line);
		}
		assert_int_equal(v.active, 0);
		assert_true(http2_memory(o.http2) < 2000);
	}
	assert_int_equal(count_of(&v, " 200 req=0 resp=0 ok\n"), 2 * HTTP2_STREAMS_MAX);
	for (unsigned i = 0; i <= HTTP2_STREAMS_MAX; i++) {
		snprintf(line, sizeof(line), "> H %u -e :method=GET\n", 100001 + 2 * i);
		at(&o, 4, line);
	}
	assert_non_null(strstr(v.text, "lost too_many_requests\nis tcp\n"));
	assert_int_equal(v.active, 0);
	observer_fini(&o, 5);
	events_fini(&v);
}

struct open_stream {
	uint32_t id;
	unsigned bytes; /* of its request: one more than the one before it had */
};

static unsigned random_number(void)
{
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	return state >> 16;
}

/* Opens a stream later than @last. */
static struct open_stream open_after(struct observer *o, struct open_stream last)
{
	struct open_stream s = { last.id + 2 + 2 * (random_number() % 20000), last.bytes + 1 };
	char line[64];

	snprintf(line, sizeof(line), "> H %u :method=PUT\n> D %u %u\n", s.id, s.id, s.bytes);
	at(o, 2, line);
	return s;
}

/*
 * Streams of ids far apart, ended in an order that is none while others begin: each is found, and
 * what a GOAWAY ends is told in the order in which it began.
 */
static void test_far_apart(void **state)
{
	struct open_stream open[300], last = { 1, 0 };
	struct events v = { 0 };
	struct observer o;
	unsigned left = 0;
	uint32_t goaway;
	char line[64];

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		last = open[i] = open_after(&o, last);
	for (unsigned round = 0; round < 5000; round++) {
		size_t i = random_number() % ARRAY_SIZE(open);

		snprintf(line, sizeof(line), "< R %u 7\n< R %u 7\n", open[i].id, open[i].id);
		at(&o, 3, line);
		assert_int_equal(v.last.request_body, open[i].bytes);
		assert_int_equal(v.active, ARRAY_SIZE(open) - 1);
		last = open[i] = open_after(&o, last);
	}
	assert_int_equal(count_of(&v, " reset\n"), 5000);
	assert_true(http2_memory(o.http2) < 2 * ARRAY_SIZE(open) * 136);
	v.len = 0;
	goaway = last.id - last.id / 32;
	snprintf(line, sizeof(line), "< G %u\n", goaway);
	at(&o, 4, line);
	at(&o, 4, line);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		left += open[i].id <= goaway;
	assert_in_range(left, 1, ARRAY_SIZE(open) - 1);
	assert_int_equal(v.active, left);
	assert_int_equal(count_of(&v, " no_response\n"), ARRAY_SIZE(open) - left);
	last.bytes = 0;
	for (const char *text = v.text; (text = strstr(text, "req=")); text++) {
		unsigned bytes = (unsigned)strtoul(text + 4, NULL, 10);

		assert_true(bytes > last.bytes);
		last.bytes = bytes;
	}
	observer_fini(&o, 5);
	assert_int_equal(v.active, 0);
	events_fini(&v);
}

/* Both tables as full as they get, with texts, and no stream open: what an idle flow costs. */
static void test_idle_memory(void **state)
{
	struct events v = { 0 };
	struct observer o;
	char line[128];

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, "> P\n> S 1=65535\n< S 1=65535\n< A\n> A\n");
	at(&o, 1, "> H 1 -e !3fe0ff03 :method=GET\n< H 1 -e !3fe0ff03 :status=200\n");
	assert_true(http2_memory(o.http2) < 1024);
	for (unsigned i = 0; i < HPACK_ENTRIES_MAX; i++) {
		/* :path: /aaaa0001, as an entry. */
		snprintf(line, sizeof(line),
			 "> H %u -e !44092f61616161%02x%02x%02x%02x\n< H %u -e :status=200 "
			 "!44092f61616161%02x%02x%02x%02x\n",
			 2 * i + 3, '0' + i / 1000, '0' + i / 100 % 10, '0' + i / 10 % 10,
			 '0' + i % 10, 2 * i + 3, '0', '0', '0' + i / 10 % 10, '0' + i % 10);
		at(&o, 1, line);
	}
	assert_int_equal(count_of(&v, " 200 req"), HPACK_ENTRIES_MAX + 1);
	assert_true(http2_memory(o.http2) > 7000);
	assert_true(http2_memory(o.http2) < 12288);
	observer_fini(&o, 1);
	events_fini(&v);
}

/* Shows @line again and again. True when the observer is lost for that, and told so once. */
static bool flood(const char *begin, const char *line, unsigned times, const char *reason)
{
	struct events v = { 0 };
	struct observer o;
	char told[64];
	bool lost;

	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, begin);
	for (unsigned i = 0; i < times; i++)
		at(&o, 1, line);
	snprintf(told, sizeof(told), "lost %s\n", reason);
	lost = v.text && count_of(&v, told) == 1 && count_of(&v, "lost") == 1;
	assert_int_equal(observer_skip(&o, WAY_TO_SERVER) == UINT64_MAX, lost);
	observer_fini(&o, 1);
	events_fini(&v);
	return lost;
}

/* "@begin" and then @count times "@bytes", in hexadecimal. */
static const char *line_of(const char *begin, const char *bytes, unsigned count)
{
	static char line[8192];
	char *end = stpcpy(line, begin);

	for (unsigned i = 0; i < count; i++)
		end = stpcpy(end, bytes);
	strcpy(end, "\n");
	return line;
}

static void test_floods(void **state)
{
	static const char begun[] = BEGIN "> H 1 -n :method=GET\n";
	static const char endless[] = BEGIN "> H 1 -n !0001617f81ff3f\n";
	char bomb[512];

	(void)state;
	assert_true(flood(begun, "> C 1 -n\n", 1025, "header_too_large"));
	assert_false(flood(begun, "> C 1 -n\n", 1024, "header_too_large"));
	/* A value of a mebibyte, in pieces of 2,000 bytes. */
	assert_true(flood(endless, line_of("> C 1 -n !", "61", 2000), 525, "header_too_large"));
	assert_false(flood(endless, line_of("> C 1 -n !", "61", 2000), 524, "header_too_large"));
	/* An entry of 133 bytes, and a thousand references to it at a time: 1 MiB has 7,884. */
	snprintf(bomb, sizeof(bomb), BEGIN "%s", line_of("> H 1 -n !40016164", "41", 100));
	assert_true(flood(bomb, line_of("> C 1 -n !", "be", 1000), 8, "header_too_large"));
	assert_false(flood(bomb, line_of("> C 1 -n !", "be", 1000), 7, "header_too_large"));
	/* Each block has its own bounds. */
	snprintf(bomb, sizeof(bomb), BEGIN "%s", line_of("> H 1 -e !40016164", "41", 100));
	assert_false(flood(bomb, line_of("> H 3 -e !", "be", 1000), 20, "header_too_large"));
	assert_false(flood(BEGIN, "> H 1 -n\n> C 1 -n\n> C 1\n", 2000, "header_too_large"));
}

#define TRACED	  "> H 1 -e :method=GET :path=/a/b traceparent=" TRACE_SAMPLED "\n"
#define CALLED	  "> H 1 -e :path=/p.S/M content-type=application/grpc traceparent=" TRACE_SAMPLED "\n"
#define GRPC_DONE "< H 1 -e :status=200 content-type=application/grpc grpc-status=0\n"

/* A request's trace and route belong to its stream; a call has a trace alone. */
static void test_traces_and_routes(void **state)
{
	struct events v = { 0 };
	struct observer o;

	(void)state;
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN TRACED "> H 3 -e :method=GET :path=/ traceparent=" TRACE_NOT "\n");
	at(&o, 1, "< H 3 -e :status=200 traceparent=" TRACE_SAMPLED "\n");
	assert_false(trace_is_some(&v.last.trace));
	assert_int_equal(v.last.route, 1);
	at(&o, 1, OK);
	assert_true(trace_is_some(&v.last.trace));
	assert_int_equal(v.last.trace.trace_id[0], 0x4b);
	assert_int_equal(v.last.route, 4);
	observer_fini(&o, 1);
	events_fini(&v);

	observer_init(&o, &events_sink, &v, false);
	at(&o, 1, BEGIN CALLED GRPC_DONE);
	assert_true(trace_is_some(&v.last_call.trace));
	observer_fini(&o, 1);
	events_fini(&v);

	/* Over an upgrade. */
	observer_init(&o, &events_sink, &v, false);
	at(&o, 1,
	   "> @ GET /abc HTTP/1.1|Connection: Upgrade|Upgrade: h2c|HTTP2-Settings: AAMA|"
	   "traceparent: " TRACE_SAMPLED "||\n" SWITCHED "< S\n" OK);
	assert_int_equal(v.last.version, HTTP_VERSION_2);
	assert_true(trace_is_some(&v.last.trace));
	assert_int_equal(v.last.route, 4);
	observer_fini(&o, 1);
	events_fini(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_far_apart),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_idle_memory),
		cmocka_unit_test(test_traces_and_routes),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
