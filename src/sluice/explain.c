// SPDX-License-Identifier: GPL-2.0-or-later
/* The walk over rules, and over those of a plan: see explain.h. */
#include "explain.h"

#include "json.h"
#include "plan_print.h"

#include <errno.h>

/* The kernel's own bound for nftables (NFT_JUMP_STACK_SIZE), and enough for ours in legacy. */
#define DEPTH_MAX 16

/* Where the walk is. */
struct place {
	size_t chain, rule;
};

int explain_walk(const struct explain_rules *r, size_t chain, const struct packet *p,
		 struct explanation *out, struct err *e)
{
	struct place stack[DEPTH_MAX], at = { chain, 0 }, decided = at;
	bool any = false;
	size_t depth = 0;

	*out = (struct explanation){ .verdict = EXPLAIN_DIRECT };
	for (;;) {
		struct explain_step step = { .action = EXPLAIN_RETURN };
		bool end = at.rule == r->count(r->rules, at.chain);
		struct place here = at;
		int rc = end ? 0 : r->step(r->rules, at.chain, at.rule, p, &step, e);

		if (rc < 0)
			return rc;
		at.rule++;
		if (step.action == EXPLAIN_NEXT)
			continue;
		if (!end && (step.action == EXPLAIN_RETURN || step.action == EXPLAIN_END)) {
			decided = here;
			any = true;
		}
		if (step.action == EXPLAIN_END) {
			out->verdict = step.verdict;
			out->ended = true;
			out->first = step.first;
			out->last = step.last;
			break;
		}
		if (step.action == EXPLAIN_RETURN) {
			if (!depth)
				break;
			at = stack[--depth];
			continue;
		}
		if (step.action == EXPLAIN_JUMP) {
			if (depth == DEPTH_MAX)
				return err_set(e, -ELOOP, "the rules jump deeper than %d chains",
					       DEPTH_MAX);
			stack[depth++] = at;
		}
		at = (struct place){ step.chain, 0 };
	}
	if (any)
		r->tell(r->rules, decided.chain, decided.rule, out);
	return 0;
}

/* Whether a name is that interface, or begins as it. */
static bool iface_is(const struct iface *i, const char *name)
{
	return i->prefix ? strncmp(name, i->name, strlen(i->name)) == 0
			 : strcmp(name, i->name) == 0;
}

static bool number_in(const struct plan_match *m, uint32_t number)
{
	return m->set ? u32_ranges_have(m->set->numbers, number) != m->negate : m->value == number;
}

static bool address_in(const struct plan_match *m, const struct endpoint *x)
{
	enum addr_family family = m->set->type == PLAN_SET_ADDR4 ? ADDR_V4 : ADDR_V6;
	struct cidr_list list = { .all = false };

	if (!x->given || x->addr.family != family)
		return false;
	list.family[family] = *m->set->addresses;
	return cidr_list_has(&list, &x->addr) != m->negate;
}

/* fe80::/10 */
static bool is_linklocal(const struct addr *a)
{
	return a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool holds(const struct plan_match *m, const struct packet *p)
{
	bool outbound = p->direction == PACKET_OUTBOUND;

	switch (m->kind) {
	case PLAN_MATCH_UID:
		return outbound && number_in(m, p->uid);
	case PLAN_MATCH_GID:
		return outbound && number_in(m, p->gid);
	case PLAN_MATCH_OIF:
		return outbound && iface_is(&m->iface, p->iface);
	case PLAN_MATCH_IIF:
		return !outbound && iface_is(&m->iface, p->iface);
	case PLAN_MATCH_FAMILY:
		return m->value == p->to.addr.family;
	case PLAN_MATCH_TCP:
	case PLAN_MATCH_SYN: /* it is about first packets */
		return p->protocol == PACKET_TCP;
	case PLAN_MATCH_TCP_DPORT:
		return p->protocol == PACKET_TCP && number_in(m, p->to.port);
	case PLAN_MATCH_UDP_DPORT:
		return p->protocol == PACKET_UDP && number_in(m, p->to.port);
	case PLAN_MATCH_SADDR:
		return address_in(m, &p->from);
	case PLAN_MATCH_DADDR:
		return address_in(m, &p->to);
	case PLAN_MATCH_LINKLOCAL:
		return is_linklocal(&p->to.addr);
	case PLAN_MATCH_LOCAL:
		return (p->local == PACKET_YES) != m->negate;
	case PLAN_MATCH_LISTENER:
		return p->listening == PACKET_YES;
	case PLAN_MATCH_ALIVE:
		return (p->alive == PACKET_YES) != m->negate;
	case PLAN_MATCH_NEW: /* it is about first packets */
		return true;
	case PLAN_MATCH_INVALID:
	case PLAN_MATCH_REPLY:
	case PLAN_MATCH_CT_MARK:
	case PLAN_MATCH_FOREIGN: /* and about senders with addresses of their own */
	case PLAN_MATCH_TRANSPARENT:
	case PLAN_MATCH_COUNT:
		break;
	}
	return false;
}

static void verdict_step(const struct plan_rule *r, struct explain_step *out)
{
	static const enum explain_action actions[] = {
		[PLAN_VERDICT_RETURN] = EXPLAIN_RETURN, [PLAN_VERDICT_JUMP] = EXPLAIN_JUMP,
		[PLAN_VERDICT_GOTO] = EXPLAIN_GOTO,	[PLAN_VERDICT_REDIRECT] = EXPLAIN_END,
		[PLAN_VERDICT_DNAT] = EXPLAIN_END,	[PLAN_VERDICT_BEAT] = EXPLAIN_END,
		[PLAN_VERDICT_TPROXY] = EXPLAIN_END,	[PLAN_VERDICT_DROP] = EXPLAIN_END,
		[PLAN_VERDICT_REJECT] = EXPLAIN_END,	[PLAN_VERDICT_CT_MARK] = EXPLAIN_NEXT,
		[PLAN_VERDICT_MARK] = EXPLAIN_NEXT,
	};
	bool drops = r->verdict == PLAN_VERDICT_BEAT || r->verdict == PLAN_VERDICT_DROP ||
		     r->verdict == PLAN_VERDICT_REJECT;

	_Static_assert(ARRAY_SIZE(actions) == PLAN_VERDICT_COUNT, "an action for each verdict");

	*out = (struct explain_step){
		.action = actions[r->verdict],
		.chain = r->chain,
		.verdict = drops ? EXPLAIN_DROP : EXPLAIN_REDIRECT,
		.first = r->first,
		.last = r->last,
	};
}

static size_t plan_count(const void *rules, size_t chain)
{
	return ((const struct plan *)rules)->chains[chain].count;
}

static const struct plan_rule *plan_rule(const void *rules, size_t chain, size_t i)
{
	return &((const struct plan *)rules)->chains[chain].rules[i];
}

static int plan_step(const void *rules, size_t chain, size_t i, const struct packet *p,
		     struct explain_step *out, struct err *e)
{
	const struct plan_rule *r = plan_rule(rules, chain, i);

	for (unsigned k = 0; k < r->match_count; k++) {
		const struct plan_match *m = &r->matches[k];

		if (m->kind == PLAN_MATCH_SADDR && !p->from.given)
			return err_usage(e, "--from: row %s goes by the source address: give it",
					 plan_row_id(r->row));
		if (!holds(m, p)) {
			*out = (struct explain_step){ .action = EXPLAIN_NEXT };
			return 0;
		}
	}
	verdict_step(r, out);
	return 0;
}

static void plan_tell(const void *rules, size_t chain, size_t i, struct explanation *out)
{
	const struct plan_rule *r = plan_rule(rules, chain, i);
	char line[PLAN_LINE_MAX];

	snprintf(out->row, sizeof(out->row), "%s", plan_row_id(r->row));
	snprintf(out->rule, sizeof(out->rule), "%s", plan_rule_text(r, 0, false, line));
}

/* Whether packets of @direction pass @hook. */
static bool hook_sees(enum plan_hook hook, unsigned direction)
{
	if (hook == PLAN_HOOK_NONE)
		return false;
	return (hook == PLAN_HOOK_NAT_PREROUTING || hook == PLAN_HOOK_MANGLE_PREROUTING) ==
	       (direction == PACKET_INBOUND);
}

int explain_plan(const struct plan *plan, const struct packet *p, struct explanation *out,
		 struct err *e)
{
	const struct explain_rules r = { plan, plan_count, plan_step, plan_tell };
	struct explanation last = { .verdict = EXPLAIN_DIRECT };

	/* The chains' ids are in the order in which a packet meets them. */
	for (unsigned c = 0; c < PLAN_CHAIN_COUNT; c++) {
		int rc;

		if (!plan->chains[c].present || !hook_sees(plan_chain_hook(c), p->direction))
			continue;
		rc = explain_walk(&r, c, p, out, e);
		if (rc < 0 || out->verdict != EXPLAIN_DIRECT)
			return rc;
		if (out->row[0])
			last = *out;
	}
	*out = last;
	return 0;
}

const char *explain_verdict_text(const struct explanation *x, char text[EXPLAIN_VERDICT_MAX])
{
	if (x->verdict == EXPLAIN_REDIRECT && x->first != x->last)
		snprintf(text, EXPLAIN_VERDICT_MAX, "to port %u (or up to %u)", x->first, x->last);
	else if (x->verdict == EXPLAIN_REDIRECT)
		snprintf(text, EXPLAIN_VERDICT_MAX, "to port %u", x->first);
	else
		snprintf(text, EXPLAIN_VERDICT_MAX, "%s",
			 x->verdict == EXPLAIN_DIRECT ? "direct" : "dropped");
	return text;
}

static const char *const meanings[PLAN_ROW_COUNT] = {
	[PLAN_ROW_BEAT] = "it is the proxy's heartbeat",
	[PLAN_ROW_OUT_SYN] = "it begins an outbound connection",
	[PLAN_ROW_OUT_PROXY] = "the proxy itself sends it",
	[PLAN_ROW_OUT_LOCAL] = "it stays in this namespace",
	[PLAN_ROW_OUT_LINKLOCAL] = "it goes to a link-local address",
	[PLAN_ROW_OUT_IFACE] = "it leaves through an excluded interface",
	[PLAN_ROW_OUT_OWNED] = "its owner is an included one",
	[PLAN_ROW_OUT_OWNER] = "its owner is excluded, or not among the included ones",
	[PLAN_ROW_OUT_PORT_EXCL] = "its port is excluded",
	[PLAN_ROW_OUT_CIDR_EXCL] = "its destination is excluded",
	[PLAN_ROW_OUT_NOT_INCL] = "its port or destination is not among the included ones",
	[PLAN_ROW_OUT_DEAD] = "no proxy is alive",
	[PLAN_ROW_OUT_REDIRECT] = "nothing exempts it",
	[PLAN_ROW_OUT_QUIC] = "it may begin a QUIC connection",
	[PLAN_ROW_OUT_REJECT] = "it is QUIC, and TCP would be redirected",
	[PLAN_ROW_OUT_VIRTUAL] = "it arrived on a virtual interface",
	[PLAN_ROW_IN_SYN] = "it begins an inbound connection",
	[PLAN_ROW_IN_LOCAL] = "it comes from this namespace itself",
	[PLAN_ROW_IN_IFACE] = "it arrived on an excluded interface",
	[PLAN_ROW_IN_FORWARD] = "it is addressed to somebody else and routed through",
	[PLAN_ROW_IN_OWN] = "it goes to a port of the proxy's own",
	[PLAN_ROW_IN_PORT_EXCL] = "its port is excluded",
	[PLAN_ROW_IN_CIDR_EXCL] = "its source is excluded",
	[PLAN_ROW_IN_NOT_INCL] = "its port is not among the included ones",
	[PLAN_ROW_IN_OPEN] = "somebody listens there",
	[PLAN_ROW_IN_CLOSED] = "nobody listens there: the kernel refuses it",
	[PLAN_ROW_IN_DEAD] = "no proxy is alive",
	[PLAN_ROW_IN_REDIRECT] = "nothing exempts it",
	[PLAN_ROW_IN_UNSERVED] = "no proxy takes it",
	[PLAN_ROW_IN_INVALID] = "it belongs to no connection",
	[PLAN_ROW_IN_PROXIED] = "the proxy has its connection",
	[PLAN_ROW_IN_SOURCE] = "the proxy sends it from a client's address",
	[PLAN_ROW_IN_ANSWER] = "it answers the proxy at a client's address",
	[PLAN_ROW_OUT_ANCHOR] = "it matches what nothing matches",
	[PLAN_ROW_IN_ANCHOR] = "it matches what nothing matches",
};

const char *explain_row_meaning(const char *row)
{
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++) {
		if (strcmp(plan_row_id(i), row) == 0)
			return meanings[i] ? meanings[i] : "";
	}
	return "";
}

void explain_print_json(const struct explanation *x, FILE *to)
{
	static const char *const verdicts[] = { "direct", "redirect", "drop" };

	_Static_assert(ARRAY_SIZE(verdicts) == EXPLAIN_VERDICT_COUNT, "a word for each");
	fprintf(to, "{\"verdict\": \"%s\", \"ports\": [", verdicts[x->verdict]);
	if (x->verdict == EXPLAIN_REDIRECT)
		fprintf(to, "%u, %u", x->first, x->last);
	fputs("], \"row\": ", to);
	if (x->row[0])
		json_string(span_str(x->row), to);
	else
		fputs("null", to);
	fputs(", \"meaning\": ", to);
	json_string(span_str(explain_row_meaning(x->row)), to);
	fputs(", \"rule\": ", to);
	json_string(span_str(x->rule), to);
	fputs("}\n", to);
}
