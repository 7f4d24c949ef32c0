/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which rule decides about a connection: a walk over rules, as the kernel would do it. Pure.
 *
 * The same walk goes over the plan, over our nftables table and over our chains of a legacy table;
 * what differs is who says whether a rule matches.
 */
#ifndef SLUICE_EXPLAIN_H
#define SLUICE_EXPLAIN_H

#include "packet.h"
#include "plan.h"
#include "ruleset.h"
#include "xtable.h"

enum explain_verdict {
	EXPLAIN_DIRECT,	  /* goes where it wanted to go */
	EXPLAIN_REDIRECT, /* to a port of this namespace */
	EXPLAIN_DROP,	  /* nobody gets it */
	EXPLAIN_VERDICT_COUNT,
};

#define EXPLAIN_RULE_MAX 1024

/* What becomes of a packet, and why. */
struct explanation {
	enum explain_verdict verdict;
	uint16_t first, last;	     /* REDIRECT: to a port of these */
	bool ended;		     /* by a verdict; else the rules were over */
	char row[PLAN_NAME_MAX];     /* the id of the row that decided; "": no rule of ours did */
	char rule[EXPLAIN_RULE_MAX]; /* the rule itself, in the backend's language, or else what
				      * decided; "": nothing */
};

/* What a rule does to a packet. */
enum explain_action {
	EXPLAIN_NEXT,	/* does not match, or decides nothing */
	EXPLAIN_RETURN, /* back behind the last jump */
	EXPLAIN_JUMP,	/* to chain, and back here from its end */
	EXPLAIN_GOTO,	/* to chain, and from its end to where this one would have led */
	EXPLAIN_END,	/* with verdict */
};

struct explain_step {
	enum explain_action action;
	size_t chain; /* JUMP, GOTO */
	enum explain_verdict verdict;
	uint16_t first, last;
};

/* Rules in any form. Chains are numbers. */
struct explain_rules {
	const void *rules;
	size_t (*count)(const void *rules, size_t chain);
	/* What rule @i of @chain does; 0, or a usage error when it cannot be told. */
	int (*step)(const void *rules, size_t chain, size_t i, const struct packet *p,
		    struct explain_step *out, struct err *e);
	/* Fills in row and rule. */
	void (*tell)(const void *rules, size_t chain, size_t i, struct explanation *out);
};

/*
 * Walks from the start of @chain on. A walk that ends without a verdict is direct, by the last rule
 * that returned. 0, or -errno with @e set: of a step, or -ELOOP past the depth the kernel allows.
 */
int explain_walk(const struct explain_rules *r, size_t chain, const struct packet *p,
		 struct explanation *out, struct err *e);

/* By the plan. Precondition: packet_complete(). */
int explain_plan(const struct plan *plan, const struct packet *p, struct explanation *out,
		 struct err *e);

/* By what the kernel was found to hold in nftables. */
int explain_nft(const struct ruleset *have, const struct packet *p, struct explanation *out,
		struct err *e);

/* By our part of the legacy tables of the packet's family. */
int explain_xt(const struct xtable *const tables[LOWER_TABLE_COUNT], const struct packet *p,
	       struct explanation *out, struct err *e);

/* "direct", "to port 9001", "to port 9211 (9212-9226 where that is taken)". Returns @text. */
#define EXPLAIN_VERDICT_MAX 64
const char *explain_verdict_text(const struct explanation *x, char text[EXPLAIN_VERDICT_MAX]);

/* What a row is about: "the port is excluded". "" for ids that are none of ours. */
const char *explain_row_meaning(const char *row);

/* One line of JSON. */
void explain_print_json(const struct explanation *x, FILE *to);

#endif
