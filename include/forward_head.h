/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads of HTTP/1 messages as a forward proxy must read them. The observer (http1.h) only watches,
 * so it is tolerant; here what was read decides where bytes go, and a head that two parties could
 * read in two ways is refused (RFC 9112 sect. 11.1, 11.2). Pure functions on whole heads.
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

/*
 * Reads the request that @bytes begin with. FORWARD_BAD says in *@why, for people, what is wrong.
 * What is too long never comes to an end: the caller bounds it by FORWARD_HEAD_MAX.
 */
enum forward_reading forward_request_read(struct span bytes, struct forward_request *out,
					  const char **why);

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
 * or what is there of it, is no request line.
 */
bool forward_head_is_foreign(struct span bytes);

/* Reads the response that @bytes begin with, to a request with or without the method HEAD. */
enum forward_reading forward_response_read(struct span bytes, bool to_head,
					   struct forward_response *out);

/*
 * Splits "host", "host:port", "[v6]" or "[v6]:port" (RFC 3986 sect. 3.2.2); @port_default is for
 * one without, 0: it must have one. Hosts are names of letters, digits, '-', '_' and dots, or
 * addresses. False: none.
 */
bool forward_authority(struct span authority, uint16_t port_default, struct span *host,
		       uint16_t *port);

#endif
