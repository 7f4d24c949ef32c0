// SPDX-License-Identifier: GPL-2.0-or-later
/* gzip by pieces: zlib's own inflater gives back what went in, whatever the pieces were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gzip.h"

#include <errno.h>
#include <zlib.h>

struct text {
	char *bytes;
	size_t len;
};

static int add(void *to, struct span piece)
{
	struct text *t = to;

	t->bytes = realloc(t->bytes, t->len + piece.len);
	assert_non_null(t->bytes);
	memcpy(t->bytes + t->len, piece.ptr, piece.len);
	t->len += piece.len;
	return 0;
}

static void inflate_is(const struct text *packed, const char *text, size_t len)
{
	char *out = malloc(len + 1);
	z_stream s = { .next_in = (Bytef *)packed->bytes, .avail_in = (uInt)packed->len };

	assert_non_null(out);
	assert_int_equal(inflateInit2(&s, 15 + 16), Z_OK);
	s.next_out = (Bytef *)out;
	s.avail_out = (uInt)len + 1;
	assert_int_equal(inflate(&s, Z_FINISH), Z_STREAM_END);
	assert_int_equal(s.total_out, len);
	assert_int_equal(s.avail_in, 0);
	assert_memory_equal(out, text, len);
	inflateEnd(&s);
	free(out);
}

static void test_round_trip(void **state)
{
	static const size_t lens[] = { 0, 1, 1000, 8192, 300000 };
	char *text = malloc(300000);
	unsigned random = 1;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < 300000; i++) {
		random = random * 1103515245u + 12345;
		/* Half of it cannot be made smaller: what comes out is more than one piece. */
		text[i] = i < 150000 ? (char)(random >> 16) : (char)('a' + i % 7);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t piece = 1; piece < 400000; piece = piece * 7 + 1) {
			struct text packed = { NULL, 0 };
			struct gzip *g = gzip_new(add, &packed);

			assert_non_null(g);
			for (size_t at = 0; at < lens[i]; at += piece)
				assert_int_equal(
					gzip_write(g, SPAN(text + at, MIN(piece, lens[i] - at))),
					0);
			assert_int_equal(gzip_finish(g), 0);
			gzip_free(g);
			inflate_is(&packed, text, lens[i]);
			free(packed.bytes);
		}
	}
	free(text);
	gzip_free(NULL);
}

static int refuse(void *to, struct span piece)
{
	(void)to, (void)piece;
	return -ENOMEM;
}

static void test_failure_is_told(void **state)
{
	struct gzip *g = gzip_new(refuse, NULL);

	(void)state;
	assert_non_null(g);
	assert_int_equal(gzip_finish(g), -ENOMEM);
	gzip_free(g);
}

/* A sink that has moved: the rest goes to where it is now. */
static void test_redirect(void **state)
{
	struct text first = { NULL, 0 }, second = { NULL, 0 };
	struct gzip *g = gzip_new(add, &first);

	(void)state;
	assert_non_null(g);
	assert_int_equal(gzip_write(g, SPAN_LIT("abc")), 0);
	second = first;
	first.bytes = NULL;
	gzip_redirect(g, &second);
	assert_int_equal(gzip_finish(g), 0);
	gzip_free(g);
	assert_null(first.bytes);
	inflate_is(&second, "abc", 3);
	free(second.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_failure_is_told),
		cmocka_unit_test(test_redirect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
