/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of number ranges (ports, uids, gids): gathered in any order, then made sorted, disjoint
 * and not even touching, which is what interval sets of the kernel want.
 */
#ifndef SLUICE_INTERVAL_H
#define SLUICE_INTERVAL_H

#include "error.h"
#include "span.h"

struct u32_range {
	uint32_t first, last; /* inclusive */
};

struct u32_ranges {
	struct u32_range *ranges; /* owned */
	size_t count, capacity;
	bool all; /* "*" was given: every value */
};

void u32_ranges_fini(struct u32_ranges *r);

/* 0 or -ENOMEM. Precondition: first <= last. */
int u32_ranges_add(struct u32_ranges *r, uint32_t first, uint32_t last, struct err *e);

/* Sorts and merges overlapping and adjacent ranges; O(n log n). Idempotent. */
void u32_ranges_normalize(struct u32_ranges *r);

/* Whether @value is in it. Precondition: normalized. O(log n). */
bool u32_ranges_have(const struct u32_ranges *r, uint32_t value);

/*
 * Adds one item to @r: "80", "8000-8999" or, if @star, "*". Values from @min to @max.
 * Usage errors say what is wrong with the item.
 */
int u32_ranges_parse_item(struct u32_ranges *r, struct span item, uint32_t min, uint32_t max,
			  bool star, struct err *e);

#endif
