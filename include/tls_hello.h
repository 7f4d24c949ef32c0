/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a TLS ClientHello: which server the client names, what it wants to speak, which versions.
 *
 * Theory of Operation: the hello is a handshake message that may be spread over several records
 * (RFC 8446 sect. 5.1), and both over any number of reads. Usually one read has it all and it is
 * read where it lies; else its bytes are collected, at most TLS_HELLO_MAX. What is no hello, or
 * a larger one, is given up quietly: the flow is TLS all the same.
 */
#ifndef SLUICE_TLS_HELLO_H
#define SLUICE_TLS_HELLO_H

#include "protocol.h"
#include "span.h"

#define TLS_HELLO_MAX 16384u /* bytes of the message */
#define TLS_NAME_MAX  253u   /* of a server's name: RFC 1035 sect. 2.3.4, written out */
#define TLS_ALPN_MAX  32u    /* of a protocol's name; a longer one is none */

/* What is kept between reads; all zero before the first. */
struct tls_hello {
	uint8_t *message; /* owned; NULL while nothing is collected */
	uint32_t have, room;
	uint16_t record_left; /* bytes of the record that are still to come */
	uint8_t header_have;
	uint8_t header[5]; /* of a record */
};

struct tls_hello_said {
	enum tls_version version; /* the newest that is offered */
	uint8_t name_len, alpn_len;
	char name[TLS_NAME_MAX]; /* host_name of SNI in lower case: letters, digits, - _ . */
	char alpn[TLS_ALPN_MAX]; /* the first protocol, printable */
};

enum tls_hello_status {
	TLS_HELLO_MORE,	   /* more bytes of the client are needed */
	TLS_HELLO_DONE,	   /* @said is filled in */
	TLS_HELLO_GIVE_UP, /* no hello that can be read */
};

/* The client's next bytes. After DONE and GIVE_UP nothing is owned any more. */
enum tls_hello_status tls_hello_feed(struct tls_hello *t, struct span bytes,
				     struct tls_hello_said *said);

void tls_hello_fini(struct tls_hello *t);

#endif
