// SPDX-License-Identifier: GPL-2.0-or-later
/* One rule and one route per family, through rtnetlink: see tproxy_route.h. */
#include "tproxy_route.h"

#include "nl_socket.h"
#include "plan.h"

#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* The kernel's LOOPBACK_IFINDEX (include/net/flow.h): lo is the first device of any namespace. */
#define LO_INDEX 1

/* Should a kernel from before NLM_F_EXCL for rules (4.8) have got more than one. */
#define DUPLICATES_MAX 64

static uint8_t domain(enum addr_family family)
{
	return family == ADDR_V4 ? AF_INET : AF_INET6;
}

static const char *family_name(enum addr_family family)
{
	return family == ADDR_V4 ? "IPv4" : "IPv6";
}

/* ip rule add fwmark 0x736d lookup 29549 priority 200 protocol 115 */
static void rule_request(struct nl_request *r, uint16_t type, uint16_t flags,
			 enum addr_family family)
{
	struct fib_rule_hdr *rule = nl_request_init(r, type, NLM_F_ACK | flags, sizeof(*rule));

	rule->family = domain(family);
	rule->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(&r->nlh, FRA_PRIORITY, TPROXY_ROUTE_PRIORITY);
	mnl_attr_put_u32(&r->nlh, FRA_FWMARK, PLAN_MARK_SOURCE);
	mnl_attr_put_u32(&r->nlh, FRA_FWMASK, UINT32_MAX);
	mnl_attr_put_u32(&r->nlh, FRA_TABLE, TPROXY_ROUTE_TABLE);
	mnl_attr_put_u8(&r->nlh, FRA_PROTOCOL, TPROXY_ROUTE_PROTOCOL);
}

/* ip route add local default dev lo table 29549 protocol 115 */
static void route_request(struct nl_request *r, uint16_t type, uint16_t flags,
			  enum addr_family family)
{
	struct rtmsg *route = nl_request_init(r, type, NLM_F_ACK | flags, sizeof(*route));

	route->rtm_family = domain(family);
	route->rtm_type = RTN_LOCAL;
	route->rtm_scope = RT_SCOPE_HOST;
	route->rtm_protocol = TPROXY_ROUTE_PROTOCOL;
	mnl_attr_put_u32(&r->nlh, RTA_TABLE, TPROXY_ROUTE_TABLE);
	mnl_attr_put_u32(&r->nlh, RTA_OIF, LO_INDEX);
}

struct rule_search {
	unsigned found;
};

static int got_rule(const struct nlmsghdr *nlh, void *data)
{
	uint32_t table = 0, mark = 0, mask = 0, priority = 0;
	struct rule_search *s = data;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWRULE)
		return 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct fib_rule_hdr))
	{
		uint32_t *to = NULL;

		switch (mnl_attr_get_type(attr)) {
		case FRA_TABLE:
			to = &table;
			break;
		case FRA_FWMARK:
			to = &mark;
			break;
		case FRA_FWMASK:
			to = &mask;
			break;
		case FRA_PRIORITY:
			to = &priority;
			break;
		default:
			break;
		}
		if (to && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			*to = mnl_attr_get_u32(attr);
	}
	s->found += table == TPROXY_ROUTE_TABLE && mark == PLAN_MARK_SOURCE && mask == UINT32_MAX &&
		    priority == TPROXY_ROUTE_PRIORITY;
	return 0;
}

/* How many rules there are like ours. */
static int count_rules(struct nl_socket *nl, enum addr_family family, unsigned *count,
		       struct err *e)
{
	struct rule_search s = { .found = 0 };
	struct fib_rule_hdr *rule;
	struct nl_request r;
	int code = -EINTR, rc = 0;

	for (unsigned try = 0; rc == 0 && code == -EINTR && try < 100; try++) {
		rule = nl_request_init(&r, RTM_GETRULE, NLM_F_DUMP, sizeof(*rule));
		rule->family = domain(family);
		s.found = 0;
		rc = nl_socket_request(nl, &r.nlh, got_rule, &s, &code, e);
	}
	*count = s.found;
	if (rc == 0 && code < 0 && code != -EOPNOTSUPP && code != -EAFNOSUPPORT)
		rc = err_sys(e, code, "cannot list the %s routing rules", family_name(family));
	return rc;
}

/* Sends a change. 1: made; 0: @harmless says that there is nothing to do; -errno with @e set. */
static int change(struct nl_socket *nl, struct nl_request *r, int harmless, const char *what,
		  enum addr_family family, struct err *e)
{
	int code, rc = nl_socket_request(nl, &r->nlh, NULL, NULL, &code, e);

	if (rc < 0)
		return rc;
	if (code == 0)
		return 1;
	if (code == harmless)
		return 0;
	if (code == -EPERM)
		return err_set(e, code,
			       "--inbound-mode=tproxy: the kernel does not let us change routing: "
			       "CAP_NET_ADMIN is needed in the user namespace that owns this "
			       "network namespace");
	if (code == -ENETDOWN)
		return err_set(e, code,
			       "--inbound-mode=tproxy: answers come back through lo, which is "
			       "down: bring it up first");
	return err_sys(e, code, "--inbound-mode=tproxy: cannot change the %s %s for answers",
		       family_name(family), what);
}

/* Whether the failure means that there is no IPv6, at all or on lo; then nothing needs routing. */
static bool family_missing(enum addr_family family, int rc)
{
	return family == ADDR_V6 && (rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP || rc == -EACCES ||
				     rc == -ENODEV || rc == -EINVAL);
}

static int remove_family(struct nl_socket *nl, enum addr_family family, bool *changed,
			 struct err *e)
{
	struct nl_request r;
	unsigned count;
	int rc = count_rules(nl, family, &count, e);

	for (unsigned i = 0; rc >= 0 && i < MIN(count, DUPLICATES_MAX); i++) {
		rule_request(&r, RTM_DELRULE, 0, family);
		rc = change(nl, &r, -ENOENT, "rule", family, e);
		*changed |= rc > 0;
	}
	if (rc < 0)
		return rc;
	route_request(&r, RTM_DELROUTE, 0, family);
	rc = change(nl, &r, -ESRCH, "route", family, e);
	*changed |= rc > 0;
	return family_missing(family, rc) ? 0 : MIN(rc, 0);
}

/* The route first: a rule without it would send marked packets on to other tables. */
static int add_family(struct nl_socket *nl, enum addr_family family, bool *changed, struct err *e)
{
	struct err failure = ERR_INIT;
	struct nl_request r;
	unsigned count;
	int rc;

	route_request(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, family);
	rc = change(nl, &r, -EEXIST, "route", family, &failure);
	if (family_missing(family, rc))
		return 0;
	*changed |= rc > 0;
	if (rc >= 0)
		rc = count_rules(nl, family, &count, &failure);
	if (rc >= 0 && count == 0) {
		rule_request(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);
		rc = change(nl, &r, -EEXIST, "rule", family, &failure);
		*changed |= rc > 0;
	}
	if (rc < 0)
		*e = failure;
	return MIN(rc, 0);
}

/* Does it for both families. */
static int each_family(int (*act)(struct nl_socket *nl, enum addr_family family, bool *changed,
				  struct err *e),
		       struct nl_socket *nl, bool *changed, struct err *e)
{
	int rc = 0;

	*changed = false;
	for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++)
		rc = act(nl, f, changed, e);
	return rc;
}

int tproxy_route_remove(struct nl_socket *nl, bool *changed, struct err *e)
{
	return each_family(remove_family, nl, changed, e);
}

int tproxy_route_add(struct nl_socket *nl, bool *changed, struct err *e)
{
	int rc = each_family(add_family, nl, changed, e);

	if (rc < 0 && *changed) {
		struct err ignored = ERR_INIT;
		bool undone;

		tproxy_route_remove(nl, &undone, &ignored);
		*changed = false;
	}
	return rc;
}

/* The kernel's answer to where a packet would go. */
struct lookup {
	uint8_t type; /* RTN_* */
	uint32_t table;
};

static int got_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(nlh);
	struct lookup *l = data;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*route))
		return 0;
	l->type = route->rtm_type;
	mnl_attr_for_each(attr, nlh, sizeof(*route))
	{
		if (mnl_attr_get_type(attr) == RTA_TABLE &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			l->table = mnl_attr_get_u32(attr);
	}
	return 0;
}

/* ip route get ADDRESS mark MARK; no route at all is none of a type. */
static int look_up(struct nl_socket *nl, const struct addr *a, uint32_t mark, struct lookup *out,
		   struct err *e)
{
	struct rtmsg *route;
	struct nl_request r;
	int code, rc;

	*out = (struct lookup){ .type = RTN_UNSPEC };
	route = nl_request_init(&r, RTM_GETROUTE, NLM_F_ACK, sizeof(*route));
	route->rtm_family = domain(a->family);
	route->rtm_dst_len = (uint8_t)(8 * addr_len(a->family));
	route->rtm_flags = RTM_F_LOOKUP_TABLE;
	mnl_attr_put(&r.nlh, RTA_DST, addr_len(a->family), a->bytes);
	if (mark)
		mnl_attr_put_u32(&r.nlh, RTA_MARK, mark);
	rc = nl_socket_request(nl, &r.nlh, got_route, out, &code, e);
	if (rc == 0 && code < 0 && code != -ENETUNREACH && code != -EHOSTUNREACH &&
	    code != -EACCES && code != -EINVAL)
		rc = err_sys(e, code, "cannot ask for a route");
	return rc;
}

int tproxy_route_works(enum addr_family family, struct err *e)
{
	/* Addresses for documentation: RFC 5737, RFC 3849. */
	static const struct addr examples[] = {
		[ADDR_V4] = { ADDR_V4, { 192, 0, 2, 1 } },
		[ADDR_V6] = { ADDR_V6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
	};
	struct nl_socket *nl = nl_socket_new(NETLINK_ROUTE, e);
	struct lookup l;
	int rc;

	if (!nl)
		return e->code;
	rc = look_up(nl, &examples[family], PLAN_MARK_SOURCE, &l, e);
	nl_socket_free(nl);
	return rc < 0 ? rc : l.type == RTN_LOCAL && l.table == TPROXY_ROUTE_TABLE;
}

int tproxy_route_localnet(struct err *e)
{
	static const char path[] = "/proc/sys/net/ipv4/conf/all/route_localnet";
	FILE *f = fopen(path, "re"); /* of the namespace that this thread is in */
	int on;

	if (!f)
		return err_sys(e, -errno, "cannot read %s", path);
	on = fgetc(f); /* #syscalls openat read fstat close */
	fclose(f);
	if (on == EOF)
		return err_set(e, -EIO, "cannot read %s", path);
	return on != '0';
}

int tproxy_route_is_local(struct nl_socket *nl, const struct addr *a, struct err *e)
{
	struct lookup l;
	int rc = look_up(nl, a, 0, &l, e);

	return rc < 0 ? rc : l.type == RTN_LOCAL;
}
