// SPDX-License-Identifier: GPL-2.0-or-later
/* From a configuration to rules, in the order of the contract: see plan.h. */
#include "plan.h"

#include <errno.h>

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

	snprintf(made.name, sizeof(made.name), "%s%s", plan_row_id(row), suffix);
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

/* Rows that return what leaves through, or arrived on, an interface of a list. */
static void rules_ifaces(struct builder *b, enum plan_row row, enum plan_match_kind kind,
			 const struct iface_list *l)
{
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

/* A jump of a base chain, for the first packet of a connection. */
static struct plan_rule *rule_syn(struct builder *b, enum plan_row row, enum plan_chain_id to)
{
	struct plan_rule *r = rule(b, row, PLAN_VERDICT_JUMP);

	match(r, PLAN_MATCH_SYN);
	r->chain = to;
	return r;
}

/* The rows about who sends, and through what. @owned: where included owners go on. */
static void rules_senders(struct builder *b, enum plan_chain_id chain, enum plan_chain_id owned)
{
	const struct config *c = b->config;

	chain_begin(b, chain);
	rules_owners(b, PLAN_ROW_OUT_PROXY, &c->proxy_uids, &c->proxy_gids, PLAN_VERDICT_RETURN,
		     chain);
	match_iface(rule(b, PLAN_ROW_OUT_LOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_OIF, &loopback);
	match(rule(b, PLAN_ROW_OUT_LINKLOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_LINKLOCAL);
	rules_ifaces(b, PLAN_ROW_OUT_IFACE, PLAN_MATCH_OIF, &c->exclude_interfaces);
	rules_owners(b, PLAN_ROW_OUT_OWNER, &c->exclude_uids, &c->exclude_gids, PLAN_VERDICT_RETURN,
		     chain);
	if (!c->include_uids.count && !c->include_gids.count)
		return;
	/* A socket without an owner matches neither "is" nor "is not": go on by "is". */
	rules_owners(b, PLAN_ROW_OUT_OWNED, &c->include_uids, &c->include_gids, PLAN_VERDICT_GOTO,
		     owned);
	rule(b, PLAN_ROW_OUT_OWNER, PLAN_VERDICT_RETURN);
	chain_begin(b, owned);
}

/* The rows about where a TCP connection goes, up to the redirect. */
static void rules_destinations(struct builder *b, uint16_t last_port)
{
	const struct config *c = b->config;
	struct plan_rule *r;

	rule_ports_excluded(b, PLAN_ROW_OUT_PORT_EXCL, &c->outbound_exclude_ports);
	rules_cidrs_excluded(b, PLAN_ROW_OUT_CIDR_EXCL, PLAN_MATCH_DADDR,
			     &c->outbound_exclude_cidrs);
	rule_ports_not_included(b, PLAN_ROW_OUT_NOT_INCL, &c->outbound_include_ports);
	rules_cidrs_not_included(b, PLAN_ROW_OUT_NOT_INCL, &c->outbound_include_cidrs);
	rule_dead(b, PLAN_ROW_OUT_DEAD);
	r = rule(b, PLAN_ROW_OUT_REDIRECT, PLAN_VERDICT_REDIRECT);
	match(r, PLAN_MATCH_TCP);
	r->first = c->outbound_port;
	r->last = last_port;
}

static void build_outbound(struct builder *b)
{
	chain_begin(b, PLAN_CHAIN_NAT_OUTPUT);
	rule_syn(b, PLAN_ROW_OUT_SYN, PLAN_CHAIN_OUTBOUND);
	rules_senders(b, PLAN_CHAIN_OUTBOUND, PLAN_CHAIN_OUTBOUND_OWNED);
	rules_destinations(b, b->config->outbound_port);
}

/* QUIC of whoever and to wherever TCP would be redirected: clients fall back to that. */
static void build_quic(struct builder *b)
{
	const struct config *c = b->config;
	struct plan_rule *r;

	/* The port is known, so its rows are decided here. */
	if (u32_ranges_have(&c->outbound_exclude_ports, PLAN_QUIC_PORT) ||
	    !u32_ranges_have(&c->outbound_include_ports, PLAN_QUIC_PORT))
		return;
	chain_begin(b, PLAN_CHAIN_QUIC_OUTPUT);
	r = rule(b, PLAN_ROW_OUT_QUIC, PLAN_VERDICT_JUMP);
	match(r, PLAN_MATCH_UDP_DPORT)->value = PLAN_QUIC_PORT;
	match(r, PLAN_MATCH_NEW);
	r->chain = PLAN_CHAIN_QUIC;
	rules_senders(b, PLAN_CHAIN_QUIC, PLAN_CHAIN_QUIC_OWNED);
	rules_cidrs_excluded(b, PLAN_ROW_OUT_CIDR_EXCL, PLAN_MATCH_DADDR,
			     &c->outbound_exclude_cidrs);
	rules_cidrs_not_included(b, PLAN_ROW_OUT_NOT_INCL, &c->outbound_include_cidrs);
	rule_dead(b, PLAN_ROW_OUT_DEAD);
	rule(b, PLAN_ROW_OUT_REJECT, PLAN_VERDICT_REJECT);
}

/*
 * What arrives on a virtual interface and is not for this namespace: as outbound, but that it has
 * no owner. It comes from another machine, whose source ports can collide, and so goes to a range.
 */
static void build_virtual(struct builder *b)
{
	const struct config *c = b->config;

	chain_begin(b, PLAN_CHAIN_NAT_PREROUTING);
	for (size_t i = 0; i < c->virtual_interfaces.count; i++) {
		struct plan_rule *r = rule_syn(b, PLAN_ROW_OUT_VIRTUAL, PLAN_CHAIN_VIRTUAL);

		match_iface(r, PLAN_MATCH_IIF, &c->virtual_interfaces.items[i]);
		r->verdict = PLAN_VERDICT_GOTO; /* what stays direct there is not inbound either */
	}
	chain_begin(b, PLAN_CHAIN_VIRTUAL);
	match(rule(b, PLAN_ROW_OUT_LOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_LOCAL);
	match(rule(b, PLAN_ROW_OUT_LINKLOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_LINKLOCAL);
	rules_ifaces(b, PLAN_ROW_OUT_IFACE, PLAN_MATCH_IIF, &c->exclude_interfaces);
	rules_destinations(b, config_outbound_last(c));
}

static void build_own_ports(struct builder *b)
{
	const struct config *c = b->config;
	struct u32_ranges *own = &b->plan->own_ports;

	b->failed |= u32_ranges_add(own, c->inbound_port, config_inbound_last(c), NULL) < 0 ||
		     u32_ranges_add(own, c->outbound_port, config_outbound_last(c), NULL) < 0 ||
		     u32_ranges_add(own, c->admin_port, c->admin_port, NULL) < 0;
	u32_ranges_normalize(own);
}

static void rules_in_local(struct builder *b)
{
	match_iface(rule(b, PLAN_ROW_IN_LOCAL, PLAN_VERDICT_RETURN), PLAN_MATCH_IIF, &loopback);
	rules_ifaces(b, PLAN_ROW_IN_IFACE, PLAN_MATCH_IIF, &b->config->exclude_interfaces);
}

/* The redirect itself, by --inbound-mode. */
static void rules_in_redirect(struct builder *b)
{
	const struct config *c = b->config;
	bool tproxy = c->inbound_mode == INBOUND_TPROXY;
	struct plan_rule *r =
		rule(b, PLAN_ROW_IN_REDIRECT, tproxy ? PLAN_VERDICT_TPROXY : PLAN_VERDICT_DNAT);

	match(r, PLAN_MATCH_TCP);
	r->first = c->inbound_port;
	r->last = tproxy ? c->inbound_port : config_inbound_last(c);
	r->mark = tproxy ? PLAN_MARK_PROXIED : 0;
	if (tproxy && c->fail == FAIL_CLOSED)
		match(rule(b, PLAN_ROW_IN_UNSERVED, PLAN_VERDICT_DROP), PLAN_MATCH_TCP);
}

/* Chain `inbound`, to which the base chain of the mode leads. */
static void build_inbound(struct builder *b)
{
	const struct config *c = b->config;
	bool tproxy = c->inbound_mode == INBOUND_TPROXY;
	struct plan_rule *r;

	build_own_ports(b);
	chain_begin(b, PLAN_CHAIN_INBOUND);
	if (!tproxy)
		rules_in_local(b);
	match(rule(b, PLAN_ROW_IN_FORWARD, PLAN_VERDICT_RETURN), PLAN_MATCH_LOCAL)->negate = true;
	rule_ports_excluded(b, PLAN_ROW_IN_OWN, &b->plan->own_ports);
	rule_ports_excluded(b, PLAN_ROW_IN_PORT_EXCL, &c->inbound_exclude_ports);
	rules_cidrs_excluded(b, PLAN_ROW_IN_CIDR_EXCL, PLAN_MATCH_SADDR, &c->inbound_exclude_cidrs);
	rule_ports_not_included(b, PLAN_ROW_IN_NOT_INCL, &c->inbound_include_ports);
	if (c->inbound_closed == CLOSED_REFUSE) {
		if (tproxy) {
			/* A client's port used again: the proxy's last one for it may linger. */
			r = rule(b, PLAN_ROW_IN_OPEN, PLAN_VERDICT_GOTO);
			match(r, PLAN_MATCH_TRANSPARENT);
			r->chain = PLAN_CHAIN_INBOUND_OPEN;
		}
		/* Without a socket the expression breaks the rule, so it cannot be negated. */
		r = rule(b, PLAN_ROW_IN_OPEN, PLAN_VERDICT_GOTO);
		match(r, PLAN_MATCH_LISTENER);
		r->chain = PLAN_CHAIN_INBOUND_OPEN;
		rule(b, PLAN_ROW_IN_CLOSED, PLAN_VERDICT_RETURN);
		chain_begin(b, PLAN_CHAIN_INBOUND_OPEN);
	}
	rule_dead(b, PLAN_ROW_IN_DEAD);
	rules_in_redirect(b);
}

/* Later packets of a connection that TPROXY took. */
static void rule_proxied(struct builder *b, uint16_t port)
{
	struct plan_rule *r = rule(b, PLAN_ROW_IN_PROXIED, PLAN_VERDICT_TPROXY);

	match(r, PLAN_MATCH_TCP);
	match(r, PLAN_MATCH_CT_MARK)->value = PLAN_MARK_PROXIED;
	r->first = r->last = port;
}

static void rule_answer(struct builder *b)
{
	struct plan_rule *r = rule(b, PLAN_ROW_IN_ANSWER, PLAN_VERDICT_MARK);

	match(r, PLAN_MATCH_TCP);
	match(r, PLAN_MATCH_REPLY);
	match(r, PLAN_MATCH_CT_MARK)->value = PLAN_MARK_SOURCE;
	r->mark = PLAN_MARK_SOURCE;
}

/* What the proxy connects from a client's address, and the answers to that. */
static void build_source(struct builder *b)
{
	const struct config *c = b->config;
	const struct plan_chain *chain = &b->plan->chains[PLAN_CHAIN_MANGLE_OUTPUT];

	chain_begin(b, PLAN_CHAIN_MANGLE_OUTPUT);
	rules_owners(b, PLAN_ROW_IN_SOURCE, &c->proxy_uids, &c->proxy_gids, PLAN_VERDICT_CT_MARK,
		     PLAN_CHAIN_MANGLE_OUTPUT);
	for (size_t i = 0; i < chain->count; i++) {
		struct plan_rule *r = &chain->rules[i];

		match(r, PLAN_MATCH_SYN);
		match(r, PLAN_MATCH_FOREIGN);
		r->mark = PLAN_MARK_SOURCE;
	}
	rule_answer(b);
}

/* Has those rules of the current chain ask for TCP that do not yet: it sees other packets, too. */
static void only_tcp(struct builder *b)
{
	struct plan_chain *chain = &b->plan->chains[b->chain];

	for (size_t i = 0; i < chain->count; i++) {
		struct plan_rule *r = &chain->rules[i];
		struct plan_match iface = r->matches[0];

		if (iface.kind != PLAN_MATCH_IIF)
			continue;
		r->match_count = 0;
		*match(r, PLAN_MATCH_TCP) = (struct plan_match){ .kind = PLAN_MATCH_TCP };
		*match(r, PLAN_MATCH_IIF) = iface;
	}
}

/* What looks at arriving packets before any address is changed. */
static void build_mangle(struct builder *b)
{
	const struct config *c = b->config;
	bool tproxy = c->inbound && c->inbound_mode == INBOUND_TPROXY;
	struct plan_rule *r;

	if (!tproxy && !c->drop_invalid)
		return;
	chain_begin(b, PLAN_CHAIN_MANGLE_PREROUTING);
	rules_in_local(b);
	if (c->drop_invalid) {
		r = rule(b, PLAN_ROW_IN_INVALID, PLAN_VERDICT_DROP);
		match(r, PLAN_MATCH_TCP);
		match(r, PLAN_MATCH_INVALID);
		match(r, PLAN_MATCH_LOCAL);
	}
	if (tproxy) {
		rules_ifaces(b, PLAN_ROW_OUT_VIRTUAL, PLAN_MATCH_IIF, &c->virtual_interfaces);
		rule_proxied(b, c->inbound_port);
		match(rule_syn(b, PLAN_ROW_IN_SYN, PLAN_CHAIN_INBOUND), PLAN_MATCH_NEW);
	}
	only_tcp(b);
	if (tproxy)
		build_source(b);
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

static void build_inbound_base(struct builder *b)
{
	const struct config *c = b->config;

	if (c->inbound_mode == INBOUND_REDIRECT) {
		chain_begin(b, PLAN_CHAIN_NAT_PREROUTING);
		rule_syn(b, PLAN_ROW_IN_SYN, PLAN_CHAIN_INBOUND);
	} else if (!c->outbound) {
		/* Connections that another mode has translated live on. */
		build_anchor(b, PLAN_CHAIN_NAT_PREROUTING, PLAN_ROW_IN_ANCHOR, PLAN_VERDICT_DNAT,
			     c->inbound_port, config_inbound_last(c));
	}
}

int plan_build(struct plan *p, const struct config *c, struct err *e)
{
	struct builder b = { .plan = p, .config = c };

	*p = (struct plan){ .set_count = 0 };
	build_heartbeat(&b);
	if (c->outbound)
		build_outbound(&b);
	if (c->reject_quic)
		build_quic(&b);
	if (c->virtual_interfaces.count)
		build_virtual(&b);
	if (c->inbound)
		build_inbound_base(&b);
	build_mangle(&b);
	if (c->inbound)
		build_inbound(&b);
	return b.failed ? err_set(e, -ENOMEM, "out of memory for the plan") : 0;
}

static void widen(uint16_t *first, uint16_t *last, uint16_t more_first, uint16_t more_last)
{
	*first = *first ? MIN(*first, more_first) : more_first;
	*last = MAX(*last, more_last);
}

void plan_ports_inbound(struct plan_ports *ports, uint16_t first, uint16_t last)
{
	widen(&ports->inbound_first, &ports->inbound_last, first, last);
}

void plan_ports_outbound(struct plan_ports *ports, uint16_t first, uint16_t last)
{
	widen(&ports->outbound_first, &ports->outbound_last, first, last);
}

void plan_ports_proxies(struct plan_ports *ports, uint32_t first, uint32_t last)
{
	struct u32_range *r;

	for (unsigned i = 0; i < ports->proxy_count; i++) {
		if (ports->proxies[i].first <= first && ports->proxies[i].last >= last)
			return;
	}
	if (ports->proxy_count < PLAN_PROXIES_MAX) {
		ports->proxies[ports->proxy_count++] = (struct u32_range){ first, last };
		return;
	}
	r = &ports->proxies[PLAN_PROXIES_MAX - 1];
	*r = (struct u32_range){ MIN(r->first, first), MAX(r->last, last) };
}

int plan_build_anchor(struct plan *p, const struct plan_ports *ports, struct err *e)
{
	struct builder b = { .plan = p };

	*p = (struct plan){ .set_count = 0 };
	if (ports->outbound_first)
		build_anchor(&b, PLAN_CHAIN_NAT_OUTPUT, PLAN_ROW_OUT_ANCHOR, PLAN_VERDICT_REDIRECT,
			     ports->outbound_first, ports->outbound_last);
	if (ports->inbound_first)
		build_anchor(&b, PLAN_CHAIN_NAT_PREROUTING, PLAN_ROW_IN_ANCHOR, PLAN_VERDICT_DNAT,
			     ports->inbound_first, ports->inbound_last);
	if (ports->tproxy) {
		chain_begin(&b, PLAN_CHAIN_MANGLE_PREROUTING);
		rule_proxied(&b, ports->inbound_first);
		chain_begin(&b, PLAN_CHAIN_MANGLE_OUTPUT);
		rule_answer(&b);
	}
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
