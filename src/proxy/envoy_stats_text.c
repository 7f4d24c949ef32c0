// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The exposition of Envoy's names: see envoy_stats.h.
 *
 * Families are rows of tables: a name, a type, and where its value comes from. What has no
 * counterpart here and is asked for all the same is a row without a source, and 0.
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

/* ---- Adding the threads up ---- */

static uint64_t down(const struct out *o, unsigned direction, enum envoy_downstream what)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++)
		sum += load(&o->view->threads[t].managers[direction].counts[what]);
	return sum;
}

static uint64_t up(const struct out *o, unsigned cluster, enum envoy_upstream what)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++)
		sum += load(&o->view->threads[t].clusters[cluster].counts[what]);
	return sum;
}

static uint64_t code(const struct out *o, unsigned cluster, unsigned status)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++)
		sum += load(&o->view->threads[t].clusters[cluster].codes[status]);
	return sum;
}

static uint64_t up_class(const struct out *o, unsigned cluster, unsigned class)
{
	uint64_t sum = 0;

	for (unsigned status = 100 * class; status < 100 * class + 100; status++)
		sum += code(o, cluster, status);
	return sum;
}

static uint64_t down_class(const struct out *o, unsigned direction, unsigned class)
{
	uint64_t sum = 0;

	for (unsigned t = 0; t < o->view->thread_count; t++)
		sum += load(&o->view->threads[t].managers[direction].classes[class - 1]);
	return sum;
}

/* What has begun and not ended. The end is read first, but nothing holds the threads meanwhile. */
static uint64_t open_of(uint64_t ended, uint64_t begun)
{
	return begun > ended ? begun - ended : 0;
}

static uint64_t cluster_rq_active(const struct out *o, unsigned cluster)
{
	uint64_t ended = up(o, cluster, ENVOY_UP_RQ_ENDED);

	return open_of(ended, up(o, cluster, ENVOY_UP_RQ_TOTAL));
}

static uint64_t cluster_cx_active(const struct out *o, unsigned cluster)
{
	uint64_t ended = up(o, cluster, ENVOY_UP_CX_DESTROY);

	return open_of(ended, up(o, cluster, ENVOY_UP_CX_TOTAL));
}

static uint64_t manager_rq_active(const struct out *o, unsigned direction)
{
	return direction == DIRECTION_INBOUND ? cluster_rq_active(o, ENVOY_GRPC_LOCAL) +
							cluster_rq_active(o, ENVOY_REST_LOCAL)
					      : cluster_rq_active(o, ENVOY_GRPC_PROXY) +
							cluster_rq_active(o, ENVOY_REST_PROXY);
}

static uint64_t manager_cx_active(const struct out *o, unsigned direction)
{
	uint64_t ended = down(o, direction, ENVOY_DOWN_CX_DESTROY);

	return open_of(ended, down(o, direction, ENVOY_DOWN_CX_TOTAL));
}

/* ---- Families ---- */

static void out_type(struct out *o, const char *name, const char *type)
{
	out_line(o, "# TYPE %s %s\n", name, type);
}

/* @where: offset of the histogram in struct envoy_stats. */
static void out_histogram(struct out *o, const char *name, const char *label, const char *value,
			  size_t where)
{
	uint64_t count = 0, sum = 0;

	for (unsigned i = 0; i < ENVOY_BUCKETS; i++) {
		for (unsigned t = 0; t < o->view->thread_count; t++) {
			const struct envoy_histogram *h =
				(const void *)((const char *)&o->view->threads[t] + where);

			count += load(&h->buckets[i]);
			if (i == 0)
				sum += load(&h->sum);
		}
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
#define NO_SOURCE    (-1)
#define DOWN(suffix) "envoy_http_downstream_" suffix
#define UP(suffix)   "envoy_cluster_upstream_" suffix

struct family {
	const char *name;
	int source; /* enum envoy_downstream or envoy_upstream, or NO_SOURCE */
};

static const struct family manager_counters[] = {
	{ DOWN("rq_total"), ENVOY_DOWN_RQ_TOTAL },
	{ DOWN("rq_completed"), ENVOY_DOWN_RQ_COMPLETED },
	{ DOWN("rq_http1_total"), ENVOY_DOWN_RQ_HTTP1 },
	{ DOWN("rq_http2_total"), ENVOY_DOWN_RQ_HTTP2 },
	{ DOWN("rq_rx_reset"), ENVOY_DOWN_RQ_RX_RESET },
	{ DOWN("rq_tx_reset"), ENVOY_DOWN_RQ_TX_RESET },
	{ DOWN("rq_timeout"), NO_SOURCE },
	{ DOWN("cx_total"), ENVOY_DOWN_CX_TOTAL },
	{ DOWN("cx_http1_total"), ENVOY_DOWN_CX_HTTP1 },
	{ DOWN("cx_http2_total"), ENVOY_DOWN_CX_HTTP2 },
	{ DOWN("cx_destroy"), ENVOY_DOWN_CX_DESTROY },
	{ DOWN("cx_destroy_local"), ENVOY_DOWN_CX_DESTROY_LOCAL },
	{ DOWN("cx_destroy_remote"), ENVOY_DOWN_CX_DESTROY_REMOTE },
	{ DOWN("cx_protocol_error"), ENVOY_DOWN_CX_PROTOCOL_ERROR },
	{ DOWN("cx_idle_timeout"), NO_SOURCE },
	{ DOWN("cx_rx_bytes_total"), ENVOY_DOWN_RX_BYTES },
	{ DOWN("cx_tx_bytes_total"), ENVOY_DOWN_TX_BYTES },
	{ "envoy_http_rq_total", ENVOY_DOWN_RQ_TOTAL },
};

static const struct family cluster_counters[] = {
	{ UP("rq_total"), ENVOY_UP_RQ_TOTAL },
	{ UP("rq_completed"), ENVOY_UP_RQ_COMPLETED },
	{ "envoy_cluster_external_upstream_rq_completed", ENVOY_UP_RQ_COMPLETED },
	{ UP("rq_timeout"), NO_SOURCE },
	{ UP("rq_retry"), NO_SOURCE },
	{ UP("rq_rx_reset"), ENVOY_UP_RQ_RX_RESET },
	{ UP("rq_tx_reset"), ENVOY_UP_RQ_TX_RESET },
	{ UP("rq_pending_total"), ENVOY_UP_RQ_PENDING },
	{ UP("rq_pending_overflow"), NO_SOURCE },
	{ UP("rq_pending_failure_eject"), ENVOY_UP_RQ_PENDING_FAILURE },
	{ UP("cx_total"), ENVOY_UP_CX_TOTAL },
	{ UP("cx_http1_total"), ENVOY_UP_CX_HTTP1 },
	{ UP("cx_http2_total"), ENVOY_UP_CX_HTTP2 },
	{ UP("cx_connect_fail"), ENVOY_UP_CX_CONNECT_FAIL },
	{ UP("cx_connect_timeout"), ENVOY_UP_CX_CONNECT_TIMEOUT },
	{ UP("cx_overflow"), NO_SOURCE },
	{ UP("cx_destroy"), ENVOY_UP_CX_DESTROY },
	{ UP("cx_rx_bytes_total"), ENVOY_UP_RX_BYTES },
	{ UP("cx_tx_bytes_total"), ENVOY_UP_TX_BYTES },
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
		const struct family *f = &manager_counters[i];

		out_type(o, f->name, "counter");
		for (unsigned d = 0; d < DIRECTION_COUNT; d++)
			out_line(o, "%s{" MANAGER "=\"%s\"} %llu\n", f->name, prefixes[d],
				 f->source < 0 ? 0ull : (unsigned long long)down(o, d, f->source));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(cluster_counters); i++) {
		const struct family *f = &cluster_counters[i];

		out_type(o, f->name, "counter");
		for (unsigned c = 0; c < ENVOY_CLUSTER_COUNT; c++)
			out_line(o, "%s{" CLUSTER "=\"%s\"} %llu\n", f->name, cluster_names[c],
				 f->source < 0 ? 0ull : (unsigned long long)up(o, c, f->source));
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

static void out_codes(struct out *o)
{
	static const char *const names[] = { UP("rq"), "envoy_cluster_external_upstream_rq" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		bool typed = false;

		for (unsigned n = 0; n < ENVOY_CLUSTER_COUNT; n++) {
			for (unsigned status = 100; status <= ENVOY_CODE_LAST; status++) {
				uint64_t count = code(o, n, status);

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
			 address[d], (unsigned long long)down(o, d, ENVOY_DOWN_CX_TOTAL));
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

static void out_histograms(struct out *o)
{
	static const struct {
		const char *name;
		size_t offset; /* in struct envoy_manager, or struct envoy_upstreams */
		bool cluster;
	} rows[] = {
		{ DOWN("rq_time"), offsetof(struct envoy_manager, rq_time), false },
		{ DOWN("cx_length_ms"), offsetof(struct envoy_manager, cx_length), false },
		{ UP("rq_time"), offsetof(struct envoy_upstreams, rq_time), true },
		{ "envoy_cluster_external_upstream_rq_time",
		  offsetof(struct envoy_upstreams, rq_time), true },
		{ UP("cx_connect_ms"), offsetof(struct envoy_upstreams, cx_connect), true },
		{ UP("cx_length_ms"), offsetof(struct envoy_upstreams, cx_length), true },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		out_type(o, rows[i].name, "histogram");
		for (unsigned n = 0; rows[i].cluster && n < ENVOY_CLUSTER_COUNT; n++)
			out_histogram(o, rows[i].name, CLUSTER, cluster_names[n],
				      offsetof(struct envoy_stats, clusters) +
					      n * sizeof(struct envoy_upstreams) + rows[i].offset);
		for (unsigned d = 0; !rows[i].cluster && d < DIRECTION_COUNT; d++)
			out_histogram(o, rows[i].name, MANAGER, prefixes[d],
				      offsetof(struct envoy_stats, managers) +
					      d * sizeof(struct envoy_manager) + rows[i].offset);
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
	out_histograms(&o);
	out_listeners(&o);
	out_server(&o);
	return o.rc;
}
