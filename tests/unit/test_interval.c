// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of number ranges. */
#include "interval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>

static void add(struct u32_ranges *r, uint32_t first, uint32_t last)
{
	assert_int_equal(u32_ranges_add(r, first, last, NULL), 0);
}

static void test_overlapping_and_touching_merge(void **state)
{
	struct u32_ranges r = { 0 };

	(void)state;
	add(&r, 80, 89);
	add(&r, 90, 95);
	add(&r, 1, 1);
	add(&r, 85, 100);
	add(&r, 102, 102);
	add(&r, 103, 109);
	u32_ranges_normalize(&r);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.ranges[0].first, 1);
	assert_int_equal(r.ranges[0].last, 1);
	assert_int_equal(r.ranges[1].first, 80);
	assert_int_equal(r.ranges[1].last, 100);
	assert_int_equal(r.ranges[2].first, 102);
	assert_int_equal(r.ranges[2].last, 109);
	u32_ranges_fini(&r);
}

static void test_the_largest_value_does_not_wrap(void **state)
{
	struct u32_ranges r = { 0 };

	(void)state;
	add(&r, 5, UINT32_MAX);
	add(&r, 0, 3);
	add(&r, 7, 9);
	u32_ranges_normalize(&r);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.ranges[1].last, UINT32_MAX);
	assert_false(u32_ranges_have(&r, 4));
	assert_true(u32_ranges_have(&r, UINT32_MAX));
	u32_ranges_fini(&r);
}

static void test_membership_at_the_edges(void **state)
{
	struct u32_ranges r = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		add(&r, 10 * (999 - i), 10 * (999 - i) + 4);
	u32_ranges_normalize(&r);
	assert_int_equal(r.count, 1000);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(u32_ranges_have(&r, i), i % 10 < 5);
	u32_ranges_fini(&r);
}

static void test_items(void **state)
{
	static const char *const bad[] = { "",	    "0",  "70000", "80-", "-80", "8-5",
					   "1-2-3", "+5", "*",	   "80 ", "0x50" };
	struct u32_ranges r = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(u32_ranges_parse_item(&r, span_str(bad[i]), 1, 65535, false, &e),
				 -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
	assert_int_equal(r.count, 0);
	assert_int_equal(u32_ranges_parse_item(&r, SPAN_LIT("80"), 1, 65535, false, &e), 0);
	assert_int_equal(u32_ranges_parse_item(&r, SPAN_LIT("1-65535"), 1, 65535, false, &e), 0);
	assert_int_equal(r.count, 2);
	assert_false(r.all);
	assert_int_equal(u32_ranges_parse_item(&r, SPAN_LIT("*"), 1, 65535, true, &e), 0);
	assert_true(r.all);
	assert_true(u32_ranges_have(&r, 12345));
	u32_ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlapping_and_touching_merge),
		cmocka_unit_test(test_the_largest_value_does_not_wrap),
		cmocka_unit_test(test_membership_at_the_edges),
		cmocka_unit_test(test_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
