/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What flows and requests are in the names of Envoy's statistics, so that dashboards made for it
 * go on working: counters of an HTTP connection manager (a direction of ours) and of a cluster (a
 * direction's gRPC, or its other HTTP). Pure bookkeeping: no sockets, no clock.
 *
 * Theory of Operation: each thread has one struct envoy_stats and is the only one that writes it,
 * with relaxed stores; envoy_stats_text() adds all threads' up. There are few series, all known
 * beforehand, so they are arrays: nothing is looked up, nothing is allocated. Each event is written
 * once. What Envoy counts several times is a sum, never a difference: that could go down.
 *
 * Events are counted when Envoy counts them: a request when it begins, its status when its answer
 * is there, its time when the answer is whole. Where its server ends without an answer, Envoy
 * answers 503 by itself, to a gRPC call 200 with grpc-status 14; so that is what is counted here,
 * though the client saw the end.
 * A connection belongs to the cluster of its first request; one that carries no HTTP to none.
 */
#ifndef SLUICE_ENVOY_STATS_H
#define SLUICE_ENVOY_STATS_H

#include "metrics.h"
#include "observer.h"

/* Of one connection manager; the rest of its counts are sums over its clusters. */
enum envoy_downstream {
	ENVOY_DOWN_RQ_RX_RESET,
	ENVOY_DOWN_RQ_TX_RESET,
	ENVOY_DOWN_CX_TOTAL,
	ENVOY_DOWN_CX_DESTROY_LOCAL,
	ENVOY_DOWN_CX_DESTROY_REMOTE,
	ENVOY_DOWN_CX_PROTOCOL_ERROR,
	ENVOY_DOWN_RX_BYTES, /* of flows of no cluster */
	ENVOY_DOWN_TX_BYTES,
	ENVOY_DOWN_COUNT,
};

/* Of one cluster. */
enum envoy_upstream {
	ENVOY_UP_RQ_HTTP1, /* that began, by the client's connection */
	ENVOY_UP_RQ_HTTP2,
	ENVOY_UP_RQ_ENDED,
	ENVOY_UP_RQ_RX_RESET,
	ENVOY_UP_RQ_TX_RESET,
	ENVOY_UP_RQ_PENDING_FAILURE,
	ENVOY_UP_CX_HTTP1, /* that carry requests */
	ENVOY_UP_CX_HTTP2,
	ENVOY_UP_CX_CONNECT_FAIL,
	ENVOY_UP_CX_CONNECT_TIMEOUT, /* among those that failed */
	ENVOY_UP_CX_DESTROY,
	ENVOY_UP_RX_BYTES,
	ENVOY_UP_TX_BYTES,
	ENVOY_UP_COUNT,
};

enum envoy_cluster {
	ENVOY_GRPC_LOCAL,
	ENVOY_REST_LOCAL,
	ENVOY_GRPC_PROXY,
	ENVOY_REST_PROXY,
	ENVOY_CLUSTER_COUNT, /* also: none */
};

#define ENVOY_BUCKETS 20u /* 0.5 ms to an hour, and the infinite one */
#define ENVOY_CLASSES 5u  /* 1xx to 5xx */

/* By status; what has none or no class comes first. */
enum {
	ENVOY_CODE_UNANSWERED, /* calls of gRPC: 503 of the server, 200 to the client */
	ENVOY_CODE_OTHER,      /* 600 and more: no class in Envoy either */
	ENVOY_CODE_FIRST = 100,
	ENVOY_CODE_LAST = 599,
	ENVOY_CODE_COUNT,
};

struct envoy_histogram {
	struct metric_value buckets[ENVOY_BUCKETS]; /* not cumulative */
	struct metric_value sum;		    /* ns; wraps after 584 years of requests */
};

struct envoy_manager {
	struct metric_value counts[ENVOY_DOWN_COUNT];
	struct envoy_histogram cx_length;
};

struct envoy_upstreams {
	struct metric_value counts[ENVOY_UP_COUNT];
	struct metric_value codes[ENVOY_CODE_COUNT];
	struct envoy_histogram rq_time, rq_unanswered; /* whose answer is whole; who had none */
	struct envoy_histogram cx_connect, cx_length;
};

struct envoy_stats {
	struct envoy_manager managers[DIRECTION_COUNT];
	struct envoy_upstreams clusters[ENVOY_CLUSTER_COUNT];
	char apart[64]; /* no two threads write one cache line */
};

/* One flow's. */
struct envoy_flow {
	uint64_t bytes[WAY_COUNT];    /* before its protocol was known */
	uint32_t connect_us;	      /* at most 71 minutes */
	uint8_t direction;	      /* enum direction */
	uint8_t cluster;	      /* enum envoy_cluster */
	bool connected, known, http2; /* known: its protocol */
	bool joined;		      /* its connection to the server is counted in its cluster */
	bool server_first;	      /* the server ended before the client did */
	bool client_ended;
};

/* A flow began. */
void envoy_open(struct envoy_stats *s, struct envoy_flow *f, enum direction direction);

/* Its destination answered after @ns; a forward proxy's may be one after another. */
void envoy_connected(struct envoy_stats *s, struct envoy_flow *f, uint64_t ns);

/* Its protocol is known, or changed. */
void envoy_protocol(struct envoy_stats *s, struct envoy_flow *f, enum protocol protocol);

void envoy_bytes(struct envoy_stats *s, struct envoy_flow *f, enum way way, uint64_t bytes);

/* @way will bring no more bytes: its FIN was read. */
void envoy_fin(struct envoy_flow *f, enum way way);

/* HTTP was lost: what Envoy would have called an error of protocol. */
void envoy_lost(struct envoy_stats *s, const struct envoy_flow *f);

/* It is over, @ns after it began. */
void envoy_close(struct envoy_stats *s, struct envoy_flow *f, enum outcome outcome, uint64_t ns);

/* A request began (+1), or it is over (-1); @grpc: a gRPC call. */
void envoy_active(struct envoy_stats *s, const struct envoy_flow *f, bool grpc, int change);

/* What became of one, beside its envoy_active(-1). */
struct envoy_request {
	uint64_t ns;	      /* from its first byte to its end */
	uint16_t status;      /* of its final response; 0: none */
	enum request_end end; /* how it ended */
	bool grpc, http2;
};
void envoy_request(struct envoy_stats *s, const struct envoy_flow *f,
		   const struct envoy_request *r);

/* What a scrape shows beside the threads' own; read at scrape time. */
struct envoy_view {
	const struct envoy_stats *threads;
	unsigned thread_count;
	uint16_t ports[DIRECTION_COUNT]; /* of the listeners */
	bool live;
	uint64_t uptime_s;
	/* Of names that were resolved, where the destination is one: --outbound-mode=host. */
	uint64_t dns_answered, dns_failed, dns_added;
	uint64_t connections;			/* open */
	uint64_t memory_allocated, memory_heap; /* bytes */
};

/*
 * The whole exposition in text format 0.0.4, with TYPE lines, piece by piece through @write, which
 * returns 0 or a negative errno that ends it (returned). In any one thread at a time.
 */
int envoy_stats_text(const struct envoy_view *view, int (*write)(void *to, struct span piece),
		     void *to);

/* The upper bounds of all buckets but the last, in ns. */
extern const uint64_t envoy_bounds[ENVOY_BUCKETS - 1];

#endif
