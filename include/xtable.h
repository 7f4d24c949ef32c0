/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our chains of one legacy table: both what a plan encodes to and what the kernel was found to
 * hold, in one form, so that the two compare byte by byte. Pure: no socket.
 *
 * The form: a rule is an ipt_entry or ip6t_entry as libiptc takes it, with matches and target.
 * What the kernel fills in is zero (counters, comefrom, the offset in a standard target); a
 * standard target's name is the verdict ("RETURN") or the chain it leads to.
 */
#ifndef SLUICE_XTABLE_H
#define SLUICE_XTABLE_H

#include "lower.h"

struct ipt_entry;
struct ip6t_entry;

struct xtable_rule {
	size_t offset; /* in the table's bytes; a multiple of 8 */
	size_t size;
	uint64_t packets, bytes_seen; /* counted, when read from the kernel; never compared */
};

struct xtable_chain {
	char name[LOWER_NAME_MAX];
	struct xtable_rule *rules; /* owned */
	size_t count, capacity;
};

/* A jump from a built-in chain to one of ours. */
struct xtable_entry {
	char builtin[LOWER_NAME_MAX];
	unsigned position; /* from 0 */
	struct xtable_rule rule;
};

struct xtable {
	enum addr_family family;
	enum lower_table table;
	uint8_t *bytes; /* owned: all rules */
	size_t len, capacity;
	struct xtable_chain *chains; /* owned; sorted by name once complete */
	size_t chain_count, chain_capacity;
	struct xtable_entry
		*entries; /* owned; sorted by built-in chain and position once complete */
	size_t entry_count, entry_capacity;
};

void xtable_init(struct xtable *t, enum addr_family family, enum lower_table table);
void xtable_fini(struct xtable *t);

/* Whether there is nothing of ours. */
bool xtable_empty(const struct xtable *t);

/* A new, empty chain or entry; NULL when memory is out. The next call may move it. */
struct xtable_chain *xtable_add_chain(struct xtable *t, const char *name);
struct xtable_entry *xtable_add_entry(struct xtable *t, const char *builtin, unsigned position);

/* A copy of @size bytes behind the chain's rules. False when memory is out. */
bool xtable_add_rule(struct xtable *t, struct xtable_chain *c, const void *bytes, size_t size);
bool xtable_set_entry(struct xtable *t, struct xtable_entry *entry, const void *bytes, size_t size);

/* Sorts chains and entries: after the last xtable_add_chain() and xtable_add_entry(). */
void xtable_complete(struct xtable *t);

/* A chain by its name; NULL when there is none. Precondition: complete. */
const struct xtable_chain *xtable_find_chain(const struct xtable *t, const char *name);

/* How many rules there are, entries included. */
size_t xtable_rule_count(const struct xtable *t);

/* The rule itself, aligned to 8. Valid until the next rule is added. */
const void *xtable_bytes(const struct xtable *t, const struct xtable_rule *r);

/* The name of a rule's target: verdict, chain or extension. */
const char *xtable_target(const struct xtable *t, const struct xtable_rule *r);

/* The comment of a rule, "" without one; as xtable_bytes(). */
const char *xtable_comment(const struct xtable *t, const struct xtable_rule *r);

/* A match or a target of a rule. */
struct xtable_part {
	const char *name; /* NUL-terminated */
	uint8_t revision;
	const void *data; /* aligned to 8 */
	size_t len;	  /* of the data, padding included */
};

/* Calls @each for every match, in order. As xtable_bytes(). */
void xtable_each_match(const struct xtable *t, const struct xtable_rule *r,
		       void (*each)(const struct xtable_part *match, void *data), void *data);

void xtable_target_part(const struct xtable *t, const struct xtable_rule *r,
			struct xtable_part *out);

/* Whether the rule's jump does not come back. */
bool xtable_is_goto(const struct xtable *t, const struct xtable_rule *r);

/* Whether both are there, or both are not, with the same bytes. */
bool xtable_rule_equal(const struct xtable *a, const struct xtable_rule *x, const struct xtable *b,
		       const struct xtable_rule *y);

/* Whether chains, rules, their order and the entries with their positions are the same. */
bool xtable_equal(const struct xtable *a, const struct xtable *b);

/*
 * Brings a rule that was copied from the kernel into our form. @target is the name of its verdict
 * or chain where the target is a standard one, else NULL.
 */
void xtable_normalize(struct xtable *t, const struct xtable_rule *r, const char *target);

#endif
