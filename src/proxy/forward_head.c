// SPDX-License-Identifier: GPL-2.0-or-later
/* Heads of HTTP/1 messages, read strictly: see forward_head.h. */
#include "forward_head.h"

#include "addr.h"
#include "http1_parse.h"
#include "parse.h"

#define HTTP_PORT 80

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* tchar of RFC 9110 sect. 5.6.2. */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!is_digit(c) && !is_letter(c) && !(c && strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

/* No control characters; @blanks: spaces and tabs may be there. */
static bool is_text(struct span s, bool blanks)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == 0x7f || (c <= ' ' && !(blanks && (c == ' ' || c == '\t'))))
			return false;
	}
	return true;
}

static bool is_host_name(struct span s)
{
	if (!s.len || s.len > FORWARD_HOST_MAX || s.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.ptr[i]) && !is_letter(s.ptr[i]) && !strchr("-_.", s.ptr[i]))
			return false;
	}
	return true;
}

bool forward_authority(struct span authority, uint16_t port_default, struct span *host,
		       uint16_t *port)
{
	struct span name = authority, rest;
	struct addr a;

	if (!authority.ptr || !authority.len || memchr(authority.ptr, '\0', authority.len))
		return false;
	if (authority.ptr[0] == '[') {
		const char *end = memchr(authority.ptr, ']', authority.len);

		if (!end)
			return false;
		name = SPAN(authority.ptr + 1, (size_t)(end - authority.ptr - 1));
		rest = SPAN(end + 1, authority.len - name.len - 2);
		if (addr_parse(name, &a, NULL) < 0 || a.family != ADDR_V6)
			return false;
	} else {
		const char *colon = memchr(authority.ptr, ':', authority.len);

		if (colon)
			name = SPAN(authority.ptr, (size_t)(colon - authority.ptr));
		rest = SPAN(name.ptr + name.len, authority.len - name.len);
		if (!is_host_name(name))
			return false;
	}
	*host = name;
	*port = port_default;
	/* A colon without a port stands for the default one (RFC 3986 sect. 3.2.3). */
	if (rest.len == 1 && rest.ptr[0] == ':')
		return port_default != 0;
	if (rest.len)
		return rest.ptr[0] == ':' &&
		       parse_port(SPAN(rest.ptr + 1, rest.len - 1), port, NULL) == 0;
	return port_default != 0;
}

static const char *line_end(struct span s)
{
	return s.len ? memchr(s.ptr, '\n', s.len) : NULL;
}

/*
 * The line up to the LF at @end without its end. CR LF ends it; LF alone only where @lenient
 * (RFC 9112 sect. 2.2). False: it ends wrongly.
 */
static bool cut_line(const char *begin, const char *end, bool lenient, struct span *line)
{
	*line = SPAN(begin, (size_t)(end - begin));
	if (line->len && end[-1] == '\r') {
		line->len--;
		return true;
	}
	return lenient;
}

/* Takes a line off @rest. False: it holds no whole line, or one that ends wrongly. */
static bool next_line(struct span *rest, bool lenient, struct span *line)
{
	const char *begin = rest->ptr, *end = line_end(*rest);

	if (!end)
		return false;
	*rest = SPAN(end + 1, rest->len - (size_t)(end - begin) - 1);
	return cut_line(begin, end, lenient, line);
}

/* The same of the head @bytes, from where @p was left; *@bad: it ends wrongly. */
static bool read_line(struct forward_progress *p, struct span bytes, bool lenient,
		      struct span *line, bool *bad)
{
	const char *begin = bytes.ptr + p->line;
	const char *end = line_end(SPAN(bytes.ptr + p->scanned, bytes.len - p->scanned));

	if (!end) {
		p->scanned = bytes.len;
		return false;
	}
	p->line = p->scanned = (size_t)(end + 1 - bytes.ptr);
	*bad = !cut_line(begin, end, lenient, line);
	return !*bad;
}

/* A field of the proxy that the client speaks with: not for the server. */
static bool is_for_proxies(struct span name)
{
	return span_eq_nocase(name, SPAN_LIT("proxy-connection")) ||
	       span_eq_nocase(name, SPAN_LIT("proxy-authorization")) ||
	       span_eq_nocase(name, SPAN_LIT("proxy-authenticate")) ||
	       span_eq_nocase(name, SPAN_LIT("proxy-authentication-info"));
}

static bool has_word(struct span list, struct span word)
{
	struct span item;
	bool done = false;

	while (span_next(&list, ',', &item, &done)) {
		if (span_eq_nocase(span_trim(item), word))
			return true;
	}
	return false;
}

static struct span name_of(struct span line)
{
	const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;

	return SPAN(line.ptr, colon ? (size_t)(colon - line.ptr) : 0);
}

static void say_length(struct forward_said *s, struct span value)
{
	/* A list of equal lengths would be one (RFC 9110 sect. 8.6): not everybody reads it so. */
	if (s->length || (value.len && memchr(value.ptr, ',', value.len)) ||
	    !http1_parse_length(value, &s->bytes))
		s->wrong = "Content-Length is no number, or given twice";
	s->length = true;
}

static void say_connection(struct forward_said *s, struct span line)
{
	struct span name = name_of(line);
	struct span value = SPAN(line.ptr + name.len, line.len - name.len);

	s->protocol |= span_eq_nocase(name, SPAN_LIT("upgrade"));
	if (!span_eq_nocase(name, SPAN_LIT("connection")))
		return;
	value = SPAN(value.ptr + 1, value.len - 1);
	s->close |= has_word(value, SPAN_LIT("close"));
	s->keep_alive |= has_word(value, SPAN_LIT("keep-alive"));
	s->upgrade |= has_word(value, SPAN_LIT("upgrade"));
}

static struct http1_line whole_line(struct span line)
{
	size_t tail = MIN(line.len, HTTP1_TAIL_KEEP);

	return (struct http1_line){ .text = line, .tail = SPAN(line.ptr + line.len - tail, tail) };
}

bool forward_head_is_foreign(const struct forward_progress *p, struct span bytes)
{
	struct http1_request_line parsed;
	struct http1_line whole;
	struct span line;

	if (p->begun)
		return false;
	/* Lines before were empty. One that has no end yet is told by its method. */
	bytes = SPAN(bytes.ptr + p->line, bytes.len - p->line);
	if (p->scanned > p->line)
		bytes.len = MIN(bytes.len, HTTP1_METHOD_MAX + 1);
	while (next_line(&bytes, true, &line)) {
		whole = whole_line(line);
		if (line.len)
			return !http1_parse_request_line(&whole, &parsed);
	}
	return bytes.len && !http1_may_be_request_line(bytes);
}

/* RFC 9112 sect. 3: one blank between the parts, and nothing else that a line could be. */
static const char *read_method_line(struct span line, struct forward_request *r, bool *old)
{
	const struct http1_line whole = whole_line(line);
	struct http1_request_line parsed;
	const char *space;

	if (!http1_parse_request_line(&whole, &parsed))
		return "not a request of HTTP/1";
	space = memchr(line.ptr, ' ', line.len);
	r->method = SPAN(line.ptr, (size_t)(space - line.ptr));
	r->target = parsed.target;
	if (!is_token(r->method) || !is_text(r->target, false) ||
	    r->method.len + r->target.len + sizeof("  HTTP/1.1") - 1 != line.len)
		return "blanks or control characters in the request line";
	if (line.ptr[line.len - 1] > '1')
		return "not HTTP/1.0 or 1.1";
	*old = parsed.version == HTTP_VERSION_1_0;
	r->connect = parsed.method == HTTP_METHOD_CONNECT;
	r->head = parsed.method == HTTP_METHOD_HEAD;
	return NULL;
}

/* RFC 9112 sect. 3.2: what the target says of the destination. */
static const char *read_target(struct forward_request *r)
{
	static const struct span scheme = { "http://", 7 };
	struct span t = r->target;

	if (memchr(t.ptr, '#', t.len))
		return "a fragment in the target";
	if (r->connect)
		return forward_authority(t, 0, &r->host, &r->port)
			       ? NULL
			       : "CONNECT wants a host and a port";
	if (t.ptr[0] == '/' ||
	    (span_eq(t, SPAN_LIT("*")) && span_eq(r->method, SPAN_LIT("OPTIONS"))))
		return NULL;
	if (t.len < scheme.len || !span_eq_nocase(SPAN(t.ptr, scheme.len), scheme))
		return "only http: goes without a tunnel: use CONNECT for all else";
	r->authority = http1_target_authority(t, HTTP_METHOD_OTHER);
	if (!forward_authority(r->authority, HTTP_PORT, &r->host, &r->port))
		return "the target names no host";
	r->path = SPAN(r->authority.ptr + r->authority.len, t.len - scheme.len - r->authority.len);
	r->changes = true;
	return NULL;
}

static const char *read_request_line(struct span line, struct forward_request *r, bool *old)
{
	const char *why = read_method_line(line, r, old);

	return why ? why : read_target(r);
}

static const char *read_request_field(struct forward_progress *p, struct span bytes,
				      struct span line)
{
	struct forward_said *s = &p->said;
	struct span name = name_of(line), value;

	if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return "a folded line";
	if (!is_token(name))
		return "a field without a name, or with a blank before its colon";
	if (!is_text(SPAN(line.ptr + name.len, line.len - name.len), true))
		return "control characters in a field";
	switch (http1_parse_field(line, &value)) {
	case HTTP1_FIELD_LENGTH:
		say_length(s, value);
		break;
	case HTTP1_FIELD_CODING:
		if (s->coding || !span_eq_nocase(value, SPAN_LIT("chunked")))
			s->wrong = "a Transfer-Encoding other than chunked, or given twice";
		s->coding = s->chunked = true;
		break;
	case HTTP1_FIELD_HOST:
		if (s->host)
			s->wrong = "Host is given twice";
		s->host = true;
		p->host = (size_t)(value.ptr - bytes.ptr);
		p->host_len = value.len;
		break;
	default:
		say_connection(s, line);
		s->for_proxies |= is_for_proxies(name);
		break;
	}
	return s->wrong;
}

/* The request is read: what its parts say together. */
static const char *judge_request(struct forward_request *r, const struct forward_said *s, bool old)
{
	struct span host = { NULL, 0 };
	uint16_t port = 0;

	if (s->coding && (s->length || old))
		return "Transfer-Encoding with Content-Length, or in HTTP/1.0";
	if (!s->host && !old)
		return "no Host";
	if (s->host && !forward_authority(r->expected, HTTP_PORT, &host, &port))
		return "Host is no host";
	if (!r->connect && !r->authority.len) {
		if (!s->host)
			return "no Host";
		r->host = host;
		r->port = port;
	}
	/* What follows a CONNECT is the tunnel's (RFC 9110 sect. 9.3.6). */
	if (r->connect && (s->coding || s->bytes))
		return "CONNECT with content";
	r->host_field = s->host;
	r->changes |= s->for_proxies;
	r->framing = s->chunked ? FORWARD_CHUNKED : s->bytes ? FORWARD_LENGTH : FORWARD_NONE;
	r->body = s->bytes;
	r->last = s->close || (old && !s->keep_alive);
	/* RFC 9110 sect. 7.8. */
	r->upgrade = s->protocol && s->upgrade && !old;
	return NULL;
}

/* The head is whole: *@r is what it says. Its first line may have been read elsewhere. */
static const char *finish_request(const struct forward_progress *p, struct span bytes,
				  struct forward_request *r)
{
	const char *why = NULL;
	bool old;

	if (!r->method.len)
		why = read_request_line(SPAN(bytes.ptr + p->first, p->first_len), r, &old);
	r->skipped = p->first;
	r->length = p->line;
	r->expected = SPAN(bytes.ptr + p->host, p->host_len);
	return why ? why : judge_request(r, &p->said, p->old);
}

enum forward_reading forward_request_read(struct forward_progress *p, struct span bytes,
					  struct forward_request *out, const char **why)
{
	struct forward_request r = { .skipped = 0 };
	bool whole = false, bad = false;
	struct span line;

	*why = NULL;
	while (!*why && !whole && read_line(p, bytes, false, &line, &bad)) {
		if (line.len && p->begun) {
			*why = read_request_field(p, bytes, line);
		} else if (line.len) {
			p->begun = true;
			p->first = (size_t)(line.ptr - bytes.ptr);
			p->first_len = line.len;
			*why = read_request_line(line, &r, &p->old);
		} else if (p->begun) {
			whole = true;
			*why = finish_request(p, bytes, &r);
		}
	}
	if (bad)
		*why = "a line that does not end with CR LF";
	if (!*why && !whole)
		return FORWARD_MORE;
	*p = (struct forward_progress){ .line = 0 };
	if (*why)
		return FORWARD_BAD;
	*out = r;
	return FORWARD_READ;
}

static char *put(char *out, struct span s)
{
	if (s.len)
		memcpy(out, s.ptr, s.len);
	return out + s.len;
}

/* The first line as the server is to see it. */
static char *put_request_line(char *out, const struct forward_request *r)
{
	bool options = span_eq(r->method, SPAN_LIT("OPTIONS"));

	out = put(out, r->method);
	*out++ = ' ';
	if (!r->authority.len)
		out = put(out, r->target);
	else if (!r->path.len)
		*out++ = options ? '*' : '/'; /* RFC 9112 sect. 3.2.4 */
	else if (r->path.ptr[0] == '?')
		*out++ = '/';
	out = r->authority.len ? put(out, r->path) : out;
	return put(out, SPAN(r->target.ptr + r->target.len, sizeof(" HTTP/1.1\r\n") - 1));
}

static char *put_host(char *out, const struct forward_request *r)
{
	out = put(out, SPAN_LIT("Host: "));
	out = put(out, r->authority);
	return put(out, SPAN_LIT("\r\n"));
}

size_t forward_request_write(const struct forward_request *r, struct span bytes, char *out)
{
	struct span rest = SPAN(bytes.ptr, r->length), line, value;
	char *at = out;

	while (next_line(&rest, false, &line) && !line.len)
		;
	at = put_request_line(at, r);
	/* RFC 9110 sect. 7.2: Host comes first where it is new. */
	if (r->authority.len && !r->host_field)
		at = put_host(at, r);
	while (next_line(&rest, false, &line) && line.len) {
		if (is_for_proxies(name_of(line)))
			continue;
		if (r->authority.len && http1_parse_field(line, &value) == HTTP1_FIELD_HOST &&
		    !span_eq_nocase(value, r->authority))
			at = put_host(at, r);
		else
			at = put(at, SPAN(line.ptr, line.len + 2));
	}
	at = put(at, SPAN_LIT("\r\n"));
	return (size_t)(at - out);
}

static bool read_response_field(struct forward_progress *p, struct span line)
{
	struct forward_said *s = &p->said;
	struct span value = { NULL, 0 };
	enum http1_field field = http1_parse_field(line, &value);

	switch (field) {
	case HTTP1_FIELD_LENGTH:
		say_length(s, value);
		break;
	case HTTP1_FIELD_CODING:
		if (s->chunked)
			s->wrong = "";
		s->coding = true;
		s->chunked = http1_last_coding_is_chunked(value);
		break;
	case HTTP1_FIELD_FOLD:
		if (p->before == HTTP1_FIELD_LENGTH || p->before == HTTP1_FIELD_CODING)
			s->wrong = "";
		return !s->wrong;
	default:
		say_connection(s, line);
		break;
	}
	p->before = (uint8_t)field;
	return !s->wrong;
}

/* RFC 9112 sect. 6.3. */
static bool judge_response(struct forward_response *r, const struct forward_said *s, bool to_head,
			   bool old)
{
	bool none = to_head || r->status < 200 || r->status == 204 || r->status == 304;

	if (s->coding && s->length)
		return false;
	if (none || (s->length && !s->bytes))
		r->framing = FORWARD_NONE;
	else if (s->chunked)
		r->framing = FORWARD_CHUNKED;
	else
		r->framing = s->length ? FORWARD_LENGTH : FORWARD_UNTIL_END;
	r->body = s->bytes;
	r->last = s->close || (old && !s->keep_alive) || r->framing == FORWARD_UNTIL_END;
	return true;
}

/* One line of a response; *@whole: it was the last. False: it is none. */
static bool read_response_line(struct forward_progress *p, struct span line, bool *whole)
{
	if (p->begun) {
		*whole = !line.len;
		return *whole || read_response_field(p, line);
	}
	p->begun = true;
	if (!http1_parse_status_line(line, &p->status))
		return false;
	p->old = line.ptr[7] == '0';
	return true;
}

enum forward_reading forward_response_read(struct forward_progress *p, struct span bytes,
					   bool to_head, struct forward_response *out)
{
	struct forward_response r = { .length = 0 };
	bool whole = false, good = true, bad = false;
	struct span line;

	while (good && !whole && read_line(p, bytes, true, &line, &bad))
		good = read_response_line(p, line, &whole);
	if (good && !whole)
		return FORWARD_MORE;
	r.length = p->line;
	r.status = p->status;
	good = good && judge_response(&r, &p->said, to_head, p->old);
	*p = (struct forward_progress){ .line = 0 };
	if (!good)
		return FORWARD_BAD;
	*out = r;
	return FORWARD_READ;
}
