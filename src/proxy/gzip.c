// SPDX-License-Identifier: GPL-2.0-or-later
/* Compressing an answer on its way: see gzip.h. */
#include "gzip.h"

#include <errno.h>
#define ZLIB_CONST
#include <zlib.h>

/* A window of 8 KiB holds dozens of lines that differ in little; 16 more: gzip's header. */
#define WINDOW_BITS (13 + 16)
#define MEMORY	    6
#define OUT_SIZE    8192u

struct gzip {
	z_stream stream;
	int (*write)(void *to, struct span piece);
	void *to;
	unsigned char out[OUT_SIZE];
};

struct gzip *gzip_new(int (*write)(void *to, struct span piece), void *to)
{
	struct gzip *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->write = write;
	g->to = to;
	if (deflateInit2(&g->stream, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return NULL;
	}
	return g;
}

void gzip_redirect(struct gzip *g, void *to)
{
	g->to = to;
}

/* Deflates what there is, to the end of the stream if @flush is Z_FINISH. */
static int run(struct gzip *g, struct span piece, int flush)
{
	z_stream *s = &g->stream;

	s->next_in = (const Bytef *)piece.ptr;
	s->avail_in = (uInt)piece.len;
	do {
		int rc;

		s->next_out = g->out;
		s->avail_out = OUT_SIZE;
		if (deflate(s, flush) == Z_STREAM_ERROR)
			return -EINVAL;
		rc = s->avail_out < OUT_SIZE
			     ? g->write(g->to, SPAN((const char *)g->out, OUT_SIZE - s->avail_out))
			     : 0;
		if (rc < 0)
			return rc;
	} while (s->avail_out == 0);
	return 0;
}

int gzip_write(void *gzip, struct span piece)
{
	return run(gzip, piece, Z_NO_FLUSH);
}

int gzip_finish(struct gzip *g)
{
	return run(g, SPAN("", 0), Z_FINISH);
}

void gzip_free(struct gzip *g)
{
	if (!g)
		return;
	deflateEnd(&g->stream);
	free(g);
}
