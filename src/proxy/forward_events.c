// SPDX-License-Identifier: GPL-2.0-or-later
/* What a forward proxy's sockets are watched for, and what happens then. See forward.h. */
#include "forward_internal.h"

#include "forward_http2.h"
#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/* HTTP/2: so much may wait for a client that does not read; what it sends may make more of it. */
#define FRAMES_BACKLOG_MAX 262144u

/*
 * HTTP/2 while its server is connected to: past so much that waits for that, no more is read. It is
 * more than what ends the connection where it turns out that nobody wants the server.
 */
#define DIALING_MAX (FORWARD_BLOCK_MAX + 16384u)

/* The client's bytes are read in pieces of this size while a head is awaited. */
#define PIECE 16384u

/*
 * Whether the client is read. Not only when it has taken all that there is for it: it may be one
 * that sends all before it reads, to a server that reads no more until it has been read.
 */
static bool client_is_read(struct forward *x)
{
	struct backlog *waits = forward_client(x)->backlog;

	if (forward_client(x)->eof)
		return false;
	switch ((enum forward_state)x->state) {
	case FORWARD_AWAITING:
		return !waits;
	case FORWARD_DIALING:
		/* It may cancel what it is for. */
		return x->http2 && !waits && forward_http2_to_server(x->http2)->len < DIALING_MAX;
	case FORWARD_EXCHANGE:
		return !x->request_whole && !forward_server(x)->backlog;
	case FORWARD_FRAMES:
		return !forward_server(x)->backlog &&
		       (!waits || waits->end - waits->start < FRAMES_BACKLOG_MAX);
	default:
		return x->state == FORWARD_LEAVING;
	}
}

/* Whether the client's end is awaited while it is not read: the server is to know of it. */
static bool awaits_fin(struct forward *x)
{
	return x->state == FORWARD_EXCHANGE && x->request_whole && !x->followed && !x->in.len &&
	       !forward_client(x)->eof && !forward_server(x)->backlog;
}

/* Whether it is awaited while the server is connected to, since nobody may want that any more. */
static bool awaits_end(struct forward *x)
{
	return x->state == FORWARD_DIALING && !x->give_up_at;
}

static uint32_t client_events(struct forward *x)
{
	return (forward_client(x)->backlog ? EPOLLOUT : 0) |
	       (client_is_read(x) ? EPOLLIN | EPOLLRDHUP : 0) |
	       (awaits_fin(x) || awaits_end(x) ? EPOLLRDHUP : 0);
}

static uint32_t server_events(struct forward *x)
{
	return (forward_server(x)->backlog ? EPOLLOUT : 0) |
	       (forward_client(x)->backlog ? 0 : EPOLLIN | EPOLLRDHUP);
}

void forward_watch(struct forward *x)
{
	struct flow *f = &x->flow;
	uint32_t events[] = { [FLOW_CLIENT] = client_events(x), [FLOW_SERVER] = server_events(x) };

	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++) {
		struct leg *leg = &f->legs[side];

		/* As in relay.c: who can do nothing now is told of an error once. */
		if (leg->source.fd >= 0 && loop_watch(&f->thread->loop, &leg->source,
						      events[side] ? events[side] : EPOLLET) < 0) {
			flow_reset(f, OUTCOME_LIMIT);
			return;
		}
	}
}

/* The client speaks while a request, or the rest of it, is awaited. */
static bool take_head(struct forward *x, struct span bytes)
{
	x->heard = x->flow.thread->now;
	if (x->http2)
		forward_frames_take(x, bytes);
	else if (!forward_keep(x, &x->in, bytes))
		flow_reset(&x->flow, OUTCOME_LIMIT);
	else
		forward_set_deadline(x, 0);
	return false;
}

static void ended_in_head(struct forward *x, int error)
{
	if (error) {
		flow_reset(&x->flow, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	forward_client(x)->eof = true;
	/* It had cancelled all before there was a server. */
	if (x->http2)
		forward_drop_server(x, OUTCOME_RESET_BY_CLIENT);
}

static void read_head(struct forward *x)
{
	size_t room = MIN(PIECE, FORWARD_HEAD_MAX + PIECE - x->in.len);

	forward_read_once(x, FLOW_CLIENT, room, take_head, ended_in_head);
}

/* What a client sends that has been told to go is dropped. */
static bool drop_rest(struct forward *x, struct span bytes)
{
	(void)x;
	(void)bytes;
	return false;
}

static void ended_in_rest(struct forward *x, int error)
{
	(void)error;
	forward_client(x)->eof = true;
	if (!forward_client(x)->backlog)
		flow_close(&x->flow);
}

/* The client can take more of what waits for it. False: the flow is over. */
static bool flush_client(struct forward *x)
{
	struct leg *client = forward_client(x);

	if (forward_flush(&x->flow, client) < 0)
		flow_reset(&x->flow, OUTCOME_RESET_BY_CLIENT);
	else if (!client->backlog && x->state == FORWARD_LEAVING)
		forward_leave(x);
	return x->flow.state == FLOW_FORWARD;
}

static void client_ready(struct forward *x, uint32_t events)
{
	struct flow *f = &x->flow;
	struct leg *client = forward_client(x);

	if (events & EPOLLOUT && client->backlog && !flush_client(x))
		return;
	if (events & EPOLLRDHUP && awaits_end(x))
		forward_bound_dial(x);
	if (events & EPOLLERR) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
	} else if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))) {
		return;
	} else if (events & EPOLLRDHUP && awaits_fin(x)) {
		forward_exchange_fin(x);
	} else if (!(client->source.watched & EPOLLIN)) {
		return;
	} else if (x->state == FORWARD_AWAITING) {
		read_head(x);
	} else if (x->state == FORWARD_EXCHANGE) {
		forward_exchange_client(x);
	} else if (x->state == FORWARD_FRAMES || x->state == FORWARD_DIALING) {
		forward_frames_client(x);
	} else if (x->state == FORWARD_LEAVING) {
		forward_read_once(x, FLOW_CLIENT, FLOW_BUFFER, drop_rest, ended_in_rest);
	}
}

/* Between two requests a server has nothing to say but that it goes; then so does the client. */
static void idle_server(struct forward *x)
{
	if (x->in.len)
		forward_drop_server(x, OUTCOME_CLOSED);
	else
		forward_leave(x);
}

static void server_ready(struct forward *x, uint32_t events)
{
	struct leg *server = forward_server(x);

	if (events & EPOLLOUT && server->backlog && forward_flush(&x->flow, server) < 0)
		forward_give_up_request(x);
	if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	if (x->state == FORWARD_AWAITING)
		idle_server(x);
	else if (x->state == FORWARD_EXCHANGE && !forward_client(x)->backlog)
		forward_exchange_server(x);
	else if (x->state == FORWARD_FRAMES && !forward_client(x)->backlog)
		forward_frames_server(x);
}

void forward_ready(struct loop_source *source, uint32_t events)
{
	struct leg *leg = CONTAINER_OF(source, struct leg, source);
	struct flow *f = CONTAINER_OF(leg - leg->side, struct flow, legs[0]);
	struct forward *x = forward_of(f);

	f->thread->now = loop_clock();
	if (leg->side == FLOW_CLIENT)
		client_ready(x, events);
	else
		server_ready(x, events);
	if (f->state == FLOW_FORWARD)
		forward_go_on(x);
}
