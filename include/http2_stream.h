/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of an HTTP/2 connection: from a client's HEADERS to both sides' END_STREAM, a
 * reset, or the end of the flow.
 *
 *   open      both sides may send. -> answered, told
 *   answered  the response is whole, the request is not. -> told
 *   told	     an exchange, or a call if it was gRPC's; and forgotten.
 *
 * The request's own end alone changes nothing: an answer is what it waits for.
 *
 * Clients open streams in the order of their ids, each but once (RFC 9113 sect. 5.1.1): a list in
 * that order only grows at its end, and can be searched by halves. There are no ids that a client
 * could choose to make it slow, as it could with a hash.
 */
#ifndef SLUICE_HTTP2_STREAM_H
#define SLUICE_HTTP2_STREAM_H

#include "grpc.h"
#include "hpack.h"
#include "http2.h"

/* RFC 9113 sect. 7. */
#define HTTP2_CANCEL 8u

/* What a header block said; the texts are owned. */
struct http2_head {
	uint64_t started; /* first byte of its HEADERS frame */
	struct hpack_text *path, *host;
	uint32_t timeout;   /* grpc-timeout, ms; 0: none */
	uint16_t status;    /* 0: none */
	uint8_t method;	    /* enum http_method */
	uint8_t rpc_status; /* enum rpc_status */
	bool grpc;	    /* by its content-type */
	struct trace trace;
	bool authority; /* host comes from :authority, which beats Host */
};

struct http2_stream {
	uint32_t id;
	uint32_t timeout;
	uint16_t status;    /* of the final response; 0: none yet */
	uint8_t method;	    /* enum http_method */
	uint8_t rpc_status; /* enum rpc_status */
	bool grpc;
	bool done[WAY_COUNT]; /* that way's END_STREAM was seen */
	bool gone;	      /* told; only the place is left */
	uint16_t route;	      /* of the sink's; 0: none */
	uint64_t started, first_byte, ended;
	uint64_t bytes[WAY_COUNT]; /* of content, without padding */
	struct hpack_text *path, *host;
	struct grpc_messages messages[WAY_COUNT];
	struct trace trace;
};

struct http2_streams {
	const struct observer_sink *sink;
	void *ctx;
	struct http2_stream *slots; /* by id; NULL: no streams */
	uint32_t last_id;	    /* the highest that the client opened */
	uint32_t goaway_id;	    /* the server takes none beyond it */
	uint64_t server_ended;	    /* the server's FIN, or 0 */
	uint16_t count;		    /* of streams */
	uint16_t used, capacity;    /* of slots */
	bool told;		    /* the flow's protocol */
};

void http2_streams_init(struct http2_streams *t, const struct observer_sink *sink, void *ctx);

/* @head (its texts are taken) went @way on stream @id. False: lost, for the reason @why. */
bool http2_streams_head(struct http2_streams *t, enum way way, uint32_t id, struct http2_head *head,
			bool end, uint64_t now, enum lost_reason *why);

/* Stream 1 of an upgraded connection: its request is whole. False without memory. */
bool http2_streams_adopt(struct http2_streams *t, const struct http2_upgrade *u);

/* Whether the content of stream @id must be shown. */
bool http2_streams_look(const struct http2_streams *t, uint32_t id);

/* @len bytes of content went by; @bytes are NULL where nobody looks. */
void http2_streams_content(struct http2_streams *t, enum way way, uint32_t id, const char *bytes,
			   size_t len);

/* END_STREAM of @way. */
void http2_streams_end(struct http2_streams *t, enum way way, uint32_t id, uint64_t now);

/* RST_STREAM with @code, sent @way. */
void http2_streams_reset(struct http2_streams *t, enum way way, uint32_t id, uint32_t code,
			 uint64_t now);

/* The server's GOAWAY: it has not looked at streams above @last_id, and will not. */
void http2_streams_goaway(struct http2_streams *t, uint32_t last_id, uint64_t now);

/* The flow is over: tells what is left. */
void http2_streams_close(struct http2_streams *t, bool cancelled, uint64_t now);

/* The thread is lost: what has no answer yet has no known end and is not told. */
void http2_streams_lost(struct http2_streams *t);

#endif
