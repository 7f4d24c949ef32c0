// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel lacks: see lacks.h. */
#include "lacks.h"

#include "nl_socket.h"
#include "sock_destroy.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#define PROBE "sluice-probe"

static bool set_redir(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_REDIR_FLAGS, 0);
	return true;
}

static bool set_nat(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FAMILY, NFPROTO_INET);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG_1);
	return true;
}

static bool set_socket(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_WILDCARD);
	nftnl_expr_set_u32(x, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
	return true;
}

static bool set_fib(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	return true;
}

static bool set_ct(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, NFT_CT_STATE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	return true;
}

static bool set_reject(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
	return true;
}

static bool set_tproxy(struct nftnl_expr *x)
{
	nftnl_expr_set_u32(x, NFTNL_EXPR_TPROXY_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(x, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
	return true;
}

static const struct {
	const char *expression;
	bool (*set)(struct nftnl_expr *x);
	struct feature feature;
} probes[] = {
	{ "redir", set_redir, { "nft redirect", "outbound on nftables" } },
	{ "nat", set_nat, { "nft nat", "inbound on nftables" } },
	{ "socket", set_socket, { "nft socket", "--inbound-closed=refuse on nftables" } },
	{ "fib", set_fib, { "nft fib", "inbound on nftables" } },
	{ "ct", set_ct, { "nft ct", "--drop-invalid on nftables" } },
	{ "reject", set_reject, { "nft reject", "--reject-quic on nftables" } },
	{ "tproxy", set_tproxy, { "nft tproxy", "--inbound-mode=tproxy on nftables" } },
};
_Static_assert(ARRAY_SIZE(probes) + 1 <= LACKS_MAX, "room for all, and SOCK_DESTROY");

/* A transaction without an end, and its answers. */
struct probing {
	char buffer[16384];
	size_t len;
	uint32_t first_seq; /* of the rules: one for each probe */
	int code[ARRAY_SIZE(probes)];
	int refused; /* of anything else */
	unsigned answers;
};

static struct nlmsghdr *message(struct probing *p, uint16_t type, uint16_t flags, uint16_t res,
				uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(p->buffer + p->len);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res);
	return nlh;
}

static uint16_t nft(uint16_t type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

/*
 * Loads one number, so that every register is written, and then the expression. A rule of a chain
 * that has no hook is not asked whether its hook suits it.
 */
static bool add_rule(struct probing *p, size_t i, uint32_t seq)
{
	const uint32_t zero = 0;
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nftnl_expr *load = nftnl_expr_alloc("immediate");
	struct nftnl_expr *x = nftnl_expr_alloc(probes[i].expression);
	struct nlmsghdr *nlh;

	if (!r || !load || !x) {
		if (r)
			nftnl_rule_free(r);
		if (load)
			nftnl_expr_free(load);
		if (x)
			nftnl_expr_free(x);
		return false;
	}
	nftnl_expr_set_u32(load, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(load, NFTNL_EXPR_IMM_DATA, &zero, sizeof(zero));
	nftnl_rule_add_expr(r, load);
	probes[i].set(x);
	nftnl_rule_add_expr(r, x);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, PROBE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, PROBE);
	nlh = message(p, nft(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, 0, seq);
	nftnl_rule_nlmsg_build_payload(nlh, r);
	p->len += MNL_ALIGN(nlh->nlmsg_len);
	nftnl_rule_free(r);
	return true;
}

static bool build(struct probing *p, struct nl_socket *nl)
{
	struct nlmsghdr *nlh =
		message(p, NFNL_MSG_BATCH_BEGIN, 0, NFNL_SUBSYS_NFTABLES, nl_socket_seq(nl));
	bool done = true;

	p->len += MNL_ALIGN(nlh->nlmsg_len);
	nlh = message(p, nft(NFT_MSG_NEWTABLE), NLM_F_CREATE | NLM_F_ACK, 0, nl_socket_seq(nl));
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, PROBE);
	p->len += MNL_ALIGN(nlh->nlmsg_len);
	nlh = message(p, nft(NFT_MSG_NEWCHAIN), NLM_F_CREATE | NLM_F_ACK, 0, nl_socket_seq(nl));
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, PROBE);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, PROBE);
	p->len += MNL_ALIGN(nlh->nlmsg_len);
	p->first_seq = nl_socket_seq(nl);
	done = add_rule(p, 0, p->first_seq);
	for (size_t i = 1; done && i < ARRAY_SIZE(probes); i++)
		done = add_rule(p, i, nl_socket_seq(nl));
	return done;
}

static int got_answer(const struct nlmsghdr *nlh, void *data)
{
	struct probing *p = data;
	uint32_t i = nlh->nlmsg_seq - p->first_seq;

	if (nlh->nlmsg_type != NLMSG_ERROR)
		return 0;
	p->answers++;
	if (i < ARRAY_SIZE(probes))
		p->code[i] = nl_refusal_parse(nlh).code;
	else if (nl_refusal_parse(nlh).code < 0)
		p->refused = nl_refusal_parse(nlh).code;
	return 0;
}

/* Table, chain and every rule are answered; a refusal of the whole is one answer. */
static int ask(struct probing *p, struct nl_socket *nl, struct err *e)
{
	int rc = nl_socket_send(nl, p->buffer, p->len, e);

	while (rc == 0 && !p->refused && p->answers < ARRAY_SIZE(probes) + 2)
		rc = nl_socket_receive(nl, true, got_answer, p, e);
	if (rc == 0 && p->refused == -EPERM)
		return err_set(e, -EPERM, "CAP_NET_ADMIN is needed to try what nftables can do");
	if (rc == 0 && p->refused)
		return err_sys(e, p->refused, "cannot try what nftables can do");
	return rc;
}

int lacks_probe(struct lacks *out, struct err *e)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, e);
	struct probing p = { .len = 0 };
	int rc;

	*out = (struct lacks){ .count = 0 };
	if (!nl)
		return e->code;
	rc = build(&p, nl) ? ask(&p, nl, e) : err_set(e, -ENOMEM, "out of memory for the probe");
	nl_socket_free(nl);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		if (p.code[i] == -ENOENT || p.code[i] == -EOPNOTSUPP)
			out->missing[out->count++] = probes[i].feature;
	}
	if (!sock_destroy_possible())
		out->missing[out->count++] =
			(struct feature){ "SOCK_DESTROY", "resetting connections at 'remove'" };
	return 0;
}
