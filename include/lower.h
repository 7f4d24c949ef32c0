/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan brought down to what the legacy tables can say: per family, chains of rules that match
 * one range each.
 *
 * Theory of Operation: the legacy tables have no sets and no negated lists. A list of a plan
 * becomes one rule per item. A long list becomes a tree: each inner rule matches all that lies
 * between the first and the last item below it and goes to the chain that has these, so that a
 * packet meets LOWER_FAN rules per level and not the whole list. All steps are gotos: RETURN then
 * leaves our chains from any depth, back to the built-in chain, where the rules of others follow.
 * What comes behind a list (where a packet goes that is not in it, or, for a list of includes,
 * that is in it) stands in a chain of its own, the next segment: SLUICE_OUTBOUND.2.
 *
 * Every chain is ours by its name, SLUICE_*. A rule that decides is tagged with its row of the
 * contract: by a comment or, in a tree, by the name of its chain: SLUICE_out-cidr-excl.17.
 *
 * Pure: borrows from the plan, which must outlive it.
 */
#ifndef SLUICE_LOWER_H
#define SLUICE_LOWER_H

#include "contract.h"
#include "plan.h"

/* In the order in which they are changed when rules are added; backwards when they go. */
enum lower_table {
	LOWER_RAW,    /* the heartbeat: before connection tracking, as early as legacy can */
	LOWER_MANGLE, /* TPROXY */
	LOWER_FILTER, /* REJECT */
	LOWER_NAT,
	LOWER_TABLE_COUNT,
};

/* What begins so is ours. */
#define LOWER_PREFIX "SLUICE_"

/* Chain names: at most 28 characters (XT_EXTENSION_MAXNAMELEN, linux/netfilter/x_tables.h). */
#define LOWER_NAME_MAX 29

/* The dead-man switch's list of xt_recent, one for both families. */
#define LOWER_ALIVE CONTRACT_RECENT_LIST

/* Most rules of one level of a tree; lists up to this are written out in place. */
#define LOWER_FAN 16

/* Ports of one multiport match: a range takes two (linux/netfilter/xt_multiport.h). */
#define LOWER_PORT_SLOTS 15

enum lower_condition {
	LOWER_UID = 1 << 0, /* owner */
	LOWER_GID = 1 << 1, /* owner */
	LOWER_SRC = 1 << 2, /* address */
	LOWER_DST = 1 << 3, /* address */
	LOWER_SYN = 1 << 4,
	LOWER_DPORT = 1 << 5, /* port, or port_list */
	LOWER_NOT_LOCAL = 1 << 6,
	LOWER_LISTENER = 1 << 7,
	LOWER_DEAD = 1 << 8, /* no beat for that many seconds */
	LOWER_BEAT = 1 << 9, /* matches always, and notes the beat */
	LOWER_LOCAL = 1 << 10,
	LOWER_FOREIGN = 1 << 11,
	LOWER_NEW = 1 << 12,
	LOWER_INVALID = 1 << 13,
	LOWER_REPLY = 1 << 14,
	LOWER_CT_MARK = 1 << 15, /* ct_mark */
};

enum lower_verdict {
	LOWER_RETURN,
	LOWER_JUMP, /* to chain */
	LOWER_GOTO, /* to chain */
	LOWER_DROP,
	LOWER_REDIRECT, /* to a port of first-last; 0: port unchanged */
	LOWER_DNAT,	/* to a port of first-last */
	LOWER_TPROXY,	/* to first */
	LOWER_REJECT,
	LOWER_SET_CT_MARK, /* mark; goes on to the next rule */
	LOWER_SET_MARK,	   /* mark; goes on to the next rule */
	LOWER_VERDICT_COUNT,
};

struct lower_rule {
	enum plan_row row;
	bool comment;		      /* tagged by one, not by the chain's name */
	unsigned conditions;	      /* enum lower_condition: all must hold */
	uint8_t protocol;	      /* IPPROTO_TCP, IPPROTO_UDP; 0: any */
	const struct iface *in, *out; /* NULL: any */
	struct u32_range owner;
	struct addr_range address;
	struct u32_range port;
	const struct u32_range *port_list; /* NULL: port */
	unsigned port_count;		   /* of port_list */
	uint32_t seconds;
	uint32_t ct_mark;
	uint32_t mark;
	enum lower_verdict verdict;
	unsigned chain; /* index in struct lower */
	uint16_t first, last;
};

struct lower_chain {
	bool present;
	enum lower_table table;
	bool node; /* of a tree */
	char name[LOWER_NAME_MAX];
	struct lower_rule *rules; /* owned */
	size_t count, capacity;
	const char *builtin;	 /* the built-in chain that jumps here; NULL: none */
	struct lower_rule entry; /* that jump: the first rule there */
};

struct lower {
	enum addr_family family;
	/* Owned. The first PLAN_CHAIN_COUNT are those of the plan, by their ids. */
	struct lower_chain *chains;
	size_t count, capacity;
};

/* 0 or -ENOMEM. @out is the caller's to finish, also after a failure. */
int lower_plan(const struct plan *p, enum addr_family family, struct lower *out, struct err *e);

void lower_fini(struct lower *l);

/* How many rules there are, entries included. */
size_t lower_rule_count(const struct lower *l);

/* "nat". */
const char *lower_table_name(enum lower_table table);

/* The whole seconds that xt_recent can count and that last at least as long as the time-out. */
uint32_t lower_seconds(const struct plan *p);

#endif
