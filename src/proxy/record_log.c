// SPDX-License-Identifier: GPL-2.0-or-later
/* From what a flow did to the access log: see record_log.h. */
#include "record_log.h"

/* An entry with what is known of the flow, or NULL: there is no room. */
static struct access_entry *begin(const struct record *r, enum access_kind kind,
				  uint32_t server_name)
{
	struct access_entry *x = access_ring_claim(r->recorder->log);

	if (!x)
		return NULL;
	*x = (struct access_entry){
		.flow = r->id,
		.client = r->client,
		.client_port = r->client_port,
		.address = r->address,
		.port = r->port,
		.server_name = server_name,
		.kind = (uint8_t)kind,
		.direction = r->direction,
		.protocol = r->protocol,
	};
	return x;
}

/*
 * What the request called the server: inbound there is no other name, and outbound one that the
 * metrics have no room for is better told than "_OTHER".
 */
static void set_host(struct access_entry *x, struct span host)
{
	if (x->direction == DIRECTION_OUTBOUND && x->server_name != METRIC_NAME_OTHER)
		return;
	x->host_len = (uint8_t)MIN(host.len, (size_t)ACCESS_NAME_MAX);
	if (x->host_len)
		memcpy(x->host, host.ptr, x->host_len);
}

void record_log_exchange(const struct record *r, const struct http_exchange *x,
			 uint32_t server_name, enum error_type error)
{
	struct access_entry *a = begin(r, ACCESS_HTTP, server_name);

	if (!a)
		return;
	set_host(a, x->host);
	access_ring_path(r->recorder->log, x->target);
	a->started = x->started;
	a->first_byte = x->first_byte;
	a->ended = x->ended;
	a->bytes[WAY_TO_SERVER] = x->request_body;
	a->bytes[WAY_TO_CLIENT] = x->response_body;
	a->method = (uint8_t)x->method;
	a->version = (uint8_t)x->version;
	a->status = x->status;
	a->route = x->route;
	a->error = (uint8_t)error;
	a->trace = x->trace;
	access_ring_publish(r->recorder->log);
}

void record_log_call(const struct record *r, const struct rpc_call *c, uint32_t server_name,
		     uint32_t method, enum error_type error)
{
	struct access_entry *a = begin(r, ACCESS_GRPC, server_name);

	if (!a)
		return;
	set_host(a, c->host);
	a->started = c->started;
	a->first_byte = c->first_byte;
	a->ended = c->ended;
	a->bytes[WAY_TO_SERVER] = c->bytes[WAY_TO_SERVER];
	a->bytes[WAY_TO_CLIENT] = c->bytes[WAY_TO_CLIENT];
	a->detail = method;
	a->rpc_status = (uint8_t)c->status;
	a->status = c->http_status;
	a->error = (uint8_t)error;
	a->trace = c->trace;
	access_ring_publish(r->recorder->log);
}

void record_log_close(const struct record *r, uint32_t server_name, enum outcome outcome,
		      uint64_t now)
{
	struct access_entry *a;

	if (r->protocol != PROTOCOL_TCP && r->protocol != PROTOCOL_TLS)
		return;
	a = begin(r, ACCESS_CONNECTION, server_name);
	if (!a)
		return;
	a->started = r->opened;
	a->ended = now;
	a->bytes[WAY_TO_SERVER] = r->total[WAY_TO_SERVER];
	a->bytes[WAY_TO_CLIENT] = r->total[WAY_TO_CLIENT];
	a->detail = r->sni;
	a->outcome = (uint8_t)outcome;
	access_ring_publish(r->recorder->log);
}
