// SPDX-License-Identifier: GPL-2.0-or-later
/* Foreign nat hooks, zones and notrack rules: see neighbours.h. */
#include "neighbours.h"

#include "legacy.h"
#include "nft_list.h"
#include "ruleset.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

/* A walk over everything in nftables. */
struct survey {
	struct neighbours *out;
	size_t first; /* what this walk added */
	bool failed;
};

static struct neighbour *add(struct neighbours *n)
{
	if (n->count == n->capacity) {
		size_t capacity = n->capacity ? 2 * n->capacity : 8;
		struct neighbour *grown = realloc(n->items, capacity * sizeof(*grown));

		if (!grown)
			return NULL;
		n->items = grown;
		n->capacity = capacity;
	}
	n->items[n->count] = (struct neighbour){ .rules = 0 };
	return &n->items[n->count++];
}

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_ARP:
		return "arp";
	case NFPROTO_BRIDGE:
		return "bridge";
	default:
		return "netdev";
	}
}

static bool is_ours(uint32_t family, const char *table)
{
	return family == NFPROTO_INET && strcmp(table, PLAN_TABLE) == 0;
}

/* "nftables ip nat, " and, for a chain, its name. */
static void name_place(char *text, size_t size, uint32_t family, const char *table,
		       const char *chain)
{
	snprintf(text, size, "nftables %s %s, %s%s", family_name(family), table,
		 chain ? "chain " : "", chain ? chain : "");
}

static const char *hook_name(uint32_t hook)
{
	static const char *const names[] = {
		[NF_INET_PRE_ROUTING] = "prerouting",	[NF_INET_LOCAL_IN] = "input",
		[NF_INET_FORWARD] = "forward",		[NF_INET_LOCAL_OUT] = "output",
		[NF_INET_POST_ROUTING] = "postrouting",
	};

	return hook < ARRAY_SIZE(names) ? names[hook] : "?";
}

/* iptables-nft names its base chains as the legacy tables do. */
static bool is_iptables(uint32_t family, const char *chain)
{
	static const char *const builtin[] = { "PREROUTING", "INPUT", "OUTPUT", "POSTROUTING" };

	if (family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++) {
		if (strcmp(chain, builtin[i]) == 0)
			return true;
	}
	return false;
}

static void take_hook(const struct nftnl_chain *c, void *data)
{
	struct survey *s = data;
	const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);
	const char *table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE);
	uint32_t family = nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY);
	struct neighbour *n;

	if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) || !type || strcmp(type, "nat") != 0 ||
	    is_ours(family, table))
		return;
	n = add(s->out);
	if (!n) {
		s->failed = true;
		return;
	}
	n->hook = true;
	n->priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
	name_place(n->where, sizeof(n->where), family, table,
		   nftnl_chain_get_str(c, NFTNL_CHAIN_NAME));
	snprintf(n->what, sizeof(n->what), "nat %s, priority %d",
		 hook_name(nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM)), n->priority);
	neighbour_add_owner(n->owners, neighbour_owner(NEIGHBOUR_TABLE, table));
	if (is_iptables(family, nftnl_chain_get_str(c, NFTNL_CHAIN_NAME)))
		neighbour_add_owner(n->owners, "iptables-nft");
}

/* Names an owner for every hook of that table that was found. */
static void name_owner(struct survey *s, uint32_t family, const char *table, const char *owner)
{
	char place[3 * NEIGHBOUR_TEXT_MAX];

	if (!owner)
		return;
	name_place(place, sizeof(place), family, table, NULL);
	for (size_t i = s->first; i < s->out->count; i++) {
		if (strncmp(s->out->items[i].where, place, strlen(place)) == 0)
			neighbour_add_owner(s->out->items[i].owners, owner);
	}
}

static void take_chain_name(const struct nftnl_chain *c, void *data)
{
	name_owner(data, nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY),
		   nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE),
		   neighbour_owner(NEIGHBOUR_CHAIN, nftnl_chain_get_str(c, NFTNL_CHAIN_NAME)));
}

/* Keeps "notrack" or "conntrack zone" of what does either; nft's own and iptables-nft's. */
static int untracking(struct nftnl_expr *x, void *data)
{
	const char **what = data, *target;
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);

	if (!name)
		return 0;
	if (strcmp(name, "notrack") == 0) {
		*what = "notrack";
	} else if (strcmp(name, "ct") == 0) {
		if (nftnl_expr_is_set(x, NFTNL_EXPR_CT_SREG) &&
		    nftnl_expr_get_u32(x, NFTNL_EXPR_CT_KEY) == NFT_CT_ZONE)
			*what = "conntrack zone";
	} else if (strcmp(name, "target") == 0) {
		target = nftnl_expr_get_str(x, NFTNL_EXPR_TG_NAME);
		if (strcmp(target, "NOTRACK") == 0)
			*what = "notrack";
		else if (strcmp(target, "CT") == 0)
			*what = "conntrack zone or notrack";
	}
	return *what ? -1 : 0;
}

static void take_rule(const struct nftnl_rule *r, void *data)
{
	struct survey *s = data;
	const char *table = nftnl_rule_get_str(r, NFTNL_RULE_TABLE);
	const char *chain = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	uint32_t family = nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY);
	char place[3 * NEIGHBOUR_TEXT_MAX], comment[128];
	const char *what = NULL;
	struct neighbour *n;

	if (!table || !chain || is_ours(family, table))
		return;
	name_place(place, sizeof(place), family, table, chain);
	for (size_t i = s->first; i < s->out->count; i++)
		s->out->items[i].rules += strcmp(s->out->items[i].where, place) == 0;
	name_owner(s, family, table,
		   neighbour_owner(NEIGHBOUR_COMMENT,
				   ruleset_rule_comment(r, comment, sizeof(comment))));
	ruleset_each_expr(r, untracking, &what);
	n = what ? add(s->out) : NULL;
	s->failed |= what && !n;
	if (!n)
		return;
	snprintf(n->where, sizeof(n->where), "%s", place);
	snprintf(n->what, sizeof(n->what), "%s", what);
	n->rules = 1;
}

int neighbours_nft(struct neighbours *out, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct survey s = { .out = out, .first = out->count };
	int rc;

	if (!nl)
		return e->code;
	rc = nft_list_chains(nl, take_hook, &s, e);
	if (rc == 0)
		rc = nft_list_chains(nl, take_chain_name, &s, e);
	if (rc == 0)
		rc = nft_list_rules(nl, take_rule, &s, e);
	nl_socket_free(nl);
	return rc == 0 && s.failed ? err_set(e, -ENOMEM, "out of memory for the rules of others")
				   : rc;
}

/* A walk over one legacy table. */
struct legacy_survey {
	struct neighbours *out;
	const struct legacy *table;
	char owners[NEIGHBOUR_TEXT_MAX];
	bool failed;
};

static void legacy_place(const struct legacy *l, const char *chain, struct neighbour *n)
{
	snprintf(n->where, sizeof(n->where), "legacy %s %s, chain %s",
		 l->family == ADDR_V4 ? "IPv4" : "IPv6", lower_table_name(l->table), chain);
}

static void take_legacy_chain(const struct legacy_chain *c, void *data)
{
	struct legacy_survey *s = data;
	struct neighbour *n;

	neighbour_add_owner(s->owners, neighbour_owner(NEIGHBOUR_CHAIN, c->name));
	if (s->table->table == LOWER_NAT && !(c->builtin && c->foreign))
		return;
	if (s->table->table != LOWER_NAT && !c->untracking)
		return;
	n = add(s->out);
	if (!n) {
		s->failed = true;
		return;
	}
	legacy_place(s->table, c->name, n);
	n->hook = s->table->table == LOWER_NAT;
	n->priority =
		strcmp(c->name, "POSTROUTING") == 0 || strcmp(c->name, "INPUT") == 0 ? 100 : -100;
	n->rules = n->hook ? c->foreign : c->untracking;
	if (n->hook)
		snprintf(n->what, sizeof(n->what), "nat, priority %d", n->priority);
	else
		snprintf(n->what, sizeof(n->what), "conntrack zone or notrack");
}

static int survey_legacy(struct neighbours *out, enum addr_family family, enum lower_table table,
			 struct err *e)
{
	int rc = legacy_registered(family, table);
	struct legacy l;
	struct legacy_survey s = { .out = out, .table = &l };
	size_t first = out->count;

	if (rc == -EACCES)
		return err_set(e, rc, "only root may know which legacy tables there are");
	if (rc <= 0)
		return rc;
	rc = legacy_open(&l, family, table, e);
	if (rc == 0)
		legacy_each_chain(&l, take_legacy_chain, &s);
	legacy_close(&l);
	for (size_t i = first; i < out->count; i++)
		snprintf(out->items[i].owners, sizeof(out->items[i].owners), "%s", s.owners);
	return rc == 0 && s.failed ? err_set(e, -ENOMEM, "out of memory for the rules of others")
				   : rc;
}

int neighbours_legacy(struct neighbours *out, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++)
			rc = survey_legacy(out, f, i, e);
	}
	return rc;
}

void neighbours_fini(struct neighbours *n)
{
	free(n->items);
	*n = (struct neighbours){ .count = 0 };
}
