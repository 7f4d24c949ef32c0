// SPDX-License-Identifier: GPL-2.0-or-later
/* Our chains of a legacy table: see xtable.h. */
#include "xtable.h"

#include <netinet/in.h>

#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

void xtable_init(struct xtable *t, enum addr_family family, enum lower_table table)
{
	*t = (struct xtable){ .family = family, .table = table };
}

void xtable_fini(struct xtable *t)
{
	for (size_t i = 0; i < t->chain_count; i++)
		free(t->chains[i].rules);
	free(t->chains);
	free(t->entries);
	free(t->bytes);
	xtable_init(t, t->family, t->table);
}

bool xtable_empty(const struct xtable *t)
{
	return !t->chain_count && !t->entry_count;
}

/* Room for @more members of @size bytes; false when memory is out. */
static bool grow(void **items, size_t count, size_t more, size_t *capacity, size_t size)
{
	size_t wanted = MAX(2 * *capacity, count + more);
	void *grown;

	if (count + more <= *capacity)
		return true;
	grown = realloc(*items, wanted * size);
	if (!grown)
		return false;
	*items = grown;
	*capacity = wanted;
	return true;
}

struct xtable_chain *xtable_add_chain(struct xtable *t, const char *name)
{
	void *items = t->chains;
	struct xtable_chain *c;

	if (!grow(&items, t->chain_count, 1, &t->chain_capacity, sizeof(*t->chains)))
		return NULL;
	t->chains = items;
	c = &t->chains[t->chain_count++];
	*c = (struct xtable_chain){ .count = 0 };
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

struct xtable_entry *xtable_add_entry(struct xtable *t, const char *builtin, unsigned position)
{
	void *items = t->entries;
	struct xtable_entry *entry;

	if (!grow(&items, t->entry_count, 1, &t->entry_capacity, sizeof(*t->entries)))
		return NULL;
	t->entries = items;
	entry = &t->entries[t->entry_count++];
	*entry = (struct xtable_entry){ .position = position };
	snprintf(entry->builtin, sizeof(entry->builtin), "%s", builtin);
	return entry;
}

bool xtable_set_entry(struct xtable *t, struct xtable_entry *entry, const void *bytes, size_t size)
{
	void *items = t->bytes;

	if (!grow(&items, t->len, size, &t->capacity, 1))
		return false;
	t->bytes = items;
	memcpy(t->bytes + t->len, bytes, size);
	entry->rule = (struct xtable_rule){ .offset = t->len, .size = size };
	t->len += size;
	return true;
}

bool xtable_add_rule(struct xtable *t, struct xtable_chain *c, const void *bytes, size_t size)
{
	struct xtable_entry made;
	void *items = c->rules;

	if (!grow(&items, c->count, 1, &c->capacity, sizeof(*c->rules)))
		return false;
	c->rules = items;
	if (!xtable_set_entry(t, &made, bytes, size))
		return false;
	c->rules[c->count++] = made.rule;
	return true;
}

static int chain_cmp(const void *a, const void *b)
{
	const struct xtable_chain *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int entry_cmp(const void *a, const void *b)
{
	const struct xtable_entry *x = a, *y = b;
	int rc = strcmp(x->builtin, y->builtin);

	return rc ? rc : x->position < y->position ? -1 : x->position > y->position;
}

void xtable_complete(struct xtable *t)
{
	if (t->entry_count)
		qsort(t->entries, t->entry_count, sizeof(*t->entries), entry_cmp);
	if (t->chain_count)
		qsort(t->chains, t->chain_count, sizeof(*t->chains), chain_cmp);
}

static int name_cmp(const void *name, const void *chain)
{
	return strcmp(name, ((const struct xtable_chain *)chain)->name);
}

const struct xtable_chain *xtable_find_chain(const struct xtable *t, const char *name)
{
	if (!t->chain_count)
		return NULL;
	return bsearch(name, t->chains, t->chain_count, sizeof(*t->chains), name_cmp);
}

size_t xtable_rule_count(const struct xtable *t)
{
	size_t count = t->entry_count;

	for (size_t i = 0; i < t->chain_count; i++)
		count += t->chains[i].count;
	return count;
}

const void *xtable_bytes(const struct xtable *t, const struct xtable_rule *r)
{
	return t->bytes + r->offset;
}

/* Where matches begin, where the target does, and the end: bytes from the start of a rule. */
struct rule_parts {
	size_t matches, target, end;
};

static struct rule_parts rule_parts(const void *bytes, enum addr_family family)
{
	const struct ipt_entry *v4 = bytes;
	const struct ip6t_entry *v6 = bytes;

	if (family == ADDR_V4)
		return (struct rule_parts){ sizeof(*v4), v4->target_offset, v4->next_offset };
	return (struct rule_parts){ sizeof(*v6), v6->target_offset, v6->next_offset };
}

void xtable_target_part(const struct xtable *t, const struct xtable_rule *r,
			struct xtable_part *out)
{
	const char *bytes = xtable_bytes(t, r);
	const struct xt_entry_target *target =
		(const void *)(bytes + rule_parts(bytes, t->family).target);

	*out = (struct xtable_part){ .name = target->u.user.name,
				     .revision = target->u.user.revision,
				     .data = target->data,
				     .len = target->u.target_size - sizeof(*target) };
}

const char *xtable_target(const struct xtable *t, const struct xtable_rule *r)
{
	struct xtable_part target;

	xtable_target_part(t, r, &target);
	return target.name;
}

bool xtable_is_goto(const struct xtable *t, const struct xtable_rule *r)
{
	const struct ipt_entry *v4 = xtable_bytes(t, r);
	const struct ip6t_entry *v6 = xtable_bytes(t, r);

	return t->family == ADDR_V4 ? v4->ip.flags & IPT_F_GOTO : v6->ipv6.flags & IP6T_F_GOTO;
}

void xtable_each_match(const struct xtable *t, const struct xtable_rule *r,
		       void (*each)(const struct xtable_part *match, void *data), void *data)
{
	const char *bytes = xtable_bytes(t, r);
	struct rule_parts p = rule_parts(bytes, t->family);

	for (size_t at = p.matches; at + sizeof(struct xt_entry_match) <= p.target;) {
		const struct xt_entry_match *m = (const void *)(bytes + at);
		struct xtable_part part = { .name = m->u.user.name,
					    .revision = m->u.user.revision,
					    .data = m->data,
					    .len = m->u.match_size - sizeof(*m) };

		if (m->u.match_size < sizeof(*m) || at + m->u.match_size > p.target)
			return;
		each(&part, data);
		at += m->u.match_size;
	}
}

/* Called for each match of a rule; keeps the comment. */
static void find_comment(const struct xtable_part *match, void *data)
{
	const struct xt_comment_info *info = match->data;
	const char **comment = data;

	if (strcmp(match->name, "comment") == 0 && match->len >= sizeof(*info) &&
	    memchr(info->comment, '\0', sizeof(info->comment)))
		*comment = info->comment;
}

const char *xtable_comment(const struct xtable *t, const struct xtable_rule *r)
{
	const char *comment = "";

	xtable_each_match(t, r, find_comment, &comment);
	return comment;
}

bool xtable_rule_equal(const struct xtable *a, const struct xtable_rule *x, const struct xtable *b,
		       const struct xtable_rule *y)
{
	if (!x || !y)
		return x == y;
	return x->size == y->size && memcmp(xtable_bytes(a, x), xtable_bytes(b, y), x->size) == 0;
}

bool xtable_equal(const struct xtable *a, const struct xtable *b)
{
	if (a->chain_count != b->chain_count || a->entry_count != b->entry_count)
		return false;
	for (size_t i = 0; i < a->chain_count; i++) {
		const struct xtable_chain *x = &a->chains[i], *y = &b->chains[i];

		if (strcmp(x->name, y->name) != 0 || x->count != y->count)
			return false;
		for (size_t j = 0; j < x->count; j++) {
			if (!xtable_rule_equal(a, &x->rules[j], b, &y->rules[j]))
				return false;
		}
	}
	for (size_t i = 0; i < a->entry_count; i++) {
		const struct xtable_entry *x = &a->entries[i], *y = &b->entries[i];

		if (strcmp(x->builtin, y->builtin) != 0 || x->position != y->position ||
		    !xtable_rule_equal(a, &x->rule, b, &y->rule))
			return false;
	}
	return true;
}

/* The kernel copies a name up to its NUL; behind it is what was in libiptc's buffer before. */
static void clear_tail(char name[XT_EXTENSION_MAXNAMELEN])
{
	size_t len = strnlen(name, XT_EXTENSION_MAXNAMELEN);

	memset(name + len, 0, XT_EXTENSION_MAXNAMELEN - len);
}

static void normalize_parts(uint8_t *bytes, const struct rule_parts *p)
{
	struct xt_entry_target *target = (void *)(bytes + p->target);
	struct xt_entry_match *m;

	for (size_t at = p->matches; at + sizeof(*m) <= p->target; at += m->u.match_size) {
		m = (void *)(bytes + at);
		if (m->u.match_size < sizeof(*m))
			break;
		clear_tail(m->u.user.name);
	}
	clear_tail(target->u.user.name);
}

void xtable_normalize(struct xtable *t, const struct xtable_rule *r, const char *target)
{
	uint8_t *bytes = t->bytes + r->offset;
	struct rule_parts p = rule_parts(bytes, t->family);
	struct xt_standard_target *standard = (void *)(bytes + p.target);
	struct ip6t_entry *v6 = (void *)bytes;
	struct ipt_entry *v4 = (void *)bytes;

	if (t->family == ADDR_V4) {
		v4->counters = (struct xt_counters){ .pcnt = 0 };
		v4->comefrom = v4->nfcache = 0;
	} else {
		v6->counters = (struct xt_counters){ .pcnt = 0 };
		v6->comefrom = v6->nfcache = 0;
	}
	normalize_parts(bytes, &p);
	if (!target)
		return;
	memset(standard->target.u.user.name, 0, sizeof(standard->target.u.user.name));
	memcpy(standard->target.u.user.name, target,
	       strnlen(target, sizeof(standard->target.u.user.name) - 1));
	standard->target.u.user.revision = 0;
	standard->verdict = 0;
}
