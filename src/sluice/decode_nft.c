// SPDX-License-Identifier: GPL-2.0-or-later
/* nftables expressions as text: see decode_nft.h. */
#include "decode_nft.h"

#include "addr.h"
#include "ruleset.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdarg.h>

/* Longer rules than ours are rare; the rest of one is left out, and said to be. */
#define EXPRS_MAX 64

#define REGISTERS 4

/*
 * Theory of Operation: a match is a load into register 1, whatever changes it there, and a cmp or a
 * lookup; a statement may have constants loaded first. Each reader looks at the expressions from
 * `at` on; where it knows what they mean together, it puts that and steps over them.
 */
struct reader {
	char *text;
	size_t len;
	bool exact;
	struct nftnl_expr *x[EXPRS_MAX];
	unsigned count, at;
	uint8_t family, l4proto;       /* that the packet must have, as far as was read; 0: any */
	uint16_t ports[REGISTERS + 1]; /* constants, in network order */
};

static void put(struct reader *r, const char *fmt, ...) _printf_(2, 3);

static void put(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, DECODE_NFT_LINE_MAX - r->len, fmt, ap);
	va_end(ap);
	r->len = MIN(r->len + (size_t)n, (size_t)DECODE_NFT_LINE_MAX - 1);
}

/* The expression @ahead of this one, if it is a @name; NULL: not. */
static struct nftnl_expr *ahead(const struct reader *r, unsigned ahead, const char *name)
{
	struct nftnl_expr *x = r->at + ahead < r->count ? r->x[r->at + ahead] : NULL;

	return x && strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), name) == 0 ? x : NULL;
}

static uint32_t get(const struct nftnl_expr *x, uint16_t attr)
{
	return nftnl_expr_is_set(x, attr) ? nftnl_expr_get_u32(x, attr) : 0;
}

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
		if (payloads[i].base == get(x, NFTNL_EXPR_PAYLOAD_BASE) &&
		    payloads[i].offset == get(x, NFTNL_EXPR_PAYLOAD_OFFSET) &&
		    payloads[i].len == get(x, NFTNL_EXPR_PAYLOAD_LEN) &&
		    (!payloads[i].family || payloads[i].family == family) &&
		    (!payloads[i].l4proto || payloads[i].l4proto == l4proto))
			return &payloads[i].field;
	}
	return NULL;
}

/* What is loaded into register 1 here, or NULL. */
static const struct field *loaded(const struct reader *r)
{
	const struct nftnl_expr *x;

	if ((x = ahead(r, 0, "meta")) && get(x, NFTNL_EXPR_META_DREG) == NFT_REG_1)
		return find_key(metas, ARRAY_SIZE(metas), get(x, NFTNL_EXPR_META_KEY));
	if ((x = ahead(r, 0, "ct")) && get(x, NFTNL_EXPR_CT_DREG) == NFT_REG_1)
		return find_key(cts, ARRAY_SIZE(cts), get(x, NFTNL_EXPR_CT_KEY));
	if ((x = ahead(r, 0, "socket")) && get(x, NFTNL_EXPR_SOCKET_DREG) == NFT_REG_1)
		return find_key(sockets, ARRAY_SIZE(sockets), get(x, NFTNL_EXPR_SOCKET_KEY));
	if ((x = ahead(r, 0, "fib")) && get(x, NFTNL_EXPR_FIB_DREG) == NFT_REG_1 &&
	    get(x, NFTNL_EXPR_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE)
		return find_key(fibs, ARRAY_SIZE(fibs), get(x, NFTNL_EXPR_FIB_FLAGS));
	if ((x = ahead(r, 0, "payload")) && get(x, NFTNL_EXPR_PAYLOAD_DREG) == NFT_REG_1)
		return payload_field(x, r->family, r->l4proto);
	return NULL;
}

/* A value, and the mask that the field is brought under before; NULL: none. */
struct operand {
	enum nft_cmp_ops op;
	const uint8_t *value, *mask;
	size_t len;
};

static uint32_t u32_of(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

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

static bool put_address(struct reader *r, const struct field *f, const struct operand *o)
{
	struct addr a = { .family = f->kind == KIND_ADDR4 ? ADDR_V4 : ADDR_V6 };
	int prefix = o->mask ? prefix_of(o->mask, f->len) : -1;
	char text[ADDR_TEXT_MAX];

	if (o->mask && prefix < 0)
		return false;
	memcpy(a.bytes, o->value, f->len);
	put(r, "%s %s%s", f->name, op_text(o->op), addr_text(&a, text));
	if (o->mask)
		put(r, "/%d", prefix);
	put(r, " ");
	return true;
}

static bool put_iface(struct reader *r, const struct field *f, const struct operand *o)
{
	size_t len = strnlen((const char *)o->value, o->len);

	if (o->mask)
		return false;
	put(r, "%s %s\"%.*s%s\" ", f->name, op_text(o->op), (int)len, (const char *)o->value,
	    len == o->len ? "*" : "");
	return true;
}

/* nft: ct state new: one of its bits is set */
static bool put_state(struct reader *r, const struct field *f, const struct operand *o)
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
	uint32_t rest = o->mask ? u32_of(o->mask) : 0;

	if (!rest || u32_of(o->value) || o->op != NFT_CMP_NEQ || (rest & ~(uint32_t)0x4f))
		return false;
	put(r, "%s", f->name);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (rest & states[i].bit) {
			put(r, "%s%s", separator, states[i].name);
			separator = ",";
		}
	}
	put(r, " ");
	return true;
}

static void put_flag_names(struct reader *r, uint8_t flags)
{
	static const char *const names[] = {
		"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"
	};
	const char *separator = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (flags & 1u << i) {
			put(r, "%s%s", separator, names[i]);
			separator = " | ";
		}
	}
	if (!flags)
		put(r, "0x0");
}

/* nft: tcp flags & (fin | syn | rst | ack) == syn */
static bool put_flags(struct reader *r, const struct field *f, const struct operand *o)
{
	if (!o->mask || (o->op != NFT_CMP_EQ && o->op != NFT_CMP_NEQ))
		return false;
	put(r, "%s & (", f->name);
	put_flag_names(r, *o->mask);
	put(r, ") %s ", o->op == NFT_CMP_EQ ? "==" : "!=");
	put_flag_names(r, *o->value);
	put(r, " ");
	return true;
}

/* A value that has a name, or its number. */
static void put_named(struct reader *r, uint32_t value, const struct key *names, size_t count)
{
	const struct field *known = find_key(names, count, value);

	if (known)
		put(r, "%s ", known->name);
	else
		put(r, "%u ", value);
}

static bool put_plain(struct reader *r, const struct field *f, const struct operand *o)
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
	put(r, "%s %s", f->name, op_text(o->op));
	if (f->kind == KIND_ID)
		put(r, "%u ", u32_of(o->value));
	else if (f->kind == KIND_HEX)
		put(r, "0x%x ", u32_of(o->value));
	else if (f->kind == KIND_PORT)
		put(r, "%u ", o->value[0] << 8 | o->value[1]);
	else if (f->kind == KIND_NFPROTO)
		put_named(r, *o->value, nfprotos, ARRAY_SIZE(nfprotos));
	else if (f->kind == KIND_L4PROTO)
		put_named(r, *o->value, l4protos, ARRAY_SIZE(l4protos));
	else if (f->kind == KIND_ADDRTYPE)
		put_named(r, u32_of(o->value), types, ARRAY_SIZE(types));
	else if (f->kind == KIND_WAY)
		put_named(r, *o->value, ways, ARRAY_SIZE(ways));
	else
		put(r, "%u ", *o->value);
	return true;
}

static bool put_comparison(struct reader *r, const struct field *f, const struct operand *o)
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
static bool implied(struct reader *r, const struct field *f, const struct operand *o)
{
	uint8_t family = f->kind == KIND_NFPROTO ? *o->value : r->family;
	uint8_t l4proto = f->kind == KIND_L4PROTO ? *o->value : r->l4proto;
	const struct nftnl_expr *next = ahead(r, 2, "payload");
	const struct field *of;

	if ((f->kind != KIND_NFPROTO && f->kind != KIND_L4PROTO) || o->op != NFT_CMP_EQ || o->mask)
		return false;
	of = next ? payload_field(next, family, l4proto) : NULL;
	r->family = family;
	r->l4proto = l4proto;
	return of &&
	       (f->kind == KIND_NFPROTO) == (of->kind == KIND_ADDR4 || of->kind == KIND_ADDR6);
}

static void put_set(struct reader *r, const char *name)
{
	size_t len = strlen(name);

	if (!r->exact)
		ruleset_set_generation(name, &len);
	put(r, "@%.*s", (int)len, name);
}

/* The bytes of an attribute when there are @len of them, or up to as many where @less. */
static const uint8_t *bytes_of(const struct nftnl_expr *x, uint16_t attr, size_t len, bool less,
			       size_t *has)
{
	uint32_t size = 0;
	const uint8_t *data = nftnl_expr_is_set(x, attr) ? nftnl_expr_get(x, attr, &size) : NULL;

	*has = size;
	return data && (size == len || (less && size && size < len)) ? data : NULL;
}

/* The mask of a bitwise that only takes away bits, or NULL. */
static const uint8_t *mask_of(const struct nftnl_expr *x, size_t len)
{
	static const uint8_t zero[16];
	const uint8_t *mask, *other;
	size_t has;

	if (get(x, NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL || len > sizeof(zero))
		return NULL;
	mask = bytes_of(x, NFTNL_EXPR_BITWISE_MASK, len, false, &has);
	other = bytes_of(x, NFTNL_EXPR_BITWISE_XOR, len, false, &has);
	return mask && other && memcmp(other, zero, len) == 0 ? mask : NULL;
}

static bool read_match(struct reader *r)
{
	const struct field *f = loaded(r);
	struct operand o = { .mask = NULL };
	const struct nftnl_expr *x;
	unsigned used = 1;

	if (!f)
		return false;
	if ((x = ahead(r, used, "bitwise"))) {
		o.mask = mask_of(x, f->len);
		if (!o.mask)
			return false;
		used++;
	} else if (f->kind == KIND_ID && ahead(r, used, "byteorder")) {
		used++; /* the keys of sets are in network order */
	}
	if ((x = ahead(r, used, "lookup")) && !o.mask) {
		put(r, "%s %s", f->name,
		    get(x, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV ? "!= " : "");
		put_set(r, nftnl_expr_get_str(x, NFTNL_EXPR_LOOKUP_SET));
		put(r, " ");
	} else if ((x = ahead(r, used, "cmp"))) {
		o.op = get(x, NFTNL_EXPR_CMP_OP);
		o.value = bytes_of(x, NFTNL_EXPR_CMP_DATA, f->len, f->kind == KIND_IFACE, &o.len);
		if (!o.value || (!implied(r, f, &o) && !put_comparison(r, f, &o)))
			return false;
	} else {
		return false;
	}
	r->at += used + 1;
	return true;
}

static bool put_code(struct reader *r, const struct nftnl_expr *x)
{
	const char *chain = nftnl_expr_get_str(x, NFTNL_EXPR_IMM_CHAIN);
	int code = (int)get(x, NFTNL_EXPR_IMM_VERDICT);

	switch (code) {
	case NF_ACCEPT:
		put(r, "accept ");
		return true;
	case NF_DROP:
		put(r, "drop ");
		return true;
	case NFT_RETURN:
		put(r, "return ");
		return true;
	case NFT_JUMP:
	case NFT_GOTO:
		put(r, "%s %s ", code == NFT_JUMP ? "jump" : "goto", chain ? chain : "?");
		return true;
	default:
		return false;
	}
}

/* nft: ct mark set 0x736c, meta mark set 0x736d: a constant, and where it goes */
static bool read_mark(struct reader *r, const uint8_t *mark)
{
	const struct nftnl_expr *x;

	if ((x = ahead(r, 1, "ct")) && get(x, NFTNL_EXPR_CT_SREG) == NFT_REG_1 &&
	    get(x, NFTNL_EXPR_CT_KEY) == NFT_CT_MARK)
		put(r, "ct mark set 0x%x ", u32_of(mark));
	else if ((x = ahead(r, 1, "meta")) && get(x, NFTNL_EXPR_META_SREG) == NFT_REG_1 &&
		 get(x, NFTNL_EXPR_META_KEY) == NFT_META_MARK)
		put(r, "meta mark set 0x%x ", u32_of(mark));
	else
		return false;
	r->at += 2;
	return true;
}

/* ":9001", or ":9211-9226", of the registers that an expression names. */
static void put_ports(struct reader *r, const char *what, uint32_t first, uint32_t last)
{
	put(r, "%s to :%u", what, ntohs(r->ports[first]));
	if (last != first && r->ports[last] != r->ports[first])
		put(r, "-%u", ntohs(r->ports[last]));
	put(r, " ");
}

/* Ports in registers, and what leads to them. */
static bool read_redirect(struct reader *r)
{
	unsigned used = 0;
	const struct nftnl_expr *x;
	const char *what;
	uint32_t first, last;

	while ((x = ahead(r, used, "immediate")) && used < REGISTERS) {
		uint32_t reg = get(x, NFTNL_EXPR_IMM_DREG);
		const void *port;
		size_t len;

		port = bytes_of(x, NFTNL_EXPR_IMM_DATA, sizeof(uint16_t), false, &len);
		if (!port || reg == NFT_REG_VERDICT || reg > REGISTERS)
			return false;
		memcpy(&r->ports[reg], port, sizeof(uint16_t));
		used++;
	}
	if ((x = ahead(r, used, "redir"))) {
		what = "redirect";
		first = get(x, NFTNL_EXPR_REDIR_REG_PROTO_MIN);
		last = get(x, NFTNL_EXPR_REDIR_REG_PROTO_MAX);
	} else if ((x = ahead(r, used, "tproxy"))) {
		what = "tproxy";
		first = last = get(x, NFTNL_EXPR_TPROXY_REG_PORT);
		if (get(x, NFTNL_EXPR_TPROXY_REG_ADDR))
			return false;
	} else if ((x = ahead(r, used, "nat")) && get(x, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT &&
		   !get(x, NFTNL_EXPR_NAT_REG_ADDR_MIN)) {
		what = "dnat";
		first = get(x, NFTNL_EXPR_NAT_REG_PROTO_MIN);
		last = get(x, NFTNL_EXPR_NAT_REG_PROTO_MAX);
	} else {
		return false;
	}
	if (!used || !first || first > REGISTERS || last > REGISTERS)
		return false;
	put_ports(r, what, first, last ? last : first);
	r->at += used + 1;
	return true;
}

/* Constants and verdicts. */
static bool read_immediate(struct reader *r)
{
	const struct nftnl_expr *x = ahead(r, 0, "immediate");
	const uint8_t *mark;
	size_t len;

	if (!x)
		return false;
	if (get(x, NFTNL_EXPR_IMM_DREG) == NFT_REG_VERDICT) {
		if (!put_code(r, x))
			return false;
		r->at++;
		return true;
	}
	mark = bytes_of(x, NFTNL_EXPR_IMM_DATA, sizeof(uint32_t), false, &len);
	if (mark && get(x, NFTNL_EXPR_IMM_DREG) == NFT_REG_1)
		return read_mark(r, mark);
	return read_redirect(r);
}

/* nft: update @alive { meta nfproto timeout 300ms } */
static bool read_update(struct reader *r)
{
	const struct nftnl_expr *meta = ahead(r, 0, "meta"), *x = ahead(r, 1, "dynset");

	if (!meta || !x || get(meta, NFTNL_EXPR_META_KEY) != NFT_META_NFPROTO ||
	    get(x, NFTNL_EXPR_DYNSET_OP) != NFT_DYNSET_OP_UPDATE)
		return false;
	put(r, "update ");
	put_set(r, nftnl_expr_get_str(x, NFTNL_EXPR_DYNSET_SET_NAME));
	put(r, " { meta nfproto ");
	if (nftnl_expr_is_set(x, NFTNL_EXPR_DYNSET_TIMEOUT))
		put(r, "timeout %" PRIu64 "ms ", nftnl_expr_get_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT));
	put(r, "} ");
	r->at += 2;
	return true;
}

static bool read_other(struct reader *r)
{
	const struct nftnl_expr *x;

	if (ahead(r, 0, "counter")) {
		if (r->exact)
			put(r, "counter ");
	} else if ((x = ahead(r, 0, "reject")) &&
		   get(x, NFTNL_EXPR_REJECT_TYPE) == NFT_REJECT_ICMPX_UNREACH &&
		   nftnl_expr_get_u8(x, NFTNL_EXPR_REJECT_CODE) == NFT_REJECT_ICMPX_PORT_UNREACH) {
		put(r, "reject with icmpx port-unreachable ");
	} else {
		return false;
	}
	r->at++;
	return true;
}

static void read_unknown(struct reader *r)
{
	struct nftnl_expr *x = r->x[r->at++];
	char body[256] = "";

	nftnl_expr_snprintf(body, sizeof(body), x, NFTNL_OUTPUT_DEFAULT, 0);
	put(r, "[ %s %s] ", nftnl_expr_get_str(x, NFTNL_EXPR_NAME), body);
}

const char *decode_nft(const struct nftnl_rule *rule, bool exact, char line[DECODE_NFT_LINE_MAX])
{
	struct nftnl_expr_iter *i = nftnl_expr_iter_create(rule);
	struct reader r = { .text = line, .exact = exact };
	struct nftnl_expr *x;
	bool more = false;

	line[0] = '\0';
	while (i && (x = nftnl_expr_iter_next(i))) {
		if (r.count < EXPRS_MAX)
			r.x[r.count++] = x;
		else
			more = true;
	}
	while (r.at < r.count) {
		size_t len = r.len;

		if (read_match(&r) || read_update(&r) || read_immediate(&r) || read_other(&r))
			continue;
		line[r.len = len] = '\0';
		read_unknown(&r);
	}
	if (more)
		put(&r, "... ");
	if (r.len)
		line[r.len - 1] = '\0';
	if (i)
		nftnl_expr_iter_destroy(i);
	return line;
}
