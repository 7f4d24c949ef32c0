// SPDX-License-Identifier: GPL-2.0-or-later
/* Defaults, completion and cross-checks of the configuration. */
#include "sluice_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>

static void test_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(CONFIG_FROM(&c, NULL, NULL), 0);
	assert_true(u32_ranges_have(&c.proxy_uids, 1337));
	assert_int_equal(c.proxy_uids.count, 1);
	assert_int_equal(c.inbound_port, 9211);
	assert_int_equal(config_inbound_last(&c), 9226);
	assert_int_equal(c.outbound_port, 9001);
	assert_int_equal(c.heartbeat_timeout_ms, 300);
	assert_true(c.inbound_include_ports.all && c.outbound_include_ports.all);
	assert_true(c.outbound_include_cidrs.all);
	config_fini(&c);
}

static void test_given_values_replace_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(CONFIG_FROM(&c, NULL, "--proxy-uid=5,root", "--outbound-include-ports=80",
				     "--outbound-include-cidrs=fd00::/8"),
			 0);
	assert_false(u32_ranges_have(&c.proxy_uids, 1337));
	assert_true(u32_ranges_have(&c.proxy_uids, 0) && u32_ranges_have(&c.proxy_uids, 5));
	assert_false(c.outbound_include_ports.all || c.outbound_include_cidrs.all);
	config_fini(&c);
}

static void test_star_wins(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(CONFIG_FROM(&c, NULL, "--outbound-include-ports=80,*"), 0);
	assert_true(c.outbound_include_ports.all);
	config_fini(&c);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *args[3], *text;
	} cases[] = {
		{ { "--inbound-port=65521" },
		  "--inbound-port: '65521' leaves no room for the 15 ports after it: give 1 to "
		  "65520" },
		{ { "--outbound-port=9226" },
		  "--outbound-port: '9226' is one of the inbound ports 9211-9226 "
		  "(--inbound-port)" },
		{ { "--admin-port=9211" },
		  "--admin-port: '9211' is one of the inbound ports 9211-9226 (--inbound-port)" },
		{ { "--admin-port=9001" },
		  "--admin-port: '9001' is the outbound port (--outbound-port)" },
		{ { "--outbound-port=9200", "--virtual-interfaces=vm0" },
		  "--outbound-port: '9200' is one of the inbound ports 9211-9226 "
		  "(--inbound-port)" },
		{ { "--admin-port=9016", "--virtual-interfaces=vm0" },
		  "--admin-port: '9016' is one of the outbound ports 9001-9016 "
		  "(--outbound-port)" },
		{ { "--outbound-port=65521", "--virtual-interfaces=vm0" },
		  "--outbound-port: '65521' leaves no room for the 15 ports after it: give 1 to "
		  "65520" },
		{ { "--outbound=off", "--reject-quic" },
		  "--reject-quic: nothing outbound is redirected with --outbound=off" },
		{ { "--outbound=off", "--virtual-interfaces=vm0" },
		  "--virtual-interfaces: nothing outbound is redirected with --outbound=off" },
		{ { "--inbound-mode=magic" },
		  "--inbound-mode: 'magic' is not one of: redirect, tproxy" },
		{ { "--inbound=off", "--outbound=off" },
		  "--inbound=off with --outbound=off leaves nothing to redirect: use 'sluice "
		  "remove'" },
		{ { "--exclude-uids=no-such-user-here" },
		  "--exclude-uids: unknown user 'no-such-user-here'" },
		{ { "--include-gids=no-such-group-here" },
		  "--include-gids: unknown group 'no-such-group-here'" },
		{ { "--proxy-uid=4294967295" },
		  "--proxy-uid: '4294967295' is out of range: 0 to 4294967294" },
		{ { "--heartbeat-timeout=19ms" },
		  "--heartbeat-timeout: '19ms' is out of range: 20ms to 60000ms" },
		{ { "--outbound-exclude-ports=*" },
		  "--outbound-exclude-ports: '*' is not a number" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;
		struct config c;

		assert_int_equal(config_from(&c, cases[i].args, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
		assert_string_equal(e.text, cases[i].text);
		config_fini(&c);
	}
}

static void test_interfaces(void **state)
{
	static const char *const bad[] = {
		"", "+", ".", "..", "a/b", "a b", "a:b", "a*", "a\"", "a\\", "sixteen-letters-"
	};
	struct iface_list l = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(iface_list_parse_item(&l, span_str(bad[i]), &e), -EINVAL);
	assert_int_equal(l.count, 0);
	assert_int_equal(iface_list_parse_item(&l, SPAN_LIT("fifteen-letters"), &e), 0);
	assert_int_equal(iface_list_parse_item(&l, SPAN_LIT("veth+"), &e), 0);
	assert_false(l.items[0].prefix);
	assert_true(l.items[1].prefix);
	assert_string_equal(l.items[1].name, "veth");
	free(l.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_given_values_replace_defaults),
		cmocka_unit_test(test_star_wins),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_interfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
