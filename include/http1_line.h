/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of a stream that reads may cut anywhere. A line looks the same whether it was cut or not:
 * the first HTTP1_LINE_KEEP bytes and the last HTTP1_TAIL_KEEP.
 */
#ifndef SLUICE_HTTP1_LINE_H
#define SLUICE_HTTP1_LINE_H

#include "http1.h"

/* One line without its end (CR LF, or LF alone: RFC 9112 sect. 2.2). */
struct http1_line {
	struct span text; /* its first HTTP1_LINE_KEEP bytes */
	struct span tail; /* its last HTTP1_TAIL_KEEP bytes, fewer if it is shorter */
	bool cut;	  /* it is longer than text */
};

/* A line that a read cut. */
struct http1_carry {
	size_t total; /* bytes of the line so far, its end included */
	char text[HTTP1_LINE_KEEP];
	char tail[HTTP1_TAIL_KEEP + 2]; /* the last ones, with room for CR and LF */
	uint8_t tail_len;
};

/* Adds @part to the lane's line; makes the carry when there is none. False without memory. */
bool http1_carry_add(struct http1_lane *l, struct span part);
void http1_carry_drop(struct http1_lane *l);

/* The line of @total bytes that begins with @text and ends with @tail, its LF included. */
void http1_line_set(struct http1_line *line, const char *text, struct span tail, size_t total);

#endif
