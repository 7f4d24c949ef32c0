// SPDX-License-Identifier: GPL-2.0-or-later
/* Rules of the legacy tables as text: see decode_xt.h. */
#include "decode_xt.h"

#include "encode_xt.h"

#include <netinet/in.h>

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
#include <stdarg.h>

/* Text that is cut, not overrun, at DECODE_XT_LINE_MAX. */
struct line {
	enum addr_family family;
	char *text;
	size_t len;
};

static void put(struct line *l, const char *fmt, ...) _printf_(2, 3);

static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, DECODE_XT_LINE_MAX - l->len, fmt, ap);
	va_end(ap);
	l->len = MIN(l->len + (size_t)n, (size_t)DECODE_XT_LINE_MAX - 1);
}

static void put_range(struct line *l, char between, uint32_t first, uint32_t last)
{
	put(l, "%u", first);
	if (first != last)
		put(l, "%c%u", between, last);
	put(l, " ");
}

static void put_address(struct line *l, const void *bytes)
{
	struct addr a = { .family = (uint8_t)l->family };
	char text[ADDR_TEXT_MAX];

	memcpy(a.bytes, bytes, addr_len(l->family));
	put(l, "%s", addr_text(&a, text));
}

static void put_cidr(struct line *l, const char *option, const void *address, const void *mask,
		     bool invert)
{
	size_t len = addr_len(l->family);
	const uint8_t *m = mask;
	unsigned prefix = 0;

	while (prefix < 8 * len && m[prefix / 8] & 0x80 >> prefix % 8)
		prefix++;
	if (!prefix)
		return;
	put(l, "%s%s ", invert ? "! " : "", option);
	put_address(l, address);
	put(l, "/%u ", prefix);
}

static void put_iface(struct line *l, const char *option, const char name[IFNAMSIZ],
		      const unsigned char mask[IFNAMSIZ], bool invert)
{
	unsigned len = 0;

	while (len < IFNAMSIZ && mask[len])
		len++;
	if (!len)
		return;
	/* An exact name's mask covers its final NUL. */
	put(l, "%s%s %.*s%s ", invert ? "! " : "", option, (int)len, name,
	    memchr(name, '\0', len) ? "" : "+");
}

static void put_protocol(struct line *l, uint16_t protocol, bool invert)
{
	static const char *const names[] = {
		[IPPROTO_ICMP] = "icmp",
		[IPPROTO_TCP] = "tcp",
		[IPPROTO_UDP] = "udp",
		[IPPROTO_ICMPV6] = "ipv6-icmp",
	};

	if (!protocol)
		return;
	put(l, "%s-p ", invert ? "! " : "");
	if (protocol < ARRAY_SIZE(names) && names[protocol])
		put(l, "%s ", names[protocol]);
	else
		put(l, "%u ", protocol);
}

static void put_ip(struct line *l, const void *bytes)
{
	const struct ipt_ip *v4 = &((const struct ipt_entry *)bytes)->ip;
	const struct ip6t_ip6 *v6 = &((const struct ip6t_entry *)bytes)->ipv6;

	if (l->family == ADDR_V4) {
		put_cidr(l, "-s", &v4->src, &v4->smsk, v4->invflags & IPT_INV_SRCIP);
		put_cidr(l, "-d", &v4->dst, &v4->dmsk, v4->invflags & IPT_INV_DSTIP);
		put_iface(l, "-i", v4->iniface, v4->iniface_mask, v4->invflags & IPT_INV_VIA_IN);
		put_iface(l, "-o", v4->outiface, v4->outiface_mask, v4->invflags & IPT_INV_VIA_OUT);
		put_protocol(l, v4->proto, v4->invflags & XT_INV_PROTO);
	} else {
		put_cidr(l, "-s", &v6->src, &v6->smsk, v6->invflags & IP6T_INV_SRCIP);
		put_cidr(l, "-d", &v6->dst, &v6->dmsk, v6->invflags & IP6T_INV_DSTIP);
		put_iface(l, "-i", v6->iniface, v6->iniface_mask, v6->invflags & IP6T_INV_VIA_IN);
		put_iface(l, "-o", v6->outiface, v6->outiface_mask,
			  v6->invflags & IP6T_INV_VIA_OUT);
		put_protocol(l, v6->flags & IP6T_F_PROTO ? v6->proto : 0,
			     v6->invflags & XT_INV_PROTO);
	}
}

static void put_owner(struct line *l, const void *data)
{
	const struct xt_owner_match_info *m = data;

	if (m->match & XT_OWNER_UID) {
		put(l, "%s--uid-owner ", m->invert & XT_OWNER_UID ? "! " : "");
		put_range(l, '-', m->uid_min, m->uid_max);
	}
	if (m->match & XT_OWNER_GID) {
		put(l, "%s--gid-owner ", m->invert & XT_OWNER_GID ? "! " : "");
		put_range(l, '-', m->gid_min, m->gid_max);
	}
	if (m->match & XT_OWNER_SOCKET)
		put(l, "%s--socket-exists ", m->invert & XT_OWNER_SOCKET ? "! " : "");
}

static void put_port_option(struct line *l, const char *option, const __u16 ports[2], bool invert)
{
	if (ports[0] == 0 && ports[1] == UINT16_MAX)
		return;
	put(l, "%s%s ", invert ? "! " : "", option);
	put_range(l, ':', ports[0], ports[1]);
}

static void put_flags(struct line *l, uint8_t flags)
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK", "URG" };
	const char *comma = "";

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(flags & 1u << i))
			continue;
		put(l, "%s%s", comma, names[i]);
		comma = ",";
	}
	put(l, *comma ? " " : "NONE ");
}

static void put_tcp(struct line *l, const void *data)
{
	const struct xt_tcp *m = data;

	put_port_option(l, "--sport", m->spts, m->invflags & XT_TCP_INV_SRCPT);
	put_port_option(l, "--dport", m->dpts, m->invflags & XT_TCP_INV_DSTPT);
	if (m->flg_mask || m->invflags & XT_TCP_INV_FLAGS) {
		put(l, "%s--tcp-flags ", m->invflags & XT_TCP_INV_FLAGS ? "! " : "");
		put_flags(l, m->flg_mask);
		put_flags(l, m->flg_cmp);
	}
}

static void put_udp(struct line *l, const void *data)
{
	const struct xt_udp *m = data;

	put_port_option(l, "--sport", m->spts, m->invflags & XT_UDP_INV_SRCPT);
	put_port_option(l, "--dport", m->dpts, m->invflags & XT_UDP_INV_DSTPT);
}

static void put_multiport(struct line *l, const void *data)
{
	static const char *const options[] = { "--sports", "--dports", "--ports" };
	const struct xt_multiport_v1 *m = data;

	put(l, "%s%s ", m->invert ? "! " : "", options[MIN(m->flags, 2)]);
	for (unsigned i = 0; i < MIN(m->count, XT_MULTI_PORTS); i++) {
		put(l, "%s%u", i ? "," : "", m->ports[i]);
		if (m->pflags[i] && i + 1 < XT_MULTI_PORTS)
			put(l, ":%u", m->ports[++i]);
	}
	put(l, " ");
}

static void put_iprange(struct line *l, const void *data)
{
	const struct xt_iprange_mtinfo *m = data;

	if (m->flags & IPRANGE_SRC) {
		put(l, "%s--src-range ", m->flags & IPRANGE_SRC_INV ? "! " : "");
		put_address(l, &m->src_min);
		put(l, "-");
		put_address(l, &m->src_max);
		put(l, " ");
	}
	if (m->flags & IPRANGE_DST) {
		put(l, "%s--dst-range ", m->flags & IPRANGE_DST_INV ? "! " : "");
		put_address(l, &m->dst_min);
		put(l, "-");
		put_address(l, &m->dst_max);
		put(l, " ");
	}
}

static void put_type(struct line *l, const char *option, unsigned type, bool invert)
{
	if (!type)
		return;
	put(l, "%s%s ", invert ? "! " : "", option);
	if (type == XT_ADDRTYPE_LOCAL)
		put(l, "LOCAL ");
	else
		put(l, "0x%x ", type);
}

static void put_addrtype(struct line *l, const void *data)
{
	const struct xt_addrtype_info_v1 *m = data;

	put_type(l, "--src-type", m->source, m->flags & XT_ADDRTYPE_INVERT_SOURCE);
	put_type(l, "--dst-type", m->dest, m->flags & XT_ADDRTYPE_INVERT_DEST);
}

static void put_conntrack(struct line *l, const void *data)
{
	const struct xt_conntrack_mtinfo3 *m = data;
	const char *comma = "";

	if (m->match_flags & XT_CONNTRACK_STATE) {
		static const struct {
			unsigned bit;
			const char *name;
		} states[] = {
			{ XT_CONNTRACK_STATE_INVALID, "INVALID" },
			{ XT_CONNTRACK_STATE_BIT(IP_CT_NEW), "NEW" },
			{ XT_CONNTRACK_STATE_BIT(IP_CT_RELATED), "RELATED" },
			{ XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED), "ESTABLISHED" },
		};

		put(l, "%s--ctstate ", m->invert_flags & XT_CONNTRACK_STATE ? "! " : "");
		for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
			if (!(m->state_mask & states[i].bit))
				continue;
			put(l, "%s%s", comma, states[i].name);
			comma = ",";
		}
		put(l, " ");
	}
	if (m->match_flags & XT_CONNTRACK_DIRECTION)
		put(l, "--ctdir %s ",
		    m->invert_flags & XT_CONNTRACK_DIRECTION ? "REPLY" : "ORIGINAL");
	if (m->match_flags & ~(XT_CONNTRACK_STATE | XT_CONNTRACK_DIRECTION))
		put(l, "(flags 0x%x) ", m->match_flags);
}

static void put_connmark(struct line *l, const void *data)
{
	const struct xt_connmark_mtinfo1 *m = data;

	put(l, "%s--mark 0x%x", m->invert ? "! " : "", m->mark);
	if (m->mask != UINT32_MAX)
		put(l, "/0x%x", m->mask);
	put(l, " ");
}

static void put_socket(struct line *l, const void *data)
{
	const struct xt_socket_mtinfo3 *m = data;

	if (m->flags & XT_SOCKET_TRANSPARENT)
		put(l, "--transparent ");
	if (m->flags & XT_SOCKET_NOWILDCARD)
		put(l, "--nowildcard ");
	if (m->flags & XT_SOCKET_RESTORESKMARK)
		put(l, "--restore-skmark ");
}

static void put_recent(struct line *l, const void *data)
{
	const struct xt_recent_mtinfo_v1 *m = data;

	put(l, "%s", m->invert ? "! " : "");
	put(l, m->check_set & XT_RECENT_SET	 ? "--set "
	       : m->check_set & XT_RECENT_CHECK	 ? "--rcheck "
	       : m->check_set & XT_RECENT_UPDATE ? "--update "
						 : "--remove ");
	if (m->seconds)
		put(l, "--seconds %u ", m->seconds);
	if (m->hit_count)
		put(l, "--hitcount %u ", m->hit_count);
	put(l, "--name %.*s --mask ", XT_RECENT_NAME_LEN, m->name);
	put_address(l, &m->mask);
	put(l, m->side == XT_RECENT_DEST ? " --rdest " : " --rsource ");
}

static void put_comment(struct line *l, const void *data)
{
	const struct xt_comment_info *m = data;
	int len = (int)strnlen(m->comment, sizeof(m->comment));
	bool plain = len > 0;

	for (int i = 0; i < len; i++)
		plain &= m->comment[i] > ' ' && !strchr("\"'\\", m->comment[i]);
	put(l, plain ? "--comment %.*s " : "--comment \"%.*s\" ", len, m->comment);
}

/* The matches that we use, in the revisions that we use. */
static const struct {
	const char *name;
	uint8_t revision;
	size_t size;
	void (*put)(struct line *l, const void *data);
} matches[] = {
	{ "owner", 1, sizeof(struct xt_owner_match_info), put_owner },
	{ "tcp", 0, sizeof(struct xt_tcp), put_tcp },
	{ "udp", 0, sizeof(struct xt_udp), put_udp },
	{ "multiport", 1, sizeof(struct xt_multiport_v1), put_multiport },
	{ "iprange", 1, sizeof(struct xt_iprange_mtinfo), put_iprange },
	{ "addrtype", 1, sizeof(struct xt_addrtype_info_v1), put_addrtype },
	{ "conntrack", 3, sizeof(struct xt_conntrack_mtinfo3), put_conntrack },
	{ "connmark", 1, sizeof(struct xt_connmark_mtinfo1), put_connmark },
	{ "socket", 3, sizeof(struct xt_socket_mtinfo3), put_socket },
	{ "recent", 1, sizeof(struct xt_recent_mtinfo_v1), put_recent },
	{ "comment", 0, sizeof(struct xt_comment_info), put_comment },
};

static void put_match(const struct xtable_part *m, void *data)
{
	struct line *l = data;

	put(l, "-m %s ", m->name);
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		if (strcmp(m->name, matches[i].name) == 0 && m->revision == matches[i].revision &&
		    m->len >= matches[i].size) {
			matches[i].put(l, m->data);
			return;
		}
	}
	put(l, "... ");
}

/* What a NAT target does to the port. */
struct nat {
	const char *option; /* NULL: no such target, or not in a revision that we use */
	unsigned flags;
	uint16_t first, last; /* host order */
};

static struct nat nat_of(const struct xtable_part *t, enum addr_family family)
{
	const struct nf_nat_ipv4_multi_range_compat *v4 = t->data;
	const struct nf_nat_range2 *dnat = t->data;
	const struct nf_nat_range *v6 = t->data;

	if (strcmp(t->name, "DNAT") == 0 && t->revision == 2 && t->len >= sizeof(*dnat))
		return (struct nat){ "--to-destination :", dnat->flags, ntohs(dnat->min_proto.all),
				     ntohs(dnat->max_proto.all) };
	if (strcmp(t->name, "REDIRECT") != 0 || t->revision != 0)
		return (struct nat){ NULL, 0, 0, 0 };
	if (family == ADDR_V4 && t->len >= sizeof(*v4))
		return (struct nat){ "--to-ports ", v4->range[0].flags, ntohs(v4->range[0].min.all),
				     ntohs(v4->range[0].max.all) };
	if (family == ADDR_V6 && t->len >= sizeof(*v6))
		return (struct nat){ "--to-ports ", v6->flags, ntohs(v6->min_proto.all),
				     ntohs(v6->max_proto.all) };
	return (struct nat){ NULL, 0, 0, 0 };
}

static void put_nat(struct line *l, const struct xtable_part *t)
{
	struct nat nat = nat_of(t, l->family);

	if (nat.flags & NF_NAT_RANGE_PROTO_SPECIFIED) {
		put(l, " %s%u", nat.option, nat.first);
		if (nat.first != nat.last)
			put(l, "-%u", nat.last);
	}
	if (nat.flags & ~(unsigned)NF_NAT_RANGE_PROTO_SPECIFIED)
		put(l, " (flags 0x%x)", nat.flags);
}

static void put_tproxy(struct line *l, const struct xtable_part *t)
{
	const struct xt_tproxy_target_info_v1 *info = t->data;

	put(l, " --on-port %u --on-ip ", ntohs(info->lport));
	put_address(l, &info->laddr);
	put(l, " --tproxy-mark 0x%x/0x%x", info->mark_value, info->mark_mask);
}

static void put_reject(struct line *l, const struct xtable_part *t)
{
	const struct ipt_reject_info *v4 = t->data;
	const struct ip6t_reject_info *v6 = t->data;

	if (l->family == ADDR_V4 && v4->with == IPT_ICMP_PORT_UNREACHABLE)
		put(l, " --reject-with icmp-port-unreachable");
	else if (l->family == ADDR_V6 && v6->with == IP6T_ICMP6_PORT_UNREACH)
		put(l, " --reject-with icmp6-port-unreachable");
	else
		put(l, " (with %u)", l->family == ADDR_V4 ? v4->with : v6->with);
}

static void put_set_ct_mark(struct line *l, const struct xtable_part *t)
{
	const struct xt_connmark_tginfo2 *info = t->data;

	if (info->mode == XT_CONNMARK_SET)
		put(l, " --set-xmark 0x%x/0x%x", info->ctmark, info->ctmask);
	else
		put(l, " (mode %u)", info->mode);
}

static void put_set_mark(struct line *l, const struct xtable_part *t)
{
	const struct xt_mark_tginfo2 *info = t->data;

	put(l, " --set-xmark 0x%x/0x%x", info->mark, info->mask);
}

/* The targets that we use beside NAT's, in the revisions that we use. */
static const struct {
	const char *name;
	uint8_t revision;
	size_t size;
	void (*put)(struct line *l, const struct xtable_part *t);
} targets[] = {
	{ "TPROXY", 1, sizeof(struct xt_tproxy_target_info_v1), put_tproxy },
	{ "REJECT", 0, sizeof(struct ipt_reject_info), put_reject },
	{ "CONNMARK", 2, sizeof(struct xt_connmark_tginfo2), put_set_ct_mark },
	{ "MARK", 2, sizeof(struct xt_mark_tginfo2), put_set_mark },
};

static void put_target(struct line *l, const struct xtable_part *t, bool jumps)
{
	put(l, "-%c %s", jumps ? 'g' : 'j', t->name);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		if (strcmp(t->name, targets[i].name) == 0 && t->revision == targets[i].revision &&
		    t->len >= targets[i].size) {
			targets[i].put(l, t);
			return;
		}
	}
	put_nat(l, t);
}

const char *decode_xt(const struct xtable *t, const struct xtable_rule *r,
		      char line[DECODE_XT_LINE_MAX])
{
	struct line l = { .family = t->family, .text = line };
	const void *bytes = xtable_bytes(t, r);
	struct xtable_part target;

	line[0] = '\0';
	put_ip(&l, bytes);
	xtable_each_match(t, r, put_match, &l);
	xtable_target_part(t, r, &target);
	put_target(&l, &target, xtable_is_goto(t, r));
	return line;
}

static bool is_tproxy(const struct xtable_part *t)
{
	return strcmp(t->name, "TPROXY") == 0 && t->revision == 1 &&
	       t->len >= sizeof(struct xt_tproxy_target_info_v1);
}

bool decode_xt_redirect(const struct xtable *t, const struct xtable_rule *r, uint16_t *first,
			uint16_t *last)
{
	struct xtable_part target;
	struct nat nat;

	xtable_target_part(t, r, &target);
	if (is_tproxy(&target)) {
		const struct xt_tproxy_target_info_v1 *info = target.data;

		*first = *last = ntohs(info->lport);
		return true;
	}
	nat = nat_of(&target, t->family);
	*first = nat.first;
	*last = nat.last;
	return nat.option;
}

static bool is_row(const char *comment, enum plan_row a, enum plan_row b)
{
	return strcmp(comment, plan_row_id(a)) == 0 || strcmp(comment, plan_row_id(b)) == 0;
}

/* Of a rule of row out-proxy. */
static void match_proxies(const struct xtable_part *m, void *data)
{
	const struct xt_owner_match_info *info = m->data;

	if (strcmp(m->name, "owner") == 0 && m->revision == 1 && m->len >= sizeof(*info) &&
	    info->match & XT_OWNER_UID)
		plan_ports_proxies(data, info->uid_min, info->uid_max);
}

static void rule_ports(const struct xtable *t, const struct xtable_rule *r,
		       struct plan_ports *ports)
{
	const char *row = xtable_comment(t, r);
	struct xtable_part target;
	struct nat nat;

	if (strcmp(row, plan_row_id(PLAN_ROW_OUT_PROXY)) == 0)
		xtable_each_match(t, r, match_proxies, ports);
	xtable_target_part(t, r, &target);
	if (is_tproxy(&target)) {
		const struct xt_tproxy_target_info_v1 *info = target.data;

		ports->tproxy = true;
		plan_ports_inbound(ports, ntohs(info->lport), ntohs(info->lport));
		return;
	}
	nat = nat_of(&target, t->family);
	if (!nat.option)
		return;
	if (is_row(row, PLAN_ROW_OUT_REDIRECT, PLAN_ROW_OUT_ANCHOR))
		plan_ports_outbound(ports, nat.first, nat.last);
	else if (is_row(row, PLAN_ROW_IN_REDIRECT, PLAN_ROW_IN_ANCHOR))
		plan_ports_inbound(ports, nat.first, nat.last);
}

void decode_xt_ports(const struct xtable *t, struct plan_ports *ports)
{
	for (size_t i = 0; i < t->chain_count; i++) {
		for (size_t j = 0; j < t->chains[i].count; j++)
			rule_ports(t, &t->chains[i].rules[j], ports);
	}
}

static void print_table(const struct xtable *t, FILE *to)
{
	char line[DECODE_XT_LINE_MAX];

	fprintf(to, "*%s\n", lower_table_name(t->table));
	for (size_t i = 0; i < t->chain_count; i++)
		fprintf(to, ":%s - [0:0]\n", t->chains[i].name);
	/* Each is put before the others: the last one first. */
	for (size_t i = t->entry_count; i-- > 0;)
		fprintf(to, "-I %s %s\n", t->entries[i].builtin,
			decode_xt(t, &t->entries[i].rule, line));
	for (size_t i = 0; i < t->chain_count; i++) {
		const struct xtable_chain *c = &t->chains[i];

		for (size_t j = 0; j < c->count; j++)
			fprintf(to, "-A %s %s\n", c->name, decode_xt(t, &c->rules[j], line));
	}
	fputs("COMMIT\n", to);
}

int decode_xt_print(const struct plan *p, enum addr_family family, FILE *to, struct err *e)
{
	struct lower l;
	int rc = lower_plan(p, family, &l, e);

	for (unsigned i = 0; rc == 0 && i < LOWER_TABLE_COUNT; i++) {
		struct xtable t;

		rc = encode_xt(&l, i, &t, e);
		if (rc == 0 && !xtable_empty(&t))
			print_table(&t, to);
		xtable_fini(&t);
	}
	lower_fini(&l);
	return rc;
}
