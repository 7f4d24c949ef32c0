// SPDX-License-Identifier: GPL-2.0-or-later
/* When the heart rests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "quota.h"

static const struct quota quota = { .connections = 1000, .descriptors = 3000, .memory = 1 << 20 };

static void test_near(void **state)
{
	static const struct {
		struct usage used;
		enum rest near;
	} cases[] = {
		{ { 0, 0, 0 }, REST_NONE },
		{ { 899, 2699, 943718 }, REST_NONE },
		{ { 900, 2699, 943718 }, REST_CONNECTIONS },
		{ { 899, 2700, 943718 }, REST_DESCRIPTORS },
		{ { 899, 2699, 943719 }, REST_MEMORY },
		{ { 1000, 3000, 1 << 20 }, REST_CONNECTIONS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(quota_near(&quota, &cases[i].used), cases[i].near);
}

static void test_one_connection(void **state)
{
	const struct quota one = { .connections = 1, .descriptors = 100, .memory = 1 << 20 };

	(void)state;
	assert_int_equal(quota_near(&one, &(struct usage){ .connections = 0 }), REST_NONE);
	assert_int_equal(quota_near(&one, &(struct usage){ .connections = 1 }), REST_CONNECTIONS);
}

static void test_memory_default(void **state)
{
	(void)state;
	assert_int_equal(quota_memory_default(UINT64_MAX), 512ull << 20);
	assert_int_equal(quota_memory_default(1ull << 30), 512ull << 20);
	assert_int_equal(quota_memory_default(128ull << 20), 64ull << 20);
}

static void test_what_is_left_open(void **state)
{
	const struct proxy_config none = { .threads = 2 };
	const struct proxy_config all = { .threads = 2, .max_connections = 7, .max_memory = 64 };
	const struct pod pod = { .listener_count = 34 };
	struct quota l;

	(void)state;
	quota_init(&l, &none, &pod);
	assert_true(l.connections > 0 && l.memory > 0 && l.memory <= 512ull << 20);
	/* All connections and all pipes at once fit. */
	assert_true(2ull * l.connections + 2ull * l.pipes * none.threads <= l.descriptors);
	assert_int_equal(l.backlog, l.memory / 2 / none.threads);
	quota_init(&l, &all, &pod);
	assert_int_equal(l.connections, 7);
	assert_int_equal(l.memory, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_one_connection),
		cmocka_unit_test(test_memory_default),
		cmocka_unit_test(test_what_is_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
