/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One header block of a client that speaks HTTP/2, as far as a forward proxy needs it. Pure. */
#ifndef SLUICE_FORWARD_BLOCK_H
#define SLUICE_FORWARD_BLOCK_H

#include "forward_head.h"
#include "forward_http2.h"

struct forward_block {
	struct span authority; /* or Host, where there is none; points to `text` */
	bool request;	       /* has what trailers never have */
	bool connect;
	bool ends; /* the client says no more on its stream */
	char text[FORWARD_HOST_MAX + 1];
};

/* Decodes the block of @frames: whole, a HEADERS frame and the CONTINUATIONs behind it. */
enum forward_http2_result forward_block_read(struct hpack *hpack, struct span frames,
					     struct forward_block *b);

#endif
