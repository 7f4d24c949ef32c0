/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching a flow's bytes go by. An observer never changes, delays or refuses anything: it is
 * shown what was read and tells a sink what it understood.
 *
 * Theory of Operation: a flow starts UNKNOWN. The first bytes decide (sniff.h); the decision is
 * made once and may only change to another protocol by the protocol's own means (an upgrade), or
 * to TCP when the observer loses the thread (lost, told once). While the decision is open at most
 * SNIFF_MAX bytes of each way are kept. Everything is fed in the order in which it was read; the
 * two ways are separate streams.
 *
 * Layering: no sockets here, no clock; time comes with the bytes (CLOCK_MONOTONIC, ns).
 */
#ifndef SLUICE_OBSERVER_H
#define SLUICE_OBSERVER_H

#include "http1.h"
#include "http2.h"
#include "protocol.h"
#include "sniff.h"
#include "tls_hello.h"
#include "trace.h"

/* How a request ended. */
enum request_end {
	REQUEST_ANSWERED,	 /* its response is whole */
	REQUEST_RESET_BY_CLIENT, /* HTTP/2: RST_STREAM */
	REQUEST_RESET_BY_SERVER,
	REQUEST_LEFT_BY_CLIENT, /* the connection ended, or goes on without it */
	REQUEST_LEFT_BY_SERVER,
};

/* One finished request, as the metrics want it. */
struct http_exchange {
	enum http_method method;
	enum http_version version; /* of the request */
	uint16_t status;	   /* final response's; 0: there was none */
	enum error_type error;	   /* NO_RESPONSE, RESET, CANCELLED or NONE; the sink
				    * judges statuses */
	enum request_end end;
	struct span host;    /* Host without its port, or the target's own; may be empty;
			      * valid during the call only */
	struct span target;  /* what the sink's target() said; may be cut behind 255
			      * characters; likewise */
	uint64_t started;    /* request's first byte */
	uint64_t first_byte; /* final response's first byte; 0: none */
	uint64_t ended;	     /* response's last byte, or the flow's end */
	uint64_t request_body, response_body; /* bytes of content, without chunk framing */
	uint16_t route;			      /* what the sink's route() said */
	struct trace trace;		      /* the request's, if it is sampled */
};

/* One finished gRPC call. */
struct rpc_call {
	struct span method;	/* "package.Service/Method", or empty: none that we know; valid
				 * during the call only, as is host */
	struct span host;	/* :authority without its port; may be empty */
	enum rpc_status status; /* RPC_STATUS_MISSING: none was sent */
	enum error_type error;	/* NO_RESPONSE, RESET, CANCELLED, MISSING or NONE; the sink
				 * judges statuses */
	uint16_t http_status;	/* final response's; 0: there was none */
	enum request_end end;
	uint64_t started;	      /* request's first byte */
	uint64_t first_byte;	      /* response's first byte; 0: none */
	uint64_t ended;		      /* response's last byte, the reset, or the flow's end */
	uint64_t messages[WAY_COUNT]; /* whole ones */
	uint64_t bytes[WAY_COUNT];    /* of content, messages and their prefixes */
	struct trace trace;	      /* the request's, if it is sampled */
};

/* What a TLS client says in its ClientHello. The spans are valid during the call only. */
struct tls_client {
	struct span sni;  /* a host's name in lower case, or empty */
	struct span alpn; /* the protocol that it likes best, or empty */
	enum tls_version version;
};

/* What observers tell; @ctx is the flow's. Called from within observer_data() and _end(). */
struct observer_sink {
	/* The protocol is known, or has changed (also to TCP, after lost). */
	void (*protocol)(void *ctx, enum protocol protocol);
	/* A request that is no gRPC call began (+1) or ended in whatever way (-1). */
	void (*active)(void *ctx, enum http_method method, int change);
	/* The same of a gRPC call. */
	void (*calling)(void *ctx, int change);
	/*
	 * Which route a request's target (RFC 9112 sect. 3.2, or :path) belongs to; may be cut
	 * behind ROUTES_PATH_MAX + 1 characters or more. NULL: there are none.
	 */
	uint16_t (*route)(void *ctx, struct span target);
	/*
	 * What of a target is to be told with the exchange: a part of it, or of what lives as long
	 * as the program; empty: nothing. NULL: never.
	 */
	struct span (*target)(void *ctx, struct span target);
	void (*exchange)(void *ctx, const struct http_exchange *x);
	void (*call)(void *ctx, const struct rpc_call *call);
	void (*tls)(void *ctx, const struct tls_client *client);
	void (*lost)(void *ctx, enum lost_reason reason);
};

struct observer {
	const struct observer_sink *sink;
	void *ctx;
	uint8_t protocol; /* enum protocol */
	bool off;	  /* nothing is looked at: from the start, or after the end */
	bool hello;	  /* TLS: the ClientHello is still being read */
	struct sniff sniff;
	union {
		struct http1 http1;
		struct http2 *http2;  /* owned; UNKNOWN: a server's first bytes may be its own */
		struct tls_hello tls; /* while `hello` */
	};
};

enum observer_end {
	OBSERVER_FIN,	/* that way will bring no more bytes */
	OBSERVER_RESET, /* whoever sends that way broke the flow off: it is gone, both ways */
};

/* @off: do not look, all is TCP (the parent's third try after crashes). */
void observer_init(struct observer *o, const struct observer_sink *sink, void *ctx, bool off);

/* @bytes went @way at @now. */
void observer_data(struct observer *o, enum way way, struct span bytes, uint64_t now);

/* The stream of @way ended. A response that the end of its stream delimits is complete with FIN. */
void observer_end(struct observer *o, enum way way, enum observer_end how, uint64_t now);

/*
 * The flow is over: requests without an answer are told (error NO_RESPONSE; RESET where an
 * answer had begun), what is owned is freed. Idempotent. Where the client broke the flow off
 * (OBSERVER_RESET of WAY_TO_SERVER, before this) they are CANCELLED: not the server's fault.
 */
void observer_fini(struct observer *o, uint64_t now);

/*
 * How many of the next bytes of @way need not be shown: 0: show all; UINT64_MAX: none ever
 * again, and nobody asks for their number; OBSERVER_SKIP_TO_END: none up to the end of the
 * stream.
 * What was not shown is accounted for with observer_skipped().
 */
#define OBSERVER_SKIP_TO_END (UINT64_MAX - 1)
uint64_t observer_skip(const struct observer *o, enum way way);
void observer_skipped(struct observer *o, enum way way, uint64_t bytes, uint64_t now);

#endif
