// SPDX-License-Identifier: GPL-2.0-or-later
/* Addresses that a forward proxy does not go to, in every spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_rules.h"

static const char *const forbidden[] = {
	"0.0.0.0",
	"0.1.2.3",
	"127.0.0.1",
	"127.255.255.255",
	"169.254.0.1",
	"169.254.169.254",
	"100.100.100.200",
	"224.0.0.1",
	"239.255.255.255",
	"255.255.255.255",
	"::",
	"::1",
	"fe80::1",
	"febf::1",
	"ff02::1",
	"fd00:ec2::254",
	"fd20:ce::254",
	/* The same of IPv4, spelt as IPv6. */
	"::ffff:127.0.0.1",
	"::ffff:0.0.0.0",
	"::ffff:169.254.169.254",
	"::ffff:100.100.100.200",
	"::127.0.0.1",
	"::169.254.169.254",
	"2002:7f00:1::",
	"2002:a9fe:a9fe::1",
	"64:ff9b::127.0.0.1",
	"64:ff9b::169.254.169.254",
	"64:ff9b::0.0.0.0",
	"64:ff9b::1",
	/* The prefix for local use: as /96, /48, /56 and /64. */
	"64:ff9b:1::127.0.0.1",
	"64:ff9b:1:ffff::169.254.169.254",
	"64:ff9b:1::",
	"64:ff9b:1:7f00:0:100::",
	"64:ff9b:1:a9fe:a9:fe00::",
	"64:ff9b:1:aa7f:0:1::",
	"64:ff9b:1:aaa9:fe:a9fe::",
	"64:ff9b:1:aabb:7f:0:100:0",
	"64:ff9b:1:aabb:a9:fea9:fe00:0",
};

static const char *const allowed[] = {
	"1.1.1.1",
	"10.0.0.1",
	"100.100.100.199",
	"126.255.255.255",
	"128.0.0.1",
	"169.253.0.1",
	"192.168.0.1",
	"198.51.100.1",
	"223.255.255.255",
	"2001:db8::1",
	"fd00:ec2::253",
	"fd00::1",
	"fec0::1",
	"fe00::1",
	"::ffff:10.0.0.1",
	"2002:a00:1::",
	"64:ff9b::8.8.8.8",
	"64:ff9b:1::8.8.8.8",
	"64:ff9b:1:808:8:800::",
	"64:ff9b:1:aabb:8:808:800:0",
};

static const char *judge(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a, NULL), 0);
	return forward_rules_forbid(&a);
}

static void test_forbidden(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		if (!judge(forbidden[i]))
			fail_msg("allowed: %s", forbidden[i]);
	}
}

static void test_allowed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		if (judge(allowed[i]))
			fail_msg("forbidden: %s: %s", allowed[i], judge(allowed[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
