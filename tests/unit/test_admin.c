// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The admin server over loopback: answers, kept and closed connections, garbage, slow clients and
 * more clients than places. Ports are the kernel's choice, so that runs do not meet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Long enough for any machine; no test waits for it when all is well. */
#define PATIENCE_MS 20000

struct server {
	struct admin *admin;
	struct metrics *metrics;
	int listeners[2];
	uint16_t ports[2];
	_Atomic(const char *) why;
	atomic_uint scrapes;
};

static const char *not_ready(void *ctx)
{
	struct server *s = ctx;

	return atomic_load(&s->why);
}

static void process(void *ctx, struct metrics_process *out)
{
	struct server *s = ctx;

	atomic_fetch_add(&s->scrapes, 1);
	out->used_connections = 42;
}

static int listen_on(int family, uint16_t *port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t len = family == AF_INET ? sizeof(four) : sizeof(six);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, a, len), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, a, &len), 0);
	*port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

static void start_with(struct server *s, const struct admin_config *limits, uint32_t series)
{
	struct metrics_config config = { .max_samples = 20000, .max_names = { 10, 10, 10 } };
	struct err e = ERR_INIT;
	struct metrics_shard *shard;
	struct admin_config admin = *limits;

	*s = (struct server){ .admin = NULL };
	admin.listener_count = 2;
	admin.not_ready = not_ready;
	admin.process = process;
	admin.ctx = s;
	s->metrics = admin.metrics = metrics_new(&config, NULL);
	assert_non_null(s->metrics);
	shard = metrics_shard_new(s->metrics, NULL);
	for (uint32_t i = 0; i < series; i++) {
		struct metric_key key = { .metric = METRIC_CONNECT_DURATION,
					  .port = (uint16_t)(i + 1) };

		metric_observe(metrics_histogram(shard, &key), 1);
	}
	s->listeners[0] = admin.listeners[0] = listen_on(AF_INET, &s->ports[0]);
	s->listeners[1] = admin.listeners[1] = listen_on(AF_INET6, &s->ports[1]);
	assert_int_equal(admin_start(&admin, &s->admin, &e), 0);
}

static void start(struct server *s, unsigned max_clients, unsigned request_ms, unsigned idle_ms,
		  uint32_t series)
{
	const struct admin_config limits = {
		.max_clients = max_clients,
		.request_limit_ms = request_ms,
		.idle_limit_ms = idle_ms,
	};

	start_with(s, &limits, series);
}

static void stop(struct server *s)
{
	admin_stop(s->admin);
	close(s->listeners[0]);
	close(s->listeners[1]);
	metrics_free(s->metrics);
}

static int dial(const struct server *s, int family)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT,
				    .sin6_port = htons(s->ports[1]) };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons(s->ports[0]) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (family == AF_INET)
		assert_int_equal(connect(fd, (struct sockaddr *)&four, sizeof(four)), 0);
	else
		assert_int_equal(connect(fd, (struct sockaddr *)&six, sizeof(six)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What comes until the connection ends, or until @want bytes are there; NUL-terminated, owned. */
static char *hear(int fd, size_t want)
{
	char *text = calloc(1, 1);
	size_t len = 0;

	while (len < want) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("nothing came after '%s'", text);
		text = realloc(text, len + 65536 + 1);
		assert_non_null(text);
		n = recv(fd, text + len, MIN((size_t)65536, want - len), 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
	}
	return text;
}

/* Sends @request on a new connection and hears all of the answer. */
static char *ask(const struct server *s, int family, const char *request)
{
	int fd = dial(s, family);
	char *text;

	say(fd, request);
	text = hear(fd, SIZE_MAX);
	close(fd);
	return text;
}

static void expect(const struct server *s, const char *request, const char *begins,
		   const char *ends)
{
	for (int i = 0; i < 2; i++) {
		char *text = ask(s, i ? AF_INET6 : AF_INET, request);
		size_t len = strlen(text);

		if (strncmp(text, begins, strlen(begins)) != 0 || len < strlen(ends) ||
		    strcmp(text + len - strlen(ends), ends) != 0)
			fail_msg("'%s': got '%s'", request, text);
		free(text);
	}
}

#define CLOSE "Host: x\r\nConnection: keep-alive, Close\r\n\r\n"

static void test_answers(void **state)
{
	struct server s;
	char *text;

	(void)state;
	start(&s, 0, 0, 0, 3);
	expect(&s, "GET /live HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n", "\r\n\r\nlive\n");
	expect(&s, "GET /ready?x=y HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n", "\r\n\r\nready\n");
	atomic_store(&s.why, "draining");
	expect(&s, "GET /ready HTTP/1.0\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n",
	       "\r\n\r\ndraining\n");
	expect(&s, "GET /live HTTP/1.0\n\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nlive\n");
	expect(&s, "HEAD /live HTTP/1.1\r\n" CLOSE,
	       "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
	       "Content-Length: 5\r\n",
	       "\r\n\r\n");
	expect(&s, "GET // HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found\r\n", "\n");
	expect(&s, "GET / HTTP/1.1\r\n" CLOSE, "HTTP/1.1 403 Forbidden\r\n", "\n");
	expect(&s, "GET /metricsx HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found\r\n", "\n");
	expect(&s, "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
	       "HTTP/1.1 405 Method Not Allowed\r\n", "only GET and HEAD\n");
	text = ask(&s, AF_INET, "DELETE /live HTTP/1.1\r\n" CLOSE);
	assert_non_null(strstr(text, "\r\nAllow: GET, HEAD\r\n"));
	free(text);
	expect(&s, "\r\n\r\nGET /live HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n", "live\n");
	text = ask(&s, AF_INET6, "GET /metrics HTTP/1.1\r\n" CLOSE);
	assert_non_null(
		strstr(text, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(text, "\nsluice_connections_used 42\n"));
	assert_non_null(strstr(text, "sluice_connect_duration_seconds_count{direction=\"inbound\","
				     "server_port=\"3\"} 1\n"));
	free(text);
	stop(&s);
}

static void test_garbage(void **state)
{
	struct server s;
	char *big = malloc(100000);

	(void)state;
	assert_non_null(big);
	start(&s, 0, 0, 0, 0);
	expect(&s, "\x16\x03\x01 hello\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\n");
	expect(&s, "GET /live\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\n");
	memset(big, 'a', 99999);
	memcpy(big, "GET /live HTTP/1.1\r\nX: ", 23);
	big[99999] = '\0';
	/* What is still being sent does not reset the answer away. */
	expect(&s, big, "HTTP/1.1 431 Request Header Fields Too Large\r\n", "\n");
	expect(&s, "GET /live HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n", "live\n");
	free(big);
	stop(&s);
}

/* Requests on one connection: one by one, a byte at a time, and several at once. */
static void test_kept_connection(void **state)
{
	static const char request[] = "GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server s;
	size_t len;
	char *text;
	int fd;

	(void)state;
	start(&s, 0, 0, 0, 0);
	text = ask(&s, AF_INET, "GET /live HTTP/1.1\r\n" CLOSE);
	len = strlen(text) - strlen("Connection: close\r\n");
	free(text);
	fd = dial(&s, AF_INET);
	for (int i = 0; i < 3; i++) {
		say(fd, request);
		text = hear(fd, len);
		assert_non_null(strstr(text, "\r\n\r\nlive\n"));
		assert_null(strstr(text, "Connection"));
		free(text);
	}
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
	free(hear(fd, len));
	for (int i = 0; i < 5; i++)
		say(fd, request);
	say(fd, "GET /live HTTP/1.1\r\n" CLOSE);
	text = hear(fd, SIZE_MAX);
	assert_int_equal(strlen(text), 6 * len + strlen("Connection: close\r\n"));
	free(text);
	close(fd);
	stop(&s);
}

/* A client that does not read holds a place, and loses it when its time is over. */
static void test_slow_reader(void **state)
{
	struct server s;
	int slow[4], small = 4096;
	char *text;

	(void)state;
	start(&s, 4, 300, 300, 900);
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		slow[i] = dial(&s, AF_INET);
		setsockopt(slow[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		for (int n = 0; n < 20; n++)
			say(slow[i], "GET /metrics HTTP/1.1\r\n\r\n");
	}
	/* All places are taken by requests; this one waits in the queue, and is served. */
	text = ask(&s, AF_INET, "GET /live HTTP/1.1\r\n" CLOSE);
	assert_non_null(strstr(text, "live"));
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
		text = hear(slow[i], SIZE_MAX);
		/* Cut off: there would have been twenty. */
		assert_true(atomic_load(&s.scrapes) < 80);
		free(text);
		close(slow[i]);
	}
	stop(&s);
}

/* Half a request, or none, is not waited for for ever. */
static void test_slow_writer(void **state)
{
	struct server s;
	int silent, half;

	(void)state;
	start(&s, 2, 100, 100, 0);
	silent = dial(&s, AF_INET);
	half = dial(&s, AF_INET6);
	say(half, "GET /live HTT");
	free(hear(silent, SIZE_MAX));
	free(hear(half, SIZE_MAX));
	expect(&s, "GET /live HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n", "live\n");
	close(silent);
	close(half);
	stop(&s);
}

/* Kept connections give way: the one that has been idle the longest goes. */
static void test_idle_gives_way(void **state)
{
	struct server s;
	size_t length;
	char *text;
	int kept[3];

	(void)state;
	start(&s, 3, 0, 0, 0);
	text = ask(&s, AF_INET, "GET /live HTTP/1.1\r\n" CLOSE);
	length = strlen(text) - strlen("Connection: close\r\n");
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		kept[i] = dial(&s, AF_INET);
		say(kept[i], "GET /live HTTP/1.1\r\n\r\n");
		free(hear(kept[i], 5));
		/* The server counts milliseconds. */
		poll(NULL, 0, 3);
	}
	free(ask(&s, AF_INET, "GET /live HTTP/1.1\r\n" CLOSE));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		char *rest = hear(kept[i], i ? length - 5 : SIZE_MAX);

		assert_int_equal(strlen(rest), length - 5);
		free(rest);
		if (i == 0)
			continue;
		say(kept[i], "GET /live HTTP/1.1\r\n\r\n");
		rest = hear(kept[i], length);
		assert_int_equal(strlen(rest), length);
		free(rest);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		close(kept[i]);
	stop(&s);
}

/* Longer than anybody waits here: only another client can end such a one. */
#define FOREVER_MS (10 * PATIENCE_MS)

static void expect_live(const struct server *s)
{
	char *text = ask(s, AF_INET, "GET /live HTTP/1.1\r\n" CLOSE);

	assert_non_null(strstr(text, "live"));
	free(text);
}

/* Half requests give way, too, the oldest first; the others can still be completed. */
static void test_halves_give_way(void **state)
{
	const struct admin_config limits = {
		.max_clients = 3,
		.head_limit_ms = FOREVER_MS,
		.request_limit_ms = FOREVER_MS,
	};
	struct server s;
	int half[3];
	char *text;

	(void)state;
	start_with(&s, &limits, 0);
	for (size_t i = 0; i < ARRAY_SIZE(half); i++) {
		half[i] = dial(&s, AF_INET);
		say(half[i], "GET /live HTT");
		poll(NULL, 0, 3);
	}
	expect_live(&s);
	text = hear(half[0], SIZE_MAX);
	assert_string_equal(text, "");
	free(text);
	say(half[2], "P/1.1\r\n" CLOSE);
	text = hear(half[2], SIZE_MAX);
	assert_non_null(strstr(text, "live"));
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(half); i++)
		close(half[i]);
	stop(&s);
}

/* The rest of a head has a limit of its own. */
static void test_slow_head(void **state)
{
	const struct admin_config limits = { .head_limit_ms = 100, .request_limit_ms = FOREVER_MS };
	struct server s;
	int half;

	(void)state;
	start_with(&s, &limits, 0);
	half = dial(&s, AF_INET);
	say(half, "GET /live HTT");
	free(hear(half, SIZE_MAX));
	close(half);
	stop(&s);
}

/* So do those who take nothing of their answers. */
static void test_stalled_give_way(void **state)
{
	const struct admin_config limits = { .max_clients = 2, .request_limit_ms = FOREVER_MS };
	int stalled[2], small = 4096;
	struct server s;

	(void)state;
	start_with(&s, &limits, 900);
	for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
		stalled[i] = dial(&s, AF_INET);
		setsockopt(stalled[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		for (int n = 0; n < 20; n++)
			say(stalled[i], "GET /metrics HTTP/1.1\r\n\r\n");
		free(hear(stalled[i], 1));
	}
	expect_live(&s);
	for (size_t i = 0; i < ARRAY_SIZE(stalled); i++)
		close(stalled[i]);
	stop(&s);
}

/* Takes every descriptor there is; returns how many. */
static size_t take_descriptors(int *taken, size_t max)
{
	size_t count = 0;

	while (count < max && (taken[count] = dup(0)) >= 0)
		count++;
	assert_in_range(count, 1, max - 1);
	assert_int_equal(errno, EMFILE);
	return count;
}

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Flows have used all descriptors but those that are kept: all places are still there. */
static void test_out_of_descriptors(void **state)
{
	const struct admin_config limits = { .max_clients = 4, .head_limit_ms = FOREVER_MS };
	struct rlimit before, few;
	struct server s;
	int taken[512], clients[4];
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	size_t count, kept;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = ARRAY_SIZE(taken) / 2;
	start_with(&s, &limits, 3);
	to.sin_port = htons(s.ports[0]);
	kept = open_descriptors();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
			clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		count = take_descriptors(taken, ARRAY_SIZE(taken));
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			assert_int_equal(connect(clients[i], (struct sockaddr *)&to, sizeof(to)),
					 0);
			say(clients[i], "GET /live HTTP/1.1\r\n\r\nGET /live");
			free(hear(clients[i], 20));
		}
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			char *text;

			say(clients[i], " HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n" CLOSE);
			text = hear(clients[i], SIZE_MAX);
			assert_non_null(strstr(text, "\nsluice_connections_used 42\n"));
			assert_null(strstr(text, "\nprocess_resident_memory_bytes 0\n"));
			free(text);
		}
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
			close(clients[i]);
		while (count)
			close(taken[--count]);
		/* Each place has its placeholder again. */
		for (int ms = 0; open_descriptors() != kept && ms < PATIENCE_MS; ms++)
			poll(NULL, 0, 1);
		assert_int_equal(open_descriptors(), kept);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	stop(&s);
}

static void test_stop_with_clients(void **state)
{
	struct server s;
	int fd, half;

	(void)state;
	start(&s, 0, 0, 0, 900);
	fd = dial(&s, AF_INET);
	half = dial(&s, AF_INET);
	say(half, "GET /");
	for (int i = 0; i < 10; i++)
		say(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	free(hear(fd, 1));
	stop(&s);
	close(fd);
	close(half);
	admin_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),		  cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_kept_connection),	  cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_slow_writer),	  cmocka_unit_test(test_idle_gives_way),
		cmocka_unit_test(test_halves_give_way),	  cmocka_unit_test(test_slow_head),
		cmocka_unit_test(test_stalled_give_way),  cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_stop_with_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
