/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of the metrics: what observers say and the registry prints. Tables in protocol.c. */
#ifndef SLUICE_PROTOCOL_H
#define SLUICE_PROTOCOL_H

#include "span.h"

enum direction {
	DIRECTION_INBOUND,  /* to this pod: we stand before its server */
	DIRECTION_OUTBOUND, /* from this pod: we stand behind its client */
	DIRECTION_COUNT,
};

/* Which way bytes go. */
enum way {
	WAY_TO_SERVER,
	WAY_TO_CLIENT,
	WAY_COUNT,
};

enum protocol {
	PROTOCOL_UNKNOWN, /* not told yet; counted as tcp when the flow ends so */
	PROTOCOL_TCP,
	PROTOCOL_TLS,
	PROTOCOL_HTTP1,
	PROTOCOL_HTTP2,
	PROTOCOL_GRPC,
	PROTOCOL_COUNT,
};

enum http_method {
	HTTP_METHOD_NONE,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_QUERY,
	HTTP_METHOD_OTHER, /* "_OTHER", as OpenTelemetry wants it */
	HTTP_METHOD_COUNT,
};

enum http_version {
	HTTP_VERSION_NONE,
	HTTP_VERSION_1_0,
	HTTP_VERSION_1_1,
	HTTP_VERSION_2,
	HTTP_VERSION_COUNT,
};

/* How a flow ended. */
enum outcome {
	OUTCOME_CLOSED,	     /* both sides sent FIN */
	OUTCOME_REFUSED,     /* connect: ECONNREFUSED */
	OUTCOME_UNREACHABLE, /* connect: no route, no host */
	OUTCOME_UNRESOLVED,  /* forward proxy: its host has no address */
	OUTCOME_FORBIDDEN,   /* forward proxy: its host is none to be taken to */
	OUTCOME_TIMEOUT,     /* connect timed out, or keepalive found the peer dead */
	OUTCOME_RESET_BY_CLIENT,
	OUTCOME_RESET_BY_SERVER,
	OUTCOME_LOOP,  /* the destination is one of our own listeners */
	OUTCOME_LIMIT, /* one of our limits was reached */
	OUTCOME_DRAIN, /* the drain ran out */
	OUTCOME_COUNT,
};

/* error_type of a request; ERROR_NONE prints no label. */
enum error_type {
	ERROR_NONE,
	ERROR_STATUS, /* the status code itself */
	ERROR_NO_RESPONSE,
	ERROR_RESET,
	ERROR_CANCELLED,
	ERROR_MISSING,
	ERROR_TYPE_COUNT,
};

/* Why an observer gave a flow up; the flow goes on as plain TCP. */
enum lost_reason {
	LOST_HEADER_TOO_LARGE,
	LOST_TOO_MANY_REQUESTS, /* more pipelined requests than we keep */
	LOST_BAD_REQUEST,
	LOST_BAD_RESPONSE,
	LOST_BAD_CHUNK,
	LOST_AMBIGUOUS_LENGTH, /* Content-Length and Transfer-Encoding, or two lengths */
	LOST_UNEXPECTED_RESPONSE,
	LOST_OUT_OF_MEMORY,
	LOST_BAD_FRAME,	       /* HTTP/2: a frame that RFC 9113 forbids here */
	LOST_BAD_HEADER_BLOCK, /* HPACK: a decoding error */
	LOST_HEADER_TABLE,     /* HPACK: a table larger than we keep */
	LOST_REASON_COUNT,
};

/* By which names gRPC calls are recorded. */
/* What of a request's target the access log has. */
enum access_target {
	ACCESS_TARGET_NONE,
	ACCESS_TARGET_PATH,
	ACCESS_TARGET_QUERY, /* and the path */
	ACCESS_TARGET_COUNT,
};

enum semconv {
	SEMCONV_OTEL,  /* OpenTelemetry's stable ones */
	SEMCONV_BEYLA, /* the older ones, which Beyla and OBI use */
	SEMCONV_DUP,   /* both */
	SEMCONV_COUNT,
};

/* A call's grpc-status: the codes of gRPC, in their order. */
enum rpc_status {
	RPC_OK,
	RPC_CANCELLED,
	RPC_UNKNOWN,
	RPC_INVALID_ARGUMENT,
	RPC_DEADLINE_EXCEEDED,
	RPC_NOT_FOUND,
	RPC_ALREADY_EXISTS,
	RPC_PERMISSION_DENIED,
	RPC_RESOURCE_EXHAUSTED,
	RPC_FAILED_PRECONDITION,
	RPC_ABORTED,
	RPC_OUT_OF_RANGE,
	RPC_UNIMPLEMENTED,
	RPC_INTERNAL,
	RPC_UNAVAILABLE,
	RPC_DATA_LOSS,
	RPC_UNAUTHENTICATED,
	RPC_STATUS_MISSING, /* none was sent: never to be taken for OK */
	RPC_STATUS_COUNT,
};

/* The newest version that a ClientHello offers. */
enum tls_version {
	TLS_VERSION_NONE,
	TLS_VERSION_SSL3,
	TLS_VERSION_1_0,
	TLS_VERSION_1_1,
	TLS_VERSION_1_2,
	TLS_VERSION_1_3,
	TLS_VERSION_OTHER,
	TLS_VERSION_COUNT,
};

/* Why the heart rests although the proxy lives: new connections then go past it. */
enum rest {
	REST_NONE,
	REST_CONNECTIONS, /* 90 % of a limit are used: of connections, */
	REST_DESCRIPTORS, /* descriptors, */
	REST_MEMORY,	  /* or memory */
	REST_REFUSED,	  /* the kernel refused a descriptor or memory for a new connection */
	REST_CRASHES,	  /* workers died too often */
	REST_COUNT,
};

/* What is asked of DNS. */
enum dns_question {
	DNS_ADDRESS, /* A and AAAA of a name */
	DNS_PTR,     /* the name of an address */
	DNS_QUESTION_COUNT,
};

/* What came of it. */
enum dns_result {
	DNS_ANSWERED,
	DNS_NEGATIVE, /* there is no such name, or it has no such record */
	DNS_FAILED,   /* no server could or would say */
	DNS_TIMEOUT,  /* no server said anything */
	DNS_LIMIT,    /* not asked: too many questions were under way */
	DNS_RESULT_COUNT,
};

extern const char *const direction_names[DIRECTION_COUNT];
extern const char *const way_names[WAY_COUNT];
extern const char *const protocol_names[PROTOCOL_COUNT]; /* UNKNOWN prints as "tcp" */
extern const char *const http_method_names[HTTP_METHOD_COUNT];
extern const char *const http_version_names[HTTP_VERSION_COUNT];
extern const char *const outcome_names[OUTCOME_COUNT];
extern const char *const error_type_names[ERROR_TYPE_COUNT];
extern const char *const semconv_names[SEMCONV_COUNT];
extern const char *const access_target_names[ACCESS_TARGET_COUNT];
extern const char *const lost_reason_names[LOST_REASON_COUNT];
extern const char *const rpc_status_names[RPC_STATUS_COUNT]; /* MISSING prints as "" */
extern const char *const tls_version_names[TLS_VERSION_COUNT];
extern const char *const rest_names[REST_COUNT]; /* NONE prints as "" */

extern const char *const dns_question_names[DNS_QUESTION_COUNT];
extern const char *const dns_result_names[DNS_RESULT_COUNT];

/* Methods are case-sensitive (RFC 9110 sect. 9.1); an unknown one is HTTP_METHOD_OTHER. */
enum http_method http_method_of(struct span token);

#endif
