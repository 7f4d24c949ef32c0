// SPDX-License-Identifier: GPL-2.0-or-later
/* gRPC's values, and its messages however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grpc.h"

static void test_content_type(void **state)
{
	(void)state;
	assert_true(grpc_is_content_type(SPAN_LIT("application/grpc")));
	assert_true(grpc_is_content_type(SPAN_LIT("application/grpc+proto")));
	assert_true(grpc_is_content_type(SPAN_LIT("Application/gRPC; charset=utf-8")));
	assert_false(grpc_is_content_type(SPAN_LIT("application/grpc-web")));
	assert_false(grpc_is_content_type(SPAN_LIT("application/grpc-web+proto")));
	assert_false(grpc_is_content_type(SPAN_LIT("application/grpcx")));
	assert_false(grpc_is_content_type(SPAN_LIT("application/grpc\0")));
	assert_false(grpc_is_content_type(SPAN_LIT("application/grp")));
	assert_false(grpc_is_content_type(SPAN_LIT("")));
}

static void test_status(void **state)
{
	char text[8];

	(void)state;
	for (int code = RPC_OK; code < RPC_STATUS_MISSING; code++) {
		snprintf(text, sizeof(text), "%d", code);
		assert_int_equal(grpc_status_of(span_str(text)), code);
	}
	assert_int_equal(grpc_status_of(SPAN_LIT("17")), RPC_UNKNOWN);
	assert_int_equal(grpc_status_of(SPAN_LIT("99")), RPC_UNKNOWN);
	assert_int_equal(grpc_status_of(SPAN_LIT("")), RPC_UNKNOWN);
	assert_int_equal(grpc_status_of(SPAN_LIT("-1")), RPC_UNKNOWN);
	assert_int_equal(grpc_status_of(SPAN_LIT("000")), RPC_UNKNOWN);
	assert_int_equal(grpc_status_of(SPAN_LIT("OK")), RPC_UNKNOWN);
}

static void test_timeout(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} cases[] = {
		{ "1n", 1 },	     { "1000000n", 1 }, { "1000001n", 2 },
		{ "99999u", 100 },   { "250m", 250 },	{ "3S", 3000 },
		{ "2M", 120000 },    { "1H", 3600000 }, { "99999999H", GRPC_TIMEOUT_MAX },
		{ "0S", 0 },	     { "5", 0 },	{ "S", 0 },
		{ "", 0 },	     { "5s", 0 },	{ "-5S", 0 },
		{ "123456789m", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(grpc_timeout_of(span_str(cases[i].text)), cases[i].ms);
}

static void test_method(void **state)
{
	static const struct {
		const char *path, *method;
	} cases[] = {
		{ "/helloworld.Greeter/SayHello", "helloworld.Greeter/SayHello" },
		{ "/S/M", "S/M" },
		{ "/S/M/extra", "S/M/extra" },
		{ "/S/", "" },
		{ "//M", "" },
		{ "/SM", "" },
		{ "S/M", "" },
		{ "/", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(span_eq(grpc_method_of(span_str(cases[i].path)),
				    span_str(cases[i].method)));
}

static void test_messages(void **state)
{
	static const char bytes[] = "\0\0\0\0\3abc"	/* one of 3 bytes */
				    "\1\0\0\0\0"	/* compressed, empty */
				    "\0\0\0\1\0"	/* one of 256, of which there are */
				    "0123456789abcdef"; /* 16 */

	(void)state;
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		struct grpc_messages m = { 0 };

		for (size_t at = 0; at < sizeof(bytes) - 1; at += cut)
			grpc_messages_feed(&m, SPAN(bytes + at, MIN(cut, sizeof(bytes) - 1 - at)));
		assert_int_equal(m.count, 2);
		assert_int_equal(m.length, 240);
		for (unsigned i = 0; i < 15; i++)
			grpc_messages_feed(&m, SPAN(bytes, 16));
		assert_int_equal(m.count, 3);
		grpc_messages_feed(&m, SPAN(bytes, 8));
		assert_int_equal(m.count, 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_type), cmocka_unit_test(test_status),
		cmocka_unit_test(test_timeout),	     cmocka_unit_test(test_method),
		cmocka_unit_test(test_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
