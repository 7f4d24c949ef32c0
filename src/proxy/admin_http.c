// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers to the admin server's requests: see admin_http.h. */
#include "admin_http.h"

#include <errno.h>

/* Room for the answer's head, which is known when the content is. */
#define HEAD_ROOM 1024u

/* And for a chunk's (RFC 9112 sect. 7.1). */
#define CHUNK_ROOM 16u

const char admin_json_type[] = "application/json";
/* Other pages of a browser have no business with it. */
const char admin_json_fields[] = "Cross-Origin-Resource-Policy: same-origin\r\n"
				 "X-Content-Type-Options: nosniff\r\n";

static void source_drop(struct admin_reply *r)
{
	if (r->source)
		r->source_free(r->source);
	r->source = NULL;
	r->more = NULL;
}

void admin_reply_fini(struct admin_reply *r)
{
	source_drop(r);
	free(r->data);
	*r = (struct admin_reply){ 0 };
}

int admin_reply_append(void *reply, struct span piece)
{
	struct admin_reply *r = reply;

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
	*r = (struct admin_reply){
		.data = malloc(2048),
		.capacity = 2048,
		.start = HEAD_ROOM,
		.end = HEAD_ROOM,
		.status = 200,
		.type = "text/plain; charset=utf-8",
	};
	return r->data ? 0 : -ENOMEM;
}

static const char *phrase(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 202:
		return "Accepted";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 431:
		return "Request Header Fields Too Large";
	default:
		return "Service Unavailable";
	}
}

/* Puts the head before the content. */
static void finish(struct admin_reply *r, bool http11)
{
	char head[HEAD_ROOM], length[64] = "";
	int n;

	r->chunked = r->more && http11;
	/* Else the end of the connection is the content's. */
	r->close |= r->more && !http11;
	if (r->chunked)
		snprintf(length, sizeof(length), "Transfer-Encoding: chunked\r\n");
	else if (!r->more)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", r->end - HEAD_ROOM);
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 %u %s\r\nContent-Type: %s\r\n%sCache-Control: no-store\r\n%s%s\r\n",
		     r->status, phrase(r->status), r->type, length, r->fields ? r->fields : "",
		     r->close ? "Connection: close\r\n" : "");
	r->start = HEAD_ROOM - (size_t)n;
	memcpy(r->data + r->start, head, (size_t)n);
	if (r->head_only) {
		r->end = HEAD_ROOM;
		source_drop(r);
	}
}

/* Makes a chunk of the piece that was appended, and ends the content with the last one. */
static int frame(struct admin_reply *r, bool last)
{
	size_t len = r->end - r->start;
	char size[CHUNK_ROOM];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);

	if (len) {
		r->start -= (size_t)n;
		memcpy(r->data + r->start, size, (size_t)n);
		if (admin_reply_append(r, SPAN_LIT("\r\n")) < 0)
			return -ENOMEM;
	}
	return last ? admin_reply_append(r, SPAN_LIT("0\r\n\r\n")) : 0;
}

int admin_reply_more(struct admin_reply *r)
{
	int rc;

	r->start = r->end = CHUNK_ROOM;
	rc = r->more(r);
	if (rc == 0 || (rc < 0 && rc != -ENODATA))
		return rc;
	if (r->chunked && frame(r, rc == -ENODATA) < 0)
		return -ENOMEM;
	if (rc == -ENODATA)
		source_drop(r);
	return 1;
}

int admin_reply_line(struct admin_reply *r, unsigned status, const char *line)
{
	r->status = status;
	return admin_reply_append(r, span_str(line)) < 0 ||
			       admin_reply_append(r, SPAN_LIT("\n")) < 0
		       ? -ENOMEM
		       : 0;
}

/* 404, with what there is. */
static int answer_unknown(struct admin_reply *r)
{
	int rc = admin_reply_line(r, 404, "not found: there are");

	for (size_t i = 0; rc == 0 && i < admin_endpoint_count; i++) {
		const struct admin_endpoint *e = &admin_endpoints[i];
		char line[80];

		snprintf(line, sizeof(line), "  %s%s", e->methods == ADMIN_POST ? "POST " : "",
			 e->path);
		rc = admin_reply_line(r, 404, line);
	}
	return rc;
}

static int answer_method(const struct admin_endpoint *e, struct admin_reply *r)
{
	bool post = e->methods == ADMIN_POST;

	r->fields = post ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
	return admin_reply_line(r, 405, post ? "only POST" : "only GET and HEAD");
}

static int answer(const struct admin_config *config, const struct admin_request *q,
		  struct admin_reply *r)
{
	const struct admin_endpoint *e = NULL;
	const char *why;

	for (size_t i = 0; i < admin_endpoint_count && !e; i++) {
		if (span_eq(q->path, span_str(admin_endpoints[i].path)))
			e = &admin_endpoints[i];
	}
	if (!e)
		return answer_unknown(r);
	if (!(e->methods >> q->method & 1))
		return answer_method(e, r);
	why = admin_request_refused(q, e->access);
	if (why)
		return admin_reply_line(r, 403, why);
	return e->answer(config, q, r);
}

int admin_answer(const struct admin_config *config, bool local, struct span head,
		 struct admin_reply *out)
{
	struct admin_request q;
	bool known = admin_request_parse(head, &q);
	int rc = begin(out);

	q.local = local || config->open;
	out->close = q.close;
	out->head_only = known && q.method == HTTP_METHOD_HEAD;
	if (rc == 0)
		rc = known ? answer(config, &q, out)
			   : admin_reply_line(out, 400, "not an HTTP/1 request");
	if (rc < 0)
		admin_reply_fini(out);
	else
		finish(out, known && q.http11);
	return rc;
}

int admin_refuse(unsigned status, struct admin_reply *out)
{
	int rc = begin(out);

	out->close = true;
	if (rc == 0)
		rc = admin_reply_line(out, status, phrase(status));
	if (rc < 0)
		admin_reply_fini(out);
	else
		finish(out, true);
	return rc;
}
