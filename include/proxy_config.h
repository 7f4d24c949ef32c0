/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sluice-proxy is told: filled from the option table, then const. */
#ifndef SLUICE_PROXY_CONFIG_H
#define SLUICE_PROXY_CONFIG_H

#include "addr.h"
#include "contract.h"
#include "error.h"
#include "options.h"
#include "routes.h"
#include "target.h"

/* Longest name of a service, as a DNS name's. */
#define PROXY_NAME_MAX 253
#define PROXY_PATH_MAX 4095

/* How many addresses --admin-listen takes. */
#define PROXY_ADMIN_MAX 8u

/* Where the admin server listens beside --admin-port. */
struct proxy_admin {
	uint8_t count;
	struct proxy_admin_at {
		struct addr addr;
		uint16_t port;
	} at[PROXY_ADMIN_MAX];
};

struct proxy_config {
	uint16_t inbound_port; /* the first of CONTRACT_INBOUND_PORTS */
	uint16_t outbound_port;
	uint16_t admin_port;
	struct proxy_admin admin_listen;
	bool admin_open;       /* what is for loopback alone is for everybody */
	unsigned inbound_mode; /* enum inbound_mode */
	struct target inbound_target;
	unsigned outbound_mode;	 /* enum outbound_mode */
	bool virtual_interfaces; /* outbound connections arrive from outside, on a range, too */
	bool transparent;	 /* IP_TRANSPARENT on the inbound listeners */
	bool sandbox;		 /* system calls confined: sandbox.h */
	uint32_t threads;
	uint32_t beat_ms;	  /* a heartbeat every so often */
	uint32_t beat_timeout_ms; /* how long the kernel holds us for alive after one */
	uint32_t drain_ms;	  /* how long a stop waits for flows to end */
	uint32_t max_connections; /* 0: as many as the descriptor limit lets */
	uint32_t max_descriptors; /* 0: as many as the hard limit lets */
	uint64_t max_memory;	  /* bytes; 0: see quota_memory_default() */
	uint32_t max_samples;
	uint32_t keepalive_idle_ms, keepalive_interval_ms, keepalive_count;
	char access_log[PROXY_PATH_MAX + 1]; /* a path, or "-"; empty: none */
	uint32_t access_log_buffer;	     /* lines that each thread may hold back */
	unsigned access_log_target;	     /* enum access_target */
	struct option_told *told;	     /* owned; what was given, for each of proxy_options */
	char service_name[PROXY_NAME_MAX + 1], service_namespace[PROXY_NAME_MAX + 1];
	bool no_ptr;			      /* DNS is not asked what addresses are called */
	struct cidr_list cluster_cidrs;	      /* addresses that are private, too */
	char resolv_conf[PROXY_PATH_MAX + 1]; /* what says which servers DNS has */
	unsigned semconv;		      /* enum semconv */
	struct routes *routes;		      /* owned; NULL: none */
	unsigned log_level;		      /* enum log_level */
	bool help, man, version;
};

extern const struct option_table proxy_options;

/* How many ports outbound connections may arrive on. */
static inline unsigned proxy_config_outbound_ports(const struct proxy_config *c)
{
	return c->virtual_interfaces ? CONTRACT_OUTBOUND_PORTS : 1;
}

/* The defaults that the help names. */
void proxy_config_init(struct proxy_config *c);
void proxy_config_fini(struct proxy_config *c);

/* What no single option can tell: ports that overlap, times that contradict one another. */
int proxy_config_check(const struct proxy_config *c, struct err *e);

#endif
