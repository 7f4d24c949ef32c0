// SPDX-License-Identifier: GPL-2.0-or-later
/* /metrics in pieces: whole and alike in every coding, also when the answer moves in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin_http.h"

#include <zlib.h>

#define SERIES 500u

static void process(void *ctx, struct metrics_process *out)
{
	(void)ctx, (void)out;
}

static struct admin_config config = { .process = process };

static int make(void **state)
{
	const struct metrics_config metrics = { .max_samples = 20000, .max_names = { 10, 10, 10 } };
	struct metrics_shard *shard;

	(void)state;
	config.metrics = metrics_new(&metrics, NULL);
	shard = metrics_shard_new(config.metrics, NULL);
	for (unsigned i = 0; i < SERIES; i++) {
		struct metric_key key = { .metric = METRIC_CONNECT_DURATION,
					  .port = (uint16_t)(i + 1) };

		metric_observe(metrics_histogram(shard, &key), i * 1000003ull);
	}
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	metrics_free(config.metrics);
	return 0;
}

struct body {
	char *bytes;
	size_t len, pieces;
};

/* Takes the chunk, or the last ones, that @r holds. */
static void take_chunks(struct body *b, const struct admin_reply *r)
{
	const char *at = r->data + r->start, *end = r->data + r->end;

	while (at < end) {
		char *rest;
		size_t len = strtoul(at, &rest, 16);

		assert_memory_equal(rest, "\r\n", 2);
		at = rest + 2;
		b->bytes = realloc(b->bytes, b->len + len + 1);
		assert_non_null(b->bytes);
		memcpy(b->bytes + b->len, at, len);
		b->len += len;
		b->bytes[b->len] = '\0';
		assert_memory_equal(at + len, "\r\n", 2);
		at += len + 2;
		b->pieces++;
	}
	assert_ptr_equal(at, end);
}

/* The whole answer to a request with these fields; it lies elsewhere for each piece. */
static struct body ask(const char *fields)
{
	struct admin_reply places[2];
	struct body b = { NULL, 0, 0 };
	char head[256];
	int here = 0, len;

	len = snprintf(head, sizeof(head), "GET /metrics HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	assert_int_equal(admin_answer(&config, true, SPAN(head, (size_t)len), &places[0]), 0);
	assert_non_null(places[0].more);
	while (places[here].more) {
		places[!here] = places[here];
		memset(&places[here], 0xff, sizeof(places[here]));
		here = !here;
		assert_int_equal(admin_reply_more(&places[here]), 1);
		/* A slow reader holds no more than this. */
		assert_true(places[here].capacity <= 65536);
		take_chunks(&b, &places[here]);
	}
	admin_reply_fini(&places[here]);
	return b;
}

static char *unzip(const struct body *b, size_t room)
{
	char *out = calloc(1, room + 1);
	z_stream s = { .next_in = (Bytef *)b->bytes, .avail_in = (uInt)b->len };

	assert_non_null(out);
	assert_int_equal(inflateInit2(&s, 15 + 16), Z_OK);
	s.next_out = (Bytef *)out;
	s.avail_out = (uInt)room;
	assert_int_equal(inflate(&s, Z_FINISH), Z_STREAM_END);
	assert_int_equal(s.avail_in, 0);
	inflateEnd(&s);
	return out;
}

static void test_pieces(void **state)
{
	static const char last[] = "sluice_connect_duration_seconds_count{direction=\"inbound\","
				   "server_port=\"500\"} 1\n";
	struct body plain = ask(""), zipped = ask("Accept-Encoding: gzip\r\n");
	char *text = unzip(&zipped, 2 * plain.len);
	char *process_at = strstr(plain.bytes, "# HELP process_");

	(void)state;
	assert_true(plain.pieces > 10 && zipped.pieces > 1);
	assert_true(zipped.len < plain.len / 5);
	assert_non_null(strstr(plain.bytes, last));
	/* All the same up to what changes by itself. */
	assert_non_null(process_at);
	assert_memory_equal(text, plain.bytes, (size_t)(process_at - plain.bytes));
	free(text);
	free(plain.bytes);
	free(zipped.bytes);
}

/* An answer that is given up half way leaves nothing behind (the sanitizers see to that). */
static void test_given_up(void **state)
{
	static const char head[] = "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
	struct admin_reply r;

	(void)state;
	assert_int_equal(admin_answer(&config, true, SPAN_LIT(head), &r), 0);
	assert_int_equal(admin_reply_more(&r), 1);
	admin_reply_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
