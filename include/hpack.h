/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HPACK for an observer: RFC 7541's decoder, all of its errors, but little of its memory.
 *
 * Theory of Operation: one decoder per direction of a connection is fed every header block of
 * that direction, in wire order, in pieces of any size. To stay in step it must know the *sizes*
 * of all names and values in the dynamic table, but only few of them themselves: so an entry
 * is 8 bytes with a number for the name and, for names that we know, a number for the value. The
 * texts that we want (paths and authorities) are shared, counted objects, and bounded. nghttp2's
 * decoder, which keeps everything, is the oracle in the tests.
 */
#ifndef SLUICE_HPACK_H
#define SLUICE_HPACK_H

#include "hpack_huffman.h"
#include "protocol.h"
#include "span.h"
#include "trace.h"

#define HPACK_TABLE_DEFAULT 4096u      /* RFC 9113 sect. 6.5.2 */
#define HPACK_TABLE_MAX	    65535u     /* a table that is made larger is a LIMIT */
#define HPACK_ENTRIES_MAX   400u       /* so are more entries; 128 fit the default table */
#define HPACK_TEXTS_MAX	    32u	       /* texts in a table; those of others are not known */
#define HPACK_TEXT_BYTES    1024u      /* their bytes, with what a text costs */
#define HPACK_TEXT_MAX	    255u       /* of a longer text this much is kept */
#define HPACK_STRING_MAX    (1u << 20) /* a longer name or value is a LIMIT */

/* Names whose values are wanted. */
enum hpack_name {
	HPACK_NAME_OTHER,
	HPACK_NAME_METHOD,	 /* number: enum http_method */
	HPACK_NAME_STATUS,	 /* number: 100 to 999, else 0 */
	HPACK_NAME_CONTENT_TYPE, /* number: 1 if it is gRPC's */
	HPACK_NAME_GRPC_STATUS,	 /* number: enum rpc_status */
	HPACK_NAME_GRPC_TIMEOUT, /* number: milliseconds, 0: none */
	HPACK_NAME_TRACE,	 /* traceparent: never kept in a table */
	HPACK_NAME_PATH,	 /* text, as are all from here */
	HPACK_NAME_AUTHORITY,
	HPACK_NAME_HOST,
	HPACK_NAME_COUNT,
};

/* A value that a table, a decoder or a request holds. Its `refs` owners count themselves. */
struct hpack_text {
	uint32_t refs;
	uint8_t len;
	char text[];
};

static inline struct hpack_text *hpack_text_ref(struct hpack_text *t)
{
	if (t)
		t->refs++;
	return t;
}

static inline void hpack_text_unref(struct hpack_text *t)
{
	if (t && --t->refs == 0)
		free(t);
}

static inline struct span hpack_text_span(const struct hpack_text *t)
{
	return t ? SPAN(t->text, t->len) : SPAN("", 0);
}

/* One entry of a table. */
struct hpack_entry {
	uint16_t name_len, value_len; /* an entry's size is theirs and 32 */
	uint32_t name : 5;	      /* enum hpack_name */
	uint32_t has_text : 1;	      /* value is the number of a text */
	uint32_t value : 26;
};

struct hpack_table {
	struct hpack_entry *entries; /* a ring */
	struct hpack_text **texts;   /* a ring: those of the entries, in the same order */
	uint32_t size, max;	     /* as RFC 7541 sect. 4.1 counts */
	uint32_t text_first;	     /* number of the oldest text, modulo 2^26 */
	uint16_t first, count, capacity;
	uint16_t text_count, text_capacity, text_bytes;
};

/* A string that a piece cut. */
struct hpack_string {
	struct hpack_huffman code;
	size_t left; /* encoded bytes to come */
	size_t len;  /* characters so far */
	char text[HPACK_TEXT_MAX];
};

/* One direction's decoder. hpack_init() before use. */
struct hpack {
	struct hpack_table table;
	struct hpack_text *last_path, *last_authority; /* literals tend to be the same again */
	struct hpack_string *cut;		       /* while a piece ended within a string */
	uint32_t ceiling;			       /* the largest table that may be asked for */
	uint32_t number;			       /* the integer being read */
	uint32_t name_len;
	uint8_t name;	/* enum hpack_name */
	uint8_t state;	/* enum hpack_state of hpack.c */
	uint8_t kind;	/* enum hpack_kind of hpack.c */
	uint8_t shift;	/* of the integer's next 7 bits */
	bool in_number; /* its first byte has been read */
	bool huffman;
	bool begun; /* the block has had a field: no table size may follow */
};

/* A decoded field. */
struct hpack_field {
	enum hpack_name name;
	uint32_t number;
	struct hpack_text *text; /* borrowed until the next call; NULL: empty, or not known */
	struct trace trace;	 /* of a literal TRACE, if it is sampled */
	uint64_t size;		 /* of the list that is the sum of these: RFC 9113 sect. 6.5.2 */
};

enum hpack_status {
	HPACK_MORE,  /* all of the piece is read */
	HPACK_FIELD, /* a field was decoded, there may be more */
	HPACK_BAD,   /* RFC 7541 calls it a decoding error */
	HPACK_LIMIT, /* past one of the bounds above */
	HPACK_NOMEM,
};

void hpack_init(struct hpack *h);
void hpack_fini(struct hpack *h);

/*
 * The other side's SETTINGS_HEADER_TABLE_SIZE is in force: no table beyond it may be asked for.
 * The table itself changes only when the encoder says so (RFC 7541 sect. 4.2).
 */
void hpack_set_ceiling(struct hpack *h, uint32_t ceiling);

/*
 * Decodes the next field from the front of @piece, or as much of it as is there. After BAD,
 * LIMIT and NOMEM the decoder is of no more use.
 */
enum hpack_status hpack_next(struct hpack *h, struct span *piece, struct hpack_field *field);

/* The block is over. False: within a field (HPACK_BAD). */
bool hpack_end_block(struct hpack *h);

/* Bytes on the heap, for tests and tools. */
size_t hpack_memory(const struct hpack *h);

#endif
