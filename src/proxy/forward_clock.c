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
