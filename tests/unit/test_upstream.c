// SPDX-License-Identifier: GPL-2.0-or-later
/* Which port a connection from a client's address takes. */
#include "upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void test_never_the_client_s_own_nor_a_privileged_one(void **state)
{
	(void)state;
	for (unsigned client = 1; client <= 65535; client++) {
		for (unsigned attempt = 0; attempt < 16; attempt++) {
			uint16_t port = upstream_port((uint16_t)client, attempt);

			assert_true(port >= 1024);
			assert_int_not_equal(port, client);
		}
	}
}

/* net.ipv4.ip_local_port_range by default; most other systems have a part of it. */
#define LINUX_FIRST 32768
#define LINUX_LAST  60999

static void test_linux_clients_never_meet_one(void **state)
{
	static bool taken[65536];

	(void)state;
	memset(taken, 0, sizeof(taken));
	for (unsigned client = LINUX_FIRST; client <= LINUX_LAST; client++) {
		uint16_t port = upstream_port((uint16_t)client, 0);

		assert_true(port < LINUX_FIRST || port > LINUX_LAST);
		assert_false(taken[port]);
		taken[port] = true;
	}
}

static void test_attempts_differ(void **state)
{
	(void)state;
	for (unsigned client = 1; client <= 65535; client += 97) {
		for (unsigned a = 0; a < 16; a++) {
			for (unsigned b = 0; b < a; b++)
				assert_int_not_equal(upstream_port((uint16_t)client, a),
						     upstream_port((uint16_t)client, b));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_the_client_s_own_nor_a_privileged_one),
		cmocka_unit_test(test_linux_clients_never_meet_one),
		cmocka_unit_test(test_attempts_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
