// SPDX-License-Identifier: GPL-2.0-or-later
/* From a configuration to rules, in the order of the contract: see plan.h. */
#include "plan.h"

#include <errno.h>

static const char *const row_ids[] = {
	[PLAN_ROW_BEAT] = "beat",
	[PLAN_ROW_OUT_SYN] = "out-syn",
	[PLAN_ROW_OUT_PROXY] = "out-proxy",
	[PLAN_ROW_OUT_LOCAL] = "out-local",
	[PLAN_ROW_OUT_LINKLOCAL] = "out-linklocal",
	[PLAN_ROW_OUT_IFACE] = "out-iface",
	[PLAN_ROW_OUT_OWNED] = "out-owned",
	[PLAN_ROW_OUT_OWNER] = "out-owner",
	[PLAN_ROW_OUT_PORT_EXCL] = "out-port-excl",
	[PLAN_ROW_OUT_CIDR_EXCL] = "out-cidr-excl",
	[PLAN_ROW_OUT_NOT_INCL] = "out-not-incl",
	[PLAN_ROW_OUT_DEAD] = "out-dead",
	[PLAN_ROW_OUT_REDIRECT] = "out-redirect",
	[PLAN_ROW_IN_SYN] = "in-syn",
	[PLAN_ROW_IN_LOCAL] = "in-local",
	[PLAN_ROW_IN_IFACE] = "in-iface",
	[PLAN_ROW_IN_FORWARD] = "in-forward",
	[PLAN_ROW_IN_OWN] = "in-own",
	[PLAN_ROW_IN_PORT_EXCL] = "in-port-excl",
	[PLAN_ROW_IN_CIDR_EXCL] = "in-cidr-excl",
	[PLAN_ROW_IN_NOT_INCL] = "in-not-incl",
	[PLAN_ROW_IN_OPEN] = "in-open",
	[PLAN_ROW_IN_CLOSED] = "in-closed",
	[PLAN_ROW_IN_DEAD] = "in-dead",
	[PLAN_ROW_IN_REDIRECT] = "in-redirect",
	[PLAN_ROW_OUT_ANCHOR] = "out-anchor",
	[PLAN_ROW_IN_ANCHOR] = "in-anchor",
};
_Static_assert(ARRAY_SIZE(row_ids) == PLAN_ROW_COUNT, "an id for each row");

static const struct {
	const char *name;
	enum plan_hook hook;
	int priority;
} chain_facts[] = {
	[PLAN_CHAIN_HEARTBEAT] = { "heartbeat", PLAN_HOOK_FILTER_OUTPUT, PLAN_PRIORITY_HEARTBEAT },
	[PLAN_CHAIN_NAT_OUTPUT] = { "nat-output", PLAN_HOOK_NAT_OUTPUT, PLAN_PRIORITY_NAT },
	[PLAN_CHAIN_OUTBOUND] = { .name = "outbound" },
	[PLAN_CHAIN_OUTBOUND_OWNED] = { .name = "outbound-owned" },
	[PLAN_CHAIN_NAT_PREROUTING] = { "nat-prerouting", PLAN_HOOK_NAT_PREROUTING,
					PLAN_PRIORITY_NAT },
	[PLAN_CHAIN_INBOUND] = { .name = "inbound" },
	[PLAN_CHAIN_INBOUND_OPEN] = { .name = "inbound-open" },
};
_Static_assert(ARRAY_SIZE(chain_facts) == PLAN_CHAIN_COUNT, "facts for each chain");

const char *plan_row_id(enum plan_row row)
{
	return row_ids[row];
}

const char *plan_chain_name(enum plan_chain_id chain)
{
	return chain_facts[chain].name;
}

enum plan_hook plan_chain_hook(enum plan_chain_id chain)
{
	return chain_facts[chain].hook;
}

int plan_chain_priority(enum plan_chain_id chain)
{
	return chain_facts[chain].priority;
}

/* A plan under construction. Once memory is out, every further step does nothing. */
struct builder {
	struct plan *plan;
	const struct config *config;
	enum plan_chain_id chain; /* where rules go */
	struct plan_rule scratch; /* what is written to after a failure */
	bool failed;
};

static void chain_begin(struct builder *b, enum plan_chain_id chain)
{
	b->chain = chain;
	b->plan->chains[chain].present = true;
}

/* A new rule of the current chain; the next call may move it. */
static struct plan_rule *rule(struct builder *b, enum plan_row row, enum plan_verdict verdict)
{
	struct plan_chain *c = &b->plan->chains[b->chain];
	struct plan_rule *r = NULL;

	if (!b->failed && c->count == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : 16;

		r = realloc(c->rules, capacity * sizeof(*r));
		b->failed = !r;
		if (r) {
			c->rules = r;
			c->capacity = capacity;
		}
	}
	r = b->failed ? &b->scratch : &c->rules[c->count++];
	*r = (struct plan_rule){ .row = row, .verdict = verdict };
	return r;
}

static struct plan_match *match(struct plan_rule *r, enum plan_match_kind kind)
{
	struct plan_match *m = &r->matches[r->match_count++];

	m->kind = kind;
	return m;
}

/* A set named after @row and @suffix; the same name twice is the same set. */
static const struct plan_set *set(struct builder *b, enum plan_row row, const char *suffix,
				  enum plan_set_type type, const struct u32_ranges *numbers,
				  const struct addr_ranges *addresses)
{
	struct plan_set made = { .type = type, .numbers = numbers, .addresses = addresses };
	struct plan *p = b->plan;

	snprintf(made.name, sizeof(made.name), "%s%s", row_ids[row], suffix);
	for (size_t i = 0; i < p->set_count; i++) {
		if (strcmp(p->sets[i].name, made.name) == 0)
			return &p->sets[i];
	}
	p->sets[p->set_count] = made;
	return &p->sets[p->set_count++];
}

/* @ranges as a match: one number is compared, more are looked up. */
static void match_numbers(struct builder *b, struct plan_rule *r, enum plan_match_kind kind,
			  enum plan_set_type type, const char *suffix,
			  const struct u32_ranges *ranges)
{
	struct plan_match *m = match(r, kind);

	if (ranges->count == 1 && ranges->ranges[0].first == ranges->ranges[0].last)
		m->value = ranges->ranges[0].first;
	else
		m->set = set(b, r->row, suffix, type, ranges, NULL);
}

static void match_iface(struct plan_rule *r, enum plan_match_kind kind, const struct iface *iface)
{
	match(r, kind)->iface = *iface;
}

static const struct iface loopback = { .name = "lo" };

/* Rows that return what leaves through, or arrived on, an interface. */
static void rules_ifaces(struct builder *b, enum plan_row row, enum plan_match_kind kind)
{
	const struct iface_list *l = &b->config->exclude_interfaces;

	for (size_t i = 0; i < l->count; i++)
		match_iface(rule(b, row, PLAN_VERDICT_RETURN), kind, &l->items[i]);
}

/* A rule for the owners in each of two lists, either of which may be empty. */
static void rules_owners(struct builder *b, enum plan_row row, const struct u32_ranges *uids,
			 const struct u32_ranges *gids, enum plan_verdict verdict,
			 enum plan_chain_id chain)
{
	const struct {
		const struct u32_ranges *ranges;
		enum plan_match_kind kind;
		enum plan_set_type type;
		const char *suffix;
	} lists[] = {
		{ uids, PLAN_MATCH_UID, PLAN_SET_UIDS, "-uid" },
		{ gids, PLAN_MATCH_GID, PLAN_SET_GIDS, "-gid" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct plan_rule *r;

		if (!lists[i].ranges->count)
			continue;
		r = rule(b, row, verdict);
		r->chain = chain;
		match_numbers(b, r, lists[i].kind, lists[i].type, lists[i].suffix, lists[i].ranges);
	}
}

static void rule_ports_excluded(struct builder *b, enum plan_row row, const struct u32_ranges *l)
{
	if (l->count)
		match_numbers(b, rule(b, row, PLAN_VERDICT_RETURN), PLAN_MATCH_TCP_DPORT,
			      PLAN_SET_PORTS, "", l);
}

/* Not in the list of includes. Always a set: the rule says "not in". */
static void rule_ports_not_included(struct builder *b, enum plan_row row,
				    const struct u32_ranges *l)
{
	struct plan_match *m;

	if (l->all)
		return;
	m = match(rule(b, row, PLAN_VERDICT_RETURN), PLAN_MATCH_TCP_DPORT);
	m->set = set(b, row, "-port", PLAN_SET_PORTS, l, NULL);
	m->negate = true;
}

static const struct {
	enum plan_set_type type;
	const char *suffix;
} addr_sets[ADDR_FAMILY_COUNT] = {
	[ADDR_V4] = { PLAN_SET_ADDR4, "4" },
	[ADDR_V6] = { PLAN_SET_ADDR6, "6" },
};

static void rules_cidrs_excluded(struct builder *b, enum plan_row row, enum plan_match_kind kind,
				 const struct cidr_list *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (l->family[f].count)
			match(rule(b, row, PLAN_VERDICT_RETURN), kind)->set =
				set(b, row, addr_sets[f].suffix, addr_sets[f].type, NULL,
				    &l->family[f]);
	}
}

/* A family without an include of its own, where there are any, is direct as a whole. */
static void rules_cidrs_not_included(struct builder *b, enum plan_row row,
				     const struct cidr_list *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT && !l->all; f++) {
		struct plan_rule *r = rule(b, row, PLAN_VERDICT_RETURN);
		struct plan_match *m;

		if (!l->family[f].count) {
			match(r, PLAN_MATCH_FAMILY)->value = f;
			continue;
		}
		m = match(r, PLAN_MATCH_DADDR);
		m->set = set(b, row, addr_sets[f].suffix, addr_sets[f].type, NULL, &l->family[f]);
		m->negate = true;
	}
}

static void rule_dead(struct builder *b, enum plan_row row)
{
	if (b->config->fail == FAIL_OPEN)
		match(rule(b, row, PLAN_VERDICT_RETURN), PLAN_MATCH_ALIVE)->negate = true;
}

/* Programmed with --fail=closed too, so that the state is there when it is changed to open. */
static void build_heartbeat(struct builder *b)
{
	const struct config *c = b->config;
	const struct plan_chain *chain = &b->plan->chains[PLAN_CHAIN_HEARTBEAT];

	chain_begin(b, PLAN_CHAIN_HEARTBEAT);
	rules_owners(b, PLAN_ROW_BEAT, &c->proxy_uids, &c->proxy_gids, PLAN_VERDICT_BEAT,
		     PLAN_CHAIN_HEARTBEAT);
	for (size_t i = 0; i < chain->count; i++) {
		struct plan_rule *r = &chain->rules[i];

		match_iface(r, PLAN_MATCH_OIF, &loopback);
		match(r, PLAN_MATCH_UDP_DPORT)->value = c->inbound_port;
		r->timeout_ms = c->heartbeat_timeout_ms;
	}
}

static void build_syn(struct builder *b, enum plan_chain_id base, enum plan_row row,
		      enum plan_chain_id to)
{
	struct plan_rule *r;

	chain_begin(b, base);
	r = rule(b, row, PLAN_VERDICT_JUMP);
	match(r, PLAN_MATCH_SYN);
	r->chain = to;
}

static void build_outbound(struct builder *b)
{
	const struct config *c = b->config;
	struct plan_rule *r;

	build_syn(b, PLAN_CHAIN_NAT_OUTPUT, PLAN_ROW_OUT_SYN, PLAN_CHAIN_OUTBOUND);
	chain_begin(b, PLAN_CHAIN_OUTBOUND);
	rules_owners(b, PLAN_ROW_OUT_PROXY, &c->proxy_uids, &c->proxy_gids, PLAN_VERDICT_RETURN,
		     PLAN_CHAIN_OUTBOUND);
	match_iface(rule(b, PLAN_ROW_OUT_LOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_OIF, &loopback);
	match(rule(b, PLAN_ROW_OUT_LINKLOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_LINKLOCAL);
	rules_ifaces(b, PLAN_ROW_OUT_IFACE, PLAN_MATCH_OIF);
	rules_owners(b, PLAN_ROW_OUT_OWNER, &c->exclude_uids, &c->exclude_gids, PLAN_VERDICT_RETURN,
		     PLAN_CHAIN_OUTBOUND);
	if (c->include_uids.count || c->include_gids.count) {
		/* A socket without an owner matches neither "is" nor "is not": go on by "is". */
		rules_owners(b, PLAN_ROW_OUT_OWNED, &c->include_uids, &c->include_gids,
			     PLAN_VERDICT_GOTO, PLAN_CHAIN_OUTBOUND_OWNED);
		rule(b, PLAN_ROW_OUT_OWNER, PLAN_VERDICT_RETURN);
		chain_begin(b, PLAN_CHAIN_OUTBOUND_OWNED);
	}
	rule_ports_excluded(b, PLAN_ROW_OUT_PORT_EXCL, &c->outbound_exclude_ports);
	rules_cidrs_excluded(b, PLAN_ROW_OUT_CIDR_EXCL, PLAN_MATCH_DADDR,
			     &c->outbound_exclude_cidrs);
	rule_ports_not_included(b, PLAN_ROW_OUT_NOT_INCL, &c->outbound_include_ports);
	rules_cidrs_not_included(b, PLAN_ROW_OUT_NOT_INCL, &c->outbound_include_cidrs);
	rule_dead(b, PLAN_ROW_OUT_DEAD);
	r = rule(b, PLAN_ROW_OUT_REDIRECT, PLAN_VERDICT_REDIRECT);
	match(r, PLAN_MATCH_TCP);
	r->first = r->last = c->outbound_port;
}

static void build_own_ports(struct builder *b)
{
	const struct config *c = b->config;
	struct u32_ranges *own = &b->plan->own_ports;

	b->failed |= u32_ranges_add(own, c->inbound_port, config_inbound_last(c), NULL) < 0 ||
		     u32_ranges_add(own, c->outbound_port, c->outbound_port, NULL) < 0 ||
		     u32_ranges_add(own, c->admin_port, c->admin_port, NULL) < 0;
	u32_ranges_normalize(own);
}

static void build_inbound(struct builder *b)
{
	const struct config *c = b->config;
	struct plan_rule *r;

	build_syn(b, PLAN_CHAIN_NAT_PREROUTING, PLAN_ROW_IN_SYN, PLAN_CHAIN_INBOUND);
	build_own_ports(b);
	chain_begin(b, PLAN_CHAIN_INBOUND);
	match_iface(rule(b, PLAN_ROW_IN_LOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_IIF, &loopback);
	rules_ifaces(b, PLAN_ROW_IN_IFACE, PLAN_MATCH_IIF);
	match(rule(b, PLAN_ROW_IN_FORWARD, PLAN_VERDICT_RETURN), PLAN_MATCH_LOCAL)->negate = true;
	rule_ports_excluded(b, PLAN_ROW_IN_OWN, &b->plan->own_ports);
	rule_ports_excluded(b, PLAN_ROW_IN_PORT_EXCL, &c->inbound_exclude_ports);
	rules_cidrs_excluded(b, PLAN_ROW_IN_CIDR_EXCL, PLAN_MATCH_SADDR, &c->inbound_exclude_cidrs);
	rule_ports_not_included(b, PLAN_ROW_IN_NOT_INCL, &c->inbound_include_ports);
	if (c->inbound_closed == CLOSED_REFUSE) {
		/* Without a socket the expression breaks the rule, so it cannot be negated. */
		r = rule(b, PLAN_ROW_IN_OPEN, PLAN_VERDICT_GOTO);
		match(r, PLAN_MATCH_LISTENER);
		r->chain = PLAN_CHAIN_INBOUND_OPEN;
		rule(b, PLAN_ROW_IN_CLOSED, PLAN_VERDICT_RETURN);
		chain_begin(b, PLAN_CHAIN_INBOUND_OPEN);
	}
	rule_dead(b, PLAN_ROW_IN_DEAD);
	r = rule(b, PLAN_ROW_IN_REDIRECT, PLAN_VERDICT_DNAT);
	match(r, PLAN_MATCH_TCP);
	r->first = c->inbound_port;
	r->last = config_inbound_last(c);
}

int plan_build(struct plan *p, const struct config *c, struct err *e)
{
	struct builder b = { .plan = p, .config = c };

	*p = (struct plan){ .set_count = 0 };
	build_heartbeat(&b);
	if (c->outbound)
		build_outbound(&b);
	if (c->inbound)
		build_inbound(&b);
	return b.failed ? err_set(e, -ENOMEM, "out of memory for the plan") : 0;
}

/* Port 0 is in no connection. */
static void build_anchor(struct builder *b, enum plan_chain_id chain, enum plan_row row,
			 enum plan_verdict verdict, uint16_t first, uint16_t last)
{
	struct plan_rule *r;

	chain_begin(b, chain);
	r = rule(b, row, verdict);
	match(r, PLAN_MATCH_TCP_DPORT)->value = 0;
	r->first = first;
	r->last = last;
}

int plan_build_anchor(struct plan *p, const struct plan_ports *ports, struct err *e)
{
	struct builder b = { .plan = p };

	*p = (struct plan){ .set_count = 0 };
	if (ports->outbound)
		build_anchor(&b, PLAN_CHAIN_NAT_OUTPUT, PLAN_ROW_OUT_ANCHOR, PLAN_VERDICT_REDIRECT,
			     ports->outbound, ports->outbound);
	if (ports->inbound_first)
		build_anchor(&b, PLAN_CHAIN_NAT_PREROUTING, PLAN_ROW_IN_ANCHOR, PLAN_VERDICT_DNAT,
			     ports->inbound_first, ports->inbound_last);
	return b.failed ? err_set(e, -ENOMEM, "out of memory for the plan") : 0;
}

void plan_fini(struct plan *p)
{
	for (unsigned i = 0; i < PLAN_CHAIN_COUNT; i++)
		free(p->chains[i].rules);
	u32_ranges_fini(&p->own_ports);
	*p = (struct plan){ .set_count = 0 };
}

size_t plan_rule_count(const struct plan *p)
{
	size_t count = 0;

	for (unsigned i = 0; i < PLAN_CHAIN_COUNT; i++)
		count += p->chains[i].count;
	return count;
}
