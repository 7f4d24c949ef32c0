// SPDX-License-Identifier: GPL-2.0-or-later
/* Strings of JSON: see json.h. */
#include "json.h"

/* @c as it stands in a string; its length. */
static int escape(unsigned char c, char out[8])
{
	if (c < ' ' || c >= 0x7f)
		return snprintf(out, 8, "\\u%04x", c);
	if (c == '"' || c == '\\')
		return snprintf(out, 8, "\\%c", c);
	out[0] = (char)c;
	return 1;
}

void json_string(struct span text, FILE *to)
{
	fputc('"', to);
	for (size_t i = 0; i < text.len; i++) {
		char piece[8] = "";
		size_t n = (size_t)escape((unsigned char)text.ptr[i], piece);

		fwrite(piece, 1, n, to);
	}
	fputc('"', to);
}

size_t json_escape(struct span text, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char piece[8] = "";
		size_t n = (size_t)escape((unsigned char)text.ptr[i], piece);

		if (n > size - len)
			break;
		memcpy(out + len, piece, n);
		len += n;
	}
	return len;
}
