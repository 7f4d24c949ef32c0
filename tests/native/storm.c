// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Much traffic of one kind, counted exactly. storm_server.c answers.
 *
 *   storm KIND ADDRESS PORT COUNT AT_ONCE SIZE [HEX [RATE]]
 *       COUNT requests (0: until standard input ends) over AT_ONCE connections, to a server whose
 * answers have SIZE bytes. Kinds:
 *     keepalive      one request after the other
 *     new            each in a connection of its own; abort: that is reset after the answer;
 *     half           or half-closed after the request
 *     hosts paths methods   pipelined, no two of them alike in that
 *     http2 grpc     32 streams at once, all alike; rpcs: no two methods alike
 *     echo           SIZE bytes that begin with HEX are sent and come back, then FINs
 *   storm slow-send|slow-read|slow-half ADDRESS PORT COUNT 0 SIZE
 *       COUNT connections that send, or read, a byte a second once all are there ("held"); a line
 * of standard input ends that, and they do the rest.
 * Each failure is told as "failed CLOCK_MONOTONIC ERROR"; at the end "done requests N connections N
 * bad N failed N".
 */
#include "storm.h"

#include <poll.h>
#include <sys/time.h>
#include <time.h>

#define BATCH 32

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t h2_request(char *out, uint32_t stream, bool grpc, const char *path)
{
	char block[256] = "\x86\x01\x09soak.test";
	size_t n = 12, len = strlen(path);

	block[n++] = grpc ? '\x83' : '\x82';
	block[n++] = '\x04';
	block[n++] = (char)len;
	memcpy(block + n, path, len);
	n += len;
	if (!grpc)
		return piece(out, HEADERS, END_HEADERS | END_STREAM, stream, block, n);
	memcpy(block + n, grpc_type, sizeof(grpc_type) - 1);
	n = piece(out, HEADERS, END_HEADERS, stream, block, n + sizeof(grpc_type) - 1);
	return n + piece(out + n, DATA, END_STREAM, stream, message, MESSAGE);
}

enum kind {
	KEEPALIVE,
	NEW,
	ABORT,
	HALF,
	HOSTS,
	PATHS,
	METHODS,
	HTTP_2,
	GRPC,
	RPCS,
	ECHOED,
	SLOW_SEND,
	SLOW_READ,
	SLOW_HALF,
	KINDS,
};
static const char *const kinds[KINDS] = {
	"keepalive", "new",  "abort", "half", "hosts",	   "paths",	"methods",
	"http2",     "grpc", "rpcs",  "echo", "slow-send", "slow-read", "slow-half",
};

struct client {
	int fd;		   /* -1: none */
	unsigned batch;	   /* requests that wait for an answer */
	uint64_t due, got; /* bytes of their answers */
	uint32_t stream;
	size_t start, end;
	char *out; /* BUFFER bytes */
};

static struct {
	enum kind kind;
	struct sockaddr_storage sa;
	socklen_t len;
	uint64_t count, asked, answered, connections, bad, failed;
	double rate, begun; /* connections a second, 0: any; when the first was made */
	size_t size;
	char first[4096];
	size_t first_len;
	bool ending;
} l;

/* Whether one more connection would be too soon. */
static bool too_soon(void)
{
	return l.rate && (double)l.connections >= (now() - l.begun) * l.rate;
}

static bool is_h2(void)
{
	return l.kind == HTTP_2 || l.kind == GRPC || l.kind == RPCS;
}

static bool is_short(void)
{
	return l.kind == NEW || l.kind == ABORT || l.kind == HALF || l.kind == ECHOED;
}

/* Whether there is one more to ask for. */
static bool more(void)
{
	return !l.ending && (!l.count || l.asked < l.count);
}

static size_t h1_request(char *out, uint64_t n)
{
	const char *text = "GET / HTTP/1.1\r\nHost: soak.test\r\n\r\n";

	if (l.kind == HOSTS)
		return (size_t)sprintf(out, "GET / HTTP/1.1\r\nHost: h%llu.test\r\n\r\n",
				       (unsigned long long)n);
	if (l.kind == PATHS)
		return (size_t)sprintf(out, "GET /p%llu?q HTTP/1.1\r\nHost: soak.test\r\n\r\n",
				       (unsigned long long)n);
	if (l.kind == METHODS)
		return (size_t)sprintf(out, "M%llu / HTTP/1.1\r\nHost: soak.test\r\n\r\n",
				       (unsigned long long)n);
	return (size_t)(stpcpy(out, text) - out);
}

static size_t request(struct client *c, char *out)
{
	uint64_t n = l.asked++;
	char path[64] = "/soak.Test/Call";
	char nowhere[256];

	c->batch++;
	if (l.kind == ECHOED) {
		c->due += l.size;
		memset(out, 0, l.size);
		memcpy(out, l.first, l.first_len);
		return l.size;
	}
	if (!is_h2()) {
		c->due += answer_len;
		return h1_request(out, n);
	}
	c->stream += 2;
	c->due += h2_answer(nowhere, 1, l.kind != HTTP_2);
	if (l.kind == RPCS)
		sprintf(path, "/soak.Test/Call%llu", (unsigned long long)n);
	return h2_request(out, c->stream - 2, l.kind != HTTP_2, path);
}

/* The next requests of @c. */
static void ask(struct client *c)
{
	unsigned batch = is_short() || l.kind == KEEPALIVE ? 1 : BATCH;

	c->start = c->end = c->batch = 0;
	c->due = c->got = 0;
	if (is_h2() && c->stream == 0) {
		c->end = (size_t)(stpcpy(c->out, preface) - c->out);
		c->end += frame(c->out + c->end, 0, SETTINGS, 0, 0);
		c->end += frame(c->out + c->end, 0, SETTINGS, ACK, 0);
		c->stream = 1;
		c->due = 18;
	}
	while (c->batch < batch && more())
		c->end += request(c, c->out + c->end);
}

static void drop(struct client *c, bool reset)
{
	const struct linger hard = { 1, 0 };

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(c->fd);
	c->fd = -1;
}

static void open_one(struct client *c)
{
	int one = 1;

	c->fd = socket(l.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		fail("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->stream = 0;
	l.connections++;
	if (connect(c->fd, (void *)&l.sa, l.len) < 0 && errno != EINPROGRESS)
		fail("connect");
	ask(c);
	watch(c->fd, EPOLLOUT, c, EPOLL_CTL_ADD);
}

static void failed(struct client *c)
{
	struct sockaddr_in own = { 0 };
	socklen_t len = sizeof(own);
	int error = errno;

	getsockname(c->fd, (void *)&own, &len); /* the port is where both families have it */
	if (l.failed++ < 10000)
		fprintf(stderr, "failed %f %s port %u\n", now(), strerrorname_np(error),
			ntohs(own.sin_port));
	drop(c, true);
}

static void flush(struct client *c)
{
	while (c->start < c->end) {
		ssize_t n = send(c->fd, c->out + c->start, c->end - c->start, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN) {
			failed(c);
			return;
		}
		if (n < 0)
			break;
		c->start += (size_t)n;
	}
	if (c->start == c->end && (l.kind == HALF || l.kind == ECHOED))
		shutdown(c->fd, SHUT_WR);
	watch(c->fd, EPOLLIN | (c->start < c->end ? EPOLLOUT : 0), c, EPOLL_CTL_MOD);
}

/* Are these the bytes of answers that are due next? */
static bool proper(const struct client *c, const char *data, size_t len)
{
	uint64_t got = c->got;

	if (l.kind == ECHOED)
		return memcmp(data, c->out + got, len) == 0;
	while (!is_h2() && len) {
		size_t at = (size_t)(got % answer_len);
		size_t n = MIN(answer_len - at, len);

		if (memcmp(data, answer + at, n) != 0)
			return false;
		data += n, len -= n, got += n;
	}
	return true;
}

static void receive(struct client *c)
{
	ssize_t n = recv(c->fd, buffer, BUFFER, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		errno = n ? errno : ENODATA;
		failed(c);
		return;
	}
	if (c->got + (uint64_t)n > c->due || !proper(c, buffer, (size_t)n)) {
		l.bad++;
		drop(c, true);
		return;
	}
	c->got += (uint64_t)n;
	if (c->got < c->due)
		return;
	l.answered += c->batch;
	if (is_short() || !more()) {
		drop(c, l.kind == ABORT);
		return;
	}
	ask(c);
	flush(c);
}

static bool told_to_end(void)
{
	return read(0, buffer, BUFFER) == 0;
}

static int done(void)
{
	printf("done requests %llu connections %llu bad %llu failed %llu\n",
	       (unsigned long long)l.answered, (unsigned long long)l.connections,
	       (unsigned long long)l.bad, (unsigned long long)l.failed);
	return l.bad || l.failed;
}

static int storm(unsigned at_once)
{
	struct client *clients = calloc(at_once, sizeof(*clients));
	unsigned open = 0;

	for (unsigned i = 0; i < at_once; i++) {
		clients[i].fd = -1;
		clients[i].out = malloc(BUFFER);
	}
	if (!l.count)
		watch(0, EPOLLIN, NULL, EPOLL_CTL_ADD);
	do {
		struct epoll_event ready[64];
		int n;

		for (unsigned i = 0; i < at_once && more(); i++) {
			if (clients[i].fd < 0 && !too_soon())
				open_one(&clients[i]);
		}
		n = epoll_wait(epoll, ready, 64, l.rate > 0 ? 1 : -1);
		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;

			if (!c) {
				l.ending = told_to_end();
				if (l.ending)
					epoll_ctl(epoll, EPOLL_CTL_DEL, 0, NULL);
			} else if (ready[i].events & EPOLLOUT) {
				flush(c);
			} else {
				receive(c);
			}
		}
		open = 0;
		for (unsigned i = 0; i < at_once; i++)
			open += clients[i].fd >= 0;
	} while (open || more());
	return done();
}

/* ---- Slow clients ---- */

static const char slow_request[] =
	"GET /slow HTTP/1.1\r\nHost: soak.test\r\nX-Slow: "
	"................................................................"
	"................................................................"
	"\r\n\r\n";

/* Connects, and does what there is to do at once. */
static void begin(struct client *c)
{
	const struct timeval patience = { 60, 0 };
	int small = 4096;

	l.connections++;
	c->fd = socket(l.sa.ss_family, SOCK_STREAM, 0);
	if (c->fd < 0)
		fail("socket");
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (l.kind != SLOW_SEND)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (connect(c->fd, (void *)&l.sa, l.len) < 0) {
		failed(c);
		return;
	}
	if (l.kind == SLOW_SEND)
		return;
	send(c->fd, slow_request, sizeof(slow_request) - 1, MSG_NOSIGNAL);
	if (l.kind == SLOW_HALF)
		shutdown(c->fd, SHUT_WR);
}

/* A byte of the request, or of its answer. */
static void creep(struct client *c)
{
	char byte;

	if (c->fd < 0)
		return;
	if (l.kind == SLOW_SEND) {
		if (c->start < sizeof(slow_request) - 2 &&
		    send(c->fd, slow_request + c->start++, 1, MSG_NOSIGNAL) < 0)
			failed(c);
	} else if (recv(c->fd, &byte, 1, 0) != 1) {
		failed(c);
	} else if (byte != answer[c->got++]) {
		l.bad++;
	}
}

/* All the rest. */
static void finish(struct client *c)
{
	int large = 1 << 20;

	if (c->fd < 0)
		return;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	if (l.kind == SLOW_SEND)
		send(c->fd, slow_request + c->start, sizeof(slow_request) - 1 - c->start,
		     MSG_NOSIGNAL);
	while (c->got < answer_len) {
		ssize_t n = recv(c->fd, buffer, BUFFER, 0);

		if (n <= 0) {
			errno = n ? errno : ENODATA;
			failed(c);
			return;
		}
		if (c->got + (size_t)n > answer_len ||
		    memcmp(buffer, answer + c->got, (size_t)n) != 0)
			l.bad++;
		c->got += (size_t)n;
	}
	l.answered++;
	drop(c, false);
}

static int slowly(void)
{
	struct pollfd input = { .events = POLLIN };
	struct client *clients = calloc(l.count, sizeof(*clients));

	for (uint64_t i = 0; i < l.count; i++) {
		while (too_soon())
			usleep(1000);
		begin(&clients[i]);
	}
	for (uint64_t i = 0; i < l.count; i++)
		creep(&clients[i]);
	puts("held");
	fflush(stdout);
	while (poll(&input, 1, 1000) == 0) {
		for (uint64_t i = 0; i < l.count; i++)
			creep(&clients[i]);
	}
	for (uint64_t i = 0; i < l.count; i++)
		finish(&clients[i]);
	return done();
}

static size_t from_hex(char *out, size_t size, const char *hex)
{
	size_t n = 0;
	unsigned byte;

	for (; n < size && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (char)byte;
	return n;
}

int main(int argc, char **argv)
{
	epoll = epoll_create1(0);
	while (argc >= 7 && l.kind < KINDS && strcmp(argv[1], kinds[l.kind]) != 0)
		l.kind++;
	if (argc < 7 || l.kind == KINDS) {
		fputs("usage: see the head of storm.c\n", stderr);
		return 2;
	}
	l.len = parse(&l.sa, argv[2], argv[3]);
	l.count = strtoull(argv[4], NULL, 10);
	l.size = (size_t)atoi(argv[6]);
	if (argc > 7)
		l.first_len = from_hex(l.first, MIN(sizeof(l.first), l.size), argv[7]);
	if (argc > 8)
		l.rate = atof(argv[8]);
	l.begun = now();
	make_answer(l.size);
	return l.kind >= SLOW_SEND ? slowly() : storm((unsigned)atoi(argv[5]));
}
