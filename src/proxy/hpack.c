// SPDX-License-Identifier: GPL-2.0-or-later
/* HPACK for an observer: see hpack.h. */
#include "hpack.h"

#include "grpc.h"
#include "hpack_table.h"

/* Where the next byte belongs to. */
enum hpack_state {
	STATE_FIELD,	    /* the first byte of a field, or the rest of its integer */
	STATE_NAME_LENGTH,  /* then NAME */
	STATE_NAME,	    /* then VALUE_LENGTH */
	STATE_VALUE_LENGTH, /* then VALUE */
	STATE_VALUE,	    /* then FIELD */
};

/* RFC 7541 sect. 6; what a field's first bits say. */
enum hpack_kind {
	KIND_INDEXED,	  /* 1xxxxxxx */
	KIND_INCREMENTAL, /* 01xxxxxx: a literal that becomes an entry */
	KIND_RESIZE,	  /* 001xxxxx: the table's size */
	KIND_LITERAL,	  /* 000xxxxx: a literal that does not */
};

/* What a step came to. */
enum step {
	STEP_DONE, /* the next one can be taken */
	STEP_MORE, /* the piece ended within it */
	STEP_BAD,
	STEP_LIMIT,
	STEP_NOMEM,
};

void hpack_init(struct hpack *h)
{
	*h = (struct hpack){
		.table.max = HPACK_TABLE_DEFAULT,
		.ceiling = HPACK_TABLE_DEFAULT,
	};
}

static void drop_cut(struct hpack *h)
{
	free(h->cut);
	h->cut = NULL;
}

void hpack_fini(struct hpack *h)
{
	drop_cut(h);
	hpack_table_fini(&h->table);
	hpack_text_unref(take_ptr(&h->last_path));
	hpack_text_unref(take_ptr(&h->last_authority));
}

void hpack_set_ceiling(struct hpack *h, uint32_t ceiling)
{
	h->ceiling = ceiling;
}

bool hpack_end_block(struct hpack *h)
{
	h->begun = false;
	return h->state == STATE_FIELD && !h->in_number;
}

static uint8_t take_byte(struct span *piece)
{
	uint8_t byte = (uint8_t)*piece->ptr;

	piece->ptr++;
	piece->len--;
	return byte;
}

/* RFC 7541 sect. 5.1: an integer whose first byte has @bits of it. At most 32 bits are taken. */
static enum step take_number(struct hpack *h, struct span *piece, unsigned bits)
{
	uint32_t full = (1u << bits) - 1;

	if (!piece->len)
		return STEP_MORE;
	if (!h->in_number) {
		h->number = take_byte(piece) & full;
		if (likely(h->number < full))
			return STEP_DONE;
		h->in_number = true;
		h->shift = 0;
	}
	while (piece->len) {
		uint8_t byte = take_byte(piece);
		uint64_t number;

		if (h->shift > 28)
			return STEP_BAD;
		number = h->number + ((uint64_t)(byte & 0x7f) << h->shift);
		if (number > UINT32_MAX)
			return STEP_BAD;
		h->number = (uint32_t)number;
		h->shift += 7;
		if (!(byte & 0x80)) {
			h->in_number = false;
			return STEP_DONE;
		}
	}
	return STEP_MORE;
}

/* A string's length, and whether it is Huffman coded: RFC 7541 sect. 5.2. */
static enum step take_length(struct hpack *h, struct span *piece)
{
	enum step step;

	if (piece->len && !h->in_number)
		h->huffman = *piece->ptr & 0x80;
	step = take_number(h, piece, 7);
	if (step == STEP_DONE && h->number > HPACK_STRING_MAX)
		return STEP_LIMIT;
	return step;
}

/*
 * Takes a string, all of it or what there is. On the way it is in @fresh, or in h->cut when an
 * earlier piece had its beginning; @out is which of them. @keep: its text is wanted.
 */
static enum step take_string(struct hpack *h, struct span *piece, bool keep,
			     struct hpack_string *fresh, struct hpack_string **out)
{
	struct hpack_string *s = h->cut;
	size_t room = keep ? HPACK_TEXT_MAX : 0;
	struct span part;

	if (!s) {
		s = fresh;
		s->code = (struct hpack_huffman){ 0 };
		s->left = h->number;
		s->len = 0;
	}
	part = SPAN(piece->ptr, MIN(piece->len, s->left));
	if (h->huffman) {
		if (!hpack_huffman_feed(&s->code, part, s->text, room, &s->len))
			return STEP_BAD;
	} else {
		if (s->len < room && part.len)
			memcpy(s->text + s->len, part.ptr, MIN(part.len, room - s->len));
		s->len += part.len;
	}
	*piece = SPAN(piece->ptr + part.len, piece->len - part.len);
	s->left -= part.len;
	*out = s;
	if (likely(!s->left))
		return h->huffman && !hpack_huffman_end(&s->code) ? STEP_BAD : STEP_DONE;
	if (!h->cut) {
		h->cut = malloc(sizeof(*h->cut));
		if (!h->cut)
			return STEP_NOMEM;
		*h->cut = *s;
	}
	return STEP_MORE;
}

static uint32_t status_of(struct span value)
{
	uint32_t status = 0;

	if (value.len != 3)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return 0;
		status = status * 10 + (uint32_t)(value.ptr[i] - '0');
	}
	return status >= 100 ? status : 0;
}

/* The number that a value is to us. */
static uint32_t number_of(enum hpack_name name, struct span value)
{
	switch (name) {
	case HPACK_NAME_METHOD:
		return (uint32_t)http_method_of(value);
	case HPACK_NAME_STATUS:
		return status_of(value);
	case HPACK_NAME_CONTENT_TYPE:
		return grpc_is_content_type(value);
	case HPACK_NAME_GRPC_STATUS:
		return grpc_status_of(value);
	case HPACK_NAME_GRPC_TIMEOUT:
		return grpc_timeout_of(value);
	default:
		return 0;
	}
}

/* @value as an object, which the decoder owns: the last one if it is the same. NULL: empty. */
static bool share_text(struct hpack *h, enum hpack_name name, struct span value,
		       struct hpack_text **out)
{
	struct hpack_text **last = name == HPACK_NAME_PATH ? &h->last_path : &h->last_authority;
	struct hpack_text *text = *last;

	value.len = MIN(value.len, HPACK_TEXT_MAX);
	*out = NULL;
	if (!value.len)
		return true;
	if (!text || !span_eq(hpack_text_span(text), value)) {
		text = malloc(sizeof(*text) + value.len);
		if (!text)
			return false;
		text->refs = 1;
		text->len = (uint8_t)value.len;
		memcpy(text->text, value.ptr, value.len);
		hpack_text_unref(*last);
		*last = text;
	}
	*out = text;
	return true;
}

static enum hpack_status literal(struct hpack *h, const struct hpack_string *value,
				 struct hpack_field *field)
{
	enum hpack_name name = (enum hpack_name)h->name;
	struct span text = SPAN(value->text, MIN(value->len, HPACK_TEXT_MAX));
	struct hpack_entry e = { .name = h->name };

	*field = (struct hpack_field){
		.name = name,
		.size = h->name_len + value->len + 32,
	};
	if (hpack_name_has_text(name)) {
		if (!share_text(h, name, text, &field->text))
			return HPACK_NOMEM;
	} else if (name == HPACK_NAME_TRACE) {
		trace_parse(text, &field->trace);
	} else {
		field->number = number_of(name, text);
		e.value = field->number;
	}
	if (h->kind != KIND_INCREMENTAL)
		return HPACK_FIELD;
	return hpack_table_add(&h->table, e, h->name_len, (uint32_t)value->len, field->text);
}

static enum hpack_status indexed(struct hpack *h, struct hpack_field *field)
{
	const struct hpack_entry *e;
	uint32_t index = h->number;

	if (index > HPACK_STATIC_COUNT)
		e = hpack_dynamic(&h->table, index);
	else
		e = index ? hpack_static(index) : NULL;
	if (!e)
		return HPACK_BAD;
	*field = (struct hpack_field){
		.name = (enum hpack_name)e->name,
		.number = e->value,
		.size = (uint64_t)e->name_len + e->value_len + 32,
	};
	if (!hpack_name_has_text(field->name))
		return HPACK_FIELD;
	field->number = 0;
	if (index > HPACK_STATIC_COUNT)
		field->text = hpack_table_text(&h->table, e);
	else if (!share_text(h, field->name, hpack_static_text(index), &field->text))
		return HPACK_NOMEM;
	return HPACK_FIELD;
}

/* RFC 7541 sect. 4.2, 6.3. */
static enum hpack_status resize(struct hpack *h)
{
	if (h->begun || h->number > h->ceiling)
		return HPACK_BAD;
	if (h->number > HPACK_TABLE_MAX)
		return HPACK_LIMIT;
	hpack_table_resize(&h->table, h->number);
	return HPACK_MORE;
}

/* The name of a literal is that of entry h->number, or a string if that is 0. */
static bool begin_literal(struct hpack *h)
{
	const struct hpack_entry *e;

	if (!h->number) {
		h->state = STATE_NAME_LENGTH;
		return true;
	}
	e = h->number <= HPACK_STATIC_COUNT ? hpack_static(h->number)
					    : hpack_dynamic(&h->table, h->number);
	if (!e)
		return false;
	h->name = (uint8_t)e->name;
	h->name_len = e->name_len;
	h->state = STATE_VALUE_LENGTH;
	return true;
}

static enum step begin_field(struct hpack *h, struct span *piece)
{
	static const uint8_t bits[] = {
		[KIND_INDEXED] = 7,
		[KIND_INCREMENTAL] = 6,
		[KIND_RESIZE] = 5,
		[KIND_LITERAL] = 4,
	};

	if (!h->in_number && piece->len) {
		uint8_t byte = (uint8_t)*piece->ptr;

		if (byte & 0x80)
			h->kind = KIND_INDEXED;
		else if (byte & 0x40)
			h->kind = KIND_INCREMENTAL;
		else if (byte & 0x20)
			h->kind = KIND_RESIZE;
		else
			h->kind = KIND_LITERAL;
	}
	return take_number(h, piece, bits[h->kind]);
}

/* The number that begins a field is known. HPACK_MORE: the field goes on, or was a resize. */
static enum hpack_status began_field(struct hpack *h, struct hpack_field *field)
{
	if (h->kind == KIND_RESIZE)
		return resize(h);
	h->begun = true;
	if (h->kind == KIND_INDEXED)
		return indexed(h, field);
	return begin_literal(h) ? HPACK_MORE : HPACK_BAD;
}

static enum hpack_status status_of_step(enum step step)
{
	switch (step) {
	case STEP_BAD:
		return HPACK_BAD;
	case STEP_LIMIT:
		return HPACK_LIMIT;
	case STEP_NOMEM:
		return HPACK_NOMEM;
	default:
		return HPACK_MORE;
	}
}

enum hpack_status hpack_next(struct hpack *h, struct span *piece, struct hpack_field *field)
{
	struct hpack_string fresh, *s;
	enum hpack_status status;
	enum step step;

	for (;;) {
		switch ((enum hpack_state)h->state) {
		case STATE_FIELD:
			step = begin_field(h, piece);
			if (step != STEP_DONE)
				return status_of_step(step);
			status = began_field(h, field);
			if (status != HPACK_MORE)
				return status;
			continue;
		case STATE_NAME_LENGTH:
		case STATE_VALUE_LENGTH:
			step = take_length(h, piece);
			if (step != STEP_DONE)
				return status_of_step(step);
			h->state++;
			continue;
		case STATE_NAME:
			step = take_string(h, piece, true, &fresh, &s);
			if (step != STEP_DONE)
				return status_of_step(step);
			h->name =
				(uint8_t)hpack_name_of(SPAN(s->text, MIN(s->len, HPACK_TEXT_MAX)));
			h->name_len = (uint32_t)s->len;
			drop_cut(h);
			h->state = STATE_VALUE_LENGTH;
			continue;
		case STATE_VALUE:
			step = take_string(h, piece, h->name != HPACK_NAME_OTHER, &fresh, &s);
			if (step != STEP_DONE)
				return status_of_step(step);
			status = literal(h, s, field);
			drop_cut(h);
			h->state = STATE_FIELD;
			return status;
		}
	}
}

size_t hpack_memory(const struct hpack *h)
{
	const struct hpack_table *t = &h->table;

	return t->capacity * sizeof(*t->entries) + t->text_capacity * sizeof(struct hpack_text *) +
	       t->text_bytes + (h->cut ? sizeof(*h->cut) : 0) +
	       (h->last_path ? sizeof(*h->last_path) + h->last_path->len : 0) +
	       (h->last_authority ? sizeof(*h->last_authority) + h->last_authority->len : 0);
}
