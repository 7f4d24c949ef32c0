/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The access log: a line of JSON for each request, gRPC call, and TCP or TLS connection that ended.
 *
 * Theory of Operation: a data thread puts an entry into a ring of its own and goes on; where the
 * ring is full, the entry is dropped and counted. The log's thread makes lines of the entries and
 * writes them, a page at most at a time and only when poll(2) says that there is room, so whoever
 * reads them may stall for as long as he likes. A file that was moved is changed for the next one
 * between two lines. An entry of a ring belongs to the data thread from
 * `tail` + size on, and to the log's thread from `tail` up to `head`.
 */
#ifndef SLUICE_ACCESS_LOG_H
#define SLUICE_ACCESS_LOG_H

#include "addr.h"
#include "error.h"
#include "metrics.h"
#include "protocol.h"
#include "routes.h"
#include "trace.h"

#define ACCESS_NAME_MAX 107u  /* characters of a Host */
#define ACCESS_PATH_MAX 255u  /* characters of a path and its query */
#define ACCESS_LINE_MAX 4096u /* bytes of a line; also what one write(2) takes: PIPE_BUF */

enum access_kind {
	ACCESS_HTTP,
	ACCESS_GRPC,
	ACCESS_CONNECTION,
};

/* Times are CLOCK_MONOTONIC, ns. */
struct access_entry {
	uint64_t started, ended;
	uint64_t first_byte; /* of the response; 0: none */
	uint64_t flow;
	uint64_t bytes[WAY_COUNT];   /* of content; of a connection, all */
	struct addr client, address; /* the latter of no family: it is not known */
	uint16_t client_port, port;
	uint32_t server_name; /* its server_address, from metrics_name() */
	uint32_t detail;      /* rpc_method, or of a connection the SNI; likewise */
	struct trace trace;
	uint16_t status, route;
	uint8_t kind; /* enum access_kind */
	uint8_t direction, protocol, method, version, error, outcome, rpc_status;
	uint8_t host_len;
	char host[ACCESS_NAME_MAX]; /* as it was sent; empty: server_name */
};
_Static_assert(sizeof(struct access_entry) <= 272, "times --access-log-buffer, for each thread");

/* What of a request's target is logged. */
struct access_path {
	uint8_t len;
	char text[ACCESS_PATH_MAX];
};

struct access_ring {
	_Atomic uint64_t head; /* the data thread's: entries put in */
	_Atomic uint64_t dropped;
	struct access_log *log;
	struct access_path *paths; /* owned; of each entry; NULL: they have none */
	uint32_t mask;
	_Alignas(64) _Atomic uint64_t tail; /* the log's thread's: entries taken out */
	struct access_entry entries[];
};

struct access_log_config {
	int fd;	     /* borrowed; open for writing */
	int receive; /* others come from here to take its place (log_file.h); -1: none */
	unsigned threads;
	uint32_t entries;	       /* of each thread's ring; rounded up to a power of two */
	bool paths;		       /* there is room for them */
	const struct metrics *metrics; /* whose names the entries name; borrowed */
	const struct routes *routes;   /* NULL: none; borrowed */
};

struct access_log;

/* Starts the log's thread. 0 and *@out, or a negative errno with @e set. */
int access_log_start(const struct access_log_config *config, struct access_log **out,
		     struct err *e);

/* The ring of data thread @index. NULL where @log is. */
struct access_ring *access_log_ring(struct access_log *log, unsigned index);

/* Lines written and entries dropped so far. */
void access_log_counts(const struct access_log *log, uint64_t *written, uint64_t *dropped);

/*
 * Writes what the rings hold, for two seconds at most, ends the thread and frees. No data thread
 * may be left. NULL does nothing.
 */
void access_log_stop(struct access_log *log);

/* The entry to be filled in next, or NULL: there is no room, which is counted. */
struct access_entry *access_ring_claim(struct access_ring *ring);

/* The path, perhaps with a query, of the entry that was claimed; where there is no room, nothing.
 */
void access_ring_path(struct access_ring *ring, struct span path);

/* The entry that was claimed is filled in. */
void access_ring_publish(struct access_ring *ring);

/*
 * access_log_text.c: @x as a line with its end into @out, ACCESS_LINE_MAX bytes; its length.
 * @path may be empty, and have a query. @clock is CLOCK_REALTIME minus CLOCK_MONOTONIC, ns. Pure.
 */
size_t access_log_line(const struct access_entry *x, struct span path, const struct metrics *m,
		       const struct routes *routes, int64_t clock, char *out);

#endif
