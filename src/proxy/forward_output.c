// SPDX-License-Identifier: GPL-2.0-or-later
/* Bytes and frames that are put together to be sent: see forward_output.h. */
#include "forward_output.h"

bool forward_output_put(struct forward_output *o, const void *data, size_t len)
{
	if (o->len + len > o->size) {
		size_t size = MAX(2 * o->size, o->len + len);
		char *grown = realloc(o->data, size);

		if (!grown)
			return false;
		o->data = grown;
		o->size = size;
	}
	if (len)
		memcpy(o->data + o->len, data, len);
	o->len += len;
	return true;
}

void forward_output_empty(struct forward_output *o)
{
	free(o->data);
	*o = (struct forward_output){ .len = 0 };
}

void forward_put_u32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> (24 - 8 * i));
}

uint32_t forward_get_u32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

struct forward_frame forward_frame_of(const unsigned char *head)
{
	return (struct forward_frame){
		.len = forward_get_u32(head) >> 8,
		.type = head[3],
		.flags = head[4],
		.stream = forward_get_u32(head + 5) & FORWARD_U31_MAX,
	};
}

bool forward_output_frame(struct forward_output *o, uint8_t type, uint8_t flags, uint32_t stream,
			  const void *payload, size_t len)
{
	unsigned char head[FORWARD_FRAME_HEAD] = { 0, 0, (unsigned char)len, type, flags };

	forward_put_u32(head + 5, stream);
	return forward_output_put(o, head, sizeof(head)) && forward_output_put(o, payload, len);
}
