/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan: what shall be in the kernel, as sets, chains and rules that no backend owns.
 *
 * Theory of Operation: plan_build() turns a frozen configuration into rules, in the order of the
 * redirect contract; every rule carries the row of the contract that it is. A rule is a list of
 * matches that must all hold, and a verdict. The two nat base chains look at a connection's first
 * SYN only and jump to `outbound` and `inbound`, whose rules return what stays direct; what comes
 * through is redirected. Where a row needs a condition that can only be said positively (a
 * socket's owner, a listening socket), a rule goes on to the next chain and the one behind it
 * returns.
 *
 * The dead-man switch: `heartbeat` refreshes the set `alive` from the proxy's own datagrams, and
 * the dead rows return while the set lacks the packet's family.
 *
 * The collision: one client port towards two ports of this namespace would, after a redirect to
 * one port, be one connection to the kernel. Inbound goes to a range of CONTRACT_INBOUND_PORTS, of
 * which the kernel takes the first port whose reply tuple is free.
 *
 * Inbound by TPROXY: the connection keeps both its addresses, so that the proxy can connect to the
 * application from the client's. Chain `mangle-in` hands the SYN to the proxy's listener
 * and notes in the connection's mark that it did; later packets go the same way by that mark, also
 * the one that answers a SYN cookie. What the proxy sends from an address that is not of this
 * namespace gets another mark; the answers to it, addressed to the client, are marked packet by
 * packet in `mangle-out` and come back through lo by a routing rule (tproxy_route.h).
 *
 * Pure: a plan borrows its lists from the configuration, which must outlive it.
 */
#ifndef SLUICE_PLAN_H
#define SLUICE_PLAN_H

#include "config.h"

/* Our table, of family inet: nobody else's rules are in it. */
#define PLAN_TABLE "sluice"

/*
 * Before connection tracking (-200) and raw (-300), so that a beat makes no conntrack entry and
 * no other rule can swallow it.
 */
#define PLAN_PRIORITY_HEARTBEAT (-350)

/*
 * Just before dstnat (-100), where iptables, kube-proxy and service meshes hook: at equal
 * priorities the chain registered last would win, so we never share one.
 */
#define PLAN_PRIORITY_NAT (-101)

/* With nat, before anybody changes an address, but at a priority of its own. */
#define PLAN_PRIORITY_QUIC (-102)

/* Where iptables has its mangle table: after connection tracking, before any address is changed. */
#define PLAN_PRIORITY_MANGLE (-150)

/* Marks of connections: taken by TPROXY; begun by the proxy from a client's address. */
#define PLAN_MARK_PROXIED 0x736cu
#define PLAN_MARK_SOURCE  0x736du

/* UDP to this port is QUIC: RFC 9114, sect. 3.1. */
#define PLAN_QUIC_PORT 443

/* The rows of the contract, and what holds them together. */
enum plan_row {
	PLAN_ROW_BEAT, /* a heartbeat: refresh alive, drop */
	PLAN_ROW_OUT_SYN,
	PLAN_ROW_OUT_PROXY,
	PLAN_ROW_OUT_LOCAL,
	PLAN_ROW_OUT_LINKLOCAL,
	PLAN_ROW_OUT_IFACE,
	PLAN_ROW_OUT_OWNED, /* the owner is an included one: goes on */
	PLAN_ROW_OUT_OWNER,
	PLAN_ROW_OUT_PORT_EXCL,
	PLAN_ROW_OUT_CIDR_EXCL,
	PLAN_ROW_OUT_NOT_INCL,
	PLAN_ROW_OUT_DEAD,
	PLAN_ROW_OUT_REDIRECT,
	PLAN_ROW_OUT_QUIC,    /* UDP to port 443: goes through the same rows */
	PLAN_ROW_OUT_REJECT,  /* what comes through of it: port unreachable */
	PLAN_ROW_OUT_VIRTUAL, /* arrived on a virtual interface: goes through these rows */
	PLAN_ROW_IN_SYN,
	PLAN_ROW_IN_LOCAL,
	PLAN_ROW_IN_IFACE,
	PLAN_ROW_IN_FORWARD,
	PLAN_ROW_IN_OWN,
	PLAN_ROW_IN_PORT_EXCL,
	PLAN_ROW_IN_CIDR_EXCL,
	PLAN_ROW_IN_NOT_INCL,
	PLAN_ROW_IN_OPEN, /* somebody listens: goes on */
	PLAN_ROW_IN_CLOSED,
	PLAN_ROW_IN_DEAD,
	PLAN_ROW_IN_REDIRECT,
	PLAN_ROW_IN_UNSERVED, /* TPROXY found no listener, with --fail=closed */
	PLAN_ROW_IN_INVALID,
	PLAN_ROW_IN_PROXIED, /* a later packet of a connection that TPROXY took */
	PLAN_ROW_IN_SOURCE,  /* the proxy connects from a client's address */
	PLAN_ROW_IN_ANSWER,  /* an answer to that: comes back through lo */
	PLAN_ROW_OUT_ANCHOR, /* match nothing: keep translations of living connections going */
	PLAN_ROW_IN_ANCHOR,
	PLAN_ROW_COUNT,
};

/* In the order in which a packet meets them; a rule leads only to chains behind its own. */
enum plan_chain_id {
	PLAN_CHAIN_HEARTBEAT,
	PLAN_CHAIN_MANGLE_OUTPUT,
	PLAN_CHAIN_QUIC_OUTPUT,
	PLAN_CHAIN_QUIC,
	PLAN_CHAIN_QUIC_OWNED,
	PLAN_CHAIN_NAT_OUTPUT,
	PLAN_CHAIN_OUTBOUND,
	PLAN_CHAIN_OUTBOUND_OWNED,
	PLAN_CHAIN_MANGLE_PREROUTING,
	PLAN_CHAIN_NAT_PREROUTING,
	PLAN_CHAIN_VIRTUAL,
	PLAN_CHAIN_INBOUND, /* led to from either prerouting, by --inbound-mode */
	PLAN_CHAIN_INBOUND_OPEN,
	PLAN_CHAIN_COUNT,
};

/* Where a base chain is hooked in; PLAN_HOOK_NONE: only jumped to. */
enum plan_hook {
	PLAN_HOOK_NONE,
	PLAN_HOOK_FILTER_OUTPUT,
	PLAN_HOOK_NAT_OUTPUT,
	PLAN_HOOK_NAT_PREROUTING,
	PLAN_HOOK_REJECT_OUTPUT, /* filter, too; where the legacy tables allow to reject */
	PLAN_HOOK_MANGLE_PREROUTING,
	PLAN_HOOK_MANGLE_OUTPUT, /* a packet that is marked is routed again */
	PLAN_HOOK_COUNT,
};

enum plan_set_type {
	PLAN_SET_PORTS,
	PLAN_SET_UIDS,
	PLAN_SET_GIDS,
	PLAN_SET_ADDR4,
	PLAN_SET_ADDR6,
	PLAN_SET_TYPE_COUNT,
};

#define PLAN_NAME_MAX 32

/* A constant set of ranges. */
struct plan_set {
	char name[PLAN_NAME_MAX]; /* begins with the row's id; without the generation */
	enum plan_set_type type;
	const struct u32_ranges *numbers;    /* ports, uids, gids; borrowed */
	const struct addr_ranges *addresses; /* borrowed */
};

enum plan_match_kind {
	PLAN_MATCH_UID,	      /* of the sending socket: set or value */
	PLAN_MATCH_GID,	      /* likewise */
	PLAN_MATCH_OIF,	      /* leaves through: iface */
	PLAN_MATCH_IIF,	      /* arrived on: iface */
	PLAN_MATCH_FAMILY,    /* value: enum addr_family */
	PLAN_MATCH_TCP,	      /* TCP at all */
	PLAN_MATCH_SYN,	      /* TCP, SYN alone among FIN, SYN, RST, ACK */
	PLAN_MATCH_TCP_DPORT, /* set or value */
	PLAN_MATCH_UDP_DPORT, /* value */
	PLAN_MATCH_SADDR,     /* set, whose family it implies */
	PLAN_MATCH_DADDR,     /* likewise */
	PLAN_MATCH_LINKLOCAL, /* to fe80::/10 */
	PLAN_MATCH_LOCAL,     /* addressed to this namespace */
	PLAN_MATCH_LISTENER,  /* a socket here listens on the packet's address and port */
	PLAN_MATCH_ALIVE,     /* the packet's family has an element in alive */
	PLAN_MATCH_NEW,	      /* to connection tracking: the first of a connection */
	PLAN_MATCH_INVALID,   /* to connection tracking: of none */
	PLAN_MATCH_REPLY,     /* goes against the connection's direction */
	PLAN_MATCH_CT_MARK,   /* of the connection: value */
	PLAN_MATCH_FOREIGN,   /* the source is no address of this namespace */
	/*
	 * A transparent socket here has the very connection, if only in TIME_WAIT. The legacy
	 * tables do without: there LISTENER matches that, too.
	 */
	PLAN_MATCH_TRANSPARENT,
	PLAN_MATCH_COUNT,
};

struct plan_match {
	enum plan_match_kind kind;
	bool negate;		    /* with a set, LOCAL and ALIVE only */
	const struct plan_set *set; /* NULL: value */
	uint32_t value;
	struct iface iface;
};

enum plan_verdict {
	PLAN_VERDICT_RETURN,
	PLAN_VERDICT_JUMP,     /* to chain */
	PLAN_VERDICT_GOTO,     /* to chain: it does not come back to this one */
	PLAN_VERDICT_REDIRECT, /* to a port of first-last of this namespace */
	PLAN_VERDICT_DNAT,     /* to a port of first-last, the address unchanged */
	PLAN_VERDICT_BEAT,     /* refresh alive for timeout_ms, then drop */
	/*
	 * To the transparent listener on port first, and mark the connection (mark; 0: leave it).
	 * Without such a listener nftables goes on to the next rule, the legacy tables drop.
	 */
	PLAN_VERDICT_TPROXY,
	PLAN_VERDICT_DROP,
	PLAN_VERDICT_REJECT,  /* port unreachable */
	PLAN_VERDICT_CT_MARK, /* mark the connection, and accept */
	PLAN_VERDICT_MARK,    /* mark the packet, and accept */
	PLAN_VERDICT_COUNT,
};

#define PLAN_MATCHES_MAX 4

struct plan_rule {
	enum plan_row row;
	struct plan_match matches[PLAN_MATCHES_MAX];
	unsigned match_count;
	enum plan_verdict verdict;
	enum plan_chain_id chain; /* JUMP, GOTO */
	uint16_t first, last;	  /* REDIRECT, DNAT, TPROXY */
	uint32_t timeout_ms;	  /* BEAT */
	uint32_t mark;		  /* TPROXY, CT_MARK, MARK */
};

struct plan_chain {
	bool present;
	struct plan_rule *rules; /* owned */
	size_t count, capacity;
};

#define PLAN_SETS_MAX 24

struct plan {
	struct plan_chain chains[PLAN_CHAIN_COUNT];
	struct plan_set sets[PLAN_SETS_MAX];
	size_t set_count;
	struct u32_ranges own_ports; /* owned */
};

/* 0 or -ENOMEM. @c is frozen. The plan is the caller's to finish, also after a failure. */
int plan_build(struct plan *p, const struct config *c, struct err *e);

#define PLAN_PROXIES_MAX 4

/* Where redirected connections arrive, in host order; 0: nowhere. */
struct plan_ports {
	uint16_t inbound_first, inbound_last;
	uint16_t outbound_first, outbound_last;
	bool tproxy;				    /* inbound connections keep their addresses */
	struct u32_range proxies[PLAN_PROXIES_MAX]; /* uids that are not redirected themselves */
	unsigned proxy_count;
};

/* Adds what a rule redirects to; of two rules, the range that takes in both. */
void plan_ports_inbound(struct plan_ports *ports, uint16_t first, uint16_t last);
void plan_ports_outbound(struct plan_ports *ports, uint16_t first, uint16_t last);

/* Adds uids; what there is no room for widens the last range. */
void plan_ports_proxies(struct plan_ports *ports, uint32_t first, uint32_t last);

/*
 * What `remove` leaves for a moment: one rule per direction that matches nothing. With the last
 * rule that uses conntrack the kernel would stop translating living connections. The rules keep
 * the ports, so that a remove that is cut short can be run again. Of TPROXY, the rules for later
 * packets stay.
 */
int plan_build_anchor(struct plan *p, const struct plan_ports *ports, struct err *e);

void plan_fini(struct plan *p);

size_t plan_rule_count(const struct plan *p);

/* "out-port-excl". */
const char *plan_row_id(enum plan_row row);

/* "outbound". */
const char *plan_chain_name(enum plan_chain_id chain);

enum plan_hook plan_chain_hook(enum plan_chain_id chain);

/* Of a base chain. */
int plan_chain_priority(enum plan_chain_id chain);

/* Whether the answers of the application to the client's address must be routed to lo. */
static inline bool plan_needs_route(const struct plan *p)
{
	return p->chains[PLAN_CHAIN_MANGLE_OUTPUT].present;
}

#endif
