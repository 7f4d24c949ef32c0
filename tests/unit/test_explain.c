// SPDX-License-Identifier: GPL-2.0-or-later
/* Which rule decides: by the plan, and alike by what it encodes to for either backend. */
#include "sluice_config.h"

#include "encode_nft.h"
#include "encode_xt.h"
#include "explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <libnftnl/chain.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* A plan in all its forms. */
struct forms {
	struct config config;
	struct plan plan;
	struct ruleset nft;
	struct xtable xt[ADDR_FAMILY_COUNT][LOWER_TABLE_COUNT];
};

static void forms_init(struct forms *f, const char *const *args)
{
	assert_int_equal(config_from(&f->config, args, NULL), 0);
	assert_int_equal(plan_build(&f->plan, &f->config, NULL), 0);
	assert_int_equal(encode_nft(&f->plan, 1, &f->nft, NULL), 0);
	for (unsigned i = 0; i < ADDR_FAMILY_COUNT; i++) {
		struct lower l;

		assert_int_equal(lower_plan(&f->plan, i, &l, NULL), 0);
		for (unsigned t = 0; t < LOWER_TABLE_COUNT; t++)
			assert_int_equal(encode_xt(&l, t, &f->xt[i][t], NULL), 0);
		lower_fini(&l);
	}
}

static void forms_fini(struct forms *f)
{
	for (unsigned i = 0; i < ADDR_FAMILY_COUNT; i++) {
		for (unsigned t = 0; t < LOWER_TABLE_COUNT; t++)
			xtable_fini(&f->xt[i][t]);
	}
	ruleset_fini(&f->nft);
	plan_fini(&f->plan);
	config_fini(&f->config);
}

/* A question in the words of the command line. */
static struct packet question(const char *to, unsigned direction)
{
	struct packet p = { .direction = direction, .uid = 1000, .gid = 1000 };

	assert_int_equal(endpoint_parse(span_str(to), &p.to, NULL), 0);
	return p;
}

/* Asks all forms; they must agree. Returns the plan's answer. */
static struct explanation ask(const struct forms *f, const struct packet *p)
{
	const struct xtable *tables[LOWER_TABLE_COUNT];
	struct explanation by_plan, by_nft, by_xt;
	struct err e = ERR_INIT;

	for (unsigned t = 0; t < LOWER_TABLE_COUNT; t++)
		tables[t] = &f->xt[p->to.addr.family][t];
	assert_int_equal(explain_plan(&f->plan, p, &by_plan, NULL), 0);
	if (explain_nft(&f->nft, p, &by_nft, &e) < 0 || explain_xt(tables, p, &by_xt, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(by_nft.row, by_plan.row);
	assert_int_equal(by_nft.verdict, by_plan.verdict);
	assert_int_equal(by_nft.first, by_plan.first);
	assert_int_equal(by_nft.last, by_plan.last);
	assert_int_equal(by_xt.verdict, by_plan.verdict);
	assert_int_equal(by_xt.first, by_plan.first);
	assert_int_equal(by_xt.last, by_plan.last);
	/* That it stays in this chain says no row by itself. */
	if (by_plan.row[0])
		assert_string_equal(by_xt.row, by_plan.row);
	return by_plan;
}

struct row_case {
	const char *args[4]; /* NULL at the end */
	const char *to;
	unsigned direction;
	const char *from;
	uint32_t uid;
	const char *iface;
	enum packet_answer local, listening, alive;
	bool udp;
	const char *row;
};

#define OUT PACKET_OUTBOUND
#define IN  PACKET_INBOUND

static const struct row_case row_cases[] = {
	{ .to = "198.51.100.1:80", .row = "out-redirect" },
	{ .to = "[2001:db8::1]:80", .row = "out-redirect" },
	{ .to = "198.51.100.1:80", .uid = 1337, .row = "out-proxy" },
	{ .to = "127.0.0.9:80", .row = "out-local" },
	{ .to = "10.0.0.1:80", .local = PACKET_YES, .row = "out-local" },
	{ .to = "[fe80::1]:80", .row = "out-linklocal" },
	{ .to = "[febf::1]:80", .row = "out-linklocal" },
	{ .to = "[fec0::1]:80", .row = "out-redirect" },
	{ { "--exclude-interfaces=net1" }, "10.0.0.1:80", .iface = "net1", .row = "out-iface" },
	{ { "--exclude-interfaces=net1" }, "10.0.0.1:80", .iface = "net11", .row = "out-redirect" },
	{ { "--exclude-interfaces=ne+" }, "10.0.0.1:80", .iface = "net11", .row = "out-iface" },
	{ { "--exclude-uids=5-9" }, "10.0.0.1:80", .uid = 9, .row = "out-owner" },
	{ { "--include-uids=5-9" }, "10.0.0.1:80", .uid = 9, .row = "out-redirect" },
	{ { "--include-uids=5-9" }, "10.0.0.1:80", .uid = 10, .row = "out-owner" },
	{ { "--outbound-exclude-ports=22,80-90" }, "10.0.0.1:90", .row = "out-port-excl" },
	{ { "--outbound-exclude-ports=22,80-90" }, "10.0.0.1:91", .row = "out-redirect" },
	{ { "--outbound-exclude-cidrs=10.0.0.0/8" }, "10.9.9.9:1", .row = "out-cidr-excl" },
	{ { "--outbound-include-cidrs=10.0.0.0/8" }, "10.9.9.9:1", .row = "out-redirect" },
	{ { "--outbound-include-cidrs=10.0.0.0/8" }, "11.9.9.9:1", .row = "out-not-incl" },
	{ { "--outbound-include-cidrs=10.0.0.0/8" }, "[fd00::1]:1", .row = "out-not-incl" },
	{ { "--outbound-include-ports=443" }, "10.0.0.1:80", .row = "out-not-incl" },
	{ .to = "10.0.0.1:80", .alive = PACKET_NO, .row = "out-dead" },
	{ { "--fail=closed" }, "10.0.0.1:80", .alive = PACKET_NO, .row = "out-redirect" },
	{ { "--outbound=off" }, "10.0.0.1:80", .row = "" },
	{ .to = "10.0.0.1:80", .direction = IN, .row = "in-redirect" },
	{ .to = "10.0.0.1:80", .direction = IN, .iface = "lo", .row = "in-local" },
	{ { "--exclude-interfaces=net1" }, "10.0.0.1:80", IN, .iface = "net1", .row = "in-iface" },
	{ .to = "10.0.0.1:80", .direction = IN, .local = PACKET_NO, .row = "in-forward" },
	{ .to = "10.0.0.1:9226", .direction = IN, .row = "in-own" },
	{ .to = "10.0.0.1:9227", .direction = IN, .row = "in-redirect" },
	{ { "--inbound-exclude-ports=22" }, "10.0.0.1:22", IN, .row = "in-port-excl" },
	{ { "--inbound-exclude-cidrs=10.1.0.0/16" },
	  "10.0.0.1:80",
	  IN,
	  "10.1.2.3",
	  .row = "in-cidr-excl" },
	{ { "--inbound-exclude-cidrs=10.1.0.0/16" },
	  "10.0.0.1:80",
	  IN,
	  "10.2.2.3",
	  .row = "in-redirect" },
	{ { "--inbound-include-ports=443" }, "10.0.0.1:80", IN, .row = "in-not-incl" },
	{ .to = "10.0.0.1:80", .direction = IN, .listening = PACKET_NO, .row = "in-closed" },
	{ { "--inbound-closed=redirect" },
	  "10.0.0.1:80",
	  IN,
	  .listening = PACKET_NO,
	  .row = "in-redirect" },
	{ .to = "10.0.0.1:80", .direction = IN, .alive = PACKET_NO, .row = "in-dead" },
#define TPROXY "--inbound-mode=tproxy"
	{ { TPROXY }, "10.0.0.1:80", IN, .row = "in-redirect" },
	{ { TPROXY, "--fail=closed" }, "10.0.0.1:80", IN, .row = "in-redirect" },
	{ { TPROXY }, "10.0.0.1:80", IN, .iface = "lo", .row = "in-local" },
	{ { TPROXY }, "10.0.0.1:80", IN, .listening = PACKET_NO, .row = "in-closed" },
	{ { TPROXY }, "10.0.0.1:80", IN, .alive = PACKET_NO, .row = "in-dead" },
	{ { TPROXY }, "10.0.0.1:80", .row = "out-redirect" },
	{ { "--drop-invalid" }, "10.0.0.1:80", IN, .row = "in-redirect" },
#define VIRTUAL "--virtual-interfaces=vm+"
#define AWAY	.local = PACKET_NO
	{ { VIRTUAL }, "10.0.0.1:80", IN, .iface = "vm1", AWAY, .row = "out-redirect" },
	{ { VIRTUAL }, "10.0.0.1:80", IN, .iface = "eth0", AWAY, .row = "in-forward" },
	{ { VIRTUAL }, "10.0.0.1:80", IN, .iface = "vm1", .row = "out-local" },
	{ { VIRTUAL, TPROXY }, "10.0.0.1:80", IN, .iface = "vm1", .row = "out-local" },
	{ { VIRTUAL, TPROXY }, "10.0.0.1:80", IN, .iface = "vm1", AWAY, .row = "out-redirect" },
	{ { VIRTUAL, "--exclude-interfaces=vm1" },
	  "10.0.0.1:80",
	  IN,
	  .iface = "vm1",
	  AWAY,
	  .row = "out-iface" },
	{ { VIRTUAL }, "10.0.0.1:9010", IN, .row = "in-own" },
#define QUIC "--reject-quic"
	{ { QUIC }, "10.0.0.1:443", .udp = true, .row = "out-reject" },
	{ { QUIC }, "10.0.0.1:444", .udp = true, .row = "" },
	{ { QUIC }, "10.0.0.1:443", .udp = true, .uid = 1337, .row = "out-proxy" },
	{ { QUIC }, "10.0.0.1:443", .udp = true, .alive = PACKET_NO, .row = "out-dead" },
	{ { QUIC, "--exclude-uids=7" }, "10.0.0.1:443", .udp = true, .uid = 7, .row = "out-owner" },
	{ { QUIC, "--outbound-exclude-ports=443" }, "10.0.0.1:443", .udp = true, .row = "" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row_cases); i++) {
		const struct row_case *c = &row_cases[i];
		struct packet p = question(c->to, c->direction);
		struct explanation x;
		struct forms f;

		forms_init(&f, c->args);
		if (c->uid)
			p.uid = c->uid;
		if (c->iface)
			snprintf(p.iface, sizeof(p.iface), "%s", c->iface);
		if (c->from)
			assert_int_equal(endpoint_parse(span_str(c->from), &p.from, NULL), 0);
		p.protocol = c->udp ? PACKET_UDP : PACKET_TCP;
		p.local = c->local;
		p.listening = c->listening;
		p.alive = c->alive;
		assert_int_equal(packet_complete(&p, NULL), 0);
		x = ask(&f, &p);
		if (strcmp(x.row, c->row) != 0)
			fail_msg("case %zu: %s instead of %s", i, x.row, c->row);
		forms_fini(&f);
	}
}

static void test_the_ports(void **state)
{
	struct packet out = question("10.0.0.1:80", OUT), in = question("10.0.0.1:80", IN);
	struct explanation x;
	struct forms f;

	(void)state;
	forms_init(&f,
		   (const char *const[]){ "--inbound-port=7000", "--outbound-port=8001", NULL });
	assert_int_equal(packet_complete(&out, NULL), 0);
	assert_int_equal(packet_complete(&in, NULL), 0);
	x = ask(&f, &out);
	assert_int_equal(x.verdict, EXPLAIN_REDIRECT);
	assert_int_equal(x.first, 8001);
	x = ask(&f, &in);
	assert_int_equal(x.first, 7000);
	assert_int_equal(x.last, 7015);
	forms_fini(&f);
}

/* Long lists, which become trees in the legacy tables, and everything at once. */
static const char *const plans[][14] = {
	{ NULL },
	{ "--outbound-exclude-ports=1-9,20-29,40,50,60-69,80,90,100-110,120,130,140,150,160,170,"
	  "180,"
	  "190,200,210,220,230,240,250,260,270,280,290,300,310,320,330,340,350",
	  "--outbound-exclude-cidrs=10.0.0.0/30,10.0.0.8/30,10.0.0.16/30,10.0.0.24/30,10.0.0.32/30,"
	  "10.0.0.40/30,10.0.0.48/30,10.0.0.56/30,10.0.0.64/30,10.0.0.72/30,10.0.0.80/30,"
	  "10.0.0.88/30,10.0.0.96/30,10.0.0.104/30,10.0.0.112/30,10.0.0.120/30,10.0.0.129,"
	  "10.0.0.131,10.0.0.133/30,fd00::/126,fd00::20/124",
	  NULL },
	{ "--outbound-include-cidrs=10.0.0.0/30,10.0.0.8/30,10.0.0.16/30,10.0.0.24/30,10.0.0.32/30,"
	  "10.0.0.40/30,10.0.0.48/30,10.0.0.56/30,10.0.0.64/30,10.0.0.72/30,10.0.0.80/30,"
	  "10.0.0.88/30,10.0.0.96/30,10.0.0.104/30,10.0.0.112/30,10.0.0.120/30,10.0.0.128/26",
	  "--include-uids=0-3,8,11-20", "--include-gids=7", "--exclude-uids=2,15",
	  "--inbound-include-ports=1-100,200-300", "--inbound-exclude-cidrs=10.0.0.0/25", NULL },
	{ "--exclude-interfaces=eth1,veth+", "--proxy-uid=1,3", "--proxy-gid=5", "--exclude-gids=9",
	  "--fail=closed", "--inbound-closed=redirect", "--outbound-include-ports=30-60,70",
	  "--inbound-exclude-ports=10-19,33", "--inbound-exclude-cidrs=fd00::/120,10.0.0.7", NULL },
	{ "--inbound-mode=tproxy", "--virtual-interfaces=veth+", "--exclude-interfaces=eth1,veth7",
	  "--reject-quic", "--drop-invalid", "--exclude-uids=3-5", "--include-gids=1-9",
	  "--outbound-exclude-cidrs=10.0.0.0/25,fd00::/121", "--outbound-exclude-ports=10-19,33",
	  "--inbound-exclude-ports=50-60", "--inbound-exclude-cidrs=10.0.0.7", NULL },
	{ "--inbound=off", "--virtual-interfaces=eth1,veth", "--reject-quic", "--fail=closed",
	  "--outbound-include-cidrs=10.0.0.0/25,fd00::/121", "--outbound-include-ports=1-99,443",
	  NULL },
};

/* xorshift32: the same packets in every run. */
static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	return *seed ^= *seed << 5;
}

static struct endpoint random_endpoint(uint32_t *seed, unsigned family)
{
	struct endpoint x = { .given = true, .port = (uint16_t)(1 + random_next(seed) % 360) };

	x.addr.family = (uint8_t)family;
	x.addr.bytes[0] = family == ADDR_V4 ? 10 : 0xfd;
	x.addr.bytes[addr_len(family) - 1] = (uint8_t)random_next(seed);
	if (random_next(seed) % 16 == 0)
		x.addr.bytes[0] = family == ADDR_V4 ? 11 : 0xfe;
	if (random_next(seed) % 16 == 0)
		x.addr.bytes[1] = 0x80;
	return x;
}

static void test_random_packets(void **state)
{
	static const char *const ifaces[] = { "", "lo", "eth1", "eth10", "veth", "veth7", "e" };
	uint32_t seed = 4711;
	struct forms f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		forms_init(&f, plans[i]);
		for (unsigned n = 0; n < 20000; n++) {
			unsigned family = random_next(&seed) % ADDR_FAMILY_COUNT;
			struct packet p = {
				.direction = random_next(&seed) % PACKET_DIRECTION_COUNT,
				.from = random_endpoint(&seed, family),
				.to = random_endpoint(&seed, family),
				.uid = random_next(&seed) % 22,
				.gid = random_next(&seed) % 11,
				.local = PACKET_NO + random_next(&seed) % 8 / 7,
				.listening = PACKET_NO + random_next(&seed) % 2,
				.alive = PACKET_NO + random_next(&seed) % 2,
			};

			if (random_next(&seed) % 4 == 0) {
				p.protocol = PACKET_UDP;
				p.to.port = random_next(&seed) % 2 ? 443 : p.to.port;
			}
			strcpy(p.iface, ifaces[random_next(&seed) % ARRAY_SIZE(ifaces)]);
			ask(&f, &p);
		}
		forms_fini(&f);
	}
}

static void test_endpoints(void **state)
{
	static const char *const bad[] = { "",		 "x",
					   "1.2.3.4:",	 "1.2.3.4:0",
					   "1.2.3.4:x",	 "1.2.3.4:70000",
					   "[fd00::1",	 "[fd00::1]80",
					   "[fd00::1]:", "fd00::1:80x",
					   "[1.2.3.4]x", ":80",
					   "[]:80" };
	struct endpoint x;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (endpoint_parse(span_str(bad[i]), &x, NULL) == 0)
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_int_equal(endpoint_parse(span_str("fd00::1"), &x, NULL), 0);
	assert_int_equal(x.port, 0);
	assert_int_equal(endpoint_parse(span_str("[fd00::1]"), &x, NULL), 0);
	assert_int_equal(x.port, 0);
	assert_int_equal(endpoint_parse(span_str("[fd00::1]:65535"), &x, NULL), 0);
	assert_int_equal(x.port, 65535);
	assert_int_equal(x.addr.family, ADDR_V6);
	assert_int_equal(endpoint_parse(span_str("10.0.0.1"), &x, NULL), 0);
	assert_int_equal(endpoint_parse(span_str("10.0.0.1:1"), &x, NULL), 0);
	assert_int_equal(x.port, 1);
	assert_int_equal(endpoint_parse(span_str("[::ffff:10.0.0.1]:80"), &x, NULL), 0);
	assert_int_equal(x.addr.family, ADDR_V4);
	assert_memory_equal(x.addr.bytes, ((uint8_t[16]){ 10, 0, 0, 1 }), 16);
}

/* connect() to 0.0.0.0 or :: reaches this host, on loopback unless the socket is bound. */
static void test_the_unspecified_address_is_this_host(void **state)
{
	static const struct {
		const char *to, *from, *reached;
	} cases[] = {
		{ "0.0.0.0:80", NULL, "127.0.0.1" },
		{ "[::]:80", NULL, "::1" },
		{ "[::ffff:0.0.0.0]:80", NULL, "127.0.0.1" },
		{ "0.0.0.0:80", "0.0.0.0", "127.0.0.1" },
		{ "0.0.0.0:80", "10.0.0.9", "10.0.0.9" },
		{ "[::]:80", "fd00::9", "::1" },
	};
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct packet p = question(cases[i].to, OUT);

		if (cases[i].from)
			assert_int_equal(endpoint_parse(span_str(cases[i].from), &p.from, NULL), 0);
		assert_int_equal(packet_complete(&p, NULL), 0);
		assert_string_equal(addr_text(&p.to.addr, text), cases[i].reached);
		assert_int_equal(p.local, PACKET_YES);
		assert_string_equal(p.iface, "lo");
	}
}

static void test_contradictions(void **state)
{
	struct packet p = { .direction = OUT };

	(void)state;
	assert_true(packet_complete(&p, NULL) < 0); /* no --to */
	p = question("10.0.0.1", OUT);
	assert_true(packet_complete(&p, NULL) < 0); /* no port */
	p = question("10.0.0.1:80", OUT);
	assert_int_equal(endpoint_parse(span_str("fd00::1"), &p.from, NULL), 0);
	assert_true(packet_complete(&p, NULL) < 0); /* two families */
	p = question("127.0.0.1:80", OUT);
	strcpy(p.iface, "eth0");
	assert_true(packet_complete(&p, NULL) < 0); /* loopback leaves through lo */
}

static void test_the_source_is_asked_for_only_where_it_counts(void **state)
{
	const struct xtable *tables[LOWER_TABLE_COUNT];
	struct packet p = question("10.0.0.1:80", IN);
	struct explanation x;
	struct err e = ERR_INIT;
	struct forms f;

	(void)state;
	assert_int_equal(packet_complete(&p, NULL), 0);
	forms_init(&f, (const char *const[]){ "--inbound-exclude-cidrs=10.0.0.0/8", NULL });
	assert_true(explain_plan(&f.plan, &p, &x, &e) < 0);
	assert_non_null(strstr(e.text, "--from"));
	assert_true(explain_nft(&f.nft, &p, &x, &e) < 0);
	for (unsigned t = 0; t < LOWER_TABLE_COUNT; t++)
		tables[t] = &f.xt[ADDR_V4][t];
	assert_true(explain_xt(tables, &p, &x, &e) < 0);
	p.to.port = 9901;
	assert_string_equal(ask(&f, &p).row, "in-own");
	forms_fini(&f);
}

/* What somebody else made of our table: asleep, or with a policy that drops. */
static void test_a_table_that_is_spoilt(void **state)
{
	const char *const args[] = { "--outbound-exclude-ports=22", NULL };
	struct packet direct = question("10.0.0.1:22", OUT), redirected;
	struct explanation x;
	struct forms f;

	(void)state;
	redirected = question("10.0.0.1:80", OUT);
	forms_init(&f, args);
	assert_int_equal(packet_complete(&direct, NULL), 0);
	assert_int_equal(packet_complete(&redirected, NULL), 0);
	nftnl_chain_set_u32(ruleset_find_chain(&f.nft, "nat-output")->nft, NFTNL_CHAIN_POLICY,
			    NF_DROP);
	assert_int_equal(explain_nft(&f.nft, &direct, &x, NULL), 0);
	assert_int_equal(x.verdict, EXPLAIN_DROP);
	assert_string_equal(x.row, "");
	assert_string_equal(x.rule, "chain nat-output has policy drop, which is not ours");
	assert_int_equal(explain_nft(&f.nft, &redirected, &x, NULL), 0);
	assert_int_equal(x.verdict, EXPLAIN_REDIRECT);
	assert_string_equal(x.rule, "meta l4proto tcp counter redirect to :9001");
	f.nft.flags = NFT_TABLE_F_DORMANT;
	assert_int_equal(explain_nft(&f.nft, &redirected, &x, NULL), 0);
	assert_int_equal(x.verdict, EXPLAIN_DIRECT);
	assert_string_equal(x.row, "");
	assert_string_equal(x.rule, "the table is dormant: no rule applies");
	forms_fini(&f);
}

static void test_every_row_has_a_meaning(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++)
		assert_true(explain_row_meaning(plan_row_id(i))[0]);
	assert_string_equal(explain_row_meaning("no-such-row"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_the_ports),
		cmocka_unit_test(test_random_packets),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_the_unspecified_address_is_this_host),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_the_source_is_asked_for_only_where_it_counts),
		cmocka_unit_test(test_a_table_that_is_spoilt),
		cmocka_unit_test(test_every_row_has_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
