// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads our nftables table: see nft_read.h. */
#include "nft_read.h"

#include "plan.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <time.h>

/* How often a state that changes under us is read again, and the pause before the next time. */
#define READ_TRIES    100
#define READ_PAUSE_NS 2000000

/* The state changed while we read it: start again. Not an errno of the kernel's. */
#define READ_AGAIN (-ECHRNG)

/* Where answers go. */
struct reader {
	struct nl_socket *nl;
	struct ruleset *out;
	struct ruleset_set *set; /* whose elements are being read */
	struct ruleset_key *keys;
	size_t key_count, key_capacity;
	struct err *e;
};

/*
 * Asks, and puts the kernel's refusal into words. What was there a moment ago and no longer is, or
 * a dump that was interrupted, means that the state changed.
 */
static int ask(struct reader *rd, struct nl_request *r, nl_callback *cb, const char *what)
{
	int code, rc = nl_socket_request(rd->nl, &r->nlh, cb, rd, &code, rd->e);

	if (rc < 0 || code == 0)
		return rc;
	if (code == -EINTR || code == -ENOENT)
		return READ_AGAIN;
	if (code == -EPERM)
		return err_set(rd->e, code,
			       "the kernel does not let us read nftables: CAP_NET_ADMIN is needed "
			       "in the user namespace that owns this network namespace; a "
			       "container needs NET_ADMIN added and, for a user other than root, "
			       "allowPrivilegeEscalation");
	/* What nfnetlink_rcv_msg() answers when nobody has registered for the message. */
	if (code == -EINVAL)
		return err_set(rd->e, -EOPNOTSUPP, "there is no nf_tables in this kernel");
	return err_sys(rd->e, code, "cannot read %s of nftables", what);
}

static int got_generation(const struct nlmsghdr *nlh, void *data)
{
	uint32_t *generation = &((struct reader *)data)->out->generation;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*generation = ntohl(mnl_attr_get_u32(attr));
	}
	return 0;
}

static int read_generation(struct reader *rd)
{
	struct nl_request r;

	nl_request_nft(&r, NFT_MSG_GETGEN, 0, NFPROTO_INET);
	return ask(rd, &r, got_generation, "the generation");
}

static int got_table(const struct nlmsghdr *nlh, void *data)
{
	struct ruleset *out = ((struct reader *)data)->out;
	const struct nlattr *attr;

	out->exists = true;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_FLAGS &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			out->flags = ntohl(mnl_attr_get_u32(attr));
	}
	return 0;
}

static int read_table(struct reader *rd)
{
	struct nl_request r;
	int rc;

	nl_request_nft(&r, NFT_MSG_GETTABLE, 0, NFPROTO_INET);
	mnl_attr_put_strz(&r.nlh, NFTA_TABLE_NAME, PLAN_TABLE);
	rc = ask(rd, &r, got_table, "the table");
	return rc == READ_AGAIN ? 0 : rc; /* not there: out->exists stays false */
}

static int out_of_memory(struct reader *rd)
{
	return err_set(rd->e, -ENOMEM, "out of memory for the kernel's rules");
}

/*
 * libnftnl leaves out what it has no memory for, or says no more than that it did not work, as with
 * what it does not know; but calloc() has said so before (calloc(3)). Set errno to 0 first.
 */
static bool left_out(void)
{
	return errno == ENOMEM;
}

/* Chains of every table of the family are listed. */
static bool is_ours(const struct nftnl_chain *c)
{
	return nftnl_chain_is_set(c, NFTNL_CHAIN_NAME) &&
	       nftnl_chain_is_set(c, NFTNL_CHAIN_TABLE) &&
	       strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), PLAN_TABLE) == 0;
}

static int got_chain(const struct nlmsghdr *nlh, void *data)
{
	struct reader *rd = data;
	struct nftnl_chain *c = nftnl_chain_alloc();
	bool keep;

	if (!c)
		return out_of_memory(rd);
	errno = 0;
	keep = nftnl_chain_nlmsg_parse(nlh, c) == 0 && is_ours(c);
	if (!left_out() && keep && ruleset_add_chain(rd->out, c))
		return 0;
	keep |= left_out();
	nftnl_chain_free(c);
	return keep ? out_of_memory(rd) : 0;
}

static int got_set(const struct nlmsghdr *nlh, void *data)
{
	struct reader *rd = data;
	struct nftnl_set *s = nftnl_set_alloc();
	bool keep;

	if (!s)
		return out_of_memory(rd);
	errno = 0;
	keep = nftnl_set_nlmsg_parse(nlh, s) == 0 && nftnl_set_is_set(s, NFTNL_SET_NAME);
	if (!left_out() && keep && ruleset_add_set(rd->out, s))
		return 0;
	keep |= left_out();
	nftnl_set_free(s);
	return keep ? out_of_memory(rd) : 0;
}

/* A rule with an expression that libnftnl does not know stays, empty: it is none of ours. */
static int got_rule(const struct nlmsghdr *nlh, void *data)
{
	struct reader *rd = data;
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct ruleset_chain *c;
	const char *name;
	bool moved;

	if (!r)
		return out_of_memory(rd);
	errno = 0;
	(void)nftnl_rule_nlmsg_parse(nlh, r);
	name = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	c = name ? ruleset_find_chain(rd->out, name) : NULL;
	if (!left_out() && c && ruleset_add_rule(c, r))
		return 0;
	moved = !left_out() && !c;
	nftnl_rule_free(r);
	return moved ? READ_AGAIN : out_of_memory(rd);
}

static int read_objects(struct reader *rd)
{
	struct nl_request r;
	int rc;

	nl_request_nft(&r, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_INET);
	rc = ask(rd, &r, got_chain, "the chains");
	if (rc < 0)
		return rc;
	nl_request_nft(&r, NFT_MSG_GETSET, NLM_F_DUMP, NFPROTO_INET);
	mnl_attr_put_strz(&r.nlh, NFTA_SET_TABLE, PLAN_TABLE);
	rc = ask(rd, &r, got_set, "the sets");
	if (rc < 0)
		return rc;
	nl_request_nft(&r, NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_INET);
	mnl_attr_put_strz(&r.nlh, NFTA_RULE_TABLE, PLAN_TABLE);
	return ask(rd, &r, got_rule, "the rules");
}

static struct ruleset_key *add_key(struct reader *rd)
{
	if (rd->key_count == rd->key_capacity) {
		size_t capacity = rd->key_capacity ? 2 * rd->key_capacity : 1024;
		struct ruleset_key *grown = realloc(rd->keys, capacity * sizeof(*grown));

		if (!grown)
			return NULL;
		rd->keys = grown;
		rd->key_capacity = capacity;
	}
	rd->keys[rd->key_count] = (struct ruleset_key){ .end = false };
	return &rd->keys[rd->key_count++];
}

/* Straight from the attributes: a libnftnl object for each of 20,000 would double the time. */
static bool parse_element(const struct nlattr *element, struct ruleset_key *key)
{
	const struct nlattr *attr, *value;

	mnl_attr_for_each_nested(attr, element)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_FLAGS)
			key->end = ntohl(mnl_attr_get_u32(attr)) & NFT_SET_ELEM_INTERVAL_END;
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_KEY)
			continue;
		mnl_attr_for_each_nested(value, attr)
		{
			if (mnl_attr_get_type(value) != NFTA_DATA_VALUE)
				continue;
			if (mnl_attr_get_payload_len(value) > RULESET_KEY_MAX)
				return false;
			memcpy(key->bytes, mnl_attr_get_payload(value),
			       mnl_attr_get_payload_len(value));
		}
	}
	return true;
}

static int got_elements(const struct nlmsghdr *nlh, void *data)
{
	struct reader *rd = data;
	const struct nlattr *list, *element;
	struct ruleset_key *key;

	mnl_attr_for_each(list, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, list)
		{
			key = add_key(rd);
			if (!key)
				return out_of_memory(rd);
			if (!parse_element(element, key))
				rd->key_count--;
		}
	}
	return 0;
}

static int read_elements(struct reader *rd, struct ruleset_set *s)
{
	uint32_t len = nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN);
	uint32_t flags = nftnl_set_get_u32(s->nft, NFTNL_SET_FLAGS);
	struct nl_request r;
	int rc;

	/* Other kinds of sets are none of ours, or (alive) change by themselves. */
	if (!(flags & NFT_SET_INTERVAL) || flags & NFT_SET_MAP || len > RULESET_KEY_MAX)
		return 0;
	rd->key_count = 0;
	nl_request_nft(&r, NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET);
	mnl_attr_put_strz(&r.nlh, NFTA_SET_ELEM_LIST_TABLE, PLAN_TABLE);
	mnl_attr_put_strz(&r.nlh, NFTA_SET_ELEM_LIST_SET, ruleset_set_name(s));
	rc = ask(rd, &r, got_elements, "the set elements");
	if (rc < 0)
		return rc;
	return ruleset_ranges_from_keys(&s->ranges, rd->keys, rd->key_count, len, rd->e);
}

/* The kernel's tick: what its coarse clocks advance by. */
static uint32_t tick_ns(void)
{
	struct timespec tick = { .tv_nsec = 0 };

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	return (uint32_t)tick.tv_nsec;
}

static int read_once(struct reader *rd)
{
	uint32_t before;
	int rc;

	*rd->out = (struct ruleset){ .tick_ns = tick_ns() };
	rc = read_generation(rd);
	before = rd->out->generation;
	if (rc == 0)
		rc = read_table(rd);
	if (rc == 0 && rd->out->exists)
		rc = read_objects(rd);
	for (size_t i = 0; rc == 0 && i < rd->out->set_count; i++)
		rc = read_elements(rd, &rd->out->sets[i]);
	if (rc == 0)
		rc = read_generation(rd);
	return rc == 0 && rd->out->generation != before ? READ_AGAIN : rc;
}

int nft_read(struct nl_socket *nl, struct ruleset *out, struct err *e)
{
	const struct timespec pause = { .tv_nsec = READ_PAUSE_NS };
	struct reader rd = { .nl = nl, .out = out, .e = e };
	int rc;

	for (unsigned try = 0;; try++) {
		rc = read_once(&rd);
		if (rc != READ_AGAIN)
			break;
		if (try == READ_TRIES) {
			rc = err_set(e, -EBUSY,
				     "the nftables state keeps changing: something else here "
				     "rewrites its rules without a pause");
			break;
		}
		ruleset_fini(out);
		nanosleep(&pause, NULL);
	}
	free(rd.keys);
	return rc;
}
