/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Huffman code of HPACK (RFC 7541 sect. 5.2, appendix B), decoded in pieces. */
#ifndef SLUICE_HPACK_HUFFMAN_H
#define SLUICE_HPACK_HUFFMAN_H

#include "span.h"

/* Bits that belong to no symbol yet. All zero is the start of a string. */
struct hpack_huffman {
	uint64_t bits; /* the lowest `count` of them */
	unsigned count;
};

/*
 * Decodes the next piece of a string. Counts its characters in @len and stores them at @out as
 * far as @room (counted from the string's start) allows. False: the end-of-string symbol, which
 * no string may hold.
 */
bool hpack_huffman_feed(struct hpack_huffman *u, struct span piece, char *out, size_t room,
			size_t *len);

/* Whether a string may end here: at most 7 bits of padding, all ones. */
bool hpack_huffman_end(const struct hpack_huffman *u);

#endif
