/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grammar that http1.c needs of RFC 9110 and 9112: pure functions on one line or value. */
#ifndef SLUICE_HTTP1_PARSE_H
#define SLUICE_HTTP1_PARSE_H

#include "http1_line.h"
#include "protocol.h"
#include "span.h"

struct http1_request_line {
	enum http_method method;
	enum http_version version;
	struct span target; /* of a cut line: its beginning */
};

/* RFC 9112 sect. 3; spaces within the target are let pass. False: not HTTP/1. */
bool http1_parse_request_line(const struct http1_line *line, struct http1_request_line *out);

/* Whether a request line may begin with @text, which goes on. */
bool http1_may_be_request_line(struct span text);

/* RFC 9112 sect. 4. False: not HTTP/1, or no status of three digits from 100 on. */
bool http1_parse_status_line(struct span text, uint16_t *status);

/* RFC 9112 sect. 7.1; extensions are skipped. False: no size, or one over 2^63 - 1. */
bool http1_parse_chunk_size(struct span text, uint64_t *size);

/* RFC 9110 sect. 8.6, a list of equal lengths included. False: no number, or several. */
bool http1_parse_length(struct span value, uint64_t *length);

/* Whether the last of a Transfer-Encoding's codings is chunked (RFC 9112 sect. 6.1). */
bool http1_last_coding_is_chunked(struct span value);

/* Authority of an absolute-form or authority-form target (RFC 9112 sect. 3.2), else empty. */
struct span http1_target_authority(struct span target, enum http_method method);

/*
 * The path of a target in origin or absolute form, without its query; empty in the other forms, and
 * when a path is not there as a whole.
 */
struct span http1_target_path(struct span target);

/* The host of an authority or a Host field: no user, no port, no brackets. */
struct span http1_host_of(struct span authority);

/* The header fields that framing and metrics need. */
enum http1_field {
	HTTP1_FIELD_OTHER,
	HTTP1_FIELD_LENGTH, /* Content-Length */
	HTTP1_FIELD_CODING, /* Transfer-Encoding */
	HTTP1_FIELD_HOST,   /* Host */
	HTTP1_FIELD_TRACE,  /* traceparent */
	HTTP1_FIELD_H2C,    /* Upgrade, whose value is h2c */
	HTTP1_FIELD_FOLD,   /* no field: continues the one before (RFC 9112 sect. 5.2) */
};

/* Which field a line is, and its value without blanks around it. */
enum http1_field http1_parse_field(struct span line, struct span *value);

#endif
