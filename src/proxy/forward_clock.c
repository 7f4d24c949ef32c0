// SPDX-License-Identifier: GPL-2.0-or-later
/* Deadlines of forward proxies' flows: see forward.h. */
#include "forward_internal.h"

#include "thread.h"

void forward_set_deadline(struct forward *x, uint64_t deadline)
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

/*
 * A client that ends its side while its host is dialled may be gone, or want its answer still: a
 * FIN does not tell. So long it is dialled on: a handshake of which the first three SYNs were lost
 * takes 7 s, a name of which one server is dead some 6 s.
 */
#define HALF_CLOSED_NS 10000000000u

void forward_set_dial_deadline(struct forward *x)
{
	uint64_t next = x->dial.next_at, end = x->give_up_at;

	forward_set_deadline(x, next && end ? MIN(next, end) : next + end);
}

void forward_bound_dial(struct forward *x)
{
	x->give_up_at = x->flow.thread->now + HALF_CLOSED_NS;
	forward_set_dial_deadline(x);
}

static void dial_expired(struct forward *x)
{
	struct flow *f = &x->flow;

	if (x->give_up_at && f->thread->now >= x->give_up_at) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	dial_tick(&x->dial);
	if (f->state == FLOW_FORWARD && x->state == FORWARD_DIALING)
		forward_set_dial_deadline(x);
}

static void expired(struct forward *x)
{
	struct thread *t = x->flow.thread;

	forward_set_deadline(x, 0);
	t->now = loop_clock();
	switch ((enum forward_state)x->state) {
	case FORWARD_AWAITING:
		if (x->http2)
			forward_go_on(x); /* a drain */
		else
			forward_pass_through(x);
		break;
	case FORWARD_FRAMES:
		forward_go_on(x);
		break;
	case FORWARD_DIALING:
		dial_expired(x);
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
