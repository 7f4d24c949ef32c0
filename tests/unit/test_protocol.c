// SPDX-License-Identifier: GPL-2.0-or-later
/* The words of the metrics: every value has one, and methods are told apart by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "protocol.h"

static void test_words_are_distinct(void **state)
{
	static const struct {
		const char *const *words;
		unsigned first, count; /* from the first that must have a word of its own */
	} tables[] = {
		{ direction_names, 0, DIRECTION_COUNT },
		{ way_names, 0, WAY_COUNT },
		{ protocol_names, 1, PROTOCOL_COUNT },
		{ http_method_names, 1, HTTP_METHOD_COUNT },
		{ http_version_names, 1, HTTP_VERSION_COUNT },
		{ outcome_names, 0, OUTCOME_COUNT },
		{ error_type_names, 2, ERROR_TYPE_COUNT },
		{ lost_reason_names, 0, LOST_REASON_COUNT },
		{ dns_question_names, 0, DNS_QUESTION_COUNT },
		{ dns_result_names, 0, DNS_RESULT_COUNT },
	};

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (unsigned i = tables[t].first; i < tables[t].count; i++) {
			assert_true(tables[t].words[i][0] != '\0');
			for (unsigned j = tables[t].first; j < i; j++)
				assert_string_not_equal(tables[t].words[i], tables[t].words[j]);
		}
	}
	assert_string_equal(protocol_names[PROTOCOL_UNKNOWN], "tcp");
	assert_string_equal(error_type_names[ERROR_NONE], "");
}

static void test_methods(void **state)
{
	(void)state;
	for (int m = HTTP_METHOD_GET; m < HTTP_METHOD_OTHER; m++)
		assert_int_equal(http_method_of(span_str(http_method_names[m])), m);
	assert_int_equal(http_method_of(SPAN_LIT("get")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_of(SPAN_LIT("GETS")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_of(SPAN_LIT("GE")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_of(SPAN_LIT("_OTHER")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_of(SPAN_LIT("")), HTTP_METHOD_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_distinct),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
