/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our nftables table as libnftnl objects: both what a plan encodes to and what the kernel was
 * found to hold, so that the two compare. Pure: no netlink socket.
 */
#ifndef SLUICE_RULESET_H
#define SLUICE_RULESET_H

#include "addr.h"
#include "plan.h"

struct nftnl_chain;
struct nftnl_expr;
struct nftnl_rule;
struct nftnl_set;

/* The longest key of a set that we look into: an IPv6 address. */
#define RULESET_KEY_MAX 16

/*
 * Numbers of nft's data types for set keys (include/datatype.h of nftables): the kernel only keeps
 * them, `nft list` and we print keys by them.
 */
enum ruleset_key_type {
	RULESET_TYPE_NFPROTO = 2,
	RULESET_TYPE_IPADDR = 7,
	RULESET_TYPE_IP6ADDR = 8,
	RULESET_TYPE_INET_SERVICE = 13,
	RULESET_TYPE_UID = 24,
	RULESET_TYPE_GID = 25,
};

struct ruleset_rule {
	struct nftnl_rule *nft; /* owned */
	char *text; /* owned: the line it was made from; NULL when read from the kernel */
};

struct ruleset_chain {
	struct nftnl_chain *nft; /* owned */
	struct ruleset_rule *rules;
	size_t count, capacity;
};

struct ruleset_set {
	struct nftnl_set *nft;	   /* owned */
	struct addr_ranges ranges; /* keys in network order: sorted, disjoint, not touching */
};

struct ruleset {
	bool exists;	     /* the table is there */
	uint32_t flags;	     /* of the table */
	uint32_t generation; /* of the whole nftables state, when it was read */
	uint32_t tick_ns;    /* in which the kernel that it was read from counts; 0: not read */
	struct ruleset_chain *chains;
	size_t chain_count, chain_capacity;
	struct ruleset_set *sets;
	size_t set_count, set_capacity;
};

void ruleset_fini(struct ruleset *r);

/* New, empty members; NULL when memory is out. The next call of the same kind may move them. */
struct ruleset_chain *ruleset_add_chain(struct ruleset *r, struct nftnl_chain *take);
struct ruleset_set *ruleset_add_set(struct ruleset *r, struct nftnl_set *take);
struct ruleset_rule *ruleset_add_rule(struct ruleset_chain *c, struct nftnl_rule *take);

/* NULL when there is none of that name. */
struct ruleset_chain *ruleset_find_chain(const struct ruleset *r, const char *name);

/* A set by its exact name. */
struct ruleset_set *ruleset_find_set(const struct ruleset *r, const char *name);

/* Whether it is a base chain that drops what no rule of it decides about: none of ours does. */
bool ruleset_chain_drops(const struct ruleset_chain *c);

const char *ruleset_chain_name(const struct ruleset_chain *c);
const char *ruleset_set_name(const struct ruleset_set *s);

/*
 * The number behind the last dot of a set's name, and the name's length before that dot. 0 and
 * the whole length when there is none ("alive").
 */
uint32_t ruleset_set_generation(const char *name, size_t *base_len);

/* The smallest generation, from 1, that no set of @r has. */
uint32_t ruleset_free_generation(const struct ruleset *r);

/* "out-port-excl": the comment of a rule, "" without one. Returns @text, cut at @size. */
const char *ruleset_rule_comment(const struct nftnl_rule *rule, char *text, size_t size);

/*
 * Calls @each with the rule's expressions, in order, until it returns less than 0: then false.
 * Unlike libnftnl's iterator it needs no memory, so it cannot fail.
 */
bool ruleset_each_expr(const struct nftnl_rule *rule, int (*each)(struct nftnl_expr *x, void *data),
		       void *data);

/*
 * Whether there is a set of a plan (one with a generation) that no rule looks up: an apply is about
 * to commit the rules for it, or was ended before it could (nft_write.h).
 */
bool ruleset_has_unused_set(const struct ruleset *r);

/*
 * Where redirects and anchors lead, and who the proxy is, read off the rules themselves, whatever
 * today's options say.
 */
struct plan_ports ruleset_redirect_ports(const struct ruleset *r);

/*
 * The key after, and before, @key of @len bytes, padded with zeros, into @out. False when there
 * is none: @out has wrapped around.
 */
bool ruleset_key_successor(const uint8_t *key, size_t len, uint8_t out[RULESET_KEY_MAX]);
bool ruleset_key_predecessor(const uint8_t *key, size_t len, uint8_t out[RULESET_KEY_MAX]);

/* A set key and whether it ends an interval, as the kernel lists them. */
struct ruleset_key {
	uint8_t bytes[RULESET_KEY_MAX]; /* network order */
	bool end;
};

/*
 * Ranges out of the half-open list of an interval set with keys of @len bytes, in any order; @keys
 * is sorted in place. A start without an end reaches to the last key there is. 0 or -ENOMEM.
 */
int ruleset_ranges_from_keys(struct addr_ranges *out, struct ruleset_key *keys, size_t count,
			     size_t len, struct err *e);

#endif
