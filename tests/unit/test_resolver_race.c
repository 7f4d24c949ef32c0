// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether A waits for AAAA, and the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver_race.h"

#define NEVER UINT64_MAX

static const struct race_delays delays = { 50, { [ADDR_V4] = 60, [ADDR_V6] = 500 } };

/* Both came to what they are at 1000. */
static enum race_verdict judge(enum race_state v4, enum race_state v6, uint64_t now, uint64_t *due)
{
	const struct race r = {
		.halves = { [ADDR_V4] = { (uint8_t)v4, 1000 }, [ADDR_V6] = { (uint8_t)v6, 1000 } }
	};

	return race_judge(&r, &delays, now, due);
}

/* The same now and for ever. */
static void always(enum race_state v4, enum race_state v6, enum race_verdict verdict)
{
	static const uint64_t times[] = { 1000, 1050, 5000, NEVER - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		uint64_t due = 1;

		assert_int_equal(judge(v4, v6, times[i], &due), verdict);
		assert_true(due == NEVER);
	}
}

/* Waits until @end, and then is what it says. */
static void until(enum race_state v4, enum race_state v6, uint64_t end, enum race_verdict verdict)
{
	uint64_t due = 1;

	assert_int_equal(judge(v4, v6, 1000, &due), RACE_WAIT);
	assert_true(due == end);
	assert_int_equal(judge(v4, v6, end - 1, &due), RACE_WAIT);
	assert_int_equal(judge(v4, v6, end, &due), verdict);
	assert_true(due == NEVER);
}

static void test_addresses(void **state)
{
	(void)state;
	always(RACE_ASKED, RACE_ADDRESSES, RACE_PART);
	until(RACE_ADDRESSES, RACE_ASKED, 1050, RACE_PART);
	for (unsigned s = 0; s < RACE_STATE_COUNT; s++) {
		if (s == RACE_ASKED)
			continue;
		always(RACE_ADDRESSES, (enum race_state)s, RACE_WHOLE);
		always((enum race_state)s, RACE_ADDRESSES, RACE_WHOLE);
	}
}

static void test_no_such_name(void **state)
{
	(void)state;
	until(RACE_NO_NAME, RACE_ASKED, 1060, RACE_NEXT);
	until(RACE_ASKED, RACE_NO_NAME, 1500, RACE_NEXT);
	for (unsigned s = 0; s < RACE_STATE_COUNT; s++) {
		if (s == RACE_ASKED || s == RACE_ADDRESSES)
			continue;
		always(RACE_NO_NAME, (enum race_state)s, RACE_NEXT);
		always((enum race_state)s, RACE_NO_NAME, RACE_NEXT);
	}
}

/* That there is no A says nothing of AAAA. */
static void test_no_such_record(void **state)
{
	(void)state;
	always(RACE_NONE, RACE_ASKED, RACE_WAIT);
	always(RACE_ASKED, RACE_NONE, RACE_WAIT);
	always(RACE_NONE, RACE_SKIPPED, RACE_ASK);
	always(RACE_SKIPPED, RACE_NONE, RACE_ASK);
	always(RACE_NONE, RACE_NONE, RACE_NEXT);
}

static void test_failures(void **state)
{
	(void)state;
	always(RACE_FAILED, RACE_ASKED, RACE_WAIT);
	always(RACE_ASKED, RACE_SILENT, RACE_WAIT);
	always(RACE_ASKED, RACE_SKIPPED, RACE_WAIT);
	always(RACE_FAILED, RACE_SKIPPED, RACE_ASK);
	/* Another name, of another search domain, would be another host. */
	always(RACE_NONE, RACE_SILENT, RACE_GIVE_UP);
	always(RACE_FAILED, RACE_NONE, RACE_GIVE_UP);
	always(RACE_SILENT, RACE_SILENT, RACE_GIVE_UP);
}

static void test_endless_patience(void **state)
{
	static const struct race_delays patient = { NEVER, { NEVER, NEVER } };
	const struct race r = {
		.halves = { [ADDR_V4] = { RACE_ADDRESSES, 1000 }, [ADDR_V6] = { RACE_ASKED, 1000 } }
	};
	uint64_t due = 1;

	(void)state;
	assert_int_equal(race_judge(&r, &patient, NEVER - 1, &due), RACE_WAIT);
	assert_true(due == NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),	 cmocka_unit_test(test_no_such_name),
		cmocka_unit_test(test_no_such_record),	 cmocka_unit_test(test_failures),
		cmocka_unit_test(test_endless_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
