/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP/2 with prior knowledge through a forward proxy: one connection, one server, the one that the
 * first request's :authority names. Pure: bytes in, bytes out.
 *
 * Theory of Operation: frames pass as they are. Of each way the ends of frames are known, so that
 * frames of ours can be put between them; of the client's way header blocks are held until they are
 * whole, and decoded. A stream that names another host is not passed on: the client is sent a
 * GOAWAY that leaves it out (RFC 9113 sect. 6.8), upon which it opens another connection for it,
 * and all later ones. Those before it go on to their end. The server has not seen that block, so
 * its table of headers (HPACK) is behind the client's from then on: trailers of a request, the only
 * blocks that could follow, cannot be passed on either, and end their stream.
 *
 * A client may wait for the server's SETTINGS before it asks for anything, and the server is known
 * only when it has: so ours come first, empty, and what acknowledges them ends here.
 */
#ifndef SLUICE_FORWARD_HTTP2_H
#define SLUICE_FORWARD_HTTP2_H

#include "forward_output.h"
#include "hpack.h"
#include "span.h"

/* RFC 9113 sect. 3.4. */
#define FORWARD_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/*
 * Bytes of one header block with its frames' headers, and of all that comes before the first: what
 * is held back. More ends the connection.
 */
#define FORWARD_BLOCK_MAX 131072u

enum forward_http2_result {
	FORWARD_HTTP2_OK,
	FORWARD_HTTP2_BAD, /* no HTTP/2, or more than the bounds; a GOAWAY has been put out */
	FORWARD_HTTP2_NOMEM,
};

struct forward_http2;

/* Whether a connection that begins with @bytes is, or may become, one of HTTP/2. */
bool forward_http2_begins(struct span bytes);

/* NULL without memory. */
struct forward_http2 *forward_http2_new(void);
void forward_http2_free(struct forward_http2 *h);

/* What either side has sent. What is to be sent is put behind *_output()'s. */
enum forward_http2_result forward_http2_client(struct forward_http2 *h, struct span bytes);
enum forward_http2_result forward_http2_server(struct forward_http2 *h, struct span bytes);

/* What is to be sent to either side; the caller empties it: forward_output_empty(). */
struct forward_output *forward_http2_to_server(struct forward_http2 *h);
struct forward_output *forward_http2_to_client(struct forward_http2 *h);

/*
 * Whether the first request has come: its host, which points into @h, and port. Port 0: it names
 * none, or is a CONNECT, which is not for a connection like this.
 */
bool forward_http2_route(const struct forward_http2 *h, struct span *host, uint16_t *port);

/* The server is there: what comes for it is taken. */
void forward_http2_connected(struct forward_http2 *h);

/* Whether some request waits for the end of its answer. A client may have cancelled them all. */
bool forward_http2_waits(const struct forward_http2 *h);

/*
 * The end in order of RFC 9113 sect. 6.8: the client is warned with a GOAWAY that leaves out no
 * stream, and, when it has had the time to see it, told by another that requests which come now
 * are not taken. False without memory.
 */
bool forward_http2_warn(struct forward_http2 *h);
bool forward_http2_close(struct forward_http2 *h);

/* Whether it has been told so, and all requests have ended. */
bool forward_http2_is_over(const struct forward_http2 *h);

/* Bytes on the heap of what is held back, and of what is to be sent. */
size_t forward_http2_memory(const struct forward_http2 *h);

/* All that wait are answered with @status, and there will be no more. */
void forward_http2_answer(struct forward_http2 *h, uint16_t status);

#endif
