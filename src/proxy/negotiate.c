// SPDX-License-Identifier: GPL-2.0-or-later
/* In which form a scraper wants its answer: see negotiate.h. Sections are those of RFC 9110. */
#include "negotiate.h"

#include "admin_request.h"

/* How closely a media range names a type; 0: not at all. */
enum closeness {
	RANGE_OTHER,
	RANGE_ANY,     /* two stars */
	RANGE_MAIN,    /* the main type, and a star */
	RANGE_TYPE,    /* the type */
	RANGE_VERSION, /* the type in our version */
};

struct media {
	struct span main, type, version;
};

static const struct media medias[] = {
	[METRICS_TEXT] = { SPAN_LIT("text"), SPAN_LIT("text/plain"), SPAN_LIT("0.0.4") },
	[METRICS_OPENMETRICS] = { SPAN_LIT("application"), SPAN_LIT("application/openmetrics-text"),
				  SPAN_LIT("1.0.0") },
};
_Static_assert(ARRAY_SIZE(medias) == METRICS_FORMAT_COUNT, "one for each");

/* The next item up to @sep, without blanks around it; quoted strings may hold @sep (5.6.4). */
static bool next_item(struct span *rest, char sep, struct span *item)
{
	bool quoted = false;
	size_t at = 0;

	if (!rest->len)
		return false;
	for (; at < rest->len && (quoted || rest->ptr[at] != sep); at++) {
		if (rest->ptr[at] == '"')
			quoted = !quoted;
		else if (quoted && rest->ptr[at] == '\\')
			at++;
	}
	at = MIN(at, rest->len);
	*item = span_trim(SPAN(rest->ptr, at));
	at += at < rest->len;
	*rest = SPAN(rest->ptr + at, rest->len - at);
	return true;
}

/* Sect. 12.4.2, in thousandths: "1", "0.8", at most three digits behind the point. -1: none. */
static int weight_of(struct span text)
{
	int weight = 0, unit = 1000;

	if (!text.len || (text.ptr[0] != '0' && text.ptr[0] != '1') || text.len > 5 ||
	    (text.len > 1 && text.ptr[1] != '.'))
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (i == 1)
			continue;
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return -1;
		weight += unit * (text.ptr[i] - '0');
		unit /= 10;
	}
	return weight <= 1000 ? weight : -1;
}

/* "name=value" of a parameter, the value without quotes. */
static struct span parameter(struct span item, struct span name)
{
	const char *equals = item.len ? memchr(item.ptr, '=', item.len) : NULL;
	size_t at = equals ? (size_t)(equals - item.ptr) : 0;
	struct span value;

	if (!equals || !span_eq_nocase(span_trim(SPAN(item.ptr, at)), name))
		return SPAN(NULL, 0);
	value = span_trim(SPAN(equals + 1, item.len - at - 1));
	if (value.len > 1 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
		value = SPAN(value.ptr + 1, value.len - 2);
	return value;
}

static enum closeness closeness_of(struct span range, struct span version, const struct media *m)
{
	if (span_eq(range, SPAN_LIT("*/*")))
		return RANGE_ANY;
	if (span_eq_nocase(range, m->type)) {
		if (!version.ptr)
			return RANGE_TYPE;
		return span_eq(version, m->version) ? RANGE_VERSION : RANGE_OTHER;
	}
	if (range.len == m->main.len + 2 && range.ptr[range.len - 1] == '*' &&
	    range.ptr[range.len - 2] == '/' &&
	    span_eq_nocase(SPAN(range.ptr, m->main.len), m->main))
		return RANGE_MAIN;
	return RANGE_OTHER;
}

/* What Accept thinks of each format: that of the closest range (sect. 12.5.1). */
struct opinion {
	enum closeness closeness;
	int weight; /* thousandths */
};

static void range_read(struct span item, struct opinion opinions[METRICS_FORMAT_COUNT])
{
	struct span range = { NULL, 0 }, version = { NULL, 0 }, part;
	int weight = 1000;

	if (!next_item(&item, ';', &range))
		return;
	while (next_item(&item, ';', &part)) {
		struct span v = parameter(part, SPAN_LIT("version"));
		struct span q = parameter(part, SPAN_LIT("q"));

		if (v.ptr)
			version = v;
		if (q.ptr)
			weight = weight_of(q);
	}
	for (int i = 0; i < METRICS_FORMAT_COUNT && weight >= 0; i++) {
		enum closeness closeness = closeness_of(range, version, &medias[i]);

		if (closeness > opinions[i].closeness)
			opinions[i] = (struct opinion){ closeness, weight };
	}
}

enum metrics_format negotiate_format(struct span fields)
{
	struct opinion opinions[METRICS_FORMAT_COUNT] = { { RANGE_OTHER, 0 } };
	const struct opinion *om = &opinions[METRICS_OPENMETRICS];
	struct span value, item;

	while (admin_field_next(&fields, SPAN_LIT("accept"), &value)) {
		while (next_item(&value, ',', &item))
			range_read(item, opinions);
	}
	/* Whoever takes anything did not ask for it. */
	if (om->closeness < RANGE_TYPE || !om->weight)
		return METRICS_TEXT;
	return om->weight >= opinions[METRICS_TEXT].weight ? METRICS_OPENMETRICS : METRICS_TEXT;
}

/* Sect. 12.5.3. */
bool negotiate_gzip(struct span fields)
{
	int gzip = -1, identity = -1, any = -1; /* not said */
	struct span value, item;

	while (admin_field_next(&fields, SPAN_LIT("accept-encoding"), &value)) {
		while (next_item(&value, ',', &item)) {
			struct span coding = { NULL, 0 }, part;
			int weight = 1000;

			if (!next_item(&item, ';', &coding))
				continue;
			while (next_item(&item, ';', &part)) {
				struct span q = parameter(part, SPAN_LIT("q"));

				if (q.ptr)
					weight = weight_of(q);
			}
			if (span_eq_nocase(coding, SPAN_LIT("gzip")) ||
			    span_eq_nocase(coding, SPAN_LIT("x-gzip")))
				gzip = MAX(gzip, weight);
			else if (span_eq_nocase(coding, SPAN_LIT("identity")))
				identity = weight;
			else if (span_eq(coding, SPAN_LIT("*")))
				any = weight;
		}
	}
	if (gzip < 0)
		gzip = any;
	return gzip > 0 && gzip >= identity;
}
