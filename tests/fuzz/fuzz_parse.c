// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Parsers of what users write: numbers, durations, ranges, addresses. The input's first character
 * picks one, the rest is the text. What is accepted must be in bounds, and must be the same again
 * when it is written out and read once more.
 */
#include "addr.h"
#include "interval.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* A refusal is one line that says something. */
static bool accepted(int rc, const struct err *e)
{
	if (rc < 0)
		must(e->text[0] && !strchr(e->text, '\n') && e->status == EXIT_USAGE);
	return rc == 0;
}

static void numbers(struct span text)
{
	struct err e = ERR_INIT;
	uint32_t small, ms;
	uint64_t large;
	uint16_t port;
	char again[32];

	if (accepted(parse_u32(text, 5, 1000000, &small, &e), &e))
		must(small >= 5 && small <= 1000000);
	if (accepted(parse_u64(text, 0, UINT64_MAX, &large, &e), &e)) {
		uint64_t second;
		int n = snprintf(again, sizeof(again), "%llu", (unsigned long long)large);

		must(!parse_u64(SPAN(again, (size_t)n), 0, UINT64_MAX, &second, &e));
		must(second == large);
	}
	if (accepted(parse_port(text, &port, &e), &e))
		must(port > 0);
	if (accepted(parse_duration_ms(text, 20, 60000, &ms, &e), &e))
		must(ms >= 20 && ms <= 60000);
}

static void addresses(struct span text)
{
	struct err e = ERR_INIT;
	struct addr first, second;
	struct cidr block;
	char written[ADDR_TEXT_MAX];

	if (accepted(addr_parse(text, &first, &e), &e)) {
		must(!addr_parse(span_str(addr_text(&first, written)), &second, &e));
		must(!memcmp(&first, &second, sizeof(first)));
	}
	if (accepted(cidr_parse(text, &block, &e), &e))
		must(block.prefix <= 8 * addr_len(block.addr.family));
}

/* Items between commas, as an option takes them. */
static void number_list(struct span text)
{
	struct u32_ranges list = { .count = 0 };
	struct err e = ERR_INIT;
	struct span item;
	bool done = false;

	while (span_next(&text, ',', &item, &done))
		accepted(u32_ranges_parse_item(&list, item, 1, 65535, true, &e), &e);
	u32_ranges_normalize(&list);
	for (size_t i = 0; i < list.count; i++) {
		const struct u32_range *r = &list.ranges[i];

		must(r->first >= 1 && r->first <= r->last && r->last <= 65535);
		must(!i || r[-1].last + 1 < r->first);
		must(u32_ranges_have(&list, r->first) && u32_ranges_have(&list, r->last));
	}
	u32_ranges_fini(&list);
}

static void address_list(struct span text)
{
	struct cidr_list list = { .all = false };
	struct err e = ERR_INIT;
	struct span item;
	bool done = false;

	while (span_next(&text, ',', &item, &done))
		accepted(cidr_list_parse_item(&list, item, true, &e), &e);
	cidr_list_normalize(&list);
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		const struct addr_ranges *ranges = &list.family[f];

		for (size_t i = 0; i < ranges->count; i++) {
			const struct addr_range *r = &ranges->ranges[i];
			struct addr a = { .family = (uint8_t)f };

			must(memcmp(r->first, r->last, addr_len(f)) <= 0);
			must(!i || memcmp(r[-1].last, r->first, addr_len(f)) < 0);
			memcpy(a.bytes, r->first, addr_len(f));
			must(cidr_list_has(&list, &a));
		}
	}
	cidr_list_fini(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text;

	if (!size)
		return 0;
	text = SPAN((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'n':
		numbers(text);
		break;
	case 'a':
		addresses(text);
		break;
	case 'p':
		number_list(text);
		break;
	case 'c':
		address_list(text);
		break;
	default:
		break;
	}
	return 0;
}
