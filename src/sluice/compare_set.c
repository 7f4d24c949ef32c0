// SPDX-License-Identifier: GPL-2.0-or-later
/* Differences between the ranges of two sets: see compare_set.h. */
#include "compare_set.h"

#include <libnftnl/set.h>

#define RANGE_TEXT_MAX (2 * ADDR_TEXT_MAX + 2)

/* Ports and owners, of two or four big-endian bytes. */
static uint32_t number(const uint8_t *key, size_t len)
{
	uint32_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | key[i];
	return value;
}

static const char *address_text(const uint8_t *key, enum addr_family family,
				char text[ADDR_TEXT_MAX])
{
	struct addr a = { .family = (uint8_t)family };

	memcpy(a.bytes, key, addr_len(family));
	return addr_text(&a, text);
}

/* Keys of 16 bytes are IPv6; of 4, IPv4 where nft would print them so. */
static const char *range_text(const struct ruleset_set *s, const struct addr_range *r,
			      char text[RANGE_TEXT_MAX])
{
	uint32_t len = nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_LEN);
	uint32_t type = nftnl_set_get_u32(s->nft, NFTNL_SET_KEY_TYPE);
	enum addr_family family = len == 16 ? ADDR_V6 : ADDR_V4;
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	uint8_t prefix;

	if (type != RULESET_TYPE_IPADDR && type != RULESET_TYPE_IP6ADDR) {
		snprintf(text, RANGE_TEXT_MAX, "%u-%u", number(r->first, len),
			 number(r->last, len));
		if (memcmp(r->first, r->last, len) == 0)
			*strchr(text, '-') = '\0';
		return text;
	}
	address_text(r->first, family, first);
	if (addr_range_is_cidr(r, family, &prefix))
		snprintf(text, RANGE_TEXT_MAX, "%s/%u", first, prefix);
	else
		snprintf(text, RANGE_TEXT_MAX, "%s-%s", first, address_text(r->last, family, last));
	return text;
}

static int key_cmp(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, RULESET_KEY_MAX);
}

/* Reports what of @a's ranges is not in @b's; both are sorted and disjoint. */
static void report_difference(struct comparison *c, const char *kind, const char *name,
			      const struct ruleset_set *labels, const struct addr_ranges *a,
			      const struct addr_ranges *b)
{
	size_t len = nftnl_set_get_u32(labels->nft, NFTNL_SET_KEY_LEN);
	char text[RANGE_TEXT_MAX];
	size_t j = 0;

	for (size_t i = 0; i < a->count; i++) {
		struct addr_range rest = a->ranges[i], part;
		bool left = true;

		while (j < b->count && key_cmp(b->ranges[j].last, rest.first) < 0)
			j++;
		for (size_t k = j; left && k < b->count; k++) {
			const struct addr_range *hole = &b->ranges[k];

			if (key_cmp(hole->first, rest.last) > 0)
				break;
			if (key_cmp(hole->first, rest.first) > 0) {
				part = rest;
				ruleset_key_predecessor(hole->first, len, part.last);
				compare_differ(c, kind, name, range_text(labels, &part, text));
			}
			left = key_cmp(hole->last, rest.last) < 0;
			ruleset_key_successor(hole->last, len, rest.first);
		}
		if (left)
			compare_differ(c, kind, name, range_text(labels, &rest, text));
	}
}

void compare_set_ranges(struct comparison *c, const char *name, const struct ruleset_set *want,
			const struct ruleset_set *have)
{
	const struct addr_ranges *w = &want->ranges, *h = &have->ranges;

	/* The usual case, of up to 10,000 and more. */
	if (w->count == h->count &&
	    (!w->count || memcmp(w->ranges, h->ranges, w->count * sizeof(*w->ranges)) == 0))
		return;
	report_difference(c, "missing", name, want, &want->ranges, &have->ranges);
	report_difference(c, "extra", name, want, &have->ranges, &want->ranges);
}
