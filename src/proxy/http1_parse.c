// SPDX-License-Identifier: GPL-2.0-or-later
/* The grammar of HTTP/1's lines: see http1_parse.h. */
#include "http1_parse.h"

#include "http1.h"

/* tchar of RFC 9110 sect. 5.6.2. */
static bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

/* How many of @text's first bytes are a method. */
static size_t token_len(struct span text)
{
	size_t n = 0;

	while (n < text.len && is_token_char((unsigned char)text.ptr[n]))
		n++;
	return n;
}

bool http1_may_be_request_line(struct span text)
{
	size_t n = token_len(text);

	if (n > HTTP1_METHOD_MAX)
		return false;
	if (n == text.len)
		return true;
	if (n == 0)
		return text.len == 1 && text.ptr[0] == '\r'; /* an empty line begins */
	return text.ptr[n] == ' ';
}

/* "HTTP/1.x" in the last bytes: the version, or NONE. Blanks behind it are let pass. */
static enum http_version version_of(struct span tail)
{
	const char *v;

	while (tail.len && tail.ptr[tail.len - 1] == ' ')
		tail.len--;
	if (tail.len < 9)
		return HTTP_VERSION_NONE;
	v = tail.ptr + tail.len - 8;
	if (v[-1] != ' ' || memcmp(v, "HTTP/1.", 7) != 0 || v[7] < '0' || v[7] > '9')
		return HTTP_VERSION_NONE;
	return v[7] == '0' ? HTTP_VERSION_1_0 : HTTP_VERSION_1_1;
}

bool http1_parse_request_line(const struct http1_line *line, struct http1_request_line *out)
{
	struct span text = line->text, method;
	const char *space = memchr(text.ptr, ' ', MIN(text.len, HTTP1_METHOD_MAX + 1));

	if (!space || space == text.ptr)
		return false;
	method = SPAN(text.ptr, (size_t)(space - text.ptr));
	out->method = http_method_of(method);
	if (out->method == HTTP_METHOD_OTHER && token_len(method) != method.len)
		return false;
	out->version = version_of(line->tail);
	if (out->version == HTTP_VERSION_NONE)
		return false;
	out->target = span_trim(SPAN(space + 1, text.len - method.len - 1));
	if (!line->cut) {
		/* Without the version; a method and a version alone are no request. */
		if (out->target.len <= 8)
			return false;
		out->target.len -= 8;
		out->target = span_trim(out->target);
	}
	return out->target.len > 0;
}

bool http1_parse_status_line(struct span text, uint16_t *status)
{
	unsigned value = 0;
	size_t at = 8;

	if (text.len < 12 || memcmp(text.ptr, "HTTP/1.", 7) != 0 || text.ptr[8] != ' ')
		return false;
	while (at < text.len && text.ptr[at] == ' ')
		at++;
	if (text.len - at < 3)
		return false;
	for (size_t i = at; i < at + 3; i++) {
		unsigned digit = (unsigned char)text.ptr[i] - '0';

		if (digit > 9)
			return false;
		value = 10 * value + digit;
	}
	at += 3;
	if (value < 100 || (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\t'))
		return false;
	*status = (uint16_t)value;
	return true;
}

bool http1_parse_chunk_size(struct span text, uint64_t *size)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		unsigned digit = c - '0';

		if (digit > 9) {
			digit = (c | 0x20u) - 'a' + 10;
			if (digit < 10 || digit > 15)
				break;
		}
		if (value >> 59)
			return false;
		value = value << 4 | digit;
	}
	if (i == 0 || i == HTTP1_LINE_KEEP)
		return false;
	*size = value;
	return i == text.len || text.ptr[i] == ';' || text.ptr[i] == ' ' || text.ptr[i] == '\t';
}

static bool parse_decimal(struct span s, uint64_t *out)
{
	uint64_t value = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.ptr[i] - '0';

		/* Past 2^63 no body ends; saying so early keeps sums of lengths in range. */
		if (digit > 9 || value > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		value = 10 * value + digit;
	}
	*out = value;
	return true;
}

bool http1_parse_length(struct span value, uint64_t *length)
{
	struct span item;
	uint64_t first = 0, next;
	bool done = false, any = false;

	if (parse_decimal(value, length))
		return true;
	while (span_next(&value, ',', &item, &done)) {
		if (!parse_decimal(span_trim(item), &next) || (any && next != first))
			return false;
		first = next;
		any = true;
	}
	*length = first;
	return any;
}

bool http1_last_coding_is_chunked(struct span value)
{
	const char *comma = value.len ? memrchr(value.ptr, ',', value.len) : NULL;

	if (comma)
		value = SPAN(comma + 1, value.len - (size_t)(comma + 1 - value.ptr));
	return span_eq_nocase(span_trim(value), SPAN_LIT("chunked"));
}

struct span http1_target_authority(struct span target, enum http_method method)
{
	const char *colon;
	size_t len = 0;

	if (method == HTTP_METHOD_CONNECT)
		return target;
	if (target.ptr[0] == '/' || target.ptr[0] == '*')
		return SPAN(NULL, 0);
	/* A scheme is a few letters; looking further would find one inside a query. */
	colon = memchr(target.ptr, ':', MIN(target.len, 16u));
	if (!colon ||
	    !span_starts(SPAN(colon, (size_t)(target.ptr + target.len - colon)), SPAN_LIT("://")))
		return SPAN(NULL, 0);
	target = SPAN(colon + 3, (size_t)(target.ptr + target.len - colon - 3));
	while (len < target.len && !strchr("/?#", target.ptr[len]))
		len++;
	return SPAN(target.ptr, len);
}

struct span http1_target_path(struct span target)
{
	struct span authority;
	const char *query;

	if (!target.len)
		return target;
	if (target.ptr[0] != '/') {
		const char *end = target.ptr + target.len;

		authority = http1_target_authority(target, HTTP_METHOD_NONE);
		if (!authority.ptr)
			return SPAN(NULL, 0);
		target.ptr = authority.ptr + authority.len;
		target.len = (size_t)(end - target.ptr);
		/* RFC 3986 sect. 6.2.3: no path is the same as "/". */
		if (!target.len || target.ptr[0] != '/')
			return SPAN_LIT("/");
	}
	query = memchr(target.ptr, '?', target.len);
	return query ? SPAN(target.ptr, (size_t)(query - target.ptr)) : target;
}

struct span http1_host_of(struct span authority)
{
	const char *at = authority.len ? memrchr(authority.ptr, '@', authority.len) : NULL;
	const char *end;

	if (at)
		authority = SPAN(at + 1, authority.len - (size_t)(at + 1 - authority.ptr));
	if (!authority.len)
		return authority;
	if (authority.ptr[0] == '[') {
		end = memchr(authority.ptr, ']', authority.len);
		return end ? SPAN(authority.ptr + 1, (size_t)(end - authority.ptr - 1)) : authority;
	}
	end = memchr(authority.ptr, ':', authority.len);
	return end ? SPAN(authority.ptr, (size_t)(end - authority.ptr)) : authority;
}

/* Whether @line is the field @name, given in lower case; then its value. */
static bool field_is(struct span line, struct span name, struct span *value)
{
	size_t at = name.len;

	if (line.len <= at || strncasecmp(line.ptr, name.ptr, at) != 0)
		return false;
	/* No blank may stand before the colon (RFC 9112 sect. 5.1), but some servers take it. */
	while (at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t'))
		at++;
	if (at == line.len || line.ptr[at] != ':')
		return false;
	*value = span_trim(SPAN(line.ptr + at + 1, line.len - at - 1));
	return true;
}

enum http1_field http1_parse_field(struct span line, struct span *value)
{
	switch (line.ptr[0]) {
	case 'C':
	case 'c':
		if (field_is(line, SPAN_LIT("content-length"), value))
			return HTTP1_FIELD_LENGTH;
		break;
	case 'T':
	case 't':
		if (field_is(line, SPAN_LIT("transfer-encoding"), value))
			return HTTP1_FIELD_CODING;
		if (field_is(line, SPAN_LIT("traceparent"), value))
			return HTTP1_FIELD_TRACE;
		break;
	case 'H':
	case 'h':
		if (field_is(line, SPAN_LIT("host"), value))
			return HTTP1_FIELD_HOST;
		break;
	case 'U':
	case 'u':
		if (field_is(line, SPAN_LIT("upgrade"), value) &&
		    span_eq_nocase(*value, SPAN_LIT("h2c")))
			return HTTP1_FIELD_H2C;
		break;
	case ' ':
	case '\t':
		*value = span_trim(line);
		return HTTP1_FIELD_FOLD;
	default:
		break;
	}
	return HTTP1_FIELD_OTHER;
}
