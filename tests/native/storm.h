/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What storm's server and its clients have in common: addresses, and the bytes of answers. */
#ifndef STORM_H
#define STORM_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER	  65536
#define BATCH	  32
#define MIN(a, b) ((a) < (b) ? (a) : (b))

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE (sizeof(preface) - 1)

static char buffer[BUFFER];
static char *answer; /* HTTP/1's, to every request */
static size_t answer_len;
static int epoll;

static inline void fail(const char *what)
{
	perror(what);
	exit(1);
}

static inline socklen_t parse(struct sockaddr_storage *sa, const char *address, const char *port)
{
	struct sockaddr_in *v4 = (void *)sa;
	struct sockaddr_in6 *v6 = (void *)sa;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1) {
		fprintf(stderr, "storm: %s: no address\n", address);
		exit(1);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)atoi(port));
	return sizeof(*v6);
}

static inline void make_answer(size_t size)
{
	char head[64];
	int len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			   size);

	answer_len = (size_t)len + size;
	answer = malloc(answer_len);
	memcpy(answer, head, (size_t)len);
	for (size_t i = 0; i < size; i++)
		answer[(size_t)len + i] = (char)('a' + i * 7 % 26);
}

static inline void watch(int fd, uint32_t events, void *who, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = who };

	if (epoll_ctl(epoll, op, fd, &e) < 0)
		fail("epoll_ctl");
}

/* ---- HTTP/2, as bytes ---- */

static inline size_t frame(char *out, size_t len, int type, int flags, uint32_t stream)
{
	const unsigned char head[9] = {
		(unsigned char)(len >> 16),
		(unsigned char)(len >> 8),
		(unsigned char)len,
		(unsigned char)type,
		(unsigned char)flags,
		(unsigned char)(stream >> 24),
		(unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8),
		(unsigned char)stream,
	};

	memcpy(out, head, sizeof(head));
	return sizeof(head);
}

#define DATA	    0
#define HEADERS	    1
#define SETTINGS    4
#define END_STREAM  1
#define END_HEADERS 4
#define ACK	    1

static const char grpc_type[] = "\x0f\x10\x10"
				"application/grpc";
static const char message[] = "\0\0\0\0\5hello";
#define MESSAGE (sizeof(message) - 1)

static inline size_t piece(char *out, int type, int flags, uint32_t stream, const char *data,
			   size_t len)
{
	size_t head = frame(out, len, type, flags, stream);

	memcpy(out + head, data, len);
	return head + len;
}

static inline size_t h2_answer(char *out, uint32_t stream, bool grpc)
{
	static const char trailer[] = "\0\x0bgrpc-status\x01"
				      "0";
	char block[64] = "\x88";
	size_t n;

	if (!grpc) {
		n = piece(out, HEADERS, END_HEADERS, stream, "\x88", 1);
		return n + piece(out + n, DATA, END_STREAM, stream, "hello", 5);
	}
	memcpy(block + 1, grpc_type, sizeof(grpc_type) - 1);
	n = piece(out, HEADERS, END_HEADERS, stream, block, sizeof(grpc_type));
	n += piece(out + n, DATA, 0, stream, message, MESSAGE);
	return n + piece(out + n, HEADERS, END_HEADERS | END_STREAM, stream, trailer,
			 sizeof(trailer) - 1);
}

#endif
