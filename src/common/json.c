// SPDX-License-Identifier: GPL-2.0-or-later
/* Strings of JSON: see json.h. */
#include "json.h"

void json_string(struct span text, FILE *to)
{
	fputc('"', to);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < ' ' || c >= 0x7f)
			fprintf(to, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}
