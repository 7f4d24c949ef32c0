// SPDX-License-Identifier: GPL-2.0-or-later
/* HPACK's tables: see hpack_table.h. */
#include "hpack_table.h"

#define TEXT_NUMBERS (1u << 26) /* what hpack_entry.value holds */
_Static_assert(TEXT_NUMBERS % HPACK_TEXTS_MAX == 0, "a text's place is its number's remainder");

/* What keeping a text costs: the object, the allocator's share, the place in the ring. */
#define TEXT_OVERHEAD 24u

#define ENTRY(id, name_text, value_text, number)                                        \
	{                                                                               \
		.name_len = sizeof(name_text) - 1, .value_len = sizeof(value_text) - 1, \
		.name = HPACK_NAME_##id, .value = (number)                              \
	}
#define OTHER(name_text, value_text) ENTRY(OTHER, name_text, value_text, 0)

/* RFC 7541 appendix A. */
static const struct hpack_entry static_table[] = {
	ENTRY(AUTHORITY, ":authority", "", 0),
	ENTRY(METHOD, ":method", "GET", HTTP_METHOD_GET),
	ENTRY(METHOD, ":method", "POST", HTTP_METHOD_POST),
	ENTRY(PATH, ":path", "/", 0),
	ENTRY(PATH, ":path", "/index.html", 0),
	OTHER(":scheme", "http"),
	OTHER(":scheme", "https"),
	ENTRY(STATUS, ":status", "200", 200),
	ENTRY(STATUS, ":status", "204", 204),
	ENTRY(STATUS, ":status", "206", 206),
	ENTRY(STATUS, ":status", "304", 304),
	ENTRY(STATUS, ":status", "400", 400),
	ENTRY(STATUS, ":status", "404", 404),
	ENTRY(STATUS, ":status", "500", 500),
	OTHER("accept-charset", ""),
	OTHER("accept-encoding", "gzip, deflate"),
	OTHER("accept-language", ""),
	OTHER("accept-ranges", ""),
	OTHER("accept", ""),
	OTHER("access-control-allow-origin", ""),
	OTHER("age", ""),
	OTHER("allow", ""),
	OTHER("authorization", ""),
	OTHER("cache-control", ""),
	OTHER("content-disposition", ""),
	OTHER("content-encoding", ""),
	OTHER("content-language", ""),
	OTHER("content-length", ""),
	OTHER("content-location", ""),
	OTHER("content-range", ""),
	ENTRY(CONTENT_TYPE, "content-type", "", 0),
	OTHER("cookie", ""),
	OTHER("date", ""),
	OTHER("etag", ""),
	OTHER("expect", ""),
	OTHER("expires", ""),
	OTHER("from", ""),
	ENTRY(HOST, "host", "", 0),
	OTHER("if-match", ""),
	OTHER("if-modified-since", ""),
	OTHER("if-none-match", ""),
	OTHER("if-range", ""),
	OTHER("if-unmodified-since", ""),
	OTHER("last-modified", ""),
	OTHER("link", ""),
	OTHER("location", ""),
	OTHER("max-forwards", ""),
	OTHER("proxy-authenticate", ""),
	OTHER("proxy-authorization", ""),
	OTHER("range", ""),
	OTHER("referer", ""),
	OTHER("refresh", ""),
	OTHER("retry-after", ""),
	OTHER("server", ""),
	OTHER("set-cookie", ""),
	OTHER("strict-transport-security", ""),
	OTHER("transfer-encoding", ""),
	OTHER("user-agent", ""),
	OTHER("vary", ""),
	OTHER("via", ""),
	OTHER("www-authenticate", ""),
};
_Static_assert(ARRAY_SIZE(static_table) == HPACK_STATIC_COUNT, "as the appendix has");

static const char *const name_texts[] = {
	[HPACK_NAME_OTHER] = "",
	[HPACK_NAME_METHOD] = ":method",
	[HPACK_NAME_STATUS] = ":status",
	[HPACK_NAME_CONTENT_TYPE] = "content-type",
	[HPACK_NAME_GRPC_STATUS] = "grpc-status",
	[HPACK_NAME_GRPC_TIMEOUT] = "grpc-timeout",
	[HPACK_NAME_TRACE] = "traceparent",
	[HPACK_NAME_PATH] = ":path",
	[HPACK_NAME_AUTHORITY] = ":authority",
	[HPACK_NAME_HOST] = "host",
};
_Static_assert(ARRAY_SIZE(name_texts) == HPACK_NAME_COUNT, "a text for each");

enum hpack_name hpack_name_of(struct span name)
{
	for (int i = HPACK_NAME_OTHER + 1; i < HPACK_NAME_COUNT; i++) {
		if (span_eq(name, span_str(name_texts[i])))
			return (enum hpack_name)i;
	}
	return HPACK_NAME_OTHER;
}

const struct hpack_entry *hpack_static(uint32_t index)
{
	return &static_table[index - 1];
}

struct span hpack_static_text(uint32_t index)
{
	switch (index) {
	case 4:
		return SPAN_LIT("/");
	case 5:
		return SPAN_LIT("/index.html");
	default:
		return SPAN("", 0);
	}
}

static void evict(struct hpack_table *t)
{
	struct hpack_entry *e = &t->entries[t->first];

	if (e->has_text) {
		struct hpack_text *text = hpack_table_text(t, e);

		t->text_bytes = (uint16_t)(t->text_bytes - text->len - TEXT_OVERHEAD);
		t->text_first = (t->text_first + 1) % TEXT_NUMBERS;
		t->text_count--;
		hpack_text_unref(text);
	}
	t->size -= e->name_len + e->value_len + 32u;
	t->first = (uint16_t)(t->first + 1u == t->capacity ? 0 : t->first + 1u);
	t->count--;
}

void hpack_table_resize(struct hpack_table *t, uint32_t max)
{
	t->max = max;
	while (t->size > max)
		evict(t);
}

void hpack_table_fini(struct hpack_table *t)
{
	hpack_table_resize(t, 0);
	free(t->entries);
	free(t->texts);
	*t = (struct hpack_table){ 0 };
}

static bool grow_entries(struct hpack_table *t)
{
	unsigned capacity = t->capacity ? MIN(2u * t->capacity, HPACK_ENTRIES_MAX) : 16;
	unsigned straight = MIN(t->count, (unsigned)t->capacity - t->first);
	struct hpack_entry *entries = malloc(capacity * sizeof(*entries));

	if (!entries)
		return false;
	if (t->count) {
		memcpy(entries, t->entries + t->first, straight * sizeof(*entries));
		memcpy(entries + straight, t->entries, (t->count - straight) * sizeof(*entries));
	}
	free(t->entries);
	t->entries = entries;
	t->capacity = (uint16_t)capacity;
	t->first = 0;
	return true;
}

static bool grow_texts(struct hpack_table *t)
{
	unsigned capacity = t->text_capacity ? 2u * t->text_capacity : 4;
	struct hpack_text **texts = malloc(capacity * sizeof(struct hpack_text *));

	if (!texts)
		return false;
	for (uint32_t i = 0; i < t->text_count; i++) {
		uint32_t n = t->text_first + i;

		texts[n & (capacity - 1)] = t->texts[n & (t->text_capacity - 1u)];
	}
	free(t->texts);
	t->texts = texts;
	t->text_capacity = (uint16_t)capacity;
	return true;
}

/* Whether the table may keep one more text of @len, and has the room. */
static bool text_fits(struct hpack_table *t, size_t len)
{
	if (t->text_count == HPACK_TEXTS_MAX ||
	    t->text_bytes + len + TEXT_OVERHEAD > HPACK_TEXT_BYTES)
		return false;
	return t->text_count < t->text_capacity || grow_texts(t);
}

enum hpack_status hpack_table_add(struct hpack_table *t, struct hpack_entry e, uint32_t name_len,
				  uint32_t value_len, struct hpack_text *text)
{
	uint64_t size = (uint64_t)name_len + value_len + 32;
	uint32_t place;

	if (size > t->max) {
		/* RFC 7541 sect. 4.4: no error, but nothing is left. */
		while (t->count)
			evict(t);
		return HPACK_FIELD;
	}
	while (t->size + size > t->max)
		evict(t);
	if (t->count == HPACK_ENTRIES_MAX)
		return HPACK_LIMIT;
	if (t->count == t->capacity && !grow_entries(t))
		return HPACK_NOMEM;
	e.name_len = (uint16_t)name_len;
	e.value_len = (uint16_t)value_len;
	e.has_text = text && text_fits(t, text->len);
	if (e.has_text) {
		e.value = (t->text_first + t->text_count++) % TEXT_NUMBERS;
		t->texts[e.value & (t->text_capacity - 1u)] = hpack_text_ref(text);
		t->text_bytes = (uint16_t)(t->text_bytes + text->len + TEXT_OVERHEAD);
	}
	place = t->first + (uint32_t)t->count++;
	t->entries[place < t->capacity ? place : place - t->capacity] = e;
	t->size += (uint32_t)size;
	return HPACK_FIELD;
}
