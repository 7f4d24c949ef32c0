/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A resolver and a DNS server of this thread's own, which says what a test wants it to. */
#ifndef SLUICE_TEST_RESOLVER_STAGE_H
#define SLUICE_TEST_RESOLVER_STAGE_H

#include "resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 12

/* What it answers. */
enum says {
	SAYS_ADDRESS, /* 192.0.2.1 (A) and nothing (AAAA) */
	SAYS_BOTH,    /* 192.0.2.1 and 2001:db8::1 */
	SAYS_NO_NAME, /* NXDOMAIN */
	SAYS_REFUSED, /* REFUSED */
	SAYS_PTR,     /* web.shop.example and api.shop.example, and other.invalid before */
	SAYS_GARBAGE, /* noise, then another number, then another question; then as SAYS_ADDRESS */
	SAYS_MANY,    /* MANY addresses of each family */
	SAYS_NOTHING,
};

/* A question, to be answered later. */
struct held {
	struct sockaddr_in from;
	size_t len;
	uint8_t question[512];
};

struct server {
	struct loop_source source;
	enum says says;
	/* Families that are treated otherwise, by 1 << enum addr_family. */
	unsigned silent, refused, nameless, empty, holding;
	const char *only; /* the one name that there is; NULL: all are */
	uint8_t denies;	  /* what the others are answered with; 0: NXDOMAIN */
	struct held held[8];
	unsigned held_count;
	unsigned asked, asked_of[ADDR_FAMILY_COUNT];
	uint8_t ttl;
	char last[256]; /* the name that was asked last */
	char log[1024]; /* those that A was asked of, each with a blank behind */
};

struct stage {
	struct loop loop;
	struct server server;
	struct metrics *metrics;
	struct resolver *resolver;
	char resolv_conf[64];
	struct resolver_config config;
	struct metrics_shard *shard;
};

struct waiter {
	struct resolver_request request;
	struct resolver_answer answer;
	struct addr first;
	char name[256];
	unsigned told;
	struct addr list[RESOLVER_ADDRESSES_MAX];
	struct resolver *again; /* asks the same again when it is told */
	struct waiter *cancels;
};

static inline void keep(struct waiter *w, const struct resolver_answer *answer)
{
	w->told++;
	w->answer = *answer;
	if (answer->count) {
		w->first = answer->addresses[0];
		memcpy(w->list, answer->addresses, answer->count * sizeof(w->list[0]));
	}
	memcpy(w->name, answer->name.ptr ? answer->name.ptr : "", answer->name.len);
	w->name[answer->name.len] = '\0';
}

static inline void on_done(struct resolver_request *request, const struct resolver_answer *answer)
{
	struct waiter *w = CONTAINER_OF(request, struct waiter, request);
	struct resolver_answer other;

	keep(w, answer);
	if (w->cancels)
		resolver_cancel(&w->cancels->request);
	if (w->again) {
		struct resolver *r = w->again;

		w->again = NULL;
		assert_false(resolver_addresses(r, SPAN_LIT("another.example."), request, &other));
	}
}

static inline void put(uint8_t **at, const void *bytes, size_t len)
{
	memcpy(*at, bytes, len);
	*at += len;
}

/* One record of the question's own name. */
static inline void put_record(uint8_t **at, uint8_t type, uint8_t ttl, const void *data,
			      uint8_t len)
{
	const uint8_t head[] = { 0xc0, 12, 0, type, 0, 1, 0, 0, 0, ttl, 0, len };

	put(at, head, sizeof(head));
	put(at, data, len);
}

static inline unsigned put_answers(const struct server *s, uint8_t type, uint8_t **at)
{
	static const uint8_t v4[] = { 192, 0, 2, 1 };
	static const uint8_t v6[] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

	if (type != 12 && s->empty >> (type == 28 ? ADDR_V6 : ADDR_V4) & 1)
		return 0;
	if (s->says == SAYS_MANY) {
		uint8_t data[16] = { 0x20, 1, 0xd, 0xb8 };

		for (uint8_t i = 1; i <= MANY; i++) {
			data[type == 1 ? 3 : 15] = i;
			put_record(at, type, s->ttl, data, type == 1 ? 4 : 16);
		}
		return MANY;
	}
	if (s->says == SAYS_PTR && type == 12) {
		put_record(at, 12, s->ttl, "\5other\7invalid\0", 15);
		put_record(at, 12, s->ttl, "\3web\4shop\7example\0", 18);
		put_record(at, 12, s->ttl, "\3API\4shop\7example\0", 18);
		return 3;
	}
	if (type == 1 && s->says != SAYS_PTR) {
		put_record(at, 1, s->ttl, v4, 4);
		return 1;
	}
	if (type == 28 && s->says == SAYS_BOTH) {
		put_record(at, 28, s->ttl, v6, 16);
		return 1;
	}
	return 0;
}

/* Questions of other kinds count as of IPv4. */
static inline enum addr_family family_of(const struct held *q)
{
	return q->question[q->len - 3] == 28 ? ADDR_V6 : ADDR_V4;
}

static inline void name_of(const struct held *q, char name[256])
{
	size_t out = 0;

	for (const uint8_t *label = q->question + 12; *label; label += 1 + *label) {
		memcpy(name + out, label + 1, *label);
		out += *label;
		name[out++] = '.';
	}
	name[out] = '\0';
}

/* Says what there is to say to @q. */
static inline void answer(struct server *s, const struct held *q)
{
	const struct sockaddr *to = (const struct sockaddr *)&q->from;
	enum addr_family family = family_of(q);
	char name[256];
	uint8_t message[512], *at = message + q->len;
	int fd = s->source.fd;

	name_of(q, name);
	memcpy(message, q->question, q->len);
	message[2] |= 0x80;
	message[3] = s->only && strcmp(s->only, name) != 0 ? (s->denies ? s->denies : 3)
		     : s->says == SAYS_NO_NAME || s->nameless >> family & 1 ? 3
		     : s->says == SAYS_REFUSED || s->refused >> family & 1  ? 5
									    : 0;
	if (message[3] == 0)
		message[7] = (uint8_t)put_answers(s, q->question[q->len - 3], &at);
	if (s->says == SAYS_GARBAGE) {
		sendto(fd, "noise", 5, 0, to, sizeof(q->from));
		message[0] ^= 1;
		sendto(fd, message, (size_t)(at - message), 0, to, sizeof(q->from));
		message[0] ^= 1;
		message[13] ^= 1;
		sendto(fd, message, (size_t)(at - message), 0, to, sizeof(q->from));
		message[13] ^= 1;
	}
	sendto(fd, message, (size_t)(at - message), 0, to, sizeof(q->from));
}

static inline void server_ready(struct loop_source *source, uint32_t events)
{
	struct server *s = CONTAINER_OF(source, struct server, source);
	struct held q;
	socklen_t from_len = sizeof(q.from);
	ssize_t len = recvfrom(source->fd, q.question, sizeof(q.question), 0,
			       (struct sockaddr *)&q.from, &from_len);
	enum addr_family family;

	(void)events;
	assert_true(len > 16);
	q.len = (size_t)len;
	family = family_of(&q);
	s->asked++;
	s->asked_of[family]++;
	name_of(&q, s->last);
	if (family == ADDR_V4) {
		size_t end = strlen(s->log);

		assert_true(end + strlen(s->last) + 2 < sizeof(s->log));
		snprintf(s->log + end, sizeof(s->log) - end, "%s ", s->last);
	}
	if (s->says == SAYS_NOTHING || s->silent >> family & 1)
		return;
	if (s->holding >> family & 1) {
		assert_true(s->held_count < ARRAY_SIZE(s->held));
		s->held[s->held_count++] = q;
		return;
	}
	answer(s, &q);
}

/* Answers what it has held back. */
static inline void release(struct server *s)
{
	for (unsigned i = 0; i < s->held_count; i++)
		answer(s, &s->held[i]);
	s->held_count = 0;
}

static inline int setup(void **state)
{
	static const struct metrics_config config = { .max_samples = 1000 };
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	struct stage *t = calloc(1, sizeof(*t));
	int file;

	*state = t;
	assert_int_equal(loop_open(&t->loop, NULL), 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	t->server.ttl = 30;
	t->server.source =
		(struct loop_source){ .fd = socket(AF_INET, SOCK_DGRAM, 0), .ready = server_ready };
	assert_int_equal(bind(t->server.source.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(t->server.source.fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(loop_watch(&t->loop, &t->server.source, EPOLLIN), 0);
	strcpy(t->resolv_conf, "/tmp/sluice-resolv.XXXXXX");
	file = mkstemp(t->resolv_conf);
	assert_true(file >= 0);
	assert_true(dprintf(file, "search shop.example example\nnameserver 127.0.0.1\n") > 0);
	close(file);
	t->metrics = metrics_new(&config, NULL);
	t->shard = metrics_shard_new(t->metrics, NULL);
	t->config = (struct resolver_config){
		.resolv_conf = t->resolv_conf,
		.port = ntohs(at.sin_port),
		.timeout_ms = 500,
		.max_entries = 8,
		.max_questions = 4,
	};
	t->resolver = resolver_new(&t->config, &t->loop, t->shard, NULL);
	assert_non_null(t->resolver);
	return 0;
}

static inline int teardown(void **state)
{
	struct stage *t = *state;

	resolver_free(t->resolver);
	metrics_free(t->metrics);
	close(t->server.source.fd);
	loop_close(&t->loop);
	unlink(t->resolv_conf);
	free(t);
	return 0;
}

/* Another resolver, by a config that was changed. */
static inline void renew(struct stage *t)
{
	resolver_free(t->resolver);
	t->resolver = resolver_new(&t->config, &t->loop, t->shard, NULL);
	assert_non_null(t->resolver);
}

/* Says something else in resolv.conf, which is @n s newer than the epoch. */
static inline void write_conf(struct stage *t, const char *text, time_t n)
{
	const struct timespec times[2] = { { n, 0 }, { n, 0 } };
	int file = open(t->resolv_conf, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(file >= 0);
	assert_true(dprintf(file, "%s", text) > 0);
	assert_int_equal(futimens(file, times), 0);
	close(file);
}

/* Goes round once, as the proxy's threads do. */
static inline void run_once(struct stage *t)
{
	uint64_t wake = resolver_wake(t->resolver), now = loop_clock();

	assert_true(wake != UINT64_MAX);
	loop_wait(&t->loop, wake > now ? (int)((wake - now) / 1000000) + 1 : 0);
	resolver_tick(t->resolver);
}

/* Goes round until @w was told. */
static inline void run_until(struct stage *t, const struct waiter *w)
{
	while (!w->told)
		run_once(t);
}

static inline struct waiter waiter(void)
{
	return (struct waiter){ .request = { .done = on_done } };
}

/* Asks and waits for the whole answer. */
static inline struct waiter addresses(struct stage *t, const char *name)
{
	struct waiter w = waiter();

	if (resolver_addresses(t->resolver, span_str(name), &w.request, &w.answer))
		keep(&w, &w.answer);
	while (!w.told || w.answer.more)
		run_once(t);
	return w;
}

static inline struct waiter ptr(struct stage *t, const char *address)
{
	struct waiter w = waiter();
	struct addr a;

	assert_int_equal(addr_parse(span_str(address), &a, NULL), 0);
	if (resolver_ptr(t->resolver, &a, &w.request, &w.answer))
		keep(&w, &w.answer);
	else
		run_until(t, &w);
	return w;
}

#endif
