// SPDX-License-Identifier: GPL-2.0-or-later
/* A plan as chains and rules for the legacy tables: see lower.h. */
#include "lower.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>

/* Lowering in progress. Once memory is out, every further step does nothing. */
struct lowering {
	struct lower *out;
	const struct plan *plan;
	unsigned chain;			/* where rules go */
	enum plan_chain_id from;	/* the plan's chain that is being lowered */
	unsigned segments;		/* of it, so far */
	unsigned nodes[PLAN_ROW_COUNT]; /* chains named after each row, so far */
	struct lower_rule scratch;	/* what is written to after a failure */
	bool failed;
};

/* Items of a set, each for one rule: @count ranges of the set from @first on. */
struct item {
	size_t first, count;
};

/* A list being lowered: what its rules have in common, and where they lead. */
struct list {
	const struct plan_set *set;
	struct lower_rule hit;	/* but for the item */
	struct lower_rule miss; /* behind the items of a chain */
	struct item *items;	/* owned */
	size_t count;
	unsigned field; /* enum lower_condition */
};

const char *lower_table_name(enum lower_table table)
{
	static const char *const names[] = { [LOWER_RAW] = "raw",
					     [LOWER_MANGLE] = "mangle",
					     [LOWER_FILTER] = "filter",
					     [LOWER_NAT] = "nat" };

	_Static_assert(ARRAY_SIZE(names) == LOWER_TABLE_COUNT, "a name for each table");
	return names[table];
}

uint32_t lower_seconds(const struct plan *p)
{
	const struct plan_chain *beats = &p->chains[PLAN_CHAIN_HEARTBEAT];

	return beats->count ? MAX((beats->rules[0].timeout_ms + 999) / 1000, 1u) : 1;
}

/* A new, empty chain; the next call may move it. 0, which is a chain too, after a failure. */
static unsigned add_chain(struct lowering *l, const struct lower_chain *made)
{
	struct lower *out = l->out;

	if (!l->failed && out->count == out->capacity) {
		size_t capacity = out->capacity ? 2 * out->capacity : 32;
		struct lower_chain *grown = realloc(out->chains, capacity * sizeof(*grown));

		l->failed = !grown;
		if (grown) {
			out->chains = grown;
			out->capacity = capacity;
		}
	}
	if (l->failed)
		return 0;
	out->chains[out->count] = *made;
	return (unsigned)out->count++;
}

/* A copy of @made behind the rules of the current chain. */
static void add_rule(struct lowering *l, const struct lower_rule *made)
{
	struct lower_chain *c;

	if (l->failed)
		return;
	c = &l->out->chains[l->chain];
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : LOWER_FAN + 1;
		struct lower_rule *grown = realloc(c->rules, capacity * sizeof(*grown));

		l->failed = !grown;
		if (!grown)
			return;
		c->rules = grown;
		c->capacity = capacity;
	}
	c->rules[c->count] = *made;
	c->rules[c->count++].comment &= !c->node;
}

/* "SLUICE_OUTBOUND", "SLUICE_OUTBOUND.2". */
static void chain_name(char name[LOWER_NAME_MAX], enum plan_chain_id id, unsigned segment)
{
	char upper[PLAN_NAME_MAX];

	snprintf(upper, sizeof(upper), "%s", plan_chain_name(id));
	for (char *c = upper; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	if (segment > 1)
		snprintf(name, LOWER_NAME_MAX, LOWER_PREFIX "%.18s.%u", upper, segment % 100);
	else
		snprintf(name, LOWER_NAME_MAX, LOWER_PREFIX "%.21s", upper);
}

static unsigned add_segment(struct lowering *l)
{
	struct lower_chain made = { .present = true };

	if (l->failed)
		return 0;
	made.table = l->out->chains[l->from].table;
	chain_name(made.name, l->from, ++l->segments);
	return add_chain(l, &made);
}

static unsigned add_node(struct lowering *l, enum plan_row row)
{
	struct lower_chain made = { .present = true, .node = true };

	if (l->failed)
		return 0;
	made.table = l->out->chains[l->from].table;
	snprintf(made.name, sizeof(made.name), LOWER_PREFIX "%.14s.%u", plan_row_id(row),
		 ++l->nodes[row] % 1000000);
	return add_chain(l, &made);
}

/* fe80::/10 */
static const struct addr_range linklocal = {
	.first = { 0xfe, 0x80 },
	.last = { 0xfe, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff },
};

/* A match that names no set. False when no packet of this family matches it. */
static bool lower_value(const struct lowering *l, const struct plan_match *m, struct lower_rule *r)
{
	enum addr_family family = l->out->family;

	switch (m->kind) {
	case PLAN_MATCH_UID:
	case PLAN_MATCH_GID:
		r->conditions |= m->kind == PLAN_MATCH_UID ? LOWER_UID : LOWER_GID;
		r->owner = (struct u32_range){ m->value, m->value };
		break;
	case PLAN_MATCH_OIF:
		r->out = &m->iface;
		break;
	case PLAN_MATCH_IIF:
		r->in = &m->iface;
		break;
	case PLAN_MATCH_FAMILY:
		return m->value == family;
	case PLAN_MATCH_TCP:
		r->protocol = IPPROTO_TCP;
		break;
	case PLAN_MATCH_SYN:
		r->protocol = IPPROTO_TCP;
		r->conditions |= LOWER_SYN;
		break;
	case PLAN_MATCH_TCP_DPORT:
	case PLAN_MATCH_UDP_DPORT:
		r->protocol = m->kind == PLAN_MATCH_TCP_DPORT ? IPPROTO_TCP : IPPROTO_UDP;
		r->conditions |= LOWER_DPORT;
		r->port = (struct u32_range){ m->value, m->value };
		break;
	case PLAN_MATCH_LINKLOCAL:
		r->conditions |= LOWER_DST;
		r->address = linklocal;
		return family == ADDR_V6;
	case PLAN_MATCH_LOCAL:
		r->conditions |= m->negate ? LOWER_NOT_LOCAL : LOWER_LOCAL;
		break;
	case PLAN_MATCH_FOREIGN:
		r->conditions |= LOWER_FOREIGN;
		break;
	case PLAN_MATCH_NEW:
		r->conditions |= LOWER_NEW;
		break;
	case PLAN_MATCH_INVALID:
		r->conditions |= LOWER_INVALID;
		break;
	case PLAN_MATCH_REPLY:
		r->conditions |= LOWER_REPLY;
		break;
	case PLAN_MATCH_CT_MARK:
		r->conditions |= LOWER_CT_MARK;
		r->ct_mark = m->value;
		break;
	case PLAN_MATCH_TRANSPARENT:
		return false; /* LISTENER matches that, too */
	case PLAN_MATCH_LISTENER:
		r->conditions |= LOWER_LISTENER;
		break;
	case PLAN_MATCH_ALIVE:
		r->conditions |= LOWER_DEAD;
		r->seconds = lower_seconds(l->plan);
		break;
	case PLAN_MATCH_SADDR:
	case PLAN_MATCH_DADDR:
	case PLAN_MATCH_COUNT:
		break;
	}
	return true;
}

/* A match on a set: which field of a rule its items go to. 0: not of this family. */
static unsigned lower_field(const struct lowering *l, const struct plan_match *m,
			    struct lower_rule *r)
{
	enum addr_family other = l->out->family == ADDR_V4 ? ADDR_V6 : ADDR_V4;

	switch (m->kind) {
	case PLAN_MATCH_UID:
		return LOWER_UID;
	case PLAN_MATCH_GID:
		return LOWER_GID;
	case PLAN_MATCH_TCP_DPORT:
		r->protocol = IPPROTO_TCP;
		return LOWER_DPORT;
	case PLAN_MATCH_SADDR:
	case PLAN_MATCH_DADDR:
		if (m->set->type == (other == ADDR_V4 ? PLAN_SET_ADDR4 : PLAN_SET_ADDR6))
			return 0;
		return m->kind == PLAN_MATCH_SADDR ? LOWER_SRC : LOWER_DST;
	default:
		return 0;
	}
}

static void lower_verdict(const struct plan_rule *from, struct lower_rule *r)
{
	static const enum lower_verdict verdicts[] = {
		[PLAN_VERDICT_RETURN] = LOWER_RETURN,	    [PLAN_VERDICT_JUMP] = LOWER_JUMP,
		[PLAN_VERDICT_GOTO] = LOWER_GOTO,	    [PLAN_VERDICT_BEAT] = LOWER_DROP,
		[PLAN_VERDICT_REDIRECT] = LOWER_REDIRECT,   [PLAN_VERDICT_DNAT] = LOWER_DNAT,
		[PLAN_VERDICT_TPROXY] = LOWER_TPROXY,	    [PLAN_VERDICT_DROP] = LOWER_DROP,
		[PLAN_VERDICT_REJECT] = LOWER_REJECT,	    [PLAN_VERDICT_MARK] = LOWER_SET_MARK,
		[PLAN_VERDICT_CT_MARK] = LOWER_SET_CT_MARK,
	};
	_Static_assert(ARRAY_SIZE(verdicts) == PLAN_VERDICT_COUNT, "one for each verdict");

	r->verdict = verdicts[from->verdict];
	r->chain = from->chain;
	r->first = from->first;
	r->last = from->last;
	r->mark = from->mark;
	if (from->verdict == PLAN_VERDICT_BEAT)
		r->conditions |= LOWER_BEAT;
}

/* Puts items @from to @to, both included, into the field of @r: the very item, or their span. */
static void set_items(const struct list *list, size_t from, size_t to, struct lower_rule *r)
{
	size_t first = list->items[from].first;
	size_t last = list->items[to].first + list->items[to].count - 1;
	const struct plan_set *s = list->set;

	r->conditions |= list->field;
	if (s->addresses) {
		memcpy(r->address.first, s->addresses->ranges[first].first, 16);
		memcpy(r->address.last, s->addresses->ranges[last].last, 16);
		return;
	}
	if (list->field != LOWER_DPORT) {
		r->owner.first = s->numbers->ranges[first].first;
		r->owner.last = s->numbers->ranges[last].last;
	} else if (from == to && list->items[from].count > 1) {
		r->port_list = &s->numbers->ranges[first];
		r->port_count = (unsigned)list->items[from].count;
	} else {
		r->port.first = s->numbers->ranges[first].first;
		r->port.last = s->numbers->ranges[last].last;
	}
}

/* Rules of the current chain for @count items from @first on, in chains below where need be. */
static void add_items(struct lowering *l, const struct list *list, size_t first, size_t count)
{
	unsigned here = l->chain;
	size_t span = 1;

	while (span * LOWER_FAN < count)
		span *= LOWER_FAN;
	for (size_t i = first; i < first + count; i += span) {
		size_t below = MIN(span, first + count - i);
		struct lower_rule r = { .row = list->hit.row,
					.protocol = list->hit.protocol,
					.verdict = LOWER_GOTO };

		if (below == 1) {
			r = list->hit;
			set_items(list, i, i, &r);
			add_rule(l, &r);
			continue;
		}
		r.chain = add_node(l, r.row);
		set_items(list, i, i + below - 1, &r);
		add_rule(l, &r);
		l->chain = r.chain;
		add_items(l, list, i, below);
		add_rule(l, &list->miss);
		l->chain = here;
	}
}

/* One item per range; of ports, as many as one multiport match holds. */
static bool make_items(struct list *list)
{
	const struct u32_ranges *ports = list->field == LOWER_DPORT ? list->set->numbers : NULL;
	size_t total = list->set->numbers ? list->set->numbers->count : list->set->addresses->count;
	unsigned slots = 0;

	list->items = calloc(total, sizeof(*list->items));
	if (!list->items)
		return false;
	for (size_t i = 0; i < total; i++) {
		unsigned more = ports && ports->ranges[i].first != ports->ranges[i].last ? 2 : 1;

		if (!ports || !list->count || slots + more > LOWER_PORT_SLOTS) {
			list->items[list->count++].first = i;
			slots = 0;
		}
		slots += more;
		list->items[list->count - 1].count++;
	}
	return true;
}

static void lower_list(struct lowering *l, const struct plan_match *m, const struct lower_rule *r,
		       unsigned field)
{
	struct list list = { .set = m->set, .hit = *r, .field = field };
	struct lower_rule on = { .row = r->row, .verdict = LOWER_GOTO };

	if (!make_items(&list)) {
		l->failed = true;
		return;
	}
	list.miss = on;
	if (m->negate) {
		/* Who is in the list goes on, the others take the verdict. */
		on.chain = add_segment(l);
		list.miss = *r;
		list.hit = on;
		list.hit.protocol = r->protocol;
		add_items(l, &list, 0, list.count);
		add_rule(l, &list.miss);
		l->chain = on.chain;
	} else if (list.count > LOWER_FAN) {
		on.chain = list.miss.chain = add_segment(l);
		add_items(l, &list, 0, list.count);
		add_rule(l, &on);
		l->chain = on.chain;
	} else {
		add_items(l, &list, 0, list.count);
	}
	free(list.items);
}

static void lower_rule(struct lowering *l, const struct plan_rule *from)
{
	struct lower_rule r = { .row = from->row, .comment = true };
	const struct plan_match *with_set = NULL;
	unsigned field = 0;

	for (unsigned i = 0; i < from->match_count; i++) {
		const struct plan_match *m = &from->matches[i];

		if (m->set) {
			with_set = m;
			field = lower_field(l, m, &r);
			if (!field)
				return;
		} else if (!lower_value(l, m, &r)) {
			return;
		}
	}
	lower_verdict(from, &r);
	if (r.verdict == LOWER_TPROXY && r.mark) {
		struct lower_rule mark = r;

		/* TPROXY ends the packet's way through the table: the mark comes before it. */
		mark.verdict = LOWER_SET_CT_MARK;
		add_rule(l, &mark);
	}
	if (with_set)
		lower_list(l, with_set, &r, field);
	else
		add_rule(l, &r);
}

/* The jump into a base chain: what all its rules ask for is asked before the jump. */
static void add_entry(struct lower_chain *c, enum plan_chain_id id)
{
	static const struct iface loopback = { .name = "lo" };
	static const struct {
		const char *builtin;
		enum lower_table table;
		uint8_t protocol;
		const struct iface *out;
	} hooks[] = {
		[PLAN_HOOK_NONE] = { NULL, LOWER_NAT, 0, NULL },
		[PLAN_HOOK_FILTER_OUTPUT] = { "OUTPUT", LOWER_RAW, IPPROTO_UDP, &loopback },
		[PLAN_HOOK_NAT_OUTPUT] = { "OUTPUT", LOWER_NAT, IPPROTO_TCP, NULL },
		[PLAN_HOOK_NAT_PREROUTING] = { "PREROUTING", LOWER_NAT, IPPROTO_TCP, NULL },
		[PLAN_HOOK_REJECT_OUTPUT] = { "OUTPUT", LOWER_FILTER, IPPROTO_UDP, NULL },
		[PLAN_HOOK_MANGLE_PREROUTING] = { "PREROUTING", LOWER_MANGLE, IPPROTO_TCP, NULL },
		[PLAN_HOOK_MANGLE_OUTPUT] = { "OUTPUT", LOWER_MANGLE, IPPROTO_TCP, NULL },
	};
	enum plan_hook hook = plan_chain_hook(id);

	_Static_assert(ARRAY_SIZE(hooks) == PLAN_HOOK_COUNT, "facts for each hook");
	c->table = hooks[hook].table;
	c->builtin = hooks[hook].builtin;
	c->entry = (struct lower_rule){ .protocol = hooks[hook].protocol,
					.out = hooks[hook].out,
					.verdict = LOWER_JUMP,
					.chain = id };
}

/* A chain that is only jumped to is where the rules are that lead to it: in a chain before it. */
static void place_chains(struct lowering *l)
{
	for (unsigned i = 0; !l->failed && i < PLAN_CHAIN_COUNT; i++) {
		const struct plan_chain *c = &l->plan->chains[i];

		for (size_t j = 0; j < c->count; j++) {
			const struct plan_rule *r = &c->rules[j];

			if (r->verdict == PLAN_VERDICT_JUMP || r->verdict == PLAN_VERDICT_GOTO)
				l->out->chains[r->chain].table = l->out->chains[i].table;
		}
	}
}

int lower_plan(const struct plan *p, enum addr_family family, struct lower *out, struct err *e)
{
	struct lowering l = { .out = out, .plan = p };

	*out = (struct lower){ .family = family };
	for (unsigned i = 0; i < PLAN_CHAIN_COUNT; i++) {
		struct lower_chain made = { .present = p->chains[i].present };

		chain_name(made.name, i, 1);
		add_entry(&made, i);
		add_chain(&l, &made);
	}
	place_chains(&l);
	for (unsigned i = 0; i < PLAN_CHAIN_COUNT; i++) {
		l.chain = l.from = i;
		l.segments = 1;
		for (size_t j = 0; j < p->chains[i].count; j++)
			lower_rule(&l, &p->chains[i].rules[j]);
	}
	return l.failed ? err_set(e, -ENOMEM, "out of memory for the rules") : 0;
}

void lower_fini(struct lower *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->chains[i].rules);
	free(l->chains);
	*l = (struct lower){ .count = 0 };
}

size_t lower_rule_count(const struct lower *l)
{
	size_t count = 0;

	for (size_t i = 0; i < l->count; i++)
		count += l->chains[i].present ? l->chains[i].count + !!l->chains[i].builtin : 0;
	return count;
}
