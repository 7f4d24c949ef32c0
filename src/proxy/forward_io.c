// SPDX-License-Identifier: GPL-2.0-or-later
/* Bytes of a forward proxy's flow: kept, sent, sent later. See forward.h. */
#include "forward_internal.h"

#include "thread.h"

#include <errno.h>
#include <sys/socket.h>

/* Reads before another source gets its turn. */
#define READS_PER_TURN 4

bool forward_read_once(struct forward *x, unsigned side, size_t most, forward_taker *take,
		       forward_ender *ended)
{
	struct flow *f = &x->flow;
	/* #syscalls recvfrom */
	ssize_t n = recv(f->legs[side].source.fd, f->thread->buffer, most, 0);

	if (n > 0)
		return take(x, SPAN(f->thread->buffer, (size_t)n));
	if (n == 0)
		ended(x, 0);
	else if (errno != EAGAIN && errno != EINTR)
		ended(x, errno);
	return false;
}

void forward_read(struct forward *x, unsigned side, forward_taker *take, forward_ender *ended)
{
	for (unsigned turn = 0; turn < READS_PER_TURN; turn++) {
		if (!forward_read_once(x, side, thread_read_max(x->flow.thread), take, ended))
			return;
	}
}

bool forward_keep(struct forward *x, struct forward_bytes *b, struct span bytes)
{
	size_t size = b->len + bytes.len;

	if (!bytes.len)
		return true;
	if (size > b->size) {
		/* What comes in small pieces is not copied for each of them. */
		size_t grown = MAX(size, b->size + b->size / 2);
		char *data = realloc(b->data, grown);

		if (!data)
			return false;
		thread_backlog(x->flow.thread, (int64_t)(grown - b->size));
		b->data = data;
		b->size = grown;
	}
	memcpy(b->data + b->len, bytes.ptr, bytes.len);
	b->len += bytes.len;
	return true;
}

void forward_forget(struct forward *x, struct forward_bytes *b, size_t count)
{
	b->len -= count;
	if (b->len) {
		memmove(b->data, b->data + count, b->len);
		return;
	}
	thread_backlog(x->flow.thread, -(int64_t)b->size);
	free(b->data);
	*b = (struct forward_bytes){ 0 };
}

int forward_put_off(struct flow *f, struct leg *to, struct span bytes)
{
	struct backlog *old = to->backlog, *b;
	size_t left = old ? old->end - old->start : 0, size = left + bytes.len;

	b = malloc(sizeof(*b) + size);
	if (!b)
		return -ENOMEM;
	if (left)
		memcpy(b->data, old->data + old->start, left);
	memcpy(b->data + left, bytes.ptr, bytes.len);
	b->size = size;
	b->start = 0;
	b->end = size;
	flow_drop_backlog(f, to);
	thread_backlog(f->thread, (int64_t)size);
	to->backlog = b;
	return 0;
}

int forward_send(struct flow *f, struct leg *to, struct span bytes)
{
	ssize_t n = 0;

	if (!bytes.len)
		return 0;
	if (!to->backlog) {
		do {
			/* #syscalls sendto */
			n = send(to->source.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		} while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		n = MAX(n, 0);
	}
	if ((size_t)n == bytes.len)
		return 0;
	return forward_put_off(f, to, SPAN(bytes.ptr + n, bytes.len - (size_t)n));
}

int forward_pass_seen(struct forward *x, unsigned to, struct span bytes)
{
	struct flow *f = &x->flow;

	record_bytes(&f->record, to == FLOW_SERVER ? WAY_TO_SERVER : WAY_TO_CLIENT, bytes.len);
	return forward_send(f, &f->legs[to], bytes);
}

int forward_pass(struct forward *x, unsigned to, struct span bytes)
{
	struct flow *f = &x->flow;
	enum way way = to == FLOW_SERVER ? WAY_TO_SERVER : WAY_TO_CLIENT;

	if (!bytes.len)
		return 0;
	observer_data(&f->observer, way, bytes, f->thread->now);
	return forward_pass_seen(x, to, bytes);
}

int forward_flush(struct flow *f, struct leg *to)
{
	struct backlog *b = to->backlog;
	ssize_t n = send(to->source.fd, b->data + b->start, b->end - b->start, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	b->start += (size_t)n;
	if (b->start == b->end)
		flow_drop_backlog(f, to);
	return 0;
}
