// SPDX-License-Identifier: GPL-2.0-or-later
/* Text in pieces: see writer.h. */
#include "writer.h"

void writer_flush(struct writer *w)
{
	if (w->len && w->rc == 0)
		w->rc = w->write(w->to, SPAN(w->text, w->len));
	w->len = 0;
}

void writer_span(struct writer *w, struct span s)
{
	while (s.len) {
		size_t n = MIN(s.len, WRITER_SIZE - w->len);

		memcpy(w->text + w->len, s.ptr, n);
		w->len += n;
		s = SPAN(s.ptr + n, s.len - n);
		if (w->len == WRITER_SIZE)
			writer_flush(w);
	}
}

void writer_str(struct writer *w, const char *s)
{
	writer_span(w, span_str(s));
}

void writer_u64(struct writer *w, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	writer_span(w, SPAN(digits + at, sizeof(digits) - at));
}

void writer_seconds(struct writer *w, u128 ns)
{
	uint32_t fraction = (uint32_t)(ns % 1000000000u);
	char digits[9];
	size_t len = sizeof(digits);

	writer_u64(w, (uint64_t)(ns / 1000000000u));
	for (size_t i = sizeof(digits); i > 0; i--) {
		digits[i - 1] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	while (len > 1 && digits[len - 1] == '0')
		len--;
	writer_str(w, ".");
	writer_span(w, SPAN(digits, len));
}
