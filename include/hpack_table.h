/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HPACK's tables: the static one, and a dynamic one of sizes, numbers and a few texts. */
#ifndef SLUICE_HPACK_TABLE_H
#define SLUICE_HPACK_TABLE_H

#include "hpack.h"

#define HPACK_STATIC_COUNT 61u

/* What a field's name is to us. */
enum hpack_name hpack_name_of(struct span name);

static inline bool hpack_name_has_text(enum hpack_name name)
{
	return name >= HPACK_NAME_PATH;
}

/* The entry of index 1 to 61: RFC 7541 appendix A. Values of text are in hpack_static_text(). */
const struct hpack_entry *hpack_static(uint32_t index);
struct span hpack_static_text(uint32_t index);

/* The entry of index 62 on; NULL: there is none. Valid until the table changes. */
static inline const struct hpack_entry *hpack_dynamic(const struct hpack_table *t, uint32_t index)
{
	uint32_t age = index - HPACK_STATIC_COUNT - 1, at;

	if (age >= t->count)
		return NULL;
	at = t->first + t->count - 1u - age;
	return &t->entries[at < t->capacity ? at : at - t->capacity];
}

/* The text of an entry that has one; borrowed. */
static inline struct hpack_text *hpack_table_text(const struct hpack_table *t,
						  const struct hpack_entry *e)
{
	return e->has_text ? t->texts[e->value & (t->text_capacity - 1u)] : NULL;
}

/*
 * Adds @e, whose sizes are @name_len and @value_len; a text (or NULL) is shared if the bounds
 * allow. HPACK_FIELD when done, which includes that it was larger than the table and emptied it.
 */
enum hpack_status hpack_table_add(struct hpack_table *t, struct hpack_entry e, uint32_t name_len,
				  uint32_t value_len, struct hpack_text *text);

/* Makes room: what does not fit @max any more goes, the oldest first. */
void hpack_table_resize(struct hpack_table *t, uint32_t max);

void hpack_table_fini(struct hpack_table *t);

#endif
