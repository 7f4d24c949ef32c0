// SPDX-License-Identifier: GPL-2.0-or-later
/* Rules for the legacy tables, as bytes and as text: see encode_xt.h. */
#include "encode_xt.h"

#include <netinet/in.h>

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_TPROXY.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_recent.h>
#include <linux/netfilter/xt_socket.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netfilter_ipv6/ip6t_REJECT.h>

/* What kernels of both word sizes have agreed on: these structures are their ABI. */
_Static_assert(sizeof(struct xt_entry_match) == 32, "a match's header");
_Static_assert(sizeof(struct xt_entry_target) == 32, "a target's header");
_Static_assert(sizeof(struct xt_owner_match_info) == 20, "xt_owner, revision 1");
_Static_assert(sizeof(struct xt_tcp) == 12, "tcp, revision 0");
_Static_assert(sizeof(struct xt_udp) == 10, "udp, revision 0");
_Static_assert(sizeof(struct xt_multiport_v1) == 48, "xt_multiport, revision 1");
_Static_assert(sizeof(struct xt_iprange_mtinfo) == 68, "xt_iprange, revision 1");
_Static_assert(sizeof(struct xt_addrtype_info_v1) == 8, "xt_addrtype, revision 1");
_Static_assert(sizeof(struct xt_socket_mtinfo3) == 1, "xt_socket, revision 3");
_Static_assert(sizeof(struct xt_recent_mtinfo_v1) == 228, "xt_recent, revision 1");
_Static_assert(sizeof(struct xt_comment_info) == 256, "xt_comment, revision 0");
_Static_assert(sizeof(struct nf_nat_ipv4_multi_range_compat) == 20, "REDIRECT for IPv4");
_Static_assert(sizeof(struct nf_nat_range) == 40, "REDIRECT for IPv6");
_Static_assert(sizeof(struct nf_nat_range2) == 44, "DNAT, revision 2");
_Static_assert(sizeof(struct xt_conntrack_mtinfo3) == 164, "xt_conntrack, revision 3");
_Static_assert(sizeof(struct xt_connmark_mtinfo1) == 12, "xt_connmark, revision 1");
_Static_assert(sizeof(struct xt_connmark_tginfo2) == 16, "CONNMARK, revision 2");
_Static_assert(sizeof(struct xt_mark_tginfo2) == 8, "MARK, revision 2");
_Static_assert(sizeof(struct xt_tproxy_target_info_v1) == 28, "TPROXY, revision 1");
_Static_assert(sizeof(struct ipt_reject_info) == 4, "REJECT for IPv4");
_Static_assert(sizeof(struct ip6t_reject_info) == 4, "REJECT for IPv6");
#ifdef __x86_64__
_Static_assert(sizeof(struct ipt_entry) == 112, "an IPv4 rule");
_Static_assert(sizeof(struct ip6t_entry) == 168, "an IPv6 rule");
_Static_assert(sizeof(struct xt_standard_target) == 40, "a verdict");
#endif
_Static_assert(XT_MULTI_PORTS == LOWER_PORT_SLOTS, "ports of one multiport match");
_Static_assert(XT_EXTENSION_MAXNAMELEN == LOWER_NAME_MAX, "chain names");

/* A rule in the making. */
struct draft {
	const struct lower *lower;
	_Alignas(struct ip6t_entry) uint8_t bytes[ENCODE_XT_RULE_MAX];
	size_t len;
};

/* Room for a match's or target's data behind its header, zeroed; the data is the caller's to fill.
 */
static void *add_part(struct draft *d, const char *name, uint8_t revision, size_t size, bool target)
{
	struct xt_entry_match *m = (void *)(d->bytes + d->len);
	struct xt_entry_target *t = (void *)(d->bytes + d->len);
	uint16_t total = (uint16_t)(sizeof(*m) + XT_ALIGN(size));

	d->len += total;
	if (target) {
		t->u.target_size = total;
		t->u.user.revision = revision;
		memcpy(t->u.user.name, name, strnlen(name, XT_EXTENSION_MAXNAMELEN - 1));
		return t->data;
	}
	m->u.match_size = total;
	m->u.user.revision = revision;
	memcpy(m->u.user.name, name, strnlen(name, XT_EXTENSION_MAXNAMELEN - 1));
	return m->data;
}

/* xtables: -o veth+ (the '+' stays in the name; the mask ends before it, or behind the NUL) */
static void encode_iface(const struct iface *i, char name[IFNAMSIZ], unsigned char mask[IFNAMSIZ])
{
	size_t len;

	if (!i)
		return;
	len = strnlen(i->name, IFACE_NAME_MAX);
	memcpy(name, i->name, len);
	if (i->prefix && len < IFACE_NAME_MAX)
		name[len] = '+';
	memset(mask, 0xff, i->prefix ? len : len + 1);
}

/* xtables: -d 10.0.0.0/8. False when it is no CIDR block, which takes iprange. */
static bool encode_address(struct draft *d, const struct lower_rule *r, void *address, void *mask)
{
	enum addr_family family = d->lower->family;
	uint8_t prefix;

	if (!addr_range_is_cidr(&r->address, family, &prefix))
		return false;
	memcpy(address, r->address.first, addr_len(family));
	memset(mask, 0xff, prefix / 8);
	if (prefix % 8)
		((uint8_t *)mask)[prefix / 8] = (uint8_t)(0xff << (8 - prefix % 8));
	return true;
}

/* xtables: -d fe80::/10 -i eth0 -o lo -p udp. Whether an address is still to be said. */
static bool encode_ip(struct draft *d, const struct lower_rule *r)
{
	struct ip6t_ip6 *v6 = &((struct ip6t_entry *)(void *)d->bytes)->ipv6;
	struct ipt_ip *v4 = &((struct ipt_entry *)(void *)d->bytes)->ip;
	bool is4 = d->lower->family == ADDR_V4, said = true;

	if (r->conditions & LOWER_SRC)
		said = encode_address(d, r, is4 ? (void *)&v4->src : (void *)&v6->src,
				      is4 ? (void *)&v4->smsk : (void *)&v6->smsk);
	if (r->conditions & LOWER_DST)
		said = encode_address(d, r, is4 ? (void *)&v4->dst : (void *)&v6->dst,
				      is4 ? (void *)&v4->dmsk : (void *)&v6->dmsk);
	encode_iface(r->in, is4 ? v4->iniface : v6->iniface,
		     is4 ? v4->iniface_mask : v6->iniface_mask);
	encode_iface(r->out, is4 ? v4->outiface : v6->outiface,
		     is4 ? v4->outiface_mask : v6->outiface_mask);
	if (is4) {
		v4->proto = r->protocol;
		v4->flags = r->verdict == LOWER_GOTO ? IPT_F_GOTO : 0;
	} else {
		/* Without IP6T_F_PROTO the protocol would be listed and not be looked at. */
		v6->proto = r->protocol;
		v6->flags = (r->verdict == LOWER_GOTO ? IP6T_F_GOTO : 0) |
			    (r->protocol ? IP6T_F_PROTO : 0);
	}
	return !said;
}

/* xtables: -m owner --uid-owner 1000-1010 */
static void encode_owner(struct draft *d, const struct lower_rule *r)
{
	struct xt_owner_match_info *m = add_part(d, "owner", 1, sizeof(*m), false);
	bool uid = r->conditions & LOWER_UID;

	m->match = uid ? XT_OWNER_UID : XT_OWNER_GID;
	*(uid ? &m->uid_min : &m->gid_min) = r->owner.first;
	*(uid ? &m->uid_max : &m->gid_max) = r->owner.last;
}

/* xtables: -m tcp --dport 8000:8999 --tcp-flags FIN,SYN,RST,ACK SYN */
static void encode_tcp(struct draft *d, const struct lower_rule *r)
{
	struct xt_tcp *m = add_part(d, "tcp", 0, sizeof(*m), false);

	m->spts[1] = m->dpts[1] = UINT16_MAX;
	if (r->conditions & LOWER_DPORT) {
		m->dpts[0] = (uint16_t)r->port.first;
		m->dpts[1] = (uint16_t)r->port.last;
	}
	if (r->conditions & LOWER_SYN) {
		m->flg_mask = 0x17; /* FIN, SYN, RST, ACK */
		m->flg_cmp = 0x02;
	}
}

/* xtables: -m udp --dport 9211 */
static void encode_udp(struct draft *d, const struct lower_rule *r)
{
	struct xt_udp *m = add_part(d, "udp", 0, sizeof(*m), false);

	m->spts[1] = UINT16_MAX;
	m->dpts[0] = (uint16_t)r->port.first;
	m->dpts[1] = (uint16_t)r->port.last;
}

/* xtables: -m multiport --dports 22,8000:8999 (a range takes two slots, the first one flagged) */
static void encode_multiport(struct draft *d, const struct lower_rule *r)
{
	struct xt_multiport_v1 *m = add_part(d, "multiport", 1, sizeof(*m), false);

	m->flags = XT_MULTIPORT_DESTINATION;
	for (unsigned i = 0; i < r->port_count; i++) {
		const struct u32_range *range = &r->port_list[i];

		m->ports[m->count++] = (uint16_t)range->first;
		if (range->first != range->last) {
			m->pflags[m->count - 1] = 1;
			m->ports[m->count++] = (uint16_t)range->last;
		}
	}
}

static void encode_ports(struct draft *d, const struct lower_rule *r)
{
	if (r->port_list)
		encode_multiport(d, r);
	else if (r->protocol == IPPROTO_UDP)
		encode_udp(d, r);
	else
		encode_tcp(d, r);
}

/* xtables: -m iprange --dst-range 10.0.0.1-10.0.0.5 */
static void encode_iprange(struct draft *d, const struct lower_rule *r)
{
	struct xt_iprange_mtinfo *m = add_part(d, "iprange", 1, sizeof(*m), false);
	size_t len = addr_len(d->lower->family);
	bool src = r->conditions & LOWER_SRC;

	m->flags = src ? IPRANGE_SRC : IPRANGE_DST;
	memcpy(src ? &m->src_min : &m->dst_min, r->address.first, len);
	memcpy(src ? &m->src_max : &m->dst_max, r->address.last, len);
}

/* xtables: -m addrtype --dst-type LOCAL, ! --dst-type LOCAL, ! --src-type LOCAL */
static void encode_addrtype(struct draft *d, const struct lower_rule *r)
{
	struct xt_addrtype_info_v1 *m = add_part(d, "addrtype", 1, sizeof(*m), false);

	if (r->conditions & LOWER_FOREIGN) {
		m->source = XT_ADDRTYPE_LOCAL;
		m->flags = XT_ADDRTYPE_INVERT_SOURCE;
		return;
	}
	m->dest = XT_ADDRTYPE_LOCAL;
	m->flags = r->conditions & LOWER_NOT_LOCAL ? XT_ADDRTYPE_INVERT_DEST : 0;
}

/* xtables: -m conntrack --ctstate NEW, --ctstate INVALID, --ctdir REPLY */
static void encode_conntrack(struct draft *d, const struct lower_rule *r)
{
	struct xt_conntrack_mtinfo3 *m = add_part(d, "conntrack", 3, sizeof(*m), false);

	if (r->conditions & LOWER_REPLY) {
		m->match_flags = m->invert_flags = XT_CONNTRACK_DIRECTION;
		return;
	}
	m->match_flags = XT_CONNTRACK_STATE;
	m->state_mask = r->conditions & LOWER_NEW ? XT_CONNTRACK_STATE_BIT(IP_CT_NEW)
						  : XT_CONNTRACK_STATE_INVALID;
}

/* xtables: -m connmark --mark 0x736c */
static void encode_connmark(struct draft *d, const struct lower_rule *r)
{
	struct xt_connmark_mtinfo1 *m = add_part(d, "connmark", 1, sizeof(*m), false);

	m->mark = r->ct_mark;
	m->mask = UINT32_MAX;
}

/* xtables: -m socket --nowildcard (sockets bound to any address count too) */
static void encode_listener(struct draft *d)
{
	struct xt_socket_mtinfo3 *m = add_part(d, "socket", 3, sizeof(*m), false);

	m->flags = XT_SOCKET_NOWILDCARD;
}

/*
 * xtables: -m recent --set --name sluice_alive --mask 0.0.0.0 --rdest
 * xtables: -m recent ! --rcheck --seconds 1 --name sluice_alive --mask 0.0.0.0 --rdest
 * The mask leaves one element per family.
 */
static void encode_recent(struct draft *d, const struct lower_rule *r)
{
	struct xt_recent_mtinfo_v1 *m = add_part(d, "recent", 1, sizeof(*m), false);
	bool beat = r->conditions & LOWER_BEAT;

	m->check_set = beat ? XT_RECENT_SET : XT_RECENT_CHECK;
	m->invert = !beat;
	m->seconds = beat ? 0 : r->seconds;
	m->side = XT_RECENT_DEST;
	memcpy(m->name, LOWER_ALIVE, sizeof(LOWER_ALIVE));
}

/* xtables: -m comment --comment out-proxy */
static void encode_comment(struct draft *d, const struct lower_rule *r)
{
	struct xt_comment_info *m = add_part(d, "comment", 0, sizeof(*m), false);

	snprintf(m->comment, sizeof(m->comment), "%s", plan_row_id(r->row));
}

/* xtables: -j RETURN, -j CHAIN, -g CHAIN: libiptc finds the number for the name */
static void encode_standard(struct draft *d, const struct lower_rule *r)
{
	const char *name = r->verdict == LOWER_RETURN ? "RETURN"
			   : r->verdict == LOWER_DROP ? "DROP"
						      : d->lower->chains[r->chain].name;

	add_part(d, name, 0, sizeof(struct xt_standard_target) - sizeof(struct xt_entry_target),
		 true);
}

/* xtables: -j REDIRECT --to-ports 9001-9016 */
static void encode_redirect(struct draft *d, const struct lower_rule *r)
{
	unsigned flags = r->first ? NF_NAT_RANGE_PROTO_SPECIFIED : 0;

	if (d->lower->family == ADDR_V4) {
		struct nf_nat_ipv4_multi_range_compat *t =
			add_part(d, "REDIRECT", 0, sizeof(*t), true);

		t->rangesize = 1;
		t->range[0].flags = flags;
		t->range[0].min.all = htons(r->first);
		t->range[0].max.all = htons(r->last);
	} else {
		struct nf_nat_range *t = add_part(d, "REDIRECT", 0, sizeof(*t), true);

		t->flags = flags;
		t->min_proto.all = htons(r->first);
		t->max_proto.all = htons(r->last);
	}
}

/* xtables: -j DNAT --to-destination :9211-9226 (revision 2, of both families: Linux 4.18) */
static void encode_dnat(struct draft *d, const struct lower_rule *r)
{
	struct nf_nat_range2 *t = add_part(d, "DNAT", 2, sizeof(*t), true);

	t->flags = NF_NAT_RANGE_PROTO_SPECIFIED;
	t->min_proto.all = htons(r->first);
	t->max_proto.all = htons(r->last);
}

/* xtables: -j TPROXY --on-port 9211 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0 */
static void encode_tproxy(struct draft *d, const struct lower_rule *r)
{
	struct xt_tproxy_target_info_v1 *t = add_part(d, "TPROXY", 1, sizeof(*t), true);

	t->lport = htons(r->first);
}

/* xtables: -j REJECT --reject-with icmp-port-unreachable, icmp6-port-unreachable */
static void encode_reject(struct draft *d)
{
	if (d->lower->family == ADDR_V4) {
		struct ipt_reject_info *t = add_part(d, "REJECT", 0, sizeof(*t), true);

		t->with = IPT_ICMP_PORT_UNREACHABLE;
	} else {
		struct ip6t_reject_info *t = add_part(d, "REJECT", 0, sizeof(*t), true);

		t->with = IP6T_ICMP6_PORT_UNREACH;
	}
}

/* xtables: -j CONNMARK --set-xmark 0x736c/0xffffffff */
static void encode_set_ct_mark(struct draft *d, const struct lower_rule *r)
{
	struct xt_connmark_tginfo2 *t = add_part(d, "CONNMARK", 2, sizeof(*t), true);

	t->ctmark = r->mark;
	t->ctmask = t->nfmask = UINT32_MAX;
	t->mode = XT_CONNMARK_SET;
}

/* xtables: -j MARK --set-xmark 0x736d/0xffffffff */
static void encode_set_mark(struct draft *d, const struct lower_rule *r)
{
	struct xt_mark_tginfo2 *t = add_part(d, "MARK", 2, sizeof(*t), true);

	t->mark = r->mark;
	t->mask = UINT32_MAX;
}

static void encode_target(struct draft *d, const struct lower_rule *r)
{
	switch (r->verdict) {
	case LOWER_RETURN:
	case LOWER_JUMP:
	case LOWER_GOTO:
	case LOWER_DROP:
		encode_standard(d, r);
		break;
	case LOWER_REDIRECT:
		encode_redirect(d, r);
		break;
	case LOWER_DNAT:
		encode_dnat(d, r);
		break;
	case LOWER_TPROXY:
		encode_tproxy(d, r);
		break;
	case LOWER_REJECT:
		encode_reject(d);
		break;
	case LOWER_SET_CT_MARK:
		encode_set_ct_mark(d, r);
		break;
	case LOWER_SET_MARK:
		encode_set_mark(d, r);
		break;
	case LOWER_VERDICT_COUNT:
		break;
	}
}

static void encode_rule(struct draft *d, const struct lower_rule *r)
{
	struct ipt_entry *v4 = (void *)d->bytes;
	struct ip6t_entry *v6 = (void *)d->bytes;
	bool is4 = d->lower->family == ADDR_V4, ranged;
	size_t target;

	memset(d->bytes, 0, sizeof(d->bytes));
	d->len = is4 ? sizeof(*v4) : sizeof(*v6);
	ranged = encode_ip(d, r);
	if (r->conditions & (LOWER_UID | LOWER_GID))
		encode_owner(d, r);
	if (r->conditions & (LOWER_DPORT | LOWER_SYN))
		encode_ports(d, r);
	if (ranged)
		encode_iprange(d, r);
	if (r->conditions & (LOWER_LOCAL | LOWER_NOT_LOCAL | LOWER_FOREIGN))
		encode_addrtype(d, r);
	if (r->conditions & (LOWER_NEW | LOWER_INVALID | LOWER_REPLY))
		encode_conntrack(d, r);
	if (r->conditions & LOWER_CT_MARK)
		encode_connmark(d, r);
	if (r->conditions & LOWER_LISTENER)
		encode_listener(d);
	if (r->conditions & (LOWER_DEAD | LOWER_BEAT))
		encode_recent(d, r);
	if (r->comment)
		encode_comment(d, r);
	target = d->len;
	encode_target(d, r);
	*(is4 ? &v4->target_offset : &v6->target_offset) = (uint16_t)target;
	*(is4 ? &v4->next_offset : &v6->next_offset) = (uint16_t)d->len;
}

static bool encode_chain(struct draft *d, const struct lower_chain *from, struct xtable *out)
{
	struct xtable_chain *to = xtable_add_chain(out, from->name);

	for (size_t i = 0; to && i < from->count; i++) {
		encode_rule(d, &from->rules[i]);
		if (!xtable_add_rule(out, to, d->bytes, d->len))
			return false;
	}
	return to;
}

static bool encode_entry(struct draft *d, const struct lower_chain *from, struct xtable *out)
{
	struct xtable_entry *to;
	unsigned position = 0;

	for (size_t i = 0; i < out->entry_count; i++)
		position += strcmp(out->entries[i].builtin, from->builtin) == 0;
	to = xtable_add_entry(out, from->builtin, position);
	encode_rule(d, &from->entry);
	return to && xtable_set_entry(out, to, d->bytes, d->len);
}

int encode_xt(const struct lower *l, enum lower_table table, struct xtable *out, struct err *e)
{
	struct draft d = { .lower = l };
	bool done = true;

	xtable_init(out, l->family, table);
	for (size_t i = 0; done && i < l->count; i++) {
		const struct lower_chain *c = &l->chains[i];

		if (!c->present || c->table != table)
			continue;
		done = encode_chain(&d, c, out) && (!c->builtin || encode_entry(&d, c, out));
	}
	xtable_complete(out);
	return done ? 0 : err_set(e, -ENOMEM, "out of memory for the rules");
}
