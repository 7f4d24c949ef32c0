// SPDX-License-Identifier: GPL-2.0-or-later
/* The walk over our nftables table, expression by expression: see explain.h. */
#include "explain.h"

#include "decode_nft.h"
#include "encode_nft.h"

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

/* As the kernel's: 16 bytes for the verdict, then four registers of 16 bytes or 16 of four. */
#define REGISTERS_SIZE 80

/* One rule being executed for one packet. */
struct machine {
	const struct ruleset *have;
	const struct packet *packet;
	const char *chain; /* its name */
	uint8_t registers[REGISTERS_SIZE];
	bool broken; /* the rule does not match */
	struct explain_step step;
	struct err *e;
};

static int unknown(const struct machine *m, const char *what)
{
	return err_usage(m->e,
			 "--live: chain %s has a rule with '%s', which is none of ours: 'sluice "
			 "check' names it",
			 m->chain, what);
}

/* Where a register begins; when @len bytes from there are not all registers, behind the last. */
static size_t place(uint32_t number, size_t len)
{
	size_t at = number <= NFT_REG_4 ? 16 * (size_t)number : 16 + 4 * ((size_t)number - 8);

	return at + len <= REGISTERS_SIZE ? at : REGISTERS_SIZE;
}

/* Loads a value as the kernel does: what is behind it up to four bytes becomes zero. */
static int load(struct machine *m, uint32_t number, const void *value, size_t len)
{
	size_t padded = (len + 3) / 4 * 4, at = place(number, padded);

	if (at == REGISTERS_SIZE)
		return unknown(m, "a register");
	memset(m->registers + at, 0, padded);
	memcpy(m->registers + at, value, len);
	return 0;
}

static int load_u32(struct machine *m, uint32_t number, uint32_t value)
{
	return load(m, number, &value, sizeof(value));
}

static int load_u8(struct machine *m, uint32_t number, uint8_t value)
{
	return load(m, number, &value, sizeof(value));
}

static int run_meta(struct machine *m, struct nftnl_expr *x)
{
	uint32_t to = nftnl_expr_get_u32(x, NFTNL_EXPR_META_DREG);
	const struct packet *p = m->packet;
	bool outbound = p->direction == PACKET_OUTBOUND;

	if (nftnl_expr_is_set(x, NFTNL_EXPR_META_SREG))
		return 0; /* marks the packet */
	switch (nftnl_expr_get_u32(x, NFTNL_EXPR_META_KEY)) {
	case NFT_META_SKUID:
		m->broken = !outbound; /* no socket */
		return load_u32(m, to, p->uid);
	case NFT_META_SKGID:
		m->broken = !outbound;
		return load_u32(m, to, p->gid);
	case NFT_META_OIFNAME:
		m->broken = !outbound;
		return load(m, to, p->iface, sizeof(p->iface));
	case NFT_META_IIFNAME:
		m->broken = outbound;
		return load(m, to, p->iface, sizeof(p->iface));
	case NFT_META_NFPROTO:
		return load_u8(m, to, p->to.addr.family == ADDR_V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	case NFT_META_L4PROTO:
		return load_u8(m, to, p->protocol == PACKET_TCP ? IPPROTO_TCP : IPPROTO_UDP);
	default:
		return unknown(m, "meta");
	}
}

/* The bytes of a packet that rules of ours look at. */
static int run_payload(struct machine *m, struct nftnl_expr *x)
{
	uint32_t base = nftnl_expr_get_u32(x, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t len = nftnl_expr_get_u32(x, NFTNL_EXPR_PAYLOAD_LEN);
	uint32_t to = nftnl_expr_get_u32(x, NFTNL_EXPR_PAYLOAD_DREG);
	const struct packet *p = m->packet;
	bool is4 = p->to.addr.family == ADDR_V4, source;
	uint16_t port = htons(p->to.port);

	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && len == sizeof(port))
		return load(m, to, &port, sizeof(port));
	/* RFC 9293, sect. 3.1: byte 13 has the flags; of them, SYN alone. */
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 13 && len == 1)
		return load_u8(m, to, 0x02);
	if (base != NFT_PAYLOAD_NETWORK_HEADER || len != addr_len(p->to.addr.family))
		return unknown(m, "payload");
	source =
		offset == (is4 ? offsetof(struct iphdr, saddr) : offsetof(struct ip6_hdr, ip6_src));
	if (!source &&
	    offset != (is4 ? offsetof(struct iphdr, daddr) : offsetof(struct ip6_hdr, ip6_dst)))
		return unknown(m, "payload");
	if (source && !p->from.given)
		return err_usage(m->e, "--from: a rule goes by the source address: give it");
	return load(m, to, source ? p->from.addr.bytes : p->to.addr.bytes, len);
}

static int run_cmp(struct machine *m, struct nftnl_expr *x)
{
	uint32_t len = 0;
	const void *data = nftnl_expr_get(x, NFTNL_EXPR_CMP_DATA, &len);
	size_t from = place(nftnl_expr_get_u32(x, NFTNL_EXPR_CMP_SREG), len);
	int order;

	if (!data || from == REGISTERS_SIZE)
		return unknown(m, "cmp");
	order = memcmp(m->registers + from, data, len);
	switch (nftnl_expr_get_u32(x, NFTNL_EXPR_CMP_OP)) {
	case NFT_CMP_EQ:
		m->broken = order != 0;
		return 0;
	case NFT_CMP_NEQ:
		m->broken = order == 0;
		return 0;
	case NFT_CMP_LT:
		m->broken = order >= 0;
		return 0;
	case NFT_CMP_LTE:
		m->broken = order > 0;
		return 0;
	case NFT_CMP_GT:
		m->broken = order <= 0;
		return 0;
	case NFT_CMP_GTE:
		m->broken = order < 0;
		return 0;
	default:
		return unknown(m, "cmp");
	}
}

static int run_bitwise(struct machine *m, struct nftnl_expr *x)
{
	uint32_t len = nftnl_expr_get_u32(x, NFTNL_EXPR_BITWISE_LEN), mask_len = 0, xor_len = 0;
	const uint8_t *mask = nftnl_expr_get(x, NFTNL_EXPR_BITWISE_MASK, &mask_len);
	const uint8_t * xor = nftnl_expr_get(x, NFTNL_EXPR_BITWISE_XOR, &xor_len);
	size_t from = place(nftnl_expr_get_u32(x, NFTNL_EXPR_BITWISE_SREG), len);
	size_t to = place(nftnl_expr_get_u32(x, NFTNL_EXPR_BITWISE_DREG), len);

	if (nftnl_expr_get_u32(x, NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL ||
	    from == REGISTERS_SIZE || to == REGISTERS_SIZE || !mask || !xor || mask_len < len ||
	    xor_len < len)
		return unknown(m, "bitwise");
	for (uint32_t i = 0; i < len; i++)
		m->registers[to + i] = (uint8_t)((m->registers[from + i] & mask[i]) ^ xor[i]);
	return 0;
}

static int run_byteorder(struct machine *m, struct nftnl_expr *x)
{
	size_t from = place(nftnl_expr_get_u32(x, NFTNL_EXPR_BYTEORDER_SREG), sizeof(uint32_t));
	uint32_t value;

	if (nftnl_expr_get_u32(x, NFTNL_EXPR_BYTEORDER_LEN) != sizeof(value) ||
	    nftnl_expr_get_u32(x, NFTNL_EXPR_BYTEORDER_SIZE) != sizeof(value) ||
	    from == REGISTERS_SIZE)
		return unknown(m, "byteorder");
	memcpy(&value, m->registers + from, sizeof(value));
	return load_u32(m, nftnl_expr_get_u32(x, NFTNL_EXPR_BYTEORDER_DREG), htonl(value));
}

static bool ranges_have(const struct addr_ranges *r, const uint8_t *key, size_t len)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(r->ranges[middle].last, key, len) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->count && memcmp(r->ranges[low].first, key, len) <= 0;
}

static int run_lookup(struct machine *m, struct nftnl_expr *x)
{
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET);
	const struct ruleset_set *s = ruleset_find_set(m->have, name);
	size_t len = s ? nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN) : 0;
	size_t key = place(nftnl_expr_get_u32(x, NFTNL_EXPR_LOOKUP_SREG), len);
	bool invert = nftnl_expr_get_u32(x, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV, found;

	if (!s || key == REGISTERS_SIZE || len > RULESET_KEY_MAX ||
	    nftnl_expr_is_set(x, NFTNL_EXPR_LOOKUP_DREG))
		return unknown(m, "lookup");
	if (strcmp(name, ENCODE_ALIVE) == 0)
		found = m->packet->alive == PACKET_YES;
	else
		found = ranges_have(&s->ranges, m->registers + key, len);
	m->broken = found == invert;
	return 0;
}

static int run_fib(struct machine *m, struct nftnl_expr *x)
{
	uint32_t flags = nftnl_expr_get_u32(x, NFTNL_EXPR_FIB_FLAGS);
	/* Who sends has an address of this namespace: it is not about the proxy. */
	bool local = flags == NFTA_FIB_F_SADDR || m->packet->local == PACKET_YES;

	if (nftnl_expr_get_u32(x, NFTNL_EXPR_FIB_RESULT) != NFT_FIB_RESULT_ADDRTYPE ||
	    (flags != NFTA_FIB_F_DADDR && flags != NFTA_FIB_F_SADDR))
		return unknown(m, "fib");
	return load_u32(m, nftnl_expr_get_u32(x, NFTNL_EXPR_FIB_DREG),
			local ? RTN_LOCAL : RTN_UNICAST);
}

/* Whether the socket is bound to the address or to any, nobody told us: both are below 2. */
static int run_socket(struct machine *m, struct nftnl_expr *x)
{
	uint32_t key = nftnl_expr_get_u32(x, NFTNL_EXPR_SOCKET_KEY);

	if (key != NFT_SOCKET_WILDCARD && key != NFT_SOCKET_TRANSPARENT)
		return unknown(m, "socket");
	/* A transparent one is that of an older connection. */
	m->broken = key == NFT_SOCKET_TRANSPARENT || m->packet->listening != PACKET_YES;
	return load_u8(m, nftnl_expr_get_u32(x, NFTNL_EXPR_SOCKET_DREG), 1);
}

/* It is about the first packet of a connection: new, in its direction, without a mark. */
static int run_ct(struct machine *m, struct nftnl_expr *x)
{
	uint32_t to = nftnl_expr_get_u32(x, NFTNL_EXPR_CT_DREG);

	if (nftnl_expr_is_set(x, NFTNL_EXPR_CT_SREG))
		return 0; /* marks the connection */
	switch (nftnl_expr_get_u32(x, NFTNL_EXPR_CT_KEY)) {
	case NFT_CT_STATE:
		return load_u32(m, to, NF_CT_STATE_BIT(IP_CT_NEW));
	case NFT_CT_DIRECTION:
		return load_u8(m, to, IP_CT_DIR_ORIGINAL);
	case NFT_CT_MARK:
		return load_u32(m, to, 0);
	default:
		return unknown(m, "ct");
	}
}

static int chain_number(const struct machine *m, const char *name, size_t *number)
{
	for (size_t i = 0; name && i < m->have->chain_count; i++) {
		*number = i;
		if (strcmp(ruleset_chain_name(&m->have->chains[i]), name) == 0)
			return 0;
	}
	return unknown(m, "jump");
}

static int run_immediate(struct machine *m, struct nftnl_expr *x)
{
	uint32_t len = 0, to = nftnl_expr_get_u32(x, NFTNL_EXPR_IMM_DREG);
	const void *data;

	if (to != NFT_REG_VERDICT) {
		data = nftnl_expr_get(x, NFTNL_EXPR_IMM_DATA, &len);
		return data ? load(m, to, data, len) : unknown(m, "immediate");
	}
	switch ((int)nftnl_expr_get_u32(x, NFTNL_EXPR_IMM_VERDICT)) {
	case NFT_RETURN:
		m->step.action = EXPLAIN_RETURN;
		return 0;
	case NFT_JUMP:
		m->step.action = EXPLAIN_JUMP;
		break;
	case NFT_GOTO:
		m->step.action = EXPLAIN_GOTO;
		break;
	case NF_ACCEPT:
		if (m->step.action == EXPLAIN_END)
			return 0; /* by TPROXY, before it */
		m->step = (struct explain_step){ EXPLAIN_END, 0, EXPLAIN_DIRECT, 0, 0 };
		return 0;
	case NF_DROP:
		m->step = (struct explain_step){ EXPLAIN_END, 0, EXPLAIN_DROP, 0, 0 };
		return 0;
	default:
		return unknown(m, "verdict");
	}
	return chain_number(m, nftnl_expr_get_str(x, NFTNL_EXPR_IMM_CHAIN), &m->step.chain);
}

/* redir and nat: the ports are in registers. */
static int run_redirect(struct machine *m, uint32_t first, uint32_t last)
{
	size_t min = place(first, 2), max = place(last, 2);

	if (min == REGISTERS_SIZE || max == REGISTERS_SIZE)
		return unknown(m, "nat");
	m->step = (struct explain_step){ .action = EXPLAIN_END, .verdict = EXPLAIN_REDIRECT };
	m->step.first = (uint16_t)(m->registers[min] << 8 | m->registers[min + 1]);
	m->step.last = (uint16_t)(m->registers[max] << 8 | m->registers[max + 1]);
	return 0;
}

static int run_redir(struct machine *m, struct nftnl_expr *x)
{
	return run_redirect(m, nftnl_expr_get_u32(x, NFTNL_EXPR_REDIR_REG_PROTO_MIN),
			    nftnl_expr_get_u32(x, NFTNL_EXPR_REDIR_REG_PROTO_MAX));
}

static int run_nat(struct machine *m, struct nftnl_expr *x)
{
	return run_redirect(m, nftnl_expr_get_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN),
			    nftnl_expr_get_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MAX));
}

static int run_tproxy(struct machine *m, struct nftnl_expr *x)
{
	uint32_t port = nftnl_expr_get_u32(x, NFTNL_EXPR_TPROXY_REG_PORT);

	return run_redirect(m, port, port);
}

static int run_reject(struct machine *m, struct nftnl_expr *x)
{
	(void)x;
	m->step = (struct explain_step){ EXPLAIN_END, 0, EXPLAIN_DROP, 0, 0 };
	return 0;
}

/* What changes nothing about the packet. */
static int run_nothing(struct machine *m, struct nftnl_expr *x)
{
	(void)m, (void)x;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct machine *m, struct nftnl_expr *x);
} expressions[] = {
	{ "meta", run_meta },
	{ "payload", run_payload },
	{ "cmp", run_cmp },
	{ "bitwise", run_bitwise },
	{ "byteorder", run_byteorder },
	{ "lookup", run_lookup },
	{ "fib", run_fib },
	{ "socket", run_socket },
	{ "ct", run_ct },
	{ "immediate", run_immediate },
	{ "tproxy", run_tproxy },
	{ "reject", run_reject },
	{ "redir", run_redir },
	{ "nat", run_nat },
	{ "counter", run_nothing },
	{ "dynset", run_nothing },
};

static int run(struct machine *m, struct nftnl_expr *x)
{
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);

	for (size_t i = 0; name && i < ARRAY_SIZE(expressions); i++) {
		if (strcmp(name, expressions[i].name) == 0)
			return expressions[i].run(m, x);
	}
	return unknown(m, name ? name : "?");
}

static size_t nft_count(const void *rules, size_t chain)
{
	return ((const struct ruleset *)rules)->chains[chain].count;
}

static int nft_step(const void *rules, size_t chain, size_t i, const struct packet *p,
		    struct explain_step *out, struct err *e)
{
	const struct ruleset *have = rules;
	struct machine m = { .have = have, .packet = p, .e = e };
	struct nftnl_expr_iter *iter;
	struct nftnl_expr *x;
	int rc = 0;

	m.chain = ruleset_chain_name(&have->chains[chain]);
	iter = nftnl_expr_iter_create(have->chains[chain].rules[i].nft);
	if (!iter)
		return err_set(e, -ENOMEM, "out of memory for a rule");
	while (rc == 0 && !m.broken && (x = nftnl_expr_iter_next(iter)))
		rc = run(&m, x);
	nftnl_expr_iter_destroy(iter);
	if (m.broken)
		m.step = (struct explain_step){ .action = EXPLAIN_NEXT };
	*out = m.step;
	return rc;
}

static void nft_tell(const void *rules, size_t chain, size_t i, struct explanation *out)
{
	const struct nftnl_rule *r = ((const struct ruleset *)rules)->chains[chain].rules[i].nft;

	_Static_assert(sizeof(out->rule) == DECODE_NFT_LINE_MAX, "a rule fits");
	ruleset_rule_comment(r, out->row, sizeof(out->row));
	decode_nft(r, true, out->rule);
}

/* The base chain of @hook with the lowest priority above @above; false when there is none. */
static bool next_base(const struct ruleset *have, uint32_t hook, int64_t above, size_t *chain)
{
	int64_t best = INT64_MAX;

	for (size_t i = 0; i < have->chain_count; i++) {
		const struct nftnl_chain *c = have->chains[i].nft;
		int64_t priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);

		if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) ||
		    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) != hook || priority <= above ||
		    priority >= best)
			continue;
		best = priority;
		*chain = i;
	}
	return best != INT64_MAX;
}

/* Where the rules of a base chain are over without a verdict, its policy is one. */
static void apply_policy(const struct ruleset_chain *c, struct explanation *out)
{
	if (out->ended || !ruleset_chain_drops(c))
		return;
	*out = (struct explanation){ .verdict = EXPLAIN_DROP, .ended = true };
	snprintf(out->rule, sizeof(out->rule), "chain %s has policy drop, which is not ours",
		 ruleset_chain_name(c));
}

int explain_nft(const struct ruleset *have, const struct packet *p, struct explanation *out,
		struct err *e)
{
	const struct explain_rules r = { have, nft_count, nft_step, nft_tell };
	uint32_t hook = p->direction == PACKET_OUTBOUND ? NF_INET_LOCAL_OUT : NF_INET_PRE_ROUTING;
	struct explanation last = { .verdict = EXPLAIN_DIRECT };
	int64_t above = INT64_MIN;
	size_t chain;

	if (have->flags & NFT_TABLE_F_DORMANT) {
		*out = last;
		snprintf(out->rule, sizeof(out->rule), "the table is dormant: no rule applies");
		return 0;
	}
	while (next_base(have, hook, above, &chain)) {
		int rc = explain_walk(&r, chain, p, out, e);

		if (rc == 0)
			apply_policy(&have->chains[chain], out);
		if (rc < 0 || out->verdict != EXPLAIN_DIRECT)
			return rc;
		if (out->row[0])
			last = *out;
		above = nftnl_chain_get_s32(have->chains[chain].nft, NFTNL_CHAIN_PRIO);
	}
	*out = last;
	return 0;
}
