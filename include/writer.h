/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that is made in small steps, and handed on in pieces of some size. */
#ifndef SLUICE_WRITER_H
#define SLUICE_WRITER_H

#include "span.h"

#define WRITER_SIZE 16384u

__extension__ typedef unsigned __int128 u128;

struct writer {
	int (*write)(void *to, struct span piece); /* 0, or a negative errno that ends it */
	void *to;
	int rc; /* the first failure; then nothing is written any more */
	size_t len;
	char text[WRITER_SIZE];
};

/* Precondition of the rest: write, to, rc = 0 and len = 0 are set. */
void writer_flush(struct writer *w);
void writer_span(struct writer *w, struct span s);
void writer_str(struct writer *w, const char *s);
void writer_u64(struct writer *w, uint64_t value);

/* Nanoseconds as seconds, exactly; at least one digit behind the point. */
void writer_seconds(struct writer *w, u128 ns);

#endif
