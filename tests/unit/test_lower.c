// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lowering: for packets of every kind, the chains of the legacy tables decide as the plan does. The
 * plan is walked as it is written; the chains are walked as the kernel would. Lists are of lengths
 * around every step of the trees.
 */
#include "sluice_config.h"

#include "lower.h"

#include <netinet/in.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A packet and what the kernel knows about it. */
struct sample {
	enum addr_family family;
	bool udp, syn, local, listener, alive;
	uint32_t uid, gid;
	bool owned; /* it has a socket with an owner */
	const char *in, *out;
	uint16_t port;
	uint8_t src[16], dst[16];
};

/* What becomes of it: the verdict and, where it is redirected, where to. */
struct fate {
	enum lower_verdict verdict; /* LOWER_RETURN: on to the rules of others */
	uint16_t first, last;
};

static const struct fate direct = { LOWER_RETURN, 0, 0 };

static bool iface_is(const struct iface *i, const char *name)
{
	return i->prefix ? strncmp(name, i->name, strlen(i->name)) == 0 : !strcmp(name, i->name);
}

static bool address_in(const struct addr_range *r, const uint8_t *a, enum addr_family f)
{
	return memcmp(r->first, a, addr_len(f)) <= 0 && memcmp(a, r->last, addr_len(f)) <= 0;
}

/* ---- The plan, as it is written ---- */

static bool number_matches(const struct plan_match *m, uint32_t number)
{
	return m->set ? u32_ranges_have(m->set->numbers, number) != m->negate : m->value == number;
}

static bool address_matches(const struct plan_match *m, const struct sample *p, const uint8_t *a)
{
	bool found = false;

	if (p->family != (m->set->type == PLAN_SET_ADDR4 ? ADDR_V4 : ADDR_V6))
		return false;
	for (size_t i = 0; i < m->set->addresses->count; i++)
		found |= address_in(&m->set->addresses->ranges[i], a, p->family);
	return found != m->negate;
}

static bool plan_matches(const struct plan_match *m, const struct sample *p)
{
	switch (m->kind) {
	case PLAN_MATCH_UID:
		return p->owned && number_matches(m, p->uid);
	case PLAN_MATCH_GID:
		return p->owned && number_matches(m, p->gid);
	case PLAN_MATCH_OIF:
		return iface_is(&m->iface, p->out);
	case PLAN_MATCH_IIF:
		return iface_is(&m->iface, p->in);
	case PLAN_MATCH_FAMILY:
		return m->value == p->family;
	case PLAN_MATCH_TCP:
		return !p->udp;
	case PLAN_MATCH_SYN:
		return !p->udp && p->syn;
	case PLAN_MATCH_TCP_DPORT:
		return !p->udp && number_matches(m, p->port);
	case PLAN_MATCH_UDP_DPORT:
		return p->udp && number_matches(m, p->port);
	case PLAN_MATCH_SADDR:
		return address_matches(m, p, p->src);
	case PLAN_MATCH_DADDR:
		return address_matches(m, p, p->dst);
	case PLAN_MATCH_LINKLOCAL:
		return p->family == ADDR_V6 && p->dst[0] == 0xfe && (p->dst[1] & 0xc0) == 0x80;
	case PLAN_MATCH_LOCAL:
		return p->local != m->negate;
	case PLAN_MATCH_LISTENER:
		return p->listener;
	case PLAN_MATCH_ALIVE:
		return p->alive != m->negate;
	case PLAN_MATCH_NEW:
		return p->syn;
	case PLAN_MATCH_INVALID:
	case PLAN_MATCH_REPLY:
	case PLAN_MATCH_CT_MARK:
	case PLAN_MATCH_FOREIGN:
	case PLAN_MATCH_TRANSPARENT:
	case PLAN_MATCH_COUNT:
		break;
	}
	return false;
}

/* Jumps are taken at the ends of chains only, so that return and falling out are the same. */
static struct fate plan_fate(const struct plan *plan, enum plan_chain_id id, const struct sample *p)
{
	const struct plan_chain *c = &plan->chains[id];

	for (size_t i = 0; i < c->count; i++) {
		const struct plan_rule *r = &c->rules[i];
		bool all = true;

		for (unsigned m = 0; m < r->match_count; m++)
			all &= plan_matches(&r->matches[m], p);
		if (!all)
			continue;
		switch (r->verdict) {
		case PLAN_VERDICT_JUMP:
		case PLAN_VERDICT_GOTO:
			return plan_fate(plan, r->chain, p);
		case PLAN_VERDICT_BEAT:
			return (struct fate){ LOWER_DROP, 0, 0 };
		case PLAN_VERDICT_REDIRECT:
			return (struct fate){ LOWER_REDIRECT, r->first, r->last };
		case PLAN_VERDICT_DNAT:
			return (struct fate){ LOWER_DNAT, r->first, r->last };
		default:
			return direct;
		}
	}
	return direct;
}

/* ---- The chains, as the kernel walks them ---- */

static bool port_matches(const struct lower_rule *r, uint16_t port)
{
	unsigned slots = 0;
	bool found = false;

	if (!r->port_list)
		return r->port.first <= port && port <= r->port.last;
	for (unsigned i = 0; i < r->port_count; i++) {
		slots += r->port_list[i].first == r->port_list[i].last ? 1 : 2;
		found |= r->port_list[i].first <= port && port <= r->port_list[i].last;
	}
	assert_in_range(slots, 1, LOWER_PORT_SLOTS);
	return found;
}

static bool lower_matches(const struct lower_rule *r, const struct sample *p)
{
	unsigned c = r->conditions;

	if (r->protocol && r->protocol != (p->udp ? IPPROTO_UDP : IPPROTO_TCP))
		return false;
	if ((r->in && !iface_is(r->in, p->in)) || (r->out && !iface_is(r->out, p->out)))
		return false;
	if (c & (LOWER_UID | LOWER_GID)) {
		uint32_t id = c & LOWER_UID ? p->uid : p->gid;

		if (!p->owned || id < r->owner.first || id > r->owner.last)
			return false;
	}
	/* Ports and flags of a protocol can only be looked at where that is asked for. */
	if (c & (LOWER_DPORT | LOWER_SYN))
		assert_int_not_equal(r->protocol, 0);
	return (!(c & LOWER_SRC) || address_in(&r->address, p->src, p->family)) &&
	       (!(c & LOWER_DST) || address_in(&r->address, p->dst, p->family)) &&
	       (!(c & LOWER_SYN) || p->syn) && (!(c & LOWER_DPORT) || port_matches(r, p->port)) &&
	       (!(c & LOWER_NOT_LOCAL) || !p->local) && (!(c & LOWER_LISTENER) || p->listener) &&
	       (!(c & LOWER_DEAD) || !p->alive);
}

static unsigned steps; /* rules looked at */

/* xt_table's walk: a jump comes back, a goto comes back where the last jump would. */
static bool walk(const struct lower *l, unsigned chain, const struct sample *p, struct fate *out)
{
	const struct lower_chain *c = &l->chains[chain];

	assert_true(c->present);
	for (size_t i = 0; i < c->count; i++) {
		const struct lower_rule *r = &c->rules[i];

		steps++;
		if (!lower_matches(r, p))
			continue;
		if (r->verdict == LOWER_JUMP) {
			if (walk(l, r->chain, p, out))
				return true;
			continue;
		}
		if (r->verdict == LOWER_GOTO)
			return walk(l, r->chain, p, out);
		if (r->verdict == LOWER_RETURN)
			return false;
		*out = (struct fate){ r->verdict, r->first, r->last };
		return true;
	}
	return false;
}

static struct fate lower_fate(const struct lower *l, enum plan_chain_id id, const struct sample *p)
{
	const struct lower_chain *c = &l->chains[id];
	struct fate found = direct;

	if (c->present && lower_matches(&c->entry, p))
		walk(l, id, p, &found);
	return found;
}

/* ---- Packets ---- */

static uint64_t seed = 88172645463325252u;

static uint32_t any(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

/* Addresses near the ends of the lists below. */
static void any_address(enum addr_family f, uint8_t a[16])
{
	memset(a, 0, 16);
	if (f == ADDR_V6) {
		a[0] = any(8) ? 0xfd : 0xfe;
		a[1] = a[0] == 0xfe ? 0x80 : 0;
	} else {
		a[0] = 10;
	}
	a[addr_len(f) - 3] = (uint8_t)any(2);
	a[addr_len(f) - 2] = (uint8_t)any(256);
	a[addr_len(f) - 1] = (uint8_t)any(6);
}

static void any_packet(struct sample *p)
{
	static const char *const ifaces[] = { "lo", "eth0", "veth1", "net1" };

	*p = (struct sample){
		.family = any(2) ? ADDR_V6 : ADDR_V4,
		.udp = !any(4),
		.syn = any(8),
		.local = any(4),
		.listener = any(3),
		.alive = any(4),
		.uid = any(3) ? any(700) : 1337,
		.gid = any(700),
		.owned = any(10),
		.in = ifaces[any(4)],
		.out = ifaces[any(4)],
		.port = any(3) ? (uint16_t)any(1400) : (uint16_t)(9200 + any(40)),
	};
	if (p->udp && any(2)) {
		p->port = 9211;
		p->out = "lo";
	}
	any_address(p->family, p->src);
	any_address(p->family, p->dst);
}

/* ---- Configurations ---- */

static void add_numbers(struct u32_ranges *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t first = 1 + 4 * i + any(2);

		assert_int_equal(u32_ranges_add(r, first, first + any(2), NULL), 0);
	}
}

static void add_cidrs(struct cidr_list *l, unsigned count)
{
	char text[64];

	for (unsigned i = 0; i < count; i++) {
		bool v6 = any(2);

		snprintf(text, sizeof(text), v6 ? "fd00::%x:%x/%u" : "10.0.%u.%u/%u",
			 v6 ? i / 256 : i % 256, v6 ? (i % 256) << 8 | 2 * any(3) : 2 * any(3),
			 (v6 ? 128 : 32) - any(3));
		assert_int_equal(cidr_list_parse_item(l, SPAN(text, strlen(text)), false, NULL), 0);
	}
}

static void any_config(struct config *c)
{
	static const unsigned lengths[] = { 1, 2, 15, 16, 17, 33, 255, 256, 257, 300 };
#define LENGTH (any(3) ? 0 : lengths[any(ARRAY_SIZE(lengths))])

	config_init(c);
	add_numbers(&c->outbound_include_ports, LENGTH);
	add_numbers(&c->outbound_exclude_ports, LENGTH);
	add_numbers(&c->inbound_include_ports, LENGTH);
	add_numbers(&c->inbound_exclude_ports, LENGTH);
	add_numbers(&c->exclude_uids, LENGTH / 2);
	add_numbers(&c->exclude_gids, LENGTH / 2);
	add_numbers(&c->include_uids, LENGTH / 2);
	add_numbers(&c->include_gids, LENGTH / 2);
	add_numbers(&c->proxy_uids, LENGTH / 4);
	add_cidrs(&c->outbound_include_cidrs, LENGTH);
	add_cidrs(&c->outbound_exclude_cidrs, LENGTH);
	add_cidrs(&c->inbound_exclude_cidrs, LENGTH);
	if (any(2))
		assert_int_equal(
			iface_list_parse_item(&c->exclude_interfaces, SPAN_LIT("veth+"), NULL), 0);
	c->inbound = any(8);
	c->outbound = !c->inbound || any(8);
	c->fail = any(2);
	c->inbound_closed = any(2);
	assert_int_equal(config_freeze(c, NULL), 0);
}

static void test_the_chains_decide_as_the_plan_does(void **state)
{
	static const enum plan_chain_id bases[] = { PLAN_CHAIN_HEARTBEAT, PLAN_CHAIN_NAT_OUTPUT,
						    PLAN_CHAIN_NAT_PREROUTING };
	unsigned fates[LOWER_VERDICT_COUNT] = { 0 };

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct lower lowered[ADDR_FAMILY_COUNT];
		struct config config;
		struct plan plan;

		any_config(&config);
		assert_int_equal(plan_build(&plan, &config, NULL), 0);
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			assert_int_equal(lower_plan(&plan, f, &lowered[f], NULL), 0);
		for (unsigned n = 0; n < 600; n++) {
			enum plan_chain_id base = bases[any(3)];
			struct fate want, have;
			struct sample p;

			any_packet(&p);
			want = plan_fate(&plan, base, &p);
			have = lower_fate(&lowered[p.family], base, &p);
			assert_int_equal(have.verdict, want.verdict);
			assert_int_equal(have.first, want.first);
			assert_int_equal(have.last, want.last);
			fates[want.verdict]++;
		}
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			lower_fini(&lowered[f]);
		plan_fini(&plan);
		config_fini(&config);
	}
	/* Packets of every kind were among them. */
	assert_true(fates[LOWER_RETURN] > 1000 && fates[LOWER_REDIRECT] > 1000);
	assert_true(fates[LOWER_DNAT] > 1000 && fates[LOWER_DROP] > 50);
}

/* A configuration with @count excluded networks, lowered for IPv4. */
static void many(unsigned count, struct config *c, struct plan *p, struct lower *l)
{
	char text[64];

	config_init(c);
	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 128, 2 * (i % 128));
		assert_int_equal(cidr_list_parse_item(&c->outbound_exclude_cidrs,
						      SPAN(text, strlen(text)), false, NULL),
				 0);
	}
	assert_int_equal(config_freeze(c, NULL), 0);
	assert_int_equal(plan_build(p, c, NULL), 0);
	assert_int_equal(lower_plan(p, ADDR_V4, l, NULL), 0);
}

static void test_a_long_list_costs_few_steps(void **state)
{
	struct config config;
	struct lower lowered;
	struct plan plan;

	(void)state;
	many(10000, &config, &plan, &lowered);
	for (unsigned i = 0; i < 20000; i++) {
		struct sample p = { .syn = true,
				    .alive = true,
				    .in = "lo",
				    .out = "eth0",
				    .dst = { 10, (uint8_t)(i / 256), (uint8_t)(i % 256), 7 } };
		struct fate f;

		steps = 0;
		f = lower_fate(&lowered, PLAN_CHAIN_NAT_OUTPUT, &p);
		assert_int_equal(f.verdict, i % 256 % 2 ? LOWER_REDIRECT : LOWER_RETURN);
		assert_in_range(steps, 1, 5 * (LOWER_FAN + 1) + 10);
	}
	lower_fini(&lowered);
	plan_fini(&plan);
	config_fini(&config);
}

static void test_names_fit_and_differ(void **state)
{
	struct config config;
	struct lower lowered;
	struct plan plan;

	(void)state;
	many(1000, &config, &plan, &lowered);
	for (size_t i = 0; i < lowered.count; i++) {
		assert_memory_equal(lowered.chains[i].name, LOWER_PREFIX, strlen(LOWER_PREFIX));
		assert_true(strlen(lowered.chains[i].name) < LOWER_NAME_MAX);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(lowered.chains[i].name, lowered.chains[j].name);
	}
	lower_fini(&lowered);
	plan_fini(&plan);
	config_fini(&config);
}

static void test_whole_seconds_at_least_as_long(void **state)
{
	const struct {
		const char *option;
		uint32_t seconds;
	} cases[] = { { "--heartbeat-timeout=20ms", 1 },
		      { "--heartbeat-timeout=1s", 1 },
		      { "--heartbeat-timeout=1001ms", 2 },
		      { "--heartbeat-timeout=60s", 60 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config;
		struct plan plan;

		assert_int_equal(CONFIG_FROM(&config, NULL, cases[i].option), 0);
		assert_int_equal(plan_build(&plan, &config, NULL), 0);
		assert_int_equal(lower_seconds(&plan), cases[i].seconds);
		plan_fini(&plan);
		config_fini(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_chains_decide_as_the_plan_does),
		cmocka_unit_test(test_a_long_list_costs_few_steps),
		cmocka_unit_test(test_names_fit_and_differ),
		cmocka_unit_test(test_whole_seconds_at_least_as_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
