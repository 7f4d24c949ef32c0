// SPDX-License-Identifier: GPL-2.0-or-later
/* The Huffman code of HPACK: see hpack_huffman.h. */
#include "hpack_huffman.h"

#define END_OF_STRING 256u

/*
 * The code is canonical: ordered by length and then by symbol, codes are consecutive numbers. So
 * one row per length tells everything: where its codes end, when 32 bits are read as one number;
 * its first code; and where its symbols begin in the table below.
 */
static const struct row {
	uint32_t last, first;
	uint8_t length, symbol;
} rows[] = {
	{ 0x4fffffff, 0x00000000, 5, 0 },    { 0xb7ffffff, 0x00000014, 6, 10 },
	{ 0xf7ffffff, 0x0000005c, 7, 36 },   { 0xfdffffff, 0x000000f8, 8, 68 },
	{ 0xff3fffff, 0x000003f8, 10, 74 },  { 0xff9fffff, 0x000007fa, 11, 79 },
	{ 0xffbfffff, 0x00000ffa, 12, 82 },  { 0xffefffff, 0x00001ff8, 13, 84 },
	{ 0xfff7ffff, 0x00003ffc, 14, 90 },  { 0xfffdffff, 0x00007ffc, 15, 92 },
	{ 0xfffe5fff, 0x0007fff0, 19, 95 },  { 0xfffedfff, 0x000fffe6, 20, 98 },
	{ 0xffff47ff, 0x001fffdc, 21, 106 }, { 0xffffafff, 0x003fffd2, 22, 119 },
	{ 0xffffe9ff, 0x007fffd8, 23, 145 }, { 0xfffff5ff, 0x00ffffea, 24, 174 },
	{ 0xfffff7ff, 0x01ffffec, 25, 186 }, { 0xfffffbbf, 0x03ffffe0, 26, 190 },
	{ 0xfffffe1f, 0x07ffffde, 27, 205 }, { 0xffffffef, 0x0fffffe2, 28, 224 },
	{ 0xffffffff, 0x3ffffffc, 30, 253 },
};

/* Symbols by length of their code, then by value; the last one is END_OF_STRING. */
static const uint8_t symbols[] = {
	48,  49,  50,  97,  99,	 101, 105, 111, 115, 116, 32,  37,  45,	 46,  47,  51,	52,  53,
	54,  55,  56,  57,  61,	 65,  95,  98,	100, 102, 103, 104, 108, 109, 110, 112, 114, 117,
	58,  66,  67,  68,  69,	 70,  71,  72,	73,  74,  75,  76,  77,	 78,  79,  80,	81,  82,
	83,  84,  85,  86,  87,	 89,  106, 107, 113, 118, 119, 120, 121, 122, 38,  42,	44,  59,
	88,  90,  33,  34,  40,	 41,  63,  39,	43,  124, 35,  62,  0,	 36,  64,  91,	93,  126,
	94,  125, 60,  96,  123, 92,  195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161,
	167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154,
	156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232,
	233, 1,	  135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165,
	166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9,	 142, 144, 145, 148, 159,
	171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213,
	218, 219, 238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245,
	246, 247, 248, 250, 251, 252, 253, 254, 2,   3,	  4,   5,   6,	 7,   8,   11,	12,  14,
	15,  16,  17,  18,  19,	 20,  21,  23,	24,  25,  26,  27,  28,	 29,  30,  31,	127, 220,
	249, 10,  13,  22,
};
_Static_assert(ARRAY_SIZE(symbols) == END_OF_STRING, "every octet has a code");

bool hpack_huffman_feed(struct hpack_huffman *u, struct span piece, char *out, size_t room,
			size_t *len)
{
	const uint8_t *p = (const uint8_t *)piece.ptr, *end = p + piece.len;
	uint64_t bits = u->bits;
	unsigned count = u->count;

	for (;;) {
		const struct row *row;
		unsigned symbol;
		uint32_t next;

		while (count <= 56 && p < end) {
			bits = bits << 8 | *p++;
			count += 8;
		}
		/* Zeros after the last bit: a code that needs them is longer than `count`. */
		next = (uint32_t)(count >= 32 ? bits >> (count - 32) : bits << (32 - count));
		/* Most symbols are in the first rows: sums, so that no branch is mispredicted. */
		row = rows + (next > rows[0].last) + (next > rows[1].last) + (next > rows[2].last);
		while (next > row->last)
			row++;
		if (row->length > count)
			break;
		count -= row->length;
		symbol = row->symbol + (next >> (32 - row->length)) - row->first;
		if (symbol == END_OF_STRING)
			return false;
		if (*len < room)
			out[*len] = (char)symbols[symbol];
		++*len;
	}
	u->bits = bits;
	u->count = count;
	return true;
}

bool hpack_huffman_end(const struct hpack_huffman *u)
{
	uint64_t ones = ((uint64_t)1 << u->count) - 1;

	return u->count < 8 && (u->bits & ones) == ones;
}
