/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP/2 observer: frames, header blocks and streams of RFC 9113, and the calls of gRPC.
 *
 * Theory of Operation: each way is a lane that walks frames, which reads may cut anywhere; the
 * states of a lane are below. Nothing is collected but the few bytes of a frame's header and
 * fixed part: header blocks go to the decoder in the pieces that come (hpack.h), content is
 * counted, and looked at only for the prefixes of gRPC's messages.
 *
 * Every header block is decoded, in wire order, whatever stream it belongs to: the decoder's
 * state depends on all of them. Only streams that a client opens are kept (http2_stream.h); what
 * a server pushes is no request that anybody made.
 *
 * A frame that cannot be, a block that cannot be decoded, or a bound that is passed: the observer
 * is lost, told once, and the flow is TCP. Until the client's preface is seen that happens
 * silently: a server may speak first, and may yet turn out to speak something else.
 *
 * Memory: about 700 bytes, the streams that are open, and two header tables of at most 4.5 KiB.
 */
#ifndef SLUICE_HTTP2_H
#define SLUICE_HTTP2_H

#include "protocol.h"
#include "span.h"
#include "trace.h"

#define HTTP2_STREAMS_MAX	2048u	   /* open at once, then lost; 144 bytes each */
#define HTTP2_BLOCK_MAX		(1u << 20) /* bytes of one header block, then lost */
#define HTTP2_LIST_MAX		(1u << 20) /* of its decoded fields, 32 more for each, then lost */
#define HTTP2_CONTINUATIONS_MAX 1024u	   /* CONTINUATION frames of one block, then lost */

struct http2;
struct observer_sink;

/* NULL without memory. @sink and @ctx are borrowed. */
struct http2 *http2_new(const struct observer_sink *sink, void *ctx);

/* A request that began as HTTP/1 and is answered on stream 1 (RFC 7540 sect. 3.2). */
struct http2_upgrade {
	enum http_method method;
	struct span host, target; /* copied */
	uint64_t started, body;
	uint16_t route;
	struct trace trace;
};

/*
 * The connection was upgraded: HTTP/2 begins with the next byte of either way. Its request has
 * been told as active. False without memory.
 */
bool http2_adopt(struct http2 *h, const struct http2_upgrade *u);

/* @bytes went @way at @now. False: lost; it has been told, and http2_free() is what is left. */
bool http2_data(struct http2 *h, enum way way, struct span bytes, uint64_t now);

/* No more comes that way. */
void http2_end(struct http2 *h, enum way way, uint64_t now);

/* As observer_skip() and observer_skipped() in observer.h. */
uint64_t http2_skip(const struct http2 *h, enum way way);
void http2_skipped(struct http2 *h, enum way way, uint64_t bytes, uint64_t now);

/* Tells of the requests that have no answer, and frees. NULL is let pass. */
void http2_free(struct http2 *h, bool cancelled, uint64_t now);

/* Bytes on the heap, for tests and tools. */
size_t http2_memory(const struct http2 *h);

#endif
