/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of HTTP/2: their headers, and bytes that are put together to be sent. Pure. */
#ifndef SLUICE_FORWARD_OUTPUT_H
#define SLUICE_FORWARD_OUTPUT_H

#include "span.h"

/* Bytes of a frame's header (RFC 9113 sect. 4.1). */
#define FORWARD_FRAME_HEAD 9u

/* A stream id and a window's step are 31 bits (RFC 9113 sect. 4.1, 6.9). */
#define FORWARD_U31_MAX 0x7fffffffu

/* Types of frames (RFC 9113 sect. 6), their flags. */
enum {
	FORWARD_FRAME_DATA = 0,
	FORWARD_FRAME_HEADERS = 1,
	FORWARD_FRAME_RST_STREAM = 3,
	FORWARD_FRAME_SETTINGS = 4,
	FORWARD_FRAME_PUSH_PROMISE = 5,
	FORWARD_FRAME_GOAWAY = 7,
	FORWARD_FRAME_WINDOW_UPDATE = 8,
	FORWARD_FRAME_CONTINUATION = 9,
};

enum {
	FORWARD_FLAG_ACK = 0x1,
	FORWARD_FLAG_END_STREAM = 0x1,
	FORWARD_FLAG_END_HEADERS = 0x4,
	FORWARD_FLAG_PADDED = 0x8,
	FORWARD_FLAG_PRIORITY = 0x20
};
struct forward_frame {
	uint32_t len, stream;
	uint8_t type, flags;
};

/* A frame's header: of FORWARD_FRAME_HEAD bytes. */
struct forward_frame forward_frame_of(const unsigned char *head);

/* Bytes to be sent; owned. All zero: none. */
struct forward_output {
	char *data;
	size_t len, size;
};

/* Behind what there is. False without memory: nothing was put. */
bool forward_output_put(struct forward_output *o, const void *data, size_t len);

/* A frame with a payload of less than 256 bytes. False without memory. */
bool forward_output_frame(struct forward_output *o, uint8_t type, uint8_t flags, uint32_t stream,
			  const void *payload, size_t len);

void forward_output_empty(struct forward_output *o);

/* Network byte order. */
void forward_put_u32(unsigned char *at, uint32_t value);
uint32_t forward_get_u32(const unsigned char *at);

#endif
