// SPDX-License-Identifier: GPL-2.0-or-later
/* Differences between two states of a legacy table: see compare_xt.h. */
#include "compare_xt.h"

#include "decode_xt.h"
#include "diff.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Two rules and what is said around them. */
#define LINE_MAX_ (2 * DECODE_XT_LINE_MAX + 256)

/* A comparison under way. */
struct comparison {
	const struct xtable *want, *have;
	const struct xtable_chain *want_chain, *have_chain; /* of the same name */
	compare_report *report;
	void *data;
	long differences;
};

static void differ(struct comparison *c, const char *fmt, ...) _printf_(2, 3);

/* "missing rule: IPv4 nat, ..." */
static void differ(struct comparison *c, const char *fmt, ...)
{
	char line[LINE_MAX_];
	va_list ap;

	c->differences++;
	if (!c->report)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->report(line, c->data);
}

/* "IPv4 nat". */
static const char *where(const struct comparison *c, char text[32])
{
	snprintf(text, 32, "%s %s", c->want->family == ADDR_V4 ? "IPv4" : "IPv6",
		 lower_table_name(c->want->table));
	return text;
}

/* The row that a rule is tagged with: by its comment, or by the name of its chain. */
static const char *row_of(const struct xtable *t, const struct xtable_rule *r)
{
	const char *row = xtable_comment(t, r);

	return row[0] ? row : "untagged";
}

static bool rules_equal(size_t i, size_t j, void *data)
{
	const struct comparison *c = data;

	return xtable_rule_equal(c->want, &c->want_chain->rules[i], c->have,
				 &c->have_chain->rules[j]);
}

static bool rules_akin(size_t i, size_t j, void *data)
{
	const struct comparison *c = data;

	return strcmp(xtable_comment(c->want, &c->want_chain->rules[i]),
		      xtable_comment(c->have, &c->have_chain->rules[j])) == 0;
}

static void rule_missing(size_t i, void *data)
{
	struct comparison *c = data;
	const struct xtable_rule *r = &c->want_chain->rules[i];
	char place[32], line[DECODE_XT_LINE_MAX];

	differ(c, "missing rule: %s, chain %s, %s: %s", where(c, place), c->want_chain->name,
	       row_of(c->want, r), decode_xt(c->want, r, line));
}

static void rule_extra(size_t j, void *data)
{
	struct comparison *c = data;
	const struct xtable_rule *r = &c->have_chain->rules[j];
	char place[32], line[DECODE_XT_LINE_MAX];

	differ(c, "extra rule: %s, chain %s, number %zu: %s", where(c, place), c->have_chain->name,
	       j + 1, decode_xt(c->have, r, line));
}

static void rule_changed(size_t i, size_t j, void *data)
{
	struct comparison *c = data;
	const struct xtable_rule *w = &c->want_chain->rules[i], *h = &c->have_chain->rules[j];
	char place[32], is[DECODE_XT_LINE_MAX], should[DECODE_XT_LINE_MAX];

	differ(c, "changed rule: %s, chain %s, %s, number %zu: has %s, should be %s",
	       where(c, place), c->want_chain->name, row_of(c->want, w), j + 1,
	       decode_xt(c->have, h, is), decode_xt(c->want, w, should));
}

static int compare_rules(struct comparison *c)
{
	const struct diff d = {
		.want = c->want_chain->count,
		.have = c->have_chain->count,
		.equal = rules_equal,
		.akin = rules_akin,
		.missing = rule_missing,
		.extra = rule_extra,
		.changed = rule_changed,
		.data = c,
	};

	return diff_walk(&d);
}

/* Both lists are sorted by name. */
static int compare_chains(struct comparison *c)
{
	const struct xtable *want = c->want, *have = c->have;
	size_t i = 0, j = 0;
	char place[32];
	int rc = 0;

	while (rc == 0 && (i < want->chain_count || j < have->chain_count)) {
		int order = i == want->chain_count ? 1
			    : j == have->chain_count
				    ? -1
				    : strcmp(want->chains[i].name, have->chains[j].name);

		if (order < 0)
			differ(c, "missing chain: %s, %s", where(c, place), want->chains[i].name);
		else if (order > 0)
			differ(c, "extra chain: %s, %s", where(c, place), have->chains[j].name);
		if (order == 0) {
			c->want_chain = &want->chains[i];
			c->have_chain = &have->chains[j];
			rc = compare_rules(c);
		}
		i += order <= 0;
		j += order >= 0;
	}
	return rc;
}

/* The jump of @t in @builtin to the chain that @like leads to; NULL when there is none. */
static const struct xtable_entry *find_entry(const struct xtable *t, const char *builtin,
					     const char *target)
{
	for (size_t i = 0; i < t->entry_count; i++) {
		if (strcmp(t->entries[i].builtin, builtin) == 0 &&
		    strcmp(xtable_target(t, &t->entries[i].rule), target) == 0)
			return &t->entries[i];
	}
	return NULL;
}

static void compare_entry(struct comparison *c, const struct xtable_entry *w)
{
	const struct xtable_entry *h =
		find_entry(c->have, w->builtin, xtable_target(c->want, &w->rule));
	char place[32], is[DECODE_XT_LINE_MAX], should[DECODE_XT_LINE_MAX];

	decode_xt(c->want, &w->rule, should);
	if (!h)
		differ(c, "missing rule: %s, chain %s: %s", where(c, place), w->builtin, should);
	else if (!xtable_rule_equal(c->want, &w->rule, c->have, &h->rule))
		differ(c, "changed rule: %s, chain %s: has %s, should be %s", where(c, place),
		       w->builtin, decode_xt(c->have, &h->rule, is), should);
	else if (w->position != h->position)
		differ(c, "moved rule: %s, chain %s: is number %u, should be number %u: %s",
		       where(c, place), w->builtin, h->position + 1, w->position + 1, should);
}

static void compare_entries(struct comparison *c)
{
	char place[32], line[DECODE_XT_LINE_MAX];

	for (size_t i = 0; i < c->want->entry_count; i++)
		compare_entry(c, &c->want->entries[i]);
	for (size_t i = 0; i < c->have->entry_count; i++) {
		const struct xtable_entry *h = &c->have->entries[i];
		const char *target = xtable_target(c->have, &h->rule);

		/* A second jump to the same chain is one too many, too. */
		if (!find_entry(c->want, h->builtin, target) ||
		    find_entry(c->have, h->builtin, target) != h)
			differ(c, "extra rule: %s, chain %s, number %u: %s", where(c, place),
			       h->builtin, h->position + 1, decode_xt(c->have, &h->rule, line));
	}
}

long compare_xtables(const struct xtable *want, const struct xtable *have, compare_report *report,
		     void *data)
{
	struct comparison c = { .want = want, .have = have, .report = report, .data = data };

	if (compare_chains(&c) < 0)
		return -ENOMEM;
	compare_entries(&c);
	return c.differences;
}
