// SPDX-License-Identifier: GPL-2.0-or-later
/* Which addresses are private, and what part of a name is the service's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "names.h"

static struct addr address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a, NULL), 0);
	return a;
}

static void test_private(void **state)
{
	static const char *const yes[] = {
		"10.0.0.0",	   "10.255.255.255", "172.16.0.0", "172.31.255.255",
		"192.168.0.0",	   "192.168.255.1",  "100.64.0.0", "100.127.255.255",
		"::ffff:10.1.2.3", "fc00::",	     "fdff::ffff",
	};
	static const char *const no[] = {
		"9.255.255.255",
		"11.0.0.0",
		"172.15.255.255",
		"172.32.0.0",
		"192.167.255.255",
		"192.169.0.0",
		"100.63.0.0",
		"100.128.0.0",
		"127.0.0.1",
		"169.254.169.254",
		"8.8.8.8",
		"0.0.0.0",
		"::",
		"::1",
		"fe80::1",
		"2001:db8::1",
		"fbff::",
		"fe00::",
		"::ffff:8.8.8.8",
		"::fffe:10.1.2.3",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		struct addr a = address(yes[i]);

		if (!names_is_private(&a))
			fail_msg("%s is private", yes[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		struct addr a = address(no[i]);

		if (names_is_private(&a))
			fail_msg("%s is not private", no[i]);
	}
}

static void test_what_pods_share(void **state)
{
	static const struct {
		const char *name, *address, *service;
	} cases[] = {
		/* A service's own name, and a pod's of it. */
		{ "web.shop.svc.cluster.local", "10.1.2.3", NULL },
		{ "10-1-2-3.web.shop.svc.cluster.local", "10.1.2.3", "web.shop.svc.cluster.local" },
		{ "web-0.web.shop.svc.cluster.local", "10.1.2.3", "web.shop.svc.cluster.local" },
		{ "web-7d4b9c6f5-x2x9z.web.shop.svc.cluster.local", "10.1.2.3",
		  "web.shop.svc.cluster.local" },
		{ "fd00--1.web.shop.svc.cluster.local", "fd00::1", "web.shop.svc.cluster.local" },
		{ "10-1-2-3.shop.pod.cluster.local", "10.1.2.3", "shop.pod.cluster.local" },
		/* Names that are made to mislead. */
		{ "svc.shop.svc.cluster.local", "10.1.2.3", NULL },
		{ "10-1-2-3.svc.shop.svc.cluster.local", "10.1.2.3", "svc.shop.svc.cluster.local" },
		{ "web.pod.svc.cluster.local", "10.1.2.3", NULL },
		{ "web.svc.svc.cluster.local", "10.1.2.3", NULL },
		{ "10-1-2-3.web.svc.svc.cluster.local", "10.1.2.3", "web.svc.svc.cluster.local" },
		/* Elsewhere, only what spells the address. */
		{ "10-1-2-3.example.net", "10.1.2.3", "example.net" },
		{ "10-1-2-4.example.net", "10.1.2.3", NULL },
		{ "fd00--1.example.net", "fd00::1", "example.net" },
		{ "ip-10-1-2-3.eu-west-1.compute.internal", "10.1.2.3", NULL },
		{ "db-1.example.net", "10.1.2.3", NULL },
		{ "web", "10.1.2.3", NULL },
		/* Nothing would be left. */
		{ "10-1-2-3", "10.1.2.3", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr a = address(cases[i].address);
		struct span is = names_of_service(span_str(cases[i].name), &a);
		const char *want = cases[i].service ? cases[i].service : cases[i].name;

		if (!span_eq(is, span_str(want)))
			fail_msg("%s: %.*s", cases[i].name, SPAN_FMT(is));
	}
}

static void test_nothing_is_asked_without_a_resolver(void **state)
{
	const struct names n = { .resolver = NULL };
	struct addr a = address("10.1.2.3");
	struct names_flow f;

	(void)state;
	names_begin(&n, &f, &a, 1);
	names_look(&n, &f, &a, 2);
	assert_int_equal(f.name, METRIC_NAME_NONE);
	assert_int_equal(f.look_at, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_what_pods_share),
		cmocka_unit_test(test_nothing_is_asked_without_a_resolver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
