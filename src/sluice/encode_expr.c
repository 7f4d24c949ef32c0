// SPDX-License-Identifier: GPL-2.0-or-later
/* Matches and verdicts as nftables expressions: see encode_expr.h. */
#include "encode_expr.h"

#include "encode_nft.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

/* A rule under construction. Once memory is out, every further step does nothing. */
struct builder {
	struct nftnl_rule *rule;
	uint32_t generation; /* of the sets it refers to */
	bool tcp;	     /* a match on l4proto tcp is already there */
	bool failed;
};

static struct nftnl_expr *expr(struct builder *b, const char *name)
{
	struct nftnl_expr *x = b->failed ? NULL : nftnl_expr_alloc(name);

	if (x)
		nftnl_rule_add_expr(b->rule, x);
	else
		b->failed = true;
	return x;
}

static void set_u32(struct nftnl_expr *x, uint16_t attr, uint32_t value)
{
	if (x)
		nftnl_expr_set_u32(x, attr, value);
}

static void set_data(struct builder *b, struct nftnl_expr *x, uint16_t attr, const void *data,
		     size_t len)
{
	if (x && nftnl_expr_set(x, attr, data, (uint32_t)len) < 0)
		b->failed = true;
}

static void set_str(struct builder *b, struct nftnl_expr *x, uint16_t attr, const char *text)
{
	if (x && nftnl_expr_set_str(x, attr, text) < 0)
		b->failed = true;
}

static void meta(struct builder *b, enum nft_meta_keys key)
{
	struct nftnl_expr *x = expr(b, "meta");

	set_u32(x, NFTNL_EXPR_META_KEY, key);
	set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void payload(struct builder *b, enum nft_payload_bases base, size_t offset, size_t len)
{
	struct nftnl_expr *x = expr(b, "payload");

	set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
	set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)len);
	set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void cmp(struct builder *b, enum nft_cmp_ops op, const void *data, size_t len)
{
	struct nftnl_expr *x = expr(b, "cmp");

	set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_CMP_OP, op);
	set_data(b, x, NFTNL_EXPR_CMP_DATA, data, len);
}

static void cmp_u8(struct builder *b, enum nft_cmp_ops op, uint8_t value)
{
	cmp(b, op, &value, sizeof(value));
}

static void bitwise_and(struct builder *b, const void *mask, size_t len)
{
	static const uint8_t zero[16];
	struct nftnl_expr *x = expr(b, "bitwise");

	set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	set_u32(x, NFTNL_EXPR_BITWISE_LEN, (uint32_t)len);
	set_data(b, x, NFTNL_EXPR_BITWISE_MASK, mask, len);
	set_data(b, x, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

static void immediate(struct builder *b, enum nft_registers reg, const void *data, size_t len)
{
	struct nftnl_expr *x = expr(b, "immediate");

	set_u32(x, NFTNL_EXPR_IMM_DREG, reg);
	set_data(b, x, NFTNL_EXPR_IMM_DATA, data, len);
}

static void verdict(struct builder *b, int code, const char *chain)
{
	struct nftnl_expr *x = expr(b, "immediate");

	set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	set_u32(x, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		set_str(b, x, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void lookup(struct builder *b, const char *set, bool negate)
{
	struct nftnl_expr *x = expr(b, "lookup");

	set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	set_str(b, x, NFTNL_EXPR_LOOKUP_SET, set);
	if (negate)
		set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void encode_set_name(const struct plan_set *s, uint32_t generation, char name[ENCODE_SET_NAME_MAX])
{
	snprintf(name, ENCODE_SET_NAME_MAX, "%s.%u", s->name, generation);
}

static void lookup_set(struct builder *b, const struct plan_match *m)
{
	char name[ENCODE_SET_NAME_MAX];

	encode_set_name(m->set, b->generation, name);
	lookup(b, name, m->negate);
}

/* nft: meta nfproto ipv4 */
static void match_family(struct builder *b, enum addr_family family)
{
	meta(b, NFT_META_NFPROTO);
	cmp_u8(b, NFT_CMP_EQ, family == ADDR_V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

/* nft: meta l4proto tcp; in an inet table ports and flags must not be read before it */
static void match_l4proto(struct builder *b, uint8_t proto)
{
	if (b->tcp)
		return;
	meta(b, NFT_META_L4PROTO);
	cmp_u8(b, NFT_CMP_EQ, proto);
	b->tcp = proto == IPPROTO_TCP;
}

/* nft: meta skuid 1337, meta skuid @set; the id is in host order, intervals are big-endian */
static void match_owner(struct builder *b, const struct plan_match *m, enum nft_meta_keys key)
{
	struct nftnl_expr *x;

	meta(b, key);
	if (!m->set) {
		cmp(b, NFT_CMP_EQ, &m->value, sizeof(m->value));
		return;
	}
	x = expr(b, "byteorder");
	set_u32(x, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	set_u32(x, NFTNL_EXPR_BYTEORDER_LEN, sizeof(uint32_t));
	set_u32(x, NFTNL_EXPR_BYTEORDER_SIZE, sizeof(uint32_t));
	lookup_set(b, m);
}

/* nft: oifname "lo", oifname "veth*": all 16 bytes, or just the beginning */
static void match_iface(struct builder *b, const struct plan_match *m, enum nft_meta_keys key)
{
	meta(b, key);
	cmp(b, NFT_CMP_EQ, m->iface.name,
	    m->iface.prefix ? strlen(m->iface.name) : sizeof(m->iface.name));
}

/* nft: tcp flags & (fin | syn | rst | ack) == syn */
static void match_syn(struct builder *b)
{
	/* RFC 9293, sect. 3.1: byte 13 of the header; FIN 1, SYN 2, RST 4, ACK 16. */
	const uint8_t mask = 0x01 | 0x02 | 0x04 | 0x10;

	match_l4proto(b, IPPROTO_TCP);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1);
	bitwise_and(b, &mask, 1);
	cmp_u8(b, NFT_CMP_EQ, 0x02);
}

/* nft: tcp dport 22, tcp dport @set, udp dport 9211 */
static void match_dport(struct builder *b, const struct plan_match *m, uint8_t proto)
{
	uint16_t port = htons((uint16_t)m->value);

	match_l4proto(b, proto);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(port));
	if (m->set)
		lookup_set(b, m);
	else
		cmp(b, NFT_CMP_EQ, &port, sizeof(port));
}

/* nft: ip daddr @set, ip6 saddr @set */
static void match_addr(struct builder *b, const struct plan_match *m, bool source)
{
	if (m->set->type == PLAN_SET_ADDR4) {
		match_family(b, ADDR_V4);
		payload(b, NFT_PAYLOAD_NETWORK_HEADER,
			source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr), 4);
	} else {
		match_family(b, ADDR_V6);
		payload(b, NFT_PAYLOAD_NETWORK_HEADER,
			source ? offsetof(struct ip6_hdr, ip6_src)
			       : offsetof(struct ip6_hdr, ip6_dst),
			16);
	}
	lookup_set(b, m);
}

/* nft: ip6 daddr fe80::/10 */
static void match_linklocal(struct builder *b)
{
	static const uint8_t mask[16] = { 0xff, 0xc0 }, prefix[16] = { 0xfe, 0x80 };

	match_family(b, ADDR_V6);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_dst), 16);
	bitwise_and(b, mask, sizeof(mask));
	cmp(b, NFT_CMP_EQ, prefix, sizeof(prefix));
}

/* nft: fib daddr type local, fib saddr type != local */
static void match_local(struct builder *b, uint32_t address, bool negate)
{
	const uint32_t local = RTN_LOCAL;
	struct nftnl_expr *x = expr(b, "fib");

	set_u32(x, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	set_u32(x, NFTNL_EXPR_FIB_FLAGS, address);
	cmp(b, negate ? NFT_CMP_NEQ : NFT_CMP_EQ, &local, sizeof(local));
}

/*
 * nft: socket wildcard <= 1; 0 for a socket bound to the very address, 1 for one bound to any.
 * With no socket at all the expression ends the rule (net/netfilter/nft_socket.c).
 */
static void match_listener(struct builder *b)
{
	struct nftnl_expr *x = expr(b, "socket");

	set_u32(x, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_WILDCARD);
	set_u32(x, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
	cmp_u8(b, NFT_CMP_LTE, 1);
}

/* nft: socket transparent 1; also one in TIME_WAIT */
static void match_transparent(struct builder *b)
{
	struct nftnl_expr *x = expr(b, "socket");

	set_u32(x, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
	set_u32(x, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
	cmp_u8(b, NFT_CMP_EQ, 1);
}

static void ct(struct builder *b, enum nft_ct_keys key)
{
	struct nftnl_expr *x = expr(b, "ct");

	set_u32(x, NFTNL_EXPR_CT_KEY, key);
	set_u32(x, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

/* nft: ct state new, ct state invalid */
static void match_state(struct builder *b, uint32_t state)
{
	const uint32_t none = 0;

	ct(b, NFT_CT_STATE);
	bitwise_and(b, &state, sizeof(state));
	cmp(b, NFT_CMP_NEQ, &none, sizeof(none));
}

/* nft: ct direction reply */
static void match_reply(struct builder *b)
{
	ct(b, NFT_CT_DIRECTION);
	cmp_u8(b, NFT_CMP_EQ, IP_CT_DIR_REPLY);
}

/* nft: ct mark 0x736c */
static void match_ct_mark(struct builder *b, uint32_t mark)
{
	ct(b, NFT_CT_MARK);
	cmp(b, NFT_CMP_EQ, &mark, sizeof(mark));
}

/* nft: meta nfproto @alive */
static void match_alive(struct builder *b, bool negate)
{
	meta(b, NFT_META_NFPROTO);
	lookup(b, ENCODE_ALIVE, negate);
}

static void put_match(struct builder *b, const struct plan_match *m)
{
	switch (m->kind) {
	case PLAN_MATCH_UID:
		match_owner(b, m, NFT_META_SKUID);
		break;
	case PLAN_MATCH_GID:
		match_owner(b, m, NFT_META_SKGID);
		break;
	case PLAN_MATCH_OIF:
		match_iface(b, m, NFT_META_OIFNAME);
		break;
	case PLAN_MATCH_IIF:
		match_iface(b, m, NFT_META_IIFNAME);
		break;
	case PLAN_MATCH_FAMILY:
		match_family(b, (enum addr_family)m->value);
		break;
	case PLAN_MATCH_TCP:
		match_l4proto(b, IPPROTO_TCP);
		break;
	case PLAN_MATCH_SYN:
		match_syn(b);
		break;
	case PLAN_MATCH_TCP_DPORT:
		match_dport(b, m, IPPROTO_TCP);
		break;
	case PLAN_MATCH_UDP_DPORT:
		match_dport(b, m, IPPROTO_UDP);
		break;
	case PLAN_MATCH_SADDR:
	case PLAN_MATCH_DADDR:
		match_addr(b, m, m->kind == PLAN_MATCH_SADDR);
		break;
	case PLAN_MATCH_LINKLOCAL:
		match_linklocal(b);
		break;
	case PLAN_MATCH_LOCAL:
		match_local(b, NFTA_FIB_F_DADDR, m->negate);
		break;
	case PLAN_MATCH_LISTENER:
		match_listener(b);
		break;
	case PLAN_MATCH_ALIVE:
		match_alive(b, m->negate);
		break;
	case PLAN_MATCH_NEW:
		match_state(b, NF_CT_STATE_BIT(IP_CT_NEW));
		break;
	case PLAN_MATCH_INVALID:
		match_state(b, NF_CT_STATE_INVALID_BIT);
		break;
	case PLAN_MATCH_REPLY:
		match_reply(b);
		break;
	case PLAN_MATCH_CT_MARK:
		match_ct_mark(b, m->value);
		break;
	case PLAN_MATCH_FOREIGN:
		match_local(b, NFTA_FIB_F_SADDR, true);
		break;
	case PLAN_MATCH_TRANSPARENT:
		match_transparent(b);
		break;
	case PLAN_MATCH_COUNT:
		break;
	}
}

/* nft: update @alive { meta nfproto timeout 300ms } */
static void beat(struct builder *b, uint32_t timeout_ms)
{
	struct nftnl_expr *x;

	meta(b, NFT_META_NFPROTO);
	x = expr(b, "dynset");
	set_u32(x, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	set_str(b, x, NFTNL_EXPR_DYNSET_SET_NAME, ENCODE_ALIVE);
	if (x)
		nftnl_expr_set_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
}

/* The ports of @r in registers; returns that of the last one. */
static uint32_t ports(struct builder *b, const struct plan_rule *r)
{
	uint16_t min = htons(r->first), max = htons(r->last);

	immediate(b, NFT_REG_1, &min, sizeof(min));
	if (r->first == r->last)
		return NFT_REG_1;
	immediate(b, NFT_REG_2, &max, sizeof(max));
	return NFT_REG_2;
}

/* nft: redirect to :9001, redirect to :9001-9016 */
static void redirect(struct builder *b, const struct plan_rule *r)
{
	uint32_t last = ports(b, r);
	struct nftnl_expr *x = expr(b, "redir");

	set_u32(x, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_REDIR_REG_PROTO_MAX, last);
	set_u32(x, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
}

/* nft: dnat to :9211-9226 */
static void dnat(struct builder *b, const struct plan_rule *r)
{
	uint32_t last = ports(b, r);
	struct nftnl_expr *x = expr(b, "nat");

	set_u32(x, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
	set_u32(x, NFTNL_EXPR_NAT_FAMILY, NFPROTO_INET);
	set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG_1);
	set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MAX, last);
	set_u32(x, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
}

/* nft: tproxy to :9211 (of whichever family the packet has) */
static void tproxy(struct builder *b, uint16_t to)
{
	uint16_t port = htons(to);
	struct nftnl_expr *x;

	immediate(b, NFT_REG_1, &port, sizeof(port));
	x = expr(b, "tproxy");
	set_u32(x, NFTNL_EXPR_TPROXY_FAMILY, NFPROTO_UNSPEC);
	set_u32(x, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
}

/* nft: ct mark set 0x736c */
static void set_ct_mark(struct builder *b, uint32_t mark)
{
	struct nftnl_expr *x;

	immediate(b, NFT_REG_1, &mark, sizeof(mark));
	x = expr(b, "ct");
	set_u32(x, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	set_u32(x, NFTNL_EXPR_CT_SREG, NFT_REG_1);
}

/* nft: meta mark set 0x736d */
static void set_mark(struct builder *b, uint32_t mark)
{
	struct nftnl_expr *x;

	immediate(b, NFT_REG_1, &mark, sizeof(mark));
	x = expr(b, "meta");
	set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	set_u32(x, NFTNL_EXPR_META_SREG, NFT_REG_1);
}

/* nft: reject with icmpx port-unreachable */
static void reject(struct builder *b)
{
	struct nftnl_expr *x = expr(b, "reject");

	set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	if (x)
		nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
}

/* What a verdict does before the packet is counted. */
static void put_statements(struct builder *b, const struct plan_rule *r)
{
	if (r->verdict == PLAN_VERDICT_BEAT)
		beat(b, r->timeout_ms);
	if (r->verdict == PLAN_VERDICT_TPROXY)
		tproxy(b, r->first);
	if (r->verdict == PLAN_VERDICT_CT_MARK || (r->verdict == PLAN_VERDICT_TPROXY && r->mark))
		set_ct_mark(b, r->mark);
	if (r->verdict == PLAN_VERDICT_MARK)
		set_mark(b, r->mark);
}

static void put_verdict(struct builder *b, const struct plan_rule *r)
{
	put_statements(b, r);
	expr(b, "counter");
	switch (r->verdict) {
	case PLAN_VERDICT_RETURN:
		verdict(b, NFT_RETURN, NULL);
		break;
	case PLAN_VERDICT_JUMP:
		verdict(b, NFT_JUMP, plan_chain_name(r->chain));
		break;
	case PLAN_VERDICT_GOTO:
		verdict(b, NFT_GOTO, plan_chain_name(r->chain));
		break;
	case PLAN_VERDICT_REDIRECT:
		redirect(b, r);
		break;
	case PLAN_VERDICT_DNAT:
		dnat(b, r);
		break;
	case PLAN_VERDICT_BEAT:
	case PLAN_VERDICT_DROP:
		verdict(b, NF_DROP, NULL);
		break;
	case PLAN_VERDICT_REJECT:
		reject(b);
		break;
	case PLAN_VERDICT_TPROXY:
	case PLAN_VERDICT_CT_MARK:
	case PLAN_VERDICT_MARK:
		verdict(b, NF_ACCEPT, NULL);
		break;
	case PLAN_VERDICT_COUNT:
		break;
	}
}

bool encode_expr(const struct plan_rule *r, uint32_t generation, struct nftnl_rule *rule)
{
	struct builder b = { .rule = rule, .generation = generation };

	for (unsigned i = 0; i < r->match_count; i++)
		put_match(&b, &r->matches[i]);
	put_verdict(&b, r);
	return !b.failed;
}
