/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy's metrics: series, their bounds, and the registry.
 *
 * Theory of Operation: every thread of the worker owns one shard and is the only one that writes
 * it, with relaxed stores: no lock and no locked instruction on the data path. A scrape (the
 * admin thread) reads all shards and adds up series of the same key. A series, once published,
 * never moves and never goes while the process lives, so a flow may keep the pointer it got.
 *
 * A key is a plain value that compares by memcmp: enumerations, numbers, and ids of names. Names
 * (server_address) are interned for the whole process and bounded; past a bound the name is
 * METRIC_NAME_OTHER, printed as "_OTHER". When the sample budget is spent, a new series falls
 * into the one that has only the metric's fixed labels and "_OTHER" in the rest; totals stay
 * exact, and sluice_series_overflow_total{metric} counts.
 */
#ifndef SLUICE_METRICS_H
#define SLUICE_METRICS_H

#include "error.h"
#include "protocol.h"
#include "routes.h"
#include "span.h"
#include "trace.h"

#include <stdatomic.h>

enum metric {
	METRIC_HTTP_SERVER_REQUEST_DURATION, /* histogram, ns in, seconds out */
	METRIC_HTTP_CLIENT_REQUEST_DURATION,
	METRIC_HTTP_SERVER_REQUEST_BODY, /* histogram, bytes */
	METRIC_HTTP_SERVER_RESPONSE_BODY,
	METRIC_HTTP_CLIENT_REQUEST_BODY,
	METRIC_HTTP_CLIENT_RESPONSE_BODY,
	METRIC_HTTP_SERVER_ACTIVE, /* gauge */
	METRIC_HTTP_CLIENT_ACTIVE,
	METRIC_HTTP_FIRST_BYTE,	    /* histogram, ns in */
	METRIC_RPC_SERVER_DURATION, /* histogram, ns in */
	METRIC_RPC_CLIENT_DURATION,
	METRIC_RPC_SERVER_OLD, /* the same by older names: --semconv */
	METRIC_RPC_CLIENT_OLD,
	METRIC_RPC_MESSAGES,	    /* counter */
	METRIC_TLS_HANDSHAKES,	    /* counter */
	METRIC_CONNECTIONS_OPENED,  /* counter */
	METRIC_CONNECTIONS_ACTIVE,  /* gauge */
	METRIC_CONNECTIONS_CLOSED,  /* counter */
	METRIC_CONNECTION_DURATION, /* histogram, ns in */
	METRIC_CONNECT_DURATION,    /* histogram, ns in */
	METRIC_TCP_RTT,		    /* histogram, ns in */
	METRIC_TCP_RETRANSMITS,	    /* counter */
	METRIC_BYTES,		    /* counter */
	METRIC_OBSERVER_LOST,	    /* counter */
	METRIC_DNS_QUERIES,	    /* counter */
	METRIC_DNS_QUERIES_ACTIVE,  /* gauge */
	METRIC_DNS_CACHE_HITS,	    /* counter */
	METRIC_DNS_CACHE_ENTRIES,   /* gauge */
	METRIC_DNS_CACHE_ADDED,	    /* counter */
	METRIC_COUNT,
};

/* Ids of interned names that are always there. */
enum {
	METRIC_NAME_NONE = 0,
	METRIC_NAME_OTHER = 1,
};

/*
 * What tells one series from another. Zero what a metric does not use: the key compares as bytes.
 * Which field is printed as which label stands in the table of metrics.c, one row a metric.
 */
struct metric_key {
	uint8_t metric;	   /* enum metric */
	uint8_t direction; /* enum direction */
	uint8_t way;	   /* enum way */
	uint8_t method;	   /* enum http_method */
	uint8_t version;   /* enum http_version, or enum tls_version */
	union {
		uint8_t protocol; /* enum protocol */
		uint8_t question; /* enum dns_question */
	};
	union {
		uint8_t outcome; /* enum outcome */
		uint8_t result;	 /* enum dns_result */
	};
	uint8_t error; /* enum error_type */
	uint8_t lost;  /* enum lost_reason */
	uint8_t reserved;
	uint16_t status; /* HTTP status, 0: none; or enum rpc_status */
	uint16_t port;	 /* server_port; 0: not printed */
	uint16_t reserved2;
	uint32_t name;	 /* server_address or sni, from metrics_name() */
	uint32_t detail; /* rpc_method or alpn, likewise; or a route */
};

/* Whose names fill the table of names: each kind has its own bound. */
enum metric_name_kind {
	METRIC_NAME_ADDRESS, /* an address that a flow went to */
	METRIC_NAME_PTR,     /* what DNS calls such an address */
	METRIC_NAME_HOST,    /* from Host or :authority: a client may invent these */
	METRIC_NAME_SNI,     /* from a ClientHello: these too */
	METRIC_NAME_WORD,    /* from a ClientHello's protocols, spelt as it is */
	METRIC_NAME_METHOD,  /* package.Service/Method, spelt as it is */
	METRIC_NAME_KIND_COUNT,
};

struct metrics;	      /* the process's registry */
struct metrics_shard; /* one thread's part of it */

struct metrics_config {
	uint32_t max_samples;			      /* lines of a scrape, 20,000 by default */
	uint32_t max_names[METRIC_NAME_KIND_COUNT];   /* distinct names per kind */
	const char *service_name, *service_namespace; /* NULL or "": no such label; borrowed */
	const struct routes *routes;		      /* NULL: none; borrowed */
};

/* NULL with @e set when memory is out. The configuration's strings must outlive it. */
struct metrics *metrics_new(const struct metrics_config *config, struct err *e);
void metrics_free(struct metrics *m);

/* A shard for one thread; owned by @m. NULL with @e set when memory is out. */
struct metrics_shard *metrics_shard_new(struct metrics *m, struct err *e);

/*
 * The id of @name, the same in all threads. Lower-cased; characters outside [a-z0-9.-] (ADDRESS
 * and SNI: and ":") or more than 253 of them make it METRIC_NAME_OTHER, of HOST METRIC_NAME_NONE:
 * no name. So does a full table of that kind, METRIC_NAME_OTHER always. WORD and METHOD are not
 * lower-cased, and may hold [A-Za-z0-9._/$+-]. An empty name is METRIC_NAME_NONE. The first call
 * for a name in a thread takes a lock, later ones do not.
 */
uint32_t metrics_name(struct metrics_shard *s, struct span name, enum metric_name_kind kind);

/* The text of an id that metrics_name() gave; valid while @m lives. */
struct span metrics_name_text(const struct metrics *m, uint32_t id);

/* A counter or gauge; the owning thread alone adds to it. */
struct metric_value {
	_Atomic uint64_t value; /* a gauge wraps: read as int64_t */
};

struct metric_histogram;

/* The series of @key, made on first use. Never NULL: see the overflow rule above. */
struct metric_value *metrics_value(struct metrics_shard *s, const struct metric_key *key);
struct metric_histogram *metrics_histogram(struct metrics_shard *s, const struct metric_key *key);

static inline void metric_add(struct metric_value *v, int64_t n)
{
	uint64_t was = atomic_load_explicit(&v->value, memory_order_relaxed);

	atomic_store_explicit(&v->value, was + (uint64_t)n, memory_order_relaxed);
}

/* @value in the metric's own unit: nanoseconds or bytes. */
void metric_observe(struct metric_histogram *h, uint64_t value);

/*
 * An example of @value's bucket: that it is of @trace, and came at @now (CLOCK_MONOTONIC, ns). A
 * bucket has one, the latest.
 */
void metric_exemplar(struct metrics_shard *s, struct metric_histogram *h, uint64_t value,
		     const struct trace *trace, uint64_t now);

/* Facts of the process that a scrape adds to the series; all read at scrape time. */
struct metrics_process {
	bool armed_known, armed;
	uint64_t worker_restarts;
	bool observers_off;
	uint64_t limit_connections, used_connections;
	uint64_t limit_memory;			 /* bytes; what is used is read at scrape time */
	uint64_t backlog;			 /* bytes that wait for slow readers */
	uint64_t rests[REST_COUNT];		 /* beats that were not sent, by the reason */
	uint64_t rounds;			 /* of all event loops */
	uint64_t access_written, access_dropped; /* lines of the access log */
	uint64_t start_time_ns;			 /* CLOCK_REALTIME */
	uint64_t clock_offset; /* ns from CLOCK_MONOTONIC to CLOCK_REALTIME, modulo 2^64 */
};

/*
 * The sum of a counter of DNS over all threads: of its series of @question, and where @results are
 * not 0, of these (bits of enum dns_result). From any thread.
 */
uint64_t metrics_dns(const struct metrics *m, enum metric metric, enum dns_question question,
		     unsigned results);

/* Resident bytes of this process; 0 where the kernel does not say. Of proc(5), statm. */
uint64_t metrics_resident_bytes(void);

/* Memory of this process in bytes, as the kernel counts it; all 0 where it says nothing. */
struct metrics_memory {
	uint64_t resident;
	uint64_t own;	   /* what is resident and no file's: heap, stacks, other data */
	uint64_t reserved; /* address space for that */
};
void metrics_memory_read(struct metrics_memory *out);

enum metrics_format {
	METRICS_TEXT,	     /* text format 0.0.4 */
	METRICS_OPENMETRICS, /* OpenMetrics 1.0.0, with exemplars */
	METRICS_FORMAT_COUNT,
};

/* One exposition on its way, piece by piece; about 20 KiB. */
struct metrics_page;

/*
 * NULL without memory. @process is copied, and what the kernel says of the process read: that takes
 * one descriptor. @m is borrowed. Freed with free().
 */
struct metrics_page *metrics_page_new(struct metrics *m, const struct metrics_process *process,
				      enum metrics_format format);

/*
 * Writes the next piece, of some 16 KiB, as metrics_text() does. 1: there is more; 0: that was all;
 * or what @write returned. Series that come meanwhile may be in it; none is there twice.
 */
int metrics_page_next(struct metrics_page *p, int (*write)(void *to, struct span piece), void *to);

/*
 * The whole exposition in @format, written piece by piece through @write, which returns
 * 0 or a negative errno that ends it (returned). May run in any one thread at a time.
 */
int metrics_text(struct metrics *m, const struct metrics_process *process,
		 enum metrics_format format, int (*write)(void *to, struct span piece), void *to);

#endif
