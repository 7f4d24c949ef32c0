// SPDX-License-Identifier: GPL-2.0-or-later
/* Which streams are open, however they begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "forward_streams.h"

#include <stdlib.h>

static void test_both_sides_end_a_stream(void **state)
{
	struct forward_streams s = { .count = 0 };

	(void)state;
	assert_true(forward_streams_none(&s));
	forward_streams_begin(&s, 1, 0);
	forward_streams_begin(&s, 3, 0);
	assert_false(forward_streams_none(&s));
	forward_streams_end(&s, 1, FORWARD_STREAM_CLIENT);
	forward_streams_end(&s, 1, FORWARD_STREAM_CLIENT);
	assert_int_equal(s.count, 2);
	forward_streams_end(&s, 1, FORWARD_STREAM_SERVER);
	assert_int_equal(s.count, 1);
	/* It is not open any more, and no other is. */
	forward_streams_end(&s, 1, FORWARD_STREAM_BOTH);
	forward_streams_end(&s, 5, FORWARD_STREAM_BOTH);
	assert_int_equal(s.count, 1);
	forward_streams_end(&s, 3, FORWARD_STREAM_SERVER);
	assert_false(forward_streams_none(&s));
	forward_streams_end(&s, 3, FORWARD_STREAM_CLIENT);
	assert_true(forward_streams_none(&s));
	forward_streams_fini(&s);
}

static void test_a_reset_ends_a_stream(void **state)
{
	struct forward_streams s = { .count = 0 };

	(void)state;
	forward_streams_begin(&s, 7, 0);
	forward_streams_end(&s, 7, FORWARD_STREAM_BOTH);
	assert_true(forward_streams_none(&s));
	forward_streams_fini(&s);
}

static void test_a_promised_stream_has_one_end(void **state)
{
	struct forward_streams s = { .count = 0 };

	(void)state;
	forward_streams_begin(&s, 2, FORWARD_STREAM_CLIENT);
	/* Its trailers begin it no second time. */
	forward_streams_begin(&s, 2, FORWARD_STREAM_CLIENT);
	assert_int_equal(s.count, 1);
	forward_streams_end(&s, 2, FORWARD_STREAM_SERVER);
	assert_true(forward_streams_none(&s));
	forward_streams_fini(&s);
}

static void test_too_many(void **state)
{
	struct forward_streams s = { .count = 0 };

	(void)state;
	for (uint32_t i = 0; i < FORWARD_STREAMS_MAX; i++)
		forward_streams_begin(&s, 2 * i + 1, 0);
	assert_false(s.lost);
	forward_streams_begin(&s, 2 * FORWARD_STREAMS_MAX + 1, 0);
	assert_true(s.lost);
	assert_int_equal(s.count, FORWARD_STREAMS_MAX);
	for (uint32_t i = 0; i <= FORWARD_STREAMS_MAX; i++)
		forward_streams_end(&s, 2 * i + 1, FORWARD_STREAM_BOTH);
	assert_int_equal(s.count, 0);
	assert_false(forward_streams_none(&s));
	forward_streams_fini(&s);
	assert_true(forward_streams_none(&s));
}

#define STREAMS 300u

/* Against a table of all of them; ids of both sides, in no order. */
static void test_as_a_table_has_it(void **state)
{
	struct forward_streams s = { .count = 0 };
	uint8_t table[STREAMS]; /* 0xff: not open */
	uint32_t open = 0;

	(void)state;
	srand(1);
	for (uint32_t i = 0; i < STREAMS; i++)
		table[i] = 0xff;
	for (unsigned n = 0; n < 200000; n++) {
		uint32_t id = (uint32_t)rand() % STREAMS;
		uint8_t who = (uint8_t)(1 + rand() % 3);

		if (rand() % 2) {
			who %= 3;
			forward_streams_begin(&s, id, who);
			open += table[id] == 0xff;
			table[id] = table[id] == 0xff ? who : table[id];
		} else {
			forward_streams_end(&s, id, who);
			if (table[id] != 0xff)
				table[id] |= who;
			open -= table[id] == FORWARD_STREAM_BOTH;
			if (table[id] == FORWARD_STREAM_BOTH)
				table[id] = 0xff;
		}
		assert_int_equal(s.count, open);
		for (uint32_t i = 0; n % 100 == 0 && i < s.count; i++) {
			assert_int_equal(s.at[i].ended, table[s.at[i].id]);
			assert_true(!i || s.at[i - 1].id < s.at[i].id);
		}
	}
	forward_streams_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_sides_end_a_stream),
		cmocka_unit_test(test_a_reset_ends_a_stream),
		cmocka_unit_test(test_a_promised_stream_has_one_end),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_as_a_table_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
