// SPDX-License-Identifier: GPL-2.0-or-later
/* PTR records out of messages, good and bad; reverse names; what lies below what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dns_message.h"

struct told {
	unsigned count;
	char names[4][DNS_NAME_MAX + 1];
};

static void on_found(void *ctx, struct span name)
{
	struct told *t = ctx;

	assert_true(dns_name_is_plain(name));
	if (t->count < ARRAY_SIZE(t->names)) {
		memcpy(t->names[t->count], name.ptr, name.len);
		t->names[t->count][name.len] = '\0';
	}
	t->count++;
}

/* The question: 4.3.2.10.in-addr.arpa PTR, at offset 12; 23 bytes of name and 4 more. */
#define QUESTION	"\0014\0013\0012\00210\007in-addr\004arpa\0\0\x0c\0\1"
#define HEADER(answers) "\x12\x34\x81\x80\0\1\0" answers "\0\0\0\0"
/* A PTR record of the question's name, with a TTL of 30. */
#define PTR(len) "\xc0\x0c\0\x0c\0\1\0\0\0\x1e\0" len

static struct told read_all(struct span message, uint32_t *ttl)
{
	struct told t = { 0 };

	unsigned count = dns_ptr_read(message, on_found, &t, ttl);

	assert_int_equal(t.count, count);
	return t;
}

static void test_one_record(void **state)
{
	uint32_t ttl;
	struct told t =
		read_all(SPAN_LIT(HEADER("\1") QUESTION PTR("\x0e") "\3WEB\7example\1a\0"), &ttl);

	(void)state;
	assert_int_equal(t.count, 1);
	assert_string_equal(t.names[0], "web.example.a");
	assert_int_equal(ttl, 30);
}

static void test_several_and_a_cname(void **state)
{
	/* RFC 2317: the question's name is an alias; its TTL counts, too. */
	static const char message[] =
		HEADER("\3") QUESTION "\xc0\x0c\0\5\0\1\0\0\0\x05\0\2\xc0\x0c" PTR(
			"\4") "\2ab\0" PTR("\x0d") "\2cd\7in-addr\xc0\x1d";
	uint32_t ttl;
	struct told t = read_all(SPAN_LIT(message), &ttl);

	(void)state;
	assert_int_equal(t.count, 2);
	assert_string_equal(t.names[0], "ab");
	assert_int_equal(ttl, 5);
}

static void test_compressed(void **state)
{
	/* The pointer leads to "arpa" in the question. */
	static const char message[] = HEADER("\1") QUESTION PTR("\6") "\3web\xc0\x1d";
	uint32_t ttl;
	struct told t = read_all(SPAN_LIT(message), &ttl);

	(void)state;
	assert_int_equal(t.count, 1);
	assert_string_equal(t.names[0], "web.arpa");
}

static void test_names_that_are_no_label(void **state)
{
	static const struct span messages[] = {
		SPAN_LIT(HEADER("\1") QUESTION PTR("\7") "\5a.b_c\0"),
		SPAN_LIT(HEADER("\1") QUESTION PTR("\5") "\3a\"b\0"),
		SPAN_LIT(HEADER("\1") QUESTION PTR("\1") "\0"),
		/* A pointer to itself. */
		SPAN_LIT(HEADER("\1") QUESTION PTR("\2") "\xc0\x33"),
		/* Another class; another type. */
		SPAN_LIT(HEADER("\1") QUESTION "\xc0\x0c\0\x0c\0\3\0\0\0\x1e\0\4\2ab\0"),
		SPAN_LIT(HEADER("\1") QUESTION "\xc0\x0c\0\2\0\1\0\0\0\x1e\0\4\2ab\0"),
	};
	uint32_t ttl;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		assert_int_equal(read_all(messages[i], &ttl).count, 0);
}

static void test_cut_anywhere(void **state)
{
	static const char message[] = HEADER("\1") QUESTION PTR("\x0e") "\3web\7example\1a\0";
	uint32_t ttl;

	(void)state;
	for (size_t len = 0; len < sizeof(message) - 1; len++) {
		/* On the heap, so that a sanitizer sees every byte too far. */
		char *cut = malloc(len + 1);

		memcpy(cut, message, len);
		assert_int_equal(read_all(SPAN(cut, len), &ttl).count, 0);
		free(cut);
	}
}

static void test_the_longest_name(void **state)
{
	char message[512] = HEADER("\1") QUESTION PTR("\xff");
	char *at = message + sizeof(HEADER("\1") QUESTION PTR("\xff")) - 1;
	uint32_t ttl;
	struct told t;

	(void)state;
	/* Four labels: 63, 63, 63 and 61 bytes: 253 with their dots. */
	for (int i = 0; i < 4; i++) {
		int len = i < 3 ? 63 : 61;

		*at++ = (char)len;
		memset(at, 'a' + i, (size_t)len);
		at += len;
	}
	*at++ = 0;
	t = read_all(SPAN(message, (size_t)(at - message)), &ttl);
	assert_int_equal(t.count, 1);
	assert_int_equal(strlen(t.names[0]), DNS_NAME_MAX);
	/* One byte more. */
	at[-63] = 62;
	at[-1] = 'd';
	at[0] = 0;
	message[sizeof(HEADER("\1") QUESTION PTR("")) - 2] = 0;
	assert_int_equal(read_all(SPAN(message, (size_t)(at + 1 - message)), &ttl).count, 0);
}

static void test_reverse_names(void **state)
{
	char text[DNS_REVERSE_MAX];
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse(SPAN_LIT("10.200.3.255"), &a, NULL), 0);
	assert_string_equal(dns_reverse_name(&a, text), "255.3.200.10.in-addr.arpa");
	assert_int_equal(addr_parse(SPAN_LIT("2001:db8::567:89ab"), &a, NULL), 0);
	assert_string_equal(dns_reverse_name(&a, text),
			    "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
			    "ip6.arpa");
}

static void test_below(void **state)
{
	(void)state;
	assert_true(dns_name_below(SPAN_LIT("web.shop.svc"), SPAN_LIT("svc")));
	assert_true(dns_name_below(SPAN_LIT("web.shop.svc"), SPAN_LIT("shop.SVC")));
	assert_false(dns_name_below(SPAN_LIT("shop.svc"), SPAN_LIT("shop.svc")));
	assert_false(dns_name_below(SPAN_LIT(".svc"), SPAN_LIT("svc")));
	assert_false(dns_name_below(SPAN_LIT("a.xsvc"), SPAN_LIT("svc")));
	assert_false(dns_name_below(SPAN_LIT("a.svc"), SPAN_LIT("")));
	assert_false(dns_name_below(SPAN_LIT("a"), SPAN_LIT("much.longer")));
}

static void test_plain(void **state)
{
	char text[DNS_NAME_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(dns_name_is_plain(SPAN(text, DNS_NAME_MAX)));
	assert_false(dns_name_is_plain(SPAN(text, DNS_NAME_MAX + 1)));
	assert_true(dns_name_is_plain(SPAN_LIT("a-0.b")));
	assert_false(dns_name_is_plain(SPAN_LIT("")));
	assert_false(dns_name_is_plain(SPAN_LIT("A")));
	assert_false(dns_name_is_plain(SPAN_LIT("::1")));
	assert_false(dns_name_is_plain(SPAN_LIT("a_b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_several_and_a_cname),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_names_that_are_no_label),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_the_longest_name),
		cmocka_unit_test(test_reverse_names),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
