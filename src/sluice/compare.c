// SPDX-License-Identifier: GPL-2.0-or-later
/* Differences between two rulesets: see compare.h. */
#include "compare.h"

#include "compare_set.h"
#include "decode_nft.h"
#include "diff.h"
#include "plan.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

/* A rule's form under way. */
struct form_writer {
	struct compare_form *out;
	size_t len;
};

/* Not by printf(3), which would take most of the time of a comparison. */
static void put(struct form_writer *w, const char *text, size_t len)
{
	len = MIN(len, COMPARE_TEXT_MAX - 1 - w->len);
	memcpy(w->out->text + w->len, text, len);
	w->len += len;
	w->out->text[w->len] = '\0';
}

static void put_text(struct form_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void put_number(struct form_writer *w, uint32_t number)
{
	char digits[10];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(w, digits + at, sizeof(digits) - at);
}

/* "... timeout 300ms ..." without it. */
static void cut_timeout(char *body)
{
	char *at = strstr(body, "timeout "), *behind = at ? strstr(at, "ms ") : NULL;

	if (behind)
		memmove(at, behind + 3, strlen(behind + 3) + 1);
}

/* "[ lookup reg 1 set out-port-excl 0x0 ]": without the generation of the set. */
static void put_lookup(struct form_writer *w, const struct nftnl_expr *x)
{
	const char *set = nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET);
	size_t base;

	ruleset_set_generation(set, &base);
	put_text(w, "[ lookup reg ");
	put_number(w, nftnl_expr_get_u32(x, NFTNL_EXPR_LOOKUP_SREG));
	put_text(w, " set ");
	put(w, set, base);
	put_text(w, " 0x");
	put_number(w, nftnl_expr_get_u32(x, NFTNL_EXPR_LOOKUP_FLAGS));
	put_text(w, " ] ");
}

static int put_expr(struct nftnl_expr *x, void *data)
{
	struct form_writer *w = data;
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);
	char body[256] = "";
	uint32_t size = 0;

	if (!name)
		return 0;
	if (strcmp(name, "counter") == 0) {
		put_text(w, "[ counter ] ");
	} else if (strcmp(name, "lookup") == 0) {
		put_lookup(w, x);
	} else {
		nftnl_expr_snprintf(body, sizeof(body), x, NFTNL_OUTPUT_DEFAULT, 0);
		if (strcmp(name, "dynset") == 0) {
			w->out->timeout_ms = nftnl_expr_get_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT);
			cut_timeout(body);
		}
		put_text(w, "[ ");
		put_text(w, name);
		put_text(w, " ");
		put_text(w, body);
		put_text(w, "] ");
		/* It prints whole words: "eth*" and an interface called just "eth" look alike. */
		if (strcmp(name, "cmp") == 0 && nftnl_expr_get(x, NFTNL_EXPR_CMP_DATA, &size)) {
			put_text(w, "/");
			put_number(w, size);
			put_text(w, " ");
		}
	}
	return 0;
}

void compare_form(const struct nftnl_rule *r, struct compare_form *out)
{
	struct form_writer w = { .out = out };
	char comment[PLAN_NAME_MAX];

	out->text[0] = '\0';
	out->timeout_ms = 0;
	ruleset_each_expr(r, put_expr, &w);
	put_text(&w, ruleset_rule_comment(r, comment, sizeof(comment)));
}

#define NS_PER_MS 1000000u

/* Whether @want_ms reads back as @have_ms: whole ticks, cut off, and told in milliseconds. */
static bool timeouts_equal(uint64_t want_ms, uint64_t have_ms, uint32_t tick_ns)
{
	/* Where a tick has no whole milliseconds (CONFIG_HZ=300), twice cut off is one less. */
	uint64_t slack = tick_ns % NS_PER_MS != 0;
	uint64_t kept = want_ms;

	if (tick_ns)
		kept = want_ms * NS_PER_MS / tick_ns * tick_ns / NS_PER_MS;
	return have_ms + slack >= kept && have_ms <= kept + slack;
}

bool compare_forms_equal(const struct compare_form *want, const struct compare_form *have,
			 uint32_t tick_ns)
{
	return timeouts_equal(want->timeout_ms, have->timeout_ms, tick_ns) &&
	       strcmp(want->text, have->text) == 0;
}

/* A comparison under way. */
struct comparison {
	compare_report *report;
	void *data;
	uint32_t tick_ns;
	long differences;
};

static void differ(struct comparison *c, const char *fmt, ...) _printf_(2, 3);

static void differ(struct comparison *c, const char *fmt, ...)
{
	char line[2 * COMPARE_TEXT_MAX];
	va_list ap;

	c->differences++;
	if (!c->report)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->report(line, c->data);
}

void compare_differ(struct comparison *c, const char *kind, const char *set, const char *range)
{
	differ(c, "%s element: set %s: %s", kind, set, range);
}

/* The forms of all rules of a chain; NULL when memory is out. */
static struct compare_form *chain_forms(const struct ruleset_chain *c)
{
	struct compare_form *forms = malloc((c->count + 1) * sizeof(*forms));

	for (size_t i = 0; forms && i < c->count; i++)
		compare_form(c->rules[i].nft, &forms[i]);
	return forms;
}

/* Two chains of the same name. */
struct chain_pair {
	struct comparison *c;
	const struct ruleset_chain *want, *have;
	const struct compare_form *want_forms, *have_forms; /* of their rules */
};

static bool rules_equal(size_t i, size_t j, void *data)
{
	const struct chain_pair *p = data;

	return compare_forms_equal(&p->want_forms[i], &p->have_forms[j], p->c->tick_ns);
}

/* Of the same row. */
static bool rules_akin(size_t i, size_t j, void *data)
{
	const struct chain_pair *p = data;
	char x[PLAN_NAME_MAX], y[PLAN_NAME_MAX];

	return strcmp(ruleset_rule_comment(p->want->rules[i].nft, x, sizeof(x)),
		      ruleset_rule_comment(p->have->rules[j].nft, y, sizeof(y))) == 0;
}

static void rule_missing(size_t i, void *data)
{
	const struct chain_pair *p = data;
	const struct ruleset_rule *want = &p->want->rules[i];
	char row[PLAN_NAME_MAX];

	differ(p->c, "missing rule: chain %s, %s: %s", ruleset_chain_name(p->want),
	       ruleset_rule_comment(want->nft, row, sizeof(row)), want->text);
}

static void rule_extra(size_t j, void *data)
{
	const struct chain_pair *p = data;
	const struct nftnl_rule *have = p->have->rules[j].nft;
	char text[DECODE_NFT_LINE_MAX], comment[256];
	bool commented = *ruleset_rule_comment(have, comment, sizeof(comment));

	differ(p->c, "extra rule: chain %s, handle %" PRIu64 ": %s%s%s%s",
	       ruleset_chain_name(p->have), nftnl_rule_get_u64(have, NFTNL_RULE_HANDLE),
	       decode_nft(have, true, text), commented ? " comment \"" : "", comment,
	       commented ? "\"" : "");
}

/* Two rules in the shortest form in which they differ: what counts, every detail, or bytecode. */
struct rule_pair {
	char has[COMPARE_TEXT_MAX], should[COMPARE_TEXT_MAX];
};

static void rule_pair(const struct chain_pair *p, size_t i, size_t j, struct rule_pair *out)
{
	_Static_assert(DECODE_NFT_LINE_MAX == COMPARE_TEXT_MAX, "either fits");
	for (int exact = 0; exact < 2; exact++) {
		decode_nft(p->have->rules[j].nft, exact, out->has);
		decode_nft(p->want->rules[i].nft, exact, out->should);
		if (strcmp(out->has, out->should) != 0)
			return;
	}
	snprintf(out->has, sizeof(out->has), "%s", p->have_forms[j].text);
	snprintf(out->should, sizeof(out->should), "%s", p->want_forms[i].text);
}

static void rule_changed(size_t i, size_t j, void *data)
{
	const struct chain_pair *p = data;
	const struct ruleset_rule *want = &p->want->rules[i];
	struct rule_pair pair;
	char row[PLAN_NAME_MAX];

	rule_pair(p, i, j, &pair);
	differ(p->c, "changed rule: chain %s, %s, handle %" PRIu64 ": has %s, should be %s",
	       ruleset_chain_name(p->want), ruleset_rule_comment(want->nft, row, sizeof(row)),
	       nftnl_rule_get_u64(p->have->rules[j].nft, NFTNL_RULE_HANDLE), pair.has, pair.should);
}

static int compare_rules(struct comparison *c, const struct ruleset_chain *want,
			 const struct ruleset_chain *have)
{
	_cleanup_free_ struct compare_form *w = chain_forms(want);
	_cleanup_free_ struct compare_form *h = chain_forms(have);
	struct chain_pair p = { c, want, have, w, h };
	const struct diff d = {
		.want = want->count,
		.have = have->count,
		.equal = rules_equal,
		.akin = rules_akin,
		.missing = rule_missing,
		.extra = rule_extra,
		.changed = rule_changed,
		.data = &p,
	};

	return w && h ? diff_walk(&d) : -ENOMEM;
}

/* "type nat hook 3 priority -101 policy 1", or "no hook". */
static const char *hook_text(const struct nftnl_chain *c, bool policy, char text[128])
{
	const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);
	size_t len;

	if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM)) {
		snprintf(text, 128, "no hook");
		return text;
	}
	snprintf(text, 128, "type %s hook %u priority %d", type ? type : "?",
		 nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM),
		 nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO));
	len = strlen(text);
	if (policy)
		snprintf(text + len, 128 - len, " policy %s",
			 nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) ? "accept" : "drop");
	return text;
}

static int compare_chains(struct comparison *c, const struct ruleset *want,
			  const struct ruleset *have)
{
	char is[128], should[128];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < want->chain_count; i++) {
		const struct ruleset_chain *w = &want->chains[i];
		const char *name = ruleset_chain_name(w);
		const struct ruleset_chain *h = ruleset_find_chain(have, name);

		if (!h) {
			differ(c, "missing chain: %s", name);
			continue;
		}
		if (strcmp(hook_text(h->nft, true, is), hook_text(w->nft, true, should)) != 0)
			differ(c, "changed chain: %s: has %s, should be %s", name, is, should);
		rc = compare_rules(c, w, h);
	}
	for (size_t i = 0; i < have->chain_count; i++) {
		const char *name = ruleset_chain_name(&have->chains[i]);

		if (!ruleset_find_chain(want, name))
			differ(c, "extra chain: %s", name);
	}
	return rc;
}

/* The set of the same name but for the generation. */
static const struct ruleset_set *find_set(const struct ruleset *r, const char *name)
{
	size_t len, other;

	ruleset_set_generation(name, &len);
	for (size_t i = 0; i < r->set_count; i++) {
		const char *candidate = ruleset_set_name(&r->sets[i]);

		ruleset_set_generation(candidate, &other);
		if (len == other && memcmp(name, candidate, len) == 0)
			return &r->sets[i];
	}
	return NULL;
}

static bool same_shape(const struct ruleset_set *a, const struct ruleset_set *b)
{
	static const uint16_t attrs[] = { NFTNL_SET_FLAGS, NFTNL_SET_KEY_LEN, NFTNL_SET_DESC_SIZE };

	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
		if (nftnl_set_get_u32(a->nft, attrs[i]) != nftnl_set_get_u32(b->nft, attrs[i]))
			return false;
	}
	return nftnl_set_get_u64(a->nft, NFTNL_SET_TIMEOUT) ==
	       nftnl_set_get_u64(b->nft, NFTNL_SET_TIMEOUT);
}

static void compare_sets(struct comparison *c, const struct ruleset *want,
			 const struct ruleset *have)
{
	for (size_t i = 0; i < want->set_count; i++) {
		const struct ruleset_set *w = &want->sets[i];
		const struct ruleset_set *h = find_set(have, ruleset_set_name(w));
		const char *name = ruleset_set_name(h ? h : w);

		if (!h)
			differ(c, "missing set: %s", name);
		else if (!same_shape(w, h))
			differ(c, "changed set: %s: its key, flags, size or timeout", name);
		else
			compare_set_ranges(c, name, w, h);
	}
	for (size_t i = 0; i < have->set_count; i++) {
		const char *name = ruleset_set_name(&have->sets[i]);
		const struct ruleset_set *w = find_set(want, name);

		/* A second generation of the same set is one too many, too. */
		if (!w || find_set(have, ruleset_set_name(w)) != &have->sets[i])
			differ(c, "extra set: %s", name);
	}
}

long compare_rulesets(const struct ruleset *want, const struct ruleset *have,
		      compare_report *report, void *data)
{
	struct comparison c = { .report = report, .data = data, .tick_ns = have->tick_ns };

	if (!have->exists) {
		differ(&c, "missing table: inet %s", PLAN_TABLE);
		return c.differences;
	}
	if (have->flags != want->flags)
		differ(&c, "changed table: inet %s: has flags 0x%x%s, should be 0x%x", PLAN_TABLE,
		       have->flags, have->flags & 1 ? " (dormant)" : "", want->flags);
	if (compare_chains(&c, want, have) < 0)
		return -ENOMEM;
	compare_sets(&c, want, have);
	return c.differences;
}

bool compare_in_place(const struct ruleset *want, const struct ruleset *have)
{
	char x[128], y[128];

	for (size_t i = 0; i < want->chain_count; i++) {
		const struct ruleset_chain *w = &want->chains[i];
		const struct ruleset_chain *h = ruleset_find_chain(have, ruleset_chain_name(w));

		if (h && strcmp(hook_text(w->nft, false, x), hook_text(h->nft, false, y)) != 0)
			return false;
	}
	for (size_t i = 0; i < want->set_count; i++) {
		const struct ruleset_set *w = &want->sets[i];
		const struct ruleset_set *h = ruleset_find_set(have, ruleset_set_name(w));

		if (h && !same_shape(w, h))
			return false;
	}
	return true;
}
