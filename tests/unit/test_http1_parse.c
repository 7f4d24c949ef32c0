// SPDX-License-Identifier: GPL-2.0-or-later
/* The grammar of HTTP/1's lines, value by value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_parse.h"

#define BAD UINT64_MAX

static const struct {
	const char *text;
	uint64_t value;
} chunk_sizes[] = {
	{ "0", 0 },
	{ "a", 10 },
	{ "00FF", 255 },
	{ "1;x=y", 1 },
	{ "1 ;x", 1 },
	{ "2\t", 2 },
	{ "7fffffffffffffff", INT64_MAX },
	{ "0000000000000000000001", 1 },
	{ "8000000000000000", BAD },
	{ "10000000000000000", BAD },
	{ "", BAD },
	{ ";", BAD },
	{ " 1", BAD },
	{ "-1", BAD },
	{ "0x1", BAD },
	{ "1g", BAD },
	{ "1\r", BAD },
};

static const struct {
	const char *text;
	uint64_t value;
} lengths[] = {
	{ "0", 0 },
	{ "0007", 7 },
	{ "42, 42,42", 42 },
	{ "9223372036854775807", INT64_MAX },
	{ "9223372036854775808", BAD },
	{ "99999999999999999999", BAD },
	{ "42, 43", BAD },
	{ "42,", BAD },
	{ "", BAD },
	{ "+1", BAD },
	{ "1 1", BAD },
	{ "0x10", BAD },
};

static void test_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chunk_sizes); i++) {
		uint64_t value = 0;
		bool ok = http1_parse_chunk_size(span_str(chunk_sizes[i].text), &value);

		if ((ok ? value : BAD) != chunk_sizes[i].value)
			fail_msg("chunk size '%s': %d", chunk_sizes[i].text, ok);
	}
	assert_false(http1_parse_chunk_size(SPAN("1\0", 2), &(uint64_t){ 0 }));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		uint64_t value = 0;
		bool ok = http1_parse_length(span_str(lengths[i].text), &value);

		if ((ok ? value : BAD) != lengths[i].value)
			fail_msg("length '%s': %d", lengths[i].text, ok);
	}
}

static void test_status(void **state)
{
	static const struct {
		const char *text;
		unsigned status; /* 0: refused */
	} rows[] = {
		{ "HTTP/1.1 200 OK", 200 },    { "HTTP/1.0 404", 404 },
		{ "HTTP/1.1  599 x", 599 },    { "HTTP/1.1 999 ", 999 },
		{ "HTTP/1.1 099 x", 0 },       { "HTTP/1.1 20 OK", 0 },
		{ "HTTP/1.1 2000 OK", 0 },     { "HTTP/2.0 200 OK", 0 },
		{ "HTTP/1.1\t200 OK", 0 },     { "http/1.1 200 OK", 0 },
		{ "HTTP/1.1            ", 0 }, { "ICY 200 OK and more", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint16_t status = 0;
		bool ok = http1_parse_status_line(span_str(rows[i].text), &status);

		if (ok != (rows[i].status != 0) || (ok && status != rows[i].status))
			fail_msg("'%s': %d %u", rows[i].text, ok, status);
	}
}

static void test_hosts(void **state)
{
	static const struct {
		enum http_method method;
		const char *target, *host;
	} rows[] = {
		{ HTTP_METHOD_GET, "/", "" },
		{ HTTP_METHOD_GET, "/?u=http://x/", "" },
		{ HTTP_METHOD_GET, "*", "" },
		{ HTTP_METHOD_GET, "http://x", "x" },
		{ HTTP_METHOD_GET, "HTTPS://x:443/p", "x" },
		{ HTTP_METHOD_GET, "http://u:p@x:1#f", "x" },
		{ HTTP_METHOD_GET, "http://[fd00::1]:80/", "fd00::1" },
		{ HTTP_METHOD_GET, "http://[fd00::1", "[fd00::1" },
		{ HTTP_METHOD_GET, "http:///p", "" },
		{ HTTP_METHOD_GET, "http:/x", "" },
		{ HTTP_METHOD_GET, "x", "" },
		{ HTTP_METHOD_CONNECT, "x:443", "x" },
		{ HTTP_METHOD_CONNECT, "x", "x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct span host = http1_host_of(
			http1_target_authority(span_str(rows[i].target), rows[i].method));

		if (!span_eq(host, span_str(rows[i].host)))
			fail_msg("'%s': '%.*s'", rows[i].target, SPAN_FMT(host));
	}
}

static void test_paths(void **state)
{
	static const struct {
		const char *target, *path;
	} rows[] = {
		{ "/", "/" },	     { "/a/b?c/d?e", "/a/b" }, { "/?", "/" },
		{ "//a", "//a" },    { "/%61?x", "/%61" },     { "http://h:80/a?b", "/a" },
		{ "HTTP://h", "/" }, { "http://h?q", "/" },    { "/x?u=http://h/y", "/x" },
		{ "*", "" },	     { "h:80", "" },	       { "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct span path = http1_target_path(span_str(rows[i].target));

		if (!span_eq(path, span_str(rows[i].path)))
			fail_msg("'%s': '%.*s'", rows[i].target, SPAN_FMT(path));
	}
}

static void test_fields(void **state)
{
	struct span value;

	(void)state;
	assert_int_equal(http1_parse_field(SPAN_LIT("CONTENT-length:  5 "), &value),
			 HTTP1_FIELD_LENGTH);
	assert_true(span_eq(value, SPAN_LIT("5")));
	assert_int_equal(http1_parse_field(SPAN_LIT("Transfer-Encoding \t:x"), &value),
			 HTTP1_FIELD_CODING);
	assert_int_equal(http1_parse_field(SPAN_LIT("TRACEPARENT: x"), &value), HTTP1_FIELD_TRACE);
	assert_int_equal(http1_parse_field(SPAN_LIT("host:"), &value), HTTP1_FIELD_HOST);
	assert_int_equal(value.len, 0);
	assert_int_equal(http1_parse_field(SPAN_LIT("\tx"), &value), HTTP1_FIELD_FOLD);
	assert_int_equal(http1_parse_field(SPAN_LIT("Host"), &value), HTTP1_FIELD_OTHER);
	assert_int_equal(http1_parse_field(SPAN_LIT("Hostess: x"), &value), HTTP1_FIELD_OTHER);
	assert_int_equal(http1_parse_field(SPAN_LIT("Content-Length x: 1"), &value),
			 HTTP1_FIELD_OTHER);
	assert_true(http1_last_coding_is_chunked(SPAN_LIT("gzip,\tCHUNKED ")));
	assert_false(http1_last_coding_is_chunked(SPAN_LIT("chunked, gzip")));
	assert_false(http1_last_coding_is_chunked(SPAN_LIT("xchunked")));
	assert_false(http1_last_coding_is_chunked(SPAN_LIT("")));
}

/* What is refused early must be what the whole line would be refused for. */
static void test_early_refusal(void **state)
{
	(void)state;
	assert_true(http1_may_be_request_line(SPAN_LIT("G")));
	assert_true(http1_may_be_request_line(SPAN_LIT("M-SEARCH ")));
	assert_true(http1_may_be_request_line(SPAN_LIT("\r")));
	assert_true(http1_may_be_request_line(SPAN_LIT("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF")));
	assert_false(http1_may_be_request_line(SPAN_LIT("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG")));
	assert_false(http1_may_be_request_line(SPAN_LIT("\rG")));
	assert_false(http1_may_be_request_line(SPAN_LIT("GET\t/")));
	assert_false(http1_may_be_request_line(SPAN_LIT(" GET /")));
	assert_false(http1_may_be_request_line(SPAN_LIT("caf\xc3\xa9")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_status),
		cmocka_unit_test(test_hosts),	cmocka_unit_test(test_fields),
		cmocka_unit_test(test_paths),	cmocka_unit_test(test_early_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
