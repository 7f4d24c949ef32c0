// SPDX-License-Identifier: GPL-2.0-or-later
/* Lists of number ranges: see interval.h. */
#include "interval.h"

#include "parse.h"

#include <errno.h>

void u32_ranges_fini(struct u32_ranges *r)
{
	free(r->ranges);
	*r = (struct u32_ranges){ 0 };
}

int u32_ranges_add(struct u32_ranges *r, uint32_t first, uint32_t last, struct err *e)
{
	if (r->count == r->capacity) {
		size_t capacity = r->capacity ? 2 * r->capacity : 8;
		struct u32_range *grown = realloc(r->ranges, capacity * sizeof(*grown));

		if (!grown)
			return err_set(e, -ENOMEM, "out of memory for %zu ranges", capacity);
		r->ranges = grown;
		r->capacity = capacity;
	}
	r->ranges[r->count++] = (struct u32_range){ first, last };
	return 0;
}

static int range_cmp(const void *a, const void *b)
{
	const struct u32_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

void u32_ranges_normalize(struct u32_ranges *r)
{
	size_t kept = 0;

	if (!r->count)
		return;
	qsort(r->ranges, r->count, sizeof(*r->ranges), range_cmp);
	for (size_t i = 1; i < r->count; i++) {
		struct u32_range *last = &r->ranges[kept];

		if (last->last == UINT32_MAX || r->ranges[i].first <= last->last + 1)
			last->last = MAX(last->last, r->ranges[i].last);
		else
			r->ranges[++kept] = r->ranges[i];
	}
	r->count = kept + 1;
}

bool u32_ranges_have(const struct u32_ranges *r, uint32_t value)
{
	size_t low = 0, high = r->count;

	if (r->all)
		return true;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (value > r->ranges[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->count && value >= r->ranges[low].first;
}

int u32_ranges_parse_item(struct u32_ranges *r, struct span item, uint32_t min, uint32_t max,
			  bool star, struct err *e)
{
	const char *dash;
	uint32_t first, last;
	int rc;

	if (star && span_eq(item, SPAN_LIT("*"))) {
		r->all = true;
		return 0;
	}
	dash = item.len ? memchr(item.ptr, '-', item.len) : NULL;
	if (!dash) {
		rc = parse_u32(item, min, max, &first, e);
		return rc < 0 ? rc : u32_ranges_add(r, first, first, e);
	}
	if (parse_u32(SPAN(item.ptr, (size_t)(dash - item.ptr)), min, max, &first, NULL) < 0 ||
	    parse_u32(SPAN(dash + 1, item.len - (size_t)(dash + 1 - item.ptr)), min, max, &last,
		      NULL) < 0)
		return err_usage(e, "'%.*s' is not a range: write FIRST-LAST, each from %u to %u",
				 SPAN_FMT(item), min, max);
	if (first > last)
		return err_usage(e, "'%.*s' runs backwards: write %u-%u", SPAN_FMT(item), last,
				 first);
	return u32_ranges_add(r, first, last, e);
}
