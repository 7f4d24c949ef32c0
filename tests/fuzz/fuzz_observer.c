// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The observer, fed both ways of a flow.
 *
 * The input is a list of operations. Each begins with a character and ends before the next ASCII
 * record separator: '>' shows the rest to the observer as bytes to the server, '<' as bytes to
 * the client; ')' and '(' end these ways with FIN, '!' resets the flow.
 *
 * Three observers see it: one whole operations, one single bytes, and one is spared what it says
 * it need not see. What they tell must be the same, and make sense.
 */
#include "observer.h"

#define SEPARATOR 0x1e

enum feeding {
	WHOLE,
	BYTEWISE,
	SPARED,
};

/* What an observer told, as a hash of it, and what must hold on the way. */
struct transcript {
	uint64_t hash;
	int active[HTTP_METHOD_COUNT];
	int calling;
	unsigned lost;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* FNV-1a. */
static void tell(struct transcript *t, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		t->hash = (t->hash ^ p[i]) * 0x100000001b3u;
}

static void tell_number(struct transcript *t, uint64_t number)
{
	tell(t, &number, sizeof(number));
}

static void on_protocol(void *ctx, enum protocol protocol)
{
	must(protocol < PROTOCOL_COUNT);
	tell_number(ctx, 1);
	tell_number(ctx, protocol);
}

static void on_active(void *ctx, enum http_method method, int change)
{
	struct transcript *t = ctx;

	must(method > HTTP_METHOD_NONE && method < HTTP_METHOD_COUNT);
	must(change == 1 || change == -1);
	t->active[method] += change;
	must(t->active[method] >= 0);
	tell_number(t, 2);
	tell_number(t, method);
	tell_number(t, (uint64_t)change);
}

static void on_calling(void *ctx, int change)
{
	struct transcript *t = ctx;

	must(change == 1 || change == -1);
	t->calling += change;
	must(t->calling >= 0);
	tell_number(t, 7);
	tell_number(t, (uint64_t)change);
}

static void on_exchange(void *ctx, const struct http_exchange *x)
{
	struct transcript *t = ctx;

	must(x->version < HTTP_VERSION_COUNT && x->error < ERROR_TYPE_COUNT);
	must(x->started <= x->ended);
	must(!x->first_byte || x->first_byte <= x->ended);
	must(!x->status || (x->status >= 100 && x->status <= 999));
	tell_number(t, 3);
	tell_number(t, x->method);
	tell_number(t, x->version);
	tell_number(t, x->status);
	tell_number(t, x->error);
	tell_number(t, x->started);
	tell_number(t, x->first_byte);
	tell_number(t, x->ended);
	tell_number(t, x->request_body);
	tell_number(t, x->response_body);
	tell(t, x->host.ptr, x->host.len);
}

static void on_call(void *ctx, const struct rpc_call *c)
{
	struct transcript *t = ctx;

	must(c->status < RPC_STATUS_COUNT && c->error < ERROR_TYPE_COUNT);
	must(c->started <= c->ended);
	must(!c->first_byte || c->first_byte <= c->ended);
	/* Without a status there is an error. */
	must(c->status != RPC_STATUS_MISSING || c->error != ERROR_NONE);
	tell_number(t, 5);
	tell(t, c->method.ptr, c->method.len);
	tell(t, c->host.ptr, c->host.len);
	tell_number(t, c->status);
	tell_number(t, c->error);
	tell_number(t, c->started);
	tell_number(t, c->first_byte);
	tell_number(t, c->ended);
	for (int way = 0; way < WAY_COUNT; way++) {
		must(c->messages[way] <= c->bytes[way] / 5);
		tell_number(t, c->messages[way]);
		tell_number(t, c->bytes[way]);
	}
}

static void on_tls(void *ctx, const struct tls_client *client)
{
	must(client->version < TLS_VERSION_COUNT);
	tell_number(ctx, 6);
	tell_number(ctx, client->version);
	tell(ctx, client->sni.ptr, client->sni.len);
	tell(ctx, client->alpn.ptr, client->alpn.len);
}

static void on_lost(void *ctx, enum lost_reason reason)
{
	struct transcript *t = ctx;

	must(reason < LOST_REASON_COUNT);
	must(!t->lost++);
	tell_number(t, 4);
	tell_number(t, reason);
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

/* As the relay does it: what need not be shown goes by unseen. */
static void feed_spared(struct observer *o, enum way way, struct span bytes, uint64_t now)
{
	while (bytes.len) {
		uint64_t skip = observer_skip(o, way);
		size_t n = skip < bytes.len ? (size_t)skip : bytes.len;

		if (!n) {
			observer_data(o, way, SPAN(bytes.ptr, 1), now);
			n = 1;
		} else if (skip != UINT64_MAX) {
			observer_skipped(o, way, n, now);
		}
		bytes = SPAN(bytes.ptr + n, bytes.len - n);
	}
}

static void feed(struct observer *o, enum feeding feeding, enum way way, struct span bytes,
		 uint64_t now)
{
	switch (feeding) {
	case WHOLE:
		observer_data(o, way, bytes, now);
		break;
	case BYTEWISE:
		for (size_t i = 0; i < bytes.len; i++)
			observer_data(o, way, SPAN(bytes.ptr + i, 1), now);
		break;
	case SPARED:
		feed_spared(o, way, bytes, now);
		break;
	}
}

/* One operation; false when the flow is over. A way that has ended brings nothing more. */
static bool operate(struct observer *o, enum feeding feeding, struct span op, uint64_t now,
		    bool ended[WAY_COUNT])
{
	char kind = op.ptr[0];
	enum way way = kind == '>' || kind == ')' ? WAY_TO_SERVER : WAY_TO_CLIENT;

	if (kind == '!') {
		observer_end(o, way, OBSERVER_RESET, now);
		return false;
	}
	if (ended[way])
		return true;
	if (kind == '>' || kind == '<') {
		feed(o, feeding, way, SPAN(op.ptr + 1, op.len - 1), now);
	} else if (kind == ')' || kind == '(') {
		observer_end(o, way, OBSERVER_FIN, now);
		ended[way] = true;
	}
	return true;
}

static uint64_t watch(struct span input, enum feeding feeding)
{
	struct transcript t = { .hash = 0xcbf29ce484222325u };
	bool ended[WAY_COUNT] = { false };
	struct observer o;
	uint64_t now = 1;

	observer_init(&o, &sink, &t, false);
	while (input.len) {
		const char *end = memchr(input.ptr, SEPARATOR, input.len);
		size_t n = end ? (size_t)(end - input.ptr) : input.len;

		if (n && !operate(&o, feeding, SPAN(input.ptr, n), now++, ended))
			break;
		n += end != NULL;
		input = SPAN(input.ptr + n, input.len - n);
	}
	observer_fini(&o, now);
	observer_fini(&o, now);
	for (unsigned m = 0; m < HTTP_METHOD_COUNT; m++)
		must(!t.active[m]);
	must(!t.calling);
	return t.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = SPAN((const char *)data, size);
	uint64_t whole = watch(input, WHOLE);

	must(watch(input, BYTEWISE) == whole);
	must(watch(input, SPARED) == whole);
	return 0;
}
