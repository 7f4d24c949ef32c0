// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Header blocks, decoded by us in pieces and by nghttp2 at once: the same fields, the same errors.
 *
 * The input is a script: a byte with a block's length and how it is cut, then the block, and
 * again. The two upper bits say how it is cut (1, 3, 16 bytes, whole). One length means that the
 * peer allows a larger table.
 */
#include "hpack_table.h"

#include "grpc.h"

#include <nghttp2/nghttp2.h>

#define LEN_MASK 0x3f /* of the control byte; the block is four times as long, and one more */
#define LEN_ALL	 0x3f /* all that is left */
#define LEN_RISE 0x3e /* no block: the table may grow to RAISED */
#define RAISED	 70000

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void compare_text(const struct hpack_field *f, struct span value)
{
	struct span text = hpack_text_span(f->text);

	/* What the table had no room to keep is not known. */
	if (!f->text)
		return;
	must(span_eq(text, SPAN(value.ptr, MIN(value.len, HPACK_TEXT_MAX))));
}

static void compare(const struct hpack_field *f, const nghttp2_nv *nv)
{
	struct span name = SPAN((const char *)nv->name, nv->namelen);
	struct span value = SPAN((const char *)nv->value, nv->valuelen);
	struct span kept = SPAN(value.ptr, MIN(value.len, HPACK_TEXT_MAX));

	must(f->name == hpack_name_of(name));
	must(f->size == name.len + value.len + 32);
	switch (f->name) {
	case HPACK_NAME_METHOD:
		must(f->number == (uint32_t)http_method_of(kept));
		break;
	case HPACK_NAME_STATUS:
		must(f->number == 0 || (value.len == 3 && f->number >= 100 && f->number <= 999));
		break;
	case HPACK_NAME_CONTENT_TYPE:
		must(f->number == (uint32_t)grpc_is_content_type(kept));
		break;
	case HPACK_NAME_GRPC_STATUS:
		must(f->number == (uint32_t)grpc_status_of(kept));
		break;
	case HPACK_NAME_GRPC_TIMEOUT:
		must(f->number == grpc_timeout_of(kept));
		break;
	default:
		compare_text(f, value);
		break;
	}
}

/* The oracle's next field. 1: there is one, 0: the block is over, -1: an error. */
static int oracle_next(nghttp2_hd_inflater *o, struct span *block, nghttp2_nv *nv)
{
	for (;;) {
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(o, nv, &flags, (const uint8_t *)block->ptr,
						   block->len, 1);

		if (n < 0)
			return -1;
		*block = SPAN(block->ptr + n, block->len - (size_t)n);
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			return 1;
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(o);
			return 0;
		}
	}
}

/* Our next field, from pieces of @cut bytes. */
static enum hpack_status our_next(struct hpack *h, struct span *block, size_t *in_piece, size_t cut,
				  struct hpack_field *f)
{
	for (;;) {
		struct span piece = SPAN(block->ptr, MIN(block->len, *in_piece));
		size_t had = piece.len;
		enum hpack_status status = hpack_next(h, &piece, f);

		*block = SPAN(block->ptr + had - piece.len, block->len - (had - piece.len));
		*in_piece -= had - piece.len;
		if (status != HPACK_MORE)
			return status;
		must(piece.len == 0);
		if (!block->len)
			return hpack_end_block(h) ? HPACK_MORE : HPACK_BAD;
		*in_piece = cut;
	}
}

/* False: no more blocks can be decoded. */
static bool block(struct hpack *h, nghttp2_hd_inflater *o, struct span bytes, size_t cut)
{
	struct span ours = bytes, theirs = bytes;
	size_t in_piece = cut;

	for (;;) {
		struct hpack_field f;
		nghttp2_nv nv;
		enum hpack_status status = our_next(h, &ours, &in_piece, cut, &f);
		int oracle;

		if (status == HPACK_LIMIT || status == HPACK_NOMEM)
			return false;
		oracle = oracle_next(o, &theirs, &nv);
		must((status == HPACK_BAD) == (oracle < 0));
		must((status == HPACK_FIELD) == (oracle > 0));
		if (status == HPACK_BAD)
			return false;
		if (status == HPACK_MORE)
			return true;
		compare(&f, &nv);
		must(h->table.size <= h->table.max && h->table.count <= h->table.capacity);
		must(h->table.size == nghttp2_hd_inflate_get_dynamic_table_size(o));
		must(hpack_memory(h) < 6144);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t cuts[] = { 1, 3, 16, SIZE_MAX };
	struct span script = SPAN((const char *)data, size);
	nghttp2_hd_inflater *oracle;
	struct hpack h;
	bool good = true;

	hpack_init(&h);
	must(nghttp2_hd_inflate_new(&oracle) == 0);
	while (good && script.len) {
		unsigned char control = (unsigned char)*script.ptr;
		size_t len = control & LEN_MASK;

		script = SPAN(script.ptr + 1, script.len - 1);
		if (len == LEN_RISE) {
			must(nghttp2_hd_inflate_change_table_size(oracle, RAISED) == 0);
			hpack_set_ceiling(&h, RAISED);
			continue;
		}
		len = len == LEN_ALL ? script.len : MIN(4 * len + 1, script.len);
		good = block(&h, oracle, SPAN(script.ptr, len), cuts[control >> 6]);
		script = SPAN(script.ptr + len, script.len - len);
	}
	nghttp2_hd_inflate_del(oracle);
	hpack_fini(&h);
	return 0;
}
