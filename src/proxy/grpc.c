// SPDX-License-Identifier: GPL-2.0-or-later
/* What gRPC adds to HTTP/2: see grpc.h. Its specification is grpc's doc/PROTOCOL-HTTP2.md. */
#include "grpc.h"

#define PREFIX 5u /* bytes before each message */

bool grpc_is_content_type(struct span value)
{
	static const struct span base = SPAN_LIT("application/grpc");

	if (value.len < base.len || strncasecmp(value.ptr, base.ptr, base.len) != 0)
		return false;
	if (value.len == base.len)
		return true;
	return strchr("+; \t", value.ptr[base.len]) && value.ptr[base.len];
}

enum rpc_status grpc_status_of(struct span value)
{
	uint32_t code = 0;

	if (!value.len || value.len > 2)
		return RPC_UNKNOWN;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return RPC_UNKNOWN;
		code = code * 10 + (uint32_t)(value.ptr[i] - '0');
	}
	return code < RPC_STATUS_MISSING ? (enum rpc_status)code : RPC_UNKNOWN;
}

/* Nanoseconds in one unit of a grpc-timeout; 0: no such unit. */
static uint64_t unit_of(char c)
{
	switch (c) {
	case 'n':
		return 1;
	case 'u':
		return 1000;
	case 'm':
		return 1000000;
	case 'S':
		return 1000000000;
	case 'M':
		return 60ull * 1000000000;
	case 'H':
		return 3600ull * 1000000000;
	default:
		return 0;
	}
}

uint32_t grpc_timeout_of(struct span value)
{
	uint64_t number = 0, unit;

	if (value.len < 2 || value.len > 9)
		return 0;
	for (size_t i = 0; i + 1 < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return 0;
		number = number * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	unit = unit_of(value.ptr[value.len - 1]);
	/* 10^8 hours are 3.6 * 10^20 ns: more than fits, so milliseconds from the start. */
	if (unit >= 1000000)
		number *= unit / 1000000;
	else if (unit)
		number = (number * unit + 999999) / 1000000;
	else
		number = 0;
	return (uint32_t)MIN(number, (uint64_t)GRPC_TIMEOUT_MAX);
}

struct span grpc_method_of(struct span path)
{
	struct span method;
	const char *slash;

	if (path.len < 4 || path.ptr[0] != '/')
		return SPAN("", 0);
	method = SPAN(path.ptr + 1, path.len - 1);
	slash = memchr(method.ptr, '/', method.len);
	if (!slash || slash == method.ptr || slash + 1 == method.ptr + method.len)
		return SPAN("", 0);
	return method;
}

void grpc_messages_feed(struct grpc_messages *m, struct span bytes)
{
	const uint8_t *p = (const uint8_t *)bytes.ptr, *end = p + bytes.len;

	while (p < end) {
		if (m->prefix < PREFIX) {
			/* The flag passes through the length and out again. */
			m->length = m->length << 8 | *p++;
			if (++m->prefix < PREFIX)
				continue;
		} else {
			uint32_t n = (uint32_t)MIN((size_t)(end - p), (size_t)m->length);

			m->length -= n;
			p += n;
		}
		if (m->length == 0) {
			m->count++;
			m->prefix = 0;
		}
	}
}
