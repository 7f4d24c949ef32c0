// SPDX-License-Identifier: GPL-2.0-or-later
/* The walk over our chains of the legacy tables, match by match: see explain.h. */
#include "explain.h"

#include "decode_xt.h"
#include "lower.h"

#include <netinet/in.h>

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_recent.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

/* A rule's matches being tried for one packet. */
struct trial {
	const struct packet *packet;
	enum addr_family family;
	bool holds;
	bool needs_source;   /* but it was not given */
	const char *unknown; /* a match that is none of ours */
};

static bool outbound(const struct trial *t)
{
	return t->packet->direction == PACKET_OUTBOUND;
}

static bool between(uint32_t value, uint32_t first, uint32_t last)
{
	return value >= first && value <= last;
}

/* net/netfilter/xt_owner.c: a packet without a socket only matches "not its socket". */
static bool try_owner(const struct trial *t, const void *data)
{
	const struct xt_owner_match_info *m = data;

	if (!outbound(t))
		return (m->match ^ m->invert) == 0;
	if (m->match & XT_OWNER_UID &&
	    between(t->packet->uid, m->uid_min, m->uid_max) == !!(m->invert & XT_OWNER_UID))
		return false;
	if (m->match & XT_OWNER_GID &&
	    between(t->packet->gid, m->gid_min, m->gid_max) == !!(m->invert & XT_OWNER_GID))
		return false;
	return true;
}

static bool port_held(const struct trial *t, const __u16 ports[2], bool invert)
{
	return between(t->packet->to.port, ports[0], ports[1]) != invert;
}

static bool try_tcp(const struct trial *t, const void *data)
{
	const struct xt_tcp *m = data;
	bool syn = (0x02 & m->flg_mask) == m->flg_cmp; /* it is about a SYN alone */

	return t->packet->protocol == PACKET_TCP &&
	       port_held(t, m->dpts, m->invflags & XT_TCP_INV_DSTPT) &&
	       syn != !!(m->invflags & XT_TCP_INV_FLAGS);
}

static bool try_udp(const struct trial *t, const void *data)
{
	const struct xt_udp *m = data;

	return t->packet->protocol == PACKET_UDP &&
	       port_held(t, m->dpts, m->invflags & XT_UDP_INV_DSTPT);
}

static bool try_multiport(const struct trial *t, const void *data)
{
	const struct xt_multiport_v1 *m = data;
	bool found = false;

	for (unsigned i = 0; i < MIN(m->count, XT_MULTI_PORTS); i++) {
		uint16_t first = m->ports[i], last = first;

		if (m->pflags[i] && i + 1 < XT_MULTI_PORTS)
			last = m->ports[++i];
		found |= between(t->packet->to.port, first, last);
	}
	return found != !!m->invert;
}

static bool in_span(const struct trial *t, const struct endpoint *x, const void *min,
		    const void *max, bool invert)
{
	size_t len = addr_len(t->family);
	bool in = memcmp(x->addr.bytes, min, len) >= 0 && memcmp(x->addr.bytes, max, len) <= 0;

	return in != invert;
}

static bool try_iprange(const struct trial *t, const void *data)
{
	const struct xt_iprange_mtinfo *m = data;

	return (!(m->flags & IPRANGE_SRC) || in_span(t, &t->packet->from, &m->src_min, &m->src_max,
						     m->flags & IPRANGE_SRC_INV)) &&
	       (!(m->flags & IPRANGE_DST) ||
		in_span(t, &t->packet->to, &m->dst_min, &m->dst_max, m->flags & IPRANGE_DST_INV));
}

static bool try_addrtype(const struct trial *t, const void *data)
{
	const struct xt_addrtype_info_v1 *m = data;
	bool local = t->packet->local == PACKET_YES;

	/* Who sends has an address of this namespace: it is not about the proxy. */
	return (!m->dest || local != !!(m->flags & XT_ADDRTYPE_INVERT_DEST)) &&
	       (!m->source || !(m->flags & XT_ADDRTYPE_INVERT_SOURCE));
}

/* It is about the first packet of a connection: new, in its direction, without a mark. */
static bool try_conntrack(const struct trial *t, const void *data)
{
	const struct xt_conntrack_mtinfo3 *m = data;
	bool is_new = m->state_mask & XT_CONNTRACK_STATE_BIT(IP_CT_NEW);

	(void)t;
	return (!(m->match_flags & XT_CONNTRACK_STATE) ||
		is_new != !!(m->invert_flags & XT_CONNTRACK_STATE)) &&
	       !(m->invert_flags & m->match_flags & XT_CONNTRACK_DIRECTION);
}

static bool try_connmark(const struct trial *t, const void *data)
{
	const struct xt_connmark_mtinfo1 *m = data;

	(void)t;
	return (m->mark == 0) != !!m->invert;
}

static bool try_socket(const struct trial *t, const void *data)
{
	(void)data;
	return t->packet->listening == PACKET_YES;
}

static bool try_recent(const struct trial *t, const void *data)
{
	const struct xt_recent_mtinfo_v1 *m = data;

	if (m->check_set & XT_RECENT_SET)
		return !m->invert;
	return (t->packet->alive == PACKET_YES) != !!m->invert;
}

static bool try_nothing(const struct trial *t, const void *data)
{
	(void)t, (void)data;
	return true;
}

static const struct {
	const char *name;
	size_t size;
	bool (*try)(const struct trial *t, const void *data);
} matches[] = {
	{ "owner", sizeof(struct xt_owner_match_info), try_owner },
	{ "tcp", sizeof(struct xt_tcp), try_tcp },
	{ "udp", sizeof(struct xt_udp), try_udp },
	{ "multiport", sizeof(struct xt_multiport_v1), try_multiport },
	{ "iprange", sizeof(struct xt_iprange_mtinfo), try_iprange },
	{ "addrtype", sizeof(struct xt_addrtype_info_v1), try_addrtype },
	{ "conntrack", sizeof(struct xt_conntrack_mtinfo3), try_conntrack },
	{ "connmark", sizeof(struct xt_connmark_mtinfo1), try_connmark },
	{ "socket", 1, try_socket },
	{ "recent", sizeof(struct xt_recent_mtinfo_v1), try_recent },
	{ "comment", 0, try_nothing },
};

static void try_match(const struct xtable_part *part, void *data)
{
	struct trial *t = data;

	for (size_t i = 0; t->holds && i < ARRAY_SIZE(matches); i++) {
		const struct xt_iprange_mtinfo *range = part->data;

		if (strcmp(part->name, matches[i].name) != 0 || part->len < matches[i].size)
			continue;
		if (matches[i].try == try_iprange && range->flags & IPRANGE_SRC)
			t->needs_source |= !t->packet->from.given;
		t->holds = matches[i].try(t, part->data);
		return;
	}
	if (t->holds)
		t->unknown = part->name;
}

static bool masked_equal(const uint8_t *a, const void *address, const void *mask, size_t len)
{
	const uint8_t *b = address, *m = mask;

	for (size_t i = 0; i < len; i++) {
		if ((a[i] ^ b[i]) & m[i])
			return false;
	}
	return true;
}

static bool is_zero(const void *bytes, size_t len)
{
	static const uint8_t zero[16];

	return memcmp(bytes, zero, len) == 0;
}

/* What every rule may ask for, out of the header of an entry of either family. */
struct header {
	const void *src, *src_mask, *dst, *dst_mask;
	const char *in, *out;
	const unsigned char *in_mask, *out_mask;
	uint16_t protocol; /* 0: any */
	uint8_t invert;	   /* IPT_INV_*, which are the same for IPv6 */
};

_Static_assert(IPT_INV_VIA_IN == IP6T_INV_VIA_IN && IPT_INV_SRCIP == IP6T_INV_SRCIP &&
		       IPT_INV_VIA_OUT == IP6T_INV_VIA_OUT && IPT_INV_DSTIP == IP6T_INV_DSTIP,
	       "the flags of both families");

static struct header header_of(const void *bytes, enum addr_family family)
{
	const struct ipt_ip *v4 = &((const struct ipt_entry *)bytes)->ip;
	const struct ip6t_ip6 *v6 = &((const struct ip6t_entry *)bytes)->ipv6;

	if (family == ADDR_V4)
		return (struct header){ &v4->src,	  &v4->smsk,	     &v4->dst,
					&v4->dmsk,	  v4->iniface,	     v4->outiface,
					v4->iniface_mask, v4->outiface_mask, v4->proto,
					v4->invflags };
	return (struct header){
		&v6->src,	  &v6->smsk,	     &v6->dst,
		&v6->dmsk,	  v6->iniface,	     v6->outiface,
		v6->iniface_mask, v6->outiface_mask, v6->flags & IP6T_F_PROTO ? v6->proto : 0,
		v6->invflags
	};
}

/* An interface that the packet has none of (it did not arrive, or does not leave) is named "". */
static bool try_iface(const struct trial *t, const char *name, const unsigned char *mask, bool out,
		      bool invert)
{
	const char *has = out == outbound(t) ? t->packet->iface : "";
	bool equal = true;

	for (size_t i = 0; i < PACKET_IFACE_MAX; i++) {
		char c = i <= strlen(has) ? has[i] : '\0';

		equal &= ((c ^ name[i]) & mask[i]) == 0;
	}
	return equal != invert;
}

static void try_header(struct trial *t, const struct header *h)
{
	const struct packet *p = t->packet;
	uint16_t protocol = p->protocol == PACKET_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	size_t len = addr_len(t->family);
	bool by_source = !is_zero(h->src_mask, len);

	t->needs_source = by_source && !p->from.given;
	t->holds = masked_equal(p->from.addr.bytes, h->src, h->src_mask, len) !=
			   !!(h->invert & IPT_INV_SRCIP) &&
		   masked_equal(p->to.addr.bytes, h->dst, h->dst_mask, len) !=
			   !!(h->invert & IPT_INV_DSTIP) &&
		   try_iface(t, h->in, h->in_mask, false, h->invert & IPT_INV_VIA_IN) &&
		   try_iface(t, h->out, h->out_mask, true, h->invert & IPT_INV_VIA_OUT) &&
		   (!h->protocol || (h->protocol == protocol) != !!(h->invert & XT_INV_PROTO));
}

/* Chains by their index, and behind them one that stands for our jumps from the built-in chain. */
static size_t base_chain(const struct xtable *t)
{
	return t->chain_count;
}

/* A table, and the built-in chain that the packet meets there. */
struct rules {
	const struct xtable *table;
	const char *builtin;
};

static const struct xtable_rule *find_rule(const struct rules *r, size_t chain, size_t i)
{
	if (chain != base_chain(r->table))
		return &r->table->chains[chain].rules[i];
	for (size_t k = 0;; k++) {
		if (strcmp(r->table->entries[k].builtin, r->builtin) == 0 && i-- == 0)
			return &r->table->entries[k].rule;
	}
}

static size_t xt_count(const void *rules, size_t chain)
{
	const struct rules *r = rules;
	size_t count = 0;

	if (chain != base_chain(r->table))
		return r->table->chains[chain].count;
	for (size_t i = 0; i < r->table->entry_count; i++)
		count += strcmp(r->table->entries[i].builtin, r->builtin) == 0;
	return count;
}

static int target_step(const struct xtable *t, const struct xtable_rule *r,
		       struct explain_step *out, struct err *e)
{
	const char *name = xtable_target(t, r);
	const struct xtable_chain *to = xtable_find_chain(t, name);

	*out = (struct explain_step){ .action = EXPLAIN_END };
	if (decode_xt_redirect(t, r, &out->first, &out->last)) {
		out->verdict = EXPLAIN_REDIRECT;
	} else if (strcmp(name, "RETURN") == 0) {
		out->action = EXPLAIN_RETURN;
	} else if (strcmp(name, "ACCEPT") == 0) {
		out->verdict = EXPLAIN_DIRECT;
	} else if (strcmp(name, "DROP") == 0 || strcmp(name, "REJECT") == 0) {
		out->verdict = EXPLAIN_DROP;
	} else if (strcmp(name, "CONNMARK") == 0 || strcmp(name, "MARK") == 0) {
		out->action = EXPLAIN_NEXT;
	} else if (to) {
		out->action = xtable_is_goto(t, r) ? EXPLAIN_GOTO : EXPLAIN_JUMP;
		out->chain = (size_t)(to - t->chains);
	} else {
		return err_usage(e, "--live: a rule has the target '%s', which is none of ours",
				 name);
	}
	return 0;
}

static int xt_step(const void *rules, size_t chain, size_t i, const struct packet *p,
		   struct explain_step *out, struct err *e)
{
	const struct rules *r = rules;
	const struct xtable_rule *rule = find_rule(r, chain, i);
	struct trial t = { .packet = p, .family = r->table->family };
	struct header h = header_of(xtable_bytes(r->table, rule), t.family);

	try_header(&t, &h);
	if (t.holds)
		xtable_each_match(r->table, rule, try_match, &t);
	if (t.unknown)
		return err_usage(e, "--live: a rule has the match '%s', which is none of ours",
				 t.unknown);
	if (t.needs_source)
		return err_usage(e, "--from: a rule goes by the source address: give it");
	*out = (struct explain_step){ .action = EXPLAIN_NEXT };
	return t.holds ? target_step(r->table, rule, out, e) : 0;
}

/* In a tree the chain's name has the row: "SLUICE_out-cidr-excl.17". */
static void row_of_chain(const char *name, char *row, size_t size)
{
	const char *dot = strrchr(name, '.');
	const char *id = name + strlen(LOWER_PREFIX);

	snprintf(row, size, "%.*s", dot ? (int)(dot - id) : (int)strlen(id), id);
}

static void xt_tell(const void *rules, size_t chain, size_t i, struct explanation *out)
{
	const struct rules *r = rules;
	const struct xtable_rule *rule = find_rule(r, chain, i);
	char line[DECODE_XT_LINE_MAX];

	snprintf(out->row, sizeof(out->row), "%s", xtable_comment(r->table, rule));
	if (!out->row[0] && chain != base_chain(r->table))
		row_of_chain(r->table->chains[chain].name, out->row, sizeof(out->row));
	snprintf(out->rule, sizeof(out->rule), "%s", decode_xt(r->table, rule, line));
}

static int explain_table(const struct xtable *table, const struct packet *p,
			 struct explanation *out, struct err *e)
{
	const struct rules rules = {
		.table = table,
		.builtin = p->direction == PACKET_OUTBOUND ? "OUTPUT" : "PREROUTING",
	};
	const struct explain_rules r = { &rules, xt_count, xt_step, xt_tell };

	return explain_walk(&r, base_chain(table), p, out, e);
}

int explain_xt(const struct xtable *const tables[LOWER_TABLE_COUNT], const struct packet *p,
	       struct explanation *out, struct err *e)
{
	/* In the order in which a packet meets them; raw has heartbeats alone. */
	static const enum lower_table order[] = { LOWER_MANGLE, LOWER_NAT, LOWER_FILTER };
	struct explanation last = { .verdict = EXPLAIN_DIRECT };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int rc = explain_table(tables[order[i]], p, out, e);

		if (rc < 0 || out->verdict != EXPLAIN_DIRECT)
			return rc;
		if (out->row[0])
			last = *out;
	}
	*out = last;
	return 0;
}
