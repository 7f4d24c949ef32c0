// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rules of the legacy tables: what is read off the bytes is what was meant, what the kernel hands
 * back is brought into the same form, and each kind of drift is one line that names it.
 */
#include "sluice_config.h"

#include "compare_xt.h"
#include "decode_xt.h"
#include "encode_xt.h"

#include <netinet/in.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* One table of one family, twice. */
struct pair {
	struct config config;
	struct plan plan;
	struct lower lower;
	struct xtable want, have;
	char lines[8][512];
	size_t line_count;
};

static void pair_init(struct pair *p, enum addr_family family, enum lower_table table,
		      const char *const *args)
{
	*p = (struct pair){ .line_count = 0 };
	assert_int_equal(config_from(&p->config, args, NULL), 0);
	assert_int_equal(plan_build(&p->plan, &p->config, NULL), 0);
	assert_int_equal(lower_plan(&p->plan, family, &p->lower, NULL), 0);
	assert_int_equal(encode_xt(&p->lower, table, &p->want, NULL), 0);
	assert_int_equal(encode_xt(&p->lower, table, &p->have, NULL), 0);
}

#define PAIR(p, family, table, ...) \
	pair_init(p, family, table, (const char *const[]){ __VA_ARGS__, NULL })

static void pair_fini(struct pair *p)
{
	xtable_fini(&p->want);
	xtable_fini(&p->have);
	lower_fini(&p->lower);
	plan_fini(&p->plan);
	config_fini(&p->config);
}

static struct xtable_chain *chain_of(struct xtable *t, const char *name)
{
	for (size_t i = 0; i < t->chain_count; i++) {
		if (strcmp(t->chains[i].name, name) == 0)
			return &t->chains[i];
	}
	fail_msg("no chain %s", name);
	return NULL;
}

/* Rule @number of a chain reads as @text. */
static void assert_rule(const struct pair *p, const char *chain, size_t number, const char *text)
{
	const struct xtable_chain *c = xtable_find_chain(&p->want, chain);
	char line[DECODE_XT_LINE_MAX];

	assert_non_null(c);
	assert_in_range(number, 1, c->count);
	assert_string_equal(decode_xt(&p->want, &c->rules[number - 1], line), text);
}

static void test_rules_read_as_they_were_meant(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, "--exclude-uids=7-9", "--exclude-interfaces=veth+",
	     "--outbound-exclude-ports=22,80-89,443", "--inbound-exclude-ports=5-6",
	     "--outbound-exclude-cidrs=10.0.0.0/9,1.2.3.4,5.5.5.4/31,5.5.5.6");
	assert_rule(&p, "SLUICE_NAT_OUTPUT", 1,
		    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m comment --comment out-syn "
		    "-j SLUICE_OUTBOUND");
	assert_rule(&p, "SLUICE_OUTBOUND", 3, "-o veth+ -m comment --comment out-iface -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 4,
		    "-m owner --uid-owner 7-9 -m comment --comment out-owner -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 5,
		    "-p tcp -m multiport --dports 22,80:89,443 -m comment --comment out-port-excl "
		    "-j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 6,
		    "-d 1.2.3.4/32 -m comment --comment out-cidr-excl -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 7,
		    "-m iprange --dst-range 5.5.5.4-5.5.5.6 -m comment --comment out-cidr-excl "
		    "-j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 8,
		    "-d 10.0.0.0/9 -m comment --comment out-cidr-excl -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 10,
		    "-p tcp -m comment --comment out-redirect -j REDIRECT --to-ports 9001");
	assert_rule(&p, "SLUICE_INBOUND", 3,
		    "-m addrtype ! --dst-type LOCAL -m comment --comment in-forward -j RETURN");
	assert_rule(&p, "SLUICE_INBOUND", 5,
		    "-p tcp -m tcp --dport 5:6 -m comment --comment in-port-excl -j RETURN");
	assert_rule(&p, "SLUICE_INBOUND", 6,
		    "-m socket --nowildcard -m comment --comment in-open -g SLUICE_INBOUND_OPEN");
	assert_rule(&p, "SLUICE_INBOUND_OPEN", 2,
		    "-p tcp -m comment --comment in-redirect -j DNAT --to-destination :9211-9226");
	pair_fini(&p);
}

static void test_ipv6_and_raw(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V6, LOWER_RAW, "--proxy-gid=5", "--heartbeat-timeout=1500ms");
	assert_rule(&p, "SLUICE_HEARTBEAT", 2,
		    "-o lo -p udp -m owner --gid-owner 5 -m udp --dport 9211 -m recent --set "
		    "--name sluice_alive --mask :: --rdest -m comment --comment beat -j DROP");
	assert_int_equal(p.want.entry_count, 1);
	assert_string_equal(p.want.entries[0].builtin, "OUTPUT");
	pair_fini(&p);
	PAIR(&p, ADDR_V6, LOWER_NAT, "--heartbeat-timeout=1500ms",
	     "--outbound-include-cidrs=fd00::/8,2001:db8::5");
	assert_rule(&p, "SLUICE_OUTBOUND", 3,
		    "-d fe80::/10 -m comment --comment out-linklocal -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND", 5, "-d fd00::/8 -g SLUICE_OUTBOUND.2");
	assert_rule(&p, "SLUICE_OUTBOUND", 6, "-m comment --comment out-not-incl -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND.2", 1,
		    "-m recent ! --rcheck --seconds 2 --name sluice_alive --mask :: --rdest "
		    "-m comment --comment out-dead -j RETURN");
	assert_rule(&p, "SLUICE_OUTBOUND.2", 2,
		    "-p tcp -m comment --comment out-redirect -j REDIRECT --to-ports 9001");
	pair_fini(&p);
}

/* The kernel looks at an IPv6 rule's protocol only where a flag says so. */
static void test_the_protocol_is_looked_at(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V6, LOWER_NAT, NULL);
	for (size_t i = 0; i < p.want.chain_count; i++) {
		for (size_t j = 0; j < p.want.chains[i].count; j++) {
			const struct ip6t_entry *e =
				xtable_bytes(&p.want, &p.want.chains[i].rules[j]);

			assert_int_equal(!!e->ipv6.proto, !!(e->ipv6.flags & IP6T_F_PROTO));
			assert_int_equal(e->next_offset % 8, 0);
			assert_int_equal(e->next_offset, p.want.chains[i].rules[j].size);
		}
	}
	pair_fini(&p);
}

static void test_redirects_are_read_off(void **state)
{
	struct plan_ports ports = { .tproxy = false };
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V6, LOWER_NAT, "--inbound-port=100", "--outbound-port=200");
	decode_xt_ports(&p.want, &ports);
	assert_int_equal(ports.inbound_first, 100);
	assert_int_equal(ports.inbound_last, 115);
	assert_int_equal(ports.outbound_first, 200);
	pair_fini(&p);
}

/* The bytes of a rule as the kernel hands it out: used, and with what was in the buffer before. */
static void spoil(struct xtable *t, const struct xtable_rule *r)
{
	struct ipt_entry *e = (void *)(t->bytes + r->offset);
	struct xt_entry_target *target = (void *)((char *)e + e->target_offset);
	size_t len;

	e->counters.pcnt = 4;
	e->counters.bcnt = 400;
	e->comefrom = 9;
	for (size_t at = sizeof(*e); at < e->target_offset;) {
		struct xt_entry_match *m = (void *)((char *)e + at);

		len = strlen(m->u.user.name);
		m->u.user.name[len + 1] = 'x';
		at += m->u.match_size;
	}
	if (target->u.target_size == XT_ALIGN(sizeof(struct xt_standard_target))) {
		memset(target->u.user.name, 0, sizeof(target->u.user.name));
		target->u.user.name[5] = 'x';
		((struct xt_standard_target *)target)->verdict = -5;
	}
}

static void test_what_the_kernel_adds_does_not_count(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, NULL);
	for (size_t i = 0; i < p.have.chain_count; i++) {
		for (size_t j = 0; j < p.have.chains[i].count; j++) {
			const struct xtable_rule *r = &p.have.chains[i].rules[j];
			size_t standard = XT_ALIGN(sizeof(struct xt_standard_target));
			struct xtable_part target;
			char name[XT_EXTENSION_MAXNAMELEN];

			xtable_target_part(&p.have, r, &target);
			snprintf(name, sizeof(name), "%s", target.name);
			spoil(&p.have, r);
			assert_false(xtable_equal(&p.want, &p.have));
			xtable_normalize(&p.have, r, target.len + 32 == standard ? name : NULL);
			assert_true(xtable_equal(&p.want, &p.have));
		}
	}
	pair_fini(&p);
}

static void keep(const char *line, void *data)
{
	struct pair *p = data;

	if (p->line_count < ARRAY_SIZE(p->lines))
		snprintf(p->lines[p->line_count++], sizeof(p->lines[0]), "%s", line);
}

/* Exactly one difference, which reads as @line. */
static void assert_drift(struct pair *p, const char *line)
{
	assert_false(xtable_equal(&p->want, &p->have));
	assert_int_equal(compare_xtables(&p->want, &p->have, keep, p), 1);
	assert_int_equal(p->line_count, 1);
	assert_string_equal(p->lines[0], line);
	p->line_count = 0;
}

static void test_equal_is_no_drift(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, "--outbound-exclude-ports=1-10");
	assert_true(xtable_equal(&p.want, &p.have));
	assert_int_equal(compare_xtables(&p.want, &p.have, keep, &p), 0);
	pair_fini(&p);
}

static void test_a_rule_missing_extra_or_moved(void **state)
{
	struct xtable_rule rule;
	struct xtable_chain *c;
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, NULL);
	c = chain_of(&p.have, "SLUICE_OUTBOUND");
	rule = c->rules[1];
	memmove(&c->rules[1], &c->rules[2], (--c->count - 1) * sizeof(rule));
	assert_drift(&p, "missing rule: IPv4 nat, chain SLUICE_OUTBOUND, out-local: -o lo "
			 "-m comment --comment out-local -j RETURN");
	memmove(&c->rules[1], &c->rules[0], c->count++ * sizeof(rule));
	c->rules[0] = rule;
	assert_int_equal(compare_xtables(&p.want, &p.have, keep, &p), 2);
	p.line_count = 0;
	c = chain_of(&p.have, "SLUICE_NAT_OUTPUT");
	c->count--;
	c = chain_of(&p.want, "SLUICE_NAT_OUTPUT");
	c->count--;
	xtable_fini(&p.have);
	assert_int_equal(encode_xt(&p.lower, LOWER_NAT, &p.have, NULL), 0);
	assert_drift(&p, "extra rule: IPv4 nat, chain SLUICE_NAT_OUTPUT, number 1: -p tcp -m tcp "
			 "--tcp-flags FIN,SYN,RST,ACK SYN -m comment --comment out-syn "
			 "-j SLUICE_OUTBOUND");
	pair_fini(&p);
}

static void test_a_rule_changed(void **state)
{
	struct xtable_rule *r;
	struct ipt_entry *e;
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, NULL);
	r = &chain_of(&p.have, "SLUICE_INBOUND")->rules[0];
	e = (void *)(p.have.bytes + r->offset);
	e->ip.iniface[1] = '0';
	assert_drift(&p, "changed rule: IPv4 nat, chain SLUICE_INBOUND, in-local, number 1: has "
			 "-i l0 -m comment --comment in-local -j RETURN, should be -i lo "
			 "-m comment --comment in-local -j RETURN");
	e->ip.iniface[1] = 'o';
	e->ip.invflags = IPT_INV_VIA_IN;
	assert_drift(&p, "changed rule: IPv4 nat, chain SLUICE_INBOUND, in-local, number 1: has "
			 "! -i lo -m comment --comment in-local -j RETURN, should be -i lo "
			 "-m comment --comment in-local -j RETURN");
	pair_fini(&p);
}

static void test_entries(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V4, LOWER_NAT, NULL);
	p.have.entries[0].position = 3;
	assert_drift(&p, "moved rule: IPv4 nat, chain OUTPUT: is number 4, should be number 1: "
			 "-p tcp -j SLUICE_NAT_OUTPUT");
	p.have.entry_count--;
	p.have.entries[0].position = 0;
	assert_drift(&p, "missing rule: IPv4 nat, chain PREROUTING: -p tcp "
			 "-j SLUICE_NAT_PREROUTING");
	p.have.entry_count++;
	p.want.entry_count--;
	assert_drift(&p, "extra rule: IPv4 nat, chain PREROUTING, number 1: -p tcp "
			 "-j SLUICE_NAT_PREROUTING");
	pair_fini(&p);
}

static void test_chains(void **state)
{
	struct pair p;

	(void)state;
	PAIR(&p, ADDR_V6, LOWER_NAT, NULL);
	p.have.chain_count--;
	assert_drift(&p, "missing chain: IPv6 nat, SLUICE_OUTBOUND");
	p.have.chain_count++;
	p.want.chain_count--;
	assert_drift(&p, "extra chain: IPv6 nat, SLUICE_OUTBOUND");
	p.want.chain_count++;
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_read_as_they_were_meant),
		cmocka_unit_test(test_ipv6_and_raw),
		cmocka_unit_test(test_the_protocol_is_looked_at),
		cmocka_unit_test(test_redirects_are_read_off),
		cmocka_unit_test(test_what_the_kernel_adds_does_not_count),
		cmocka_unit_test(test_equal_is_no_drift),
		cmocka_unit_test(test_a_rule_missing_extra_or_moved),
		cmocka_unit_test(test_a_rule_changed),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
