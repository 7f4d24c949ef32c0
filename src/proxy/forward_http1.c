// SPDX-License-Identifier: GPL-2.0-or-later
/* One request of HTTP/1 to one server, and its answer: the exchange of forward.h. */
#include "forward_internal.h"

#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * The server takes no more of the request. What it has said may be an answer all the same, and is
 * read before anything is made of it; then so is its error.
 */
void forward_give_up_request(struct forward *x)
{
	flow_drop_backlog(&x->flow, &x->flow.legs[FLOW_SERVER]);
	x->request_whole = true;
	x->last = true;
}

/* The client's content breaks the rules of chunks: where the next request begins nobody knows. */
static void refuse_content(struct forward *x)
{
	if (x->begun)
		flow_reset(&x->flow, OUTCOME_CLOSED);
	else
		forward_answer(x, FORWARD_ANSWER_BAD_REQUEST, "chunks that are none");
}

/* Sends on what of @bytes belongs to the request. Returns how many that were. */
static size_t upload(struct forward *x, struct span bytes)
{
	size_t used = forward_body_take(&x->up, bytes);

	if (x->up.state == FORWARD_BODY_BAD) {
		refuse_content(x);
		return bytes.len;
	}
	if (forward_pass(x, FLOW_SERVER, SPAN(bytes.ptr, used)) < 0)
		forward_give_up_request(x);
	else if (forward_body_done(&x->up))
		x->request_whole = true;
	return used;
}

/* The request's head, as the server is to have it. 0 or -errno. */
static int send_head(struct forward *x)
{
	const struct forward_request *r = &x->request;
	struct span head = SPAN(x->in.data, r->length);
	_cleanup_free_ char *written = NULL;

	if (!r->changes)
		return forward_pass_seen(x, FLOW_SERVER,
					 SPAN(head.ptr + r->skipped, r->length - r->skipped));
	written = malloc(FORWARD_WRITE_MAX(r));
	if (!written)
		return -ENOMEM;
	return forward_pass_seen(x, FLOW_SERVER,
				 SPAN(written, forward_request_write(r, head, written)));
}

/* The same of what came with the head. */
static void upload_kept(struct forward *x)
{
	size_t used = upload(x, SPAN(x->in.data, x->in.len));

	/* Else it has been refused, and is gone. */
	if (x->flow.state == FLOW_FORWARD && x->state == FORWARD_EXCHANGE)
		forward_forget(x, &x->in, used);
}

void forward_exchange_begin(struct forward *x)
{
	x->state = FORWARD_EXCHANGE;
	x->request_whole = x->begun = x->in_content = x->response_whole = false;
	x->upgraded = false;
	x->last = x->followed = false;
	forward_body_begin(&x->up, x->request.framing, x->request.body, false);
	if (send_head(x) < 0)
		forward_give_up_request(x);
	forward_forget(x, &x->in, x->request.length);
	if (x->request_whole)
		return;
	if (forward_body_done(&x->up))
		x->request_whole = true;
	else if (x->in.len)
		upload_kept(x);
}

/* The client says no more: nor do we to the server, which may answer all the same. */
static void pass_fin(struct forward *x)
{
	struct flow *f = &x->flow;

	f->legs[FLOW_CLIENT].eof = true;
	x->request_whole = true;
	observer_end(&f->observer, WAY_TO_SERVER, OBSERVER_FIN, f->thread->now);
	shutdown(f->legs[FLOW_SERVER].source.fd, SHUT_WR);
	f->legs[FLOW_SERVER].fin_sent = true;
}

void forward_exchange_fin(struct forward *x)
{
	char byte;
	ssize_t n = recv(x->flow.legs[FLOW_CLIENT].source.fd, &byte, 1, MSG_PEEK);

	/* What is there are further requests: the server gets them, or another one does. */
	if (n > 0)
		x->followed = true;
	else if (n == 0)
		pass_fin(x);
	else if (errno != EAGAIN && errno != EINTR)
		flow_reset(&x->flow, OUTCOME_RESET_BY_CLIENT);
}

static bool take_from_client(struct forward *x, struct span bytes)
{
	struct flow *f = &x->flow;
	size_t used;

	x->heard = f->thread->now;
	used = upload(x, bytes);
	if (f->state != FLOW_FORWARD || x->state != FORWARD_EXCHANGE)
		return false;
	if (!forward_keep(x, &x->in, SPAN(bytes.ptr + used, bytes.len - used))) {
		flow_reset(f, OUTCOME_LIMIT);
		return false;
	}
	return !x->request_whole && !f->legs[FLOW_SERVER].backlog;
}

/* In order: a request that was cut short. The server may say something of it. */
static void client_ended(struct forward *x, int error)
{
	if (error)
		flow_reset(&x->flow, OUTCOME_RESET_BY_CLIENT);
	else
		pass_fin(x);
}

void forward_exchange_client(struct forward *x)
{
	forward_read(x, FLOW_CLIENT, take_from_client, client_ended);
}

/*
 * Whether the server may take the connection over with 101: else what the client sends next would
 * be the server's, whomever it is for. So only where that was asked for, and where the client has
 * sent nothing behind it, which may be a request for another host. It has not seen the 101 yet.
 */
static bool may_upgrade(const struct forward *x)
{
	char byte;

	return x->request.upgrade && x->request_whole && !x->in.len &&
	       recv(x->flow.legs[FLOW_CLIENT].source.fd, &byte, 1, MSG_PEEK) <= 0;
}

/*
 * How many of @bytes from the server are the client's: whole heads, and content. False: they are no
 * answer.
 */
static bool read_response(struct forward *x, struct span bytes, size_t *used)
{
	struct forward_response r;

	*used = 0;
	while (*used < bytes.len && !x->response_whole) {
		struct span rest = SPAN(bytes.ptr + *used, bytes.len - *used);

		if (x->in_content) {
			*used += forward_body_take(&x->down, rest);
			if (x->down.state == FORWARD_BODY_BAD)
				return false;
			x->response_whole = forward_body_done(&x->down);
			continue;
		}
		switch (forward_response_read(&x->out_head, rest, x->request.head, &r)) {
		case FORWARD_READ:
			break;
		case FORWARD_MORE:
			return rest.len <= FORWARD_HEAD_MAX;
		default:
			return false;
		}
		if (r.status == 101 && !may_upgrade(x))
			return false;
		*used += r.length;
		if (r.status == 101) {
			x->upgraded = x->response_whole = true;
			*used = bytes.len;
		} else if (r.status >= 200) {
			x->last |= r.last;
			x->in_content = true;
			forward_body_begin(&x->down, r.framing, r.body, true);
			x->response_whole = forward_body_done(&x->down);
		}
	}
	return true;
}

/* The server's bytes @bytes go on. What of them begins a head waits for its rest. */
static void download(struct forward *x, struct span bytes, bool kept)
{
	struct flow *f = &x->flow;
	size_t used;

	if (!read_response(x, bytes, &used)) {
		if (x->begun)
			flow_reset(f, OUTCOME_RESET_BY_SERVER);
		else
			forward_answer(x, FORWARD_ANSWER_BROKEN, NULL);
		return;
	}
	x->begun |= used > 0;
	if (forward_pass(x, FLOW_CLIENT, SPAN(bytes.ptr, used)) < 0) {
		flow_reset(f, OUTCOME_RESET_BY_CLIENT);
		return;
	}
	/* Nobody asked for what follows an answer; nor may it be taken for another host's. */
	if (x->response_whole && used < bytes.len)
		x->last = true;
	if (kept)
		forward_forget(x, &x->out, x->response_whole ? x->out.len : used);
	else if (!x->response_whole &&
		 !forward_keep(x, &x->out, SPAN(bytes.ptr + used, bytes.len - used)))
		flow_reset(f, OUTCOME_LIMIT);
}

static void server_ended(struct forward *x, int error)
{
	struct flow *f = &x->flow;

	if (error && (x->begun || x->reused)) {
		flow_reset(f, error == ETIMEDOUT ? OUTCOME_TIMEOUT : OUTCOME_RESET_BY_SERVER);
	} else if (!error && (x->begun || x->reused || f->legs[FLOW_CLIENT].eof)) {
		/* The end of its content, or cut short: the client sees it as we do. */
		observer_end(&f->observer, WAY_TO_CLIENT, OBSERVER_FIN, f->thread->now);
		forward_leave(x);
	} else {
		forward_answer(x, FORWARD_ANSWER_BROKEN, NULL);
	}
}

void forward_exchange_end(struct forward *x)
{
	if (!x->response_whole)
		return;
	if (x->upgraded)
		forward_become_relay(x);
	else if (x->last || x->request.last || x->flow.legs[FLOW_CLIENT].eof)
		forward_leave(x);
	else if (x->request_whole && !x->flow.legs[FLOW_SERVER].backlog) {
		x->reused = true;
		x->state = FORWARD_AWAITING;
	}
}

static bool take_from_server(struct forward *x, struct span bytes)
{
	struct flow *f = &x->flow;
	bool kept = x->out.len > 0;

	if (kept && !forward_keep(x, &x->out, bytes)) {
		flow_reset(f, OUTCOME_LIMIT);
		return false;
	}
	download(x, kept ? SPAN(x->out.data, x->out.len) : bytes, kept);
	return f->state == FLOW_FORWARD && x->state == FORWARD_EXCHANGE &&
	       !f->legs[FLOW_CLIENT].backlog && !x->response_whole;
}

void forward_exchange_server(struct forward *x)
{
	if (x->response_whole)
		x->last = true; /* it goes, or the rest of the request is of no use to it */
	else
		forward_read(x, FLOW_SERVER, take_from_server, server_ended);
}
