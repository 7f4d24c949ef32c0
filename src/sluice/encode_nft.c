// SPDX-License-Identifier: GPL-2.0-or-later
/* A plan's chains, sets and rules as nftables objects: see encode_nft.h. */
#include "encode_nft.h"

#include "encode_expr.h"
#include "plan_print.h"

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* nft's byte orders, kept in a set's user data. */
enum {
	NFT_BYTEORDER_HOST = 1,
	NFT_BYTEORDER_BIG = 2,
};

static const struct {
	uint32_t type, len, byteorder;
} set_facts[] = {
	[PLAN_SET_PORTS] = { RULESET_TYPE_INET_SERVICE, 2, NFT_BYTEORDER_BIG },
	[PLAN_SET_UIDS] = { RULESET_TYPE_UID, 4, NFT_BYTEORDER_HOST },
	[PLAN_SET_GIDS] = { RULESET_TYPE_GID, 4, NFT_BYTEORDER_HOST },
	[PLAN_SET_ADDR4] = { RULESET_TYPE_IPADDR, 4, NFT_BYTEORDER_BIG },
	[PLAN_SET_ADDR6] = { RULESET_TYPE_IP6ADDR, 16, NFT_BYTEORDER_BIG },
};
_Static_assert(ARRAY_SIZE(set_facts) == PLAN_SET_TYPE_COUNT, "facts for each type");

/* Sets need a number of their own within a batch: we count from 1. */
static struct ruleset_set *add_set(struct ruleset *out, const char *name, uint32_t flags,
				   uint32_t type, uint32_t len)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct ruleset_set *added = NULL;

	if (s && nftnl_set_set_str(s, NFTNL_SET_TABLE, PLAN_TABLE) == 0 &&
	    nftnl_set_set_str(s, NFTNL_SET_NAME, name) == 0)
		added = ruleset_add_set(out, s);
	if (!added) {
		if (s)
			nftnl_set_free(s);
		return NULL;
	}
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, len);
	nftnl_set_set_u32(s, NFTNL_SET_ID, (uint32_t)out->set_count);
	return added;
}

/* nft: set alive { type nf_proto; size 8; flags dynamic,timeout; } */
static bool add_alive(struct ruleset *out)
{
	struct ruleset_set *s = add_set(out, ENCODE_ALIVE, NFT_SET_EVAL | NFT_SET_TIMEOUT,
					RULESET_TYPE_NFPROTO, sizeof(uint8_t));

	if (s)
		nftnl_set_set_u32(s->nft, NFTNL_SET_DESC_SIZE, 8);
	return s;
}

/* Numbers as keys: big-endian, ports of two bytes, owners of four. */
static void number_key(uint8_t key[16], uint32_t number, uint32_t len)
{
	uint32_t wide = htonl(number);
	uint16_t narrow = htons((uint16_t)number);

	memset(key, 0, 16);
	memcpy(key, len == 2 ? (const void *)&narrow : (const void *)&wide, len);
}

static bool copy_ranges(struct addr_ranges *to, const struct plan_set *s)
{
	size_t count = plan_set_count(s);

	to->ranges = malloc(count * sizeof(*to->ranges));
	if (!to->ranges)
		return false;
	to->count = to->capacity = count;
	if (s->addresses)
		memcpy(to->ranges, s->addresses->ranges, count * sizeof(*to->ranges));
	for (size_t i = 0; s->numbers && i < count; i++) {
		number_key(to->ranges[i].first, s->numbers->ranges[i].first,
			   set_facts[s->type].len);
		number_key(to->ranges[i].last, s->numbers->ranges[i].last, set_facts[s->type].len);
	}
	return true;
}

static bool set_byteorder(struct nftnl_set *s, uint32_t byteorder)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(16);
	bool done = u && nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, byteorder) &&
		    nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
				       nftnl_udata_buf_len(u)) == 0;

	if (u)
		nftnl_udata_buf_free(u);
	return done;
}

/* nft: set out-port-excl.1 { type inet_service; flags interval; elements = { 22, 80-89 } } */
static bool add_plan_set(struct ruleset *out, const struct plan_set *p, uint32_t generation)
{
	char name[ENCODE_SET_NAME_MAX];
	struct ruleset_set *s;

	encode_set_name(p, generation, name);
	s = add_set(out, name, NFT_SET_INTERVAL, set_facts[p->type].type, set_facts[p->type].len);
	return s && copy_ranges(&s->ranges, p) &&
	       set_byteorder(s->nft, set_facts[p->type].byteorder);
}

/* nft: chain nat-output { type nat hook output priority -101; policy accept; } */
static void set_hook(struct nftnl_chain *c, enum plan_chain_id id)
{
	static const struct {
		const char *type;
		uint32_t hook;
	} hooks[] = {
		[PLAN_HOOK_NONE] = { NULL, 0 },
		[PLAN_HOOK_FILTER_OUTPUT] = { "filter", NF_INET_LOCAL_OUT },
		[PLAN_HOOK_NAT_OUTPUT] = { "nat", NF_INET_LOCAL_OUT },
		[PLAN_HOOK_NAT_PREROUTING] = { "nat", NF_INET_PRE_ROUTING },
		[PLAN_HOOK_REJECT_OUTPUT] = { "filter", NF_INET_LOCAL_OUT },
		[PLAN_HOOK_MANGLE_PREROUTING] = { "filter", NF_INET_PRE_ROUTING },
		[PLAN_HOOK_MANGLE_OUTPUT] = { "route", NF_INET_LOCAL_OUT },
	};
	enum plan_hook hook = plan_chain_hook(id);

	_Static_assert(ARRAY_SIZE(hooks) == PLAN_HOOK_COUNT, "facts for each hook");
	if (hook == PLAN_HOOK_NONE)
		return;
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, hooks[hook].type);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hooks[hook].hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, plan_chain_priority(id));
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
}

static struct ruleset_chain *add_chain(struct ruleset *out, enum plan_chain_id id)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct ruleset_chain *added = NULL;

	if (c && nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, PLAN_TABLE) == 0 &&
	    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, plan_chain_name(id)) == 0)
		added = ruleset_add_chain(out, c);
	if (!added) {
		if (c)
			nftnl_chain_free(c);
		return NULL;
	}
	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
	set_hook(c, id);
	return added;
}

/* nft: comment "out-port-excl" */
static bool set_comment(struct nftnl_rule *rule, const char *comment)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFTNL_UDATA_COMMENT_MAXLEN);
	bool done = u && nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment) &&
		    nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
					nftnl_udata_buf_len(u)) == 0;

	if (u)
		nftnl_udata_buf_free(u);
	return done;
}

static bool add_rule(struct ruleset_chain *c, const struct plan_rule *p, uint32_t generation)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct ruleset_rule *added = r ? ruleset_add_rule(c, r) : NULL;
	char line[PLAN_LINE_MAX];

	if (!added) {
		if (r)
			nftnl_rule_free(r);
		return false;
	}
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	added->text = strdup(plan_rule_text(p, 0, false, line));
	return added->text && nftnl_rule_set_str(r, NFTNL_RULE_TABLE, PLAN_TABLE) == 0 &&
	       nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, ruleset_chain_name(c)) == 0 &&
	       set_comment(r, plan_row_id(p->row)) && encode_expr(p, generation, r);
}

int encode_nft(const struct plan *p, uint32_t generation, struct ruleset *out, struct err *e)
{
	bool done;

	*out = (struct ruleset){ .exists = true };
	errno = 0;
	done = add_alive(out);
	for (size_t i = 0; done && i < p->set_count; i++)
		done = add_plan_set(out, &p->sets[i], generation);
	for (unsigned i = 0; done && i < PLAN_CHAIN_COUNT; i++) {
		const struct plan_chain *from = &p->chains[i];
		struct ruleset_chain *to = from->present ? add_chain(out, i) : NULL;

		done = to || !from->present;
		for (size_t j = 0; done && j < from->count; j++)
			done = add_rule(to, &from->rules[j], generation);
	}
	/* Not each function of libnftnl says that it had none (nftnl_chain_set_str()). */
	done &= errno != ENOMEM;
	return done ? 0 : err_set(e, -ENOMEM, "out of memory for the rules");
}
