// SPDX-License-Identifier: GPL-2.0-or-later
/* traceparent: what is valid and sampled, and that nothing else is taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trace.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void test_values(void **state)
{
	static const struct {
		const char *value;
		bool good;
	} rows[] = {
		{ "00-" TRACE "-" PARENT "-01", true },
		{ "00-" TRACE "-" PARENT "-03", true }, /* a flag of a later level */
		{ "00-" TRACE "-" PARENT "-ff", true },
		{ "00-" TRACE "-" PARENT "-00", false }, /* not sampled */
		{ "00-" TRACE "-" PARENT "-02", false },
		{ "cc-" TRACE "-" PARENT "-01", true }, /* a later version */
		{ "cc-" TRACE "-" PARENT "-01-what-comes", true },
		{ "cc-" TRACE "-" PARENT "-01.what", false },
		{ "00-" TRACE "-" PARENT "-01-what", false },
		{ "ff-" TRACE "-" PARENT "-01", false },
		{ "0g-" TRACE "-" PARENT "-01", false },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false },
		{ "00-00000000000000000000000000000000-" PARENT "-01", false },
		{ "00-" TRACE "-0000000000000000-01", false },
		{ "00-" TRACE "-0000000000000001-01", true },
		{ "00_" TRACE "-" PARENT "-01", false },
		{ "00-" TRACE "_" PARENT "-01", false },
		{ "00-" TRACE "-" PARENT "_01", false },
		{ "00-" TRACE "-" PARENT "-1", false },
		{ "00-" TRACE "-" PARENT "-0x", false },
		{ "00-" TRACE "-00f067aa0ba902bz-01", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct trace t = { .span_id = { 1 } };

		if (trace_parse(span_str(rows[i].value), &t) != rows[i].good)
			fail_msg("%s", rows[i].value);
		assert_int_equal(trace_is_some(&t), rows[i].good);
	}
}

static void test_bytes(void **state)
{
	static const uint8_t trace_id[16] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
					      0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36 };
	static const uint8_t span_id[8] = { 0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7 };
	char longest[TRACE_VALUE_MAX + 2] = "cc-" TRACE "-" PARENT "-01-";
	struct trace t;

	(void)state;
	assert_true(trace_parse(SPAN_LIT("00-" TRACE "-" PARENT "-01"), &t));
	assert_memory_equal(t.trace_id, trace_id, sizeof(trace_id));
	assert_memory_equal(t.span_id, span_id, sizeof(span_id));
	memset(longest + 56, 'x', sizeof(longest) - 56);
	assert_true(trace_parse(SPAN(longest, TRACE_VALUE_MAX), &t));
	assert_false(trace_parse(SPAN(longest, TRACE_VALUE_MAX + 1), &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
