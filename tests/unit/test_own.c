// SPDX-License-Identifier: GPL-2.0-or-later
/* Which connections are our own: written down by some threads, looked up by others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "own.h"

#include "loop.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

static union sockaddr_any at(const char *text, uint16_t port)
{
	union sockaddr_any sa;
	struct addr a;

	assert_int_equal(addr_parse(span_str(text), &a, NULL), 0);
	sockaddr_set(&sa, &a, port);
	return sa;
}

static void test_claims(void **state)
{
	struct own *o = own_new(2);
	union sockaddr_any v4 = at("10.0.0.1", 40000), v6 = at("fd00::1", 40000);
	union sockaddr_any neighbour = at("10.0.0.1", 40001), other = at("10.0.0.2", 40000);
	struct own_claim one = { 0 }, two = { 0 };

	(void)state;
	assert_non_null(o);
	assert_int_equal(own_before(o, &v4), 0);
	own_claim(o, 0, &v4, 0, &one);
	own_claim(o, 0, &v6, 15, &two);
	assert_int_equal(own_before(o, &v4), 1);
	assert_int_equal(own_before(o, &v6), 16);
	assert_int_equal(own_before(o, &neighbour), 0);
	assert_int_equal(own_before(o, &other), 0);
	own_release(o, &one);
	own_release(o, &one);
	assert_int_equal(own_before(o, &v4), 0);
	assert_int_equal(own_before(o, &v6), 16);
	own_free(o);
}

/* Two from one address and port, towards two destinations, behind @first and @second flows. */
static void check_later(uint8_t first, uint8_t second)
{
	struct own *o = own_new(2);
	union sockaddr_any sa = at("10.0.0.1", 40000);
	struct own_claim one = { 0 }, two = { 0 };

	own_claim(o, 0, &sa, first, &one);
	own_claim(o, 0, &sa, second, &two);
	assert_int_equal(own_before(o, &sa), second + 1);
	own_release(o, &one);
	assert_int_equal(own_before(o, &sa), second + 1);
	own_release(o, &two);
	assert_int_equal(own_before(o, &sa), 0);
	/* Nor does an early one's number come back soon. */
	own_claim(o, 0, &sa, first, &one);
	for (unsigned n = 0; n < 10000; n++) {
		own_claim(o, n % 2, &sa, first, &two);
		if (n % 3 == 0)
			own_release(o, &two);
	}
	own_claim(o, 1, &sa, first, &two);
	own_release(o, &one);
	assert_int_equal(own_before(o, &sa), first + 1);
	own_free(o);
}

static void test_the_later_one_counts(void **state)
{
	(void)state;
	check_later(1, 4);
	check_later(1, 1);
	check_later(0, 0);
}

/* All ports of an address are told apart, nearly all of them at once. */
static void test_many(void **state)
{
	struct own *o = own_new(2);
	unsigned found = 0, wrong = 0;

	(void)state;
	for (uint32_t port = 1; port < 65536; port++) {
		union sockaddr_any sa = at("192.0.2.77", (uint16_t)port);
		struct own_claim claim;

		own_claim(o, 0, &sa, (uint8_t)(port % 16), &claim);
	}
	for (uint32_t port = 1; port < 65536; port++) {
		union sockaddr_any sa = at("192.0.2.77", (uint16_t)port);
		union sockaddr_any stranger = at("192.0.2.78", (uint16_t)port);

		found += own_before(o, &sa) == port % 16 + 1;
		wrong += own_before(o, &stranger) != 0;
	}
	assert_true(found > 35000);
	assert_int_equal(wrong, 0);
	own_free(o);
}

struct early {
	struct own *o;
	union sockaddr_any peer, to;
	_Atomic bool *asks;
	unsigned before;
};

static void *ask(void *arg)
{
	struct early *e = arg;

	atomic_store(e->asks, true);
	e->before = own_before_now(e->o, &e->peer, &e->to);
	return NULL;
}

/* What is not written down yet is waited for, by those who come from where that goes. */
static void test_one_that_is_accepted_early(void **state)
{
	struct own *o = own_new(2);
	union sockaddr_any peer = at("10.0.0.1", 40000), to = at("10.0.0.2", 80);
	union sockaddr_any elsewhere = at("10.0.0.2", 81), other = at("10.0.0.1", 40001);
	unsigned counted = 0;

	(void)state;
	/* Again where this thread stood still for as long as the other waits. */
	for (unsigned n = 0; n < 5000 && counted < 100; n++) {
		struct own_claim claim = { 0 };
		_Atomic bool asks = false;
		struct early e = { o, peer, to, &asks, 99 };
		pthread_t handle;

		own_begin(o, 1, &to);
		assert_int_equal(own_before_now(o, &peer, &elsewhere), 0);
		assert_int_equal(pthread_create(&handle, NULL, ask, &e), 0);
		while (!atomic_load(&asks))
			sched_yield();
		own_claim(o, 1, &peer, 6, &claim);
		pthread_join(handle, NULL);
		assert_true(e.before == 7 || e.before == 0);
		counted += e.before == 7;
		assert_int_equal(own_before_now(o, &other, &to), 0);
		own_release(o, &claim);
		assert_int_equal(own_before_now(o, &peer, &to), 0);
	}
	assert_true(counted > 0);
	own_free(o);
}

/* One that has not connected yet, and one that has failed to, are nobody's guess. */
static void test_who_takes_long_is_not_counted(void **state)
{
	struct own *o = own_new(2);
	union sockaddr_any peer = at("10.0.0.1", 40000), to = at("10.0.0.2", 80);
	struct own_claim claim = { 0 };
	uint64_t asked = loop_clock();

	(void)state;
	own_begin(o, 1, &to);
	assert_int_equal(own_before_now(o, &peer, &to), 0);
	assert_true(loop_clock() - asked >= 2000000u);
	own_claim(o, 1, NULL, 2, &claim);
	assert_int_equal(own_before_now(o, &peer, &to), 0);
	assert_int_equal(claim.mark, 0);
	own_free(o);
}

#define PROXIES 8

struct proxy {
	struct own *o;
	unsigned thread;
	unsigned most;
};

static void rest(long us)
{
	struct timespec t = { .tv_nsec = us * 1000 };

	nanosleep(&t, NULL);
}

/* Takes clients' connections to one destination, and makes its own there. */
static void *serve(void *arg)
{
	struct proxy *p = arg;
	union sockaddr_any to = { .v4 = { .sin_family = AF_INET } }, peer = to, local = to;

	to.v4.sin_addr.s_addr = htonl(0x0a000002);
	sockaddr_set_port(&to, 80);
	peer.v4.sin_addr.s_addr = htonl(0x0a010000 + p->thread);
	local.v4.sin_addr.s_addr = htonl(0x0a020000 + p->thread);
	for (uint16_t n = 1; n <= 1000; n++) {
		struct own_claim claim = { 0 };
		unsigned before;

		sockaddr_set_port(&peer, n);
		sockaddr_set_port(&local, n);
		before = own_before_now(p->o, &peer, &to);
		p->most = MAX(p->most, before);
		own_begin(p->o, p->thread, &to);
		rest(100);
		own_claim(p->o, p->thread, &local, (uint8_t)MIN(before, 100u), &claim);
		own_release(p->o, &claim);
		rest(200);
	}
	return NULL;
}

/* However busy a destination is: who comes from elsewhere is never taken for one of ours. */
static void test_strangers_are_not_counted(void **state)
{
	struct own *o = own_new(PROXIES);
	struct proxy proxies[PROXIES] = { 0 };
	pthread_t handles[PROXIES];

	(void)state;
	for (unsigned i = 0; i < PROXIES; i++) {
		proxies[i] = (struct proxy){ .o = o, .thread = i };
		assert_int_equal(pthread_create(&handles[i], NULL, serve, &proxies[i]), 0);
	}
	for (unsigned i = 0; i < PROXIES; i++)
		pthread_join(handles[i], NULL);
	for (unsigned i = 0; i < PROXIES; i++)
		assert_int_equal(proxies[i].most, 0);
	own_free(o);
}

struct part {
	struct own *o;
	unsigned thread;
	uint16_t first;
	bool failed;
};

static void *claim_and_look(void *arg)
{
	struct part *part = arg;

	for (unsigned n = 0; n < 20000; n++) {
		union sockaddr_any sa = { .v4 = { .sin_family = AF_INET } };
		struct own_claim claim;

		sa.v4.sin_addr.s_addr = htonl(0x0a000001);
		sockaddr_set_port(&sa, (uint16_t)(part->first + n % 8));
		own_begin(part->o, part->thread, &sa);
		own_claim(part->o, part->thread, &sa, 3, &claim);
		part->failed |= own_before(part->o, &sa) != 4;
		own_release(part->o, &claim);
		part->failed |= own_before(part->o, &sa) != 0;
	}
	return NULL;
}

static void test_by_several_threads(void **state)
{
	struct own *o = own_new(2);
	struct part parts[] = { { o, 0, 1000, false }, { o, 1, 2000, false } };
	pthread_t handles[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&handles[i], NULL, claim_and_look, &parts[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(handles[i], NULL);
	assert_false(parts[0].failed || parts[1].failed);
	own_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_the_later_one_counts),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_one_that_is_accepted_early),
		cmocka_unit_test(test_who_takes_long_is_not_counted),
		cmocka_unit_test(test_strangers_are_not_counted),
		cmocka_unit_test(test_by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
