// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines of the access log: times, the longest line there can be, and rings that are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "access_log.h"

#include "json.h"

#include <fcntl.h>

static struct metrics *metrics;
static struct metrics_shard *shard;

static int setup(void **state)
{
	const struct metrics_config config = { .max_samples = 1000,
					       .max_names = { 10, 10, 10, 10, 10 } };

	(void)state;
	metrics = metrics_new(&config, NULL);
	shard = metrics_shard_new(metrics, NULL);
	return shard ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	metrics_free(metrics);
	return 0;
}

/* Expected values from date -u -d @SECONDS +%FT%T. */
static void test_times(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.123Z" },
		{ 951782399, "2000-02-28T23:59:59.123Z" },
		{ 951782400, "2000-02-29T00:00:00.123Z" },
		{ 951868800, "2000-03-01T00:00:00.123Z" },
		{ 1709251199, "2024-02-29T23:59:59.123Z" },
		{ 1735689599, "2024-12-31T23:59:59.123Z" },
		{ 4107542400, "2100-03-01T00:00:00.123Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct access_entry x = { .started = 5, .ended = 5 };
		char line[ACCESS_LINE_MAX];
		size_t len = access_log_line(&x, SPAN("", 0), metrics, NULL,
					     cases[i].seconds * 1000000000 + 123456789, line);

		assert_true(len > 40 && line[len - 1] == '\n' && line[len - 2] == '}');
		line[9 + strlen(cases[i].text)] = '\0';
		assert_string_equal(line + 9, cases[i].text);
	}
}

/* Everything as long as it gets: still one whole line within the bound. */
static void test_longest(void **state)
{
	struct access_entry x;
	char line[ACCESS_LINE_MAX + 1], name[253], path[ACCESS_PATH_MAX];
	size_t len, quotes = 0;

	(void)state;
	memset(&x, 0xff, sizeof(x));
	memset(name, 'n', sizeof(name));
	memset(path, '\x01', sizeof(path));
	path[100] = '?';
	x.server_name = metrics_name(shard, SPAN(name, sizeof(name)), METRIC_NAME_HOST);
	x.detail = metrics_name(shard, SPAN(name, sizeof(name)), METRIC_NAME_METHOD);
	x.client.family = x.address.family = ADDR_V6;
	x.direction = DIRECTION_OUTBOUND;
	x.protocol = PROTOCOL_GRPC;
	x.method = HTTP_METHOD_OPTIONS;
	x.version = HTTP_VERSION_1_1;
	x.error = ERROR_STATUS;
	x.outcome = OUTCOME_RESET_BY_CLIENT;
	x.rpc_status = RPC_FAILED_PRECONDITION;
	x.started = 0;
	x.host_len = ACCESS_NAME_MAX;
	for (x.kind = ACCESS_HTTP; x.kind <= ACCESS_CONNECTION; x.kind++) {
		line[ACCESS_LINE_MAX] = 'x';
		len = access_log_line(&x, SPAN(path, sizeof(path)), metrics, NULL, 0, line);
		assert_int_equal(line[ACCESS_LINE_MAX], 'x');
		assert_true(len < ACCESS_LINE_MAX);
		assert_memory_equal(line + len - 2, "}\n", 2);
		assert_null(memchr(line, '\n', len - 1));
		for (size_t i = 0; i < len; i++)
			quotes += line[i] == '"';
		assert_int_equal(quotes % 2, 0);
	}
}

static void test_escapes(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(json_escape(SPAN_LIT("a\"\\\n"), out, sizeof(out)), 11);
	assert_memory_equal(out, "a\\\"\\\\\\u000a", 11);
	/* What has no room is left out whole. */
	assert_int_equal(json_escape(SPAN_LIT("abc\x7f"), out, 8), 3);
	assert_int_equal(json_escape(SPAN_LIT("abc\x7f"), out, 9), 9);
	assert_int_equal(json_escape(SPAN_LIT("a"), out, 0), 0);
}

/* A pipe that nobody reads: the ring fills, the rest is counted, and all that fitted comes out. */
static void test_full(void **state)
{
	struct access_log_config config = {
		.threads = 1, .entries = 64, .metrics = metrics, .receive = -1
	};
	struct access_log *log;
	struct access_ring *ring;
	uint64_t written, dropped, put = 0, lines = 0;
	int ends[2];
	char buffer[4096];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	config.fd = ends[1];
	assert_int_equal(access_log_start(&config, &log, NULL), 0);
	ring = access_log_ring(log, 0);
	assert_null(access_log_ring(NULL, 0));
	do {
		struct access_entry *x = access_ring_claim(ring);

		put++;
		if (x) {
			*x = (struct access_entry){ .flow = put };
			access_ring_publish(ring);
		}
		access_log_counts(log, &written, &dropped);
	} while (dropped < 1000);
	access_log_stop(log);
	close(ends[1]);
	while ((n = read(ends[0], buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += buffer[i] == '\n';
	}
	close(ends[0]);
	assert_true(lines >= written && lines + dropped <= put);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
