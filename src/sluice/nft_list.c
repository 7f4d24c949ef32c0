// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking around in nftables: see nft_list.h. */
#include "nft_list.h"

#include "encode_nft.h"
#include "plan.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

/* What is not there, and a list that was interrupted, are no failures. */
static int ask(struct nl_socket *nl, struct nl_request *r, nl_callback *cb, void *data,
	       const char *what, struct err *e)
{
	int code, rc = nl_socket_request(nl, &r->nlh, cb, data, &code, e);

	if (rc < 0 || code == 0 || code == -EINTR || code == -ENOENT)
		return rc;
	if (code == -EPERM)
		return err_set(e, code, "CAP_NET_ADMIN is needed to see %s of nftables", what);
	if (code == -EINVAL)
		return err_set(e, -EOPNOTSUPP, "there is no nf_tables in this kernel");
	return err_sys(e, code, "cannot read %s of nftables", what);
}

static void take_element(const struct nlattr *element, struct nft_alive *out)
{
	const struct nlattr *attr, *value;
	uint64_t left = 0;
	uint8_t key = 0;

	mnl_attr_for_each_nested(attr, element)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_EXPIRATION &&
		    mnl_attr_validate(attr, MNL_TYPE_U64) >= 0)
			left = be64toh(mnl_attr_get_u64(attr));
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_KEY)
			continue;
		mnl_attr_for_each_nested(value, attr)
		{
			if (mnl_attr_get_type(value) == NFTA_DATA_VALUE &&
			    mnl_attr_get_payload_len(value) >= sizeof(key))
				memcpy(&key, mnl_attr_get_payload(value), sizeof(key));
		}
	}
	if (key == NFPROTO_IPV4)
		out->left_ms[ADDR_V4] = left;
	else if (key == NFPROTO_IPV6)
		out->left_ms[ADDR_V6] = left;
}

static int got_alive(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *list, *element;

	mnl_attr_for_each(list, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, list)
		{
			take_element(element, data);
		}
	}
	return 0;
}

int nft_list_alive(struct nl_socket *nl, struct nft_alive *out, struct err *e)
{
	struct nl_request r;

	*out = (struct nft_alive){ { 0 } };
	nl_request_nft(&r, NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET);
	mnl_attr_put_strz(&r.nlh, NFTA_SET_ELEM_LIST_TABLE, PLAN_TABLE);
	mnl_attr_put_strz(&r.nlh, NFTA_SET_ELEM_LIST_SET, ENCODE_ALIVE);
	return ask(nl, &r, got_alive, out, "the set alive", e);
}

struct chain_visit {
	void (*each)(const struct nftnl_chain *c, void *data);
	void *data;
};

static int got_chain(const struct nlmsghdr *nlh, void *data)
{
	const struct chain_visit *v = data;
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0)
		v->each(c, v->data);
	nftnl_chain_free(c);
	return 0;
}

int nft_list_chains(struct nl_socket *nl, void (*each)(const struct nftnl_chain *c, void *data),
		    void *data, struct err *e)
{
	struct chain_visit v = { each, data };
	struct nl_request r;

	nl_request_nft(&r, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC);
	return ask(nl, &r, got_chain, &v, "the chains", e);
}

struct rule_visit {
	void (*each)(const struct nftnl_rule *r, void *data);
	void *data;
};

/* A rule with an expression that libnftnl does not know is shown without it. */
static int got_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct rule_visit *v = data;
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return -ENOMEM;
	(void)nftnl_rule_nlmsg_parse(nlh, r);
	v->each(r, v->data);
	nftnl_rule_free(r);
	return 0;
}

int nft_list_rules(struct nl_socket *nl, void (*each)(const struct nftnl_rule *r, void *data),
		   void *data, struct err *e)
{
	struct rule_visit v = { each, data };
	struct nl_request r;

	nl_request_nft(&r, NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_UNSPEC);
	return ask(nl, &r, got_rule, &v, "the rules", e);
}
