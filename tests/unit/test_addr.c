// SPDX-License-Identifier: GPL-2.0-or-later
/* Addresses, CIDR blocks, merged lists. */
#include "addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>

static struct cidr_list list(const char *const *items)
{
	struct cidr_list l = { 0 };

	for (; *items; items++)
		assert_int_equal(cidr_list_parse_item(&l, span_str(*items), true, NULL), 0);
	cidr_list_normalize(&l);
	return l;
}

#define LIST(...) list((const char *const[]){ __VA_ARGS__, NULL })

static bool has(const struct cidr_list *l, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a, NULL), 0);
	return cidr_list_has(l, &a);
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "",	       "10",	       "10.0.0.0/33", "10.0.0.0/",
					   "/8",       "10.0.0.256",   "fd00::/129",  "fd00::/-1",
					   "fd00:::1", "10.0.0.0/8/8", "10.0.0.0 ",   "host" };
	struct err e = ERR_INIT;
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(cidr_parse(span_str(bad[i]), &c, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
}

static void test_host_bits_are_masked(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct cidr c;

	(void)state;
	assert_int_equal(cidr_parse(SPAN_LIT("10.255.3.1/9"), &c, NULL), 0);
	assert_string_equal(addr_text(&c.addr, text), "10.128.0.0");
	assert_int_equal(c.prefix, 9);
	assert_int_equal(cidr_parse(SPAN_LIT("fd00:ffff::1/17"), &c, NULL), 0);
	assert_string_equal(addr_text(&c.addr, text), "fd00:8000::");
	assert_int_equal(cidr_parse(SPAN_LIT("1.2.3.4"), &c, NULL), 0);
	assert_int_equal(c.prefix, 32);
}

/* A socket's ::ffff:10.0.0.1 is a packet's 10.0.0.1, so blocks of such addresses are IPv4. */
static void test_mapped_blocks_are_ipv4(void **state)
{
	static const struct {
		const char *text, *addr;
		uint8_t prefix;
	} cases[] = {
		{ "::ffff:10.77.0.2", "10.77.0.2", 32 },
		{ "::ffff:10.77.3.9/112", "10.77.0.0", 16 },
		{ "::ffff:a4d:0/128", "10.77.0.0", 32 },
		{ "::ffff:0:0/96", "0.0.0.0", 0 },
		{ "::ffff:1.2.3.4/95", "::fffe:0:0", 95 },
		{ "::/0", "::", 0 },
		{ "::ffff:0:0:0/96", "::ffff:0:0:0", 96 },
	};
	char text[ADDR_TEXT_MAX];
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(cidr_parse(span_str(cases[i].text), &c, NULL), 0);
		assert_string_equal(addr_text(&c.addr, text), cases[i].addr);
		assert_int_equal(c.prefix, cases[i].prefix);
	}
}

static void test_lists_merge(void **state)
{
	struct cidr_list l = LIST("10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24",
				  "fd00::/64", "fd00:0:0:1::/64");

	(void)state;
	assert_int_equal(l.family[ADDR_V4].count, 2);
	assert_int_equal(l.family[ADDR_V6].count, 1);
	assert_true(has(&l, "10.0.0.0"));
	assert_true(has(&l, "10.0.1.255"));
	assert_false(has(&l, "10.0.2.0"));
	assert_false(has(&l, "9.255.255.255"));
	assert_true(has(&l, "fd00::1:ffff:ffff:ffff:ffff"));
	assert_false(has(&l, "fd00:0:0:2::"));
	cidr_list_fini(&l);
}

static void test_the_last_address(void **state)
{
	struct cidr_list l = LIST("255.255.255.255", "255.255.255.254", "0.0.0.0/0", "ffff::/16");
	uint8_t next[16], prefix;

	(void)state;
	assert_int_equal(l.family[ADDR_V4].count, 1);
	assert_true(addr_range_is_cidr(&l.family[ADDR_V4].ranges[0], ADDR_V4, &prefix));
	assert_int_equal(prefix, 0);
	assert_true(has(&l, "255.255.255.255"));
	assert_false(addr_successor(l.family[ADDR_V4].ranges[0].last, ADDR_V4, next));
	assert_false(addr_successor(l.family[ADDR_V6].ranges[0].last, ADDR_V6, next));
	assert_true(addr_successor(l.family[ADDR_V4].ranges[0].first, ADDR_V4, next));
	assert_int_equal(next[3], 1);
	cidr_list_fini(&l);
}

static void test_ranges_that_are_no_block(void **state)
{
	struct cidr_list l = LIST("10.0.0.1", "10.0.0.2", "10.0.0.3");
	uint8_t prefix;

	(void)state;
	assert_int_equal(l.family[ADDR_V4].count, 1);
	assert_false(addr_range_is_cidr(&l.family[ADDR_V4].ranges[0], ADDR_V4, &prefix));
	cidr_list_fini(&l);
}

static void test_loopback(void **state)
{
	static const struct {
		const char *text;
		bool loopback;
	} cases[] = { { "127.0.0.1", true },
		      { "127.255.0.1", true },
		      { "128.0.0.1", false },
		      { "::1", true },
		      { "::2", false },
		      { "::ffff:127.0.0.1", true },
		      { "::ffff:10.0.0.1", false } };
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(addr_parse(span_str(cases[i].text), &a, NULL), 0);
		assert_int_equal(addr_is_loopback(&a), cases[i].loopback);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_host_bits_are_masked),
		cmocka_unit_test(test_mapped_blocks_are_ipv4),
		cmocka_unit_test(test_lists_merge),
		cmocka_unit_test(test_the_last_address),
		cmocka_unit_test(test_ranges_that_are_no_block),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
