/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a flow did to the metrics: the one place that decides which series an observation
 * goes to. Pure bookkeeping: no sockets, no clock.
 */
#ifndef SLUICE_RECORD_H
#define SLUICE_RECORD_H

#include "access_log.h"
#include "addr.h"
#include "envoy_stats.h"
#include "metrics.h"
#include "names.h"
#include "observer.h"

/* One thread's: its shard, and the address it named last (most flows go where others went). */
struct recorder {
	struct metrics_shard *shard;
	struct envoy_stats *envoy;
	struct access_ring *log; /* NULL: none; borrowed */
	struct names names;
	const struct routes *routes; /* NULL: none; borrowed */
	uint8_t semconv;	     /* enum semconv */
	uint8_t log_target;	     /* enum access_target */
	struct addr last_address;
	uint32_t last_address_name;
	uint64_t last_id, id_step; /* flows are numbered in steps: no two threads' ids meet */
};

/* One flow's. */
struct record {
	struct recorder *recorder;
	struct metric_value *bytes[WAY_COUNT]; /* NULL until the protocol is known */
	uint64_t total[WAY_COUNT];	       /* bytes so far */
	struct metric_value *active;
	struct addr address; /* the destination; of no family: not known yet */
	uint16_t port;
	uint8_t direction;
	uint8_t protocol;
	struct addr client; /* where there is a log, as is the port */
	uint16_t client_port;
	uint32_t sni;		       /* name of the TLS client's SNI; METRIC_NAME_NONE: none */
	struct names_flow destination; /* outbound: what DNS calls the address */
	uint32_t host;		       /* name of the last Host, outbound; METRIC_NAME_NONE: none */
	uint64_t opened;
	uint64_t connect_ns; /* still to be counted; 0: it was, or never connected */
	struct envoy_flow envoy;
	uint64_t id;	   /* no other flow of this worker has it */
	uint32_t requests; /* that have ended, gRPC calls too; modulo 2^32 */
};

/* A flow to @address and @port began at @now (ns). */
void record_open(struct record *r, struct recorder *recorder, enum direction direction,
		 const struct addr *address, uint16_t port, uint64_t now);

/* Who the client is, for the log. */
void record_client(struct record *r, const struct addr *address, uint16_t port);

/* Its destination goes by this name, whatever its address is. */
void record_named(struct record *r, struct span host);

/* Where that name has led to; NULL: nowhere yet, and so it is told. Metrics go by the name. */
void record_address(struct record *r, const struct addr *address);

/* Its destination answered. Outbound, that is counted with what first is called by its name. */
void record_connected(struct record *r, uint64_t now);

/* It has been open for a while: what waited for a name waits no longer. */
void record_settle(struct record *r, uint64_t now);

void record_bytes(struct record *r, enum way way, size_t bytes);

/* No more bytes will come that way. */
void record_fin(struct record *r, enum way way);

/*
 * What TCP says of the leg that leaves the pod, at the flow's end: its smoothed round trip time (0:
 * none was measured), and how many segments it sent again.
 */
void record_tcp(struct record *r, uint32_t rtt_us, uint32_t retransmits);

/* It is over; last call for @r. */
void record_close(struct record *r, enum outcome outcome, uint64_t now);

/* What observers tell goes here; the context is the struct record. */
extern const struct observer_sink record_sink;

#endif
