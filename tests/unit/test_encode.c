// SPDX-License-Identifier: GPL-2.0-or-later
/* Encoding: each kind of rule as nft(8) itself encodes the same line, and sets as key ranges. */
#include "sluice_config.h"

#include "compare.h"
#include "encode_nft.h"

#include <libnftnl/chain.h>
#include <libnftnl/set.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>

struct encoded {
	struct config config;
	struct plan plan;
	struct ruleset ruleset;
};

static int setup(void **state)
{
	static const char *const args[] = {
		"--proxy-uid=1337",
		"--exclude-uids=5,1000-4294967294",
		"--exclude-interfaces=eth1,veth+",
		"--outbound-exclude-ports=22,65000-65535",
		"--outbound-exclude-cidrs=10.0.0.0/8,240.0.0.0/4,fd00::/8",
		"--inbound-include-ports=80,443",
		"--inbound-exclude-cidrs=10.1.2.3",
		"--outbound-include-cidrs=fd00::/8",
		NULL
	};
	static struct encoded x;

	*state = &x;
	return config_from(&x.config, args, NULL) || plan_build(&x.plan, &x.config, NULL) ||
	       encode_nft(&x.plan, 7, &x.ruleset, NULL);
}

static int teardown(void **state)
{
	struct encoded *x = *state;

	ruleset_fini(&x->ruleset);
	plan_fini(&x->plan);
	config_fini(&x->config);
	return 0;
}

/*
 * The @nth rule of @chain. Expected texts were taken from `nft --debug=netlink -f` of the lines,
 * but for proto_max, which the kernel adds to a redirect.
 */
static void assert_expr(void **state, const char *chain, size_t nth, const char *expected)
{
	const struct encoded *x = *state;
	const struct ruleset_chain *c = ruleset_find_chain(&x->ruleset, chain);
	struct compare_form form;

	assert_non_null(c);
	assert_in_range(nth, 0, c->count - 1);
	compare_form(c->rules[nth].nft, &form);
	assert_string_equal(form.text, expected);
	assert_int_equal(form.timeout_ms, strcmp(chain, "heartbeat") == 0 ? 300 : 0);
}

static void test_heartbeat(void **state)
{
	assert_expr(state, "heartbeat", 0,
		    "[ meta load skuid => reg 1 ] [ cmp eq reg 1 0x00000539 ] /4 "
		    "[ meta load oifname => reg 1 ] "
		    "[ cmp eq reg 1 0x00006f6c 0x00000000 0x00000000 0x00000000 ] /16 "
		    "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000011 ] /1 "
		    "[ payload load 2b @ transport header + 2 => reg 1 ] "
		    "[ cmp eq reg 1 0x0000fb23 ] /2 "
		    "[ meta load nfproto => reg 1 ] "
		    "[ dynset update reg_key 1 set alive ] "
		    "[ counter ] [ immediate reg 0 drop ] beat");
}

static void test_outbound(void **state)
{
	static const char *const rules[] = {
		"[ meta load skuid => reg 1 ] [ cmp eq reg 1 0x00000539 ] /4 "
		"[ counter ] [ immediate reg 0 return ] out-proxy",
		"[ meta load oifname => reg 1 ] "
		"[ cmp eq reg 1 0x00006f6c 0x00000000 0x00000000 0x00000000 ] /16 "
		"[ counter ] [ immediate reg 0 return ] out-local",
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x0000000a ] /1 "
		"[ payload load 16b @ network header + 24 => reg 1 ] "
		"[ bitwise reg 1 = ( reg 1 & 0x0000c0ff 0x00000000 0x00000000 0x00000000 ) ^ "
		"0x00000000 0x00000000 0x00000000 0x00000000 ] "
		"[ cmp eq reg 1 0x000080fe 0x00000000 0x00000000 0x00000000 ] /16 "
		"[ counter ] [ immediate reg 0 return ] out-linklocal",
		"[ meta load oifname => reg 1 ] "
		"[ cmp eq reg 1 0x31687465 0x00000000 0x00000000 0x00000000 ] /16 "
		"[ counter ] [ immediate reg 0 return ] out-iface",
		"[ meta load oifname => reg 1 ] [ cmp eq reg 1 0x68746576 ] /4 "
		"[ counter ] [ immediate reg 0 return ] out-iface",
		"[ meta load skuid => reg 1 ] [ byteorder reg 1 = hton(reg 1, 4, 4) ] "
		"[ lookup reg 1 set out-owner-uid 0x0 ] "
		"[ counter ] [ immediate reg 0 return ] out-owner",
		"[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] /1 "
		"[ payload load 2b @ transport header + 2 => reg 1 ] "
		"[ lookup reg 1 set out-port-excl 0x0 ] "
		"[ counter ] [ immediate reg 0 return ] out-port-excl",
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x00000002 ] /1 "
		"[ payload load 4b @ network header + 16 => reg 1 ] "
		"[ lookup reg 1 set out-cidr-excl4 0x0 ] "
		"[ counter ] [ immediate reg 0 return ] out-cidr-excl",
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x0000000a ] /1 "
		"[ payload load 16b @ network header + 24 => reg 1 ] "
		"[ lookup reg 1 set out-cidr-excl6 0x0 ] "
		"[ counter ] [ immediate reg 0 return ] out-cidr-excl",
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x00000002 ] /1 "
		"[ counter ] [ immediate reg 0 return ] out-not-incl",
		"[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x0000000a ] /1 "
		"[ payload load 16b @ network header + 24 => reg 1 ] "
		"[ lookup reg 1 set out-not-incl6 0x1 ] "
		"[ counter ] [ immediate reg 0 return ] out-not-incl",
		"[ meta load nfproto => reg 1 ] [ lookup reg 1 set alive 0x1 ] "
		"[ counter ] [ immediate reg 0 return ] out-dead",
		"[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] /1 [ counter ] "
		"[ immediate reg 1 0x00002923 ] "
		"[ redir proto_min reg 1 proto_max reg 1 flags 0x2 ] out-redirect",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		assert_expr(state, "outbound", i, rules[i]);
}

static void test_inbound(void **state)
{
	assert_expr(state, "nat-prerouting", 0,
		    "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] /1 "
		    "[ payload load 1b @ transport header + 13 => reg 1 ] "
		    "[ bitwise reg 1 = ( reg 1 & 0x00000017 ) ^ 0x00000000 ] "
		    "[ cmp eq reg 1 0x00000002 ] /1 "
		    "[ counter ] [ immediate reg 0 jump -> inbound ] in-syn");
	assert_expr(state, "inbound", 3,
		    "[ fib daddr type => reg 1 ] [ cmp neq reg 1 0x00000002 ] /4 "
		    "[ counter ] [ immediate reg 0 return ] in-forward");
	assert_expr(state, "inbound", 5,
		    "[ meta load nfproto => reg 1 ] [ cmp eq reg 1 0x00000002 ] /1 "
		    "[ payload load 4b @ network header + 12 => reg 1 ] "
		    "[ lookup reg 1 set in-cidr-excl4 0x0 ] "
		    "[ counter ] [ immediate reg 0 return ] in-cidr-excl");
	assert_expr(state, "inbound", 7,
		    "[ socket load wildcard => reg 1 ] [ cmp lte reg 1 0x00000001 ] /1 "
		    "[ counter ] [ immediate reg 0 goto -> inbound-open ] in-open");
	assert_expr(state, "inbound", 8, "[ counter ] [ immediate reg 0 return ] in-closed");
	assert_expr(state, "inbound-open", 1,
		    "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x00000006 ] /1 [ counter ] "
		    "[ immediate reg 1 0x0000fb23 ] [ immediate reg 2 0x00000a24 ] "
		    "[ nat dnat inet proto_min reg 1 proto_max reg 2 flags 0x2 ] in-redirect");
}

static const struct ruleset_set *set_of(void **state, const char *name)
{
	const struct encoded *x = *state;
	const struct ruleset_set *s = ruleset_find_set(&x->ruleset, name);

	assert_non_null(s);
	return s;
}

static void test_ports_are_two_big_endian_bytes(void **state)
{
	const struct ruleset_set *s = set_of(state, "out-port-excl.7");

	assert_int_equal(s->ranges.count, 2);
	assert_memory_equal(s->ranges.ranges[0].first, "\x00\x16\0\0", 4);
	assert_memory_equal(s->ranges.ranges[1].first, "\xfd\xe8\0\0", 4);
	assert_memory_equal(s->ranges.ranges[1].last, "\xff\xff\0\0", 4);
	assert_int_equal(nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN), 2);
}

static void test_owners_are_four_big_endian_bytes(void **state)
{
	const struct ruleset_set *s = set_of(state, "out-owner-uid.7");

	assert_int_equal(s->ranges.count, 2);
	assert_memory_equal(s->ranges.ranges[1].first, "\x00\x00\x03\xe8", 4);
	assert_memory_equal(s->ranges.ranges[1].last, "\xff\xff\xff\xfe", 4);
}

static void test_the_alive_set_has_no_generation(void **state)
{
	const struct ruleset_set *s = set_of(state, "alive");

	assert_int_equal(nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN), 1);
	assert_int_equal(nftnl_set_get_u32(s->nft, NFTNL_SET_FLAGS), 0x30);
}

static void test_hooks(void **state)
{
	const struct encoded *x = *state;
	const struct ruleset_chain *c = ruleset_find_chain(&x->ruleset, "nat-output");

	assert_string_equal(nftnl_chain_get_str(c->nft, NFTNL_CHAIN_TYPE), "nat");
	assert_int_equal(nftnl_chain_get_s32(c->nft, NFTNL_CHAIN_PRIO), -101);
	c = ruleset_find_chain(&x->ruleset, "outbound");
	assert_false(nftnl_chain_is_set(c->nft, NFTNL_CHAIN_HOOKNUM));
}

static void test_ports_read_off_the_rules(void **state)
{
	const struct encoded *x = *state;
	struct plan_ports ports = ruleset_redirect_ports(&x->ruleset);

	assert_int_equal(ports.inbound_first, 9211);
	assert_int_equal(ports.inbound_last, 9226);
	assert_int_equal(ports.outbound_first, 9001);
}

static void test_free_generation(void **state)
{
	const struct encoded *x = *state;
	struct ruleset empty = { .exists = false };
	size_t len;

	assert_int_equal(ruleset_free_generation(&empty), 1);
	assert_int_equal(ruleset_free_generation(&x->ruleset), 1);
	assert_int_equal(ruleset_set_generation("a-b.12", &len), 12);
	assert_int_equal(len, 3);
	assert_int_equal(ruleset_set_generation("alive", &len), 0);
	assert_int_equal(len, 5);
	assert_int_equal(ruleset_set_generation("a.1x", &len), 0);
	assert_int_equal(ruleset_set_generation("a.99999999999", &len), 0);
	assert_int_equal(len, 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heartbeat),
		cmocka_unit_test(test_outbound),
		cmocka_unit_test(test_inbound),
		cmocka_unit_test(test_ports_are_two_big_endian_bytes),
		cmocka_unit_test(test_owners_are_four_big_endian_bytes),
		cmocka_unit_test(test_the_alive_set_has_no_generation),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_ports_read_off_the_rules),
		cmocka_unit_test(test_free_generation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
