// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shows recorded flows to the observer and prints what it tells, one JSON object a line.
 *
 * usage: replay < FILE. The file is a list of records: a byte (0, 1: bytes to the server, to the
 * client; 2, 3: that way ends; 4: a new flow begins), the time and the length as big-endian
 * numbers of 8 and 4 bytes, and so many bytes.
 */
#include "observer.h"

enum record_kind {
	RECORD_TO_SERVER,
	RECORD_TO_CLIENT,
	RECORD_SERVER_END,
	RECORD_CLIENT_END,
	RECORD_FLOW,
};

#define RECORD_MAX (1u << 24)

static void print_text(const char *name, struct span text)
{
	printf(", \"%s\": \"", name);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_number(const char *name, uint64_t number)
{
	printf(", \"%s\": %llu", name, (unsigned long long)number);
}

static void print_times(uint64_t started, uint64_t first_byte, uint64_t ended)
{
	print_number("started", started);
	print_number("first_byte", first_byte);
	print_number("ended", ended);
}

static void on_protocol(void *ctx, enum protocol protocol)
{
	(void)ctx;
	printf("{\"event\": \"protocol\", \"protocol\": \"%s\"}\n", protocol_names[protocol]);
}

static void on_active(void *ctx, enum http_method method, int change)
{
	(void)method;
	*(int *)ctx += change;
}

static void on_calling(void *ctx, int change)
{
	*(int *)ctx += change;
}

static void on_exchange(void *ctx, const struct http_exchange *x)
{
	(void)ctx;
	printf("{\"event\": \"exchange\", \"method\": \"%s\", \"version\": \"%s\"",
	       http_method_names[x->method], http_version_names[x->version]);
	print_number("status", x->status);
	print_text("error", span_str(error_type_names[x->error]));
	print_text("host", x->host);
	print_times(x->started, x->first_byte, x->ended);
	print_number("request_body", x->request_body);
	print_number("response_body", x->response_body);
	printf("}\n");
}

static void on_call(void *ctx, const struct rpc_call *c)
{
	(void)ctx;
	printf("{\"event\": \"call\"");
	print_text("method", c->method);
	print_text("host", c->host);
	print_text("status", span_str(rpc_status_names[c->status]));
	print_text("error", span_str(error_type_names[c->error]));
	print_times(c->started, c->first_byte, c->ended);
	print_number("messages_to_server", c->messages[WAY_TO_SERVER]);
	print_number("messages_to_client", c->messages[WAY_TO_CLIENT]);
	print_number("request_body", c->bytes[WAY_TO_SERVER]);
	print_number("response_body", c->bytes[WAY_TO_CLIENT]);
	printf("}\n");
}

static void on_tls(void *ctx, const struct tls_client *client)
{
	(void)ctx;
	printf("{\"event\": \"tls\"");
	print_text("sni", client->sni);
	print_text("alpn", client->alpn);
	print_text("version", span_str(tls_version_names[client->version]));
	printf("}\n");
}

static void on_lost(void *ctx, enum lost_reason reason)
{
	(void)ctx;
	printf("{\"event\": \"lost\", \"reason\": \"%s\"}\n", lost_reason_names[reason]);
}

static const struct observer_sink sink = {
	.protocol = on_protocol,
	.active = on_active,
	.calling = on_calling,
	.exchange = on_exchange,
	.call = on_call,
	.tls = on_tls,
	.lost = on_lost,
};

struct replay {
	struct observer observer;
	bool open;
	int active;
};

static void end_flow(struct replay *r, uint64_t now)
{
	if (!r->open)
		return;
	observer_fini(&r->observer, now);
	printf("{\"event\": \"end\", \"active\": %d}\n", r->active);
	r->open = false;
}

static void begin_flow(struct replay *r, uint64_t now)
{
	end_flow(r, now);
	r->active = 0;
	r->open = true;
	observer_init(&r->observer, &sink, &r->active, false);
}

/* Shows @bytes; what need not be shown is skipped, as the relay might. */
static void show(struct replay *r, enum way way, struct span bytes, uint64_t now)
{
	while (bytes.len) {
		uint64_t skip = observer_skip(&r->observer, way);
		size_t n = skip && skip < bytes.len ? (size_t)skip : bytes.len;

		if (skip)
			observer_skipped(&r->observer, way, n, now);
		else
			observer_data(&r->observer, way, bytes, now);
		bytes = SPAN(bytes.ptr + n, bytes.len - n);
	}
}

static uint64_t number_of(const uint8_t *p, unsigned bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | *p++;
	return n;
}

int main(void)
{
	struct replay r = { .open = false };
	uint64_t now = 0;
	uint8_t header[13];

	while (fread(header, sizeof(header), 1, stdin) == 1) {
		size_t len = (size_t)number_of(header + 9, 4);
		_cleanup_free_ char *bytes = malloc(len + 1);

		now = number_of(header + 1, 8);
		if (len > RECORD_MAX || !bytes || fread(bytes, 1, len, stdin) != len) {
			fprintf(stderr, "replay: error: the file is cut short\n");
			return 1;
		}
		switch ((enum record_kind)header[0]) {
		case RECORD_TO_SERVER:
		case RECORD_TO_CLIENT:
			show(&r, (enum way)header[0], SPAN(bytes, len), now);
			break;
		case RECORD_SERVER_END:
		case RECORD_CLIENT_END:
			observer_end(&r.observer, (enum way)(header[0] - RECORD_SERVER_END),
				     OBSERVER_FIN, now);
			break;
		case RECORD_FLOW:
			begin_flow(&r, now);
			break;
		}
	}
	end_flow(&r, now);
	return 0;
}
