// SPDX-License-Identifier: GPL-2.0-or-later
/* Plans: the rows of the contract, their order, and what each option adds or takes away. */
#include "sluice_config.h"

#include "plan_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct planned {
	struct config config;
	struct plan plan;
};

static void planned_init(struct planned *p, const char *const *args)
{
	assert_int_equal(config_from(&p->config, args, NULL), 0);
	assert_int_equal(plan_build(&p->plan, &p->config, NULL), 0);
}

#define PLANNED(p, ...) planned_init(p, (const char *const[]){ __VA_ARGS__, NULL })

static void planned_fini(struct planned *p)
{
	plan_fini(&p->plan);
	config_fini(&p->config);
}

/* "out-proxy out-local ..." of one chain. */
static const char *rows(const struct plan *p, enum plan_chain_id chain)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < p->chains[chain].count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "",
					plan_row_id(p->chains[chain].rules[i].row));
	return text;
}

/* The first rule of a row. */
static const struct plan_rule *rule_of(const struct plan *p, enum plan_row row)
{
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		for (size_t i = 0; i < p->chains[c].count; i++) {
			if (p->chains[c].rules[i].row == row)
				return &p->chains[c].rules[i];
		}
	}
	return NULL;
}

static void assert_rule(const struct plan *p, enum plan_row row, const char *text)
{
	const struct plan_rule *r = rule_of(p, row);
	char line[PLAN_LINE_MAX];

	assert_non_null(r);
	assert_string_equal(plan_rule_text(r, 0, false, line), text);
}

static void test_the_default_rows_in_order(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, NULL);
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_HEARTBEAT), "beat");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_OUTBOUND),
			    "out-proxy out-local out-linklocal out-dead out-redirect");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND),
			    "in-local in-forward in-own in-open in-closed");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND_OPEN), "in-dead in-redirect");
	assert_false(p.plan.chains[PLAN_CHAIN_OUTBOUND_OWNED].present);
	assert_int_equal(plan_rule_count(&p.plan), 15);
	planned_fini(&p);
}

static void test_every_row_in_order(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--proxy-gid=3", "--exclude-interfaces=eth1,veth+", "--exclude-uids=1",
		"--exclude-gids=2", "--include-uids=4,5", "--include-gids=6",
		"--outbound-exclude-ports=1", "--outbound-exclude-cidrs=10.0.0.0/8,fd00::/8",
		"--outbound-include-ports=80", "--outbound-include-cidrs=1.0.0.0/8",
		"--inbound-exclude-ports=22", "--inbound-exclude-cidrs=10.0.0.0/8",
		"--inbound-include-ports=80");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_HEARTBEAT), "beat beat");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_OUTBOUND),
			    "out-proxy out-proxy out-local out-linklocal out-iface out-iface "
			    "out-owner out-owner out-owned out-owned out-owner");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_OUTBOUND_OWNED),
			    "out-port-excl out-cidr-excl out-cidr-excl out-not-incl out-not-incl "
			    "out-not-incl out-dead out-redirect");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND),
			    "in-local in-iface in-iface in-forward in-own in-port-excl "
			    "in-cidr-excl in-not-incl in-open in-closed");
	planned_fini(&p);
}

static void test_fail_closed_keeps_the_heartbeat(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--fail=closed");
	assert_null(rule_of(&p.plan, PLAN_ROW_OUT_DEAD));
	assert_null(rule_of(&p.plan, PLAN_ROW_IN_DEAD));
	assert_non_null(rule_of(&p.plan, PLAN_ROW_BEAT));
	planned_fini(&p);
}

static void test_directions(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--inbound=off");
	assert_false(p.plan.chains[PLAN_CHAIN_NAT_PREROUTING].present);
	assert_false(p.plan.chains[PLAN_CHAIN_INBOUND].present);
	assert_true(p.plan.chains[PLAN_CHAIN_OUTBOUND].present);
	planned_fini(&p);
	PLANNED(&p, "--outbound=off", "--inbound-closed=redirect");
	assert_false(p.plan.chains[PLAN_CHAIN_NAT_OUTPUT].present);
	assert_false(p.plan.chains[PLAN_CHAIN_INBOUND_OPEN].present);
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND),
			    "in-local in-forward in-own in-dead in-redirect");
	planned_fini(&p);
}

static void test_a_family_without_includes_is_direct(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--outbound-include-cidrs=fd00::/8");
	assert_rule(&p.plan, PLAN_ROW_OUT_NOT_INCL, "meta nfproto ipv4 return");
	planned_fini(&p);
	PLANNED(&p, "--outbound-include-cidrs=10.0.0.0/8");
	assert_rule(&p.plan, PLAN_ROW_OUT_NOT_INCL, "ip daddr != @out-not-incl4 return");
	planned_fini(&p);
}

static void test_ports_that_are_not_included(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--outbound-include-ports=80", "--inbound-include-ports=80,81");
	assert_rule(&p.plan, PLAN_ROW_OUT_NOT_INCL, "tcp dport != @out-not-incl-port return");
	assert_rule(&p.plan, PLAN_ROW_IN_NOT_INCL, "tcp dport != @in-not-incl-port return");
	planned_fini(&p);
}

static void test_rules_say_what_they_mean(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--proxy-uid=7", "--inbound-port=100", "--outbound-port=200",
		"--heartbeat-timeout=1s", "--outbound-exclude-ports=5,6-9",
		"--inbound-exclude-cidrs=fd00::/8", "--exclude-interfaces=veth+");
	assert_rule(&p.plan, PLAN_ROW_BEAT,
		    "meta skuid 7 oifname \"lo\" udp dport 100 update @alive { meta nfproto "
		    "timeout 1000ms } drop");
	assert_rule(&p.plan, PLAN_ROW_OUT_SYN,
		    "tcp flags & (fin | syn | rst | ack) == syn jump outbound");
	assert_rule(&p.plan, PLAN_ROW_OUT_PROXY, "meta skuid 7 return");
	assert_rule(&p.plan, PLAN_ROW_OUT_IFACE, "oifname \"veth*\" return");
	assert_rule(&p.plan, PLAN_ROW_OUT_PORT_EXCL, "tcp dport @out-port-excl return");
	assert_rule(&p.plan, PLAN_ROW_OUT_REDIRECT, "meta l4proto tcp redirect to :200");
	assert_rule(&p.plan, PLAN_ROW_IN_CIDR_EXCL, "ip6 saddr @in-cidr-excl6 return");
	assert_rule(&p.plan, PLAN_ROW_IN_REDIRECT, "meta l4proto tcp dnat to :100-115");
	planned_fini(&p);
}

static void test_own_ports_are_never_redirected(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--inbound-port=100", "--outbound-port=116", "--admin-port=117");
	assert_int_equal(p.plan.own_ports.count, 1);
	assert_int_equal(p.plan.own_ports.ranges[0].first, 100);
	assert_int_equal(p.plan.own_ports.ranges[0].last, 117);
	planned_fini(&p);
}

static void test_tproxy(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--inbound-mode=tproxy", "--proxy-gid=7");
	assert_false(p.plan.chains[PLAN_CHAIN_NAT_PREROUTING].present);
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_MANGLE_PREROUTING),
			    "in-local in-proxied in-syn");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND),
			    "in-forward in-own in-open in-open in-closed");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND_OPEN), "in-dead in-redirect");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_MANGLE_OUTPUT),
			    "in-source in-source in-answer");
	assert_rule(&p.plan, PLAN_ROW_IN_REDIRECT,
		    "meta l4proto tcp tproxy to :9211 ct mark set 0x736c accept");
	assert_rule(&p.plan, PLAN_ROW_IN_PROXIED,
		    "meta l4proto tcp ct mark 0x736c tproxy to :9211 accept");
	assert_rule(&p.plan, PLAN_ROW_IN_SYN,
		    "tcp flags & (fin | syn | rst | ack) == syn ct state new jump inbound");
	assert_true(plan_needs_route(&p.plan));
	planned_fini(&p);
	PLANNED(&p, "--inbound-mode=tproxy", "--inbound=off");
	assert_false(plan_needs_route(&p.plan));
	assert_false(p.plan.chains[PLAN_CHAIN_MANGLE_PREROUTING].present);
	planned_fini(&p);
	/* With nothing else to translate, an anchor keeps what another mode translated. */
	PLANNED(&p, "--inbound-mode=tproxy", "--outbound=off", "--fail=closed");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_NAT_PREROUTING), "in-anchor");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_INBOUND_OPEN), "in-redirect in-unserved");
	planned_fini(&p);
}

static void test_invalid_packets(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--drop-invalid", "--exclude-interfaces=eth1");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_MANGLE_PREROUTING),
			    "in-local in-iface in-invalid");
	assert_rule(&p.plan, PLAN_ROW_IN_INVALID,
		    "meta l4proto tcp ct state invalid fib daddr type local drop");
	assert_false(plan_needs_route(&p.plan));
	planned_fini(&p);
}

static void test_quic(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--reject-quic", "--exclude-uids=1", "--include-uids=4",
		"--outbound-exclude-cidrs=10.0.0.0/8", "--outbound-include-ports=80,443");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_QUIC_OUTPUT), "out-quic");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_QUIC),
			    "out-proxy out-local out-linklocal out-owner out-owned out-owner");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_QUIC_OWNED),
			    "out-cidr-excl out-dead out-reject");
	assert_rule(&p.plan, PLAN_ROW_OUT_QUIC, "udp dport 443 ct state new jump quic");
	planned_fini(&p);
	PLANNED(&p, "--reject-quic", "--outbound-exclude-ports=400-500");
	assert_false(p.plan.chains[PLAN_CHAIN_QUIC_OUTPUT].present);
	planned_fini(&p);
	PLANNED(&p, "--reject-quic", "--outbound-include-ports=80");
	assert_false(p.plan.chains[PLAN_CHAIN_QUIC_OUTPUT].present);
	planned_fini(&p);
}

static void test_virtual_interfaces(void **state)
{
	struct planned p;

	(void)state;
	PLANNED(&p, "--virtual-interfaces=vm+,tap0", "--exclude-interfaces=vm7", "--exclude-uids=1",
		"--outbound-exclude-ports=22");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_NAT_PREROUTING),
			    "out-virtual out-virtual in-syn");
	assert_string_equal(rows(&p.plan, PLAN_CHAIN_VIRTUAL),
			    "out-local out-linklocal out-iface out-port-excl out-dead "
			    "out-redirect");
	assert_int_equal(p.plan.own_ports.ranges[0].first, 9001);
	assert_int_equal(p.plan.own_ports.ranges[0].last, 9016);
	planned_fini(&p);
}

static void test_the_anchor_of_tproxy(void **state)
{
	const struct plan_ports ports = {
		.inbound_first = 9211,
		.inbound_last = 9211,
		.tproxy = true,
	};
	struct plan p;

	(void)state;
	assert_int_equal(plan_build_anchor(&p, &ports, NULL), 0);
	assert_string_equal(rows(&p, PLAN_CHAIN_MANGLE_PREROUTING), "in-proxied");
	assert_string_equal(rows(&p, PLAN_CHAIN_MANGLE_OUTPUT), "in-answer");
	plan_fini(&p);
}

static void test_the_anchor_keeps_the_ports(void **state)
{
	const struct plan_ports both = { .inbound_first = 100,
					 .inbound_last = 115,
					 .outbound_first = 200,
					 .outbound_last = 200 };
	const struct plan_ports outbound = { .outbound_first = 200, .outbound_last = 215 };
	struct plan p;

	(void)state;
	assert_int_equal(plan_build_anchor(&p, &both, NULL), 0);
	assert_int_equal(plan_rule_count(&p), 2);
	assert_rule(&p, PLAN_ROW_OUT_ANCHOR, "tcp dport 0 redirect to :200");
	assert_rule(&p, PLAN_ROW_IN_ANCHOR, "tcp dport 0 dnat to :100-115");
	plan_fini(&p);
	assert_int_equal(plan_build_anchor(&p, &outbound, NULL), 0);
	assert_int_equal(plan_rule_count(&p), 1);
	plan_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_default_rows_in_order),
		cmocka_unit_test(test_every_row_in_order),
		cmocka_unit_test(test_fail_closed_keeps_the_heartbeat),
		cmocka_unit_test(test_directions),
		cmocka_unit_test(test_a_family_without_includes_is_direct),
		cmocka_unit_test(test_ports_that_are_not_included),
		cmocka_unit_test(test_rules_say_what_they_mean),
		cmocka_unit_test(test_own_ports_are_never_redirected),
		cmocka_unit_test(test_tproxy),
		cmocka_unit_test(test_invalid_packets),
		cmocka_unit_test(test_quic),
		cmocka_unit_test(test_virtual_interfaces),
		cmocka_unit_test(test_the_anchor_of_tproxy),
		cmocka_unit_test(test_the_anchor_keeps_the_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
