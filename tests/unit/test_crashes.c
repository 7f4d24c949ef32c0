// SPDX-License-Identifier: GPL-2.0-or-later
/* When a worker that crashes is left without its observers, and when it has them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crashes.h"

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)

/* The clock does not begin with us. */
#define START (77 * MINUTE)

/* @count of them, a second apart; returns when the last one was. */
static uint64_t crash(struct crashes *c, unsigned count, uint64_t now)
{
	for (unsigned i = 0; i < count; i++) {
		now += SECOND;
		crashes_forgive(c, now);
		crashes_add(c, now);
	}
	return now;
}

static bool blind_at(struct crashes *c, uint64_t now)
{
	crashes_forgive(c, now);
	return c->blind;
}

static void test_three_in_a_minute(void **state)
{
	struct crashes c = { .count = 0 };
	uint64_t now = crash(&c, 2, START);

	(void)state;
	assert_false(c.blind);
	crash(&c, 1, now);
	assert_true(c.blind);
	assert_false(c.rest);
}

static void test_three_in_more_than_a_minute(void **state)
{
	struct crashes c = { .count = 0 };

	(void)state;
	crashes_add(&c, START);
	crashes_add(&c, START + 30 * SECOND);
	crashes_add(&c, START + MINUTE);
	assert_false(c.blind);
	/* Those before count as well, as long as the minute holds them. */
	crashes_add(&c, START + MINUTE + 29 * SECOND);
	assert_true(c.blind);
}

static void test_observing_again_after_ten_minutes(void **state)
{
	struct crashes c = { .count = 0 };
	uint64_t last = crash(&c, 3, START);

	(void)state;
	assert_true(blind_at(&c, last));
	assert_true(blind_at(&c, last + 10 * MINUTE - 1));
	assert_false(blind_at(&c, last + 10 * MINUTE));
	assert_false(blind_at(&c, last + 11 * MINUTE));
	/* One more is no reason. */
	crashes_add(&c, last + 11 * MINUTE);
	assert_false(c.blind);
}

/* They were no observer's fault, then; the time is not put off. */
static void test_crashes_while_nothing_is_observed(void **state)
{
	struct crashes c = { .count = 0 };
	uint64_t last = crash(&c, 3, START);

	(void)state;
	crash(&c, 5, last + 5 * MINUTE);
	assert_true(blind_at(&c, last + 10 * MINUTE - 1));
	assert_false(blind_at(&c, last + 10 * MINUTE));
}

static void test_each_time_lasts_twice_as_long(void **state)
{
	struct crashes c = { .count = 0 };
	uint64_t now = START, minutes = 10;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		now = crash(&c, 3, now);
		assert_true(blind_at(&c, now + minutes * MINUTE - 1));
		now += minutes * MINUTE;
		assert_false(blind_at(&c, now));
		minutes = MIN(2 * minutes, 24 * 60u);
	}
	assert_int_equal(minutes, 24 * 60);
}

static void test_ten_in_a_minute(void **state)
{
	struct crashes c = { .count = 0 };
	uint64_t now = crash(&c, 9, START);

	(void)state;
	assert_false(c.rest);
	now = crash(&c, 1, now);
	assert_true(c.rest);
	crashes_forgive(&c, now + MINUTE - 1);
	assert_true(c.rest);
	crashes_forgive(&c, now + MINUTE);
	assert_false(c.rest);
	/* And observing has its own time. */
	assert_true(c.blind);
	/* Nine more, which were not within a minute with those before. */
	now = crash(&c, 9, now + MINUTE);
	assert_false(c.rest);
	crash(&c, 1, now);
	assert_true(c.rest);
}

/* So slowly that none is ever the third within a minute. */
static void test_many_far_apart(void **state)
{
	struct crashes c = { .count = 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		crashes_add(&c, START + i * 30 * SECOND);
		assert_false(c.blind);
		assert_false(c.rest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_in_a_minute),
		cmocka_unit_test(test_three_in_more_than_a_minute),
		cmocka_unit_test(test_observing_again_after_ten_minutes),
		cmocka_unit_test(test_crashes_while_nothing_is_observed),
		cmocka_unit_test(test_each_time_lasts_twice_as_long),
		cmocka_unit_test(test_ten_in_a_minute),
		cmocka_unit_test(test_many_far_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
