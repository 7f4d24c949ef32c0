// SPDX-License-Identifier: GPL-2.0-or-later
/* Rules, chains and sets of a plan in the language of nft, and the table made of them. */
#include "plan_print.h"

#include <stdarg.h>

/* Text that is cut, not overrun, at PLAN_LINE_MAX. */
struct line {
	char *text;
	size_t len;
};

static void put(struct line *l, const char *fmt, ...) _printf_(2, 3);

static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, PLAN_LINE_MAX - l->len, fmt, ap);
	va_end(ap);
	l->len = MIN(l->len + (size_t)n, (size_t)PLAN_LINE_MAX - 1);
}

/* What a match compares its field with: "1337 ", "@set.1 ", "!= @set.1 ". */
static void put_operand(struct line *l, const struct plan_match *m, uint32_t generation)
{
	if (!m->set) {
		put(l, "%u ", m->value);
		return;
	}
	put(l, "%s@%s", m->negate ? "!= " : "", m->set->name);
	if (generation)
		put(l, ".%u", generation);
	put(l, " ");
}

static void put_match(struct line *l, const struct plan_match *m, uint32_t generation)
{
	static const char *const fields[] = {
		[PLAN_MATCH_UID] = "meta skuid",
		[PLAN_MATCH_GID] = "meta skgid",
		[PLAN_MATCH_OIF] = "oifname",
		[PLAN_MATCH_IIF] = "iifname",
		[PLAN_MATCH_FAMILY] = "meta nfproto",
		[PLAN_MATCH_TCP] = "meta l4proto tcp",
		[PLAN_MATCH_SYN] = "tcp flags & (fin | syn | rst | ack) == syn",
		[PLAN_MATCH_TCP_DPORT] = "tcp dport",
		[PLAN_MATCH_UDP_DPORT] = "udp dport",
		[PLAN_MATCH_SADDR] = "saddr",
		[PLAN_MATCH_DADDR] = "daddr",
		[PLAN_MATCH_LINKLOCAL] = "ip6 daddr fe80::/10",
		[PLAN_MATCH_LOCAL] = "fib daddr type",
		[PLAN_MATCH_LISTENER] = "socket wildcard <= 1",
		[PLAN_MATCH_ALIVE] = "meta nfproto",
		[PLAN_MATCH_NEW] = "ct state new",
		[PLAN_MATCH_INVALID] = "ct state invalid",
		[PLAN_MATCH_REPLY] = "ct direction reply",
		[PLAN_MATCH_CT_MARK] = "ct mark",
		[PLAN_MATCH_FOREIGN] = "fib saddr type != local",
		[PLAN_MATCH_TRANSPARENT] = "socket transparent 1",
	};
	_Static_assert(ARRAY_SIZE(fields) == PLAN_MATCH_COUNT, "a field for each match");

	if (m->kind == PLAN_MATCH_SADDR || m->kind == PLAN_MATCH_DADDR)
		put(l, m->set->type == PLAN_SET_ADDR4 ? "ip " : "ip6 ");
	put(l, "%s ", fields[m->kind]);
	switch (m->kind) {
	case PLAN_MATCH_UID:
	case PLAN_MATCH_GID:
	case PLAN_MATCH_TCP_DPORT:
	case PLAN_MATCH_UDP_DPORT:
	case PLAN_MATCH_SADDR:
	case PLAN_MATCH_DADDR:
		put_operand(l, m, generation);
		break;
	case PLAN_MATCH_OIF:
	case PLAN_MATCH_IIF:
		put(l, "\"%s%s\" ", m->iface.name, m->iface.prefix ? "*" : "");
		break;
	case PLAN_MATCH_FAMILY:
		put(l, "%s ", m->value == ADDR_V4 ? "ipv4" : "ipv6");
		break;
	case PLAN_MATCH_LOCAL:
		put(l, "%slocal ", m->negate ? "!= " : "");
		break;
	case PLAN_MATCH_ALIVE:
		put(l, "%s@alive ", m->negate ? "!= " : "");
		break;
	case PLAN_MATCH_CT_MARK:
		put(l, "0x%x ", m->value);
		break;
	case PLAN_MATCH_TCP:
	case PLAN_MATCH_SYN:
	case PLAN_MATCH_LINKLOCAL:
	case PLAN_MATCH_LISTENER:
	case PLAN_MATCH_NEW:
	case PLAN_MATCH_INVALID:
	case PLAN_MATCH_REPLY:
	case PLAN_MATCH_FOREIGN:
	case PLAN_MATCH_TRANSPARENT:
	case PLAN_MATCH_COUNT:
		break;
	}
}

/* "9001", or "9001-9016". */
static void put_ports(struct line *l, const struct plan_rule *r)
{
	put(l, ":%u", r->first);
	if (r->last != r->first)
		put(l, "-%u", r->last);
}

/* What a verdict does before the packet is counted. */
static void put_statements(struct line *l, const struct plan_rule *r)
{
	if (r->verdict == PLAN_VERDICT_BEAT)
		put(l, "update @alive { meta nfproto timeout %ums } ", r->timeout_ms);
	if (r->verdict == PLAN_VERDICT_TPROXY)
		put(l, "tproxy to :%u ", r->first);
	if (r->verdict == PLAN_VERDICT_CT_MARK || (r->verdict == PLAN_VERDICT_TPROXY && r->mark))
		put(l, "ct mark set 0x%x ", r->mark);
	if (r->verdict == PLAN_VERDICT_MARK)
		put(l, "meta mark set 0x%x ", r->mark);
}

static void put_verdict(struct line *l, const struct plan_rule *r, bool counter)
{
	put_statements(l, r);
	if (counter)
		put(l, "counter ");
	switch (r->verdict) {
	case PLAN_VERDICT_RETURN:
		put(l, "return");
		break;
	case PLAN_VERDICT_JUMP:
		put(l, "jump %s", plan_chain_name(r->chain));
		break;
	case PLAN_VERDICT_GOTO:
		put(l, "goto %s", plan_chain_name(r->chain));
		break;
	case PLAN_VERDICT_REDIRECT:
		put(l, "redirect to ");
		put_ports(l, r);
		break;
	case PLAN_VERDICT_DNAT:
		put(l, "dnat to ");
		put_ports(l, r);
		break;
	case PLAN_VERDICT_BEAT:
	case PLAN_VERDICT_DROP:
		put(l, "drop");
		break;
	case PLAN_VERDICT_REJECT:
		put(l, "reject with icmpx port-unreachable");
		break;
	case PLAN_VERDICT_TPROXY:
	case PLAN_VERDICT_CT_MARK:
	case PLAN_VERDICT_MARK:
		put(l, "accept");
		break;
	case PLAN_VERDICT_COUNT:
		break;
	}
}

const char *plan_rule_text(const struct plan_rule *r, uint32_t generation, bool counter,
			   char line[PLAN_LINE_MAX])
{
	struct line l = { .text = line };

	line[0] = '\0';
	for (unsigned i = 0; i < r->match_count; i++)
		put_match(&l, &r->matches[i], generation);
	put_verdict(&l, r, counter);
	return line;
}

const char *plan_hook_text(enum plan_chain_id chain, char line[PLAN_LINE_MAX])
{
	static const char *const hooks[] = {
		[PLAN_HOOK_NONE] = NULL,
		[PLAN_HOOK_FILTER_OUTPUT] = "type filter hook output",
		[PLAN_HOOK_NAT_OUTPUT] = "type nat hook output",
		[PLAN_HOOK_NAT_PREROUTING] = "type nat hook prerouting",
		[PLAN_HOOK_REJECT_OUTPUT] = "type filter hook output",
		[PLAN_HOOK_MANGLE_PREROUTING] = "type filter hook prerouting",
		[PLAN_HOOK_MANGLE_OUTPUT] = "type route hook output",
	};
	const char *hook = hooks[plan_chain_hook(chain)];

	_Static_assert(ARRAY_SIZE(hooks) == PLAN_HOOK_COUNT, "a text for each hook");
	line[0] = '\0';
	if (hook)
		snprintf(line, PLAN_LINE_MAX, "%s priority %d; policy accept;", hook,
			 plan_chain_priority(chain));
	return line;
}

const char *plan_set_type_name(enum plan_set_type type)
{
	static const char *const names[] = {
		[PLAN_SET_PORTS] = "inet_service", [PLAN_SET_UIDS] = "uid",
		[PLAN_SET_GIDS] = "gid",	   [PLAN_SET_ADDR4] = "ipv4_addr",
		[PLAN_SET_ADDR6] = "ipv6_addr",
	};

	_Static_assert(ARRAY_SIZE(names) == PLAN_SET_TYPE_COUNT, "a name for each type");
	return names[type];
}

size_t plan_set_count(const struct plan_set *s)
{
	return s->numbers ? s->numbers->count : s->addresses->count;
}

static void put_address(struct line *l, enum addr_family family, const uint8_t *bytes)
{
	struct addr a = { .family = (uint8_t)family };
	char text[ADDR_TEXT_MAX];

	memcpy(a.bytes, bytes, addr_len(family));
	put(l, "%s", addr_text(&a, text));
}

const char *plan_set_item_text(const struct plan_set *s, size_t i, char line[PLAN_LINE_MAX])
{
	enum addr_family family = s->type == PLAN_SET_ADDR4 ? ADDR_V4 : ADDR_V6;
	const struct addr_range *r;
	struct line l = { .text = line };
	uint8_t prefix;

	if (s->numbers) {
		put(&l, "%u", s->numbers->ranges[i].first);
		if (s->numbers->ranges[i].last != s->numbers->ranges[i].first)
			put(&l, "-%u", s->numbers->ranges[i].last);
		return line;
	}
	r = &s->addresses->ranges[i];
	put_address(&l, family, r->first);
	if (!addr_range_is_cidr(r, family, &prefix)) {
		put(&l, "-");
		put_address(&l, family, r->last);
	} else if (prefix < 8 * addr_len(family)) {
		put(&l, "/%u", prefix);
	}
	return line;
}

/* How many ranges of a set the table shows. */
#define TEXT_ITEMS 8

static void print_set(const struct plan_set *s, FILE *to)
{
	size_t count = plan_set_count(s);
	char line[PLAN_LINE_MAX];

	fprintf(to, "@%-18s %-13s", s->name, plan_set_type_name(s->type));
	for (size_t i = 0; i < MIN(count, (size_t)TEXT_ITEMS); i++)
		fprintf(to, "%s %s", i ? "," : "", plan_set_item_text(s, i, line));
	if (count > TEXT_ITEMS)
		fprintf(to, ", ... (%zu)", count);
	fputc('\n', to);
}

void plan_print_text(const struct plan *p, FILE *to)
{
	char line[PLAN_LINE_MAX];

	fprintf(to, "%-15s %-14s %s\n", "CHAIN", "ROW", "RULE");
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		const struct plan_chain *chain = &p->chains[c];

		if (chain->present && plan_chain_hook(c) != PLAN_HOOK_NONE)
			fprintf(to, "%-15s %-14s %s\n", plan_chain_name(c), "-",
				plan_hook_text(c, line));
		for (size_t i = 0; i < chain->count; i++)
			fprintf(to, "%-15s %-14s %s\n", plan_chain_name(c),
				plan_row_id(chain->rules[i].row),
				plan_rule_text(&chain->rules[i], 0, false, line));
	}
	if (p->set_count)
		fprintf(to, "\n%-19s %-13s %s\n", "SET", "TYPE", "RANGES");
	for (size_t i = 0; i < p->set_count; i++)
		print_set(&p->sets[i], to);
}
