/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forward proxy: a client's connection to the outbound listener that goes where its requests
 * say. That is so for clients that use us as their proxy (HTTP_PROXY=http://127.0.0.1:9001), and
 * with --outbound-mode=host for those that are redirected.
 *
 * Theory of Operation: it is a flow with one server at a time. Requests are taken one by one; those
 * that come meanwhile wait in the client's socket, so answers are in order by nature. A request for
 * the host of the one before goes to the same connection, any other ends that and begins a new
 * one. What is sent is what was read but for what forward_head.h names. From a CONNECT, an upgrade,
 * or first bytes that are not HTTP on it is an ordinary flow (relay.c).
 *
 *   AWAITING   a request, or its rest. -> DIALING, EXCHANGE, LEAVING, or an ordinary flow
 *   DIALING    its host is being connected to; the client is not read. -> EXCHANGE, AWAITING
 *   EXCHANGE   content goes to the server, an answer to the client. -> AWAITING, LEAVING
 *   FRAMES     HTTP/2 both ways (forward_http2.h). -> LEAVING
 *   LEAVING    all has been said: the client is given time to read it, and what it sends is
 *              dropped, since unread bytes would make the close a reset.
 *
 * How a server ends is how its client ends: a FIN between answers or within one is passed on, a
 * reset within one is a reset. Metrics count a connection for each server, from its first request.
 */
#ifndef SLUICE_FORWARD_H
#define SLUICE_FORWARD_H

#include "dial.h"
#include "flow.h"
#include "forward_body.h"
#include "forward_head.h"

enum forward_state {
	FORWARD_AWAITING,
	FORWARD_DIALING,
	FORWARD_EXCHANGE,
	FORWARD_FRAMES,
	FORWARD_LEAVING,
	FORWARD_STATE_COUNT,
};

/* Bytes that wait; owned. */
struct forward_bytes {
	char *data;
	size_t len, size;
};

struct forward {
	struct flow flow; /* first: they are allocated and freed as one */
	uint8_t state;	  /* enum forward_state */
	bool redirected;  /* `original` is where the client was going */
	bool fresh;	  /* none of its bytes was made sense of yet */
	bool starting;	  /* dial_start() has not returned: what it ends at once goes on there */
	/* Of the exchange: */
	bool reused;		     /* the server has answered before */
	bool request_whole;	     /* all of it was sent, or cannot be */
	bool begun;		     /* some of the answer was passed on */
	bool in_content;	     /* of the answer: its head was read */
	bool response_whole;	     /* all of it was passed on */
	bool upgraded;		     /* with 101 */
	bool last;		     /* nothing follows the answer */
	bool followed;		     /* the client has sent what is not of this request */
	uint16_t port;		     /* of the server */
	struct forward_http2 *http2; /* owned; NULL: it speaks HTTP/1 */
	size_t http2_counted;	     /* bytes of it in the thread's backlog */
	struct forward_request request;
	struct forward_body up, down;
	struct forward_bytes in;		   /* from the client, not taken yet */
	struct forward_bytes out;		   /* from the server: the beginning of a head */
	struct forward_progress in_head, out_head; /* how far the heads in these were read */
	char host[FORWARD_HOST_MAX + 1];
	union sockaddr_any original;
	struct dial dial;
	uint64_t deadline;		    /* ns; 0: none */
	struct forward *next_timed, **link; /* with a deadline: in the thread's list */
};

static inline struct forward *forward_of(struct flow *f)
{
	return CONTAINER_OF(f, struct forward, flow);
}

/*
 * Serves the connection @fd, taken over, of a client that was going to @original, or NULL: to us.
 */
void forward_accept(struct thread *t, int fd, const union sockaddr_any *original);

/* Frees what the flow owns beside itself; from flow.c, when it ends. */
void forward_fini(struct flow *f);

/* Whether a connection from @own is one that it makes. */
bool forward_is_from(struct flow *f, const union sockaddr_any *own);

/* Sees to deadlines, once a round. */
void forward_tick(struct thread *t);

/* A drain has begun: clients that have been answered go, now or with their next answer. */
void forward_drain(struct thread *t);

/* forward.c, for the parts: */

/* forward_answer.c: an answer of our own to the request in hand, and what it counts as; the rest of
 * it is dropped. */
enum forward_answer {
	FORWARD_ANSWER_BAD_REQUEST,
	FORWARD_ANSWER_TOO_LARGE,
	FORWARD_ANSWER_FORBIDDEN,
	FORWARD_ANSWER_UNRESOLVED,
	FORWARD_ANSWER_DNS_TIMEOUT,
	FORWARD_ANSWER_REFUSED,
	FORWARD_ANSWER_UNREACHABLE,
	FORWARD_ANSWER_TIMEOUT,
	FORWARD_ANSWER_LIMIT,
	FORWARD_ANSWER_BROKEN, /* the server's answer is none, or it gave none */
	FORWARD_ANSWER_COUNT,
};
void forward_answer(struct forward *x, enum forward_answer answer, const char *why);

/* forward_io.c: keeps @bytes, or forgets the first @count. False without memory. */
bool forward_keep(struct forward *x, struct forward_bytes *b, struct span bytes);
void forward_forget(struct forward *x, struct forward_bytes *b, size_t count);

/* Sends @bytes, behind what waits already; what is not taken waits. 0 or -errno. */
int forward_send(struct flow *f, struct leg *to, struct span bytes);

/* Adds to what waits for @to's peer. 0 or -ENOMEM. */
int forward_put_off(struct flow *f, struct leg *to, struct span bytes);

/* Sends of what waits. 0 or -errno. */
int forward_flush(struct flow *f, struct leg *to);

/* As forward_send(), shown to the observer and counted. */
int forward_pass(struct forward *x, unsigned to, struct span bytes);

/* Nothing more is said to the client; it reads what there is. */
void forward_leave(struct forward *x);

/* The server has nothing to do with what follows: it is closed in order. */
void forward_drop_server(struct forward *x, enum outcome outcome);

/* The flow is an ordinary one from here on: what the client has sent already goes first. */
void forward_become_relay(struct forward *x);

/* Connects to what the request in hand is for. */
void forward_dial(struct forward *x, struct span host, uint16_t port);

/* Takes the next request as far as there is one, and watches what is to be watched. */
void forward_go_on(struct forward *x);

/* forward_http1.c: the request in hand goes to the server; then either side has something. */
void forward_exchange_begin(struct forward *x);
void forward_exchange_client(struct forward *x);
void forward_exchange_server(struct forward *x);

/* The same, when the client has sent its request: it ends its side, or has done so behind more. */
void forward_exchange_fin(struct forward *x);

/* forward_frames.c: bytes of a client that speaks HTTP/2; its server is there, or has something. */
void forward_frames_take(struct forward *x, struct span bytes);
void forward_frames_connected(struct forward *x);
void forward_frames_client(struct forward *x);
void forward_frames_server(struct forward *x);

/* Frees what HTTP/2 needs, also where there is none of it. */
void forward_frames_fini(struct forward *x);

/* An answer of our own to its first request; nothing of it follows. */
void forward_frames_answer(struct forward *x, uint16_t status, enum outcome outcome);

/* Passes the client's FIN on when it is time. */
void forward_frames_end(struct forward *x);

/* The server takes no more of the request. */
void forward_give_up_request(struct forward *x);

/* Goes on behind an answer that is whole; otherwise nothing. */
void forward_exchange_end(struct forward *x);

#endif
