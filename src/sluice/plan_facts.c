// SPDX-License-Identifier: GPL-2.0-or-later
/* What rows and chains are called, and where chains hook in: see plan.h. */
#include "plan.h"

static const char *const row_ids[] = {
	[PLAN_ROW_BEAT] = "beat",
	[PLAN_ROW_OUT_SYN] = "out-syn",
	[PLAN_ROW_OUT_PROXY] = "out-proxy",
	[PLAN_ROW_OUT_LOCAL] = "out-local",
	[PLAN_ROW_OUT_LINKLOCAL] = "out-linklocal",
	[PLAN_ROW_OUT_IFACE] = "out-iface",
	[PLAN_ROW_OUT_OWNED] = "out-owned",
	[PLAN_ROW_OUT_OWNER] = "out-owner",
	[PLAN_ROW_OUT_PORT_EXCL] = "out-port-excl",
	[PLAN_ROW_OUT_CIDR_EXCL] = "out-cidr-excl",
	[PLAN_ROW_OUT_NOT_INCL] = "out-not-incl",
	[PLAN_ROW_OUT_DEAD] = "out-dead",
	[PLAN_ROW_OUT_REDIRECT] = "out-redirect",
	[PLAN_ROW_OUT_QUIC] = "out-quic",
	[PLAN_ROW_OUT_REJECT] = "out-reject",
	[PLAN_ROW_OUT_VIRTUAL] = "out-virtual",
	[PLAN_ROW_IN_SYN] = "in-syn",
	[PLAN_ROW_IN_LOCAL] = "in-local",
	[PLAN_ROW_IN_IFACE] = "in-iface",
	[PLAN_ROW_IN_FORWARD] = "in-forward",
	[PLAN_ROW_IN_OWN] = "in-own",
	[PLAN_ROW_IN_PORT_EXCL] = "in-port-excl",
	[PLAN_ROW_IN_CIDR_EXCL] = "in-cidr-excl",
	[PLAN_ROW_IN_NOT_INCL] = "in-not-incl",
	[PLAN_ROW_IN_OPEN] = "in-open",
	[PLAN_ROW_IN_CLOSED] = "in-closed",
	[PLAN_ROW_IN_DEAD] = "in-dead",
	[PLAN_ROW_IN_REDIRECT] = "in-redirect",
	[PLAN_ROW_IN_UNSERVED] = "in-unserved",
	[PLAN_ROW_IN_INVALID] = "in-invalid",
	[PLAN_ROW_IN_PROXIED] = "in-proxied",
	[PLAN_ROW_IN_SOURCE] = "in-source",
	[PLAN_ROW_IN_ANSWER] = "in-answer",
	[PLAN_ROW_OUT_ANCHOR] = "out-anchor",
	[PLAN_ROW_IN_ANCHOR] = "in-anchor",
};
_Static_assert(ARRAY_SIZE(row_ids) == PLAN_ROW_COUNT, "an id for each row");

static const struct {
	const char *name;
	enum plan_hook hook;
	int priority;
} chain_facts[] = {
	[PLAN_CHAIN_HEARTBEAT] = { "heartbeat", PLAN_HOOK_FILTER_OUTPUT, PLAN_PRIORITY_HEARTBEAT },
	[PLAN_CHAIN_NAT_OUTPUT] = { "nat-output", PLAN_HOOK_NAT_OUTPUT, PLAN_PRIORITY_NAT },
	[PLAN_CHAIN_OUTBOUND] = { .name = "outbound" },
	[PLAN_CHAIN_OUTBOUND_OWNED] = { .name = "outbound-owned" },
	[PLAN_CHAIN_QUIC_OUTPUT] = { "quic-output", PLAN_HOOK_REJECT_OUTPUT, PLAN_PRIORITY_QUIC },
	[PLAN_CHAIN_QUIC] = { .name = "quic" },
	[PLAN_CHAIN_QUIC_OWNED] = { .name = "quic-owned" },
	[PLAN_CHAIN_NAT_PREROUTING] = { "nat-prerouting", PLAN_HOOK_NAT_PREROUTING,
					PLAN_PRIORITY_NAT },
	[PLAN_CHAIN_VIRTUAL] = { .name = "virtual" },
	[PLAN_CHAIN_MANGLE_PREROUTING] = { "mangle-in", PLAN_HOOK_MANGLE_PREROUTING,
					   PLAN_PRIORITY_MANGLE },
	[PLAN_CHAIN_INBOUND] = { .name = "inbound" },
	[PLAN_CHAIN_INBOUND_OPEN] = { .name = "inbound-open" },
	[PLAN_CHAIN_MANGLE_OUTPUT] = { "mangle-out", PLAN_HOOK_MANGLE_OUTPUT,
				       PLAN_PRIORITY_MANGLE },
};
_Static_assert(ARRAY_SIZE(chain_facts) == PLAN_CHAIN_COUNT, "facts for each chain");

const char *plan_row_id(enum plan_row row)
{
	return row_ids[row];
}

const char *plan_chain_name(enum plan_chain_id chain)
{
	return chain_facts[chain].name;
}

enum plan_hook plan_chain_hook(enum plan_chain_id chain)
{
	return chain_facts[chain].hook;
}

int plan_chain_priority(enum plan_chain_id chain)
{
	return chain_facts[chain].priority;
}
