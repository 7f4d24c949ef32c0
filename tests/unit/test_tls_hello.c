// SPDX-License-Identifier: GPL-2.0-or-later
/* ClientHellos, however records and reads cut them, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tls_hello.h"

struct bytes {
	uint8_t data[40000];
	size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->data));
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_number(struct bytes *b, uint32_t number, unsigned bytes)
{
	while (bytes--) {
		uint8_t byte = (uint8_t)(number >> (8 * bytes));

		put(b, &byte, 1);
	}
}

/* Puts the length of what has come since @start before it, where there is room for it. */
static void close_vector(struct bytes *b, size_t start, unsigned bytes)
{
	uint32_t len = (uint32_t)(b->len - start);

	while (bytes--) {
		b->data[--start] = (uint8_t)len;
		len >>= 8;
	}
}

static size_t open_vector(struct bytes *b, unsigned bytes)
{
	put_number(b, 0, bytes);
	return b->len;
}

struct hello {
	const char *sni;	      /* NULL: no such extension */
	const char *alpn[4];	      /* NULL ends it */
	uint16_t legacy, versions[4]; /* 0 ends it */
	size_t padding;		      /* of an extension that nobody reads */
};

static void put_extensions(struct bytes *b, const struct hello *h)
{
	size_t extension, list, item;

	put_number(b, 0x2a2a, 2); /* GREASE */
	put_number(b, 0, 2);
	put_number(b, 21, 2);
	extension = open_vector(b, 2);
	for (size_t i = 0; i < h->padding; i++)
		put_number(b, 0, 1);
	close_vector(b, extension, 2);
	if (h->sni) {
		put_number(b, 0, 2);
		extension = open_vector(b, 2);
		list = open_vector(b, 2);
		put_number(b, 9, 1); /* a kind of name that nobody knows */
		put_number(b, 0, 2);
		put_number(b, 0, 1);
		item = open_vector(b, 2);
		put(b, h->sni, strlen(h->sni));
		close_vector(b, item, 2);
		close_vector(b, list, 2);
		close_vector(b, extension, 2);
	}
	put_number(b, 16, 2);
	extension = open_vector(b, 2);
	list = open_vector(b, 2);
	for (size_t i = 0; h->alpn[i]; i++) {
		item = open_vector(b, 1);
		put(b, h->alpn[i], strlen(h->alpn[i]));
		close_vector(b, item, 1);
	}
	close_vector(b, list, 2);
	close_vector(b, extension, 2);
	if (h->versions[0]) {
		put_number(b, 43, 2);
		extension = open_vector(b, 2);
		list = open_vector(b, 1);
		for (size_t i = 0; i < 4 && h->versions[i]; i++)
			put_number(b, h->versions[i], 2);
		close_vector(b, list, 1);
		close_vector(b, extension, 2);
	}
}

static void put_message(struct bytes *b, const struct hello *h)
{
	size_t message, extensions;

	put_number(b, 1, 1);
	message = open_vector(b, 3);
	put_number(b, h->legacy, 2);
	for (unsigned i = 0; i < 32; i++)
		put_number(b, i, 1);
	put_number(b, 0, 1); /* session */
	put_number(b, 0x00021301, 4);
	put_number(b, 0x0100, 2);
	extensions = open_vector(b, 2);
	put_extensions(b, h);
	close_vector(b, extensions, 2);
	close_vector(b, message, 3);
}

/* @message in records of at most @piece bytes. */
static void put_records(struct bytes *b, const struct bytes *message, size_t piece)
{
	for (size_t at = 0; at < message->len; at += piece) {
		size_t len = MIN(piece, message->len - at);

		put_number(b, 0x160301, 3);
		put_number(b, (uint32_t)len, 2);
		put(b, message->data + at, len);
	}
}

/* Reads @b in pieces of @cut bytes, each a copy of its own. */
static enum tls_hello_status read_hello(const struct bytes *b, size_t cut,
					struct tls_hello_said *said)
{
	struct tls_hello t = { 0 };
	enum tls_hello_status status = TLS_HELLO_MORE;

	for (size_t at = 0; at < b->len && status == TLS_HELLO_MORE; at += cut) {
		size_t len = MIN(cut, b->len - at);
		char *copy = malloc(len);

		assert_non_null(copy);
		memcpy(copy, b->data + at, len);
		status = tls_hello_feed(&t, SPAN(copy, len), said);
		free(copy);
		assert_true(t.room <= TLS_HELLO_MAX + 4);
	}
	assert_true(status == TLS_HELLO_MORE || !t.message);
	tls_hello_fini(&t);
	return status;
}

static void check(const struct hello *h, const char *sni, const char *alpn,
		  enum tls_version version)
{
	static const size_t records[] = { 16384, 1000, 100, 7, 1 };
	static const size_t cuts[] = { 40000, 1460, 64, 5, 3, 1 };
	static struct bytes message;

	message.len = 0;
	put_message(&message, h);
	for (size_t r = 0; r < ARRAY_SIZE(records); r++) {
		static struct bytes b;

		b.len = 0;
		if (message.len / records[r] > 6000)
			continue;
		put_records(&b, &message, records[r]);
		for (size_t c = 0; c < ARRAY_SIZE(cuts); c++) {
			struct tls_hello_said said;

			assert_int_equal(read_hello(&b, cuts[c], &said), TLS_HELLO_DONE);
			assert_true(span_eq(SPAN(said.name, said.name_len), span_str(sni)));
			assert_true(span_eq(SPAN(said.alpn, said.alpn_len), span_str(alpn)));
			assert_int_equal(said.version, version);
		}
	}
}

static void test_hellos(void **state)
{
	(void)state;
	check(&(struct hello){ .sni = "example.org",
			       .alpn = { "h2", "http/1.1" },
			       .legacy = 0x0303,
			       .versions = { 0x0304, 0x0303 } },
	      "example.org", "h2", TLS_VERSION_1_3);
	/* GREASE everywhere; upper case; a final dot; the newest version is not the first. */
	check(&(struct hello){ .sni = "WWW.Example.ORG.",
			       .alpn = { "\x8a\x8a", "http/1.1" },
			       .legacy = 0x0303,
			       .versions = { 0xfafa, 0x0302, 0x0303, 0x7f1c } },
	      "www.example.org", "http/1.1", TLS_VERSION_1_2);
	check(&(struct hello){ .legacy = 0x0301, .padding = 3000 }, "", "", TLS_VERSION_1_0);
	check(&(struct hello){ .legacy = 0x0305 }, "", "", TLS_VERSION_OTHER);
	check(&(struct hello){ .legacy = 0x0303, .versions = { 0x7f1c } }, "", "",
	      TLS_VERSION_OTHER);
	check(&(struct hello){ .legacy = 0x0303, .versions = { 0x0a0a } }, "", "", TLS_VERSION_1_2);
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"", ".", "a..b", ".a", "a b", "a\nb", "a/b", "\xc3\xa4.de", "a..", "[::1]",
	};
	char longest[260];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(&(struct hello){ .sni = bad[i], .legacy = 0x0303 }, "", "", TLS_VERSION_1_2);
	memset(longest, 'a', sizeof(longest));
	longest[TLS_NAME_MAX] = '\0';
	check(&(struct hello){ .sni = longest, .legacy = 0x0303 }, longest, "", TLS_VERSION_1_2);
	longest[TLS_NAME_MAX] = 'a';
	longest[TLS_NAME_MAX + 1] = '\0';
	check(&(struct hello){ .sni = longest, .legacy = 0x0303 }, "", "", TLS_VERSION_1_2);
	check(&(struct hello){ .sni = "a_b-1.c", .alpn = { "has space" }, .legacy = 0x0303 },
	      "a_b-1.c", "", TLS_VERSION_1_2);
}

static void test_given_up(void **state)
{
	static struct bytes message, b;
	struct tls_hello_said said;

	(void)state;
	put_message(&message, &(struct hello){ .sni = "x", .legacy = 0x0303 });
	/* Another type of record, of message; an empty record; one too long; a strange version. */
	for (unsigned i = 0; i < 5; i++) {
		static const struct {
			size_t at;
			uint8_t byte;
		} changes[] = { { 0, 23 }, { 5, 2 }, { 6, 1 }, { 1, 2 }, { 3, 0x41 } };

		b.len = 0;
		put_records(&b, &message, 16384);
		b.data[changes[i].at] = changes[i].byte;
		for (size_t cut = 1; cut < 200; cut += 13)
			assert_int_equal(read_hello(&b, cut, &said), TLS_HELLO_GIVE_UP);
	}
	b.len = 0;
	put_number(&b, 0x160301, 3);
	put_number(&b, 0, 2);
	assert_int_equal(read_hello(&b, 5, &said), TLS_HELLO_GIVE_UP);
	/* Every length that does not fit: given up, or (in an extension) some of it read. */
	for (size_t at = 9; at < message.len; at++) {
		b.len = 0;
		put_records(&b, &message, 16384);
		b.data[5 + at] = 0xff;
		read_hello(&b, 40000, &said);
		b.len -= 3;
		assert_int_not_equal(read_hello(&b, 40000, &said), TLS_HELLO_DONE);
	}
}

static void test_size(void **state)
{
	static struct bytes message, b;
	struct tls_hello_said said;

	(void)state;
	/* The longest that is read, in two records; and one byte more. */
	for (size_t padding = 16000; padding < 16500; padding++) {
		enum tls_hello_status expect;

		message.len = b.len = 0;
		put_message(&message, &(struct hello){ .legacy = 0x0303, .padding = padding });
		put_records(&b, &message, 9000);
		expect = message.len <= TLS_HELLO_MAX + 4 ? TLS_HELLO_DONE : TLS_HELLO_GIVE_UP;
		assert_int_equal(read_hello(&b, 40000, &said), expect);
		assert_int_equal(read_hello(&b, 1460, &said), expect);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hellos),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
