/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user asked for: filled from options, then frozen. Pure but for the name service, which
 * is asked only where a user or group is given by name.
 */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include "addr.h"
#include "contract.h"
#include "inject_spec.h"
#include "interval.h"
#include "options.h"
#include "packet.h"
#include "target.h"

/* Bits that say which commands take an option. */
enum command_bit {
	COMMAND_APPLY = 1 << 0,
	COMMAND_REMOVE = 1 << 1,
	COMMAND_PLAN = 1 << 2,
	COMMAND_CHECK = 1 << 3,
	COMMAND_VERSION = 1 << 4,
	COMMAND_HELP = 1 << 5,
	COMMAND_EXPLAIN = 1 << 6,
	COMMAND_QUESTION = 1 << 7, /* a line of explain --batch */
	COMMAND_STATUS = 1 << 8,
	COMMAND_VERIFY = 1 << 9,
	COMMAND_INJECT = 1 << 10,
};

/* Without the final NUL, as in the kernel's IFNAMSIZ. */
#define IFACE_NAME_MAX 15

/* An interface by its name, or by how its name begins ("veth+"). */
struct iface {
	char name[IFACE_NAME_MAX + 1]; /* zero-padded, without the '+' */
	bool prefix;
};

struct iface_list {
	struct iface *items; /* owned */
	size_t count, capacity;
};

/* What becomes of a connection to a port on which nobody listens. */
enum closed_mode {
	CLOSED_REFUSE,
	CLOSED_REDIRECT,
	CLOSED_MODE_COUNT,
};

/* What becomes of connections while the proxy is not alive. */
enum fail_mode {
	FAIL_OPEN,
	FAIL_CLOSED,
	FAIL_MODE_COUNT,
};

/* What carries the rules: see backend.h. */
enum backend_choice {
	BACKEND_AUTO, /* nftables, or the legacy tables where the kernel lacks what it takes */
	BACKEND_NFT,
	BACKEND_IPTABLES,
	BACKEND_CHOICE_COUNT,
};

enum plan_format {
	PLAN_FORMAT_TEXT,
	PLAN_FORMAT_NFT,
	PLAN_FORMAT_IPTABLES,
	PLAN_FORMAT_IP6TABLES,
	PLAN_FORMAT_JSON,
	PLAN_FORMAT_COUNT,
};

/* How explain, status and verify answer. */
enum output_format {
	OUTPUT_TEXT,
	OUTPUT_JSON,
	OUTPUT_FORMAT_COUNT,
};

struct config {
	struct u32_ranges proxy_uids, proxy_gids;
	uint16_t inbound_port, outbound_port, admin_port;

	bool inbound;
	struct u32_ranges inbound_include_ports, inbound_exclude_ports;
	struct cidr_list inbound_exclude_cidrs;
	unsigned inbound_closed; /* enum closed_mode */
	unsigned inbound_mode;	 /* enum inbound_mode */
	struct target inbound_target;
	bool drop_invalid;

	bool outbound;
	struct u32_ranges outbound_include_ports, outbound_exclude_ports;
	struct cidr_list outbound_include_cidrs, outbound_exclude_cidrs;

	bool reject_quic;

	struct iface_list exclude_interfaces, virtual_interfaces;
	struct u32_ranges exclude_uids, exclude_gids, include_uids, include_gids;

	unsigned fail;		       /* enum fail_mode */
	uint32_t heartbeat_timeout_ms; /* how long the kernel believes in a beat */

	unsigned backend;	  /* enum backend_choice */
	uint32_t lock_timeout_ms; /* how long to wait for our turn, and for the lock of iptables */
	uint32_t drain_ms;	  /* of remove: how long connections may take to end */
	struct addr node_address; /* whose namespace is not ours to change; 0.0.0.0: not given */

	struct packet packet; /* explain: what is asked about */
	bool batch, live;     /* explain */
	bool watch, repair;   /* check */

	unsigned format;	 /* enum plan_format */
	unsigned output;	 /* enum output_format */
	const char *netns;	 /* PID or path; borrowed; NULL: the current one */
	bool script_environment; /* the script's variables count, too: options.h */
	bool help, man;
	bool joined;	       /* on the second rung already: see privs.h */
	const char **operands; /* owned, the texts borrowed: of help a command, of inject files */
	size_t operand_count;

	struct inject_options inject;
	const char *sets[INJECT_SETTINGS]; /* of inject: NAME=VALUE each; borrowed */
	size_t set_count;
};

/* Every option of every command: see config_options.c. */
extern const struct option_table config_options;

/* The defaults. Lists start empty: what an empty list means is decided by config_freeze(). */
void config_init(struct config *c);
void config_fini(struct config *c);

/*
 * Completes, sorts and cross-checks @c; call it once, after the options are read, and do not
 * change @c afterwards. 0 or a usage error that names the option.
 */
int config_freeze(struct config *c, struct err *e);

/* The last port of the inbound range. Precondition: frozen. */
static inline uint16_t config_inbound_last(const struct config *c)
{
	return (uint16_t)(c->inbound_port + CONTRACT_INBOUND_PORTS - 1);
}

/* The last port that outbound connections may arrive on. Precondition: frozen. */
static inline uint16_t config_outbound_last(const struct config *c)
{
	unsigned more = c->virtual_interfaces.count ? CONTRACT_OUTBOUND_PORTS - 1 : 0;

	return (uint16_t)(c->outbound_port + more);
}

/* "eth0", or "veth+" for every interface whose name begins so. 0, a usage error or -ENOMEM. */
int iface_list_parse_item(struct iface_list *l, struct span item, struct err *e);

#endif
