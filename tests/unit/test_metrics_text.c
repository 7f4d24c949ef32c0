// SPDX-License-Identifier: GPL-2.0-or-later
/* The text format: which key prints as which labels, exactly, and what is always there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exposition.h"
#include "version.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static const struct metrics_process process = {
	.armed_known = true,
	.armed = true,
	.worker_restarts = 2,
	.limit_connections = 1000,
	.used_connections = 7,
	.start_time_ns = 1700000000050000000,
};

static struct routes *routes;

static struct metrics *fresh(const char *service, const char *space)
{
	struct metrics_config config = {
		.max_samples = 20000,
		.max_names = { 10, 10, 10, 10, 10, 10 },
		.service_name = service,
		.service_namespace = space,
		.routes = routes,
	};
	struct metrics *m = metrics_new(&config, NULL);

	assert_non_null(m);
	return m;
}

/* A key and the series that it prints. */
static const struct {
	struct metric_key key;
	const char *name; /* server_address or sni; after a '|' rpc_method or alpn */
	const char *series;
} rows[] = {
	{ { .metric = METRIC_HTTP_SERVER_REQUEST_DURATION,
	    .method = HTTP_METHOD_GET,
	    .status = 503,
	    .version = HTTP_VERSION_1_1,
	    .port = 8080,
	    .error = ERROR_STATUS },
	  NULL,
	  "http_server_request_duration_seconds_count{http_request_method=\"GET\","
	  "http_response_status_code=\"503\",url_scheme=\"http\",network_protocol_version=\"1.1\","
	  "server_port=\"8080\",error_type=\"503\"}" },
	{ { .metric = METRIC_HTTP_CLIENT_REQUEST_DURATION,
	    .method = HTTP_METHOD_OTHER,
	    .version = HTTP_VERSION_1_0,
	    .port = 80,
	    .error = ERROR_NO_RESPONSE },
	  "web.test",
	  "http_client_request_duration_seconds_count{http_request_method=\"_OTHER\","
	  "network_protocol_version=\"1.0\",server_address=\"web.test\",server_port=\"80\","
	  "error_type=\"no_response\"}" },
	{ { .metric = METRIC_HTTP_CLIENT_REQUEST_DURATION,
	    .method = HTTP_METHOD_HEAD,
	    .status = 200,
	    .version = HTTP_VERSION_2,
	    .port = 80 },
	  "no name",
	  "http_client_request_duration_seconds_count{http_request_method=\"HEAD\","
	  "http_response_status_code=\"200\",network_protocol_version=\"2\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_HTTP_SERVER_REQUEST_BODY, .method = HTTP_METHOD_PUT, .port = 1 },
	  NULL,
	  "http_server_request_body_size_bytes_count{http_request_method=\"PUT\",server_port="
	  "\"1\"}" },
	{ { .metric = METRIC_HTTP_SERVER_RESPONSE_BODY, .method = HTTP_METHOD_PUT, .port = 1 },
	  NULL,
	  "http_server_response_body_size_bytes_count{http_request_method=\"PUT\",server_port="
	  "\"1\"}" },
	{ { .metric = METRIC_HTTP_CLIENT_REQUEST_BODY, .method = HTTP_METHOD_PUT, .port = 1 },
	  NULL,
	  "http_client_request_body_size_bytes_count{http_request_method=\"PUT\",server_port="
	  "\"1\"}" },
	{ { .metric = METRIC_HTTP_CLIENT_RESPONSE_BODY, .method = HTTP_METHOD_PUT, .port = 1 },
	  NULL,
	  "http_client_response_body_size_bytes_count{http_request_method=\"PUT\",server_port="
	  "\"1\"}" },
	{ { .metric = METRIC_HTTP_SERVER_ACTIVE, .method = HTTP_METHOD_GET, .port = 65535 },
	  NULL,
	  "http_server_active_requests{http_request_method=\"GET\",server_port=\"65535\"}" },
	{ { .metric = METRIC_HTTP_CLIENT_ACTIVE, .method = HTTP_METHOD_GET, .port = 65535 },
	  NULL,
	  "http_client_active_requests{http_request_method=\"GET\",server_port=\"65535\"}" },
	{ { .metric = METRIC_HTTP_FIRST_BYTE, .direction = DIRECTION_OUTBOUND, .port = 80 },
	  NULL,
	  "sluice_http_first_byte_seconds_count{direction=\"outbound\",server_port=\"80\"}" },
	{ { .metric = METRIC_CONNECTIONS_OPENED, .direction = DIRECTION_INBOUND, .port = 80 },
	  NULL,
	  "sluice_connections_opened_total{direction=\"inbound\",server_port=\"80\"}" },
	{ { .metric = METRIC_CONNECTIONS_ACTIVE, .direction = DIRECTION_INBOUND, .port = 80 },
	  NULL,
	  "sluice_connections_active{direction=\"inbound\",server_port=\"80\"}" },
	{ { .metric = METRIC_CONNECTIONS_CLOSED,
	    .direction = DIRECTION_OUTBOUND,
	    .protocol = PROTOCOL_UNKNOWN,
	    .outcome = OUTCOME_RESET_BY_CLIENT,
	    .port = 6379 },
	  "10.0.0.1",
	  "sluice_connections_closed_total{direction=\"outbound\",protocol=\"tcp\","
	  "server_address=\"10.0.0.1\",server_port=\"6379\",outcome=\"reset_by_client\"}" },
	{ { .metric = METRIC_CONNECTION_DURATION,
	    .direction = DIRECTION_INBOUND,
	    .protocol = PROTOCOL_HTTP1,
	    .outcome = OUTCOME_CLOSED,
	    .port = 80 },
	  NULL,
	  "sluice_connection_duration_seconds_count{direction=\"inbound\",protocol=\"http1\","
	  "server_port=\"80\",outcome=\"closed\"}" },
	{ { .metric = METRIC_CONNECT_DURATION, .direction = DIRECTION_OUTBOUND, .port = 80 },
	  "FD00::1",
	  "sluice_connect_duration_seconds_count{direction=\"outbound\",server_address=\"fd00::1\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_BYTES,
	    .direction = DIRECTION_OUTBOUND,
	    .way = WAY_TO_CLIENT,
	    .protocol = PROTOCOL_TLS,
	    .port = 443 },
	  NULL,
	  "sluice_bytes_total{direction=\"outbound\",way=\"to_client\",protocol=\"tls\","
	  "server_port=\"443\"}" },
	{ { .metric = METRIC_RPC_SERVER_DURATION,
	    .status = RPC_DEADLINE_EXCEEDED,
	    .error = ERROR_STATUS,
	    .port = 80 },
	  "|p.S/Mx",
	  "rpc_server_call_duration_seconds_count{rpc_system_name=\"grpc\",rpc_method=\"p.S/Mx\","
	  "rpc_response_status_code=\"DEADLINE_EXCEEDED\",server_port=\"80\","
	  "error_type=\"DEADLINE_EXCEEDED\"}" },
	{ { .metric = METRIC_RPC_CLIENT_DURATION, .status = RPC_OK, .port = 80 },
	  "web.test|p.S/M",
	  "rpc_client_call_duration_seconds_count{rpc_system_name=\"grpc\",rpc_method=\"p.S/M\","
	  "rpc_response_status_code=\"OK\",server_address=\"web.test\",server_port=\"80\"}" },
	{ { .metric = METRIC_RPC_CLIENT_DURATION,
	    .status = RPC_STATUS_MISSING,
	    .error = ERROR_MISSING,
	    .port = 80 },
	  "web.test|no method",
	  "rpc_client_call_duration_seconds_count{rpc_system_name=\"grpc\",rpc_method=\"_OTHER\","
	  "server_address=\"web.test\",server_port=\"80\",error_type=\"missing\"}" },
	{ { .metric = METRIC_HTTP_SERVER_REQUEST_DURATION,
	    .method = HTTP_METHOD_GET,
	    .status = 200,
	    .version = HTTP_VERSION_2,
	    .port = 80,
	    .detail = 2 },
	  NULL,
	  "http_server_request_duration_seconds_count{http_request_method=\"GET\","
	  "http_response_status_code=\"200\",url_scheme=\"http\",network_protocol_version=\"2\","
	  "server_port=\"80\",http_route=\"/b/{id}\"}" },
	{ { .metric = METRIC_TCP_RTT, .direction = DIRECTION_OUTBOUND, .port = 80 },
	  "web.test",
	  "sluice_tcp_rtt_seconds_count{direction=\"outbound\",server_address=\"web.test\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_TCP_RETRANSMITS, .direction = DIRECTION_INBOUND, .port = 80 },
	  "10.0.0.1",
	  "sluice_tcp_retransmits_total{direction=\"inbound\",server_address=\"10.0.0.1\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_RPC_SERVER_OLD, .status = RPC_UNAVAILABLE, .port = 80 },
	  "|p.S/Mx",
	  "rpc_server_duration_seconds_count{rpc_system=\"grpc\",rpc_service=\"p.S\","
	  "rpc_method=\"Mx\",rpc_grpc_status_code=\"14\",server_port=\"80\"}" },
	{ { .metric = METRIC_RPC_CLIENT_OLD, .status = RPC_OK, .port = 80 },
	  "web.test|p.S/M",
	  "rpc_client_duration_seconds_count{rpc_system=\"grpc\",rpc_service=\"p.S\","
	  "rpc_method=\"M\",rpc_grpc_status_code=\"0\",server_address=\"web.test\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_RPC_CLIENT_OLD, .status = RPC_STATUS_MISSING, .port = 80 },
	  "web.test|no method",
	  "rpc_client_duration_seconds_count{rpc_system=\"grpc\",rpc_service=\"_OTHER\","
	  "rpc_method=\"_OTHER\",rpc_grpc_status_code=\"missing\",server_address=\"web.test\","
	  "server_port=\"80\"}" },
	{ { .metric = METRIC_RPC_MESSAGES, .direction = DIRECTION_INBOUND, .way = WAY_TO_CLIENT },
	  "|p.S/M",
	  "sluice_rpc_messages_total{direction=\"inbound\",way=\"to_client\",rpc_method=\"p.S/"
	  "M\"}" },
	{ { .metric = METRIC_TLS_HANDSHAKES,
	    .direction = DIRECTION_OUTBOUND,
	    .version = TLS_VERSION_1_3,
	    .port = 443 },
	  "www.test|http/1.1",
	  "sluice_tls_handshakes_total{direction=\"outbound\",sni=\"www.test\",alpn=\"http/1.1\","
	  "version=\"1.3\",server_port=\"443\"}" },
	{ { .metric = METRIC_OBSERVER_LOST, .lost = LOST_BAD_CHUNK },
	  NULL,
	  "sluice_observer_lost_total{reason=\"bad_chunk\"}" },
	{ { .metric = METRIC_DNS_QUERIES, .question = DNS_PTR, .result = DNS_NEGATIVE },
	  NULL,
	  "sluice_dns_queries_total{question=\"ptr\",result=\"negative\"}" },
	{ { .metric = METRIC_DNS_QUERIES_ACTIVE, .question = DNS_ADDRESS },
	  NULL,
	  "sluice_dns_queries_active{question=\"address\"}" },
	{ { .metric = METRIC_DNS_CACHE_HITS, .question = DNS_PTR },
	  NULL,
	  "sluice_dns_cache_hits_total{question=\"ptr\"}" },
	{ { .metric = METRIC_DNS_CACHE_ENTRIES, .question = DNS_ADDRESS },
	  NULL,
	  "sluice_dns_cache_entries{question=\"address\"}" },
	{ { .metric = METRIC_DNS_CACHE_ADDED, .question = DNS_ADDRESS },
	  NULL,
	  "sluice_dns_cache_added_total{question=\"address\"}" },
};

static void test_labels(void **state)
{
	struct metrics *m;
	struct metrics_shard *s;
	struct exposition x;
	uint32_t seen = 0;

	(void)state;
	assert_int_equal(routes_add(&routes, SPAN_LIT("/a"), NULL), 0);
	assert_int_equal(routes_add(&routes, SPAN_LIT("/b/{id}"), NULL), 0);
	m = fresh(NULL, "");
	s = metrics_shard_new(m, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct metric_key key = rows[i].key;

		seen |= 1u << key.metric;
		if (rows[i].name) {
			struct span name = span_str(rows[i].name), detail = { NULL, 0 };
			const char *bar = strchr(rows[i].name, '|');

			if (bar) {
				detail = span_str(bar + 1);
				name.len = (size_t)(bar - rows[i].name);
			}
			key.name =
				metrics_name(s, name,
					     memchr(name.ptr, ':', name.len) ? METRIC_NAME_ADDRESS
									     : METRIC_NAME_HOST);
			if (bar)
				key.detail = metrics_name(s, detail, METRIC_NAME_METHOD);
		}
		if (strstr(rows[i].series, "_count{"))
			metric_observe(metrics_histogram(s, &key), 12345);
		else
			metric_add(metrics_value(s, &key), 1);
	}
	assert_int_equal(seen, (1u << METRIC_COUNT) - 1);
	exposition_read(&x, m, &process);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (exposition_value(&x, rows[i].series) != 1)
			fail_msg("no %s in\n%s", rows[i].series, x.text);
	}
	/* Nothing but these: without a service there are no labels for it, and no target. */
	assert_null(strstr(x.text, "service_name"));
	assert_null(strstr(x.text, "target_info"));
	exposition_fini(&x);
	metrics_free(m);
	routes_free(take_ptr(&routes));
}

static void test_buckets(void **state)
{
	static const uint64_t edges[] = { 0, 256, 1024, 4096, 16384, 65536, 1048576, 16777216 };
	struct metrics *m = fresh(NULL, NULL);
	struct metrics_shard *s = metrics_shard_new(m, NULL);
	struct metric_key key = { .metric = METRIC_HTTP_SERVER_REQUEST_BODY };
	struct exposition x;

	(void)state;
	/* A bound belongs to its bucket, one more to the next. */
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		metric_observe(metrics_histogram(s, &key), edges[i]);
		metric_observe(metrics_histogram(s, &key), edges[i] + 1);
	}
	exposition_read(&x, m, &process);
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		char series[128];

		snprintf(series, sizeof(series),
			 "http_server_request_body_size_bytes_bucket{le=\"%llu.0\"}",
			 (unsigned long long)edges[i]);
		assert_true(exposition_value(&x, series) == 2.0 * (double)i + 1);
	}
	assert_non_null(strstr(x.text, "http_server_request_body_size_bytes_sum 35826184\n"));
	exposition_fini(&x);
	metrics_free(m);
}

/* All bounds are there from the first observation, as OpenMetrics spells them. */
static void test_second_bounds(void **state)
{
	static const char *const bounds[] = {
		"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1",
		"0.25",	  "0.5",   "0.75",   "1.0",   "2.5",  "5.0",   "7.5",  "10.0",	"+Inf",
	};
	struct metrics *m = fresh(NULL, NULL);
	struct metrics_shard *s = metrics_shard_new(m, NULL);
	struct metric_key key = { .metric = METRIC_HTTP_FIRST_BYTE };
	struct exposition x;
	char expect[4096];
	size_t len = 0;

	(void)state;
	metric_observe(metrics_histogram(s, &key), 2500000001);
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
		len += (size_t)snprintf(
			expect + len, sizeof(expect) - len,
			"sluice_http_first_byte_seconds_bucket{direction=\"inbound\","
			"le=\"%s\"} %d\n",
			bounds[i], i >= 14);
	snprintf(expect + len, sizeof(expect) - len,
		 "sluice_http_first_byte_seconds_sum{direction=\"inbound\"} 2.500000001\n"
		 "sluice_http_first_byte_seconds_count{direction=\"inbound\"} 1\n");
	exposition_read(&x, m, &process);
	if (!strstr(x.text, expect))
		fail_msg("got\n%s\nwanted in it\n%s", x.text, expect);
	exposition_fini(&x);
	metrics_free(m);
}

static void test_service_and_facts(void **state)
{
	struct metrics *m = fresh("a\"b\\c\nd", "space");
	struct exposition x;

	(void)state;
	exposition_read(&x, m, &process);
#define SERVICE "service_name=\"a\\\"b\\\\c\\nd\",service_namespace=\"space\""
	assert_true(exposition_value(&x, "target_info{" SERVICE "}") == 1);
	assert_true(exposition_value(&x, "sluice_build_info{" SERVICE ",version=\"" VERSION
					 "\"}") == 1);
	assert_true(exposition_value(&x, "sluice_armed{" SERVICE "}") == 1);
	assert_true(exposition_value(&x, "sluice_worker_restarts_total{" SERVICE "}") == 2);
	assert_true(exposition_value(&x, "sluice_connections_limit{" SERVICE "}") == 1000);
	assert_true(exposition_value(&x, "sluice_connections_used{" SERVICE "}") == 7);
	assert_non_null(strstr(x.text, "process_start_time_seconds{" SERVICE "} 1700000000.05\n"));
	assert_true(exposition_value(&x, "process_open_fds{" SERVICE "}") >= 3);
	assert_true(exposition_value(&x, "process_max_fds{" SERVICE "}") >= 3);
	assert_true(exposition_value(&x, "process_resident_memory_bytes{" SERVICE "}") > 100000);
	assert_true(exposition_value(&x, "process_cpu_seconds_total{" SERVICE "}") >= 0);
	for (size_t i = 0; i < x.count; i++)
		assert_non_null(strstr(x.samples[i].series, "{" SERVICE));
	exposition_fini(&x);
	exposition_read(&x, m, &(struct metrics_process){ .armed_known = false });
	assert_null(strstr(x.text, "sluice_armed"));
	exposition_fini(&x);
	metrics_free(m);
}

static int refuse(void *to, struct span piece)
{
	unsigned *calls = to;

	(void)piece;
	return ++*calls == 2 ? -EPIPE : 0;
}

static void test_write_failure_ends_it(void **state)
{
	struct metrics *m = fresh("a", NULL);
	struct metrics_shard *s = metrics_shard_new(m, NULL);
	unsigned calls = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct metric_key key = { .metric = METRIC_CONNECT_DURATION,
					  .port = (uint16_t)(i + 1) };

		metric_observe(metrics_histogram(s, &key), 1);
	}
	assert_int_equal(metrics_text(m, &process, METRICS_TEXT, refuse, &calls), -EPIPE);
	assert_int_equal(calls, 2);
	metrics_free(m);
}

struct maker {
	struct metrics_shard *shard;
	uint16_t pieces;
};

static int make_more(void *to, struct span piece)
{
	struct maker *maker = to;
	char name[16];
	int len = snprintf(name, sizeof(name), "name%u", ++maker->pieces);
	struct metric_key key = {
		.metric = METRIC_CONNECT_DURATION,
		.port = maker->pieces,
		.name = metrics_name(maker->shard, SPAN(name, (size_t)len), METRIC_NAME_ADDRESS),
	};

	(void)piece;
	metric_observe(metrics_histogram(maker->shard, &key), 1);
	return 0;
}

/* While a scrape is written there are new series and names: it holds no lock of theirs. */
static void test_a_scrape_holds_no_lock(void **state)
{
	(void)state;
	alarm(60);
	for (int format = 0; format < METRICS_FORMAT_COUNT; format++) {
		struct metrics *m = fresh("a", NULL);
		struct maker maker = { .shard = metrics_shard_new(m, NULL) };

		for (unsigned i = 0; i < 500; i++) {
			struct metric_key key = { .metric = METRIC_HTTP_FIRST_BYTE,
						  .port = (uint16_t)(i + 1) };

			metric_observe(metrics_histogram(maker.shard, &key), 1);
		}
		assert_int_equal(
			metrics_text(m, &process, (enum metrics_format)format, make_more, &maker),
			0);
		assert_true(maker.pieces > 10);
		metrics_free(m);
	}
	alarm(0);
}

/* The text of @m in OpenMetrics. */
static void openmetrics(struct metrics *m, const struct metrics_process *p, struct exposition *x)
{
	*x = (struct exposition){ 0 };
	assert_int_equal(metrics_text(m, p, METRICS_OPENMETRICS, exposition_write, x), 0);
}

static void expect_line(const struct exposition *x, const char *line)
{
	if (!strstr(x->text, line))
		fail_msg("no %s in\n%s", line, x->text);
}

/* Families by the names of OpenMetrics; samples are the same in both formats, `le` included. */
static void test_openmetrics(void **state)
{
	struct metrics *m = fresh("web", NULL);
	struct metrics_shard *s = metrics_shard_new(m, NULL);
	struct metric_key key = { .metric = METRIC_HTTP_FIRST_BYTE };
	struct exposition x, text;
	char *line, *rest;

	(void)state;
	metric_observe(metrics_histogram(s, &key), 2500000001);
	key.metric = METRIC_CONNECTIONS_OPENED;
	metric_add(metrics_value(s, &key), 3);
	openmetrics(m, &process, &x);
	exposition_read(&text, m, &process);
	expect_line(&x, "# TYPE sluice_connections_opened counter\nsluice_connections_opened_total{"
			"service_name=\"web\",direction=\"inbound\"} 3\n");
	expect_line(&x, "# TYPE sluice_http_first_byte_seconds histogram\n");
	expect_line(&x, "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total{");
	expect_line(&x, "# TYPE target info\ntarget_info{service_name=\"web\"} 1\n");
	expect_line(&x, "# HELP sluice_build The program's version.\n# TYPE sluice_build info\n"
			"sluice_build_info{");
	expect_line(&x, ",le=\"2.5\"} 0\n");
	assert_string_equal(x.text + x.len - 6, "# EOF\n");
	assert_null(strstr(text.text, "# EOF"));
	for (line = strtok_r(x.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		/* What changes by itself between two scrapes: the process. */
		if (*line != '#' && strncmp(line, "process_", 8) != 0)
			expect_line(&text, line);
	}
	exposition_fini(&x);
	exposition_fini(&text);
	metrics_free(m);
}

#define EXAMPLE(bytes, value, time)                                                               \
	" # {trace_id=\"" bytes bytes bytes bytes bytes bytes bytes bytes bytes bytes bytes bytes \
		bytes bytes bytes bytes                                                           \
	"\",span_id=\"" bytes bytes bytes bytes bytes bytes bytes bytes "\"} " value " " time "\n"

static void exemplar(struct metrics_shard *s, uint8_t trace, uint64_t value, uint64_t now)
{
	struct metric_key key = { .metric = METRIC_HTTP_SERVER_REQUEST_DURATION };
	struct metric_histogram *h = metrics_histogram(s, &key);
	struct trace t;

	memset(&t, trace, sizeof(t));
	metric_observe(h, value);
	metric_exemplar(s, h, value, &t, now);
}

/* At most one a bucket, the latest of all threads; none in the text format. */
static void test_exemplars(void **state)
{
	const struct metrics_process later = { .clock_offset = 1700000000000000000 };
	struct metrics *m = fresh(NULL, NULL);
	struct metrics_shard *s = metrics_shard_new(m, NULL), *another = metrics_shard_new(m, NULL);
	struct exposition x;

	(void)state;
	exemplar(s, 0x11, 400000, 1000000000);
	exemplar(s, 0x22, 300000, 2000000000);
	exemplar(another, 0x33, 200000, 1500000000);
	exemplar(another, 0x44, 20000000000, 3000000000);
	exemplar(s, 0x55, 1000000, 4500000000);
	exemplar(s, 0x66, 50000000, 1000000000);
	exemplar(another, 0x77, 50000000, 9000000000);
	openmetrics(m, &later, &x);
	expect_line(&x, "le=\"0.0005\"} 3" EXAMPLE("22", "0.0003", "1700000002.0"));
	expect_line(&x, "le=\"0.001\"} 4" EXAMPLE("55", "0.001", "1700000004.5"));
	expect_line(&x, "le=\"0.0025\"} 4\n");
	expect_line(&x, "le=\"0.05\"} 6" EXAMPLE("77", "0.05", "1700000009.0"));
	expect_line(&x, "le=\"+Inf\"} 7" EXAMPLE("44", "20.0", "1700000003.0"));
	exposition_fini(&x);
	exposition_read(&x, m, &later);
	assert_null(strstr(x.text, "trace_id"));
	exposition_fini(&x);
	metrics_free(m);
}

struct busy {
	struct metrics_shard *shard;
	_Atomic bool stop;
};

static void *keep_changing(void *arg)
{
	struct busy *b = arg;

	for (uint8_t i = 1; !atomic_load(&b->stop); i = (uint8_t)(i % 255 + 1))
		exemplar(b->shard, i, i, i);
	return NULL;
}

/* What is read while it changes is one whole example: its bytes are all alike. */
static void test_exemplars_are_whole(void **state)
{
	const struct metrics_process none = { .clock_offset = 0 };
	struct metrics *m = fresh(NULL, NULL);
	struct busy busy = { .shard = metrics_shard_new(m, NULL) };
	unsigned seen = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, keep_changing, &busy), 0);
	while (seen < 300) {
		struct exposition x;
		const char *at;

		openmetrics(m, &none, &x);
		at = strstr(x.text, "trace_id=\"");
		if (at) {
			char expect[256], value[3] = { at[10], at[11], '\0' };
			unsigned byte = (unsigned)strtoul(value, NULL, 16);
			size_t len = 0;

			for (int i = 0; i < 16; i++)
				len += (size_t)sprintf(expect + len, "%s", value);
			len += (size_t)sprintf(expect + len, "\",span_id=\"");
			for (int i = 0; i < 8; i++)
				len += (size_t)sprintf(expect + len, "%s", value);
			sprintf(expect + len, "\"} 0.000000%03u 0.000000%03u", byte, byte);
			if (byte % 10 && strncmp(at + 10, expect, strlen(expect)) != 0)
				fail_msg("got %.100s, wanted %s", at + 10, expect);
			seen++;
		}
		exposition_fini(&x);
	}
	atomic_store(&busy.stop, true);
	pthread_join(thread, NULL);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_second_bounds),
		cmocka_unit_test(test_service_and_facts),
		cmocka_unit_test(test_write_failure_ends_it),
		cmocka_unit_test(test_a_scrape_holds_no_lock),
		cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_exemplars),
		cmocka_unit_test(test_exemplars_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
