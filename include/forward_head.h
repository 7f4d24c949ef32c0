/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads of HTTP/1 messages as a forward proxy must read them. The observer (http1.h) only watches,
 * so it is tolerant; here what was read decides where bytes go, and a head that two parties could
 * read in two ways is refused (RFC 9112 sect. 11.1, 11.2). Pure.
 *
 * Theory of Operation: a head may come in any number of pieces, and is kept by the caller until it
 * is whole. Each time, all that has come is given again, which may have moved; struct
 * forward_progress remembers what the lines so far have said, so each is read once. What is found
 * does not depend on the pieces, and is found as soon as it is there.
 */
#ifndef SLUICE_FORWARD_HEAD_H
#define SLUICE_FORWARD_HEAD_H

#include "protocol.h"
#include "span.h"

/* Bytes of a head. */
#define FORWARD_HEAD_MAX 131072u

/* A name in the DNS, and the dot that may end it. */
#define FORWARD_HOST_MAX 254u

enum forward_reading {
	FORWARD_READ, /* a whole head */
	FORWARD_MORE, /* the beginning of one */
	FORWARD_BAD,  /* none, or an ambiguous one */
	FORWARD_READING_COUNT,
};

/* How a message's content is delimited. */
enum forward_framing {
	FORWARD_NONE,	   /* there is none */
	FORWARD_LENGTH,	   /* by its length */
	FORWARD_CHUNKED,   /* by its last chunk */
	FORWARD_UNTIL_END, /* by the end of the stream; responses only */
	FORWARD_FRAMING_COUNT,
};

/* Spans point into the head. */
struct forward_request {
	size_t skipped; /* empty lines before it (RFC 9112 sect. 2.2) */
	size_t length;	/* of all, the empty lines before and at its end included */
	struct span method, target;
	struct span authority; /* of an absolute-form target; else empty */
	struct span path;      /* what an absolute-form target becomes; empty: "/", or "*" */
	struct span host;      /* whom it is for, without brackets */
	uint16_t port;
	enum forward_framing framing;
	uint64_t body;	      /* FORWARD_LENGTH: bytes */
	bool connect;	      /* CONNECT */
	bool head;	      /* HEAD */
	bool host_field;      /* it has a Host field */
	bool changes;	      /* forward_request_write() gives other bytes than it was made of */
	bool last;	      /* the client wants no more answers after this one's */
	bool upgrade;	      /* it offers another protocol: 101 may be the answer */
	struct span expected; /* the Host field's value */
};

struct forward_response {
	size_t length;
	uint16_t status; /* 100 to 999 */
	enum forward_framing framing;
	uint64_t body;
	bool last; /* the server closes after this one */
};

/* What the fields of a head have said so far about its message. */
struct forward_said {
	uint64_t bytes;	   /* of a Content-Length */
	const char *wrong; /* why it is refused */
	bool length, coding, chunked, host, close, keep_alive;
	bool protocol, upgrade; /* an Upgrade, and that it is for the next server */
	bool for_proxies;	/* a field that is not for the server */
};

/*
 * How far a head was read. All zero: not at all, which it is again once the head was READ or BAD.
 * Offsets count from the head's first byte, empty lines before it included.
 */
struct forward_progress {
	size_t line;	/* where the line begins that is not there as a whole */
	size_t scanned; /* so far it has no end */
	size_t first, first_len;
	size_t host, host_len; /* the Host field's value */
	struct forward_said said;
	uint16_t status; /* of a response */
	uint8_t before;	 /* enum http1_field: what a folded line would continue */
	bool begun;	 /* the first line was read */
	bool old;	 /* HTTP/1.0 */
};

/*
 * Reads the request that @bytes begin with: on from *@p, with at least the bytes that *@p was made
 * of. FORWARD_BAD says in *@why, for people, what is wrong. What is too long never comes to an end:
 * the caller bounds it by FORWARD_HEAD_MAX.
 */
enum forward_reading forward_request_read(struct forward_progress *p, struct span bytes,
					  struct forward_request *out, const char **why);

/*
 * The same request for the server that @r names: an absolute target becomes a path, and its
 * authority the Host (RFC 9112 sect. 3.2.1, 3.2.2); fields for proxies are left out (RFC 9110
 * sect. 7.6.1, 11.7). All other bytes are as they were. @bytes are those that were read; @out has
 * room for FORWARD_WRITE_MAX(r). Returns how many were written.
 */
#define FORWARD_WRITE_MAX(r) ((r)->length + (r)->authority.len + sizeof("Host: \r\n"))
size_t forward_request_write(const struct forward_request *r, struct span bytes, char *out);

/*
 * Whether a connection that begins with @bytes speaks something else than HTTP/1: its first line,
 * or what is there of it, is no request line. @p is what forward_request_read() made of @bytes.
 */
bool forward_head_is_foreign(const struct forward_progress *p, struct span bytes);

/* The same as forward_request_read() of a response, to a request with or without the method HEAD.
 */
enum forward_reading forward_response_read(struct forward_progress *p, struct span bytes,
					   bool to_head, struct forward_response *out);

/*
 * Splits "host", "host:port", "[v6]" or "[v6]:port" (RFC 3986 sect. 3.2.2); @port_default is for
 * one without, 0: it must have one. Hosts are names of letters, digits, '-', '_' and dots, or
 * addresses. False: none.
 */
bool forward_authority(struct span authority, uint16_t port_default, struct span *host,
		       uint16_t *port);

#endif
