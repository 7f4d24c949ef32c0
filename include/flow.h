/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flow: one client connection, one server connection, and the bytes between them.
 *
 *   CONNECTING  the client is accepted, the server's connect is under way. Nothing is read; the
 *               client's reset ends the attempt. -> OPEN, ENDED
 *   OPEN	 bytes go both ways, each way until its FIN. -> ENDED
 *   FORWARD	 a forward proxy's client: see forward.h. -> CONNECTING, OPEN, ENDED
 *   ENDED	 descriptors are closed; memory is freed at the end of the round.
 *
 * Ends: both ways' FIN have passed (orderly close); or a leg broke, and the other is reset once
 * it has been given what was still to be had. Every socket has SO_LINGER {1, 0} from birth, which
 * only the orderly close takes back: whatever else closes it, a crash included, is an RST.
 */
#ifndef SLUICE_FLOW_H
#define SLUICE_FLOW_H

#include "loop.h"
#include "observer.h"
#include "origdst.h"
#include "own.h"
#include "pod.h"
#include "record.h"

struct thread;

/* Read at most this much at once, bytes. */
#define FLOW_BUFFER 65536

/* And this much where memory is short. */
#define FLOW_BUFFER_TIGHT 4096

enum flow_state {
	FLOW_CONNECTING,
	FLOW_OPEN,
	FLOW_FORWARD,
	FLOW_ENDED,
	FLOW_STATE_COUNT,
};

enum flow_side {
	FLOW_CLIENT,
	FLOW_SERVER,
	FLOW_SIDE_COUNT,
};

/* Bytes that a leg could not take yet; exists only while there are some. */
struct backlog {
	size_t size;	   /* of data[] */
	size_t start, end; /* what of it is left */
	char data[];
};

struct leg {
	struct loop_source source;
	struct backlog *backlog; /* owned; to be sent to this leg's peer */
	struct pipe *pipe;	 /* owned; the same, where the bytes were spliced */
	uint8_t side;		 /* enum flow_side */
	bool eof;		 /* its peer's FIN was read */
	bool fin_sent;		 /* ours was sent */
	bool bulk;		 /* its last read was a large one: the next may be spliced */
};

struct flow {
	struct flow *next, *prev;
	struct thread *thread;
	struct pod *pod;
	struct leg legs[FLOW_SIDE_COUNT];
	uint8_t state;	      /* enum flow_state */
	bool settled;	      /* keepalive is on */
	uint8_t loops;	      /* so many flows of ours lie before it, each the client of the next */
	bool forward;	      /* it is part of a struct forward */
	struct own_claim own; /* of its server's connection */
	struct record record;
	struct observer observer;
};

/* The way of bytes that are read from @side. */
static inline enum way flow_way_from(unsigned side)
{
	return side == FLOW_CLIENT ? WAY_TO_SERVER : WAY_TO_CLIENT;
}

/*
 * Makes a flow of the connection @fd (taken over, closed on failure too) that @listener accepted,
 * and begins to connect to where it was going. What fails is counted and reset.
 */
void flow_accept(struct thread *t, const struct pod_listener *listener, int fd);

/* Makes @f, all zero, a flow of @t, whose client is @fd. Nothing is counted yet. */
void flow_init(struct flow *f, struct thread *t, int fd);

/* It is counted and observed from here on, as a connection to @address and @port; up to there. */
void flow_observe(struct flow *f, enum direction direction, const struct addr *address,
		  uint16_t port);
void flow_unobserve(struct flow *f, enum outcome outcome);

/*
 * Begins to connect @f, which is CONNECTING, to @to, from the address of @from where that is not
 * NULL; from then on it is a relay's.
 */
void flow_connect(struct flow *f, const union sockaddr_any *to, const union sockaddr_any *from);

/* Ends a flow with a reset of both legs, whatever its state. */
void flow_reset(struct flow *f, enum outcome outcome);

/* Both ways have ended: FINs to whoever has none yet, and close. */
void flow_close(struct flow *f);

/* The flow has come to stay: its peers are probed from now on, when they are silent. */
void flow_settle(struct flow *f);

/* Frees what @leg's peer has not taken. */
void flow_drop_backlog(struct flow *f, struct leg *leg);

/* Frees a flow that has ended. */
void flow_free(struct flow *f);

/* relay.c: from connected to ended. */
void relay_start(struct flow *f);
void relay_ready(struct loop_source *source, uint32_t events);

/* @side broke with @error: the other is given what can still be had of it, then reset. */
void relay_abort(struct flow *f, unsigned side, int error);

/* Events while connecting; they come through relay_ready(). */
void flow_connecting(struct flow *f, unsigned side, uint32_t events);

#endif
