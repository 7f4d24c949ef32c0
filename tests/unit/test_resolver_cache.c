// SPDX-License-Identifier: GPL-2.0-or-later
/* The cache of the resolver: bounded, by use, and never without those that are at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver_cache.h"

static struct span key_of(char text[16], unsigned n)
{
	return SPAN(text, (size_t)snprintf(text, 16, "name%u", n));
}

static struct cache_entry *add(struct resolver_cache *c, unsigned n)
{
	char text[16];

	return resolver_cache_add(c, DNS_ADDRESS, key_of(text, n));
}

static struct cache_entry *find(struct resolver_cache *c, unsigned n)
{
	char text[16];

	return resolver_cache_find(c, DNS_ADDRESS, key_of(text, n));
}

static void test_the_least_recently_used_goes(void **state)
{
	struct resolver_cache c;

	(void)state;
	resolver_cache_init(&c, 100);
	for (unsigned n = 0; n < 100; n++)
		assert_non_null(add(&c, n));
	/* The first fifty are used again. */
	for (unsigned n = 0; n < 50; n++)
		assert_non_null(find(&c, n));
	for (unsigned n = 100; n < 150; n++)
		assert_non_null(add(&c, n));
	assert_int_equal(c.count, 100);
	assert_int_equal(c.counts[DNS_ADDRESS], 100);
	for (unsigned n = 0; n < 150; n++) {
		if (n < 50 || n >= 100)
			assert_non_null(find(&c, n));
		else
			assert_null(find(&c, n));
	}
	resolver_cache_fini(&c);
	assert_int_equal(c.count, 0);
}

static void test_what_is_at_work_stays(void **state)
{
	struct resolver_cache c;
	struct cache_entry *e[3];

	(void)state;
	resolver_cache_init(&c, 3);
	for (unsigned n = 0; n < 3; n++)
		e[n] = add(&c, n);
	e[0]->asking = true;
	e[1]->queued = true;
	e[2]->telling = true;
	assert_null(add(&c, 3));
	resolver_cache_forget(&c);
	assert_int_equal(c.count, 3);
	e[1]->queued = false;
	assert_non_null(add(&c, 4));
	assert_null(find(&c, 1));
	assert_ptr_equal(find(&c, 0), e[0]);
	resolver_cache_forget(&c);
	assert_int_equal(c.count, 2);
	assert_null(find(&c, 4));
	resolver_cache_fini(&c);
}

static void test_questions_are_told_apart(void **state)
{
	struct resolver_cache c;
	struct cache_entry *a, *b;

	(void)state;
	resolver_cache_init(&c, 10);
	a = resolver_cache_add(&c, DNS_ADDRESS, SPAN_LIT("\x0a\1\2\3"));
	b = resolver_cache_add(&c, DNS_PTR, SPAN_LIT("\x0a\1\2\3"));
	assert_ptr_equal(resolver_cache_find(&c, DNS_ADDRESS, SPAN_LIT("\x0a\1\2\3")), a);
	assert_ptr_equal(resolver_cache_find(&c, DNS_PTR, SPAN_LIT("\x0a\1\2\3")), b);
	assert_null(resolver_cache_find(&c, DNS_PTR, SPAN_LIT("\x0a\1\2\4")));
	assert_null(resolver_cache_find(&c, DNS_PTR, SPAN_LIT("\x0a\1\2")));
	resolver_cache_fini(&c);
}

static void test_an_answer_takes_the_place_of_another(void **state)
{
	struct resolver_cache c;
	struct cache_entry *e;

	(void)state;
	resolver_cache_init(&c, 10);
	e = add(&c, 1);
	assert_false(e->known);
	resolver_cache_answer(e, DNS_ANSWERED, "first", 5, 5, 100);
	assert_true(e->known);
	assert_int_equal(e->result, DNS_ANSWERED);
	assert_memory_equal(e->data, "first", 5);
	resolver_cache_answer(e, DNS_NEGATIVE, NULL, 0, 0, 200);
	assert_int_equal(e->result, DNS_NEGATIVE);
	assert_null(e->data);
	assert_int_equal(e->count, 0);
	assert_int_equal(e->expires, 200);
	resolver_cache_fini(&c);
}

static void test_an_unused_one_takes_nothing(void **state)
{
	struct resolver_cache c;

	(void)state;
	resolver_cache_init(&c, 10);
	assert_null(find(&c, 1));
	assert_null(c.lists);
	resolver_cache_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_least_recently_used_goes),
		cmocka_unit_test(test_what_is_at_work_stays),
		cmocka_unit_test(test_questions_are_told_apart),
		cmocka_unit_test(test_an_answer_takes_the_place_of_another),
		cmocka_unit_test(test_an_unused_one_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
