// SPDX-License-Identifier: GPL-2.0-or-later
/* Numbers, durations and words out of text: see parse.h. */
#include "parse.h"

#include <errno.h>

int parse_u64(struct span s, uint64_t min, uint64_t max, uint64_t *out, struct err *e)
{
	bool overflow = false;
	uint64_t value = 0;

	if (!s.len)
		return err_usage(e, "an empty value: give a number from %llu to %llu",
				 (unsigned long long)min, (unsigned long long)max);
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.ptr[i] - '0';

		if (digit > 9)
			return err_usage(e, "'%.*s' is not a number", SPAN_FMT(s));
		overflow |= __builtin_mul_overflow(value, (uint64_t)10, &value) ||
			    __builtin_add_overflow(value, (uint64_t)digit, &value);
	}
	if (overflow || value < min || value > max)
		return err_usage(e, "'%.*s' is out of range: %llu to %llu", SPAN_FMT(s),
				 (unsigned long long)min, (unsigned long long)max);
	*out = value;
	return 0;
}

int parse_u32(struct span s, uint32_t min, uint32_t max, uint32_t *out, struct err *e)
{
	uint64_t value;
	int rc = parse_u64(s, min, max, &value, e);

	if (rc < 0)
		return rc;
	*out = (uint32_t)value;
	return 0;
}

int parse_port(struct span s, uint16_t *out, struct err *e)
{
	uint64_t value;
	int rc = parse_u64(s, 1, 65535, &value, e);

	if (rc < 0)
		return rc;
	*out = (uint16_t)value;
	return 0;
}

/* "300ms": "300" and "ms". */
static void split_unit(struct span s, struct span *digits, struct span *unit)
{
	size_t len = 0;

	while (len < s.len && s.ptr[len] >= '0' && s.ptr[len] <= '9')
		len++;
	*digits = SPAN(s.ptr, len);
	*unit = SPAN(s.ptr + len, s.len - len);
}

int parse_duration_ms(struct span s, uint32_t min_ms, uint32_t max_ms, uint32_t *out, struct err *e)
{
	static const struct {
		struct span suffix;
		uint32_t ms;
	} units[] = {
		{ { "ms", 2 }, 1 },
		{ { "s", 1 }, 1000 },
		{ { "m", 1 }, 60000 },
		{ { "h", 1 }, 3600000 },
	};
	struct span digits, unit;
	uint64_t value;

	split_unit(s, &digits, &unit);
	for (size_t i = 0; digits.len && i < ARRAY_SIZE(units); i++) {
		if (!span_eq(unit, units[i].suffix))
			continue;
		if (parse_u64(digits, 0, UINT32_MAX, &value, NULL) < 0 ||
		    value * units[i].ms < min_ms || value * units[i].ms > max_ms)
			return err_usage(e, "'%.*s' is out of range: %ums to %ums", SPAN_FMT(s),
					 min_ms, max_ms);
		*out = (uint32_t)(value * units[i].ms);
		return 0;
	}
	return err_usage(e, "'%.*s' is not a duration: write 300ms, 2s, 5m or 1h", SPAN_FMT(s));
}

int parse_size(struct span s, uint64_t min, uint64_t max, uint64_t *out, struct err *e)
{
	static const struct {
		struct span suffix;
		unsigned shift;
	} units[] = {
		{ { "Ki", 2 }, 10 },  { { "KiB", 3 }, 10 }, { { "Mi", 2 }, 20 },
		{ { "MiB", 3 }, 20 }, { { "Gi", 2 }, 30 },  { { "GiB", 3 }, 30 },
	};
	struct span digits, unit;
	uint64_t value;

	split_unit(s, &digits, &unit);
	for (size_t i = 0; digits.len && i < ARRAY_SIZE(units); i++) {
		if (!span_eq(unit, units[i].suffix))
			continue;
		if (parse_u64(digits, 0, UINT32_MAX, &value, NULL) < 0 ||
		    value << units[i].shift < min || value << units[i].shift > max)
			return err_usage(e, "'%.*s' is out of range: %lluKiB to %lluKiB",
					 SPAN_FMT(s), (unsigned long long)min >> 10,
					 (unsigned long long)max >> 10);
		*out = value << units[i].shift;
		return 0;
	}
	return err_usage(e, "'%.*s' is not a size: write 64MiB, 512KiB or 1GiB", SPAN_FMT(s));
}

int parse_bool(struct span s, bool *out, struct err *e)
{
	static const char *const words[] = { "off", "on", "false", "true", "no", "yes", "0", "1" };

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (span_eq_nocase(s, span_str(words[i]))) {
			*out = i & 1;
			return 0;
		}
	}
	return err_usage(e, "'%.*s' is neither on nor off", SPAN_FMT(s));
}

int parse_word(struct span s, const char *const *words, unsigned count, unsigned *out,
	       struct err *e)
{
	char list[256] = "";
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		if (span_eq(s, span_str(words[i]))) {
			*out = i;
			return 0;
		}
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						i ? ", " : "", words[i]);
	}
	return err_usage(e, "'%.*s' is not one of: %s", SPAN_FMT(s), list);
}
