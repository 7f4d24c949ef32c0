/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What sluice and sluice-proxy must agree on without talking to one another: the rules are made
 * by one, the ports, the user and the beat are the other's. Defaults; options change them.
 */
#ifndef SLUICE_CONTRACT_H
#define SLUICE_CONTRACT_H

/*
 * Inbound connections go to this many ports, beginning with the inbound port: the kernel takes
 * the first whose reply tuple is free (the collision: docs/redirect.md). Not an option.
 */
#define CONTRACT_INBOUND_PORTS 16

/* With --virtual-interfaces outbound connections do likewise. Not an option. */
#define CONTRACT_OUTBOUND_PORTS 16

/* How inbound connections get to the proxy. */
enum inbound_mode {
	INBOUND_REDIRECT, /* to the proxy's port */
	INBOUND_TPROXY,	  /* with their addresses: the application is given the client's */
	INBOUND_MODE_COUNT,
};

/* Where outbound connections go from the proxy. */
enum outbound_mode {
	OUTBOUND_ORIGINAL, /* to where they were going */
	OUTBOUND_HOST,	   /* to the host that their requests name */
	OUTBOUND_MODE_COUNT,
};

#define CONTRACT_INBOUND_PORT	 9211
#define CONTRACT_OUTBOUND_PORT	 9001
#define CONTRACT_ADMIN_PORT	 9901
#define CONTRACT_PROXY_UID	 1337
#define CONTRACT_BEAT_TIMEOUT_MS 300 /* how long one beat keeps the redirect armed */

/* The list of xt_recent that is the switch on the legacy tables, which count whole seconds. */
#define CONTRACT_RECENT_LIST "sluice_alive"

#endif
