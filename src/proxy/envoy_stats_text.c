// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The exposition of Envoy's names: see envoy_stats.h.
 *
 * Families are rows of tables: a name, a type, and the counts that its value is the sum of. What
 * has no counterpart here and is asked for all the same is a row of none, and 0.
 */
#include "envoy_stats.h"

#include <stdarg.h>

struct out {
	const struct envoy_view *view;
	int (*write)(void *to, struct span piece);
	void *to;
	int rc; /* the first failure, then nothing is written any more */
};

static const char *const prefixes[DIRECTION_COUNT] = { "ingress_http", "egress_http" };
static const char *const listener_hosts[DIRECTION_COUNT] = { "0.0.0.0", "127.0.0.1" };
static const char *const cluster_names[ENVOY_CLUSTER_COUNT] = {
	[ENVOY_GRPC_LOCAL] = "grpc_local_service",
	[ENVOY_REST_LOCAL] = "rest_local_service",
	[ENVOY_GRPC_PROXY] = "grpc_proxy_cluster",
	[ENVOY_REST_PROXY] = "rest_proxy_cluster",
};

/* As Envoy prints them, in milliseconds. */
static const char *const bound_texts[ENVOY_BUCKETS] = {
	"0.5",	"1",	"5",	 "10",	  "25",	   "50",     "100",    "250",	  "500",     "1000",
	"2500", "5000", "10000", "30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf",
};

static void out_line(struct out *o, const char *fmt, ...) _printf_(2, 3);

static void out_line(struct out *o, const char *fmt, ...)
{
	char line[320];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (o->rc == 0)
		o->rc = o->write(o->to, SPAN(line, MIN((size_t)n, sizeof(line) - 1)));
}

static uint64_t load(const struct metric_value *v)
{
	return atomic_load_explicit(&v->value, memory_order_relaxed);
}

/* ---- Adding up: threads, and what a family is the sum of ---- */

#define BIT(count) (UINT32_C(1) << (count))
#define COMPLETED  BIT(31) /* of a cluster: all its codes */
_Static_assert(ENVOY_UP_COUNT < 31 && ENVOY_DOWN_COUNT < 31, "a bit for each");

/* How many answers of @first to @last a cluster gave. */
static uint64_t codes(const struct out *o, unsigned cluster, unsigned first, unsigned last)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++) {
		for (unsigned status = first; status <= last; status++)
			sum += load(&o->view->threads[t].clusters[cluster].codes[status]);
	}
	return sum;
}

/* @sum: BIT()s of enum envoy_upstream, or COMPLETED. */
static uint64_t up(const struct out *o, unsigned cluster, uint32_t sum)
{
	uint64_t value = sum & COMPLETED ? codes(o, cluster, 0, ENVOY_CODE_LAST) : 0;

	for (unsigned t = 0; t < o->view->thread_count; t++) {
		const struct envoy_upstreams *u = &o->view->threads[t].clusters[cluster];

		for (unsigned i = 0; i < ENVOY_UP_COUNT; i++)
			value += sum & BIT(i) ? load(&u->counts[i]) : 0;
	}
	return value;
}

/* The clusters of a direction are these two. */
static const enum envoy_cluster clusters_of[DIRECTION_COUNT][2] = {
	[DIRECTION_INBOUND] = { ENVOY_GRPC_LOCAL, ENVOY_REST_LOCAL },
	[DIRECTION_OUTBOUND] = { ENVOY_GRPC_PROXY, ENVOY_REST_PROXY },
};

/* @own: BIT()s of enum envoy_downstream; @sum: of its clusters'. */
static uint64_t down(const struct out *o, unsigned direction, uint32_t own, uint32_t sum)
{
	uint64_t value = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++) {
		const struct envoy_manager *m = &o->view->threads[t].managers[direction];

		for (unsigned i = 0; i < ENVOY_DOWN_COUNT; i++)
			value += own & BIT(i) ? load(&m->counts[i]) : 0;
	}
	return value + up(o, clusters_of[direction][0], sum) +
	       up(o, clusters_of[direction][1], sum);
}

/* The answers of a class: of the servers of a cluster, and to its clients. */
static uint64_t up_class(const struct out *o, unsigned cluster, unsigned class)
{
	return codes(o, cluster, 100 * class, 100 * class + 99) +
	       (class == 5 ? codes(o, cluster, ENVOY_CODE_UNANSWERED, ENVOY_CODE_UNANSWERED) : 0);
}

static uint64_t down_class(const struct out *o, unsigned direction, unsigned class)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		enum envoy_cluster c = clusters_of[direction][i];

		sum += codes(o, c, 100 * class, 100 * class + 99);
		if (class == 2)
			sum += codes(o, c, ENVOY_CODE_UNANSWERED, ENVOY_CODE_UNANSWERED);
	}
	return sum;
}

/* What has begun and not ended. The end is read first, but nothing holds the threads meanwhile. */
static uint64_t open_of(uint64_t ended, uint64_t begun)
{
	return begun > ended ? begun - ended : 0;
}

#define RQ_TOTAL (BIT(ENVOY_UP_RQ_HTTP1) | BIT(ENVOY_UP_RQ_HTTP2))
#define CX_HTTP	 (BIT(ENVOY_UP_CX_HTTP1) | BIT(ENVOY_UP_CX_HTTP2))
#define CX_TOTAL (CX_HTTP | BIT(ENVOY_UP_CX_CONNECT_FAIL))
#define DESTROY	 (BIT(ENVOY_DOWN_CX_DESTROY_LOCAL) | BIT(ENVOY_DOWN_CX_DESTROY_REMOTE))

static uint64_t cluster_rq_active(const struct out *o, unsigned cluster)
{
	uint64_t ended = up(o, cluster, BIT(ENVOY_UP_RQ_ENDED));

	return open_of(ended, up(o, cluster, RQ_TOTAL));
}

static uint64_t cluster_cx_active(const struct out *o, unsigned cluster)
{
	uint64_t ended = up(o, cluster, BIT(ENVOY_UP_CX_DESTROY));

	return open_of(ended, up(o, cluster, CX_TOTAL));
}

static uint64_t manager_rq_active(const struct out *o, unsigned direction)
{
	return cluster_rq_active(o, clusters_of[direction][0]) +
	       cluster_rq_active(o, clusters_of[direction][1]);
}

static uint64_t manager_cx_active(const struct out *o, unsigned direction)
{
	uint64_t ended = down(o, direction, DESTROY, 0);

	return open_of(ended, down(o, direction, BIT(ENVOY_DOWN_CX_TOTAL), 0));
}

/* ---- Families ---- */

static void out_type(struct out *o, const char *name, const char *type)
{
	out_line(o, "# TYPE %s %s\n", name, type);
}

/* One histogram out of all threads' at @offsets of struct envoy_stats; 0 ends them. */
static void out_histogram(struct out *o, const char *name, const char *label, const char *value,
			  const size_t *offsets)
{
	uint64_t buckets[ENVOY_BUCKETS] = { 0 }, count = 0, sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++) {
		for (const size_t *at = offsets; *at; at++) {
			const struct envoy_histogram *h =
				(const void *)((const char *)&o->view->threads[t] + *at);

			for (unsigned i = 0; i < ENVOY_BUCKETS; i++)
				buckets[i] += load(&h->buckets[i]);
			sum += load(&h->sum);
		}
	}
	for (unsigned i = 0; i < ENVOY_BUCKETS; i++) {
		count += buckets[i];
		out_line(o, "%s_bucket{%s=\"%s\",le=\"%s\"} %llu\n", name, label, value,
			 bound_texts[i], (unsigned long long)count);
	}
	out_line(o, "%s_sum{%s=\"%s\"} %llu.%06llu\n", name, label, value,
		 (unsigned long long)(sum / 1000000), (unsigned long long)(sum % 1000000));
	out_line(o, "%s_count{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)count);
}

#define MANAGER	     "envoy_http_conn_manager_prefix"
#define CLUSTER	     "envoy_cluster_name"
#define CLASS	     "envoy_response_code_class"
#define LISTENER     "envoy_listener_address"
#define DOWN(suffix) "envoy_http_downstream_" suffix
#define DNS_CACHE    "envoy_dns_cache_proxy_dns_cache_"
#define UP(suffix)   "envoy_cluster_upstream_" suffix

struct manager_family {
	const char *name;
	uint32_t own, clusters; /* as down() takes them */
};

static const struct manager_family manager_counters[] = {
	{ DOWN("rq_total"), 0, RQ_TOTAL },
	{ DOWN("rq_completed"), 0, COMPLETED },
	{ DOWN("rq_http1_total"), 0, BIT(ENVOY_UP_RQ_HTTP1) },
	{ DOWN("rq_http2_total"), 0, BIT(ENVOY_UP_RQ_HTTP2) },
	{ DOWN("rq_rx_reset"), BIT(ENVOY_DOWN_RQ_RX_RESET), 0 },
	{ DOWN("rq_tx_reset"), BIT(ENVOY_DOWN_RQ_TX_RESET), 0 },
	{ DOWN("rq_timeout"), 0, 0 },
	{ DOWN("cx_total"), BIT(ENVOY_DOWN_CX_TOTAL), 0 },
	{ DOWN("cx_http1_total"), 0, BIT(ENVOY_UP_CX_HTTP1) },
	{ DOWN("cx_http2_total"), 0, BIT(ENVOY_UP_CX_HTTP2) },
	{ DOWN("cx_destroy"), DESTROY, 0 },
	{ DOWN("cx_destroy_local"), BIT(ENVOY_DOWN_CX_DESTROY_LOCAL), 0 },
	{ DOWN("cx_destroy_remote"), BIT(ENVOY_DOWN_CX_DESTROY_REMOTE), 0 },
	{ DOWN("cx_protocol_error"), BIT(ENVOY_DOWN_CX_PROTOCOL_ERROR), 0 },
	{ DOWN("cx_idle_timeout"), 0, 0 },
	{ DOWN("cx_rx_bytes_total"), BIT(ENVOY_DOWN_RX_BYTES), BIT(ENVOY_UP_TX_BYTES) },
	{ DOWN("cx_tx_bytes_total"), BIT(ENVOY_DOWN_TX_BYTES), BIT(ENVOY_UP_RX_BYTES) },
	{ "envoy_http_rq_total", 0, RQ_TOTAL },
};

struct cluster_family {
	const char *name;
	uint32_t sum; /* as up() takes it */
};

static const struct cluster_family cluster_counters[] = {
	{ UP("rq_total"), RQ_TOTAL },
	{ UP("rq_completed"), COMPLETED },
	{ "envoy_cluster_external_upstream_rq_completed", COMPLETED },
	{ UP("rq_timeout"), 0 },
	{ UP("rq_retry"), 0 },
	{ UP("rq_rx_reset"), BIT(ENVOY_UP_RQ_RX_RESET) },
	{ UP("rq_tx_reset"), BIT(ENVOY_UP_RQ_TX_RESET) },
	/* A connection's first request waits for it; and there is none without one. */
	{ UP("rq_pending_total"), CX_HTTP },
	{ UP("rq_pending_overflow"), 0 },
	{ UP("rq_pending_failure_eject"), BIT(ENVOY_UP_RQ_PENDING_FAILURE) },
	{ UP("cx_total"), CX_TOTAL },
	{ UP("cx_http1_total"), BIT(ENVOY_UP_CX_HTTP1) },
	{ UP("cx_http2_total"), BIT(ENVOY_UP_CX_HTTP2) },
	{ UP("cx_connect_fail"), BIT(ENVOY_UP_CX_CONNECT_FAIL) },
	{ UP("cx_connect_timeout"), BIT(ENVOY_UP_CX_CONNECT_TIMEOUT) },
	{ UP("cx_overflow"), 0 },
	{ UP("cx_destroy"), BIT(ENVOY_UP_CX_DESTROY) },
	{ UP("cx_rx_bytes_total"), BIT(ENVOY_UP_RX_BYTES) },
	{ UP("cx_tx_bytes_total"), BIT(ENVOY_UP_TX_BYTES) },
};

struct gauge {
	const char *name;
	uint64_t (*value)(const struct out *o, unsigned index); /* NULL: constant */
	uint64_t constant;
};

static const struct gauge manager_gauges[] = {
	{ DOWN("rq_active"), manager_rq_active, 0 },
	{ DOWN("cx_active"), manager_cx_active, 0 },
};

#define BREAKER(name)                                                   \
	{                                                               \
		"envoy_cluster_circuit_breakers_" name "_open", NULL, 0 \
	}

static const struct gauge cluster_gauges[] = {
	{ UP("rq_active"), cluster_rq_active, 0 },
	{ UP("rq_pending_active"), NULL, 0 },
	{ UP("cx_active"), cluster_cx_active, 0 },
	{ "envoy_cluster_membership_healthy", NULL, 1 },
	{ "envoy_cluster_membership_total", NULL, 1 },
	BREAKER("default_cx"),
	BREAKER("default_cx_pool"),
	BREAKER("default_rq"),
	BREAKER("default_rq_pending"),
	BREAKER("default_rq_retry"),
	BREAKER("high_cx"),
	BREAKER("high_cx_pool"),
	BREAKER("high_rq"),
	BREAKER("high_rq_pending"),
	BREAKER("high_rq_retry"),
};

static void out_counters(struct out *o)
{
	for (unsigned i = 0; i < ARRAY_SIZE(manager_counters); i++) {
		const struct manager_family *f = &manager_counters[i];

		out_type(o, f->name, "counter");
		for (unsigned d = 0; d < DIRECTION_COUNT; d++)
			out_line(o, "%s{" MANAGER "=\"%s\"} %llu\n", f->name, prefixes[d],
				 (unsigned long long)down(o, d, f->own, f->clusters));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(cluster_counters); i++) {
		const struct cluster_family *f = &cluster_counters[i];

		out_type(o, f->name, "counter");
		for (unsigned c = 0; c < ENVOY_CLUSTER_COUNT; c++)
			out_line(o, "%s{" CLUSTER "=\"%s\"} %llu\n", f->name, cluster_names[c],
				 (unsigned long long)up(o, c, f->sum));
	}
}

static void out_gauges(struct out *o, const struct gauge *gauges, unsigned gauge_count,
		       const char *label, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < gauge_count; i++) {
		const struct gauge *g = &gauges[i];

		out_type(o, g->name, "gauge");
		for (unsigned n = 0; n < count; n++)
			out_line(o, "%s{%s=\"%s\"} %llu\n", g->name, label, names[n],
				 (unsigned long long)(g->value ? g->value(o, n) : g->constant));
	}
}

/* Every class from the start: increase() misses the first value of a series. */
static void out_classes(struct out *o)
{
	static const char *const names[] = { UP("rq_xx"), "envoy_cluster_external_upstream_rq_xx" };

	out_type(o, DOWN("rq_xx"), "counter");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++) {
		for (unsigned c = 1; c <= ENVOY_CLASSES; c++)
			out_line(o, DOWN("rq_xx") "{" CLASS "=\"%u\"," MANAGER "=\"%s\"} %llu\n", c,
				 prefixes[d], (unsigned long long)down_class(o, d, c));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		out_type(o, names[i], "counter");
		for (unsigned n = 0; n < ENVOY_CLUSTER_COUNT; n++) {
			for (unsigned c = 1; c <= ENVOY_CLASSES; c++)
				out_line(o, "%s{" CLASS "=\"%u\"," CLUSTER "=\"%s\"} %llu\n",
					 names[i], c, cluster_names[n],
					 (unsigned long long)up_class(o, n, c));
		}
	}
}

/* A call without an answer is 503 of its server's. */
static uint64_t status_count(const struct out *o, unsigned cluster, unsigned status)
{
	return codes(o, cluster, status, status) +
	       (status == 503 ? codes(o, cluster, ENVOY_CODE_UNANSWERED, ENVOY_CODE_UNANSWERED)
			      : 0);
}

static void out_codes(struct out *o)
{
	static const char *const names[] = { UP("rq"), "envoy_cluster_external_upstream_rq" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		bool typed = false;

		for (unsigned n = 0; n < ENVOY_CLUSTER_COUNT; n++) {
			for (unsigned status = ENVOY_CODE_FIRST; status <= ENVOY_CODE_LAST;
			     status++) {
				uint64_t count = status_count(o, n, status);

				if (!count)
					continue;
				if (!typed)
					out_type(o, names[i], "counter");
				typed = true;
				out_line(o,
					 "%s{envoy_response_code=\"%u\"," CLUSTER "=\"%s\"} %llu\n",
					 names[i], status, cluster_names[n],
					 (unsigned long long)count);
			}
		}
	}
}

static void out_listeners(struct out *o)
{
	char address[DIRECTION_COUNT][24];

	for (unsigned d = 0; d < DIRECTION_COUNT; d++)
		snprintf(address[d], sizeof(address[d]), "%s_%u", listener_hosts[d],
			 o->view->ports[d]);
	out_type(o, "envoy_listener_downstream_cx_total", "counter");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++)
		out_line(o, "envoy_listener_downstream_cx_total{" LISTENER "=\"%s\"} %llu\n",
			 address[d], (unsigned long long)down(o, d, BIT(ENVOY_DOWN_CX_TOTAL), 0));
	out_type(o, "envoy_listener_downstream_cx_active", "gauge");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++)
		out_line(o, "envoy_listener_downstream_cx_active{" LISTENER "=\"%s\"} %llu\n",
			 address[d], (unsigned long long)manager_cx_active(o, d));
	out_type(o, "envoy_listener_http_downstream_rq_xx", "counter");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++) {
		for (unsigned c = 1; c <= ENVOY_CLASSES; c++)
			out_line(o,
				 "envoy_listener_http_downstream_rq_xx{" CLASS "=\"%u\"," MANAGER
				 "=\"%s\"," LISTENER "=\"%s\"} %llu\n",
				 c, prefixes[d], address[d],
				 (unsigned long long)down_class(o, d, c));
	}
}

/* Envoy counts a question when it asks, we when it has ended. */
static void out_dns(struct out *o)
{
	const struct envoy_view *v = o->view;
	const struct {
		const char *name;
		uint64_t value;
	} facts[] = {
		{ "dns_query_attempt", v->dns_answered + v->dns_failed },
		{ "dns_query_success", v->dns_answered },
		{ "dns_query_failure", v->dns_failed },
		{ "host_added", v->dns_added },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(facts); i++) {
		out_line(o, "# TYPE " DNS_CACHE "%s counter\n", facts[i].name);
		out_line(o, DNS_CACHE "%s %llu\n", facts[i].name,
			 (unsigned long long)facts[i].value);
	}
}

static void out_server(struct out *o)
{
	const struct envoy_view *v = o->view;
	const struct {
		const char *name;
		uint64_t value;
	} facts[] = {
		{ "live", v->live },
		{ "uptime", v->uptime_s },
		{ "memory_allocated", v->memory_allocated },
		{ "memory_heap_size", v->memory_heap },
		{ "total_connections", v->connections },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(facts); i++) {
		out_line(o, "# TYPE envoy_server_%s gauge\n", facts[i].name);
		out_line(o, "envoy_server_%s %llu\n", facts[i].name,
			 (unsigned long long)facts[i].value);
	}
}

/* Where a histogram of a cluster is in struct envoy_stats. */
#define AT_CLUSTER(n, field)                                                             \
	(offsetof(struct envoy_stats, clusters) + (n) * sizeof(struct envoy_upstreams) + \
	 offsetof(struct envoy_upstreams, field))

static void out_manager_histograms(struct out *o)
{
	out_type(o, DOWN("rq_time"), "histogram");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++) {
		const enum envoy_cluster *c = clusters_of[d];
		const size_t times[] = {
			AT_CLUSTER(c[0], rq_time),
			AT_CLUSTER(c[0], rq_unanswered),
			AT_CLUSTER(c[1], rq_time),
			AT_CLUSTER(c[1], rq_unanswered),
			0,
		};

		out_histogram(o, DOWN("rq_time"), MANAGER, prefixes[d], times);
	}
	out_type(o, DOWN("cx_length_ms"), "histogram");
	for (unsigned d = 0; d < DIRECTION_COUNT; d++) {
		const size_t length[] = {
			offsetof(struct envoy_stats, managers) + d * sizeof(struct envoy_manager) +
				offsetof(struct envoy_manager, cx_length),
			0,
		};

		out_histogram(o, DOWN("cx_length_ms"), MANAGER, prefixes[d], length);
	}
}

static void out_cluster_histograms(struct out *o)
{
	static const struct {
		const char *name;
		size_t offset; /* of the first cluster's */
	} rows[] = {
		{ UP("rq_time"), AT_CLUSTER(0, rq_time) },
		{ "envoy_cluster_external_upstream_rq_time", AT_CLUSTER(0, rq_time) },
		{ UP("cx_connect_ms"), AT_CLUSTER(0, cx_connect) },
		{ UP("cx_length_ms"), AT_CLUSTER(0, cx_length) },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		out_type(o, rows[i].name, "histogram");
		for (unsigned n = 0; n < ENVOY_CLUSTER_COUNT; n++) {
			const size_t at[] = {
				rows[i].offset + n * sizeof(struct envoy_upstreams),
				0,
			};

			out_histogram(o, rows[i].name, CLUSTER, cluster_names[n], at);
		}
	}
}

int envoy_stats_text(const struct envoy_view *view, int (*write)(void *to, struct span piece),
		     void *to)
{
	struct out o = { .view = view, .write = write, .to = to };

	out_counters(&o);
	out_gauges(&o, manager_gauges, ARRAY_SIZE(manager_gauges), MANAGER, prefixes,
		   DIRECTION_COUNT);
	out_gauges(&o, cluster_gauges, ARRAY_SIZE(cluster_gauges), CLUSTER, cluster_names,
		   ENVOY_CLUSTER_COUNT);
	out_classes(&o);
	out_codes(&o);
	out_manager_histograms(&o);
	out_cluster_histograms(&o);
	out_listeners(&o);
	out_dns(&o);
	out_server(&o);
	return o.rc;
}
