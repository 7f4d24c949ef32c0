/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses, CIDR blocks and merged lists of them. Pure: no sockets, no name service. */
#ifndef SLUICE_ADDR_H
#define SLUICE_ADDR_H

#include "error.h"
#include "span.h"

enum addr_family {
	ADDR_V4,
	ADDR_V6,
	ADDR_FAMILY_COUNT,
};

struct addr {
	uint8_t family;	   /* enum addr_family */
	uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest is zero */
};

struct cidr {
	struct addr addr; /* host bits are zero */
	uint8_t prefix;	  /* 0 to 32 or 128 */
};

/* Addresses of one family from first to last, inclusive. */
struct addr_range {
	uint8_t first[16], last[16];
};

struct addr_ranges {
	struct addr_range *ranges; /* owned */
	size_t count, capacity;
};

/* CIDR blocks of both families. */
struct cidr_list {
	struct addr_ranges family[ADDR_FAMILY_COUNT];
	bool all; /* "*" was given */
};

#define ADDR_TEXT_MAX 46

/* 4 or 16. */
static inline size_t addr_len(enum addr_family family)
{
	return family == ADDR_V4 ? 4 : 16;
}

/* "10.1.2.3" or "fd00::1"; a usage error otherwise. */
int addr_parse(struct span s, struct addr *out, struct err *e);

/* Writes the usual text, NUL-terminated, and returns @text. */
const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX]);

/*
 * Makes 1.2.3.4 out of its other spelling ::ffff:1.2.3.4 (RFC 4291 sect. 2.5.5.2); whether it was
 * one.
 */
bool addr_unmap(struct addr *a);

/* 0.0.0.0 or ::, the address of nothing. */
bool addr_is_any(const struct addr *a);

/* 127.0.0.0/8, ::1, and IPv4 loopback written as ::ffff:127.x. */
bool addr_is_loopback(const struct addr *a);

/*
 * "10.0.0.0/8", "fd00::/8", or a bare address (a block of one). Host bits are masked.
 * A block of IPv4 addresses spelt as IPv6 (::ffff:10.0.0.0/104) is the IPv4 block.
 */
int cidr_parse(struct span s, struct cidr *out, struct err *e);

void cidr_list_fini(struct cidr_list *l);

/* Adds one block, or "*" if @star. 0, a usage error or -ENOMEM. */
int cidr_list_parse_item(struct cidr_list *l, struct span item, bool star, struct err *e);

/* Sorts and merges both families; O(n log n). Idempotent. */
void cidr_list_normalize(struct cidr_list *l);

/* Whether @a is in it. Precondition: normalized. O(log n). */
bool cidr_list_has(const struct cidr_list *l, const struct addr *a);

/*
 * Whether @r is one CIDR block; its prefix length goes to *@prefix then. Ranges of a normalized
 * list may be several blocks long.
 */
bool addr_range_is_cidr(const struct addr_range *r, enum addr_family family, uint8_t *prefix);

/*
 * The address after @addr into @next. False when it was the last of its family (@next is zero).
 */
bool addr_successor(const uint8_t *addr, enum addr_family family, uint8_t next[16]);

#endif
