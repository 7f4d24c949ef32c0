// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two peers that speak HTTP/2, or not, through the forward proxy: no crash, and the same bytes for
 * each of them however what they send is cut.
 *
 * The input is a script of what follows the preface: a byte that says whose and how long, then that
 * many bytes, and again.
 */
#include "forward_http2.h"

#define BIT_SERVER 0x80

static void require(bool holds)
{
	if (!holds)
		abort();
}

static enum forward_http2_result play(struct forward_http2 *h, struct span script, size_t piece)
{
	enum forward_http2_result rc = FORWARD_HTTP2_OK;

	while (script.len && rc == FORWARD_HTTP2_OK) {
		unsigned char control = (unsigned char)script.ptr[0];
		size_t len = control & ~BIT_SERVER;

		script = SPAN(script.ptr + 1, script.len - 1);
		len = len == 0x7f ? script.len : MIN(len, script.len);
		for (size_t at = 0; at < len && rc == FORWARD_HTTP2_OK; at += piece) {
			struct span bytes = SPAN(script.ptr + at, MIN(piece, len - at));

			rc = control & BIT_SERVER ? forward_http2_server(h, bytes)
						  : forward_http2_client(h, bytes);
		}
		script = SPAN(script.ptr + len, script.len - len);
	}
	return rc;
}

static bool same(const struct forward_output *a, const struct forward_output *b)
{
	return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span script = SPAN((const char *)data, size);
	struct forward_http2 *whole = forward_http2_new(), *cut = forward_http2_new();
	enum forward_http2_result rc;
	struct span host;
	uint16_t port;

	require(whole && cut);
	require(forward_http2_client(whole, SPAN_LIT(FORWARD_PREFACE)) == FORWARD_HTTP2_OK);
	require(forward_http2_client(cut, SPAN_LIT(FORWARD_PREFACE)) == FORWARD_HTTP2_OK);
	rc = play(whole, script, SIZE_MAX / 2);
	require(rc == play(cut, script, 1));
	require(same(forward_http2_to_server(whole), forward_http2_to_server(cut)));
	require(same(forward_http2_to_client(whole), forward_http2_to_client(cut)));
	require(forward_http2_waits(whole) == forward_http2_waits(cut));
	/* A drain, and more of the same. */
	if (rc == FORWARD_HTTP2_OK && size % 2) {
		require(forward_http2_warn(whole) && forward_http2_close(whole));
		require(!forward_http2_is_over(whole) || !forward_http2_waits(whole));
		play(whole, script, SIZE_MAX / 2);
	}
	if (forward_http2_route(whole, &host, &port))
		forward_http2_answer(whole, 502);
	forward_http2_free(whole);
	forward_http2_free(cut);
	return 0;
}
