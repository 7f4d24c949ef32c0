// SPDX-License-Identifier: GPL-2.0-or-later
/* The admin server: see admin.h. */
#include "admin.h"

#include "admin_http.h"
#include "side_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

/* Answers that wait for slow scrapers, in bytes; past it the next one is refused (503). */
#define OUTPUT_MAX (32u << 20)
/* How long the client may go on sending after the last answer (RFC 9112 sect. 9.6). */
#define LINGER_MS 1000u
/* How long to leave the queue alone when descriptors or memory are out. */
#define PAUSE_MS 100u
/* An answer of which nothing was taken for so long may be given up for another client. */
#define STALL_MS 1000u
/* What an answer opens for itself: one file at a time (metrics_process.c). */
#define FILES 1u
/* In `polls`, before the listeners. */
#define FIXED_POLLS 2u
/* A request is a few hundred bytes, an answer is made in this thread's heap. */
#define STACK_SIZE (256u << 10)

enum client_state {
	/* In the order in which they are closed for another's sake. */
	CLIENT_IDLE,	/* no byte of the next request */
	CLIENT_CLOSING, /* answered and shut down; what still comes is thrown away */
	CLIENT_READING, /* a part of a request is in `head` */
	CLIENT_WAITING, /* more of `reply` is to come; nothing is read */
	CLIENT_WRITING, /* `reply` is on its way; nothing is read; closed only when it stalls */
};

struct client {
	int fd;
	enum client_state state;
	bool local;	   /* from loopback */
	uint64_t deadline; /* ms */
	uint64_t since;	   /* ms: when it came to this state; WRITING: when bytes went last */
	char *head;	   /* ADMIN_HEAD_MAX bytes, or NULL while there are none */
	size_t head_len;
	struct admin_reply reply;
};

struct admin {
	struct admin_config config;
	pthread_t thread;
	int stop; /* eventfd */
	struct client *clients;
	struct pollfd *polls; /* stop, the flows' eventfd, the listeners, the clients */
	unsigned count, places;
	int *spares; /* placeholders: with the clients' descriptors, places + FILES */
	unsigned spare_count;
	size_t output;	       /* bytes in all replies */
	uint64_t paused_until; /* ms: accept failed for want of something */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Takes placeholders until each place has a descriptor again, as far as there are any. */
static void spares_fill(struct admin *a)
{
	while (a->count + a->spare_count < a->places + FILES) {
		int fd = fcntl(a->stop, F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return;
		a->spares[a->spare_count++] = fd;
	}
}

/* Makes one descriptor free; another thread may be quicker to take it. False: there was none. */
static bool spare_give_up(struct admin *a)
{
	if (!a->spare_count)
		return false;
	close(a->spares[--a->spare_count]);
	return true;
}

static void reply_drop(struct admin *a, struct client *c)
{
	a->output -= c->reply.capacity;
	admin_reply_fini(&c->reply);
}

static void client_close(struct admin *a, struct client *c)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	/* Else the kernel would keep what a client does not take. */
	if (c->state >= CLIENT_WAITING)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	reply_drop(a, c);
	free(c->head);
	close(c->fd);
	*c = a->clients[--a->count];
	spares_fill(a);
}

static void client_enter(struct client *c, enum client_state state, uint64_t now, unsigned limit_ms)
{
	c->state = state;
	c->since = now;
	c->deadline = now + limit_ms;
}

/* Takes the answered request off the input; what is behind it is the next one. */
static void head_take(struct client *c, size_t len)
{
	c->head_len -= len;
	memmove(c->head, c->head + len, c->head_len);
	if (!c->head_len) {
		free(c->head);
		c->head = NULL;
	}
}

/* With a descriptor for what it opens. */
static int answer(struct admin *a, struct client *c, struct span head)
{
	bool gave = spare_give_up(a);
	int rc = admin_answer(&a->config, c->local, head, &c->reply);

	if (gave)
		spares_fill(a);
	return rc;
}

/* Makes the answer to what was read, if that is a whole request. False: close. */
static bool client_answer(struct admin *a, struct client *c, uint64_t now)
{
	size_t len = admin_head_len(SPAN(c->head, c->head_len));
	int rc;

	if (!len && c->head_len < ADMIN_HEAD_MAX)
		return true;
	if (!len)
		rc = admin_refuse(431, &c->reply);
	else if (a->output > OUTPUT_MAX)
		rc = admin_refuse(503, &c->reply);
	else
		rc = answer(a, c, SPAN(c->head, len));
	if (rc < 0)
		return false;
	a->output += c->reply.capacity;
	head_take(c, len ? len : c->head_len);
	client_enter(c, CLIENT_WRITING, now, a->config.request_limit_ms);
	return true;
}

/* Reads what there is. False: close. */
static bool client_read(struct admin *a, struct client *c, uint64_t now)
{
	ssize_t n;

	if (!c->head && !(c->head = malloc(ADMIN_HEAD_MAX)))
		return false;
	n = recv(c->fd, c->head + c->head_len, ADMIN_HEAD_MAX - c->head_len, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (c->state == CLIENT_IDLE)
		client_enter(c, CLIENT_READING, now, a->config.head_limit_ms);
	c->head_len += (size_t)n;
	return client_answer(a, c, now);
}

/* What there was of an answer in pieces is out. False: close. */
static bool client_more(struct admin *a, struct client *c, uint64_t now)
{
	size_t had = c->reply.capacity;
	int rc = admin_reply_more(&c->reply);

	a->output += c->reply.capacity - had;
	c->state = rc ? CLIENT_WRITING : CLIENT_WAITING;
	c->since = now;
	return rc >= 0;
}

/* The answer is out. False: close. */
static bool client_answered(struct admin *a, struct client *c, uint64_t now)
{
	bool last = c->reply.close;

	if (c->reply.more)
		return client_more(a, c, now);
	reply_drop(a, c);
	if (last) {
		/* Closing with input unread would reset, and take the answer away again. */
		shutdown(c->fd, SHUT_WR);
		client_enter(c, CLIENT_CLOSING, now, LINGER_MS);
		return true;
	}
	if (!c->head_len) {
		client_enter(c, CLIENT_IDLE, now, a->config.idle_limit_ms);
		return true;
	}
	client_enter(c, CLIENT_READING, now, a->config.head_limit_ms);
	return client_answer(a, c, now);
}

/* Writes what goes. False: close. */
static bool client_write(struct admin *a, struct client *c, uint64_t now)
{
	struct admin_reply *r = &c->reply;
	ssize_t n = send(c->fd, r->data + r->start, r->end - r->start, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	r->start += (size_t)n;
	c->since = now;
	return r->start < r->end || client_answered(a, c, now);
}

/* Reads and forgets. False: close. */
static bool client_drain(const struct client *c)
{
	char nowhere[4096];
	ssize_t n = recv(c->fd, nowhere, sizeof(nowhere), 0);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Acts on what poll said. False: close. */
static bool client_step(struct admin *a, struct client *c, short events, uint64_t now)
{
	if (events & (POLLERR | POLLNVAL))
		return false;
	if (!events)
		return now < c->deadline;
	switch (c->state) {
	case CLIENT_IDLE:
	case CLIENT_READING:
		/* A short answer goes out at once, without another round. */
		return client_read(a, c, now) &&
		       (c->state != CLIENT_WRITING || client_write(a, c, now));
	case CLIENT_WAITING:
		return false; /* it hung up */
	case CLIENT_WRITING:
		return client_write(a, c, now);
	case CLIENT_CLOSING:
		return now < c->deadline && client_drain(c);
	}
	return false;
}

static bool gives_way(const struct client *c, uint64_t now)
{
	return c->state < CLIENT_WAITING || now >= c->since + STALL_MS;
}

/* Who gives way to a client that comes, from loopback or not. NULL: nobody. */
static struct client *victim(struct admin *a, bool local, uint64_t now)
{
	struct client *found = NULL;

	for (unsigned i = 0; i < a->count; i++) {
		struct client *c = &a->clients[i];

		if ((c->local && !local) || !gives_way(c, now))
			continue;
		if (!found || c->state < found->state ||
		    (c->state == found->state && c->since < found->since))
			found = c;
	}
	return found;
}

static unsigned remote_count(const struct admin *a)
{
	unsigned count = 0;

	for (unsigned i = 0; i < a->count; i++)
		count += !a->clients[i].local;
	return count;
}

static bool may_accept(struct admin *a, uint64_t now)
{
	return now >= a->paused_until && (a->count < a->places || victim(a, true, now));
}

static bool is_loopback(const struct sockaddr_storage *peer)
{
	const struct sockaddr_in *four = (const void *)peer;
	const struct sockaddr_in6 *six = (const void *)peer;

	if (peer->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
	return peer->ss_family == AF_INET &&
	       ntohl(four->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

static bool out_of_descriptors(void)
{
	return errno == EMFILE || errno == ENFILE;
}

/* accept(2), if need be at the cost of placeholders. */
static int accept_client(struct admin *a, int listener, bool *local)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	int fd;

	do {
		socklen_t len = sizeof(peer);

		fd = accept4(listener, (struct sockaddr *)&peer, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && out_of_descriptors() && spare_give_up(a));
	*local = is_loopback(&peer);
	return fd;
}

/* One connection: the others' turn comes with the next round. */
static void accept_one(struct admin *a, int listener, uint64_t now)
{
	struct client new = { .fd = -1 };

	if (!may_accept(a, now))
		return;
	new.fd = accept_client(a, listener, &new.local);
	if (new.fd < 0) {
		if (out_of_descriptors() || errno == ENOBUFS || errno == ENOMEM)
			a->paused_until = now + PAUSE_MS;
		spares_fill(a);
		return;
	}
	/* A probe must get through, though every place is taken. */
	if (a->count == a->places || (!new.local &&remote_count(a) == a->config.max_clients)) {
		struct client *old = victim(a, new.local, now);

		if (!old) {
			close(new.fd);
			spares_fill(a);
			return;
		}
		client_close(a, old);
	}
	client_enter(&new, CLIENT_IDLE, now, a->config.request_limit_ms);
	a->clients[a->count++] = new;
	if (a->count + a->spare_count > a->places + FILES)
		spare_give_up(a);
}

static int poll_timeout(const struct admin *a, uint64_t now)
{
	uint64_t next = now + 3600000;

	if (a->paused_until > now)
		next = a->paused_until;
	for (unsigned i = 0; i < a->count; i++) {
		const struct client *c = &a->clients[i];

		next = MIN(next, c->deadline);
		/* With every place taken, others wait for this. */
		if (a->count == a->places && !gives_way(c, now))
			next = MIN(next, c->since + STALL_MS);
	}
	return next > now ? (int)(next - now) : 0;
}

/* Fills in what to wait for; returns how many. */
static nfds_t poll_set(struct admin *a, uint64_t now)
{
	bool accepting = may_accept(a, now);
	nfds_t n = 0;

	a->polls[n++] = (struct pollfd){ .fd = a->stop, .events = POLLIN };
	a->polls[n++] = (struct pollfd){ .fd = a->config.flows ? a->config.flows->answered : -1,
					 .events = POLLIN };
	for (unsigned i = 0; i < a->config.listener_count; i++) {
		/* poll() passes over a negative descriptor. */
		int fd = accepting ? a->config.listeners[i] : -1;

		a->polls[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	for (unsigned i = 0; i < a->count; i++) {
		const struct client *c = &a->clients[i];
		short events = c->state == CLIENT_WRITING   ? POLLOUT
			       : c->state == CLIENT_WAITING ? 0
							    : POLLIN;

		a->polls[n++] = (struct pollfd){ .fd = c->fd, .events = events };
	}
	return n;
}

/* A thread has written down flows, for some of those who wait. */
static void flows_listed(struct admin *a, uint64_t now)
{
	eventfd_t times;

	/* #syscalls read */
	if (eventfd_read(a->config.flows->answered, &times) < 0)
		return;
	for (unsigned i = a->count; i-- > 0;) {
		struct client *c = &a->clients[i];

		if (c->state == CLIENT_WAITING && !client_more(a, c, now))
			client_close(a, c);
	}
}

static void *admin_main(void *arg)
{
	struct admin *a = arg;
	unsigned first = FIXED_POLLS + a->config.listener_count;

	/* #syscalls prctl */
	prctl(PR_SET_NAME, "admin");
	for (;;) {
		uint64_t now = now_ms();
		nfds_t n = poll_set(a, now);

		/* #syscalls poll ppoll */
		if (poll(a->polls, n, poll_timeout(a, now)) < 0 && errno != EINTR)
			a->paused_until = now + PAUSE_MS;
		if (a->polls[0].revents)
			break;
		now = now_ms();
		/* From the last on: closing one moves the last into its place. */
		for (unsigned i = a->count; i-- > 0;) {
			struct client *c = &a->clients[i];

			if (!client_step(a, c, a->polls[first + i].revents, now))
				client_close(a, c);
		}
		if (a->polls[1].revents)
			flows_listed(a, now);
		for (unsigned i = FIXED_POLLS; i < first; i++) {
			if (a->polls[i].revents)
				accept_one(a, a->polls[i].fd, now);
		}
	}
	while (a->count)
		client_close(a, &a->clients[0]);
	return NULL;
}

static void admin_free(struct admin *a)
{
	while (spare_give_up(a)) {
	}
	if (a->stop >= 0)
		close(a->stop);
	free(a->spares);
	free(a->clients);
	free(a->polls);
	free(a);
}

/* Memory and descriptors for every place. */
static bool reserve(struct admin *a)
{
	a->clients = calloc(a->places, sizeof(*a->clients));
	a->polls = calloc(FIXED_POLLS + ADMIN_LISTENERS + a->places, sizeof(*a->polls));
	a->spares = calloc(a->places + FILES, sizeof(*a->spares));
	if (!a->clients || !a->polls || !a->spares)
		return false;
	spares_fill(a);
	return true;
}

int admin_start(const struct admin_config *config, struct admin **out, struct err *e)
{
	struct admin *a = calloc(1, sizeof(*a));
	int rc = -ENOMEM;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory for the admin server");
	a->config = *config;
	if (!config->max_clients) {
		a->config.max_clients = 64;
		a->config.local_clients = 8;
	}
	a->places = a->config.max_clients + a->config.local_clients;
	a->config.head_limit_ms = config->head_limit_ms ? config->head_limit_ms : 2000;
	a->config.request_limit_ms = config->request_limit_ms ? config->request_limit_ms : 10000;
	a->config.idle_limit_ms = config->idle_limit_ms ? config->idle_limit_ms : 120000;
	/* #syscalls eventfd2 */
	a->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->stop < 0)
		rc = -errno;
	else if (reserve(a))
		rc = 0;
	for (unsigned i = 0; rc == 0 && i < config->listener_count; i++) {
		int flags = fcntl(config->listeners[i], F_GETFL);

		if (flags < 0 || fcntl(config->listeners[i], F_SETFL, flags | O_NONBLOCK) < 0)
			rc = -errno;
	}
	if (rc == 0)
		rc = side_thread_start(&a->thread, STACK_SIZE, admin_main, a);
	if (rc < 0) {
		admin_free(a);
		return err_sys(e, rc, "cannot start the admin server");
	}
	*out = a;
	return 0;
}

void admin_stop(struct admin *a)
{
	if (!a)
		return;
	eventfd_write(a->stop, 1);
	pthread_join(a->thread, NULL);
	admin_free(a);
}
