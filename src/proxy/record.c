// SPDX-License-Identifier: GPL-2.0-or-later
/* From what a flow did to the metrics: see record.h. */
#include "record.h"

#include "dns_message.h"
#include "http1_parse.h"
#include "record_log.h"

static struct metric_key key_of(const struct record *r, enum metric metric)
{
	return (struct metric_key){
		.metric = (uint8_t)metric,
		.direction = r->direction,
		.port = r->port,
	};
}

static struct metric_value *value_of(struct record *r, const struct metric_key *key)
{
	return metrics_value(r->recorder->shard, key);
}

static void observe(struct record *r, const struct metric_key *key, uint64_t value)
{
	metric_observe(metrics_histogram(r->recorder->shard, key), value);
}

/* The same, of a request that came to its end at @now; @trace is none where it is not sampled. */
static void observe_request(struct record *r, const struct metric_key *key, uint64_t value,
			    const struct trace *trace, uint64_t now)
{
	struct metrics_shard *shard = r->recorder->shard;
	struct metric_histogram *h = metrics_histogram(shard, key);

	metric_observe(h, value);
	if (unlikely(trace_is_some(trace)))
		metric_exemplar(shard, h, value, trace, now);
}

/* The name of the destination's address. */
static uint32_t address_name(struct record *r)
{
	struct recorder *rec = r->recorder;
	char text[ADDR_TEXT_MAX];

	if (rec->last_address_name == METRIC_NAME_NONE ||
	    memcmp(&rec->last_address, &r->address, sizeof(r->address)) != 0) {
		rec->last_address = r->address;
		rec->last_address_name = metrics_name(
			rec->shard, span_str(addr_text(&r->address, text)), METRIC_NAME_ADDRESS);
	}
	return rec->last_address_name;
}

/* How long it took to connect, once: when it is known what the destination is called. */
static void observe_connect(struct record *r, uint32_t name)
{
	struct metric_key key = key_of(r, METRIC_CONNECT_DURATION);

	key.name = name;
	observe(r, &key, r->connect_ns);
	r->connect_ns = 0;
}

/*
 * server_address: what DNS calls it, if private; what the client calls it; else its address. @now:
 * see names_look().
 */
static uint32_t server_name(struct record *r, uint64_t now)
{
	uint32_t name;

	names_look(&r->recorder->names, &r->destination, &r->address, now);
	name = r->destination.name;
	if (name == METRIC_NAME_NONE)
		name = r->host;
	if (name == METRIC_NAME_NONE)
		name = address_name(r);
	if (unlikely(r->connect_ns))
		observe_connect(r, name);
	return name;
}

void record_open(struct record *r, struct recorder *recorder, enum direction direction,
		 const struct addr *address, uint16_t port, uint64_t now)
{
	struct metric_key key;

	*r = (struct record){
		.recorder = recorder,
		.address = *address,
		.port = port,
		.direction = (uint8_t)direction,
		.opened = now,
		.id = recorder->last_id += recorder->id_step,
		.destination.look_at = UINT64_MAX,
	};
	if (direction == DIRECTION_OUTBOUND)
		names_begin(&recorder->names, &r->destination, address, now);
	envoy_open(recorder->envoy, &r->envoy, direction);
	key = key_of(r, METRIC_CONNECTIONS_OPENED);
	metric_add(value_of(r, &key), 1);
	key.metric = METRIC_CONNECTIONS_ACTIVE;
	r->active = value_of(r, &key);
	metric_add(r->active, 1);
}

void record_client(struct record *r, const struct addr *address, uint16_t port)
{
	r->client = *address;
	r->client_port = port;
}

void record_named(struct record *r, struct span host)
{
	r->host = metrics_name(r->recorder->shard, host, METRIC_NAME_HOST);
}

void record_address(struct record *r, const struct addr *address)
{
	r->address = address ? *address : (struct addr){ .family = ADDR_FAMILY_COUNT };
}

void record_connected(struct record *r, uint64_t now)
{
	/* Never 0, which means that it was counted. */
	r->connect_ns = MAX(now - r->opened, 1u);
	if (r->direction == DIRECTION_INBOUND)
		observe_connect(r, METRIC_NAME_NONE);
	envoy_connected(r->recorder->envoy, &r->envoy, now - r->opened);
}

void record_settle(struct record *r, uint64_t now)
{
	if (r->connect_ns)
		server_name(r, now);
}

/* The protocol is known, or changed: bytes go to its series from here on. */
static void set_protocol(struct record *r, enum protocol protocol)
{
	struct metric_key key = key_of(r, METRIC_BYTES);

	r->protocol = (uint8_t)protocol;
	key.protocol = (uint8_t)protocol;
	for (unsigned way = 0; way < WAY_COUNT; way++) {
		key.way = (uint8_t)way;
		/* The first time also what came before anybody knew. */
		if (!r->bytes[way])
			metric_add(value_of(r, &key), (int64_t)r->total[way]);
		r->bytes[way] = value_of(r, &key);
	}
	envoy_protocol(r->recorder->envoy, &r->envoy, protocol);
}

void record_bytes(struct record *r, enum way way, size_t bytes)
{
	r->total[way] += bytes;
	if (likely(r->bytes[way]))
		metric_add(r->bytes[way], (int64_t)bytes);
	envoy_bytes(r->recorder->envoy, &r->envoy, way, bytes);
}

void record_fin(struct record *r, enum way way)
{
	envoy_fin(&r->envoy, way);
}

void record_tcp(struct record *r, uint32_t rtt_us, uint32_t retransmits)
{
	struct metric_key key = key_of(r, METRIC_TCP_RETRANSMITS);

	/* This is the end: if there is an answer, it is here. */
	key.name = server_name(r, UINT64_MAX);
	metric_add(value_of(r, &key), retransmits);
	key.metric = METRIC_TCP_RTT;
	if (rtt_us)
		observe(r, &key, 1000ull * rtt_us);
}

void record_close(struct record *r, enum outcome outcome, uint64_t now)
{
	struct metric_key key = key_of(r, METRIC_CONNECTIONS_CLOSED);

	if (r->protocol == PROTOCOL_UNKNOWN)
		set_protocol(r, PROTOCOL_TCP);
	key.protocol = r->protocol;
	key.outcome = (uint8_t)outcome;
	key.name = server_name(r, now);
	metric_add(value_of(r, &key), 1);
	key.metric = METRIC_CONNECTION_DURATION;
	observe(r, &key, now - r->opened);
	envoy_close(r->recorder->envoy, &r->envoy, outcome, now - r->opened);
	if (unlikely(r->recorder->log))
		record_log_close(r, key.name, outcome, now);
	/* Last, so that a scrape which begins when nothing is active has all the rest. */
	metric_add(r->active, -1);
}

static void on_protocol(void *ctx, enum protocol protocol)
{
	set_protocol(ctx, protocol);
}

static void on_active(void *ctx, enum http_method method, int change)
{
	struct record *r = ctx;
	struct metric_key key =
		key_of(r, r->direction == DIRECTION_INBOUND ? METRIC_HTTP_SERVER_ACTIVE
							    : METRIC_HTTP_CLIENT_ACTIVE);

	key.method = (uint8_t)method;
	metric_add(value_of(r, &key), change);
	envoy_active(r->recorder->envoy, &r->envoy, false, change);
}

static void on_calling(void *ctx, int change)
{
	struct record *r = ctx;

	envoy_active(r->recorder->envoy, &r->envoy, true, change);
}

static uint16_t on_route(void *ctx, struct span target)
{
	const struct record *r = ctx;
	const struct routes *routes = r->recorder->routes;

	return routes ? routes_match(routes, http1_target_path(target)) : 0;
}

static struct span on_target(void *ctx, struct span target)
{
	const struct record *r = ctx;
	const char *end = target.ptr + target.len;
	struct span path;

	if (likely(r->recorder->log_target == ACCESS_TARGET_NONE))
		return SPAN("", 0);
	path = http1_target_path(target);
	if (r->recorder->log_target == ACCESS_TARGET_QUERY && path.ptr >= target.ptr &&
	    path.ptr < end)
		path.len = (size_t)(end - path.ptr);
	return path;
}

/*
 * OpenTelemetry's rule for error.type: a server's fault is 5xx, for a client every 4xx is one
 * too; what never was answered says why.
 */
static enum error_type error_of(const struct record *r, const struct http_exchange *x)
{
	unsigned first_bad = r->direction == DIRECTION_INBOUND ? 500 : 400;

	if (x->error != ERROR_NONE)
		return x->error;
	return x->status >= first_bad ? ERROR_STATUS : ERROR_NONE;
}

static void on_exchange(void *ctx, const struct http_exchange *x)
{
	struct record *r = ctx;
	bool inbound = r->direction == DIRECTION_INBOUND;
	struct metric_key key = key_of(r, METRIC_HTTP_FIRST_BYTE);

	r->requests++;
	if (!inbound)
		r->host = metrics_name(r->recorder->shard, x->host, METRIC_NAME_HOST);
	if (x->first_byte)
		observe(r, &key, x->first_byte - x->started);

	key.metric =
		inbound ? METRIC_HTTP_SERVER_REQUEST_DURATION : METRIC_HTTP_CLIENT_REQUEST_DURATION;
	key.method = (uint8_t)x->method;
	key.version = (uint8_t)x->version;
	key.status = x->status;
	key.error = (uint8_t)error_of(r, x);
	key.name = inbound ? METRIC_NAME_NONE : server_name(r, x->ended);
	key.detail = x->route;
	if (unlikely(r->recorder->log))
		record_log_exchange(r, x, server_name(r, x->ended), (enum error_type)key.error);
	observe_request(r, &key, x->ended - x->started, &x->trace, x->ended);

	key = key_of(r,
		     inbound ? METRIC_HTTP_SERVER_REQUEST_BODY : METRIC_HTTP_CLIENT_REQUEST_BODY);
	key.method = (uint8_t)x->method;
	observe(r, &key, x->request_body);
	key.metric = inbound ? METRIC_HTTP_SERVER_RESPONSE_BODY : METRIC_HTTP_CLIENT_RESPONSE_BODY;
	observe(r, &key, x->response_body);
	envoy_request(r->recorder->envoy, &r->envoy,
		      &(struct envoy_request){
			      .ns = x->ended - x->started,
			      .status = x->status,
			      .end = x->end,
			      .http2 = x->version == HTTP_VERSION_2,
		      });
}

/* OpenTelemetry's rule for gRPC: these are a server's fault; for a client all but OK is. */
static bool is_fault(const struct record *r, enum rpc_status status)
{
	static const uint32_t faults = 1u << RPC_UNKNOWN | 1u << RPC_DEADLINE_EXCEEDED |
				       1u << RPC_UNIMPLEMENTED | 1u << RPC_INTERNAL |
				       1u << RPC_UNAVAILABLE | 1u << RPC_DATA_LOSS;

	return r->direction == DIRECTION_INBOUND ? faults >> status & 1 : status != RPC_OK;
}

/* By the names that are asked for. */
static void observe_call(struct record *r, struct metric_key key, const struct rpc_call *c)
{
	uint8_t semconv = r->recorder->semconv;
	uint64_t duration = c->ended - c->started;

	if (semconv != SEMCONV_BEYLA)
		observe_request(r, &key, duration, &c->trace, c->ended);
	if (semconv == SEMCONV_OTEL)
		return;
	key.metric =
		r->direction == DIRECTION_INBOUND ? METRIC_RPC_SERVER_OLD : METRIC_RPC_CLIENT_OLD;
	key.error = ERROR_NONE;
	observe_request(r, &key, duration, &c->trace, c->ended);
}

static void on_call(void *ctx, const struct rpc_call *c)
{
	struct record *r = ctx;
	bool inbound = r->direction == DIRECTION_INBOUND;
	struct metrics_shard *shard = r->recorder->shard;
	uint32_t method = metrics_name(shard, c->method, METRIC_NAME_METHOD);
	struct metric_key key =
		key_of(r, inbound ? METRIC_RPC_SERVER_DURATION : METRIC_RPC_CLIENT_DURATION);

	r->requests++;
	if (method == METRIC_NAME_NONE)
		method = METRIC_NAME_OTHER;
	if (!inbound) {
		r->host = metrics_name(shard, c->host, METRIC_NAME_HOST);
		key.name = server_name(r, c->ended);
	}
	key.status = (uint16_t)c->status;
	key.error = (uint8_t)c->error;
	if (c->error == ERROR_NONE && is_fault(r, c->status))
		key.error = ERROR_STATUS;
	key.detail = method;
	if (unlikely(r->recorder->log))
		record_log_call(r, c, server_name(r, c->ended), method, (enum error_type)key.error);
	observe_call(r, key, c);
	for (unsigned way = 0; way < WAY_COUNT; way++) {
		key = (struct metric_key){
			.metric = METRIC_RPC_MESSAGES,
			.direction = r->direction,
			.way = (uint8_t)way,
			.detail = method,
		};
		metric_add(value_of(r, &key), (int64_t)c->messages[way]);
	}
	envoy_request(r->recorder->envoy, &r->envoy,
		      &(struct envoy_request){
			      .ns = c->ended - c->started,
			      .status = c->http_status,
			      .end = c->end,
			      .grpc = true,
			      .http2 = true,
		      });
}

static void on_tls(void *ctx, const struct tls_client *client)
{
	struct record *r = ctx;
	struct metrics_shard *shard = r->recorder->shard;
	struct metric_key key = key_of(r, METRIC_TLS_HANDSHAKES);

	key.name = r->sni = metrics_name(shard, client->sni, METRIC_NAME_SNI);
	key.detail = metrics_name(shard, client->alpn, METRIC_NAME_WORD);
	key.version = (uint8_t)client->version;
	metric_add(value_of(r, &key), 1);
	if (r->direction == DIRECTION_OUTBOUND)
		r->host = dns_name_is_plain(client->sni) ? key.name : METRIC_NAME_NONE;
}

static void on_lost(void *ctx, enum lost_reason reason)
{
	struct record *r = ctx;
	struct metric_key key = { .metric = METRIC_OBSERVER_LOST, .lost = (uint8_t)reason };

	metric_add(value_of(r, &key), 1);
	envoy_lost(r->recorder->envoy, &r->envoy);
}

const struct observer_sink record_sink = {
	.protocol = on_protocol,
	.active = on_active,
	.calling = on_calling,
	.route = on_route,
	.target = on_target,
	.exchange = on_exchange,
	.call = on_call,
	.tls = on_tls,
	.lost = on_lost,
};
