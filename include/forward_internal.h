/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the forward proxy, for one another: see forward.h. */
#ifndef SLUICE_FORWARD_INTERNAL_H
#define SLUICE_FORWARD_INTERNAL_H

#include "forward.h"

#include "dial.h"
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
	bool warned, closing;	     /* HTTP/2: a drain ends it, in two steps */
	struct forward_http2 *http2; /* owned; NULL: it speaks HTTP/1 */
	size_t http2_counted;	     /* bytes of it in the thread's backlog */
	size_t shown;		     /* bytes for the server that the observer has seen before it */
	struct forward_request request;
	struct forward_body up, down;
	struct forward_bytes in;		   /* from the client, not taken yet */
	struct forward_bytes out;		   /* from the server: the beginning of a head */
	struct forward_progress in_head, out_head; /* how far the heads in these were read */
	char host[FORWARD_HOST_MAX + 1];
	union sockaddr_any original;
	struct dial dial;
	uint64_t heard;	     /* ns, when the client's last bytes were read */
	uint64_t asked;	     /* ns, when the first of the request in hand were */
	uint64_t close_at;   /* ns, of a drain's second step */
	uint64_t give_up_at; /* ns, dialing for one that has ended its side; 0: not */
	uint64_t deadline;   /* ns; 0: none */
	struct forward *next_timed, **link; /* with a deadline: in the thread's list */
};

static inline struct forward *forward_of(struct flow *f)
{
	return CONTAINER_OF(f, struct forward, flow);
}

static inline struct leg *forward_client(struct forward *x)
{
	return &x->flow.legs[FLOW_CLIENT];
}

static inline struct leg *forward_server(struct forward *x)
{
	return &x->flow.legs[FLOW_SERVER];
}

/* ---- forward.c ---- */

/* Nothing more is said to the client; it reads what there is. */
void forward_leave(struct forward *x);

/* The server has nothing to do with what follows: it is closed in order. */
void forward_drop_server(struct forward *x, enum outcome outcome);

/* The flow is an ordinary one from here on: what the client has sent already goes first. */
void forward_become_relay(struct forward *x);

/* What the client speaks is not for us: it goes where it was going. */
void forward_pass_through(struct forward *x);

/* Takes the next request as far as there is one, and watches what is to be watched. */
void forward_go_on(struct forward *x);

/* ---- forward_clock.c ---- */

/* What is to happen at @deadline (ns; 0: nothing) depends on the state then. */
void forward_set_deadline(struct forward *x, uint64_t deadline);

/* The same while its host is dialled: the next attempt, or the end of it. */
void forward_set_dial_deadline(struct forward *x);

/* The client has ended its side while its host is dialled: that goes on for a bounded time. */
void forward_bound_dial(struct forward *x);

/* ---- forward_events.c ---- */

/* Both sockets' handler; and watches what is to be watched now. */
void forward_ready(struct loop_source *source, uint32_t events);
void forward_watch(struct forward *x);

/* ---- forward_request.c ---- */

/* Takes up the next request. False: there is nothing more to do now. */
bool forward_take_request(struct forward *x);

/*
 * The observer is shown the request in hand, as of when it came: what its server's name and
 * connection take is its time. HTTP/2, of which more may come meanwhile and be cancelled: what it
 * has not seen yet.
 */
void forward_show_request(struct forward *x);

/* Connects to what the request in hand is for. */
void forward_dial(struct forward *x, struct span host, uint16_t port);

/* ---- forward_answer.c ---- */

/* An answer of our own to the request in hand, and what it counts as; the rest of it is dropped. */
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

/* ---- forward_io.c ---- */

/* Keeps @bytes, or forgets the first @count. False without memory. */
bool forward_keep(struct forward *x, struct forward_bytes *b, struct span bytes);
void forward_forget(struct forward *x, struct forward_bytes *b, size_t count);

/* What a side has sent. False: no more of it is to be read now, or the flow is over. */
typedef bool forward_taker(struct forward *x, struct span bytes);

/* The side has ended: in order, or with @error. */
typedef void forward_ender(struct forward *x, int error);

/* Reads at most @most bytes of @side. Returns as take() does; false as well where there are none.
 */
bool forward_read_once(struct forward *x, unsigned side, size_t most, forward_taker *take,
		       forward_ender *ended);

/* Reads some times, and as much at once as there is memory for. */
void forward_read(struct forward *x, unsigned side, forward_taker *take, forward_ender *ended);

/* Sends @bytes, behind what waits already; what is not taken waits. 0 or -errno. */
int forward_send(struct flow *f, struct leg *to, struct span bytes);

/* Adds to what waits for @to's peer. 0 or -ENOMEM. */
int forward_put_off(struct flow *f, struct leg *to, struct span bytes);

/* Sends of what waits. 0 or -errno. */
int forward_flush(struct flow *f, struct leg *to);

/* As forward_send(), shown to the observer and counted. */
int forward_pass(struct forward *x, unsigned to, struct span bytes);

/* The same of what the observer has seen already. */
int forward_pass_seen(struct forward *x, unsigned to, struct span bytes);

/* ---- forward_http1.c ---- */

/* The request in hand goes to the server; then either side has something. */
void forward_exchange_begin(struct forward *x);
void forward_exchange_client(struct forward *x);
void forward_exchange_server(struct forward *x);

/* The same, when the client has sent its request: it ends its side, or has done so behind more. */
void forward_exchange_fin(struct forward *x);

/* Goes on behind an answer that is whole; otherwise nothing. */
void forward_exchange_end(struct forward *x);

/* The server takes no more of the request. */
void forward_give_up_request(struct forward *x);

/* ---- forward_frames.c ---- */

/* Bytes of a client that speaks HTTP/2; its server is there, or has something. */
void forward_frames_take(struct forward *x, struct span bytes);
void forward_frames_connected(struct forward *x);
void forward_frames_client(struct forward *x);
void forward_frames_server(struct forward *x);

/* Frees what HTTP/2 needs, also where there is none of it. */
void forward_frames_fini(struct forward *x);

/* An answer of our own to its first requests; nothing of it follows. */
void forward_frames_answer(struct forward *x, uint16_t status, enum outcome outcome);

/* Passes the client's FIN on when it is time. */
void forward_frames_end(struct forward *x);

/* There is a drain: the connection is ended in order, step by step as this is called. */
void forward_frames_drain(struct forward *x);

#endif
