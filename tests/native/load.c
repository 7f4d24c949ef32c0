// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A load of short connections, and who answers them.
 *
 *   load serve LABEL ADDRESS PORT [LABEL ADDRESS PORT]...
 *       answers each connection with the label's first letter and ends it
 *   load connect AT_ONCE INTERVAL_US SOURCE ADDRESS PORT [ADDRESS PORT]...
 *       connects to them in turn, from SOURCE ("-": any): so many at once, one started in so many
 * microseconds (0: no pause), until standard input ends. Every answer but 'P' is printed as it
 * comes, as "odd CLOCK_MONOTONIC_US ANSWER"; a line of standard input is answered with "made
 * CONNECTIONS ANSWERED_P"; so is its end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PLACES_MAX  512
#define AT_ONCE_MAX 1024
#define TIMEOUT_US  30000000

struct place {
	struct sockaddr_storage sa;
	socklen_t len;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * (int64_t)1000000 + t.tv_nsec / 1000;
}

static struct place parse(const char *address, const char *port)
{
	struct place p = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *v4 = (void *)&p.sa;
	struct sockaddr_in6 *v6 = (void *)&p.sa;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		p.len = sizeof(*v6);
	} else {
		fprintf(stderr, "load: %s: no address\n", address);
		exit(1);
	}
	return p;
}

static void watch(int epoll, int fd, uint32_t events, uint32_t number)
{
	struct epoll_event e = { .events = events, .data.u32 = number };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll_ctl");
}

static _Noreturn void serve(int argc, char **argv)
{
	int epoll = epoll_create1(0), fds[PLACES_MAX], one = 1;
	char labels[PLACES_MAX];
	uint32_t count = 0;

	for (int i = 0; i + 2 < argc && count < PLACES_MAX; i += 3, count++) {
		struct place p = parse(argv[i + 1], argv[i + 2]);
		int fd = socket(p.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (p.sa.ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(fd, (void *)&p.sa, p.len) < 0 || listen(fd, 4096) < 0)
			fail(argv[i + 2]);
		fds[count] = fd;
		labels[count] = argv[i][0];
		watch(epoll, fd, EPOLLIN, count);
	}
	puts("serving");
	fflush(stdout);
	for (;;) {
		struct epoll_event ready[64];
		int n = epoll_wait(epoll, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			uint32_t who = ready[i].data.u32;
			int fd;

			while ((fd = accept4(fds[who], NULL, NULL, 0)) >= 0) {
				(void)!send(fd, &labels[who], 1, MSG_NOSIGNAL);
				close(fd);
			}
		}
	}
}

struct load {
	struct place source; /* len 0: any */
	struct place places[PLACES_MAX];
	uint32_t place_count, next_place;
	struct slot {
		int fd; /* -1: free */
		int64_t started;
	} slots[AT_ONCE_MAX];
	uint32_t slot_count, busy;
	unsigned long made, proper;
	int epoll;
};

static void odd(const char *answer)
{
	printf("odd %lld %s\n", (long long)now_us(), answer);
	fflush(stdout);
}

static void finish(struct load *l, struct slot *s, const char *answer)
{
	const struct linger reset = { 1, 0 };

	/* Leaves nothing behind, neither here nor there. */
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(s->fd);
	s->fd = -1;
	l->busy--;
	l->made++;
	if (strcmp(answer, "P") == 0)
		l->proper++;
	else
		odd(answer);
}

static void start(struct load *l, uint32_t number)
{
	const struct place *p = &l->places[l->next_place++ % l->place_count];
	struct slot *s = &l->slots[number];
	int one = 1;

	s->fd = socket(p->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		fail("socket");
	if (l->source.len) {
		setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(s->fd, (void *)&l->source.sa, l->source.len) < 0)
			fail("bind");
	}
	s->started = now_us();
	l->busy++;
	if (connect(s->fd, (void *)&p->sa, p->len) < 0 && errno != EINPROGRESS)
		finish(l, s, strerrorname_np(errno));
	else
		watch(l->epoll, s->fd, EPOLLIN | EPOLLRDHUP, number);
}

static void answered(struct load *l, struct slot *s)
{
	char letter[2] = "";
	ssize_t got = recv(s->fd, letter, 1, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	finish(l, s, got < 0 ? strerrorname_np(errno) : got == 0 ? "empty" : letter);
}

static void expire(struct load *l)
{
	int64_t now = now_us();

	for (uint32_t i = 0; i < l->slot_count; i++) {
		if (l->slots[i].fd >= 0 && now - l->slots[i].started > TIMEOUT_US)
			finish(l, &l->slots[i], "timeout");
	}
}

static void tell(const struct load *l)
{
	printf("made %lu %lu\n", l->made, l->proper);
	fflush(stdout);
}

/* A line asks; false when there will be no more. */
static bool asked(struct load *l)
{
	char text[64];
	ssize_t got = read(0, text, sizeof(text));

	if (got > 0)
		tell(l);
	return got != 0;
}

static int start_some(struct load *l, int64_t interval, int64_t *due, bool ending)
{
	for (uint32_t i = 0; !ending && i < l->slot_count; i++) {
		if (l->slots[i].fd >= 0)
			continue;
		if (interval && now_us() < *due)
			break;
		*due += interval;
		start(l, i);
	}
	if (!interval || *due > now_us() + 1000)
		return 1;
	return 0; /* spins: the pause is shorter than epoll's tick */
}

static int connect_all(int argc, char **argv)
{
	static struct load l;
	int64_t interval = atoll(argv[1]), due = now_us();
	bool ending = false;

	l.slot_count = (uint32_t)atoi(argv[0]);
	if (strcmp(argv[2], "-") != 0)
		l.source = parse(argv[2], "0");
	for (int i = 3; i + 1 < argc && l.place_count < PLACES_MAX; i += 2)
		l.places[l.place_count++] = parse(argv[i], argv[i + 1]);
	for (uint32_t i = 0; i < l.slot_count; i++)
		l.slots[i].fd = -1;
	l.epoll = epoll_create1(0);
	watch(l.epoll, 0, EPOLLIN, UINT32_MAX);
	puts("connecting");
	fflush(stdout);
	while (!ending || l.busy) {
		struct epoll_event ready[64];
		int wait = start_some(&l, interval, &due, ending);
		int n = epoll_wait(l.epoll, ready, 64, wait);

		for (int i = 0; i < n; i++) {
			uint32_t who = ready[i].data.u32;

			if (who != UINT32_MAX) {
				answered(&l, &l.slots[who]);
			} else if (!ending && !asked(&l)) {
				ending = true;
				epoll_ctl(l.epoll, EPOLL_CTL_DEL, 0, NULL);
			}
		}
		expire(&l);
	}
	tell(&l);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && strcmp(argv[1], "serve") == 0)
		serve(argc - 2, argv + 2);
	if (argc >= 7 && strcmp(argv[1], "connect") == 0 && atoi(argv[2]) <= AT_ONCE_MAX)
		return connect_all(argc - 2, argv + 2);
	fputs("usage: see the head of load.c\n", stderr);
	return 2;
}
