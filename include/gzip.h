/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressing an answer on its way, piece by piece: gzip, RFC 1952. Its state is some 100 KiB, and
 * is there only between gzip_new() and gzip_free().
 */
#ifndef SLUICE_GZIP_H
#define SLUICE_GZIP_H

#include "span.h"

struct gzip;

/* What comes out goes to @write, which returns 0 or a negative errno. NULL without memory. */
struct gzip *gzip_new(int (*write)(void *to, struct span piece), void *to);

/* From here on what comes out goes to @to: where the last one has moved to, say. */
void gzip_redirect(struct gzip *g, void *to);

/* Takes more; @gzip is a struct gzip. 0, or what @write said. */
int gzip_write(void *gzip, struct span piece);

/* No more comes: writes the rest and the trailer. 0, or what @write said. */
int gzip_finish(struct gzip *g);

/* NULL does nothing. */
void gzip_free(struct gzip *g);

#endif
