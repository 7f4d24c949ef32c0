// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The floor of the benchmark: the least that a transparent relay can do, one thread, no metrics.
 *
 * Theory of Operation: one epoll loop. A flow is two ends; what one end gives is read into a
 * shared buffer and written to the other at once (two reads and two writes per HTTP exchange).
 * Only when a write is short does the remainder get a buffer of its own, and its source is not
 * read until it is gone. An end of file is passed on; any error closes both ends. No time-outs,
 * no resets passed on, no limits: it is a measure, not a proxy.
 *
 * Usage: relay FIRST-PORT LAST-PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE   65536
#define EVENTS_MAX    256
#define ACCEPTS_MAX   64
#define LISTENERS_MAX 64

struct flow;

struct end {
	struct flow *flow; /* NULL: a listener */
	int fd;
	uint32_t events; /* what epoll watches */
	bool connecting; /* upstream, until it is writable */
	bool finished;	 /* it has sent its FIN */
	char *pending;	 /* what still has to go out here; owned */
	size_t pending_len, pending_at;
};

struct flow {
	struct end client, server;
	struct flow *next_dead;
};

struct relay {
	int epoll;
	struct flow *dead; /* closed in this round; freed after it, events may still name them */
	char buffer[BUFFER_SIZE];
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct end *other(struct end *e)
{
	return e == &e->flow->client ? &e->flow->server : &e->flow->client;
}

static void watch(struct relay *r, struct end *e, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	if (e->events == events)
		return;
	if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, e->fd, &ev) < 0)
		fail("epoll_ctl");
	e->events = events;
}

static int end_init(struct relay *r, struct end *e, struct flow *f, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	e->flow = f;
	e->fd = fd;
	e->events = events;
	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void flow_close(struct relay *r, struct flow *f)
{
	if (f->client.fd < 0)
		return;
	close(f->client.fd);
	close(f->server.fd);
	f->client.fd = -1;
	free(f->client.pending);
	free(f->server.pending);
	f->next_dead = r->dead;
	r->dead = f;
}

/* What epoll should watch, from the state of both ends. */
static void flow_watch(struct relay *r, struct flow *f)
{
	struct end *ends[] = { &f->client, &f->server };

	for (int i = 0; i < 2; i++) {
		struct end *e = ends[i], *to = ends[1 - i];
		uint32_t events = 0;

		if (!e->finished && !to->pending && !to->connecting)
			events |= EPOLLIN;
		if (e->pending || e->connecting)
			events |= EPOLLOUT;
		watch(r, e, events);
	}
}

/* Writes what a short write left behind. False: the flow is over. */
static bool end_flush(struct end *e)
{
	ssize_t n = send(e->fd, e->pending + e->pending_at, e->pending_len - e->pending_at,
			 MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN;
	e->pending_at += (size_t)n;
	if (e->pending_at < e->pending_len)
		return true;
	free(e->pending);
	e->pending = NULL;
	if (other(e)->finished)
		shutdown(e->fd, SHUT_WR);
	return true;
}

/* One read and, if there was something, one write. False: the flow is over. */
static bool end_pump(struct relay *r, struct end *from)
{
	struct end *to = other(from);
	ssize_t n = recv(from->fd, r->buffer, sizeof(r->buffer), 0);
	ssize_t sent;

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0) {
		from->finished = true;
		shutdown(to->fd, SHUT_WR);
		return !to->finished;
	}
	sent = send(to->fd, r->buffer, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < 0)
		sent = 0;
	if (sent == n)
		return true;
	to->pending_at = 0;
	to->pending_len = (size_t)(n - sent);
	to->pending = malloc(to->pending_len);
	if (!to->pending)
		return false;
	memcpy(to->pending, r->buffer + sent, to->pending_len);
	return true;
}

static void end_event(struct relay *r, struct end *e, uint32_t events)
{
	struct flow *f = e->flow;

	if (f->client.fd < 0)
		return;
	if (e->connecting && (events & (EPOLLERR | EPOLLHUP))) {
		flow_close(r, f);
		return;
	}
	if (events & EPOLLOUT) {
		e->connecting = false;
		if (e->pending && !end_flush(e)) {
			flow_close(r, f);
			return;
		}
	}
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !other(e)->pending && !e->finished &&
	    !end_pump(r, e)) {
		flow_close(r, f);
		return;
	}
	flow_watch(r, f);
}

static void listener_event(struct relay *r, int listener)
{
	static const int one = 1;

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), server;
		struct sockaddr_in to;
		socklen_t len = sizeof(to);
		struct flow *f;

		if (client < 0)
			return;
		server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		f = calloc(1, sizeof(*f));
		if (!f || server < 0)
			fail("flow");
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (getsockopt(client, SOL_IP, SO_ORIGINAL_DST, &to, &len) < 0 ||
		    (connect(server, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)) {
			close(client);
			close(server);
			free(f);
			continue;
		}
		f->server.connecting = true;
		if (end_init(r, &f->client, f, client, 0) < 0 ||
		    end_init(r, &f->server, f, server, EPOLLOUT) < 0)
			fail("epoll_ctl");
	}
}

static int listener_open(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	static const int one = 1;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static void relay_run(struct relay *r)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(r->epoll, events, EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;

			if (!e->flow)
				listener_event(r, e->fd);
			else
				end_event(r, e, events[i].events);
		}
		while (r->dead) {
			struct flow *f = r->dead;

			r->dead = f->next_dead;
			free(f);
		}
	}
}

int main(int argc, char **argv)
{
	static struct end listeners[LISTENERS_MAX];
	static struct relay relay;
	int first = argc == 3 ? atoi(argv[1]) : 0, last = argc == 3 ? atoi(argv[2]) : -1;

	if (first < 1 || last < first || last > 65535 || last - first >= LISTENERS_MAX) {
		fputs("usage: relay FIRST-PORT LAST-PORT\n", stderr);
		return 2;
	}
	relay.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (relay.epoll < 0)
		fail("epoll_create1");
	for (int port = first; port <= last; port++) {
		struct end *e = &listeners[port - first];

		if (end_init(&relay, e, NULL, listener_open((uint16_t)port), EPOLLIN) < 0)
			fail("epoll_ctl");
	}
	relay_run(&relay);
}
