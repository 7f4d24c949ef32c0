// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What may be a ClientHello, read whole and byte by byte: the same verdict, and texts that are
 * what they should be. The input is the message; it is wrapped in records of the length that its
 * first byte says, unless that is 0: then the rest is the records.
 */
#include "tls_hello.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static enum tls_hello_status read_hello(struct span bytes, size_t cut, struct tls_hello_said *said)
{
	enum tls_hello_status status = TLS_HELLO_MORE;
	struct tls_hello t = { 0 };

	while (bytes.len && status == TLS_HELLO_MORE) {
		size_t n = MIN(cut, bytes.len);
		char *copy = malloc(n);

		must(copy != NULL);
		memcpy(copy, bytes.ptr, n);
		status = tls_hello_feed(&t, SPAN(copy, n), said);
		free(copy);
		bytes = SPAN(bytes.ptr + n, bytes.len - n);
	}
	tls_hello_fini(&t);
	return status;
}

static void check_said(const struct tls_hello_said *said)
{
	must(said->version < TLS_VERSION_COUNT);
	must(said->name_len <= TLS_NAME_MAX && said->alpn_len <= TLS_ALPN_MAX);
	for (size_t i = 0; i < said->name_len; i++)
		must(said->name[i] &&
		     strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", said->name[i]));
	for (size_t i = 0; i < said->alpn_len; i++)
		must(said->alpn[i] > ' ' && said->alpn[i] < 0x7f);
}

/* @message in records of @len bytes, on the heap. */
static struct span in_records(struct span message, size_t len)
{
	char *out = malloc(6 * message.len + 1), *at = out;

	must(out != NULL);
	while (message.len) {
		size_t n = MIN(len, message.len);

		memcpy(at, "\x16\x03\x01\0", 4);
		at[4] = (char)n;
		memcpy(at + 5, message.ptr, n);
		at += 5 + n;
		message = SPAN(message.ptr + n, message.len - n);
	}
	return SPAN(out, (size_t)(at - out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t cuts[] = { 1, 5, 100 };
	struct tls_hello_said whole, said;
	enum tls_hello_status status;
	struct span bytes;
	char *owned = NULL;

	if (!size)
		return 0;
	bytes = SPAN((const char *)data + 1, size - 1);
	if (data[0]) {
		bytes = in_records(bytes, data[0]);
		owned = (char *)bytes.ptr;
	}
	status = read_hello(bytes, SIZE_MAX, &whole);
	if (status == TLS_HELLO_DONE)
		check_said(&whole);
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		must(read_hello(bytes, cuts[i], &said) == status);
		if (status != TLS_HELLO_DONE)
			continue;
		must(said.version == whole.version && said.name_len == whole.name_len &&
		     said.alpn_len == whole.alpn_len);
		must(memcmp(said.name, whole.name, whole.name_len) == 0);
		must(memcmp(said.alpn, whole.alpn, whole.alpn_len) == 0);
	}
	free(owned);
	return 0;
}
