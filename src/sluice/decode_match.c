// SPDX-License-Identifier: GPL-2.0-or-later
/* Matches of nftables as text: what a rule loads and compares. See decode_reader.h. */
#include "decode_reader.h"

#include "addr.h"

#include <libnftnl/expr.h>

#include <netinet/in.h>

#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

/* How the value of a field is written. */
enum kind {
	KIND_ID,       /* u32 */
	KIND_HEX,      /* u32 */
	KIND_BYTE,     /* u8 */
	KIND_PORT,     /* u16, network order */
	KIND_ADDR4,    /* network order */
	KIND_ADDR6,    /* likewise */
	KIND_IFACE,    /* text, or the beginning of one */
	KIND_NFPROTO,  /* u8 */
	KIND_L4PROTO,  /* u8 */
	KIND_ADDRTYPE, /* u32 */
	KIND_STATE,    /* u32, bits */
	KIND_WAY,      /* u8 */
	KIND_FLAGS,    /* u8, bits */
};

struct field {
	const char *name;
	enum kind kind;
	size_t len; /* of the value, in bytes; of an interface's name, at most */
};

/* What an expression loads; the key as its own attribute has it. */
struct key {
	uint32_t key;
	struct field field;
};

static const struct key metas[] = {
	{ NFT_META_SKUID, { "meta skuid", KIND_ID, 4 } },
	{ NFT_META_SKGID, { "meta skgid", KIND_ID, 4 } },
	{ NFT_META_OIFNAME, { "oifname", KIND_IFACE, IFNAMSIZ } },
	{ NFT_META_IIFNAME, { "iifname", KIND_IFACE, IFNAMSIZ } },
	{ NFT_META_NFPROTO, { "meta nfproto", KIND_NFPROTO, 1 } },
	{ NFT_META_L4PROTO, { "meta l4proto", KIND_L4PROTO, 1 } },
	{ NFT_META_MARK, { "meta mark", KIND_HEX, 4 } },
};

static const struct key cts[] = {
	{ NFT_CT_STATE, { "ct state", KIND_STATE, 4 } },
	{ NFT_CT_DIRECTION, { "ct direction", KIND_WAY, 1 } },
	{ NFT_CT_MARK, { "ct mark", KIND_HEX, 4 } },
};

static const struct key sockets[] = {
	{ NFT_SOCKET_WILDCARD, { "socket wildcard", KIND_BYTE, 1 } },
	{ NFT_SOCKET_TRANSPARENT, { "socket transparent", KIND_BYTE, 1 } },
	{ NFT_SOCKET_MARK, { "socket mark", KIND_HEX, 4 } },
};

static const struct key fibs[] = {
	{ NFTA_FIB_F_DADDR, { "fib daddr type", KIND_ADDRTYPE, 4 } },
	{ NFTA_FIB_F_SADDR, { "fib saddr type", KIND_ADDRTYPE, 4 } },
};

static const struct {
	uint8_t base, offset, len, family, l4proto; /* 0: any of them, or none */
	struct field field;
} payloads[] = {
	{ NFT_PAYLOAD_NETWORK_HEADER, 12, 4, NFPROTO_IPV4, 0, { "ip saddr", KIND_ADDR4, 4 } },
	{ NFT_PAYLOAD_NETWORK_HEADER, 16, 4, NFPROTO_IPV4, 0, { "ip daddr", KIND_ADDR4, 4 } },
	{ NFT_PAYLOAD_NETWORK_HEADER, 8, 16, NFPROTO_IPV6, 0, { "ip6 saddr", KIND_ADDR6, 16 } },
	{ NFT_PAYLOAD_NETWORK_HEADER, 24, 16, NFPROTO_IPV6, 0, { "ip6 daddr", KIND_ADDR6, 16 } },
	{ NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, 0, IPPROTO_TCP, { "tcp sport", KIND_PORT, 2 } },
	{ NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 0, IPPROTO_TCP, { "tcp dport", KIND_PORT, 2 } },
	{ NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, 0, IPPROTO_UDP, { "udp sport", KIND_PORT, 2 } },
	{ NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 0, IPPROTO_UDP, { "udp dport", KIND_PORT, 2 } },
	{ NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, 0, IPPROTO_TCP, { "tcp flags", KIND_FLAGS, 1 } },
};

static const struct field *find_key(const struct key *keys, size_t count, uint32_t key)
{
	for (size_t i = 0; i < count; i++) {
		if (keys[i].key == key)
			return &keys[i].field;
	}
	return NULL;
}

/* What a payload expression reads, given the protocols that the packet has. */
static const struct field *payload_field(const struct nftnl_expr *x, uint8_t family,
					 uint8_t l4proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
		if (payloads[i].base == decode_get(x, NFTNL_EXPR_PAYLOAD_BASE) &&
		    payloads[i].offset == decode_get(x, NFTNL_EXPR_PAYLOAD_OFFSET) &&
		    payloads[i].len == decode_get(x, NFTNL_EXPR_PAYLOAD_LEN) &&
		    (!payloads[i].family || payloads[i].family == family) &&
		    (!payloads[i].l4proto || payloads[i].l4proto == l4proto))
			return &payloads[i].field;
	}
	return NULL;
}

/* What is loaded into register 1 here, or NULL. */
static const struct field *loaded(const struct decode_reader *r)
{
	const struct nftnl_expr *x;

	if ((x = decode_ahead(r, 0, "meta")) && decode_get(x, NFTNL_EXPR_META_DREG) == NFT_REG_1)
		return find_key(metas, ARRAY_SIZE(metas), decode_get(x, NFTNL_EXPR_META_KEY));
	if ((x = decode_ahead(r, 0, "ct")) && decode_get(x, NFTNL_EXPR_CT_DREG) == NFT_REG_1)
		return find_key(cts, ARRAY_SIZE(cts), decode_get(x, NFTNL_EXPR_CT_KEY));
	if ((x = decode_ahead(r, 0, "socket")) &&
	    decode_get(x, NFTNL_EXPR_SOCKET_DREG) == NFT_REG_1)
		return find_key(sockets, ARRAY_SIZE(sockets), decode_get(x, NFTNL_EXPR_SOCKET_KEY));
	if ((x = decode_ahead(r, 0, "fib")) && decode_get(x, NFTNL_EXPR_FIB_DREG) == NFT_REG_1 &&
	    decode_get(x, NFTNL_EXPR_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE)
		return find_key(fibs, ARRAY_SIZE(fibs), decode_get(x, NFTNL_EXPR_FIB_FLAGS));
	if ((x = decode_ahead(r, 0, "payload")) &&
	    decode_get(x, NFTNL_EXPR_PAYLOAD_DREG) == NFT_REG_1)
		return payload_field(x, r->family, r->l4proto);
	return NULL;
}

/* A value, and the mask that the field is brought under before; NULL: none. */
struct operand {
	enum nft_cmp_ops op;
	const uint8_t *value, *mask;
	size_t len;
};

static const char *op_text(enum nft_cmp_ops op)
{
	static const char *const texts[] = {
		[NFT_CMP_EQ] = "",     [NFT_CMP_NEQ] = "!= ", [NFT_CMP_LT] = "< ",
		[NFT_CMP_LTE] = "<= ", [NFT_CMP_GT] = "> ",   [NFT_CMP_GTE] = ">= ",
	};

	return op < ARRAY_SIZE(texts) ? texts[op] : "? ";
}

/* How many bits a mask begins with; -1: there are others behind them. */
static int prefix_of(const uint8_t *mask, size_t len)
{
	struct addr_range range = { .first = { 0 } };
	uint8_t prefix;

	for (size_t i = 0; i < len; i++)
		range.last[i] = (uint8_t)~mask[i];
	return addr_range_is_cidr(&range, len == 4 ? ADDR_V4 : ADDR_V6, &prefix) ? prefix : -1;
}

static bool put_address(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	struct addr a = { .family = f->kind == KIND_ADDR4 ? ADDR_V4 : ADDR_V6 };
	int prefix = o->mask ? prefix_of(o->mask, f->len) : -1;
	char text[ADDR_TEXT_MAX];

	if (o->mask && prefix < 0)
		return false;
	memcpy(a.bytes, o->value, f->len);
	decode_put(r, "%s %s%s", f->name, op_text(o->op), addr_text(&a, text));
	if (o->mask)
		decode_put(r, "/%d", prefix);
	decode_put(r, " ");
	return true;
}

static bool put_iface(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	size_t len = strnlen((const char *)o->value, o->len);

	if (o->mask)
		return false;
	decode_put(r, "%s %s\"%.*s%s\" ", f->name, op_text(o->op), (int)len, (const char *)o->value,
		   len == o->len ? "*" : "");
	return true;
}

/* nft: ct state new: one of its bits is set */
static bool put_state(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} states[] = {
		{ NF_CT_STATE_INVALID_BIT, "invalid" },
		{ NF_CT_STATE_BIT(IP_CT_ESTABLISHED), "established" },
		{ NF_CT_STATE_BIT(IP_CT_RELATED), "related" },
		{ NF_CT_STATE_BIT(IP_CT_NEW), "new" },
		{ NF_CT_STATE_UNTRACKED_BIT, "untracked" },
	};
	const char *separator = " ";
	uint32_t rest = o->mask ? decode_u32(o->mask) : 0;

	if (!rest || decode_u32(o->value) || o->op != NFT_CMP_NEQ || (rest & ~(uint32_t)0x4f))
		return false;
	decode_put(r, "%s", f->name);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (rest & states[i].bit) {
			decode_put(r, "%s%s", separator, states[i].name);
			separator = ",";
		}
	}
	decode_put(r, " ");
	return true;
}

static void put_flag_names(struct decode_reader *r, uint8_t flags)
{
	static const char *const names[] = {
		"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"
	};
	const char *separator = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (flags & 1u << i) {
			decode_put(r, "%s%s", separator, names[i]);
			separator = " | ";
		}
	}
	if (!flags)
		decode_put(r, "0x0");
}

/* nft: tcp flags & (fin | syn | rst | ack) == syn */
static bool put_flags(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	if (!o->mask || (o->op != NFT_CMP_EQ && o->op != NFT_CMP_NEQ))
		return false;
	decode_put(r, "%s & (", f->name);
	put_flag_names(r, *o->mask);
	decode_put(r, ") %s ", o->op == NFT_CMP_EQ ? "==" : "!=");
	put_flag_names(r, *o->value);
	decode_put(r, " ");
	return true;
}

/* A value that has a name, or its number. */
static void put_named(struct decode_reader *r, uint32_t value, const struct key *names,
		      size_t count)
{
	const struct field *known = find_key(names, count, value);

	if (known)
		decode_put(r, "%s ", known->name);
	else
		decode_put(r, "%u ", value);
}

static bool put_plain(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	static const struct key nfprotos[] = { { NFPROTO_IPV4, { .name = "ipv4" } },
					       { NFPROTO_IPV6, { .name = "ipv6" } } };
	static const struct key l4protos[] = { { IPPROTO_TCP, { .name = "tcp" } },
					       { IPPROTO_UDP, { .name = "udp" } } };
	static const struct key types[] = { { RTN_UNICAST, { .name = "unicast" } },
					    { RTN_LOCAL, { .name = "local" } },
					    { RTN_BROADCAST, { .name = "broadcast" } },
					    { RTN_MULTICAST, { .name = "multicast" } } };
	static const struct key ways[] = { { IP_CT_DIR_ORIGINAL, { .name = "original" } },
					   { IP_CT_DIR_REPLY, { .name = "reply" } } };

	if (o->mask)
		return false;
	decode_put(r, "%s %s", f->name, op_text(o->op));
	if (f->kind == KIND_ID)
		decode_put(r, "%u ", decode_u32(o->value));
	else if (f->kind == KIND_HEX)
		decode_put(r, "0x%x ", decode_u32(o->value));
	else if (f->kind == KIND_PORT)
		decode_put(r, "%u ", o->value[0] << 8 | o->value[1]);
	else if (f->kind == KIND_NFPROTO)
		put_named(r, *o->value, nfprotos, ARRAY_SIZE(nfprotos));
	else if (f->kind == KIND_L4PROTO)
		put_named(r, *o->value, l4protos, ARRAY_SIZE(l4protos));
	else if (f->kind == KIND_ADDRTYPE)
		put_named(r, decode_u32(o->value), types, ARRAY_SIZE(types));
	else if (f->kind == KIND_WAY)
		put_named(r, *o->value, ways, ARRAY_SIZE(ways));
	else
		decode_put(r, "%u ", *o->value);
	return true;
}

static bool put_comparison(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	switch (f->kind) {
	case KIND_ADDR4:
	case KIND_ADDR6:
		return put_address(r, f, o);
	case KIND_IFACE:
		return put_iface(r, f, o);
	case KIND_STATE:
		return put_state(r, f, o);
	case KIND_FLAGS:
		return put_flags(r, f, o);
	default:
		return put_plain(r, f, o);
	}
}

/* Whether a protocol that is asked for goes without saying: the next field is of its header. */
static bool implied(struct decode_reader *r, const struct field *f, const struct operand *o)
{
	uint8_t family = f->kind == KIND_NFPROTO ? *o->value : r->family;
	uint8_t l4proto = f->kind == KIND_L4PROTO ? *o->value : r->l4proto;
	const struct nftnl_expr *next = decode_ahead(r, 2, "payload");
	const struct field *of;

	if ((f->kind != KIND_NFPROTO && f->kind != KIND_L4PROTO) || o->op != NFT_CMP_EQ || o->mask)
		return false;
	of = next ? payload_field(next, family, l4proto) : NULL;
	r->family = family;
	r->l4proto = l4proto;
	return of &&
	       (f->kind == KIND_NFPROTO) == (of->kind == KIND_ADDR4 || of->kind == KIND_ADDR6);
}

/* The mask of a bitwise that only takes away bits, or NULL. */
static const uint8_t *mask_of(const struct nftnl_expr *x, size_t len)
{
	static const uint8_t zero[16];
	const uint8_t *mask, *other;
	size_t has;

	if (decode_get(x, NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL || len > sizeof(zero))
		return NULL;
	mask = decode_bytes(x, NFTNL_EXPR_BITWISE_MASK, len, false, &has);
	other = decode_bytes(x, NFTNL_EXPR_BITWISE_XOR, len, false, &has);
	return mask && other && memcmp(other, zero, len) == 0 ? mask : NULL;
}

bool decode_match(struct decode_reader *r)
{
	const struct field *f = loaded(r);
	struct operand o = { .mask = NULL };
	const struct nftnl_expr *x;
	unsigned used = 1;

	if (!f)
		return false;
	if ((x = decode_ahead(r, used, "bitwise"))) {
		o.mask = mask_of(x, f->len);
		if (!o.mask)
			return false;
		used++;
	} else if (f->kind == KIND_ID && decode_ahead(r, used, "byteorder")) {
		used++; /* the keys of sets are in network order */
	}
	if ((x = decode_ahead(r, used, "lookup")) && !o.mask) {
		decode_put(r, "%s %s", f->name,
			   decode_get(x, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV ? "!= " : "");
		decode_put_set(r, nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET));
		decode_put(r, " ");
	} else if ((x = decode_ahead(r, used, "cmp"))) {
		o.op = decode_get(x, NFTNL_EXPR_CMP_OP);
		o.value =
			decode_bytes(x, NFTNL_EXPR_CMP_DATA, f->len, f->kind == KIND_IFACE, &o.len);
		if (!o.value || (!implied(r, f, &o) && !put_comparison(r, f, &o)))
			return false;
	} else {
		return false;
	}
	r->at += used + 1;
	return true;
}
