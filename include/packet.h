/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first packet of a connection that may or may not exist: what explain is asked about. Pure. */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

#include "addr.h"

enum packet_direction {
	PACKET_OUTBOUND, /* a process of this namespace connects */
	PACKET_INBOUND,	 /* it arrives at this namespace */
	PACKET_DIRECTION_COUNT,
};

enum packet_protocol {
	PACKET_TCP,
	PACKET_UDP,
	PACKET_PROTOCOL_COUNT,
};

/* What may be said, or left to be found out. */
enum packet_answer {
	PACKET_UNSAID,
	PACKET_NO,
	PACKET_YES,
};

/* An address and, maybe, a port. */
struct endpoint {
	struct addr addr;
	uint16_t port; /* 0: not given */
	bool given;
};

/* As the kernel's IFNAMSIZ. */
#define PACKET_IFACE_MAX 16

struct packet {
	unsigned direction; /* enum packet_direction */
	unsigned protocol;  /* enum packet_protocol */
	struct endpoint from, to;
	uint32_t uid, gid;	      /* of the socket that sends it; outbound only */
	char iface[PACKET_IFACE_MAX]; /* left through, or arrived on; zero-padded; "": another */
	/* What a packet does not tell, enum packet_answer. */
	unsigned local;	    /* addressed to this namespace */
	unsigned listening; /* a socket here listens on that address and port */
	unsigned alive;	    /* the proxy beats */
};

/*
 * "10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80"; ::ffff:10.0.0.1 is 10.0.0.1. 0 or a usage
 * error.
 */
int endpoint_parse(struct span s, struct endpoint *out, struct err *e);

/*
 * Fills in what was not said: a loopback destination leaves through, or arrived on, lo, and
 * what a process sends to 0.0.0.0 or :: goes there; inbound is addressed to us; somebody listens;
 * the proxy is alive. A usage error names what contradicts itself or is missing.
 */
int packet_complete(struct packet *p, struct err *e);

#endif
