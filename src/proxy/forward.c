// SPDX-License-Identifier: GPL-2.0-or-later
/* The forward proxy: from a connection to its requests and their end. See forward.h. */
#include "forward.h"

#include "forward_http2.h"
#include "log.h"
#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * A redirected client that says nothing for so long waits for its server to speak first, as those
 * of databases and of mail do: then it is connected to where it was going.
 */
#define SILENCE_NS 500000000u

/* How long a client may take to read the last answer and close. */
#define LEAVING_NS 2000000000u

/* HTTP/2: so much may wait for a client that does not read; what it sends may make more of it. */
#define FRAMES_BACKLOG_MAX 262144u

/* The client's bytes are read in pieces of this size while a head is awaited. */
#define PIECE 16384u

static struct leg *client_of(struct forward *x)
{
	return &x->flow.legs[FLOW_CLIENT];
}

static struct leg *server_of(struct forward *x)
{
	return &x->flow.legs[FLOW_SERVER];
}

static void forward_ready(struct loop_source *source, uint32_t events);

/* ---- Deadlines ---- */

static void set_deadline(struct forward *x, uint64_t deadline)
{
	struct thread *t = x->flow.thread;

	if (x->deadline && !deadline) {
		*x->link = x->next_timed;
		if (x->next_timed)
			x->next_timed->link = x->link;
	} else if (!x->deadline && deadline) {
		x->next_timed = t->timed;
		x->link = &t->timed;
		if (x->next_timed)
			x->next_timed->link = &x->next_timed;
		t->timed = x;
	}
	x->deadline = deadline;
	if (deadline)
		t->timed_wake = MIN(t->timed_wake, deadline);
}

static void pass_through(struct forward *x);

static void expired(struct forward *x)
{
	struct thread *t = x->flow.thread;

	set_deadline(x, 0);
	t->now = loop_clock();
	switch ((enum forward_state)x->state) {
	case FORWARD_AWAITING:
		pass_through(x);
		break;
	case FORWARD_DIALING:
		dial_tick(&x->dial);
		break;
	default:
		flow_close(&x->flow);
		break;
	}
}

void forward_tick(struct thread *t)
{
	uint64_t now;

	if (likely(!t->timed))
		return;
	now = loop_clock();
	if (now < t->timed_wake)
		return;
	/* What becomes of one may end others' deadlines, never another's flow: begin again each
	 * time. */
	for (struct forward *x = t->timed; x;) {
		if (now < x->deadline) {
			x = x->next_timed;
			continue;
		}
		expired(x);
		x = t->timed;
	}
	t->timed_wake = UINT64_MAX;
	for (struct forward *x = t->timed; x; x = x->next_timed)
		t->timed_wake = MIN(t->timed_wake, x->deadline);
}

/* ---- Ends ---- */

void forward_drop_server(struct forward *x, enum outcome outcome)
{
	static const struct linger off = { 0, 0 };
	struct flow *f = &x->flow;
	struct leg *server = server_of(x);

	dial_cancel(&x->dial);
	if (server->source.fd >= 0) {
		/* #syscalls setsockopt close */
		setsockopt(server->source.fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
		close(server->source.fd);
	}
	flow_drop_backlog(f, server);
	*server =
		(struct leg){ .source = { .fd = -1, .ready = forward_ready }, .side = FLOW_SERVER };
	forward_forget(x, &x->out, x->out.len);
	x->out_head = (struct forward_progress){ .line = 0 };
	flow_unobserve(f, outcome);
}

void forward_leave(struct forward *x)
{
	struct leg *client = client_of(x);

	record_fin(&x->flow.record, client->eof ? WAY_TO_SERVER : WAY_TO_CLIENT);
	forward_drop_server(x, OUTCOME_CLOSED);
	forward_forget(x, &x->in, x->in.len);
	x->state = FORWARD_LEAVING;
	if (client->backlog)
		return;
	if (client->eof) {
		flow_close(&x->flow);
		return;
	}
	/* #syscalls shutdown */
	shutdown(client->source.fd, SHUT_WR);
	client->fin_sent = true;
	set_deadline(x, x->flow.thread->now + LEAVING_NS);
}

void forward_fini(struct flow *f)
{
	struct forward *x = forward_of(f);

	dial_cancel(&x->dial);
	set_deadline(x, 0);
	forward_forget(x, &x->in, x->in.len);
	forward_forget(x, &x->out, x->out.len);
	forward_frames_fini(x);
}

/* ---- Becoming an ordinary flow ---- */

void forward_become_relay(struct forward *x)
{
	struct flow *f = &x->flow;
	int rc;

	set_deadline(x, 0);
	f->state = FLOW_OPEN;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		f->legs[side].source.ready = relay_ready;
	rc = forward_pass(x, FLOW_SERVER, SPAN(x->in.data, x->in.len));
	forward_forget(x, &x->in, x->in.len);
	if (rc < 0)
		relay_abort(f, FLOW_SERVER, -rc);
	else
		relay_start(f);
}

/* What the client speaks is not for us: it goes where it was going. */
static void pass_through(struct forward *x)
{
	struct flow *f = &x->flow;
	struct addr address = sockaddr_addr(&x->original);
	int rc;

	set_deadline(x, 0);
	flow_observe(f, DIRECTION_OUTBOUND, &address, sockaddr_port(&x->original));
	record_bytes(&f->record, WAY_TO_SERVER, x->in.len);
	if (x->in.len)
		observer_data(&f->observer, WAY_TO_SERVER, SPAN(x->in.data, x->in.len),
			      f->thread->now);
	rc = x->in.len ? forward_put_off(f, server_of(x), SPAN(x->in.data, x->in.len)) : 0;
	forward_forget(x, &x->in, x->in.len);
	if (rc < 0) {
		flow_reset(f, OUTCOME_LIMIT);
		return;
	}
	f->state = FLOW_CONNECTING;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		f->legs[side].source.ready = relay_ready;
	flow_connect(f, &x->original, NULL);
}

/* ---- Requests ---- */

static const enum forward_answer answer_of_end[] = {
	[DIAL_FORBIDDEN] = FORWARD_ANSWER_FORBIDDEN,
	[DIAL_UNRESOLVED] = FORWARD_ANSWER_UNRESOLVED,
	[DIAL_DNS_TIMEOUT] = FORWARD_ANSWER_DNS_TIMEOUT,
	[DIAL_REFUSED] = FORWARD_ANSWER_REFUSED,
	[DIAL_UNREACHABLE] = FORWARD_ANSWER_UNREACHABLE,
	[DIAL_TIMEOUT] = FORWARD_ANSWER_TIMEOUT,
	[DIAL_LIMIT] = FORWARD_ANSWER_LIMIT,
};
_Static_assert(ARRAY_SIZE(answer_of_end) == DIAL_END_COUNT, "an answer for each failure");

/* The tunnel stands: RFC 9110 sect. 9.3.6. */
static void open_tunnel(struct forward *x)
{
	static const struct span established = { "HTTP/1.1 200 Connection established\r\n\r\n",
						 39 };
	struct flow *f = &x->flow;

	observer_data(&f->observer, WAY_TO_SERVER, SPAN(x->in.data, x->request.length),
		      f->thread->now);
	observer_data(&f->observer, WAY_TO_CLIENT, established, f->thread->now);
	forward_forget(x, &x->in, x->request.length);
	if (forward_send(f, client_of(x), established) < 0)
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
	else
		forward_become_relay(x);
}

static void dial_waits(struct dial *d)
{
	set_deadline(CONTAINER_OF(d, struct forward, dial), d->next_at);
}

/* Connected, or not: the request goes on, or is answered. */
static void take_dialed(struct forward *x, const struct dial *d, enum dial_end end, int fd)
{
	struct flow *f = &x->flow;

	if (end != DIAL_CONNECTED) {
		/* The request is one that is seen to fail, too. */
		if (!x->http2)
			observer_data(&f->observer, WAY_TO_SERVER,
				      SPAN(x->in.data, x->request.length), f->thread->now);
		forward_answer(x, answer_of_end[end], NULL);
		return;
	}
	server_of(x)->source.fd = fd;
	record_address(&f->record, &d->addresses[d->won]);
	/* Without the time that the name took. */
	record_connected(&f->record, f->record.opened + f->thread->now - d->began);
	if (f->settled)
		keepalive_start(fd, &f->pod->keepalive);
	x->reused = false;
	if (x->http2)
		forward_frames_connected(x);
	else if (x->request.connect)
		open_tunnel(x);
	else
		forward_exchange_begin(x);
}

static void dialed(struct dial *d, enum dial_end end, int fd)
{
	struct forward *x = CONTAINER_OF(d, struct forward, dial);

	set_deadline(x, 0);
	take_dialed(x, d, end, fd);
	/* Else who began it does: as many requests may fail in a row as a client sends. */
	if (!x->starting)
		forward_go_on(x);
}

void forward_dial(struct forward *x, struct span host, uint16_t port)
{
	struct flow *f = &x->flow;
	const struct addr unknown = { .family = ADDR_V4 };
	struct addr literal;
	bool named;

	forward_drop_server(x, OUTCOME_CLOSED);
	memcpy(x->host, host.ptr, host.len);
	x->host[host.len] = '\0';
	x->port = port;
	named = addr_parse(host, &literal, NULL) < 0;
	flow_observe(f, DIRECTION_OUTBOUND, named ? &unknown : &literal, port);
	record_named(&f->record, host);
	if (named)
		record_address(&f->record, NULL);
	x->state = FORWARD_DIALING;
	x->dial.thread = f->thread;
	x->dial.done = dialed;
	x->dial.timer = dial_waits;
	x->dial.unjudged = x->redirected ? &x->original : NULL;
	x->starting = true;
	dial_start(&x->dial, span_str(x->host), port);
	x->starting = false;
}

/* Whether the server that is connected is the one that the request in hand is for. */
static bool is_same_server(struct forward *x)
{
	return server_of(x)->source.fd >= 0 && x->port == x->request.port && !x->request.connect &&
	       span_eq_nocase(span_str(x->host), x->request.host);
}

/* The client speaks HTTP/2 from the beginning. */
static void begin_frames(struct forward *x)
{
	struct forward_bytes in = x->in;

	x->fresh = false;
	x->in = (struct forward_bytes){ 0 };
	forward_frames_take(x, SPAN(in.data, in.len));
	forward_forget(x, &in, in.len);
}

/* Takes up the next request. False: there is nothing more to do now. */
static bool take_request(struct forward *x)
{
	struct span in = SPAN(x->in.data, x->in.len);
	enum forward_reading reading;
	const char *why;

	if (x->fresh && forward_http2_begins(in)) {
		if (in.len >= sizeof(FORWARD_PREFACE) - 1)
			begin_frames(x);
		return false;
	}
	reading = forward_request_read(&x->in_head, in, &x->request, &why);
	if (x->fresh && x->redirected && reading != FORWARD_READ &&
	    forward_head_is_foreign(&x->in_head, in)) {
		pass_through(x);
		return false;
	}
	if (reading == FORWARD_MORE && in.len < FORWARD_HEAD_MAX)
		return false;
	x->fresh = false;
	set_deadline(x, 0);
	if (reading == FORWARD_READ && x->request.length <= FORWARD_HEAD_MAX) {
		if (is_same_server(x))
			forward_exchange_begin(x);
		else
			forward_dial(x, x->request.host, x->request.port);
		return x->flow.state == FLOW_FORWARD;
	}
	log_debug("the forward proxy refuses a request: %s", why ? why : "too large");
	x->request = (struct forward_request){ 0 };
	forward_answer(
		x, reading == FORWARD_BAD ? FORWARD_ANSWER_BAD_REQUEST : FORWARD_ANSWER_TOO_LARGE,
		why);
	return false;
}

/* ---- Events ---- */

/*
 * Whether the client is read. Not only when it has taken all that there is for it: it may be one
 * that sends all before it reads, to a server that reads no more until it has been read.
 */
static bool client_is_read(struct forward *x)
{
	struct backlog *waits = client_of(x)->backlog;

	if (client_of(x)->eof)
		return false;
	switch ((enum forward_state)x->state) {
	case FORWARD_AWAITING:
		return !waits;
	case FORWARD_EXCHANGE:
		return !x->request_whole && !server_of(x)->backlog;
	case FORWARD_FRAMES:
		return !server_of(x)->backlog &&
		       (!waits || waits->end - waits->start < FRAMES_BACKLOG_MAX);
	default:
		return x->state == FORWARD_LEAVING;
	}
}

/* Whether the client's end is awaited while it is not read: the server is to know of it. */
static bool awaits_fin(struct forward *x)
{
	return x->state == FORWARD_EXCHANGE && x->request_whole && !x->followed && !x->in.len &&
	       !client_of(x)->eof && !server_of(x)->backlog;
}

static uint32_t client_events(struct forward *x)
{
	return (client_of(x)->backlog ? EPOLLOUT : 0) |
	       (client_is_read(x) ? EPOLLIN | EPOLLRDHUP : 0) | (awaits_fin(x) ? EPOLLRDHUP : 0);
}

static uint32_t server_events(struct forward *x)
{
	return (server_of(x)->backlog ? EPOLLOUT : 0) |
	       (client_of(x)->backlog ? 0 : EPOLLIN | EPOLLRDHUP);
}

static void watch(struct forward *x)
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

/* Whether a drain ends it: it has had an answer, and no next request is on its way. */
static bool is_drained(struct forward *x)
{
	char byte;

	return x->flow.thread->phase >= PHASE_DRAINING && !x->fresh && !x->http2 && !x->in.len &&
	       recv(client_of(x)->source.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void forward_go_on(struct forward *x)
{
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_EXCHANGE)
		forward_exchange_end(x);
	while (x->flow.state == FLOW_FORWARD && x->state == FORWARD_AWAITING && x->in.len &&
	       !client_of(x)->backlog && take_request(x))
		;
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_FRAMES)
		forward_frames_end(x);
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_AWAITING &&
	    !client_of(x)->backlog) {
		if (client_of(x)->eof)
			flow_close(&x->flow); /* whole requests are answered; a part is none */
		else if (is_drained(x))
			forward_leave(x);
	}
	if (x->flow.state == FLOW_FORWARD)
		watch(x);
}

void forward_drain(struct thread *t)
{
	struct flow *next;

	t->now = loop_clock();
	for (struct flow *f = t->flows; f; f = next) {
		next = f->next;
		if (f->state == FLOW_FORWARD && forward_of(f)->state == FORWARD_AWAITING)
			forward_go_on(forward_of(f));
	}
}

/* The client speaks while a request, or the rest of it, is awaited. */
static void read_head(struct forward *x)
{
	struct flow *f = &x->flow;
	size_t room = MIN(PIECE, FORWARD_HEAD_MAX + PIECE - x->in.len);
	ssize_t n =
		recv(client_of(x)->source.fd, f->thread->buffer, room, 0); /* #syscalls recvfrom */

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
	else if (n == 0)
		client_of(x)->eof = true;
	else if (x->http2)
		forward_frames_take(x, SPAN(f->thread->buffer, (size_t)n));
	else if (!forward_keep(x, &x->in, SPAN(f->thread->buffer, (size_t)n)))
		flow_reset(f, OUTCOME_LIMIT);
	else
		set_deadline(x, 0); /* the client has spoken */
}

/* What a client sends that has been told to go is dropped. */
static void read_rest(struct forward *x)
{
	struct flow *f = &x->flow;
	ssize_t n = recv(client_of(x)->source.fd, f->thread->buffer, FLOW_BUFFER, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		client_of(x)->eof = true;
		if (!client_of(x)->backlog)
			flow_close(f);
	}
}

/* The client can take more of what waits for it. False: the flow is over. */
static bool flush_client(struct forward *x)
{
	struct leg *client = client_of(x);

	if (forward_flush(&x->flow, client) < 0)
		flow_reset(&x->flow, OUTCOME_RESET_BY_CLIENT);
	else if (!client->backlog && x->state == FORWARD_LEAVING)
		forward_leave(x);
	return x->flow.state == FLOW_FORWARD;
}

static void client_ready(struct forward *x, uint32_t events)
{
	struct flow *f = &x->flow;
	struct leg *client = client_of(x);

	if (events & EPOLLOUT && client->backlog && !flush_client(x))
		return;
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
	} else if (x->state == FORWARD_FRAMES) {
		forward_frames_client(x);
	} else if (x->state == FORWARD_LEAVING) {
		read_rest(x);
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
	struct leg *server = server_of(x);

	if (events & EPOLLOUT && server->backlog && forward_flush(&x->flow, server) < 0)
		forward_give_up_request(x);
	if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	if (x->state == FORWARD_AWAITING)
		idle_server(x);
	else if (x->state == FORWARD_EXCHANGE && !client_of(x)->backlog)
		forward_exchange_server(x);
	else if (x->state == FORWARD_FRAMES && !client_of(x)->backlog)
		forward_frames_server(x);
}

static void forward_ready(struct loop_source *source, uint32_t events)
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

bool forward_is_from(struct flow *f, const union sockaddr_any *own)
{
	return dial_is_from(&forward_of(f)->dial, own);
}

void forward_accept(struct thread *t, int fd, const union sockaddr_any *original)
{
	struct forward *x = calloc(1, sizeof(*x));

	if (!x) {
		close(fd);
		thread_pause_accepting(t);
		return;
	}
	flow_init(&x->flow, t, fd);
	x->flow.state = FLOW_FORWARD;
	x->flow.forward = true;
	x->flow.record.opened = t->now;
	for (unsigned side = 0; side < FLOW_SIDE_COUNT; side++)
		x->flow.legs[side].source.ready = forward_ready;
	x->state = FORWARD_AWAITING;
	x->fresh = true;
	if (original) {
		x->redirected = true;
		x->original = *original;
		set_deadline(x, t->now + SILENCE_NS);
	}
	watch(x);
}
