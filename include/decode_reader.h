/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of decode_nft.h share: reading a rule's expressions, and writing text. Pure.
 */
#ifndef SLUICE_DECODE_READER_H
#define SLUICE_DECODE_READER_H

#include "decode_nft.h"

struct nftnl_expr;

/* Longer rules than ours are rare; the rest of one is left out, and said to be. */
#define DECODE_EXPRS_MAX 64

#define DECODE_REGISTERS 4

/*
 * Theory of Operation: a match is a load into register 1, whatever changes it there, and a cmp or a
 * lookup; a statement may have constants loaded first. Each reader looks at the expressions from
 * `at` on; where it knows what they mean together, it puts that and steps over them.
 */
struct decode_reader {
	char *text;
	size_t len;
	bool exact;
	struct nftnl_expr *x[DECODE_EXPRS_MAX];
	unsigned count, at;
	uint8_t family, l4proto; /* that the packet must have, as far as was read; 0: any */
	uint16_t ports[DECODE_REGISTERS + 1]; /* constants, in network order */
};

void decode_put(struct decode_reader *r, const char *fmt, ...) _printf_(2, 3);

/* "@out-port-excl": with its generation where the reader is to be exact. */
void decode_put_set(struct decode_reader *r, const char *name);

/* The expression @ahead of this one, if it is a @name; NULL: not. */
struct nftnl_expr *decode_ahead(const struct decode_reader *r, unsigned ahead, const char *name);

/* An attribute of 32 bits, 0 where it is not set. */
uint32_t decode_get(const struct nftnl_expr *x, uint16_t attr);

/* The bytes of an attribute when there are @len of them, or up to as many where @less; else NULL.
 */
const uint8_t *decode_bytes(const struct nftnl_expr *x, uint16_t attr, size_t len, bool less,
			    size_t *has);

/* The first four of @bytes, in host order. */
uint32_t decode_u32(const uint8_t *bytes);

/* A match (decode_match.c). False: there is none here that we know; text may have been put. */
bool decode_match(struct decode_reader *r);

#endif
