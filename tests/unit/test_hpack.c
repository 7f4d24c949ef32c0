// SPDX-License-Identifier: GPL-2.0-or-later
/* HPACK: the examples of RFC 7541 appendix C, its errors, and the bounds of our table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hpack.h"

struct block {
	uint8_t bytes[1024];
	size_t len;
};

static void put(struct block *b, const char *hex)
{
	unsigned byte;

	for (; *hex; hex += 2) {
		while (*hex == ' ')
			hex++;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		b->bytes[b->len++] = (uint8_t)byte;
	}
}

static const char *const names[HPACK_NAME_COUNT] = {
	"other",	"method", "status", "content-type", "grpc-status",
	"grpc-timeout", "trace",  "path",   "authority",    "host",
};

/* Appends what a field says: "name number 'text' size". */
static void print(char *out, const struct hpack_field *f)
{
	struct span text = hpack_text_span(f->text);

	sprintf(out + strlen(out), "%s %u '%.*s' %u\n", names[f->name], f->number, SPAN_FMT(text),
		(unsigned)f->size);
}

/* Decodes a block in pieces of @cut bytes, each a copy of its own. */
static enum hpack_status decode(struct hpack *h, const struct block *b, size_t cut, char *out)
{
	size_t at = 0;

	out[0] = '\0';
	while (at < b->len) {
		size_t n = MIN(cut, b->len - at);
		char *copy = malloc(n);
		struct span piece = SPAN(copy, n);
		struct hpack_field f;
		enum hpack_status status;

		assert_non_null(copy);
		memcpy(copy, b->bytes + at, n);
		while ((status = hpack_next(h, &piece, &f)) == HPACK_FIELD)
			print(out, &f);
		assert_true(status != HPACK_MORE || piece.len == 0);
		free(copy);
		if (status != HPACK_MORE)
			return status;
		at += n;
	}
	return hpack_end_block(h) ? HPACK_MORE : HPACK_BAD;
}

struct example {
	const char *hex, *expect;
	uint32_t size, count; /* of the table afterwards */
};

static void check_examples(const struct example *e, size_t count, uint32_t max)
{
	for (size_t cut = 1; cut <= 64; cut++) {
		struct hpack h;

		hpack_init(&h);
		if (max)
			hpack_set_ceiling(&h, max);
		for (size_t i = 0; i < count; i++) {
			struct block b = { .len = 0 };
			char out[1024];

			put(&b, e[i].hex);
			assert_int_equal(decode(&h, &b, cut, out), HPACK_MORE);
			assert_string_equal(out, e[i].expect);
			assert_int_equal(h.table.size, e[i].size);
			assert_int_equal(h.table.count, e[i].count);
		}
		hpack_fini(&h);
	}
}

#define C3_1 "method 1 '' 42\nother 0 '' 43\npath 0 '/' 38\nauthority 0 'www.example.com' 57\n"
#define C3_3                                                       \
	"method 1 '' 42\nother 0 '' 44\npath 0 '/index.html' 48\n" \
	"authority 0 'www.example.com' 57\nother 0 '' 54\n"

/* Appendix C.2 (single fields), C.3 and C.4 (requests, without and with Huffman). */
static void test_requests(void **state)
{
	static const struct example singles[] = {
		{ "400a637573746f6d2d6b65790d637573746f6d2d686561646572", "other 0 '' 55\n", 55,
		  1 },
		{ "040c2f73616d706c652f70617468", "path 0 '/sample/path' 49\n", 55, 1 },
		{ "100870617373776f726406736563726574", "other 0 '' 46\n", 55, 1 },
		{ "82", "method 1 '' 42\n", 55, 1 },
	};
	static const struct example plain[] = {
		{ "828684410f7777772e6578616d706c652e636f6d", C3_1, 57, 1 },
		{ "828684be58086e6f2d6361636865", C3_1 "other 0 '' 53\n", 110, 2 },
		{ "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", C3_3, 164, 3 },
	};
	static const struct example huffman[] = {
		{ "828684418cf1e3c2e5f23a6ba0ab90f4ff", C3_1, 57, 1 },
		{ "828684be5886a8eb10649cbf", C3_1 "other 0 '' 53\n", 110, 2 },
		{ "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", C3_3, 164, 3 },
	};

	(void)state;
	check_examples(singles, ARRAY_SIZE(singles), 0);
	check_examples(plain, ARRAY_SIZE(plain), 0);
	check_examples(huffman, ARRAY_SIZE(huffman), 0);
}

#define C5_1 "status 302 '' 42\nother 0 '' 52\nother 0 '' 65\nother 0 '' 63\n"
#define C5_2 "status 307 '' 42\nother 0 '' 52\nother 0 '' 65\nother 0 '' 63\n"
#define C5_3                                                                             \
	"status 200 '' 42\nother 0 '' 52\nother 0 '' 65\nother 0 '' 63\nother 0 '' 52\n" \
	"other 0 '' 98\n"

/* Appendix C.5 and C.6: responses, with a table of 256 bytes that evicts. */
static void test_responses(void **state)
{
	static const struct example plain[] = {
		{ "3fe101"
		  "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a3"
		  "23120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
		  C5_1, 222, 4 },
		{ "4803333037c1c0bf", C5_2, 222, 4 },
		{ "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a6970"
		  "7"
		  "738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d616"
		  "7653d333630303b2076657273696f6e3d31",
		  C5_3, 215, 3 },
	};
	static const struct example huffman[] = {
		{ "3fe101"
		  "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad"
		  "171863c78f0b97c8e9ae82ae43d3",
		  C5_1, 222, 4 },
		{ "4883640effc1c0bf", C5_2, 222, 4 },
		{ "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2"
		  "e"
		  "6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
		  C5_3, 215, 3 },
	};

	(void)state;
	check_examples(plain, ARRAY_SIZE(plain), 0);
	check_examples(huffman, ARRAY_SIZE(huffman), 0);
}

/* Names and values that we read. */
static void test_values(void **state)
{
	static const struct example fields[] = {
		/* content-type: application/grpc+proto, then by its index */
		{ "5f166170706c69636174696f6e2f677270632b70726f746fbe",
		  "content-type 1 '' 66\ncontent-type 1 '' 66\n", 66, 1 },
		{ "0f1009746578742f68746d6c", "content-type 0 '' 53\n", 66, 1 },
		/* grpc-status: 14; grpc-timeout: 1500u; host: a:80; :status: 2oo; :method: BREW */
		{ "400b677270632d7374617475730231 34bebf",
		  "grpc-status 14 '' 45\ngrpc-status 14 '' 45\ncontent-type 1 '' 66\n", 111, 2 },
		{ "000c677270632d74696d656f7574053135303075", "grpc-timeout 2 '' 49\n", 111, 2 },
		{ "660461 3a3830be", "host 0 'a:80' 40\nhost 0 'a:80' 40\n", 151, 3 },
		{ "0803326f6f020442524557", "status 0 '' 42\nmethod 11 '' 43\n", 151, 3 },
	};

	(void)state;
	check_examples(fields, ARRAY_SIZE(fields), 0);
}

static void check_bad(const char *hex, enum hpack_status expect)
{
	for (size_t cut = 1; cut <= 64; cut += 9) {
		struct block b = { .len = 0 };
		struct hpack h;
		char out[1024];

		put(&b, hex);
		hpack_init(&h);
		if (decode(&h, &b, cut, out) != expect)
			fail_msg("%s in pieces of %zu: not what was expected", hex, cut);
		hpack_fini(&h);
	}
}

static void test_errors(void **state)
{
	(void)state;
	check_bad("80", HPACK_BAD);		  /* index 0 */
	check_bad("be", HPACK_BAD);		  /* no such entry */
	check_bad("ff00", HPACK_BAD);		  /* nor this one */
	check_bad("7f000161", HPACK_BAD);	  /* as a name */
	check_bad("ffffffffff0f", HPACK_BAD);	  /* beyond 32 bits */
	check_bad("ff808080808000", HPACK_BAD);	  /* too many bytes of zeros */
	check_bad("3f808080808000", HPACK_BAD);	  /* also where the number itself would do */
	check_bad("8220", HPACK_BAD);		  /* a resize behind a field */
	check_bad("3fe21f", HPACK_BAD);		  /* 4097: above the ceiling */
	check_bad("20203fe11f", HPACK_MORE);	  /* several, up to it */
	check_bad("0001", HPACK_BAD);		  /* ends within a name */
	check_bad("000161", HPACK_BAD);		  /* without a value */
	check_bad("0001610561", HPACK_BAD);	  /* within a value */
	check_bad("00016181ff", HPACK_BAD);	  /* 8 bits of padding */
	check_bad("000161821fff", HPACK_BAD);	  /* 'a', and 11 bits */
	check_bad("00016181 18", HPACK_BAD);	  /* padding of zeros */
	check_bad("00016181 1f", HPACK_MORE);	  /* 'a' and three ones */
	check_bad("00016184ffffffff", HPACK_BAD); /* the end of a string, spelt out */
	check_bad("0001617f82ff3f", HPACK_LIMIT); /* a value of a mebibyte and one */
}

/* The table grows only as far as the other side allows, and as we do. */
static void test_ceiling(void **state)
{
	struct block bigger = { .len = 0 }, huge = { .len = 0 }, full = { .len = 0 };
	struct hpack h;
	char out[1024];

	(void)state;
	put(&bigger, "3fe17f"); /* 16,384 */
	put(&huge, "3fe1ff03"); /* 65,536 */
	hpack_init(&h);
	hpack_set_ceiling(&h, 1u << 20);
	assert_int_equal(decode(&h, &bigger, 1, out), HPACK_MORE);
	assert_int_equal(h.table.max, 16384);
	assert_int_equal(decode(&h, &huge, 1, out), HPACK_LIMIT);
	hpack_fini(&h);

	hpack_init(&h);
	hpack_set_ceiling(&h, 16384);
	assert_int_equal(decode(&h, &bigger, 1, out), HPACK_MORE);
	put(&full, "4000 00"); /* an entry of nothing: 32 bytes */
	for (unsigned i = 0; i < HPACK_ENTRIES_MAX; i++)
		assert_int_equal(decode(&h, &full, 3, out), HPACK_MORE);
	assert_int_equal(decode(&h, &full, 3, out), HPACK_LIMIT);
	hpack_fini(&h);
}

/* More texts than a table keeps: the sizes stay right, the texts are unknown. */
static void test_texts(void **state)
{
	struct hpack h;
	char out[1024];

	(void)state;
	hpack_init(&h);
	for (unsigned i = 0; i < 300; i++) {
		struct block b = { .len = 0 }, again = { .len = 0 };
		char hex[64], expect[64];

		snprintf(hex, sizeof(hex), "4405 2f%02x%02x%02x%02x", '0' + i / 100,
			 '0' + i / 10 % 10, '0' + i % 10, 'z');
		put(&b, hex);
		put(&again, "be");
		snprintf(expect, sizeof(expect), "path 0 '/%03uz' 42\n", i);
		assert_int_equal(decode(&h, &b, 2, out), HPACK_MORE);
		assert_string_equal(out, expect);
		assert_int_equal(decode(&h, &again, 2, out), HPACK_MORE);
		/* The first ones are kept; their places are free again when they leave. */
		if (i < HPACK_TEXTS_MAX)
			assert_string_equal(out, expect);
		else if (i < 4096 / 42)
			assert_string_equal(out, "path 0 '' 42\n");
		else if (i < 4096 / 42 + HPACK_TEXTS_MAX)
			assert_string_equal(out, expect);
		assert_true(h.table.text_count <= HPACK_TEXTS_MAX);
		assert_true(h.table.text_bytes <= HPACK_TEXT_BYTES);
		assert_int_equal(h.table.count, MIN(i + 1, 4096u / 42));
	}
	assert_true(hpack_memory(&h) < 2600);
	hpack_fini(&h);
}

/* A text longer than we keep, and a table that it empties. */
static void test_long(void **state)
{
	struct block b = { .len = 0 }, small = { .len = 0 }, entry = { .len = 0 };
	struct hpack h;
	char out[1024], expect[512];

	(void)state;
	hpack_init(&h);
	put(&b, "447fe101"); /* 352 bytes of path */
	for (unsigned i = 0; i < 352; i++)
		put(&b, "78");
	snprintf(expect, sizeof(expect), "path 0 '%.*s' 389\n", (int)HPACK_TEXT_MAX,
		 (const char *)b.bytes + 4);
	assert_int_equal(decode(&h, &b, 100, out), HPACK_MORE);
	assert_string_equal(out, expect);
	assert_int_equal(h.table.size, 389);
	put(&small, "3f21"); /* a table of 64 bytes */
	assert_int_equal(decode(&h, &small, 1, out), HPACK_MORE);
	assert_int_equal(h.table.count, 0);
	put(&entry, "40016100");
	assert_int_equal(decode(&h, &entry, 512, out), HPACK_MORE);
	assert_int_equal(h.table.count, 1);
	assert_int_equal(decode(&h, &b, 512, out), HPACK_MORE);
	assert_int_equal(h.table.count, 0);
	assert_int_equal(h.table.max, 64);
	hpack_fini(&h);
}

/* Every octet once, encoded by another implementation, in pieces of every size. */
static void test_huffman(void **state)
{
	static const char hex[] =
		"ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3ffff"
		"fa7fffffabffffffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fff"
		"ffffbfffffcffffffd3fffffd7fffffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ff"
		"affcabf1febfafefe7fdfd2cbb00089969b71d79fb9f7fff20ffbff3ff50ddbd7f061c58f265"
		"cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac4"
		"26defe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5ffffb3f"
		"ffeb7fffdaffffb7ffff73fffeeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffffeeff"
		"ffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdafffeeffff4"
		"ffffb7fffee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fffff5ffffecfff"
		"f07fff87fffe0ffff17fffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fffcbff"
		"ff37ffff1fffff83ffffe1fffebfffe3ffff3fffff2ffffa3ffffd9fffff17ffffc7fffff27f"
		"fffdefffffbffffff2fffff8fffffb7fff97fff8fffffe6fffffc1fffff87ffffe7fffffc5ff"
		"ffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9fffff97fffb3ffffcffffb7fffcd"
		"ffff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4fffff5fffffabffffa7ffffd7"
		"fffff9bffffecfffffb7fffff3fffffe8fffffd3fffffabfffff5fffffff7ffffecfffffdbff"
		"fffbbfffff7ffffff0fffffbbf";
	struct block b = { .len = 0 };

	(void)state;
	for (const char *p = hex; *p; p += 2)
		put(&b, (const char[]){ p[0], p[1], '\0' });
	for (size_t cut = 1; cut <= b.len; cut++) {
		struct hpack_huffman u = { 0 };
		char out[256];
		size_t len = 0;

		for (size_t at = 0; at < b.len; at += cut)
			assert_true(hpack_huffman_feed(
				&u, SPAN((const char *)b.bytes + at, MIN(cut, b.len - at)), out,
				sizeof(out), &len));
		assert_true(hpack_huffman_end(&u));
		assert_int_equal(len, sizeof(out));
		for (size_t i = 0; i < sizeof(out); i++)
			assert_int_equal((uint8_t)out[i], i);
	}
}

/* A literal gives the trace; a table keeps its size, and nothing of it. */
static void test_trace(void **state)
{
	static const char name[] = "\x40\x0btraceparent\x37"
				   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	struct span piece = SPAN(name, sizeof(name) - 1);
	struct hpack_field f;
	struct hpack h;

	(void)state;
	hpack_init(&h);
	assert_int_equal(hpack_next(&h, &piece, &f), HPACK_FIELD);
	assert_int_equal(f.name, HPACK_NAME_TRACE);
	assert_true(trace_is_some(&f.trace));
	assert_int_equal(f.trace.span_id[7], 0xb7);
	assert_int_equal(h.table.size, 11 + 55 + 32);
	assert_int_equal(h.table.text_count, 0);
	piece = SPAN_LIT("\xbe");
	assert_int_equal(hpack_next(&h, &piece, &f), HPACK_FIELD);
	assert_int_equal(f.name, HPACK_NAME_TRACE);
	assert_false(trace_is_some(&f.trace));
	hpack_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_responses),
		cmocka_unit_test(test_values),	 cmocka_unit_test(test_errors),
		cmocka_unit_test(test_ceiling),	 cmocka_unit_test(test_texts),
		cmocka_unit_test(test_long),	 cmocka_unit_test(test_huffman),
		cmocka_unit_test(test_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
