// SPDX-License-Identifier: GPL-2.0-or-later
/* Numbers, durations and words out of text. */
#include "parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>

static void test_ports(void **state)
{
	static const char *const bad[] = { "",	 "0",  "65536", "99999999999999999999999",
					   "+1", "-1", " 1",	"1 ",
					   "1a", "0x1" };
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(parse_port(span_str(bad[i]), &port, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
	assert_int_equal(port, 7);
	assert_int_equal(parse_port(SPAN_LIT("65535"), &port, NULL), 0);
	assert_int_equal(port, 65535);
}

static void test_u64_ends(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(parse_u64(SPAN_LIT("18446744073709551615"), 0, UINT64_MAX, &v, NULL), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(parse_u64(SPAN_LIT("18446744073709551616"), 0, UINT64_MAX, &v, NULL),
			 -EINVAL);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{ "64MiB", 64ull << 20 },
		{ "64Mi", 64ull << 20 },
		{ "1KiB", 1024 },
		{ "512Ki", 512ull << 10 },
		{ "2GiB", 2ull << 30 },
		{ "4Gi", 4ull << 30 },
		{ "5Gi", 0 },
		{ "0MiB", 0 },
		{ "64", 0 },
		{ "MiB", 0 },
		{ "64M", 0 },
		{ "64MB", 0 },
		{ "64 MiB", 0 },
		{ "-1MiB", 0 },
		{ "1.5GiB", 0 },
		{ "4294967296GiB", 0 },
		{ "18446744073709551616KiB", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 7;
		int rc = parse_size(span_str(cases[i].text), 1024, 4ull << 30, &bytes, NULL);

		assert_int_equal(rc == 0, cases[i].bytes != 0);
		assert_int_equal(bytes, cases[i].bytes ? cases[i].bytes : 7);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t ms;
	} cases[] = {
		{ "300ms", 0, 300 },
		{ "2s", 0, 2000 },
		{ "1m", 0, 60000 },
		{ "300", -EINVAL, 0 },
		{ "19ms", -EINVAL, 0 },
		{ "2h", -EINVAL, 0 },
		{ "ms", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1.5s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "9999999999s", -EINVAL, 0 },
	};
	uint32_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ms = 0;
		assert_int_equal(parse_duration_ms(span_str(cases[i].text), 20, 3600000, &ms, NULL),
				 cases[i].rc);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void test_words(void **state)
{
	static const char *const words[] = { "open", "closed" };
	struct err e = ERR_INIT;
	unsigned word = 9;
	bool on = false;

	(void)state;
	assert_int_equal(parse_word(SPAN_LIT("closed"), words, 2, &word, &e), 0);
	assert_int_equal(word, 1);
	assert_int_equal(parse_word(SPAN_LIT("ajar"), words, 2, &word, &e), -EINVAL);
	assert_string_equal(e.text, "'ajar' is not one of: open, closed");
	assert_int_equal(parse_bool(SPAN_LIT("ON"), &on, &e), 0);
	assert_true(on);
	assert_int_equal(parse_bool(SPAN_LIT("false"), &on, &e), 0);
	assert_false(on);
	assert_int_equal(parse_bool(SPAN_LIT("2"), &on, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),	  cmocka_unit_test(test_u64_ends),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
