// SPDX-License-Identifier: GPL-2.0-or-later
/* What --inbound-target takes, and what it refuses. */
#include "target.h"

#include <setjmp.h>
#include <stdarg.h>
/* After the two above, which it needs. */
#include <cmocka.h>

struct reading {
	const char *text, *address; /* NULL: any */
	uint16_t port;
	bool v4_loopback;
};

static void test_taken(void **state)
{
	static const struct reading cases[] = {
		{ "127.0.0.1:8080", "127.0.0.1", 8080, true },
		{ "127.9.9.9:1", "127.9.9.9", 1, true },
		{ "10.0.0.1:65535", "10.0.0.1", 65535, false },
		{ "[::1]:8080", "::1", 8080, false },
		{ "[fd00::1]:80", "fd00::1", 80, false },
		{ "[::ffff:127.0.0.1]:80", "127.0.0.1", 80, true },
		{ ":8080", NULL, 8080, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[ADDR_TEXT_MAX];
		struct target t = { .given = false };

		assert_int_equal(target_parse(span_str(cases[i].text), &t, NULL), 0);
		assert_true(t.given);
		assert_int_equal(t.port, cases[i].port);
		assert_int_equal(t.any_address, cases[i].address == NULL);
		assert_int_equal(target_is_v4_loopback(&t), cases[i].v4_loopback);
		if (cases[i].address)
			assert_string_equal(addr_text(&t.addr, text), cases[i].address);
	}
}

static void test_refused(void **state)
{
	static const char *const cases[] = {
		"",
		":",
		":0",
		":65536",
		"8080",
		"127.0.0.1",
		"127.0.0.1:",
		"localhost:80",
		"0.0.0.0:80",
		"[::]:80",
		"::1:80x",
		"[fe80::1]:80",
		"224.0.0.1:80",
		"[ff02::1]:80",
		"::1",
		"[::1]80",
		"255.255.255.255:80",
		"[::ffff:0.0.0.0]:80",
		":80 ",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct target t = { .given = false };
		struct err e = ERR_INIT;

		if (target_parse(span_str(cases[i]), &t, &e) == 0)
			fail_msg("'%s' was taken", cases[i]);
		assert_int_equal(e.status, EXIT_USAGE);
		assert_false(t.given);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
