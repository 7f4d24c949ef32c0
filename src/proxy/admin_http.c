// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers to the admin server's requests: see admin_http.h. */
#include "admin_http.h"

#include "http1_parse.h"

#include <errno.h>

/* Room for the answer's head, which is known when the body is. */
#define HEAD_ROOM 384u

static const char *const plain = "text/plain; charset=utf-8";
/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
static const char *const exposition = "text/plain; version=0.0.4; charset=utf-8";

void admin_reply_fini(struct admin_reply *r)
{
	free(r->data);
	*r = (struct admin_reply){ 0 };
}

static int append(void *to, struct span piece)
{
	struct admin_reply *r = to;

	if (piece.len > r->capacity - r->end) {
		size_t capacity = MAX(2 * r->capacity, r->end + piece.len);
		char *grown = realloc(r->data, capacity);

		if (!grown)
			return -ENOMEM;
		r->data = grown;
		r->capacity = capacity;
	}
	memcpy(r->data + r->end, piece.ptr, piece.len);
	r->end += piece.len;
	return 0;
}

static int begin(struct admin_reply *r)
{
	*r = (struct admin_reply){ .data = malloc(2048), .capacity = 2048 };
	r->start = r->end = HEAD_ROOM;
	return r->data ? 0 : -ENOMEM;
}

static const char *phrase(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	default:
		return "Service Unavailable";
	}
}

/* Puts the head before the body; with @head_only the body goes. */
static void finish(struct admin_reply *r, unsigned status, const char *type, bool head_only)
{
	char head[HEAD_ROOM];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			 "Cache-Control: no-store\r\n%s%s\r\n",
			 status, phrase(status), type, r->end - HEAD_ROOM,
			 status == 405 ? "Allow: GET, HEAD\r\n" : "",
			 r->close ? "Connection: close\r\n" : "");

	r->start = HEAD_ROOM - (size_t)n;
	memcpy(r->data + r->start, head, (size_t)n);
	if (head_only)
		r->end = HEAD_ROOM;
}

/* A body of one line. */
static int answer_line(struct admin_reply *r, unsigned status, const char *line, bool head_only)
{
	if (append(r, span_str(line)) < 0 || append(r, SPAN_LIT("\n")) < 0)
		return -ENOMEM;
	finish(r, status, plain, head_only);
	return 0;
}

static int answer_metrics(const struct admin_config *config, struct admin_reply *r, bool head_only)
{
	struct metrics_process process = { .worker_restarts = 0 };
	int rc;

	config->process(config->ctx, &process);
	rc = metrics_text(config->metrics, &process, append, r);
	if (rc == 0)
		finish(r, 200, exposition, head_only);
	return rc;
}

static int answer_path(const struct admin_config *config, struct span path, struct admin_reply *r,
		       bool head_only)
{
	if (span_eq(path, SPAN_LIT("/metrics")))
		return answer_metrics(config, r, head_only);
	if (span_eq(path, SPAN_LIT("/ready"))) {
		const char *why = config->not_ready(config->ctx);

		return answer_line(r, why ? 503 : 200, why ? why : "ready", head_only);
	}
	if (span_eq(path, SPAN_LIT("/live")))
		return answer_line(r, 200, "live", head_only);
	return answer_line(r, 404, "not found: there are /metrics, /ready and /live", head_only);
}

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

/* Whether a field makes the connection end: Connection: close, or content, which is not read. */
static bool field_closes(struct span line)
{
	struct span value;
	bool done = false;

	if (http1_parse_field(line, &value) == HTTP1_FIELD_LENGTH)
		return !span_eq(value, SPAN_LIT("0"));
	if (http1_parse_field(line, &value) == HTTP1_FIELD_CODING)
		return true;
	if (line.len < 11 || !span_eq_nocase(SPAN(line.ptr, 11), SPAN_LIT("connection:")))
		return false;
	line = SPAN(line.ptr + 11, line.len - 11);
	while (span_next(&line, ',', &value, &done)) {
		if (span_eq_nocase(span_trim(value), SPAN_LIT("close")))
			return true;
	}
	return false;
}

int admin_answer(const struct admin_config *config, struct span head, struct admin_reply *out)
{
	struct http1_request_line request;
	struct http1_line line = { .cut = false };
	struct span field, path;
	const char *query;
	int rc = begin(out);

	if (rc < 0)
		return rc;
	while (next_line(&head, &line.text) && !line.text.len)
		;
	line.tail = line.text;
	out->close = true;
	if (!http1_parse_request_line(&line, &request)) {
		rc = answer_line(out, 400, "not an HTTP/1 request", false);
		goto out;
	}
	out->close = request.version != HTTP_VERSION_1_1;
	while (next_line(&head, &field))
		out->close |= field.len && field_closes(field);
	query = memchr(request.target.ptr, '?', request.target.len);
	path = SPAN(request.target.ptr,
		    query ? (size_t)(query - request.target.ptr) : request.target.len);
	if (request.method == HTTP_METHOD_GET || request.method == HTTP_METHOD_HEAD)
		rc = answer_path(config, path, out, request.method == HTTP_METHOD_HEAD);
	else
		rc = answer_line(out, 405, "only GET and HEAD", false);
out:
	if (rc < 0)
		admin_reply_fini(out);
	return rc;
}

int admin_refuse(unsigned status, struct admin_reply *out)
{
	int rc = begin(out);

	if (rc == 0) {
		out->close = true;
		rc = answer_line(out, status, phrase(status), false);
	}
	if (rc < 0)
		admin_reply_fini(out);
	return rc;
}
