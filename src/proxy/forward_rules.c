// SPDX-License-Identifier: GPL-2.0-or-later
/* Addresses that a forward proxy does not go to: see forward_rules.h. */
#include "forward_rules.h"

struct block {
	uint8_t bytes[16];
	uint8_t prefix;
	const char *what;
};

static const char this_host[] = "an address of this host";
static const char link_local[] = "a link-local address";
static const char metadata[] = "a cloud's metadata service";
static const char group[] = "an address of many hosts";

static const struct block v4_blocks[] = {
	{ { 0 }, 8, this_host }, /* the kernel takes 0.0.0.0 for loopback */
	{ { 127 }, 8, this_host },
	{ { 169, 254 }, 16, link_local },	  /* 169.254.169.254, too: most clouds */
	{ { 100, 100, 100, 200 }, 32, metadata }, /* Alibaba Cloud */
	{ { 224 }, 4, group },
	{ { 255, 255, 255, 255 }, 32, group },
};

static const struct block v6_blocks[] = {
	{ { 0 }, 128, this_host },
	{ { [15] = 1 }, 128, this_host },
	{ { 0xfe, 0x80 }, 10, link_local },
	{ { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128, metadata }, /* AWS */
	{ { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 }, 128, metadata }, /* Google Cloud */
	{ { 0xff }, 8, group },
};

static bool is_in(const uint8_t *bytes, const struct block *b)
{
	unsigned whole = b->prefix / 8, bits = b->prefix % 8;

	return memcmp(bytes, b->bytes, whole) == 0 &&
	       (!bits || ((bytes[whole] ^ b->bytes[whole]) >> (8 - bits)) == 0);
}

static const char *look_up(const uint8_t *bytes, const struct block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_in(bytes, &blocks[i]))
			return blocks[i].what;
	}
	return NULL;
}

static const char *forbid_v4(const uint8_t *bytes)
{
	return look_up(bytes, v4_blocks, ARRAY_SIZE(v4_blocks));
}

/* IPv4 addresses within IPv6 ones: where the prefix ends, and the four bytes that follow lie. */
struct embedding {
	struct block prefix;
	uint8_t at[4];
	uint8_t rest; /* from here on all must be zero, or it is no such address; 16: nothing */
};

static const struct embedding embeddings[] = {
	{ { { [10] = 0xff, [11] = 0xff }, 96, NULL }, { 12, 13, 14, 15 }, 16 }, /* v4-mapped */
	{ { { 0 }, 96, NULL }, { 12, 13, 14, 15 }, 16 },      /* v4-compatible, RFC 4291 */
	{ { { 0x20, 0x02 }, 16, NULL }, { 2, 3, 4, 5 }, 16 }, /* 6to4, RFC 3056 */
	{ { { 0x00, 0x64, 0xff, 0x9b }, 96, NULL }, { 12, 13, 14, 15 }, 16 }, /* RFC 6052 */
	/* RFC 8215: for local use, with a prefix of any of these lengths (RFC 6052 sect. 2.2). */
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NULL }, { 6, 7, 9, 10 }, 11 },
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NULL }, { 7, 9, 10, 11 }, 12 },
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NULL }, { 9, 10, 11, 12 }, 13 },
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NULL }, { 12, 13, 14, 15 }, 16 },
};

/*
 * Of the prefix for local use the length is not known: each that the address may have counts. One
 * that reads as 0.0.0.0 is none of them, but another's zeros, unless it is all zero.
 */
size_t forward_rules_within(const struct addr *a, struct addr within[FORWARD_RULES_WITHIN])
{
	static const uint8_t zero[16];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(embeddings) && a->family == ADDR_V6; i++) {
		const struct embedding *e = &embeddings[i];
		struct addr v4 = { .family = ADDR_V4 };

		if (!is_in(a->bytes, &e->prefix) ||
		    memcmp(a->bytes + e->rest, zero, sizeof(zero) - e->rest) != 0)
			continue;
		for (unsigned b = 0; b < sizeof(e->at); b++)
			v4.bytes[b] = a->bytes[e->at[b]];
		if (e->prefix.prefix == 48 && memcmp(v4.bytes, zero, 4) == 0 &&
		    memcmp(a->bytes + 6, zero, 10) != 0)
			continue;
		if (count < FORWARD_RULES_WITHIN)
			within[count++] = v4;
	}
	return count;
}

const char *forward_rules_forbid(const struct addr *a)
{
	struct addr within[FORWARD_RULES_WITHIN];
	size_t count = forward_rules_within(a, within);
	const char *what;

	if (a->family == ADDR_V4)
		return forbid_v4(a->bytes);
	what = look_up(a->bytes, v6_blocks, ARRAY_SIZE(v6_blocks));
	for (size_t i = 0; i < count && !what; i++)
		what = forbid_v4(within[i].bytes);
	return what;
}
