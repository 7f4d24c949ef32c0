// SPDX-License-Identifier: GPL-2.0-or-later
/* Envoy's names: what is counted of which event, and the text that shows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "envoy_stats.h"

#include <errno.h>
#include <math.h>

#define MS(n) ((n)*UINT64_C(1000000))

struct text {
	char *bytes;
	size_t len;
	int left; /* pieces until it fails; negative: never */
};

static int take(void *to, struct span piece)
{
	struct text *t = to;

	if (t->left == 0)
		return -ENOSPC;
	t->left -= t->left > 0;
	t->bytes = realloc(t->bytes, t->len + piece.len + 1);
	assert_non_null(t->bytes);
	memcpy(t->bytes + t->len, piece.ptr, piece.len);
	t->len += piece.len;
	t->bytes[t->len] = '\0';
	return 0;
}

static struct text scrape(const struct envoy_stats *s, unsigned threads)
{
	const struct envoy_view view = {
		.threads = s,
		.thread_count = threads,
		.ports = { 9211, 9001 },
		.live = true,
		.uptime_s = 5,
		.connections = 3,
		.memory_allocated = 1000,
		.memory_heap = 2000,
		.dns_answered = 5,
		.dns_failed = 2,
		.dns_added = 4,
	};
	struct text t = { .left = -1 };

	assert_int_equal(envoy_stats_text(&view, take, &t), 0);
	return t;
}

/* The value of a series, spelt as it is printed; NAN: there is none. */
static double value_in(const struct text *t, const char *series)
{
	size_t len = strlen(series);

	for (const char *line = t->bytes; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, len) == 0 && line[len] == ' ')
			return strtod(line + len, NULL);
	}
	return NAN;
}

static double value(const struct envoy_stats *s, const char *series)
{
	struct text t = scrape(s, 1);
	double found = value_in(&t, series);

	free(t.bytes);
	return found;
}

#define MANAGER(name, prefix) "envoy_http_" name "{envoy_http_conn_manager_prefix=\"" prefix "\"}"
#define CLUSTER(name, of)     "envoy_cluster_" name "{envoy_cluster_name=\"" of "\"}"
#define IN(name)	      MANAGER("downstream_" name, "ingress_http")
#define REST(name)	      CLUSTER("upstream_" name, "rest_local_service")
#define GRPC(name)	      CLUSTER("upstream_" name, "grpc_local_service")

#define must_be(s, series, wanted)                                                    \
	do {                                                                          \
		double got_ = value(s, series);                                       \
                                                                                      \
		if (got_ != (wanted))                                                 \
			fail_msg("%s is %g, not %g", series, got_, (double)(wanted)); \
	} while (0)

static struct envoy_stats *fresh(void)
{
	struct envoy_stats *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	return s;
}

/* A flow on which one request was made, as record.c tells of it. */
static void one_request(struct envoy_stats *s, enum direction direction, enum protocol protocol,
			struct envoy_request request)
{
	struct envoy_flow f;

	envoy_open(s, &f, direction);
	envoy_connected(s, &f, MS(2));
	envoy_bytes(s, &f, WAY_TO_SERVER, 10);
	envoy_protocol(s, &f, protocol);
	envoy_active(s, &f, request.grpc, 1);
	envoy_bytes(s, &f, WAY_TO_CLIENT, 200);
	envoy_active(s, &f, request.grpc, -1);
	envoy_request(s, &f, &request);
	envoy_fin(&f, WAY_TO_SERVER);
	envoy_fin(&f, WAY_TO_CLIENT);
	envoy_close(s, &f, OUTCOME_CLOSED, MS(700));
}

/* One request: everything that it leaves. */
static void test_request(void **state)
{
	struct envoy_stats *s = fresh();

	(void)state;
	one_request(s, DIRECTION_INBOUND, PROTOCOL_HTTP1,
		    (struct envoy_request){ .ns = MS(3), .status = 204 });
	must_be(s, IN("rq_total"), 1);
	must_be(s, IN("rq_completed"), 1);
	must_be(s, IN("rq_http1_total"), 1);
	must_be(s, IN("rq_http2_total"), 0);
	must_be(s, IN("cx_total"), 1);
	must_be(s, IN("cx_http1_total"), 1);
	must_be(s, IN("cx_active"), 0);
	must_be(s, IN("cx_destroy"), 1);
	must_be(s, IN("cx_destroy_remote"), 1);
	must_be(s, IN("cx_rx_bytes_total"), 10);
	must_be(s, IN("cx_tx_bytes_total"), 200);
	must_be(s, IN("rq_time_count"), 1);
	must_be(s, IN("rq_time_sum"), 3);
	must_be(s, MANAGER("rq_total", "ingress_http"), 1);
	must_be(s, MANAGER("rq_total", "egress_http"), 0);
	must_be(s, REST("rq_total"), 1);
	must_be(s, REST("rq_completed"), 1);
	must_be(s, REST("rq_pending_total"), 1);
	must_be(s, REST("cx_total"), 1);
	must_be(s, REST("cx_http1_total"), 1);
	must_be(s, REST("cx_active"), 0);
	must_be(s, REST("cx_tx_bytes_total"), 10);
	must_be(s, REST("cx_rx_bytes_total"), 200);
	must_be(s, REST("cx_connect_ms_sum"), 2);
	must_be(s, REST("cx_length_ms_sum"), 700);
	must_be(s, GRPC("rq_total"), 0);
	must_be(s,
		"envoy_cluster_upstream_rq{envoy_response_code=\"204\",envoy_cluster_name="
		"\"rest_local_service\"}",
		1);
	must_be(s,
		"envoy_cluster_external_upstream_rq_xx{envoy_response_code_class=\"2\","
		"envoy_cluster_name=\"rest_local_service\"}",
		1);
	must_be(s,
		"envoy_listener_http_downstream_rq_xx{envoy_response_code_class=\"2\","
		"envoy_http_conn_manager_prefix=\"ingress_http\",envoy_listener_address="
		"\"0.0.0.0_9211\"}",
		1);
	must_be(s, "envoy_listener_downstream_cx_total{envoy_listener_address=\"127.0.0.1_9001\"}",
		0);
	free(s);
}

/* A series of the one who asks and of whom is asked; %s: the cluster. */
#define OUT(name) MANAGER("downstream_" name, "egress_http")
#define DOWN_XX(xx)                                                   \
	"envoy_http_downstream_rq_xx{envoy_response_code_class=\"" xx \
	"\",envoy_http_conn_manager_prefix=\"egress_http\"}"
#define UP_XX(xx)                                                      \
	"envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"" xx \
	"\",envoy_cluster_name=\"%s\"}"

static const struct {
	const char *word, *series;
} counted[] = {
	{ "done", OUT("rq_completed") },
	{ "done", CLUSTER("upstream_rq_completed", "%s") },
	{ "down2", DOWN_XX("2") },
	{ "down5", DOWN_XX("5") },
	{ "up2", UP_XX("2") },
	{ "up5", UP_XX("5") },
	{ "cut", OUT("rq_rx_reset") },
	{ "sent", OUT("rq_tx_reset") },
	{ "by-server", CLUSTER("upstream_rq_rx_reset", "%s") },
	{ "to-server", CLUSTER("upstream_rq_tx_reset", "%s") },
	{ "eject", CLUSTER("upstream_rq_pending_failure_eject", "%s") },
	{ "time", OUT("rq_time_count") },
	{ "whole", CLUSTER("upstream_rq_time_count", "%s") },
};

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (; words; words = strchr(words, ' ')) {
		words += *words == ' ';
		if (strncmp(words, word, len) == 0 && (words[len] == ' ' || !words[len]))
			return true;
	}
	return false;
}

/* The series with the cluster's name in the place of '%s'. */
static void name_series(char *out, size_t size, const char *series, const char *cluster)
{
	const char *at = strstr(series, "%s");

	if (at)
		snprintf(out, size, "%.*s%s%s", (int)(at - series), series, cluster, at + 2);
	else
		snprintf(out, size, "%s", series);
}

/* How requests end, as the real Envoy counted them. */
static void test_ends(void **state)
{
	static const struct {
		enum request_end end;
		uint16_t status;
		bool grpc;
		const char *words;
	} rows[] = {
		{ REQUEST_ANSWERED, 200, false, "done down2 up2 time whole" },
		{ REQUEST_ANSWERED, 503, false, "done down5 up5 time whole" },
		{ REQUEST_LEFT_BY_SERVER, 0, false, "done down5 up5 time" },
		{ REQUEST_LEFT_BY_SERVER, 200, false, "done down2 up2 cut sent" },
		{ REQUEST_LEFT_BY_CLIENT, 0, false, "cut" },
		{ REQUEST_LEFT_BY_CLIENT, 200, false, "done down2 up2 cut" },
		{ REQUEST_ANSWERED, 200, true, "done down2 up2 time whole" },
		{ REQUEST_RESET_BY_CLIENT, 0, true, "cut to-server" },
		{ REQUEST_LEFT_BY_CLIENT, 0, true, "cut to-server" },
		{ REQUEST_RESET_BY_SERVER, 0, true, "done down2 up5 by-server time" },
		{ REQUEST_RESET_BY_SERVER, 200, true, "done down2 up2 cut sent by-server" },
		{ REQUEST_LEFT_BY_SERVER, 0, true, "done down2 up5 eject time" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *cluster = rows[i].grpc ? "grpc_proxy_cluster" : "rest_proxy_cluster";
		struct envoy_stats *s = fresh();

		one_request(s, DIRECTION_OUTBOUND, rows[i].grpc ? PROTOCOL_GRPC : PROTOCOL_HTTP1,
			    (struct envoy_request){
				    .status = rows[i].status,
				    .end = rows[i].end,
				    .grpc = rows[i].grpc,
				    .http2 = rows[i].grpc,
			    });
		for (size_t k = 0; k < ARRAY_SIZE(counted); k++) {
			char series[160];

			name_series(series, sizeof(series), counted[k].series, cluster);
			if (value(s, series) != has_word(rows[i].words, counted[k].word))
				fail_msg("row %zu: %s is %g", i, series, value(s, series));
		}
		free(s);
	}
}

/* Connections: of no cluster without HTTP; failed connects are told by their outcome. */
static void test_connections(void **state)
{
	static const struct {
		enum outcome outcome;
		bool connected, server_first;
		int remote, fail, timeout;
	} rows[] = {
		{ OUTCOME_CLOSED, true, false, 1, 0, 0 },
		{ OUTCOME_CLOSED, true, true, 0, 0, 0 },
		{ OUTCOME_RESET_BY_CLIENT, true, false, 1, 0, 0 },
		{ OUTCOME_RESET_BY_CLIENT, false, false, 1, 0, 0 },
		{ OUTCOME_RESET_BY_SERVER, true, false, 0, 0, 0 },
		{ OUTCOME_REFUSED, false, false, 0, 1, 0 },
		{ OUTCOME_UNREACHABLE, false, false, 0, 1, 0 },
		{ OUTCOME_TIMEOUT, false, false, 0, 1, 1 },
		{ OUTCOME_TIMEOUT, true, false, 0, 0, 0 },
		{ OUTCOME_LOOP, false, false, 0, 0, 0 },
		{ OUTCOME_LIMIT, false, false, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct envoy_stats *s = fresh();
		struct envoy_flow f;

		envoy_open(s, &f, DIRECTION_INBOUND);
		must_be(s, IN("cx_active"), 1);
		must_be(s,
			"envoy_listener_downstream_cx_active{envoy_listener_address="
			"\"0.0.0.0_9211\"}",
			1);
		if (rows[i].connected)
			envoy_connected(s, &f, MS(1));
		envoy_protocol(s, &f, PROTOCOL_TCP);
		envoy_bytes(s, &f, WAY_TO_SERVER, 7);
		envoy_fin(&f, rows[i].server_first ? WAY_TO_CLIENT : WAY_TO_SERVER);
		envoy_fin(&f, rows[i].server_first ? WAY_TO_SERVER : WAY_TO_CLIENT);
		envoy_close(s, &f, rows[i].outcome, MS(1));
		must_be(s, IN("cx_active"), 0);
		must_be(s, IN("cx_rx_bytes_total"), 7);
		must_be(s, IN("cx_length_ms_count"), 1);
		must_be(s, IN("cx_destroy_remote"), rows[i].remote);
		must_be(s, IN("cx_destroy_local"), !rows[i].remote);
		must_be(s, REST("cx_total"), rows[i].fail);
		must_be(s, REST("cx_destroy"), rows[i].fail);
		must_be(s, REST("cx_connect_fail"), rows[i].fail);
		must_be(s, REST("cx_connect_timeout"), rows[i].timeout);
		must_be(s, REST("cx_length_ms_count"), rows[i].fail);
		free(s);
	}
}

static void test_protocols(void **state)
{
	struct envoy_stats *s = fresh();
	struct envoy_flow f;

	(void)state;
	/* An upgrade changes neither cluster nor connection. */
	envoy_open(s, &f, DIRECTION_INBOUND);
	envoy_connected(s, &f, MS(1));
	envoy_protocol(s, &f, PROTOCOL_HTTP1);
	envoy_active(s, &f, false, 1);
	must_be(s, REST("rq_active"), 1);
	must_be(s, IN("rq_active"), 1);
	envoy_protocol(s, &f, PROTOCOL_HTTP2);
	/* A call behind it is gRPC's, its connection is not. */
	envoy_active(s, &f, true, 1);
	must_be(s, GRPC("rq_active"), 1);
	must_be(s, IN("rq_active"), 2);
	must_be(s, IN("rq_http2_total"), 1);
	envoy_lost(s, &f);
	envoy_protocol(s, &f, PROTOCOL_TCP);
	envoy_close(s, &f, OUTCOME_CLOSED, 0);
	must_be(s, IN("cx_http1_total"), 1);
	must_be(s, IN("cx_http2_total"), 0);
	must_be(s, IN("cx_protocol_error"), 1);
	must_be(s, REST("cx_destroy"), 1);
	must_be(s, GRPC("cx_total"), 0);
	/* A status without a class is counted, and has none. */
	envoy_request(s, &f, &(struct envoy_request){ .status = 600 });
	must_be(s, IN("rq_completed"), 1);
	free(s);
}

/* A forward proxy reads the request, connects, and may connect again for the next. */
static void test_forward(void **state)
{
	struct envoy_stats *s = fresh();
	struct envoy_flow f;

	(void)state;
	envoy_open(s, &f, DIRECTION_INBOUND);
	envoy_protocol(s, &f, PROTOCOL_HTTP1);
	must_be(s, REST("cx_total"), 0);
	for (int i = 1; i <= 3; i++) {
		envoy_connected(s, &f, MS(2));
		must_be(s, REST("cx_total"), i);
		must_be(s, REST("cx_active"), 1);
		must_be(s, REST("cx_connect_ms_sum"), 2 * i);
	}
	envoy_close(s, &f, OUTCOME_CLOSED, MS(5));
	must_be(s, REST("cx_active"), 0);
	must_be(s, REST("cx_destroy"), 3);
	/* One that is not reached. */
	envoy_open(s, &f, DIRECTION_INBOUND);
	envoy_protocol(s, &f, PROTOCOL_HTTP1);
	envoy_close(s, &f, OUTCOME_REFUSED, MS(5));
	must_be(s, REST("cx_connect_fail"), 1);
	must_be(s, REST("cx_http1_total"), 3);
	must_be(s, REST("cx_active"), 0);
	free(s);
}

static void test_buckets(void **state)
{
	static const uint64_t ms10[] = { 0, 5, 6, 10, 11, 50, 51, 36000000, 36000001 };
	static const struct {
		const char *le;
		int count;
	} wanted[] = {
		{ "0.5", 2 },	  { "1", 4 },	    { "5", 6 },	   { "10", 7 },
		{ "1800000", 7 }, { "3600000", 8 }, { "+Inf", 9 },
	};
	struct envoy_stats *s = fresh();
	struct envoy_flow f;

	(void)state;
	envoy_open(s, &f, DIRECTION_INBOUND);
	for (size_t i = 0; i < ARRAY_SIZE(ms10); i++)
		envoy_request(s, &f,
			      &(struct envoy_request){ .ns = ms10[i] * MS(1) / 10, .status = 200 });
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char series[160];

		snprintf(series, sizeof(series),
			 "envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="
			 "\"ingress_http\",le=\"%s\"}",
			 wanted[i].le);
		must_be(s, series, wanted[i].count);
	}
	must_be(s, IN("rq_time_count"), 9);
	must_be(s, IN("rq_time_sum"), 7200013.4);
	free(s);
}

/* Threads are added up; every class, and the server's facts, are there from the start. */
static void test_text(void **state)
{
	struct envoy_stats *s = calloc(2, sizeof(*s));
	struct text t, cut = { .left = 50 };
	struct envoy_view view = { .threads = s, .thread_count = 2 };

	(void)state;
	assert_non_null(s);
	t = scrape(s, 2);
	for (int class = 1; class <= 5; class ++) {
		char series[120];

		snprintf(series, sizeof(series),
			 "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"%d\","
			 "envoy_cluster_name=\"grpc_proxy_cluster\"}",
			 class);
		assert_true(value_in(&t, series) == 0);
	}
	assert_true(value_in(&t, "envoy_server_live") == 1);
	assert_true(value_in(&t, "envoy_server_uptime") == 5);
	assert_true(value_in(&t, "envoy_server_total_connections") == 3);
	assert_true(value_in(&t, "envoy_server_memory_allocated") == 1000);
	assert_true(value_in(&t, "envoy_server_memory_heap_size") == 2000);
	assert_true(value_in(&t, "envoy_dns_cache_proxy_dns_cache_dns_query_attempt") == 7);
	assert_true(value_in(&t, "envoy_dns_cache_proxy_dns_cache_dns_query_success") == 5);
	assert_true(value_in(&t, "envoy_dns_cache_proxy_dns_cache_dns_query_failure") == 2);
	assert_true(value_in(&t, "envoy_dns_cache_proxy_dns_cache_host_added") == 4);
	assert_true(value_in(&t, CLUSTER("membership_healthy", "grpc_proxy_cluster")) == 1);
	assert_true(value_in(&t, CLUSTER("circuit_breakers_default_rq_open",
					 "rest_local_service")) == 0);
	assert_null(strstr(t.bytes, "envoy_cluster_upstream_rq{"));
	assert_null(strstr(t.bytes, "# HELP"));
	free(t.bytes);

	for (int i = 0; i < 2; i++)
		one_request(&s[i], DIRECTION_OUTBOUND, PROTOCOL_HTTP1,
			    (struct envoy_request){ .ns = MS(1), .status = 404 });
	t = scrape(s, 2);
	assert_true(value_in(&t, MANAGER("downstream_rq_total", "egress_http")) == 2);
	assert_true(value_in(&t, MANAGER("downstream_rq_time_count", "egress_http")) == 2);
	assert_true(value_in(&t, "envoy_cluster_upstream_rq{envoy_response_code=\"404\","
				 "envoy_cluster_name=\"rest_proxy_cluster\"}") == 2);
	free(t.bytes);

	/* A writer that fails ends it. */
	assert_int_equal(envoy_stats_text(&view, take, &cut), -ENOSPC);
	free(cut.bytes);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),	    cmocka_unit_test(test_ends),
		cmocka_unit_test(test_connections), cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_forward),	    cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
