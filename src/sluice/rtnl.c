// SPDX-License-Identifier: GPL-2.0-or-later
/* Links, addresses and routes: see rtnl.h. */
#include "rtnl.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

static int ask(struct nl_socket *nl, struct nl_request *r, const char *what, struct err *e)
{
	int code, rc = nl_socket_request(nl, &r->nlh, NULL, NULL, &code, e);

	if (rc < 0)
		return rc;
	return code < 0 ? err_sys(e, code, "cannot %s", what) : 0;
}

static uint8_t domain(enum addr_family family)
{
	return family == ADDR_V4 ? AF_INET : AF_INET6;
}

struct nl_socket *rtnl_socket_new(struct err *e)
{
	return nl_socket_new(NETLINK_ROUTE, e);
}

int rtnl_add_veth(struct nl_socket *nl, const char *name, const char *peer, int peer_ns,
		  struct err *e)
{
	struct nlattr *info, *data, *other;
	struct nl_request r;

	nl_request_init(&r, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
			sizeof(struct ifinfomsg));
	mnl_attr_put_strz(&r.nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(&r.nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(&r.nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(&r.nlh, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(&r.nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(&r.nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(&r.nlh, IFLA_IFNAME, peer);
	if (peer_ns >= 0)
		mnl_attr_put_u32(&r.nlh, IFLA_NET_NS_FD, (uint32_t)peer_ns);
	mnl_attr_nest_end(&r.nlh, other);
	mnl_attr_nest_end(&r.nlh, data);
	mnl_attr_nest_end(&r.nlh, info);
	return ask(nl, &r, "make a veth pair", e);
}

int rtnl_delete_link(struct nl_socket *nl, unsigned index, struct err *e)
{
	struct nl_request r;
	struct ifinfomsg *m = nl_request_init(&r, RTM_DELLINK, NLM_F_ACK, sizeof(*m));

	m->ifi_index = (int)index;
	return ask(nl, &r, "delete an interface", e);
}

int rtnl_link_up(struct nl_socket *nl, unsigned index, struct err *e)
{
	struct nl_request r;
	struct ifinfomsg *m = nl_request_init(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(*m));

	m->ifi_index = (int)index;
	m->ifi_flags = m->ifi_change = IFF_UP;
	return ask(nl, &r, "bring an interface up", e);
}

int rtnl_add_address(struct nl_socket *nl, unsigned index, const struct addr *a, uint8_t prefix,
		     struct err *e)
{
	struct nl_request r;
	struct ifaddrmsg *m = nl_request_init(&r, RTM_NEWADDR,
					      NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));

	m->ifa_family = domain(a->family);
	m->ifa_prefixlen = prefix;
	m->ifa_index = index;
	m->ifa_flags = a->family == ADDR_V6 ? IFA_F_NODAD : 0;
	mnl_attr_put(&r.nlh, IFA_LOCAL, addr_len(a->family), a->bytes);
	mnl_attr_put(&r.nlh, IFA_ADDRESS, addr_len(a->family), a->bytes);
	return ask(nl, &r, "add an address", e);
}

int rtnl_add_route(struct nl_socket *nl, enum addr_family family, const struct addr *to,
		   unsigned index, const struct addr *gateway, uint32_t table, struct err *e)
{
	struct nl_request r;
	struct rtmsg *m = nl_request_init(&r, RTM_NEWROUTE,
					  NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));

	m->rtm_family = domain(family);
	m->rtm_dst_len = to ? (uint8_t)(8 * addr_len(family)) : 0;
	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = gateway || family == ADDR_V6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(&r.nlh, RTA_TABLE, table);
	mnl_attr_put_u32(&r.nlh, RTA_OIF, index);
	if (to)
		mnl_attr_put(&r.nlh, RTA_DST, addr_len(family), to->bytes);
	if (gateway)
		mnl_attr_put(&r.nlh, RTA_GATEWAY, addr_len(family), gateway->bytes);
	return ask(nl, &r, "add a route", e);
}

int rtnl_rule(struct nl_socket *nl, bool add, enum addr_family family, uint32_t mark,
	      uint32_t priority, uint32_t table, struct err *e)
{
	struct nl_request r;
	struct fib_rule_hdr *m =
		nl_request_init(&r, add ? RTM_NEWRULE : RTM_DELRULE,
				NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), sizeof(*m));

	m->family = domain(family);
	m->action = FR_ACT_TO_TBL;
	m->table = RT_TABLE_UNSPEC;
	mnl_attr_put_u32(&r.nlh, FRA_PRIORITY, priority);
	mnl_attr_put_u32(&r.nlh, FRA_FWMARK, mark);
	mnl_attr_put_u32(&r.nlh, FRA_TABLE, table);
	return ask(nl, &r, add ? "add a routing rule" : "delete a routing rule", e);
}
