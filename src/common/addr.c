// SPDX-License-Identifier: GPL-2.0-or-later
/* IP addresses and CIDR blocks: see addr.h. */
#include "addr.h"

#include "parse.h"

#include <arpa/inet.h>
#include <errno.h>

int addr_parse(struct span s, struct addr *out, struct err *e)
{
	struct addr a = { .family = ADDR_V4 };
	char text[ADDR_TEXT_MAX];

	if (s.len && s.len < sizeof(text) && !memchr(s.ptr, '\0', s.len)) {
		memcpy(text, s.ptr, s.len);
		text[s.len] = '\0';
		if (inet_pton(AF_INET, text, a.bytes) == 1) {
			*out = a;
			return 0;
		}
		a.family = ADDR_V6;
		if (inet_pton(AF_INET6, text, a.bytes) == 1) {
			*out = a;
			return 0;
		}
	}
	return err_usage(e, "'%.*s' is not an IP address", (int)MIN(s.len, 64u), s.ptr);
}

const char *addr_text(const struct addr *a, char text[ADDR_TEXT_MAX])
{
	inet_ntop(a->family == ADDR_V4 ? AF_INET : AF_INET6, a->bytes, text, ADDR_TEXT_MAX);
	return text;
}

/* ::ffff:0:0/96 (RFC 4291 sect. 2.5.5.2). */
#define MAPPED_BITS 96
static const uint8_t v4_mapped[MAPPED_BITS / 8] = { [10] = 0xff, [11] = 0xff };

bool addr_unmap(struct addr *a)
{
	struct addr v4 = { .family = ADDR_V4 };

	if (a->family != ADDR_V6 || memcmp(a->bytes, v4_mapped, sizeof(v4_mapped)) != 0)
		return false;
	memcpy(v4.bytes, a->bytes + sizeof(v4_mapped), 4);
	*a = v4;
	return true;
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t none[16];

	return memcmp(a->bytes, none, sizeof(none)) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t v6_one[16] = { [15] = 1 };

	if (a->family == ADDR_V4)
		return a->bytes[0] == 127;
	return memcmp(a->bytes, v6_one, 16) == 0 ||
	       (memcmp(a->bytes, v4_mapped, sizeof(v4_mapped)) == 0 && a->bytes[12] == 127);
}

/* The host bits below @prefix, all zeros or all ones. */
static void fill_host_bits(uint8_t *bytes, size_t len, unsigned prefix, bool ones)
{
	for (size_t i = 0; i < len; i++) {
		unsigned kept = prefix > 8 * i ? MIN(prefix - 8 * (unsigned)i, 8u) : 0;
		uint8_t host = (uint8_t)(0xff >> kept);

		bytes[i] = ones ? bytes[i] | host : bytes[i] & (uint8_t)~host;
	}
}

int cidr_parse(struct span s, struct cidr *out, struct err *e)
{
	const char *slash = s.len ? memchr(s.ptr, '/', s.len) : NULL;
	struct span host = slash ? SPAN(s.ptr, (size_t)(slash - s.ptr)) : s;
	uint32_t max, prefix;
	struct cidr c;

	if (addr_parse(host, &c.addr, NULL) < 0)
		return err_usage(e,
				 "'%.*s' is not an address or CIDR block: write 10.0.0.0/8 or "
				 "fd00::/8",
				 (int)MIN(s.len, 64u), s.ptr);
	max = 8 * (uint32_t)addr_len(c.addr.family);
	prefix = max;
	if (slash && parse_u32(SPAN(slash + 1, s.len - host.len - 1), 0, max, &prefix, NULL) < 0)
		return err_usage(e, "'%.*s': the prefix length of an IPv%c block is 0 to %u",
				 (int)MIN(s.len, 64u), s.ptr, c.addr.family == ADDR_V4 ? '4' : '6',
				 max);
	/* What a socket calls ::ffff:10.0.0.1 leaves as IPv4: no IPv6 rule would ever see it. */
	if (prefix >= MAPPED_BITS && addr_unmap(&c.addr))
		prefix -= MAPPED_BITS;
	c.prefix = (uint8_t)prefix;
	fill_host_bits(c.addr.bytes, addr_len(c.addr.family), prefix, false);
	*out = c;
	return 0;
}

void cidr_list_fini(struct cidr_list *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		free(l->family[f].ranges);
	*l = (struct cidr_list){ 0 };
}

int cidr_list_parse_item(struct cidr_list *l, struct span item, bool star, struct err *e)
{
	struct addr_ranges *into;
	struct addr_range *r;
	struct cidr c;
	int rc;

	if (star && span_eq(item, SPAN_LIT("*"))) {
		l->all = true;
		return 0;
	}
	rc = cidr_parse(item, &c, e);
	if (rc < 0)
		return rc;
	into = &l->family[c.addr.family];
	if (into->count == into->capacity) {
		size_t capacity = into->capacity ? 2 * into->capacity : 8;

		r = realloc(into->ranges, capacity * sizeof(*r));
		if (!r)
			return err_set(e, -ENOMEM, "out of memory for %zu blocks", capacity);
		into->ranges = r;
		into->capacity = capacity;
	}
	r = &into->ranges[into->count++];
	memcpy(r->first, c.addr.bytes, 16);
	memcpy(r->last, c.addr.bytes, 16);
	fill_host_bits(r->last, addr_len(c.addr.family), c.prefix, true);
	return 0;
}

static int addr_range_cmp(const void *a, const void *b)
{
	const struct addr_range *x = a, *y = b;

	return memcmp(x->first, y->first, 16);
}

bool addr_successor(const uint8_t *addr, enum addr_family family, uint8_t next[16])
{
	memset(next, 0, 16);
	memcpy(next, addr, addr_len(family));
	for (size_t i = addr_len(family); i-- > 0;) {
		if (++next[i])
			return true;
	}
	return false;
}

/* Lists are often written in order; then there is no need to sort 10,000 of them. */
static bool is_sorted(const struct addr_ranges *l)
{
	for (size_t i = 1; i < l->count; i++) {
		if (addr_range_cmp(&l->ranges[i - 1], &l->ranges[i]) > 0)
			return false;
	}
	return true;
}

static void addr_ranges_normalize(struct addr_ranges *l, enum addr_family family)
{
	uint8_t next[16];
	size_t kept = 0;

	if (!l->count)
		return;
	if (!is_sorted(l))
		qsort(l->ranges, l->count, sizeof(*l->ranges), addr_range_cmp);
	for (size_t i = 1; i < l->count; i++) {
		struct addr_range *last = &l->ranges[kept];

		if (!addr_successor(last->last, family, next) ||
		    memcmp(l->ranges[i].first, next, 16) <= 0) {
			if (memcmp(l->ranges[i].last, last->last, 16) > 0)
				memcpy(last->last, l->ranges[i].last, 16);
		} else {
			l->ranges[++kept] = l->ranges[i];
		}
	}
	l->count = kept + 1;
}

void cidr_list_normalize(struct cidr_list *l)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		addr_ranges_normalize(&l->family[f], (enum addr_family)f);
}

bool cidr_list_has(const struct cidr_list *l, const struct addr *a)
{
	const struct addr_ranges *r = &l->family[a->family];
	size_t low = 0, high = r->count;

	if (l->all)
		return true;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(a->bytes, r->ranges[mid].last, 16) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->count && memcmp(a->bytes, r->ranges[low].first, 16) >= 0;
}

bool addr_range_is_cidr(const struct addr_range *r, enum addr_family family, uint8_t *prefix)
{
	size_t len = addr_len(family);
	uint8_t probe[16] = { 0 };
	unsigned bits = 0;

	while (bits < 8 * len &&
	       ((r->first[bits / 8] ^ r->last[bits / 8]) & (0x80 >> bits % 8)) == 0)
		bits++;
	memcpy(probe, r->first, len);
	fill_host_bits(probe, len, bits, false);
	if (memcmp(probe, r->first, len) != 0)
		return false;
	fill_host_bits(probe, len, bits, true);
	if (memcmp(probe, r->last, len) != 0)
		return false;
	*prefix = (uint8_t)bits;
	return true;
}
