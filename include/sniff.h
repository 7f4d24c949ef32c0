/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a flow speaks, from its first bytes.
 *
 * Theory of Operation: the client's first bytes decide, nearly always within the first read, so
 * nothing is copied. Only a read that ends inside the HTTP/2 preface or a TLS record header
 * leaves the question open; the client's bytes so far, at most SNIFF_MAX, are then kept for the
 * observer that will be chosen. A server that speaks first means TCP, unless it sends what may be
 * an HTTP/2 SETTINGS frame (RFC 9113 sect. 3.4 lets it); then the client decides, and what the
 * server says meanwhile is shown to the HTTP/2 observer (observer.c): here only its beginning is
 * kept, to be judged.
 *
 * SNIFF_HTTP1 means "begins like a request": http1.c confirms it by the whole request line.
 */
#ifndef SLUICE_SNIFF_H
#define SLUICE_SNIFF_H

#include "protocol.h"
#include "span.h"

/* The HTTP/2 preface is the longest thing that must be seen whole. */
#define SNIFF_MAX 24

enum sniff_verdict {
	SNIFF_OPEN,  /* more bytes are needed */
	SNIFF_TCP,   /* nothing we read */
	SNIFF_TLS,   /* a TLS ClientHello begins (RFC 8446 sect. 5.1) */
	SNIFF_HTTP1, /* a request may begin (RFC 9112 sect. 2.2, 3) */
	SNIFF_HTTP2, /* the connection preface (RFC 9113 sect. 3.4) */
	SNIFF_VERDICT_COUNT,
};

struct sniff {
	uint64_t first;			 /* when the first kept byte of the client came */
	char kept[WAY_COUNT][SNIFF_MAX]; /* what came while the verdict is open */
	uint8_t kept_len[WAY_COUNT];
	uint8_t verdict; /* enum sniff_verdict; final once not SNIFF_OPEN */
};
_Static_assert(sizeof(struct sniff) <= 64, "part of the memory of every idle flow");

/* All zero is a sniff that has seen nothing. */

/*
 * The next bytes of @way at @now. Returns the verdict. Bytes are kept only while it stays open;
 * when it falls, @bytes are not kept: the observer gets kept[] and then @bytes.
 */
enum sniff_verdict sniff_feed(struct sniff *s, enum way way, struct span bytes, uint64_t now);

#endif
