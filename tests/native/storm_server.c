// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server that answers all that storm.c asks.
 *
 *   storm_server ADDRESS PORT SIZE
 *       HTTP/1 requests (without content) get SIZE bytes, HTTP/2 requests a gRPC answer if they had
 * content and a short one if not; whatever else comes is sent back.
 */
#include "storm.h"

enum speaks { UNKNOWN, HTTP1, HTTP2, ECHO };

struct peer {
	int fd;
	enum speaks speaks;
	bool ended;	/* the client's FIN was read */
	unsigned match; /* of "\r\n\r\n", or of a frame's header, in head[] */
	unsigned char head[9];
	size_t skip;   /* of the frame's payload */
	uint64_t owed; /* bytes of HTTP/1 answers */
	char *out;     /* other bytes to be sent, malloc()ed while there are some */
	size_t start, end;
};

static char *room(struct peer *p, size_t len)
{
	char *at;

	if (!p->out)
		p->out = malloc(16 * BUFFER);
	if (p->end + len > 16 * BUFFER)
		fail("too much to be sent");
	at = p->out + p->end;
	p->end += len;
	return at;
}

static void take_h1(struct peer *p, const char *data, size_t len)
{
	static const char end[] = "\r\n\r\n";

	for (size_t i = 0; i < len; i++) {
		if (data[i] != end[p->match])
			p->match = data[i] == '\r';
		else if (++p->match == 4) {
			p->match = 0;
			p->owed += answer_len;
		}
	}
}

static void take_h2(struct peer *p, const char *data, size_t len)
{
	while (len) {
		size_t n = MIN(len, p->skip);
		uint32_t stream;
		char *at;

		data += n, len -= n, p->skip -= n;
		if (!len)
			return;
		p->head[p->match++] = (unsigned char)*data++;
		len--;
		if (p->match < 9)
			continue;
		p->match = 0;
		p->skip = (size_t)p->head[0] << 16 | (size_t)p->head[1] << 8 | p->head[2];
		stream = (uint32_t)p->head[5] << 24 | (uint32_t)p->head[6] << 16 |
			 (uint32_t)p->head[7] << 8 | p->head[8];
		if (p->head[3] > HEADERS || !(p->head[4] & END_STREAM))
			continue;
		at = room(p, 256);
		p->end -= 256 - h2_answer(at, stream, p->head[3] == DATA);
	}
}

static void take(struct peer *p, const char *data, size_t len)
{
	if (p->speaks == UNKNOWN && data[0] == 'P' && len >= PREFACE &&
	    memcmp(data, preface, PREFACE) == 0) {
		char *at = room(p, 18);

		p->speaks = HTTP2;
		frame(at + frame(at, 0, SETTINGS, 0, 0), 0, SETTINGS, ACK, 0);
		data += PREFACE, len -= PREFACE;
	} else if (p->speaks == UNKNOWN) {
		p->speaks = data[0] >= 'A' && data[0] <= 'Z' ? HTTP1 : ECHO;
	}
	if (p->speaks == HTTP1)
		take_h1(p, data, len);
	else if (p->speaks == HTTP2)
		take_h2(p, data, len);
	else
		memcpy(room(p, len), data, len);
}

/* Sends what goes. False: the connection is over. */
static bool give(struct peer *p)
{
	while (p->owed || p->start < p->end) {
		const char *data = p->out + p->start;
		size_t len = p->end - p->start;
		ssize_t n;

		if (p->owed) {
			size_t at = answer_len - (p->owed - 1) % answer_len - 1;

			data = answer + at;
			len = answer_len - at;
		}
		n = send(p->fd, data, len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		if (p->owed)
			p->owed -= (size_t)n;
		else
			p->start += (size_t)n;
	}
	free(p->out);
	p->out = NULL;
	p->start = p->end = 0;
	return !p->ended;
}

static bool serve_peer(struct peer *p, uint32_t events)
{
	if (!(events & EPOLLOUT) || (!p->owed && !p->out)) {
		ssize_t n = recv(p->fd, buffer, BUFFER, 0);

		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			p->ended = true;
		else
			take(p, buffer, (size_t)n);
	}
	if (!give(p))
		return false;
	watch(p->fd, p->owed || p->out ? EPOLLOUT : p->ended ? 0 : EPOLLIN, p, EPOLL_CTL_MOD);
	return true;
}

static _Noreturn void serve(const char *address, const char *port)
{
	struct sockaddr_storage sa;
	socklen_t len = parse(&sa, address, port);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&sa, len) < 0 || listen(fd, 4096) < 0)
		fail(port);
	watch(fd, EPOLLIN, NULL, EPOLL_CTL_ADD);
	puts("serving");
	fflush(stdout);
	for (;;) {
		struct epoll_event ready[64];
		int n = epoll_wait(epoll, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			struct peer *p = ready[i].data.ptr;
			int new;

			while (!p && (new = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				struct peer *q = calloc(1, sizeof(*q));

				q->fd = new;
				setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(new, EPOLLIN, q, EPOLL_CTL_ADD);
			}
			if (p && !serve_peer(p, ready[i].events)) {
				close(p->fd);
				free(p->out);
				free(p);
			}
		}
	}
}

int main(int argc, char **argv)
{
	epoll = epoll_create1(0);
	if (argc != 4) {
		fputs("usage: see the head of storm_server.c\n", stderr);
		return 2;
	}
	make_answer((size_t)atoi(argv[3]));
	serve(argv[1], argv[2]);
}
