/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the metrics registry share; nobody else includes it. */
#ifndef SLUICE_METRICS_INTERNAL_H
#define SLUICE_METRICS_INTERNAL_H

#include "metrics.h"

#include <pthread.h>

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
};

/* A label, and with it the field of the key that it prints. */
enum metric_label {
	LABEL_END,
	LABEL_DIRECTION,
	LABEL_WAY,
	LABEL_PROTOCOL,
	LABEL_OUTCOME,
	LABEL_REASON,
	LABEL_METHOD,
	LABEL_STATUS,
	LABEL_SCHEME, /* "http": what we read is never TLS */
	LABEL_VERSION,
	LABEL_ADDRESS,
	LABEL_PORT,
	LABEL_ROUTE,
	LABEL_ERROR,
	LABEL_RPC_SYSTEM, /* "grpc" */
	LABEL_RPC_METHOD,
	LABEL_RPC_STATUS,
	LABEL_RPC_ERROR,   /* as LABEL_ERROR, a status is printed by its name */
	LABEL_OLD_SYSTEM,  /* "grpc" */
	LABEL_OLD_SERVICE, /* of package.Service/Method */
	LABEL_OLD_METHOD,  /* the bare one */
	LABEL_OLD_STATUS,  /* a number */
	LABEL_SNI,
	LABEL_ALPN,
	LABEL_TLS_VERSION,
	LABEL_QUESTION,
	LABEL_RESULT,
	LABEL_COUNT,
};

#define METRIC_LABELS_MAX 8

/* The upper bounds of a histogram's buckets, without the last, infinite one. */
struct metric_bounds {
	unsigned count;
	bool seconds; /* values are nanoseconds, printed as seconds */
	const uint64_t *values;
	const char *const *texts; /* as `le` prints them, the same as OpenMetrics would */
};

struct metric_info {
	const char *name, *help;
	enum metric_type type;
	const struct metric_bounds *bounds; /* of a histogram */
	uint8_t labels[METRIC_LABELS_MAX];  /* enum metric_label, in the order of printing */
};

extern const struct metric_info metric_infos[METRIC_COUNT];

/* Longest text of a series' own labels. */
#define METRIC_LABELS_TEXT 1024u

/* Labels as text, cut never: names are bounded, and the base is added apart. */
struct metric_labels {
	size_t len;
	char text[METRIC_LABELS_TEXT];
};

/* Adds name="value"; an empty value is no label. @value needs no escaping. */
void metric_labels_add(struct metric_labels *l, const char *name, struct span value);

/* The labels of a key, without those of the service. */
void metric_labels_of(const struct metrics *m, const struct metric_key *key,
		      struct metric_labels *out);

#define METRIC_BUCKETS_MAX 18

/*
 * The latest example of a bucket, and its place in a list that only grows. The owning thread
 * writes, anyone reads: `sequence` is odd while `words` change.
 */
struct metric_exemplar {
	struct metric_exemplar *next;
	uint32_t bucket;
	_Atomic uint32_t sequence;
	_Atomic uint64_t words[5]; /* the trace's three, the value, the time */
};

struct metric_histogram {
	const struct metric_bounds *bounds;
	_Atomic(struct metric_exemplar *) exemplars;  /* in no order; NULL: none */
	_Atomic uint64_t sum;			      /* modulo 2^64 */
	_Atomic uint64_t sum_wraps;		      /* how often sum went past it */
	_Atomic uint64_t buckets[METRIC_BUCKETS_MAX]; /* not cumulative */
};

/* One shard's part of a series. The owning thread writes the value, nobody the rest. */
struct metric_part {
	struct metric_key key;
	uint32_t hash;
	struct metric_part *next; /* of another shard */
	union {
		struct metric_value value;
		struct metric_histogram histogram;
	};
};

/* key.reserved: 1 in the series that takes what the budget refused. */
#define KEY_OVERFLOW 1
/* In a shard's list of keys that the budget refused. */
#define KEY_REFUSED 2

/* A series of the process: what is printed as one. */
struct metric_series {
	struct metric_key key;
	uint32_t hash;
	_Atomic(struct metric_series *) next; /* of the same metric, newer */
	_Atomic(struct metric_part *) parts;
};

/* Names, append-only: looked up without a lock, added under one. See metrics_names.c. */
struct metric_name;

struct metric_names {
	pthread_mutex_t lock;
	uint32_t capacity; /* of slots, a power of two */
	uint32_t count;	   /* ids given, the fixed ones included */
	_Atomic uint32_t used[METRIC_NAME_KIND_COUNT];
	uint32_t max[METRIC_NAME_KIND_COUNT];
	_Atomic bool full[METRIC_NAME_KIND_COUNT];
	_Atomic(struct metric_name *) *slots; /* by hash */
	struct metric_name **by_id;
};

extern const char *const metric_name_kinds[METRIC_NAME_KIND_COUNT];

int metric_names_init(struct metric_names *n, const uint32_t max[METRIC_NAME_KIND_COUNT],
		      struct err *e);
void metric_names_fini(struct metric_names *n);
uint32_t metric_names_id(struct metric_names *n, struct span name, enum metric_name_kind kind);
/* The text of an id, valid while @n lives. */
struct span metric_names_text(const struct metric_names *n, uint32_t id);

struct metrics {
	pthread_mutex_t lock; /* of all that follows but what is atomic */
	struct metric_series **table;
	uint32_t table_capacity, table_count;
	_Atomic uint32_t samples; /* lines of all series, but for the overflow's */
	uint32_t samples_max;
	struct metrics_shard *shards;
	_Atomic(struct metric_series *) first[METRIC_COUNT];
	struct metric_series *last[METRIC_COUNT];
	_Atomic uint64_t overflowed[METRIC_COUNT];
	struct metric_names names;
	const struct routes *routes;
	char *base_labels; /* service_name and service_namespace, escaped, or "" */
};

/* Lines of the exposition that are there whatever the traffic, and may not be refused. */
#define METRIC_LINES_FIXED (METRIC_COUNT + REST_COUNT + 2 * METRIC_NAME_KIND_COUNT + 26)

/* What the kernel says of this process; fields are zero where it says nothing. */
struct metrics_self {
	uint64_t cpu_ns;
	uint64_t resident_bytes;
	uint64_t open_fds, max_fds;
};

void metrics_self_read(struct metrics_self *out);

#endif
