// SPDX-License-Identifier: GPL-2.0-or-later
/* Connections that show each rule at work: see verify.h. */
#include "verify.h"

#include <errno.h>

/* An owner and ports that options hardly name. */
#define SOMEBODY  61206
#define SOME_PORT 18206

/* (uid_t)-1 is nobody. */
#define OWNER_MAX (UINT32_MAX - 1)

#define CHOICES_MAX 16

/* Values for one property of a packet. */
struct choices {
	uint32_t numbers[CHOICES_MAX];
	struct addr addresses[CHOICES_MAX];
	size_t count;
};

/* What the packets of one family and direction are made of. */
struct space {
	const struct verify_world *world;
	unsigned direction;
	enum addr_family family;
	struct choices from, to, port, uid, gid, listening, alive;
};

static void add_number(struct choices *c, uint32_t number)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->numbers[i] == number)
			return;
	}
	if (c->count < CHOICES_MAX)
		c->numbers[c->count++] = number;
}

/* The ends of the first ranges of a list, and what is just past them; none above @max. */
static void add_numbers(struct choices *c, const struct u32_ranges *r, uint32_t max)
{
	for (size_t i = 0; i < MIN(r->count, 2u); i++) {
		add_number(c, r->ranges[i].first);
		add_number(c, r->ranges[i].last);
		if (r->ranges[i].last < max)
			add_number(c, r->ranges[i].last + 1);
	}
}

static void add_address(struct choices *c, const struct addr *a)
{
	if (c->count < CHOICES_MAX)
		c->addresses[c->count++] = *a;
}

/* Whether an address can be somebody's: not "this network", loopback, link-local or multicast. */
static bool is_usable(const struct addr *a)
{
	if (a->family == ADDR_V4)
		return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224 &&
		       !(a->bytes[0] == 169 && a->bytes[1] == 254);
	return a->bytes[0] != 0 && a->bytes[0] != 0xff && a->bytes[0] != 0xfe;
}

/* The first usable address of the first ranges of a list. */
static void add_ranges(struct choices *c, const struct cidr_list *l, enum addr_family family)
{
	const struct addr_ranges *r = &l->family[family];

	for (size_t i = 0; i < MIN(r->count, 3u); i++) {
		struct addr a = { .family = (uint8_t)family };

		memcpy(a.bytes, r->ranges[i].first, sizeof(a.bytes));
		if (!is_usable(&a))
			memcpy(a.bytes, r->ranges[i].last, sizeof(a.bytes));
		if (is_usable(&a))
			add_address(c, &a);
	}
}

/* While a proxy runs it decides whether it lives, and connects to where it was asked, unmarked. */
static void add_common(struct space *s, const struct verify_world *w)
{
	if (w->proxy) {
		add_number(&s->alive, w->alive[s->family] ? PACKET_YES : PACKET_NO);
	} else {
		add_number(&s->alive, PACKET_YES);
		add_number(&s->alive, PACKET_NO);
	}
}

static void space_outbound(struct space *s, const struct config *c)
{
	static const struct addr loopback[] = { { ADDR_V4, { 127, 0, 0, 1 } },
						{ ADDR_V6, { [15] = 1 } } };
	const struct verify_world *w = s->world;

	add_address(&s->to, &w->there[s->family]);
	add_address(&s->to, &w->other[s->family]);
	add_address(&s->to, &loopback[s->family]);
	if (s->family == ADDR_V6 && w->peer)
		add_address(&s->to, &w->linklocal);
	if (w->lent[s->family] && !w->proxy) {
		add_ranges(&s->to, &c->outbound_exclude_cidrs, s->family);
		add_ranges(&s->to, &c->outbound_include_cidrs, s->family);
	}
	add_address(&s->from, &w->here[s->family]);
	add_number(&s->port, SOME_PORT);
	add_numbers(&s->port, &c->outbound_include_ports, UINT16_MAX);
	add_numbers(&s->port, &c->outbound_exclude_ports, UINT16_MAX);
	add_number(&s->uid, SOMEBODY);
	add_numbers(&s->uid, &c->include_uids, OWNER_MAX);
	add_numbers(&s->uid, &c->exclude_uids, OWNER_MAX);
	add_numbers(&s->uid, &c->proxy_uids, OWNER_MAX);
	add_number(&s->gid, SOMEBODY);
	add_numbers(&s->gid, &c->include_gids, OWNER_MAX);
	add_numbers(&s->gid, &c->exclude_gids, OWNER_MAX);
	add_numbers(&s->gid, &c->proxy_gids, OWNER_MAX);
	add_number(&s->listening, PACKET_YES);
	add_common(s, w);
}

static void space_inbound(struct space *s, const struct config *c)
{
	const struct verify_world *w = s->world;

	add_address(&s->from, &w->there[s->family]);
	add_address(&s->from, &w->other[s->family]);
	if (w->lent[s->family] && !w->proxy)
		add_ranges(&s->from, &c->inbound_exclude_cidrs, s->family);
	add_address(&s->to, &w->here[s->family]);
	add_address(&s->to, &w->beyond[s->family]);
	add_number(&s->port, SOME_PORT);
	add_numbers(&s->port, &c->inbound_include_ports, UINT16_MAX);
	add_numbers(&s->port, &c->inbound_exclude_ports, UINT16_MAX);
	add_number(&s->port, c->admin_port);
	add_number(&s->uid, 0);
	add_number(&s->gid, 0);
	add_number(&s->listening, PACKET_YES);
	add_number(&s->listening, PACKET_NO);
	add_common(s, w);
}

static size_t space_size(const struct space *s)
{
	return s->from.count * s->to.count * s->port.count * s->uid.count * s->gid.count *
	       s->listening.count * s->alive.count;
}

/* Takes one digit off *@n. */
static size_t digit(size_t *n, const struct choices *c)
{
	size_t d = *n % c->count;

	*n /= c->count;
	return d;
}

/* Packet @n of the space; the properties that matter most vary first. False: there is no such. */
static bool space_packet(const struct space *s, size_t n, struct packet *out)
{
	const struct verify_world *w = s->world;
	bool outbound = s->direction == PACKET_OUTBOUND;

	*out = (struct packet){ .direction = s->direction, .local = PACKET_NO };
	out->alive = s->alive.numbers[digit(&n, &s->alive)];
	out->to = (struct endpoint){ .given = true };
	out->to.port = (uint16_t)s->port.numbers[digit(&n, &s->port)];
	out->to.addr = s->to.addresses[digit(&n, &s->to)];
	out->uid = s->uid.numbers[digit(&n, &s->uid)];
	out->gid = s->gid.numbers[digit(&n, &s->gid)];
	out->listening = s->listening.numbers[digit(&n, &s->listening)];
	out->from = (struct endpoint){ .given = true, .addr = s->from.addresses[n] };
	memcpy(out->iface, w->iface, sizeof(out->iface));
	if (addr_is_loopback(&out->to.addr)) {
		out->local = PACKET_YES;
		memset(out->iface, 0, sizeof(out->iface));
		memcpy(out->iface, "lo", sizeof("lo"));
	} else if (!outbound &&
		   memcmp(&out->to.addr, &w->here[s->family], sizeof(struct addr)) == 0) {
		out->local = PACKET_YES;
	}
	/* Nobody listens at an address that is not ours. */
	return outbound || out->local == PACKET_YES || out->listening == PACKET_YES;
}

/* The plan without one rule: a copy of everything else, which borrows. */
struct lesson {
	struct plan plan;
	struct plan_rule *rules; /* owned */
};

static int lesson_init(struct lesson *l, const struct plan *plan, unsigned chain, size_t without)
{
	const struct plan_chain *c = &plan->chains[chain];

	l->plan = *plan;
	l->rules = malloc(c->count * sizeof(*l->rules));
	if (!l->rules)
		return -ENOMEM;
	memcpy(l->rules, c->rules, without * sizeof(*l->rules));
	memcpy(l->rules + without, c->rules + without + 1,
	       (c->count - without - 1) * sizeof(*l->rules));
	l->plan.chains[chain].rules = l->rules;
	l->plan.chains[chain].count = c->count - 1;
	return 0;
}

/* How well a connection shows that a rule is there. */
enum witness {
	WITNESS_NONE,
	WITNESS_ROW,	 /* it would end the same, by another row */
	WITNESS_VERDICT, /* it would end elsewhere */
};

/* Where nobody answers, or everybody would be refused, a connection's end tells nothing. */
static bool end_is_told(const struct verify_world *w, const struct packet *p)
{
	return (p->local == PACKET_YES || p->direction == PACKET_OUTBOUND) &&
	       (w->peer || p->direction == PACKET_OUTBOUND);
}

static enum witness witness(const struct verify_world *w, const struct plan *plan,
			    const struct plan *without, const struct packet *p,
			    struct explanation *with)
{
	struct explanation other;

	if (explain_plan(plan, p, with, NULL) < 0 || explain_plan(without, p, &other, NULL) < 0)
		return WITNESS_NONE;
	if (with->verdict == EXPLAIN_DROP || other.verdict == EXPLAIN_DROP)
		return WITNESS_NONE;
	if (with->verdict != other.verdict && end_is_told(w, p))
		return WITNESS_VERDICT;
	return strcmp(with->row, other.row) != 0 || strcmp(with->rule, other.rule) != 0
		       ? WITNESS_ROW
		       : WITNESS_NONE;
}

/* Whether packets of @family could match the rule. */
static bool concerns(const struct plan_rule *r, enum addr_family family)
{
	for (unsigned i = 0; i < r->match_count; i++) {
		const struct plan_match *m = &r->matches[i];

		if (m->kind == PLAN_MATCH_LINKLOCAL && family != ADDR_V6)
			return false;
		if (m->kind == PLAN_MATCH_FAMILY && m->value != family)
			return false;
		if ((m->kind == PLAN_MATCH_SADDR || m->kind == PLAN_MATCH_DADDR) &&
		    (m->set->type == PLAN_SET_ADDR4) != (family == ADDR_V4))
			return false;
	}
	return true;
}

/* Several rules of a row count once. */
static void add_untried(struct verify_list *out, struct verify_untried u)
{
	for (size_t i = 0; i < out->untried_count; i++) {
		const struct verify_untried *x = &out->untried[i];

		if (x->family == u.family && x->chain == u.chain && x->row == u.row)
			return;
	}
	if (out->untried_count < VERIFY_UNTRIED_MAX)
		out->untried[out->untried_count++] = u;
}

/* The best witness of a rule, into the list unless something there shows it already. */
static void find_witness(const struct space *s, const struct plan *plan, const struct lesson *l,
			 enum plan_chain_id chain, enum plan_row row, struct verify_list *out)
{
	struct verify_check best = { .by_counter = true };
	enum witness found = WITNESS_NONE;
	struct explanation with;
	struct packet p;

	for (size_t i = 0; i < out->count; i++) {
		const struct packet *q = &out->checks[i].packet;

		if (q->direction == s->direction && q->to.addr.family == s->family &&
		    witness(s->world, plan, &l->plan, q, &with) == WITNESS_VERDICT)
			return;
	}
	for (size_t n = 0; n < space_size(s) && found != WITNESS_VERDICT; n++) {
		enum witness w = space_packet(s, n, &p)
					 ? witness(s->world, plan, &l->plan, &p, &with)
					 : WITNESS_NONE;

		if (w <= found)
			continue;
		found = w;
		best = (struct verify_check){ p, with, !end_is_told(s->world, &p) };
	}
	if (found != WITNESS_NONE && out->count < VERIFY_CHECKS_MAX)
		out->checks[out->count++] = best;
	else if (found == WITNESS_NONE)
		add_untried(out, (struct verify_untried){ s->family, chain, row });
}

/* Whose packets meet a chain. */
static unsigned chain_direction(enum plan_chain_id chain)
{
	switch (chain) {
	case PLAN_CHAIN_NAT_PREROUTING:
	case PLAN_CHAIN_VIRTUAL:
	case PLAN_CHAIN_MANGLE_PREROUTING:
	case PLAN_CHAIN_INBOUND:
	case PLAN_CHAIN_INBOUND_OPEN:
		return PACKET_INBOUND;
	default:
		return PACKET_OUTBOUND;
	}
}

static int pick_for(const struct space *s, const struct plan *plan, struct verify_list *out)
{
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		for (size_t i = 0; i < plan->chains[c].count; i++) {
			const struct plan_rule *r = &plan->chains[c].rules[i];
			struct lesson l;

			if (c == PLAN_CHAIN_HEARTBEAT || chain_direction(c) != s->direction ||
			    !concerns(r, s->family))
				continue;
			if (lesson_init(&l, plan, c, i) < 0)
				return -ENOMEM;
			find_witness(s, plan, &l, c, r->row, out);
			free(l.rules);
		}
	}
	return 0;
}

/* Those that need a dead proxy first: then nothing has beaten yet. */
static int check_order(const void *a, const void *b)
{
	const struct verify_check *x = a, *y = b;

	if (x->packet.alive != y->packet.alive)
		return x->packet.alive == PACKET_NO ? -1 : 1;
	return (int)x->packet.direction - (int)y->packet.direction;
}

int verify_pick(const struct plan *plan, const struct config *c, const struct verify_world *w,
		struct verify_list *out, struct err *e)
{
	out->count = out->untried_count = 0;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		for (unsigned d = 0; d < PACKET_DIRECTION_COUNT; d++) {
			struct space s = { .world = w, .direction = d, .family = f };

			if (!w->family[f] || !(d == PACKET_OUTBOUND ? c->outbound : c->inbound) ||
			    (d == PACKET_INBOUND && !w->peer))
				continue;
			if (d == PACKET_OUTBOUND)
				space_outbound(&s, c);
			else
				space_inbound(&s, c);
			if (pick_for(&s, plan, out) < 0)
				return err_set(e, -ENOMEM, "out of memory for the checks");
		}
	}
	if (out->count)
		qsort(out->checks, out->count, sizeof(*out->checks), check_order);
	return 0;
}
