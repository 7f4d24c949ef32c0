// SPDX-License-Identifier: GPL-2.0-or-later
/* Writes our nftables table: see nft_write.h. */
#include "nft_write.h"

#include "compare.h"
#include "nl_batch.h"
#include "plan.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>

/* Attributes, an element's and its flags' headers: what one more element may need at most. */
#define ELEMENT_ROOM 64

static struct nl_batch_label label(const char *what, const char *name)
{
	return (struct nl_batch_label){ what, name };
}

/* nft: add table inet sluice; flags 0 wakes a dormant one */
static void add_table(struct nl_batch *b)
{
	struct nlmsghdr *nlh =
		nl_batch_add(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, label("table", PLAN_TABLE));

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PLAN_TABLE);
	mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, 0);
}

/* nft: delete table inet sluice */
static void delete_table(struct nl_batch *b)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_DELTABLE, 0, label("table", PLAN_TABLE));

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PLAN_TABLE);
}

/* nft: add chain inet sluice outbound; one that is there gets its policy back */
static void add_chain(struct nl_batch *b, const struct ruleset_chain *c)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE,
					    label("chain", ruleset_chain_name(c)));

	nftnl_chain_nlmsg_build_payload(nlh, c->nft);
}

/* nft: delete chain inet sluice outbound */
static void delete_chain(struct nl_batch *b, const char *name)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_DELCHAIN, 0, label("chain", name));

	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, PLAN_TABLE);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
}

/* nft: flush table inet sluice; every rule of every chain of ours */
static void flush_rules(struct nl_batch *b)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_DELRULE, 0, label("rules of", PLAN_TABLE));

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, PLAN_TABLE);
}

static void add_rule(struct nl_batch *b, const struct ruleset_rule *r)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
					    label("rule", r->text ? r->text : ""));

	nftnl_rule_nlmsg_build_payload(nlh, r->nft);
}

static void put_element(struct nlmsghdr *nlh, const uint8_t *key, size_t len, bool end)
{
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM), *nest;

	if (end)
		mnl_attr_put_u32(nlh, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	nest = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_nest_end(nlh, element);
}

/*
 * nft: add element inet sluice out-port-excl.1 { 22, 80-89 }
 *
 * Half-open: the start, then the key after the end; a range that reaches to the last key there is
 * has no end. As many messages as it takes, since an attribute's length has 16 bits.
 */
static void add_elements(struct nl_batch *b, const struct ruleset_set *s)
{
	size_t len = nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN), i = 0;

	while (i < s->ranges.count) {
		struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE,
						    label("elements of set", ruleset_set_name(s)));
		struct nlattr *list;
		uint8_t next[RULESET_KEY_MAX];

		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, PLAN_TABLE);
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, ruleset_set_name(s));
		list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < s->ranges.count &&
		       nlh->nlmsg_len + 2 * ELEMENT_ROOM < NL_BATCH_MESSAGE_MAX;
		     i++) {
			put_element(nlh, s->ranges.ranges[i].first, len, false);
			if (ruleset_key_successor(s->ranges.ranges[i].last, len, next))
				put_element(nlh, next, len, true);
		}
		mnl_attr_nest_end(nlh, list);
	}
}

/* nft: add set inet sluice out-port-excl.1 { type inet_service; flags interval; } */
static void add_set(struct nl_batch *b, const struct ruleset_set *s)
{
	struct nlmsghdr *nlh =
		nl_batch_add(b, NFT_MSG_NEWSET, NLM_F_CREATE, label("set", ruleset_set_name(s)));

	nftnl_set_nlmsg_build_payload(nlh, s->nft);
	add_elements(b, s);
}

/* nft: delete set inet sluice out-port-excl.1 */
static void delete_set(struct nl_batch *b, const char *name)
{
	struct nlmsghdr *nlh = nl_batch_add(b, NFT_MSG_DELSET, 0, label("set", name));

	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, PLAN_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
}

static bool is_new(const struct ruleset_set *s, const struct ruleset *have)
{
	return !ruleset_find_set(have, ruleset_set_name(s));
}

/* As the kernel counts: there is no generation 0 (net/netfilter/nf_tables_api.c). */
static uint32_t generation_after(uint32_t generation)
{
	return generation + 1 ? generation + 1 : 1;
}

/* The sets that @want has and @have has not, and the table where there is none. */
static int write_sets(struct nl_socket *nl, const struct ruleset *want, const struct ruleset *have,
		      struct err *e)
{
	struct nl_batch *b = nl_batch_new(nl, have->generation, e);
	int rc;

	if (!b)
		return e->code;
	if (!have->exists)
		add_table(b);
	for (size_t i = 0; i < want->set_count; i++) {
		if (is_new(&want->sets[i], have))
			add_set(b, &want->sets[i]);
	}
	rc = nl_batch_commit(b, e);
	nl_batch_free(b);
	return rc;
}

/* Undoes write_sets(), unless somebody has written since: then they are a difference to be seen. */
static void take_sets_back(struct nl_socket *nl, const struct ruleset *want,
			   const struct ruleset *have)
{
	struct err ignored = ERR_INIT;
	struct nl_batch *b = nl_batch_new(nl, generation_after(have->generation), &ignored);

	if (!b)
		return;
	for (size_t i = 0; i < want->set_count; i++) {
		if (is_new(&want->sets[i], have))
			delete_set(b, ruleset_set_name(&want->sets[i]));
	}
	if (!have->exists)
		delete_table(b);
	nl_batch_commit(b, &ignored);
	nl_batch_free(b);
}

/* All but the new sets; these too where the @whole table is made anew. */
static int write_rules(struct nl_socket *nl, const struct ruleset *want, const struct ruleset *have,
		       uint32_t generation, bool whole, struct err *e)
{
	static const struct ruleset nothing;
	struct nl_batch *b = nl_batch_new(nl, generation, e);
	int rc;

	if (!b)
		return e->code;
	add_table(b);
	if (whole) {
		delete_table(b);
		add_table(b);
		have = &nothing;
	}
	for (size_t i = 0; i < want->chain_count; i++)
		add_chain(b, &want->chains[i]);
	if (have->exists)
		flush_rules(b);
	for (size_t i = 0; whole && i < want->set_count; i++)
		add_set(b, &want->sets[i]);
	for (size_t i = 0; i < want->chain_count; i++) {
		for (size_t j = 0; j < want->chains[i].count; j++)
			add_rule(b, &want->chains[i].rules[j]);
	}
	/* Nothing refers to them any more: maps first, since they may hold chains. */
	for (size_t i = 0; i < have->set_count; i++) {
		if (!ruleset_find_set(want, ruleset_set_name(&have->sets[i])))
			delete_set(b, ruleset_set_name(&have->sets[i]));
	}
	for (size_t i = 0; i < have->chain_count; i++) {
		if (!ruleset_find_chain(want, ruleset_chain_name(&have->chains[i])))
			delete_chain(b, ruleset_chain_name(&have->chains[i]));
	}
	rc = nl_batch_commit(b, e);
	nl_batch_free(b);
	return rc;
}

int nft_write(struct nl_socket *nl, const struct ruleset *want, const struct ruleset *have,
	      uint32_t *generation, struct err *e)
{
	bool whole = have->exists && !compare_in_place(want, have), prepare = false;
	uint32_t from = have->generation;
	int rc = 0;

	for (size_t i = 0; !whole && i < want->set_count; i++)
		prepare |= is_new(&want->sets[i], have);
	if (prepare) {
		rc = write_sets(nl, want, have, e);
		from = generation_after(from);
	}
	if (rc == 0)
		rc = write_rules(nl, want, have, from, whole, e);
	/* Also when it is only the answer that is missing. */
	if (rc < 0 && rc != -ERESTART && prepare)
		take_sets_back(nl, want, have);
	*generation = generation_after(from);
	return rc;
}

int nft_write_back(struct nl_socket *nl, struct ruleset *before, const struct ruleset *now,
		   struct err *e)
{
	uint32_t generation;

	/* A handle would mean the very thing that is gone. */
	for (size_t i = 0; i < before->chain_count; i++) {
		struct ruleset_chain *c = &before->chains[i];

		nftnl_chain_unset(c->nft, NFTNL_CHAIN_HANDLE);
		for (size_t j = 0; j < c->count; j++) {
			nftnl_rule_unset(c->rules[j].nft, NFTNL_RULE_HANDLE);
			nftnl_rule_unset(c->rules[j].nft, NFTNL_RULE_POSITION);
		}
	}
	for (size_t i = 0; i < before->set_count; i++) {
		nftnl_set_unset(before->sets[i].nft, NFTNL_SET_HANDLE);
		/* Asked for with every new set, and never told. */
		nftnl_set_set_u32(before->sets[i].nft, NFTNL_SET_ID, (uint32_t)i + 1);
	}
	return nft_write(nl, before, now, &generation, e);
}

/* nft: flush chain inet sluice heartbeat */
int nft_write_flush(struct nl_socket *nl, uint32_t generation, const char *chain, struct err *e)
{
	struct nl_batch *b = nl_batch_new(nl, generation, e);
	struct nlmsghdr *nlh;
	int rc;

	if (!b)
		return e->code;
	nlh = nl_batch_add(b, NFT_MSG_DELRULE, 0, label("rules of", chain));
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, PLAN_TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	rc = nl_batch_commit(b, e);
	nl_batch_free(b);
	return rc;
}

int nft_write_delete(struct nl_socket *nl, uint32_t generation, struct err *e)
{
	struct nl_batch *b = nl_batch_new(nl, generation, e);
	int rc;

	if (!b)
		return e->code;
	add_table(b); /* deleting what is not there would be an error */
	delete_table(b);
	rc = nl_batch_commit(b, e);
	nl_batch_free(b);
	return rc;
}
