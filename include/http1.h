/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP/1 observer: a tolerant, resumable scanner of the framing of RFC 9112, and the pairing
 * of responses with requests.
 *
 * Theory of Operation: each way is a lane, and a lane is in one of the states below. Lines are
 * found with memchr in the caller's buffer; only a line that a read cuts is carried over in a
 * small buffer that lives until the line ends. Of a line longer than HTTP1_LINE_KEEP its start
 * and its last HTTP1_TAIL_KEEP bytes are looked at, whether it was cut or not, so that a stream
 * gives the same events however it is cut. Bodies are counted, never looked at.
 *
 * A request enters a ring when its request line is read, is answered in order, and leaves it
 * when both its own last byte and its response's have been seen. Two requests fit without an
 * allocation; the names of hosts are shared by the requests of a flow.
 *
 * When something cannot be framed with certainty the observer is lost: told once, everything
 * freed, the flow is TCP from then on. Before the first request line is confirmed the same
 * happens silently: it never was HTTP.
 */
#ifndef SLUICE_HTTP1_H
#define SLUICE_HTTP1_H

#include "protocol.h"
#include "span.h"
#include "trace.h"

#define HTTP1_LINE_KEEP	   512u	      /* of a line: this much of its start is looked at */
#define HTTP1_TAIL_KEEP	   16u	      /* and of a longer one this much of its end */
#define HTTP1_HEAD_MAX	   (1u << 20) /* bytes of a head or of trailers, then lost */
#define HTTP1_METHOD_MAX   32u	      /* a longer method is none */
#define HTTP1_HOST_MAX	   255u	      /* of a longer Host this much is told */
#define HTTP1_INLINE	   2u	      /* requests in flight without an allocation */
#define HTTP1_PIPELINE_MAX 512u	      /* requests in flight, then lost */

enum http1_state {
	HTTP1_START,	  /* blank lines, then a request or status line */
	HTTP1_FIELDS,	  /* header lines up to an empty one */
	HTTP1_LENGTH,	  /* `left` bytes of content, then START */
	HTTP1_CHUNK_SIZE, /* a line with a chunk's size */
	HTTP1_CHUNK_DATA, /* `left` bytes of content, then CHUNK_END */
	HTTP1_CHUNK_END,  /* the line end after a chunk, then CHUNK_SIZE */
	HTTP1_TRAILERS,	  /* trailer lines up to an empty one, then START */
	HTTP1_UNTIL_END,  /* content up to the end of the stream */
	HTTP1_WAIT,	  /* behind a CONNECT: its answer says what these bytes are */
	HTTP1_H2C,	  /* after 101 to h2c: the next byte is HTTP/2's */
	HTTP1_TUNNEL,	  /* after 101 or a CONNECT that succeeded, or after FIN: not looked at */
	HTTP1_STATE_COUNT,
};

struct http1_carry;
struct http1_host;

struct http1_lane {
	uint64_t left;		   /* content bytes to come; in FIELDS the Content-Length */
	struct http1_carry *carry; /* the line that the last read cut, or NULL */
	uint32_t head_bytes;	   /* of this head or these trailers so far */
	uint16_t fields;	   /* what the head said: FIELD_* of http1.c */
	uint8_t state;		   /* enum http1_state */
	uint8_t folded;		   /* the header that a folded line would continue */
};

struct http1_request {
	uint64_t started;
	uint64_t body;		   /* content bytes so far */
	struct http1_host *host;   /* shared, or NULL */
	struct http1_host *target; /* what is to be told of it; owned, or NULL */
	uint8_t method;		   /* enum http_method */
	uint8_t version;	   /* enum http_version */
	bool whole;		   /* its last byte was seen */
	uint16_t route;		   /* of the sink's; 0: none */
};

/* All zero is an observer that has seen nothing. */
struct http1 {
	struct http1_lane lane[WAY_COUNT];
	struct http1_request few[HTTP1_INLINE];
	struct http1_request *ring;	/* instead of few[], while there are more */
	struct http1_host *host;	/* the last request's */
	struct trace trace;		/* the oldest request's */
	uint64_t first_byte[WAY_COUNT]; /* of the message that each lane is in */
	uint64_t response_started;	/* the final response's first byte, when `status` */
	uint64_t response_body;		/* content bytes so far */
	uint64_t response_ended;	/* its last byte, when `answered` */
	uint64_t server_ended;		/* the server's FIN, or 0 */
	uint16_t head, count, capacity; /* of the ring */
	uint16_t status; /* of the response in progress; 0: none, or an interim one */
	bool confirmed;	 /* the first request line was one */
	bool answered;	 /* the oldest request's response is whole, itself it is not */
	bool waited;	 /* bytes came in HTTP1_WAIT */
};
_Static_assert(sizeof(struct http1) <= 320, "part of the memory of every idle flow");

struct observer;

/* The functions of observer.h for a flow that is or may be HTTP/1; they work on o->http1. */
void http1_data(struct observer *o, enum way way, struct span bytes, uint64_t now);
void http1_end(struct observer *o, enum way way, uint64_t now);
uint64_t http1_skip(const struct observer *o, enum way way);
void http1_skipped(struct observer *o, enum way way, uint64_t bytes, uint64_t now);

/* Tells what is unanswered and frees; both lanes are HTTP1_TUNNEL afterwards. */
void http1_fini(struct observer *o, bool cancelled, uint64_t now);

#endif
