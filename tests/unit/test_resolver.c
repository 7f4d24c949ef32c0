// SPDX-License-Identifier: GPL-2.0-or-later
/* The resolver against a DNS server of this thread's own, which says what a test wants it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver_stage.h"

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
