// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of metrics: names, meanings, labels and buckets. docs/metrics.md tells the same. */
#include "metrics_internal.h"

#define MS(n) ((uint64_t)((n)*1000000.0))

/* OpenTelemetry's bounds from 5 ms to 10 s, and three below: local calls take less. */
static const uint64_t second_values[] = {
	MS(0.5), MS(1),	  MS(2.5), MS(5),    MS(10),   MS(25),	 MS(50),   MS(75),    MS(100),
	MS(250), MS(500), MS(750), MS(1000), MS(2500), MS(5000), MS(7500), MS(10000),
};
static const char *const second_texts[] = {
	"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1",
	"0.25",	  "0.5",   "0.75",   "1.0",   "2.5",  "5.0",   "7.5",  "10.0",
};
static const struct metric_bounds seconds = { ARRAY_SIZE(second_values), true, second_values,
					      second_texts };
_Static_assert(ARRAY_SIZE(second_values) == ARRAY_SIZE(second_texts), "a text for each");
_Static_assert(ARRAY_SIZE(second_values) < METRIC_BUCKETS_MAX, "they fit, with the infinite one");

static const uint64_t byte_values[] = { 0, 256, 1024, 4096, 16384, 65536, 1048576, 16777216 };
static const char *const byte_texts[] = {
	"0.0", "256.0", "1024.0", "4096.0", "16384.0", "65536.0", "1048576.0", "16777216.0",
};
static const struct metric_bounds bytes = { ARRAY_SIZE(byte_values), false, byte_values,
					    byte_texts };
_Static_assert(ARRAY_SIZE(byte_values) == ARRAY_SIZE(byte_texts), "a text for each");

/* Round trips: within a node, within a zone, across the world. */
static const uint64_t trip_values[] = {
	MS(0.1), MS(0.25), MS(0.5), MS(1),   MS(2.5), MS(5),	MS(10),
	MS(25),	 MS(50),   MS(100), MS(250), MS(500), MS(1000),
};
static const char *const trip_texts[] = {
	"0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
	"0.025",  "0.05",    "0.1",    "0.25",	"0.5",	  "1.0",
};
static const struct metric_bounds trips = { ARRAY_SIZE(trip_values), true, trip_values,
					    trip_texts };
_Static_assert(ARRAY_SIZE(trip_values) == ARRAY_SIZE(trip_texts), "a text for each");

const struct metric_info metric_infos[] = {
	[METRIC_HTTP_SERVER_REQUEST_DURATION] = {
		"http_server_request_duration_seconds",
		"Requests to this service, from the first byte to the last of the response.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_METHOD, LABEL_STATUS, LABEL_SCHEME, LABEL_VERSION, LABEL_PORT, LABEL_ROUTE,
		  LABEL_ERROR },
	},
	[METRIC_HTTP_CLIENT_REQUEST_DURATION] = {
		"http_client_request_duration_seconds",
		"Requests of this service, from the first byte to the last of the response.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_METHOD, LABEL_STATUS, LABEL_VERSION, LABEL_ADDRESS, LABEL_PORT, LABEL_ROUTE,
		  LABEL_ERROR },
	},
	[METRIC_HTTP_SERVER_REQUEST_BODY] = {
		"http_server_request_body_size_bytes",
		"Content of requests to this service, without framing.",
		METRIC_HISTOGRAM, &bytes, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_SERVER_RESPONSE_BODY] = {
		"http_server_response_body_size_bytes",
		"Content of this service's responses, without framing.",
		METRIC_HISTOGRAM, &bytes, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_CLIENT_REQUEST_BODY] = {
		"http_client_request_body_size_bytes",
		"Content of this service's requests, without framing.",
		METRIC_HISTOGRAM, &bytes, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_CLIENT_RESPONSE_BODY] = {
		"http_client_response_body_size_bytes",
		"Content of responses to this service, without framing.",
		METRIC_HISTOGRAM, &bytes, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_SERVER_ACTIVE] = {
		"http_server_active_requests",
		"Requests to this service that are not finished.",
		METRIC_GAUGE, NULL, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_CLIENT_ACTIVE] = {
		"http_client_active_requests",
		"Requests of this service that are not finished.",
		METRIC_GAUGE, NULL, { LABEL_METHOD, LABEL_PORT },
	},
	[METRIC_HTTP_FIRST_BYTE] = {
		"sluice_http_first_byte_seconds",
		"From a request's first byte to the first of its response.",
		METRIC_HISTOGRAM, &seconds, { LABEL_DIRECTION, LABEL_PORT },
	},
	[METRIC_RPC_SERVER_DURATION] = {
		"rpc_server_call_duration_seconds",
		"gRPC calls to this service, from the first byte to the last of the answer.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_RPC_SYSTEM, LABEL_RPC_METHOD, LABEL_RPC_STATUS, LABEL_PORT, LABEL_RPC_ERROR },
	},
	[METRIC_RPC_CLIENT_DURATION] = {
		"rpc_client_call_duration_seconds",
		"gRPC calls of this service, from the first byte to the last of the answer.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_RPC_SYSTEM, LABEL_RPC_METHOD, LABEL_RPC_STATUS, LABEL_ADDRESS, LABEL_PORT,
		  LABEL_RPC_ERROR },
	},
	[METRIC_RPC_SERVER_OLD] = {
		"rpc_server_duration_seconds",
		"rpc_server_call_duration_seconds by its older name and labels.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_OLD_SYSTEM, LABEL_OLD_SERVICE, LABEL_OLD_METHOD, LABEL_OLD_STATUS,
		  LABEL_PORT },
	},
	[METRIC_RPC_CLIENT_OLD] = {
		"rpc_client_duration_seconds",
		"rpc_client_call_duration_seconds by its older name and labels.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_OLD_SYSTEM, LABEL_OLD_SERVICE, LABEL_OLD_METHOD, LABEL_OLD_STATUS,
		  LABEL_ADDRESS, LABEL_PORT },
	},
	[METRIC_RPC_MESSAGES] = {
		"sluice_rpc_messages_total", "Messages of finished gRPC calls.",
		METRIC_COUNTER, NULL, { LABEL_DIRECTION, LABEL_WAY, LABEL_RPC_METHOD },
	},
	[METRIC_TLS_HANDSHAKES] = {
		"sluice_tls_handshakes_total",
		"ClientHellos read; version is the newest that the client offers.",
		METRIC_COUNTER, NULL,
		{ LABEL_DIRECTION, LABEL_SNI, LABEL_ALPN, LABEL_TLS_VERSION, LABEL_PORT },
	},
	[METRIC_CONNECTIONS_OPENED] = {
		"sluice_connections_opened_total", "Connections accepted.",
		METRIC_COUNTER, NULL, { LABEL_DIRECTION, LABEL_PORT },
	},
	[METRIC_CONNECTIONS_ACTIVE] = {
		"sluice_connections_active", "Connections that are open.",
		METRIC_GAUGE, NULL, { LABEL_DIRECTION, LABEL_PORT },
	},
	[METRIC_CONNECTIONS_CLOSED] = {
		"sluice_connections_closed_total", "Connections that ended, by how they did.",
		METRIC_COUNTER, NULL,
		{ LABEL_DIRECTION, LABEL_PROTOCOL, LABEL_ADDRESS, LABEL_PORT, LABEL_OUTCOME },
	},
	[METRIC_CONNECTION_DURATION] = {
		"sluice_connection_duration_seconds",
		"Connections that ended, from accept to the end.",
		METRIC_HISTOGRAM, &seconds,
		{ LABEL_DIRECTION, LABEL_PROTOCOL, LABEL_ADDRESS, LABEL_PORT, LABEL_OUTCOME },
	},
	[METRIC_CONNECT_DURATION] = {
		"sluice_connect_duration_seconds",
		"Connecting to the destination, when it succeeded.",
		METRIC_HISTOGRAM, &seconds, { LABEL_DIRECTION, LABEL_ADDRESS, LABEL_PORT },
	},
	[METRIC_TCP_RTT] = {
		"sluice_tcp_rtt_seconds",
		"Smoothed round trip time to the peer outside the pod, at a connection's end.",
		METRIC_HISTOGRAM, &trips, { LABEL_DIRECTION, LABEL_ADDRESS, LABEL_PORT },
	},
	[METRIC_TCP_RETRANSMITS] = {
		"sluice_tcp_retransmits_total",
		"Segments sent again to the peer outside the pod, by connections that ended.",
		METRIC_COUNTER, NULL, { LABEL_DIRECTION, LABEL_ADDRESS, LABEL_PORT },
	},
	[METRIC_BYTES] = {
		"sluice_bytes_total", "Bytes passed on, counted while connections live.",
		METRIC_COUNTER, NULL, { LABEL_DIRECTION, LABEL_WAY, LABEL_PROTOCOL, LABEL_PORT },
	},
	[METRIC_OBSERVER_LOST] = {
		"sluice_observer_lost_total",
		"Connections whose HTTP could not be followed; they went on as plain TCP.",
		METRIC_COUNTER, NULL, { LABEL_REASON },
	},
	[METRIC_DNS_QUERIES] = {
		"sluice_dns_queries_total",
		"Questions of the proxy's own to DNS that ended, by what came of them.",
		METRIC_COUNTER, NULL, { LABEL_QUESTION, LABEL_RESULT },
	},
	[METRIC_DNS_QUERIES_ACTIVE] = {
		"sluice_dns_queries_active", "Questions of the proxy's own that are under way.",
		METRIC_GAUGE, NULL, { LABEL_QUESTION },
	},
	[METRIC_DNS_CACHE_HITS] = {
		"sluice_dns_cache_hits_total", "Questions that the cache had an answer to.",
		METRIC_COUNTER, NULL, { LABEL_QUESTION },
	},
	[METRIC_DNS_CACHE_ENTRIES] = {
		"sluice_dns_cache_entries", "Answers in the cache.",
		METRIC_GAUGE, NULL, { LABEL_QUESTION },
	},
	[METRIC_DNS_CACHE_ADDED] = {
		"sluice_dns_cache_added_total", "Questions that the cache had no place for before.",
		METRIC_COUNTER, NULL, { LABEL_QUESTION },
	},
};
_Static_assert(ARRAY_SIZE(metric_infos) == METRIC_COUNT, "a row for each");
