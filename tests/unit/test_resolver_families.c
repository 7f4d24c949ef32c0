// SPDX-License-Identifier: GPL-2.0-or-later
/* A and AAAA where one of them is late, or never comes. Time-outs are a minute where none is to
 * come, and so is the delay where it is not to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver_stage.h"

#define V4    (1u << ADDR_V4)
#define V6    (1u << ADDR_V6)
#define NEVER 60000

static struct stage *begin(void **state, uint32_t delay_ms)
{
	struct stage *t = *state;

	t->config.timeout_ms = NEVER;
	t->config.delay_ms = delay_ms;
	t->config.max_questions = 100;
	renew(t);
	t->server.says = SAYS_BOTH;
	return t;
}

/* Asks, and is not told at once. */
static void ask(struct stage *t, struct waiter *w, const char *name)
{
	*w = waiter();
	assert_false(resolver_addresses(t->resolver, span_str(name), &w->request, &w->answer));
}

/* Asks what is known. */
static void ask_known(struct stage *t, struct waiter *w, const char *name)
{
	*w = waiter();
	assert_true(resolver_addresses(t->resolver, span_str(name), &w->request, &w->answer));
	keep(w, &w->answer);
}

static void run_until_told(struct stage *t, const struct waiter *w, unsigned times)
{
	while (w->told < times)
		run_once(t);
	assert_int_equal(w->told, times);
}

/* What was asked is at the server, and whatever could come of it has. */
static void run_a_while(struct stage *t)
{
	for (uint64_t end = loop_clock() + 50000000; loop_clock() < end;)
		run_once(t);
}

static uint64_t counted(struct stage *t, enum dns_result result)
{
	return metrics_dns(t->metrics, METRIC_DNS_QUERIES, DNS_ADDRESS, 1u << result);
}

static void check(const struct waiter *w, size_t count, enum addr_family first, bool more)
{
	assert_int_equal(w->answer.result, DNS_ANSWERED);
	assert_int_equal(w->answer.count, count);
	assert_int_equal(w->first.family, first);
	assert_int_equal(w->answer.more, more);
}

static void test_aaaa_is_dropped(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w, other;

	t->server.silent = V6;
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V4, true);
	assert_int_equal(counted(t, DNS_ANSWERED), 1);
	ask_known(t, &other, "web.example.");
	check(&other, 1, ADDR_V4, true);
	assert_int_equal(t->server.asked, 2);
}

static void test_a_is_dropped(void **state)
{
	struct stage *t = begin(state, NEVER);
	struct waiter w;

	t->server.silent = V4;
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V6, true);
}

static void test_late_answers_complete_it(void **state)
{
	for (unsigned late = 0; late < ADDR_FAMILY_COUNT; late++) {
		static const char *const names[] = { "one.example.", "two.example." };
		struct stage *t = begin(state, 1);
		enum addr_family first = late == ADDR_V4 ? ADDR_V6 : ADDR_V4;
		struct waiter w, second, gone;

		t->server.holding = 1u << late;
		ask(t, &w, names[late]);
		run_until_told(t, &w, 1);
		check(&w, 1, first, true);
		ask_known(t, &second, names[late]);
		ask_known(t, &gone, names[late]);
		resolver_cancel(&gone.request);
		release(&t->server);
		run_until_told(t, &w, 2);
		check(&w, 2, ADDR_V6, false);
		run_until_told(t, &second, 2);
		assert_int_equal(gone.told, 1);
		ask_known(t, &w, names[late]);
		check(&w, 2, ADDR_V6, false);
		assert_int_equal(t->server.asked, 2 * (late + 1));
		assert_int_equal(counted(t, DNS_ANSWERED), late + 1);
		assert_true(resolver_wake(t->resolver) == UINT64_MAX);
	}
}

static void test_ipv4_waits_for_the_delay(void **state)
{
	struct stage *t = begin(state, NEVER);
	struct waiter w;

	t->server.holding = V6;
	ask(t, &w, "web.example.");
	while (t->server.asked < 2)
		run_once(t);
	run_a_while(t);
	assert_int_equal(w.told, 0);
	release(&t->server);
	run_until_told(t, &w, 1);
	check(&w, 2, ADDR_V6, false);
}

/* After a time-out the family is not asked for again, unless there is nothing else. */
static void test_what_is_not_answered_is_remembered(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w;

	t->config.timeout_ms = 20;
	renew(t);
	t->server.ttl = 0; /* a second, at least */
	t->server.silent = V6;
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 2);
	check(&w, 1, ADDR_V4, false);
	assert_int_equal(t->server.asked_of[ADDR_V6], 2); /* tried twice */
	usleep(1100000);
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V4, false);
	assert_int_equal(t->server.asked_of[ADDR_V4], 2);
	assert_int_equal(t->server.asked_of[ADDR_V6], 2);
	usleep(1100000);
	t->server.silent = 0;
	t->server.empty = V4;
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V6, false);
	assert_int_equal(t->server.asked_of[ADDR_V6], 3);
}

/* The TTL holds for what is known in part as well. */
static void test_a_part_expires(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w[2];

	t->server.ttl = 0;
	t->server.holding = V6;
	ask(t, &w[0], "web.example.");
	run_until_told(t, &w[0], 1);
	usleep(1100000);
	ask(t, &w[1], "web.example.");
	run_until_told(t, &w[1], 1);
	check(&w[1], 1, ADDR_V4, false);
	assert_int_equal(t->server.asked_of[ADDR_V4], 2);
	assert_int_equal(t->server.asked_of[ADDR_V6], 1);
	/* Who has waited for more has all that there is. */
	run_until_told(t, &w[0], 2);
	check(&w[0], 1, ADDR_V4, false);
	/* What comes of the old question is nobody's. */
	release(&t->server);
	while (resolver_wake(t->resolver) != UINT64_MAX)
		run_once(t);
	assert_int_equal(w[1].told, 1);
}

static void test_one_family_is_refused(void **state)
{
	struct stage *t = begin(state, NEVER);
	struct waiter w;

	t->server.refused = V6;
	w = addresses(t, "web.example.");
	check(&w, 1, ADDR_V4, false);
	t->server.refused = V4;
	ask(t, &w, "api.example.");
	run_until_told(t, &w, 2);
	check(&w, 1, ADDR_V6, false);
	t->server.empty = V6;
	assert_int_equal(addresses(t, "log.example.").answer.result, DNS_FAILED);
}

static void test_search_domains_with_one_family(void **state)
{
	static const unsigned silent[] = { V4, V6 };

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		struct stage *t = begin(state, 1);
		enum addr_family other = silent[i] == V4 ? ADDR_V6 : ADDR_V4;
		struct waiter w;

		t->server.only = "web.example.";
		t->server.silent = silent[i];
		t->server.asked_of[other] = 0;
		ask(t, &w, "web");
		run_until_told(t, &w, 1);
		check(&w, 1, other, true);
		assert_int_equal(t->server.asked_of[other], 2);
		assert_string_equal(t->server.last, "web.example.");
		t->server.only = "another.example.";
		assert_int_equal(addresses(t, "nobody").answer.result, DNS_NEGATIVE);
	}
}

/* "No such name" of AAAA is not believed at once where it is not so. */
/* As glibc's: a server may know nothing but its own domain. */
static void test_servers_that_fail_for_other_names(void **state)
{
	static const struct {
		const char *conf, *name, *found;
	} cases[] = {
		{ "search a.example b.example\n", "web.x", "web.x.b.example." },
		{ "search a.example b.example\noptions ndots:2\n", "web.x", "web.x." },
	};
	static const uint8_t codes[] = { 2, 5 }; /* SERVFAIL, REFUSED */
	struct stage *t = begin(state, NEVER);
	char conf[256];
	struct waiter w;

	t->config.check_ms = 1;
	renew(t);
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(codes); i++) {
		snprintf(conf, sizeof(conf), "nameserver 127.0.0.1\n%s", cases[i / 2].conf);
		write_conf(t, conf, (time_t)i + 1);
		usleep(2000);
		assert_true(resolver_has_search(t->resolver)); /* reads it */
		t->server.denies = codes[i % 2];
		t->server.only = cases[i / 2].found;
		w = addresses(t, cases[i / 2].name);
		assert_int_equal(w.answer.result, DNS_ANSWERED);
		/* That nobody has it is what nobody said. */
		t->server.only = "another.";
		assert_int_equal(addresses(t, "no.x").answer.result, DNS_FAILED);
	}
}

static void test_a_server_that_denies_names_for_want_of_aaaa(void **state)
{
	struct stage *t = begin(state, NEVER);
	struct waiter w;

	t->server.nameless = V6;
	t->server.holding = V4;
	ask(t, &w, "web");
	while (t->server.asked < 2)
		run_once(t);
	run_a_while(t);
	assert_int_equal(w.told, 0);
	release(&t->server);
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V4, false);
	assert_int_equal(t->server.asked, 2);
}

static void test_a_name_of_ipv6_alone_is_waited_for(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w;

	t->server.empty = V4;
	t->server.holding = V6;
	ask(t, &w, "web");
	while (t->server.asked < 2)
		run_once(t);
	run_a_while(t);
	assert_int_equal(w.told, 0);
	release(&t->server);
	run_until_told(t, &w, 1);
	check(&w, 1, ADDR_V6, false);
	assert_string_equal(t->server.last, "web.shop.example.");
}

static void test_other_servers_while_something_is_late(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w, after;

	t->config.check_ms = 1;
	renew(t);
	t->server.silent = V6;
	ask(t, &w, "web.example.");
	run_until_told(t, &w, 1);
	t->server.silent = 0;
	write_conf(t, "search new.example\nnameserver 127.0.0.1\n", 1);
	usleep(2000);
	assert_true(resolver_has_search(t->resolver)); /* reads it */
	after = addresses(t, "web.example.");
	check(&after, 2, ADDR_V6, false);
	assert_int_equal(t->server.asked, 4);
	run_until_told(t, &w, 2);
	assert_false(w.answer.more);
}

/* Questions that nobody waits for: not too many, and no flow waits for want of them. */
static void test_late_questions_are_bounded(void **state)
{
	struct stage *t = begin(state, 1);
	struct waiter w[20];
	char name[32];

	t->config.max_entries = ARRAY_SIZE(w);
	t->config.max_questions = 4;
	renew(t);
	t->server.silent = V6;
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		snprintf(name, sizeof(name), "n%zu.example.", i);
		ask(t, &w[i], name);
		run_until_told(t, &w[i], 1);
		check(&w[i], 1, ADDR_V4, i < 4);
	}
	assert_int_equal(t->server.asked_of[ADDR_V6], 4);
	/* What has but IPv6 addresses is found all the same. */
	t->server.silent = 0;
	t->server.empty = V4;
	ask(t, &w[0], "v6.example.");
	run_until_told(t, &w[0], 1);
	check(&w[0], 1, ADDR_V6, false);
	/* Freed with four of them under way. */
}

static void test_room_for_both_families(void **state)
{
	struct stage *t = begin(state, NEVER);
	unsigned of[ADDR_FAMILY_COUNT] = { 0 };
	struct waiter w;

	t->server.says = SAYS_MANY;
	w = addresses(t, "web.example.");
	check(&w, RESOLVER_ADDRESSES_MAX, ADDR_V6, false);
	for (size_t i = 0; i < w.answer.count; i++)
		of[w.list[i].family]++;
	assert_int_equal(of[ADDR_V4], of[ADDR_V6]);
	t->server.empty = V6;
	w = addresses(t, "v4.example.");
	check(&w, MANY, ADDR_V4, false);
}

static void test_which_names_are_asked_for(void **state)
{
	static const struct {
		const char *conf, *name, *asked;
	} cases[] = {
		{ "search a.example b.example\n", "web", "web.a.example. web.b.example. web. " },
		{ "search a.example b.example\n", "web.x",
		  "web.x. web.x.a.example. web.x.b.example. " },
		{ "search a.example b.example\noptions ndots:2\n", "web.x",
		  "web.x.a.example. web.x.b.example. web.x. " },
		{ "search a.example b.example\noptions ndots:2\n", "web.x.", "web.x. " },
		{ "search . a.example\n", "web", "web.a.example. web. " },
		{ "search a.example\n", "localhost", "" },
		{ "search a.example\n", "web.onion", "" },
		{ "search a.example\n", "onion.", "" },
	};
	struct stage *t = begin(state, NEVER);
	char conf[256];

	t->server.says = SAYS_NO_NAME;
	t->config.check_ms = 1;
	renew(t);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(conf, sizeof(conf), "nameserver 127.0.0.1\n%s", cases[i].conf);
		write_conf(t, conf, (time_t)i + 1);
		usleep(2000);
		assert_true(resolver_has_search(t->resolver)); /* reads it */
		t->server.log[0] = '\0';
		addresses(t, cases[i].name);
		assert_string_equal(t->server.log, cases[i].asked);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_aaaa_is_dropped),
		TEST(test_a_is_dropped),
		TEST(test_late_answers_complete_it),
		TEST(test_ipv4_waits_for_the_delay),
		TEST(test_what_is_not_answered_is_remembered),
		TEST(test_a_part_expires),
		TEST(test_one_family_is_refused),
		TEST(test_search_domains_with_one_family),
		TEST(test_servers_that_fail_for_other_names),
		TEST(test_a_server_that_denies_names_for_want_of_aaaa),
		TEST(test_a_name_of_ipv6_alone_is_waited_for),
		TEST(test_other_servers_while_something_is_late),
		TEST(test_late_questions_are_bounded),
		TEST(test_room_for_both_families),
		TEST(test_which_names_are_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
