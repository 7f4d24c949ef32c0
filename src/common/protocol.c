// SPDX-License-Identifier: GPL-2.0-or-later
/* The words of the metrics: see protocol.h. */
#include "protocol.h"

const char *const direction_names[] = { "inbound", "outbound" };
_Static_assert(ARRAY_SIZE(direction_names) == DIRECTION_COUNT, "a name for each");

const char *const way_names[] = { "to_server", "to_client" };
_Static_assert(ARRAY_SIZE(way_names) == WAY_COUNT, "a name for each");

const char *const protocol_names[] = { "tcp", "tcp", "tls", "http1", "http2", "grpc" };
_Static_assert(ARRAY_SIZE(protocol_names) == PROTOCOL_COUNT, "a name for each");

const char *const http_method_names[] = {
	"",	   "GET",     "HEAD",  "POST",	"PUT",	 "DELETE",
	"CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "_OTHER",
};
_Static_assert(ARRAY_SIZE(http_method_names) == HTTP_METHOD_COUNT, "a name for each");

const char *const http_version_names[] = { "", "1.0", "1.1", "2" };
_Static_assert(ARRAY_SIZE(http_version_names) == HTTP_VERSION_COUNT, "a name for each");

const char *const outcome_names[] = {
	"closed",	   "refused",	      "unreachable", "unresolved", "forbidden", "timeout",
	"reset_by_client", "reset_by_server", "loop",	     "limit",	   "drain",
};
_Static_assert(ARRAY_SIZE(outcome_names) == OUTCOME_COUNT, "a name for each");

/* ERROR_STATUS prints the code instead. */
const char *const error_type_names[] = { "", "", "no_response", "reset", "cancelled", "missing" };
_Static_assert(ARRAY_SIZE(error_type_names) == ERROR_TYPE_COUNT, "a name for each");

const char *const lost_reason_names[] = {
	"header_too_large",
	"too_many_requests",
	"bad_request",
	"bad_response",
	"bad_chunk",
	"ambiguous_length",
	"unexpected_response",
	"out_of_memory",
	"bad_frame",
	"bad_header_block",
	"header_table_too_large",
};
_Static_assert(ARRAY_SIZE(lost_reason_names) == LOST_REASON_COUNT, "a name for each");

const char *const access_target_names[] = { "none", "path", "query" };
_Static_assert(ARRAY_SIZE(access_target_names) == ACCESS_TARGET_COUNT, "a name for each");

const char *const semconv_names[] = { "otel", "beyla", "dup" };
_Static_assert(ARRAY_SIZE(semconv_names) == SEMCONV_COUNT, "a name for each");

const char *const rpc_status_names[] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
	"",
};
_Static_assert(ARRAY_SIZE(rpc_status_names) == RPC_STATUS_COUNT, "a name for each");

const char *const tls_version_names[] = { "", "ssl3", "1.0", "1.1", "1.2", "1.3", "_OTHER" };
_Static_assert(ARRAY_SIZE(tls_version_names) == TLS_VERSION_COUNT, "a name for each");

const char *const rest_names[] = {
	"", "connections", "descriptors", "memory", "refused", "crashes"
};
_Static_assert(ARRAY_SIZE(rest_names) == REST_COUNT, "a name for each");

const char *const dns_question_names[] = { "address", "ptr" };
_Static_assert(ARRAY_SIZE(dns_question_names) == DNS_QUESTION_COUNT, "a name for each");

const char *const dns_result_names[] = { "answered", "negative", "failed", "timeout", "limit" };
_Static_assert(ARRAY_SIZE(dns_result_names) == DNS_RESULT_COUNT, "a name for each");

enum http_method http_method_of(struct span token)
{
	/* The common ones first: this runs once per request. */
	if (token.len == 3 && memcmp(token.ptr, "GET", 3) == 0)
		return HTTP_METHOD_GET;
	for (int m = HTTP_METHOD_HEAD; m < HTTP_METHOD_OTHER; m++) {
		if (span_eq(token, span_str(http_method_names[m])))
			return (enum http_method)m;
	}
	return HTTP_METHOD_OTHER;
}
