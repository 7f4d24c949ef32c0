// SPDX-License-Identifier: GPL-2.0-or-later
/* The resolver against a DNS server of this thread's own, which says what a test wants it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What it answers. */
enum says {
	SAYS_ADDRESS, /* 192.0.2.1 (A) and nothing (AAAA) */
	SAYS_BOTH,    /* 192.0.2.1 and 2001:db8::1 */
	SAYS_NO_NAME, /* NXDOMAIN */
	SAYS_REFUSED, /* REFUSED */
	SAYS_PTR,     /* web.shop.example and api.shop.example, and other.invalid before */
	SAYS_GARBAGE, /* noise, then another number, then another question; then as SAYS_ADDRESS */
	SAYS_NOTHING,
};

struct server {
	struct loop_source source;
	enum says says;
	unsigned asked;
	uint8_t ttl;
	char last[256]; /* the name that was asked last */
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
	struct resolver *again; /* asks the same again when it is told */
	struct waiter *cancels;
};

static void keep(struct waiter *w, const struct resolver_answer *answer)
{
	w->told++;
	w->answer = *answer;
	if (answer->count)
		w->first = answer->addresses[0];
	memcpy(w->name, answer->name.ptr ? answer->name.ptr : "", answer->name.len);
	w->name[answer->name.len] = '\0';
}

static void on_done(struct resolver_request *request, const struct resolver_answer *answer)
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

static void put(uint8_t **at, const void *bytes, size_t len)
{
	memcpy(*at, bytes, len);
	*at += len;
}

/* One record of the question's own name. */
static void put_record(uint8_t **at, uint8_t type, uint8_t ttl, const void *data, uint8_t len)
{
	const uint8_t head[] = { 0xc0, 12, 0, type, 0, 1, 0, 0, 0, ttl, 0, len };

	put(at, head, sizeof(head));
	put(at, data, len);
}

static unsigned put_answers(const struct server *s, uint8_t type, uint8_t **at)
{
	static const uint8_t v4[] = { 192, 0, 2, 1 };
	static const uint8_t v6[] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

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

static void server_ready(struct loop_source *source, uint32_t events)
{
	struct server *s = CONTAINER_OF(source, struct server, source);
	uint8_t message[512], question[512], *at;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(source->fd, question, sizeof(question), 0, (struct sockaddr *)&from,
			       &from_len);
	size_t out = 0;

	(void)events;
	assert_true(len > 16);
	s->asked++;
	for (const uint8_t *label = question + 12; *label; label += 1 + *label) {
		memcpy(s->last + out, label + 1, *label);
		out += *label;
		s->last[out++] = '.';
	}
	s->last[out] = '\0';
	if (s->says == SAYS_NOTHING)
		return;
	memcpy(message, question, (size_t)len);
	at = message + len;
	message[2] |= 0x80;
	message[3] = s->says == SAYS_NO_NAME ? 3 : s->says == SAYS_REFUSED ? 5 : 0;
	if (message[3] == 0)
		message[7] = (uint8_t)put_answers(s, question[len - 3], &at);
	if (s->says == SAYS_GARBAGE) {
		sendto(source->fd, "noise", 5, 0, (struct sockaddr *)&from, from_len);
		message[0] ^= 1;
		sendto(source->fd, message, (size_t)(at - message), 0, (struct sockaddr *)&from,
		       from_len);
		message[0] ^= 1;
		message[13] ^= 1;
		sendto(source->fd, message, (size_t)(at - message), 0, (struct sockaddr *)&from,
		       from_len);
		message[13] ^= 1;
	}
	sendto(source->fd, message, (size_t)(at - message), 0, (struct sockaddr *)&from, from_len);
}

static int setup(void **state)
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

static int teardown(void **state)
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
static void renew(struct stage *t)
{
	resolver_free(t->resolver);
	t->resolver = resolver_new(&t->config, &t->loop, t->shard, NULL);
	assert_non_null(t->resolver);
}

/* Says something else in resolv.conf, which is @n s newer than the epoch. */
static void write_conf(struct stage *t, const char *text, time_t n)
{
	const struct timespec times[2] = { { n, 0 }, { n, 0 } };
	int file = open(t->resolv_conf, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(file >= 0);
	assert_true(dprintf(file, "%s", text) > 0);
	assert_int_equal(futimens(file, times), 0);
	close(file);
}

/* Goes round until @w was told. */
static void run_until(struct stage *t, const struct waiter *w)
{
	while (!w->told) {
		uint64_t wake = resolver_wake(t->resolver), now = loop_clock();

		assert_true(wake != UINT64_MAX);
		loop_wait(&t->loop, wake > now ? (int)((wake - now) / 1000000) + 1 : 0);
		resolver_tick(t->resolver);
	}
}

static struct waiter waiter(void)
{
	return (struct waiter){ .request = { .done = on_done } };
}

/* Asks and waits for the answer. */
static struct waiter addresses(struct stage *t, const char *name)
{
	struct waiter w = waiter();

	if (resolver_addresses(t->resolver, span_str(name), &w.request, &w.answer))
		keep(&w, &w.answer);
	else
		run_until(t, &w);
	return w;
}

static struct waiter ptr(struct stage *t, const char *address)
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

static void test_addresses(void **state)
{
	struct stage *t = *state;
	char text[ADDR_TEXT_MAX];
	struct waiter w;

	t->server.says = SAYS_BOTH;
	w = addresses(t, "Web.example.");
	assert_int_equal(w.answer.result, DNS_ANSWERED);
	assert_int_equal(w.answer.count, 2);
	assert_int_equal(t->server.asked, 2);
	/* From the cache; in another case. */
	w = addresses(t, "wEB.EXAMPLE.");
	assert_int_equal(w.answer.count, 2);
	assert_int_equal(t->server.asked, 2);
	t->server.says = SAYS_ADDRESS;
	w = addresses(t, "v4.example.");
	assert_int_equal(w.answer.count, 1);
	assert_string_equal(addr_text(&w.first, text), "192.0.2.1");
}

static void test_search_domains(void **state)
{
	struct stage *t = *state;
	struct waiter w;

	t->server.says = SAYS_NO_NAME;
	w = addresses(t, "web");
	assert_int_equal(w.answer.result, DNS_NEGATIVE);
	/* web.shop.example, web.example, web: A and AAAA of each. */
	assert_int_equal(t->server.asked, 6);
	t->server.says = SAYS_ADDRESS;
	w = addresses(t, "api");
	assert_int_equal(w.answer.result, DNS_ANSWERED);
	assert_string_equal(t->server.last, "api.shop.example.");
	assert_true(resolver_searches(t->resolver, SPAN_LIT("x.example")));
	assert_false(resolver_searches(t->resolver, SPAN_LIT("example")));
	assert_false(resolver_searches(t->resolver, SPAN_LIT("x.example.com")));
}

static void test_negative_answers_and_failures_are_kept(void **state)
{
	struct stage *t = *state;

	t->server.says = SAYS_NO_NAME;
	assert_int_equal(addresses(t, "no.example.").answer.result, DNS_NEGATIVE);
	assert_int_equal(ptr(t, "10.0.0.1").answer.result, DNS_NEGATIVE);
	t->server.says = SAYS_REFUSED;
	assert_int_equal(addresses(t, "refused.example.").answer.result, DNS_FAILED);
	t->server.asked = 0;
	t->server.says = SAYS_ADDRESS;
	assert_int_equal(addresses(t, "no.example.").answer.result, DNS_NEGATIVE);
	assert_int_equal(ptr(t, "10.0.0.1").answer.result, DNS_NEGATIVE);
	assert_int_equal(addresses(t, "refused.example.").answer.result, DNS_FAILED);
	assert_int_equal(t->server.asked, 0);
}

static void test_names_that_nobody_has(void **state)
{
	static const char *const names[] = {
		"", ".", "a..b", ".a", "a b", "a/b", "::1", "a\xc3\xa4"
	};
	struct stage *t = *state;
	char label[66], name[256];

	memset(label, 'a', sizeof(label));
	label[64] = '\0';
	memset(name, 'a', sizeof(name));
	for (size_t i = 40; i < sizeof(name); i += 40)
		name[i] = '.';
	name[254] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(addresses(t, names[i]).answer.result, DNS_NEGATIVE);
	assert_int_equal(addresses(t, label).answer.result, DNS_NEGATIVE);
	assert_int_equal(addresses(t, name).answer.result, DNS_NEGATIVE);
	assert_int_equal(t->server.asked, 0);
	assert_int_equal(resolver_wake(t->resolver), UINT64_MAX);
}

static void test_ptr(void **state)
{
	struct stage *t = *state;
	struct waiter w;

	t->server.says = SAYS_PTR;
	w = ptr(t, "10.0.0.1");
	assert_int_equal(w.answer.result, DNS_ANSWERED);
	/* Below a search domain, and the first of these. */
	assert_string_equal(w.name, "api.shop.example");
	assert_string_equal(t->server.last, "1.0.0.10.in-addr.arpa.");
	assert_string_equal(ptr(t, "10.0.0.1").name, "api.shop.example");
	assert_int_equal(t->server.asked, 1);
	assert_int_equal(ptr(t, "fd00::1").answer.result, DNS_ANSWERED);
}

static void test_an_old_name_serves_while_it_is_renewed(void **state)
{
	struct stage *t = *state;
	struct resolver_answer answer;
	struct addr a;

	t->server.says = SAYS_PTR;
	t->server.ttl = 0; /* a second, at least */
	assert_int_equal(ptr(t, "10.0.0.1").answer.result, DNS_ANSWERED);
	assert_int_equal(addr_parse(SPAN_LIT("10.0.0.1"), &a, NULL), 0);
	usleep(1100000);
	t->server.says = SAYS_NOTHING;
	assert_true(resolver_ptr(t->resolver, &a, NULL, &answer));
	assert_int_equal(answer.result, DNS_ANSWERED);
	loop_wait(&t->loop, 1000);
	assert_int_equal(t->server.asked, 2);
	/* It is asked once at a time. */
	assert_true(resolver_ptr(t->resolver, &a, NULL, &answer));
	assert_int_equal(answer.result, DNS_ANSWERED);
	loop_wait(&t->loop, 0);
	assert_int_equal(t->server.asked, 2);
}

static void test_the_same_question_is_joined(void **state)
{
	struct stage *t = *state;
	struct waiter w[3] = { waiter(), waiter(), waiter() };

	t->server.says = SAYS_ADDRESS;
	for (int i = 0; i < 3; i++)
		assert_false(resolver_addresses(t->resolver, SPAN_LIT("web.example."),
						&w[i].request, &w[i].answer));
	/* One who is told asks something else; another is cancelled before, and twice. */
	w[0].again = t->resolver;
	resolver_cancel(&w[1].request);
	resolver_cancel(&w[1].request);
	run_until(t, &w[2]);
	run_until(t, &w[0]);
	assert_int_equal(w[1].told, 0);
	assert_int_equal(w[2].answer.count, 1);
	assert_int_equal(t->server.asked, 2);
	w[0].told = 0;
	run_until(t, &w[0]);
	assert_int_equal(t->server.asked, 4);
}

static void test_one_cancels_another(void **state)
{
	struct stage *t = *state;
	struct waiter w[2] = { waiter(), waiter() };

	t->server.says = SAYS_ADDRESS;
	w[0].cancels = &w[1];
	w[1].cancels = &w[0];
	for (int i = 0; i < 2; i++)
		assert_false(resolver_addresses(t->resolver, SPAN_LIT("web.example."),
						&w[i].request, &w[i].answer));
	while (!w[0].told && !w[1].told) {
		loop_wait(&t->loop, 100);
		resolver_tick(t->resolver);
	}
	assert_int_equal(w[0].told + w[1].told, 1);
}

static void test_questions_under_way_are_bounded(void **state)
{
	struct stage *t = *state;
	struct waiter w[6];
	char name[32];

	t->server.says = SAYS_NOTHING;
	for (int i = 0; i < 6; i++) {
		w[i] = waiter();
		snprintf(name, sizeof(name), "n%d.example.", i);
		assert_int_equal(resolver_addresses(t->resolver, span_str(name), &w[i].request,
						    &w[i].answer),
				 i >= 4);
	}
	assert_int_equal(w[4].answer.result, DNS_LIMIT);
	assert_int_equal(w[5].answer.result, DNS_LIMIT);
	/* Freed with all of them under way, and nobody is told. */
}

static void test_silence_is_a_timeout(void **state)
{
	struct stage *t = *state;

	t->server.says = SAYS_NOTHING;
	assert_int_equal(ptr(t, "10.0.0.1").answer.result, DNS_TIMEOUT);
	assert_int_equal(t->server.asked, 2);
}

/* Whoever keeps asking a server that is dead: another one in resolv.conf is asked all the same. */
static void test_a_new_resolv_conf_is_read_with_questions_under_way(void **state)
{
	struct stage *t = *state;
	struct waiter w[2] = { waiter(), waiter() };

	t->config.timeout_ms = 60000;
	t->config.check_ms = 1;
	renew(t);
	t->server.says = SAYS_NOTHING;
	assert_false(resolver_addresses(t->resolver, SPAN_LIT("web"), &w[0].request, &w[0].answer));
	assert_false(resolver_addresses(t->resolver, SPAN_LIT("web"), &w[1].request, &w[1].answer));
	while (t->server.asked < 2)
		loop_wait(&t->loop, -1);
	assert_string_equal(t->server.last, "web.shop.example.");
	t->server.says = SAYS_ADDRESS;
	write_conf(t, "search new.example\nnameserver 127.0.0.1\n", 1);
	usleep(2000);
	assert_true(resolver_has_search(t->resolver));
	assert_true(resolver_searches(t->resolver, SPAN_LIT("x.new.example")));
	run_until(t, &w[0]);
	run_until(t, &w[1]);
	assert_int_equal(w[0].answer.result, DNS_ANSWERED);
	assert_int_equal(w[1].told, 1);
	assert_string_equal(t->server.last, "web.new.example.");
	assert_int_equal(t->server.asked, 4);
}

static void test_a_question_is_asked_again_once(void **state)
{
	struct stage *t = *state;
	struct waiter w = waiter();

	t->config.timeout_ms = 60000;
	t->config.check_ms = 1;
	renew(t);
	t->server.says = SAYS_NOTHING;
	assert_false(resolver_addresses(t->resolver, SPAN_LIT("web"), &w.request, &w.answer));
	for (int i = 1; i <= 2; i++) {
		write_conf(t, "search new.example\nnameserver 127.0.0.1\n", i);
		usleep(2000);
		assert_true(resolver_has_search(t->resolver));
	}
	run_until(t, &w);
	assert_int_equal(w.answer.result, DNS_FAILED);
	assert_int_equal(resolver_wake(t->resolver), UINT64_MAX);
}

static void test_lies_are_passed_over(void **state)
{
	struct stage *t = *state;
	struct waiter w;

	t->server.says = SAYS_GARBAGE;
	w = addresses(t, "web.example.");
	assert_int_equal(w.answer.result, DNS_ANSWERED);
	assert_int_equal(w.answer.count, 1);
}

static void test_the_cache_is_bounded(void **state)
{
	struct stage *t = *state;
	char name[32];

	t->server.says = SAYS_ADDRESS;
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "n%d.example.", i);
		assert_int_equal(addresses(t, name).answer.result, DNS_ANSWERED);
	}
	t->server.asked = 0;
	for (int i = 22; i < 30; i++) {
		snprintf(name, sizeof(name), "n%d.example.", i);
		addresses(t, name);
	}
	assert_int_equal(t->server.asked, 0);
	addresses(t, "n21.example.");
	assert_int_equal(t->server.asked, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_addresses),
		TEST(test_search_domains),
		TEST(test_negative_answers_and_failures_are_kept),
		TEST(test_names_that_nobody_has),
		TEST(test_ptr),
		TEST(test_an_old_name_serves_while_it_is_renewed),
		TEST(test_the_same_question_is_joined),
		TEST(test_one_cancels_another),
		TEST(test_questions_under_way_are_bounded),
		TEST(test_silence_is_a_timeout),
		TEST(test_a_new_resolv_conf_is_read_with_questions_under_way),
		TEST(test_a_question_is_asked_again_once),
		TEST(test_lies_are_passed_over),
		TEST(test_the_cache_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
