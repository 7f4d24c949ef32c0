// SPDX-License-Identifier: GPL-2.0-or-later
/* Flows and requests in the names of Envoy's statistics: see envoy_stats.h. */
#include "envoy_stats.h"

#define MS(x) ((x)*UINT64_C(1000000))

/* Envoy's own: source/common/stats/histogram_impl.cc, in milliseconds. */
const uint64_t envoy_bounds[ENVOY_BUCKETS - 1] = {
	MS(1) / 2, MS(1),      MS(5),	   MS(10),	MS(25),	     MS(50),	MS(100),
	MS(250),   MS(500),    MS(1000),   MS(2500),	MS(5000),    MS(10000), MS(30000),
	MS(60000), MS(300000), MS(600000), MS(1800000), MS(3600000),
};

/* What Envoy answers where the server does not. */
#define UNANSWERED 503u

static void observe(struct envoy_histogram *h, uint64_t ns)
{
	unsigned i = 0;

	/* Most values fall into one of the first few. */
	while (i < ENVOY_BUCKETS - 1 && ns > envoy_bounds[i])
		i++;
	metric_add(&h->buckets[i], 1);
	metric_add(&h->sum, (int64_t)ns);
}

static enum envoy_cluster cluster_of(enum direction direction, bool grpc)
{
	if (direction == DIRECTION_INBOUND)
		return grpc ? ENVOY_GRPC_LOCAL : ENVOY_REST_LOCAL;
	return grpc ? ENVOY_GRPC_PROXY : ENVOY_REST_PROXY;
}

static void down(struct envoy_stats *s, const struct envoy_flow *f, enum envoy_downstream what)
{
	metric_add(&s->managers[f->direction].counts[what], 1);
}

static void up(struct envoy_stats *s, enum envoy_cluster cluster, enum envoy_upstream what)
{
	metric_add(&s->clusters[cluster].counts[what], 1);
}

void envoy_open(struct envoy_stats *s, struct envoy_flow *f, enum direction direction)
{
	*f = (struct envoy_flow){
		.direction = (uint8_t)direction,
		.cluster = ENVOY_CLUSTER_COUNT,
	};
	down(s, f, ENVOY_DOWN_CX_TOTAL);
}

/* The connection to the server carries requests, of the cluster of the first. */
static void join(struct envoy_stats *s, struct envoy_flow *f)
{
	if (!f->connected || f->joined || f->cluster == ENVOY_CLUSTER_COUNT)
		return;
	f->joined = true;
	up(s, f->cluster, f->http2 ? ENVOY_UP_CX_HTTP2 : ENVOY_UP_CX_HTTP1);
	observe(&s->clusters[f->cluster].cx_connect, f->connect_us * UINT64_C(1000));
}

void envoy_connected(struct envoy_stats *s, struct envoy_flow *f, uint64_t ns)
{
	/* A forward proxy's client has asked for another host. */
	if (f->joined)
		up(s, f->cluster, ENVOY_UP_CX_DESTROY);
	f->joined = false;
	f->connected = true;
	f->connect_us = (uint32_t)MIN(ns / 1000, (uint64_t)UINT32_MAX);
	join(s, f);
}

/* The counters of its bytes: its cluster's, or those of what has none. */
static void count_bytes(struct envoy_stats *s, const struct envoy_flow *f, enum way way,
			uint64_t bytes)
{
	bool rx = way == WAY_TO_SERVER;

	if (likely(f->cluster != ENVOY_CLUSTER_COUNT))
		metric_add(
			&s->clusters[f->cluster].counts[rx ? ENVOY_UP_TX_BYTES : ENVOY_UP_RX_BYTES],
			(int64_t)bytes);
	else
		metric_add(&s->managers[f->direction]
				    .counts[rx ? ENVOY_DOWN_RX_BYTES : ENVOY_DOWN_TX_BYTES],
			   (int64_t)bytes);
}

void envoy_protocol(struct envoy_stats *s, struct envoy_flow *f, enum protocol protocol)
{
	bool grpc = protocol == PROTOCOL_GRPC;
	bool http = grpc || protocol == PROTOCOL_HTTP1 || protocol == PROTOCOL_HTTP2;

	if (http)
		f->http2 = protocol != PROTOCOL_HTTP1;
	if (http && f->cluster == ENVOY_CLUSTER_COUNT)
		f->cluster = (uint8_t)cluster_of(f->direction, grpc);
	join(s, f);
	f->known = true;
	for (unsigned way = 0; way < WAY_COUNT; way++) {
		count_bytes(s, f, way, f->bytes[way]);
		f->bytes[way] = 0;
	}
}

void envoy_bytes(struct envoy_stats *s, struct envoy_flow *f, enum way way, uint64_t bytes)
{
	if (likely(f->known))
		count_bytes(s, f, way, bytes);
	else
		f->bytes[way] += bytes;
}

void envoy_fin(struct envoy_flow *f, enum way way)
{
	if (way == WAY_TO_SERVER)
		f->client_ended = true;
	else if (!f->client_ended)
		f->server_first = true;
}

void envoy_lost(struct envoy_stats *s, const struct envoy_flow *f)
{
	down(s, f, ENVOY_DOWN_CX_PROTOCOL_ERROR);
}

/* A connect that failed: usually nobody knows yet for what kind of request it was. */
static void connect_failed(struct envoy_stats *s, const struct envoy_flow *f, enum outcome outcome,
			   uint64_t ns)
{
	enum envoy_cluster cluster = f->cluster != ENVOY_CLUSTER_COUNT
					     ? (enum envoy_cluster)f->cluster
					     : cluster_of(f->direction, false);

	if (outcome != OUTCOME_REFUSED && outcome != OUTCOME_UNREACHABLE &&
	    outcome != OUTCOME_TIMEOUT)
		return;
	up(s, cluster, ENVOY_UP_CX_CONNECT_FAIL);
	if (outcome == OUTCOME_TIMEOUT)
		up(s, cluster, ENVOY_UP_CX_CONNECT_TIMEOUT);
	up(s, cluster, ENVOY_UP_CX_DESTROY);
	observe(&s->clusters[cluster].cx_length, ns);
}

void envoy_close(struct envoy_stats *s, struct envoy_flow *f, enum outcome outcome, uint64_t ns)
{
	bool remote = outcome == OUTCOME_RESET_BY_CLIENT ||
		      (outcome == OUTCOME_CLOSED && !f->server_first);

	if (!f->known)
		envoy_protocol(s, f, PROTOCOL_TCP);
	down(s, f, remote ? ENVOY_DOWN_CX_DESTROY_REMOTE : ENVOY_DOWN_CX_DESTROY_LOCAL);
	observe(&s->managers[f->direction].cx_length, ns);
	if (f->joined) {
		up(s, f->cluster, ENVOY_UP_CX_DESTROY);
		observe(&s->clusters[f->cluster].cx_length, ns);
	} else if (!f->connected) {
		connect_failed(s, f, outcome, ns);
	}
}

void envoy_active(struct envoy_stats *s, const struct envoy_flow *f, bool grpc, int change)
{
	enum envoy_upstream begun = f->http2 ? ENVOY_UP_RQ_HTTP2 : ENVOY_UP_RQ_HTTP1;

	up(s, cluster_of(f->direction, grpc), change > 0 ? begun : ENVOY_UP_RQ_ENDED);
}

/* Where its status is counted. */
static unsigned code_of(const struct envoy_request *r)
{
	if (!r->status)
		return r->grpc ? ENVOY_CODE_UNANSWERED : UNANSWERED;
	return r->status <= ENVOY_CODE_LAST ? r->status : ENVOY_CODE_OTHER;
}

void envoy_request(struct envoy_stats *s, const struct envoy_flow *f, const struct envoy_request *r)
{
	enum envoy_cluster cluster = cluster_of(f->direction, r->grpc);
	struct envoy_upstreams *u = &s->clusters[cluster];
	bool by_client = r->end == REQUEST_RESET_BY_CLIENT || r->end == REQUEST_LEFT_BY_CLIENT;

	if (r->status || !by_client)
		metric_add(&u->codes[code_of(r)], 1);
	if (likely(r->end == REQUEST_ANSWERED)) {
		observe(&u->rq_time, r->ns);
		return;
	}
	if (by_client || r->status)
		down(s, f, ENVOY_DOWN_RQ_RX_RESET);
	else
		observe(&u->rq_unanswered, r->ns);
	if (r->status && !by_client)
		down(s, f, ENVOY_DOWN_RQ_TX_RESET);
	if (r->end == REQUEST_RESET_BY_SERVER)
		up(s, cluster, ENVOY_UP_RQ_RX_RESET);
	/* A stream of HTTP/1 is never reset; its connection is closed. */
	if (r->http2 && by_client)
		up(s, cluster, ENVOY_UP_RQ_TX_RESET);
	if (r->http2 && r->end == REQUEST_LEFT_BY_SERVER)
		up(s, cluster, ENVOY_UP_RQ_PENDING_FAILURE);
}
