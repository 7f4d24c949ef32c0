// SPDX-License-Identifier: GPL-2.0-or-later
/* nftables expressions as text: see decode_nft.h. Matches are in decode_match.c. */
#include "decode_nft.h"

#include "decode_reader.h"
#include "ruleset.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>

void decode_put(struct decode_reader *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, DECODE_NFT_LINE_MAX - r->len, fmt, ap);
	va_end(ap);
	r->len = MIN(r->len + (size_t)n, (size_t)DECODE_NFT_LINE_MAX - 1);
}

struct nftnl_expr *decode_ahead(const struct decode_reader *r, unsigned ahead, const char *name)
{
	struct nftnl_expr *x = r->at + ahead < r->count ? r->x[r->at + ahead] : NULL;

	return x && strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), name) == 0 ? x : NULL;
}

uint32_t decode_get(const struct nftnl_expr *x, uint16_t attr)
{
	return nftnl_expr_is_set(x, attr) ? nftnl_expr_get_u32(x, attr) : 0;
}

uint32_t decode_u32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

const uint8_t *decode_bytes(const struct nftnl_expr *x, uint16_t attr, size_t len, bool less,
			    size_t *has)
{
	uint32_t size = 0;
	const uint8_t *data = nftnl_expr_is_set(x, attr) ? nftnl_expr_get(x, attr, &size) : NULL;

	*has = size;
	return data && (size == len || (less && size && size < len)) ? data : NULL;
}

void decode_put_set(struct decode_reader *r, const char *name)
{
	size_t len = strlen(name);

	if (!r->exact)
		ruleset_set_generation(name, &len);
	decode_put(r, "@%.*s", (int)len, name);
}

static bool put_code(struct decode_reader *r, const struct nftnl_expr *x)
{
	const char *chain = nftnl_expr_get_str(x, NFTNL_EXPR_IMM_CHAIN);
	int code = (int)decode_get(x, NFTNL_EXPR_IMM_VERDICT);

	switch (code) {
	case NF_ACCEPT:
		decode_put(r, "accept ");
		return true;
	case NF_DROP:
		decode_put(r, "drop ");
		return true;
	case NFT_RETURN:
		decode_put(r, "return ");
		return true;
	case NFT_JUMP:
	case NFT_GOTO:
		decode_put(r, "%s %s ", code == NFT_JUMP ? "jump" : "goto", chain ? chain : "?");
		return true;
	default:
		return false;
	}
}

/* nft: ct mark set 0x736c, meta mark set 0x736d: a constant, and where it goes */
static bool read_mark(struct decode_reader *r, const uint8_t *mark)
{
	const struct nftnl_expr *x;

	if ((x = decode_ahead(r, 1, "ct")) && decode_get(x, NFTNL_EXPR_CT_SREG) == NFT_REG_1 &&
	    decode_get(x, NFTNL_EXPR_CT_KEY) == NFT_CT_MARK)
		decode_put(r, "ct mark set 0x%x ", decode_u32(mark));
	else if ((x = decode_ahead(r, 1, "meta")) &&
		 decode_get(x, NFTNL_EXPR_META_SREG) == NFT_REG_1 &&
		 decode_get(x, NFTNL_EXPR_META_KEY) == NFT_META_MARK)
		decode_put(r, "meta mark set 0x%x ", decode_u32(mark));
	else
		return false;
	r->at += 2;
	return true;
}

/* ":9001", or ":9211-9226", of the registers that an expression names. */
static void put_ports(struct decode_reader *r, const char *what, uint32_t first, uint32_t last)
{
	decode_put(r, "%s to :%u", what, ntohs(r->ports[first]));
	if (last != first && r->ports[last] != r->ports[first])
		decode_put(r, "-%u", ntohs(r->ports[last]));
	decode_put(r, " ");
}

/* Ports in registers, and what leads to them. */
static bool read_redirect(struct decode_reader *r)
{
	unsigned used = 0;
	const struct nftnl_expr *x;
	const char *what;
	uint32_t first, last;

	while ((x = decode_ahead(r, used, "immediate")) && used < DECODE_REGISTERS) {
		uint32_t reg = decode_get(x, NFTNL_EXPR_IMM_DREG);
		const void *port;
		size_t len;

		port = decode_bytes(x, NFTNL_EXPR_IMM_DATA, sizeof(uint16_t), false, &len);
		if (!port || reg == NFT_REG_VERDICT || reg > DECODE_REGISTERS)
			return false;
		memcpy(&r->ports[reg], port, sizeof(uint16_t));
		used++;
	}
	if ((x = decode_ahead(r, used, "redir"))) {
		what = "redirect";
		first = decode_get(x, NFTNL_EXPR_REDIR_REG_PROTO_MIN);
		last = decode_get(x, NFTNL_EXPR_REDIR_REG_PROTO_MAX);
	} else if ((x = decode_ahead(r, used, "tproxy"))) {
		what = "tproxy";
		first = last = decode_get(x, NFTNL_EXPR_TPROXY_REG_PORT);
		if (decode_get(x, NFTNL_EXPR_TPROXY_REG_ADDR))
			return false;
	} else if ((x = decode_ahead(r, used, "nat")) &&
		   decode_get(x, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT &&
		   !decode_get(x, NFTNL_EXPR_NAT_REG_ADDR_MIN)) {
		what = "dnat";
		first = decode_get(x, NFTNL_EXPR_NAT_REG_PROTO_MIN);
		last = decode_get(x, NFTNL_EXPR_NAT_REG_PROTO_MAX);
	} else {
		return false;
	}
	if (!used || !first || first > DECODE_REGISTERS || last > DECODE_REGISTERS)
		return false;
	put_ports(r, what, first, last ? last : first);
	r->at += used + 1;
	return true;
}

/* Constants and verdicts. */
static bool read_immediate(struct decode_reader *r)
{
	const struct nftnl_expr *x = decode_ahead(r, 0, "immediate");
	const uint8_t *mark;
	size_t len;

	if (!x)
		return false;
	if (decode_get(x, NFTNL_EXPR_IMM_DREG) == NFT_REG_VERDICT) {
		if (!put_code(r, x))
			return false;
		r->at++;
		return true;
	}
	mark = decode_bytes(x, NFTNL_EXPR_IMM_DATA, sizeof(uint32_t), false, &len);
	if (mark && decode_get(x, NFTNL_EXPR_IMM_DREG) == NFT_REG_1)
		return read_mark(r, mark);
	return read_redirect(r);
}

/* nft: update @alive { meta nfproto timeout 300ms } */
static bool read_update(struct decode_reader *r)
{
	const struct nftnl_expr *meta = decode_ahead(r, 0, "meta"),
				*x = decode_ahead(r, 1, "dynset");

	if (!meta || !x || decode_get(meta, NFTNL_EXPR_META_KEY) != NFT_META_NFPROTO ||
	    decode_get(x, NFTNL_EXPR_DYNSET_OP) != NFT_DYNSET_OP_UPDATE)
		return false;
	decode_put(r, "update ");
	decode_put_set(r, nftnl_expr_get_str(x, NFTNL_EXPR_DYNSET_SET_NAME));
	decode_put(r, " { meta nfproto ");
	if (nftnl_expr_is_set(x, NFTNL_EXPR_DYNSET_TIMEOUT))
		decode_put(r, "timeout %" PRIu64 "ms ",
			   nftnl_expr_get_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT));
	decode_put(r, "} ");
	r->at += 2;
	return true;
}

static bool read_other(struct decode_reader *r)
{
	const struct nftnl_expr *x;

	if (decode_ahead(r, 0, "counter")) {
		if (r->exact)
			decode_put(r, "counter ");
	} else if ((x = decode_ahead(r, 0, "reject")) &&
		   decode_get(x, NFTNL_EXPR_REJECT_TYPE) == NFT_REJECT_ICMPX_UNREACH &&
		   nftnl_expr_get_u8(x, NFTNL_EXPR_REJECT_CODE) == NFT_REJECT_ICMPX_PORT_UNREACH) {
		decode_put(r, "reject with icmpx port-unreachable ");
	} else {
		return false;
	}
	r->at++;
	return true;
}

static void read_unknown(struct decode_reader *r)
{
	struct nftnl_expr *x = r->x[r->at++];
	char body[256] = "";

	nftnl_expr_snprintf(body, sizeof(body), x, NFTNL_OUTPUT_DEFAULT, 0);
	decode_put(r, "[ %s %s] ", nftnl_expr_get_str(x, NFTNL_EXPR_NAME), body);
}

/* Keeps an expression of the rule. */
static int take(struct nftnl_expr *x, void *data)
{
	struct decode_reader *r = data;

	if (r->count == DECODE_EXPRS_MAX)
		return -1;
	r->x[r->count++] = x;
	return 0;
}

const char *decode_nft(const struct nftnl_rule *rule, bool exact, char line[DECODE_NFT_LINE_MAX])
{
	struct decode_reader r = { .text = line, .exact = exact };
	bool all = ruleset_each_expr(rule, take, &r);

	line[0] = '\0';
	while (r.at < r.count) {
		size_t len = r.len;

		if (decode_match(&r) || read_update(&r) || read_immediate(&r) || read_other(&r))
			continue;
		line[r.len = len] = '\0';
		read_unknown(&r);
	}
	if (!all)
		decode_put(&r, "... ");
	if (r.len)
		line[r.len - 1] = '\0';
	return line;
}
