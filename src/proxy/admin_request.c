// SPDX-License-Identifier: GPL-2.0-or-later
/* A request to the admin server: see admin_request.h. */
#include "admin_request.h"

#include "addr.h"
#include "http1_parse.h"

/* The next line of @rest without its end; false when there is none. */
static bool next_line(struct span *rest, struct span *line)
{
	const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - rest->ptr);
	*line = SPAN(rest->ptr, len - (len && end[-1] == '\r'));
	*rest = SPAN(end + 1, rest->len - len - 1);
	return true;
}

size_t admin_head_len(struct span bytes)
{
	struct span rest = bytes, line;
	bool begun = false;

	while (next_line(&rest, &line)) {
		if (line.len)
			begun = true;
		else if (begun)
			return bytes.len - rest.len;
	}
	return 0;
}

bool admin_field_next(struct span *rest, struct span name, struct span *value)
{
	struct span line;

	while (next_line(rest, &line)) {
		const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
		size_t at = colon ? (size_t)(colon - line.ptr) : 0;

		/* No blank may stand before the colon (RFC 9112 sect. 5.1); it hides nothing here.
		 */
		if (!colon || !span_eq_nocase(span_trim(SPAN(line.ptr, at)), name))
			continue;
		*value = span_trim(SPAN(colon + 1, line.len - at - 1));
		return true;
	}
	return false;
}

static bool has_field(const struct admin_request *q, struct span name)
{
	struct span rest = q->fields, value;

	return admin_field_next(&rest, name, &value);
}

/* Whether the header makes the connection end: Connection: close, or content, which is not read. */
static bool fields_close(const struct admin_request *q)
{
	struct span rest = q->fields, value, word;

	if (has_field(q, SPAN_LIT("transfer-encoding")))
		return true;
	while (admin_field_next(&rest, SPAN_LIT("content-length"), &value)) {
		if (!span_eq(value, SPAN_LIT("0")))
			return true;
	}
	rest = q->fields;
	while (admin_field_next(&rest, SPAN_LIT("connection"), &value)) {
		bool done = false;

		while (span_next(&value, ',', &word, &done)) {
			if (span_eq_nocase(span_trim(word), SPAN_LIT("close")))
				return true;
		}
	}
	return false;
}

bool admin_request_parse(struct span head, struct admin_request *out)
{
	struct http1_request_line request;
	struct http1_line line = { .cut = false };
	const char *query;

	*out = (struct admin_request){ .close = true };
	while (next_line(&head, &line.text) && !line.text.len)
		;
	line.tail = line.text;
	if (!line.text.len || !http1_parse_request_line(&line, &request))
		return false;
	out->method = request.method;
	out->fields = head;
	out->http11 = request.version == HTTP_VERSION_1_1;
	out->close = !out->http11 || fields_close(out);
	out->path = request.target;
	query = memchr(request.target.ptr, '?', request.target.len);
	if (query) {
		out->path.len = (size_t)(query - request.target.ptr);
		out->query = SPAN(query + 1, request.target.len - out->path.len - 1);
	}
	return true;
}

/* Whether @authority, the value of a Host field, is an address or `localhost`, with any port. */
static bool is_literal(struct span authority)
{
	struct span host = http1_host_of(authority);
	struct addr address;

	if (memchr(authority.ptr, '@', authority.len))
		return false;
	return span_eq_nocase(host, SPAN_LIT("localhost")) || addr_parse(host, &address, NULL) == 0;
}

/* Two Hosts are none: whoever is behind us may go by the other one. */
static bool has_literal_host(const struct admin_request *q)
{
	struct span rest = q->fields, value, another;

	return admin_field_next(&rest, SPAN_LIT("host"), &value) &&
	       !admin_field_next(&rest, SPAN_LIT("host"), &another) && is_literal(value);
}

const char *admin_request_refused(const struct admin_request *q, enum admin_access access)
{
	if (access == ADMIN_ANYONE)
		return NULL;
	if (!q->local)
		return "for loopback only: ask 127.0.0.1 from inside the pod, or start the proxy "
		       "with "
		       "--admin-open";
	if (!has_literal_host(q))
		return "for a Host that is an IP address or localhost only: a name may have been "
		       "made to lead here";
	if (access == ADMIN_LOCAL)
		return NULL;
	if (has_field(q, SPAN_LIT("origin")))
		return "not for a browser's page: the request has an Origin";
	if (!has_field(q, SPAN_LIT(ADMIN_ORDER_FIELD)))
		return "say that you mean it: add the header " ADMIN_ORDER_FIELD ": 1";
	return NULL;
}
